//! How the ledger stands before outsiders: checkpoint, keys, publication, witnesses, verification, guard.

use waag_model::time::UtcNanos;

use crate::model::Series;
use crate::ports::HouseError;

/// The ledger as outsiders may check it.
pub trait Standing: Send + Sync {
    /// All that the page tells.
    ///
    /// # Errors
    /// [`HouseError`] where log, state or keys cannot be read.
    fn standing(&self) -> Result<Ledger, HouseError>;

    /// A text that is another one whenever what these pages show has changed: each open page asks every second, so it is
    /// made from memory.
    fn stamp(&self) -> String;
}

/// How the ledger stands.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// Its id, in hexadecimal.
    pub id: String,
    /// Its origin, as checkpoints name it.
    pub origin: String,
    /// Entries under the newest checkpoint.
    pub size: u64,
    /// The newest checkpoint, word for word; none in an empty ledger.
    pub note: Option<String>,
    /// When the newest frame was committed.
    pub committed: Option<UtcNanos>,
    /// All keys it ever signed with, the newest first.
    pub keys: Vec<Key>,
    /// Entries in the ledger at the start of each step; the last are those of now.
    pub growth: Series,
    /// What was published; none where this node publishes nothing.
    pub publication: Option<Publication>,
    /// The witnesses it asks, in the order of its policy.
    pub witnesses: Vec<Witness>,
    /// What its policy asks for; none without a policy.
    pub quorum: Option<Quorum>,
    /// The reading again in the background.
    pub scrub: Scrub,
    /// The guard.
    pub guard: Guard,
    /// Keys of persons and days that were destroyed.
    pub tombstones: u64,
}

/// Whether a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It signs.
    Active,
    /// It signed until it was replaced; what it signed stays good.
    Retired,
    /// It must not be trusted for anything signed after its window.
    Revoked,
}

/// A public key of the ledger.
#[derive(Clone, Debug)]
pub struct Key {
    /// The key as verifiers take it.
    pub vkey: String,
    /// How it signs, such as `Ed25519`.
    pub algorithm: String,
    /// Whether it signs.
    pub state: KeyState,
    /// From when on.
    pub from: Option<UtcNanos>,
    /// Until when; open while it signs.
    pub until: Option<UtcNanos>,
    /// Whether its signature is on the newest checkpoint.
    pub signed: bool,
}

/// What was published.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Entries under the published checkpoint.
    pub size: u64,
    /// When it was published.
    pub at: Option<UtcNanos>,
    /// The published checkpoint with all cosignatures that came so far.
    pub note: String,
    /// How long the oldest entry that is not published has been waiting, in nanoseconds.
    pub lag_ns: i64,
    /// How often it is published, in milliseconds.
    pub every_ms: u64,
    /// Whether anybody may fetch it without a key.
    pub is_public: bool,
    /// Why nothing more is published: code and reason.
    pub refused: Option<(String, String)>,
}

/// How a witness stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WitnessState {
    /// It cosigned the published checkpoint.
    Good,
    /// It cosigned an older one, and is being asked.
    Behind,
    /// It does not answer.
    Down,
    /// It refuses: it does not know this log, or not its key.
    Refused,
    /// It saw another history.
    Alarm,
}

/// A witness.
#[derive(Clone, Debug)]
pub struct Witness {
    /// Its name.
    pub name: String,
    /// Where it is asked.
    pub url: String,
    /// How it stands.
    pub state: WitnessState,
    /// The size it cosigned last.
    pub size: Option<u64>,
    /// When it says it did.
    pub cosigned: Option<UtcNanos>,
    /// What it answered last, in words.
    pub answer: String,
    /// When.
    pub answered: Option<UtcNanos>,
    /// Failures in a row.
    pub failures: u64,
}

/// What a policy asks for.
#[derive(Clone, Debug)]
pub struct Quorum {
    /// The rule in words.
    pub rule: String,
    /// Whether the published checkpoint satisfies it.
    pub satisfied: bool,
    /// Who is missing.
    pub missing: Vec<String>,
    /// The newest checkpoint that satisfied it: its size, and when it did.
    pub newest: Option<(u64, UtcNanos)>,
}

/// How far everything stored was read again.
#[derive(Clone, Debug, Default)]
pub struct Scrub {
    /// Whether it runs at all.
    pub runs: bool,
    /// Times that everything was read again, since the node's start.
    pub rounds: u64,
    /// Bytes read again, since the node's start.
    pub bytes: u64,
    /// When the last round ended.
    pub ended: Option<UtcNanos>,
    /// How far the round under way is, in parts of a hundred, where that is known.
    pub percent: Option<u8>,
    /// Damage that was found: code, and where and what.
    pub faults: Vec<(String, String)>,
    /// How often reading failed.
    pub failures: u64,
}

/// The guard: what a rolled-back log is told by.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Entries that it guards.
    pub size: u64,
    /// Its slots that were damaged when the store was opened: where and what.
    pub faults: Vec<String>,
}
