//! Screening a copied state: what was destroyed since the copy was made must not come back with it.
//!
//! Place: a restored backup, before any record of it is written: a key that any tombstone names is left out, and so is its
//! name in the index, as a destruction leaves them. Not here: which keys were destroyed (the caller gathers that).
//!
//! - `RESTORE-1`: no key of the given ids is in what this lets through, and each that was in the copy leaves a tombstone.

use std::collections::BTreeMap;

use waag_model::ids::KeyId;
use waag_model::time::UtcNanos;

use crate::error::KeysError;
use crate::list::{Reason, Tombstone};
use crate::records::{DataKeyRecord, decode_index, decode_tombstone, encode_index, encode_tombstone};
use crate::state::Table;

/// What becomes of a copied record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Screened {
    /// It stays as it is.
    Same,
    /// It stays with another value.
    Changed(Vec<u8>),
    /// It goes.
    Gone,
    /// It is a destroyed key: it goes, and this tombstone's value stands in [`Table::Tombstone`] under its key.
    Buried(Vec<u8>),
}

/// Keys known to be destroyed, by id: the value of the tombstone where there is one, else when it was told.
#[derive(Clone, Debug, Default)]
pub struct Destroyed(BTreeMap<KeyId, Known>);

#[derive(Clone, Debug)]
enum Known {
    Tombstone(Vec<u8>),
    Told(UtcNanos),
}

impl Destroyed {
    /// Takes a tombstone's record.
    ///
    /// # Errors
    /// [`KeysError::Unreadable`].
    pub fn tombstone(&mut self, key: &[u8], value: &[u8]) -> Result<(), KeysError> {
        let tombstone = decode_tombstone(key, value)?;
        self.0.insert(tombstone.id, Known::Tombstone(value.to_vec()));
        Ok(())
    }

    /// Takes a key that an event names as destroyed.
    pub fn told(&mut self, id: KeyId, at: UtcNanos) {
        self.0.entry(id).or_insert(Known::Told(at));
    }

    /// When an event told that a key was destroyed of which no tombstone is known.
    #[must_use]
    pub fn told_at(&self, id: KeyId) -> Option<UtcNanos> {
        match self.0.get(&id) {
            Some(Known::Told(at)) => Some(*at),
            Some(Known::Tombstone(_)) | None => None,
        }
    }

    /// How many keys are known to be destroyed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The records of all tombstones that are known: keys of [`Table::Tombstone`] with their values.
    pub fn tombstones(&self) -> impl Iterator<Item = (&KeyId, &[u8])> {
        self.0.iter().filter_map(|(id, known)| match known {
            Known::Tombstone(value) => Some((id, value.as_slice())),
            Known::Told(_) => None,
        })
    }

    /// Says what becomes of a copied record (`RESTORE-1`).
    ///
    /// # Errors
    /// [`KeysError::Unreadable`] where a record that must be looked into cannot be read.
    pub fn screen(&self, table: Table, key: &[u8], value: &[u8]) -> Result<Screened, KeysError> {
        if self.0.is_empty() {
            return Ok(Screened::Same);
        }
        match table {
            Table::DataKey => {
                let record = DataKeyRecord::decode(key, value)?;
                Ok(match self.0.get(&record.facts.id) {
                    None => Screened::Same,
                    Some(Known::Tombstone(tombstone)) => Screened::Buried(tombstone.clone()),
                    Some(Known::Told(at)) => Screened::Buried(encode_tombstone(&Tombstone {
                        id: record.facts.id,
                        purpose: record.facts.purpose,
                        class: record.facts.class,
                        period: record.facts.period,
                        destroyed: *at,
                        reason: Reason::Erased,
                    })),
                })
            }
            Table::Person | Table::Common => {
                let ids = decode_index(value)?;
                let rest: Vec<KeyId> = ids.iter().copied().filter(|id| !self.0.contains_key(id)).collect();
                Ok(match rest.len() {
                    0 => Screened::Gone,
                    left if left == ids.len() => Screened::Same,
                    _ => Screened::Changed(encode_index(&rest)),
                })
            }
            Table::Meta
            | Table::Tenant
            | Table::Ledger
            | Table::Signing
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
            | Table::Upkeep => Ok(Screened::Same),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use waag_model::ids::TenantName;
    use waag_stdx::clock::SystemClock;
    use waag_stdx::entropy::SystemEntropy;

    use super::*;
    use crate::create::create_tenant;
    use crate::keyring::{Found, Keyring, Limits, Means, Whom};
    use crate::memory::{MemoryState, MemoryVault};
    use crate::state::{Change, Expect, State};

    type Copied = Vec<(Table, Vec<u8>, Vec<u8>)>;

    fn copy(state: &dyn State) -> Copied {
        let of = |table: Table| {
            let records = state.scan(table, None, 1_000).unwrap();
            records.into_iter().map(move |record| (table, record.key, record.value))
        };
        Table::ALL.into_iter().flat_map(of).collect()
    }

    /// A tenant with a person's two keys, copied before the person was erased.
    fn erased_behind_the_copy() -> (Means, TenantName, Copied, Vec<KeyId>) {
        let entropy = Arc::new(SystemEntropy::new());
        let means = Means {
            state: Arc::new(MemoryState::new()),
            vault: Arc::new(MemoryVault::new(entropy.clone()).unwrap()),
            entropy,
            clock: Arc::new(SystemClock::new()),
        };
        let tenant = TenantName::new("bank").unwrap();
        create_tenant(&means, &tenant).unwrap();
        let keyring = Keyring::open(means.clone(), &tenant, Limits::default()).unwrap();
        for person in ["erased", "stays"] {
            keyring.data_key(Whom::Person { id: person, class: "business", year: 2026 }).unwrap();
            keyring.person_tag_key(person).unwrap();
        }
        keyring.commit_pending(u64::MAX).unwrap();
        let copied = copy(&*means.state);
        let done = keyring.destroy_person("erased", &|_| true).unwrap();
        (means, tenant, copied, done.destroyed.iter().map(|stone| stone.id).collect())
    }

    fn restored(means: &Means, tenant: &TenantName, copied: &Copied, destroyed: &Destroyed) -> Keyring {
        let state = MemoryState::new();
        let put = |table, key: &[u8], value: &[u8]| {
            let change = Change { table, key, expect: Expect::Any, value: Some(value) };
            state.commit(&[change]).unwrap();
        };
        for (table, key, value) in copied {
            match destroyed.screen(*table, key, value).unwrap() {
                Screened::Same => put(*table, key, value),
                Screened::Changed(value) => put(*table, key, &value),
                Screened::Gone => {}
                Screened::Buried(tombstone) => put(Table::Tombstone, key, &tombstone),
            }
        }
        let means = Means { state: Arc::new(state), ..means.clone() };
        Keyring::open(means, tenant, Limits::default()).unwrap()
    }

    #[test]
    fn a_key_destroyed_since_the_copy_does_not_come_back_and_others_do() {
        let (means, tenant, copied, ids) = erased_behind_the_copy();
        assert_eq!(ids.len(), 2);
        let mut by_tombstones = Destroyed::default();
        for record in means.state.scan(Table::Tombstone, None, 100).unwrap() {
            by_tombstones.tombstone(&record.key, &record.value).unwrap();
        }
        let mut by_events = Destroyed::default();
        ids.iter().for_each(|id| by_events.told(*id, UtcNanos(7)));
        let nothing = restored(&means, &tenant, &copied, &Destroyed::default());
        assert!(matches!(nothing.open_key(ids[0]).unwrap(), Found::Key(_)), "the copy has it");
        for destroyed in [by_tombstones, by_events] {
            let keyring = restored(&means, &tenant, &copied, &destroyed);
            for id in &ids {
                assert!(matches!(keyring.open_key(*id).unwrap(), Found::Destroyed(_)));
            }
            assert_eq!(keyring.list(None, 100).unwrap().len(), 2, "the other person's");
            // A new key is made for whoever was erased: the index names none that is gone.
            let again = keyring.data_key(Whom::Person { id: "erased", class: "business", year: 2026 });
            assert!(!ids.contains(&again.unwrap().id()));
        }
    }
}
