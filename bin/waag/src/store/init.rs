//! Making a store: the vault's key, the tenant's keys, the ledger, its log, its first guard.
//!
//! The guard comes last: where it stands, the store is whole. A creation that was cut short anywhere is completed by
//! asking again; asking for a store that is whole changes nothing and says so.

use std::sync::Arc;

use waag_engine::recover::first_guard;
use waag_files::guard::{FileGuard, inspect};
use waag_files::log::FilesLog;
use waag_files::vault::{FileVault, VAULT_FILE, check_mode};
use waag_keys::create::{Made, create_tenant};
use waag_keys::keyring::{Keyring, Means};
use waag_keys::ledger::LedgerKeys;
use waag_keys::state::{Generation, State};
use waag_ledger::checkpoint::Checkpoint;
use waag_ledger::note::{Note, NoteError, VerifierKey};
use waag_log::guard::{Guard, GuardError, GuardRecord};
use waag_model::ids::LedgerId;
use waag_sqlite::state::SqliteState;
use waag_stdx::entropy::{Entropy, SystemEntropy};

use super::error::StoreError;
use super::options::Options;
use super::place::{LEDGER, Place};

/// What was made, or found.
#[derive(Clone, Debug)]
pub struct Initialised {
    /// Whether it was made by this call.
    pub made: Made,
    /// The ledger's checkpoint origin.
    pub origin: String,
    /// The guard's record.
    pub guard: GuardRecord,
    /// The ledger's keys; none where the store was there and nothing was opened.
    pub ledger: Option<LedgerKeys>,
}

/// Makes a tenant's store, or finds it. `origin_name` begins the checkpoint origin, `<name>/<tenant>/<ledger id>`; with a
/// passphrase in the options the vault's key is kept under it.
///
/// # Errors
/// [`StoreError`]; [`StoreError::NoGuard`] where there is a log with entries and no guard, which nothing here mends;
/// [`StoreError::Restoring`] where a restore was broken off.
pub fn init(place: &Place, origin_name: &str, options: &Options) -> Result<Initialised, StoreError> {
    place.must_not_be_half_restored()?;
    let state_files = place.state_files();
    if let Some(guard) = inspect(&*state_files).ok().and_then(|inspection| inspection.record) {
        return Ok(Initialised { made: Made::Before, origin: origin_of(&guard), guard, ledger: None });
    }
    // Whether a note can carry the name is asked before anything is made: the name is for ever.
    let example = format!("{origin_name}/{}/{}", place.tenant, LedgerId([0; 16]));
    if origin_name.is_empty() {
        return Err(StoreError::Origin(NoteError::KeyName));
    }
    VerifierKey::new(&example, [0; 32]).map_err(StoreError::Origin)?;
    let state: Arc<dyn State> = Arc::new(SqliteState::create(&place.state)?);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::new());
    let passphrase = options.passphrase.as_ref().map(|passphrase| passphrase.as_slice());
    let is_new = head_generation(&*state)? == Generation(0) && !place.state.join(VAULT_FILE).exists();
    // A lost key file is never replaced: what it wrapped would be lost with it, silently.
    let vault = if is_new {
        FileVault::create(place.state_files(), Arc::clone(&entropy), passphrase)?
    } else {
        check_mode(&place.state.join(VAULT_FILE))?;
        FileVault::open(place.state_files(), Arc::clone(&entropy), passphrase)?
    };
    let means = Means {
        state: Arc::clone(&state),
        vault: Arc::new(vault),
        entropy,
        clock: Arc::clone(&options.clock),
    };
    create_tenant(&means, &place.tenant)?;
    let keyring = Keyring::open(means, &place.tenant, options.keys)?;
    let (ledger, _) = keyring.create_ledger(LEDGER, origin_name)?;
    match FilesLog::create(place.data_files(), options.log, ledger.id) {
        Ok(log) => drop(log),
        Err(waag_files::error::OpenError::Exists) => {
            // Not there, or there and damaged: each is said by its own code.
            return Err(inspect(&*state_files)
                .and_then(|found| found.newest().map(drop))
                .err()
                .map_or(StoreError::InUse, StoreError::from));
        }
        Err(error) => return Err(error.into()),
    }
    let record = first_guard(&ledger, head_generation(&*state)?.0)?;
    let guard = match FileGuard::create(&*state_files) {
        Ok(guard) => guard,
        // Between the first look and this one: another process has made the store.
        Err(GuardError::Conflict { .. }) => return Err(StoreError::InUse),
        Err(error) => return Err(error.into()),
    };
    guard.swap(None, &record)?;
    Ok(Initialised { made: Made::Now, origin: ledger.origin.clone(), guard: record, ledger: Some(ledger) })
}

/// The origin that a guard's checkpoint claims.
fn origin_of(guard: &GuardRecord) -> String {
    let note = Note::parse(&guard.checkpoint).ok();
    let checkpoint = note.and_then(|note| Checkpoint::parse(note.text()).ok());
    checkpoint.map_or_else(String::new, |checkpoint| checkpoint.origin)
}

fn head_generation(state: &dyn State) -> Result<Generation, StoreError> {
    Ok(state.check(waag_keys::state::Extent::Head)?.head.generation)
}
