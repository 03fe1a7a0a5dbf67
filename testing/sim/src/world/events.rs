//! The events of a world: what an identity and a content stand for, and the schema they are sealed by.

use waag_engine::registry::{Registered, Registry};
use waag_model::event::{Data, Event};
use waag_model::schema::Schema;
use waag_model::value::{Object, Value};

use crate::auditor::Sent;

fn text(words: &str) -> Value<'_> {
    Value::Text(words.into())
}

fn object<'a>(members: Vec<(&'a str, Value<'a>)>) -> Value<'a> {
    let members = members.into_iter().map(|(name, value)| (name.into(), value)).collect();
    Object::from_members(members).map_or(Value::Null, Value::Object)
}

/// The one registered type: its `who` is a person's, all else is nobody's.
pub(super) fn registry() -> Registry {
    let who = object(vec![("x-data-subject", text("id")), ("x-classification", text("personal"))]);
    let document = object(vec![("properties", object(vec![("who", who)]))]);
    let mut registry = Registry::default();
    if let Ok(schema) = Schema::compile(1, &document) {
        registry.add("known", Registered { schema, dictionary: None });
    }
    registry
}

/// The event that stands for an identity and a content; the same whenever it is sent.
pub(super) fn event(sent: Sent) -> Event<'static> {
    let number = Value::Integer(i128::from(sent.id));
    let content = Value::Integer(i128::from(sent.content));
    let mut members = vec![("n", number), ("c", content)];
    if sent.id.is_multiple_of(5) {
        members.push(("who", object(vec![("id", Value::Text(format!("p{}", sent.id % 7).into()))])));
    }
    // Once in nearly every world: hashing long bodies would take more time than everything else together.
    if sent.id % 97 == 60 {
        members.push(("long", text(LONG)));
    }
    Event {
        id: format!("e{}", sent.id).into(),
        source: "/sim".into(),
        kind: if sent.id.is_multiple_of(11) { "unknown".into() } else { "known".into() },
        subject: sent.id.is_multiple_of(3).then(|| format!("s{}", sent.id % 13).into()),
        attributes: Object::default(),
        data: Data::Json(object(members)),
    }
}

/// Longer than what stays in an entry.
static LONG: &str = {
    static BYTES: [u8; 61_500] = [b'x'; 61_500];
    match std::str::from_utf8(&BYTES) {
        Ok(long) => long,
        Err(_) => "",
    }
};
