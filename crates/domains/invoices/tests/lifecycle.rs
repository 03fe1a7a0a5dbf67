//! Given these events, when they are projected, then the invoice stands so: stages, closings, marks, odd events.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop")]

mod support;

use std::cell::Cell;

use support::{DAY, HOUR, START, life, project, told};
use waag_domain::memory::MemoryRows;
use waag_domain::project::{Reads, Row, Rows, RowsError, Scan, Table};
use waag_invoices::event::{IMPORT_WORDS_MAX, Stage};
use waag_invoices::lists::{Filter, Narrow};
use waag_invoices::queries::{Grain, Queries};
use waag_invoices::state::Condition;
use waag_invoices::tables::HISTORY;
use waag_model::time::UtcNanos;
use waag_model::value::Value;

fn at(hours: i64) -> UtcNanos {
    UtcNanos(START + hours * HOUR)
}

#[test]
fn given_four_stages_when_it_is_paid_then_it_is_closed_and_nothing_is_open() {
    let events = [
        told("A", "ingestion", 0).priced(100),
        told("A", "reconciliation", 2),
        told("A", "authorization", 5),
        told("A", "authorization", 7).with("status", "approved"),
        told("A", "posting", 8),
        told("A", "posting", 20).with("status", "paid"),
    ];
    let rows = project(&events);
    let life = life(&rows, "A");
    assert_eq!((life.state.stage, life.state.condition), (Stage::Posting, Condition::Paid));
    let spans: Vec<_> = life.state.visits.iter().map(|v| (v.entered.unwrap(), v.left.unwrap())).collect();
    let hours = |from, to| (START + from * HOUR, START + to * HOUR);
    assert_eq!(spans, [hours(0, 2), hours(2, 5), hours(5, 7), hours(8, 20)]);
    assert_eq!(life.state.approved, Some(START + 7 * HOUR));
    assert_eq!(life.steps.iter().map(|step| step.position).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    let report = Queries::new(&rows).report(at(30)).unwrap();
    assert_eq!((report.events, report.cases, report.cleared, report.stuck, report.odd), (6, 1, 1, 0, 0));
    assert_eq!(report.by_stage.values().sum::<i64>(), 0);
    assert!(Queries::new(&rows).cash_totals(at(30).day()).unwrap().is_empty());
}

#[test]
fn given_an_invoice_when_its_service_level_passes_then_it_is_stuck_on_tile_and_list() {
    let rows = project(&[
        told("A", "ingestion", 0).priced(700),
        told("B", "ingestion", 1).priced(50),
        told("C", "ingestion", 1),
        told("C", "reconciliation", 2),
    ]);
    let queries = Queries::new(&rows);
    let stuck = |hours| -> Vec<String> {
        let standing = queries.standing(at(hours)).unwrap();
        let page = queries.list(&standing, Filter::Stuck, &Narrow::default(), None, 10).unwrap();
        let overview = queries.overview(&standing).unwrap();
        assert_eq!(overview.stuck, i64::try_from(page.lines.len()).unwrap());
        page.lines.into_iter().map(|line| line.id).collect()
    };
    assert_eq!(stuck(23), Vec::<String>::new());
    assert_eq!(stuck(24), ["A"]);
    assert_eq!(stuck(25), ["A", "B"]);
    assert_eq!(stuck(2_000), ["A", "B", "C"]);
    let tile = &queries.standing(at(25)).unwrap().tiles()[0];
    assert_eq!((tile.open, tile.stuck), (2, 2));
    assert_eq!((tile.stuck_value[0].minor, tile.stuck_value[0].currency.as_str()), (750, "EUR"));
}

#[test]
fn given_an_older_event_when_it_comes_after_then_it_is_marked_and_moves_nothing() {
    let rows = project(&[
        told("A", "ingestion", 0),
        told("A", "authorization", 10),
        told("A", "reconciliation", 5).accepted(START + 60 * HOUR),
    ]);
    let life = life(&rows, "A");
    assert_eq!(life.state.stage, Stage::Authorization);
    assert_eq!(life.steps[2].marks, ["out_of_order", "late"]);
    assert_eq!(life.state.visits[1].entered, Some(START + 5 * HOUR));
    assert_eq!(life.state.loops, 0);
}

#[test]
fn given_the_same_content_under_another_id_then_it_is_kept_and_marked() {
    let rows = project(&[told("A", "ingestion", 0), told("A", "ingestion", 0), told("A", "ingestion", 1)]);
    let marks: Vec<_> = life(&rows, "A").steps.into_iter().map(|step| step.marks).collect();
    assert_eq!(marks, [vec![], vec!["repeated"], vec![]]);
    assert_eq!(life(&rows, "A").state.visits[0].visits, 1);
}

#[test]
fn given_events_after_the_close_then_it_stays_closed_until_it_is_reopened() {
    let mut events = vec![
        told("A", "posting", 0).with("status", "paid").priced(5),
        told("A", "reconciliation", 1),
        told("A", "posting", 2).with("status", "paid"),
    ];
    let rows = project(&events);
    assert_eq!(life(&rows, "A").state.condition, Condition::Paid);
    assert_eq!(life(&rows, "A").steps[1].marks, ["after_close"]);
    assert_eq!(Queries::new(&rows).report(at(0)).unwrap().cleared, 1);
    events.push(told("A", "reconciliation", 3).with("status", "reopened"));
    let rows = project(&events);
    let state = life(&rows, "A").state;
    assert_eq!(
        (state.condition, state.stage, state.closed),
        (Condition::InProgress, Stage::Reconciliation, None)
    );
    assert_eq!(Queries::new(&rows).report(at(0)).unwrap().cleared, 0);
}

#[test]
fn given_a_close_whose_time_is_before_the_latest_then_nothing_is_due_and_it_is_not_stuck() {
    for word in ["paid", "rejected"] {
        let mut events = vec![
            told("A", "posting", 24).with("status", "posted"),
            told("A", "posting", 0).with("status", word).accepted(START + 25 * HOUR),
        ];
        let rows = project(&events);
        let queries = Queries::new(&rows);
        let state = queries.invoice("A", at(9_999)).unwrap().unwrap().state;
        assert_eq!((state.deadline, state.stuck), (None, false), "{word}");
        assert_eq!(queries.report(at(9_999)).unwrap().stuck, 0);
        // Opened again out of order, it has a deadline and can be stuck, and is counted so.
        events.push(told("A", "posting", 1).with("status", "reopened").accepted(START + 26 * HOUR));
        let rows = project(&events);
        let queries = Queries::new(&rows);
        let state = queries.invoice("A", at(9_999)).unwrap().unwrap().state;
        assert_eq!((state.deadline, state.stuck), (Some(START + 721 * HOUR), true), "{word}");
        assert_eq!(queries.report(at(9_999)).unwrap().stuck, 1);
    }
}

#[test]
fn given_odd_events_then_each_is_listed_with_its_reason_and_in_the_history() {
    let mut nowhere = told("", "ingestion", 0);
    nowhere.subject = None;
    let rows = project(&[
        nowhere,
        told("A", "archiving", 0),
        told("A", "ingestion", 0).time(Some("1948-01-26T23:59:00Z")),
        told("A", "ingestion", 0).time(Some("yesterday")),
        told("A", "ingestion", 0).with("status", "frobbed"),
        told("A", "ingestion", 0).with("currency", "XTS"),
        told("A", "ingestion", 0).with("amount_minor", "12"),
        told("A", "ingestion", 0).with("due_date", "soon"),
        told("A", "ingestion", 0).time(Some("2026-06-02T00:00:01Z")),
        told("A", "ingestion", 0).time(None),
    ]);
    let queries = Queries::new(&rows);
    let page = queries.odd(at(0), None, 100).unwrap();
    let reasons: Vec<_> = page.lines.iter().rev().map(|line| line.reasons.join("+")).collect();
    assert_eq!(
        reasons,
        [
            "unknown_invoice",
            "unknown_stage",
            "impossible_time",
            "unreadable_time",
            "unknown_status",
            "unknown_currency",
            "unreadable_amount",
            "unreadable_due_date",
            "impossible_time",
        ]
    );
    let report = queries.report(at(0)).unwrap();
    assert_eq!((report.odd, report.events, report.odd_by_reason["impossible_time"]), (9, 10, 2));
    assert_eq!(life(&rows, "A").steps.len(), 9);
    let stages = page.lines.iter().map(|line| line.state.as_ref().map(|state| state.stage));
    assert_eq!(stages.collect::<Vec<_>>(), [[Some(Stage::Ingestion); 8].as_slice(), &[None]].concat());
    let first = queries.odd(at(0), None, 5).unwrap();
    assert_eq!(queries.odd(at(0), first.next.as_ref(), 5).unwrap().lines.len(), 4);
}

#[test]
fn given_what_an_import_could_not_read_then_the_event_is_odd_for_that_reason() {
    let found = |words: &[&str], text: Option<&'static str>| {
        let event = told("A", "ingestion", 0).with("import_odd", words);
        let event = text.into_iter().fold(event, |event, name| event.with(name, "soon"));
        let lines = Queries::new(&project(&[event])).odd(at(0), None, 9).unwrap().lines;
        lines.first().map_or(String::new(), |line| line.reasons.join("+"))
    };
    for (word, reason) in [
        ("bad_amount", "unreadable_amount"),
        ("bad_currency", "unknown_currency"),
        ("bad_time", "unreadable_time"),
        ("missing_time", "unreadable_time"),
        ("missing_invoice_id", ""),
        ("unmapped_status", "unknown_status"),
        ("bad_day", "unreadable_due_date"),
        ("long_text", ""),
        ("time_too_early", ""),
        ("frobbed", ""),
    ] {
        assert_eq!(found(&[word], None), reason, "{word}");
    }
    assert_eq!(found(&["bad_day"], Some("due_date_text")), "unreadable_due_date");
    assert_eq!(found(&["bad_day"], Some("invoice_date_text")), "unreadable_invoice_date");
    assert_eq!(found(&["frobbed", "bad_time", "bad_amount"], None), "unreadable_time+unreadable_amount");
    assert_eq!(found(&[], Some("invoice_date")), "unreadable_invoice_date");
    // Words beyond the limit are not read.
    let mut words = vec!["frobbed"; IMPORT_WORDS_MAX - 1];
    words.push("bad_amount");
    assert_eq!(found(&words, None), "unreadable_amount");
    words.insert(0, "frobbed");
    assert_eq!(found(&words, None), "");
    let report = |event| Queries::new(&project(&[event])).report(at(0)).unwrap();
    let none = report(told("A", "ingestion", 0).with("import_odd", "bad_amount"));
    assert_eq!(none.odd, 0, "one word is no list of words");
}

#[test]
fn given_an_imported_event_without_a_readable_time_then_it_is_in_no_figure_of_the_day_of_the_import() {
    let paid = told("A", "posting", 0).priced(100).with("status", "paid").time(None);
    let counts = |event: support::Told| {
        let rows = project(&[event]);
        let queries = Queries::new(&rows);
        let standing = queries.standing(at(1)).unwrap();
        let days = queries.series(Stage::Posting, Grain::Day, (at(0), at(9)), None).unwrap().len();
        let figures = queries.key_figures(&standing, 30).unwrap();
        let on_time = figures.iter().find(|figure| figure.name == "on-time payment rate").unwrap().of;
        (days, on_time, queries.report(at(1)).unwrap().cleared)
    };
    assert_eq!(counts(paid.clone().with("import_odd", &["bad_time"][..])), (0, 0, 1));
    assert_eq!(counts(paid), (1, 1, 1));
}

#[test]
fn given_a_report_then_every_invoice_is_cleared_rejected_or_in_a_stage() {
    let rows = project(&[
        told("A", "posting", 0).with("status", "paid"),
        told("B", "ingestion", 0).with("status", "rejected"),
        told("C", "ingestion", 0),
        told("D", "authorization", 0).with("status", "approved"),
        told("E", "posting", 0),
    ]);
    let report = Queries::new(&rows).report(at(1)).unwrap();
    let in_stages = report.by_stage.values().sum::<i64>();
    assert_eq!((report.cases, report.cleared, report.rejected, in_stages), (5, 1, 1, 3));
    assert_eq!((report.approved_not_paid, report.duplicates), (2, 0));
}

#[test]
fn given_returns_to_a_stage_then_the_invoice_is_a_loop() {
    let mut events = Vec::new();
    for round in 0..3 {
        events.push(told("A", "reconciliation", 2 * round));
        events.push(told("A", "authorization", 2 * round + 1));
    }
    events.push(told("B", "reconciliation", 0));
    events.push(told("B", "reconciliation", 1));
    let rows = project(&events);
    let page = Queries::new(&rows).loops(at(0), None, 10).unwrap();
    assert_eq!(page.lines.iter().map(|line| (line.id.as_str(), line.loops)).collect::<Vec<_>>(), [("A", 4)]);
    assert_eq!(life(&rows, "A").steps[2].marks, ["return"]);
}

#[test]
fn given_two_invoices_that_say_the_same_then_the_later_is_a_possible_duplicate() {
    let rows = project(&[
        told("A", "ingestion", 0).priced(100).with("reference", "R1").with("invoice_date", "2026-05-01"),
        told("B", "ingestion", 1).priced(100).with("reference", "R1").with("invoice_date", "2026-05-02"),
        told("C", "ingestion", 1).priced(100).with("reference", "R2").with("invoice_date", "2026-05-03"),
        told("D", "ingestion", 1).priced(100).with("reference", "R4").with("invoice_date", "2026-05-01"),
        told("E", "ingestion", 1).priced(101).with("reference", "R1").with("invoice_date", "2026-05-01"),
        told("B", "reconciliation", 2).priced(100).with("reference", "R1"),
    ]);
    let page = Queries::new(&rows).duplicates(at(3), None, 10).unwrap();
    let found: Vec<_> =
        page.lines.iter().map(|d| (d.invoice.as_str(), d.earlier.as_str(), d.alike.as_str())).collect();
    assert_eq!(found, [("D", "A", "date"), ("B", "A", "reference")]);
    let stages = page.lines.iter().map(|d| d.state.as_ref().map(|state| (state.stage, state.amount_minor)));
    let stands = |stage| Some((stage, Some(100)));
    assert_eq!(stages.collect::<Vec<_>>(), [stands(Stage::Ingestion), stands(Stage::Reconciliation)]);
    assert!(life(&rows, "B").state.duplicate && !life(&rows, "A").state.duplicate);
}

#[test]
fn given_withheld_and_missing_parts_then_the_event_is_kept_and_counted() {
    let mut bare = told("A", "ingestion", 0);
    bare.data = None;
    let mut withheld = told("A", "authorization", 1);
    withheld.data = Some(vec![
        ("vendor", Value::Withheld(1)),
        ("amount_minor", Value::Withheld(1)),
        ("currency", Value::Withheld(1)),
        ("due_date", Value::Withheld(1)),
        ("invoice_id", Value::Withheld(1)),
    ]);
    let rows = project(&[bare, withheld]);
    let life = life(&rows, "A");
    assert_eq!((life.state.events, life.state.vendor.as_str()), (2, ""));
    assert_eq!(Queries::new(&rows).report(at(0)).unwrap().odd, 0);
}

#[test]
fn given_an_imported_log_of_names_and_times_then_received_and_cleared_are_told_by_activity() {
    let event = |case: &'static str, stage: &str, activity: &'static str, hours| {
        let mut event = told("", stage, hours).with("invoice_id", case).with("activity", activity);
        event.subject = None;
        event
    };
    let rows = project(&[
        event("1", "ingestion", "Create Purchase Order Item", 0),
        event("1", "ingestion", "Vendor creates invoice", 1),
        event("1", "reconciliation", "Record Invoice Receipt", 2),
        event("2", "ingestion", "Create Purchase Order Item", 0),
        event("3", "reconciliation", "Record Invoice Receipt", 2),
        event("3", "posting", "Clear Invoice", 3),
    ]);
    let report = Queries::new(&rows).report(at(4)).unwrap();
    assert_eq!((report.cases, report.cleared, report.received_not_cleared), (3, 1, 1));
    let queries = Queries::new(&rows);
    let standing = queries.standing(at(4)).unwrap();
    let page = queries.list(&standing, Filter::ReceivedNotCleared, &Narrow::default(), None, 9).unwrap();
    assert_eq!(page.lines.iter().map(|line| line.id.as_str()).collect::<Vec<_>>(), ["1"]);
}

#[test]
fn given_more_events_than_a_row_holds_then_the_whole_history_is_one_query() {
    let events: Vec<_> = (0..100).map(|hour| told("A", "ingestion", hour)).collect();
    let life = life(&project(&events), "A");
    assert_eq!(life.steps.iter().map(|step| step.position).collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
    assert_eq!(life.steps[77].at, START + 77 * HOUR);
    assert_eq!(life.state.events, 100);
}

/// Rows that count how many histories' rows are handed over.
struct Counted<'a>(&'a MemoryRows, Cell<usize>);

impl Counted<'_> {
    fn count(&self, table: &Table, rows: usize) {
        self.1.set(self.1.get() + if table.name == "history" { rows } else { 0 });
    }
}

impl Reads for Counted<'_> {
    fn get(&self, table: &'static Table, keys: &[Row]) -> Result<Vec<Option<Row>>, RowsError> {
        self.count(table, keys.len());
        self.0.get(table, keys)
    }

    fn scan(&self, table: &'static Table, scan: &Scan<'_>) -> Result<Vec<Row>, RowsError> {
        let rows = self.0.scan(table, scan)?;
        self.count(table, rows.len());
        Ok(rows)
    }
}

#[test]
fn given_a_long_history_then_its_end_is_read_in_as_few_rows_as_hold_it() {
    for events in [1u64, 31, 32, 33, 64, 1_000] {
        let told: Vec<_> = (0..events).map(|at| told("A", "ingestion", at.cast_signed())).collect();
        let rows = project(&told);
        let whole = life(&rows, "A");
        for most in [0usize, 1, 31, 32, 33, 63, 64, 65, 200, usize::MAX] {
            let counted = Counted(&rows, Cell::new(0));
            let newest = Queries::new(&counted).newest_of("A", UtcNanos(START), most, None).unwrap().unwrap();
            let earlier = whole.steps.len().saturating_sub(most);
            assert_eq!(newest.steps, whole.steps[earlier..], "{most} of {events}");
            assert_eq!((newest.state.events, &newest.state), (events, &whole.state));
            assert!(counted.1.get() <= most.div_ceil(32), "{} rows for {most} of {events}", counted.1.get());
        }
    }
    let rows = project(&[]);
    assert_eq!(Queries::new(&rows).newest_of("A", UtcNanos(START), 1, None).unwrap(), None);
}

#[test]
fn given_a_chunk_that_is_gone_then_the_end_of_the_history_is_not_told_without_it() {
    let told: Vec<_> = (0..100).map(|hour| told("A", "ingestion", hour)).collect();
    let mut rows = project(&told);
    rows.delete(&HISTORY, &[vec!["A".into(), 2i64.into()]]).unwrap();
    let newest = |most| Queries::new(&rows).newest_of("A", UtcNanos(START), most, None);
    assert_eq!(newest(4).unwrap().unwrap().steps.len(), 4, "those stand in the invoice's own row");
    assert_eq!(newest(5).unwrap_err().code, "E1001");
}

#[test]
fn given_many_classes_then_pages_follow_the_deadline_without_gap_or_repeat() {
    let regions = ["", "eu-west-1", "uk-1"];
    let events: Vec<_> = (0..60i64)
        .map(|n| {
            let stage = ["ingestion", "authorization"][usize::try_from(n % 2).unwrap()];
            let region = regions[usize::try_from(n % 3).unwrap()];
            told(&format!("I{n:03}"), stage, n * 7 % 60).with("region", region)
        })
        .collect();
    let rows = project(&events);
    let queries = Queries::new(&rows);
    let standing = queries.standing(at(9_999)).unwrap();
    for (filter, count) in [(Filter::Open, 60), (Filter::Stuck, 60), (Filter::ReceivedNotCleared, 30)] {
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let page = queries.list(&standing, filter, &Narrow::default(), after.as_ref(), 7).unwrap();
            ids.extend(page.lines.into_iter().map(|line| (line.deadline, line.id)));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(ids.len(), count);
        assert!(ids.is_sorted_by_key(|(deadline, _)| *deadline));
        ids.sort();
        assert!(ids.windows(2).all(|two| two[0] != two[1]));
    }
    let narrow = Narrow { stage: Some(Stage::Ingestion), region: Some("uk-1".into()), currency: None };
    assert_eq!(queries.list(&standing, Filter::Open, &narrow, None, 100).unwrap().lines.len(), 10);
}

#[test]
fn given_a_payment_after_the_due_date_or_before_then_the_deadline_is_the_end_of_that_date() {
    let rows = project(&[told("A", "posting", 0).priced(100)]);
    assert_eq!(life(&rows, "A").state.deadline, Some(START + 28 * DAY));
}

#[test]
fn given_a_payment_of_another_amount_then_the_invoice_is_worth_what_it_was() {
    let worth = |events: &[support::Told]| {
        let state = life(&project(events), "A").state;
        (state.amount_minor, state.currency, state.condition)
    };
    let euro = || Some("EUR".to_owned());
    let paid = |amount: i64| told("A", "posting", 5).with("status", "paid").with("amount_minor", amount);
    let received = told("A", "ingestion", 0).priced(100_000);
    let less = paid(98_000).with("currency", "USD");
    assert_eq!(worth(&[received.clone(), less.clone()]), (Some(100_000), euro(), Condition::Paid));
    let rows = project(&[received.clone(), less.clone()]);
    assert_eq!(Queries::new(&rows).vendors(1).unwrap()[0].total.minor, 100_000);
    // Where its value was not known, what was paid is the best word of it.
    let unpriced = told("A", "ingestion", 0).with("currency", "EUR");
    assert_eq!(worth(&[unpriced.clone(), less]), (Some(98_000), Some("USD".to_owned()), Condition::Paid));
    assert_eq!(worth(&[unpriced, paid(7), paid(8)]), (Some(7), euro(), Condition::Paid));
    // A correction that is no payment counts, before and after it.
    let corrected = told("A", "reconciliation", 2).with("amount_minor", 99_000);
    assert_eq!(worth(&[received, corrected, paid(1)]), (Some(99_000), euro(), Condition::Paid));
}

#[test]
fn given_a_payment_of_a_part_then_it_is_open_in_its_stage_and_worth_what_it_was() {
    for word in ["partially_paid", "Partly_Paid", "part_paid"] {
        let part = |hours| told("A", "posting", hours).with("status", word).with("amount_minor", 40);
        let events = [
            told("A", "posting", 0).priced(100).with("status", "posted"),
            part(5).with("currency", "USD"),
            part(6),
            told("A", "posting", 8).with("status", "paid"),
        ];
        let state = |count: usize| life(&project(&events[..count]), "A").state;
        let open = state(3);
        assert_eq!((open.condition, open.amount_minor, open.loops), (Condition::InProgress, Some(100), 0));
        assert_eq!(open.currency.as_deref(), Some("EUR"));
        assert_eq!((state(4).condition, state(4).loops), (Condition::Paid, 0));
        assert_eq!(Queries::new(&project(&events)).report(at(9)).unwrap().odd, 0);
        assert_eq!(life(&project(&[part(0)]), "A").state.amount_minor, None, "a part is not the whole");
    }
}

/// The times of the visits in hours: in, out.
fn visits(events: &[support::Told]) -> Vec<(Stage, Option<i64>, Option<i64>)> {
    let hours = |at: Option<i64>| at.map(|at| (at - START) / HOUR);
    let state = life(&project(events), "A").state;
    state.visits.iter().map(|visit| (visit.stage, hours(visit.entered), hours(visit.left))).collect()
}

/// Received, matched, approved, posted, paid: one event each.
fn one_word_each() -> Vec<support::Told> {
    let word = |stage: &str, hours, status: &str| told("A", stage, hours).with("status", status);
    vec![
        word("ingestion", 0, "received"),
        word("reconciliation", 24, "matched"),
        word("authorization", 48, "approved"),
        word("posting", 72, "posted"),
        word("posting", 432, "paid"),
    ]
}

#[test]
fn given_one_word_of_each_stage_then_a_stage_begins_when_the_one_before_was_done() {
    let events = one_word_each();
    let third = (Stage::Authorization, Some(24), Some(48));
    assert_eq!(visits(&events[..4])[2..], [third, (Stage::Posting, Some(48), None)]);
    assert_eq!(visits(&events)[2..], [third, (Stage::Posting, Some(48), Some(432))]);
    assert_eq!(visits(&events)[0], (Stage::Ingestion, Some(0), Some(24)));
    // It was received, and then matched: when matching began, nobody told, and it is no time of nought.
    assert_eq!(visits(&events)[1], (Stage::Reconciliation, None, Some(24)));
    // A payment without a posting ends the wait after the approval.
    let unposted: Vec<_> =
        events.iter().filter(|event| event.accepted != START + 72 * HOUR).cloned().collect();
    assert_eq!(visits(&unposted)[3], (Stage::Posting, Some(48), Some(432)));
}

#[test]
fn given_a_posted_invoice_then_its_payment_is_due_from_the_begin_of_posting_and_nothing_begins_again() {
    let mut events = one_word_each();
    events.truncate(4);
    let state = |events: &[support::Told]| life(&project(events), "A").state;
    assert_eq!(state(&events).condition, Condition::Waiting);
    assert_eq!(state(&events).deadline, Some(START + (48 + 720) * HOUR));
    events.push(told("A", "posting", 80).with("status", "blocked"));
    events.push(told("A", "posting", 90).with("status", "released"));
    assert_eq!((state(&events).loops, state(&events).condition), (0, Condition::InProgress));
    assert_eq!(state(&events).deadline, Some(START + (48 + 720) * HOUR));
}

#[test]
fn given_a_return_or_times_out_of_order_or_of_two_clocks_then_no_begin_is_supposed() {
    let word = |stage: &str, hours, status: &str| told("A", stage, hours).with("status", status);
    let returned = [
        word("ingestion", 0, "done"),
        word("authorization", 10, "approved"),
        word("reconciliation", 20, "matched"),
    ];
    let found = visits(&returned);
    assert_eq!(found[2], (Stage::Authorization, Some(0), Some(10)));
    assert_eq!(found[1], (Stage::Reconciliation, None, Some(20)), "a step back goes on with nothing");
    let assumed = word("authorization", 10, "approved").time(None);
    assert_eq!(visits(&[returned[0].clone(), assumed])[1], (Stage::Authorization, None, Some(10)));
    // A close that is told late, of a time before: the stage did not begin after it ended.
    let early = word("posting", 5, "paid").accepted(START + 30 * HOUR);
    let found = visits(&[returned[0].clone(), returned[1].clone(), early]);
    assert_eq!(found[2], (Stage::Posting, None, Some(5)));
}

#[test]
fn given_words_that_stages_are_done_when_they_come_late_then_they_are_ends_and_no_begins() {
    let word = |stage: &str, hours: i64, status: &str| {
        told("A", stage, hours).with("status", status).accepted(START + 60 * HOUR)
    };
    let mut events = vec![
        word("ingestion", 0, "received"),
        word("posting", 30, "posted"),
        word("authorization", 20, "approved"),
        word("reconciliation", 10, "matched"),
    ];
    let found = visits(&events);
    assert_eq!(
        found[1..3],
        [(Stage::Reconciliation, None, Some(10)), (Stage::Authorization, None, Some(20))]
    );
    // The begin is told later still; and what comes after the close is no other than what comes late.
    events.push(word("authorization", 15, "started"));
    assert_eq!(visits(&events)[2], (Stage::Authorization, Some(15), Some(20)));
    let closed = [word("posting", 40, "paid"), word("reconciliation", 50, "matched")];
    assert_eq!(visits(&closed)[0], (Stage::Reconciliation, None, Some(50)));
    // A begin that came late is ended by a word that comes late, but for the stage that it is in.
    let begun = [
        word("authorization", 20, "approved"),
        word("ingestion", 0, "received"),
        word("ingestion", 5, "done"),
        word("authorization", 10, "started"),
    ];
    assert_eq!(visits(&begun)[0], (Stage::Ingestion, Some(0), Some(5)));
    let in_it = [
        word("authorization", 10, "started"),
        word("authorization", 20, "on_hold"),
        word("authorization", 15, "approved"),
    ];
    assert_eq!(visits(&in_it)[0], (Stage::Authorization, Some(10), None));
}

#[test]
fn given_an_approval_that_a_posting_implies_then_nobody_told_it() {
    let events = [
        told("A", "posting", 0),
        told("A", "authorization", 5).with("status", "approved"),
        told("A", "posting", 9).with("status", "paid"),
    ];
    let state = |count: usize| life(&project(&events[..count]), "A").state;
    assert_eq!((state(1).approved, state(1).approval_told), (Some(START), false));
    assert_eq!((state(2).approved, state(2).approval_told), (Some(START + 5 * HOUR), true));
    let none = life(&project(&[told("B", "ingestion", 0)]), "B").state;
    assert_eq!((none.approved, none.approval_told), (None, false));
    // Since when it is where it is: in its stage, and nowhere once it is paid.
    assert_eq!((state(1).since, state(2).since), (Some(START), Some(START + 5 * HOUR)));
    assert_eq!((state(3).since, state(3).closed), (None, Some(START + 9 * HOUR)));
}

#[test]
fn given_a_begin_that_was_supposed_when_the_entry_is_told_later_then_that_counts() {
    let mut events = one_word_each();
    events.truncate(3);
    let late = START + 60 * HOUR;
    events.push(told("A", "authorization", 40).with("status", "approved").accepted(late));
    assert_eq!(visits(&events)[2], (Stage::Authorization, Some(24), Some(48)), "no word of the entry");
    events.push(told("A", "authorization", 30).accepted(late));
    assert_eq!(visits(&events)[2], (Stage::Authorization, Some(30), Some(48)));
    events.push(told("A", "authorization", 28).accepted(late));
    events.push(told("A", "authorization", 29).accepted(late));
    assert_eq!(visits(&events)[2], (Stage::Authorization, Some(28), Some(48)), "the first of those told");
}
