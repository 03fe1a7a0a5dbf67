//! Destroyed keys are gone, told from keys that never were, and nothing of the person stays.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod common;

use common::{FailingState, Failure, World};
use waag_keys::keyring::{Found, Keyring, Limits, Whom};
use waag_keys::list::{Period, Purpose, Reason};
use waag_keys::state::{Extent, State, Table};
use waag_model::ids::KeyId;
use waag_model::time::UtcDay;

fn whom<'a>(id: &'a str, class: &'a str, year: i32) -> Whom<'a> {
    Whom::Person { id, class, year }
}

/// Anna in two classes and two years, one of them rotated, with a tag key; Bert once; one common key.
fn filled(keyring: &Keyring) -> (Vec<KeyId>, KeyId, KeyId) {
    let mut anna: Vec<KeyId> = [("business", 2025), ("business", 2026), ("legal", 2026)]
        .map(|(class, year)| keyring.data_key(whom("anna", class, year)).unwrap().id())
        .to_vec();
    anna.push(keyring.person_tag_key("anna").unwrap().id());
    anna.push(keyring.rotate_data_key(whom("anna", "business", 2026)).unwrap());
    let bert = keyring.data_key(whom("bert", "business", 2026)).unwrap().id();
    let common = keyring.data_key(Whom::Common { class: "business", day: UtcDay(9) }).unwrap().id();
    keyring.commit_pending(u64::MAX).unwrap();
    (anna, bert, common)
}

fn is_key(keyring: &Keyring, id: KeyId) -> bool {
    match keyring.open_key(id).unwrap() {
        Found::Key(_) => true,
        Found::Destroyed(tombstone) => {
            assert_eq!(tombstone.id, id);
            false
        }
        Found::Unknown => panic!("a key or its tombstone is lost"),
    }
}

#[test]
fn erasing_a_person_destroys_every_key_of_theirs_and_no_other() {
    let world = World::new();
    let keyring = world.open();
    let (anna, bert, common) = filled(&keyring);
    assert!(anna.iter().all(|id| is_key(&keyring, *id)));
    let pending = keyring.data_key(whom("anna", "late", 2026)).unwrap().id();
    let done = keyring.destroy_person("anna", &|_| true).unwrap();
    assert_eq!((done.destroyed.len(), done.kept.len()), (6, 0), "pending, rotated and tag keys too");
    assert!(done.destroyed.iter().all(|tombstone| tombstone.reason == Reason::Erased));
    for opened in [&keyring, &world.open()] {
        assert!(anna.iter().chain([&pending]).all(|id| !is_key(opened, *id)));
        assert!(is_key(opened, bert) && is_key(opened, common));
        assert_eq!(opened.tombstones(None, 100).unwrap().len(), 6);
        assert_eq!(opened.list(None, 100).unwrap().len(), 2);
    }
    assert_eq!(world.count(Table::Person), 1, "Bert's");
    assert!(world.state.check(Extent::All).unwrap().is_clean());
    let again = keyring.destroy_person("anna", &|_| true).unwrap();
    assert_eq!((again.destroyed.len(), again.generation), (0, None));
    // A person who comes back gets keys of their own, not the old ones.
    let new = keyring.data_key(whom("anna", "business", 2026)).unwrap();
    assert!(!anna.contains(&new.id()) && new.serial() > 0);
}

#[test]
fn a_retained_class_keeps_its_keys_and_the_tag_key() {
    let world = World::new();
    let keyring = world.open();
    let (anna, ..) = filled(&keyring);
    let done = keyring.destroy_person("anna", &|key| key.class != "legal").unwrap();
    let mut kept: Vec<_> =
        done.kept.iter().map(|key| (key.class.as_str(), key.purpose, key.period)).collect();
    kept.sort();
    assert_eq!(kept, [("", Purpose::Tags, Period::Life), ("legal", Purpose::Data, Period::Year(2026))]);
    assert_eq!(done.destroyed.len(), 3);
    assert_eq!(anna.iter().filter(|id| is_key(&keyring, **id)).count(), 2);
    let done = keyring.destroy_person("anna", &|_| true).unwrap();
    assert_eq!((done.destroyed.len(), done.kept.len()), (2, 0));
    assert!(anna.iter().all(|id| !is_key(&keyring, *id)));
}

#[test]
fn expired_keys_go_by_id_and_the_tag_key_with_the_last() {
    let world = World::new();
    let keyring = world.open();
    let (anna, bert, common) = filled(&keyring);
    let never = KeyId([3; 16]);
    let done = keyring.destroy_expired(&[common, never]).unwrap();
    assert_eq!((done.destroyed.len(), done.absent), (1, vec![never]));
    assert_eq!(world.count(Table::Common), 0);
    // The current one of a rotated pair: the older one is current again.
    let (old, new) = (anna[1], anna[4]);
    keyring.destroy_expired(&[new]).unwrap();
    assert_eq!(keyring.data_key(whom("anna", "business", 2026)).unwrap().id(), old);
    let done = keyring.destroy_expired(&[anna[0], anna[1], anna[2], new]).unwrap();
    assert_eq!((done.destroyed.len(), done.absent), (4, vec![new]), "the tag key went with the last");
    assert!(done.destroyed.iter().all(|tombstone| tombstone.reason == Reason::Expired));
    assert!(anna.iter().all(|id| !is_key(&keyring, *id)) && is_key(&keyring, bert));
    assert!(matches!(keyring.open_key(never).unwrap(), Found::Unknown));
    assert_eq!(world.count(Table::Person), 1);
}

#[test]
fn a_crash_in_an_erasure_leaves_all_or_nothing_and_asking_again_finishes() {
    for failure in [Failure::Lost, Failure::Persisted] {
        let world = World::new();
        let (anna, ..) = filled(&world.open());
        let dying = world.open_with(FailingState::new(world.state.clone(), 1, failure), Limits::default());
        dying.destroy_person("anna", &|_| true).unwrap_err();
        let keyring = world.open();
        let left = anna.iter().filter(|id| is_key(&keyring, **id)).count();
        assert_eq!(left, if failure == Failure::Lost { anna.len() } else { 0 });
        let done = keyring.destroy_person("anna", &|_| true).unwrap();
        assert_eq!(done.destroyed.len(), left);
        assert!(anna.iter().all(|id| !is_key(&keyring, *id)));
    }
}
