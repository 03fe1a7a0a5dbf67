//! Simulated clock, randomness and objects. Seeded randomness exists here and nowhere else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use waag_ledger::hash::Hash;
use waag_log::objects::{ObjectError, Objects};
use waag_model::time::UtcNanos;
use waag_stdx::clock::Clock;
use waag_stdx::entropy::{Entropy, NoEntropy};

use crate::prng::Prng;

/// A clock that the world moves; its calendar jumps either way, its monotonic reading does not.
#[derive(Debug)]
pub struct SimClock(Mutex<(i64, u64)>);

impl SimClock {
    /// A clock at this time.
    #[must_use]
    pub fn new(now: UtcNanos) -> Self {
        Self(Mutex::new((now.0, 0)))
    }

    /// Lets time pass.
    pub fn pass(&self, ns: u64) {
        let mut time = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        time.0 = time.0.saturating_add(i64::try_from(ns).unwrap_or(0));
        time.1 = time.1.saturating_add(ns);
    }

    /// Moves the calendar only.
    pub fn jump(&self, ns: i64) {
        let mut time = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        time.0 = time.0.saturating_add(ns);
    }
}

impl Clock for SimClock {
    fn now(&self) -> UtcNanos {
        UtcNanos(self.0.lock().unwrap_or_else(PoisonError::into_inner).0)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.0.lock().unwrap_or_else(PoisonError::into_inner).1)
    }
}

/// Randomness that a failing seed repeats.
#[derive(Debug)]
pub struct SeededEntropy(Mutex<Prng>);

impl SeededEntropy {
    /// The same bytes for the same seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(Prng::new(seed)))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), NoEntropy> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(out);
        Ok(())
    }
}

/// Objects in memory; durable when put, as the contract says.
#[derive(Clone, Debug, Default)]
pub struct SimObjects(Arc<Mutex<BTreeMap<Hash, Vec<u8>>>>);

impl Objects for SimObjects {
    fn put(&self, name: &Hash, bytes: &[u8]) -> Result<(), ObjectError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(*name, bytes.to_vec());
        Ok(())
    }

    fn get(&self, name: &Hash) -> Result<Option<Vec<u8>>, ObjectError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned())
    }

    fn names(&self, visit: &mut dyn FnMut(Hash)) -> Result<(), ObjectError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().for_each(|name| visit(*name));
        Ok(())
    }
}
