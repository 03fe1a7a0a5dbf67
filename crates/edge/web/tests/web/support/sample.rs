//! Plausible figures for drawing every page without a read model; none of them is measured or meant.

use std::collections::BTreeMap;

use waag_domain::memory::MemoryRows;
use waag_invoices::event::{STAGES, Stage};
use waag_invoices::lists::After;
use waag_invoices::moves::{Move, Place};
use waag_invoices::queries::Queries;
use waag_model::time::{UtcDay, UtcNanos};
use waag_web::WebError;
use waag_web::address::Asked;
use waag_web::figures::Figures;
use waag_web::model::{
    Amount, Cash, CashTotal, DueRow, FigureValue, Filter, Flow, Found, Grade, Invoice, KeyFigure, Latency,
    Line, Lines, Operations, Overview, Passage, Region, Row, Series, StageSpeed, StageTile, Telling,
};
use waag_web::period::Range;
use waag_web::ports::Shown;

use super::NOW;

const HOUR: i64 = 3_600_000_000_000;

fn amount(minor: i128, currency: &str) -> Amount {
    Amount { minor, currency: currency.to_owned(), exponent: if currency == "JPY" { 0 } else { 2 } }
}

/// A wave with a working day's shape.
fn wave(steps: u64, seed: u64, top: u64) -> Vec<u64> {
    (0..steps)
        .map(|at| {
            let hour = (at + seed) % 24;
            let day = if (7..19).contains(&hour) {
                40 + 60 * (6 - (13_i64 - hour as i64).unsigned_abs()) / 6
            } else {
                12
            };
            let noise = (at * 2_654_435_761 + seed * 40_503) % 23;
            top * (day + noise) / 130
        })
        .collect()
}

fn series(range: Range, names: &[&str]) -> Series {
    let (steps, step_s) = match range {
        Range::Hour => (60, 60),
        Range::Day => (24, 3_600),
        Range::Week => (168, 3_600),
        Range::Month => (30, 86_400),
        Range::Year => (365, 86_400),
    };
    let line = |(at, name): (u64, &&str)| Line {
        name: (*name).to_owned(),
        values: wave(steps, at * 2, 5_200 - at * 700),
    };
    Series {
        start: UtcNanos((NOW.0 / HOUR) * HOUR - (steps as i64 - 1) * step_s * 1_000_000_000),
        step_s,
        lines: (0..).zip(names).map(line).collect(),
    }
}

const NAMES: [&str; 4] = ["Ingestion", "Reconciliation", "Authorization", "Posting"];
const REGIONS: [&str; 3] = ["eu-central-1", "eu-north-1", "eu-west-1"];

/// A stage's place in lists of four.
fn at(stage: Stage) -> usize {
    usize::from(stage.number())
}

fn latency(stage: Stage, slower: i64) -> Latency {
    Latency {
        ended: 40_800 - 880 * at(stage) as u64,
        p50_ns: HOUR * ([1, 19, 8, 29][at(stage)] + slower) / 2,
        p95_ns: HOUR * ([3, 51, 30, 66][at(stage)] + slower),
        p99_ns: HOUR * ([9, 96, 71, 120][at(stage)] + slower),
    }
}

fn flow() -> Vec<Flow> {
    let place = |number: usize| match number {
        0 => Place::Outside,
        5 => Place::Paid,
        6 => Place::Rejected,
        stage => Place::In(STAGES[stage - 1]),
    };
    let step = |(from, to, count, is_usual): (usize, usize, u64, bool)| Flow {
        step: Move { from: place(from), to: place(to) },
        count,
        value: vec![amount(i128::from(count) * 91_250, "EUR"), amount(i128::from(count) * 8_100, "USD")],
        is_usual,
    };
    let steps = [
        (0, 1, 41_200, true),
        (1, 2, 38_900, true),
        (2, 3, 35_100, true),
        (3, 4, 32_400, true),
        (4, 5, 31_050, true),
        (0, 2, 1_180, false),
        (1, 3, 2_260, false),
        (2, 4, 940, false),
        (3, 2, 1_744, false),
        (2, 1, 310, false),
        (2, 2, 96, false),
        (4, 3, 41, false),
        (2, 6, 122, false),
        (3, 6, 389, false),
    ];
    steps.into_iter().map(step).collect()
}

fn telling(name: &'static str, text: &str) -> Telling {
    Telling { name, shown: Shown::Plain(text.to_owned()) }
}

/// Rows of the list asked for, as it has them.
fn rows_of(filter: &str, number: usize) -> Vec<Row> {
    let of_list = |(at, row): (usize, Row)| match filter {
        "loops" => Row {
            why: format!("{} returns", 2 + at % 3),
            closed: [None, Some((Grade::Good, "paid")), Some((Grade::Note, "rejected"))][at % 3],
            told: Vec::new(),
            ..row
        },
        "duplicates" => {
            let like = Some(format!("INV-2026-{:06}", 99_000 + at));
            Row { why: "In progress, same reference as".to_owned(), like, told: Vec::new(), ..row }
        }
        "odd" => Row {
            invoice: if at % 4 == 3 { String::new() } else { row.invoice },
            position: Some(1_284_000 - at as u64 * 311),
            kind: Some(["invoice.ingestion", "invoice.posting"][at % 2].to_owned()),
            why: ["Unknown status, unreadable due date, unknown currency", "Impossible time"][at % 2]
                .to_owned(),
            told: if at % 2 == 0 {
                vec![
                    telling("status", "zur_pruefung"),
                    telling("due_date", "31.02.2026"),
                    telling("currency", "EURO"),
                ]
            } else {
                vec![telling("time", "1970-01-01 00:00:00 UTC")]
            },
            grade: Grade::Warning,
            ..row
        },
        _ => row,
    };
    rows(number).into_iter().enumerate().map(of_list).collect()
}

fn rows(number: usize) -> Vec<Row> {
    let vendors = [
        "Van Dijk Logistiek BV",
        "Nordwind Energie GmbH",
        "Atelier Roux SARL",
        "Helix Labs Ltd",
        "Kansai Parts KK",
    ];
    let regions = ["eu-west-1", "eu-central-1", "eu-north-1"];
    (0..number)
        .map(|at| {
            let stage = STAGES[(at * 7 + 2) % 4];
            let late = (number - at) as i64 * 7 * HOUR + at as i64 * 1_234_567_890_123 % HOUR;
            let currency = ["EUR", "EUR", "USD", "GBP", "JPY"][at % 5];
            Row {
                invoice: format!("INV-2026-{:06}", 104_233 + at * 977),
                position: None,
                stage: Some(stage),
                why: ["Late, in progress", "Late, waiting for payment", "Late, blocked"][at % 3].to_owned(),
                kind: None,
                closed: None,
                asks: None,
                told: [
                    vec![],
                    vec![],
                    vec![telling("exception", ["price_variance", "missing_receipt"][at % 2])],
                ][at % 3]
                    .clone(),
                like: None,
                grade: if late > 48 * HOUR { Grade::Bad } else { Grade::Warning },
                since: Some(UtcNanos(NOW.0 - late - 30 * HOUR)),
                deadline: Some(UtcNanos(NOW.0 - late)),
                value: Some(amount(1_250_000 * (at as i128 + 1) + 4_567 * at as i128, currency)),
                vendor: Some(vendors[at % 5].to_owned()),
                region: Some(regions[at % 3].to_owned()),
                due: Some(UtcDay(NOW.day().0 + at as i32 - 4)),
            }
        })
        .collect()
}

/// The domain's ten figures, by their names and definitions, with values that a firm could have.
fn key_figures() -> Vec<KeyFigure> {
    let rows = MemoryRows::default();
    let queries = Queries::new(&rows);
    let named = queries.key_figures(&queries.standing(NOW).unwrap(), 30).unwrap();
    let values = [
        Some(FigureValue::Ratio(713_000)),
        Some(FigureValue::Ratio(934_500)),
        Some(FigureValue::DurationIn(vec![("EUR".to_owned(), 914 * HOUR), ("USD".to_owned(), 1_008 * HOUR)])),
        Some(FigureValue::Duration(61 * HOUR + HOUR / 2)),
        Some(FigureValue::Duration(716 * HOUR)),
        Some(FigureValue::Ratio(46_200)),
        Some(FigureValue::Ratio(23_100)),
        None,
        Some(FigureValue::Money(vec![
            amount(482_119_045, "EUR"),
            amount(31_000_000, "USD"),
            amount(18_700_000, "GBP"),
        ])),
        Some(FigureValue::Money(vec![amount(931_120_411, "EUR"), amount(20_450_000, "USD")])),
    ];
    let figure = |(theirs, value): (waag_invoices::figures::KeyFigure, Option<FigureValue>)| KeyFigure {
        name: theirs.name.to_owned(),
        definition: theirs.definition.to_owned(),
        note: theirs.note.filter(|_| value.is_none()),
        of: 28_140,
        before: match &value {
            Some(FigureValue::Ratio(millionths)) => Some((FigureValue::Ratio(millionths - 9_200), 26_970)),
            _ => None,
        },
        value,
    };
    named.into_iter().zip(values).map(figure).collect()
}

fn speeds() -> Vec<StageSpeed> {
    STAGES
        .map(|stage| StageSpeed {
            stage,
            entered: 41_200 - 900 * at(stage) as u64,
            failed: 120 * at(stage) as u64,
            latency: Some(latency(stage, 0)),
        })
        .to_vec()
}

fn regions() -> Vec<Region> {
    let region = |(number, name): (usize, &str)| Region {
        name: name.to_owned(),
        open: STAGES
            .into_iter()
            .map(|stage| (stage, 15_000 / (number as u64 + 1) - 800 * at(stage) as u64))
            .collect(),
        stuck: STAGES.into_iter().map(|stage| (stage, (17 * at(stage) * number) as u64)).collect(),
        entered: STAGES
            .into_iter()
            .map(|stage| (stage, 18_000 / (number as u64 + 1) - 310 * at(stage) as u64))
            .collect(),
        trend: wave(24, number as u64, 900),
        latency: STAGES.into_iter().map(|stage| (stage, latency(stage, 5 * number as i64))).collect(),
        value: vec![amount(81_233_451_200 >> number, "EUR"), amount(3_299_810_000, "USD")],
    };
    REGIONS.into_iter().enumerate().map(region).collect()
}

/// The samples.
pub(crate) struct SampleFigures {
    pub(crate) empty: bool,
}

impl Figures for SampleFigures {
    fn overview(&self, asked: &Asked, _: UtcNanos) -> Result<Overview, WebError> {
        if self.empty {
            return Ok(Overview::default());
        }
        let tile = |stage: Stage| StageTile {
            stage,
            open: [8_214, 12_907, 3_377, 21_560][at(stage)],
            value: vec![
                amount(148_233_451_200 >> at(stage), "EUR"),
                amount(21_299_810_000, "USD"),
                amount(9_041_100_000, "GBP"),
                amount(1_200_000, "JPY"),
            ],
            stuck: [14, 131, 37, 0][at(stage)],
            stuck_value: vec![amount(910_000_000, "EUR")],
            entered: 41_200 - 900 * at(stage) as u64,
            failed: 120 * at(stage) as u64,
            trend: wave(48, at(stage) as u64 * 5, 900),
            latency: Some(latency(stage, 0)),
        };
        Ok(Overview {
            tiles: STAGES.map(tile).to_vec(),
            flow: flow(),
            series: series(asked.period.range, &NAMES),
            ended: None,
            invoices: if self.empty { 0 } else { 52_310 },
            stuck_total: 182,
            stuck: rows(8),
            figures: key_figures(),
        })
    }

    fn operations(&self, asked: &Asked, _: UtcNanos) -> Result<Operations, WebError> {
        let filter = |word, name, meaning, count| Filter {
            word,
            name,
            meaning,
            count: Some(if self.empty { 0 } else { count }),
        };
        let narrowed = asked.stage == Some(Stage::Posting);
        Ok(Operations {
            filters: vec![
                filter(
                    "stuck",
                    "Stuck",
                    "Open invoices past the deadline of their stage, those late longest first.",
                    182,
                ),
                filter(
                    "approved_not_paid",
                    "Approved, not paid",
                    "Approved and past their due date without payment.",
                    412,
                ),
                filter(
                    "received_not_cleared",
                    "Received, not cleared",
                    "Received and never cleared.",
                    46_058,
                ),
                filter("open", "All open", "All open invoices, the earliest deadline first.", 46_058),
                filter("loops", "Loops", "Came back into a stage they had left.", 1_744),
                filter(
                    "duplicates",
                    "Possible duplicates",
                    "Same vendor, amount and currency as another, and the same reference or date.",
                    97,
                ),
                filter(
                    "odd",
                    "Odd events",
                    "Events with an unlikely date, an unknown word or no invoice.",
                    126,
                ),
            ],
            rows: if self.empty || narrowed { Vec::new() } else { rows_of(&asked.filter, 25) },
            total: Some(182),
            next: (!self.empty && !narrowed).then(|| "000123".to_owned()),
            speeds: speeds(),
            series: if self.empty { Series::default() } else { series(asked.period.range, &NAMES) },
            ended: None,
            by_region: if self.empty { Series::default() } else { series(asked.period.range, &REGIONS) },
            regions: if self.empty { Vec::new() } else { regions() },
            currencies: ["EUR", "GBP", "JPY", "USD"].map(str::to_owned).to_vec(),
        })
    }

    fn lines(&self, _: &Asked, _: UtcNanos, _: Option<&After>, _: usize) -> Result<Lines, WebError> {
        Ok(Lines::default())
    }

    fn invoice(&self, id: &str, _: Option<u64>, _: UtcNanos) -> Result<Found, WebError> {
        if self.empty || id == "INV-0" {
            return Ok(Found::Beginning(Vec::new()));
        }
        if id == "INV-2026" {
            return Ok(Found::Beginning(rows(20)));
        }
        let passage = |stage, entered: i64, left: Option<i64>| Passage {
            stage,
            entered: Some(UtcNanos(NOW.0 - entered * HOUR)),
            left: left.map(|hours| UtcNanos(NOW.0 - hours * HOUR)),
            deadline: left.is_none().then_some(UtcNanos(NOW.0 - 5 * HOUR)),
            is_here: left.is_none(),
            is_passed: false,
        };
        let fact = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        Ok(Found::Invoice(Box::new(Invoice {
            id: id.to_owned(),
            status: "Blocked in authorization".to_owned(),
            grade: Grade::Bad,
            marks: vec![
                (Grade::Warning, "Went back once".to_owned()),
                (Grade::Note, "delayed: 1 event".to_owned()),
            ],
            value: Some(amount(1_845_000, "EUR")),
            facts: vec![
                fact("Vendor", "Van Dijk Logistiek BV"),
                fact("Vendor class", "Strategic"),
                fact("Due date", "2026-12-04, in 14 days"),
                fact("Payment terms", "30 days"),
                fact("Region", "eu-west-1"),
                fact("Account", "•••• 4300"),
                fact("Touch", "Manual"),
            ],
            passages: vec![
                passage(Stage::Ingestion, 133, Some(128)),
                passage(Stage::Reconciliation, 128, Some(62)),
                passage(Stage::Authorization, 62, None),
                Passage {
                    stage: Stage::Posting,
                    entered: None,
                    left: None,
                    deadline: None,
                    is_here: false,
                    is_passed: false,
                },
            ],
            positions: (0..5).collect(),
            told_of: BTreeMap::from([(3, vec!["delayed".to_owned()])]),
            events: 5,
            earlier: 0,
        })))
    }

    fn cash(&self, asked: &Asked, _: UtcNanos) -> Result<Cash, WebError> {
        if self.empty {
            return Ok(Cash::default());
        }
        let codes = ["EUR", "USD", "GBP", "JPY"];
        let code = asked.currency.as_deref().filter(|code| codes.contains(code)).unwrap_or("EUR");
        let total = |code: &str| CashTotal {
            count: 44_120,
            outstanding: amount(148_233_451_200, code),
            overdue: amount(9_311_204_411, code),
            overdue_count: 3_120,
            week: amount(31_870_551_900, code),
            week_count: 9_870,
        };
        let monday = NOW.day().0 - (NOW.day().0 + 3).rem_euclid(7);
        let starts = asked.from.map_or(monday - 35, |day| day.0);
        let due = |due: Option<i32>, count: u64, minor: i128| DueRow {
            due: due.map(UtcDay),
            count,
            value: amount(minor * 1_000_000, code),
        };
        let values = [
            21, 54, 48, 60, 190, 980, 9_520, 12_100, 18_700, 9_100, 7_700, 7_000, 11_100, 4_200, 3_300,
            2_900, 2_100, 900, 0, 700, 650, 0, 300,
        ];
        // The week of today is cut at today, the Friday of it.
        let in_weeks = (0..).zip(values).map(|(week, value): (i32, i128)| (starts + week * 7, value));
        let cut = asked.from.is_none().then_some((NOW.day().0, 3_300));
        let mut rows: Vec<(i32, i128)> = in_weeks.chain(cut).filter(|(_, value)| *value > 0).collect();
        rows.sort_unstable();
        let rows = (0..).zip(rows);
        Ok(Cash {
            currencies: codes.map(total).to_vec(),
            chosen: Some(total(code)),
            rows: rows
                .map(|(at, (day, value)): (u64, (i32, i128))| due(Some(day), 3_900 - 160 * at, value))
                .collect(),
            starts: UtcDay(starts),
            before: Some(due(None, 212, 911)),
            earlier: UtcDay(starts - 26 * 7),
            behind: Some(due(None, 88, 402)),
            later: UtcDay(starts + 26 * 7),
            undated: Some(due(None, 211, 81)),
            unpriced: 16,
        })
    }
}
