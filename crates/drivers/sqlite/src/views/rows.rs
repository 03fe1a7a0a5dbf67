//! Rows in SQL: prepared statements, keys visited in order, and no index touched whose columns stay as they are.
//!
//! A projection gets rows, changes them and puts them back. What was got last is remembered, so that the entries which a
//! changed row had in its table's indexes are known without a second look.
//! Not here: transactions and cursors (`views`), indexes that are kept beside a table (`orders`).

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Statement, ToSql};
use waag_domain::memory::{check_key, check_row, check_scan};
use waag_domain::project::{Cell, Index, Reads, Row, Rows, RowsError, Scan, Table};
use waag_views::contract::ViewKey;
use waag_views::error::ViewsError;
use waag_views::sql::plan;

use super::comparable;
use super::leaves::LeafError;
use super::orders::{self, Gathered, Known, Moved, is_kept};
use super::ranges::{Ranges, may_wait};
use super::read_leaf::Seen;
use super::schema::{failed, names, quoted, quoted_index};

/// Reads rows of one view on a connection that is in a transaction.
pub(super) struct Reading<'c> {
    connection: &'c Connection,
    view: &'c ViewKey,
    /// How many rows a range has, about (`ranges`).
    range_rows: usize,
    /// Leaves read before, where nothing is written.
    seen: Option<&'c Seen>,
}

fn sql_failed(attempt: &'static str) -> impl Fn(rusqlite::Error) -> RowsError {
    move |error| failed(attempt)(error).into()
}

fn damaged(attempt: &'static str, reason: &str) -> ViewsError {
    ViewsError::Failed { attempt, reason: reason.to_owned() }
}

fn leaf_failed(attempt: &'static str) -> impl Fn(LeafError) -> RowsError {
    move |error| match error {
        LeafError::Sql(error) => failed(attempt)(error).into(),
        LeafError::Damaged => damaged(attempt, "the entries of an index are malformed").into(),
    }
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
pub(super) fn read_row(row: &rusqlite::Row<'_>, key: &[Cell], columns: usize) -> rusqlite::Result<Row> {
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
    pub(super) fn new(connection: &'c Connection, view: &'c ViewKey, range_rows: usize) -> Self {
        Self { connection, view, range_rows, seen: None }
    }

    /// Remembers the leaves it reads, since nothing is written meanwhile.
    pub(super) fn remembering(self, seen: &'c Seen) -> Self {
        Self { seen: Some(seen), ..self }
    }

    fn ranges(&self, table: &'static Table) -> Ranges<'c> {
        Ranges::new(self.connection, self.view, table, self.range_rows)
    }

    fn by_key(&self, table: &Table) -> String {
        let conditions: Vec<String> =
            (0..table.key).map(|at| format!("{} = ?{}", names(table, [at]), at.saturating_add(1))).collect();
        conditions.join(" AND ")
    }

    /// A scan by key of rows of which some wait for their places.
    fn scan_with_waiting(&self, table: &'static Table, scan: &Scan<'_>) -> Result<Vec<Row>, RowsError> {
        check_scan(table, scan)?;
        let key = |row: &Row| row.get(..table.key).map(<[Cell]>::to_vec).unwrap_or_default();
        let (mut all, mut after): (Vec<Row>, Option<Row>) = (Vec::new(), scan.after.map(<[Cell]>::to_vec));
        loop {
            let left = scan.limit.saturating_sub(all.len());
            let rest = Scan { after: after.as_deref(), limit: left, ..scan.clone() };
            let placed = self.scan_placed(table, &rest)?;
            // What waits is laid over as far as these rows reach.
            let (mut low, mut high) = orders::bounds(&rest);
            let reached = placed.last().filter(|_| placed.len() >= left).map(key);
            match &reached {
                Some(reached) if scan.descending => low = comparable::place(reached),
                Some(reached) => high = comparable::beyond(reached),
                None => {}
            }
            let waiting = self.ranges(table).between(&low, &high);
            let waiting = waiting.map_err(leaf_failed("look for waiting rows"))?;
            let mut rows: BTreeMap<Vec<u8>, Row> =
                placed.into_iter().map(|row| (comparable::place(&key(&row)), row)).collect();
            for (place, row) in waiting {
                match row {
                    Some(row) => rows.insert(place, row),
                    None => rows.remove(&place),
                };
            }
            let rows = rows.into_values();
            if scan.descending {
                all.extend(rows.rev())
            } else {
                all.extend(rows)
            }
            if reached.is_none() || all.len() >= scan.limit {
                all.truncate(scan.limit);
                return Ok(all);
            }
            after = reached;
        }
    }

    /// The rows of a scan by an index that is kept beside the table.
    fn scan_kept(
        &self,
        table: &'static Table,
        index: &Index,
        scan: &Scan<'_>,
    ) -> Result<Vec<Row>, RowsError> {
        check_scan(table, scan)?;
        let keys = orders::scan((self.connection, self.seen), self.view, table, index, scan);
        let rows = self.get(table, &keys.map_err(leaf_failed("scan an index"))?)?;
        // Entry and row were written by one transaction.
        let missing =
            || damaged("scan an index", "an index is malformed: it names a row that is not there").into();
        rows.into_iter().map(|row| row.ok_or_else(missing)).collect()
    }
}

impl Reads for Reading<'_> {
    fn get(&self, table: &'static Table, keys: &[Row]) -> Result<Vec<Option<Row>>, RowsError> {
        keys.iter().try_for_each(|key| check_key(table, key))?;
        let columns = table.columns.len().saturating_sub(table.key);
        // The key is known; a table may have nothing else.
        let asked = if columns == 0 { "1".to_owned() } else { names(table, table.key..table.columns.len()) };
        let sql = format!("SELECT {asked} FROM {} WHERE {}", quoted(self.view, table), self.by_key(table));
        let order = in_order(keys);
        let mut waiting = HashMap::new();
        if may_wait(table) {
            let keys: Vec<&Row> = order.iter().map(|(_, key)| *key).collect();
            waiting = self.ranges(table).find(&keys).map_err(leaf_failed("look for waiting rows"))?;
        }
        let mut found = vec![None; keys.len()];
        let read = || {
            let mut statement = self.connection.prepare_cached(&sql)?;
            for (at, (place, key)) in order.into_iter().enumerate() {
                if let Some(row) = waiting.remove(&at) {
                    found.get_mut(place).into_iter().for_each(|found| found.clone_from(&row));
                    continue;
                }
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
        if let Some(index) = scan.index.filter(|index| is_kept(table, index)) {
            return self.scan_kept(table, index, scan);
        }
        if may_wait(table) {
            return self.scan_with_waiting(table, scan);
        }
        self.scan_placed(table, scan)
    }
}

impl Reading<'_> {
    /// A scan of the rows that are in their places.
    fn scan_placed(&self, table: &'static Table, scan: &Scan<'_>) -> Result<Vec<Row>, RowsError> {
        let plan = plan(table, scan, '?')?;
        let columns = table.columns.len();
        let descending = if scan.descending { " DESC" } else { "" };
        let order: Vec<String> =
            plan.order.iter().map(|at| format!("{}{descending}", names(table, [*at]))).collect();
        let (columns_of, name) = (names(table, 0..columns), quoted(self.view, table));
        let (order, place) = (order.join(", "), plan.values.len().saturating_add(1));
        let by = scan
            .index
            .map(|index| format!(" INDEXED BY {}", quoted_index(self.view, table.name, index.name)));
        let sql = format!(
            "SELECT {columns_of} FROM {name}{}{} ORDER BY {order} LIMIT ?{place}",
            by.unwrap_or_default(),
            plan.conditions
        );
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
    gathered: RefCell<Gathered>,
}

/// A key and the row that it is to have; none where that goes.
type Changed<'r> = (&'r [Cell], Option<&'r [Cell]>);

fn key_of<'r>(table: &Table, row: &'r Row) -> &'r [Cell] {
    row.get(..table.key).unwrap_or_default()
}

impl<'c> Writing<'c> {
    pub(super) fn new(connection: &'c Connection, view: &'c ViewKey, range_rows: usize) -> Self {
        Self {
            reading: Reading::new(connection, view, range_rows),
            known: RefCell::new(HashMap::new()),
            gathered: RefCell::default(),
        }
    }

    /// Puts down what was gathered: the end of the change.
    pub(super) fn finish(&self) -> Result<(), RowsError> {
        let put_down = self.gathered.borrow_mut().put_down(self.reading.connection, self.reading.view);
        put_down.map_err(leaf_failed("keep an index"))
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
        self.gathered.borrow_mut().take(table, &moved);
        Ok(())
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
        if scan.index.is_some() {
            self.finish()?;
        }
        self.reading.scan(table, scan)
    }
}

impl Rows for Writing<'_> {
    fn put(&mut self, table: &'static Table, mut rows: Vec<Row>) -> Result<(), RowsError> {
        rows.iter().try_for_each(|row| check_row(table, row))?;
        let compare = |a: &Row, b: &Row| key_of(table, a).cmp(key_of(table, b));
        if !rows.is_sorted_by(|a, b| compare(a, b).is_le()) {
            rows.sort_by(|a, b| compare(a, b));
        }
        // The last of several rows of one key counts; equal keys kept their order.
        rows.dedup_by(|later, kept| {
            let is_same = compare(later, kept).is_eq();
            if is_same {
                std::mem::swap(later, kept);
            }
            is_same
        });
        if orders::kept(table).next().is_some() {
            let changed: Vec<Changed<'_>> =
                rows.iter().map(|row| (key_of(table, row), Some(row.as_slice()))).collect();
            self.keep(table, &changed)?;
        }
        if may_wait(table) { self.change(table, rows, true) } else { self.place(table, &rows) }
    }

    fn delete(&mut self, table: &'static Table, keys: &[Row]) -> Result<(), RowsError> {
        keys.iter().try_for_each(|key| check_key(table, key))?;
        let mut order = in_order(keys);
        order.dedup_by(|(_, a), (_, b)| a == b);
        if orders::kept(table).next().is_some() {
            let changed: Vec<Changed<'_>> = order.iter().map(|(_, key)| (key.as_slice(), None)).collect();
            self.keep(table, &changed)?;
        }
        let keys: Vec<Row> = order.into_iter().map(|(_, key)| key.clone()).collect();
        if may_wait(table) { self.change(table, keys, false) } else { self.take_out(table, &keys) }
    }
}

impl Writing<'_> {
    /// Changes rows of a table where some may wait for their places.
    fn change(&self, table: &'static Table, rows: Vec<Row>, is_put: bool) -> Result<(), RowsError> {
        let ranges = self.reading.ranges(table);
        let places = ranges.change(rows, is_put).map_err(leaf_failed("let rows wait"))?;
        if places.puts.is_empty() && places.deletes.is_empty() {
            return Ok(());
        }
        self.place(table, &places.puts)?;
        self.take_out(table, &places.deletes)?;
        ranges.divide().map_err(leaf_failed("divide a range"))
    }

    /// Puts rows in their places.
    fn place(&self, table: &'static Table, rows: &[Row]) -> Result<(), RowsError> {
        let columns = table.columns.len();
        let places: Vec<String> = (1..=columns).map(|at| format!("?{at}")).collect();
        let sql = format!(
            "REPLACE INTO {}({}) VALUES ({})",
            quoted(self.reading.view, table),
            names(table, 0..columns),
            places.join(", ")
        );
        self.each(&sql, rows).map_err(sql_failed("put rows"))
    }

    fn take_out(&self, table: &'static Table, keys: &[Row]) -> Result<(), RowsError> {
        let name = quoted(self.reading.view, table);
        let sql = format!("DELETE FROM {name} WHERE {}", self.reading.by_key(table));
        self.each(&sql, keys).map_err(sql_failed("delete rows"))
    }

    fn each(&self, sql: &str, rows: &[Row]) -> rusqlite::Result<()> {
        let mut statement = self.reading.connection.prepare_cached(sql)?;
        for row in rows {
            bind(&mut statement, row)?;
            statement.raw_execute()?;
        }
        Ok(())
    }
}
