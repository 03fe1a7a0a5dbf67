//! What the ledger's own state remembers of a run: when key material was taken, and when it expires.
//!
//! Place: `Side::Upkeep` of `evidence/keys`. An erasure asks these records until when a backup still holds a destroyed key.
//! A record stands there before any key material is written, and again, completed, when the run is whole: a run that
//! was broken off leaves the announcement, which says at least as much as is true.

use waag_entry::cbor::{Reader, write};
use waag_model::time::UtcNanos;

use crate::key::RepositoryId;

/// What the keys of all such records begin with.
pub const BACKUP_PREFIX: &[u8] = b"backup/";
const VERSION: u64 = 1;
const KIND: &str = "backup";
const ITEMS: usize = 9;

/// A run, as the state remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupRecord {
    /// When the record was written.
    pub at: UtcNanos,
    /// The ledger's size in it.
    pub size: u64,
    /// When its key material began to be read.
    pub taken: UtcNanos,
    /// When that expires.
    pub expire: UtcNanos,
    /// Bytes written; 0 in an announcement.
    pub bytes: u64,
    /// How long it took; 0 in an announcement.
    pub ms: u64,
    /// Where the run is recorded in the ledger; none in an announcement.
    pub position: Option<u64>,
}

impl BackupRecord {
    /// The record's key.
    #[must_use]
    pub fn key(repository: RepositoryId, sequence: u64) -> Vec<u8> {
        let mut key = Self::prefix(repository);
        key.extend_from_slice(format!("{sequence:016x}").as_bytes());
        key
    }

    /// What the keys of a repository's records begin with.
    #[must_use]
    pub fn prefix(repository: RepositoryId) -> Vec<u8> {
        let mut key = BACKUP_PREFIX.to_vec();
        key.extend_from_slice(format!("{repository}/").as_bytes());
        key
    }

    /// The sequence that a key of a repository's records names.
    #[must_use]
    pub fn sequence(repository: RepositoryId, key: &[u8]) -> Option<u64> {
        let digits = std::str::from_utf8(key.strip_prefix(Self::prefix(repository).as_slice())?).ok()?;
        u64::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 16)
    }

    /// This record, told of all key material that it and another one under the same key are about.
    #[must_use]
    pub fn covering(mut self, other: &Self) -> Self {
        self.taken = self.taken.min(other.taken);
        self.expire = self.expire.max(other.expire);
        self.position = match (self.position, other.position) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        self
    }

    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write::array(&mut out, ITEMS);
        write::uint(&mut out, VERSION);
        write::text(&mut out, KIND);
        write::int(&mut out, self.at.0);
        write::uint(&mut out, self.size);
        write::int(&mut out, self.taken.0);
        write::int(&mut out, self.expire.0);
        write::uint(&mut out, self.bytes);
        write::uint(&mut out, self.ms);
        match self.position {
            Some(position) => write::uint(&mut out, position),
            None => write::null(&mut out),
        }
        out
    }

    /// Reads a record; none where it is not exactly one.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let read = &mut reader;
        read.array_of(ITEMS, "a record").ok()?;
        if read.uint("a version").ok()? != VERSION || read.text("a kind").ok()? != KIND {
            return None;
        }
        let at = UtcNanos(read.int("a time").ok()?);
        let size = read.uint("a size").ok()?;
        let taken = UtcNanos(read.int("a time").ok()?);
        let expire = UtcNanos(read.int("a time").ok()?);
        let bytes = read.uint("a number").ok()?;
        let ms = read.uint("a number").ok()?;
        let position = if read.null() { None } else { Some(read.uint("a position").ok()?) };
        reader.end().ok()?;
        Some(Self { at, size, taken, expire, bytes, ms, position })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_never_tells_of_less_key_material_than_the_one_in_its_place() {
        let record = |taken, expire| BackupRecord {
            at: UtcNanos(taken),
            size: 1,
            taken: UtcNanos(taken),
            expire: UtcNanos(expire),
            bytes: 0,
            ms: 0,
            position: None,
        };
        let both = record(20, 30).covering(&record(10, 400));
        assert_eq!((both.at, both.taken, both.expire), (UtcNanos(20), UtcNanos(10), UtcNanos(400)));
        assert_eq!(record(20, 30).covering(&record(25, 26)), record(20, 30));
    }

    #[test]
    fn a_record_and_its_key_read_back() {
        let id = RepositoryId([0xab; 16]);
        let key = BackupRecord::key(id, 258);
        assert!(key.ends_with(b"/0000000000000102"));
        assert_eq!(BackupRecord::sequence(id, &key), Some(258));
        assert_eq!(BackupRecord::sequence(RepositoryId([1; 16]), &key), None);
        for position in [None, Some(7)] {
            let record = BackupRecord {
                at: UtcNanos(5),
                size: 6,
                taken: UtcNanos(-1),
                expire: UtcNanos(9),
                bytes: 1,
                ms: 2,
                position,
            };
            let bytes = record.encode();
            assert_eq!(BackupRecord::decode(&bytes), Some(record));
            for at in 0..bytes.len() {
                assert_eq!(BackupRecord::decode(&bytes[..at]), None, "cut to {at}");
            }
        }
    }
}
