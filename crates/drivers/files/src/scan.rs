//! Finding the end of a log by its headers, from the segment that holds the guard's frame.
//!
//! Place: the first half of opening (`recover` is the second); it only reads. Frames under the guard are followed by
//! header, the guard's own frame and everything behind it are checked byte by byte, so that opening takes the same
//! time whether a log holds a gigabyte or a terabyte. Not here: bodies under the guard (`walk`, `scrub`).

use std::sync::Arc;

use waag_log::contract::Tail;
use waag_log::fault::FrameFault;
use waag_log::frame::{DecodedFrame, FRAME_ALIGN, FRAME_BYTES_MAX, FrameHeader, HEADER_BYTES, header_hash};
use waag_log::guard::GuardRecord;
use waag_log::wire::first_nonzero;
use waag_model::ids::{FrameNumber, Position};
use waag_stdx::files::{File, Files, Open};

use crate::error::{Damage, OpenError, failed};
use crate::segment::{self, HEADER_STEP_BYTES, Window};

/// Most frames that a crash leaves beyond the guard: one that is durable and waits for its guard, and one that was
/// written meanwhile (`frames_in_flight_max` is 1 on files).
pub const RESIDUE_FRAMES_MAX: u64 = 2;

/// A segment and the position its first frame begins at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentStart {
    pub(crate) first: FrameNumber,
    pub(crate) position: Position,
}

/// A whole frame beyond the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Residue {
    /// Its number.
    pub frame: FrameNumber,
    /// Its entries.
    pub entries: u32,
    /// The segment that holds it, by that segment's first frame.
    pub segment: FrameNumber,
    /// Where it begins in the segment, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

/// What the headers tell.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) starts: Vec<SegmentStart>,
    /// Behind the last whole frame, or behind the guard's for a reader.
    pub(crate) tail: Tail,
    pub(crate) residue: Vec<Residue>,
    /// The segment that the next frame belongs in; `None` where there is no segment at all.
    pub(crate) segment: Option<FrameNumber>,
    pub(crate) offset: u64,
}

/// A scan under way.
struct Scanner<'a> {
    files: &'a dyn Files,
    guard: &'a GuardRecord,
    segments: Vec<FrameNumber>,
    window: Window,
    scan: Scan,
    segment: FrameNumber,
    file: Arc<dyn File>,
    path: String,
    /// `None` until the first header of the first segment scanned, whose predecessor is not read.
    tail: Option<Tail>,
}

/// Scans a log; `to_guard` stops behind the guard's frame.
pub(crate) fn scan(files: &dyn Files, guard: &GuardRecord, to_guard: bool) -> Result<Scan, OpenError> {
    let segments = segment::list(files).map_err(failed("list", segment::FOLDER))?;
    let start = Tail::start(guard.ledger);
    let nothing = Scan { starts: Vec::new(), tail: start, residue: Vec::new(), segment: None, offset: 0 };
    let missing = |missing: FrameNumber| OpenError::BehindGuard {
        guard: guard.frame,
        missing,
        file: segment::path_of(missing),
        offset: 0,
    };
    match segments.first() {
        None if guard.size == 0 => return Ok(nothing),
        None => return Err(missing(FrameNumber(0))),
        Some(FrameNumber(0)) => {}
        Some(first) => return Err(damaged(&segment::path_of(*first), 0, Damage::Segment)),
    }
    let holding = segments.iter().rev().find(|first| guard.size == 0 || **first <= guard.frame);
    let segment = holding.copied().unwrap_or(FrameNumber(0));
    let segment = if guard.size == 0 { FrameNumber(0) } else { segment };
    let mut scan = nothing;
    for first in segments.iter().take_while(|first| **first < segment) {
        scan.starts.push(start_of(files, guard, *first)?);
    }
    let path = segment::path_of(segment);
    let file = files.open(&path, Open::Read).map_err(failed("open", &path))?;
    let tail = (segment == FrameNumber(0)).then_some(start);
    let window = Window::default();
    Scanner { files, guard, segments, window, scan, segment, file, path, tail }.run(to_guard)
}

pub(crate) fn damaged(path: &str, offset: u64, damage: Damage) -> OpenError {
    OpenError::Damaged { file: path.to_owned(), offset, damage }
}

/// Reads and checks the first header of a segment under the guard.
fn start_of(files: &dyn Files, guard: &GuardRecord, first: FrameNumber) -> Result<SegmentStart, OpenError> {
    let path = segment::path_of(first);
    let file = files.open(&path, Open::Read).map_err(failed("open", &path))?;
    let mut head = [0; HEADER_BYTES];
    let read = file.read_at(&mut head, 0).map_err(failed("read", &path))?;
    let header = FrameHeader::decode(head.get(..read).unwrap_or(&[]));
    let header = header.and_then(|header| first_in_segment(guard, first, &header).map(|()| header));
    match header {
        Ok(header) => Ok(SegmentStart { first, position: header.fields.first }),
        Err(fault) => Err(damaged(&path, 0, Damage::Frame(fault))),
    }
}

fn first_in_segment(guard: &GuardRecord, first: FrameNumber, header: &FrameHeader) -> Result<(), FrameFault> {
    let f = &header.fields;
    if f.ledger != guard.ledger {
        return Err(FrameFault::Ledger { found: f.ledger });
    }
    if f.number != first {
        return Err(FrameFault::Number { found: f.number, expected: first });
    }
    Ok(())
}

impl Scanner<'_> {
    fn run(mut self, to_guard: bool) -> Result<Scan, OpenError> {
        let mut offset = 0;
        loop {
            let next = self.tail.map_or(self.segment, |tail| tail.next);
            let beyond = next >= self.guard.next_frame();
            if beyond && to_guard {
                break;
            }
            match self.header_at(offset)? {
                Ok((header, hash)) => {
                    let guarded = self.guard.size > 0 && header.fields.number == self.guard.frame;
                    if beyond {
                        if self.check_whole(&header, offset)?.is_err() {
                            break;
                        }
                        self.add_residue(&header, offset)?;
                    } else if guarded {
                        self.check_guarded(&header, hash, offset)?;
                    }
                    self.note_start(&header, offset);
                    self.tail = Some(Tail::after(&header, hash));
                    offset += header.frame_bytes() as u64;
                }
                Err(fault) => {
                    let ended = fault == FrameFault::NoFrame && offset > 0;
                    if ended && self.segments.contains(&next) && next != self.segment {
                        self.move_to(next)?;
                        offset = 0;
                    } else if beyond {
                        break;
                    } else {
                        return Err(self.under_guard(fault, next, offset));
                    }
                }
            }
        }
        self.scan.tail = self.tail.unwrap_or(Tail::start(self.guard.ledger));
        self.scan.segment = Some(self.segment);
        self.scan.offset = offset;
        Ok(self.scan)
    }

    /// The header at an offset, with its hash, where it follows the one before.
    fn header_at(
        &mut self,
        offset: u64,
    ) -> Result<Result<(FrameHeader, waag_ledger::hash::Hash), FrameFault>, OpenError> {
        let bytes =
            self.window.header(&*self.file, offset, HEADER_STEP_BYTES).map_err(failed("read", &self.path))?;
        let header = match FrameHeader::decode(bytes) {
            Ok(header) => header,
            Err(fault) => return Ok(Err(fault)),
        };
        let hash = bytes.first_chunk::<HEADER_BYTES>().map(header_hash).ok_or(FrameFault::Cut);
        let follows = match &self.tail {
            Some(tail) => tail.check_next(&header),
            None => first_in_segment(self.guard, self.segment, &header),
        };
        Ok(follows.and(hash).map(|hash| (header, hash)))
    }

    /// Checks every byte of a frame.
    fn check_whole(
        &mut self,
        header: &FrameHeader,
        offset: u64,
    ) -> Result<Result<(), FrameFault>, OpenError> {
        let want = header.frame_bytes();
        let bytes = self.window.get(&*self.file, offset, want, HEADER_STEP_BYTES);
        let bytes = bytes.map_err(failed("read", &self.path))?;
        Ok(DecodedFrame::decode_behind(*header, bytes).map(|_| ()))
    }

    fn check_guarded(
        &mut self,
        header: &FrameHeader,
        hash: waag_ledger::hash::Hash,
        offset: u64,
    ) -> Result<(), OpenError> {
        if let Err(fault) = self.check_whole(header, offset)? {
            return Err(damaged(&self.path, offset, Damage::Frame(fault)));
        }
        let guard = self.guard;
        let same =
            guard.size == header.tree_size && guard.root == header.fields.root && guard.header_hash == hash;
        if same { Ok(()) } else { Err(damaged(&self.path, offset, Damage::NotGuarded)) }
    }

    fn add_residue(&mut self, header: &FrameHeader, offset: u64) -> Result<(), OpenError> {
        if self.scan.residue.len() as u64 == RESIDUE_FRAMES_MAX {
            let first = self.guard.next_frame();
            return Err(OpenError::GuardTooOld { first, most: RESIDUE_FRAMES_MAX });
        }
        self.scan.residue.push(Residue {
            frame: header.fields.number,
            entries: header.count,
            segment: self.segment,
            offset,
            bytes: header.frame_bytes() as u64,
        });
        Ok(())
    }

    fn note_start(&mut self, header: &FrameHeader, offset: u64) {
        if offset == 0 {
            self.scan.starts.push(SegmentStart { first: self.segment, position: header.fields.first });
        }
    }

    fn move_to(&mut self, next: FrameNumber) -> Result<(), OpenError> {
        self.path = segment::path_of(next);
        self.file = self.files.open(&self.path, Open::Read).map_err(failed("open", &self.path))?;
        self.segment = next;
        self.window.forget();
        Ok(())
    }

    /// A frame under the guard is not there: damaged where anything stands at or behind its place, else missing.
    fn under_guard(&mut self, fault: FrameFault, missing: FrameNumber, offset: u64) -> OpenError {
        let later = self.segments.iter().any(|first| *first > self.segment);
        let blank = fault == FrameFault::NoFrame
            && matches!(last_nonzero(&*self.file, &mut self.window, offset), Ok(None));
        if blank && !later {
            let (guard, file) = (self.guard.frame, self.path.clone());
            return OpenError::BehindGuard { guard, missing, file, offset };
        }
        damaged(&self.path, offset, Damage::Frame(fault))
    }
}

/// The offset of the last byte that is not zero, from `from` to the end of the file.
pub(crate) fn last_nonzero(file: &dyn File, window: &mut Window, from: u64) -> std::io::Result<Option<u64>> {
    let mut offset = from;
    let mut last = None;
    loop {
        let bytes = window.get(file, offset, HEADER_STEP_BYTES, HEADER_STEP_BYTES)?;
        if bytes.is_empty() {
            return Ok(last);
        }
        if first_nonzero(bytes).is_some() {
            last = bytes.iter().rposition(|byte| *byte != 0).map(|at| offset + at as u64);
        }
        offset += bytes.len() as u64;
    }
}

/// Looks at what stands behind the last whole frame, and gives the end of what a torn write left (`None`: nothing).
///
/// A torn frame leaves any part of itself, from its own place on, and nothing else: no other intact header, and no
/// byte farther off than the longest frame reaches.
pub(crate) fn torn_end(
    file: &dyn File,
    path: &str,
    tail: &Tail,
    offset: u64,
) -> Result<Option<u64>, OpenError> {
    let mut window = Window::default();
    let last = last_nonzero(file, &mut window, offset).map_err(failed("read", path))?;
    let Some(last) = last else { return Ok(None) };
    if last >= offset + FRAME_BYTES_MAX as u64 {
        return Err(damaged(path, last, Damage::NotZero));
    }
    let mut at = offset;
    while at <= last {
        let bytes = window.header(file, at, HEADER_STEP_BYTES).map_err(failed("read", path))?;
        if let Ok(header) = FrameHeader::decode(bytes)
            && header.fields.ledger == tail.ledger
        {
            let due = tail.check_next(&header);
            match due {
                Ok(()) if at == offset => {}
                Ok(()) => return Err(damaged(path, at, Damage::NotZero)),
                Err(fault) => return Err(damaged(path, at, Damage::Frame(fault))),
            }
        }
        at += FRAME_ALIGN as u64;
    }
    Ok(Some(last + 1))
}
