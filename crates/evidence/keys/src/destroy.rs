//! Destroying keys, so that what they sealed is gone while every proof over it still holds.
//!
//! Place: a barrier at the writer. The engine calls this when no sealing is in flight: a handle given out before lives
//! on until it is dropped, and an entry sealed with it afterwards could never be opened again.
//! Not here: whether a law forbids it (the caller's `may`), the event that records it (the engine).
//!
//! Order: pending keys durable → one commit that removes keys and index and writes tombstones → opened keys dropped →
//! the state forgets the bytes. A crash after the commit leaves the last step; every call here, also one that finds
//! nothing left to destroy, does it again, and so does a driver at opening.
//!
//! A person's tag key goes with the last of their data keys: while one is retained, so is the order of its entries.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use waag_model::ids::{KeyId, Tag};

use crate::error::KeysError;
use crate::keyring::Keyring;
use crate::list::{KeyInfo, Purpose, Reason, Tombstone};
use crate::records::{DataKeyRecord, decode_index, encode_index, encode_tombstone};
use crate::state::{COMMIT_CHANGES_MAX, Change, Expect, Generation, Record, SCAN_RECORDS_MAX, Sum, Table};

/// Most changes of one commit of a destruction; a person with more keys takes several.
const CHANGES_MAX: usize = COMMIT_CHANGES_MAX / 4;

/// What a destruction did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destruction {
    /// The tombstones of the keys destroyed by this call.
    pub destroyed: Vec<Tombstone>,
    /// The keys that were not allowed to go.
    pub kept: Vec<KeyInfo>,
    /// Ids that were asked for and are not there: destroyed before, or never made.
    pub absent: Vec<KeyId>,
    /// The state's generation after it; none where nothing was to be changed.
    pub generation: Option<Generation>,
}

/// One change that owns its bytes.
struct Row {
    table: Table,
    key: Vec<u8>,
    expect: Expect,
    value: Option<Vec<u8>>,
}

/// An index record with the keys it names.
pub(crate) struct Entry {
    place: (Table, Vec<u8>),
    sum: Sum,
    keys: Vec<(DataKeyRecord, Sum)>,
}

impl Entry {
    /// What may be told of its keys, the current one first.
    pub(crate) fn infos(self) -> Vec<KeyInfo> {
        self.keys.iter().map(|(key, _)| key.facts.info(&key.wrapped)).collect()
    }
}

impl Keyring {
    /// Destroys every key of a person for which `may` holds, and their tag key with the last data key.
    ///
    /// Idempotent. `may` sees one current key at a time and decides for all keys of its class and period.
    ///
    /// # Errors
    /// The state's. After [`crate::state::StateError::Held`] the keys are destroyed but bytes may remain: call again.
    pub fn destroy_person(
        &self,
        person: &str,
        may: &dyn Fn(&KeyInfo) -> bool,
    ) -> Result<Destruction, KeysError> {
        self.destroy_tagged(self.lookup_tag(person), may)
    }

    /// The same for a person known by tag alone, as what was begun before a crash knows them.
    ///
    /// # Errors
    /// As [`Keyring::destroy_person`].
    pub fn destroy_tagged(
        &self,
        person: Tag,
        may: &dyn Fn(&KeyInfo) -> bool,
    ) -> Result<Destruction, KeysError> {
        self.commit_pending(u64::MAX)?;
        let _gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        let mut done = Destruction::default();
        let mut rows = Vec::new();
        let mut is_all = true;
        let (tags, data): (Vec<Entry>, Vec<Entry>) = self
            .entries_of(person)?
            .into_iter()
            .partition(|entry| entry.keys.iter().any(|(key, _)| key.facts.purpose == Purpose::Tags));
        for entry in data {
            let infos: Vec<KeyInfo> =
                entry.keys.iter().map(|(key, _)| key.facts.info(&key.wrapped)).collect();
            if infos.first().is_some_and(may) {
                self.bury(entry, Reason::Erased, &mut rows, &mut done.destroyed);
            } else {
                is_all = false;
                done.kept.extend(infos);
            }
        }
        for entry in tags {
            if is_all {
                self.bury(entry, Reason::Erased, &mut rows, &mut done.destroyed);
            } else {
                done.kept.extend(entry.keys.iter().map(|(key, _)| key.facts.info(&key.wrapped)));
            }
        }
        self.finish(rows, &mut done)?;
        Ok(done)
    }

    /// Destroys keys whose retention is over, by id; a person's tag key goes with the last data key.
    ///
    /// Idempotent; each key is a commit of its own, so that a crash leaves a beginning of the list done.
    ///
    /// # Errors
    /// As [`Keyring::destroy_person`].
    pub fn destroy_expired(&self, ids: &[KeyId]) -> Result<Destruction, KeysError> {
        self.commit_pending(u64::MAX)?;
        let _gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        let mut done = Destruction::default();
        for id in ids {
            let Some(stored) = self.means.state.get(Table::DataKey, &id.0)? else {
                done.absent.push(*id);
                continue;
            };
            let record = DataKeyRecord::decode(&stored.key, &stored.value)?;
            let (person, is_tags) = (record.facts.person, record.facts.purpose == Purpose::Tags);
            let mut rows = Vec::new();
            self.bury_one(record, stored.sum, &mut rows, &mut done.destroyed)?;
            if let Some(tag) = person.filter(|_| !is_tags) {
                self.bury_lonely_tags(tag, *id, &mut rows, &mut done.destroyed)?;
            }
            self.commit_rows(&rows, &mut done)?;
        }
        self.finish(Vec::new(), &mut done)?;
        Ok(done)
    }

    /// Removes one key from its index entry and the state.
    fn bury_one(
        &self,
        record: DataKeyRecord,
        sum: Sum,
        rows: &mut Vec<Row>,
        destroyed: &mut Vec<Tombstone>,
    ) -> Result<(), KeysError> {
        let id = record.facts.id;
        let (table, key) = record.facts.index();
        if let Some(index) = self.means.state.get(table, &key)? {
            let rest: Vec<KeyId> =
                decode_index(&index.value)?.into_iter().filter(|other| *other != id).collect();
            let value = (!rest.is_empty()).then(|| encode_index(&rest));
            rows.push(Row { table, key, expect: Expect::Equals(index.sum), value });
        }
        self.bury_key(&record, sum, Reason::Expired, rows, destroyed);
        Ok(())
    }

    /// Buries a person's tag key where `last` is the last of their data keys.
    fn bury_lonely_tags(
        &self,
        person: Tag,
        last: KeyId,
        rows: &mut Vec<Row>,
        destroyed: &mut Vec<Tombstone>,
    ) -> Result<(), KeysError> {
        let entries = self.entries_of(person)?;
        let is_other =
            |(key, _): &(DataKeyRecord, Sum)| key.facts.purpose == Purpose::Data && key.facts.id != last;
        if entries.iter().any(|entry| entry.keys.iter().any(is_other)) {
            return Ok(());
        }
        let is_tags = |entry: &Entry| entry.keys.iter().any(|(key, _)| key.facts.purpose == Purpose::Tags);
        for entry in entries.into_iter().filter(is_tags) {
            self.bury(entry, Reason::Expired, rows, destroyed);
        }
        Ok(())
    }

    /// Everything that the index names under a person's lookup tag.
    pub(crate) fn entries_of(&self, person: Tag) -> Result<Vec<Entry>, KeysError> {
        let mut found = Vec::new();
        let mut after = person.0.to_vec();
        loop {
            let records = self.means.state.scan(Table::Person, Some(&after), SCAN_RECORDS_MAX)?;
            let Some(last) = records.last() else { return Ok(found) };
            after.clone_from(&last.key);
            for record in records {
                if !record.key.starts_with(&person.0) {
                    return Ok(found);
                }
                found.push(self.entry(record)?);
            }
        }
    }

    fn entry(&self, index: Record) -> Result<Entry, KeysError> {
        let mut keys = Vec::new();
        for id in decode_index(&index.value)? {
            let stored = self.means.state.get(Table::DataKey, &id.0)?.ok_or(KeysError::Dangling(id))?;
            keys.push((DataKeyRecord::decode(&stored.key, &stored.value)?, stored.sum));
        }
        Ok(Entry { place: (Table::Person, index.key), sum: index.sum, keys })
    }

    fn bury(&self, entry: Entry, reason: Reason, rows: &mut Vec<Row>, destroyed: &mut Vec<Tombstone>) {
        let (table, key) = entry.place;
        rows.push(Row { table, key, expect: Expect::Equals(entry.sum), value: None });
        for (record, sum) in &entry.keys {
            self.bury_key(record, *sum, reason, rows, destroyed);
        }
    }

    fn bury_key(
        &self,
        record: &DataKeyRecord,
        sum: Sum,
        reason: Reason,
        rows: &mut Vec<Row>,
        destroyed: &mut Vec<Tombstone>,
    ) {
        let facts = &record.facts;
        let tombstone = Tombstone {
            id: facts.id,
            purpose: facts.purpose,
            class: facts.class.clone(),
            period: facts.period,
            destroyed: self.means.clock.now(),
            reason,
        };
        let key = facts.id.0.to_vec();
        rows.push(Row { table: Table::DataKey, key: key.clone(), expect: Expect::Equals(sum), value: None });
        let value = Some(encode_tombstone(&tombstone));
        rows.push(Row { table: Table::Tombstone, key, expect: Expect::Absent, value });
        destroyed.push(tombstone);
    }

    /// Commits rows, an index entry and its keys never apart unless one entry alone is more than a commit may hold.
    fn commit_rows(&self, rows: &[Row], done: &mut Destruction) -> Result<(), KeysError> {
        let commit = self.committing();
        for part in rows.chunks(CHANGES_MAX) {
            let changes: Vec<Change<'_>> = part
                .iter()
                .map(|row| Change {
                    table: row.table,
                    key: &row.key,
                    expect: row.expect,
                    value: row.value.as_deref(),
                })
                .collect();
            done.generation = Some(self.commit_changes(&changes, &commit)?);
        }
        Ok(())
    }

    fn finish(&self, rows: Vec<Row>, done: &mut Destruction) -> Result<(), KeysError> {
        self.commit_rows(&rows, done)?;
        let gone: BTreeSet<KeyId> = done.destroyed.iter().map(|tombstone| tombstone.id).collect();
        self.purge(&|id| gone.contains(&id));
        self.means.state.forget()?;
        Ok(())
    }
}
