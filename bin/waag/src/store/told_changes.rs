//! Changes of one small record of the state, each told by an event: API keys, usage plans, the node's own rate, the invoices'
//! rules, the restriction of a person's data.
//!
//! A change goes: intent durable → change durable → event → intent gone. A crash after any step leaves the intent, and the
//! next opening to write looks whether the record is another than before: if it is, the change was done and is recorded; if
//! it is not, nothing was done, and the intent goes. Nobody was answered either way.
//! One change goes at a time, and what was left by one of the same record before is settled first, so that what is looked at
//! is nobody else's. What was left by others is settled too where that can be done: a key can be withdrawn while the writer
//! stands still.
//!
//! An intent is `[1, id (16), event's type, event as a common part has it (bytes), record's name (bytes), SHA-256 of the record
//! before or null]` under `told-change/<id>` (`begun`). The name of a person's restriction is `restriction`, a NUL, and the
//! person's tag: no record of the door has a NUL in its name.
//! Not here: what is changed (`node/api_keys`, `node/plans`, `node/rules`), changes of the ledger's own keys (`key_changes`).
//!
//! - `TOLD-1`: no such record is changed without an event or an intent that leads to one, and no event tells of a change that
//!   was not done.

use aws_lc_rs::digest::{SHA256, digest};
use waag_entry::cbor::{Reader, write};
use waag_entry::error::EntryError;
use waag_entry::plain::{Common, Inline, read_common, write_common};
use waag_keys::error::KeysError;
use waag_keys::keyring::Keyring;
use waag_model::ids::{Actor, Tag};
use waag_model::value::Value;

use super::begun::{self, Id};
use super::error::StoreError;
use super::own::{Members, own_event};
use super::writer::OpenedStore;

const VERSION: u64 = 1;
const PREFIX: &str = "told-change/";
/// What the name of a person's restriction begins with.
const RESTRICTION: &[u8] = b"restriction\0";
/// What an intent has beside the data of its event, at most, in bytes: with so much less data it fits a record of the state.
pub(crate) const BESIDE_BYTES_MAX: usize = 2_048;

/// What is changed, who asked, and how the ledger tells it.
pub(crate) struct Change<'a> {
    /// Who asked.
    pub(crate) by: &'a Actor,
    /// The event's type.
    pub(crate) kind: &'static str,
    /// What the event says.
    pub(crate) data: Members<'static>,
    /// What is another one behind the change; nothing else is.
    pub(crate) record: Record,
}

/// A small record of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// The door's, of this name.
    Door(Vec<u8>),
    /// The restriction of this person's data that was asked for.
    Restriction(Tag),
}

impl Record {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Door(name) => name.clone(),
            Self::Restriction(person) => [RESTRICTION, &person.0].concat(),
        }
    }

    fn decode(name: &[u8]) -> Self {
        let person = name.strip_prefix(RESTRICTION).and_then(|tag| tag.try_into().ok());
        person.map_or_else(|| Self::Door(name.to_vec()), |tag| Self::Restriction(Tag(tag)))
    }

    /// Its bytes; none where there is none.
    fn read(&self, keyring: &Keyring) -> Result<Option<Vec<u8>>, KeysError> {
        match self {
            Self::Door(name) => keyring.door_record(name),
            Self::Restriction(person) => {
                Ok(keyring.asked_restriction(*person)?.map(|restriction| restriction.encode()))
            }
        }
    }
}

/// A change that is begun and not recorded yet.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Intent {
    id: Id,
    kind: String,
    told: Vec<u8>,
    record: Record,
    before: Option<[u8; 32]>,
}

impl Intent {
    fn new(keyring: &Keyring, change: Change<'_>) -> Result<Self, StoreError> {
        let id = begun::new_id()?;
        let Change { by, kind, data, record } = change;
        let event = own_event(kind, Some(hex::encode(id)), data).map_err(KeysError::from)?;
        let mut told = Vec::new();
        write_common(&mut told, &Common::from_event(event, by));
        let before = seen(keyring, &record)?;
        Ok(Self { id, kind: kind.to_owned(), told, record, before })
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write::array(&mut out, 6);
        write::uint(&mut out, VERSION);
        write::bytes(&mut out, &self.id);
        write::text(&mut out, &self.kind);
        write::bytes(&mut out, &self.told);
        write::bytes(&mut out, &self.record.encode());
        match &self.before {
            Some(sum) => write::bytes(&mut out, sum),
            None => write::null(&mut out),
        }
        out
    }

    fn decode(value: &[u8]) -> Result<Self, KeysError> {
        let read = || -> Result<Self, EntryError> {
            let mut reader = Reader::new(value);
            reader.array_of(6, "a change that is told")?;
            if reader.uint("the version")? != VERSION {
                return Err(EntryError::Form { offset: reader.offset(), expected: "version 1" });
            }
            let id = reader.fixed("an id")?;
            let kind = reader.text("an event's type")?.to_owned();
            let told = reader.bytes("an event")?.to_vec();
            let record = Record::decode(reader.bytes("a record's name")?);
            let before = if reader.null() { None } else { Some(reader.fixed("a record's checksum")?) };
            reader.end()?;
            Ok(Self { id, kind, told, record, before })
        };
        read().map_err(|_| unreadable())
    }

    fn keep(&self, keyring: &Keyring) -> Result<(), KeysError> {
        begun::keep(keyring, PREFIX, &self.id, &self.encode())
    }

    /// Records the event, once however often it is asked, and lets the intent go; answers where it stands.
    fn tell(&self, store: &OpenedStore) -> Result<u64, StoreError> {
        let Ok(Inline::Here(common)) = read_common(&self.told) else { return Err(unreadable().into()) };
        let Value::Text(by) = &common.actor else { return Err(unreadable().into()) };
        let by = Actor::new(by).map_err(|_| unreadable())?;
        let event = common.into_event(&self.kind).ok_or_else(unreadable)?;
        let position = store.record(&event, &by)?.0.position.0;
        begun::let_go(&store.keyring, PREFIX, &self.id)?;
        Ok(position)
    }

    /// Records it where it was done, and lets it go either way.
    fn settle(&self, store: &OpenedStore) -> Result<(), StoreError> {
        if seen(&store.keyring, &self.record)? == self.before {
            return Ok(begun::let_go(&store.keyring, PREFIX, &self.id)?);
        }
        self.tell(store).map(drop)
    }
}

fn unreadable() -> KeysError {
    KeysError::Unreadable("a change that is told")
}

/// The checksum of a record; none where there is none.
fn seen(keyring: &Keyring, record: &Record) -> Result<Option<[u8; 32]>, KeysError> {
    let sum = |record: Vec<u8>| digest(&SHA256, &record).as_ref().try_into().unwrap_or_default();
    Ok(record.read(keyring)?.map(sum))
}

fn pending(keyring: &Keyring) -> Result<Vec<Intent>, KeysError> {
    begun::under(keyring, PREFIX, Intent::decode)
}

fn settle_all(store: &OpenedStore) -> Result<usize, StoreError> {
    let pending = pending(&store.keyring)?;
    pending.iter().try_for_each(|intent| intent.settle(store))?;
    Ok(pending.len())
}

/// Carries out a change of one record and records it (`TOLD-1`). What `make` failed to do, and did all the same, is recorded
/// too.
///
/// # Errors
/// That of `make`; the store's: a change that was made then counts, and is recorded by the next opening.
pub(crate) fn carry_out<T, E: From<StoreError>>(
    store: &OpenedStore,
    change: Change<'_>,
    make: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    carry_out_at(store, change, make).map(|(made, _)| made)
}

/// The same, with the position of the event that tells of it.
///
/// # Errors
/// As [`carry_out`].
pub(crate) fn carry_out_at<T, E: From<StoreError>>(
    store: &OpenedStore,
    change: Change<'_>,
    make: impl FnOnce() -> Result<T, E>,
) -> Result<(T, u64), E> {
    let _alone = store.one_change();
    for left in pending(&store.keyring).map_err(StoreError::from)? {
        let settled = left.settle(store);
        if left.record == change.record {
            settled?;
        }
    }
    let intent = Intent::new(&store.keyring, change)?;
    intent.keep(&store.keyring).map_err(StoreError::from)?;
    match make() {
        Ok(made) => {
            let position = intent.tell(store)?;
            Ok((made, position))
        }
        Err(error) => {
            // What cannot be settled here either is left for the next opening.
            drop(intent.settle(store));
            Err(error)
        }
    }
}

/// Settles what a crash broke off; how many there were. Costs one look where there is nothing.
///
/// # Errors
/// [`StoreError`]; what could not be settled is left for the next call.
pub fn finish(store: &OpenedStore) -> Result<usize, StoreError> {
    let _alone = store.one_change();
    settle_all(store)
}

#[cfg(test)]
mod tests;
