//! What is recorded of a pack before anybody may have it: an event of the ledger, and a record beside the keys.
//!
//! The event (`waag.evidence.exported`) says for ever who took what and why. The record ([`Side::Pack`], under the pack's
//! digest) is what an erasure asks for packs that hold a person's parts: `[1, made (ns), actor, position of the event,
//! entries, [tags of the persons disclosed]]` in deterministic CBOR.
//!
//! Order: event → record → a look at the keys of what was disclosed. An erasure destroys keys and then asks for the records:
//! either it finds the record, or the look finds the key gone and the pack stays where it is.
//! Not here: making a pack (`make`), where it is put (`placed`).

use serde::{Deserialize, Serialize};
use waag_engine::reader::{ReadFault, Reader};
use waag_entry::cbor::{Reader as Cbor, write};
use waag_entry::error::EntryError;
use waag_entry::form::Entry;
use waag_entry::plain::Body;
use waag_keys::error::KeysError;
use waag_keys::keyring::Keyring;
use waag_keys::side::Side;
use waag_keys::state::{Expect, Record, SCAN_RECORDS_MAX};
use waag_ledger::hash::Hash;
use waag_model::ids::{Actor, KeyId, LedgerId, Position, Tag};
use waag_model::time::UtcNanos;
use waag_model::value::{Object, Value};

use super::error::EvidenceError;
use crate::store::error::StoreError;
use crate::store::own::own_event;
use crate::store::subjects::{object, text};
use crate::store::writer::OpenedStore;

/// The type of the event that records a pack.
pub const EXPORTED: &str = "waag.evidence.exported";
const VERSION: u64 = 1;
/// Conditions longer than this stand in the event by their SHA-256, in bytes.
const CONDITION_BYTES_MAX: usize = 1_024;

/// A pack as it is recorded; it names no person but by keyed tags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handed {
    /// Who made it.
    pub by: String,
    /// The id of the event that records it, which stands in the pack.
    pub event_id: String,
    /// SHA-256 of the pack's manifest, in hexadecimal digits.
    pub digest: String,
    /// The file's length.
    pub bytes: u64,
    /// When it was made, in nanoseconds since 1970.
    pub made_ns: i64,
    /// Entries in it.
    pub entries: u64,
    /// The first position.
    pub first: u64,
    /// The last position.
    pub last: u64,
    /// Whether there is no gap between the two.
    pub gapless: bool,
    /// The size of its checkpoint.
    pub tree_size: u64,
    /// The root of its checkpoint, in hexadecimal digits.
    pub root: String,
    /// What was asked, in words.
    pub selection: String,
    /// What was asked, condition by condition.
    pub conditions: Vec<(String, String)>,
    /// Why.
    pub reason: String,
    /// Why persons' parts were opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reveal: Option<String>,
    /// Why restricted data was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub despite_restriction: Option<String>,
    /// The persons of whom parts are disclosed, by their tags in hexadecimal digits.
    pub persons: Vec<String>,
    /// The keys that those parts are sealed under, by their ids in hexadecimal digits.
    pub keys: Vec<String>,
    /// What can be opened.
    pub parts: Opened,
}

/// How many parts of a pack can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// Common parts.
    pub common: u64,
    /// Persons' parts.
    pub persons: u64,
    /// Parts that stay closed.
    pub closed: u64,
    /// Parts whose keys were destroyed.
    pub erased: u64,
}

/// What a process that has doors is asked about packs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "evidence", rename_all = "lowercase")]
pub enum Asked {
    /// Record one that another process made.
    Record(Box<Handed>),
}

/// What it answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Told {
    /// It is recorded, by the event at this position.
    Recorded(u64),
    /// It is not, and must not be handed out.
    Refused {
        /// The stable code.
        code: String,
        /// Why.
        reason: String,
        /// Whether it is a refusal rather than a failure.
        refusal: bool,
    },
}

/// Does what was asked of this process.
#[must_use]
pub fn answer(store: &OpenedStore, asked: &Asked) -> Told {
    let Asked::Record(handed) = asked;
    match record(store, handed) {
        Ok(position) => Told::Recorded(position.0),
        Err(error) => Told::Refused {
            code: error.code().to_owned(),
            reason: error.to_string(),
            refusal: error.is_refusal(),
        },
    }
}

/// Records a pack; durable when this returns. The pack may be handed out after that, and only then (`EVIDENCE-1`). Recording
/// the same pack again changes nothing.
///
/// # Errors
/// [`EvidenceError::ErasedMeanwhile`]; the store's.
pub fn record(store: &OpenedStore, handed: &Handed) -> Result<Position, EvidenceError> {
    let wrong = || StoreError::Unrecorded("a pack that another process made");
    let by = Actor::new(&handed.by).map_err(|_| wrong())?;
    let digest = Hash(
        ids(std::slice::from_ref(&handed.digest)).and_then(|ids| ids.first().copied()).ok_or_else(wrong)?,
    );
    let tags: Vec<[u8; 16]> = ids(&handed.persons).ok_or_else(wrong)?;
    let keys: Vec<[u8; 16]> = ids(&handed.keys).ok_or_else(wrong)?;
    is_there(&store.keyring, handed, &tags, &keys)?;
    let event = own_event(EXPORTED, Some(handed.event_id.clone()), data(handed));
    let event = event.map_err(|_| StoreError::Keys(KeysError::Entropy))?;
    let position = store.record(&event, &by)?.0.position;
    let pack = PackRecord {
        digest,
        made: UtcNanos(handed.made_ns),
        by: handed.by.clone(),
        position,
        entries: handed.entries,
        persons: tags.iter().copied().map(Tag).collect(),
    };
    let value = pack.encode();
    // Asked again after a lost answer, it is there already, as its event is.
    let there = store.keyring.side_record(Side::Pack, &digest.0)?;
    if there.is_none_or(|there| there.value != value) {
        store.keyring.keep_side_record(Side::Pack, &digest.0, Expect::Absent, Some(&value))?;
    }
    is_there(&store.keyring, handed, &tags, &keys)?;
    Ok(position)
}

/// Whether a pack may still be handed out: no key of what it discloses is gone, and nobody in it is restricted since.
#[must_use]
pub fn is_still_there(keyring: &Keyring, handed: &Handed) -> bool {
    let (tags, keys) = (ids(&handed.persons), ids(&handed.keys));
    let known = tags.zip(keys);
    known.is_some_and(|(tags, keys)| is_there(keyring, handed, &tags, &keys).is_ok())
}

/// Refuses where a key of what is disclosed was destroyed, or a person's data restricted, since the pack was made.
fn is_there(
    keyring: &Keyring,
    handed: &Handed,
    tags: &[[u8; 16]],
    keys: &[[u8; 16]],
) -> Result<(), EvidenceError> {
    for key in keys {
        if keyring.tag_of_key(KeyId(*key))?.is_none() {
            return Err(EvidenceError::ErasedMeanwhile);
        }
    }
    for tag in tags {
        if handed.despite_restriction.is_none() && keyring.restriction(Tag(*tag))?.is_some() {
            return Err(EvidenceError::ErasedMeanwhile);
        }
    }
    Ok(())
}

/// Ids from their hexadecimal digits.
fn ids<const N: usize>(texts: &[String]) -> Option<Vec<[u8; N]>> {
    texts.iter().map(|text| hex::decode(text).ok()?.try_into().ok()).collect()
}

fn data(handed: &Handed) -> Vec<(&'static str, Value<'static>)> {
    let number = |number: u64| Value::Integer(number.into());
    let texts = |all: &[String]| Value::Array(all.iter().map(text).collect());
    let maybe = |told: &Option<String>| told.as_ref().map_or(Value::Null, text);
    let condition = |(name, value): &(String, String)| {
        let value = if value.len() > CONDITION_BYTES_MAX { digest_text(value) } else { value.clone() };
        object(vec![("name", text(name)), ("value", text(value))])
    };
    let Opened { common, persons, closed, erased } = handed.parts;
    vec![
        ("digest", text(&handed.digest)),
        ("bytes", number(handed.bytes)),
        ("entries", number(handed.entries)),
        ("first", number(handed.first)),
        ("last", number(handed.last)),
        ("gapless", Value::Bool(handed.gapless)),
        ("checkpoint", object(vec![("size", number(handed.tree_size)), ("root", text(&handed.root))])),
        ("selection", text(&handed.selection)),
        ("conditions", Value::Array(handed.conditions.iter().map(condition).collect())),
        ("reason", text(&handed.reason)),
        ("reveal", maybe(&handed.reveal)),
        ("despite_restriction", maybe(&handed.despite_restriction)),
        ("persons", texts(&handed.persons)),
        (
            "parts",
            object(vec![
                ("common", number(common)),
                ("persons", number(persons)),
                ("closed", number(closed)),
                ("erased", number(erased)),
            ]),
        ),
    ]
}

fn digest_text(value: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, value.as_bytes());
    format!("sha256:{}", hex::encode(digest))
}

/// A pack that was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackRecord {
    /// SHA-256 of its manifest.
    pub digest: Hash,
    /// When it was made.
    pub made: UtcNanos,
    /// Who made it.
    pub by: String,
    /// Where its event is.
    pub position: Position,
    /// Entries in it.
    pub entries: u64,
    /// The persons of whom parts are disclosed.
    pub persons: Vec<Tag>,
}

impl PackRecord {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write::array(&mut out, 6);
        write::uint(&mut out, VERSION);
        write::int(&mut out, self.made.0);
        write::text(&mut out, &self.by);
        write::uint(&mut out, self.position.0);
        write::uint(&mut out, self.entries);
        write::array(&mut out, self.persons.len());
        self.persons.iter().for_each(|tag| write::bytes(&mut out, &tag.0));
        out
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`KeysError::Unreadable`].
    pub fn decode(record: &Record) -> Result<Self, KeysError> {
        let read = || -> Result<Self, EntryError> {
            let mut reader = Cbor::new(&record.value);
            reader.array_of(6, "a pack")?;
            let wrong = |offset| EntryError::Form { offset, expected: "a pack of version 1" };
            if reader.uint("the version")? != VERSION {
                return Err(wrong(reader.offset()));
            }
            let made = UtcNanos(reader.int("a time")?);
            let by = reader.text("an actor")?.to_owned();
            let position = Position(reader.uint("a position")?);
            let entries = reader.uint("a number of entries")?;
            let persons = reader.array("persons")?;
            let persons = (0..persons).map(|_| reader.fixed("a person's tag").map(Tag));
            let persons = persons.collect::<Result<_, _>>()?;
            reader.end()?;
            let digest = record.key.as_slice().try_into().map_err(|_| wrong(0))?;
            Ok(Self { digest: Hash(digest), made, by, position, entries, persons })
        };
        read().map_err(|_| KeysError::Unreadable("a pack"))
    }
}

/// Every pack that was recorded, the newest first.
///
/// # Errors
/// The state's; [`KeysError::Unreadable`].
pub fn packs(keyring: &Keyring) -> Result<Vec<PackRecord>, KeysError> {
    let (mut found, mut after) = (Vec::new(), None::<Vec<u8>>);
    loop {
        let records = keyring.side_records(Side::Pack, after.as_deref(), SCAN_RECORDS_MAX)?;
        let Some(last) = records.last() else { break };
        after = Some(last.key.clone());
        for record in &records {
            found.push(PackRecord::decode(record)?);
        }
    }
    found.sort_by_key(|pack: &PackRecord| std::cmp::Reverse((pack.made, pack.position)));
    Ok(found)
}

/// What the event of a pack tells beside its record; empty texts where it tells nothing any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackTold {
    /// The ledger that has the event: after a promotion one of several.
    pub ledger: LedgerId,
    /// What was asked, in words.
    pub selection: String,
    /// Why.
    pub reason: String,
}

/// What the event of a pack tells, if this is the ledger that has it: a record says the position and not the ledger, so that
/// the event has to name the pack's digest.
///
/// # Errors
/// [`ReadFault`].
pub fn told(reader: &Reader, pack: &PackRecord) -> Result<Option<PackTold>, ReadFault> {
    let bytes = match reader.bytes(pack.position) {
        // Recorded a moment ago, or in a ledger that has more entries.
        Err(ReadFault::Beyond(_)) => return Ok(None),
        other => other?,
    };
    let entry = Entry::read(&bytes).map_err(ReadFault::Entry)?;
    if entry.header.kind != EXPORTED {
        return Ok(None);
    }
    let read = reader.open_some(&entry, &|part| part == 0)?;
    let closed = PackTold { ledger: reader.ledger, selection: String::new(), reason: String::new() };
    let Some(common) = read.opened.event().map_err(ReadFault::Entry)? else { return Ok(Some(closed)) };
    let nothing = Object::default();
    let data = if let Body::Json(Value::Object(data)) = &common.body { data } else { &nothing };
    let said = |name: &str| data.get(name).and_then(Value::as_text).unwrap_or_default().to_owned();
    let is_its = said("digest") == pack.digest.to_string();
    Ok(is_its.then(|| PackTold { selection: said("selection"), reason: said("reason"), ..closed }))
}

#[cfg(test)]
mod tests {
    use waag_keys::state::{Sum, Table};

    use super::*;

    #[test]
    fn the_stored_form_is_what_it_was_and_nothing_else_is_read() {
        let pack = PackRecord {
            digest: Hash([7; 32]),
            made: UtcNanos(-5),
            by: "anna".to_owned(),
            position: Position(300),
            entries: 2,
            persons: vec![Tag([9; 16])],
        };
        let value = pack.encode();
        let golden =
            [&[0x86, 0x01, 0x24, 0x64][..], b"anna", &[0x19, 0x01, 0x2c, 0x02, 0x81, 0x50], &[9; 16]]
                .concat();
        assert_eq!(value, golden);
        let stored = |value: Vec<u8>| {
            let sum = Sum::of(Table::Pack.code(), &[7; 32], &value);
            Record { key: vec![7; 32], value, sum }
        };
        assert_eq!(PackRecord::decode(&stored(value.clone())).unwrap(), pack);
        for end in 0..value.len() {
            assert!(PackRecord::decode(&stored(value[..end].to_vec())).is_err());
        }
        assert!(PackRecord::decode(&stored([value, vec![0]].concat())).is_err());
    }
}
