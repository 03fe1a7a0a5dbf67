//! Dead letters that somebody tries again or discards.

use crate::lane::Lane;
use crate::lane::queue::{Block, Item};
use crate::records::{DeadLetter, Key, Kind, LaneId, Queued, numbered_key};

impl Lane {
    /// A dead letter is to be tried again by a job, before all events of its key that are not under way; `false` where it is
    /// already, is none any more, or is a replay's and still to come here.
    pub fn redrive(&mut self, position: u64, letter: &DeadLetter, parks: bool, job: u32) -> bool {
        let key = letter.key;
        let is_to_come = letter.why.replay.is_some() && position >= self.read_to;
        let is_there = self.queues.get(&key).is_some_and(|queue| queue.has(position));
        if is_to_come || is_there || self.is_removed(position, parks) {
            return false;
        }
        if parks && self.queues.get(&key).is_some_and(|queue| queue.block == Block::Parked(position)) {
            self.set_block(key, Block::None);
        }
        if self.known.contains(&position) {
            self.load_of(key, position);
        }
        let queue = self.queues.entry(key).or_default();
        let mut item = Item::of_letter(position, letter.attempts, parks, job);
        if queue.goes_in_memory(position) {
            queue.insert(item);
        } else {
            // Records that are not in memory may come before it: it takes its place among them.
            self.record_one(key, &mut item, Queued::default());
        }
        self.schedule(key);
        true
    }

    /// A dead letter is discarded; `false` where it is under way again, is none any more, or reading has not come to it again
    /// since the start. To be committed before anything else of its key goes.
    #[must_use]
    pub fn discard(&mut self, position: u64, key: Key, parks: bool) -> bool {
        if position >= self.read_to || self.is_removed(position, parks) {
            return false;
        }
        if let Some(queue) = self.queues.get(&key) {
            if queue.has(position) {
                return false;
            }
            if queue.block == Block::Parked(position) {
                self.set_block(key, Block::None);
            }
        }
        self.changes.insert(numbered_key(self.letters(), dead(parks), position), None);
        // Reading begins behind it, lest a crash has it offered and delivered again.
        self.spill(position);
        self.schedule(key);
        true
    }

    /// Whether a dead letter's record is removed by changes that are not committed yet.
    pub(super) fn is_removed(&self, position: u64, parks: bool) -> bool {
        let record = numbered_key(self.letters(), dead(parks), position);
        self.changes.get(&record).is_some_and(Option::is_none)
    }

    /// Where dead letters lie: what a replay gives up is a dead letter of its subscription like any other.
    pub(super) fn letters(&self) -> LaneId {
        LaneId { job: 0, ..self.id }
    }
}

/// The kind of a dead letter's record.
pub(super) fn dead(parks: bool) -> Kind {
    if parks { Kind::Parked } else { Kind::Dead }
}
