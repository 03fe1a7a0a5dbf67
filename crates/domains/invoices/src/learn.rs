//! What is learned from many invoices, and what is forgotten: at midnight UTC of commit time, from whole days.
//!
//! A cohort is a stage and a vendor class, of which there are few (`classes`). Its p95 is that of the stage times of the
//! days before, and holds for the whole day, so that a rebuild gives the same deadlines (`INVOICE-4`, `PROJECT-2`).
//! Not here: where deadlines are made of it (`state`).

use std::collections::{BTreeMap, HashMap};

use waag_domain::project::{Cell, Reads, Row, Rows, RowsError, Scan, Table};

use crate::config::Config;
use crate::event::Stage;
use crate::names::{Name, Names};
use crate::project::whole;
use crate::sketch::Sketch;
use crate::tables::{COHORT, FLOW, HOUR, HOURS_IN_ROW, LATENCY, LATENCY_REGION, MARKER, MINUTE, PULSE};

/// Rows read or removed at once.
const ROWS_MAX: usize = 1_000;
/// The marker of the commit day.
const COMMIT_DAY: &str = "commit_day";

/// The learned p95 of each cohort, in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Cohorts(HashMap<(Stage, Name), i64>);

impl Cohorts {
    pub(crate) fn p95(&self, stage: Stage, class: Name) -> Option<i64> {
        self.0.get(&(stage, class)).copied()
    }

    pub(crate) fn load(rows: &dyn Reads, config: &Config, names: &mut Names) -> Result<Self, RowsError> {
        let mut cohorts = HashMap::new();
        let least = i64::try_from(config.learned_samples_min).unwrap_or(i64::MAX);
        for row in whole(rows, &COHORT)? {
            let [stage, class, samples, _, p95, _] = row.as_slice() else { continue };
            let (Some(stage), Some(class)) = (stage.integer().and_then(Stage::of_number), class.text())
            else {
                continue;
            };
            if samples.integer().is_some_and(|samples| samples >= least) {
                let p95_ms = p95.integer().unwrap_or(0);
                cohorts.insert((stage, names.of(class)), p95_ms.saturating_mul(1_000_000));
            }
        }
        Ok(Self(cohorts))
    }
}

/// The day of commit time the view has come to; none before the first fact.
pub(crate) fn commit_day(rows: &dyn Reads) -> Result<Option<i64>, RowsError> {
    let found = rows.get(&MARKER, &[vec![COMMIT_DAY.into()]])?;
    Ok(found.into_iter().flatten().next().and_then(|row| row.get(1).and_then(Cell::integer)))
}

/// Begins a day of commit time: learns from the days before it and removes figures that are too old.
pub(crate) fn begin_day(day: i64, config: &Config, rows: &mut dyn Rows) -> Result<(), RowsError> {
    learn(day, config, rows)?;
    forget(&MINUTE, &[], minute_floor(day, config), rows)?;
    let (minutes, hours) = (minute_floor(day, config), hour_floor(day, config));
    forget(&PULSE, &[0.into()], minutes, rows)?;
    forget(&PULSE, &[1.into()], hours, rows)?;
    forget(&FLOW, &[1.into()], hours, rows)?;
    forget(&LATENCY_REGION, &[1.into()], latency_hour_floor(day, config), rows)?;
    // A floor is the beginning of a day, which is a row of hours.
    forget(&HOUR, &[], hours.div_euclid(HOURS_IN_ROW), rows)?;
    rows.put(&MARKER, vec![vec![COMMIT_DAY.into(), day.into()]])
}

/// The first minute whose figures are kept on a day of commit time.
pub(crate) fn minute_floor(day: i64, config: &Config) -> i64 {
    day.saturating_sub(i64::from(config.minute_days)).saturating_mul(1_440)
}

/// The first hour whose figures are kept on a day of commit time.
pub(crate) fn hour_floor(day: i64, config: &Config) -> i64 {
    day.saturating_sub(i64::from(config.hour_days)).saturating_mul(24)
}

/// The first hour whose stage times are kept by hour: as long as minutes are, since each region has its own.
pub(crate) fn latency_hour_floor(day: i64, config: &Config) -> i64 {
    minute_floor(day, config).div_euclid(60)
}

fn learn(day: i64, config: &Config, rows: &mut dyn Rows) -> Result<(), RowsError> {
    let first = day.saturating_sub(i64::from(config.learned_days));
    let mut merged: BTreeMap<(i64, Box<str>), Sketch> = BTreeMap::new();
    let mut after: Option<Row> = None;
    loop {
        let scan = Scan {
            index: None,
            equal: &[],
            from: Some(first.into()),
            to: Some(day.into()),
            after: after.as_deref(),
            descending: false,
            limit: ROWS_MAX,
        };
        let page = rows.scan(&LATENCY, &scan)?;
        for row in &page {
            let [_, stage, _, class, sketch] = row.as_slice() else { continue };
            let (Some(stage), Some(class)) = (stage.integer(), class.text()) else { continue };
            if let Some(sketch) = sketch.bytes().and_then(Sketch::from_bytes) {
                merged.entry((stage, class.into())).or_default().merge(&sketch);
            }
        }
        if page.len() < ROWS_MAX {
            break;
        }
        after = page.last().map(|row| row.iter().take(LATENCY.key).cloned().collect());
    }
    let keys: Vec<Row> =
        whole(rows, &COHORT)?.into_iter().map(|row| row.into_iter().take(COHORT.key).collect()).collect();
    rows.delete(&COHORT, &keys)?;
    let number = |value: u64| Cell::Integer(i64::try_from(value).unwrap_or(i64::MAX));
    let cohorts = merged.into_iter().map(|((stage, class), sketch)| {
        let quantile = |percent| number(sketch.quantile(percent).unwrap_or(0));
        vec![stage.into(), (*class).into(), number(sketch.count()), quantile(50), quantile(95), day.into()]
    });
    rows.put(&COHORT, cohorts.collect())
}

/// Removes rows whose column after `equal` is below `floor`.
fn forget(table: &'static Table, equal: &[Cell], floor: i64, rows: &mut dyn Rows) -> Result<(), RowsError> {
    loop {
        let scan = Scan {
            index: None,
            equal,
            from: None,
            to: Some(floor.into()),
            after: None,
            descending: false,
            limit: ROWS_MAX,
        };
        let old = rows.scan(table, &scan)?;
        let last = old.len() < ROWS_MAX;
        let keys: Vec<Row> = old.into_iter().map(|row| row.into_iter().take(table.key).collect()).collect();
        rows.delete(table, &keys)?;
        if last {
            return Ok(());
        }
    }
}
