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
use waag_invoices::lists::{After, Filter, Narrow};
use waag_invoices::moves::Place;
use waag_invoices::named::List;
use waag_invoices::queries::{Point, Queries, Region as TheirRegion, Sum};
use waag_invoices::speed::{Flow as TheirFlow, StageTimes, Throughput, Times};
use waag_invoices::standing::{Standing, Tile};
use waag_model::money::Currency;
use waag_model::time::{UtcDay, UtcNanos};

use crate::address::Asked;
use crate::chart;
use crate::error::WebError;
use crate::figures::{FOUND_MAX, Figures, HISTORY_EVENTS_MAX};
use crate::model::{
    Amount, Cash, FigureValue, Flow, Found, KeyFigure, Latency, Line, Lines, Operations, Overview, Region,
    Series, StageSpeed, StageTile,
};
use crate::period::{Grid, Period};

pub(crate) use self::list::{after, listed};
use self::list::{filters, place, row, told};

/// Rows of a list on a page of its own.
const LIST_ROWS: usize = 50;
/// Rows of the list on the overview.
const STUCK_ROWS: usize = 8;
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

    /// A piece of the list asked for.
    fn list(
        &self,
        standing: &Standing,
        asked: &Asked,
        after: Option<&After>,
        most: usize,
    ) -> Result<Lines, WebError> {
        let page = self.queries().named(list_of(asked)?, standing, &narrow(asked), after, most)?;
        Ok(Lines { lines: page.lines, next: page.next })
    }

    /// Throughput over a period.
    fn pace(&self, standing: &Standing, period: Period) -> Result<Pace, WebError> {
        let (grid, end) = (period.grid(standing.now()), period.end(standing.now()));
        let lines = self.queries().throughput(standing, grid.grain, (grid.start, end))?;
        Ok(Pace { grid, lines })
    }

    /// Times of visits that ended in a period, in whole hours or days (`Period::days_name`).
    fn times(&self, period: Period, now: UtcNanos) -> Result<StageTimes, WebError> {
        let (grain, span) = period.times(now);
        Ok(self.queries().stage_times(grain, span)?)
    }

    /// The day that what happened ended with, where a period has no event.
    fn ended(&self, series: &Series) -> Result<Option<UtcDay>, WebError> {
        if chart::is_empty(series) { Ok(self.queries().last_busy_day()?) } else { Ok(None) }
    }
}

/// The list that is asked for; the first one where none is named.
fn list_of(asked: &Asked) -> Result<List, WebError> {
    if asked.filter.is_empty() {
        return Ok(List::Stuck);
    }
    let allowed = "one of the lists on the page";
    List::of_name(&asked.filter).ok_or(WebError::Parameter { name: "filter", allowed })
}

fn narrow(asked: &Asked) -> Narrow {
    Narrow { stage: asked.stage, region: asked.region.clone(), currency: asked.currency.clone() }
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

/// A figure's value in the unit that it has.
fn figure_value(theirs: &TheirFigure) -> Option<FigureValue> {
    let in_currency = |one: &waag_invoices::figures::InCurrency| Amount {
        minor: one.value,
        currency: one.currency.clone(),
        exponent: Currency::of(&one.currency).map_or(0, Currency::exponent),
    };
    // Hundredths of a day are 864 seconds.
    let days = |hundredths: i64| hundredths.saturating_mul(864_000_000_000);
    let days_in = |hundredths: i128| days(i64::try_from(hundredths).unwrap_or(i64::MAX));
    match theirs.unit {
        Unit::Percent => {
            theirs.value.map(|hundredths| FigureValue::Ratio(whole(hundredths).saturating_mul(100)))
        }
        Unit::Days if !theirs.by_currency.is_empty() => Some(FigureValue::DurationIn(
            theirs.by_currency.iter().map(|one| (one.currency.clone(), days_in(one.value))).collect(),
        )),
        Unit::Days => {
            let exact = theirs.seconds.map(|seconds| seconds.saturating_mul(1_000_000_000));
            exact.or(theirs.value.map(days)).map(FigureValue::Duration)
        }
        // Without a currency it is nought, or not known.
        Unit::Money if theirs.by_currency.is_empty() => theirs.value.map(|_| FigureValue::Money(Vec::new())),
        Unit::Money => Some(FigureValue::Money(theirs.by_currency.iter().map(in_currency).collect())),
    }
}

/// A key figure beside those of the period before.
fn figure(theirs: TheirFigure, before: &[TheirFigure]) -> KeyFigure {
    let earlier = before.iter().find(|one| one.name == theirs.name);
    KeyFigure {
        name: theirs.name.to_owned(),
        definition: theirs.definition.to_owned(),
        value: figure_value(&theirs),
        of: whole(theirs.of),
        before: earlier.and_then(|one| Some((figure_value(one)?, whole(one.of)))),
        note: theirs.note,
    }
}

impl Figures for Loaded {
    fn overview(&self, asked: &Asked, now: UtcNanos) -> Result<Overview, WebError> {
        let queries = self.queries();
        let standing = queries.standing(now)?;
        let counts = queries.overview(&standing)?;
        let period = asked.period;
        let pace = self.pace(&standing, period)?;
        let times = self.times(period, now)?;
        let flows = queries.flows(pace.grid.grain, (pace.grid.start, period.end(now)))?;
        let last = period.last_day(now.day()).unwrap_or(now.day());
        let days = period.figures_days();
        let figures = queries.key_figures_until(&standing, last, days)?;
        let before = UtcDay(last.0.saturating_sub(i32::try_from(days).unwrap_or(i32::MAX)));
        let before = queries.period_figures(before, days)?;
        let series = pace.by_stage();
        let stuck = queries.list(&standing, Filter::Stuck, &Narrow::default(), None, STUCK_ROWS)?;
        Ok(Overview {
            invoices: whole(counts.invoices),
            tiles: counts.tiles.iter().map(|one| tile(one, &pace, &times)).collect(),
            flow: flows.iter().map(flow).collect(),
            ended: self.ended(&series)?,
            series,
            stuck_total: whole(counts.stuck),
            stuck: stuck.lines.iter().map(|state| row(state, now)).collect(),
            figures: figures.into_iter().map(|one| figure(one, &before)).collect(),
        })
    }

    fn operations(&self, asked: &Asked, now: UtcNanos) -> Result<Operations, WebError> {
        let queries = self.queries();
        let standing = queries.standing(now)?;
        let found = self.list(&standing, asked, after(asked)?.as_ref(), LIST_ROWS)?;
        let filters = filters(&queries.overview(&standing)?);
        let narrow = narrow(asked);
        let total = match list_of(asked)?.of_open() {
            Some(filter) => Some(whole(standing.listed(filter, &narrow))),
            // Counted as a whole; how many of them a choice leaves is known when all are looked at.
            None => filters
                .iter()
                .find(|one| one.word == asked.filter && narrow.is_none())
                .and_then(|one| one.count),
        };
        let pace = self.pace(&standing, asked.period)?;
        let times = self.times(asked.period, now)?;
        let series = pace.by_stage();
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
            filters,
            rows: found.lines.iter().map(|line| listed(line, now)).collect(),
            total,
            next: found.next.as_ref().map(place),
            speeds: STAGES.map(speed).to_vec(),
            ended: self.ended(&series)?,
            series,
            by_region: pace.by_region(),
            regions: regions.iter().map(|one| region(one, &pace, &times)).collect(),
            currencies,
        })
    }

    fn lines(
        &self,
        asked: &Asked,
        now: UtcNanos,
        after: Option<&After>,
        most: usize,
    ) -> Result<Lines, WebError> {
        self.list(&self.queries().standing(now)?, asked, after, most)
    }

    fn invoice(&self, id: &str, before: Option<u64>, now: UtcNanos) -> Result<Found, WebError> {
        let queries = self.queries();
        if let Some(life) = queries.newest_of(id, now, HISTORY_EVENTS_MAX, before)? {
            return Ok(Found::Invoice(Box::new(life::invoice(&life, before.is_some(), now.day()))));
        }
        let begin = queries.beginning_with(id, now, FOUND_MAX)?;
        Ok(Found::Beginning(begin.iter().map(|state| row(state, now)).collect()))
    }

    fn cash(&self, asked: &Asked, now: UtcNanos) -> Result<Cash, WebError> {
        due::cash(self.queries(), asked, now.day())
    }
}
