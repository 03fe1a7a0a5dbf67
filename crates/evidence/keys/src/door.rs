//! Small durable records of the doors, kept in the state beside the keys: API keys (hashed), usage plans, mappings.
//!
//! They go through the keyring because its commits are counted: the guard holds the state's generation, so a door's
//! records taken back to an older state are seen as a rollback like everything else.
//! Not here: what the records say (the door's own crate).

use crate::error::KeysError;
use crate::keyring::Keyring;
use crate::state::{Change, Expect, SCAN_RECORDS_MAX, Table};

/// A door's record: its name and its bytes.
pub type DoorRecord = (Vec<u8>, Vec<u8>);

impl Keyring {
    /// All of a door's records whose names begin so, in bytewise order.
    ///
    /// # Errors
    /// [`KeysError::State`].
    pub fn door_records(&self, prefix: &[u8]) -> Result<Vec<DoorRecord>, KeysError> {
        let mut found = Vec::new();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let records = self.means.state.scan(Table::Door, after.as_deref(), SCAN_RECORDS_MAX)?;
            let Some(last) = records.last() else { return Ok(found) };
            after = Some(last.key.clone());
            for record in records {
                if record.key.starts_with(prefix) {
                    found.push((record.key, record.value));
                }
            }
        }
    }

    /// Puts a door's record in the place of the one of that name, or removes it; durable when this returns.
    ///
    /// # Errors
    /// [`KeysError::State`], [`KeysError::Poisoned`].
    pub fn keep_door_record(&self, name: &[u8], record: Option<&[u8]>) -> Result<(), KeysError> {
        let commit = self.committing();
        let change = Change { table: Table::Door, key: name, expect: Expect::Any, value: record };
        // Removing what is not there is no change.
        if record.is_none() && self.means.state.get(Table::Door, name)?.is_none() {
            return Ok(());
        }
        self.commit_changes(&[change], &commit).map(|_| ())
    }
}
