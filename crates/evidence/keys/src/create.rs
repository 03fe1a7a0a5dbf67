//! Making a tenant and its ledgers: each in one state commit, each the same however often it is asked for.
//!
//! Place: `waag init`, and a new partition. A crash leaves nothing or all of it; asking again then makes it or finds it.
//! Not here: opening (`keyring`, `ledger`), further signing keys (`rotate`).

use std::collections::BTreeMap;

use waag_model::ids::{LedgerId, TenantName};

use crate::error::KeysError;
use crate::keyring::{Keyring, Means};
use crate::ledger::{LEDGERS_MAX, LedgerKeys, public_of};
use crate::records::{
    LOOKUP_KEY, LOOKUP_SLOT, LedgerRecord, SignerRecord, TENANT_KEY, TenantRecord, WrappedRecord,
    identity_slot, ordering_slot, signer_detail, signer_key, signer_slot, vault_context, version_key,
};
use crate::secret::Secret;
use crate::state::{Change, Expect, Table};
use crate::wrap::TenantKeys;

/// Longest name of a ledger within its tenant, in bytes.
pub const LEDGER_NAME_BYTES_MAX: usize = 63;
/// Longest origin of a ledger, in bytes: it is the name of its signing keys, and C2SP tlog-cosignature gives names one
/// length byte.
pub const ORIGIN_BYTES_MAX: usize = 255;

/// Whether something was made now, or stood there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// Made by this call.
    Now,
    /// It was there.
    Before,
}

/// Makes a tenant in a state: its name, the first version of its key, its lookup key. One state holds one tenant.
///
/// # Errors
/// [`KeysError::OtherTenant`] where the state is another's; the state's and the vault's.
pub fn create_tenant(means: &Means, tenant: &TenantName) -> Result<Made, KeysError> {
    if let Some(record) = means.state.get(Table::Tenant, TENANT_KEY)? {
        let found = TenantRecord::decode(&record.value)?.name;
        return if found == tenant.as_str() { Ok(Made::Before) } else { Err(KeysError::OtherTenant(found)) };
    }
    let (entropy, created) = (means.entropy.as_ref(), means.clock.now());
    let name = tenant.as_str().to_owned();
    let secret = Secret::draw(entropy)?;
    let wrapped = means.vault.wrap(&vault_context(&name, 1), secret.bytes())?;
    let keys = TenantKeys { tenant: name.clone(), current: 1, keys: BTreeMap::from([(1, secret)]) };
    let lookup = keys.wrap(entropy, &LOOKUP_SLOT, Secret::draw(entropy)?.bytes())?;
    let rows = [
        (TENANT_KEY.to_vec(), TenantRecord { name, created, current: 1 }.encode()),
        (version_key(1), WrappedRecord { created, wrapped }.encode()),
        (LOOKUP_KEY.to_vec(), WrappedRecord { created, wrapped: lookup }.encode()),
    ];
    let changes = rows.each_ref().map(|(key, value)| Change {
        table: Table::Tenant,
        key,
        expect: Expect::Absent,
        value: Some(value),
    });
    means.state.commit(&changes)?;
    Ok(Made::Now)
}

impl Keyring {
    /// Makes a ledger, or opens it where it is there: id, origin `<origin_name>/<tenant>/<id>`, tag keys, and a first
    /// signing key named as the origin.
    ///
    /// # Errors
    /// [`KeysError::Name`]; [`KeysError::LedgersFull`]; [`KeysError::OtherOrigin`] where the ledger is there under another configured name; the
    /// state's, after which the keyring is poisoned.
    pub fn create_ledger(&self, name: &str, origin_name: &str) -> Result<(LedgerKeys, Made), KeysError> {
        if name.is_empty() || name.len() > LEDGER_NAME_BYTES_MAX {
            return Err(KeysError::Name("the ledger's name"));
        }
        let origin_bytes = self.origin(origin_name, LedgerId([0; 16])).len();
        if origin_name.is_empty() || origin_bytes > ORIGIN_BYTES_MAX {
            return Err(KeysError::Name("the configured name of the origin"));
        }
        let commit = self.committing();
        if self.means.state.get(Table::Ledger, name.as_bytes())?.is_some() {
            let found = self.ledger(name)?;
            let expected = self.origin(origin_name, found.id);
            return if found.origin == expected {
                Ok((found, Made::Before))
            } else {
                Err(KeysError::OtherOrigin(found.origin))
            };
        }
        if self.ledgers()?.len() >= LEDGERS_MAX {
            return Err(KeysError::LedgersFull);
        }
        let entropy = self.means.entropy.as_ref();
        let (keys, created) = (self.tenant_keys(), self.means.clock.now());
        let mut id = LedgerId([0; 16]);
        entropy.fill(&mut id.0)?;
        let origin = self.origin(origin_name, id);
        let identity = keys.wrap(entropy, &identity_slot(&id), Secret::draw(entropy)?.bytes())?;
        let ordering = keys.wrap(entropy, &ordering_slot(&id), Secret::draw(entropy)?.bytes())?;
        let signer = self.new_signer(id, 0, &origin)?.encode();
        let ledger = LedgerRecord { id, origin, created, identity, ordering }.encode();
        let new = |table, key, value| Change { table, key, expect: Expect::Absent, value: Some(value) };
        let place = signer_key(id, 0);
        let changes = [new(Table::Ledger, name.as_bytes(), &ledger), new(Table::Signing, &place, &signer)];
        self.commit_changes(&changes, &commit)?;
        Ok((self.ledger(name)?, Made::Now))
    }

    fn origin(&self, origin_name: &str, id: LedgerId) -> String {
        format!("{origin_name}/{}/{id}", self.tenant)
    }

    /// A fresh signing key, wrapped for its place.
    pub(crate) fn new_signer(
        &self,
        ledger: LedgerId,
        number: u32,
        name: &str,
    ) -> Result<SignerRecord, KeysError> {
        let entropy = self.means.entropy.as_ref();
        let seed = Secret::draw(entropy)?;
        let public = public_of(&seed)?;
        let detail = signer_detail(ledger, number, &public);
        let seed = self.tenant_keys().wrap(entropy, &signer_slot(&detail), seed.bytes())?;
        Ok(SignerRecord {
            name: name.to_owned(),
            public,
            created: self.means.clock.now(),
            retired: None,
            seed,
        })
    }
}
