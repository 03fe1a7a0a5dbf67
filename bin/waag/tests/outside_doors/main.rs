//! The HTTP door as others see it: an OpenAPI tester, CloudEvents' own library, the rules of W3C Trace Context, load.
//!
//! Each test runs the real program. What is in Python stands in `testing/outside`; `cargo xtask test` brings what it needs
//! into a virtual environment.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::string_slice,
    reason = "a test fails loudly, and measures real time"
)]
#![expect(clippy::print_stdout, reason = "the figures of a run are part of what is shown")]

#[expect(dead_code, reason = "shared with other tests")]
#[path = "../common/mod.rs"]
mod common;
#[expect(dead_code, reason = "shared with other tests")]
#[path = "../node/support.rs"]
mod support;

mod load;
mod python;
mod stored;
mod trace_context;
