//! What the bare primitives of one event cost here and now, on as many threads as seal: the yardstick for CPU figures.
//!
//! Machines differ, and two hardware threads of one core slow each other down. The same list was measured at 3.82 µs on
//! one quiet thread of the machine that the project's target of 6 µs was set on (JSON to a value 1.09, compression 0.96,
//! HKDF 0.64, a random salt 0.39, SHA-256 of 450 bytes 0.27, an HMAC tag 0.23, AES-256-GCM of 250 bytes 0.22, CRC32C
//! 0.02); the ratio to that says how fast this machine is at the moment.

use std::time::Instant;

use anyhow::anyhow;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand::SecureRandom;
use aws_lc_rs::{digest, hkdf, hmac};

use crate::events::Events;

/// The list's cost where the target was set, in microseconds.
pub(crate) const REFERENCE_US: f64 = 3.82;

/// Microseconds per event for the list, with `threads` threads doing the same at once; the mean of all rounds.
pub(crate) fn cost(events: &Events, threads: usize) -> anyhow::Result<f64> {
    let costs = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(|| one_thread(events))).collect();
        running
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a thread ended"))?)
            .collect::<Result<Vec<_>, _>>()
    })?;
    Ok(costs.iter().sum::<f64>() / costs.len() as f64)
}

struct Bytes64;

impl hkdf::KeyType for Bytes64 {
    fn len(&self) -> usize {
        64
    }
}

fn one_thread(events: &Events) -> anyhow::Result<f64> {
    const EVENTS: usize = 100_000;
    let samples: Vec<&[u8]> = events.lines().take(4_000).collect();
    let dictionary = zstd::dict::from_samples(&samples, 16_384)?;
    let mut compressor = zstd::bulk::Compressor::with_dictionary(1, &dictionary)?;
    let tag_key = hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]);
    let random = aws_lc_rs::rand::SystemRandom::new();
    let failed = |_| anyhow!("the cryptographic library failed");
    let mut packed = vec![0; 2_048];
    let start = Instant::now();
    for line in events.lines().take(EVENTS) {
        let value: serde_json::Value = serde_json::from_slice(line)?;
        std::hint::black_box(&value);
        let plain = line.get(..333).unwrap_or(line);
        std::hint::black_box(compressor.compress_to_buffer(plain, packed.as_mut_slice())?);
        std::hint::black_box(hmac::sign(&tag_key, line.get(..60).unwrap_or(line)));
        let mut salt = [0; 32];
        random.fill(&mut salt).map_err(failed)?;
        let mut keys = [0; 64];
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &salt).extract(&[2; 32]);
        prk.expand(&[b"info"], Bytes64).and_then(|okm| okm.fill(&mut keys)).map_err(failed)?;
        let key = UnboundKey::new(&AES_256_GCM, keys.get(..32).unwrap_or_default()).map_err(failed)?;
        let mut sealed = line.get(..250).unwrap_or(line).to_vec();
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let tag = LessSafeKey::new(key)
            .seal_in_place_separate_tag(nonce, Aad::from(&salt), &mut sealed)
            .map_err(failed)?;
        std::hint::black_box(tag.as_ref());
        std::hint::black_box(digest::digest(&digest::SHA256, line.get(..450).unwrap_or(line)));
        std::hint::black_box(crc32c::crc32c(line.get(..450).unwrap_or(line)));
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / events.len().min(EVENTS) as f64)
}
