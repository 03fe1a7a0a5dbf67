//! The HTTPS door: requests become events and commands, and each gets a receipt or a problem document.
//!
//! Place in the way of an event: `accept`; it authenticates, limits, parses, maps, validates, and hands over to
//! [`intake`], which seals and submits.
//! The router's API is here too: subscriptions, pulling, dead letters (`deliveries`); so is the log as outsiders read it
//! (`tlog`), and what programs ask of the invoices' read model (`reports`).
//! Not here: which drivers there are and where records are kept (`ports`, wired by `bin/`), domains' rules.
//!
//! - `HTTP-1`: bad input never yields a 5xx and never stops a batch's good events.
//! - `HTTP-2`: every queue, body, header, connection and wait is bounded; what is one too many is told with 429 or 503.
//! - `HTTP-3`: a 200 is a receipt: the event is durable, in the tree, and under a guarded checkpoint.
//! - `HTTP-4`: no key, and no value of a request, appears in an answer, a log line or a metric.

pub mod access;
mod body;
pub mod deliveries;
pub mod door;
mod events;
pub mod fault;
mod idempotency;
pub mod intake;
pub mod invoices;
mod json;
pub mod keys;
pub mod limit;
mod mailbox;
pub mod mapping;
mod media;
pub mod metrics;
pub mod openapi;
mod percent;
pub mod plans;
pub mod ports;
mod problem;
mod query;
mod receipt;
mod reports;
mod routes;
pub mod server;
mod shared;
mod stall;
mod stored;
pub mod tlog;
pub mod tls;
pub mod trace;
pub mod validate;
