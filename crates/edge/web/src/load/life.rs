//! One invoice as its page shows it: facts, marks, and its way through the stages.
//!
//! Not here: its events as they were recorded (`ports`), the domain's account of it (`domains/invoices`).

use std::collections::BTreeMap;

use waag_invoices::event::{STAGES, Stage};
use waag_invoices::life::{InvoiceState, Lifecycle, Step};
use waag_invoices::when;
use waag_model::time::{UtcDay, UtcNanos};

use super::list::{condition, told, value};
use crate::format;
use crate::model::{Grade, Invoice, Passage};

/// A mark's word on pages. "Late" is said there of what is past a deadline.
fn mark_word(mark: &str) -> String {
    if mark == "late" { "delayed".to_owned() } else { mark.replace('_', " ") }
}

fn facts(life: &Lifecycle) -> Vec<(String, String)> {
    let state = &life.state;
    let time = |at: Option<i64>| at.map(|at| format::absolute(&UtcNanos(at)));
    let touch =
        state.manual.map(|manual| if manual { "a person acted" } else { "no person acted" }.to_owned());
    let rows = [
        ("Vendor", told(&state.vendor)),
        ("Vendor class", told(&state.vendor_class)),
        ("Region", told(&state.region)),
        ("Due date", state.due_date.clone()),
        ("Deadline", deadline(state)),
        ("Received", time(state.received)),
        ("Approved", approval(state).or_else(|| yet_to_come(is_before_approval(state)))),
        ("Closed", time(state.closed).or_else(|| yet_to_come(!state.condition.is_closed()))),
        ("Touch", touch),
    ];
    rows.into_iter()
        .map(|(name, text)| (name.to_owned(), text.unwrap_or_else(|| "not told".to_owned())))
        .collect()
}

/// What is told of a step that an open invoice has not come to.
fn yet_to_come(is_ahead: bool) -> Option<String> {
    is_ahead.then(|| "not yet".to_owned())
}

fn is_before_approval(state: &InvoiceState) -> bool {
    !state.condition.is_closed() && state.stage < Stage::Posting
}

/// Whether it has come or is approved, is not closed, and its due date is before today.
fn is_overdue(state: &InvoiceState, today: UtcDay) -> bool {
    let is_owed = state.received.is_some() || state.approved.is_some();
    let due = state.due_date.as_deref().and_then(when::day);
    is_owed && !state.condition.is_closed() && due.is_some_and(|due| due < today.0)
}

/// When the payment was approved; one that only the posting implies has no time of its own.
fn approval(state: &InvoiceState) -> Option<String> {
    let at = state.approved.map(|at| format::absolute(&UtcNanos(at)))?;
    Some(if state.approval_told { at } else { "not told, implied by posting".to_owned() })
}

/// Until when the invoice is to go on.
fn deadline(state: &InvoiceState) -> Option<String> {
    if state.condition.is_closed() {
        return Some("none, closed".to_owned());
    }
    let stage = awaited(state);
    Some(state.deadline.map_or_else(
        || "none".to_owned(),
        |at| format!("{}, of {}", format::absolute(&UtcNanos(at)), stage.name()),
    ))
}

/// The stage whose deadline an open invoice has: the one it is in, or behind one that is done, the next.
fn awaited(state: &InvoiceState) -> Stage {
    let here = state.visits.iter().find(|visit| visit.stage == state.stage);
    let is_done = here.is_some_and(|visit| visit.left.is_some());
    if is_done { state.stage.next() } else { state.stage }
}

fn marks(life: &Lifecycle, is_earlier: bool, today: UtcDay) -> Vec<(Grade, String)> {
    let state = &life.state;
    let mut marks = Vec::new();
    if state.stuck {
        marks.push((Grade::Bad, "stuck".to_owned()));
    }
    if is_overdue(state, today) {
        marks.push((Grade::Bad, "overdue".to_owned()));
    }
    if state.duplicate {
        marks.push((Grade::Warning, "possible duplicate".to_owned()));
    }
    if state.loops > 0 {
        marks.push((
            Grade::Warning,
            format!("returned {}", format::counted(u64::from(state.loops), "time", "times")),
        ));
    }
    if state.exception {
        marks.push((Grade::Warning, "had an exception".to_owned()));
    }
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for mark in life.steps.iter().flat_map(|step| &step.marks) {
        *counts.entry(mark).or_default() += 1;
    }
    let listed = u64::try_from(life.steps.len()).unwrap_or(u64::MAX);
    let events = |count: u64| {
        if is_earlier {
            format!("{} of the {} events shown", format::count(count), format::count(listed))
        } else if state.events > listed {
            // Of the earlier ones nothing was read, so nothing is said.
            format!("{} of the newest {} events", format::count(count), format::count(listed))
        } else {
            format::counted(count, "event", "events")
        }
    };
    let told = counts.into_iter().map(|(mark, count)| format!("{}: {}", mark_word(mark), events(count)));
    marks.extend(told.map(|text| (Grade::Note, text)));
    marks
}

/// What is told of single events: which of them the marks above are of.
fn told_of(life: &Lifecycle) -> BTreeMap<u64, Vec<String>> {
    let marked = life.steps.iter().filter(|step| !step.marks.is_empty());
    let word = |step: &Step, mark: &str| match mark {
        // Beside the event's own time, which did not count.
        "time_assumed" => {
            format!("counts from {}, when it was accepted", format::absolute(&UtcNanos(step.at)))
        }
        _ => mark_word(mark),
    };
    marked.map(|step| (step.position, step.marks.iter().map(|mark| word(step, mark)).collect())).collect()
}

fn passages(state: &InvoiceState) -> Vec<Passage> {
    let passage = |ours: Stage| {
        let visit = state.visits.iter().find(|visit| visit.stage == ours);
        let is_here = state.stage == ours && !state.condition.is_closed();
        let is_awaited = awaited(state) == ours && !state.condition.is_closed();
        Passage {
            stage: ours,
            entered: visit.and_then(|visit| visit.entered).map(UtcNanos),
            left: visit.and_then(|visit| visit.left).map(UtcNanos),
            deadline: state.deadline.filter(|_| is_awaited).map(UtcNanos),
            is_here,
            is_passed: state.condition.is_closed() || ours < state.stage,
        }
    };
    STAGES.map(passage).to_vec()
}

/// An invoice's page, with its newest events or with earlier ones.
pub(super) fn invoice(life: &Lifecycle, is_earlier: bool, today: UtcDay) -> Invoice {
    let (grade, word) = condition(&life.state);
    let closed = life.state.condition.is_closed();
    Invoice {
        id: life.state.id.clone(),
        status: if closed { word.to_owned() } else { format!("{}, {word}", life.state.stage.name()) },
        grade,
        marks: marks(life, is_earlier, today),
        value: value(&life.state),
        facts: facts(life),
        passages: passages(&life.state),
        positions: life.steps.iter().map(|step| step.position).collect(),
        told_of: told_of(life),
        events: life.state.events,
        earlier: life.earlier,
    }
}
