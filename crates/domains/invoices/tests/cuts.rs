//! `PROJECT-1` and `PROJECT-3`: however a series is cut the rows are equal, and no fact makes the projection fail.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop")]

mod support;

use proptest::prelude::*;
use support::{HOUR, START, Told, project_cut, told};
use waag_domain::memory::MemoryRows;
use waag_domain::project::Cell;
use waag_invoices::cash::Step;
use waag_invoices::config::Config;
use waag_invoices::lists::{Filter, Narrow};
use waag_invoices::queries::{Grain, Queries};
use waag_invoices::state::Condition;
use waag_invoices::tables::{DUE, INVOICE, KEY_FIGURES, OPEN, TABLES};
use waag_model::time::UtcNanos;
use waag_model::value::Value;

const STAGES: [&str; 6] = ["ingestion", "reconciliation", "authorization", "posting", "posting", "archiving"];
const STATUS: [&str; 14] = [
    "",
    "entered",
    "received",
    "left",
    "approved",
    "failed",
    "blocked",
    "released",
    "paid",
    "rejected",
    "reopened",
    "odd word",
    "cleared",
    "ingestion",
];
const TEXTS: [&str; 5] = ["", "a", "b", "eu-west-1", "2026-06-28"];
const FIELDS: [&str; 8] =
    ["vendor", "vendor_class", "region", "currency", "due_date", "touch", "reference", "invoice_id"];

fn event() -> impl Strategy<Value = Told> {
    let amount = prop_oneof![Just(None), (0i64..3).prop_map(Some), any::<i64>().prop_map(Some)];
    let currency = prop_oneof![Just(None), Just(Some("EUR")), Just(Some("JPY")), Just(Some("zz"))];
    let fields = proptest::collection::btree_map(0..FIELDS.len(), 0..TEXTS.len(), 0..4);
    let when = (0i64..24 * 8, prop_oneof![6 => 0i64..3, 1 => -48i64..48]);
    (0..6usize, 0..STAGES.len(), 0..STATUS.len(), amount, currency, fields, when).prop_map(
        |(invoice, stage, status, amount, currency, fields, (hours, skew))| {
            let mut event = told(&format!("I{invoice}"), STAGES[stage], hours - skew)
                .accepted(START + hours * HOUR)
                .with("status", STATUS[status]);
            for (field, text) in fields {
                if FIELDS[field] != "currency" {
                    event = event.with(FIELDS[field], TEXTS[text]);
                }
            }
            event = amount.into_iter().fold(event, |event, amount| event.with("amount_minor", amount));
            currency.into_iter().fold(event, |event, currency| event.with("currency", currency))
        },
    )
}

fn series() -> impl Strategy<Value = Vec<Told>> {
    proptest::collection::vec(event(), 0..80).prop_map(|mut events| {
        events.sort_by_key(|event| event.accepted);
        events
    })
}

/// Small limits, so that every one of them is reached.
fn config() -> Config {
    Config {
        learned_samples_min: 2,
        minute_days: 2,
        hour_days: 4,
        segments_max: 5,
        classes_max: 2,
        odd_rows_max: 3,
        ..Config::default()
    }
}

fn assert_equal(a: &MemoryRows, b: &MemoryRows) {
    for table in &TABLES {
        let (a, b): (Vec<_>, Vec<_>) = (a.all(table).collect(), b.all(table).collect());
        assert_eq!(a, b, "rows of `{}`", table.name);
    }
}

/// `INVOICE-3`: the counters of open invoices are the sums over the invoices' rows.
fn assert_counted(rows: &MemoryRows) {
    let open = rows.all(&INVOICE).filter(|row| row[1].integer().is_some()).count();
    let counted: i64 = rows.all(&OPEN).map(|row| row[1].integer().unwrap()).sum();
    assert_eq!(counted, i64::try_from(open).unwrap());
    let queries = Queries::new(rows);
    let end = UtcNanos(i64::MAX);
    let outstanding = queries.cash_totals(UtcNanos(START).day()).unwrap();
    let priced: i64 = outstanding.iter().map(|total| total.outstanding.invoices).sum();
    assert_eq!(
        priced + queries.unpriced().unwrap().open.invoices,
        counted,
        "each open one has a value or none"
    );
    let states = rows.all(&INVOICE).map(|row| queries.invoice(row[0].text().unwrap(), end).unwrap().unwrap());
    let lives: Vec<_> = states.collect();
    let late = lives.iter().filter(|life| life.state.stuck).count();
    let paid = lives.iter().filter(|life| life.state.condition == Condition::Paid).count();
    let received = lives.iter().filter(|life| life.state.received.is_some()).count();
    for (name, count) in [("paid", paid), ("received", received)] {
        let at = KEY_FIGURES.columns.iter().position(|column| column.name == name).unwrap();
        let counted: i64 = rows.all(&KEY_FIGURES).map(|row| row[at].integer().unwrap()).sum();
        assert_eq!(counted, i64::try_from(count).unwrap(), "the key figures count each {name} invoice once");
    }
    let stuck = queries.overview(&queries.standing(end).unwrap()).unwrap().stuck;
    assert_eq!(stuck, i64::try_from(late).unwrap(), "an invoice's page says stuck where the counts do");
    for hours in [0, 24, 25, 90, 200, 2_000] {
        let now = UtcNanos(START + hours * HOUR);
        let standing = queries.standing(now).unwrap();
        let all =
            |filter| queries.list(&standing, filter, &Narrow::default(), None, 100).unwrap().lines.len();
        assert_eq!(queries.overview(&standing).unwrap().stuck, i64::try_from(all(Filter::Stuck)).unwrap());
        assert_eq!(all(Filter::Open), open);
        let due = queries.cash_totals(now.day()).unwrap();
        let dated = due.iter().map(|total| total.outstanding.invoices - total.undated.invoices).sum::<i64>();
        let dates = |currency: &str| {
            let dates = queries.cash_dates(currency, Step::Week, now.day(), 3).unwrap();
            let steps = dates.steps.iter().map(|step| step.sum.invoices).sum::<i64>();
            dates.before.invoices + steps + dates.behind.invoices
        };
        assert_eq!(due.iter().map(|total| dates(&total.outstanding.currency)).sum::<i64>(), dated);
    }
    let (bytes, days) = (rows.all(&DUE).all(|row| !row[2].bytes().unwrap().is_empty()), rows.count(&DUE) > 0);
    assert!(bytes && days == (open > 0));
}

/// A duplicate counts under the currency it was found with, whatever a later fact of the same batch says.
#[test]
fn a_currency_corrected_later_in_a_batch_does_not_move_what_was_counted() {
    let alike = |id: &str, hour: i64| {
        let fact = told(id, "ingestion", hour).accepted(START + hour * HOUR).with("status", "received");
        fact.with("vendor", "a").with("reference", "b").with("amount_minor", 1i64).with("currency", "EUR")
    };
    let corrected = told("I1", "reconciliation", 2).accepted(START + 2 * HOUR).with("currency", "JPY");
    let events = [alike("I0", 0), alike("I1", 1), corrected];
    let whole = project_cut(&config(), &events, &[]);
    let at = KEY_FIGURES.columns.iter().position(|column| column.name == "duplicates").unwrap();
    let counted: Vec<_> = whole.all(&KEY_FIGURES).filter(|row| row[at].integer() == Some(1)).collect();
    assert_eq!(counted.len(), 1);
    assert_eq!(counted[0][1], Cell::from("EUR"));
    assert_equal(&whole, &project_cut(&config(), &events, &[1, 1, 1]));
}

fn any_value() -> impl Strategy<Value = Value<'static>> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i128>().prop_map(Value::Integer),
        ".{0,12}".prop_map(|text| Value::Text(text.into())),
        "[0-9T:.Z+-]{0,30}".prop_map(|text| Value::Text(text.into())),
        Just(Value::Array(vec![Value::Null])),
        Just(Value::Withheld(1)),
    ]
}

const NAMES: [&str; 13] = [
    "invoice_id",
    "vendor",
    "amount_minor",
    "amount",
    "currency",
    "status",
    "due_date",
    "region",
    "activity",
    "touch",
    "exception",
    "reference",
    "vendor_class",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn rows_are_equal_however_the_series_is_cut(
        events in series(),
        cuts in proptest::collection::vec(0usize..20, 0..20),
    ) {
        let whole = project_cut(&config(), &events, &[]);
        assert_equal(&whole, &project_cut(&config(), &events, &cuts));
        assert_equal(&whole, &project_cut(&config(), &events, &vec![1; events.len()]));
        assert_counted(&whole);
    }

    #[test]
    fn any_fact_is_taken(
        facts in proptest::collection::vec(
            (
                "(invoice\\.)?(ingestion|posting|.{0,4})",
                proptest::option::of(".{0,6}"),
                proptest::option::of("[0-9TZ:.+-]{0,26}|.{0,5}"),
                any::<i64>(),
                proptest::collection::btree_map(0..NAMES.len(), any_value(), 0..9),
            ),
            0..20,
        ),
    ) {
        let mut committed = 0i64;
        let events: Vec<Told> = facts
            .into_iter()
            .map(|(kind, subject, time, accepted, data)| {
                committed += 1;
                let data = data.into_iter().map(|(name, value)| (NAMES[name], value)).collect();
                Told { kind, subject, time, accepted: accepted.min(i64::MAX - 1_000), data: Some(data) }
            })
            .collect();
        let rows = project_cut(&config(), &events, &[]);
        let queries = Queries::new(&rows);
        let now = UtcNanos(START);
        let report = queries.report(now).unwrap();
        let about = events.iter().filter(|event| event.kind.starts_with("invoice.")).count();
        prop_assert_eq!(report.events, i64::try_from(about).unwrap());
        for event in &events {
            if let Some(id) = &event.subject {
                queries.invoice(id, now).unwrap();
            }
        }
        queries.key_figures(&queries.standing(now).unwrap(), 30).unwrap();
        let standing = queries.standing(now).unwrap();
        prop_assert!(standing.regions().len() <= events.len());
        let month = (UtcNanos(START - 30 * 24 * HOUR), now);
        queries.throughput(&standing, Grain::Day, month).unwrap();
        queries.flows(Grain::Hour, month).unwrap();
        queries.stage_times(Grain::Hour, month).unwrap();
        queries.latency(now, 30).unwrap();
    }
}
