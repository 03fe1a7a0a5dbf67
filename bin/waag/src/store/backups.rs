//! Backing a ledger up: frames since the last run, objects, then state and keys, and a manifest when all of it is proven.
//!
//! Runs beside a node or without one, and takes no lock of the store. The guard is read first and the state after it, so
//! that the state has every key that an entry below the guard names, and every tombstone of an erasure before it.
//!
//! Order of a run: the clock is looked at → what a broken-off run left is removed, and what has expired but for the newest
//! run's → an event says that the run begins, and the
//! ledger's state remembers until when key material will be there (`waag_archive::upkeep`) → frames and objects → state and
//! keys, of one commit → manifest → the state remembers that the run is whole → what has expired of the run before is
//! removed. Every piece is read back, opened and checked before the manifest names it.
//!
//! - `BACKUP-1`: a run is whole or not listed; the next one goes on from the last that is.
//! - `BACKUP-2`: frames are copied as bytes; nothing of an entry is opened.
//! - `BACKUP-3`: nothing is removed by a clock that is far ahead of all that was recorded, unless somebody says that it is
//!   right; and a run removes the key material of the one before it when it has its own.
//!
//! Not here: the repository (`evidence/archive`), restoring (`restores`), asking the node (`keeping`).

pub mod check;
pub(super) mod earlier;
mod error;
pub mod keyfile;
mod press;
mod state;
mod stock;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use waag_archive::error::{ArchiveError, SpanFault};
use waag_archive::frames::{CheckedFrame, FRAMES_BYTES, Span};
use waag_archive::key::{BackupKey, RepositoryId};
use waag_archive::manifest::{Kind, Manifest, Piece};
use waag_archive::repository::{Contents, Repository, Run};
use waag_archive::upkeep::BackupRecord;
use waag_files::backup::FolderStore;
use waag_ledger::hash::Hash;
use waag_log::contract::FrameView;
use waag_model::ids::{Actor, Position};
use waag_model::time::UtcNanos;
use waag_model::value::Value;
use waag_stdx::clock::Clock;
use waag_stdx::entropy::{Entropy, SystemEntropy};
use waag_stdx::files::DiskFiles;

pub use self::error::BackupError;
use self::press::{Press, Pressed, Sink};
use super::keeping::{BACKUP_BEGUN, Kept, keep};
use super::options::Options;
use super::own::own_event;
use super::place::Place;
use super::reader::{OpenedReader, open_reader};
use super::subjects::CLOCK_DAYS_MAX;

/// Days that key material may be in a backup, by default.
pub const KEY_BACKUP_DAYS_MAX: u32 = 30;
/// Most days that can be asked for.
pub const KEY_BACKUP_DAYS_LIMIT: u32 = 366;
const DAY_NS: i64 = 86_400_000_000_000;

/// What is backed up, and where to.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The store.
    pub place: Place,
    /// How it is opened.
    pub options: Options,
    /// The repository's folder.
    pub repository: PathBuf,
    /// The key's file.
    pub key: PathBuf,
    /// Who asks.
    pub actor: Actor,
    /// Days until state and key material expire, 1 to [`KEY_BACKUP_DAYS_LIMIT`].
    pub key_days: u32,
    /// The clock is right, however far it is ahead of the newest record.
    pub clock_is_right: bool,
}

/// How far it is: bytes of pieces read back, and about how many there are.
pub type Progress<'p> = &'p (dyn Fn(u64, u64) + Sync);

/// A run that was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// The run.
    pub run: Run,
    /// Entries that are new in it.
    pub entries: u64,
    /// Frames that are new in it.
    pub frames: u64,
    /// Objects that are new in it.
    pub objects: u64,
    /// Bytes written to the repository.
    pub bytes: u64,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// Objects of the repository that were removed: expired, or left by a run that was broken off.
    pub removed: usize,
    /// Where the run is recorded in the ledger.
    pub position: Option<u64>,
}

/// Makes a repository in an empty folder, and the file of its key.
///
/// # Errors
/// [`BackupError`]; a key's file that is there already is never replaced.
pub fn init(repository: &Path, key: &Path) -> Result<RepositoryId, BackupError> {
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::new());
    let made = BackupKey::draw(&*entropy).map_err(ArchiveError::from)?;
    let id = made.repository;
    if key.starts_with(repository) {
        return Err(BackupError::KeyInside(key.to_owned()));
    }
    if repository.exists() && std::fs::read_dir(repository).map_or(true, |mut names| names.next().is_some()) {
        return Err(ArchiveError::NotEmpty.into());
    }
    // The key first: a repository whose key was never kept would be none.
    keyfile::write(key, &made)?;
    let store = FolderStore::writing(Arc::new(DiskFiles::new(repository))).map_err(ArchiveError::from)?;
    Repository::create(Arc::new(store), made, entropy)?;
    Ok(id)
}

/// Opens a repository to read.
///
/// # Errors
/// [`BackupError`].
pub fn open(repository: &Path, key: &Path) -> Result<Repository, BackupError> {
    let store = FolderStore::reading(Arc::new(DiskFiles::new(repository)));
    Ok(Repository::open(Arc::new(store), keyfile::read(key)?, Arc::new(SystemEntropy::new()))?)
}

/// Opens a repository to write; one process at a time.
///
/// # Errors
/// [`BackupError`].
pub fn open_writing(repository: &Path, key: &Path) -> Result<Repository, BackupError> {
    let key = keyfile::read(key)?;
    let files = Arc::new(DiskFiles::new(repository));
    // Looked for before the lock is taken, which would make the folder.
    if !repository.is_dir() {
        return Err(ArchiveError::NoRepository.into());
    }
    let store = FolderStore::writing(files).map_err(ArchiveError::from)?;
    Ok(Repository::open(Arc::new(store), key, Arc::new(SystemEntropy::new()))?)
}

/// Removes what has expired and what no run names; answers the names of what was removed. The store, where it is there and is
/// the repository's ledger, says when its newest entry was recorded.
///
/// # Errors
/// [`BackupError`]; [`BackupError::Clock`] unless the clock is said to be right.
pub fn prune(
    repository: &Path,
    key: &Path,
    clock: &dyn Clock,
    store: Option<&OpenedReader>,
    clock_is_right: bool,
) -> Result<Vec<String>, BackupError> {
    let repository = open_writing(repository, key)?;
    let runs = repository.runs()?;
    let now = clock.now();
    if !clock_is_right {
        let is_its =
            |store: &&OpenedReader| runs.last().is_some_and(|run| run.manifest.ledger == store.ledger.id);
        look_at_clock(now, &runs, store.filter(is_its).and_then(newest_record))?;
    }
    Ok(repository.prune(&runs, now)?)
}

/// When the ledger's newest entry was recorded; none where it has no entry.
fn newest_record(store: &OpenedReader) -> Option<UtcNanos> {
    let tail = store.reader.log.tail();
    (tail.position.0 > 0).then_some(tail.commit_time)
}

/// Refuses a clock that is far ahead of all that was recorded and backed up (`BACKUP-3`).
fn look_at_clock(now: UtcNanos, runs: &[Run], recorded: Option<UtcNanos>) -> Result<(), BackupError> {
    let newest = runs.last().map(|run| run.manifest.finished).max(recorded);
    let is_ahead = |newest: UtcNanos| now.day().0 > newest.day().0.saturating_add(CLOCK_DAYS_MAX);
    match newest {
        Some(newest) if is_ahead(newest) => Err(BackupError::Clock { newest }),
        Some(_) | None => Ok(()),
    }
}

/// Whether key material of this run is in the last third of its time.
#[must_use]
pub fn expires_soon(run: &Manifest, now: UtcNanos) -> bool {
    let whole = run.expire.0.saturating_sub(run.taken.0);
    now.0 >= run.expire.0.saturating_sub(whole / 3)
}

/// Backs a ledger up.
///
/// # Errors
/// [`BackupError`]; a run that failed is not listed, and the next one goes on from the last that is.
pub fn run(asked: &Asked, progress: Progress<'_>) -> Result<Made, BackupError> {
    run_in(asked, &open_writing(&asked.repository, &asked.key)?, progress)
}

/// The same, in a repository that is open to write.
///
/// # Errors
/// As [`run`]; where only what has expired could not be removed at the end, the run is whole and listed all the same.
pub fn run_in(asked: &Asked, repository: &Repository, progress: Progress<'_>) -> Result<Made, BackupError> {
    let clock = &asked.options.clock;
    let begun = clock.monotonic();
    let runs = repository.runs()?;
    let sequence = runs.last().map_or(1, |run| run.manifest.sequence.saturating_add(1));
    let taken = clock.now();
    let days = asked.key_days.clamp(1, KEY_BACKUP_DAYS_LIMIT);
    let expire = taken.later_by(i64::from(days).saturating_mul(DAY_NS));
    let this = Running { asked, repository, runs: &runs, sequence, taken, expire };
    let before = open_reader(&asked.place, &asked.options)?;
    this.check_ledger(&before)?;
    if !asked.clock_is_right {
        look_at_clock(taken, &runs, newest_record(&before))?;
    }
    drop(before);
    let left = repository.make_room(&runs, taken)?.len();
    let position = this.announce()?;
    let store = open_reader(&asked.place, &asked.options)?;
    this.check_ledger(&store)?;
    let manifest = this.write(&store, progress)?;
    let run = repository.put_run(manifest)?;
    let ms = clock.monotonic().saturating_sub(begun).as_millis();
    let ms = u64::try_from(ms).unwrap_or(u64::MAX);
    let bytes = run.object_bytes.saturating_add(sum(&run.manifest, |piece| piece.object_bytes));
    this.keep_record(run.manifest.guard.size, bytes, ms, position)?;
    let start = runs.last().map_or(0, |run| run.manifest.guard.size);
    let all: Vec<Run> = runs.iter().chain([&run]).cloned().collect();
    let removed = left.saturating_add(repository.prune(&all, taken)?.len());
    let count = |kind| run.manifest.of(kind).map(|piece| piece.items).sum();
    Ok(Made {
        entries: run.manifest.guard.size.saturating_sub(start),
        frames: count(Kind::Frames),
        objects: count(Kind::Objects),
        bytes,
        ms,
        removed,
        position,
        run,
    })
}

/// Checks what a piece holds, by itself.
pub(super) fn check_piece(piece: &Piece, plain: &[u8]) -> Result<Vec<CheckedFrame>, BackupError> {
    press::check(piece, plain)
}

fn sum(manifest: &Manifest, of: impl Fn(&Piece) -> u64) -> u64 {
    manifest.pieces.iter().map(of).fold(0, u64::saturating_add)
}

/// A run under way.
struct Running<'a> {
    asked: &'a Asked,
    repository: &'a Repository,
    runs: &'a [Run],
    sequence: u64,
    taken: UtcNanos,
    expire: UtcNanos,
}

impl Running<'_> {
    /// The store is the repository's ledger, and not behind it.
    fn check_ledger(&self, store: &OpenedReader) -> Result<(), BackupError> {
        let Some(last) = self.runs.last().map(|run| &run.manifest) else { return Ok(()) };
        if last.ledger != store.ledger.id {
            return Err(ArchiveError::OtherLedger { held: last.ledger }.into());
        }
        if store.guard.size < last.guard.size {
            return Err(BackupError::Behind { store: store.guard.size, backup: last.guard.size });
        }
        Ok(())
    }

    /// Announces the run and its key material, before anything of the store is read for it: the event stands in the backup.
    fn announce(&self) -> Result<Option<u64>, BackupError> {
        let id = self.repository.key().repository;
        let text = |text: String| Value::Text(text.into());
        let number = |number: u64| Value::Integer(number.into());
        let previous = self.runs.last();
        let event = own_event(
            BACKUP_BEGUN,
            Some(format!("backup {id} {} {}", self.sequence, self.taken)),
            vec![
                ("repository", text(id.to_string())),
                ("run", number(self.sequence)),
                ("keys_taken", text(self.taken.to_string())),
                ("keys_expire", text(self.expire.to_string())),
                ("previous_manifest_sha256", previous.map_or(Value::Null, |run| text(run.hash.to_string()))),
                ("previous_size", previous.map_or(Value::Null, |run| number(run.manifest.guard.size))),
                (
                    "previous_root",
                    previous.map_or(Value::Null, |run| text(run.manifest.guard.root.to_string())),
                ),
            ],
        );
        let value = self.record(0, 0, 0, None).encode();
        let kept = Kept {
            event: Some(event.map_err(ArchiveError::from)?),
            record: Some((BackupRecord::key(id, self.sequence), value)),
            ends_with_position: false,
        };
        Ok(keep(&self.asked.place, &self.asked.options, &self.asked.actor, &kept)?)
    }

    fn record(&self, size: u64, bytes: u64, ms: u64, position: Option<u64>) -> BackupRecord {
        let at = self.asked.options.clock.now();
        BackupRecord { at, size, taken: self.taken, expire: self.expire, bytes, ms, position }
    }

    /// Records in the state that the run is whole. The ledger tells of it when the next one begins.
    fn keep_record(&self, size: u64, bytes: u64, ms: u64, position: Option<u64>) -> Result<(), BackupError> {
        let key = BackupRecord::key(self.repository.key().repository, self.sequence);
        let value = self.record(size, bytes, ms, position).encode();
        let kept = Kept { event: None, record: Some((key, value)), ends_with_position: false };
        keep(&self.asked.place, &self.asked.options, &self.asked.actor, &kept)?;
        Ok(())
    }

    /// Writes every piece, in the order in which they are restored, and says what the manifest is.
    fn write(&self, store: &OpenedReader, progress: Progress<'_>) -> Result<Manifest, BackupError> {
        let started = self.taken;
        let before = self.runs.last().map(|run| &run.manifest);
        let mut span = before.map_or_else(|| Span::start(store.ledger.id), Span::behind);
        let objects = stock::new_objects(self.repository, self.runs, store)?;
        let known = self.runs.last().map_or(0, |run| run.manifest.objects);
        let press = Press { repository: self.repository, expire: self.expire };
        let (mut pieces, mut done) = (Vec::new(), 0);
        let mut taken = None;
        let mut produce = |sink: &mut Sink<'_>| -> Result<(), BackupError> {
            copy_frames(store, before.map_or(0, |run| run.guard.size), sink)?;
            stock::copy_objects(store, &objects, sink)?;
            if before.is_none() {
                earlier::copy(&self.asked.place, sink)?;
            }
            taken = Some(state::copy(&self.asked.place, sink)?);
            Ok(())
        };
        let all = about_bytes(store, before);
        let mut take = |pressed: Pressed| -> Result<(), BackupError> {
            let Pressed { piece, frames } = pressed;
            if piece.kind == Kind::Frames {
                span.take_piece(&piece, &frames)?;
            }
            done += piece.plain_bytes;
            progress(done, all.max(done));
            pieces.push(piece);
            Ok(())
        };
        press.run(&mut produce, &mut take)?;
        let head = taken.ok_or(BackupError::Stopped)?;
        if !span.reaches(&store.guard) {
            let (position, fault) = (span.tail().position, SpanFault::End);
            return Err(ArchiveError::Frames { name: "log".into(), position, fault }.into());
        }
        Ok(Manifest {
            repository: self.repository.key().repository,
            sequence: self.sequence,
            previous: self.runs.last().map_or(Hash([0; 32]), |run| run.hash),
            tenant: self.asked.place.tenant.to_string(),
            ledger: store.ledger.id,
            origin: store.ledger.origin.clone(),
            program: concat!("waag ", env!("CARGO_PKG_VERSION")).to_owned(),
            started,
            taken: self.taken,
            finished: self.asked.options.clock.now(),
            expire: self.expire,
            guard: store.guard.clone(),
            committed: span.tail().commit_time,
            frontier: span.frontier().clone(),
            generation: head.generation.0,
            records: head.count,
            digest: head.digest.0,
            objects: known.saturating_add(objects.len() as u64),
            pieces,
        })
    }
}

/// About how many bytes of frames are to be copied; for a progress bar.
fn about_bytes(store: &OpenedReader, before: Option<&Manifest>) -> u64 {
    let folder = store.place.data.join(waag_files::segment::FOLDER);
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let all = names.filter_map(|name| name.metadata().ok()).map(|known| known.len());
    let all = all.fold(0, u64::saturating_add);
    let (size, start) = (store.guard.size.max(1), before.map_or(0, |run| run.guard.size));
    let share = u128::from(all) * u128::from(size.saturating_sub(start)) / u128::from(size);
    u64::try_from(share).unwrap_or(all)
}

/// Hands frames on from a position to the guard, as they are stored (`BACKUP-2`).
fn copy_frames(store: &OpenedReader, from: u64, sink: &mut Sink<'_>) -> Result<(), BackupError> {
    let mut chunk = Vec::with_capacity(FRAMES_BYTES);
    let mut contents = Contents::default();
    let mut stopped = Ok(());
    let mut look = |frame: FrameView<'_>| {
        let header = frame.header();
        let bytes = frame.frame.bytes;
        if !chunk.is_empty() && chunk.len() + bytes.len() > FRAMES_BYTES {
            let full = std::mem::replace(&mut chunk, Vec::with_capacity(FRAMES_BYTES));
            stopped = sink.push(Kind::Frames, contents, full);
            if stopped.is_err() {
                return std::ops::ControlFlow::Break(());
            }
        }
        if chunk.is_empty() {
            contents = Contents {
                first_frame: header.fields.number.0,
                first_position: header.fields.first.0,
                ..Contents::default()
            };
        }
        chunk.extend_from_slice(bytes);
        contents.items += 1;
        contents.end_position = header.tree_size;
        contents.committed = header.fields.commit_time;
        std::ops::ControlFlow::Continue(())
    };
    let read = store.reader.log.read(Position(from), &mut look);
    read.map_err(|error| {
        BackupError::Store(super::error::StoreError::Read(waag_engine::reader::ReadFault::Log(error)))
    })?;
    stopped?;
    if chunk.is_empty() { Ok(()) } else { sink.push(Kind::Frames, contents, chunk) }
}
