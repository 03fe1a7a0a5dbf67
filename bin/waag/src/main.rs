//! The program `waag`; everything it does is in the library beside it.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Batches of events are made by one thread and let go by another, a hundred small pieces at a time, which is what the
/// system's own allocator is slow at (`docs/benchmarks.md`, "Memory").
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    waag::cli::run(std::env::args_os())
}
