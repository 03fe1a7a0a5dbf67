//! Persons: what is held, until when and by which law; erasing and restricting.

use waag_model::time::{UtcDay, UtcNanos};

use crate::ports::HouseError;

/// Persons whose data the ledger holds.
pub trait Persons: Send + Sync {
    /// Records that somebody asks what is held of a person; durable when this returns, and only then may it be shown.
    ///
    /// # Errors
    /// [`HouseError`] where it cannot be recorded.
    fn record_look_up(&self, person: &str, by: &str) -> Result<(), HouseError>;

    /// What is held of a person; none where nothing is and nothing was. Asked for only after it was recorded that it is.
    ///
    /// # Errors
    /// [`HouseError`] where the state cannot be read.
    fn look_up(&self, person: &str) -> Result<Option<Person>, HouseError>;

    /// Erases, restricts, or ends a restriction; recorded with the actor.
    ///
    /// # Errors
    /// [`HouseError`] where it cannot be done; what was done by then is finished by asking again.
    fn order(&self, person: &str, order: &PersonOrder, by: &str) -> Result<Outcome, HouseError>;

    /// What was done lately, the newest first, at most so many; no person is named.
    ///
    /// # Errors
    /// [`HouseError`] where the log or the state cannot be read.
    fn deeds(&self, most: usize) -> Result<Vec<Deed>, HouseError>;
}

/// A person's standing.
#[derive(Clone, Debug)]
pub struct Person {
    /// The end of their id, empty where it is too short to show any of it; the rest is not here.
    pub masked: String,
    /// The tag under which the state knows them, in hexadecimal.
    pub tag: String,
    /// What is held, by class.
    pub classes: Vec<HeldClass>,
    /// Whether it is restricted.
    pub restriction: Option<Restriction>,
    /// Packs in which personal parts of theirs were disclosed: digest and when.
    pub packs: Vec<(String, UtcNanos)>,
    /// Until when backups hold keys of theirs, also after an erasure.
    pub backups_until: Option<UtcNanos>,
}

/// What is held of a person in one retention class and period.
#[derive(Clone, Debug)]
pub struct HeldClass {
    /// The class's name.
    pub class: String,
    /// The time it is from, such as a year.
    pub period: String,
    /// Keys in it.
    pub keys: u64,
    /// The last day on which it is kept where nobody asks for an erasure.
    pub until: Option<UtcDay>,
    /// Whether an erasure destroys it before.
    pub erasable: bool,
    /// The law that says so.
    pub source: String,
}

/// A restriction (GDPR art. 18).
#[derive(Clone, Debug)]
pub struct Restriction {
    /// Since when.
    pub since: UtcNanos,
    /// Until which day; open where none is told.
    pub until: Option<UtcDay>,
    /// Why.
    pub reason: String,
    /// By whom.
    pub by: String,
}

/// What may be ordered for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PersonOrder {
    /// Destroy the keys that no law asks for, and restrict the rest.
    Erase {
        /// Why.
        reason: String,
    },
    /// Restrict.
    Restrict {
        /// Until which day; open where none is told.
        until: Option<UtcDay>,
        /// Why.
        reason: String,
    },
    /// End a restriction.
    Unrestrict {
        /// Why.
        reason: String,
    },
}

/// What came of an order.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What it was.
    pub deed: DeedKind,
    /// The end of the person's id, empty where it is too short to show any of it; the rest is not here.
    pub masked: String,
    /// Keys that are destroyed.
    pub destroyed: u64,
    /// Classes that were erased, with their periods.
    pub erased: Vec<String>,
    /// Classes that stay, restricted.
    pub stays: Vec<HeldClass>,
    /// When the keys were destroyed.
    pub erased_at: Option<UtcNanos>,
    /// When no backup holds them any more.
    pub complete_at: Option<UtcNanos>,
    /// Packs that were handed out before: digest and when.
    pub packs: Vec<(String, UtcNanos)>,
    /// The event that records it.
    pub position: Option<u64>,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeedKind {
    /// Erased.
    Erased,
    /// An erasure met a legal retention.
    ErasureRefused,
    /// Restricted.
    Restricted,
    /// A restriction ended.
    Unrestricted,
    /// A report was made (GDPR art. 15).
    Reported,
}

/// Something that was done, without the person.
#[derive(Clone, Debug)]
pub struct Deed {
    /// What.
    pub kind: DeedKind,
    /// When.
    pub at: UtcNanos,
    /// By whom.
    pub by: String,
    /// The tag under which the state knows the person, in hexadecimal.
    pub tag: String,
    /// Particulars in words, such as the classes.
    pub detail: String,
    /// For an erasure: when no backup holds the keys any more.
    pub complete_at: Option<UtcNanos>,
    /// The event that records it.
    pub position: Option<u64>,
}
