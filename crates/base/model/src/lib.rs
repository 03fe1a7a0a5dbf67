//! The words every other crate speaks: ids, time, values, events, classification, schemas.
//!
//! Place in the way of an event: none of its own; the edge makes an [`event::Event`], everything below reads it.
//! Not here: any input or output, any wire form (see `edge/`), the stored form (see `evidence/entry`).
//!
//! Invariants:
//! - `MODEL-1`: no type here performs input or output, reads a clock or draws randomness.
//! - `MODEL-2`: a number is exact: an integer, or decimal digits with an exponent; never a float.

pub mod event;
pub mod ids;
pub mod limits;
pub mod money;
pub mod schema;
pub mod text;
pub mod time;
pub mod value;
