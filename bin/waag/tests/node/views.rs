//! Read models: deleted, damaged, rebuilt, made anew for other settings; the ledger gives them back each time.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rustix::io::Errno;
use serde_json::Value;
use waag::node::exchange::keep;
use waag::node::following::{is_lasting, projections, source};
use waag::node::house::RunningHouse;
use waag::node::{NodeOptions, Running};
use waag::store::options::Options;
use waag::store::place::Place;
use waag::store::writer::open_writer;
use waag_domain::project::Projection;
use waag_invoices::config::Config;
use waag_invoices::project::Invoices;
use waag_invoices::queries::Queries;
use waag_log::contract::{AppendError, EventLog, FrameView, ReadError, Tail, TrimError};
use waag_log::frame::Frame;
use waag_model::ids::{Actor, FrameNumber, Position, TenantName};
use waag_views::contract::{Change, Cursor, Definition, Snapshot, Standing, Turn, ViewKey, Views, Which};
use waag_views::error::ViewsError;
use waag_views::follow::Following;
use waag_views::memory::MemoryViews;
use waag_views::progress::{Activity, Progress, Reached};
use waag_views::projector::{ProjectError, Projector};
use waag_views::source::FactSource;
use waag_web::ports::House;

use crate::common::Folder;
use crate::support::{BATCH, Node, PATIENCE, invoice, key, post, report, within};

const INVOICES: u64 = 60;
/// A page of the views' file.
const PAGE_BYTES: usize = 4_096;

/// A folder whose ledger has invoices, and a key.
fn filled() -> (Folder, String) {
    let folder = Folder::with_store();
    let key = key(&folder, &[]);
    let mut lines = String::new();
    for number in 0..INVOICES {
        let id = format!("INV-{number}");
        lines += &(invoice(&format!("{id}-in"), "ingestion", &id) + "\n");
        if number % 3 == 0 {
            lines += &(invoice(&format!("{id}-out"), "posting", &id) + "\n");
        }
    }
    // The shipped schemas come into the ledger first, as with every node.
    assert!(Node::serve(&folder).terminate().success());
    folder.feed(&["append"], lines.as_bytes()).exits(0);
    (folder, key)
}

/// The report without what depends on the hour it is asked.
fn figures(folder: &Folder) -> Value {
    let mut report = report(folder);
    report.as_object_mut().unwrap().remove("stuck");
    assert_eq!((report["cases"].as_u64(), report["cleared"].as_u64()), (Some(INVOICES), Some(INVOICES / 3)));
    report
}

#[test]
fn deleted_views_are_made_again_and_a_rebuild_and_a_check_run_beside_a_node() {
    let (folder, key) = filled();
    let before = figures(&folder);
    std::fs::remove_dir_all(folder.path("waag-data/default/views")).unwrap();
    let node = Node::serve(&folder);
    node.caught_up(&key, PATIENCE);
    assert!(folder.path("waag-data/default/views/views.db").is_file());
    assert_eq!(figures(&folder), before);
    folder.run(&["views", "rebuild"]).exits(0);
    let checked = folder.run(&["views", "check", "--json"]).exits(0).lines();
    assert!(checked.iter().all(|table| table["different"] == 0), "{checked:?}");
    assert!(checked.iter().any(|table| table["rows"].as_u64() >= Some(INVOICES)), "{checked:?}");
    // The node goes on with what was exchanged beneath it.
    let more = invoice("more", "ingestion", "INV-MORE");
    assert_eq!(node.post(&key, BATCH, &format!("[{more}]")).status, 200);
    node.caught_up(&key, PATIENCE);
    assert_eq!(node.page("/invoice?id=INV-MORE").status, 200);
    assert_eq!(folder.run(&["views", "status", "--json"]).exits(0).json()["behind"], 0);
    assert!(node.terminate().success());
    assert_eq!(report(&folder)["cases"], INVOICES + 1);
}

/// How many times each a busy node's views are checked and rebuilt.
const BUSY_ROUNDS: usize = 4;

#[test]
fn views_are_checked_and_rebuilt_beside_a_node_that_takes_events() {
    let (folder, key) = filled();
    let node = Node::serve(&folder);
    let is_over = AtomicBool::new(false);
    let door = node.listen;
    let sent = std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut sent = 0;
            while !is_over.load(Ordering::Acquire) {
                let events: Vec<String> = (0..50)
                    .map(|n| invoice(&format!("busy-{sent}-{n}"), "ingestion", &format!("INV-{}", n % 70)))
                    .collect();
                let answer = post(door, &key, BATCH, &format!("[{}]", events.join(",")));
                assert_eq!(answer.unwrap().status, 200);
                sent += events.len();
            }
            sent
        });
        let projected = || node.ledger(&key)["projected"].as_u64().unwrap();
        for _ in 0..BUSY_ROUNDS {
            let before = projected();
            // It comes to an end, whatever is recorded meanwhile.
            let checked = folder.run(&["views", "check", "--json"]).exits(0).lines();
            assert!(checked.iter().all(|table| table["different"] == 0), "{checked:?}");
            folder.run(&["views", "rebuild"]).exits(0);
            within("the node to go on", PATIENCE, || (projected() > before).then_some(()));
        }
        is_over.store(true, Ordering::Release);
        sending.join().unwrap()
    });
    assert!(sent > 0);
    node.caught_up(&key, PATIENCE);
    folder.run(&["views", "check"]).exits(0);
    assert!(node.terminate().success());
}

/// Overwrites bytes of the views' file.
fn damage(folder: &Folder, from: usize, to: usize) {
    let path = folder.path("waag-data/default/views/views.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let to = to.min(bytes.len());
    bytes[from..to].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    for beside in ["-wal", "-shm"] {
        drop(std::fs::remove_file(folder.path(&format!("waag-data/default/views/views.db{beside}"))));
    }
}

#[test]
fn damaged_views_are_told_by_who_reads_and_set_aside_by_the_node() {
    let (folder, key) = filled();
    let before = figures(&folder);
    for (from, to) in [(0, 100), (100, 8_192), (0, usize::MAX)] {
        damage(&folder, from, to);
        let ran = folder.run(&["report", "invoices"]);
        assert_eq!(ran.code, 3, "{from}..{to}: {ran:?}");
        assert!(ran.err.contains("E0691") || ran.err.contains("E0690"), "{from}..{to}: {ran:?}");
        let node = Node::serve(&folder);
        node.caught_up(&key, PATIENCE);
        let said = std::fs::read_to_string(folder.path("serve.err")).unwrap();
        assert!(said.contains("note: the read models were damaged"), "{from}..{to}: {said}");
        assert_eq!(figures(&folder), before, "{from}..{to}");
        assert!(node.terminate().success());
        folder.run(&["views", "check"]).exits(0);
        folder.run(&["verify"]).exits(0);
    }
    // Nothing is set aside that is whole.
    assert!(Node::serve(&folder).terminate().success());
    assert!(!std::fs::read_to_string(folder.path("serve.err")).unwrap().contains("damaged"));
}

#[test]
fn damage_that_is_met_while_projecting_stops_no_recording_and_is_mended_at_the_next_start() {
    let (folder, key) = filled();
    figures(&folder);
    // The pages with rows, and not those of the catalogue: opening does not see it.
    let bytes = std::fs::read(folder.path("waag-data/default/views/views.db")).unwrap();
    let mut damaged = 0;
    for (number, page) in bytes.chunks(PAGE_BYTES).enumerate().skip(1) {
        if page.windows(4).any(|bytes| bytes == b"INV-") {
            damage(&folder, number * PAGE_BYTES, (number + 1) * PAGE_BYTES);
            damaged += 1;
        }
    }
    assert!(damaged > 0);
    let node = Node::serve(&folder);
    let said = || std::fs::read_to_string(folder.path("serve.err")).unwrap();
    assert!(!said().contains("damaged"), "the damage is where opening sees it: {}", said());
    let more = invoice("more", "ingestion", "INV-MORE");
    assert_eq!(node.post(&key, BATCH, &format!("[{more}]")).status, 200);
    let mark = folder.path("waag-data/default/views/views.db.is-damaged");
    within("the mark", PATIENCE, || mark.exists().then_some(()));
    let again = invoice("again", "ingestion", "INV-AGAIN");
    assert_eq!(node.post(&key, BATCH, &format!("[{again}]")).status, 200, "recording goes on");
    let told = node.ledger(&key);
    assert!(told["projected"].as_u64() < told["entries"].as_u64(), "{told}");
    assert!(node.terminate().success());
    let node = Node::serve(&folder);
    assert!(said().contains("note: the read models were damaged"), "{}", said());
    node.caught_up(&key, PATIENCE);
    assert!(!mark.exists());
    assert_eq!(report(&folder)["cases"], INVOICES + 2);
    assert!(node.terminate().success());
    folder.run(&["views", "check"]).exits(0);
}

/// A node within this process.
fn run(folder: &Folder, invoices: &Config) -> Running {
    let place = Place::new(&folder.path("waag-data"), None, TenantName::new("default").unwrap()).unwrap();
    let options = NodeOptions { invoices: Some(invoices.clone()), ..NodeOptions::default() };
    Running::start(&place, &options, &Actor::new("test").unwrap(), &mut |_, _| {}).unwrap()
}

/// The versions there are and which serves; there is always exactly one that does.
fn versions(running: &Running) -> (Vec<u32>, u32) {
    let all = running.following().views().list().unwrap();
    let serving: Vec<&Standing> = all.iter().filter(|one| one.serves).collect();
    assert_eq!(serving.len(), 1, "{all:?}");
    (all.iter().map(|one| one.key.version).collect(), serving[0].key.version)
}

fn cases(running: &Arc<Running>) -> Result<i64, &'static str> {
    let house = RunningHouse::new(Arc::clone(running), String::new());
    let rows = house.reads().map_err(|error| error.code)?;
    Ok(Queries::new(&*rows).report(running.store().clock.now()).unwrap().cases)
}

#[test]
fn other_settings_are_built_beside_take_their_place_and_are_never_mixed() {
    let (folder, _) = filled();
    // The first version of all serves from its beginning; this brings it up.
    figures(&folder);
    let first = Config::default();
    let other = Config { late_hours: first.late_hours + 1, ..first.clone() };
    let version = |config: &Config| Invoices::new(config.clone()).version();
    assert_ne!(version(&first), version(&other));
    let all = i64::try_from(INVOICES).unwrap();
    for config in [&first, &other, &first] {
        // One that is ended at once leaves a version that serves, and the next one goes on.
        drop(run(&folder, config));
        let running = Arc::new(run(&folder, config));
        within("the other settings' version", PATIENCE, || {
            (versions(&running) == (vec![version(config)], version(config))).then_some(())
        });
        assert_eq!(cases(&running), Ok(all));
    }
    // A version of settings that are not this program's serves: it is not read.
    let running = Arc::new(run(&folder, &first));
    let views = running.following().views();
    let foreign = ViewKey { name: "invoices".to_owned(), version: version(&other), build: 0 };
    let tables = Invoices::new(other.clone()).tables();
    views.open(&Definition { key: foreign.clone(), ledger: running.store().ledger.id, tables }).unwrap();
    views.turn(&foreign, Turn::Serve).unwrap();
    assert_eq!(cases(&running), Err("E0857"));
    // Nor does a report beside it read that, though it serves.
    assert_eq!(figures(&folder)["cases"], INVOICES);
    drop(running);
    // The next start exchanges them.
    let running = Arc::new(run(&folder, &first));
    within("these settings' version", PATIENCE, || (versions(&running).0 == [version(&first)]).then_some(()));
    assert_eq!(cases(&running), Ok(all));
}

/// Views that fail so often before they work, as under another process's lock or on a full disk.
struct Failing {
    views: MemoryViews,
    commits_to_fail: AtomicU32,
}

impl Views for Failing {
    fn open(&self, definition: &Definition) -> Result<Standing, ViewsError> {
        self.views.open(definition)
    }

    fn commit(
        &self,
        view: &ViewKey,
        expected: Cursor,
        next: Cursor,
        change: &mut Change<'_>,
    ) -> Result<(), ViewsError> {
        let fails = |left: u32| left.checked_sub(1);
        if self.commits_to_fail.fetch_update(Ordering::AcqRel, Ordering::Acquire, fails).is_ok() {
            return Err(ViewsError::Failed { attempt: "write", reason: "database is locked".to_owned() });
        }
        self.views.commit(view, expected, next, change)
    }

    fn snapshot(&self, name: &str, which: Which) -> Result<Box<dyn Snapshot>, ViewsError> {
        self.views.snapshot(name, which)
    }

    fn list(&self) -> Result<Vec<Standing>, ViewsError> {
        self.views.list()
    }

    fn turn(&self, view: &ViewKey, turn: Turn) -> Result<(), ViewsError> {
        self.views.turn(view, turn)
    }
}

#[test]
fn views_whose_store_fails_for_a_while_go_on_by_themselves() {
    let (folder, _) = filled();
    let place = Place::new(&folder.path("waag-data"), None, TenantName::new("default").unwrap()).unwrap();
    let store = open_writer(&place, &Options::default(), &mut |_, _| {}).unwrap();
    let views = Arc::new(Failing { views: MemoryViews::default(), commits_to_fail: AtomicU32::new(2) });
    let progress = Arc::new(Progress::new(None));
    let kept = projections(&Config::default());
    let shared: Arc<dyn Views> = views.clone();
    let mut projector =
        Projector::open(store.ledger.id, Arc::clone(&shared), kept.clone(), Arc::clone(&progress)).unwrap();
    let following = Following::new(source(&store), Arc::clone(&store.clock));
    let end = following.source.guarded();
    let (stop, told) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            let heard = |_: &ProjectError| {
                told.fetch_add(1, Ordering::AcqRel);
            };
            keep(&mut projector, &following, (&*shared, &kept), &stop, &|_| false, &heard)
        });
        within("the views are up to date", PATIENCE, || {
            let reached = progress.reached();
            (reached.cursor.position == end && reached.activity == Activity::Following).then_some(())
        });
        stop.store(true, Ordering::Release);
        following.wake.notify();
        running.join().unwrap().unwrap();
    });
    assert!(told.load(Ordering::Acquire) >= 1);
    assert_eq!(views.commits_to_fail.load(Ordering::Acquire), 0);
}

/// A log that fails for a while as a system does that is out of something.
struct Lacking {
    log: Arc<dyn EventLog>,
    reads_to_fail: AtomicU32,
    /// What the system says, as a number.
    errno: i32,
}

impl EventLog for Lacking {
    fn append(&self, expected: FrameNumber, frame: &Frame) -> Result<(), AppendError> {
        self.log.append(expected, frame)
    }

    fn read(
        &self,
        from: Position,
        visit: &mut dyn FnMut(FrameView<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let fails = |left: u32| left.checked_sub(1);
        if self.reads_to_fail.fetch_update(Ordering::AcqRel, Ordering::Acquire, fails).is_ok() {
            let source = std::io::Error::from_raw_os_error(self.errno);
            return Err(ReadError::Failed { file: "log/0".to_owned(), source });
        }
        self.log.read(from, visit)
    }

    fn tail(&self) -> Tail {
        self.log.tail()
    }

    fn trim(&self, before: Position) -> Result<(), TrimError> {
        self.log.trim(before)
    }
}

#[test]
fn a_ledger_that_cannot_be_read_for_a_while_is_told_and_read_again_and_a_broken_disk_is_not() {
    let (folder, _) = filled();
    let place = Place::new(&folder.path("waag-data"), None, TenantName::new("default").unwrap()).unwrap();
    let store = open_writer(&place, &Options::default(), &mut |_, _| {}).unwrap();
    for (errno, lasts) in [(Errno::MFILE, false), (Errno::IO, true)] {
        let views: Arc<dyn Views> = Arc::new(MemoryViews::default());
        let halted = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&halted);
        let heard = move |reached: &Reached| {
            if matches!(reached.activity, Activity::Halted { code: "E0443", .. }) {
                seen.store(true, Ordering::Release);
            }
        };
        let (progress, kept) =
            (Arc::new(Progress::new(Some(Box::new(heard)))), projections(&Config::default()));
        let mut projector =
            Projector::open(store.ledger.id, Arc::clone(&views), kept.clone(), Arc::clone(&progress))
                .unwrap();
        let log = Lacking {
            log: Arc::clone(&store.reader.log),
            reads_to_fail: AtomicU32::new(2),
            errno: errno.raw_os_error(),
        };
        let source = FactSource { log: Arc::new(log), ..source(&store) };
        let following = Following::new(source, Arc::clone(&store.clock));
        let end = following.source.guarded();
        let (stop, told) = (AtomicBool::new(false), AtomicU32::new(0));
        std::thread::scope(|scope| {
            let running = scope.spawn(|| {
                let heard = |_: &ProjectError| {
                    told.fetch_add(1, Ordering::AcqRel);
                };
                keep(&mut projector, &following, (&*views, &kept), &stop, &is_lasting, &heard)
            });
            let is_done = || progress.reached().cursor.position == end || running.is_finished();
            within("the views are up to date or left", PATIENCE, || is_done().then_some(()));
            stop.store(true, Ordering::Release);
            following.wake.notify();
            assert_eq!(running.join().unwrap().is_err(), lasts, "{errno:?}");
        });
        assert!(halted.load(Ordering::Acquire), "it is told in the progress meanwhile");
        assert_eq!(told.load(Ordering::Acquire), if lasts { 1 } else { 2 }, "{errno:?}");
    }
}

#[test]
fn views_that_cannot_work_are_told_once_and_left() {
    let (folder, _) = filled();
    let place = Place::new(&folder.path("waag-data"), None, TenantName::new("default").unwrap()).unwrap();
    let store = open_writer(&place, &Options::default(), &mut |_, _| {}).unwrap();
    let views: Arc<dyn Views> =
        Arc::new(Failing { views: MemoryViews::default(), commits_to_fail: AtomicU32::new(u32::MAX) });
    let (progress, kept) = (Arc::new(Progress::new(None)), projections(&Config::default()));
    let mut projector =
        Projector::open(store.ledger.id, Arc::clone(&views), kept.clone(), Arc::clone(&progress)).unwrap();
    let following = Following::new(source(&store), Arc::clone(&store.clock));
    let told = AtomicU32::new(0);
    let heard = |_: &ProjectError| {
        told.fetch_add(1, Ordering::AcqRel);
    };
    let stop = AtomicBool::new(false);
    let ended = keep(&mut projector, &following, (&*views, &kept), &stop, &|_| true, &heard);
    assert_eq!((ended.unwrap_err().code(), told.load(Ordering::Acquire)), ("E0690", 1));
    assert!(matches!(progress.reached().activity, Activity::Halted { code: "E0690", .. }));
}
