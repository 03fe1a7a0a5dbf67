//! Which places of an event go into whose part: the schema's plan held against one event.
//!
//! Errs on the safe side: data of another shape than the schema's counts as personal as a whole, and where the person's
//! id cannot be found the event is refused.
//!
//! Not here: moving the values (`split`).

use waag_model::schema::{Node, Schema, Subject, SubjectPath, pointer_step};
use waag_model::value::{Object, Value};

use super::{PERSONS_MAX, SplitError};
use crate::plain::{Body, Common};

/// What is to be moved, and into whose parts.
pub(super) struct Plan {
    /// The persons, in the order of their parts.
    pub(super) persons: Vec<String>,
    /// No path stands below another.
    pub(super) moves: Vec<Move>,
    /// The person named by the event's subject.
    pub(super) subject_person: Option<usize>,
}

/// One place, and the person it goes to.
pub(super) struct Move {
    pub(super) path: String,
    pub(super) person: usize,
}

struct Walk<'e> {
    data: &'e Value<'e>,
    event_subject: Option<&'e str>,
    /// Full ids, with their namespace, and the bare ids as the event has them.
    persons: Vec<(String, String)>,
    moves: Vec<Move>,
}

/// Finds every place that belongs to a person.
pub(super) fn make(common: &Common<'_>, schema: &Schema) -> Result<Plan, SplitError> {
    let nothing = Value::Null;
    let mut walk = Walk {
        data: if let Body::Json(data) = &common.body { data } else { &nothing },
        event_subject: common.subject.as_ref().and_then(Value::as_text),
        persons: Vec::new(),
        moves: Vec::new(),
    };
    let data = walk.data;
    walk.visit(&schema.root, data, "/data", None, false)?;
    for (name, node) in &schema.attributes {
        let (value, path) = match name.as_str() {
            "id" => (Some(&common.id), "/id".to_owned()),
            "source" => (Some(&common.source), "/source".to_owned()),
            name => (common.attributes.child(name), format!("/attributes/{}", pointer_step(name))),
        };
        if let Some(value) = value {
            walk.visit(node, value, &path, None, false)?;
        }
    }
    let subject_person = walk.subject_person(schema)?;
    if let Some(actor) = common.actor.as_text()
        && let Some(person) = walk.known(actor)
    {
        walk.moves.push(Move { path: "/actor".to_owned(), person });
    }
    walk.finish(subject_person)
}

impl<'e> Walk<'e> {
    fn visit(
        &mut self,
        node: &Node,
        value: &'e Value<'e>,
        path: &str,
        whose: Option<usize>,
        inherited: bool,
    ) -> Result<(), SplitError> {
        let whose = match &node.subject {
            Some(_) if *value == Value::Null => None,
            Some(subject) => Some(self.person(subject, value, path)?),
            None => whose,
        };
        let leaf = node.members.is_empty() && node.items.is_none();
        let planned =
            |name: &str| node.members.iter().find(|(planned, _)| planned == name).map(|(_, node)| node);
        // Data of another shape than the schema's hides what the schema marks: all of it counts as personal.
        let odd_shape = match value {
            Value::Object(_) => node.members.is_empty() && node.items.is_some(),
            Value::Array(_) => node.items.is_none() && !node.members.is_empty(),
            Value::Null | Value::Withheld(_) => false,
            Value::Bool(_) | Value::Integer(_) | Value::Decimal(_) | Value::Text(_) => !leaf,
        };
        let persons = odd_shape || node.class.map_or(inherited, |class| class.is_persons());
        // The names of members nobody planned may be personal too (a mail address as a key): such an object is taken
        // whole.
        let taken_whole = |object: &Object<'_>| {
            leaf || odd_shape || persons && object.members().iter().any(|(name, _)| planned(name).is_none())
        };
        match value {
            Value::Object(object) if !taken_whole(object) => {
                for (name, member) in object.members() {
                    if let Some(below) = planned(name) {
                        self.visit(below, member, &format!("{path}/{}", pointer_step(name)), whose, persons)?;
                    }
                }
                return Ok(());
            }
            Value::Array(items) if node.items.is_some() => {
                for (index, item) in items.iter().enumerate() {
                    if let Some(below) = &node.items {
                        self.visit(below, item, &format!("{path}/{index}"), whose, persons)?;
                    }
                }
                return Ok(());
            }
            Value::Object(_)
            | Value::Array(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Decimal(_)
            | Value::Text(_)
            | Value::Withheld(_) => {}
        }
        if persons && *value != Value::Null {
            let person = whose.ok_or_else(|| SplitError::Whose { path: path.to_owned() })?;
            self.moves.push(Move { path: path.to_owned(), person });
        }
        Ok(())
    }

    /// The person named for the place at `path`; the place where the id stands goes into the person's part too.
    fn person(&mut self, subject: &Subject, here: &'e Value<'e>, path: &str) -> Result<usize, SplitError> {
        let below = |top: &str, steps: &[String]| {
            steps.iter().fold(top.to_owned(), |path, step| path + "/" + &pointer_step(step))
        };
        let (bare, place) = match &subject.path {
            SubjectPath::EventSubject => (self.event_subject.map(str::to_owned), None),
            SubjectPath::Data(steps) => (id_at(self.data, steps), Some(below("/data", steps))),
            SubjectPath::Here(steps) => (id_at(here, steps), Some(below(path, steps))),
        };
        let bare = bare.ok_or_else(|| SplitError::Whose { path: path.to_owned() })?;
        let person = self.intern(&subject.kind, bare);
        if let Some(path) = place {
            self.moves.push(Move { path, person });
        }
        Ok(person)
    }

    fn intern(&mut self, kind: &str, bare: String) -> usize {
        let full = if kind.is_empty() { bare.clone() } else { format!("{kind}:{bare}") };
        self.persons.iter().position(|(known, _)| *known == full).unwrap_or_else(|| {
            self.persons.push((full, bare));
            self.persons.len() - 1
        })
    }

    fn known(&self, bare: &str) -> Option<usize> {
        self.persons.iter().position(|(full, known)| known == bare || full == bare)
    }

    /// The event's subject is a person's where the schema says so, and where it is the id of a person found in the data.
    fn subject_person(&mut self, schema: &Schema) -> Result<Option<usize>, SplitError> {
        let Some(subject) = self.event_subject else { return Ok(None) };
        let person = match self.known(subject) {
            None if schema.subject_is_person => Some(self.intern("", subject.to_owned())),
            person => person,
        };
        if let Some(person) = person {
            self.moves.push(Move { path: "/subject".to_owned(), person });
        }
        Ok(person)
    }

    /// Leaves out what goes with a place above it, and persons of whom nothing is left to seal.
    fn finish(mut self, subject_person: Option<usize>) -> Result<Plan, SplitError> {
        // Sorted by steps, a place comes directly before everything below it.
        self.moves.sort_by(|a, b| a.path.split('/').cmp(b.path.split('/')));
        let mut moves: Vec<Move> = Vec::with_capacity(self.moves.len());
        for next in self.moves {
            let goes_with_last = moves.last().is_some_and(|last| {
                next.path
                    .strip_prefix(&last.path)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            });
            if !goes_with_last {
                moves.push(next);
            }
        }
        let mut places = vec![None; self.persons.len()];
        let mut persons = Vec::new();
        for (at, (full, _)) in self.persons.into_iter().enumerate() {
            if moves.iter().any(|one| one.person == at) {
                if let Some(place) = places.get_mut(at) {
                    *place = Some(persons.len());
                }
                persons.push(full);
            }
        }
        if persons.len() > PERSONS_MAX {
            return Err(SplitError::TooManyPersons);
        }
        let place = |person: usize| places.get(person).copied().flatten();
        for one in &mut moves {
            one.person = place(one.person).unwrap_or(one.person);
        }
        Ok(Plan { persons, moves, subject_person: subject_person.and_then(place) })
    }
}

fn id_at(value: &Value<'_>, steps: &[String]) -> Option<String> {
    match steps.iter().try_fold(value, |value, step| value.child(step))? {
        Value::Text(id) if !id.is_empty() => Some(id.as_ref().to_owned()),
        Value::Integer(id) => Some(id.to_string()),
        Value::Text(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Decimal(_)
        | Value::Array(_)
        | Value::Object(_)
        | Value::Withheld(_) => None,
    }
}
