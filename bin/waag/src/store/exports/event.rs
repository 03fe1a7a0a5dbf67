//! An entry as one line of its type's file: its place in the ledger, and the event in the CloudEvents JSON format.
//!
//! Persons' fields are masked as everywhere; revealed, they stand in clear but for restricted persons (GDPR art. 18).

use std::collections::HashMap;

use serde::Serialize;
use serde_json::value::RawValue;
use waag_engine::reader::ReadFault;
use waag_entry::form::{Entry, Role};
use waag_entry::merge::merge;
use waag_entry::plain::{Common, Inline, read_common, read_fields};
use waag_ledger::hash::Hash;
use waag_model::ids::{KeyId, Position};
use waag_model::time::UtcNanos;
use waag_model::value::Value;

use super::error::ExportError;
use super::folder::to_json;
use crate::cli::mask::mask_fields;
use crate::cli::read::{event_json, missing};
use crate::store::reader::OpenedReader;

/// Most keys of which it is remembered whether their person is restricted.
const KNOWN_KEYS_MAX: usize = 1 << 18;

#[derive(Serialize)]
struct Line<'a> {
    position: u64,
    leaf_hash: String,
    committed: String,
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
    missing: Vec<String>,
}

/// Makes lines.
pub(super) struct Lines<'s> {
    store: &'s OpenedReader,
    revealed: bool,
    restricted: HashMap<KeyId, bool>,
}

impl<'s> Lines<'s> {
    pub(super) fn new(store: &'s OpenedReader, revealed: bool) -> Self {
        Self { store, revealed, restricted: HashMap::new() }
    }

    /// The line of an entry, its line feed included.
    pub(super) fn line(
        &mut self,
        position: Position,
        leaf: Hash,
        committed: UtcNanos,
        entry: &Entry<'_>,
    ) -> Result<Vec<u8>, ExportError> {
        let read = self.store.reader.open(entry)?;
        let (mut masked, mut parts, mut erased) = (Vec::new(), Vec::new(), Vec::new());
        let mut common: Option<Common<'_>> = None;
        for (index, part) in entry.parts.iter().enumerate() {
            let Some(plain) = read.opened.plain(index) else {
                erased.push(index);
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
            committed: committed.to_string(),
            accepted: header.accepted.to_string(),
            actor: None,
            r#type: header.kind,
            schema: header.schema,
            retention: header.retention,
            event: None,
            masked,
            erased,
            missing: Vec::new(),
        };
        if let Some(merged) = merged {
            line.missing = missing(&merged);
            line.actor = merged.actor.as_text().map(str::to_owned);
            let json = event_json(merged, header.kind);
            let json = json.map_err(|failure| ExportError::damaged("log", failure.reason))?;
            line.event = Some(json);
        }
        let mut bytes = to_json(&line)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Whether a key is a restricted person's; each key is asked about once.
    fn is_restricted(&mut self, id: KeyId) -> Result<bool, ExportError> {
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
