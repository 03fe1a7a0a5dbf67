//! The pages: what operations people, executives and auditors look at, drawn on the server from the read model.
//!
//! Place in the way of an event: `show`, the end of it. A page is read within one snapshot of the views, and an open
//! page hears of progress by server-sent events and fetches itself again.
//! Not here: how rows come to be (`domains/invoices`), where they are stored (drivers), taking events in (`edge/http`).
//!
//! Invariants:
//! - `WEB-1`: nothing recorded is changed by a request, and GET and HEAD change nothing at all. Where the program hands
//!   commands to the pages, a POST of a form that came from this very page orders something, by an actor. Without, a POST
//!   of such a form may only ask: a person's id and a pack to be checked belong in no address.
//! - `WEB-2`: until people sign in, only loopback is listened on, and only its own names are answered (DNS rebinding).
//! - `WEB-3`: a browser runs and loads nothing but this program's own files: no inline script, no foreign host.
//! - `WEB-4`: every page says all it knows without JavaScript; scripts add movement, checks and keys.
//! - `WEB-5`: figures come from the domain's queries; what cannot be computed says why and is never made up.
//! - `WEB-6`: memory is bounded: pages drawn and files made at once, connections, live ones among them, rows of a page
//!   and of a file, and files sent have named limits; so have the times of heads, bodies, writes that find no room, and live lines.
//! - `WEB-7`: a person's id comes in the body of a form, is kept in memory for some minutes under a random name, and is
//!   never written into a page, an address or a message.

pub mod address;
mod assets;
mod chart;
mod csv;
mod deliveries;
mod door;
mod download;
mod error;
mod evidence;
mod fields;
pub mod figures;
mod flow_chart;
mod format;
mod forms;
mod live;
mod load;
pub mod model;
pub mod period;
pub mod ports;
mod router;
mod screens;
mod server;
mod shell;
mod stall;
mod why;

pub use error::WebError;
pub use router::{Pages, Served, router, serve};
