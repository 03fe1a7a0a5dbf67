//! Why a pack was not made or not handed out, each with a stable code; what the store and the pack say keeps theirs.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use waag_cover::PdfError;
use waag_ledger::pack::PackFault;
use waag_pattern::{EventError, PatternError};

use crate::store::error::StoreError;

/// Why a pack was not made or not handed out. Nothing is in the place it was meant for.
#[derive(Debug)]
pub enum EvidenceError {
    /// No entry meets the conditions.
    Nothing,
    /// More than one pack can hold.
    TooMuch {
        /// Of what.
        what: &'static str,
        /// The most.
        most: u64,
    },
    /// A person's data is restricted (GDPR art. 18).
    Restricted,
    /// Conditions that nothing can meet.
    Selection(&'static str),
    /// A reason that cannot be recorded.
    Reason(&'static str),
    /// There is a file of that name already.
    There(PathBuf),
    /// The pack that was made does not verify: the store is damaged.
    Unverified(PackFault),
    /// A key that the pack discloses parts of was destroyed while it was made.
    ErasedMeanwhile,
    /// The pattern is none.
    Pattern(PatternError),
    /// An event cannot be held against the pattern.
    Event(EventError),
    /// The cover.
    Cover(PdfError),
    /// The store's refusal or failure.
    Store(StoreError),
    /// The pack could not be put together.
    Pack(PackFault),
    /// A file operation failed.
    File {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl EvidenceError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Nothing => "E0720",
            Self::TooMuch { .. } => "E0721",
            Self::Restricted => "E0722",
            Self::Selection(_) => "E0723",
            Self::Reason(_) => "E0724",
            Self::There(_) => "E0725",
            Self::Unverified(_) => "E0726",
            Self::ErasedMeanwhile => "E0727",
            Self::Pattern(error) => error.code(),
            Self::Event(error) => error.code(),
            Self::Cover(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Pack(fault) => fault.code(),
            Self::File { .. } => "E0729",
        }
    }

    /// Whether who asked can mend it.
    #[must_use]
    pub fn is_callers(&self) -> bool {
        match self {
            Self::Selection(_) | Self::Reason(_) | Self::There(_) | Self::Pattern(_) => true,
            Self::Nothing
            | Self::TooMuch { .. }
            | Self::Restricted
            | Self::Unverified(_)
            | Self::ErasedMeanwhile
            | Self::Event(_)
            | Self::Cover(_)
            | Self::Store(_)
            | Self::Pack(_)
            | Self::File { .. } => false,
        }
    }

    /// Whether it is a refusal: nothing failed, and nothing was handed out.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Nothing | Self::TooMuch { .. } | Self::Restricted | Self::ErasedMeanwhile)
    }
}

impl fmt::Display for EvidenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => {
                write!(f, "no entry meets the conditions, and a pack of nothing would prove nothing")
            }
            Self::TooMuch { what, most } => {
                write!(f, "the selection has more than {most} {what}, the most of one pack")
            }
            Self::Restricted => write!(
                f,
                "data of a person in the selection is restricted (GDPR art. 18); legal claims may use it (art. 18(2)), with \
                 a reason of its own"
            ),
            Self::Selection(why) => write!(f, "the selection cannot be: {why}"),
            Self::Reason(why) => write!(f, "the reason {why}"),
            Self::There(path) => {
                write!(f, "there is a file `{}` already; a pack replaces none", path.display())
            }
            Self::Unverified(_) => {
                write!(f, "the pack that was made does not verify, so it was not handed out")
            }
            Self::ErasedMeanwhile => {
                write!(
                    f,
                    "data that the pack discloses was erased or restricted while it was made, so it was not handed out"
                )
            }
            Self::Pattern(error) => error.fmt(f),
            Self::Event(error) => error.fmt(f),
            Self::Cover(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Pack(fault) => fault.fmt(f),
            Self::File { operation, path, .. } => write!(f, "cannot {operation} `{}`", path.display()),
        }
    }
}

impl Error for EvidenceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unverified(fault) => Some(fault),
            Self::Store(error) => error.source(),
            Self::File { source, .. } => Some(source),
            Self::Nothing
            | Self::TooMuch { .. }
            | Self::Restricted
            | Self::Selection(_)
            | Self::Reason(_)
            | Self::There(_)
            | Self::ErasedMeanwhile
            | Self::Pattern(_)
            | Self::Event(_)
            | Self::Cover(_)
            | Self::Pack(_) => None,
        }
    }
}

impl<E: Into<StoreError>> From<E> for EvidenceError {
    fn from(error: E) -> Self {
        Self::Store(error.into())
    }
}
