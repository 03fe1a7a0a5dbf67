//! What sealing costs: nanoseconds per primitive and per entry, one thread, printed with its conditions.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a measuring program"
)]

use std::time::Instant;

use waag_entry::codec::Dictionary;
use waag_entry::form::{Header, Role, write_header};
use waag_entry::part::{Scratch, Seal, part_secret, seal_part};
use waag_entry::tag::TagKey;
use waag_model::ids::{KeyId, LedgerId, Tag};
use waag_model::time::UtcNanos;

/// Prints the fastest of 40 rounds: on a shared machine the others measure the neighbours.
fn time<T>(what: &str, mut run: impl FnMut(u32) -> T) {
    const RUNS: u32 = 5_000;
    let round = |_| {
        let start = Instant::now();
        (0..RUNS).for_each(|i| drop(std::hint::black_box(run(i))));
        start.elapsed().as_secs_f64() * 1e9 / f64::from(RUNS)
    };
    let best = (0..40).map(round).fold(f64::INFINITY, f64::min);
    println!("{what:<40} {best:>7.0} ns");
}

fn plain(i: u32) -> Vec<u8> {
    let noise: String = (0..60u32)
        .map(|k| {
            char::from(
                b'a' + u8::try_from((i.wrapping_mul(2_654_435_761).rotate_left(k) ^ (k * 7)) % 26).unwrap(),
            )
        })
        .collect();
    format!("{{invoice_id:INV-{i:08},vendor:vendor-{},amount_minor:{},currency:EUR,status:received,due_date:2026-12-{:02},region:eu-west-1,payment_terms:net30,memo:{noise}}}", i % 900, i * 37, i % 28).into_bytes()
}

fn main() {
    let samples: Vec<Vec<u8>> = (0..4_000).map(plain).collect();
    let dictionary = Dictionary::new(&zstd::dict::from_samples(&samples, 16_384).unwrap()).unwrap();
    let ledger = LedgerId([1; 16]);
    let (key, salt) = ([2; 32], [3; 32]);
    let header = Header {
        kind: "invoice.ingestion",
        schema: 1,
        accepted: UtcNanos(1_700_000_000_000_000_000),
        retention: "business",
        tag_epoch: 0,
        identity: Tag([1; 16]),
        ordering: Some(Tag([2; 16])),
        cause: None,
        blobs: vec![],
    };
    let mut bytes = Vec::new();
    write_header(&mut bytes, &header).unwrap();
    let tags = TagKey::new(&key);
    let mut scratch = Scratch::default();
    let mut out = Vec::with_capacity(4_096);
    let mut seal = |dictionary: Option<&Dictionary>, i: u32, out: &mut Vec<u8>| {
        let seal = Seal { role: Role::Common, key_id: KeyId([5; 16]), key: &key, salt, dictionary };
        out.clear();
        seal_part(&mut scratch, &ledger, &bytes, 0, seal, &samples[i as usize % samples.len()], out).unwrap();
        out.len()
    };
    println!(
        "plaintext {} bytes, sealed part {} bytes",
        samples[7].len(),
        seal(Some(&dictionary), 7, &mut out)
    );
    time("identity tag", |_| tags.identity(&ledger, "/erp/eu-west-1/ledger", "evt-000000001"));
    time("part secret (extract + expand)", |_| part_secret(&ledger, &key, &salt));
    time("seal raw (secret, key, commit, GCM)", |i| seal(None, i, &mut out));
    time("seal codec 1", |i| seal(Some(&dictionary), i, &mut out));
}
