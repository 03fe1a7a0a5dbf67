//! Whether a view is what its events say: projected again into a scratch store, and compared row by row.
//!
//! Place: an operator's step; it changes nothing but the scratch.
//! Not here: what to do about differences (`rebuild`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use waag_domain::project::{Cell, Projection, Reads, Row, RowsError, Scan, Table};
use waag_model::ids::Position;

use crate::contract::{Snapshot, ViewKey, Views, Which, place_of};
use crate::error::ViewsError;
use crate::follow::{Recorded, run};
use crate::progress::Progress;
use crate::projector::{ProjectError, Projector, current_key};

/// Rows compared at a time.
const PAGE_ROWS: usize = 2_000;
/// Most differences told by table; all are counted.
pub const DIFFERENCES_MAX: usize = 20;

/// A row that differs: as the view has it, and as its events say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The row's key.
    pub key: Row,
    /// The view's row, where it has one.
    pub stored: Option<Row>,
    /// The row projected again, where there is one.
    pub projected: Option<Row>,
}

/// How a table compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableCheck {
    /// The table.
    pub table: &'static str,
    /// The rows compared, each key once.
    pub rows: u64,
    /// How many differ, or are on one side only.
    pub different: u64,
    /// The first of them, by key.
    pub first: Vec<Difference>,
}

/// How a view compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The view.
    pub view: ViewKey,
    /// Up to where both sides were projected.
    pub position: Position,
    /// By table.
    pub tables: Vec<TableCheck>,
}

impl Checked {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.tables.iter().all(|table| table.different == 0)
    }
}

/// Projects the serving view again into `scratch`, an empty store, and compares all rows; `None` where told to stop.
///
/// The view may be projected on meanwhile: `recorded` is asked twice, the second time for the ledger as far as the view has
/// come by then.
///
/// # Errors
/// [`ProjectError`], and those of `recorded`.
pub fn check<E: From<ProjectError>>(
    views: &dyn Views,
    scratch: &Arc<dyn Views>,
    recorded: &mut Recorded<'_, E>,
    projection: &Arc<dyn Projection>,
    progress: Arc<Progress>,
    stop: &AtomicBool,
) -> Result<Option<Checked>, E> {
    let name = projection.name();
    let key = ViewKey { name: name.to_owned(), version: projection.version(), build: 0 };
    let following = recorded()?;
    let ledger = following.source.ledger;
    let mut projector =
        Projector::open_build(ledger, Arc::clone(scratch), Arc::clone(projection), key, progress)
            .map_err(ProjectError::Views)?;
    // Most of the way before the moment that is compared is taken, since holding one keeps the store from reclaiming.
    let present = || of_this_version(views, projection.as_ref()).map_err(ProjectError::Views);
    let near = present()?.standing().cursor.position;
    run(&mut projector, &following, near.min(following.source.guarded()), stop)?;
    let stored = present()?;
    let standing = stored.standing().clone();
    // What the moment has was recorded before it.
    let following = recorded()?;
    let position = standing.cursor.position;
    run(&mut projector, &following, position, stop)?;
    if stop.load(Ordering::Acquire) {
        return Ok(None);
    }
    let projected = scratch.snapshot(name, Which::Serving).map_err(ProjectError::Views)?;
    let compared = projection
        .tables()
        .iter()
        .map(|table| compare(table, stored.as_ref(), projected.as_ref()))
        .collect::<Result<_, RowsError>>();
    let tables = compared.map_err(|error| ProjectError::Views(error.into()))?;
    Ok(Some(Checked { view: standing.key, position, tables }))
}

/// The view of the projection's version, which may stand beside the one that serves: other settings make another.
fn of_this_version(views: &dyn Views, projection: &dyn Projection) -> Result<Box<dyn Snapshot>, ViewsError> {
    let key = current_key(views, projection)?;
    let found = views.snapshot(&key.name, Which::Build { version: key.version, build: key.build });
    let Err(ViewsError::Unknown(_)) = found else { return found };
    // None of this version: what serves is another program's, or another setting's.
    let serving = views.snapshot(projection.name(), Which::Serving)?;
    if serving.standing().key.version == key.version {
        return Ok(serving);
    }
    Err(ViewsError::Layout(serving.standing().key.clone()))
}

/// A table's rows in the order of their keys, read page by page.
struct Pages<'r> {
    table: &'static Table,
    reads: &'r dyn Reads,
    page: std::vec::IntoIter<Row>,
    last: Option<Vec<Cell>>,
    ended: bool,
}

impl<'r> Pages<'r> {
    fn new(table: &'static Table, reads: &'r dyn Reads) -> Self {
        Self { table, reads, page: Vec::new().into_iter(), last: None, ended: false }
    }

    fn next(&mut self) -> Result<Option<Row>, RowsError> {
        if self.page.len() == 0 && !self.ended {
            let scan = Scan {
                index: None,
                equal: &[],
                from: None,
                to: None,
                after: self.last.as_deref(),
                descending: false,
                limit: PAGE_ROWS,
            };
            let page = self.reads.scan(self.table, &scan)?;
            self.ended = page.len() < PAGE_ROWS;
            self.last = page.last().map(|row| place_of(self.table, None, row));
            self.page = page.into_iter();
        }
        Ok(self.page.next())
    }
}

/// Compares one table of two stores.
///
/// # Errors
/// [`RowsError`] of either.
pub fn compare(
    table: &'static Table,
    stored: &dyn Reads,
    projected: &dyn Reads,
) -> Result<TableCheck, RowsError> {
    let (mut left, mut right) = (Pages::new(table, stored), Pages::new(table, projected));
    let mut check = TableCheck { table: table.name, rows: 0, different: 0, first: Vec::new() };
    let key = |row: &Row| place_of(table, None, row);
    let (mut a, mut b) = (left.next()?, right.next()?);
    while a.is_some() || b.is_some() {
        check.rows = check.rows.saturating_add(1);
        let (a_key, b_key) = (a.as_ref().map(key), b.as_ref().map(key));
        // A side that has ended comes after every key of the other.
        let takes_a = a_key.is_some() && (b_key.is_none() || a_key <= b_key);
        let takes_b = b_key.is_some() && (a_key.is_none() || b_key <= a_key);
        let one = if takes_a { std::mem::replace(&mut a, left.next()?) } else { None };
        let other = if takes_b { std::mem::replace(&mut b, right.next()?) } else { None };
        if one != other {
            check.different = check.different.saturating_add(1);
            if check.first.len() < DIFFERENCES_MAX {
                let key = one.as_ref().or(other.as_ref()).map(key).unwrap_or_default();
                check.first.push(Difference { key, stored: one, projected: other });
            }
        }
    }
    Ok(check)
}
