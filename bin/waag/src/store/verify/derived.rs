//! Derived files against what they are derived from: stored hashes, identity index, schema index.
//!
//! None of them is evidence, so none of this is a fault. What is wrong is made again from the log, or removed so that the
//! next opening makes it, where no writer runs: the state's lock is held meanwhile.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use waag_engine::identity::IdentityIndex;
use waag_engine::recover::IDENTITY_FOLDER;
use waag_files::hashes::HashFile;
use waag_files::log::FilesLog;
use waag_ledger::hash::{Hash, leaf_hash};
use waag_ledger::stored::stored_hash_count;
use waag_ledger::tree::Frontier;
use waag_log::contract::EventLog;
use waag_log::guard::GuardRecord;
use waag_log::hashes::StoredHashes;
use waag_model::ids::{LedgerId, Position};
use waag_sqlite::state::LOCK_FILE;
use waag_stdx::files::{File, Files, Lock, Open};

use super::entries::open_identity;
use super::{Report, Walked};
use crate::store::beside::holder;
use crate::store::options::Options;
use crate::store::place::{HASHES_FILE, Place};
use crate::store::schemas::{INDEX_FILE, Schemas};
use crate::store::writer::remove_identity;

/// Hashes that are read at once.
const HASHES_AT_ONCE: usize = 8_192;

/// What is compared.
pub(super) struct Derived<'a> {
    pub(super) place: &'a Place,
    pub(super) guard: &'a GuardRecord,
    pub(super) ledger: LedgerId,
}

/// How the stored hashes stand.
pub(super) enum Stored {
    Right,
    Behind(u64),
    Wrong(u64),
}

impl Derived<'_> {
    /// Notes what is wrong; `stored` is what [`Derived::stored`] has found meanwhile.
    pub(super) fn check(
        &self,
        walked: &Walked,
        stored: io::Result<Stored>,
        rebuild: bool,
        report: &mut Report,
    ) {
        let files = self.place.data_files();
        let path = |name: &str| self.place.data.join(name);
        match stored {
            Ok(Stored::Right) => {}
            // A node that runs writes them behind its commits.
            Ok(Stored::Behind(_)) if holder(self.place).is_some() => {}
            Ok(Stored::Behind(missing)) => {
                let what = format!("{missing} hashes are not there yet; the next opening adds them");
                report.note(path(HASHES_FILE), what, false);
            }
            Ok(Stored::Wrong(index)) => {
                let rebuilt = rebuild && self.locked(|| self.rebuild_hashes(&files));
                report.note(path(HASHES_FILE), format!("hash {index} is wrong"), rebuilt);
            }
            Err(error) => report.note(path(HASHES_FILE), format!("cannot be read: {error}"), false),
        }
        if let Some(what) = &walked.identity {
            let rebuilt =
                rebuild && self.locked(|| remove_identity(&*files, self.place).map_err(io::Error::other));
            report.note(path(IDENTITY_FOLDER), what.clone(), rebuilt);
        }
        let indexed = Schemas::read_index(&*files, self.ledger, Position(self.guard.size));
        let told = &walked.schemas.records;
        let same = indexed.as_ref().is_some_and(|index| match walked.schemas_closed {
            // It is all that is left of those whose keys are gone.
            true => told.iter().all(|record| index.records.contains(record)),
            false => index.records == *told,
        });
        let is_there = files.open(INDEX_FILE, Open::Read).is_ok();
        if !same && (is_there || !walked.schemas.records.is_empty()) {
            let rebuilt = rebuild && self.locked(|| walked.schemas.write_index(&*files, self.ledger));
            report.note(path(INDEX_FILE), "not what the ledger has registered", rebuilt);
        }
    }

    /// Whether `work` was done without a writer beside it.
    fn locked(&self, work: impl FnOnce() -> io::Result<()>) -> bool {
        let lock: io::Result<Box<dyn Lock>> = self.place.state_files().lock(LOCK_FILE);
        let done = lock.is_ok() && work().is_ok();
        drop(lock);
        done
    }

    /// Builds the tree over the stored leaf hashes and compares every node with the stored one, and the root at the end.
    ///
    /// It needs nothing of the log, so it runs beside the walk over it.
    pub(super) fn stored(&self) -> io::Result<Stored> {
        let files = self.place.data_files();
        let due = stored_hash_count(self.guard.size);
        let file = match files.open(HASHES_FILE, Open::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Stored::Behind(due)),
            other => other?,
        };
        let there = (file.len()? / 32).min(due);
        let mut frontier = Frontier::new();
        let mut expected: VecDeque<Hash> = VecDeque::new();
        let mut completed = Vec::new();
        let mut index = 0;
        while index < there {
            for hash in read_hashes(&*file, index, there)? {
                if expected.is_empty() {
                    completed.clear();
                    frontier.append(hash, &mut completed);
                    expected.extend(&completed);
                }
                let next = expected.pop_front();
                if next != Some(hash) {
                    return Ok(Stored::Wrong(index));
                }
                index += 1;
            }
        }
        Ok(match due - there {
            0 if frontier.root() == self.guard.root => Stored::Right,
            0 => Stored::Wrong(0),
            missing => Stored::Behind(missing),
        })
    }

    /// What is wrong with the identity index, if anything: every byte of it is read, beside the walk over the log.
    ///
    /// Whether it knows each entry only a deep verification asks.
    pub(super) fn identity(&self, options: &Options) -> Option<String> {
        let read = |index: IdentityIndex| index.check().map_err(|error| error.to_string());
        match open_identity(self.place, options, self.ledger) {
            Ok(None) => None,
            Ok(Some(index)) => read(index).err(),
            Err(what) => Some(what),
        }
    }

    fn rebuild_hashes(&self, files: &Arc<dyn Files>) -> io::Result<()> {
        let log =
            FilesLog::open_read_only(Arc::clone(files), self.ledger, self.guard).map_err(io::Error::other)?;
        let hashes = HashFile::open(&**files, HASHES_FILE)?;
        hashes.truncate_to(0)?;
        let (mut frontier, mut sink) = (Frontier::new(), Vec::new());
        let mut failed = None;
        let mut look = |frame: waag_log::contract::FrameView<'_>| {
            sink.clear();
            frame.entries().for_each(|(_, bytes)| frontier.append(leaf_hash(bytes), &mut sink));
            match hashes.append(&sink) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        };
        log.read(Position(0), &mut look).map_err(io::Error::other)?;
        match failed {
            Some(error) => Err(error),
            None => StoredHashes::sync(&hashes).map_err(io::Error::other),
        }
    }
}

/// Some hashes from `index` on, at least one, none beyond `end`.
fn read_hashes(file: &dyn File, index: u64, end: u64) -> io::Result<Vec<Hash>> {
    let count = usize::try_from(end - index).unwrap_or(HASHES_AT_ONCE).min(HASHES_AT_ONCE);
    let mut bytes = vec![0; count * 32];
    if file.read_at(&mut bytes, index.saturating_mul(32))? < bytes.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let (hashes, _) = bytes.as_chunks::<32>();
    Ok(hashes.iter().map(|hash| Hash(*hash)).collect())
}
