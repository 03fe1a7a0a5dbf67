//! The state and the views on SQLite.
//!
//! The state is one small file whose every commit is durable and whose every record is checked; views are a file of their
//! own, fast to write, that may lose recent commits and is made again from the ledger.
//!
//! Place: the embedded drivers of `waag_keys::state::State` and `waag_views::contract::Views`; named by the binary and by tests alone.
//! Not here: what records mean (`evidence/keys`), what rows mean (`domains/*`).

mod check;
mod schema;
pub mod state;
pub mod views;
pub mod wal;
