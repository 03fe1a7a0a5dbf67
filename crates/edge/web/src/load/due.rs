//! Outstanding cash as its page shows it: totals of every currency, due dates of one, and what lies before and behind.
//!
//! Not here: the sums (`domains/invoices`), how they look (`templates/`).

use waag_invoices::cash::{CashDates, CashTotal as Theirs, Step as Steps};
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

/// Totals of all currencies, and due dates of the one asked for, or of the one with most invoices.
pub(super) fn cash(queries: Queries<'_>, asked: &Asked, today: UtcDay) -> Result<Cash, WebError> {
    let mut totals = queries.cash_totals(today)?;
    totals.retain(|total| !total.outstanding.currency.is_empty());
    let asked_for = totals.iter().find(|total| Some(&total.outstanding.currency) == asked.currency.as_ref());
    let Some(chosen) = asked_for.or(totals.first()) else { return Ok(Cash::default()) };
    let code = chosen.outstanding.currency.as_str();
    let by = match asked.by {
        Step::Day => Steps::Day,
        Step::Week => Steps::Week,
    };
    let page = |steps: i32| steps.saturating_mul(days(asked.by));
    let from = asked.from.unwrap_or(UtcDay(today.0.saturating_sub(page(STEPS_BEFORE))));
    // 1970-01-01 was a Thursday: three days after a Monday.
    let from = match asked.by {
        Step::Day => from,
        Step::Week => UtcDay(from.0.saturating_sub((from.0.rem_euclid(7) + 3).rem_euclid(7))),
    };
    let CashDates { before, steps, behind } = queries.cash_dates(code, by, from, STEPS_SHOWN.into())?;
    let some = |sum: &Sum| (sum.invoices > 0).then(|| row(None, sum));
    let day = |day: i64| i32::try_from(day).ok().map(UtcDay);
    Ok(Cash {
        rows: steps.iter().map(|step| row(day(step.day), &step.sum)).collect(),
        before: some(&before),
        starts: from,
        earlier: UtcDay(from.0.saturating_sub(page(STEPS_SHOWN))),
        behind: some(&behind),
        later: UtcDay(from.0.saturating_add(page(STEPS_SHOWN))),
        undated: some(&chosen.undated),
        chosen: Some(total(chosen)),
        currencies: totals.iter().map(total).collect(),
    })
}
