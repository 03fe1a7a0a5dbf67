//! One invoice's life: how it stands, its stages, and every event of it.
//!
//! Place in the way of an event: `show`. Actor, acceptance and words of an event are read from the entry at its
//! position.
//! Not here: figures over many invoices (`queries`), lists (`lists`).

use serde::Serialize;
use waag_domain::project::{Cell, Row, RowsError};
use waag_model::money::Currency;
use waag_model::time::{UtcDay, UtcNanos};

use crate::batch::HISTORY_ITEMS_MAX;
use crate::codec;
use crate::event::{Action, Stage};
use crate::names::Names;
use crate::project::{damaged, range};
use crate::queries::{Queries, between, first_hour_ahead, number, text};
use crate::state::{Begin, Condition, Item, Span, flag, mark, mark_names, spans};
use crate::tables::{DAY_NONE, HISTORY, INVOICE};
use crate::when::HOUR_NS;

/// The last visit of an invoice to a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Visit {
    /// The stage.
    pub stage: Stage,
    /// Nanoseconds since 1970; for a visit of which only the end was told, when the stage before was done, and `None`
    /// where nothing says when that was.
    pub entered: Option<i64>,
    /// Nanoseconds since 1970; of posting, when it was paid.
    pub left: Option<i64>,
    /// How often it was entered.
    pub visits: u32,
}

/// One event of an invoice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Its place in the ledger; its actor, its acceptance and its words are read there.
    pub position: u64,
    /// The stage its type names.
    pub stage: Option<Stage>,
    /// What it did.
    pub action: Action,
    /// Its time, or the time of acceptance where marked `time_assumed`: nanoseconds since 1970.
    pub at: i64,
    /// Its marks.
    pub marks: Vec<&'static str>,
}

/// An invoice, as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InvoiceState {
    /// Its id.
    pub id: String,
    /// The stage it is in.
    pub stage: Stage,
    /// Since when it is in the stage; of a stage of which nobody told the begin, since it was done. `None` when closed.
    pub since: Option<i64>,
    /// How it stands there.
    pub condition: Condition,
    /// The end of the hour after which it is stuck: nanoseconds since 1970.
    pub deadline: Option<i64>,
    /// Whether it is open and that is past.
    pub stuck: bool,
    /// Its amount and currency.
    pub amount_minor: Option<i64>,
    /// ISO 4217.
    pub currency: Option<String>,
    /// Decimals of the minor unit.
    pub exponent: Option<u8>,
    /// As a date.
    pub due_date: Option<String>,
    /// Empty where not told.
    pub vendor: String,
    /// Empty where not told.
    pub vendor_class: String,
    /// Empty where not told.
    pub region: String,
    /// When the vendor's invoice came.
    pub received: Option<i64>,
    /// When its payment was approved, or when it was posted, which implies an approval.
    pub approved: Option<i64>,
    /// Whether an event told of the approval; without it, `approved` is implied.
    pub approval_told: bool,
    /// When it was paid or rejected.
    pub closed: Option<i64>,
    /// Whether something went wrong at some time.
    pub exception: bool,
    /// Whether a person acted; `None` where no event says.
    pub manual: Option<bool>,
    /// Whether it may be a duplicate of an earlier one.
    pub duplicate: bool,
    /// Returns to a stage.
    pub loops: u32,
    /// Events.
    pub events: u64,
    /// Where the event stands in the ledger that tells how it stands: of a failure or a hold the newest one that told
    /// it, else the newest that moved it. `None` where the row holds no such event any more, and in a list the last
    /// full chunk of the history neither.
    #[serde(skip)]
    pub told_by: Option<u64>,
    /// The stages.
    pub visits: Vec<Visit>,
}

/// An invoice's life: all of it, or its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lifecycle {
    /// As it stands; it counts all events.
    pub state: InvoiceState,
    /// Events of it in the ledger's order, the newest last: every one, or as many as were asked for.
    pub steps: Vec<Step>,
    /// Events of it before those.
    #[serde(skip)]
    pub earlier: u64,
}

impl Queries<'_> {
    /// An invoice's whole life, in one read of its row and one of each full chunk of its history; `None` for an
    /// invoice that no event names. It is as long as there are events: what is shown to people is [`Self::newest_of`].
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn invoice(&self, id: &str, now: UtcNanos) -> Result<Option<Lifecycle>, RowsError> {
        let Some(Stored { state, recent, .. }) = self.stored(id, now)? else { return Ok(None) };
        let mut items = Vec::new();
        for row in range(self.rows, &HISTORY, &between(&[id.into()], None, None))? {
            items.extend(chunk(&row).ok_or_else(|| damaged(&HISTORY, id))?);
        }
        items.extend(recent);
        Ok(Some(Lifecycle { state, steps: items.into_iter().map(step).collect(), earlier: 0 }))
    }

    /// An invoice as it stands and its newest events, those before a position alone where one is given: at most so many,
    /// in one read of its row and one of the chunks of its history that hold them. A history has no limit, and what is
    /// read of it has; a position is found by halving.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn newest_of(
        &self,
        id: &str,
        now: UtcNanos,
        most: usize,
        before: Option<u64>,
    ) -> Result<Option<Lifecycle>, RowsError> {
        let Some(Stored { state, recent, chunks }) = self.stored(id, now)? else { return Ok(None) };
        let is_before = |item: &Item| before.is_none_or(|end| item.position < end);
        let is_in_row = recent.first().is_some_and(is_before);
        let end = match before.filter(|_| !is_in_row) {
            Some(end) => self.chunk_of(id, chunks, end)?,
            None => chunks,
        };
        let mut items: Vec<Item> = recent.into_iter().filter(|item| is_in_row && is_before(item)).collect();
        // Of the last chunk some may lie behind the position.
        let spare = usize::from(before.is_some() && !is_in_row);
        let missing = most.saturating_sub(items.len()).div_ceil(HISTORY_ITEMS_MAX).saturating_add(spare);
        let first = end.saturating_sub(u32::try_from(missing).unwrap_or(u32::MAX));
        let keys: Vec<Row> = (first..end).map(|at| vec![id.into(), i64::from(at).into()]).collect();
        let found = if keys.is_empty() { Vec::new() } else { self.rows.get(&HISTORY, &keys)? };
        let mut all = Vec::new();
        for row in found {
            all.extend(row.as_deref().and_then(chunk).ok_or_else(|| damaged(&HISTORY, id))?);
        }
        all.retain(is_before);
        all.append(&mut items);
        let left_out = all.len().saturating_sub(most);
        let in_chunks = u64::from(first).saturating_mul(u64::try_from(HISTORY_ITEMS_MAX).unwrap_or(u64::MAX));
        let earlier = in_chunks.saturating_add(u64::try_from(left_out).unwrap_or(u64::MAX));
        Ok(Some(Lifecycle { state, steps: all.into_iter().skip(left_out).map(step).collect(), earlier }))
    }

    /// How many of an invoice's full chunks begin before a position.
    fn chunk_of(&self, id: &str, chunks: u32, position: u64) -> Result<u32, RowsError> {
        let (mut low, mut high) = (0, chunks);
        while low < high {
            let middle = low.midpoint(high);
            let found = self.rows.get(&HISTORY, &[vec![id.into(), i64::from(middle).into()]])?;
            let items = found.into_iter().flatten().next().as_deref().and_then(chunk);
            let items = items.ok_or_else(|| damaged(&HISTORY, id))?;
            if items.first().is_some_and(|item| item.position < position) {
                low = middle.saturating_add(1);
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// An invoice as it stands and at most `most` of its events, behind the first `gone` of them in the ledger's order;
    /// and how many are gone then where further ones follow. In one read of its row and one of the chunks that hold them.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn part_of(
        &self,
        id: &str,
        now: UtcNanos,
        gone: u64,
        most: usize,
    ) -> Result<Option<(Lifecycle, Option<u64>)>, RowsError> {
        let Some(Stored { state, recent, chunks }) = self.stored(id, now)? else { return Ok(None) };
        let chunk_items = HISTORY_ITEMS_MAX as u64;
        let all = u64::from(chunks) * chunk_items + recent.len() as u64;
        let end = gone.saturating_add(most as u64).min(all);
        let first = (gone / chunk_items).min(u64::from(chunks));
        let behind = end.div_ceil(chunk_items).min(u64::from(chunks));
        let number = |chunk: u64| i64::try_from(chunk).unwrap_or(i64::MAX);
        let keys: Vec<Row> = (first..behind).map(|at| vec![id.into(), number(at).into()]).collect();
        let found = if keys.is_empty() { Vec::new() } else { self.rows.get(&HISTORY, &keys)? };
        let mut items = Vec::new();
        for row in found {
            items.extend(row.as_deref().and_then(chunk).ok_or_else(|| damaged(&HISTORY, id))?);
        }
        // What the row holds stands behind all chunks; where some are left out before it, enough was read without it.
        items.extend(recent);
        let skip = usize::try_from(gone.saturating_sub(first * chunk_items)).unwrap_or(usize::MAX);
        let steps = items.into_iter().skip(skip).take(most).map(step).collect();
        Ok(Some((Lifecycle { state, steps, earlier: gone.min(all) }, (end < all).then_some(end))))
    }

    /// A list's invoices from their rows, as they stand. What tells of one whose row holds it no more, as when a full chunk
    /// of its history has just left it, is looked for in that chunk, with one read for all of them.
    pub(crate) fn lines(&self, rows: &[Row], now: UtcNanos) -> Result<Vec<InvoiceState>, RowsError> {
        let read = |row: &Row| stored(row, now).ok_or_else(|| damaged(&INVOICE, text(row, 0)));
        let mut found: Vec<Stored> = rows.iter().map(read).collect::<Result<_, _>>()?;
        let is_untold = |stored: &&mut Stored| stored.state.told_by.is_none() && stored.chunks > 0;
        let mut untold: Vec<&mut Stored> = found.iter_mut().filter(is_untold).collect();
        let key = |stored: &&mut Stored| {
            vec![stored.state.id.as_str().into(), (i64::from(stored.chunks) - 1).into()]
        };
        let keys: Vec<Row> = untold.iter().map(key).collect();
        let chunks = if keys.is_empty() { Vec::new() } else { self.rows.get(&HISTORY, &keys)? };
        for (Stored { state, .. }, row) in untold.iter_mut().zip(chunks) {
            let items = row.as_deref().and_then(chunk).ok_or_else(|| damaged(&HISTORY, &state.id))?;
            state.told_by = told_by(state.condition, &items);
        }
        Ok(found.into_iter().map(|stored| stored.state).collect())
    }

    fn stored(&self, id: &str, now: UtcNanos) -> Result<Option<Stored>, RowsError> {
        let found = self.rows.get(&INVOICE, &[vec![id.into()]])?;
        let Some(row) = found.into_iter().flatten().next() else { return Ok(None) };
        stored(&row, now).map(Some).ok_or_else(|| damaged(&INVOICE, id))
    }
}

/// The events of a full chunk of a history.
fn chunk(row: &[Cell]) -> Option<Vec<Item>> {
    row.get(2).and_then(Cell::bytes).and_then(codec::unpack_history)
}

/// The newest event that says what the invoice's condition is, or else the newest that is in order.
fn told_by(condition: Condition, recent: &[Item]) -> Option<u64> {
    let says = |item: &&Item| match condition {
        Condition::Failed => item.action == Action::Fail,
        Condition::Blocked => item.action == Action::Block,
        Condition::Paid => item.action == Action::Pay,
        Condition::Rejected => item.action == Action::Reject,
        Condition::InProgress | Condition::Waiting => item.marks & mark::OUT_OF_ORDER == 0,
    };
    recent.iter().rev().find(says).map(|item| item.position)
}

fn step(item: Item) -> Step {
    Step {
        position: item.position,
        stage: item.stage,
        action: item.action,
        at: item.at,
        marks: mark_names(item.marks),
    }
}

/// What an invoice's row says.
struct Stored {
    state: InvoiceState,
    /// The part of its history that the row holds.
    recent: Vec<Item>,
    /// How many full chunks of its history stand in rows of their own.
    chunks: u32,
}

fn stored(row: &[Cell], now: UtcNanos) -> Option<Stored> {
    let mut names = Names::new();
    let mut invoice = codec::unpack(row.get(3)?.bytes()?, &mut names)?;
    let hour = number(row, 2);
    let recent = std::mem::take(&mut invoice.history);
    let visits = spans(&invoice).filter(|(_, span)| span.visits > 0);
    let visit = |(stage, span): (Stage, Span)| Visit {
        stage,
        entered: span.entered.filter(|_| span.begin != Begin::Unknown),
        left: span.left,
        visits: span.visits,
    };
    let state = InvoiceState {
        id: text(row, 0).to_owned(),
        stage: invoice.stage,
        since: invoice.span(invoice.stage).entered.filter(|_| !invoice.condition.is_closed()),
        condition: invoice.condition,
        deadline: (hour != DAY_NONE).then(|| hour.saturating_mul(HOUR_NS)),
        stuck: !invoice.condition.is_closed() && hour < first_hour_ahead(now),
        amount_minor: invoice.amount,
        exponent: invoice.currency.map(Currency::exponent),
        currency: invoice.currency.map(|currency| currency.code().to_owned()),
        due_date: invoice.due.map(|day| UtcDay(day).to_string()),
        vendor: names.text(invoice.vendor).to_owned(),
        vendor_class: names.text(invoice.vendor_class).to_owned(),
        region: names.text(invoice.region).to_owned(),
        received: invoice.received,
        approved: invoice.approved,
        approval_told: invoice.has(flag::APPROVAL_TOLD),
        closed: invoice.closed,
        exception: invoice.has(flag::EXCEPTION),
        manual: invoice.has(flag::TOUCH_KNOWN).then(|| invoice.has(flag::MANUAL)),
        duplicate: invoice.has(flag::DUPLICATE),
        loops: invoice.loops,
        events: invoice.events,
        told_by: told_by(invoice.condition, &recent),
        visits: visits.map(visit).collect(),
    };
    Some(Stored { state, recent, chunks: invoice.chunks })
}
