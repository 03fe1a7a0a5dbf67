//! What was decided becomes durable: all lanes' changes and cursors, jobs, subscriptions and owed notices.

use std::time::Duration;

use waag_keys::state::{Change, Expect, State, StateError, Table};

use crate::core::Core;
use crate::lane::Now;
use crate::records::{Changes, cursor_value, lane_key};
use crate::registry::job_key;

/// After so long, in milliseconds, changes are committed.
const COMMIT_MS: u64 = 100;
/// After so long, in milliseconds, cursors that moved are committed although nothing else changed.
const CURSORS_MS: u64 = 1_000;
/// With so many changes, they are committed at once.
const COMMIT_CHANGES: usize = 8_192;
/// Changes of lanes that go into one commit; a lane has no more at a time than a commit takes beside these.
const GROUP_CHANGES: usize = 30_000;

impl Core {
    /// How many changes wait to be committed, cursors not counted.
    fn pending(&self) -> usize {
        let lanes: usize = self.streams.values().map(|stream| stream.lane.pending()).sum();
        lanes.saturating_add(self.changes.len()).saturating_add(self.registry.len())
    }

    /// How long after a commit the next one is due.
    pub(crate) fn commit_wait(&self) -> Duration {
        let has_news = self.pending() > 0 || self.jobs.values().any(|job| job.is_dirty);
        Duration::from_millis(if has_news { COMMIT_MS } else { CURSORS_MS })
    }

    pub(crate) fn commit_if_due(&mut self, now: Now) {
        let age = now.mono.saturating_sub(self.committed_at);
        if age >= self.commit_wait() || self.pending() >= COMMIT_CHANGES {
            self.commit(now);
        }
    }

    /// Makes everything durable that was decided so far (`ROUTE-2`). One commit as a rule; where there is more than the state
    /// takes at once, each lane's changes still go with its cursor.
    pub(crate) fn commit(&mut self, now: Now) {
        if self.stopped.is_some() {
            return;
        }
        self.committed_at = now.mono;
        for job in self.jobs.values_mut().filter(|job| job.is_dirty) {
            job.is_dirty = false;
            self.registry.insert(job_key(job.shown().number), Some(job.kept.write()));
        }
        let mut group = Group {
            registry: std::mem::take(&mut self.registry),
            delivery: std::mem::take(&mut self.changes),
            cursors: self.purge_cursors.drain(..).map(|key| (key, None)).collect(),
        };
        for (id, stream) in &mut self.streams {
            group.delivery.append(&mut stream.lane.take_changes());
            let letters = match self.subscriptions.get(&id.subscription) {
                Some(subscription) if id.job == 0 => subscription.letters,
                Some(_) | None => 0,
            };
            let cursor = (stream.lane.low(), letters);
            if stream.committed != Some(cursor) {
                stream.committed = Some(cursor);
                group.cursors.push((lane_key(*id), Some(cursor_value(cursor.0, cursor.1))));
            }
            if group.len() >= GROUP_CHANGES
                && let Err(error) = std::mem::take(&mut group).commit(&*self.means.state)
            {
                self.stopped = Some(format!("{}: {error}", error.code()));
                return;
            }
        }
        // Nothing that is not durable may be built on; a restart reads what is there.
        match group.commit(&*self.means.state) {
            Ok(()) => {
                self.owed.fresh.clear();
                self.letters.clear();
            }
            Err(error) => self.stopped = Some(format!("{}: {error}", error.code())),
        }
    }
}

/// What is committed together.
#[derive(Default)]
struct Group {
    registry: Changes,
    delivery: Changes,
    cursors: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Group {
    fn len(&self) -> usize {
        self.registry.len().saturating_add(self.delivery.len()).saturating_add(self.cursors.len())
    }

    fn commit(self, state: &dyn State) -> Result<(), StateError> {
        let of = |table, key, value| Change { table, key, expect: Expect::Any, value };
        let mut changes: Vec<Change<'_>> = Vec::with_capacity(self.len());
        changes
            .extend(self.registry.iter().map(|(key, value)| of(Table::Subscription, key, value.as_deref())));
        changes.extend(self.delivery.iter().map(|(key, value)| of(Table::Delivery, key, value.as_deref())));
        changes.extend(self.cursors.iter().map(|(key, value)| of(Table::Cursor, key, value.as_deref())));
        if changes.is_empty() { Ok(()) } else { state.commit(&changes).map(drop) }
    }
}
