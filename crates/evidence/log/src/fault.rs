//! What can be wrong with the bytes of a frame, or with the place they are found in; each fault has a name and a code.
//!
//! Place: what the frame codec, [`crate::contract::Tail::check_next`] and [`crate::verify`] report. Not here: where
//! the fault is (file and offset; the reader adds them).

use std::fmt;

use waag_model::ids::{Epoch, FrameNumber, LedgerId, Position};

/// A fault of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameFault {
    /// E0410: zeros stand where a frame's header would: no frame begins here.
    NoFrame,
    /// E0411: the bytes end before the frame does.
    Cut,
    /// E0412: the first eight bytes are not a frame's.
    Magic,
    /// E0413: the header does not match its checksum.
    HeaderChecksum,
    /// E0414: a version that this program does not know.
    Version(u16),
    /// E0415: reserved bytes of the header are not zero.
    Reserved,
    /// E0416: no entries, or more entries or bytes than a frame may have.
    Limits {
        /// Entries the header tells.
        entries: u32,
        /// Body length the header tells.
        body_bytes: u32,
    },
    /// E0417: the tree size is not the first position plus the count.
    TreeSize {
        /// The size the header tells.
        found: u64,
        /// Its first position.
        first: Position,
        /// Its count.
        count: u32,
    },
    /// E0418: header and body do not match the trailer's checksum.
    TrailerChecksum,
    /// E0419: a byte of the padding is not zero.
    Padding {
        /// Its offset from the frame's start.
        at: usize,
    },
    /// E0420: the lengths of the entries do not add up to count and body.
    EntryLengths,
    /// E0421: a frame of another ledger.
    Ledger {
        /// The ledger it belongs to.
        found: LedgerId,
    },
    /// E0422: misdirected or stale: another frame belongs here.
    Number {
        /// The number found.
        found: FrameNumber,
        /// The number that belongs here.
        expected: FrameNumber,
    },
    /// E0423: it begins at another position than where its predecessor ended.
    Position {
        /// The position found.
        found: Position,
        /// The position that follows.
        expected: Position,
    },
    /// E0424: it names another header as its predecessor's.
    Previous,
    /// E0425: its commit time is not after its predecessor's.
    CommitTime,
    /// E0426: its epoch is below its predecessor's.
    Epoch {
        /// The epoch found.
        found: Epoch,
        /// The epoch of its predecessor.
        least: Epoch,
    },
}

impl FrameFault {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoFrame => "E0410",
            Self::Cut => "E0411",
            Self::Magic => "E0412",
            Self::HeaderChecksum => "E0413",
            Self::Version(_) => "E0414",
            Self::Reserved => "E0415",
            Self::Limits { .. } => "E0416",
            Self::TreeSize { .. } => "E0417",
            Self::TrailerChecksum => "E0418",
            Self::Padding { .. } => "E0419",
            Self::EntryLengths => "E0420",
            Self::Ledger { .. } => "E0421",
            Self::Number { .. } => "E0422",
            Self::Position { .. } => "E0423",
            Self::Previous => "E0424",
            Self::CommitTime => "E0425",
            Self::Epoch { .. } => "E0426",
        }
    }
}

impl fmt::Display for FrameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFrame => write!(f, "no frame: zeros where a header belongs"),
            Self::Cut => write!(f, "frame is cut: the bytes end before it does"),
            Self::Magic => write!(f, "bad magic"),
            Self::HeaderChecksum => write!(f, "header checksum"),
            Self::Version(version) => write!(f, "unknown frame version `{version}`"),
            Self::Reserved => write!(f, "reserved header bytes not zero"),
            Self::Limits { entries, body_bytes } => {
                write!(f, "`{entries}` entries in `{body_bytes}` bytes are outside a frame's limits")
            }
            Self::TreeSize { found, first, count } => {
                write!(f, "tree size `{found}` is not position `{first}` plus `{count}` entries")
            }
            Self::TrailerChecksum => write!(f, "trailer checksum"),
            Self::Padding { at } => write!(f, "padding not zero, `{at}` bytes into the frame"),
            Self::EntryLengths => write!(f, "entry lengths do not add up to the body"),
            Self::Ledger { found } => write!(f, "wrong ledger: a frame of `{found}`"),
            Self::Number { found, expected } => {
                write!(f, "misdirected: frame number `{found}` where `{expected}` belongs")
            }
            Self::Position { found, expected } => {
                write!(f, "first position `{found}` where `{expected}` follows")
            }
            Self::Previous => write!(f, "previous hash is not that of the frame before"),
            Self::CommitTime => write!(f, "commit time not after the previous one"),
            Self::Epoch { found, least } => write!(f, "epoch `{}` after epoch `{}`", found.0, least.0),
        }
    }
}

impl std::error::Error for FrameFault {}
