//! `waag dead-letter`: what was given up, trying it again, discarding it, and the jobs that do so.
//!
//! What changes dead letters says first how many it would change, and does it only with `--yes`.

use clap::Subcommand;
use serde::Serialize;
use waag_model::text::in_line;
use waag_router::error::RouterError;
use waag_router::shown::{Filter, JobShown, LetterPage, LetterShown, Overview, RATE_DEFAULT, RATE_MAX};

use super::deliveries::which::Which;
use super::deliveries::{ask, ask_all, by, failure_text, job_line, many, second, show_job};
use super::failure::{Exit, Failure};
use super::output::{Output, tell};
use super::setting::Setting;
use crate::node::deliveries::Asked;

/// Dead letters that are asked for at a time.
const PAGE_LETTERS: usize = 200;

const HELP: &str = "\
A delivery that was tried often enough, or that its target does not want, is a dead letter of its subscription: the event
stays in the ledger, and with the policy `park` later events of its key wait for it. Redriven dead letters go in the order
of their keys, ahead of what waits. A node must run (`waag serve`).

Example:
  waag dead-letter list erp
  waag dead-letter redrive erp --code E1160 --yes --follow
  waag dead-letter discard erp --position 42 --reason \"paid by hand\" --yes";

const LIST_HELP: &str = "\
Example:
  waag dead-letter list
  waag dead-letter list erp --type invoice. --class terminal --since 2026-11-21
  waag dead-letter list erp --json";

const SHOW_HELP: &str = "\
The event itself is shown by `waag read --position N`.

Example:
  waag dead-letter show erp 42";

const REDRIVE_HELP: &str = "\
Without --yes it says how many there are, and changes nothing. The job goes on when this command has ended, and after a
restart of the node. With --follow the exit code is 1 where the job was cancelled, or some were given up again.

Example:
  waag dead-letter redrive erp --all
  waag dead-letter redrive erp --all --rate 200 --reason \"receiver mended\" --yes --follow
  waag dead-letter redrive erp --position 42 --yes";

const DISCARD_HELP: &str = "\
Without --yes it says how many there are, and changes nothing. The reason is recorded; later events of the key go on.

Example:
  waag dead-letter discard erp --position 42 --reason \"paid by hand\"
  waag dead-letter discard erp --code E1160 --until 2026-11-01 --reason \"test data\" --yes";

const JOBS_HELP: &str = "\
Example:
  waag dead-letter jobs
  waag dead-letter jobs 3 --follow";

const CANCEL_HELP: &str = "\
What the job has not come to stays as it was.

Example:
  waag dead-letter cancel 3";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List dead letters of one subscription, or of all
    #[command(after_help = LIST_HELP)]
    List(List),
    /// Show one dead letter
    #[command(after_help = SHOW_HELP)]
    Show {
        /// The subscription
        subscription: String,
        /// The event's position
        position: u64,
    },
    /// Try dead letters again, in the order of their keys
    #[command(after_help = REDRIVE_HELP)]
    Redrive(Redrive),
    /// Discard dead letters, for a reason
    #[command(after_help = DISCARD_HELP)]
    Discard(Discard),
    /// List jobs that redrive, discard or replay, or show one
    #[command(after_help = JOBS_HELP)]
    Jobs {
        /// This job only
        number: Option<u32>,

        /// Show the job when it has ended
        #[arg(long, requires = "number")]
        follow: bool,
    },
    /// End a job
    #[command(after_help = CANCEL_HELP)]
    Cancel {
        /// The job's number
        number: u32,
    },
}

#[derive(Debug, clap::Args)]
struct List {
    /// The subscription; all of them where not given
    subscription: Option<String>,

    #[command(flatten)]
    which: Which,

    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
}

#[derive(Debug, clap::Args)]
struct Redrive {
    /// The subscription
    subscription: String,

    /// Most a second
    #[arg(long, value_name = "N", default_value_t = RATE_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=i64::from(RATE_MAX)))]
    rate: u32,

    /// Why
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,

    /// Show the job when it has ended
    #[arg(long)]
    follow: bool,

    #[command(flatten)]
    change: Change,
}

#[derive(Debug, clap::Args)]
struct Discard {
    /// The subscription
    subscription: String,

    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,

    /// Show the job when it has ended
    #[arg(long)]
    follow: bool,

    #[command(flatten)]
    change: Change,
}

/// Which dead letters are to be changed, and whether it is meant.
#[derive(Debug, clap::Args)]
struct Change {
    /// Do it; how many it would be is said where not given
    #[arg(long)]
    yes: bool,

    /// Every dead letter of the subscription
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    which: Which,
}

/// A dead letter and whose it is.
#[derive(Serialize)]
struct Of<'a> {
    subscription: &'a str,
    #[serde(flatten)]
    letter: &'a LetterShown,
}

/// What would be changed.
#[derive(Serialize)]
struct DryRun<'a> {
    subscription: &'a str,
    dry_run: bool,
    dead_letters: u64,
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    match &args.command {
        Command::List(args) => list(setting, args, output),
        Command::Show { subscription, position } => show(setting, subscription, *position, output),
        Command::Redrive(args) => redrive(setting, args, output),
        Command::Discard(args) => discard(setting, args, output),
        Command::Jobs { number: Some(number), follow } => {
            let job: JobShown = ask(setting, &Asked::Job { number: *number })?;
            if *follow {
                return show_job(setting, job, true, output);
            }
            output.answer(&job, || job_line(&job))?;
            Ok(Exit::Done)
        }
        Command::Jobs { number: None, .. } => jobs(setting, output),
        Command::Cancel { number } => {
            let job: JobShown = ask(setting, &Asked::Cancel { by: by(setting)?, number: *number })?;
            output.answer(&job, || job_line(&job))?;
            Ok(Exit::Done)
        }
    }
}

fn list(setting: &Setting, args: &List, output: &mut Output) -> Result<Exit, Failure> {
    let filter = args.which.filter();
    let mut left = args.count;
    if let Some(name) = &args.subscription {
        list_one(setting, name, &filter, &mut left, output)?;
        return Ok(Exit::Done);
    }
    let mut names = Vec::new();
    let first = Asked::Subscriptions { after: None };
    let behind = |one: &Overview| Asked::Subscriptions { after: Some(one.spec.name.clone()) };
    ask_all(setting, first, behind, |one: Overview| {
        names.extend((one.dead_letters > 0).then_some(one.spec.name));
        Ok(())
    })?;
    for name in &names {
        list_one(setting, name, &filter, &mut left, output)?;
    }
    Ok(Exit::Done)
}

/// Lists those of one subscription, as many as are left to be listed.
fn list_one(
    setting: &Setting,
    name: &str,
    filter: &Filter,
    left: &mut u64,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut after = None;
    while *left > 0 {
        let most = usize::try_from(*left).unwrap_or(PAGE_LETTERS).min(PAGE_LETTERS);
        let asked = Asked::DeadLetters { name: name.to_owned(), filter: filter.clone(), after, most };
        let LetterPage { letters, next } = ask(setting, &asked)?;
        for letter in &letters {
            output.answer(&Of { subscription: name, letter }, || line(name, letter))?;
        }
        *left = left.saturating_sub(letters.len() as u64);
        if next.is_none() {
            return Ok(());
        }
        after = next;
    }
    tell(&format!("note: there are more dead letters of `{name}`; --count N lists more"));
    Ok(())
}

fn line(name: &str, letter: &LetterShown) -> String {
    let LetterShown { position, kind, parks, attempts, last_ns, failure, .. } = letter;
    let parks = if *parks { "parks its key" } else { "" };
    let (kind, last, failure) = (in_line(kind), second(*last_ns), failure_text(failure));
    let attempts = many(u64::from(*attempts), "attempt");
    format!("{name}  {position:>10}  {last}  {kind}  {attempts}  {failure}  {parks}").trim_end().to_owned()
        + "\n"
}

fn show(setting: &Setting, name: &str, position: u64, output: &mut Output) -> Result<Exit, Failure> {
    let filter = Filter::one(position);
    let asked = Asked::DeadLetters { name: name.to_owned(), filter, after: None, most: 1 };
    let page: LetterPage = ask(setting, &asked)?;
    let found = page.letters.into_iter().find(|letter| letter.position == position);
    let letter = found.ok_or(RouterError::NoDeadLetter(Some(position)))?;
    output.answer(&Of { subscription: name, letter: &letter }, || in_full(name, &letter))?;
    Ok(Exit::Done)
}

fn in_full(name: &str, letter: &LetterShown) -> String {
    let LetterShown { position, kind, key, parks, attempts, first_ns, last_ns, failure, status, job } =
        letter;
    let waits = if *parks { "waits for it" } else { "goes on without it" };
    let mut text = format!(
        "{name}  position {position}  {}\n  key        {key}, which {waits}\n  attempts   {attempts}, from {} to {}\n",
        in_line(kind),
        second(*first_ns),
        second(*last_ns),
    );
    text.push_str(&format!(
        "  failure    {}  {}  {}\n",
        failure.class,
        failure.code,
        in_line(&failure.reason)
    ));
    if let Some(status) = status {
        text.push_str(&format!("  status     {status}\n"));
    }
    if !failure.response.is_empty() {
        text.push_str(&format!("  answer     {}\n", in_line(&failure.response)));
    }
    if let Some(job) = job {
        text.push_str(&format!("  job        {job} tried it in vain\n"));
    }
    text
}

fn redrive(setting: &Setting, args: &Redrive, output: &mut Output) -> Result<Exit, Failure> {
    let Redrive { subscription: name, rate, reason, follow, change } = args;
    let filter = change.which.filter_or_all(change.all)?;
    if !change.yes {
        return dry_run(setting, name, filter, "redriven", output);
    }
    one_is_there(setting, name, change)?;
    let (by, name, reason) = (by(setting)?, name.clone(), reason.clone());
    let job = ask(setting, &Asked::Redrive { by, name, filter, rate: *rate, reason })?;
    show_job(setting, job, *follow, output)
}

fn discard(setting: &Setting, args: &Discard, output: &mut Output) -> Result<Exit, Failure> {
    let Discard { subscription: name, reason, follow, change } = args;
    let filter = change.which.filter_or_all(change.all)?;
    if reason.trim().is_empty() {
        return Err(RouterError::NoReason.into());
    }
    if !change.yes {
        return dry_run(setting, name, filter, "discarded", output);
    }
    one_is_there(setting, name, change)?;
    let (by, name, reason) = (by(setting)?, name.clone(), reason.clone());
    let job = ask(setting, &Asked::Discard { by, name, filter, reason })?;
    show_job(setting, job, *follow, output)
}

/// A job for the one dead letter of a position is begun only where there is one.
fn one_is_there(setting: &Setting, name: &str, change: &Change) -> Result<(), Failure> {
    let Some(position) = change.which.position() else { return Ok(()) };
    let asked = Asked::CountDeadLetters { name: name.to_owned(), filter: change.which.filter() };
    match ask(setting, &asked)? {
        0_u64 => Err(RouterError::NoDeadLetter(Some(position)).into()),
        _ => Ok(()),
    }
}

fn dry_run(
    setting: &Setting,
    name: &str,
    filter: Filter,
    what: &str,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let asked = Asked::CountDeadLetters { name: name.to_owned(), filter };
    let told = DryRun { subscription: name, dry_run: true, dead_letters: ask(setting, &asked)? };
    output.answer(&told, || {
        format!("{} of `{name}` would be {what}\n", many(told.dead_letters, "dead letter"))
    })?;
    if !output.is_json() {
        tell("note: nothing was changed; --yes does it");
    }
    Ok(Exit::Done)
}

fn jobs(setting: &Setting, output: &mut Output) -> Result<Exit, Failure> {
    let behind = |job: &JobShown| Asked::Jobs { before: Some(job.number) };
    ask_all(setting, Asked::Jobs { before: None }, behind, |job: JobShown| {
        output.answer(&job, || job_line(&job))
    })?;
    Ok(Exit::Done)
}
