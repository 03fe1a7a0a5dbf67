//! A fast hash for the keys of counters, which are a few small numbers: a batch looks some twenty of them up for each
//! event.
//!
//! Each number is multiplied into 128 bits and folded (as wyhash and its successors do). Numbers come from events, so
//! the start is as random as that of the standard library's maps, and nobody can choose keys that meet.
//! Not here: maps by texts, which keep the standard library's hash.

use std::hash::{BuildHasher, Hasher, RandomState};

/// The golden ratio's digits: odd, and with as many ones as zeros.
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// A random start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mix(u64);

impl Default for Mix {
    fn default() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }
}

impl BuildHasher for Mix {
    type Hasher = Mixer;

    fn build_hasher(&self) -> Mixer {
        Mixer(self.0)
    }
}

/// What was mixed so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            self.write_u64(chunk.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        // The rotation keeps a state of nought from swallowing what follows.
        let wide = u128::from(self.0.rotate_left(23) ^ number).wrapping_mul(u128::from(FACTOR));
        let [low, high] = [wide & u128::from(u64::MAX), wide >> 64];
        self.0 = u64::try_from(low).unwrap_or(0) ^ u64::try_from(high).unwrap_or(0);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(u64::try_from(number).unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keys_close_to_each_other_are_spread_over_high_and_low_bits() {
        let mix = Mix::default();
        let hashes: Vec<u64> =
            (0..64i64).flat_map(|a| (0..64i64).map(move |b| mix.hash_one((a, b)))).collect();
        assert_eq!(hashes.iter().collect::<HashSet<_>>().len(), hashes.len());
        for part in [|hash: u64| hash >> 57, |hash: u64| hash & 127] {
            let mut counts = [0u32; 128];
            hashes.iter().for_each(|hash| counts[usize::try_from(part(*hash)).unwrap()] += 1);
            // 32 are expected of each; far more in one place would make chains.
            assert!(counts.iter().all(|count| *count < 100), "{counts:?}");
        }
        assert_ne!(mix.hash_one((1i64, 2i64)), mix.hash_one((2i64, 1i64)));
    }
}
