//! A template, understood: pieces of JSON text with values between them.
//!
//! What makes every result JSON is settled here: with each placeholder taken for a string, or within quotation marks for a
//! letter, the template is one JSON text, and no placeholder is in a name. A value can then take the placeholder's place,
//! whatever it is (`render`).

use std::collections::BTreeMap;

use super::error::TransformError;
use super::json::Index;
use super::path::Path;
use super::{TEMPLATE_DEPTH_MAX, VARIABLE_EVENT, VARIABLE_EVENT_JSON};

/// What a placeholder stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    /// The values at a path.
    At(Path),
    /// The event without its data.
    Attributes,
}

/// A piece of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Text of the template.
    Text(String),
    /// The value of the variable with this number.
    Value(usize),
    /// The same within quotation marks.
    Quoted(usize),
}

/// A template that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    /// What its placeholders stand for, each once.
    pub(super) variables: Vec<Variable>,
    /// In order.
    pub(super) pieces: Vec<Piece>,
}

impl Template {
    /// Understands a template with variables at these paths.
    pub(super) fn read(text: &str, paths: &BTreeMap<&str, Path>) -> Result<Self, TransformError> {
        let mut reader = Reader {
            paths,
            rest: text,
            probe: String::with_capacity(text.len()),
            numbers: BTreeMap::new(),
            template: Self { variables: Vec::new(), pieces: Vec::new() },
        };
        while let Some(c) = reader.rest.chars().next() {
            reader.take(c)?;
        }
        let probe = reader.probe.as_bytes();
        Index::read(probe, TEMPLATE_DEPTH_MAX).map_err(|fault| match fault.is_deep {
            true => TransformError::TooMuch { what: "levels of the template", max: TEMPLATE_DEPTH_MAX },
            false => TransformError::NotJson { what: "template", at: fault.at },
        })?;
        Ok(reader.template)
    }
}

struct Reader<'a> {
    paths: &'a BTreeMap<&'a str, Path>,
    rest: &'a str,
    /// The template with a string, or letters, as long as each placeholder in its place.
    probe: String,
    /// The variables that were met.
    numbers: BTreeMap<&'a str, usize>,
    template: Template,
}

impl<'a> Reader<'a> {
    /// Takes what begins with this character outside of quotation marks.
    fn take(&mut self, c: char) -> Result<(), TransformError> {
        match c {
            '"' => self.string(),
            '<' => {
                let Some(name) = self.placeholder() else {
                    return Err(TransformError::NotJson { what: "template", at: self.probe.len() });
                };
                let number = self.number(name)?;
                self.template.pieces.push(Piece::Value(number));
                // The length of the name and of its two brackets, so that places in the probe are those of the template.
                self.probe.extend(['"'].into_iter().chain(name.bytes().map(|_| 'x')).chain(['"']));
                self.not_a_name(name)
            }
            _ => {
                // White space between values is left out.
                self.advance(c, !matches!(c, ' ' | '\t' | '\n' | '\r'));
                Ok(())
            }
        }
    }

    /// Takes a string from its opening quotation mark to its closing one, or to the end.
    fn string(&mut self) -> Result<(), TransformError> {
        let mut inside = None;
        self.advance('"', true);
        while let Some(c) = self.rest.chars().next() {
            match c {
                '\\' => {
                    self.advance(c, true);
                    if let Some(escaped) = self.rest.chars().next() {
                        self.advance(escaped, true);
                    }
                }
                '<' => match self.placeholder() {
                    Some(name) => {
                        let number = self.number(name)?;
                        if matches!(name, VARIABLE_EVENT | VARIABLE_EVENT_JSON) {
                            let why = "is an object: it stands for itself, without quotation marks";
                            return Err(TransformError::placeholder(name, why));
                        }
                        self.template.pieces.push(Piece::Quoted(number));
                        self.probe.extend("<>".chars().chain(name.chars()).flat_map(mask));
                        inside = Some(name);
                    }
                    None => self.advance(c, true),
                },
                _ => {
                    self.advance(c, true);
                    if c == '"' {
                        break;
                    }
                }
            }
        }
        inside.map_or(Ok(()), |name| self.not_a_name(name))
    }

    /// Takes one character of the template's own, to be written or left out.
    fn advance(&mut self, c: char, is_kept: bool) {
        self.rest = self.rest.get(c.len_utf8()..).unwrap_or_default();
        self.probe.push(c);
        if !is_kept {
            return;
        }
        match self.template.pieces.last_mut() {
            Some(Piece::Text(text)) => text.push(c),
            _ => self.template.pieces.push(Piece::Text(c.to_string())),
        }
    }

    /// Takes a placeholder and answers its name, if it ends before a quotation mark or another opening bracket.
    fn placeholder(&mut self) -> Option<&'a str> {
        let behind = self.rest.strip_prefix('<')?;
        let (name, after) = behind.split_at_checked(behind.find(['<', '>', '"'])?)?;
        self.rest = after.strip_prefix('>')?;
        Some(name)
    }

    /// The number of a variable.
    fn number(&mut self, name: &'a str) -> Result<usize, TransformError> {
        if let Some(number) = self.numbers.get(name) {
            return Ok(*number);
        }
        let variable = match name {
            VARIABLE_EVENT => Variable::Attributes,
            VARIABLE_EVENT_JSON => Variable::At(Path::whole()),
            _ => match self.paths.get(name) {
                Some(path) => Variable::At(path.clone()),
                None => {
                    let why =
                        "is no variable: name it in `paths`, or write `\\u003c` for a bracket in a text";
                    return Err(TransformError::placeholder(name, why));
                }
            },
        };
        let number = self.template.variables.len();
        self.template.variables.push(variable);
        self.numbers.insert(name, number);
        Ok(number)
    }

    /// What has been taken is no member's name, or the placeholder in it is refused.
    fn not_a_name(&self, name: &str) -> Result<(), TransformError> {
        if self.rest.trim_start().starts_with(':') {
            return Err(TransformError::placeholder(name, "stands in the name of a member"));
        }
        Ok(())
    }
}

/// As many letters as the character has bytes.
fn mask(c: char) -> impl Iterator<Item = char> {
    std::iter::repeat_n('x', c.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Template, TransformError> {
        let paths = [("a", Path::read("$.a").unwrap()), ("b-c", Path::read("$.b").unwrap())];
        Template::read(text, &paths.into_iter().collect())
    }

    #[test]
    fn pieces_come_in_order_and_variables_once() {
        let template = read("{ \"x\" : <a>,\n \"y z\": \"1 <b-c> < 2 <a>\\\"<a>\" }").unwrap();
        let text = |text: &str| Piece::Text(text.to_owned());
        assert_eq!(
            template.pieces,
            [
                text("{\"x\":"),
                Piece::Value(0),
                text(",\"y z\":\"1 "),
                Piece::Quoted(1),
                text(" < 2 "),
                Piece::Quoted(0),
                text("\\\""),
                Piece::Quoted(0),
                text("\"}"),
            ]
        );
        assert_eq!(template.variables.len(), 2);
    }
}
