//! Where events go: the contract of a target, and what becomes of one delivery.
//!
//! Place: the last step of *deliver*. The router decides what is delivered when, and what follows from an outcome; a target
//! only carries. Drivers implement [`Target`] (webhooks, brokers), and so does any handler in the same process.
//! Not here: pulling, which needs no target: the subscriber asks the router.
//!
//! Invariants:
//! - `TARGET-1`: every delivery gets one outcome; a reply that is dropped unanswered is a transient failure.
//! - `TARGET-2`: what a target takes long for, or gets wrong, is told of its own deliveries only.

use std::sync::Arc;
use std::time::Duration;

use waag_model::ids::LedgerId;

use crate::source::Event;

/// Most characters of a response that are kept.
pub const SNIPPET_CHARS_MAX: usize = 200;

/// The code of a failure by which a subscriber itself refuses an event, or puts it off.
pub const REFUSED: &str = "E1149";

/// One attempt to deliver one event.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The subscription's name.
    pub subscription: Arc<str>,
    /// The ledger that the event is in; with the position, the event's lasting identity at the target.
    pub ledger: LedgerId,
    /// The event.
    pub event: Arc<Event>,
    /// What is delivered instead of the event's own JSON, where the subscription transforms it.
    pub transformed: Option<Arc<[u8]>>,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// The replay it belongs to, where it is one.
    pub replay: Option<u32>,
    /// How long the target may take; afterwards the attempt counts as failed whatever comes.
    pub timeout: Duration,
}

impl Delivery {
    /// What is to be carried, and whether it is the CloudEvent itself.
    #[must_use]
    pub fn body(&self) -> (&[u8], bool) {
        match &self.transformed {
            Some(body) => (body, false),
            None => (&self.event.json, true),
        }
    }

    /// The identity of the event, the same in every attempt and replay: ledger id in hexadecimal, `-`, position.
    #[must_use]
    pub fn message_id(&self) -> String {
        format!("{}-{}", self.ledger, self.event.position.0)
    }
}

/// What kind of failure it was, which decides what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// May pass by itself: the connection broke, a time ran out, the target failed.
    Transient,
    /// The target asks for less: tried again later, and not counted against the most attempts.
    Throttled,
    /// Trying again is of no use: the target refuses this event.
    Terminal,
    /// The target is gone for good (HTTP 410): the subscription is disabled, and the event stays.
    Gone,
}

impl Class {
    /// The name shown to people and stored.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Throttled => "throttled",
            Self::Terminal => "terminal",
            Self::Gone => "gone",
        }
    }
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What follows from it.
    pub class: Class,
    /// A stable code (`E11xx`).
    pub code: &'static str,
    /// What happened, in one sentence fragment without secrets.
    pub reason: String,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// How long the target asks to be left alone.
    pub retry_after: Option<Duration>,
    /// The beginning of what it answered; at most [`SNIPPET_CHARS_MAX`] characters are kept.
    pub response: String,
}

impl Failure {
    /// A failure without an answer.
    #[must_use]
    pub fn new(class: Class, code: &'static str, reason: impl Into<String>) -> Self {
        Self { class, code, reason: reason.into(), status: None, retry_after: None, response: String::new() }
    }
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target has it; the status, where there was one.
    Delivered(Option<u16>),
    /// It does not.
    Failed(Failure),
}

/// Takes outcomes.
pub trait Settle: Send + Sync {
    /// The attempt with this serial has come out so. Called once for each, from any thread; must not block.
    fn settle(&self, serial: u64, outcome: Outcome);
}

/// The one answer that a target owes for a delivery (`TARGET-1`).
pub struct Reply {
    settle: Arc<dyn Settle>,
    serial: u64,
    is_given: bool,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").field("serial", &self.serial).finish_non_exhaustive()
    }
}

impl Reply {
    /// The answer to the attempt of this serial.
    #[must_use]
    pub fn new(settle: Arc<dyn Settle>, serial: u64) -> Self {
        Self { settle, serial, is_given: false }
    }

    /// Answers.
    pub fn give(mut self, outcome: Outcome) {
        self.is_given = true;
        self.settle.settle(self.serial, outcome);
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.is_given {
            let lost = Failure::new(Class::Transient, "E1160", "the target gave no answer");
            self.settle.settle(self.serial, Outcome::Failed(lost));
        }
    }
}

/// Carries events to one place.
pub trait Target: Send + Sync {
    /// Begins one delivery. Must not block: what takes time is done elsewhere, and answered through `reply` from any
    /// thread, also before this returns. Deliveries of different keys may be under way at the same time, up to the
    /// subscription's concurrency; one key has one at a time. The target must not retry by itself, nor assume that an event
    /// comes only once.
    fn deliver(&self, delivery: Delivery, reply: Reply);
}
