//! What keeps an event in order: the hash of its key, which is all that the router knows of it.
//!
//! Invariant `KEY-ORDER-1`: equal keys give equal hashes, and an event without a key gives one that no other event has, so
//! that it waits for nobody.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::value::RawValue;

use crate::records::Key;
use crate::source::Event;
use crate::spec::KeySpec;

/// The key of an event.
#[must_use]
pub fn key_of(event: &Event, by: &KeySpec) -> Key {
    let found = match by {
        KeySpec::None => None,
        KeySpec::Subject => event.ordering,
        KeySpec::Pointer(place) => at(&event.json, place).map(|text| hash(text.as_bytes())),
    };
    found.unwrap_or_else(|| alone(event.position.0))
}

/// The key of an event that is in no order.
fn alone(position: u64) -> Key {
    let mut key = *b"waag own\0\0\0\0\0\0\0\0";
    for (to, from) in key.iter_mut().skip(8).zip(position.to_be_bytes()) {
        *to = from;
    }
    key
}

fn hash(text: &[u8]) -> Key {
    let mut key = [0; 16];
    for (to, from) in key.iter_mut().zip(digest(&SHA256, text).as_ref()) {
        *to = *from;
    }
    key
}

/// The text of the value at a JSON Pointer; none where there is none, or `null`. Objects and arrays are no keys.
fn at(json: &[u8], place: &str) -> Option<String> {
    let mut value: &RawValue = serde_json::from_slice(json).ok()?;
    for step in place.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        let text = value.get();
        value = if text.starts_with('{') {
            let mut members: std::collections::HashMap<String, &RawValue> =
                serde_json::from_str(text).ok()?;
            members.remove(&step)?
        } else if text.starts_with('[') {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            // RFC 6901 §4: digits without a zero or a sign before them.
            let index = step.parse::<usize>().ok().filter(|index| index.to_string() == step)?;
            items.into_iter().nth(index)?
        } else {
            return None;
        };
    }
    let text = value.get();
    if text == "null" || text.starts_with(['{', '[']) {
        return None;
    }
    // The same text however it is escaped.
    if text.starts_with('"') {
        serde_json::from_str(text).ok().map(|text: String| format!("\"{text}"))
    } else {
        Some(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use waag_model::ids::Position;
    use waag_model::time::UtcNanos;

    use super::*;

    fn event(position: u64, ordering: Option<[u8; 16]>, json: &str) -> Event {
        Event {
            position: Position(position),
            committed: UtcNanos(0),
            kind: "a".into(),
            ordering,
            depth: 0,
            json: json.as_bytes().into(),
        }
    }

    #[test]
    fn equal_values_are_one_key_and_events_without_one_are_alone() {
        let by = KeySpec::Pointer("/data/lines/1/a~1b".to_owned());
        let of = |position, json: &str| key_of(&event(position, None, json), &by);
        let one = of(1, r#"{"data":{"lines":[0,{"a/b":"x"}]}}"#);
        assert_eq!(one, of(2, r#"{"data":{"lines":[{},{"a/b":"\u0078"}]}}"#));
        assert_ne!(one, of(2, r#"{"data":{"lines":[{},{"a/b":"y"}]}}"#));
        let without = [
            r#"{"data":1}"#,
            r#"{"data":{"lines":[0,{"a/b":null}]}}"#,
            "no json",
            r#"{"data":{"lines":[0,{"a/b":[]}]}}"#,
        ];
        for json in without {
            assert_eq!(of(9, json), alone(9), "{json}");
            assert_ne!(of(9, json), of(10, json));
        }
        for no_index in ["/data/01", "/data/+1", "/data/-"] {
            let key = key_of(&event(9, None, r#"{"data":[0,1]}"#), &KeySpec::Pointer(no_index.to_owned()));
            assert_eq!(key, alone(9), "{no_index}");
        }
        assert_eq!(key_of(&event(1, Some([3; 16]), "{}"), &KeySpec::Subject), [3; 16]);
        assert_eq!(key_of(&event(1, Some([3; 16]), "{}"), &KeySpec::None), alone(1));
    }
}
