//! Verification of a whole store, beside its writer or without one: nothing that was acknowledged is missing or changed.
//!
//! In this order, each step going on behind the faults of those before it, as far as it can:
//! places and what is in them → guard → state and its write-ahead log → vault and keys → guard's signature → objects →
//! log with every entry → what its events tell of keys and persons → what was published → derived files.
//!
//! What lies beyond the guard is told as residue: perhaps it was never acknowledged, or the guard was taken back. More of it
//! than a crash leaves, or what no opening to write would take, is a fault. Derived files are compared with what they
//! are derived from; where they differ that is a note, and they are made again unless a writer runs.
//!
//! - `VERIFY-1`: a report without faults has a guard whose signature holds, a log that reaches it, and its root computed
//!   anew from every entry.
//! - `VERIFY-2`: a store that is missing, cut, or of an unknown form is never verified; one without entries only where its
//!   signed guard says that there are none.
//! - `VERIFY-3`: every fault names its file, and where in it: an offset, or for the state a table and record.

mod derived;
mod entries;
mod objects;
mod places;
mod published;
mod state;
mod told;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use waag_engine::recover::check_guard;
use waag_files::error::OpenError;
use waag_files::guard::GUARD_FILE;
use waag_files::recover;
use waag_files::scan::RESIDUE_FRAMES_MAX;
use waag_files::segment::FOLDER;
use waag_files::vault::VAULT_FILE;
use waag_files::walk::RawFiles;
use waag_keys::keyring::Keyring;
use waag_keys::ledger::LedgerKeys;
use waag_keys::state::State;
use waag_keys::vault::VaultError;
use waag_ledger::hash::Hash;
use waag_log::guard::GuardRecord;
use waag_log::verify::LogFault;
use waag_model::ids::{LedgerId, Position};

use self::derived::Derived;
use self::entries::EntryCheck;
use super::error::StoreError;
use super::options::Options;
use super::place::Place;
use super::reader::{open_keys, read_guard};

/// How often what would keep the log from being opened is looked at again: an append under way may show as such.
const OPENING_LOOKS_MAX: u32 = 5;
/// The wait between two of these, in milliseconds.
const OPENING_LOOK_DELAY_MS: u64 = 10;
/// Most faults that are kept one by one.
pub const FAULTS_MAX: usize = 1_000;

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// Open every part whose key is there, and look every identity up.
    pub deep: bool,
    /// Make derived files again where they are wrong and no writer runs.
    pub rebuild: bool,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// Where in it, in bytes, where that can be said.
    pub offset: Option<u64>,
    /// The first position concerned, where it is known.
    pub position: Option<Position>,
    /// The state's table and record, where it is one's.
    pub record: Option<(String, String)>,
    /// The stable code.
    pub code: &'static str,
    /// What is wrong.
    pub reason: String,
}

/// A derived file that was not what it is derived from, or is behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The file or folder.
    pub file: PathBuf,
    /// What was found.
    pub what: String,
    /// It was made again, or removed so that the next opening makes it.
    pub rebuilt: bool,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries under the guard.
    pub entries: u64,
    /// Frames under the guard.
    pub frames: u64,
    /// Bytes of these frames.
    pub bytes: u64,
    /// The root computed over all entries, where it could be computed.
    pub root: Option<Hash>,
    /// The checkpoint's origin, where the guard could be read.
    pub origin: Option<String>,
    /// Objects that were read.
    pub objects: u64,
    /// The first [`FAULTS_MAX`] faults.
    pub faults: Vec<Fault>,
    /// How many there are.
    pub faults_total: u64,
    /// Whole frames beyond the guard, and their entries.
    pub residue_frames: u64,
    /// Entries in these.
    pub residue_entries: u64,
    /// What else lies beyond the guard.
    pub residue: Vec<Fault>,
    /// What was found about derived files and the like; no fault.
    pub notes: Vec<Note>,
    /// The guard is reached and every step was taken.
    complete: bool,
}

impl Report {
    /// Whether everything that was acknowledged is there and unchanged (`VERIFY-1`).
    #[must_use]
    pub fn verified(&self) -> bool {
        self.complete && self.faults_total == 0 && self.root.is_some()
    }

    fn fault(&mut self, fault: Fault) {
        self.faults_total += 1;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        }
    }

    /// A fault of a whole file.
    fn file_fault(&mut self, file: PathBuf, code: &'static str, reason: String) {
        self.fault(Fault { file, offset: Some(0), position: None, record: None, code, reason });
    }

    fn note(&mut self, file: PathBuf, what: impl Into<String>, rebuilt: bool) {
        self.notes.push(Note { file, what: what.into(), rebuilt });
    }
}

/// How far it is: entries checked, entries to check.
pub type Progress<'p> = &'p mut dyn FnMut(u64, u64);

/// The keys as far as they could be opened.
struct Keys {
    keyring: Arc<Keyring>,
    ledger: LedgerKeys,
}

/// Verifies a store.
///
/// # Errors
/// Only where the caller can do something about it before anything is said: [`VaultError::Passphrase`] is missing or
/// wrong; [`StoreError::Missing`] and [`StoreError::NoTenant`] where no store was made. Everything else is in the report.
pub fn verify(
    place: &Place,
    options: &Options,
    depth: Depth,
    progress: Progress<'_>,
) -> Result<Report, StoreError> {
    let mut report = Report::default();
    if let Err(error) = place.must_exist() {
        // Nothing is there at all: another place is meant, and nothing is said of what stands there.
        if matches!(error, StoreError::Missing(_) | StoreError::NoTenant { .. }) {
            return Err(error);
        }
        let folder = if place.data.is_dir() { &place.state } else { &place.data };
        report.file_fault(folder.clone(), error.code(), error.to_string());
        return Ok(report);
    }
    places::check(place, &mut report);
    let guard = check_guard_file(place, &mut report);
    let state = state::check(place, guard.as_ref(), &mut report);
    let keys = match &state {
        Some(state) => check_keys(place, options, Arc::clone(state), &mut report)?,
        None => None,
    };
    if let (Some(guard), Some(keys)) = (&guard, &keys) {
        check_signature(place, guard, keys, &mut report);
    }
    let ledger = keys.as_ref().map(|keys| keys.ledger.id).or(guard.as_ref().map(|guard| guard.ledger));
    let Some(ledger) = ledger else { return Ok(report) };
    let objects = objects::check(place, &mut report);
    let derived = guard.as_ref().map(|guard| Derived { place, guard, ledger });
    let (found, stored) = std::thread::scope(|scope| {
        let stored =
            derived.as_ref().map(|derived| scope.spawn(|| (derived.stored(), derived.identity(options))));
        let opened = (ledger, guard.as_ref(), keys.as_ref());
        let found = check_log(place, options, depth, opened, objects, &mut report, progress);
        (found, stored.and_then(|thread| thread.join().ok()))
    });
    let (Some(derived), Some((stored, identity)), true) = (derived, stored, keys.is_some()) else {
        return Ok(report);
    };
    let found = Walked { identity: identity.or(found.identity), ..found };
    let rebuild = depth.rebuild && report.faults_total == 0;
    derived.check(&found, stored, rebuild, &mut report);
    report.complete = found.guard_reached;
    Ok(report)
}

fn check_guard_file(place: &Place, report: &mut Report) -> Option<GuardRecord> {
    let file = place.guard_folder().join(GUARD_FILE);
    let inspection = match read_guard(&*place.guard_files()) {
        Ok(inspection) => inspection,
        Err(error) => {
            let error = StoreError::from(error);
            report.file_fault(file, error.code(), with_cause(&error));
            return None;
        }
    };
    for (offset, fault) in &inspection.faults {
        report.fault(Fault {
            file: file.clone(),
            offset: Some(*offset),
            position: None,
            record: None,
            code: fault.code(),
            reason: fault.to_string(),
        });
    }
    if let Err(error) = inspection.newest() {
        report.file_fault(file, error.code(), error.to_string());
    }
    inspection.record
}

/// Opens vault and keys; a vault that only lacks its passphrase is the caller's matter.
fn check_keys(
    place: &Place,
    options: &Options,
    state: Arc<dyn State>,
    report: &mut Report,
) -> Result<Option<Keys>, StoreError> {
    let opened = open_keys(place, state, options).and_then(|(_, keyring)| {
        let ledger = keyring.ledger(&place.ledger_name())?;
        Ok(Keys { keyring, ledger })
    });
    match opened {
        Ok(keys) => Ok(Some(keys)),
        Err(error @ StoreError::Vault(VaultError::Passphrase(_))) => Err(error),
        Err(error) => {
            // What the vault itself says is its file's; all else stands in the state.
            let (code, reason) = (error.code(), with_cause(&error));
            if matches!(error, StoreError::Vault(_)) {
                report.file_fault(place.state.join(VAULT_FILE), code, reason);
            } else {
                report.fault(state::fault(place, state::place_of(&error), code, reason));
            }
            Ok(None)
        }
    }
}

fn check_signature(place: &Place, guard: &GuardRecord, keys: &Keys, report: &mut Report) {
    match check_guard(&keys.ledger, guard) {
        Ok(checkpoint) => report.origin = Some(checkpoint.checkpoint().origin.clone()),
        Err(error) => {
            report.file_fault(place.guard_folder().join(GUARD_FILE), error.code(), error.to_string());
        }
    }
}

/// What the walk over the log leaves for the steps behind it.
pub(crate) struct Walked {
    guard_reached: bool,
    /// The registrations that the log has.
    schemas: super::schemas::Schemas,
    /// Some registrations could not be read, so that the index knows more.
    schemas_closed: bool,
    /// What the identity index said about itself.
    identity: Option<String>,
}

fn check_log(
    place: &Place,
    options: &Options,
    depth: Depth,
    (ledger, guard, keys): (LedgerId, Option<&GuardRecord>, Option<&Keys>),
    objects: Vec<Hash>,
    report: &mut Report,
    progress: Progress<'_>,
) -> Walked {
    let size = guard.map_or(0, |guard| guard.size);
    let keyring = keys.map(|keys| Arc::clone(&keys.keyring));
    let mut check = EntryCheck::new(place, options, depth, ledger, keyring, objects);
    let log = RawFiles::new(place.data_files(), ledger);
    let mut look = |position: Position, bytes: &[u8]| {
        progress(position.0, size);
        check.entry(position, bytes)
    };
    let found = waag_log::verify::verify(&log, ledger, guard, &mut look);
    progress(size, size);
    report.entries = found.entries;
    report.frames = found.frames;
    report.bytes = found.bytes;
    report.root = found.root;
    report.residue_frames = found.residue_frames;
    report.residue_entries = found.residue_entries;
    report.faults_total += found.faults_total.saturating_sub(found.faults.len() as u64);
    for fault in &found.faults {
        let root = if fault.file == GUARD_FILE { place.guard_folder() } else { place.data.clone() };
        report.fault(log_fault(&root, fault));
    }
    report.residue.extend(found.residue.iter().map(|fault| log_fault(&place.data, fault)));
    if let Some(guard) = guard {
        check_residue(place, guard, found.residue_frames, report);
        // What the walk found a fault in is told of with its own place.
        if found.faults_total == 0 && !guard.is_read_only() {
            check_opening(place, ledger, report);
        }
    }
    let (schemas, schemas_closed, identity, told) = check.finish();
    if let (Some(guard), Some(keys)) = (guard, keys) {
        let today = options.clock.now().day();
        told.finish(place, &keys.keyring, guard, today, report);
        published::check(place, &keys.ledger, &keys.keyring, report);
    }
    Walked { guard_reached: found.verified(), schemas, schemas_closed, identity }
}

/// More whole frames beyond the guard than a crash leaves were acknowledged under a newer one: this one was taken back.
fn check_residue(place: &Place, guard: &GuardRecord, frames: u64, report: &mut Report) {
    if frames <= RESIDUE_FRAMES_MAX {
        return;
    }
    // A writer that runs beside has moved the guard on meanwhile.
    let now = read_guard(&*place.guard_files()).ok().and_then(|inspection| inspection.record);
    let now = now.filter(|now| now.ledger == guard.ledger).map_or(guard.next_frame(), |now| now.next_frame());
    let end = guard.next_frame().0.saturating_add(frames);
    if end.saturating_sub(now.0) > RESIDUE_FRAMES_MAX {
        let error = OpenError::GuardTooOld { first: guard.next_frame(), most: RESIDUE_FRAMES_MAX };
        report.file_fault(place.guard_folder().join(GUARD_FILE), error.code(), error.to_string());
    }
}

/// Whether the log's driver would open the log to append: one rule for verification and writing.
fn check_opening(place: &Place, ledger: LedgerId, report: &mut Report) {
    let files = place.data_files();
    let look = || {
        let guard = read_guard(&*place.guard_files()).ok().and_then(|inspection| inspection.record);
        // A guard that cannot be read was told of before.
        guard.filter(|guard| guard.ledger == ledger).map_or(Ok(()), |guard| recover::check(&*files, &guard))
    };
    for again in (0..OPENING_LOOKS_MAX).rev() {
        let Err(error) = look() else { return };
        if again > 0 {
            // A writer that runs beside may be in the middle of an append.
            std::thread::sleep(Duration::from_millis(OPENING_LOOK_DELAY_MS));
            continue;
        }
        let (code, text) = (error.code(), error.to_string());
        match error {
            OpenError::Damaged { file, offset, damage } => report.fault(Fault {
                file: place.data.join(file),
                offset: Some(offset),
                position: None,
                record: None,
                code,
                reason: damage.to_string(),
            }),
            // Told by the frames that were counted.
            OpenError::GuardTooOld { .. } => {}
            OpenError::Held
            | OpenError::BehindGuard { .. }
            | OpenError::Exists
            | OpenError::Failed { .. }
            | OpenError::Config(_)
            | OpenError::Ledger => report.file_fault(place.data.join(FOLDER), code, text),
        }
    }
}

fn log_fault(root: &Path, fault: &LogFault) -> Fault {
    Fault {
        file: root.join(&fault.file),
        offset: Some(fault.offset),
        position: fault.position,
        record: None,
        code: fault.code,
        reason: fault.reason.clone(),
    }
}

/// An error with its cause behind it.
fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
