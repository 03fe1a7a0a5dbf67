//! One invoice's life: how it stands, its stages, and every event of it.
//!
//! Place in the way of an event: `show`. Actor, acceptance and words of an event are read from the entry at its
//! position.
//! Not here: figures over many invoices (`queries`), lists (`lists`).

use serde::Serialize;
use waag_domain::project::{Cell, RowsError};
use waag_model::money::Currency;
use waag_model::time::{UtcDay, UtcNanos};

use crate::codec;
use crate::event::{Action, Stage};
use crate::names::Names;
use crate::project::{damaged, range};
use crate::queries::{Queries, between, first_hour_ahead, number, text};
use crate::state::{Condition, Item, Span, flag, mark_names, spans};
use crate::tables::{DAY_NONE, HISTORY, INVOICE};
use crate::when::HOUR_NS;

/// The last visit of an invoice to a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Visit {
    /// The stage.
    pub stage: Stage,
    /// Nanoseconds since 1970.
    pub entered: Option<i64>,
    /// Nanoseconds since 1970.
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
    /// When its payment was approved.
    pub approved: Option<i64>,
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
    /// The stages.
    pub visits: Vec<Visit>,
}

/// An invoice's whole life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lifecycle {
    /// As it stands.
    pub state: InvoiceState,
    /// Every event of it in the ledger's order.
    pub steps: Vec<Step>,
}

impl Queries<'_> {
    /// An invoice's whole life, in one read of its row and one of each full chunk of its history; `None` for an
    /// invoice that no event names.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn invoice(&self, id: &str, now: UtcNanos) -> Result<Option<Lifecycle>, RowsError> {
        let found = self.rows.get(&INVOICE, &[vec![id.into()]])?;
        let Some(row) = found.into_iter().flatten().next() else { return Ok(None) };
        let (state, recent, _) = state(&row, now).ok_or_else(|| damaged(&INVOICE, id))?;
        let mut items = Vec::new();
        for row in range(self.rows, &HISTORY, &between(&[id.into()], None, None))? {
            let chunk = row.get(2).and_then(Cell::bytes).and_then(codec::unpack_history);
            items.extend(chunk.ok_or_else(|| damaged(&HISTORY, id))?);
        }
        items.extend(recent);
        let step = |item: Item| Step {
            position: item.position,
            stage: item.stage,
            action: item.action,
            at: item.at,
            marks: mark_names(item.marks),
        };
        Ok(Some(Lifecycle { state, steps: items.into_iter().map(step).collect() }))
    }
}

/// An invoice from its row, with the part of its history that the row holds, and its deadline's hour.
pub(crate) fn state(row: &[Cell], now: UtcNanos) -> Option<(InvoiceState, Vec<Item>, i64)> {
    let mut names = Names::new();
    let mut invoice = codec::unpack(row.get(3)?.bytes()?, &mut names)?;
    let hour = number(row, 2);
    let items = std::mem::take(&mut invoice.history);
    let visits = spans(&invoice).filter(|(_, span)| span.visits > 0);
    let visit = |(stage, span): (Stage, Span)| Visit {
        stage,
        entered: span.entered,
        left: span.left,
        visits: span.visits,
    };
    let state = InvoiceState {
        id: text(row, 0).to_owned(),
        stage: invoice.stage,
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
        closed: invoice.closed,
        exception: invoice.has(flag::EXCEPTION),
        manual: invoice.has(flag::TOUCH_KNOWN).then(|| invoice.has(flag::MANUAL)),
        duplicate: invoice.has(flag::DUPLICATE),
        loops: invoice.loops,
        events: invoice.events,
        visits: visits.map(visit).collect(),
    };
    Some((state, items, hour))
}
