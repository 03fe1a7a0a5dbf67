//! Every folder of a store: nothing stands in it that has no place there.
//!
//! A file that nobody knows is never passed over: it may be what a rollback or a failed copy has left, and "verified"
//! would then be said of something that was not looked at. The walk over the log meets the unknown files of its folder
//! behind the guarded frames, where all it can call them is residue, so they are told here. Not here: the objects'
//! folder (`objects`).

use std::os::unix::fs::PermissionsExt as _;

use waag_engine::recover::IDENTITY_FOLDER;
use waag_files::guard::{GUARD_FILE, inspect};
use waag_files::segment::FOLDER;
use waag_files::vault::VAULT_FILE;
use waag_sqlite::state::{LOCK_FILE, STATE_FILE};
use waag_sqlite::wal::{WAL_FILE, WAL_INDEX_FILE};
use waag_stdx::files::Files;

use super::Report;
use crate::store::beside::is_desk;
use crate::store::error::StoreError;
use crate::store::place::{
    ACCESS_FOLDER, BEFORE_FOLDER, HANDED_OVER_FILE, PROMOTING_FILE, Place, RESTORING_FILE, TAKING_OVER_FILE,
    VIEWS_FOLDER,
};

/// What the data folder holds.
const DATA: &[&str] = &[ACCESS_FOLDER, BEFORE_FOLDER, "derived", "log", "log.lock", "objects", VIEWS_FOLDER];
/// What is derived; files with an ending are being written, or mark that one is.
const DERIVED: &[&str] = &["hashes", "identity", "schemas", "schemas.new", "schemas.pending"];
/// What the state folder holds; `vault.key.new` is the vault's key while it is written.
const STATE: &[&str] = &[
    STATE_FILE,
    WAL_FILE,
    WAL_INDEX_FILE,
    GUARD_FILE,
    BEFORE_FOLDER,
    VAULT_FILE,
    RESTORING_FILE,
    PROMOTING_FILE,
    TAKING_OVER_FILE,
    HANDED_OVER_FILE,
    LOCK_FILE,
    "restoring.new",
    "promoting.new",
    "taking-over.new",
    "handed-over.new",
    "guard.lock",
    "vault.key.new",
    "vault.lock",
];

/// Tells everything that has no place where it stands.
pub(super) fn check(place: &Place, report: &mut Report) {
    if place.is_restoring() {
        let what = "the restore of this store was not verified to its end; `waag promote` does so before anything else";
        report.note(place.state.join(RESTORING_FILE), what, false);
    }
    modes(place, report);
    if inspect(&*place.guard_files()).is_ok_and(|guard| guard.record.is_some_and(|it| it.is_handed_over())) {
        let what = "the right to write was handed over to a restored store; this one is never written again";
        report.note(place.state.join(HANDED_OVER_FILE), what, false);
    }
    let (data, state) = (place.data_files(), place.state_files());
    let known = |names: &'static [&'static str]| move |name: &str| names.contains(&name);
    let is_run = |name: &str| {
        let number = name.strip_prefix("run-");
        number.is_some_and(|number| number.len() == 16 && number.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    folder(&*data, &place.data, "", &known(DATA), report);
    folder(&*data, &place.data, "derived", &known(DERIVED), report);
    let of_index = |name: &str| is_run(name) || name == "manifest" || name == "manifest.next";
    folder(&*data, &place.data, IDENTITY_FOLDER, &of_index, report);
    let is_segment = |name: &str| {
        let number = name.strip_suffix(".seg");
        number.is_some_and(|number| number.len() == 20 && number.bytes().all(|b| b.is_ascii_digit()))
    };
    folder(&*data, &place.data, FOLDER, &|name| is_segment(name) || name == "spare.seg", report);
    let of_state = |name: &str| STATE.contains(&name) || is_desk(&place.state, name);
    folder(&*state, &place.state, "", &of_state, report);
}

/// Tells what of the state others can write, which is a fault, or could put another in the place of.
fn modes(place: &Place, report: &mut Report) {
    if let Err(error) = place.check_modes() {
        let path =
            if let StoreError::TooOpen { path, .. } = &error { path.clone() } else { place.state.clone() };
        report.file_fault(path, error.code(), super::with_cause(&error));
    }
    let above = place.state.parent().filter(|above| !above.as_os_str().is_empty());
    let Some(Ok(found)) = above.map(std::fs::metadata) else { return };
    let mode = found.permissions().mode() & 0o7777;
    // In a folder with the sticky bit nobody moves what is another's.
    if let Some(above) = above.filter(|_| mode & 0o022 != 0 && mode & 0o1000 == 0) {
        let what = format!("others can put another state folder in its place (mode {mode:04o})");
        report.note(above.to_owned(), what, false);
    }
}

fn folder(
    files: &dyn Files,
    root: &std::path::Path,
    name: &str,
    is_known: &dyn Fn(&str) -> bool,
    report: &mut Report,
) {
    let path = if name.is_empty() { root.to_owned() } else { root.join(name) };
    match files.list(name) {
        Ok(names) => {
            for name in names.iter().filter(|name| !is_known(name)) {
                let error = StoreError::Foreign;
                report.file_fault(path.join(name), error.code(), error.to_string());
            }
        }
        Err(error) => {
            let error = StoreError::Io { operation: "list", path: path.clone(), source: error };
            report.file_fault(path, error.code(), super::with_cause(&error));
        }
    }
}
