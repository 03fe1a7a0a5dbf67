//! What is kept of a bridge: what it is, how it stands, how far it is, and what came of the messages so far.
//!
//! Three kinds of records in the state, JSON of version 1: the bridge itself (`bridge/NAME`), its cursor with its counts
//! (`bridge-cursor/NAME`), written with each lot, and how many resets were accepted of a stream
//! (`bridge-generation/ORIGIN/STREAM`). The last one outlives the bridge: a bridge that is made anew gives the same messages
//! the same identities.
//! Not here: who writes them when (`bridges`, `taker`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use waag_keys::keyring::Keyring;
use waag_nats::source::SourceOptions;
use waag_nats::take::Cursor;
use waag_nats::{Login, Options};
use waag_stdx::entropy::SystemEntropy;
use zeroize::Zeroizing;

use super::error::BridgeError;

/// The records' version.
const VERSION: u32 = 1;
const BRIDGES: &str = "bridge/";
const CURSORS: &str = "bridge-cursor/";
const GENERATIONS: &str = "bridge-generation/";

/// How a bridge stands, as was decided or as it came to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Standing {
    /// It takes what comes.
    Running,
    /// A person paused it.
    Paused,
    /// A condition ended it, and a person must decide.
    Stopped {
        /// The condition's stable code.
        code: String,
        /// What it was.
        reason: String,
    },
}

/// A bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    version: u32,
    pub(super) name: String,
    pub(super) server: String,
    pub(super) stream: String,
    pub(super) consumer: String,
    pub(super) origin: String,
    pub(super) kind: String,
    /// What it logs in by, wrapped and in base64.
    secret: Option<String>,
    pub(super) standing: Standing,
}

/// What came of messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Recorded.
    pub recorded: u64,
    /// Had been recorded before, with the same content.
    pub before: u64,
    /// Of those recorded, how many were refused as the events they looked like, and are recorded as bytes.
    pub opaque: u64,
    /// Not recorded, since another event has their identity, or since what had it was erased; each told by an event.
    pub conflicts: u64,
    /// Not recorded, since they cannot be, each told by an event.
    pub refused: u64,
    /// Passed over, since they carry events of this very ledger, which a target of its own published.
    #[serde(default)]
    pub own: u64,
    /// Gone before they were taken; told by events, a span each.
    pub missing: u64,
}

/// How far a bridge is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    version: u32,
    pub(super) cursor: Cursor,
    pub(super) counts: Counts,
}

impl Kept {
    pub(super) fn new(cursor: Cursor, counts: Counts) -> Self {
        Self { version: VERSION, cursor, counts }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Generation {
    version: u32,
    generation: u32,
}

/// What a new bridge is to be.
#[derive(Clone, Debug)]
pub(super) struct New<'n> {
    pub(super) name: &'n str,
    pub(super) server: &'n str,
    pub(super) stream: &'n str,
    pub(super) consumer: &'n str,
    pub(super) origin: &'n str,
    pub(super) kind: &'n str,
}

impl Record {
    pub(super) fn new(new: &New<'_>, secret: Option<&str>, keyring: &Keyring) -> Result<Self, BridgeError> {
        let wrap = |secret: &str| keyring.wrap_target_secret(&SystemEntropy::new(), secret.as_bytes());
        let secret = secret.map(wrap).transpose()?.map(|wrapped| STANDARD.encode(wrapped));
        let New { name, server, stream, consumer, origin, kind } = new.clone();
        Ok(Self {
            version: VERSION,
            name: name.to_owned(),
            server: server.to_owned(),
            stream: stream.to_owned(),
            consumer: consumer.to_owned(),
            origin: origin.to_owned(),
            kind: kind.to_owned(),
            secret,
            standing: Standing::Running,
        })
    }

    /// What the source is made of, with the login opened.
    pub(super) fn options(&self, keyring: &Keyring) -> Result<SourceOptions, BridgeError> {
        let damaged = |_| BridgeError::Record(self.name.clone());
        let open = |text: &String| {
            let wrapped = STANDARD.decode(text).map_err(|error| damaged(error.to_string()))?;
            let bytes = keyring.unwrap_target_secret(&wrapped)?;
            let text = std::str::from_utf8(&bytes).map_err(|error| damaged(error.to_string()))?;
            Ok::<_, BridgeError>(Zeroizing::new(text.to_owned()))
        };
        let secret = self.secret.as_ref().map(open).transpose()?;
        let server = Options {
            server: self.server.clone(),
            login: login(secret),
            certificates: None,
            name: format!("waag {}", self.name),
        };
        Ok(SourceOptions {
            server,
            stream: self.stream.clone(),
            consumer: self.consumer.clone(),
            origin: self.origin.clone(),
            kind: self.kind.clone(),
        })
    }

    /// The same bridge, standing otherwise.
    pub(super) fn standing(&self, standing: Standing) -> Self {
        Self { standing, ..self.clone() }
    }

    /// What this bridge's generation is kept under.
    fn generation_key(&self) -> String {
        format!("{GENERATIONS}{}/{}", self.origin, self.stream)
    }
}

/// `user:password`, or a token.
fn login(secret: Option<Zeroizing<String>>) -> Login {
    let Some(secret) = secret else { return Login::None };
    match secret.split_once(':') {
        Some((user, password)) => {
            Login::Password { user: user.to_owned(), password: password.to_owned().into() }
        }
        None => Login::Token(secret),
    }
}

fn read<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, BridgeError> {
    serde_json::from_slice(bytes).map_err(|_| BridgeError::Record(name.to_owned()))
}

fn checked<T>(name: &str, version: u32, record: T) -> Result<T, BridgeError> {
    if version == VERSION { Ok(record) } else { Err(BridgeError::Record(name.to_owned())) }
}

fn keep(keyring: &Keyring, key: &str, record: Option<&impl Serialize>) -> Result<(), BridgeError> {
    let bytes = record.map(serde_json::to_vec).transpose();
    let bytes = bytes.map_err(|_| BridgeError::Record(key.to_owned()))?;
    Ok(keyring.keep_door_record(key.as_bytes(), bytes.as_deref())?)
}

/// All bridges, by name.
pub(super) fn load(keyring: &Keyring) -> Result<Vec<(Record, Kept)>, BridgeError> {
    let mut all = Vec::new();
    for (key, bytes) in keyring.door_records(BRIDGES.as_bytes())? {
        let key = String::from_utf8_lossy(&key).into_owned();
        let record: Record = read(&key, &bytes)?;
        let record = checked(&key, record.version, record)?;
        // One prefix is not the beginning of another, so that a cursor is found under its own name alone.
        let key = format!("{CURSORS}{}", record.name);
        let kept = match only(keyring, &key)? {
            Some(bytes) => {
                let kept: Kept = read(&key, &bytes)?;
                checked(&key, kept.version, kept)?
            }
            None => Kept::new(
                Cursor { generation: generation(keyring, &record)?, ..Cursor::default() },
                Counts::default(),
            ),
        };
        all.push((record, kept));
    }
    Ok(all)
}

/// The record of this very name.
fn only(keyring: &Keyring, key: &str) -> Result<Option<Vec<u8>>, BridgeError> {
    let found = keyring.door_records(key.as_bytes())?;
    Ok(found.into_iter().find(|(name, _)| name == key.as_bytes()).map(|(_, bytes)| bytes))
}

/// How many resets of a bridge's stream were accepted, by this bridge or by one before it.
pub(super) fn generation(keyring: &Keyring, record: &Record) -> Result<u32, BridgeError> {
    let key = record.generation_key();
    let Some(bytes) = only(keyring, &key)? else { return Ok(0) };
    let kept: Generation = read(&key, &bytes)?;
    checked(&key, kept.version, kept.generation)
}

pub(super) fn keep_generation(
    keyring: &Keyring,
    record: &Record,
    generation: u32,
) -> Result<(), BridgeError> {
    keep(keyring, &record.generation_key(), Some(&Generation { version: VERSION, generation }))
}

pub(super) fn keep_record(keyring: &Keyring, record: &Record) -> Result<(), BridgeError> {
    keep(keyring, &format!("{BRIDGES}{}", record.name), Some(record))
}

pub(super) fn keep_cursor(keyring: &Keyring, name: &str, kept: &Kept) -> Result<(), BridgeError> {
    keep(keyring, &format!("{CURSORS}{name}"), Some(kept))
}

/// Removes a bridge: first itself, so that it never stands there without its cursor.
pub(super) fn remove(keyring: &Keyring, name: &str) -> Result<(), BridgeError> {
    keep(keyring, &format!("{BRIDGES}{name}"), None::<&()>)?;
    keep(keyring, &format!("{CURSORS}{name}"), None::<&()>)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Login {
        login(Some(Zeroizing::new(text.to_owned())))
    }

    #[test]
    fn a_secret_with_a_colon_is_a_name_and_a_password() {
        assert!(matches!(login(None), Login::None));
        assert!(matches!(of("token"), Login::Token(token) if *token == "token"));
        let Login::Password { user, password } = of("me:a:b") else { panic!("no password") };
        assert_eq!((user.as_str(), password.as_str()), ("me", "a:b"));
    }

    #[test]
    fn a_record_of_another_version_or_form_is_refused() {
        assert!(matches!(checked("x", 2, ()), Err(BridgeError::Record(name)) if name == "x"));
        assert!(read::<Kept>("x", br#"{"version":1}"#).is_err());
        let kept = Kept::new(Cursor { sequence: 7, ..Cursor::default() }, Counts::default());
        let text = serde_json::to_vec(&kept).unwrap();
        assert_eq!(read::<Kept>("x", &text).unwrap(), kept);
    }
}
