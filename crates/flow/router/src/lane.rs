//! One stream of deliveries, as a step function: what is offered comes out in the order of each key.
//!
//! Place: the heart of *deliver*. A lane knows nothing of threads, disks or targets: time, events and outcomes are passed in,
//! deliveries, changes of the state and effects come out. The runtime and the tests run the same type.
//!
//! ```text
//!            offer            dispatch           settle
//! ledger ──► window ──► key's queue ──► in flight ──► done
//!              ▲            │   ▲            │
//!              │            ▼   │ refill     ├─► again later: a record `q`; what is behind it waits as records, too
//!           (crash)       the state ◄────────┴─► given up:    a record `d` (left behind) or `p` (its key waits)
//! ```
//!
//! The window holds what was read and is not settled; the low position is where it begins, and where reading begins after a
//! crash. An event that fails leaves the window for the state, with all of its key behind it, so that the window goes on:
//! no key waits for another.
//!
//! Invariants, each a property of `lane/tests`:
//! - `ROUTE-1`: of one key, at most one event is under way, and none before those of lower position are delivered, given up
//!   and left behind, or discarded; a redriven event goes before all that are not under way.
//! - `ROUTE-2`: what was offered is delivered, waits, or is a dead letter; a crash at any step forgets none of it.
//! - `ROUTE-3`: an outcome counts only while its attempt is under way; a late one is refused.
//! - `ROUTE-4`: a key that fails, waits or is parked keeps no other key from being delivered.
//! - `ROUTE-5`: memory is bounded: the window, [`ITEMS_MAX`] events of a waiting key, [`KEYS_WAITING_MAX`] such keys.
//!
//! Not here: matching, reading, the commit (`core`), records' bytes (`records`), keys' queues (`lane/queue`), leaving a
//! failing target alone (`lane/breaker`), delays (`lane/delay`), outcomes (`lane/outcome`), dead letters (`lane/letters`).

mod breaker;
mod delay;
mod letters;
mod load;
mod outcome;
mod queue;
mod spill;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use waag_model::time::UtcNanos;

use crate::lane::breaker::{Breaker, Turn};
use crate::lane::queue::{Block, Item, Origin, Queue};
use crate::records::{Changes, DeadLetter, Key, LaneId, Queued, queued_key};
use crate::source::Event;
use crate::spec::{OnFailure, Retry};
use crate::target::{Class, Failure, Outcome};

pub use breaker::DISABLED_AFTER_S;

/// Most events of a waiting key that are known in memory; those behind them are found in the state.
pub const ITEMS_MAX: usize = 16;
/// Most keys that may wait in one lane; one more halts it.
pub const KEYS_WAITING_MAX: usize = 1_000_000;
/// While fewer keys wait, the failed events themselves are kept for their next attempt.
const KEPT_KEYS_MAX: usize = 1_000;
/// Longest time that a throttling target is left alone at a time, in seconds.
const THROTTLED_S_MAX: u64 = 3_600;

/// The time: for durations, and for what is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Never goes back.
    pub mono: Duration,
    /// The calendar.
    pub utc: UtcNanos,
}

/// How a lane delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Most keys under way.
    pub concurrency: usize,
    /// How long an attempt, or a lease, is in force.
    pub timeout: Duration,
    /// How often it is tried again.
    pub retry: Retry,
    /// What follows when an event is given up.
    pub on_failure: OnFailure,
    /// Whether a target that only fails is left alone for a while.
    pub breaks: bool,
    /// Most events read and not settled.
    pub window_max: usize,
}

/// An attempt that is to begin.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Names it in this run of the router.
    pub serial: u64,
    /// The event.
    pub event: Arc<Event>,
    /// Which attempt it is, from 1.
    pub number: u32,
    /// Its key.
    pub key: Key,
}

/// What became of an attempt that was settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The event.
    pub position: u64,
    /// Which attempt it was.
    pub number: u32,
    /// When it had begun.
    pub begun: Duration,
}

/// What became of a dead letter that was tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redriven {
    /// It was delivered, and is none any more.
    Delivered,
    /// It waits for a further attempt like any event, and is no dead letter any more.
    Waits,
    /// It was given up again.
    GivenUp,
}

/// What the runtime has to do or tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// An event was given up; its record is among the changes.
    GaveUp {
        /// Its position.
        position: u64,
        /// What is known of it.
        letter: DeadLetter,
        /// Whether its key waits for it.
        parks: bool,
    },
    /// A dead letter that was redriven has come out so.
    Redriven(u64, Redriven),
    /// The lane has stopped: code and reason.
    Halted(&'static str, String),
    /// The target is gone: code and reason.
    Disabled(&'static str, String),
    /// The target only fails, and is left alone for so long.
    LeftAlone(Duration),
    /// It takes events again.
    Recovered,
}

struct Flight {
    key: Key,
    position: u64,
    number: u32,
    begun: Duration,
    deadline: Duration,
}

/// One stream of deliveries.
pub struct Lane {
    id: LaneId,
    policy: Policy,
    /// What was read and not settled, in order; `true` where it is settled and something before it is not.
    window: VecDeque<(u64, bool)>,
    unsettled: usize,
    /// Waiting events that have records, those included that are not in memory.
    queued: u64,
    read_to: u64,
    queues: HashMap<Key, Queue>,
    ready: VecDeque<Key>,
    /// Heads whose events have to be read again.
    bodies: BTreeMap<u64, Key>,
    refills: BTreeSet<Key>,
    due: BTreeSet<(Duration, Key)>,
    waiting: usize,
    parked: usize,
    flights: HashMap<u64, Flight>,
    deadlines: BTreeSet<(Duration, u64)>,
    /// The target asked to be left alone until then.
    throttled_until: Duration,
    breaker: Breaker,
    /// Positions at or above the low one that have records already: they were read before the last end of the process.
    known: BTreeSet<u64>,
    /// Keys with such records: what is offered of them below this position was settled before that end.
    settled: HashMap<Key, u64>,
    changes: Changes,
    effects: Vec<Effect>,
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane").field("id", &self.id).field("read_to", &self.read_to).finish_non_exhaustive()
    }
}

impl Lane {
    /// A lane that has settled everything below `low`.
    #[must_use]
    pub fn new(id: LaneId, policy: Policy, low: u64) -> Self {
        Self {
            id,
            policy,
            window: VecDeque::new(),
            unsettled: 0,
            queued: 0,
            read_to: low,
            queues: HashMap::new(),
            ready: VecDeque::new(),
            bodies: BTreeMap::new(),
            refills: BTreeSet::new(),
            due: BTreeSet::new(),
            waiting: 0,
            parked: 0,
            flights: HashMap::new(),
            deadlines: BTreeSet::new(),
            throttled_until: Duration::ZERO,
            breaker: Breaker::default(),
            known: BTreeSet::new(),
            settled: HashMap::new(),
            changes: Changes::new(),
            effects: Vec::new(),
        }
    }

    /// Takes over another policy; attempts under way keep their deadlines.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Whose it is.
    #[must_use]
    pub fn id(&self) -> LaneId {
        self.id
    }

    /// Everything below is settled or in the state.
    #[must_use]
    pub fn low(&self) -> u64 {
        self.window.front().map_or(self.read_to, |(position, _)| *position)
    }

    /// Everything below was offered, or is none of this lane's.
    #[must_use]
    pub fn read_to(&self) -> u64 {
        self.read_to
    }

    /// How many more events may be offered.
    #[must_use]
    pub fn room(&self) -> usize {
        self.policy.window_max.saturating_sub(self.window.len())
    }

    /// Attempts under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Keys that wait for a further attempt, and keys that are parked.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        (self.waiting, self.parked)
    }

    /// Events that were offered and are neither delivered nor given up: in the window, waiting, or behind a parked key.
    #[must_use]
    pub fn undelivered(&self) -> u64 {
        self.queued.saturating_add(self.unsettled as u64)
    }

    /// The lowest position of these.
    #[must_use]
    pub fn lowest(&self) -> Option<u64> {
        self.queues.values().filter_map(|queue| queue.items.front()).map(|item| item.position).min()
    }

    /// When the first of the waiting keys is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Whether nothing is under way and nothing waits in memory; parked keys count as nothing.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.unsettled == 0 && self.flights.is_empty() && self.queues.len() == self.parked
    }

    /// The lowest position that is not settled, parked keys not counted, and when it was committed where that is at hand.
    #[must_use]
    pub fn oldest(&self) -> Option<(u64, Option<UtcNanos>)> {
        let waiting = self.queues.values().filter(|queue| !queue.is_parked());
        let heads = waiting.filter_map(|queue| queue.items.front());
        let oldest = heads.min_by_key(|item| item.position)?;
        Some((oldest.position, oldest.event.as_ref().map(|event| event.committed)))
    }

    /// Some parked keys, with the positions they wait for.
    #[must_use]
    pub fn parked_keys(&self, most: usize) -> Vec<(Key, u64)> {
        let parked = self.queues.iter().filter_map(|(key, queue)| match queue.block {
            Block::Parked(position) => Some((*key, position)),
            Block::None | Block::Until(_) => None,
        });
        parked.take(most).collect()
    }

    /// When [`Self::wake`] has something to do, at the earliest.
    #[must_use]
    pub fn next_wake(&self, now: Now) -> Option<Duration> {
        let due = self.due.first().map(|(at, _)| *at);
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        let turn = if self.ready.is_empty() { None } else { self.breaker.next(self.throttled_until) };
        let turn = turn.filter(|at| *at > now.mono);
        [due, deadline, turn].into_iter().flatten().min()
    }

    /// The changes since the last call; they belong into one commit with the low position.
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// How many changes there are.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.changes.len()
    }

    /// Whether [`Self::dispatch`] has an attempt that may begin.
    #[must_use]
    pub fn may_dispatch(&self, now: Now) -> bool {
        let is_open = !self.policy.breaks || self.breaker.turn(now.mono, self.flights.len()) == Turn::Go;
        is_open
            && !self.ready.is_empty()
            && self.flights.len() < self.policy.concurrency
            && now.mono >= self.throttled_until
    }

    /// Somebody says that the target takes events again: what waits for a further attempt is due.
    pub fn try_again(&mut self) {
        self.breaker = Breaker::default();
        self.throttled_until = Duration::ZERO;
        for (_, key) in std::mem::take(&mut self.due) {
            self.set_block(key, Block::None);
            self.schedule(key);
        }
    }

    /// What is to be done and told since the last call.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// An event of this lane; positions rise.
    pub fn offer(&mut self, event: Arc<Event>, key: Key) {
        let position = event.position.0;
        self.read_to = self.read_to.max(position.saturating_add(1));
        let is_settled = self.settled.get(&key).is_some_and(|settled| position < *settled);
        if self.known.remove(&position) || is_settled {
            self.forget_known();
            return;
        }
        let queue = self.queues.entry(key).or_default();
        if queue.takes_records() {
            self.changes.insert(queued_key(self.id, &key, position), Some(Queued::default().write()));
            queue.push_queued(position);
            self.queued = self.queued.saturating_add(1);
        } else {
            self.window.push_back((position, false));
            self.unsettled = self.unsettled.saturating_add(1);
            queue.items.push_back(Item::of_window(event));
        }
        self.schedule(key);
    }

    /// Nothing below this position is to come.
    pub fn passed(&mut self, position: u64) {
        self.read_to = self.read_to.max(position);
        self.forget_known();
    }

    /// Ends attempts whose time is over, and frees keys whose delay is.
    pub fn wake(&mut self, now: Now) -> Vec<(Settled, Failure)> {
        while let Some((at, key)) = self.due.first().copied().filter(|(at, _)| *at <= now.mono) {
            self.due.remove(&(at, key));
            self.set_block(key, Block::None);
            self.schedule(key);
        }
        let mut over = Vec::new();
        while let Some((at, serial)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now.mono) {
            self.deadlines.remove(&(at, serial));
            let failure =
                Failure::new(Class::Transient, "E1144", "no outcome within the time for an attempt");
            over.extend(
                self.settle(serial, Outcome::Failed(failure.clone()), now).map(|done| (done, failure)),
            );
        }
        over
    }

    /// The next attempt that may begin; `serial` names it.
    pub fn dispatch(&mut self, serial: u64, now: Now) -> Option<Attempt> {
        if !self.may_dispatch(now) {
            return None;
        }
        while let Some(key) = self.ready.pop_front() {
            let Some(queue) = self.queues.get_mut(&key) else { continue };
            queue.is_ready = false;
            let Some((position, event, number)) = queue.next_out() else {
                // What was put before it meanwhile has to be read first.
                self.schedule(key);
                continue;
            };
            let deadline = now.mono.saturating_add(self.policy.timeout);
            self.deadlines.insert((deadline, serial));
            self.flights.insert(serial, Flight { key, position, number, begun: now.mono, deadline });
            return Some(Attempt { serial, event, number, key });
        }
        None
    }

    /// Gives an attempt under way more time; `false` where it is not under way.
    #[must_use]
    pub fn extend(&mut self, serial: u64, now: Now) -> bool {
        let Some(flight) = self.flights.get_mut(&serial) else { return false };
        self.deadlines.remove(&(flight.deadline, serial));
        flight.deadline = now.mono.saturating_add(self.policy.timeout);
        self.deadlines.insert((flight.deadline, serial));
        true
    }

    /// Positions whose events have to be read again, rising; at most so many.
    #[must_use]
    pub fn wanted(&self, most: usize) -> Vec<u64> {
        self.bodies.keys().copied().take(most).collect()
    }

    /// An event that was wanted.
    pub fn found(&mut self, event: Arc<Event>) {
        let Some(key) = self.bodies.remove(&event.position.0) else { return };
        if let Some(queue) = self.queues.get_mut(&key) {
            queue.give(event);
        }
        self.schedule(key);
    }

    /// Whoever is ready, wanted or empty is put where it belongs.
    fn schedule(&mut self, key: Key) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        if queue.is_out || queue.is_ready {
            return;
        }
        let Some(head) = queue.items.front() else {
            if queue.more {
                self.refills.insert(key);
            } else if queue.block == Block::None {
                self.queues.remove(&key);
            }
            return;
        };
        let may_go = match queue.block {
            Block::None => true,
            // One that its key left behind long ago may go although a later one is waited for.
            Block::Parked(position) => matches!(head.origin, Origin::Dead { .. }) && head.position < position,
            Block::Until(_) => false,
        };
        if !may_go {
            return;
        }
        if head.event.is_none() {
            self.bodies.insert(head.position, key);
        } else {
            queue.is_ready = true;
            self.ready.push_back(key);
        }
    }

    fn set_block(&mut self, key: Key, block: Block) {
        let queue = self.queues.entry(key).or_default();
        match std::mem::replace(&mut queue.block, block) {
            Block::None => {}
            Block::Until(at) => {
                self.due.remove(&(at, key));
                self.waiting = self.waiting.saturating_sub(1);
            }
            Block::Parked(_) => self.parked = self.parked.saturating_sub(1),
        }
        match block {
            Block::None => {}
            Block::Until(at) => {
                self.due.insert((at, key));
                self.waiting = self.waiting.saturating_add(1);
            }
            Block::Parked(_) => self.parked = self.parked.saturating_add(1),
        }
    }
}

#[cfg(test)]
mod tests;
