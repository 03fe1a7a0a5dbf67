//! The seeded world for tests: what the shipped code runs against when everything around it fails.
//!
//! Place: tests only; nothing that ships depends on it. Not here: the code under test.
//!
//! Invariants:
//! - `SIM-1`: a run is a function of its seed.

pub mod disk;
pub mod fault;
mod image;
pub mod prng;
