//! `waag promote`: a restored store goes on as a ledger of its own.

use serde::Serialize;

use super::failure::{Exit, Failure};
use super::output::{Output, tell};
use super::setting::Setting;
use crate::store::place::Place;
use crate::store::restores::promote::promote;

const HELP: &str = "\
For a store that was restored and may only be read. Entries may have been acknowledged beyond its backup, so the old ledger
is never written again: a new one takes its place, whose first entry names the old one's checkpoint. The old one stays
beside it and can be read, proven and verified (--earlier ID), and erasures reach both.

What changes for others: positions begin at 0 again, checkpoints have a new origin and a new key, retries of events that the
old ledger has are recorded anew, and the pages show the new ledger's events only. Subscriptions stay and begin with the new
ledger; dead letters and replays go. The backup needs a new repository; keep the old one.

Asking again finishes a promotion that was broken off. A store that `waag restore` could not verify to its end is verified
first, and not promoted where it is not whole.

Example:
  waag promote --data ./restored";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {}

#[derive(Serialize)]
struct Answer {
    ledger: String,
    origin: String,
    old_ledger: String,
    old_origin: String,
    old_size: u64,
    position: u64,
}

pub(crate) fn run(setting: &Setting, _args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    go_on(setting, &setting.place()?, output)
}

/// Promotes the store at a place and says so.
pub(super) fn go_on(setting: &Setting, place: &Place, output: &mut Output) -> Result<Exit, Failure> {
    let made = promote(place, &setting.options()?, &setting.actor()?)?;
    let answer = Answer {
        ledger: made.ledger.to_string(),
        origin: made.origin,
        old_ledger: made.old_ledger.to_string(),
        old_origin: made.old_origin,
        old_size: made.old_size,
        position: made.position,
    };
    output.answer(&answer, || {
        format!(
            "The ledger is {} from here on\n  its entry {} names the old one, {}, of {} entries\n  \
             read that one with --earlier {}\n",
            answer.origin, answer.position, answer.old_origin, answer.old_size, answer.old_ledger
        )
    })?;
    tell("note: make a new backup repository for the new ledger, and keep the old one");
    Ok(Exit::Done)
}
