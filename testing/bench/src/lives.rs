//! Made-up invoices for large views: whole lives of invoices as facts, a batch at a time, for the pages' figures.
//!
//! They came in evenly over 120 days that end now: most are paid, most open ones wait for their due date, some are
//! stuck, fail, return, repeat another one or say odd words. Ids are in no order, so that a list's rows lie anywhere.
//! One in ten tells its vendor, since figures by vendor, which no page reads, would take most of the time of filling.
//! All is made from an invoice's number, so that the same view comes out of the same numbers.
//! Not here: a ledger. Facts go straight to the projection, as `flow/views` would hand them over.

use std::borrow::Cow;

use waag_domain::project::Fact;
use waag_fixtures::prng::SplitMix;
use waag_model::ids::Position;
use waag_model::time::UtcNanos;
use waag_model::value::{Object, Value};

const HOUR: i64 = 3_600_000_000_000;
const DAY: i64 = 24 * HOUR;
/// Days that the invoices came in over.
const DAYS: i64 = 120;
const CURRENCIES: [&str; 16] = [
    "EUR", "EUR", "EUR", "EUR", "EUR", "EUR", "EUR", "USD", "USD", "USD", "GBP", "GBP", "CHF", "SEK", "PLN",
    "JPY",
];
const REGIONS: [&str; 8] = [
    "eu-west-1",
    "eu-west-1",
    "eu-central-1",
    "eu-central-1",
    "eu-north-1",
    "uk-1",
    "us-east-1",
    "ap-southeast-2",
];
const CLASSES: [&str; 4] = ["strategic", "preferred", "standard", "tail"];
const VENDORS: u64 = 20_000;
const TERMS_DAYS: [i64; 4] = [14, 30, 60, 90];

/// One event of a life.
struct Told {
    invoice: u64,
    kind: &'static str,
    status: &'static str,
    at: i64,
    data: Facts,
}

/// What an invoice's events say of it.
#[derive(Clone, Copy)]
struct Facts {
    vendor: u64,
    amount: u64,
    due: i64,
    reference: Option<u64>,
    touch: bool,
}

/// The id of the n-th invoice: a permutation of numbers, since the factor has no divisor in common with a power of two.
pub(crate) fn id_of(invoice: u64) -> String {
    format!("INV-{:010}", invoice.wrapping_mul(2_654_435_761) & 0xFFFF_FFFF)
}

fn pick<'a>(of: &[&'a str], by: u64) -> &'a str {
    usize::try_from(by).ok().and_then(|at| of.get(at % of.len())).copied().unwrap_or("")
}

/// An invoice's events up to now, in order.
fn life(invoice: u64, (start, now): (i64, i64), out: &mut Vec<Told>) {
    let mut prng = SplitMix::new(invoice ^ 0x1AF0_57ED);
    let chance = |prng: &mut SplitMix, per_mille: u64| prng.below(1_000) < per_mille;
    let terms = TERMS_DAYS.get(usize::try_from(prng.below(4)).unwrap_or(0)).copied().unwrap_or(30);
    let data = Facts {
        vendor: prng.below(VENDORS),
        amount: 1_000 + prng.below(2_000_000),
        due: start + terms * DAY,
        reference: chance(&mut prng, 10).then_some(invoice / 2),
        touch: chance(&mut prng, 350),
    };
    let mut at = start;
    let mut tell = |kind: &'static str, status: &'static str, at: i64| {
        if at <= now {
            out.push(Told { invoice, kind, status, at, data });
        }
        at <= now
    };
    // The share of lives that end in each stage for good, which are the stuck ones.
    let stuck = |prng: &mut SplitMix| chance(prng, 8);
    let wait = |prng: &mut SplitMix, hours: u64| {
        i64::try_from(prng.below(hours * 2) * 3_600 + prng.below(3_600)).unwrap_or(0) * 1_000_000_000
    };
    tell("invoice.ingestion", if chance(&mut prng, 1) { "teleported" } else { "received" }, at);
    if stuck(&mut prng) {
        return;
    }
    at += wait(&mut prng, 5);
    tell("invoice.reconciliation", "started", at);
    if chance(&mut prng, 40) {
        at += wait(&mut prng, 8);
        tell("invoice.reconciliation", "mismatch", at);
        at += wait(&mut prng, 24);
        tell("invoice.ingestion", "started", at);
        at += wait(&mut prng, 4);
        tell("invoice.reconciliation", "started", at);
    }
    if stuck(&mut prng) {
        return;
    }
    at += wait(&mut prng, 18);
    tell("invoice.authorization", "started", at);
    if chance(&mut prng, 15) {
        at += wait(&mut prng, 10);
        tell("invoice.authorization", "rejected", at);
        return;
    }
    if stuck(&mut prng) {
        return;
    }
    at += wait(&mut prng, 9);
    tell("invoice.posting", "started", at);
    if stuck(&mut prng) {
        return;
    }
    let paid = (data.due - DAY * 2 + wait(&mut prng, 30)).max(at + HOUR);
    tell("invoice.posting", "paid", paid);
}

/// All invoices of a view.
pub(crate) struct Lives {
    pub(crate) invoices: u64,
    pub(crate) now: i64,
    position: u64,
    next: u64,
}

impl Lives {
    pub(crate) fn new(invoices: u64, now: UtcNanos) -> Self {
        Self { invoices, now: now.0, position: 0, next: 0 }
    }

    /// Hands the facts of the next `count` invoices to `take`; none where there are no more.
    pub(crate) fn batch<T>(&mut self, count: u64, take: impl FnOnce(&[Fact<'_>], u64) -> T) -> Option<T> {
        if self.next >= self.invoices {
            return None;
        }
        let start_of = |invoice: u64| {
            let share = i128::from(invoice) * i128::from(DAYS * DAY) / i128::from(self.invoices.max(1));
            self.now - DAYS * DAY + i64::try_from(share).unwrap_or(0)
        };
        let committed = UtcNanos(start_of(self.next));
        let end = self.invoices.min(self.next + count);
        let mut told = Vec::new();
        for invoice in self.next..end {
            life(invoice, (start_of(invoice), self.now), &mut told);
        }
        let texts: Vec<(String, String, String, String)> = told.iter().map(texts).collect();
        let objects: Vec<_> = told.iter().zip(&texts).map(|(one, texts)| objects(one, texts)).collect();
        let facts: Vec<Fact<'_>> = (self.position..)
            .zip(told.iter().zip(&texts).zip(&objects))
            .map(|(position, ((one, texts), (attributes, data)))| Fact {
                position: Position(position),
                committed,
                accepted: UtcNanos(one.at),
                kind: one.kind,
                id: None,
                source: None,
                subject: Some(&texts.0),
                actor: Some("bench"),
                attributes,
                data: Some(data),
            })
            .collect();
        self.next = end;
        self.position += told.len() as u64;
        Some(take(&facts, self.position))
    }
}

/// The texts of an event: id, time, vendor, due date.
fn texts(told: &Told) -> (String, String, String, String) {
    let due = UtcNanos(told.data.due).day().to_string();
    (id_of(told.invoice), UtcNanos(told.at).to_string(), format!("Vendor {:05} BV", told.data.vendor), due)
}

fn objects<'a>(
    told: &Told,
    (id, time, vendor, due): &'a (String, String, String, String),
) -> (Object<'a>, Value<'a>) {
    let text = |name: &'static str, value: &'a str| (Cow::Borrowed(name), Value::Text(Cow::Borrowed(value)));
    let number = |name: &'static str, value: u64| (Cow::Borrowed(name), Value::Integer(value.into()));
    let by = told.data.vendor;
    let mut members = vec![
        text("invoice_id", id),
        text("status", told.status),
        text("vendor_class", pick(&CLASSES, by)),
        text("region", pick(&REGIONS, by / 4)),
        text("currency", pick(&CURRENCIES, by / 32)),
        text("due_date", due),
        text("touch", if told.data.touch { "manual" } else { "auto" }),
        number("amount_minor", told.data.amount),
    ];
    if by.is_multiple_of(10) {
        members.push(text("vendor", vendor));
    }
    if let Some(reference) = told.data.reference {
        members.push((Cow::Borrowed("reference"), Value::Text(Cow::Owned(format!("R-{reference}")))));
    }
    let data = Object::from_members(members).unwrap_or_default();
    (Object::from_members(vec![text("time", time)]).unwrap_or_default(), Value::Object(data))
}
