//! What it costs to make and to verify a pack: `cargo run --release -p waag-ledger --example pack_speed`.

#[path = "../tests/support/packs.rs"]
mod packs;

use std::time::Instant;

use packs::{How, ORIGIN, seal, vkey};
use waag_ledger::pack::{Trust, verify};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for count in [10_000, 40_000] {
        measure(count)?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, clippy::disallowed_methods, reason = "it measures time and prints it")]
fn measure(count: u64) -> Result<(), Box<dyn std::error::Error>> {
    // Every third entry of the ledger, so that the proof is as long as it gets.
    let sealed: Vec<_> = (0..3 * count).map(|n| seal(n, How::default())).collect();
    let positions: Vec<u64> = (0..count).map(|n| 3 * n + 1).collect();
    let gathered = packs::gather(&sealed, &positions, None);
    let start = Instant::now();
    let pack = gathered.signed_by(&[1])?;
    println!("made {} bytes of {count} entries in {:?}", pack.bytes.len(), start.elapsed());
    let keys = [vkey(1)];
    for _ in 0..5 {
        let start = Instant::now();
        let verdict = verify(&pack.bytes, &Trust { keys: &keys, ..Trust::default() })?;
        println!(
            "verified {} parts of {ORIGIN} in {:?}",
            verdict.manifest().counts.disclosed,
            start.elapsed()
        );
        let start = Instant::now();
        let open = verdict.events().filter(Result::is_ok).count();
        println!("opened {open} events in {:?}", start.elapsed());
    }
    Ok(())
}
