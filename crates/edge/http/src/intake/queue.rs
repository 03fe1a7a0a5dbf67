//! The bounded queue of requests, and how many of them go into one batch (`INTAKE-1`).
//!
//! A request that comes alone goes at once. Small requests that come while enough batches are under way are collected:
//! the writer commits no faster for many small batches, and each costs a turn of every thread.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::{IntakeLimits, Job, QueueFull, SHARED_BYTES_MAX, SHARED_EVENTS_MAX};

/// Batches between sealing and their answers at most; what the writer takes.
pub(super) const UNDER_WAY_MAX: usize = 64;
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
}

#[derive(Default)]
struct Inner {
    jobs: VecDeque<Queued>,
    bytes: usize,
    events: usize,
    under_way: usize,
    waiting: usize,
    closed: bool,
}

impl Queue {
    pub(super) fn new(limits: IntakeLimits) -> Self {
        Self { limits, inner: Mutex::default(), changed: Condvar::new() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn offer(&self, job: Job) -> Result<(), QueueFull> {
        let (bytes, events) = (job.source.bytes(), job.source.events_hint());
        let wake = {
            let mut inner = self.inner();
            let fits = inner.jobs.len() < self.limits.queue_jobs_max
                && inner.bytes.saturating_add(bytes) <= self.limits.queue_bytes_max;
            if !fits || inner.closed {
                return Err(QueueFull(job));
            }
            inner.bytes += bytes;
            inner.events += events;
            inner.jobs.push_back(Queued { job, tries: 0, alone: false });
            inner.waiting > 0 && self.is_ready(&inner)
        };
        if wake {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Puts jobs that must be sealed again before all others; they were taken once, so no bound turns them away.
    pub(super) fn put_back(&self, jobs: Vec<Queued>) {
        let mut inner = self.inner();
        for queued in jobs.into_iter().rev() {
            inner.bytes += queued.job.source.bytes();
            inner.events += queued.job.source.events_hint();
            inner.jobs.push_front(queued);
        }
        drop(inner);
        self.changed.notify_one();
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
        let wake = inner.waiting > 0 && self.is_ready(&inner);
        drop(inner);
        if wake {
            self.changed.notify_one();
        }
        Some(jobs)
    }

    fn is_ready(&self, inner: &Inner) -> bool {
        let room = inner.events >= SMALL_EVENTS || inner.under_way < self.limits.small_under_way_max;
        !inner.jobs.is_empty() && room && inner.under_way < UNDER_WAY_MAX
    }

    /// A batch is no longer under way. Nobody is woken where the calling thread is about to take the next one.
    pub(super) fn settled(&self, takes_next: bool) {
        let mut inner = self.inner();
        inner.under_way = inner.under_way.saturating_sub(1);
        let wake = !takes_next && inner.waiting > 0 && (self.is_ready(&inner) || inner.closed);
        drop(inner);
        if wake {
            self.changed.notify_one();
        }
    }

    pub(super) fn close(&self) {
        self.inner().closed = true;
        self.changed.notify_all();
    }

    pub(super) fn queued(&self) -> (usize, usize) {
        let inner = self.inner();
        (inner.jobs.len(), inner.bytes)
    }
}
