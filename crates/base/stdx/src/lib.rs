//! What the standard library gives only as ambient globals, passed in as values instead: clock, randomness, disk;
//! the one form of the figures that a running program tells of itself; and which of the system's errors pass by themselves.
//!
//! Place: beneath everything that touches the world; the simulator passes its own.
//! Not here: domain words, formats, policies.
//!
//! Invariants:
//! - `STDX-1`: nothing in the workspace reads time, draws randomness or touches a disk but through these traits
//!   (`clippy.toml` bans the ambient ways; the command line's own input and output is the exception).
//! - `STDX-2`: no randomness here can be seeded.

pub mod clock;
pub mod descriptors;
pub mod entropy;
pub mod figures;
pub mod files;
pub mod passing;
pub mod threads;
