//! Keys that the restored log names and the backup that the keys are of does not have: made after it, and in none that can
//! be opened.
//!
//! Each leaves a tombstone, so that what is sealed under it is told as closed and everything else verifies: `withheld`, or
//! `erased` where an event of the ledger says so. Class and period are those of the entry that names the key.
//!
//! Only entries behind the key material are looked at: state is read behind the guard, so a backup has every key that an
//! entry below its guard names. Not here: keys that the backup has and that were destroyed since (`destroyed`).

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;

use waag_engine::reader::ReadFault;
use waag_entry::form::{Entry, Role};
use waag_keys::carry::{CARRY_KEYS_MAX, withheld};
use waag_keys::keyring::{Found, Keyring};
use waag_keys::list::{Period, Purpose, Reason, Tombstone};
use waag_keys::restored::Destroyed;
use waag_log::contract::{EventLog as _, FrameView, Tail};
use waag_model::ids::{KeyId, Position};
use waag_model::time::UtcNanos;

use super::destroyed::open_log;
use super::{Asked, Plan, RestoreError};
use crate::store::error::StoreError;

/// Most ids that are remembered as known; beyond it they are looked up again.
const KNOWN_KEYS_MAX: usize = 1 << 20;

/// Puts the tombstones; says how many keys are missing.
pub(super) fn put(
    asked: &Asked,
    plan: &Plan<'_>,
    tail: &Tail,
    keyring: &Keyring,
    destroyed: &Destroyed,
) -> Result<u64, RestoreError> {
    let from = Position(plan.keys.guard.size);
    if tail.position <= from {
        return Ok(0);
    }
    let log = open_log(asked, tail)?;
    let at = asked.options.clock.now();
    let mut missing =
        Missing { keyring, destroyed, at, known: HashSet::new(), waiting: BTreeMap::new(), count: 0 };
    let mut outcome = Ok(());
    let mut look = |frame: FrameView<'_>| {
        outcome = frame.entries().try_for_each(|(_, bytes)| missing.entry(bytes));
        if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    log.read(from, &mut look).map_err(|error| StoreError::from(ReadFault::Log(error)))?;
    outcome?;
    missing.flush()?;
    Ok(missing.count)
}

struct Missing<'k> {
    keyring: &'k Keyring,
    destroyed: &'k Destroyed,
    at: UtcNanos,
    known: HashSet<KeyId>,
    waiting: BTreeMap<KeyId, Tombstone>,
    count: u64,
}

impl Missing<'_> {
    fn entry(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        // What is no entry is named by the verification.
        let Ok(entry) = Entry::read(bytes) else { return Ok(()) };
        let (class, day) = (entry.header.retention, entry.header.accepted.day());
        for part in &entry.parts {
            let id = part.key_id;
            if self.known.contains(&id) || self.waiting.contains_key(&id) {
                continue;
            }
            match self.keyring.open_key(id)? {
                Found::Key(_) | Found::Destroyed(_) => {}
                Found::Unknown => {
                    let period = match part.role {
                        Role::Common => Period::Day(day),
                        Role::Person => Period::Year(day.year()),
                    };
                    self.add(withheld(id, Purpose::Data, class, period, self.at))?;
                }
            }
            if self.known.len() < KNOWN_KEYS_MAX {
                self.known.insert(id);
            }
        }
        Ok(())
    }

    fn add(&mut self, stone: Tombstone) -> Result<(), RestoreError> {
        let stone = match self.destroyed.told_at(stone.id) {
            Some(destroyed) => Tombstone { destroyed, reason: Reason::Erased, ..stone },
            None => {
                self.count = self.count.saturating_add(1);
                stone
            }
        };
        self.waiting.insert(stone.id, stone);
        if self.waiting.len() >= CARRY_KEYS_MAX { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), RestoreError> {
        let stones: Vec<Tombstone> = std::mem::take(&mut self.waiting).into_values().collect();
        if stones.is_empty() { Ok(()) } else { Ok(self.keyring.put_tombstones(&stones)?) }
    }
}
