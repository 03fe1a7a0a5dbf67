//! What a cover tells: plain facts about a pack, without any person's id in them.

use waag_model::time::UtcNanos;

/// Most events that the cover's table shows; the pack may hold many more.
pub const EVENTS_SHOWN_MAX: usize = 200;

/// Everything that a cover tells.
#[derive(Clone, Debug)]
pub struct Cover {
    /// What was asked, by whom and why.
    pub asked: Asked,
    /// What is in the pack.
    pub held: Held,
    /// Under which checkpoint it stands.
    pub standing: Standing,
    /// The first events, at most [`EVENTS_SHOWN_MAX`].
    pub events: Vec<EventLine>,
}

/// What was asked, by whom and why.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Who exported the pack: a principal, never a person's name.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When the pack was made.
    pub made: UtcNanos,
    /// The selection, one condition each: what it is about, and its value.
    pub selection: Vec<(String, String)>,
    /// Why persons' data was opened, where it was.
    pub reveal: Option<String>,
    /// Why data of persons under restriction was opened all the same, where it was.
    pub despite_restriction: Option<String>,
    /// The id of the event that records the export in the ledger.
    pub event_id: String,
}

/// What is in the pack.
#[derive(Clone, Debug)]
pub struct Held {
    /// How many entries.
    pub entries: u64,
    /// The first and the last position.
    pub positions: (u64, u64),
    /// The earliest and the latest time at which one of the events was accepted.
    pub accepted: (UtcNanos, UtcNanos),
    /// Whether the positions follow without a gap.
    pub gapless: bool,
    /// How many of each type, in the order of types.
    pub types: Vec<TypeCount>,
    /// What of it can be opened.
    pub parts: Parts,
}

/// How many events of a type.
#[derive(Clone, Debug)]
pub struct TypeCount {
    /// The type.
    pub kind: String,
    /// How many.
    pub events: u64,
}

/// Sealed parts of a pack's entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Common parts that can be opened.
    pub common: u64,
    /// Persons' parts that can be opened.
    pub persons: u64,
    /// Parts that stay closed: proven to be there, not readable.
    pub closed: u64,
    /// Parts whose keys were destroyed before the export; nobody can open them any more.
    pub erased: u64,
}

/// Under which checkpoint the pack stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The ledger's origin.
    pub origin: String,
    /// The ledger's id in hexadecimal digits.
    pub ledger: String,
    /// The checkpoint's tree size.
    pub size: u64,
    /// Its root hash in hexadecimal digits, as verifiers print it.
    pub root: String,
    /// The same in base 64, as the checkpoint has it.
    pub root_base64: String,
    /// The keys that signed it.
    pub signers: Vec<KeyShown>,
    /// The witnesses that cosigned it.
    pub witnesses: Vec<WitnessShown>,
    /// Whether it was published, or is the ledger's newest and known to the operator alone.
    pub published: bool,
}

/// A public key as it is shown.
#[derive(Clone, Debug)]
pub struct KeyShown {
    /// Its name in signed notes.
    pub name: String,
    /// Its key id in hexadecimal digits.
    pub id: String,
}

/// A witness's cosignature.
#[derive(Clone, Debug)]
pub struct WitnessShown {
    /// Its key.
    pub key: KeyShown,
    /// When it cosigned, by its own clock.
    pub at: UtcNanos,
}

/// One event in the cover's table.
#[derive(Clone, Debug)]
pub struct EventLine {
    /// Its position.
    pub position: u64,
    /// When it was accepted.
    pub accepted: UtcNanos,
    /// Its type.
    pub kind: String,
    /// What its common part says of its state, such as an invoice's status; empty where it says nothing or is closed.
    pub state: String,
    /// Its leaf hash in hexadecimal digits.
    pub leaf: String,
}
