//! The engine on its threads, as far as threads make a difference: who is one too many gets the batch back, and hands it
//! over again.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use waag_engine::batch::{Outcome, SealedBatch};
use waag_engine::effect::{NotTaken, Rejection};
use waag_engine::engine::{BATCHES_QUEUED_MAX, QUEUED_BYTES_MAX};
use waag_engine::runtime::{World, Writer};
use waag_engine::sealer::Sealer;

mod support;
use support::{Rig, Sent, sent};

/// A writer on threads over a ledger in memory, and a rig that still seals.
fn started() -> (Writer, Arc<Sealer<waag_domain::passthrough::Passthrough>>, support::Ground) {
    let Rig { ground, engine, sealer, reader, keyring, .. } = Rig::new();
    let sealer = Arc::new(sealer);
    let world = World {
        log: ground.log.clone(),
        guard: ground.guard.clone(),
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
