//! Sealing an object for its name and its repository, in segments, each authenticated (`ARCHIVE-1`).
//!
//! The object's key is used for one object, so that a nonce is the segment's number and whether it is the last: nothing
//! can be cut off, moved or repeated unnoticed. Byte by byte in `docs/reference/backup.md`.
//! Not here: names (`repository`), what is sealed (`manifest`, `records`, `frames`).
//!
//! Source: Hoang, Reyhanitabar, Rogaway, Vizár, "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance",
//! CRYPTO 2015 (STREAM); RFC 5869 (HKDF).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::hmac;
use waag_stdx::entropy::{Entropy, NoEntropy};

use crate::contract::OBJECT_BYTES_MAX;
use crate::key::{BackupKey, RepositoryId};

/// The first eight bytes of every sealed object.
pub const OBJECT_MAGIC: [u8; 8] = *b"WAAGBAK\n";
/// The first eight bytes of the object that says which repository this is.
pub const REPOSITORY_MAGIC: [u8; 8] = *b"WAAGREP\n";
/// The version of both layouts.
pub const VERSION: u16 = 1;
/// Length of what stands before the segments.
pub const HEADER_BYTES: usize = 48;
/// Plaintext of every segment but the last.
pub const SEGMENT_BYTES: usize = 1_024 * 1_024;
/// Length of an authentication tag.
pub const TAG_BYTES: usize = 16;
/// Longest plaintext: the largest object of a store (64 MiB) with its name and length before it, rounded up.
pub const PLAIN_BYTES_MAX: usize = 67_112_960;
const SALT_BYTES: usize = 32;
const OBJECT_INFO: &[u8] = b"waag backup object v1";
const REPOSITORY_INFO: &[u8] = b"waag backup repository v1";

/// Length of the object that a plaintext of this length is sealed into.
#[must_use]
pub fn sealed_bytes(plain: usize) -> usize {
    let segments = plain.div_ceil(SEGMENT_BYTES).max(1);
    HEADER_BYTES.saturating_add(plain).saturating_add(segments.saturating_mul(TAG_BYTES))
}

fn header(magic: [u8; 8], rest: &[u8]) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend_from_slice(&magic);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&[0; 6]);
    header.extend_from_slice(rest);
    header
}

fn nonce(segment: usize, is_last: bool) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    if let Some((number, last)) = bytes.get_mut(3..).and_then(|rest| rest.split_at_mut_checked(8)) {
        number.copy_from_slice(&(segment as u64).to_be_bytes());
        last.copy_from_slice(&[u8::from(is_last)]);
    }
    Nonce::assume_unique_for_key(bytes)
}

fn object_key(key: &BackupKey, salt: &[u8], name: &str) -> Option<LessSafeKey> {
    let derived = Salt::new(HKDF_SHA256, salt).extract(key.secret());
    let info = [OBJECT_INFO, &key.repository.0, name.as_bytes()];
    let derived = derived.expand(&info, &AES_256_GCM).ok()?;
    Some(LessSafeKey::new(UnboundKey::from(derived)))
}

/// Seals a plaintext of at most [`PLAIN_BYTES_MAX`] as the object of this name.
///
/// # Errors
/// [`NoEntropy`] where no salt could be drawn; also where the library refuses, which it never does at these lengths.
pub fn seal(key: &BackupKey, entropy: &dyn Entropy, name: &str, plain: &[u8]) -> Result<Vec<u8>, NoEntropy> {
    let mut salt = [0; SALT_BYTES];
    entropy.fill(&mut salt)?;
    seal_with(key, &salt, name, plain).ok_or(NoEntropy)
}

/// Seals under a salt of the caller's, which must never come twice: for the worked example.
#[must_use]
pub fn seal_with(key: &BackupKey, salt: &[u8; SALT_BYTES], name: &str, plain: &[u8]) -> Option<Vec<u8>> {
    if plain.len() > PLAIN_BYTES_MAX {
        return None;
    }
    let header = header(OBJECT_MAGIC, salt);
    let object_key = object_key(key, salt, name)?;
    let mut sealed = Vec::with_capacity(sealed_bytes(plain.len()));
    sealed.extend_from_slice(&header);
    let count = plain.len().div_ceil(SEGMENT_BYTES).max(1);
    for number in 0..count {
        let from = number.saturating_mul(SEGMENT_BYTES);
        let segment = plain.get(from..plain.len().min(from.saturating_add(SEGMENT_BYTES)))?;
        let start = sealed.len();
        sealed.extend_from_slice(segment);
        let place = sealed.get_mut(start..)?;
        let nonce = nonce(number, number + 1 == count);
        let tag = object_key.seal_in_place_separate_tag(nonce, Aad::from(&header), place).ok()?;
        sealed.extend_from_slice(tag.as_ref());
    }
    Some(sealed)
}

/// Opens an object; none where the key, the name or any byte is another.
///
/// Nearly all that is in a backup is sealed once more beneath; who opens what is not, wipes it.
#[must_use]
pub fn open(key: &BackupKey, name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    if sealed.len() > OBJECT_BYTES_MAX {
        return None;
    }
    let (head, mut rest) = sealed.split_at_checked(HEADER_BYTES)?;
    let salt = head.get(HEADER_BYTES - SALT_BYTES..)?;
    if *head != *header(OBJECT_MAGIC, salt) {
        return None;
    }
    let object_key = object_key(key, salt, name)?;
    let segments = rest.len().div_ceil(SEGMENT_BYTES + TAG_BYTES).max(1);
    let plain = rest.len().checked_sub(segments.checked_mul(TAG_BYTES)?)?;
    let mut out = vec![0; plain];
    let mut places = out.as_mut_slice();
    for number in 0..segments {
        let is_last = number + 1 == segments;
        let take = if is_last { rest.len() } else { SEGMENT_BYTES + TAG_BYTES };
        let (segment, behind) = rest.split_at_checked(take)?;
        let (ciphertext, tag) = segment.split_at_checked(segment.len().checked_sub(TAG_BYTES)?)?;
        let (place, next) = std::mem::take(&mut places).split_at_mut_checked(ciphertext.len())?;
        let nonce = nonce(number, is_last);
        object_key.open_separate_gather(nonce, Aad::from(head), ciphertext, tag, place).ok()?;
        rest = behind;
        places = next;
    }
    places.is_empty().then_some(out)
}

fn repository_tag(key: &BackupKey, covered: &[u8]) -> Option<hmac::Tag> {
    let derived = Salt::new(HKDF_SHA256, &[0; SALT_BYTES]).extract(key.secret());
    let info = [REPOSITORY_INFO, &key.repository.0];
    let derived = derived.expand(&info, hmac::HMAC_SHA256).ok()?;
    Some(hmac::sign(&hmac::Key::from(derived), covered))
}

/// The object that says which repository this is.
#[must_use]
pub fn repository_object(key: &BackupKey) -> Option<Vec<u8>> {
    let mut object = header(REPOSITORY_MAGIC, &key.repository.0);
    let tag = repository_tag(key, &object)?;
    object.extend_from_slice(tag.as_ref());
    Some(object)
}

/// Which repository an object says this is, before it is known whether the key fits.
#[must_use]
pub fn repository_of(object: &[u8]) -> Option<RepositoryId> {
    let id = object.get(16..32)?.try_into().ok().map(RepositoryId)?;
    (object.len() == 64 && object.starts_with(&header(REPOSITORY_MAGIC, &id.0))).then_some(id)
}

#[cfg(test)]
mod tests {
    use waag_stdx::entropy::SystemEntropy;

    use super::*;

    fn key(byte: u8) -> BackupKey {
        BackupKey::of(RepositoryId([byte; 16]), [byte; 32])
    }

    #[test]
    fn lengths_at_and_around_a_segment_read_back() {
        for len in [0, 1, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 2 * SEGMENT_BYTES] {
            let plain: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let sealed = seal(&key(1), &SystemEntropy::new(), "a", &plain).unwrap();
            assert_eq!(sealed.len(), sealed_bytes(len), "{len}");
            assert!(open(&key(1), "a", &sealed).unwrap() == plain, "{len}");
            assert!(open(&key(1), "b", &sealed).is_none());
            assert!(open(&key(2), "a", &sealed).is_none());
            let other = BackupKey::of(RepositoryId([9; 16]), [1; 32]);
            assert!(open(&other, "a", &sealed).is_none(), "the repository is authenticated");
            let cut = sealed.len() - 1;
            assert!(open(&key(1), "a", &sealed[..cut]).is_none());
        }
    }

    #[test]
    fn no_byte_may_change_be_cut_or_added() {
        let sealed = seal(&key(1), &SystemEntropy::new(), "a", b"a plaintext").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open(&key(1), "a", &changed).is_none(), "byte {at}");
            assert!(open(&key(1), "a", &sealed[..at]).is_none(), "cut to {at}");
        }
        assert!(open(&key(1), "a", &[&sealed[..], &[0]].concat()).is_none());
    }

    #[test]
    fn segments_cannot_be_dropped_moved_or_repeated() {
        let plain = vec![3; 3 * SEGMENT_BYTES];
        let sealed = seal(&key(1), &SystemEntropy::new(), "a", &plain).unwrap();
        let segment = |n: usize| {
            let from = HEADER_BYTES + n * (SEGMENT_BYTES + TAG_BYTES);
            &sealed[from..from + SEGMENT_BYTES + TAG_BYTES]
        };
        for order in [&[0, 1][..], &[0, 2], &[1, 0, 2], &[0, 1, 2, 2], &[0, 0, 1, 2], &[2], &[]] {
            let mut made = sealed[..HEADER_BYTES].to_vec();
            order.iter().for_each(|n| made.extend_from_slice(segment(*n)));
            assert!(open(&key(1), "a", &made).is_none(), "{order:?}");
        }
    }

    #[test]
    fn the_longest_plaintext_is_sealed_and_one_byte_more_is_refused() {
        let mut plain = vec![0; PLAIN_BYTES_MAX];
        let sealed = seal(&key(1), &SystemEntropy::new(), "a", &plain).unwrap();
        assert!(sealed.len() <= OBJECT_BYTES_MAX);
        assert!(open(&key(1), "a", &sealed).is_some());
        plain.push(0);
        assert!(seal(&key(1), &SystemEntropy::new(), "a", &plain).is_err());
    }

    #[test]
    fn every_byte_of_the_repositorys_own_object_counts() {
        let object = repository_object(&key(1)).unwrap();
        assert_eq!(repository_of(&object), Some(RepositoryId([1; 16])));
        for at in 0..object.len() {
            let mut changed = object.clone();
            changed[at] ^= 1;
            let is_told = repository_of(&changed) == Some(RepositoryId([1; 16]));
            assert!(!is_told || changed != repository_object(&key(1)).unwrap(), "byte {at}");
        }
    }
}
