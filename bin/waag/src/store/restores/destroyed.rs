//! Which keys must not come back: what any later run, the lost store's own state, or the ledger itself tells of erasures.
//!
//! Three places, each of which may know what the others do not:
//! - the tombstones of the run whose keys are restored, and of every later run, also where its manifest cannot be read;
//! - the tombstones of the lost store's state, where it is given with its guard;
//! - events of the log behind the key material, where that is older than the log, or tombstones of later runs are lost: they
//!   name the keys, also beyond the end of what is restored.
//!
//! What nobody told is not known here: an erasure that was made after the last run and lost with the machine.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use waag_archive::error::{ArchiveError, SpanFault};
use waag_archive::manifest::{Kind, Shelf};
use waag_archive::repository::{Repository, Run};
use waag_engine::reader::{ReadFault, Reader};
use waag_engine::registry::Registry;
use waag_entry::form::{Entry, read_clear};
use waag_entry::plain::Body;
use waag_files::log::FilesLog;
use waag_files::objects::FileObjects;
use waag_keys::keyring::Keyring;
use waag_keys::memory::MemoryState;
use waag_keys::restored::Destroyed;
use waag_keys::state::{Change, Expect, SCAN_RECORDS_MAX, State, Table};
use waag_log::contract::{FrameView, Tail};
use waag_log::frame::{DecodedFrame, Entries};
use waag_log::guard::GuardRecord;
use waag_model::ids::{FrameNumber, KeyId, Position};
use waag_model::time::UtcNanos;
use waag_model::value::Value;
use waag_sqlite::state::SqliteState;

use super::handover::lost_state;
use super::{Asked, Plan, RestoreError, state};
use crate::store::backups::{BackupError, check_piece};
use crate::store::error::StoreError;
use crate::store::reader::open_keys;

/// Events whose `keys` are ids of destroyed keys.
pub(in crate::store) const DESTROYING: [&str; 3] =
    ["waag.keys.destroyed", "waag.subject.erased", "waag.subject.expired"];

/// What the tombstones of later runs tell.
#[derive(Default)]
struct Later {
    /// Every erasure below this position is told by a tombstone.
    covered: u64,
    /// Why the first of them could not be read that is lost.
    lost: Option<RestoreError>,
}

/// Gathers them.
pub(super) fn gather(
    asked: &Asked,
    repository: &Repository,
    plan: &Plan<'_>,
    tail: &Tail,
) -> Result<Destroyed, RestoreError> {
    let (mut destroyed, mut later) = (Destroyed::default(), Later::default());
    let all = || plan.runs.iter().chain(plan.later.iter().copied());
    for run in all().filter(|run| run.manifest.sequence >= plan.keys.sequence) {
        match state::tombstones_of(repository, &run.manifest, &mut destroyed) {
            Ok(()) => later.covered = later.covered.max(run.manifest.guard.size),
            // Lost with what was lost: the events of the backed-up log are asked below. The run whose keys these are must
            // be whole.
            Err(RestoreError::Backup(BackupError::Archive(error)))
                if run.manifest.sequence != plan.keys.sequence && is_lost(&error) =>
            {
                later.lost.get_or_insert(error.into());
            }
            Err(error) => return Err(error),
        }
    }
    unnamed_tombstones(repository, &all().collect::<Vec<_>>(), &mut destroyed)?;
    if let Some(lost) = &asked.guard {
        let folder = lost_state(lost, &asked.place);
        let surviving = SqliteState::open_read_only(&folder)?;
        let mut after: Option<Vec<u8>> = None;
        loop {
            let records = surviving.scan(Table::Tombstone, after.as_deref(), SCAN_RECORDS_MAX)?;
            let Some(last) = records.last() else { break };
            after = Some(last.key.clone());
            records.iter().try_for_each(|record| destroyed.tombstone(&record.key, &record.value))?;
        }
    }
    if tail.position.0 > plan.keys.guard.size || later.lost.is_some() {
        told_by_events(asked, repository, plan, tail, later, &mut destroyed)?;
    }
    Ok(destroyed)
}

/// Whether an object is gone or damaged, and not its place.
pub(super) fn is_lost(error: &ArchiveError) -> bool {
    matches!(error, ArchiveError::Missing { .. } | ArchiveError::Damaged { .. })
}

/// Tombstones of runs whose manifests cannot be read: their objects say by themselves that they are this repository's.
fn unnamed_tombstones(
    repository: &Repository,
    runs: &[&Run],
    destroyed: &mut Destroyed,
) -> Result<(), RestoreError> {
    let named: BTreeSet<&str> =
        runs.iter().flat_map(|run| &run.manifest.pieces).map(|piece| piece.name.as_str()).collect();
    let names = repository.names()?;
    let is_unnamed =
        |name: &&String| name.starts_with(Shelf::States.prefix()) && !named.contains(name.as_str());
    for name in names.iter().filter(is_unnamed) {
        match repository.get_named(name) {
            Ok(plain) => state::tombstones_in(&plain, destroyed)?,
            Err(error) if is_lost(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The restored log as far as it goes.
pub(super) fn open_log(asked: &Asked, tail: &Tail) -> Result<FilesLog, StoreError> {
    let record = GuardRecord {
        sequence: 0,
        ledger: tail.ledger,
        epoch: tail.epoch,
        frame: FrameNumber(tail.next.0.saturating_sub(1)),
        size: tail.position.0,
        root: tail.root,
        header_hash: tail.header_hash,
        keys_generation: 0,
        checkpoint: Vec::new(),
    };
    Ok(FilesLog::open_read_only(asked.place.data_files(), tail.ledger, &record)?)
}

/// Reads the events behind the key material, with keys that are in memory only.
///
/// An event whose own key is not among these says nothing; where no tombstone tells what it would have told, the restore is
/// refused with the reason for which there is none.
fn told_by_events(
    asked: &Asked,
    repository: &Repository,
    plan: &Plan<'_>,
    tail: &Tail,
    later: Later,
    destroyed: &mut Destroyed,
) -> Result<(), RestoreError> {
    let memory = MemoryState::new();
    let mut put = |table: Table, key: &[u8], value: &[u8]| {
        let change = Change { table, key, expect: Expect::Any, value: Some(value) };
        memory.commit(&[change])?;
        Ok(())
    };
    state::each_record(repository, plan, &mut put)?;
    let (_, keyring): (_, Arc<Keyring>) = open_keys(&asked.place, Arc::new(memory), &asked.options)?;
    let reader = Reader {
        ledger: tail.ledger,
        log: Arc::new(open_log(asked, tail)?),
        keyring,
        objects: Arc::new(FileObjects::new(asked.place.data_files())),
        registry: Arc::new(Registry::default()),
    };
    let mut found: Vec<(Position, UtcNanos, Vec<u8>)> = Vec::new();
    let mut look = |frame: FrameView<'_>| {
        for (position, bytes) in frame.entries() {
            if let Ok(header) = read_clear(bytes)
                && DESTROYING.contains(&header.kind)
            {
                found.push((position, header.accepted, bytes.to_vec()));
            }
        }
        ControlFlow::Continue(())
    };
    let from = Position(plan.keys.guard.size);
    if from < tail.position {
        reader.log.read(from, &mut look).map_err(|error| StoreError::from(ReadFault::Log(error)))?;
    }
    if later.lost.is_some() {
        let behind = from.0.max(tail.position.0).max(later.covered);
        beyond(repository, plan, Position(behind), &mut |position, bytes| {
            if let Ok(header) = read_clear(bytes)
                && DESTROYING.contains(&header.kind)
            {
                found.push((position, header.accepted, bytes.to_vec()));
            }
        })?;
    }
    for (position, at, bytes) in found {
        let entry = Entry::read(&bytes).map_err(|error| StoreError::from(ReadFault::Entry(error)))?;
        let read = match reader.open(&entry) {
            Ok(read) => read,
            Err(ReadFault::KeyUnknown(_)) if position.0 < later.covered => continue,
            Err(fault @ ReadFault::KeyUnknown(_)) => {
                return Err(later.lost.unwrap_or_else(|| StoreError::from(fault).into()));
            }
            Err(fault) => return Err(StoreError::from(fault).into()),
        };
        let common = read.opened.event().map_err(|error| StoreError::from(ReadFault::Entry(error)))?;
        let Some(Body::Json(data)) = common.map(|common| common.body) else { continue };
        for id in key_ids(&data) {
            destroyed.told(id, at);
        }
    }
    Ok(())
}

/// Shows the backed-up entries from a position on, also those that are not restored: an erasure holds for the past.
fn beyond(
    repository: &Repository,
    plan: &Plan<'_>,
    from: Position,
    visit: &mut dyn FnMut(Position, &[u8]),
) -> Result<(), RestoreError> {
    let runs = plan.runs.iter().chain(plan.later.iter().copied());
    let pieces = runs.flat_map(|run| run.manifest.of(Kind::Frames));
    for piece in pieces.filter(|piece| piece.end_position > from.0) {
        let plain = repository.get(piece)?;
        let mut rest = plain.as_slice();
        for checked in check_piece(piece, &plain)? {
            let (frame, behind) = rest.split_at_checked(checked.bytes).unwrap_or((rest, &[]));
            rest = behind;
            let wrong = |fault| ArchiveError::Frames {
                name: piece.name.clone(),
                position: checked.header.fields.first,
                fault: SpanFault::Frame(fault),
            };
            let frame = DecodedFrame::decode(frame).map_err(wrong)?;
            for (position, bytes) in (checked.header.fields.first.0..).zip(Entries::new(frame.body)) {
                if position >= from.0 {
                    visit(Position(position), bytes);
                }
            }
        }
    }
    Ok(())
}

/// The ids under `keys`: texts, or objects that have an `id`.
pub(in crate::store) fn key_ids(data: &Value<'_>) -> Vec<KeyId> {
    let Some(Value::Array(keys)) = data.child("keys") else { return Vec::new() };
    let text = |key: &Value<'_>| {
        let text = key.as_text().map(str::to_owned);
        text.or_else(|| key.child("id").and_then(Value::as_text).map(str::to_owned))
    };
    let id = |key: &Value<'_>| {
        let mut id = [0; 16];
        hex::decode_to_slice(text(key)?, &mut id).ok().map(|()| KeyId(id))
    };
    keys.iter().filter_map(id).collect()
}
