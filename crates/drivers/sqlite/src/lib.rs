//! The state on SQLite: one small file whose every commit is durable and whose every record is checked.
//!
//! Place: the embedded driver of `waag_keys::state::State`; named by the binary and by tests alone.
//! Not here: what records mean (`evidence/keys`), views (a driver of their own: they may lose recent commits, this not).

mod check;
mod schema;
pub mod state;
pub mod wal;
