//! `waag pull`: a subscriber for trying things out, which prints what a subscription that is pulled has for it.
//!
//! Printed before it is acknowledged, so that what was acknowledged was seen: a command that ends between the two gets the
//! event again. It polls, since the desk that it asks at answers one after the other.
//! Not here: subscribers for use, which pull over HTTP (`edge/http`).

use std::time::Duration;

use waag_router::shown::LeaseAnswer;

use super::deliveries::ask;
use super::failure::{Exit, Failure};
use super::output::{Output, tell};
use super::setting::Setting;
use crate::node::deliveries::{Asked, LeasedShown, PULLED_MAX, Refused};

/// The wait between two questions where there is nothing, in milliseconds.
const POLL_MS: u64 = 100;

const HELP: &str = "\
One JSON object a line: `lease`, `position`, `attempt`, `lease_ms`, `event`, and `replay` where it belongs to one. Events are
shown as a subscriber gets them, without personal fields. What is neither acknowledged nor rejected comes again when its
lease has run out. Exit code 1 where a lease had run out before it was answered. A node must run (`waag serve`).

Example:
  waag pull audit
  waag pull audit --ack --follow
  waag pull audit --count 1 --reject \"amount is missing\" --terminal";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The subscription
    subscription: String,

    /// Acknowledge each event when it is printed
    #[arg(long)]
    ack: bool,

    /// Reject each event when it is printed, for this reason: it is tried again
    #[arg(long, value_name = "TEXT", conflicts_with = "ack")]
    reject: Option<String>,

    /// Say that trying again is of no use: each rejected event is a dead letter at once
    #[arg(long, requires = "reject")]
    terminal: bool,

    /// At most so many events
    #[arg(long, value_name = "N", default_value_t = 100, conflicts_with = "follow", value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,

    /// End when nothing has come for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1, conflicts_with = "follow", value_parser = clap::value_parser!(u64).range(0..=86_400))]
    wait: u64,

    /// Go on until it is ended
    #[arg(long)]
    follow: bool,
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let Args { subscription: name, count, wait, follow, .. } = args;
    let mut left = if *follow { u64::MAX } else { *count };
    let wait_ms = if *follow { u64::MAX } else { wait.saturating_mul(1_000) };
    let (mut waited_ms, mut pulled, mut late) = (0_u64, 0_u64, 0_u64);
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(PULLED_MAX).min(PULLED_MAX);
        let leased: Vec<LeasedShown> = ask(setting, &Asked::Pull { name: name.clone(), most })?;
        if leased.is_empty() {
            if waited_ms >= wait_ms {
                break;
            }
            std::thread::sleep(Duration::from_millis(POLL_MS));
            waited_ms = waited_ms.saturating_add(POLL_MS);
            continue;
        }
        waited_ms = 0;
        for one in &leased {
            output.json(one)?;
        }
        output.flush()?;
        late = late.saturating_add(answer(setting, args, &leased)?);
        pulled = pulled.saturating_add(leased.len() as u64);
        left = left.saturating_sub(leased.len() as u64);
    }
    if pulled > 0 && !args.ack && args.reject.is_none() {
        tell("note: nothing was acknowledged; what is shown comes again when its lease has run out");
    }
    Ok(if late > 0 { Exit::Refused } else { Exit::Done })
}

/// Answers leases as was asked for; how many answers were not taken.
fn answer(setting: &Setting, args: &Args, leased: &[LeasedShown]) -> Result<u64, Failure> {
    let answer = |one: &LeasedShown| {
        let lease = one.lease.clone();
        match &args.reject {
            Some(reason) => Some(LeaseAnswer::Reject {
                lease,
                terminal: args.terminal,
                retry_after_ms: None,
                reason: reason.clone(),
            }),
            None => args.ack.then_some(LeaseAnswer::Acknowledge { lease }),
        }
    };
    let answers: Vec<LeaseAnswer> = leased.iter().filter_map(answer).collect();
    if answers.is_empty() {
        return Ok(0);
    }
    let taken: Vec<Option<Refused>> =
        ask(setting, &Asked::Answer { name: args.subscription.clone(), answers })?;
    let mut late = 0;
    for (one, refused) in leased.iter().zip(taken) {
        if let Some(Refused { code, reason, .. }) = refused {
            late += 1;
            tell(&format!("warning: {code}: position {}: {reason}", one.position));
        }
    }
    Ok(late)
}
