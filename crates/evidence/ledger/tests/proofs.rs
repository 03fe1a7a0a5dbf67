//! Proofs against RFC 6962 §2.1 written down literally, at every small size, and against everything that is
//! almost a proof.
//!
//! Place: `LEDGER-1`, `LEDGER-2`, `LEDGER-5`. Not here: other people's vectors (`vectors.rs`).
#![expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "test helpers on small trees")]

use proptest::prelude::*;
use std::cell::Cell;
use waag_ledger::hash::{EMPTY_ROOT, Hash, leaf_hash, node_hash};
use waag_ledger::proof::{
    ConsistencyProof, InclusionProof, ProofError, prove_consistency, prove_inclusion, verify_consistency,
    verify_inclusion,
};
use waag_ledger::range::{RangeProof, RangeTree, inclusion_from_range, verify_range};
use waag_ledger::stored::{HashReadError, HashReader, frontier_at};
use waag_ledger::tree::{Frontier, TREE_SIZE_MAX};

/// MTH of RFC 6962 §2.1, by its definition.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => EMPTY_ROOT,
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(naive_split(leaves.len()));
            node_hash(&naive_root(left), &naive_root(right))
        }
    }
}

/// PATH of RFC 6962 §2.1.1.
fn naive_path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = naive_split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut path, sibling) = if index < k {
        (naive_path(index, left), naive_root(right))
    } else {
        (naive_path(index - k, right), naive_root(left))
    };
    path.push(sibling);
    path
}

/// SUBPROOF of RFC 6962 §2.1.2.
fn naive_subproof(old: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if whole { Vec::new() } else { vec![naive_root(leaves)] };
    }
    let k = naive_split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut path, sibling) = if old <= k {
        (naive_subproof(old, left, whole), naive_root(right))
    } else {
        (naive_subproof(old - k, right, false), naive_root(left))
    };
    path.push(sibling);
    path
}

/// The largest power of two below n.
fn naive_split(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

fn leaves(size: usize) -> Vec<Hash> {
    (0..size as u64).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

fn stored(leaves: &[Hash]) -> Vec<Hash> {
    let (mut frontier, mut sink) = (Frontier::new(), Vec::new());
    leaves.iter().for_each(|leaf| frontier.append(*leaf, &mut sink));
    sink
}

fn flipped(hash: &Hash) -> Hash {
    let mut other = *hash;
    other.0[17] ^= 0x20;
    other
}

#[test]
fn roots_and_paths_equal_the_definition_at_every_size() {
    let all = leaves(70);
    let stored = stored(&all);
    for size in 0..=all.len() {
        let tree = &all[..size];
        let root = naive_root(tree);
        assert_eq!(frontier_at(&stored, size as u64).unwrap().root(), root);
        for (index, leaf) in tree.iter().enumerate() {
            let proof = prove_inclusion(&stored, index as u64, size as u64).unwrap();
            assert_eq!(proof.path, naive_path(index, tree), "leaf {index} of {size}");
            assert_eq!(proof.verify(leaf, &root), Ok(()));
        }
        for old in 1..=size {
            let proof = prove_consistency(&stored, old as u64, size as u64).unwrap();
            assert_eq!(proof.path, naive_subproof(old, tree, true), "{old} to {size}");
            assert_eq!(proof.verify(&naive_root(&all[..old]), &root), Ok(()));
        }
    }
}

#[test]
fn a_proof_asks_its_reader_once() {
    struct Counting(Vec<Hash>, Cell<u32>);
    impl HashReader for Counting {
        fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, HashReadError> {
            self.1.set(self.1.get() + 1);
            self.0.read_hashes(indexes)
        }
    }
    let reader = Counting(stored(&leaves(1_000)), Cell::new(0));
    prove_inclusion(&reader, 777, 1_000).unwrap();
    prove_consistency(&reader, 333, 1_000).unwrap();
    frontier_at(&reader, 999).unwrap();
    assert_eq!(reader.1.get(), 3);
}

#[test]
fn what_cannot_be_proven_is_refused() {
    let stored = stored(&leaves(10));
    let hash = leaf_hash(b"x");
    let code = |result: Result<InclusionProof, ProofError>| result.unwrap_err().code();
    assert_eq!(code(prove_inclusion(&stored, 10, 10)), "E0310");
    assert_eq!(code(prove_inclusion(&stored, 0, 0)), "E0310");
    assert_eq!(code(prove_inclusion(&stored, 0, TREE_SIZE_MAX + 1)), "E0302");
    assert_eq!(code(prove_inclusion(&stored, 3, 11)), "E0304");
    let code = |result: Result<ConsistencyProof, ProofError>| result.unwrap_err().code();
    assert_eq!(code(prove_consistency(&stored, 0, 10)), "E0314");
    assert_eq!(code(prove_consistency(&stored, 10, 9)), "E0315");
    assert_eq!(code(prove_consistency(&stored, 1, u64::MAX)), "E0302");
    // Sizes from a hostile file must neither overflow nor loop.
    for size in [0, 1, TREE_SIZE_MAX - 1, TREE_SIZE_MAX, TREE_SIZE_MAX + 1, u64::MAX - 1, u64::MAX] {
        for index in [0, 1, size.wrapping_sub(1), size, u64::MAX] {
            if size != 1 || index != 0 {
                assert!(verify_inclusion(&hash, index, size, &[], &hash).is_err(), "{index} of {size}");
            }
            assert!(verify_inclusion(&hash, index, size, &[hash; 64], &hash).is_err());
            assert!(verify_consistency(index, size, &[hash; 64], &hash, &hash).is_err());
            let proof =
                RangeProof { first: index, tree_size: size, left: vec![hash; 62], right: vec![hash; 62] };
            assert!(verify_range(&proof, &[hash], &hash).is_err());
        }
    }
    assert_eq!(verify_inclusion(&hash, 0, 1, &[], &hash), Ok(()));
    // The largest tree's longest paths are walked, and end at another root.
    let root_differs = verify_inclusion(&hash, TREE_SIZE_MAX - 1, TREE_SIZE_MAX, &[hash; 62], &hash);
    assert_eq!(root_differs.unwrap_err().code(), "E0313");
    let root_differs = verify_consistency(TREE_SIZE_MAX - 1, TREE_SIZE_MAX, &[hash; 63], &hash, &hash);
    assert_eq!(root_differs.unwrap_err().code(), "E0313");
}

#[test]
fn one_leaf_of_another_position_or_size_is_refused_everywhere() {
    let all = leaves(24);
    let stored = stored(&all);
    for size in 1..=24u64 {
        let root = naive_root(&all[..size as usize]);
        for index in 0..size {
            let proof = prove_inclusion(&stored, index, size).unwrap();
            for other in 0..30u64 {
                let leaf = &all[index as usize];
                let elsewhere = verify_inclusion(leaf, other, size, &proof.path, &root);
                assert_eq!(elsewhere.is_ok(), other == index, "leaf {index} as {other} of {size}");
            }
        }
        for old in 1..=size {
            let proof = prove_consistency(&stored, old, size).unwrap();
            let old_root = naive_root(&all[..old as usize]);
            for other in 0..30u64 {
                let as_old = verify_consistency(other, size, &proof.path, &old_root, &root);
                assert_eq!(as_old.is_ok(), other == old, "{old} as {other} to {size}");
            }
        }
    }
}

/// Every frame before, every batch in it: proof, verification and derived single proofs.
#[test]
fn range_proofs_hold_for_every_batch_of_every_frame() {
    let all = leaves(40);
    for size in 1..=all.len() {
        let root = naive_root(&all[..size]);
        for frame in 0..size {
            let mut frontier = Frontier::new();
            let mut earlier = Vec::new();
            all[..frame].iter().for_each(|leaf| frontier.append(*leaf, &mut earlier));
            let tree = RangeTree::append(&mut frontier, &all[frame..size]);
            assert_eq!((tree.root(), frontier.root()), (root, root));
            assert_eq!(tree.stored_first(), earlier.len() as u64);
            earlier.extend_from_slice(tree.stored_hashes());
            assert_eq!(earlier, stored(&all[..size]), "the stored hashes of frames concatenate");
            for first in frame..size {
                for end in first + 1..=size {
                    let proof = tree.range_proof(first as u64, end as u64).unwrap();
                    assert_eq!(verify_range(&proof, &all[first..end], &root), Ok(()));
                }
            }
        }
    }
}

#[test]
fn single_proofs_follow_from_a_range() {
    let all = leaves(45);
    for size in 1..=all.len() {
        let root = naive_root(&all[..size]);
        let whole = RangeTree::append(&mut Frontier::new(), &all[..size]);
        for first in 0..size {
            for end in first + 1..=size {
                let batch = &all[first..end];
                let proof = whole.range_proof(first as u64, end as u64).unwrap();
                let tree = proof.verify(batch, &root).unwrap();
                assert_eq!((tree.first(), tree.end()), (first as u64, end as u64));
                assert_eq!((tree.tree_size(), tree.root()), (size as u64, root));
                for index in [first, (first + end) / 2, end - 1] {
                    let single = tree.inclusion_proof(index as u64).unwrap();
                    assert_eq!(single.path, naive_path(index, &all[..size]), "{index} of {first}..{end}");
                    assert_eq!(inclusion_from_range(&proof, batch, index as u64), Ok(single));
                }
                // A verified range can be narrowed without asking the ledger again.
                let narrow = tree.range_proof(first as u64, first as u64 + 1).unwrap();
                assert_eq!(narrow, whole.range_proof(first as u64, first as u64 + 1).unwrap());
            }
        }
    }
}

#[test]
fn ranges_that_are_not_held_are_refused() {
    let all = leaves(20);
    let mut frontier = Frontier::new();
    let _ = RangeTree::append(&mut frontier, &all[..7]);
    let tree = RangeTree::append(&mut frontier, &all[7..]);
    let code = |first, end| tree.range_proof(first, end).unwrap_err().code();
    assert_eq!(code(6, 9), "E0310");
    assert_eq!(code(19, 21), "E0310");
    assert_eq!(code(9, 9), "E0316");
    assert_eq!(code(10, 9), "E0316");
    assert_eq!(code(u64::MAX, u64::MAX), "E0316");
    assert_eq!(code(0, u64::MAX), "E0310");
    assert_eq!(tree.inclusion_proof(6).unwrap_err().code(), "E0310");
    assert_eq!(tree.inclusion_proof(20).unwrap_err().code(), "E0310");
    let empty = RangeTree::append(&mut frontier, &[]);
    assert_eq!((empty.first(), empty.end(), empty.root()), (20, 20, tree.root()));
    assert_eq!(empty.range_proof(20, 20).unwrap_err().code(), "E0316");
    assert_eq!(
        verify_range(&tree.range_proof(7, 8).unwrap(), &[], &tree.root()).unwrap_err().code(),
        "E0316"
    );
}

/// Everything that is almost `good`: one node changed, taken away, doubled or added, at each place.
fn almost(good: &[Hash]) -> Vec<Vec<Hash>> {
    let mut wrong = Vec::new();
    for at in 0..=good.len() {
        let mut more = good.to_vec();
        more.insert(at, leaf_hash(b"extra"));
        wrong.push(more);
        if at < good.len() {
            let mut changed = good.to_vec();
            changed[at] = flipped(&good[at]);
            wrong.push(changed);
            let mut fewer = good.to_vec();
            fewer.remove(at);
            wrong.push(fewer);
            let mut doubled = good.to_vec();
            doubled.insert(at, good[at]);
            wrong.push(doubled);
        }
        if at + 1 < good.len() {
            let mut swapped = good.to_vec();
            swapped.swap(at, at + 1);
            wrong.push(swapped);
        }
    }
    wrong
}

proptest! {
    #[test]
    fn inclusion_is_exact(size in 1usize..300, at in any::<prop::sample::Index>(), other in 0u64..310) {
        let all = leaves(size);
        let (index, n) = (at.index(size) as u64, size as u64);
        let (leaf, root) = (all[at.index(size)], naive_root(&all));
        let proof = prove_inclusion(&stored(&all), index, n).unwrap();
        prop_assert_eq!(&proof.path, &naive_path(at.index(size), &all));
        prop_assert!(proof.verify(&leaf, &root).is_ok());
        prop_assert!(proof.verify(&flipped(&leaf), &root).is_err());
        prop_assert!(proof.verify(&leaf, &flipped(&root)).is_err());
        prop_assert_eq!(verify_inclusion(&leaf, other, n, &proof.path, &root).is_ok(), other == index);
        for path in almost(&proof.path) {
            prop_assert!(verify_inclusion(&leaf, index, n, &path, &root).is_err());
        }
        // Another size may share this leaf's path shape, but then another root belongs to it.
        if other != n && other > 0 {
            let other_root = naive_root(&leaves(other as usize));
            prop_assert!(verify_inclusion(&leaf, index, other, &proof.path, &other_root).is_err());
        }
    }

    #[test]
    fn consistency_is_exact(size in 1usize..300, at in any::<prop::sample::Index>(), other in 0u64..310) {
        let all = leaves(size);
        let (old, n) = (at.index(size) + 1, size as u64);
        let (old_root, root) = (naive_root(&all[..old]), naive_root(&all));
        let proof = prove_consistency(&stored(&all), old as u64, n).unwrap();
        prop_assert_eq!(&proof.path, &naive_subproof(old, &all, true));
        prop_assert!(proof.verify(&old_root, &root).is_ok());
        prop_assert!(proof.verify(&flipped(&old_root), &root).is_err());
        prop_assert!(proof.verify(&old_root, &flipped(&root)).is_err());
        prop_assert_eq!(verify_consistency(other, n, &proof.path, &old_root, &root).is_ok(), other == old as u64);
        for path in almost(&proof.path) {
            prop_assert!(verify_consistency(old as u64, n, &path, &old_root, &root).is_err());
        }
        // A ledger that rewrote one old leaf has no proof from the old root.
        let mut forked = all.clone();
        forked[old - 1] = flipped(&forked[old - 1]);
        let fork = prove_consistency(&stored(&forked), old as u64, n).unwrap();
        prop_assert!(fork.verify(&old_root, &naive_root(&forked)).is_err());
    }

    #[test]
    fn ranges_are_exact(
        size in 1usize..300,
        cuts in any::<[prop::sample::Index; 3]>(),
        other in 0u64..310,
    ) {
        let all = leaves(size);
        let root = naive_root(&all);
        let mut at = [cuts[0].index(size), cuts[1].index(size), cuts[2].index(size)];
        at.sort_unstable();
        let (frame, first, end) = (at[0], at[1], at[2] + 1);
        let mut frontier = Frontier::new();
        let _ = RangeTree::append(&mut frontier, &all[..frame]);
        let tree = RangeTree::append(&mut frontier, &all[frame..]);
        let proof = tree.range_proof(first as u64, end as u64).unwrap();
        let batch = &all[first..end];
        let verified = proof.verify(batch, &root).unwrap();
        for index in first..end {
            prop_assert_eq!(verified.inclusion_proof(index as u64).unwrap().path, naive_path(index, &all));
        }
        prop_assert!(verify_range(&proof, batch, &flipped(&root)).is_err());
        let moved = RangeProof { first: other, ..proof.clone() };
        prop_assert_eq!(verify_range(&moved, batch, &root).is_ok(), other == first as u64);
        let resized = RangeProof { tree_size: other, ..proof.clone() };
        let other_root = naive_root(&leaves(other as usize));
        prop_assert_eq!(verify_range(&resized, batch, &other_root).is_ok(), other == size as u64);
        for leaves in almost(batch) {
            prop_assert!(verify_range(&proof, &leaves, &root).is_err());
        }
        for left in almost(&proof.left) {
            let wrong = RangeProof { left, ..proof.clone() };
            prop_assert!(verify_range(&wrong, batch, &root).is_err());
        }
        for right in almost(&proof.right) {
            let wrong = RangeProof { right, ..proof.clone() };
            prop_assert!(verify_range(&wrong, batch, &root).is_err());
        }
    }
}
