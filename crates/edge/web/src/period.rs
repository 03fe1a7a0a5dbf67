//! What time a page's trends and figures are of: the newest, or so many days until one that has passed.
//!
//! An imported history ends years ago, so that what happened until today says nothing of it. Days are kept for ever;
//! minutes and hours are not (`Config::minute_days`), and no period in the past is told in them.

use waag_invoices::queries::Grain;
use waag_model::time::{UtcDay, UtcNanos};

use crate::error::WebError;

/// Fewest days of key figures, which are told of no shorter time.
const FIGURES_DAYS_MIN: i64 = 30;

/// How much time trends and figures are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Range {
    /// An hour, by minute.
    Hour,
    /// 24 hours, by hour.
    #[default]
    Day,
    /// Seven days, by hour; in the past, by day.
    Week,
    /// Thirty days, by day.
    Month,
    /// A year, by day.
    Year,
}

impl Range {
    /// All ranges, shortest first.
    pub const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// Its word in addresses.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
            Self::Year => "1y",
        }
    }

    /// How many days it is, the last one among them.
    #[must_use]
    pub fn days(self) -> i64 {
        match self {
            Self::Hour | Self::Day => 1,
            Self::Week => 7,
            Self::Month => 30,
            Self::Year => 365,
        }
    }

    /// Its name on screens, behind "the".
    fn name(self) -> &'static str {
        match self {
            Self::Hour => "last hour",
            Self::Day => "last 24 hours",
            Self::Week => "last 7 days",
            Self::Month => "last 30 days",
            Self::Year => "last 365 days",
        }
    }

    /// Whether it is told of days that have passed.
    fn is_of_days(self) -> bool {
        !matches!(self, Self::Hour | Self::Day)
    }
}

/// The time that trends and figures are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// How much.
    pub range: Range,
    /// The last day; `None` for the time until now.
    pub until: Option<UtcDay>,
}

/// The steps of a series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub(crate) grain: Grain,
    pub(crate) step_s: i64,
    pub(crate) steps: i64,
    pub(crate) start: UtcNanos,
}

impl Grid {
    /// The step of a time, in nanoseconds.
    pub(crate) fn step_of(&self, at: i64) -> Option<usize> {
        usize::try_from(at.checked_sub(self.start.0)?.checked_div(self.step_s * 1_000_000_000)?).ok()
    }
}

impl Period {
    /// The period that an address tells: the last day by itself is that of thirty.
    ///
    /// # Errors
    /// [`WebError::Parameter`] for hours in the past.
    pub(crate) fn of(range: Option<Range>, until: Option<UtcDay>) -> Result<Self, WebError> {
        let range = range.unwrap_or(Self::usual(until));
        if until.is_some() && !range.is_of_days() {
            let allowed = "`7d`, `30d` or `1y` where `until` is told";
            return Err(WebError::Parameter { name: "range", allowed });
        }
        Ok(Self { range, until })
    }

    fn usual(until: Option<UtcDay>) -> Range {
        if until.is_some() { Range::Month } else { Range::default() }
    }

    /// The range, where an address has to tell it.
    pub(crate) fn told(&self) -> Option<Range> {
        (self.range != Self::usual(self.until)).then_some(self.range)
    }

    /// Another range until the same day, where it can be told of that.
    pub(crate) fn with_range(&self, range: &Range) -> Self {
        Self { range: *range, until: self.until.filter(|_| range.is_of_days()) }
    }

    /// The same number of days until another one; hours become thirty days.
    pub(crate) fn with_until(&self, day: &UtcDay) -> Self {
        let range = if self.range.is_of_days() { self.range } else { Range::Month };
        Self { range, until: Some(*day) }
    }

    /// The period before this one; `None` for hours, which are told of the newest only.
    pub(crate) fn earlier(&self, today: &UtcDay) -> Option<Self> {
        let last = self.last_day(*today).unwrap_or(*today);
        self.range.is_of_days().then(|| self.with_until(&UtcDay(last.0.saturating_sub(self.days_i32()))))
    }

    /// The period behind this one, which ends today where it reaches that far; `None` for the newest.
    pub(crate) fn later(&self, today: &UtcDay) -> Option<Self> {
        let next = UtcDay(self.last_day(*today)?.0.saturating_add(self.days_i32()));
        Some(Self { until: Some(next).filter(|next| next.0 < today.0), ..*self })
    }

    fn days_i32(&self) -> i32 {
        i32::try_from(self.range.days()).unwrap_or(i32::MAX)
    }

    /// The last day where that has passed: a day that is not over ends now.
    pub(crate) fn last_day(&self, today: UtcDay) -> Option<UtcDay> {
        self.until.filter(|day| day.0 < today.0)
    }

    /// Its end: now, or the end of its last day.
    pub(crate) fn end(&self, now: UtcNanos) -> UtcNanos {
        self.last_day(now.day()).map_or(now, UtcDay::end)
    }

    /// The steps of its series.
    pub(crate) fn grid(&self, now: UtcNanos) -> Grid {
        let (grain, step_s, steps) = match self.range {
            Range::Hour => (Grain::Minute, 60, 60),
            Range::Day => (Grain::Hour, 3_600, 24),
            Range::Week if self.last_day(now.day()).is_none() => (Grain::Hour, 3_600, 168),
            Range::Week | Range::Month | Range::Year => (Grain::Day, 86_400, self.range.days()),
        };
        let step = step_s * 1_000_000_000;
        let last = self.end(now).0.saturating_sub(1).div_euclid(step);
        Grid { grain, step_s, steps, start: UtcNanos((last + 1 - steps).saturating_mul(step)) }
    }

    /// The whole hours or days that times in stage are told for, which are kept by these (`Period::days_name`).
    pub(crate) fn times(&self, now: UtcNanos) -> (Grain, (UtcNanos, UtcNanos)) {
        let (grain, hours) = match self.range {
            Range::Hour => (Grain::Hour, 1),
            Range::Day => (Grain::Hour, 23),
            Range::Week | Range::Month | Range::Year => (Grain::Day, 24 * (self.range.days() - 1)),
        };
        let end = self.end(now);
        let from = UtcNanos(end.0.saturating_sub(1).saturating_sub(hours * 3_600_000_000_000));
        (grain, (from, end))
    }

    /// How many days the key figures are of.
    pub(crate) fn figures_days(&self) -> i64 {
        self.range.days().max(FIGURES_DAYS_MIN)
    }

    /// Its name on screens, behind "the".
    pub(crate) fn name(&self) -> String {
        match self.until {
            None => self.range.name().to_owned(),
            Some(day) => format!("{} days until {day}", self.range.days()),
        }
    }

    /// What steps between stages are told for, which are kept by hour.
    pub(crate) fn hours_name(&self) -> String {
        match self.range {
            Range::Hour => "this hour and the one before (UTC)".to_owned(),
            Range::Day | Range::Week | Range::Month | Range::Year => self.name(),
        }
    }

    /// The hours or days that times in stage are told for, in words, behind "in": they are kept by hour and by day.
    pub(crate) fn days_name(&self) -> String {
        match self.range {
            Range::Hour => "this hour and the one before (UTC)".to_owned(),
            Range::Day | Range::Week | Range::Month | Range::Year => format!("the {}", self.name()),
        }
    }

    /// What the key figures are told for, and what those before them are of.
    pub(crate) fn figures_name(&self) -> String {
        let days = self.figures_days();
        match self.until {
            None => format!("last {days} days, and the {days} days before them"),
            Some(day) => {
                format!("rates and times of the {days} days until {day} and of those before, values of now")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_NS: i64 = 3_600_000_000_000;
    const DAY_NS: i64 = 24 * HOUR_NS;
    /// 2026-11-20T10:30:00Z.
    const NOW: UtcNanos = UtcNanos(20_777 * DAY_NS + 10 * HOUR_NS + HOUR_NS / 2);

    fn days_of(period: Period) -> (i64, i64) {
        let grid = period.grid(NOW);
        (
            grid.start.0.div_euclid(DAY_NS),
            (grid.start.0 + grid.steps * grid.step_s * 1_000_000_000).div_euclid(DAY_NS),
        )
    }

    #[test]
    fn a_period_until_now_has_the_step_under_way_and_one_in_the_past_has_whole_days() {
        let until = |range, day: i32| Period { range, until: Some(UtcDay(day)) };
        let hours = Period::default().grid(NOW);
        assert_eq!((hours.steps, hours.start.0), (24, 20_776 * DAY_NS + 11 * HOUR_NS));
        assert_eq!(days_of(Period { range: Range::Month, until: None }), (20_748, 20_778));
        assert_eq!(days_of(until(Range::Month, 17_927)), (17_898, 17_928));
        assert_eq!(days_of(until(Range::Week, 17_927)), (17_921, 17_928));
        assert_eq!(until(Range::Week, 17_927).grid(NOW).grain, Grain::Day);
        assert_eq!(days_of(until(Range::Year, 20_900)), (20_413, 20_778), "what is to come ends now");
        let (grain, (from, end)) = until(Range::Month, 17_927).times(NOW);
        assert_eq!((grain, end.0), (Grain::Day, 17_928 * DAY_NS));
        assert_eq!(from.0.div_euclid(DAY_NS), 17_898);
        let (grain, (from, end)) = Period::default().times(NOW);
        assert_eq!((grain, end), (Grain::Hour, NOW));
        assert_eq!(from.0.div_euclid(HOUR_NS), (20_776 * DAY_NS + 11 * HOUR_NS).div_euclid(HOUR_NS));
    }

    #[test]
    fn earlier_and_later_go_by_whole_periods_and_end_at_today() {
        let today = UtcDay(20_777);
        let month = Period { range: Range::Month, until: None };
        let earlier = month.earlier(&today).unwrap();
        assert_eq!(earlier.until, Some(UtcDay(20_747)));
        assert_eq!(earlier.later(&today), Some(month));
        assert_eq!(earlier.earlier(&today).unwrap().later(&today), Some(earlier));
        assert_eq!((month.later(&today), Period::default().earlier(&today)), (None, None));
        assert_eq!(earlier.with_range(&Range::Hour), Period { range: Range::Hour, until: None });
    }

    #[test]
    fn a_period_says_what_it_is_of() {
        let past = Period { range: Range::Month, until: Some(UtcDay(17_927)) };
        assert_eq!(past.name(), "30 days until 2019-01-31");
        assert_eq!(past.days_name(), "the 30 days until 2019-01-31");
        assert_eq!(Period::default().figures_name(), "last 30 days, and the 30 days before them");
    }
}
