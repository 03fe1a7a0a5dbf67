//! One proof for many neighbours: a batch's receipt carries it once instead of a path per entry (`LEDGER-2`).
//!
//! Place: the writer calls [`RangeTree::append`] once per frame, which grows the frontier, yields the stored
//! hashes to write, and then answers for each batch of the frame without reading anything. The holder of a
//! receipt calls [`RangeProof::verify`] with the leaf hashes of its batch, and takes single proofs from the result.
//! Not here: the text form of a single proof (`tlog_proof`), and the checkpoint that signs the root.
//!
//! Why it works: the leaves `[a, b)` of a tree of n, the fewest complete subtrees of `[0, a)`, and those of
//! `[b, n)`, determine the root. Every sibling on a path from `[a, b)` up either touches `[a, b)`, and follows
//! from these, or is itself one of those subtrees, because its parent touches `[a, b)`.

use crate::hash::Hash;
use crate::proof::{InclusionProof, ProofError, check_index};
use crate::stored::stored_hash_count;
use crate::subtree::{Subtree, decompose, fold, inclusion_ranges};
use crate::tree::{Frontier, TREE_SIZE_MAX};
use std::ops::Range;

/// What, beside the leaf hashes of `[first, first + n)`, leads to the root of a tree of `tree_size` leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeProof {
    /// The position of the first leaf that is proven.
    pub first: u64,
    /// The tree's leaves.
    pub tree_size: u64,
    /// The complete subtrees before the range: [`Frontier::hashes`] at `first`, largest first.
    pub left: Vec<Hash>,
    /// The fewest complete subtrees behind the range up to `tree_size`, in order; none where it ends the tree.
    pub right: Vec<Hash>,
}

impl RangeProof {
    /// Checks that `leaves` stand at `first` and onwards under `root`.
    ///
    /// One hash per leaf, and two per tree level. The result gives each leaf's own inclusion proof.
    ///
    /// # Errors
    /// [`ProofError`] when it is not proven.
    pub fn verify(&self, leaves: &[Hash], root: &Hash) -> Result<RangeTree, ProofError> {
        let tree = self.rebuild(leaves)?;
        if tree.root == *root { Ok(tree) } else { Err(ProofError::RootDiffers { tree_size: self.tree_size }) }
    }

    fn rebuild(&self, leaves: &[Hash]) -> Result<RangeTree, ProofError> {
        if self.tree_size > TREE_SIZE_MAX {
            return Err(ProofError::TreeTooLarge { tree_size: self.tree_size });
        }
        let last = leaves.len().checked_sub(1).ok_or(ProofError::EmptyRange)? as u64;
        let last = self.first.saturating_add(last);
        check_index(last, self.tree_size)?;
        let behind: Vec<Subtree> = decompose(last + 1..self.tree_size).collect();
        if behind.len() != self.right.len() {
            return Err(ProofError::NodeCount {
                expected: behind.len() as u64,
                got: self.right.len() as u64,
            });
        }
        let left = Frontier::from_hashes(self.first, self.left.clone()).map_err(ProofError::Frontier)?;
        let mut frontier = left;
        let mut tree = RangeTree::append(&mut frontier, leaves);
        for (subtree, hash) in behind.iter().zip(&self.right) {
            frontier.append_subtree(subtree.level, *hash, |level, hash| {
                tree.right.push((Subtree { level, index: (subtree.end() >> level) - 1 }, hash));
            });
        }
        tree.tree_size = frontier.size();
        tree.root = frontier.root();
        Ok(tree)
    }
}

/// Checks that `leaves` stand at `proof.first` and onwards under `root`, and keeps nothing.
///
/// # Errors
/// [`ProofError`] when it is not proven.
pub fn verify_range(proof: &RangeProof, leaves: &[Hash], root: &Hash) -> Result<(), ProofError> {
    proof.verify(leaves, root).map(|_| ())
}

/// Derives one leaf's inclusion proof from a range proof and the leaf hashes of its range.
///
/// It proves only as much as the range proof does: verify either of the two. For many leaves of one range keep the
/// [`RangeTree`] of [`RangeProof::verify`], which does not hash the range again for each.
///
/// # Errors
/// [`ProofError`] when the range proof is malformed or `index` is not in the range.
pub fn inclusion_from_range(
    proof: &RangeProof,
    leaves: &[Hash],
    index: u64,
) -> Result<InclusionProof, ProofError> {
    proof.rebuild(leaves)?.inclusion_proof(index)
}

/// All the nodes over a run of neighbouring leaves, and the few beside it that lead to the root.
///
/// Made by appending a frame or by verifying a range proof, and no other way. About 64 bytes per leaf.
#[derive(Clone, Debug)]
pub struct RangeTree {
    first: u64,
    /// The first position behind the leaves held.
    end: u64,
    tree_size: u64,
    root: Hash,
    /// The compact range of `[0, first)`.
    left: Vec<Hash>,
    /// The stored hashes of the leaves held, in stored order: number `stored_hash_count(first)` and onwards.
    stored: Vec<Hash>,
    /// Subtrees that end behind `end`: those given, and those they completed. At most a few per level.
    right: Vec<(Subtree, Hash)>,
}

impl RangeTree {
    /// Appends a frame's leaf hashes to the frontier and keeps the nodes they complete.
    ///
    /// The one pass of hashing that a frame needs: [`RangeTree::stored_hashes`] is what goes to the stored hashes'
    /// file, [`RangeTree::root`] into the frame's header, and [`RangeTree::range_proof`] into the receipts.
    #[must_use]
    pub fn append(frontier: &mut Frontier, leaves: &[Hash]) -> RangeTree {
        let first = frontier.size();
        let left = frontier.hashes().to_vec();
        let mut stored = Vec::with_capacity(leaves.len().saturating_mul(2).saturating_add(64));
        for leaf in leaves {
            frontier.append(*leaf, &mut stored);
        }
        let end = frontier.size();
        RangeTree { first, end, tree_size: end, root: frontier.root(), left, stored, right: Vec::new() }
    }

    /// The position of the first leaf held.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The first position behind the leaves held.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The leaves of the whole tree.
    #[must_use]
    pub fn tree_size(&self) -> u64 {
        self.tree_size
    }

    /// The root of the whole tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.root
    }

    /// The hashes that the leaves held have completed, in stored order.
    #[must_use]
    pub fn stored_hashes(&self) -> &[Hash] {
        &self.stored
    }

    /// The number of the first of [`RangeTree::stored_hashes`] in the ledger's stored hashes.
    #[must_use]
    pub fn stored_first(&self) -> u64 {
        stored_hash_count(self.first)
    }

    /// The range proof for the leaves `[first, end)`, which must lie within those held. No hash is computed.
    ///
    /// # Errors
    /// [`ProofError::EmptyRange`], or [`ProofError::IndexOutside`] when a leaf of the range is not held.
    pub fn range_proof(&self, first: u64, end: u64) -> Result<RangeProof, ProofError> {
        let last = end.checked_sub(1).filter(|last| *last >= first).ok_or(ProofError::EmptyRange)?;
        self.check_held(first)?;
        self.check_held(last)?;
        let left = self.nodes(0..first).ok_or_else(|| self.outside(first))?;
        let right = self.nodes(end..self.tree_size).ok_or_else(|| self.outside(last))?;
        Ok(RangeProof { first, tree_size: self.tree_size, left, right })
    }

    /// The inclusion proof for one of the leaves held.
    ///
    /// # Errors
    /// [`ProofError::IndexOutside`] when the leaf is not held.
    pub fn inclusion_proof(&self, index: u64) -> Result<InclusionProof, ProofError> {
        self.check_held(index)?;
        let ranges = inclusion_ranges(index, self.tree_size);
        let mut path = Vec::with_capacity(ranges.len());
        for range in ranges {
            path.push(self.range_hash(range).ok_or_else(|| self.outside(index))?);
        }
        Ok(InclusionProof { index, tree_size: self.tree_size, path })
    }

    /// The hash of a range, where all of its complete subtrees are known.
    fn range_hash(&self, range: Range<u64>) -> Option<Hash> {
        let mut subtrees = decompose(range.clone());
        match (subtrees.next(), subtrees.next()) {
            // Nearly all of a path: one node, for which nothing need be allocated.
            (Some(whole), None) => self.node(whole),
            _ => self.nodes(range).map(|nodes| fold(&nodes)),
        }
    }

    /// The hashes of the complete subtrees of a range, where all of them are known.
    fn nodes(&self, range: Range<u64>) -> Option<Vec<Hash>> {
        decompose(range).map(|subtree| self.node(subtree)).collect()
    }

    fn node(&self, subtree: Subtree) -> Option<Hash> {
        if subtree.end() <= self.first {
            // The compact range has one subtree per set bit of `first`: that of bit `level` ends where the bits
            // below are zero, and it comes after one for each higher bit.
            let ends_here = subtree.index & 1 == 0 && self.first >> subtree.level == subtree.index + 1;
            let higher = (subtree.index >> 1).count_ones() as usize;
            return self.left.get(higher).copied().filter(|_| ends_here);
        }
        if subtree.end() <= self.end {
            let at = subtree.stored_index().checked_sub(self.stored_first())?;
            return self.stored.get(usize::try_from(at).ok()?).copied();
        }
        self.right.iter().find(|(known, _)| *known == subtree).map(|(_, hash)| *hash)
    }

    fn check_held(&self, index: u64) -> Result<(), ProofError> {
        if (self.first..self.end).contains(&index) { Ok(()) } else { Err(self.outside(index)) }
    }

    fn outside(&self, index: u64) -> ProofError {
        ProofError::IndexOutside { index, tree_size: self.tree_size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::leaf_hash;

    /// Each subtree of a grown tree is known with its right hash or not at all.
    #[test]
    fn a_node_is_never_taken_for_another() {
        let leaves: Vec<Hash> = (0..64u8).map(|n| leaf_hash(&[n])).collect();
        let hash_of = |subtree: Subtree| {
            let end = usize::try_from(subtree.end()).unwrap();
            let mut frontier = Frontier::new();
            leaves[end - (1 << subtree.level)..end]
                .iter()
                .for_each(|leaf| frontier.append(*leaf, &mut Vec::new()));
            frontier.root()
        };
        for first in 0..60 {
            let mut frontier = Frontier::new();
            let _ = RangeTree::append(&mut frontier, &leaves[..first]);
            let frame = RangeTree::append(&mut frontier, &leaves[first..]);
            let proof = frame.range_proof(first as u64, first as u64 + 3).unwrap();
            let batch = proof.verify(&leaves[first..first + 3], &frame.root()).unwrap();
            let mut known = 0;
            for level in 0..=6u32 {
                for index in 0..64u64 >> level {
                    let subtree = Subtree { level, index };
                    for tree in [&frame, &batch] {
                        if let Some(hash) = tree.node(subtree) {
                            assert_eq!(hash, hash_of(subtree), "{subtree:?} behind {first}");
                            known += 1;
                        }
                    }
                }
            }
            assert!(known > 64 - first);
            assert_eq!(frame.node(Subtree { level: 7, index: 0 }), None);
        }
    }
}
