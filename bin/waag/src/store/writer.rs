//! A store opened to write: every driver in its place, the engine running, the upkeep behind it.
//!
//! Order of opening: state (its lock is the store's) → vault and keys → guard → log, cut and repaired → compared with what
//! was published → stored hashes and identity index, made whole → schemas → the engine's threads. Order of closing: the engine, after everything under way
//! is done → upkeep → stored hashes synced → log, guard, state.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use waag_domain::passthrough::Passthrough;
use waag_engine::effect::Halt;
use waag_engine::engine::{Engine, Start};
use waag_engine::identity::IdentityError;
use waag_engine::reader::Reader;
use waag_engine::recover::{self, IDENTITY_FOLDER, Progress};
use waag_engine::registry::Registry;
use waag_engine::runtime::{Status, World, Writer};
use waag_engine::sealer::Sealer;
use waag_files::guard::{FileGuard, Inspection};
use waag_files::hashes::HashFile;
use waag_files::log::FilesLog;
use waag_files::objects::FileObjects;
use waag_files::recover::Recovery;
use waag_files::vault::FileVault;
use waag_keys::error::KeysError;
use waag_keys::keyring::Keyring;
use waag_keys::ledger::LedgerKeys;
use waag_keys::state::State;
use waag_ledger::checkpoint::Checkpoint;
use waag_ledger::hash::Hash;
use waag_ledger::proof::InclusionProof;
use waag_log::contract::EventLog;
use waag_log::hashes::StoredHashes;
use waag_log::objects::Objects;
use waag_model::ids::Position;
use waag_sqlite::state::SqliteState;
use waag_stdx::clock::Clock;
use waag_stdx::entropy::SystemEntropy;
use waag_stdx::files::Files;

use super::error::{ReadOnly, StoreError};
use super::key_changes::retire_pending;
use super::options::Options;
use super::place::{HASHES_FILE, Place};
use super::proof::prove;
use super::reader::open_keys;
use super::restores::promote::predecessor;
use super::room::Room;
use super::schemas::Schemas;
use super::upkeep::{ScrubStatus, Upkeep};
use crate::cli::tell;
use crate::node::publishing::history::{self, published};

/// A store, opened to write. Dropping it finishes what is under way and closes it.
pub struct OpenedStore {
    /// Where it is.
    pub place: Place,
    /// Seals events; shared by all sealing threads.
    pub sealer: Arc<Sealer<Passthrough>>,
    /// Reads entries back, also those that are not guarded yet.
    pub reader: Reader,
    /// The log.
    pub log: Arc<FilesLog>,
    /// The stored hashes.
    pub hashes: Arc<HashFile>,
    /// The tenant's keys.
    pub keyring: Arc<Keyring>,
    /// The vault.
    pub vault: Arc<FileVault>,
    /// The state.
    pub state: Arc<dyn State>,
    /// The ledger's keys as they were opened.
    pub ledger: LedgerKeys,
    /// What the log's driver found beyond the guard.
    pub recovery: Recovery,
    /// What the guard's two slots held.
    pub guard: Inspection,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// What is free where it grows.
    pub room: Room,
    /// It was told that the keyring takes no more changes.
    told_poisoned: AtomicBool,
    schemas: Mutex<Schemas>,
    /// Held while a change is carried out that an event tells (`told_changes`).
    changing: Mutex<()>,
    /// The running writer; of what follows, fields drop in the order they stand.
    pub writer: Arc<Writer>,
    upkeep: Upkeep,
    closing: Closing,
}

/// What is done when the engine's threads have ended.
struct Closing {
    hashes: Arc<HashFile>,
    place: Place,
    /// The engine found the identity index damaged.
    identity_is_damaged: bool,
}

impl Drop for Closing {
    fn drop(&mut self) {
        // Derived, both: what fails here is mended at the next opening.
        drop(StoredHashes::sync(&*self.hashes));
        if self.identity_is_damaged {
            drop(remove_identity(&*self.place.data_files(), &self.place));
        }
    }
}

impl std::fmt::Debug for OpenedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenedStore").field("place", &self.place).finish_non_exhaustive()
    }
}

/// What is opened before the engine can start.
struct Parts {
    sqlite: Arc<SqliteState>,
    state: Arc<dyn State>,
    vault: Arc<FileVault>,
    keyring: Arc<Keyring>,
    ledger: LedgerKeys,
    guard: FileGuard,
    inspection: Inspection,
    log: Arc<FilesLog>,
    recovery: Recovery,
    objects: Arc<dyn Objects>,
    hashes: Arc<HashFile>,
    files: Arc<dyn Files>,
}

/// Opens a store to write; `progress` hears how far a long recovery is (entries read, entries to read).
///
/// # Errors
/// [`StoreError`]; [`StoreError::InUse`] where another process has it.
pub fn open_writer(
    place: &Place,
    options: &Options,
    progress: Progress<'_>,
) -> Result<OpenedStore, StoreError> {
    let parts = open_parts(place, options)?;
    let start = recovered(place, options, &parts, progress)?;
    let Parts {
        sqlite,
        state,
        vault,
        keyring,
        ledger,
        guard,
        inspection,
        log,
        recovery,
        objects,
        hashes,
        files,
    } = parts;
    let reader = Reader {
        ledger: ledger.id,
        log: Arc::clone(&log) as Arc<dyn EventLog>,
        keyring: Arc::clone(&keyring),
        objects: Arc::clone(&objects),
        registry: Arc::new(Registry::default()),
    };
    let (schemas, registry) = load_schemas(place, &*files, &reader)?;
    let reader = Reader { registry: Arc::new(registry.clone()), ..reader };
    let entropy = Arc::new(SystemEntropy::new());
    let sealer =
        Arc::new(Sealer::new(Passthrough, &ledger, Arc::clone(&keyring), entropy, objects, registry));
    let (clock, counting) = (Arc::clone(&options.clock), Arc::clone(&sealer));
    let (upkeep, waking) =
        Upkeep::start(&log, files, ledger.id, Arc::clone(&clock), options.scrub_bytes_per_s, folding(sqlite))
            .map_err(StoreError::Thread)?;
    let world = World {
        log: Arc::new(waking),
        guard: Arc::new(guard),
        keyring: Arc::clone(&keyring),
        hashes: Arc::clone(&hashes) as Arc<dyn StoredHashes>,
        reader: reader.clone(),
        clock: Arc::clone(&clock),
        keys_destroyed: Box::new(move || counting.keys_destroyed()),
        told_halt: Box::new(tell_halt),
    };
    let writer = Writer::start(Engine::new(start), world).map_err(StoreError::Thread)?;
    Ok(OpenedStore {
        place: place.clone(),
        sealer,
        reader,
        log,
        hashes: Arc::clone(&hashes),
        keyring,
        vault,
        state,
        ledger,
        recovery,
        guard: inspection,
        room: Room::new(place, options),
        clock,
        told_poisoned: AtomicBool::new(false),
        schemas: Mutex::new(schemas),
        changing: Mutex::new(()),
        writer: Arc::new(writer),
        upkeep,
        closing: Closing { hashes, place: place.clone(), identity_is_damaged: false },
    })
}

/// Folds the state's write-ahead log; what stays in it is folded next time, or by a commit.
fn folding(state: Arc<SqliteState>) -> impl Fn() + Send + 'static {
    move || drop(state.fold_log())
}

/// Every driver in its place; the state's lock, which comes first, is the store's.
fn open_parts(place: &Place, options: &Options) -> Result<Parts, StoreError> {
    // The last step of a promotion opens what nobody else may before it is done.
    if options.promotes {
        place.must_stand()?
    } else {
        place.must_exist()?
    }
    place.check_modes()?;
    let sqlite = Arc::new(SqliteState::open(&place.state)?);
    let state: Arc<dyn State> = sqlite.clone();
    let (vault, keyring) = open_keys(place, Arc::clone(&state), options)?;
    let ledger = keyring.ledger(&place.ledger_name())?;
    let (guard, inspection) = FileGuard::open(&*place.guard_files())?;
    let record = inspection.newest()?;
    if place.before.is_some() {
        return Err(StoreError::ReadOnly(ReadOnly::Earlier));
    }
    if record.is_handed_over() {
        return Err(StoreError::ReadOnly(ReadOnly::HandedOver));
    }
    // A copy that was rebuilt from an export has nobody who could sign (`CARRY-1`), whatever its guard says.
    if record.is_read_only() || ledger.signers.is_empty() {
        return Err(StoreError::ReadOnly(ReadOnly::Restored));
    }
    // A promotion that was broken off before its last step: the first entry names the ledger before, and no other may.
    if record.size == 0 && !options.promotes && predecessor(&keyring)?.is_some() {
        return Err(StoreError::ReadOnly(ReadOnly::Restored));
    }
    // A signing key whose retirement was broken off signs nothing of this opening.
    let ledger = if retire_pending(&keyring)? { keyring.ledger(&place.ledger_name())? } else { ledger };
    let files = place.data_files();
    let (log, recovery) = FilesLog::open(Arc::clone(&files), options.log, ledger.id, record)?;
    let objects = FileObjects::new(Arc::clone(&files));
    objects.remove_unfinished()?;
    let failed = StoreError::io("open", &place.data.join(HASHES_FILE));
    let hashes = Arc::new(HashFile::open(&*files, HASHES_FILE).map_err(failed)?);
    let (log, objects) = (Arc::new(log), Arc::new(objects));
    Ok(Parts {
        sqlite,
        state,
        vault,
        keyring,
        ledger,
        guard,
        inspection,
        log,
        recovery,
        objects,
        hashes,
        files,
    })
}

/// Refuses a ledger that is not the one that was published, grown: whatever it signed would be a second history. Nothing is
/// signed yet.
fn check_published(parts: &Parts) -> Result<(), StoreError> {
    let Some(kept) = published(&parts.keyring, &parts.ledger.origin)? else { return Ok(()) };
    // What is published was under the guard. Of a guard whose newest slot is damaged the other one counts, and the log has
    // what it lacks.
    let guarded = parts.inspection.newest()?.size;
    let tail = parts.log.tail().position.0;
    let size = if parts.inspection.faults.is_empty() { guarded } else { tail };
    history::check(&*parts.log, size, &kept).map_err(StoreError::Published)
}

/// What the engine goes on from, where the ledger is the one that was published; a damaged identity index is removed once,
/// since it is made again from the log.
fn recovered(
    place: &Place,
    options: &Options,
    parts: &Parts,
    progress: Progress<'_>,
) -> Result<Start, StoreError> {
    check_published(parts)?;
    let store = recover::Store {
        ledger: &parts.ledger,
        keyring: &parts.keyring,
        log: &*parts.log,
        guard: &parts.guard,
        hashes: &*parts.hashes,
        files: Arc::clone(&parts.files),
        identity: options.identity.clone(),
    };
    match recover::open(&store, progress) {
        Err(recover::OpenError::Identity(IdentityError::Damaged { .. })) => {
            remove_identity(&*parts.files, place)?;
            Ok(recover::open(&store, progress)?)
        }
        other => Ok(other?),
    }
}

/// The schemas, each of which must be there: what was sealed by one may need its dictionary to be opened.
fn load_schemas(
    place: &Place,
    files: &dyn Files,
    reader: &Reader,
) -> Result<(Schemas, Registry), StoreError> {
    let schemas = Schemas::find(files, reader)?;
    let (registry, faults) = schemas.load(&*reader.objects);
    if let Some(fault) = faults.into_iter().next() {
        return Err(fault);
    }
    if !schemas.indexed {
        let failed = |error| StoreError::io("write in", &place.data.join("derived"))(error);
        schemas.write_index(files, reader.ledger).map_err(failed)?;
        Schemas::unmark(files).map_err(failed)?;
    }
    Ok((Schemas { indexed: true, ..schemas }, registry))
}

/// Removes the identity index; it is made again from the log at the next opening.
pub(crate) fn remove_identity(files: &dyn Files, place: &Place) -> Result<(), StoreError> {
    let failed = |error| StoreError::io("remove files in", &place.data.join(IDENTITY_FOLDER))(error);
    for name in files.list(IDENTITY_FOLDER).map_err(failed)? {
        files.remove(&format!("{IDENTITY_FOLDER}/{name}")).map_err(failed)?;
    }
    Ok(())
}

impl OpenedStore {
    /// What the writer tells of itself. Where a commit of the state failed elsewhere nothing is sealed any more, so that the
    /// writer has nothing to write: that is told as its halt, here once and by everybody who asks.
    #[must_use]
    pub fn status(&self) -> Status {
        let status = self.writer.status();
        if status.halted.is_some() || !self.keyring.is_poisoned() {
            return status;
        }
        let halt = Halt { code: KeysError::Poisoned.code(), reason: KeysError::Poisoned.to_string() };
        if !self.told_poisoned.swap(true, Ordering::AcqRel) {
            tell_halt(&halt);
        }
        Status { halted: Some(halt), ..status }
    }

    /// What the background has read again.
    #[must_use]
    pub fn scrubbed(&self) -> ScrubStatus {
        self.upkeep.scrubbed()
    }

    /// The registered schemas.
    #[must_use]
    pub fn schemas(&self) -> Schemas {
        self.schemas.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Held by who carries out a change that an event tells, or settles one.
    pub(super) fn one_change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_schemas(&self, schemas: Schemas) {
        *self.schemas.lock().unwrap_or_else(PoisonError::into_inner) = schemas;
    }

    /// The inclusion proof of an entry under a checkpoint of this ledger; checked before it is given out.
    ///
    /// # Errors
    /// [`StoreError::Proof`], [`StoreError::Read`].
    pub fn prove(
        &self,
        checkpoint: &Checkpoint,
        position: Position,
        leaf: &Hash,
    ) -> Result<InclusionProof, StoreError> {
        prove(&*self.hashes, &*self.log, checkpoint, position, leaf)
    }
}

impl Drop for OpenedStore {
    fn drop(&mut self) {
        let damaged = IdentityError::Damaged { file: String::new(), offset: 0, what: "" };
        let halted = self.writer.status().halted;
        self.closing.identity_is_damaged = halted.is_some_and(|halt| halt.code == damaged.code());
    }
}

/// Says why the writer has stopped when it does: whoever comes after is told only that it has.
fn tell_halt(halt: &Halt) {
    tell(&format!(
        "error: the ledger takes nothing more until this process is started again: {}: {}",
        halt.code, halt.reason
    ));
}

#[cfg(test)]
mod tests {
    use waag_keys::state::RECORD_VALUE_BYTES_MAX;

    use crate::store::sample::Sample;

    #[test]
    fn a_commit_of_the_state_that_failed_anywhere_is_told_as_the_writers_halt() {
        let world = Sample::new();
        let store = world.open();
        assert_eq!(store.status().halted, None);
        store.keyring.keep_door_record(b"x", Some(&vec![0; RECORD_VALUE_BYTES_MAX + 1])).unwrap_err();
        assert_eq!(store.status().halted.map(|halt| halt.code), Some("E0541"));
        drop(store);
        assert_eq!(world.open().status().halted, None);
    }
}
