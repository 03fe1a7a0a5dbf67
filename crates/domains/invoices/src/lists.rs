//! Lists of invoices page by page: stuck, approved and not paid, received and not cleared, loops, odd, duplicates.
//!
//! The first three are one order of the hot table: open invoices by class and deadline. The classes that a filter asks
//! for are merged by deadline, a few rows of each at a time, so that a page reads about as many rows as it shows and
//! one or two of each class.
//! Not here: counts of the lists (`queries`).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use serde::{Deserialize, Serialize};
use waag_domain::project::{Cell, Row, RowsError, Scan};
use waag_model::time::UtcNanos;

use crate::event::{ODDITIES, Stage};
use crate::life::{InvoiceState, state};
use crate::project::damaged;
use crate::queries::{Queries, first_hour_ahead, number, text};
use crate::tables::{BY_DEADLINE, DUPLICATE, INVOICE, LOOPS, ODD};

/// Most lines of a page.
pub const PAGE_LINES_MAX: usize = 200;
/// Fewest rows read of a class at once.
const ROWS_MIN: usize = 2;

/// Which open invoices to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Past their deadline.
    Stuck,
    /// Approved and not paid.
    ApprovedNotPaid,
    /// Received and not cleared.
    ReceivedNotCleared,
    /// All open ones.
    Open,
}

/// Which of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Narrow {
    /// In this stage only.
    pub stage: Option<Stage>,
    /// Of this region only; empty for those without one.
    pub region: Option<String>,
    /// In this currency only; empty for those without one.
    pub currency: Option<String>,
}

/// Where a page ended; the next one begins after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct After {
    /// The order's number: deadline hour, rank or position.
    pub order: i64,
    /// The invoice; empty for lists of events.
    pub id: String,
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    /// Its lines.
    pub lines: Vec<T>,
    /// The next page begins after this; `None` at the end.
    pub next: Option<After>,
}

/// An odd event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OddLine {
    /// Its place in the ledger.
    pub position: i64,
    /// Why it is odd.
    pub reasons: Vec<&'static str>,
    /// The invoice it names.
    pub invoice: Option<String>,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
}

/// A possible duplicate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DuplicateLine {
    /// The place in the ledger of the event that showed it.
    pub position: i64,
    /// The later invoice.
    pub invoice: String,
    /// The earlier one with the same vendor, amount and currency.
    pub earlier: String,
    /// What else is alike: `reference` or `date`.
    pub alike: String,
}

/// A class's rows at hand.
struct Lane {
    class: i64,
    rows: VecDeque<Row>,
    more: bool,
}

/// A row's place in the merged order.
fn place(row: &Row) -> (i64, String) {
    (number(row, 2), text(row, 0).to_owned())
}

impl Queries<'_> {
    /// A page of open invoices by deadline, the longest overdue first.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn list(
        &self,
        filter: Filter,
        narrow: &Narrow,
        now: UtcNanos,
        after: Option<&After>,
        lines: usize,
    ) -> Result<Page<InvoiceState>, RowsError> {
        let lines = lines.clamp(1, PAGE_LINES_MAX);
        let classes = self.classes(filter, narrow)?;
        let end = (filter == Filter::Stuck).then(|| first_hour_ahead(now));
        let chunk = ((lines + 1) / classes.len().max(1) + 1).max(ROWS_MIN);
        let mut lanes = Vec::with_capacity(classes.len());
        let mut heap = BinaryHeap::new();
        for class in classes {
            let mut lane = Lane { class, rows: VecDeque::new(), more: true };
            let from = after.map(|after| (after.order, after.id.clone()));
            self.refill(&mut lane, from, end, chunk)?;
            if let Some(row) = lane.rows.front() {
                heap.push(Reverse((place(row), lanes.len())));
            }
            lanes.push(lane);
        }
        let mut page: Vec<Row> = Vec::with_capacity(lines);
        let mut further = false;
        while let Some(Reverse((at, number))) = heap.pop() {
            if page.len() == lines {
                further = true;
                break;
            }
            let Some(lane) = lanes.get_mut(number) else { continue };
            page.extend(lane.rows.pop_front());
            if lane.rows.is_empty() {
                self.refill(lane, Some(at), end, chunk.max(lines - page.len() + 1))?;
            }
            if let Some(row) = lane.rows.front() {
                heap.push(Reverse((place(row), number)));
            }
        }
        let next = page.last().filter(|_| further).map(place);
        let next = next.map(|(order, id)| After { order, id });
        let line = |row: &Row| Some(state(row, now)?.0);
        let line = |row: &Row| line(row).ok_or_else(|| damaged(&INVOICE, text(row, 0)));
        Ok(Page { lines: page.iter().map(line).collect::<Result<_, _>>()?, next })
    }

    /// The classes with open invoices that a list is made of.
    fn classes(&self, filter: Filter, narrow: &Narrow) -> Result<Vec<i64>, RowsError> {
        let segments = self.segments()?;
        let bits = match filter {
            Filter::Stuck | Filter::Open => 0,
            Filter::ApprovedNotPaid => 1,
            Filter::ReceivedNotCleared => 2,
        };
        let wanted = |class: &i64| {
            class & bits == bits
                && segments.get(&class.div_euclid(4)).is_some_and(|segment| {
                    narrow.stage.is_none_or(|stage| stage == segment.stage)
                        && narrow.region.as_ref().is_none_or(|region| *region == segment.region)
                        && narrow.currency.as_ref().is_none_or(|currency| *currency == segment.currency)
                })
        };
        Ok(self.open()?.into_keys().filter(wanted).collect())
    }

    fn refill(
        &self,
        lane: &mut Lane,
        after: Option<(i64, String)>,
        end: Option<i64>,
        limit: usize,
    ) -> Result<(), RowsError> {
        if !lane.more {
            return Ok(());
        }
        let after: Option<Row> =
            after.map(|(hour, id)| vec![lane.class.into(), hour.into(), id.as_str().into()]);
        let scan = Scan {
            index: Some(&BY_DEADLINE),
            equal: &[lane.class.into()],
            from: None,
            to: end.map(Cell::Integer),
            after: after.as_deref(),
            descending: false,
            limit,
        };
        lane.rows = self.rows.scan(&INVOICE, &scan)?.into();
        lane.more = lane.rows.len() == limit;
        Ok(())
    }

    /// A page of invoices that returned to a stage, those with most returns first.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn loops(
        &self,
        now: UtcNanos,
        after: Option<&After>,
        lines: usize,
    ) -> Result<Page<InvoiceState>, RowsError> {
        let after: Option<Row> = after.map(|after| vec![after.order.into(), after.id.as_str().into()]);
        let lines = lines.clamp(1, PAGE_LINES_MAX);
        let mut rows = self.rows.scan(&LOOPS, &by_key(after.as_deref(), lines, false))?;
        let next = cut(&mut rows, lines).map(|row| After { order: number(row, 0), id: text(row, 1).into() });
        let keys: Vec<Row> = rows.iter().map(|row| vec![text(row, 1).into()]).collect();
        let invoices = if keys.is_empty() { Vec::new() } else { self.rows.get(&INVOICE, &keys)? };
        let line = |(key, row): (&Row, Option<Row>)| {
            let line = row.and_then(|row| Some(state(&row, now)?.0));
            line.ok_or_else(|| damaged(&INVOICE, text(key, 0)))
        };
        Ok(Page { lines: keys.iter().zip(invoices).map(line).collect::<Result<_, _>>()?, next })
    }

    /// A page of odd events, the newest first.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn odd(&self, after: Option<&After>, lines: usize) -> Result<Page<OddLine>, RowsError> {
        let after: Option<Row> = after.map(|after| vec![after.order.into()]);
        let lines = lines.clamp(1, PAGE_LINES_MAX);
        let mut rows = self.rows.scan(&ODD, &by_key(after.as_deref(), lines, true))?;
        let next = cut(&mut rows, lines).map(|row| After { order: number(row, 0), id: String::new() });
        let line = |row: Row| {
            let is = |reason: &&crate::event::Oddity| number(&row, 1) & i64::from(reason.bit()) != 0;
            OddLine {
                position: number(&row, 0),
                reasons: ODDITIES.iter().filter(is).map(|reason| reason.name()).collect(),
                invoice: row.get(2).and_then(Cell::text).map(str::to_owned),
                kind: text(&row, 3).to_owned(),
            }
        };
        Ok(Page { lines: rows.into_iter().map(line).collect(), next })
    }

    /// A page of possible duplicates, the newest first.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn duplicates(&self, after: Option<&After>, lines: usize) -> Result<Page<DuplicateLine>, RowsError> {
        let after: Option<Row> = after.map(|after| vec![after.order.into()]);
        let lines = lines.clamp(1, PAGE_LINES_MAX);
        let mut rows = self.rows.scan(&DUPLICATE, &by_key(after.as_deref(), lines, true))?;
        let next = cut(&mut rows, lines).map(|row| After { order: number(row, 0), id: String::new() });
        let line = |row: Row| DuplicateLine {
            position: number(&row, 0),
            invoice: text(&row, 1).to_owned(),
            earlier: text(&row, 2).to_owned(),
            alike: text(&row, 3).to_owned(),
        };
        Ok(Page { lines: rows.into_iter().map(line).collect(), next })
    }
}

/// A scan of a page and one row more.
fn by_key(after: Option<&[Cell]>, lines: usize, descending: bool) -> Scan<'_> {
    Scan { index: None, equal: &[], from: None, to: None, after, descending, limit: lines + 1 }
}

/// Takes off the row beyond the page, and tells the last one of it where there was such a row.
fn cut(rows: &mut Vec<Row>, lines: usize) -> Option<&Row> {
    let further = rows.len() > lines;
    rows.truncate(lines);
    rows.last().filter(|_| further)
}
