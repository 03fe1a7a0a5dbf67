//! Taking an event apart into the common part and one part per person, and putting it together again (`ENTRY-5`).
//!
//! Whose a field is comes from the registered schema (`model::schema`). An event of a type without one goes whole into
//! the part of its `subject`, since nobody has said that it is not about a person; without a subject it is common.
//! The actor always stays in the common part: who did something outlives the person it was done to.
//!
//! Not here: keys, encryption, lengths (the engine's sealing step decides what becomes a blob).

use std::borrow::Cow;
use std::fmt;

use waag_model::event::Event;
use waag_model::ids::Actor;
use waag_model::schema::{Node, Schema, SubjectPath, pointer_step};
use waag_model::value::{Value, name_order};

use crate::error::EntryError;
use crate::form::PARTS_MAX;
use crate::plain::{Body, Common, Field, Fields};

/// Most persons of one event: each has a part, and the common part is one too.
pub const PERSONS_MAX: usize = PARTS_MAX - 1;

/// An event taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split<'a> {
    /// Everything that is nobody's personal data.
    pub common: Common<'a>,
    /// Each person's fields.
    pub persons: Vec<Person<'a>>,
    /// Which of the persons the event's `subject` names, where it names one.
    pub subject_person: Option<usize>,
}

/// One person's fields of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person<'a> {
    /// The person's id, as the event gives it.
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
            Self::Whose { .. } => "E0135",
            Self::TooManyPersons => "E0136",
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
    match (schema, &common.subject) {
        (None, None) => Ok(Split {
            common,
            persons: Vec::new(),
            subject_person: None,
        }),
        (None, Some(Value::Text(subject))) => {
            let id = subject.as_ref().to_owned();
            Ok(whole_as_persons(common, id))
        }
        (None, Some(_)) => Err(SplitError::Whose {
            path: "/subject".to_owned(),
        }),
        // A schema says nothing of what is inside a binary body, so the event goes the way of an unregistered one.
        (Some(schema), _) if matches!(common.body, Body::Binary(_)) && schema.root != Node::default() => {
            match common
                .subject
                .as_ref()
                .and_then(Value::as_text)
                .map(str::to_owned)
            {
                Some(subject) => Ok(whole_as_persons(common, subject)),
                None => Err(SplitError::Whose {
                    path: "/data".to_owned(),
                }),
            }
        }
        (Some(schema), _) => by_schema(common, schema),
    }
}

fn whole_as_persons(event: Common<'_>, id: String) -> Split<'_> {
    let common = Common {
        id: Value::Withheld,
        source: Value::Withheld,
        subject: Some(Value::Withheld),
        attributes: Value::Withheld,
        body: Body::None,
        actor: event.actor.clone(),
    };
    let fields = vec![(Cow::Borrowed(""), Field::Event(Box::new(event)))];
    Split {
        common,
        persons: vec![Person { id, fields }],
        subject_person: Some(0),
    }
}

/// Where a field stands in the data, and whose it is.
struct Move {
    steps: Vec<String>,
    person: usize,
}

struct Plan<'e> {
    data: &'e Value<'e>,
    subject: Option<&'e str>,
    persons: Vec<String>,
    moves: Vec<Move>,
    subject_person: Option<usize>,
}

fn by_schema<'a>(mut common: Common<'a>, schema: &Schema) -> Result<Split<'a>, SplitError> {
    if schema.root == Node::default() {
        return Ok(Split {
            common,
            persons: Vec::new(),
            subject_person: None,
        });
    }
    let nothing = Value::Null;
    let mut plan = Plan {
        data: if let Body::Json(data) = &common.body {
            data
        } else {
            &nothing
        },
        subject: common.subject.as_ref().and_then(Value::as_text),
        persons: Vec::new(),
        moves: Vec::new(),
        subject_person: None,
    };
    let mut steps = Vec::new();
    plan.walk(&schema.root, plan.data, &mut steps, None, false)?;
    let Plan {
        persons,
        mut moves,
        subject_person,
        ..
    } = plan;
    if persons.len() > PERSONS_MAX {
        return Err(SplitError::TooManyPersons);
    }
    let mut persons: Vec<Person<'a>> = persons
        .into_iter()
        .map(|id| Person {
            id,
            fields: Vec::new(),
        })
        .collect();
    if let Some(person) = subject_person.and_then(|index| persons.get_mut(index))
        && let Some(subject) = &mut common.subject
    {
        let taken = std::mem::replace(subject, Value::Withheld);
        person
            .fields
            .push((Cow::Borrowed("/subject"), Field::Value(taken)));
    }
    // An ancestor before its descendants: what has gone with the ancestor is not moved again.
    moves.sort_by(|a, b| {
        a.steps
            .len()
            .cmp(&b.steps.len())
            .then_with(|| a.steps.cmp(&b.steps))
    });
    for Move { steps, person } in moves {
        let Body::Json(data) = &mut common.body else { break };
        let Some(place) = steps.iter().try_fold(data, |value, step| value.child_mut(step)) else {
            continue;
        };
        if *place == Value::Withheld {
            continue;
        }
        let taken = std::mem::replace(place, Value::Withheld);
        let path = steps
            .iter()
            .fold("/data".to_owned(), |path, step| path + "/" + &pointer_step(step));
        if let Some(person) = persons.get_mut(person) {
            person.fields.push((Cow::Owned(path), Field::Value(taken)));
        }
    }
    for person in &mut persons {
        person.fields.sort_unstable_by(|(a, _), (b, _)| name_order(a, b));
    }
    // A person the event names without saying anything of them needs no part.
    let kept: Vec<bool> = persons.iter().map(|person| !person.fields.is_empty()).collect();
    let subject_person = subject_person.map(|at| kept.iter().take(at).filter(|kept| **kept).count());
    persons.retain(|person| !person.fields.is_empty());
    Ok(Split {
        common,
        persons,
        subject_person,
    })
}

impl<'e> Plan<'e> {
    fn walk(
        &mut self,
        node: &Node,
        value: &'e Value<'e>,
        steps: &mut Vec<String>,
        whose: Option<usize>,
        inherited: bool,
    ) -> Result<(), SplitError> {
        let whose = match &node.subject {
            Some(path) => self.subject(path, value, steps).or(whose),
            None => whose,
        };
        let leaf = node.members.is_empty() && node.items.is_none();
        // Data of another shape than the schema's hides what the schema marks: all of it counts as personal.
        let odd_shape = match value {
            Value::Object(_) => node.members.is_empty() && node.items.is_some(),
            Value::Array(_) => node.items.is_none() && !node.members.is_empty(),
            Value::Null | Value::Withheld => false,
            Value::Bool(_) | Value::Integer(_) | Value::Decimal(_) | Value::Text(_) => !leaf,
        };
        let persons = odd_shape || node.class.map_or(inherited, |class| class.is_persons());
        let below = match value {
            Value::Object(object) if !leaf && !odd_shape => {
                for (name, member) in object.members() {
                    let planned = node
                        .members
                        .iter()
                        .find(|(planned, _)| planned == name)
                        .map(|(_, node)| node);
                    if planned.is_some() || persons {
                        steps.push(name.as_ref().to_owned());
                        self.walk(planned.unwrap_or(&Node::default()), member, steps, whose, persons)?;
                        steps.pop();
                    }
                }
                true
            }
            Value::Array(items) => match &node.items {
                Some(planned) => {
                    for (index, item) in items.iter().enumerate() {
                        steps.push(index.to_string());
                        self.walk(planned, item, steps, whose, persons)?;
                        steps.pop();
                    }
                    true
                }
                None => false,
            },
            Value::Object(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Decimal(_)
            | Value::Text(_)
            | Value::Withheld => false,
        };
        if persons && !below {
            let path = || {
                steps
                    .iter()
                    .fold("/data".to_owned(), |path, step| path + "/" + &pointer_step(step))
            };
            let person = whose.ok_or_else(|| SplitError::Whose { path: path() })?;
            self.moves.push(Move {
                steps: steps.clone(),
                person,
            });
        }
        Ok(())
    }

    /// The person named at `path`; the place where the id stands goes into the person's part too.
    fn subject(&mut self, path: &SubjectPath, here: &'e Value<'e>, steps: &[String]) -> Option<usize> {
        let (id, place) = match path {
            SubjectPath::EventSubject => (self.subject?.to_owned(), None),
            SubjectPath::Data(path) => (id_at(self.data, path)?, Some(path.clone())),
            SubjectPath::Here(path) => (
                id_at(here, path)?,
                Some(steps.iter().chain(path).cloned().collect()),
            ),
        };
        let person = self
            .persons
            .iter()
            .position(|known| *known == id)
            .unwrap_or_else(|| {
                self.persons.push(id);
                self.persons.len() - 1
            });
        match place {
            None => self.subject_person = Some(person),
            Some(steps) => self.moves.push(Move { steps, person }),
        }
        Some(person)
    }
}

fn id_at(value: &Value<'_>, path: &[String]) -> Option<String> {
    match path.iter().try_fold(value, |value, step| value.child(step))? {
        Value::Text(id) if !id.is_empty() => Some(id.as_ref().to_owned()),
        Value::Integer(id) => Some(id.to_string()),
        Value::Text(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Decimal(_)
        | Value::Array(_)
        | Value::Object(_)
        | Value::Withheld => None,
    }
}

/// Puts persons' fields back into the common part; what is not given stays withheld.
///
/// # Errors
/// [`EntryError::Merge`] where a field does not belong to a withheld place of this event.
pub fn merge<'a>(mut common: Common<'a>, persons: Vec<Fields<'a>>) -> Result<Common<'a>, EntryError> {
    for (path, field) in persons.into_iter().flatten() {
        match field {
            Field::Event(event) if path.is_empty() => {
                if common.id != Value::Withheld || common.actor != event.actor {
                    return Err(EntryError::Merge("a whole event over another".to_owned()));
                }
                common = *event;
            }
            Field::Value(value) => put(&mut common, &path, value)?,
            Field::Event(_) => return Err(EntryError::Merge(format!("a whole event at `{path}`"))),
        }
    }
    Ok(common)
}

fn put<'a>(common: &mut Common<'a>, path: &str, value: Value<'a>) -> Result<(), EntryError> {
    let wrong = || EntryError::Merge(format!("`{path}` is not withheld"));
    let mut steps = path
        .split('/')
        .skip(1)
        .map(|step| step.replace("~1", "/").replace("~0", "~"));
    let top = match (steps.next().as_deref(), &mut common.body) {
        (Some("subject"), _) => common.subject.as_mut(),
        (Some("data"), Body::Json(data)) => Some(data),
        _ => None,
    };
    let place = steps
        .try_fold(top.ok_or_else(wrong)?, |value, step| value.child_mut(&step))
        .ok_or_else(wrong)?;
    if *place != Value::Withheld {
        return Err(wrong());
    }
    *place = value;
    Ok(())
}

#[cfg(test)]
mod tests;
