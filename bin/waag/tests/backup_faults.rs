//! Each write of a backup run failed in turn, with and without having taken effect: a run is whole or not listed, the next
//! one goes on, and the repository is clean behind it.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use waag::store::backups::{Asked, KEY_BACKUP_DAYS_MAX, Made, check, init, keyfile, run_in};
use waag::store::init::init as make_store;
use waag::store::options::Options;
use waag::store::own::own_event;
use waag::store::place::Place;
use waag::store::reader::open_reader;
use waag::store::writer::open_writer;
use waag_archive::contract::{BackupStore, StoreFault};
use waag_archive::repository::Repository;
use waag_files::backup::FolderStore;
use waag_model::ids::{Actor, TenantName};
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
