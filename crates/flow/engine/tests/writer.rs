//! The engine on its threads, as far as threads make a difference: who is one too many gets the batch back, and hands it
//! over again.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails loudly, and its waits end by a clock"
)]

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use waag_engine::batch::{BatchReceipt, Outcome, SealedBatch};
use waag_engine::effect::{NotTaken, Rejection};
use waag_engine::engine::{BATCHES_QUEUED_MAX, QUEUED_BYTES_MAX};
use waag_engine::runtime::{Hears, World, Writer};
use waag_engine::sealer::Sealer;
use waag_ledger::hash::Hash;
use waag_ledger::stored::{HashReadError, HashReader, frontier_at, stored_hash_count};
use waag_log::contract::{AppendError, EventLog, FrameView, ReadError, Tail, TrimError};
use waag_log::frame::Frame;
use waag_log::guard::{Guard, GuardError, GuardRecord};
use waag_log::hashes::StoredHashes;
use waag_model::ids::{FrameNumber, Position};

mod support;
use support::{MemoryHashes, Rig, Sent, sent};

/// A writer on threads over a ledger in memory, and a rig that still seals.
fn started() -> (Writer, Arc<Sealer<waag_domain::passthrough::Passthrough>>, support::Ground) {
    started_on(Gate::default(), |ground| (ground.log.clone(), ground.guard.clone()))
}

/// The same with a log and a guard around those in memory, and stored hashes that are made durable behind a gate.
fn started_on(
    syncs: Gate,
    around: impl FnOnce(&support::Ground) -> (Arc<dyn EventLog>, Arc<dyn Guard>),
) -> (Writer, Arc<Sealer<waag_domain::passthrough::Passthrough>>, support::Ground) {
    let Rig { ground, engine, sealer, reader, keyring, .. } = Rig::new();
    let sealer = Arc::new(sealer);
    let (log, guard) = around(&ground);
    let world = World {
        log,
        guard,
        keyring,
        hashes: Arc::new(SlowWhenMany { hashes: ground.hashes.clone(), syncs }),
        reader,
        clock: ground.clock.clone(),
        // What is destroyed here has nothing to do with what was sealed.
        keys_destroyed: Box::new(|| 0),
        told_halt: Box::new(|_| ()),
    };
    (Writer::start(engine, world).unwrap(), sealer, ground)
}

/// Stored hashes that take long over a large commit's, so that whoever does not wait for them is seen.
struct SlowWhenMany {
    hashes: Arc<MemoryHashes>,
    syncs: Gate,
}

impl HashReader for SlowWhenMany {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, HashReadError> {
        self.hashes.read_hashes(indexes)
    }
}

impl StoredHashes for SlowWhenMany {
    fn count(&self) -> u64 {
        self.hashes.count()
    }

    fn write(&self, first: u64, hashes: &[Hash]) -> Result<(), HashReadError> {
        if hashes.len() > 512 {
            thread::sleep(Duration::from_millis(5));
        }
        self.hashes.write(first, hashes)
    }

    fn sync(&self) -> Result<(), HashReadError> {
        self.syncs.pass();
        self.hashes.sync()
    }
}

fn seal(
    sealer: &Sealer<waag_domain::passthrough::Passthrough>,
    ground: &support::Ground,
    sent: &[Sent],
    pad: usize,
) -> SealedBatch {
    support::seal(sealer, &*ground.clock, sent, pad).unwrap()
}

/// Holds the writer's thread while `then` runs.
fn while_held(writer: &Writer, then: impl FnOnce()) {
    let ((held, is_held), (release, released)) = (sync_channel(1), sync_channel::<()>(1));
    // What lets go is the scope's own, so that a check that fails does not hold the writer for ever.
    std::thread::scope(move |scope| {
        scope.spawn(move || {
            let hold = move || {
                held.send(()).unwrap();
                released.recv().unwrap_or_default();
            };
            writer.destroy_keys(hold).unwrap();
        });
        is_held.recv().unwrap();
        then();
        drop(release);
    });
}

#[test]
fn a_batch_that_is_one_too_many_comes_back_and_is_taken_later() {
    let (writer, sealer, ground) = started();
    let batches = u32::try_from(BATCHES_QUEUED_MAX).unwrap();
    let (mut pending, mut back) = (Vec::new(), None);
    while_held(&writer, || {
        for number in 0..batches {
            pending.push(writer.submit(seal(&sealer, &ground, &sent(number..number + 1), 0)).unwrap());
        }
        let Err(NotTaken::Busy(batch)) = writer.submit(seal(&sealer, &ground, &sent(900..903), 0)) else {
            panic!("one too many was taken");
        };
        back = Some(batch);
    });
    for pending in pending {
        assert!(matches!(pending.wait().unwrap().items.as_slice(), [Outcome::Recorded(_)]));
    }
    // The same sealed bytes, once there is room.
    let receipt = writer.submit(back.unwrap()).unwrap().wait().unwrap();
    assert_eq!(receipt.items.len(), 3);
    assert_eq!(receipt.checkpoint.checkpoint().size, u64::from(batches) + 3);
}

#[test]
fn bytes_under_way_are_held_to_their_limit_and_given_back() {
    let (writer, sealer, ground) = started();
    // Twice, so that what was given back can be taken again.
    for round in 0..2 {
        let (mut pending, mut bytes) = (Vec::new(), 0);
        while_held(&writer, || {
            for number in (round * 10_000..).step_by(64) {
                let batch = seal(&sealer, &ground, &sent(number..number + 64), 60_000);
                let body_bytes = batch.body_bytes();
                match writer.submit(batch) {
                    Ok(taken) => {
                        pending.push(taken);
                        bytes += body_bytes;
                    }
                    Err(refused) => {
                        assert!(bytes + body_bytes > QUEUED_BYTES_MAX, "{bytes} bytes are under way");
                        assert_eq!(Rejection::from(refused), Rejection::Busy);
                        break;
                    }
                }
                assert!(bytes <= QUEUED_BYTES_MAX);
            }
        });
        // The engine itself has room for whatever was taken.
        assert!(pending.into_iter().all(|pending| pending.wait().is_ok()));
    }
}

/// What was done, and by which thread.
type Notes = Arc<Mutex<Vec<(&'static str, String)>>>;

/// What is done to the next call of a log or a guard.
#[derive(Clone, Default)]
struct Gate(Arc<Mutex<Option<Held>>>);

enum Held {
    /// It waits until this one's sender is gone.
    Waits(Receiver<()>),
    /// It panics.
    Panics,
}

impl Gate {
    /// Holds the next call until what is given is dropped.
    fn hold(&self) -> SyncSender<()> {
        let (release, waits) = sync_channel(1);
        *self.0.lock().unwrap() = Some(Held::Waits(waits));
        release
    }

    fn make_panic(&self) {
        *self.0.lock().unwrap() = Some(Held::Panics);
    }

    fn pass(&self) {
        let held = self.0.lock().unwrap().take();
        match held {
            None => {}
            Some(Held::Waits(gate)) => gate.recv().unwrap_or_default(),
            Some(Held::Panics) => panic!("as the test wants it"),
        }
    }
}

/// A log or a guard that notes which thread uses it.
struct Noting<T> {
    inner: Arc<T>,
    notes: Notes,
    gate: Gate,
}

impl<T> Noting<T> {
    fn note(&self, what: &'static str) {
        let name = thread::current().name().unwrap_or_default().to_owned();
        self.notes.lock().unwrap().push((what, name));
        self.gate.pass();
    }
}

/// A writer whose log and guard note who uses them; the gate of each.
struct Noted {
    writer: Arc<Writer>,
    sealer: Arc<Sealer<waag_domain::passthrough::Passthrough>>,
    ground: support::Ground,
    notes: Notes,
    log: Gate,
    guard: Gate,
}

impl Noted {
    fn start() -> Self {
        let (notes, log, guard) = (Notes::default(), Gate::default(), Gate::default());
        let (writer, sealer, ground) = started_on(Gate::default(), |ground| {
            let inner = Arc::clone(&ground.log);
            let log = Noting { inner, notes: Arc::clone(&notes), gate: log.clone() };
            let inner = Arc::clone(&ground.guard);
            let guard = Noting { inner, notes: Arc::clone(&notes), gate: guard.clone() };
            (Arc::new(log), Arc::new(guard))
        });
        Self { writer: Arc::new(writer), sealer, ground, notes, log, guard }
    }

    fn batch(&self, number: u32) -> SealedBatch {
        seal(&self.sealer, &self.ground, &sent(number..number + 1), 0)
    }

    /// How often this was done.
    fn count(&self, wanted: &str) -> usize {
        self.notes.lock().unwrap().iter().filter(|(what, _)| *what == wanted).count()
    }

    /// Waits until this was begun so often.
    fn until(&self, wanted: &str, count: usize) {
        let end = Instant::now() + PATIENCE;
        while self.count(wanted) < count {
            assert!(Instant::now() < end, "{wanted} {count}: {:?}", self.notes.lock().unwrap());
            thread::yield_now();
        }
    }
}

/// Longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for what may hang where it is wrong.
fn within<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = sync_channel(1);
    thread::spawn(move || drop(done.send(work())));
    is_done.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{what} hangs"))
}

impl<T: EventLog> EventLog for Noting<T> {
    fn append(&self, expected: FrameNumber, frame: &Frame) -> Result<(), AppendError> {
        self.note("append");
        self.inner.append(expected, frame)
    }

    fn read(
        &self,
        from: Position,
        visit: &mut dyn FnMut(FrameView<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        self.inner.read(from, visit)
    }

    fn tail(&self) -> Tail {
        self.inner.tail()
    }

    fn trim(&self, before: Position) -> Result<(), TrimError> {
        self.inner.trim(before)
    }
}

impl<T: Guard> Guard for Noting<T> {
    fn read(&self) -> Result<Option<GuardRecord>, GuardError> {
        self.inner.read()
    }

    fn swap(&self, expected: Option<u64>, new: &GuardRecord) -> Result<(), GuardError> {
        self.note("guard");
        self.inner.swap(expected, new)
    }
}

#[test]
fn who_brings_a_batch_writes_and_guards_it_and_none_of_those_behind_it() {
    let noted = Noted::start();
    let (writer, notes) = (&noted.writer, &noted.notes);
    let batch_of = |number: u32| noted.batch(number);
    // Its keys are made durable first, by a thread that goes on with nothing.
    writer.submit(batch_of(0)).unwrap().wait().unwrap();
    let first = std::mem::take(&mut *notes.lock().unwrap());
    assert!(first.iter().all(|(_, by)| by != "waag-keys"), "{first:?}");
    assert_eq!(first.iter().map(|(what, _)| *what).collect::<Vec<_>>(), ["append", "guard"]);
    // Whoever still steps for the batch before takes the next one, too: until nobody does.
    let was_brought = (1..100).any(|round| {
        let release = noted.log.hold();
        notes.lock().unwrap().clear();
        let (batch, behind) = (batch_of(round * 3), [batch_of(round * 3 + 1), batch_of(round * 3 + 2)]);
        thread::scope(|scope| {
            let brings = thread::Builder::new().name("brings".to_owned());
            let brought = brings.spawn_scoped(scope, || writer.submit(batch).unwrap().wait().unwrap());
            while notes.lock().unwrap().is_empty() {
                thread::yield_now();
            }
            let pending = behind.map(|batch| writer.submit(batch).unwrap());
            drop(release);
            let size = brought.unwrap().join().unwrap().checkpoint.checkpoint().size;
            for pending in pending {
                assert_eq!(pending.wait().unwrap().checkpoint.checkpoint().size, size + 2);
            }
        });
        notes.lock().unwrap().iter().any(|(_, by)| by == "brings")
    });
    assert!(was_brought);
    let notes = notes.lock().unwrap();
    let by_who_brings: Vec<_> =
        notes.iter().filter(|(_, by)| by == "brings").map(|(what, _)| *what).collect();
    assert_eq!(by_who_brings, ["append", "guard"]);
    let by_threads: Vec<_> = notes.iter().filter(|(_, by)| by != "brings").collect();
    assert!(by_threads.iter().all(|(_, by)| by.starts_with("waag-")), "{notes:?}");
    assert_eq!(by_threads.len(), 2, "{notes:?}");
}

#[test]
fn hashes_of_small_and_large_commits_are_stored_in_their_order() {
    let (writer, sealer, ground) = started();
    let (mut first, mut root) = (0, None);
    for many in [1, 1_500, 1, 2, 700, 3] {
        let batch = seal(&sealer, &ground, &sent(first..first + many), 0);
        root = Some(writer.submit(batch).unwrap().wait().unwrap().checkpoint.checkpoint().root);
        first += many;
    }
    drop(writer);
    assert_eq!(ground.hashes.0.lock().unwrap().len() as u64, stored_hash_count(u64::from(first)));
    assert_eq!(Some(frontier_at(&*ground.hashes, u64::from(first)).unwrap().root()), root);
}

#[test]
fn a_frame_is_guarded_while_the_next_one_is_appended() {
    let noted = Noted::start();
    noted.writer.submit(noted.batch(0)).unwrap().wait().unwrap();
    // The log's own thread appends the second of three and has both things to do next.
    let first = noted.log.hold();
    let writer = Arc::clone(&noted.writer);
    let batch = noted.batch(1);
    let brought = thread::spawn(move || writer.submit(batch).unwrap().wait().unwrap());
    noted.until("append", 2);
    let second = noted.writer.submit(noted.batch(2)).unwrap();
    let held = noted.log.hold();
    drop(first);
    brought.join().unwrap();
    noted.until("append", 3);
    let third = noted.writer.submit(noted.batch(3)).unwrap();
    let guarding = noted.guard.hold();
    drop(held);
    noted.until("guard", 3);
    noted.until("append", 4);
    drop(guarding);
    assert!(second.wait().is_ok() && third.wait().is_ok());
}

#[test]
fn a_large_frame_is_appended_by_the_logs_own_thread() {
    let noted = Noted::start();
    noted.writer.submit(noted.batch(0)).unwrap().wait().unwrap();
    noted.notes.lock().unwrap().clear();
    let large = seal(&noted.sealer, &noted.ground, &sent(1..65), 60_000);
    assert!(large.body_bytes() > 64 * 1_024);
    noted.writer.submit(large).unwrap().wait().unwrap();
    let notes = noted.notes.lock().unwrap();
    assert_eq!(notes.first(), Some(&("append", "waag-log".to_owned())), "{notes:?}");
}

#[test]
fn a_panic_in_the_log_or_the_guard_halts_the_writer_and_everybody_is_told() {
    for (of_guard, appends) in [(false, 2), (true, 2)] {
        let noted = Noted::start();
        noted.writer.submit(noted.batch(0)).unwrap().wait().unwrap();
        if of_guard { &noted.guard } else { &noted.log }.make_panic();
        let [struck, later] = [1, 2].map(|number| (Arc::clone(&noted.writer), noted.batch(number)));
        let told = |(writer, batch): (Arc<Writer>, SealedBatch)| {
            writer.submit(batch).map_err(Rejection::from)?.wait().map(drop)
        };
        let is_halted = |told: Result<(), Rejection>| {
            assert!(matches!(&told, Err(Rejection::Halted(halt)) if halt.code == "E0604"), "{told:?}");
        };
        is_halted(within("who brought it", move || told(struck)));
        is_halted(within("a later batch", move || told(later)));
        assert_eq!(noted.writer.status().halted.unwrap().code, "E0604");
        assert_eq!(noted.count("append"), appends, "nothing follows it");
        let writer = Arc::into_inner(noted.writer).unwrap();
        within("the end", move || drop(writer));
    }
}

#[test]
fn a_panic_in_what_follows_commits_halts_the_writer_rather_than_let_the_index_fall_behind() {
    let syncs = Gate::default();
    let (writer, sealer, ground) =
        started_on(syncs.clone(), |ground| (ground.log.clone(), ground.guard.clone()));
    // The stored hashes are made durable before the first table of identities is written.
    syncs.make_panic();
    let told = within("the writer", move || {
        for first in (0..60_000).step_by(2_000) {
            let batch = seal(&sealer, &ground, &sent(first..first + 2_000), 0);
            let told = writer.submit(batch).map_err(Rejection::from).and_then(|pending| pending.wait());
            if told.is_err() {
                return (first, told.map(drop), writer.status().halted);
            }
        }
        (60_000, Ok(()), writer.status().halted)
    });
    let (first, Err(Rejection::Halted(told)), Some(halted)) = told else { panic!("{told:?}") };
    assert_eq!((told.code, halted.code), ("E0604", "E0604"));
    assert!(first >= 16_000, "a table is full first: {first}");
}

/// Who breaks off when told.
struct Breaks;

impl Hears for Breaks {
    fn hear(self, _outcome: Result<BatchReceipt, Rejection>) {
        panic!("as the test wants it");
    }
}

#[test]
fn a_panic_of_who_hears_halts_the_writer_and_everybody_is_told() {
    let noted = Noted::start();
    noted.writer.submit(noted.batch(0)).unwrap().wait().unwrap();
    // Another batch is appended behind the one of which nobody can be told.
    let guarding = noted.guard.hold();
    let (writer, batch) = (Arc::clone(&noted.writer), noted.batch(1));
    let brought = thread::spawn(move || drop(writer.submit_for(batch, Breaks)));
    noted.until("guard", 2);
    let behind = noted.writer.submit(noted.batch(2)).unwrap();
    drop(guarding);
    brought.join().unwrap();
    let told = within("who is behind", move || behind.wait());
    assert!(matches!(told, Err(Rejection::Halted(_))), "{told:?}");
    assert_eq!(noted.writer.status().halted.unwrap().code, "E0604");
    let refused = noted.writer.submit(noted.batch(3));
    assert!(matches!(refused, Err(NotTaken::Halted(_))));
    let writer = Arc::into_inner(noted.writer).unwrap();
    within("the end", move || drop(writer));
}

/// Who counts answers.
struct Counts(Arc<AtomicUsize>);

impl Hears for Counts {
    fn hear(self, outcome: Result<BatchReceipt, Rejection>) {
        assert!(outcome.is_ok(), "{outcome:?}");
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn every_batch_is_answered_once_however_they_come_and_also_where_the_writer_ends_at_once() {
    for round in 0..25u32 {
        let (writer, sealer, ground) = started();
        let (next, given, heard) = (AtomicU32::new(0), AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        thread::scope(|scope| {
            for sender in 0..4u32 {
                let (writer, sealer, ground, next, given) = (&writer, &sealer, &ground, &next, &given);
                let heard = Arc::clone(&heard);
                scope.spawn(move || {
                    for turn in 0..12u32 {
                        // One, a few, and more than what is stored at hand; now and then the same again.
                        let many = [1, 3, 1, 700, 2, 100][((round + sender * 5 + turn * 7) % 6) as usize];
                        let is_again = (round + sender + turn) % 9 == 0;
                        let first = if is_again { 0 } else { next.fetch_add(many, Ordering::SeqCst) };
                        let mut batch = seal(sealer, ground, &sent(first..first + many), 0);
                        given.fetch_add(1, Ordering::SeqCst);
                        while let Err((again, _)) = writer.submit_for(batch, Counts(Arc::clone(&heard))) {
                            let NotTaken::Busy(back) = again else { panic!("it has halted") };
                            batch = back;
                            thread::yield_now();
                        }
                    }
                });
            }
        });
        within("the end", move || drop(writer));
        assert_eq!(heard.load(Ordering::SeqCst), given.load(Ordering::SeqCst), "round {round}");
        let guarded = ground.guard.read().unwrap().unwrap();
        assert_eq!(ground.hashes.0.lock().unwrap().len() as u64, stored_hash_count(guarded.size));
        assert_eq!(frontier_at(&*ground.hashes, guarded.size).unwrap().root(), guarded.root);
    }
}
