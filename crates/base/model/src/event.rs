//! An event in its standard form (CloudEvents 1.0 §3), after the edge has read and checked it.
//!
//! Not here: the JSON form (`edge/cloudevents`), sealing (`evidence/entry`).
//! An [`Event`] says what happened; an [`Accepted`] adds what Waag knows of its arrival.

use std::borrow::Cow;

use crate::ids::Actor;
use crate::time::UtcNanos;
use crate::value::{Object, Value};

/// Something that happened, as its producer tells it. All attributes are as given, none is normalised away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// `source` + `id` is the event's identity.
    pub id: Cow<'a, str>,
    /// Who tells it: a URI reference.
    pub source: Cow<'a, str>,
    /// The event's type; it stands in clear in the entry.
    pub kind: Cow<'a, str>,
    /// What it is about; the default ordering key.
    pub subject: Option<Cow<'a, str>>,
    /// All further attributes by name: `time`, `datacontenttype`, `dataschema` and extensions, as given.
    pub attributes: Object<'a>,
    /// The event's data, where it has any.
    pub data: Data<'a>,
}

/// The body of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data<'a> {
    /// No body.
    None,
    /// A JSON body.
    Json(Value<'a>),
    /// A body of any other kind (CloudEvents JSON format §3.1.1, `data_base64`).
    Binary(Cow<'a, [u8]>),
}

/// An event with what is known of its arrival; what the engine takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted<'a> {
    /// What happened.
    pub event: Event<'a>,
    /// Who gave it to Waag.
    pub actor: Actor,
    /// When and where it was accepted: UTC, not always in order.
    pub accepted: UtcNanos,
}

/// What an attribute's value is in a header, where all are texts (CloudEvents §3, type system).
fn as_header<'v>(value: &'v Value<'_>) -> Option<Cow<'v, str>> {
    match value {
        Value::Text(text) => Some(Cow::Borrowed(text)),
        Value::Integer(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
        Value::Null | Value::Decimal(_) | Value::Array(_) | Value::Object(_) | Value::Withheld(_) => None,
    }
}

/// Whether attributes, in their order, are the same ones.
fn same<'a>(
    mut these: impl Iterator<Item = (&'a str, &'a Value<'a>)>,
    mut those: impl Iterator<Item = (&'a str, &'a Value<'a>)>,
) -> bool {
    loop {
        match (these.next(), those.next()) {
            (None, None) => return true,
            (Some((name, value)), Some((other_name, other))) => {
                let as_text = || as_header(value).zip(as_header(other)).is_some_and(|(one, two)| one == two);
                if name != other_name || value != other && !as_text() {
                    return false;
                }
            }
            (Some(_), None) | (None, Some(_)) => return false,
        }
    }
}

impl Event<'_> {
    /// Whether two are the same event, in whichever mode each was told: JSON data of no told type is of
    /// `application/json` (CloudEvents §3.1, `datacontenttype`), and headers have a number or a truth as text.
    #[must_use]
    pub fn is_same(&self, other: &Event<'_>) -> bool {
        (&self.id, &self.source, &self.kind, &self.subject, &self.data)
            == (&other.id, &other.source, &other.kind, &other.subject, &other.data)
            && same(self.told_attributes(), other.told_attributes())
    }

    /// All attributes but a type that says of JSON that it is JSON.
    fn told_attributes(&self) -> impl Iterator<Item = (&str, &Value<'_>)> {
        let is_json = matches!(self.data, Data::Json(_));
        let says_nothing = move |name: &str, value: &Value<'_>| {
            let is_plain =
                value.as_text().is_some_and(|media| media.eq_ignore_ascii_case("application/json"));
            is_json && name == "datacontenttype" && is_plain
        };
        let members = self.attributes.members().iter().map(|(name, value)| (name.as_ref(), value));
        members.filter(move |(name, value)| !says_nothing(name, value))
    }

    /// The same event, borrowing nothing.
    #[must_use]
    pub fn into_owned(self) -> Event<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Event {
            id: own(self.id),
            source: own(self.source),
            kind: own(self.kind),
            subject: self.subject.map(own),
            attributes: self.attributes.into_owned(),
            data: match self.data {
                Data::None => Data::None,
                Data::Json(value) => Data::Json(value.into_owned()),
                Data::Binary(bytes) => Data::Binary(Cow::Owned(bytes.into_owned())),
            },
        }
    }
}
