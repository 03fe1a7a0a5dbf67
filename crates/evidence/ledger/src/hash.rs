//! SHA-256 tree hashes with their domain separation, so that no leaf can pass for an interior node.
//!
//! Place: the hot path of appending and of verifying. Not here: which hashes form a tree (`tree`, `subtree`).
//!
//! Source: RFC 6962 §2.1 and RFC 9162 §2.1.1: a leaf is `SHA-256(0x00 ‖ entry)`, a node is
//! `SHA-256(0x01 ‖ left ‖ right)`, the empty tree is `SHA-256("")`.

use crate::text;
use aws_lc_rs::digest::{Context, Digest, SHA256, digest};
use std::fmt;
use std::str::FromStr;

/// The length of a tree hash, in bytes.
pub const HASH_BYTES: usize = 32;

/// The root of the tree without leaves: SHA-256 of nothing (RFC 6962 §2.1).
pub const EMPTY_ROOT: Hash = Hash([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
    0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

const LEAF_PREFIX: u8 = 0x00;
const NODE_PREFIX: u8 = 0x01;

/// Entries shorter than this are hashed from a buffer on the stack.
///
/// One call with the prefix copied in front costs 30 to 50 ns less than the four calls of a digest context
/// (`examples/hash_speed.rs`, entries of 1,023 and of 1,024 bytes). A larger buffer costs in zeroing what it saves.
const STACK_BYTES: usize = 1024;

/// A leaf, node or root hash of the tree: 32 bytes of SHA-256.
///
/// Printed and parsed as 64 lowercase hexadecimal digits; the C2SP texts carry it in base 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; HASH_BYTES]);

impl Hash {
    /// The hash in standard base 64 (RFC 4648 §4), 44 characters, as the C2SP texts write it.
    #[must_use]
    pub fn to_base64(&self) -> String {
        text::base64_encode(&self.0)
    }

    /// Reads the 44 characters of [`Hash::to_base64`], and no other spelling of the same bytes.
    ///
    /// # Errors
    /// [`HashTextError`] when the text is not the canonical base 64 of 32 bytes.
    pub fn from_base64(text: &str) -> Result<Hash, HashTextError> {
        let bytes = text::base64_decode(text).ok_or(HashTextError)?;
        let array = <[u8; HASH_BYTES]>::try_from(bytes.as_slice()).map_err(|_| HashTextError)?;
        Ok(Hash(array))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl FromStr for Hash {
    type Err = HashTextError;

    fn from_str(text: &str) -> Result<Hash, HashTextError> {
        let mut hash = Hash([0; HASH_BYTES]);
        text::hex_decode(text, &mut hash.0).ok_or(HashTextError)?;
        Ok(hash)
    }
}

impl AsRef<[u8]> for Hash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<[u8; HASH_BYTES]> for Hash {
    fn from(bytes: [u8; HASH_BYTES]) -> Hash {
        Hash(bytes)
    }
}

/// E0301: the text is not a tree hash (64 lowercase hexadecimal digits, or 44 characters of base 64).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashTextError;

impl HashTextError {
    /// The stable code, for `waag explain`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "E0301"
    }
}

impl fmt::Display for HashTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text is not a 32-byte tree hash")
    }
}

impl std::error::Error for HashTextError {}

/// Hashes an entry's bytes into its leaf hash.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let mut buffer = [LEAF_PREFIX; STACK_BYTES];
    if let Some((head, _)) = buffer.split_at_mut_checked(entry.len() + 1)
        && let Some((_, body)) = head.split_first_mut()
    {
        body.copy_from_slice(entry);
        return of(&digest(&SHA256, head));
    }
    let mut context = Context::new(&SHA256);
    context.update(&[LEAF_PREFIX]);
    context.update(entry);
    of(&context.finish())
}

/// Hashes two children into their parent.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut buffer = [NODE_PREFIX; 1 + 2 * HASH_BYTES];
    let (_, children) = buffer.split_at_mut(1);
    let (left_half, right_half) = children.split_at_mut(HASH_BYTES);
    left_half.copy_from_slice(&left.0);
    right_half.copy_from_slice(&right.0);
    of(&digest(&SHA256, &buffer))
}

fn of(digest: &Digest) -> Hash {
    let mut hash = Hash([0; HASH_BYTES]);
    // SHA-256 gives 32 bytes, and this copy has a fixed length once it is inlined.
    hash.0.copy_from_slice(digest.as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_root_is_sha256_of_nothing() {
        assert_eq!(of(&digest(&SHA256, b"")), EMPTY_ROOT);
    }

    #[test]
    fn leaf_and_node_hashes_match_published_values() {
        // RFC 6962 test trees: the leaf hash of the empty entry, and the root over the two leaves "" and 0x00.
        let empty = leaf_hash(b"");
        assert_eq!(empty.to_string(), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        let root = node_hash(&empty, &leaf_hash(&[0x00]));
        assert_eq!(root.to_string(), "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125");
    }

    #[test]
    fn stack_buffer_and_context_agree_around_the_limit() {
        for length in [0, 1, 640, STACK_BYTES - 2, STACK_BYTES - 1, STACK_BYTES, STACK_BYTES + 1, 65_535] {
            let entry = vec![0x5a; length];
            let mut prefixed = vec![LEAF_PREFIX];
            prefixed.extend_from_slice(&entry);
            assert_eq!(leaf_hash(&entry), of(&digest(&SHA256, &prefixed)), "entry of {length} bytes");
        }
    }

    #[test]
    fn leaf_cannot_pass_for_a_node() {
        let (left, right) = (leaf_hash(b"left"), leaf_hash(b"right"));
        let mut joined = left.0.to_vec();
        joined.extend_from_slice(&right.0);
        assert_ne!(leaf_hash(&joined), node_hash(&left, &right));
    }

    #[test]
    fn texts_have_one_spelling() {
        let hash = leaf_hash(b"waag");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(Hash::from_base64(&hash.to_base64()), Ok(hash));
        assert_eq!(hash.to_string().to_uppercase().parse::<Hash>(), Err(HashTextError));
        for bad in ["", "00", "é", hash.to_string().split_at(1).1, &format!("{hash}0"), &"g".repeat(64)] {
            assert_eq!(bad.parse::<Hash>(), Err(HashTextError), "`{bad}`");
        }
        // 32 bytes leave two unused bits in the 43rd character; only zero bits are canonical.
        let canonical = Hash([0; 32]).to_base64();
        let loose = canonical.replace("A=", "B=");
        assert_ne!(canonical, loose);
        assert_eq!(Hash::from_base64(&loose), Err(HashTextError));
        assert_eq!(Hash::from_base64(canonical.trim_end_matches('=')), Err(HashTextError));
    }
}
