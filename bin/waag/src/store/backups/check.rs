//! Checking a whole repository: every object of every run, and frames from the first to the newest checkpoint.
//!
//! Goes on behind a fault as far as it can, and names the object of each. Not here: whether runs were taken away, which the
//! ledger's own records tell (`missing_runs`, at the end of this file).

use waag_archive::contract::StoreFault;
use waag_archive::error::{ArchiveError, SpanFault};
use waag_archive::frames::Span;
use waag_archive::manifest::{Kind, Manifest, Piece};
use waag_archive::records::Records;
use waag_archive::repository::{REPOSITORY, RUNS, Repository, Run, may_be_gone};
use waag_archive::upkeep::BackupRecord;
use waag_keys::side::Side;
use waag_keys::state::{SetDigest, Sum};
use waag_model::time::UtcNanos;

use super::press;
use super::{BackupError, Progress};
use crate::store::reader::OpenedReader;

/// Most records of runs that the ledger is asked for.
const RECORDS_MAX: usize = 1_000_000;

/// What is wrong, and in which object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The object's name; a run's where it is about the run.
    pub name: String,
    /// The stable code.
    pub code: &'static str,
    /// What.
    pub reason: String,
}

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Runs in the chain.
    pub runs: u64,
    /// Entries up to the newest checkpoint.
    pub entries: u64,
    /// Bytes that the runs take in the repository.
    pub bytes: u64,
    /// Pieces that are gone since they have expired.
    pub expired: u64,
    /// Objects in the repository that no run names: a run that was broken off has left them.
    pub unnamed: u64,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

impl Checked {
    fn fault(&mut self, name: &str, error: &BackupError) {
        self.faults.push(Fault { name: name.to_owned(), code: error.code(), reason: error.to_string() });
    }
}

/// Checks a repository.
///
/// # Errors
/// Where nothing can be said of it: the names cannot be listed, or the place fails.
pub fn check(
    repository: &Repository,
    now: UtcNanos,
    progress: Progress<'_>,
) -> Result<(Checked, Vec<Run>), BackupError> {
    let survey = repository.survey()?;
    let is_whole = survey.faults.is_empty();
    let runs: Vec<Run> = survey.runs.into_iter().chain(survey.behind).collect();
    let mut checked = Checked { runs: runs.len() as u64, ..Checked::default() };
    for (name, error) in survey.faults {
        checked.fault(&name, &error.into());
    }
    let all = runs.iter().map(bytes_of).sum();
    let mut span = runs.first().map(|run| Span::start(run.manifest.ledger));
    let mut due = 1;
    for (at, run) in runs.iter().enumerate() {
        let manifest = &run.manifest;
        // Where a manifest is behind it that cannot be read, the newest may be that one.
        let is_newest = is_whole && at + 1 == runs.len();
        if manifest.sequence != due {
            span = None;
        }
        due = manifest.sequence.saturating_add(1);
        let mut sum = StateSum::default();
        for piece in &manifest.pieces {
            let outcome = one(repository, piece, &mut span, &mut sum);
            match outcome {
                Ok(()) => {}
                Err(BackupError::Archive(ArchiveError::Missing { .. }))
                    if may_be_gone(manifest, is_newest, piece, now) =>
                {
                    checked.expired += 1;
                    sum.is_part = true;
                }
                Err(error @ BackupError::Archive(ArchiveError::Store(StoreFault::Failed { .. }))) => {
                    return Err(error);
                }
                Err(error) => {
                    checked.fault(&piece.name, &error);
                    sum.is_part = true;
                    if piece.kind == Kind::Frames {
                        span = None;
                    }
                }
            }
            checked.bytes += piece.object_bytes;
            progress(checked.bytes, all);
        }
        checked.bytes += run.object_bytes;
        finish_run(manifest, span.as_ref(), &sum, &mut checked);
        if span.is_none() {
            // Goes on from this run's checkpoint: what is behind it can be checked all the same.
            span = Some(Span::behind(manifest));
        }
    }
    checked.entries = runs.last().map_or(0, |run| run.manifest.guard.size);
    checked.unnamed = unnamed(repository, &runs)?;
    Ok((checked, runs))
}

/// Bytes that a run takes in the repository, as its manifest tells, what has expired since included.
#[must_use]
pub fn bytes_of(run: &Run) -> u64 {
    let pieces = run.manifest.pieces.iter().map(|piece| piece.object_bytes);
    pieces.fold(run.object_bytes, u64::saturating_add)
}

/// The sum over a run's records of the state.
#[derive(Default)]
struct StateSum {
    digest: SetDigest,
    count: u64,
    is_part: bool,
}

fn one(
    repository: &Repository,
    piece: &Piece,
    span: &mut Option<Span>,
    sum: &mut StateSum,
) -> Result<(), BackupError> {
    let plain = repository.get(piece)?;
    let frames = press::check(piece, &plain)?;
    match (piece.kind, span) {
        (Kind::Frames, Some(span)) => span.take_piece(piece, &frames)?,
        (Kind::State | Kind::Keys, _) => {
            for record in Records::new(&plain).flatten() {
                sum.digest = sum.digest.with(Sum::of(record.table.code(), record.key, record.value));
                sum.count += 1;
            }
        }
        (Kind::Frames | Kind::Objects | Kind::Names | Kind::Vault | Kind::Earlier, _) => {}
    }
    Ok(())
}

/// A run as a whole: its frames lead to its checkpoint, its records are those that the state's head summed up.
fn finish_run(manifest: &Manifest, span: Option<&Span>, sum: &StateSum, checked: &mut Checked) {
    let name = format!("{RUNS}{:020}", manifest.sequence);
    if let Some(span) = span.filter(|span| !span.reaches(&manifest.guard)) {
        let (position, fault) = (span.tail().position, SpanFault::End);
        checked.fault(&name, &ArchiveError::Frames { name: name.clone(), position, fault }.into());
    }
    if !sum.is_part && (sum.digest.0, sum.count) != (manifest.digest, manifest.records) {
        let what = "its records are not those that its state summed up";
        checked.fault(&name, &ArchiveError::Form { name: name.clone(), what }.into());
    }
}

fn unnamed(repository: &Repository, runs: &[Run]) -> Result<u64, BackupError> {
    let named: std::collections::BTreeSet<&str> =
        runs.iter().flat_map(|run| &run.manifest.pieces).map(|piece| piece.name.as_str()).collect();
    let names = repository.names()?;
    let others = names
        .iter()
        .filter(|name| *name != REPOSITORY && !name.starts_with(RUNS) && !named.contains(name.as_str()));
    Ok(others.count() as u64)
}

/// Runs that the ledger has recorded as made in this repository, and that it does not have.
///
/// # Errors
/// The store's.
pub fn missing_runs(
    repository: &Repository,
    runs: &[Run],
    store: &OpenedReader,
) -> Result<Vec<u64>, BackupError> {
    let id = repository.key().repository;
    let prefix = BackupRecord::prefix(id);
    let records = store.keyring.side_records(Side::Upkeep, Some(&prefix), RECORDS_MAX);
    let records = records.map_err(crate::store::error::StoreError::from)?;
    let newest = runs.last().map_or(0, |run| run.manifest.sequence);
    let made = records.iter().filter_map(|record| {
        let sequence = BackupRecord::sequence(id, &record.key)?;
        BackupRecord::decode(&record.value)?.position.map(|_| sequence)
    });
    Ok(made.filter(|sequence| *sequence > newest).collect())
}
