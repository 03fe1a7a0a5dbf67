//! What a tenant holds about one person (GDPR art. 15): every entry with a part of theirs, found by the keys that sealed it.
//!
//! Place: reads a ledger from its beginning to the guard, beside its writer too. Whoever was erased has no keys left by which
//! anything could be found, so that nothing is.
//! Not here: what may be shown of it (masks are the caller's), its record in the ledger (the command).

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;

use waag_engine::reader::{ReadFault, Reader};
use waag_entry::form::{Entry, Role};
use waag_entry::plain::{Fields, Inline, read_fields};
use waag_keys::keyring::Keyring;
use waag_log::contract::FrameView;
use waag_model::ids::{KeyId, Position, Tag};
use waag_model::time::UtcNanos;
use waag_model::value::Value;

use super::reason::Against;
use super::{SubjectsError, keys_of, tag_text, text};
use crate::store::error::StoreError;
use crate::store::own::Members;

/// The type of the event that records a report.
pub const REPORTED: &str = "waag.subject.reported";
/// Most keys of which it is remembered whether they are a restricted person's.
const REMEMBERED_MAX: usize = 65_536;

/// The data of the event that records a report.
#[must_use]
pub fn reported(person: Tag, reason: Option<&str>, revealed: bool) -> Members<'static> {
    vec![
        ("person", text(tag_text(person))),
        ("reason", reason.map_or(Value::Null, text)),
        ("revealed", Value::Bool(revealed)),
    ]
}

/// A person's part of one entry.
#[derive(Debug)]
pub struct About<'a> {
    /// The entry's position.
    pub position: Position,
    /// When it was accepted.
    pub accepted: UtcNanos,
    /// Its type.
    pub kind: &'a str,
    /// Its retention class.
    pub class: &'a str,
    /// The person's fields by path; a whole event at the path "".
    pub fields: Fields<'a>,
}

/// Hands every part that is a person's to `each`, in the order of the ledger; `progress` hears how far the reading is.
///
/// # Errors
/// [`StoreError`]; what `each` answers ends the reading.
pub fn entries<E: From<StoreError>>(
    reader: &Reader,
    person: Tag,
    progress: &mut dyn FnMut(u64),
    each: &mut dyn FnMut(About<'_>) -> Result<(), E>,
) -> Result<u64, E> {
    let keys: BTreeSet<KeyId> =
        keys_of(&reader.keyring, person).map_err(StoreError::from)?.into_iter().map(|key| key.id).collect();
    let (mut found, mut failed) = (0_u64, None);
    if keys.is_empty() {
        return Ok(0);
    }
    let mut look = |frame: FrameView<'_>| {
        for (position, bytes) in frame.entries() {
            match about(reader, &keys, position, bytes, each) {
                Ok(parts) => found = found.saturating_add(parts),
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
        }
        progress(frame.header().tree_size);
        ControlFlow::Continue(())
    };
    reader.log.read(Position(0), &mut look).map_err(|error| StoreError::from(ReadFault::Log(error)))?;
    failed.map_or(Ok(found), Err)
}

/// One entry; how many parts in it are the person's.
fn about<E: From<StoreError>>(
    reader: &Reader,
    keys: &BTreeSet<KeyId>,
    position: Position,
    bytes: &[u8],
    each: &mut dyn FnMut(About<'_>) -> Result<(), E>,
) -> Result<u64, E> {
    let form = |error| StoreError::from(ReadFault::Entry(error));
    let entry = Entry::read(bytes).map_err(form)?;
    if !entry.parts.iter().any(|part| keys.contains(&part.key_id)) {
        return Ok(0);
    }
    let read = reader.open(&entry).map_err(StoreError::from)?;
    let mut found = 0;
    for (index, part) in entry.parts.iter().enumerate() {
        if part.role != Role::Person || !keys.contains(&part.key_id) {
            continue;
        }
        // Erased while it was being read.
        let Some(plain) = read.opened.plain(index) else { continue };
        let Inline::Here(fields) = read_fields(plain).map_err(form)? else { continue };
        let (accepted, kind, class) = (entry.header.accepted, entry.header.kind, entry.header.retention);
        each(About { position, accepted, kind, class, fields })?;
        found += 1;
    }
    Ok(found)
}

/// Refuses where an entry between two positions has a part of a person whose data is restricted: to be asked before a reveal
/// of that span is recorded.
///
/// # Errors
/// [`waag_keys::error::KeysError::Restricted`]; reading.
pub fn refuse_restricted(reader: &Reader, from: Position, to: Position) -> Result<(), StoreError> {
    if from >= to || !any_restricted(&reader.keyring)? {
        return Ok(());
    }
    let mut fine = HashMap::new();
    each(reader, from, to, &mut |bytes| one(reader, bytes, &mut fine))
}

/// Refuses where the reason has the id of a person of an entry between two positions, as a reason that cannot be recorded.
///
/// # Errors
/// [`SubjectsError::Reason`]; reading.
pub fn refuse_named(
    reader: &Reader,
    from: Position,
    to: Position,
    reason: &str,
) -> Result<(), SubjectsError> {
    let mut against = Against::new(&reader.keyring, [reason])?;
    each(reader, from, to, &mut |bytes| {
        let entry = Entry::read(bytes).map_err(|error| StoreError::from(ReadFault::Entry(error)))?;
        let mut persons = entry.parts.iter().filter(|part| part.role == Role::Person);
        persons.try_for_each(|part| against.key(part.key_id))
    })
}

/// Goes through the entries between two positions until one is refused.
fn each<E: From<StoreError>>(
    reader: &Reader,
    from: Position,
    to: Position,
    look_at: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut failed = None;
    let mut look = |frame: FrameView<'_>| {
        for (position, bytes) in frame.entries().filter(|(position, _)| *position >= from) {
            if position >= to {
                return ControlFlow::Break(());
            }
            if let Err(error) = look_at(bytes) {
                failed = Some(error);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    };
    if from < to {
        reader.log.read(from, &mut look).map_err(|error| StoreError::from(ReadFault::Log(error)))?;
    }
    failed.map_or(Ok(()), Err)
}

fn one(reader: &Reader, bytes: &[u8], fine: &mut HashMap<KeyId, ()>) -> Result<(), StoreError> {
    let entry = Entry::read(bytes).map_err(ReadFault::Entry)?;
    for part in entry.parts.iter().filter(|part| part.role == Role::Person) {
        if fine.contains_key(&part.key_id) {
            continue;
        }
        reader.keyring.refuse_restricted([part.key_id])?;
        if fine.len() < REMEMBERED_MAX {
            fine.insert(part.key_id, ());
        }
    }
    Ok(())
}

fn any_restricted(keyring: &Keyring) -> Result<bool, StoreError> {
    Ok(!keyring.restrictions(None, 1)?.is_empty())
}
