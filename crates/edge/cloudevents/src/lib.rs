//! CloudEvents 1.0 in its JSON event format, read strictly and written exactly.
//!
//! Place in the way of an event: the first step, `accept`; bytes become a [`waag_model::event::Event`] or a
//! [`Refusal`].
//! Not here: any input or output beyond a `BufRead` that is passed in, HTTP's binary mode, authentication, schemas.
//!
//! Invariants:
//! - `CE-1`: what is accepted has one meaning: no repeated names, no lone surrogates, no byte outside the value.
//! - `CE-2`: numbers are exact or refused; none passes through a float.
//! - `CE-3`: reading what [`write_event`] wrote gives the same event, value for value.
//! - `CE-4`: every input ends in an event or a refusal, in memory bounded by the input and the limits.
//!
//! Sources: CloudEvents 1.0.2 (specification and JSON event format), RFC 8259 (JSON), RFC 3339 (time), RFC 3986
//! (URI), RFC 6838 §4.2 (media type names), RFC 4648 §4 (base64), RFC 6901 (JSON pointer).

mod attribute;
mod batch;
mod json;
mod lines;
mod number;
mod read;
mod refusal;
mod string;
mod write;

pub use batch::{Item, Items};
pub use lines::{Line, Lines};
pub use read::{read_event, read_value};
pub use refusal::{Reason, Refusal};
pub use write::{DataRef, write_event, write_parts, write_value};

/// Whether a text may be an attribute's: no control characters, no Unicode noncharacters (CloudEvents 1.0.2 §3.1).
#[must_use]
pub fn is_attribute_text(text: &str) -> bool {
    attribute::string(text).is_ok()
}

/// Whether a text is a point in time as the attribute `time` has it (RFC 3339).
#[must_use]
pub fn is_timestamp(text: &str) -> bool {
    attribute::timestamp(text).is_ok()
}
