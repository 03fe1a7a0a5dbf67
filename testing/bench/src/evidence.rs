//! `bench evidence`: what it costs to prove, and to keep proving, what is in a large ledger.
//!
//! Parts: `proof`, one entry in a tree of 100 million; `scrub`, what the background's reading costs those who record;
//! `packs` and `backup` are in `handed_out`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use waag_files::hashes::HashFile;
use waag_fixtures::prng::SplitMix;
use waag_ledger::checkpoint::{Checkpoint, SignedCheckpoint};
use waag_ledger::hash::{HASH_BYTES, Hash, leaf_hash};
use waag_ledger::note::{NoteSigner, VerifierKey};
use waag_ledger::proof::{prove_consistency, prove_inclusion};
use waag_ledger::stored::{frontier_at, stored_hash_count};
use waag_ledger::tile::{TILE_WIDTH, Tile, TileKind};
use waag_ledger::tlog_proof::TlogProof;
use waag_ledger::tree::Frontier;
use waag_stdx::files::{DiskFiles, Files};

use crate::measure::{cpu_of_this_thread, peak_memory, percentile};
use crate::scratch::Scratch;
use crate::{handed_out, scrubbing};

/// Leaves of the tree.
const LEAVES: u64 = 100_000_000;
/// Proofs that are timed, each of another entry.
const PROOFS: usize = 20_000;
/// Leaves that are hashed before they are written.
const STEP_LEAVES: u64 = 1 << 16;
/// What a proof may take, made and verified, in milliseconds.
const PROOF_BAR_MS: f64 = 2.0;
const ORIGIN: &str = "bench/default/00000000000000000000000000000000";

/// `[proof [--leaves N] [--proofs N] [--folder DIR] | scrub [--events N] [--pairs N] [--folder DIR] | packs|backup [--entries N] [--rounds N] [--unregistered true] [--folder DIR]]`; without a part, all.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    match arguments {
        [] => {
            proof(&[])?;
            scrubbing::run(&[])?;
            handed_out::run("packs", &[])?;
            handed_out::run("backup", &[])
        }
        ["proof", rest @ ..] => proof(rest),
        ["scrub", rest @ ..] => scrubbing::run(rest),
        [part @ ("packs" | "backup"), rest @ ..] => handed_out::run(part, rest),
        [other, ..] => {
            anyhow::bail!("`{other}` is not a part of this benchmark: proof, scrub, packs, backup")
        }
    }
}

struct Options {
    leaves: u64,
    proofs: usize,
    folder: PathBuf,
}

impl Options {
    fn read(arguments: &[&str]) -> anyhow::Result<Self> {
        let folder = std::env::current_dir()?.join("target/bench-evidence");
        let mut options = Self { leaves: LEAVES, proofs: PROOFS, folder };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let value = rest.next().with_context(|| format!("`{argument}` needs a value"))?;
            match *argument {
                "--leaves" => options.leaves = value.parse()?,
                "--proofs" => options.proofs = value.parse()?,
                "--folder" => options.folder = value.into(),
                other => anyhow::bail!("unknown argument `{other}`"),
            }
        }
        ensure!(options.leaves > 0 && options.proofs > 0, "a tree has leaves, and at least one is proven");
        Ok(options)
    }
}

/// The entry at a position; its leaf is all that the tree sees of it.
fn entry(position: u64) -> [u8; 8] {
    position.to_le_bytes()
}

fn proof(arguments: &[&str]) -> anyhow::Result<()> {
    let options = Options::read(arguments)?;
    let bytes = stored_hash_count(options.leaves).saturating_mul(HASH_BYTES as u64);
    println!(
        "a tree of {} synthetic leaves: {:.1} GB of stored hashes in a file, of which {:.1} GB are leaves",
        options.leaves,
        bytes as f64 / 1e9,
        options.leaves as f64 * HASH_BYTES as f64 / 1e9,
    );
    let scratch = Scratch::new(&options.folder)?;
    let files = DiskFiles::new(scratch.path());
    let began = Instant::now();
    let root = grow(&files, options.leaves)?;
    println!("  grown and written in {:.1} s", began.elapsed().as_secs_f64());
    let hashes = HashFile::open(&files, "hashes")?;
    ensure!(hashes.count() == stored_hash_count(options.leaves), "every hash is in the file");
    let began = Instant::now();
    ensure!(frontier_at(&hashes, options.leaves)?.root() == root, "the file leads to the root");
    println!("  root from the file in {:.3} ms", ms(began.elapsed()));
    let signer = NoteSigner::from_seed(ORIGIN, &[7; 32])?;
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size: options.leaves, root };
    let signed = SignedCheckpoint::sign(checkpoint, &[&signer])?;
    let ledger = Ledger { hashes, signed, keys: vec![signer.verifier_key().clone()] };
    let mut prng = SplitMix::new(0x9_00f);
    let positions: Vec<u64> = (0..options.proofs).map(|_| prng.below(options.leaves)).collect();
    // The first round finds in the system's memory what writing has left there; the second what the first read.
    let _ = inclusion("first round", &ledger, &positions)?;
    let worst = inclusion("warm", &ledger, &positions)?;
    let held = if worst < PROOF_BAR_MS { "holds" } else { "is missed" };
    println!("  bar: a proof made and verified below {PROOF_BAR_MS} ms warm, at p99: {worst:.3} ms, {held}");
    others(&ledger, &positions)?;
    println!("  peak memory {:.0} MB", peak_memory(None) as f64 / 1e6);
    Ok(())
}

/// Grows the tree and writes its hashes; returns the root.
fn grow(files: &dyn Files, leaves: u64) -> anyhow::Result<Hash> {
    let file = HashFile::open(files, "hashes")?;
    let mut frontier = Frontier::new();
    let mut stored = Vec::new();
    let mut next = 0;
    while next < leaves {
        let end = leaves.min(next + STEP_LEAVES);
        (next..end).for_each(|position| frontier.append(leaf_hash(&entry(position)), &mut stored));
        file.append(&stored)?;
        stored.clear();
        next = end;
    }
    file.flush()?;
    Ok(frontier.root())
}

struct Ledger {
    hashes: HashFile,
    signed: SignedCheckpoint,
    keys: Vec<VerifierKey>,
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

/// Prints the percentiles of some times in milliseconds; returns the 99th.
fn tell(what: &str, mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    let p99 = percentile(&times, 0.99);
    println!(
        "    {what:<44} p50 {:.4} ms, p99 {p99:.4} ms, longest {:.3} ms",
        percentile(&times, 0.5),
        percentile(&times, 1.0)
    );
    p99
}

/// Makes and verifies the proof of each entry; returns the 99th percentile of both together.
fn inclusion(round: &str, ledger: &Ledger, positions: &[u64]) -> anyhow::Result<f64> {
    let (mut making, mut verifying, mut both) = (Vec::new(), Vec::new(), Vec::new());
    let checkpoint = ledger.signed.checkpoint();
    let cpu = cpu_of_this_thread();
    for position in positions {
        let began = Instant::now();
        let proof = prove_inclusion(&ledger.hashes, *position, checkpoint.size)?;
        let made = began.elapsed();
        proof.verify(&leaf_hash(&entry(*position)), &checkpoint.root)?;
        let whole = began.elapsed();
        making.push(ms(made));
        verifying.push(ms(whole.saturating_sub(made)));
        both.push(ms(whole));
    }
    // Without what others on the machine take: far below the times, where the machine is not quiet.
    let cpu = ms(cpu_of_this_thread().saturating_sub(cpu)) / positions.len() as f64;
    println!("  {round}: {} entries at random, {cpu:.4} ms of CPU each", positions.len());
    tell("proof made from the file", making);
    tell("proof verified", verifying);
    Ok(tell("both", both))
}

/// What else is served from the same file.
fn others(ledger: &Ledger, positions: &[u64]) -> anyhow::Result<()> {
    let size = ledger.signed.checkpoint().size;
    let (mut files, mut checked, mut tiles, mut growth) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for position in positions.iter().take(positions.len().div_ceil(10)) {
        let began = Instant::now();
        let proof = prove_inclusion(&ledger.hashes, *position, size)?;
        let text = TlogProof::new(proof, &ledger.signed)?.to_string();
        files.push(ms(began.elapsed()));
        let began = Instant::now();
        let proven = TlogProof::parse(text.as_bytes())?.verify(&entry(*position), &ledger.keys)?;
        checked.push(ms(began.elapsed()));
        ensure!(proven.index() == *position, "the file proves its entry");
        let kind = TileKind::Hashes(0);
        let index = position / u64::from(TILE_WIDTH);
        let began = Instant::now();
        let tile = Tile { kind, index, width: Tile::width_in(kind, index, size) };
        let hashes = tile.read(&ledger.hashes, size)?;
        tiles.push(ms(began.elapsed()));
        ensure!(hashes.contains(&leaf_hash(&entry(*position))), "the tile holds its leaves");
        if *position > 0 {
            let began = Instant::now();
            let proof = prove_consistency(&ledger.hashes, *position, size)?;
            let old = frontier_at(&ledger.hashes, *position)?.root();
            proof.verify(&old, &ledger.signed.checkpoint().root)?;
            growth.push(ms(began.elapsed()));
        }
    }
    println!("  warm, other things of the same file:");
    tell("proof file made", files);
    tell("proof file read and verified with signature", checked);
    tell("tile of 256 leaves read", tiles);
    tell("consistency proven and verified", growth);
    Ok(())
}
