//! What is delivered instead of an event: a part of it, a text made from parts of it, or something fixed.
//!
//! The language is that of Amazon EventBridge's input transformation, with the event in CloudEvents form:
//!
//! ```
//! use waag_router::transform::Transform;
//!
//! let transform: Transform = serde_json::from_str(r#"{
//!     "paths": {"number": "$.data.invoice", "total": "/data/total", "lines": "$.data.lines[*].sku"},
//!     "template": "{\"text\": \"Invoice <number> is due\", \"total\": <total>, \"lines\": <lines>, \"from\": <waag.event>}"
//! }"#)?;
//! let event = br#"{"type": "invoice.due", "data": {"invoice": "A-7 \"b\"", "total": 12.50, "lines": [{"sku": 1}]}}"#;
//! assert_eq!(
//!     String::from_utf8(transform.compile()?.apply(event)?)?,
//!     r#"{"text":"Invoice A-7 \"b\" is due","total":12.50,"lines":[1],"from":{"type":"invoice.due"}}"#,
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Place in the way of an event: in *deliver*, between the match and the target. It is pure: bytes in, bytes out.
//! Not here: when an event is transformed, and what follows from a failure (it is terminal: trying again gives the same).
//!
//! # The three forms
//!
//! - `{"path": PATH}`: the value at the path, as it is written. Where the event has none, delivery fails with a code,
//!   because there is nothing to deliver.
//! - `{"constant": VALUE}`: the value, whatever the event is.
//! - `{"paths": {NAME: PATH, …}, "template": TEXT}`: the template with values in the place of `<NAME>`. It is JSON with
//!   placeholders: an object, an array, or a text in quotation marks.
//!
//! Paths are `$`, `.name`, `['any name']`, `[0]`, and `.*` or `[*]`; or JSON Pointers (RFC 6901) such as `/data/lines/0`.
//! With a wildcard a path stands for the array of what it finds, empty where it finds nothing.
//!
//! `<waag.event>` is the event without its `data`, as `<aws.events.event>` is one without `detail`; `<waag.event.json>` is the
//! whole event. Both stand outside of quotation marks only.
//!
//! # What a placeholder becomes
//!
//! | the event has | outside of quotation marks | within quotation marks |
//! |---|---|---|
//! | a string | the string, with quotation marks | its characters, escaped |
//! | a number, `true`, `false`, `null` | as it is written, with all digits | the same |
//! | an object or array | as it is written | its text without quotation marks |
//! | nothing at the path | `""` | nothing |
//!
//! The last row is what EventBridge delivers: `"command": <c>` became `"command": ""`, and `"of <c>"` became `"of "`
//! (recorded against AWS by LocalStack, `test_events_inputs.snapshot.json`); the user guide says no more than that such a
//! variable "isn't created and won't appear in the output".
//! As there, a placeholder without a variable and one in the name of a member are refused.
//! A bracket that opens none is written `\u003c`, or stands as it is where no `>` follows before the next `<` or the
//! text's end.
//!
//! # Invariants
//!
//! - `TRANSFORM-1`: a result is one JSON text (RFC 8259), whatever is in the event; all else is an error with a code.
//! - `TRANSFORM-2`: what comes from the event is data: it is never read as part of a template, nor closes a string.
//! - `TRANSFORM-3`: time and memory are bounded by the event's bytes times the variables that are used, plus the result's
//!   limit; nothing recurses.
//!
//! Sources: Amazon EventBridge user guide, "Amazon EventBridge input transformation"; API reference, `InputTransformer`.

mod error;
mod json;
mod path;
mod render;
mod template;

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use waag_pattern::limits::{EVENT_BYTES_MAX, EVENT_DEPTH_MAX};

pub use self::error::TransformError;
use self::json::Index;
use self::path::Path;
use self::template::Template;

/// Most variables; EventBridge's limit.
pub const PATHS_MAX: usize = 100;
/// Longest name of a variable, in bytes; EventBridge's limit.
pub const NAME_BYTES_MAX: usize = 256;
/// Longest path, in bytes; EventBridge's limit.
pub const PATH_BYTES_MAX: usize = 256;
/// Longest template, in bytes; EventBridge's limit.
pub const TEMPLATE_BYTES_MAX: usize = 8_192;
/// Deepest nesting of a template, in objects and arrays.
pub const TEMPLATE_DEPTH_MAX: usize = 32;
/// Longest constant, in bytes; EventBridge's limit.
pub const CONSTANT_BYTES_MAX: usize = 8_192;
/// Longest result, in bytes.
pub const OUTPUT_BYTES_MAX: usize = 256 * 1_024;
/// Deepest nesting of a result, and of a constant, in objects and arrays: that of events.
pub const OUTPUT_DEPTH_MAX: usize = EVENT_DEPTH_MAX;

/// The variable that is the event without its data.
const VARIABLE_EVENT: &str = "waag.event";
/// The variable that is the event.
const VARIABLE_EVENT_JSON: &str = "waag.event.json";

/// A transformation as it is asked for; see the head of this file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transform {
    /// The variables of the template: where in the event each is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "each_name_once")]
    pub paths: BTreeMap<String, String>,
    /// The text to be delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Where in the event the part to be delivered is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The value to be delivered.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "also_null")]
    pub constant: Option<Box<RawValue>>,
}

impl PartialEq for Transform {
    fn eq(&self, other: &Self) -> bool {
        let constant = |of: &Self| of.constant.as_ref().map(|value| value.get().to_owned());
        (&self.paths, &self.template, &self.path) == (&other.paths, &other.template, &other.path)
            && constant(self) == constant(other)
    }
}

/// A constant may be `null`, which is not the same as none.
fn also_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

/// Of two variables of one name the first would be lost without a word.
fn each_name_once<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct Names;
    impl<'de> Visitor<'de> for Names {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of names and paths")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut paths = BTreeMap::new();
            while let Some((name, path)) = map.next_entry::<String, String>()? {
                if paths.contains_key(&name) {
                    return Err(A::Error::custom(format!("the variable `{name}` is given twice")));
                }
                paths.insert(name, path);
            }
            Ok(paths)
        }
    }
    deserializer.deserialize_map(Names)
}

impl Transform {
    /// Whether it can be understood.
    ///
    /// # Errors
    /// Those of [`Self::compile`].
    pub fn check(&self) -> Result<(), TransformError> {
        self.compile().map(drop)
    }

    /// Understands it, once for many events.
    ///
    /// # Errors
    /// [`TransformError`]: it is none of the three forms, a limit is passed, a path or a name is none, or the template is
    /// not JSON with placeholders.
    pub fn compile(&self) -> Result<Compiled, TransformError> {
        match (&self.template, &self.path, &self.constant) {
            (None, _, _) if !self.paths.is_empty() => {
                Err(TransformError::Form("`paths` are the variables of a `template`, and there is none"))
            }
            (Some(template), None, None) => self.compile_template(template),
            (None, Some(text), None) => {
                let path = read_path(text)?;
                Ok(Compiled(Form::Part { path, text: text.clone() }))
            }
            (None, None, Some(constant)) => read_constant(constant.get()),
            _ => Err(TransformError::Form("it has exactly one of `template`, `path` and `constant`")),
        }
    }

    fn compile_template(&self, template: &str) -> Result<Compiled, TransformError> {
        at_most("variables", self.paths.len(), PATHS_MAX)?;
        at_most("bytes of the template", template.len(), TEMPLATE_BYTES_MAX)?;
        let mut paths = BTreeMap::new();
        for (name, path) in &self.paths {
            at_most("bytes of a variable's name", name.len(), NAME_BYTES_MAX)?;
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
            if name.is_empty() || !name.bytes().all(is_plain) {
                return Err(TransformError::name(name));
            }
            paths.insert(name.as_str(), read_path(path)?);
        }
        Template::read(template, &paths).map(|template| Compiled(Form::Template(template)))
    }
}

fn at_most(what: &'static str, count: usize, max: usize) -> Result<(), TransformError> {
    if count > max { Err(TransformError::TooMuch { what, max }) } else { Ok(()) }
}

fn read_path(text: &str) -> Result<Path, TransformError> {
    at_most("bytes of a path", text.len(), PATH_BYTES_MAX)?;
    Path::read(text).map_err(|why| TransformError::Path { path: text.to_owned(), why })
}

fn read_constant(text: &str) -> Result<Compiled, TransformError> {
    at_most("bytes of the constant", text.len(), CONSTANT_BYTES_MAX)?;
    Index::read(text.as_bytes(), OUTPUT_DEPTH_MAX).map_err(|fault| match fault.is_deep {
        true => TransformError::TooMuch { what: "levels of the constant", max: OUTPUT_DEPTH_MAX },
        false => TransformError::NotJson { what: "constant", at: fault.at },
    })?;
    Ok(Compiled(Form::Constant(text.as_bytes().into())))
}

/// A transformation that was understood.
#[derive(Clone, Debug)]
pub struct Compiled(Form);

#[derive(Clone, Debug)]
enum Form {
    Template(Template),
    /// A path to one value or the array of several; its text is for the error.
    Part {
        path: Path,
        text: String,
    },
    Constant(Box<[u8]>),
}

impl Compiled {
    /// What is delivered instead of an event in the CloudEvents JSON format.
    ///
    /// # Errors
    /// [`TransformError`], which the same event gives every time: there is nothing at the path, the result is longer than
    /// [`OUTPUT_BYTES_MAX`] or deeper than [`OUTPUT_DEPTH_MAX`], or the event is not one JSON text.
    pub fn apply(&self, event_json: &[u8]) -> Result<Vec<u8>, TransformError> {
        if let Form::Constant(constant) = &self.0 {
            return Ok(constant.to_vec());
        }
        if event_json.len() > EVENT_BYTES_MAX {
            return Err(TransformError::Event { at: EVENT_BYTES_MAX });
        }
        let event = Index::read(event_json, EVENT_DEPTH_MAX)
            .map_err(|fault| TransformError::Event { at: fault.at })?;
        match &self.0 {
            Form::Template(template) => render::render(template, &event),
            Form::Part { path, text } => render::part(path, text, &event),
            Form::Constant(constant) => Ok(constant.to_vec()),
        }
    }
}
