//! The repository's house-keeper: every rule that a machine can check, and the one command that runs all checks.
//!
//! Started as `cargo xtask NAME` from anywhere in the checkout.
//! `tidy` holds the rules, `test_command` the order of the checks; the rest serves those two or passes arguments on.
//! What the rules are for is told in STYLE.md; this crate ships with nothing and nothing depends on it.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a person at a terminal: its output is its purpose"
)]

mod build_times;
mod lexer;
mod licences;
mod needs;
mod outcome;
mod passthrough;
mod process;
mod repository;
mod test_command;
mod tidy;
mod toml_file;

use std::process::ExitCode;

/// The subcommands with their one-line descriptions, in the order in which help shows them.
const COMMANDS: [(&str, &str); 8] = [
    ("tidy", "check the house rules: layers, map, heads, sizes, tests, links, error pages, words"),
    ("test [--fast]", "run every check there is and close with a summary; --fast leaves out the slow ones"),
    ("needs", "bring the programs and Python packages that tests need; `test` does it too"),
    ("bench [NAME ARGS…]", "run a benchmark in a release build; without a name, list them"),
    ("sim [ARGS…]", "run the simulator in a release build, arguments passed on"),
    (
        "crash [KILLS]",
        "kill the real program under load with SIGKILL, 500 times unless told, and audit what is left",
    ),
    ("build-times", "measure cold and warm builds of `waag` and print a row for docs/benchmarks.md"),
    ("help", "print this"),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match dispatch(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs one subcommand; `Ok(false)` is a check that found something, `Err` a check that could not be made.
fn dispatch(words: &[&str]) -> anyhow::Result<bool> {
    match words {
        ["tidy"] => Ok(tidy::command(&repository::find_root()?)?.is_empty()),
        ["test"] => test_command::command(&repository::find_root()?, test_command::Extent::Full),
        ["test", "--fast"] => test_command::command(&repository::find_root()?, test_command::Extent::Fast),
        ["needs"] => {
            let missing = needs::bring(&repository::find_root()?)?;
            missing.iter().for_each(|missing| println!("{}", missing.line));
            Ok(missing.is_empty())
        }
        ["bench", rest @ ..] => passthrough::bench(&repository::find_root()?, rest),
        ["sim", rest @ ..] => passthrough::simulator(&repository::find_root()?, rest),
        ["crash"] => passthrough::crash(&repository::find_root()?, "500"),
        ["crash", kills] => passthrough::crash(&repository::find_root()?, kills),
        ["build-times"] => build_times::command(&repository::find_root()?),
        ["help" | "--help" | "-h"] => {
            print_help();
            Ok(true)
        }
        [] => {
            print_help();
            Ok(false)
        }
        [other, ..] => {
            print_help();
            anyhow::bail!("`{other}` with these arguments is not a command")
        }
    }
}

/// Prints the subcommands.
fn print_help() {
    println!("usage: cargo xtask COMMAND\n");
    for (name, description) in COMMANDS {
        println!("  {name:<20} {description}");
    }
}

#[cfg(test)]
mod tests {
    use super::dispatch;

    #[test]
    fn an_unknown_command_is_an_error_and_no_command_is_not_a_success() {
        assert!(dispatch(&["tydi"]).is_err());
        assert!(dispatch(&["tidy", "--quick"]).is_err());
        assert!(!dispatch(&[]).unwrap());
        assert!(dispatch(&["help"]).unwrap());
    }
}
