//! Given these events, when lists and histories are read, then they are counted, told and cut like this.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop")]

mod support;

use std::cell::Cell;

use support::{HOUR, START, life, project, told};
use waag_domain::memory::MemoryRows;
use waag_domain::project::{Reads, Row, RowsError, Scan, Table};
use waag_invoices::event::Stage;
use waag_invoices::lists::{Filter, Narrow};
use waag_invoices::queries::Queries;
use waag_invoices::state::Condition;
use waag_model::time::UtcNanos;

fn at(hours: i64) -> UtcNanos {
    UtcNanos(START + hours * HOUR)
}

#[test]
fn a_list_has_as_many_invoices_as_its_counters_say_however_it_is_narrowed() {
    let regions = ["", "eu-west-1", "uk-1"];
    let events: Vec<_> = (0..60i64)
        .map(|n| {
            let place = usize::try_from(n).unwrap();
            let stage = ["ingestion", "authorization", "posting"][place % 3];
            let told = told(&format!("I{n:03}"), stage, n * 7 % 60).with("region", regions[place % 2]);
            if n % 5 == 0 { told.with("currency", "EUR") } else { told }
        })
        .collect();
    let rows = project(&events);
    let queries = Queries::new(&rows);
    let mut counts = std::collections::BTreeSet::new();
    for hours in [0, 30, 100, 9_999] {
        let standing = queries.standing(at(hours)).unwrap();
        for filter in [Filter::Open, Filter::Stuck, Filter::ApprovedNotPaid, Filter::ReceivedNotCleared] {
            for stage in [None, Some(Stage::Ingestion), Some(Stage::Posting)] {
                for (region, currency) in
                    [(None, None), (Some(""), Some("EUR")), (Some("eu-west-1"), Some(""))]
                {
                    let (region, currency) = (region.map(str::to_owned), currency.map(str::to_owned));
                    let narrow = Narrow { stage, region, currency };
                    let page = queries.list(&standing, filter, &narrow, None, 100).unwrap();
                    let count = standing.listed(filter, &narrow);
                    assert_eq!(count, i64::try_from(page.lines.len()).unwrap(), "{filter:?} {narrow:?}");
                    counts.insert(count);
                }
            }
        }
    }
    assert!(counts.len() > 5, "lists of several lengths: {counts:?}");
}

#[test]
fn invoices_are_found_by_what_their_id_begins_with_and_by_nothing_else() {
    let ids = ["INV-1", "INV-10", "INV-11", "INV-2", "inv-1", "INV-1\u{10ffff}", "INV", "\u{10ffff}x"];
    let rows = project(&ids.map(|id| told(id, "ingestion", 0)));
    let found = |prefix: &str, most| -> Vec<String> {
        let states = Queries::new(&rows).beginning_with(prefix, at(1), most).unwrap();
        states.into_iter().map(|state| state.id).collect()
    };
    assert_eq!(found("INV-1", 20), ["INV-1", "INV-10", "INV-11", "INV-1\u{10ffff}"]);
    assert_eq!(found("INV-1", 2), ["INV-1", "INV-10"]);
    assert_eq!(found("INV-1\u{10ffff}", 20), ["INV-1\u{10ffff}"]);
    assert_eq!(found("\u{10ffff}", 20), ["\u{10ffff}x"], "nothing is behind the last character");
    assert_eq!(found("INV-3", 20), [""; 0]);
    assert_eq!(found("", 20), [""; 0], "an empty text asks for nothing");
}

#[test]
fn how_an_invoice_stands_is_told_by_the_event_that_said_so() {
    let told_by = |events: &[support::Told]| life(&project(events), "A").state.told_by;
    let enter = |hours| told("A", "reconciliation", hours);
    let fail = |hours| enter(hours).with("status", "mismatch");
    assert_eq!(told_by(&[enter(0), fail(1)]), Some(1));
    // The same is told twice, and an event of before comes in behind it.
    assert_eq!(told_by(&[enter(0), fail(1), fail(2), enter(1)]), Some(2));
    assert_eq!(told_by(&[enter(0), fail(1), enter(3)]), Some(2), "it goes on");
    assert_eq!(told_by(&[enter(5), enter(6), enter(1)]), Some(1), "what is out of order moves nothing");
    let rejected = told("A", "authorization", 4).with("status", "rejected");
    assert_eq!(told_by(&[enter(0), rejected, enter(5)]), Some(1));
    // A full chunk of the history has just left the row.
    let many: Vec<_> = (0..32).map(enter).collect();
    assert_eq!((told_by(&many), told_by(&many[..31])), (None, Some(30)));
}

#[test]
fn a_list_tells_how_invoices_stand_also_when_that_has_left_their_rows() {
    let blocked = |id, hours| told(id, "authorization", hours).with("status", "blocked");
    for more in 0..70 {
        // What happened before comes in behind it and leaves `A` as it is.
        let before = (1..=more).map(|hours| told("A", "ingestion", -hours));
        let rows = project(&[blocked("B", 0), blocked("A", 0)].into_iter().chain(before).collect::<Vec<_>>());
        let counted = Counted(&rows, Cell::new(0));
        let of = |id| Queries::new(&counted).beginning_with(id, at(1), 20).unwrap().remove(0);
        let b = of("B");
        assert_eq!((b.condition, b.told_by, counted.1.get()), (Condition::Blocked, Some(0), 0));
        // The row holds up to 31 events, the chunk behind it 32; what is older is read on the invoice's page.
        let expected = (more < 63).then_some(1);
        let a = of("A");
        assert_eq!((a.condition, a.told_by), (Condition::Blocked, expected), "{more}");
        assert_eq!(counted.1.get(), usize::from(more >= 31), "one read where the row does not tell");
    }
    let rows = project(&(0..64).map(|hours| told("A", "ingestion", hours)).collect::<Vec<_>>());
    let queries = Queries::new(&rows);
    let standing = queries.standing(at(1)).unwrap();
    let page = queries.list(&standing, Filter::Open, &Narrow::default(), None, 10).unwrap();
    assert_eq!(page.lines[0].told_by, Some(63), "the same in the lists of the pages");
}

/// Rows that count how many rows of histories they hand over.
struct Counted<'r>(&'r MemoryRows, Cell<usize>);

impl Reads for Counted<'_> {
    fn get(&self, table: &'static Table, keys: &[Row]) -> Result<Vec<Option<Row>>, RowsError> {
        self.1.set(self.1.get() + if table.name == "history" { keys.len() } else { 0 });
        self.0.get(table, keys)
    }

    fn scan(&self, table: &'static Table, scan: &Scan<'_>) -> Result<Vec<Row>, RowsError> {
        assert_ne!(table.name, "history", "a history is read by its chunks");
        self.0.scan(table, scan)
    }
}

#[test]
fn a_history_is_read_backwards_from_any_position_without_gap_or_repeat() {
    for events in [1u64, 31, 32, 33, 64, 300] {
        // Another invoice's events lie between its own, so that positions are not places in the history.
        let told: Vec<_> = (0..2 * events)
            .map(|n| told(if n % 2 == 0 { "A" } else { "B" }, "ingestion", n.cast_signed()))
            .collect();
        let rows = project(&told);
        let whole = life(&rows, "A").steps;
        for most in [1usize, 32, 33, 200] {
            for before in 0..=2 * events + 1 {
                let counted = Counted(&rows, Cell::new(0));
                let page = Queries::new(&counted).newest_of("A", UtcNanos(START), most, Some(before));
                let page = page.unwrap().unwrap();
                let end = whole.iter().filter(|step| step.position < before).count();
                let first = end.saturating_sub(most);
                assert_eq!(page.steps, whole[first..end], "{most} before {before} of {events}");
                assert_eq!(page.earlier, first as u64);
                assert!(counted.1.get() <= most.div_ceil(32) + 1 + 5, "{} rows", counted.1.get());
            }
        }
    }
}
