//! How fast invoices go: throughput by stage and region, steps from stage to stage, and times in a stage.
//!
//! Place in the way of an event: `show`. Each read is one row a bucket of time, or one a bucket, stage and region;
//! nothing here grows with the number of invoices, currencies, vendors or vendor classes, and regions are at most as
//! many as segments may be.
//! Not here: open invoices (`standing`), figures by currency and vendor (`queries`), what is counted (`batch`).

use std::collections::BTreeMap;

use serde::Serialize;
use waag_domain::project::{Cell, RowsError};
use waag_model::time::{UtcDay, UtcNanos};

use crate::event::Stage;
use crate::moves::Move;
use crate::packed::{Entries, entries_of};
use crate::project::{damaged, each, range};
use crate::queries::{Grain, Point, Queries, Sum, Sums, between, number, text};
use crate::sketch::{Sketch, SketchSum};
use crate::standing::Standing;
use crate::tables::{FLOW, LATENCY_REGION, PULSE};
use crate::tally::Change;

/// One event in so many may have a time behind the end of a history.
const STRAY_OF: i64 = 1_000;

/// What a stage did in a region, over time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Throughput {
    /// The stage.
    pub stage: Stage,
    /// The region; empty for invoices without one.
    pub region: String,
    /// The buckets with events, in order.
    pub points: Vec<Point>,
}

/// Invoices that went from one place to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Where from and where to.
    pub step: Move,
    /// How often that happened.
    pub invoices: i64,
    /// The invoices' value, by currency.
    pub value: Vec<Sum>,
}

/// Times of visits to a stage that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Times {
    /// Visits.
    pub count: u64,
    /// Milliseconds, within 1 %.
    pub p50_ms: u64,
    /// Milliseconds, within 1 %.
    pub p95_ms: u64,
    /// Milliseconds, within 1 %.
    pub p99_ms: u64,
}

impl Times {
    fn of(sketch: &Sketch) -> Self {
        let quantile = |percent| sketch.quantile(percent).unwrap_or(0);
        Self { count: sketch.count(), p50_ms: quantile(50), p95_ms: quantile(95), p99_ms: quantile(99) }
    }
}

/// Times in each stage: of all invoices, and of each region's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageTimes {
    /// Of all invoices.
    pub stages: BTreeMap<Stage, Times>,
    /// By region, empty for invoices without one.
    pub regions: BTreeMap<(String, Stage), Times>,
}

impl Queries<'_> {
    /// Events by stage, region and bucket, from `from` and before `to`; at most as many buckets as the grain's limit.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn throughput(
        &self,
        standing: &Standing,
        grain: Grain,
        (from, to): (UtcNanos, UtcNanos),
    ) -> Result<Vec<Throughput>, RowsError> {
        let (level, unit) = (grain.level(), grain.nanos());
        let (first, end) = grain.buckets(from, to);
        let mut found: BTreeMap<(Stage, &str), Vec<Point>> = BTreeMap::new();
        for row in range(self.rows, &PULSE, &between(&[level.into()], Some(first), Some(end)))? {
            let at = number(&row, 1).saturating_mul(unit);
            let entries: Entries<3, 0> = entries_of(&PULSE, &row)?;
            for (segment, Change { counts: [events, entered, failed], .. }) in entries {
                let Some(segment) = standing.segments.get(&segment) else { continue };
                let points = found.entry((segment.stage, &segment.region)).or_default();
                points.push(Point { at, events, entered, failed });
            }
        }
        let line = |((stage, region), points): ((Stage, &str), Vec<Point>)| Throughput {
            stage,
            region: region.to_owned(),
            points,
        };
        Ok(found.into_iter().map(line).collect())
    }

    /// The day by the end of which all but one in a thousand events had happened: where a history ends, whatever few
    /// events with later times it has. None where there are no events.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn last_busy_day(&self) -> Result<Option<UtcDay>, RowsError> {
        let level = [Grain::Day.level().into()];
        let mut days: Vec<(i64, i64)> = Vec::new();
        each(self.rows, &PULSE, &between(&level, None, None), |row| {
            let entries: Entries<3, 0> = entries_of(&PULSE, &row)?;
            let events = entries.iter().fold(0i64, |all, (_, change)| {
                let [events, ..] = change.counts;
                all.saturating_add(events)
            });
            days.push((number(&row, 1), events));
            Ok(())
        })?;
        let mut left = days.iter().fold(0i64, |all, (_, events)| all.saturating_add(*events)) / STRAY_OF;
        let last = days.iter().rev().find(|(_, events)| {
            left = left.saturating_sub(*events);
            left < 0
        });
        Ok(last.and_then(|(day, _)| i32::try_from(*day).ok()).map(UtcDay))
    }

    /// Steps from stage to stage in whole hours or days, from `from` and before `to`, by their places.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn flows(&self, grain: Grain, (from, to): (UtcNanos, UtcNanos)) -> Result<Vec<Flow>, RowsError> {
        // Steps of a minute are not kept.
        let grain = if grain == Grain::Minute { Grain::Hour } else { grain };
        let (first, end) = grain.buckets(from, to);
        let mut found: BTreeMap<i64, Sums> = BTreeMap::new();
        for row in range(self.rows, &FLOW, &between(&[grain.level().into()], Some(first), Some(end)))? {
            let entries: Entries<1, 1> = entries_of(&FLOW, &row)?;
            for (code, Change { counts: [count], sums: [value] }) in entries {
                found.entry(code).or_default().add(text(&row, 2), count, value);
            }
        }
        let flow = |(code, sums): (i64, Sums)| {
            let value = sums.finish();
            let invoices = value.iter().fold(0i64, |all, sum| all.saturating_add(sum.invoices));
            Some(Flow { step: Move::of_code(code)?, invoices, value })
        };
        Ok(found.into_iter().filter_map(flow).collect())
    }

    /// Times of visits that ended in whole hours or days of event time, from `from` and before `to`; hours are kept as
    /// long as minutes are ([`Config::minute_days`](crate::config::Config::minute_days)).
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn stage_times(
        &self,
        grain: Grain,
        (from, to): (UtcNanos, UtcNanos),
    ) -> Result<StageTimes, RowsError> {
        // Times of a minute are not kept.
        let grain = if grain == Grain::Minute { Grain::Hour } else { grain };
        let (first, end) = grain.buckets(from, to);
        let mut regions: BTreeMap<(String, Stage), SketchSum> = BTreeMap::new();
        let level = [grain.level().into()];
        let scan = between(&level, Some(first), Some(end));
        each(self.rows, &LATENCY_REGION, &scan, |row| {
            let key = (text(&row, 3).to_owned(), Stage::of_number(number(&row, 2)).unwrap_or_default());
            let sum = regions.entry(key).or_default();
            let bytes = row.get(LATENCY_REGION.key).and_then(Cell::bytes);
            bytes.and_then(|bytes| sum.add(bytes)).ok_or_else(|| damaged(&LATENCY_REGION, text(&row, 3)))
        })?;
        let mut stages: BTreeMap<Stage, SketchSum> = BTreeMap::new();
        for ((_, stage), sum) in &regions {
            stages.entry(*stage).or_default().merge(sum);
        }
        Ok(StageTimes {
            stages: stages.iter().map(|(stage, sum)| (*stage, Times::of(&sum.sketch()))).collect(),
            regions: regions.into_iter().map(|(key, sum)| (key, Times::of(&sum.sketch()))).collect(),
        })
    }
}
