//! `waag key`: API keys, with which others speak to a node.

use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use serde::Serialize;
use serde::de::DeserializeOwned;
use waag_http::keys::{KeyError, Role};
use waag_http::plans::PlanError;
use waag_model::ids::NameError;

use super::failure::{Exit, Failure};
use super::output::{Output, tell};
use super::setting::Setting;
use crate::node::api_keys::{ApiKeyError, Asked, LISTED_MAX, Told, carry_out, load};
use crate::node::plans::PlansError;
use crate::store::beside::{AskError, ask_doors};
use crate::store::error::StoreError;
use crate::store::writer::{OpenedStore, open_writer};

/// How often a store that another process writes is tried again.
const TRIES_MAX: u32 = 40;
/// The wait between two of these, in milliseconds.
const TRY_DELAY_MS: u64 = 50;
/// Nanoseconds of a day.
const DAY_NS: i64 = 86_400_000_000_000;

const HELP: &str = "\
A key is shown once, when it is made; what is kept is its hash. While `waag serve` runs, it is asked to do this; otherwise
the store is opened. Each change is an event of the ledger.

Example:
  waag key create --holder erp
  waag key list
  waag key withdraw 0f3a9c0d1e2b4a57";

const CREATE_HELP: &str = "\
Example:
  waag key create --holder erp --role producer --days 365
  waag key create --holder ledgers --role subscriber --subscription billing
  waag key create --json";

const LIST_HELP: &str = "\
Example:
  waag key list --json";

const WITHDRAW_HELP: &str = "\
Example:
  waag key withdraw 0f3a9c0d1e2b4a57";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key, and show it this once
    #[command(after_help = CREATE_HELP)]
    Create(Create),
    /// List all keys; none is shown
    #[command(after_help = LIST_HELP)]
    List,
    /// Withdraw a key, at once
    #[command(after_help = WITHDRAW_HELP)]
    Withdraw {
        /// The key's id
        id: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    /// May read how far the ledger is, and its events
    Reader,
    /// May record events
    Producer,
    /// May pull events of subscriptions and answer for them, and nothing else
    Subscriber,
    /// May change mappings and manage subscriptions too
    Admin,
}

#[derive(Debug, clap::Args)]
struct Create {
    /// Who will hold it: the actor of every event it brings
    #[arg(long, value_name = "NAME", default_value = "api")]
    holder: String,

    /// What its holder may do
    #[arg(long, default_value = "producer")]
    role: RoleName,

    /// The usage plan (`waag plan`)
    #[arg(long, value_name = "NAME", default_value = "standard")]
    plan: String,

    /// A subscription that a subscriber may pull from, up to eight times; without it all of the tenant's
    #[arg(long = "subscription", value_name = "NAME")]
    subscriptions: Vec<String>,

    /// Days until it expires
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..=3_650))]
    days: u16,
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let by = setting.actor()?.as_str().to_owned();
    let options = setting.options()?;
    let asked = match &args.command {
        Command::Create(Create { holder, role, plan, subscriptions, days }) => Asked::Create {
            by,
            holder: holder.clone(),
            role: match role {
                RoleName::Reader => Role::Reader,
                RoleName::Producer => Role::Producer,
                RoleName::Subscriber => Role::Subscriber,
                RoleName::Admin => Role::Admin,
            },
            plan: plan.clone(),
            expires: Some(options.clock.now().later_by(i64::from(*days).saturating_mul(DAY_NS)).0),
            subscriptions: subscriptions.clone(),
        },
        Command::List => return list(setting, output),
        Command::Withdraw { id } => Asked::Withdraw { by, id: id.clone() },
    };
    let told = ask(setting, &asked)?;
    for one in &told {
        output.answer(one, || line(one))?;
    }
    if matches!(args.command, Command::Create(_)) && !output.is_json() {
        tell("note: this key is not shown again");
    }
    Ok(Exit::Done)
}

/// Lists in pieces, as the process that has the doors open answers.
fn list(setting: &Setting, output: &mut Output) -> Result<Exit, Failure> {
    let mut after = None;
    loop {
        let told = ask(setting, &Asked::List { after })?;
        for one in &told {
            output.answer(one, || line(one))?;
        }
        if told.len() < LISTED_MAX {
            return Ok(Exit::Done);
        }
        after = told.into_iter().next_back().map(|last| last.id);
    }
}

fn line(told: &Told) -> String {
    let Told { id, key, holder, role, tenant, plan, expires, subscriptions, .. } = told;
    let role = format!("{role:?}").to_lowercase();
    let until = expires.as_deref().unwrap_or("never");
    match key {
        Some(key) => format!("{key}\n"),
        None => {
            let of = if subscriptions.is_empty() {
                String::new()
            } else {
                format!("  of {}", subscriptions.join(", "))
            };
            format!("{id}  {role:<8}  {tenant}  {holder}  plan {plan}  expires {until}{of}\n")
        }
    }
}

/// A name that is none and an id that is nobody's are the caller's fault, unlike everything else.
fn failure_of(error: ApiKeyError) -> Failure {
    let is_callers = matches!(
        error,
        ApiKeyError::Name(_)
            | ApiKeyError::Unknown(_)
            | ApiKeyError::NoPlan(_)
            | ApiKeyError::Keys(KeyError::Subscriptions)
    );
    let failure = Failure::from(error);
    if is_callers { Failure { exit: Exit::Usage, ..failure } } else { failure }
}

fn ask(setting: &Setting, asked: &Asked) -> Result<Vec<Told>, Failure> {
    ask_or_do(setting, asked, |store| {
        let keys = load(store)?;
        carry_out(store, &keys, asked).map_err(failure_of)
    })
}

/// What a node refuses because of what was named has the code and the exit that it has without a node.
fn refused(error: AskError) -> Failure {
    let callers = [
        NameError::Empty.code(),
        ApiKeyError::Unknown(String::new()).code(),
        KeyError::Subscriptions.code(),
        PlansError::Unknown(String::new()).code(),
        PlansError::InUse(String::new(), 0).code(),
        PlanError::Name(String::new()).code(),
        PlanError::Zero.code(),
    ];
    if let AskError::Refused(why) = &error
        && let Some((told, reason)) = why.split_once(": ")
        && let Some(code) = callers.into_iter().find(|code| *code == told)
    {
        return Failure { code, reason: reason.to_owned(), exit: Exit::Usage };
    }
    error.into()
}

/// Asks the process that has the doors open, or opens the store and does it here.
pub(super) fn ask_or_do<T: DeserializeOwned>(
    setting: &Setting,
    asked: &impl Serialize,
    carry_out: impl Fn(&OpenedStore) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let (place, options) = (setting.written_place()?, setting.options()?);
    let question = serde_json::to_string(asked).map_err(|error| Failure::usage(error.to_string()))?;
    let mut tries = 0;
    loop {
        if let Some(answer) = ask_doors(&place, &question).map_err(refused)? {
            return serde_json::from_str(&answer)
                .map_err(|error| AskError::NoAnswer(std::io::Error::other(error)).into());
        }
        match open_writer(&place, &options, &mut |_, _| {}) {
            Ok(store) => return carry_out(&store),
            // It starts, or ends, or is one of the commands that are done soon.
            Err(StoreError::InUse) if tries < TRIES_MAX => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(TRY_DELAY_MS));
            }
            Err(error) => return Err(error.into()),
        }
    }
}
