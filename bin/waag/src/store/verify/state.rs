//! The state: every record, the generation that the guard asks for, and SQLite's write-ahead log.
//!
//! SQLite passes over a log that is not sound from there on, and shows the state as it was before. Where the guard asks
//! for more than is shown, that is a fault; else what is passed over was never under a guard, and is told as residue.
//! Not here: what the records mean (`keys`), reading the log's form (`waag_sqlite::wal`).

use std::sync::Arc;
use std::time::Duration;

use waag_engine::recover::OpenError;
use waag_keys::error::KeysError;
use waag_keys::state::{self, Extent, State, StateError, Table};
use waag_log::guard::GuardRecord;
use waag_sqlite::state::{STATE_FILE, SqliteState};
use waag_sqlite::wal::{self, Unread, WAL_FILE};

use super::{Fault, Report};
use crate::store::error::StoreError;
use crate::store::place::Place;

/// How often a finding in the write-ahead log is looked at again: a commit under way shows as one.
const WAL_READS_MAX: u32 = 5;
/// The wait between two of these, in milliseconds.
const WAL_READ_DELAY_MS: u64 = 3;

/// Checks everything about the state; gives it where it could be opened.
pub(super) fn check(
    place: &Place,
    guard: Option<&GuardRecord>,
    report: &mut Report,
) -> Option<Arc<dyn State>> {
    let (state, generation) = records(place, report);
    let behind = match (guard, generation) {
        // A restored ledger's guard asks for a generation that there is none of, so that nobody writes.
        (Some(guard), Some(found)) if found < guard.keys_generation && !guard.is_read_only() => {
            let error = OpenError::StateBehindGuard { state: found, guard: guard.keys_generation };
            report.fault(fault(place, Some(&state::Place::Head), error.code(), error.to_string()));
            true
        }
        (Some(_), Some(_)) => false,
        (None, _) | (_, None) => true,
    };
    match unread(place) {
        Ok(None) => {}
        Ok(Some(unread)) => log_fault(place, unread, behind, report),
        Err(error) => {
            let code = damaged(String::new()).code();
            report.file_fault(place.state.join(WAL_FILE), code, format!("cannot be read: {error}"));
        }
    }
    state
}

/// Every record; gives the state, and the generation that its head shows.
fn records(place: &Place, report: &mut Report) -> (Option<Arc<dyn State>>, Option<u64>) {
    let state = match SqliteState::open_read_only(&place.state) {
        Ok(state) => state,
        Err(error) => {
            let (code, reason) = (error.code(), error.to_string());
            report.fault(fault(place, place_in(&error), code, reason));
            return (None, None);
        }
    };
    let mut generation = None;
    match state.check(Extent::All) {
        Ok(check) => {
            let code = damaged(String::new()).code();
            for found in &check.faults {
                report.fault(fault(place, Some(&found.place), code, found.reason.clone()));
            }
            report.faults_total += check.faults_more;
            generation = Some(check.head.generation.0);
        }
        Err(error) => {
            report.fault(fault(place, place_in(&error), error.code(), error.to_string()));
        }
    }
    (Some(Arc::new(state)), generation)
}

/// What is not read of the write-ahead log, where it stays so.
fn unread(place: &Place) -> std::io::Result<Option<Unread>> {
    let first = wal::unread(&place.state)?;
    for _ in 1..WAL_READS_MAX {
        if first.is_none() {
            break;
        }
        std::thread::sleep(Duration::from_millis(WAL_READ_DELAY_MS));
        if wal::unread(&place.state)? != first {
            return Ok(None);
        }
    }
    Ok(first)
}

fn log_fault(place: &Place, unread: Unread, behind: bool, report: &mut Report) {
    let found = Fault {
        file: place.state.join(WAL_FILE),
        offset: Some(unread.offset),
        position: None,
        record: None,
        code: damaged(String::new()).code(),
        reason: unread.what.to_owned(),
    };
    if behind || unread.is_damage { report.fault(found) } else { report.residue.push(found) }
}

fn damaged(reason: String) -> StateError {
    StateError::Damaged(state::Fault { place: state::Place::Store, reason })
}

fn place_in(error: &StateError) -> Option<&state::Place> {
    if let StateError::Damaged(fault) = error { Some(&fault.place) } else { None }
}

/// The place in the state that an error names, where it names one.
pub(super) fn place_of(error: &StoreError) -> Option<&state::Place> {
    if let StoreError::State(error) | StoreError::Keys(KeysError::State(error)) = error {
        place_in(error)
    } else {
        None
    }
}

/// A fault of the state: table and record, as far as they are known.
pub(super) fn fault(place: &Place, at: Option<&state::Place>, code: &'static str, reason: String) -> Fault {
    let record = match at {
        Some(state::Place::Record { table, key }) => {
            let name =
                Table::of_code(*table).map_or_else(|| table.to_string(), |table| table.name().to_owned());
            Some((name, hex::encode(key)))
        }
        Some(state::Place::Head) => Some(("head".to_owned(), String::new())),
        // SQLite's own structure: no record can be named where none can be read.
        Some(state::Place::Store) | None => Some(("store".to_owned(), String::new())),
    };
    Fault { file: place.state.join(STATE_FILE), offset: None, position: None, record, code, reason }
}
