//! A ledger's own keys: tag keys that are never rotated, signing keys that are.
//!
//! Place: opened once when the engine starts, so that no commit waits for a vault.
//! Not here: signing and notes (`evidence/ledger`), making and rotating (`create`, `rotate`).

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use waag_model::ids::LedgerId;
use waag_model::time::UtcNanos;

use crate::error::KeysError;
use crate::keyring::Keyring;
use crate::records::{
    LedgerRecord, SignerRecord, identity_slot, ordering_slot, signer_detail, signer_of_key, signer_slot,
};
use crate::secret::Secret;
use crate::state::{Record, SCAN_RECORDS_MAX, Table};

/// Most signing keys of a ledger, retired ones included.
pub const SIGNERS_MAX: usize = 64;
/// Most signing keys of a ledger that sign side by side.
///
/// Each adds a signature line of up to 353 bytes (a key name of 255) to every checkpoint, whose text has up to 322, and a
/// guard holds a checkpoint of 4,096. One more could halt the writer, so it is refused where it is asked for.
pub const SIGNERS_ACTIVE_MAX: usize = 10;
/// Most ledgers of a tenant.
pub const LEDGERS_MAX: usize = 256;

/// A signing key, as may be told to anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerInfo {
    /// Its number in the ledger, counted from 0 and never reused.
    pub number: u32,
    /// The key's name in signed notes.
    pub name: String,
    /// The Ed25519 public key (RFC 8032).
    pub public: [u8; 32],
    /// The key id of C2SP signed-note: the first 4 bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key).
    pub note_key_id: [u8; 4],
    /// When it was made.
    pub created: UtcNanos,
    /// When it was retired; none while it signs.
    pub retired: Option<UtcNanos>,
}

/// An active signing key with its seed.
#[derive(Clone)]
pub struct Signer {
    /// What may be told of it.
    pub info: SignerInfo,
    /// The Ed25519 seed (RFC 8032 §5.1.5).
    pub seed: Secret,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer {{ {:?} }}", self.info)
    }
}

/// A ledger with its keys opened.
#[derive(Clone, Debug)]
pub struct LedgerKeys {
    /// The ledger's name within the tenant.
    pub name: String,
    /// Its id.
    pub id: LedgerId,
    /// Its checkpoint origin: `<configured name>/<tenant>/<ledger id in hex>`.
    pub origin: String,
    /// When it was made.
    pub created: UtcNanos,
    /// The key of identity tags (HMAC-SHA-256).
    pub identity: Secret,
    /// The key of ordering tags whose subject is no person.
    pub ordering: Secret,
    /// The active signing keys, oldest first; none where this is a copy, which is only read (`CARRY-1`).
    pub signers: Vec<Signer>,
    /// The retired signing keys, oldest first: they verify, they sign no more.
    pub retired: Vec<SignerInfo>,
}

/// The public key of a seed.
pub(crate) fn public_of(seed: &Secret) -> Result<[u8; 32], KeysError> {
    let pair =
        Ed25519KeyPair::from_seed_unchecked(seed.bytes()).map_err(|_| KeysError::Refused("a signing key"))?;
    pair.public_key().as_ref().try_into().map_err(|_| KeysError::Refused("a signing key"))
}

/// The key id that C2SP signed-note gives an Ed25519 key.
fn note_key_id(name: &str, public: &[u8; 32]) -> [u8; 4] {
    let hash = digest(&SHA256, &[name.as_bytes(), b"\n\x01", public].concat());
    let mut id = [0; 4];
    for (to, from) in id.iter_mut().zip(hash.as_ref()) {
        *to = *from;
    }
    id
}

pub(crate) fn signer_info(number: u32, record: &SignerRecord) -> SignerInfo {
    SignerInfo {
        number,
        name: record.name.clone(),
        public: record.public,
        note_key_id: note_key_id(&record.name, &record.public),
        created: record.created,
        retired: record.retired,
    }
}

impl Keyring {
    /// The names of the tenant's ledgers, in bytewise order.
    ///
    /// # Errors
    /// The state's.
    pub fn ledgers(&self) -> Result<Vec<String>, KeysError> {
        let records = self.means.state.scan(Table::Ledger, None, LEDGERS_MAX)?;
        let name =
            |record: Record| String::from_utf8(record.key).map_err(|_| KeysError::Unreadable("a ledger"));
        records.into_iter().map(name).collect()
    }

    /// A ledger with its keys opened.
    ///
    /// # Errors
    /// [`KeysError::NoLedger`]; [`KeysError::Refused`] where a key does not open in its place or a seed is not that of
    /// its public key; the state's.
    pub fn ledger(&self, name: &str) -> Result<LedgerKeys, KeysError> {
        let missing = || KeysError::NoLedger(name.to_owned());
        if name.is_empty() {
            return Err(missing());
        }
        let record = self.means.state.get(Table::Ledger, name.as_bytes())?.ok_or_else(missing)?;
        let record = LedgerRecord::decode(&record.value)?;
        let keys = self.tenant_keys();
        let open = |slot, wrapped: &[u8]| {
            keys.unwrap_secret(&slot, wrapped).ok_or(KeysError::Refused("a ledger's tag key"))
        };
        let identity = open(identity_slot(&record.id), &record.identity)?;
        let ordering = open(ordering_slot(&record.id), &record.ordering)?;
        let (mut signers, mut retired) = (Vec::new(), Vec::new());
        for (number, signer, _) in self.signer_records(record.id)? {
            let info = signer_info(number, &signer);
            if signer.retired.is_some() {
                retired.push(info);
                continue;
            }
            let detail = signer_detail(record.id, number, &signer.public);
            let seed = keys
                .unwrap_secret(&signer_slot(&detail), &signer.seed)
                .ok_or(KeysError::Refused("a signing key"))?;
            if public_of(&seed)? != signer.public {
                return Err(KeysError::Refused("a signing key"));
            }
            signers.push(Signer { info, seed });
        }
        let LedgerRecord { id, origin, created, .. } = record;
        Ok(LedgerKeys { name: name.to_owned(), id, origin, created, identity, ordering, signers, retired })
    }

    /// The signing keys of a ledger: number, record, and the record as stored.
    pub(crate) fn signer_records(
        &self,
        ledger: LedgerId,
    ) -> Result<Vec<(u32, SignerRecord, Record)>, KeysError> {
        let mut found = Vec::new();
        for stored in self.means.state.scan(Table::Signing, Some(&ledger.0), SCAN_RECORDS_MAX)? {
            let (owner, number) = signer_of_key(&stored.key)?;
            if owner != ledger {
                break;
            }
            found.push((number, SignerRecord::decode(&stored.value)?, stored));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_key_id_is_that_of_signed_notes() {
        // The verifier key of the examples of Go's golang.org/x/mod/sumdb/note, from which C2SP signed-note stems:
        // PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW, of which the first byte is the algorithm.
        let public = [
            0x1a, 0x5c, 0xd9, 0x07, 0x14, 0x3c, 0x38, 0x4c, 0x41, 0xe8, 0x30, 0xc5, 0xbc, 0xe1, 0x2a, 0xa8,
            0x81, 0x7e, 0xc5, 0x64, 0x9a, 0xaa, 0xbf, 0x2c, 0x31, 0x38, 0x8b, 0x35, 0xb2, 0xd7, 0x44, 0xd6,
        ];
        assert_eq!(note_key_id("PeterNeumann", &public), [0xc7, 0x4f, 0x20, 0xa3]);
    }
}
