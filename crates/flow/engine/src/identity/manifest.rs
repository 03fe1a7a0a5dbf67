//! The manifest: which runs count, and below which position every entry is in them.
//!
//! | bytes | what |
//! |---|---|
//! | 0–7 | magic |
//! | 8–23 | ledger id |
//! | 24–31 | covered: every entry below this position is in the runs, or forgotten |
//! | 32–39 | the next run's number |
//! | 40–47 | how many runs (4), how many marks (4) |
//! | … | per run, oldest first: number (8), the CRC32C of its header (4) |
//! | … | per mark, oldest first: first position (8), last commit time (8) |
//! | last 4 | CRC32C of all before it |
//!
//! Written to another name, synced and renamed: at any crash the old one or the new one stands whole.

use std::io;
use std::sync::Arc;

use waag_model::ids::Position;
use waag_model::time::UtcNanos;
use waag_stdx::files::Open;

use super::bytes::{array, i64_at, u32_at, u64_at};
use super::error::IdentityError;
use super::run::{Run, read_whole, run_name};
use super::{RUNS_MAX, Store};

const MAGIC: [u8; 8] = *b"waagidm1";
const NAME: &str = "manifest";
const NEXT_NAME: &str = "manifest.next";
const HEAD_BYTES: usize = 48;
const RUN_BYTES: usize = 12;
const MARK_BYTES: usize = 16;
/// Most marks; further ones are joined with the oldest.
const MARKS_MAX: usize = 1_024;

/// Where a table that was flushed began, and when its last entry was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) first_position: Position,
    pub(super) last_time: UtcNanos,
}

/// The runs that count, oldest first, and what they cover.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    pub(super) runs: Vec<Arc<Run>>,
    pub(super) marks: Vec<Mark>,
    pub(super) covered: Position,
}

impl Layout {
    /// Entries in all runs.
    pub(super) fn entries(&self) -> u64 {
        self.runs.iter().map(|run| run.header.entries).sum()
    }

    /// Notes a flushed table; keeps at most `MARKS_MAX` marks by joining the oldest two, which only lets entries stay
    /// longer.
    pub(super) fn mark(&mut self, mark: Mark) {
        if self.marks.len() >= MARKS_MAX {
            let joined = self.marks.remove(0);
            if let Some(oldest) = self.marks.first_mut() {
                oldest.first_position = joined.first_position;
            }
        }
        self.marks.push(mark);
    }

    /// Drops the marks whose entries are all older than `since`; gives the first position that may be younger.
    pub(super) fn horizon(&mut self, since: UtcNanos) -> Position {
        let gone = self.marks.iter().take_while(|mark| mark.last_time < since).count();
        self.marks.drain(..gone);
        self.marks.first().map_or(self.covered, |mark| mark.first_position)
    }
}

/// Writes the manifest; durable on return.
pub(super) fn write(store: &Store, layout: &Layout, next_run: u64) -> Result<(), IdentityError> {
    let path = store.path(NEXT_NAME);
    let failed = |what| {
        let file = path.clone();
        move |source| IdentityError::Io { what, file, source }
    };
    match store.files.remove(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove")(error)),
        Ok(()) | Err(_) => {}
    }
    let file = store.files.open(&path, Open::Create).map_err(failed("create"))?;
    file.write_at(&to_bytes(store, layout, next_run), 0).map_err(failed("write"))?;
    file.sync().map_err(failed("sync"))?;
    store.files.rename(&path, &store.path(NAME)).map_err(failed("rename"))
}

fn to_bytes(store: &Store, layout: &Layout, next_run: u64) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&store.ledger.0);
    out.extend_from_slice(&layout.covered.0.to_le_bytes());
    out.extend_from_slice(&next_run.to_le_bytes());
    for count in [layout.runs.len(), layout.marks.len()] {
        out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
    }
    for run in &layout.runs {
        out.extend_from_slice(&run.header.number.to_le_bytes());
        out.extend_from_slice(&run.header_crc.to_le_bytes());
    }
    for mark in &layout.marks {
        out.extend_from_slice(&mark.first_position.0.to_le_bytes());
        out.extend_from_slice(&mark.last_time.0.to_le_bytes());
    }
    out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
    out
}

/// What a manifest says, before its runs are opened.
struct Stored {
    covered: Position,
    next_run: u64,
    runs: Vec<(u64, u32)>,
    marks: Vec<Mark>,
}

fn from_bytes(bytes: &[u8], store: &Store) -> Option<Stored> {
    let (body, crc) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    let runs = usize::try_from(u32_at(body, 40)?).ok()?;
    let marks = usize::try_from(u32_at(body, 44)?).ok()?;
    let whole = u32_at(crc, 0)? == crc32c::crc32c(body) && array(body, 0)? == MAGIC;
    let bounded = runs <= RUNS_MAX && marks <= MARKS_MAX;
    if !whole || !bounded || body.len() != HEAD_BYTES + runs * RUN_BYTES + marks * MARK_BYTES {
        return None;
    }
    if array(body, 8)? != store.ledger.0 {
        return None;
    }
    let run_at = |index| HEAD_BYTES + index * RUN_BYTES;
    let mark_at = |index| run_at(runs) + index * MARK_BYTES;
    Some(Stored {
        covered: Position(u64_at(body, 24)?),
        next_run: u64_at(body, 32)?,
        runs: (0..runs)
            .map(|n| Some((u64_at(body, run_at(n))?, u32_at(body, run_at(n) + 8)?)))
            .collect::<Option<_>>()?,
        marks: (0..marks)
            .map(|n| {
                let first_position = Position(u64_at(body, mark_at(n))?);
                Some(Mark { first_position, last_time: UtcNanos(i64_at(body, mark_at(n) + 8)?) })
            })
            .collect::<Option<_>>()?,
    })
}

/// Reads the manifest and opens its runs; `None` where there is no manifest.
pub(super) fn read(store: &Store) -> Result<Option<(Layout, u64)>, IdentityError> {
    let path = store.path(NAME);
    let damaged = |offset, what| IdentityError::Damaged { file: path.clone(), offset, what };
    let io = |what, source| IdentityError::Io { what, file: path.clone(), source };
    let file = match store.files.open(&path, Open::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io("open", error)),
    };
    let most = HEAD_BYTES + RUNS_MAX * RUN_BYTES + MARKS_MAX * MARK_BYTES + 4;
    let len = usize::try_from(file.len().map_err(|error| io("read", error))?).unwrap_or(usize::MAX);
    if len > most {
        return Err(damaged(most as u64, "the length"));
    }
    let mut bytes = vec![0; len];
    read_whole(&*file, &path, &mut bytes, 0)?;
    let stored = from_bytes(&bytes, store).ok_or_else(|| damaged(0, "the manifest"))?;
    let mut runs = Vec::with_capacity(stored.runs.len());
    for (number, header_crc) in &stored.runs {
        let run = Run::open(store, *number)?;
        if run.header_crc != *header_crc {
            return Err(IdentityError::Damaged { file: run.path, offset: 0, what: "another run" });
        }
        runs.push(Arc::new(run));
    }
    let layout = Layout { runs, marks: stored.marks, covered: stored.covered };
    Ok(Some((layout, stored.next_run)))
}

/// Removes every file of the index's folder but the manifest and the runs numbered in `keep`.
pub(super) fn remove_others(store: &Store, keep: &[u64]) -> Result<(), IdentityError> {
    let keep: Vec<String> = keep.iter().map(|number| run_name(*number)).collect();
    remove_where(store, |name| name != NAME && !keep.iter().any(|kept| kept == name))
}

/// Removes all files of the index, the manifest first, so that at any crash what is left is no index or a whole one.
pub(super) fn remove_all(store: &Store) -> Result<(), IdentityError> {
    remove_where(store, |name| name == NAME)?;
    remove_where(store, |_| true)
}

fn remove_where(store: &Store, gone: impl Fn(&str) -> bool) -> Result<(), IdentityError> {
    let listed = store.files.list(&store.folder);
    let names =
        listed.map_err(|source| IdentityError::Io { what: "list", file: store.folder.clone(), source })?;
    for name in names.iter().filter(|name| gone(name)) {
        let file = store.path(name);
        match store.files.remove(&file) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(IdentityError::Io { what: "remove", file, source });
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}
