//! A sealing thread: takes jobs, reads and seals their events into one batch, hands it to the writer.
//!
//! Not here: waiting for the writer's answer (`settle`).

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::{self, ThreadId};
use std::time::Duration;

use waag_domain::passthrough::Passthrough;
use waag_engine::batch::{BatchReceipt, SealedBatch};
use waag_engine::effect::{NotTaken, Rejection};
use waag_engine::runtime::Hears;
use waag_engine::sealer::{BatchBuilder, SealError};
use waag_keys::error::KeysError;
use waag_model::event::{Accepted, Event};

use super::queue::{Queue, Queued};
use super::settle::{Settled, settle};
use super::{Means, REQUEST_EVENTS_MAX};
use crate::fault::{Fault, Kind};

/// Types of events that only Waag itself records.
const OWN_TYPES: &str = "waag.";
/// The source of events that only Waag itself records.
const OWN_SOURCE: &str = "/waag";
/// An attribute by which a sender can say for which tenant an event is meant.
const TENANT_ATTRIBUTE: &str = "waagtenant";
/// Events of a batch that is settled where its outcome is heard: tens of microseconds.
const SETTLED_AT_ONCE_MAX: usize = 64;
/// The wait before a full writer is asked again, in milliseconds.
const WRITER_RETRY_MS: u64 = 1;

/// What became of one event before the writer: it is in the batch, or refused.
pub(super) enum Slot {
    Sealed,
    Refused(Box<Fault>),
}

/// A job whose good events are in a batch.
pub(super) struct SealedJob {
    pub(super) queued: Queued,
    pub(super) slots: Vec<Slot>,
}

/// What became of a batch, and whose it was; no receipt where nothing of it was to be recorded.
pub(super) struct Ended {
    pub(super) outcome: Result<Option<BatchReceipt>, Rejection>,
    pub(super) jobs: Vec<SealedJob>,
}

/// Hears what became of a batch, and settles it or hands it to the settling thread.
struct Settling {
    /// Who sealed it, and takes the next batch when this one is settled.
    taker: ThreadId,
    jobs: Vec<SealedJob>,
    ended: SyncSender<Ended>,
    queue: Arc<Queue>,
}

impl Hears for Settling {
    fn hear(self, outcome: Result<BatchReceipt, Rejection>) {
        self.settle(outcome.map(Some));
    }
}

impl Settling {
    fn settle(self, outcome: Result<Option<BatchReceipt>, Rejection>) {
        if self.jobs.iter().map(|job| job.slots.len()).sum::<usize>() <= SETTLED_AT_ONCE_MAX {
            let takes_next = thread::current().id() == self.taker;
            return settle(Ended { outcome, jobs: self.jobs }, &self.queue, takes_next);
        }
        // There is room for as many as can be under way. The settling thread ends after all sealing threads, and those
        // when nothing is under way.
        if let Err(unsent) = self.ended.send(Ended { outcome, jobs: self.jobs }) {
            let requests = unsent.0.jobs.len();
            refuse(unsent.0.jobs, &Fault::of(Kind::Stopped));
            self.queue.settled(requests, false);
        }
    }
}

/// How the sealing of one job ended.
enum Push {
    Done,
    /// Does not fit beside the jobs before it.
    NotBeside,
    /// Too many keys wait to be made durable.
    KeysFull,
    Fault(Fault),
}

pub(super) struct Worker {
    pub(super) means: Arc<Means>,
    pub(super) queue: Arc<Queue>,
    pub(super) ended: SyncSender<Ended>,
    pub(super) wait_ms_max: u64,
}

impl Worker {
    pub(super) fn run(&self) {
        while let Some(jobs) = self.queue.take() {
            self.batch(jobs);
        }
    }

    fn batch(&self, jobs: Vec<Queued>) {
        let mut builder = self.means.sealer.begin();
        let mut sealed = Vec::with_capacity(jobs.len());
        let mut later = Vec::new();
        for queued in jobs {
            if !later.is_empty() {
                later.push(queued);
                continue;
            }
            let before = builder.len();
            let mut slots = Vec::with_capacity(queued.job.source.events_hint());
            let mut pushed = self.push(&mut builder, &queued, &mut slots, before == 0);
            if matches!(pushed, Push::KeysFull) {
                // New keys are made durable earlier than they need be; a request needs fewer than there is room for.
                builder.truncate(before);
                slots.clear();
                pushed = match self.means.keyring.commit_pending(u64::MAX) {
                    Ok(_) => self.push(&mut builder, &queued, &mut slots, before == 0),
                    Err(error) => Push::Fault(Fault::of(Kind::NotSealed(error.code()))),
                };
            }
            match pushed {
                Push::Done => sealed.push(SealedJob { queued, slots }),
                Push::NotBeside => {
                    builder.truncate(before);
                    later.push(Queued { alone: true, ..queued });
                }
                Push::KeysFull => {
                    builder.truncate(before);
                    (queued.job.answer)(Settled::Nothing(Fault::of(Kind::NotSealed(
                        KeysError::PendingFull.code(),
                    ))));
                }
                Push::Fault(fault) => {
                    builder.truncate(before);
                    (queued.job.answer)(Settled::Nothing(fault));
                }
            }
        }
        if !later.is_empty() {
            self.queue.put_back(later);
        }
        if sealed.is_empty() {
            return self.queue.settled(0, true);
        }
        let batch = builder.finish();
        let taker = thread::current().id();
        let settling =
            Settling { taker, jobs: sealed, ended: self.ended.clone(), queue: Arc::clone(&self.queue) };
        if batch.is_empty() {
            settling.settle(Ok(None));
        } else if let Err(not_taken) = self.submit(batch, settling) {
            let (settling, fault) = *not_taken;
            let requests = settling.jobs.len();
            refuse(settling.jobs, &fault);
            self.queue.settled(requests, true);
        }
    }

    fn push(
        &self,
        builder: &mut BatchBuilder<'_, Passthrough>,
        queued: &Queued,
        slots: &mut Vec<Slot>,
        is_first: bool,
    ) -> Push {
        let mut ended = Push::Done;
        let read = queued.job.source.each(&mut |event| {
            if slots.len() >= REQUEST_EVENTS_MAX {
                ended = Push::Fault(Fault::of(Kind::TooManyEvents(REQUEST_EVENTS_MAX)));
                return ControlFlow::Break(());
            }
            let slot = match event.and_then(|event| self.check(event)) {
                Err(fault) => Slot::Refused(Box::new(fault)),
                Ok(event) => match self.seal(builder, queued, event) {
                    Ok(()) => Slot::Sealed,
                    Err(SealError::BatchFull) if !is_first => {
                        ended = Push::NotBeside;
                        return ControlFlow::Break(());
                    }
                    Err(SealError::BatchFull) => {
                        ended = Push::Fault(Fault::of(Kind::BatchFull));
                        return ControlFlow::Break(());
                    }
                    Err(error) if error.is_the_events_fault() => {
                        Slot::Refused(Box::new(Fault::event(error.code(), &error)))
                    }
                    Err(SealError::Keys(KeysError::PendingFull)) => {
                        ended = Push::KeysFull;
                        return ControlFlow::Break(());
                    }
                    Err(error) => {
                        ended = Push::Fault(Fault::of(Kind::NotSealed(error.code())));
                        return ControlFlow::Break(());
                    }
                },
            };
            slots.push(slot);
            ControlFlow::Continue(())
        });
        match read {
            Ok(()) => ended,
            Err(fault) => Push::Fault(fault),
        }
    }

    fn check<'e>(&self, event: Event<'e>) -> Result<Event<'e>, Fault> {
        if event.kind.starts_with(OWN_TYPES) {
            return Err(Fault::of(Kind::OwnType).at("/type"));
        }
        // An id under Waag's own source would keep the event that is to have it out of the ledger.
        if event.source == OWN_SOURCE {
            return Err(Fault::of(Kind::OwnType).at("/source"));
        }
        let meant = event.attributes.get(TENANT_ATTRIBUTE);
        if meant.is_some_and(|tenant| tenant.as_text() != Some(&self.means.tenant)) {
            return Err(Fault::of(Kind::OtherTenant).at("/waagtenant"));
        }
        Ok(event)
    }

    fn seal(
        &self,
        builder: &mut BatchBuilder<'_, Passthrough>,
        queued: &Queued,
        event: Event<'_>,
    ) -> Result<(), SealError> {
        let accepted = Accepted { event, actor: queued.job.actor.clone(), accepted: queued.job.accepted };
        builder.push(accepted, None).map(drop)
    }

    /// Hands a batch over; a full writer is asked again until the wait is over.
    fn submit(&self, mut batch: SealedBatch, mut settling: Settling) -> Result<(), Box<(Settling, Fault)>> {
        let until = self.means.clock.monotonic() + Duration::from_millis(self.wait_ms_max);
        loop {
            match self.means.writer.submit_for(batch, settling) {
                Ok(()) => return Ok(()),
                Err((NotTaken::Halted(_), back)) => return Err(Box::new((back, Fault::of(Kind::Stopped)))),
                Err((NotTaken::Busy(again), back)) => (batch, settling) = (again, back),
            }
            if self.means.clock.monotonic() >= until {
                return Err(Box::new((settling, Fault::of(Kind::Busy(Rejection::Busy.code())))));
            }
            thread::sleep(Duration::from_millis(WRITER_RETRY_MS));
        }
    }
}

/// Answers jobs of which nothing was recorded.
pub(super) fn refuse(jobs: Vec<SealedJob>, fault: &Fault) {
    for sealed in jobs {
        (sealed.queued.job.answer)(Settled::Nothing(fault.clone()));
    }
}
