//! Second orders of a table, each a sorted set of places: the index's columns, then the table's key.
//!
//! SQLite keeps an index entry by entry in a tree of pages, where an entry that goes and one that comes touch a page each
//! at places that have nothing to do with the key's order. Here a batch's entries are put down side by side (`leaves`),
//! and a table without indexes is put by one visit of its tree instead of two.
//! An index over a column with nulls, beside the one that says which rows are in it, is left to SQLite ([`is_kept`]).
//! Not here: rows (`rows`), making the tables (`schema`).

use std::collections::BTreeMap;

use rusqlite::Connection;
use waag_domain::project::{Cell, Index, Row, Scan, Table};
use waag_views::contract::ViewKey;

use super::comparable::{self, AFTER_ALL, AFTER_NULL};
use super::leaves::{Changes, LeafError, Leaves};
use super::read_leaf::Seen;
use super::schema::quoted_index;

/// Whether an index is kept here: its columns have no nulls, but for the one that says which rows are in it.
pub(super) fn is_kept(table: &Table, index: &Index) -> bool {
    let has_nulls = |at: usize| table.columns.get(at).is_none_or(|column| column.nullable);
    let is_present = |at: usize| index.present == Some(at);
    index.columns.iter().all(|at| is_present(*at) || !has_nulls(*at))
        && index.present.is_none_or(|at| index.columns.contains(&at))
}

/// The indexes of a table that are kept here.
pub(super) fn kept(table: &'static Table) -> impl Iterator<Item = &'static Index> {
    table.indexes.iter().filter(|index| is_kept(table, index))
}

/// The columns beside the key that the kept indexes of a table rest on, each once.
pub(super) fn columns(table: &'static Table) -> Vec<usize> {
    let mut columns: Vec<usize> = kept(table).flat_map(|index| index.columns.iter().copied()).collect();
    columns.retain(|at| *at >= table.key);
    columns.sort_unstable();
    columns.dedup();
    columns
}

/// A row before and after a change, as far as indexes see it.
pub(super) struct Moved<'r> {
    /// The key, and maybe more behind it.
    pub(super) key: &'r [Cell],
    /// The cells of [`columns`] before; none where the row was not there.
    pub(super) before: Option<&'r [Cell]>,
    /// The whole row after; none where it goes.
    pub(super) after: Option<&'r [Cell]>,
}

/// One side of a change: the cells of a place, found by their columns.
#[derive(Clone, Copy)]
enum Side<'r> {
    /// The key, and the cells of [`columns`].
    Before(&'r [Cell], &'r [Cell]),
    /// The whole row.
    After(&'r [Cell]),
}

/// Where a place's cell stands.
#[derive(Clone, Copy)]
struct Stand {
    column: usize,
    /// Its place among [`columns`]; none for one of the key.
    cell: Option<usize>,
}

impl<'r> Side<'r> {
    fn cell(self, stand: Stand) -> &'r Cell {
        let found = match (self, stand.cell) {
            (Self::Before(_, cells), Some(at)) => cells.get(at),
            (Self::Before(row, _), None) | (Self::After(row), _) => row.get(stand.column),
        };
        // Every one of them was made from the table's own columns.
        found.unwrap_or(&Cell::Null)
    }
}

/// What a transaction changes in kept indexes, put down at its end: the more of it comes at once, the more lies side by
/// side.
#[derive(Default)]
pub(super) struct Gathered(BTreeMap<(&'static str, &'static str), Changes>);

impl Gathered {
    /// Takes up a change of a table's rows.
    pub(super) fn take(&mut self, table: &'static Table, moved: &[Moved<'_>]) {
        let columns = columns(table);
        for index in kept(table) {
            let stand = |at: usize| Stand { column: at, cell: columns.iter().position(|one| *one == at) };
            let stands: Vec<Stand> = index.columns.iter().copied().chain(0..table.key).map(stand).collect();
            let present = index.present.map(stand);
            let is_in = |side: &Side<'_>| present.is_none_or(|at| *side.cell(at) != Cell::Null);
            let changes = self.0.entry((table.name, index.name)).or_default();
            for Moved { key, before, after } in moved {
                let before = before.map(|cells| Side::Before(key, cells)).filter(is_in);
                let after = after.map(Side::After).filter(is_in);
                let is_same =
                    |(a, b): (Side<'_>, Side<'_>)| stands.iter().all(|at| a.cell(*at) == b.cell(*at));
                if before.zip(after).is_some_and(is_same) {
                    continue;
                }
                for (side, is_put) in [(before, false), (after, true)] {
                    let Some(side) = side else { continue };
                    changes.add(is_put, |bytes| {
                        stands.iter().for_each(|at| comparable::write(side.cell(*at), bytes));
                    });
                }
            }
        }
    }

    /// Puts everything down.
    pub(super) fn put_down(&mut self, connection: &Connection, view: &ViewKey) -> Result<(), LeafError> {
        for ((table, index), changes) in std::mem::take(&mut self.0) {
            Leaves::new(connection, quoted_index(view, table, index), None).change(&changes)?;
        }
        Ok(())
    }
}

/// The keys of the rows of a scan by a kept index, in its order.
pub(super) fn scan(
    (connection, seen): (&Connection, Option<&Seen>),
    view: &ViewKey,
    table: &'static Table,
    index: &Index,
    scan: &Scan<'_>,
) -> Result<Vec<Row>, LeafError> {
    let (low, high) = bounds(scan);
    let leaves = Leaves::new(connection, quoted_index(view, table.name, index.name), seen);
    let key = |place: Vec<u8>| {
        let mut cells = comparable::read(&place).ok_or(LeafError::Damaged)?;
        let from = cells.len().checked_sub(table.key).ok_or(LeafError::Damaged)?;
        Ok(cells.split_off(from))
    };
    leaves.scan(&low, &high, scan.descending, scan.limit)?.into_iter().map(key).collect()
}

/// Where a scan begins in its order, and what it ends before.
pub(super) fn bounds(scan: &Scan<'_>) -> (Vec<u8>, Vec<u8>) {
    let (mut low, mut high) = (comparable::place(scan.equal), comparable::place(scan.equal));
    match (&scan.from, &scan.to) {
        (Some(from), _) => comparable::write(from, &mut low),
        // A bound takes no null (`ROWS-2`).
        (None, Some(_)) => low.push(AFTER_NULL),
        (None, None) => {}
    }
    match &scan.to {
        Some(to) => comparable::write(to, &mut high),
        None => high.push(AFTER_ALL),
    }
    if let Some(after) = scan.after {
        if scan.descending {
            high = high.min(comparable::place(after));
        } else {
            low = low.max(comparable::beyond(after));
        }
    }
    (low, high)
}

/// What the transaction read of a table last: keys in their order, and the cells of [`columns`] of the rows that are
/// there. All of them lie in two pieces of memory: a batch has some 50,000.
#[derive(Default)]
pub(super) struct Known {
    /// How many cells a key has, and how many of [`columns`] a row.
    widths: (usize, usize),
    keys: Vec<Cell>,
    /// Nulls for a row that is not there.
    cells: Vec<Cell>,
    are: Vec<bool>,
}

impl Known {
    /// Of keys in their order, each with its row where there is one.
    pub(super) fn new<'k>(
        table: &'static Table,
        rows: impl Iterator<Item = (&'k Row, Option<&'k [Cell]>)>,
    ) -> Self {
        let columns = columns(table);
        let mut known = Self { widths: (table.key, columns.len()), ..Self::default() };
        for (key, row) in rows {
            known.keys.extend_from_slice(key);
            let cell = |at: &usize| row.and_then(|row| row.get(*at)).cloned().unwrap_or(Cell::Null);
            known.cells.extend(columns.iter().map(cell));
            known.are.push(row.is_some());
        }
        known
    }

    fn each(&self) -> impl Iterator<Item = (&[Cell], Option<&[Cell]>)> {
        let (key, columns) = self.widths;
        let cells = (0..self.are.len())
            .map(move |at| self.cells.get(at * columns..).and_then(|from| from.get(..columns)));
        let are = cells.zip(&self.are).map(|(cells, is)| cells.filter(|_| *is));
        self.keys.chunks_exact(key.max(1)).zip(are)
    }

    /// The cells of each row; none where it is not there.
    pub(super) fn all(&self) -> Vec<Option<&[Cell]>> {
        self.each().map(|(_, cells)| cells).collect()
    }

    /// The same of each of these keys, which are in their order too; none where nothing is known of some.
    pub(super) fn of<'k>(&self, keys: impl Iterator<Item = &'k [Cell]>) -> Option<Vec<Option<&[Cell]>>> {
        let mut known = self.each();
        keys.map(|key| {
            let (_, cells) = known.by_ref().find(|(at, _)| *at >= key).filter(|(at, _)| *at == key)?;
            Some(cells)
        })
        .collect()
    }
}
