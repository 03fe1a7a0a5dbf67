//! The bridge to NATS JetStream: events out to a stream, and messages of a stream in; never the log itself.
//!
//! Place: a driver of *deliver* ([`target::NatsTarget`]) and, before *accept*, a source ([`source::NatsSource`]).
//! Not here: which events go where (`flow/router`), recording what comes in (`bin/`).
//!
//! The client is our own: `async-nats` is linked from `rand` (0.51.0: `rand` itself, and `nuid` and `nkeys` with it), and
//! what `waag` is linked from holds no seeded generator (`HOUSE-3`). The protocol is small, and the little that is needed
//! of it is read strictly.
//!
//! Whom it trusts: nobody with the ledger. JetStream acknowledges before it syncs by default, and streams are lost, purged
//! and made anew; so an identity goes with every message, outwards and inwards, and the source keeps a cursor of its own
//! and tells of everything that is missing.

pub mod error;
mod incoming;
mod jetstream;
mod link;
pub mod protocol;
pub mod source;
pub mod take;
pub mod target;

pub use link::{Login, Options};
