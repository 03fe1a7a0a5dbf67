//! The simulated state: the reference in memory, with commits that fail, fail although they were stored, or lie.
//!
//! A commit is atomic and durable when it returns, as the contract says; what a crash can do to it is to leave it whole
//! or absent, which the two kinds of failure stand for. Not here: SQLite, which has a fault run of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use waag_keys::memory::{MemoryState, Model};
use waag_keys::state::{Change, Check, Extent, Generation, Record, State, StateError, Table};

/// What happens to the next commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateFault {
    /// It fails and changes nothing.
    Failed,
    /// It fails although everything was stored.
    FailedButStored,
}

#[derive(Debug, Default)]
struct Plan {
    next: Option<StateFault>,
    /// Planted: every opening finds this again, whatever was committed since.
    kept: Option<Model>,
}

/// A store that handles are opened on.
#[derive(Clone, Debug, Default)]
pub struct StateStore {
    records: MemoryState,
    plan: Arc<Mutex<Plan>>,
}

impl StateStore {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the store, as a process does that has just started.
    #[must_use]
    pub fn open(&self) -> Arc<dyn State> {
        let mut plan = self.plan();
        if let Some(kept) = &plan.kept {
            *self.records.model() = kept.clone();
        }
        plan.next = None;
        Arc::new(Handle { store: self.clone(), poisoned: Mutex::new(false) })
    }

    /// Strikes the next commit.
    pub fn fault(&self, fault: StateFault) {
        self.plan().next = Some(fault);
    }

    /// Plants a defect: from now on, commits are lost at the next opening.
    pub fn make_forgetful(&self) {
        let kept = self.snapshot();
        self.plan().kept = Some(kept);
    }

    /// The records as they are.
    #[must_use]
    pub fn snapshot(&self) -> Model {
        self.records.model().clone()
    }

    /// Takes the store back.
    pub fn restore(&self, snapshot: Model) {
        *self.records.model() = snapshot;
    }

    /// The records, to damage them.
    pub fn model(&self) -> MutexGuard<'_, Model> {
        self.records.model()
    }
}

struct Handle {
    store: StateStore,
    poisoned: Mutex<bool>,
}

impl State for Handle {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Record>, StateError> {
        self.store.records.get(table, key)
    }

    fn scan(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<Record>, StateError> {
        self.store.records.scan(table, after, limit)
    }

    fn commit(&self, changes: &[Change<'_>]) -> Result<Generation, StateError> {
        let mut poisoned = self.poisoned.lock().unwrap_or_else(PoisonError::into_inner);
        if *poisoned {
            return Err(StateError::Poisoned);
        }
        let fault = self.store.plan().next.take();
        if fault == Some(StateFault::Failed) {
            *poisoned = true;
            return Err(StateError::Environment("commit", "simulated failure".to_owned()));
        }
        let generation = self.store.records.commit(changes)?;
        if fault == Some(StateFault::FailedButStored) {
            *poisoned = true;
            return Err(StateError::Environment("commit", "simulated failure after storing".to_owned()));
        }
        Ok(generation)
    }

    fn check(&self, extent: Extent) -> Result<Check, StateError> {
        self.store.records.check(extent)
    }

    fn forget(&self) -> Result<(), StateError> {
        self.store.records.forget()
    }
}

#[cfg(test)]
mod tests {
    use waag_keys::conformance::{Damage, StateHarness, state};

    use super::*;

    struct Harness(StateStore);

    impl StateHarness for Harness {
        fn open(&self) -> Result<Arc<dyn State>, StateError> {
            Ok(self.0.open())
        }

        fn reset(&self) -> Result<(), StateError> {
            self.0.restore(Model::default());
            Ok(())
        }

        fn damage(&self, table: Table, key: &[u8], damage: Damage<'_>) -> Result<(), StateError> {
            let place = (table.code(), key.to_vec());
            let mut model = self.0.model();
            match damage {
                Damage::ValueAndSum(value) => {
                    let sum = waag_keys::state::Sum::of(place.0, &place.1, value);
                    model.records.insert(place, (value.to_vec(), sum));
                }
                Damage::Generation => model.head.generation.0 -= 1,
                Damage::Value(value) => {
                    if let Some(record) = model.records.get_mut(&place) {
                        record.0 = value.to_vec();
                    }
                }
                Damage::Remove => drop(model.records.remove(&place)),
                Damage::Add(value) => {
                    let sum = waag_keys::state::Sum::of(place.0, &place.1, value);
                    model.records.insert(place, (value.to_vec(), sum));
                }
            }
            Ok(())
        }
    }

    #[test]
    fn passes_the_conformance_suite() {
        state(&Harness(StateStore::default())).unwrap();
    }

    #[test]
    fn a_failed_commit_poisons_and_reopening_tells() {
        for (fault, stored) in [(StateFault::Failed, false), (StateFault::FailedButStored, true)] {
            let store = StateStore::default();
            let handle = store.open();
            let change = [Change {
                table: Table::Meta,
                key: b"k",
                expect: waag_keys::state::Expect::Any,
                value: Some(b"v"),
            }];
            store.fault(fault);
            assert!(handle.commit(&change).is_err());
            assert_eq!(handle.commit(&change), Err(StateError::Poisoned));
            assert_eq!(store.open().get(Table::Meta, b"k").unwrap().is_some(), stored);
        }
    }
}
