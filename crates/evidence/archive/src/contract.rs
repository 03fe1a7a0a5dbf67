//! The contract of a backup store: named objects, each written once.
//!
//! Place: `drivers/` implement it; [`crate::conformance`] runs on every driver. Not here: what is in an object (`sealed`).
//!
//! What a caller must not assume: that an object that could not be put is not there. It lists, and decides by that.

use std::fmt;
use std::io;

/// Longest object: the largest plaintext, its header, its tags.
pub const OBJECT_BYTES_MAX: usize = 68 * 1_024 * 1_024;
/// Longest name.
pub const NAME_BYTES_MAX: usize = 100;

/// A store of objects that are written once. All calls block.
pub trait BackupStore: Send + Sync {
    /// Puts an object under a name that is not taken; whole and durable on return, or absent.
    ///
    /// # Errors
    /// [`StoreFault::Taken`] where the name is taken, whatever is there, which stays; [`StoreFault::Failed`], after which
    /// the object is whole or absent, never a part of itself.
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<(), StoreFault>;

    /// An object's bytes; `None` where there is none of that name.
    ///
    /// # Errors
    /// [`StoreFault::Failed`]; also where it is longer than [`OBJECT_BYTES_MAX`].
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreFault>;

    /// The names of all objects that begin with `prefix`, in bytewise order; what is not whole has none.
    ///
    /// # Errors
    /// [`StoreFault::Failed`].
    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreFault>;

    /// Removes an object, durable on return; one that is not there is no error.
    ///
    /// # Errors
    /// [`StoreFault::Failed`].
    fn remove(&self, name: &str) -> Result<(), StoreFault>;
}

/// Why a store refused or failed.
#[derive(Debug)]
pub enum StoreFault {
    /// E0880: the name is taken. Nothing was written.
    Taken {
        /// The name.
        name: String,
    },
    /// E0881: the place failed.
    Failed {
        /// What was attempted.
        operation: &'static str,
        /// On which object.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// E0882: another process writes the repository.
    Locked,
}

impl StoreFault {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Taken { .. } => "E0880",
            Self::Failed { .. } => "E0881",
            Self::Locked => "E0882",
        }
    }
}

impl fmt::Display for StoreFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken { name } => write!(f, "the repository has an object `{name}` already"),
            Self::Failed { operation, name, .. } => {
                write!(f, "the repository's {operation} of `{name}` failed")
            }
            Self::Locked => write!(f, "another process writes this repository"),
        }
    }
}

impl std::error::Error for StoreFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed { source, .. } => Some(source),
            Self::Taken { .. } | Self::Locked => None,
        }
    }
}

/// Whether a name may stand in a repository: parts of lower-case letters, digits and `-`, with `/` between them.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        let is_known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !part.is_empty() && part.bytes().all(is_known)
    };
    name.len() <= NAME_BYTES_MAX && name.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_the_repository() {
        for good in ["repository", "runs/00000000000000000001", "keys/001790000000-00ff"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "/", "a/", "/a", "a//b", "..", "a/../b", "A", "a.new", "a b", &"x".repeat(101)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
