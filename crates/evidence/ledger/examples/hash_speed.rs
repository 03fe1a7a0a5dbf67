//! How long one leaf, one node, one appended entry and one checkpoint take on this machine.
//!
//! Run with `cargo run --release -p waag-ledger --example hash_speed`. Not here: the benchmark of the whole core
//! (`testing/bench`); this one settles how `hash` calls the library.
#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measuring tool: it prints, reads the clock, and may stop"
)]

use std::hint::black_box;
use std::time::Instant;
use waag_ledger::checkpoint::{Checkpoint, SignedCheckpoint};
use waag_ledger::hash::{leaf_hash, node_hash};
use waag_ledger::note::NoteSigner;
use waag_ledger::range::RangeTree;
use waag_ledger::tree::Frontier;

const RUNS: usize = 7;

/// Prints the median of several runs, per `unit`.
fn measure(name: &str, calls: u32, units_per_call: u32, mut work: impl FnMut()) {
    let mut run = || {
        let start = Instant::now();
        (0..calls).for_each(|_| work());
        start.elapsed().as_secs_f64() * 1e9 / f64::from(calls) / f64::from(units_per_call)
    };
    let mut times: Vec<f64> = (0..RUNS).map(|_| run()).collect();
    times.sort_by(f64::total_cmp);
    println!("{name}: {:.0} ns", times[RUNS / 2]);
}

fn main() {
    for length in [64, 450, 640, 1_023, 1_024, 4_096] {
        let entry = vec![0x5a; length];
        measure(&format!("leaf of {length} bytes"), 200_000, 1, || {
            black_box(leaf_hash(black_box(&entry)));
        });
    }
    let (left, right) = (leaf_hash(b"left"), leaf_hash(b"right"));
    measure("node", 200_000, 1, || {
        black_box(node_hash(black_box(&left), black_box(&right)));
    });

    let entries: Vec<[u8; 640]> = (0..16_384u32).map(|n| [n.to_le_bytes()[0]; 640]).collect();
    measure("verified leaf (640 bytes hashed and appended)", 10, 16_384, || {
        let (mut frontier, mut sink) = (Frontier::new(), Vec::with_capacity(64));
        for entry in &entries {
            sink.clear();
            frontier.append(leaf_hash(entry), &mut sink);
        }
        black_box(frontier.root());
    });
    let leaves: Vec<_> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    measure("entry of a frame of 16,384 (leaf hashes given)", 10, 16_384, || {
        black_box(RangeTree::append(&mut Frontier::new(), black_box(&leaves)));
    });

    let mut frontier = Frontier::new();
    let _ = RangeTree::append(&mut frontier, &leaves[..12_345]);
    let tree = RangeTree::append(&mut frontier, &leaves);
    measure("range proof of a batch of 500", 20_000, 1, || {
        black_box(tree.range_proof(black_box(15_000), 15_500).unwrap());
    });
    measure("inclusion proof from a frame", 20_000, 1, || {
        black_box(tree.inclusion_proof(black_box(15_001)).unwrap());
    });
    let batch = &leaves[2_655..3_155];
    let proof = tree.range_proof(15_000, 15_500).unwrap();
    measure("range proof verified, per leaf of 500", 500, 500, || {
        black_box(proof.verify(batch, &tree.root()).unwrap());
    });

    let signer = NoteSigner::from_seed("waag.example/acme/ledger", &[7; 32]).unwrap();
    let origin = signer.verifier_key().name().to_owned();
    let checkpoint = Checkpoint { origin, size: tree.tree_size(), root: tree.root() };
    measure("checkpoint signed", 2_000, 1, || {
        black_box(SignedCheckpoint::sign(checkpoint.clone(), &[&signer]).unwrap());
    });
    let signed = SignedCheckpoint::sign(checkpoint.clone(), &[&signer]).unwrap();
    let keys = [signer.verifier_key().clone()];
    measure("checkpoint verified", 2_000, 1, || {
        black_box(SignedCheckpoint::verify(signed.note().as_bytes(), &keys).unwrap());
    });
}
