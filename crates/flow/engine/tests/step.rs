//! The writer as a step function: given what has happened, when an input comes, then these effects and no others. No
//! thread, no disk; each invariant of `engine` is broken by a change that one of these tests sees.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails loudly")]

use waag_engine::batch::{BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, Outcome, Recorded};
use waag_engine::effect::{Effect, Input, Rejection};
use waag_engine::engine::{BATCHES_QUEUED_MAX, QUEUED_BYTES_MAX};
use waag_engine::sealer::SealError;
use waag_entry::error::EntryError;
use waag_keys::error::KeysError;
use waag_log::contract::EventLog;
use waag_model::event::{Accepted, Data, Event};
use waag_model::ids::{Actor, Position};
use waag_stdx::clock::Clock;

mod support;
use support::{Rig, Sent, event, halt, sent};

fn recorded(items: &[Outcome]) -> Vec<Recorded> {
    let recorded =
        |item: &Outcome| if let Outcome::Recorded(recorded) = item { Some(*recorded) } else { None };
    items.iter().map(|item| recorded(item).unwrap_or_else(|| panic!("{item:?}"))).collect()
}

#[test]
fn engine_1_a_frame_waits_for_every_key_of_its_entries() {
    let mut rig = Rig::new();
    let first = rig.submit(&[Sent(1, 0, 1)]);
    assert!(rig.take_append().is_none(), "its key is not durable");
    // The second batch joins the forming frame while the first one's key is on its way.
    let up_to = rig.take_keys().unwrap();
    let durable = rig.keyring.commit_pending(up_to).unwrap();
    let second = rig.submit(&[Sent(2, 0, 2)]);
    rig.step(Input::KeysDurable(Ok(durable)));
    assert!(rig.take_append().is_none(), "the key of the second is not durable");
    rig.do_keys();
    let frame = rig.take_append().unwrap();
    assert_eq!(frame.header().tree_size, 2);
    rig.ground.log.append(frame.header().fields.number, &frame).unwrap();
    let generation = rig.keyring.generation();
    rig.step(Input::Appended(Ok((frame, generation))));
    rig.do_guard();
    assert_eq!((rig.items(first).len(), rig.items(second).len()), (1, 1));
    // Keys that are there already are not waited for.
    rig.submit(&[Sent(3, 0, 1)]);
    assert!(rig.take_keys().is_none());
    rig.take_append().unwrap();
}

#[test]
fn a_clock_beyond_what_can_be_recorded_halts_before_anything_is_appended() {
    let mut rig = Rig::new();
    let end = i64::MAX - 365 * 86_400 * 1_000_000_000;
    rig.ground.clock.jump(end - rig.ground.clock.now().0 - 1);
    rig.record(&sent(0..1));
    rig.ground.clock.jump(1);
    let refused = rig.submit(&sent(1..2));
    assert!(rig.take_append().is_none());
    let halt = rig.engine.halted().unwrap().clone();
    assert_eq!(halt.code, "E0606");
    assert_eq!(rig.take_reply(refused).unwrap().unwrap_err(), Rejection::Halted(halt));
}

#[test]
fn engine_2_an_acknowledgement_waits_for_the_guard_over_its_checkpoint() {
    let mut rig = Rig::new();
    rig.record(&sent(0..1));
    let first = rig.submit(&sent(1..3));
    let second = rig.submit(&sent(3..4));
    assert!(rig.take_reply(first).is_none(), "it is not durable");
    rig.do_append();
    assert!(rig.take_reply(first).is_none(), "its guard is not durable");
    let (expected, record) = rig.take_guard().unwrap();
    assert_eq!((record.sequence, record.size), (expected + 1, 3));
    // The next frame is durable before the guard of the first one is: it is not under that guard.
    rig.do_append();
    assert!(rig.take_guard().is_none(), "one swap at a time");
    rig.step(Input::Guarded(Ok(())));
    let receipt = rig.take_reply(first).unwrap().unwrap();
    assert_eq!(receipt.checkpoint.note().as_bytes(), record.checkpoint);
    assert_eq!(receipt.checkpoint.checkpoint().size, 3);
    receipt.range.as_ref().unwrap().verify(&receipt.new_leaves(), &record.root).unwrap();
    assert!(rig.take_reply(second).is_none(), "the guard is not over its checkpoint");
    let (expected, record) = rig.take_guard().unwrap();
    assert_eq!((expected, record.size), (2, 4));
    rig.step(Input::Guarded(Ok(())));
    let receipt = rig.take_reply(second).unwrap().unwrap();
    assert_eq!(receipt.checkpoint.note().as_bytes(), record.checkpoint);
}

#[test]
fn engine_3_a_retry_gets_the_first_position_and_leaf_hash() {
    let mut rig = Rig::new();
    let first = recorded(&rig.record(&sent(0..3)).items);
    let again = rig.record(&[Sent(1, 0, 0), Sent(3, 0, 0), Sent(0, 0, 0)]);
    let [one, two, three] = again.items.as_slice() else { panic!("{again:?}") };
    assert_eq!((*one, *three), (Outcome::Before(first[1]), Outcome::Before(first[0])));
    assert_eq!(recorded(&[*two])[0].position, Position(3));
    assert_eq!(rig.ground.log.tail().position, Position(4), "a retry is not written again");
    // Of retries alone nothing is appended, and the answer has the newest checkpoint.
    let receipt = rig.record(&sent(0..4));
    assert!(receipt.items.iter().all(|item| matches!(item, Outcome::Before(_))) && receipt.range.is_none());
    assert_eq!(receipt.checkpoint.checkpoint().size, 4);
}

#[test]
fn engine_3_a_retry_within_a_batch_and_of_what_is_under_way_waits_for_the_first() {
    let mut rig = Rig::new();
    let first = rig.submit(&[Sent(0, 0, 0), Sent(0, 0, 0), Sent(0, 1, 0)]);
    let second = rig.submit(&[Sent(0, 0, 0)]);
    rig.do_keys();
    assert_eq!(rig.ground.log.tail().position, Position(0));
    rig.do_append();
    assert!(
        rig.take_compare().is_none(),
        "what is not guarded may be lost: there is nothing to compare with"
    );
    rig.do_guard();
    rig.settle();
    let [one, two, three] = rig.items(first).try_into().unwrap();
    let one = recorded(&[one])[0];
    assert_eq!((two, three), (Outcome::Before(one), Outcome::Conflict(Position(0))));
    assert_eq!(rig.items(second), [Outcome::Before(one)]);
    assert_eq!(rig.ground.log.tail().position, Position(1));
}

#[test]
fn engine_3_other_content_under_the_same_identity_is_refused_and_an_erased_first_is_told() {
    let mut rig = Rig::new();
    rig.record(&[Sent(0, 0, 5), Sent(1, 0, 6)]);
    assert_eq!(rig.record(&[Sent(0, 1, 5)]).items, [Outcome::Conflict(Position(0))]);
    rig.destroy();
    rig.take_destroy().unwrap();
    rig.keyring.destroy_person("p6", &|_| true).unwrap();
    let keys_epoch = rig.sealer.keys_destroyed();
    rig.step(Input::Destroyed { keys_epoch });
    assert_eq!(rig.record(&[Sent(1, 0, 6)]).items, [Outcome::Erased(Position(1))]);
    assert_eq!(rig.ground.log.tail().position, Position(2));
}

#[test]
fn engine_4_keys_are_destroyed_between_two_frames_and_what_was_sealed_before_is_sealed_again() {
    let mut rig = Rig::new();
    let under_way = rig.submit(&sent(0..2));
    let late = rig.seal(&sent(2..3));
    let ticket = rig.destroy();
    assert!(rig.take_destroy().is_none(), "keys are on their way");
    rig.do_keys();
    assert!(rig.take_destroy().is_none(), "a frame is forming or appending");
    rig.do_append();
    assert!(rig.take_destroy().is_none(), "a frame is not guarded");
    let queued = rig.submit_sealed(late);
    let (expected, record) = rig.take_guard().unwrap();
    assert!(rig.take_append().is_none(), "nothing is sequenced behind the barrier");
    waag_log::guard::Guard::swap(&*rig.ground.guard, Some(expected), &record).unwrap();
    rig.step(Input::Guarded(Ok(())));
    assert_eq!(rig.items(under_way).len(), 2);
    assert_eq!(rig.take_destroy(), Some(ticket));
    let second = rig.destroy();
    assert_eq!(rig.take_reply(second).unwrap().unwrap_err(), Rejection::Busy, "one destruction at a time");
    let keys_epoch = rig.sealer.keys_destroyed();
    rig.step(Input::Destroyed { keys_epoch });
    assert_eq!(rig.take_reply(queued).unwrap().unwrap_err(), Rejection::Reseal);
    assert!(rig.take_append().is_none());
    assert_eq!(recorded(&rig.record(&sent(2..3)).items)[0].position, Position(2));
}

#[test]
fn engine_4_keys_on_their_way_for_what_is_queued_hold_a_destruction_up_too() {
    let mut rig = Rig::new();
    rig.submit(&sent(0..1));
    rig.do_keys();
    let ticket = rig.destroy();
    let queued = rig.submit(&[Sent(1, 0, 1)]);
    rig.do_append();
    rig.do_guard();
    assert!(rig.take_destroy().is_none(), "the queued batch's key is on its way");
    rig.do_keys();
    assert_eq!(rig.take_destroy(), Some(ticket));
    assert!(rig.take_reply(queued).is_none(), "it waits behind the barrier");
}

/// What an engine does that was stopped by `input` with a batch appended, one forming and one in the queue.
fn stopped_by(prepare: impl FnOnce(&mut Rig), input: Input) {
    let mut rig = Rig::new();
    let code = halt().code;
    let before = rig.record(&sent(0..1));
    let under_way = [rig.submit(&[Sent(1, 0, 1)]), rig.submit(&[Sent(2, 0, 2)])];
    prepare(&mut rig);
    let barrier = rig.destroy();
    let queued = rig.submit(&[Sent(3, 0, 3)]);
    rig.step(input);
    for ticket in under_way.into_iter().chain([barrier, queued]) {
        let rejection = rig.take_reply(ticket).unwrap().unwrap_err();
        assert!(matches!(&rejection, Rejection::Halted(halt) if halt.code == code), "{rejection}");
    }
    assert_eq!(rig.engine.halted(), Some(&halt()));
    rig.effects.clear();
    // Whatever was under way may still end well: nothing comes of it.
    let durable = rig.keyring.commit_pending(u64::MAX).unwrap();
    rig.step(Input::KeysDurable(Ok(durable)));
    rig.step(Input::Guarded(Ok(())));
    let late = rig.submit(&sent(9..10));
    assert!(matches!(rig.take_reply(late).unwrap(), Err(Rejection::Halted(_))));
    let erasing = rig.destroy();
    assert!(matches!(rig.take_reply(erasing).unwrap(), Err(Rejection::Halted(_))));
    assert!(rig.effects.is_empty(), "{:?}", rig.effects);
    assert_eq!(rig.engine.checkpoint().note().as_bytes(), before.checkpoint.note().as_bytes());
}

#[test]
fn engine_5_a_failed_write_of_any_kind_stops_everything() {
    stopped_by(|_| {}, Input::KeysDurable(Err(halt())));
    stopped_by(Rig::do_keys, Input::KeysDurable(Err(halt())));
    let appending = |rig: &mut Rig| {
        rig.do_keys();
        rig.do_keys();
    };
    stopped_by(appending, Input::Appended(Err(halt())));
    let guarding = |rig: &mut Rig| {
        appending(rig);
        rig.do_append();
    };
    stopped_by(guarding, Input::Guarded(Err(halt())));
    stopped_by(guarding, Input::Appended(Err(halt())));
}

#[test]
fn engine_5_a_frame_that_turns_out_durable_after_the_stop_is_not_signed() {
    let mut rig = Rig::new();
    let ticket = rig.submit(&sent(0..1));
    rig.do_keys();
    let frame = rig.take_append().unwrap();
    rig.step(Input::Guarded(Err(halt())));
    assert!(matches!(rig.take_reply(ticket).unwrap(), Err(Rejection::Halted(_))));
    let generation = rig.keyring.generation();
    rig.step(Input::Appended(Ok((frame, generation))));
    assert!(rig.effects.is_empty(), "{:?}", rig.effects);
}

#[test]
fn engine_6_at_most_two_frames_are_beyond_the_guard() {
    let mut rig = Rig::new();
    rig.record(&sent(0..1));
    rig.submit(&sent(1..2));
    rig.do_append();
    let (expected, record) = rig.take_guard().unwrap();
    rig.submit(&sent(2..3));
    rig.do_append();
    rig.submit(&sent(3..4));
    assert!(rig.take_append().is_none(), "two frames wait for their guard");
    waag_log::guard::Guard::swap(&*rig.ground.guard, Some(expected), &record).unwrap();
    rig.step(Input::Guarded(Ok(())));
    rig.do_append();
    assert_eq!(rig.ground.log.tail().position.0 - record.size, 2);
    assert!(rig.take_append().is_none());
}

#[test]
fn a_queue_that_is_full_says_so_and_takes_no_more_than_its_limits() {
    let mut rig = Rig::new();
    // Behind a barrier nothing leaves the queue.
    rig.destroy();
    rig.take_destroy().unwrap();
    let batches = u32::try_from(BATCHES_QUEUED_MAX).unwrap();
    let queued: Vec<_> = (0..batches).map(|number| rig.submit(&sent(number..number + 1))).collect();
    assert!(queued.iter().all(|ticket| rig.take_reply(*ticket).is_none()));
    let over = rig.submit(&sent(900..901));
    assert_eq!(rig.take_reply(over).unwrap().unwrap_err(), Rejection::Busy);
    rig.step(Input::Destroyed { keys_epoch: 0 });
    rig.settle();
    assert!(queued.iter().all(|ticket| rig.items(*ticket).len() == 1));
    assert_eq!(rig.ground.log.tail().position.0, u64::from(batches));
}

#[test]
fn a_queue_holds_no_more_bytes_than_its_limit() {
    let mut rig = Rig::new();
    rig.destroy();
    rig.take_destroy().unwrap();
    let mut bytes = 0;
    let mut number = 0;
    loop {
        let numbers: Vec<Sent> = (number..number + 64).map(|number| Sent(number, 0, 0)).collect();
        let batch = rig.try_seal(&numbers, 60_000).unwrap();
        let fits = bytes + batch.body_bytes() <= QUEUED_BYTES_MAX;
        bytes += batch.body_bytes();
        let ticket = rig.submit_sealed(batch);
        assert_eq!(rig.take_reply(ticket).map(Result::unwrap_err), (!fits).then_some(Rejection::Busy));
        if !fits {
            break;
        }
        number += 64;
    }
    // An empty queue takes them again: what left it is not counted any more.
    rig.step(Input::Destroyed { keys_epoch: 0 });
    rig.settle();
    assert_eq!(rig.ground.log.tail().position.0, u64::from(number));
    assert!(rig.engine.is_idle());
}

#[test]
fn a_batch_takes_as_many_events_as_its_limit_and_not_one_more() {
    let mut rig = Rig::new();
    let mut batch = rig.sealer.begin();
    // As small as events are, so that the batch is not full of bytes before.
    let accept = |number: u32| {
        let actor = Actor::new("test").unwrap();
        let event = Event { subject: None, data: Data::None, ..event(Sent(number, 0, 0), 0) };
        Accepted { event, actor, accepted: rig.ground.clock.now() }
    };
    let most = u32::try_from(BATCH_ENTRIES_MAX).unwrap();
    for number in 0..most {
        batch.push(accept(number), None).unwrap();
    }
    assert!(matches!(batch.push(accept(most), None), Err(SealError::BatchFull)));
    assert_eq!(batch.len(), BATCH_ENTRIES_MAX);
    let batch = batch.finish();
    let ticket = rig.submit_sealed(batch);
    rig.settle();
    assert_eq!(rig.items(ticket).len(), BATCH_ENTRIES_MAX);
    assert_eq!(rig.ground.log.tail().position.0, u64::from(most));
}

#[test]
fn a_batch_takes_as_many_bytes_as_its_limit_and_a_refused_event_leaves_nothing_behind() {
    let mut rig = Rig::new();
    let mut batch = rig.sealer.begin();
    let accept = |number: u32, pad: usize| {
        let actor = Actor::new("test").unwrap();
        Accepted { event: event(Sent(number, 0, 0), pad), actor, accepted: rig.ground.clock.now() }
    };
    let mut number = 0;
    while batch.push(accept(number, 60_000), None).is_ok() {
        number += 1;
    }
    // Smaller and smaller ones, until not even an empty one fits.
    for pad in [20_000, 5_000, 1_000, 300, 100, 0] {
        while batch.push(accept(number, pad), None).is_ok() {
            number += 1;
        }
    }
    let smallest = rig.try_seal(&[Sent(number, 0, 0)], 0).unwrap().body_bytes();
    let batch = batch.finish();
    assert!(batch.body_bytes() <= BATCH_BYTES_MAX && batch.body_bytes() + smallest > BATCH_BYTES_MAX);
    let ticket = rig.submit_sealed(batch);
    rig.settle();
    assert_eq!(rig.items(ticket).len(), number as usize);
    assert_eq!(rig.ground.log.tail().position.0, u64::from(number));
}

#[test]
fn a_batch_for_which_the_index_never_has_room_is_refused_at_once() {
    let mut ground = support::Ground::new();
    ground.limits.table_entries_max = 8;
    ground.limits.batch_entries_max = 8;
    let mut rig = ground.open().map_err(|refused| refused.0).unwrap();
    let over = rig.submit(&sent(0..9));
    let rejection = rig.take_reply(over).unwrap().unwrap_err();
    assert_eq!((rejection.code(), &rejection), ("E0605", &Rejection::TooLong));
    // At the limit it waits for the index and is recorded, again and again.
    rig.record(&sent(500..503));
    for start in [0, 8, 16, 24] {
        assert_eq!(recorded(&rig.record(&sent(start..start + 8)).items).len(), 8);
    }
    assert!(rig.effects.iter().all(|effect| matches!(effect, Effect::Follow(_))), "{:?}", rig.effects);
}

#[test]
fn what_the_next_event_may_meet_as_well_is_not_an_events_fault() {
    let events = [EntryError::TooLong(70_000), EntryError::PlaintextTooLong(1), EntryError::Header("a type")];
    assert!(events.into_iter().all(|error| SealError::Entry(error).is_the_events_fault()));
    let ours = [
        EntryError::Compression("no memory".to_owned()),
        EntryError::Crypto("encrypt a part"),
        EntryError::Dictionary("not trained".to_owned()),
        EntryError::DictionaryMissing([0; 8]),
    ];
    assert!(!ours.into_iter().any(|error| SealError::Entry(error).is_the_events_fault()));
    assert!(SealError::Keys(KeysError::Name("the person's id")).is_the_events_fault());
    assert!(!SealError::Keys(KeysError::Poisoned).is_the_events_fault());
}

#[test]
fn engine_7_a_guard_asks_for_what_was_committed_past_the_engine_before_its_frame() {
    let mut rig = Rig::new();
    rig.record(&[Sent(0, 0, 5), Sent(1, 0, 6)]);
    rig.destroy();
    rig.take_destroy().unwrap();
    let destroyed = rig.keyring.destroy_person("p6", &|_| true).unwrap().generation.unwrap();
    let keys_epoch = rig.sealer.keys_destroyed();
    rig.step(Input::Destroyed { keys_epoch });
    // No key is made for the event that tells of it: its guard asks for the destruction all the same.
    rig.submit(&[Sent(2, 0, 5)]);
    assert!(rig.take_keys().is_none());
    rig.do_append();
    let (expected, record) = rig.take_guard().unwrap();
    assert!(record.keys_generation >= destroyed.0, "{} {destroyed:?}", record.keys_generation);
    waag_log::guard::Guard::swap(&*rig.ground.guard, Some(expected), &record).unwrap();
    rig.step(Input::Guarded(Ok(())));
    // What is committed while a frame is under way counts from the next one on at the latest, and never less.
    rig.keyring.destroy_person("p5", &|_| true).unwrap();
    rig.record(&[Sent(3, 0, 7)]);
    let guard = waag_log::guard::Guard::read(&*rig.ground.guard).unwrap().unwrap();
    assert!(guard.keys_generation > record.keys_generation);
    assert!(guard.keys_generation <= rig.keyring.generation().0, "only what is durable is asked for");
}
