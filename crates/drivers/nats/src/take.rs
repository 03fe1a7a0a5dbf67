//! What a source hands over, to whom, and what it must tell: the contract between a stream and a ledger.
//!
//! Place: before *accept*. `bin/` implements [`Take`] by its intake.
//! Not here: reading the stream (`source`), the form of an event (`incoming`).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::NatsError;
pub use crate::incoming::{Identity, Incoming};

/// How far the stream was handed over. Kept by whoever takes; the default is the beginning of whatever stream is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// When the stream was made, as the server writes it; empty where none was seen yet.
    pub created: String,
    /// The last number that was handed over or told as missing.
    pub sequence: u64,
    /// When the stream took that message, as the server writes it; empty where it was missing.
    pub time: String,
    /// How many resets were accepted.
    pub generation: u32,
}

impl Cursor {
    /// The beginning of a stream that was reset: what follows has identities of its own. For a person to decide.
    #[must_use]
    pub fn after_reset(&self) -> Self {
        Self { generation: self.generation.saturating_add(1), ..Self::default() }
    }
}

/// Messages that were in the stream, or should have been, and are gone before we had them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first number.
    pub first: u64,
    /// The last number.
    pub last: u64,
}

impl Gap {
    /// The stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        "E1177"
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stream's messages `{}` to `{}` are gone before they were taken", self.first, self.last)
    }
}

/// Why messages or a gap were not taken; the code is the taker's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakeError {
    /// The stable code.
    pub code: &'static str,
    /// What happened.
    pub reason: String,
}

/// Takes what comes. Called from a thread that may block, one call at a time.
pub trait Take: Send + Sync {
    /// Takes messages, in order; durable before it returns success, and so is what is kept of `cursor`, which stands behind
    /// the last of them. The same messages may come again, after a failure or a crash: their identity tells. On failure all
    /// of them come again after a pause.
    ///
    /// # Errors
    /// [`TakeError`]: nothing is acknowledged to the broker.
    fn take(&self, messages: Vec<Incoming>, cursor: &Cursor) -> Result<(), TakeError>;

    /// Takes note of messages that are gone, durably as well; `cursor` stands behind them.
    ///
    /// # Errors
    /// [`TakeError`]: the source does not go on, and tells again after a pause.
    fn missing(&self, gap: Gap, cursor: &Cursor) -> Result<(), TakeError>;
}

/// What ends a source: a person must decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The stream is another one than before, or went back; how it shows.
    Reset(String),
    /// There is no stream of this name.
    Forgotten(String),
    /// The bridge cannot be as it is configured.
    Unusable(NatsError),
}

impl Condition {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Reset(_) => "E1178",
            Self::Forgotten(_) => "E1179",
            Self::Unusable(error) => error.code(),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reset(why) => write!(f, "the stream was reset: {why}"),
            Self::Forgotten(stream) => write!(f, "the server has no stream `{stream}`"),
            Self::Unusable(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Condition {}

/// What a source is doing, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// It is connected, and the stream is the one it knows.
    pub is_following: bool,
    /// How far it is.
    pub cursor: Cursor,
    /// Code and reason of the last failure, until a connection works again.
    pub failure: Option<(&'static str, String)>,
}
