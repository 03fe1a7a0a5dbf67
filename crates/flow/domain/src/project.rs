//! What a domain's read model is made of: facts in, changes of rows out.
//!
//! Place in the way of an event: `project`. A projection reads facts in ledger order and changes rows through [`Rows`];
//! pages and APIs read the same rows through [`Reads`]. Neither knows which database holds them.
//! Not here: cursors, versions, transactions, rebuilding (`flow/views`), SQL (the drivers).
//!
//! Invariants:
//! - `PROJECT-1`: the rows after a series of facts are the same however the series is cut into batches, so that a
//!   rebuild gives equal rows.
//! - `PROJECT-2`: the only clock is a fact's commit time, and what is learned from many facts changes at boundaries of
//!   that time only.
//! - `PROJECT-3`: a fact is read from the common part alone, so that erasing a person changes no figure; every
//!   projection takes any fact whatever is missing from it.

use std::fmt;

use smol_str::SmolStr;
use waag_model::ids::Position;
use waag_model::time::UtcNanos;
use waag_model::value::{Object, Value};

/// One recorded event as projections see it: its common part, and when it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact<'a> {
    /// Its place in the ledger.
    pub position: Position,
    /// When its frame was committed: strictly increasing from frame to frame, the same for a frame's events.
    pub committed: UtcNanos,
    /// When it was accepted.
    pub accepted: UtcNanos,
    /// The event's type.
    pub kind: &'a str,
    /// The event's id; `None` where it is a person's.
    pub id: Option<&'a str>,
    /// The event's source; `None` where it is a person's.
    pub source: Option<&'a str>,
    /// What it is about; `None` where it has no subject, or a person's.
    pub subject: Option<&'a str>,
    /// Who gave it to Waag; `None` where that is one of the persons it is about.
    pub actor: Option<&'a str>,
    /// Its further attributes (`time`, …).
    pub attributes: &'a Object<'a>,
    /// Its JSON body, with placeholders for what is a person's; `None` for no body, another kind of body, or one that
    /// is a person's as a whole.
    pub data: Option<&'a Value<'a>>,
}

/// One value of a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cell {
    /// Nothing.
    Null,
    /// A whole number.
    Integer(i64),
    /// A text; one of up to 23 bytes takes no memory of its own, and most are such: a batch of a hot table has 100,000.
    Text(SmolStr),
    /// Bytes.
    Bytes(Box<[u8]>),
}

impl Cell {
    /// The number, where it is one.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        if let Self::Integer(number) = self { Some(*number) } else { None }
    }

    /// The text, where it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The bytes, where it is some.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row, or the leading cells of one: a key.
pub type Row = Vec<Cell>;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 64-bit whole numbers: amounts in minor units, nanoseconds, counts.
    Integer,
    /// UTF-8; compared bytewise.
    Text,
    /// Bytes; compared bytewise.
    Bytes,
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name: lower case, digits, underscores.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it may be [`Cell::Null`]; never for a key's column.
    pub nullable: bool,
}

/// A second order of a table's rows. Costs a write for each row whose columns of it change: at most one on a hot table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its name, unique in its table.
    pub name: &'static str,
    /// Its columns, by their places in the table; the table's key follows them.
    pub columns: &'static [usize],
    /// Only rows where this column is not null are in it.
    pub present: Option<usize>,
}

/// A table of a read model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name, unique in its view.
    pub name: &'static str,
    /// Its columns; the first [`Table::key`] of them are the primary key.
    pub columns: &'static [Column],
    /// How many leading columns are the primary key: at least one.
    pub key: usize,
    /// Further orders.
    pub indexes: &'static [Index],
}

/// Which rows to read, in order.
#[derive(Clone, Debug)]
pub struct Scan<'a> {
    /// The order: by an index, or by the key.
    pub index: Option<&'a Index>,
    /// Cells that the order's leading columns equal.
    pub equal: &'a [Cell],
    /// The least value of the column after those, itself included.
    pub from: Option<Cell>,
    /// The end of that column's values, itself excluded.
    pub to: Option<Cell>,
    /// Rows after this one in the order: the order's columns and then the key, as the last row of a page had them.
    pub after: Option<&'a [Cell]>,
    /// From the end of the order.
    pub descending: bool,
    /// Most rows.
    pub limit: usize,
}

/// The store of the rows failed, or holds what it should not.
#[derive(Debug)]
pub struct RowsError {
    /// The stable code.
    pub code: &'static str,
    /// What happened.
    pub reason: String,
}

impl fmt::Display for RowsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for RowsError {}

/// Reading rows of one view.
pub trait Reads {
    /// The rows with these keys, in the order asked; `None` where there is none.
    ///
    /// # Errors
    /// [`RowsError`].
    fn get(&self, table: &'static Table, keys: &[Row]) -> Result<Vec<Option<Row>>, RowsError>;

    /// The rows of a range, in its order.
    ///
    /// # Errors
    /// [`RowsError`].
    fn scan(&self, table: &'static Table, scan: &Scan<'_>) -> Result<Vec<Row>, RowsError>;
}

/// Changing rows of one view, within the transaction that moves its cursor.
pub trait Rows: Reads {
    /// Adds rows, or puts them in the place of those with the same keys.
    ///
    /// # Errors
    /// [`RowsError`].
    fn put(&mut self, table: &'static Table, rows: Vec<Row>) -> Result<(), RowsError>;

    /// Removes the rows with these keys, where they are.
    ///
    /// # Errors
    /// [`RowsError`].
    fn delete(&mut self, table: &'static Table, keys: &[Row]) -> Result<(), RowsError>;
}

/// A read model: its tables, and how facts change them. Pure: the rows come in and go out (`PROJECT-1`, `PROJECT-2`).
pub trait Projection: Send + Sync {
    /// Its name: lower case, digits, underscores.
    fn name(&self) -> &'static str;

    /// Another number whenever rows would come out otherwise: another version is built beside the old one. Settings may be
    /// hashed into it, so that the greater of two numbers need not be the newer one.
    fn version(&self) -> u32;

    /// Its tables.
    fn tables(&self) -> &'static [Table];

    /// Begins to gather facts; they follow those gathered before without a gap.
    fn gather(&self) -> Box<dyn Gathering>;

    /// Changes the rows as a batch of facts says: gathered and written at once.
    ///
    /// # Errors
    /// As [`Gathered::write`].
    fn project(&self, facts: &[Fact<'_>], rows: &mut dyn Rows) -> Result<(), RowsError> {
        let mut gathering = self.gather();
        facts.iter().for_each(|fact| gathering.take(fact));
        gathering.finish().write(rows)
    }
}

/// Facts being gathered, without a look at any row: one thread gathers while another writes.
pub trait Gathering: Send {
    /// Takes the next fact; what is needed of it is copied.
    fn take(&mut self, fact: &Fact<'_>);

    /// All of them, to be written.
    fn finish(self: Box<Self>) -> Box<dyn Gathered>;
}

/// A batch of facts that was gathered.
pub trait Gathered: Send + Sync {
    /// Changes the rows as the facts say. Where the change is taken back, it can be made again.
    ///
    /// # Errors
    /// [`RowsError`] of the store alone: no fact makes a projection fail (`PROJECT-3`).
    fn write(&self, rows: &mut dyn Rows) -> Result<(), RowsError>;
}
