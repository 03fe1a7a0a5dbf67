//! `waag rules`: what a firm settles about its invoices.

use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;
use waag_invoices::config::Config;
use waag_invoices::settings::SETTINGS_BYTES_MAX;

use super::failure::{Exit, Failure};
use super::input::Input;
use super::output::{Output, tell};
use super::setting::Setting;
use crate::node::rules::{self, RulesError};
use crate::store::reader::open_reader;

const HELP: &str = "\
How long an invoice may be in a stage, by stage, vendor class, currency and amount; what is late, odd or a loop; which
activities of another system's log mean received and cleared. What counts as stuck rests on it.
Rules are kept in the store, and each change is an event of the ledger. Read models are made anew by them.

Example:
  waag rules show > rules.json
  waag rules set rules.json";

const SHOW_HELP: &str = "\
Works beside a running node.

Example:
  waag rules show > rules.json
  waag rules show --json";

const SET_HELP: &str = "\
A JSON object; what it does not name is as the program has it. A node in whose store rules are set is started again to go by
them, and makes its read models anew; pages show the earlier ones until that is done.

Example:
  echo '{\"service_levels\": [{\"stage\": \"authorization\", \"hours\": 24}]}' > rules.json
  waag rules set rules.json";

const RESET_HELP: &str = "\
Example:
  waag rules reset";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the rules in force
    #[command(after_help = SHOW_HELP)]
    Show,
    /// Set rules from a file
    #[command(after_help = SET_HELP)]
    Set {
        /// The file
        file: PathBuf,
    },
    /// Go back to the program's own rules
    #[command(after_help = RESET_HELP)]
    Reset,
}

#[derive(Serialize)]
struct Told<'r> {
    /// Whether they were set; otherwise they are the program's own.
    set: bool,
    rules: &'r Config,
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let set = match &args.command {
        Command::Show => {
            let store = open_reader(&setting.place()?, &setting.options()?)?;
            let set = rules::set_ones(&store.keyring)?;
            return show(set.as_ref(), output);
        }
        Command::Set { file } => {
            let text = Input::of(file).up_to(SETTINGS_BYTES_MAX)?;
            Some(Config::from_json(&text).map_err(RulesError::Config)?)
        }
        Command::Reset => None,
    };
    setting.must_name_no_earlier()?;
    let store = setting.open_writer(&setting.options()?)?;
    rules::set(&store, &setting.actor()?, set.as_ref())?;
    show(set.as_ref(), output)?;
    if !output.is_json() {
        tell("note: read models are made anew by these rules at the next start, report or rebuild");
    }
    Ok(Exit::Done)
}

fn show(set: Option<&Config>, output: &mut Output) -> Result<Exit, Failure> {
    let own = Config::default();
    let told = Told { set: set.is_some(), rules: set.unwrap_or(&own) };
    output.answer(&told, || serde_json::to_string_pretty(told.rules).unwrap_or_default() + "\n")?;
    Ok(Exit::Done)
}

impl From<RulesError> for Failure {
    fn from(error: RulesError) -> Self {
        let exit = match error {
            RulesError::Config(_) | RulesError::TooLong(_) => Exit::Usage,
            RulesError::Keys(_) | RulesError::Store(_) => Exit::Environment,
        };
        Self { code: error.code(), reason: error.to_string(), exit }
    }
}
