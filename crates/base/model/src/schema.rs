//! What a registered schema says about personal data: whose each field is, and how long the event is kept.
//!
//! Compiled once from a JSON Schema document's annotations:
//! - `x-data-subject`: where the person's id stands. With a leading `/` a JSON Pointer (RFC 6901) from the event's root
//!   (`/subject`, `/data/employee/id`), without one a path below the object that carries the annotation (`id`).
//! - `x-classification`: `public`, `internal`, `personal`, `account`, `card` or `secret`; a child inherits its parent's.
//! - `x-data-subject-kind`, beside it: a namespace for the id, so that customer 7 and employee 7 are two persons.
//! - `x-attributes`, at the top: the same annotations for the event's own `id`, `source` and extension attributes.
//! - `x-retention`, at the top: the retention class; `business` where it is missing.
//!
//! Annotations are read below `properties` and `items` only. Below any other keyword, and beside `$ref`, they are
//! refused, since a field that the schema calls personal and the sealing overlooks would be a leak nobody sees.
//!
//! Not here: validation of data (the edge), taking events apart (`evidence/entry`).

use std::fmt;

use crate::limits::{DEPTH_MAX, RETENTION_BYTES_MAX};
use crate::value::{Object, Value};

/// The retention class of events whose schema names none: seven years.
pub const DEFAULT_RETENTION: &str = "business";

const DATA_SUBJECT: &str = "x-data-subject";
const CLASSIFICATION: &str = "x-classification";
const SUBJECT_KIND: &str = "x-data-subject-kind";
const ATTRIBUTES: &str = "x-attributes";
const RETENTION: &str = "x-retention";
const ANNOTATIONS: [&str; 5] = [DATA_SUBJECT, CLASSIFICATION, SUBJECT_KIND, ATTRIBUTES, RETENTION];
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// How sensitive a field is. From `Personal` on it belongs into its person's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// For everyone.
    Public,
    /// For the firm.
    Internal,
    /// About a person.
    Personal,
    /// An account's identification.
    Account,
    /// A payment card's data.
    Card,
    /// Secret even within the firm.
    Secret,
}

/// A registered schema's plan for taking an event apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// The version it was registered under, from 1.
    pub version: u32,
    /// The retention class of its events.
    pub retention: String,
    /// Whose the event's `subject` attribute is: true where some path names it as a person's id.
    pub subject_is_person: bool,
    /// The plan for the event's data.
    pub root: Node,
    /// The plan for the event's other attributes, by name (`id`, `source`, extensions).
    pub attributes: Vec<(String, Node)>,
}

/// What a schema says about one place in the data and the places below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its own class, where the schema gives one.
    pub class: Option<Class>,
    /// Where the person's id stands, where the schema says so here.
    pub subject: Option<Subject>,
    /// Members by name, for objects.
    pub members: Vec<(String, Node)>,
    /// All elements, for arrays.
    pub items: Option<Box<Node>>,
}

/// Which person a place is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Where the person's id stands.
    pub path: SubjectPath,
    /// The id's namespace; empty where the schema gives none.
    pub kind: String,
}

/// Where a person's id stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectPath {
    /// The event's `subject` attribute.
    EventSubject,
    /// Steps from the top of the event's data.
    Data(Vec<String>),
    /// Steps from the object that carries the annotation.
    Here(Vec<String>),
}

/// Why a schema's annotations cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaError {
    /// A part of the schema has another form than JSON Schema gives it; where, and what was expected.
    Form {
        /// JSON Pointer into the schema.
        at: String,
        /// What belongs there.
        expected: &'static str,
    },
    /// An annotation stands below a keyword where it would not be seen.
    Unseen {
        /// JSON Pointer into the schema.
        at: String,
    },
    /// A field is personal and no `x-data-subject` says whose it is.
    Whose {
        /// JSON Pointer into the schema.
        at: String,
    },
    /// The schema has annotations and a reference: what stands behind the reference would not be seen.
    Reference {
        /// JSON Pointer into the schema.
        at: String,
    },
    /// Nested deeper than an event can be.
    TooDeep,
}

impl SchemaError {
    /// The stable code of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Form { .. } => "E0131",
            Self::Unseen { .. } => "E0132",
            Self::Whose { .. } => "E0133",
            Self::TooDeep => "E0134",
            Self::Reference { .. } => "E0137",
        }
    }
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form { at, expected } => write!(f, "at `{at}`: expected {expected}"),
            Self::Unseen { at } => {
                write!(f, "at `{at}`: annotations are read below `properties` and `items` only")
            }
            Self::Whose { at } => write!(f, "at `{at}`: personal, and no `{DATA_SUBJECT}` says whose"),
            Self::Reference { at } => {
                write!(f, "at `{at}`: a schema with annotations has no references; write the definition out")
            }
            Self::TooDeep => write!(f, "the schema is nested deeper than {DEPTH_MAX}"),
        }
    }
}

impl std::error::Error for SchemaError {}

impl Class {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "public" => Self::Public,
            "internal" => Self::Internal,
            "personal" => Self::Personal,
            "account" => Self::Account,
            "card" => Self::Card,
            "secret" => Self::Secret,
            _ => return None,
        })
    }

    /// Whether a field of this class is sealed in its person's part.
    #[must_use]
    pub fn is_persons(self) -> bool {
        self >= Self::Personal
    }
}

impl Schema {
    /// Compiles the annotations of a JSON Schema document, registered as `version`.
    ///
    /// # Errors
    /// [`SchemaError`]; a schema that passes never lets a personal field through unseen.
    pub fn compile(version: u32, document: &Value<'_>) -> Result<Self, SchemaError> {
        let Value::Object(top) = document else {
            return Err(SchemaError::Form { at: String::new(), expected: "an object" });
        };
        let retention = match top.get(RETENTION) {
            None => DEFAULT_RETENTION.to_owned(),
            Some(value) => retention_name(value)?,
        };
        let mut compiler = Compiler::default();
        let root =
            compiler.node(document, "", Above { class: None, has_subject: false, top: true }, DEPTH_MAX)?;
        let attributes = match top.get(ATTRIBUTES) {
            None => Vec::new(),
            Some(attributes) => compiler.attributes(attributes)?,
        };
        let schema =
            Self { version, retention, subject_is_person: compiler.subject_is_person, root, attributes };
        match compiler.reference {
            Some(at) if !schema.is_plain() => Err(SchemaError::Reference { at }),
            Some(_) | None => Ok(schema),
        }
    }

    /// Whether no place of it is about a person: every event of this type is common as a whole.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.root == Node::default() && self.attributes.is_empty()
    }
}

const PLAIN_NAME: &str = "a name of 1 to 32 characters `a`-`z`, `0`-`9`, `-`";

fn is_plain_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !name.is_empty() && name.len() <= RETENTION_BYTES_MAX && name.bytes().all(plain)
}

fn retention_name(value: &Value<'_>) -> Result<String, SchemaError> {
    let name = value.as_text().filter(|name| is_plain_name(name)).map(str::to_owned);
    name.ok_or(SchemaError::Form { at: format!("/{RETENTION}"), expected: PLAIN_NAME })
}

#[derive(Default)]
struct Compiler {
    subject_is_person: bool,
    /// Where the first reference stands.
    reference: Option<String>,
}

/// What the schemas above a place say of it.
#[derive(Clone, Copy)]
struct Above {
    class: Option<Class>,
    has_subject: bool,
    top: bool,
}

impl Compiler {
    fn node(
        &mut self,
        schema: &Value<'_>,
        at: &str,
        above: Above,
        depth_left: usize,
    ) -> Result<Node, SchemaError> {
        let schema = match schema {
            Value::Object(schema) => schema,
            // `true` and `false` are schemas too, and carry no annotation.
            Value::Bool(_) => return Ok(Node::default()),
            Value::Null
            | Value::Integer(_)
            | Value::Decimal(_)
            | Value::Text(_)
            | Value::Array(_)
            | Value::Withheld(_) => {
                return Err(SchemaError::Form { at: at.to_owned(), expected: "a schema" });
            }
        };
        let depth_left = depth_left.checked_sub(1).ok_or(SchemaError::TooDeep)?;
        let mut node = self.annotations(schema, at, above.top, depth_left)?;
        let below = Above {
            class: node.class.or(above.class),
            has_subject: above.has_subject || node.subject.is_some(),
            top: false,
        };
        if below.class.is_some_and(Class::is_persons) && !below.has_subject {
            return Err(SchemaError::Whose { at: at.to_owned() });
        }
        if let Some(properties) = schema.get("properties") {
            let Value::Object(properties) = properties else {
                return Err(SchemaError::Form { at: format!("{at}/properties"), expected: "an object" });
            };
            for (name, property) in properties.members() {
                let at = format!("{at}/properties/{}", pointer_step(name));
                let child = self.node(property, &at, below, depth_left)?;
                if child != Node::default() {
                    node.members.push((name.as_ref().to_owned(), child));
                }
            }
        }
        if let Some(items) = schema.get("items") {
            let child = self.node(items, &format!("{at}/items"), below, depth_left)?;
            node.items = (child != Node::default()).then(|| Box::new(child));
        }
        Ok(node)
    }

    /// What a schema says of its own place; refuses annotations that nobody would look for.
    fn annotations(
        &mut self,
        schema: &Object<'_>,
        at: &str,
        top: bool,
        depth_left: usize,
    ) -> Result<Node, SchemaError> {
        let mut node = Node::default();
        for (keyword, value) in schema.members() {
            match keyword.as_ref() {
                CLASSIFICATION => node.class = Some(class(value, at)?),
                DATA_SUBJECT => node.subject = Some(self.subject(value, schema.get(SUBJECT_KIND), at)?),
                SUBJECT_KIND if schema.get(DATA_SUBJECT).is_some() => {}
                RETENTION | ATTRIBUTES if top => {}
                "properties" | "items" | "enum" | "const" | "default" | "examples" => {}
                name if REFERENCES.contains(&name) => {
                    self.reference.get_or_insert_with(|| format!("{at}/{name}"));
                }
                name if ANNOTATIONS.contains(&name) => {
                    return Err(SchemaError::Unseen { at: format!("{at}/{name}") });
                }
                name => self.no_annotations(value, &format!("{at}/{}", pointer_step(name)), depth_left)?,
            }
        }
        Ok(node)
    }

    fn attributes(&mut self, attributes: &Value<'_>) -> Result<Vec<(String, Node)>, SchemaError> {
        let at = format!("/{ATTRIBUTES}");
        let Value::Object(attributes) = attributes else {
            return Err(SchemaError::Form { at, expected: "an object" });
        };
        let mut nodes = Vec::new();
        for (name, schema) in attributes.members() {
            let at = format!("{at}/{}", pointer_step(name));
            let above = Above { class: None, has_subject: false, top: false };
            let node = self.node(schema, &at, above, DEPTH_MAX)?;
            let is_leaf = node.members.is_empty() && node.items.is_none() && name != "subject";
            let here =
                node.subject.as_ref().is_some_and(|subject| matches!(subject.path, SubjectPath::Here(_)));
            if !is_leaf || here {
                let expected = "an attribute's own annotations, with a path from the event's root";
                return Err(SchemaError::Form { at, expected });
            }
            if node != Node::default() {
                nodes.push((name.as_ref().to_owned(), node));
            }
        }
        Ok(nodes)
    }

    fn subject(
        &mut self,
        value: &Value<'_>,
        kind: Option<&Value<'_>>,
        at: &str,
    ) -> Result<Subject, SchemaError> {
        let wrong = || SchemaError::Form {
            at: format!("{at}/{DATA_SUBJECT}"),
            expected: "`/subject`, `/data/…`, or a path below this object",
        };
        let kind = match kind {
            None => String::new(),
            Some(kind) => {
                kind.as_text().filter(|kind| is_plain_name(kind)).map(str::to_owned).ok_or_else(|| {
                    SchemaError::Form { at: format!("{at}/{SUBJECT_KIND}"), expected: PLAIN_NAME }
                })?
            }
        };
        let path = value.as_text().filter(|path| !path.is_empty()).ok_or_else(wrong)?;
        let steps =
            |path: &str| path.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect();
        let path = match path.strip_prefix('/') {
            None => SubjectPath::Here(steps(path)),
            Some("subject") => {
                self.subject_is_person = true;
                SubjectPath::EventSubject
            }
            Some(path) => path.strip_prefix("data/").map(steps).map(SubjectPath::Data).ok_or_else(wrong)?,
        };
        Ok(Subject { path, kind })
    }

    fn no_annotations(&mut self, value: &Value<'_>, at: &str, depth_left: usize) -> Result<(), SchemaError> {
        match value {
            Value::Object(object) => {
                let depth_left = depth_left.checked_sub(1).ok_or(SchemaError::TooDeep)?;
                for (name, member) in object.members() {
                    let at = format!("{at}/{}", pointer_step(name));
                    if ANNOTATIONS.contains(&name.as_ref()) {
                        return Err(SchemaError::Unseen { at });
                    }
                    if REFERENCES.contains(&name.as_ref()) {
                        self.reference.get_or_insert_with(|| at.clone());
                    }
                    self.no_annotations(member, &at, depth_left)?;
                }
                Ok(())
            }
            Value::Array(items) => {
                let depth_left = depth_left.checked_sub(1).ok_or(SchemaError::TooDeep)?;
                let mut items = items.iter().enumerate();
                items.try_for_each(|(i, item)| self.no_annotations(item, &format!("{at}/{i}"), depth_left))
            }
            Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Decimal(_)
            | Value::Text(_)
            | Value::Withheld(_) => Ok(()),
        }
    }
}

fn class(value: &Value<'_>, at: &str) -> Result<Class, SchemaError> {
    value.as_text().and_then(Class::parse).ok_or_else(|| SchemaError::Form {
        at: format!("{at}/{CLASSIFICATION}"),
        expected: "public, internal, personal, account, card or secret",
    })
}

/// One step of a JSON Pointer, escaped (RFC 6901 §3).
#[must_use]
pub fn pointer_step(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object<'a>(members: Vec<(&'a str, Value<'a>)>) -> Value<'a> {
        Value::Object(
            Object::from_members(members.into_iter().map(|(k, v)| (k.into(), v)).collect()).unwrap(),
        )
    }

    fn text(text: &str) -> Value<'_> {
        Value::Text(text.into())
    }

    #[test]
    fn reads_annotations_below_properties_and_items() {
        let schema = object(vec![
            (RETENTION, text("payroll")),
            (DATA_SUBJECT, text("/subject")),
            (
                "properties",
                object(vec![
                    ("total", object(vec![("type", text("integer"))])),
                    ("iban", object(vec![(CLASSIFICATION, text("account"))])),
                    (
                        "lines",
                        object(vec![(
                            "items",
                            object(vec![
                                (DATA_SUBJECT, text("who/id")),
                                (SUBJECT_KIND, text("payee")),
                                (
                                    "properties",
                                    object(vec![("name", object(vec![(CLASSIFICATION, text("personal"))]))]),
                                ),
                            ]),
                        )]),
                    ),
                ]),
            ),
        ]);
        let schema = Schema::compile(2, &schema).unwrap();
        assert_eq!(
            (schema.version, schema.retention.as_str(), schema.subject_is_person),
            (2, "payroll", true)
        );
        let subject = Subject { path: SubjectPath::EventSubject, kind: String::new() };
        assert_eq!(schema.root.subject, Some(subject));
        let names: Vec<_> = schema.root.members.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["iban", "lines"], "a place without annotation costs nothing");
        let line = schema.root.members[1].1.items.as_ref().unwrap();
        let path = SubjectPath::Here(vec!["who".to_owned(), "id".to_owned()]);
        assert_eq!(line.subject, Some(Subject { path, kind: "payee".to_owned() }));
    }

    #[test]
    fn refuses_what_it_would_overlook() {
        let personal = || object(vec![(CLASSIFICATION, text("personal"))]);
        let whose = Schema::compile(1, &object(vec![("properties", object(vec![("name", personal())]))]));
        assert_eq!(whose.unwrap_err(), SchemaError::Whose { at: "/properties/name".to_owned() });
        let unseen = Schema::compile(1, &object(vec![("oneOf", Value::Array(vec![personal()]))]));
        let nested = object(vec![("properties", object(vec![("a", object(vec![(RETENTION, text("x"))]))]))]);
        let at = "/properties/a/x-retention".to_owned();
        assert_eq!(Schema::compile(1, &nested).unwrap_err(), SchemaError::Unseen { at });
        let elsewhere = || object(vec![("$ref", text("#/$defs/x"))]);
        let known = object(vec![(DATA_SUBJECT, text("/subject")), (CLASSIFICATION, text("personal"))]);
        let mixed = object(vec![("properties", object(vec![("a", known), ("b", elsewhere())]))]);
        let at = "/properties/b/$ref".to_owned();
        assert_eq!(Schema::compile(1, &mixed).unwrap_err(), SchemaError::Reference { at });
        assert!(Schema::compile(1, &object(vec![("properties", object(vec![("b", elsewhere())]))])).is_ok());
        assert_eq!(unseen.unwrap_err(), SchemaError::Unseen { at: "/oneOf/0/x-classification".to_owned() });
        for (keyword, value) in [
            (CLASSIFICATION, text("confidential")),
            (DATA_SUBJECT, text("")),
            (DATA_SUBJECT, text("/elsewhere")),
            (RETENTION, text("Seven Years")),
            (RETENTION, text(&"x".repeat(RETENTION_BYTES_MAX + 1))),
            ("properties", Value::Integer(1)),
        ] {
            let error = Schema::compile(1, &object(vec![(keyword, value)])).unwrap_err();
            assert!(matches!(error, SchemaError::Form { .. }), "{keyword}: {error}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let mut schema = object(vec![]);
        for _ in 0..DEPTH_MAX {
            schema = object(vec![("items", schema)]);
        }
        assert_eq!(Schema::compile(1, &schema).unwrap_err(), SchemaError::TooDeep);
    }
}
