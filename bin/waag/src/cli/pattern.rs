//! `waag pattern`: tries an event pattern on an event, with the very matcher that delivers events.
//!
//! It opens no store. Exit codes of its own: 0 the event matches, 1 it does not, 2 the pattern is refused or the event is
//! none, with the reason.

use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;
use waag_pattern::limits::{EVENT_BYTES_MAX, PATTERN_BYTES_MAX};
use waag_pattern::{EventError, Pattern, PatternError};

use super::failure::{Exit, Failure};
use super::input::Input;
use super::output::Output;

const HELP: &str = "\
Patterns have the language of Amazon EventBridge event patterns: an object shaped like the event, with an array of
alternatives for each field.

Example:
  waag pattern test --pattern rule.json --event event.json";

const TEST_HELP: &str = "\
Exit codes:
  0  the event matches
  1  the event does not match
  2  the pattern is refused, or the event is none
  3  a file cannot be read

Example:
  echo '{\"type\": [{\"prefix\": \"invoice.\"}], \"data\": {\"total\": [{\"numeric\": [\">\", 99]}]}}' > rule.json
  waag pattern test --pattern rule.json --event event.json
  cat event.json | waag pattern test --pattern rule.json --event -";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say whether an event matches a pattern
    #[command(after_help = TEST_HELP)]
    Test(Test),
}

#[derive(Debug, clap::Args)]
struct Test {
    /// The pattern, a JSON file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pattern: PathBuf,

    /// The event, a JSON file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    event: PathBuf,
}

#[derive(Serialize)]
struct Json {
    matches: bool,
}

pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let Command::Test(test) = &args.command;
    // Refused before the event is asked for: a wrong pattern is wrong for every event.
    let pattern = Pattern::parse(&Input::of(&test.pattern).up_to(PATTERN_BYTES_MAX)?)?;
    let matches = pattern.matches(&Input::of(&test.event).up_to(EVENT_BYTES_MAX)?)?;
    output.answer(&Json { matches }, || if matches { "match\n" } else { "no match\n" }.to_owned())?;
    Ok(if matches { Exit::Done } else { Exit::Refused })
}

impl From<PatternError> for Failure {
    fn from(error: PatternError) -> Self {
        Self { code: error.code(), reason: error.to_string(), exit: Exit::Usage }
    }
}

impl From<EventError> for Failure {
    fn from(error: EventError) -> Self {
        Self { code: error.code(), reason: error.to_string(), exit: Exit::Usage }
    }
}
