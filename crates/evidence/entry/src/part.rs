//! Sealing and opening one part.
//!
//! ```text
//! data key ──HKDF-Extract(salt)──► ──Expand(ledger id ‖ "waag part v1")──► part secret   (what disclosure hands out)
//! part secret ──Expand("key")──► AES-256-GCM key, used once with a zero nonce
//! part secret ──Expand("commit" ‖ SHA-256(dictionary) for codec 1)──► commitment, stored beside the ciphertext
//! associated data = ledger id ‖ header ‖ part index ‖ role ‖ key id ‖ codec, all but the ledger id as CBOR items
//! ```
//!
//! The ledger's id is authenticated besides being derived from, so that who holds a part's secret and no data key can
//! tell that the part was sealed for this ledger.
//!
//! AES-GCM alone can be made to open under two keys. The one to protect is the outsider who is handed a secret, so the
//! commitment is compared before anything is decrypted (`ENTRY-3`). The dictionary is part of the commitment because
//! another dictionary of the same name would expand the same ciphertext to another text.
//!
//! Not here: which data key (`evidence/keys`).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use waag_model::ids::{KeyId, LedgerId};
use zeroize::Zeroizing;

use crate::cbor::write;
use crate::codec::{self, Dictionary, PLAINTEXT_BYTES_MAX};
use crate::error::EntryError;
use crate::form::{Codec, Entry, Part, Role, write_codec, write_part_head, write_role};
use crate::kdf::{self, Hmac};

const PART_INFO: &[u8] = b"waag part v1";
const BLOB_INFO: &[u8] = b"waag blob v1";
const KEY_INFO: &[u8] = b"key";
const COMMIT_INFO: &[u8] = b"commit";
const TAG_BYTES: usize = 16;

/// What opens one part and nothing else: 32 bytes.
pub type PartSecret = Zeroizing<[u8; 32]>;

/// What a part is sealed with; used up by sealing, since a salt used twice would use a key and nonce twice.
pub struct Seal<'a> {
    /// Whose part it is.
    pub role: Role,
    /// The data key's id.
    pub key_id: KeyId,
    /// The data key.
    pub key: &'a [u8; 32],
    /// 32 fresh random bytes.
    pub salt: [u8; 32],
    /// The dictionary, for codec 1.
    pub dictionary: Option<&'a Dictionary>,
}

/// Whether a secret belongs to an entry's part or to a blob; the two never share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Part,
    Blob,
}

/// The secret of the part that was sealed with this data key and salt in this ledger.
#[must_use]
pub fn part_secret(ledger: &LedgerId, key: &[u8; 32], salt: &[u8; 32]) -> PartSecret {
    secret(ledger, key, salt, Use::Part)
}

pub(crate) fn secret(ledger: &LedgerId, key: &[u8; 32], salt: &[u8; 32], usage: Use) -> PartSecret {
    let prk = Hmac::new(&Zeroizing::new(kdf::extract(salt, key)));
    let info = match usage {
        Use::Part => PART_INFO,
        Use::Blob => BLOB_INFO,
    };
    Zeroizing::new(kdf::expand(&prk, &[&ledger.0, info]))
}

fn commitment(secret: &Hmac, dictionary: Option<&Dictionary>) -> [u8; 32] {
    match dictionary {
        None => kdf::expand(secret, &[COMMIT_INFO]),
        Some(dictionary) => kdf::expand(secret, &[COMMIT_INFO, dictionary.hash()]),
    }
}

fn cipher(secret: &Hmac) -> Result<LessSafeKey, EntryError> {
    let key = Zeroizing::new(kdf::expand(secret, &[KEY_INFO]));
    let key = UnboundKey::new(&AES_256_GCM, key.as_slice()).map_err(|_| EntryError::Crypto("take a key"))?;
    Ok(LessSafeKey::new(key))
}

/// Each key is used once, so the nonce carries nothing.
fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

/// Writes what a part authenticates beside its ciphertext.
fn associated_data(
    out: &mut Vec<u8>,
    (ledger, header): (&LedgerId, &[u8]),
    index: usize,
    role: Role,
    key_id: KeyId,
    codec: Codec,
) {
    out.clear();
    out.extend_from_slice(&ledger.0);
    out.extend_from_slice(header);
    write::uint(out, index as u64);
    write_role(out, role);
    write::bytes(out, &key_id.0);
    write_codec(out, codec);
}

/// Buffers that sealing uses again and again, so that the hot path allocates nothing.
#[derive(Debug, Default)]
pub struct Scratch {
    aad: Vec<u8>,
    packed: Vec<u8>,
}

/// Seals `plain` as part `index` under `header`'s bytes and appends the stored part to `out`.
///
/// # Errors
/// [`EntryError::Compression`] or [`EntryError::Crypto`] where a library fails.
pub fn seal_part(
    scratch: &mut Scratch,
    ledger: &LedgerId,
    header: &[u8],
    index: usize,
    seal: Seal<'_>,
    plain: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), EntryError> {
    seal_as(scratch, Use::Part, (ledger, header), index, seal, plain, out)
}

pub(crate) fn seal_as(
    scratch: &mut Scratch,
    usage: Use,
    (ledger, header): (&LedgerId, &[u8]),
    index: usize,
    seal: Seal<'_>,
    plain: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), EntryError> {
    if plain.len() > PLAINTEXT_BYTES_MAX {
        return Err(EntryError::PlaintextTooLong(plain.len()));
    }
    let secret = Hmac::new(&secret(ledger, seal.key, &seal.salt, usage));
    scratch.packed.clear();
    let codec = match seal.dictionary {
        None => {
            scratch.packed.extend_from_slice(plain);
            Codec::Raw
        }
        Some(dictionary) => {
            codec::compress(dictionary, plain, &mut scratch.packed)?;
            Codec::Zstd(dictionary.name())
        }
    };
    let commitment = commitment(&secret, seal.dictionary);
    let Seal { role, key_id, salt, .. } = seal;
    associated_data(&mut scratch.aad, (ledger, header), index, role, key_id, codec);
    let tag = cipher(&secret)?
        .seal_in_place_separate_tag(zero_nonce(), Aad::from(&scratch.aad), &mut scratch.packed)
        .map_err(|_| EntryError::Crypto("encrypt a part"))?;
    scratch.packed.extend_from_slice(tag.as_ref());
    write_part_head(out, &Part { role, key_id, salt, codec, commitment, ciphertext: &[] });
    write::bytes(out, &scratch.packed);
    Ok(())
}

/// Opens part `index` of an entry with the part's secret; codec 1 needs the dictionary too.
///
/// # Errors
/// [`EntryError::NoPart`], [`EntryError::DictionaryMissing`], [`EntryError::Commitment`] for a secret or dictionary that
/// is not this part's, [`EntryError::Ciphertext`] where the stored bytes were changed.
pub fn open_part(
    ledger: &LedgerId,
    entry: &Entry<'_>,
    index: usize,
    secret: &[u8; 32],
    dictionary: Option<&Dictionary>,
) -> Result<Zeroizing<Vec<u8>>, EntryError> {
    let part = entry.parts.get(index).ok_or(EntryError::NoPart(index))?;
    open_as(part, (ledger, entry.header_bytes), index, secret, dictionary)
}

pub(crate) fn open_as(
    part: &Part<'_>,
    (ledger, header): (&LedgerId, &[u8]),
    index: usize,
    secret: &[u8; 32],
    dictionary: Option<&Dictionary>,
) -> Result<Zeroizing<Vec<u8>>, EntryError> {
    if part.ciphertext.len() > PLAINTEXT_BYTES_MAX + TAG_BYTES {
        return Err(EntryError::PlaintextTooLong(part.ciphertext.len()));
    }
    let dictionary = match part.codec {
        Codec::Raw => None,
        Codec::Zstd(name) => {
            Some(dictionary.filter(|given| given.name() == name).ok_or(EntryError::DictionaryMissing(name))?)
        }
    };
    let secret = &Hmac::new(secret);
    if commitment(secret, dictionary) != part.commitment {
        return Err(EntryError::Commitment);
    }
    let mut aad = Vec::new();
    associated_data(&mut aad, (ledger, header), index, part.role, part.key_id, part.codec);
    let mut plain = Zeroizing::new(part.ciphertext.to_vec());
    let opened = cipher(secret)?
        .open_in_place(zero_nonce(), Aad::from(&aad), &mut plain)
        .map_err(|_| EntryError::Ciphertext)?
        .len();
    debug_assert_eq!(opened + TAG_BYTES, part.ciphertext.len());
    plain.truncate(opened);
    match dictionary {
        None => Ok(plain),
        Some(dictionary) => codec::expand(dictionary, &plain).map(Zeroizing::new),
    }
}
