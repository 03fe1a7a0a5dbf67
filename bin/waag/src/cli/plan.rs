//! `waag plan`: usage plans, which say how much an API key may ask of a node.

use clap::Subcommand;
use waag_http::limit::{Plan, Rate};

use super::failure::{Exit, Failure};
use super::key::ask_or_do;
use super::output::Output;
use super::setting::Setting;
use crate::node::plans::{Asked, LISTED_MAX, PlansError, Told, carry_out, load};

const HELP: &str = "\
A plan limits each key that is under it: requests a second with a burst, for all requests, for those that read and for those
that write, and events a day (UTC). What it does not name is unlimited. The node has a rate of its own, over all keys.
A request that is one too many gets 429 with the seconds to wait. Changes count at once, also while `waag serve` runs.

Example:
  waag plan set partner --write 50/100 --events-per-day 1000000
  waag key create --holder partner-erp --plan partner
  waag plan node --rate 2000/4000
  waag plan list";

const SET_HELP: &str = "\
A rate is `PER_SECOND/BURST`: so many requests a second in the long run, so many at once after a rest.
The plan `standard` is the one of keys that were made without naming a plan.

Example:
  waag plan set partner --write 50/100 --read 10/20 --events-per-day 1000000
  waag plan set standard --all 500/1000";

const LIST_HELP: &str = "\
Example:
  waag plan list --json";

const SHOW_HELP: &str = "\
Example:
  waag plan show partner";

const ASSIGN_HELP: &str = "\
Example:
  waag plan assign partner 0f3a9c0d1e2b4a57";

const REMOVE_HELP: &str = "\
Example:
  waag plan remove partner";

const NODE_HELP: &str = "\
Example:
  waag plan node
  waag plan node --rate 2000/4000
  waag plan node --unlimited";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a plan, or put another in its place
    #[command(after_help = SET_HELP)]
    Set(Set),
    /// List all plans, and how many keys are under each
    #[command(after_help = LIST_HELP)]
    List,
    /// Show one plan
    #[command(after_help = SHOW_HELP)]
    Show {
        /// The plan
        name: String,
    },
    /// Put a key under a plan
    #[command(after_help = ASSIGN_HELP)]
    Assign {
        /// The plan
        name: String,
        /// The key's id
        key: String,
    },
    /// Take a plan away that no key is under
    #[command(after_help = REMOVE_HELP)]
    Remove {
        /// The plan
        name: String,
    },
    /// Show or set the node's own rate, over all keys
    #[command(after_help = NODE_HELP)]
    Node {
        /// Requests a second and at once
        #[arg(long, value_name = "PER_SECOND/BURST", value_parser = rate, conflicts_with = "unlimited")]
        rate: Option<Rate>,

        /// Set no rate
        #[arg(long)]
        unlimited: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Set {
    /// Its name: letters, digits, `-`, `_`, `.`
    name: String,

    /// Requests of any kind, for each key
    #[arg(long, value_name = "PER_SECOND/BURST", value_parser = rate)]
    all: Option<Rate>,

    /// Requests that read, for each key
    #[arg(long, value_name = "PER_SECOND/BURST", value_parser = rate)]
    read: Option<Rate>,

    /// Requests that write, for each key
    #[arg(long, value_name = "PER_SECOND/BURST", value_parser = rate)]
    write: Option<Rate>,

    /// Events a day (UTC), for each key
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    events_per_day: Option<u64>,

    /// Set no limit at all
    #[arg(long, conflicts_with_all = ["all", "read", "write", "events_per_day"])]
    unlimited: bool,
}

fn rate(text: &str) -> Result<Rate, String> {
    let wrong = || "is `PER_SECOND/BURST`, each 1 at least, as in `50/100`".to_owned();
    let (per_s, burst) = text.split_once('/').ok_or_else(wrong)?;
    let number = |text: &str| text.parse().ok().filter(|number| *number > 0).ok_or_else(wrong);
    Ok(Rate { per_s: number(per_s)?, burst: number(burst)? })
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let by = setting.actor()?.as_str().to_owned();
    let asked = match &args.command {
        Command::Set(Set { name, all, read, write, events_per_day, unlimited }) => {
            let allows = Plan { all: *all, read: *read, write: *write, events_per_day: *events_per_day };
            if allows == Plan::default() && !unlimited {
                return Err(Failure::usage(
                    "a plan has a limit at least; one without any is made with --unlimited",
                ));
            }
            Asked::Set { by, name: name.clone(), allows }
        }
        Command::List => return list(setting, None, output),
        Command::Show { name } => return list(setting, Some(name), output),
        Command::Assign { name, key } => Asked::Assign { by, id: key.clone(), name: name.clone() },
        Command::Remove { name } => Asked::Remove { by, name: name.clone() },
        Command::Node { rate: None, unlimited: false } => Asked::Node,
        Command::Node { rate, .. } => Asked::Limit { by, rate: *rate },
    };
    let before = if matches!(asked, Asked::Remove { .. }) { "removed: " } else { "" };
    for told in ask(setting, &asked)? {
        output.answer(&told, || format!("{before}{}", line(&told)))?;
    }
    Ok(Exit::Done)
}

/// Lists in pieces, as the process that has the doors open answers; all, or the one of a name.
fn list(setting: &Setting, only: Option<&str>, output: &mut Output) -> Result<Exit, Failure> {
    let mut after = None;
    let mut found = only.is_none();
    loop {
        let told = ask(setting, &Asked::List { after })?;
        for one in &told {
            if only.is_none_or(|only| one.name.as_deref() == Some(only)) {
                found = true;
                output.answer(one, || line(one))?;
            }
        }
        if told.len() < LISTED_MAX {
            break;
        }
        after = told.into_iter().next_back().and_then(|last| last.name);
    }
    match only {
        Some(name) if !found => Err(failure_of(PlansError::Unknown(name.to_owned()))),
        Some(_) | None => Ok(Exit::Done),
    }
}

fn line(told: &Told) -> String {
    let Told { name, allows, keys } = told;
    let mut text = match name {
        Some(name) => format!("{name}  {keys} keys"),
        None => "node".to_owned(),
    };
    for (of, rate) in [("all", allows.all), ("read", allows.read), ("write", allows.write)] {
        if let Some(Rate { per_s, burst }) = rate {
            text.push_str(&format!("  {of} {per_s}/s burst {burst}"));
        }
    }
    if let Some(events) = allows.events_per_day {
        text.push_str(&format!("  {events} events a day"));
    }
    if *allows == Plan::default() {
        text.push_str("  unlimited");
    }
    text.push('\n');
    text
}

/// A name that is none, or that nothing has, is the caller's fault, unlike everything else.
fn failure_of(error: PlansError) -> Failure {
    let exit = if error.is_callers() { Exit::Usage } else { Exit::Environment };
    Failure { code: error.code(), reason: error.to_string(), exit }
}

fn ask(setting: &Setting, asked: &Asked) -> Result<Vec<Told>, Failure> {
    ask_or_do(setting, asked, |store| {
        let keys = crate::node::api_keys::load(store)?;
        let plans = load(store).map_err(|error| failure_of(PlansError::Plans(error)))?;
        carry_out(store, &keys, &plans, asked).map_err(failure_of)
    })
}
