//! JSON Lines: one object a line, fields by a path of names joined with `.` or a JSON pointer.
//!
//! A line that is no JSON object is left out and told; reading goes on behind it.
//! Source: jsonlines.org, RFC 8259, RFC 6901.

use std::sync::Arc;

use waag_cloudevents::{Lines, read_value};
use waag_model::value::{Decimal, Value};

use crate::error::ImportError;
use crate::limits::NUMBER_DIGITS_MAX;
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
                    let Some(found) = path.iter().try_fold(&value, |value, step| value.child(step)) else {
                        continue;
                    };
                    match text_of(found) {
                        Some((digits, Form::Number)) => record.set_number(slot, &digits),
                        Some((text, Form::Text)) => record.set(slot, &text),
                        None => {}
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

/// In which form of JSON a text stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Number,
    Text,
}

fn text_of(value: &Value<'_>) -> Option<(String, Form)> {
    match value {
        Value::Text(text) => Some((text.as_ref().to_owned(), Form::Text)),
        Value::Integer(integer) => Some((integer.to_string(), Form::Number)),
        Value::Decimal(number) => Some((digits_of(*number), Form::Number)),
        Value::Bool(flag) => Some((flag.to_string(), Form::Text)),
        Value::Null | Value::Array(_) | Value::Object(_) | Value::Withheld(_) => None,
    }
}

/// A decimal number in plain digits, with the zeros that were told; one that has too many of them keeps its exponent.
///
/// A number may stand where an id or a time does, and there its digits are what was told: `44.5`, never `445e-1`.
fn digits_of(Decimal { significand, exponent }: Decimal) -> String {
    let sign = if significand < 0 { "-" } else { "" };
    let digits = significand.unsigned_abs().to_string();
    let places = usize::try_from(exponent.unsigned_abs()).unwrap_or(usize::MAX);
    let length = if exponent < 0 { digits.len().max(places) } else { digits.len().saturating_add(places) };
    if length > NUMBER_DIGITS_MAX {
        return format!("{significand}e{exponent}");
    }
    if exponent >= 0 {
        let zeros = if significand == 0 { 0 } else { places };
        return format!("{sign}{digits}{}", "0".repeat(zeros));
    }
    // A digit stands before the point.
    let digits = format!("{digits:0>width$}", width = places + 1);
    let (whole, fraction) = digits.split_at_checked(digits.len() - places).unwrap_or((&digits, ""));
    format!("{sign}{whole}.{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_the_digits_that_were_told_and_a_bounded_length() {
        for (told, text) in [
            ("44.5", "44.5"),
            ("4400.10", "4400.10"),
            ("7.0", "7.0"),
            ("0.25", "0.25"),
            ("-0.005", "-0.005"),
            ("0.00", "0.00"),
            ("1e3", "1000"),
            ("-25e-1", "-2.5"),
            ("0e9", "0"),
            ("1.7637120005e9", "1763712000.5"),
            ("1e39", &format!("1{}", "0".repeat(39))),
            ("1e40", "1e40"),
            ("1e-40", &format!("0.{}1", "0".repeat(39))),
            ("1e-41", "1e-41"),
            ("12e400", "12e400"),
            ("0e400", "0e400"),
        ] {
            let got = text_of(&read_value(told.as_bytes()).unwrap()).unwrap();
            assert_eq!(got, (text.to_owned(), Form::Number), "{told}");
        }
    }
}
