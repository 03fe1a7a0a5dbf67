//! Backups and drills on a schedule: one at a time, giving way to everything else, and told where they fail.
//!
//! Place: beside a running node, on a thread of its own that does what `waag backup` and `waag drill` do; it asks the
//! node's own desk to record them, so it begins when the doors are open.
//! What is due follows from the records in the state, so that a restart neither forgets nor repeats anything.
//!
//! A run under way when the node ends is not waited for: a backup is whole or not listed, and what a drill has written is
//! removed. Not here: what a backup and a drill are (`store::backups`, `store::drills`).
//!
//! - `UPKEEP-1`: a backup is due its interval after the last whole one began, a drill after the last one began; there is
//!   no jitter and no drift.
//! - `UPKEEP-2`: what failed is tried again after [`RETRY`], or after its interval where that is shorter.
//! - `UPKEEP-3`: a repository that cannot be opened is told when the node starts, and not when the first job is due; the node
//!   serves all the same, since taking events must not hang on the place of the backups.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use waag_archive::contract::StoreFault;
use waag_archive::error::ArchiveError;
use waag_archive::key::RepositoryId;
use waag_archive::upkeep::BackupRecord;
use waag_keys::keyring::Keyring;
use waag_keys::side::Side;
use waag_model::ids::Actor;
use waag_model::time::UtcNanos;
use waag_stdx::clock::Clock;
use waag_stdx::figures::{Family, Figures, counter, gauge, seconds};
use waag_stdx::threads::give_way;

use super::Running;
use crate::store::backups::{self, BackupError, keyfile};
use crate::store::drills::{self, Asked, DrillError, DrillRecord, drill, drills};
use crate::store::error::StoreError;
use crate::store::options::Options;
use crate::store::place::Place;

/// How long after a failure it is tried again.
pub const RETRY: Duration = Duration::from_secs(300);
/// Shortest interval that can be asked for.
pub const EVERY_MIN: Duration = Duration::from_secs(1);
/// How long the clock and the records are not looked at, at most: others make backups and drills too. As long is waited
/// where somebody else makes one just now.
const LOOK: Duration = Duration::from_secs(30);
/// How long a run under way is waited for when the node ends.
const END: Duration = Duration::from_secs(5);
/// Drills of which the newest good one is looked for.
const DRILLS_LOOKED_AT: usize = 1_000;

/// What is done when.
#[derive(Clone, Debug)]
pub struct UpkeepOptions {
    /// The repository's folder.
    pub repository: PathBuf,
    /// The key's file.
    pub key: PathBuf,
    /// Days until key material in a backup expires.
    pub key_days: u32,
    /// How often a backup is made; never where there is none.
    pub backup_every: Option<Duration>,
    /// How often a drill is made; never where there is none.
    pub drill_every: Option<Duration>,
    /// Where drills restore to; beside the data folder where none is named.
    pub scratch: Option<PathBuf>,
}

/// What is done on schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// A backup.
    Backup,
    /// A drill.
    Drill,
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Backup => "backup",
            Self::Drill => "drill",
        })
    }
}

/// A job that failed and was not done since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpkeepFailure {
    /// Which.
    pub job: Job,
    /// When.
    pub at: UtcNanos,
    /// The stable code.
    pub code: String,
    /// Why.
    pub reason: String,
}

/// How the schedule stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpkeepStatus {
    /// How often a backup is made.
    pub backup_every: Option<Duration>,
    /// How often a drill is made.
    pub drill_every: Option<Duration>,
    /// When the newest whole backup began.
    pub backed_up: Option<UtcNanos>,
    /// When the newest good drill began.
    pub drilled: Option<UtcNanos>,
    /// Until when the newest backup has key material.
    pub keys_expire: Option<UtcNanos>,
    /// When the next backup is due.
    pub backup_due: Option<UtcNanos>,
    /// When the next drill is due.
    pub drill_due: Option<UtcNanos>,
    /// What is under way.
    pub under_way: Option<Job>,
    /// The last failure of a backup, where none was made since.
    pub backup_failure: Option<UpkeepFailure>,
    /// The last failure of a drill, where none succeeded since.
    pub drill_failure: Option<UpkeepFailure>,
    /// Failures since the start of the process.
    pub failures: u64,
}

struct Shared {
    status: Mutex<UpkeepStatus>,
    ending: Mutex<bool>,
    wake: Condvar,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The schedule of a node. Dropping it ends it.
pub struct Upkeeping {
    shared: Arc<Shared>,
    thread: Mutex<Option<(JoinHandle<()>, Asked)>>,
}

impl fmt::Debug for Upkeeping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upkeeping").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Default for Upkeeping {
    fn default() -> Self {
        let shared = Shared { status: Mutex::default(), ending: Mutex::default(), wake: Condvar::new() };
        Self { shared: Arc::new(shared), thread: Mutex::default() }
    }
}

impl Upkeeping {
    /// Begins a schedule; the node's desk must be open, or will be soon. A second call changes nothing.
    ///
    /// # Errors
    /// Where no thread can be had.
    pub fn begin(
        &self,
        running: &Running,
        store: &Options,
        options: &UpkeepOptions,
        actor: &Actor,
    ) -> std::io::Result<()> {
        let mut thread = held(&self.thread);
        if thread.is_some() {
            return Ok(());
        }
        {
            let mut status = held(&self.shared.status);
            status.backup_every = options.backup_every;
            status.drill_every = options.drill_every;
        }
        let work = Work {
            shared: Arc::clone(&self.shared),
            keyring: Arc::clone(&running.store().keyring),
            clock: Arc::clone(&running.store().clock),
            place: running.store().place.clone(),
            store: store.clone(),
            options: options.clone(),
            actor: actor.clone(),
        };
        let asked = work.drill();
        let started = std::thread::Builder::new().name("waag-upkeep".to_owned()).spawn(move || {
            give_way();
            work.run();
        })?;
        *thread = Some((started, asked));
        Ok(())
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> UpkeepStatus {
        held(&self.shared.status).clone()
    }
}

impl Drop for Upkeeping {
    fn drop(&mut self) {
        let Some((thread, asked)) = held(&self.thread).take() else { return };
        *held(&self.shared.ending) = true;
        self.shared.wake.notify_all();
        let under_way = |status: &mut UpkeepStatus| status.under_way.is_some();
        let status = held(&self.shared.status);
        let waited = self.shared.wake.wait_timeout_while(status, END, under_way);
        let (status, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let left = status.under_way;
        drop(status);
        match left {
            None => drop(thread.join()),
            // A backup that is broken off is none. What a drill has written holds keys, and goes now.
            Some(Job::Drill) => drills::sweep(&asked),
            Some(Job::Backup) => {}
        }
    }
}

/// When something is due that was last begun, and last failed, at these times (`UPKEEP-1`, `UPKEEP-2`).
fn due(every: Duration, last: Option<UtcNanos>, failed: Option<UtcNanos>, now: UtcNanos) -> UtcNanos {
    let after =
        |at: UtcNanos, wait: Duration| at.later_by(i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX));
    // A clock that was set back does not put off what is due.
    let of = |at: UtcNanos, wait| after(UtcNanos(at.0.min(now.0)), wait);
    let due = last.map_or(now, |last| of(last, every));
    failed.map_or(due, |failed| UtcNanos(due.0.max(of(failed, every.min(RETRY)).0)))
}

/// The stable code, and the reason in words.
type Why = (String, String);

/// Why a job was not done.
enum NotDone {
    /// Somebody else is at it just now.
    Busy,
    /// It failed.
    Failed(Why),
}

impl NotDone {
    fn failed(code: &str, reason: &dyn fmt::Display) -> Self {
        Self::Failed((code.to_owned(), reason.to_string()))
    }
}

/// What the records say.
#[derive(Default)]
struct Known {
    backup: Option<BackupRecord>,
    /// The newest drill.
    drill: Option<DrillRecord>,
    /// When the newest good one began.
    good: Option<UtcNanos>,
}

struct Work {
    shared: Arc<Shared>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    place: Place,
    store: Options,
    options: UpkeepOptions,
    actor: Actor,
}

impl Work {
    fn drill(&self) -> Asked {
        Asked {
            place: self.place.clone(),
            options: self.store.clone(),
            repository: self.options.repository.clone(),
            key: self.options.key.clone(),
            scratch: self.options.scratch.clone(),
            actor: self.actor.clone(),
        }
    }

    fn run(&self) {
        // What a drill has left that was killed holds keys.
        drills::sweep(&self.drill());
        let mut unusable = self.look_at_repository(None);
        loop {
            let wait = match self.known() {
                known if unusable.is_some() => {
                    self.next(&known.unwrap_or_default());
                    LOOK
                }
                Ok(known) => self.step(&known),
                Err((code, reason)) => {
                    // Without the key's file it is not known whose records to look for, and nothing is due.
                    self.next(&Known::default());
                    self.failed(Job::Backup, code, reason);
                    let every = [self.options.backup_every, self.options.drill_every];
                    every.into_iter().flatten().fold(RETRY, Duration::min)
                }
            };
            let ending = held(&self.shared.ending);
            let waited = self.shared.wake.wait_timeout_while(ending, wait, |ending| !*ending);
            if *waited.unwrap_or_else(PoisonError::into_inner).0 {
                return;
            }
            unusable = unusable.and_then(|why| self.look_at_repository(Some(why)));
        }
    }

    /// Why the repository cannot be opened with its key; told where it was not told before (`UPKEEP-3`).
    fn look_at_repository(&self, told: Option<Why>) -> Option<Why> {
        let opened = backups::open(&self.options.repository, &self.options.key);
        let why = opened.err().map(|error| (error.code().to_owned(), error.to_string()));
        match &why {
            Some(why) if told.as_ref() != Some(why) => self.unusable(why),
            None if told.is_some() => {
                let mut status = held(&self.shared.status);
                (status.backup_failure, status.drill_failure) = (None, None);
            }
            Some(_) | None => {}
        }
        why
    }

    /// Says that nothing of the schedule can be done.
    fn unusable(&self, (code, reason): &Why) {
        crate::cli::tell(&format!(
            "warning: {code}: the backup repository of the schedule cannot be used: {reason}; the node serves without backups"
        ));
        let at = self.clock.now();
        let mut status = held(&self.shared.status);
        status.failures = status.failures.saturating_add(1);
        let failure = |job| Some(UpkeepFailure { job, at, code: code.clone(), reason: reason.clone() });
        status.backup_failure = self.options.backup_every.and_then(|_| failure(Job::Backup));
        status.drill_failure = self.options.drill_every.and_then(|_| failure(Job::Drill));
    }

    /// Does what is due; how long there is nothing to do then.
    fn step(&self, known: &Known) -> Duration {
        let next = self.next(known);
        let now = self.clock.now();
        match next {
            Some((job, at)) if at <= now => {
                let every = match job {
                    Job::Backup => self.options.backup_every,
                    Job::Drill => self.options.drill_every,
                };
                if self.carry_out(job) { Duration::ZERO } else { every.unwrap_or(LOOK).min(LOOK) }
            }
            Some((_, at)) => {
                let nanos = u64::try_from(at.0.saturating_sub(now.0)).unwrap_or_default();
                LOOK.min(Duration::from_nanos(nanos))
            }
            None => LOOK,
        }
    }

    /// The records of this repository's backups and of drills, as the state has them now.
    fn known(&self) -> Result<Known, Why> {
        let state = |error: StoreError| (error.code().to_owned(), error.to_string());
        let repository = match keyfile::read(&self.options.key) {
            Ok(key) => key.repository,
            Err(error) => return Err((error.code().to_owned(), error.to_string())),
        };
        let all = drills(&self.keyring, DRILLS_LOOKED_AT).map_err(state)?;
        let good = all.iter().rev().find(|drill| drill.ok).map(|drill| drill.at);
        let backup = newest_backup(&self.keyring, repository).map_err(state)?;
        Ok(Known { backup, drill: all.into_iter().next_back(), good })
    }

    /// What is due next, and when; the two are told in the status.
    fn next(&self, known: &Known) -> Option<(Job, UtcNanos)> {
        let now = self.clock.now();
        let mut status = held(&self.shared.status);
        status.backed_up = known.backup.map(|backup| backup.taken);
        status.keys_expire = known.backup.map(|backup| backup.expire);
        status.drilled = known.good;
        let failed = |failure: &Option<UpkeepFailure>| failure.as_ref().map(|failure| failure.at);
        let (backup_failed, drill_failed) = (failed(&status.backup_failure), failed(&status.drill_failure));
        status.backup_due =
            self.options.backup_every.map(|every| due(every, status.backed_up, backup_failed, now));
        // A drill that failed was made, and counts; it is tried again like everything that failed.
        let last = known.drill.as_ref().filter(|drill| drill.ok).map(|drill| drill.at);
        let drill_failed =
            drill_failed.max(known.drill.as_ref().filter(|drill| !drill.ok).map(|drill| drill.at));
        let may_drill = status.backed_up.is_some() || self.options.backup_every.is_none();
        let every = self.options.drill_every.filter(|_| may_drill);
        status.drill_due = every.map(|every| due(every, last, drill_failed, now));
        let jobs = [(Job::Backup, status.backup_due), (Job::Drill, status.drill_due)];
        let jobs = jobs.into_iter().filter_map(|(job, at)| Some((job, at?)));
        jobs.min_by_key(|(_, at)| *at)
    }

    /// Does a job; whether it was done or failed. Where somebody else is at it just now, it was neither, and what is known
    /// of it stays.
    fn carry_out(&self, job: Job) -> bool {
        held(&self.shared.status).under_way = Some(job);
        let outcome = match job {
            Job::Backup => self.back_up(),
            Job::Drill => self.make_drill(),
        };
        let is_busy = matches!(outcome, Err(NotDone::Busy));
        {
            let mut status = held(&self.shared.status);
            status.under_way = None;
            match job {
                Job::Backup if !is_busy => status.backup_failure = None,
                Job::Drill if !is_busy => status.drill_failure = None,
                Job::Backup | Job::Drill => {}
            }
        }
        if let Err(NotDone::Failed((code, reason))) = outcome {
            self.failed(job, code, reason);
        }
        self.shared.wake.notify_all();
        !is_busy
    }

    fn failed(&self, job: Job, code: String, reason: String) {
        let at = self.clock.now();
        let failure = UpkeepFailure { job, at, code, reason };
        crate::cli::tell(&format!("warning: {}: the {job} failed: {}", failure.code, failure.reason));
        let mut status = held(&self.shared.status);
        status.failures = status.failures.saturating_add(1);
        match job {
            Job::Backup => status.backup_failure = Some(failure),
            Job::Drill => status.drill_failure = Some(failure),
        }
    }

    fn back_up(&self) -> Result<(), NotDone> {
        let asked = backups::Asked {
            place: self.place.clone(),
            options: self.store.clone(),
            repository: self.options.repository.clone(),
            key: self.options.key.clone(),
            actor: self.actor.clone(),
            key_days: self.options.key_days,
            clock_is_right: false,
        };
        backups::run(&asked, &|_, _| {}).map(drop).map_err(|error| {
            let is_busy = matches!(error, BackupError::Archive(ArchiveError::Store(StoreFault::Locked)));
            if is_busy { NotDone::Busy } else { NotDone::failed(error.code(), &error) }
        })
    }

    fn make_drill(&self) -> Result<(), NotDone> {
        let drilled = drill(&self.drill(), &|_, _| {}).map_err(|error| {
            let is_busy = matches!(error, DrillError::UnderWay(_));
            if is_busy { NotDone::Busy } else { NotDone::failed(error.code(), &error) }
        })?;
        let Some(why) = drilled.record.failed else { return Ok(()) };
        // An outcome begins with the code of what failed.
        let (code, reason) = why.split_once(": ").unwrap_or((drills::DRILL_CODE, &why));
        Err(NotDone::failed(code, &reason))
    }
}

/// The newest whole backup in a repository.
fn newest_backup(keyring: &Keyring, repository: RepositoryId) -> Result<Option<BackupRecord>, StoreError> {
    let mut newest = None;
    keyring.each_side_record(Side::Upkeep, &BackupRecord::prefix(repository), |record| {
        let whole = BackupRecord::decode(&record.value).filter(|backup| backup.position.is_some());
        newest = whole.or_else(|| newest.take());
        Ok(())
    })?;
    Ok(newest)
}

/// The figures of a node's schedule; none where it has none.
#[derive(Debug)]
pub struct UpkeepFigures(pub Arc<Running>);

impl Figures for UpkeepFigures {
    fn families(&self) -> Vec<Family> {
        let status = self.0.upkeeping().status();
        let now = self.0.store().clock.now();
        let age = |at: UtcNanos| now.0.saturating_sub(at.0).max(0) as f64 / 1e9;
        let mut families = Vec::new();
        if status.backup_every.is_some() {
            families.push(gauge(
                "waag_backup_failing",
                "1 where the last backup of the schedule failed.",
                status.backup_failure.is_some().into(),
            ));
        }
        if status.drill_every.is_some() {
            families.push(gauge(
                "waag_drill_failing",
                "1 where the last drill of the schedule failed.",
                status.drill_failure.is_some().into(),
            ));
        }
        if status.backup_every.is_none() && status.drill_every.is_none() {
            return families;
        }
        if let Some(at) = status.backed_up {
            let help = "Time since the newest whole backup began; not told where there is none.";
            families.push(seconds("waag_backup_age_seconds", help, age(at)));
        }
        if let Some(at) = status.drilled {
            let help = "Time since the newest good drill began; not told where there is none.";
            families.push(seconds("waag_drill_age_seconds", help, age(at)));
        }
        if let Some(at) = status.keys_expire {
            let left = at.0.saturating_sub(now.0).max(0) as f64 / 1e9;
            let help = "How long the newest backup still has key material.";
            families.push(seconds("waag_backup_keys_left_seconds", help, left));
        }
        let help = "Backups and drills of the schedule that failed.";
        families.push(counter("waag_upkeep_failures", help, status.failures));
        families
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_times_follow_the_records_and_failures_wait() {
        let hour = Duration::from_secs(3_600);
        let at = |s: i64| UtcNanos(s * 1_000_000_000);
        assert_eq!(due(hour, None, None, at(10)), at(10), "what was never done is due now");
        assert_eq!(due(hour, Some(at(100)), None, at(5_000)), at(3_700), "no drift: from when it began");
        assert_eq!(due(hour, None, Some(at(5_000)), at(5_001)), at(5_300), "a failure is tried again later");
        let second = Duration::from_secs(1);
        assert_eq!(due(second, None, Some(at(50)), at(50)), at(51), "or sooner where the interval is short");
        assert_eq!(due(hour, Some(at(100)), Some(at(200)), at(300)), at(3_700), "no earlier than it is due");
        assert_eq!(due(hour, Some(at(9_000)), None, at(100)), at(3_700), "a clock set back puts nothing off");
    }
}
