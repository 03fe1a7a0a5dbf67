//! Restoring a ledger from its backup: frames as they were, the newest keys without any that were destroyed since, and a
//! store that may be read and not written until it is known that nothing was acknowledged beyond it.
//!
//! Order: a mark (`mark`) → the vault, which must open → frames, checked against chain, tree and every checkpoint on their way → objects → state, screened →
//! what stands for keys that are not in the backup (`withheld`) → guard, which makes it a store → verification of all of it
//! → the mark goes. Before the guard stands, every command says that a restore was broken off; it is removed by hand and
//! begun anew. Before the mark is gone, nothing but reading and verifying is done with the store.
//!
//! - `RESTORE-2`: nothing is written where anything stands.
//! - `RESTORE-3`: the keys are the newest there are, whatever end of the log is asked for: keys only grow, but for
//!   erasures, and an erasure holds for the past as well.
//! - `RESTORE-4`: a restored ledger never has two futures: it is read-only (`READ_ONLY_GENERATION`), unless the guard of
//!   the lost store is taken over (`handover`), or it is promoted to a ledger of its own (`promote`).
//!
//! - `RESTORE-5`: a store that was not verified to its end stays marked (`mark`).
//!
//! Not here: the repository (`evidence/archive`), which keys were destroyed (`destroyed`), promotion (`promote`), the right to
//! write (`handover`).

pub(in crate::store) mod destroyed;
mod earlier;
mod error;
mod fetch;
mod handover;
mod mark;
pub mod promote;
mod state;
mod withheld;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use waag_archive::error::{ArchiveError, SpanFault};
use waag_archive::frames::{End, Span};
use waag_archive::manifest::{Kind, Manifest, Piece};
use waag_archive::records::PackedObjects;
use waag_archive::repository::{Repository, Run, Survey, is_fresh, newest_keys};
use waag_engine::recover::{check_guard, signers};
use waag_files::guard::FileGuard;
use waag_files::hashes::HashFile;
use waag_files::objects::FileObjects;
use waag_files::refill::Refill;
use waag_files::vault::VAULT_FILE;
use waag_keys::error::KeysError;
use waag_keys::keyring::Keyring;
use waag_keys::ledger::LedgerKeys;
use waag_keys::state::State;
use waag_ledger::checkpoint::{Checkpoint, SignedCheckpoint};
use waag_ledger::hash::Hash;
use waag_log::contract::Tail;
use waag_log::guard::{Guard, GuardRecord, READ_ONLY_GENERATION};
use waag_log::hashes::StoredHashes;
use waag_log::objects::Objects;
use waag_model::ids::{FrameNumber, LedgerId, Position};
use waag_sqlite::state::SqliteState;

pub use self::error::RestoreError;
use super::backups::{self, BackupError, Progress};
use super::error::StoreError;
use super::options::Options;
use super::place::{HASHES_FILE, LEDGER, Place, TAKING_OVER_FILE};
use super::reader::open_keys;
use super::verify::{Depth, verify};

/// What is restored, and where to.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The repository's folder.
    pub repository: PathBuf,
    /// The key's file.
    pub key: PathBuf,
    /// Where the store is to be; nothing may stand there.
    pub place: Place,
    /// How it is opened; the passphrase is that of the vault in the backup.
    pub options: Options,
    /// Where its log ends.
    pub end: End,
    /// As of this run, where a newer one cannot be read; erasures of later ones hold all the same.
    pub run: Option<u64>,
    /// Key material of this run, where the newest is damaged or lost: entries that are newer may stay closed.
    pub keys_of: Option<u64>,
    /// The state folder of the lost store, whose guard says that nothing was acknowledged beyond the backup.
    pub guard: Option<PathBuf>,
}

/// What was restored.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The ledger.
    pub ledger: LedgerId,
    /// Its origin.
    pub origin: String,
    /// Entries in it.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// What was counted.
    pub facts: Facts,
    /// Whether it may only be read.
    pub read_only: bool,
}

/// What a restore counted; kept while a right to write is handed over, and told.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Facts {
    /// Frames.
    pub frames: u64,
    /// Objects.
    pub objects: u64,
    /// Bytes of plaintext that were written.
    pub bytes: u64,
    /// The run whose key material it has.
    pub keys_of: u64,
    /// Keys that were in that material and have been destroyed since: they did not come back.
    pub destroyed_again: u64,
    /// Keys that the restored log names, that were not destroyed, and that are not in that material: what is sealed under
    /// them stays closed.
    pub withheld: u64,
    /// How long it took until the store could be opened, in milliseconds.
    pub restored_ms: u64,
    /// How long it took until all of it was verified.
    pub ms: u64,
}

impl Facts {
    fn restored(self, ledger: &LedgerKeys, record: &GuardRecord, read_only: bool) -> Restored {
        let (origin, size, root) = (ledger.origin.clone(), record.size, record.root);
        Restored { ledger: ledger.id, origin, size, root, facts: self, read_only }
    }
}

/// The runs that a restore draws from.
struct Plan<'a> {
    runs: &'a [Run],
    /// Runs behind these that are not restored and tell of erasures.
    later: Vec<&'a Run>,
    /// Whose state and keys.
    keys: &'a Manifest,
    end: End,
}

/// Restores a store.
///
/// # Errors
/// [`RestoreError`]; nothing was written, or what was is marked and has no guard, but for [`RestoreError::NotVerified`],
/// which leaves a marked store, and [`RestoreError::Guard`], which leaves a verified one; both may only be read.
pub fn restore(asked: &Asked, progress: Progress<'_>) -> Result<Restored, RestoreError> {
    let clock = &asked.options.clock;
    let begun = clock.monotonic();
    if let Some(lost) = &asked.guard
        && let Some(intent) = handover::begun(&asked.place)?
    {
        return handover::finish(asked, lost, intent);
    }
    must_be_free(&asked.place)?;
    let repository = backups::open(&asked.repository, &asked.key)?;
    let mut survey = repository.survey()?;
    let fault = survey.faults.drain(..).next().map(|(_, error)| error);
    let plan = plan(asked, &survey, fault)?;
    // What would be refused in the end is refused before anything is made.
    must_hold_a_frame(&repository, &plan)?;
    state::must_be_whole(&repository, &plan).map_err(|error| keys_of_older(error, &plan, asked))?;
    begin(asked, &repository, &plan)?;
    let (tail, frames, mut bytes) = restore_log(asked, &repository, &plan, progress)?;
    let objects = restore_objects(asked, &repository, &plan, &mut bytes)?;
    earlier::restore(asked, &repository, &plan, &mut bytes)?;
    let (destroyed_again, destroyed) = state::restore(asked, &repository, &plan, &tail)?;
    let sqlite: Arc<dyn State> = Arc::new(SqliteState::open(&asked.place.state)?);
    let (_, keyring) = open_keys(&asked.place, Arc::clone(&sqlite), &asked.options)?;
    let withheld = withheld::put(asked, &plan, &tail, &keyring, &destroyed)?;
    drop(sqlite);
    let ledger = keyring.ledger(LEDGER)?;
    let record = guard_record(&plan, &tail, &ledger)?;
    drop::<Arc<Keyring>>(keyring);
    let guard = FileGuard::create(&*asked.place.state_files()).map_err(StoreError::from)?;
    guard.swap(None, &record).map_err(StoreError::from)?;
    drop(guard);
    let since = || {
        let ms = clock.monotonic().saturating_sub(begun).as_millis();
        u64::try_from(ms).unwrap_or(u64::MAX)
    };
    let mut facts = Facts {
        frames,
        objects,
        bytes,
        keys_of: plan.keys.sequence,
        destroyed_again,
        withheld,
        restored_ms: since(),
        ms: since(),
    };
    let intent = match &asked.guard {
        Some(lost) => Some((lost, handover::intend(&asked.place, facts)?)),
        None => None,
    };
    mark::finish(&asked.place, &asked.options)?;
    if let Some((lost, intent)) = &intent {
        let taken = handover::take_over(asked, lost, &ledger, intent);
        if let Err(error) = taken {
            // Refused is not broken off: what stands is a restored store like any other.
            if matches!(error, RestoreError::Guard(_)) {
                mark::take(&asked.place.state, TAKING_OVER_FILE)?;
            }
            return Err(error);
        }
    }
    facts.ms = since();
    Ok(facts.restored(&ledger, &record, asked.guard.is_none()))
}

/// Sets the mark and puts the vault, which must open; where it does not, nothing is left.
fn begin(asked: &Asked, repository: &Repository, plan: &Plan<'_>) -> Result<(), RestoreError> {
    let missing = missing_folders(&asked.place.state);
    mark::set(&asked.place)?;
    let put = state::restore_vault(asked, repository, plan);
    // Nothing is left that would have to be removed before it is tried again.
    if put.is_err() && !asked.place.state.join(VAULT_FILE).exists() {
        mark::clear(&asked.place)?;
        // What is not empty is somebody else's.
        missing.iter().for_each(|folder| drop(std::fs::remove_dir(folder)));
    }
    put
}

/// Verifies everything of a restored ledger, and has derived files made that are not there.
fn verified(place: &Place, options: &Options) -> Result<(), RestoreError> {
    let report = verify(place, options, Depth { deep: false, rebuild: true }, &mut |_, _| {})?;
    if report.verified() {
        return Ok(());
    }
    let first = report.faults.first();
    let first = first.map_or_else(
        || "the log does not reach its guard".to_owned(),
        |fault| format!("{}: {}: {}", fault.code, fault.file.display(), fault.reason),
    );
    Err(RestoreError::NotVerified(first))
}

/// Refuses a place where anything stands (`RESTORE-2`).
pub(super) fn must_be_free(place: &Place) -> Result<(), RestoreError> {
    place.must_not_be_half_restored()?;
    for folder in [&place.data, &place.state] {
        match std::fs::read_dir(folder) {
            Ok(mut names) => {
                if names.next().is_some() {
                    return Err(RestoreError::Target(folder.clone()));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io("look into", folder)(error).into()),
        }
    }
    Ok(())
}

/// Which runs, whose keys, and whether the backups reach as far as is asked for.
fn plan<'a>(
    asked: &Asked,
    survey: &'a Survey,
    fault: Option<ArchiveError>,
) -> Result<Plan<'a>, RestoreError> {
    let whole = survey.runs.len();
    let wanted = match asked.run {
        None if fault.is_none() => Some(whole),
        None => None,
        Some(run) => usize::try_from(run).ok().filter(|run| (1..=whole).contains(run)),
    };
    let runs = match (wanted.and_then(|count| survey.runs.get(..count)), fault) {
        (Some(runs), _) => runs,
        (None, Some(error)) => return Err(RestoreError::Broken { error, whole: whole as u64 }),
        (None, None) => {
            let reach = Position(survey.runs.last().map_or(0, |run| run.manifest.guard.size));
            return Err(RestoreError::Beyond { asked: "there is no run of this number", reach });
        }
    };
    let later = survey.runs.iter().skip(runs.len()).chain(&survey.behind).collect();
    let newest = runs.last().ok_or(ArchiveError::KeysExpired { at: None })?;
    if newest.manifest.tenant != asked.place.tenant.as_str() {
        return Err(KeysError::OtherTenant(newest.manifest.tenant.clone()).into());
    }
    let reach = Position(newest.manifest.guard.size);
    let beyond = |asked| Err(RestoreError::Beyond { asked, reach });
    if let End::Position(position) = asked.end
        && position > reach
    {
        return beyond("the position was not backed up");
    }
    let now = asked.options.clock.now();
    let keys = match asked.keys_of {
        None => newest_keys(runs, now)?,
        Some(sequence) => match runs.iter().find(|run| run.manifest.sequence == sequence) {
            Some(run) if is_fresh(&run.manifest, now) => run,
            Some(run) => return Err(ArchiveError::KeysExpired { at: Some(run.manifest.expire) }.into()),
            None => return beyond("there is no run of this number"),
        },
    };
    if reach.0 == 0 {
        return beyond("the ledger had no entries when it was backed up");
    }
    Ok(Plan { runs, later, keys: &keys.manifest, end: asked.end })
}

/// Refuses an end before the first frame's.
fn must_hold_a_frame(repository: &Repository, plan: &Plan<'_>) -> Result<(), RestoreError> {
    if plan.end == End::Newest {
        return Ok(());
    }
    let Some(first) = plan.runs.iter().find_map(|run| run.manifest.of(Kind::Frames).next()) else {
        return Ok(());
    };
    let frames = backups::check_piece(first, &repository.get(first)?)?;
    if frames.first().is_some_and(|frame| plan.end.holds(&frame.header)) {
        Ok(())
    } else {
        Err(too_early(plan))
    }
}

fn too_early(plan: &Plan<'_>) -> RestoreError {
    let reach = plan.runs.last().map_or(0, |run| run.manifest.guard.size);
    RestoreError::Beyond { asked: "no frame ends as early", reach: Position(reach) }
}

/// Says whose keys can be taken, where those that were to be are lost or damaged.
fn keys_of_older(error: RestoreError, plan: &Plan<'_>, asked: &Asked) -> RestoreError {
    let now = asked.options.clock.now();
    let before = plan.runs.iter().rev().map(|run| &run.manifest).filter(|run| is_fresh(run, now));
    let older = before.map(|run| run.sequence).find(|sequence| *sequence < plan.keys.sequence);
    match (error, older) {
        (RestoreError::Backup(BackupError::Archive(error)), Some(older)) if destroyed::is_lost(&error) => {
            RestoreError::KeysLost { error, older }
        }
        (error, _) => error,
    }
}

/// The folders above and at a path that are not there yet, the deepest first.
fn missing_folders(path: &Path) -> Vec<PathBuf> {
    path.ancestors().take_while(|folder| !folder.exists()).map(Path::to_owned).collect()
}

/// Writes the log's segments and its stored hashes; gives the end, and how many frames and bytes there are.
fn restore_log(
    asked: &Asked,
    repository: &Repository,
    plan: &Plan<'_>,
    progress: Progress<'_>,
) -> Result<(Tail, u64, u64), RestoreError> {
    let files = asked.place.data_files();
    let failed = |what, name: &str| StoreError::io(what, &asked.place.data.join(name));
    let hashes = HashFile::open(&*files, HASHES_FILE).map_err(failed("make", HASHES_FILE))?;
    let mut refill = Refill::new(Arc::clone(&files), asked.options.log.segment_bytes);
    let mut span = Span::start(plan.keys.ledger);
    let mut boundaries = plan.runs.iter().map(|run| &run.manifest.guard).peekable();
    let pieces: Vec<&Piece> = plan.runs.iter().flat_map(|run| run.manifest.of(Kind::Frames)).collect();
    let all = pieces.iter().map(|piece| piece.plain_bytes).sum();
    let (mut frames, mut bytes, mut completed) = (0_u64, 0_u64, Vec::new());
    fetch::in_order(repository, &pieces, &mut |piece, plain, checked| {
        let held = checked.iter().take_while(|frame| plan.end.holds(&frame.header)).count();
        completed.clear();
        let mut lengths = Vec::with_capacity(held);
        for frame in checked.iter().take(held) {
            let wrong =
                |(position, fault)| ArchiveError::Frames { name: piece.name.clone(), position, fault };
            span.take(frame).map_err(wrong)?;
            completed.extend_from_slice(span.completed());
            lengths.push(frame.bytes);
        }
        refill.add(plain, FrameNumber(piece.first_frame), &lengths).map_err(failed("write", "log"))?;
        hashes.append(&completed).map_err(failed("write", HASHES_FILE))?;
        while let Some(guard) = boundaries.next_if(|guard| guard.size <= span.tail().position.0) {
            // A run without new frames has the checkpoint of the one before it.
            if guard.size == span.tail().position.0 && !span.reaches(guard) {
                let (position, fault) = (span.tail().position, SpanFault::End);
                return Err(ArchiveError::Frames { name: piece.name.clone(), position, fault }.into());
            }
        }
        frames += lengths.len() as u64;
        bytes += lengths.iter().sum::<usize>() as u64;
        progress(bytes, all);
        Ok(held == checked.len())
    })?;
    refill.finish().map_err(failed("sync", "log"))?;
    StoredHashes::sync(&hashes)
        .map_err(|error| failed("sync", HASHES_FILE)(std::io::Error::other(error.to_string())))?;
    if span.tail().position.0 == 0 {
        return Err(too_early(plan));
    }
    Ok((*span.tail(), frames, bytes))
}

fn restore_objects(
    asked: &Asked,
    repository: &Repository,
    plan: &Plan<'_>,
    bytes: &mut u64,
) -> Result<u64, RestoreError> {
    let objects = FileObjects::new(asked.place.data_files());
    let mut count = 0;
    for piece in plan.runs.iter().flat_map(|run| run.manifest.of(Kind::Objects)) {
        let plain = repository.get(piece)?;
        backups::check_piece(piece, &plain)?;
        for (name, object) in PackedObjects::new(&plain).flatten() {
            objects.put(&name, object).map_err(StoreError::from)?;
            count += 1;
        }
        *bytes += piece.plain_bytes;
    }
    Ok(count)
}

/// The guard of the restored ledger, which asks for a generation that no state has (`RESTORE-4`).
///
/// Where the log ends with a run, its checkpoint stands; else one is signed for the frame's end: that is the very root that
/// the ledger had at this size, so it is no second one.
fn guard_record(plan: &Plan<'_>, tail: &Tail, ledger: &LedgerKeys) -> Result<GuardRecord, RestoreError> {
    let ends_here =
        plan.runs.iter().rev().map(|run| &run.manifest.guard).find(|guard| guard.size == tail.position.0);
    let checkpoint = match ends_here {
        Some(guard) => guard.checkpoint.clone(),
        None => {
            let told = Checkpoint { origin: ledger.origin.clone(), size: tail.position.0, root: tail.root };
            let signers = signers(ledger).map_err(StoreError::Origin)?;
            let signed = SignedCheckpoint::sign(told, &signers.iter().collect::<Vec<_>>());
            let refused =
                |error| StoreError::Recover(waag_engine::recover::OpenError::GuardCheckpoint(error));
            signed.map_err(refused)?.note().as_bytes().to_vec()
        }
    };
    let record = GuardRecord {
        sequence: 0,
        ledger: tail.ledger,
        epoch: tail.epoch,
        frame: FrameNumber(tail.next.0.saturating_sub(1)),
        size: tail.position.0,
        root: tail.root,
        header_hash: tail.header_hash,
        keys_generation: READ_ONLY_GENERATION,
        checkpoint,
    };
    check_guard(ledger, &record).map_err(StoreError::from)?;
    Ok(record)
}
