//! One invoice as its page shows it: facts, marks, and its way through the stages.
//!
//! Not here: its events as they were recorded (`ports`), the domain's account of it (`domains/invoices`).

use std::collections::BTreeMap;

use waag_invoices::event::{STAGES, Stage};
use waag_invoices::life::{InvoiceState, Lifecycle};
use waag_invoices::state::Condition;
use waag_model::time::UtcNanos;

use super::list::{condition, told, value};
use crate::format;
use crate::model::{Grade, Invoice, Passage};

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
        ("Received", time(state.received)),
        ("Approved", time(state.approved)),
        ("Closed", time(state.closed)),
        ("Touch", touch),
    ];
    rows.into_iter()
        .map(|(name, text)| (name.to_owned(), text.unwrap_or_else(|| "not told".to_owned())))
        .collect()
}

fn marks(life: &Lifecycle) -> Vec<(Grade, String)> {
    let state = &life.state;
    let mut marks = Vec::new();
    if state.stuck {
        marks.push((Grade::Bad, "stuck".to_owned()));
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
        if state.events > listed {
            // Of the earlier ones nothing was read, so nothing is said.
            format!("{} of the newest {} events", format::count(count), format::count(listed))
        } else {
            format::counted(count, "event", "events")
        }
    };
    let told =
        counts.into_iter().map(|(mark, count)| format!("{}: {}", mark.replace('_', " "), events(count)));
    marks.extend(told.map(|text| (Grade::Note, text)));
    marks
}

/// What is told of single events: which of them the marks above are of.
fn told_of(life: &Lifecycle) -> BTreeMap<u64, Vec<String>> {
    let marked = life.steps.iter().filter(|step| !step.marks.is_empty());
    let words = |marks: &[&str]| marks.iter().map(|mark| mark.replace('_', " ")).collect();
    marked.map(|step| (step.position, words(&step.marks))).collect()
}

fn passages(state: &InvoiceState) -> Vec<Passage> {
    let passage = |ours: Stage| {
        let visit = state.visits.iter().find(|visit| visit.stage == ours);
        let is_closed = matches!(state.condition, Condition::Paid | Condition::Rejected);
        let is_here = state.stage == ours && !is_closed;
        Passage {
            stage: ours,
            entered: visit.and_then(|visit| visit.entered).map(UtcNanos),
            left: visit.and_then(|visit| visit.left).map(UtcNanos),
            deadline: state.deadline.filter(|_| is_here).map(UtcNanos),
            is_here,
        }
    };
    STAGES.map(passage).to_vec()
}

/// An invoice's page.
pub(super) fn invoice(life: &Lifecycle) -> Invoice {
    let (grade, word) = condition(&life.state);
    let closed = matches!(life.state.condition, Condition::Paid | Condition::Rejected);
    Invoice {
        id: life.state.id.clone(),
        status: if closed { word.to_owned() } else { format!("{}, {word}", life.state.stage.name()) },
        grade,
        marks: marks(life),
        value: value(&life.state),
        facts: facts(life),
        passages: passages(&life.state),
        positions: life.steps.iter().map(|step| step.position).collect(),
        told_of: told_of(life),
        events: life.state.events,
    }
}
