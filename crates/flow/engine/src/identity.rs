//! The identity index: from an event's identity (a keyed tag of `source` and `id`) to its first entry's position.
//!
//! Place in the way of an event: asked before sealing, told after the frame is durable, by the ledger's one writer.
//! Derived from the log and never more than it: what is missing or damaged is thrown away and replayed from the log.
//! Not here: making tags (`evidence/entry`), comparing a retry's content (the engine), replaying the log (the engine).
//!
//! How: the newest entries in a table in memory; a full table is frozen and written as a sorted run; four neighbouring
//! runs of one size become one of the next, up to a largest size, so that a merge never holds much more memory than the
//! index itself. Each run keeps a filter in memory (one cache line says "certainly not here") and the first tag of each
//! of its blocks, so that a tag that is there costs one read of 4 KiB, and one that is not mostly none.
//! Writing, merging and forgetting are [`Job`]s that any thread may run while the index answers.
//!
//! Invariants:
//! - `IDENT-1`: an entry inserted at or after [`IdentityIndex::oldest_covered`] is found, with the newest position of
//!   its tag; nothing that was not inserted is ever found.
//! - `IDENT-2`: every entry below [`IdentityIndex::covered`] is durable in the runs, or forgotten; after a crash at any
//!   moment, opening and replaying the log from there gives the same answers.
//! - `IDENT-3`: at most `entries_max` entries, and memory of at most [`IdentityLimits::memory_bytes_max`].
//! - `IDENT-4`: a changed byte of any file gives [`IdentityError::Damaged`] or is not used; never another answer.
//! - `IDENT-5`: no clock is read; all times are commit times of frames.

mod block;
mod bytes;
mod error;
mod filter;
mod job;
mod limits;
mod manifest;
mod merge;
mod run;
mod run_writer;
mod table;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_crash;
#[cfg(test)]
mod tests_damage;
#[cfg(test)]
mod tests_support;

pub use error::IdentityError;
pub use job::{Done, Job};
pub use limits::{
    IDENTITY_ENTRIES_MAX, IDENTITY_WINDOW_NS, IdentityLimits, LimitsError, MERGE_FAN_IN, RUNS_MAX,
    TABLE_ENTRIES_MAX,
};
pub use table::Span;

use std::cell::Cell;
use std::sync::Arc;

use waag_model::ids::{LedgerId, Position, Tag};
use waag_model::time::UtcNanos;
use waag_stdx::files::Files;

use job::{Outcome, Work};
use manifest::Layout;
use merge::Merge;
use run::Run;
use table::Table;

/// Where an index keeps its files, and whose it is.
#[derive(Debug)]
struct Store {
    files: Arc<dyn Files>,
    folder: String,
    ledger: LedgerId,
    /// Runs of this level are the largest.
    level_max: u32,
}

impl Store {
    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }
}

/// An index that has just been opened.
#[derive(Debug)]
pub struct Opened {
    /// The index; to be given the log's entries from [`IdentityIndex::covered`] on before it is asked.
    pub index: IdentityIndex,
    /// Why it starts empty, where it does.
    pub empty: Option<Empty>,
}

/// Why an index starts empty.
#[derive(Debug)]
pub enum Empty {
    /// There was none.
    Missing,
    /// It could not be used: damaged, of another ledger, or unreadable.
    Unusable(IdentityError),
    /// It knew entries that the log does not have.
    AheadOfLog,
}

/// What an index holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentityStats {
    /// Entries, in tables and runs.
    pub entries: u64,
    /// Runs.
    pub runs: usize,
    /// Memory of tables, filters and block indexes, in bytes.
    pub memory_bytes: usize,
    /// From the oldest covered entry's commit time to the newest one's, in nanoseconds.
    pub window_ns: i64,
    /// Entries dropped because of `entries_max` while still in the window.
    pub dropped_in_window: u64,
    /// How often a run's filter was asked.
    pub filter_probes: u64,
    /// How often a filter let through a tag that its run did not have.
    pub false_positives: u64,
}

/// The index. One writer asks and inserts; its jobs run elsewhere.
#[derive(Debug)]
pub struct IdentityIndex {
    store: Arc<Store>,
    limits: IdentityLimits,
    table: Table,
    frozen: Option<Arc<Table>>,
    layout: Layout,
    merging: Option<Merge>,
    outstanding: bool,
    next_run: u64,
    next_position: Position,
    newest: UtcNanos,
    dropped_in_window: u64,
    probes: Cell<u64>,
    false_positives: Cell<u64>,
}

impl IdentityIndex {
    /// Opens the index in `folder`, or starts an empty one where it is missing or cannot be used.
    ///
    /// `log_end` is the position after the log's last entry: an index that covers more is not this log's.
    ///
    /// # Errors
    /// [`IdentityError::Io`] where files that are of no use cannot be removed.
    pub fn open(
        files: Arc<dyn Files>,
        folder: &str,
        ledger: LedgerId,
        log_end: Position,
        limits: IdentityLimits,
    ) -> Result<Opened, IdentityError> {
        let store = Arc::new(Store { files, folder: folder.to_owned(), ledger, level_max: limits.level_max });
        let (kept, empty) = match manifest::read(&store) {
            Ok(Some((layout, _))) if layout.covered > log_end => (None, Some(Empty::AheadOfLog)),
            Ok(Some(kept)) => (Some(kept), None),
            Ok(None) => (None, Some(Empty::Missing)),
            Err(fault) => (None, Some(Empty::Unusable(fault))),
        };
        let (layout, next_run) = match kept {
            Some((layout, next_run)) => {
                let numbers: Vec<u64> = layout.runs.iter().map(|run| run.header.number).collect();
                manifest::remove_others(&store, &numbers)?;
                (layout, next_run)
            }
            None => {
                manifest::remove_all(&store)?;
                (Layout::default(), 0)
            }
        };
        Ok(Opened { index: Self::of(store, limits, layout, next_run), empty })
    }

    fn of(store: Arc<Store>, limits: IdentityLimits, layout: Layout, next_run: u64) -> Self {
        let newest = layout.runs.iter().map(|run| run.header.span.last_time).max();
        Self {
            table: Table::with_room(limits.table_entries_max),
            frozen: None,
            merging: None,
            outstanding: false,
            next_run,
            next_position: layout.covered,
            newest: newest.unwrap_or(UtcNanos(i64::MIN)),
            dropped_in_window: 0,
            probes: Cell::new(0),
            false_positives: Cell::new(0),
            store,
            limits,
            layout,
        }
    }

    /// Throws everything away, files too; the log is then to be replayed from the window's start.
    ///
    /// To be called after [`IdentityError::Damaged`], with no job running; a job's outcome of before is not installed.
    ///
    /// # Errors
    /// [`IdentityError::Io`] where files cannot be removed; the index is then as it was.
    pub fn reset(&mut self) -> Result<(), IdentityError> {
        manifest::remove_all(&self.store)?;
        // Numbers are not used again: a handle may still be open to a file of the old number.
        *self = Self::of(self.store.clone(), self.limits.clone(), Layout::default(), self.next_run);
        Ok(())
    }

    /// Every entry below this position is in the runs, or forgotten; the log is to be replayed from here.
    #[must_use]
    pub fn covered(&self) -> Position {
        self.layout.covered
    }

    /// From where on the index knows every entry: position, and a commit time that is not later than that entry's.
    ///
    /// `None` where it is empty. It moves forward when the window or `entries_max` forgets entries.
    #[must_use]
    pub fn oldest_covered(&self) -> Option<(Position, UtcNanos)> {
        let run = self.layout.runs.first().map(|run| run.header.span);
        let frozen = || self.frozen.as_ref().and_then(|table| table.span());
        let oldest = run.or_else(frozen).or_else(|| self.table.span())?;
        Some((oldest.first_position, oldest.first_time))
    }

    /// Reads every run to its last block; for verification, beside a writer too.
    ///
    /// # Errors
    /// [`IdentityError::Io`] where a run cannot be read, [`IdentityError::Damaged`] for the first that is not what was
    /// written.
    pub fn check(&self) -> Result<(), IdentityError> {
        self.layout.runs.iter().try_for_each(|run| run.check())
    }

    /// The position of the entry with this identity, the newest where there are several; `None` where there is none.
    ///
    /// # Errors
    /// [`IdentityError::Io`] where a run cannot be read, [`IdentityError::Damaged`] where it is not what was written;
    /// the answer is then unknown, and the index is to be [reset](Self::reset) and rebuilt.
    pub fn lookup(&self, tag: &Tag) -> Result<Option<Position>, IdentityError> {
        if let Some(position) = self.table.get(tag) {
            return Ok(Some(position));
        }
        if let Some(position) = self.frozen.as_ref().and_then(|table| table.get(tag)) {
            return Ok(Some(position));
        }
        self.probes.set(self.probes.get().saturating_add(self.layout.runs.len() as u64));
        for run in self.layout.runs.iter().rev().filter(|run| run.filter.may_have(tag)) {
            if let Some(position) = run.find(tag)? {
                return Ok(Some(position));
            }
            self.false_positives.set(self.false_positives.get().saturating_add(1));
        }
        Ok(None)
    }

    /// Adds an entry; positions rise. An entry that the index has been given already, by its position, is passed over,
    /// so a replay may begin before [`Self::covered`].
    ///
    /// # Errors
    /// [`IdentityError::Behind`] where there is no [room](Self::room); nothing has been added then.
    pub fn insert(
        &mut self,
        tag: Tag,
        position: Position,
        commit_time: UtcNanos,
    ) -> Result<(), IdentityError> {
        if position < self.next_position {
            return Ok(());
        }
        if self.table.len() >= self.limits.table_entries_max {
            self.freeze()?;
        }
        self.table.insert(tag, position, commit_time);
        self.next_position = after(position);
        self.newest = self.newest.max(commit_time);
        Ok(())
    }

    /// The position behind the last entry of the table that waits to be written as a run, where one waits.
    ///
    /// A run must not cover what may still be lost: its job is to be run when everything before this is durable.
    #[must_use]
    pub fn frozen_end(&self) -> Option<Position> {
        self.frozen.as_ref().and_then(|table| table.span()).map(|span| after(span.last_position))
    }

    /// How many entries can be inserted before a job must have been installed.
    #[must_use]
    pub fn room(&self) -> usize {
        let here = self.limits.table_entries_max.saturating_sub(self.table.len());
        if self.can_freeze() { here + self.limits.table_entries_max } else { here }
    }

    /// Most events of one batch for which there will be room once everything before it is written down.
    #[must_use]
    pub fn batch_entries_max(&self) -> usize {
        self.limits.batch_entries_max
    }

    fn can_freeze(&self) -> bool {
        self.frozen.is_none() && self.layout.runs.len() < RUNS_MAX
    }

    fn freeze(&mut self) -> Result<(), IdentityError> {
        if !self.can_freeze() {
            return Err(IdentityError::Behind);
        }
        let full = std::mem::replace(&mut self.table, Table::with_room(self.limits.table_entries_max));
        self.frozen = Some(Arc::new(full));
        Ok(())
    }

    /// The next piece of background work, where there is any and none is outstanding.
    ///
    /// Its outcome, good or bad, is to be given to [`Self::install`].
    pub fn next_job(&mut self) -> Option<Job> {
        if self.outstanding {
            return None;
        }
        let since = self.window_start();
        let horizon = self.layout.horizon(since);
        let must = self.over_the_bound();
        let touched = |merge: &Merge| {
            let going = self.layout.runs.iter().take(must);
            going
                .map(|run| run.header.number)
                .any(|n| merge.inputs.iter().any(|input| input.header.number == n))
        };
        // The bound holds whatever a merge costs: one of runs that must go is given up.
        if self.merging.as_ref().is_some_and(touched) {
            self.merging = None;
        }
        let merge = match &self.frozen {
            Some(_) => None,
            None if must > 0 => self.merging.take(),
            None => self.merging.take().or_else(|| self.start_merge(horizon)),
        };
        let merged = merge.as_ref().or(self.merging.as_ref());
        let inputs = merged.map(|merge| merge.inputs.as_slice()).unwrap_or_default();
        let forget = self.out_of_window(since, inputs).max(must);
        let being_written = merged.map(|merge| merge.number);
        let work = match (&self.frozen, merge) {
            (Some(table), _) => Work::Flush(table.clone(), self.take_number()),
            (None, Some(merge)) => Work::Merge(merge),
            (None, None) if forget > 0 => Work::Forget,
            (None, None) => return None,
        };
        self.outstanding = true;
        Some(Job {
            store: self.store.clone(),
            limits: self.limits.clone(),
            work,
            layout: self.layout.clone(),
            forget,
            next_run: self.next_run,
            being_written,
        })
    }

    /// Takes a job's outcome into use; of an error, the work stays to be done again.
    ///
    /// # Errors
    /// The one that is given; on [`IdentityError::Damaged`] the index is to be [reset](Self::reset).
    pub fn install(&mut self, outcome: Result<Done, IdentityError>) -> Result<(), IdentityError> {
        self.outstanding = false;
        match outcome?.0 {
            Outcome::Going(merge) => self.merging = Some(merge),
            Outcome::Layout { layout, flushed } => {
                self.count_dropped(&layout);
                self.layout = layout;
                if flushed {
                    self.frozen = None;
                }
            }
        }
        Ok(())
    }

    /// Runs jobs here until there are none: for recovery, and for an executor without threads.
    ///
    /// # Errors
    /// As [`Job::run`].
    pub fn maintain(&mut self) -> Result<(), IdentityError> {
        while let Some(job) = self.next_job() {
            self.install(job.run())?;
        }
        Ok(())
    }

    /// What the index holds.
    #[must_use]
    pub fn stats(&self) -> IdentityStats {
        let frozen = self.frozen.as_ref().map_or(0, |table| table.len());
        let tables = self.table.memory_bytes() + self.frozen.as_ref().map_or(0, |table| table.memory_bytes());
        let oldest = self.oldest_covered().map_or(self.newest, |(_, time)| time);
        IdentityStats {
            entries: self.layout.entries() + self.table.len() as u64 + frozen as u64,
            runs: self.layout.runs.len(),
            memory_bytes: tables + self.layout.runs.iter().map(|run| run.memory_bytes()).sum::<usize>(),
            window_ns: self.newest.0.saturating_sub(oldest.0),
            dropped_in_window: self.dropped_in_window,
            filter_probes: self.probes.get(),
            false_positives: self.false_positives.get(),
        }
    }

    fn take_number(&mut self) -> u64 {
        let number = self.next_run;
        self.next_run += 1;
        number
    }

    /// The newest neighbours of one level that are enough for a merge.
    fn start_merge(&mut self, horizon: Position) -> Option<Merge> {
        let mergeable = |runs: &[Arc<Run>]| {
            let level = runs.first().map(|run| run.header.level)?;
            let alike = runs.iter().all(|run| run.header.level == level);
            (alike && level < self.limits.level_max).then(|| runs.to_vec())
        };
        let inputs = self.layout.runs.windows(MERGE_FAN_IN).rev().find_map(mergeable)?;
        Some(Merge::new(inputs, self.take_number(), horizon))
    }

    fn window_start(&self) -> UtcNanos {
        UtcNanos(self.newest.0.saturating_sub(self.limits.window_ns))
    }

    /// How many of the oldest runs are wholly out of the window; those being merged stay until they are merged.
    fn out_of_window(&self, since: UtcNanos, merged: &[Arc<Run>]) -> usize {
        let held = |run: &Run| merged.iter().any(|input| input.header.number == run.header.number);
        let runs = self.layout.runs.iter();
        runs.take_while(|run| run.header.span.last_time < since && !held(run)).count()
    }

    /// How many of the oldest runs must go so that `entries_max` holds until the next flush is installed: by then one
    /// table is flushed, one frozen and one full.
    fn over_the_bound(&self) -> usize {
        let room = self.limits.entries_max.saturating_sub(3 * self.limits.table_entries_max as u64);
        let mut entries = self.layout.entries();
        let over = |run: &&Arc<Run>| {
            let over = entries > room;
            entries = entries.saturating_sub(run.header.entries);
            over
        };
        self.layout.runs.iter().take_while(over).count()
    }

    /// Counts the runs that a new layout has dropped though they reach into the window.
    fn count_dropped(&mut self, layout: &Layout) {
        let since = self.window_start();
        let from = layout.runs.first().map_or(layout.covered, |run| run.header.span.first_position);
        let dropped = self
            .layout
            .runs
            .iter()
            .map(|run| &run.header)
            .filter(|header| header.span.last_position < from && header.span.last_time >= since);
        self.dropped_in_window += dropped.map(|header| header.entries).sum::<u64>();
    }
}

/// The position after `position`.
fn after(position: Position) -> Position {
    Position(position.0.saturating_add(1))
}
