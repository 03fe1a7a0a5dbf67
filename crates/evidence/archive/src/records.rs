//! Records of the state as bytes in a piece, and which of them must not come back.
//!
//! A record is its table's code (1), the key's length (2), the key, the value's length (4), the value; little-endian.
//! Not here: what records mean (`evidence/keys`), reading the state (`bin/waag`).

use waag_keys::state::{RECORD_KEY_BYTES_MAX, RECORD_VALUE_BYTES_MAX, Table};
use waag_ledger::hash::Hash;

/// A piece is closed at the first record or object that brings it to this length.
pub const PIECE_BYTES: usize = 16 * 1_024 * 1_024;
/// Bytes before an object in a piece: its name, its length.
const OBJECT_HEAD_BYTES: usize = 36;

/// A record in a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateRecord<'a> {
    /// Its table.
    pub table: Table,
    /// Its key.
    pub key: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
}

/// Appends a record; false where it is outside the state's limits.
#[must_use]
pub fn push_record(out: &mut Vec<u8>, record: StateRecord<'_>) -> bool {
    let key = u16::try_from(record.key.len()).ok().filter(|_| record.key.len() <= RECORD_KEY_BYTES_MAX);
    let value =
        u32::try_from(record.value.len()).ok().filter(|_| record.value.len() <= RECORD_VALUE_BYTES_MAX);
    let (Some(key), Some(value)) = (key, value) else { return false };
    out.push(record.table.code());
    out.extend_from_slice(&key.to_le_bytes());
    out.extend_from_slice(record.key);
    out.extend_from_slice(&value.to_le_bytes());
    out.extend_from_slice(record.value);
    true
}

/// The records of a piece; `None` in the place of the first that cannot be read, and nothing behind it.
#[derive(Clone, Debug)]
pub struct Records<'a>(&'a [u8]);

impl<'a> Records<'a> {
    /// Over a piece.
    #[must_use]
    pub fn new(piece: &'a [u8]) -> Self {
        Self(piece)
    }

    fn read(&mut self) -> Option<StateRecord<'a>> {
        let (table, rest) = self.0.split_first()?;
        let table = Table::of_code(*table)?;
        let (len, rest) = rest.split_first_chunk::<2>()?;
        let (key, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
        let (value, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some(StateRecord { table, key, value })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Option<StateRecord<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let read = self.read();
        if read.is_none() {
            self.0 = &[];
        }
        Some(read)
    }
}

/// Appends an object behind its name; false where it is longer than any.
#[must_use]
pub fn push_object(out: &mut Vec<u8>, name: &Hash, bytes: &[u8]) -> bool {
    let Ok(len) = u32::try_from(bytes.len()) else { return false };
    out.extend_from_slice(&name.0);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(bytes);
    true
}

/// The objects of a piece; `None` in the place of the first that cannot be read, and nothing behind it.
#[derive(Clone, Debug)]
pub struct PackedObjects<'a>(&'a [u8]);

impl<'a> PackedObjects<'a> {
    /// Over a piece.
    #[must_use]
    pub fn new(piece: &'a [u8]) -> Self {
        Self(piece)
    }

    fn read(&mut self) -> Option<(Hash, &'a [u8])> {
        let (head, rest) = self.0.split_first_chunk::<OBJECT_HEAD_BYTES>()?;
        let (name, len) = head.split_first_chunk::<32>()?;
        let len = u32::from_le_bytes(len.try_into().ok()?);
        let (bytes, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
        self.0 = rest;
        Some((Hash(*name), bytes))
    }
}

impl<'a> Iterator for PackedObjects<'a> {
    type Item = Option<(Hash, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let read = self.read();
        if read.is_none() {
            self.0 = &[];
        }
        Some(read)
    }
}

/// The names of a piece of names; none where it is no whole number of ascending ones.
#[must_use]
pub fn names(piece: &[u8]) -> Option<Vec<Hash>> {
    let (names, rest) = piece.as_chunks::<32>();
    let names: Vec<Hash> = names.iter().map(|name| Hash(*name)).collect();
    let ascends = names.iter().zip(names.iter().skip(1)).all(|(a, b)| a.0 < b.0);
    (rest.is_empty() && ascends).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_objects_read_back_and_what_is_cut_is_told() {
        let mut piece = Vec::new();
        let record = StateRecord { table: Table::DataKey, key: b"key", value: b"value" };
        assert!(push_record(&mut piece, record));
        assert!(push_record(&mut piece, StateRecord { table: Table::Lease, key: b"k", value: b"" }));
        assert_eq!(Records::new(&piece).flatten().count(), 2);
        assert_eq!(Records::new(&piece).next(), Some(Some(record)));
        let first = 1 + 2 + 3 + 4 + 5;
        for at in (1..piece.len()).filter(|at| *at != first) {
            assert!(Records::new(&piece[..at]).any(|read| read.is_none()), "cut to {at}");
        }
        assert!(!push_record(&mut piece, StateRecord { table: Table::Lease, key: &[0; 257], value: b"" }));
        let long = vec![0; RECORD_VALUE_BYTES_MAX + 1];
        assert!(!push_record(&mut piece, StateRecord { table: Table::Lease, key: b"k", value: &long }));
        let mut piece = Vec::new();
        assert!(push_object(&mut piece, &Hash([1; 32]), b"object"));
        assert_eq!(PackedObjects::new(&piece).collect::<Vec<_>>(), [Some((Hash([1; 32]), &b"object"[..]))]);
        for at in 1..piece.len() {
            assert_eq!(PackedObjects::new(&piece[..at]).collect::<Vec<_>>(), [None], "cut to {at}");
        }
    }

    #[test]
    fn names_ascend() {
        let piece = [[1; 32], [2; 32]].concat();
        assert_eq!(names(&piece), Some(vec![Hash([1; 32]), Hash([2; 32])]));
        assert_eq!(names(&piece[..40]), None);
        assert_eq!(names(&[[2; 32], [1; 32]].concat()), None);
        assert_eq!(names(&[[1; 32], [1; 32]].concat()), None);
        assert_eq!(names(&[]), Some(Vec::new()));
    }
}
