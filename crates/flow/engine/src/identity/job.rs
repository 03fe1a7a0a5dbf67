//! The index's background work: flushing a frozen table, a step of a merge, forgetting runs.
//!
//! A job owns what it needs and changes nothing the index reads: it may run on any thread while the index answers.
//! At most one job is outstanding, so the job itself writes the manifest and no two can disagree.
//!
//! What survives a crash: before the manifest is renamed, the old runs; after it, the new ones. Files that the manifest
//! does not name are removed when the index is opened.

use std::sync::Arc;

use super::error::IdentityError;
use super::manifest::{self, Layout, Mark};
use super::merge::{Merge, Progress};
use super::run_writer::RunWriter;
use super::table::Table;
use super::{IdentityLimits, Store};

/// One bounded piece of background work.
#[derive(Debug)]
#[must_use = "a job that is not run and installed leaves the index behind"]
pub struct Job {
    pub(super) store: Arc<Store>,
    pub(super) limits: IdentityLimits,
    pub(super) work: Work,
    /// The layout that the index has and keeps reading until the job is installed.
    pub(super) layout: Layout,
    /// How many of its oldest runs are forgotten.
    pub(super) forget: usize,
    pub(super) next_run: u64,
    /// The run that a waiting merge is writing.
    pub(super) being_written: Option<u64>,
}

/// What a job does.
#[derive(Debug)]
pub(super) enum Work {
    /// Writes the table as run `number`.
    Flush(Arc<Table>, u64),
    /// Takes a merge a step further.
    Merge(Merge),
    /// Only drops runs.
    Forget,
}

/// What a job has done, to be given to [`super::IdentityIndex::install`].
#[derive(Debug)]
#[must_use = "what a job has done counts only when it is installed"]
pub struct Done(pub(super) Outcome);

#[derive(Debug)]
pub(super) enum Outcome {
    /// A new layout, durable; `flushed` where the frozen table is in it.
    Layout { layout: Layout, flushed: bool },
    /// The merge goes on.
    Going(Merge),
}

impl Job {
    /// Does the work: reads, writes and syncs files, for at most about a second at the default limits.
    ///
    /// # Errors
    /// [`IdentityError`]; the index is then unchanged and the error is to be installed in the work's place.
    pub fn run(self) -> Result<Done, IdentityError> {
        let before: Vec<u64> = self.layout.runs.iter().map(|run| run.header.number).collect();
        let mut layout = self.layout;
        let flushed = match self.work {
            Work::Flush(table, number) => {
                flush(&self.store, &mut layout, &table, number)?;
                true
            }
            Work::Merge(merge) => {
                let inputs: Vec<u64> = merge.inputs.iter().map(|run| run.header.number).collect();
                match merge.step(&self.store, self.limits.merge_step_entries)? {
                    Progress::Going(merge) => return Ok(Done(Outcome::Going(merge))),
                    Progress::Merged(run) => {
                        let at = layout.runs.iter().position(|run| inputs.contains(&run.header.number));
                        layout.runs.retain(|run| !inputs.contains(&run.header.number));
                        if let (Some(at), Some(run)) = (at, run) {
                            layout.runs.insert(at, Arc::new(run));
                        }
                    }
                }
                false
            }
            Work::Forget => false,
        };
        layout.runs.drain(..self.forget.min(layout.runs.len()));
        manifest::write(&self.store, &layout, self.next_run)?;
        // The index still reads the runs it had before; they go with the next job.
        let mut keep = before;
        keep.extend(layout.runs.iter().map(|run| run.header.number));
        keep.extend(self.being_written);
        // The new manifest counts already: a file that cannot be removed is tried again by the next job.
        let _ = manifest::remove_others(&self.store, &keep);
        Ok(Done(Outcome::Layout { layout, flushed }))
    }
}

fn flush(store: &Store, layout: &mut Layout, table: &Table, number: u64) -> Result<(), IdentityError> {
    let Some(span) = table.span() else { return Ok(()) };
    let records = table.sorted_records();
    let mut writer = RunWriter::create(store, number, 0, records.len() as u64)?;
    for record in &records {
        writer.push(record)?;
    }
    drop(records);
    layout.runs.push(Arc::new(writer.finish(span)?));
    layout.covered = layout.covered.max(super::after(span.last_position));
    layout.mark(Mark { first_position: span.first_position, last_time: span.last_time });
    Ok(())
}
