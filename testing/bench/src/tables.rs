//! Where a projection's time goes: rows and time of each table, around any projection.
//!
//! Not here: running one (`views`).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use waag_domain::project::{Fact, Gathered, Gathering, Projection, Reads, Row, Rows, RowsError, Scan, Table};

/// What was done: a table and a call.
type Spent = BTreeMap<(&'static str, &'static str), (usize, Duration)>;

/// A projection whose rows are counted.
pub(crate) struct Counted {
    inner: Arc<dyn Projection>,
    spent: Arc<Mutex<(Spent, Duration)>>,
}

impl Counted {
    pub(crate) fn new(inner: Arc<dyn Projection>) -> Self {
        Self { inner, spent: Arc::default() }
    }

    /// Prints rows and time by table and call, each per event.
    pub(crate) fn print(&self, events: u64) {
        let spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let each = |took: Duration| took.as_secs_f64() * 1e6 / events as f64;
        let rows_took: Duration = spent.0.values().map(|(_, took)| *took).sum();
        println!("  {:<18}{:<8}{:>14}{:>12}", "table", "call", "rows/event", "us/event");
        for ((table, call), (rows, took)) in &spent.0 {
            println!("  {table:<18}{call:<8}{:>14.4}{:>12.3}", *rows as f64 / events as f64, each(*took));
        }
        println!(
            "  rows {:.2} us an event; the rest of the projection {:.2}",
            each(rows_took),
            each(spent.1) - each(rows_took)
        );
    }
}

impl Projection for Counted {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn version(&self) -> u32 {
        self.inner.version()
    }

    fn tables(&self) -> &'static [Table] {
        self.inner.tables()
    }

    fn gather(&self) -> Box<dyn Gathering> {
        Box::new(Gather { inner: self.inner.gather(), spent: Arc::clone(&self.spent) })
    }
}

/// Gathers, and counts what is written of it.
struct Gather<I: ?Sized> {
    spent: Arc<Mutex<(Spent, Duration)>>,
    inner: Box<I>,
}

impl Gathering for Gather<dyn Gathering> {
    fn take(&mut self, fact: &Fact<'_>) {
        self.inner.take(fact);
    }

    fn finish(self: Box<Self>) -> Box<dyn Gathered> {
        Box::new(Gather { spent: self.spent, inner: self.inner.finish() })
    }
}

impl Gathered for Gather<dyn Gathered> {
    fn write(&self, rows: &mut dyn Rows) -> Result<(), RowsError> {
        let start = Instant::now();
        let mut watched = Watched { rows, spent: RefCell::default() };
        let done = self.inner.write(&mut watched);
        let mut all = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        for (what, (rows, took)) in watched.spent.into_inner() {
            let sum = all.0.entry(what).or_default();
            *sum = (sum.0 + rows, sum.1 + took);
        }
        all.1 += start.elapsed();
        done
    }
}

/// Rows that are counted.
struct Watched<'r> {
    rows: &'r mut dyn Rows,
    spent: RefCell<Spent>,
}

impl Watched<'_> {
    fn add(&self, table: &'static Table, call: &'static str, rows: usize, start: Instant) {
        let mut spent = self.spent.borrow_mut();
        let sum = spent.entry((table.name, call)).or_default();
        *sum = (sum.0 + rows, sum.1 + start.elapsed());
    }
}

impl Reads for Watched<'_> {
    fn get(&self, table: &'static Table, keys: &[Row]) -> Result<Vec<Option<Row>>, RowsError> {
        let start = Instant::now();
        let found = self.rows.get(table, keys);
        self.add(table, "get", keys.len(), start);
        found
    }

    fn scan(&self, table: &'static Table, scan: &Scan<'_>) -> Result<Vec<Row>, RowsError> {
        let start = Instant::now();
        let found = self.rows.scan(table, scan);
        self.add(table, "scan", found.as_ref().map_or(0, Vec::len), start);
        found
    }
}

impl Rows for Watched<'_> {
    fn put(&mut self, table: &'static Table, rows: Vec<Row>) -> Result<(), RowsError> {
        let (start, count) = (Instant::now(), rows.len());
        let done = self.rows.put(table, rows);
        self.add(table, "put", count, start);
        done
    }

    fn delete(&mut self, table: &'static Table, keys: &[Row]) -> Result<(), RowsError> {
        let start = Instant::now();
        let done = self.rows.delete(table, keys);
        self.add(table, "delete", keys.len(), start);
        done
    }
}
