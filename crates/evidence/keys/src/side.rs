//! Records that lie beside the keys, durable and under the guard's generation as they are, and hold no key.
//!
//! Place: what a node must remember and cannot derive: what it witnessed and published, which packs it handed out, whose
//! data is restricted, what upkeep was done. Doors' records are `door`, the router's are its own.
//!
//! - `SIDE-1`: these calls reach the tables of [`Side`] only.

use waag_model::ids::Tag;

use crate::error::KeysError;
use crate::keyring::Keyring;
use crate::state::{Change, Expect, Record, SCAN_RECORDS_MAX, Table, check_expectation};

/// A table of such records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// [`Table::Witness`].
    Witness,
    /// [`Table::Publication`].
    Publication,
    /// [`Table::Pack`].
    Pack,
    /// [`Table::Restriction`].
    Restriction,
    /// [`Table::Upkeep`].
    Upkeep,
}

impl Side {
    fn table(self) -> Table {
        match self {
            Self::Witness => Table::Witness,
            Self::Publication => Table::Publication,
            Self::Pack => Table::Pack,
            Self::Restriction => Table::Restriction,
            Self::Upkeep => Table::Upkeep,
        }
    }
}

impl Keyring {
    /// One record.
    ///
    /// # Errors
    /// [`KeysError::State`].
    pub fn side_record(&self, side: Side, key: &[u8]) -> Result<Option<Record>, KeysError> {
        Ok(self.means.state.get(side.table(), key)?)
    }

    /// At most so many records behind a key, in bytewise order of their keys; fewer only at the table's end.
    ///
    /// # Errors
    /// [`KeysError::State`].
    pub fn side_records(
        &self,
        side: Side,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Record>, KeysError> {
        let mut found: Vec<Record> = Vec::new();
        while found.len() < limit {
            let from = found.last().map_or(after, |last| Some(last.key.as_slice()));
            let wanted = limit.saturating_sub(found.len()).min(SCAN_RECORDS_MAX);
            let records = self.means.state.scan(side.table(), from, wanted)?;
            if records.is_empty() {
                break;
            }
            found.extend(records);
        }
        Ok(found)
    }

    /// Hands over each record whose key begins so and goes on, in bytewise order of their keys; few are in memory at a time.
    ///
    /// # Errors
    /// [`KeysError::State`]; what `take` answers.
    pub fn each_side_record(
        &self,
        side: Side,
        prefix: &[u8],
        mut take: impl FnMut(Record) -> Result<(), KeysError>,
    ) -> Result<(), KeysError> {
        let mut after = prefix.to_vec();
        loop {
            let records = self.means.state.scan(side.table(), Some(&after), SCAN_RECORDS_MAX)?;
            let Some(last) = records.last() else { return Ok(()) };
            after.clone_from(&last.key);
            for record in records {
                if !record.key.starts_with(prefix) {
                    return Ok(());
                }
                take(record)?;
            }
        }
    }

    /// Puts a record in the place of what `expect` says is there, or removes it; durable when this returns.
    ///
    /// # Errors
    /// [`KeysError::State`], also where something else is there; [`KeysError::Poisoned`].
    pub fn keep_side_record(
        &self,
        side: Side,
        key: &[u8],
        expect: Expect,
        value: Option<&[u8]>,
    ) -> Result<(), KeysError> {
        let commit = self.committing();
        let change = Change { table: side.table(), key, expect, value };
        // Asked before, since a refused commit would end this keyring's writing; nobody else commits meanwhile.
        let there = self.means.state.get(side.table(), key)?.map(|record| record.sum);
        check_expectation(&change, there)?;
        if value.is_none() && there.is_none() {
            return Ok(());
        }
        self.commit_changes(&[change], &commit).map(|_| ())
    }

    /// The tag by which the state knows a person: a keyed hash of their id, the same for as long as the tenant lives.
    #[must_use]
    pub fn person_tag(&self, person: &str) -> Tag {
        self.lookup_tag(person)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use waag_model::ids::TenantName;
    use waag_stdx::clock::SystemClock;
    use waag_stdx::entropy::SystemEntropy;

    use super::*;
    use crate::create::create_tenant;
    use crate::keyring::{Limits, Means};
    use crate::memory::{MemoryState, MemoryVault};
    use crate::state::Sum;

    /// A keyring of a fresh tenant in memory.
    pub(crate) fn keyring() -> Keyring {
        let entropy = Arc::new(SystemEntropy::new());
        let means = Means {
            state: Arc::new(MemoryState::new()),
            vault: Arc::new(MemoryVault::new(entropy.clone()).unwrap()),
            entropy,
            clock: Arc::new(SystemClock::new()),
        };
        let tenant = TenantName::new("bank").unwrap();
        create_tenant(&means, &tenant).unwrap();
        Keyring::open(means, &tenant, Limits::default()).unwrap()
    }

    #[test]
    fn a_record_is_kept_replaced_by_compare_and_removed() {
        let keyring = keyring();
        keyring.keep_side_record(Side::Pack, b"a", Expect::Absent, Some(b"1")).unwrap();
        assert!(keyring.keep_side_record(Side::Pack, b"a", Expect::Absent, Some(b"2")).is_err());
        let sum = Sum::of(Table::Pack.code(), b"a", b"1");
        assert_eq!(keyring.side_record(Side::Pack, b"a").unwrap().unwrap().sum, sum);
        keyring.keep_side_record(Side::Pack, b"a", Expect::Equals(sum), Some(b"2")).unwrap();
        keyring.keep_side_record(Side::Pack, b"b", Expect::Any, Some(b"3")).unwrap();
        let all = |after| keyring.side_records(Side::Pack, after, 10).unwrap();
        assert_eq!(all(None).into_iter().map(|record| record.value).collect::<Vec<_>>(), [b"2", b"3"]);
        assert_eq!(all(Some(b"a")).len(), 1);
        assert_eq!(keyring.side_records(Side::Witness, None, 10).unwrap().len(), 0);
        keyring.keep_side_record(Side::Pack, b"a", Expect::Any, None).unwrap();
        keyring.keep_side_record(Side::Pack, b"a", Expect::Any, None).unwrap();
        assert_eq!(keyring.side_record(Side::Pack, b"a").unwrap(), None);
    }

    #[test]
    fn each_record_under_a_prefix_is_handed_over_once_and_none_beside_it() {
        let keyring = keyring();
        let all = SCAN_RECORDS_MAX + 3;
        let under: Vec<Vec<u8>> = (0..all).map(|number| format!("a/{number:08}").into_bytes()).collect();
        for key in under.iter().map(Vec::as_slice).chain([&b"a"[..], b"a.", b"a/", b"a0", b"b/1"]) {
            keyring.keep_side_record(Side::Upkeep, key, Expect::Any, Some(b"1")).unwrap();
        }
        let mut found = Vec::new();
        let mut take = |record: Record| {
            found.push(record.key);
            Ok(())
        };
        keyring.each_side_record(Side::Upkeep, b"a/", &mut take).unwrap();
        assert_eq!(found, under);
        let refused = keyring.each_side_record(Side::Upkeep, b"a/", |_| Err(KeysError::Entropy));
        assert_eq!(refused, Err(KeysError::Entropy));
    }
}
