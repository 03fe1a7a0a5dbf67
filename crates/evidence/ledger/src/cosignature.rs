//! Cosignatures: a witness's statement that, at a time, a checkpoint was the newest it had seen and that it rewrites
//! nothing it had seen before.
//!
//! Place: beside notes, which carry them as lines. The ML-DSA-44 kind also serves a log as its second algorithm.
//! Not here: when a witness may sign (`witness`), how many of them are enough (`policy`), subtrees other than whole
//! trees, the clock (a time is passed in).
//!
//! What each covers: the Ed25519 kind the time and the checkpoint's whole text, but not the cosigner's name, so that a
//! key must never serve two cosigners. The ML-DSA-44 kind the time, both names, the size and the root, but no extension
//! lines, which are therefore never told from a checkpoint (`Checkpoint::parse` drops them).
//!
//! Signing with ML-DSA-44 is hedged with the library's own randomness (FIPS 204 §3.4): the same text signed twice gives
//! two signatures. Keys follow from their seed alone.
//!
//! Source: C2SP tlog-cosignature (messages, structure, key types), RFC 8032, FIPS 204.

use crate::checkpoint::Checkpoint;
use crate::note::{Algorithm, KEY_BYTES, NoteError, NoteSignature, VerifierKey};
use aws_lc_rs::signature::{
    ED25519, Ed25519KeyPair, KeyPair, ML_DSA_44, ML_DSA_44_SIGNING, PqdsaKeyPair, UnparsedPublicKey,
};
use std::fmt;

/// The latest time that a cosignature can state, in seconds since 1970.
pub const COSIGNATURE_TIME_MAX: u64 = i64::MAX.unsigned_abs();

/// The length of an ML-DSA-44 signature (FIPS 204, table 2), in bytes.
pub const ML_DSA_44_SIGNATURE_BYTES: usize = 2_420;

/// What separates an Ed25519 cosignature from a note's own signature.
const ED25519_HEADER: &str = "cosignature/v1\n";

/// What separates an ML-DSA-44 cosignature from everything else.
const ML_DSA_44_LABEL: &[u8; 12] = b"subtree/v1\n\0";

/// A cosigning key with the name it signs under.
///
/// The secret stays inside the cryptographic library, is never printed, and is wiped when this is dropped.
pub struct Cosigner {
    pair: Pair,
    key: VerifierKey,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    MlDsa44(PqdsaKeyPair),
}

impl Cosigner {
    /// Derives the key pair from its 32-byte seed (RFC 8032 §5.1.5, FIPS 204 §5.1). The seed's randomness is the
    /// caller's duty; it may serve one algorithm and one cosigner only.
    ///
    /// # Errors
    /// [`CosignatureError::Algorithm`] for an algorithm that does not cosign; [`CosignatureError::Key`] for a name that
    /// is none, or a seed that the library refuses.
    pub fn from_seed(
        name: &str,
        algorithm: Algorithm,
        seed: &[u8; KEY_BYTES],
    ) -> Result<Cosigner, CosignatureError> {
        let refused = |_| CosignatureError::Key(NoteError::Seed);
        let (pair, public) = match algorithm {
            Algorithm::Ed25519 => return Err(CosignatureError::Algorithm),
            Algorithm::Ed25519Cosignature => {
                let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(refused)?;
                let public = pair.public_key().as_ref().to_vec();
                (Pair::Ed25519(pair), public)
            }
            Algorithm::MlDsa44 => {
                let pair = PqdsaKeyPair::from_seed(&ML_DSA_44_SIGNING, seed).map_err(refused)?;
                let public = pair.public_key().as_ref().to_vec();
                (Pair::MlDsa44(pair), public)
            }
        };
        let key = VerifierKey::with_algorithm(name, algorithm, &public).map_err(CosignatureError::Key)?;
        Ok(Cosigner { pair, key })
    }

    /// The public half, to be handed to verifiers.
    #[must_use]
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.key
    }

    /// Signs a checkpoint's note text as the newest seen at `time`, in seconds since 1970. Whether that is true is the
    /// caller's duty.
    ///
    /// # Errors
    /// [`CosignatureError::Time`] for the time 0, which states none, and above [`COSIGNATURE_TIME_MAX`];
    /// [`CosignatureError::NoCheckpoint`]; [`CosignatureError::Key`] where the library fails.
    pub fn cosign(&self, text: &str, time: u64) -> Result<NoteSignature, CosignatureError> {
        if time == 0 || time > COSIGNATURE_TIME_MAX {
            return Err(CosignatureError::Time);
        }
        Checkpoint::parse(text).map_err(|_| CosignatureError::NoCheckpoint)?;
        let message = message(&self.key, text, time).ok_or(CosignatureError::NoCheckpoint)?;
        let failed = |_| CosignatureError::Key(NoteError::Signing);
        let mut signature = time.to_be_bytes().to_vec();
        match &self.pair {
            Pair::Ed25519(pair) => {
                signature.extend_from_slice(pair.try_sign(&message).map_err(failed)?.as_ref());
            }
            Pair::MlDsa44(pair) => {
                let mut made = [0; ML_DSA_44_SIGNATURE_BYTES];
                pair.sign(&message, &mut made).map_err(failed)?;
                signature.extend_from_slice(&made);
            }
        }
        Ok(NoteSignature { name: self.key.name().to_owned(), key_id: self.key.id(), signature })
    }
}

impl fmt::Debug for Cosigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cosigner({})", self.key)
    }
}

/// The time a cosignature states, none for the time 0; nothing at all where the signature is false.
#[expect(clippy::option_option, reason = "false, true without a time, and true with one are three answers")]
pub(crate) fn check(key: &VerifierKey, text: &str, signature: &[u8]) -> Option<Option<u64>> {
    let (time, signature) = signature.split_first_chunk::<8>()?;
    let time = u64::from_be_bytes(*time);
    let message = message(key, text, time).filter(|_| time <= COSIGNATURE_TIME_MAX)?;
    let public_key = key.public_key();
    let verified = match key.algorithm() {
        Algorithm::Ed25519 => return None,
        Algorithm::Ed25519Cosignature => {
            UnparsedPublicKey::new(&ED25519, public_key).verify(&message, signature)
        }
        Algorithm::MlDsa44 => UnparsedPublicKey::new(&ML_DSA_44, public_key).verify(&message, signature),
    };
    verified.ok().map(|()| Some(time).filter(|time| *time > 0))
}

/// What is signed; none where the text is no checkpoint.
fn message(key: &VerifierKey, text: &str, time: u64) -> Option<Vec<u8>> {
    let checkpoint = Checkpoint::parse_claim(text).ok()?;
    match key.algorithm() {
        Algorithm::Ed25519 => None,
        Algorithm::Ed25519Cosignature => Some(format!("{ED25519_HEADER}time {time}\n{text}").into_bytes()),
        Algorithm::MlDsa44 => {
            let mut message = ML_DSA_44_LABEL.to_vec();
            push_name(&mut message, key.name())?;
            message.extend_from_slice(&time.to_be_bytes());
            push_name(&mut message, &checkpoint.origin)?;
            // A checkpoint is the subtree from leaf 0 to its size.
            message.extend_from_slice(&0u64.to_be_bytes());
            message.extend_from_slice(&checkpoint.size.to_be_bytes());
            message.extend_from_slice(&checkpoint.root.0);
            Some(message)
        }
    }
}

/// A name of 1 to 255 bytes after its length.
fn push_name(message: &mut Vec<u8>, name: &str) -> Option<()> {
    message.push(u8::try_from(name.len()).ok()?);
    message.extend_from_slice(name.as_bytes());
    Some(())
}

/// Why a cosignature could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CosignatureError {
    /// E0366: Ed25519 note signatures (0x01) are no cosignatures. The caller's mistake.
    Algorithm,
    /// E0367: a cosignature states a time from 1 to [`COSIGNATURE_TIME_MAX`]. The caller's mistake.
    Time,
    /// E0368: the text is no checkpoint, and nothing else is cosigned.
    NoCheckpoint,
    /// The key was refused or could not sign; bears the code of the inner error.
    Key(NoteError),
}

impl CosignatureError {
    /// The stable code, for `waag explain`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            CosignatureError::Algorithm => "E0366",
            CosignatureError::Time => "E0367",
            CosignatureError::NoCheckpoint => "E0368",
            CosignatureError::Key(inner) => inner.code(),
        }
    }
}

impl fmt::Display for CosignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CosignatureError::Algorithm => {
                f.write_str("a cosigner signs with Ed25519 cosignatures (`0x04`) or ML-DSA-44 (`0x06`)")
            }
            CosignatureError::Time => {
                write!(f, "a cosignature states a time of 1 to `{COSIGNATURE_TIME_MAX}` seconds")
            }
            CosignatureError::NoCheckpoint => f.write_str("only checkpoints are cosigned"),
            CosignatureError::Key(inner) => inner.fmt(f),
        }
    }
}

impl std::error::Error for CosignatureError {}
