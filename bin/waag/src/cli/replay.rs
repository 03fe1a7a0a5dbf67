//! `waag replay`: delivers a span of the ledger to a subscription again, marked as a replay and not recorded again.

use std::path::PathBuf;

use serde::Serialize;
use waag_model::text::in_line;
use waag_model::time::UtcNanos;
use waag_router::shown::{Detail, RATE_DEFAULT, RATE_MAX, ReplayAsked};

use super::deliveries::which::time;
use super::deliveries::{ask, by, second, show_job};
use super::failure::{Exit, Failure};
use super::output::{Output, tell};
use super::setting::Setting;
use super::subscription::wanted::read_pattern;
use crate::node::deliveries::Asked;

const HELP: &str = "\
Without --yes it says what would be replayed, and does nothing. Events go in the order of the ledger, those of the subscription's pattern or of another one, beside what the subscription
delivers anyway. The job goes on when this command has ended, and after a restart of the node; `waag dead-letter jobs` lists
it, `waag dead-letter cancel` ends it. With --follow the exit code is 1 where it was cancelled, or some were given up.

Example:
  waag replay erp --from 1000 --to 2000
  waag replay erp --from 1000 --to 2000 --yes
  waag replay erp --since 2026-11-20 --until 2026-11-21T06:00:00Z --rate 500 --yes --follow
  waag replay erp --all --rate 0 --yes";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The subscription
    subscription: String,

    /// From this position on; from the first where only an end is given
    #[arg(long, value_name = "N", conflicts_with = "since")]
    from: Option<u64>,

    /// Up to this position, without it; to the end of the ledger where only a beginning is given
    #[arg(long, value_name = "N", conflicts_with = "until")]
    to: Option<u64>,

    /// From the first event committed at this time or later (RFC 3339, or a day in UTC)
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<UtcNanos>,

    /// Up to the first event committed at this time or later
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<UtcNanos>,

    /// The whole ledger
    #[arg(long, conflicts_with_all = ["from", "to", "since", "until"])]
    all: bool,

    /// Do it; what would be replayed is said where not given
    #[arg(long)]
    yes: bool,

    /// Which of them: a file with a pattern; the subscription's own where not given
    #[arg(long, value_name = "FILE")]
    pattern: Option<PathBuf>,

    /// Most events a second; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = RATE_DEFAULT, value_parser = clap::value_parser!(u32).range(0..=i64::from(RATE_MAX)))]
    rate: u32,

    /// Why
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,

    /// Show the job when it has ended
    #[arg(long)]
    follow: bool,
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let Args { subscription, from, to, since, until, all, yes, pattern, rate, reason, follow } = args;
    let has_span = from.is_some() || to.is_some() || since.is_some() || until.is_some();
    if !has_span && !all {
        return Err(Failure::usage(
            "which span is not said: --from or --since, --to or --until, or --all for the whole ledger",
        ));
    }
    let asked = ReplayAsked {
        from: *from,
        to: *to,
        since_ns: since.map(|time| time.0),
        until_ns: until.map(|time| time.0),
        pattern: pattern.as_deref().map(read_pattern).transpose()?,
        rate: Some(*rate),
        reason: reason.clone(),
    };
    if !yes {
        return dry_run(setting, subscription, &asked, output);
    }
    let asked = serde_json::to_string(&asked).map_err(|error| Failure::usage(error.to_string()))?;
    let job = ask(setting, &Asked::Replay { by: by(setting)?, name: subscription.clone(), asked })?;
    show_job(setting, job, *follow, output)
}

/// What would be replayed.
#[derive(Serialize)]
struct DryRun<'a> {
    subscription: &'a str,
    dry_run: bool,
    span: &'a ReplayAsked,
}

fn dry_run(setting: &Setting, name: &str, span: &ReplayAsked, output: &mut Output) -> Result<Exit, Failure> {
    // Refused where there is none.
    let now: Detail = ask(setting, &Asked::Subscription { name: name.to_owned() })?;
    let place = |position: Option<u64>, time: Option<i64>, none: &str| match (position, time) {
        (Some(position), _) => format!("position {position}"),
        (None, Some(time)) => second(time),
        (None, None) => none.to_owned(),
    };
    let told = DryRun { subscription: name, dry_run: true, span };
    output.answer(&told, || {
        let from = place(span.from, span.since_ns, "the first event");
        let to = place(span.to, span.until_ns, "the end of the ledger");
        let rate = match span.rate {
            Some(0) => "without a limit".to_owned(),
            rate => format!("at {} a second at most", rate.unwrap_or(RATE_DEFAULT)),
        };
        let target = in_line(&now.overview.spec.target.place());
        format!("from {from} up to {to} would be replayed to `{name}` ({target}), {rate}\n")
    })?;
    if !output.is_json() {
        tell("note: nothing was done; --yes does it");
    }
    Ok(Exit::Done)
}
