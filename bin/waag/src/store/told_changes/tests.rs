//! A change and its event hold together whenever the change is broken off.

use waag_keys::restriction::{Cause, Restriction};

use super::*;
use crate::store::sample::{Sample, said};

const KIND: &str = "waag.test.changed";
const RECORD: &[u8] = b"plan/x";

/// A record before and behind a change.
type Case = (Option<&'static [u8]>, Option<&'static [u8]>);

const CASES: [Case; 4] =
    [(None, Some(b"1")), (Some(b"1"), Some(b"2")), (Some(b"2"), None), (Some(b"2"), Some(b"2"))];

fn change(by: &Actor) -> Change<'_> {
    let data = vec![("what", Value::Text("x".into()))];
    Change { by, kind: KIND, data, record: Record::Door(RECORD.to_vec()) }
}

fn set(store: &OpenedStore, to: Option<&[u8]>) -> Result<(), StoreError> {
    Ok(store.keyring.keep_door_record(RECORD, to)?)
}

fn settled(world: &Sample) -> OpenedStore {
    let store = world.open();
    assert_eq!(pending(&store.keyring).unwrap(), []);
    store
}

#[test]
fn a_change_that_was_broken_off_is_told_once_if_it_was_done_after_whichever_step() {
    for (before, after) in CASES {
        for step in 0..4 {
            let world = Sample::new();
            let store = settled(&world);
            set(&store, before).unwrap();
            let intent = Intent::new(&store.keyring, change(&world.by)).unwrap();
            intent.keep(&store.keyring).unwrap();
            if step >= 1 {
                set(&store, after).unwrap();
            }
            if step >= 2 {
                intent.tell(&store).unwrap();
            }
            if step == 2 {
                // Broken off before the intent was gone.
                intent.keep(&store.keyring).unwrap();
            }
            drop(store);
            let store = settled(&world);
            let there = store.keyring.door_record(RECORD).unwrap();
            assert_eq!(there.as_deref(), if step == 0 { before } else { after });
            // A change to what was there already shows in nothing but its event.
            let told = if step >= 2 || (step == 1 && before != after) { 1 } else { 0 };
            assert_eq!(said(&store, KIND).len(), told, "{before:?} {step}");
            drop(store);
            assert_eq!(said(&settled(&world), KIND).len(), told, "told again: {before:?} {step}");
        }
    }
}

#[test]
fn a_change_is_told_whoever_made_it_and_one_that_failed_only_where_it_was_done() {
    let world = Sample::new();
    let store = settled(&world);
    carry_out(&store, change(&world.by), || set(&store, Some(b"1"))).unwrap();
    carry_out(&store, change(&world.by), || set(&store, Some(b"1"))).unwrap();
    assert_eq!(said(&store, KIND).len(), 2, "what is set to what it is was set too");
    let failed = || StoreError::Unrecorded("the test's");
    let refused: Result<(), StoreError> = carry_out(&store, change(&world.by), || Err(failed()));
    assert!(matches!(refused, Err(StoreError::Unrecorded("the test's"))));
    assert_eq!((said(&store, KIND).len(), pending(&store.keyring).unwrap()), (2, vec![]));
    let done = || {
        set(&store, Some(b"2"))?;
        Err::<(), _>(failed())
    };
    carry_out(&store, change(&world.by), done).unwrap_err();
    assert_eq!((said(&store, KIND).len(), pending(&store.keyring).unwrap()), (3, vec![]));
}

#[test]
fn what_an_earlier_change_left_is_settled_before_the_next_one_changes_the_same_record() {
    let world = Sample::new();
    let store = settled(&world);
    for done in [false, true] {
        let told = said(&store, KIND).len();
        Intent::new(&store.keyring, change(&world.by)).unwrap().keep(&store.keyring).unwrap();
        if done {
            set(&store, Some(b"left")).unwrap();
        }
        carry_out(&store, change(&world.by), || set(&store, Some(b"next"))).unwrap();
        assert_eq!(said(&store, KIND).len(), told + 1 + usize::from(done));
        assert_eq!(pending(&store.keyring).unwrap(), []);
    }
}

#[test]
fn what_cannot_be_settled_keeps_only_changes_of_the_same_record_back() {
    let world = Sample::new();
    let store = settled(&world);
    let left = Intent { told: vec![0xFF], ..Intent::new(&store.keyring, change(&world.by)).unwrap() };
    left.keep(&store.keyring).unwrap();
    set(&store, Some(b"left")).unwrap();
    carry_out(&store, change(&world.by), || set(&store, Some(b"next"))).unwrap_err();
    assert_eq!(store.keyring.door_record(RECORD).unwrap().as_deref(), Some(&b"left"[..]));
    let other = Change { record: Record::Door(b"plan/y".to_vec()), ..change(&world.by) };
    carry_out(&store, other, || Ok::<_, StoreError>(store.keyring.keep_door_record(b"plan/y", Some(b"1"))?))
        .unwrap();
    assert_eq!(said(&store, KIND).len(), 1);
    assert_eq!(pending(&store.keyring).unwrap(), [left]);
}

#[test]
fn a_restriction_that_was_broken_off_is_told_once_if_it_was_made() {
    let person = Tag([5; 16]);
    for step in 0..3 {
        let world = Sample::new();
        let store = settled(&world);
        let change = Change { record: Record::Restriction(person), ..change(&world.by) };
        let intent = Intent::new(&store.keyring, change).unwrap();
        intent.keep(&store.keyring).unwrap();
        if step >= 1 {
            let restriction = Restriction {
                since: store.clock.now(),
                until: None,
                reason: "case 31".to_owned(),
                actor: "anna".to_owned(),
                cause: Cause::Request,
            };
            store.keyring.restrict(person, &restriction).unwrap();
        }
        if step == 2 {
            intent.tell(&store).unwrap();
        }
        drop(store);
        let store = settled(&world);
        assert_eq!(store.keyring.asked_restriction(person).unwrap().is_some(), step >= 1);
        assert_eq!(said(&store, KIND).len(), usize::from(step >= 1), "{step}");
    }
}

#[test]
fn an_intent_is_read_back_and_nothing_else_is() {
    let intent = Intent {
        id: [7; 16],
        kind: KIND.to_owned(),
        told: vec![1, 2],
        record: Record::Door(RECORD.to_vec()),
        before: Some([9; 32]),
    };
    let bytes = intent.encode();
    assert_eq!(Intent::decode(&bytes).unwrap(), intent);
    for at in 0..bytes.len() {
        assert!(Intent::decode(&bytes[..at]).is_err(), "{at}");
    }
    let first = Intent { before: None, ..intent.clone() };
    assert_eq!(Intent::decode(&first.encode()).unwrap(), first);
    let of_person = Intent { record: Record::Restriction(Tag([3; 16])), ..intent };
    assert_eq!(Intent::decode(&of_person.encode()).unwrap(), of_person);
}
