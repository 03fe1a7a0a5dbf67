//! Taking an event apart into the common part and one part per person, and putting it together again (`ENTRY-5`).
//!
//! Whose a field is comes from the registered schema (`model::schema`). An event of a type without one goes whole into
//! the part of its `subject`, since nobody has said that it is not about a person; without a subject it is common.
//! What leaves the common part leaves a placeholder that names its part, so that no other part can fill it.
//! The actor stays in the common part, unless the actor is one of the persons: who did something outlives the person
//! it was done to.
//!
//! Not here: keys, encryption, lengths (the engine's sealing step decides what becomes a blob).

use std::borrow::Cow;
use std::fmt;

use waag_model::event::Event;
use waag_model::ids::Actor;
use waag_model::schema::Schema;
use waag_model::value::{Value, name_order};

use crate::form::PARTS_MAX;
use crate::plain::{Body, Common, Field, Fields};

mod plan;

/// Most persons of one event: each has a part, and the common part is one too.
pub const PERSONS_MAX: usize = PARTS_MAX - 1;

/// An event taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split<'a> {
    /// Everything that is nobody's personal data.
    pub common: Common<'a>,
    /// Each person's fields; the part of the first has index 1.
    pub persons: Vec<Person<'a>>,
    /// Which of the persons the event's `subject` names, where it names one.
    pub subject_person: Option<usize>,
}

/// One person's fields of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person<'a> {
    /// The person's id, with its namespace before it (`employee:7`) where the schema gives one.
    pub id: String,
    /// The fields.
    pub fields: Fields<'a>,
}

/// Why an event cannot be taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SplitError {
    /// The schema calls a field personal and the event does not say whose it is.
    Whose {
        /// JSON Pointer to the field.
        path: String,
    },
    /// More persons than one entry has parts for.
    TooManyPersons,
}

impl SplitError {
    /// The stable code of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Whose { .. } => "E0216",
            Self::TooManyPersons => "E0217",
        }
    }
}

impl fmt::Display for SplitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whose { path } => write!(f, "`{path}` is personal data and the event does not say whose"),
            Self::TooManyPersons => write!(f, "the event concerns more than {PERSONS_MAX} persons"),
        }
    }
}

impl std::error::Error for SplitError {}

/// Takes an event apart.
///
/// # Errors
/// [`SplitError`]; the event is then refused, never stored with a personal field in its common part.
pub fn split<'a>(
    event: Event<'a>,
    actor: &'a Actor,
    schema: Option<&Schema>,
) -> Result<Split<'a>, SplitError> {
    let common = Common::from_event(event, actor);
    // A schema says nothing of what is inside a binary body: such an event goes the way of an unregistered one.
    let opaque = matches!(common.body, Body::Binary(_));
    match schema {
        Some(schema) if schema.is_plain() => Ok(Split { common, persons: Vec::new(), subject_person: None }),
        Some(schema) if !opaque => by_schema(common, schema),
        Some(_) if common.subject.is_none() => Err(SplitError::Whose { path: "/data".to_owned() }),
        Some(_) | None => Ok(whole(common)),
    }
}

fn whole(event: Common<'_>) -> Split<'_> {
    let Some(id) = event.subject.as_ref().and_then(Value::as_text).map(str::to_owned) else {
        return Split { common: event, persons: Vec::new(), subject_person: None };
    };
    let actor = if event.actor.as_text() == Some(&id) { Value::Withheld(1) } else { event.actor.clone() };
    let common = Common::all_in_part(1, actor);
    let fields = vec![(Cow::Borrowed(""), Field::Event(Box::new(event)))];
    Split { common, persons: vec![Person { id, fields }], subject_person: Some(0) }
}

fn by_schema<'a>(mut common: Common<'a>, schema: &Schema) -> Result<Split<'a>, SplitError> {
    let plan = plan::make(&common, schema)?;
    let mut persons: Vec<Person<'a>> =
        plan.persons.into_iter().map(|id| Person { id, fields: Vec::new() }).collect();
    for plan::Move { path, person } in plan.moves {
        let (Ok(part), Some(person)) = (u8::try_from(person + 1), persons.get_mut(person)) else { continue };
        let Some(place) = place_of(&mut common, &path) else { continue };
        let taken = std::mem::replace(place, Value::Withheld(part));
        person.fields.push((Cow::Owned(path), Field::Value(taken)));
    }
    for person in &mut persons {
        person.fields.sort_unstable_by(|(a, _), (b, _)| name_order(a, b));
    }
    Ok(Split { common, persons, subject_person: plan.subject_person })
}

/// The place a path names: `/id`, `/source`, `/subject`, `/actor`, `/attributes/…` or `/data…`, escaped as RFC 6901
/// says and in no other way.
pub(crate) fn place_of<'c, 'a>(common: &'c mut Common<'a>, path: &str) -> Option<&'c mut Value<'a>> {
    let mut steps = path.strip_prefix('/')?.split('/');
    let top = match (steps.next()?, &mut common.body) {
        ("id", _) => &mut common.id,
        ("source", _) => &mut common.source,
        ("subject", _) => common.subject.as_mut()?,
        ("actor", _) => &mut common.actor,
        ("attributes", _) => &mut common.attributes,
        ("data", Body::Json(data)) => data,
        _ => return None,
    };
    steps.try_fold(top, |value, step| {
        let name = step.replace("~1", "/").replace("~0", "~");
        (waag_model::schema::pointer_step(&name) == step).then_some(())?;
        value.child_mut(&name)
    })
}

#[cfg(test)]
mod tests;
