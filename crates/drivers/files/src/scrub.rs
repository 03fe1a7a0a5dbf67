//! Scrubbing: what was acknowledged is read again and again in the background, so that damage is found while the
//! archive or a copy can still mend it.
//!
//! Place: a timer of the caller's calls [`Scrubber::step`] with the budget that [`ScrubRate`] grants. A step checks
//! every byte of the frames it passes and their chain. Not here: roots (`waag verify`), mending, the timer.
//!
//! The operating system may answer from its cache; a scrub finds what the disk lost once the cache has let go of it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use waag_log::contract::Tail;
use waag_log::fault::FrameFault;
use waag_log::frame::{DecodedFrame, FrameHeader, HEADER_BYTES, header_hash};
use waag_log::verify::LogFault;
use waag_model::ids::{FrameNumber, LedgerId, Position};
use waag_stdx::files::{File, Files, Open};

use crate::segment::{self, READ_STEP_BYTES, Window};

/// Grants bytes by time that has passed, at most a second's worth at once.
#[derive(Clone, Copy, Debug)]
pub struct ScrubRate {
    bytes_per_s: u64,
    last: Duration,
}

impl ScrubRate {
    /// A rate that counts from `now`, a monotonic reading.
    #[must_use]
    pub fn new(bytes_per_s: u64, now: Duration) -> Self {
        Self { bytes_per_s, last: now }
    }

    /// The bytes granted since the last call.
    pub fn grant(&mut self, now: Duration) -> u64 {
        let passed = now.saturating_sub(self.last).min(Duration::from_secs(1));
        self.last = self.last.max(now);
        let bytes = u128::from(self.bytes_per_s) * passed.as_nanos() / 1_000_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// What a step found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubStep {
    /// Bytes of frames that were read.
    pub bytes: u64,
    /// Frames that were checked.
    pub frames: u64,
    /// Damage.
    pub faults: Vec<LogFault>,
    /// The end was reached; the next step begins at the first frame.
    pub wrapped: bool,
}

/// Goes round a log, a budget at a time.
#[derive(Debug)]
pub struct Scrubber {
    files: Arc<dyn Files>,
    ledger: LedgerId,
    segment: FrameNumber,
    offset: u64,
    /// What the next frame must follow; `None` behind damage.
    tail: Option<Tail>,
    next: FrameNumber,
    window: Window,
}

impl Scrubber {
    /// A scrubber that begins at the first frame.
    #[must_use]
    pub fn new(files: Arc<dyn Files>, ledger: LedgerId) -> Self {
        let (segment, next) = (FrameNumber(0), FrameNumber(0));
        let tail = Some(Tail::start(ledger));
        Self { files, ledger, segment, offset: 0, tail, next, window: Window::default() }
    }

    /// Checks frames until the budget is used up or frame `end` (not checked any more) is reached.
    ///
    /// `end` is the next frame of a log's tail, or of the guard: frames beyond it may be under way. One frame more
    /// than the budget grants may be read, so that a small budget comes round as well.
    ///
    /// # Errors
    /// The file system's; the next step tries the same place again.
    pub fn step(&mut self, budget_bytes: u64, end: FrameNumber) -> io::Result<ScrubStep> {
        let mut step = ScrubStep::default();
        if self.next >= end {
            self.restart();
            step.wrapped = true;
            return Ok(step);
        }
        let (mut file, mut path) = self.open()?;
        while step.bytes < budget_bytes && self.next < end {
            let bytes = self.window.header(&*file, self.offset, READ_STEP_BYTES)?;
            let header = FrameHeader::decode(bytes);
            let hash = bytes.first_chunk::<HEADER_BYTES>().map(header_hash);
            match (header, hash) {
                (Ok(header), Some(hash)) => self.frame(&*file, &path, &header, hash, &mut step)?,
                (Err(FrameFault::NoFrame), _) if self.offset > 0 && self.enter(self.next)? => {
                    (file, path) = self.open()?;
                }
                (fault, _) => {
                    let fault = fault.err().unwrap_or(FrameFault::Cut);
                    self.fault(&mut step, &path, None, fault);
                    if !self.enter_later()? {
                        break;
                    }
                    (file, path) = self.open()?;
                }
            }
        }
        if self.next >= end {
            self.restart();
            step.wrapped = true;
        }
        Ok(step)
    }

    fn open(&mut self) -> io::Result<(Arc<dyn File>, String)> {
        // What an earlier step read may have changed since, at the end of what it read.
        self.window.forget();
        let path = segment::path_of(self.segment);
        Ok((self.files.open(&path, Open::Read)?, path))
    }

    fn restart(&mut self) {
        (self.segment, self.offset, self.next) = (FrameNumber(0), 0, FrameNumber(0));
        self.tail = Some(Tail::start(self.ledger));
    }

    fn frame(
        &mut self,
        file: &dyn File,
        path: &str,
        header: &FrameHeader,
        hash: waag_ledger::hash::Hash,
        step: &mut ScrubStep,
    ) -> io::Result<()> {
        let position = Some(header.fields.first);
        if let Some(Err(fault)) = self.tail.as_ref().map(|tail| tail.check_next(header)) {
            self.fault(step, path, position, fault);
        }
        let bytes = self.window.get(file, self.offset, header.frame_bytes(), READ_STEP_BYTES)?;
        if let Err(fault) = DecodedFrame::decode_behind(*header, bytes) {
            self.fault(step, path, position, fault);
        }
        step.bytes += header.frame_bytes() as u64;
        step.frames += 1;
        self.tail = Some(Tail::after(header, hash));
        // Never backwards: a stale frame would send the scrub round and round.
        self.next = FrameNumber(self.next.0.max(header.fields.number.0).saturating_add(1));
        self.offset += header.frame_bytes() as u64;
        Ok(())
    }

    fn fault(&self, step: &mut ScrubStep, path: &str, position: Option<Position>, fault: FrameFault) {
        step.faults.push(LogFault {
            file: path.to_owned(),
            offset: self.offset,
            position,
            code: fault.code(),
            reason: fault.to_string(),
        });
    }

    /// Goes to the segment that begins with this frame, where there is one.
    fn enter(&mut self, first: FrameNumber) -> io::Result<bool> {
        let there = segment::list(&*self.files)?.contains(&first);
        if there {
            (self.segment, self.offset, self.next) = (first, 0, first);
        }
        Ok(there)
    }

    /// Behind damage that hides where the next frame begins: goes to the next segment, or back to the beginning.
    fn enter_later(&mut self) -> io::Result<bool> {
        self.tail = None;
        let later = segment::list(&*self.files)?.into_iter().find(|first| *first > self.segment);
        match later {
            Some(first) => self.enter(first),
            None => {
                self.next = FrameNumber(u64::MAX);
                Ok(false)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_grants_by_time_and_at_most_a_second() {
        let mut rate = ScrubRate::new(1_000, Duration::from_secs(5));
        assert_eq!(rate.grant(Duration::from_millis(5_250)), 250);
        assert_eq!(rate.grant(Duration::from_millis(5_250)), 0);
        assert_eq!(rate.grant(Duration::from_secs(60)), 1_000);
        assert_eq!(rate.grant(Duration::from_secs(1)), 0);
    }
}
