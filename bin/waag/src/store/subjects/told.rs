//! What is told about persons: the same for the command line, the desk's answers and the pages. No person's id in any of it.

use serde::{Deserialize, Serialize};

/// What is held under one class and period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The retention class.
    pub class: String,
    /// The year.
    pub period: String,
    /// How many keys seal it: one, and those it was rotated from.
    pub keys: u64,
    /// The last day on which it is kept.
    pub until: String,
    /// Whether an erasure destroys it before.
    pub erasable: bool,
    /// The laws behind its class.
    pub law: Vec<String>,
    /// What its class holds.
    pub holds: String,
    /// Whether the retention file has a rule for the class; without one that of `business` holds.
    pub known: bool,
}

/// An evidence pack that was handed out with parts of the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackOut {
    /// Its digest: SHA-256 of its manifest.
    pub digest: String,
    /// When it was made.
    pub made: String,
    /// Who made it.
    pub by: String,
    /// Where that is recorded.
    pub position: u64,
    /// How many entries it has.
    pub entries: u64,
}

/// An export of the whole ledger with persons' fields or with keys, which may open the person's parts for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportOut {
    /// SHA-256 of its manifest.
    pub manifest_sha256: String,
    /// When it was made.
    pub made: String,
    /// Who made it.
    pub by: String,
    /// Whether it has persons' fields in clear.
    pub revealed: bool,
    /// Whether it has data keys.
    pub keys: bool,
    /// Where that is recorded, where it is known.
    pub position: Option<u64>,
}

/// A restriction that holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Since when.
    pub since: String,
    /// Its last day; none where it holds until it is lifted.
    pub until: Option<String>,
    /// Why.
    pub reason: String,
    /// Who ordered it.
    pub by: String,
    /// Whether it follows from an erasure that a law forbade.
    pub by_law: bool,
}

/// What an erasure came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    /// The person's tag, in hex.
    pub person: String,
    /// Whether this only tells what would be done.
    pub dry_run: bool,
    /// Of a plan: the restriction that somebody asked for, despite which it would be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restriction: Option<Standing>,
    /// What was destroyed, or would be.
    pub erased: Vec<Row>,
    /// What stays, restricted, and until when.
    pub kept: Vec<Row>,
    /// How many keys were destroyed.
    pub keys: u64,
    /// The last day of the restriction of what stays.
    pub restricted_until: Option<String>,
    /// When the keys were destroyed.
    pub erased_at: Option<String>,
    /// When the last backup that may hold one of them has expired.
    pub complete_at: Option<String>,
    /// Where the erasure is recorded.
    pub position: Option<u64>,
    /// Where it is recorded that a law forbade it, or a part of it.
    pub refused_position: Option<u64>,
    /// Evidence packs that were handed out before with parts of the person.
    pub packs: Vec<PackOut>,
    /// Exports of the whole ledger that were made before, with persons' fields or keys in them.
    #[serde(default)]
    pub exports: Vec<ExportOut>,
    /// Whether readers still hold old bytes of the state; they are removed as soon as they do not.
    pub held: bool,
}

/// What a restriction, or its lifting, came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restricted {
    /// The person's tag, in hex.
    pub person: String,
    /// Its last day.
    pub until: Option<String>,
    /// Where it is recorded.
    pub position: u64,
    /// Whether anything is held about the person.
    pub is_known: bool,
}

/// What a sweep came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expired {
    /// How many keys were destroyed, or would be.
    pub keys: u64,
    /// How many are kept though their retention is over, since their person's data is restricted.
    pub restricted: u64,
    /// Where it is recorded.
    pub positions: Vec<u64>,
    /// Whether there is more to do: ask again.
    pub more: bool,
}

/// An erasure that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The person's tag, in hex; none for a sweep.
    pub person: Option<String>,
    /// Why.
    pub reason: String,
    /// Who ordered it.
    pub by: String,
    /// When it was ordered.
    pub at: String,
    /// How many keys were destroyed.
    pub keys: u64,
    /// When.
    pub erased_at: Option<String>,
    /// When the last backup that may hold one of them has expired.
    pub complete_at: Option<String>,
    /// Where it is recorded.
    pub position: Option<u64>,
    /// Where it is recorded that a law forbade a part of it.
    pub refused_position: Option<u64>,
    /// Whether it is still to be finished.
    pub pending: bool,
}

/// A class of the retention file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassTold {
    /// Its name.
    pub class: String,
    /// What it holds.
    pub holds: String,
    /// Years after the end of a key's period.
    pub years: i64,
    /// `on-request` or `after-retention`.
    pub erasure: String,
    /// The laws.
    pub law: Vec<String>,
}
