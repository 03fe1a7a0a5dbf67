//! A small exact JSON writer: every value has one reading, numbers keep the digits they were sealed with.
//!
//! A decimal is written with a point or an exponent and an integer with neither, so that both come back as they were.
//! Characters that a terminal would obey, or that reorder text, are escaped (`VERIFY-3`), which a JSON reader undoes.
//!
//! Not here: which facts are written (`report`).

use std::fmt::{Display, Write as _};

use waag_model::text::steers;
use waag_model::value::{Decimal, Value};

/// The member that stands, alone in an object, for a value that is in another part.
pub const WITHHELD: &str = "withheld_in_part";
/// Most zeros written before a decimal's digits; a smaller number gets an exponent.
const LEADING_ZEROS_MAX: usize = 6;
const INDENT: &str = "  ";

/// Writes JSON text, on one line or indented.
#[derive(Debug, Default)]
pub struct Json {
    text: String,
    pretty: bool,
    depth: usize,
    /// Nothing stands yet in the innermost object or array.
    fresh: bool,
}

impl Json {
    /// An empty text; `pretty` gives each member and item a line of its own.
    #[must_use]
    pub fn new(pretty: bool) -> Self {
        Self { pretty, ..Self::default() }
    }

    /// The text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    /// An object; `write` adds its members.
    pub fn object<E>(&mut self, write: impl FnOnce(&mut Self) -> Result<(), E>) -> Result<(), E> {
        self.within('{', '}', write)
    }

    /// An array; `write` adds its items.
    pub fn array<E>(&mut self, write: impl FnOnce(&mut Self) -> Result<(), E>) -> Result<(), E> {
        self.within('[', ']', write)
    }

    /// The name of a member, whose value is to be written next.
    pub fn member(&mut self, name: &str) -> &mut Self {
        self.item();
        self.string(name);
        self.text.push_str(if self.pretty { ": " } else { ":" });
        self
    }

    /// Makes room for an item, which is to be written next.
    pub fn item(&mut self) -> &mut Self {
        if !std::mem::replace(&mut self.fresh, false) {
            self.text.push(',');
        }
        self.line();
        self
    }

    /// A string.
    pub fn string(&mut self, string: &str) {
        self.text.push('"');
        for c in string.chars() {
            match c {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                c if steers(c) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(self.text, "\\u{unit:04x}");
                    }
                }
                c => self.text.push(c),
            }
        }
        self.text.push('"');
    }

    /// `null`, a boolean or a number, as it prints itself.
    pub fn plain(&mut self, value: impl Display) {
        let _ = write!(self.text, "{value}");
    }

    /// A value of an event's data.
    pub fn value(&mut self, value: &Value<'_>) {
        match value {
            Value::Null => self.plain("null"),
            Value::Bool(bool) => self.plain(bool),
            Value::Integer(integer) => self.plain(integer),
            Value::Decimal(number) => self.plain(decimal(*number)),
            Value::Text(text) => self.string(text),
            Value::Array(items) => self.all('[', ']', |json| {
                items.iter().for_each(|item| json.item().value(item));
            }),
            Value::Object(object) => self.all('{', '}', |json| {
                object.members().iter().for_each(|(name, member)| json.member(name).value(member));
            }),
            Value::Withheld(part) => self.all('{', '}', |json| json.member(WITHHELD).plain(part)),
        }
    }

    fn all(&mut self, open: char, close: char, write: impl FnOnce(&mut Self)) {
        let Ok(()) = self.within(open, close, |json| {
            write(json);
            Ok::<(), std::convert::Infallible>(())
        });
    }

    fn within<E>(
        &mut self,
        open: char,
        close: char,
        write: impl FnOnce(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.text.push(open);
        self.depth += 1;
        self.fresh = true;
        write(self)?;
        self.depth -= 1;
        if !std::mem::replace(&mut self.fresh, false) {
            self.line();
        }
        self.text.push(close);
        Ok(())
    }

    fn line(&mut self) {
        if self.pretty {
            self.text.push('\n');
            self.text.extend(std::iter::repeat_n(INDENT, self.depth));
        }
    }
}

/// A decimal with its digits as sealed: `12.50`, and `125e-20` where many zeros would stand before the digits.
fn decimal(number: Decimal) -> String {
    let sign = if number.significand < 0 { "-" } else { "" };
    let digits = number.significand.unsigned_abs().to_string();
    let scale = usize::try_from(number.exponent.unsigned_abs()).unwrap_or(usize::MAX);
    if number.exponent >= 0 || scale > digits.len().saturating_add(LEADING_ZEROS_MAX) {
        return format!("{sign}{digits}e{}", number.exponent);
    }
    let padded = format!("{digits:0>width$}", width = scale + 1);
    match padded.split_at_checked(padded.len() - scale) {
        Some((whole, fraction)) => format!("{sign}{whole}.{fraction}"),
        None => format!("{sign}{digits}e{}", number.exponent),
    }
}

/// A text for a terminal: characters it would obey are written as escapes.
#[must_use]
pub fn shown(text: &str) -> String {
    let escape = |c: char| if steers(c) { c.escape_unicode().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use waag_model::value::Object;

    use super::*;

    fn written(value: &Value<'_>, pretty: bool) -> String {
        let mut json = Json::new(pretty);
        json.value(value);
        json.into_text()
    }

    #[test]
    fn decimals_keep_their_digits_and_never_look_like_integers() {
        for (significand, exponent, want) in [
            (1_250, -2, "12.50"),
            (-5, -1, "-0.5"),
            (0, -2, "0.00"),
            (1, 0, "1e0"),
            (-7, 400, "-7e400"),
            (12, -8, "0.00000012"),
            (12, -9, "12e-9"),
            (i128::MIN, -1, "-17014118346046923173168730371588410572.8"),
        ] {
            assert_eq!(written(&Value::Decimal(Decimal { significand, exponent }), false), want);
        }
        assert_eq!(written(&Value::Integer(i128::MAX), false), i128::MAX.to_string());
    }

    #[test]
    fn text_cannot_command_a_terminal() {
        let text = "a\"b\\\n\u{1b}[2J\u{9b}\u{202e}é\u{e0041}";
        let want = r#""a\"b\\\n\u001b[2J\u009b\u202eé\udb40\udc41""#;
        assert_eq!(written(&Value::Text(text.into()), false), want);
        assert_eq!(serde_json::from_str::<String>(want).unwrap(), text);
        assert_eq!(shown("a\u{1b}[2Jé\u{202e}"), "a\\u{1b}[2Jé\\u{202e}");
    }

    #[test]
    fn nesting_is_written_on_one_line_or_indented() {
        let member = |name: &'static str, value| (Cow::Borrowed(name), value);
        let object = |members| Value::Object(Object::from_members(members).unwrap());
        let value = object(vec![
            member("a", Value::Array(vec![Value::Withheld(3), Value::Null, Value::Bool(true)])),
            member("b", object(vec![])),
            member("c", Value::Array(vec![])),
        ]);
        let line = r#"{"a":[{"withheld_in_part":3},null,true],"b":{},"c":[]}"#;
        assert_eq!(written(&value, false), line);
        let pretty = written(&value, true);
        assert!(pretty.starts_with("{\n  \"a\": [\n    {\n      \"withheld_in_part\": 3\n    },\n    null,"));
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&pretty), read(line));
    }
}
