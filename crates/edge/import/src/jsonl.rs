//! JSON Lines: one object a line, fields by a path of names joined with `.` or a JSON pointer.
//!
//! A line that is no JSON object is left out and told; reading goes on behind it.
//! Source: jsonlines.org, RFC 8259, RFC 6901.

use std::sync::Arc;

use waag_cloudevents::{Lines, read_value};
use waag_model::value::{Decimal, Value};

use crate::error::ImportError;
use crate::record::Record;
use crate::text::Text;

/// Reads objects line by line.
pub(crate) struct Objects<'r> {
    text: Text<'r>,
    lines_before: u64,
    /// The steps to the value that fills each slot.
    paths: Vec<Vec<String>>,
}

impl<'r> Objects<'r> {
    /// Reads `text`; `names` are the mapping's, by slot.
    pub(crate) fn new(text: Text<'r>, names: &[String]) -> Self {
        Self { text, lines_before: 0, paths: names.iter().map(|name| steps(name)).collect() }
    }

    /// Fills `record` with the next line that is not blank; false at the end.
    pub(crate) fn next(&mut self, record: &mut Record) -> Result<bool, ImportError> {
        record.clear();
        // `Lines` bounds a line by itself.
        let mut lines = Lines::new(&mut self.text);
        let line = lines.next_line().map_err(|error| ImportError::from_io(&Arc::new(error)))?;
        let Some(line) = line else { return Ok(false) };
        // A fresh `Lines` counts from 1, blank lines included.
        self.lines_before += line.number;
        record.line = self.lines_before;
        let value = line.bytes.and_then(read_value);
        match value {
            Ok(value @ Value::Object(_)) => {
                for (slot, path) in self.paths.iter().enumerate() {
                    let found = path.iter().try_fold(&value, |value, step| value.child(step));
                    if let Some(text) = found.and_then(text_of) {
                        record.set(slot, &text);
                    }
                }
            }
            Ok(_) => record.unreadable = Some("not a JSON object".to_owned()),
            Err(refusal) => record.unreadable = Some(refusal.to_string()),
        }
        Ok(true)
    }
}

/// `a.b` and `/a/b` are the same path; only the second can say a name with a dot in it.
fn steps(name: &str) -> Vec<String> {
    match name.strip_prefix('/') {
        Some(pointer) => pointer.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect(),
        None => name.split('.').map(str::to_owned).collect(),
    }
}

fn text_of(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.as_ref().to_owned()),
        Value::Integer(integer) => Some(integer.to_string()),
        Value::Decimal(Decimal { significand, exponent }) => Some(format!("{significand}e{exponent}")),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) | Value::Withheld(_) => None,
    }
}
