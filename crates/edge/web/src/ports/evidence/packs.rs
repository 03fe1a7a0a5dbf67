//! Evidence packs: those handed out, one being made, one that is checked.

use std::fmt;
use std::io;
use std::sync::Arc;

use waag_model::time::UtcNanos;

use crate::model::Grade;
use crate::ports::HouseError;

/// Packs of the ledger.
pub trait Packs: Send + Sync {
    /// The packs that were handed out, the newest first, at most so many, and how many there are.
    ///
    /// # Errors
    /// [`HouseError`] where the state or the log cannot be read.
    fn packs(&self, most: usize) -> Result<PackList, HouseError>;

    /// The pack that is being made, or the last one that was; from memory.
    fn making(&self) -> Option<Making>;

    /// Begins to make a pack; recorded with the actor before anybody can have it.
    ///
    /// # Errors
    /// [`HouseError`] where one is being made already, or what is asked for is not possible.
    fn make(&self, asked: PackAsked, by: &str) -> Result<(), HouseError>;

    /// A pack that was made by this run of the program and is still here.
    fn made(&self, digest: &str) -> Option<PackFile>;

    /// Checks a pack with this ledger's own keys.
    ///
    /// # Errors
    /// [`HouseError`] where this ledger's keys cannot be read; a bad pack is a verdict.
    fn check(&self, pack: &[u8]) -> Result<Verdict, HouseError>;
}

/// Packs that were handed out.
#[derive(Clone, Debug, Default)]
pub struct PackList {
    /// All there are.
    pub total: u64,
    /// The newest, first.
    pub packs: Vec<Pack>,
}

/// A pack that was handed out.
#[derive(Clone, Debug)]
pub struct Pack {
    /// SHA-256 of its manifest, in hexadecimal.
    pub digest: String,
    /// When it was made.
    pub made: UtcNanos,
    /// Who made it.
    pub by: String,
    /// What was asked for, without any person's id.
    pub what: String,
    /// Why.
    pub reason: String,
    /// Entries in it.
    pub entries: u64,
    /// Persons of whom personal parts are disclosed in it.
    pub persons: u64,
    /// The event that recorded it.
    pub position: Option<u64>,
}

/// What a pack is asked to hold.
#[derive(Clone, Default)]
pub struct PackAsked {
    /// Events about this invoice.
    pub invoice: Option<String>,
    /// Events about this person.
    pub person: Option<String>,
    /// Events of this type.
    pub kind: Option<String>,
    /// From this time on.
    pub since_ns: Option<i64>,
    /// Before this time.
    pub until_ns: Option<i64>,
    /// From this position on.
    pub from: Option<u64>,
    /// Before this position.
    pub to: Option<u64>,
    /// The newest so many of them.
    pub last: Option<u64>,
    /// Why personal parts are disclosed too; none where they stay closed.
    pub reveal: Option<String>,
    /// Why it is made.
    pub reason: String,
}

impl fmt::Debug for PackAsked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let person = self.person.as_ref().map(|_| "…");
        f.debug_struct("PackAsked").field("person", &person).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// A pack being made, or the last that was.
#[derive(Clone, Debug)]
pub struct Making {
    /// What was asked for, without any person's id.
    pub what: String,
    /// Who asked.
    pub by: String,
    /// When it began.
    pub started: UtcNanos,
    /// Positions gone through.
    pub done: u64,
    /// Positions to go through.
    pub total: u64,
    /// How it stands.
    pub state: MakingState,
}

/// How the making of a pack stands.
#[derive(Clone, Debug)]
pub enum MakingState {
    /// Under way.
    Running,
    /// There it is.
    Made {
        /// SHA-256 of its manifest, in hexadecimal.
        digest: String,
        /// Entries in it.
        entries: u64,
        /// Its length.
        bytes: u64,
        /// Until when it can be fetched here.
        until: UtcNanos,
    },
    /// It could not be made.
    Failed {
        /// The stable code.
        code: String,
        /// Why.
        reason: String,
    },
}

/// A pack to be fetched.
#[derive(Clone)]
pub struct PackFile {
    /// Its length.
    pub bytes: u64,
    /// What is in it.
    pub content: Arc<dyn PackBytes>,
}

impl fmt::Debug for PackFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackFile").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// The bytes of a pack, read piece by piece.
pub trait PackBytes: Send + Sync {
    /// At most so many bytes from an offset on; fewer only at the end.
    ///
    /// # Errors
    /// The operating system's.
    fn read_at(&self, offset: u64, most: usize) -> io::Result<Vec<u8>>;
}

/// What came of checking a pack.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Whether it is verified; then nothing in [`Self::lines`] is bad.
    pub verified: bool,
    /// Line by line.
    pub lines: Vec<VerdictLine>,
}

/// One line of a verdict.
#[derive(Clone, Debug)]
pub struct VerdictLine {
    /// Good, bad, or only told.
    pub grade: Grade,
    /// What was checked.
    pub name: String,
    /// What was found.
    pub detail: String,
}
