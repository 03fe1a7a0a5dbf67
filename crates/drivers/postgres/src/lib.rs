//! The views on PostgreSQL, for stores beyond one machine.
//!
//! Place: a driver of `waag_views::contract::Views`; named by the binary and by tests alone. The client blocks and runs
//! its own small runtime: call it from plain threads, never from within an asynchronous task.
//! Not here: what rows mean (`domains/*`), the state (`drivers/sqlite`).

mod rows;
mod schema;
mod session;
pub mod views;
