//! What follows from an attempt's outcome: done, again later, or given up.

use std::time::Duration;

use waag_model::time::UtcNanos;

use crate::lane::delay::{again_after, is_over};
use crate::lane::letters::dead;
use crate::lane::queue::{Block, Item, Origin, Queue};
use crate::lane::{
    Effect, Flight, ITEMS_MAX, KEPT_KEYS_MAX, KEYS_WAITING_MAX, Lane, Now, Redriven, Settled, THROTTLED_S_MAX,
};
use crate::records::{DeadLetter, Key, Queued, Why, numbered_key, queued_key};
use crate::spec::OnFailure;
use crate::target::{Class, Failure, Outcome, SNIPPET_CHARS_MAX};

impl Lane {
    /// An attempt has come out; none where it is not under way (`ROUTE-3`).
    pub fn settle(&mut self, serial: u64, outcome: Outcome, now: Now) -> Option<Settled> {
        let flight = self.flights.remove(&serial)?;
        self.deadlines.remove(&(flight.deadline, serial));
        let queue = self.queues.get_mut(&flight.key)?;
        let item = queue.come_back(flight.position)?;
        match outcome {
            Outcome::Delivered(_) => {
                if self.breaker.succeeded() {
                    self.effects.push(Effect::Recovered);
                }
                self.done(flight.key, &item);
                self.schedule(flight.key);
            }
            Outcome::Failed(failure) => self.failed(flight.key, item, failure, now),
        }
        self.spill_stragglers();
        let Flight { position, number, begun, .. } = flight;
        Some(Settled { position, number, begun })
    }

    /// An event needs nothing any more: it leaves the window, or its record is removed.
    pub(super) fn done(&mut self, key: Key, item: &Item) {
        match item.origin {
            Origin::Window => self.leave_window(item.position),
            Origin::Queued => self.unqueue(key, item.position),
            Origin::Dead { parks } => {
                self.changes.insert(numbered_key(self.letters(), dead(parks), item.position), None);
                self.effects.push(Effect::Redriven(item.position, Redriven::Delivered));
            }
        }
    }

    /// A waiting event's record is removed.
    fn unqueue(&mut self, key: Key, position: u64) {
        self.queued = self.queued.saturating_sub(1);
        self.changes.insert(queued_key(self.id, &key, position), None);
    }

    pub(super) fn leave_window(&mut self, position: u64) {
        let at = self.window.binary_search_by_key(&position, |(position, _)| *position);
        if let Some((_, is_settled)) = at.ok().and_then(|at| self.window.get_mut(at)) {
            if !*is_settled {
                self.unsettled = self.unsettled.saturating_sub(1);
            }
            *is_settled = true;
        }
        while self.window.front().is_some_and(|(_, is_settled)| *is_settled) {
            self.window.pop_front();
        }
    }

    pub(super) fn failed(&mut self, key: Key, mut item: Item, failure: Failure, now: Now) {
        if failure.class == Class::Throttled {
            let wait = failure.retry_after.unwrap_or(Duration::from_secs(1));
            let wait = wait.min(Duration::from_secs(THROTTLED_S_MAX));
            self.throttled_until = self.throttled_until.max(now.mono.saturating_add(wait));
        } else {
            item.attempts = item.attempts.saturating_add(1);
        }
        let first = *item.first.get_or_insert(now.utc);
        if failure.class == Class::Gone {
            self.effects.push(Effect::Disabled(failure.code, failure.reason.clone()));
        }
        // A target that refuses one event for good is there: only being without an answer is a reason to leave it alone.
        if failure.class == Class::Terminal && self.breaker.succeeded() {
            self.effects.push(Effect::Recovered);
        }
        let alone = if self.policy.breaks && failure.class == Class::Transient {
            self.breaker.failed(key, now.mono)
        } else {
            None
        };
        if let Some(alone) = alone {
            self.effects.push(if alone.is_for_good {
                Effect::Disabled("E1146", "the target has only failed for days".to_owned())
            } else {
                Effect::LeftAlone(alone.wait)
            });
        }
        // That the target is gone is no event's fault.
        let is_over = || is_over(&self.policy.retry, item.attempts, first, now.utc);
        if failure.class == Class::Terminal || (failure.class != Class::Gone && is_over()) {
            self.give_up(key, &item, first, failure, now);
        } else {
            self.again(key, item, failure.retry_after, now);
        }
    }

    /// The event waits for a further attempt, and its key with it.
    pub(super) fn again(&mut self, key: Key, mut item: Item, retry_after: Option<Duration>, now: Now) {
        // No target can ask for longer, lest a key waits for ever.
        let asked = retry_after.unwrap_or_default().min(Duration::from_secs(THROTTLED_S_MAX));
        let wait = again_after(&self.policy.retry, item.attempts, item.position).max(asked);
        let due = UtcNanos(now.utc.0.saturating_add(i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX)));
        let record = Queued { attempts: item.attempts, due, first: item.first.unwrap_or(now.utc) };
        self.record_one(key, &mut item, record);
        if self.waiting >= KEPT_KEYS_MAX {
            item.event = None;
        }
        if let Some(queue) = self.queues.get_mut(&key) {
            queue.insert(item);
        }
        let is_parked = self.queues.get(&key).is_some_and(Queue::is_parked);
        if !is_parked {
            self.set_block(key, Block::Until(now.mono.saturating_add(wait)));
        }
        self.record_all(key);
        if self.waiting > KEYS_WAITING_MAX {
            self.effects.push(Effect::Halted("E1145", format!("more than {KEYS_WAITING_MAX} keys wait")));
        }
        self.schedule(key);
    }

    pub(super) fn give_up(&mut self, key: Key, item: &Item, first: UtcNanos, failure: Failure, now: Now) {
        let mut parks = self.policy.on_failure != OnFailure::Skip;
        match item.origin {
            Origin::Window => self.leave_window(item.position),
            Origin::Queued => self.unqueue(key, item.position),
            Origin::Dead { parks: parked } => {
                self.changes.insert(numbered_key(self.letters(), dead(parked), item.position), None);
                // A key that went on without it does not begin to wait for it.
                parks = parks && parked;
                self.effects.push(Effect::Redriven(item.position, Redriven::GivenUp));
            }
        }
        let kind = item.event.as_ref().map(|event| event.kind.to_string()).unwrap_or_default();
        let response = failure.response.chars().take(SNIPPET_CHARS_MAX).collect();
        let letter = DeadLetter {
            key,
            attempts: item.attempts.saturating_add(item.attempts_before),
            first,
            last: now.utc,
            job: if self.id.job == 0 { item.job } else { self.id.job },
            why: Why {
                kind,
                class: failure.class.name().to_owned(),
                code: failure.code.to_owned(),
                reason: failure.reason,
                status: failure.status,
                response,
                replay: (self.id.job != 0).then_some(self.id.job),
            },
        };
        let record = numbered_key(self.letters(), dead(parks), item.position);
        self.changes.insert(record, Some(letter.write()));
        self.effects.push(Effect::GaveUp { position: item.position, letter, parks });
        if parks {
            self.set_block(key, Block::Parked(item.position));
            self.record_all(key);
        }
        if self.parked > KEYS_WAITING_MAX {
            self.effects
                .push(Effect::Halted("E1145", format!("more than {KEYS_WAITING_MAX} keys are parked")));
        } else if parks && self.policy.on_failure == OnFailure::Halt {
            let why = format!("the event at position {} was given up", item.position);
            self.effects.push(Effect::Halted("E1147", why));
        }
        self.schedule(key);
    }

    /// Everything of a key that is still in the window becomes a record, so that the window can go on.
    pub(super) fn record_all(&mut self, key: Key) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        let mut items = std::mem::take(&mut queue.items);
        let goes = queue.is_out || queue.is_ready;
        for (at, item) in items.iter_mut().enumerate() {
            if item.origin != Origin::Queued {
                let record = Queued {
                    attempts: item.attempts,
                    due: UtcNanos(0),
                    first: item.first.unwrap_or(UtcNanos(0)),
                };
                // The failed one has its record already; those behind it lose their place in memory.
                self.record_one(key, item, record);
                if at > 0 || !goes {
                    item.event = None;
                }
            }
        }
        let Some(queue) = self.queues.get_mut(&key) else { return };
        if items.len() > ITEMS_MAX {
            items.truncate(ITEMS_MAX);
            queue.more = true;
        }
        queue.items = items;
    }

    pub(super) fn record_one(&mut self, key: Key, item: &mut Item, record: Queued) {
        match item.origin {
            Origin::Window => self.leave_window(item.position),
            Origin::Queued => {}
            Origin::Dead { parks } => {
                self.changes.insert(numbered_key(self.letters(), dead(parks), item.position), None);
                self.effects.push(Effect::Redriven(item.position, Redriven::Waits));
            }
        }
        if item.origin != Origin::Queued {
            self.queued = self.queued.saturating_add(1);
        }
        item.origin = Origin::Queued;
        self.changes.insert(queued_key(self.id, &key, item.position), Some(record.write()));
    }
}
