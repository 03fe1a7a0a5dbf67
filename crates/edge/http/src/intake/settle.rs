//! The settling thread: takes the writer's answers and hands each request its own slice of the receipt.
//!
//! Small batches are settled by whoever hears of them: waking the settling thread would cost more.
//! Not here: the form of an answer on any wire (`receipt`).

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use waag_engine::batch::{BatchReceipt, Outcome, Recorded};
use waag_engine::effect::Rejection;
use waag_ledger::checkpoint::SignedCheckpoint;
use waag_ledger::proof::InclusionProof;
use waag_ledger::range::{RangeProof, RangeTree};
use waag_model::ids::Position;

use super::queue::{Queue, Queued};
use super::seal::{Ended, SealedJob, Slot, refuse};
use crate::fault::{Fault, Kind};

/// How often a request is sealed again because keys were destroyed or the writer was full meanwhile.
const TRIES_MAX: u32 = 8;

/// What became of a request.
#[derive(Debug)]
pub enum Settled {
    /// Nothing of it was recorded, or nobody can tell; the fault says which.
    Nothing(Fault),
    /// Each event has an outcome, in the request's order.
    Items {
        /// The checkpoint that proves what is new; none where nothing was sealed.
        checkpoint: Option<Arc<SignedCheckpoint>>,
        /// One outcome per event.
        items: Vec<ItemOutcome>,
        /// Proves all new events of the request, where there are several.
        range: Option<RangeProof>,
        /// Proves the request's only new event.
        inclusion: Option<InclusionProof>,
    },
}

/// What became of one event.
#[derive(Debug)]
pub enum ItemOutcome {
    /// It is recorded under this checkpoint.
    Recorded(Recorded),
    /// It was recorded before; its first place.
    Before(Recorded),
    /// Another event stands under its identity.
    Conflict(Position),
    /// What stands under its identity has been erased.
    Erased(Position),
    /// It was refused.
    Refused(Box<Fault>),
}

pub(super) fn run(ended: &Receiver<Ended>, queue: &Queue) {
    for ended in ended {
        settle(ended, queue, false);
    }
}

/// Answers a batch's requests; `takes_next` as in [`Queue::settled`].
pub(super) fn settle(Ended { outcome, jobs }: Ended, queue: &Queue, takes_next: bool) {
    // After the answers: the sealing threads end when nothing is queued and nothing is under way (`INTAKE-4`).
    let _settles = Settles { queue, requests: jobs.len(), takes_next };
    match outcome {
        Ok(receipt) => answer(jobs, receipt.as_ref()),
        Err(rejection) => reject(jobs, &rejection, queue),
    }
}

/// Counts a batch as settled however its answers end: one that panics must not keep the others' threads waiting.
struct Settles<'q> {
    queue: &'q Queue,
    requests: usize,
    takes_next: bool,
}

impl Drop for Settles<'_> {
    fn drop(&mut self) {
        self.queue.settled(self.requests, self.takes_next);
    }
}

fn reject(jobs: Vec<SealedJob>, rejection: &Rejection, queue: &Queue) {
    let kind = match rejection {
        Rejection::Busy | Rejection::Reseal => Kind::Busy(rejection.code()),
        Rejection::TooLong if jobs.len() == 1 => Kind::BatchFull,
        Rejection::TooLong => Kind::Busy(rejection.code()),
        Rejection::Compare(halt) => Kind::NotSealed(halt.code),
        Rejection::Halted(_) => Kind::Stopped,
    };
    let again = matches!(rejection, Rejection::Busy | Rejection::Reseal | Rejection::TooLong)
        && !matches!(kind, Kind::BatchFull);
    let alone = matches!(rejection, Rejection::TooLong);
    let (mut later, mut refused) = (Vec::new(), Vec::new());
    for sealed in jobs {
        let SealedJob { queued: Queued { job, tries, alone: was_alone }, slots } = sealed;
        let queued = Queued { job, tries: tries + 1, alone: alone || was_alone };
        if again && queued.tries < TRIES_MAX {
            later.push(queued);
        } else {
            refused.push(SealedJob { queued, slots });
        }
    }
    if !later.is_empty() {
        queue.put_back(later);
    }
    refuse(refused, &Fault::of(kind));
}

fn answer(jobs: Vec<SealedJob>, receipt: Option<&BatchReceipt>) {
    // INTAKE-5.
    let tree = match receipt.and_then(|receipt| Some((receipt, receipt.range.as_ref()?))) {
        None => None,
        Some((receipt, range)) => {
            match range.verify(&receipt.new_leaves(), &receipt.checkpoint.checkpoint().root) {
                Ok(tree) => Some(tree),
                Err(error) => return refuse(jobs, &Fault::of(Kind::NotSealed(error.code()))),
            }
        }
    };
    let mut outcomes = receipt.map(|receipt| receipt.items.as_slice()).unwrap_or_default().iter();
    for SealedJob { queued, slots } in jobs {
        let mut new = None;
        let items: Vec<ItemOutcome> = slots
            .into_iter()
            .filter_map(|slot| match slot {
                Slot::Refused(fault) => Some(ItemOutcome::Refused(fault)),
                Slot::Sealed => outcomes.next().map(|outcome| item(*outcome, &mut new)),
            })
            .collect();
        let settled = slice(items, new, receipt, tree.as_ref());
        (queued.job.answer)(settled);
    }
}

/// An event's outcome; widens the range of the request's new positions.
fn item(outcome: Outcome, new: &mut Option<(u64, u64)>) -> ItemOutcome {
    match outcome {
        Outcome::Recorded(recorded) => {
            let at = recorded.position.0;
            let (first, _) = new.unwrap_or((at, at));
            *new = Some((first, at + 1));
            ItemOutcome::Recorded(recorded)
        }
        Outcome::Before(recorded) => ItemOutcome::Before(recorded),
        Outcome::Conflict(first) => ItemOutcome::Conflict(first),
        Outcome::Erased(first) => ItemOutcome::Erased(first),
    }
}

fn slice(
    items: Vec<ItemOutcome>,
    new: Option<(u64, u64)>,
    receipt: Option<&BatchReceipt>,
    tree: Option<&RangeTree>,
) -> Settled {
    let checkpoint = receipt.map(|receipt| Arc::clone(&receipt.checkpoint));
    let (Some((first, end)), Some(tree)) = (new, tree) else {
        return Settled::Items { checkpoint, items, range: None, inclusion: None };
    };
    let proven = if end - first == 1 {
        tree.inclusion_proof(first).map(|inclusion| (None, Some(inclusion)))
    } else {
        tree.range_proof(first, end).map(|range| (Some(range), None))
    };
    match proven {
        Ok((range, inclusion)) => Settled::Items { checkpoint, items, range, inclusion },
        Err(error) => Settled::Nothing(Fault::of(Kind::NotSealed(error.code()))),
    }
}
