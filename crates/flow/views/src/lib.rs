//! Views: read models that follow the ledger, and the contract of the stores that hold them.
//!
//! Place in the way of an event: `project`. Facts are read from the log up to the guard, projected in batches, and
//! written with the cursor in one transaction; pages and APIs read snapshots.
//! Not here: what a read model is made of (`flow/domain`, `project`), which tables a domain has (`domains/*`), SQL
//! connections (`drivers/sqlite`, `drivers/postgres`).
//!
//! Error codes: E0690 to E0699.

pub mod check;
pub mod conformance;
pub mod contract;
pub mod error;
pub mod follow;
pub mod memory;
pub mod progress;
pub mod projector;
pub mod rebuild;
pub mod source;
pub mod sql;
