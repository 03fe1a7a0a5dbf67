//! Why something is not verified, whose fault that is, and the stable code of each reason.
//!
//! Not here: the reasons of the proof and of the entry's form, which keep their own codes (`evidence/ledger`,
//! `evidence/entry`).

use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;

use waag_entry::error::EntryError;
use waag_ledger::note::NoteError;
use waag_ledger::pack::PackFault;
use waag_ledger::policy::PolicyError;
use waag_ledger::tlog_proof::TlogProofError;

use crate::{EXIT_ENVIRONMENT, EXIT_NOT_VERIFIED, EXIT_USAGE};

/// Why there is no verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyError {
    /// E0750: no key was given, so that nobody is trusted. Wrong usage.
    NoKey,
    /// E0751: the entry has no bytes.
    EntryEmpty,
    /// E0752: the proof has no bytes.
    ProofEmpty,
    /// E0753: the proof has an `extra` line, which no signature covers.
    ProofExtra,
    /// E0754: the checkpoint's origin does not end in a ledger id, without which no part can be opened.
    OriginLedger {
        /// The verified origin.
        origin: String,
    },
    /// E0755: a blob was given and the part does not refer to one.
    BlobUnused,
    /// E0756: more than one input is to be read from the standard input. Wrong usage.
    StdinTwice,
    /// E0757: a secret is not 64 hexadecimal digits. Wrong usage.
    Secret {
        /// The option it was given with.
        option: &'static str,
    },
    /// E0758: an input is longer than what it is said to be can be.
    TooLong {
        /// Which input.
        what: &'static str,
        /// Most bytes it can have.
        bytes_max: usize,
    },
    /// E0759: a file cannot be read. The environment's fault.
    Unreadable {
        /// Which input.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// Why.
        kind: ErrorKind,
    },
    /// E0760: the report cannot be written. The environment's fault.
    Output {
        /// Why.
        kind: ErrorKind,
    },
    /// E0761: the options do not fit together. Wrong usage.
    Usage {
        /// What the reader of the command line says.
        reason: String,
    },
    /// E0770: what was verified cannot be written to a file. The environment's fault.
    Unwritable {
        /// What was to be written.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        kind: ErrorKind,
    },
    /// A given key is no usable vkey; bears the code of the inner error. Wrong usage.
    Key(NoteError),
    /// What a key's file holds is no usable vkey; bears the code of the inner error.
    KeyFile(NoteError),
    /// The bytes are no entry; bears the code of the inner error.
    Entry(EntryError),
    /// The entry is not proven; bears the code of the inner error.
    Proof(TlogProofError),
    /// The entry is proven, and the part does not open; bears the code of the inner error.
    Part {
        /// The part's index.
        index: usize,
        /// Why.
        error: EntryError,
    },
    /// What a key's file holds is no key history; bears the code of the inner error.
    HistoryFile(PackFault),
    /// The policy is none; bears the code of the inner error.
    Policy(PolicyError),
    /// The pack is not verified; bears the code of the inner error.
    Pack(PackFault),
}

impl VerifyError {
    /// The stable code, for `waag explain`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoKey => "E0750",
            Self::EntryEmpty => "E0751",
            Self::ProofEmpty => "E0752",
            Self::ProofExtra => "E0753",
            Self::OriginLedger { .. } => "E0754",
            Self::BlobUnused => "E0755",
            Self::StdinTwice => "E0756",
            Self::Secret { .. } => "E0757",
            Self::TooLong { .. } => "E0758",
            Self::Unreadable { .. } => "E0759",
            Self::Output { .. } => "E0760",
            Self::Usage { .. } => "E0761",
            Self::Unwritable { .. } => "E0770",
            Self::Key(inner) | Self::KeyFile(inner) => inner.code(),
            Self::HistoryFile(inner) | Self::Pack(inner) => inner.code(),
            Self::Policy(inner) => inner.code(),
            Self::Entry(inner) | Self::Part { error: inner, .. } => inner.code(),
            Self::Proof(inner) => inner.code(),
        }
    }

    /// The exit code, never 0.
    #[must_use]
    pub fn exit(&self) -> u8 {
        match self {
            Self::NoKey
            | Self::StdinTwice
            | Self::Secret { .. }
            | Self::Usage { .. }
            | Self::Key(_)
            | Self::Pack(PackFault::NoTrustedKey { origin: None }) => EXIT_USAGE,
            Self::Unreadable { .. } | Self::Unwritable { .. } | Self::Output { .. } => EXIT_ENVIRONMENT,
            Self::EntryEmpty
            | Self::ProofEmpty
            | Self::ProofExtra
            | Self::OriginLedger { .. }
            | Self::BlobUnused
            | Self::TooLong { .. }
            | Self::KeyFile(_)
            | Self::Entry(_)
            | Self::Proof(_)
            | Self::Part { .. }
            | Self::HistoryFile(_)
            | Self::Policy(_)
            | Self::Pack(_) => EXIT_NOT_VERIFIED,
        }
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey => f.write_str("no key is given, so there is nobody to trust"),
            Self::EntryEmpty => f.write_str("the entry is empty"),
            Self::ProofEmpty => f.write_str("the proof is empty"),
            Self::ProofExtra => f.write_str("the proof has an `extra` line, which no signature covers"),
            Self::OriginLedger { origin } => write!(
                f,
                "the entry is proven, but its ledger's origin `{origin}` does not end in a ledger id of 32 \
                 hexadecimal digits, which opening a part needs"
            ),
            Self::BlobUnused => {
                f.write_str("the entry is proven, but the part refers to no blob and one was given")
            }
            Self::StdinTwice => f.write_str("only one input can be `-`, the standard input"),
            Self::Secret { option } => write!(f, "`{option}` needs 64 hexadecimal digits"),
            Self::TooLong { what, bytes_max } => {
                write!(f, "the {what} is longer than `{bytes_max}` bytes, the most it can have")
            }
            Self::Unreadable { what, path, kind } => {
                write!(f, "the {what} at `{}` cannot be read: {kind}", path.display())
            }
            Self::Unwritable { what, path, kind } => {
                write!(f, "the {what} cannot be written to `{}`: {kind}", path.display())
            }
            Self::Output { kind } => write!(f, "the report cannot be written: {kind}"),
            Self::Usage { reason } => f.write_str(reason.trim().trim_start_matches("error: ")),
            Self::Key(inner) | Self::KeyFile(inner) => write!(f, "a key cannot be used: {inner}"),
            Self::Entry(inner) => write!(f, "the bytes are no entry: {inner}"),
            Self::Proof(inner) => inner.fmt(f),
            Self::Part { index, error } => {
                write!(f, "the entry is proven, but its part {index} does not open: {error}")
            }
            Self::HistoryFile(inner) => write!(f, "a key history cannot be used: {inner}"),
            Self::Policy(inner) => write!(f, "the policy cannot be used: {inner}"),
            Self::Pack(inner) => inner.fmt(f),
        }
    }
}

impl std::error::Error for VerifyError {}
