//! Reads of the invoice view for pages and reports: every figure and every invoice, from rows only.
//!
//! Place in the way of an event: `show`. Each read is a few gets and bounded scans; "stuck" is a stored deadline
//! compared with the `now` that the caller passes, so a page needs no projection to be up to date with the clock.
//! Not here: how invoices stand (`standing`), throughput and steps (`speed`), cash (`cash`), one invoice (`life`), lists
//! (`lists`), the key figures (`figures`), masking and authorisation (the edge).
//! Amounts are whole numbers of minor units, and their sums are exact whatever is added.

use std::collections::BTreeMap;

use serde::Serialize;
use waag_domain::project::{Cell, Reads, Row, RowsError, Scan, Table};
use waag_model::money::Currency;
use waag_model::time::UtcNanos;

use crate::event::{ODDITIES, Stage};
use crate::packed::entries_of;
use crate::project::{range, whole};
use crate::sketch::Sketch;
use crate::standing::{Standing, Tile};
use crate::tables::{
    COHORT, COUNTER, DAY, DAYS_IN_ROW, HOUR, HOURS_IN_ROW, LATENCY, MINUTE, SEGMENT, VENDOR,
};
use crate::tally::{Change, sum_of};
use crate::when::HOUR_NS;
use crate::write::odd_counter;

/// Most buckets of a series: three hours of minutes, eight days of hours, a year of days.
pub const MINUTES_MAX: i64 = 180;
/// Most hours of a series.
pub const HOURS_MAX: i64 = 192;
/// Most days of a series, and of a latency.
pub const DAYS_MAX: i64 = 366;

/// Reads over one view.
#[derive(Clone, Copy)]
pub struct Queries<'a> {
    pub(crate) rows: &'a dyn Reads,
}

/// A sum of money in minor units of one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// ISO 4217; empty where no currency was told.
    pub currency: String,
    /// Decimals of the minor unit.
    pub exponent: u8,
    /// Invoices.
    pub invoices: i64,
    /// Minor units, exact: amounts have 64 bits, their sum may need more.
    pub minor: i128,
}

/// The first page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Overview {
    /// The four stages in their order.
    pub tiles: Vec<Tile>,
    /// All invoices ever seen.
    pub invoices: i64,
    /// All events about invoices.
    pub events: i64,
    /// Paid invoices.
    pub cleared: i64,
    /// Rejected invoices.
    pub rejected: i64,
    /// Open ones past their deadline.
    pub stuck: i64,
    /// Open ones whose payment is approved.
    pub approved_not_paid: Vec<Sum>,
    /// Open ones that the vendor's invoice has come for.
    pub received_not_cleared: Vec<Sum>,
    /// Invoices in the list of loops.
    pub loops: i64,
    /// Events in no order, late, repeated, odd…, by mark.
    pub marks: BTreeMap<String, i64>,
    /// Odd events by reason.
    pub odd: BTreeMap<String, i64>,
    /// Possible duplicates.
    pub duplicates: i64,
}

/// What a report states.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Events about invoices.
    pub events: i64,
    /// Invoices.
    pub cases: i64,
    /// Paid ones.
    pub cleared: i64,
    /// Rejected ones: with the paid ones and those of all stages they are all invoices.
    pub rejected: i64,
    /// Received and still open.
    pub received_not_cleared: i64,
    /// Approved and still open.
    pub approved_not_paid: i64,
    /// Open past their deadline.
    pub stuck: i64,
    /// Odd events.
    pub odd: i64,
    /// Odd events by reason.
    pub odd_by_reason: BTreeMap<String, i64>,
    /// Possible duplicates.
    pub duplicates: i64,
    /// Open invoices by stage.
    pub by_stage: BTreeMap<String, i64>,
}

/// A bucket's unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grain {
    /// Sixty seconds.
    Minute,
    /// Sixty minutes.
    Hour,
    /// A day in UTC.
    Day,
}

impl Grain {
    /// The grain of a name; `None` for any other word.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "minute" => Some(Self::Minute),
            "hour" => Some(Self::Hour),
            "day" => Some(Self::Day),
            _ => None,
        }
    }

    /// The begin of the bucket that `last` buckets ending with that of `now` begin with.
    #[must_use]
    pub fn begin_of(self, last: i64, now: UtcNanos) -> UtcNanos {
        let bucket = now.0.div_euclid(self.nanos()).saturating_sub(last.saturating_sub(1));
        UtcNanos(bucket.saturating_mul(self.nanos()))
    }

    /// What a series of a span is about: the begin of its first bucket, and the end of its last one.
    #[must_use]
    pub fn span(self, from: UtcNanos, to: UtcNanos) -> (UtcNanos, UtcNanos) {
        let (first, end) = self.buckets(from, to);
        (UtcNanos(first.saturating_mul(self.nanos())), UtcNanos(end.saturating_mul(self.nanos())))
    }

    /// Its level in tables that hold several, and its length in minutes.
    pub(crate) fn level(self) -> i64 {
        match self {
            Self::Minute => 0,
            Self::Hour => 1,
            Self::Day => 2,
        }
    }

    /// Its length.
    pub(crate) fn nanos(self) -> i64 {
        match self {
            Self::Minute => crate::when::MINUTE_NS,
            Self::Hour => HOUR_NS,
            Self::Day => 24 * HOUR_NS,
        }
    }

    /// The first bucket from a time on and the end of those before another, at most as many as the limit.
    pub(crate) fn buckets(self, from: UtcNanos, to: UtcNanos) -> (i64, i64) {
        let most = match self {
            Self::Minute => MINUTES_MAX,
            Self::Hour => HOURS_MAX,
            Self::Day => DAYS_MAX,
        };
        let unit = self.nanos();
        let end = to.0.div_euclid(unit) + i64::from(to.0.rem_euclid(unit) > 0);
        (from.0.div_euclid(unit).max(end.saturating_sub(most)), end)
    }
}

/// One bucket of a stage's series.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Point {
    /// The bucket's begin: nanoseconds since 1970.
    pub at: i64,
    /// Events.
    pub events: i64,
    /// Entries into the stage.
    pub entered: i64,
    /// Failures and holds.
    pub failed: i64,
}

/// How long a stage takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// The stage that was left.
    pub stage: Stage,
    /// The region; empty for those without one.
    pub region: String,
    /// The vendor class; empty for those without one.
    pub vendor_class: String,
    /// Visits.
    pub count: u64,
    /// Milliseconds, within 1 %.
    pub p50_ms: u64,
    /// Milliseconds, within 1 %.
    pub p95_ms: u64,
    /// Milliseconds, within 1 %.
    pub p99_ms: u64,
}

/// A region beside others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Region {
    /// Its name; empty for invoices without one.
    pub region: String,
    /// Open invoices by stage, in the stages' order.
    pub open: [i64; 4],
    /// Open past their deadline, by stage.
    pub stuck: [i64; 4],
    /// Value of the open ones.
    pub value: Vec<Sum>,
    /// Value of the stuck ones.
    pub stuck_value: Vec<Sum>,
}

/// A vendor in one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vendor {
    /// Its name.
    pub vendor: String,
    /// All its invoices and their value.
    pub total: Sum,
    /// The open ones.
    pub open: Sum,
}

/// A learned cohort.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cohort {
    /// The stage.
    pub stage: Stage,
    /// The vendor class; empty for those without one.
    pub vendor_class: String,
    /// Visits it was learned from.
    pub samples: i64,
    /// Milliseconds.
    pub p50_ms: i64,
    /// Milliseconds.
    pub p95_ms: i64,
    /// The day of commit time it was learned on: days since 1970.
    pub learned_day: i64,
}

/// A segment's meaning.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) stage: Stage,
    pub(crate) region: String,
    pub(crate) currency: String,
}

/// Sums by currency while they grow.
#[derive(Default)]
pub(crate) struct Sums(BTreeMap<String, (i64, i128)>);

impl Sums {
    pub(crate) fn add(&mut self, currency: &str, invoices: i64, value: i128) {
        let (count, sum) = self.0.entry(currency.to_owned()).or_default();
        *count = count.saturating_add(invoices);
        *sum = sum.saturating_add(value);
    }

    /// Takes other sums away; what comes to nothing goes.
    pub(crate) fn take(&mut self, other: &Self) {
        for (currency, (count, sum)) in &other.0 {
            self.add(currency, count.saturating_neg(), sum.saturating_neg());
        }
        self.0.retain(|_, left| *left != (0, 0));
    }

    /// The sum of one currency.
    pub(crate) fn of(&self, currency: &str) -> Sum {
        let (invoices, value) = self.0.get(currency).copied().unwrap_or((0, 0));
        sum(currency.to_owned(), invoices, value)
    }

    /// Whether anything of this currency was added.
    pub(crate) fn has(&self, currency: &str) -> bool {
        self.0.contains_key(currency)
    }

    pub(crate) fn finish(self) -> Vec<Sum> {
        self.0.into_iter().map(|(currency, (invoices, value))| sum(currency, invoices, value)).collect()
    }
}

pub(crate) fn sum(currency: String, invoices: i64, value: i128) -> Sum {
    let exponent = Currency::of(&currency).map_or(0, Currency::exponent);
    Sum { currency, exponent, invoices, minor: value }
}

/// The whole number in a row's column.
pub(crate) fn number(row: &[Cell], at: usize) -> i64 {
    row.get(at).and_then(Cell::integer).unwrap_or(0)
}

/// The text in a row's column.
pub(crate) fn text(row: &[Cell], at: usize) -> &str {
    row.get(at).and_then(Cell::text).unwrap_or("")
}

/// The sum in two columns.
pub(crate) fn big(row: &[Cell], at: usize) -> i128 {
    sum_of(number(row, at), number(row, at + 1))
}

/// The first hour whose deadlines are not past at `now`.
pub(crate) fn first_hour_ahead(now: UtcNanos) -> i64 {
    now.0.div_euclid(HOUR_NS) + 1
}

/// A scan of a range of the column after `equal`, by key.
pub(crate) fn between<'a>(equal: &'a [Cell], from: Option<i64>, to: Option<i64>) -> Scan<'a> {
    let (from, to) = (from.map(Cell::Integer), to.map(Cell::Integer));
    Scan { index: None, equal, from, to, after: None, descending: false, limit: 0 }
}

impl<'a> Queries<'a> {
    /// Reads over these rows.
    #[must_use]
    pub fn new(rows: &'a dyn Reads) -> Self {
        Self { rows }
    }

    pub(crate) fn segments(&self) -> Result<BTreeMap<i64, Segment>, RowsError> {
        let row = |row: Row| {
            let stage = Stage::of_number(number(&row, 1)).unwrap_or_default();
            (number(&row, 0), Segment { stage, region: text(&row, 2).into(), currency: text(&row, 3).into() })
        };
        Ok(whole(self.rows, &SEGMENT)?.into_iter().map(row).collect())
    }

    /// Counters by name; nought where there is none.
    pub(crate) fn counters(&self, names: &[&str]) -> Result<Vec<i64>, RowsError> {
        let keys: Vec<Row> = names.iter().map(|name| vec![(*name).into()]).collect();
        let rows = self.rows.get(&COUNTER, &keys)?;
        Ok(rows.into_iter().map(|row| row.map_or(0, |row| number(&row, 1))).collect())
    }

    fn odd_by_reason(&self) -> Result<BTreeMap<String, i64>, RowsError> {
        let keys: Vec<Row> = ODDITIES.iter().map(|reason| vec![odd_counter(*reason)]).collect();
        let rows = self.rows.get(&COUNTER, &keys)?;
        let counts = rows.into_iter().map(|row| row.map_or(0, |row| number(&row, 1)));
        Ok(ODDITIES.iter().map(|reason| reason.name().to_owned()).zip(counts).collect())
    }

    /// The first page.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn overview(&self, standing: &Standing) -> Result<Overview, RowsError> {
        let tiles = standing.tiles();
        let names = ["invoices", "events", "cleared", "rejected", "loops", "duplicates"];
        let counters = self.counters(&names)?;
        let counter = |at: usize| counters.get(at).copied().unwrap_or(0);
        let marks = crate::state::mark::NAMES;
        let marked = marks.iter().map(|name| (*name).to_owned()).zip(self.counters(&marks)?).collect();
        Ok(Overview {
            stuck: tiles.iter().fold(0, |all, tile| all.saturating_add(tile.stuck)),
            tiles,
            invoices: counter(0),
            events: counter(1),
            cleared: counter(2),
            rejected: counter(3),
            approved_not_paid: standing.approved_not_paid(),
            received_not_cleared: standing.received_not_cleared(),
            loops: counter(4),
            marks: marked,
            odd: self.odd_by_reason()?,
            duplicates: counter(5),
        })
    }

    /// What a report states at `now`.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn report(&self, now: UtcNanos) -> Result<Report, RowsError> {
        let overview = self.overview(&self.standing(now)?)?;
        let total = |sums: &[Sum]| sums.iter().fold(0i64, |all, sum| all.saturating_add(sum.invoices));
        let by_stage = overview.tiles.iter().map(|tile| (tile.stage.name().to_owned(), tile.open)).collect();
        Ok(Report {
            events: overview.events,
            cases: overview.invoices,
            cleared: overview.cleared,
            rejected: overview.rejected,
            received_not_cleared: total(&overview.received_not_cleared),
            approved_not_paid: total(&overview.approved_not_paid),
            stuck: overview.stuck,
            odd: overview.marks.get("odd").copied().unwrap_or(0),
            odd_by_reason: overview.odd,
            duplicates: overview.duplicates,
            by_stage,
        })
    }

    /// Events of a stage by bucket, from `from` and before `to`, at most as many buckets as the grain's limit;
    /// of one vendor, or of all. Minutes are not kept by vendor: then the series is empty.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn series(
        &self,
        stage: Stage,
        grain: Grain,
        (from, to): (UtcNanos, UtcNanos),
        vendor: Option<&str>,
    ) -> Result<Vec<Point>, RowsError> {
        let unit = grain.nanos();
        let (first, end) = grain.buckets(from, to);
        let segments = self.segments()?;
        let mut points: BTreeMap<i64, Point> = BTreeMap::new();
        let mut take = |bucket: i64, segment: i64, change: &Change<3, 1>| {
            let is_asked = segments.get(&segment).is_some_and(|segment| segment.stage == stage);
            if is_asked && (first..end).contains(&bucket) {
                let point = points.entry(bucket).or_default();
                let [events, entered, failed] = change.counts;
                point.at = bucket.saturating_mul(unit);
                point.events = point.events.saturating_add(events);
                point.entered = point.entered.saturating_add(entered);
                point.failed = point.failed.saturating_add(failed);
            }
        };
        let (table, in_row): (&'static Table, i64) = match grain {
            Grain::Minute if vendor.is_some() => return Ok(Vec::new()),
            Grain::Minute => (&MINUTE, 1),
            Grain::Hour => (&HOUR, HOURS_IN_ROW),
            Grain::Day => (&DAY, DAYS_IN_ROW),
        };
        let groups = first.div_euclid(in_row)..=end.saturating_sub(1).div_euclid(in_row);
        let rows = if grain == Grain::Minute {
            range(self.rows, table, &between(&[], Some(first), Some(end)))?
        } else {
            let keys: Vec<Row> =
                groups.map(|group| vec![group.into(), vendor.unwrap_or("").into()]).collect();
            self.rows.get(table, &keys)?.into_iter().flatten().collect()
        };
        for row in rows {
            let begin = number(&row, 0).saturating_mul(in_row);
            for (code, change) in entries_of(table, &row)? {
                take(begin.saturating_add(code.rem_euclid(in_row)), code.div_euclid(in_row), &change);
            }
        }
        Ok(points.into_values().collect())
    }

    /// Stage times of visits that ended on the last `days` days of commit time up to `now`, for each stage, region and
    /// vendor class.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn latency(&self, now: UtcNanos, days: i64) -> Result<Vec<Latency>, RowsError> {
        let last = i64::from(now.day().0) + 1;
        let first = last.saturating_sub(days.clamp(1, DAYS_MAX));
        let mut merged: BTreeMap<(Stage, String, String), Sketch> = BTreeMap::new();
        for row in range(self.rows, &LATENCY, &between(&[], Some(first), Some(last)))? {
            let stage = Stage::of_number(number(&row, 1)).unwrap_or_default();
            let key = (stage, text(&row, 2).to_owned(), text(&row, 3).to_owned());
            if let Some(sketch) = row.get(4).and_then(Cell::bytes).and_then(Sketch::from_bytes) {
                merged.entry(key).or_default().merge(&sketch);
            }
        }
        let latency = |((stage, region, vendor_class), sketch): ((Stage, String, String), Sketch)| {
            let quantile = |percent| sketch.quantile(percent).unwrap_or(0);
            let (p50_ms, p95_ms, p99_ms) = (quantile(50), quantile(95), quantile(99));
            Latency { stage, region, vendor_class, count: sketch.count(), p50_ms, p95_ms, p99_ms }
        };
        Ok(merged.into_iter().map(latency).collect())
    }

    /// What was learned at the last day boundary.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn cohorts(&self) -> Result<Vec<Cohort>, RowsError> {
        let cohort = |row: Row| Cohort {
            stage: Stage::of_number(number(&row, 0)).unwrap_or_default(),
            vendor_class: text(&row, 1).into(),
            samples: number(&row, 2),
            p50_ms: number(&row, 3),
            p95_ms: number(&row, 4),
            learned_day: number(&row, 5),
        };
        Ok(whole(self.rows, &COHORT)?.into_iter().map(cohort).collect())
    }

    /// The vendors with the most open invoices, at most `limit`; by currency.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn vendors(&self, limit: usize) -> Result<Vec<Vendor>, RowsError> {
        let vendor = |row: Row| {
            let currency = || text(&row, 1).to_owned();
            Vendor {
                vendor: text(&row, 0).to_owned(),
                open: sum(currency(), number(&row, 3), big(&row, 4)),
                total: sum(currency(), number(&row, 2), big(&row, 6)),
            }
        };
        let mut vendors: Vec<Vendor> = whole(self.rows, &VENDOR)?.into_iter().map(vendor).collect();
        vendors.sort_by_key(|vendor| std::cmp::Reverse((vendor.open.invoices, vendor.open.minor)));
        vendors.truncate(limit);
        Ok(vendors)
    }
}
