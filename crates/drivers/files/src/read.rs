//! Reading frames from a position on: found through the index, read in large pieces, each one checked.
//!
//! Place: followers, recovery of the tree, `waag read`. Not here: verification of everything (`walk`, with
//! `waag_log::verify`), which trusts no index.

use std::ops::ControlFlow;
use std::sync::Arc;

use waag_log::contract::{EventLog, FrameView, Place, ReadError, Tail};
use waag_log::fault::FrameFault;
use waag_log::frame::{DecodedFrame, FrameHeader};
use waag_model::ids::{FrameNumber, LedgerId, Position};
use waag_stdx::files::{File, Open};

use crate::index::Point;
use crate::log::{FilesLog, hold};
use crate::segment::{self, HEADER_STEP_BYTES, READ_STEP_BYTES, Window};

/// A place in a segment that is open.
struct Cursor {
    file: Arc<dyn File>,
    path: String,
    segment: FrameNumber,
    offset: u64,
    window: Window,
    /// Doubles up to [`READ_STEP_BYTES`], so that reading one entry does not read a megabyte.
    step: usize,
}

impl Cursor {
    fn failed(&self) -> impl FnOnce(std::io::Error) -> ReadError + use<> {
        let file = self.path.clone();
        move |source| ReadError::Failed { file, source }
    }

    fn damaged(&self, position: Position, fault: FrameFault) -> ReadError {
        ReadError::Damaged { file: self.path.clone(), offset: self.offset, position, fault }
    }

    fn header(
        &mut self,
        ledger: LedgerId,
        number: FrameNumber,
    ) -> Result<Result<FrameHeader, FrameFault>, ReadError> {
        let failed = self.failed();
        let bytes = self.window.header(&*self.file, self.offset, self.step).map_err(failed)?;
        Ok(FrameHeader::decode(bytes).and_then(|header| {
            let found = header.fields.number;
            if header.fields.ledger != ledger {
                Err(FrameFault::Ledger { found: header.fields.ledger })
            } else if found != number {
                Err(FrameFault::Number { found, expected: number })
            } else {
                Ok(header)
            }
        }))
    }
}

impl FilesLog {
    fn cursor(&self, segment: FrameNumber, offset: u64) -> Result<Cursor, ReadError> {
        let path = segment::path_of(segment);
        let open = self.files.open(&path, Open::Read);
        let file = open.map_err(|source| ReadError::Failed { file: path.clone(), source })?;
        Ok(Cursor { file, path, segment, offset, window: Window::default(), step: HEADER_STEP_BYTES })
    }

    /// Goes on to the segment that begins with frame `number`, where the one read ends here.
    fn next_segment(
        &self,
        cursor: &mut Cursor,
        number: FrameNumber,
        position: Position,
    ) -> Result<(), ReadError> {
        let path = segment::path_of(number);
        let there = cursor.segment != number && cursor.offset > 0;
        let file = if there { self.files.open(&path, Open::Read).ok() } else { None };
        let file = file.ok_or_else(|| cursor.damaged(position, FrameFault::NoFrame))?;
        (cursor.file, cursor.path, cursor.segment, cursor.offset) = (file, path, number, 0);
        cursor.window.forget();
        Ok(())
    }

    /// Finds the frame that holds `from`, header by header from the nearest point that the index knows.
    fn find(&self, from: Position, tail: &Tail) -> Result<(Cursor, FrameNumber), ReadError> {
        let point = hold(&self.index).before(from);
        let start =
            Point { segment: FrameNumber(0), offset: 0, frame: FrameNumber(0), position: Position(0) };
        let mut point = point.unwrap_or(start);
        let mut cursor = self.cursor(point.segment, point.offset)?;
        while point.frame < tail.next {
            match cursor.header(tail.ledger, point.frame)? {
                Ok(header) if header.tree_size > from.0 => break,
                Ok(header) => {
                    cursor.offset += header.frame_bytes() as u64;
                    point.frame = FrameNumber(point.frame.0.saturating_add(1));
                    point.position = Position(header.tree_size);
                    point.offset = cursor.offset;
                    if cursor.offset % crate::index::POINT_BYTES < header.frame_bytes() as u64 {
                        self.note_if_there(&mut cursor, point, tail)?;
                    }
                }
                Err(FrameFault::NoFrame) => self.next_segment(&mut cursor, point.frame, point.position)?,
                Err(fault) => return Err(cursor.damaged(point.position, fault)),
            }
        }
        Ok((cursor, point.frame))
    }

    /// Tells the index of a frame, where it is not in the next segment.
    fn note_if_there(&self, cursor: &mut Cursor, point: Point, tail: &Tail) -> Result<(), ReadError> {
        let next = cursor.header(tail.ledger, point.frame)?;
        if next.is_ok_and(|header| header.fields.first == point.position) {
            hold(&self.index).note(Point { segment: cursor.segment, ..point });
        }
        Ok(())
    }

    pub(crate) fn read_frames(
        &self,
        from: Position,
        visit: &mut dyn FnMut(FrameView<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let tail = self.tail();
        if from >= tail.position {
            let beyond = ReadError::BeyondTail { from, tail: tail.position };
            return if from == tail.position { Ok(()) } else { Err(beyond) };
        }
        let (mut cursor, mut number) = self.find(from, &tail)?;
        let mut before: Option<Tail> = None;
        while number < tail.next {
            let position = before.map_or(from, |before| before.position);
            let header = match cursor.header(tail.ledger, number)? {
                Ok(header) => header,
                Err(FrameFault::NoFrame) => {
                    self.next_segment(&mut cursor, number, position)?;
                    continue;
                }
                Err(fault) => return Err(cursor.damaged(position, fault)),
            };
            let follows = before.map_or(Ok(()), |before| before.check_next(&header));
            follows.map_err(|fault| cursor.damaged(position, fault))?;
            let failed = cursor.failed();
            let bytes = cursor.window.get(&*cursor.file, cursor.offset, header.frame_bytes(), cursor.step);
            let frame = match DecodedFrame::decode_behind(header, bytes.map_err(failed)?) {
                Ok(frame) => frame,
                Err(fault) => return Err(cursor.damaged(position, fault)),
            };
            before = Some(Tail::after(&header, frame.header_hash));
            let place = Place { file: &cursor.path, offset: cursor.offset };
            if visit(FrameView { frame, place }).is_break() {
                return Ok(());
            }
            cursor.offset += header.frame_bytes() as u64;
            cursor.step = (cursor.step * 2).min(READ_STEP_BYTES);
            number = FrameNumber(number.0.saturating_add(1));
        }
        Ok(())
    }
}
