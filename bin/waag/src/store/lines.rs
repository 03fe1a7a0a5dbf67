//! An entry as one JSON line: its place in the ledger, and the event in the CloudEvents JSON format.
//!
//! Place: what `waag read` prints and what an export's files of events hold, so that both say the same.
//! Persons' fields are masked; revealed, they stand in clear but for restricted persons (GDPR art. 18).
//! Not here: recording a reveal, which comes before (`cli`).

use std::collections::HashMap;
use std::io;
use std::path::Path;

use serde::Serialize;
use serde_json::value::RawValue;
use waag_cloudevents::write_event;
use waag_engine::reader::ReadFault;
use waag_entry::form::{Entry, Role};
use waag_entry::merge::merge;
use waag_entry::plain::{Body, Common, Inline, read_common, read_fields};
use waag_keys::list::Reason;
use waag_ledger::hash::Hash;
use waag_model::event::{Data, Event};
use waag_model::ids::{KeyId, Position};
use waag_model::time::UtcNanos;
use waag_model::value::{Object, Value};

use super::error::StoreError;
use super::reader::OpenedReader;
use crate::cli::mask::mask_fields;

/// Most keys of which it is remembered whether their person is restricted.
const KNOWN_KEYS_MAX: usize = 1 << 18;

/// An entry as it is shown.
#[derive(Serialize)]
pub(crate) struct Line<'a> {
    position: u64,
    leaf_hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    committed: Option<String>,
    accepted: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    r#type: &'a str,
    schema: u32,
    retention: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    masked: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    erased: Vec<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    withheld: Vec<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<String>,
}

impl Line<'_> {
    /// Whether every part of the entry was opened and every object is there, so that it says all there is.
    pub(crate) fn is_open(&self) -> bool {
        self.erased.is_empty() && self.withheld.is_empty() && self.missing.is_empty()
    }
}

/// Makes lines.
pub(crate) struct Lines<'s> {
    store: &'s OpenedReader,
    revealed: bool,
    restricted: HashMap<KeyId, bool>,
}

impl<'s> Lines<'s> {
    pub(crate) fn new(store: &'s OpenedReader, revealed: bool) -> Self {
        Self { store, revealed, restricted: HashMap::new() }
    }

    /// The line of an entry; when it was committed stands in it where that is given.
    pub(crate) fn line<'a>(
        &mut self,
        position: Position,
        leaf: Hash,
        committed: Option<UtcNanos>,
        entry: &Entry<'a>,
    ) -> Result<Line<'a>, StoreError> {
        let read = self.store.reader.open(entry)?;
        let (mut masked, mut parts) = (Vec::new(), Vec::new());
        let (mut erased, mut withheld) = (Vec::new(), Vec::new());
        let mut common: Option<Common<'_>> = None;
        for (index, part) in entry.parts.iter().enumerate() {
            let Some(plain) = read.opened.plain(index) else {
                let stone = self.store.keyring.tombstone(part.key_id)?;
                // A key that this copy of a store was made without is elsewhere, and not destroyed.
                let is_withheld = stone.is_some_and(|stone| stone.reason == Reason::Withheld);
                if is_withheld { &mut withheld } else { &mut erased }.push(index);
                continue;
            };
            match part.role {
                Role::Common => common = here(read_common(plain).map_err(ReadFault::Entry)?),
                Role::Person => {
                    let Some(fields) = here(read_fields(plain).map_err(ReadFault::Entry)?) else { continue };
                    let number = u8::try_from(index).unwrap_or(u8::MAX);
                    let is_actor =
                        common.as_ref().is_some_and(|common| common.actor == Value::Withheld(number));
                    let shown = self.revealed && !self.is_restricted(part.key_id)?;
                    let fields = if shown { fields } else { mask_fields(fields, is_actor, &mut masked) };
                    parts.push((number, fields));
                }
            }
        }
        let merged = common.map(|common| merge(common, parts)).transpose().map_err(ReadFault::Entry)?;
        let header = &entry.header;
        let mut line = Line {
            position: position.0,
            leaf_hash: leaf.to_string(),
            committed: committed.map(|committed| committed.to_string()),
            accepted: header.accepted.to_string(),
            actor: None,
            r#type: header.kind,
            schema: header.schema,
            retention: header.retention,
            event: None,
            masked,
            erased,
            withheld,
            missing: Vec::new(),
        };
        if let Some(merged) = merged {
            line.missing = missing(&merged);
            line.actor = merged.actor.as_text().map(str::to_owned);
            let json = event_json(merged, header.kind);
            line.event = Some(json.map_err(StoreError::io("write as JSON", Path::new("event")))?);
        }
        Ok(line)
    }

    /// Whether a key is a restricted person's; each key is asked about once.
    fn is_restricted(&mut self, id: KeyId) -> Result<bool, StoreError> {
        if let Some(known) = self.restricted.get(&id) {
            return Ok(*known);
        }
        let keyring = &self.store.keyring;
        let restriction = match keyring.tag_of_key(id)? {
            Some(tag) => keyring.restriction(tag)?,
            None => None,
        };
        if self.restricted.len() < KNOWN_KEYS_MAX {
            self.restricted.insert(id, restriction.is_some());
        }
        Ok(restriction.is_some())
    }
}

fn here<T>(plain: Inline<T>) -> Option<T> {
    match plain {
        Inline::Here(plain) => Some(plain),
        // Opening has followed every reference, so that none is left.
        Inline::Blob(_) => None,
    }
}

/// The places that no part has filled.
pub(crate) fn missing(common: &Common<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let mut top = vec![("/id", &common.id), ("/source", &common.source), ("/attributes", &common.attributes)];
    top.extend(common.subject.as_ref().map(|subject| ("/subject", subject)));
    if let Body::Json(data) = &common.body {
        top.push(("/data", data));
    }
    top.push(("/actor", &common.actor));
    top.into_iter().for_each(|(path, value)| withheld(value, path.to_owned(), &mut found));
    found
}

fn withheld(value: &Value<'_>, path: String, found: &mut Vec<String>) {
    match value {
        Value::Withheld(_) => found.push(path),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| withheld(item, format!("{path}/{at}"), found));
        }
        Value::Object(object) => object.members().iter().for_each(|(name, member)| {
            let step = waag_model::schema::pointer_step(name);
            withheld(member, format!("{path}/{step}"), found);
        }),
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Decimal(_) | Value::Text(_) => {}
    }
}

/// The event's JSON without what is withheld, `id` and `source` included.
pub(crate) fn event_json(common: Common<'_>, kind: &str) -> io::Result<Box<RawValue>> {
    let text = |value: &Value<'_>| value.as_text().unwrap_or_default().to_owned();
    let (has_id, has_source) = (common.id.as_text().is_some(), common.source.as_text().is_some());
    let event = Event {
        id: text(&common.id).into(),
        source: text(&common.source).into(),
        kind: kind.into(),
        subject: common.subject.as_ref().and_then(Value::as_text).map(|subject| subject.to_owned().into()),
        attributes: if let Value::Object(attributes) = common.attributes {
            attributes
        } else {
            Object::default()
        },
        data: match common.body {
            Body::None => Data::None,
            Body::Json(data) => Data::Json(data),
            Body::Binary(bytes) => Data::Binary(bytes),
        },
    };
    let mut json = Vec::new();
    write_event(&event, &mut json);
    let mut json = String::from_utf8(json).map_err(|_| io::Error::other("not UTF-8"))?;
    // An empty id or source stands first in what was written, and no event that was recorded has one.
    for (is_there, member) in [(has_id, r#""id":"","#), (has_source, r#""source":"","#)] {
        if !is_there {
            json = json.replacen(member, "", 1);
        }
    }
    RawValue::from_string(json).map_err(Into::into)
}
