//! What the demonstration shows: invoices that never were, moving as a firm's invoices move.
//!
//! Not here: the command `waag demo` and its steps (`cli`).

pub mod reached;
pub mod subscribers;
pub mod traffic;
pub mod unfinished;
