//! An invoice as it stands, and how an event moves it: pure, and for any event whatever it says.
//!
//! Place in the way of an event: the middle of `project`. Order is by position (`INVOICE-2`): an event whose time is
//! before the invoice's latest is marked and fills in its stage's time, and moves the invoice nowhere. Closing is
//! kept until an event says `reopened`.
//! Not here: what an event says (`event`), the stored form (`codec`), rows (`batch`).

use serde::Serialize;
use waag_model::money::Currency;

use crate::classes::Classes;
use crate::config::Config;
use crate::event::{Action, Clock, Receipt, STAGES, Stage};
use crate::gather::Told;
use crate::learn::Cohorts;
use crate::moves::{Move, Place};
use crate::names::{Name, Names};
use crate::when::HOUR_NS;

/// How an invoice stands in its stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// In the stage.
    #[default]
    InProgress,
    /// The stage is done; the next one has not begun.
    Waiting,
    /// Something went wrong.
    Failed,
    /// Held back.
    Blocked,
    /// Paid: closed.
    Paid,
    /// Rejected, cancelled or withdrawn: closed.
    Rejected,
}

/// All conditions, by the number that states store: never reordered.
pub(crate) const CONDITIONS: [Condition; 6] = [
    Condition::InProgress,
    Condition::Waiting,
    Condition::Failed,
    Condition::Blocked,
    Condition::Paid,
    Condition::Rejected,
];

impl Condition {
    /// Whether nothing more is expected.
    #[must_use]
    pub fn is_closed(self) -> bool {
        matches!(self, Self::Paid | Self::Rejected)
    }
}

/// Bits of [`Invoice::flags`].
pub(crate) mod flag {
    /// The vendor's invoice has come.
    pub(crate) const RECEIVED: u16 = 1;
    /// Its payment is approved.
    pub(crate) const APPROVED: u16 = 2;
    /// Something went wrong at some time, or it was held back.
    pub(crate) const EXCEPTION: u16 = 4;
    /// A person acted on it.
    pub(crate) const MANUAL: u16 = 8;
    /// Some event said whether a person acted.
    pub(crate) const TOUCH_KNOWN: u16 = 16;
    /// An event told of the approval; without it, an approval is implied by the posting.
    pub(crate) const APPROVAL_TOLD: u16 = 32;
    /// Its data were compared with other invoices by reference.
    pub(crate) const PRINTED_REFERENCE: u16 = 64;
    /// Its data were compared with other invoices by date.
    pub(crate) const PRINTED_DATE: u16 = 128;
    /// It may be a duplicate of an earlier invoice.
    pub(crate) const DUPLICATE: u16 = 256;
    /// The event that it was received by has no usable time.
    pub(crate) const RECEIVED_UNDATED: u16 = 512;
    /// The same of the approval that was told.
    pub(crate) const APPROVED_UNDATED: u16 = 1_024;
    /// The same of its close.
    pub(crate) const CLOSED_UNDATED: u16 = 2_048;
    /// An event told of the receipt; without it, one is implied by its being taken in.
    pub(crate) const RECEIPT_TOLD: u16 = 4_096;
    /// Its amount is that of a payment, since none was known before.
    pub(crate) const AMOUNT_PAID: u16 = 8_192;
}

/// Bits of [`Item::marks`].
pub(crate) mod mark {
    /// Its time is before the invoice's latest time.
    pub(crate) const OUT_OF_ORDER: u8 = 1;
    /// It was accepted long after its time.
    pub(crate) const LATE: u8 = 2;
    /// An earlier event says the same.
    pub(crate) const REPEATED: u8 = 4;
    /// It came after the close.
    pub(crate) const AFTER_CLOSE: u8 = 8;
    /// Its time is the time of acceptance, for want of a usable one.
    pub(crate) const TIME_ASSUMED: u8 = 16;
    /// It is in the list of odd events.
    pub(crate) const ODD: u8 = 32;
    /// It brought the invoice back to a stage.
    pub(crate) const RETURN: u8 = 64;

    /// The marks' names, by bit.
    pub(crate) const NAMES: [&str; 7] =
        ["out_of_order", "late", "repeated", "after_close", "time_assumed", "odd", "return"];
}

/// How it is known when a visit began, by the number that states store: never reordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Begin {
    /// An event said that the invoice was in the stage.
    #[default]
    Told,
    /// The first event of the visit said that the stage was done: it began when the stage before it was.
    Supposed,
    /// The first event of the visit ended it, and nothing says when the stage before it was done.
    Unknown,
}

/// The last visit to a stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// Where nothing says when it began, the time of the event that ended it.
    pub(crate) entered: Option<i64>,
    pub(crate) left: Option<i64>,
    pub(crate) visits: u32,
    pub(crate) begin: Begin,
    /// What `entered` rests on.
    pub(crate) clock: Clock,
    /// What `left` rests on.
    pub(crate) left_clock: Clock,
}

/// One event in an invoice's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) position: u64,
    pub(crate) stage: Option<Stage>,
    pub(crate) action: Action,
    pub(crate) marks: u8,
    pub(crate) at: i64,
}

/// An invoice as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Invoice {
    pub(crate) stage: Stage,
    pub(crate) condition: Condition,
    pub(crate) flags: u16,
    pub(crate) spans: [Span; 4],
    pub(crate) latest: Option<i64>,
    pub(crate) received: Option<i64>,
    pub(crate) approved: Option<i64>,
    pub(crate) closed: Option<i64>,
    pub(crate) amount: Option<i64>,
    pub(crate) currency: Option<Currency>,
    pub(crate) due: Option<i32>,
    /// The date of the vendor's invoice, while it is to be compared with others by it.
    pub(crate) dated: Option<i32>,
    /// A hash of the vendor's own number, while it is to be compared with others by it.
    pub(crate) reference: Option<u64>,
    pub(crate) vendor: Name,
    pub(crate) vendor_class: Name,
    pub(crate) region: Name,
    pub(crate) loops: u32,
    pub(crate) events: u64,
    /// Hours since 1970; none when closed, or without a service level.
    pub(crate) deadline: Option<i64>,
    /// The history since the last chunk of it went to a row of its own.
    pub(crate) history: Vec<Item>,
    /// Chunks of the history in rows of their own.
    pub(crate) chunks: u32,
}

/// What deadlines rest on.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) config: &'a Config,
    pub(crate) cohorts: &'a Cohorts,
    pub(crate) classes: &'a Classes,
}

/// What an event did, for the figures.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) marks: u8,
    pub(crate) entered: bool,
    pub(crate) failed: bool,
    /// A stage that was left, and nanoseconds in it.
    pub(crate) sample: Option<(Stage, i64)>,
    /// Into a stage, and out of the last one.
    pub(crate) moves: [Option<Move>; 2],
}

impl Invoice {
    pub(crate) fn has(&self, flags: u16) -> bool {
        self.flags & flags == flags
    }

    fn set(&mut self, flags: u16, is: bool) {
        self.flags = if is { self.flags | flags } else { self.flags & !flags };
    }

    pub(crate) fn span(&self, stage: Stage) -> Span {
        self.spans.get(usize::from(stage.number())).copied().unwrap_or_default()
    }

    fn span_mut(&mut self, stage: Stage) -> &mut Span {
        let [ingestion, reconciliation, authorization, posting] = &mut self.spans;
        match stage {
            Stage::Ingestion => ingestion,
            Stage::Reconciliation => reconciliation,
            Stage::Authorization => authorization,
            Stage::Posting => posting,
        }
    }

    /// Takes the next event in the order of positions.
    pub(crate) fn evolve(&mut self, event: &Told, names: &Names, rules: Rules<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        let timed = event.said.clock == Clock::Told;
        let disordered = timed && self.latest.is_some_and(|latest| event.said.at < latest);
        let late_ns = i64::from(rules.config.late_hours).saturating_mul(HOUR_NS);
        let mark = |is: bool, bit: u8| if is { bit } else { 0 };
        outcome.marks = mark(disordered, mark::OUT_OF_ORDER)
            | mark(timed && event.said.accepted.saturating_sub(event.said.at) > late_ns, mark::LATE)
            | mark(self.said_before(event), mark::REPEATED)
            | mark(!timed, mark::TIME_ASSUMED)
            | mark(event.said.odd != 0, mark::ODD);
        self.merge(event, disordered);
        let was_closed = self.condition.is_closed();
        if let Some(stage) = event.said.stage {
            let was_approved = self.has(flag::APPROVED);
            self.note(event, &mut outcome);
            self.step(stage, event, disordered, &mut outcome);
            // Closing, opening again and approving change what an invoice waits for whenever they are told.
            let is_approved = self.has(flag::APPROVED) && !was_approved;
            if !disordered || is_approved || was_closed || self.condition.is_closed() {
                self.deadline = rules.deadline(self, names);
            }
            if timed {
                self.latest = self.latest.max(Some(event.said.at));
            }
        } else {
            // Of no stage that is known, it says nothing of where the invoice is.
            outcome.marks |= mark(was_closed, mark::AFTER_CLOSE);
        }
        self.events = self.events.saturating_add(1);
        self.history.push(Item {
            position: event.said.position,
            stage: event.said.stage,
            action: event.said.action,
            marks: outcome.marks,
            at: event.said.at,
        });
        outcome
    }

    /// Whether the history at hand has an event of the same stage, action and time.
    fn said_before(&self, event: &Told) -> bool {
        let same = |item: &Item| {
            item.at == event.said.at && item.stage == event.said.stage && item.action == event.said.action
        };
        event.said.clock == Clock::Told && self.history.iter().any(same)
    }

    /// Takes what the event tells of the invoice: the newest word counts, an older one only where there was none.
    fn merge(&mut self, event: &Told, disordered: bool) {
        fn put<T>(old: &mut Option<T>, new: Option<T>, disordered: bool) {
            if new.is_some() && (!disordered || old.is_none()) {
                *old = new;
            }
        }
        // What was paid may be less than the invoice is worth: a discount, or a fee.
        let is_payment = event.said.action == Action::Pay;
        let is_better = !is_payment && event.said.amount.is_some() && self.has(flag::AMOUNT_PAID);
        let is_worse = (disordered || (is_payment && self.amount.is_some())) && !is_better;
        let pays_first = is_payment && event.said.amount.is_some() && self.amount.is_none();
        put(&mut self.amount, event.said.amount, is_worse);
        put(&mut self.currency, event.said.currency, is_worse);
        self.set(flag::AMOUNT_PAID, pays_first || (self.has(flag::AMOUNT_PAID) && !is_better));
        put(&mut self.due, event.said.due, disordered);
        if !self.has(flag::PRINTED_DATE) {
            put(&mut self.dated, event.said.dated, disordered);
        }
        if !self.has(flag::PRINTED_REFERENCE) {
            put(&mut self.reference, event.reference, disordered);
        }
        let name = |old: &mut Name, new: Name| {
            if !new.is_none() && (!disordered || old.is_none()) {
                *old = new;
            }
        };
        name(&mut self.vendor, event.vendor);
        name(&mut self.vendor_class, event.vendor_class);
        name(&mut self.region, event.region);
        match event.said.manual {
            Some(true) => self.flags |= flag::TOUCH_KNOWN | flag::MANUAL,
            Some(false) => self.flags |= flag::TOUCH_KNOWN,
            None => {}
        }
    }

    /// What holds whenever it was said: received, approved, went wrong.
    fn note(&mut self, event: &Told, outcome: &mut Outcome) {
        outcome.failed = event.said.exception || matches!(event.said.action, Action::Fail | Action::Block);
        if outcome.failed {
            self.flags |= flag::EXCEPTION;
        }
        // The first word of each counts; one without a usable time, only until there is one with it.
        let is_dated = event.said.clock.is_dated();
        let was = self.flags;
        let is_first = |known, undated| was & known == 0 || (is_dated && was & undated != 0);
        // A receipt that is told counts more than one that is only implied, unless nobody knows when it was.
        let is_received = match event.said.receipt {
            Receipt::None => false,
            Receipt::Implied => is_first(flag::RECEIVED, flag::RECEIVED_UNDATED),
            Receipt::Told => {
                is_first(flag::RECEIVED, flag::RECEIVED_UNDATED)
                    || (is_dated && was & flag::RECEIPT_TOLD == 0)
            }
        };
        if is_received {
            self.flags |= flag::RECEIVED;
            self.set(flag::RECEIPT_TOLD, event.said.receipt == Receipt::Told);
            self.set(flag::RECEIVED_UNDATED, !is_dated);
            self.received = Some(event.said.at);
        }
        // An approval that is told counts more than one that was only implied before it.
        if event.said.action == Action::Approve && is_first(flag::APPROVAL_TOLD, flag::APPROVED_UNDATED) {
            self.flags |= flag::APPROVED | flag::APPROVAL_TOLD;
            self.set(flag::APPROVED_UNDATED, !is_dated);
            self.approved = Some(event.said.at);
        }
    }

    fn step(&mut self, stage: Stage, event: &Told, disordered: bool, outcome: &mut Outcome) {
        let closes = matches!(event.said.action, Action::Pay | Action::Reject);
        if self.condition.is_closed() {
            if event.said.action != Action::Reopen {
                outcome.marks |= mark::AFTER_CLOSE;
                self.fill(stage, event);
                return;
            }
            self.closed = None;
        } else if disordered && !closes {
            self.fill(stage, event);
            return;
        }
        let from = self.place();
        self.enter(stage, event, outcome);
        if outcome.entered {
            outcome.moves[0] = Some(Move { from, to: Place::In(stage) });
        }
        match event.said.action {
            Action::Enter | Action::Receive | Action::Release | Action::Reopen => {
                self.condition = Condition::InProgress;
            }
            Action::Fail => self.condition = Condition::Failed,
            Action::Block => self.condition = Condition::Blocked,
            Action::Leave | Action::Approve => {
                if ends_visit(stage, event.said.action) {
                    self.leave(event, outcome);
                }
                self.condition = Condition::Waiting;
            }
            Action::Pay | Action::Reject => {
                self.leave(event, outcome);
                self.closed = Some(event.said.at);
                self.set(flag::CLOSED_UNDATED, !event.said.clock.is_dated());
                let paid = event.said.action == Action::Pay;
                self.condition = if paid { Condition::Paid } else { Condition::Rejected };
                outcome.moves[1] = Some(Move { from: Place::In(stage), to: self.place() });
            }
        }
    }

    /// Where it is.
    fn place(&self) -> Place {
        match self.condition {
            Condition::Paid => Place::Paid,
            Condition::Rejected => Place::Rejected,
            Condition::InProgress | Condition::Waiting | Condition::Failed | Condition::Blocked => {
                let began = self.spans.iter().any(|span| span.visits > 0);
                if began { Place::In(self.stage) } else { Place::Outside }
            }
        }
    }

    /// A stage's time from an event that moves nothing.
    fn fill(&mut self, stage: Stage, event: &Told) {
        let (at, clock) = (event.said.at, event.said.clock);
        let ends = ends_visit(stage, event.said.action);
        let is_elsewhere = self.stage != stage || self.condition.is_closed();
        let span = self.span_mut(stage);
        if span.visits == 0 {
            *span = Span { entered: Some(at), visits: 1, clock, ..Span::default() };
            // A word that the stage is done tells its end and nothing of its begin.
            if ends {
                (span.begin, span.left, span.left_clock) = (Begin::Unknown, Some(at), clock);
            }
        } else if span.visits == 1 && span.clock == Clock::Told && clock == Clock::Told {
            let is_after = span.entered.is_some_and(|entered| entered <= at);
            // That the invoice went elsewhere says only that the stage was done by then.
            if ends && is_elsewhere && is_after && span.left.is_none_or(|left| at < left) {
                (span.left, span.left_clock) = (Some(at), clock);
                return;
            }
            let tells_begin = !is_end(event.said.action) && span.left.is_none_or(|left| at <= left);
            if span.begin != Begin::Told && tells_begin {
                (span.entered, span.begin) = (Some(at), Begin::Told);
            } else if !is_end(event.said.action) {
                span.entered = span.entered.map(|entered| entered.min(at));
            }
        }
    }

    /// Brings the invoice into a stage, out of the one it is in.
    fn enter(&mut self, stage: Stage, event: &Told, outcome: &mut Outcome) {
        let began = self.spans.iter().any(|span| span.visits > 0);
        let here = self.span(stage);
        let finished = here.left.is_some();
        let is_end = is_end(event.said.action);
        let mut begin = Begin::Told;
        let mut entered = event.said.at;
        if began && self.stage == stage && here.visits > 0 {
            // A second word that a stage is done does not begin it again.
            if !finished || is_end {
                return;
            }
        } else if let Some(left) = self.done_before(stage, event).filter(|_| began && is_end) {
            (begin, entered) = (Begin::Supposed, left);
        } else if ends_visit(stage, event.said.action) {
            begin = Begin::Unknown;
        }
        if began && self.span(self.stage).left.is_none() {
            self.leave(event, outcome);
        }
        if here.visits > 0 {
            self.loops = self.loops.saturating_add(1);
            outcome.marks |= mark::RETURN;
        }
        let visits = here.visits.saturating_add(1);
        let clock = event.said.clock;
        *self.span_mut(stage) = Span { entered: Some(entered), visits, begin, clock, ..Span::default() };
        self.stage = stage;
        outcome.entered = true;
        // Whoever posts an invoice takes it for approved.
        let implied = stage == Stage::Posting && event.said.action != Action::Reject;
        if implied && !self.has(flag::APPROVED) {
            self.flags |= flag::APPROVED;
            self.approved = Some(event.said.at);
        }
    }

    /// When the stage that the invoice is in was done, as far as that says when the next one began: that is a later
    /// stage, and the two times are of one clock and in order.
    fn done_before(&self, stage: Stage, event: &Told) -> Option<i64> {
        let last = self.span(self.stage);
        let is_alike = stage > self.stage && last.left_clock == event.said.clock;
        last.left.filter(|left| is_alike && *left <= event.said.at)
    }

    /// Ends the visit to the stage the invoice is in; a visit of which nobody knows when it began gives no sample.
    fn leave(&mut self, event: &Told, outcome: &mut Outcome) {
        let stage = self.stage;
        let span = self.span_mut(stage);
        if span.left.is_some() {
            return;
        }
        (span.left, span.left_clock) = (Some(event.said.at), event.said.clock);
        let took = span.entered.and_then(|entered| event.said.at.checked_sub(entered));
        // Times told and times assumed are two clocks.
        let is_known =
            span.begin != Begin::Unknown && span.clock == event.said.clock && span.clock.is_dated();
        if let Some(took) = took.filter(|took| *took >= 0 && is_known) {
            outcome.sample = Some((stage, took));
        }
    }
}

/// Whether an event says that the stage it names is done, and so nothing of when it began.
fn is_end(action: Action) -> bool {
    match action {
        Action::Leave | Action::Approve | Action::Pay | Action::Reject => true,
        Action::Enter | Action::Receive | Action::Fail | Action::Block | Action::Release | Action::Reopen => {
            false
        }
    }
}

/// Whether such an event ends the visit: posting is done with the payment, to which a posted invoice waits there.
fn ends_visit(stage: Stage, action: Action) -> bool {
    let is_close = matches!(action, Action::Pay | Action::Reject);
    is_close || (is_end(action) && stage != Stage::Posting)
}

impl Rules<'_> {
    /// The hour after which the invoice is stuck: the earlier of its service level and what its cohort learned, rounded
    /// up to the hour, or the end of an approved one's due date.
    fn deadline(&self, invoice: &Invoice, names: &Names) -> Option<i64> {
        if invoice.condition.is_closed() {
            return None;
        }
        let span = invoice.span(invoice.stage);
        let (stage, from) = match span.left {
            Some(left) => (invoice.stage.next(), left),
            None => (invoice.stage, span.entered?),
        };
        let is_to_be_paid = self.config.payment_by_due_date && invoice.has(flag::APPROVED);
        if let Some(due) = invoice.due.filter(|_| is_to_be_paid) {
            return Some((i64::from(due) + 1) * 24);
        }
        let currency = invoice.currency.as_ref().map_or("", Currency::code);
        let class = names.text(invoice.vendor_class);
        let level = self.config.hours(stage, class, currency, invoice.amount);
        let level = level.map(|hours| i64::from(hours).saturating_mul(HOUR_NS));
        let allowed = match (level, self.cohorts.p95(stage, self.classes.of(invoice.vendor_class))) {
            (Some(level), Some(learned)) => level.min(learned),
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => return None,
        };
        let end = from.saturating_add(allowed);
        Some(end.div_euclid(HOUR_NS) + i64::from(end.rem_euclid(HOUR_NS) > 0))
    }
}

/// The names of marks.
pub(crate) fn mark_names(marks: u8) -> Vec<&'static str> {
    let bits = mark::NAMES.iter().enumerate();
    bits.filter(|(bit, _)| marks.checked_shr(u32::try_from(*bit).unwrap_or(0)).unwrap_or(0) & 1 == 1)
        .map(|(_, name)| *name)
        .collect()
}

/// All stages with their spans.
pub(crate) fn spans(invoice: &Invoice) -> impl Iterator<Item = (Stage, Span)> + '_ {
    STAGES.into_iter().map(|stage| (stage, invoice.span(stage)))
}
