//! The router: every event reaches whom it concerns, in order, and what fails is seen and put right.
//!
//! Place in the way of an event: *deliver*. The ledger is the queue: nothing is copied for a subscription but where it is (its
//! cursor) and what went wrong (its exceptions), both in the state.
//!
//! ```text
//! source ──► reading ──► rules ──► feed ──► lane ──► target, or a pull
//! ledger    2 threads   patterns          order of     │
//!                                         each key     ▼
//!            state ◄── core (commit) ◄── outcomes ── settle
//!            ledger ◄── owed (notices: dead letters, changes, jobs)
//! ```
//!
//! [`lane::Lane`] is the heart, and pure: it decides what goes when, and what follows from an outcome. [`router::Router`] is
//! the handle that everybody else has; one thread behind it moves all lanes turn by turn (`core`). A replay is a lane of its
//! own; a redrive hands dead letters back to the live one (`jobs`).
//!
//! Delivery is at least once, in the order of each key, and effectively once for a subscriber that compares positions.
//!
//! Invariants: `ROUTE-1` to `ROUTE-5` in [`lane`], `ROUTE-6` in `owed`, `RULES-…` in [`rules`], `LEASE-1` in `pulls`, `TARGET-…`
//! in [`target`], `SPEC-1` in [`spec`], `REG-1` in [`registry`].
//!
//! Not here: what a pattern means (`flow/pattern`), how webhooks and brokers are spoken to (`drivers`), sealing and
//! recording (`flow/engine`): `bin/` puts them together through [`ports`].

mod commit;
mod core;
pub mod error;
mod feed;
mod jobs;
pub mod key;
pub mod lane;
mod letters;
mod load;
mod manage;
mod meter;
pub mod notice;
mod owed;
mod place;
pub mod ports;
mod pulls;
mod reading;
pub mod records;
pub mod registry;
pub mod router;
pub mod rules;
pub mod shown;
pub mod source;
pub mod spec;
pub mod taken;
pub mod target;
pub mod transform;
