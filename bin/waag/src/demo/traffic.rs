//! Thirty days of invoice traffic of a firm that never was, and its endless continuation; the same for a seed.
//!
//! Everything is a function of (seed, invoice's number, purpose) by a plain hash in `noise`, whose values are easy to
//! foresee: they must never become a salt, a key or an id that anyone relies on.
//! Memory is one small record for each step that is still to come (`DEMO-1`); events are made as they are taken.
//! Not here: sending them (the command), what they mean (`domains/invoices`).
//!
//! Invariants:
//! - `DEMO-1`: memory grows with the open invoices, never with the events that were taken.
//! - `DEMO-2`: events come in the order of their acceptance, and an invoice's in the order of its life, but for the
//!   share of [`OUT_OF_ORDER_PERMILLE`] whose neighbours are exchanged, and for what an outage delays.
//! - `DEMO-3`: what an invoice's events say of their times is in the order of its life, also where acceptance is not.

mod calendar;
mod invoice;
mod life;
mod noise;
mod render;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use waag_model::event::Event;
use waag_model::time::UtcNanos;

use calendar::{Arrivals, DAY_S, HOUR_S, weekday};
pub use invoice::{CLASSES, REGIONS};
pub use life::{Step, StuckIn};
use noise::Noise;

const SECOND_NS: i64 = 1_000_000_000;
/// The least between two steps of an invoice.
const STEP_NS: i64 = 1_000_000;
/// Days of history.
pub const HISTORY_DAYS: i64 = 30;
/// Events that come after their invoice's next one, in a thousand of those that have one.
pub const OUT_OF_ORDER_PERMILLE: u64 = 5;
/// Events that come one to three days after they happened, in a thousand.
pub const LATE_PERMILLE: u64 = 3;
/// Invoices that stand still in a stage, in a thousand, for each of the four stages.
pub const STUCK_PERMILLE: u64 = 5;
/// Invoices sent a second time under another id, in a thousand; of four such, one differs in its reference.
pub const DUPLICATE_PERMILLE: u64 = 8;
/// The region that is cut off.
pub const OUTAGE_REGION: &str = "eu-south-1";
/// How long it lasts.
pub const OUTAGE_HOURS: i64 = 6;
/// How long what it held back takes to come in.
pub const BURST_SECONDS: i64 = 1_200;

/// What traffic to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Another seed is another firm.
    pub seed: u64,
    /// Invoices that enter within the history.
    pub invoices: u32,
    /// Where the history ends and the continuation begins.
    pub end: UtcNanos,
}

/// An event, and when it comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// What happened; its `time` says when.
    pub event: Event<'static>,
    /// When it is accepted, never before it happened.
    pub accepted: UtcNanos,
}

/// A step of one invoice that is still to come; ordered by when it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    accepted_s: i64,
    invoice: u32,
    number: u8,
    happened_s: i64,
    step: Step,
}

/// An invoice with steps still to come.
#[derive(Clone, Debug)]
struct Open {
    /// How many.
    left: usize,
    /// The numbers of those that were taken, and when they happened, in nanoseconds.
    taken: Vec<(u8, i64)>,
}

/// The history, in the order of acceptance.
pub struct Traffic {
    noise: Noise,
    arrivals: Arrivals,
    outage_s: i64,
    end_s: i64,
    due: BinaryHeap<Reverse<Due>>,
    open: HashMap<u32, Open>,
    next_invoice: u32,
    /// When that one enters.
    next_entry_s: i64,
}

/// The continuation, for ever.
pub struct Live {
    traffic: Traffic,
    now_ns: i64,
    gap_ns: i64,
}

impl Live {
    /// Leaves out the first events, which an earlier run of the same plan has sent; what comes next of their invoices
    /// happened after now.
    #[must_use]
    pub fn without(mut self, taken: u64) -> Self {
        for _ in 0..taken {
            let Some(due) = self.traffic.peek() else { break };
            self.traffic.taken(due, self.now_ns.saturating_sub(STEP_NS));
        }
        self
    }
}

impl Traffic {
    /// The history that ends at the plan's end.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let end_s = plan.end.0.div_euclid(SECOND_NS);
        let start_s = (end_s - HISTORY_DAYS * 24 * HOUR_S).div_euclid(HOUR_S) * HOUR_S;
        let (noise, arrivals) = (Noise::new(plan.seed), Arrivals::new(start_s, end_s, plan.invoices));
        Self {
            next_entry_s: arrivals.time(0, noise),
            noise,
            arrivals,
            outage_s: outage_begins_s(end_s),
            end_s,
            due: BinaryHeap::new(),
            open: HashMap::new(),
            next_invoice: 0,
        }
    }

    /// Steps that are still to come, all of open invoices.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.due.len()
    }

    /// Goes on from `now` at a steady rate, with what is still to come of the history first.
    ///
    /// Steps come in their order, at equal distances whatever lies between them: a firm's quiet nights pass at once.
    /// An event is as long on its way as it would have been, at most an hour.
    #[must_use]
    pub fn live(mut self, now: UtcNanos, events_per_second: u32) -> Live {
        // What was not taken of the history is left behind.
        while let Some(due) = self.peek().filter(|due| due.accepted_s < self.end_s) {
            self.taken(due, due.happened_s.saturating_mul(SECOND_NS));
        }
        Live { traffic: self, now_ns: now.0, gap_ns: SECOND_NS / i64::from(events_per_second.max(1)) }
    }

    /// The next step, once every invoice that may come before it has entered.
    fn peek(&mut self) -> Option<Due> {
        loop {
            match self.due.peek() {
                Some(Reverse(due)) if due.accepted_s < self.next_entry_s => return Some(*due),
                Some(_) | None => self.enter()?,
            }
        }
    }

    /// Plans the life of the next invoice; none after the last number there is.
    fn enter(&mut self) -> Option<()> {
        let (number, entered_s) = (self.next_invoice, self.next_entry_s);
        self.next_invoice = number.checked_add(1)?;
        self.next_entry_s = self.arrivals.time(self.next_invoice, self.noise);
        let invoice = invoice::Invoice::of(self.noise, &self.arrivals, number);
        let mut steps = life::steps(self.noise, &invoice, entered_s);
        for (step, at) in (0_u64..).zip(&mut steps) {
            if self.noise.permille(number, noise::LATE + step) < LATE_PERMILLE {
                at.accepted_s += self.noise.between(number, noise::LATE_BY + step, 26 * HOUR_S, 72 * HOUR_S);
            }
        }
        // An event that its successor overtakes comes a minute after it.
        for step in 1..steps.len() {
            if let Some([before, after]) = steps.get_mut(step - 1..=step)
                && self.noise.permille(number, noise::EXCHANGE + step as u64) < OUT_OF_ORDER_PERMILLE
            {
                before.accepted_s = before.accepted_s.max(after.accepted_s + 60);
            }
        }
        self.open.insert(number, Open { left: steps.len(), taken: Vec::new() });
        let (outage_s, restored_s) = (self.outage_s, self.outage_s + OUTAGE_HOURS * HOUR_S);
        for (at, due) in (0_u8..).zip(steps) {
            let mut accepted_s = due.accepted_s;
            if invoice.region.name == OUTAGE_REGION && (outage_s..restored_s).contains(&accepted_s) {
                // What was held back comes in the order in which it was held back.
                accepted_s = restored_s + (accepted_s - outage_s) * BURST_SECONDS / (restored_s - outage_s);
            }
            let (happened_s, step) = (due.happened_s, due.step);
            self.due.push(Reverse(Due { accepted_s, invoice: number, number: at, happened_s, step }));
        }
        Some(())
    }

    /// Takes the next step, which happened then.
    fn taken(&mut self, due: Due, happened_ns: i64) {
        self.due.pop();
        let Some(open) = self.open.get_mut(&due.invoice) else { return };
        open.left = open.left.saturating_sub(1);
        if open.left == 0 {
            self.open.remove(&due.invoice);
        } else {
            open.taken.push((due.number, happened_ns));
        }
    }

    /// When a step happened that is told now to have happened `at`, among the others of its invoice (`DEMO-3`).
    fn in_order(&self, due: Due, at: i64, accepted_ns: i64) -> i64 {
        let taken = self.open.get(&due.invoice).map_or(&[][..], |open| &open.taken);
        let earlier = taken.iter().filter(|(number, _)| *number < due.number).map(|(_, at)| *at).max();
        let later = taken.iter().filter(|(number, _)| *number > due.number).map(|(_, at)| *at).min();
        let until = later.unwrap_or(accepted_ns).min(accepted_ns);
        let behind = match earlier {
            // It waited as long before it happened as it was on its way, so that a stage's times stay believable.
            Some(earlier) if at <= earlier => earlier.midpoint(until).max(earlier.saturating_add(STEP_NS)),
            Some(_) | None => at,
        };
        // Of two so close that nothing fits between them, it happened with the later one.
        behind.min(until)
    }

    fn sent(&self, due: Due, accepted_ns: i64, happened_ns: i64) -> Sent {
        let invoice = invoice::Invoice::of(self.noise, &self.arrivals, due.invoice);
        let event = render::event(self.noise, &invoice, due.number, due.step, UtcNanos(happened_ns));
        Sent { event, accepted: UtcNanos(accepted_ns) }
    }
}

/// When the region is cut off: nine in the morning of a Tuesday, ten to sixteen days before the history's end.
fn outage_begins_s(end_s: i64) -> i64 {
    let day = end_s.div_euclid(DAY_S) - 10;
    let since_tuesday = (weekday(day * DAY_S) - 1).rem_euclid(7);
    (day - since_tuesday) * DAY_S + 9 * HOUR_S
}

impl Iterator for Traffic {
    type Item = Sent;

    fn next(&mut self) -> Option<Sent> {
        let due = self.peek().filter(|due| due.accepted_s < self.end_s)?;
        // Whole seconds would make every minute's first second a crowd.
        let fine = self.noise.between(due.invoice, noise::FINE + u64::from(due.number), 0, SECOND_NS - 1);
        let happened_ns = due.happened_s * SECOND_NS + fine;
        self.taken(due, happened_ns);
        Some(self.sent(due, due.accepted_s * SECOND_NS + fine, happened_ns))
    }
}

impl Iterator for Live {
    type Item = Sent;

    fn next(&mut self) -> Option<Sent> {
        let due = self.traffic.peek()?;
        let accepted_ns = self.now_ns;
        self.now_ns = self.now_ns.saturating_add(self.gap_ns);
        let under_way_s = (due.accepted_s - due.happened_s).clamp(0, HOUR_S);
        let told_ns = accepted_ns.saturating_sub(under_way_s * SECOND_NS);
        let happened_ns = self.traffic.in_order(due, told_ns, accepted_ns);
        self.traffic.taken(due, happened_ns);
        Some(self.traffic.sent(due, accepted_ns, happened_ns))
    }
}

#[cfg(test)]
mod tests;
