//! CSV, row by row: columns by their names in the header, or by their numbers where there is none.
//!
//! A row with another number of columns than the header is left out, since its values may stand under wrong names.
//! Source: RFC 4180; the delimiter and the quote are the mapping's.

use std::io::{self, BufRead as _, Read};
use std::sync::Arc;

use csv::{ByteRecord, ErrorKind, ReaderBuilder};

use crate::error::ImportError;
use crate::limits::PIECE_BYTES_MAX;
use crate::mapping::TableForm;
use crate::record::Record;
use crate::text::{Text, lossy};

/// How much the table's reader takes at once; twice what is passed on to it, for held carriage returns.
const BUFFER_BYTES: usize = 2 * ROOM_BYTES_MAX;
/// How much of the text is passed on at once.
const ROOM_BYTES_MAX: usize = 8_192;

/// Reads the rows of a table.
pub(crate) struct Table<'r> {
    reader: csv::Reader<LineFeeds<'r>>,
    row: ByteRecord,
    /// The column that fills each slot.
    columns: Vec<usize>,
    /// How many columns a row has; known from the header, or from the first row.
    width: Option<usize>,
}

impl<'r> Table<'r> {
    /// Reads `text`; `names` are the mapping's, by slot.
    pub(crate) fn new(text: Text<'r>, form: TableForm, names: &[String]) -> Result<Self, ImportError> {
        let mut reader = ReaderBuilder::new()
            .delimiter(form.delimiter)
            .quote(form.quote)
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(LineFeeds { text, held: false, last: b'\n' });
        let mut row = ByteRecord::new();
        let (mut columns, mut width) = (Vec::with_capacity(names.len()), None);
        if form.header {
            reader.get_mut().text.allow(PIECE_BYTES_MAX);
            reader.read_byte_record(&mut row).map_err(fault)?;
            let header: Vec<String> = row.iter().map(|name| lossy(name).0.trim().to_owned()).collect();
            width = Some(header.len());
            for name in names {
                let mut places = header.iter().enumerate().filter(|(_, column)| *column == name);
                let column = |twice| ImportError::Column { name: name.clone(), twice };
                let (at, _) = places.next().ok_or_else(|| column(false))?;
                if places.next().is_some() {
                    return Err(column(true));
                }
                columns.push(at);
            }
        } else {
            // The mapping has checked that these are numbers from 1.
            columns.extend(names.iter().map(|name| name.parse::<usize>().unwrap_or(0).saturating_sub(1)));
        }
        Ok(Self { reader, row, columns, width })
    }

    /// Fills `record` with the next row; false at the end of the table.
    pub(crate) fn next(&mut self, record: &mut Record) -> Result<bool, ImportError> {
        record.clear();
        self.reader.get_mut().text.allow(PIECE_BYTES_MAX);
        if !self.reader.read_byte_record(&mut self.row).map_err(fault)? {
            return Ok(false);
        }
        // The reader passes over blank lines after it notes where a row begins, so the row is counted from its end.
        let within = memchr::memchr_iter(b'\n', self.row.as_slice()).count() as u64;
        record.line = self.reader.position().line().saturating_sub(1 + within);
        let width = *self.width.get_or_insert(self.row.len());
        if self.row.len() != width {
            record.unreadable = Some(format!("{} columns where {width} are named", self.row.len()));
            return Ok(true);
        }
        for (slot, column) in self.columns.iter().enumerate() {
            let Some(bytes) = self.row.get(*column) else { continue };
            match std::str::from_utf8(bytes) {
                Ok(text) => record.set(slot, text),
                Err(_) => {
                    record.set(slot, &lossy(bytes).0);
                    record.replaced = true;
                }
            }
        }
        Ok(true)
    }
}

/// A text whose lines all end in one line feed, the last one included; so lines can be counted behind each row.
struct LineFeeds<'r> {
    text: Text<'r>,
    /// A carriage return that waits for what follows it.
    held: bool,
    last: u8,
}

impl Read for LineFeeds<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len();
        let mut places = buffer.iter_mut();
        let mut put = |byte: u8| {
            if let Some(place) = places.next() {
                *place = byte;
            }
            room - places.len()
        };
        let mut written = 0;
        // Again where all that came was a carriage return, since nothing written would mean the end.
        loop {
            let available = self.text.fill_buf()?;
            if available.is_empty() {
                if std::mem::take(&mut self.held) {
                    self.last = b'\r';
                    written = put(b'\r');
                } else if self.last != b'\n' {
                    self.last = b'\n';
                    written = put(b'\n');
                }
                return Ok(written);
            }
            // A byte may bring the one that was held with it; the table's reader has room for thousands.
            let taken = available.len().min(ROOM_BYTES_MAX);
            for byte in available.iter().take(taken).copied() {
                if std::mem::take(&mut self.held) && byte != b'\n' {
                    written = put(b'\r');
                }
                if byte == b'\r' {
                    self.held = true;
                } else {
                    written = put(byte);
                }
                self.last = byte;
            }
            self.text.consume(taken);
            if written > 0 {
                return Ok(written);
            }
        }
    }
}

fn fault(error: csv::Error) -> ImportError {
    let line = error.position().map_or(0, csv::Position::line);
    // Only `Io` is raised by a flexible reader of bytes.
    if let ErrorKind::Io(error) = error.into_kind() {
        return ImportError::from_io(&Arc::new(error));
    }
    ImportError::Encoding { line, why: "the row cannot be read".to_owned() }
}
