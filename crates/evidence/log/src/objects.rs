//! The contract of the objects: what is kept beside the log, each named by the SHA-256 of its bytes.
//!
//! Place: a blob is durable here before the entry that names it is sealed into a frame.
//! Not here: what is in an object (sealed bytes, `evidence/entry`), when one may go (`evidence/archive`).
//!
//! Invariants:
//! - `OBJ-1`: an object's name is the hash of its bytes; whoever reads one checks that.
//! - `OBJ-2`: `put` returns only when the object is durable; putting the same bytes again changes nothing.

use std::fmt;

use waag_ledger::hash::Hash;

/// Largest object taken, in bytes.
pub const OBJECT_BYTES_MAX: usize = 64 * 1_024 * 1_024;

/// A store of objects.
pub trait Objects: Send + Sync {
    /// Keeps an object under its name; durable on return, idempotent.
    ///
    /// # Errors
    /// [`ObjectError`]; the object may then be there or not, and putting it again is safe.
    fn put(&self, name: &Hash, bytes: &[u8]) -> Result<(), ObjectError>;

    /// An object's bytes; `None` where there is none of that name. The caller compares the hash (`OBJ-1`).
    ///
    /// # Errors
    /// [`ObjectError`].
    fn get(&self, name: &Hash) -> Result<Option<Vec<u8>>, ObjectError>;

    /// The names of all objects, in order.
    ///
    /// # Errors
    /// [`ObjectError`].
    fn names(&self, visit: &mut dyn FnMut(Hash)) -> Result<(), ObjectError>;
}

/// Why an object could not be kept or read.
#[derive(Debug)]
pub enum ObjectError {
    /// E0490: the object is larger than [`OBJECT_BYTES_MAX`].
    TooLarge {
        /// Its length in bytes.
        bytes: u64,
    },
    /// E0491: the store failed.
    Failed {
        /// What was attempted.
        operation: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

impl ObjectError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "E0490",
            Self::Failed { .. } => "E0491",
        }
    }
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes } => {
                write!(f, "the object has {bytes} bytes, {OBJECT_BYTES_MAX} are allowed")
            }
            Self::Failed { operation, .. } => write!(f, "the objects' {operation} failed"),
        }
    }
}

impl std::error::Error for ObjectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::TooLarge { .. } => None,
            Self::Failed { source, .. } => Some(source),
        }
    }
}
