//! Leases: a subscriber asks for events, and says what became of each.
//!
//! Invariant `LEASE-1`: a lease names the run, the lane and the attempt; an answer counts only while exactly that attempt is
//! under way. A late one is refused with E1134, and says to the subscriber that somebody else has the event by now.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::core::Core;
use crate::error::RouterError;
use crate::lane::{Attempt, Now};
use crate::records::LaneId;
use crate::shown::{LeaseAnswer, Leased, PULL_MAX, PULL_WAIT_MS_MAX};
use crate::spec::TargetSpec;
use crate::target::{Class, Failure, Outcome, REFUSED};

/// Who waits for the answer to a pull.
pub trait Pulls: Send {
    /// Whether anybody still waits; events are leased to nobody who has gone.
    fn is_wanted(&self) -> bool;

    /// The answer, from the router's thread; must not block, nor ask the router.
    fn hear(self: Box<Self>, events: Result<Vec<Leased>, RouterError>);
}

impl<F: FnOnce(Result<Vec<Leased>, RouterError>) + Send> Pulls for F {
    fn is_wanted(&self) -> bool {
        true
    }

    fn hear(self: Box<Self>, events: Result<Vec<Leased>, RouterError>) {
        self(events);
    }
}

/// Who is told what a pull gave.
pub type Pulled = Box<dyn Pulls>;
/// An answer takes no further event once it has so many bytes of them.
pub const PULL_BYTES_MAX: usize = 8 * 1_024 * 1_024;
/// Most pulls that wait at a time; one more is answered at once.
const PULLS_MAX: usize = 10_000;

/// A pull that waits.
pub(crate) struct Pull {
    subscription: u32,
    most: usize,
    pub(crate) until: Duration,
    then: Pulled,
}

impl Core {
    pub(crate) fn pull(&mut self, name: &str, most: usize, wait: Duration, then: Pulled) {
        let subscription = match self.pulled(name) {
            Ok(subscription) => subscription,
            Err(error) => return then.hear(Err(error)),
        };
        let wait = wait.min(Duration::from_millis(PULL_WAIT_MS_MAX));
        let wait = if self.pulls.len() >= PULLS_MAX { Duration::ZERO } else { wait };
        let until = self.now().mono.saturating_add(wait);
        self.pulls.push(Pull { subscription, most: most.clamp(1, PULL_MAX), until, then });
    }

    /// The subscription of this name, which is one that is pulled.
    fn pulled(&self, name: &str) -> Result<u32, RouterError> {
        let number = self.number(name)?;
        let is_pulled = |one: &crate::core::Subscription| matches!(one.spec().target, TargetSpec::Pull {});
        if self.subscriptions.get(&number).is_some_and(is_pulled) {
            Ok(number)
        } else {
            Err(RouterError::NotPulled(name.to_owned()))
        }
    }

    pub(crate) fn serve_pulls(&mut self, now: Now) {
        let (is_full, held) = (self.is_owing_too_much(), self.held());
        for pull in std::mem::take(&mut self.pulls) {
            if !pull.then.is_wanted() {
                continue;
            }
            if !self.subscriptions.contains_key(&pull.subscription) {
                pull.then.hear(Err(RouterError::Unknown("removed meanwhile".to_owned())));
                continue;
            }
            let leased =
                if is_full { Vec::new() } else { self.lease(pull.subscription, pull.most, &held, now) };
            if !leased.is_empty() || now.mono >= pull.until {
                pull.then.hear(Ok(leased));
            } else {
                self.pulls.push(pull);
            }
        }
    }

    pub(crate) fn refuse_pulls(&mut self) {
        let why = self.stopped.clone().unwrap_or_default();
        for pull in self.pulls.drain(..) {
            pull.then.hear(Err(RouterError::Stopped(why.clone())));
        }
    }

    /// Leases what is ready: live events first, then replays'.
    fn lease(&mut self, number: u32, most: usize, held: &BTreeSet<u32>, now: Now) -> Vec<Leased> {
        let mut leased = Vec::new();
        let live = LaneId { subscription: number, job: 0 };
        let lanes = self.streams.range(live..=LaneId { job: u32::MAX, ..live }).map(|(id, _)| *id);
        let waits = held.contains(&number);
        let lanes: Vec<LaneId> = lanes.filter(|id| id.job != 0 || !waits).collect();
        let Some(subscription) = self.subscriptions.get(&number) else { return leased };
        if !subscription.delivers() {
            return leased;
        }
        let (transform, lease_ms) = (subscription.transform.clone(), subscription.spec().timeout_ms);
        let (mut failed, mut bytes) = (Vec::new(), 0_usize);
        for id in lanes {
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            while leased.len() < most && bytes < PULL_BYTES_MAX {
                let serial = self.serial;
                let Some(attempt) = stream.lane.dispatch(serial, now) else { break };
                self.serial = self.serial.saturating_add(1);
                let Attempt { event, number: attempt, .. } = attempt;
                let body = match transform.as_ref().map(|how| how.apply(&event.json)) {
                    None => event.json.to_vec(),
                    Some(Ok(bytes)) => bytes,
                    Some(Err(error)) => {
                        failed.push((
                            id,
                            serial,
                            Failure::new(Class::Terminal, error.code(), error.to_string()),
                        ));
                        continue;
                    }
                };
                bytes = bytes.saturating_add(body.len());
                leased.push(Leased {
                    lease: format!("{:x}-{:x}-{serial:x}", self.run, id.job),
                    position: event.position.0,
                    kind: event.kind.to_string(),
                    attempt,
                    replay: (id.job != 0).then_some(id.job),
                    lease_ms,
                    body,
                });
            }
        }
        for (id, serial, failure) in failed {
            self.settle(id, serial, Outcome::Failed(failure));
        }
        leased
    }

    pub(crate) fn answer(
        &mut self,
        name: &str,
        answers: Vec<LeaseAnswer>,
    ) -> Result<Vec<Result<(), RouterError>>, RouterError> {
        let number = self.pulled(name)?;
        Ok(answers.into_iter().map(|answer| self.answer_one(number, answer)).collect())
    }

    fn answer_one(&mut self, subscription: u32, answer: LeaseAnswer) -> Result<(), RouterError> {
        let late = || RouterError::Lease(answer.lease().chars().take(64).collect());
        let (run, job, serial) = parts(answer.lease()).ok_or_else(late)?;
        if run != self.run {
            return Err(late());
        }
        let id = LaneId { subscription, job };
        let outcome = match &answer {
            LeaseAnswer::Acknowledge { .. } => Outcome::Delivered(None),
            LeaseAnswer::Extend { .. } => {
                let now = self.now();
                let extended =
                    self.streams.get_mut(&id).is_some_and(|stream| stream.lane.extend(serial, now));
                return if extended { Ok(()) } else { Err(late()) };
            }
            LeaseAnswer::Reject { terminal, retry_after_ms, reason, .. } => {
                let class = if *terminal { Class::Terminal } else { Class::Transient };
                let said = if reason.is_empty() { "rejected by the subscriber" } else { reason.as_str() };
                let said: String = said.chars().filter(|c| !c.is_control()).take(200).collect();
                let mut failure = Failure::new(class, REFUSED, said);
                failure.retry_after = retry_after_ms.map(Duration::from_millis);
                Outcome::Failed(failure)
            }
        };
        if self.settle(id, serial, outcome) { Ok(()) } else { Err(late()) }
    }
}

/// Run, job and serial of a lease.
fn parts(lease: &str) -> Option<(u64, u32, u64)> {
    let mut parts = lease.split('-');
    let run = u64::from_str_radix(parts.next()?, 16).ok()?;
    let job = u32::from_str_radix(parts.next()?, 16).ok()?;
    let serial = u64::from_str_radix(parts.next()?, 16).ok()?;
    parts.next().is_none().then_some((run, job, serial))
}
