//! The two contracts in plain memory: the reference that other drivers are measured against.
//!
//! Place: tests, and the simulator, which adds faults around it. Nothing here survives the process, and a vault key in
//! memory protects nothing: the binary never names this module.
//! Not here: durable drivers (`drivers/sqlite`, `drivers/files`).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use waag_stdx::entropy::Entropy;
use zeroize::Zeroizing;

use crate::secret::Secret;
use crate::state::{
    Change, Check, Extent, Fault, Generation, Head, Place, Record, SCAN_BYTES_MAX, SCAN_RECORDS_MAX, State,
    StateError, Sum, Table, check_expectation, check_key, check_limits,
};
use crate::vault::{KeyVault, VaultError};
use crate::wrap;

/// What a state holds: records by (table's code, key), and the head. Public, so that a test can damage it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// Value and checksum by table's code and key.
    pub records: BTreeMap<(u8, Vec<u8>), (Vec<u8>, Sum)>,
    /// The head.
    pub head: Head,
    /// The head's checksum, none before the first commit.
    pub head_sum: Option<Sum>,
}

/// A state in memory. Clones are handles to the same records: cloning is reopening.
#[derive(Clone, Default)]
pub struct MemoryState {
    model: Arc<Mutex<Model>>,
}

impl MemoryState {
    /// An empty state.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The records, to look at, to keep or to damage.
    pub fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryState").field("head", &self.model().head).finish_non_exhaustive()
    }
}

impl Model {
    /// Makes all changes, or none.
    ///
    /// # Errors
    /// As [`State::commit`]; nothing is changed then.
    pub fn apply(&mut self, changes: &[Change<'_>]) -> Result<Generation, StateError> {
        check_limits(changes)?;
        // No place comes twice, so that all expectations can be looked at before anything changes.
        for change in changes {
            let place = (change.table.code(), change.key.to_vec());
            check_expectation(change, self.records.get(&place).map(|(_, sum)| *sum))?;
        }
        for change in changes {
            let place = (change.table.code(), change.key.to_vec());
            let new =
                change.value.map(|value| (value.to_vec(), Sum::of(change.table.code(), change.key, value)));
            let new_sum = new.as_ref().map(|(_, sum)| *sum);
            let old = match new {
                Some(record) => self.records.insert(place, record),
                None => self.records.remove(&place),
            };
            self.head = self.head.after(old.map(|(_, sum)| sum), new_sum);
        }
        self.head.generation.0 = self.head.generation.0.saturating_add(1);
        self.head_sum = Some(self.head.sum());
        Ok(self.head.generation)
    }

    fn record(table: u8, key: &[u8], value: &[u8], sum: Sum) -> Result<Record, StateError> {
        if Sum::of(table, key, value) == sum {
            Ok(Record { key: key.to_vec(), value: value.to_vec(), sum })
        } else {
            Err(StateError::Damaged(Fault {
                place: Place::Record { table, key: key.to_vec() },
                reason: "the checksum does not match".to_owned(),
            }))
        }
    }
}

impl State for MemoryState {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Record>, StateError> {
        check_key(key)?;
        let model = self.model();
        let found = model.records.get(&(table.code(), key.to_vec()));
        found.map(|(value, sum)| Model::record(table.code(), key, value, *sum)).transpose()
    }

    fn scan(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<Record>, StateError> {
        let model = self.model();
        let first = (table.code(), after.unwrap_or_default().to_vec());
        let mut found = Vec::new();
        let mut bytes = 0;
        for ((code, key), (value, sum)) in model.records.range(first..) {
            if *code != table.code() || found.len() >= limit.min(SCAN_RECORDS_MAX) || bytes >= SCAN_BYTES_MAX
            {
                break;
            }
            if Some(key.as_slice()) == after {
                continue;
            }
            bytes += key.len() + value.len();
            found.push(Model::record(*code, key, value, *sum)?);
        }
        Ok(found)
    }

    fn commit(&self, changes: &[Change<'_>]) -> Result<Generation, StateError> {
        self.model().apply(changes)
    }

    fn check(&self, extent: Extent) -> Result<Check, StateError> {
        let model = self.model();
        let mut check = Check::new(model.head);
        if model.head_sum != Some(model.head.sum()) && model.head != Head::default() {
            check.found(Place::Head, "the checksum does not match".to_owned());
        }
        if extent == Extent::Head {
            return Ok(check);
        }
        let mut sums = Head::default();
        for ((table, key), (value, sum)) in &model.records {
            check.records += 1;
            sums = sums.after(None, Some(*sum));
            if let Err(StateError::Damaged(fault)) = Model::record(*table, key, value, *sum) {
                check.found(fault.place, fault.reason);
            }
            if Table::of_code(*table).is_none() {
                check.found(Place::Record { table: *table, key: key.clone() }, "no such table".to_owned());
            }
        }
        if sums.count != model.head.count {
            check.found(Place::Head, format!("{} records, not {}", sums.count, model.head.count));
        }
        if sums.digest != model.head.digest {
            check.found(Place::Head, "the digest over the records does not match".to_owned());
        }
        Ok(check)
    }

    fn forget(&self) -> Result<(), StateError> {
        Ok(())
    }
}

/// A vault whose key is drawn at its making and lives in memory.
pub struct MemoryVault {
    key: Secret,
    entropy: Arc<dyn Entropy>,
}

impl MemoryVault {
    /// A vault with a fresh key.
    ///
    /// # Errors
    /// [`VaultError::Entropy`].
    pub fn new(entropy: Arc<dyn Entropy>) -> Result<Self, VaultError> {
        let key = Secret::draw(entropy.as_ref()).map_err(|_| VaultError::Entropy)?;
        Ok(Self { key, entropy })
    }
}

impl fmt::Debug for MemoryVault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryVault")
    }
}

impl KeyVault for MemoryVault {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn wrap(&self, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, VaultError> {
        crate::vault::check_limits(context, secret)?;
        wrap::seal(self.key.bytes(), self.entropy.as_ref(), context, secret).map_err(|_| VaultError::Entropy)
    }

    fn unwrap(&self, context: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        wrap::open(self.key.bytes(), context, wrapped).ok_or(VaultError::Refused)
    }
}
