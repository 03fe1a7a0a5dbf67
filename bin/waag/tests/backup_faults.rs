//! Each write of a backup run failed in turn, with and without having taken effect: a run is whole or not listed, the next
//! one goes on, and the repository is clean behind it. And a clock that is wrong: it removes no key material too early.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use waag::store::backups::{Asked, KEY_BACKUP_DAYS_MAX, Made, check, init, keyfile, prune, run, run_in};
use waag::store::init::init as make_store;
use waag::store::options::Options;
use waag::store::own::own_event;
use waag::store::place::Place;
use waag::store::reader::open_reader;
use waag::store::restores::{self, restore};
use waag::store::writer::open_writer;
use waag_archive::contract::{BackupStore, StoreFault};
use waag_archive::frames::End;
use waag_archive::repository::Repository;
use waag_files::backup::FolderStore;
use waag_model::ids::{Actor, TenantName};
use waag_model::time::UtcNanos;
use waag_stdx::clock::{Clock, SystemClock};
use waag_stdx::entropy::SystemEntropy;
use waag_stdx::files::DiskFiles;

/// What becomes of the write that fails.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fails {
    Undone,
    Done,
}

/// A store whose n-th write fails.
struct Failing {
    inner: FolderStore,
    writes: AtomicUsize,
    at: usize,
    how: Fails,
}

impl Failing {
    fn write(&self, name: &str, write: &dyn Fn() -> Result<(), StoreFault>) -> Result<(), StoreFault> {
        if self.writes.fetch_add(1, Ordering::SeqCst) != self.at {
            return write();
        }
        if self.how == Fails::Done {
            write()?;
        }
        let source = std::io::Error::other("planted");
        Err(StoreFault::Failed { operation: "writing", name: name.to_owned(), source })
    }
}

impl BackupStore for Failing {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<(), StoreFault> {
        self.write(name, &|| self.inner.put_new(name, bytes))
    }
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreFault> {
        self.inner.get(name)
    }
    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreFault> {
        self.inner.list(prefix)
    }
    fn remove(&self, name: &str) -> Result<(), StoreFault> {
        self.write(name, &|| self.inner.remove(name))
    }
}

fn asked(root: &Path) -> Asked {
    Asked {
        place: Place::new(&root.join("data"), None, TenantName::new("default").unwrap()).unwrap(),
        options: Options { scrub_bytes_per_s: 0, ..Options::default() },
        repository: root.join("repo"),
        key: root.join("key"),
        actor: Actor::new("test").unwrap(),
        key_days: KEY_BACKUP_DAYS_MAX,
        clock_is_right: false,
    }
}

fn record(asked: &Asked, number: u64) {
    let store = open_writer(&asked.place, &asked.options, &mut |_, _| {}).unwrap();
    store.record(&own_event("waag.test", Some(number.to_string()), vec![]).unwrap(), &asked.actor).unwrap();
}

/// Runs a backup whose write `at` fails; `None` where it has fewer writes.
fn broken(asked: &Asked, at: usize, how: Fails) -> (Result<Made, String>, usize) {
    let inner = FolderStore::writing(Arc::new(DiskFiles::new(&asked.repository))).unwrap();
    let store = Arc::new(Failing { inner, writes: AtomicUsize::new(0), at, how });
    let key = keyfile::read(&asked.key).unwrap();
    let repository =
        Repository::open(Arc::clone(&store) as Arc<dyn BackupStore>, key, Arc::new(SystemEntropy::new()))
            .unwrap();
    let made = run_in(asked, &repository, &|_, _| {}).map_err(|error| error.code().to_owned());
    (made, store.writes.load(Ordering::SeqCst))
}

fn sizes(asked: &Asked) -> Vec<u64> {
    let repository = waag::store::backups::open(&asked.repository, &asked.key).unwrap();
    let now = asked.options.clock.now();
    let (checked, runs) = check::check(&repository, now, &|_, _| {}).unwrap();
    assert_eq!(checked.faults, []);
    runs.iter().map(|run| run.manifest.guard.size).collect()
}

/// Runs that the ledger says were made and the repository does not have.
fn gone(asked: &Asked) -> Vec<u64> {
    let repository = waag::store::backups::open(&asked.repository, &asked.key).unwrap();
    let store = open_reader(&asked.place, &asked.options).unwrap();
    check::missing_runs(&repository, &repository.runs().unwrap(), &store).unwrap()
}

#[test]
fn a_run_is_whole_or_not_listed_and_the_next_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let asked = asked(folder.path());
    make_store(&asked.place, "waag.example", &asked.options).unwrap();
    init(&asked.repository, &asked.key).unwrap();
    let (mut number, mut runs) = (0, 0);
    for how in [Fails::Undone, Fails::Done] {
        for at in 0.. {
            number += 1;
            record(&asked, number);
            let (made, writes) = broken(&asked, at, how);
            let Err(code) = made else {
                assert!(at >= 4 && writes <= at, "{at} of {writes}: no write was left out");
                runs += 1;
                assert_eq!(sizes(&asked).len(), runs);
                break;
            };
            assert_eq!(code, "E0881", "write {at} {how:?}");
            let listed = sizes(&asked);
            // The manifest is the last write: failed and yet there, it is a run, which is whole.
            let is_whole = listed.len() == runs + 1;
            assert!(is_whole || listed.len() == runs, "write {at} {how:?}: {listed:?}");
            assert!(!is_whole || how == Fails::Done);
            runs = listed.len();
            assert!(gone(&asked).is_empty(), "a run that was broken off was never made: write {at} {how:?}");
            // The next one removes what was left, and has everything.
            let next = broken(&asked, usize::MAX, how).0.unwrap_or_else(|code| panic!("{code} behind {at}"));
            runs += 1;
            let listed = sizes(&asked);
            assert_eq!((listed.len(), *listed.last().unwrap()), (runs, next.run.manifest.guard.size));
            assert!(next.removed > 0 || is_whole || (at == 0 && how == Fails::Undone), "write {at} {how:?}");
        }
    }
}

/// The machine's clock, so many days ahead.
struct Ahead {
    clock: SystemClock,
    days: AtomicI64,
}

impl Clock for Ahead {
    fn now(&self) -> UtcNanos {
        self.clock.now().later_by(self.days.load(Ordering::SeqCst) * 86_400_000_000_000)
    }
    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
}

/// Names of objects with key material.
fn keys(asked: &Asked) -> Vec<String> {
    let names = std::fs::read_dir(asked.repository.join("keys")).unwrap();
    let mut names: Vec<String> = names.map(|n| n.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A store of one entry with a first backup, under a clock that can be put ahead.
fn backed_up_once(folder: &Path) -> (Arc<Ahead>, Asked) {
    let clock = Arc::new(Ahead { clock: SystemClock::new(), days: AtomicI64::new(0) });
    let mut asked = asked(folder);
    asked.options.clock = Arc::clone(&clock) as Arc<dyn Clock>;
    make_store(&asked.place, "waag.example", &asked.options).unwrap();
    init(&asked.repository, &asked.key).unwrap();
    record(&asked, 1);
    run(&asked, &|_, _| {}).unwrap();
    (clock, asked)
}

#[test]
fn a_clock_that_is_far_ahead_removes_nothing_and_key_material_goes_when_there_is_newer() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, asked) = backed_up_once(folder.path());
    let first = keys(&asked);
    assert_eq!(first.len(), 2, "the tables and the vault");
    let pruned = |right: bool| {
        let store = open_reader(&asked.place, &asked.options).unwrap();
        let alone = prune(&asked.repository, &asked.key, &*clock, None, right).map_err(|error| error.code());
        let beside = prune(&asked.repository, &asked.key, &*clock, Some(&store), right);
        alone.and_then(|names| Ok(names.len() + beside.map_err(|error| error.code())?.len()))
    };
    let size = || open_reader(&asked.place, &asked.options).unwrap().guard.size;
    // Far ahead: nothing is removed and nothing is recorded.
    clock.days.store(100, Ordering::SeqCst);
    let before = size();
    assert_eq!(run(&asked, &|_, _| {}).map_err(|error| error.code()).unwrap_err(), "E0899");
    assert_eq!(pruned(false), Err("E0899"));
    assert_eq!((keys(&asked), size()), (first.clone(), before));
    // As far as is believed: what has expired is there until a run is whole, however often one is broken off.
    clock.days.store(31, Ordering::SeqCst);
    for at in 1..4 {
        broken(&asked, at, Fails::Undone).0.unwrap_err();
        assert!(first.iter().all(|name| keys(&asked).contains(name)), "write {at}");
    }
    run(&asked, &|_, _| {}).unwrap();
    let second = keys(&asked);
    assert!(second.len() == 2 && second.iter().all(|name| !first.contains(name)), "{second:?}");
    // Somebody has looked at the clock.
    clock.days.store(200, Ordering::SeqCst);
    assert_eq!(run(&asked, &|_, _| {}).map_err(|error| error.code()).unwrap_err(), "E0899");
    let sure = Asked { clock_is_right: true, ..asked.clone() };
    run(&sure, &|_, _| {}).unwrap();
    assert!(keys(&asked).iter().all(|name| !second.contains(name)));
    clock.days.store(300, Ordering::SeqCst);
    assert_eq!((pruned(false), pruned(true), keys(&asked)), (Err("E0899"), Ok(2), Vec::new()));
}

#[test]
fn an_erasure_of_a_later_day_is_told_by_the_later_backup_and_where_that_is_lost_older_keys_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, asked) = backed_up_once(folder.path());
    // Its event is sealed under the key of that day, which the first backup does not have.
    clock.days.store(1, Ordering::SeqCst);
    let store = open_writer(&asked.place, &asked.options, &mut |_, _| {}).unwrap();
    store.record(&own_event("waag.keys.destroyed", None, vec![]).unwrap(), &asked.actor).unwrap();
    drop(store);
    let states = || {
        let names = std::fs::read_dir(asked.repository.join("states")).unwrap();
        names.map(|name| name.unwrap().path()).collect::<Vec<_>>()
    };
    let before = states();
    run(&asked, &|_, _| {}).unwrap();
    let older = |to: &str| {
        restore(
            &restores::Asked {
                repository: asked.repository.clone(),
                key: asked.key.clone(),
                place: Place::new(&folder.path().join(to), None, asked.place.tenant.clone()).unwrap(),
                options: asked.options.clone(),
                end: End::Newest,
                run: None,
                keys_of: Some(1),
                guard: None,
            },
            &|_, _| {},
        )
    };
    assert_eq!(older("told").map(|restored| restored.facts.withheld).unwrap(), 1);
    let lost = states().into_iter().find(|path| !before.contains(path)).unwrap();
    std::fs::remove_file(lost).unwrap();
    assert_eq!(older("untold").map(|_| ()).map_err(|error| error.code()), Err("E0887"));
}
