//! The command line: what may be given, and which command does it.
//!
//! Place: the outermost rim. Commands turn arguments into calls of [`crate::store`] and answers into text or JSON lines.
//! Not here: any rule of the ledger.
//!
//! Exit codes: 0 done or verified, 1 refused or not verified, 2 wrong usage, 3 the environment failed.

mod append;
mod backup;
mod bridge;
mod checkpoint;
mod completions;
mod dead_letter;
mod deliveries;
mod demo;
mod disclose;
mod drill;
mod evidence;
mod explain;
mod export;
mod failure;
mod help;
mod import;
mod init;
mod input;
mod key;
mod keys;
mod log;
pub(crate) mod mask;
mod new_file;
mod output;
mod pattern;
mod pipeline;
mod plan;
mod promote;
mod prove;
mod pull;
pub(crate) mod read;
mod rebuild;
mod receipt;
mod replay;
mod report;
mod restore;
mod rules;
mod schema;
mod serve;
mod setting;
mod subject;
mod subscription;
mod tour;
mod train;
mod verify;
mod views;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use failure::{Exit, Failure};
use output::Output;
pub(crate) use output::tell;
use setting::Setting;

/// Longest line of help, in characters, on however wide a terminal.
const HELP_CHARS_MAX: usize = 100;

const EXIT_CODES: &str = "\
Exit codes:
  0  done, or verified
  1  some events were refused, or not verified
  2  wrong usage
  3  the environment failed: disk, permissions, another process that writes

Every error has a code; `waag explain CODE` says what it means and what to do.

Example:
  waag init
  waag append events.jsonl
  waag verify";

/// The ledger beneath your money flows: every event once, in order, sealed, provable.
#[derive(Debug, Parser)]
#[command(name = "waag", version, after_help = EXIT_CODES, propagate_version = true, max_term_width = HELP_CHARS_MAX)]
struct Cli {
    #[command(flatten)]
    setting: Setting,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a tenant's store: its keys, its ledger, its folders
    Init(init::Args),
    /// Record events: CloudEvents, one JSON object a line
    Append(append::Args),
    /// Show recorded events, personal fields masked
    Read(read::Args),
    /// Write the proof of one event, to be checked by anybody offline
    Prove(prove::Args),
    /// Make, list and check evidence packs: files that prove events to outsiders
    Evidence(evidence::Args),
    /// The log as outsiders see it: what is published, its witnesses and keys, a static copy
    Log(log::Args),
    /// Check the whole store: every byte, every link, every root
    Verify(verify::Args),
    /// Show the newest signed checkpoint, and the keys that verify it
    Checkpoint(checkpoint::Args),
    /// List, rotate, retire and destroy keys
    Keys(keys::Args),
    /// Run a node: take events over HTTP, show the pages
    Serve(Box<serve::Args>),
    /// Take over the history of another system from its log
    Import(import::Args),
    /// Show figures from the read models
    Report(report::Args),
    /// Show, rebuild and check the read models
    Views(views::Args),
    /// Make, list and withdraw API keys
    Key(key::Args),
    /// Set, list and assign usage plans of API keys
    Plan(plan::Args),
    /// Show and set the invoices' rules: service levels, what is late, odd or a loop
    Rules(rules::Args),
    /// Try an event pattern on an event
    Pattern(pattern::Args),
    /// Make, list, change, pause and remove subscriptions
    Subscription(subscription::Args),
    /// List, redrive and discard what could not be delivered
    DeadLetter(dead_letter::Args),
    /// Deliver a span of the ledger to a subscription again
    Replay(replay::Args),
    /// Pull events of a subscription and print them
    Pull(pull::Args),
    /// Make, list, pause and remove bridges: streams of NATS that events come in from
    Bridge(bridge::Args),
    /// Persons: what is held about one, erase, restrict; and what has been kept long enough
    Subject(subject::Args),
    /// Restore the newest backup into a scratch place, verify it, and record how that went
    Drill(drill::Args),
    /// Write everything in open formats, or check such an export
    Export(export::Args),
    /// Make a store again from an export
    Rebuild(rebuild::Args),
    /// Back the ledger up; list and check backups
    Backup(backup::Args),
    /// Restore a store from its backup
    Restore(restore::Args),
    /// Go on from a restored store under a new ledger
    Promote(promote::Args),
    /// Register and list schemas
    Schema(schema::Args),
    /// Run a node with thirty days of made-up invoice traffic, and more of it coming in
    Demo(demo::Args),
    /// See the ledger at work in a minute: receipts, a proof, and a byte changed behind its back
    Tour(tour::Args),
    /// Explain an error code
    Explain(explain::Args),
    /// Print shell completions
    Completions(completions::Args),
}

impl Command {
    /// Whether an earlier ledger means nothing to it, so that naming one is a mistake to be told.
    fn concerns_the_written_ledger(&self) -> bool {
        matches!(
            self,
            Self::Init(_)
                | Self::Append(_)
                | Self::Serve(_)
                | Self::Import(_)
                | Self::Key(_)
                | Self::Plan(_)
                | Self::Subscription(_)
                | Self::DeadLetter(_)
                | Self::Replay(_)
                | Self::Pull(_)
                | Self::Bridge(_)
                | Self::Promote(_)
        )
    }
}

/// The command line's definition, its help texts in paragraphs.
fn command() -> clap::Command {
    let mut command = help::flowing(Cli::command());
    // What all commands take is theirs only once they are built.
    command.build();
    let command = ["demo", "tour"].into_iter().fold(command, help::without_place);
    help::without(command, "tour", &["json"])
}

fn parse(
    mut command: clap::Command,
    arguments: impl IntoIterator<Item: Into<OsString> + Clone>,
) -> Result<Cli, clap::Error> {
    let mut found = command.try_get_matches_from_mut(arguments)?;
    if let Some(why) = serve::without_collector(&found) {
        return Err(command.error(ErrorKind::MissingRequiredArgument, why));
    }
    Cli::from_arg_matches_mut(&mut found).map_err(|error| error.format(&mut command))
}

/// Runs the program on an argument list that begins with its own name.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let parsed = parse(command(), &arguments);
    let as_json = match &parsed {
        Ok(cli) => cli.setting.json,
        Err(_) => arguments.iter().any(|argument| argument == "--json"),
    };
    let mut output = Output::new(as_json);
    let done = match parsed {
        Ok(cli) => dispatch(cli, &mut output),
        // Help and version are answers; everything else is wrong usage.
        Err(asked) if !asked.use_stderr() => output.text(&asked.to_string()).map(|()| Exit::Done),
        Err(wrong) => Err(Failure::usage(wrong.to_string())),
    };
    let exit = match done.and_then(|exit| output.flush().map(|()| exit)) {
        Ok(exit) => exit,
        Err(failure) => {
            output.failure(&failure);
            failure.exit
        }
    };
    exit.into()
}

fn dispatch(cli: Cli, output: &mut Output) -> Result<Exit, Failure> {
    let setting = &cli.setting;
    if cli.command.concerns_the_written_ledger() {
        setting.must_name_no_earlier()?;
    }
    match cli.command {
        Command::Init(args) => init::run(setting, &args, output),
        Command::Append(args) => append::run(setting, &args, output),
        Command::Read(args) => read::run(setting, &args, output),
        Command::Prove(args) => prove::run(setting, &args, output),
        Command::Evidence(args) => evidence::run(setting, &args, output),
        Command::Log(args) => log::run(setting, &args, output),
        Command::Verify(args) => verify::run(setting, &args, output),
        Command::Checkpoint(args) => checkpoint::run(setting, &args, output),
        Command::Keys(args) => keys::run(setting, &args, output),
        Command::Serve(args) => serve::run(setting, &args, output),
        Command::Import(args) => import::run(setting, &args, output),
        Command::Report(args) => report::run(setting, &args, output),
        Command::Views(args) => views::run(setting, &args, output),
        Command::Key(args) => key::run(setting, &args, output),
        Command::Plan(args) => plan::run(setting, &args, output),
        Command::Rules(args) => rules::run(setting, &args, output),
        Command::Pattern(args) => pattern::run(&args, output),
        Command::Subscription(args) => subscription::run(setting, &args, output),
        Command::DeadLetter(args) => dead_letter::run(setting, &args, output),
        Command::Replay(args) => replay::run(setting, &args, output),
        Command::Pull(args) => pull::run(setting, &args, output),
        Command::Bridge(args) => bridge::run(setting, &args, output),
        Command::Subject(args) => subject::run(setting, &args, output),
        Command::Drill(args) => drill::run(setting, &args, output),
        Command::Export(args) => export::run(setting, &args, output),
        Command::Rebuild(args) => rebuild::run(setting, &args, output),
        Command::Backup(args) => backup::run(setting, &args, output),
        Command::Restore(args) => restore::run(setting, &args, output),
        Command::Promote(args) => promote::run(setting, &args, output),
        Command::Schema(args) => schema::run(setting, &args, output),
        Command::Demo(args) => demo::run(setting, &args, output),
        Command::Tour(args) => tour::run(setting, &args, output),
        Command::Explain(args) => explain::run(&args, output),
        Command::Completions(args) => completions::run(&args, Cli::command(), output),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_every_command_has_an_example() {
        let mut command = Cli::command();
        command.clone().debug_assert();
        command.build();
        assert!(examples(&command) >= 22, "every command was looked at");
    }

    /// How many commands there are; each has an example, and an example names the command.
    fn examples(command: &clap::Command) -> usize {
        let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let (_, lines) = help.split_once("Example:").unwrap_or_else(|| panic!("`{name}` has no example"));
        let last = command.get_name();
        assert!(lines.lines().any(|line| line.contains(last)), "no example of `{name}` shows it");
        let below = command.get_subcommands().filter(|sub| sub.get_name() != "help");
        1 + below.map(examples).sum::<usize>()
    }
}
