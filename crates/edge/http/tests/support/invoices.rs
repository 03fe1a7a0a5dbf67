//! A read model of invoices in memory, of events told here.

use std::borrow::Cow;
use std::time::Duration;

use waag_domain::memory::MemoryRows;
use waag_domain::project::{Fact, Projection, Reads, Row, RowsError, Scan, Table};
use waag_http::fault::{Fault, Kind};
use waag_http::ports::{InvoiceRows, InvoiceView};
use waag_invoices::config::Config;
use waag_invoices::project::Invoices;
use waag_model::ids::Position;
use waag_model::time::UtcNanos;
use waag_model::value::{Object, Value};

/// 2026-06-01T00:00:00Z.
pub(crate) const START: i64 = 1_780_272_000_000_000_000;
pub(crate) const HOUR: i64 = 3_600_000_000_000;

/// An event of an invoice: its stage, the hour from [`START`] on, and what it tells beside.
pub(crate) struct Told {
    pub(crate) invoice: &'static str,
    pub(crate) stage: &'static str,
    pub(crate) hours: i64,
    pub(crate) data: &'static [(&'static str, &'static str)],
    pub(crate) amount_minor: Option<i64>,
}

/// Rows as they are, not to be had, or read slowly.
#[derive(Default)]
pub(crate) struct TestView {
    rows: MemoryRows,
    projected: u64,
    fails: Option<Kind>,
    read_takes: Duration,
}

impl TestView {
    pub(crate) fn of(events: &[Told]) -> Self {
        let mut rows = MemoryRows::new();
        let parts: Vec<_> = events
            .iter()
            .map(|event| {
                let text = |text: &str| Value::Text(Cow::Owned(text.to_owned()));
                let mut data: Vec<(Cow<'static, str>, Value<'static>)> =
                    event.data.iter().map(|(name, value)| (Cow::Borrowed(*name), text(value))).collect();
                data.extend(
                    event
                        .amount_minor
                        .map(|minor| (Cow::Borrowed("amount_minor"), Value::Integer(minor.into()))),
                );
                let at = UtcNanos(START + event.hours * HOUR);
                let attributes = vec![(Cow::Borrowed("time"), text(&at.to_string()))];
                (
                    format!("invoice.{}", event.stage),
                    at,
                    Object::from_members(attributes).unwrap(),
                    Value::Object(Object::from_members(data).unwrap()),
                )
            })
            .collect();
        let facts: Vec<Fact<'_>> = (0..)
            .zip(events.iter().zip(&parts))
            .map(|(position, (event, (kind, at, attributes, data)))| Fact {
                position: Position(position),
                committed: UtcNanos(at.0.saturating_add(position.cast_signed())),
                accepted: *at,
                kind,
                id: None,
                source: None,
                subject: (!event.invoice.is_empty()).then_some(event.invoice),
                actor: Some("test"),
                attributes,
                data: Some(data),
            })
            .collect();
        Invoices::new(Config::default()).project(&facts, &mut rows).unwrap();
        Self { rows, projected: facts.len() as u64, ..Self::default() }
    }

    pub(crate) fn failing(kind: Kind) -> Self {
        Self { fails: Some(kind), ..Self::default() }
    }

    /// Each read takes so long.
    pub(crate) fn slow(events: &[Told], read_takes: Duration) -> Self {
        Self { read_takes, ..Self::of(events) }
    }
}

struct Slow(MemoryRows, Duration);

impl Reads for Slow {
    fn get(&self, table: &'static Table, keys: &[Row]) -> Result<Vec<Option<Row>>, RowsError> {
        std::thread::sleep(self.1);
        self.0.get(table, keys)
    }

    fn scan(&self, table: &'static Table, scan: &Scan<'_>) -> Result<Vec<Row>, RowsError> {
        std::thread::sleep(self.1);
        self.0.scan(table, scan)
    }
}

impl InvoiceView for TestView {
    fn rows(&self) -> Result<InvoiceRows, Fault> {
        if let Some(kind) = &self.fails {
            return Err(Fault::of(kind.clone()));
        }
        let rows = Box::new(Slow(self.rows.clone(), self.read_takes));
        Ok(InvoiceRows { rows, projected: self.projected })
    }
}
