//! A store opened to read, also beside its writer: up to the guard, without a lock, changing nothing (`STORE-3`).

use std::sync::Arc;
use std::time::Duration;

use waag_engine::reader::Reader;
use waag_engine::recover::check_guard;
use waag_engine::registry::Registry;
use waag_files::guard::{Inspection, inspect};
use waag_files::log::FilesLog;
use waag_files::objects::FileObjects;
use waag_files::vault::{FileVault, VAULT_FILE, check_mode};
use waag_keys::keyring::{Keyring, Means};
use waag_keys::ledger::LedgerKeys;
use waag_keys::state::State;
use waag_ledger::checkpoint::SignedCheckpoint;
use waag_ledger::hash::Hash;
use waag_ledger::proof::InclusionProof;
use waag_ledger::stored::{HashReadError, HashReader};
use waag_log::guard::{GuardError, GuardRecord};
use waag_log::objects::Objects;
use waag_model::ids::Position;
use waag_sqlite::state::SqliteState;
use waag_stdx::entropy::SystemEntropy;
use waag_stdx::files::{File, Files, Open};

use crate::node::publishing::history::{self, published};
use crate::node::publishing::status::Stopped;

use super::error::StoreError;
use super::options::Options;
use super::place::{HASHES_FILE, Place};
use super::proof::prove;
use super::schemas::{SchemaRecord, Schemas};

/// How often a guard with a damaged slot is read again: a swap under way shows as one.
const GUARD_READS_MAX: u32 = 40;
/// The wait between two of these readings, in milliseconds.
const GUARD_READ_DELAY_MS: u64 = 3;

/// A store, opened to read.
pub struct OpenedReader {
    /// Where it is.
    pub place: Place,
    /// The tenant's keys.
    pub keyring: Arc<Keyring>,
    /// The ledger's keys.
    pub ledger: LedgerKeys,
    /// The guard as it was when the store was opened; nothing beyond it is seen.
    pub guard: GuardRecord,
    /// The guard's checkpoint, its signature checked.
    pub checkpoint: SignedCheckpoint,
    /// Reads entries back.
    pub reader: Reader,
    /// The registered schemas.
    pub schemas: Vec<SchemaRecord>,
    /// Registered schemas that could not be loaded; parts sealed with their dictionaries stay closed.
    pub schema_faults: Vec<StoreError>,
}

impl std::fmt::Debug for OpenedReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenedReader").field("place", &self.place).finish_non_exhaustive()
    }
}

/// Opens the vault and what it unlocks.
pub(crate) fn open_keys(
    place: &Place,
    state: Arc<dyn State>,
    options: &Options,
) -> Result<(Arc<FileVault>, Arc<Keyring>), StoreError> {
    let entropy = Arc::new(SystemEntropy::new());
    let path = place.state.join(VAULT_FILE);
    if path.exists() {
        check_mode(&path)?;
    }
    let passphrase = options.passphrase.as_ref().map(|passphrase| passphrase.as_slice());
    let vault = Arc::new(FileVault::open(place.state_files(), entropy.clone(), passphrase)?);
    let means = Means { state, vault: vault.clone(), entropy, clock: Arc::clone(&options.clock) };
    let keyring = Keyring::open(means, &place.tenant, options.keys)?;
    Ok((vault, Arc::new(keyring)))
}

/// Reads the guard without holding it; slots that stay damaged are in the answer.
///
/// # Errors
/// [`GuardError::Failed`] where there is no file or it cannot be read.
pub fn read_guard(files: &dyn Files) -> Result<Inspection, GuardError> {
    let mut inspection = inspect(files)?;
    for _ in 1..GUARD_READS_MAX {
        if inspection.faults.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(GUARD_READ_DELAY_MS));
        inspection = inspect(files)?;
    }
    Ok(inspection)
}

/// Opens a store to read.
///
/// # Errors
/// [`StoreError`].
pub fn open_reader(place: &Place, options: &Options) -> Result<OpenedReader, StoreError> {
    place.must_exist()?;
    let inspection = read_guard(&*place.guard_files())?;
    let guard = inspection.newest()?.clone();
    // The state is opened after the guard was read: it has every key that an entry below the guard names.
    let state: Arc<dyn State> = Arc::new(SqliteState::open_read_only(&place.state)?);
    let (_, keyring) = open_keys(place, state, options)?;
    open_beneath(place, keyring, guard)
}

/// Opens a ledger's log up to its guard, with a keyring that is open already.
pub(crate) fn open_beneath(
    place: &Place,
    keyring: Arc<Keyring>,
    guard: GuardRecord,
) -> Result<OpenedReader, StoreError> {
    let ledger = keyring.ledger(&place.ledger_name())?;
    let checkpoint = check_guard(&ledger, &guard)?;
    let files = place.data_files();
    let log = Arc::new(FilesLog::open_read_only(Arc::clone(&files), ledger.id, &guard)?);
    let objects: Arc<dyn Objects> = Arc::new(FileObjects::new(place.object_files()));
    let reader = Reader {
        ledger: ledger.id,
        log,
        keyring: Arc::clone(&keyring),
        objects,
        registry: Arc::new(Registry::default()),
    };
    let schemas = Schemas::find(&*files, &reader)?;
    let (registry, schema_faults) = schemas.load(&*reader.objects);
    let reader = Reader { registry: Arc::new(registry), ..reader };
    Ok(OpenedReader {
        place: place.clone(),
        keyring,
        ledger,
        guard,
        checkpoint,
        reader,
        schemas: schemas.records,
        schema_faults,
    })
}

impl OpenedReader {
    /// The inclusion proof of an entry under the guard's checkpoint; checked before it is given out.
    ///
    /// # Errors
    /// [`StoreError::Read`] beyond the guard; [`StoreError::Proof`] where the log itself does not lead to the root; as
    /// [`OpenedReader::check_published`].
    pub fn prove(&self, position: Position, leaf: &Hash) -> Result<InclusionProof, StoreError> {
        self.check_published()?;
        let stored = StoredFile::open(&*self.place.data_files());
        prove(&stored, &*self.reader.log, self.checkpoint.checkpoint(), position, leaf)
    }

    /// Refuses a ledger that is not the one that was published, grown: what it proves belongs to a second history.
    ///
    /// # Errors
    /// [`StoreError::Published`]; the state's.
    pub fn check_published(&self) -> Result<(), StoreError> {
        let kept = published(&self.keyring, &self.ledger.origin)?;
        // A restored ledger may be older, which its guard tells.
        let Some(kept) = kept.filter(|_| !self.guard.is_read_only()) else { return Ok(()) };
        if kept.size <= self.guard.size {
            return history::check(&*self.reader.log, self.guard.size, &kept).map_err(StoreError::Published);
        }
        // A writer that runs beside may have guarded and published since this was opened.
        let now = read_guard(&*self.place.guard_files())?.newest()?.size;
        if kept.size <= now {
            Ok(())
        } else {
            Err(StoreError::Published(Stopped::taken_back(kept.size, now)))
        }
    }

    /// The file of stored hashes, which may lag behind its writer or be wrong.
    #[must_use]
    pub fn stored_hashes(&self) -> Arc<dyn HashReader> {
        Arc::new(StoredFile::open(&*self.place.data_files()))
    }

    /// The first position beyond what can be read.
    #[must_use]
    pub fn end(&self) -> Position {
        self.reader.log.tail().position
    }
}

/// The file of stored hashes as any process may read it; it may lag behind its writer.
pub(crate) struct StoredFile(Option<Arc<dyn File>>);

impl StoredFile {
    pub(crate) fn open(files: &dyn Files) -> Self {
        Self(files.open(HASHES_FILE, Open::Read).ok())
    }

    /// How many hashes it has; none where it cannot be told.
    pub(crate) fn count(&self) -> u64 {
        self.0.as_ref().and_then(|file| file.len().ok()).unwrap_or(0) / 32
    }
}

impl HashReader for StoredFile {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, HashReadError> {
        let read = |index: &u64| {
            let index = *index;
            let missing = HashReadError::Missing { index };
            let file = self.0.as_ref().ok_or_else(|| missing.clone())?;
            let offset = index.checked_mul(32).ok_or_else(|| missing.clone())?;
            let mut hash = Hash([0; 32]);
            match file.read_at(&mut hash.0, offset) {
                Ok(32) => Ok(hash),
                Ok(_) => Err(missing),
                Err(error) => Err(HashReadError::Unreadable { index, reason: error.to_string() }),
            }
        };
        indexes.iter().map(read).collect()
    }
}
