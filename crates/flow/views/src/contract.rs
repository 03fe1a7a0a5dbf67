//! The contract of a store of views: rows and cursor move together, or not at all.
//!
//! ```text
//! open(view)                       ──► tables made where they are not there; the cursor as it stands
//! commit(view, a, b, change)       ──► the cursor stood at a: rows changed and cursor at b, in one transaction
//! commit(view, other, b, change)   ──► CursorMoved: another projector was here; nothing is written
//! snapshot(name, which)            ──► rows of one moment, with the cursor of that moment
//! turn(view, Serve)                ──► readers of the name see this one from their next snapshot on
//! ```
//!
//! A view has a name, a version (the projection's) and a build: the same version built again beside the one that
//! serves. Each has tables and a cursor of its own.
//!
//! Invariants:
//! - `VIEWS-1`: a cursor and the rows projected up to it are of one transaction, for readers and after a crash.
//! - `VIEWS-2`: a cursor moves forward only, and only from where the projector saw it.
//! - `VIEWS-3`: of the builds of a name, at most one serves; the first one made serves at once.
//! - `VIEWS-4`: a store may lose its newest transactions in a crash, never a part of one.
//!
//! Not here: reading the ledger (`source`), following it (`projector`).

use std::fmt;

use waag_domain::project::{Cell, Index, Kind, Reads, Rows, RowsError, Table};
use waag_model::ids::{LedgerId, Position};
use waag_model::time::UtcNanos;

use crate::error::ViewsError;

/// One build of one version of a view.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewKey {
    /// The projection's name.
    pub name: String,
    /// The projection's version.
    pub version: u32,
    /// Counts the times this version was built, from 0.
    pub build: u32,
}

impl fmt::Display for ViewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.name, self.version, self.build)
    }
}

/// How far a view was projected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The position of the next event to project.
    pub position: Position,
    /// The commit time of the newest event projected; the earliest there is before the first.
    pub committed: UtcNanos,
}

impl Cursor {
    /// Before the first event.
    pub const START: Self = Self { position: Position(0), committed: UtcNanos(i64::MIN) };
}

/// Where a view stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The view.
    pub key: ViewKey,
    /// The ledger it is projected from.
    pub ledger: LedgerId,
    /// How far it was projected.
    pub cursor: Cursor,
    /// Whether readers of its name see it.
    pub serves: bool,
}

/// What a view is made from.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The view.
    pub key: ViewKey,
    /// The ledger it is projected from.
    pub ledger: LedgerId,
    /// Its tables.
    pub tables: &'static [Table],
}

/// Which build of a name to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that serves.
    Serving,
    /// This version and build.
    Build {
        /// The version.
        version: u32,
        /// The build.
        build: u32,
    },
}

/// A change of a view as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Readers of its name see it from now on, in the place of the one before.
    Serve,
    /// Its tables and its cursor go. Dropping what is not there changes nothing.
    Drop,
}

/// The rows of one view at one moment.
pub trait Snapshot: Reads + Send {
    /// Where the view stood at that moment.
    fn standing(&self) -> &Standing;
}

/// How rows are changed within a transaction.
pub type Change<'c> = dyn FnMut(&mut dyn Rows) -> Result<(), RowsError> + 'c;

/// A store of views. All calls block; any number of threads may call at once, and changes wait for each other.
pub trait Views: Send + Sync {
    /// Makes a view's tables where they are not there, and tells where it stands.
    ///
    /// # Errors
    /// [`ViewsError::Layout`], [`ViewsError::OtherLedger`] where it is there and differs; the store's.
    fn open(&self, definition: &Definition) -> Result<Standing, ViewsError>;

    /// Changes rows and moves the cursor from `expected` to `next` in one transaction (`VIEWS-1`, `VIEWS-2`).
    ///
    /// Not durable against a power failure when it returns; what follows is never kept without it. Where it fails,
    /// the cursor tells whether it happened: it is to be read again, never assumed.
    ///
    /// # Errors
    /// [`ViewsError::CursorMoved`], [`ViewsError::Unknown`], [`ViewsError::Rows`] of the change; the store's.
    fn commit(
        &self,
        view: &ViewKey,
        expected: Cursor,
        next: Cursor,
        change: &mut Change<'_>,
    ) -> Result<(), ViewsError>;

    /// The rows of one moment. Held for long it keeps the store from reclaiming space: one for each request.
    ///
    /// # Errors
    /// [`ViewsError::Unknown`]; the store's.
    fn snapshot(&self, name: &str, which: Which) -> Result<Box<dyn Snapshot>, ViewsError>;

    /// All views, by name, version and build.
    ///
    /// # Errors
    /// The store's.
    fn list(&self) -> Result<Vec<Standing>, ViewsError>;

    /// Changes what serves, or drops a view.
    ///
    /// # Errors
    /// [`ViewsError::Unknown`] for a view to serve, [`ViewsError::Serving`] for one to drop; the store's.
    fn turn(&self, view: &ViewKey, turn: Turn) -> Result<(), ViewsError>;
}

/// Refuses a move that does not begin at the cursor, or goes backwards (`VIEWS-2`); for drivers.
///
/// # Errors
/// [`ViewsError::CursorMoved`].
pub fn check_move(view: &ViewKey, actual: Cursor, expected: Cursor, next: Cursor) -> Result<(), ViewsError> {
    let forward = next.position >= expected.position && next.committed >= expected.committed;
    if actual == expected && forward {
        Ok(())
    } else {
        Err(ViewsError::CursorMoved { view: view.clone(), expected, actual })
    }
}

/// Refuses a view that is there with another ledger or other tables; for drivers.
///
/// # Errors
/// [`ViewsError::OtherLedger`], [`ViewsError::Layout`].
pub fn check_definition(
    definition: &Definition,
    ledger: LedgerId,
    layout_found: &str,
) -> Result<(), ViewsError> {
    if ledger != definition.ledger {
        return Err(ViewsError::OtherLedger { view: definition.key.clone(), found: ledger });
    }
    if layout_found != layout(definition.tables) {
        return Err(ViewsError::Layout(definition.key.clone()));
    }
    Ok(())
}

/// Tables as one text, by which a store sees that they are others than those it was made with.
#[must_use]
pub fn layout(tables: &[Table]) -> String {
    let column = |at: usize, table: &Table| {
        table.columns.get(at).map_or_else(String::new, |column| column.name.to_owned())
    };
    let index = |index: &Index, table: &Table| {
        let columns: Vec<String> = index.columns.iter().map(|at| column(*at, table)).collect();
        let present = index.present.map_or_else(String::new, |at| format!(" where {}", column(at, table)));
        format!(" {}[{}]{present}", index.name, columns.join(","))
    };
    let table = |table: &Table| {
        let columns = table.columns.iter().map(|column| {
            let kind = match column.kind {
                Kind::Integer => "integer",
                Kind::Text => "text",
                Kind::Bytes => "bytes",
            };
            format!("{} {kind}{}", column.name, if column.nullable { "?" } else { "" })
        });
        let indexes: String = table.indexes.iter().map(|one| index(one, table)).collect();
        format!("{}/{}({}){indexes}", table.name, table.key, columns.collect::<Vec<_>>().join(","))
    };
    tables.iter().map(table).collect::<Vec<_>>().join(";")
}

/// The place of a row in an order: the cells that stand for it in [`waag_domain::project::Scan::after`].
#[must_use]
pub fn place_of(table: &Table, index: Option<&Index>, row: &[Cell]) -> Vec<Cell> {
    let columns = index.map_or(&[][..], |index| index.columns);
    let key = row.iter().take(table.key).cloned();
    columns.iter().filter_map(|at| row.get(*at).cloned()).chain(key).collect()
}
