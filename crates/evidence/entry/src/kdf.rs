//! HKDF-SHA-256 (RFC 5869) for one block of output, over the library's one-shot SHA-256.
//!
//! Sealing derives four values per part, each from a few dozen bytes. The library's own HKDF and HMAC set up contexts for
//! messages of any length, which costs more than the hashing itself (docs/benchmarks.md); here a message is one stack
//! buffer and one call. A test holds the result against the library's HKDF and the RFC's own vectors.
//!
//! Not here: which secrets are derived from what (`part`).

use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroize;

/// SHA-256's block, which HMAC pads its key to (RFC 2104 §2).
const BLOCK: usize = 64;
/// Longest message: a label, a hash, and the counter.
const MESSAGE_BYTES_MAX: usize = 64;
const HASH: usize = 32;

/// A key that values are expanded from: the output of [`extract`], or of an earlier [`expand`].
pub(crate) type Key = [u8; HASH];

/// HKDF-Extract (RFC 5869 §2.2): HMAC with the salt as its key.
pub(crate) fn extract(salt: &Key, input: &Key) -> Key {
    hmac(salt, &[input])
}

/// HKDF-Expand (RFC 5869 §2.3) to one block of 32 bytes: HMAC over the info and the counter 1.
pub(crate) fn expand(key: &Key, info: &[&[u8]]) -> Key {
    match *info {
        [one] => hmac(key, &[one, &[1]]),
        [one, two] => hmac(key, &[one, two, &[1]]),
        _ => hmac(key, &[&info.concat(), &[1]]),
    }
}

/// HMAC-SHA-256 (RFC 2104) under a key of 32 bytes, over at most [`MESSAGE_BYTES_MAX`] bytes.
fn hmac(key: &Key, message: &[&[u8]]) -> Key {
    let mut inner = [0x36; BLOCK + MESSAGE_BYTES_MAX];
    let mut outer = [0x5c; BLOCK + HASH];
    for (at, byte) in key.iter().enumerate() {
        if let (Some(i), Some(o)) = (inner.get_mut(at), outer.get_mut(at)) {
            *i ^= byte;
            *o ^= byte;
        }
    }
    let mut end = BLOCK;
    for piece in message {
        debug_assert!(end + piece.len() <= inner.len(), "a longer message than this is made for");
        if let Some(place) = inner.get_mut(end..end + piece.len()) {
            place.copy_from_slice(piece);
            end += piece.len();
        }
    }
    let first = digest(&SHA256, inner.get(..end).unwrap_or_default());
    if let Some(place) = outer.get_mut(BLOCK..) {
        place.copy_from_slice(first.as_ref());
    }
    let mut out = [0; HASH];
    out.copy_from_slice(digest(&SHA256, &outer).as_ref());
    inner.zeroize();
    outer.zeroize();
    out
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

    use super::*;

    struct Bytes32;

    impl KeyType for Bytes32 {
        fn len(&self) -> usize {
            HASH
        }
    }

    fn library(prk: &Prk, info: &[&[u8]]) -> Key {
        let mut out = [0; HASH];
        prk.expand(info, Bytes32).unwrap().fill(&mut out).unwrap();
        out
    }

    #[test]
    fn agrees_with_the_librarys_hkdf_on_every_shape_that_is_used() {
        for seed in 0..=255u8 {
            let (salt, input) = ([seed; HASH], [seed.wrapping_mul(31) ^ 0x5a; HASH]);
            let prk = Salt::new(HKDF_SHA256, &salt).extract(&input);
            let own = extract(&salt, &input);
            for info in
                [&[&b"key"[..]][..], &[b"commit"], &[b"commit", &[seed; 32]], &[&[seed; 16], b"waag part v1"]]
            {
                assert_eq!(expand(&own, info), library(&prk, info));
            }
        }
    }

    /// RFC 4231 §4.2, test case 1, shortened to what a 32-byte key allows: the key is padded with zeros (RFC 2104 §2).
    #[test]
    fn agrees_with_rfc_4231() {
        let mut key = [0; HASH];
        key[..20].fill(0x0b);
        let expected = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
        let hex: String = hmac(&key, &[b"Hi There"]).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }

    #[test]
    fn the_longest_message_fits() {
        let message = [7; MESSAGE_BYTES_MAX];
        let whole = hmac(&[1; HASH], &[&message]);
        assert_eq!(whole, hmac(&[1; HASH], &[&message[..20], &message[20..]]));
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[1; HASH]);
        assert_eq!(aws_lc_rs::hmac::sign(&key, &message).as_ref(), whole);
    }
}
