//! What may be told of keys: for `waag keys list` and for the records of erasures. Never a secret (`KEYS-5`).

use std::fmt;

use waag_model::ids::{KeyId, Tag};
use waag_model::time::{UtcDay, UtcNanos};

use crate::error::KeysError;
use crate::keyring::Keyring;
use crate::records::{DataKeyRecord, decode_tombstone};
use crate::state::Table;

/// What a key in the state is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Sealing parts of entries.
    Data,
    /// Making the ordering tags of one person.
    Tags,
}

/// The time a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// One day (UTC), where there is no person.
    Day(UtcDay),
    /// One calendar year (UTC), for persons.
    Year(i32),
    /// As long as the person has keys: tag keys.
    Life,
}

/// Why a key was destroyed. A closed list, so that a tombstone can hold nothing of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The person was erased (GDPR art. 17).
    Erased,
    /// The retention of its class is over.
    Expired,
    /// It was not destroyed but is elsewhere: this store is a copy that was made without it.
    Withheld,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data => "data",
            Self::Tags => "tags",
        })
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(day) => day.fmt(f),
            Self::Year(year) => write!(f, "{year:04}"),
            Self::Life => f.write_str("life"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Erased => "erased",
            Self::Expired => "expired",
            Self::Withheld => "withheld",
        })
    }
}

/// What may be told of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its id.
    pub id: KeyId,
    /// What it is for.
    pub purpose: Purpose,
    /// The retention class; empty for tag keys.
    pub class: String,
    /// The time it is for.
    pub period: Period,
    /// When it was made.
    pub created: UtcNanos,
    /// Whether it is a person's; which person is sealed.
    pub is_persons: bool,
    /// The version of the tenant key that wraps it.
    pub tenant_key_version: u32,
}

/// What is left of a destroyed key; nothing of its person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The key's id.
    pub id: KeyId,
    /// What it was for.
    pub purpose: Purpose,
    /// Its retention class; empty for tag keys.
    pub class: String,
    /// The time it was for.
    pub period: Period,
    /// When it was destroyed.
    pub destroyed: UtcNanos,
    /// Why.
    pub reason: Reason,
}

impl Keyring {
    /// Durable keys in the order of their ids, from the first above `after`; an empty answer is the end.
    ///
    /// # Errors
    /// The state's; [`KeysError::Unreadable`].
    pub fn list(&self, after: Option<KeyId>, limit: usize) -> Result<Vec<KeyInfo>, KeysError> {
        let after = after.as_ref().map(|id| id.0.as_slice());
        let records = self.means.state.scan(Table::DataKey, after, limit)?;
        let info = |record: &crate::state::Record| {
            let key = DataKeyRecord::decode(&record.key, &record.value)?;
            Ok(key.facts.info(&key.wrapped))
        };
        records.iter().map(info).collect()
    }

    /// Destroyed keys in the order of their ids, from the first above `after`; an empty answer is the end.
    ///
    /// # Errors
    /// The state's; [`KeysError::Unreadable`].
    pub fn tombstones(&self, after: Option<KeyId>, limit: usize) -> Result<Vec<Tombstone>, KeysError> {
        let after = after.as_ref().map(|id| id.0.as_slice());
        let records = self.means.state.scan(Table::Tombstone, after, limit)?;
        records.iter().map(|record| decode_tombstone(&record.key, &record.value)).collect()
    }

    /// A person's durable keys, by the person's tag: those that seal, in the order of class and period, and the tag key.
    ///
    /// # Errors
    /// The state's; [`KeysError::Unreadable`], [`KeysError::Dangling`].
    pub fn keys_of(&self, person: Tag) -> Result<Vec<KeyInfo>, KeysError> {
        let entries = self.entries_of(person)?;
        Ok(entries.into_iter().flat_map(crate::destroy::Entry::infos).collect())
    }

    /// What is left of one key, where it was destroyed.
    ///
    /// # Errors
    /// As [`Keyring::tombstones`].
    pub fn tombstone(&self, id: KeyId) -> Result<Option<Tombstone>, KeysError> {
        let record = self.means.state.get(Table::Tombstone, &id.0)?;
        record.map(|record| decode_tombstone(&record.key, &record.value)).transpose()
    }
}
