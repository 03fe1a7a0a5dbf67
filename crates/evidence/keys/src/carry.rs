//! A tenant's keys carried from one state into another, for an export with keys and the store that is rebuilt from it.
//!
//! Place: `waag export --keys` takes them out, one page after the other; `waag rebuild` puts them into a state that was
//! made for it, wrapped under that state's own tenant key. A rebuilt store without them has tombstones in their place.
//! Not here: who may ask for that, and how it is recorded (`bin/waag`), the form of the files.
//!
//! - `CARRY-1`: a signing seed is never carried: a copy of a ledger cannot sign in its name.
//! - `CARRY-2`: putting goes into a state that holds no tenant yet, and nowhere else.

use std::collections::BTreeMap;
use std::fmt;

use waag_model::ids::{KeyId, LedgerId, TenantName};
use waag_model::time::UtcNanos;
use zeroize::Zeroizing;

use crate::error::KeysError;
use crate::keyring::{Keyring, Means};
use crate::ledger::SignerInfo;
use crate::list::{Period, Purpose, Reason, Tombstone};
use crate::records::{
    DataKeyRecord, KeyFacts, LOOKUP_KEY, LOOKUP_SLOT, LedgerRecord, SignerRecord, TENANT_KEY, TenantRecord,
    WrappedRecord, decode_index, encode_index, encode_tombstone, identity_slot, index_key, ordering_slot,
    signer_key, split_secret, vault_context, version_key,
};
use crate::secret::Secret;
use crate::state::{Change, Expect, Table};
use crate::wrap::TenantKeys;

/// Most keys that one call puts: each is two records of one commit.
pub const CARRY_KEYS_MAX: usize = 8_192;

/// A data key or a person's tag key, opened.
#[derive(Clone)]
pub struct CarriedKey {
    /// Its id.
    pub id: KeyId,
    /// What it is for.
    pub purpose: Purpose,
    /// The retention class; empty for tag keys.
    pub class: String,
    /// The time it is for.
    pub period: Period,
    /// When it was made.
    pub created: UtcNanos,
    /// Whose it is; none where it is nobody's.
    pub person: Option<Zeroizing<String>>,
    /// Its place among the keys of the same person, class and period: 0 seals, later ones were rotated away.
    pub place: u32,
    /// The key.
    pub secret: Secret,
}

impl fmt::Debug for CarriedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CarriedKey {{ id: {} }}", self.id)
    }
}

/// The tenant's own key that persons are looked up by, and when the tenant was made.
#[derive(Clone, Debug)]
pub struct CarriedTenant {
    /// When it was made.
    pub created: UtcNanos,
    /// The lookup key.
    pub lookup: Secret,
}

/// A ledger as it is put: everything but signing seeds.
#[derive(Clone, Debug)]
pub struct CarriedLedger {
    /// The ledger's name within the tenant.
    pub name: String,
    /// Its id.
    pub id: LedgerId,
    /// Its checkpoint origin.
    pub origin: String,
    /// When it was made.
    pub created: UtcNanos,
    /// The key of identity tags; a fresh one where it is not known.
    pub identity: Option<Secret>,
    /// The key of ordering tags; a fresh one where it is not known.
    pub ordering: Option<Secret>,
    /// Its signing keys' public halves.
    pub signers: Vec<SignerInfo>,
}

impl Keyring {
    /// Opened keys in the order of their ids, from the first above `after`; an empty answer is the end.
    ///
    /// # Errors
    /// The state's; [`KeysError::Refused`], [`KeysError::Unreadable`].
    pub fn carried_keys(&self, after: Option<KeyId>, limit: usize) -> Result<Vec<CarriedKey>, KeysError> {
        let after = after.as_ref().map(|id| id.0.as_slice());
        let records = self.means.state.scan(Table::DataKey, after, limit)?;
        records.iter().map(|record| self.carried_key(&record.key, &record.value)).collect()
    }

    fn carried_key(&self, key: &[u8], value: &[u8]) -> Result<CarriedKey, KeysError> {
        let record = DataKeyRecord::decode(key, value)?;
        let joined = self.unwrap_record(&record)?;
        let (secret, person) = split_secret(&joined).ok_or(KeysError::Refused("a data key"))?;
        let person = record.facts.person.map(|_| Zeroizing::new(person.to_owned()));
        let (table, place) = record.facts.index();
        // A key that was destroyed between the two looks is not in its index any more; it is then not carried for long.
        let index = self.means.state.get(table, &place)?;
        let ids = index.map(|record| decode_index(&record.value)).transpose()?.unwrap_or_default();
        let at = ids.iter().position(|id| *id == record.facts.id).unwrap_or_default();
        let KeyFacts { id, purpose, class, period, created, .. } = record.facts;
        let place = u32::try_from(at).unwrap_or(u32::MAX);
        Ok(CarriedKey { id, purpose, class, period, created, person, place, secret })
    }

    /// The tenant's own key.
    ///
    /// # Errors
    /// The state's; [`KeysError::Refused`], [`KeysError::Unreadable`].
    pub fn carried_tenant(&self) -> Result<CarriedTenant, KeysError> {
        let state = &self.means.state;
        let record = state.get(Table::Tenant, TENANT_KEY)?.ok_or(KeysError::NoTenant)?;
        let created = TenantRecord::decode(&record.value)?.created;
        let lookup = state.get(Table::Tenant, LOOKUP_KEY)?.ok_or(KeysError::NoTenant)?;
        let wrapped = WrappedRecord::decode(&lookup.value)?.wrapped;
        let lookup = self.tenant_keys().unwrap_secret(&LOOKUP_SLOT, &wrapped);
        Ok(CarriedTenant { created, lookup: lookup.ok_or(KeysError::Refused("the lookup key"))? })
    }

    /// Puts a ledger that has none of its signing seeds: it can be read, and signs nothing.
    ///
    /// # Errors
    /// The state's, also where there is one of this name.
    pub fn put_ledger(&self, carried: &CarriedLedger) -> Result<(), KeysError> {
        let commit = self.committing();
        let (entropy, keys) = (self.means.entropy.as_ref(), self.tenant_keys());
        let wrapped = |slot, secret: &Option<Secret>| {
            let secret = match secret {
                Some(secret) => secret.clone(),
                None => Secret::draw(entropy)?,
            };
            keys.wrap(entropy, &slot, secret.bytes())
        };
        let identity = wrapped(identity_slot(&carried.id), &carried.identity)?;
        let ordering = wrapped(ordering_slot(&carried.id), &carried.ordering)?;
        let CarriedLedger { name, id, origin, created, signers, .. } = carried;
        let ledger =
            LedgerRecord { id: *id, origin: origin.clone(), created: *created, identity, ordering }.encode();
        let now = self.means.clock.now();
        let signer = |info: &SignerInfo| {
            let record = SignerRecord {
                name: info.name.clone(),
                public: info.public,
                created: info.created,
                // Here it signs no more, whatever it does where it came from.
                retired: Some(info.retired.unwrap_or(now)),
                seed: Vec::new(),
            };
            (signer_key(*id, info.number), record.encode())
        };
        let signers: Vec<(Vec<u8>, Vec<u8>)> = signers.iter().map(signer).collect();
        let new = |table, key, value| Change { table, key, expect: Expect::Absent, value: Some(value) };
        let mut changes = vec![new(Table::Ledger, name.as_bytes(), ledger.as_slice())];
        changes.extend(signers.iter().map(|(key, value)| new(Table::Signing, key.as_slice(), value)));
        self.commit_changes(&changes, &commit).map(drop)
    }

    /// Puts keys, at most [`CARRY_KEYS_MAX`]; of one person, class and period those with lower places first.
    ///
    /// # Errors
    /// The state's, also where a key is there; [`KeysError::Entropy`].
    pub fn put_keys(&self, carried: &[CarriedKey]) -> Result<(), KeysError> {
        let commit = self.committing();
        let mut rows = Vec::with_capacity(carried.len());
        let mut indexes: BTreeMap<(Table, Vec<u8>), Vec<KeyId>> = BTreeMap::new();
        for key in carried.iter().take(CARRY_KEYS_MAX) {
            let person = key.person.as_ref().map(|id| self.lookup_tag(id));
            let (id, purpose, class, period) = (key.id, key.purpose, key.class.clone(), key.period);
            let index = index_key(person, purpose, &class, period);
            let facts = KeyFacts { id, purpose, class, period, created: key.created, person };
            let named = key.person.as_ref().map(|id| id.as_str());
            rows.push((id, self.wrapped_record(&facts, &key.secret, named)?.encode()));
            if !indexes.contains_key(&index) {
                let there = self.means.state.get(index.0, &index.1)?;
                let ids = there.map(|record| decode_index(&record.value)).transpose()?.unwrap_or_default();
                indexes.insert(index.clone(), ids);
            }
            if let Some(ids) = indexes.get_mut(&index) {
                let at = usize::try_from(key.place).unwrap_or(usize::MAX).min(ids.len());
                ids.insert(at, id);
            }
        }
        let indexes: Vec<(Table, Vec<u8>, Vec<u8>)> =
            indexes.into_iter().map(|((table, key), ids)| (table, key, encode_index(&ids))).collect();
        let mut changes: Vec<Change<'_>> = Vec::with_capacity(rows.len().saturating_mul(2));
        changes.extend(rows.iter().map(|(id, record)| Change {
            table: Table::DataKey,
            key: &id.0,
            expect: Expect::Absent,
            value: Some(record),
        }));
        changes.extend(indexes.iter().map(|(table, key, value)| Change {
            table: *table,
            key,
            expect: Expect::Any,
            value: Some(value),
        }));
        self.commit_changes(&changes, &commit).map(drop)
    }

    /// Puts tombstones, at most [`CARRY_KEYS_MAX`]: of keys that were destroyed, or that are elsewhere
    /// ([`Reason::Withheld`]).
    ///
    /// # Errors
    /// The state's, also where one is there.
    pub fn put_tombstones(&self, tombstones: &[Tombstone]) -> Result<(), KeysError> {
        let commit = self.committing();
        let rows: Vec<(KeyId, Vec<u8>)> = tombstones
            .iter()
            .take(CARRY_KEYS_MAX)
            .map(|tombstone| (tombstone.id, encode_tombstone(tombstone)))
            .collect();
        let changes: Vec<Change<'_>> = rows
            .iter()
            .map(|(id, value)| Change {
                table: Table::Tombstone,
                key: &id.0,
                expect: Expect::Absent,
                value: Some(value),
            })
            .collect();
        self.commit_changes(&changes, &commit).map(drop)
    }
}

/// What stands for a key that a copy was made without.
#[must_use]
pub fn withheld(id: KeyId, purpose: Purpose, class: &str, period: Period, at: UtcNanos) -> Tombstone {
    Tombstone { id, purpose, class: class.to_owned(), period, destroyed: at, reason: Reason::Withheld }
}

/// Makes a tenant in a state that has none, under a fresh tenant key, with the lookup key it had, or a fresh one where
/// that is not known.
///
/// # Errors
/// [`KeysError::OtherTenant`] where the state has one, also this one (`CARRY-2`); the state's and the vault's.
pub fn put_tenant(
    means: &Means,
    tenant: &TenantName,
    created: UtcNanos,
    lookup: Option<&Secret>,
) -> Result<(), KeysError> {
    if let Some(record) = means.state.get(Table::Tenant, TENANT_KEY)? {
        return Err(KeysError::OtherTenant(TenantRecord::decode(&record.value)?.name));
    }
    let (entropy, now) = (means.entropy.as_ref(), means.clock.now());
    let name = tenant.as_str().to_owned();
    let secret = Secret::draw(entropy)?;
    let wrapped = means.vault.wrap(&vault_context(&name, 1), secret.bytes())?;
    let keys = TenantKeys { tenant: name.clone(), current: 1, keys: BTreeMap::from([(1, secret)]) };
    let lookup = match lookup {
        Some(lookup) => lookup.clone(),
        None => Secret::draw(entropy)?,
    };
    let lookup = keys.wrap(entropy, &LOOKUP_SLOT, lookup.bytes())?;
    let rows = [
        (TENANT_KEY.to_vec(), TenantRecord { name, created, current: 1 }.encode()),
        (version_key(1), WrappedRecord { created: now, wrapped }.encode()),
        (LOOKUP_KEY.to_vec(), WrappedRecord { created, wrapped: lookup }.encode()),
    ];
    let changes = rows.each_ref().map(|(key, value)| Change {
        table: Table::Tenant,
        key,
        expect: Expect::Absent,
        value: Some(value),
    });
    means.state.commit(&changes)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use waag_model::time::UtcDay;
    use waag_stdx::clock::SystemClock;
    use waag_stdx::entropy::SystemEntropy;

    use super::*;
    use crate::create::create_tenant;
    use crate::keyring::{Found, Limits, Whom};
    use crate::memory::{MemoryState, MemoryVault};

    fn means() -> Means {
        let entropy = Arc::new(SystemEntropy::new());
        Means {
            state: Arc::new(MemoryState::new()),
            vault: Arc::new(MemoryVault::new(entropy.clone()).unwrap()),
            entropy,
            clock: Arc::new(SystemClock::new()),
        }
    }

    fn bank() -> TenantName {
        TenantName::new("bank").unwrap()
    }

    #[test]
    fn keys_open_and_seal_in_the_other_state_as_they_did_in_the_first() {
        let here = means();
        create_tenant(&here, &bank()).unwrap();
        let here = Keyring::open(here, &bank(), Limits::default()).unwrap();
        let (ledger, _) = here.create_ledger("main", "waag").unwrap();
        let anna = Whom::Person { id: "anna", class: "business", year: 2026 };
        let day = Whom::Common { class: "business", day: UtcDay(20_000) };
        let (first, common) = (here.data_key(anna).unwrap(), here.data_key(day).unwrap());
        here.person_tag_key("anna").unwrap();
        here.commit_pending(u64::MAX).unwrap();
        let second = here.rotate_data_key(anna).unwrap();
        let third = here.rotate_data_key(anna).unwrap();

        let means = means();
        let tenant = here.carried_tenant().unwrap();
        put_tenant(&means, &bank(), tenant.created, Some(&tenant.lookup)).unwrap();
        assert!(put_tenant(&means, &bank(), tenant.created, None).is_err());
        let there = Keyring::open(means, &bank(), Limits::default()).unwrap();
        let signers = ledger.signers.iter().map(|signer| signer.info.clone()).collect();
        let carried = CarriedLedger {
            name: ledger.name.clone(),
            id: ledger.id,
            origin: ledger.origin.clone(),
            created: ledger.created,
            identity: Some(ledger.identity.clone()),
            ordering: Some(ledger.ordering.clone()),
            signers,
        };
        there.put_ledger(&carried).unwrap();
        let mut keys = here.carried_keys(None, 100).unwrap();
        keys.sort_by_key(|key| key.place);
        assert_eq!(keys.len(), 5);
        let rotated: Vec<KeyId> = keys.iter().filter(|key| key.place > 0).map(|key| key.id).collect();
        assert_eq!(rotated, [second, first.id()], "in the order in which they were rotated away");
        there.put_keys(&keys).unwrap();
        assert!(there.put_keys(&keys[..1]).is_err(), "a key is put once");

        let there = Keyring::open(there.means.clone(), &bank(), Limits::default()).unwrap();
        assert_eq!(there.data_key(anna).unwrap().id(), third);
        let Found::Key(opened) = there.open_key(first.id()).unwrap() else { panic!("it is there") };
        assert_eq!(opened.key(), first.key());
        assert_eq!(there.data_key(day).unwrap().id(), common.id());
        assert_eq!(there.person_tag("anna"), here.person_tag("anna"));
        assert_eq!(there.person_of(first.id()).unwrap().unwrap().as_str(), "anna");
        let copy = there.ledger("main").unwrap();
        assert_eq!((copy.id, copy.identity, copy.signers.len()), (ledger.id, ledger.identity, 0));
        assert_eq!(copy.retired[0].public, ledger.signers[0].info.public);
    }

    #[test]
    fn a_key_that_was_not_carried_is_told_as_withheld() {
        let means = means();
        put_tenant(&means, &bank(), UtcNanos(0), None).unwrap();
        let there = Keyring::open(means, &bank(), Limits::default()).unwrap();
        let id = KeyId([3; 16]);
        let stone = withheld(id, Purpose::Data, "business", Period::Year(2026), UtcNanos(5));
        there.put_tombstones(std::slice::from_ref(&stone)).unwrap();
        assert!(matches!(there.open_key(id).unwrap(), Found::Destroyed(found) if found == stone));
        assert!(there.put_tombstones(&[stone]).is_err());
    }
}
