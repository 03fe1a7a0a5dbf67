//! `waag completions`: what shells need to complete commands and flags.

use clap::Command;
use clap_complete::{Shell, generate};

use super::failure::{Exit, Failure};
use super::output::Output;

const HELP: &str = "\
Example:
  waag completions bash > waag.bash";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Args, mut command: Command, output: &mut Output) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    generate(args.shell, &mut command, "waag", &mut script);
    output.bytes(&script)?;
    Ok(Exit::Done)
}
