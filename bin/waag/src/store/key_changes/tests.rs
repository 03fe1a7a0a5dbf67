//! A change of keys holds whenever it is broken off, and its event says what it was.

use waag_model::event::{Data, Event};
use waag_model::value::Object;

use super::*;
use crate::store::sample::{Sample, said};

/// Opens it and finishes what was broken off, as every command that writes does.
fn open(world: &Sample) -> OpenedStore {
    let store = world.open();
    assert_eq!(pending(&store.keyring).unwrap(), []);
    store
}

fn told(person: &str, id: &str) -> Event<'static> {
    Event {
        id: id.to_owned().into(),
        source: "/test".into(),
        kind: "t.x".into(),
        subject: Some(person.to_owned().into()),
        attributes: Object::default(),
        data: Data::None,
    }
}

#[test]
fn a_destruction_that_was_broken_off_is_recorded_once_after_whichever_step() {
    for step in 0..4 {
        let world = Sample::new();
        let store = open(&world);
        store.record(&told("anna", "1"), &world.by).unwrap();
        let person = store.keyring.person_tag("anna");
        let keys: Vec<KeyId> = store.keyring.keys_of(person).unwrap().into_iter().map(|key| key.id).collect();
        let intent = Intent::new(&store, What::Destroy, &world.by, Some("request 1")).unwrap();
        let intent = Intent { person: Some(person), keys: keys.clone(), ..intent };
        intent.keep(&store.keyring).unwrap();
        if step >= 1 {
            destroy(&store.keyring, person, &keys).unwrap();
        }
        if step >= 2 {
            settle_destroyed(&store, &intent).unwrap();
        }
        if step == 2 {
            // The event is there, and that is not known.
            intent.keep(&store.keyring).unwrap();
        }
        drop(store);
        let store = open(&world);
        assert_eq!(store.keyring.keys_of(person).unwrap(), [], "{step}");
        let said = said(&store, DESTROYED);
        assert!(said.len() == 1 && said[0].contains(&keys[0].to_string()), "{step}: {said:?}");
    }
}

#[test]
fn a_signing_key_that_was_added_is_recorded_with_both_public_keys_after_whichever_step() {
    for step in 0..3 {
        let world = Sample::new();
        let store = open(&world);
        let intent = Intent::new(&store, What::Signing, &world.by, Some("case 1")).unwrap();
        let intent = Intent { signer: Some(1), ..intent };
        intent.keep(&store.keyring).unwrap();
        if step >= 1 {
            store.keyring.add_signer(LEDGER).unwrap();
        }
        if step >= 2 {
            settle_added(&store, &intent).unwrap().unwrap();
            intent.keep(&store.keyring).unwrap();
        }
        drop(store);
        let store = open(&world);
        let (said, all) = (said(&store, ROTATED), signers(&store.keyring).unwrap());
        assert_eq!((said.len(), all.len()), if step == 0 { (0, 1) } else { (1, 2) }, "{step}");
        for told in &said {
            assert!(all.iter().all(|(_, vkey)| told.contains(vkey)) && told.contains("case 1"), "{told}");
        }
    }
}

#[test]
fn a_key_whose_retirement_was_broken_off_signs_nothing_after_its_end() {
    for step in 0..3 {
        let world = Sample::new();
        let store = open(&world);
        store.keyring.add_signer(LEDGER).unwrap();
        drop(store);
        let store = open(&world);
        assert_eq!(store.ledger.signers.len(), 2);
        let intent = Intent::new(&store, What::Retire, &world.by, Some("case 2")).unwrap();
        let intent = Intent { signer: Some(0), ..intent };
        intent.keep(&store.keyring).unwrap();
        if step >= 1 {
            settle_retired(&store, &intent).unwrap();
            intent.keep(&store.keyring).unwrap();
        }
        drop(store);
        let store = open(&world);
        assert_eq!(store.ledger.signers.len(), 1, "{step}: what is opened does not sign with it");
        assert_eq!(said(&store, ROTATED).len(), 1, "{step}");
    }
}

#[test]
fn an_intent_is_read_back_and_nothing_else_is() {
    let intent = Intent {
        at: UtcNanos(1_790_000_000_000_000_000),
        id: [7; 16],
        by: "anna".to_owned(),
        reason: None,
        what: What::Destroy,
        signer: Some(3),
        person: Some(Tag([9; 16])),
        keys: vec![KeyId([1; 16])],
        kept: vec!["business".to_owned()],
    };
    let bytes = intent.encode();
    assert_eq!(Intent::decode(&bytes), Ok(intent.clone()));
    for at in 0..bytes.len() {
        assert!(Intent::decode(&bytes[..at]).is_err(), "{at}");
    }
    for what in ALL {
        let other =
            Intent { what, signer: None, person: None, reason: Some("r".to_owned()), ..intent.clone() };
        assert_eq!(Intent::decode(&other.encode()), Ok(other));
    }
}
