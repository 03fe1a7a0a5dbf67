//! What an export's files of events say, held against its entries.
//!
//! Two depths: what an entry says in clear (position, hash, type, times) needs no key and is compared by every check; all
//! of a line needs the keys of its parts, so that it is compared with a store that was rebuilt from the export.
//! Not here: the tables, which follow from these files.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::path::Path;

use serde::Deserialize;
use waag_engine::reader::ReadFault;
use waag_entry::form::{Entry, read_clear};
use waag_ledger::hash::{Hash, leaf_hash};
use waag_log::contract::FrameView;
use waag_model::ids::Position;

use super::check::{Opened, WHOLE_BYTES_MAX, is_plain, json, regular};
use super::error::ExportError;
use super::folder::to_json;
use super::{MANIFEST_FILE, forms::TypeForm};
use crate::store::error::StoreError;
use crate::store::lines::Lines;
use crate::store::reader::OpenedReader;

/// Most files that are open at once; an export may have far more types.
const OPEN_FILES_MAX: usize = 128;

/// The files of events, read side by side in the ledger's order.
pub(super) struct EventLines<'e> {
    root: &'e Path,
    of_type: HashMap<&'e str, usize>,
    /// The file that further types share.
    shared: Option<usize>,
    files: Vec<EventFile<'e>>,
    open: usize,
}

struct EventFile<'e> {
    form: &'e TypeForm,
    offset: u64,
    lines: u64,
    reader: Option<BufReader<File>>,
}

/// What a line says that its entry has in clear.
#[derive(Deserialize)]
struct InClear {
    position: u64,
    leaf_hash: String,
    accepted: String,
    r#type: String,
    schema: u32,
    retention: String,
}

/// How far the events of an export were compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Events that say letter for letter what their entries say.
    pub whole: u64,
    /// Events of which only what is in clear could be compared, since a part of the entry stays closed.
    pub in_clear: u64,
}

impl<'e> EventLines<'e> {
    pub(super) fn new(export: &'e Opened) -> Result<Self, ExportError> {
        let mut of_type = HashMap::new();
        let (mut shared, mut files) = (None, Vec::new());
        for (at, form) in export.manifest.types.iter().enumerate() {
            if !is_plain(&form.jsonl) {
                return Err(ExportError::damaged(MANIFEST_FILE, "a path is none"));
            }
            match &form.r#type {
                Some(kind) => drop(of_type.insert(kind.as_str(), at)),
                None => shared = Some(at),
            }
            files.push(EventFile { form, offset: 0, lines: 0, reader: None });
        }
        Ok(Self { root: &export.root, of_type, shared, files, open: 0 })
    }

    /// The next line of an entry's type, what it says in clear compared; and the name of its file.
    pub(super) fn next(
        &mut self,
        position: u64,
        leaf: &Hash,
        entry: &[u8],
    ) -> Result<(&'e str, Vec<u8>), ExportError> {
        let header = read_clear(entry).map_err(ReadFault::Entry)?;
        let at = self.of_type.get(header.kind).copied().or(self.shared);
        if self.open >= OPEN_FILES_MAX {
            self.files.iter_mut().for_each(|file| drop(file.reader.take()));
            self.open = 0;
        }
        let file = at.and_then(|at| self.files.get_mut(at));
        let file =
            file.ok_or_else(|| ExportError::damaged(MANIFEST_FILE, "an entry's type has no file of events"))?;
        let name = file.form.jsonl.as_str();
        self.open += usize::from(file.reader.is_none());
        let line = file.line(self.root)?;
        let told: InClear = json(name, &line)?;
        let is_same = told.position == position
            && told.leaf_hash == leaf.to_string()
            && told.accepted == header.accepted.to_string()
            && told.r#type == header.kind
            && told.schema == header.schema
            && told.retention == header.retention;
        if is_same { Ok((name, line)) } else { Err(differs(name, position)) }
    }

    /// That every file has ended, with as many events as were told.
    pub(super) fn finish(mut self) -> Result<(), ExportError> {
        for file in &mut self.files {
            let name = &file.form.jsonl;
            let (lines, told) = (file.lines, file.form.events);
            if lines != told {
                return Err(ExportError::damaged(
                    name,
                    format!("{told} events were told and {lines} are entries"),
                ));
            }
            if !file.line(self.root)?.is_empty() {
                return Err(ExportError::damaged(name, "it has more lines than there are entries"));
            }
            file.reader = None;
        }
        Ok(())
    }
}

impl EventFile<'_> {
    /// The next line; empty at the end.
    fn line(&mut self, root: &Path) -> Result<Vec<u8>, ExportError> {
        let path = root.join(&self.form.jsonl);
        let failed = || StoreError::io("read", &path);
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none @ None => {
                let mut file = regular(&path).map_err(failed())?;
                file.seek(SeekFrom::Start(self.offset)).map_err(failed())?;
                none.insert(BufReader::new(file))
            }
        };
        let mut line = Vec::new();
        reader.take(WHOLE_BYTES_MAX).read_until(b'\n', &mut line).map_err(failed())?;
        self.offset = self.offset.saturating_add(line.len() as u64);
        self.lines = self.lines.saturating_add(u64::from(!line.is_empty()));
        Ok(line)
    }
}

fn differs(name: &str, position: u64) -> ExportError {
    ExportError::damaged(name, format!("what it says of position {position} is not what the entry says"))
}

/// Compares all that an export's events say with the entries of the store that was rebuilt from it.
///
/// # Errors
/// [`ExportError::Damaged`] at the first event that says anything else than its entry; the store's.
pub fn events(export: &Opened, store: &OpenedReader) -> Result<Compared, ExportError> {
    let mut told = EventLines::new(export)?;
    let mut lines = Lines::new(store, export.manifest.revealed);
    let mut compared = Compared::default();
    let mut failed = None;
    let mut frame_of = |frame: &FrameView<'_>| -> Result<(), ExportError> {
        let committed = frame.header().fields.commit_time;
        for (position, bytes) in frame.entries() {
            let leaf = leaf_hash(bytes);
            let (name, there) = told.next(position.0, &leaf, bytes)?;
            let entry = Entry::read(bytes).map_err(ReadFault::Entry)?;
            let line = lines.line(position, leaf, Some(committed), &entry)?;
            let is_open = line.is_open();
            let mut made = to_json(&line)?;
            made.push(b'\n');
            if made == there {
                compared.whole += 1;
            } else if is_open {
                return Err(differs(name, position.0));
            } else {
                compared.in_clear += 1;
            }
        }
        Ok(())
    };
    let mut look = |frame: FrameView<'_>| match frame_of(&frame) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    };
    store.reader.log.read(Position(0), &mut look).map_err(ReadFault::Log)?;
    failed.map_or(Ok(()), Err)?;
    told.finish()?;
    Ok(compared)
}
