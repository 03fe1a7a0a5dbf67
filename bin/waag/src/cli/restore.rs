//! `waag restore`: a store from its backup, verified, and read-only until nobody can have acknowledged more.

use std::path::PathBuf;

use serde::Serialize;
use waag_archive::frames::End;
use waag_model::ids::{Position, TenantName};
use waag_model::time::UtcNanos;

use super::backup::{At, megabytes, pace};
use super::deliveries::which;
use super::failure::{Exit, Failure, chain};
use super::output::{Output, progress};
use super::promote;
use super::setting::Setting;
use crate::store::place::Place;
use crate::store::restores::{self, Asked, Facts, RestoreError, Restored};

const HELP: &str = "\
Everything is checked on its way and verified in full before it says done. Keys of persons who were erased since do not
come back, also where an older state of the log is restored.

Where the newest keys have expired, those of the newest backup that still has any are taken; --keys-of RUN takes those of an
older one, where the newest are damaged or lost. What is sealed under keys that were made since then stays closed, all of
it still verifies, and the answer says how many such keys there are (`withheld`).

--run RUN restores as of an older backup, where a newer one's own list cannot be read; the error names it. Make erasures
again that only the unreadable one may have known of.

What was acknowledged after the backup is not in it, and whoever holds a receipt knows. So that the ledger never has two
futures, the restored store may be read and not written, unless
  --guard    the state folder of the lost store is still there, and its guard says that nothing
             came after the backup: the right to write moves from there to here, for good;
or it is promoted (--promote, or `waag promote` later): it goes on as a ledger of its own, whose first entry names the old
one.

Example:
  waag restore ./waag-backup --key ./waag-backup.key --to ./restored
  waag restore ./waag-backup --key ./waag-backup.key --to ./rehearsal --json";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    at: At,

    /// The data folder of the restored store; its state stands beside it, or where --state says
    #[arg(long, value_name = "DATA")]
    to: PathBuf,

    /// Only up to the last frame that ends at or before this position
    #[arg(long, value_name = "N", conflicts_with = "time")]
    position: Option<u64>,

    /// Only up to the last frame that was committed at or before this time, RFC 3339
    #[arg(long, value_name = "TIME", value_parser = which::time)]
    time: Option<UtcNanos>,

    /// The state folder of the lost store
    #[arg(long, value_name = "STATE")]
    guard: Option<PathBuf>,

    /// Go on under a new ledger, as `waag promote` does
    #[arg(long, conflicts_with = "guard")]
    promote: bool,

    /// As of this backup, where a newer one cannot be read; erasures since are applied as far as any backup tells of them
    #[arg(long, value_name = "RUN", value_parser = clap::value_parser!(u64).range(1..))]
    run: Option<u64>,

    /// Keys of this backup, where the newest ones are damaged: what is sealed under newer keys stays closed
    #[arg(long, value_name = "RUN")]
    keys_of: Option<u64>,
}

#[derive(Serialize)]
struct Answer {
    ledger: String,
    origin: String,
    size: u64,
    root: String,
    #[serde(flatten)]
    facts: Facts,
    entries_per_s: u64,
    bytes_per_s: u64,
    read_only: bool,
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        let exit = match &error {
            RestoreError::NotVerified(_) => Exit::Refused,
            RestoreError::Target(_) | RestoreError::Beyond { .. } => Exit::Usage,
            RestoreError::Backup(_)
            | RestoreError::Broken { .. }
            | RestoreError::KeysLost { .. }
            | RestoreError::Store(_)
            | RestoreError::Guard(_)
            | RestoreError::Promote(_) => Exit::Environment,
        };
        match error {
            RestoreError::Backup(error) => error.into(),
            RestoreError::Store(error) => error.into(),
            other @ (RestoreError::Target(_)
            | RestoreError::Broken { .. }
            | RestoreError::KeysLost { .. }
            | RestoreError::Guard(_)
            | RestoreError::Beyond { .. }
            | RestoreError::NotVerified(_)
            | RestoreError::Promote(_)) => Self { code: other.code(), reason: chain(&other), exit },
        }
    }
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    setting.must_name_no_store("--to")?;
    let tenant = TenantName::new(&setting.tenant).map_err(|error| Failure::name("--tenant", error))?;
    let place = Place::new(&args.to, setting.state.as_deref(), tenant)?;
    let end = match (args.position, args.time) {
        (Some(position), _) => End::Position(Position(position)),
        (None, Some(time)) => End::Time(time),
        (None, None) => End::Newest,
    };
    let asked = Asked {
        repository: args.at.repository.clone(),
        key: args.at.key.clone(),
        place,
        options: setting.options()?,
        end,
        run: args.run,
        keys_of: args.keys_of,
        guard: args.guard.clone(),
    };
    let bar = progress(Some(u64::MAX), "bytes");
    let shown = bar.clone();
    let restored = restores::restore(&asked, &move |done, all| {
        shown.set_length(all);
        shown.set_position(done);
    })?;
    bar.finish_and_clear();
    let answer = answer_of(&restored);
    output.answer(&answer, || text(&answer))?;
    if args.promote { promote::go_on(setting, &asked.place, output) } else { Ok(Exit::Done) }
}

fn answer_of(restored: &Restored) -> Answer {
    let facts = restored.facts;
    let per_s = |count: u64| count.saturating_mul(1_000) / facts.ms.max(1);
    Answer {
        ledger: restored.ledger.to_string(),
        origin: restored.origin.clone(),
        size: restored.size,
        root: restored.root.to_string(),
        facts,
        entries_per_s: per_s(restored.size),
        bytes_per_s: per_s(facts.bytes),
        read_only: restored.read_only,
    }
}

fn text(answer: &Answer) -> String {
    let facts = &answer.facts;
    let mut text = format!(
        "Restored and verified {}\n  {} entries, root {}\n  {} in {}.{:03} s{}\n",
        answer.origin,
        answer.size,
        answer.root,
        megabytes(facts.bytes),
        facts.ms / 1_000,
        facts.ms % 1_000,
        pace(facts.ms, answer.entries_per_s, answer.bytes_per_s)
    );
    if facts.destroyed_again > 0 {
        text.push_str(&format!("  {} keys were destroyed since and stay so\n", facts.destroyed_again));
    }
    if facts.withheld > 0 {
        text.push_str(&format!(
            "  {} keys are not in backup {}: what is sealed under them stays closed\n",
            facts.withheld, facts.keys_of
        ));
    }
    text.push_str(if answer.read_only {
        "It may be read, not written: `waag promote` goes on under a new ledger.\n"
    } else {
        "It may be written; the guard it was proven by may not be used again.\n"
    });
    text
}
