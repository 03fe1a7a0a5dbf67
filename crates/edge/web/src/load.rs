//! The pages' figures from the invoices' queries: each number is one of theirs, or a sum of theirs (`WEB-5`).
//!
//! Not here: what the figures mean (`domains/invoices`), how they look (`screens`).

use std::collections::BTreeMap;

use waag_domain::project::Reads;
use waag_invoices::event::{STAGES, Stage as Theirs};
use waag_invoices::figures::{KeyFigure as TheirFigure, Unit};
use waag_invoices::life::{InvoiceState, Lifecycle};
use waag_invoices::lists::{After, DuplicateLine, Filter as List, Narrow, OddLine, Page};
use waag_invoices::queries::{Grain, Latency, Overview as Counts, Point, Queries, Sum};
use waag_invoices::state::Condition;
use waag_model::money::Currency;
use waag_model::time::{UtcDay, UtcNanos};

use crate::address::{Asked, Range, Step};
use crate::error::WebError;
use crate::figures::Figures;
use crate::model::{
    Amount, Cash, CashTotal, DueRow, FigureValue, Filter, Flow, Grade, Invoice, KeyFigure, Line, Operations,
    Overview, Passage, Region, Row, Series, Stage, StageSpeed, StageTile,
};

/// Rows of a list on a page of its own.
const LIST_ROWS: usize = 50;
/// Rows of the list on the overview.
const STUCK_ROWS: usize = 8;
/// Rows of due date and currency that are read; more due dates than fifty years of days in several currencies have.
const CASH_ROWS_MAX: usize = 50_000;
/// The period of the key figures, in days.
const FIGURES_DAYS: i64 = 30;
/// Late by this much is bad and no longer a warning, in nanoseconds.
const BAD_AFTER_NS: i64 = 48 * 3_600_000_000_000;

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

    /// Every stage's points over a range.
    fn points(&self, range: Range, now: UtcNanos) -> Result<(Grid, Vec<Vec<Point>>), WebError> {
        let grid = Grid::of(range, now);
        let queries = self.queries();
        let points = STAGES.map(|stage| queries.series(stage, grid.grain, (grid.start, now), None));
        Ok((grid, points.into_iter().collect::<Result<_, _>>()?))
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

    /// A value for each step, nought where there is no point.
    fn spread(&self, points: &[Point]) -> Vec<u64> {
        let step = self.step_s * 1_000_000_000;
        let at: BTreeMap<i64, i64> = points.iter().map(|point| (point.at, point.events)).collect();
        (0..self.steps)
            .map(|index| whole(at.get(&(self.start.0 + index * step)).copied().unwrap_or(0)))
            .collect()
    }

    fn series(&self, points: &[Vec<Point>]) -> Series {
        let line = |(stage, points): (Stage, &Vec<Point>)| Line {
            name: stage.name().to_owned(),
            values: self.spread(points),
        };
        let lines = Stage::ALL.into_iter().zip(points).map(line).collect();
        Series { start: self.start, step_s: self.step_s, lines }
    }
}

fn whole(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn stage(theirs: Theirs) -> Stage {
    match theirs {
        Theirs::Ingestion => Stage::Ingestion,
        Theirs::Reconciliation => Stage::Reconciliation,
        Theirs::Authorization => Stage::Authorization,
        Theirs::Posting => Stage::Posting,
    }
}

fn theirs(ours: Stage) -> Theirs {
    match ours {
        Stage::Ingestion => Theirs::Ingestion,
        Stage::Reconciliation => Theirs::Reconciliation,
        Stage::Authorization => Theirs::Authorization,
        Stage::Posting => Theirs::Posting,
    }
}

fn amount(sum: &Sum) -> Amount {
    Amount { minor: i128::from(sum.minor), currency: sum.currency.clone(), exponent: sum.exponent }
}

/// Amounts of those with a currency, that of the most invoices first.
fn amounts(sums: &[Sum]) -> Vec<Amount> {
    let mut priced: Vec<&Sum> = sums.iter().filter(|sum| !sum.currency.is_empty()).collect();
    priced.sort_by_key(|sum| std::cmp::Reverse(sum.invoices));
    priced.into_iter().map(amount).collect()
}

fn invoices(sums: &[Sum]) -> u64 {
    sums.iter().fold(0, |all, sum| all.saturating_add(whole(sum.invoices)))
}

fn sum_of(points: &[Point], field: impl Fn(&Point) -> i64) -> u64 {
    points.iter().fold(0, |all, point| all.saturating_add(whole(field(point))))
}

fn nanos(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}

/// A stage's throughput and latency from its points and its cohorts.
fn speed(ours: Stage, points: &[Point], latencies: &[Latency]) -> StageSpeed {
    let cohorts = || latencies.iter().filter(move |one| stage(one.stage) == ours && one.count > 0);
    let least = cohorts().map(|one| nanos(one.p50_ms)).min();
    let most = cohorts().map(|one| nanos(one.p50_ms)).max();
    StageSpeed {
        stage: ours,
        entered: sum_of(points, |point| point.entered),
        ended: cohorts().fold(0, |all, one| all.saturating_add(one.count)),
        p50_ns: least.zip(most),
        p95_ns: cohorts().map(|one| nanos(one.p95_ms)).max(),
        p99_ns: cohorts().map(|one| nanos(one.p99_ms)).max(),
    }
}

fn told(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn condition(state: &InvoiceState) -> (Grade, &'static str) {
    match state.condition {
        Condition::InProgress => (Grade::Note, "in progress"),
        Condition::Waiting => (Grade::Note, "waiting for the next stage"),
        Condition::Failed => (Grade::Bad, "failed"),
        Condition::Blocked => (Grade::Warning, "blocked"),
        Condition::Paid => (Grade::Good, "paid"),
        Condition::Rejected => (Grade::Note, "rejected"),
    }
}

fn value(state: &InvoiceState) -> Option<Amount> {
    let currency = state.currency.clone()?;
    Some(Amount { minor: i128::from(state.amount_minor?), currency, exponent: state.exponent? })
}

/// An invoice in a list.
fn row(state: &InvoiceState, now: UtcNanos) -> Row {
    let ours = stage(state.stage);
    let (grade, word) = condition(state);
    let late = state.deadline.map_or(0, |at| now.0.saturating_sub(at));
    let (grade, why) = if state.stuck {
        (if late > BAD_AFTER_NS { Grade::Bad } else { Grade::Warning }, format!("Late, {word}"))
    } else if state.loops > 0 {
        (grade, format!("{} returns, {word}", state.loops))
    } else {
        (grade, word.to_owned())
    };
    let visit = state.visits.iter().find(|visit| visit.stage == state.stage);
    Row {
        invoice: state.id.clone(),
        position: None,
        stage: Some(ours),
        why,
        grade,
        since: visit.and_then(|visit| visit.entered).map(UtcNanos),
        deadline: state.deadline.map(UtcNanos),
        value: value(state),
        vendor: told(&state.vendor),
        region: told(&state.region),
        due: state.due_date.as_deref().and_then(day_of),
    }
}

/// The day of a date as the queries write it.
fn day_of(date: &str) -> Option<UtcDay> {
    let mut parts = date.splitn(3, '-');
    let mut part = || parts.next()?.parse::<i64>().ok();
    let (year, month, day) = (part()?, part()?, part()?);
    // Howard Hinnant's `days_from_civil`, the inverse of `UtcDay::civil`.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    i32::try_from(days).ok().map(UtcDay)
}

fn bare(invoice: &str, position: i64, why: String, grade: Grade) -> Row {
    Row {
        invoice: invoice.to_owned(),
        position: u64::try_from(position).ok(),
        stage: None,
        why,
        grade,
        since: None,
        deadline: None,
        value: None,
        vendor: None,
        region: None,
        due: None,
    }
}

fn odd_row(line: &OddLine) -> Row {
    let why = line.reasons.join(", ").replace('_', " ");
    bare(line.invoice.as_deref().unwrap_or(""), line.position, why, Grade::Warning)
}

fn duplicate_row(line: &DuplicateLine) -> Row {
    let why = format!("Like {}, same {}", line.earlier, line.alike);
    bare(&line.invoice, line.position, why, Grade::Warning)
}

fn page<T>(page: Page<T>, row: impl Fn(&T) -> Row) -> (Vec<Row>, Option<String>) {
    let next = page.next.map(|after| format!("{}~{}", after.order, after.id));
    (page.lines.iter().map(row).collect(), next)
}

fn after(asked: &Asked) -> Result<Option<After>, WebError> {
    let Some(text) = &asked.after else { return Ok(None) };
    let read = text
        .split_once('~')
        .and_then(|(order, id)| Some(After { order: order.parse().ok()?, id: id.to_owned() }));
    read.map(Some)
        .ok_or(WebError::Parameter { name: "after", allowed: "what a page's link to the next one says" })
}

fn filters(counts: &Counts) -> Vec<Filter> {
    let filter = |word, name, meaning, count| Filter { word, name, meaning, count: Some(count) };
    vec![
        filter(
            "stuck",
            "Stuck",
            "Open invoices past the deadline of their stage, the longest overdue first.",
            whole(counts.stuck),
        ),
        filter(
            "approved_not_paid",
            "Approved, not paid",
            "Open invoices whose payment is approved, the earliest deadline first.",
            invoices(&counts.approved_not_paid),
        ),
        filter(
            "received_not_cleared",
            "Received, not cleared",
            "Open invoices that the vendor's invoice has come for, the earliest deadline first.",
            invoices(&counts.received_not_cleared),
        ),
        filter(
            "loops",
            "Loops",
            "Invoices that returned to a stage, those with most returns first.",
            whole(counts.loops),
        ),
        filter(
            "duplicates",
            "Possible duplicates",
            "Same vendor, amount and currency as an earlier one, and the same reference or date; the newest first.",
            whole(counts.duplicates),
        ),
        filter(
            "odd",
            "Odd events",
            "Kept and marked: unlikely dates, unknown words, no invoice; the newest first.",
            whole(counts.marks.get("odd").copied().unwrap_or(0)),
        ),
    ]
}

fn figure(theirs: TheirFigure) -> KeyFigure {
    let in_currency = |one: &waag_invoices::figures::InCurrency| Amount {
        minor: i128::from(one.value),
        currency: one.currency.clone(),
        exponent: Currency::of(&one.currency).map_or(0, Currency::exponent),
    };
    // Hundredths of a day are 864 seconds.
    let days = |hundredths: i64| hundredths.saturating_mul(864_000_000_000);
    let value = match theirs.unit {
        Unit::Percent => theirs.value.map(|hundredths| FigureValue::Ratio(whole(hundredths) * 100)),
        Unit::Days if !theirs.by_currency.is_empty() => Some(FigureValue::DurationIn(
            theirs.by_currency.iter().map(|one| (one.currency.clone(), days(one.value))).collect(),
        )),
        Unit::Days => theirs.value.map(|hundredths| FigureValue::Duration(days(hundredths))),
        Unit::Money => Some(FigureValue::Money(theirs.by_currency.iter().map(in_currency).collect())),
    };
    KeyFigure {
        name: theirs.name.to_owned(),
        definition: theirs.definition.to_owned(),
        value,
        note: theirs.note.map(str::to_owned),
    }
}

fn facts(life: &Lifecycle) -> Vec<(String, String)> {
    let state = &life.state;
    let time = |at: Option<i64>| at.map(|at| crate::format::absolute(&UtcNanos(at)));
    let touch =
        state.manual.map(|manual| if manual { "a person acted" } else { "no person acted" }.to_owned());
    let rows = [
        ("Vendor", told(&state.vendor)),
        ("Vendor class", told(&state.vendor_class)),
        ("Region", told(&state.region)),
        ("Due date", state.due_date.clone()),
        ("Received", time(state.received)),
        ("Approved", time(state.approved)),
        ("Closed", time(state.closed)),
        ("Touch", touch),
    ];
    rows.into_iter()
        .map(|(name, text)| (name.to_owned(), text.unwrap_or_else(|| "not told".to_owned())))
        .collect()
}

fn marks(life: &Lifecycle) -> Vec<(Grade, String)> {
    let state = &life.state;
    let mut marks = Vec::new();
    if state.stuck {
        marks.push((Grade::Bad, "stuck".to_owned()));
    }
    if state.duplicate {
        marks.push((Grade::Warning, "possible duplicate".to_owned()));
    }
    if state.loops > 0 {
        marks.push((Grade::Warning, format!("returned {} times", state.loops)));
    }
    if state.exception {
        marks.push((Grade::Warning, "had an exception".to_owned()));
    }
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for mark in life.steps.iter().flat_map(|step| &step.marks) {
        *counts.entry(mark).or_default() += 1;
    }
    marks.extend(
        counts
            .into_iter()
            .map(|(mark, count)| (Grade::Note, format!("{}: {count} events", mark.replace('_', " ")))),
    );
    marks
}

fn passages(state: &InvoiceState) -> Vec<Passage> {
    let passage = |ours: Stage| {
        let visit = state.visits.iter().find(|visit| stage(visit.stage) == ours);
        let here = stage(state.stage) == ours && state.closed.is_none();
        Passage {
            stage: ours,
            entered: visit.and_then(|visit| visit.entered).map(UtcNanos),
            left: visit.and_then(|visit| visit.left).map(UtcNanos),
            deadline: state.deadline.filter(|_| here).map(UtcNanos),
        }
    };
    Stage::ALL.map(passage).to_vec()
}

impl Figures for Loaded {
    fn overview(&self, asked: &Asked, now: UtcNanos) -> Result<Overview, WebError> {
        let queries = self.queries();
        let counts = queries.overview(now)?;
        let (grid, points) = self.points(asked.range, now)?;
        let latencies = queries.latency(now, asked.range.days())?;
        let tile = |(tile, points): (&waag_invoices::queries::Tile, &Vec<Point>)| StageTile {
            stage: stage(tile.stage),
            open: whole(tile.open),
            value: amounts(&tile.value),
            stuck: whole(tile.stuck),
            stuck_value: amounts(&tile.stuck_value),
            entered: sum_of(points, |point| point.entered),
            failed: sum_of(points, |point| point.failed),
            trend: grid.spread(points),
        };
        let flow = |(ours, points): (Stage, &Vec<Point>)| {
            let speed = speed(ours, points, &latencies);
            Flow { stage: ours, entered: speed.entered, ended: speed.ended, median_ns: speed.p50_ns }
        };
        let stuck = queries.list(List::Stuck, &Narrow::default(), now, None, STUCK_ROWS)?;
        Ok(Overview {
            invoices: whole(counts.invoices),
            tiles: counts.tiles.iter().zip(&points).map(tile).collect(),
            flow: Stage::ALL.into_iter().zip(&points).map(flow).collect(),
            series: grid.series(&points),
            stuck_total: whole(counts.stuck),
            stuck: stuck.lines.iter().map(|state| row(state, now)).collect(),
            figures: queries.key_figures(now, FIGURES_DAYS)?.into_iter().map(figure).collect(),
        })
    }

    fn operations(&self, asked: &Asked, now: UtcNanos) -> Result<Operations, WebError> {
        let queries = self.queries();
        let narrow = Narrow {
            stage: asked.stage.map(theirs),
            region: asked.region.clone(),
            currency: asked.currency.clone(),
        };
        let after = after(asked)?;
        let open = |list| -> Result<(Vec<Row>, Option<String>), WebError> {
            Ok(page(queries.list(list, &narrow, now, after.as_ref(), LIST_ROWS)?, |state| row(state, now)))
        };
        let (narrowable, (rows, next)) = match asked.filter.as_str() {
            "" | "stuck" => (true, open(List::Stuck)?),
            "approved_not_paid" => (true, open(List::ApprovedNotPaid)?),
            "received_not_cleared" => (true, open(List::ReceivedNotCleared)?),
            "loops" => (false, page(queries.loops(now, after.as_ref(), LIST_ROWS)?, |state| row(state, now))),
            "duplicates" => (false, page(queries.duplicates(after.as_ref(), LIST_ROWS)?, duplicate_row)),
            "odd" => (false, page(queries.odd(after.as_ref(), LIST_ROWS)?, odd_row)),
            _ => return Err(WebError::Parameter { name: "filter", allowed: "one of the lists on the page" }),
        };
        let (grid, points) = self.points(asked.range, now)?;
        let latencies = queries.latency(now, asked.range.days())?;
        let regions = queries.regions(now)?;
        let mut currencies: Vec<String> =
            regions.iter().flat_map(|region| &region.value).filter_map(|sum| told(&sum.currency)).collect();
        currencies.sort();
        currencies.dedup();
        let speed = |(ours, points): (Stage, &Vec<Point>)| speed(ours, points, &latencies);
        Ok(Operations {
            filters: filters(&queries.overview(now)?),
            rows,
            next,
            narrowable,
            speeds: Stage::ALL.into_iter().zip(&points).map(speed).collect(),
            series: grid.series(&points),
            regions: regions.iter().map(|region| self::region(region, &latencies)).collect(),
            currencies,
        })
    }

    fn invoice(&self, id: &str, now: UtcNanos) -> Result<Option<Invoice>, WebError> {
        let Some(life) = self.queries().invoice(id, now)? else { return Ok(None) };
        let (grade, word) = condition(&life.state);
        let closed = matches!(life.state.condition, Condition::Paid | Condition::Rejected);
        let place = stage(life.state.stage).name();
        Ok(Some(Invoice {
            id: life.state.id.clone(),
            status: if closed { word.to_owned() } else { format!("{place}, {word}") },
            grade,
            marks: marks(&life),
            value: value(&life.state),
            facts: facts(&life),
            passages: passages(&life.state),
            positions: life.steps.iter().map(|step| step.position).collect(),
            events: life.state.events,
        }))
    }

    fn cash(&self, asked: &Asked, now: UtcNanos) -> Result<Cash, WebError> {
        Ok(cash(&self.queries().cash(None, CASH_ROWS_MAX)?, asked, now.day()))
    }
}

fn region(theirs: &waag_invoices::queries::Region, latencies: &[Latency]) -> Region {
    let by_stage = |counts: &[i64; 4]| Stage::ALL.into_iter().zip(counts.map(whole)).collect();
    let mut p95_ns: BTreeMap<Stage, i64> = BTreeMap::new();
    for one in latencies.iter().filter(|one| one.region == theirs.region && one.count > 0) {
        let most = p95_ns.entry(stage(one.stage)).or_default();
        *most = (*most).max(nanos(one.p95_ms));
    }
    Region {
        name: theirs.region.clone(),
        open: by_stage(&theirs.open),
        stuck: by_stage(&theirs.stuck),
        p95_ns,
        value: amounts(&theirs.value),
    }
}

/// Totals of all currencies, and the due dates of the one asked for, or of the one with most invoices.
fn cash(rows: &[waag_invoices::queries::Cash], asked: &Asked, today: UtcDay) -> Cash {
    let mut totals: BTreeMap<&str, CashTotal> = BTreeMap::new();
    let today = i64::from(today.0);
    for row in rows.iter().filter(|row| !row.sum.currency.is_empty()) {
        let none = || Amount { minor: 0, ..amount(&row.sum) };
        let new = || CashTotal { count: 0, outstanding: none(), overdue: none(), week: none() };
        let total = totals.entry(&row.sum.currency).or_insert_with(new);
        total.count = total.count.saturating_add(whole(row.sum.invoices));
        let minor = i128::from(row.sum.minor);
        total.outstanding.minor += minor;
        match row.due_day {
            Some(day) if day < today => total.overdue.minor += minor,
            Some(day) if day < today + 7 => total.week.minor += minor,
            Some(_) | None => {}
        }
    }
    let mut currencies: Vec<CashTotal> = totals.into_values().collect();
    currencies.sort_by_key(|total| std::cmp::Reverse(total.count));
    let asked_for =
        currencies.iter().find(|total| Some(&total.outstanding.currency) == asked.currency.as_ref());
    let Some(chosen) = asked_for.or(currencies.first()).map(|total| total.outstanding.currency.clone())
    else {
        return Cash::default();
    };
    let mut due: Vec<DueRow> = Vec::new();
    for row in rows.iter().filter(|row| row.sum.currency == chosen) {
        // 1970-01-01 was a Thursday: three days after a Monday.
        let begin = |day: i64| if asked.by == Step::Week { day - (day + 3).rem_euclid(7) } else { day };
        let day = row.due_day.and_then(|day| i32::try_from(begin(day)).ok()).map(UtcDay);
        match due.last_mut().filter(|last| last.due == day) {
            Some(last) => {
                last.count = last.count.saturating_add(whole(row.sum.invoices));
                last.value.minor += i128::from(row.sum.minor);
            }
            None => due.push(DueRow { due: day, count: whole(row.sum.invoices), value: amount(&row.sum) }),
        }
    }
    Cash { currencies, rows: due }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_as_it_was_written() {
        for day in [-719_000, -1, 0, 59, 60, 11_016, 20_778, 100_000] {
            assert_eq!(day_of(&UtcDay(day).to_string()), Some(UtcDay(day)), "{}", UtcDay(day));
        }
        assert_eq!(day_of("soon"), None);
    }

    #[test]
    fn cash_adds_up_whatever_it_is_put_together_by() {
        let row = |due_day: Option<i64>, minor, currency: &str| waag_invoices::queries::Cash {
            due_day,
            due_date: None,
            sum: Sum { currency: currency.to_owned(), exponent: 2, invoices: 1, minor, cut: false },
        };
        // The 20,778th day, 2026-11-21, is a Saturday; its week began on the 16th.
        let rows = [
            row(Some(20_770), 1, "EUR"),
            row(Some(20_773), 10, "EUR"),
            row(Some(20_778), 100, "EUR"),
            row(Some(20_778), 5, "USD"),
            row(Some(20_790), 1_000, "EUR"),
            row(None, 10_000, "EUR"),
        ];
        for by in [Step::Day, Step::Week] {
            let shown = cash(&rows, &Asked { by, ..Asked::default() }, UtcDay(20_778));
            let total = &shown.currencies[0];
            assert_eq!((total.outstanding.minor, total.overdue.minor, total.week.minor), (11_111, 11, 100));
            assert_eq!(shown.rows.iter().map(|row| row.value.minor).sum::<i128>(), 11_111);
            assert_eq!(shown.rows.len(), if by == Step::Week { 4 } else { 5 });
        }
        let dollars =
            cash(&rows, &Asked { currency: Some("USD".to_owned()), ..Asked::default() }, UtcDay(20_778));
        assert_eq!(dollars.rows.len(), 1);
        assert!(cash(&[], &Asked::default(), UtcDay(0)).currencies.is_empty());
    }
}
