//! Opening a ledger: what is refused, with its code and with nothing signed; what is kept; what is made anew.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use waag_engine::batch::Outcome;
use waag_log::contract::EventLog;
use waag_log::guard::GuardRecord;
use waag_model::ids::Position;

mod support;
use support::{Ground, Rig, Sent, sent};

/// A ledger with three frames of two events each, and the guard after each of them.
fn grown() -> (Ground, Vec<GuardRecord>) {
    let mut rig = Rig::new();
    let mut guards = vec![rig.ground.guard.0.lock().unwrap().clone().unwrap()];
    for start in [0, 2, 4] {
        rig.record(&[Sent(start, 0, start), Sent(start + 1, 0, start + 1)]);
        guards.push(rig.ground.guard.0.lock().unwrap().clone().unwrap());
    }
    (rig.close(), guards)
}

/// Opening must fail with this code, and leave log and guard as they were.
fn refused(ground: Ground, code: &str) {
    let before = (ground.log.tail(), ground.guard.0.lock().unwrap().clone());
    let (error, ground) = *ground.open().map(drop).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert_eq!((ground.log.tail(), ground.guard.0.lock().unwrap().clone()), before, "something was written");
}

#[test]
fn an_opened_ledger_goes_on_where_it_was() {
    let (ground, guards) = grown();
    let mut rig = ground.open().map_err(|refused| refused.0).unwrap();
    assert_eq!(rig.ground.guard.0.lock().unwrap().as_ref(), guards.last(), "there was nothing to sign");
    let again = rig.record(&[Sent(3, 0, 3), Sent(6, 0, 0)]);
    let [Outcome::Before(first), Outcome::Recorded(new)] = again.items.as_slice() else {
        panic!("{again:?}")
    };
    assert_eq!((first.position, new.position), (Position(3), Position(6)));
}

#[test]
fn whole_frames_beyond_the_guard_are_kept_and_signed_once() {
    for behind in [0, 1, 2] {
        let (ground, mut guards) = grown();
        *ground.guard.0.lock().unwrap() = Some(guards.swap_remove(behind));
        let mut rig = ground.open().map_err(|refused| refused.0).unwrap();
        let guard = rig.ground.guard.0.lock().unwrap().clone().unwrap();
        assert_eq!((guard.size, guard.sequence), (6, behind as u64 + 1));
        assert_eq!(rig.engine.checkpoint().note().as_bytes(), guard.checkpoint);
        let again = rig.record(&[Sent(0, 0, 0), Sent(5, 0, 5)]);
        assert!(again.items.iter().all(|item| matches!(item, Outcome::Before(_))), "{again:?}");
    }
}

#[test]
fn a_guard_that_is_missing_or_not_this_ledgers_is_refused() {
    let (ground, _) = grown();
    *ground.guard.0.lock().unwrap() = None;
    refused(ground, "E0630");
    let (ground, guards) = grown();
    let older = guards[1].checkpoint.clone();
    ground.guard.0.lock().unwrap().as_mut().unwrap().checkpoint = older;
    refused(ground, "E0631");
    let (ground, _) = grown();
    // The last byte of the signature's line, its line feed.
    if let Some(byte) = ground.guard.0.lock().unwrap().as_mut().unwrap().checkpoint.last_mut() {
        *byte = b' ';
    }
    let (error, _) = *ground.open().map(drop).unwrap_err();
    assert!(matches!(error, waag_engine::recover::OpenError::GuardCheckpoint(_)), "{error}");
}

#[test]
fn a_log_behind_its_guard_is_refused() {
    let (ground, _) = grown();
    ground.log.frames.lock().unwrap().pop();
    refused(ground, "E0632");
}

#[test]
fn a_state_behind_its_guard_is_refused() {
    let mut rig = Rig::new();
    rig.record(&[Sent(0, 0, 0)]);
    let old = rig.ground.state.model().clone();
    rig.record(&[Sent(1, 0, 1)]);
    let ground = rig.close();
    *ground.state.model() = old;
    refused(ground, "E0633");
}

#[test]
fn a_frame_beyond_the_guard_whose_key_is_unknown_is_refused() {
    let mut rig = Rig::new();
    rig.record(&[Sent(0, 0, 0)]);
    let old = (rig.ground.state.model().clone(), rig.ground.guard.0.lock().unwrap().clone());
    rig.record(&[Sent(1, 0, 1)]);
    let ground = rig.close();
    // Log ahead of guard and state, as no crash leaves it: the key is durable before the frame.
    *ground.state.model() = old.0;
    *ground.guard.0.lock().unwrap() = old.1;
    refused(ground, "E0634");
}

#[test]
fn entries_that_do_not_have_the_root_that_is_told_are_refused() {
    let (ground, _) = grown();
    // A frame of another history, whole in itself, before two of this one's.
    let mut rig = Rig::new();
    rig.record(&sent(100..102));
    let other = rig.close();
    let foreign = other.log.frames.lock().unwrap().first().cloned().unwrap();
    if let Some(first) = ground.log.frames.lock().unwrap().first_mut() {
        *first = foreign;
    }
    refused(ground, "E0635");
}

#[test]
fn limits_with_which_the_writer_would_wait_for_ever_are_refused() {
    let (mut ground, _) = grown();
    ground.limits.table_entries_max = ground.limits.batch_entries_max - 1;
    refused(ground, "E0643");
    let (mut ground, _) = grown();
    ground.limits.table_entries_max = ground.limits.batch_entries_max;
    ground.open().map_err(|refused| refused.0).unwrap();
}

#[test]
fn stored_hashes_that_are_missing_or_wrong_are_made_anew() {
    for damage in [Vec::clear as fn(&mut Vec<_>), |hashes| hashes.truncate(3), |hashes| hashes.reverse()] {
        let (ground, _) = grown();
        let mut rig = ground.open().map_err(|refused| refused.0).unwrap();
        rig.settle();
        let ground = rig.close();
        let due = ground.hashes.0.lock().unwrap().clone();
        damage(&mut ground.hashes.0.lock().unwrap());
        let rig = ground.open().map_err(|refused| refused.0).unwrap();
        assert_eq!(*rig.ground.hashes.0.lock().unwrap(), due);
    }
}
