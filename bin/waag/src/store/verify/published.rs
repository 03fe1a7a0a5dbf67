//! What was published and witnessed, against the ledger: a store that was taken back may hold the proof of it itself.
//!
//! Not here: the comparison (`node/publishing/history`), which every opening to write makes too.

use waag_files::log::FilesLog;
use waag_keys::keyring::Keyring;
use waag_keys::ledger::LedgerKeys;
use waag_keys::state::{self, Table};
use waag_log::guard::GuardRecord;
use waag_sqlite::state::STATE_FILE;

use super::{Report, state::fault};
use crate::node::publishing::history;
use crate::node::publishing::record::{LATEST, witnesses};
use crate::store::place::Place;
use crate::store::reader::read_guard;

/// Compares the newest published checkpoint with the ledger, and tells of what witnesses saw.
pub(super) fn check(place: &Place, ledger: &LedgerKeys, keyring: &Keyring, report: &mut Report) {
    let at = state::Place::Record { table: Table::Publication.code(), key: LATEST.to_vec() };
    match history::published(keyring, &ledger.origin) {
        Ok(None) => {}
        Ok(Some(kept)) => {
            // Read behind what was published, which was guarded before: a writer that runs beside moves the guard on.
            let guard = read_guard(&*place.guard_files()).ok().and_then(|inspection| inspection.record);
            // A guard or a log that cannot be read was told of before.
            let Some(guard) = guard.filter(|guard| guard.ledger == ledger.id) else { return };
            let Some(log) = open_log(place, &guard) else { return };
            if let Err(stopped) = history::check(&log, guard.size, &kept) {
                if guard.is_read_only() {
                    // A restored ledger may be older, which is why nobody writes it.
                    report.note(place.state.join(STATE_FILE), stopped.reason, false);
                } else {
                    report.fault(fault(place, Some(&at), stopped.code, stopped.reason));
                }
            }
        }
        Err(error) => report.fault(fault(place, Some(&at), error.code(), error.to_string())),
    }
    // What witnesses say is of the ledger that is written.
    if place.before.is_some() {
        return;
    }
    match witnesses(keyring) {
        Ok(witnesses) => {
            for witness in witnesses {
                let Some(alarm) = &witness.alarm else { continue };
                let reason = format!("`{}`: {alarm}", witness.name);
                report.fault(fault(place, Some(&at), alarm.code(), reason));
            }
        }
        Err(error) => report.fault(fault(place, Some(&at), error.code(), error.to_string())),
    }
}

fn open_log(place: &Place, guard: &GuardRecord) -> Option<FilesLog> {
    FilesLog::open_read_only(place.data_files(), guard.ledger, guard).ok()
}
