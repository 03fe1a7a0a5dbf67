//! Why a store was not restored, each with a stable code.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use waag_archive::error::ArchiveError;
use waag_keys::error::KeysError;
use waag_keys::state::StateError;
use waag_model::ids::Position;

use crate::store::backups::BackupError;
use crate::store::error::StoreError;

/// Why a store was not restored.
#[derive(Debug)]
pub enum RestoreError {
    /// The repository.
    Backup(BackupError),
    /// A manifest cannot be gone by; its code.
    Broken {
        /// What is wrong, the first there is.
        error: ArchiveError,
        /// Runs before it, which are whole.
        whole: u64,
    },
    /// Key material, or the state beside it, is lost or damaged, and an older run's can be taken; its code.
    KeysLost {
        /// What is wrong.
        error: ArchiveError,
        /// The newest older run whose keys have not expired.
        older: u64,
    },
    /// The restored store.
    Store(StoreError),
    /// E0740: something stands where the store is to be.
    Target(PathBuf),
    /// E0742: the guard that was given does not say that nothing was acknowledged beyond the backup.
    Guard(String),
    /// E0743: the backups do not reach there.
    Beyond {
        /// What was asked for.
        asked: &'static str,
        /// How far they reach.
        reach: Position,
    },
    /// E0744: what was restored is not verified; the first fault.
    NotVerified(String),
    /// E0898: the store cannot be promoted.
    Promote(&'static str),
}

impl RestoreError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Backup(error) => error.code(),
            Self::Broken { error, .. } | Self::KeysLost { error, .. } => error.code(),
            Self::Store(error) => error.code(),
            Self::Target(_) => "E0740",
            Self::Guard(_) => "E0742",
            Self::Beyond { .. } => "E0743",
            Self::NotVerified(_) => "E0744",
            Self::Promote(_) => "E0898",
        }
    }
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backup(error) => error.fmt(f),
            Self::Broken { error, whole: 0 } => error.fmt(f),
            Self::Broken { error, whole } => {
                write!(
                    f,
                    "{error}; the runs before it are whole: `--run {whole}` restores as of the newest of them"
                )
            }
            Self::KeysLost { error, older } => write!(
                f,
                "{error}; `--keys-of {older}` takes the keys of that run: what is sealed under newer ones stays closed"
            ),
            Self::Store(error) => error.fmt(f),
            Self::Target(path) => {
                write!(f, "`{}` is there already; a restore never writes over anything", path.display())
            }
            Self::Guard(why) => write!(f, "the guard that was given does not allow writing: {why}"),
            Self::Beyond { asked, reach } => {
                write!(f, "{asked}: the backups reach from the first frame to position {reach}")
            }
            Self::NotVerified(first) => write!(f, "what was restored is not verified: {first}"),
            Self::Promote(why) => write!(f, "the store cannot be promoted: {why}"),
        }
    }
}

impl Error for RestoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Backup(error) => error.source(),
            Self::Broken { error, .. } | Self::KeysLost { error, .. } => error.source(),
            Self::Store(error) => error.source(),
            Self::Target(_)
            | Self::Guard(_)
            | Self::Beyond { .. }
            | Self::NotVerified(_)
            | Self::Promote(_) => None,
        }
    }
}

impl From<BackupError> for RestoreError {
    fn from(error: BackupError) -> Self {
        Self::Backup(error)
    }
}

impl From<ArchiveError> for RestoreError {
    fn from(error: ArchiveError) -> Self {
        Self::Backup(error.into())
    }
}

impl From<StoreError> for RestoreError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<StateError> for RestoreError {
    fn from(error: StateError) -> Self {
        Self::Store(error.into())
    }
}

impl From<KeysError> for RestoreError {
    fn from(error: KeysError) -> Self {
        Self::Store(error.into())
    }
}
