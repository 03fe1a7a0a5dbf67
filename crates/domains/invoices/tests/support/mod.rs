//! Events as tests tell them: a small builder of facts, and projecting them in cuts of any size.
//!
//! Not here: the facts that hold (the tests beside).

#![allow(dead_code, reason = "each test program uses some of it")]

use std::borrow::Cow;

use waag_domain::memory::MemoryRows;
use waag_domain::project::{Fact, Projection};
use waag_invoices::config::Config;
use waag_invoices::life::Lifecycle;
use waag_invoices::project::Invoices;
use waag_invoices::queries::Queries;
use waag_model::ids::Position;
use waag_model::time::UtcNanos;
use waag_model::value::{Object, Value};

/// 2026-06-01T00:00:00Z.
pub(crate) const START: i64 = 1_780_272_000_000_000_000;
/// An hour.
pub(crate) const HOUR: i64 = 3_600_000_000_000;
/// A day.
pub(crate) const DAY: i64 = 24 * HOUR;

/// An event before it has a place.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) kind: String,
    pub(crate) subject: Option<String>,
    pub(crate) time: Option<String>,
    pub(crate) accepted: i64,
    pub(crate) data: Option<Vec<(&'static str, Value<'static>)>>,
}

/// An invoice's event of a stage, told and accepted some hours after the start.
pub(crate) fn told(invoice: &str, stage: &str, hours: i64) -> Told {
    let at = START + hours * HOUR;
    Told {
        kind: format!("invoice.{stage}"),
        subject: Some(invoice.to_owned()),
        time: Some(UtcNanos(at).to_string()),
        accepted: at,
        data: Some(Vec::new()),
    }
}

impl Told {
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Json>) -> Self {
        self.data.get_or_insert_default().push((name, value.into().0));
        self
    }

    pub(crate) fn time(mut self, time: Option<&str>) -> Self {
        self.time = time.map(str::to_owned);
        self
    }

    pub(crate) fn accepted(mut self, at: i64) -> Self {
        self.accepted = at;
        self
    }

    /// What most invoices tell.
    pub(crate) fn priced(self, amount: i64) -> Self {
        self.with("vendor", "Hansa Papier GmbH")
            .with("amount_minor", amount)
            .with("currency", "EUR")
            .with("region", "eu-west-1")
            .with("due_date", "2026-06-28")
    }
}

/// A value in data.
pub(crate) struct Json(pub(crate) Value<'static>);

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self(Value::Text(Cow::Owned(text.to_owned())))
    }
}

impl From<&[&str]> for Json {
    fn from(texts: &[&str]) -> Self {
        Self(Value::Array(texts.iter().map(|text| Value::Text(Cow::Owned((*text).to_owned()))).collect()))
    }
}

impl From<i64> for Json {
    fn from(number: i64) -> Self {
        Self(Value::Integer(number.into()))
    }
}

/// Projects events in cuts of these sizes, the last one for all that is left.
pub(crate) fn project_cut(config: &Config, events: &[Told], cuts: &[usize]) -> MemoryRows {
    let objects: Vec<_> = events
        .iter()
        .map(|event| {
            let time =
                event.time.iter().map(|time| (Cow::Borrowed("time"), Value::Text(time.as_str().into())));
            let data = event.data.clone().map(|data| {
                let members = data.into_iter().map(|(name, value)| (Cow::Borrowed(name), value));
                Value::Object(Object::from_members(members.collect()).unwrap())
            });
            (Object::from_members(time.collect()).unwrap(), data)
        })
        .collect();
    let mut committed = 0;
    let facts: Vec<Fact<'_>> = (0..)
        .zip(events.iter().zip(&objects))
        .map(|(position, (event, (attributes, data)))| {
            committed = event.accepted.max(committed + 1);
            Fact {
                position: Position(position),
                committed: UtcNanos(committed),
                accepted: UtcNanos(event.accepted),
                kind: &event.kind,
                id: None,
                source: None,
                subject: event.subject.as_deref(),
                actor: Some("test"),
                attributes,
                data: data.as_ref(),
            }
        })
        .collect();
    let projection = Invoices::new(config.clone());
    let mut rows = MemoryRows::new();
    let mut left = facts.as_slice();
    for cut in cuts {
        let (now, later) = left.split_at((*cut).min(left.len()));
        projection.project(now, &mut rows).unwrap();
        left = later;
    }
    projection.project(left, &mut rows).unwrap();
    rows
}

/// Projects events at once under the default settings.
pub(crate) fn project(events: &[Told]) -> MemoryRows {
    project_cut(&Config::default(), events, &[])
}

/// The invoice as it stands after the events.
pub(crate) fn life(rows: &MemoryRows, invoice: &str) -> Lifecycle {
    Queries::new(rows).invoice(invoice, UtcNanos(START)).unwrap().unwrap()
}
