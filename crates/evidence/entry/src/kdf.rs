//! HMAC-SHA-256 (RFC 2104) and HKDF-SHA-256 (RFC 5869, one block of output) over the library's one-shot SHA-256.
//!
//! Sealing derives four values per part and two tags per event, each from a few dozen bytes. The library's own HKDF and HMAC set up contexts for
//! messages of any length, which costs more than the hashing itself (docs/benchmarks.md); here a message is one stack
//! buffer and one call. A test holds the result against the library's HKDF and the RFC's own vectors.
//!
//! Not here: which secrets are derived from what (`part`).

use aws_lc_rs::digest::{Context, SHA256, digest};
use zeroize::Zeroize;

/// SHA-256's block, which HMAC pads its key to (RFC 2104 §2).
const BLOCK: usize = 64;
/// Longest message that is hashed from the stack; a longer one takes the library's HMAC.
const MESSAGE_BYTES_MAX: usize = 448;
/// Longest message that a small buffer takes.
const SHORT_MESSAGE_BYTES_MAX: usize = 64;
const HASH: usize = 32;

/// A key that values are expanded from: the output of [`extract`], or of an earlier [`expand`].
pub(crate) type Key = [u8; HASH];

/// HKDF-Extract (RFC 5869 §2.2): HMAC with the salt as its key.
pub(crate) fn extract(salt: &Key, input: &Key) -> Key {
    Hmac::new(salt).sign(&[input])
}

/// HKDF-Expand (RFC 5869 §2.3) to one block of 32 bytes: HMAC over the info and the counter 1.
pub(crate) fn expand(key: &Hmac, info: &[&[u8]]) -> Key {
    match *info {
        [one] => key.sign(&[one, &[1]]),
        [one, two] => key.sign(&[one, two, &[1]]),
        _ => key.sign(&[&info.concat(), &[1]]),
    }
}

/// HMAC-SHA-256 under a key of 32 bytes, its two padded blocks prepared.
#[derive(Clone)]
pub(crate) struct Hmac {
    inner: [u8; BLOCK],
    outer: [u8; BLOCK],
}

impl Hmac {
    /// Prepares a key.
    pub(crate) fn new(key: &Key) -> Self {
        let (mut inner, mut outer) = ([0x36; BLOCK], [0x5c; BLOCK]);
        for ((byte, i), o) in key.iter().zip(&mut inner).zip(&mut outer) {
            *i ^= byte;
            *o ^= byte;
        }
        Self { inner, outer }
    }

    /// The code of a message that is given in pieces.
    pub(crate) fn sign(&self, message: &[&[u8]]) -> Key {
        // Clearing a buffer is a good part of the cost where the message is a few dozen bytes, as it nearly always is.
        let len = message.iter().map(|piece| piece.len()).sum::<usize>();
        if len <= SHORT_MESSAGE_BYTES_MAX {
            self.sign_within::<{ BLOCK + SHORT_MESSAGE_BYTES_MAX }>(message)
        } else if len <= MESSAGE_BYTES_MAX {
            self.sign_within::<{ BLOCK + MESSAGE_BYTES_MAX }>(message)
        } else {
            self.sign_long(message)
        }
    }

    /// Signs a message that fits into `N` bytes behind the key's block.
    fn sign_within<const N: usize>(&self, message: &[&[u8]]) -> Key {
        let mut first = [0; N];
        let mut end = 0;
        for piece in std::iter::once(self.inner.as_slice()).chain(message.iter().copied()) {
            if let Some(place) = first.get_mut(end..end + piece.len()) {
                place.copy_from_slice(piece);
                end += piece.len();
            }
        }
        self.finish(digest(&SHA256, first.get(..end).unwrap_or_default()).as_ref())
    }

    fn sign_long(&self, message: &[&[u8]]) -> Key {
        let mut context = Context::new(&SHA256);
        context.update(&self.inner);
        message.iter().for_each(|piece| context.update(piece));
        self.finish(context.finish().as_ref())
    }

    fn finish(&self, inner: &[u8]) -> Key {
        let mut second = [0; BLOCK + HASH];
        let (block, hash) = second.split_at_mut(BLOCK);
        block.copy_from_slice(&self.outer);
        hash.copy_from_slice(inner);
        let mut out = [0; HASH];
        out.copy_from_slice(digest(&SHA256, &second).as_ref());
        second.zeroize();
        out
    }
}

impl Drop for Hmac {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
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
                assert_eq!(expand(&Hmac::new(&own), info), library(&prk, info));
            }
        }
    }

    /// RFC 4231 §4.2, test case 1, shortened to what a 32-byte key allows: the key is padded with zeros (RFC 2104 §2).
    #[test]
    fn agrees_with_rfc_4231() {
        let mut key = [0; HASH];
        key[..20].fill(0x0b);
        let expected = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
        let hex: String =
            Hmac::new(&key).sign(&[b"Hi There"]).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }

    #[test]
    fn messages_at_and_beyond_the_stacks_limit_are_signed_alike() {
        let library = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[1; HASH]);
        for len in [
            0,
            1,
            SHORT_MESSAGE_BYTES_MAX,
            SHORT_MESSAGE_BYTES_MAX + 1,
            MESSAGE_BYTES_MAX - 1,
            MESSAGE_BYTES_MAX,
            MESSAGE_BYTES_MAX + 1,
            3_000,
        ] {
            let message = vec![7; len];
            let (a, b) = message.split_at(len / 3);
            assert_eq!(
                Hmac::new(&[1; HASH]).sign(&[a, b]),
                aws_lc_rs::hmac::sign(&library, &message).as_ref(),
                "{len}"
            );
        }
    }
}
