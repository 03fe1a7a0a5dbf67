//! The writer of one ledger as a step function: inputs in, effects out, no thread, no clock, no disk of its own.
//!
//! Place in the way of an event: from sealed batches to acknowledged entries. `runtime` carries the effects out on
//! threads; the simulator carries them out in an order of its own choosing. It is the very same type.
//!
//! ```text
//! Submit ─► queue ─► forming frame ─┬─ PersistKeys ─► KeysDurable ─┐
//!                                   └──────────────────────────────┴─► Append ─► Appended ─► Guard ─► Guarded ─► Reply
//! ```
//!
//! The next frame forms, and its keys are made durable, while the last one syncs; a frame's guard overlaps the next
//! frame's append. The point of no return is `Append`: from there an entry may be durable, and only `Guarded` says so.
//!
//! Invariants:
//! - `ENGINE-1`: a frame is appended only when every key its entries used is durable.
//! - `ENGINE-2`: an acknowledgement leaves only when the guard over its checkpoint is durable.
//! - `ENGINE-3`: one identity has one position; a retry is answered with the first one.
//! - `ENGINE-4`: keys are destroyed only while nothing is forming, appending or unguarded; a batch sealed before and
//!   sequenced after must be sealed again.
//! - `ENGINE-5`: after a failed or uncertain write nothing is signed or acknowledged any more.
//! - `ENGINE-6`: a crash leaves at most two frames beyond the guard.
//! - `ENGINE-7`: a guard asks for every commit of the state that was durable when its frame was: an event that tells of an
//!   erasure is under a guard that no state from before the erasure satisfies.
//!
//! Not here: sealing (`sealer`), comparing a retry with what was recorded (`compare`), opening a store (`recover`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use waag_ledger::checkpoint::{Checkpoint, SignedCheckpoint};
use waag_ledger::hash::Hash;
use waag_ledger::note::NoteSigner;
use waag_ledger::range::{RangeProof, RangeTree};
use waag_ledger::tree::Frontier;
use waag_log::frame::{FRAME_BYTES_MAX, FRAME_ENTRIES_MAX, Frame, FrameFields};
use waag_log::guard::GuardRecord;
use waag_model::ids::{Epoch, FrameNumber, LedgerId, Position};
use waag_model::time::UtcNanos;

use crate::batch::{BatchReceipt, Outcome, Recorded, SealedBatch, Ticket};
use crate::effect::{Committed, Comparison, Effect, Halt, Input, Rejection, Verdict};
use crate::identity::IdentityIndex;

/// Most batches that wait for their turn; one more is answered with `Busy`.
pub const BATCHES_QUEUED_MAX: usize = 64;
/// Most sealed bytes that wait for their turn.
pub const QUEUED_BYTES_MAX: usize = 32 * 1_024 * 1_024;
/// Durable frames that may wait for their guard while the next one is appended (`frames_in_flight_max` on files).
/// Recovery takes more frames beyond the guard for a guard that was taken back.
const UNGUARDED_FRAMES_MAX: usize = 1;
/// Bytes of a frame that are not body: header, trailer, padding to a block, with room to spare.
const FRAME_OVERHEAD_BYTES: usize = 8_192;
/// A clock that tells this time or a later one is wrong: a year before nanoseconds since 1970 end in 64 bits (2262-04-11).
/// Commit times only grow, so that a frame of such a time would be the last one for ever.
const CLOCK_END: UtcNanos = UtcNanos(i64::MAX - 365 * 86_400 * 1_000_000_000);

/// What the engine goes on from: an opened store.
#[derive(Debug)]
pub struct Start {
    /// The ledger's id.
    pub ledger: LedgerId,
    /// The checkpoint's origin line.
    pub origin: String,
    /// Who signs.
    pub signers: Vec<NoteSigner>,
    /// The tree of everything in the log.
    pub frontier: Frontier,
    /// The identities of what is in the log.
    pub identity: IdentityIndex,
    /// The writer's epoch.
    pub epoch: Epoch,
    /// The next frame's number.
    pub next_frame: FrameNumber,
    /// The last frame's header hash, or zeros.
    pub previous: Hash,
    /// The last frame's commit time.
    pub commit_time: UtcNanos,
    /// The guard as it stands.
    pub guard: GuardRecord,
    /// The signed checkpoint that the guard holds.
    pub checkpoint: Arc<SignedCheckpoint>,
    /// How many destructions the keyring has seen.
    pub keys_epoch: u64,
}

/// A frame that still takes batches.
#[derive(Debug, Default)]
struct Forming {
    body: Vec<u8>,
    leaves: Vec<Hash>,
    batches: Vec<(Ticket, u64, u64)>,
    keys_serial: u64,
}

/// A frame that takes no more: on its way to the log, or there and unguarded.
#[derive(Debug)]
struct Formed {
    number: FrameNumber,
    header_hash: Hash,
    tree: RangeTree,
    batches: Vec<(Ticket, u64, u64)>,
    checkpoint: Option<Arc<SignedCheckpoint>>,
}

/// A batch whose entries have positions and whose sender waits.
#[derive(Debug)]
struct Waiting {
    batch: SealedBatch,
    items: Vec<Item>,
    retries_open: usize,
    /// Comparisons start when everything before this position is guarded.
    retries_need: u64,
    compare_sent: bool,
    proven: Option<(Arc<SignedCheckpoint>, Option<RangeProof>)>,
}

#[derive(Clone, Copy, Debug)]
enum Item {
    Known(Outcome),
    Retry(Position),
}

/// The writer of one ledger.
#[derive(Debug)]
pub struct Engine {
    start: Start,
    queue: VecDeque<(Ticket, SealedBatch)>,
    queued_bytes: usize,
    forming: Forming,
    appending: Option<Formed>,
    /// In the log, not yet guarded; at most a few.
    unguarded: VecDeque<Formed>,
    /// The record that is being swapped in.
    guarding: Option<GuardRecord>,
    keys_durable: u64,
    keys_generation: u64,
    keys_in_flight: bool,
    waiting: BTreeMap<Ticket, Waiting>,
    barrier: Option<Barrier>,
    halted: Option<Halt>,
    /// A durable frame's buffer, to build the next one in.
    spare: Vec<u8>,
}

/// A destruction of keys that is to happen between two frames.
#[derive(Debug)]
struct Barrier {
    ticket: Ticket,
    sent: bool,
}

impl Engine {
    /// Goes on from an opened store.
    #[must_use]
    pub fn new(start: Start) -> Self {
        let keys_generation = start.guard.keys_generation;
        Self {
            start,
            queue: VecDeque::new(),
            queued_bytes: 0,
            forming: Forming::default(),
            appending: None,
            unguarded: VecDeque::new(),
            guarding: None,
            keys_durable: 0,
            keys_generation,
            keys_in_flight: false,
            waiting: BTreeMap::new(),
            barrier: None,
            halted: None,
            spare: Vec::new(),
        }
    }

    /// The last guarded checkpoint.
    #[must_use]
    pub fn checkpoint(&self) -> &Arc<SignedCheckpoint> {
        &self.start.checkpoint
    }

    /// The identity index, for its statistics.
    #[must_use]
    pub fn identity(&self) -> &IdentityIndex {
        &self.start.identity
    }

    /// Whether nothing is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
            && self.waiting.is_empty()
            && self.forming.leaves.is_empty()
            && self.appending.is_none()
            && self.unguarded.is_empty()
            && self.guarding.is_none()
            && self.barrier.is_none()
            && !self.keys_in_flight
    }

    /// Why the engine has stopped, where it has.
    #[must_use]
    pub fn halted(&self) -> Option<&Halt> {
        self.halted.as_ref()
    }

    /// Takes one input and appends what is to be done because of it.
    pub fn handle(&mut self, now: UtcNanos, input: Input, effects: &mut Vec<Effect>) {
        if let Some(halt) = self.halted.clone() {
            return Self::answer_halted(halt, input, effects);
        }
        match input {
            Input::Submit(ticket, batch) => self.submit(ticket, batch, effects),
            Input::KeysDurable(Ok(durable)) => {
                self.keys_in_flight = false;
                self.keys_durable = self.keys_durable.max(durable.serial());
                self.keys_generation = self.keys_generation.max(durable.generation().0);
            }
            Input::Appended(Ok((frame, generation))) => {
                // ENGINE-7: destructions, restrictions and what doors keep are committed past the engine.
                self.keys_generation = self.keys_generation.max(generation.0);
                self.spare = frame.into_buffer();
                self.appended(effects);
            }
            Input::Guarded(Ok(())) => self.guarded(effects),
            Input::Compared(ticket, verdicts) => self.compared(ticket, verdicts, effects),
            Input::CompareFailed(ticket, halt) => {
                if self.waiting.remove(&ticket).is_some() {
                    effects.push(Effect::Reply(ticket, Err(Rejection::Compare(halt))));
                }
            }
            Input::Destroy(ticket) => match self.barrier {
                None => self.barrier = Some(Barrier { ticket, sent: false }),
                Some(_) => effects.push(Effect::Reply(ticket, Err(Rejection::Busy))),
            },
            Input::Destroyed { keys_epoch } => {
                self.barrier = None;
                self.start.keys_epoch = keys_epoch;
            }
            Input::Maintained(done) => {
                if let Err(error) = self.start.identity.install(done) {
                    self.halt(Halt::identity(&error), effects);
                }
            }
            Input::KeysDurable(Err(halt))
            | Input::Appended(Err(halt))
            | Input::Guarded(Err(halt))
            | Input::BrokeOff(halt) => self.halt(halt, effects),
        }
        self.advance(now, effects);
    }

    fn submit(&mut self, ticket: Ticket, batch: SealedBatch, effects: &mut Vec<Effect>) {
        let full = self.queue.len() >= BATCHES_QUEUED_MAX
            || self.queued_bytes.saturating_add(batch.body.len()) > QUEUED_BYTES_MAX;
        if full {
            effects.push(Effect::Reply(ticket, Err(Rejection::Busy)));
        } else if batch.len() > self.start.identity.batch_entries_max() {
            effects.push(Effect::Reply(ticket, Err(Rejection::TooLong)));
        } else {
            self.queued_bytes += batch.body.len();
            self.queue.push_back((ticket, batch));
        }
    }

    /// Does everything that can be done now, in the order of a commit.
    fn advance(&mut self, now: UtcNanos, effects: &mut Vec<Effect>) {
        if self.halted.is_some() {
            return;
        }
        self.sequence(now, effects);
        if self.halted.is_some() {
            return;
        }
        let newest = self.queue.iter().map(|(_, batch)| batch.keys_serial).max().unwrap_or(0);
        let wanted = newest.max(self.forming.keys_serial);
        if wanted > self.keys_durable && !self.keys_in_flight {
            self.keys_in_flight = true;
            effects.push(Effect::PersistKeys { up_to: wanted });
        }
        // ENGINE-1.
        let keys_are_durable = self.forming.keys_serial <= self.keys_durable;
        let overlaps = self.unguarded.len() <= UNGUARDED_FRAMES_MAX;
        if self.appending.is_none() && overlaps && keys_are_durable && !self.forming.leaves.is_empty() {
            self.form(now, effects);
            // What did not fit into that frame begins to form the next one while it syncs.
            self.sequence(now, effects);
        }
        self.swap_guard(effects);
        self.pass_barrier(effects);
        // A run on disk must not know entries that a crash can still take back.
        let guarded = Position(self.start.guard.size);
        if self.start.identity.frozen_end().is_none_or(|end| end <= guarded)
            && let Some(job) = self.start.identity.next_job()
        {
            effects.push(Effect::Maintain(job));
        }
    }

    /// Gives queued batches their positions, as long as they fit into the forming frame.
    fn sequence(&mut self, now: UtcNanos, effects: &mut Vec<Effect>) {
        while self.barrier.is_none() && self.halted.is_none() {
            let Some((_, batch)) = self.queue.front() else { break };
            let bytes = self.forming.body.len() + batch.body.len() + FRAME_OVERHEAD_BYTES;
            let entries = self.forming.leaves.len() + batch.len();
            // Without room in the identity index a retry could not be told from a new event: wait for its job.
            let room = self.start.identity.room() >= batch.len();
            if bytes > FRAME_BYTES_MAX || entries > FRAME_ENTRIES_MAX || !room {
                break;
            }
            let Some((ticket, batch)) = self.queue.pop_front() else { break };
            self.queued_bytes = self.queued_bytes.saturating_sub(batch.body.len());
            if batch.keys_epoch != self.start.keys_epoch {
                // ENGINE-4.
                effects.push(Effect::Reply(ticket, Err(Rejection::Reseal)));
                continue;
            }
            if let Err(halt) = self.sequence_batch(now, ticket, batch, effects) {
                // This batch is in no list any more: its sender is told here.
                effects.push(Effect::Reply(ticket, Err(Rejection::Halted(halt.clone()))));
                self.halt(halt, effects);
            }
        }
    }

    fn sequence_batch(
        &mut self,
        now: UtcNanos,
        ticket: Ticket,
        batch: SealedBatch,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Halt> {
        let first = self.start.frontier.size() + self.forming.leaves.len() as u64;
        let mut next = first;
        let mut items = Vec::with_capacity(batch.len());
        let mut retries_need = 0;
        for entry in &batch.entries {
            // ENGINE-3.
            match self.start.identity.lookup(&entry.identity).map_err(|error| Halt::identity(&error))? {
                Some(before) => {
                    retries_need = retries_need.max(before.0 + 1);
                    items.push(Item::Retry(before));
                }
                None => {
                    let position = Position(next);
                    let inserted = self.start.identity.insert(entry.identity, position, now);
                    inserted.map_err(|error| Halt::identity(&error))?;
                    self.forming.leaves.push(entry.leaf);
                    items.push(Item::Known(Outcome::Recorded(Recorded { position, leaf: entry.leaf })));
                    next += 1;
                }
            }
        }
        let retries_open = items.iter().filter(|item| matches!(item, Item::Retry(_))).count();
        if retries_open == 0 {
            self.forming.body.extend_from_slice(&batch.body);
        } else {
            for (entry, item) in batch.entries.iter().zip(&items) {
                if matches!(item, Item::Known(_)) {
                    self.forming
                        .body
                        .extend_from_slice(batch.body.get(entry.start..entry.end).unwrap_or_default());
                }
            }
        }
        let mut waiting =
            Waiting { batch, items, retries_open, retries_need, compare_sent: false, proven: None };
        if next > first {
            self.forming.batches.push((ticket, first, next));
            self.forming.keys_serial = self.forming.keys_serial.max(waiting.batch.keys_serial);
        }
        if retries_open == 0 {
            // The frame has the bytes; only retries are looked at again.
            waiting.batch.body = Vec::new();
        }
        self.waiting.insert(ticket, waiting);
        self.settle(ticket, effects);
        Ok(())
    }

    /// Closes the forming frame: tree, header, bytes; and sends it to the log.
    fn form(&mut self, now: UtcNanos, effects: &mut Vec<Effect>) {
        if now >= CLOCK_END {
            let reason = "the clock tells a time beyond those that can be recorded (2261)".to_owned();
            return self.halt(Halt { code: "E0606", reason }, effects);
        }
        let Forming { body, leaves, batches, .. } = std::mem::take(&mut self.forming);
        let first = self.start.frontier.size();
        let tree = RangeTree::append(&mut self.start.frontier, &leaves);
        let commit_time = now.max(self.start.commit_time.later_by(1));
        let number = self.start.next_frame;
        let fields = FrameFields {
            ledger: self.start.ledger,
            epoch: self.start.epoch,
            number,
            commit_time,
            first: Position(first),
            previous: self.start.previous,
            root: tree.root(),
        };
        let frame = match Frame::build(&fields, &[&body], std::mem::take(&mut self.spare)) {
            Ok(frame) => frame,
            Err(error) => return self.halt(Halt::ours(error.code(), &error), effects),
        };
        let header_hash = frame.header_hash();
        self.start.commit_time = commit_time;
        self.start.next_frame = FrameNumber(number.0 + 1);
        self.start.previous = header_hash;
        self.appending = Some(Formed { number, header_hash, tree, batches, checkpoint: None });
        effects.push(Effect::Append { expected: number, frame });
    }

    /// The frame is durable: it counts, and its checkpoint is signed. Nobody hears of it before the guard has it.
    fn appended(&mut self, effects: &mut Vec<Effect>) {
        let Some(mut formed) = self.appending.take() else { return };
        let checkpoint = Checkpoint {
            origin: self.start.origin.clone(),
            size: formed.tree.tree_size(),
            root: formed.tree.root(),
        };
        let signers: Vec<&NoteSigner> = self.start.signers.iter().collect();
        match SignedCheckpoint::sign(checkpoint, &signers) {
            Ok(signed) => {
                formed.checkpoint = Some(Arc::new(signed));
                self.unguarded.push_back(formed);
            }
            Err(error) => self.halt(Halt::ours(error.code(), &error), effects),
        }
    }

    /// Guards the newest durable frame; that covers all before it.
    fn swap_guard(&mut self, effects: &mut Vec<Effect>) {
        if self.guarding.is_some() {
            return;
        }
        let Some((newest, checkpoint)) =
            self.unguarded.back().and_then(|f| Some((f, f.checkpoint.as_ref()?)))
        else {
            return;
        };
        let record = GuardRecord {
            sequence: self.start.guard.sequence + 1,
            ledger: self.start.ledger,
            epoch: self.start.epoch,
            frame: newest.number,
            size: newest.tree.tree_size(),
            root: newest.tree.root(),
            header_hash: newest.header_hash,
            keys_generation: self.keys_generation,
            checkpoint: checkpoint.note().as_bytes().to_vec(),
        };
        self.guarding = Some(record.clone());
        effects.push(Effect::SwapGuard { expected: self.start.guard.sequence, record });
    }

    /// The guard is durable: everything up to it is acknowledged (`ENGINE-2`).
    fn guarded(&mut self, effects: &mut Vec<Effect>) {
        let Some(record) = self.guarding.take() else { return };
        self.start.guard = record;
        while let Some(formed) = self.unguarded.pop_front_if(|formed| formed.number <= self.start.guard.frame)
        {
            let Some(checkpoint) = formed.checkpoint else { continue };
            self.start.checkpoint = Arc::clone(&checkpoint);
            for (ticket, first, end) in &formed.batches {
                let range = formed.tree.range_proof(*first, *end).ok();
                if let Some(waiting) = self.waiting.get_mut(ticket) {
                    waiting.proven = Some((Arc::clone(&checkpoint), range));
                }
            }
            let tickets: Vec<Ticket> = formed.batches.iter().map(|(ticket, ..)| *ticket).collect();
            effects.push(Effect::Follow(Committed { number: formed.number, tree: formed.tree, checkpoint }));
            tickets.into_iter().for_each(|ticket| self.settle(ticket, effects));
        }
        // Retries of what was under way can be compared now.
        let open: Vec<Ticket> =
            self.waiting.iter().filter(|(_, w)| !w.compare_sent).map(|(ticket, _)| *ticket).collect();
        open.into_iter().for_each(|ticket| self.settle(ticket, effects));
    }

    fn compared(&mut self, ticket: Ticket, verdicts: Vec<(usize, Verdict)>, effects: &mut Vec<Effect>) {
        let Some(waiting) = self.waiting.get_mut(&ticket) else { return };
        for (index, verdict) in verdicts {
            let Some(item) = waiting.items.get_mut(index) else { continue };
            let Item::Retry(position) = *item else { continue };
            waiting.retries_open = waiting.retries_open.saturating_sub(1);
            *item = Item::Known(match verdict {
                Verdict::Same(leaf) => Outcome::Before(Recorded { position, leaf }),
                Verdict::Other => Outcome::Conflict(position),
                Verdict::Erased => Outcome::Erased(position),
            });
        }
        self.settle(ticket, effects);
    }

    /// Answers a batch when all of it is known, or asks for what is missing.
    fn settle(&mut self, ticket: Ticket, effects: &mut Vec<Effect>) {
        let Some(waiting) = self.waiting.get_mut(&ticket) else { return };
        if waiting.retries_open > 0 {
            if !waiting.compare_sent && waiting.retries_need <= self.start.guard.size {
                waiting.compare_sent = true;
                let retry = |(index, item): (usize, &Item)| match item {
                    Item::Retry(first) => {
                        Some(Comparison { index, first: *first, entry: waiting.batch.entry(index).to_vec() })
                    }
                    Item::Known(_) => None,
                };
                let comparisons = waiting.items.iter().enumerate().filter_map(retry).collect();
                effects.push(Effect::Compare(ticket, comparisons));
            }
            return;
        }
        let nothing_new = !waiting.items.iter().any(|item| matches!(item, Item::Known(Outcome::Recorded(_))));
        let proven = match (&waiting.proven, nothing_new) {
            (Some((checkpoint, range)), _) => Some((Arc::clone(checkpoint), range.clone())),
            (None, true) => Some((Arc::clone(&self.start.checkpoint), None)),
            (None, false) => None,
        };
        let Some((checkpoint, range)) = proven else { return };
        let known = |item: &Item| if let Item::Known(outcome) = item { Some(*outcome) } else { None };
        let items = waiting.items.iter().filter_map(known).collect();
        self.waiting.remove(&ticket);
        effects.push(Effect::Reply(ticket, Ok(BatchReceipt { checkpoint, items, range })));
    }

    fn pass_barrier(&mut self, effects: &mut Vec<Effect>) {
        let quiet = self.forming.leaves.is_empty()
            && self.appending.is_none()
            && self.unguarded.is_empty()
            && self.guarding.is_none()
            && !self.keys_in_flight;
        if let Some(barrier) = self.barrier.as_mut().filter(|barrier| quiet && !barrier.sent) {
            barrier.sent = true;
            effects.push(Effect::Destroy(barrier.ticket));
        }
    }

    /// Stops for good: whoever waits hears why, and nothing is signed any more (`ENGINE-5`).
    fn halt(&mut self, halt: Halt, effects: &mut Vec<Effect>) {
        let queued = std::mem::take(&mut self.queue).into_iter().map(|(ticket, _)| ticket);
        let waiting = std::mem::take(&mut self.waiting).into_keys();
        let barrier = self.barrier.take().map(|barrier| barrier.ticket);
        let reply = |ticket| Effect::Reply(ticket, Err(Rejection::Halted(halt.clone())));
        effects.extend(queued.chain(waiting).chain(barrier).map(reply));
        self.queued_bytes = 0;
        self.forming = Forming::default();
        self.halted = Some(halt);
    }

    fn answer_halted(halt: Halt, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Submit(ticket, _) | Input::Destroy(ticket) => {
                effects.push(Effect::Reply(ticket, Err(Rejection::Halted(halt))));
            }
            Input::KeysDurable(_)
            | Input::Appended(_)
            | Input::Guarded(_)
            | Input::Compared(..)
            | Input::CompareFailed(..)
            | Input::Destroyed { .. }
            | Input::Maintained(_)
            | Input::BrokeOff(_) => {}
        }
    }
}
