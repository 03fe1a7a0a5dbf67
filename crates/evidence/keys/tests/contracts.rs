//! The reference drivers in memory keep the contracts that every driver keeps.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;

use waag_keys::conformance::{self, Damage, StateHarness, VaultHarness};
use waag_keys::memory::{MemoryState, MemoryVault, Model};
use waag_keys::state::{State, StateError, Sum, Table};
use waag_keys::vault::{KeyVault, VaultError};
use waag_stdx::entropy::SystemEntropy;
use zeroize::Zeroizing;

struct States(MemoryState);

impl StateHarness for States {
    fn open(&self) -> Result<Arc<dyn State>, StateError> {
        Ok(Arc::new(self.0.clone()))
    }

    fn reset(&self) -> Result<(), StateError> {
        *self.0.model() = Model::default();
        Ok(())
    }

    fn damage(&self, table: Table, key: &[u8], damage: Damage<'_>) -> Result<(), StateError> {
        let place = (table.code(), key.to_vec());
        let mut model = self.0.model();
        match damage {
            Damage::Value(value) => model.records.get_mut(&place).unwrap().0 = value.to_vec(),
            Damage::ValueAndSum(value) | Damage::Add(value) => {
                model.records.insert(place, (value.to_vec(), Sum::of(table.code(), key, value)));
            }
            Damage::Remove => drop(model.records.remove(&place)),
            Damage::Generation => model.head.generation.0 -= 1,
        }
        Ok(())
    }
}

struct Shared(Arc<MemoryVault>);

impl KeyVault for Shared {
    fn name(&self) -> String {
        self.0.name()
    }

    fn wrap(&self, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, VaultError> {
        self.0.wrap(context, secret)
    }

    fn unwrap(&self, context: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        self.0.unwrap(context, wrapped)
    }
}

struct Vaults(Arc<MemoryVault>);

impl VaultHarness for Vaults {
    fn open(&self) -> Result<Box<dyn KeyVault>, VaultError> {
        Ok(Box::new(Shared(Arc::clone(&self.0))))
    }

    fn other(&self) -> Result<Box<dyn KeyVault>, VaultError> {
        Ok(Box::new(MemoryVault::new(Arc::new(SystemEntropy::new()))?))
    }
}

#[test]
fn the_state_in_memory_keeps_the_contract() {
    conformance::state(&States(MemoryState::new())).unwrap();
}

#[test]
fn the_vault_in_memory_keeps_the_contract() {
    let vault = MemoryVault::new(Arc::new(SystemEntropy::new())).unwrap();
    conformance::vault(&Vaults(Arc::new(vault))).unwrap();
}

/// The suite can fail: a state that forgets its expectations, one that loses a record, one that checks nothing.
#[test]
fn the_suite_finds_drivers_that_do_not_keep_the_contract() {
    use waag_keys::state::{Change, Check, Expect, Extent, Generation, Record};

    #[derive(Clone, Copy)]
    enum Defect {
        NoExpectations,
        LosesTheLastChange,
        NoChecks,
        UnverifiedReads,
    }
    struct Defective(MemoryState, Defect);
    impl State for Defective {
        fn get(&self, table: Table, key: &[u8]) -> Result<Option<Record>, StateError> {
            match (self.1, self.0.get(table, key)) {
                (Defect::UnverifiedReads, Err(StateError::Damaged(_))) => {
                    let model = self.0.model();
                    let (value, sum) = model.records[&(table.code(), key.to_vec())].clone();
                    Ok(Some(Record { key: key.to_vec(), value, sum }))
                }
                (_, answer) => answer,
            }
        }
        fn scan(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<Record>, StateError> {
            self.0.scan(table, after, limit)
        }
        fn commit(&self, changes: &[Change<'_>]) -> Result<Generation, StateError> {
            match self.1 {
                Defect::NoExpectations => {
                    let any: Vec<_> = changes.iter().map(|c| Change { expect: Expect::Any, ..*c }).collect();
                    self.0.commit(&any)
                }
                Defect::LosesTheLastChange => self.0.commit(&changes[..changes.len().saturating_sub(1)]),
                Defect::NoChecks | Defect::UnverifiedReads => self.0.commit(changes),
            }
        }
        fn check(&self, extent: Extent) -> Result<Check, StateError> {
            let mut check = self.0.check(extent)?;
            if matches!(self.1, Defect::NoChecks) {
                check.faults.clear();
            }
            Ok(check)
        }
        fn forget(&self) -> Result<(), StateError> {
            self.0.forget()
        }
    }
    struct Harness(States, Defect);
    impl StateHarness for Harness {
        fn open(&self) -> Result<Arc<dyn State>, StateError> {
            Ok(Arc::new(Defective(self.0.0.clone(), self.1)))
        }
        fn reset(&self) -> Result<(), StateError> {
            self.0.reset()
        }
        fn damage(&self, table: Table, key: &[u8], damage: Damage<'_>) -> Result<(), StateError> {
            self.0.damage(table, key, damage)
        }
    }
    for defect in
        [Defect::NoExpectations, Defect::LosesTheLastChange, Defect::NoChecks, Defect::UnverifiedReads]
    {
        conformance::state(&Harness(States(MemoryState::new()), defect)).unwrap_err();
    }
}
