//! The cover of an evidence pack: the page that a person reads first, as HTML and as PDF with the same content.
//!
//! Place: *show*. What is said on it is put together once, as a [`Page`](page::Page) of plain blocks (`words`), and drawn
//! twice (`html`, `pdf`), so that neither form can say what the other does not.
//! Not here: what is in a pack and why it is to be believed (`evidence/ledger`, `pack`), who exports one (`bin/waag`). A
//! cover proves nothing, and says so: it is in the words of whoever exported the pack.
//!
//! This is a crate of its own because of the library that writes PDF (`krilla`), which nothing else needs.
//!
//! - `COVER-1`: equal facts give equal bytes: no clock, no randomness, no order of a hash map.
//! - `COVER-2`: both forms have the same blocks in the same order.
//! - `COVER-3`: no text of others changes what stands beside it: characters that steer a terminal, a browser or the
//!   direction of writing are shown as a replacement character.

mod draw;
mod face;
mod facts;
mod html;
mod layout;
pub mod page;
mod pdf;
mod words;

pub use facts::{
    Asked, Cover, EVENTS_SHOWN_MAX, EventLine, Held, KeyShown, Parts, Standing, TypeCount, WitnessShown,
};
pub use html::html;
pub use pdf::{PdfError, pdf};
pub use words::page;
