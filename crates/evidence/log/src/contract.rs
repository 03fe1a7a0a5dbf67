//! The contract of a log: frames go in durable and whole at the number the caller expects, and come out in order.
//!
//! Place: *append*, and every reader behind it. Drivers share this contract and [`crate::conformance`], not code.
//! Not here: batching and the order of a commit (`flow/engine`), the guard ([`crate::guard`]).
//!
//! ```text
//!   append(n, frame n) ──► durable ──► Ok        tail() = n + 1
//!   append(n, other)   ──► Conflict              a second writer is told, nothing is written
//!   append fails       ──► frame n is whole or absent, nobody knows which; every later append: Poisoned
//!   read(from)         ──► the frame that holds `from`, then each one after it up to the tail; also when poisoned
//! ```

use std::fmt;
use std::io;
use std::ops::ControlFlow;

use waag_ledger::hash::{EMPTY_ROOT, Hash};
use waag_model::ids::{Epoch, FrameNumber, LedgerId, Position};
use waag_model::time::UtcNanos;

use crate::fault::FrameFault;
use crate::frame::{DecodedFrame, Entries, Frame, FrameHeader};

/// A log of frames, one writer at a time. All calls block.
///
/// What a caller must not assume: that a failed append wrote nothing, that a later read shows it, or that trying
/// again in place is safe. It reopens, reads the tail, and decides by what is there.
pub trait EventLog: Send + Sync {
    /// Appends a frame as number `expected`; when it returns without error the frame is durable (`LOG-1`).
    ///
    /// # Errors
    /// [`AppendError`]; only [`AppendError::Failed`] leaves the outcome open, and it poisons the handle.
    fn append(&self, expected: FrameNumber, frame: &Frame) -> Result<(), AppendError>;

    /// Shows the frame that holds `from` and each one after it, in order, up to the tail at the time of the call.
    ///
    /// Nothing is shown where `from` is the tail's own position. The visitor ends the reading with `Break`. Every
    /// frame shown was decoded strictly and follows the one shown before it.
    ///
    /// # Errors
    /// [`ReadError`]: beyond the tail, trimmed, damaged (with file and offset), or the driver's input failed.
    fn read(
        &self,
        from: Position,
        visit: &mut dyn FnMut(FrameView<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError>;

    /// Where the next frame goes, and what it must follow. Never waits for an append under way.
    fn tail(&self) -> Tail;

    /// Gives up all frames that end at or before `before`, where an archive holds them.
    ///
    /// # Errors
    /// [`TrimError`].
    fn trim(&self, before: Position) -> Result<(), TrimError>;
}

/// Where a frame's bytes were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The file or object, by its name below the log's root.
    pub file: &'a str,
    /// The frame's first byte in it.
    pub offset: u64,
}

/// A frame as a reader sees it, borrowed from the reader's buffer.
#[derive(Clone, Copy, Debug)]
pub struct FrameView<'a> {
    /// The frame; checked byte by byte.
    pub frame: DecodedFrame<'a>,
    /// Where it is stored.
    pub place: Place<'a>,
}

impl<'a> FrameView<'a> {
    /// The header.
    #[must_use]
    pub fn header(&self) -> &FrameHeader {
        &self.frame.header
    }

    /// The body: entries behind their big-endian `u16` lengths.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.frame.body
    }

    /// Each entry with its position.
    pub fn entries(&self) -> impl Iterator<Item = (Position, &'a [u8])> + use<'a> {
        let first = self.frame.header.fields.first.0;
        (first..).map(Position).zip(Entries::new(self.frame.body))
    }
}

/// The end of a log: what the next frame must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The ledger.
    pub ledger: LedgerId,
    /// The number of the next frame.
    pub next: FrameNumber,
    /// The position of the next entry; also the size of the tree.
    pub position: Position,
    /// The hash of the last frame's header; zeros before the first frame.
    pub header_hash: Hash,
    /// The last frame's commit time; the earliest there is before the first frame.
    pub commit_time: UtcNanos,
    /// The last frame's epoch; 0 before the first frame.
    pub epoch: Epoch,
    /// The root after the last frame; that of the empty tree before the first.
    pub root: Hash,
}

impl Tail {
    /// The tail of a ledger without frames.
    #[must_use]
    pub fn start(ledger: LedgerId) -> Self {
        Self {
            ledger,
            next: FrameNumber(0),
            position: Position(0),
            header_hash: Hash([0; 32]),
            commit_time: UtcNanos(i64::MIN),
            epoch: Epoch(0),
            root: EMPTY_ROOT,
        }
    }

    /// The tail behind a frame.
    #[must_use]
    pub fn after(header: &FrameHeader, header_hash: Hash) -> Self {
        let f = &header.fields;
        Self {
            ledger: f.ledger,
            next: FrameNumber(f.number.0.saturating_add(1)),
            position: Position(header.tree_size),
            header_hash,
            commit_time: f.commit_time,
            epoch: f.epoch,
            root: f.root,
        }
    }

    /// Checks that a frame follows this tail: `LOG-3`, `LOG-4` and `LOG-6`, and that it is of this ledger.
    ///
    /// # Errors
    /// [`FrameFault`]: ledger, number, position, previous, commit time or epoch, in this order.
    pub fn check_next(&self, header: &FrameHeader) -> Result<(), FrameFault> {
        let f = &header.fields;
        if f.ledger != self.ledger {
            return Err(FrameFault::Ledger { found: f.ledger });
        }
        if f.number != self.next {
            return Err(FrameFault::Number { found: f.number, expected: self.next });
        }
        if f.first != self.position {
            return Err(FrameFault::Position { found: f.first, expected: self.position });
        }
        if f.previous != self.header_hash {
            return Err(FrameFault::Previous);
        }
        if f.commit_time <= self.commit_time {
            return Err(FrameFault::CommitTime);
        }
        if f.epoch < self.epoch {
            return Err(FrameFault::Epoch { found: f.epoch, least: self.epoch });
        }
        Ok(())
    }
}

/// Why an append was refused or failed.
#[derive(Debug)]
pub enum AppendError {
    /// E0430: another frame number is next: another writer was here, or the caller is behind. Nothing was written.
    Conflict {
        /// The number the caller expected.
        expected: FrameNumber,
        /// The number that is next.
        actual: FrameNumber,
    },
    /// E0431: an earlier write or sync of this handle failed; reopen it. Nothing was written.
    Poisoned,
    /// E0432: the frame does not follow the tail. Nothing was written.
    Frame(FrameFault),
    /// E0433: no space for the frame. Nothing of it was written; it may be tried again when there is space.
    NoSpace(io::Error),
    /// E0434: a write or sync failed; the frame is whole or absent, and the handle is poisoned.
    Failed {
        /// The operation that failed.
        operation: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// E0435: the log was opened to read. Nothing was written.
    ReadOnly,
}

impl AppendError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "E0430",
            Self::Poisoned => "E0431",
            Self::Frame(_) => "E0432",
            Self::NoSpace(_) => "E0433",
            Self::Failed { .. } => "E0434",
            Self::ReadOnly => "E0435",
        }
    }
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict { expected, actual } => {
                write!(f, "frame `{expected}` was expected to be next, but frame `{actual}` is")
            }
            Self::Poisoned => write!(f, "an earlier write failed: the log must be reopened"),
            Self::Frame(_) => write!(f, "the frame does not follow the log's tail"),
            Self::NoSpace(_) => write!(f, "no space for the frame; nothing of it was written"),
            Self::Failed { operation, .. } => {
                write!(f, "the log's {operation} failed; its outcome is unknown")
            }
            Self::ReadOnly => write!(f, "the log is open to read only"),
        }
    }
}

impl std::error::Error for AppendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Frame(fault) => Some(fault),
            Self::NoSpace(source) | Self::Failed { source, .. } => Some(source),
            Self::Conflict { .. } | Self::Poisoned | Self::ReadOnly => None,
        }
    }
}

/// Why a reading stopped.
#[derive(Debug)]
pub enum ReadError {
    /// E0440: the position is beyond the tail.
    BeyondTail {
        /// The position asked for.
        from: Position,
        /// The tail's.
        tail: Position,
    },
    /// E0441: the position was trimmed; the archive has it.
    Trimmed {
        /// The position asked for.
        from: Position,
        /// The first position that the log still has.
        first: Position,
    },
    /// E0442: a frame that was acknowledged is damaged; frames before it were shown.
    Damaged {
        /// The file, by its name below the log's root.
        file: String,
        /// Where in it the frame begins.
        offset: u64,
        /// The position from which the log cannot be read.
        position: Position,
        /// What is wrong.
        fault: FrameFault,
    },
    /// E0443: the file could not be read.
    Failed {
        /// The file, by its name below the log's root.
        file: String,
        /// What the system said.
        source: io::Error,
    },
}

impl ReadError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::BeyondTail { .. } => "E0440",
            Self::Trimmed { .. } => "E0441",
            Self::Damaged { .. } => "E0442",
            Self::Failed { .. } => "E0443",
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeyondTail { from, tail } => write!(f, "position `{from}` is beyond the tail at `{tail}`"),
            Self::Trimmed { from, first } => {
                write!(f, "position `{from}` was trimmed; the log begins at `{first}`")
            }
            Self::Damaged { file, offset, position, .. } => {
                write!(f, "`{file}` is damaged at offset `{offset}`, from position `{position}`")
            }
            Self::Failed { file, .. } => write!(f, "`{file}` cannot be read"),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Damaged { fault, .. } => Some(fault),
            Self::Failed { source, .. } => Some(source),
            Self::BeyondTail { .. } | Self::Trimmed { .. } => None,
        }
    }
}

/// Why nothing was trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimError {
    /// E0445: no archive holds the frames, so that trimming would lose them.
    NoArchive,
}

impl TrimError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoArchive => "E0445",
        }
    }
}

impl fmt::Display for TrimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoArchive => write!(f, "no archive holds the frames, so nothing is trimmed"),
        }
    }
}

impl std::error::Error for TrimError {}
