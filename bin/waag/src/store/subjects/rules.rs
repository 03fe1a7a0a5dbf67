//! Which retention file is in use: the shipped one until another is given, and each is recorded before it is used.
//!
//! The event (`waag.retention.set`) holds the file's text and its SHA-256, so that whoever reads the ledger later knows by
//! which rule something was destroyed or kept. Beside the keys lies `[1, at (ns), position, text]`, under `retention`.

use std::collections::BTreeSet;

use waag_engine::registry::Registry;
use waag_entry::cbor::{Reader, write};
use waag_entry::error::EntryError;
use waag_keys::error::KeysError;
use waag_keys::keyring::Keyring;
use waag_keys::retention::Retention;
use waag_keys::side::Side;
use waag_keys::state::Expect;
use waag_model::ids::Actor;
use waag_model::value::Value;

use super::told::ClassTold;
use super::{SubjectsError, object, record, text};
use crate::store::schemas::{SchemaRecord, object_name};
use crate::store::writer::OpenedStore;

/// The file that is shipped.
pub const SHIPPED: &str = include_str!("../../../../../policies/retention.toml");
/// The type of the event that records which file is in use.
pub const SET: &str = "waag.retention.set";
const KEY: &[u8] = b"retention";

/// The file that was put into use, none before the first time.
fn kept(keyring: &Keyring) -> Result<Option<Retention>, SubjectsError> {
    let Some(record) = keyring.side_record(Side::Upkeep, KEY)? else { return Ok(None) };
    let read = || -> Result<String, EntryError> {
        let mut reader = Reader::new(&record.value);
        reader.array_of(4, "a retention file")?;
        if reader.uint("the version")? != 1 {
            return Err(EntryError::Form { offset: reader.offset(), expected: "version 1" });
        }
        reader.int("a time")?;
        reader.uint("a position")?;
        let text = reader.text("a retention file")?.to_owned();
        reader.end()?;
        Ok(text)
    };
    let text = read().map_err(|_| KeysError::Unreadable("the retention file"))?;
    Ok(Some(Retention::read(&text)?))
}

/// The rules that hold: those put into use, or the shipped ones.
///
/// # Errors
/// The state's.
pub fn in_use(keyring: &Keyring) -> Result<Retention, SubjectsError> {
    kept(keyring)?.map_or_else(|| Ok(Retention::read(SHIPPED)?), Ok)
}

/// The rules that hold, recorded before if they never were.
///
/// # Errors
/// [`SubjectsError`].
pub fn settled(store: &OpenedStore, by: &Actor) -> Result<Retention, SubjectsError> {
    match kept(&store.keyring)? {
        Some(retention) => Ok(retention),
        None => {
            set(store, by, SHIPPED)?;
            Ok(Retention::read(SHIPPED)?)
        }
    }
}

/// Puts a file into use: recorded, then in force. Its event's position; none where it is in use already.
///
/// # Errors
/// [`SubjectsError::Retention`] where it cannot be used.
pub fn set(store: &OpenedStore, by: &Actor, file: &str) -> Result<Option<u64>, SubjectsError> {
    let retention = Retention::read(file)?;
    if kept(&store.keyring)?.is_some_and(|kept| kept.text() == file) {
        return Ok(None);
    }
    let classes = retention.rules().map(|rule| {
        object(vec![
            ("class", text(rule.class.clone())),
            ("years", Value::Integer(rule.years.into())),
            ("erasure", text(rule.erasure.to_string())),
        ])
    });
    let data = vec![
        ("sha256", text(object_name(file.as_bytes()).to_string())),
        ("classes", Value::Array(classes.collect())),
        ("text", text(file)),
    ];
    let position = record(store, SET, None, data, by)?;
    let mut value = Vec::new();
    write::array(&mut value, 4);
    write::uint(&mut value, 1);
    write::int(&mut value, store.clock.now().0);
    write::uint(&mut value, position);
    write::text(&mut value, file);
    store.keyring.keep_side_record(Side::Upkeep, KEY, Expect::Any, Some(&value))?;
    Ok(Some(position))
}

/// Classes that registered schemas name and that have no rule: that of `business` holds for them.
#[must_use]
pub fn unknown(retention: &Retention, schemas: &[SchemaRecord], registry: &Registry) -> BTreeSet<String> {
    let classes = schemas.iter().filter_map(|record| registry.newest(&record.kind));
    let classes = classes.map(|registered| registered.schema.retention.clone());
    classes.filter(|class| !retention.knows(class)).collect()
}

/// The classes as they are told.
#[must_use]
pub fn classes(retention: &Retention) -> Vec<ClassTold> {
    let told = |rule: &waag_keys::retention::Rule| ClassTold {
        class: rule.class.clone(),
        holds: rule.holds.clone(),
        years: rule.years,
        erasure: rule.erasure.to_string(),
        law: rule.laws.iter().map(ToString::to_string).collect(),
    };
    retention.rules().map(told).collect()
}
