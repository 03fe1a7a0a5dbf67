//! A blocked Bloom filter: says "certainly not here" after looking at one cache line.
//!
//! The tags are truncated HMACs, so their bits serve as the hashes: the first eight bytes choose the line, seven groups
//! of nine bits of the last eight choose bits in it. Tags added in order fill the lines in order.
//! Blocked filters: Putze, Sanders, Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007.

use waag_model::ids::Tag;

/// Filter bits per entry of the largest runs, which hold most entries when the index is full.
pub(super) const LARGEST_BITS_PER_ENTRY: u64 = 10;
/// Filter bits per entry of all other runs: they are many, and each one's false positives cost a read.
pub(super) const BITS_PER_ENTRY: u64 = 12;
/// Size of a line, in bytes: a cache line.
pub(super) const LINE_BYTES: usize = 64;
const LINE_BITS: u64 = 512;
const PROBES: u32 = 7;

/// One cache line of the filter.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Line([u64; 8]);

/// A filter over a fixed number of lines.
#[derive(Clone, Debug)]
pub(super) struct Filter(Vec<Line>);

impl Filter {
    /// An empty filter with room for `entries` at so many bits each.
    pub(super) fn for_entries(entries: u64, bits_each: u64) -> Self {
        Self(vec![Line::default(); usize::try_from(lines_for(entries, bits_each)).unwrap_or(1)])
    }

    /// How many lines it has.
    pub(super) fn lines(&self) -> u64 {
        self.0.len() as u64
    }

    /// Its memory, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.0.capacity() * LINE_BYTES
    }

    /// Adds a tag.
    pub(super) fn add(&mut self, tag: &Tag) {
        let (index, bits) = self.place(tag);
        if let Some(line) = self.0.get_mut(index) {
            for (word, add) in line.0.iter_mut().zip(mask(bits)) {
                *word |= add;
            }
        }
    }

    /// Whether the tag may have been added; `false` is certain.
    pub(super) fn may_have(&self, tag: &Tag) -> bool {
        let (index, mut bits) = self.place(tag);
        let Some(line) = self.0.get(index) else { return false };
        for _ in 0..PROBES {
            let word = line.0.get(usize::from(low_bits(bits) >> 6)).copied().unwrap_or_default();
            if word >> (bits & 63) & 1 == 0 {
                return false;
            }
            bits >>= 9;
        }
        true
    }

    /// The tag's line and the bits that choose within it.
    fn place(&self, tag: &Tag) -> (usize, u64) {
        let [first, last] = halves(tag);
        // Multiply and shift spreads the first half evenly over any number of lines (Lemire).
        let index = (u128::from(first) * self.0.len() as u128) >> 64;
        (usize::try_from(index).unwrap_or_default(), last)
    }

    /// Appends lines `from..to` as bytes, as many as there are.
    pub(super) fn write_lines(&self, from: usize, to: usize, out: &mut Vec<u8>) {
        for line in self.0.iter().take(to).skip(from) {
            line.0.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
        }
    }

    /// An empty filter with memory for `lines`, to be filled by [`Self::read_lines`].
    pub(super) fn to_read(lines: usize) -> Self {
        Self(Vec::with_capacity(lines))
    }

    /// Appends the lines that stand in `bytes`.
    pub(super) fn read_lines(&mut self, bytes: &[u8]) {
        let (lines, _) = bytes.as_chunks::<LINE_BYTES>();
        for stored in lines {
            let mut line = Line::default();
            for (word, eight) in line.0.iter_mut().zip(stored.as_chunks::<8>().0) {
                *word = u64::from_le_bytes(*eight);
            }
            self.0.push(line);
        }
    }
}

/// Lines of a filter with room for `entries` at so many bits each.
pub(super) fn lines_for(entries: u64, bits_each: u64) -> u64 {
    entries.saturating_mul(bits_each).div_ceil(LINE_BITS).max(1)
}

/// First and last eight bytes; the first in the order that tags are sorted in.
fn halves(tag: &Tag) -> [u64; 2] {
    let whole = u128::from_be_bytes(tag.0);
    [whole >> 64, whole & u128::from(u64::MAX)].map(|half| u64::try_from(half).unwrap_or_default())
}

fn low_bits(bits: u64) -> u16 {
    u16::try_from(bits & 511).unwrap_or_default()
}

fn mask(mut bits: u64) -> [u64; 8] {
    let mut mask = [0; 8];
    for _ in 0..PROBES {
        if let Some(word) = mask.get_mut(usize::from(low_bits(bits) >> 6)) {
            *word |= 1 << (bits & 63);
        }
        bits >>= 9;
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::tests_support::random_tag;

    #[test]
    fn what_was_added_is_found_and_few_others_are() {
        // Lines of 512 bits and 7 probes: near 1.0 % at 10 bits an entry, 0.4 % at 12.
        for (bits_each, wrong_max) in [(LARGEST_BITS_PER_ENTRY, 4_800), (BITS_PER_ENTRY, 2_400)] {
            let entries = 200_000;
            let mut filter = Filter::for_entries(entries, bits_each);
            (0..entries).for_each(|n| filter.add(&random_tag(n)));
            assert!((0..entries).all(|n| filter.may_have(&random_tag(n))));
            let wrong = (0..400_000).filter(|n| filter.may_have(&random_tag(1 << 40 | n))).count();
            println!("{bits_each} bits: {wrong} false positives in 400,000");
            assert!((400..wrong_max).contains(&wrong), "{bits_each} bits: {wrong}");
        }
    }

    #[test]
    fn lines_come_back_as_they_were_written() {
        let mut filter = Filter::for_entries(1_000, 12);
        (0..1_000).for_each(|n| filter.add(&random_tag(n)));
        let mut bytes = Vec::new();
        filter.write_lines(0, 10, &mut bytes);
        filter.write_lines(10, 1_000_000, &mut bytes);
        assert_eq!(bytes.len() as u64, filter.lines() * 64);
        let mut again = Filter::to_read(0);
        again.read_lines(&bytes);
        assert_eq!(again.lines(), lines_for(1_000, 12));
        assert!(again.0.iter().zip(&filter.0).all(|(a, b)| a.0 == b.0));
    }
}
