//! Given these events, when they are projected, then figures, key figures, stage times and learned cohorts are these.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop")]

mod support;

use support::{DAY, HOUR, START, Told, project, project_cut, told};
use waag_domain::memory::MemoryRows;
use waag_domain::project::Projection;
use waag_invoices::config::{CLASS_OTHER, Config, ServiceLevel};
use waag_invoices::event::Stage;
use waag_invoices::figures::KeyFigure;
use waag_invoices::project::Invoices;
use waag_invoices::queries::{Grain, Queries};
use waag_invoices::tables::KEY_FIGURES;
use waag_model::time::UtcNanos;

const NOW: UtcNanos = UtcNanos(START + 29 * DAY);

fn figure(rows: &MemoryRows, name: &str) -> KeyFigure {
    let queries = Queries::new(rows);
    let figures = queries.key_figures(&queries.standing(NOW).unwrap(), 30).unwrap();
    assert_eq!(figures.len(), 10);
    figures.into_iter().find(|figure| figure.name == name).unwrap()
}

/// Three paid invoices: one flawless, one late, by hand and after a failure, one that says little; and an open one.
fn month() -> Vec<Told> {
    vec![
        told("A", "ingestion", 0).priced(10_000).with("touch", "auto"),
        told("B", "ingestion", 0).priced(20_000).with("reference", "7"),
        told("C", "ingestion", 0),
        told("D", "ingestion", 0).priced(20_000).with("reference", "7"),
        told("A", "authorization", 24).with("status", "approved"),
        told("B", "authorization", 24).with("status", "failed").with("touch", "manual"),
        told("B", "reconciliation", 30),
        told("B", "authorization", 72).with("status", "approved"),
        told("A", "posting", 48).with("status", "paid"),
        told("C", "posting", 48).with("status", "paid"),
        told("B", "posting", 29 * 24).with("status", "paid"),
    ]
}

#[test]
fn the_ten_key_figures_are_what_their_definitions_say() {
    let rows = project(&month());
    assert_eq!(figure(&rows, "touchless rate").value, Some(5_000));
    assert_eq!(figure(&rows, "on-time payment rate").value, Some(5_000));
    assert_eq!(figure(&rows, "exception rate").value, Some(3_333));
    assert_eq!(figure(&rows, "duplicate rate").value, Some(2_500));
    assert_eq!(figure(&rows, "rework rate").value, Some(3_333));
    // A after 1 day, B after 3; of C nobody said that it was approved.
    let processing = figure(&rows, "invoice processing time");
    assert_eq!((processing.value, processing.of), (Some(200), 2));
    // A and C after 2 days, B after 29.
    assert_eq!(figure(&rows, "days to pay").value, Some(1_100));
    let payable = figure(&rows, "days payable outstanding");
    // D of 200.00 is open, 500.00 were received in the 30 days of the ledger.
    assert_eq!((payable.by_currency[0].value, payable.by_currency[0].currency.as_str()), (1_200, "EUR"));
    assert_eq!((payable.of, payable.by_currency[0].of), (1, 1));
    assert_eq!(figure(&rows, "value stuck").by_currency[0].value, 20_000);
    assert_eq!(figure(&rows, "overdue payables").by_currency[0].value, 20_000);
}

/// Paid after 2 days, taken back, and paid after 28, which is too late.
fn paid_again() -> Vec<Told> {
    vec![
        told("A", "ingestion", 0).priced(10_000).with("touch", "auto"),
        told("A", "authorization", 24).with("status", "approved"),
        told("A", "posting", 48).with("status", "paid"),
        told("A", "posting", 72).with("status", "reopened"),
        told("A", "posting", 28 * 24).with("status", "paid"),
    ]
}

#[test]
fn a_reopened_invoice_leaves_the_figures_of_paid_ones_until_it_is_paid_again() {
    let events = paid_again();
    let after = |count: usize, name: &str| {
        let whole = project(&events[..count]);
        let found = figure(&whole, name);
        let each = project_cut(&Config::default(), &events[..count], &vec![1; count]);
        assert_eq!(figure(&each, name), found, "{name} after {count} events, one in each batch");
        (found.value, found.of)
    };
    assert_eq!(after(3, "days to pay"), (Some(200), 1));
    assert_eq!(after(3, "on-time payment rate"), (Some(10_000), 1));
    assert_eq!(after(3, "rework rate"), (Some(0), 1));
    assert_eq!(after(3, "touchless rate"), (Some(10_000), 1));
    for name in ["days to pay", "on-time payment rate", "rework rate", "exception rate", "touchless rate"] {
        assert_eq!(after(4, name), (None, 0), "{name}");
    }
    assert_eq!(after(5, "days to pay"), (Some(2_800), 1));
    assert_eq!(after(5, "on-time payment rate"), (Some(0), 1));
    assert_eq!(after(5, "rework rate"), (Some(10_000), 1));
    assert_eq!(after(5, "touchless rate"), (Some(0), 1));
    assert_eq!(after(5, "exception rate"), (Some(0), 1));
    assert_eq!(after(5, "invoice processing time"), (Some(100), 1));
}

#[test]
fn an_approval_that_is_told_replaces_one_that_a_posting_implied() {
    let late = START + 50 * HOUR;
    let events = [
        told("A", "posting", 48),
        told("A", "ingestion", 0).accepted(late),
        told("A", "authorization", 24).with("status", "approved").accepted(late + HOUR),
        // A second word of it changes nothing.
        told("A", "authorization", 36).with("status", "approved").accepted(late + 2 * HOUR),
    ];
    let time = |count: usize| {
        let rows = project(&events[..count]);
        let each = project_cut(&Config::default(), &events[..count], &vec![1; count]);
        let found = figure(&rows, "invoice processing time");
        assert_eq!(figure(&each, "invoice processing time"), found);
        (support::life(&rows, "A").state.approved.unwrap() - START, found.value, found.of)
    };
    assert_eq!(time(1), (48 * HOUR, None, 0));
    assert_eq!(time(2), (48 * HOUR, None, 0), "nobody told when it was approved");
    assert_eq!(time(3), (24 * HOUR, Some(100), 1));
    assert_eq!(time(4), (24 * HOUR, Some(100), 1));
}

#[test]
fn what_has_no_usable_time_is_in_no_figure_of_a_time_until_one_is_told() {
    let past = Some("1948-01-26T23:59:00Z");
    let mut events = vec![
        told("A", "ingestion", 0).priced(10_000).time(past),
        told("A", "authorization", 24).with("status", "approved").time(Some("soon")),
        told("A", "posting", 48).with("status", "paid").time(past),
    ];
    let counts = |events: &[Told]| {
        let rows = project(events);
        let each = project_cut(&Config::default(), events, &vec![1; events.len()]);
        ["duplicate rate", "invoice processing time", "days to pay", "on-time payment rate", "exception rate"]
            .map(|name| {
                let found = figure(&rows, name);
                assert_eq!(figure(&each, name), found, "{name}");
                found.of
            })
    };
    assert_eq!(counts(&events), [0; 5], "received, approved and paid, nobody knows when");
    let cleared = |rows: &MemoryRows| Queries::new(rows).report(NOW).unwrap().cleared;
    assert_eq!(cleared(&project(&events)), 1, "it counts as paid all the same");
    let days: Vec<_> = project(&events).all(&KEY_FIGURES).map(|row| row[0].integer().unwrap()).collect();
    assert_eq!(days, [99_999_999]);
    // A time that is told later counts; for the payment, once it was taken back.
    events.push(told("A", "ingestion", 0).accepted(START + 50 * HOUR));
    assert_eq!(counts(&events), [1, 0, 0, 0, 0], "receiving counts whenever it is told");
    let open = events.iter().enumerate().filter(|(at, _)| *at != 2).map(|(_, event)| event.clone());
    let mut events: Vec<Told> = open.collect();
    assert_eq!(counts(&events), [1, 0, 0, 0, 0]);
    events.push(told("A", "authorization", 51).with("status", "approved"));
    events.push(told("A", "posting", 52).with("status", "paid"));
    assert_eq!(counts(&events), [1, 1, 1, 1, 1]);
    // An event that tells no time at all is taken to have happened when it was accepted.
    assert_eq!(counts(&[told("B", "ingestion", 0).priced(1).time(None)]), [1, 0, 0, 0, 0]);
}

#[test]
fn a_figure_that_cannot_be_computed_says_why() {
    let rows = project(&[told("A", "ingestion", 0)]);
    for name in ["touchless rate", "on-time payment rate", "days to pay", "invoice processing time"] {
        let figure = figure(&rows, name);
        assert!(figure.value.is_none() && figure.note.is_some(), "{name}");
    }
    // Without values nothing was compared; with them, nothing was found.
    assert_eq!(figure(&rows, "duplicate rate").value, None);
    let priced = project(&[told("A", "ingestion", 0).priced(5)]);
    assert_eq!(figure(&priced, "duplicate rate").value, Some(0));
    for rows in [rows, MemoryRows::new()] {
        assert!(figure(&rows, "duplicate rate").note.is_some());
    }
}

#[test]
fn cash_is_what_is_open_by_due_date_and_currency() {
    let rows = project(&[
        told("A", "ingestion", 0).priced(100),
        told("B", "ingestion", 0).priced(150),
        told("C", "ingestion", 0).with("amount_minor", 7).with("currency", "JPY"),
        told("A", "posting", 1).with("status", "paid"),
        told("B", "reconciliation", 2).with("amount_minor", 140),
    ]);
    let queries = Queries::new(&rows);
    let totals = queries.cash_totals(UtcNanos(START + 30 * DAY).day()).unwrap();
    let lines: Vec<_> = totals
        .iter()
        .map(|total| {
            (
                total.outstanding.currency.as_str(),
                total.outstanding.minor,
                total.overdue.minor,
                total.undated.minor,
            )
        })
        .collect();
    assert_eq!(lines, [("EUR", 140, 140, 0), ("JPY", 7, 0, 7)]);
    let vendors = Queries::new(&rows).vendors(5).unwrap();
    assert_eq!((vendors[0].total.invoices, vendors[0].open.invoices, vendors[0].open.minor), (2, 1, 140));
}

#[test]
fn sums_beyond_64_bits_are_exact_wherever_they_are_told() {
    let events: Vec<Told> = (0..3).map(|n| told(&format!("{n}"), "ingestion", 0).priced(i64::MAX)).collect();
    let rows = project(&events);
    let (queries, sum) = (Queries::new(&rows), 3 * i128::from(i64::MAX));
    let standing = queries.standing(NOW).unwrap();
    let tile = &standing.tiles()[0];
    assert_eq!([tile.value[0].minor, tile.stuck_value[0].minor], [sum; 2]);
    assert_eq!(queries.cash_totals(NOW.day()).unwrap()[0].overdue.minor, sum);
    assert_eq!(queries.vendors(1).unwrap()[0].total.minor, sum);
    let flows = queries.flows(Grain::Day, (UtcNanos(START), NOW)).unwrap();
    assert_eq!(flows[0].value[0].minor, sum);
    for name in ["value stuck", "overdue payables"] {
        let figure = figure(&rows, name);
        assert_eq!((figure.by_currency[0].value, figure.note), (sum, None), "{name}");
    }
    assert_eq!(figure(&rows, "days payable outstanding").by_currency[0].value, 3_000);
    // A month's receipts of the smallest unit, and all that 64 bits hold unpaid from before.
    let long_ago = told("old", "ingestion", -100 * 24).priced(i64::MAX);
    let paid = told("new", "ingestion", 1).priced(1);
    let rows = project(&[long_ago, paid, told("new", "posting", 2).with("status", "paid")]);
    let payable = figure(&rows, "days payable outstanding");
    assert_eq!(payable.by_currency[0].value, i128::from(i64::MAX) * 90 * 100);
}

#[test]
fn payables_are_measured_over_the_days_the_ledger_has_receipts_of() {
    // Each day 1.00 is received, and that of the last five days is open.
    let after = |days: i64| {
        let id = |day: i64| format!("{day}");
        let first = 30 - days;
        let mut events: Vec<Told> =
            (first..30).map(|day| told(&id(day), "ingestion", day * 24).priced(100)).collect();
        let paid = (first..25).map(|day| told(&id(day), "posting", 29 * 24).with("status", "paid"));
        events.extend(paid);
        events.sort_by_key(|event| event.accepted);
        let found = figure(&project(&events), "days payable outstanding");
        let note = found.note.unwrap();
        (found.by_currency.first().map(|one| (one.value, one.of)), found.of, note)
    };
    for days in [7, 8, 31, 89, 90, 91, 400] {
        let (found, of, note) = after(days);
        assert_eq!((found, of), (Some((500, 5)), 5), "{days} days");
        assert!(note.contains(&format!("over {} days", days.min(90))), "{note}");
    }
    for days in [1, 6] {
        let (found, of, note) = after(days);
        assert_eq!((found, of), (None, 0));
        assert!(note.contains(&format!("receipts of {days} days")), "{note}");
    }
    assert!(figure(&MemoryRows::new(), "days payable outstanding").note.unwrap().contains("no invoice"));
    // A ledger that is older than the period, and rested for most of it.
    let rested = [
        told("A", "ingestion", -100 * 24).priced(900),
        told("A", "posting", -99 * 24).with("status", "paid"),
        told("B", "ingestion", 28 * 24).priced(100),
    ];
    assert_eq!(figure(&project(&rested), "days payable outstanding").by_currency[0].value, 9_000);
    // Nothing is left to pay: nought, and no want of an answer.
    let paid = [told("A", "ingestion", 0).priced(900), told("A", "posting", 24).with("status", "paid")];
    let found = figure(&project(&paid), "days payable outstanding");
    assert_eq!((found.by_currency[0].value, found.by_currency[0].of), (0, 0));
}

#[test]
fn an_old_receipt_in_one_currency_says_nothing_of_another() {
    let two_days = |id: &str, hours| told(id, "ingestion", hours).priced(100);
    let in_huf =
        |id: &str, hours| told(id, "ingestion", hours).with("amount_minor", 100).with("currency", "HUF");
    let (old, new) = (in_huf("OLD", -150 * 24), in_huf("NEW", 28 * 24));
    let events = [old, two_days("A", 28 * 24), two_days("B", 29 * 24), new];
    let found = figure(&project(&events), "days payable outstanding");
    let currencies: Vec<&str> = found.by_currency.iter().map(|one| one.currency.as_str()).collect();
    assert_eq!(currencies, ["HUF"]);
    let note = found.note.unwrap();
    assert!(note.contains("over 90 days") && note.contains("not of EUR, of which too few days"), "{note}");
}

#[test]
fn a_short_mean_is_told_in_seconds() {
    let events = [
        told("A", "ingestion", 0),
        told("A", "posting", 0).time(Some("2026-06-01T00:06:00Z")).with("status", "paid"),
    ];
    let rows = project(&events);
    let paid = figure(&rows, "days to pay");
    assert_eq!((paid.value, paid.of), (Some(0), 1));
    assert_eq!(paid.seconds, Some(360));
    assert_eq!(figure(&rows, "on-time payment rate").seconds, None);
}

#[test]
fn a_sum_of_nought_is_told_apart_from_one_that_nobody_knows() {
    let found = |events: &[Told], name: &str| {
        let rows = project(events);
        let each = project_cut(&Config::default(), events, &vec![1; events.len()]);
        let found = figure(&rows, name);
        assert_eq!(figure(&each, name), found, "{name}");
        (found.value, found.by_currency.iter().map(|one| one.value).sum::<i128>(), found.of, found.note)
    };
    let (stuck, overdue) = ("value stuck", "overdue payables");
    let note = |text: &str| Some(text.to_owned());
    let unpriced = |id: &str| told(id, "ingestion", 0).with("currency", "EUR").with("due_date", "2026-06-02");
    // Two are stuck, and of neither is known what it is worth.
    let two = [unpriced("A"), told("B", "ingestion", 0).with("amount_minor", 7)];
    let missing = |what: &str, rest: &str| note(&format!("without {what}: {rest}"));
    let value = "an amount or currency";
    assert_eq!(found(&two, stuck), (None, 0, 0, missing(value, "2 invoices past the deadline")));
    assert_eq!(found(&two, overdue), (None, 0, 0, missing(value, "2 invoices open")));
    // One more that is worth something: its value, and what is not in it.
    let three = [two[0].clone(), two[1].clone(), told("C", "ingestion", 0).priced(50)];
    assert_eq!(found(&three, stuck), (None, 50, 1, missing(value, "2 invoices past the deadline")));
    assert_eq!(found(&three, overdue), (None, 50, 1, missing(value, "2 invoices open")));
    // Nothing is stuck or overdue, and values are told: nought. Without any, nobody knows.
    let fresh =
        |amount: &'static str| told("A", "ingestion", 29 * 24).with(amount, 50).with("currency", "EUR");
    let due = [fresh("amount_minor").with("due_date", "2026-09-01")];
    assert_eq!(found(&due, stuck), (Some(0), 0, 0, None));
    assert_eq!(found(&due, overdue), (Some(0), 0, 0, None));
    let undated = [fresh("amount_minor")];
    assert_eq!(found(&undated, overdue), (None, 0, 0, missing("a due date", "1 invoice open")));
    let none = note("no invoice has an amount and a currency");
    assert_eq!(found(&[fresh("note")], stuck), (None, 0, 0, none.clone()));
    assert_eq!(found(&[], stuck), (None, 0, 0, none.clone()));
    assert_eq!(found(&[], overdue), (None, 0, 0, none));
    // All of it is paid: nothing is stuck, and that is known.
    let paid = [fresh("amount_minor"), told("A", "posting", 29 * 24).with("status", "paid")];
    assert_eq!([found(&paid, stuck), found(&paid, overdue)], [(Some(0), 0, 0, None), (Some(0), 0, 0, None)]);
}

#[test]
fn open_invoices_without_a_value_are_counted_and_those_without_a_currency_among_them() {
    let receive = |id: &str| told(id, "ingestion", 0);
    let mut events = vec![
        receive("A").priced(100),
        receive("B").with("currency", "EUR"),
        receive("C").with("currency", "EUR").with("amount_minor", "ten"),
        receive("D").with("amount_minor", 7),
        receive("E").with("currency", "XTS").with("amount_minor", 7),
        told("F", "reconciliation", 0),
        receive("G"),
        told("G", "posting", 1).with("status", "paid"),
    ];
    let counts = |events: &[Told]| {
        let rows = project(events);
        let each = project_cut(&Config::default(), events, &vec![1; events.len()]);
        let found = Queries::new(&rows).unpriced().unwrap();
        assert_eq!(Queries::new(&each).unpriced().unwrap(), found);
        let (open, received) = (found.open, found.received);
        [open.invoices, open.without_currency, received.invoices, received.without_currency]
    };
    assert_eq!(counts(&events), [5, 3, 4, 2]);
    events.push(told("B", "reconciliation", 2).with("amount_minor", 5));
    events.push(told("D", "reconciliation", 2).with("currency", "EUR"));
    assert_eq!(counts(&events), [3, 2, 2, 1]);
    assert_eq!(counts(&[]), [0; 4]);
}

#[test]
fn series_count_events_by_their_time_for_all_vendors_and_for_one() {
    let rows = project(&[
        told("A", "ingestion", 0).priced(100),
        told("B", "ingestion", 0),
        told("C", "ingestion", 5).priced(100),
        told("C", "reconciliation", 5).with("status", "failed"),
        told("C", "reconciliation", 6),
    ]);
    let queries = Queries::new(&rows);
    let period = (UtcNanos(START), UtcNanos(START + DAY));
    let events = |stage, grain, vendor| -> Vec<(i64, i64, i64)> {
        let points = queries.series(stage, grain, period, vendor).unwrap();
        points.iter().map(|p| ((p.at - START) / HOUR, p.events, p.failed)).collect()
    };
    assert_eq!(events(Stage::Ingestion, Grain::Hour, None), [(0, 2, 0), (5, 1, 0)]);
    assert_eq!(events(Stage::Ingestion, Grain::Hour, Some("Hansa Papier GmbH")), [(0, 1, 0), (5, 1, 0)]);
    assert_eq!(events(Stage::Reconciliation, Grain::Day, None), [(0, 2, 1)]);
    let minutes =
        queries.series(Stage::Ingestion, Grain::Minute, (UtcNanos(START), UtcNanos(START + HOUR)), None);
    assert_eq!(minutes.unwrap().len(), 1);
}

/// Twenty invoices a day that take from 1 to 20 hours to be matched.
fn steady(days: i64) -> Vec<Told> {
    let mut events = Vec::new();
    for day in 0..days {
        for n in 0..20 {
            let id = format!("{day}-{n}");
            events.push(told(&id, "reconciliation", day * 24));
            events.push(told(&id, "authorization", day * 24 + n + 1));
        }
    }
    events.sort_by_key(|event| event.accepted);
    events
}

#[test]
fn a_cohort_learns_at_midnight_and_its_p95_shortens_later_deadlines() {
    let config = Config { learned_samples_min: 40, ..Config::default() };
    let deadline = |days: i64| {
        let mut events = steady(days);
        events.push(told("new", "reconciliation", days * 24));
        let rows = project_cut(&config, &events, &[]);
        let hours = (support::life(&rows, "new").state.deadline.unwrap() - START) / HOUR - days * 24;
        (hours, Queries::new(&rows).cohorts().unwrap())
    };
    assert_eq!(deadline(1).0, 72, "twenty samples are too few");
    let (hours, cohorts) = deadline(3);
    // The 95th percentile of 1 to 20 hours is 19, within 1 %, rounded up to the hour.
    assert!((19..=20).contains(&hours), "{hours}");
    assert_eq!((cohorts[0].stage, cohorts[0].samples), (Stage::Reconciliation, 60));
    let p95 = cohorts[0].p95_ms;
    assert!((p95 - 19 * 3_600_000).abs() * 100 <= 19 * 3_600_000, "{p95}");
}

#[test]
fn vendor_classes_beyond_the_limit_share_a_cohort() {
    let config = Config { learned_samples_min: 1, classes_max: 2, ..Config::default() };
    // Of each class, an invoice that takes as many hours as the class's number, and a day later one more.
    let learned = |classes: i64, new: &str| {
        let event =
            |id: String, class: &str, stage: &str, hours| told(&id, stage, hours).with("vendor_class", class);
        let mut events = Vec::new();
        for class in 1..=classes {
            let name = format!("c{class}");
            events.push(event(format!("{class}"), &name, "reconciliation", 0));
            events.push(event(format!("{class}"), &name, "authorization", class));
        }
        events.sort_by_key(|event| event.accepted);
        events.push(event("new".into(), new, "reconciliation", 24));
        let rows = project_cut(&config, &events, &[]);
        let each = project_cut(&config, &events, &vec![1; events.len()]);
        let cohorts: Vec<_> = Queries::new(&rows).cohorts().unwrap();
        assert_eq!(Queries::new(&each).cohorts().unwrap(), cohorts);
        let deadline = |rows| support::life(rows, "new").state.deadline.unwrap();
        assert_eq!(deadline(&each), deadline(&rows));
        let cohorts: Vec<_> = cohorts.into_iter().map(|one| (one.vendor_class, one.samples)).collect();
        (cohorts, (deadline(&rows) - START) / HOUR - 24)
    };
    let line = |class: &str, samples| (class.to_owned(), samples);
    let two = vec![line("c1", 1), line("c2", 1)];
    assert_eq!(learned(2, "c9"), (two.clone(), 72), "nothing is known of another class");
    let (cohorts, hours) = learned(20, "c9");
    assert_eq!(cohorts, [vec![line(CLASS_OTHER, 18)], two].concat());
    // The classes from 3 to 20 take 20 hours at most, within 1 %, rounded up to the hour.
    assert!((20..=21).contains(&hours), "{hours}");
    assert!((2..=3).contains(&learned(20, "c2").1));
}

#[test]
fn latency_is_told_by_stage_and_minutes_are_forgotten() {
    let config = Config { minute_days: 1, hour_days: 2, ..Config::default() };
    let rows = project_cut(&config, &steady(5), &[]);
    let latency = Queries::new(&rows).latency(UtcNanos(START + 5 * DAY), 30).unwrap();
    assert_eq!((latency.len(), latency[0].stage, latency[0].count), (1, Stage::Reconciliation, 100));
    assert!(latency[0].p50_ms.abs_diff(10 * 3_600_000) * 100 <= 10 * 3_600_000);
    let first = |table: &'static waag_domain::project::Table, column: usize| {
        rows.all(table).map(|row| row[column].integer().unwrap()).min().unwrap()
    };
    let start_day = START / DAY;
    assert_eq!(first(&waag_invoices::tables::MINUTE, 0), (start_day + 3) * 1_440);
    assert_eq!(first(&waag_invoices::tables::HOUR, 0), start_day + 2);
    assert_eq!(first(&waag_invoices::tables::DAY, 0), start_day / 8);
}

#[test]
fn regions_stand_side_by_side() {
    let rows = project(&[
        told("A", "ingestion", 0).priced(100),
        told("B", "reconciliation", 0).with("region", "uk-1"),
        told("C", "reconciliation", 0).with("region", "uk-1"),
    ]);
    let regions = Queries::new(&rows).standing(UtcNanos(START + 2 * DAY)).unwrap().regions();
    let found: Vec<_> = regions.iter().map(|r| (r.region.as_str(), r.open, r.stuck)).collect();
    assert_eq!(found, [("eu-west-1", [1, 0, 0, 0], [1, 0, 0, 0]), ("uk-1", [0, 2, 0, 0], [0, 0, 0, 0])]);
}

#[test]
fn another_service_level_is_another_version_of_the_view() {
    let plain = Invoices::new(Config::default());
    let mut config = Config::default();
    config.service_levels.push(ServiceLevel {
        stage: Stage::Posting,
        vendor_class: None,
        currency: None,
        amount_minor_min: None,
        hours: 1,
    });
    assert_ne!(plain.version(), Invoices::new(config).version());
    assert_eq!(plain.version() >> 24, 7);
}
