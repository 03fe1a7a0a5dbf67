//! Segment files: their names, and reading them through a window.
//!
//! A segment is named by the number of its first frame, in 20 digits, and holds whole frames from its first byte on;
//! behind them it is zero. Place: beneath `recover`, `read` and `walk`. Not here: writing (`space`, `log`).

use std::io;

use waag_log::frame::HEADER_BYTES;
use waag_model::ids::FrameNumber;
use waag_stdx::files::{File, Files};

/// The folder of the segments, below the log's root.
pub const FOLDER: &str = "log";
/// The file whose lock the writer holds.
pub(crate) const LOCK: &str = "log.lock";
/// The next segment while it is prepared; it gets its name when its first frame's number is known.
pub(crate) const SPARE: &str = "log/spare.seg";
/// The same without its folder.
pub(crate) const SPARE_NAME: &str = "spare.seg";
/// Bytes read at once where only headers are wanted.
pub(crate) const HEADER_STEP_BYTES: usize = 64 * 1_024;
/// Bytes read at once where everything is wanted.
pub(crate) const READ_STEP_BYTES: usize = 1_024 * 1_024;

/// The path of the segment that begins with frame `first`.
pub(crate) fn path_of(first: FrameNumber) -> String {
    format!("{FOLDER}/{:020}.seg", first.0)
}

/// The first frame of the segment of this name.
pub(crate) fn parse_name(name: &str) -> Option<FrameNumber> {
    let digits = name.strip_suffix(".seg")?;
    let all_digits = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    if all_digits { digits.parse().ok().map(FrameNumber) } else { None }
}

/// The first frames of all segments, in order.
pub(crate) fn list(files: &dyn Files) -> io::Result<Vec<FrameNumber>> {
    // Twenty digits with leading zeros sort as their numbers do.
    Ok(files.list(FOLDER)?.iter().filter_map(|name| parse_name(name)).collect())
}

/// A buffer over a part of a file; one large read instead of many small ones.
#[derive(Debug, Default)]
pub(crate) struct Window {
    buffer: Vec<u8>,
    start: u64,
    filled: usize,
}

impl Window {
    /// The bytes from `offset` on: at least `want`, or fewer where the file ends. Reads `step` bytes at once.
    pub(crate) fn get(
        &mut self,
        file: &dyn File,
        offset: u64,
        want: usize,
        step: usize,
    ) -> io::Result<&[u8]> {
        let skip = offset.checked_sub(self.start).and_then(|n| usize::try_from(n).ok());
        let held = skip.filter(|skip| self.filled.checked_sub(*skip).is_some_and(|rest| rest >= want));
        if let Some(skip) = held {
            return Ok(self.buffer.get(skip..self.filled).unwrap_or(&[]));
        }
        let size = want.max(step);
        if self.buffer.len() < size {
            // Not `resize`: fresh zeroed memory is mapped as it is touched, which matters where files are small.
            self.buffer = vec![0; size];
        }
        self.filled = 0;
        self.start = offset;
        let target = self.buffer.get_mut(..size).unwrap_or(&mut []);
        self.filled = file.read_at(target, offset)?;
        Ok(self.buffer.get(..self.filled).unwrap_or(&[]))
    }

    /// The bytes of a header at `offset`, or fewer where the file ends.
    pub(crate) fn header(&mut self, file: &dyn File, offset: u64, step: usize) -> io::Result<&[u8]> {
        let bytes = self.get(file, offset, HEADER_BYTES, step)?;
        Ok(bytes.get(..HEADER_BYTES).unwrap_or(bytes))
    }

    /// Forgets what was read, for another file.
    pub(crate) fn forget(&mut self) {
        self.filled = 0;
        self.start = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbers_in_twenty_digits() {
        assert_eq!(path_of(FrameNumber(7)), "log/00000000000000000007.seg");
        assert_eq!(parse_name("00000000000000000007.seg"), Some(FrameNumber(7)));
        assert_eq!(parse_name("18446744073709551615.seg"), Some(FrameNumber(u64::MAX)));
        for bad in [
            "7.seg",
            "00000000000000000007",
            "spare.seg",
            "18446744073709551616.seg",
            "+0000000000000000007.seg",
        ] {
            assert_eq!(parse_name(bad), None, "{bad}");
        }
    }
}
