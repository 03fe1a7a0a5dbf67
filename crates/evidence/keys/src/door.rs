//! Small durable records of the doors, kept in the state beside the keys: API keys (hashed), usage plans, mappings.
//!
//! They go through the keyring because its commits are counted: the guard holds the state's generation, so a door's
//! records taken back to an older state are seen as a rollback like everything else.
//! Not here: what the records say (the door's own crate).

use aws_lc_rs::hmac;
use waag_stdx::entropy::Entropy;
use zeroize::Zeroizing;

use crate::error::KeysError;
use crate::keyring::Keyring;
use crate::secret::SECRET_BYTES;
use crate::state::{Change, Expect, SCAN_RECORDS_MAX, Table};
use crate::wrap;

/// What the key of targets' secrets is derived from, beside the tenant's lookup key. No person's id has its first byte, which
/// is no UTF-8, so that no tag is ever a part of this key.
const TARGET_SECRETS: &[u8] = b"\xffwaag target secrets v1";

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

    /// One of a door's records.
    ///
    /// # Errors
    /// [`KeysError::State`].
    pub fn door_record(&self, name: &[u8]) -> Result<Option<Vec<u8>>, KeysError> {
        Ok(self.means.state.get(Table::Door, name)?.map(|record| record.value))
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

    /// Wraps the secret of a target (a webhook's signing secret, a broker's password) for the state. Its key is derived from
    /// the tenant's lookup key, which a rotation of the tenant key wraps anew and does not change.
    ///
    /// # Errors
    /// [`KeysError::Entropy`].
    pub fn wrap_target_secret(&self, entropy: &dyn Entropy, secret: &[u8]) -> Result<Vec<u8>, KeysError> {
        Ok(wrap::seal(&self.target_key(), entropy, TARGET_SECRETS, secret)?)
    }

    /// Opens what [`Self::wrap_target_secret`] gave.
    ///
    /// # Errors
    /// [`KeysError::Refused`] where it is not what was wrapped, or another tenant's.
    pub fn unwrap_target_secret(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeysError> {
        let opened = wrap::open(&self.target_key(), TARGET_SECRETS, wrapped);
        opened.ok_or(KeysError::Refused("a target's secret"))
    }

    fn target_key(&self) -> Zeroizing<[u8; SECRET_BYTES]> {
        let mut key = Zeroizing::new([0; SECRET_BYTES]);
        for (to, from) in key.iter_mut().zip(hmac::sign(&self.lookup, TARGET_SECRETS).as_ref()) {
            *to = *from;
        }
        key
    }
}
