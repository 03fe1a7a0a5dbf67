//! Backups of a ledger: a repository of sealed objects that are written once, and what a run over it must hold.
//!
//! Place: behind the log, beside the writer: `bin/waag` reads frames and state, and puts them here; a driver keeps them.
//! Not here: where a repository lies (`drivers/files`), reading and rebuilding a store (`bin/waag`, `store`), frames and
//! their chain (`evidence/log`), what a record of the state means (`evidence/keys`).
//!
//! ```text
//! backup key ─► object keys ─► runs/…    one manifest a run, each naming the hash of the one before
//!                           ├─► pieces/… frames and objects, as they are stored: sealed already, sealed once more
//!                           ├─► states/… tables without secrets, tombstones among them   ┐ expire
//!                           └─► keys/…   tables with secrets, the vault's key file       ┘
//! ```
//!
//! Invariants:
//! - `ARCHIVE-1`: every byte of every object is authenticated for its name and its repository.
//! - `ARCHIVE-2`: a run is listed when everything it names is durable and was read back, or not at all.
//! - `ARCHIVE-3`: frames of all runs are one sequence without a gap, and lead to each run's checkpoint.
//! - `ARCHIVE-4`: key material is named by the moment it expires, is not used from then on, and goes with the next run that
//!   is whole.
//!
//! Byte by byte in `docs/reference/backup.md`.

pub mod conformance;
pub mod contract;
pub mod error;
pub mod frames;
pub mod key;
pub mod manifest;
pub mod records;
pub mod repository;
pub mod sealed;
pub mod upkeep;
