//! Why bytes are not an entry, or a part does not open; each with a stable code.

use std::fmt;

/// What is wrong with stored bytes, a part, or its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryError {
    /// The bytes are not deterministic CBOR of the entry's form; where, and what was expected.
    Form {
        /// Offset in the bytes that were read.
        offset: usize,
        /// What belongs there.
        expected: &'static str,
    },
    /// The entry's version is not one this program knows.
    Version(u64),
    /// The header breaks a limit; what it needs.
    Header(&'static str),
    /// A part's or blob's plaintext is longer than the limit, in bytes.
    PlaintextTooLong(usize),
    /// A reference to a blob breaks the rules: nesting, another role or key, not exactly one reference to each.
    BlobReference,
    /// The sealed entry would be longer than 65,535 bytes.
    TooLong(usize),
    /// The part's commitment does not belong to this secret (or to this dictionary).
    Commitment,
    /// The commitment is right and the ciphertext is not: the part was changed.
    Ciphertext,
    /// Codec 1 needs a dictionary that was not given.
    DictionaryMissing([u8; 8]),
    /// The dictionary cannot be used.
    Dictionary(String),
    /// The plaintext did not compress or expand.
    Compression(String),
    /// The entry has no part of that index.
    NoPart(usize),
    /// Parts of different entries, or a path that leads nowhere, were merged.
    Merge(String),
    /// A blob's bytes do not have the hash that names it.
    BlobHash,
    /// The cryptographic library refused an operation that cannot fail on valid keys.
    Crypto(&'static str),
}

impl EntryError {
    /// The stable code of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Form { .. } => "E0201",
            Self::Version(_) => "E0202",
            Self::TooLong(_) => "E0203",
            Self::Commitment => "E0204",
            Self::Ciphertext => "E0205",
            Self::DictionaryMissing(_) => "E0206",
            Self::Dictionary(_) => "E0207",
            Self::Compression(_) => "E0208",
            Self::NoPart(_) => "E0209",
            Self::Merge(_) => "E0210",
            Self::BlobHash => "E0211",
            Self::Crypto(_) => "E0212",
            Self::Header(_) => "E0213",
            Self::PlaintextTooLong(_) => "E0214",
            Self::BlobReference => "E0215",
        }
    }
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form { offset, expected } => write!(f, "at byte {offset}: expected {expected}"),
            Self::Version(version) => write!(f, "entry version {version} is unknown"),
            Self::TooLong(bytes) => write!(f, "the entry would have {bytes} bytes, 65535 are allowed"),
            Self::Commitment => write!(f, "the secret or dictionary does not match the part's commitment"),
            Self::Ciphertext => write!(f, "the part's ciphertext or the entry's header was changed"),
            Self::DictionaryMissing(name) => {
                write!(f, "the part needs the dictionary `")?;
                name.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                write!(f, "`")
            }
            Self::Dictionary(why) => write!(f, "the dictionary cannot be used: {why}"),
            Self::Compression(why) => write!(f, "compression failed: {why}"),
            Self::NoPart(index) => write!(f, "the entry has no part {index}"),
            Self::Merge(why) => write!(f, "the parts do not fit together: {why}"),
            Self::BlobHash => write!(f, "the blob's bytes do not have the hash that names it"),
            Self::Header(what) => write!(f, "the header needs {what}"),
            Self::PlaintextTooLong(bytes) => {
                write!(f, "a part's plaintext has {bytes} bytes, more than allowed")
            }
            Self::BlobReference => write!(f, "the reference to a blob does not belong to this part"),
            Self::Crypto(what) => write!(f, "the cryptographic library failed to {what}"),
        }
    }
}

impl std::error::Error for EntryError {}
