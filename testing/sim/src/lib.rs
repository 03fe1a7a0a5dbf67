//! The seeded world: the engine, log, ledger and keys that ship, with everything around them failing as a seed says.
//!
//! Place: tests only; nothing that ships depends on it. Not here: the code under test.
//!
//! Invariants:
//! - `SIM-1`: a run is a function of its seed.

pub mod auditor;
pub mod disk;
pub mod fault;
mod image;
pub mod node;
mod planted;
pub mod prng;
pub mod senses;
pub mod state;
pub mod world;
