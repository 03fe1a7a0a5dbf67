//! What the router tells about itself, and what it is asked: one JSON form for the API, the command line and the pages.
//!
//! Times are nanoseconds since 1970, UTC, in members that end in `_ns`. Nothing here has a secret in it, but for the one that
//! is told once when it is made.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::spec::Spec;

/// Most dead letters on one page.
pub const LETTERS_MAX: usize = 500;
/// Most events of one pull.
pub const PULL_MAX: usize = 1_000;
/// Longest wait of a pull, in milliseconds.
pub const PULL_WAIT_MS_MAX: u64 = 60_000;
/// Most attempts that are remembered of one subscription.
pub const ATTEMPTS_SHOWN_MAX: usize = 50;
/// Most parked keys that are shown of one subscription.
pub const PARKED_SHOWN_MAX: usize = 100;
/// Most redriven, discarded or replayed events a second, where nothing else is asked for.
pub const RATE_DEFAULT: u32 = 1_000;
/// The highest rate that may be asked for.
pub const RATE_MAX: u32 = 100_000;

/// Whether a subscription delivers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Standing {
    /// It does.
    #[default]
    Active,
    /// Somebody paused it.
    Paused {
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// When.
        at_ns: i64,
    },
    /// It stopped by itself: an event was given up under the policy `halt`, the target is gone, or a limit is reached.
    Stopped {
        /// The stable code.
        code: String,
        /// Why.
        reason: String,
        /// When.
        at_ns: i64,
    },
}

/// A subscription and how it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// What it is.
    pub spec: Spec,
    /// Whether it delivers.
    pub standing: Standing,
    /// When it was made.
    pub created_ns: i64,
    /// Who made it.
    pub created_by: String,
    /// How far it is behind: events that it wants and that are neither delivered nor dead letters, whether they wait, are
    /// under way or lie behind a parked key, and those of the ledger that it has not looked at.
    pub lag_events: u64,
    /// Of these, those that it has not looked at; not all of them need be its own.
    pub unread_events: u64,
    /// Everything below this position is delivered, a dead letter, or waits in the state.
    pub settled_to: u64,
    /// Deliveries a second, over the last ten seconds.
    pub rate: f64,
    /// Deliveries since the node's start.
    pub delivered: u64,
    /// Failed attempts since the node's start.
    pub failed: u64,
    /// Attempts, or leases, under way.
    pub under_way: u64,
    /// Keys that wait for a further attempt.
    pub waiting_keys: u64,
    /// Keys that wait for a dead letter to be redriven or discarded.
    pub parked_keys: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// The lowest position that is under way or waits.
    pub oldest_position: Option<u64>,
    /// When that event was committed, where that is at hand.
    pub oldest_ns: Option<i64>,
    /// When the first of the waiting keys is tried again.
    pub next_attempt_ns: Option<i64>,
    /// For how many more milliseconds its target is left alone since it only fails.
    pub left_alone_ms: Option<u64>,
    /// Jobs under way.
    pub jobs: Vec<u32>,
}

/// An attempt as it is remembered, the newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptShown {
    /// When it ended.
    pub at_ns: i64,
    /// The event.
    pub position: u64,
    /// Which attempt it was.
    pub number: u32,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The HTTP status, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it failed; none where it was delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureShown>,
    /// The replay it belonged to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<u32>,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureShown {
    /// `transient`, `throttled`, `terminal` or `gone`.
    pub class: String,
    /// The stable code.
    pub code: String,
    /// What happened.
    pub reason: String,
    /// The beginning of the answer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub response: String,
}

/// A parked key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedKey {
    /// The key's hash or tag, in hexadecimal.
    pub key: String,
    /// The dead letter it waits for.
    pub position: u64,
}

/// A subscription in detail.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Detail {
    /// How it stands.
    pub overview: Overview,
    /// Its last attempts, at most [`ATTEMPTS_SHOWN_MAX`].
    pub attempts: Vec<AttemptShown>,
    /// Parked keys, at most [`PARKED_SHOWN_MAX`].
    pub parked: Vec<ParkedKey>,
    /// Its jobs, the newest first.
    pub jobs: Vec<JobShown>,
}

/// A subscription that was made, or got a new secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Created {
    /// How it stands.
    pub overview: Overview,
    /// The target's secret, where Waag made one; told here and never again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// A subscription that was changed: how it stands, and beside it the secret of a target in another place.
#[derive(Clone, Debug, Serialize)]
pub struct Changed {
    /// How it stands.
    #[serde(flatten)]
    pub overview: Overview,
    /// The target's secret, where Waag made one; told here and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl<'de> Deserialize<'de> for Changed {
    /// In two readings of one text, since what is flattened has no texts of its own (a pattern's).
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Beside {
            #[serde(default)]
            secret: Option<String>,
        }
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let wrong = |error: serde_json::Error| serde::de::Error::custom(error);
        let overview = serde_json::from_str(text.get()).map_err(wrong)?;
        let Beside { secret } = serde_json::from_str(text.get()).map_err(wrong)?;
        Ok(Self { overview, secret })
    }
}

/// Which dead letters; what is not named does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Of events from this position on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Of events below this position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// Of events whose type begins so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Given up with this code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Given up with a failure of this class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Of this key, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Given up at this time or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ns: Option<i64>,
    /// Given up before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_ns: Option<i64>,
}

impl Filter {
    /// The dead letter of one position.
    #[must_use]
    pub fn one(position: u64) -> Self {
        Self { from: Some(position), to: position.checked_add(1), ..Self::default() }
    }
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterShown {
    /// The event.
    pub position: u64,
    /// Its type.
    pub kind: String,
    /// Its key, in hexadecimal.
    pub key: String,
    /// Whether its key waits for it.
    pub parks: bool,
    /// Attempts in all.
    pub attempts: u32,
    /// When it was tried first.
    pub first_ns: i64,
    /// When it was given up.
    pub last_ns: i64,
    /// The last failure.
    pub failure: FailureShown,
    /// The last HTTP status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The last job that tried it in vain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<u32>,
}

/// Dead letters in the order of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterPage {
    /// At most as many as were asked for.
    pub letters: Vec<LetterShown>,
    /// Where to go on: the position to ask behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobKind {
    /// Tries dead letters again.
    Redrive,
    /// Discards dead letters.
    Discard,
    /// Delivers a span of the ledger again, marked.
    Replay,
}

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// It goes on, also after a restart.
    Running,
    /// It has done all.
    Done,
    /// Somebody ended it; what it had not come to is as it was.
    Cancelled,
}

/// A job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobShown {
    /// Its number.
    pub number: u32,
    /// What it does.
    pub kind: JobKind,
    /// For which subscription.
    pub subscription: String,
    /// How it stands.
    pub state: JobState,
    /// Who asked for it.
    pub by: String,
    /// Why: required for discarding.
    pub reason: String,
    /// Which dead letters, for redrive and discard.
    pub filter: Filter,
    /// From this position, for replay.
    pub from: u64,
    /// Up to this position, for replay.
    pub to: u64,
    /// Which events, for replay; the subscription's own pattern where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Box<RawValue>>,
    /// Most events a second; 0 is no limit, for replay only.
    pub rate: u32,
    /// How many there were to do when it began; for replay, positions.
    pub total: u64,
    /// How many it has come to.
    pub done: u64,
    /// Of these, delivered or discarded.
    pub succeeded: u64,
    /// Of these, given up again.
    pub failed: u64,
    /// Of these, waiting for a further attempt.
    pub waits: u64,
    /// When it began.
    pub started_ns: i64,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ns: Option<i64>,
}

/// What a replay delivers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplayAsked {
    /// From this position on; 0 where neither this nor a time is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Up to, not including, this position; the end of the ledger where neither this nor a time is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// From the first event committed at this time or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ns: Option<i64>,
    /// Up to the first event committed at this time or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_ns: Option<i64>,
    /// Which of them; the subscription's own pattern where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Box<RawValue>>,
    /// Most events a second, [`RATE_DEFAULT`] where nothing is said; 0 is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// Why.
    pub reason: String,
}

/// A leased event.
#[derive(Clone, Debug)]
pub struct Leased {
    /// Names the lease; every answer names it.
    pub lease: String,
    /// The event's position.
    pub position: u64,
    /// The event's type.
    pub kind: String,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// The replay it belongs to.
    pub replay: Option<u32>,
    /// How long it is leased, in milliseconds.
    pub lease_ms: u64,
    /// What is delivered: the event's JSON, or what the transformation made of it.
    pub body: Vec<u8>,
}

/// An answer to a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LeaseAnswer {
    /// It is done.
    Acknowledge {
        /// The lease.
        lease: String,
    },
    /// It needs more time: as long again from now on.
    Extend {
        /// The lease.
        lease: String,
    },
    /// It could not be done.
    Reject {
        /// The lease.
        lease: String,
        /// Whether trying again is of no use.
        #[serde(default)]
        terminal: bool,
        /// Not before so many milliseconds.
        #[serde(default)]
        retry_after_ms: Option<u64>,
        /// Why.
        #[serde(default)]
        reason: String,
    },
}

impl LeaseAnswer {
    /// The lease that it answers.
    #[must_use]
    pub fn lease(&self) -> &str {
        match self {
            Self::Acknowledge { lease } | Self::Extend { lease } | Self::Reject { lease, .. } => lease,
        }
    }
}

/// What the router has done since its start, and how it stands, over all subscriptions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Subscriptions.
    pub subscriptions: u64,
    /// Of these, stopped by themselves.
    pub stopped: u64,
    /// Deliveries.
    pub delivered: u64,
    /// Failed attempts.
    pub failed: u64,
    /// Events given up.
    pub given_up: u64,
    /// Dead letters there are.
    pub dead_letters: u64,
    /// The greatest lag of a subscription, in events; those that are paused or stopped are behind as well.
    pub lag_events_max: u64,
    /// For how long the oldest event has been in the ledger that a subscription has neither got nor looked past, in seconds.
    pub oldest_undelivered_s: u64,
    /// Keys that wait.
    pub waiting_keys: u64,
    /// Keys that are parked.
    pub parked_keys: u64,
    /// Events not shown to subscriptions since too many causes stand before them.
    pub too_deep: u64,
    /// Events that no pattern could be held against; subscriptions without a pattern got them.
    pub unreadable: u64,
}
