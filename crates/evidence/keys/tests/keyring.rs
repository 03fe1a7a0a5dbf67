//! The keyring gives one key for one whom, durable before it is relied on, and tells nothing.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::{FailingState, Failure, World};
use waag_keys::create::{Made, create_tenant};
use waag_keys::error::KeysError;
use waag_keys::keyring::{Found, Keyring, Limits, PERSON_BYTES_MAX, Whom};
use waag_keys::state::{Change, Expect, Generation, State, StateError, Sum, Table};
use waag_model::ids::{KeyId, TenantName};
use waag_model::limits::RETENTION_BYTES_MAX;
use waag_model::time::UtcDay;

fn generation(world: &World) -> u64 {
    world.state.model().head.generation.0
}

fn person(id: &str) -> Whom<'_> {
    Whom::Person { id, class: "business", year: 2026 }
}

fn common_key(day: i32) -> Whom<'static> {
    Whom::Common { class: "business", day: UtcDay(day) }
}

#[test]
fn a_tenant_and_a_ledger_are_made_in_one_commit_each_and_once() {
    let world = World::new();
    assert_eq!(generation(&world), 1);
    let means = world.means(Arc::new(world.state.clone()));
    assert_eq!(create_tenant(&means, &world.tenant).unwrap(), Made::Before);
    let other = TenantName::new("other").unwrap();
    assert_eq!(create_tenant(&means, &other), Err(KeysError::OtherTenant("bank".to_owned())));
    assert!(matches!(Keyring::open(means, &other, Limits::default()), Err(KeysError::OtherTenant(_))));
    let keyring = world.open();
    assert_eq!(keyring.ledger("main").unwrap_err(), KeysError::NoLedger("main".to_owned()));
    let (made, how) = keyring.create_ledger("main", "waag.example").unwrap();
    assert_eq!((how, generation(&world)), (Made::Now, 2));
    assert_eq!(made.origin, format!("waag.example/bank/{}", made.id));
    assert_eq!((made.signers.len(), made.signers[0].info.name.as_str()), (1, made.origin.as_str()));
    let (again, how) = world.open().create_ledger("main", "waag.example").unwrap();
    assert_eq!((how, generation(&world)), (Made::Before, 2));
    assert_eq!((again.id, &again.identity, &again.ordering), (made.id, &made.identity, &made.ordering));
    assert_eq!(again.signers[0].seed, made.signers[0].seed);
    assert_ne!(made.identity, made.ordering);
    assert_eq!(
        keyring.create_ledger("main", "elsewhere").unwrap_err(),
        KeysError::OtherOrigin(made.origin.clone())
    );
    keyring.create_ledger("second", "waag.example").unwrap();
    assert_eq!(keyring.ledgers().unwrap(), ["main", "second"]);
}

#[test]
fn a_key_is_pending_until_committed_and_found_after_reopening() {
    let world = World::new();
    let keyring = world.open();
    let first = keyring.data_key(person("anna")).unwrap();
    let second = keyring.data_key(common_key(1)).unwrap();
    let tags = keyring.person_tag_key("anna").unwrap();
    assert_eq!([first.serial(), second.serial(), tags.serial()], [1, 2, 3]);
    assert_eq!(keyring.data_key(person("anna")).unwrap().id(), first.id());
    assert_eq!(generation(&world), 1, "nothing is stored yet");
    assert!(matches!(keyring.open_key(first.id()).unwrap(), Found::Key(_)), "a pending key opens");
    let durable = keyring.commit_pending(2).unwrap();
    assert_eq!((durable.serial(), durable.generation()), (2, Generation(2)));
    assert_eq!(keyring.data_key(person("anna")).unwrap().serial(), 0);
    assert_eq!(keyring.person_tag_key("anna").unwrap().serial(), 3);
    assert_eq!(keyring.commit_pending(2).unwrap().generation(), Generation(2), "nothing to do, no commit");
    keyring.commit_pending(u64::MAX).unwrap();
    assert_eq!(keyring.durable_serial(), 3);
    let again = world.open();
    for (old, new) in [
        (&first, again.data_key(person("anna")).unwrap()),
        (&second, again.data_key(common_key(1)).unwrap()),
        (&tags, again.person_tag_key("anna").unwrap()),
    ] {
        assert_eq!((old.id(), old.key(), new.serial()), (new.id(), new.key(), 0));
        let Found::Key(opened) = again.open_key(old.id()).unwrap() else { panic!("not found") };
        assert_eq!(opened.key(), old.key());
    }
    assert_eq!(again.person_of(first.id()).unwrap().unwrap().as_str(), "anna");
    assert!(again.person_of(second.id()).unwrap().is_none());
    assert!(matches!(again.open_key(KeyId([9; 16])).unwrap(), Found::Unknown));
    assert_eq!(generation(&world), 3, "reading commits nothing");
}

#[test]
fn keys_differ_by_person_class_and_period() {
    let keyring = World::new().open();
    let whoms = [
        person("anna"),
        person("bert"),
        Whom::Person { id: "anna", class: "payroll", year: 2026 },
        Whom::Person { id: "anna", class: "business", year: 2027 },
        common_key(2026),
        common_key(2027),
        Whom::Common { class: "payroll", day: UtcDay(2026) },
    ];
    let ids: BTreeSet<_> = whoms.iter().map(|whom| keyring.data_key(*whom).unwrap().id()).collect();
    let keys: BTreeSet<_> = whoms.iter().map(|whom| *keyring.data_key(*whom).unwrap().key()).collect();
    assert_eq!((ids.len(), keys.len()), (whoms.len(), whoms.len()));
}

#[test]
fn many_threads_make_each_key_once() {
    let world = World::new();
    let keyring = world.open();
    let names: Vec<String> = (0..500).map(|n| format!("person-{n}")).collect();
    let seen: Vec<Vec<KeyId>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| names.iter().map(|n| keyring.data_key(person(n)).unwrap().id()).collect())
            })
            .collect();
        let committer = scope.spawn(|| (0..50).all(|_| keyring.commit_pending(u64::MAX).is_ok()));
        assert!(committer.join().unwrap());
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(seen.iter().all(|ids| *ids == seen[0]));
    keyring.commit_pending(u64::MAX).unwrap();
    assert_eq!((world.count(Table::DataKey), world.count(Table::Person)), (500, 500));
}

#[test]
fn what_the_cache_drops_is_found_in_the_state_and_pending_keys_are_never_dropped() {
    let world = World::new();
    let limits = Limits { cache_entries_max: 64, ..Limits::default() };
    let keyring = world.open_with(Arc::new(world.state.clone()), limits);
    let names: Vec<String> = (0..2_000).map(|n| format!("person-{n}")).collect();
    let pending: Vec<KeyId> = names.iter().map(|n| keyring.data_key(person(n)).unwrap().id()).collect();
    assert_eq!(keyring.cached_keys(), 2_000, "pending keys are nowhere else");
    keyring.commit_pending(u64::MAX).unwrap();
    let durable: Vec<KeyId> = names.iter().map(|n| keyring.data_key(person(n)).unwrap().id()).collect();
    assert_eq!(pending, durable);
    // One more key in each part of the cache makes it shrink to its bound.
    for n in 0..2_000 {
        keyring.data_key(common_key(n)).unwrap();
        keyring.commit_pending(u64::MAX).unwrap();
    }
    assert!(keyring.cached_keys() <= 64, "{:?}", keyring.cached_keys());
    let reloaded: Vec<KeyId> = names.iter().map(|n| keyring.data_key(person(n)).unwrap().id()).collect();
    assert_eq!(pending, reloaded);
    assert_eq!(keyring.durable_serial(), 4_000, "no key was made twice");
}

#[test]
fn a_hit_does_not_ask_the_state() {
    let world = World::new();
    let state = FailingState::new(world.state.clone(), u64::MAX, Failure::Lost);
    let keyring = world.open_with(state.clone(), Limits::default());
    keyring.data_key(person("anna")).unwrap();
    let before = state.gets.load(Ordering::SeqCst);
    for _ in 0..100 {
        keyring.data_key(person("anna")).unwrap();
    }
    assert_eq!(state.gets.load(Ordering::SeqCst), before);
}

#[test]
fn limits_hold_at_the_limit() {
    let world = World::new();
    let limits = Limits { pending_keys_max: 3, ..Limits::default() };
    let keyring = world.open_with(Arc::new(world.state.clone()), limits);
    for n in 0..3 {
        keyring.data_key(common_key(n)).unwrap();
    }
    assert_eq!(keyring.data_key(common_key(3)).unwrap_err(), KeysError::PendingFull);
    keyring.commit_pending(1).unwrap();
    keyring.data_key(common_key(3)).unwrap();
    keyring.commit_pending(u64::MAX).unwrap();
    let (id, class) = ("x".repeat(PERSON_BYTES_MAX), "c".repeat(RETENTION_BYTES_MAX));
    keyring.data_key(Whom::Person { id: &id, class: &class, year: 1 }).unwrap();
    keyring.commit_pending(u64::MAX).unwrap();
    let (long_id, long_class) = (id.clone() + "x", class.clone() + "c");
    for (id, class) in [(long_id.as_str(), "c"), ("", "c"), ("x", long_class.as_str()), ("x", "")] {
        let refused = keyring.data_key(Whom::Person { id, class, year: 1 }).unwrap_err();
        assert!(matches!(refused, KeysError::Name(_)));
    }
    assert!(keyring.data_key(Whom::Common { class: "", day: UtcDay(1) }).is_err());
    assert!(keyring.person_tag_key("").is_err());
}

#[test]
fn a_failed_commit_poisons_and_reopening_finds_what_is_there() {
    for failure in [Failure::Lost, Failure::Persisted] {
        let world = World::new();
        let keyring = world.open_with(FailingState::new(world.state.clone(), 1, failure), Limits::default());
        let made = keyring.data_key(person("anna")).unwrap();
        assert!(matches!(keyring.commit_pending(u64::MAX), Err(KeysError::State(_))));
        assert_eq!(keyring.data_key(person("anna")).unwrap_err(), KeysError::Poisoned);
        assert_eq!(keyring.commit_pending(0).unwrap_err(), KeysError::Poisoned);
        assert_eq!(keyring.durable_serial(), 0);
        let again = world.open();
        let found = again.data_key(person("anna")).unwrap();
        assert_eq!(found.id() == made.id(), failure == Failure::Persisted);
        assert_eq!(found.serial() == 0, failure == Failure::Persisted);
    }
}

#[test]
fn another_writers_key_is_a_conflict_and_never_overwritten() {
    let world = World::new();
    let (one, two) = (world.open(), world.open());
    one.data_key(person("anna")).unwrap();
    two.data_key(person("anna")).unwrap();
    one.commit_pending(u64::MAX).unwrap();
    let error = two.commit_pending(u64::MAX).unwrap_err();
    assert!(matches!(error, KeysError::State(StateError::Conflict(_))), "{error:?}");
    assert_eq!(two.data_key(person("anna")).unwrap_err(), KeysError::Poisoned);
    assert_eq!(world.count(Table::DataKey), 1);
}

#[test]
fn a_wrapped_key_in_anothers_place_does_not_open() {
    let world = World::new();
    let keyring = world.open();
    let ids = ["anna", "bert"].map(|name| keyring.data_key(person(name)).unwrap().id());
    let (ledger, _) = keyring.create_ledger("main", "x").unwrap();
    keyring.commit_pending(u64::MAX).unwrap();
    let value = world.state.get(Table::DataKey, &ids[0].0).unwrap().unwrap().value;
    let put = |table, key: &[u8], value: &[u8]| {
        world.state.commit(&[Change { table, key, expect: Expect::Any, value: Some(value) }]).unwrap();
    };
    put(Table::DataKey, &ids[1].0, &value);
    assert_eq!(world.open().open_key(ids[1]).unwrap_err(), KeysError::Refused("a data key"));
    // Any byte of a record changed by somebody who sets its checksum right again.
    for at in 0..value.len() {
        let mut changed = value.clone();
        changed[at] ^= 1;
        put(Table::DataKey, &ids[0].0, &changed);
        assert!(world.open().open_key(ids[0]).is_err(), "byte {at}");
        put(Table::DataKey, &ids[0].0, &value[..at]);
        assert!(world.open().open_key(ids[0]).is_err(), "cut to {at}");
    }
    let value = world.state.get(Table::Ledger, b"main").unwrap().unwrap().value;
    put(Table::Ledger, b"copy", &value);
    assert_eq!(world.open().ledger("copy").unwrap().id, ledger.id, "the name is not the identity");
    let signing = world.state.scan(Table::Signing, None, 9).unwrap().remove(0);
    let mut place = signing.key.clone();
    place[19] = 1;
    put(Table::Signing, &place, &signing.value);
    assert_eq!(world.open().ledger("main").unwrap_err(), KeysError::Refused("a signing key"));
}

#[test]
fn an_index_that_names_a_missing_key_is_an_error_and_makes_no_second_key() {
    let world = World::new();
    let keyring = world.open();
    let id = keyring.data_key(person("anna")).unwrap().id();
    keyring.commit_pending(u64::MAX).unwrap();
    world
        .state
        .commit(&[Change { table: Table::DataKey, key: &id.0, expect: Expect::Any, value: None }])
        .unwrap();
    assert_eq!(world.open().data_key(person("anna")).unwrap_err(), KeysError::Dangling(id));
}

#[test]
fn nothing_printed_or_stored_shows_a_secret_or_a_person() {
    let world = World::new();
    let keyring = world.open();
    let key = keyring.data_key(person("anna@example.com")).unwrap();
    let tags = keyring.person_tag_key("anna@example.com").unwrap();
    let (ledger, _) = keyring.create_ledger("main", "x").unwrap();
    keyring.commit_pending(u64::MAX).unwrap();
    let found = keyring.open_key(key.id()).unwrap();
    let refused = keyring.retire_signer("main", 0).unwrap_err();
    let printed = format!(
        "{key:?} {tags:?} {ledger:?} {found:?} {keyring:?} {refused} {refused:?} {:?} {:?} {:?} {:?}",
        keyring.list(None, 10).unwrap(),
        keyring.tombstones(None, 10).unwrap(),
        world.state.scan(Table::DataKey, None, 10).unwrap(),
        world.state,
    );
    let secrets = [key.key(), tags.key(), ledger.identity.bytes(), ledger.ordering.bytes()];
    let secrets = secrets.into_iter().chain(ledger.signers.iter().map(|signer| signer.seed.bytes()));
    let stored: Vec<u8> = world
        .state
        .model()
        .records
        .iter()
        .flat_map(|((_, k), (v, _))| [k.clone(), v.clone()].concat())
        .collect();
    for secret in secrets {
        let hex: String = secret[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let list = secret[..8].iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        assert!(!printed.contains(&hex) && !printed.contains(&list), "{printed}");
        assert!(!stored.windows(8).any(|part| part == &secret[..8]));
    }
    assert!(!printed.contains("anna"));
    assert!(!stored.windows(4).any(|part| part == b"anna"));
    // The test can see: what is no secret is printed, and stored.
    assert!(printed.contains(&key.id().to_string()));
    assert!(stored.windows(16).any(|part| part == key.id().0));
    assert_ne!(Sum::of(0, b"", b""), Sum::of(1, b"", b""));
}

#[test]
fn a_doors_records_are_kept_by_name_and_counted_as_commits() {
    let world = World::new();
    let keyring = world.open();
    let before = generation(&world);
    keyring.keep_door_record(b"key/1", Some(b"one")).unwrap();
    keyring.keep_door_record(b"key/2", Some(b"two")).unwrap();
    keyring.keep_door_record(b"plan/1", Some(b"x")).unwrap();
    assert_eq!(generation(&world), before + 3);
    keyring.keep_door_record(b"key/1", Some(b"other")).unwrap();
    keyring.keep_door_record(b"key/2", None).unwrap();
    // Removing what is not there is no commit.
    keyring.keep_door_record(b"key/2", None).unwrap();
    assert_eq!(generation(&world), before + 5);
    assert_eq!(keyring.door_records(b"key/").unwrap(), [(b"key/1".to_vec(), b"other".to_vec())]);
    assert_eq!(world.open().door_records(b"").unwrap().len(), 2);
}
