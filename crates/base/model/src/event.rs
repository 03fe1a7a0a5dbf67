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

impl Event<'_> {
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
