//! The node's wiring: the one place that names drivers, and the command line on top of it.
//!
//! Place: above everything else. Tests and benchmarks take [`store`] from here, so that what they measure is what ships.
//! Not here: any rule. What may be recorded, sealed, signed or destroyed is decided in the crates below.
//!
//! Error codes: E0664 to E0689, E0700 to E0749 in [`cli`], E0720 to E0729 in [`evidence`], E0800 to E0849 in [`store`], E0850 to E0879 in [`node`],
//! E1190 to E1199 about deliveries and bridges in [`cli`] and [`node`].

pub mod cli;
pub mod demo;
pub mod evidence;
pub mod node;
pub mod store;
