//! `waag subscription`: who gets which events, and how that stands.
//!
//! Not here: subscriptions as flags or files say them (`wanted`), what a subscription does (`flow/router`).

mod shown;
pub(super) mod wanted;

use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;
use waag_router::shown::{Changed, Created, Detail, Overview};
use waag_router::spec::Start;

use super::deliveries::{ask, ask_all, by, many, read_secret};
use super::failure::{Exit, Failure};
use super::output::{Output, tell};
use super::setting::Setting;
use crate::node::deliveries::Asked;
use shown::{in_full, line, listed};
use wanted::{Wanted, read_spec, read_spec_text, start};

const HELP: &str = "\
A subscription brings events to a target: a webhook, a subject of NATS, or a subscriber that pulls. Events of one key come
in the order of the ledger, each at least once. A node must run (`waag serve`). Each change is an event of the ledger.

Example:
  waag subscription create --name erp --webhook https://erp.example/events --pattern rule.json
  waag subscription list
  waag subscription pause erp --reason \"maintenance\"";

const CREATE_HELP: &str = "\
Without a pattern every event is delivered that is not Waag's own. A webhook's secret is made where none is given, and shown
this once. A file has the whole subscription as JSON, as `waag subscription show NAME --json` has it in `spec`.

Example:
  waag subscription create --name erp --webhook https://erp.example/events --pattern rule.json
  waag subscription create --name audit --pull --start beginning --on-failure halt
  waag subscription create --name bus --nats nats://127.0.0.1:4222 waag.events --key none
  waag subscription create --file subscription.json";

const LIST_HELP: &str = "\
The lag is how many events are neither delivered nor dead letters, or not looked at; what failed is counted since the node's start.

Example:
  waag subscription list --json";

const SHOW_HELP: &str = "\
Example:
  waag subscription show erp";

const CHANGE_HELP: &str = "\
What is not said stays as it is; a file says all of it. Where a subscription began is not changed (`waag replay`). A target of
another kind, or on another server, begins without the old one's secret; a webhook gets a new one, shown this once.

Example:
  waag subscription change erp --pattern rule.json --attempts 5
  waag subscription change erp --file subscription.json";

const PAUSE_HELP: &str = "\
Example:
  waag subscription pause erp --reason \"maintenance\"";

const RESUME_HELP: &str = "\
Example:
  waag subscription resume erp";

const ROTATE_HELP: &str = "\
The secret before it stays valid beside the new one until the next rotation. A new one that was made is shown this once.

Example:
  waag subscription rotate-secret erp
  waag subscription rotate-secret erp --secret-file erp.secret";

const REMOVE_HELP: &str = "\
Without --yes it says what would go with it, and changes nothing. Events stay in the ledger; dead letters of the subscription
go with it.

Example:
  waag subscription remove erp --reason \"receiver is gone\" --yes";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a subscription
    #[command(after_help = CREATE_HELP)]
    Create(Box<Create>),
    /// List subscriptions and how they stand
    #[command(after_help = LIST_HELP)]
    List,
    /// Show one subscription: what it is, last attempts, parked keys, jobs
    #[command(after_help = SHOW_HELP)]
    Show {
        /// The subscription
        name: String,
    },
    /// Change a subscription
    #[command(after_help = CHANGE_HELP)]
    Change(Box<Change>),
    /// Pause a subscription; its events wait
    #[command(after_help = PAUSE_HELP)]
    Pause {
        /// The subscription
        name: String,

        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Let a subscription go on that is paused or has stopped
    #[command(after_help = RESUME_HELP)]
    Resume {
        /// The subscription
        name: String,
    },
    /// Give a subscription's target another secret
    #[command(after_help = ROTATE_HELP)]
    RotateSecret {
        /// The subscription
        name: String,

        /// A file whose first line is the secret; a new one is made where not given
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
    },
    /// Remove a subscription, with its dead letters
    #[command(after_help = REMOVE_HELP)]
    Remove {
        /// The subscription
        name: String,

        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,

        /// Do it; what would go with it is said where not given
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Create {
    /// The whole subscription, a JSON file; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["Wanted", "name", "start"])]
    file: Option<PathBuf>,

    /// Its name: lower-case letters, digits and hyphens, beginning with a letter
    #[arg(long, required_unless_present = "file")]
    name: Option<String>,

    #[command(flatten)]
    wanted: Wanted,

    /// Where it begins: `now`, `beginning`, a position, or a time
    #[arg(long, value_name = "WHERE", value_parser = start)]
    start: Option<Start>,

    /// A file whose first line is the target's secret; where one is needed and none given, it is made
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Change {
    /// The subscription
    name: String,

    /// The whole subscription, a JSON file; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "Wanted")]
    file: Option<PathBuf>,

    #[command(flatten)]
    wanted: Wanted,
}

/// What would be removed.
#[derive(Serialize)]
struct DryRun<'a> {
    subscription: &'a str,
    dry_run: bool,
    dead_letters: u64,
    waiting_keys: u64,
    lag_events: u64,
    unread_events: u64,
}

/// What was removed.
#[derive(Serialize)]
struct Removed<'a> {
    subscription: &'a str,
    removed: bool,
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let told = match &args.command {
        Command::List => return list(setting, output),
        Command::Show { name } => {
            let detail: Detail = ask(setting, &Asked::Subscription { name: name.clone() })?;
            output.answer(&detail, || in_full(&detail))?;
            return Ok(Exit::Done);
        }
        Command::Create(args) => {
            let secret = read_secret(args.secret_file.as_ref())?;
            let spec = args.spec()?.to_json();
            return show_created(&ask(setting, &Asked::Create { by: by(setting)?, spec, secret })?, output);
        }
        Command::RotateSecret { name, secret_file } => {
            let secret = read_secret(secret_file.as_ref())?;
            let asked = Asked::RotateSecret { by: by(setting)?, name: name.clone(), secret };
            return show_created(&ask(setting, &asked)?, output);
        }
        Command::Remove { name, reason, yes } => return remove(setting, name, reason, *yes, output),
        Command::Change(args) => {
            let changed = ask(setting, &Asked::Change { by: by(setting)?, spec: args.spec(setting)? })?;
            return show_changed(&changed, output);
        }
        Command::Pause { name, reason } => {
            ask(setting, &Asked::Pause { by: by(setting)?, name: name.clone(), reason: reason.clone() })?
        }
        Command::Resume { name } => ask(setting, &Asked::Resume { by: by(setting)?, name: name.clone() })?,
    };
    let told: Overview = told;
    output.answer(&told, || line(&told))?;
    Ok(Exit::Done)
}

impl Create {
    fn spec(&self) -> Result<waag_router::spec::Spec, Failure> {
        match (&self.file, &self.name) {
            (Some(file), _) => read_spec(file),
            (None, Some(name)) => self.wanted.made(name, self.start),
            (None, None) => Err(Failure::usage("--name or --file is missing")),
        }
    }
}

impl Change {
    /// Its JSON: a file as it is, since what it does not say may be something else than what it would say.
    fn spec(&self, setting: &Setting) -> Result<String, Failure> {
        let Some(file) = &self.file else {
            let now: Detail = ask(setting, &Asked::Subscription { name: self.name.clone() })?;
            let changed = self.wanted.changed(now.overview.spec.clone())?;
            if changed == now.overview.spec {
                return Err(Failure::usage("nothing is said that would change it"));
            }
            return Ok(changed.to_json());
        };
        let (spec, text) = read_spec_text(file)?;
        if spec.name != self.name {
            let (asked, name) = (&self.name, &spec.name);
            return Err(Failure::usage(format!("the file is about `{name}`, not `{asked}`; a name stays")));
        }
        Ok(text)
    }
}

fn list(setting: &Setting, output: &mut Output) -> Result<Exit, Failure> {
    let mut all = Vec::new();
    let behind = |one: &Overview| Asked::Subscriptions { after: Some(one.spec.name.clone()) };
    ask_all(setting, Asked::Subscriptions { after: None }, behind, |one: Overview| {
        if output.is_json() {
            return output.json(&one);
        }
        all.push(one);
        Ok(())
    })?;
    match (output.is_json(), all.is_empty()) {
        (true, _) => {}
        (false, true) => tell("note: there is no subscription; `waag subscription create` makes one"),
        (false, false) => output.text(&listed(&all))?,
    }
    Ok(Exit::Done)
}

fn show_created(created: &Created, output: &mut Output) -> Result<Exit, Failure> {
    show_with(created, &created.overview, created.secret.as_deref(), output)
}

fn show_changed(changed: &Changed, output: &mut Output) -> Result<Exit, Failure> {
    show_with(changed, &changed.overview, changed.secret.as_deref(), output)
}

/// A subscription, and a secret that is shown this once.
fn show_with(
    told: &impl Serialize,
    overview: &Overview,
    secret: Option<&str>,
    output: &mut Output,
) -> Result<Exit, Failure> {
    output.answer(told, || {
        let secret = secret.map(|secret| format!("  secret  {secret}\n"));
        line(overview) + &secret.unwrap_or_default()
    })?;
    if secret.is_some() && !output.is_json() {
        tell("note: this secret is not shown again");
    }
    Ok(Exit::Done)
}

fn remove(
    setting: &Setting,
    name: &str,
    reason: &str,
    yes: bool,
    output: &mut Output,
) -> Result<Exit, Failure> {
    if !yes {
        let now: Detail = ask(setting, &Asked::Subscription { name: name.to_owned() })?;
        let Overview { dead_letters, waiting_keys, lag_events, unread_events, .. } = now.overview;
        let told = DryRun {
            subscription: name,
            dry_run: true,
            dead_letters,
            waiting_keys,
            lag_events,
            unread_events,
        };
        output.answer(&told, || {
            format!(
                "`{name}` would be removed, with {}; {} waiting for a further attempt, {} not delivered, {} of them not looked at yet\n",
                many(dead_letters, "dead letter"),
                many(waiting_keys, "key"),
                many(lag_events, "event"),
                unread_events,
            )
        })?;
        if !output.is_json() {
            tell("note: nothing was changed; --yes does it");
        }
        return Ok(Exit::Done);
    }
    let asked = Asked::Remove { by: by(setting)?, name: name.to_owned(), reason: reason.to_owned() };
    let () = ask(setting, &asked)?;
    output.answer(&Removed { subscription: name, removed: true }, || format!("{name}  removed\n"))?;
    Ok(Exit::Done)
}
