//! The guard: the last signed checkpoint, in another place than the log, so that neither can go back unnoticed.
//!
//! Place: swapped after a frame is durable and before anything under it is acknowledged. A log that does not reach
//! its guard has lost acknowledged entries and is never written again. Not here: signing (`evidence/ledger`), where
//! the guard is kept (drivers).
//!
//! A guard of size 0 is written when a ledger is created, so that a missing guard is always a fault later on.
//!
//! Byte by byte in `docs/reference/frame.md`.

use std::fmt;
use std::io;

use crc32c::crc32c;
use waag_ledger::hash::Hash;
use waag_model::ids::{Epoch, FrameNumber, LedgerId, Position};

use crate::wire::{array, first_nonzero, hash_at, u16_at, u32_at, u64_at};

/// The first eight bytes of every record.
pub const GUARD_MAGIC: [u8; 8] = *b"WAAGGRD\n";
/// The version of the layout.
pub const GUARD_VERSION: u16 = 1;
/// Longest checkpoint (a C2SP signed note) in a record: an Ed25519 and an ML-DSA-44 signature with room for
/// cosignatures.
pub const GUARD_CHECKPOINT_BYTES_MAX: usize = 4_096;
/// The bytes of a record before its checkpoint.
const HEAD_BYTES: usize = 144;
/// Longest record: head, checkpoint, checksum.
pub const GUARD_BYTES_MAX: usize = HEAD_BYTES + GUARD_CHECKPOINT_BYTES_MAX + 4;

/// The generation in a guard of a ledger that may be read and not written: no state ever reaches it.
///
/// A restored ledger has such a guard until it is known that nothing was acknowledged beyond it. A program that knows
/// nothing of this refuses to write as well, since the state is behind its guard.
pub const READ_ONLY_GENERATION: u64 = u64::MAX;

/// The generation in a guard whose ledger goes on in another store: that one took over the right to write, for good.
///
/// One less than [`READ_ONLY_GENERATION`], so that programs that know only that one neither write nor promote it.
pub const HANDED_OVER_GENERATION: u64 = u64::MAX - 1;

/// What is guarded: the state of the ledger behind one durable frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardRecord {
    /// Counts the swaps, from 0 at the ledger's creation.
    pub sequence: u64,
    /// The ledger.
    pub ledger: LedgerId,
    /// The writer's term.
    pub epoch: Epoch,
    /// The last frame under the checkpoint; without meaning (0) where `size` is 0.
    pub frame: FrameNumber,
    /// The tree size of the checkpoint, which is the position of the next entry.
    pub size: u64,
    /// The root at that size.
    pub root: Hash,
    /// The hash of that frame's header; zeros where `size` is 0.
    pub header_hash: Hash,
    /// The generation of the state that holds every key up to that frame.
    pub keys_generation: u64,
    /// The signed checkpoint, at most [`GUARD_CHECKPOINT_BYTES_MAX`].
    pub checkpoint: Vec<u8>,
}

impl GuardRecord {
    /// The number of the first frame that is not under the guard.
    #[must_use]
    pub fn next_frame(&self) -> FrameNumber {
        if self.size == 0 { FrameNumber(0) } else { FrameNumber(self.frame.0.saturating_add(1)) }
    }

    /// Whether the ledger may be read only; see [`READ_ONLY_GENERATION`], [`HANDED_OVER_GENERATION`].
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.keys_generation >= HANDED_OVER_GENERATION
    }

    /// Whether another store took over the right to write; see [`HANDED_OVER_GENERATION`].
    #[must_use]
    pub fn is_handed_over(&self) -> bool {
        self.keys_generation == HANDED_OVER_GENERATION
    }

    /// The first position that is not under the guard.
    #[must_use]
    pub fn next_position(&self) -> Position {
        Position(self.size)
    }

    /// The stored form.
    ///
    /// # Errors
    /// [`GuardFault::CheckpointLength`] where the checkpoint is too long.
    pub fn encode(&self) -> Result<Vec<u8>, GuardFault> {
        let length = u32::try_from(self.checkpoint.len()).ok();
        let length = length.filter(|_| self.checkpoint.len() <= GUARD_CHECKPOINT_BYTES_MAX);
        let length = length.ok_or(GuardFault::CheckpointLength { bytes: self.checkpoint.len() as u64 })?;
        let mut out = Vec::with_capacity(GUARD_BYTES_MAX);
        out.extend_from_slice(&GUARD_MAGIC);
        out.extend_from_slice(&GUARD_VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&self.ledger.0);
        for number in [self.sequence, self.epoch.0, self.frame.0, self.size, self.keys_generation] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&self.root.0);
        out.extend_from_slice(&self.header_hash.0);
        out.extend_from_slice(&self.checkpoint);
        let crc = crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        Ok(out)
    }

    /// Reads a record from the start of `bytes`; all behind it must be zero.
    ///
    /// # Errors
    /// [`GuardFault`].
    pub fn decode(bytes: &[u8]) -> Result<Self, GuardFault> {
        if first_nonzero(bytes).is_none() {
            return Err(GuardFault::Blank);
        }
        if array::<8>(bytes, 0) != Some(GUARD_MAGIC) {
            return Err(GuardFault::Magic);
        }
        let length = u32_at(bytes, 12).ok_or(GuardFault::Cut)? as usize;
        if length > GUARD_CHECKPOINT_BYTES_MAX {
            return Err(GuardFault::CheckpointLength { bytes: length as u64 });
        }
        let (covered, behind) = bytes.split_at_checked(HEAD_BYTES + length).ok_or(GuardFault::Cut)?;
        let (crc, rest) = behind.split_first_chunk::<4>().ok_or(GuardFault::Cut)?;
        if crc32c(covered) != u32::from_le_bytes(*crc) {
            return Err(GuardFault::Checksum);
        }
        let version = u16_at(covered, 8).unwrap_or(0);
        if version != GUARD_VERSION {
            return Err(GuardFault::Version(version));
        }
        if array::<2>(covered, 10) != Some([0; 2]) || array::<8>(covered, 72) != Some([0; 8]) {
            return Err(GuardFault::Reserved);
        }
        if let Some(at) = first_nonzero(rest) {
            return Err(GuardFault::Padding { at: bytes.len() - rest.len() + at });
        }
        Self::fields(covered).ok_or(GuardFault::Cut)
    }

    fn fields(covered: &[u8]) -> Option<Self> {
        Some(Self {
            ledger: LedgerId(array(covered, 16)?),
            sequence: u64_at(covered, 32)?,
            epoch: Epoch(u64_at(covered, 40)?),
            frame: FrameNumber(u64_at(covered, 48)?),
            size: u64_at(covered, 56)?,
            keys_generation: u64_at(covered, 64)?,
            root: hash_at(covered, 80)?,
            header_hash: hash_at(covered, 112)?,
            checkpoint: covered.get(HEAD_BYTES..)?.to_vec(),
        })
    }
}

/// What is wrong with the bytes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardFault {
    /// E0450: zeros: no record.
    Blank,
    /// E0451: the first eight bytes are not a record's.
    Magic,
    /// E0452: the bytes end before the record does.
    Cut,
    /// E0453: the record does not match its checksum.
    Checksum,
    /// E0454: a version that this program does not know.
    Version(u16),
    /// E0455: reserved bytes are not zero.
    Reserved,
    /// E0456: the checkpoint is longer than [`GUARD_CHECKPOINT_BYTES_MAX`].
    CheckpointLength {
        /// Its length.
        bytes: u64,
    },
    /// E0457: a byte behind the record is not zero.
    Padding {
        /// Its offset from the record's start.
        at: usize,
    },
    /// E0458: the record is not the one that belongs beside the newest (stale or misdirected).
    Stale {
        /// The sequence found.
        found: u64,
        /// The sequence that belongs here.
        expected: u64,
    },
}

impl GuardFault {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Blank => "E0450",
            Self::Magic => "E0451",
            Self::Cut => "E0452",
            Self::Checksum => "E0453",
            Self::Version(_) => "E0454",
            Self::Reserved => "E0455",
            Self::CheckpointLength { .. } => "E0456",
            Self::Padding { .. } => "E0457",
            Self::Stale { .. } => "E0458",
        }
    }
}

impl fmt::Display for GuardFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => write!(f, "no guard: zeros where a record belongs"),
            Self::Magic => write!(f, "bad magic of a guard"),
            Self::Cut => write!(f, "guard is cut: the bytes end before it does"),
            Self::Checksum => write!(f, "guard checksum"),
            Self::Version(version) => write!(f, "unknown guard version `{version}`"),
            Self::Reserved => write!(f, "reserved guard bytes not zero"),
            Self::CheckpointLength { bytes } => {
                write!(
                    f,
                    "a checkpoint of `{bytes}` bytes is above the limit of `{GUARD_CHECKPOINT_BYTES_MAX}`"
                )
            }
            Self::Padding { at } => write!(f, "bytes behind the guard not zero, `{at}` bytes from its start"),
            Self::Stale { found, expected } => {
                write!(f, "guard of sequence `{found}` where `{expected}` belongs")
            }
        }
    }
}

impl std::error::Error for GuardFault {}

/// Keeps one guard record, durable, changed only by compare-and-swap. All calls block.
pub trait Guard: Send + Sync {
    /// The record, or `None` where none was ever written.
    ///
    /// # Errors
    /// [`GuardError::Damaged`] where a record was written and none can be read; [`GuardError::Failed`].
    fn read(&self) -> Result<Option<GuardRecord>, GuardError>;

    /// Replaces the record of sequence `expected` (`None`: there is none yet); durable when it returns without error.
    ///
    /// The new sequence must be one more than the expected, or 0 for the first. After a failed write or sync the
    /// handle is poisoned: either record may be the durable one, and only reopening tells.
    ///
    /// # Errors
    /// [`GuardError`].
    fn swap(&self, expected: Option<u64>, new: &GuardRecord) -> Result<(), GuardError>;
}

/// Why a guard could not be read or swapped.
#[derive(Debug)]
pub enum GuardError {
    /// E0446: another record is there than the caller expected. Nothing was written.
    Conflict {
        /// The sequence the caller expected.
        expected: Option<u64>,
        /// The sequence found.
        actual: Option<u64>,
    },
    /// E0447: an earlier write or sync of this handle failed; reopen it. Nothing was written.
    Poisoned,
    /// E0448: a write or sync failed; the old record or the new one is durable, and the handle is poisoned.
    Failed {
        /// The operation that failed.
        operation: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// E0449: no record can be read; the first fault found.
    Damaged {
        /// The file, by its name below the guard's root.
        file: String,
        /// Where in it the record begins.
        offset: u64,
        /// What is wrong.
        fault: GuardFault,
    },
    /// The new record cannot be stored as it is; the code is the fault's own. Nothing was written.
    Record(GuardFault),
    /// E0459: another process holds the guard.
    Held,
}

impl GuardError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "E0446",
            Self::Poisoned => "E0447",
            Self::Failed { .. } => "E0448",
            Self::Damaged { .. } => "E0449",
            Self::Record(fault) => fault.code(),
            Self::Held => "E0459",
        }
    }
}

impl fmt::Display for GuardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |n: &Option<u64>| n.map_or_else(|| "none".to_owned(), |n| n.to_string());
        match self {
            Self::Conflict { expected, actual } => {
                write!(f, "guard `{}` was expected, but `{}` is there", number(expected), number(actual))
            }
            Self::Poisoned => write!(f, "an earlier write failed: the guard must be reopened"),
            Self::Failed { operation, .. } => {
                write!(f, "the guard's {operation} failed; its outcome is unknown")
            }
            Self::Damaged { file, offset, .. } => write!(f, "guard `{file}` is damaged at offset `{offset}`"),
            Self::Record(_) => write!(f, "the guard record cannot be stored"),
            Self::Held => write!(f, "another process holds the guard"),
        }
    }
}

impl std::error::Error for GuardError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed { source, .. } => Some(source),
            Self::Damaged { fault, .. } | Self::Record(fault) => Some(fault),
            Self::Conflict { .. } | Self::Poisoned | Self::Held => None,
        }
    }
}
