//! Asking witnesses for cosignatures, and being one: both sides of `add-checkpoint` as functions of their input.
//!
//! Place: the publisher asks by it, the door answers by it. Not here: HTTP, the clock, where a witness keeps what it
//! cosigned (whoever calls [`judge`] makes that durable before the answer leaves, by compare-and-swap), the optional
//! `sign-subtree`.
//!
//! Whom the two sides trust: a witness believes the keys it was given for an origin and a consistency proof from what
//! it cosigned last; a log believes an answer only as far as its lines verify over the log's own note.
//!
//! - `WITNESS-1`: nothing is cosigned that is not proven to go on from the last checkpoint cosigned for that origin.
//! - `WITNESS-2`: the times of one origin's cosignatures never go back, even where the clock does.
//!
//! Source: C2SP tlog-witness.

mod ask;
mod serve;

pub use ask::{WitnessAnswer, add_checkpoint_body, prove_to_witness, read_answer};
pub use serve::{AddCheckpoint, Judged, WitnessReply, WitnessState, WitnessedLog, judge, origin_path};

use crate::note::{NOTE_BYTES_MAX, NoteError};
use crate::proof::ProofError;
use std::fmt;

/// The most lines of a consistency proof in a request.
pub const PROOF_LINES_MAX: usize = 63;

/// The longest request, in bytes: size, proof, and the longest note.
pub const ADD_CHECKPOINT_BYTES_MAX: usize = 4 * 1024 + NOTE_BYTES_MAX;

/// The longest answer that is looked at, in bytes: as many lines as a note can hold.
pub const WITNESS_ANSWER_BYTES_MAX: usize = NOTE_BYTES_MAX;

/// The media type of an answer that tells the size last cosigned.
pub const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";

/// What went wrong with a witness, on either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WitnessError {
    /// E0374: a witness answered that it cosigned, and no line of it can be counted: none by its keys, one without a
    /// time, or no signature lines at all.
    Answer(Option<NoteError>),
    /// E0375: what a witness keeps of an origin cannot be read.
    State,
    /// The consistency proof could not be made; bears the code of the inner error.
    Proof(ProofError),
}

impl WitnessError {
    /// The stable code, for `waag explain`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            WitnessError::Answer(_) => "E0374",
            WitnessError::State => "E0375",
            WitnessError::Proof(inner) => inner.code(),
        }
    }
}

impl fmt::Display for WitnessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WitnessError::Answer(Some(inner)) => write!(f, "the witness's cosignatures are refused: {inner}"),
            WitnessError::Answer(None) => f.write_str("the witness's cosignature states no time"),
            WitnessError::State => f.write_str("what is kept of a witnessed log cannot be read"),
            WitnessError::Proof(inner) => inner.fmt(f),
        }
    }
}

impl std::error::Error for WitnessError {}
