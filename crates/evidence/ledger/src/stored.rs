//! Where each complete hash of the tree lies in the append-only list of stored hashes.
//!
//! Place: the engine writes what [`crate::tree::Frontier::append`] yields, one after the other, beside the log;
//! proofs and tiles read them by number through [`HashReader`]. Not here: the file (a driver), and trust:
//! stored hashes are derived, so check what was computed from them against a signed root before handing it out.
//!
//! Layout: a leaf's hash, then the interior nodes it completes, from the leaf up. It is the layout of
//! `StoredHashIndex` in Go's `golang.org/x/mod/sumdb/tlog`, so other tools can read the file.

use crate::hash::Hash;
use crate::subtree::{Subtree, decompose, fold};
use crate::tree::{Frontier, FrontierError, TREE_SIZE_MAX};
use std::fmt;
use std::ops::Range;

/// The number of hashes that a tree of `size` leaves has stored: two per leaf, less one per set bit of `size`.
///
/// Exact up to [`TREE_SIZE_MAX`] (and 2^63); no tree is larger.
#[must_use]
pub fn stored_hash_count(size: u64) -> u64 {
    size.saturating_mul(2) - u64::from(size.count_ones())
}

/// The number of the `n`-th hash of a level (level 0: leaf hashes), or `None` beyond [`TREE_SIZE_MAX`].
#[must_use]
pub fn stored_hash_index(level: u32, n: u64) -> Option<u64> {
    let end = n.checked_add(1)?.checked_mul(1u64.checked_shl(level)?)?;
    if end > TREE_SIZE_MAX {
        return None;
    }
    Some(Subtree { level, index: n }.stored_index())
}

/// The level and the number within the level of a stored hash, or `None` beyond [`TREE_SIZE_MAX`].
#[must_use]
pub fn split_stored_hash_index(index: u64) -> Option<(u32, u64)> {
    if index >= stored_hash_count(TREE_SIZE_MAX) {
        return None;
    }
    // The leaf under which the hash was stored is the last one whose own hash has no higher number. Half the
    // number is never above it, and short of it by at most half the number's bits.
    let mut leaf = index / 2;
    while stored_hash_count(leaf + 1) <= index {
        leaf += 1;
    }
    let level = u32::try_from(index - stored_hash_count(leaf)).ok()?;
    Some((level, leaf >> level))
}

impl Subtree {
    /// The number of the subtree's hash: it is stored with its last leaf, above that leaf's lower parents.
    pub(crate) fn stored_index(self) -> u64 {
        stored_hash_count(self.end() - 1) + u64::from(self.level)
    }
}

/// Reads stored hashes by number.
///
/// A contract: the answer has one hash per index, in the order asked; an index that was never stored is
/// [`HashReadError::Missing`], never a default. Reading is repeatable, since a stored hash never changes.
pub trait HashReader {
    /// Reads the hashes at `indexes` (at most a few hundred per call).
    ///
    /// # Errors
    /// [`HashReadError`] when one of them is missing or cannot be read.
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, HashReadError>;
}

impl HashReader for [Hash] {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, HashReadError> {
        let read = |index: &u64| {
            let at = usize::try_from(*index).ok();
            at.and_then(|at| self.get(at)).copied().ok_or(HashReadError::Missing { index: *index })
        };
        indexes.iter().map(read).collect()
    }
}

impl HashReader for Vec<Hash> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, HashReadError> {
        self.as_slice().read_hashes(indexes)
    }
}

/// Reads the frontier of the tree's first `size` leaves. The caller compares its root with a signed one.
///
/// # Errors
/// [`HashReadError`] from the reader, or when `size` is above [`TREE_SIZE_MAX`].
pub fn frontier_at<R: HashReader + ?Sized>(reader: &R, size: u64) -> Result<Frontier, HashReadError> {
    if size > TREE_SIZE_MAX {
        return Err(HashReadError::Frontier(FrontierError::TooLarge { size }));
    }
    let indexes: Vec<u64> = decompose(0..size).map(Subtree::stored_index).collect();
    let hashes = read_exact(reader, &indexes)?;
    Frontier::from_hashes(size, hashes).map_err(HashReadError::Frontier)
}

/// Reads the hash of each range, with one call to the reader.
pub(crate) fn read_ranges<R: HashReader + ?Sized>(
    reader: &R,
    ranges: &[Range<u64>],
) -> Result<Vec<Hash>, HashReadError> {
    let mut indexes = Vec::new();
    let mut counts = Vec::with_capacity(ranges.len());
    for range in ranges {
        let before = indexes.len();
        indexes.extend(decompose(range.clone()).map(Subtree::stored_index));
        counts.push(indexes.len() - before);
    }
    let hashes = read_exact(reader, &indexes)?;
    let mut rest = hashes.as_slice();
    let mut folded = Vec::with_capacity(ranges.len());
    for count in counts {
        let Some((range_hashes, others)) = rest.split_at_checked(count) else {
            return Err(HashReadError::WrongCount { asked: indexes.len(), got: hashes.len() });
        };
        folded.push(fold(range_hashes));
        rest = others;
    }
    Ok(folded)
}

/// Reads, and holds the reader to its contract: another number of hashes would shift every one behind it.
pub(crate) fn read_exact<R: HashReader + ?Sized>(
    reader: &R,
    indexes: &[u64],
) -> Result<Vec<Hash>, HashReadError> {
    let hashes = reader.read_hashes(indexes)?;
    if hashes.len() != indexes.len() {
        return Err(HashReadError::WrongCount { asked: indexes.len(), got: hashes.len() });
    }
    Ok(hashes)
}

/// Why stored hashes could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashReadError {
    /// E0304: no hash is stored under this number.
    Missing {
        /// The number asked for.
        index: u64,
    },
    /// E0305: the environment failed while a stored hash was read.
    Unreadable {
        /// The number asked for.
        index: u64,
        /// What the driver said.
        reason: String,
    },
    /// E0306: the reader broke its contract and answered with another number of hashes. Ours.
    WrongCount {
        /// Hashes asked for.
        asked: usize,
        /// Hashes answered.
        got: usize,
    },
    /// The size asked for is no size of a tree; bears the code of the inner error.
    Frontier(FrontierError),
}

impl HashReadError {
    /// The stable code, for `waag explain`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            HashReadError::Missing { .. } => "E0304",
            HashReadError::Unreadable { .. } => "E0305",
            HashReadError::WrongCount { .. } => "E0306",
            HashReadError::Frontier(inner) => inner.code(),
        }
    }
}

impl fmt::Display for HashReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HashReadError::Missing { index } => write!(f, "stored hash `{index}` is missing"),
            HashReadError::Unreadable { index, reason } => {
                write!(f, "stored hash `{index}` cannot be read: {reason}")
            }
            HashReadError::WrongCount { asked, got } => {
                write!(f, "asked for `{asked}` stored hashes, the reader gave `{got}`")
            }
            HashReadError::Frontier(inner) => inner.fmt(f),
        }
    }
}

impl std::error::Error for HashReadError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::leaf_hash;

    /// The stored hashes of a tree whose leaf `n` is the hash of `n` as eight bytes.
    fn stored(size: u64) -> (Frontier, Vec<Hash>) {
        let (mut frontier, mut sink) = (Frontier::new(), Vec::new());
        for n in 0..size {
            frontier.append(leaf_hash(&n.to_be_bytes()), &mut sink);
        }
        (frontier, sink)
    }

    #[test]
    fn numbers_follow_the_order_of_appending() {
        // Walks the definition: a leaf, then each node that it completes.
        let mut expected = 0;
        for leaf in 0..5_000u64 {
            assert_eq!(stored_hash_count(leaf), expected);
            for level in 0..=leaf.trailing_ones() {
                assert_eq!(stored_hash_index(level, leaf >> level), Some(expected));
                assert_eq!(split_stored_hash_index(expected), Some((level, leaf >> level)));
                expected += 1;
            }
        }
    }

    #[test]
    fn bounds_are_refused_not_wrapped() {
        let last = stored_hash_count(TREE_SIZE_MAX) - 1;
        assert_eq!(stored_hash_index(62, 0), Some(last));
        assert_eq!(split_stored_hash_index(last), Some((62, 0)));
        assert_eq!(stored_hash_index(0, TREE_SIZE_MAX - 1), Some(last - 62));
        assert_eq!(split_stored_hash_index(last - 62), Some((0, TREE_SIZE_MAX - 1)));
        assert_eq!(split_stored_hash_index(last + 1), None);
        assert_eq!(split_stored_hash_index(u64::MAX), None);
        assert_eq!(stored_hash_index(0, TREE_SIZE_MAX), None);
        assert_eq!(stored_hash_index(62, 1), None);
        assert_eq!(stored_hash_index(63, 0), None);
        assert_eq!(stored_hash_index(64, 0), None);
        assert_eq!(stored_hash_index(0, u64::MAX), None);
    }

    #[test]
    fn every_earlier_frontier_can_be_read_back() {
        let (_, hashes) = stored(200);
        for size in 0..=200 {
            assert_eq!(frontier_at(&hashes, size).unwrap(), stored(size).0, "size {size}");
        }
        assert_eq!(frontier_at(&hashes, 201).unwrap_err().code(), "E0304");
        assert_eq!(frontier_at(&hashes, TREE_SIZE_MAX + 1).unwrap_err().code(), "E0302");
    }

    #[test]
    fn reader_that_breaks_its_contract_is_caught() {
        struct Short;
        impl HashReader for Short {
            fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, HashReadError> {
                Ok(vec![leaf_hash(b"x"); indexes.len() - 1])
            }
        }
        assert_eq!(frontier_at(&Short, 7).unwrap_err(), HashReadError::WrongCount { asked: 3, got: 2 });
    }
}
