//! Lists of invoices and events as the pages show them, and the named filters over them.
//!
//! Not here: which invoices are in a list (`domains/invoices`), how rows look (`templates/`).

use waag_invoices::life::InvoiceState;
use waag_invoices::lists::{After, DuplicateLine, OddLine, Page};
use waag_invoices::queries::{Overview as Counts, Sum};
use waag_invoices::state::Condition;
use waag_invoices::when;
use waag_model::time::{UtcDay, UtcNanos};

use super::whole;
use crate::address::Asked;
use crate::error::WebError;
use crate::format;
use crate::model::{Amount, Filter, Grade, Row};

/// Late by this much is bad and no longer a warning, in nanoseconds.
const BAD_AFTER_NS: i64 = 48 * 3_600_000_000_000;

fn invoices(sums: &[Sum]) -> u64 {
    sums.iter().fold(0, |all, sum| all.saturating_add(whole(sum.invoices)))
}

pub(super) fn told(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

pub(super) fn condition(state: &InvoiceState) -> (Grade, &'static str) {
    match state.condition {
        Condition::InProgress => (Grade::Note, "in progress"),
        Condition::Waiting => (Grade::Note, "stage done, waiting"),
        Condition::Failed => (Grade::Bad, "failed"),
        Condition::Blocked => (Grade::Warning, "blocked"),
        Condition::Paid => (Grade::Good, "paid"),
        Condition::Rejected => (Grade::Note, "rejected"),
    }
}

pub(super) fn value(state: &InvoiceState) -> Option<Amount> {
    let currency = state.currency.clone()?;
    Some(Amount { minor: i128::from(state.amount_minor?), currency, exponent: state.exponent? })
}

/// An invoice in a list.
pub(super) fn row(state: &InvoiceState, now: UtcNanos) -> Row {
    let (grade, word) = condition(state);
    let late = state.deadline.map_or(0, |at| format::passed(UtcNanos(at), now));
    let (grade, why) = if state.stuck {
        (if late > BAD_AFTER_NS { Grade::Bad } else { Grade::Warning }, format!("Late, {word}"))
    } else if state.loops > 0 {
        (grade, format!("{}, {word}", format::counted(u64::from(state.loops), "return", "returns")))
    } else {
        (grade, word.to_owned())
    };
    Row {
        invoice: state.id.clone(),
        position: None,
        stage: Some(state.stage),
        why,
        like: None,
        grade,
        since: state.since.map(UtcNanos),
        deadline: state.deadline.map(UtcNanos),
        value: value(state),
        vendor: told(&state.vendor),
        region: told(&state.region),
        due: state.due_date.as_deref().and_then(when::day).map(UtcDay),
    }
}

/// An event in a list, with the invoice it is about as that stands now, where there is one.
fn event_row(position: i64, invoice: Option<&str>, state: Option<&InvoiceState>, now: UtcNanos) -> Row {
    let place = Row {
        invoice: invoice.unwrap_or("").to_owned(),
        position: None,
        stage: None,
        why: String::new(),
        like: None,
        grade: Grade::Warning,
        since: None,
        deadline: None,
        value: None,
        vendor: None,
        region: None,
        due: None,
    };
    let place = state.map_or(place, |state| row(state, now));
    Row { position: u64::try_from(position).ok(), grade: Grade::Warning, ..place }
}

pub(super) fn odd_row(line: &OddLine, now: UtcNanos) -> Row {
    let why = line.reasons.join(", ").replace('_', " ");
    Row { why, ..event_row(line.position, line.invoice.as_deref(), line.state.as_ref(), now) }
}

pub(super) fn duplicate_row(line: &DuplicateLine, now: UtcNanos) -> Row {
    let found = event_row(line.position, Some(&line.invoice), line.state.as_ref(), now);
    let how = line.state.as_ref().map_or(String::new(), |state| format!("{}, ", condition(state).1));
    Row { why: format!("{how}same {} as", line.alike), like: Some(line.earlier.clone()), ..found }
}

pub(super) fn page<T>(page: Page<T>, row: impl Fn(&T) -> Row) -> (Vec<Row>, Option<String>) {
    let next = page.next.map(|after| format!("{}~{}~{}", after.order, after.class, after.id));
    (page.lines.iter().map(row).collect(), next)
}

pub(super) fn after(asked: &Asked) -> Result<Option<After>, WebError> {
    let Some(text) = &asked.after else { return Ok(None) };
    let read = text.split_once('~').and_then(|(order, rest)| {
        let (class, id) = rest.split_once('~')?;
        Some(After { order: order.parse().ok()?, class: class.parse().ok()?, id: id.to_owned() })
    });
    read.map(Some)
        .ok_or(WebError::Parameter { name: "after", allowed: "what a page's link to the next one says" })
}

pub(super) fn filters(counts: &Counts) -> Vec<Filter> {
    let filter = |word, name, meaning, count| Filter { word, name, meaning, count: Some(count) };
    vec![
        filter(
            "stuck",
            "Stuck",
            "Open invoices past the deadline of their stage, the longest overdue first.",
            whole(counts.stuck),
        ),
        filter(
            "approved_not_paid",
            "Approved, not paid",
            "Open invoices whose payment is approved, the earliest deadline first.",
            invoices(&counts.approved_not_paid),
        ),
        filter(
            "received_not_cleared",
            "Received, not cleared",
            "Open invoices that the vendor's invoice has come for, the earliest deadline first.",
            invoices(&counts.received_not_cleared),
        ),
        filter(
            "loops",
            "Loops",
            "Invoices that returned to a stage, those with most returns first.",
            whole(counts.loops),
        ),
        filter(
            "duplicates",
            "Possible duplicates",
            "Same vendor, amount and currency as an earlier one, and the same reference or date; the newest first.",
            whole(counts.duplicates),
        ),
        filter(
            "odd",
            "Odd events",
            "Kept and marked: unlikely dates, unknown words, no invoice; the newest first.",
            whole(counts.marks.get("odd").copied().unwrap_or(0)),
        ),
    ]
}
