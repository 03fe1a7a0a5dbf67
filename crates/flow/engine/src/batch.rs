//! A batch of sealed entries on its way to the writer, and what its sender gets back.
//!
//! Not here: sealing (`sealer`), sequencing (`engine`).

use std::sync::Arc;

use waag_ledger::checkpoint::SignedCheckpoint;
use waag_ledger::hash::Hash;
use waag_ledger::range::RangeProof;
use waag_log::frame::FRAME_ENTRIES_MAX;
use waag_model::ids::{Position, Tag};

/// Most events of one batch (design: `batch_entries_max`): what one frame can hold.
pub const BATCH_ENTRIES_MAX: usize = FRAME_ENTRIES_MAX;
/// Largest sealed body of one batch, in bytes: half a frame, so that two always fit beside each other's heads.
pub const BATCH_BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// Names a batch between the engine and whoever waits for its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Sealed entries, ready to be sequenced; made by `sealer::BatchBuilder` only.
#[derive(Debug)]
pub struct SealedBatch {
    /// Entries one after another, each with its length in two bytes (big endian) before it: a piece of a frame's body.
    pub(crate) body: Vec<u8>,
    /// Each entry's place in `body` (its length prefix), leaf hash and identity.
    pub(crate) entries: Vec<SealedEntry>,
    /// The batch uses keys up to this creation; they are durable before its frame is.
    pub(crate) keys_serial: u64,
    /// How many destructions of keys this batch has seen; one more since, and it must be sealed again.
    pub(crate) keys_epoch: u64,
}

/// One sealed entry of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SealedEntry {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) leaf: Hash,
    pub(crate) identity: Tag,
}

impl SealedBatch {
    /// How many entries it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The bytes of its sealed body, which is what it takes of the writer's memory.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        self.body.len()
    }

    /// One entry's bytes, without its length prefix.
    pub(crate) fn entry(&self, index: usize) -> &[u8] {
        let entry = self.entries.get(index);
        entry.and_then(|entry| self.body.get(entry.start + 2..entry.end)).unwrap_or_default()
    }
}

/// What became of a batch: the acknowledgement. Made by the engine only, when everything in it is durable and guarded.
#[derive(Clone, Debug)]
pub struct BatchReceipt {
    /// The signed checkpoint everything here is proven to.
    pub checkpoint: Arc<SignedCheckpoint>,
    /// One outcome per event, in the batch's order.
    pub items: Vec<Outcome>,
    /// Proves all new entries of the batch, which stand at neighbouring positions; none where nothing was new.
    pub range: Option<RangeProof>,
}

/// What became of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Recorded under this batch's checkpoint.
    Recorded(Recorded),
    /// The same event was recorded before: its first place, provable to this and any later checkpoint.
    Before(Recorded),
    /// Another event was recorded under the same `source` and `id`: nothing was recorded (409).
    Conflict(Position),
    /// What was recorded under the same `source` and `id` has been erased, so the two cannot be compared (409).
    Erased(Position),
}

/// Where an event is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its position.
    pub position: Position,
    /// Its leaf hash.
    pub leaf: Hash,
}

impl BatchReceipt {
    /// The leaf hashes of the new entries, which `range` proves.
    #[must_use]
    pub fn new_leaves(&self) -> Vec<Hash> {
        let new =
            |item: &Outcome| if let Outcome::Recorded(recorded) = item { Some(recorded.leaf) } else { None };
        self.items.iter().filter_map(new).collect()
    }
}
