//! `waag replay`: delivers a span of the ledger to a subscription again, marked as a replay and not recorded again.

use std::path::PathBuf;

use waag_model::time::UtcNanos;
use waag_router::shown::{RATE_MAX, ReplayAsked};

use super::deliveries::which::time;
use super::deliveries::{ask, by, show_job};
use super::failure::{Exit, Failure};
use super::output::Output;
use super::setting::Setting;
use super::subscription::wanted::read_pattern;
use crate::node::deliveries::Asked;

const HELP: &str = "\
Events go in the order of the ledger, those of the subscription's pattern or of another one, beside what the subscription
delivers anyway. The job goes on when this command has ended, and after a restart of the node; `waag dead-letter jobs` lists
it, `waag dead-letter cancel` ends it. With --follow the exit code is 1 where it was cancelled, or some were given up.

Example:
  waag replay erp --from 1000 --to 2000
  waag replay erp --since 2026-11-20 --until 2026-11-21T06:00:00Z --rate 500 --follow";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The subscription
    subscription: String,

    /// From this position on; from the first where neither this nor a time is given
    #[arg(long, value_name = "N", conflicts_with = "since")]
    from: Option<u64>,

    /// Up to this position, without it; to the end of the ledger where neither this nor a time is given
    #[arg(long, value_name = "N", conflicts_with = "until")]
    to: Option<u64>,

    /// From the first event committed at this time or later (RFC 3339, or a day in UTC)
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<UtcNanos>,

    /// Up to the first event committed at this time or later
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<UtcNanos>,

    /// Which of them: a file with a pattern; the subscription's own where not given
    #[arg(long, value_name = "FILE")]
    pattern: Option<PathBuf>,

    /// Most events a second; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=i64::from(RATE_MAX)))]
    rate: u32,

    /// Why
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,

    /// Show the job when it has ended
    #[arg(long)]
    follow: bool,
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let Args { subscription, from, to, since, until, pattern, rate, reason, follow } = args;
    let asked = ReplayAsked {
        from: *from,
        to: *to,
        since_ns: since.map(|time| time.0),
        until_ns: until.map(|time| time.0),
        pattern: pattern.as_deref().map(read_pattern).transpose()?,
        rate: *rate,
        reason: reason.clone(),
    };
    let asked = serde_json::to_string(&asked).map_err(|error| Failure::usage(error.to_string()))?;
    let job = ask(setting, &Asked::Replay { by: by(setting)?, name: subscription.clone(), asked })?;
    show_job(setting, job, *follow, output)
}
