//! A drill: the newest backup restored into a scratch place, verified in full, timed, and recorded, also where it failed.
//!
//! What it measures: how much would be lost if the machine were lost now (RPO), and how long it takes until there is a
//! store that is verified and can be read (RTO, read models not counted).
//! A scratch place holds keys, so it is removed at the end, and whatever a drill that was killed has left is removed by
//! the next one before anything else.
//!
//! - `DRILL-1`: a drill that was begun is recorded, with what failed where anything did.
//!
//! Not here: backups and restoring themselves (`backups`, `restores`), when drills are due (`node/upkeeping`).

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use waag_archive::frames::End;
use waag_archive::manifest::{Kind, Manifest};
use waag_archive::repository::Run;
use waag_engine::reader::ReadFault;
use waag_entry::cbor::{Reader as CborReader, write};
use waag_keys::keyring::Keyring;
use waag_keys::side::Side;
use waag_log::contract::FrameView;
use waag_model::ids::{Actor, Position};
use waag_model::time::UtcNanos;
use waag_model::value::Value;
use waag_stdx::files::{DiskFiles, Files, Lock};

use super::backups::{self, BackupError, Progress};
use super::error::StoreError;
use super::keeping::{DRILL_DONE, KeepError, Kept, keep};
use super::options::Options;
use super::own::own_event;
use super::place::Place;
use super::reader::{OpenedReader, open_reader};
use super::restores::{self, RestoreError};

/// What the keys of drills' records begin with.
pub const DRILL_PREFIX: &[u8] = b"drill/";
/// Longest account of what failed, in bytes: it goes into an event.
const FAILED_BYTES_MAX: usize = 1_024;
/// Free space that is asked for beside what a restore writes: derived files, and room for the machine itself.
const SPARE_BYTES: u64 = 64 * 1_024 * 1_024;
const LOCK_FILE: &str = "drill.lock";
/// The code of a drill that could not be made, or whose outcome is not the store.
pub const DRILL_CODE: &str = "E0749";
const VERSION: u64 = 1;
const KIND: &str = "drill";
const ITEMS: usize = 10;

/// What is drilled.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The store whose backup it is; it may be running.
    pub place: Place,
    /// How it is opened; the passphrase is that of the vault in the backup, too.
    pub options: Options,
    /// The repository's folder.
    pub repository: PathBuf,
    /// The key's file.
    pub key: PathBuf,
    /// Where the backup is restored to; beside the data folder where none is named.
    pub scratch: Option<PathBuf>,
    /// Who asks.
    pub actor: Actor,
}

/// A drill as the state remembers it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrillRecord {
    /// When it began.
    pub at: UtcNanos,
    /// Whether everything was restored and verified.
    pub ok: bool,
    /// How long ago the oldest acknowledged entry was committed that could not be restored, in milliseconds; 0 where all
    /// can be, and the whole ledger's age where the drill failed.
    pub rpo_ms: u64,
    /// Acknowledged entries that could not be restored: those that the newest backup does not have, or all of them where
    /// the drill failed.
    pub rpo_entries: u64,
    /// From the beginning to a store that is verified and can be read, in milliseconds; to the failure where there is one.
    pub rto_ms: u64,
    /// Entries that were restored.
    pub size: u64,
    /// Bytes that were restored.
    pub bytes: u64,
    /// What failed: code and sentence.
    pub failed: Option<String>,
}

impl DrillRecord {
    /// The record's key.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        let mut key = DRILL_PREFIX.to_vec();
        key.extend_from_slice(format!("{:016x}", self.at.0).as_bytes());
        key
    }

    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write::array(&mut out, ITEMS);
        write::uint(&mut out, VERSION);
        write::text(&mut out, KIND);
        write::int(&mut out, self.at.0);
        write::uint(&mut out, self.ok.into());
        let Self { rpo_ms, rpo_entries, rto_ms, size, bytes, .. } = self;
        for number in [rpo_ms, rpo_entries, rto_ms, size, bytes] {
            write::uint(&mut out, *number);
        }
        match &self.failed {
            Some(failed) => write::text(&mut out, failed),
            None => write::null(&mut out),
        }
        out
    }

    /// Reads a record; none where it is not exactly one.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = CborReader::new(bytes);
        let read = &mut reader;
        read.array_of(ITEMS, "a drill").ok()?;
        if read.uint("a version").ok()? != VERSION || read.text("a kind").ok()? != KIND {
            return None;
        }
        let at = UtcNanos(read.int("a time").ok()?);
        let ok = match read.uint("an outcome").ok()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let mut number = || read.uint("a number").ok();
        let (rpo_ms, rpo_entries, rto_ms, size, bytes) =
            (number()?, number()?, number()?, number()?, number()?);
        let failed = if read.null() { None } else { Some(read.text("what failed").ok()?.to_owned()) };
        reader.end().ok()?;
        Some(Self { at, ok, rpo_ms, rpo_entries, rto_ms, size, bytes, failed })
    }
}

/// A drill that was made and recorded.
#[derive(Clone, Debug)]
pub struct Drilled {
    /// What it came to.
    pub record: DrillRecord,
    /// The run that was restored; none where there is none, or it could not be read.
    pub run: Option<u64>,
    /// How long it took until the restored store could be opened, in milliseconds, before it was verified.
    pub restored_ms: Option<u64>,
    /// Where it is recorded in the ledger.
    pub position: Option<u64>,
}

/// Why a drill could not be begun or recorded. What fails in it is its outcome.
#[derive(Debug)]
pub enum DrillError {
    /// Another drill uses the scratch place.
    UnderWay(PathBuf),
    /// The scratch place is too small, free and needed in bytes: nothing was tried, and nothing is said of the backup.
    Space(u64, u64),
    /// The store itself cannot be read.
    Store(StoreError),
    /// The outcome could not be recorded; it is told all the same.
    Keep(Box<DrillRecord>, KeepError),
}

impl DrillError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnderWay(_) | Self::Space(..) => DRILL_CODE,
            Self::Store(error) => error.code(),
            Self::Keep(_, error) => error.code(),
        }
    }
}

impl fmt::Display for DrillError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnderWay(path) => write!(f, "another drill is under way in `{}`", path.display()),
            Self::Space(free, needed) => write!(
                f,
                "{free} bytes are free for the scratch place, and {needed} are needed: no drill was made"
            ),
            Self::Store(error) => error.fmt(f),
            Self::Keep(record, error) => match &record.failed {
                None => write!(f, "the drill succeeded, and could not be recorded: {error}"),
                Some(why) => write!(f, "the drill failed ({why}), and could not be recorded: {error}"),
            },
        }
    }
}

impl std::error::Error for DrillError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::UnderWay(_) | Self::Space(..) => None,
            Self::Store(error) => std::error::Error::source(error),
            Self::Keep(_, error) => std::error::Error::source(error),
        }
    }
}

impl From<StoreError> for DrillError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What fails in a drill.
enum Failed {
    Backup(BackupError),
    Restore(RestoreError),
    Store(StoreError),
    /// There is no run.
    Empty,
    /// Free bytes, and those needed.
    Space(u64, u64),
    /// It is another ledger, or a root that the store never had.
    Other(&'static str),
}

impl Failed {
    /// The stable code; an outcome begins with it.
    fn code(&self) -> &'static str {
        match self {
            Self::Backup(error) => error.code(),
            Self::Restore(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Empty | Self::Space(..) | Self::Other(_) => DRILL_CODE,
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.code())?;
        match self {
            Self::Backup(error) => error.fmt(f),
            Self::Restore(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Empty => write!(f, "the repository has no backup"),
            Self::Space(free, needed) => {
                write!(f, "{free} bytes are free for the scratch place, and {needed} are needed")
            }
            Self::Other(what) => f.write_str(what),
        }
    }
}

impl From<BackupError> for Failed {
    fn from(error: BackupError) -> Self {
        Self::Backup(error)
    }
}

impl From<RestoreError> for Failed {
    fn from(error: RestoreError) -> Self {
        Self::Restore(error)
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A place to restore to, gone when it is dropped.
struct Scratch {
    place: Place,
    root: PathBuf,
    lock: Option<Box<dyn Lock>>,
}

/// The folder that a drill of this tenant has for itself.
fn scratch_of(asked: &Asked) -> PathBuf {
    let root = asked.scratch.clone().unwrap_or_else(|| {
        let data = asked.place.data.parent().unwrap_or(&asked.place.data);
        let mut name = data.file_name().unwrap_or_default().to_owned();
        name.push(".drill");
        data.with_file_name(name)
    });
    root.join(asked.place.tenant.as_str())
}

/// Removes what a drill has left that was broken off.
pub fn sweep(asked: &Asked) {
    let root = scratch_of(asked);
    for name in ["data", "state"] {
        // Where there is nothing, nothing is to be removed; what cannot be removed is tried again by the next drill.
        drop(std::fs::remove_dir_all(root.join(name)));
    }
}

impl Scratch {
    /// Takes the place, and removes what an earlier drill has left in it.
    fn take(asked: &Asked) -> Result<Self, DrillError> {
        let root = scratch_of(asked);
        let files = DiskFiles::new(&root);
        let lock = files.lock(LOCK_FILE).map_err(|error| {
            let is_held = error.kind() == io::ErrorKind::WouldBlock;
            if is_held {
                DrillError::UnderWay(root.clone())
            } else {
                StoreError::io("lock", &root)(error).into()
            }
        })?;
        let data = root.join("data");
        let place = Place::new(&data, Some(&root.join("state")), asked.place.tenant.clone())?;
        let scratch = Self { place, root, lock: Some(lock) };
        scratch.empty().map_err(StoreError::io("empty", &scratch.root))?;
        Ok(scratch)
    }

    fn empty(&self) -> io::Result<()> {
        for name in ["data", "state"] {
            match std::fs::remove_dir_all(self.root.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is removed by the next drill, before it begins.
        if self.empty().is_ok() {
            // While it is held, so that whoever comes next makes a lock of its own.
            drop(std::fs::remove_file(self.root.join(LOCK_FILE)));
            drop(self.lock.take());
            drop(std::fs::remove_dir(&self.root));
            drop(self.root.parent().map(std::fs::remove_dir));
        }
    }
}

/// Drills, and records the outcome.
///
/// # Errors
/// [`DrillError`]; a backup that cannot be restored is an outcome and no error.
pub fn drill(asked: &Asked, progress: Progress<'_>) -> Result<Drilled, DrillError> {
    let clock = &asked.options.clock;
    let (at, begun) = (clock.now(), clock.monotonic());
    let store = open_reader(&asked.place, &asked.options)?;
    let scratch = Scratch::take(asked)?;
    // Until it is shown otherwise, nothing of the ledger can be restored.
    let (rpo_entries, rpo_ms) = (store.guard.size, age_of(&store, Position(0), at)?);
    let mut drilled = Drilled {
        record: DrillRecord { at, rpo_entries, rpo_ms, ..DrillRecord::default() },
        run: None,
        restored_ms: None,
        position: None,
    };
    let outcome = restore(asked, &store, &scratch, &mut drilled, progress);
    if let Err(Failed::Space(free, needed)) = outcome {
        return Err(DrillError::Space(free, needed));
    }
    let took = clock.monotonic().saturating_sub(begun).as_millis();
    let record = &mut drilled.record;
    record.rto_ms = u64::try_from(took).unwrap_or(u64::MAX);
    record.ok = outcome.is_ok();
    record.failed = outcome.err().map(|failed| bounded(failed.to_string()));
    drop(scratch);
    drop(store);
    match record_outcome(asked, &drilled) {
        Ok(position) => Ok(Drilled { position, ..drilled }),
        Err(error) => Err(DrillError::Keep(Box::new(drilled.record), error)),
    }
}

fn restore(
    asked: &Asked,
    store: &OpenedReader,
    scratch: &Scratch,
    drilled: &mut Drilled,
    progress: Progress<'_>,
) -> Result<(), Failed> {
    let runs = backups::open(&asked.repository, &asked.key)?.runs().map_err(BackupError::from)?;
    let newest = &runs.last().ok_or(Failed::Empty)?.manifest;
    if newest.ledger != store.ledger.id {
        return Err(Failed::Other("the repository is another ledger's"));
    }
    drilled.run = Some(newest.sequence);
    let held = newest.guard.size;
    let lost = (store.guard.size.saturating_sub(held), age_of(store, Position(held), drilled.record.at)?);
    let needed = needed(&runs).saturating_add(SPARE_BYTES);
    let free = free_at(&scratch.root)?;
    if free < needed {
        return Err(Failed::Space(free, needed));
    }
    let restored = restores::restore(
        &restores::Asked {
            repository: asked.repository.clone(),
            key: asked.key.clone(),
            place: scratch.place.clone(),
            options: asked.options.clone(),
            end: End::Newest,
            run: None,
            keys_of: None,
            guard: None,
        },
        progress,
    )?;
    drilled.record.size = restored.size;
    drilled.record.bytes = restored.facts.bytes;
    drilled.restored_ms = Some(restored.facts.restored_ms);
    // Verified in full by now; it can be read, and what it says of the newest entry is what the store says.
    let copy = open_reader(&scratch.place, &asked.options)?;
    let last = Position(restored.size.saturating_sub(1));
    let read = |store: &OpenedReader| store.reader.bytes(last).map_err(StoreError::from);
    if copy.ledger.id != store.ledger.id || read(&copy)? != read(store)? {
        return Err(Failed::Other("the restored ledger is not the one that was backed up"));
    }
    (drilled.record.rpo_entries, drilled.record.rpo_ms) = lost;
    Ok(())
}

/// How long ago the entry at a position was committed, in milliseconds; 0 where there is none.
fn age_of(store: &OpenedReader, position: Position, now: UtcNanos) -> Result<u64, StoreError> {
    if position >= store.end() {
        return Ok(0);
    }
    let mut committed = now;
    let mut look = |frame: FrameView<'_>| {
        committed = frame.header().fields.commit_time;
        ControlFlow::Break(())
    };
    store.reader.log.read(position, &mut look).map_err(ReadFault::Log)?;
    Ok(u64::try_from(now.0.saturating_sub(committed.0) / 1_000_000).unwrap_or_default())
}

/// Bytes that a restore of the newest run writes: all frames and objects, the newest state; a state takes about twice
/// its records, and an entry 64 bytes of hashes.
fn needed(runs: &[Run]) -> u64 {
    let of = |manifest: &Manifest, kind| {
        manifest.of(kind).map(|piece| piece.plain_bytes).fold(0, u64::saturating_add)
    };
    let (mut bytes, mut all, mut size) = (0_u64, 0_u64, 0_u64);
    for run in runs {
        let manifest = &run.manifest;
        bytes = bytes.saturating_add(of(manifest, Kind::Frames)).saturating_add(of(manifest, Kind::Objects));
        all = manifest.pieces.iter().map(|piece| piece.plain_bytes).fold(0, u64::saturating_add);
        size = manifest.guard.size;
    }
    bytes.saturating_add(all.saturating_mul(2)).saturating_add(size.saturating_mul(64))
}

fn free_at(folder: &Path) -> Result<u64, StoreError> {
    let disk =
        rustix::fs::statvfs(folder).map_err(|error| StoreError::io("look at", folder)(error.into()))?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn bounded(mut text: String) -> String {
    while text.len() > FAILED_BYTES_MAX {
        text.pop();
    }
    text
}

fn record_outcome(asked: &Asked, drilled: &Drilled) -> Result<Option<u64>, KeepError> {
    let DrillRecord { at, ok, rpo_ms, rpo_entries, rto_ms, size, bytes, failed } = &drilled.record;
    let number = |number: u64| Value::Integer(number.into());
    let event = own_event(
        DRILL_DONE,
        None,
        vec![
            ("began", Value::Text(at.to_string().into())),
            ("ok", Value::Bool(*ok)),
            ("run", drilled.run.map_or(Value::Null, number)),
            ("rpo_ms", number(*rpo_ms)),
            ("rpo_entries", number(*rpo_entries)),
            ("rto_ms", number(*rto_ms)),
            ("restored_ms", drilled.restored_ms.map_or(Value::Null, number)),
            ("size", number(*size)),
            ("bytes", number(*bytes)),
            ("failed", failed.as_deref().map_or(Value::Null, |failed| Value::Text(failed.into()))),
        ],
    );
    let event = event.map_err(|_| StoreError::Keys(waag_keys::error::KeysError::Entropy))?;
    let kept = Kept {
        event: Some(event),
        record: Some((drilled.record.key(), drilled.record.encode())),
        ends_with_position: false,
    };
    keep(&asked.place, &asked.options, &asked.actor, &kept)
}

/// The drills that the state remembers, the oldest first, at most the newest so many.
///
/// # Errors
/// The state's.
pub fn drills(keyring: &Keyring, most: usize) -> Result<Vec<DrillRecord>, StoreError> {
    let mut found = VecDeque::new();
    keyring.each_side_record(Side::Upkeep, DRILL_PREFIX, |record| {
        found.extend(DrillRecord::decode(&record.value));
        if found.len() > most {
            found.pop_front();
        }
        Ok(())
    })?;
    Ok(found.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_no_cut_one_does() {
        for failed in [None, Some("E0885: a piece is missing".to_owned())] {
            let record = DrillRecord {
                at: UtcNanos(1_795_291_401_271_361_549),
                ok: failed.is_none(),
                rpo_ms: 1,
                rpo_entries: 2,
                rto_ms: 3,
                size: 4,
                bytes: 5,
                failed,
            };
            let bytes = record.encode();
            assert_eq!(DrillRecord::decode(&bytes).as_ref(), Some(&record));
            assert_eq!(record.key().len(), DRILL_PREFIX.len() + 16);
            for at in 0..bytes.len() {
                assert_eq!(DrillRecord::decode(&bytes[..at]), None, "cut to {at}");
            }
        }
    }

    #[test]
    fn what_failed_is_cut_between_characters() {
        let text = bounded("é".repeat(1_000));
        assert!(text.len() <= FAILED_BYTES_MAX && text.len() > FAILED_BYTES_MAX - 2);
    }
}
