//! Lists of invoices page by page: stuck, approved and not paid, received and not cleared, loops, odd, duplicates.
//!
//! The first three are one order of the hot table: open invoices by class and deadline. Counts by deadline's hour and
//! class tell where the next ones are, so that a page reads the rows it shows, however many classes a filter asks for.
//! Within an hour the order is by class and then by id.
//! Not here: counts of the lists (`queries`).

use serde::{Deserialize, Serialize};
use waag_domain::project::{Cell, Row, RowsError, Scan, Table};
use waag_model::time::UtcNanos;

use crate::event::{ODDITIES, Stage};
use crate::life::InvoiceState;
use crate::packed::{Entries, entries_of};
use crate::project::damaged;
use crate::queries::{Queries, between, first_hour_ahead, number, text};
use crate::standing::{APPROVED, RECEIVED, Standing, segment_of};
use crate::tables::{BY_DEADLINE, DAY_NONE, DUE, DUPLICATE, INVOICE, LOOPS, ODD};
use crate::tally::Change;
use crate::write::{LEVEL_HOURS, LEVEL_NONE};

/// Most lines of a page.
pub const PAGE_LINES_MAX: usize = 200;
/// Rows of counts by deadline read at once.
const COUNTS_ROWS: usize = 32;

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
    /// The class within the hour; 0 for lists that have none.
    pub class: i64,
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
    /// Why it is odd, by name.
    pub reasons: Vec<&'static str>,
    /// The invoice it names.
    pub invoice: Option<String>,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// How that invoice stands now.
    pub state: Option<InvoiceState>,
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
    /// How the later one stands now.
    pub state: Option<InvoiceState>,
}

/// Open invoices of one class with one deadline's hour.
struct Place {
    hour: i64,
    class: i64,
}

/// Places with invoices of some classes, in the order of a list, from one place on.
struct Walk<'q> {
    queries: &'q Queries<'q>,
    /// Ascending.
    classes: Vec<i64>,
    /// The place to begin with.
    from: (i64, i64),
    /// The first hour that is not wanted.
    end: i64,
    /// Invoices in the places found.
    found: i64,
    places: Vec<Place>,
}

impl Walk<'_> {
    /// Finds places until they have `wanted` invoices, beside those of the first one, of which some may be gone by.
    fn find(mut self, wanted: i64) -> Result<Vec<Place>, RowsError> {
        self.level(LEVEL_HOURS.len(), (self.from.0, self.end), wanted)?;
        if self.found < wanted && self.end > DAY_NONE {
            for row in self.queries.rows.scan(&DUE, &between_rows(&[LEVEL_NONE.into()], (0, 1)))? {
                self.take(DAY_NONE, &entries_of(&DUE, &row)?);
            }
        }
        Ok(self.places)
    }

    /// Goes through the buckets of the level below `above` between two hours, and into those that have such invoices.
    fn level(&mut self, above: usize, (from, end): (i64, i64), wanted: i64) -> Result<(), RowsError> {
        let Some((level, hours)) = above.checked_sub(1).and_then(|at| Some((at, *LEVEL_HOURS.get(at)?)))
        else {
            return Ok(());
        };
        let equal = [Cell::Integer(i64::try_from(level).unwrap_or(0))];
        let (mut next, last) = (from.div_euclid(hours), end.saturating_sub(1).div_euclid(hours));
        while next <= last && self.found < wanted {
            let scan = between_rows(&equal, (next, last.saturating_add(1)));
            let rows = self.queries.rows.scan(&DUE, &scan)?;
            let Some(reached) = rows.last().map(|row| number(row, 1)) else { break };
            for row in &rows {
                let counts = entries_of(&DUE, row)?;
                let bucket = number(row, 1);
                if level == 0 {
                    self.take(bucket, &counts);
                } else if counts.iter().any(|(class, _)| self.classes.binary_search(class).is_ok()) {
                    let first = bucket.saturating_mul(hours);
                    let span = (first.max(from), first.saturating_add(hours).min(end));
                    self.level(level, span, wanted)?;
                }
                if self.found >= wanted {
                    return Ok(());
                }
            }
            next = if rows.len() < COUNTS_ROWS { break } else { reached.saturating_add(1) };
        }
        Ok(())
    }

    /// Takes the wanted classes of an hour.
    fn take(&mut self, hour: i64, counts: &Entries<2, 1>) {
        for (class, change) in counts {
            if (hour, *class) < self.from || self.classes.binary_search(class).is_err() {
                continue;
            }
            let [invoices, _] = change.counts;
            if (hour, *class) != self.from {
                self.found = self.found.saturating_add(invoices);
            }
            self.places.push(Place { hour, class: *class });
        }
    }
}

/// Some rows of counts by deadline, between two buckets of a level.
fn between_rows(level: &[Cell], (first, end): (i64, i64)) -> Scan<'_> {
    Scan { limit: COUNTS_ROWS, ..between(level, Some(first), Some(end)) }
}

impl Queries<'_> {
    /// A page of open invoices by deadline, those late longest first.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn list(
        &self,
        standing: &Standing,
        filter: Filter,
        narrow: &Narrow,
        after: Option<&After>,
        lines: usize,
    ) -> Result<Page<InvoiceState>, RowsError> {
        let lines = lines.clamp(1, PAGE_LINES_MAX);
        let end = if filter == Filter::Stuck { first_hour_ahead(standing.now()) } else { i64::MAX };
        let from = after.map_or((i64::MIN, i64::MIN), |after| (after.order, after.class));
        let classes = classes(standing, filter, narrow);
        let walk = Walk { queries: self, classes, from, end, found: 0, places: Vec::new() };
        let wanted = i64::try_from(lines).unwrap_or(i64::MAX).saturating_add(1);
        let mut page: Vec<Row> = Vec::with_capacity(lines + 1);
        for place in walk.find(wanted)? {
            if page.len() > lines {
                break;
            }
            let after: Option<Row> = after
                .filter(|_| (place.hour, place.class) == from)
                .map(|after| vec![place.class.into(), place.hour.into(), after.id.as_str().into()]);
            let scan = Scan {
                index: Some(&BY_DEADLINE),
                equal: &[place.class.into(), place.hour.into()],
                from: None,
                to: None,
                after: after.as_deref(),
                descending: false,
                limit: lines + 1 - page.len(),
            };
            page.extend(self.rows.scan(&INVOICE, &scan)?);
        }
        let next = cut(&mut page, lines).map(|row| After {
            order: number(row, 2),
            class: number(row, 1),
            id: text(row, 0).to_owned(),
        });
        Ok(Page { lines: self.lines(&page, standing.now())?, next })
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
        let next = cut(&mut rows, lines).map(|row| After {
            order: number(row, 0),
            class: 0,
            id: text(row, 1).into(),
        });
        let ids: Vec<&str> = rows.iter().map(|row| text(row, 1)).collect();
        let line = |(id, state): (&&str, Option<InvoiceState>)| state.ok_or_else(|| damaged(&INVOICE, id));
        let lines = ids.iter().zip(self.states(&ids, now)?).map(line).collect::<Result<_, _>>()?;
        Ok(Page { lines, next })
    }

    /// How these invoices stand at `now`, in one read; none where one is not known.
    fn states(&self, ids: &[&str], now: UtcNanos) -> Result<Vec<Option<InvoiceState>>, RowsError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<Row> = ids.iter().map(|id| vec![(*id).into()]).collect();
        let rows = self.rows.get(&INVOICE, &keys)?;
        let is_known: Vec<bool> = rows.iter().map(Option::is_some).collect();
        let mut known = self.lines(&rows.into_iter().flatten().collect::<Vec<_>>(), now)?.into_iter();
        Ok(is_known.into_iter().map(|is_known| if is_known { known.next() } else { None }).collect())
    }

    /// Invoices whose id begins with this text, at most so many, in the order of their ids; none for an empty text.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn beginning_with(
        &self,
        prefix: &str,
        now: UtcNanos,
        most: usize,
    ) -> Result<Vec<InvoiceState>, RowsError> {
        if prefix.is_empty() {
            return Ok(Vec::new());
        }
        let scan = Scan {
            index: None,
            equal: &[],
            from: Some(prefix.into()),
            to: behind(prefix).as_deref().map(Cell::from),
            after: None,
            descending: false,
            limit: most.min(PAGE_LINES_MAX),
        };
        self.lines(&self.rows.scan(&INVOICE, &scan)?, now)
    }

    /// A page of odd events, the newest first.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn odd(
        &self,
        now: UtcNanos,
        after: Option<&After>,
        lines: usize,
    ) -> Result<Page<OddLine>, RowsError> {
        let (rows, next) = self.newest(&ODD, after, lines)?;
        let invoice = |row: &Row| row.get(2).and_then(Cell::text).map(str::to_owned);
        let line = |(row, state): (&Row, Option<InvoiceState>)| {
            let is = |reason: &&crate::event::Oddity| number(row, 1) & i64::from(reason.bit()) != 0;
            OddLine {
                position: number(row, 0),
                reasons: ODDITIES.iter().filter(is).map(|reason| reason.name()).collect(),
                invoice: invoice(row),
                kind: text(row, 3).to_owned(),
                state,
            }
        };
        // An event without an invoice's id is asked for under the empty one, which no invoice has.
        let states = self.states(&rows.iter().map(|row| text(row, 2)).collect::<Vec<_>>(), now)?;
        Ok(Page { lines: rows.iter().zip(states).map(line).collect(), next })
    }

    /// A page of possible duplicates, the newest first.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn duplicates(
        &self,
        now: UtcNanos,
        after: Option<&After>,
        lines: usize,
    ) -> Result<Page<DuplicateLine>, RowsError> {
        let (rows, next) = self.newest(&DUPLICATE, after, lines)?;
        let line = |(row, state): (&Row, Option<InvoiceState>)| DuplicateLine {
            position: number(row, 0),
            invoice: text(row, 1).to_owned(),
            earlier: text(row, 2).to_owned(),
            alike: text(row, 3).to_owned(),
            state,
        };
        let states = self.states(&rows.iter().map(|row| text(row, 1)).collect::<Vec<_>>(), now)?;
        Ok(Page { lines: rows.iter().zip(states).map(line).collect(), next })
    }

    /// The newest rows of a table whose key is a position, from behind a page on, and where the next page begins.
    fn newest(
        &self,
        table: &'static Table,
        after: Option<&After>,
        lines: usize,
    ) -> Result<(Vec<Row>, Option<After>), RowsError> {
        let after: Option<Row> = after.map(|after| vec![after.order.into()]);
        let lines = lines.clamp(1, PAGE_LINES_MAX);
        let mut rows = self.rows.scan(table, &by_key(after.as_deref(), lines, true))?;
        let next =
            cut(&mut rows, lines).map(|row| After { order: number(row, 0), class: 0, id: String::new() });
        Ok((rows, next))
    }
}

/// Whether a class is one of those that a list is made of.
fn wanted<'a>(standing: &'a Standing, filter: Filter, narrow: &'a Narrow) -> impl Fn(i64) -> bool + 'a {
    let bits = match filter {
        Filter::Stuck | Filter::Open => 0,
        Filter::ApprovedNotPaid => APPROVED,
        Filter::ReceivedNotCleared => RECEIVED,
    };
    move |class| {
        class & bits == bits
            && standing.segments.get(&segment_of(class)).is_some_and(|segment| {
                narrow.stage.is_none_or(|stage| stage == segment.stage)
                    && narrow.region.as_ref().is_none_or(|region| *region == segment.region)
                    && narrow.currency.as_ref().is_none_or(|currency| *currency == segment.currency)
            })
    }
}

/// The classes with open invoices that a list is made of, ascending.
fn classes(standing: &Standing, filter: Filter, narrow: &Narrow) -> Vec<i64> {
    let is_wanted = wanted(standing, filter, narrow);
    standing.open.iter().map(|(class, _)| *class).filter(|class| is_wanted(*class)).collect()
}

impl Standing {
    /// How many invoices a list of open ones has, by counters alone.
    #[must_use]
    pub fn listed(&self, filter: Filter, narrow: &Narrow) -> i64 {
        let is_wanted = wanted(self, filter, narrow);
        let counts = if filter == Filter::Stuck { &self.past } else { &self.open };
        let count = |(class, change): &(i64, Change<2, 1>)| {
            let [invoices, _] = change.counts;
            if is_wanted(*class) { invoices } else { 0 }
        };
        counts.iter().map(count).fold(0, i64::saturating_add)
    }
}

/// What is behind every text that begins with this one; none where nothing is.
fn behind(prefix: &str) -> Option<String> {
    let mut rest = prefix.to_owned();
    while let Some(last) = rest.pop() {
        // Texts are in the order of their bytes, which in UTF-8 is that of the characters.
        let next = (u32::from(last).saturating_add(1)..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            rest.push(next);
            return Some(rest);
        }
    }
    None
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_a_prefix_is_behind_all_that_begin_with_it() {
        for (prefix, end) in [
            ("INV-7", Some("INV-8")),
            ("a\u{d7ff}", Some("a\u{e000}")),
            ("a\u{10ffff}", Some("b")),
            ("\u{10ffff}\u{10ffff}", None),
            ("", None),
        ] {
            assert_eq!(behind(prefix).as_deref(), end, "{prefix:?}");
        }
        let end = behind("INV-7").unwrap();
        assert!("INV-7\u{10ffff}" < end.as_str() && "INV-7" < end.as_str() && "INV-8" >= end.as_str());
    }
}
