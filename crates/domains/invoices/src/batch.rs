//! A chunk of facts of one day of commit time, evolved in memory.
//!
//! Place in the way of an event: `project`. All touched invoices are read at once, in the order of their ids; then each
//! fact moves its invoice and is counted. Everything that a chunk's end could change is told by [`Share`]: what an
//! invoice adds to counters, before and after (`INVOICE-3`); [`KeyShare`] tells it of the key figures.
//! Not here: writing (`write`).

use std::collections::HashMap;

use waag_domain::project::{Cell, Row, Rows, RowsError};
use waag_model::money::Currency;

use crate::classes::Classes;
use crate::codec;
use crate::config::{Config, fnv};
use crate::event::Stage;
use crate::gather::{Chunk, Told};
use crate::key_share::{KeyFigures, KeyShare};
use crate::learn::{Cohorts, hour_floor, latency_hour_floor, minute_floor};
use crate::mix::Mix;
use crate::names::{Name, Names};
use crate::project::damaged;
use crate::segments::Segments;
use crate::sketch::Sketch;
use crate::state::{Condition, Invoice, Item, Outcome, Rules, flag, mark};
use crate::tables::{DAY_NONE, INVOICE};
use crate::tally::{Change, Tally};
use crate::when::{HOUR_NS, MINUTE_NS};

/// Events that an invoice's row holds; when it has as many, they go to a row of their own.
pub(crate) const HISTORY_ITEMS_MAX: usize = 32;

/// What an invoice adds to counters and lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// None when closed.
    pub(crate) class: Option<i64>,
    pub(crate) deadline: Option<i64>,
    pub(crate) amount: Option<i64>,
    pub(crate) currency: Option<Currency>,
    pub(crate) due: Option<i32>,
    pub(crate) vendor: Name,
    pub(crate) condition: Condition,
    pub(crate) loops: u32,
}

impl Share {
    pub(crate) fn of(invoice: &Invoice, class: Option<i64>) -> Self {
        Self {
            class,
            deadline: invoice.deadline,
            amount: invoice.amount,
            currency: invoice.currency,
            due: invoice.due,
            vendor: invoice.vendor,
            condition: invoice.condition,
            loops: invoice.loops,
        }
    }

    /// What it is worth; none without an amount or a currency.
    pub(crate) fn value(&self) -> Option<i64> {
        self.amount.filter(|_| self.currency.is_some())
    }
}

/// One touched invoice.
pub(crate) struct Slot<'f> {
    pub(crate) id: &'f str,
    pub(crate) invoice: Invoice,
    /// None for one that was not there.
    pub(crate) before: Option<Share>,
    /// What it added to the key figures before.
    pub(crate) key_before: KeyShare,
    pub(crate) segment: i64,
    /// Chunks of its history that became full.
    pub(crate) full: Vec<(u32, Vec<Item>)>,
}

impl Slot<'_> {
    /// The class of an open invoice: its segment, whether it was received, and whether it is approved.
    pub(crate) fn class(&self) -> Option<i64> {
        let bit = |flags, worth| if self.invoice.has(flags) { worth } else { 0 };
        let class = self.segment * 4 + bit(flag::RECEIVED, 2) + bit(flag::APPROVED, 1);
        (!self.invoice.condition.is_closed()).then_some(class)
    }
}

/// What an invoice says, to be compared with what others said.
pub(crate) struct Print {
    pub(crate) slot: usize,
    pub(crate) position: u64,
    /// The day of the event that says so.
    pub(crate) found: i64,
    pub(crate) day: i64,
    pub(crate) print: i64,
    pub(crate) alike: &'static str,
    /// As it was told when the print was made: a later fact of the same batch may change it.
    pub(crate) currency: Currency,
}

/// Times in a stage by the hour of event time in which they ended, stage, region and vendor class; of hours that are
/// not kept, by the first one of their day.
pub(crate) type Latency = HashMap<(i64, Stage, Name, Name), Sketch, Mix>;

/// Counters by name.
pub(crate) type Counters = Tally<&'static str, 1, 0>;
/// Events, entries and failures, and the value of entries.
pub(crate) type Figures<K> = Tally<K, 3, 1>;

/// Steps from stage to stage and their value, by hour and currency.
pub(crate) type Moves = Tally<((i64, Option<Currency>), i64), 1, 1>;

/// A chunk after its facts, before it is written.
pub(crate) struct Batch<'f> {
    pub(crate) config: &'f Config,
    pub(crate) day: i64,
    pub(crate) names: Names,
    pub(crate) segments: Segments,
    cohorts: Cohorts,
    pub(crate) classes: Classes,
    pub(crate) slots: Vec<Slot<'f>>,
    pub(crate) figures: Figures<(i64, Name, i64)>,
    pub(crate) moves: Moves,
    pub(crate) key_figures: KeyFigures,
    pub(crate) latency: Latency,
    pub(crate) counters: Counters,
    pub(crate) odd: Vec<&'f Told>,
    pub(crate) prints: Vec<Print>,
}

impl<'f> Batch<'f> {
    /// Reads a chunk's invoices, evolves them and writes all rows that change.
    pub(crate) fn write(
        chunk: &'f Chunk,
        day: i64,
        config: &'f Config,
        rows: &mut dyn Rows,
    ) -> Result<(), RowsError> {
        if chunk.events.is_empty() {
            return Ok(());
        }
        let mut names = chunk.names.clone();
        let cohorts = Cohorts::load(rows, config, &mut names)?;
        let segments = Segments::load(rows, config, &mut names)?;
        let classes = Classes::load(rows, config, &mut names)?;
        let slots = slots(&chunk.invoices, rows, &mut names)?;
        let mut batch = Batch {
            config,
            day,
            names,
            segments,
            cohorts,
            classes,
            slots,
            figures: Tally::new(),
            moves: Tally::new(),
            key_figures: Tally::new(),
            latency: HashMap::default(),
            counters: Tally::new(),
            odd: Vec::new(),
            prints: Vec::new(),
        };
        for event in &chunk.events {
            batch.take(event);
        }
        batch.finish(rows)
    }
}

/// The invoices with these ids, as they are stored.
fn slots<'f>(ids: &'f [Box<str>], rows: &dyn Rows, names: &mut Names) -> Result<Vec<Slot<'f>>, RowsError> {
    let keys: Vec<Row> = ids.iter().map(|id| vec![(**id).into()]).collect();
    let found = if keys.is_empty() { Vec::new() } else { rows.get(&INVOICE, &keys)? };
    let stored = |id: &'f str, row: Option<Row>, names: &mut Names| -> Option<Slot<'f>> {
        let mut slot = Slot {
            id,
            invoice: Invoice::default(),
            before: None,
            key_before: KeyShare::default(),
            segment: 0,
            full: Vec::new(),
        };
        let Some(row) = row else { return Some(slot) };
        let [_, class, deadline, state] = row.as_slice() else { return None };
        slot.invoice = codec::unpack(state.bytes()?, names)?;
        slot.invoice.deadline = deadline.integer().filter(|hour| *hour != DAY_NONE);
        slot.before = Some(Share::of(&slot.invoice, class.integer()));
        slot.key_before = KeyShare::of(&slot.invoice);
        Some(slot)
    };
    // Room for all of them at once: they are large, and a collection that may fail does not know how many are coming.
    let mut slots = Vec::with_capacity(ids.len());
    for (id, row) in ids.iter().zip(found) {
        slots.push(stored(id, row, names).ok_or_else(|| damaged(&INVOICE, id))?);
    }
    Ok(slots)
}

impl<'f> Batch<'f> {
    /// One fact.
    fn take(&mut self, event: &'f Told) {
        self.count("events", true);
        if event.said.odd != 0 {
            self.odd.push(event);
        }
        let slot = event.invoice.and_then(|at| Some((at, self.slots.get_mut(at)?)));
        let Some((at, slot)) = slot else {
            // Of no stage that is known, it is in no stage's figures.
            let Some(stage) = event.said.stage else { return };
            let segment = self.segments.number(stage, event.region, event.said.currency, &mut self.names);
            let change = Change { counts: [1, 0, i64::from(event.said.exception)], sums: [0] };
            if event.said.clock.is_dated() {
                let minute = event.said.at.div_euclid(MINUTE_NS);
                self.figures.add((minute, event.vendor, segment), change);
            }
            return;
        };
        let rules = Rules { config: self.config, cohorts: &self.cohorts, classes: &self.classes };
        let outcome = slot.invoice.evolve(event, &self.names, rules);
        if slot.invoice.history.len() >= HISTORY_ITEMS_MAX {
            slot.full.push((slot.invoice.chunks, std::mem::take(&mut slot.invoice.history)));
            slot.invoice.chunks = slot.invoice.chunks.saturating_add(1);
        }
        let invoice = &slot.invoice;
        let stage = event.said.stage.unwrap_or(invoice.stage);
        let (region, currency) = (invoice.region, invoice.currency);
        let segment = self.segments.number(stage, region, currency, &mut self.names);
        slot.segment = if stage == invoice.stage {
            segment
        } else {
            self.segments.number(invoice.stage, region, currency, &mut self.names)
        };
        if event.said.clock.is_dated() && event.said.stage.is_some() {
            self.figures_of(at, event, segment, outcome);
        }
        self.mark(outcome);
        self.print(at, event);
    }

    /// Counts a fact by its time: what it did to its invoice.
    fn figures_of(&mut self, at: usize, event: &Told, segment: i64, outcome: Outcome) {
        let Some(Slot { invoice, .. }) = self.slots.get(at) else { return };
        let (region, currency) = (invoice.region, invoice.currency);
        let amount = i128::from(invoice.amount.filter(|_| currency.is_some()).unwrap_or(0));
        let value = if outcome.entered { amount } else { 0 };
        let counts = [1, i64::from(outcome.entered), i64::from(outcome.failed)];
        let change = Change { counts, sums: [value] };
        let minute = event.said.at.div_euclid(MINUTE_NS);
        self.figures.add((minute, invoice.vendor, segment), change);
        let hour = event.said.at.div_euclid(HOUR_NS);
        for step in outcome.moves.into_iter().flatten() {
            self.moves.add(((hour, currency), step.code()), Change { counts: [1], sums: [amount] });
        }
        if let Some((stage, nanos)) = outcome.sample {
            let region = self.segments.region(stage, region, currency, &mut self.names);
            let class = self.classes.learning(invoice.vendor_class, &self.names);
            let is_kept = hour >= latency_hour_floor(self.day, self.config);
            let ended = if is_kept { hour } else { hour - hour.rem_euclid(24) };
            let sketch = self.latency.entry((ended, stage, region, class)).or_default();
            sketch.add(u64::try_from(nanos / 1_000_000).unwrap_or(0));
        }
    }

    pub(crate) fn count(&mut self, name: &'static str, is: bool) {
        if is {
            self.counters.add(name, Change { counts: [1], sums: [] });
        }
    }

    fn mark(&mut self, outcome: Outcome) {
        if outcome.marks == 0 {
            return;
        }
        for (at, name) in mark::NAMES.into_iter().enumerate() {
            self.count(name, outcome.marks >> at & 1 == 1);
        }
    }

    /// Makes the prints by which duplicates are found, once for each invoice and kind.
    fn print(&mut self, at: usize, event: &Told) {
        let Some(Slot { invoice, .. }) = self.slots.get_mut(at) else { return };
        let (Some(amount), Some(currency)) = (invoice.amount, invoice.currency) else { return };
        if invoice.vendor.is_none() {
            return;
        }
        let (vendor, code) = (self.names.text(invoice.vendor), currency.code().as_bytes());
        let found_on =
            if event.said.clock.is_dated() { event.said.at.div_euclid(24 * HOUR_NS) } else { DAY_NONE };
        let amount = amount.to_le_bytes();
        let mut print = |day: i64, alike: &'static str, more: &[u8]| {
            // The texts end with a byte that UTF-8 does not have, so that no two lists of them are alike.
            let said = [alike.as_bytes(), &[0xFF], vendor.as_bytes(), &[0xFF], &amount, code, more];
            let print = fnv(said.into_iter().flatten()).cast_signed();
            self.prints.push(Print {
                slot: at,
                position: event.said.position,
                found: found_on,
                day,
                print,
                alike,
                currency,
            });
        };
        if let Some(reference) = invoice.reference.take() {
            print(DAY_NONE, "reference", &reference.to_le_bytes());
            invoice.flags |= flag::PRINTED_REFERENCE;
        }
        if let Some(day) = invoice.dated.take().or(invoice.due).filter(|_| !invoice.has(flag::PRINTED_DATE)) {
            print(i64::from(day), "date", &[]);
            invoice.flags |= flag::PRINTED_DATE;
        }
    }

    /// The first minute and hour whose figures are kept.
    pub(crate) fn floors(&self) -> (i64, i64) {
        (minute_floor(self.day, self.config), hour_floor(self.day, self.config))
    }
}

/// The code of a currency, or an empty text.
pub(crate) fn code(currency: Option<&Currency>) -> Cell {
    currency.map_or("", Currency::code).into()
}
