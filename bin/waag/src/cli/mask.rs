//! Personal fields as they are shown to somebody who has given no reason: at most their last four characters.
//!
//! A person's field is what stands in a person's part, so the mask needs no schema and misses nothing that was sealed as
//! personal. Never more than half of a value's characters is shown. Not here: who may see more (`read`, with a reason).

use std::borrow::Cow;

use waag_entry::plain::{Body, Common, Field, Fields};
use waag_model::value::{Object, Value};

/// Most characters of a value that stay visible.
const VISIBLE_CHARACTERS: usize = 4;
/// Of a person's id, one character of so many stays visible.
const PERSON_VISIBLE_PART: usize = 4;
const HIDDEN: &str = "****";

/// A text's last characters behind asterisks, however long it is.
pub(crate) fn mask_text(text: &str) -> String {
    format!("{HIDDEN}{}", visible(text))
}

/// A person's id as it may stand in answers and notes.
pub(crate) fn mask_person(id: &str) -> String {
    format!("{HIDDEN}{}", visible_of_person(id))
}

/// What of a person's id stays visible: at most a quarter of what stands behind its kind, and at most the last four
/// characters. Less than of a field, since ids are short, and whoever knows half of one finds the rest by trying.
pub(crate) fn visible_of_person(id: &str) -> String {
    let behind = id.split_once(':').map_or(id, |(_, behind)| behind);
    let characters = behind.chars().count();
    let visible = VISIBLE_CHARACTERS.min(characters / PERSON_VISIBLE_PART);
    behind.chars().skip(characters - visible).collect()
}

/// What of a text stays visible.
fn visible(text: &str) -> String {
    let characters = text.chars().count();
    let visible = VISIBLE_CHARACTERS.min(characters / 2);
    text.chars().skip(characters - visible).collect()
}

/// A value with every scalar in it masked; names of members are hidden too, since they may be personal.
fn mask_value(value: Value<'_>, names: bool) -> Value<'static> {
    let text = |text: &str| Value::Text(mask_text(text).into());
    match value {
        Value::Null => Value::Null,
        Value::Withheld(part) => Value::Withheld(part),
        Value::Bool(_) => Value::Text(HIDDEN.into()),
        Value::Integer(number) => text(&number.to_string()),
        Value::Decimal(number) => text(&number.significand.to_string()),
        Value::Text(value) => text(&value),
        Value::Array(items) => Value::Array(items.into_iter().map(|item| mask_value(item, names)).collect()),
        Value::Object(object) => mask_object(object, names),
    }
}

fn mask_object(object: Object<'_>, names: bool) -> Value<'static> {
    let mut masked: Vec<(Cow<'static, str>, Value<'static>)> = Vec::new();
    for (at, (name, value)) in object.members().iter().enumerate() {
        let name =
            if names { Cow::Owned(name.as_ref().to_owned()) } else { Cow::Owned(format!("{HIDDEN}{at}")) };
        masked.push((name, mask_value(value.clone(), names)));
    }
    // Names stay different from each other either way.
    Object::from_members(masked).map_or(Value::Null, Value::Object)
}

/// One person's fields masked; names the places as JSON Pointers. `is_actor`: the person is who gave the event to Waag.
pub(crate) fn mask_fields(fields: Fields<'_>, is_actor: bool, places: &mut Vec<String>) -> Fields<'static> {
    let mask = |(path, field): (Cow<'_, str>, Field<'_>)| {
        let path = path.into_owned();
        let field = match field {
            Field::Value(value) => {
                places.push(path.clone());
                Field::Value(mask_value(value, true))
            }
            Field::Event(event) => {
                places.push(String::new());
                Field::Event(Box::new(mask_event(*event, is_actor)))
            }
        };
        (Cow::Owned(path), field)
    };
    fields.into_iter().map(mask).collect()
}

/// An event that is one person's as a whole: everything in it but the actor.
fn mask_event(event: Common<'_>, is_actor: bool) -> Common<'static> {
    let whole = |value| mask_value(value, true);
    Common {
        id: whole(event.id),
        source: whole(event.source),
        subject: event.subject.map(whole),
        attributes: whole(event.attributes),
        body: match event.body {
            Body::None => Body::None,
            // Nobody has described this data, so its names may be personal too.
            Body::Json(data) => Body::Json(mask_value(data, false)),
            Body::Binary(_) => Body::Json(Value::Text(HIDDEN.into())),
        },
        // Who did it stands in the common part too, and the two must agree on it, unless it is the person.
        actor: if is_actor { whole(event.actor) } else { event.actor.into_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_four_characters_and_never_more_than_half_stay_visible() {
        for (text, masked) in [
            ("", "****"),
            ("a", "****"),
            ("ab", "****b"),
            ("Anna", "****na"),
            ("NL91ABNA0417164300", "****4300"),
            ("München", "****hen"),
        ] {
            assert_eq!(mask_text(text), masked, "{text}");
        }
    }

    #[test]
    fn of_a_persons_id_a_quarter_stays_visible_and_never_its_kind() {
        for (id, masked) in [
            ("contact:c-3", "****"),
            ("contact:c-17", "****7"),
            ("customer:c-4711", "****1"),
            ("Bob@Example.org", "****org"),
            ("contact:a-very-long-identifier-4711", "****4711"),
            ("c:", "****"),
            ("", "****"),
            ("a:b:c-31", "****1"),
        ] {
            assert_eq!(mask_person(id), masked, "{id}");
        }
    }

    #[test]
    fn every_kind_of_value_is_masked() {
        let member = |name: &str, value| (Cow::Owned(name.to_owned()), value);
        let object = Object::from_members(vec![
            member("a", Value::Integer(123_456_789)),
            member("b", Value::Array(vec![Value::Bool(true), Value::Null])),
        ]);
        let masked = mask_value(Value::Object(object.unwrap()), true);
        assert_eq!(masked.child("a"), Some(&Value::Text("****6789".into())));
        let list = Value::Array(vec![Value::Text("****".into()), Value::Null]);
        assert_eq!(masked.child("b"), Some(&list));
    }
}
