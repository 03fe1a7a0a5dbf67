//! Rows in SQL: prepared statements, keys visited in order, and no index touched whose columns stay as they are.
//!
//! A projection gets rows, changes them and puts them back. What was got is remembered for the transaction: a row that is
//! there and keeps its indexed columns is updated without them, since SQLite rewrites the entry of every index that a
//! statement names a column of, whether its value changes or not.
//! Not here: transactions and cursors (`views`).

use std::cell::RefCell;
use std::collections::HashMap;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Statement, ToSql};
use waag_domain::memory::{check_key, check_row};
use waag_domain::project::{Cell, Reads, Row, Rows, RowsError, Scan, Table};
use waag_views::contract::ViewKey;
use waag_views::sql::plan;

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

fn bind<'c>(
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

fn read_row(row: &rusqlite::Row<'_>, columns: usize) -> rusqlite::Result<Row> {
    (0..columns).map(|at| cell(row.get_ref(at)?)).collect()
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
        let columns = table.columns.len();
        let sql = format!(
            "SELECT {} FROM {} WHERE {}",
            names(table, 0..columns),
            quoted(self.view, table),
            self.by_key(table)
        );
        let mut found = vec![None; keys.len()];
        let mut read = || {
            let mut statement = self.connection.prepare_cached(&sql)?;
            for (place, key) in in_order(keys) {
                bind(&mut statement, key)?;
                let mut rows = statement.raw_query();
                if let (Some(row), Some(found)) = (rows.next()?, found.get_mut(place)) {
                    *found = Some(read_row(row, columns)?);
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
        let by = scan.index.map(|index| format!(" INDEXED BY {}", quoted_index(self.view, table, index)));
        let sql = format!(
            "SELECT {} FROM {}{}{} ORDER BY {} LIMIT ?{}",
            names(table, 0..columns),
            quoted(self.view, table),
            by.unwrap_or_default(),
            plan.conditions,
            order.join(", "),
            plan.values.len().saturating_add(1)
        );
        let limit = Cell::Integer(i64::try_from(scan.limit).unwrap_or(i64::MAX));
        let read = || {
            let mut statement = self.connection.prepare_cached(&sql)?;
            bind(&mut statement, plan.values.iter().copied().chain([&limit]))?;
            let mut rows = statement.raw_query();
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(read_row(row, columns)?);
            }
            Ok(found)
        };
        read().map_err(sql_failed("scan rows"))
    }
}

/// What the transaction knows of a key: its indexed cells, or that there is no such row.
type Known = HashMap<Row, Option<Row>>;

/// Changes rows of one view within a transaction.
pub(super) struct Writing<'c> {
    reading: Reading<'c>,
    known: RefCell<HashMap<&'static str, Known>>,
}

/// How a row is put.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// It is not there.
    Insert,
    /// It is there and keeps its indexed columns.
    Update,
    /// Not known.
    Upsert,
}

/// The columns that an index rests on, each once.
fn indexed(table: &Table) -> Vec<usize> {
    let mut columns: Vec<usize> =
        table.indexes.iter().flat_map(|index| index.columns.iter().copied().chain(index.present)).collect();
    columns.retain(|at| *at >= table.key);
    columns.sort_unstable();
    columns.dedup();
    columns
}

fn cells_of(row: &Row, columns: &[usize]) -> Row {
    columns.iter().filter_map(|at| row.get(*at).cloned()).collect()
}

impl<'c> Writing<'c> {
    pub(super) fn new(connection: &'c Connection, view: &'c ViewKey) -> Self {
        Self { reading: Reading::new(connection, view), known: RefCell::new(HashMap::new()) }
    }

    /// The way to put a row, and what is known of it afterwards.
    fn way(&self, table: &'static Table, row: &Row, indexed: &[usize]) -> Way {
        if indexed.is_empty() {
            return Way::Upsert;
        }
        let key: Row = row.iter().take(table.key).cloned().collect();
        let cells = cells_of(row, indexed);
        let mut known = self.known.borrow_mut();
        match known.entry(table.name).or_default().insert(key, Some(cells.clone())) {
            None => Way::Upsert,
            Some(None) => Way::Insert,
            Some(Some(before)) if before == cells => Way::Update,
            Some(Some(_)) => Way::Upsert,
        }
    }

    fn sql(&self, table: &'static Table, way: Way, indexed: &[usize]) -> Option<String> {
        let columns = table.columns.len();
        let name = quoted(self.reading.view, table);
        let set = |keep: &dyn Fn(usize) -> bool| {
            let places = (table.key..columns).filter(|at| keep(*at));
            let set: Vec<String> =
                places.map(|at| format!("{} = ?{}", names(table, [at]), at.saturating_add(1))).collect();
            set.join(", ")
        };
        if way == Way::Update {
            let set = set(&|at| !indexed.contains(&at));
            let condition = self.reading.by_key(table);
            // A row of key and indexed columns alone has nothing to update.
            return (!set.is_empty()).then(|| format!("UPDATE {name} SET {set} WHERE {condition}"));
        }
        let places: Vec<String> = (1..=columns).map(|at| format!("?{at}")).collect();
        let insert =
            format!("INSERT INTO {name}({}) VALUES ({})", names(table, 0..columns), places.join(", "));
        let set = set(&|_| true);
        Some(match way {
            Way::Insert | Way::Update => insert,
            Way::Upsert if set.is_empty() => format!("{insert} ON CONFLICT DO NOTHING"),
            Way::Upsert => format!("{insert} ON CONFLICT DO UPDATE SET {set}"),
        })
    }
}

impl Reads for Writing<'_> {
    fn get(&self, table: &'static Table, keys: &[Row]) -> Result<Vec<Option<Row>>, RowsError> {
        let found = self.reading.get(table, keys)?;
        let indexed = indexed(table);
        if !indexed.is_empty() {
            let mut known = self.known.borrow_mut();
            let known = known.entry(table.name).or_default();
            for (key, row) in keys.iter().zip(&found) {
                known.insert(key.clone(), row.as_ref().map(|row| cells_of(row, &indexed)));
            }
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
        let indexed = indexed(table);
        // The last of several rows of one key counts, so equal keys keep their order.
        let mut order: Vec<&Row> = rows.iter().collect();
        let compare = |a: &Row, b: &Row| a.iter().take(table.key).cmp(b.iter().take(table.key));
        if !order.is_sorted_by(|a, b| compare(a, b).is_le()) {
            order.sort_by(|a, b| compare(a, b));
        }
        let connection = self.reading.connection;
        let write = || -> rusqlite::Result<()> {
            let prepare = |way| {
                let sql = self.sql(table, way, &indexed);
                sql.map(|sql| connection.prepare_cached(&sql)).transpose()
            };
            let (mut insert, mut update, mut upsert) =
                (prepare(Way::Insert)?, prepare(Way::Update)?, prepare(Way::Upsert)?);
            for row in order {
                let (statement, way) = match self.way(table, row, &indexed) {
                    Way::Insert => (&mut insert, Way::Insert),
                    Way::Update => (&mut update, Way::Update),
                    Way::Upsert => (&mut upsert, Way::Upsert),
                };
                let Some(statement) = statement else { continue };
                if way == Way::Update {
                    // An unbound place is null, and this statement has none for indexed columns.
                    for (at, cell) in (1..).zip(row) {
                        if at <= statement.parameter_count() {
                            statement.raw_bind_parameter(at, Bound(cell))?;
                        }
                    }
                } else {
                    bind(statement, row)?;
                }
                statement.raw_execute()?;
            }
            Ok(())
        };
        write().map_err(sql_failed("put rows"))
    }

    fn delete(&mut self, table: &'static Table, keys: &[Row]) -> Result<(), RowsError> {
        keys.iter().try_for_each(|key| check_key(table, key))?;
        let sql =
            format!("DELETE FROM {} WHERE {}", quoted(self.reading.view, table), self.reading.by_key(table));
        let write = || {
            let mut statement = self.reading.connection.prepare_cached(&sql)?;
            for (_, key) in in_order(keys) {
                bind(&mut statement, key)?;
                statement.raw_execute()?;
            }
            Ok(())
        };
        write().map_err(sql_failed("delete rows"))?;
        if let Some(known) = self.known.borrow_mut().get_mut(table.name) {
            keys.iter().for_each(|key| drop(known.insert(key.clone(), None)));
        }
        Ok(())
    }
}
