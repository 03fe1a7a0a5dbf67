//! Blobs: a part's plaintext that is too long for its entry, sealed by itself and named by the hash of its sealed bytes.
//!
//! `blob = part`, sealed under the same data key with a salt of its own; its secret comes from another HKDF label, so
//! that disclosing the part does not by itself disclose what the part refers to, and the reverse. The part then
//! holds a reference (`plain`), and the entry's header lists the hash, which every part authenticates.
//!
//! Not here: where blobs are kept (`evidence/log`, the `Objects` contract). A blob is durable before its entry.

use aws_lc_rs::digest;
use waag_model::ids::{KeyId, LedgerId};
use zeroize::Zeroizing;

use crate::cbor::Reader;
use crate::codec::Dictionary;
use crate::error::EntryError;
use crate::form::{Codec, Part, Role, read_part};
use crate::part::{PartSecret, Scratch, Seal, Use, open_as, seal_as, secret};

/// A sealed blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// SHA-256 of `bytes`; its name.
    pub hash: [u8; 32],
    /// The sealed bytes.
    pub bytes: Vec<u8>,
}

/// The name of a blob of these sealed bytes.
#[must_use]
pub fn blob_hash(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// Seals a blob.
///
/// # Errors
/// As [`crate::part::seal_part`].
pub fn seal_blob(
    scratch: &mut Scratch,
    ledger: &LedgerId,
    seal: Seal<'_>,
    plain: &[u8],
) -> Result<Blob, EntryError> {
    let mut bytes = Vec::with_capacity(plain.len() + 256);
    seal_as(scratch, Use::Blob, (ledger, &[]), 0, seal, plain, &mut bytes)?;
    Ok(Blob { hash: blob_hash(&bytes), bytes })
}

/// The secret that opens a blob, from the data key it names.
///
/// # Errors
/// [`EntryError::Form`] where the bytes are no blob.
pub fn blob_secret(ledger: &LedgerId, key: &[u8; 32], bytes: &[u8]) -> Result<PartSecret, EntryError> {
    Ok(secret(ledger, key, &read(bytes)?.salt, Use::Blob))
}

/// Whose a blob is and which data key it is sealed under: both must be those of the part that refers to it.
///
/// # Errors
/// [`EntryError::Form`] where the bytes are no blob.
pub fn blob_owner(bytes: &[u8]) -> Result<(Role, KeyId), EntryError> {
    read(bytes).map(|part| (part.role, part.key_id))
}

/// How a blob's plaintext was encoded: which dictionary it needs.
///
/// # Errors
/// [`EntryError::Form`] where the bytes are no blob.
pub fn blob_codec(bytes: &[u8]) -> Result<Codec, EntryError> {
    read(bytes).map(|part| part.codec)
}

/// Opens a blob after holding its bytes against the hash that names it.
///
/// # Errors
/// [`EntryError::BlobHash`], else as [`crate::part::open_part`].
pub fn open_blob(
    ledger: &LedgerId,
    hash: &[u8; 32],
    bytes: &[u8],
    secret: &[u8; 32],
    dictionary: Option<&Dictionary>,
) -> Result<Zeroizing<Vec<u8>>, EntryError> {
    if blob_hash(bytes) != *hash {
        return Err(EntryError::BlobHash);
    }
    open_as(&read(bytes)?, (ledger, &[]), 0, secret, dictionary)
}

fn read(bytes: &[u8]) -> Result<Part<'_>, EntryError> {
    let mut reader = Reader::new(bytes);
    let part = read_part(&mut reader)?;
    reader.end()?;
    Ok(part)
}
