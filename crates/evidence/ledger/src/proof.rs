//! Inclusion and consistency proofs: made from stored hashes, checked with nothing but roots (`LEDGER-2`).
//!
//! Place: behind receipts, `waag prove` and the verifier. A prover trusts its stored hashes, so it checks what
//! it made against the signed root before it hands it out; a verifier trusts the root alone.
//! Not here: one proof for many neighbours (`range`), the file around a proof (`tlog_proof`).
//!
//! Source: RFC 9162 §2.1.3 (inclusion) and §2.1.4 (consistency). Both verifiers follow its loops; the number of
//! nodes is compared beforehand, so an error says what is wrong. Consistency with the empty tree is refused: every
//! tree extends it, so such a proof would say nothing.

use crate::hash::{Hash, node_hash};
use crate::stored::{HashReadError, HashReader, read_ranges};
use crate::subtree::{consistency_ranges, inclusion_ranges};
use crate::tree::{FrontierError, TREE_SIZE_MAX};
use std::fmt;

/// The most nodes that an inclusion path can have, at [`TREE_SIZE_MAX`].
pub const PATH_NODES_MAX: usize = 62;

/// That a leaf is at `index` in a tree of `tree_size` leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    /// The leaf's position, from 0.
    pub index: u64,
    /// The tree's leaves.
    pub tree_size: u64,
    /// Sibling hashes, from the leaf's up to the root's child.
    pub path: Vec<Hash>,
}

impl InclusionProof {
    /// Checks that `leaf` is at this proof's index under `root`.
    ///
    /// # Errors
    /// [`ProofError`] when it is not proven.
    pub fn verify(&self, leaf: &Hash, root: &Hash) -> Result<(), ProofError> {
        verify_inclusion(leaf, self.index, self.tree_size, &self.path, root)
    }
}

/// That the tree of `old_size` leaves is the beginning of the tree of `new_size` leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// The earlier tree's leaves, at least 1.
    pub old_size: u64,
    /// The later tree's leaves.
    pub new_size: u64,
    /// The nodes of RFC 9162 §2.1.4.1, in its order.
    pub path: Vec<Hash>,
}

impl ConsistencyProof {
    /// Checks that the tree under `new_root` begins with the tree under `old_root`.
    ///
    /// # Errors
    /// [`ProofError`] when it is not proven.
    pub fn verify(&self, old_root: &Hash, new_root: &Hash) -> Result<(), ProofError> {
        verify_consistency(self.old_size, self.new_size, &self.path, old_root, new_root)
    }
}

/// Makes the inclusion proof of leaf `index` in the tree of the first `tree_size` leaves.
///
/// # Errors
/// [`ProofError::IndexOutside`], [`ProofError::TreeTooLarge`], or [`ProofError::Read`].
pub fn prove_inclusion<R: HashReader + ?Sized>(
    reader: &R,
    index: u64,
    tree_size: u64,
) -> Result<InclusionProof, ProofError> {
    check_index(index, tree_size)?;
    let path = read_ranges(reader, &inclusion_ranges(index, tree_size)).map_err(ProofError::Read)?;
    Ok(InclusionProof { index, tree_size, path })
}

/// Makes the consistency proof from the first `old_size` to the first `new_size` leaves.
///
/// # Errors
/// [`ProofError::EmptyOldTree`], [`ProofError::SizesReversed`], [`ProofError::TreeTooLarge`], or
/// [`ProofError::Read`].
pub fn prove_consistency<R: HashReader + ?Sized>(
    reader: &R,
    old_size: u64,
    new_size: u64,
) -> Result<ConsistencyProof, ProofError> {
    check_sizes(old_size, new_size)?;
    let path = read_ranges(reader, &consistency_ranges(old_size, new_size)).map_err(ProofError::Read)?;
    Ok(ConsistencyProof { old_size, new_size, path })
}

/// Checks that `leaf` is at `index` in the tree of `tree_size` leaves under `root` (RFC 9162 §2.1.3.2).
///
/// # Errors
/// [`ProofError`]: the index lies outside, the path has a wrong number of nodes, or the root differs.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    tree_size: u64,
    path: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    check_index(index, tree_size)?;
    check_nodes(path.len(), inclusion_nodes(index, tree_size))?;
    let mut walk = Walk { position: index, last: tree_size - 1 };
    let computed =
        path.iter().fold(
            *leaf,
            |below, node| {
                if walk.step() { node_hash(node, &below) } else { node_hash(&below, node) }
            },
        );
    if computed == *root { Ok(()) } else { Err(ProofError::RootDiffers { tree_size }) }
}

/// Checks that the tree under `new_root` begins with the tree under `old_root` (RFC 9162 §2.1.4.2).
///
/// # Errors
/// [`ProofError`]: sizes reversed or empty, a wrong number of nodes, or one of the roots differs.
pub fn verify_consistency(
    old_size: u64,
    new_size: u64,
    path: &[Hash],
    old_root: &Hash,
    new_root: &Hash,
) -> Result<(), ProofError> {
    check_sizes(old_size, new_size)?;
    check_nodes(path.len(), consistency_nodes(old_size, new_size))?;
    if old_size == new_size {
        return if old_root == new_root {
            Ok(())
        } else {
            Err(ProofError::RootDiffers { tree_size: new_size })
        };
    }
    // The walk starts at the largest complete subtree that the old tree ends with. Where that is the whole old
    // tree its hash is the old root, which the proof leaves out.
    let levels = old_size.trailing_zeros();
    let mut walk = Walk { position: (old_size - 1) >> levels, last: (new_size - 1) >> levels };
    let (start, rest) = if old_size.is_power_of_two() {
        (*old_root, path)
    } else {
        let (first, rest) = path.split_first().ok_or(ProofError::NodeCount { expected: 1, got: 0 })?;
        (*first, rest)
    };
    let (mut old, mut new) = (start, start);
    for node in rest {
        if walk.step() {
            old = node_hash(node, &old);
            new = node_hash(node, &new);
        } else {
            new = node_hash(&new, node);
        }
    }
    if old != *old_root {
        return Err(ProofError::RootDiffers { tree_size: old_size });
    }
    if new != *new_root {
        return Err(ProofError::RootDiffers { tree_size: new_size });
    }
    Ok(())
}

/// A walk from a node up to the root: `position` is the node's number in its level, `last` the level's last.
struct Walk {
    position: u64,
    last: u64,
}

impl Walk {
    /// Goes up to the next level where the node has a sibling, and says whether that sibling is on the left.
    fn step(&mut self) -> bool {
        // At the right edge of an incomplete level the node has no sibling: it is its own parent.
        while self.position & 1 == 0 && self.position == self.last && self.last > 0 {
            self.position >>= 1;
            self.last >>= 1;
        }
        let sibling_is_left = self.position & 1 == 1;
        self.position >>= 1;
        self.last >>= 1;
        sibling_is_left
    }
}

/// Up to where the paths of the leaf and of the last leaf part, each level has a node; above, each left turn.
fn inclusion_nodes(index: u64, tree_size: u64) -> u32 {
    let inner = u64::BITS - (index ^ (tree_size - 1)).leading_zeros();
    inner + index.checked_shr(inner).map_or(0, u64::count_ones)
}

/// The path of the old tree's last leaf, without the levels inside the complete subtree that the walk starts at,
/// and with that subtree's own hash unless it is the old root.
fn consistency_nodes(old_size: u64, new_size: u64) -> u32 {
    if old_size == new_size {
        return 0;
    }
    let start = u32::from(!old_size.is_power_of_two());
    inclusion_nodes(old_size - 1, new_size) - old_size.trailing_zeros() + start
}

pub(crate) fn check_index(index: u64, tree_size: u64) -> Result<(), ProofError> {
    if tree_size > TREE_SIZE_MAX {
        return Err(ProofError::TreeTooLarge { tree_size });
    }
    if index >= tree_size {
        return Err(ProofError::IndexOutside { index, tree_size });
    }
    Ok(())
}

fn check_sizes(old_size: u64, new_size: u64) -> Result<(), ProofError> {
    if old_size == 0 {
        return Err(ProofError::EmptyOldTree);
    }
    if old_size > new_size {
        return Err(ProofError::SizesReversed { old_size, new_size });
    }
    if new_size > TREE_SIZE_MAX {
        return Err(ProofError::TreeTooLarge { tree_size: new_size });
    }
    Ok(())
}

fn check_nodes(got: usize, expected: u32) -> Result<(), ProofError> {
    let (expected, got) = (u64::from(expected), got as u64);
    if expected == got { Ok(()) } else { Err(ProofError::NodeCount { expected, got }) }
}

/// Why a proof could not be made, or does not prove what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProofError {
    /// E0310: the leaf is not in a tree of that size.
    IndexOutside {
        /// The leaf's position.
        index: u64,
        /// The tree's leaves.
        tree_size: u64,
    },
    /// The size is above [`TREE_SIZE_MAX`]; bears the code of [`FrontierError::TooLarge`].
    TreeTooLarge {
        /// The tree's leaves.
        tree_size: u64,
    },
    /// E0312: the proof has too few or too many nodes.
    NodeCount {
        /// Nodes that the position and size call for.
        expected: u64,
        /// Nodes given.
        got: u64,
    },
    /// E0313: the proof leads to another root than the one given.
    RootDiffers {
        /// The leaves of the tree whose root differs.
        tree_size: u64,
    },
    /// E0314: consistency with the empty tree says nothing.
    EmptyOldTree,
    /// E0315: the earlier tree is larger than the later one.
    SizesReversed {
        /// The earlier tree's leaves.
        old_size: u64,
        /// The later tree's leaves.
        new_size: u64,
    },
    /// E0316: a range of no leaves proves nothing.
    EmptyRange,
    /// The stored hashes could not be read; bears the code of the inner error.
    Read(HashReadError),
    /// The hashes to the left of a range are no frontier; bears the code of the inner error.
    Frontier(FrontierError),
}

impl ProofError {
    /// The stable code, for `waag explain`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            ProofError::IndexOutside { .. } => "E0310",
            ProofError::TreeTooLarge { tree_size } => FrontierError::TooLarge { size: *tree_size }.code(),
            ProofError::NodeCount { .. } => "E0312",
            ProofError::RootDiffers { .. } => "E0313",
            ProofError::EmptyOldTree => "E0314",
            ProofError::SizesReversed { .. } => "E0315",
            ProofError::EmptyRange => "E0316",
            ProofError::Read(inner) => inner.code(),
            ProofError::Frontier(inner) => inner.code(),
        }
    }
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProofError::IndexOutside { index, tree_size } => {
                write!(f, "leaf `{index}` is not in a tree of `{tree_size}` leaves")
            }
            ProofError::TreeTooLarge { tree_size } => {
                write!(f, "tree size `{tree_size}` is above the limit of `{TREE_SIZE_MAX}` leaves")
            }
            ProofError::NodeCount { expected, got } => {
                write!(f, "the proof must have `{expected}` nodes, got `{got}`")
            }
            ProofError::RootDiffers { tree_size } => {
                write!(f, "the proof does not lead to the root of the tree of `{tree_size}` leaves")
            }
            ProofError::EmptyOldTree => f.write_str("consistency with an empty tree proves nothing"),
            ProofError::SizesReversed { old_size, new_size } => {
                write!(f, "the earlier tree has `{old_size}` leaves, the later one only `{new_size}`")
            }
            ProofError::EmptyRange => f.write_str("a range of no leaves proves nothing"),
            ProofError::Read(inner) => inner.fmt(f),
            ProofError::Frontier(inner) => inner.fmt(f),
        }
    }
}

impl std::error::Error for ProofError {}
