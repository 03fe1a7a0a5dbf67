//! The right to write, moved from a lost store's guard to the restored one (`RESTORE-4`): at most one of them ever has it,
//! and a crash in between loses it to nobody.
//!
//! Order, each step durable before the next, all of it repeated by the same `waag restore --guard`:
//! 1. an intent beside the new guard, which has a random token (`TAKING_OVER_FILE`);
//! 2. the token beside the lost guard (`HANDED_OVER_FILE`), without meaning until the next step;
//! 3. the lost guard is marked (`HANDED_OVER_GENERATION`): from here on only the store with the token may go on;
//! 4. the new guard asks for the new state's generation;
//! 5. the intent goes.
//!
//! Not here: promotion, which refuses a guard that was handed over (`promote`).

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use waag_engine::recover::check_guard;
use waag_files::guard::{FileGuard, GUARD_FILE, inspect};
use waag_keys::keyring::Keyring;
use waag_keys::ledger::LedgerKeys;
use waag_keys::state::{Extent, State};
use waag_log::guard::{Guard, GuardError, GuardRecord, HANDED_OVER_GENERATION};
use waag_sqlite::state::SqliteState;
use waag_stdx::entropy::{Entropy, SystemEntropy};
use waag_stdx::files::DiskFiles;

use super::{Asked, Facts, RestoreError, Restored, mark};
use crate::store::error::StoreError;
use crate::store::place::{HANDED_OVER_FILE, LEDGER, Place, TAKING_OVER_FILE};
use crate::store::reader::open_keys;

/// Longest file of a handover that is read, in bytes: room for the longest path.
const FILE_BYTES_MAX: u64 = 16_384;
/// The version of both files.
const VERSION: u32 = 1;

/// What stands beside the new guard until it may write.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Intent {
    version: u32,
    token: String,
    /// What the restore found, for the answer of the one that finishes it.
    facts: Facts,
}

/// What stands beside the lost guard.
#[derive(Debug, Deserialize, Serialize)]
struct HandedOver {
    version: u32,
    token: String,
    /// The state folder of the store that took over, for people to read.
    to: String,
}

/// The folder of a lost store's state: as `--state` names it, or the tenant's own.
pub(super) fn lost_state(lost: &Path, place: &Place) -> PathBuf {
    let below = lost.join(place.tenant.as_str());
    if below.join(GUARD_FILE).exists() { below } else { lost.to_owned() }
}

fn read<T: for<'a> Deserialize<'a>>(folder: &Path, name: &str) -> Result<Option<T>, RestoreError> {
    let path = folder.join(name);
    let failed = || StoreError::io("read", &path);
    let mut bytes = Vec::new();
    match File::open(&path) {
        Ok(file) => file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(failed())?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed()(error).into()),
    };
    Ok(Some(serde_json::from_slice(&bytes).map_err(|error| failed()(error.into()))?))
}

fn write<T: Serialize>(folder: &Path, name: &str, what: &T) -> Result<(), RestoreError> {
    let failed = |error: serde_json::Error| StoreError::io("write", &folder.join(name))(error.into());
    mark::put(folder, name, &serde_json::to_vec(what).map_err(failed)?)
}

/// Step 1, before the mark of the restore goes.
pub(super) fn intend(place: &Place, facts: Facts) -> Result<Intent, RestoreError> {
    let mut token = [0; 16];
    SystemEntropy::new().fill(&mut token).map_err(waag_archive::error::ArchiveError::from)?;
    let intent = Intent { version: VERSION, token: hex::encode(token), facts };
    write(&place.state, TAKING_OVER_FILE, &intent)?;
    Ok(intent)
}

/// The handover that was begun for the store at a place; none where there is no store yet.
pub(super) fn begun(place: &Place) -> Result<Option<Intent>, RestoreError> {
    let has_guard = inspect(&*place.state_files()).is_ok_and(|guard| guard.record.is_some());
    if has_guard { read(&place.state, TAKING_OVER_FILE) } else { Ok(None) }
}

/// Finishes a restore that was broken off behind its intent: verified, where it was not, and the right to write taken over.
pub(super) fn finish(asked: &Asked, lost: &Path, intent: Intent) -> Result<Restored, RestoreError> {
    let place = &asked.place;
    if place.is_restoring() {
        mark::finish(place, &asked.options)?;
    }
    let sqlite: Arc<dyn State> = Arc::new(SqliteState::open(&place.state)?);
    let (_, keyring): (_, Arc<Keyring>) = open_keys(place, Arc::clone(&sqlite), &asked.options)?;
    let ledger = keyring.ledger(LEDGER)?;
    drop(sqlite);
    drop(keyring);
    let record = take_over(asked, lost, &ledger, &intent)?;
    Ok(intent.facts.restored(&ledger, &record, false))
}

/// Steps 2 to 5; gives the guard that may be written from here on.
pub(super) fn take_over(
    asked: &Asked,
    lost: &Path,
    ledger: &LedgerKeys,
    intent: &Intent,
) -> Result<GuardRecord, RestoreError> {
    let place = &asked.place;
    // Its lock is the store's: nobody promotes or writes it meanwhile.
    let sqlite = SqliteState::open(&place.state)?;
    let generation = sqlite.check(Extent::Head)?.head.generation.0;
    let (own, inspection) = FileGuard::open(&*place.state_files()).map_err(StoreError::from)?;
    let record = inspection.newest().map_err(StoreError::from)?.clone();
    if record.ledger != ledger.id {
        return Err(RestoreError::Guard("the restored store was promoted since".to_owned()));
    }
    if record.is_handed_over() {
        return Err(RestoreError::Guard("the restored store was itself handed over since".to_owned()));
    }
    if record.is_read_only() {
        give(place, &lost_state(lost, place), ledger, &record, intent)?;
        let sequence = record.sequence.saturating_add(1);
        let taken = GuardRecord { sequence, keys_generation: generation, ..record.clone() };
        own.swap(Some(record.sequence), &taken).map_err(StoreError::from)?;
    }
    mark::take(&place.state, TAKING_OVER_FILE)?;
    Ok(record)
}

/// Steps 2 and 3, or that they were done for this very store.
fn give(
    place: &Place,
    folder: &Path,
    ledger: &LedgerKeys,
    record: &GuardRecord,
    intent: &Intent,
) -> Result<(), RestoreError> {
    let refused = |why: &str| Err(RestoreError::Guard(why.to_owned()));
    let (guard, inspection) = FileGuard::open(&DiskFiles::new(folder)).map_err(|error| {
        if matches!(error, GuardError::Held) {
            RestoreError::Guard("another process holds it: the store is not lost".to_owned())
        } else {
            StoreError::from(error).into()
        }
    })?;
    let found = inspection.newest().map_err(StoreError::from)?.clone();
    if !inspection.faults.is_empty() {
        return refused("one of its two slots is damaged, and may have been the newer one");
    }
    if found.is_handed_over() {
        return match read::<HandedOver>(folder, HANDED_OVER_FILE)? {
            Some(given) if given.token == intent.token => Ok(()),
            Some(given) => refused(&format!("it was handed over to `{}` before", given.to)),
            None => refused("it was handed over before"),
        };
    }
    if found.is_read_only() {
        return refused("it was taken over before, or is a restored store's own");
    }
    check_guard(ledger, &found).map_err(StoreError::from)?;
    let is_same =
        (found.size, found.root, found.header_hash) == (record.size, record.root, record.header_hash);
    if !is_same {
        return refused("it is at another checkpoint: entries were acknowledged beyond the backup");
    }
    let to = std::path::absolute(&place.state).unwrap_or_else(|_| place.state.clone());
    let to = to.to_string_lossy().into_owned();
    write(folder, HANDED_OVER_FILE, &HandedOver { version: VERSION, token: intent.token.clone(), to })?;
    let sequence = found.sequence.saturating_add(1);
    let given = GuardRecord { sequence, keys_generation: HANDED_OVER_GENERATION, ..found.clone() };
    Ok(guard.swap(Some(found.sequence), &given).map_err(StoreError::from)?)
}
