//! `waag drill`: whether the newest backup can be restored, how long that takes, and how much would be lost.

pub(super) mod schedule;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;
use waag_archive::error::ArchiveError;

use super::backup::megabytes;
use super::failure::{Exit, Failure, chain};
use super::output::{Output, progress, tell};
use super::setting::Setting;
use crate::store::backups::{self, BackupError};
use crate::store::drills::{Asked, DrillError, DrillRecord, drill, drills};
use crate::store::reader::open_reader;

/// Most drills that are listed.
const LISTED_MAX: usize = 1_000;

const HELP: &str = "\
The newest backup is restored into a scratch place beside the data folder, verified in full, and removed again. It runs
beside a node, or without one. Free space is looked at first. The outcome is an event of the ledger, also where the drill
failed; it then exits with 1.

  RPO  what would be lost if this machine were lost now: entries, and the age of the oldest of them
  RTO  from the beginning to a store that is verified and can be read, read models not counted

Example:
  waag drill --backup ./waag-backup --key ./waag-backup.key
  waag drill list";

const LIST_HELP: &str = "\
Example:
  waag drill list --json";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    /// The repository's folder
    #[arg(long, value_name = "DIR")]
    backup: Option<PathBuf>,

    /// The key's file
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// Where it is restored to; the data folder's name with `.drill` where not given
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the drills that were made, the newest last
    #[command(after_help = LIST_HELP)]
    List,
}

#[derive(Serialize)]
struct DrillJson<'a> {
    at: String,
    ok: bool,
    rpo_ms: u64,
    rpo_entries: u64,
    rto_ms: u64,
    entries: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restored_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
}

impl<'a> From<&'a DrillRecord> for DrillJson<'a> {
    fn from(record: &'a DrillRecord) -> Self {
        let DrillRecord { at, ok, rpo_ms, rpo_entries, rto_ms, size, bytes, failed } = record;
        Self {
            at: at.to_string(),
            ok: *ok,
            rpo_ms: *rpo_ms,
            rpo_entries: *rpo_entries,
            rto_ms: *rto_ms,
            entries: *size,
            bytes: *bytes,
            failed: failed.as_deref(),
            run: None,
            restored_ms: None,
            position: None,
        }
    }
}

impl From<DrillError> for Failure {
    fn from(error: DrillError) -> Self {
        if let DrillError::Store(error) = error {
            return error.into();
        }
        Self { code: error.code(), reason: chain(&error), exit: Exit::Environment }
    }
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    match (&args.command, &args.backup, &args.key) {
        (Some(Command::List), ..) => list(setting, output),
        (None, Some(backup), Some(key)) => make(setting, backup, key, args.scratch.as_ref(), output),
        (None, ..) => Err(Failure::usage(
            "say where the backup is, and where its key: `waag drill --backup DIR --key FILE`",
        )),
    }
}

fn make(
    setting: &Setting,
    backup: &Path,
    key: &Path,
    scratch: Option<&PathBuf>,
    output: &mut Output,
) -> Result<Exit, Failure> {
    if setting.earlier.is_some() {
        return Err(Failure::usage(
            "--earlier names a ledger that is only read; a drill is of the one that is written",
        ));
    }
    // What names no repository or no key is mistyped, and says nothing of the backup: it is refused, and not recorded.
    if let Err(
        error @ (BackupError::Io { .. }
        | BackupError::Archive(
            ArchiveError::NoRepository | ArchiveError::KeyFile(_) | ArchiveError::OtherKey { .. },
        )),
    ) = backups::open(backup, key)
    {
        return Err(error.into());
    }
    let asked = Asked {
        place: setting.place()?,
        options: setting.options()?,
        repository: backup.to_owned(),
        key: key.to_owned(),
        scratch: scratch.cloned(),
        actor: setting.actor()?,
    };
    let bar = progress(Some(u64::MAX), "bytes");
    let shown = bar.clone();
    let drilled = drill(&asked, &move |done, all| {
        shown.set_length(all);
        shown.set_position(done);
    })?;
    bar.finish_and_clear();
    let json = DrillJson {
        run: drilled.run,
        restored_ms: drilled.restored_ms,
        position: drilled.position,
        ..DrillJson::from(&drilled.record)
    };
    output.answer(&json, || text(&json))?;
    match &json.failed {
        None => Ok(Exit::Done),
        Some(why) => {
            tell(&format!("error: the backup cannot be relied on: {why}"));
            Ok(Exit::Refused)
        }
    }
}

fn text(json: &DrillJson<'_>) -> String {
    let rpo = match json.rpo_entries {
        0 => "nothing would be lost".to_owned(),
        entries => format!("{entries} entries would be lost, the oldest {} old", seconds(json.rpo_ms)),
    };
    let outcome = if json.ok { "restored, verified and read" } else { "FAILED" };
    format!(
        "{outcome}: {} entries, {}, in {}\n  RPO  {rpo}\n  RTO  {}\n",
        json.entries,
        megabytes(json.bytes),
        seconds(json.rto_ms),
        seconds(json.rto_ms)
    )
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03} s", ms / 1_000, ms % 1_000)
}

fn list(setting: &Setting, output: &mut Output) -> Result<Exit, Failure> {
    let store = open_reader(&setting.place()?, &setting.options()?)?;
    for record in &drills(&store.keyring, LISTED_MAX)? {
        let json = DrillJson::from(record);
        output.answer(&json, || {
            let outcome = if json.ok { "ok    " } else { "FAILED" };
            let failed = json.failed.map(|why| format!("  {why}")).unwrap_or_default();
            format!(
                "{}  {outcome}  RPO {} entries, {}  RTO {}  {} entries{failed}\n",
                json.at,
                json.rpo_entries,
                seconds(json.rpo_ms),
                seconds(json.rto_ms),
                json.entries
            )
        })?;
    }
    Ok(Exit::Done)
}
