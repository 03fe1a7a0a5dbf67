//! The events of one key, in order: what is known in memory, and whether the state knows more.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use waag_model::time::UtcNanos;

use crate::lane::ITEMS_MAX;
use crate::records::Queued;
use crate::source::Event;

/// Where an event of a queue stands, should the process end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// In the ledger only, at or above the low position.
    Window,
    /// In a record of waiting events.
    Queued,
    /// In a dead letter's record, redriven.
    Dead {
        /// Whether its key waited for it.
        parks: bool,
    },
}

/// Why a key's events may not go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Block {
    /// They may.
    #[default]
    None,
    /// The first is tried again then.
    Until(Duration),
    /// They wait for what becomes of this dead letter.
    Parked(u64),
}

/// An event of a queue.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) position: u64,
    pub(super) origin: Origin,
    /// The event itself, where it is at hand.
    pub(super) event: Option<Arc<Event>>,
    pub(super) attempts: u32,
    /// Attempts before it was given up the last time.
    pub(super) attempts_before: u32,
    /// The job that tries it again; 0 where none does.
    pub(super) job: u32,
    /// When it was tried first.
    pub(super) first: Option<UtcNanos>,
}

impl Item {
    pub(super) fn of_window(event: Arc<Event>) -> Self {
        Self { event: Some(event.clone()), ..Self::new(event.position.0, Origin::Window) }
    }

    pub(super) fn of_record(position: u64, record: Queued) -> Self {
        let first = (record.first.0 != 0).then_some(record.first);
        Self { attempts: record.attempts, first, ..Self::new(position, Origin::Queued) }
    }

    /// Attempts count anew: somebody asked for them.
    pub(super) fn of_letter(position: u64, attempts_before: u32, parks: bool, job: u32) -> Self {
        Self { attempts_before, job, ..Self::new(position, Origin::Dead { parks }) }
    }

    fn new(position: u64, origin: Origin) -> Self {
        Self { position, origin, event: None, attempts: 0, attempts_before: 0, job: 0, first: None }
    }
}

/// The events of one key.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// By position, but for the first while it is under way.
    pub(super) items: VecDeque<Item>,
    /// The first is under way.
    pub(super) is_out: bool,
    /// The key stands among those that are ready.
    pub(super) is_ready: bool,
    pub(super) block: Block,
    /// The state has records of this key beyond those in memory.
    pub(super) more: bool,
}

impl Queue {
    /// Whether a later event of this key becomes a record at once rather than keeping the window from going on.
    pub(super) fn takes_records(&self) -> bool {
        // Records and what has none are never in a queue together, so the last that is no dead letter tells.
        let last = self.items.iter().rev().find(|item| !matches!(item.origin, Origin::Dead { .. }));
        self.block != Block::None || self.more || last.is_some_and(|item| item.origin == Origin::Queued)
    }

    /// Whether an event of this position comes before all records that are not in memory.
    pub(super) fn goes_in_memory(&self, position: u64) -> bool {
        let is_behind = |item: &Item| item.origin == Origin::Queued && item.position > position;
        !self.more || self.items.iter().any(is_behind)
    }

    /// Whether the event of this position is in memory.
    pub(super) fn has(&self, position: u64) -> bool {
        let under_way = self.items.front().filter(|_| self.is_out);
        under_way.is_some_and(|item| item.position == position)
            || self.items.back().is_some_and(|last| position <= last.position)
                && self.items.iter().any(|item| item.position == position)
    }

    pub(super) fn is_parked(&self) -> bool {
        matches!(self.block, Block::Parked(_))
    }

    /// A record behind all others.
    pub(super) fn push_queued(&mut self, position: u64) {
        if self.more || self.items.len() >= ITEMS_MAX {
            self.more = true;
        } else {
            self.items.push_back(Item::of_record(position, Queued::default()));
        }
    }

    /// Puts an event at its place; behind the one under way.
    pub(super) fn insert(&mut self, item: Item) {
        if self.items.back().is_some_and(|last| last.position < item.position) {
            // A redrive of many comes in order.
            self.items.push_back(item);
            return;
        }
        let from = usize::from(self.is_out);
        let behind = self.items.iter().skip(from).take_while(|other| other.position < item.position).count();
        self.items.insert(from.saturating_add(behind), item);
    }

    /// The first event goes under way.
    pub(super) fn next_out(&mut self) -> Option<(u64, Arc<Event>, u32)> {
        let head = self.items.front()?;
        let event = head.event.clone()?;
        self.is_out = true;
        Some((head.position, event, head.attempts.saturating_add(1)))
    }

    /// The event under way has come back and is taken out.
    pub(super) fn come_back(&mut self, position: u64) -> Option<Item> {
        debug_assert!(self.is_out, "only what is under way comes back");
        let item = self.items.front().filter(|item| item.position == position)?.clone();
        self.is_out = false;
        self.items.pop_front();
        Some(item)
    }

    /// The event that the first was wanted for.
    pub(super) fn give(&mut self, event: Arc<Event>) {
        if let Some(item) = self.items.iter_mut().find(|item| item.position == event.position.0) {
            item.event = Some(event);
        }
    }
}
