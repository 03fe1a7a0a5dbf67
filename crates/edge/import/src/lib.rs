//! Other systems' logs (XES, CSV, JSON Lines) become standard events, by a mapping from activity to stage.
//!
//! Place in the way of an event: before `accept`; what comes out of [`Import`] enters like any other event.
//! Not here: files, progress bars, the place to resume from (`bin/waag`), what a stage means (`domains/invoices`).
//!
//! Invariants:
//! - `IMPORT-1`: the same bytes under the same mapping give the same events with the same ids, wherever reading begins.
//! - `IMPORT-2`: a record that names anything becomes an event; what is odd about it is marked in the event and counted
//!   in the [`Report`]. Only a record that cannot be taken apart is left out, and counted as left out.
//! - `IMPORT-3`: memory is bounded by the limits in `limits.rs`, whatever the input, but for the 32 bytes a mebibyte by which
//!   a file that changes is noticed; no entity is expanded.
//!
//! Sources: IEEE 1849-2016 (XES), RFC 4180 (CSV), RFC 8259 and jsonlines.org, RFC 1952 (gzip), RFC 3339, ISO 4217.

mod amount;
mod error;
mod hash;
mod import;
mod jsonl;
pub mod limits;
mod mapping;
mod record;
mod report;
mod shape;
mod table;
mod text;
mod time;
mod xes;

pub use error::{ImportError, MappingError};
pub use hash::{FileHash, HashedFile};
pub use import::{Import, Imported, Progress};
pub use mapping::{Format, Mapping, Stage};
pub use report::{Example, Odd, OddCount, Report};
