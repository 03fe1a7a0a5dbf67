//! A tenant's opened keys: which key seals what, made in memory first and durable before anybody relies on it.
//!
//! Place: sealing threads ask [`Keyring::data_key`]; the writer calls [`Keyring::commit_pending`] before it appends a
//! frame whose entries used the keys; readers ask [`Keyring::open_key`].
//! Not here: making tenants and ledgers (`create`), destroying (`destroy`), rotating (`rotate`).
//!
//! A crash loses pending keys, and with them nothing: no entry under them is durable (`KEYS-2`).
//!
//! Locks, always taken in this order: gate (read on a miss, written by destruction and rotation) → one shard's
//! single flight → commit → pending. A hit takes one shard's read lock and nothing else.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use aws_lc_rs::hmac;
use waag_model::ids::{KeyId, Tag, TenantName};
use waag_model::limits::{ATTRIBUTE_BYTES_MAX, RETENTION_BYTES_MAX};
use waag_model::time::UtcDay;
use waag_stdx::clock::Clock;
use waag_stdx::entropy::Entropy;
use zeroize::Zeroizing;

use crate::cache::{Cache, Fingerprint, KEY_CACHE_ENTRIES_MAX, Name, OpenedKey};
use crate::error::KeysError;
use crate::list::{Period, Purpose, Tombstone};
use crate::records::{
    DataKeyRecord, KeyFacts, LOOKUP_KEY, LOOKUP_SLOT, TENANT_KEY, TenantRecord, WrappedRecord, data_slot,
    decode_index, decode_tombstone, encode_index, index_key, join_secret, split_secret, vault_context,
    version_of_key,
};
use crate::secret::{SECRET_BYTES, Secret};
use crate::state::{Change, Expect, Extent, Generation, SCAN_RECORDS_MAX, State, Table};
use crate::vault::KeyVault;
use crate::wrap::TenantKeys;

/// Most keys that wait to be made durable, by default.
pub const PENDING_KEYS_MAX: usize = 65_536;
/// Most keys that one state commit makes durable; more take several commits, in the order of their serials.
pub const COMMIT_KEYS_MAX: usize = 16_384;
/// Longest id of a person, in bytes of UTF-8.
pub const PERSON_BYTES_MAX: usize = ATTRIBUTE_BYTES_MAX;
/// Most keys held open for readers, by key id; 3 MiB at most.
pub const OPENED_KEYS_MAX: usize = 16_384;

/// What a keyring works with.
#[derive(Clone)]
pub struct Means {
    /// Where wrapped keys are.
    pub state: Arc<dyn State>,
    /// Who wraps the tenant key.
    pub vault: Arc<dyn KeyVault>,
    /// Where keys, ids and nonces are drawn.
    pub entropy: Arc<dyn Entropy>,
    /// The clock that stamps keys.
    pub clock: Arc<dyn Clock>,
}

/// Bounds of a keyring's memory.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// See [`KEY_CACHE_ENTRIES_MAX`].
    pub cache_entries_max: usize,
    /// See [`PENDING_KEYS_MAX`].
    pub pending_keys_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { cache_entries_max: KEY_CACHE_ENTRIES_MAX, pending_keys_max: PENDING_KEYS_MAX }
    }
}

/// Whom a data key protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom<'a> {
    /// No person: one key for each retention class and day.
    Common {
        /// The retention class, 1 to 32 bytes.
        class: &'a str,
        /// The day the event was accepted.
        day: UtcDay,
    },
    /// One person: one key for each retention class and year.
    Person {
        /// The person's id as the schema's path found it, 1 to 1,024 bytes.
        id: &'a str,
        /// The retention class, 1 to 32 bytes.
        class: &'a str,
        /// The year the event was accepted.
        year: i32,
    },
}

impl<'a> Whom<'a> {
    pub(crate) fn name(self) -> Name<'a> {
        match self {
            Self::Common { class, day } => {
                Name { purpose: Purpose::Data, class, period: Period::Day(day), person: None }
            }
            Self::Person { id, class, year } => {
                Name { purpose: Purpose::Data, class, period: Period::Year(year), person: Some(id) }
            }
        }
    }
}

/// A key to use. Wiped from memory when the cache and the last handle let go.
#[derive(Clone)]
pub struct KeyHandle {
    key: Arc<OpenedKey>,
    serial: u64,
}

impl KeyHandle {
    /// The 32 secret bytes.
    #[must_use]
    pub fn key(&self) -> &[u8; SECRET_BYTES] {
        self.key.secret.bytes()
    }

    /// The key's id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.key.id
    }

    /// The serial that must be durable before anything sealed with this key is; 0 where it is already.
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.serial
    }
}

impl fmt::Debug for KeyHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHandle {{ id: {}, serial: {} }}", self.key.id, self.serial)
    }
}

/// Proof that every key up to a serial is durable; only [`Keyring::commit_pending`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable {
    serial: u64,
    generation: Generation,
}

impl Durable {
    /// Every key up to this serial is durable.
    #[must_use]
    pub fn serial(self) -> u64 {
        self.serial
    }

    /// The state's generation then.
    #[must_use]
    pub fn generation(self) -> Generation {
        self.generation
    }
}

/// What became of a key (`KEYS-3`).
#[derive(Clone, Debug)]
pub enum Found {
    /// It is there.
    Key(KeyHandle),
    /// It was destroyed.
    Destroyed(Tombstone),
    /// There never was one in this state.
    Unknown,
}

struct PendingKey {
    key: Arc<OpenedKey>,
    facts: KeyFacts,
    person: Option<Zeroizing<String>>,
}

#[derive(Default)]
struct Pending {
    queue: VecDeque<Arc<PendingKey>>,
    last: u64,
}

/// A tenant's opened keys. Shared by all threads.
pub struct Keyring {
    pub(crate) means: Means,
    pub(crate) tenant: TenantName,
    pub(crate) keys: RwLock<Arc<TenantKeys>>,
    pub(crate) gate: RwLock<()>,
    pub(crate) cache: Cache,
    opened: Cache,
    commit: Mutex<()>,
    pending: Mutex<Pending>,
    pub(crate) lookup: hmac::Key,
    limits: Limits,
    durable: AtomicU64,
    generation: AtomicU64,
    poisoned: AtomicBool,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring {{ tenant: {} }}", self.tenant)
    }
}

impl Keyring {
    /// Opens a tenant's keys: asks the vault for the tenant key in its versions, then opens what it wraps.
    ///
    /// # Errors
    /// [`KeysError::NoTenant`], [`KeysError::OtherTenant`], [`KeysError::Refused`]; the state's and the vault's.
    pub fn open(means: Means, tenant: &TenantName, limits: Limits) -> Result<Self, KeysError> {
        let head = means.state.check(Extent::Head)?.head;
        let record = means.state.get(Table::Tenant, TENANT_KEY)?.ok_or(KeysError::NoTenant)?;
        let record = TenantRecord::decode(&record.value)?;
        if record.name != tenant.as_str() {
            return Err(KeysError::OtherTenant(record.name));
        }
        let mut keys = BTreeMap::new();
        for stored in means.state.scan(Table::Tenant, None, SCAN_RECORDS_MAX)? {
            let Some(version) = version_of_key(&stored.key) else { continue };
            let wrapped = WrappedRecord::decode(&stored.value)?.wrapped;
            let secret = means.vault.unwrap(&vault_context(&record.name, version), &wrapped)?;
            keys.insert(version, Secret::of_slice(&secret).ok_or(KeysError::Refused("the tenant key"))?);
        }
        if !keys.contains_key(&record.current) {
            return Err(KeysError::Unreadable("the current tenant key"));
        }
        let keys = TenantKeys { tenant: record.name, current: record.current, keys };
        let lookup = means.state.get(Table::Tenant, LOOKUP_KEY)?.ok_or(KeysError::NoTenant)?;
        let lookup = keys
            .unwrap_secret(&LOOKUP_SLOT, &WrappedRecord::decode(&lookup.value)?.wrapped)
            .ok_or(KeysError::Refused("the lookup key"))?;
        let mut hash_key = [0; 16];
        means.entropy.fill(&mut hash_key)?;
        Ok(Self {
            means,
            tenant: tenant.clone(),
            keys: RwLock::new(Arc::new(keys)),
            gate: RwLock::new(()),
            cache: Cache::new(limits.cache_entries_max, &hash_key),
            opened: Cache::new(OPENED_KEYS_MAX, &hash_key),
            commit: Mutex::new(()),
            pending: Mutex::new(Pending::default()),
            lookup: hmac::Key::new(hmac::HMAC_SHA256, lookup.bytes()),
            limits,
            durable: AtomicU64::new(0),
            generation: AtomicU64::new(head.generation.0),
            poisoned: AtomicBool::new(false),
        })
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &TenantName {
        &self.tenant
    }

    /// The key that seals for `whom` now; made where there is none yet.
    ///
    /// A hit takes no lock but a shard's read lock, allocates nothing and does no I/O. A key that is made is in memory
    /// only: whoever seals with it must see [`KeyHandle::serial`] made durable before the entry is.
    ///
    /// # Errors
    /// [`KeysError::Poisoned`], [`KeysError::PendingFull`], [`KeysError::Name`]; the state's.
    pub fn data_key(&self, whom: Whom<'_>) -> Result<KeyHandle, KeysError> {
        self.named_key(&whom.name())
    }

    /// The key under which ordering tags of a person are made; destroyed with the person's last data key.
    ///
    /// # Errors
    /// As [`Keyring::data_key`].
    pub fn person_tag_key(&self, person: &str) -> Result<KeyHandle, KeysError> {
        let name = Name { purpose: Purpose::Tags, class: "", period: Period::Life, person: Some(person) };
        self.named_key(&name)
    }

    fn named_key(&self, name: &Name<'_>) -> Result<KeyHandle, KeysError> {
        self.refuse_poisoned()?;
        let found_by = self.cache.fingerprint(name);
        match self.cache.get(found_by) {
            Some(key) => Ok(self.handle(key)),
            None => self.fetch_or_make(found_by, name),
        }
    }

    fn fetch_or_make(&self, found_by: Fingerprint, name: &Name<'_>) -> Result<KeyHandle, KeysError> {
        check_name(name)?;
        let _gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        let _flight = self.cache.single_flight(found_by);
        self.refuse_poisoned()?;
        if let Some(key) = self.cache.get(found_by) {
            return Ok(self.handle(key));
        }
        let person = name.person.map(|id| self.lookup_tag(id));
        let (table, place) = index_key(person, name.purpose, name.class, name.period);
        let key = match self.means.state.get(table, &place)? {
            Some(index) => {
                let id =
                    *decode_index(&index.value)?.first().ok_or(KeysError::Unreadable("the index of keys"))?;
                self.load(id)?.ok_or(KeysError::Dangling(id))?
            }
            // Not in the state and not in the cache, where every pending key is: there is none.
            None => self.make(name, person)?,
        };
        self.cache.put(found_by, Arc::clone(&key), self.durable_serial());
        Ok(self.handle(key))
    }

    fn make(&self, name: &Name<'_>, person: Option<Tag>) -> Result<Arc<OpenedKey>, KeysError> {
        let (facts, secret) = self.draw(name, person)?;
        let mut pending = self.pending();
        if pending.queue.len() >= self.limits.pending_keys_max {
            return Err(KeysError::PendingFull);
        }
        pending.last += 1;
        let key = Arc::new(OpenedKey { secret, id: facts.id, serial: pending.last });
        let person = name.person.map(|id| Zeroizing::new(id.to_owned()));
        pending.queue.push_back(Arc::new(PendingKey { key: Arc::clone(&key), facts, person }));
        Ok(key)
    }

    /// A fresh key and its facts.
    pub(crate) fn draw(&self, name: &Name<'_>, person: Option<Tag>) -> Result<(KeyFacts, Secret), KeysError> {
        let secret = Secret::draw(self.means.entropy.as_ref())?;
        let mut id = [0; 16];
        self.means.entropy.fill(&mut id)?;
        let facts = KeyFacts {
            id: KeyId(id),
            purpose: name.purpose,
            class: name.class.to_owned(),
            period: name.period,
            created: self.means.clock.now(),
            person,
        };
        Ok((facts, secret))
    }

    /// The record of a key, wrapped under the current tenant key.
    pub(crate) fn wrapped_record(
        &self,
        facts: &KeyFacts,
        secret: &Secret,
        person: Option<&str>,
    ) -> Result<DataKeyRecord, KeysError> {
        let detail = facts.detail();
        let joined = join_secret(secret, person);
        let wrapped = self.tenant_keys().wrap(self.means.entropy.as_ref(), &data_slot(&detail), &joined)?;
        Ok(DataKeyRecord { facts: facts.clone(), wrapped })
    }

    /// Makes every pending key up to `up_to` durable; `u64::MAX` for all. Call it before the frame is appended.
    ///
    /// One state commit for up to [`COMMIT_KEYS_MAX`] keys. Keys are wrapped here, on the caller's thread, so that
    /// none is ever stored under a tenant key that a rotation has dropped meanwhile.
    ///
    /// # Errors
    /// The state's; the keyring is then poisoned and must be reopened, as no entry under those keys may be appended.
    pub fn commit_pending(&self, up_to: u64) -> Result<Durable, KeysError> {
        let commit = self.committing();
        self.refuse_poisoned()?;
        while let Some(serial) = self.commit_some(up_to, &commit)? {
            self.durable.store(serial, Ordering::Release);
            let mut pending = self.pending();
            while pending.queue.front().is_some_and(|first| first.key.serial <= serial) {
                pending.queue.pop_front();
            }
        }
        Ok(Durable { serial: self.durable_serial(), generation: self.generation() })
    }

    /// Commits the next keys; none where there are none up to that serial.
    fn commit_some(&self, up_to: u64, commit: &MutexGuard<'_, ()>) -> Result<Option<u64>, KeysError> {
        let due: Vec<Arc<PendingKey>> = {
            let pending = self.pending();
            let due = pending.queue.iter().take_while(|next| next.key.serial <= up_to);
            due.take(COMMIT_KEYS_MAX).map(Arc::clone).collect()
        };
        let Some(last) = due.last().map(|key| key.key.serial) else { return Ok(None) };
        let mut rows = Vec::with_capacity(due.len());
        for next in &due {
            let person = next.person.as_ref().map(|id| id.as_str());
            let record = self.wrapped_record(&next.facts, &next.key.secret, person)?.encode();
            let (table, place) = next.facts.index();
            rows.push((next.facts.id, record, table, place, encode_index(&[next.facts.id])));
        }
        let new = |table, key, value| Change { table, key, expect: Expect::Absent, value: Some(value) };
        let changes: Vec<Change<'_>> = rows
            .iter()
            .flat_map(|(id, record, table, place, index)| {
                [new(Table::DataKey, &id.0, record), new(*table, place, index)]
            })
            .collect();
        self.commit_changes(&changes, commit)?;
        Ok(Some(last))
    }

    /// Commits changes to the state; any failure poisons the keyring. The guard shows that the commit lock is held.
    pub(crate) fn commit_changes(
        &self,
        changes: &[Change<'_>],
        _commit: &MutexGuard<'_, ()>,
    ) -> Result<Generation, KeysError> {
        self.refuse_poisoned()?;
        match self.means.state.commit(changes) {
            Ok(generation) => {
                self.generation.store(generation.0, Ordering::Release);
                Ok(generation)
            }
            Err(error) => {
                self.poisoned.store(true, Ordering::Release);
                Err(error.into())
            }
        }
    }

    /// Every key up to this serial is durable.
    #[must_use]
    pub fn durable_serial(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// The generation of the newest commit of this keyring that is durable. Costs one atomic read.
    #[must_use]
    pub fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::Acquire))
    }

    /// What became of a key, for readers of entries.
    ///
    /// # Errors
    /// [`KeysError::Refused`] where the stored key does not open in its place; the state's.
    pub fn open_key(&self, id: KeyId) -> Result<Found, KeysError> {
        let found_by = Fingerprint::of_id(id);
        if let Some(key) = self.opened.get(found_by) {
            return Ok(Found::Key(self.handle(key)));
        }
        let _gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = self.load(id)?.or_else(|| self.pending_key(id));
        if found.is_none() {
            // Once more: it may have become durable between the two looks.
            found = self.load(id)?;
        }
        if let Some(key) = found {
            self.opened.put(found_by, Arc::clone(&key), u64::MAX);
            return Ok(Found::Key(self.handle(key)));
        }
        match self.means.state.get(Table::Tombstone, &id.0)? {
            Some(record) => Ok(Found::Destroyed(decode_tombstone(&record.key, &record.value)?)),
            None => Ok(Found::Unknown),
        }
    }

    /// The id of the person whose key this is; none where it is nobody's, or there is no such key.
    ///
    /// # Errors
    /// As [`Keyring::open_key`].
    pub fn person_of(&self, id: KeyId) -> Result<Option<Zeroizing<String>>, KeysError> {
        let _gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        let Some(record) = self.means.state.get(Table::DataKey, &id.0)? else { return Ok(None) };
        let record = DataKeyRecord::decode(&record.key, &record.value)?;
        let joined = self.unwrap_record(&record)?;
        let (_, person) = split_secret(&joined).ok_or(KeysError::Refused("a data key"))?;
        Ok(record.facts.person.map(|_| Zeroizing::new(person.to_owned())))
    }

    /// Whose a key is that waits to be made durable; none where no such key waits.
    pub(crate) fn pending_facts(&self, id: KeyId) -> Option<Option<Tag>> {
        self.pending().queue.iter().find(|next| next.key.id == id).map(|next| next.facts.person)
    }

    fn pending_key(&self, id: KeyId) -> Option<Arc<OpenedKey>> {
        self.pending().queue.iter().find(|next| next.key.id == id).map(|next| Arc::clone(&next.key))
    }

    fn load(&self, id: KeyId) -> Result<Option<Arc<OpenedKey>>, KeysError> {
        let Some(record) = self.means.state.get(Table::DataKey, &id.0)? else { return Ok(None) };
        let joined = self.unwrap_record(&DataKeyRecord::decode(&record.key, &record.value)?)?;
        let (secret, _) = split_secret(&joined).ok_or(KeysError::Refused("a data key"))?;
        Ok(Some(Arc::new(OpenedKey { secret, id, serial: 0 })))
    }

    pub(crate) fn unwrap_record(&self, record: &DataKeyRecord) -> Result<Zeroizing<Vec<u8>>, KeysError> {
        let detail = record.facts.detail();
        self.tenant_keys()
            .unwrap(&data_slot(&detail), &record.wrapped)
            .ok_or(KeysError::Refused("a data key"))
    }

    /// The tag under which a person's keys are found: truncated HMAC-SHA-256 under the tenant's lookup key.
    pub(crate) fn lookup_tag(&self, person: &str) -> Tag {
        let mac = hmac::sign(&self.lookup, person.as_bytes());
        let mut tag = [0; 16];
        for (to, from) in tag.iter_mut().zip(mac.as_ref()) {
            *to = *from;
        }
        Tag(tag)
    }

    /// How many keys the cache of [`Keyring::data_key`] holds open.
    #[must_use]
    pub fn cached_keys(&self) -> usize {
        self.cache.len()
    }

    /// Drops opened keys from memory.
    pub(crate) fn purge(&self, drop: &dyn Fn(KeyId) -> bool) {
        self.cache.purge(drop);
        self.opened.purge(drop);
    }

    pub(crate) fn handle(&self, key: Arc<OpenedKey>) -> KeyHandle {
        let serial = if key.serial <= self.durable_serial() { 0 } else { key.serial };
        KeyHandle { key, serial }
    }

    pub(crate) fn tenant_keys(&self) -> Arc<TenantKeys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn committing(&self) -> MutexGuard<'_, ()> {
        self.commit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a commit has failed, after which nothing is sealed until the keyring is opened again.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    pub(crate) fn refuse_poisoned(&self) -> Result<(), KeysError> {
        if self.is_poisoned() { Err(KeysError::Poisoned) } else { Ok(()) }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Refuses names outside their limits.
pub(crate) fn check_name(name: &Name<'_>) -> Result<(), KeysError> {
    let has_class = name.purpose == Purpose::Data;
    if name.class.is_empty() == has_class || name.class.len() > RETENTION_BYTES_MAX {
        return Err(KeysError::Name("the retention class"));
    }
    if name.person.is_some_and(|id| id.is_empty() || id.len() > PERSON_BYTES_MAX) {
        return Err(KeysError::Name("the person's id"));
    }
    Ok(())
}
