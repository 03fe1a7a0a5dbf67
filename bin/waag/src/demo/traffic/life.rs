//! An invoice's way through the four stages: by itself, by hand, with exceptions, blocks and rework, or stuck.
//!
//! Not here: when an event comes in late or overtaken (`traffic`).

use super::STUCK_PERMILLE;
use super::calendar::{DAY_S, HOUR_S, working};
use super::invoice::Invoice;
use super::noise::{self, Noise};

const MINUTE_S: i64 = 60;
/// Amounts from which an approval takes a second signature.
pub(super) const SECOND_SIGNATURE_MINOR: i64 = 10_000_000;
/// Matches that fail, in a thousand: by hand, and touchless.
const EXCEPTION_PERMILLE: (u64, u64) = (190, 30);
/// Good matches that are told when they are done, in a thousand; of the others the next step says it.
const MATCHED_PERMILLE: u64 = 600;
/// Failed matches that go back to the beginning, in a thousand.
const REWORK_PERMILLE: u64 = 350;
/// Approvals that are blocked first, in a thousand.
const BLOCK_PERMILLE: u64 = 30;
/// Copies that somebody notices and rejects, in a thousand.
const REJECT_PERMILLE: u64 = 550;
/// Payments that go out after their due date, in a thousand.
const PAID_LATE_PERMILLE: u64 = 90;
/// Most rounds of rework.
const ROUNDS_MAX: u64 = 3;

/// What happens to an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// It comes in.
    Receive,
    /// It is held against order and receipt.
    Match,
    /// It agrees with them.
    Agree,
    /// The match fails.
    Fail,
    /// It goes back to be read again.
    Rework,
    /// It waits for an approval.
    Wait,
    /// Its payment is blocked.
    Block,
    /// The block is lifted.
    Release,
    /// It is approved.
    Approve,
    /// It is booked.
    Post,
    /// It is paid.
    Clear,
    /// It is recognised as a copy.
    Reject,
}

/// The stage in which an invoice stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StuckIn {
    /// Received, never matched.
    Ingestion,
    /// In the match.
    Reconciliation,
    /// Waiting for an approval.
    Authorization,
    /// Booked, never paid.
    Posting,
}

/// A step with its times, in seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    pub(super) step: Step,
    pub(super) happened_s: i64,
    pub(super) accepted_s: i64,
}

struct Life<'i> {
    noise: Noise,
    invoice: &'i Invoice,
    at_s: i64,
    steps: Vec<Planned>,
}

/// All steps of an invoice that enters at `entered_s`, in their order.
pub(super) fn steps(noise: Noise, invoice: &Invoice, entered_s: i64) -> Vec<Planned> {
    let mut life = Life { noise, invoice, at_s: entered_s, steps: Vec::with_capacity(8) };
    life.happens(Step::Receive);
    let stuck = stuck_in(noise, invoice.number);
    if stuck != Some(StuckIn::Ingestion) {
        life.matched(stuck == Some(StuckIn::Reconciliation), stuck);
    }
    life.steps
}

/// Where this invoice stands still, if anywhere.
pub(super) fn stuck_in(noise: Noise, invoice: u32) -> Option<StuckIn> {
    match noise.permille(invoice, noise::STUCK) / STUCK_PERMILLE {
        0 => Some(StuckIn::Ingestion),
        1 => Some(StuckIn::Reconciliation),
        2 => Some(StuckIn::Authorization),
        3 => Some(StuckIn::Posting),
        _ => None,
    }
}

impl Life<'_> {
    fn is(&self, purpose: u64, permille: u64) -> bool {
        self.noise.permille(self.invoice.number, purpose) < permille
    }

    /// A step now; it comes in a few seconds after it happened.
    fn happens(&mut self, step: Step) {
        let purpose = noise::DELAY + 32 + self.steps.len() as u64;
        let under_way_s = self.noise.between(self.invoice.number, purpose, 0, 20);
        let accepted_s = self.at_s + under_way_s;
        // An invoice's next step never comes in before this one, but for those that are exchanged on purpose.
        let accepted_s = self.steps.last().map_or(accepted_s, |last| accepted_s.max(last.accepted_s + 1));
        self.steps.push(Planned { step, happened_s: self.at_s, accepted_s });
    }

    fn after(&mut self, least_s: i64, most_s: i64, by_hand: bool) {
        let purpose = noise::DELAY + self.steps.len() as u64;
        let draw = self.noise.between(self.invoice.number, purpose, 0, 1_000);
        // Most take a short while and few a long one.
        let wait_s = least_s + (most_s - least_s) * draw * draw / 1_000_000;
        self.at_s += wait_s.max(1);
        if by_hand {
            self.at_s = working(self.at_s, draw * 5);
        }
    }

    fn matched(&mut self, is_stuck: bool, stuck: Option<StuckIn>) {
        let by_hand = !self.invoice.is_touchless;
        let (least_s, most_s) = if by_hand { (HOUR_S, 40 * HOUR_S) } else { (MINUTE_S, 40 * MINUTE_S) };
        self.after(least_s, most_s, by_hand);
        self.happens(Step::Match);
        if is_stuck {
            return;
        }
        if self.invoice.is_duplicate && self.is(noise::REJECT, REJECT_PERMILLE) {
            self.after(HOUR_S, 20 * HOUR_S, true);
            return self.happens(Step::Reject);
        }
        let (hand, touchless) = EXCEPTION_PERMILLE;
        if self.is(noise::EXCEPTION, if by_hand { hand } else { touchless }) {
            self.after(MINUTE_S, 3 * HOUR_S, false);
            self.happens(Step::Fail);
            let rounds = self.noise.bits(self.invoice.number, noise::REWORK + 4_096) % ROUNDS_MAX + 1;
            let rounds = if self.is(noise::REWORK, REWORK_PERMILLE) { rounds } else { 0 };
            for _ in 0..rounds {
                self.after(2 * HOUR_S, 30 * HOUR_S, true);
                self.happens(Step::Rework);
                self.after(HOUR_S, 20 * HOUR_S, true);
                self.happens(Step::Match);
            }
            self.after(4 * HOUR_S, 60 * HOUR_S, true);
        } else {
            self.after(MINUTE_S, 10 * MINUTE_S, false);
        }
        if self.is(noise::MATCHED, MATCHED_PERMILLE) {
            self.happens(Step::Agree);
            self.after(10, 5 * MINUTE_S, false);
        }
        self.approved(stuck);
    }

    fn approved(&mut self, stuck: Option<StuckIn>) {
        let large = self.invoice.amount_minor >= SECOND_SIGNATURE_MINOR;
        let by_hand = large || !self.invoice.is_touchless;
        let is_blocked = self.is(noise::BLOCK, BLOCK_PERMILLE);
        if by_hand || is_blocked || stuck == Some(StuckIn::Authorization) {
            self.happens(Step::Wait);
        }
        if stuck == Some(StuckIn::Authorization) {
            return;
        }
        if is_blocked {
            self.after(HOUR_S, 10 * HOUR_S, true);
            self.happens(Step::Block);
            self.after(20 * HOUR_S, 120 * HOUR_S, true);
            self.happens(Step::Release);
        }
        match (large, by_hand) {
            (true, _) => self.after(6 * HOUR_S, 110 * HOUR_S, true),
            (false, true) => self.after(HOUR_S, 46 * HOUR_S, true),
            (false, false) => self.after(MINUTE_S, 15 * MINUTE_S, false),
        }
        self.happens(Step::Approve);
        self.after(5 * MINUTE_S, 6 * HOUR_S, false);
        self.happens(Step::Post);
        if stuck != Some(StuckIn::Posting) {
            self.paid();
        }
    }

    /// In the morning of the due date, or of the tenth day where that earns the discount.
    fn paid(&mut self) {
        let morning = |day: i64| day * DAY_S + 8 * HOUR_S;
        let discount = self.invoice.dated + 10;
        let earns = self.invoice.vendor.terms.starts_with("2/10") && self.at_s < morning(discount);
        let mut day = if earns { discount } else { self.invoice.due() };
        if !earns && self.is(noise::PAID_LATE, PAID_LATE_PERMILLE) {
            day += self.noise.between(self.invoice.number, noise::PAID_LATE + 4_096, 1, 9);
        }
        let spread_s = self.noise.between(self.invoice.number, noise::DELAY + 63, 0, 2 * HOUR_S);
        self.at_s = working((morning(day) + spread_s).max(self.at_s + HOUR_S), spread_s);
        self.happens(Step::Clear);
    }
}
