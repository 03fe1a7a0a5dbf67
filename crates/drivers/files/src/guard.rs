//! The guard as one small file of two slots, of which one always holds the last acknowledged record.
//!
//! Place: in the state's folder, not the log's: a rollback of the log alone, or of the state alone, shows. Not here:
//! the record (`waag_log::guard`).
//!
//! Slots are [`SLOT_BYTES`] long; a record of sequence *n* goes to slot *n* mod 2, by one write of the whole slot and
//! one sync. Reading takes the readable slot with the higher sequence. Why that is right when a slot is damaged:
//!
//! - A torn write of *n* leaves *n − 1* in the other slot, and *n* was never acknowledged: *n − 1* is the guard.
//! - A bit that flips in *n* later makes *n − 1* the guard although *n* was acknowledged. The log then holds a frame
//!   more than its guard, which opening keeps as residue, so that nothing acknowledged is lost. Only together with
//!   damage to that very frame could an acknowledged frame be cut; receipts and witnesses still tell.
//! - A bit that flips in *n − 1* changes nothing.
//!
//! The cases cannot be told apart here, so a damaged slot is always reported ([`inspect`]) and never refused on its
//! own; the next swap goes to that very slot and makes it good. Where no slot can be read, the guard is damaged, and
//! nothing is written.
//!
//! A record in the wrong slot (a misdirected write) counts by its sequence all the same, since it was made only after
//! its frame was durable; opening puts it where it belongs, and blanks the wrong slot, before anything else is written.
//!
//! Both slots wrong, or one record in both, no crash and no single fault of a disk leaves: somebody moved them, perhaps to
//! take the guard back by one. Such a guard can be read and is not opened to swap, so that the next write does not heal what
//! is evidence.
//!
//! At opening the newest slot is written again in place and synced: after a failed sync the page cache can show a
//! record that the disk never got. Writing the same bytes over themselves can tear without harm.

use std::io;
use std::sync::{Arc, Mutex};

use waag_log::guard::{Guard, GuardError, GuardFault, GuardRecord};
use waag_stdx::files::{File, Files, Lock, Open};

use crate::log::hold;

/// A slot's length: two blocks, room for the longest record.
pub const SLOT_BYTES: usize = 8_192;
/// The guard's file, below its root.
pub const GUARD_FILE: &str = "guard";
const LOCK: &str = "guard.lock";

/// The guard, open to read and swap.
#[derive(Debug)]
pub struct FileGuard {
    _lock: Box<dyn Lock>,
    file: Arc<dyn File>,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    record: Option<GuardRecord>,
    poisoned: bool,
}

/// What the two slots hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The record to go by; `None` where none can be read.
    pub record: Option<GuardRecord>,
    /// Each damaged slot with its offset in [`GUARD_FILE`].
    pub faults: Vec<(u64, GuardFault)>,
}

impl Inspection {
    /// The record to go by.
    ///
    /// # Errors
    /// [`GuardError::Damaged`] where no slot can be read, with the first fault.
    pub fn newest(&self) -> Result<&GuardRecord, GuardError> {
        self.record.as_ref().ok_or_else(|| {
            let (offset, fault) = self.faults.first().copied().unwrap_or((0, GuardFault::Blank));
            GuardError::Damaged { file: GUARD_FILE.to_owned(), offset, fault }
        })
    }
}

impl Inspection {
    /// The fault for which the guard is not opened to swap: both slots are wrong.
    fn refused(&self) -> Option<GuardError> {
        let in_slot = |slot: u64| self.faults.iter().find(|(offset, _)| *offset == slot * SLOT_BYTES as u64);
        let ((offset, fault), _) = in_slot(0).zip(in_slot(1))?;
        Some(GuardError::Damaged { file: GUARD_FILE.to_owned(), offset: *offset, fault: *fault })
    }
}

fn failed(operation: &'static str) -> impl FnOnce(io::Error) -> GuardError {
    move |source| GuardError::Failed { operation, source }
}

/// The slot of a sequence: its offset.
fn offset_of(sequence: u64) -> u64 {
    (sequence % 2) * SLOT_BYTES as u64
}

/// Reads the guard without holding it, beside a writer; a swap under way can show as a damaged slot, so that a caller
/// that finds one reads again.
///
/// # Errors
/// [`GuardError::Failed`] where the file is missing or cannot be read.
pub fn inspect(files: &dyn Files) -> Result<Inspection, GuardError> {
    let file = files.open(GUARD_FILE, Open::Read).map_err(failed("opening"))?;
    slots(&*file).map_err(failed("reading"))
}

fn slots(file: &dyn File) -> io::Result<Inspection> {
    let mut bytes = vec![0; 2 * SLOT_BYTES + 1];
    let read = file.read_at(&mut bytes, 0)?;
    let mut records = Vec::new();
    let mut faults = Vec::new();
    for slot in 0..2u64 {
        let start = usize::try_from(offset_of(slot)).unwrap_or(0);
        let end = read.min(start + SLOT_BYTES);
        match bytes.get(start..end).filter(|slot| slot.len() == SLOT_BYTES) {
            None => faults.push((slot, GuardFault::Cut)),
            Some(bytes) => match GuardRecord::decode(bytes) {
                Ok(record) => {
                    let found = record.sequence;
                    if found % 2 != slot {
                        // The other slot's record: the one that belongs here is its neighbour.
                        faults.push((slot, GuardFault::Stale { found, expected: found.saturating_sub(1) }));
                    }
                    records.push(record);
                }
                Err(fault) => faults.push((slot, fault)),
            },
        }
    }
    if read > 2 * SLOT_BYTES {
        faults.push((2, GuardFault::Padding { at: 2 * SLOT_BYTES }));
    }
    records.sort_unstable_by_key(|record| record.sequence);
    let record = records.pop();
    if let (Some(newest), Some(older)) = (&record, records.first())
        && older.sequence + 1 != newest.sequence
        && faults.is_empty()
    {
        let expected = newest.sequence.saturating_sub(1);
        faults.push((expected % 2, GuardFault::Stale { found: older.sequence, expected }));
    }
    if let (Some(newest), Some(twice)) = (&record, records.first())
        && twice.sequence == newest.sequence
    {
        // One of them is told of by its parity; which of the two records was there before, nobody knows.
        let (found, right) = (newest.sequence, newest.sequence % 2);
        faults.push((right, GuardFault::Stale { found, expected: found.saturating_add(1) }));
        faults.sort_unstable_by_key(|(slot, _)| *slot);
    }
    // Before the first swap the second slot has never been written.
    if record.as_ref().is_some_and(|record| record.sequence == 0) {
        faults.retain(|fault| *fault != (1, GuardFault::Blank));
    }
    let faults = faults.into_iter().map(|(slot, fault)| (slot * SLOT_BYTES as u64, fault)).collect();
    Ok(Inspection { record, faults })
}

impl FileGuard {
    /// Makes the guard's file, zero-filled, at a ledger's creation; a creation that was cut short is completed by
    /// calling this again. The first record is put there by a swap that expects none.
    ///
    /// # Errors
    /// [`GuardError::Held`]; [`GuardError::Conflict`] where a record is there; [`GuardError::Failed`].
    pub fn create(files: &dyn Files) -> Result<Self, GuardError> {
        let lock = take_lock(files)?;
        let file = match files.open(GUARD_FILE, Open::Create) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => files.open(GUARD_FILE, Open::Write),
            other => other,
        };
        let file = file.map_err(failed("creation"))?;
        let inspection = slots(&*file).map_err(failed("reading"))?;
        if let Some(record) = inspection.record {
            return Err(GuardError::Conflict { expected: None, actual: Some(record.sequence) });
        }
        // Of a record that was torn only a part stands there; the ledger it was for was never used.
        file.write_at(&[0; 2 * SLOT_BYTES], 0).map_err(failed("write"))?;
        file.sync().map_err(failed("sync"))?;
        let held = Mutex::new(Held { record: None, poisoned: false });
        Ok(Self { _lock: lock, file, held })
    }

    /// Opens the guard to swap it.
    ///
    /// # Errors
    /// [`GuardError::Held`]; [`GuardError::Damaged`] where no slot can be read or both are wrong, which leaves the file as
    /// it is; [`GuardError::Failed`], also where there is no file.
    pub fn open(files: &dyn Files) -> Result<(Self, Inspection), GuardError> {
        let lock = take_lock(files)?;
        let file = files.open(GUARD_FILE, Open::Write).map_err(failed("opening"))?;
        let inspection = slots(&*file).map_err(failed("reading"))?;
        let record = inspection.newest()?.clone();
        if let Some(refused) = inspection.refused() {
            return Err(refused);
        }
        file.write_at(&encode_slot(&record)?, offset_of(record.sequence)).map_err(failed("write"))?;
        file.sync().map_err(failed("sync"))?;
        let wrong = offset_of(record.sequence.saturating_add(1));
        let is_stale =
            |(at, fault): &(u64, GuardFault)| *at == wrong && matches!(fault, GuardFault::Stale { .. });
        if inspection.faults.iter().any(is_stale) {
            // Else the record that now stands where it belongs would be there twice.
            file.write_at(&[0; SLOT_BYTES], wrong).map_err(failed("write"))?;
            file.sync().map_err(failed("sync"))?;
        }
        let held = Mutex::new(Held { record: Some(record), poisoned: false });
        Ok((Self { _lock: lock, file, held }, inspection))
    }
}

fn take_lock(files: &dyn Files) -> Result<Box<dyn Lock>, GuardError> {
    files.lock(LOCK).map_err(|source| {
        let held = source.kind() == io::ErrorKind::WouldBlock;
        if held { GuardError::Held } else { failed("locking")(source) }
    })
}

fn encode_slot(record: &GuardRecord) -> Result<Vec<u8>, GuardError> {
    let mut slot = record.encode().map_err(GuardError::Record)?;
    slot.resize(SLOT_BYTES, 0);
    Ok(slot)
}

impl Guard for FileGuard {
    fn read(&self) -> Result<Option<GuardRecord>, GuardError> {
        Ok(hold(&self.held).record.clone())
    }

    fn swap(&self, expected: Option<u64>, new: &GuardRecord) -> Result<(), GuardError> {
        let mut held = hold(&self.held);
        if held.poisoned {
            return Err(GuardError::Poisoned);
        }
        let actual = held.record.as_ref().map(|record| record.sequence);
        let due = expected.map_or(Some(0), |sequence| sequence.checked_add(1));
        if actual != expected || due != Some(new.sequence) {
            return Err(GuardError::Conflict { expected, actual });
        }
        let slot = encode_slot(new)?;
        let written = self.file.write_at(&slot, offset_of(new.sequence)).map_err(failed("write"));
        let synced = written.and_then(|()| self.file.sync().map_err(failed("sync")));
        match synced {
            Ok(()) => held.record = Some(new.clone()),
            Err(_) => held.poisoned = true,
        }
        synced
    }
}
