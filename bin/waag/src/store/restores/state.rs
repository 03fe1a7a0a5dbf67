//! The restored state: the records of one run, without any key that was destroyed since (`RESTORE-1`, `RESTORE-3`).
//!
//! A destroyed key is left out before anything is written, so that no file of the restored store ever held it.
//! Not here: which keys those are (`destroyed`), what screening means (`evidence/keys`, `restored`).

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::sync::Arc;

use waag_archive::error::ArchiveError;
use waag_archive::manifest::Kind;
use waag_archive::records::Records;
use waag_archive::repository::{RUNS, Repository};
use waag_files::vault::{FileVault, VAULT_FILE};
use waag_keys::restored::{Destroyed, Screened};
use waag_keys::state::{Change, Expect, SetDigest, State, Sum, Table};
use waag_log::contract::Tail;
use waag_model::ids::KeyId;
use waag_sqlite::state::SqliteState;
use waag_stdx::entropy::SystemEntropy;
use zeroize::Zeroizing;

use super::{Asked, Plan, RestoreError, destroyed};
use crate::store::backups::check_piece;
use crate::store::error::StoreError;

/// Changes of one commit.
const CHANGES_MAX: usize = 4_096;
/// Bytes of one commit.
const BYTES_MAX: usize = 8 * 1_024 * 1_024;

/// What doors keep of how far they have come with something of others (imports of logs, bridges) begins so. It is true of the
/// ledger that was backed up, as long as that was, and of no other: without it a door begins anew, and finds by its
/// identity what is recorded already.
const HOW_FAR: [&[u8]; 2] = [b"import/", b"bridge-cursor/"];

/// Tables that name no key and, without [`HOW_FAR`], no position of deliveries: where older keys are restored, the newest of
/// these are, so that a restriction (GDPR art. 18) or the withdrawal of an API key holds still.
const LATER: [Table; 6] =
    [Table::Door, Table::Witness, Table::Publication, Table::Pack, Table::Restriction, Table::Upkeep];

/// Rows on their way into a state.
struct Batch<'s> {
    state: &'s dyn State,
    rows: Vec<Row>,
    bytes: usize,
}

impl Batch<'_> {
    fn push(&mut self, table: Table, key: &[u8], value: Vec<u8>) -> Result<(), RestoreError> {
        self.bytes = self.bytes.saturating_add(key.len()).saturating_add(value.len());
        self.rows.push((table, key.to_vec(), value));
        if self.rows.len() >= CHANGES_MAX || self.bytes >= BYTES_MAX { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<(), RestoreError> {
        let changes: Vec<Change<'_>> = self
            .rows
            .iter()
            .map(|(table, key, value)| Change {
                table: *table,
                key,
                expect: Expect::Absent,
                value: Some(value),
            })
            .collect();
        self.state.commit(&changes)?;
        self.rows.clear();
        self.bytes = 0;
        Ok(())
    }
}

/// Restores the state; says how many keys did not come back, and which are known to be destroyed.
pub(super) fn restore(
    asked: &Asked,
    repository: &Repository,
    plan: &Plan<'_>,
    tail: &Tail,
) -> Result<(u64, Destroyed), RestoreError> {
    let state = SqliteState::create(&asked.place.state)?;
    let destroyed = destroyed::gather(asked, repository, plan, tail)?;
    let (mut digest, mut count, mut again) = (SetDigest::default(), 0_u64, 0_u64);
    let mut tombstones: BTreeMap<KeyId, Vec<u8>> =
        destroyed.tombstones().map(|(id, value)| (*id, value.to_vec())).collect();
    let later = later_records(repository, plan);
    let is_later = |table| later.is_some() && LATER.contains(&table);
    let mut batch = Batch { state: &state, rows: Vec::new(), bytes: 0 };
    let mut put = |table: Table, key: &[u8], value: &[u8]| -> Result<(), RestoreError> {
        digest = digest.with(Sum::of(table.code(), key, value));
        count += 1;
        if table == Table::Tombstone || is_later(table) || is_how_far(table, key) {
            return Ok(());
        }
        match destroyed.screen(table, key, value)? {
            Screened::Same => batch.push(table, key, value.to_vec()),
            Screened::Changed(value) => batch.push(table, key, value),
            Screened::Gone => Ok(()),
            Screened::Buried(tombstone) => {
                again += 1;
                tombstones.extend(key.try_into().ok().map(|id| (KeyId(id), tombstone)));
                Ok(())
            }
        }
    };
    each_record(repository, plan, &mut put)?;
    if (digest.0, count) != (plan.keys.digest, plan.keys.records) {
        let name = format!("{RUNS}{:020}", plan.keys.sequence);
        let what = "its records are not those that its state summed up";
        return Err(ArchiveError::Form { name, what }.into());
    }
    for (table, key, value) in later.into_iter().flatten().filter(|(table, key, _)| !is_how_far(*table, key))
    {
        batch.push(table, &key, value)?;
    }
    for (id, value) in tombstones {
        batch.push(Table::Tombstone, &id.0, value)?;
    }
    batch.commit()?;
    Ok((again, destroyed))
}

fn is_how_far(table: Table, key: &[u8]) -> bool {
    table == Table::Door && HOW_FAR.iter().any(|begin| key.starts_with(begin))
}

/// A record that owns its bytes.
type Row = (Table, Vec<u8>, Vec<u8>);

/// The records of [`LATER`] of the newest run behind the one whose keys are restored; none where there is no such run, or
/// none whose state can be read.
fn later_records(repository: &Repository, plan: &Plan<'_>) -> Option<Vec<Row>> {
    let later = plan.runs.iter().chain(plan.later.iter().copied()).rev();
    later.take_while(|run| run.manifest.sequence > plan.keys.sequence).find_map(|run| {
        let mut rows = Vec::new();
        for piece in run.manifest.of(Kind::State) {
            let plain = repository.get(piece).ok()?;
            let records = Records::new(&plain).collect::<Option<Vec<_>>>()?;
            let of_later = records.into_iter().filter(|record| LATER.contains(&record.table));
            rows.extend(of_later.map(|record| (record.table, record.key.to_vec(), record.value.to_vec())));
        }
        Some(rows)
    })
}

/// Takes a record: its table, its key, its value.
pub(super) type Put<'p> = &'p mut dyn FnMut(Table, &[u8], &[u8]) -> Result<(), RestoreError>;

/// Shows every record of the run whose keys are restored.
pub(super) fn each_record(
    repository: &Repository,
    plan: &Plan<'_>,
    put: Put<'_>,
) -> Result<(), RestoreError> {
    for piece in plan.keys.of(Kind::State).chain(plan.keys.of(Kind::Keys)) {
        let plain = repository.get(piece)?;
        check_piece(piece, &plain)?;
        for record in Records::new(&plain).flatten() {
            put(record.table, record.key, record.value)?;
        }
    }
    Ok(())
}

/// Reads all of what the keys are restored from, before anything is made.
pub(super) fn must_be_whole(repository: &Repository, plan: &Plan<'_>) -> Result<(), RestoreError> {
    for piece in plan.keys.of(Kind::Vault) {
        drop(Zeroizing::new(repository.get(piece)?));
    }
    each_record(repository, plan, &mut |_, _, _| Ok(()))
}

/// Writes the vault's file, as the vault itself does: for its owner only, synced. Opens it, so that a passphrase that is
/// missing or wrong is said before anything large is copied; the file is then taken away again.
pub(super) fn restore_vault(
    asked: &Asked,
    repository: &Repository,
    plan: &Plan<'_>,
) -> Result<(), RestoreError> {
    let path = asked.place.state.join(VAULT_FILE);
    for piece in plan.keys.of(Kind::Vault) {
        let plain = Zeroizing::new(repository.get(piece)?);
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&asked.place.state);
        made.map_err(StoreError::io("make", &asked.place.state))?;
        let written = options.open(&path).and_then(|mut file| {
            file.write_all(&plain)?;
            file.sync_all()?;
            std::fs::File::open(&asked.place.state)?.sync_all()
        });
        written.map_err(StoreError::io("write", &path))?;
        let passphrase = asked.options.passphrase.as_ref().map(|passphrase| passphrase.as_slice());
        let opened = FileVault::open(asked.place.state_files(), Arc::new(SystemEntropy::new()), passphrase);
        if let Err(error) = opened {
            std::fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
            return Err(StoreError::Vault(error).into());
        }
    }
    Ok(())
}

/// Tombstones among the records of a run's state.
pub(super) fn tombstones_of(
    repository: &Repository,
    run: &waag_archive::manifest::Manifest,
    destroyed: &mut Destroyed,
) -> Result<(), RestoreError> {
    for piece in run.of(Kind::State) {
        tombstones_in(&repository.get(piece)?, destroyed)?;
    }
    Ok(())
}

/// Tombstones among the records of a piece of state.
pub(super) fn tombstones_in(plain: &[u8], destroyed: &mut Destroyed) -> Result<(), RestoreError> {
    for record in Records::new(plain).flatten().filter(|record| record.table == Table::Tombstone) {
        destroyed.tombstone(record.key, record.value)?;
    }
    Ok(())
}
