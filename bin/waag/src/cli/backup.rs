//! `waag backup`: a ledger's backup in a repository: make it, add to it, list it, check it, prune it.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;
use waag_archive::error::ArchiveError;
use waag_archive::manifest::Kind;
use waag_archive::repository::{REPOSITORY, RUNS, Run};
use waag_model::time::UtcNanos;
use waag_stdx::clock::{Clock, SystemClock};

use super::failure::{Exit, Failure, chain};
use super::output::{Output, progress, tell};
use super::setting::Setting;
use crate::store::backups::{
    self, Asked, BackupError, KEY_BACKUP_DAYS_LIMIT, KEY_BACKUP_DAYS_MAX, Made, check, expires_soon,
};
use crate::store::error::StoreError;
use crate::store::reader::open_reader;

const HELP: &str = "\
Without a subcommand a backup is made: what is new since the last one, then state and keys. It runs beside a node, or
without one; every piece is read back and checked before the backup is listed, and each backup is an event of the ledger.

Keys of persons are in a backup only for so many days (30; --key-days), so that an erasure is complete by then. That holds
for the newest backup as well: where none is made for that long, nothing sealed can be opened from it any more.

The key's file belongs elsewhere, in two places. Without it the backup is lost; with it, whoever has the backup has every
key of the tenant.

Example:
  waag backup init ./waag-backup --key ./waag-backup.key
  waag backup ./waag-backup --key ./waag-backup.key
  waag backup check ./waag-backup --key ./waag-backup.key";

const INIT_HELP: &str = "\
Makes a repository in a folder that is empty or missing, and the file of its key, which must not be there yet.

Example:
  waag backup init ./waag-backup-2 --key ./waag-backup-2.key";

const LIST_HELP: &str = "\
Example:
  waag backup list ./waag-backup --key ./waag-backup.key";

const CHECK_HELP: &str = "\
Reads and opens every object of every run, checks every frame up to the newest checkpoint, and names what is wrong; exits
with 1 where anything is. Where the store is there too, it says which runs were taken away.

Example:
  waag backup check ./waag-backup --key ./waag-backup.key --json";

const PRUNE_HELP: &str = "\
Removes key material that has expired, and what a run that was broken off has left. Every run does that too, once it has
key material of its own. Refused where the clock is more than 31 days ahead of what was recorded or backed up last, since
what is removed is gone: for a repository that was put away for longer, look at the clock and add --clock-is-right.

Example:
  waag backup prune ./waag-backup --key ./waag-backup.key";

/// Below that many milliseconds a rate is mostly what is done once.
const PACE_MS_MIN: u64 = 1_000;

#[derive(Debug, clap::Args)]
#[command(after_help = HELP, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    at: Option<At>,

    /// Days until state and keys in this backup expire, 1 to 366
    #[arg(long, value_name = "N", default_value_t = KEY_BACKUP_DAYS_MAX,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(KEY_BACKUP_DAYS_LIMIT)))]
    key_days: u32,

    #[command(flatten)]
    clock: ClockIsRight,
}

/// What whoever looked at the clock can say of it.
#[derive(Clone, Copy, Debug, clap::Args)]
struct ClockIsRight {
    /// The clock is right, though nothing was recorded or backed up for more than 31 days
    #[arg(long)]
    clock_is_right: bool,
}

/// Where a repository and its key are.
#[derive(Debug, clap::Args)]
pub(crate) struct At {
    /// The repository's folder
    #[arg(value_name = "DIR")]
    pub(crate) repository: PathBuf,

    /// The key's file
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a repository and its key
    #[command(after_help = INIT_HELP)]
    Init(At),
    /// List the backups in a repository
    #[command(after_help = LIST_HELP)]
    List(At),
    /// Check every byte of a repository
    #[command(after_help = CHECK_HELP)]
    Check(At),
    /// Remove what has expired
    #[command(after_help = PRUNE_HELP)]
    Prune {
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        clock: ClockIsRight,
    },
}

#[derive(Serialize)]
struct InitJson {
    repository: String,
    folder: String,
    key: String,
}

#[derive(Serialize)]
struct MadeJson {
    run: u64,
    size: u64,
    root: String,
    entries: u64,
    frames: u64,
    objects: u64,
    pieces: usize,
    bytes: u64,
    ms: u64,
    entries_per_s: u64,
    bytes_per_s: u64,
    removed: usize,
    keys_expire: String,
    position: Option<u64>,
}

#[derive(Serialize)]
struct RunJson {
    run: u64,
    made: String,
    size: u64,
    newest_entry: Option<String>,
    objects: u64,
    bytes: u64,
    bytes_in_all: u64,
    keys_taken: String,
    keys_expire: String,
    keys_expired: bool,
    ledger: String,
    tenant: String,
}

#[derive(Serialize)]
struct FaultJson<'a> {
    object: &'a str,
    code: &'a str,
    reason: &'a str,
}

#[derive(Serialize)]
struct CheckJson<'a> {
    ok: bool,
    runs: u64,
    entries: u64,
    bytes: u64,
    expired: u64,
    unnamed: u64,
    missing_runs: &'a [u64],
    faults: Vec<FaultJson<'a>>,
}

#[derive(Serialize)]
struct PruneJson {
    removed: Vec<String>,
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Store(error) => error.into(),
            other @ BackupError::KeyInside(_) => {
                Self { code: other.code(), reason: chain(&other), exit: Exit::Usage }
            }
            other @ (BackupError::Archive(_)
            | BackupError::Keep(_)
            | BackupError::Object(_)
            | BackupError::Behind { .. }
            | BackupError::Restless
            | BackupError::Clock { .. }
            | BackupError::Io { .. }
            | BackupError::Stopped) => {
                Self { code: other.code(), reason: chain(&other), exit: Exit::Environment }
            }
        }
    }
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    match (&args.command, &args.at) {
        (Some(Command::Init(at)), _) => init(setting, at, output),
        (Some(Command::List(at)), _) => list(at, output),
        (Some(Command::Check(at)), _) => check_all(setting, at, output),
        (Some(Command::Prune { at, clock }), _) => prune(setting, at, *clock, output),
        (None, Some(at)) => make(setting, at, args, output),
        (None, None) => {
            Err(Failure::usage("say where the backup is, and where its key: `waag backup DIR --key FILE`"))
        }
    }
}

fn init(setting: &Setting, at: &At, output: &mut Output) -> Result<Exit, Failure> {
    setting.must_be_outside(&at.repository)?;
    setting.must_be_outside(&at.key)?;
    let id = backups::init(&at.repository, &at.key)?;
    let answer = InitJson {
        repository: id.to_string(),
        folder: at.repository.display().to_string(),
        key: at.key.display().to_string(),
    };
    output.answer(&answer, || {
        format!(
            "Made the backup repository {}\n  folder  {}\n  key     {}\n\n\
             KEEP THE KEY ELSEWHERE, in two places: without it this backup is lost.\n\
             Whoever has both has every key of the tenant.\n",
            answer.repository, answer.folder, answer.key
        )
    })?;
    Ok(Exit::Done)
}

fn make(setting: &Setting, at: &At, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let asked = Asked {
        place: setting.place()?,
        options: setting.options()?,
        repository: at.repository.clone(),
        key: at.key.clone(),
        actor: setting.actor()?,
        key_days: args.key_days,
        clock_is_right: args.clock.clock_is_right,
    };
    let bar = progress(Some(u64::MAX), "bytes");
    let shown = bar.clone();
    let made = backups::run(&asked, &move |done, all| {
        shown.set_length(all);
        shown.set_position(done);
    })?;
    bar.finish_and_clear();
    let Made { run, entries, frames, objects, bytes, ms, removed, position } = made;
    let per_s = |count: u64| count.saturating_mul(1_000) / ms.max(1);
    let manifest = &run.manifest;
    let answer = MadeJson {
        run: manifest.sequence,
        size: manifest.guard.size,
        root: manifest.guard.root.to_string(),
        entries,
        frames,
        objects,
        pieces: manifest.pieces.len(),
        bytes,
        ms,
        entries_per_s: per_s(entries),
        bytes_per_s: per_s(bytes),
        removed,
        keys_expire: manifest.expire.to_string(),
        position,
    };
    output.answer(&answer, || {
        format!(
            "Backup {}: {} new entries, {} in all, root {}\n  {} written and read back in {}.{:03} s{}\n  \
             keys in it expire at {}\n",
            answer.run,
            answer.entries,
            answer.size,
            answer.root,
            megabytes(answer.bytes),
            answer.ms / 1_000,
            answer.ms % 1_000,
            pace(answer.ms, answer.entries_per_s, answer.bytes_per_s),
            answer.keys_expire
        )
    })?;
    Ok(Exit::Done)
}

/// Bytes as people read them.
pub(super) fn megabytes(bytes: u64) -> String {
    let unit = |one: u64| (bytes / one, bytes / (one / 10) % 10);
    let ((whole, tenth), name) =
        if bytes < 1_000_000 { (unit(1_000), "kB") } else { (unit(1_000_000), "MB") };
    format!("{whole}.{tenth} {name}")
}

/// How fast something was, where it took long enough for that to mean anything.
pub(super) fn pace(ms: u64, entries_per_s: u64, bytes_per_s: u64) -> String {
    if ms < PACE_MS_MIN {
        return String::new();
    }
    format!(": {entries_per_s} entries/s, {}/s", megabytes(bytes_per_s))
}

fn list(at: &At, output: &mut Output) -> Result<Exit, Failure> {
    let survey = backups::open(&at.repository, &at.key)?.survey().map_err(BackupError::from)?;
    let runs: Vec<Run> = survey.runs.into_iter().chain(survey.behind).collect();
    let now = SystemClock::new().now();
    let mut in_all = 0_u64;
    for run in &runs {
        let manifest = &run.manifest;
        let bytes = check::bytes_of(run);
        in_all = in_all.saturating_add(bytes);
        let has_entries = manifest.guard.size > 0;
        let json = RunJson {
            run: manifest.sequence,
            made: manifest.finished.to_string(),
            size: manifest.guard.size,
            newest_entry: has_entries.then(|| manifest.committed.to_string()),
            objects: manifest.of(Kind::Objects).map(|piece| piece.items).sum(),
            bytes,
            bytes_in_all: in_all,
            keys_taken: manifest.taken.to_string(),
            keys_expire: manifest.expire.to_string(),
            keys_expired: now >= manifest.expire,
            ledger: manifest.ledger.to_string(),
            tenant: manifest.tenant.clone(),
        };
        output.answer(&json, || {
            let expired = if json.keys_expired { "keys expired" } else { "keys until" };
            format!(
                "{:>6}  {}  {:>12} entries  {:>12}  {expired} {}\n",
                json.run,
                json.made,
                json.size,
                megabytes(json.bytes),
                json.keys_expire
            )
        })?;
    }
    for (name, error) in &survey.faults {
        tell(&format!("error {}: {name}: {error}", error.code()));
    }
    warn_of_expiry(&runs, now);
    Ok(if survey.faults.is_empty() { Exit::Done } else { Exit::Refused })
}

/// Says loudly what happens where no further backup is made.
fn warn_of_expiry(runs: &[Run], now: UtcNanos) {
    let Some(newest) = runs.last().map(|run| &run.manifest) else { return };
    if now >= newest.expire {
        tell(&format!(
            "WARNING: the newest keys have expired at {}: nothing sealed can be restored from here; make a backup now",
            newest.expire
        ));
    } else if expires_soon(newest, now) {
        tell(&format!(
            "WARNING: the newest keys expire at {}; without a further backup nothing sealed can be restored from then on",
            newest.expire
        ));
    }
}

fn check_all(setting: &Setting, at: &At, output: &mut Output) -> Result<Exit, Failure> {
    let repository = backups::open(&at.repository, &at.key)?;
    let bar = progress(Some(u64::MAX), "bytes");
    let shown = bar.clone();
    let now = SystemClock::new().now();
    let (mut checked, runs) = check::check(&repository, now, &move |done, all| {
        shown.set_length(all);
        shown.set_position(done);
    })?;
    bar.finish_and_clear();
    // Nothing is wrong with it, and nothing can be restored from it either.
    if runs.is_empty() && checked.faults.is_empty() {
        let none = BackupError::from(ArchiveError::KeysExpired { at: None });
        let (name, reason) = (REPOSITORY.to_owned(), none.to_string());
        checked.faults.push(check::Fault { name, code: none.code(), reason });
    }
    let mut missing = missing_runs(setting, &repository, &runs)?;
    // One that is there and cannot be read is named already.
    missing.retain(|run| !checked.faults.iter().any(|fault| fault.name == format!("{RUNS}{run:020}")));
    let answer = CheckJson {
        ok: checked.faults.is_empty() && missing.is_empty() && checked.runs > 0,
        runs: checked.runs,
        entries: checked.entries,
        bytes: checked.bytes,
        expired: checked.expired,
        unnamed: checked.unnamed,
        missing_runs: &missing,
        faults: checked
            .faults
            .iter()
            .map(|fault| FaultJson { object: &fault.name, code: fault.code, reason: &fault.reason })
            .collect(),
    };
    output.answer(&answer, || {
        let mut text = String::new();
        for fault in &answer.faults {
            text.push_str(&format!("{}: {}: {}\n", fault.code, fault.object, fault.reason));
        }
        for run in answer.missing_runs {
            text.push_str(&format!("run {run} was made, says the ledger, and is not here\n"));
        }
        let verdict = if answer.ok { "checked" } else { "NOT whole" };
        text.push_str(&format!(
            "{verdict}: {} backups, {} entries, {}\n",
            answer.runs,
            answer.entries,
            megabytes(answer.bytes)
        ));
        text
    })?;
    warn_of_expiry(&runs, now);
    Ok(if answer.ok { Exit::Done } else { Exit::Refused })
}

/// What the store's own records tell, where there is a store of this ledger.
fn missing_runs(
    setting: &Setting,
    repository: &waag_archive::repository::Repository,
    runs: &[Run],
) -> Result<Vec<u64>, Failure> {
    let place = setting.place()?;
    if !is_folder(&place.data) {
        return Ok(Vec::new());
    }
    match open_reader(&place, &setting.options()?) {
        Ok(store) => Ok(check::missing_runs(repository, runs, &store)?),
        Err(error) => {
            let error: StoreError = error;
            tell(&format!("note: {}: {error}; the store was not asked which backups it made", error.code()));
            Ok(Vec::new())
        }
    }
}

fn is_folder(path: &Path) -> bool {
    path.is_dir()
}

fn prune(setting: &Setting, at: &At, clock: ClockIsRight, output: &mut Output) -> Result<Exit, Failure> {
    let place = setting.place()?;
    // Where there is no store, the repository's own runs say how far the clock may be.
    let store = if is_folder(&place.data) { open_reader(&place, &setting.options()?).ok() } else { None };
    let clock_is_right = clock.clock_is_right;
    let removed =
        backups::prune(&at.repository, &at.key, &SystemClock::new(), store.as_ref(), clock_is_right)?;
    let answer = PruneJson { removed };
    output.answer(&answer, || format!("{} objects removed\n", answer.removed.len()))?;
    Ok(Exit::Done)
}
