//! The drivers of one machine: log, guard, derived hashes and key file as plain files, durable by what `fdatasync`
//! promises and by nothing else.
//!
//! Place: behind the contracts of `evidence/log` and `evidence/keys`; named by `bin/waag` and by tests. Not here: the
//! frame (`evidence/log`), the order of a commit (`flow/engine`), the disk itself (`waag_stdx::files`).
//!
//! Invariants (besides `LOG-1` to `LOG-8`, which it keeps as every driver):
//! - `FSLOG-1`: a frame lies in one segment, at a multiple of 4,096 bytes; behind the last frame a segment is zero.
//! - `FSLOG-2`: a frame is written into space that was zero and durable before.
//! - `FSLOG-3`: a failed sync is never tried again on the same handle, and what it left is written again or cut.
//! - `FSLOG-4`: opening never shortens, moves or rewrites what is under the guard.
//!
//! Error codes: E0460 to E0479, each on its variant.

pub mod backup;
pub mod config;
pub mod error;
pub mod guard;
pub mod hashes;
mod index;
pub mod log;
pub mod objects;
mod read;
pub mod recover;
pub mod refill;
pub mod scan;
pub mod scrub;
pub mod segment;
mod space;
pub mod stored;
pub mod vault;
pub mod walk;
