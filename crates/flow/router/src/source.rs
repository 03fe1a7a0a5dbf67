//! Where events come from: the ledger, as subscribers may see it.
//!
//! Place: before *deliver*. What is shown is the event's common part as one CloudEvents JSON object: personal fields are
//! left out, so that no subscriber's copy has to be erased when a person is.
//! Not here: reading and opening entries (`flow/views`), rendering (`edge/cloudevents`); `bin/` puts them together.

use std::fmt;
use std::sync::Arc;

use waag_model::ids::Position;
use waag_model::time::UtcNanos;

/// One recorded event as subscribers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its place in the ledger.
    pub position: Position,
    /// When its frame was committed.
    pub committed: UtcNanos,
    /// Its type.
    pub kind: Box<str>,
    /// The tag of its subject, in clear in every entry that has one: equal for equal subjects of a ledger.
    pub ordering: Option<[u8; 16]>,
    /// How many causes stand before it.
    pub depth: u8,
    /// The event in the CloudEvents JSON format, without what is a person's.
    pub json: Box<[u8]>,
}

/// Events that follow each other.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// In order of position, without a gap.
    pub events: Vec<Arc<Event>>,
}

/// Why the ledger could not be read; the code is the reader's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceError {
    /// The stable code.
    pub code: &'static str,
    /// What happened.
    pub reason: String,
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for SourceError {}

/// How much is read at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkLimits {
    /// Most events.
    pub events_max: usize,
    /// Bytes of JSON at which a chunk is full; the last event may reach beyond.
    pub bytes_max: usize,
}

/// The ledger to be followed. Handles may be used from several threads.
pub trait Source: Send + Sync {
    /// The position behind the last event that may be shown: guarded, so that what was delivered cannot be taken back.
    fn end(&self) -> Position;

    /// The events from `from`, which is at most [`Self::end`], up to `to` or as many as the limits allow; none only where
    /// there are none.
    ///
    /// # Errors
    /// [`SourceError`]; nothing is passed over.
    fn read(&self, from: Position, to: Position, limits: ChunkLimits) -> Result<Chunk, SourceError>;

    /// The events at these positions, which rise and are all below [`Self::end`]. Reads each frame once.
    ///
    /// # Errors
    /// [`SourceError`].
    fn pick(&self, positions: &[Position]) -> Result<Vec<Arc<Event>>, SourceError>;

    /// The first position whose frame was committed at `time` or later; [`Self::end`] where there is none.
    ///
    /// # Errors
    /// [`SourceError`].
    fn position_at(&self, time: UtcNanos) -> Result<Position, SourceError>;
}
