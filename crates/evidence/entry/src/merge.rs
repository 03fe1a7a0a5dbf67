//! Putting opened parts together again, so that one leaf can be read as one event only.
//!
//! A place in the common part names the part that fills it. A part that does not fill exactly the places that name it
//! belongs to no event (`ENTRY-6`); places whose part is not given stay withheld.
//!
//! Not here: taking apart (`split`), opening (`part`).

use waag_model::value::{Object, Value};

use crate::error::EntryError;
use crate::plain::{Body, Common, Field, Fields};
use crate::split::place_of;

/// Puts persons' fields back into the common part; each comes with its part's index (1 to 7).
///
/// # Errors
/// [`EntryError::Merge`] where a part does not fill exactly the places that name it.
pub fn merge<'a>(mut common: Common<'a>, parts: Vec<(u8, Fields<'a>)>) -> Result<Common<'a>, EntryError> {
    for (part, fields) in parts {
        common = merge_part(common, part, fields)?;
    }
    Ok(common)
}

fn merge_part<'a>(
    mut common: Common<'a>,
    part: u8,
    mut fields: Fields<'a>,
) -> Result<Common<'a>, EntryError> {
    let wrong = |path: &str| EntryError::Merge(format!("part {part} does not fill `{path}`"));
    if matches!(fields.as_slice(), [(_, Field::Event(_))]) {
        let Some((_, Field::Event(event))) = fields.pop() else { return Err(wrong("")) };
        let actor =
            if common.actor == Value::Withheld(part) { Value::Withheld(part) } else { event.actor.clone() };
        return if common == Common::all_in_part(part, actor) { Ok(*event) } else { Err(wrong("")) };
    }
    for (path, field) in fields {
        let Field::Value(value) = field else { return Err(wrong(&path)) };
        let place = place_of(&mut common, &path).filter(|place| **place == Value::Withheld(part));
        *place.ok_or_else(|| wrong(&path))? = value;
    }
    if common.withholds(part) {
        return Err(EntryError::Merge(format!("part {part} leaves places open that name it")));
    }
    Ok(common)
}

impl<'a> Common<'a> {
    /// What the common part tells of an event that stands whole in one person's part.
    #[must_use]
    pub fn all_in_part(part: u8, actor: Value<'a>) -> Self {
        let gone = || Value::Withheld(part);
        Self {
            id: gone(),
            source: gone(),
            subject: Some(gone()),
            attributes: gone(),
            body: Body::Json(gone()),
            actor,
        }
    }

    /// Whether some place names this part.
    #[must_use]
    pub fn withholds(&self, part: u8) -> bool {
        let body = if let Body::Json(data) = &self.body { Some(data) } else { None };
        [&self.id, &self.source, &self.attributes, &self.actor]
            .into_iter()
            .chain(&self.subject)
            .chain(body)
            .any(|value| withholds(value, part))
    }
}

fn withholds(value: &Value<'_>, part: u8) -> bool {
    let object = |object: &Object<'_>| object.members().iter().any(|(_, member)| withholds(member, part));
    match value {
        Value::Withheld(of) => *of == part,
        Value::Array(items) => items.iter().any(|item| withholds(item, part)),
        Value::Object(members) => object(members),
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Decimal(_) | Value::Text(_) => false,
    }
}
