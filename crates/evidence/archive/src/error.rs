//! Why a repository cannot be used, or what is wrong in it, each with a stable code.

use std::fmt;

use waag_log::fault::FrameFault;
use waag_model::ids::{LedgerId, Position};
use waag_model::time::UtcNanos;
use waag_stdx::entropy::NoEntropy;

use crate::contract::StoreFault;
use crate::key::RepositoryId;

/// What is wrong with frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanFault {
    /// A frame by itself, or how it follows the one before it.
    Frame(FrameFault),
    /// The entries up to a frame's end do not have the root that it tells.
    Root,
    /// The frames do not end where the checkpoint does.
    End,
    /// The frames are not those that the manifest names.
    Named,
}

impl fmt::Display for SpanFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(fault) => fault.fmt(f),
            Self::Root => write!(f, "the entries have another root than told"),
            Self::End => write!(f, "the frames do not lead to the checkpoint"),
            Self::Named => write!(f, "other frames than the manifest names"),
        }
    }
}

/// Why a repository cannot be used, or what is wrong in it.
#[derive(Debug)]
pub enum ArchiveError {
    /// The store.
    Store(StoreFault),
    /// E0883: there is no repository.
    NoRepository,
    /// E0884: something is there already.
    NotEmpty,
    /// E0885: the key is of another repository.
    OtherKey {
        /// The key's.
        key: RepositoryId,
        /// The one that is there.
        found: RepositoryId,
    },
    /// E0886: an object does not open under the key: it was changed, cut, or put in another's place.
    Damaged {
        /// Its name.
        name: String,
    },
    /// E0887: an object that a manifest names is not there.
    Missing {
        /// Its name.
        name: String,
    },
    /// E0888: the chain of manifests is broken.
    Chain {
        /// At which run.
        sequence: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// E0889: the repository holds another ledger.
    OtherLedger {
        /// The one it holds.
        held: LedgerId,
    },
    /// E0890: no key material that has not expired.
    KeysExpired {
        /// When the newest expired; none where there never was any.
        at: Option<UtcNanos>,
    },
    /// E0891: frames are not what the checkpoint says.
    Frames {
        /// In which object.
        name: String,
        /// From which position on.
        position: Position,
        /// What is wrong.
        fault: SpanFault,
    },
    /// E0892: no key file, or not one that can be used.
    KeyFile(&'static str),
    /// E0893: an object that opens has a form that this program does not know.
    Form {
        /// Its name.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
    /// No randomness.
    Entropy(NoEntropy),
}

impl ArchiveError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(fault) => fault.code(),
            Self::NoRepository => "E0883",
            Self::NotEmpty => "E0884",
            Self::OtherKey { .. } => "E0885",
            Self::Damaged { .. } => "E0886",
            Self::Missing { .. } => "E0887",
            Self::Chain { .. } => "E0888",
            Self::OtherLedger { .. } => "E0889",
            Self::KeysExpired { .. } => "E0890",
            Self::Frames { .. } => "E0891",
            Self::KeyFile(_) => "E0892",
            Self::Form { .. } => "E0893",
            Self::Entropy(error) => error.code(),
        }
    }
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(fault) => fault.fmt(f),
            Self::NoRepository => {
                write!(f, "there is no backup repository; `waag backup init` makes one")
            }
            Self::NotEmpty => write!(f, "there is something else where the repository is to be"),
            Self::OtherKey { key, found } => {
                write!(f, "the key is of the repository `{key}`, and this is `{found}`")
            }
            Self::Damaged { name } => {
                write!(f, "`{name}` does not open: it was changed, cut, or put in another's place")
            }
            Self::Missing { name } => write!(f, "`{name}` is missing from the repository"),
            Self::Chain { sequence, what } => write!(f, "the chain of runs is broken at {sequence}: {what}"),
            Self::OtherLedger { held } => {
                write!(
                    f,
                    "the repository holds the ledger `{held}`; another one needs a repository of its own"
                )
            }
            Self::KeysExpired { at: Some(at) } => {
                write!(f, "the newest key material has expired at {at}, and is not used any more")
            }
            Self::KeysExpired { at: None } => write!(f, "the repository has no run yet"),
            Self::Frames { name, position, fault } => {
                write!(f, "the frames in `{name}` from position {position} on: {fault}")
            }
            Self::KeyFile(what) => write!(f, "the backup key's file {what}"),
            Self::Form { name, what } => write!(f, "`{name}` has a form that cannot be read: {what}"),
            Self::Entropy(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ArchiveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Store(fault) = self { std::error::Error::source(fault) } else { None }
    }
}

impl From<StoreFault> for ArchiveError {
    fn from(fault: StoreFault) -> Self {
        Self::Store(fault)
    }
}

impl From<NoEntropy> for ArchiveError {
    fn from(error: NoEntropy) -> Self {
        Self::Entropy(error)
    }
}
