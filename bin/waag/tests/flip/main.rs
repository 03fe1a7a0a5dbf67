//! Every byte of every stored file, flipped: `waag verify` names it, or makes it again, or tells it as residue, or every
//! record still reads back unchanged. Nothing empty, cut or unknown is ever verified.
//!
//! What is changed is a store that a killed writer left (`image.rs`); what may come of it is decided by an oracle that
//! reads everything back by itself (`judge.rs`). So that it takes seconds, of the one large blob and of long runs of zeros
//! a seeded sample is flipped, and what comes again in each frame of a log is flipped in every few frames, in turn, so
//! that each place of a frame comes several times. `WAAG_FLIP_ALL=1` flips every byte of every file.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

mod image;
mod judge;
mod shape;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use image::Image;
use judge::{Bench, Outcome, Tally};

/// A run of zeros from this length on is sampled.
const ZEROS_MIN: usize = 64;
/// Of a long uniform stretch, one byte in so many.
const SAMPLE: u64 = 101;
/// What begins a frame of a log and is flipped in each of them.
const HEAD_BYTES: usize = 32;
/// Files from this length on that are one sealed body are sampled.
const BODY_BYTES_MIN: usize = 32_768;
/// More than cores: where a guard is damaged, verification sleeps and looks again.
const THREADS: usize = 6;
/// Flips that a thread takes at once.
const FLIPS_AT_ONCE: usize = 64;
const FAILURES_SHOWN: usize = 20;

/// A seeded sequence (SplitMix64).
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Whether a byte is left to another piece of its file: where it begins, how long a piece is, and how many take turns.
fn is_anothers_turn(file: &Path, at: usize) -> bool {
    let (begin, piece, turns) = match file {
        _ if file.starts_with("data/default/log") => (0, 4_096, 12),
        _ if file == Path::new(image::WAL) => (32, 24 + 4_096, 3),
        _ if file == Path::new("data/default/derived/hashes") => (0, 32, 4),
        _ if file == Path::new(image::GUARD) => (0, 8_192, 2),
        _ if judge::is_shared_index(file) => (0, 256, 4),
        // Here the write-ahead log stands before most pages: the folded state has a test of its own.
        _ if file == Path::new(image::STATE) => (0, 4_096, 16),
        _ => return false,
    };
    let Some(at) = at.checked_sub(begin) else { return false };
    let is_head = piece > HEAD_BYTES && at % piece < HEAD_BYTES;
    !is_head && !(at / piece + at % piece).is_multiple_of(turns)
}

/// The offsets of a file to flip.
fn offsets(file: &Path, bytes: &[u8], seeded: &mut Seeded) -> Vec<usize> {
    chosen(file, bytes, seeded, is_anothers_turn)
}

fn chosen(
    file: &Path,
    bytes: &[u8],
    seeded: &mut Seeded,
    is_left: impl Fn(&Path, usize) -> bool,
) -> Vec<usize> {
    let all = std::env::var_os("WAAG_FLIP_ALL").is_some();
    let is_body = file.starts_with("data/default/objects") && bytes.len() >= BODY_BYTES_MIN;
    let mut chosen = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let zeros = bytes[at..].iter().take_while(|byte| **byte == 0).count();
        let (run, sampled) = if zeros >= ZEROS_MIN { (zeros, true) } else { (zeros.max(1), is_body) };
        for offset in at..at + run {
            let is_edge = zeros >= ZEROS_MIN && (offset == at || offset + 1 == at + run);
            let is_end = offset == 0 || offset + 1 == bytes.len();
            let sampled = if sampled { !seeded.next().is_multiple_of(SAMPLE) } else { is_left(file, offset) };
            if all || !sampled || is_edge || is_end {
                chosen.push(offset);
            }
        }
        at += run;
    }
    chosen
}

/// Flips these bytes of an image, each by a seeded mask, and gives how often each outcome came.
fn flip_all(base: &Image, mut choose: impl FnMut(&Path, &[u8], &mut Seeded) -> Vec<usize>) -> Tally {
    let mut seeded = Seeded(0x7761_6167);
    let mut flips: Vec<(&PathBuf, usize, u8)> = Vec::new();
    for (file, bytes) in base {
        for at in choose(file, bytes, &mut seeded) {
            flips.push((file, at, u8::try_from(seeded.next() % 255).unwrap() + 1));
        }
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let bench = Bench::new(base.clone());
        let (mut tally, mut failures) = (Tally::new(), Vec::new());
        loop {
            let from = next.fetch_add(FLIPS_AT_ONCE, Ordering::Relaxed);
            let Some(some) = flips.get(from..flips.len().min(from + FLIPS_AT_ONCE)) else { break };
            for (file, at, mask) in some {
                match bench.flip(file, *at, *mask) {
                    Ok(outcome) => *tally.entry((judge::kind(file), outcome)).or_default() += 1,
                    Err(why) => failures.push((judge::kind(file), *at, *mask, why)),
                }
            }
            assert!(bench.is_as_it_was(), "verification changed what is not derived");
        }
        (tally, failures)
    };
    let (mut tally, mut failures) = (Tally::new(), Vec::new());
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            let (found, failed) = thread.join().unwrap();
            found.into_iter().for_each(|(class, count)| *tally.entry(class).or_default() += count);
            failures.extend(failed);
        }
    });
    for ((kind, outcome), count) in &tally {
        println!("{kind}: {outcome:?} {count}");
    }
    failures.sort();
    let step = failures.len().div_ceil(FAILURES_SHOWN).max(1);
    failures.iter().step_by(step).for_each(|failure| println!("{failure:?}"));
    assert!(failures.is_empty(), "{} of {} flips were not told", failures.len(), flips.len());
    tally
}

/// The outcomes that one kind of file had.
fn outcomes(tally: &Tally, file: &str) -> Vec<Outcome> {
    tally.keys().filter(|(kind, _)| kind == file).map(|(_, outcome)| *outcome).collect()
}

#[test]
fn any_byte_of_any_file_flipped_is_named_made_again_told_or_without_effect() {
    let tally = flip_all(&image::killed(), offsets);
    for (file, expected) in [
        ("derived/hashes", &[Outcome::Rebuilt][..]),
        ("derived/identity/manifest", &[Outcome::Rebuilt]),
        ("derived/identity/run-0000000000000000", &[Outcome::Rebuilt]),
        ("derived/schemas", &[Outcome::Rebuilt]),
        ("guard", &[Outcome::Fault]),
        ("log", &[Outcome::Fault, Outcome::Residue]),
        ("objects", &[Outcome::Fault]),
        ("state.db-shm", &[Outcome::Unchanged]),
        ("state.db-wal", &[Outcome::Fault, Outcome::Residue]),
        ("vault.key", &[Outcome::Fault]),
    ] {
        assert_eq!(outcomes(&tally, file), expected, "{file}");
    }
}

#[test]
fn any_byte_of_a_folded_state_flipped_names_its_record_or_is_one_that_sqlite_does_not_use() {
    let tally = flip_all(&image::folded(), |file, bytes, seeded| {
        if file == Path::new(image::STATE) { chosen(file, bytes, seeded, |_, _| false) } else { Vec::new() }
    });
    assert_eq!(outcomes(&tally, "state.db"), [Outcome::Fault, Outcome::Unchanged]);
    let count = |outcome| tally.get(&("state.db".to_owned(), outcome)).copied().unwrap_or_default();
    // With every byte flipped, most of them are in pages that SQLite has not filled yet.
    let in_use = count(Outcome::Fault) > 4 * count(Outcome::Unchanged);
    assert!(in_use || std::env::var_os("WAAG_FLIP_ALL").is_some(), "most bytes are not zero, and in use");
}
