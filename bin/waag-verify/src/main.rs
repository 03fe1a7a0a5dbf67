//! The auditor's offline verifier as a program; everything it does is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    let (mut stdin, mut stdout, mut stderr) =
        (std::io::stdin().lock(), std::io::stdout().lock(), std::io::stderr().lock());
    ExitCode::from(waag_verify::run(std::env::args_os(), &mut stdin, &mut stdout, &mut stderr))
}
