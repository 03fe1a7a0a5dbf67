//! The growing edge of the tree: enough hashes to append, and to know the root, whatever the size (`LEDGER-1`).
//!
//! Place: the writer keeps one [`Frontier`] per ledger and appends each frame's leaf hashes to it before the
//! frame is written; it is rebuilt from frames or stored hashes at start. Not here: the nodes inside
//! (`stored`), proofs (`proof`, `range`).
//!
//! Source: RFC 9162 §2.1.2 (verifying a tree head by a stack of complete subtrees).

use crate::hash::{Hash, node_hash};
use crate::subtree::fold;
use std::fmt;

/// The largest tree, in leaves. Its stored hashes still count in 63 bits, so no index can overflow.
pub const TREE_SIZE_MAX: u64 = 1 << 62;

/// The complete subtrees that make up a tree of `size` leaves, largest first: one per set bit of `size`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    hashes: Vec<Hash>,
}

impl Frontier {
    /// The empty tree.
    #[must_use]
    pub fn new() -> Frontier {
        Frontier::default()
    }

    /// Takes up a tree of `size` leaves again from the hashes that [`Frontier::hashes`] gave.
    ///
    /// Only their number can be checked here: compare [`Frontier::root`] with a signed checkpoint.
    ///
    /// # Errors
    /// [`FrontierError`] when the size is above [`TREE_SIZE_MAX`] or calls for another number of hashes.
    pub fn from_hashes(size: u64, hashes: Vec<Hash>) -> Result<Frontier, FrontierError> {
        if size > TREE_SIZE_MAX {
            return Err(FrontierError::TooLarge { size });
        }
        let expected = u64::from(size.count_ones());
        let got = hashes.len() as u64;
        if got != expected {
            return Err(FrontierError::HashCount { size, expected, got });
        }
        Ok(Frontier { size, hashes })
    }

    /// Appends one leaf and pushes the hashes it completes onto `sink`: its own, then its parents upwards.
    ///
    /// That is the order in which `stored` numbers them, so the sinks of successive appends concatenate into
    /// the stored hashes of the ledger. Amortised two hashes per leaf; no allocation once `sink` has room.
    pub fn append(&mut self, leaf: Hash, sink: &mut Vec<Hash>) {
        self.append_subtree(0, leaf, |_, hash| sink.push(hash));
    }

    /// Appends a complete subtree of `1 << level` leaves at a position that is a multiple of its length.
    ///
    /// `completed` sees each hash that is complete now, with its level: the subtree's own, then its parents.
    pub(crate) fn append_subtree(&mut self, level: u32, hash: Hash, mut completed: impl FnMut(u32, Hash)) {
        debug_assert!(level <= self.size.trailing_zeros());
        completed(level, hash);
        let mut node = hash;
        let mut node_level = level;
        // Each set bit from `level` upwards is a complete left sibling that waits for this one.
        while self.size >> node_level & 1 == 1
            && let Some(left) = self.hashes.pop()
        {
            node = node_hash(&left, &node);
            node_level += 1;
            completed(node_level, node);
        }
        self.hashes.push(node);
        self.size += 1 << level;
        debug_assert_eq!(self.size.count_ones() as usize, self.hashes.len());
    }

    /// The number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The Merkle tree hash over all leaves (RFC 6962 §2.1): at most 61 hashes of work.
    #[must_use]
    pub fn root(&self) -> Hash {
        fold(&self.hashes)
    }

    /// The hashes of the complete subtrees, largest first; with the size, all there is to a frontier.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }
}

/// A size and hashes that are no frontier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrontierError {
    /// E0302: the size is above [`TREE_SIZE_MAX`].
    TooLarge {
        /// The size asked for, in leaves.
        size: u64,
    },
    /// E0303: the number of hashes is not the number of set bits of the size.
    HashCount {
        /// The size asked for, in leaves.
        size: u64,
        /// Hashes that size calls for.
        expected: u64,
        /// Hashes given.
        got: u64,
    },
}

impl FrontierError {
    /// The stable code, for `waag explain`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            FrontierError::TooLarge { .. } => "E0302",
            FrontierError::HashCount { .. } => "E0303",
        }
    }
}

impl fmt::Display for FrontierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrontierError::TooLarge { size } => {
                write!(f, "tree size `{size}` is above the limit of `{TREE_SIZE_MAX}` leaves")
            }
            FrontierError::HashCount { size, expected, got } => {
                write!(f, "a tree of `{size}` leaves has `{expected}` subtree hashes, got `{got}`")
            }
        }
    }
}

impl std::error::Error for FrontierError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{EMPTY_ROOT, leaf_hash};

    /// The eight entries that RFC 6962 implementations have shared as test data since certificate-transparency.
    const ENTRIES: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];

    /// The known roots of the trees over the first 1 to 8 of them.
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn known_roots_of_the_shared_test_tree() {
        let mut frontier = Frontier::new();
        assert_eq!(frontier.root(), EMPTY_ROOT);
        let mut sink = Vec::new();
        for (entry, root) in ENTRIES.iter().zip(ROOTS) {
            frontier.append(leaf_hash(entry), &mut sink);
            assert_eq!(frontier.root().to_string(), root, "tree of {}", frontier.size());
        }
        // 8 leaves and the 7 nodes over them, the root last.
        assert_eq!(sink.len(), 15);
        assert_eq!(sink[14].to_string(), ROOTS[7]);
    }

    #[test]
    fn taken_up_again_it_grows_the_same() {
        let mut whole = Frontier::new();
        for n in 0..300u64 {
            let mut again = Frontier::from_hashes(whole.size(), whole.hashes().to_vec()).unwrap();
            let leaf = leaf_hash(&n.to_be_bytes());
            let (mut one, mut other) = (Vec::new(), Vec::new());
            whole.append(leaf, &mut one);
            again.append(leaf, &mut other);
            assert_eq!((&whole, &one), (&again, &other));
        }
    }

    #[test]
    fn refuses_what_is_no_frontier() {
        let hash = leaf_hash(b"x");
        let error = Frontier::from_hashes(2, vec![hash, hash]).unwrap_err();
        assert_eq!(error, FrontierError::HashCount { size: 2, expected: 1, got: 2 });
        assert_eq!(Frontier::from_hashes(1, vec![]).unwrap_err().code(), "E0303");
        assert_eq!(Frontier::from_hashes(0, vec![hash]).unwrap_err().code(), "E0303");
        // At the limit and one above it.
        assert_eq!(Frontier::from_hashes(TREE_SIZE_MAX, vec![hash]).unwrap().size(), TREE_SIZE_MAX);
        assert_eq!(Frontier::from_hashes(TREE_SIZE_MAX + 1, vec![hash; 2]).unwrap_err().code(), "E0302");
    }
}
