//! Merging neighbouring runs of one level into one of the next, a bounded step at a time.
//!
//! Where a tag stands in several runs the newest run's entry stays; entries below the horizon are dropped.

use std::sync::Arc;

use waag_model::ids::Position;

use super::Store;
use super::block::{BLOCK_BYTES, Record, position_of, read_block, tag_of};
use super::error::IdentityError;
use super::run::{HEADER_BYTES, Run, read_whole};
use super::run_writer::RunWriter;
use super::table::Span;

/// Blocks that a cursor reads at once.
const READ_BLOCKS: u32 = 16;

/// A merge between two steps.
#[derive(Debug)]
pub(super) struct Merge {
    /// The runs being merged, oldest first.
    pub(super) inputs: Vec<Arc<Run>>,
    /// The number of the run being made.
    pub(super) number: u64,
    /// Entries below are dropped.
    horizon: Position,
    under_way: Option<Box<(Vec<Cursor>, RunWriter)>>,
}

/// How far a merge has come.
pub(super) enum Progress {
    /// More steps are to come.
    Going(Merge),
    /// The run that replaces the inputs; `None` where nothing was left.
    Merged(Option<Run>),
}

impl Merge {
    /// A merge of `inputs` into run `number`; nothing is done yet.
    pub(super) fn new(inputs: Vec<Arc<Run>>, number: u64, horizon: Position) -> Self {
        Self { inputs, number, horizon, under_way: None }
    }

    /// Merges up to `entries` more.
    pub(super) fn step(mut self, store: &Store, entries: usize) -> Result<Progress, IdentityError> {
        let (mut cursors, mut writer) = match self.under_way.take() {
            Some(under_way) => *under_way,
            None => self.begin(store)?,
        };
        for _ in 0..entries {
            let least = cursors.iter().filter_map(|cursor| cursor.record.map(|record| tag_of(&record))).min();
            let Some(tag) = least else { return Ok(Progress::Merged(self.end(writer)?)) };
            let mut newest = None;
            for cursor in &mut cursors {
                if let Some(record) = cursor.record.filter(|record| tag_of(record) == tag) {
                    newest = Some(record);
                    cursor.advance()?;
                }
            }
            if let Some(record) = newest.filter(|record| position_of(record) >= self.horizon) {
                writer.push(&record)?;
            }
        }
        writer.sync()?;
        self.under_way = Some(Box::new((cursors, writer)));
        Ok(Progress::Going(self))
    }

    fn begin(&self, store: &Store) -> Result<(Vec<Cursor>, RunWriter), IdentityError> {
        let entries = self.inputs.iter().map(|run| run.header.entries).sum();
        let level = self.inputs.iter().map(|run| run.header.level).max().unwrap_or_default() + 1;
        let writer = RunWriter::create(store, self.number, level, entries)?;
        let cursors = self.inputs.iter().map(|run| Cursor::start(run.clone()));
        Ok((cursors.collect::<Result<_, _>>()?, writer))
    }

    fn end(&self, writer: RunWriter) -> Result<Option<Run>, IdentityError> {
        let spans = || self.inputs.iter().map(|run| run.header.span);
        let (Some(first), Some(last)) = (spans().next(), spans().next_back()) else { return Ok(None) };
        if writer.is_empty() {
            return Ok(None);
        }
        // What is whole begins at the horizon, where that cut something off; its time is told too early then.
        let span = Span {
            first_position: first.first_position.max(self.horizon),
            last_position: last.last_position,
            first_time: first.first_time,
            last_time: spans().map(|span| span.last_time).max().unwrap_or(last.last_time),
        };
        writer.finish(span).map(Some)
    }
}

/// Reads a run's records in order.
#[derive(Debug)]
struct Cursor {
    run: Arc<Run>,
    /// The record it stands at; `None` past the end.
    record: Option<Record>,
    buffer: Vec<u8>,
    /// The block that `records` are of.
    next_block: u32,
    buffered_from: u32,
    buffered: u32,
    records: Vec<Record>,
    next_record: usize,
}

impl Cursor {
    fn start(run: Arc<Run>) -> Result<Self, IdentityError> {
        let mut cursor = Self {
            run,
            record: None,
            buffer: vec![0; BLOCK_BYTES * READ_BLOCKS as usize],
            next_block: 0,
            buffered_from: 0,
            buffered: 0,
            records: Vec::new(),
            next_record: 0,
        };
        cursor.advance()?;
        Ok(cursor)
    }

    fn advance(&mut self) -> Result<(), IdentityError> {
        if self.next_record == self.records.len() {
            self.next_record = 0;
            self.read_next_block()?;
        }
        self.record = self.records.get(self.next_record).copied();
        self.next_record += usize::from(self.record.is_some());
        Ok(())
    }

    /// Takes the next block's records; none past the last.
    fn read_next_block(&mut self) -> Result<(), IdentityError> {
        self.records.clear();
        let blocks = u32::try_from(self.run.header.blocks).unwrap_or(u32::MAX);
        if self.next_block >= blocks {
            return Ok(());
        }
        if self.next_block == self.buffered_from + self.buffered {
            self.buffered_from = self.next_block;
            self.buffered = READ_BLOCKS.min(blocks - self.next_block);
            let bytes = self.buffer.get_mut(..BLOCK_BYTES * self.buffered as usize).unwrap_or_default();
            read_whole(&*self.run.file, &self.run.path, bytes, offset_of(self.next_block))?;
        }
        let from = BLOCK_BYTES * (self.next_block - self.buffered_from) as usize;
        let bytes = self.buffer.get(from..from + BLOCK_BYTES).unwrap_or_default();
        let records = read_block(bytes, self.run.header.number, self.next_block)
            .ok_or_else(|| self.run.damaged_at(offset_of(self.next_block)))?;
        self.records.extend_from_slice(records);
        self.next_block += 1;
        Ok(())
    }
}

fn offset_of(block: u32) -> u64 {
    HEADER_BYTES as u64 + u64::from(block) * BLOCK_BYTES as u64
}
