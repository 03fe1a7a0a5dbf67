//! Reads an export back: its note, its manifest, its list, and every byte of every file.
//!
//! What is believed comes from keys that were named from outside; without them the export's own keys are all there is,
//! and whoever asks is told so.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256, digest};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use waag_ledger::checkpoint::SignedCheckpoint;
use waag_ledger::hash::{Hash, leaf_hash};
use waag_ledger::note::{Note, VerifierKey};
use waag_ledger::tile::{TILE_WIDTH, Tile, TileKind};
use waag_ledger::tree::Frontier;

use super::compare::EventLines;
use super::error::{ExportError, FileFaults};
use super::forms::{FORMAT, FileForm, Manifest, SignerForm};
use super::parts::KEYS_FILE;
use super::tiles::Tiler;
use super::{CHECKPOINT_FILE, LIST_FILE, MANIFEST_FILE, NOTE_FILE, note_text};
use crate::store::error::StoreError;

/// Longest manifest, in bytes: room for every type with a file of its own.
const MANIFEST_BYTES_MAX: u64 = 64 * 1_024 * 1_024;
/// Longest other file that is read as a whole.
pub(super) const WHOLE_BYTES_MAX: u64 = 128 * 1_024 * 1_024;
/// Bytes that are hashed at once.
const BLOCK_BYTES: usize = 256 * 1_024;

/// What hears each entry: its position, its bytes, its leaf hash, and the tree before it, which it grows.
pub type Visit<'v> = &'v mut dyn FnMut(u64, &[u8], &Hash, &mut Frontier) -> Result<(), ExportError>;

/// An export whose note and manifest were believed.
#[derive(Debug)]
pub struct Opened {
    pub(super) root: PathBuf,
    /// The manifest.
    pub manifest: Manifest,
    /// The checkpoint.
    pub checkpoint: SignedCheckpoint,
    /// The public keys it names.
    pub signers: Vec<SignerForm>,
    /// Whether a key from outside has signed it, and not only one that it names itself.
    pub trusted: bool,
    /// The keys that signed the manifest.
    pub signed_by: Vec<VerifierKey>,
}

/// Opens an export: its note is signed, its manifest is what was signed, its checkpoint says the same. `keys` are those
/// from outside.
///
/// # Errors
/// [`ExportError::Unsigned`], [`ExportError::Damaged`]; [`ExportError::Store`] where a file cannot be read.
pub fn open(root: &Path, keys: &[VerifierKey]) -> Result<Opened, ExportError> {
    let unsigned = |why: &str| ExportError::Unsigned(why.to_owned());
    if std::fs::symlink_metadata(root.join(NOTE_FILE)).is_err() {
        return Err(unsigned("it has no signed note, so it was never finished, or is something else"));
    }
    let manifest_bytes = read(root, MANIFEST_FILE, MANIFEST_BYTES_MAX)?;
    let manifest: Manifest = json(MANIFEST_FILE, &manifest_bytes)?;
    if manifest.format != FORMAT {
        return Err(unsigned("its format is another version's"));
    }
    let named: Vec<SignerForm> = json(KEYS_FILE, &read(root, KEYS_FILE, WHOLE_BYTES_MAX)?)?;
    let own: Option<Vec<VerifierKey>> = named.iter().map(SignerForm::key).collect();
    let own = own.ok_or_else(|| ExportError::damaged(KEYS_FILE, "a key cannot be read"))?;
    let trusted = !keys.is_empty();
    let believed = if trusted { keys } else { &own };
    let note = Note::parse(&read(root, NOTE_FILE, MANIFEST_BYTES_MAX)?)
        .map_err(|error| ExportError::Unsigned(error.to_string()))?;
    let signed_by = note.verify(believed).map_err(|error| ExportError::Unsigned(error.to_string()))?;
    let signed_by: Vec<VerifierKey> = signed_by.into_iter().cloned().collect();
    let mut sum = [0; 32];
    sum.copy_from_slice(digest(&SHA256, &manifest_bytes).as_ref());
    let origin = &manifest.ledger.origin;
    if !signed_by.iter().any(|key| key.name() == origin) {
        return Err(unsigned("no key of the ledger has signed it"));
    }
    if note.text() != note_text(origin, &sum) {
        return Err(ExportError::damaged(MANIFEST_FILE, "it is not what was signed"));
    }
    let checkpoint = SignedCheckpoint::verify(&read(root, CHECKPOINT_FILE, WHOLE_BYTES_MAX)?, believed);
    let checkpoint = checkpoint.map_err(|error| ExportError::damaged(CHECKPOINT_FILE, error.to_string()))?;
    let told = checkpoint.checkpoint();
    let ledger = &manifest.ledger;
    if (&told.origin, told.size, told.root.to_string()) != (origin, ledger.tree_size, ledger.root.clone()) {
        return Err(ExportError::damaged(CHECKPOINT_FILE, "it is not the manifest's"));
    }
    Ok(Opened { root: root.to_owned(), manifest, checkpoint, signers: named, trusted, signed_by })
}

impl Opened {
    /// Reads every file of the list and compares it; nothing else may be there. `progress` hears bytes.
    ///
    /// # Errors
    /// [`ExportError::Damaged`] where the list itself cannot be gone by; [`ExportError::Files`] with every file that is
    /// missing, was changed, or does not belong.
    pub fn check_files(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<(), ExportError> {
        let (mut count, mut bytes) = (0_u64, 0_u64);
        let (mut seen, mut faults): (HashSet<[u8; 16]>, _) = (HashSet::new(), FileFaults::default());
        let mut folders: HashSet<[u8; 16]> = HashSet::new();
        let all = self.manifest.files.bytes;
        let list = self.root.join(LIST_FILE);
        if !std::fs::symlink_metadata(&list).is_ok_and(|known| known.is_file()) {
            return Err(ExportError::damaged(LIST_FILE, "it is missing, or no regular file"));
        }
        if hash_of(&list, u64::MAX)?.1 != self.manifest.files.sha256 {
            return Err(ExportError::damaged(LIST_FILE, "it is not the manifest's"));
        }
        self.lines::<FileForm>(LIST_FILE, &mut |file| {
            if !is_plain(&file.path) || !seen.insert(key_of(&file.path)) {
                return Err(ExportError::damaged(LIST_FILE, "a path is none, or comes twice"));
            }
            // A folder is known by what is in it.
            let above = Path::new(&file.path).ancestors().skip(1).filter_map(Path::to_str);
            folders.extend(above.map(key_of));
            let path = self.root.join(&file.path);
            count = count.saturating_add(1);
            bytes = bytes.saturating_add(file.bytes);
            if !std::fs::symlink_metadata(&path).is_ok_and(|known| known.is_file()) {
                faults.push(file.path, "is missing");
            } else if hash_of(&path, file.bytes)? != (file.bytes, file.sha256) {
                faults.push(file.path, "was changed");
            }
            progress(bytes, all);
            Ok(())
        })?;
        if (count, bytes) != (self.manifest.files.count, self.manifest.files.bytes) {
            return Err(ExportError::damaged(LIST_FILE, "it has not what the manifest says"));
        }
        // These stand beside what the list names.
        seen.extend([LIST_FILE, MANIFEST_FILE, NOTE_FILE].map(key_of));
        strangers(&self.root, &seen, &folders, &mut faults)?;
        if faults.named.is_empty() { Ok(()) } else { Err(ExportError::Files(faults)) }
    }

    /// Reads every entry from the bundles, in order, and proves that all of them together are what the checkpoint
    /// signed; the tiles of hashes must be those of these entries. `visit` has each entry with its position.
    ///
    /// # Errors
    /// [`ExportError`]; the visitor's.
    pub fn entries(&self, visit: Visit<'_>) -> Result<(), ExportError> {
        let size = self.checkpoint.checkpoint().size;
        let (mut tiler, mut frontier) = (Tiler::default(), Frontier::new());
        let mut same = |tile: &Tile, bytes: &[u8]| {
            let name = tile.to_string();
            let there = read(&self.root, &name, WHOLE_BYTES_MAX)?;
            if there == bytes { Ok(()) } else { Err(ExportError::damaged(&name, "it is not its entries'")) }
        };
        let mut position = 0_u64;
        while position < size {
            let index = position / u64::from(TILE_WIDTH);
            let width = Tile::width_in(TileKind::Entries, index, size);
            let name = Tile { kind: TileKind::Entries, index, width }.to_string();
            let bundle = read(&self.root, &name, WHOLE_BYTES_MAX)?;
            let mut rest = bundle.as_slice();
            for _ in 0..width {
                let cut = rest.split_first_chunk::<2>().and_then(|(length, behind)| {
                    behind.split_at_checked(usize::from(u16::from_be_bytes(*length)))
                });
                let (entry, behind) = cut.ok_or_else(|| ExportError::damaged(&name, "it is cut"))?;
                rest = behind;
                let leaf = leaf_hash(entry);
                tiler.push(entry, leaf, &mut same)?;
                visit(position, entry, &leaf, &mut frontier)?;
                position = position.saturating_add(1);
            }
            if !rest.is_empty() {
                return Err(ExportError::damaged(&name, "it has more than its entries"));
            }
        }
        tiler.finish(&mut same)?;
        if frontier.root() != self.checkpoint.checkpoint().root {
            return Err(ExportError::damaged("tile", "the entries do not have the root of the checkpoint"));
        }
        Ok(())
    }

    /// Checks everything but the files' hashes: entries and tiles under the checkpoint, and that each event's line is of its
    /// entry, by all that entries have in clear. What is sealed in them is compared where there are keys (`compare`).
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn check_entries(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<(), ExportError> {
        let size = self.checkpoint.checkpoint().size;
        let mut sink = Vec::new();
        let mut told = EventLines::new(self)?;
        self.entries(&mut |position, entry, leaf, frontier| {
            sink.clear();
            frontier.append(*leaf, &mut sink);
            if position % 4_096 == 0 {
                progress(position, size);
            }
            told.next(position, leaf, entry).map(drop)
        })?;
        told.finish()?;
        let events = super::events_of(&self.manifest.types);
        if events != size {
            let why = format!("the types have {events} events and the ledger {size} entries");
            return Err(ExportError::damaged(MANIFEST_FILE, why));
        }
        Ok(())
    }

    /// Each line of a file as a value.
    pub(super) fn lines<T: DeserializeOwned>(
        &self,
        name: &str,
        visit: &mut dyn FnMut(T) -> Result<(), ExportError>,
    ) -> Result<(), ExportError> {
        let path = self.root.join(name);
        let mut reader = BufReader::new(regular(&path).map_err(StoreError::io("read", &path))?);
        let mut line = Vec::new();
        loop {
            line.clear();
            let most = &mut (&mut reader).take(WHOLE_BYTES_MAX);
            if most.read_until(b'\n', &mut line).map_err(StoreError::io("read", &path))? == 0 {
                return Ok(());
            }
            visit(json(name, &line)?)?;
        }
    }

    pub(super) fn whole<T: DeserializeOwned>(&self, name: &str) -> Result<T, ExportError> {
        json(name, &read(&self.root, name, WHOLE_BYTES_MAX)?)
    }

    pub(super) fn bytes(&self, name: &str) -> Result<Vec<u8>, ExportError> {
        read(&self.root, name, WHOLE_BYTES_MAX)
    }
}

pub(super) fn json<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, ExportError> {
    // The values are not repeated: they may be keys.
    serde_json::from_slice(bytes).map_err(|error| {
        ExportError::damaged(
            name,
            format!("it cannot be read at line {}, column {}", error.line(), error.column()),
        )
    })
}

/// Opens a regular file and nothing else: a link would lead out of the export, and a pipe would be waited for.
pub(super) fn regular(path: &Path) -> std::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is no regular file"))
    }
}

/// Whether opening failed since something else stands there: a folder, a pipe, a link, a socket.
fn is_no_file(error: &std::io::Error) -> bool {
    let of_system = [Errno::LOOP, Errno::NXIO];
    error.kind() == std::io::ErrorKind::InvalidInput
        || Errno::from_io_error(error).is_some_and(|errno| of_system.contains(&errno))
}

fn read(root: &Path, name: &str, most: u64) -> Result<Vec<u8>, ExportError> {
    let path = root.join(name);
    let mut file = match regular(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(ExportError::damaged(name, "it is missing"));
        }
        Err(error) if is_no_file(&error) => {
            return Err(ExportError::damaged(name, "it is no regular file"));
        }
        other => other.map_err(StoreError::io("read", &path))?,
    };
    let mut bytes = Vec::new();
    let read = (&mut file).take(most.saturating_add(1)).read_to_end(&mut bytes);
    if read.map_err(StoreError::io("read", &path))? as u64 > most {
        return Err(ExportError::damaged(name, "it is longer than such a file can be"));
    }
    Ok(bytes)
}

/// The length and SHA-256 of a file; of one that is longer than it should be, no more than shows that is read.
fn hash_of(path: &Path, expected: u64) -> Result<(u64, String), ExportError> {
    let mut file = regular(path).map_err(StoreError::io("read", path))?.take(expected.saturating_add(1));
    let (mut context, mut block, mut length) = (Context::new(&SHA256), vec![0; BLOCK_BYTES], 0_u64);
    loop {
        let read = file.read(&mut block).map_err(StoreError::io("read", path))?;
        let Some(bytes) = block.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        context.update(bytes);
        length = length.saturating_add(read as u64);
    }
    Ok((length, hex::encode(context.finish())))
}

/// Whether a path stays below the folder it is from.
pub(super) fn is_plain(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

/// What stands for a path where many are remembered.
fn key_of(path: &str) -> [u8; 16] {
    digest(&SHA256, path.as_bytes()).as_ref().first_chunk().copied().unwrap_or_default()
}

/// Finds the files that none of the known paths name, and the folders that none of them goes through.
fn strangers(
    root: &Path,
    known: &HashSet<[u8; 16]>,
    known_folders: &HashSet<[u8; 16]>,
    faults: &mut FileFaults,
) -> Result<(), ExportError> {
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(StoreError::io("list", &folder))? {
            let entry = entry.map_err(StoreError::io("list", &folder))?;
            let path = entry.path();
            let name = path.strip_prefix(root).unwrap_or(&path);
            let is_folder = entry.file_type().map_err(StoreError::io("read", &path))?.is_dir();
            let known = if is_folder { known_folders } else { known };
            // A name that is not UTF-8 is none that was written.
            if !name.to_str().is_some_and(|name| known.contains(&key_of(name))) {
                faults.push(name.to_string_lossy().into_owned(), "does not belong");
            }
            if is_folder {
                folders.push(path);
            }
        }
    }
    Ok(())
}
