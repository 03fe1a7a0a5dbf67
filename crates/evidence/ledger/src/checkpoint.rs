//! Checkpoints: the signed statement "this ledger has this many leaves under this root" (`LEDGER-3`).
//!
//! Place: signed once per commit, swapped into the guard, carried by every receipt, pack and proof.
//! Not here: the rule never to sign two roots for one size (the guard, in `flow/engine`), and what witnesses'
//! cosignatures say (`cosignature`) or are worth (`policy`).
//!
//! Whom it trusts: a key whose *name is the origin*, of an algorithm that logs sign with. C2SP tlog-proof asks for "a log public key configured for
//! that origin line"; here the name in the vkey is that configuration, so that a vkey alone says which ledger it
//! speaks for, and the key of one ledger cannot vouch for another.
//!
//! Source: C2SP tlog-checkpoint. Extension lines are accepted, covered by the signature and ignored; none is
//! ever written, since monitors cannot audit them.

use crate::cosignature::{CosignatureError, Cosigner};
use crate::hash::{EMPTY_ROOT, Hash};
use crate::note::{
    KEY_NAME_BYTES_MAX, KnownSignature, Note, NoteError, NoteSignature, NoteSigner, VerifierKey,
};
use crate::text;
use crate::tree::TREE_SIZE_MAX;
use std::fmt;

/// The longest origin, in bytes: that of a key name, since the two are equal.
pub const ORIGIN_BYTES_MAX: usize = KEY_NAME_BYTES_MAX;

/// A ledger's size and root, as anyone may claim them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which ledger: `<configured name>/<tenant>/<ledger id>`.
    pub origin: String,
    /// The number of leaves.
    pub size: u64,
    /// The root over these leaves.
    pub root: Hash,
}

impl Checkpoint {
    /// Reads a checkpoint's note text, with or without extension lines, which are dropped.
    ///
    /// # Errors
    /// [`CheckpointError`], but for the variants that speak of signatures.
    pub fn parse(body: &str) -> Result<Checkpoint, CheckpointError> {
        let checkpoint = Checkpoint::parse_claim(body)?;
        if checkpoint.root_fits() { Ok(checkpoint) } else { Err(CheckpointError::Root) }
    }

    /// As [`Checkpoint::parse`], but an empty tree may have any root: a witness answers that in its own way.
    pub(crate) fn parse_claim(body: &str) -> Result<Checkpoint, CheckpointError> {
        let lines = body.strip_suffix('\n').ok_or(CheckpointError::Lines)?;
        if lines.split('\n').any(str::is_empty) {
            return Err(CheckpointError::Lines);
        }
        let mut lines = lines.split('\n');
        let mut line = || lines.next().ok_or(CheckpointError::Lines);
        let origin = line()?.to_owned();
        let size = text::decimal(line()?, TREE_SIZE_MAX).ok_or(CheckpointError::Size)?;
        let root = Hash::from_base64(line()?).map_err(|_| CheckpointError::Root)?;
        check_origin(&origin)?;
        Ok(Checkpoint { origin, size, root })
    }

    /// The note text: origin, size and root in base 64, a line each.
    #[must_use]
    pub fn body(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64())
    }

    /// Parsing and signing accept the same values, so that nothing is signed which cannot be read.
    fn check(&self) -> Result<(), CheckpointError> {
        check_origin(&self.origin)?;
        if self.size > TREE_SIZE_MAX {
            return Err(CheckpointError::Size);
        }
        if self.root_fits() { Ok(()) } else { Err(CheckpointError::Root) }
    }

    /// Whether the root can be one of a tree of this size: there is one empty tree.
    pub(crate) fn root_fits(&self) -> bool {
        self.size > 0 || self.root == EMPTY_ROOT
    }
}

fn check_origin(origin: &str) -> Result<(), CheckpointError> {
    let length = origin.len();
    let fits = length > 0 && length <= ORIGIN_BYTES_MAX && !origin.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(CheckpointError::Origin) }
}

/// A checkpoint that was signed by a key named for its origin: made by signing or by verifying, and no other way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: String,
    signers: Vec<VerifierKey>,
    known: Vec<KnownSignature>,
}

impl SignedCheckpoint {
    /// Signs a checkpoint with each signer, in order; at least one must be named for the origin.
    ///
    /// # Errors
    /// [`CheckpointError`] when the checkpoint is not well-formed or signing fails.
    pub fn sign(
        checkpoint: Checkpoint,
        signers: &[&NoteSigner],
    ) -> Result<SignedCheckpoint, CheckpointError> {
        checkpoint.check()?;
        if !signers.iter().any(|signer| signer.verifier_key().speaks_for(&checkpoint.origin)) {
            return Err(CheckpointError::NotByOrigin { origin: checkpoint.origin });
        }
        let note = Note::sign(&checkpoint.body(), signers).map_err(CheckpointError::Note)?.to_string();
        let signers: Vec<VerifierKey> = signers.iter().map(|signer| signer.verifier_key().clone()).collect();
        let known = signers.iter().map(|key| KnownSignature { key: key.clone(), time: None }).collect();
        Ok(SignedCheckpoint { checkpoint, note, signers, known })
    }

    /// Reads a signed note and believes it when `keys` say so: one of them, named for the origin, signed it, and no
    /// signature by any of them is false.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn verify(note: &[u8], keys: &[VerifierKey]) -> Result<SignedCheckpoint, CheckpointError> {
        let parsed = Note::parse(note).map_err(CheckpointError::Note)?;
        let known = parsed.verify_lines(keys).map_err(CheckpointError::Note)?;
        let checkpoint = Checkpoint::parse(parsed.text())?;
        if !known.iter().any(|line| line.key.speaks_for(&checkpoint.origin)) {
            return Err(CheckpointError::NotByOrigin { origin: checkpoint.origin });
        }
        let mut signers: Vec<VerifierKey> = Vec::new();
        for line in &known {
            if !signers.contains(&line.key) {
                signers.push(line.key.clone());
            }
        }
        Ok(SignedCheckpoint { checkpoint, note: parsed.to_string(), signers, known })
    }

    /// The same checkpoint with one signature more: a log's second algorithm, or that of a witness.
    ///
    /// An ML-DSA-44 line has 3.3 KB, for which a guard has no room beside many others: it is added to what is published.
    ///
    /// # Errors
    /// [`CheckpointError::Cosignature`]; [`CheckpointError::Note`] where that key has signed already, or of a note's
    /// limits.
    pub fn cosigned(&self, cosigner: &Cosigner, time: u64) -> Result<SignedCheckpoint, CheckpointError> {
        let note = Note::parse(self.note.as_bytes()).map_err(CheckpointError::Note)?;
        let line = cosigner.cosign(note.text(), time).map_err(CheckpointError::Cosignature)?;
        let key = cosigner.verifier_key();
        if self.signers.iter().any(|signer| signer.made(&line)) {
            return Err(CheckpointError::Note(NoteError::AmbiguousKeys));
        }
        self.with_cosignatures(&[line], std::slice::from_ref(key))
    }

    /// The same checkpoint with the signatures that witnesses gave: each must be by one of `keys` and true.
    ///
    /// Lines of other keys are left out. Each key has one line: the one that is there stays, so that a note which was
    /// published does not change under its readers.
    ///
    /// # Errors
    /// [`CheckpointError::Note`]: a line of a given key is false, or a note's limits.
    pub fn with_cosignatures(
        &self,
        lines: &[NoteSignature],
        keys: &[VerifierKey],
    ) -> Result<SignedCheckpoint, CheckpointError> {
        let note = Note::parse(self.note.as_bytes()).map_err(CheckpointError::Note)?;
        let mut all = note.signatures().to_vec();
        // A line that was there unverified cannot stand in the way of one that is.
        let by = |keys: &[VerifierKey], line: &NoteSignature| keys.iter().any(|key| key.made(line));
        all.retain(|there| by(&self.signers, there) || !by(keys, there));
        for line in lines.iter().filter(|line| by(keys, line)) {
            if !all.iter().any(|there| there.name == line.name && there.key_id == line.key_id) {
                all.push(line.clone());
            }
        }
        let note = note.with_lines(all).map_err(CheckpointError::Note)?;
        let mut known = self.signers.clone();
        known.extend(keys.iter().filter(|key| !self.signers.contains(key)).cloned());
        SignedCheckpoint::verify(note.to_string().as_bytes(), &known)
    }

    /// What was signed.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The signed note, byte for byte, with signatures of unknown keys if it came with them.
    #[must_use]
    pub fn note(&self) -> &str {
        &self.note
    }

    /// The keys that are known to have signed, at least one of them named for the origin.
    #[must_use]
    pub fn signers(&self) -> &[VerifierKey] {
        &self.signers
    }

    /// The verified signatures in the note's order, each with the time that it states.
    #[must_use]
    pub fn known_signatures(&self) -> &[KnownSignature] {
        &self.known
    }
}

/// Why a checkpoint was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointError {
    /// E0340: fewer than three lines, an empty line, or no final newline.
    Lines,
    /// E0341: the origin is empty, too long, or holds a control character.
    Origin,
    /// E0342: the size is no plain decimal up to [`TREE_SIZE_MAX`].
    Size,
    /// E0343: the root is not 32 bytes in base 64, or not the empty root for an empty tree.
    Root,
    /// E0344: no given key that is named for the origin signed it.
    NotByOrigin {
        /// The origin the checkpoint claims.
        origin: String,
    },
    /// The signed note was refused; bears the code of the inner error.
    Note(NoteError),
    /// It could not be cosigned; bears the code of the inner error.
    Cosignature(CosignatureError),
}

impl CheckpointError {
    /// The stable code, for `waag explain`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            CheckpointError::Lines => "E0340",
            CheckpointError::Origin => "E0341",
            CheckpointError::Size => "E0342",
            CheckpointError::Root => "E0343",
            CheckpointError::NotByOrigin { .. } => "E0344",
            CheckpointError::Note(inner) => inner.code(),
            CheckpointError::Cosignature(inner) => inner.code(),
        }
    }
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckpointError::Lines => {
                f.write_str("a checkpoint has three lines or more, none empty, each ended by a newline")
            }
            CheckpointError::Origin => {
                write!(f, "an origin has 1 to `{ORIGIN_BYTES_MAX}` bytes without control characters")
            }
            CheckpointError::Size => {
                write!(f, "the checkpoint's size is no plain decimal up to `{TREE_SIZE_MAX}`")
            }
            CheckpointError::Root => {
                f.write_str("the checkpoint's root is not the root of a tree of its size")
            }
            CheckpointError::NotByOrigin { origin } => {
                write!(f, "no given key named `{origin}` signed the checkpoint of that origin")
            }
            CheckpointError::Note(inner) => inner.fmt(f),
            CheckpointError::Cosignature(inner) => inner.fmt(f),
        }
    }
}

impl std::error::Error for CheckpointError {}
