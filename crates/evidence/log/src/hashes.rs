//! The contract of the stored hashes: a derived, append-only row of 32-byte hashes beside the log.
//!
//! Place: written behind the frames that are committed, read for proofs. Derived: whatever is missing or wrong is made
//! again from the frames, and whoever reads compares the outcome with a signed root.
//! Not here: the order of the hashes (`evidence/ledger`, `stored`).

use waag_ledger::hash::Hash;
use waag_ledger::stored::{HashReadError, HashReader};

/// Stored hashes that can be appended to.
pub trait StoredHashes: HashReader + Send + Sync {
    /// How many there are.
    fn count(&self) -> u64;

    /// Writes hashes as numbers `first` and onwards, and cuts off whatever stood behind them. Not durable by itself.
    ///
    /// # Errors
    /// [`HashReadError::Missing`] where `first` would leave a gap; else the driver's.
    fn write(&self, first: u64, hashes: &[Hash]) -> Result<(), HashReadError>;

    /// Makes everything written durable.
    ///
    /// # Errors
    /// The driver's.
    fn sync(&self) -> Result<(), HashReadError>;
}
