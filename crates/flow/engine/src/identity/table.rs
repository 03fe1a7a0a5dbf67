//! The part of the index that lives in memory only: the newest entries, by tag.
//!
//! Lost in a crash, and then replayed from the log.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use waag_model::ids::{Position, Tag};
use waag_model::time::UtcNanos;

use super::block::{Record, record};

/// The entries of a table or a run: from where to where, and when they were committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first entry's position.
    pub first_position: Position,
    /// The last entry's position.
    pub last_position: Position,
    /// The first entry's commit time.
    pub first_time: UtcNanos,
    /// The last entry's commit time.
    pub last_time: UtcNanos,
}

/// Takes the last eight bytes of a tag as its hash: a tag is an HMAC under a secret key, so nobody outside can choose
/// tags that collide.
#[derive(Clone, Debug, Default)]
pub(super) struct TagHasher(u64);

impl Hasher for TagHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last_chunk::<8>() {
            self.0 = u64::from_le_bytes(*last);
        }
    }

    /// The length that arrays write before their bytes says nothing.
    fn write_usize(&mut self, _: usize) {}
}

/// Entries by tag.
#[derive(Debug)]
pub(super) struct Table {
    positions: HashMap<Tag, Position, BuildHasherDefault<TagHasher>>,
    span: Option<Span>,
}

impl Table {
    /// An empty table that takes `entries` without growing.
    pub(super) fn with_room(entries: usize) -> Self {
        Self {
            positions: HashMap::with_capacity_and_hasher(entries, BuildHasherDefault::default()),
            span: None,
        }
    }

    /// How many tags it has.
    pub(super) fn len(&self) -> usize {
        self.positions.len()
    }

    /// What it covers; `None` where it is empty.
    pub(super) fn span(&self) -> Option<Span> {
        self.span
    }

    /// The newest position of `tag`.
    pub(super) fn get(&self, tag: &Tag) -> Option<Position> {
        self.positions.get(tag).copied()
    }

    /// Adds an entry; a tag that is there already gets the new position.
    pub(super) fn insert(&mut self, tag: Tag, position: Position, time: UtcNanos) {
        self.positions.insert(tag, position);
        let first = self.span.map_or((position, time), |span| (span.first_position, span.first_time));
        self.span = Some(Span {
            first_position: first.0,
            last_position: position,
            first_time: first.1,
            last_time: self.span.map_or(time, |span| span.last_time.max(time)),
        });
    }

    /// All entries as records sorted by tag.
    pub(super) fn sorted_records(&self) -> Vec<Record> {
        let mut records: Vec<Record> = self.positions.iter().map(|(tag, at)| record(tag, *at)).collect();
        // Tags are unique here, so the whole record sorts as its tag does.
        records.sort_unstable();
        records
    }

    /// Its memory, in bytes: buckets of tag and position and one control byte each, seven eighths usable.
    pub(super) fn memory_bytes(&self) -> usize {
        table_bytes(self.positions.capacity())
    }
}

/// Memory of a table that takes `entries` without growing, in bytes.
pub(super) fn table_bytes(entries: usize) -> usize {
    let buckets = entries.saturating_mul(8).div_ceil(7).next_power_of_two();
    buckets * (size_of::<(Tag, Position)>() + 1) + 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_the_default_size_is_held_in_buckets_of_a_power_of_two() {
        let table = Table::with_room(crate::identity::TABLE_ENTRIES_MAX);
        assert_eq!(table.positions.capacity(), crate::identity::TABLE_ENTRIES_MAX);
        assert_eq!(table.memory_bytes(), 262_144 * 25 + 16);
    }

    #[test]
    fn the_hash_is_the_tags_last_eight_bytes() {
        use std::hash::{BuildHasher, BuildHasherDefault};
        let mut tag = [1; 16];
        tag[8..].copy_from_slice(&77_u64.to_le_bytes());
        assert_eq!(BuildHasherDefault::<TagHasher>::default().hash_one(Tag(tag)), 77);
    }
}
