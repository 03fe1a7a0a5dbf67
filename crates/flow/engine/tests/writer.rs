//! The engine on its threads, as far as threads make a difference: who is one too many gets the batch back, and hands it
//! over again.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use waag_engine::batch::{Outcome, SealedBatch};
use waag_engine::effect::{NotTaken, Rejection};
use waag_engine::engine::{BATCHES_QUEUED_MAX, QUEUED_BYTES_MAX};
use waag_engine::runtime::{World, Writer};
use waag_engine::sealer::Sealer;
use waag_ledger::stored::{frontier_at, stored_hash_count};
use waag_log::contract::{AppendError, EventLog, FrameView, ReadError, Tail, TrimError};
use waag_log::frame::Frame;
use waag_log::guard::{Guard, GuardError, GuardRecord};
use waag_model::ids::{FrameNumber, Position};

mod support;
use support::{Rig, Sent, sent};

/// A writer on threads over a ledger in memory, and a rig that still seals.
fn started() -> (Writer, Arc<Sealer<waag_domain::passthrough::Passthrough>>, support::Ground) {
    started_on(|ground| (ground.log.clone(), ground.guard.clone()))
}

/// The same with a log and a guard around those in memory.
fn started_on(
    around: impl FnOnce(&support::Ground) -> (Arc<dyn EventLog>, Arc<dyn Guard>),
) -> (Writer, Arc<Sealer<waag_domain::passthrough::Passthrough>>, support::Ground) {
    let Rig { ground, engine, sealer, reader, keyring, .. } = Rig::new();
    let sealer = Arc::new(sealer);
    let (log, guard) = around(&ground);
    let world = World {
        log,
        guard,
        keyring,
        hashes: ground.hashes.clone(),
        reader,
        clock: ground.clock.clone(),
        // What is destroyed here has nothing to do with what was sealed.
        keys_destroyed: Box::new(|| 0),
        told_halt: Box::new(|_| ()),
    };
    (Writer::start(engine, world).unwrap(), sealer, ground)
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

/// A log or a guard that notes which thread uses it.
struct Noting<T> {
    inner: Arc<T>,
    notes: Notes,
    /// The next append waits until this one's sender is gone.
    gate: Arc<Mutex<Option<Receiver<()>>>>,
}

impl<T> Noting<T> {
    fn note(&self, what: &'static str) {
        let name = thread::current().name().unwrap_or_default().to_owned();
        self.notes.lock().unwrap().push((what, name));
    }
}

impl<T: EventLog> EventLog for Noting<T> {
    fn append(&self, expected: FrameNumber, frame: &Frame) -> Result<(), AppendError> {
        self.note("append");
        let gate = self.gate.lock().unwrap().take();
        if let Some(gate) = gate {
            gate.recv().unwrap_or_default();
        }
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
    let (notes, gate) = (Notes::default(), Arc::default());
    let (writer, sealer, ground) = started_on(|ground| {
        let (log, guard) = (Arc::clone(&ground.log), Arc::clone(&ground.guard));
        let log = Noting { inner: log, notes: Arc::clone(&notes), gate: Arc::clone(&gate) };
        let guard = Noting { inner: guard, notes: Arc::clone(&notes), gate: Arc::default() };
        (Arc::new(log), Arc::new(guard))
    });
    let batch_of = |number: u32| seal(&sealer, &ground, &sent(number..number + 1), 0);
    // Its keys are made durable first, by a thread that goes on with nothing.
    writer.submit(batch_of(0)).unwrap().wait().unwrap();
    let first = std::mem::take(&mut *notes.lock().unwrap());
    assert!(first.iter().all(|(_, by)| by != "waag-keys"), "{first:?}");
    assert_eq!(first.iter().map(|(what, _)| *what).collect::<Vec<_>>(), ["append", "guard"]);
    // Whoever still steps for the batch before takes the next one, too: until nobody does.
    let was_brought = (1..100).any(|round| {
        let (release, waits) = sync_channel(1);
        *gate.lock().unwrap() = Some(waits);
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
