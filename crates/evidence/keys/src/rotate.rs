//! Rotating keys at every level; each rotation can be broken off anywhere and asked for again.
//!
//! Place: `waag keys rotate`. Reading and sealing go on meanwhile.
//! Not here: the vault's own key (`drivers/`): rotate it first, then call [`Keyring::rewrap_vault`], then let the vault
//! drop its old key. Tag keys of ledgers and persons are never rotated: a tag must stay the same for ever.

use std::sync::{Arc, MutexGuard, PoisonError};

use waag_model::ids::KeyId;

use crate::cache::OpenedKey;
use crate::error::KeysError;
use crate::keyring::{Keyring, Whom, check_name};
use crate::ledger::{SIGNERS_ACTIVE_MAX, SIGNERS_MAX, SignerInfo, signer_info};
use crate::records::{
    DataKeyRecord, INDEX_KEYS_MAX, LOOKUP_KEY, LOOKUP_SLOT, LedgerRecord, SignerRecord, TENANT_KEY,
    TenantRecord, WrappedRecord, data_slot, decode_index, encode_index, identity_slot, index_key,
    ordering_slot, signer_detail, signer_key, signer_of_key, signer_slot, vault_context, version_key,
};
use crate::secret::Secret;
use crate::state::{Change, Expect, Record, Table};
use crate::wrap::{Slot, TenantKeys, version_of};

/// Most records rewrapped in one commit; writers wait no longer than such a commit takes.
pub const REWRAP_RECORDS_MAX: usize = 512;

/// What a rotation of the tenant key did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TenantRotation {
    /// The version that wraps everything from here on.
    pub version: u32,
    /// How many records this call rewrapped.
    pub rewrapped: u64,
    /// How many old versions it dropped.
    pub dropped: u32,
}

impl Keyring {
    /// Wraps every version of the tenant key anew under the vault's current key, in one commit; returns how many.
    ///
    /// # Errors
    /// The vault's; the state's.
    pub fn rewrap_vault(&self) -> Result<usize, KeysError> {
        let commit = self.committing();
        let keys = self.tenant_keys();
        let mut rows = Vec::new();
        for (version, secret) in &keys.keys {
            let place = version_key(*version);
            let stored = self
                .means
                .state
                .get(Table::Tenant, &place)?
                .ok_or(KeysError::Unreadable("the tenant key"))?;
            let mut record = WrappedRecord::decode(&stored.value)?;
            record.wrapped = self.means.vault.wrap(&vault_context(&keys.tenant, *version), secret.bytes())?;
            rows.push((place, stored.sum, record.encode()));
        }
        let changes: Vec<Change<'_>> = rows
            .iter()
            .map(|(key, sum, value)| Change {
                table: Table::Tenant,
                key,
                expect: Expect::Equals(*sum),
                value: Some(value),
            })
            .collect();
        self.commit_changes(&changes, &commit)?;
        self.means.state.forget()?;
        Ok(rows.len())
    }

    /// Makes a new version of the tenant key, rewraps everything under it, and drops the old.
    ///
    /// Where an earlier rotation was broken off (an old version is still there), this one finishes it and makes no
    /// further version.
    ///
    /// # Errors
    /// The vault's; the state's, after which the keyring must be reopened, and calling again goes on where it stopped.
    pub fn rotate_tenant_key(&self) -> Result<TenantRotation, KeysError> {
        if self.tenant_keys().keys.len() == 1 {
            self.begin_version()?;
        }
        let mut done = TenantRotation { version: self.tenant_keys().current, ..TenantRotation::default() };
        for table in [Table::Tenant, Table::Ledger, Table::Signing, Table::DataKey] {
            done.rewrapped += self.rewrap_table(table)?;
        }
        done.dropped = self.drop_versions()?;
        self.means.state.forget()?;
        Ok(done)
    }

    fn begin_version(&self) -> Result<(), KeysError> {
        let commit = self.committing();
        let old = self.tenant_keys();
        let version = old.current.checked_add(1).ok_or(KeysError::Unreadable("the tenant key's version"))?;
        let secret = Secret::draw(self.means.entropy.as_ref())?;
        let wrapped = self.means.vault.wrap(&vault_context(&old.tenant, version), secret.bytes())?;
        let stored = self.means.state.get(Table::Tenant, TENANT_KEY)?.ok_or(KeysError::NoTenant)?;
        let tenant = TenantRecord { current: version, ..TenantRecord::decode(&stored.value)? }.encode();
        let record = WrappedRecord { created: self.means.clock.now(), wrapped }.encode();
        let place = version_key(version);
        let put = |key, expect, value| Change { table: Table::Tenant, key, expect, value: Some(value) };
        self.commit_changes(
            &[put(TENANT_KEY, Expect::Equals(stored.sum), &tenant), put(&place, Expect::Absent, &record)],
            &commit,
        )?;
        let mut keys = (*old).clone();
        keys.keys.insert(version, secret);
        keys.current = version;
        self.set_tenant_keys(keys);
        Ok(())
    }

    fn set_tenant_keys(&self, keys: TenantKeys) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    fn rewrap_table(&self, table: Table) -> Result<u64, KeysError> {
        let keys = self.tenant_keys();
        let (mut rewrapped, mut after) = (0, None::<Vec<u8>>);
        loop {
            // Scan and commit under one lock: every writer of these tables takes it, so no expectation can fail.
            let commit = self.committing();
            let records = self.means.state.scan(table, after.as_deref(), REWRAP_RECORDS_MAX)?;
            let Some(last) = records.last() else { return Ok(rewrapped) };
            after = Some(last.key.clone());
            rewrapped += self.rewrap_records(&keys, table, &records, &commit)?;
        }
    }

    fn rewrap_records(
        &self,
        keys: &TenantKeys,
        table: Table,
        records: &[Record],
        commit: &MutexGuard<'_, ()>,
    ) -> Result<u64, KeysError> {
        let mut rows = Vec::new();
        for record in records {
            if let Some(value) = self.rewrapped(keys, table, record)? {
                rows.push((record, value));
            }
        }
        if rows.is_empty() {
            return Ok(0);
        }
        let changes: Vec<Change<'_>> = rows
            .iter()
            .map(|(record, value)| Change {
                table,
                key: &record.key,
                expect: Expect::Equals(record.sum),
                value: Some(value),
            })
            .collect();
        self.commit_changes(&changes, commit)?;
        Ok(rows.len() as u64)
    }

    /// A record's value under the current version; none where it is so already, or wraps nothing.
    fn rewrapped(
        &self,
        keys: &TenantKeys,
        table: Table,
        record: &Record,
    ) -> Result<Option<Vec<u8>>, KeysError> {
        let entropy = self.means.entropy.as_ref();
        let again = |slot: &Slot<'_>, wrapped: &mut Vec<u8>| -> Result<bool, KeysError> {
            if version_of(wrapped) == Some(keys.current) {
                return Ok(false);
            }
            let secret = keys.unwrap(slot, wrapped).ok_or(KeysError::Refused("a wrapped key"))?;
            *wrapped = keys.wrap(entropy, slot, &secret)?;
            Ok(true)
        };
        match table {
            Table::Tenant if record.key == LOOKUP_KEY => {
                let mut stored = WrappedRecord::decode(&record.value)?;
                Ok(again(&LOOKUP_SLOT, &mut stored.wrapped)?.then(|| stored.encode()))
            }
            Table::Ledger => {
                let mut stored = LedgerRecord::decode(&record.value)?;
                let identity = again(&identity_slot(&stored.id), &mut stored.identity)?;
                let ordering = again(&ordering_slot(&stored.id), &mut stored.ordering)?;
                Ok((identity || ordering).then(|| stored.encode()))
            }
            Table::Signing => {
                let (ledger, number) = signer_of_key(&record.key)?;
                let mut stored = SignerRecord::decode(&record.value)?;
                let detail = signer_detail(ledger, number, &stored.public);
                let is_due = stored.retired.is_none() && again(&signer_slot(&detail), &mut stored.seed)?;
                Ok(is_due.then(|| stored.encode()))
            }
            Table::DataKey => {
                let mut stored = DataKeyRecord::decode(&record.key, &record.value)?;
                let detail = stored.facts.detail();
                Ok(again(&data_slot(&detail), &mut stored.wrapped)?.then(|| stored.encode()))
            }
            Table::Tenant
            | Table::Meta
            | Table::Person
            | Table::Common
            | Table::Tombstone
            | Table::Lease
            | Table::Cursor
            | Table::Door
            | Table::Subscription
            | Table::Delivery
            | Table::Witness
            | Table::Publication
            | Table::Pack
            | Table::Restriction
            | Table::Upkeep => Ok(None),
        }
    }

    /// Drops the old versions. No reader may hold a record under one: the gate waits for those on their way.
    fn drop_versions(&self) -> Result<u32, KeysError> {
        let _gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        let commit = self.committing();
        let mut keys = (*self.tenant_keys()).clone();
        let old: Vec<Vec<u8>> = keys
            .keys
            .keys()
            .filter(|version| **version != keys.current)
            .map(|version| version_key(*version))
            .collect();
        if old.is_empty() {
            return Ok(0);
        }
        let changes: Vec<Change<'_>> = old
            .iter()
            .map(|key| Change { table: Table::Tenant, key, expect: Expect::Any, value: None })
            .collect();
        self.commit_changes(&changes, &commit)?;
        let current = keys.current;
        keys.keys.retain(|version, _| *version == current);
        self.set_tenant_keys(keys);
        Ok(u32::try_from(old.len()).unwrap_or(u32::MAX))
    }

    /// Makes a new data key for `whom`, durable at once; what the old one sealed stays readable by its id.
    ///
    /// # Errors
    /// [`KeysError::Name`], [`KeysError::RotatedTooOften`]; the state's.
    pub fn rotate_data_key(&self, whom: Whom<'_>) -> Result<KeyId, KeysError> {
        let name = whom.name();
        check_name(&name)?;
        self.commit_pending(u64::MAX)?;
        let _gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        let commit = self.committing();
        let person = name.person.map(|id| self.lookup_tag(id));
        let (facts, secret) = self.draw(&name, person)?;
        let record = self.wrapped_record(&facts, &secret, name.person)?.encode();
        let (table, place) = index_key(person, name.purpose, name.class, name.period);
        let (mut ids, expect) = match self.means.state.get(table, &place)? {
            Some(index) => (decode_index(&index.value)?, Expect::Equals(index.sum)),
            None => (Vec::new(), Expect::Absent),
        };
        if ids.len() >= INDEX_KEYS_MAX {
            return Err(KeysError::RotatedTooOften);
        }
        ids.insert(0, facts.id);
        let index = encode_index(&ids);
        let key =
            Change { table: Table::DataKey, key: &facts.id.0, expect: Expect::Absent, value: Some(&record) };
        self.commit_changes(&[key, Change { table, key: &place, expect, value: Some(&index) }], &commit)?;
        let opened = Arc::new(OpenedKey { secret, id: facts.id, serial: 0 });
        self.cache.put(self.cache.fingerprint(&name), opened, self.durable_serial());
        Ok(facts.id)
    }

    /// Adds a signing key to a ledger; it signs beside those that are active.
    ///
    /// # Errors
    /// [`KeysError::NoLedger`], [`KeysError::SignersFull`], [`KeysError::ActiveSignersFull`]; the state's.
    pub fn add_signer(&self, ledger: &str) -> Result<SignerInfo, KeysError> {
        let keys = self.ledger(ledger)?;
        let commit = self.committing();
        let records = self.signer_records(keys.id)?;
        if records.len() >= SIGNERS_MAX {
            return Err(KeysError::SignersFull);
        }
        if records.iter().filter(|(_, record, _)| record.retired.is_none()).count() >= SIGNERS_ACTIVE_MAX {
            return Err(KeysError::ActiveSignersFull);
        }
        let number = records.last().map_or(0, |(last, ..)| last.saturating_add(1));
        let record = self.new_signer(keys.id, number, &keys.origin)?;
        let (place, value) = (signer_key(keys.id, number), record.encode());
        let change =
            Change { table: Table::Signing, key: &place, expect: Expect::Absent, value: Some(&value) };
        self.commit_changes(&[change], &commit)?;
        Ok(signer_info(number, &record))
    }

    /// Retires a signing key: its seed is destroyed, its public key stays to verify with.
    ///
    /// # Errors
    /// [`KeysError::NoSigner`], [`KeysError::LastSigner`], [`KeysError::NoLedger`]; the state's.
    pub fn retire_signer(&self, ledger: &str, number: u32) -> Result<SignerInfo, KeysError> {
        let keys = self.ledger(ledger)?;
        let commit = self.committing();
        let records = self.signer_records(keys.id)?;
        let is_other_active =
            records.iter().any(|(other, record, _)| *other != number && record.retired.is_none());
        let found =
            records.into_iter().find(|(other, record, _)| *other == number && record.retired.is_none());
        let (_, mut record, stored) = found.ok_or(KeysError::NoSigner(number))?;
        if !is_other_active {
            return Err(KeysError::LastSigner);
        }
        record.retired = Some(self.means.clock.now());
        record.seed = Vec::new();
        let value = record.encode();
        let change = Change {
            table: Table::Signing,
            key: &stored.key,
            expect: Expect::Equals(stored.sum),
            value: Some(&value),
        };
        self.commit_changes(&[change], &commit)?;
        drop(commit);
        self.means.state.forget()?;
        Ok(signer_info(number, &record))
    }
}
