//! Rows in SQL: prepared statements, keys visited in order, and no index touched whose columns stay as they are.
//!
//! A projection gets rows, changes them and puts them back. What was got last is remembered, so that the entries which a
//! changed row had in its table's indexes are known without a second look.
//! Not here: transactions and cursors (`views`), indexes that are tables (`orders`).

use std::cell::RefCell;
use std::collections::HashMap;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Statement, ToSql};
use waag_domain::memory::{check_key, check_row};
use waag_domain::project::{Cell, Reads, Row, Rows, RowsError, Scan, Table};
use waag_views::contract::ViewKey;
use waag_views::sql::plan;

use super::orders::{self, Known, Moved, is_kept};
use super::schema::{failed, names, quoted, quoted_index};

/// Reads rows of one view on a connection that is in a transaction.
pub(super) struct Reading<'c> {
    connection: &'c Connection,
    view: &'c ViewKey,
}

fn sql_failed(attempt: &'static str) -> impl Fn(rusqlite::Error) -> RowsError {
    move |error| failed(attempt)(error).into()
}

struct Bound<'c>(&'c Cell);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Cell::Null => ValueRef::Null,
            Cell::Integer(number) => ValueRef::Integer(*number),
            Cell::Text(text) => ValueRef::Text(text.as_bytes()),
            Cell::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

pub(super) fn bind<'c>(
    statement: &mut Statement<'_>,
    cells: impl IntoIterator<Item = &'c Cell>,
) -> rusqlite::Result<()> {
    (1..).zip(cells).try_for_each(|(at, cell)| statement.raw_bind_parameter(at, Bound(cell)))
}

fn cell(value: ValueRef<'_>) -> rusqlite::Result<Cell> {
    match value {
        ValueRef::Null => Ok(Cell::Null),
        ValueRef::Integer(number) => Ok(Cell::Integer(number)),
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text).map_err(|_| rusqlite::Error::InvalidQuery);
            Ok(Cell::Text(text?.into()))
        }
        ValueRef::Blob(bytes) => Ok(Cell::Bytes(bytes.into())),
        // The tables are strict and have no such column.
        ValueRef::Real(_) => Err(rusqlite::Error::InvalidQuery),
    }
}

/// A row of these cells and then so many columns of the answer.
fn read_row(row: &rusqlite::Row<'_>, key: &[Cell], columns: usize) -> rusqlite::Result<Row> {
    let mut cells = Vec::with_capacity(key.len().saturating_add(columns));
    cells.extend_from_slice(key);
    for at in 0..columns {
        cells.push(cell(row.get_ref(at)?)?);
    }
    Ok(cells)
}

/// The places of keys in their order, so that the tree is walked once from left to right.
fn in_order(keys: &[Row]) -> Vec<(usize, &Row)> {
    let mut order: Vec<(usize, &Row)> = keys.iter().enumerate().collect();
    if !keys.is_sorted() {
        order.sort_unstable_by_key(|(_, key)| *key);
    }
    order
}

impl<'c> Reading<'c> {
    pub(super) fn new(connection: &'c Connection, view: &'c ViewKey) -> Self {
        Self { connection, view }
    }

    fn by_key(&self, table: &Table) -> String {
        let conditions: Vec<String> =
            (0..table.key).map(|at| format!("{} = ?{}", names(table, [at]), at.saturating_add(1))).collect();
        conditions.join(" AND ")
    }
}

impl Reads for Reading<'_> {
    fn get(&self, table: &'static Table, keys: &[Row]) -> Result<Vec<Option<Row>>, RowsError> {
        keys.iter().try_for_each(|key| check_key(table, key))?;
        let columns = table.columns.len().saturating_sub(table.key);
        // The key is known; a table may have nothing else.
        let asked = if columns == 0 { "1".to_owned() } else { names(table, table.key..table.columns.len()) };
        let sql = format!("SELECT {asked} FROM {} WHERE {}", quoted(self.view, table), self.by_key(table));
        let mut found = vec![None; keys.len()];
        let mut read = || {
            let mut statement = self.connection.prepare_cached(&sql)?;
            for (place, key) in in_order(keys) {
                bind(&mut statement, key)?;
                let mut rows = statement.raw_query();
                if let (Some(row), Some(found)) = (rows.next()?, found.get_mut(place)) {
                    *found = Some(read_row(row, key, columns)?);
                }
            }
            Ok(())
        };
        read().map_err(sql_failed("get rows"))?;
        Ok(found)
    }

    fn scan(&self, table: &'static Table, scan: &Scan<'_>) -> Result<Vec<Row>, RowsError> {
        let plan = plan(table, scan, '?')?;
        let columns = table.columns.len();
        let descending = if scan.descending { " DESC" } else { "" };
        let order: Vec<String> =
            plan.order.iter().map(|at| format!("{}{descending}", names(table, [*at]))).collect();
        let (columns_of, name) = (names(table, 0..columns), quoted(self.view, table));
        let (order, place) = (order.join(", "), plan.values.len().saturating_add(1));
        let sql = match scan.index {
            Some(index) if is_kept(table, index) => {
                let entries = quoted_index(self.view, table, index);
                let found =
                    format!("SELECT * FROM {entries}{} ORDER BY {order} LIMIT ?{place}", plan.conditions);
                let of = |row: &str, at: usize| format!("{row}.{}", names(table, [at]));
                let row: Vec<String> = (0..columns).map(|at| of("r", at)).collect();
                let same: Vec<String> =
                    (0..table.key).map(|at| format!("{} = {}", of("r", at), of("e", at))).collect();
                let again: Vec<String> =
                    plan.order.iter().map(|at| format!("{}{descending}", of("e", *at))).collect();
                format!(
                    "SELECT {} FROM ({found}) AS e CROSS JOIN {name} AS r ON {} ORDER BY {}",
                    row.join(", "),
                    same.join(" AND "),
                    again.join(", ")
                )
            }
            index => {
                let by = index.map(|index| format!(" INDEXED BY {}", quoted_index(self.view, table, index)));
                let by = by.unwrap_or_default();
                format!(
                    "SELECT {columns_of} FROM {name}{by}{} ORDER BY {order} LIMIT ?{place}",
                    plan.conditions
                )
            }
        };
        let limit = Cell::Integer(i64::try_from(scan.limit).unwrap_or(i64::MAX));
        let read = || {
            let mut statement = self.connection.prepare_cached(&sql)?;
            bind(&mut statement, plan.values.iter().copied().chain([&limit]))?;
            let mut rows = statement.raw_query();
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(read_row(row, &[], columns)?);
            }
            Ok(found)
        };
        read().map_err(sql_failed("scan rows"))
    }
}

/// Changes rows of one view within a transaction.
pub(super) struct Writing<'c> {
    reading: Reading<'c>,
    known: RefCell<HashMap<&'static str, Known>>,
}

/// A key and the row that it is to have; none where that goes.
type Changed<'r> = (&'r [Cell], Option<&'r [Cell]>);

fn key_of<'r>(table: &Table, row: &'r Row) -> &'r [Cell] {
    row.get(..table.key).unwrap_or_default()
}

impl<'c> Writing<'c> {
    pub(super) fn new(connection: &'c Connection, view: &'c ViewKey) -> Self {
        Self { reading: Reading::new(connection, view), known: RefCell::new(HashMap::new()) }
    }

    /// Brings the kept indexes up to a change of rows: keys in their order, each once, and the rows as they will be.
    fn keep(&self, table: &'static Table, changed: &[Changed<'_>]) -> Result<(), RowsError> {
        let keys = || changed.iter().map(|(key, _)| *key);
        // What was known is of the time before this change.
        let known = self.known.borrow_mut().remove(table.name).unwrap_or_default();
        let read: Known;
        let before = match known.of(keys()) {
            Some(before) => before,
            None => {
                let keys: Vec<Row> = keys().map(<[Cell]>::to_vec).collect();
                let found = self.reading.get(table, &keys)?;
                read = Known::new(table, keys.iter().zip(found.iter().map(Option::as_deref)));
                read.all()
            }
        };
        let moved: Vec<Moved<'_>> = changed
            .iter()
            .zip(before)
            .map(|((key, after), before)| Moved { key, before, after: *after })
            .collect();
        orders::keep(self.reading.connection, self.reading.view, table, &moved)
            .map_err(sql_failed("keep an index"))
    }
}

impl Reads for Writing<'_> {
    fn get(&self, table: &'static Table, keys: &[Row]) -> Result<Vec<Option<Row>>, RowsError> {
        let found = self.reading.get(table, keys)?;
        if orders::kept(table).next().is_some() {
            let rows = in_order(keys).into_iter().map(|(place, key)| {
                let row = found.get(place).and_then(Option::as_deref);
                (key, row)
            });
            self.known.borrow_mut().insert(table.name, Known::new(table, rows));
        }
        Ok(found)
    }

    fn scan(&self, table: &'static Table, scan: &Scan<'_>) -> Result<Vec<Row>, RowsError> {
        self.reading.scan(table, scan)
    }
}

impl Rows for Writing<'_> {
    fn put(&mut self, table: &'static Table, rows: Vec<Row>) -> Result<(), RowsError> {
        rows.iter().try_for_each(|row| check_row(table, row))?;
        let mut order: Vec<&Row> = rows.iter().collect();
        let compare = |a: &Row, b: &Row| key_of(table, a).cmp(key_of(table, b));
        if !order.is_sorted_by(|a, b| compare(a, b).is_le()) {
            order.sort_by(|a, b| compare(a, b));
        }
        // The last of several rows of one key counts; equal keys kept their order.
        let mut last: Vec<&Row> = Vec::with_capacity(order.len());
        for row in order {
            match last.last_mut() {
                Some(before) if compare(before, row).is_eq() => *before = row,
                _ => last.push(row),
            }
        }
        if orders::kept(table).next().is_some() {
            let changed: Vec<Changed<'_>> =
                last.iter().map(|row| (key_of(table, row), Some(row.as_slice()))).collect();
            self.keep(table, &changed)?;
        }
        let columns = table.columns.len();
        let places: Vec<String> = (1..=columns).map(|at| format!("?{at}")).collect();
        let sql = format!(
            "REPLACE INTO {}({}) VALUES ({})",
            quoted(self.reading.view, table),
            names(table, 0..columns),
            places.join(", ")
        );
        let write = || -> rusqlite::Result<()> {
            let mut statement = self.reading.connection.prepare_cached(&sql)?;
            for row in last {
                bind(&mut statement, row)?;
                statement.raw_execute()?;
            }
            Ok(())
        };
        write().map_err(sql_failed("put rows"))
    }

    fn delete(&mut self, table: &'static Table, keys: &[Row]) -> Result<(), RowsError> {
        keys.iter().try_for_each(|key| check_key(table, key))?;
        let mut order = in_order(keys);
        order.dedup_by(|(_, a), (_, b)| a == b);
        if orders::kept(table).next().is_some() {
            let changed: Vec<Changed<'_>> = order.iter().map(|(_, key)| (key.as_slice(), None)).collect();
            self.keep(table, &changed)?;
        }
        let sql =
            format!("DELETE FROM {} WHERE {}", quoted(self.reading.view, table), self.reading.by_key(table));
        let write = || {
            let mut statement = self.reading.connection.prepare_cached(&sql)?;
            for (_, key) in order {
                bind(&mut statement, key)?;
                statement.raw_execute()?;
            }
            Ok(())
        };
        write().map_err(sql_failed("delete rows"))
    }
}
