//! Letting the low position pass what is not settled: events of the window become records.
//!
//! Place: part of the lane. An event under way stays under way; only where it is kept changes.
//! Not here: records of failed events, which the lane makes as they fail.

use crate::lane::Lane;
use crate::lane::queue::{Origin, Queue};
use crate::records::Key;

impl Lane {
    /// Events up to this position that are only in the window become records, those behind them of the same keys too, so
    /// that reading begins behind it after a crash. The changes belong into the commit of what needs it: a discarded event,
    /// or another ordering key of the subscription, for which all are spilled.
    pub fn spill(&mut self, to: u64) {
        if self.low() > to {
            return;
        }
        let is_in = |queue: &Queue| {
            queue.items.iter().any(|item| item.origin == Origin::Window && item.position <= to)
        };
        let keys: Vec<Key> =
            self.queues.iter().filter(|(_, queue)| is_in(queue)).map(|(key, _)| *key).collect();
        for key in keys {
            self.record_all(key);
        }
    }

    /// A change that is not to be made after all: what another lane has recorded stands.
    pub(crate) fn forget_change(&mut self, record: &[u8]) {
        self.changes.remove(record);
    }

    /// A record of another lane gives way to one of this.
    pub(crate) fn replace(&mut self, record: Vec<u8>) {
        self.changes.insert(record, None);
    }

    /// Where a full window is mostly settled, all else waits for a few slow ones: they make room.
    pub(super) fn spill_stragglers(&mut self) {
        let events = self.window.len();
        if events >= self.policy.window_max
            && self.unsettled.saturating_mul(2) <= events
            && let Some((middle, _)) = self.window.get(events / 2).copied()
        {
            self.spill(middle);
        }
    }
}
