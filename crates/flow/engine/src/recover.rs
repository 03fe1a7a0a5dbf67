//! Opening a ledger to write: what is in the log, what the guard says, and everything derived made whole again.
//!
//! Place: before the engine's first step. The log's driver has already cut the torn tail and refused a log that is
//! shorter than its guard; here the guard's signature, the keys behind unacknowledged frames, the tree and the identity
//! index are held against the log.
//!
//! What survives a crash at each step: recovery only reads and derives until its last step, which signs the tail and
//! swaps the guard; crashing before or after it comes to the same.
//!
//! - `REC-1`: nothing is signed unless the tree computed from stored hashes has the root of the log's last frame.
//! - `REC-2`: frames beyond the guard are kept only where every key they name is known.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use waag_entry::form::{Entry, read_clear};
use waag_keys::error::KeysError;
use waag_keys::keyring::{Found, Keyring};
use waag_keys::ledger::{LedgerKeys, SignerInfo};
use waag_ledger::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use waag_ledger::hash::leaf_hash;
use waag_ledger::note::{NoteError, NoteSigner, VerifierKey};
use waag_ledger::stored::{HashReadError, frontier_at, stored_hash_count};
use waag_ledger::tree::Frontier;
use waag_log::contract::{EventLog, FrameView, ReadError, Tail};
use waag_log::guard::{Guard, GuardError, GuardRecord};
use waag_log::hashes::StoredHashes;
use waag_model::ids::{Epoch, KeyId, Position};
use waag_stdx::files::Files;

use crate::engine::Start;
use crate::identity::{IdentityError, IdentityIndex, IdentityLimits, LimitsError};

/// The folder of the identity index, below the store's root.
pub const IDENTITY_FOLDER: &str = "derived/identity";

/// What a ledger is opened from.
pub struct Store<'a> {
    /// Its keys, opened.
    pub ledger: &'a LedgerKeys,
    /// The tenant's keyring.
    pub keyring: &'a Keyring,
    /// The log, recovered by its driver.
    pub log: &'a dyn EventLog,
    /// The guard.
    pub guard: &'a dyn Guard,
    /// The stored hashes.
    pub hashes: &'a dyn StoredHashes,
    /// Where derived files are.
    pub files: Arc<dyn Files>,
    /// The identity index's limits.
    pub identity: IdentityLimits,
}

/// Why a ledger cannot be opened to write.
#[derive(Debug)]
pub enum OpenError {
    /// There is no guard: the state folder is not this log's, or was lost.
    NoGuard,
    /// The guard could not be read or swapped.
    Guard(GuardError),
    /// The guard's checkpoint is not signed by this ledger's keys, or says other than the record around it.
    GuardCheckpoint(CheckpointError),
    /// The guard's checkpoint and the record around it differ.
    GuardDiffers,
    /// The log ends before the guard: it was rolled back or lost its end.
    LogBehindGuard {
        /// The log's size.
        log: u64,
        /// The guarded size.
        guard: u64,
    },
    /// The state is older than the guard: it was rolled back, and keys are missing.
    StateBehindGuard {
        /// The state's generation.
        state: u64,
        /// The generation the guard needs.
        guard: u64,
    },
    /// An unacknowledged frame names a key the state does not know: the state was rolled back.
    KeyUnknown(KeyId),
    /// The log cannot be read.
    Log(ReadError),
    /// The keys cannot be opened.
    Keys(KeysError),
    /// A signing key cannot be used.
    Signer(NoteError),
    /// The identity index has limits that would make the writer wait for ever.
    Limits(LimitsError),
    /// The identity index failed.
    Identity(IdentityError),
    /// The stored hashes cannot be written.
    Hashes(HashReadError),
    /// The log's entries do not have the root that its frames tell: it is damaged below the guard.
    Root(Position),
}

impl OpenError {
    /// The stable code of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoGuard => "E0630",
            Self::Guard(error) => error.code(),
            Self::GuardCheckpoint(error) => error.code(),
            Self::GuardDiffers => "E0631",
            Self::LogBehindGuard { .. } => "E0632",
            Self::StateBehindGuard { .. } => "E0633",
            Self::KeyUnknown(_) => "E0634",
            Self::Log(error) => error.code(),
            Self::Keys(error) => error.code(),
            Self::Signer(error) => error.code(),
            Self::Limits(error) => error.code(),
            Self::Identity(error) => error.code(),
            Self::Hashes(error) => error.code(),
            Self::Root(_) => "E0635",
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGuard => write!(f, "the ledger's guard is missing"),
            Self::Guard(error) => error.fmt(f),
            Self::GuardCheckpoint(error) => write!(f, "the guard's checkpoint is not this ledger's: {error}"),
            Self::GuardDiffers => write!(f, "the guard's checkpoint and the record around it differ"),
            Self::LogBehindGuard { log, guard } => {
                write!(f, "the log has {log} entries and {guard} were acknowledged: it was rolled back")
            }
            Self::StateBehindGuard { state, guard } => {
                write!(f, "the state is at generation {state} and {guard} is needed: it was rolled back")
            }
            Self::KeyUnknown(id) => write!(f, "the log names the key `{id}`, which the state never had"),
            Self::Log(error) => error.fmt(f),
            Self::Keys(error) => error.fmt(f),
            Self::Signer(error) => error.fmt(f),
            Self::Limits(error) => error.fmt(f),
            Self::Identity(error) => error.fmt(f),
            Self::Hashes(error) => error.fmt(f),
            Self::Root(position) => {
                write!(f, "the entries from position {position} on have another root than told")
            }
        }
    }
}

impl std::error::Error for OpenError {}

/// How far a long recovery is: entries read, entries to read.
pub type Progress<'p> = &'p mut dyn FnMut(u64, u64);

/// All keys a ledger's checkpoints can be verified with: active and retired.
///
/// # Errors
/// [`NoteError`] where a stored name or key cannot stand in a note.
pub fn verifier_keys(ledger: &LedgerKeys) -> Result<Vec<VerifierKey>, NoteError> {
    let infos = ledger.signers.iter().map(|signer| &signer.info).chain(&ledger.retired);
    infos.map(|info: &SignerInfo| VerifierKey::new(&info.name, info.public)).collect()
}

/// Who signs a ledger's checkpoints.
///
/// # Errors
/// [`NoteError`] where a stored name or seed cannot be used.
pub fn signers(ledger: &LedgerKeys) -> Result<Vec<NoteSigner>, NoteError> {
    ledger
        .signers
        .iter()
        .map(|signer| NoteSigner::from_seed(&signer.info.name, signer.seed.bytes()))
        .collect()
}

/// The guard record of a ledger without entries, signed; it is written when the ledger is created.
///
/// # Errors
/// [`OpenError::Signer`], [`OpenError::GuardCheckpoint`].
pub fn first_guard(ledger: &LedgerKeys, keys_generation: u64) -> Result<GuardRecord, OpenError> {
    let start = Tail::start(ledger.id);
    let checkpoint = Checkpoint { origin: ledger.origin.clone(), size: 0, root: start.root };
    let signed = sign(checkpoint, &signers(ledger).map_err(OpenError::Signer)?)?;
    Ok(record(0, &start, keys_generation, &signed))
}

fn sign(checkpoint: Checkpoint, signers: &[NoteSigner]) -> Result<SignedCheckpoint, OpenError> {
    SignedCheckpoint::sign(checkpoint, &signers.iter().collect::<Vec<_>>())
        .map_err(OpenError::GuardCheckpoint)
}

fn record(sequence: u64, tail: &Tail, keys_generation: u64, checkpoint: &SignedCheckpoint) -> GuardRecord {
    GuardRecord {
        sequence,
        ledger: tail.ledger,
        epoch: tail.epoch,
        frame: waag_model::ids::FrameNumber(tail.next.0.saturating_sub(1)),
        size: tail.position.0,
        root: tail.root,
        header_hash: tail.header_hash,
        keys_generation,
        checkpoint: checkpoint.note().as_bytes().to_vec(),
    }
}

/// Holds a guard record's checkpoint against the ledger's keys and the record around it.
///
/// # Errors
/// [`OpenError::GuardCheckpoint`], [`OpenError::GuardDiffers`].
pub fn check_guard(ledger: &LedgerKeys, record: &GuardRecord) -> Result<SignedCheckpoint, OpenError> {
    let keys = verifier_keys(ledger).map_err(OpenError::Signer)?;
    let signed = SignedCheckpoint::verify(&record.checkpoint, &keys).map_err(OpenError::GuardCheckpoint)?;
    let told = signed.checkpoint();
    if told.origin != ledger.origin
        || told.size != record.size
        || told.root != record.root
        || record.ledger != ledger.id
    {
        return Err(OpenError::GuardDiffers);
    }
    Ok(signed)
}

/// Opens a ledger to write.
///
/// # Errors
/// [`OpenError`]; nothing has then been signed, and the log is as its driver left it.
pub fn open(store: &Store<'_>, progress: Progress<'_>) -> Result<Start, OpenError> {
    store.identity.check().map_err(OpenError::Limits)?;
    let mut guard = store.guard.read().map_err(OpenError::Guard)?.ok_or(OpenError::NoGuard)?;
    let mut checkpoint = check_guard(store.ledger, &guard)?;
    let tail = store.log.tail();
    if tail.position.0 < guard.size {
        return Err(OpenError::LogBehindGuard { log: tail.position.0, guard: guard.size });
    }
    let generation = store.keyring.commit_pending(0).map_err(OpenError::Keys)?.generation().0;
    if generation < guard.keys_generation {
        return Err(OpenError::StateBehindGuard { state: generation, guard: guard.keys_generation });
    }
    check_residue(store, &guard, &tail)?;
    let (frontier, identity) = derive(store, &tail, progress)?;
    let signers = signers(store.ledger).map_err(OpenError::Signer)?;
    if tail.position.0 > guard.size {
        // REC-1 holds: `derive` compared the root.
        let told = Checkpoint { origin: store.ledger.origin.clone(), size: tail.position.0, root: tail.root };
        checkpoint = sign(told, &signers)?;
        let newer = record(guard.sequence + 1, &tail, generation.max(guard.keys_generation), &checkpoint);
        store.guard.swap(Some(guard.sequence), &newer).map_err(OpenError::Guard)?;
        guard = newer;
    }
    Ok(Start {
        ledger: store.ledger.id,
        origin: store.ledger.origin.clone(),
        signers,
        frontier,
        identity,
        epoch: Epoch(tail.epoch.0.max(1)),
        next_frame: tail.next,
        previous: tail.header_hash,
        commit_time: tail.commit_time,
        guard,
        checkpoint: Arc::new(checkpoint),
        keys_epoch: 0,
    })
}

/// Frames beyond the guard were never acknowledged; they are kept, since they are whole and durable (`REC-2`).
fn check_residue(store: &Store<'_>, guard: &GuardRecord, tail: &Tail) -> Result<(), OpenError> {
    if tail.position.0 == guard.size {
        return Ok(());
    }
    let mut unknown = None;
    let mut failed = None;
    let mut look = |frame: FrameView<'_>| {
        for (_, bytes) in frame.entries() {
            for part in Entry::read(bytes).map(|entry| entry.parts).unwrap_or_default() {
                match store.keyring.open_key(part.key_id) {
                    Ok(Found::Key(_) | Found::Destroyed(_)) => {}
                    Ok(Found::Unknown) => unknown = Some(part.key_id),
                    Err(error) => failed = Some(error),
                }
            }
        }
        if unknown.is_some() || failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    store.log.read(Position(guard.size), &mut look).map_err(OpenError::Log)?;
    match (failed, unknown) {
        (Some(error), _) => Err(OpenError::Keys(error)),
        (None, Some(id)) => Err(OpenError::KeyUnknown(id)),
        (None, None) => Ok(()),
    }
}

/// Brings stored hashes and identity index up to the log's tail; both are made anew where they do not fit.
fn derive(
    store: &Store<'_>,
    tail: &Tail,
    progress: Progress<'_>,
) -> Result<(Frontier, IdentityIndex), OpenError> {
    let opened = IdentityIndex::open(
        Arc::clone(&store.files),
        IDENTITY_FOLDER,
        store.ledger.id,
        tail.position,
        store.identity.clone(),
    )
    .map_err(OpenError::Identity)?;
    let mut identity = opened.index;
    let from = identity.covered();
    match replay(store, tail, from, &mut identity, progress)? {
        Some(frontier) => Ok((frontier, identity)),
        None => {
            // The stored hashes are not this log's: from the first entry on, then.
            let frontier = replay(store, tail, Position(0), &mut identity, progress)?;
            Ok((frontier.ok_or(OpenError::Root(Position(0)))?, identity))
        }
    }
}

/// Reads the frames from the one that holds `from` on. `None` where the stored hashes before it are wrong.
fn replay(
    store: &Store<'_>,
    tail: &Tail,
    from: Position,
    identity: &mut IdentityIndex,
    progress: Progress<'_>,
) -> Result<Option<Frontier>, OpenError> {
    if from == tail.position {
        let frontier = frontier_at(store.hashes, from.0).ok();
        return Ok(frontier.filter(|frontier| frontier.root() == tail.root));
    }
    let mut frontier = None;
    let mut outcome = Ok(true);
    let mut sink = Vec::new();
    let mut look = |frame: FrameView<'_>| {
        let step = replay_frame(store, &frame, &mut frontier, identity, &mut sink);
        let done = frame.header().tree_size;
        progress(done, tail.position.0);
        match step {
            Ok(true) => ControlFlow::Continue(()),
            stop => {
                outcome = stop;
                ControlFlow::Break(())
            }
        }
    };
    store.log.read(from, &mut look).map_err(OpenError::Log)?;
    match outcome {
        Ok(true) => Ok(frontier),
        Ok(false) if from.0 == 0 => Err(OpenError::Root(from)),
        Ok(false) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Adds one frame to what is derived; `false` where its root is not what the stored hashes before it lead to.
fn replay_frame(
    store: &Store<'_>,
    frame: &FrameView<'_>,
    frontier: &mut Option<Frontier>,
    identity: &mut IdentityIndex,
    sink: &mut Vec<waag_ledger::hash::Hash>,
) -> Result<bool, OpenError> {
    let fields = &frame.header().fields;
    let frontier = match frontier {
        Some(frontier) => frontier,
        None if fields.first.0 == 0 => frontier.insert(Frontier::new()),
        None => match frontier_at(store.hashes, fields.first.0) {
            Ok(read) => frontier.insert(read),
            Err(_) => return Ok(false),
        },
    };
    sink.clear();
    for (position, bytes) in frame.entries() {
        frontier.append(leaf_hash(bytes), sink);
        if let Ok(header) = read_clear(bytes) {
            if identity.room() == 0 {
                identity.maintain().map_err(OpenError::Identity)?;
            }
            identity.insert(header.identity, position, fields.commit_time).map_err(OpenError::Identity)?;
        }
    }
    if frontier.root() != fields.root {
        return Ok(false);
    }
    store.hashes.write(stored_hash_count(fields.first.0), sink).map_err(OpenError::Hashes)?;
    Ok(true)
}
