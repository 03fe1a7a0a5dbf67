//! What the engine asks of the world, and what the world answers.
//!
//! Effects may be carried out at the same time; answers may come in any order. Not here: who carries them out
//! (`runtime`, the simulator).

use std::fmt;
use std::sync::Arc;

use waag_keys::keyring::Durable;
use waag_keys::state::Generation;
use waag_ledger::checkpoint::SignedCheckpoint;
use waag_ledger::hash::Hash;
use waag_ledger::range::RangeTree;
use waag_log::frame::Frame;
use waag_log::guard::GuardRecord;
use waag_model::ids::{FrameNumber, Position};

use crate::batch::{BatchReceipt, SealedBatch, Ticket};
use crate::identity::{Done, IdentityError, Job};

/// What comes to the engine.
#[derive(Debug)]
pub enum Input {
    /// A sealed batch to record.
    Submit(Ticket, SealedBatch),
    /// New keys are durable.
    KeysDurable(Result<Durable, Halt>),
    /// The frame that was appending is durable; its buffer comes back, with the generation that the state was durable at
    /// behind it.
    Appended(Result<(Frame, Generation), Halt>),
    /// The guard record that was being swapped in is durable.
    Guarded(Result<(), Halt>),
    /// How a batch's retries compare with what was recorded first: (place in the batch, verdict).
    Compared(Ticket, Vec<(usize, Verdict)>),
    /// The comparison could not be made: the log or the keys cannot be read.
    CompareFailed(Ticket, Halt),
    /// Someone wants to destroy keys: the engine says when.
    Destroy(Ticket),
    /// The keys are destroyed; how many destructions the keyring has now seen.
    Destroyed {
        /// The keyring's count.
        keys_epoch: u64,
    },
    /// A piece of the identity index's background work is done.
    Maintained(Result<Done, IdentityError>),
    /// What follows commits broke off (a panic): derived files and the identity index would fall behind unnoticed.
    BrokeOff(Halt),
}

/// What the engine wants done.
#[derive(Debug)]
pub enum Effect {
    /// Make all keys created up to this serial durable, then answer `KeysDurable`.
    PersistKeys {
        /// The newest creation needed.
        up_to: u64,
    },
    /// Append a frame to the log, then answer `Appended`.
    Append {
        /// Its number.
        expected: FrameNumber,
        /// Its bytes.
        frame: Frame,
    },
    /// Swap the guard, then answer `Guarded`.
    SwapGuard {
        /// Sequence of the record that must stand there.
        expected: u64,
        /// The record to put in its place.
        record: GuardRecord,
    },
    /// Compare retries with what was recorded first, then answer `Compared`.
    Compare(Ticket, Vec<Comparison>),
    /// Nothing is under way: destroy the keys that this ticket asked for, then answer `Destroyed`.
    Destroy(Ticket),
    /// Tell a sender what became of the batch.
    Reply(Ticket, Result<BatchReceipt, Rejection>),
    /// Hand a committed frame to whoever follows: the stored hashes, subscriptions, views.
    Follow(Committed),
    /// Do a piece of the identity index's work in the background, then answer `Maintained`.
    Maintain(Job),
}

/// One retry to compare.
#[derive(Debug)]
pub struct Comparison {
    /// Its place in its batch.
    pub index: usize,
    /// Where the first event of this identity stands.
    pub first: Position,
    /// The retry's own sealed entry.
    pub entry: Vec<u8>,
}

/// How a retry compares with what was recorded first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The same event, in whichever mode it was told (`Event::is_same`); the first entry's leaf hash.
    Same(Hash),
    /// Another event.
    Other,
    /// What was recorded has been erased.
    Erased,
}

/// A frame that is durable and guarded.
#[derive(Debug)]
pub struct Committed {
    /// Its number.
    pub number: FrameNumber,
    /// Its part of the tree.
    pub tree: RangeTree,
    /// The checkpoint over it.
    pub checkpoint: Arc<SignedCheckpoint>,
}

/// Why a batch was not recorded. Nothing of it is in the ledger, except after `Halted`, when nobody can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Too much is waiting; try again later.
    Busy,
    /// A retry could not be compared with what was recorded first; the batch's new events may have been recorded.
    Compare(Halt),
    /// Keys were destroyed since the batch was sealed: seal it again.
    Reseal,
    /// It has more events than this writer's identity index was given room for; waiting would not help.
    TooLong,
    /// The engine has stopped. Whether the batch was recorded is known after the store has been opened again; a retry
    /// then gets the first receipt.
    Halted(Halt),
}

/// Why a batch was not taken. Nothing of it is in the ledger.
#[derive(Debug)]
pub enum NotTaken {
    /// Too much is under way: the batch comes back, to be handed over again later.
    Busy(SealedBatch),
    /// The engine has stopped.
    Halted(Halt),
}

impl From<NotTaken> for Rejection {
    fn from(not_taken: NotTaken) -> Self {
        match not_taken {
            NotTaken::Busy(_) => Self::Busy,
            NotTaken::Halted(halt) => Self::Halted(halt),
        }
    }
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy(_) => Rejection::Busy.fmt(f),
            Self::Halted(halt) => Rejection::Halted(halt.clone()).fmt(f),
        }
    }
}

impl std::error::Error for NotTaken {}

/// Why the engine has stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// The stable code of what failed.
    pub code: &'static str,
    /// What failed, in its own words.
    pub reason: String,
}

impl Halt {
    /// A failure with its code.
    #[must_use]
    pub fn ours(code: &'static str, error: &dyn std::error::Error) -> Self {
        Self { code, reason: error.to_string() }
    }

    /// The identity index cannot be read.
    #[must_use]
    pub fn identity(error: &IdentityError) -> Self {
        Self::ours(error.code(), error)
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.code)
    }
}

impl Rejection {
    /// The stable code of this rejection.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Busy => "E0601",
            Self::Compare(halt) => halt.code,
            Self::Reseal => "E0602",
            Self::TooLong => "E0605",
            Self::Halted(_) => "E0603",
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => write!(f, "too much is waiting to be written"),
            Self::Compare(halt) => write!(f, "a retry could not be compared with the first event: {halt}"),
            Self::Reseal => write!(f, "keys were destroyed while the batch was on its way"),
            Self::TooLong => write!(f, "the batch has more events than this writer takes at once"),
            Self::Halted(halt) => write!(f, "the writer has stopped: {halt}"),
        }
    }
}

impl std::error::Error for Rejection {}
