//! Plausible figures for drawing every page without a read model; none of them is measured or meant.

use waag_model::time::{UtcDay, UtcNanos};
use waag_web::WebError;
use waag_web::address::{Asked, Range};
use waag_web::figures::Figures;
use waag_web::model::{
    Amount, Cash, CashTotal, DueRow, FigureValue, Filter, Flow, Grade, Invoice, KeyFigure, Line, Operations,
    Overview, Passage, Region, Row, Series, Stage, StageSpeed, StageTile,
};

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

fn series(range: Range) -> Series {
    let (steps, step_s) = match range {
        Range::Hour => (60, 60),
        Range::Day => (24, 3_600),
        Range::Week => (168, 3_600),
        Range::Month => (30, 86_400),
    };
    let line = |stage: Stage| Line {
        name: stage.name().to_owned(),
        values: wave(steps, stage as u64 * 2, 5_200 - stage as u64 * 700),
    };
    Series {
        start: UtcNanos((NOW.0 / HOUR) * HOUR - (steps as i64 - 1) * step_s * 1_000_000_000),
        step_s,
        lines: Stage::ALL.map(line).to_vec(),
    }
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
            let stage = Stage::ALL[(at * 7 + 2) % 4];
            let late = (number - at) as i64 * 7 * HOUR + at as i64 * 1_234_567_890_123 % HOUR;
            let currency = ["EUR", "EUR", "USD", "GBP", "JPY"][at % 5];
            Row {
                invoice: format!("INV-2026-{:06}", 104_233 + at * 977),
                position: None,
                stage: Some(stage),
                why: ["Past service level", "Slower than its cohort", "Approved, not paid"][at % 3]
                    .to_owned(),
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

fn figure(name: &str, value: Option<FigureValue>, definition: &str) -> KeyFigure {
    let note = value.is_none().then(|| "No paid invoice has told both dates so far.".to_owned());
    KeyFigure { name: name.to_owned(), definition: definition.to_owned(), value, note }
}

fn key_figures() -> Vec<KeyFigure> {
    vec![
        figure(
            "Touchless rate",
            Some(FigureValue::Ratio(713_000)),
            "Invoices posted without a manual step, of all posted in 30 days.",
        ),
        figure(
            "On-time payment",
            Some(FigureValue::Ratio(934_500)),
            "Invoices paid on or before their due date, of all paid in 30 days.",
        ),
        figure(
            "Days payable outstanding",
            Some(FigureValue::DurationIn(vec![
                ("EUR".to_owned(), 914 * HOUR),
                ("USD".to_owned(), 1_008 * HOUR),
            ])),
            "Average time from invoice date to payment, weighted by value.",
        ),
        figure(
            "Processing time",
            Some(FigureValue::Duration(61 * HOUR + HOUR / 2)),
            "Median time from receipt to posting, 30 days.",
        ),
        figure(
            "Exception rate",
            Some(FigureValue::Ratio(46_200)),
            "Invoices with at least one exception, of all received in 30 days.",
        ),
        figure(
            "Duplicate rate",
            Some(FigureValue::Ratio(3_100)),
            "Invoices that look like another by vendor, amount and date.",
        ),
        figure(
            "Value stuck",
            Some(FigureValue::Money(vec![
                amount(48_211_904_550, "EUR"),
                amount(310_000_000, "USD"),
                amount(187_000_000, "GBP"),
            ])),
            "Value of open invoices past their deadline.",
        ),
        figure(
            "First-pass match rate",
            Some(FigureValue::Ratio(881_000)),
            "Invoices matched at the first attempt, of all reconciled in 30 days.",
        ),
        figure("Discount capture", None, "Cash discounts taken, of all that were offered."),
        figure(
            "Approved, not paid",
            Some(FigureValue::Count(412)),
            "Invoices approved and past their due date without payment.",
        ),
    ]
}

fn speeds() -> Vec<StageSpeed> {
    Stage::ALL
        .map(|stage| StageSpeed {
            stage,
            entered: 41_200 - 900 * stage as u64,
            ended: 40_800 - 880 * stage as u64,
            p50_ns: Some((HOUR * [1, 18, 8, 29][stage as usize] / 2, HOUR * [1, 21, 9, 31][stage as usize])),
            p95_ns: Some(HOUR * [3, 51, 30, 66][stage as usize]),
            p99_ns: Some(HOUR * [9, 96, 71, 120][stage as usize]),
        })
        .to_vec()
}

fn regions() -> Vec<Region> {
    ["eu-central-1", "eu-north-1", "eu-west-1"]
        .into_iter()
        .enumerate()
        .map(|(at, name)| Region {
            name: name.to_owned(),
            open: Stage::ALL
                .into_iter()
                .map(|stage| (stage, 15_000 / (at as u64 + 1) - 800 * stage as u64))
                .collect(),
            stuck: Stage::ALL.into_iter().map(|stage| (stage, 17 * stage as u64 * at as u64)).collect(),
            p95_ns: Stage::ALL
                .into_iter()
                .map(|stage| (stage, HOUR * (3 + 17 * stage as i64 + 5 * at as i64)))
                .collect(),
            value: vec![amount(81_233_451_200 >> at, "EUR"), amount(3_299_810_000, "USD")],
        })
        .collect()
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
            open: [8_214, 12_907, 3_377, 21_560][stage as usize],
            value: vec![
                amount(148_233_451_200 >> stage as u32, "EUR"),
                amount(21_299_810_000, "USD"),
                amount(9_041_100_000, "GBP"),
                amount(1_200_000, "JPY"),
            ],
            stuck: [14, 131, 37, 0][stage as usize],
            stuck_value: vec![amount(910_000_000, "EUR")],
            entered: 41_200 - 900 * stage as u64,
            failed: 120 * stage as u64,
            trend: wave(48, stage as u64 * 5, 900),
        };
        let flow = |stage: Stage| Flow {
            stage,
            entered: 41_200 - 2_100 * stage as u64,
            ended: 40_000 - 2_200 * stage as u64,
            median_ns: Some((
                HOUR * [1, 18, 8, 29][stage as usize] / 2,
                HOUR * [1, 21, 9, 31][stage as usize],
            )),
        };
        Ok(Overview {
            tiles: Stage::ALL.map(tile).to_vec(),
            flow: Stage::ALL.map(flow).to_vec(),
            series: series(asked.range),
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
                    "Open invoices past the deadline of their stage, latest first.",
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
            rows: if self.empty || narrowed { Vec::new() } else { rows(25) },
            next: (!self.empty && !narrowed).then(|| "000123".to_owned()),
            narrowable: true,
            speeds: speeds(),
            series: if self.empty { Series::default() } else { series(asked.range) },
            regions: if self.empty { Vec::new() } else { regions() },
            currencies: ["EUR", "GBP", "JPY", "USD"].map(str::to_owned).to_vec(),
        })
    }

    fn invoice(&self, id: &str, _: UtcNanos) -> Result<Option<Invoice>, WebError> {
        if self.empty || id == "INV-0" {
            return Ok(None);
        }
        let passage = |stage, entered: i64, left: Option<i64>| Passage {
            stage,
            entered: Some(UtcNanos(NOW.0 - entered * HOUR)),
            left: left.map(|hours| UtcNanos(NOW.0 - hours * HOUR)),
            deadline: Some(UtcNanos(NOW.0 - 5 * HOUR)),
        };
        let fact = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        Ok(Some(Invoice {
            id: id.to_owned(),
            status: "Blocked in authorization".to_owned(),
            grade: Grade::Bad,
            marks: vec![
                (Grade::Warning, "Went back once".to_owned()),
                (Grade::Note, "One event came late".to_owned()),
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
                Passage { stage: Stage::Posting, entered: None, left: None, deadline: None },
            ],
            positions: (0..5).collect(),
            events: 5,
        }))
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
            week: amount(31_870_551_900, code),
        };
        let today = NOW.day().0;
        let mut rows: Vec<DueRow> = (0..16_i32)
            .map(|at| DueRow {
                due: Some(UtcDay(today - today.rem_euclid(7) - 17 + at * 7)),
                count: 3_900 - 180 * at.unsigned_abs() as u64,
                value: amount(
                    [
                        210, 540, 1_900, 9_800, 15_200, 12_100, 18_700, 9_100, 7_700, 7_000, 11_100, 4_200,
                        3_300, 2_900, 2_100, 900,
                    ][at as usize]
                        * 100_000_000,
                    code,
                ),
            })
            .collect();
        rows.push(DueRow { due: None, count: 211, value: amount(8_120_000_000, code) });
        Ok(Cash { currencies: codes.map(total).to_vec(), rows })
    }
}
