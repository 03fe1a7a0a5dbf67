//! Lists of invoices and events as the pages show them, and the named filters over them.
//!
//! Not here: which invoices are in a list (`domains/invoices`), how rows look (`templates/`).

use waag_invoices::event::Stage;
use waag_invoices::life::InvoiceState;
use waag_invoices::lists::{After, OddLine};
use waag_invoices::named::Line;
use waag_invoices::queries::{Overview as Counts, Sum};
use waag_invoices::state::Condition;
use waag_invoices::when;
use waag_model::time::{UtcDay, UtcNanos};

use super::whole;
use crate::address::Asked;
use crate::error::WebError;
use crate::model::{Amount, Asks, Filter, Grade, Row};
use crate::{format, why};

/// Late by this much is bad and no longer a warning, in nanoseconds.
const BAD_AFTER_NS: i64 = 48 * 3_600_000_000_000;

fn invoices(sums: &[Sum]) -> u64 {
    sums.iter().fold(0, |all, sum| all.saturating_add(whole(sum.invoices)))
}

pub(super) fn told(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// What an invoice waits for that is done with a stage.
fn waits(stage: Stage) -> &'static str {
    match stage {
        Stage::Ingestion => "waiting for reconciliation",
        Stage::Reconciliation => "waiting for authorization",
        Stage::Authorization => "waiting for posting",
        Stage::Posting => "waiting for payment",
    }
}

pub(super) fn condition(state: &InvoiceState) -> (Grade, &'static str) {
    match state.condition {
        Condition::InProgress => (Grade::Note, "in progress"),
        Condition::Waiting => (Grade::Note, waits(state.stage)),
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

/// How an open invoice stands, in a few words; nothing of one that is closed, which has a mark of its own.
fn standing(state: &InvoiceState) -> String {
    let (_, word) = condition(state);
    match (state.condition.is_closed(), state.stuck) {
        (true, _) => String::new(),
        (false, true) => format!("late, {word}"),
        (false, false) => word.to_owned(),
    }
}

/// Words of several things, the first letter of them as a sentence has it.
fn joined(parts: &[&str]) -> String {
    let told: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    why::sentence(&told.join(", "))
}

/// Which event may tell why an invoice stands as it does.
fn asks(state: &InvoiceState) -> Option<Asks> {
    let tells = match state.condition {
        Condition::Failed | Condition::Blocked | Condition::Rejected => true,
        Condition::InProgress | Condition::Waiting => state.exception,
        Condition::Paid => false,
    };
    let position = state.told_by.filter(|_| tells)?;
    Some(Asks { position, members: vec!["exception", "reason"] })
}

/// The members of an event that tell what is odd.
fn members_of(oddity: &str) -> &'static [&'static str] {
    match oddity {
        "unknown_status" => &["status", "status_text"],
        "unknown_currency" => &["currency", "currency_text"],
        "unreadable_amount" => &["amount_minor", "amount", "amount_text"],
        "unreadable_due_date" => &["due_date", "due_date_text"],
        "unreadable_invoice_date" => &["invoice_date", "invoice_date_text"],
        "unreadable_time" => &["time_text"],
        "impossible_time" => &[why::TIME],
        _ => &[],
    }
}

/// An invoice in a list.
pub(super) fn row(state: &InvoiceState, now: UtcNanos) -> Row {
    let (grade, word) = condition(state);
    let late = state.deadline.map_or(0, |at| format::passed(UtcNanos(at), now));
    let is_closed = state.condition.is_closed();
    let grade = match (state.stuck, late > BAD_AFTER_NS) {
        (true, true) => Grade::Bad,
        (true, false) => Grade::Warning,
        (false, _) => grade,
    };
    Row {
        invoice: state.id.clone(),
        position: None,
        kind: None,
        stage: Some(state.stage).filter(|_| !is_closed),
        closed: is_closed.then_some((grade, word)),
        why: joined(&[&standing(state)]),
        asks: asks(state),
        told: Vec::new(),
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

/// An invoice that the read model does not know, of whom nothing but the id is told.
fn unknown(invoice: &str) -> Row {
    Row {
        invoice: invoice.to_owned(),
        position: None,
        kind: None,
        stage: None,
        closed: None,
        why: String::new(),
        asks: None,
        told: Vec::new(),
        like: None,
        grade: Grade::Warning,
        since: None,
        deadline: None,
        value: None,
        vendor: None,
        region: None,
        due: None,
    }
}

/// A line of a list as its page shows it.
pub(crate) fn listed(line: &Line, now: UtcNanos) -> Row {
    let place = line.state().map_or_else(|| unknown(line.invoice()), |state| row(state, now));
    match line {
        Line::Invoice(state) => {
            let returns = match state.loops {
                0 => String::new(),
                loops => format::counted(u64::from(loops), "return", "returns"),
            };
            let standing = standing(state);
            // A list of stuck ones has them with and without returns; what is late comes first there.
            let parts: [&str; 2] = if state.stuck { [&standing, &returns] } else { [&returns, &standing] };
            let grade = if place.closed.is_some() { Grade::Note } else { place.grade };
            Row { why: joined(&parts), grade, ..place }
        }
        Line::Odd(line) => odd(line, place),
        Line::Duplicate(line) => {
            let standing = line.state.as_ref().map_or(String::new(), standing);
            Row {
                position: u64::try_from(line.position).ok(),
                why: joined(&[&standing, &format!("same {} as", line.alike)]),
                like: Some(line.earlier.clone()),
                asks: None,
                grade: Grade::Warning,
                ..place
            }
        }
    }
}

/// An odd event, with the invoice that it names.
fn odd(line: &OddLine, place: Row) -> Row {
    let position = u64::try_from(line.position).ok();
    let members: Vec<&str> = line.reasons.iter().flat_map(|reason| members_of(reason)).copied().collect();
    Row {
        position,
        kind: Some(line.kind.clone()),
        why: joined(&[&line.reasons.join(", ").replace('_', " ")]),
        asks: position.filter(|_| !members.is_empty()).map(|position| Asks { position, members }),
        grade: Grade::Warning,
        ..place
    }
}

/// Where the next page begins, as addresses have it.
pub(super) fn place(after: &After) -> String {
    format!("{}~{}~{}", after.order, after.class, after.id)
}

pub(crate) fn after(asked: &Asked) -> Result<Option<After>, WebError> {
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
            "Open invoices past the deadline of their stage, those late longest first.",
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
            "open",
            "All open",
            "All open invoices, the earliest deadline first; those without a deadline come last.",
            counts.tiles.iter().fold(0, |all, tile| all.saturating_add(whole(tile.open))),
        ),
        filter(
            "loops",
            "Loops",
            "Invoices that returned to a stage, open and closed, those with most returns first.",
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
