//! One proof for many entries anywhere in the tree (`PACK-4`): the hashes of the largest subtrees that hold none of them.
//!
//! Size and positions decide the shape, so each hash has one place, and a set of entries has one proof.
//!
//! Not here: the proof of one entry (`crate::proof`) or of neighbours (`crate::range`).
//!
//! Source: RFC 6962 §2.1 for where a tree of n leaves splits.

use std::ops::Range;

use super::fault::PackFault;
use super::name;
use crate::hash::{HASH_BYTES, Hash, node_hash};
use crate::proof::{ProofError, check_index};
use crate::stored::{HashReader, read_ranges};

/// Ranges asked for in one call, so that a reader is asked for at most some thousands of hashes.
const RANGES_PER_READ: usize = 32;

/// The hashes that, with the entries at these positions, lead to the root of the first `size` leaves.
///
/// `positions` are ascending, none twice, each below `size`.
///
/// # Errors
/// [`ProofError::EmptyRange`] for no position, [`ProofError::IndexOutside`] for one that is outside or not ascending,
/// [`ProofError::TreeTooLarge`], [`ProofError::Read`].
pub fn prove_entries<R: HashReader + ?Sized>(
    reader: &R,
    positions: &[u64],
    size: u64,
) -> Result<Vec<Hash>, ProofError> {
    let last = positions.last().ok_or(ProofError::EmptyRange)?;
    check_index(*last, size)?;
    if let Some((_, next)) = positions.iter().zip(positions.iter().skip(1)).find(|(one, next)| one >= next) {
        return Err(ProofError::IndexOutside { index: *next, tree_size: size });
    }
    let mut ranges = Vec::new();
    absent(0..size, positions, &mut ranges);
    let mut hashes = Vec::with_capacity(ranges.len());
    for ranges in ranges.chunks(RANGES_PER_READ) {
        hashes.extend(read_ranges(reader, ranges).map_err(ProofError::Read)?);
    }
    Ok(hashes)
}

/// The largest subtrees of `range` that hold none of the positions, which all lie in it, from left to right.
fn absent(range: Range<u64>, positions: &[u64], ranges: &mut Vec<Range<u64>>) {
    if positions.is_empty() {
        ranges.push(range);
    } else if range.end - range.start > 1 {
        let middle = middle(&range);
        let (left, right) = positions.split_at(positions.partition_point(|position| *position < middle));
        absent(range.start..middle, left, ranges);
        absent(middle..range.end, right, ranges);
    }
}

/// Where a tree over more than one leaf splits: at most 62 times on a path, which bounds the recursions here.
fn middle(range: &Range<u64>) -> u64 {
    range.start + (1 << (range.end - range.start - 1).ilog2())
}

/// The root that leaves at ascending positions below `size` lead to with the bytes of `proof.bin`.
///
/// # Errors
/// [`PackFault::Binary`]: a hash is missing or left over.
pub(super) fn root(leaves: &[(u64, Hash)], size: u64, proof: &[u8]) -> Result<Hash, PackFault> {
    let wrong = |offset, expected| PackFault::Binary { member: name::PROOF, offset, expected };
    let (hashes, torn) = proof.as_chunks::<HASH_BYTES>();
    let used = &mut 0;
    let root = rebuild(0..size, leaves, hashes, used);
    let root = root.ok_or_else(|| wrong(hashes.len() * HASH_BYTES, "a hash more: the proof is cut"))?;
    if *used != hashes.len() || !torn.is_empty() {
        return Err(wrong(*used * HASH_BYTES, "the end of the proof"));
    }
    Ok(root)
}

fn rebuild(
    range: Range<u64>,
    leaves: &[(u64, Hash)],
    hashes: &[[u8; HASH_BYTES]],
    used: &mut usize,
) -> Option<Hash> {
    let Some((_, leaf)) = leaves.first() else {
        let hash = hashes.get(*used)?;
        *used += 1;
        return Some(Hash(*hash));
    };
    if range.end - range.start == 1 {
        return Some(*leaf);
    }
    let middle = middle(&range);
    let (left, right) = leaves.split_at(leaves.partition_point(|(position, _)| *position < middle));
    let left = rebuild(range.start..middle, left, hashes, used)?;
    let right = rebuild(middle..range.end, right, hashes, used)?;
    Some(node_hash(&left, &right))
}
