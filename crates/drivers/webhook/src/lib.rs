//! The webhook target: one HTTPS POST for each attempt, signed by the Standard Webhooks specification.
//!
//! Place: a driver of the step *deliver*; implements [`Target`]. Whether, when and how often an event is delivered is the
//! router's; so are the circuit breaker, retries, and disabling a subscription whose receiver is gone.
//! Proxies are not used: who must go through one lets it connect to the receivers by its own means.
//!
//! - `HOOK-1`: a connection is made only to an address that was checked against the policy, after every address of the
//!   name was; nothing looks the name up a second time (`connect`, `address`).
//! - `HOOK-2`: whatever a receiver answers takes bounded memory and at most the attempt's time: heads of
//!   [`HEAD_BYTES_MAX`], bodies of [`BODY_BYTES_MAX`] (`exchange`).
//! - `HOOK-3`: a redirect is a failure, and never followed.
//! - `HOOK-4`: no secret appears in an error, a log line or in `Debug`; memory that held one is zeroed (`secret`).
//! - `HOOK-5`: a request is written to at most one connection. It is put on another one only where not a byte of it has
//!   been written, since the receiver had closed a kept connection.
//!
//! What is sent: `POST` with the event as `application/cloudevents+json; charset=utf-8`, or what the subscription made of
//! it as `application/json`; the headers `webhook-id` (ledger and position: the same in every attempt and replay),
//! `webhook-timestamp` (seconds, of this attempt), `webhook-signature` (one for each secret, the newest first),
//! `waag-subscription`, `waag-position`, `waag-attempt`, `waag-replay` (the replay's number, in a replay), `user-agent`.
//!
//! What becomes of it:
//!
//! | answer | outcome |
//! |---|---|
//! | 2xx | delivered, as soon as its head is whole; its body decides nothing |
//! | 410 | gone |
//! | 429; 503 with `Retry-After` | throttled |
//! | 400, 413, 415, 422 | terminal: they speak of this very request |
//! | every other status, redirects among them | transient: 401, 403 or 404 may be a receiver that is being set up |
//! | no answer, none in time, none that is HTTP, an address that is refused | transient |
//!
//! Source: Standard Webhooks 1.0.0; RFC 9110 (status codes, `Retry-After`); RFC 9112; RFC 6890 and the IANA registries of
//! special-purpose addresses.

pub mod address;
mod connect;
mod endpoint;
mod error;
mod exchange;
mod judge;
mod kept;
mod pool;
pub mod secret;

pub use connect::{Looked, Resolver, SystemResolver};
pub use error::WebhookError;
pub use pool::{Options, Roots, Webhook, WebhookPool};

#[cfg(doc)]
use waag_router::target::Target;

/// Longest status line and headers of an answer, in bytes.
pub const HEAD_BYTES_MAX: usize = 16 * 1_024;
/// Most headers of an answer.
pub const HEADERS_MAX: usize = 100;
/// Most informational answers (1xx) before the one that counts.
pub const INFORMATIONAL_MAX: usize = 16;
/// How much of an answer's body is read before the connection is dropped, in bytes.
pub const BODY_BYTES_MAX: usize = 8 * 1_024;
/// How long an answer's body is waited for behind its head, in milliseconds.
pub const BODY_MS_MAX: u64 = 1_000;
/// How long a connection may take, from looking the name up to the end of the TLS handshake, in milliseconds.
pub const CONNECT_MS_MAX: u64 = 5_000;
/// Longest URL, in bytes.
pub const URL_BYTES_MAX: usize = 2_048;
/// Most secrets of one target.
pub const SECRETS_MAX: usize = 4;
/// Longest time to be left alone that is told on, in seconds.
pub const RETRY_AFTER_S_MAX: u64 = 86_400;
/// Most connections to one receiver that are kept while unused.
pub const KEPT_MAX: usize = 32;
/// How long an unused connection is kept, in milliseconds: below the five seconds after which common servers hang up.
pub const KEPT_MS_MAX: u64 = 4_000;
/// How old a connection may be that is used again, in milliseconds, so that a receiver that moves is followed.
pub const CONNECTION_AGE_MS_MAX: u64 = 300_000;
/// Most addresses of one name that are tried.
pub const ADDRESSES_TRIED_MAX: usize = 4;
