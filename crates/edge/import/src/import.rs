//! The import itself: record after record of a file, each as an event with an id that is the same for ever.
//!
//! A file is always read from its beginning; [`Import::resume_behind`] only withholds the events that were taken
//! before, so that the report speaks of the whole file and a trace's own values are known (`IMPORT-1`).

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use waag_model::event::Event;

use crate::error::ImportError;
use crate::hash::FileHash;
use crate::jsonl::Objects;
use crate::mapping::{Format, Mapping};
use crate::record::Record;
use crate::report::{Odd, Report};
use crate::shape::Shaper;
use crate::table::Table;
use crate::text::{Counted, Text, Told};
use crate::xes::Xes;

enum Source<'a> {
    Xes(Box<Xes<'a>>),
    Table(Box<Table<'a>>),
    Objects(Box<Objects<'a>>),
}

/// Reads a file as events. After an error it is at its end.
pub struct Import<'a> {
    source: Source<'a>,
    shaper: Shaper<'a>,
    record: Record,
    behind: u64,
    withheld: u64,
    report: Report,
    read: Arc<AtomicU64>,
    ended: bool,
}

/// One event of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The record's number in the file, counted from 1: what to resume behind once the event is recorded.
    pub record: u64,
    /// Its line in the unpacked text, counted from 1.
    pub line: u64,
    /// The event; its id is the same whenever this file is read under this mapping.
    pub event: Event<'static>,
}

/// How much of a file has been read; to be looked at from anywhere.
#[derive(Clone, Debug)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// Bytes of the file as it lies there, packed or not.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl<'a> Import<'a> {
    /// Begins to read a file of this hash.
    ///
    /// # Errors
    /// [`ImportError`] where its first bytes or its header cannot be taken.
    pub fn open(mapping: &'a Mapping, hash: FileHash, reader: impl Read + 'a) -> Result<Self, ImportError> {
        let read = Arc::new(AtomicU64::new(0));
        let counted = Counted { inner: reader, count: Arc::clone(&read) };
        let names = mapping.sources();
        let source = match mapping.format() {
            Format::Xes => {
                let text = Text::open(counted, Told::XmlOr(mapping.encoding()))?;
                Source::Xes(Box::new(Xes::new(text, names)))
            }
            Format::Csv => {
                let text = Text::open(counted, Told::By(mapping.encoding()))?;
                Source::Table(Box::new(Table::new(text, mapping.table_form(), names)?))
            }
            Format::Jsonl => {
                let text = Text::open(counted, Told::By(mapping.encoding()))?;
                Source::Objects(Box::new(Objects::new(text, names)))
            }
        };
        Ok(Self {
            source,
            shaper: Shaper::new(mapping, hash),
            record: Record::new(names.len()),
            behind: 0,
            withheld: 0,
            report: Report::default(),
            read,
            ended: false,
        })
    }

    /// Withholds the events up to and including record number `record`.
    pub fn resume_behind(&mut self, record: u64) {
        self.behind = record;
    }

    /// How many events were withheld so far.
    #[must_use]
    pub fn withheld(&self) -> u64 {
        self.withheld
    }

    /// What is known of the file as far as it was read.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// How much of the file has been read.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress(Arc::clone(&self.read))
    }

    fn next_record(&mut self) -> Result<bool, ImportError> {
        match &mut self.source {
            Source::Xes(xes) => {
                let more = xes.next(&mut self.record)?;
                self.report.cases = Some(xes.traces);
                Ok(more)
            }
            Source::Table(table) => table.next(&mut self.record),
            Source::Objects(objects) => objects.next(&mut self.record),
        }
    }

    fn next_event(&mut self) -> Result<Option<Imported>, ImportError> {
        while self.next_record()? {
            self.report.records += 1;
            let (number, line) = (self.report.records, self.record.line);
            if let Some(why) = self.record.unreadable.take() {
                self.report.left_out += 1;
                self.report.odd(Odd::Unreadable, number, line, &why);
                continue;
            }
            self.report.events += 1;
            let event = self.shaper.shape(&self.record, number, &mut self.report);
            if number > self.behind {
                return Ok(Some(Imported { record: number, line, event }));
            }
            self.withheld += 1;
        }
        Ok(None)
    }
}

impl Iterator for Import<'_> {
    type Item = Result<Imported, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.next_event().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}
