//! Given single words of events, when they are projected, then each does what the reference says of it and no more.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop")]

mod support;

use support::{HOUR, START, Told, life, project, told};
use waag_invoices::config::Config;
use waag_invoices::event::Stage;
use waag_invoices::figures::KeyFigure;
use waag_invoices::queries::{Grain, Queries};
use waag_model::time::UtcNanos;
use waag_model::value::{Decimal, Value};

fn at(hours: i64) -> UtcNanos {
    UtcNanos(START + hours * HOUR)
}

/// Hours after the start at which the invoice `A` was received.
fn received(events: &[Told]) -> Option<i64> {
    life(&project(events), "A").state.received.map(|at| (at - START) / HOUR)
}

/// The hours of a stage's visit: when it was entered and left.
fn visit(events: &[Told], stage: Stage) -> (Option<i64>, Option<i64>) {
    let visits = life(&project(events), "A").state.visits;
    let visit = visits.iter().find(|visit| visit.stage == stage).unwrap();
    let hours = |at: Option<i64>| at.map(|at| (at - START) / HOUR);
    (hours(visit.entered), hours(visit.left))
}

#[test]
fn given_any_word_of_ingestion_without_activity_then_the_invoice_was_received() {
    for status in
        ["", "completed", "matched", "failed", "blocked", "released", "approved", "rejected", "no word"]
    {
        let word = told("A", "ingestion", 3).with("status", status);
        assert_eq!(received(std::slice::from_ref(&word)), Some(3), "{status}");
        let elsewhere = Told { kind: "invoice.reconciliation".to_owned(), ..word.clone() };
        assert_eq!(received(&[elsewhere]), None, "{status}");
        assert_eq!(received(&[word.with("activity", "Scan")]), None, "{status}");
    }
    let of_a_log = told("A", "reconciliation", 3).with("status", "matched");
    assert_eq!(received(&[of_a_log.with("activity", "Record Invoice Receipt")]), Some(3));
}

#[test]
fn given_a_receipt_that_is_told_then_it_counts_instead_of_one_that_was_implied() {
    let started = told("A", "ingestion", 8).with("status", "started");
    let told_late = told("A", "ingestion", 2).with("status", "received");
    assert_eq!(received(&[started.clone(), told_late.clone()]), Some(2));
    assert_eq!(received(&[told_late.clone(), started.clone()]), Some(2));
    // Of those that are told the first counts, and one without a usable time replaces none that has one.
    let again = told("A", "ingestion", 1).with("status", "received");
    assert_eq!(received(&[started.clone(), told_late.clone(), again]), Some(2));
    let undated = told_late.clone().time(Some("1948-01-01T00:00:00Z"));
    assert_eq!(received(&[started, undated.clone()]), Some(8));
    assert_eq!(received(&[undated, told_late]), Some(2));
}

#[test]
fn given_an_approved_invoice_with_a_due_date_then_that_is_its_deadline_and_of_no_other_one() {
    let deadline = |events: &[Told]| life(&project(events), "A").state.deadline.map(|at| (at - START) / HOUR);
    // The end of the 28th of June.
    let due = Some(28 * 24);
    let of =
        |stage: &str, status: &str| told("A", stage, 1).with("status", status).with("due_date", "2026-06-28");
    assert_eq!(deadline(&[of("authorization", "approved"), told("A", "reconciliation", 2)]), due);
    assert_eq!(deadline(&[of("reconciliation", "approved")]), due);
    assert_eq!(deadline(&[of("posting", "entered")]), due);
    // Done is not approved: 720 hours for posting.
    assert_eq!(deadline(&[of("authorization", "done")]), Some(1 + 720));
    // Told late, it moves the invoice nowhere and is an approval all the same.
    let entered = told("A", "authorization", 5).with("due_date", "2026-06-28");
    assert_eq!(deadline(std::slice::from_ref(&entered)), Some(5 + 48));
    assert_eq!(deadline(&[entered, told("A", "authorization", 4).with("status", "approved")]), due);
}

#[test]
fn given_what_duplicates_are_found_by_in_several_events_then_they_are_found() {
    let first = |id: &str| told(id, "ingestion", 0).with("vendor", "V");
    let price = |id: &str| told(id, "reconciliation", 1).with("amount_minor", 500).with("currency", "EUR");
    for (name, value) in [("reference", "R-77"), ("due_date", "2026-12-01"), ("invoice_date", "2026-05-30")] {
        let of = |id: &str, value: &str| [first(id).with(name, value), price(id)];
        let rows = project(&[of("A", value), of("B", value)].concat());
        assert!(life(&rows, "B").state.duplicate, "{name}");
        let rows = project(&[of("A", value), of("B", "2026-01-01")].concat());
        assert!(!life(&rows, "B").state.duplicate, "{name}");
    }
    // The invoice's own date comes before the one it is due on.
    let dated =
        |id: &str, due: &str| [first(id).with("invoice_date", "2026-05-30"), price(id).with("due_date", due)];
    let rows = project(&[dated("A", "2026-06-01"), dated("B", "2026-07-01")].concat());
    assert!(life(&rows, "B").state.duplicate);
}

#[test]
fn given_an_event_of_no_known_stage_then_it_moves_nothing_and_is_in_no_stages_figures() {
    let note = |hours| told("A", "note", hours).with("vendor", "V");
    let rows = project(&[
        note(5),
        told("A", "reconciliation", 1),
        told("A", "reconciliation", 6).with("status", "matched"),
        note(7),
        told("A", "posting", 8).with("status", "paid"),
        note(9),
    ]);
    let life = life(&rows, "A");
    assert_eq!((life.state.stage, life.state.loops), (Stage::Posting, 0));
    assert_eq!(life.state.visits[0].entered, Some(START + HOUR));
    assert!(life.steps.iter().all(|step| !step.marks.contains(&"return")));
    assert!(life.steps[5].marks.contains(&"after_close") && !life.steps[3].marks.contains(&"after_close"));
    let queries = Queries::new(&rows);
    let series = queries.series(Stage::Ingestion, Grain::Hour, (at(0), at(24)), None).unwrap();
    assert!(series.is_empty(), "{series:?}");
}

#[test]
fn given_whole_numbers_in_other_forms_then_they_are_read() {
    let decimal = |significand, exponent| support::Json(Value::Decimal(Decimal { significand, exponent }));
    for (significand, exponent, minor) in [(1, 3, 1_000), (50, -1, 5), (-700, -2, -7)] {
        let amount = told("A", "ingestion", 0).with("currency", "EUR");
        let rows = project(&[amount.with("amount_minor", decimal(significand, exponent))]);
        assert_eq!(life(&rows, "A").state.amount_minor, Some(minor), "{significand}e{exponent}");
    }
    for (significand, exponent) in [(15, -1), (1, 40), (1, -40)] {
        let amount = told("A", "ingestion", 0).with("currency", "EUR");
        let rows = project(&[amount.with("amount_minor", decimal(significand, exponent))]);
        assert_eq!(life(&rows, "A").state.amount_minor, None, "{significand}e{exponent}");
    }
    let mut by_number = told("A", "ingestion", 0).with("invoice_id", decimal(70, -1));
    by_number.subject = None;
    assert_eq!(life(&project(&[by_number]), "7").state.stage, Stage::Ingestion);
}

#[test]
fn given_a_payment_before_anything_else_then_the_invoices_own_amount_counts_when_it_is_told() {
    let paid =
        told("A", "posting", 5).with("status", "paid").with("amount_minor", 90).with("currency", "EUR");
    let invoice = told("A", "ingestion", 1).with("amount_minor", 100).with("currency", "USD");
    let worth = |events: &[Told]| {
        let state = life(&project(events), "A").state;
        (state.amount_minor, state.currency)
    };
    let in_dollars = (Some(100), Some("USD".to_owned()));
    assert_eq!(worth(&[paid.clone(), invoice.clone()]), in_dollars);
    assert_eq!(worth(&[invoice, paid.clone()]), in_dollars);
    let again =
        told("A", "posting", 6).with("status", "paid").with("amount_minor", 80).with("currency", "EUR");
    assert_eq!(worth(&[paid, again]), (Some(90), Some("EUR".to_owned())));
}

#[test]
fn given_a_late_word_that_a_stage_was_done_then_its_begin_stays_and_its_end_is_no_later() {
    let before = [
        told("A", "ingestion", 0),
        told("A", "authorization", 5),
        told("A", "posting", 6),
        told("A", "authorization", 3).with("status", "approved"),
    ];
    assert_eq!(visit(&before, Stage::Authorization), (Some(5), Some(6)));
    let done = |hours| told("A", "ingestion", hours).with("status", "done");
    let late = [told("A", "ingestion", 0), told("A", "reconciliation", 5), done(3)];
    assert_eq!(visit(&late, Stage::Ingestion), (Some(0), Some(3)));
    assert_eq!(visit(&[&late[..], &[done(4)]].concat(), Stage::Ingestion), (Some(0), Some(3)));
}

#[test]
fn given_an_open_invoice_without_a_value_then_nothing_overdue_is_not_an_answer() {
    let now = at(29 * 24);
    let overdue = |events: &[Told]| -> KeyFigure {
        let rows = support::project_cut(&Config::default(), events, &[]);
        let queries = Queries::new(&rows);
        let figures = queries.key_figures(&queries.standing(now).unwrap(), 30).unwrap();
        figures.into_iter().find(|figure| figure.name == "overdue payables").unwrap()
    };
    let priced = told("A", "ingestion", 0)
        .with("amount_minor", 10)
        .with("currency", "EUR")
        .with("due_date", "2026-12-31");
    assert_eq!(overdue(std::slice::from_ref(&priced)).value, Some(0));
    let unpriced = told("B", "ingestion", 0).with("due_date", "2026-06-02");
    let figure = overdue(&[priced, unpriced]);
    assert_eq!(figure.value, None);
    assert!(figure.note.unwrap().contains("1 invoice open"));
}
