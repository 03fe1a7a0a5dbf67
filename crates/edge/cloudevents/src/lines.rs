//! JSON Lines: one event a line, each line bounded, a bad line never the end of the input.
//!
//! Not here: what a line says ([`crate::read_event`]).
//! An input and output fault ends the reading; it is the environment's, so it is passed on as it is.

use std::io::{self, BufRead, Read};

use waag_model::limits::EVENT_BYTES_MAX;

use crate::refusal::{Reason, Refusal};

/// The longest line with its line feed, in bytes.
const LINE_BYTES_MAX: u64 = EVENT_BYTES_MAX as u64 + 1;

/// Splits an input into lines; memory stays within one line of `EVENT_BYTES_MAX`.
pub struct Lines<'r> {
    reader: &'r mut dyn BufRead,
    line: Vec<u8>,
    number: u64,
}

/// One line that is not blank.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'l> {
    /// Its number, counted from 1; blank lines count.
    pub number: u64,
    /// Its bytes without the line's end (LF, CR LF), or why it cannot be taken; reading may go on.
    pub bytes: Result<&'l [u8], Refusal>,
}

impl<'r> Lines<'r> {
    /// Lines of `reader` from where it stands.
    pub fn new(reader: &'r mut dyn BufRead) -> Self {
        Self { reader, line: Vec::new(), number: 0 }
    }

    /// The next line that is not blank, `None` at the end; a last line needs no line feed.
    ///
    /// A line over the limit is passed over to its end without being held, and answered with a refusal.
    ///
    /// # Errors
    /// The reader's own; nothing more can then be read.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            self.line.clear();
            let taken = (&mut *self.reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line)?;
            if taken == 0 {
                return Ok(None);
            }
            self.number += 1;
            if self.line.last() == Some(&b'\n') {
                self.line.pop();
                if self.line.last() == Some(&b'\r') {
                    self.line.pop();
                }
            } else if self.line.len() > EVENT_BYTES_MAX {
                self.reader.skip_until(b'\n')?;
                let bytes = Err(Refusal::new(Reason::TooLarge(EVENT_BYTES_MAX), EVENT_BYTES_MAX));
                return Ok(Some(Line { number: self.number, bytes }));
            }
            if !self.line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
                break;
            }
        }
        Ok(Some(Line { number: self.number, bytes: Ok(&self.line) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8], buffer: usize) -> Vec<(u64, Result<Vec<u8>, &'static str>)> {
        let mut reader = io::BufReader::with_capacity(buffer, input);
        let mut lines = Lines::new(&mut reader);
        let mut out = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            let bytes = line.bytes.map(<[u8]>::to_vec).map_err(|refusal| refusal.code());
            out.push((line.number, bytes));
        }
        out
    }

    #[test]
    fn blank_lines_count_but_are_not_given() {
        for buffer in [1, 2, 3, 64] {
            let got = all(b"a\n\n \t\r\nbb\r\n\r\nc", buffer);
            let want = [(1, Ok(b"a".to_vec())), (4, Ok(b"bb".to_vec())), (6, Ok(b"c".to_vec()))];
            assert_eq!(got, want);
            assert!(all(b"", buffer).is_empty());
            assert!(all(b"\n\n", buffer).is_empty());
        }
    }

    #[test]
    fn the_longest_line_passes_and_one_byte_more_is_refused_and_passed_over() {
        let longest = vec![b'x'; EVENT_BYTES_MAX];
        let mut input = longest.clone();
        input.extend_from_slice(b"\nok\n");
        input.extend_from_slice(&longest);
        input.extend_from_slice(b"x\nafter\n");
        input.extend_from_slice(&longest);
        input.extend_from_slice(b"xyz");
        let got = all(&input, 8_192);
        assert_eq!(got[0], (1, Ok(longest)));
        assert_eq!(got[1], (2, Ok(b"ok".to_vec())));
        assert_eq!(got[2], (3, Err("E0101")));
        assert_eq!(got[3], (4, Ok(b"after".to_vec())));
        assert_eq!(got[4], (5, Err("E0101")));
        assert_eq!(got.len(), 5);
    }

    #[test]
    fn a_line_that_is_far_too_long_is_never_held() {
        let mut input = io::BufReader::new(io::repeat(b'x').take(40 << 20).chain(&b"\nnext"[..]));
        let mut lines = Lines::new(&mut input);
        assert!(lines.next_line().unwrap().unwrap().bytes.is_err());
        assert!(lines.line.capacity() <= 4 * EVENT_BYTES_MAX, "{}", lines.line.capacity());
        assert_eq!(lines.next_line().unwrap().unwrap(), Line { number: 2, bytes: Ok(b"next") });
    }
}
