//! The keyring on SQLite: after an erasure or a rotation, no file of the state holds a byte of what is gone.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use waag_keys::create::create_tenant;
use waag_keys::keyring::{Found, Keyring, Limits, Means, Whom};
use waag_keys::memory::MemoryVault;
use waag_keys::state::{Extent, State, Table};
use waag_keys::vault::KeyVault;
use waag_model::ids::TenantName;
use waag_sqlite::state::SqliteState;
use waag_stdx::clock::SystemClock;
use waag_stdx::entropy::SystemEntropy;

const PERSONS: usize = 400;

fn open(folder: &Path, vault: &Arc<dyn KeyVault>) -> (Arc<SqliteState>, Keyring) {
    let state = Arc::new(SqliteState::create(folder).unwrap());
    let means = Means {
        state: Arc::clone(&state) as Arc<dyn State>,
        vault: Arc::clone(vault),
        entropy: Arc::new(SystemEntropy::new()),
        clock: Arc::new(SystemClock::new()),
    };
    let tenant = TenantName::new("bank").unwrap();
    create_tenant(&means, &tenant).unwrap();
    (state, Keyring::open(means, &tenant, Limits::default()).unwrap())
}

fn person(n: usize) -> String {
    format!("person-{n:04}@example.com")
}

/// The wrapped secrets (the last 40 bytes of a record: its end and its authentication tag) of a table, by key.
fn wrapped(state: &SqliteState, table: Table) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (mut found, mut after) = (Vec::new(), None::<Vec<u8>>);
    loop {
        let records = state.scan(table, after.as_deref(), 1_000).unwrap();
        let Some(last) = records.last() else { return found };
        after = Some(last.key.clone());
        found.extend(records.iter().map(|record| {
            (
                record.key.clone(),
                record.value.iter().copied().skip(record.value.len() - 40).collect::<Vec<u8>>(),
            )
        }));
    }
}

/// How many of these 40-byte strings stand in any file of the folder.
fn count_in_files(folder: &Path, needles: &BTreeSet<Vec<u8>>) -> usize {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        found.extend(bytes.windows(40).filter(|part| needles.contains(*part)).map(<[u8]>::to_vec));
    }
    found.len()
}

#[test]
fn nothing_of_an_erased_person_or_of_an_old_wrapping_stays_in_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let vault: Arc<dyn KeyVault> = Arc::new(MemoryVault::new(Arc::new(SystemEntropy::new())).unwrap());
    let at = folder.path().join("state");
    let (state, keyring) = open(&at, &vault);
    for n in 0..PERSONS {
        let id = person(n);
        for year in [2025, 2026] {
            keyring.data_key(Whom::Person { id: &id, class: "business", year }).unwrap();
        }
        keyring.person_tag_key(&id).unwrap();
        if n % 10 == 9 {
            keyring.commit_pending(u64::MAX).unwrap();
        }
    }
    let all = wrapped(&state, Table::DataKey);
    assert_eq!(all.len(), PERSONS * 3);
    let needles = all.iter().map(|(_, wrapped)| wrapped.clone()).collect();
    assert_eq!(count_in_files(&at, &needles), PERSONS * 3, "the test sees what is there");
    for n in (0..PERSONS).step_by(3) {
        keyring.destroy_person(&person(n), &|_| true).unwrap();
    }
    let kept: BTreeSet<Vec<u8>> = wrapped(&state, Table::DataKey).into_iter().map(|(key, _)| key).collect();
    let (left, gone): (Vec<_>, Vec<_>) = all.into_iter().partition(|(key, _)| kept.contains(key));
    assert_eq!(gone.len(), PERSONS.div_ceil(3) * 3);
    let needles = gone.iter().map(|(_, wrapped)| wrapped.clone()).collect();
    assert_eq!(count_in_files(&at, &needles), 0);
    // Rotating the tenant key leaves no old wrapping either; after reopening, too.
    keyring.rotate_tenant_key().unwrap();
    let needles = left.iter().map(|(_, wrapped)| wrapped.clone()).collect();
    assert_eq!(count_in_files(&at, &needles), 0);
    drop((state, keyring));
    let (state, keyring) = open(&at, &vault);
    assert_eq!(count_in_files(&at, &needles), 0);
    assert!(state.check(Extent::All).unwrap().is_clean());
    let ids = |keys: &[(Vec<u8>, Vec<u8>)]| -> Vec<_> {
        keys.iter().map(|(key, _)| waag_model::ids::KeyId(key.as_slice().try_into().unwrap())).collect()
    };
    assert!(ids(&left).into_iter().all(|id| matches!(keyring.open_key(id).unwrap(), Found::Key(_))));
    assert!(ids(&gone).into_iter().all(|id| matches!(keyring.open_key(id).unwrap(), Found::Destroyed(_))));
    // No person's id ever stood there in clear.
    for entry in std::fs::read_dir(&at).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(12).any(|part| part == b"@example.com" || part.starts_with(b"person-00")));
    }
}
