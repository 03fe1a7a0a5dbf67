//! Why a backup was not made, or a repository not opened, each with a stable code.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use waag_archive::error::ArchiveError;
use waag_keys::state::StateError;
use waag_ledger::hash::Hash;
use waag_model::time::UtcNanos;

use crate::store::error::StoreError;
use crate::store::keeping::KeepError;
use crate::store::subjects::CLOCK_DAYS_MAX;

/// Why a backup was not made, or a repository not opened.
#[derive(Debug)]
pub enum BackupError {
    /// The repository.
    Archive(ArchiveError),
    /// The store.
    Store(StoreError),
    /// The run was not recorded.
    Keep(KeepError),
    /// E0894: an object of the store is not what its name says.
    Object(Hash),
    /// E0895: the store has fewer entries than its backup.
    Behind {
        /// The store's size.
        store: u64,
        /// The backup's.
        backup: u64,
    },
    /// E0896: the vault's file or the state changed over and over while they were read.
    Restless,
    /// E0897: the key's file would lie inside the repository.
    KeyInside(PathBuf),
    /// E0899: the clock is far ahead of what was recorded or backed up last.
    Clock {
        /// When that was.
        newest: UtcNanos,
    },
    /// A file operation failed.
    Io {
        /// What was attempted.
        operation: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The other half of the work has failed, which says why.
    Stopped,
}

impl BackupError {
    /// Names the operation and path of a failed file operation.
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { operation, path, source }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Archive(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Keep(error) => error.code(),
            Self::Object(_) => "E0894",
            Self::Behind { .. } => "E0895",
            Self::Restless => "E0896",
            Self::KeyInside(_) => "E0897",
            Self::Clock { .. } => "E0899",
            Self::Io { operation, path, .. } => {
                StoreError::io(operation, path)(io::ErrorKind::Other.into()).code()
            }
            Self::Stopped => StoreError::Thread(io::ErrorKind::Other.into()).code(),
        }
    }
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Keep(error) => error.fmt(f),
            Self::Object(name) => {
                write!(f, "the store's object `{name}` is not what its name says, and is not backed up")
            }
            Self::Behind { store, backup } => {
                write!(f, "the store has {store} entries and its backup {backup}: the store was rolled back")
            }
            Self::Restless => {
                write!(f, "vault and state were changed over and over while they were read; try again")
            }
            Self::KeyInside(path) => {
                write!(f, "the key's file `{}` would lie inside the repository", path.display())
            }
            Self::Clock { newest } => write!(
                f,
                "the clock is more than {CLOCK_DAYS_MAX} days ahead of what was recorded or backed up last, at {newest}: \
                 nothing is removed by it, unless it is said to be right (--clock-is-right)"
            ),
            Self::Io { operation, path, .. } => write!(f, "cannot {operation} `{}`", path.display()),
            Self::Stopped => write!(f, "a thread of the backup has ended early"),
        }
    }
}

impl Error for BackupError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Archive(error) => error.source(),
            Self::Store(error) => error.source(),
            Self::Keep(error) => error.source(),
            Self::Io { source, .. } => Some(source),
            Self::Object(_)
            | Self::Behind { .. }
            | Self::Restless
            | Self::KeyInside(_)
            | Self::Clock { .. }
            | Self::Stopped => None,
        }
    }
}

impl From<ArchiveError> for BackupError {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error)
    }
}

impl From<KeepError> for BackupError {
    fn from(error: KeepError) -> Self {
        Self::Keep(error)
    }
}

impl From<StateError> for BackupError {
    fn from(error: StateError) -> Self {
        Self::Store(error.into())
    }
}

impl From<StoreError> for BackupError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
