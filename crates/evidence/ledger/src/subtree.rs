//! Coordinates of complete subtrees, and which of them a root or a proof is made of (`LEDGER-1`, `LEDGER-2`).
//!
//! Place: the arithmetic under `tree`, `proof`, `range` and `tile`; it handles no hash but to fold them.
//! Not here: where a subtree's hash is stored (`stored`).
//!
//! Source: RFC 9162 §2.1.1 (a tree of n > 1 leaves splits at the largest power of two below n), §2.1.3.1 and
//! §2.1.4.1 (paths). All ranges are half open and below [`TREE_SIZE_MAX`], so no sum here can overflow.

use crate::hash::{EMPTY_ROOT, Hash, node_hash};
use crate::tree::TREE_SIZE_MAX;
use std::ops::Range;

/// A complete subtree: leaves `[index << level, (index + 1) << level)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subtree {
    pub(crate) level: u32,
    pub(crate) index: u64,
}

impl Subtree {
    /// The first leaf behind the subtree.
    pub(crate) fn end(self) -> u64 {
        (self.index + 1) << self.level
    }
}

/// Cuts `[start, end)` into the fewest complete subtrees, in order.
///
/// For `start` = 0 this is the compact range of a tree of `end` leaves, largest subtree first.
pub(crate) fn decompose(range: Range<u64>) -> impl Iterator<Item = Subtree> {
    debug_assert!(range.end <= TREE_SIZE_MAX);
    let mut start = range.start;
    std::iter::from_fn(move || {
        let length = range.end.checked_sub(start)?;
        let level = length.checked_ilog2()?.min(start.trailing_zeros());
        let subtree = Subtree { level, index: start >> level };
        start = subtree.end();
        Some(subtree)
    })
}

/// The largest power of two below `length`, which is at least 2.
fn split(length: u64) -> u64 {
    1 << (length - 1).ilog2()
}

/// The ranges whose hashes are the inclusion path of leaf `index` in a tree of `size` leaves, leaf to root.
pub(crate) fn inclusion_ranges(index: u64, size: u64) -> Vec<Range<u64>> {
    let mut ranges = Vec::with_capacity(size.checked_ilog2().map_or(0, |levels| levels as usize + 1));
    let (mut low, mut high) = (0, size);
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            ranges.push(middle..high);
            high = middle;
        } else {
            ranges.push(low..middle);
            low = middle;
        }
    }
    ranges.reverse();
    ranges
}

/// The ranges whose hashes are the consistency path from `old` to `new` leaves, 0 < old <= new, leaf to root.
pub(crate) fn consistency_ranges(old: u64, new: u64) -> Vec<Range<u64>> {
    let mut ranges = Vec::new();
    let (mut low, mut high) = (0, new);
    while old < high {
        let middle = low + split(high - low);
        if old <= middle {
            ranges.push(middle..high);
            high = middle;
        } else {
            ranges.push(low..middle);
            low = middle;
        }
    }
    // The old root itself is known to the verifier when the old tree is a complete subtree at the left.
    if low > 0 {
        ranges.push(low..high);
    }
    ranges.reverse();
    ranges
}

/// Folds the hashes of a range's subtrees, in order, into the hash of the range.
pub(crate) fn fold(hashes: &[Hash]) -> Hash {
    let Some((last, larger)) = hashes.split_last() else {
        return EMPTY_ROOT;
    };
    larger.iter().rev().fold(*last, |right, left| node_hash(left, &right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decomposition_is_gapless_aligned_and_minimal() {
        for end in 0..130u64 {
            for start in 0..=end {
                let parts: Vec<_> = decompose(start..end).collect();
                let mut next = start;
                for part in &parts {
                    assert_eq!(part.index << part.level, next);
                    next = part.end();
                }
                assert_eq!(next, end);
                // No two neighbours are the halves of one larger subtree.
                for pair in parts.windows(2) {
                    let siblings = pair[0].level == pair[1].level && pair[0].index % 2 == 0;
                    assert!(!siblings, "{start}..{end}");
                }
            }
        }
    }

    #[test]
    fn largest_tree_stays_in_range() {
        assert_eq!(decompose(0..TREE_SIZE_MAX).count(), 1);
        assert_eq!(decompose(0..TREE_SIZE_MAX - 1).count(), 62);
        assert_eq!(decompose(1..TREE_SIZE_MAX).count(), 62);
        assert_eq!(inclusion_ranges(TREE_SIZE_MAX - 1, TREE_SIZE_MAX).len(), 62);
        assert_eq!(consistency_ranges(TREE_SIZE_MAX - 1, TREE_SIZE_MAX).len(), 63);
    }
}
