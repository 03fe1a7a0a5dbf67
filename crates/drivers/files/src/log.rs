//! The log on files: a frame is durable by one write and one sync in space that is ready.
//!
//! Place: *append* on one machine. `FilesLog` holds the lock, the place of the next frame and whether a write has
//! failed; preparing is in `space`, opening in `scan` and `recover`, reading in `read`, raw walking in `walk`.
//!
//! What a crash leaves, step by step in [`EventLog::append`]:
//! - going over to a new segment: a spare segment, or an empty one of the right name; both are expected;
//! - preparing: zeros, or a shorter file;
//! - the write: any sectors of the frame, which the next opening cuts or, where they are all of it, keeps;
//! - after the sync: the frame.
//!
//! After a failed write or sync the handle refuses every append (`LOG-2`). A refusal for lack of space before anything
//! of the frame was written does not poison: freeing space is enough.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use std::ops::ControlFlow;
use waag_log::contract::{AppendError, EventLog, FrameView, ReadError, Tail, TrimError};
use waag_log::frame::Frame;
use waag_log::guard::GuardRecord;
use waag_model::ids::{FrameNumber, LedgerId, Position};
use waag_stdx::files::{File, Files, Lock, Open};

use crate::config::LogConfig;
use crate::error::{OpenError, failed};
use crate::index::{Index, Point};
use crate::recover::{Recovery, recover};
use crate::scan::{last_nonzero, scan};
use crate::segment::{self, LOCK, Window};
use crate::space::{Space, Target};

/// A log on files, open to append and read, or to read only.
#[derive(Debug)]
pub struct FilesLog {
    pub(crate) files: Arc<dyn Files>,
    pub(crate) index: Mutex<Index>,
    config: LogConfig,
    tail: Mutex<Tail>,
    writer: Option<Writer>,
}

#[derive(Debug)]
struct Writer {
    _lock: Box<dyn Lock>,
    space: Space,
    place: Mutex<WritePlace>,
    /// The bytes the log holds, for deciding how much to prepare.
    total_bytes: AtomicU64,
    /// The offset of the next frame, for the preparing thread.
    offset: AtomicU64,
    poisoned: AtomicBool,
}

/// Where the next frame goes.
#[derive(Debug)]
struct WritePlace {
    segment: FrameNumber,
    file: Arc<dyn File>,
    offset: u64,
}

pub(crate) fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing here panics while it holds a lock; were it to, the values inside are still consistent.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take_lock(files: &dyn Files) -> Result<Box<dyn Lock>, OpenError> {
    files.lock(LOCK).map_err(|source| {
        let held = source.kind() == std::io::ErrorKind::WouldBlock;
        if held { OpenError::Held } else { failed("lock", LOCK)(source) }
    })
}

impl FilesLog {
    /// Creates the log of a ledger: the first segment, its first extent ready. A creation that was cut short is
    /// completed by calling this again.
    ///
    /// # Errors
    /// [`OpenError::Exists`] where it has frames, or anything else that is not zero; else [`OpenError`].
    pub fn create(files: Arc<dyn Files>, config: LogConfig, ledger: LedgerId) -> Result<Self, OpenError> {
        config.check().map_err(OpenError::Config)?;
        let lock = take_lock(&*files)?;
        let segments = segment::list(&*files).map_err(failed("list", segment::FOLDER))?;
        let first = FrameNumber(0);
        let path = segment::path_of(first);
        match segments.as_slice() {
            [] => drop(files.open(&path, Open::Create).map_err(failed("create", &path))?),
            [only] if *only == first => {
                let file = files.open(&path, Open::Read).map_err(failed("open", &path))?;
                let last = last_nonzero(&*file, &mut Window::default(), 0).map_err(failed("read", &path))?;
                if last.is_some() {
                    return Err(OpenError::Exists);
                }
            }
            _ => return Err(OpenError::Exists),
        }
        let log = Self::writing(files, config, lock, Tail::start(ledger), Index::default(), (first, 0))?;
        let ready = log
            .writer
            .as_ref()
            .map(|writer| writer.space.step(Target { current: config.step_bytes, spare: 0 }));
        match ready {
            Some(Err(AppendError::NoSpace(source) | AppendError::Failed { source, .. })) => {
                Err(failed("prepare", &path)(source))
            }
            _ => Ok(log),
        }
    }

    /// Opens a log to append. Everything up to the guard must be there; what a crash left behind it is kept where it
    /// is whole, and cut where it is not.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        files: Arc<dyn Files>,
        config: LogConfig,
        ledger: LedgerId,
        guard: &GuardRecord,
    ) -> Result<(Self, Recovery), OpenError> {
        config.check().map_err(OpenError::Config)?;
        if guard.ledger != ledger {
            return Err(OpenError::Ledger);
        }
        let lock = take_lock(&*files)?;
        let (scan, recovery) = recover(&*files, &config, guard)?;
        let place = (scan.segment.unwrap_or(FrameNumber(0)), scan.offset);
        let log = Self::writing(files, config, lock, scan.tail, Index::new(&scan.starts), place)?;
        Ok((log, recovery))
    }

    /// Opens a log to read up to its guard; takes no lock and changes nothing, so that it can run beside a writer.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_read_only(
        files: Arc<dyn Files>,
        ledger: LedgerId,
        guard: &GuardRecord,
    ) -> Result<Self, OpenError> {
        if guard.ledger != ledger {
            return Err(OpenError::Ledger);
        }
        let scan = scan(&*files, guard, true)?;
        let index = Mutex::new(Index::new(&scan.starts));
        Ok(Self { files, index, config: LogConfig::default(), tail: Mutex::new(scan.tail), writer: None })
    }

    fn writing(
        files: Arc<dyn Files>,
        config: LogConfig,
        lock: Box<dyn Lock>,
        tail: Tail,
        index: Index,
        (segment, offset): (FrameNumber, u64),
    ) -> Result<Self, OpenError> {
        let path = segment::path_of(segment);
        let file = files.open(&path, Open::Write).map_err(failed("open", &path))?;
        let space = Space::new(Arc::clone(&files), config, &path).map_err(failed("open", &path))?;
        let earlier =
            segment::list(&*files).map_err(failed("list", segment::FOLDER))?.len().saturating_sub(1) as u64;
        let writer = Writer {
            _lock: lock,
            space,
            place: Mutex::new(WritePlace { segment, file, offset }),
            total_bytes: AtomicU64::new(earlier.saturating_mul(config.segment_bytes).saturating_add(offset)),
            offset: AtomicU64::new(offset),
            poisoned: AtomicBool::new(false),
        };
        Ok(Self { files, index: Mutex::new(index), config, tail: Mutex::new(tail), writer: Some(writer) })
    }

    /// Prepares space ahead of the tail; blocks, and is meant for a thread of the caller's, woken after appends.
    ///
    /// Returns whether anything was done. A log that only reads does nothing.
    ///
    /// # Errors
    /// [`AppendError::NoSpace`], after which appends go on in the space that is ready; [`AppendError::Failed`], after
    /// which the handle is poisoned; [`AppendError::Poisoned`].
    pub fn prepare(&self) -> Result<bool, AppendError> {
        let Some(writer) = &self.writer else { return Ok(false) };
        let mut done = false;
        loop {
            if writer.poisoned.load(Ordering::Acquire) {
                return Err(AppendError::Poisoned);
            }
            if !writer.poisoning(writer.space.step(self.target(writer)))? {
                return Ok(done);
            }
            done = true;
        }
    }

    /// Whether [`FilesLog::prepare`] has something to do.
    #[must_use]
    pub fn wants_preparing(&self) -> bool {
        self.writer.as_ref().is_some_and(|writer| writer.space.wants(self.target(writer)))
    }

    /// How often an append had to prepare space for itself.
    #[must_use]
    pub fn stalls(&self) -> u64 {
        self.writer.as_ref().map_or(0, |writer| writer.space.stalls())
    }

    /// Whether a write has failed, so that the log must be reopened.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.writer.as_ref().is_some_and(|writer| writer.poisoned.load(Ordering::Acquire))
    }

    /// As much again as the log holds, at least a step, at most the configured distance.
    fn target(&self, writer: &Writer) -> Target {
        let config = &self.config;
        let total = writer.total_bytes.load(Ordering::Acquire);
        let ahead = total.clamp(config.step_bytes, config.ahead_bytes_max);
        let end = writer.offset.load(Ordering::Acquire).saturating_add(ahead);
        let current = end.min(config.segment_bytes);
        Target { current, spare: (end - current).min(config.segment_bytes) }
    }
}

impl Writer {
    /// Marks the handle where an outcome is open.
    fn poisoning<T>(&self, result: Result<T, AppendError>) -> Result<T, AppendError> {
        if matches!(result, Err(AppendError::Failed { .. })) {
            self.poisoned.store(true, Ordering::Release);
        }
        result
    }

    fn append(
        &self,
        config: &LogConfig,
        files: &dyn Files,
        place: &mut WritePlace,
        frame: &Frame,
    ) -> Result<Point, AppendError> {
        let len = frame.bytes().len() as u64;
        let fields = &frame.header().fields;
        if place.offset > 0 && place.offset.saturating_add(len) > config.segment_bytes {
            let path = segment::path_of(fields.number);
            self.space.roll(&path)?;
            let file = files.open(&path, Open::Write);
            let file =
                file.map_err(|source| AppendError::Failed { operation: "opening of a segment", source })?;
            *place = WritePlace { segment: fields.number, file, offset: 0 };
            self.offset.store(0, Ordering::Release);
        }
        let end = place.offset.saturating_add(len);
        self.space.ensure(end)?;
        let write = place.file.write_at(frame.bytes(), place.offset);
        write.map_err(|source| AppendError::Failed { operation: "write", source })?;
        // The point of no return: from here on the frame may be durable.
        place.file.sync().map_err(|source| AppendError::Failed { operation: "sync", source })?;
        let (segment, offset) = (place.segment, place.offset);
        place.offset = end;
        self.offset.store(end, Ordering::Release);
        self.total_bytes.fetch_add(len, Ordering::AcqRel);
        Ok(Point { segment, offset, frame: fields.number, position: fields.first })
    }
}

impl EventLog for FilesLog {
    fn append(&self, expected: FrameNumber, frame: &Frame) -> Result<(), AppendError> {
        let Some(writer) = &self.writer else { return Err(AppendError::ReadOnly) };
        // Held throughout, so that of two threads with the same frame number one sees the other's tail (`LOG-5`).
        let mut place = hold(&writer.place);
        if writer.poisoned.load(Ordering::Acquire) {
            return Err(AppendError::Poisoned);
        }
        let tail = self.tail();
        if tail.next != expected {
            return Err(AppendError::Conflict { expected, actual: tail.next });
        }
        tail.check_next(frame.header()).map_err(AppendError::Frame)?;
        let point = writer.poisoning(writer.append(&self.config, &*self.files, &mut place, frame))?;
        hold(&self.index).note(point);
        *hold(&self.tail) = Tail::after(frame.header(), frame.header_hash());
        Ok(())
    }

    fn read(
        &self,
        from: Position,
        visit: &mut dyn FnMut(FrameView<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        self.read_frames(from, visit)
    }

    fn tail(&self) -> Tail {
        *hold(&self.tail)
    }

    fn trim(&self, _before: Position) -> Result<(), TrimError> {
        Err(TrimError::NoArchive)
    }
}
