//! The ten key figures for executives: each with its definition, and a reason where it cannot be computed.
//!
//! Quotients are rounded half up to hundredths; nothing is a float. Rates are of invoices paid in the period unless
//! the definition says otherwise; values are by currency, since no rates of exchange are known here.
//! Source of the names and definitions: the figures that accounts-payable benchmarks use (days payable outstanding,
//! touchless rate, on-time payment rate, exception rate, duplicate rate), restated over events.
//! Not here: what is counted for them (`key_share`).

use std::collections::BTreeMap;

use serde::Serialize;
use waag_domain::project::{Cell, RowsError, Scan};

use crate::key_share::kpi;
use crate::project::range;
use crate::queries::{Queries, Sum, big, number, text};
use crate::standing::Standing;
use crate::tables::KEY_FIGURES;

/// Most days of a period.
pub const PERIOD_DAYS_MAX: i64 = 366;
/// Days of purchases that days payable outstanding is measured by.
const DPO_DAYS: i64 = 90;
/// Seconds of a day.
const DAY_S: i128 = 86_400;

/// A figure's unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Hundredths of a percent.
    Percent,
    /// Hundredths of a day.
    Days,
    /// Minor units of each currency.
    Money,
}

/// A figure of one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InCurrency {
    /// ISO 4217; empty where none was told.
    pub currency: String,
    /// In the figure's unit; exact where that is money.
    pub value: i128,
}

/// A key figure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyFigure {
    /// Its name, as the field has it.
    pub name: &'static str,
    /// What it says, and of what.
    pub definition: &'static str,
    /// Its value in hundredths, or none: a figure by currency, or one that cannot be computed.
    pub value: Option<i64>,
    /// Its unit.
    pub unit: Unit,
    /// By currency, where it is one of money or made of money.
    pub by_currency: Vec<InCurrency>,
    /// Invoices it was made of.
    pub of: i64,
    /// Why it cannot be computed, or what to keep in mind.
    pub note: Option<&'static str>,
}

/// Counts and sums of a period.
#[derive(Default)]
struct Period {
    counts: [i64; kpi::COUNTS],
    approval_s: i128,
    payment_s: i128,
}

impl Period {
    fn count(&self, at: usize) -> i64 {
        self.counts.get(at).copied().unwrap_or(0)
    }
}

/// A quotient in hundredths times `scale`, rounded half up; none of nothing.
fn quotient(part: i128, whole: i128, scale: i128) -> Option<i64> {
    if whole <= 0 {
        return None;
    }
    let scaled = part.checked_mul(scale)?.checked_mul(2)?.checked_add(whole)?;
    i64::try_from(scaled.div_euclid(whole.checked_mul(2)?)).ok()
}

fn rate(
    name: &'static str,
    definition: &'static str,
    (part, whole): (i64, i64),
    missing: &'static str,
) -> KeyFigure {
    let value = quotient(i128::from(part), i128::from(whole), 10_000);
    let note = value.is_none().then_some(missing);
    KeyFigure { name, definition, value, unit: Unit::Percent, by_currency: Vec::new(), of: whole, note }
}

fn days(
    name: &'static str,
    definition: &'static str,
    (seconds, of): (i128, i64),
    missing: &'static str,
) -> KeyFigure {
    let whole = i128::from(of) * DAY_S;
    let value = quotient(seconds, whole, 100);
    let note = value.is_none().then_some(missing);
    KeyFigure { name, definition, value, unit: Unit::Days, by_currency: Vec::new(), of, note }
}

/// Sums of those with a currency, that of the most invoices first.
fn leading(sums: &[Sum]) -> impl Iterator<Item = &Sum> {
    let mut priced: Vec<&Sum> = sums.iter().filter(|sum| !sum.currency.is_empty()).collect();
    priced.sort_by_key(|sum| std::cmp::Reverse(sum.invoices));
    priced.into_iter()
}

fn money(name: &'static str, definition: &'static str, sums: &[Sum]) -> KeyFigure {
    let of = sums.iter().fold(0i64, |all, sum| all.saturating_add(sum.invoices));
    let unpriced = sums.iter().any(|sum| sum.currency.is_empty());
    let by_currency =
        leading(sums).map(|sum| InCurrency { currency: sum.currency.clone(), value: sum.minor }).collect();
    let note = unpriced.then_some("invoices without a currency have no value here; they are counted");
    KeyFigure { name, definition, value: None, unit: Unit::Money, by_currency, of, note }
}

const NONE_PAID: &str = "no invoice was paid in the period";

impl Queries<'_> {
    /// The ten key figures of the `period_days` days that end with the day of `standing`.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn key_figures(&self, standing: &Standing, period_days: i64) -> Result<Vec<KeyFigure>, RowsError> {
        let today = standing.now().day();
        let end = i64::from(today.0) + 1;
        let period = self.period(end - period_days.clamp(1, PERIOD_DAYS_MAX), end)?;
        let count = |at| period.count(at);
        let paid = count(kpi::PAID);
        Ok(vec![
            rate(
                "touchless rate",
                "Share of the invoices paid in the period whose events say who acted, and on which no person acted, \
                 nothing went wrong and no stage was repeated.",
                (count(kpi::TOUCHLESS), count(kpi::TOUCH_KNOWN)),
                "no paid invoice has an event that says whether a person acted (`touch`)",
            ),
            rate(
                "on-time payment rate",
                "Share of the invoices paid in the period with a due date that were paid on that day or before.",
                (count(kpi::ON_TIME), count(kpi::DUE_KNOWN)),
                "no paid invoice of the period has a due date",
            ),
            self.days_payable_outstanding(standing, end)?,
            days(
                "invoice processing time",
                "Mean time from receiving an invoice to approving its payment, of the invoices approved in the period.",
                (period.approval_s, count(kpi::APPROVED_TIMED)),
                "no invoice was received and then approved in the period",
            ),
            days(
                "days to pay",
                "Mean time from receiving an invoice to paying it, of the invoices paid in the period.",
                (period.payment_s, count(kpi::PAID_TIMED)),
                "no invoice was received and then paid in the period",
            ),
            rate(
                "exception rate",
                "Share of the invoices paid in the period that failed or were blocked at some time.",
                (count(kpi::EXCEPTED), paid),
                NONE_PAID,
            ),
            rate(
                "rework rate",
                "Share of the invoices paid in the period that returned to a stage they had been in.",
                (count(kpi::REWORKED), paid),
                NONE_PAID,
            ),
            rate(
                "duplicate rate",
                "Possible duplicates found in the period (same vendor, amount and currency, and the same reference or \
                 date), as a share of the invoices received in it.",
                (count(kpi::DUPLICATES), count(kpi::RECEIVED)),
                "no invoice was received in the period",
            ),
            money(
                "value stuck",
                "Value of the open invoices that are past their deadline now.",
                &standing.stuck(),
            ),
            money(
                "overdue payables",
                "Value of the open invoices whose due date is past.",
                &self.overdue(today)?,
            ),
        ])
    }

    fn period(&self, from: i64, to: i64) -> Result<Period, RowsError> {
        let mut period = Period::default();
        for row in range(self.rows, &KEY_FIGURES, &days_between(from, to))? {
            for (at, count) in period.counts.iter_mut().enumerate() {
                *count = count.saturating_add(number(&row, 2 + at));
            }
            let sum = |at: usize| big(&row, 2 + kpi::COUNTS + 2 * at);
            period.approval_s = period.approval_s.saturating_add(sum(kpi::APPROVAL_S));
            period.payment_s = period.payment_s.saturating_add(sum(kpi::PAYMENT_S));
        }
        Ok(period)
    }

    fn days_payable_outstanding(&self, standing: &Standing, end: i64) -> Result<KeyFigure, RowsError> {
        let mut received: BTreeMap<String, i128> = BTreeMap::new();
        for row in range(self.rows, &KEY_FIGURES, &days_between(end - DPO_DAYS, end))? {
            let sum = received.entry(text(&row, 1).to_owned()).or_default();
            *sum = sum.saturating_add(big(&row, 2 + kpi::COUNTS + 2 * kpi::RECEIVED_VALUE));
        }
        let payable = standing.received_not_cleared();
        let of_currency = |sum: &Sum| {
            let purchases = received.get(&sum.currency).copied().unwrap_or(0);
            let part = sum.minor.checked_mul(i128::from(DPO_DAYS))?;
            let value = i128::from(quotient(part, purchases, 100)?);
            Some(InCurrency { currency: sum.currency.clone(), value })
        };
        let by_currency: Vec<InCurrency> = leading(&payable).filter_map(of_currency).collect();
        let note = if by_currency.is_empty() {
            "no invoice with an amount was received in the last 90 days"
        } else {
            "purchases are measured by invoices received, since the cost of goods sold is not in the events"
        };
        Ok(KeyFigure {
            name: "days payable outstanding",
            definition: "Value of the open received invoices, divided by the value received in the last 90 days, times \
                         90.",
            value: None,
            unit: Unit::Days,
            by_currency,
            of: payable.iter().fold(0, |all, sum| all.saturating_add(sum.invoices)),
            note: Some(note),
        })
    }
}

fn days_between(from: i64, to: i64) -> Scan<'static> {
    let (from, to) = (Some(Cell::Integer(from)), Some(Cell::Integer(to)));
    Scan { index: None, equal: &[], from, to, after: None, descending: false, limit: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients_are_rounded_half_up_to_hundredths() {
        assert_eq!(quotient(1, 3, 10_000), Some(3_333));
        assert_eq!(quotient(2, 3, 10_000), Some(6_667));
        assert_eq!(quotient(1, 8, 100), Some(13));
        assert_eq!(quotient(-1, 8, 100), Some(-12));
        assert_eq!(quotient(0, 5, 100), Some(0));
        assert_eq!(quotient(5, 0, 100), None);
        assert_eq!(quotient(i128::MAX, 1, 100), None);
    }
}
