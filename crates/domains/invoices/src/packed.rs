//! Many small counters of one bucket in one row: by a code, in the order of codes, each as few bytes as will do.
//!
//! A page wants all counters of a few buckets, and a batch changes many counters of few buckets: as one row a bucket
//! both touch tens of rows where one row a counter would make it thousands.
//! A counter that comes to nought is left out, and a row without counters is removed, so that rows are the same however
//! facts were cut into batches (`PROJECT-1`).
//! Not here: adding up within a batch (`tally`), what the codes mean (`write`, `speed`, `standing`).

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::Hash;

use waag_domain::project::{Cell, Row, Rows, RowsError, Table};

use crate::codec::{Pack, Unpack};
use crate::mix::Mix;
use crate::project::damaged;
use crate::tally::{Change, Tally, begin_row};

/// Counters by ascending code.
pub(crate) type Entries<const COUNTS: usize, const SUMS: usize> = Vec<(i64, Change<COUNTS, SUMS>)>;

/// Reads counters from a row's bytes, one after the other; ends before one that is of no such form, and says so.
struct Stored<'a, const COUNTS: usize, const SUMS: usize> {
    unpack: Unpack<'a>,
    last: i64,
    is_damaged: bool,
}

impl<'a, const COUNTS: usize, const SUMS: usize> Stored<'a, COUNTS, SUMS> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { unpack: Unpack::new(bytes), last: 0, is_damaged: false }
    }

    fn read(&mut self) -> Option<(i64, Change<COUNTS, SUMS>)> {
        self.last = self.last.wrapping_add(self.unpack.signed()?);
        Some((self.last, Change::of_numbers(|| self.unpack.signed())?))
    }
}

impl<const COUNTS: usize, const SUMS: usize> Iterator for Stored<'_, COUNTS, SUMS> {
    type Item = (i64, Change<COUNTS, SUMS>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_damaged || self.unpack.is_empty() {
            return None;
        }
        let read = self.read();
        self.is_damaged = read.is_none();
        read
    }
}

/// The counters of a row's bytes; none where the bytes are no such form.
pub(crate) fn unpack<const COUNTS: usize, const SUMS: usize>(bytes: &[u8]) -> Option<Entries<COUNTS, SUMS>> {
    let mut stored = Stored::new(bytes);
    let entries = stored.by_ref().collect();
    (!stored.is_damaged).then_some(entries)
}

/// The bytes of a row's counters and others added to them, packed in `pack`'s memory; no bytes where none is left, and
/// none at all where the row's are no such form.
fn add_packed<const COUNTS: usize, const SUMS: usize>(
    bytes: &[u8],
    more: &[(i64, Change<COUNTS, SUMS>)],
    pack: &mut Pack,
) -> Option<Box<[u8]>> {
    let mut stored = Stored::new(bytes);
    let mut last = 0i64;
    merge(stored.by_ref(), more, |code, change| {
        pack.signed(code.wrapping_sub(last));
        last = code;
        change.numbers().for_each(|number| pack.signed(number));
    });
    let packed = pack.take();
    (!stored.is_damaged).then_some(packed)
}

/// The counters that the last column of a row holds.
///
/// # Errors
/// A damaged row.
pub(crate) fn entries_of<const COUNTS: usize, const SUMS: usize>(
    table: &'static Table,
    row: &[Cell],
) -> Result<Entries<COUNTS, SUMS>, RowsError> {
    unpack(bytes_of(table, row)?).ok_or_else(|| damaged_key(table, row))
}

fn bytes_of<'r>(table: &'static Table, row: &'r [Cell]) -> Result<&'r [u8], RowsError> {
    row.get(table.key).and_then(Cell::bytes).ok_or_else(|| damaged_key(table, row))
}

fn damaged_key(table: &'static Table, row: &[Cell]) -> RowsError {
    damaged(table, &format!("{:?}", row.get(..table.key).unwrap_or_default()))
}

/// Adds counters to others; both ascend by code, and so does the result.
pub(crate) fn add_up<const COUNTS: usize, const SUMS: usize>(
    into: &mut Entries<COUNTS, SUMS>,
    more: &[(i64, Change<COUNTS, SUMS>)],
) {
    let old = std::mem::take(into);
    into.reserve(old.len().max(more.len()));
    merge(old.into_iter(), more, |code, change| into.push((code, change)));
}

/// Hands on the sums of two series of counters, each ascending by code; a sum of nought is left out.
fn merge<const COUNTS: usize, const SUMS: usize>(
    old: impl Iterator<Item = (i64, Change<COUNTS, SUMS>)>,
    more: &[(i64, Change<COUNTS, SUMS>)],
    mut take: impl FnMut(i64, Change<COUNTS, SUMS>),
) {
    let (mut old, mut more) = (old.peekable(), more.iter().peekable());
    loop {
        let order = match (old.peek(), more.peek()) {
            (Some((a, _)), Some((b, _))) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return,
        };
        let next = match order {
            Ordering::Less => old.next(),
            Ordering::Greater => more.next().copied(),
            Ordering::Equal => old.next().zip(more.next()).map(|((code, mut change), (_, other))| {
                change.add(other);
                (code, change)
            }),
        };
        if let Some((code, change)) = next.filter(|(_, change)| *change != Change::NONE) {
            take(code, change);
        }
    }
}

impl<K: Hash + Eq + Copy, const COUNTS: usize, const SUMS: usize> Tally<(K, i64), COUNTS, SUMS> {
    /// Adds the changes to packed rows, one a bucket, in the order of their keys.
    pub(crate) fn write_packed<const KEY: usize>(
        self,
        table: &'static Table,
        rows: &mut dyn Rows,
        key: impl Fn(K) -> [Cell; KEY],
    ) -> Result<(), RowsError> {
        let mut buckets: HashMap<K, Entries<COUNTS, SUMS>, Mix> = HashMap::default();
        for ((bucket, code), change) in self.iter().filter(|(_, change)| **change != Change::NONE) {
            buckets.entry(*bucket).or_default().push((*code, *change));
        }
        if buckets.is_empty() {
            return Ok(());
        }
        let mut buckets: Vec<(Row, Entries<COUNTS, SUMS>)> =
            buckets.into_iter().map(|(bucket, entries)| (begin_row(table, key(bucket)), entries)).collect();
        buckets.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let (keys, mut changes): (Vec<Row>, Vec<_>) = buckets.into_iter().unzip();
        let found = rows.get(table, &keys)?;
        let (mut put, mut gone) = (Vec::with_capacity(keys.len()), Vec::new());
        let mut pack = Pack::default();
        for ((mut key, changes), old) in keys.into_iter().zip(&mut changes).zip(found) {
            changes.sort_unstable_by_key(|(code, _)| *code);
            let old = match &old {
                Some(old) => bytes_of(table, old)?,
                None => &[],
            };
            let packed = add_packed(old, changes, &mut pack).ok_or_else(|| damaged_key(table, &key))?;
            if packed.is_empty() {
                gone.push(key);
            } else {
                key.push(Cell::Bytes(packed));
                put.push(key);
            }
        }
        if !gone.is_empty() {
            rows.delete(table, &gone)?;
        }
        if put.is_empty() { Ok(()) } else { rows.put(table, put) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use waag_domain::memory::MemoryRows;

    use super::*;
    use crate::tables::DUE;

    fn change(count: i64, sum: i128) -> Change<1, 1> {
        Change { counts: [count], sums: [sum] }
    }

    fn packed(entries: &[(i64, Change<1, 1>)]) -> Box<[u8]> {
        add_packed(&[], entries, &mut Pack::default()).unwrap()
    }

    #[test]
    fn counters_come_back_and_no_cut_of_them_is_the_same() {
        let large = i128::from(i64::MAX) * 7;
        let entries = vec![(-3, change(1, -large)), (0, change(-5, 0)), (70_000, change(i64::MAX, large))];
        let bytes = packed(&entries);
        assert_eq!(unpack::<1, 1>(&bytes), Some(entries.clone()));
        for end in 1..bytes.len() {
            assert_ne!(unpack::<1, 1>(&bytes[..end]), Some(entries.clone()), "{end}");
        }
    }

    #[test]
    fn a_counter_that_comes_to_nought_is_left_out_and_its_row_with_it() {
        let mut rows = MemoryRows::new();
        let mut add = |code: i64, count: i64| {
            let mut tally = Tally::<(i64, i64), 1, 1>::new();
            tally.add((7, code), change(count, 3 * i128::from(count)));
            tally.write_packed(&DUE, &mut rows, |bucket| [0.into(), bucket.into()]).unwrap();
            rows.all(&DUE).map(|row| entries_of::<1, 1>(&DUE, row).unwrap()).next().unwrap_or_default()
        };
        assert_eq!(add(4, 2), [(4, change(2, 6))]);
        assert_eq!(add(1, 1), [(1, change(1, 3)), (4, change(2, 6))]);
        assert_eq!(add(4, -2), [(1, change(1, 3))]);
        assert_eq!(add(1, -1), []);
    }

    proptest! {
        #[test]
        fn adding_up_is_adding_up_of_each_code(
            a in proptest::collection::btree_map(0i64..20, -2i64..3, 0..12),
            b in proptest::collection::btree_map(0i64..20, -2i64..3, 0..12),
        ) {
            let entries = |map: &std::collections::BTreeMap<i64, i64>| -> Entries<1, 1> {
                map.iter().filter(|(_, n)| **n != 0).map(|(code, n)| (*code, change(*n, 0))).collect()
            };
            let mut sum = entries(&a);
            add_up(&mut sum, &entries(&b));
            let mut both = a.clone();
            for (code, n) in &b {
                *both.entry(*code).or_default() += n;
            }
            prop_assert_eq!(&sum, &entries(&both));
            // In bytes too, in memory that was used before; what is left of it after damage is not taken along.
            let mut pack = Pack::default();
            let stored = packed(&entries(&a));
            prop_assert_eq!(add_packed(&stored, &entries(&b), &mut pack), Some(packed(&sum)));
            if let Some((_, cut)) = stored.split_last() {
                prop_assert_eq!(add_packed(cut, &entries(&b), &mut pack), None);
            }
            prop_assert_eq!(add_packed(&stored, &entries(&b), &mut pack), Some(packed(&sum)));
        }

        #[test]
        fn bytes_of_any_kind_are_counters_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = unpack::<2, 1>(&bytes);
        }
    }
}
