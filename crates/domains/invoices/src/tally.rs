//! Changes of counters of one batch, added up in memory and written once for each key.
//!
//! A row whose counters are all nought is removed, so that rows are the same however the facts were cut into batches
//! (`PROJECT-1`): a key that was counted up and down again within a batch was never written.
//! Not here: what is counted (`batch`).

use std::collections::HashMap;
use std::hash::Hash;

use waag_domain::project::{Cell, Row, Rows, RowsError, Table};

use crate::mix::Mix;

/// What a sum's columns are split by.
const E18: i128 = 1_000_000_000_000_000_000;

/// Changes by key: `COUNTS` numbers of things, then `SUMS` sums.
#[derive(Debug)]
pub(crate) struct Tally<K, const COUNTS: usize, const SUMS: usize>(HashMap<K, Change<COUNTS, SUMS>, Mix>);

/// One key's change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change<const COUNTS: usize, const SUMS: usize> {
    pub(crate) counts: [i64; COUNTS],
    pub(crate) sums: [i128; SUMS],
}

impl<const COUNTS: usize, const SUMS: usize> Change<COUNTS, SUMS> {
    pub(crate) const NONE: Self = Self { counts: [0; COUNTS], sums: [0; SUMS] };

    pub(crate) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count = count.saturating_add(more);
        }
        for (sum, more) in self.sums.iter_mut().zip(other.sums) {
            *sum = sum.saturating_add(more);
        }
    }

    /// The change that these numbers tell, each sum as two of them; none where they end before.
    pub(crate) fn of_numbers(mut next: impl FnMut() -> Option<i64>) -> Option<Self> {
        let mut change = Self::NONE;
        for count in &mut change.counts {
            *count = next()?;
        }
        for sum in &mut change.sums {
            *sum = sum_of(next()?, next()?);
        }
        Some(change)
    }

    /// The change that the columns after a key hold.
    pub(crate) fn of_cells(cells: &[Cell]) -> Self {
        let mut numbers = cells.iter().map(|cell| cell.integer().unwrap_or(0));
        Self::of_numbers(|| numbers.next()).unwrap_or(Self::NONE)
    }

    /// The counts, and each sum as two numbers.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = i64> + '_ {
        let sums = self.sums.iter().flat_map(|sum| {
            // Sums of 64-bit amounts: the high part of even 2^63 of them fits.
            [i64::try_from(sum / E18).unwrap_or(i64::MAX), i64::try_from(sum % E18).unwrap_or(0)]
        });
        self.counts.iter().copied().chain(sums)
    }
}

/// The sum that two columns hold.
pub(crate) fn sum_of(high: i64, low: i64) -> i128 {
    i128::from(high).saturating_mul(E18).saturating_add(i128::from(low))
}

/// A key that has room for the rest of its row.
pub(crate) fn begin_row<const KEY: usize>(table: &'static Table, key: [Cell; KEY]) -> Row {
    let mut row = Vec::with_capacity(table.columns.len());
    row.extend(key);
    row
}

impl<K: Hash + Eq + Copy, const COUNTS: usize, const SUMS: usize> Tally<K, COUNTS, SUMS> {
    pub(crate) fn new() -> Self {
        Self(HashMap::default())
    }

    pub(crate) fn add(&mut self, key: K, change: Change<COUNTS, SUMS>) {
        self.0.entry(key).or_insert(Change::NONE).add(&change);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &Change<COUNTS, SUMS>)> {
        self.0.iter()
    }

    /// Adds the changes to the rows, in the order of their keys.
    pub(crate) fn write<const KEY: usize>(
        self,
        table: &'static Table,
        rows: &mut dyn Rows,
        key: impl Fn(K) -> [Cell; KEY],
    ) -> Result<(), RowsError> {
        let nothing = Change::NONE;
        let changes = self.0.into_iter().filter(|(_, change)| *change != nothing);
        let mut changes: Vec<(Row, Change<COUNTS, SUMS>)> =
            changes.map(|(k, change)| (begin_row(table, key(k)), change)).collect();
        if changes.is_empty() {
            return Ok(());
        }
        changes.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let (keys, mut changes): (Vec<Row>, Vec<_>) = changes.into_iter().unzip();
        let found = rows.get(table, &keys)?;
        let (mut put, mut gone) = (Vec::with_capacity(keys.len()), Vec::new());
        for ((mut key, change), old) in keys.into_iter().zip(&mut changes).zip(found) {
            if let Some(cells) = old.as_deref().and_then(|row| row.get(table.key..)) {
                change.add(&Change::of_cells(cells));
            }
            if *change == nothing {
                gone.push(key);
            } else {
                key.extend(change.numbers().map(Cell::Integer));
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
    use waag_domain::memory::MemoryRows;

    use super::*;
    use crate::tables::{CASH, COUNTER};

    #[test]
    fn sums_beyond_64_bits_are_exact_and_rows_of_nought_go() {
        let mut rows = MemoryRows::new();
        let mut add = |count: i64, sum: i128| {
            let mut tally = Tally::<i64, 1, 1>::new();
            tally.add(7, Change { counts: [count], sums: [sum] });
            tally.write(&CASH, &mut rows, |day| [0.into(), day.into(), "EUR".into()]).unwrap();
            rows.all(&CASH).map(|row| Change::<1, 1>::of_cells(&row[3..]).sums[0]).next()
        };
        let large = i128::from(i64::MAX) * 5;
        assert_eq!(add(1, large), Some(large));
        assert_eq!(add(1, -2 * large), Some(-large));
        assert_eq!(add(-2, large), None);
    }

    #[test]
    fn nothing_is_written_for_a_change_of_nothing() {
        let mut rows = MemoryRows::new();
        let mut tally = Tally::<u8, 1, 0>::new();
        tally.add(1, Change { counts: [1], sums: [] });
        tally.add(1, Change { counts: [-1], sums: [] });
        tally.write(&COUNTER, &mut rows, |_| ["x".into()]).unwrap();
        assert_eq!(rows, MemoryRows::new());
    }
}
