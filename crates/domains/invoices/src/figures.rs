//! The ten key figures for executives: each with its definition, and a reason where it cannot be computed.
//!
//! Quotients are rounded half up to hundredths; nothing is a float. Rates are of invoices paid in the period unless
//! the definition says otherwise; values are by currency, since no rates of exchange are known here.
//! Source of the names and definitions: the figures that accounts-payable benchmarks use (days payable outstanding,
//! touchless rate, on-time payment rate, exception rate, duplicate rate), restated over events.
//! Not here: what is counted for them (`key_share`).

use std::collections::BTreeMap;

use serde::Serialize;
use waag_domain::project::{Cell, Row, RowsError, Scan};
use waag_model::time::UtcDay;

use crate::cash::CashTotal;
use crate::key_share::kpi;
use crate::project::range;
use crate::queries::{Queries, Sum, big, number, sum, text};
use crate::standing::Standing;
use crate::tables::KEY_FIGURES;
use crate::write::PRICED;

/// Most days of a period.
pub const PERIOD_DAYS_MAX: i64 = 366;
/// Days of purchases that days payable outstanding is measured by, where the ledger has receipts of as many.
const DPO_DAYS: i64 = 90;
/// Fewest days of receipts that say anything of it.
const DPO_DAYS_MIN: i64 = 7;
/// Days before those in which a receipt shows that the ledger is older.
const DPO_EARLIER_DAYS: i64 = 366;
/// Rows of days read at once to find one.
const EARLIER_ROWS: usize = 64;
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
    /// Invoices it was made of.
    pub of: i64,
}

/// A key figure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyFigure {
    /// Its name, as the field has it.
    pub name: &'static str,
    /// What it says, and of what.
    pub definition: &'static str,
    /// Its value in hundredths, nought for one of money that no invoice adds to, or none: a figure by currency, or one
    /// that cannot be computed, which has no currencies either.
    pub value: Option<i64>,
    /// A mean of times in seconds, which hundredths of a day are too coarse for; none of other figures.
    pub seconds: Option<i64>,
    /// Its unit.
    pub unit: Unit,
    /// By currency, where it is one of money or made of money.
    pub by_currency: Vec<InCurrency>,
    /// Invoices it was made of: those that a rate is a share of, a mean is over, or a sum adds up.
    pub of: i64,
    /// Why it cannot be computed, or what to keep in mind.
    pub note: Option<String>,
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

/// A quotient times `scale`, rounded half up; none of nothing.
fn quotient(part: i128, whole: i128, scale: i128) -> Option<i64> {
    i64::try_from(wide_quotient(part, whole, scale)?).ok()
}

/// The same of sums of money, which may be beyond 64 bits.
fn wide_quotient(part: i128, whole: i128, scale: i128) -> Option<i128> {
    if whole <= 0 {
        return None;
    }
    let scaled = part.checked_mul(scale)?.checked_mul(2)?.checked_add(whole)?;
    Some(scaled.div_euclid(whole.checked_mul(2)?))
}

fn rate(
    name: &'static str,
    definition: &'static str,
    (part, whole): (i64, i64),
    missing: &'static str,
) -> KeyFigure {
    let value = quotient(i128::from(part), i128::from(whole), 10_000);
    let note = value.is_none().then(|| missing.to_owned());
    let (unit, by_currency) = (Unit::Percent, Vec::new());
    KeyFigure { name, definition, value, seconds: None, unit, by_currency, of: whole, note }
}

fn days(
    name: &'static str,
    definition: &'static str,
    (seconds, of): (i128, i64),
    missing: &'static str,
) -> KeyFigure {
    let whole = i128::from(of) * DAY_S;
    let value = quotient(seconds, whole, 100);
    let note = value.is_none().then(|| missing.to_owned());
    let seconds = quotient(seconds, i128::from(of), 1);
    KeyFigure { name, definition, value, seconds, unit: Unit::Days, by_currency: Vec::new(), of, note }
}

/// Sums of those with a currency, that of the most invoices first.
fn leading(sums: &[Sum]) -> impl Iterator<Item = &Sum> {
    let mut priced: Vec<&Sum> = sums.iter().filter(|sum| !sum.currency.is_empty()).collect();
    priced.sort_by_key(|sum| std::cmp::Reverse(sum.invoices));
    priced.into_iter()
}

fn invoices(sums: &[Sum]) -> i64 {
    sums.iter().fold(0, |all, sum| all.saturating_add(sum.invoices))
}

/// A sum of money: `sums` of the invoices that have a value; nought where there is none of them and `is_known` says
/// that nothing is missing.
fn money(
    name: &'static str,
    definition: &'static str,
    sums: &[Sum],
    (is_known, note): (bool, Option<String>),
) -> KeyFigure {
    let in_currency =
        |sum: &Sum| InCurrency { currency: sum.currency.clone(), value: sum.minor, of: sum.invoices };
    let by_currency: Vec<InCurrency> = leading(sums).map(in_currency).collect();
    let value = (by_currency.is_empty() && is_known).then_some(0);
    let unit = Unit::Money;
    KeyFigure { name, definition, value, seconds: None, unit, by_currency, of: invoices(sums), note }
}

/// The words for some invoices.
fn counted(invoices: i64) -> String {
    let digits = waag_model::text::grouped(&invoices.to_string(), ',');
    format!("{digits} {}", if invoices == 1 { "invoice" } else { "invoices" })
}

const NONE_PAID: &str = "no invoice was paid in the period";
const NONE_PRICED: &str = "no invoice has an amount and a currency";
const NONE_COMPARED: &str = "no invoice has an amount and a currency to be compared by";

impl Queries<'_> {
    /// The ten key figures of the `period_days` days that end with the day of `standing`.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn key_figures(&self, standing: &Standing, period_days: i64) -> Result<Vec<KeyFigure>, RowsError> {
        self.key_figures_until(standing, standing.now().day(), period_days)
    }

    /// The ten key figures with rates and times of the `period_days` days that end with `last`; what is open, stuck or
    /// overdue is told as of `standing`, since the read model has no past of it.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn key_figures_until(
        &self,
        standing: &Standing,
        last: UtcDay,
        period_days: i64,
    ) -> Result<Vec<KeyFigure>, RowsError> {
        let end = i64::from(standing.now().day().0) + 1;
        let mut figures = self.period_figures(last, period_days)?;
        // Where the field looks for it: behind the rates, before the times.
        figures.insert(2, self.days_payable_outstanding(standing, end)?);
        figures.extend([self.value_stuck(standing)?, self.overdue_payables(standing)?]);
        Ok(figures)
    }

    /// The rates and times among them, which belong to a period and can be told of any: so one is compared with the
    /// one before.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn period_figures(&self, last: UtcDay, period_days: i64) -> Result<Vec<KeyFigure>, RowsError> {
        let end = i64::from(last.0) + 1;
        let period = self.period(end - period_days.clamp(1, PERIOD_DAYS_MAX), end)?;
        let count = |at| period.count(at);
        let (paid, received) = (count(kpi::PAID), count(kpi::RECEIVED));
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
                "Share of the invoices paid in the period with a due date that were paid on that day of UTC or before.",
                (count(kpi::ON_TIME), count(kpi::DUE_KNOWN)),
                "no paid invoice of the period has a due date",
            ),
            days(
                "invoice processing time",
                "Mean time from receiving an invoice to approving its payment, of the invoices whose approval was told \
                 in the period; an approval that a posting implies is no such one.",
                (period.approval_s, count(kpi::APPROVED_TIMED)),
                "no approval of a received invoice was told in the period",
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
                (count(kpi::DUPLICATES), if self.is_priced()? { received } else { 0 }),
                if received > 0 { NONE_COMPARED } else { "no invoice was received in the period" },
            ),
        ])
    }

    /// Whether any invoice, open or closed, has a value: without one, a sum of nought would be a guess.
    fn is_priced(&self) -> Result<bool, RowsError> {
        Ok(self.counters(&[PRICED])?.iter().any(|count| *count > 0))
    }

    fn value_stuck(&self, standing: &Standing) -> Result<KeyFigure, RowsError> {
        let priced = standing.stuck_priced();
        let missing = invoices(&standing.stuck()).saturating_sub(invoices(&priced));
        let says = if missing > 0 {
            (false, Some(format!("without an amount or currency: {} past the deadline", counted(missing))))
        } else if self.is_priced()? {
            (true, None)
        } else {
            (false, Some(NONE_PRICED.to_owned()))
        };
        let definition = "Value of the open invoices that are past their deadline now.";
        Ok(money("value stuck", definition, &priced, says))
    }

    fn overdue_payables(&self, standing: &Standing) -> Result<KeyFigure, RowsError> {
        let today = standing.now().day();
        let totals = self.cash_totals(today)?;
        let all = |of: fn(&CashTotal) -> i64| totals.iter().map(of).fold(0, i64::saturating_add);
        let (open, undated) = (all(|one| one.outstanding.invoices), all(|one| one.undated.invoices));
        let unpriced = standing.open_invoices().saturating_sub(open);
        let missing = [("an amount or currency", unpriced), ("a due date", undated)];
        let missing = missing.iter().filter(|(_, count)| *count > 0);
        let notes: Vec<String> =
            missing.map(|(what, count)| format!("without {what}: {} open", counted(*count))).collect();
        let says = if !notes.is_empty() {
            // Nought is an answer where all of those that might be overdue have a value.
            (undated < open && unpriced == 0, Some(notes.join("; ")))
        } else if self.is_priced()? {
            (true, None)
        } else {
            (false, Some(NONE_PRICED.to_owned()))
        };
        let definition =
            "Value of the open invoices whose due date is past, credits taken off; days are those of UTC.";
        Ok(money("overdue payables", definition, &self.overdue(today)?, says))
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
        let received = self.received(end)?;
        let payable = standing.payable();
        let mut sums: Vec<Sum> = payable.clone();
        // A currency of which nothing is left to pay has been paid at once.
        for (currency, received) in &received {
            if received.value > 0
                && received.invoices > 0
                && !payable.iter().any(|sum| sum.currency == *currency)
            {
                sums.push(sum(currency.clone(), 0, 0));
            }
        }
        let of_currency = |sum: &Sum| {
            let received = received.get(&sum.currency).filter(|received| received.days >= DPO_DAYS_MIN)?;
            let part = sum.minor.checked_mul(i128::from(received.days))?;
            let value = wide_quotient(part, received.value, 100)?;
            Some(InCurrency { currency: sum.currency.clone(), value, of: sum.invoices })
        };
        let by_currency: Vec<InCurrency> = leading(&sums).filter_map(of_currency).collect();
        let note = outstanding_note(&received, &sums, &by_currency);
        Ok(KeyFigure {
            name: "days payable outstanding",
            definition: "Value of the open received invoices, divided by the value received in the last 90 days, times \
                         90; where the ledger has receipts of fewer days in a currency, by those and times their \
                         number.",
            value: None,
            seconds: None,
            unit: Unit::Days,
            of: by_currency.iter().fold(0, |all, one| all.saturating_add(one.of)),
            by_currency,
            note: Some(note),
        })
    }

    /// What was received in the 90 days before a day, by currency.
    fn received(&self, end: i64) -> Result<BTreeMap<String, Received>, RowsError> {
        let mut received: BTreeMap<String, Received> = BTreeMap::new();
        for row in range(self.rows, &KEY_FIGURES, &days_between(end - DPO_DAYS, end))? {
            let (day, count) = (number(&row, 0), receipts(&row));
            let one = received.entry(text(&row, 1).to_owned()).or_default();
            if count > 0 {
                one.days = one.days.max(end.saturating_sub(day));
            }
            one.invoices = one.invoices.saturating_add(count);
            one.value = one.value.saturating_add(big(&row, 2 + kpi::COUNTS + 2 * kpi::RECEIVED_VALUE));
        }
        let mut short: BTreeMap<&str, &mut Received> = received
            .iter_mut()
            .filter(|(_, one)| one.invoices > 0 && one.days < DPO_DAYS)
            .map(|(currency, one)| (currency.as_str(), one))
            .collect();
        self.lengthen(&mut short, end - DPO_DAYS)?;
        Ok(received)
    }

    /// Gives all 90 days to those currencies of which an invoice was received in the year before a day: the nearest days
    /// are looked at first.
    fn lengthen(&self, short: &mut BTreeMap<&str, &mut Received>, day: i64) -> Result<(), RowsError> {
        let span = days_between(day.saturating_sub(DPO_EARLIER_DAYS), day);
        let mut after: Option<Row> = None;
        while !short.is_empty() {
            let scan =
                Scan { after: after.as_deref(), descending: true, limit: EARLIER_ROWS, ..span.clone() };
            let page = self.rows.scan(&KEY_FIGURES, &scan)?;
            for row in page.iter().filter(|row| receipts(row) > 0) {
                if let Some(received) = short.remove(text(row, 1)) {
                    received.days = DPO_DAYS;
                }
            }
            if page.len() < EARLIER_ROWS {
                break;
            }
            after = page.last().map(|row| row.iter().take(KEY_FIGURES.key).cloned().collect());
        }
        Ok(())
    }
}

/// What was received in one currency in the days that days payable outstanding is measured over.
#[derive(Default)]
struct Received {
    invoices: i64,
    value: i128,
    /// Since the first of them, or all where there were some before.
    days: i64,
}

/// What days payable outstanding rests on, and what it is not told of.
fn outstanding_note(received: &BTreeMap<String, Received>, sums: &[Sum], told: &[InCurrency]) -> String {
    let known = received.values().filter(|one| one.invoices > 0);
    let longest = known.map(|one| one.days).max().unwrap_or(0);
    if longest == 0 {
        return format!("no invoice was received in the last {DPO_DAYS} days");
    }
    if longest < DPO_DAYS_MIN {
        return format!(
            "the ledger has receipts of {longest} days; fewer than {DPO_DAYS_MIN} say nothing of it"
        );
    }
    if told.is_empty() {
        return format!("no invoice with an amount was received in the last {longest} days");
    }
    let days_of = |one: &InCurrency| received.get(&one.currency).map_or(0, |received| received.days);
    let shortest = told.iter().map(days_of).min().unwrap_or(0);
    let most = told.iter().map(days_of).max().unwrap_or(0);
    let days = if shortest == most { format!("{most}") } else { format!("{shortest} to {most}") };
    let mut note = format!(
        "measured over {days} days of receipts; invoices received stand for purchases, since the cost of goods sold is \
         not in the events"
    );
    let left_out: Vec<&str> = leading(sums)
        .map(|sum| sum.currency.as_str())
        .filter(|currency| !told.iter().any(|one| one.currency == *currency))
        .collect();
    if !left_out.is_empty() {
        note.push_str(&format!(
            "; not of {}, of which too few days or no more than credits were received",
            left_out.join(", ")
        ));
    }
    note
}

/// Invoices received on a row's day.
fn receipts(row: &[Cell]) -> i64 {
    number(row, 2 + kpi::RECEIVED)
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
