//! The opened data keys in memory: bounded, sharded, and without allocation or I/O where the key is there.
//!
//! Place: the first stop of [`crate::keyring::Keyring::data_key`], called from every sealing thread.
//! Not here: where keys come from on a miss (`keyring`).
//!
//! A key is found by a fingerprint of its name, SipHash-2-4 of 128 bits under a random key of this process: no name of a
//! person is held in memory, an entry has one size, and two of a million names have the same fingerprint with a
//! probability of 2^-89, less than that of two persons having the same lookup tag in the state.
//! Eviction is second chance in the order of buckets: deterministic for a given sequence of calls and given hash keys,
//! as the simulator needs. A key that is not durable yet is never evicted, since it is nowhere else.

use std::hash::Hasher as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use siphasher::sip128::{Hasher128 as _, SipHasher24};
use waag_model::ids::KeyId;

use crate::list::{Period, Purpose};
use crate::secret::Secret;

/// Most keys held open, by default: 88 MiB at [`KEY_CACHE_ENTRY_BYTES`] each, where so many are in use.
///
/// A key that is not there is two reads of the state and an unwrapping: with fewer than the persons in use, sealing
/// slows down (docs/benchmarks.md).
pub const KEY_CACHE_ENTRIES_MAX: usize = 524_288;
/// Most bytes that an entry takes: key, id and serial with the allocator's share 96, its bucket in a table that has
/// just grown 76, rounded up.
pub const KEY_CACHE_ENTRY_BYTES: usize = 176;
/// Parts of the cache with a lock each.
const PARTS: usize = 64;

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

/// What a key is found by in the cache.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint(u128);

impl Fingerprint {
    /// A key id is random: it stands for itself.
    pub(crate) fn of_id(id: KeyId) -> Self {
        Self(u128::from_le_bytes(id.0))
    }

    fn hash(self) -> u64 {
        u64::try_from(self.0 >> 64).unwrap_or(0)
    }
}

impl Name<'_> {
    /// Everything of the name but the texts, whose lengths it settles.
    fn head(&self) -> u64 {
        let (kind, number) = self.period.code();
        let [a, b, c, d] = number.to_be_bytes();
        // Names with a longer class never come here: the keyring refuses them before it makes a key.
        let class = u8::try_from(self.class.len()).unwrap_or(u8::MAX);
        u64::from_le_bytes([self.purpose.code(), kind, class, u8::from(self.person.is_some()), a, b, c, d])
    }
}

struct Slot {
    name: Fingerprint,
    key: Arc<OpenedKey>,
    used: AtomicBool,
}

#[derive(Default)]
struct Shard {
    table: HashTable<Slot>,
    hand: usize,
}

/// A shard and the lock of its single flight, on cache lines of their own, so that threads at different shards do not
/// take each other's lines away.
#[derive(Default)]
#[repr(align(128))]
struct Part {
    shard: RwLock<Shard>,
    flight: Mutex<()>,
}

/// Opened keys by fingerprint.
pub(crate) struct Cache {
    parts: Vec<Part>,
    hasher: SipHasher24,
    entries_max: usize,
}

impl Cache {
    /// A cache of at least one entry per part, with the key of its fingerprints.
    pub(crate) fn new(entries_max: usize, hash_key: &[u8; 16]) -> Self {
        Self {
            parts: (0..PARTS).map(|_| Part::default()).collect(),
            hasher: SipHasher24::new_with_key(hash_key),
            entries_max: (entries_max / PARTS).max(1),
        }
    }

    pub(crate) fn fingerprint(&self, name: &Name<'_>) -> Fingerprint {
        let mut hasher = self.hasher;
        hasher.write_u64(name.head());
        hasher.write(name.class.as_bytes());
        hasher.write(name.person.unwrap_or_default().as_bytes());
        Fingerprint(hasher.finish128().as_u128())
    }

    fn part(&self, name: Fingerprint) -> Option<&Part> {
        // The table takes the upper half; the part is chosen by the lower.
        self.parts.get(usize::try_from(name.0 % PARTS as u128).unwrap_or(0))
    }

    /// The key of that name, where it is there.
    pub(crate) fn get(&self, name: Fingerprint) -> Option<Arc<OpenedKey>> {
        let shard = self.part(name)?.shard.read().unwrap_or_else(PoisonError::into_inner);
        let slot = shard.table.find(name.hash(), |slot| slot.name == name)?;
        if !slot.used.load(Ordering::Relaxed) {
            slot.used.store(true, Ordering::Relaxed);
        }
        Some(Arc::clone(&slot.key))
    }

    /// Lets one thread at a time fetch or make a key of this name.
    pub(crate) fn single_flight(&self, name: Fingerprint) -> Option<MutexGuard<'_, ()>> {
        Some(self.part(name)?.flight.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a key in its place, evicting others that are durable (their serial is at most `durable`).
    pub(crate) fn put(&self, name: Fingerprint, key: Arc<OpenedKey>, durable: u64) {
        let Some(part) = self.part(name) else { return };
        let mut shard = part.shard.write().unwrap_or_else(PoisonError::into_inner);
        shard.make_room(self.entries_max, durable);
        let slot = Slot { name, key, used: AtomicBool::new(true) };
        match shard.table.entry(name.hash(), |other| other.name == name, |other| other.name.hash()) {
            Entry::Occupied(mut place) => *place.get_mut() = slot,
            Entry::Vacant(place) => drop(place.insert(slot)),
        }
    }

    /// Drops every key for which `drop` holds.
    pub(crate) fn purge(&self, drop: &dyn Fn(KeyId) -> bool) {
        for part in &self.parts {
            let mut shard = part.shard.write().unwrap_or_else(PoisonError::into_inner);
            shard.table.retain(|slot| !drop(slot.key.id));
        }
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        let len = |part: &Part| part.shard.read().unwrap_or_else(PoisonError::into_inner).table.len();
        self.parts.iter().map(len).sum()
    }
}

impl Shard {
    /// Second chance over the buckets, two rounds at most; keys that are not durable stay, whatever the bound.
    fn make_room(&mut self, entries_max: usize, durable: u64) {
        let mut steps = self.table.num_buckets().saturating_mul(2);
        while steps > 0 && self.table.len() >= entries_max {
            steps -= 1;
            let at = if self.hand < self.table.num_buckets() { self.hand } else { 0 };
            self.hand = at + 1;
            let goes = self
                .table
                .get_bucket(at)
                .is_some_and(|slot| slot.key.serial <= durable && !slot.used.swap(false, Ordering::Relaxed));
            if goes && let Ok(slot) = self.table.get_bucket_entry(at) {
                slot.remove();
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
        let cache = Cache::new(1_000, &[1; 16]);
        for (number, name) in (0..).zip(&names) {
            assert!(cache.get(cache.fingerprint(name)).is_none());
            cache.put(cache.fingerprint(name), key(number, 0), 0);
        }
        for (number, name) in (0..).zip(&names) {
            assert_eq!(cache.get(cache.fingerprint(name)).unwrap().id, key(number, 0).id);
        }
        cache.purge(&|id| id == key(3, 0).id);
        assert!(cache.get(cache.fingerprint(&names[3])).is_none());
        assert_eq!(cache.len(), names.len() - 1);
        cache.put(cache.fingerprint(&names[0]), key(9, 0), 0);
        assert_eq!(cache.get(cache.fingerprint(&names[0])).unwrap().id, key(9, 0).id, "put replaces");
        assert_eq!(cache.len(), names.len() - 1);
    }

    #[test]
    fn the_bound_holds_pending_keys_stay_and_used_ones_stay_longer() {
        let cache = Cache::new(PARTS * 4, &[3; 16]);
        let names: Vec<String> = (0..10_000).map(|n| format!("person-{n}")).collect();
        let favourite = cache.fingerprint(&person("favourite"));
        cache.put(favourite, key(0, 0), 0);
        let mut favoured = 0;
        for (number, name) in (1..).zip(&names) {
            // Every thousandth is pending under a serial above what is durable.
            let serial = if number % 1_000 == 0 { number } else { 0 };
            cache.put(cache.fingerprint(&person(name)), key(number, serial), 0);
            favoured += usize::from(cache.get(favourite).is_some());
        }
        assert!(cache.len() <= PARTS * 4 + 10, "{}", cache.len());
        for name in names.iter().skip(999).step_by(1_000) {
            assert!(cache.get(cache.fingerprint(&person(name))).is_some(), "{name}");
        }
        let left = names.iter().filter(|name| cache.get(cache.fingerprint(&person(name))).is_some()).count();
        assert!(
            left < PARTS * 5 && favoured > 1_000,
            "{left} left, the favourite was there {favoured} times"
        );
    }
}
