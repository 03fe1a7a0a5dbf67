//! Rotation of every level: old things stay readable, crashes anywhere are finished by asking again.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod common;

use std::sync::Arc;

use common::{FailingState, Failure, World};
use waag_keys::create::ORIGIN_BYTES_MAX;
use waag_keys::error::KeysError;
use waag_keys::keyring::{Found, Keyring, Limits, Means, Whom};
use waag_keys::ledger::{SIGNERS_ACTIVE_MAX, SIGNERS_MAX};
use waag_keys::memory::MemoryVault;
use waag_keys::rotate::{REWRAP_RECORDS_MAX, TenantRotation};
use waag_keys::state::{Extent, State, Table};
use waag_keys::vault::{KeyVault, VaultError};
use waag_model::ids::KeyId;
use waag_model::time::UtcDay;
use waag_stdx::entropy::SystemEntropy;
use zeroize::Zeroizing;

fn day(number: i32) -> Whom<'static> {
    Whom::Common { class: "business", day: UtcDay(number) }
}

fn opened(keyring: &Keyring, id: KeyId) -> [u8; 32] {
    match keyring.open_key(id).unwrap() {
        Found::Key(handle) => *handle.key(),
        Found::Destroyed(_) | Found::Unknown => panic!("the key is gone"),
    }
}

/// Wraps under the second of two vaults, unwraps under either: a vault amid its own rotation.
struct TwoVaults(Arc<dyn KeyVault>, Arc<dyn KeyVault>);

impl KeyVault for TwoVaults {
    fn name(&self) -> String {
        "two".to_owned()
    }

    fn wrap(&self, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, VaultError> {
        self.1.wrap(context, secret)
    }

    fn unwrap(&self, context: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        self.1.unwrap(context, wrapped).or_else(|_| self.0.unwrap(context, wrapped))
    }
}

#[test]
fn the_vaults_key() {
    let world = World::new();
    let keyring = world.open();
    let key = keyring.data_key(day(1)).unwrap();
    keyring.commit_pending(u64::MAX).unwrap();
    let new: Arc<dyn KeyVault> = Arc::new(MemoryVault::new(Arc::new(SystemEntropy::new())).unwrap());
    let means = |vault| Means { vault, ..world.means(Arc::new(world.state.clone())) };
    assert!(Keyring::open(means(Arc::clone(&new)), &world.tenant, Limits::default()).is_err());
    let both: Arc<dyn KeyVault> = Arc::new(TwoVaults(Arc::clone(&world.vault), Arc::clone(&new)));
    let rotating = Keyring::open(means(both), &world.tenant, Limits::default()).unwrap();
    assert_eq!(rotating.rewrap_vault().unwrap(), 1);
    let after = Keyring::open(means(new), &world.tenant, Limits::default()).unwrap();
    assert_eq!(&opened(&after, key.id()), key.key());
    let old = Keyring::open(means(Arc::clone(&world.vault)), &world.tenant, Limits::default());
    assert_eq!(old.unwrap_err(), KeysError::Vault(VaultError::Refused));
}

#[test]
fn the_tenants_key_in_bounded_commits() {
    let world = World::new();
    let keyring = world.open();
    let (ledger, _) = keyring.create_ledger("main", "x").unwrap();
    let count = i32::try_from(REWRAP_RECORDS_MAX).unwrap() + 5;
    let keys: Vec<_> = (0..count).map(|n| keyring.data_key(day(n)).unwrap()).collect();
    keyring.commit_pending(u64::MAX).unwrap();
    let before = world.state.model().head.generation.0;
    let pending = keyring.data_key(day(-1)).unwrap();
    let done = keyring.rotate_tenant_key().unwrap();
    let expected = keys.len() as u64 + 3;
    assert_eq!(done, TenantRotation { version: 2, rewrapped: expected, dropped: 1 });
    // A new version, the lookup key, the ledger, its signing key, two batches of data keys, the old version dropped.
    assert_eq!(world.state.model().head.generation.0 - before, 7);
    keyring.commit_pending(u64::MAX).unwrap();
    let again = world.open();
    assert!(again.list(None, 2_000).unwrap().iter().all(|key| key.tenant_key_version == 2));
    assert!(keys.iter().chain([&pending]).all(|key| &opened(&again, key.id()) == key.key()));
    assert_eq!(again.data_key(day(3)).unwrap().id(), keys[3].id());
    let found = again.ledger("main").unwrap();
    assert_eq!((&found.identity, &found.ordering), (&ledger.identity, &ledger.ordering), "tags never change");
    assert_eq!(found.signers[0].seed, ledger.signers[0].seed);
    assert_eq!(world.count(Table::Tenant), 3);
    assert_eq!(again.rotate_tenant_key().unwrap().version, 3);
}

#[test]
fn a_tenant_rotation_broken_off_at_any_commit_reads_and_finishes() {
    for failure in [Failure::Lost, Failure::Persisted] {
        for commits in 1.. {
            let world = World::new();
            let keyring = world.open();
            keyring.create_ledger("main", "x").unwrap();
            let keys: Vec<_> = (0..600).map(|n| keyring.data_key(day(n)).unwrap()).collect();
            keyring.commit_pending(u64::MAX).unwrap();
            drop(keyring);
            let dying =
                world.open_with(FailingState::new(world.state.clone(), commits, failure), Limits::default());
            let rotation = dying.rotate_tenant_key();
            let keyring = world.open();
            assert!(keys.iter().step_by(50).all(|key| &opened(&keyring, key.id()) == key.key()));
            keyring.ledger("main").unwrap();
            let new = keyring.data_key(day(-5)).unwrap();
            if rotation.is_ok() {
                assert_eq!(commits, 8, "all seven commits were broken off once");
                break;
            }
            let done = keyring.rotate_tenant_key().unwrap();
            keyring.commit_pending(u64::MAX).unwrap();
            let again = world.open();
            assert!(keys.iter().chain([&new]).all(|key| &opened(&again, key.id()) == key.key()));
            assert!(
                again.list(None, 2_000).unwrap().iter().all(|key| key.tenant_key_version == done.version)
            );
            assert_eq!(world.count(Table::Tenant), 3, "one version is left");
            assert!(world.state.check(Extent::All).unwrap().is_clean());
        }
    }
}

#[test]
fn a_data_key() {
    let world = World::new();
    let keyring = world.open();
    let whom = Whom::Person { id: "anna", class: "business", year: 2026 };
    let old = keyring.data_key(whom).unwrap();
    let id = keyring.rotate_data_key(whom).unwrap();
    for opened_ring in [&keyring, &world.open()] {
        let new = opened_ring.data_key(whom).unwrap();
        assert_eq!((new.id(), new.serial()), (id, 0));
        assert_ne!((new.id(), new.key()), (old.id(), old.key()));
        assert_eq!(&opened(opened_ring, old.id()), old.key());
    }
    // Also where there is no key yet.
    let id = keyring.rotate_data_key(day(7)).unwrap();
    assert_eq!(keyring.data_key(day(7)).unwrap().id(), id);
}

#[test]
fn signing_keys() {
    let world = World::new();
    let keyring = world.open();
    keyring.create_ledger("main", "x").unwrap();
    assert_eq!(keyring.retire_signer("main", 0), Err(KeysError::LastSigner));
    let added = keyring.add_signer("main").unwrap();
    assert_eq!(added.number, 1);
    let both = keyring.ledger("main").unwrap();
    assert_eq!(both.signers.len(), 2, "both sign");
    assert_eq!(keyring.retire_signer("main", 7), Err(KeysError::NoSigner(7)));
    let seed = both.signers[0].seed.clone();
    let retired = keyring.retire_signer("main", 0).unwrap();
    assert!(retired.retired.is_some());
    assert_eq!(keyring.retire_signer("main", 0), Err(KeysError::NoSigner(0)));
    let after = world.open().ledger("main").unwrap();
    assert_eq!((after.signers.len(), after.signers[0].info.number), (1, 1));
    assert_eq!((after.retired.len(), after.retired[0].public), (1, both.signers[0].info.public));
    assert_ne!(after.signers[0].seed, seed);
    keyring.rotate_tenant_key().unwrap();
    assert_eq!(world.open().ledger("main").unwrap().signers.len(), 1);
}

#[test]
fn signing_keys_are_bounded_side_by_side_and_over_a_ledgers_life() {
    let world = World::new();
    let keyring = world.open();
    keyring.create_ledger("main", "x").unwrap();
    for number in 1..SIGNERS_ACTIVE_MAX {
        assert_eq!(usize::try_from(keyring.add_signer("main").unwrap().number), Ok(number));
    }
    let generation = world.state.model().head.generation;
    assert_eq!(keyring.add_signer("main"), Err(KeysError::ActiveSignersFull));
    assert_eq!(world.state.model().head.generation, generation, "nothing was written");
    assert_eq!(world.open().ledger("main").unwrap().signers.len(), SIGNERS_ACTIVE_MAX);
    for number in 0.. {
        keyring.retire_signer("main", number).unwrap();
        match keyring.add_signer("main") {
            Ok(added) => assert_eq!(usize::try_from(added.number - number), Ok(SIGNERS_ACTIVE_MAX)),
            Err(error) => {
                assert_eq!(error, KeysError::SignersFull);
                break;
            }
        }
    }
    let ledger = keyring.ledger("main").unwrap();
    assert_eq!(ledger.signers.len() + ledger.retired.len(), SIGNERS_MAX);
    assert_eq!(ledger.signers.len(), SIGNERS_ACTIVE_MAX - 1);
}

#[test]
fn an_origin_is_no_longer_than_a_key_name_may_be() {
    let world = World::new();
    let keyring = world.open();
    // `<name>/bank/<32 digits>`
    let room = ORIGIN_BYTES_MAX - "/bank/".len() - 32;
    let refused = keyring.create_ledger("main", &"x".repeat(room + 1)).unwrap_err();
    assert_eq!(refused, KeysError::Name("the configured name of the origin"));
    let (ledger, _) = keyring.create_ledger("main", &"x".repeat(room)).unwrap();
    assert_eq!(ledger.origin.len(), ORIGIN_BYTES_MAX);
}
