//! Given these events, when they are projected, then throughput, steps from stage to stage, times and due dates are these.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop")]

mod support;

use support::{DAY, HOUR, START, Told, project, project_cut, told};
use waag_domain::memory::MemoryRows;
use waag_invoices::cash::Step;
use waag_invoices::config::{Config, REGION_OTHER};
use waag_invoices::event::Stage;
use waag_invoices::moves::{Move, Place};
use waag_invoices::queries::{Grain, Queries};
use waag_invoices::tables::{FLOW, LATENCY, LATENCY_REGION, PULSE};
use waag_model::time::{UtcDay, UtcNanos};

fn at(hours: i64) -> UtcNanos {
    UtcNanos(START + hours * HOUR)
}

/// The steps of some hours: from, to, how often, value in the first currency.
fn steps(rows: &MemoryRows, grain: Grain, hours: (i64, i64)) -> Vec<(Place, Place, i64, i128)> {
    let flows = Queries::new(rows).flows(grain, (at(hours.0), at(hours.1))).unwrap();
    let line = |flow: &waag_invoices::speed::Flow| {
        (flow.step.from, flow.step.to, flow.invoices, flow.value[0].minor)
    };
    flows.iter().map(line).collect()
}

#[test]
fn steps_are_counted_from_the_outside_to_the_payment_and_back() {
    let (first, second) = (Place::In(Stage::Ingestion), Place::In(Stage::Reconciliation));
    let (third, last) = (Place::In(Stage::Authorization), Place::In(Stage::Posting));
    let rows = project(&[
        told("A", "ingestion", 0).priced(100),
        told("B", "ingestion", 1).priced(50),
        told("A", "reconciliation", 2),
        // A second word of the same stage is no step.
        told("A", "reconciliation", 3).with("status", "failed"),
        told("A", "authorization", 4),
        told("A", "reconciliation", 5),
        told("A", "posting", 30).with("status", "paid"),
        told("B", "authorization", 31).with("status", "rejected"),
        told("B", "authorization", 32).with("status", "reopened"),
    ]);
    let first_day = [
        (first, second, 1, 100),
        (second, third, 1, 100),
        (third, second, 1, 100),
        (Place::Outside, first, 2, 150),
    ];
    assert_eq!(steps(&rows, Grain::Hour, (0, 24)), first_day);
    assert_eq!(steps(&rows, Grain::Day, (0, 24)), first_day);
    assert_eq!(
        steps(&rows, Grain::Day, (24, 48)),
        [
            (first, third, 1, 50),
            (second, last, 1, 100),
            (third, Place::Rejected, 1, 50),
            (last, Place::Paid, 1, 100),
            (Place::Rejected, third, 1, 50),
        ]
    );
    assert!(Move { from: third, to: second }.is_return());
    assert_eq!(steps(&rows, Grain::Hour, (1, 2)), [(Place::Outside, first, 1, 50)]);
}

#[test]
fn throughput_is_told_by_stage_and_region_over_all_currencies() {
    let event = |id: &str, region: &str, currency: &str, hours| {
        told(id, "ingestion", hours).with("region", region).with("currency", currency).with("amount_minor", 5)
    };
    let rows = project(&[
        event("A", "uk-1", "GBP", 0),
        event("B", "uk-1", "EUR", 0),
        event("C", "eu-west-1", "EUR", 0),
        event("D", "uk-1", "EUR", 1).with("status", "failed"),
    ]);
    let queries = Queries::new(&rows);
    let standing = queries.standing(at(2)).unwrap();
    for grain in [Grain::Minute, Grain::Hour] {
        let lines = queries.throughput(&standing, grain, (at(0), at(2))).unwrap();
        let found: Vec<_> = lines
            .iter()
            .map(|line| {
                let points =
                    line.points.iter().map(|p| ((p.at - START) / HOUR, p.events, p.entered, p.failed));
                (line.region.as_str(), points.collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(found, [("eu-west-1", vec![(0, 1, 1, 0)]), ("uk-1", vec![(0, 2, 2, 0), (1, 1, 1, 1)])]);
    }
}

#[test]
fn minutes_and_hours_are_forgotten_and_days_are_kept() {
    let config = Config { minute_days: 1, hour_days: 2, ..Config::default() };
    let events: Vec<Told> = (0..5).map(|day| told(&format!("{day}"), "ingestion", day * 24)).collect();
    let rows = project_cut(&config, &events, &[]);
    let levels = |table, level: i64| {
        rows.all(table)
            .filter(|row| row[0].integer() == Some(level))
            .map(|row| row[1].integer().unwrap())
            .min()
    };
    let today = START / DAY + 4;
    assert_eq!(
        [0, 1, 2].map(|level| levels(&PULSE, level).unwrap()),
        [(today - 1) * 1_440, (today - 2) * 24, today - 4]
    );
    assert_eq!([1, 2].map(|level| levels(&FLOW, level).unwrap()), [(today - 2) * 24, today - 4]);
}

#[test]
fn times_are_those_of_all_vendor_classes_together() {
    let mut events = Vec::new();
    for n in 0..100 {
        let (id, region) = (format!("{n}"), ["uk-1", "eu-west-1"][usize::try_from(n % 2).unwrap()]);
        let class = ["strategic", "tail"][usize::from(n >= 50)];
        events.push(told(&id, "ingestion", 0).with("region", region).with("vendor_class", class));
        events.push(told(&id, "reconciliation", n + 1));
    }
    events.sort_by_key(|event| event.accepted);
    let rows = project_cut(&Config::default(), &events, &[7, 33, 50]);
    let times = Queries::new(&rows).stage_times(at(5 * 24), 30).unwrap();
    let all = times.stages[&Stage::Ingestion];
    assert_eq!((times.stages.len(), all.count), (1, 100));
    // 1 to 100 hours, within 1 %.
    for (found, hours) in [(all.p50_ms, 50), (all.p95_ms, 95), (all.p99_ms, 99)] {
        assert!(found.abs_diff(hours * 3_600_000) * 100 <= hours * 3_600_000, "{found} {hours}");
    }
    let uk = times.regions[&("uk-1".to_owned(), Stage::Ingestion)];
    assert!(uk.count == 50 && uk.p50_ms.abs_diff(49 * 3_600_000) * 100 <= 49 * 3_600_000, "{uk:?}");
}

#[test]
fn times_are_those_of_visits_that_ended_on_the_days_whenever_they_were_recorded() {
    let recorded = START + 5 * DAY;
    let mut events = Vec::new();
    // Ten visits that ended on ten days, all recorded on the sixth day.
    for day in -5..5 {
        let event = |stage, hours| told(&format!("{day}"), stage, hours).accepted(recorded);
        events.extend([event("ingestion", day * 24), event("reconciliation", day * 24 + 3)]);
    }
    let rows = project(&events);
    let each = project_cut(&Config::default(), &events, &vec![1; events.len()]);
    for (now, days, count) in
        [(at(5 * 24), 1, 0), (at(4 * 24 + 23), 1, 1), (at(4 * 24), 7, 7), (at(0), 30, 6)]
    {
        for rows in [&rows, &each] {
            let times = Queries::new(rows).stage_times(now, days).unwrap();
            assert_eq!(times.stages.get(&Stage::Ingestion).map_or(0, |times| times.count), count);
        }
    }
}

#[test]
fn regions_beyond_the_limit_share_one_in_stage_times_too() {
    let config = Config { segments_max: 4, ..Config::default() };
    let found = |regions: i64| -> Vec<(String, u64)> {
        let event = |n: i64, stage: &str, hours| {
            told(&format!("{n}"), stage, hours).with("region", format!("r{n}").as_str())
        };
        let mut events: Vec<Told> = (0..regions).map(|n| event(n, "ingestion", 0)).collect();
        events.extend((0..regions).map(|n| event(n, "reconciliation", 1)));
        let times = |cuts: &[usize]| {
            let rows = project_cut(&config, &events, cuts);
            assert_eq!(rows.count(&LATENCY), rows.count(&LATENCY_REGION));
            Queries::new(&rows).stage_times(at(24), 30).unwrap()
        };
        let whole = times(&[]);
        assert_eq!(times(&vec![1; events.len()]), whole);
        assert_eq!(whole.stages[&Stage::Ingestion].count, u64::try_from(regions).unwrap());
        whole.regions.into_iter().map(|((region, _), times)| (region, times.count)).collect()
    };
    let line = |region: &str, count| (region.to_owned(), count);
    let four = vec![line("r0", 1), line("r1", 1), line("r2", 1), line("r3", 1)];
    assert_eq!(found(4), four);
    assert_eq!(found(40), [vec![line(REGION_OTHER, 36)], four].concat());
}

#[test]
fn due_dates_are_shown_in_part_and_told_in_whole() {
    // 1 June 2026 was a Monday.
    let due = ["2024-02-29", "2026-05-31", "2026-06-01", "2026-06-07", "2026-06-08", "2031-01-01", ""];
    let mut events: Vec<Told> = (1i64..)
        .zip(due)
        .map(|(amount, date)| {
            let event = told(&format!("I{amount}"), "ingestion", 0);
            event.with("currency", "EUR").with("amount_minor", amount).with("due_date", date)
        })
        .collect();
    events.push(told("J", "ingestion", 0).with("currency", "USD").with("amount_minor", 70));
    let rows = project(&events);
    let queries = Queries::new(&rows);
    let today = UtcDay(i32::try_from(START / DAY).unwrap());
    let totals = queries.cash_totals(today).unwrap();
    let (euro, dollar) = (&totals[0], &totals[1]);
    assert_eq!(
        (euro.outstanding.minor, euro.overdue.minor, euro.week.minor, euro.undated.minor),
        (28, 3, 7, 7)
    );
    assert_eq!((dollar.outstanding.minor, dollar.undated.minor), (70, 70));
    let dates = |by, from, steps| {
        let dates = queries.cash_dates("EUR", by, from, steps).unwrap();
        let shown = dates.steps.iter().map(|step| (step.day - i64::from(today.0), step.sum.minor));
        (dates.before.minor, shown.collect::<Vec<_>>(), dates.behind.minor)
    };
    assert_eq!(dates(Step::Week, today, 2), (3, vec![(0, 7), (7, 5)], 6));
    assert_eq!(dates(Step::Day, today, 2), (3, vec![(0, 3)], 15));
    assert_eq!(dates(Step::Week, UtcDay(today.0 - 1), 1), (1, vec![(-7, 2)], 18));
    assert_eq!(queries.cash_dates("SEK", Step::Day, today, 5).unwrap().before.invoices, 0);
}
