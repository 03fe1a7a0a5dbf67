//! Lists by their names, narrowed, and an invoice's events: page by page they are whole, without gap or repeat.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop")]

mod support;

use support::{HOUR, START, Told, life, project, told};
use waag_domain::memory::MemoryRows;
use waag_invoices::cash::Step;
use waag_invoices::event::Stage;
use waag_invoices::lists::Narrow;
use waag_invoices::named::{LISTS, Line, List};
use waag_invoices::queries::{Grain, Queries};
use waag_model::time::{UtcDay, UtcNanos};

const LATER: UtcNanos = UtcNanos(START + 9_999 * HOUR);

/// What a page's line is of, and which one.
fn name(line: &Line) -> String {
    match line {
        Line::Invoice(state) => state.id.clone(),
        Line::Duplicate(line) => format!("{} {}", line.position, line.invoice),
        Line::Odd(line) => format!("{} {}", line.position, line.invoice.as_deref().unwrap_or("-")),
    }
}

/// All pages of a list, and how many there were.
fn pages(rows: &MemoryRows, list: List, narrow: &Narrow, most: usize) -> (Vec<String>, usize) {
    let queries = Queries::new(rows);
    let standing = queries.standing(LATER).unwrap();
    let (mut names, mut after, mut count) = (Vec::new(), None, 0);
    loop {
        let page = queries.named(list, &standing, narrow, after.as_ref(), most).unwrap();
        assert!(page.lines.len() <= most, "{list:?}");
        names.extend(page.lines.iter().map(name));
        (after, count) = (page.next, count + 1);
        if after.is_none() {
            return (names, count);
        }
    }
}

fn priced(told: Told, region: &'static str) -> Told {
    let told = told.with("vendor", "V").with("amount_minor", 100).with("currency", "EUR");
    told.with("region", region)
}

/// Returns, possible duplicates and odd events, each of them in two regions.
fn mixed(invoices: i64) -> Vec<Told> {
    (0..invoices)
        .flat_map(|n| {
            let id = format!("I{n:04}");
            let region = ["eu-west-1", "uk-1"][usize::from(n % 3 == 0)];
            let first = priced(told(&id, "ingestion", n), region).with("reference", "R");
            let next = told(&id, "authorization", n + 1).with("status", "whatever");
            let back = told(&id, "ingestion", n + 2);
            let again = told(&id, "authorization", n + 3);
            let more = if n % 2 == 0 { vec![back, again] } else { Vec::new() };
            [first, next].into_iter().chain(more)
        })
        .chain([told("", "ingestion", 0)])
        .collect()
}

#[test]
fn each_list_is_whole_however_long_its_pages_are() {
    let rows = project(&mixed(60));
    let none = Narrow::default();
    for list in LISTS {
        assert_eq!(List::of_name(list.name()), Some(list));
        let (whole, count) = pages(&rows, list, &none, 200);
        assert_eq!(count, 1, "{list:?}");
        for most in [1, 7, 59, 60, 61] {
            let (names, count) = pages(&rows, list, &none, most);
            assert_eq!(names, whole, "{list:?} by {most}");
            assert_eq!(count, whole.len().div_ceil(most).max(1), "{list:?} by {most}");
        }
    }
    let count = |list| pages(&rows, list, &none, 200).0.len();
    assert_eq!((count(List::Open), count(List::Stuck), count(List::Loops)), (60, 60, 30));
    assert_eq!((count(List::Duplicates), count(List::Odd)), (59, 61));
    assert_eq!((count(List::ReceivedNotCleared), count(List::ApprovedNotPaid)), (60, 0));
    assert_eq!(List::of_name("other"), None);
}

#[test]
fn each_list_is_narrowed_by_stage_region_and_currency() {
    let rows = project(&mixed(60));
    let of = |stage: Option<Stage>, region: Option<&str>, currency: Option<&str>| Narrow {
        stage,
        region: region.map(str::to_owned),
        currency: currency.map(str::to_owned),
    };
    for (list, all) in [(List::Open, 60), (List::Loops, 30), (List::Duplicates, 59), (List::Odd, 60)] {
        let count = |narrow: &Narrow| {
            let (whole, _) = pages(&rows, list, narrow, 200);
            for most in [1, 3, 20] {
                assert_eq!(pages(&rows, list, narrow, most).0, whole, "{list:?} {narrow:?} by {most}");
            }
            whole.len()
        };
        let (west, uk) = (count(&of(None, Some("eu-west-1"), None)), count(&of(None, Some("uk-1"), None)));
        assert!(west > 0 && uk > 0, "{list:?}");
        assert_eq!(west + uk, all, "{list:?}");
        assert_eq!(count(&of(None, Some(""), None)), 0, "{list:?}");
        assert_eq!(count(&of(None, None, Some("EUR"))), all, "{list:?}");
        assert_eq!(count(&of(None, None, Some("USD"))), 0, "{list:?}");
        assert_eq!(count(&of(Some(Stage::Authorization), None, Some("EUR"))), all, "{list:?}");
        assert_eq!(count(&of(Some(Stage::Posting), None, None)), 0, "{list:?}");
    }
}

#[test]
fn a_closed_invoice_is_in_no_stage() {
    let mut events = mixed(6);
    events.push(told("I0002", "posting", 9).with("status", "paid"));
    let rows = project(&events);
    let of = |stage| Narrow { stage: Some(stage), ..Narrow::default() };
    let loops = |narrow: &Narrow| pages(&rows, List::Loops, narrow, 200).0;
    assert_eq!(loops(&Narrow::default()).len(), 3);
    assert_eq!(loops(&of(Stage::Authorization)), ["I0000", "I0004"]);
    assert!(loops(&of(Stage::Posting)).is_empty(), "it was paid there and left it");
}

#[test]
fn a_page_looks_at_no_more_lines_than_it_may_and_says_where_the_next_one_begins() {
    let mut events = mixed(2_300);
    events.insert(0, priced(told("FIRST", "ingestion", 0), "far").with("status", "whatever"));
    let rows = project(&events);
    let queries = Queries::new(&rows);
    let narrow = Narrow { region: Some("far".to_owned()), ..Narrow::default() };
    let standing = queries.standing(LATER).unwrap();
    let page = queries.named(List::Odd, &standing, &narrow, None, 5).unwrap();
    assert!(page.lines.is_empty() && page.next.is_some(), "2,000 lines were looked at");
    let (names, count) = pages(&rows, List::Odd, &narrow, 5);
    assert_eq!((names.len(), count), (1, 2));
}

#[test]
fn an_invoices_events_are_whole_however_long_their_pages_are() {
    for events in [1u64, 31, 32, 33, 64, 65, 1_000] {
        let all: Vec<_> = (0..events).map(|at| told("A", "ingestion", at.cast_signed())).collect();
        let rows = project(&all);
        let whole = life(&rows, "A");
        let queries = Queries::new(&rows);
        for most in [1usize, 7, 31, 32, 33, 64, 200] {
            let (mut steps, mut gone) = (Vec::new(), Some(0));
            while let Some(from) = gone {
                let (part, next) = queries.part_of("A", UtcNanos(START), from, most).unwrap().unwrap();
                assert!(part.steps.len() <= most && part.state == whole.state);
                steps.extend(part.steps);
                gone = next;
            }
            assert_eq!(steps, whole.steps, "{most} of {events}");
        }
        for beyond in [events, events + 1, u64::MAX] {
            let (part, next) = queries.part_of("A", UtcNanos(START), beyond, 10).unwrap().unwrap();
            assert!(part.steps.is_empty() && next.is_none(), "{beyond} of {events}");
        }
    }
    assert_eq!(Queries::new(&project(&[])).part_of("A", UtcNanos(START), 0, 1).unwrap(), None);
}

#[test]
fn due_dates_of_all_currencies_are_those_of_each() {
    let due = |id: &str, date: &str, currency: &str| {
        told(id, "ingestion", 0).with("amount_minor", 7).with("currency", currency).with("due_date", date)
    };
    let rows = project(&[
        due("A", "2026-06-05", "EUR"),
        due("B", "2026-06-05", "USD"),
        due("C", "2026-06-06", "EUR"),
        due("D", "2026-05-01", "EUR"),
        due("E", "2027-05-01", "USD"),
    ]);
    let queries = Queries::new(&rows);
    let from = UtcNanos(START).day();
    for by in [Step::Day, Step::Week] {
        let all = queries.cash_by_due(by, from, 10).unwrap();
        let days = if by == Step::Day { 10 } else { 70 };
        assert_eq!(all.days(), (from, UtcDay(from.0 + days)), "2026-06-01 is a Monday");
        for (currency, steps) in [("EUR", 1 + usize::from(by == Step::Day)), ("USD", 1), ("GBP", 0)] {
            let of = all.of(currency);
            assert_eq!(of, queries.cash_dates(currency, by, from, 10).unwrap());
            assert_eq!(of.steps.len(), steps, "{currency} {by:?}");
        }
    }
    let told = serde_json::to_value(queries.cash_dates("EUR", Step::Day, from, 10).unwrap()).unwrap();
    assert_eq!(told["steps"][0]["day"], "2026-06-05");
}

#[test]
fn a_series_says_which_buckets_it_is_about() {
    let hours = |from, to| Grain::Hour.span(UtcNanos(START + from), UtcNanos(START + to));
    let at = |hours: i64| UtcNanos(START + hours * HOUR);
    assert_eq!(hours(1, HOUR + 1), (at(0), at(2)));
    assert_eq!(hours(0, HOUR), (at(0), at(1)));
    assert_eq!(hours(0, 1_000 * HOUR), (at(1_000 - 192), at(1_000)));
    assert_eq!(Grain::Hour.begin_of(1, at(5)), at(5));
    assert_eq!(Grain::Hour.begin_of(3, UtcNanos(at(5).0 + 1)), at(3));
}
