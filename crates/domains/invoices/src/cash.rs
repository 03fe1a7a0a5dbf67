//! Outstanding cash: open invoices with an amount, by due date and currency, whatever their number.
//!
//! Place in the way of an event: `show`. The table holds sums by day, by week and by 128 weeks, so that the sum before
//! any day is a few rows of each, and a page of dates is as many rows as it shows.
//! Not here: what is still open (`write`), key figures (`figures`).

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use waag_domain::project::RowsError;
use waag_model::time::UtcDay;

use crate::project::range;
use crate::queries::{Queries, Sum, Sums, between, big, number, text};
use crate::standing::WithoutValue;
use crate::tables::CASH;
use crate::when::DAY_MAX;

/// Days of a week.
const WEEK_DAYS: i64 = 7;
/// Days from the Monday before 1970-01-01, which was a Thursday, to that day.
const MONDAY: i64 = 3;
/// Weeks of the largest bucket.
const BLOCK_WEEKS: i64 = 128;
/// The level of invoices without a due date; its bucket is 0.
const LEVEL_NONE: i64 = 3;
/// Most days or weeks that one read gives.
pub const STEPS_MAX: i64 = 400;

/// The Monday-based week of a day.
fn week_of(day: i64) -> i64 {
    (day + MONDAY).div_euclid(WEEK_DAYS)
}

/// The first day of a week.
fn monday_of(week: i64) -> i64 {
    week.saturating_mul(WEEK_DAYS).saturating_sub(MONDAY)
}

/// The buckets that hold an invoice of this due date.
pub(crate) fn due_buckets(due: Option<i32>) -> impl Iterator<Item = (i64, i64)> {
    let dated = due.map(i64::from).map(|day| {
        let week = week_of(day);
        [(0, day), (1, week), (2, week.div_euclid(BLOCK_WEEKS))]
    });
    let undated = due.is_none().then_some((LEVEL_NONE, 0));
    dated.into_iter().flatten().chain(undated)
}

/// How due dates are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Each due date.
    Day,
    /// Weeks from Monday.
    Week,
}

impl Step {
    /// The bucket of a day.
    fn of(self, day: UtcDay) -> i64 {
        match self {
            Self::Day => i64::from(day.0),
            Self::Week => week_of(i64::from(day.0)),
        }
    }

    /// The first day of a bucket.
    fn first(self, bucket: i64) -> i64 {
        match self {
            Self::Day => bucket,
            Self::Week => monday_of(bucket),
        }
    }
}

/// All that is outstanding in one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CashTotal {
    /// All of it.
    pub outstanding: Sum,
    /// Of it, due before today.
    pub overdue: Sum,
    /// Of it, due from today for seven days.
    pub week: Sum,
    /// Of it, without a due date.
    pub undated: Sum,
}

/// What is outstanding at due dates of one day or week.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CashDue {
    /// The first day: days since 1970; told as a date.
    #[serde(serialize_with = "as_date")]
    pub day: i64,
    /// The sum.
    pub sum: Sum,
}

/// Due dates of one currency: some steps, and the sums before and behind them, so that nothing is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CashDates {
    /// Due before the first step.
    pub before: Sum,
    /// The steps that have open invoices, in order.
    pub steps: Vec<CashDue>,
    /// Due after the last step.
    pub behind: Sum,
}

/// Due dates of all currencies.
pub struct CashByDue {
    before: Sums,
    /// By the first day of a step.
    due: BTreeMap<i64, Sums>,
    behind: Sums,
    first: i64,
    end: i64,
}

impl CashByDue {
    /// Those of one currency.
    #[must_use]
    pub fn of(&self, currency: &str) -> CashDates {
        let step = |(day, sums): (&i64, &Sums)| CashDue { day: *day, sum: sums.of(currency) };
        let steps = self.due.iter().filter(|(_, sums)| sums.has(currency)).map(step);
        CashDates {
            before: self.before.of(currency),
            steps: steps.collect(),
            behind: self.behind.of(currency),
        }
    }

    /// The first day of the first step, and the day after the last one.
    #[must_use]
    pub fn days(&self) -> (UtcDay, UtcDay) {
        (day_of(self.first), day_of(self.end))
    }
}

/// What is outstanding in one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CashOf {
    /// In all.
    #[serde(flatten)]
    pub total: CashTotal,
    /// By due date.
    #[serde(flatten)]
    pub dates: CashDates,
}

/// What is outstanding, as programs and commands tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cash {
    /// How due dates are put together.
    pub by: Step,
    /// The first day of the first step, as a date.
    pub from: String,
    /// The day behind the last step, as a date.
    pub to: String,
    /// By currency, that with the most invoices first.
    pub currencies: Vec<CashOf>,
    /// Open invoices that the vendor's invoice has come for and that are in no sum.
    pub without_value: WithoutValue,
}

/// The day of a number of days since 1970, held at the ends of what a day may be.
fn day_of(day: i64) -> UtcDay {
    UtcDay(i32::try_from(day).unwrap_or(if day < 0 { i32::MIN } else { i32::MAX }))
}

/// A day as a date: `2026-11-30`.
fn as_date<S: Serializer>(day: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&day_of(*day))
}

impl Queries<'_> {
    /// Sums by currency of due dates before a day: whole blocks, whole weeks, and the days of the last week.
    fn due_before(&self, day: i64) -> Result<Sums, RowsError> {
        let week = week_of(day);
        let block = week.div_euclid(BLOCK_WEEKS);
        let spans = [
            (2, None, block),
            (1, Some(block.saturating_mul(BLOCK_WEEKS)), week),
            (0, Some(monday_of(week)), day),
        ];
        let mut sums = Sums::default();
        for (level, first, end) in spans {
            self.add_cash(level, (first, Some(end)), &mut sums)?;
        }
        Ok(sums)
    }

    fn add_cash(
        &self,
        level: i64,
        (first, end): (Option<i64>, Option<i64>),
        sums: &mut Sums,
    ) -> Result<(), RowsError> {
        for row in range(self.rows, &CASH, &between(&[level.into()], first, end))? {
            sums.add(text(&row, 2), number(&row, 3), big(&row, 4));
        }
        Ok(())
    }

    /// Value of open invoices whose due date is before `today`, by currency.
    pub(crate) fn overdue(&self, today: UtcDay) -> Result<Vec<Sum>, RowsError> {
        Ok(self.due_before(i64::from(today.0))?.finish())
    }

    /// What is outstanding, by currency; that with the most invoices first.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn cash_totals(&self, today: UtcDay) -> Result<Vec<CashTotal>, RowsError> {
        let today = i64::from(today.0);
        let (mut all, mut week, mut undated) = (Sums::default(), Sums::default(), Sums::default());
        self.add_cash(2, (None, None), &mut all)?;
        self.add_cash(LEVEL_NONE, (None, None), &mut all)?;
        self.add_cash(LEVEL_NONE, (None, None), &mut undated)?;
        self.add_cash(0, (Some(today), Some(today.saturating_add(WEEK_DAYS))), &mut week)?;
        let overdue = self.due_before(today)?;
        let total = |outstanding: Sum| {
            let of = |sums: &Sums| sums.of(&outstanding.currency);
            CashTotal { overdue: of(&overdue), week: of(&week), undated: of(&undated), outstanding }
        };
        let mut totals: Vec<CashTotal> = all.finish().into_iter().map(total).collect();
        totals.sort_by(|a, b| {
            let rank = |one: &CashTotal| std::cmp::Reverse(one.outstanding.invoices);
            rank(a).cmp(&rank(b)).then_with(|| a.outstanding.currency.cmp(&b.outstanding.currency))
        });
        Ok(totals)
    }

    /// What is outstanding in all currencies, or in one, with due dates from the step of a day on; at most [`STEPS_MAX`]
    /// steps.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn cash(
        &self,
        today: UtcDay,
        by: Step,
        (from, steps): (UtcDay, i64),
        currency: Option<&str>,
    ) -> Result<Cash, RowsError> {
        let due = self.cash_by_due(by, from, steps)?;
        let mut totals = self.cash_totals(today)?;
        totals.retain(|total| {
            let code = total.outstanding.currency.as_str();
            // What has no currency is counted beside the sums.
            !code.is_empty() && currency.is_none_or(|currency| currency == code)
        });
        let of = |total: CashTotal| CashOf { dates: due.of(&total.outstanding.currency), total };
        let (first, end) = due.days();
        Ok(Cash {
            by,
            from: first.to_string(),
            to: end.min(DAY_MAX).to_string(),
            currencies: totals.into_iter().map(of).collect(),
            without_value: self.unpriced()?.received,
        })
    }

    /// Due dates of one currency from the step of a day on; at most [`STEPS_MAX`] steps.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn cash_dates(
        &self,
        currency: &str,
        by: Step,
        from: UtcDay,
        steps: i64,
    ) -> Result<CashDates, RowsError> {
        Ok(self.cash_by_due(by, from, steps)?.of(currency))
    }

    /// Due dates of all currencies from the step of a day on; at most [`STEPS_MAX`] steps.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn cash_by_due(&self, by: Step, from: UtcDay, steps: i64) -> Result<CashByDue, RowsError> {
        let level = match by {
            Step::Day => 0,
            Step::Week => 1,
        };
        let first = by.of(from);
        let end = first.saturating_add(steps.clamp(1, STEPS_MAX));
        let mut due: BTreeMap<i64, Sums> = BTreeMap::new();
        for row in range(self.rows, &CASH, &between(&[level.into()], Some(first), Some(end)))? {
            due.entry(by.first(number(&row, 1))).or_default().add(
                text(&row, 2),
                number(&row, 3),
                big(&row, 4),
            );
        }
        let before = self.due_before(by.first(first))?;
        let mut behind = Sums::default();
        self.add_cash(2, (None, None), &mut behind)?;
        behind.take(&self.due_before(by.first(end))?);
        Ok(CashByDue { before, due, behind, first: by.first(first), end: by.first(end) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_begins_on_monday() {
        // 2026-11-16 was a Monday, the 20,773rd day.
        assert_eq!(monday_of(week_of(20_773)), 20_773);
        assert_eq!(monday_of(week_of(20_779)), 20_773);
        assert_eq!(monday_of(week_of(20_780)), 20_780);
        assert_eq!(monday_of(week_of(-1)), -3);
    }

    #[test]
    fn an_invoice_is_in_one_bucket_of_each_level_or_in_that_of_no_date() {
        assert_eq!(due_buckets(None).collect::<Vec<_>>(), [(LEVEL_NONE, 0)]);
        for day in [i32::MIN, -4, -3, 0, 892, 893, i32::MAX] {
            let found: Vec<(i64, i64)> = due_buckets(Some(day)).collect();
            let [(0, at), (1, week), (2, block)] = found[..] else { panic!("{found:?}") };
            assert!(monday_of(week) <= at && at < monday_of(week + 1) && week.div_euclid(128) == block);
        }
    }
}
