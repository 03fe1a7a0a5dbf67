//! What can go wrong with the identity index; none of it can lose an event, since the log has them all.

use std::fmt;
use std::io;

/// A fault of the identity index.
#[derive(Debug)]
pub enum IdentityError {
    /// The disk failed; the fault is the environment's.
    Io {
        /// What was being done.
        what: &'static str,
        /// The file, below the store's root.
        file: String,
        /// The operating system's error.
        source: io::Error,
    },
    /// A file is not what was written; the index is to be rebuilt from the log.
    Damaged {
        /// The file, below the store's root.
        file: String,
        /// Byte of the file where it was noticed.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// The tables are full: outstanding jobs must be run and installed before more is inserted.
    Behind,
}

impl IdentityError {
    /// The stable code of this fault.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "E0640",
            Self::Damaged { .. } => "E0641",
            Self::Behind => "E0642",
        }
    }
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { what, file, .. } => write!(f, "the identity index cannot {what} `{file}`"),
            Self::Damaged { file, offset, what } => {
                write!(f, "the identity index is damaged: {what} in `{file}` at byte {offset}")
            }
            Self::Behind => write!(f, "the identity index waits for its background work"),
        }
    }
}

impl std::error::Error for IdentityError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Damaged { .. } | Self::Behind => None,
        }
    }
}
