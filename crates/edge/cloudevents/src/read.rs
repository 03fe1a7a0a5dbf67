//! One JSON object becomes one event, strictly (CloudEvents 1.0.2 §3, JSON event format §2 and §3).
//!
//! Not here: JSON itself (`json.rs`), what an attribute's type allows (`attribute.rs`).
//! An attribute that is `null` is absent (JSON format §2.2); `data` that is `null` is a body (§3.1.1).

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use waag_model::event::{Data, Event};
use waag_model::limits::{
    ATTRIBUTE_BYTES_MAX, EXTENSION_NAME_BYTES_MAX, EXTENSIONS_MAX, SOURCE_BYTES_MAX, TYPE_BYTES_MAX,
};
use waag_model::value::{DuplicateName, Object, Value};

use crate::attribute;
use crate::json::{Fault, JsonReader, fault};
use crate::refusal::{Reason, Refusal, quoted};

/// Optional attributes that the specification defines and that are kept among the further ones.
const OPTIONAL_NAMES: [&str; 3] = ["time", "datacontenttype", "dataschema"];
/// Most further attributes, extensions and optional ones together.
const FURTHER_MAX: usize = EXTENSIONS_MAX + OPTIONAL_NAMES.len();
/// Further attributes that there is room for before the list grows.
const FURTHER_RESERVED: usize = 4;

/// Reads one event in the JSON event format; text borrows from `bytes` where it has no escapes.
///
/// `data` is kept as the JSON value it is, whatever
/// `datacontenttype` says. `data_base64: null` counts as absent, as an attribute would.
///
/// # Errors
/// [`Refusal`] with the first thing wrong; nothing of a refused event is to be used.
pub fn read_event(bytes: &[u8]) -> Result<Event<'_>, Refusal> {
    event(bytes).map_err(|refused| *refused)
}

/// Reads one JSON value that is no event, as strictly as an event's data: a schema document, say.
///
/// # Errors
/// [`Refusal`] with the first thing wrong.
pub fn read_value(bytes: &[u8]) -> Result<Value<'_>, Refusal> {
    whole_value(bytes).map_err(|refused| *refused)
}

fn whole_value(bytes: &[u8]) -> Result<Value<'_>, Fault> {
    let mut reader = JsonReader::new(bytes)?;
    let first = reader.peek()?;
    let value = reader.value(first, 0)?;
    reader.finish()?;
    Ok(value)
}

/// What has been read of an event so far.
#[derive(Default)]
struct Draft<'a> {
    version: Slot<'a>,
    id: Slot<'a>,
    source: Slot<'a>,
    kind: Slot<'a>,
    subject: Slot<'a>,
    /// Nulls included until the end, so that a repeated name is seen whatever its values are.
    further: Vec<(Cow<'a, str>, Value<'a>)>,
    extensions: usize,
    data: Option<Value<'a>>,
    /// `Some(None)` where the member is there and null.
    binary: Option<Option<Vec<u8>>>,
}

/// A core attribute: not met, met as null, or met with text.
#[derive(Default)]
enum Slot<'a> {
    #[default]
    Unmet,
    Null,
    Text(Cow<'a, str>),
}

impl<'a> Slot<'a> {
    fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Unmet | Self::Null => None,
        }
    }
}

fn event(bytes: &[u8]) -> Result<Event<'_>, Fault> {
    let mut reader = JsonReader::new(bytes)?;
    if reader.peek()? != b'{' {
        // Text that is no JSON at all is told apart from JSON that is no object.
        return Err(match whole_value(bytes) {
            Ok(_) => fault(Reason::NotAnObject, reader.offset()),
            Err(refused) => refused,
        });
    }
    let mut draft = Draft { further: Vec::with_capacity(FURTHER_RESERVED), ..Draft::default() };
    let mut next = reader.first_name()?;
    while let Some(name) = next {
        member(&mut reader, &mut draft, name)?;
        next = reader.next_name()?;
    }
    let end = reader.offset();
    reader.finish()?;
    finished(draft, end)
}

/// Reads the member called `name` into the draft; a refusal says where.
fn member<'a>(reader: &mut JsonReader<'a>, draft: &mut Draft<'a>, name: Cow<'a, str>) -> Result<(), Fault> {
    let read = match name.as_ref() {
        "specversion" => core(reader, &mut draft.version, "specversion", ATTRIBUTE_BYTES_MAX),
        "id" => core(reader, &mut draft.id, "id", ATTRIBUTE_BYTES_MAX),
        "source" => core(reader, &mut draft.source, "source", SOURCE_BYTES_MAX),
        "type" => core(reader, &mut draft.kind, "type", TYPE_BYTES_MAX),
        "subject" => core(reader, &mut draft.subject, "subject", ATTRIBUTE_BYTES_MAX),
        "data" => data(reader, draft),
        "data_base64" => binary(reader, draft),
        _ => match further(reader, draft, &name) {
            Ok(value) => {
                draft.further.push((name, value));
                return Ok(());
            }
            Err(refused) => Err(refused),
        },
    };
    read.map_err(|refused| Box::new(refused.below(&name)))
}

fn core<'a>(
    reader: &mut JsonReader<'a>,
    slot: &mut Slot<'a>,
    name: &'static str,
    limit: usize,
) -> Result<(), Fault> {
    if !matches!(slot, Slot::Unmet) {
        return Err(fault(Reason::DuplicateName(name.to_owned()), reader.offset()));
    }
    let first = reader.peek()?;
    let at = reader.offset();
    let text = match first {
        b'n' => {
            reader.value(first, 0)?;
            *slot = Slot::Null;
            return Ok(());
        }
        b'"' => reader.string()?,
        _ => {
            reader.value(first, 0)?;
            return Err(bad(name, "is not a string", at));
        }
    };
    if text.len() > limit {
        return Err(fault(Reason::AttributeTooLong { name: name.to_owned(), limit }, at));
    }
    let checked = match name {
        "specversion" if text != "1.0" => return Err(fault(Reason::SpecVersion, at)),
        "source" => attribute::uri_reference(&text),
        _ if text.is_empty() => Err("is empty"),
        _ => attribute::string(&text),
    };
    checked.map_err(|why| bad(name, why, at))?;
    *slot = Slot::Text(text);
    Ok(())
}

fn data<'a>(reader: &mut JsonReader<'a>, draft: &mut Draft<'a>) -> Result<(), Fault> {
    let first = reader.peek()?;
    let at = reader.offset();
    if draft.data.is_some() {
        return Err(fault(Reason::DuplicateName("data".to_owned()), at));
    }
    if matches!(draft.binary, Some(Some(_))) {
        return Err(fault(Reason::TwoBodies, at));
    }
    reader.start_counting();
    draft.data = Some(reader.value(first, 0)?);
    Ok(())
}

fn binary(reader: &mut JsonReader<'_>, draft: &mut Draft<'_>) -> Result<(), Fault> {
    let first = reader.peek()?;
    let at = reader.offset();
    if draft.binary.is_some() {
        return Err(fault(Reason::DuplicateName("data_base64".to_owned()), at));
    }
    if first == b'n' {
        reader.value(first, 0)?;
        draft.binary = Some(None);
        return Ok(());
    }
    if first != b'"' {
        reader.value(first, 0)?;
        return Err(fault(Reason::BadBase64, at));
    }
    let text = reader.string()?;
    if draft.data.is_some() {
        return Err(fault(Reason::TwoBodies, at));
    }
    let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| fault(Reason::BadBase64, at))?;
    draft.binary = Some(Some(bytes));
    Ok(())
}

/// An optional attribute or an extension: string, boolean or 32-bit integer (CloudEvents §3.1).
fn further<'a>(reader: &mut JsonReader<'a>, draft: &mut Draft<'a>, name: &str) -> Result<Value<'a>, Fault> {
    let first = reader.peek()?;
    let at = reader.offset();
    let optional = OPTIONAL_NAMES.contains(&name);
    if !optional {
        let named = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !named || name.is_empty() || name.len() > EXTENSION_NAME_BYTES_MAX {
            return Err(fault(Reason::BadName(quoted(name)), at));
        }
        draft.extensions += 1;
    }
    // The second bound stops a flood of repeated optional names, which is refused at the end.
    if draft.extensions > EXTENSIONS_MAX || draft.further.len() >= FURTHER_MAX {
        let twice = || Reason::DuplicateName(quoted(name));
        let reason = if optional { twice() } else { Reason::TooManyExtensions };
        return Err(fault(reason, at));
    }
    let value = match first {
        b'"' => Value::Text(further_text(reader, name, at)?),
        b'n' | b't' | b'f' => reader.value(first, 0)?,
        _ => match reader.value(first, 0)? {
            Value::Integer(integer) if i32::try_from(integer).is_ok() => Value::Integer(integer),
            Value::Integer(_) => return Err(bad(name, "is no integer of 32 bits", at)),
            Value::Null
            | Value::Bool(_)
            | Value::Decimal(_)
            | Value::Text(_)
            | Value::Array(_)
            | Value::Object(_)
            | Value::Withheld(_) => return Err(bad(name, "is not a string, a boolean or an integer", at)),
        },
    };
    if optional && !matches!(value, Value::Text(_) | Value::Null) {
        return Err(bad(name, "is not a string", at));
    }
    Ok(value)
}

fn further_text<'a>(reader: &mut JsonReader<'a>, name: &str, at: usize) -> Result<Cow<'a, str>, Fault> {
    let text = reader.string()?;
    // An extension may hold a URI, so it has a source's room.
    let limit = match name {
        "time" | "datacontenttype" => ATTRIBUTE_BYTES_MAX,
        _ => SOURCE_BYTES_MAX,
    };
    if text.len() > limit {
        return Err(fault(Reason::AttributeTooLong { name: quoted(name), limit }, at));
    }
    let checked = match name {
        "time" => attribute::timestamp(&text),
        "datacontenttype" => attribute::media_type(&text),
        "dataschema" => attribute::uri(&text),
        _ => attribute::string(&text),
    };
    checked.map_err(|why| bad(name, why, at))?;
    Ok(text)
}

/// The whole draft as an event; `end` is the byte after the object.
fn finished(draft: Draft<'_>, end: usize) -> Result<Event<'_>, Fault> {
    let missing = |name| fault(Reason::MissingAttribute(name), end);
    draft.version.text().ok_or_else(|| missing("specversion"))?;
    let id = draft.id.text().ok_or_else(|| missing("id"))?;
    let source = draft.source.text().ok_or_else(|| missing("source"))?;
    let kind = draft.kind.text().ok_or_else(|| missing("type"))?;
    let twice = |DuplicateName(name): DuplicateName| {
        Box::new(Refusal::new(Reason::DuplicateName(quoted(&name)), end).below(&name))
    };
    let mut attributes = Object::from_members(draft.further).map_err(twice)?;
    if attributes.members().iter().any(|(_, value)| matches!(value, Value::Null)) {
        let set = attributes.members().iter().filter(|(_, value)| !matches!(value, Value::Null)).cloned();
        attributes = Object::from_members(set.collect()).map_err(twice)?;
    }
    let data = match (draft.data, draft.binary.flatten()) {
        (Some(value), _) => Data::Json(value),
        (None, Some(bytes)) => Data::Binary(Cow::Owned(bytes)),
        (None, None) => Data::None,
    };
    Ok(Event { id, source, kind, subject: draft.subject.text(), attributes, data })
}

#[cold]
fn bad(name: &str, why: &'static str, at: usize) -> Fault {
    fault(Reason::BadAttribute { name: quoted(name), why }, at)
}
