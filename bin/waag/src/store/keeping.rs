//! What upkeep leaves behind in the ledger: an event, and a record in the state, kept by whoever writes the store.
//!
//! Place: backups, drills and exports run beside a node or without one. Where a node runs they ask it over its socket; where
//! nobody writes they open the store for a moment. Not here: what is done (`backups`), the socket (`beside`).
//!
//! A record is kept after its event is acknowledged; a crash between the two leaves the event, and asking again records
//! another one.

use std::fmt;

use serde::{Deserialize, Serialize};
use waag_archive::upkeep::{BACKUP_PREFIX, BackupRecord};
use waag_cloudevents::{read_event, write_event};
use waag_entry::cbor::write;
use waag_keys::side::Side;
use waag_keys::state::Expect;
use waag_model::event::Event;
use waag_model::ids::Actor;

use super::beside::{AskError, ask_doors};
use super::error::StoreError;
use super::options::Options;
use super::own::OWN_SOURCE;
use super::place::Place;
use super::writer::{OpenedStore, open_writer};

/// The type of the event that records that a backup begins, and with it where the one before it ended. It stands in the
/// backup itself, so that a backup of a store that nobody writes any more lacks nothing.
pub const BACKUP_BEGUN: &str = "waag.backup.begun";
/// The type of the event that records a drill.
pub const DRILL_DONE: &str = "waag.drill.done";
/// The type of the event that records an export.
pub const EXPORT_DONE: &str = "waag.export.done";
/// What is recorded for upkeep, and nothing else.
pub const UPKEEP_TYPES: [&str; 3] = [BACKUP_BEGUN, DRILL_DONE, EXPORT_DONE];
/// What keys of upkeep's records begin with.
const PREFIXES: [&[u8]; 3] = [b"backup/", b"drill/", b"export/"];

/// How often a store that another process writes for a moment is tried again.
const TRIES_MAX: u32 = 100;
/// The wait between two of these, in milliseconds.
const DELAY_MS: u64 = 50;

/// What is to be kept.
#[derive(Clone, Debug)]
pub struct Kept<'a> {
    /// The event to record first, of one of [`UPKEEP_TYPES`].
    pub event: Option<Event<'a>>,
    /// The record: its key, and its value.
    pub record: Option<(Vec<u8>, Vec<u8>)>,
    /// The value is a CBOR array without its last item, which is the event's position.
    pub ends_with_position: bool,
}

/// The same as another process asks for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The record's key in hexadecimal digits; empty where there is no record.
    upkeep: String,
    /// Its value in hexadecimal digits.
    value: String,
    /// See [`Kept::ends_with_position`].
    ends_with_position: bool,
    /// The event as JSON.
    event: Option<String>,
    /// Who asks.
    by: String,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Done {
    /// Where the event is recorded.
    pub position: Option<u64>,
}

/// Why it was not kept, or is not known to be.
#[derive(Debug)]
pub enum KeepError {
    /// The store could not be opened or written.
    Store(StoreError),
    /// The process that writes it did not say that it was kept.
    Ask(AskError),
    /// What was asked for is no upkeep: the program itself is wrong, or another one asked.
    Refused(&'static str),
}

impl KeepError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::Ask(error) => error.code(),
            Self::Refused(_) => StoreError::Unrecorded("").code(),
        }
    }
}

impl fmt::Display for KeepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Ask(error) => error.fmt(f),
            Self::Refused(why) => write!(f, "no upkeep that is recorded: {why}"),
        }
    }
}

impl std::error::Error for KeepError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(error) => error.source(),
            Self::Ask(error) => error.source(),
            Self::Refused(_) => None,
        }
    }
}

impl From<StoreError> for KeepError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Keeps event and record by whoever writes the store; the event's position.
///
/// # Errors
/// [`KeepError`].
pub fn keep(
    place: &Place,
    options: &Options,
    actor: &Actor,
    kept: &Kept<'_>,
) -> Result<Option<u64>, KeepError> {
    let asked = Asked::new(kept, actor);
    let question = serde_json::to_string(&asked).map_err(|_| KeepError::Refused("it cannot be written"))?;
    let mut tries = 0;
    loop {
        if let Some(answer) = ask_doors(place, &question).map_err(KeepError::Ask)? {
            let read = serde_json::from_str::<Done>(&answer).map_err(std::io::Error::from);
            return read.map(|done| done.position).map_err(|error| KeepError::Ask(AskError::NoAnswer(error)));
        }
        match open_writer(place, options, &mut |_, _| {}) {
            Ok(store) => return carry_out(&store, &asked).map(|done| done.position),
            // It starts, or ends, or is one of the commands that are done soon.
            Err(StoreError::InUse) if tries < TRIES_MAX => {
                tries += 1;
                std::thread::sleep(std::time::Duration::from_millis(DELAY_MS));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

impl Asked {
    fn new(kept: &Kept<'_>, actor: &Actor) -> Self {
        let event = kept.event.as_ref().map(|event| {
            let mut json = Vec::new();
            write_event(event, &mut json);
            String::from_utf8_lossy(&json).into_owned()
        });
        let (key, value) = kept.record.clone().unwrap_or_default();
        Self {
            upkeep: hex::encode(key),
            value: hex::encode(value),
            ends_with_position: kept.ends_with_position,
            event,
            by: actor.to_string(),
        }
    }
}

/// Keeps what is asked for in the store that this process writes.
///
/// # Errors
/// [`KeepError`].
pub fn carry_out(store: &OpenedStore, asked: &Asked) -> Result<Done, KeepError> {
    let key = hex::decode(&asked.upkeep).map_err(|_| KeepError::Refused("its key is no text"))?;
    let mut value = hex::decode(&asked.value).map_err(|_| KeepError::Refused("its value is no text"))?;
    if !key.is_empty() && !PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
        return Err(KeepError::Refused("its key is another's"));
    }
    let position = match &asked.event {
        None => None,
        Some(json) => {
            let actor = Actor::new(&asked.by).map_err(|_| KeepError::Refused("nobody asks for it"))?;
            let event =
                read_event(json.as_bytes()).map_err(|_| KeepError::Refused("its event cannot be read"))?;
            let is_upkeep = UPKEEP_TYPES.contains(&event.kind.as_ref());
            if !is_upkeep || event.source != OWN_SOURCE || event.subject.is_some() {
                return Err(KeepError::Refused("its event is another's"));
            }
            Some(store.record(&event, &actor)?.0.position.0)
        }
    };
    if !key.is_empty() {
        if asked.ends_with_position {
            match position {
                Some(position) => write::uint(&mut value, position),
                None => write::null(&mut value),
            }
        }
        if key.starts_with(BACKUP_PREFIX) {
            value = covering(store, &key, value)?;
        }
        store
            .keyring
            .keep_side_record(Side::Upkeep, &key, Expect::Any, Some(&value))
            .map_err(StoreError::from)?;
    }
    Ok(Done { position })
}

/// A backup's record never tells of less key material than the one in its place: copies of one repository have the same
/// name, and an erasure is complete only when the last of them has expired.
fn covering(store: &OpenedStore, key: &[u8], value: Vec<u8>) -> Result<Vec<u8>, KeepError> {
    let record = BackupRecord::decode(&value).ok_or(KeepError::Refused("its record is no backup's"))?;
    let there = store.keyring.side_record(Side::Upkeep, key).map_err(StoreError::from)?;
    let there = there.and_then(|there| BackupRecord::decode(&there.value));
    Ok(there.map_or(value, |there| record.covering(&there).encode()))
}
