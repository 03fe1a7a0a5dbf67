//! Intents: what the state remembers of a change that was begun, so that the next opening goes on where a crash broke it off.
//!
//! Place: beneath what is changed in several steps (`key_changes`, `told_changes`, `subjects/intents`), each of which says what
//! its intents hold and what follows from one that is found. An intent lies under its prefix and its id in
//! [`Side::Upkeep`], durable before anything is changed; its id is the id of the event that tells of the change, so that the
//! ledger has it once however often it is recorded.

use waag_keys::error::KeysError;
use waag_keys::keyring::Keyring;
use waag_keys::side::Side;
use waag_keys::state::Expect;
use waag_stdx::entropy::{Entropy, SystemEntropy};

/// Names an intent and its event.
pub(super) type Id = [u8; 16];

/// An id that no other intent has.
pub(super) fn new_id() -> Result<Id, KeysError> {
    let mut id = [0; 16];
    SystemEntropy::new().fill(&mut id)?;
    Ok(id)
}

/// Makes an intent durable, in the place of the one of that id.
pub(super) fn keep(keyring: &Keyring, prefix: &str, id: &Id, value: &[u8]) -> Result<(), KeysError> {
    keyring.keep_side_record(Side::Upkeep, key(prefix, id).as_bytes(), Expect::Any, Some(value))
}

/// Forgets an intent; one that is not there is forgotten already.
pub(super) fn let_go(keyring: &Keyring, prefix: &str, id: &Id) -> Result<(), KeysError> {
    keyring.keep_side_record(Side::Upkeep, key(prefix, id).as_bytes(), Expect::Any, None)
}

/// The intents under a prefix, in the order of their keys.
pub(super) fn under<T>(
    keyring: &Keyring,
    prefix: &str,
    decode: impl Fn(&[u8]) -> Result<T, KeysError>,
) -> Result<Vec<T>, KeysError> {
    let mut found = Vec::new();
    keyring.each_side_record(Side::Upkeep, prefix.as_bytes(), |record| {
        found.push(decode(&record.value)?);
        Ok(())
    })?;
    Ok(found)
}

fn key(prefix: &str, id: &Id) -> String {
    format!("{prefix}{}", hex::encode(id))
}
