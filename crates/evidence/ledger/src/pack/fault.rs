//! Why a pack is not verified, or cannot be made: exactly what, and where.
//!
//! Not here: faults of notes, checkpoints, keys, policies and entries, which keep their own codes.

use std::fmt;

use waag_entry::error::EntryError;

use crate::checkpoint::CheckpointError;
use crate::history::HistoryError;
use crate::note::NoteError;

/// The first thing that is wrong with a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackFault {
    /// E0376: there is nothing: no bytes, or no entry.
    Empty {
        /// What has nothing in it.
        what: &'static str,
    },
    /// E0377: the file is not the one ZIP file of its members.
    Container {
        /// Where in the file.
        offset: usize,
        /// What belongs there.
        expected: &'static str,
    },
    /// E0378: something is larger than a pack can hold.
    Limit {
        /// What.
        what: &'static str,
        /// The most that is allowed.
        limit: usize,
        /// What there is.
        got: usize,
    },
    /// E0379: no key that was given from outside speaks for the pack's ledger; keys in the pack prove nothing.
    NoTrustedKey {
        /// The origin the pack claims; none where no key was given at all.
        origin: Option<String>,
    },
    /// E0380: the pack is of a version that this program does not know.
    Version {
        /// The first line of `manifest.note`.
        line: String,
    },
    /// E0381: `manifest.note` does not say what the pack's manifest calls for.
    Note {
        /// What it needs.
        expected: &'static str,
    },
    /// E0382: `manifest.json` or `keys.json` is not in its one spelling.
    Json {
        /// Which of the two.
        member: &'static str,
        /// Where in it.
        offset: usize,
        /// What belongs there.
        expected: &'static str,
    },
    /// E0383: a member is missing, unknown, misplaced or changed.
    Member {
        /// Its name.
        name: String,
        /// What is wrong with it.
        fault: MemberFault,
    },
    /// E0384: the manifest says something else than the pack holds.
    Claim {
        /// Of what.
        what: &'static str,
        /// What the manifest says.
        said: String,
        /// What there is.
        found: String,
    },
    /// E0385: the checkpoint breaks a rule of packs.
    CheckpointRule {
        /// What it needs.
        expected: &'static str,
    },
    /// E0386: the policy's quorum of witnesses is not reached.
    Quorum {
        /// The groups and witnesses that are missing, as the policy names them.
        unmet: Vec<String>,
    },
    /// E0387: `entries.bin`, `proof.bin` or `parts.bin` is not in its one form.
    Binary {
        /// Which of them.
        member: &'static str,
        /// Where in it.
        offset: usize,
        /// What belongs there.
        expected: &'static str,
    },
    /// E0388: entries and proof do not lead to the checkpoint's root: one of them is not this ledger's.
    Root {
        /// The tree's leaves.
        tree_size: u64,
    },
    /// E0389: what is disclosed is not what the entry calls for.
    Disclosure {
        /// The entry's position; none for a blob or dictionary that no entry needs.
        position: Option<u64>,
        /// The part's index.
        part: Option<u8>,
        /// What it needs.
        expected: &'static str,
    },
    /// The signatures on `manifest.note` were refused; bears the code of the inner error.
    NoteSignature(NoteError),
    /// The checkpoint was refused; bears the code of the inner error.
    Checkpoint(CheckpointError),
    /// A key's window does not hold; bears the code of the inner error.
    Keys(HistoryError),
    /// An entry is no entry; bears the code of the inner error.
    Entry {
        /// Its position.
        position: u64,
        /// Why.
        error: EntryError,
    },
    /// A disclosed part, or its blob, does not open, or the parts do not fit; bears the code of the inner error.
    Part {
        /// The entry's position.
        position: u64,
        /// The part's index; none where each opens and they do not fit together.
        part: Option<u8>,
        /// Why.
        error: EntryError,
    },
}

/// What is wrong with a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberFault {
    /// It is not there.
    Missing,
    /// No member has such a name.
    Unknown,
    /// It stands twice, or behind a member that it belongs before.
    Misplaced,
    /// Its bytes do not have the checksum in its header.
    Checksum,
    /// Its bytes are not those that the manifest, the note or its own name tells the hash of.
    Changed,
    /// The manifest does not list it at its place.
    Unlisted,
}

/// Where a fault is, as far as it is at one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The member.
    pub member: Option<String>,
    /// The offset in the member, or in the file where there is no member.
    pub offset: Option<usize>,
    /// The entry's position.
    pub position: Option<u64>,
    /// The part's index.
    pub part: Option<u8>,
}

impl PackFault {
    /// The stable code, for `waag explain`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            PackFault::Empty { .. } => "E0376",
            PackFault::Container { .. } => "E0377",
            PackFault::Limit { .. } => "E0378",
            PackFault::NoTrustedKey { .. } => "E0379",
            PackFault::Version { .. } => "E0380",
            PackFault::Note { .. } => "E0381",
            PackFault::Json { .. } => "E0382",
            PackFault::Member { .. } => "E0383",
            PackFault::Claim { .. } => "E0384",
            PackFault::CheckpointRule { .. } => "E0385",
            PackFault::Quorum { .. } => "E0386",
            PackFault::Binary { .. } => "E0387",
            PackFault::Root { .. } => "E0388",
            PackFault::Disclosure { .. } => "E0389",
            PackFault::NoteSignature(inner) => inner.code(),
            PackFault::Checkpoint(inner) => inner.code(),
            PackFault::Keys(inner) => inner.code(),
            PackFault::Entry { error, .. } | PackFault::Part { error, .. } => error.code(),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn place(&self) -> Place {
        let member = |name: &str| Some(name.to_owned());
        let none = Place::default();
        match self {
            PackFault::Empty { .. }
            | PackFault::Limit { .. }
            | PackFault::NoTrustedKey { .. }
            | PackFault::Claim { .. } => none,
            PackFault::Container { offset, .. } => Place { offset: Some(*offset), ..none },
            PackFault::Version { .. } | PackFault::Note { .. } | PackFault::NoteSignature(_) => {
                Place { member: member(super::name::NOTE), ..none }
            }
            PackFault::Json { member: of, offset, .. } | PackFault::Binary { member: of, offset, .. } => {
                Place { member: member(of), offset: Some(*offset), ..none }
            }
            PackFault::Member { name, .. } => Place { member: member(name), ..none },
            PackFault::CheckpointRule { .. } | PackFault::Quorum { .. } | PackFault::Checkpoint(_) => {
                Place { member: member(super::name::CHECKPOINT), ..none }
            }
            PackFault::Keys(_) => Place { member: member(super::name::KEYS), ..none },
            PackFault::Root { .. } => Place { member: member(super::name::PROOF), ..none },
            PackFault::Disclosure { position, part, .. } => {
                Place { position: *position, part: *part, ..none }
            }
            PackFault::Entry { position, .. } => Place { position: Some(*position), ..none },
            PackFault::Part { position, part, .. } => {
                Place { position: Some(*position), part: *part, ..none }
            }
        }
    }
}

impl fmt::Display for MemberFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MemberFault::Missing => "is missing",
            MemberFault::Unknown => "is no member of a pack",
            MemberFault::Misplaced => "stands twice or behind a member that it belongs before",
            MemberFault::Checksum => "does not have the checksum in its header: it was changed",
            MemberFault::Changed => "does not have the hash that it is signed or named under: it was changed",
            MemberFault::Unlisted => "is not what the manifest lists at its place",
        })
    }
}

impl fmt::Display for PackFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PackFault::Empty { what } => write!(f, "the {what} holds nothing"),
            PackFault::Container { offset, expected } => {
                write!(f, "at byte `{offset}` of the file: expected {expected}")
            }
            PackFault::Limit { what, limit, got } => {
                write!(f, "`{got}` {what} are above the limit of `{limit}`")
            }
            PackFault::NoTrustedKey { origin: None } => {
                f.write_str("no key was given from outside the pack, so there is nobody to trust")
            }
            PackFault::NoTrustedKey { origin: Some(origin) } => write!(
                f,
                "the pack is said to be of the ledger `{origin}`, and no given key is of a signer of that name"
            ),
            PackFault::Version { line } => write!(f, "`{line}` is a version that is not known"),
            PackFault::Note { expected } => write!(f, "the manifest's note: expected {expected}"),
            PackFault::Json { member, offset, expected } | PackFault::Binary { member, offset, expected } => {
                write!(f, "at byte `{offset}` of `{member}`: expected {expected}")
            }
            PackFault::Member { name, fault } => write!(f, "the member `{name}` {fault}"),
            PackFault::Claim { what, said, found } => {
                write!(f, "the manifest says `{said}` of the {what}, the pack holds `{found}`")
            }
            PackFault::CheckpointRule { expected } => write!(f, "the checkpoint: expected {expected}"),
            PackFault::Quorum { unmet } => {
                write!(f, "the policy's witnesses did not cosign: missing `{}`", unmet.join("`, `"))
            }
            PackFault::Root { tree_size } => write!(
                f,
                "entries and proof do not lead to the signed root of the tree of `{tree_size}` leaves"
            ),
            PackFault::Disclosure { position, part, expected } => {
                match (position, part) {
                    (Some(position), Some(part)) => write!(f, "part `{part}` of entry `{position}`: ")?,
                    (Some(position), None) => write!(f, "entry `{position}`: ")?,
                    (None, _) => f.write_str("what is disclosed: ")?,
                }
                write!(f, "expected {expected}")
            }
            PackFault::NoteSignature(inner) => write!(f, "the manifest's note: {inner}"),
            PackFault::Checkpoint(inner) => write!(f, "the checkpoint: {inner}"),
            PackFault::Keys(inner) => write!(f, "the key history: {inner}"),
            PackFault::Entry { position, error } => {
                write!(f, "the bytes at position `{position}` are no entry: {error}")
            }
            PackFault::Part { position, part: Some(part), error } => {
                write!(f, "part `{part}` of entry `{position}` does not open: {error}")
            }
            PackFault::Part { position, part: None, error } => {
                write!(f, "the parts of entry `{position}` do not fit together: {error}")
            }
        }
    }
}

impl std::error::Error for PackFault {}
