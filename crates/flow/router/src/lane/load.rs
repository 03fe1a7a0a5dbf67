//! The lane as the state has it: waiting events, parked keys and what was read before, at the start; and further records of a
//! key when those in memory are worked off.

use std::time::Duration;

use crate::lane::queue::{Block, Item};
use crate::lane::{ITEMS_MAX, Lane, Now};
use crate::records::{Key, Queued};

impl Lane {
    /// What was known at the start is of no use once it is passed.
    pub(super) fn forget_known(&mut self) {
        if self.known.first().is_some_and(|known| *known < self.read_to) {
            self.known = self.known.split_off(&self.read_to);
        }
        if self.known.is_empty() {
            self.settled.clear();
        }
    }

    /// A waiting event from the state, at the start; they come by key, then by position.
    pub(crate) fn load(&mut self, key: Key, position: u64, record: Queued, now: Now) {
        self.load_of(key, position);
        self.queued = self.queued.saturating_add(1);
        let queue = self.queues.entry(key).or_default();
        if queue.items.len() >= ITEMS_MAX {
            queue.more = true;
            return;
        }
        if queue.items.is_empty() && record.due.0 > now.utc.0 && queue.block == Block::None {
            let left = u64::try_from(record.due.0.saturating_sub(now.utc.0)).unwrap_or_default();
            let at = now.mono.saturating_add(Duration::from_nanos(left));
            queue.block = Block::Until(at);
            self.due.insert((at, key));
            self.waiting = self.waiting.saturating_add(1);
        }
        queue.items.push_back(Item::of_record(position, record));
        self.schedule(key);
    }

    /// A position that has a record of any kind, from the state at the start: it is not taken from the ledger again.
    pub(crate) fn load_known(&mut self, position: u64) {
        if position >= self.read_to {
            self.known.insert(position);
        }
    }

    /// A key that is parked, from the state at the start.
    pub(crate) fn load_parked(&mut self, key: Key, position: u64) {
        self.load_of(key, position);
        self.set_block(key, Block::Parked(position));
        // Events of parked keys are not wanted before somebody redrives.
        if let Some(head) = self.queues.get(&key).and_then(|queue| queue.items.front()) {
            self.bodies.remove(&head.position);
        }
    }

    /// When this event got its record, all before it of its key had theirs or were settled. Those without one are not taken
    /// again: they would come behind it.
    pub(super) fn load_of(&mut self, key: Key, position: u64) {
        self.load_known(position);
        if self.known.contains(&position) {
            let settled = self.settled.entry(key).or_default();
            *settled = (*settled).max(position);
        }
    }

    /// A key whose further records have to be read from the state, after everything is committed.
    #[must_use]
    pub fn refill_wanted(&self) -> Option<Key> {
        self.refills.first().copied()
    }

    /// The first records of a key, and whether there are more.
    pub(crate) fn refill(&mut self, key: Key, records: Vec<(u64, Queued)>, more: bool) {
        self.refills.remove(&key);
        let Some(queue) = self.queues.get_mut(&key) else { return };
        queue.more = more;
        for (position, record) in records {
            if queue.items.iter().all(|item| item.position != position) {
                queue.insert(Item::of_record(position, record));
            }
        }
        self.schedule(key);
    }
}
