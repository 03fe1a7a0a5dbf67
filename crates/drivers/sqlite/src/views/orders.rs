//! Second orders of a table, each as a table of its own: the index's columns, then the table's key, and nothing else.
//!
//! SQLite keeps an index entry by entry, in the order in which rows are put: at random for an order that is not the
//! key's. Kept here, a batch's entries are taken out and put in in their own order, so that each page is visited once,
//! and a table without indexes is put by one visit of its tree instead of two.
//! A table's key takes no nulls, so an index over a column with nulls is left to SQLite ([`is_kept`]).
//! Not here: rows (`rows`), making the tables (`schema`).

use std::cmp::Ordering;

use rusqlite::Connection;
use waag_domain::project::{Cell, Index, Row, Table};
use waag_views::contract::ViewKey;

use super::rows::bind;
use super::schema::{names, quoted_index};

/// Whether an index is kept as a table: its columns have no nulls, but for the one that says which rows are in it.
pub(super) fn is_kept(table: &Table, index: &Index) -> bool {
    let has_nulls = |at: usize| table.columns.get(at).is_none_or(|column| column.nullable);
    let is_present = |at: usize| index.present == Some(at);
    index.columns.iter().all(|at| is_present(*at) || !has_nulls(*at))
        && index.present.is_none_or(|at| index.columns.contains(&at))
}

/// The indexes of a table that are kept as tables.
pub(super) fn kept(table: &'static Table) -> impl Iterator<Item = &'static Index> {
    table.indexes.iter().filter(|index| is_kept(table, index))
}

/// The columns of an index's order, each once: its own, then the table's key.
pub(super) fn order(table: &Table, index: &Index) -> Vec<usize> {
    let rest = (0..table.key).filter(|at| !index.columns.contains(at));
    index.columns.iter().copied().chain(rest).collect()
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

/// One side of a change: the cells of an entry, found by their columns.
#[derive(Clone, Copy)]
enum Side<'r> {
    /// The key, and the cells of [`columns`].
    Before(&'r [Cell], &'r [Cell]),
    /// The whole row.
    After(&'r [Cell]),
}

/// Where an entry's cell stands.
#[derive(Clone, Copy)]
struct Place {
    column: usize,
    /// Its place among [`columns`]; none for one of the key.
    cell: Option<usize>,
}

impl<'r> Side<'r> {
    fn cell(self, place: Place) -> &'r Cell {
        let found = match (self, place.cell) {
            (Self::Before(_, cells), Some(at)) => cells.get(at),
            (Self::Before(row, _), None) | (Self::After(row), _) => row.get(place.column),
        };
        // Every place was made from the table's own columns.
        found.unwrap_or(&Cell::Null)
    }

    fn compare(self, other: Self, places: &[Place]) -> Ordering {
        places.iter().map(|at| self.cell(*at)).cmp(places.iter().map(|at| other.cell(*at)))
    }
}

/// Brings the kept indexes of a table up to a change of its rows: entries go and come in the order of the index.
pub(super) fn keep(
    connection: &Connection,
    view: &ViewKey,
    table: &'static Table,
    moved: &[Moved<'_>],
) -> rusqlite::Result<()> {
    let columns = columns(table);
    for index in kept(table) {
        let order = order(table, index);
        let place = |at: &usize| Place { column: *at, cell: columns.iter().position(|one| one == at) };
        let places: Vec<Place> = order.iter().map(place).collect();
        let present = index.present.as_ref().map(place);
        let is_in = |side: &Side<'_>| present.is_none_or(|at| *side.cell(at) != Cell::Null);
        let (mut gone, mut fresh): (Vec<Side<'_>>, Vec<Side<'_>>) = (Vec::new(), Vec::new());
        for Moved { key, before, after } in moved {
            let before = before.map(|cells| Side::Before(key, cells)).filter(is_in);
            let after = after.map(Side::After).filter(is_in);
            let stays = before.zip(after).is_some_and(|(a, b)| a.compare(b, &places).is_eq());
            if !stays {
                gone.extend(before);
                fresh.extend(after);
            }
        }
        let entries = quoted_index(view, table, index);
        let conditions: Vec<String> =
            (1..).zip(&order).map(|(n, at)| format!("{} = ?{n}", names(table, [*at]))).collect();
        let marks: Vec<String> = (1..).zip(&order).map(|(n, _): (usize, _)| format!("?{n}")).collect();
        let delete = format!("DELETE FROM {entries} WHERE {}", conditions.join(" AND "));
        let insert = format!(
            "REPLACE INTO {entries}({}) VALUES ({})",
            names(table, order.iter().copied()),
            marks.join(", ")
        );
        for (sql, mut sides) in [(delete, gone), (insert, fresh)] {
            if sides.is_empty() {
                continue;
            }
            sides.sort_unstable_by(|a, b| a.compare(*b, &places));
            let mut statement = connection.prepare_cached(&sql)?;
            for side in sides {
                bind(&mut statement, places.iter().map(|at| side.cell(*at)))?;
                statement.raw_execute()?;
            }
        }
    }
    Ok(())
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
