//! Fixed little-endian fields at fixed places: reading one beyond the end is `None`, never a panic.
//!
//! Place: beneath the frame's header and the guard's record. Not here: any meaning of a field.

use waag_ledger::hash::Hash;

/// The `N` bytes at `at`.
pub fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

/// A `u16` at `at`.
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

/// A `u32` at `at`.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

/// A `u64` at `at`.
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

/// A hash at `at`.
pub fn hash_at(bytes: &[u8], at: usize) -> Option<Hash> {
    array(bytes, at).map(Hash)
}

/// The place of the first byte that is not zero.
///
/// Whole words first: this runs over megabytes of prepared space when a log is opened.
#[must_use]
pub fn first_nonzero(bytes: &[u8]) -> Option<usize> {
    let (blocks, rest) = bytes.as_chunks::<64>();
    for (n, block) in blocks.iter().enumerate() {
        if block.iter().fold(0u8, |all, byte| all | byte) != 0 {
            return block.iter().position(|byte| *byte != 0).map(|at| n * 64 + at);
        }
    }
    rest.iter().position(|byte| *byte != 0).map(|at| blocks.len() * 64 + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_beyond_the_end() {
        assert_eq!(u16_at(&[1, 2], 0), Some(0x0201));
        assert_eq!(u16_at(&[1, 2], 1), None);
        assert_eq!(u64_at(&[0; 8], 9), None);
        assert_eq!(hash_at(&[7; 32], 0), Some(Hash([7; 32])));
    }

    #[test]
    fn finds_each_single_nonzero_byte() {
        let mut bytes = vec![0u8; 200];
        assert_eq!(first_nonzero(&bytes), None);
        for at in 0..200 {
            bytes[at] = 1;
            assert_eq!(first_nonzero(&bytes), Some(at));
            bytes[at] = 0;
        }
    }
}
