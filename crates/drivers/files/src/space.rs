//! Space that is written with zeros and synced before a frame goes there, so that a commit is one write and one sync
//! that change no metadata.
//!
//! Place: beneath `log`; a thread of the caller prepares ahead, and an append that has caught up prepares for itself
//! (a stall, counted). An `fallocate` alone would not do: its blocks are unwritten extents, and the first write to
//! each still changes metadata. Not here: writing frames.
//!
//! The zeros go through a handle of their own. Linux tells each open file once of a failed writeback; through a
//! shared handle the preparing sync could swallow the error that the append's sync has to see.
//!
//! What a crash leaves: a segment that is longer or shorter than prepared (both are zero), or a spare segment, which
//! is removed at the next opening.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use waag_log::contract::AppendError;
use waag_log::frame::FRAME_ALIGN;
use waag_stdx::files::{File, Files, Open};

use crate::config::LogConfig;
use crate::segment::SPARE;

/// The prepared space of the segment in use, and the next segment.
#[derive(Debug)]
pub(crate) struct Space {
    files: Arc<dyn Files>,
    config: LogConfig,
    zeros: Vec<u8>,
    filling: Mutex<Filling>,
    /// The segment in use is zero and durable up to here. Written under `filling` only.
    prepared: AtomicU64,
    stalls: AtomicU64,
}

#[derive(Debug)]
struct Filling {
    path: String,
    file: Arc<dyn File>,
    spare: Option<Spare>,
}

#[derive(Debug)]
struct Spare {
    file: Arc<dyn File>,
    prepared: u64,
}

/// How far preparing should get, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// In the segment in use.
    pub(crate) current: u64,
    /// In the segment after it.
    pub(crate) spare: u64,
}

/// A full disk refuses; any other failure leaves the outcome open.
pub(crate) fn append_error(operation: &'static str, source: io::Error) -> AppendError {
    if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        AppendError::NoSpace(source)
    } else {
        AppendError::Failed { operation, source }
    }
}

fn uncertain(operation: &'static str) -> impl FnOnce(io::Error) -> AppendError {
    move |source| AppendError::Failed { operation, source }
}

impl Space {
    /// Takes over a segment; what it already has is taken as prepared, in whole blocks.
    pub(crate) fn new(files: Arc<dyn Files>, config: LogConfig, path: &str) -> io::Result<Self> {
        let file = files.open(path, Open::Write)?;
        let align = FRAME_ALIGN as u64;
        let prepared = AtomicU64::new(file.len()? / align * align);
        let zeros = vec![0; usize::try_from(config.step_bytes).unwrap_or(FRAME_ALIGN)];
        let filling = Mutex::new(Filling { path: path.to_owned(), file, spare: None });
        Ok(Self { files, config, zeros, filling, prepared, stalls: AtomicU64::new(0) })
    }

    /// How often an append had to prepare for itself.
    pub(crate) fn stalls(&self) -> u64 {
        self.stalls.load(Ordering::Relaxed)
    }

    fn hold(&self) -> MutexGuard<'_, Filling> {
        self.filling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the segment in use ready up to `end`.
    pub(crate) fn ensure(&self, end: u64) -> Result<(), AppendError> {
        if self.prepared.load(Ordering::Acquire) >= end {
            return Ok(());
        }
        self.stalls.fetch_add(1, Ordering::Relaxed);
        let mut filling = self.hold();
        while self.prepared.load(Ordering::Acquire) < end {
            self.fill_current(&mut filling, end)?;
        }
        Ok(())
    }

    /// Whether [`Space::step`] has something to do.
    pub(crate) fn wants(&self, target: Target) -> bool {
        self.prepared.load(Ordering::Acquire) < target.current || {
            let spare = self.hold().spare.as_ref().map_or(0, |spare| spare.prepared);
            spare < target.spare
        }
    }

    /// Prepares one step where the target calls for it; false where nothing was left to do.
    pub(crate) fn step(&self, target: Target) -> Result<bool, AppendError> {
        let mut filling = self.hold();
        if self.prepared.load(Ordering::Acquire) < target.current {
            self.fill_current(&mut filling, target.current)?;
            return Ok(true);
        }
        let prepared = filling.spare.as_ref().map_or(0, |spare| spare.prepared);
        if prepared >= target.spare {
            return Ok(false);
        }
        let spare = match &mut filling.spare {
            Some(spare) => spare,
            none => none.insert(Spare { file: self.create(SPARE)?, prepared: 0 }),
        };
        let step = self.config.step_bytes;
        self.fill(&*spare.file, spare.prepared, step)?;
        spare.prepared += step;
        Ok(true)
    }

    /// Goes over to a new segment at `path`: the spare, or one made now.
    pub(crate) fn roll(&self, path: &str) -> Result<(), AppendError> {
        let mut filling = self.hold();
        let (file, prepared) = match filling.spare.take() {
            Some(spare) => {
                self.files.rename(SPARE, path).map_err(uncertain("renaming of the next segment"))?;
                (spare.file, spare.prepared)
            }
            None => (self.create(path)?, 0),
        };
        filling.file = file;
        path.clone_into(&mut filling.path);
        self.prepared.store(prepared, Ordering::Release);
        Ok(())
    }

    /// Creates a file, or takes the empty one that an earlier try left.
    fn create(&self, path: &str) -> Result<Arc<dyn File>, AppendError> {
        let made = match self.files.open(path, Open::Create) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.files.open(path, Open::Write),
            other => other,
        };
        made.map_err(|error| append_error("creation of a segment", error))
    }

    fn fill_current(&self, filling: &mut Filling, end: u64) -> Result<(), AppendError> {
        let prepared = self.prepared.load(Ordering::Acquire);
        // Whole steps up to the segment's length; a frame longer than that brings its own end.
        let limit = self.config.segment_bytes.max(end);
        let step = self.config.step_bytes.min(limit.saturating_sub(prepared));
        self.fill(&*filling.file, prepared, step)?;
        self.prepared.store(prepared + step, Ordering::Release);
        Ok(())
    }

    /// Writes zeros and syncs. A refused write leaves the space unprepared and is done over from the same place, every
    /// page of it anew; a failed sync is final.
    fn fill(&self, file: &dyn File, from: u64, len: u64) -> Result<(), AppendError> {
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(self.zeros.len());
        let zeros = self.zeros.get(..len).unwrap_or(&[]);
        file.write_at(zeros, from).map_err(|error| append_error("preparing of space", error))?;
        file.sync().map_err(uncertain("sync of prepared space"))
    }
}
