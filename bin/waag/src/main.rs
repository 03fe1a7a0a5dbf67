//! The program `waag`; everything it does is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    waag::cli::run(std::env::args_os())
}
