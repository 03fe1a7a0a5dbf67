//! Rows in memory: the model that every driver of views is held against, and the store of projections' own tests.
//!
//! Place in the way of an event: none; it stands in for a database. Nothing outlives it, and it has no transactions:
//! a test that needs one clones it.
//! Not here: cursors and versions (`flow/views`), SQL (the drivers).
//!
//! Invariants, which hold for every implementation of [`Rows`]:
//! - `ROWS-1`: cells are ordered null, numbers, texts bytewise, bytes; an order by an index ends with the table's key,
//!   so that no two rows are equal in it.
//! - `ROWS-2`: a bound (`from`, `to`) takes no row whose column is null.
//! - `ROWS-3`: a row whose [`Index::present`] column is null is not in that index.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::project::{Cell, Column, Index, Kind, Reads, Row, Rows, RowsError, Scan, Table};

/// The code of a row, a key or a scan that does not fit its table: a defect of the projection or of the driver.
pub const MISFIT: &str = "E1000";

/// One view's rows, by table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryRows {
    tables: BTreeMap<&'static str, Stored>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Stored {
    rows: BTreeMap<Row, Row>,
    /// By the index's name: its columns and then the key.
    indexes: BTreeMap<&'static str, BTreeSet<Row>>,
}

impl MemoryRows {
    /// No rows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All rows of a table, by key.
    pub fn all(&self, table: &'static Table) -> impl Iterator<Item = &Row> {
        self.tables.get(table.name).into_iter().flat_map(|stored| stored.rows.values())
    }

    /// How many rows a table has.
    #[must_use]
    pub fn count(&self, table: &'static Table) -> usize {
        self.tables.get(table.name).map_or(0, |stored| stored.rows.len())
    }
}

impl Reads for MemoryRows {
    fn get(&self, table: &'static Table, keys: &[Row]) -> Result<Vec<Option<Row>>, RowsError> {
        let stored = self.tables.get(table.name);
        keys.iter()
            .map(|key| {
                check_key(table, key)?;
                Ok(stored.and_then(|stored| stored.rows.get(key)).cloned())
            })
            .collect()
    }

    fn scan(&self, table: &'static Table, scan: &Scan<'_>) -> Result<Vec<Row>, RowsError> {
        check_scan(table, scan)?;
        let Some(stored) = self.tables.get(table.name) else { return Ok(Vec::new()) };
        let Some((low, high)) = bounds(scan) else { return Ok(Vec::new()) };
        let range = (low.as_ref(), high.as_ref());
        let rows: Vec<Row> = match scan.index {
            None if scan.descending => {
                let found = stored.rows.range::<Row, _>(range).rev();
                found.take(scan.limit).map(|(_, row)| row.clone()).collect()
            }
            None => stored.rows.range::<Row, _>(range).take(scan.limit).map(|(_, row)| row.clone()).collect(),
            Some(index) => {
                let Some(entries) = stored.indexes.get(index.name) else { return Ok(Vec::new()) };
                let found = entries.range::<Row, _>(range);
                let row = |entry: &Row| {
                    let key: Row = entry.iter().skip(index.columns.len()).cloned().collect();
                    stored.rows.get(&key).cloned()
                };
                if scan.descending {
                    found.rev().take(scan.limit).filter_map(row).collect()
                } else {
                    found.take(scan.limit).filter_map(row).collect()
                }
            }
        };
        Ok(rows)
    }
}

impl Rows for MemoryRows {
    fn put(&mut self, table: &'static Table, rows: Vec<Row>) -> Result<(), RowsError> {
        let stored = self.tables.entry(table.name).or_default();
        for row in rows {
            check_row(table, &row)?;
            let key: Row = row.iter().take(table.key).cloned().collect();
            for index in table.indexes {
                let entries = stored.indexes.entry(index.name).or_default();
                if let Some(old) = stored.rows.get(&key).and_then(|old| entry(index, &key, old)) {
                    entries.remove(&old);
                }
                if let Some(fresh) = entry(index, &key, &row) {
                    entries.insert(fresh);
                }
            }
            stored.rows.insert(key, row);
        }
        Ok(())
    }

    fn delete(&mut self, table: &'static Table, keys: &[Row]) -> Result<(), RowsError> {
        let stored = self.tables.entry(table.name).or_default();
        for key in keys {
            check_key(table, key)?;
            let Some(old) = stored.rows.remove(key) else { continue };
            for index in table.indexes {
                if let Some(old) = entry(index, key, &old) {
                    stored.indexes.entry(index.name).or_default().remove(&old);
                }
            }
        }
        Ok(())
    }
}

/// A row's entry in an index; none where the index leaves the row out.
fn entry(index: &Index, key: &Row, row: &Row) -> Option<Row> {
    if let Some(present) = index.present
        && row.get(present).is_none_or(|cell| *cell == Cell::Null)
    {
        return None;
    }
    let columns = index.columns.iter().filter_map(|&column| row.get(column).cloned());
    Some(columns.chain(key.iter().cloned()).collect())
}

/// Where a scan begins and ends in its order; none where it can hold no row.
fn bounds(scan: &Scan<'_>) -> Option<(Bound<Row>, Bound<Row>)> {
    let with = |cell: Cell| scan.equal.iter().cloned().chain([cell]).collect::<Row>();
    let low = match (&scan.from, &scan.to) {
        (Some(from), _) => Bound::Included(with(from.clone())),
        (None, Some(_)) => Bound::Included(with(Cell::Integer(i64::MIN))),
        (None, None) => Bound::Included(scan.equal.to_vec()),
    };
    let high = match &scan.to {
        Some(to) => Bound::Excluded(with(to.clone())),
        None => match scan.equal.split_last() {
            Some((last, before)) => {
                Bound::Excluded(before.iter().cloned().chain([successor(last)]).collect())
            }
            None => Bound::Unbounded,
        },
    };
    let (low, high) = match (scan.after, scan.descending) {
        (Some(after), false) => (later(low, after), high),
        (Some(after), true) => (low, earlier(high, after)),
        (None, _) => (low, high),
    };
    // The standard library panics on ranges that end before they begin.
    match (&low, &high) {
        (Bound::Included(low), Bound::Excluded(high)) | (Bound::Excluded(low), Bound::Excluded(high))
            if low >= high =>
        {
            None
        }
        _ => Some((low, high)),
    }
}

/// The later of a lower bound and "after this row".
fn later(low: Bound<Row>, after: &[Cell]) -> Bound<Row> {
    match &low {
        Bound::Included(row) if row.as_slice() > after => low,
        Bound::Included(_) | Bound::Excluded(_) | Bound::Unbounded => Bound::Excluded(after.to_vec()),
    }
}

/// The earlier of an upper bound and "before this row".
fn earlier(high: Bound<Row>, after: &[Cell]) -> Bound<Row> {
    match &high {
        Bound::Excluded(row) if row.as_slice() < after => high,
        Bound::Included(_) | Bound::Excluded(_) | Bound::Unbounded => Bound::Excluded(after.to_vec()),
    }
}

/// The least cell after this one (`ROWS-1`).
fn successor(cell: &Cell) -> Cell {
    match cell {
        Cell::Null => Cell::Integer(i64::MIN),
        Cell::Integer(number) => number.checked_add(1).map_or_else(|| Cell::Text("".into()), Cell::Integer),
        Cell::Text(text) => Cell::Text(format!("{text}\0").into()),
        Cell::Bytes(bytes) => Cell::Bytes(bytes.iter().copied().chain([0]).collect()),
    }
}

fn misfit(table: &Table, what: &str) -> RowsError {
    RowsError { code: MISFIT, reason: format!("{what} does not fit the table `{}`", table.name) }
}

fn holds(column: &Column, cell: &Cell) -> bool {
    match cell {
        Cell::Null => column.nullable,
        Cell::Integer(_) => column.kind == Kind::Integer,
        Cell::Text(_) => column.kind == Kind::Text,
        Cell::Bytes(_) => column.kind == Kind::Bytes,
    }
}

/// Whether a row has the table's columns.
///
/// # Errors
/// [`RowsError`] with [`MISFIT`].
pub fn check_row(table: &Table, row: &Row) -> Result<(), RowsError> {
    let fits =
        row.len() == table.columns.len() && table.columns.iter().zip(row).all(|(col, cell)| holds(col, cell));
    if fits { Ok(()) } else { Err(misfit(table, "a row")) }
}

/// Whether a key has the columns of the table's key.
///
/// # Errors
/// [`RowsError`] with [`MISFIT`].
pub fn check_key(table: &Table, key: &Row) -> Result<(), RowsError> {
    let fits = key.len() == table.key && table.columns.iter().zip(key).all(|(col, cell)| holds(col, cell));
    if fits { Ok(()) } else { Err(misfit(table, "a key")) }
}

/// Whether a scan's cells have the places of its order.
///
/// # Errors
/// [`RowsError`] with [`MISFIT`].
pub fn check_scan(table: &Table, scan: &Scan<'_>) -> Result<(), RowsError> {
    let order: Vec<&Column> = match scan.index {
        None => table.columns.iter().take(table.key).collect(),
        Some(index) => {
            let columns = index.columns.iter().filter_map(|&at| table.columns.get(at));
            columns.chain(table.columns.iter().take(table.key)).collect()
        }
    };
    let fits = |cells: &[Cell]| {
        cells.len() <= order.len() && order.iter().zip(cells).all(|(col, cell)| holds(col, cell))
    };
    let bounded = |cell: &Option<Cell>| match (cell, order.get(scan.equal.len())) {
        (None, _) => true,
        (Some(cell), Some(column)) => *cell != Cell::Null && holds(column, cell),
        (Some(_), None) => false,
    };
    let whole = scan.after.is_none_or(|after| after.len() == order.len() && fits(after));
    if fits(scan.equal) && bounded(&scan.from) && bounded(&scan.to) && whole {
        Ok(())
    } else {
        Err(misfit(table, "a scan"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY_SIZE: Index = Index { name: "by_size", columns: &[2, 1], present: Some(2) };
    static TABLE: Table = Table {
        name: "things",
        columns: &[
            Column { name: "id", kind: Kind::Text, nullable: false },
            Column { name: "colour", kind: Kind::Text, nullable: true },
            Column { name: "size", kind: Kind::Integer, nullable: true },
        ],
        key: 1,
        indexes: &[BY_SIZE],
    };

    fn filled() -> MemoryRows {
        let mut rows = MemoryRows::new();
        let things =
            [("a", "red", Some(3)), ("b", "blue", None), ("c", "red", Some(1)), ("d", "blue", Some(3))];
        let row = |(id, colour, size): (&str, &str, Option<i64>)| vec![id.into(), colour.into(), size.into()];
        rows.put(&TABLE, things.into_iter().map(row).collect()).unwrap();
        rows
    }

    fn scan<'a>() -> Scan<'a> {
        Scan { index: None, equal: &[], from: None, to: None, after: None, descending: false, limit: 10 }
    }

    fn ids(rows: &MemoryRows, scan: &Scan<'_>) -> String {
        rows.scan(&TABLE, scan).unwrap().iter().map(|row| row[0].text().unwrap()).collect()
    }

    #[test]
    fn scans_follow_the_key_or_an_index_and_leave_out_what_is_not_in_it() {
        let rows = filled();
        assert_eq!(ids(&rows, &scan()), "abcd");
        assert_eq!(ids(&rows, &Scan { descending: true, limit: 3, ..scan() }), "dcb");
        assert_eq!(ids(&rows, &Scan { from: Some("b".into()), to: Some("d".into()), ..scan() }), "bc");
        let by_size = Scan { index: Some(&BY_SIZE), ..scan() };
        assert_eq!(ids(&rows, &by_size), "cda");
        assert_eq!(ids(&rows, &Scan { equal: &[3.into()], ..by_size.clone() }), "da");
        assert_eq!(ids(&rows, &Scan { equal: &[3.into()], descending: true, ..by_size.clone() }), "ad");
        assert_eq!(ids(&rows, &Scan { to: Some(3.into()), ..by_size.clone() }), "c");
        let after: Row = vec![3.into(), "blue".into(), "d".into()];
        assert_eq!(ids(&rows, &Scan { after: Some(&after), ..by_size.clone() }), "a");
        assert_eq!(ids(&rows, &Scan { after: Some(&after), descending: true, ..by_size }), "c");
    }

    #[test]
    fn a_row_put_again_or_removed_leaves_its_old_place_in_the_index() {
        let mut rows = filled();
        rows.put(&TABLE, vec![vec!["a".into(), Cell::Null, 0.into()]]).unwrap();
        rows.delete(&TABLE, &[vec!["c".into()], vec!["unknown".into()]]).unwrap();
        assert_eq!(ids(&rows, &Scan { index: Some(&BY_SIZE), ..scan() }), "ad");
        assert_eq!(rows.count(&TABLE), 3);
        assert_eq!(rows.get(&TABLE, &[vec!["c".into()]]).unwrap(), [None]);
    }

    #[test]
    fn an_empty_range_and_bounds_beyond_the_ends_are_no_panic() {
        let rows = filled();
        assert_eq!(ids(&rows, &Scan { from: Some("d".into()), to: Some("b".into()), ..scan() }), "");
        assert_eq!(ids(&rows, &Scan { after: Some(&["z".into()]), to: Some("b".into()), ..scan() }), "");
        assert_eq!(ids(&rows, &Scan { after: Some(&["z".into()]), descending: true, ..scan() }), "dcba");
        assert_eq!(ids(&MemoryRows::new(), &scan()), "");
    }

    #[test]
    fn what_does_not_fit_the_table_is_refused() {
        let mut rows = filled();
        let short = rows.put(&TABLE, vec![vec!["a".into()]]).unwrap_err();
        assert_eq!(short.code, MISFIT);
        assert!(rows.put(&TABLE, vec![vec![Cell::Null, Cell::Null, Cell::Null]]).is_err());
        assert!(rows.get(&TABLE, &[vec![1.into()]]).is_err());
        assert!(rows.scan(&TABLE, &Scan { equal: &["a".into()], from: Some("b".into()), ..scan() }).is_err());
        assert!(rows.scan(&TABLE, &Scan { from: Some(1.into()), ..scan() }).is_err());
    }
}
