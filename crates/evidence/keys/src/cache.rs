//! The opened data keys in memory: bounded, sharded, and without allocation or I/O where the key is there.
//!
//! Place: the first stop of [`crate::keyring::Keyring::data_key`], called from every sealing thread.
//! Not here: where keys come from on a miss (`keyring`).
//! Eviction is second chance in the order of slots: deterministic for a given sequence of calls and given hash keys, as
//! the simulator needs. A key that is not durable yet is never evicted, since it is nowhere else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;
use std::hash::Hasher as _;
use waag_model::ids::KeyId;

use crate::list::{Period, Purpose};
use crate::secret::Secret;

/// Most keys held open, by default.
pub const KEY_CACHE_ENTRIES_MAX: usize = 131_072;
/// Most bytes they may take, names included, by default.
pub const KEY_CACHE_BYTES_MAX: usize = 40 * 1_024 * 1_024;
/// What an entry costs beside its name: slot 40, table 16, key 80, allocator's share 32.
const ENTRY_BYTES: usize = 168;
/// Parts of the cache with a lock each.
const SHARDS: usize = 64;

/// An opened key; shared by the cache and every handle, wiped when the last of them goes.
pub(crate) struct OpenedKey {
    pub(crate) secret: Secret,
    pub(crate) id: KeyId,
    /// The number of its pending creation, 0 where it came from the state.
    pub(crate) serial: u64,
}

/// What a key is for and whose: by what it is found.
#[derive(Clone, Copy)]
pub(crate) struct Name<'a> {
    pub(crate) purpose: Purpose,
    pub(crate) class: &'a str,
    pub(crate) period: Period,
    pub(crate) person: Option<&'a str>,
}

impl Name<'_> {
    fn head(&self) -> [u8; 8] {
        let (kind, number) = self.period.code();
        let [a, b, c, d] = number.to_be_bytes();
        // Names with a longer class never reach the cache: the keyring refuses them before it makes a key.
        let class = u8::try_from(self.class.len()).unwrap_or(u8::MAX);
        [self.purpose.code(), kind, class, u8::from(self.person.is_some()), a, b, c, d]
    }

    fn is(&self, stored: &[u8]) -> bool {
        let Some((head, rest)) = stored.split_at_checked(8) else { return false };
        head == self.head()
            && rest
                .strip_prefix(self.class.as_bytes())
                .is_some_and(|person| person == self.person.unwrap_or_default().as_bytes())
    }

    fn stored(&self) -> Box<[u8]> {
        let mut bytes = Vec::with_capacity(8 + self.class.len() + self.person.map_or(0, str::len));
        bytes.extend_from_slice(&self.head());
        bytes.extend_from_slice(self.class.as_bytes());
        bytes.extend_from_slice(self.person.unwrap_or_default().as_bytes());
        bytes.into_boxed_slice()
    }
}

struct Slot {
    hash: u64,
    name: Box<[u8]>,
    key: Arc<OpenedKey>,
    used: AtomicBool,
}

#[derive(Default)]
struct Shard {
    table: HashTable<usize>,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    hand: usize,
    bytes: usize,
}

/// A shard and the lock of its single flight, on cache lines of their own, so that threads at different shards do not
/// take each other's lines away.
#[derive(Default)]
#[repr(align(128))]
struct Part {
    shard: RwLock<Shard>,
    flight: Mutex<()>,
}

/// Opened keys by name.
pub(crate) struct Cache {
    parts: Vec<Part>,
    hash_keys: (u64, u64),
    entries_max: usize,
    bytes_max: usize,
}

impl Cache {
    /// A cache of at least one entry per shard. The hash keys are random, so that nobody can choose names that collide.
    pub(crate) fn new(entries_max: usize, bytes_max: usize, hash_keys: (u64, u64)) -> Self {
        Self {
            parts: (0..SHARDS).map(|_| Part::default()).collect(),
            hash_keys,
            entries_max: (entries_max / SHARDS).max(1),
            bytes_max: bytes_max / SHARDS,
        }
    }

    pub(crate) fn hash(&self, name: &Name<'_>) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.hash_keys.0, self.hash_keys.1);
        hasher.write_u64(u64::from_le_bytes(name.head()));
        hasher.write(name.class.as_bytes());
        hasher.write(name.person.unwrap_or_default().as_bytes());
        hasher.finish()
    }

    fn part(&self, hash: u64) -> Option<&Part> {
        // The table uses the hash's lowest and highest bits; the shard is chosen by others.
        let at = usize::try_from((hash >> 32) % SHARDS as u64).unwrap_or(0);
        self.parts.get(at)
    }

    /// The key of that name, where it is there.
    pub(crate) fn get(&self, hash: u64, name: &Name<'_>) -> Option<Arc<OpenedKey>> {
        let shard = self.part(hash)?.shard.read().unwrap_or_else(PoisonError::into_inner);
        let slot = |at: &usize| shard.slots.get(*at).and_then(Option::as_ref);
        let at = shard.table.find(hash, |at| slot(at).is_some_and(|s| s.hash == hash && name.is(&s.name)))?;
        let slot = slot(at)?;
        if !slot.used.load(Ordering::Relaxed) {
            slot.used.store(true, Ordering::Relaxed);
        }
        Some(Arc::clone(&slot.key))
    }

    /// Lets one thread at a time fetch or make a key of this name.
    pub(crate) fn single_flight(&self, hash: u64) -> Option<MutexGuard<'_, ()>> {
        Some(self.part(hash)?.flight.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a key in its place, evicting others that are durable (their serial is at most `durable`).
    pub(crate) fn put(&self, hash: u64, name: &Name<'_>, key: Arc<OpenedKey>, durable: u64) {
        let Some(part) = self.part(hash) else { return };
        let mut shard = part.shard.write().unwrap_or_else(PoisonError::into_inner);
        let stored = name.stored();
        shard.remove(hash, &stored);
        shard.bytes += ENTRY_BYTES + stored.len();
        shard.make_room(self.entries_max, self.bytes_max, durable);
        let slot = Slot { hash, name: stored, key, used: AtomicBool::new(true) };
        let at = shard.free.pop().unwrap_or(shard.slots.len());
        if let Some(free) = shard.slots.get_mut(at) {
            *free = Some(slot);
        } else {
            shard.slots.push(Some(slot));
        }
        let Shard { table, slots, .. } = &mut *shard;
        table.insert_unique(hash, at, |at| slots.get(*at).and_then(Option::as_ref).map_or(0, |s| s.hash));
    }

    /// Drops every key for which `drop` holds.
    pub(crate) fn purge(&self, drop: &dyn Fn(KeyId) -> bool) {
        for part in &self.parts {
            let mut shard = part.shard.write().unwrap_or_else(PoisonError::into_inner);
            for at in 0..shard.slots.len() {
                if shard.slots.get(at).and_then(Option::as_ref).is_some_and(|slot| drop(slot.key.id)) {
                    shard.take(at);
                }
            }
        }
    }

    /// How many keys, and how many bytes by the reckoning above.
    pub(crate) fn size(&self) -> (usize, usize) {
        self.parts.iter().fold((0, 0), |(entries, bytes), part| {
            let shard = part.shard.read().unwrap_or_else(PoisonError::into_inner);
            (entries + shard.table.len(), bytes + shard.bytes)
        })
    }
}

impl Shard {
    fn take(&mut self, at: usize) -> Option<Slot> {
        let slot = self.slots.get_mut(at)?.take()?;
        if let Ok(entry) = self.table.find_entry(slot.hash, |found| *found == at) {
            entry.remove();
        }
        self.free.push(at);
        self.bytes = self.bytes.saturating_sub(ENTRY_BYTES + slot.name.len());
        Some(slot)
    }

    fn remove(&mut self, hash: u64, stored: &[u8]) {
        let slots = &self.slots;
        let is = |at: &usize| slots.get(*at).and_then(Option::as_ref).is_some_and(|s| *s.name == *stored);
        if let Some(at) = self.table.find(hash, is).copied() {
            self.take(at);
        }
    }

    /// Second chance over the slots, two rounds at most; keys that are not durable stay, whatever the bounds.
    fn make_room(&mut self, entries_max: usize, bytes_max: usize, durable: u64) {
        let mut steps = self.slots.len().saturating_mul(2);
        while steps > 0 && (self.table.len() >= entries_max || self.bytes > bytes_max) {
            steps -= 1;
            let at = if self.hand < self.slots.len() { self.hand } else { 0 };
            self.hand = at + 1;
            let goes =
                self.slots.get(at).and_then(Option::as_ref).is_some_and(|slot| {
                    slot.key.serial <= durable && !slot.used.swap(false, Ordering::Relaxed)
                });
            if goes {
                self.take(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use waag_model::time::UtcDay;
    use zeroize::Zeroizing;

    use super::*;

    fn key(number: u64, serial: u64) -> Arc<OpenedKey> {
        let id = KeyId(std::array::from_fn(|at| number.to_le_bytes().get(at).copied().unwrap_or(0)));
        Arc::new(OpenedKey { secret: Secret::new(Zeroizing::new([1; 32])), id, serial })
    }

    fn person(id: &str) -> Name<'_> {
        Name { purpose: Purpose::Data, class: "business", period: Period::Year(2026), person: Some(id) }
    }

    #[test]
    fn names_that_differ_in_any_part_are_apart() {
        let names = [
            person("ab"),
            Name { class: "businessa", person: Some("b"), ..person("") },
            Name { person: None, ..person("") },
            person(""),
            Name { period: Period::Year(2027), ..person("ab") },
            Name { period: Period::Day(UtcDay(2026)), ..person("ab") },
            Name { purpose: Purpose::Tags, ..person("ab") },
        ];
        let cache = Cache::new(1_000, 1 << 20, (1, 2));
        for (number, name) in (0..).zip(&names) {
            assert!(cache.get(cache.hash(name), name).is_none());
            cache.put(cache.hash(name), name, key(number, 0), 0);
        }
        for (number, name) in (0..).zip(&names) {
            assert_eq!(cache.get(cache.hash(name), name).unwrap().id, key(number, 0).id);
        }
        cache.purge(&|id| id == key(3, 0).id);
        assert!(cache.get(cache.hash(&names[3]), &names[3]).is_none());
        assert_eq!(cache.size().0, names.len() - 1);
    }

    #[test]
    fn both_bounds_hold_and_pending_keys_stay() {
        let cache = Cache::new(SHARDS * 4, 1 << 30, (3, 4));
        let names: Vec<String> = (0..10_000).map(|n| format!("person-{n}")).collect();
        for (number, name) in (1..).zip(&names) {
            // Every tenth is pending under a serial above what is durable.
            let serial = if number % 1_000 == 0 { number } else { 0 };
            cache.put(cache.hash(&person(name)), &person(name), key(number, serial), 0);
        }
        let (entries, _) = cache.size();
        assert!(entries <= SHARDS * 4 + 10, "{entries}");
        for name in names.iter().skip(999).step_by(1_000) {
            assert!(cache.get(cache.hash(&person(name)), &person(name)).is_some(), "{name}");
        }
        let bytes_max = SHARDS * 4 * (ENTRY_BYTES + 8 + 8 + 100);
        let cache = Cache::new(1 << 20, bytes_max, (3, 4));
        for name in &names {
            let long = format!("{name:>100}");
            cache.put(cache.hash(&person(&long)), &person(&long), key(1, 0), 0);
        }
        let (entries, bytes) = cache.size();
        assert!(bytes <= bytes_max && entries > SHARDS * 2, "{entries} entries, {bytes} bytes");
    }
}
