//! Recording many events from within the program: several batches under way, in order, each event answered.
//!
//! Not here: where the events come from (an import, the demonstration), requests over HTTP (`edge/http`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use waag_engine::batch::Outcome;
use waag_engine::effect::{NotTaken, Rejection};
use waag_engine::runtime::Pending;
use waag_engine::sealer::SealError;
use waag_http::fault::Kind;
use waag_keys::error::KeysError;
use waag_model::event::{Accepted, Event};
use waag_model::ids::Actor;
use waag_model::time::UtcNanos;

use crate::store::error::StoreError;
use crate::store::writer::OpenedStore;

/// Events of a batch.
const BATCH_EVENTS: usize = 1_000;
/// Batches under way.
const UNDER_WAY_MAX: usize = 8;
/// How often a batch is sealed anew because keys were destroyed meanwhile, or the writer is full.
const TRIES_MAX: u32 = 4_000;
/// The wait between two of these, in milliseconds.
const TRY_DELAY_MS: u64 = 5;

/// An event to record: what happened, when it was accepted, and a number by which its sender knows it.
#[derive(Clone, Debug)]
pub struct Given {
    /// What happened.
    pub event: Event<'static>,
    /// When it was accepted.
    pub accepted: UtcNanos,
    /// The sender's own number; grows.
    pub number: u64,
}

/// What became of the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fed {
    /// Recorded now.
    pub recorded: u64,
    /// Recorded before, with the same content.
    pub before: u64,
    /// Refused.
    pub refused: u64,
    /// The number of the newest event up to which every event has its answer.
    pub settled: u64,
}

/// Records events in the order they are given.
pub struct Feed<'s> {
    store: &'s OpenedStore,
    actor: Actor,
    waiting: Vec<Given>,
    under_way: VecDeque<(Pending, Vec<Given>)>,
    fed: Fed,
    refusals: Vec<(u64, &'static str, String)>,
}

impl std::fmt::Debug for Feed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed").field("fed", &self.fed).finish_non_exhaustive()
    }
}

impl<'s> Feed<'s> {
    /// Begins to feed a store.
    #[must_use]
    pub fn new(store: &'s Arc<OpenedStore>, actor: Actor) -> Self {
        let (waiting, under_way) = (Vec::with_capacity(BATCH_EVENTS), VecDeque::new());
        Self { store, actor, waiting, under_way, fed: Fed::default(), refusals: Vec::new() }
    }

    /// Takes an event; it is recorded when its batch is full, or at [`Feed::finish`].
    ///
    /// # Errors
    /// [`StoreError`] where recording cannot go on.
    pub fn push(&mut self, given: Given) -> Result<(), StoreError> {
        self.waiting.push(given);
        if self.waiting.len() >= BATCH_EVENTS { self.send() } else { Ok(()) }
    }

    /// What became of the events so far.
    #[must_use]
    pub fn fed(&self) -> Fed {
        self.fed
    }

    /// The refusals since the last call: the event's number, a code, a reason.
    pub fn refusals(&mut self) -> Vec<(u64, &'static str, String)> {
        std::mem::take(&mut self.refusals)
    }

    /// Records what is left and waits for every answer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn finish(&mut self) -> Result<Fed, StoreError> {
        self.send()?;
        while let Some((pending, given)) = self.under_way.pop_front() {
            self.settle(pending, given)?;
        }
        Ok(self.fed)
    }

    /// Seals and submits what waits.
    fn send(&mut self) -> Result<(), StoreError> {
        let mut rest = std::mem::replace(&mut self.waiting, Vec::with_capacity(BATCH_EVENTS));
        while !rest.is_empty() {
            let (pending, taken) = self.submit(&mut rest)?;
            if let Some(pending) = pending {
                self.under_way.push_back((pending, taken));
            }
            while self.under_way.len() >= UNDER_WAY_MAX {
                let Some((pending, given)) = self.under_way.pop_front() else { break };
                self.settle(pending, given)?;
            }
        }
        Ok(())
    }

    /// Seals as many of `rest` as one batch takes, from its beginning, and submits them; what is refused is told and left
    /// out of what is returned.
    fn submit(&mut self, rest: &mut Vec<Given>) -> Result<(Option<Pending>, Vec<Given>), StoreError> {
        let mut builder = self.store.sealer.begin();
        let (mut taken, mut seen) = (Vec::new(), 0);
        for given in rest.iter() {
            let accepted =
                Accepted { event: given.event.clone(), actor: self.actor.clone(), accepted: given.accepted };
            match builder.push(accepted, None) {
                Ok(_) => taken.push(given.clone()),
                Err(SealError::BatchFull) if !builder.is_empty() => break,
                // New keys are made durable earlier than they need be, which makes room for more.
                Err(SealError::Keys(KeysError::PendingFull)) => {
                    self.store.keyring.commit_pending(u64::MAX)?;
                    break;
                }
                Err(error) if error.is_the_events_fault() => {
                    self.fed.refused += 1;
                    self.refusals.push((given.number, error.code(), error.to_string()));
                }
                Err(error) => return Err(error.into()),
            }
            seen += 1;
        }
        rest.drain(..seen);
        if builder.is_empty() {
            return Ok((None, taken));
        }
        let mut batch = builder.finish();
        for _ in 0..TRIES_MAX {
            match self.store.writer.submit(batch) {
                Ok(pending) => return Ok((Some(pending), taken)),
                Err(NotTaken::Busy(back)) => {
                    std::thread::sleep(Duration::from_millis(TRY_DELAY_MS));
                    batch = back;
                }
                Err(other @ NotTaken::Halted(_)) => return Err(Rejection::from(other).into()),
            }
        }
        Err(Rejection::Busy.into())
    }

    fn settle(&mut self, pending: Pending, given: Vec<Given>) -> Result<(), StoreError> {
        let mut answer = pending.wait();
        for _ in 0..TRIES_MAX {
            if !matches!(answer, Err(Rejection::Busy | Rejection::Reseal)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(TRY_DELAY_MS));
            let mut again = given.clone();
            let (pending, _) = self.submit(&mut again)?;
            answer = pending.map_or_else(|| Err(Rejection::Busy), Pending::wait);
        }
        let receipt = answer?;
        for (item, given) in receipt.items.iter().zip(&given) {
            match item {
                Outcome::Recorded(_) => self.fed.recorded += 1,
                Outcome::Before(_) => self.fed.before += 1,
                Outcome::Conflict(_) | Outcome::Erased(_) => {
                    self.fed.refused += 1;
                    let why = "another event was recorded under the same `source` and `id`".to_owned();
                    self.refusals.push((given.number, Kind::Conflict.code(), why));
                }
            }
        }
        self.fed.settled = given.last().map_or(self.fed.settled, |last| last.number.max(self.fed.settled));
        Ok(())
    }
}
