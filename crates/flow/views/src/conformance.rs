//! The suite that every store of views passes, the one in memory included.
//!
//! Place: called by drivers' tests. It returns the first thing that does not hold, in words.
//! Not here: what kills and power failures do to a driver's files (the driver's own tests).

use std::fmt;
use std::sync::Arc;

use waag_domain::project::{Cell, Column, Index, Kind, Reads, Row, Rows, RowsError, Scan, Table};
use waag_model::ids::{LedgerId, Position};
use waag_model::time::UtcNanos;

use crate::contract::{Cursor, Definition, Snapshot, Standing, Turn, ViewKey, Views, Which};
use crate::error::ViewsError;

mod rows;

/// What a driver does not keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken(pub String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

impl From<ViewsError> for Broken {
    fn from(error: ViewsError) -> Self {
        Self(format!("unexpected {}: {error}", error.code()))
    }
}

impl From<RowsError> for Broken {
    fn from(error: RowsError) -> Self {
        Self(format!("unexpected {}: {error}", error.code))
    }
}

fn ensure(holds: bool, what: &str) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(what.to_owned())) }
}

/// How the suite gets at a driver.
pub trait ViewsHarness {
    /// Opens the same store; the handle before was dropped.
    ///
    /// # Errors
    /// The driver's.
    fn open(&self) -> Result<Arc<dyn Views>, ViewsError>;
    /// Empties the store, which nobody has open.
    ///
    /// # Errors
    /// The driver's.
    fn reset(&self) -> Result<(), ViewsError>;
}

/// A table with every kind of column, nulls, and indexes of each shape.
pub(crate) static THINGS: Table = THINGS_TABLE;
/// Over a column with nulls, and one that is also in the key.
pub(crate) const BY_COLOUR: Index = Index { name: "by_colour", columns: &[2, 1], present: None };
/// Of some rows only.
pub(crate) const BY_SIZE: Index = Index { name: "by_size", columns: &[3, 2], present: Some(3) };
/// Of some rows only, and of no others a null.
pub(crate) const BY_SIZE_ALONE: Index = Index { name: "by_size_alone", columns: &[3], present: Some(3) };
/// Over columns of the key.
pub(crate) const BY_NUMBER: Index = Index { name: "by_number", columns: &[1], present: None };
/// A table of keys and nothing else, in bytes.
pub(crate) static KEYS: Table = KEYS_TABLE;
/// A table that is visited at random: an index, and nothing in it that could be null but what says which rows it has.
pub(crate) static VISITS: Table = VISITS_TABLE;
/// Of some rows only.
pub(crate) const BY_MINUTE: Index = Index { name: "by_minute", columns: &[2], present: Some(2) };
static TABLES: [Table; 3] = [THINGS_TABLE, KEYS_TABLE, VISITS_TABLE];
const VISITS_TABLE: Table = Table {
    name: "visits",
    columns: &[
        Column { name: "place", kind: Kind::Text, nullable: false },
        Column { name: "number", kind: Kind::Integer, nullable: false },
        Column { name: "minute", kind: Kind::Integer, nullable: true },
        Column { name: "words", kind: Kind::Text, nullable: true },
        Column { name: "mark", kind: Kind::Bytes, nullable: true },
    ],
    key: 2,
    indexes: &[BY_MINUTE],
};
const THINGS_TABLE: Table = Table {
    name: "things",
    columns: &[
        Column { name: "owner", kind: Kind::Text, nullable: false },
        Column { name: "number", kind: Kind::Integer, nullable: false },
        Column { name: "colour", kind: Kind::Text, nullable: true },
        Column { name: "size", kind: Kind::Integer, nullable: true },
        Column { name: "mark", kind: Kind::Bytes, nullable: true },
    ],
    key: 2,
    indexes: &[BY_COLOUR, BY_SIZE, BY_SIZE_ALONE, BY_NUMBER],
};
const KEYS_TABLE: Table = Table {
    name: "keys",
    columns: &[Column { name: "key", kind: Kind::Bytes, nullable: false }],
    key: 1,
    indexes: &[],
};
static OTHER_TABLES: [Table; 1] = [KEYS_TABLE];

/// Runs the suite.
///
/// # Errors
/// [`Broken`]: the first thing that does not hold.
pub fn views(harness: &dyn ViewsHarness) -> Result<(), Broken> {
    for case in [cursors, broken_off, builds, definitions, snapshots, rows::cells, rows::against_the_model] {
        harness.reset()?;
        case(harness)?;
    }
    harness.reset()?;
    Ok(())
}

const LEDGER: LedgerId = LedgerId([7; 16]);

fn key(version: u32, build: u32) -> ViewKey {
    ViewKey { name: "suite".to_owned(), version, build }
}

fn definition(version: u32, build: u32) -> Definition {
    Definition { key: key(version, build), ledger: LEDGER, tables: &TABLES }
}

fn at(position: u64) -> Cursor {
    let committed = i64::try_from(position).map_or(UtcNanos(i64::MAX), UtcNanos);
    if position == 0 { Cursor::START } else { Cursor { position: Position(position), committed } }
}

fn thing(owner: &str, number: i64, colour: Option<&str>, size: Option<i64>) -> Row {
    vec![owner.into(), number.into(), colour.into(), size.into(), Cell::Null]
}

fn everything() -> Scan<'static> {
    Scan { index: None, equal: &[], from: None, to: None, after: None, descending: false, limit: usize::MAX }
}

fn all(reads: &dyn Reads) -> Result<Vec<Row>, Broken> {
    Ok(reads.scan(&THINGS, &everything())?)
}

fn serving(views: &dyn Views) -> Result<Box<dyn Snapshot>, Broken> {
    Ok(views.snapshot("suite", Which::Serving)?)
}

fn put_one(views: &dyn Views, view: &ViewKey, from: u64, to: u64, row: &Row) -> Result<(), ViewsError> {
    views.commit(view, at(from), at(to), &mut |rows| rows.put(&THINGS, vec![row.clone()]))
}

fn standing_of(views: &dyn Views, view: &ViewKey) -> Result<Standing, Broken> {
    let all = views.list()?;
    all.into_iter().find(|one| one.key == *view).ok_or_else(|| Broken(format!("`{view}` is not listed")))
}

/// `VIEWS-1`, `VIEWS-2`.
fn cursors(harness: &dyn ViewsHarness) -> Result<(), Broken> {
    let views = harness.open()?;
    ensure(views.list()?.is_empty(), "an empty store lists views")?;
    let first = views.open(&definition(1, 0))?;
    ensure(
        first.cursor == Cursor::START && first.serves,
        "a first view does not begin at the start, serving",
    )?;
    ensure(views.open(&definition(1, 0))? == first, "opening again changes a view")?;
    let view = key(1, 0);
    let (a, b) = (thing("a", 1, None, Some(1)), thing("b", 2, Some("red"), None));
    put_one(views.as_ref(), &view, 0, 5, &a)?;
    let moved = |from, to| {
        matches!(put_one(views.as_ref(), &view, from, to, &b), Err(ViewsError::CursorMoved { .. }))
    };
    ensure(moved(0, 5), "the same change is taken twice (VIEWS-2)")?;
    ensure(moved(4, 6), "a change from before the cursor is taken (VIEWS-2)")?;
    ensure(moved(6, 7), "a change from beyond the cursor is taken: a gap (VIEWS-2)")?;
    ensure(moved(5, 4), "a change goes backwards (VIEWS-2)")?;
    let other_time = Cursor { position: Position(5), committed: UtcNanos(9) };
    let mut nothing = |_: &mut dyn Rows| Ok(());
    let answer = views.commit(&view, other_time, at(10), &mut nothing);
    ensure(matches!(answer, Err(ViewsError::CursorMoved { .. })), "a cursor of another time is taken")?;
    ensure(all(serving(views.as_ref())?.as_ref())? == [a.clone()], "a refused change wrote (VIEWS-1)")?;
    put_one(views.as_ref(), &view, 5, 6, &b)?;
    views.commit(&view, at(6), at(9), &mut nothing)?;
    let before = standing_of(views.as_ref(), &view)?;
    ensure(before.cursor == at(9), "the list tells another cursor")?;
    drop(views);
    let views = harness.open()?;
    ensure(views.open(&definition(1, 0))? == before, "reopening changes the cursor")?;
    ensure(all(serving(views.as_ref())?.as_ref())? == [a, b], "reopening changes rows")?;
    let unknown = put_one(views.as_ref(), &key(9, 0), 0, 1, &thing("x", 0, None, None));
    ensure(matches!(unknown, Err(ViewsError::Unknown(_))), "a view from nowhere takes a change")
}

/// A change that fails between its puts and its end leaves nothing (`VIEWS-1`).
fn broken_off(harness: &dyn ViewsHarness) -> Result<(), Broken> {
    let views = harness.open()?;
    views.open(&definition(1, 0))?;
    let view = key(1, 0);
    let old = thing("old", 1, Some("red"), Some(1));
    put_one(views.as_ref(), &view, 0, 1, &old)?;
    let answer = views.commit(&view, at(1), at(2), &mut |rows| {
        rows.put(&THINGS, vec![thing("old", 1, None, None), thing("new", 1, None, None)])?;
        rows.put(&KEYS, vec![vec![Cell::Bytes(Box::from(&b"k"[..]))]])?;
        rows.delete(&THINGS, &[vec!["old".into(), 1.into()]])?;
        Err(RowsError { code: "TEST", reason: "broken off".to_owned() })
    });
    ensure(matches!(answer, Err(ViewsError::Rows(_))), "a change's error is not given back")?;
    let intact = |views: &dyn Views| -> Result<(), Broken> {
        let snapshot = serving(views)?;
        ensure(snapshot.standing().cursor == at(1), "the cursor of a broken change moved (VIEWS-1)")?;
        ensure(all(snapshot.as_ref())? == [old.clone()], "rows of a broken change stay (VIEWS-1)")?;
        let by_size = Scan { index: Some(&BY_SIZE), ..everything() };
        ensure(snapshot.scan(&THINGS, &by_size)? == [old.clone()], "an index keeps a broken change")?;
        ensure(snapshot.scan(&KEYS, &everything())?.is_empty(), "another table keeps a broken change")
    };
    intact(views.as_ref())?;
    drop(views);
    let views = harness.open()?;
    intact(views.as_ref())?;
    put_one(views.as_ref(), &view, 1, 2, &thing("new", 1, None, None))?;
    ensure(all(serving(views.as_ref())?.as_ref())?.len() == 2, "a change after a broken one is lost")
}

/// `VIEWS-3`: builds have rows of their own, one serves, and the one that serves is not dropped.
fn builds(harness: &dyn ViewsHarness) -> Result<(), Broken> {
    let views = harness.open()?;
    let (old, new) = (key(1, 0), key(1, 1));
    ensure(views.open(&definition(1, 0))?.serves, "the first build does not serve (VIEWS-3)")?;
    ensure(!views.open(&definition(1, 1))?.serves, "a second build serves at once (VIEWS-3)")?;
    ensure(!views.open(&definition(2, 0))?.serves, "a second version serves at once (VIEWS-3)")?;
    let (a, b) = (thing("a", 1, None, None), thing("b", 1, None, None));
    put_one(views.as_ref(), &old, 0, 1, &a)?;
    put_one(views.as_ref(), &new, 0, 3, &b)?;
    let of = |which| -> Result<Vec<Row>, Broken> { all(views.snapshot("suite", which)?.as_ref()) };
    ensure(of(Which::Serving)? == [a.clone()], "builds share rows, or the wrong one serves")?;
    ensure(
        of(Which::Build { version: 1, build: 1 })? == [b.clone()],
        "a build is not readable by its number",
    )?;
    ensure(of(Which::Build { version: 2, build: 0 })?.is_empty(), "versions share rows")?;
    ensure(matches!(views.turn(&old, Turn::Drop), Err(ViewsError::Serving(_))), "a serving view is dropped")?;
    let held = serving(views.as_ref())?;
    views.turn(&new, Turn::Serve)?;
    ensure(all(held.as_ref())? == [a], "a snapshot changes when another build serves")?;
    drop(held);
    ensure(of(Which::Serving)? == [b], "another build does not serve when it is told to")?;
    let serving_ones = views.list()?.into_iter().filter(|one| one.serves).count();
    ensure(serving_ones == 1, "two builds serve at once (VIEWS-3)")?;
    views.turn(&old, Turn::Drop)?;
    views.turn(&old, Turn::Drop)?;
    ensure(matches!(views.turn(&old, Turn::Serve), Err(ViewsError::Unknown(_))), "a dropped view serves")?;
    let gone = views.snapshot("suite", Which::Build { version: 1, build: 0 });
    ensure(matches!(gone, Err(ViewsError::Unknown(_))), "a dropped view is readable")?;
    drop(gone);
    let refused = put_one(views.as_ref(), &old, 1, 2, &thing("x", 1, None, None));
    ensure(matches!(refused, Err(ViewsError::Unknown(_))), "a dropped view takes a change")?;
    drop(views);
    let views = harness.open()?;
    let listed: Vec<ViewKey> = views.list()?.into_iter().map(|one| one.key).collect();
    ensure(listed == [new, key(2, 0)], "the list is another after reopening")?;
    ensure(views.open(&definition(1, 0))?.cursor == Cursor::START, "a dropped view keeps its cursor")?;
    let again = views.snapshot("suite", Which::Build { version: 1, build: 0 })?;
    ensure(all(again.as_ref())?.is_empty(), "a dropped view keeps its rows")
}

fn definitions(harness: &dyn ViewsHarness) -> Result<(), Broken> {
    let views = harness.open()?;
    views.open(&definition(1, 0))?;
    let other_ledger = Definition { ledger: LedgerId([8; 16]), ..definition(1, 0) };
    let answer = views.open(&other_ledger);
    ensure(matches!(answer, Err(ViewsError::OtherLedger { .. })), "a view of another ledger is opened")?;
    let other_tables = Definition { tables: &OTHER_TABLES, ..definition(1, 0) };
    let answer = views.open(&other_tables);
    ensure(matches!(answer, Err(ViewsError::Layout(_))), "a view is opened with other tables")?;
    let nobody = views.snapshot("nobody", Which::Serving);
    ensure(matches!(nobody, Err(ViewsError::Unknown(_))), "a view from nowhere is read")
}

/// A snapshot is of one moment, and readers do not wait for the writer.
fn snapshots(harness: &dyn ViewsHarness) -> Result<(), Broken> {
    let views = harness.open()?;
    views.open(&definition(1, 0))?;
    let view = key(1, 0);
    put_one(views.as_ref(), &view, 0, 1, &thing("a", 1, None, None))?;
    let before = serving(views.as_ref())?;
    let mut seen_within = Ok(());
    views.commit(&view, at(1), at(2), &mut |rows| {
        rows.put(&THINGS, vec![thing("b", 1, None, None)])?;
        seen_within = std::thread::scope(|scope| {
            let look = || -> Result<(), Broken> {
                let within = serving(views.as_ref())?;
                ensure(within.standing().cursor == at(1), "a cursor is seen before its commit (VIEWS-1)")?;
                ensure(all(within.as_ref())?.len() == 1, "rows are seen before their commit (VIEWS-1)")
            };
            scope.spawn(look).join().unwrap_or_else(|_| Err(Broken("a reader ended".to_owned())))
        });
        ensure_rows(rows.get(&THINGS, &[vec!["b".into(), 1.into()]])?.iter().all(Option::is_some))
    })?;
    seen_within?;
    ensure(before.standing().cursor == at(1), "a snapshot's cursor moves")?;
    ensure(all(before.as_ref())?.len() == 1, "a snapshot's rows change")?;
    drop(before);
    let after = serving(views.as_ref())?;
    ensure(after.standing().cursor == at(2) && all(after.as_ref())?.len() == 2, "a commit is not seen")
}

fn ensure_rows(holds: bool) -> Result<(), RowsError> {
    let reason = "a change does not see its own rows".to_owned();
    if holds { Ok(()) } else { Err(RowsError { code: "TEST", reason }) }
}
