//! Why a log or a guard on files cannot be opened, and whose matter it is.
//!
//! Place: the rim of this driver. Not here: errors of appending and reading (`waag_log::contract`).

use std::fmt;
use std::io;

use waag_log::fault::FrameFault;
use waag_model::ids::FrameNumber;

use crate::config::ConfigError;

/// What is wrong at one place of a log's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A frame.
    Frame(FrameFault),
    /// The frame is whole, and not the one that the guard was made for.
    NotGuarded,
    /// Bytes that no torn write explains.
    NotZero,
    /// A segment that does not belong there: its name is not the number of the next frame.
    Segment,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(fault) => fault.fmt(f),
            Self::NotGuarded => {
                write!(f, "not the frame that the guard names: size, root or header hash differ")
            }
            Self::NotZero => write!(f, "bytes not zero where no torn write can have left them"),
            Self::Segment => write!(f, "a segment whose number is not that of the frame due there"),
        }
    }
}

/// Why a log was not opened. Nothing below the guard was changed.
#[derive(Debug)]
pub enum OpenError {
    /// E0460: another process holds the log to write.
    Held,
    /// E0461: the log is damaged at or below its guard, or in a way that no crash explains. It is left as it is.
    Damaged {
        /// The file, by its name below the log's root.
        file: String,
        /// The offset in it.
        offset: u64,
        /// What is wrong.
        damage: Damage,
    },
    /// E0462: the log ends before its guard: acknowledged frames are missing. It is left as it is.
    BehindGuard {
        /// The guard's frame.
        guard: FrameNumber,
        /// The first frame that is missing.
        missing: FrameNumber,
        /// The file in which it belongs.
        file: String,
        /// Where in it.
        offset: u64,
    },
    /// E0463: more frames stand beyond the guard than one writer leaves: the guard was taken back.
    GuardTooOld {
        /// The first frame beyond the guard.
        first: FrameNumber,
        /// Most frames that a crash leaves beyond a guard.
        most: u64,
    },
    /// E0464: the log to be created has frames already.
    Exists,
    /// E0465: a file operation failed.
    Failed {
        /// The operation.
        operation: &'static str,
        /// The path below the log's root.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// E0466: a size that cannot be used.
    Config(ConfigError),
    /// E0467: the guard is of another ledger.
    Ledger,
}

impl OpenError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Held => "E0460",
            Self::Damaged { .. } => "E0461",
            Self::BehindGuard { .. } => "E0462",
            Self::GuardTooOld { .. } => "E0463",
            Self::Exists => "E0464",
            Self::Failed { .. } => "E0465",
            Self::Config(_) => "E0466",
            Self::Ledger => "E0467",
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held => write!(f, "another process holds the log"),
            Self::Damaged { file, offset, damage } => {
                write!(f, "`{file}` is damaged at offset `{offset}`: {damage}")
            }
            Self::BehindGuard { guard, missing, file, offset } => write!(
                f,
                "the log is behind its guard: frame `{missing}` is missing in `{file}` at offset `{offset}`, \
                 frames up to `{guard}` were acknowledged"
            ),
            Self::GuardTooOld { first, most } => write!(
                f,
                "more than `{most}` frames from `{first}` on are beyond the guard: the guard was taken back"
            ),
            Self::Exists => write!(f, "the log to be created has frames already"),
            Self::Failed { operation, path, .. } => write!(f, "cannot {operation} `{path}`"),
            Self::Config(error) => error.fmt(f),
            Self::Ledger => write!(f, "the guard is of another ledger"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed { source, .. } => Some(source),
            Self::Held
            | Self::Damaged { .. }
            | Self::BehindGuard { .. }
            | Self::GuardTooOld { .. }
            | Self::Exists
            | Self::Config(_)
            | Self::Ledger => None,
        }
    }
}

/// Names the operation and path of a failed file operation.
pub(crate) fn failed(operation: &'static str, path: &str) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Failed { operation, path, source }
}
