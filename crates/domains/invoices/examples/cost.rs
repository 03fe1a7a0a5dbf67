//! What projecting an event costs beside its store: batches of 50,000 on rows in memory, with the time inside of the
//! rows taken off; the quickest batch and the median, since machines are noisy.
//! Run it optimised, with the invoices open at a time, the vendors and the milliseconds from event to event:
//! `cargo run --release -p waag-invoices --example cost -- 1000000 9973 1000` is the workload of the benchmarks.
//!
//! Not here: figures on a database (`testing/bench`).

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a program for people, which may stop")]

use std::borrow::Cow;
use std::cell::Cell as Shared;
use std::time::Duration;

use waag_domain::memory::MemoryRows;
use waag_domain::project::{Fact, Projection, Reads, Row, Rows, RowsError, Scan, Table};
use waag_invoices::config::Config;
use waag_invoices::lists::{Filter, Narrow};
use waag_invoices::project::Invoices;
use waag_invoices::queries::Queries;
use waag_invoices::tables::{INVOICE, TABLES};
use waag_model::ids::Position;
use waag_model::time::UtcNanos;
use waag_model::value::{Object, Value};
use waag_stdx::clock::{Clock, SystemClock};

const EVENTS: usize = 600_000;
const BATCH: usize = 50_000;
const OPEN: u64 = 100_000;
const VENDORS: u64 = 8;
const APART_MS: u64 = 20;
const START: i64 = 1_767_225_600_000_000_000;
const STAGES: [&str; 4] =
    ["invoice.ingestion", "invoice.reconciliation", "invoice.authorization", "invoice.posting"];
const REGIONS: [&str; 6] = ["eu-west-1", "eu-north-1", "eu-central-1", "eu-south-1", "uk-1", "us-east-1"];
const CURRENCIES: [&str; 4] = ["EUR", "USD", "GBP", "SEK"];

/// Rows that know how long they took, and how many were read and written.
struct Timed {
    rows: MemoryRows,
    clock: SystemClock,
    took: Shared<Duration>,
    read: Shared<usize>,
    written: usize,
}

impl Timed {
    fn timed<T>(&self, work: impl FnOnce(&MemoryRows) -> T) -> T {
        let start = self.clock.monotonic();
        let result = work(&self.rows);
        self.took.set(self.took.get() + (self.clock.monotonic() - start));
        result
    }
}

impl Reads for Timed {
    fn get(&self, table: &'static Table, keys: &[Row]) -> Result<Vec<Option<Row>>, RowsError> {
        self.read.set(self.read.get() + keys.len());
        self.timed(|rows| rows.get(table, keys))
    }

    fn scan(&self, table: &'static Table, scan: &Scan<'_>) -> Result<Vec<Row>, RowsError> {
        self.timed(|rows| rows.scan(table, scan))
    }
}

impl Rows for Timed {
    fn put(&mut self, table: &'static Table, rows: Vec<Row>) -> Result<(), RowsError> {
        self.written += rows.len();
        let start = self.clock.monotonic();
        let result = self.rows.put(table, rows);
        self.took.set(self.took.get() + (self.clock.monotonic() - start));
        result
    }

    fn delete(&mut self, table: &'static Table, keys: &[Row]) -> Result<(), RowsError> {
        self.written += keys.len();
        let start = self.clock.monotonic();
        let result = self.rows.delete(table, keys);
        self.took.set(self.took.get() + (self.clock.monotonic() - start));
        result
    }
}

/// A well-mixed number (SplitMix64's last step).
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn pick<T: Copy>(of: &[T], by: u64) -> T {
    let at = usize::try_from(by % u64::try_from(of.len()).expect("short")).expect("short");
    *of.get(at).expect("within")
}

/// How the events come.
struct Shape {
    vendors: u64,
    apart: i64,
}

impl Shape {
    fn at(&self, n: u64) -> UtcNanos {
        UtcNanos(START + i64::try_from(n).expect("fits") * self.apart)
    }
}

/// An event's attributes and data: some invoice of those open, in its next stage.
fn event(
    n: u64,
    stages: &mut [u8],
    shape: &Shape,
) -> (String, &'static str, Object<'static>, Value<'static>) {
    let slot = usize::try_from(mix(n) % u64::try_from(stages.len()).expect("fits")).expect("fits");
    let visit = stages.get_mut(slot).expect("within");
    let (round, stage) = (u64::from(*visit / 4), usize::from(*visit % 4));
    *visit = visit.wrapping_add(1);
    let by = mix(u64::try_from(slot).expect("fits") << 8 | round);
    let text = |text: &str| Value::Text(Cow::Owned(text.to_owned()));
    let id = format!("INV-2026-{:010}", by % 10_000_000_000);
    let kind = pick(&STAGES, u64::try_from(stage).expect("short"));
    let at = shape.at(n);
    let data = vec![
        ("invoice_id", text(&id)),
        ("vendor", text(&format!("Vendor {:06} GmbH", (by >> 8) % shape.vendors))),
        ("amount_minor", Value::Integer(i128::from(100 + (by >> 16) % 5_000_000))),
        ("currency", text(pick(&CURRENCIES, by >> 12))),
        ("status", text(kind.strip_prefix("invoice.").expect("as above"))),
        ("due_date", text(&format!("2026-06-{:02}", 1 + (by >> 20) % 28))),
        ("region", text(pick(&REGIONS, by >> 28))),
        ("payment_terms", text("NET30")),
        ("account_id", text("004812345678")),
        ("note", text("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefgh")),
    ];
    let members = data.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect();
    let data = Value::Object(Object::from_members(members).expect("no name twice"));
    let time = vec![(Cow::Borrowed("time"), text(&at.to_string()))];
    (id, kind, Object::from_members(time).expect("one"), data)
}

fn main() {
    let mut given = std::env::args().skip(1).map(|number| number.parse::<u64>().expect("a number"));
    let open = usize::try_from(given.next().unwrap_or(OPEN)).expect("fits");
    let vendors = given.next().unwrap_or(VENDORS).max(1);
    let apart = i64::try_from(given.next().unwrap_or(APART_MS)).expect("fits") * 1_000_000;
    let shape = Shape { vendors, apart };
    let clock = SystemClock::new();
    let projection = Invoices::new(Config::default());
    let mut timed =
        Timed { rows: MemoryRows::new(), clock, took: Shared::default(), read: Shared::new(0), written: 0 };
    let mut stages = vec![0u8; open];
    let mut whole = Duration::ZERO;
    let (mut gathered, mut written) = (Vec::new(), Vec::new());
    let mut n = 0u64;
    for _ in 0..EVENTS / BATCH {
        let events: Vec<_> = (n..).take(BATCH).map(|n| event(n, &mut stages, &shape)).collect();
        let facts: Vec<Fact<'_>> = (n..)
            .zip(&events)
            .map(|(n, (id, kind, attributes, data))| {
                let at = shape.at(n);
                Fact {
                    position: Position(n),
                    committed: at,
                    accepted: at,
                    kind,
                    id: None,
                    source: None,
                    subject: Some(id),
                    actor: None,
                    attributes,
                    data: Some(data),
                }
            })
            .collect();
        n += u64::try_from(BATCH).expect("fits");
        let (start, in_rows) = (clock.monotonic(), timed.took.get());
        let mut gathering = projection.gather();
        facts.iter().for_each(|fact| gathering.take(fact));
        let ready = gathering.finish();
        let half = clock.monotonic();
        ready.write(&mut timed).expect("rows in memory do not fail");
        let end = clock.monotonic();
        gathered.push(half - start);
        written.push(end - half - (timed.took.get() - in_rows));
        whole += end - start;
    }
    let each = |took: Duration| took.as_nanos() / u128::try_from(EVENTS).expect("fits");
    let store = timed.took.get();
    println!(
        "{} ns an event, {} of them in the rows: {} without",
        each(whole),
        each(store),
        each(whole - store)
    );
    for (what, mut took) in [("gathering", gathered), ("evolving and making rows", written)] {
        took.sort_unstable();
        let of =
            |at: usize| took.get(at).map_or(0, Duration::as_nanos) / u128::try_from(BATCH).expect("fits");
        println!("{what}: {} ns in the quickest batch, {} in the median", of(0), of(took.len() / 2));
    }
    println!("{} keys read, {} rows written, {EVENTS} events", timed.read.get(), timed.written);
    tell_rows(&timed.rows, clock);
}

/// What came of it, and what pages cost on it.
fn tell_rows(rows: &MemoryRows, clock: SystemClock) {
    for table in &TABLES {
        println!("{:>18} {:>9} rows", table.name, rows.count(table));
    }
    let state: usize = rows.all(&INVOICE).filter_map(|row| row.get(3)?.bytes()).map(<[u8]>::len).sum();
    println!("{} bytes of state an invoice", state / rows.count(&INVOICE).max(1));
    let now = UtcNanos(START + 40 * 86_400_000_000_000);
    let queries = Queries::new(rows);
    let start = clock.monotonic();
    let standing = queries.standing(now).expect("rows in memory do not fail");
    queries.overview(&standing).expect("rows in memory do not fail");
    let overview = clock.monotonic();
    queries.list(&standing, Filter::Stuck, &Narrow::default(), None, 50).expect("rows in memory do not fail");
    println!("overview {:?}, list {:?}", overview - start, clock.monotonic() - overview);
}
