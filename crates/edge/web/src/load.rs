//! The pages' figures from the invoices' queries: each number is one of theirs, or a sum of theirs (`WEB-5`).
//!
//! What several parts of a page need (how all invoices stand, throughput, times in stages) is read once a request.
//! Not here: what the figures mean (`domains/invoices`), how they look (`screens`).

mod due;
mod life;
mod list;

use std::collections::BTreeMap;

use waag_domain::project::Reads;
use waag_invoices::event::{STAGES, Stage};
use waag_invoices::figures::{KeyFigure as TheirFigure, Unit};
use waag_invoices::lists::{Filter as List, Narrow};
use waag_invoices::moves::Place;
use waag_invoices::queries::{Grain, Point, Queries, Region as TheirRegion, Sum};
use waag_invoices::speed::{Flow as TheirFlow, StageTimes, Throughput, Times};
use waag_invoices::standing::{Standing, Tile};
use waag_model::money::Currency;
use waag_model::time::UtcNanos;

use crate::address::{Asked, Range};
use crate::error::WebError;
use crate::figures::{Figures, HISTORY_EVENTS_MAX};
use crate::model::{
    Amount, Cash, FigureValue, Flow, Invoice, KeyFigure, Latency, Line, Operations, Overview, Region, Row,
    Series, StageSpeed, StageTile,
};

use self::list::{after, duplicate_row, filters, odd_row, page, row, told};

/// Rows of a list on a page of its own.
const LIST_ROWS: usize = 50;
/// Rows of the list on the overview.
const STUCK_ROWS: usize = 8;
/// The period of the key figures, in days.
const FIGURES_DAYS: i64 = 30;
/// Regions with a line of their own in a chart; the others share one.
const REGION_LINES_MAX: usize = 5;

/// Figures over a snapshot of the invoices' view.
pub(crate) struct Loaded {
    rows: Box<dyn Reads + Send>,
}

impl Loaded {
    pub(crate) fn new(rows: Box<dyn Reads + Send>) -> Self {
        Self { rows }
    }

    fn queries(&self) -> Queries<'_> {
        Queries::new(&*self.rows)
    }

    /// Throughput over a range.
    fn pace(&self, standing: &Standing, range: Range) -> Result<Pace, WebError> {
        let grid = Grid::of(range, standing.now());
        let lines = self.queries().throughput(standing, grid.grain, (grid.start, standing.now()))?;
        Ok(Pace { grid, lines })
    }

    /// Times of visits that ended in a range, in whole hours or days (`Range::days_name`).
    fn times(&self, range: Range, now: UtcNanos) -> Result<StageTimes, WebError> {
        let (grain, hours) = match range {
            Range::Hour => (Grain::Hour, 1),
            Range::Day => (Grain::Hour, 23),
            Range::Week | Range::Month => (Grain::Day, 24 * (range.days() - 1)),
        };
        let from = UtcNanos(now.0.saturating_sub(hours * 3_600_000_000_000));
        Ok(self.queries().stage_times(grain, (from, now))?)
    }
}

/// The steps of a series.
struct Grid {
    grain: Grain,
    step_s: i64,
    steps: i64,
    start: UtcNanos,
}

impl Grid {
    fn of(range: Range, now: UtcNanos) -> Self {
        let (grain, step_s, steps) = match range {
            Range::Hour => (Grain::Minute, 60, 60),
            Range::Day => (Grain::Hour, 3_600, 24),
            Range::Week => (Grain::Hour, 3_600, 168),
            Range::Month => (Grain::Day, 86_400, 30),
        };
        let step = step_s * 1_000_000_000;
        let start = (now.0.div_euclid(step) + 1 - steps).saturating_mul(step);
        Self { grain, step_s, steps, start: UtcNanos(start) }
    }

    /// The step of a time.
    fn step_of(&self, at: i64) -> Option<usize> {
        usize::try_from(at.checked_sub(self.start.0)?.checked_div(self.step_s * 1_000_000_000)?).ok()
    }
}

/// Throughput by stage and region over the steps of a series.
struct Pace {
    grid: Grid,
    lines: Vec<Throughput>,
}

impl Pace {
    /// The points of the lines wanted.
    fn points(&self, wanted: impl Fn(&Throughput) -> bool) -> impl Iterator<Item = &Point> {
        self.lines.iter().filter(move |line| wanted(line)).flat_map(|line| &line.points)
    }

    /// A sum over the lines wanted.
    fn sum(&self, wanted: impl Fn(&Throughput) -> bool, field: impl Fn(&Point) -> i64) -> u64 {
        self.points(wanted).fold(0, |all, point| all.saturating_add(whole(field(point))))
    }

    /// Events of the lines wanted by step, nought where there are none.
    fn spread(&self, wanted: impl Fn(&Throughput) -> bool) -> Vec<u64> {
        let mut values = vec![0u64; usize::try_from(self.grid.steps).unwrap_or(0)];
        for point in self.points(wanted) {
            if let Some(value) = self.grid.step_of(point.at).and_then(|step| values.get_mut(step)) {
                *value = value.saturating_add(whole(point.events));
            }
        }
        values
    }

    fn series(&self, lines: Vec<Line>) -> Series {
        Series { start: self.grid.start, step_s: self.grid.step_s, lines }
    }

    fn by_stage(&self) -> Series {
        let line = |stage: Stage| Line {
            name: crate::format::stage(&stage).to_owned(),
            values: self.spread(|line| line.stage == stage),
        };
        self.series(STAGES.map(line).to_vec())
    }

    /// Events by region: the busiest, and the others together.
    fn by_region(&self) -> Series {
        let mut names: BTreeMap<&str, u64> = BTreeMap::new();
        for line in &self.lines {
            let events = line.points.iter().fold(0u64, |all, point| all.saturating_add(whole(point.events)));
            let sum = names.entry(&line.region).or_default();
            *sum = sum.saturating_add(events);
        }
        let mut names: Vec<(&str, u64)> = names.into_iter().collect();
        names.sort_by_key(|(_, events)| std::cmp::Reverse(*events));
        let others: Vec<&str> = names.iter().skip(REGION_LINES_MAX).map(|(name, _)| *name).collect();
        let of = |name: &str| Line {
            name: crate::format::region(name).to_owned(),
            values: self.spread(|line| line.region == name),
        };
        let mut lines: Vec<Line> = names.iter().take(REGION_LINES_MAX).map(|(name, _)| of(name)).collect();
        if !others.is_empty() {
            let values = self.spread(|line| others.contains(&line.region.as_str()));
            lines.push(Line { name: format!("{} more", others.len()), values });
        }
        self.series(lines)
    }
}

fn whole(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn amount(sum: &Sum) -> Amount {
    Amount { minor: sum.minor, currency: sum.currency.clone(), exponent: sum.exponent }
}

/// Amounts of those with a currency, that of the most invoices first.
fn amounts(sums: &[Sum]) -> Vec<Amount> {
    let mut priced: Vec<&Sum> = sums.iter().filter(|sum| !sum.currency.is_empty()).collect();
    priced.sort_by_key(|sum| std::cmp::Reverse(sum.invoices));
    priced.into_iter().map(amount).collect()
}

fn latency(times: Option<&Times>) -> Option<Latency> {
    let nanos = |millis: u64| i64::try_from(millis).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    let times = times.filter(|times| times.count > 0)?;
    Some(Latency {
        ended: times.count,
        p50_ns: nanos(times.p50_ms),
        p95_ns: nanos(times.p95_ms),
        p99_ns: nanos(times.p99_ms),
    })
}

fn tile(theirs: &Tile, pace: &Pace, times: &StageTimes) -> StageTile {
    let here = |line: &Throughput| line.stage == theirs.stage;
    StageTile {
        stage: theirs.stage,
        open: whole(theirs.open),
        value: amounts(&theirs.value),
        stuck: whole(theirs.stuck),
        stuck_value: amounts(&theirs.stuck_value),
        entered: pace.sum(here, |point| point.entered),
        failed: pace.sum(here, |point| point.failed),
        trend: pace.spread(here),
        latency: latency(times.stages.get(&theirs.stage)),
    }
}

fn flow(theirs: &TheirFlow) -> Flow {
    Flow {
        step: theirs.step,
        count: whole(theirs.invoices),
        value: amounts(&theirs.value),
        is_usual: match (theirs.step.from, theirs.step.to) {
            (Place::Outside, Place::In(to)) => to == Stage::Ingestion,
            (Place::In(from), Place::In(to)) => from != to && from.next() == to,
            (from, Place::Paid) => from == Place::In(Stage::Posting),
            _ => false,
        },
    }
}

fn region(theirs: &TheirRegion, pace: &Pace, times: &StageTimes) -> Region {
    let by_stage = |counts: &[i64; 4]| STAGES.into_iter().zip(counts.map(whole)).collect();
    let entered = |stage: Stage| {
        let here = |line: &Throughput| line.stage == stage && line.region == theirs.region;
        (stage, pace.sum(here, |point| point.entered))
    };
    let latency = |stage: Stage| Some((stage, latency(times.regions.get(&(theirs.region.clone(), stage)))?));
    Region {
        name: theirs.region.clone(),
        open: by_stage(&theirs.open),
        stuck: by_stage(&theirs.stuck),
        entered: STAGES.into_iter().map(entered).collect(),
        trend: pace.spread(|line| line.region == theirs.region),
        latency: STAGES.into_iter().filter_map(latency).collect(),
        value: amounts(&theirs.value),
    }
}

fn figure(theirs: TheirFigure) -> KeyFigure {
    let in_currency = |one: &waag_invoices::figures::InCurrency| Amount {
        minor: one.value,
        currency: one.currency.clone(),
        exponent: Currency::of(&one.currency).map_or(0, Currency::exponent),
    };
    // Hundredths of a day are 864 seconds.
    let days = |hundredths: i64| hundredths.saturating_mul(864_000_000_000);
    let days_in = |hundredths: i128| days(i64::try_from(hundredths).unwrap_or(i64::MAX));
    let value = match theirs.unit {
        Unit::Percent => {
            theirs.value.map(|hundredths| FigureValue::Ratio(whole(hundredths).saturating_mul(100)))
        }
        Unit::Days if !theirs.by_currency.is_empty() => Some(FigureValue::DurationIn(
            theirs.by_currency.iter().map(|one| (one.currency.clone(), days_in(one.value))).collect(),
        )),
        Unit::Days => theirs.value.map(|hundredths| FigureValue::Duration(days(hundredths))),
        // Without a currency it is nought, or not known.
        Unit::Money if theirs.by_currency.is_empty() => theirs.value.map(|_| FigureValue::Money(Vec::new())),
        Unit::Money => Some(FigureValue::Money(theirs.by_currency.iter().map(in_currency).collect())),
    };
    KeyFigure {
        name: theirs.name.to_owned(),
        definition: theirs.definition.to_owned(),
        value,
        note: theirs.note,
    }
}

impl Figures for Loaded {
    fn overview(&self, asked: &Asked, now: UtcNanos) -> Result<Overview, WebError> {
        let queries = self.queries();
        let standing = queries.standing(now)?;
        let counts = queries.overview(&standing)?;
        let pace = self.pace(&standing, asked.range)?;
        let times = self.times(asked.range, now)?;
        let flows = queries.flows(pace.grid.grain, (pace.grid.start, now))?;
        let stuck = queries.list(&standing, List::Stuck, &Narrow::default(), None, STUCK_ROWS)?;
        Ok(Overview {
            invoices: whole(counts.invoices),
            tiles: counts.tiles.iter().map(|one| tile(one, &pace, &times)).collect(),
            flow: flows.iter().map(flow).collect(),
            series: pace.by_stage(),
            stuck_total: whole(counts.stuck),
            stuck: stuck.lines.iter().map(|state| row(state, now)).collect(),
            figures: queries.key_figures(&standing, FIGURES_DAYS)?.into_iter().map(figure).collect(),
        })
    }

    fn operations(&self, asked: &Asked, now: UtcNanos) -> Result<Operations, WebError> {
        let queries = self.queries();
        let standing = queries.standing(now)?;
        let narrow =
            Narrow { stage: asked.stage, region: asked.region.clone(), currency: asked.currency.clone() };
        let after = after(asked)?;
        let open = |list| -> Result<(Vec<Row>, Option<String>), WebError> {
            let found = queries.list(&standing, list, &narrow, after.as_ref(), LIST_ROWS)?;
            Ok(page(found, |state| row(state, now)))
        };
        let (narrowable, (rows, next)) = match asked.filter.as_str() {
            "" | "stuck" => (true, open(List::Stuck)?),
            "approved_not_paid" => (true, open(List::ApprovedNotPaid)?),
            "received_not_cleared" => (true, open(List::ReceivedNotCleared)?),
            "loops" => (false, page(queries.loops(now, after.as_ref(), LIST_ROWS)?, |state| row(state, now))),
            "duplicates" => (
                false,
                page(queries.duplicates(now, after.as_ref(), LIST_ROWS)?, |line| duplicate_row(line, now)),
            ),
            "odd" => (false, page(queries.odd(now, after.as_ref(), LIST_ROWS)?, |line| odd_row(line, now))),
            _ => return Err(WebError::Parameter { name: "filter", allowed: "one of the lists on the page" }),
        };
        let pace = self.pace(&standing, asked.range)?;
        let times = self.times(asked.range, now)?;
        let regions = standing.regions();
        let mut currencies: Vec<String> =
            regions.iter().flat_map(|region| &region.value).filter_map(|sum| told(&sum.currency)).collect();
        currencies.sort();
        currencies.dedup();
        let speed = |stage: Stage| StageSpeed {
            stage,
            entered: pace.sum(|line| line.stage == stage, |point| point.entered),
            failed: pace.sum(|line| line.stage == stage, |point| point.failed),
            latency: latency(times.stages.get(&stage)),
        };
        Ok(Operations {
            filters: filters(&queries.overview(&standing)?),
            rows,
            next,
            narrowable,
            speeds: STAGES.map(speed).to_vec(),
            series: pace.by_stage(),
            by_region: pace.by_region(),
            regions: regions.iter().map(|one| region(one, &pace, &times)).collect(),
            currencies,
        })
    }

    fn invoice(&self, id: &str, now: UtcNanos) -> Result<Option<Invoice>, WebError> {
        let found = self.queries().newest_of(id, now, HISTORY_EVENTS_MAX)?;
        Ok(found.map(|life| life::invoice(&life)))
    }

    fn cash(&self, asked: &Asked, now: UtcNanos) -> Result<Cash, WebError> {
        due::cash(self.queries(), asked, now.day())
    }
}
