//! Writes a run from records in order: blocks as they fill, then filter, block index, footer, and the header last.
//!
//! Until the header is written the file is no run, and until a manifest names it, it does not count.

use std::io;
use std::sync::Arc;

use waag_model::ids::{LedgerId, Tag};
use waag_stdx::files::{File, Open};

use super::Store;
use super::block::{BLOCK_BYTES, BLOCK_RECORDS_MAX, Record, tag_of, write_block};
use super::error::IdentityError;
use super::filter::{BITS_PER_ENTRY, Filter, LARGEST_BITS_PER_ENTRY, LINE_BYTES};
use super::run::{CHUNK_BYTES, HEADER_BYTES, Header, Run, prefix, run_name};
use super::table::Span;

/// A run being written.
#[derive(Debug)]
pub(super) struct RunWriter {
    file: Arc<dyn File>,
    path: String,
    ledger: LedgerId,
    number: u64,
    level: u32,
    filter: Filter,
    firsts: Vec<u64>,
    records: Vec<Record>,
    entries: u64,
    chunk: Vec<u8>,
    written: u64,
}

impl RunWriter {
    /// Creates the file of run `number`, for at most `entries` records.
    pub(super) fn create(
        store: &Store,
        number: u64,
        level: u32,
        entries: u64,
    ) -> Result<Self, IdentityError> {
        let path = store.path(&run_name(number));
        let file = store.files.open(&path, Open::Create).map_err(|source| IdentityError::Io {
            what: "create",
            file: path.clone(),
            source,
        })?;
        let bits_each = if level < store.level_max { BITS_PER_ENTRY } else { LARGEST_BITS_PER_ENTRY };
        let blocks = usize::try_from(entries.div_ceil(BLOCK_RECORDS_MAX as u64)).unwrap_or_default();
        Ok(Self {
            file,
            path,
            ledger: store.ledger,
            number,
            level,
            filter: Filter::for_entries(entries, bits_each),
            firsts: Vec::with_capacity(blocks),
            records: Vec::with_capacity(BLOCK_RECORDS_MAX),
            entries: 0,
            chunk: Vec::with_capacity(CHUNK_BYTES),
            written: HEADER_BYTES as u64,
        })
    }

    /// Whether no record has been added.
    pub(super) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Adds a record; its tag is above all before it.
    pub(super) fn push(&mut self, record: &Record) -> Result<(), IdentityError> {
        let tag: Tag = tag_of(record);
        self.filter.add(&tag);
        if self.records.is_empty() {
            self.firsts.push(prefix(&tag));
        }
        self.records.push(*record);
        self.entries += 1;
        if self.records.len() == BLOCK_RECORDS_MAX { self.end_block() } else { Ok(()) }
    }

    fn end_block(&mut self) -> Result<(), IdentityError> {
        let number = u32::try_from(self.firsts.len().saturating_sub(1)).unwrap_or(u32::MAX);
        write_block(&self.records, self.number, number, &mut self.chunk);
        self.records.clear();
        if self.chunk.len() + BLOCK_BYTES > CHUNK_BYTES { self.write_chunk() } else { Ok(()) }
    }

    fn write_chunk(&mut self) -> Result<(), IdentityError> {
        let written = self.file.write_at(&self.chunk, self.written);
        written.map_err(|source| self.failed("write", source))?;
        self.written += self.chunk.len() as u64;
        self.chunk.clear();
        Ok(())
    }

    /// Makes what has been written so far durable, so that the last sync is short.
    pub(super) fn sync(&self) -> Result<(), IdentityError> {
        self.file.sync().map_err(|source| self.failed("sync", source))
    }

    /// Ends the run; it is durable and open on return.
    pub(super) fn finish(mut self, span: Span) -> Result<Run, IdentityError> {
        if !self.records.is_empty() {
            self.end_block()?;
        }
        self.write_chunk()?;
        let filter_crc = self.write_filter()?;
        for first in &self.firsts {
            self.chunk.extend_from_slice(&first.to_le_bytes());
        }
        let header = Header {
            number: self.number,
            level: self.level,
            entries: self.entries,
            span,
            blocks: self.firsts.len() as u64,
            filter_lines: self.filter.lines(),
            filter_crc,
            index_crc: crc32c::crc32c(&self.chunk),
        };
        let (bytes, header_crc) = header.to_bytes(self.ledger);
        self.chunk.extend_from_slice(&header.footer(header_crc));
        self.write_chunk()?;
        self.file.write_at(&bytes, 0).map_err(|source| self.failed("write", source))?;
        self.sync()?;
        Ok(Run {
            header,
            header_crc,
            file: self.file,
            path: self.path,
            filter: self.filter,
            firsts: self.firsts,
        })
    }

    /// Writes the filter in chunks; gives its CRC32C.
    fn write_filter(&mut self) -> Result<u32, IdentityError> {
        let (mut from, mut crc) = (0, 0);
        let lines = usize::try_from(self.filter.lines()).unwrap_or_default();
        while from < lines {
            let to = from + CHUNK_BYTES / LINE_BYTES;
            self.filter.write_lines(from, to, &mut self.chunk);
            crc = crc32c::crc32c_append(crc, &self.chunk);
            self.write_chunk()?;
            from = to;
        }
        Ok(crc)
    }

    fn failed(&self, what: &'static str, source: io::Error) -> IdentityError {
        IdentityError::Io { what, file: self.path.clone(), source }
    }
}
