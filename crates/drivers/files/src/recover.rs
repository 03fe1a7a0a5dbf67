//! Opening a log to append: what a crash left is made whole or cut before the first append.
//!
//! Place: the second half of opening, behind `scan`. In this order, each step safe to repeat after a crash in it:
//!
//! 1. The scan reads; damage under the guard, or a log short of it, ends the opening and changes nothing.
//! 2. Torn bytes behind the last whole frame are overwritten with zeros and synced. Were they left, the next frame
//!    could be written among them, and a second crash could not tell its remains from theirs.
//! 3. Whole frames beyond the guard are written again in place and synced: after a failed sync the page cache shows
//!    bytes that the disk never got, and reading them back proves nothing. They are not under the guard, so that
//!    nobody was promised anything if this write is torn as well.
//! 4. The spare segment is removed.
//!
//! Not here: adopting the residue (the engine guards and acknowledges it), reading (`read`).

use std::io;
use std::sync::Arc;

use waag_log::guard::GuardRecord;
use waag_stdx::files::{File, Files, Open};

use crate::config::LogConfig;
use crate::error::{Damage, OpenError, failed};
use crate::scan::{Residue, Scan, damaged, scan, torn_end};
use crate::segment::{self, SPARE, SPARE_NAME};

/// What opening found beyond the guard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Whole frames that were never acknowledged under a guard; they are durable and part of the log again.
    pub residue: Vec<Residue>,
    /// Torn bytes that were overwritten with zeros.
    pub cut: Option<Cut>,
}

/// Torn bytes that were cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The file, by its name below the log's root.
    pub file: String,
    /// Where they began.
    pub offset: u64,
    /// How many there were, up to the last that was not zero.
    pub bytes: u64,
}

/// Scans and repairs; `Scan::segment` exists on return.
pub(crate) fn recover(
    files: &dyn Files,
    config: &LogConfig,
    guard: &GuardRecord,
) -> Result<(Scan, Recovery), OpenError> {
    let mut scan = scan(files, guard, false)?;
    let segments = segment::list(files).map_err(failed("list", segment::FOLDER))?;
    let current = match scan.segment {
        Some(current) => current,
        None => {
            // Only under a guard of size 0: the ledger's creation was cut short.
            let first = guard.next_frame();
            let path = segment::path_of(first);
            files.open(&path, Open::Create).map_err(failed("create", &path))?;
            scan.segment = Some(first);
            first
        }
    };
    if let Some(foreign) = segments.iter().find(|first| **first > current) {
        return Err(damaged(&segment::path_of(*foreign), 0, Damage::Segment));
    }
    let path = segment::path_of(current);
    let file = files.open(&path, Open::Write).map_err(failed("open", &path))?;
    let cut = match torn_end(&*file, &path, &scan.tail, scan.offset)? {
        Some(end) => {
            write_zeros(&*file, config, scan.offset, end)
                .map_err(failed("overwrite torn bytes in", &path))?;
            Some(Cut { file: path.clone(), offset: scan.offset, bytes: end - scan.offset })
        }
        None => None,
    };
    // A killed process leaves zeros in the cache that no sync has carried to the disk (`FSLOG-2`).
    file.sync().map_err(failed("sync", &path))?;
    for residue in &scan.residue {
        let path = segment::path_of(residue.segment);
        let file = if residue.segment == current {
            Arc::clone(&file)
        } else {
            files.open(&path, Open::Write).map_err(failed("open", &path))?
        };
        rewrite(&*file, residue).map_err(failed("rewrite an unacknowledged frame in", &path))?;
    }
    let names = files.list(segment::FOLDER).map_err(failed("list", segment::FOLDER))?;
    if names.iter().any(|name| name == SPARE_NAME) {
        files.remove(SPARE).map_err(failed("remove", SPARE))?;
    }
    let recovery = Recovery { residue: scan.residue.clone(), cut };
    Ok((scan, recovery))
}

/// Looks whether [`FilesLog::open`](crate::log::FilesLog::open) would take the log with that guard, and changes nothing: what
/// keeps a store from being written is no residue. Beside a writer what it sees may be half done: look again.
///
/// # Errors
/// [`OpenError`].
pub fn check(files: &dyn Files, guard: &GuardRecord) -> Result<(), OpenError> {
    let scan = scan(files, guard, false)?;
    let segments = segment::list(files).map_err(failed("list", segment::FOLDER))?;
    let current = scan.segment.unwrap_or(guard.next_frame());
    if let Some(foreign) = segments.iter().find(|first| **first > current) {
        return Err(damaged(&segment::path_of(*foreign), 0, Damage::Segment));
    }
    if scan.segment.is_none() {
        return Ok(());
    }
    let path = segment::path_of(current);
    let file = files.open(&path, Open::Read).map_err(failed("open", &path))?;
    torn_end(&*file, &path, &scan.tail, scan.offset).map(|_| ())
}

fn write_zeros(file: &dyn File, config: &LogConfig, from: u64, end: u64) -> io::Result<()> {
    let step = usize::try_from(config.step_bytes).unwrap_or(usize::MAX);
    let zeros = vec![0; step];
    let mut at = from;
    while at < end {
        let len = usize::try_from(end - at).unwrap_or(usize::MAX).min(step);
        file.write_at(zeros.get(..len).unwrap_or(&[]), at)?;
        at += len as u64;
    }
    file.sync()
}

fn rewrite(file: &dyn File, residue: &Residue) -> io::Result<()> {
    let mut bytes = vec![0; usize::try_from(residue.bytes).unwrap_or(0)];
    if file.read_at(&mut bytes, residue.offset)? < bytes.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    file.write_at(&bytes, residue.offset)?;
    file.sync()
}
