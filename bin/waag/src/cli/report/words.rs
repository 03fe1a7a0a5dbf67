//! What `waag report` prints for people; in JSON stands what the domain tells.
//!
//! Not here: what is asked for (`report`), the figures (`domains/invoices`).

use serde::Serialize;
use waag_invoices::cash::{Cash, CashOf};
use waag_invoices::event::{STAGES, Stage};
use waag_invoices::figures::{KeyFigure, Unit};
use waag_invoices::life::{InvoiceState, Lifecycle};
use waag_invoices::named::Line;
use waag_invoices::queries::{Latency, Point, Report, Sum, Vendor};
use waag_invoices::when::DAY_MAX;
use waag_model::money::Currency;
use waag_model::text::in_line;
use waag_model::time::{UtcDay, UtcNanos};

/// The word that stands for it in JSON, too.
fn word(value: &impl Serialize) -> String {
    let told = serde_json::to_value(value).unwrap_or_default();
    told.as_str().unwrap_or_default().replace('_', " ")
}

pub(super) fn life_text(life: &Lifecycle) -> String {
    let state = &life.state;
    let stuck = if state.stuck { ", stuck" } else { "" };
    let mut text =
        format!("{} in {}, {}{stuck}\n", in_line(&state.id), state.stage.name(), word(&state.condition));
    for step in &life.steps {
        let stage = step.stage.map_or("no stage", Stage::name);
        let marks =
            if step.marks.is_empty() { String::new() } else { format!(" ({})", step.marks.join(", ")) };
        let (at, action) = (UtcNanos(step.at), word(&step.action));
        text.push_str(&format!("{:>12}  {at}  {stage}: {action}{marks}\n", step.position));
    }
    text
}

/// A whole number with its last digits behind a point.
fn decimal(number: i128, digits: u8) -> String {
    let (sign, plain) = (if number < 0 { "-" } else { "" }, number.unsigned_abs().to_string());
    let width = usize::from(digits);
    let plain = format!("{plain:0>least$}", least = width + 1);
    match plain.split_at_checked(plain.len().saturating_sub(width)) {
        Some((whole, part)) if !part.is_empty() => format!("{sign}{whole}.{part}"),
        _ => format!("{sign}{plain}"),
    }
}

/// Means of less than this are told in minutes and seconds: in hundredths of a day they would be nearly nothing.
const SHORT_S: i64 = 86_400 / 10;

fn in_minutes(seconds: i64) -> String {
    let (sign, all) = (if seconds < 0 { "-" } else { "" }, seconds.unsigned_abs());
    if all < 60 { format!("{sign}{all} s") } else { format!("{sign}{} min {} s", all / 60, all % 60) }
}

pub(super) fn figure_text(figure: &KeyFigure) -> String {
    let unit = |value: i128, currency: &str| match figure.unit {
        Unit::Percent => format!("{} %", decimal(value, 2)),
        Unit::Days => format!("{} days {currency}", decimal(value, 2)).trim_end().to_owned(),
        Unit::Money => {
            let exponent = Currency::of(currency).map_or(0, Currency::exponent);
            // Without a currency it is nought of any.
            format!("{} {currency}", decimal(value, exponent)).trim_end().to_owned()
        }
    };
    let days_of = |seconds: &i64| (*seconds != 0 && seconds.abs() < SHORT_S).then(|| in_minutes(*seconds));
    let mean = figure.seconds.as_ref().and_then(days_of);
    let plain = figure.value.map(|value| unit(value.into(), ""));
    let mut values: Vec<String> = mean.or(plain).into_iter().collect();
    values.extend(figure.by_currency.iter().map(|one| unit(one.value, &one.currency)));
    let told = if values.is_empty() { "not known".to_owned() } else { values.join(", ") };
    let note = figure.note.as_ref().map(|note| format!("; {note}")).unwrap_or_default();
    format!("{:<32}  {told}, of {} invoices{note}\n", figure.name, figure.of)
}

fn sum_text(sum: &Sum) -> String {
    let currency = if sum.currency.is_empty() { "-" } else { &sum.currency };
    format!("{:>9}  {:>20} {currency:<3}", sum.invoices, decimal(sum.minor, sum.exponent))
}

pub(super) fn vendor_text(vendor: &Vendor) -> String {
    let (open, all) = (sum_text(&vendor.open), sum_text(&vendor.total));
    format!("open {open}  of {all}  {}\n", in_line(&vendor.vendor))
}

pub(super) fn latency_text(one: &Latency) -> String {
    let hours = |ms: u64| decimal(i128::from(ms / 36_000), 2);
    let or_none = |text: &str| if text.is_empty() { "-".to_owned() } else { in_line(text) };
    format!(
        "{:<14}  {:>9} visits  p50 {:>10} h  p95 {:>10} h  p99 {:>10} h  {}  {}\n",
        one.stage.name(),
        one.count,
        hours(one.p50_ms),
        hours(one.p95_ms),
        hours(one.p99_ms),
        or_none(&one.region),
        or_none(&one.vendor_class)
    )
}

pub(super) fn point_text(point: &Point) -> String {
    format!(
        "{}  {:>9} events  {:>9} entered  {:>7} failed or held\n",
        UtcNanos(point.at),
        point.events,
        point.entered,
        point.failed
    )
}

/// The amount of an invoice; a dash where it is not known.
fn amount_text(state: &InvoiceState) -> String {
    match (state.amount_minor, &state.currency) {
        (Some(minor), Some(currency)) => {
            format!("{} {currency}", decimal(minor.into(), state.exponent.unwrap_or(0)))
        }
        _ => "-".to_owned(),
    }
}

/// A time to the minute; deadlines end with an hour.
fn minute(at: i64) -> String {
    let text = UtcNanos(at).to_string();
    text.get(..16).map_or(text.clone(), |minute| format!("{minute}Z"))
}

fn state_text(state: &InvoiceState) -> String {
    let until = state.deadline.map_or("-".to_owned(), minute);
    let stage = if state.condition.is_closed() { "-" } else { state.stage.name() };
    let stuck = if state.stuck { ", stuck" } else { "" };
    let condition = format!("{}{stuck}", word(&state.condition));
    format!(
        "{stage:<14}  {condition:<20}  {until:<17}  {:>20}  {}  {}\n",
        amount_text(state),
        in_line(&state.id),
        in_line(&state.vendor)
    )
}

/// One line of a list: an invoice, or the event that put it there.
pub(super) fn line_text(line: &Line) -> String {
    let invoice = in_line(line.invoice());
    let invoice = if invoice.is_empty() { "no invoice" } else { &invoice };
    match line {
        Line::Invoice(state) => state_text(state),
        Line::Duplicate(line) => {
            format!("{:>12}  {invoice}: same {} as {}\n", line.position, line.alike, in_line(&line.earlier))
        }
        Line::Odd(line) => {
            let reasons = line.reasons.join(", ").replace('_', " ");
            format!("{:>12}  {invoice}: {reasons} ({})\n", line.position, in_line(&line.kind))
        }
    }
}

fn cash_of_text(one: &CashOf, to: &str) -> String {
    let row = |words: &str, sum: &Sum| format!("  {words:<18}{}\n", sum_text(sum));
    let (total, dates) = (&one.total, &one.dates);
    let mut text = format!("{}\n", one.total.outstanding.currency);
    text.push_str(&row("outstanding", &total.outstanding));
    text.push_str(&row("overdue", &total.overdue));
    text.push_str(&row("in seven days", &total.week));
    text.push_str(&row("without due date", &total.undated));
    let mut due = |words: &str, sum: &Sum| {
        if sum.invoices != 0 {
            text.push_str(&row(words, sum));
        }
    };
    due("due before", &dates.before);
    for step in &dates.steps {
        let day = i32::try_from(step.day).map_or(DAY_MAX, UtcDay);
        due(&format!("due {day}"), &step.sum);
    }
    due(&format!("due from {to}"), &dates.behind);
    text
}

/// What is outstanding, a part for each currency.
pub(super) fn cash_text(cash: &Cash) -> String {
    let mut text: String = cash.currencies.iter().map(|one| cash_of_text(one, &cash.to)).collect();
    let without = cash.without_value;
    if without.invoices != 0 {
        let (all, no_currency) = (without.invoices, without.without_currency);
        text.push_str(&format!(
            "received and in no sum: {all}, without an amount or a currency ({no_currency} without a currency)\n"
        ));
    }
    if text.is_empty() { "nothing is outstanding\n".to_owned() } else { text }
}

/// The report for people: where all invoices are, then what of them is worth a look.
pub(super) fn report_text(report: &Report) -> String {
    let mut text = format!("{} invoices of {} events\n", report.cases, report.events);
    let mut line = |count: i64, words: &str| text.push_str(&format!("{count:>10}  {words}\n"));
    line(report.cleared, "cleared");
    line(report.rejected, "rejected");
    // In the stages' order; by name they are in that of the alphabet.
    for stage in STAGES.map(Stage::name) {
        line(report.by_stage.get(stage).copied().unwrap_or(0), &format!("in {stage}"));
    }
    line(report.received_not_cleared, "received, not cleared");
    line(report.approved_not_paid, "approved, not paid");
    line(report.stuck, "stuck");
    line(report.duplicates, "possible duplicates");
    line(report.odd, "odd events");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_mean_is_told_in_minutes_and_a_long_one_in_days() {
        let text = |value: i64, seconds: i64| {
            figure_text(&KeyFigure {
                name: "days to pay",
                definition: "",
                value: Some(value),
                seconds: Some(seconds),
                unit: Unit::Days,
                by_currency: Vec::new(),
                of: 1,
                note: None,
            })
        };
        for (value, seconds, told) in [
            (0, 45, "  45 s, of"),
            (0, 360, "  6 min 0 s, of"),
            (0, -61, "  -1 min 1 s, of"),
            (10, SHORT_S, "  0.10 days, of"),
            (0, 0, "  0.00 days, of"),
        ] {
            assert!(text(value, seconds).contains(told), "{}", text(value, seconds));
        }
    }

    #[test]
    fn the_text_tells_every_count_once() {
        let by_stage = STAGES.into_iter().zip(11..).map(|(stage, count)| (stage.name().to_owned(), count));
        let report = Report {
            events: 1,
            cases: 2,
            cleared: 3,
            rejected: 4,
            received_not_cleared: 5,
            approved_not_paid: 6,
            stuck: 7,
            odd: 8,
            odd_by_reason: [("unknown_stage".to_owned(), 9)].into(),
            duplicates: 10,
            by_stage: by_stage.collect(),
        };
        let told = report_text(&report);
        let lines: Vec<&str> = told.lines().map(str::trim).collect();
        assert_eq!(
            lines,
            [
                "2 invoices of 1 events",
                "3  cleared",
                "4  rejected",
                "11  in ingestion",
                "12  in reconciliation",
                "13  in authorization",
                "14  in posting",
                "5  received, not cleared",
                "6  approved, not paid",
                "7  stuck",
                "10  possible duplicates",
                "8  odd events",
            ]
        );
    }
}
