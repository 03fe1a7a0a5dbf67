//! What the pages of evidence need: how the ledger stands before outsiders, packs, persons, backups and drills.
//!
//! Every call may wait for a disk and is made from a blocking thread; none is retried here. What is ordered is recorded by
//! the use case behind it, with its actor, not here. Nothing here shows a person's id: a person is told by a masked id or
//! by the tag under which the state knows them.

pub mod packs;
pub mod persons;
pub mod standing;
pub mod upkeep;

use self::packs::Packs;
use self::persons::Persons;
use self::standing::Standing;
use self::upkeep::Upkeep;

/// All of it together.
pub trait Evidence: Standing + Packs + Persons + Upkeep {}

impl<T: Standing + Packs + Persons + Upkeep> Evidence for T {}
