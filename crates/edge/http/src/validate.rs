//! JSON Schema validation of an event's data, every fault with its path.
//!
//! Two validators behind one type. The common keywords are compiled to checks over [`Value`] itself: nothing is converted
//! and numbers stay exact. A schema with any other keyword goes to the `jsonschema` library, for which each event is
//! converted; references to other documents are refused when a schema is compiled, so nothing is ever fetched.
//! Tests hold the first against the second.
//!
//! Not here: what a schema says about personal data (`base/model`, `schema`).

mod pattern;

use std::fmt;

use waag_model::value::{Decimal, Value};

use crate::fault::{Fault, Kind};
use pattern::Pattern;

/// Most faults told of one event.
const FAULTS_MAX: usize = 32;
/// Most names or choices of a schema that are told with a fault.
const LISTED_MAX: usize = 32;
/// Deepest schema.
const DEPTH_MAX: usize = 32;
/// Keywords that check nothing.
const SILENT: [&str; 12] = [
    "$schema",
    "$id",
    "$comment",
    "title",
    "description",
    "examples",
    "default",
    "deprecated",
    "readOnly",
    "writeOnly",
    "x-retention",
    "x-attributes",
];

/// A compiled schema.
pub struct Validator(Form);

enum Form {
    Own(Box<Node>),
    Library(Box<jsonschema::Validator>),
}

impl fmt::Debug for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match self.0 {
            Form::Own(_) => "own",
            Form::Library(_) => "library",
        };
        f.debug_tuple("Validator").field(&form).finish()
    }
}

#[derive(Default)]
struct Node {
    types: Option<Vec<Type>>,
    choices: Option<Vec<serde_json::Value>>,
    required: Vec<String>,
    properties: Vec<Property>,
    closed: bool,
    items: Option<Box<Node>>,
    items_min: Option<u64>,
    items_max: Option<u64>,
    chars_min: Option<u64>,
    chars_max: Option<u64>,
    minimum: Option<i64>,
    above: Option<i64>,
    maximum: Option<i64>,
    pattern: Option<Pattern>,
}

struct Property {
    name: String,
    /// The name as a step of a JSON pointer (RFC 6901 §3).
    step: String,
    node: Node,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Null,
    Boolean,
    Integer,
    Number,
    Text,
    Array,
    Object,
}

/// Why a schema cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSchema(pub String);

impl Validator {
    /// Compiles a schema.
    ///
    /// # Errors
    /// [`BadSchema`] where it is none, or refers to another document.
    pub fn compile(schema: &serde_json::Value) -> Result<Self, BadSchema> {
        if let Some(node) = node(schema, 0) {
            return Ok(Self(Form::Own(Box::new(node))));
        }
        Self::compile_by_library(schema)
    }

    /// Compiles a schema for the library, whatever its keywords: the oracle of tests.
    ///
    /// # Errors
    /// As [`Validator::compile`].
    pub fn compile_by_library(schema: &serde_json::Value) -> Result<Self, BadSchema> {
        let library = jsonschema::options().with_draft(jsonschema::Draft::Draft202012).build(schema);
        library
            .map(|library| Self(Form::Library(Box::new(library))))
            .map_err(|error| BadSchema(error.to_string()))
    }

    /// Whether the compiled checks of this file do the work.
    #[must_use]
    pub fn is_own(&self) -> bool {
        matches!(self.0, Form::Own(_))
    }

    /// What is wrong with a value, below `above`; at most 32 faults.
    #[must_use]
    pub fn faults(&self, value: &Value<'_>, above: &str) -> Vec<Fault> {
        match &self.0 {
            Form::Own(node) => {
                let mut check = Check { path: above.to_owned(), faults: Vec::new() };
                check.value(node, value);
                check.faults
            }
            Form::Library(library) => {
                let value = converted(value);
                let fault = |error: jsonschema::ValidationError<'_>| {
                    let path = format!("{above}{}", error.instance_path());
                    Fault::of(Kind::Schema(format!("breaks the schema's `{}`", error.schema_path())))
                        .at(&path)
                };
                library.iter_errors(&value).take(FAULTS_MAX).map(fault).collect()
            }
        }
    }
}

/// The words for a member that is not there; the path is that of what lacks it.
pub(crate) fn lacks(name: &str) -> String {
    format!("has no `{name}`")
}

/// A schema of which every keyword is known here, as checks.
fn node(schema: &serde_json::Value, depth: usize) -> Option<Node> {
    let mut node = Node::default();
    if let serde_json::Value::Bool(true) = schema {
        return Some(node);
    }
    if depth > DEPTH_MAX {
        return None;
    }
    for (keyword, value) in schema.as_object()? {
        match keyword.as_str() {
            "type" => node.types = Some(types(value)?),
            "enum" => node.choices = Some(scalars(value.as_array()?)?),
            "const" => node.choices = Some(scalars(std::slice::from_ref(value))?),
            "required" => {
                let names = value.as_array()?.iter().map(|name| name.as_str().map(str::to_owned));
                node.required = names.collect::<Option<_>>()?;
            }
            "properties" => {
                let members = value.as_object()?.iter();
                let property = |(name, schema): (&String, &serde_json::Value)| {
                    let node = self::node(schema, depth + 1)?;
                    Some(Property { name: name.clone(), step: step_of(name), node })
                };
                node.properties = members.map(property).collect::<Option<_>>()?;
            }
            "additionalProperties" => node.closed = !value.as_bool()?,
            "items" => node.items = Some(Box::new(self::node(value, depth + 1)?)),
            "minItems" => node.items_min = Some(value.as_u64()?),
            "maxItems" => node.items_max = Some(value.as_u64()?),
            "minLength" => node.chars_min = Some(value.as_u64()?),
            "maxLength" => node.chars_max = Some(value.as_u64()?),
            "minimum" => node.minimum = Some(value.as_i64()?),
            "exclusiveMinimum" => node.above = Some(value.as_i64()?),
            "maximum" => node.maximum = Some(value.as_i64()?),
            "pattern" => node.pattern = Some(Pattern::compile(value.as_str()?)?),
            other if SILENT.contains(&other) || other.starts_with("x-") => {}
            _ => return None,
        }
    }
    Some(node)
}

fn types(value: &serde_json::Value) -> Option<Vec<Type>> {
    let names = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let one = |name: &serde_json::Value| {
        Some(match name.as_str()? {
            "null" => Type::Null,
            "boolean" => Type::Boolean,
            "integer" => Type::Integer,
            "number" => Type::Number,
            "string" => Type::Text,
            "array" => Type::Array,
            "object" => Type::Object,
            _ => return None,
        })
    };
    names.iter().map(one).collect()
}

/// Choices that can be compared exactly: texts, booleans, null.
fn scalars(values: &[serde_json::Value]) -> Option<Vec<serde_json::Value>> {
    let is_plain = |value: &serde_json::Value| value.is_string() || value.is_boolean() || value.is_null();
    values.iter().all(is_plain).then(|| values.to_vec())
}

fn step_of(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

struct Check {
    path: String,
    faults: Vec<Fault>,
}

impl Check {
    fn fault(&mut self, words: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault::of(Kind::Schema(words.into())).at(&self.path));
        }
    }

    fn below(&mut self, step: &str, node: &Node, value: &Value<'_>) {
        let end = self.path.len();
        self.path.push('/');
        self.path.push_str(step);
        self.value(node, value);
        self.path.truncate(end);
    }

    fn value(&mut self, node: &Node, value: &Value<'_>) {
        if let Some(types) = &node.types
            && !types.iter().any(|wanted| is_of(*wanted, value))
        {
            self.fault("has another type than the schema gives it");
        }
        if let Some(choices) = &node.choices
            && !choices.iter().any(|choice| is_choice(choice, value))
        {
            self.fault(format!("is none of the values that the schema allows: {}", listed(choices.iter())));
        }
        match value {
            Value::Text(text) => self.text(node, text),
            Value::Integer(_) | Value::Decimal(_) => self.number(node, value),
            Value::Array(items) => {
                let count = items.len() as u64;
                if let Some(min) = node.items_min.filter(|min| count < *min) {
                    self.fault(format!("has fewer elements than the {min} that the schema asks for"));
                }
                if let Some(max) = node.items_max.filter(|max| count > *max) {
                    self.fault(format!("has more elements than the {max} that the schema allows"));
                }
                if let Some(of) = &node.items {
                    for (index, item) in items.iter().enumerate() {
                        self.below(&index.to_string(), of, item);
                    }
                }
            }
            Value::Object(object) => self.object(node, object),
            Value::Null | Value::Bool(_) | Value::Withheld(_) => {}
        }
    }

    fn object(&mut self, node: &Node, object: &waag_model::value::Object<'_>) {
        for name in &node.required {
            if object.get(name).is_none() {
                self.fault(lacks(name));
            }
        }
        for Property { name, step, node } in &node.properties {
            if let Some(value) = object.get(name) {
                self.below(step, node, value);
            }
        }
        if node.closed {
            // Told once: a list of events may have as many such members as its bytes allow.
            let names = || listed(node.properties.iter().map(|known| known.name.as_str()));
            let mut which = Some(|| format!(", which has {}", names()));
            for (name, _) in object.members() {
                if !node.properties.iter().any(|known| known.name == *name) {
                    let end = self.path.len();
                    self.path.push('/');
                    let shown: String = name.chars().take(64).collect();
                    self.path.push_str(&step_of(&shown));
                    let which = which.take().map(|which| which()).unwrap_or_default();
                    self.fault(format!("is not known to the schema{which}"));
                    self.path.truncate(end);
                }
            }
        }
    }

    fn text(&mut self, node: &Node, text: &str) {
        if node.chars_min.is_some() || node.chars_max.is_some() {
            let chars = text.chars().count() as u64;
            if let Some(min) = node.chars_min.filter(|min| chars < *min) {
                self.fault(format!("is shorter than the schema allows: at least {min} characters"));
            }
            if let Some(max) = node.chars_max.filter(|max| chars > *max) {
                self.fault(format!("is longer than the schema allows: at most {max} characters"));
            }
        }
        if let Some(pattern) = node.pattern.as_ref().filter(|pattern| !pattern.matches(text)) {
            self.fault(format!("does not have the schema's pattern `{}`", pattern.text));
        }
    }

    fn number(&mut self, node: &Node, value: &Value<'_>) {
        let is_below = |bound: &i64| compare(value, *bound).is_lt();
        if let Some(min) = node.minimum.filter(is_below) {
            self.fault(format!("is smaller than the schema allows: at least {min}"));
        } else if let Some(above) = node.above.filter(|above| compare(value, *above).is_le()) {
            self.fault(format!("is smaller than the schema allows: more than {above}"));
        }
        if let Some(max) = node.maximum.filter(|max| compare(value, *max).is_gt()) {
            self.fault(format!("is greater than the schema allows: at most {max}"));
        }
    }
}

/// Names or choices of a schema in a row, each in backticks; of very many the first.
fn listed(of: impl Iterator<Item = impl fmt::Display>) -> String {
    let mut of = of.map(|one| format!("`{one}`"));
    let mut told: Vec<String> = of.by_ref().take(LISTED_MAX).collect();
    told.extend(of.next().map(|_| "…".to_owned()));
    told.join(", ")
}

fn is_of(wanted: Type, value: &Value<'_>) -> bool {
    match value {
        Value::Null => wanted == Type::Null,
        Value::Bool(_) => wanted == Type::Boolean,
        Value::Integer(_) => matches!(wanted, Type::Integer | Type::Number),
        Value::Decimal(number) => wanted == Type::Number || wanted == Type::Integer && is_whole(number),
        Value::Text(_) => wanted == Type::Text,
        Value::Array(_) => wanted == Type::Array,
        Value::Object(_) => wanted == Type::Object,
        Value::Withheld(_) => false,
    }
}

/// JSON Schema counts `1.0` and `1e3` as integers.
fn is_whole(number: &Decimal) -> bool {
    let mut rest = number.significand;
    let mut places = number.exponent;
    while places < 0 && rest != 0 {
        if rest % 10 != 0 {
            return false;
        }
        rest /= 10;
        places += 1;
    }
    true
}

fn is_choice(choice: &serde_json::Value, value: &Value<'_>) -> bool {
    match value {
        Value::Text(text) => choice.as_str() == Some(text.as_ref()),
        Value::Bool(known) => choice.as_bool() == Some(*known),
        Value::Null => choice.is_null(),
        Value::Integer(_) | Value::Decimal(_) | Value::Array(_) | Value::Object(_) | Value::Withheld(_) => {
            false
        }
    }
}

/// A number against a whole bound, exactly.
fn compare(value: &Value<'_>, bound: i64) -> std::cmp::Ordering {
    use std::cmp::Ordering;
    let bound = i128::from(bound);
    match value {
        Value::Integer(integer) => integer.cmp(&bound),
        Value::Decimal(number) if number.significand == 0 => 0.cmp(&bound),
        Value::Decimal(number) => {
            let sign = number.significand.cmp(&0);
            // Far outside of what a bound can be, the sign decides.
            let (mut whole, mut rest) = (number.significand, 0);
            for _ in 0..number.exponent.max(0) {
                match whole.checked_mul(10) {
                    Some(more) => whole = more,
                    None => return sign,
                }
            }
            for _ in number.exponent.min(0)..0 {
                rest |= whole % 10;
                whole /= 10;
            }
            match whole.cmp(&bound) {
                Ordering::Equal if rest != 0 => sign,
                order @ (Ordering::Less | Ordering::Equal | Ordering::Greater) => order,
            }
        }
        Value::Null
        | Value::Bool(_)
        | Value::Text(_)
        | Value::Array(_)
        | Value::Object(_)
        | Value::Withheld(_) => Ordering::Equal,
    }
}

/// A value as the library takes it; numbers beyond 64 bits become floats, for validation only.
fn converted(value: &Value<'_>) -> serde_json::Value {
    match value {
        Value::Null | Value::Withheld(_) => serde_json::Value::Null,
        Value::Bool(known) => (*known).into(),
        Value::Integer(integer) => match (i64::try_from(*integer), u64::try_from(*integer)) {
            (Ok(small), _) => small.into(),
            (_, Ok(small)) => small.into(),
            _ => serde_json::Value::from(*integer as f64),
        },
        Value::Decimal(number) => {
            let text = format!("{}e{}", number.significand, number.exponent);
            serde_json::Value::from(text.parse::<f64>().unwrap_or(0.0))
        }
        Value::Text(text) => text.as_ref().into(),
        Value::Array(items) => items.iter().map(converted).collect(),
        Value::Object(object) => {
            let members = object.members().iter();
            serde_json::Value::Object(
                members.map(|(name, value)| (name.as_ref().to_owned(), converted(value))).collect(),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use waag_cloudevents::read_value;

    use super::*;

    /// The paths of faults, `required` told at the object as the library does.
    fn paths(validator: &Validator, text: &str) -> Vec<String> {
        let value = read_value(text.as_bytes()).unwrap();
        let mut paths: Vec<String> =
            validator.faults(&value, "").into_iter().map(|fault| fault.path).collect();
        paths.sort();
        paths
    }

    #[test]
    fn the_own_checks_and_the_library_find_the_same_faults() {
        let schema = serde_json::json!({
            "type": "object", "required": ["a", "b"],
            "properties": {
                "a": {"type": "string", "minLength": 2, "maxLength": 3},
                "b": {"type": ["integer", "null"], "minimum": -5, "maximum": 10},
                "c": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "number", "exclusiveMinimum": 0}},
                "d": {"enum": ["x", true, null]},
                "e": {"type": ["string", "integer"], "pattern": "^[A-Z]{3}$"},
                "f": {"type": "integer"}
            }
        });
        let (own, library) =
            (Validator::compile(&schema).unwrap(), Validator::compile_by_library(&schema).unwrap());
        assert!(own.is_own() && !library.is_own());
        let cases = [
            r#"{"a":"ab","b":1}"#,
            r#"{}"#,
            r#"[]"#,
            r#"{"a":"é","b":null}"#,
            r#"{"a":"abcd","b":-6,"x":1}"#,
            r#"{"a":1,"b":10.0}"#,
            r#"{"a":"abc","b":10.5}"#,
            r#"{"a":"abc","b":1e1,"c":[]}"#,
            r#"{"a":"abc","b":11,"c":[0.0,0.1,-1]}"#,
            r#"{"a":"abc","b":1,"c":[1e300],"d":"x"}"#,
            r#"{"a":"abc","b":1,"c":["x"],"d":false}"#,
            r#"{"a":"abc","b":1,"d":null,"e":"EUR"}"#,
            r#"{"a":"abc","b":1,"d":1,"e":"EURO","f":1.0}"#,
            r#"{"a":"abc","b":1,"e":"eur","f":1.5}"#,
            r#"{"a":"abc","b":1,"e":5,"f":100e-2}"#,
        ];
        for case in cases {
            // The library tells each missing name at the object, too.
            assert_eq!(paths(&own, case), paths(&library, case), "{case}");
        }
    }

    #[test]
    fn a_fault_says_what_the_schema_would_take() {
        let schema = serde_json::json!({
            "type": "object", "additionalProperties": false,
            "properties": {
                "a": {"type": "string", "minLength": 2, "maxLength": 3, "pattern": "^[A-Z]{3}$"},
                "b": {"type": "number", "minimum": -5, "maximum": 10},
                "c": {"type": "array", "minItems": 1, "maxItems": 2},
                "d": {"enum": ["x", true]},
                "e": {"exclusiveMinimum": 0}
            }
        });
        let validator = Validator::compile(&schema).unwrap();
        assert!(validator.is_own());
        for (text, told) in [
            (r#"{"a":"abcd"}"#, "is longer than the schema allows: at most 3 characters"),
            (r#"{"a":"a"}"#, "is shorter than the schema allows: at least 2 characters"),
            (r#"{"a":"abc"}"#, "does not have the schema's pattern `^[A-Z]{3}$`"),
            (r#"{"b":-6}"#, "is smaller than the schema allows: at least -5"),
            (r#"{"b":10.5}"#, "is greater than the schema allows: at most 10"),
            (r#"{"c":[]}"#, "has fewer elements than the 1 that the schema asks for"),
            (r#"{"c":[1,2,3]}"#, "has more elements than the 2 that the schema allows"),
            (r#"{"d":"y"}"#, r#"is none of the values that the schema allows: `"x"`, `true`"#),
            (r#"{"e":0}"#, "is smaller than the schema allows: more than 0"),
            (r#"{"f":0,"g":0}"#, "is not known to the schema, which has `a`, `b`, `c`, `d`, `e`"),
        ] {
            let faults = validator.faults(&read_value(text.as_bytes()).unwrap(), "");
            assert_eq!(faults.first().unwrap().to_string(), told, "{text}: {faults:?}");
        }
        let faults = validator.faults(&read_value(br#"{"f":0,"g":0}"#).unwrap(), "");
        assert_eq!(faults.last().unwrap().to_string(), "is not known to the schema");
        let names = (0..LISTED_MAX + 1).map(|name| name.to_string());
        assert!(listed(names.clone().take(LISTED_MAX)).ends_with("`31`"));
        assert!(listed(names).ends_with("`31`, …"));
    }

    #[test]
    fn the_shipped_schema_is_checked_without_conversion() {
        let document = include_str!("../../../../schemas/invoice.schema.json");
        let schema: serde_json::Value = serde_json::from_str(document).unwrap();
        let (own, library) =
            (Validator::compile(&schema).unwrap(), Validator::compile_by_library(&schema).unwrap());
        assert!(own.is_own());
        let cases = [
            r#"{"invoice_id":"I-1","due_date":"2026-11-21","currency":"EUR","contact":{"id":"C"}}"#,
            r#"{"invoice_id":"","due_date":"21.11.2026","currency":"eur","contact":{}}"#,
            r#"{"due_date":"2026-11-2","amount_minor":1.5,"touch":"both","contact":{"id":7}}"#,
            r#"{"invoice_id":7,"due_date":"2026-11-21T08:00:00+01:00","exception":true}"#,
            r#"{"invoice_id":7.5,"due_date":"2026-11-21x","exception":1}"#,
        ];
        for case in cases {
            assert_eq!(paths(&own, case), paths(&library, case), "{case}");
        }
        // What the read model of invoices reads is taken (`docs/reference/invoices.md`).
        for read in [
            r#"{"status":"received"}"#,
            r#"{"invoice_id":4711}"#,
            r#"{"due_date":"2026-11-21T08:00:00.5Z"}"#,
            r#"{"exception":true}"#,
            &format!(r#"{{"invoice_id":"{}"}}"#, "i".repeat(waag_invoices::event::INVOICE_ID_BYTES_MAX)),
        ] {
            assert_eq!(paths(&own, read), [""; 0], "{read}");
        }
        let long =
            format!(r#"{{"invoice_id":"{}"}}"#, "i".repeat(waag_invoices::event::INVOICE_ID_BYTES_MAX + 1));
        assert_eq!(paths(&own, &long), ["/invoice_id"]);
    }

    #[test]
    fn other_keywords_go_to_the_library_and_foreign_references_are_refused() {
        let schema = serde_json::json!({"type": "object", "patternProperties": {"^x": {"type": "string"}}});
        let validator = Validator::compile(&schema).unwrap();
        assert!(!validator.is_own());
        assert_eq!(paths(&validator, r#"{"x1":1}"#), ["/x1"]);
        let foreign = serde_json::json!({"$ref": "https://example.org/schema.json"});
        assert!(Validator::compile(&foreign).is_err());
    }
}
