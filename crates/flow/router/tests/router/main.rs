//! The router as a whole, against a ledger, a state, targets and a clock that the tests hold in their hands.
//!
//! Not here: the lane alone (`src/lane/tests`), transformations (`tests/transform`).

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests: helpers outside of test functions fail by panicking, too"
)]

mod basics;
mod changes;
mod chaos;
mod discards;
mod faults;
mod policies;
mod pulls;
mod redrives;
mod replays;
mod scale;
mod world;
