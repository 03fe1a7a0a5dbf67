//! Everything of one ledger in open formats, and a store that is rebuilt from it: the way out of this product.
//!
//! Place: behind `waag export` and `waag rebuild`; reads beside a running writer, up to the guard. The form of the files
//! is in `docs/reference/export.md`.
//! Not here: recording who took what (`cli`), backups (`backups`), which are smaller, sealed, and Waag's own form.
//!
//! Memory is bounded: entries are streamed, the list of files too; what grows are the names of event types.
//!
//! - `EXPORT-1`: without the signed note, which is written last, a folder is no export.
//! - `EXPORT-2`: every file but the manifest, its note and the list is in the list with its SHA-256; the manifest has the
//!   list's.
//! - `EXPORT-3`: no signing seed and no secret of a target ever leaves; data keys only where they were asked for.

pub mod check;
pub mod compare;
mod csv;
pub mod error;
mod folder;
pub mod forms;
mod parts;
pub mod rebuild;
mod tiles;
mod types;

use std::ops::ControlFlow;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use waag_engine::reader::ReadFault;
use waag_engine::recover::signers;
use waag_entry::cbor::{Reader as CborReader, write as cbor};
use waag_entry::form::Entry;
use waag_ledger::hash::leaf_hash;
use waag_ledger::note::Note;
use waag_ledger::tree::Frontier;
use waag_log::contract::FrameView;
use waag_model::ids::{Actor, Position};
use waag_model::time::UtcNanos;

use self::error::ExportError;
use self::folder::{Folder, Stream, to_json};
use self::forms::{FORMAT, FrameForm, ListForm, Manifest, TypeForm};
use self::tiles::Tiler;
use self::types::Types;
use super::error::StoreError;
use super::lines::Lines;
use super::reader::OpenedReader;

/// The type of the event that records an export.
pub const EXPORTED: &str = super::keeping::EXPORT_DONE;
/// What the keys of exports' records begin with, in the state's upkeep.
pub const EXPORT_PREFIX: &[u8] = b"export/";
/// The signed note, written last.
pub const NOTE_FILE: &str = "manifest.note";
/// What the note signs.
pub const MANIFEST_FILE: &str = "manifest.json";
/// The list of all other files.
pub const LIST_FILE: &str = "files.jsonl";
/// The signed checkpoint.
pub const CHECKPOINT_FILE: &str = "checkpoint";
/// The frames' own facts, without their entries.
pub const FRAMES_FILE: &str = "frames.jsonl";

/// What is taken beside what is always taken.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Persons' fields in clear.
    pub revealed: bool,
    /// Every data key.
    pub keys: bool,
    /// Whether the store's vault has a passphrase.
    pub passphrase: bool,
    /// Who asks.
    pub by: Actor,
    /// When.
    pub at: UtcNanos,
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The manifest.
    pub manifest: Manifest,
    /// SHA-256 of its file.
    pub digest: [u8; 32],
}

/// Writes an export into a folder that is new or empty. `record` is asked when everything but the note is durable, and
/// before the note is; what it refuses leaves a folder that is no export.
///
/// # Errors
/// [`ExportError`].
pub fn write(
    store: &OpenedReader,
    folder: &Path,
    wanted: &Wanted,
    progress: &mut dyn FnMut(u64, u64),
    record: &mut dyn FnMut(&Written) -> Result<(), ExportError>,
) -> Result<Written, ExportError> {
    let told = store.checkpoint.checkpoint();
    if told.size == 0 {
        return Err(StoreError::Empty.into());
    }
    let signers = signers(&store.ledger).map_err(StoreError::Origin)?;
    if signers.is_empty() {
        return Err(ExportError::NoSigner);
    }
    if let Some(fault) = store.schema_faults.first() {
        return Err(ExportError::Damaged { file: "schemas".to_owned(), why: fault.to_string() });
    }
    let mut folder = Folder::create(folder)?;
    folder.whole(CHECKPOINT_FILE, store.checkpoint.note().as_bytes())?;
    let mut kinds = Types::new(&folder);
    let frames = entries(store, &mut folder, &mut kinds, wanted, progress)?;
    let types = kinds.finish(&mut folder)?;
    for kind in &types {
        csv::write(&mut folder, kind)?;
    }
    let mut counts = parts::write(store, &mut folder, wanted.keys)?;
    counts.insert("frames".to_owned(), frames);
    let (list, others) = folder.finish_list()?;
    let manifest = Manifest {
        format: FORMAT.to_owned(),
        ledger: forms::LedgerForm::of(store),
        made_ns: wanted.at.0,
        by: wanted.by.to_string(),
        program: format!("waag {}", env!("CARGO_PKG_VERSION")),
        revealed: wanted.revealed,
        keys: wanted.keys,
        passphrase: wanted.passphrase,
        types,
        counts,
        files: ListForm { sha256: list, ..others },
    };
    let text = manifest.to_json()?;
    let hash = digest(&SHA256, text.as_bytes());
    let mut written = Written { manifest, digest: [0; 32] };
    written.digest.copy_from_slice(hash.as_ref());
    folder.aside(MANIFEST_FILE, text.as_bytes())?;
    folder.sync()?;
    record(&written)?;
    let note = Note::sign(&note_text(&told.origin, &written.digest), &signers.iter().collect::<Vec<_>>());
    let note = note.map_err(StoreError::Origin)?.to_string();
    folder.aside(NOTE_FILE, note.as_bytes())?;
    folder.sync()?;
    Ok(written)
}

impl Written {
    /// What the state remembers of it, so that an erasure can tell which exports it does not reach: the record's key, and
    /// its value without its last item, which is the position of the event.
    ///
    /// The value is the CBOR array `[1, "export", at ns, tree size, revealed 0 or 1, keys 0 or 1, SHA-256 of the manifest,
    /// actor, position]`; the key ends with the time in 16 hexadecimal digits.
    #[must_use]
    pub fn record(&self) -> (Vec<u8>, Vec<u8>) {
        let manifest = &self.manifest;
        let mut key = EXPORT_PREFIX.to_vec();
        key.extend_from_slice(format!("{:016x}", manifest.made_ns).as_bytes());
        let mut value = Vec::new();
        cbor::array(&mut value, 9);
        cbor::uint(&mut value, 1);
        cbor::text(&mut value, "export");
        cbor::int(&mut value, manifest.made_ns);
        cbor::uint(&mut value, manifest.ledger.tree_size);
        cbor::uint(&mut value, manifest.revealed.into());
        cbor::uint(&mut value, manifest.keys.into());
        cbor::bytes(&mut value, &self.digest);
        cbor::text(&mut value, &manifest.by);
        (key, value)
    }
}

/// What the state remembers of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportRecord {
    /// When it was made.
    pub at: UtcNanos,
    /// Whether it has persons' fields in clear.
    pub revealed: bool,
    /// Whether it has data keys.
    pub keys: bool,
    /// SHA-256 of its manifest.
    pub digest: [u8; 32],
    /// Who made it.
    pub by: String,
    /// Where it is recorded.
    pub position: Option<u64>,
}

impl ExportRecord {
    /// Reads what [`Written::record`] made, with the event's position behind it; none where it is not exactly one.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = CborReader::new(bytes);
        let read = &mut reader;
        read.array_of(9, "an export").ok()?;
        if read.uint("a version").ok()? != 1 || read.text("a kind").ok()? != "export" {
            return None;
        }
        let at = UtcNanos(read.int("a time").ok()?);
        read.uint("a size").ok()?;
        let (revealed, keys) = (read.uint("revealed").ok()? == 1, read.uint("keys").ok()? == 1);
        let digest = read.fixed("a digest").ok()?;
        let by = read.text("an actor").ok()?.to_owned();
        let position = if read.null() { None } else { Some(read.uint("a position").ok()?) };
        read.end().ok()?;
        Some(Self { at, revealed, keys, digest, by, position })
    }
}

/// What the note says: no checkpoint reads so, since its second line is a number.
#[must_use]
pub fn note_text(origin: &str, digest: &[u8; 32]) -> String {
    format!("{FORMAT}\n{origin}\n{}\n", STANDARD.encode(digest))
}

/// Every entry: to its type's file, to the bundles, to the tiles; answers how many frames there are.
fn entries(
    store: &OpenedReader,
    folder: &mut Folder,
    kinds: &mut Types,
    wanted: &Wanted,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<u64, ExportError> {
    let told = store.checkpoint.checkpoint();
    let mut run = Run {
        lines: Lines::new(store, wanted.revealed),
        tiler: Tiler::default(),
        frontier: Frontier::new(),
        sink: Vec::new(),
        frames: folder.stream(FRAMES_FILE)?,
        count: 0,
    };
    let mut failed = None;
    let mut look = |frame: FrameView<'_>| {
        progress(frame.header().fields.first.0, told.size);
        match run.frame(&frame, folder, kinds) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    };
    store.reader.log.read(Position(0), &mut look).map_err(ReadFault::Log)?;
    if let Some(error) = failed {
        return Err(error);
    }
    let Run { tiler, frontier, frames, count, .. } = run;
    tiler.finish(&mut |tile, bytes| folder.whole(&tile.to_string(), bytes))?;
    folder.close(FRAMES_FILE, frames)?;
    // What is exported is what was signed, or nothing is.
    if (frontier.size(), frontier.root()) != (told.size, told.root) {
        return Err(ExportError::Damaged {
            file: "log".to_owned(),
            why: format!("its {} entries do not have the root of the checkpoint", frontier.size()),
        });
    }
    Ok(count)
}

struct Run<'s> {
    lines: Lines<'s>,
    tiler: Tiler,
    frontier: Frontier,
    sink: Vec<waag_ledger::hash::Hash>,
    frames: Stream,
    count: u64,
}

impl Run<'_> {
    fn frame(
        &mut self,
        frame: &FrameView<'_>,
        folder: &mut Folder,
        kinds: &mut Types,
    ) -> Result<(), ExportError> {
        self.frames.json_line(&FrameForm::of(frame.header()))?;
        self.count = self.count.saturating_add(1);
        let committed = frame.header().fields.commit_time;
        for (position, bytes) in frame.entries() {
            let leaf = leaf_hash(bytes);
            self.sink.clear();
            self.frontier.append(leaf, &mut self.sink);
            self.tiler.push(bytes, leaf, &mut |tile, bytes| folder.whole(&tile.to_string(), bytes))?;
            let entry = Entry::read(bytes).map_err(ReadFault::Entry)?;
            let mut line = to_json(&self.lines.line(position, leaf, Some(committed), &entry)?)?;
            line.push(b'\n');
            kinds.line(entry.header.kind, &line)?;
        }
        Ok(())
    }
}

/// A type's files and how many events they have.
pub(crate) fn events_of(types: &[TypeForm]) -> u64 {
    types.iter().fold(0, |sum, kind| sum.saturating_add(kind.events))
}
