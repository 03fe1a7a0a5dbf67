//! The `.tlog-proof` file: everything that proves one entry, to be checked offline with the ledger's public key.
//!
//! Place: what `waag prove` writes and `waag-verify` reads. Not here: the entry, which travels beside it, and a
//! policy of witnesses: cosignature lines pass through unread.
//!
//! Whom it trusts: the verifier keys, nothing in the file. The `extra` line is not covered by any signature, so
//! verification does not return it.
//!
//! Source: C2SP tlog-proof (`c2sp.org/tlog-proof@v1`).

use crate::checkpoint::{CheckpointError, SignedCheckpoint};
use crate::hash::{Hash, leaf_hash};
use crate::note::{NOTE_BYTES_MAX, Note, VerifierKey};
use crate::proof::{InclusionProof, PATH_NODES_MAX, ProofError, verify_inclusion};
use crate::text;
use crate::tree::TREE_SIZE_MAX;
use std::fmt;

/// The longest `extra` data, in bytes before base 64.
pub const EXTRA_BYTES_MAX: usize = 16 * 1024;

/// The longest proof file, in bytes: the three first lines, the path, the checkpoint.
pub const TLOG_PROOF_BYTES_MAX: usize =
    64 + EXTRA_BYTES_MAX / 3 * 4 + 4 + PATH_NODES_MAX * 45 + NOTE_BYTES_MAX;

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// A well-formed proof that has **not** been checked; it prints as the bytes it was parsed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    extra: Vec<u8>,
    index: u64,
    path: Vec<Hash>,
    checkpoint: Note,
}

/// What a verified proof file says: made by [`TlogProof::verify`], and no other way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenEntry {
    index: u64,
    leaf: Hash,
    checkpoint: SignedCheckpoint,
}

impl ProvenEntry {
    /// The entry's position in the ledger.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The entry's leaf hash.
    #[must_use]
    pub fn leaf(&self) -> Hash {
        self.leaf
    }

    /// The checkpoint it is proven under.
    #[must_use]
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }
}

impl TlogProof {
    /// Joins an inclusion proof with a checkpoint of the same size.
    ///
    /// # Errors
    /// [`TlogProofError::OtherSize`], [`TlogProofError::PathLength`], or a malformed note (not from a
    /// [`SignedCheckpoint`]).
    pub fn new(proof: InclusionProof, checkpoint: &SignedCheckpoint) -> Result<TlogProof, TlogProofError> {
        let size = checkpoint.checkpoint().size;
        if proof.tree_size != size {
            return Err(TlogProofError::OtherSize { proof: proof.tree_size, checkpoint: size });
        }
        if proof.path.len() > PATH_NODES_MAX {
            return Err(TlogProofError::PathLength { got: proof.path.len() });
        }
        let checkpoint = Note::parse(checkpoint.note().as_bytes())
            .map_err(|error| TlogProofError::Checkpoint(CheckpointError::Note(error)))?;
        Ok(TlogProof { extra: Vec::new(), index: proof.index, path: proof.path, checkpoint })
    }

    /// Adds opaque data that no signature covers; empty data leaves the line out.
    ///
    /// # Errors
    /// [`TlogProofError::Extra`] above [`EXTRA_BYTES_MAX`].
    pub fn with_extra(mut self, extra: Vec<u8>) -> Result<TlogProof, TlogProofError> {
        if extra.len() > EXTRA_BYTES_MAX {
            return Err(TlogProofError::Extra);
        }
        self.extra = extra;
        Ok(self)
    }

    /// Reads a proof file without believing it.
    ///
    /// # Errors
    /// [`TlogProofError`], but for the variants that speak of roots and signatures.
    pub fn parse(bytes: &[u8]) -> Result<TlogProof, TlogProofError> {
        if bytes.len() > TLOG_PROOF_BYTES_MAX {
            return Err(TlogProofError::TooLong { got: bytes.len() });
        }
        let file = std::str::from_utf8(bytes).map_err(|_| TlogProofError::Header)?;
        let rest = file.strip_prefix(HEADER).and_then(|rest| rest.strip_prefix('\n'));
        let (line, rest) = next_line(rest.ok_or(TlogProofError::Header)?);
        let (extra, line, mut rest) = match line.strip_prefix("extra ") {
            Some(base64) => {
                let (line, rest) = next_line(rest);
                (parse_extra(base64)?, line, rest)
            }
            None => (Vec::new(), line, rest),
        };
        let index = line.strip_prefix("index ").and_then(|index| text::decimal(index, TREE_SIZE_MAX));
        let index = index.ok_or(TlogProofError::Index)?;
        let mut path = Vec::new();
        loop {
            let (line, after) = next_line(rest);
            rest = after;
            if line.is_empty() {
                break;
            }
            if path.len() == PATH_NODES_MAX {
                return Err(TlogProofError::PathLength { got: PATH_NODES_MAX + 1 });
            }
            path.push(Hash::from_base64(line).map_err(|_| TlogProofError::PathNode { node: path.len() })?);
        }
        let checkpoint = Note::parse(rest.as_bytes())
            .map_err(|error| TlogProofError::Checkpoint(CheckpointError::Note(error)))?;
        Ok(TlogProof { extra, index, path, checkpoint })
    }

    /// Checks that `entry`, byte for byte, is in a ledger that one of `keys` speaks for.
    ///
    /// # Errors
    /// [`TlogProofError::Checkpoint`] when the checkpoint is not believed, [`TlogProofError::Proof`] when the entry
    /// is not proven under its root.
    pub fn verify(&self, entry: &[u8], keys: &[VerifierKey]) -> Result<ProvenEntry, TlogProofError> {
        self.verify_leaf(leaf_hash(entry), keys)
    }

    /// As [`TlogProof::verify`], for a leaf hash that the caller has computed from the entry.
    ///
    /// # Errors
    /// As [`TlogProof::verify`].
    pub fn verify_leaf(&self, leaf: Hash, keys: &[VerifierKey]) -> Result<ProvenEntry, TlogProofError> {
        let note = self.checkpoint.to_string();
        let signed = SignedCheckpoint::verify(note.as_bytes(), keys).map_err(TlogProofError::Checkpoint)?;
        let checkpoint = signed.checkpoint();
        verify_inclusion(&leaf, self.index, checkpoint.size, &self.path, &checkpoint.root)
            .map_err(TlogProofError::Proof)?;
        Ok(ProvenEntry { index: self.index, leaf, checkpoint: signed })
    }

    /// The entry's position, as the file claims it.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The inclusion path, as the file claims it.
    #[must_use]
    pub fn path(&self) -> &[Hash] {
        &self.path
    }

    /// The checkpoint's note, as the file claims it.
    #[must_use]
    pub fn note(&self) -> &Note {
        &self.checkpoint
    }

    /// The opaque data of the `extra` line, empty where there is none. Nobody signed it.
    #[must_use]
    pub fn extra(&self) -> &[u8] {
        &self.extra
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if !self.extra.is_empty() {
            writeln!(f, "extra {}", text::base64_encode(&self.extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.path.iter().try_for_each(|node| writeln!(f, "{}", node.to_base64()))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// The first line and what follows it; at the end of the file both are empty.
fn next_line(rest: &str) -> (&str, &str) {
    rest.split_once('\n').unwrap_or((rest, ""))
}

fn parse_extra(base64: &str) -> Result<Vec<u8>, TlogProofError> {
    let extra = text::base64_decode(base64).ok_or(TlogProofError::Extra)?;
    // Without extra data the line is left out, so an empty one would be a second spelling.
    if extra.is_empty() || extra.len() > EXTRA_BYTES_MAX { Err(TlogProofError::Extra) } else { Ok(extra) }
}

/// Why a proof file was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlogProofError {
    /// E0350: the file is longer than [`TLOG_PROOF_BYTES_MAX`].
    TooLong {
        /// Its length in bytes.
        got: usize,
    },
    /// E0351: not UTF-8, or the first line is not `c2sp.org/tlog-proof@v1`.
    Header,
    /// E0352: the `extra` line is no base 64 of 1 to [`EXTRA_BYTES_MAX`] bytes.
    Extra,
    /// E0353: the `index` line is missing or no plain decimal.
    Index,
    /// E0354: a line of the path is no tree hash in base 64.
    PathNode {
        /// Which one, from 0 at the leaf.
        node: usize,
    },
    /// E0355: the path is longer than [`PATH_NODES_MAX`].
    PathLength {
        /// Nodes seen.
        got: usize,
    },
    /// E0356: proof and checkpoint are of different sizes. The caller's mistake when joining them.
    OtherSize {
        /// The proof's tree size.
        proof: u64,
        /// The checkpoint's size.
        checkpoint: u64,
    },
    /// The checkpoint was refused; bears the code of the inner error.
    Checkpoint(CheckpointError),
    /// The entry is not proven under the checkpoint's root; bears the code of the inner error.
    Proof(ProofError),
}

impl TlogProofError {
    /// The stable code, for `waag explain`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            TlogProofError::TooLong { .. } => "E0350",
            TlogProofError::Header => "E0351",
            TlogProofError::Extra => "E0352",
            TlogProofError::Index => "E0353",
            TlogProofError::PathNode { .. } => "E0354",
            TlogProofError::PathLength { .. } => "E0355",
            TlogProofError::OtherSize { .. } => "E0356",
            TlogProofError::Checkpoint(inner) => inner.code(),
            TlogProofError::Proof(inner) => inner.code(),
        }
    }
}

impl fmt::Display for TlogProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlogProofError::TooLong { got } => {
                write!(f, "a proof of `{got}` bytes is above the limit of `{TLOG_PROOF_BYTES_MAX}`")
            }
            TlogProofError::Header => write!(f, "the proof does not begin with the line `{HEADER}`"),
            TlogProofError::Extra => {
                write!(f, "the `extra` line is no base 64 of 1 to `{EXTRA_BYTES_MAX}` bytes")
            }
            TlogProofError::Index => f.write_str("the `index` line is missing or no plain decimal"),
            TlogProofError::PathNode { node } => write!(f, "node `{node}` of the path is no tree hash"),
            TlogProofError::PathLength { got } => {
                write!(f, "a path of `{got}` nodes is above the limit of `{PATH_NODES_MAX}`")
            }
            TlogProofError::OtherSize { proof, checkpoint } => {
                write!(f, "the proof is for `{proof}` leaves, the checkpoint for `{checkpoint}`")
            }
            TlogProofError::Checkpoint(inner) => inner.fmt(f),
            TlogProofError::Proof(inner) => inner.fmt(f),
        }
    }
}

impl std::error::Error for TlogProofError {}
