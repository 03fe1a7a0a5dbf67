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
use crate::store::own::{OWN_SOURCE, OWN_TYPES};
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
    /// The number of the newest event up to which every event is recorded: it never passes one that was refused.
    pub recorded_to: u64,
}

/// Records events in the order they are given.
pub struct Feed<'s> {
    store: &'s OpenedStore,
    actor: Actor,
    waiting: Vec<Given>,
    under_way: VecDeque<(Pending, Vec<Given>)>,
    fed: Fed,
    refusals: Vec<(u64, &'static str, String)>,
    first_refused: Option<u64>,
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
        let (fed, refusals) = (Fed::default(), Vec::new());
        Self { store, actor, waiting, under_way, fed, refusals, first_refused: None }
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
        self.store.room.check()?;
        let mut builder = self.store.sealer.begin();
        let (mut taken, mut seen) = (Vec::new(), 0);
        for given in rest.iter() {
            // An id under Waag's own source would keep the event that is to have it out of the ledger.
            if given.event.kind.starts_with(OWN_TYPES) || given.event.source == OWN_SOURCE {
                self.refuse(given.number, Kind::OwnType.code(), Kind::OwnType.to_string());
                seen += 1;
                continue;
            }
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
                    self.refuse(given.number, error.code(), error.to_string());
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
        let last = given.last().map_or(0, |last| last.number);
        let wait = |pending: Pending| pending.wait().map(|receipt| receipt.items);
        for (outcome, given) in answers(pending, given, wait, |rest| self.submit(rest))? {
            let refused = match outcome {
                Outcome::Recorded(_) => {
                    self.fed.recorded += 1;
                    continue;
                }
                Outcome::Before(_) => {
                    self.fed.before += 1;
                    continue;
                }
                Outcome::Conflict(_) => Kind::Conflict,
                Outcome::Erased(_) => Kind::Erased,
            };
            self.refuse(given.number, refused.code(), refused.to_string());
        }
        let recorded_to = self.first_refused.map_or(last, |first| last.min(first.saturating_sub(1)));
        self.fed.recorded_to = self.fed.recorded_to.max(recorded_to);
        Ok(())
    }

    fn refuse(&mut self, number: u64, code: &'static str, why: String) {
        self.fed.refused += 1;
        self.refusals.push((number, code, why));
        self.first_refused = Some(self.first_refused.map_or(number, |first| first.min(number)));
    }
}

/// Waits until everything in a batch has its answer, and gives each event with its own. What comes back is sealed anew, in as
/// many batches as it then takes: `submit` takes from the beginning of what it is given, and leaves out what it refused.
fn answers<P>(
    mut pending: P,
    mut given: Vec<Given>,
    mut wait: impl FnMut(P) -> Result<Vec<Outcome>, Rejection>,
    mut submit: impl FnMut(&mut Vec<Given>) -> Result<(Option<P>, Vec<Given>), StoreError>,
) -> Result<Vec<(Outcome, Given)>, StoreError> {
    let (mut answered, mut rest, mut tries) = (Vec::with_capacity(given.len()), Vec::new(), 0);
    loop {
        match wait(pending) {
            Ok(outcomes) => answered.extend(outcomes.into_iter().zip(given)),
            Err(Rejection::Busy | Rejection::Reseal) if tries < TRIES_MAX => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(TRY_DELAY_MS));
                // In front of what is left, so that the order stays.
                given.append(&mut rest);
                rest = given;
            }
            Err(rejection) => return Err(rejection.into()),
        }
        (pending, given) = loop {
            if rest.is_empty() {
                return Ok(answered);
            }
            if let (Some(pending), taken) = submit(&mut rest)? {
                break (pending, taken);
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use waag_engine::batch::Recorded;
    use waag_ledger::hash::Hash;
    use waag_model::event::Data;
    use waag_model::ids::Position;
    use waag_model::value::Object;

    use super::*;

    fn given(number: u64) -> Given {
        let event = Event {
            id: number.to_string().into(),
            source: "/test".into(),
            kind: "test".into(),
            subject: None,
            attributes: Object::default(),
            data: Data::None,
        };
        Given { event, accepted: UtcNanos(0), number }
    }

    /// An outcome that says which event it belongs to.
    fn of(given: &Given) -> Outcome {
        Outcome::Recorded(Recorded { position: Position(given.number), leaf: Hash([0; 32]) })
    }

    #[test]
    fn a_batch_that_comes_back_is_answered_to_its_last_event() {
        // What is submitted takes three events at most, refuses number 4, and now and then makes room before it takes any.
        let (mut submits, mut waits, mut refused) = (0, 0, Vec::new());
        let submit = |rest: &mut Vec<Given>| {
            submits += 1;
            if submits % 3 == 0 {
                return Ok((None, Vec::new()));
            }
            let taken: Vec<Given> = rest.drain(..rest.len().min(3)).collect();
            let (bad, taken): (Vec<Given>, Vec<Given>) =
                taken.into_iter().partition(|given| given.number == 4);
            refused.extend(bad.iter().map(|given| given.number));
            Ok(((!taken.is_empty()).then(|| taken.iter().map(of).collect()), taken))
        };
        let wait = |outcomes: Vec<Outcome>| {
            waits += 1;
            match waits {
                1 | 3 => Err(Rejection::Reseal),
                4 => Err(Rejection::Busy),
                _ => Ok(outcomes),
            }
        };
        let batch: Vec<Given> = (1..=10).map(given).collect();
        let first = batch.iter().map(of).collect();
        let answered = answers(first, batch, wait, submit).unwrap();
        assert!(answered.iter().all(|(outcome, given)| *outcome == of(given)), "{answered:?}");
        let numbers: Vec<u64> = answered.iter().map(|(_, given)| given.number).collect();
        assert_eq!(numbers, [1, 2, 3, 5, 6, 7, 8, 9, 10]);
        assert_eq!(refused, [4]);
    }

    #[test]
    fn a_writer_that_has_stopped_ends_the_waiting() {
        let submit = |rest: &mut Vec<Given>| Ok((Some(()), std::mem::take(rest)));
        let halted = || Rejection::Halted(waag_engine::effect::Halt { code: "E0604", reason: String::new() });
        let end = answers((), vec![given(1)], |()| Err(halted()), submit);
        assert!(matches!(end, Err(StoreError::Rejected(Rejection::Halted(_)))));
    }
}
