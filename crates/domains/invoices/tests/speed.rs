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
fn a_history_ends_where_nearly_all_of_it_has_happened() {
    let events = |strays: usize| {
        let names: Vec<String> = (0..2_000).map(|at| format!("I-{at}")).collect();
        let hours = |at: usize| if at < strays { 24 * 300 } else { (at % 48) as i64 };
        let all: Vec<Told> =
            names.iter().enumerate().map(|(at, name)| told(name, "ingestion", hours(at))).collect();
        Queries::new(&project(&all)).last_busy_day().unwrap()
    };
    let day = |days: i64| Some(at(24 * days).day());
    assert_eq!(events(0), day(1));
    assert_eq!(events(2), day(1), "one in a thousand");
    assert_eq!(events(3), day(300), "more than that");
    assert_eq!(Queries::new(&project(&[])).last_busy_day().unwrap(), None);
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
    let times = Queries::new(&rows).stage_times(Grain::Day, (at(-25 * 24), at(5 * 24 + 1))).unwrap();
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
            // Whole days up to the end of that of `now`.
            let end = now.0 - now.0.rem_euclid(DAY) + DAY;
            let period = (UtcNanos(end - days * DAY), UtcNanos(end));
            let times = Queries::new(rows).stage_times(Grain::Day, period).unwrap();
            assert_eq!(times.stages.get(&Stage::Ingestion).map_or(0, |times| times.count), count);
        }
    }
}

#[test]
fn one_word_of_each_stage_is_a_time_in_it_and_posting_lasts_until_the_payment() {
    let word = |stage: &str, hours, status: &str| told("A", stage, hours).with("status", status);
    let events = [
        word("ingestion", 0, "received"),
        word("reconciliation", 24, "matched"),
        word("authorization", 48, "approved"),
        word("posting", 72, "posted"),
        word("posting", 432, "paid"),
    ];
    let found = |events: &[Told]| -> Vec<(Stage, u64, u64)> {
        let rows = project(events);
        let each = project_cut(&Config::default(), events, &vec![1; events.len()]);
        let times = Queries::new(&rows).stage_times(Grain::Day, (at(0), at(433))).unwrap();
        assert_eq!(Queries::new(&each).stage_times(Grain::Day, (at(0), at(433))).unwrap(), times);
        times
            .stages
            .into_iter()
            .map(|(stage, one)| (stage, one.count, (one.p50_ms + 1_800_000) / 3_600_000))
            .collect()
    };
    let first = [(Stage::Ingestion, 1, 24), (Stage::Authorization, 1, 24)];
    // Received and then matched: the time between is that of ingestion, and nothing is left for matching.
    assert_eq!(found(&events[..3]), first);
    assert_eq!(found(&events[..4]), first, "posted, and not paid");
    let last = found(&events)[2];
    assert_eq!((last.0, last.1), (Stage::Posting, 1));
    assert!(last.2.abs_diff(384) <= 4, "from the approval to the payment: {last:?}");
    // The same with words that tell of each entry: from there, and no more.
    let entered = [
        told("A", "authorization", 40),
        word("authorization", 48, "approved"),
        told("A", "posting", 60),
        word("posting", 72, "posted"),
        word("posting", 84, "paid"),
    ];
    assert_eq!(found(&entered), [(Stage::Authorization, 1, 8), (Stage::Posting, 1, 24)]);
}

#[test]
fn an_event_without_a_usable_time_is_in_no_figure_by_time() {
    let past = Some("1948-01-26T23:59:00Z");
    let event = |stage: &str, hours, time: Option<&str>| told("A", stage, hours).time(time);
    let counts = |time: Option<&str>| {
        let mut nobodys = event("ingestion", 1, time);
        nobodys.subject = None;
        let events = [
            event("ingestion", 0, time),
            event("reconciliation", 1, time),
            event("posting", 2, time),
            nobodys,
        ];
        let rows = project(&events);
        let queries = Queries::new(&rows);
        let lines =
            queries.throughput(&queries.standing(at(3)).unwrap(), Grain::Hour, (at(0), at(9))).unwrap();
        let counted: i64 = lines.iter().flat_map(|line| &line.points).map(|point| point.events).sum();
        let series = queries.series(Stage::Ingestion, Grain::Hour, (at(0), at(9)), None).unwrap().len();
        let flows = queries.flows(Grain::Hour, (at(0), at(9))).unwrap().len();
        let times = queries.stage_times(Grain::Day, (at(0), at(3))).unwrap();
        let times: u64 = times.stages.values().map(|times| times.count).sum();
        let report = queries.report(at(3)).unwrap();
        assert_eq!((report.events, report.cases), (4, 1));
        (counted, series, flows, times, report.odd)
    };
    for bad in [past, Some("soon")] {
        assert_eq!(counts(bad), (0, 0, 0, 0, 4));
    }
    // One that tells no time at all is taken to have happened when it was accepted.
    assert_eq!(counts(None), (4, 2, 3, 2, 1));
}

#[test]
fn stage_times_are_told_by_hour_too_across_midnight_and_hours_are_forgotten() {
    let visit = |id: i64, hours: i64| {
        let event = |stage, hours| told(&format!("{id}"), stage, hours);
        [event("ingestion", hours - 2), event("reconciliation", hours)]
    };
    let mut events: Vec<Told> = [22i64, 23, 24, 25].into_iter().flat_map(|hour| visit(hour, hour)).collect();
    events.sort_by_key(|event| event.accepted);
    let count = |events: &[Told], grain, hours: (i64, i64)| {
        let config = Config { minute_days: 2, ..Config::default() };
        let rows = project_cut(&config, events, &[]);
        let each = project_cut(&config, events, &vec![1; events.len()]);
        let times = |rows| Queries::new(rows).stage_times(grain, (at(hours.0), at(hours.1))).unwrap();
        assert_eq!(times(&each), times(&rows));
        let found = times(&rows).stages.get(&Stage::Ingestion).map_or(0, |one| one.count);
        (found, rows.all(&LATENCY_REGION).filter(|row| row[0].integer() == Some(1)).count())
    };
    // An hour after midnight, the last 24 hours reach into the day before.
    assert_eq!(count(&events, Grain::Hour, (1, 25)), (3, 4));
    assert_eq!(count(&events, Grain::Hour, (24, 26)).0, 2);
    assert_eq!(count(&events, Grain::Minute, (23, 24)).0, 1, "minutes are not told apart");
    assert_eq!(count(&events, Grain::Day, (24, 48)).0, 2);
    // Hours of the day before yesterday's day go; days stay.
    events.extend(visit(90, 73));
    assert_eq!(count(&events, Grain::Hour, (0, 74)), (3, 3));
    assert_eq!(count(&events, Grain::Day, (0, 96)).0, 5);
    // A visit of long ago that is told today is of its day alone.
    events.extend(visit(91, -200).map(|event| event.accepted(START + 74 * HOUR)));
    assert_eq!(count(&events, Grain::Hour, (-210, -190)), (0, 3));
    assert_eq!(count(&events, Grain::Day, (-210, -190)).0, 1);
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
            for level in [1, 2] {
                let of_level = rows.all(&LATENCY_REGION).filter(|row| row[0].integer() == Some(level));
                assert_eq!(rows.count(&LATENCY), of_level.count());
            }
            Queries::new(&rows).stage_times(Grain::Day, (at(0), at(24))).unwrap()
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
