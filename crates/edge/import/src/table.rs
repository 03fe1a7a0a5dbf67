//! CSV, row by row: columns by their names in the header, or by their numbers where there is none.
//!
//! A row with another number of columns than the header is left out, since its values may stand under wrong names.
//! Source: RFC 4180; the delimiter and the quote are the mapping's.

use std::sync::Arc;

use csv::{ByteRecord, ErrorKind, ReaderBuilder};

use crate::error::ImportError;
use crate::limits::PIECE_BYTES_MAX;
use crate::mapping::TableForm;
use crate::record::Record;
use crate::text::{Text, lossy};

/// Reads the rows of a table.
pub(crate) struct Table<'r> {
    reader: csv::Reader<Text<'r>>,
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
            .from_reader(text);
        let mut row = ByteRecord::new();
        let (mut columns, mut width) = (Vec::with_capacity(names.len()), None);
        if form.header {
            reader.get_mut().allow(PIECE_BYTES_MAX);
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
        self.reader.get_mut().allow(PIECE_BYTES_MAX);
        if !self.reader.read_byte_record(&mut self.row).map_err(fault)? {
            return Ok(false);
        }
        record.line = self.row.position().map_or(0, csv::Position::line);
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

fn fault(error: csv::Error) -> ImportError {
    let line = error.position().map_or(0, csv::Position::line);
    match error.into_kind() {
        ErrorKind::Io(error) => ImportError::from_io(&Arc::new(error)),
        // Only `Io` is raised by a flexible reader of bytes; the kind may grow.
        _ => ImportError::Encoding { line, why: "the row cannot be read".to_owned() },
    }
}
