//! Values of an event, put in the places of a template's placeholders.
//!
//! Values are written as they stand in the event. Nothing is decoded, so nothing can be encoded wrongly; what was written is
//! not looked at again, so that no value can hold a placeholder. The length is checked before each piece is added.

use super::error::TransformError;
use super::json::Index;
use super::path::Path;
use super::template::{Piece, Template, Variable};
use super::{OUTPUT_BYTES_MAX, OUTPUT_DEPTH_MAX};

/// The result of a template for an event.
pub(super) fn render(template: &Template, event: &Index<'_>) -> Result<Vec<u8>, TransformError> {
    let mut room = OUTPUT_BYTES_MAX;
    let found = template.variables.iter().map(|variable| resolve(variable, event, &mut room));
    let found: Vec<Found> = found.collect::<Result<_, _>>()?;
    let mut out = Output::default();
    for piece in &template.pieces {
        match piece {
            Piece::Text(text) => out.push(text)?,
            Piece::Value(number) => {
                out.values(event, found.get(*number).unwrap_or(&Found::Missing), false)?
            }
            Piece::Quoted(number) => {
                out.values(event, found.get(*number).unwrap_or(&Found::Missing), true)?
            }
        }
    }
    // By the way it is made, the result is JSON of some depth; `TRANSFORM-1` is looked at all the same.
    match Index::read(&out.bytes, OUTPUT_DEPTH_MAX) {
        Ok(_) => Ok(out.bytes),
        Err(fault) if fault.is_deep => Err(TransformError::OutputTooDeep),
        Err(_) => Err(TransformError::OutputNotJson),
    }
}

/// The part of an event at a path, whose text is told where there is none.
pub(super) fn part(path: &Path, text: &str, event: &Index<'_>) -> Result<Vec<u8>, TransformError> {
    let mut room = OUTPUT_BYTES_MAX;
    let found = find(path, event, &mut room)?;
    if matches!(found, Found::Missing) {
        return Err(TransformError::Nothing(text.to_owned()));
    }
    let mut out = Output::default();
    out.values(event, &found, false)?;
    Ok(out.bytes)
}

/// What a variable stands for in an event.
enum Found {
    /// Nothing.
    Missing,
    /// One value.
    One(usize),
    /// An array of values.
    Many(Vec<usize>),
    /// An object of these members.
    Members(Vec<usize>),
}

/// Finds the values at a path; `room` is what all lists together may still take of a result.
fn find(path: &Path, event: &Index<'_>, room: &mut usize) -> Result<Found, TransformError> {
    let values = path.find(event);
    if path.is_many() {
        return bounded(values, room).map(Found::Many);
    }
    Ok(values.first().map_or(Found::Missing, |value| Found::One(*value)))
}

fn resolve(variable: &Variable, event: &Index<'_>, room: &mut usize) -> Result<Found, TransformError> {
    match variable {
        Variable::At(path) => find(path, event, room),
        Variable::Attributes => {
            let is_data = |member| ["data", "data_base64"].iter().any(|name| event.is_called(member, name));
            let members = event.children(Index::ROOT).filter(|member| !is_data(*member));
            bounded(members.collect(), room).map(Found::Members)
        }
    }
}

/// A list that is kept until it is written: each value takes a byte of its own, and a comma or a bracket.
fn bounded(values: Vec<usize>, room: &mut usize) -> Result<Vec<usize>, TransformError> {
    *room = room.checked_sub(values.len().saturating_mul(2)).ok_or(TransformError::OutputTooLong)?;
    Ok(values)
}

#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
}

impl Output {
    fn push(&mut self, text: &str) -> Result<(), TransformError> {
        if text.len() > OUTPUT_BYTES_MAX.saturating_sub(self.bytes.len()) {
            return Err(TransformError::OutputTooLong);
        }
        self.bytes.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// Adds what a variable stands for, as a value of its own or within quotation marks.
    fn values(&mut self, event: &Index<'_>, found: &Found, is_quoted: bool) -> Result<(), TransformError> {
        match found {
            Found::Missing if is_quoted => Ok(()),
            Found::Missing => self.push("\"\""),
            Found::One(value) => self.value(event.text(*value), is_quoted),
            Found::Many(values) => {
                self.push("[")?;
                for (place, value) in values.iter().enumerate() {
                    self.push(if place == 0 { "" } else { "," })?;
                    self.value(event.text(*value), is_quoted)?;
                }
                self.push("]")
            }
            Found::Members(members) => {
                let mark = if is_quoted { "" } else { "\"" };
                self.push("{")?;
                for (place, member) in members.iter().enumerate() {
                    let name = event.raw_name(*member);
                    for text in [if place == 0 { "" } else { "," }, mark, name, mark, ":"] {
                        self.push(text)?;
                    }
                    self.value(event.text(*member), is_quoted)?;
                }
                self.push("}")
            }
        }
    }

    /// Adds one value. Within quotation marks it loses its own, and the white space between its parts; the characters of its
    /// strings stay as they are written, with their escapes.
    fn value(&mut self, text: &str, is_quoted: bool) -> Result<(), TransformError> {
        if !is_quoted {
            return self.push(text);
        }
        let (mut rest, mut is_string) = (text, false);
        while let Some(at) =
            rest.find(if is_string { &['"', '\\'][..] } else { &['"', ' ', '\t', '\n', '\r'][..] })
        {
            let (before, after) = rest.split_at_checked(at).unwrap_or_default();
            self.push(before)?;
            // An escape is two characters, or begins with two.
            let taken = if after.starts_with('\\') { 2 } else { 1 };
            let (mark, after) = after.split_at_checked(taken).unwrap_or_default();
            match mark {
                "\"" => is_string = !is_string,
                " " | "\t" | "\n" | "\r" => {}
                escape => self.push(escape)?,
            }
            rest = after;
        }
        self.push(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lists_together_are_bounded_before_anything_is_written() {
        let event = Index::read(b"[1,2,3]", 4).unwrap();
        let every = Path::read("$[*]").unwrap();
        let mut room = 13;
        for left in [7, 1] {
            assert!(matches!(find(&every, &event, &mut room), Ok(Found::Many(values)) if values.len() == 3));
            assert_eq!(room, left);
        }
        assert_eq!(find(&every, &event, &mut room).err(), Some(TransformError::OutputTooLong));
    }
}
