//! The projection: facts into the rows of the invoice view, one chunk for each day of commit time.
//!
//! Place in the way of an event: `project`. A batch is gathered, evolved in memory and written with one change for each
//! touched key; where facts of two days of commit time meet, the batch is cut, so that what is learned at midnight is
//! the same whoever cuts (`PROJECT-1`, `PROJECT-2`).
//! Not here: gathering (`gather`), the steps of a chunk (`batch`, `write`), learning (`learn`).

use std::sync::Arc;

use waag_domain::project::{Gathering, Projection, Reads, Row, RowsError, Scan, Table};

use crate::config::Config;
use crate::gather::Gather;
use crate::tables::TABLES;

/// Goes up when rows come out otherwise under the same settings.
const FORM: u32 = 7;
/// The code of a row that cannot be read.
const DAMAGED: &str = "E1001";
/// Rows of a small table read at once.
const PAGE_ROWS: usize = 4_096;

/// The invoice view.
#[derive(Clone, Debug)]
pub struct Invoices {
    config: Arc<Config>,
}

impl Invoices {
    /// The view under these settings.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config: Arc::new(config) }
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }
}

impl Projection for Invoices {
    fn name(&self) -> &'static str {
        "invoices"
    }

    /// The form in the highest byte, and 24 bits of the settings' hash: other settings are another view, beside the
    /// old one. Two versions differ; that one is greater says nothing.
    fn version(&self) -> u32 {
        let settings = u32::try_from(self.config.hash() >> 40).unwrap_or(0);
        FORM << 24 | settings
    }

    fn tables(&self) -> &'static [Table] {
        &TABLES
    }

    fn gather(&self) -> Box<dyn Gathering> {
        Box::new(Gather::new(Arc::clone(&self.config)))
    }
}

/// A stored row that cannot be read: not what this version wrote.
pub(crate) fn damaged(table: &Table, key: &str) -> RowsError {
    RowsError { code: DAMAGED, reason: format!("the row `{key}` of `{}` cannot be read", table.name) }
}

/// All rows of a small table.
pub(crate) fn whole(rows: &dyn Reads, table: &'static Table) -> Result<Vec<Row>, RowsError> {
    range(
        rows,
        table,
        &Scan {
            index: None,
            equal: &[],
            from: None,
            to: None,
            after: None,
            descending: false,
            limit: PAGE_ROWS,
        },
    )
}

/// All rows of a scan by key.
pub(crate) fn range(rows: &dyn Reads, table: &'static Table, scan: &Scan<'_>) -> Result<Vec<Row>, RowsError> {
    let mut all: Vec<Row> = Vec::new();
    each(rows, table, scan, |row| {
        all.push(row);
        Ok(())
    })?;
    Ok(all)
}

/// Hands over the rows of a scan by key, page after page, so that no more than a page of them is held.
pub(crate) fn each(
    rows: &dyn Reads,
    table: &'static Table,
    scan: &Scan<'_>,
    mut take: impl FnMut(Row) -> Result<(), RowsError>,
) -> Result<(), RowsError> {
    let mut last: Option<Row> = None;
    loop {
        let after = last.as_deref().or(scan.after);
        let page = rows.scan(table, &Scan { after, limit: PAGE_ROWS, ..scan.clone() })?;
        if page.len() < PAGE_ROWS {
            return page.into_iter().try_for_each(take);
        }
        last = page.last().map(|row| row.iter().take(table.key).cloned().collect());
        page.into_iter().try_for_each(&mut take)?;
    }
}
