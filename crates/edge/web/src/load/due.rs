//! Outstanding cash as its page shows it: totals of every currency, due dates of one, and what lies before and behind.
//!
//! Not here: the sums (`domains/invoices`), how they look (`templates/`).

use waag_invoices::cash::{CashDates, CashDue, CashTotal as Theirs, Step as Steps};
use waag_invoices::queries::{Queries, Sum};
use waag_model::time::UtcDay;

use super::{amount, whole};
use crate::address::{Asked, Step};
use crate::error::WebError;
use crate::model::{Cash, CashTotal, DueRow};

/// Days or weeks on a page.
pub(super) const STEPS_SHOWN: i32 = 26;
/// Of them, those before today on a page that says no other.
const STEPS_BEFORE: i32 = 5;

fn days(by: Step) -> i32 {
    match by {
        Step::Day => 1,
        Step::Week => 7,
    }
}

/// The Monday that a day's week begins with.
fn monday_of(day: UtcDay) -> UtcDay {
    // 1970-01-01 was a Thursday: three days after a Monday.
    UtcDay(day.0.saturating_sub((day.0.rem_euclid(7) + 3).rem_euclid(7)))
}

fn total(theirs: &Theirs) -> CashTotal {
    CashTotal {
        count: whole(theirs.outstanding.invoices),
        outstanding: amount(&theirs.outstanding),
        overdue: amount(&theirs.overdue),
        overdue_count: whole(theirs.overdue.invoices),
        week: amount(&theirs.week),
        week_count: whole(theirs.week.invoices),
    }
}

fn row(due: Option<UtcDay>, sum: &Sum) -> DueRow {
    DueRow { due, count: whole(sum.invoices), value: amount(sum) }
}

/// The week of today, cut at today: what is due before it is overdue, as the totals have it, and the rest is not.
fn cut_at(today: UtcDay, monday: UtcDay, days: &[CashDue]) -> Vec<DueRow> {
    let part = |due: UtcDay, is_part: &dyn Fn(i64) -> bool| {
        let mut parts = days.iter().filter(|day| is_part(day.day)).map(|day| row(Some(due), &day.sum));
        let first = parts.next()?;
        Some(parts.fold(first, |mut all, part| {
            all.count = all.count.saturating_add(part.count);
            all.value.minor = all.value.minor.saturating_add(part.value.minor);
            all
        }))
    };
    let overdue = part(monday, &|day| day < i64::from(today.0));
    let to_come = part(today, &|day| day >= i64::from(today.0));
    overdue.into_iter().chain(to_come).collect()
}

/// Totals of all currencies, and due dates of the one asked for, or of the one with most invoices.
pub(super) fn cash(queries: Queries<'_>, asked: &Asked, today: UtcDay) -> Result<Cash, WebError> {
    let mut totals = queries.cash_totals(today)?;
    totals.retain(|total| !total.outstanding.currency.is_empty());
    let asked_for = totals.iter().find(|total| Some(&total.outstanding.currency) == asked.currency.as_ref());
    let unpriced = whole(queries.unpriced()?.received.invoices);
    let Some(chosen) = asked_for.or(totals.first()) else {
        return Ok(Cash { unpriced, ..Cash::default() });
    };
    let code = chosen.outstanding.currency.as_str();
    let by = match asked.by {
        Step::Day => Steps::Day,
        Step::Week => Steps::Week,
    };
    let page = |steps: i32| steps.saturating_mul(days(asked.by));
    let from = asked.from.unwrap_or(UtcDay(today.0.saturating_sub(page(STEPS_BEFORE))));
    let from = match asked.by {
        Step::Day => from,
        Step::Week => monday_of(from),
    };
    let CashDates { before, steps, behind } = queries.cash_dates(code, by, from, STEPS_SHOWN.into())?;
    let some = |sum: &Sum| (sum.invoices > 0).then(|| row(None, sum));
    let day = |day: i64| i32::try_from(day).ok().map(UtcDay);
    let monday = monday_of(today);
    let mut rows = Vec::with_capacity(steps.len().saturating_add(1));
    for step in &steps {
        if asked.by == Step::Week && step.day == i64::from(monday.0) {
            let days = queries.cash_dates(code, Steps::Day, monday, i64::from(days(Step::Week)))?.steps;
            rows.extend(cut_at(today, monday, &days));
        } else {
            rows.push(row(day(step.day), &step.sum));
        }
    }
    Ok(Cash {
        rows,
        before: some(&before),
        starts: from,
        earlier: UtcDay(from.0.saturating_sub(page(STEPS_SHOWN))),
        behind: some(&behind),
        later: UtcDay(from.0.saturating_add(page(STEPS_SHOWN))),
        undated: some(&chosen.undated),
        chosen: Some(total(chosen)),
        currencies: totals.iter().map(total).collect(),
        unpriced,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_week_of_today_is_cut_at_today() {
        // 2026-11-16, a Monday, and the Friday behind it.
        let (monday, today) = (UtcDay(20_773), UtcDay(20_777));
        assert_eq!((monday_of(today), monday_of(monday)), (monday, monday));
        let due = |day: i64, minor: i64| {
            let sum = Sum { invoices: 2, minor: minor.into(), currency: "EUR".to_owned(), exponent: 2 };
            CashDue { day, sum }
        };
        let cut = |days: &[CashDue]| -> Vec<(i32, u64, i128)> {
            let rows = cut_at(today, monday, days);
            rows.iter().map(|row| (row.due.map_or(0, |day| day.0), row.count, row.value.minor)).collect()
        };
        let days = [due(20_773, 1), due(20_776, 10), due(20_777, 100), due(20_779, 1_000)];
        assert_eq!(cut(&days), [(20_773, 4, 11), (20_777, 4, 1_100)]);
        assert_eq!(cut(&days[..2]), [(20_773, 4, 11)]);
        assert_eq!(cut(&days[2..]), [(20_777, 4, 1_100)]);
        assert!(cut(&[]).is_empty());
    }
}
