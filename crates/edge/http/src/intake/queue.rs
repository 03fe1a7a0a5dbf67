//! The bounded queue of requests, and how many of them go into one batch (`INTAKE-1`).
//!
//! A request that comes alone goes at once. Small requests that come while enough batches are under way are collected:
//! the writer commits no faster for many small batches, and each costs a turn of every thread. Where many clients send
//! them, others are waited for even when a batch may go (`gather`).

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{IntakeLimits, Job, QueueFull, SHARED_BYTES_MAX, SHARED_EVENTS_MAX};

/// Batches between sealing and their answers at most; what the writer takes.
pub(super) const UNDER_WAY_MAX: usize = 64;
/// Requests that wait or were answered when a batch is settled, from which on others are waited for: so many that some
/// are always on their way while a batch is written. Fewer would all wait for the log together, and both ends idle in turn.
pub(super) const CROWD: usize = 36;
/// Batches until a crowd that is not seen again is forgotten.
pub(super) const CROWDED_BATCHES: u32 = 16;
/// A take of fewer events than this is small.
const SMALL_EVENTS: usize = 64;

/// A job in the queue, and how often it was sealed before.
pub(super) struct Queued {
    pub(super) job: Job,
    pub(super) tries: u32,
    /// Shares no batch with others: together with them it did not fit.
    pub(super) alone: bool,
}

pub(super) struct Queue {
    limits: IntakeLimits,
    inner: Mutex<Inner>,
    changed: Condvar,
    /// Rung for who gathers.
    pub(super) bell: Notify,
}

#[derive(Default)]
struct Inner {
    jobs: VecDeque<Queued>,
    bytes: usize,
    events: usize,
    under_way: usize,
    waiting: usize,
    /// One of those who wait was woken and has not looked yet: waking another for the same batch would be for nothing.
    is_woken: bool,
    /// Batches for which others are still waited for, since a crowd was seen.
    crowded: u32,
    /// Somebody gathers, and will release.
    is_gathering: bool,
    /// Small requests that wait may go as soon as a batch may.
    released: bool,
    closed: bool,
}

/// What who gathers is to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Turn {
    /// Go round the door, then [`Queue::release`].
    Gather,
    /// Wait for [`Queue::bell`]: nothing waits, or a batch is under way.
    Wait,
    /// The crowd is gone, or the queue closed.
    Over,
}

impl Queue {
    pub(super) fn new(limits: IntakeLimits) -> Self {
        Self { limits, inner: Mutex::default(), changed: Condvar::new(), bell: Notify::new() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a job; true where somebody is to gather from now on, and nobody does yet.
    pub(super) fn offer(&self, job: Job) -> Result<bool, QueueFull> {
        let (bytes, events) = (job.source.bytes(), job.source.events_hint());
        let (ring, begins) = {
            let mut inner = self.inner();
            let fits = inner.jobs.len() < self.limits.queue_jobs_max
                && inner.bytes.saturating_add(bytes) <= self.limits.queue_bytes_max;
            if !fits || inner.closed {
                return Err(QueueFull(job));
            }
            inner.bytes += bytes;
            inner.events += events;
            inner.jobs.push_back(Queued { job, tries: 0, alone: false });
            let begins = inner.crowded > 0 && !inner.is_gathering;
            inner.is_gathering |= begins;
            inner.released |= !inner.is_gathering;
            let ring = inner.is_gathering && self.is_to_gather(&inner);
            self.wake(inner);
            (ring, begins)
        };
        if ring {
            self.bell.notify_one();
        }
        Ok(begins)
    }

    /// Whether small requests wait that could go and are not released.
    fn is_to_gather(&self, inner: &Inner) -> bool {
        !inner.jobs.is_empty() && !inner.released && inner.under_way < self.limits.small_under_way_max
    }

    /// What who gathers is to do now.
    pub(super) fn turn(&self) -> Turn {
        let inner = self.inner();
        if inner.closed || inner.crowded == 0 {
            Turn::Over
        } else if self.is_to_gather(&inner) {
            Turn::Gather
        } else {
            Turn::Wait
        }
    }

    /// What waits may go, if a batch may.
    pub(super) fn release(&self) {
        let mut inner = self.inner();
        inner.released |= self.is_to_gather(&inner);
        self.wake(inner);
    }

    /// Nobody gathers any more: whatever waits may go.
    pub(super) fn end_gathering(&self) {
        let mut inner = self.inner();
        inner.is_gathering = false;
        inner.released = true;
        self.wake(inner);
    }

    /// Lets go of the queue, and wakes a sealing thread if there is something for it.
    fn wake(&self, mut inner: MutexGuard<'_, Inner>) {
        let wake = inner.waiting > 0 && !inner.is_woken && self.is_ready(&inner);
        inner.is_woken |= wake;
        drop(inner);
        if wake {
            self.changed.notify_one();
        }
    }

    /// Puts jobs that must be sealed again before all others; they were taken once, so no bound turns them away.
    pub(super) fn put_back(&self, jobs: Vec<Queued>) {
        let mut inner = self.inner();
        for queued in jobs.into_iter().rev() {
            inner.bytes += queued.job.source.bytes();
            inner.events += queued.job.source.events_hint();
            inner.jobs.push_front(queued);
        }
        // They have waited for others once.
        inner.released = true;
        self.wake(inner);
    }

    /// The next batch's jobs; none when the queue is closed and empty. Counts a batch as under way.
    pub(super) fn take(&self) -> Option<Vec<Queued>> {
        let mut inner = self.inner();
        while !self.is_ready(&inner) {
            if inner.closed && inner.jobs.is_empty() && inner.under_way == 0 {
                drop(inner);
                self.changed.notify_all();
                return None;
            }
            inner.waiting += 1;
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
            inner.waiting -= 1;
            inner.is_woken = false;
        }
        let (mut bytes, mut events) = (0, 0);
        let mut jobs = Vec::new();
        while let Some(next) = inner.jobs.front() {
            let (more, many) = (next.job.source.bytes(), next.job.source.events_hint());
            let fits = bytes + more <= SHARED_BYTES_MAX && events + many <= SHARED_EVENTS_MAX && !next.alone;
            if !jobs.is_empty() && !fits {
                break;
            }
            let alone = next.alone;
            bytes += more;
            events += many;
            jobs.extend(inner.jobs.pop_front());
            // A large request is sealed alone, so that another thread can seal its neighbour.
            if alone || many > SMALL_EVENTS {
                break;
            }
        }
        inner.bytes = inner.bytes.saturating_sub(bytes);
        inner.events = inner.events.saturating_sub(events);
        inner.under_way += 1;
        inner.released &= !inner.jobs.is_empty();
        self.wake(inner);
        Some(jobs)
    }

    fn is_ready(&self, inner: &Inner) -> bool {
        let may_go = inner.released || inner.closed;
        let room =
            inner.events >= SMALL_EVENTS || (may_go && inner.under_way < self.limits.small_under_way_max);
        !inner.jobs.is_empty() && room && inner.under_way < UNDER_WAY_MAX
    }

    /// A batch of so many requests is no longer under way. Nobody is woken where the calling thread is about to take the
    /// next one.
    pub(super) fn settled(&self, requests: usize, takes_next: bool) {
        let mut inner = self.inner();
        inner.under_way = inner.under_way.saturating_sub(1);
        let is_crowd = inner.jobs.len() + requests >= CROWD;
        inner.crowded = if is_crowd { CROWDED_BATCHES } else { inner.crowded.saturating_sub(1) };
        let ring = inner.is_gathering && (self.is_to_gather(&inner) || inner.crowded == 0);
        if inner.closed {
            // Those who wait may have to end.
            self.changed.notify_all();
        } else if !takes_next {
            self.wake(inner);
        }
        if ring {
            self.bell.notify_one();
        }
    }

    pub(super) fn close(&self) {
        self.inner().closed = true;
        self.changed.notify_all();
        self.bell.notify_one();
    }

    pub(super) fn queued(&self) -> (usize, usize) {
        let inner = self.inner();
        (inner.jobs.len(), inner.bytes)
    }
}
