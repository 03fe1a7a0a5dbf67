//! What is inside an opened part: an event's attributes and data, as deterministic CBOR.
//!
//! ```text
//! common  = { 0: id, 1: source, ? 2: subject, 3: attributes, ? 4: data / ? 5: binary, 6: actor }
//! person  = { + path => value } or { "" => a whole event }      ; paths are JSON Pointers into the event
//! either may be instead: [index]                                ; the plaintext is the blob at that place in the header
//! ```
//!
//! A place whose value stands in the part with index `i` (1 to 7) holds the simple value `i` in the common part; merging
//! puts the value back (`ENTRY-5`), and an erased person leaves the placeholder behind. A person's part has none.
//!
//! Not here: what goes into which part (`split`), encryption (`part`).

use std::borrow::Cow;

use waag_model::event::{Data, Event};
use waag_model::ids::Actor;
use waag_model::value::Value;

use crate::cbor::{Reader, write};
use crate::error::EntryError;

const ID: u64 = 0;
const SOURCE: u64 = 1;
const SUBJECT: u64 = 2;
const ATTRIBUTES: u64 = 3;
const DATA: u64 = 4;
const BINARY: u64 = 5;
const ACTOR: u64 = 6;

/// An event with some of its values withheld: what the common part tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Common<'a> {
    /// The event's id.
    pub id: Value<'a>,
    /// The event's source.
    pub source: Value<'a>,
    /// The event's subject, where it has one.
    pub subject: Option<Value<'a>>,
    /// All further attributes by name, as one object; or withheld as a whole.
    pub attributes: Value<'a>,
    /// The body.
    pub body: Body<'a>,
    /// Who gave the event to Waag; withheld only where that is one of the event's persons.
    pub actor: Value<'a>,
}

/// A body as the common part tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// The event has none.
    None,
    /// A JSON body, or the fact that one is withheld.
    Json(Value<'a>),
    /// A binary body.
    Binary(Cow<'a, [u8]>),
}

/// A part's plaintext: itself, or where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inline<T> {
    /// It stands here.
    Here(T),
    /// It is the blob with this place in the header's list.
    Blob(usize),
}

/// One person's fields: paths (JSON Pointers, RFC 6901) into the event and their values, sorted by path.
pub type Fields<'a> = Vec<(Cow<'a, str>, Field<'a>)>;

/// A field's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    /// A JSON value.
    Value(Value<'a>),
    /// A whole event, at the path "".
    Event(Box<Common<'a>>),
}

/// Appends a common part's plaintext.
pub fn write_common(out: &mut Vec<u8>, common: &Common<'_>) {
    let pairs = 4 + usize::from(common.subject.is_some()) + usize::from(common.body != Body::None);
    write::map(out, pairs);
    write::uint(out, ID);
    write::value(out, &common.id);
    write::uint(out, SOURCE);
    write::value(out, &common.source);
    if let Some(subject) = &common.subject {
        write::uint(out, SUBJECT);
        write::value(out, subject);
    }
    write::uint(out, ATTRIBUTES);
    write::value(out, &common.attributes);
    match &common.body {
        Body::None => {}
        Body::Json(value) => {
            write::uint(out, DATA);
            write::value(out, value);
        }
        Body::Binary(bytes) => {
            write::uint(out, BINARY);
            write::bytes(out, bytes);
        }
    }
    write::uint(out, ACTOR);
    write::value(out, &common.actor);
}

/// Appends a person part's plaintext.
pub fn write_fields(out: &mut Vec<u8>, fields: &Fields<'_>) {
    write::map(out, fields.len());
    for (path, field) in fields {
        write::text(out, path);
        match field {
            Field::Value(value) => write::value(out, value),
            Field::Event(event) => write_common(out, event),
        }
    }
}

/// Appends the plaintext of a part whose true plaintext is the blob at `index`.
pub fn write_blob_reference(out: &mut Vec<u8>, index: usize) {
    write::array(out, 1);
    write::uint(out, index as u64);
}

/// Reads a common part's plaintext.
///
/// # Errors
/// [`EntryError::Form`].
pub fn read_common(bytes: &[u8]) -> Result<Inline<Common<'_>>, EntryError> {
    let mut reader = Reader::new(bytes);
    if let Some(index) = blob_reference(&mut reader)? {
        return Ok(Inline::Blob(index));
    }
    let common = common(&mut reader)?;
    reader.end()?;
    Ok(Inline::Here(common))
}

/// Reads a person part's plaintext.
///
/// # Errors
/// [`EntryError::Form`].
pub fn read_fields(bytes: &[u8]) -> Result<Inline<Fields<'_>>, EntryError> {
    let mut reader = Reader::new(bytes);
    if let Some(index) = blob_reference(&mut reader)? {
        return Ok(Inline::Blob(index));
    }
    reader.refuse_placeholders();
    let offset = reader.offset();
    let count = reader.map("a person's fields")?;
    if count == 0 {
        return Err(EntryError::Form { offset, expected: "at least one field" });
    }
    let mut fields: Fields<'_> = Vec::new();
    for _ in 0..count {
        let offset = reader.offset();
        let path = reader.text("a path")?;
        let after = fields.last().is_none_or(|(before, _)| {
            waag_model::value::name_order(before, path) == std::cmp::Ordering::Less
        });
        if !after {
            return Err(EntryError::Form { offset, expected: "a path after the one before it" });
        }
        let field = if path.is_empty() && count == 1 {
            Field::Event(Box::new(common(&mut reader)?))
        } else {
            Field::Value(reader.value()?)
        };
        fields.push((Cow::Borrowed(path), field));
    }
    reader.end()?;
    Ok(Inline::Here(fields))
}

fn blob_reference(reader: &mut Reader<'_>) -> Result<Option<usize>, EntryError> {
    if reader.clone().array("").is_err() {
        return Ok(None);
    }
    reader.array_of(1, "a reference to a blob")?;
    let offset = reader.offset();
    let index = usize::try_from(reader.uint("a blob's place")?).ok();
    reader.end()?;
    index.map(Some).ok_or(EntryError::Form { offset, expected: "a blob's place" })
}

fn common<'a>(reader: &mut Reader<'a>) -> Result<Common<'a>, EntryError> {
    let start = reader.offset();
    let wrong = |expected| EntryError::Form { offset: start, expected };
    let pairs = reader.map("an event")?;
    let (mut id, mut source, mut subject, mut attributes, mut actor) = (None, None, None, None, None);
    let mut body = Body::None;
    let mut least = 0;
    for _ in 0..pairs {
        let offset = reader.offset();
        let key = reader.uint("an event's key")?;
        if key < least || key > ACTOR {
            return Err(EntryError::Form { offset, expected: "a key after the one before it" });
        }
        least = key + 1;
        match key {
            ID => id = Some(text_or_withheld(reader)?),
            SOURCE => source = Some(text_or_withheld(reader)?),
            SUBJECT => subject = Some(text_or_withheld(reader)?),
            ATTRIBUTES => attributes = Some(reader.value()?),
            DATA => body = Body::Json(reader.value()?),
            BINARY if body == Body::None => body = Body::Binary(Cow::Borrowed(reader.bytes("a body")?)),
            ACTOR => actor = Some(text_or_withheld(reader)?),
            _ => {
                return Err(EntryError::Form { offset, expected: "a known key of an event" });
            }
        }
    }
    let attributes = attributes.ok_or_else(|| wrong("an event with attributes"))?;
    if !matches!(&attributes, Value::Object(_) | Value::Withheld(_)) {
        return Err(wrong("attributes as a map"));
    }
    Ok(Common {
        id: id.ok_or_else(|| wrong("an event with an id"))?,
        source: source.ok_or_else(|| wrong("an event with a source"))?,
        subject,
        attributes,
        body,
        actor: actor.ok_or_else(|| wrong("an event with an actor"))?,
    })
}

fn text_or_withheld<'a>(reader: &mut Reader<'a>) -> Result<Value<'a>, EntryError> {
    let offset = reader.offset();
    let value = reader.value()?;
    if matches!(value, Value::Text(_) | Value::Withheld(_)) {
        Ok(value)
    } else {
        Err(EntryError::Form { offset, expected: "a text, or a placeholder" })
    }
}

impl<'a> Common<'a> {
    /// An event as a common part tells it, with nothing withheld yet.
    #[must_use]
    pub fn from_event(event: Event<'a>, actor: &'a Actor) -> Self {
        let body = match event.data {
            Data::None => Body::None,
            Data::Json(value) => Body::Json(value),
            Data::Binary(bytes) => Body::Binary(bytes),
        };
        Self {
            id: Value::Text(event.id),
            source: Value::Text(event.source),
            subject: event.subject.map(Value::Text),
            attributes: Value::Object(event.attributes),
            body,
            actor: Value::Text(Cow::Borrowed(actor.as_str())),
        }
    }

    /// The event of the given type, where nothing of its identity and attributes is withheld; withheld data stays so.
    #[must_use]
    pub fn into_event(self, kind: &'a str) -> Option<Event<'a>> {
        let text = |value: Value<'a>| {
            if let Value::Text(text) = value { Some(text) } else { None }
        };
        let Value::Object(attributes) = self.attributes else {
            return None;
        };
        Some(Event {
            id: text(self.id)?,
            source: text(self.source)?,
            kind: Cow::Borrowed(kind),
            subject: match self.subject {
                None => None,
                Some(subject) => Some(text(subject)?),
            },
            attributes,
            data: match self.body {
                Body::None => Data::None,
                Body::Json(value) => Data::Json(value),
                Body::Binary(bytes) => Data::Binary(bytes),
            },
        })
    }
}
