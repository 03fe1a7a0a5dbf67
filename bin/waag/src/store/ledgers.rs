//! All ledgers of a tenant, opened to read: the present one, and those before it that promotions took the place of.
//!
//! Place: for what is asked of a tenant and not of one ledger: what is held about a person, where something is recorded.
//! Their keys are one set, so that one keyring opens all of them. Not here: one ledger by its id (`place`, `earlier`).

use std::sync::Arc;

use waag_keys::error::KeysError;
use waag_keys::keyring::Keyring;
use waag_model::ids::LedgerId;

use super::error::StoreError;
use super::place::{LEDGER, Place};
use super::reader::{OpenedReader, open_beneath, read_guard};

/// The ledgers before a tenant's present one.
#[derive(Debug, Default)]
pub struct Earlier {
    /// Those that are opened, the oldest first.
    pub opened: Vec<OpenedReader>,
    /// Those that the state knows and that cannot be read here, and why.
    pub closed: Vec<(LedgerId, StoreError)>,
}

impl Earlier {
    /// Opens every ledger but the present one; what cannot be opened is named and stops none of the others. Nobody writes an
    /// earlier ledger, so that what is opened once stays as it is.
    ///
    /// # Errors
    /// The state's, where the ledgers cannot be listed.
    pub fn open(place: &Place, keyring: &Arc<Keyring>) -> Result<Self, KeysError> {
        let mut all = Self::default();
        for ledger in keyring.ledger_facts()?.into_iter().filter(|ledger| ledger.name != LEDGER) {
            let there = place.earlier(ledger.id);
            let opened = there
                .must_exist()
                .and_then(|()| Ok(read_guard(&*there.guard_files())?.newest()?.clone()))
                .and_then(|guard| open_beneath(&there, Arc::clone(keyring), guard));
            match opened {
                Ok(opened) => all.opened.push(opened),
                Err(error) => all.closed.push((ledger.id, error)),
            }
        }
        Ok(all)
    }
}
