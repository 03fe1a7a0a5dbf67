//! The log's side: what is sent to a witness, and what its answer says.
//!
//! Place: one half of `witness`. Not here: when to ask again, and what a refusal means for the log.

use super::{SIZE_CONTENT_TYPE, WITNESS_ANSWER_BYTES_MAX, WitnessError};
use crate::checkpoint::SignedCheckpoint;
use crate::hash::Hash;
use crate::note::{Note, NoteError, NoteSignature, VerifierKey};
use crate::proof::prove_consistency;
use crate::stored::HashReader;
use crate::text;
use crate::tree::TREE_SIZE_MAX;
use std::fmt::Write as _;

/// The body of a request: the size that the witness is thought to have cosigned last, the proof from there, the note.
#[must_use]
pub fn add_checkpoint_body(old_size: u64, proof: &[Hash], note: &str) -> String {
    let mut body = format!("old {old_size}\n");
    for node in proof {
        // Writing to a string cannot fail.
        let _ = writeln!(body, "{}", node.to_base64());
    }
    body.push('\n');
    body.push_str(note);
    body
}

/// The body of a request, with the proof made from stored hashes. From size 0, or to the same size, none is needed.
///
/// # Errors
/// [`WitnessError::Proof`], also where `old_size` is above the checkpoint's: such a witness has seen more than this log
/// can prove, and asking it is of no use.
pub fn prove_to_witness<R: HashReader + ?Sized>(
    reader: &R,
    old_size: u64,
    checkpoint: &SignedCheckpoint,
) -> Result<String, WitnessError> {
    let size = checkpoint.checkpoint().size;
    let proof = match old_size {
        0 => Vec::new(),
        _ => prove_consistency(reader, old_size, size).map_err(WitnessError::Proof)?.path,
    };
    Ok(add_checkpoint_body(old_size, &proof, checkpoint.note()))
}

/// What a witness answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WitnessAnswer {
    /// 200: lines by the witness's keys, at least one, each true over the note and with a time.
    Cosigned(Vec<NoteSignature>),
    /// 200, and not to be counted.
    NotCosigned(WitnessError),
    /// 404: the witness does not know the origin.
    UnknownLog,
    /// 403: no signature that the witness trusts for the origin.
    NotSigned,
    /// 409: the size that the witness last cosigned is another.
    Conflict {
        /// That size, as the witness says.
        size: u64,
    },
    /// 422: the proof does not lead from what the witness cosigned last to this checkpoint.
    ProofRefused,
    /// 400: the witness could not read the request.
    Malformed,
    /// Any other status, and a 409 that tells no size.
    Other {
        /// The status.
        status: u16,
    },
}

/// Reads an answer to the request for `note`, believing only lines by `keys` that verify over it.
///
/// Lines by other keys are left out; a false one by a known key makes the whole answer count for nothing.
#[must_use]
pub fn read_answer(
    status: u16,
    content_type: Option<&str>,
    body: &[u8],
    note: &str,
    keys: &[VerifierKey],
) -> WitnessAnswer {
    match status {
        200 => match cosignatures(body, note, keys) {
            Ok(lines) => WitnessAnswer::Cosigned(lines),
            Err(error) => WitnessAnswer::NotCosigned(error),
        },
        400 => WitnessAnswer::Malformed,
        403 => WitnessAnswer::NotSigned,
        404 => WitnessAnswer::UnknownLog,
        409 => told_size(content_type, body)
            .map_or(WitnessAnswer::Other { status }, |size| WitnessAnswer::Conflict { size }),
        422 => WitnessAnswer::ProofRefused,
        _ => WitnessAnswer::Other { status },
    }
}

fn cosignatures(body: &[u8], note: &str, keys: &[VerifierKey]) -> Result<Vec<NoteSignature>, WitnessError> {
    let refused = |error| WitnessError::Answer(Some(error));
    if body.len() > WITNESS_ANSWER_BYTES_MAX {
        return Err(refused(NoteError::TooLong { got: body.len() }));
    }
    let mut lines = Note::parse_signatures(body).map_err(refused)?;
    lines.retain(|line| keys.iter().any(|key| key.made(line)));
    if lines.is_empty() {
        return Err(refused(NoteError::NoKnownSignature));
    }
    // Only their lines, so that what is verified is what they said.
    let note = Note::parse(note.as_bytes()).map_err(refused)?;
    let theirs = note.with_lines(lines).map_err(refused)?;
    let known = theirs.verify_lines(keys).map_err(refused)?;
    if known.iter().any(|line| line.time.is_none()) {
        return Err(WitnessError::Answer(None));
    }
    Ok(theirs.signatures().to_vec())
}

/// A decimal and a newline, under the media type that says so.
fn told_size(content_type: Option<&str>, body: &[u8]) -> Option<u64> {
    let essence = content_type?.split(';').next()?.trim();
    if !essence.eq_ignore_ascii_case(SIZE_CONTENT_TYPE) {
        return None;
    }
    let line = std::str::from_utf8(body).ok()?.strip_suffix('\n')?;
    text::decimal(line, TREE_SIZE_MAX)
}
