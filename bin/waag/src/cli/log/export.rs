//! A static copy of the published log: the files that any web server can serve as C2SP tlog-tiles.
//!
//! What is missing is written, full tiles once and partial ones of the published size; the checkpoint comes last, by a
//! rename behind everything it covers, so that whoever reads the folder meanwhile has a whole log. A copy that was broken off
//! goes on where it stopped.
//! Every tile and bundle is checked against the signed root before it is written; no file is written in place.
//! The stored hashes of a running writer lag behind it: those at the end are computed from the log again.
//! Not here: whether the log may be published (whoever runs this decides), serving it.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use indicatif::ProgressBar;
use serde::Serialize;
use waag_engine::recover::verifier_keys;
use waag_ledger::checkpoint::SignedCheckpoint;
use waag_ledger::hash::{Hash, leaf_hash};
use waag_ledger::note::{NOTE_BYTES_MAX, VerifierKey};
use waag_ledger::proof::prove_consistency;
use waag_ledger::stored::{HashReadError, HashReader, frontier_at, stored_hash_count};
use waag_ledger::tile::{TILE_LEVEL_MAX, TILE_WIDTH, Tile, TileKind, write_entry_bundle};
use waag_log::contract::EventLog;
use waag_model::ids::Position;

use crate::cli::failure::{CliError, Exit, Failure, chain};
use crate::cli::output::{Output, progress};
use crate::cli::setting::Setting;
use crate::node::publishing::record::latest;
use crate::node::publishing::status::Stopped;
use crate::store::error::StoreError;
use crate::store::reader::{OpenedReader, StoredFile, open_reader};

pub(super) const HELP: &str = "\
Runs beside a running node. The folder then has `checkpoint` and `tile/`, as C2SP tlog-tiles says; serve it as it is, with
long caching for `tile/` and none for `checkpoint`. Entries are sealed: what is in them is read by who has keys.
Where no node has published yet, the checkpoint is the newest one that the guard holds.
Run it again to bring the copy up to date: only what is missing is written, and a folder that holds another log, or more of
this one, is left as it is.

Example:
  waag log export /var/www/log";

/// Most entries whose hashes are computed again where the file of stored hashes lags behind.
const RECOMPUTED_MAX: u64 = 1_000_000;
const CHECKPOINT: &str = "checkpoint";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder; made where it is missing
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Why no copy was made.
#[derive(Debug)]
enum ExportError {
    /// The folder holds something that is no checkpoint of this log.
    OtherLog,
    /// The folder holds more than what is published.
    Later { there: u64, here: u64 },
    /// The stored hashes lag too far behind, or are damaged.
    Hashes,
}

impl ExportError {
    fn code(&self) -> &'static str {
        match self {
            Self::OtherLog => "E0710",
            Self::Later { .. } => "E0711",
            Self::Hashes => "E0712",
        }
    }
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherLog => {
                write!(f, "the folder's checkpoint is none of this log, or of another history of it")
            }
            Self::Later { there, here } => {
                write!(f, "the folder has {there} entries, and the published log {here}")
            }
            Self::Hashes => write!(f, "the stored hashes do not lead to the published root"),
        }
    }
}

impl std::error::Error for ExportError {}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        Self { code: error.code(), reason: chain(&error), exit: Exit::Environment }
    }
}

#[derive(Serialize)]
struct Done<'a> {
    origin: &'a str,
    size: u64,
    written: u64,
    bytes: u64,
    there: u64,
}

pub(super) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    setting.must_be_outside(&args.folder)?;
    let store = open_reader(&setting.place()?, &setting.options()?)?;
    let keys = verifier_keys(&store.ledger).map_err(StoreError::Origin)?;
    let checkpoint = published(&store, &keys)?;
    let told = checkpoint.checkpoint();
    let file = StoredFile::open(&*store.place.data_files());
    let hashes = Hashes::whole(&store, file, told.size)?;
    let root = frontier_at(&hashes, told.size).map_err(|_| ExportError::Hashes)?.root();
    if root != told.root {
        return Err(ExportError::Hashes.into());
    }
    let mut copy = Copy {
        folder: args.folder.clone(),
        made: PathBuf::new(),
        checkpoint: &checkpoint,
        hashes: &hashes,
        bar: progress(Some(told.size), "entries"),
        written: 0,
        bytes: 0,
        there: 0,
    };
    copy.check_before(&keys)?;
    copy.bundles(&*store.reader.log)?;
    copy.tiles()?;
    copy.finish()?;
    let done = Done {
        origin: &told.origin,
        size: told.size,
        written: copy.written,
        bytes: copy.bytes,
        there: copy.there,
    };
    output.answer(&done, || {
        format!(
            "{} with {} entries: {} files written, {} were there\n",
            done.origin, done.size, done.written, done.there
        )
    })?;
    Ok(Exit::Done)
}

/// The published checkpoint, or the guard's where none was published.
fn published(store: &OpenedReader, keys: &[VerifierKey]) -> Result<SignedCheckpoint, Failure> {
    let guarded = store.checkpoint.checkpoint();
    let kept = latest(&store.keyring)?.filter(|kept| kept.origin == guarded.origin);
    let Some(kept) = kept else { return Ok(store.checkpoint.clone()) };
    if kept.size > guarded.size {
        let Stopped { code, reason } = Stopped::taken_back(kept.size, guarded.size);
        return Err(Failure { code, reason, exit: Exit::Environment });
    }
    let checkpoint = SignedCheckpoint::verify(kept.note.as_bytes(), keys);
    checkpoint.map_err(|error| Failure { code: error.code(), reason: chain(&error), exit: Exit::Environment })
}

/// The file of stored hashes, and those behind it, computed from the log.
struct Hashes {
    file: StoredFile,
    /// The number of the first of `more`.
    first: u64,
    more: Vec<Hash>,
}

impl Hashes {
    fn whole(store: &OpenedReader, file: StoredFile, size: u64) -> Result<Self, Failure> {
        let count = file.count();
        // The largest size all of whose hashes the file has; a tree of n leaves has at most 2n hashes.
        let mut known = size.min(count / 2);
        while known < size && stored_hash_count(known + 1) <= count {
            known += 1;
        }
        if size - known > RECOMPUTED_MAX {
            return Err(ExportError::Hashes.into());
        }
        let mut frontier = frontier_at(&file, known).map_err(|_| ExportError::Hashes)?;
        let mut more = Vec::new();
        if known < size {
            let read = store.reader.log.read(Position(known), &mut |frame| {
                for (position, bytes) in frame.entries().filter(|(position, _)| position.0 >= known) {
                    if position.0 >= size {
                        return ControlFlow::Break(());
                    }
                    frontier.append(leaf_hash(bytes), &mut more);
                }
                ControlFlow::Continue(())
            });
            read.map_err(waag_engine::reader::ReadFault::Log)?;
        }
        Ok(Self { file, first: stored_hash_count(known), more })
    }
}

impl HashReader for Hashes {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, HashReadError> {
        let behind = |index: u64| index.checked_sub(self.first);
        if indexes.iter().all(|index| behind(*index).is_none()) {
            return self.file.read_hashes(indexes);
        }
        let found = |index: &u64| -> Result<Hash, HashReadError> {
            let hash = match behind(*index) {
                None => self.file.read_hashes(&[*index])?.first().copied(),
                Some(at) => usize::try_from(at).ok().and_then(|at| self.more.get(at)).copied(),
            };
            hash.ok_or(HashReadError::Missing { index: *index })
        };
        indexes.iter().map(found).collect()
    }
}

/// A copy under way.
struct Copy<'c> {
    folder: PathBuf,
    /// The folder that was made last.
    made: PathBuf,
    checkpoint: &'c SignedCheckpoint,
    hashes: &'c Hashes,
    bar: ProgressBar,
    written: u64,
    bytes: u64,
    there: u64,
}

impl Copy<'_> {
    fn size(&self) -> u64 {
        self.checkpoint.checkpoint().size
    }

    /// What is in the folder must be an earlier or the same checkpoint of this log.
    fn check_before(&self, keys: &[VerifierKey]) -> Result<(), Failure> {
        let path = self.folder.join(CHECKPOINT);
        let mut note = Vec::new();
        let file = File::open(&path);
        match file.and_then(|file| file.take(NOTE_BYTES_MAX as u64 + 1).read_to_end(&mut note)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(CliError::file("read", &path)(error).into()),
        }
        let before = SignedCheckpoint::verify(&note, keys).map_err(|_| ExportError::OtherLog)?;
        let (before, told) = (before.checkpoint(), self.checkpoint.checkpoint());
        if before.origin != told.origin {
            return Err(ExportError::OtherLog.into());
        }
        if before.size > told.size {
            return Err(ExportError::Later { there: before.size, here: told.size }.into());
        }
        if before.size == 0 {
            return Ok(());
        }
        let proof =
            prove_consistency(self.hashes, before.size, told.size).map_err(|_| ExportError::Hashes)?;
        Ok(proof.verify(&before.root, &told.root).map_err(|_| ExportError::OtherLog)?)
    }

    /// Writes the bundles that are missing, each run of them with one reading of the log.
    fn bundles(&mut self, log: &dyn EventLog) -> Result<(), Failure> {
        let width = u64::from(TILE_WIDTH);
        let count = self.size().div_ceil(width);
        let mut next = 0;
        while next < count {
            if self.is_there(&self.tile(TileKind::Entries, next)) {
                self.bar.inc(width);
                self.there += 1;
                next += 1;
                continue;
            }
            next = self.run_of_bundles(log, next, count)?;
        }
        Ok(())
    }

    /// Writes bundles from one on until one that is there; the number of that.
    fn run_of_bundles(&mut self, log: &dyn EventLog, first: u64, count: u64) -> Result<u64, Failure> {
        let (mut next, mut entries, mut failed) = (first, Vec::new(), None);
        let start = first.saturating_mul(u64::from(TILE_WIDTH));
        let read = log.read(Position(start), &mut |frame| {
            for (_, bytes) in frame.entries().filter(|(position, _)| position.0 >= start) {
                let tile = self.tile(TileKind::Entries, next);
                entries.push(bytes.to_vec());
                if entries.len() < usize::from(tile.width) {
                    continue;
                }
                if let Err(failure) = self.bundle(tile, &std::mem::take(&mut entries)) {
                    failed = Some(failure);
                    return ControlFlow::Break(());
                }
                next += 1;
                if next == count || self.is_there(&self.tile(TileKind::Entries, next)) {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
        read.map_err(waag_engine::reader::ReadFault::Log)?;
        // A log that ends before what it has signed would have this go round for ever.
        if failed.is_none() && next == first {
            failed = Some(ExportError::Hashes.into());
        }
        failed.map_or(Ok(next), Err)
    }

    fn bundle(&mut self, tile: Tile, entries: &[Vec<u8>]) -> Result<(), Failure> {
        let leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
        self.verified(tile, &leaves)?;
        let bytes = write_entry_bundle(entries.iter().map(Vec::as_slice));
        let bytes = bytes.map_err(|error| Failure {
            code: error.code(),
            reason: chain(&error),
            exit: Exit::Environment,
        })?;
        self.bar.inc(u64::from(tile.width));
        self.write(&tile.to_string(), &bytes)
    }

    fn tiles(&mut self) -> Result<(), Failure> {
        for level in 0..=TILE_LEVEL_MAX {
            let kind = TileKind::Hashes(level);
            let mut index = 0;
            while Tile::width_in(kind, index, self.size()) > 0 {
                let tile = self.tile(kind, index);
                if self.is_there(&tile) {
                    self.there += 1;
                } else {
                    let hashes = tile.read(self.hashes, self.size()).map_err(|_| ExportError::Hashes)?;
                    self.verified(tile, &hashes)?;
                    let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
                    self.write(&tile.to_string(), &bytes)?;
                }
                index += 1;
            }
            if index == 0 {
                break;
            }
        }
        Ok(())
    }

    /// The tile of that number with all that the published log has of it.
    fn tile(&self, kind: TileKind, index: u64) -> Tile {
        Tile { kind, index, width: Tile::width_in(kind, index, self.size()) }
    }

    fn verified(&self, tile: Tile, hashes: &[Hash]) -> Result<(), Failure> {
        let told = self.checkpoint.checkpoint();
        let held = tile.verify(hashes, self.hashes, told.size, &told.root);
        Ok(held.map_err(|_| ExportError::Hashes)?)
    }

    fn is_there(&self, tile: &Tile) -> bool {
        let known = fs::metadata(self.folder.join(tile.to_string()));
        known.is_ok_and(|known| match tile.kind {
            TileKind::Hashes(_) => known.len() == u64::from(tile.width) * 32,
            TileKind::Entries => known.is_file(),
        })
    }

    /// Writes a file under another name first: what stands under its own is whole.
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.folder.join(name);
        let parent = path.parent().unwrap_or(&self.folder);
        if self.made != parent {
            fs::create_dir_all(parent).map_err(CliError::file("make", parent))?;
            parent.clone_into(&mut self.made);
        }
        let unfinished = path.with_added_extension("unfinished");
        fs::write(&unfinished, bytes).map_err(CliError::file("write", &unfinished))?;
        fs::rename(&unfinished, &path).map_err(CliError::file("rename", &path))?;
        self.written += 1;
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// Makes everything durable, then puts the checkpoint in its place.
    fn finish(&mut self) -> Result<(), Failure> {
        fs::create_dir_all(&self.folder).map_err(CliError::file("make", &self.folder))?;
        let folder = File::open(&self.folder).map_err(CliError::file("open", &self.folder))?;
        let synced = rustix::fs::syncfs(&folder).map_err(io::Error::from);
        synced.map_err(CliError::file("sync", &self.folder))?;
        let path = self.folder.join(CHECKPOINT);
        let unfinished = path.with_added_extension("unfinished");
        let note = self.checkpoint.note().as_bytes();
        let written = File::create(&unfinished).and_then(|mut file| {
            file.write_all(note)?;
            file.sync_all()
        });
        written.map_err(CliError::file("write", &unfinished))?;
        fs::rename(&unfinished, &path).map_err(CliError::file("rename", &path))?;
        folder.sync_all().map_err(CliError::file("sync", &self.folder))?;
        self.bar.finish_and_clear();
        Ok(())
    }
}
