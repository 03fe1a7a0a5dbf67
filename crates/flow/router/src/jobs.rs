//! Redrive, discard and replay: work that goes on over restarts, at a rate, and can be ended without loss.
//!
//! A redrive looks at dead letters in the order of the ledger, which is the order of every key. How far it has looked, and
//! below where all is settled, is in its record: after a crash it looks again from there, before its subscription gets
//! anything newer, and passes over what it had tried in vain. Ending it leaves dead letters that it had not come to as they
//! are; those under way come out as they will.
//! A replay is a lane of its own (`lane`), so that it has its own cursor and holds up nobody.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use crate::core::Core;
use crate::error::RouterError;
use crate::lane::{Now, Redriven};
use crate::letters::from;
use crate::meter::Bucket;
use crate::notice::{DISCARDED, JOB_ENDED};
use crate::records::LaneId;
use crate::registry::{JOBS_MAX, KeptJob, job_key};
use crate::shown::{JobKind, JobShown, JobState};

/// Most dead letters of one job under way.
const OUT_MAX: usize = 4_096;
/// Most records that a job looks at in one turn.
const LOOKED_MAX: usize = 512;
/// How long a job waits where nothing else tells when to go on, in milliseconds.
const PAUSE_MS: u64 = 20;

/// A job at work, or ended.
pub(crate) struct Job {
    pub(crate) kept: KeptJob,
    /// Dead letters under way.
    out: BTreeSet<u64>,
    bucket: Bucket,
    /// Up to here it had looked before the last end of the process.
    again_to: u64,
    has_looked_at_all: bool,
    /// Its record is to be written.
    pub(crate) is_dirty: bool,
}

impl Job {
    pub(crate) fn new(mut kept: KeptJob, now: Duration) -> Self {
        let (rate, again_to) = (kept.shown.rate, kept.looked_to);
        kept.looked_to = kept.settled_to;
        Self {
            bucket: Bucket::new(rate, now),
            kept,
            out: BTreeSet::new(),
            again_to,
            has_looked_at_all: false,
            is_dirty: false,
        }
    }

    pub(crate) fn shown(&self) -> &JobShown {
        &self.kept.shown
    }

    pub(crate) fn is_running(&self) -> bool {
        self.kept.shown.state == JobState::Running
    }

    pub(crate) fn is_of(&self, subscription: u32, kind: JobKind) -> bool {
        self.kept.subscription == subscription && self.kept.shown.kind == kind
    }

    pub(crate) fn has_out(&self, position: u64) -> bool {
        self.out.contains(&position)
    }

    /// Whether dead letters that were under way before a crash have to go before anything else of the subscription.
    pub(crate) fn goes_first(&self) -> bool {
        self.is_running()
            && self.kept.shown.kind == JobKind::Redrive
            && !self.has_looked_at_all
            && self.kept.looked_to < self.again_to
            && self.out.len() < OUT_MAX
    }

    pub(crate) fn came_back(&mut self, position: u64, how: Redriven) {
        self.out.remove(&position);
        self.count(how);
    }

    pub(crate) fn count(&mut self, how: Redriven) {
        let shown = &mut self.kept.shown;
        shown.done = shown.done.saturating_add(1);
        let counted = match how {
            Redriven::Delivered => &mut shown.succeeded,
            Redriven::GivenUp => &mut shown.failed,
            Redriven::Waits => &mut shown.waits,
        };
        *counted = counted.saturating_add(1);
        self.is_dirty = true;
    }

    pub(crate) fn next_wake(&self, now: Duration) -> Option<Duration> {
        if !self.is_running() || self.kept.shown.kind == JobKind::Replay || self.has_looked_at_all {
            return None;
        }
        Some(self.bucket.next().max(now.saturating_add(Duration::from_millis(PAUSE_MS / 10))))
    }
}

impl Core {
    /// Moves all jobs on.
    pub(crate) fn step_jobs(&mut self, now: Now) {
        let running: Vec<u32> =
            self.jobs.iter().filter(|(_, job)| job.is_running()).map(|(number, _)| *number).collect();
        for number in running {
            let kind = self.jobs.get(&number).map(|job| job.shown().kind);
            let stepped = match kind {
                Some(JobKind::Redrive) => self.step_redrive(number, now),
                Some(JobKind::Discard) => self.step_discard(number, now),
                Some(JobKind::Replay) => {
                    self.step_replay(number, now);
                    Ok(())
                }
                None => Ok(()),
            };
            if let Err(error) = stepped {
                self.stopped = Some(format!("{}: {error}", error.code()));
            }
        }
        self.step_purges();
    }

    fn step_redrive(&mut self, number: u32, now: Now) -> Result<(), RouterError> {
        let Some(job) = self.jobs.get_mut(&number) else { return Ok(()) };
        let subscription = job.kept.subscription;
        if !self.subscriptions.get(&subscription).is_some_and(|one| one.delivers()) {
            return Ok(());
        }
        let live = LaneId { subscription, job: 0 };
        let Some(stream) = self.streams.get_mut(&live) else { return Ok(()) };
        let is_again = job.kept.looked_to < job.again_to;
        let ready = if is_again { LOOKED_MAX } else { job.bucket.ready(now.mono) };
        let mut most = ready.min(OUT_MAX.saturating_sub(job.out.len()));
        if !job.has_looked_at_all && most > 0 {
            let (found, mut end) = from(&*self.means.state, subscription, job.kept.looked_to, LOOKED_MAX)?;
            for found in &found {
                let letter = &found.letter;
                let is_older = letter.last.0 <= job.kept.shown.started_ns;
                if !is_older || letter.job == number || !job.kept.shown.filter.takes(found) {
                    continue;
                }
                if most == 0 {
                    end = Some(found.position);
                    break;
                }
                most -= 1;
                job.bucket.take(usize::from(!is_again));
                if stream.lane.redrive(found.position, letter, found.parks, number) {
                    job.out.insert(found.position);
                } else if !job.out.contains(&found.position) {
                    // A replay's, of an event that the subscription's own lane has before it or under way.
                    job.count(Redriven::Waits);
                }
            }
            job.kept.looked_to = end.unwrap_or(u64::MAX);
            job.has_looked_at_all = end.is_none_or(|end| job.kept.shown.filter.is_over(end));
            job.is_dirty = true;
        }
        // Some wait from now on: that is counted before anything of it is committed.
        self.effects(live, now);
        let Some(job) = self.jobs.get_mut(&number) else { return Ok(()) };
        job.kept.settled_to = job.out.first().copied().unwrap_or(job.kept.looked_to);
        if job.has_looked_at_all && job.out.is_empty() {
            self.end_job(number, JobState::Done, now);
        }
        Ok(())
    }

    fn step_discard(&mut self, number: u32, now: Now) -> Result<(), RouterError> {
        if self.is_owing_too_much() {
            return Ok(());
        }
        let Some(job) = self.jobs.get_mut(&number) else { return Ok(()) };
        let (subscription, looked_to) = (job.kept.subscription, job.kept.looked_to);
        let live = LaneId { subscription, job: 0 };
        let Some(stream) = self.streams.get_mut(&live) else { return Ok(()) };
        let (found, mut end) = from(&*self.means.state, subscription, job.kept.looked_to, LOOKED_MAX)?;
        let mut discarded = Vec::new();
        for found in found {
            let is_older = found.letter.last.0 <= job.kept.shown.started_ns;
            if !is_older || !job.kept.shown.filter.takes(&found) {
                continue;
            }
            if found.position >= stream.lane.read_to() {
                // The lane has to come to it first, lest it is delivered afterwards.
                end = Some(found.position);
                break;
            }
            let is_done = stream.lane.discard(found.position, found.letter.key, found.parks);
            job.count(if is_done { Redriven::Delivered } else { Redriven::Waits });
            if is_done {
                discarded.push(found.position);
            }
        }
        job.kept.looked_to = end.unwrap_or(u64::MAX);
        job.kept.settled_to = job.kept.looked_to;
        job.is_dirty |= job.kept.looked_to != looked_to;
        let is_over = end.is_none_or(|end| job.kept.shown.filter.is_over(end));
        let is_same = end == Some(looked_to);
        let (name, reason, by) =
            (job.shown().subscription.clone(), job.shown().reason.clone(), job.shown().by.clone());
        for position in discarded {
            self.no_letter(subscription, position);
            let data = json!({ "subscription": name, "position": position, "reason": reason, "job": number });
            let id = format!("discarded-{subscription}-{position}-{number}");
            self.owe(DISCARDED, id, Some(position), Some(by.clone()), data);
        }
        // What is looked at next must be what is left.
        self.effects(live, now);
        if !is_same {
            self.commit(now);
        }
        if is_over {
            self.end_job(number, JobState::Done, now);
        }
        Ok(())
    }

    fn step_replay(&mut self, number: u32, now: Now) {
        let Some(job) = self.jobs.get_mut(&number) else { return };
        let id = LaneId { subscription: job.kept.subscription, job: number };
        let Some(stream) = self.streams.get(&id) else { return };
        let low = stream.lane.low();
        let until = job.kept.shown.to;
        if job.kept.settled_to != low {
            job.kept.settled_to = low;
            job.is_dirty = true;
        }
        if stream.lane.read_to() >= until && stream.lane.is_idle() {
            self.end_job(number, JobState::Done, now);
        }
    }

    /// A job ends.
    pub(crate) fn end_job(&mut self, number: u32, state: JobState, now: Now) {
        let Some(job) = self.jobs.get_mut(&number) else { return };
        job.kept.shown.state = state;
        job.kept.shown.ended_ns = Some(now.utc.0);
        self.registry.insert(job_key(number), Some(job.kept.write()));
        let subscription = job.kept.subscription;
        let Some(shown) = self.jobs.get(&number).map(|job| self.shown_job(job)) else { return };
        let id = LaneId { subscription, job: number };
        if self.streams.contains_key(&id) && shown.kind == JobKind::Replay {
            // What it gave up is a dead letter; what it had not delivered stays in the ledger, and is nobody's exception any more.
            self.commit(now);
            self.streams.remove(&id);
            self.order.retain(|other| *other != id);
            self.purges.push(id);
        }
        let data = json!({
            "subscription": shown.subscription, "job": number, "kind": shown.kind, "state": state,
            "total": shown.total, "done": shown.done, "succeeded": shown.succeeded,
            "failed": shown.failed, "waits": shown.waits,
        });
        self.owe(JOB_ENDED, format!("job-ended-{number}"), None, None, data);
        self.forget_old_jobs();
    }

    fn forget_old_jobs(&mut self) {
        while self.jobs.len() > JOBS_MAX {
            let Some(oldest) = self.jobs.iter().find(|(_, job)| !job.is_running()).map(|(at, _)| *at) else {
                return;
            };
            self.jobs.remove(&oldest);
            self.registry.insert(job_key(oldest), None);
        }
    }
}
