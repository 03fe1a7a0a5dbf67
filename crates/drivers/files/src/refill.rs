//! Frames that were stored before, as segment files again: for a restored log, which nobody reads yet.
//!
//! Place: `waag restore`, which has checked every frame. Segments come out as the log itself makes them (`FSLOG-1`), but for
//! space prepared ahead. Not here: what a frame is, whether it may stand here.
//!
//! A crash leaves a beginning of the segments and no guard, so that nobody takes them for a log.

use std::io;
use std::sync::Arc;

use waag_model::ids::FrameNumber;
use waag_stdx::files::{File, Files, Open};

use crate::segment::path_of;

/// Segments being written.
#[derive(Debug)]
pub struct Refill {
    files: Arc<dyn Files>,
    segment_bytes: u64,
    current: Option<(Arc<dyn File>, u64)>,
}

impl Refill {
    /// Below `files`, where there is no log.
    #[must_use]
    pub fn new(files: Arc<dyn Files>, segment_bytes: u64) -> Self {
        Self { files, segment_bytes, current: None }
    }

    /// Adds frames: their bytes one behind the other, the number of the first, the length of each.
    ///
    /// # Errors
    /// The file system's.
    pub fn add(&mut self, bytes: &[u8], first: FrameNumber, lengths: &[usize]) -> io::Result<()> {
        let (mut from, mut to) = (0_usize, 0_usize);
        for (number, length) in (first.0..).zip(lengths) {
            let end = self.current.as_ref().map_or(0, |(_, end)| *end).saturating_add((to - from) as u64);
            let is_full = end > 0 && end.saturating_add(*length as u64) > self.segment_bytes;
            if is_full || self.current.is_none() {
                self.write(bytes.get(from..to).unwrap_or_default())?;
                from = to;
                self.next(FrameNumber(number))?;
            }
            to = to.saturating_add(*length);
        }
        self.write(bytes.get(from..to).unwrap_or_default())
    }

    /// Makes everything durable; a log without frames gets its first segment.
    ///
    /// # Errors
    /// The file system's.
    pub fn finish(mut self) -> io::Result<()> {
        if self.current.is_none() {
            self.next(FrameNumber(0))?;
        }
        self.sync()
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some((file, end)) = self.current.as_mut().filter(|_| !bytes.is_empty()) {
            file.write_at(bytes, *end)?;
            *end = end.saturating_add(bytes.len() as u64);
        }
        Ok(())
    }

    fn next(&mut self, first: FrameNumber) -> io::Result<()> {
        self.sync()?;
        self.current = Some((self.files.open(&path_of(first), Open::Create)?, 0));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.current.as_ref().map_or(Ok(()), |(file, _)| file.sync())
    }
}

#[cfg(test)]
mod tests {
    use waag_stdx::files::DiskFiles;

    use super::*;

    #[test]
    fn a_frame_that_no_longer_fits_begins_a_segment_of_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let files: Arc<dyn Files> = Arc::new(DiskFiles::new(folder.path()));
        let mut refill = Refill::new(Arc::clone(&files), 10);
        refill.add(b"aaaabbbb", FrameNumber(0), &[4, 4]).unwrap();
        refill.add(b"ccccddddddddddddee", FrameNumber(2), &[4, 12, 2]).unwrap();
        refill.finish().unwrap();
        let read = |number| std::fs::read(folder.path().join(path_of(FrameNumber(number)))).unwrap();
        assert_eq!(read(0), b"aaaabbbb");
        assert_eq!(read(2), b"cccc");
        assert_eq!(read(3), b"dddddddddddd", "longer than a segment: one of its own");
        assert_eq!(read(4), b"ee");
        assert_eq!(files.list("log").unwrap().len(), 4);
        let empty = tempfile::tempdir().unwrap();
        let files: Arc<dyn Files> = Arc::new(DiskFiles::new(empty.path()));
        Refill::new(files, 10).finish().unwrap();
        assert_eq!(std::fs::read(empty.path().join(path_of(FrameNumber(0)))).unwrap(), b"");
    }
}
