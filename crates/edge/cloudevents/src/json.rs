//! One JSON text (RFC 8259) becomes one value, or a refusal that says where.
//!
//! The scanning is `jiter`'s; this file adds what it leaves open: the whole input is checked as UTF-8 first, numbers
//! stay text until they are read exactly, repeated names are refused, depth and count are limited.
//! Not here: the attributes of an event (`read.rs`).

use std::borrow::Cow;

use jiter::{Jiter, JiterError, JiterErrorType, JsonErrorType, Peek};
use waag_model::limits::{DEPTH_MAX, EVENT_BYTES_MAX, VALUES_MAX};
use waag_model::value::{DuplicateName, Object, Value};

use crate::number::read_number;
use crate::refusal::{Reason, Refusal, quoted};

/// A refusal on its way up; boxed so that the good way carries little.
pub(crate) type Fault = Box<Refusal>;

/// Members that an object's list has room for before it grows: most objects of events have fewer.
const MEMBERS_RESERVED: usize = 8;
/// Elements that an array's list has room for before it grows.
const ELEMENTS_RESERVED: usize = 4;

/// A JSON text being read from front to back.
pub(crate) struct JsonReader<'a> {
    text: &'a str,
    jiter: Jiter<'a>,
    values: usize,
}

impl<'a> JsonReader<'a> {
    /// Checks size and encoding of the whole text and stands at its start.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, Fault> {
        if bytes.len() > EVENT_BYTES_MAX {
            return Err(fault(Reason::TooLarge(EVENT_BYTES_MAX), EVENT_BYTES_MAX));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| fault(Reason::NotUtf8, error.valid_up_to()))?;
        if text.starts_with('\u{feff}') {
            return Err(fault(Reason::NotJson("it starts with a byte order mark"), 0));
        }
        Ok(Self { text, jiter: Jiter::new(bytes), values: 0 })
    }

    /// The byte that reading has come to.
    pub(crate) fn offset(&self) -> usize {
        self.jiter.current_index()
    }

    /// Counts values anew: the limit is that of an event's data, its attributes do not count.
    pub(crate) fn start_counting(&mut self) {
        self.values = 0;
    }

    /// What kind of value stands next.
    pub(crate) fn peek(&mut self) -> Result<Peek, Fault> {
        self.jiter.peek().map_err(|error| syntax(&error))
    }

    /// The first name of the object that [`Self::peek`] saw.
    pub(crate) fn first_name(&mut self) -> Result<Option<Cow<'a, str>>, Fault> {
        let from = self.jiter.current_index();
        let name = self.jiter.known_object().map_err(|error| syntax(&error))?;
        Ok(name.map(|name| name_from(self.text, from, name)))
    }

    /// The object's next name.
    pub(crate) fn next_name(&mut self) -> Result<Option<Cow<'a, str>>, Fault> {
        let from = self.jiter.current_index();
        let name = self.jiter.next_key().map_err(|error| syntax(&error))?;
        Ok(name.map(|name| name_from(self.text, from, name)))
    }

    /// The string that [`Self::peek`] saw.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        let quote = self.jiter.current_index();
        let decoded = self.jiter.known_str().map_err(|error| syntax(&error))?;
        Ok(borrowed_or_owned(self.text, quote, decoded))
    }

    /// The value that `peek` saw, whole; counts towards `VALUES_MAX`.
    pub(crate) fn value(&mut self, peek: Peek, depth: usize) -> Result<Value<'a>, Fault> {
        let mut value = Value::Null;
        self.fill(&mut value, peek, depth)?;
        Ok(value)
    }

    /// Reads into the place where the value stays: handing values up through returns costs as much as scanning.
    fn fill(&mut self, out: &mut Value<'a>, peek: Peek, depth: usize) -> Result<(), Fault> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(fault(Reason::TooManyValues, self.offset()));
        }
        match peek {
            Peek::String => *out = Value::Text(self.string()?),
            Peek::Object => *out = Value::Object(self.object(depth + 1)?),
            Peek::Array => *out = Value::Array(self.array(depth + 1)?),
            Peek::Null => self.jiter.known_null().map_err(|error| syntax(&error))?,
            Peek::True | Peek::False => {
                *out = Value::Bool(self.jiter.known_bool(peek).map_err(|error| syntax(&error))?);
            }
            _ => *out = self.number(peek)?,
        }
        Ok(())
    }

    fn number(&mut self, peek: Peek) -> Result<Value<'a>, Fault> {
        let from = self.jiter.current_index();
        if !matches!(peek.into_inner(), b'-' | b'0'..=b'9') {
            return Err(fault(Reason::NotJson("a value was expected"), from));
        }
        self.jiter.known_number_bytes(peek).map_err(|error| syntax(&error))?;
        let text = self.text.get(from..self.jiter.current_index()).unwrap_or_default();
        read_number(text).ok_or_else(|| fault(Reason::NumberOutOfRange, from))
    }

    fn object(&mut self, depth: usize) -> Result<Object<'a>, Fault> {
        let from = self.offset();
        if depth > DEPTH_MAX {
            return Err(fault(Reason::TooDeep, from));
        }
        let mut next = self.first_name()?;
        let mut members = Vec::with_capacity(if next.is_some() { MEMBERS_RESERVED } else { 0 });
        while let Some(name) = next {
            members.push((name, Value::Null));
            if let Some((name, value)) = members.last_mut() {
                let read = self.peek().and_then(|peek| self.fill(value, peek, depth));
                read.map_err(|refused| Box::new(refused.below(name)))?;
            }
            next = self.next_name()?;
        }
        let twice = |name: DuplicateName| fault(Reason::DuplicateName(quoted(&name.0)), from);
        Object::from_members(members).map_err(twice)
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Value<'a>>, Fault> {
        if depth > DEPTH_MAX {
            return Err(fault(Reason::TooDeep, self.offset()));
        }
        let mut next = self.jiter.known_array().map_err(|error| syntax(&error))?;
        let mut items = Vec::with_capacity(if next.is_some() { ELEMENTS_RESERVED } else { 0 });
        while let Some(peek) = next {
            let index = items.len();
            items.push(Value::Null);
            if let Some(value) = items.last_mut() {
                let read = self.fill(value, peek, depth);
                read.map_err(|refused| Box::new(refused.below(&index.to_string())))?;
            }
            next = self.jiter.array_step().map_err(|error| syntax(&error))?;
        }
        Ok(items)
    }

    /// Nothing but white space may follow.
    pub(crate) fn finish(mut self) -> Result<(), Fault> {
        self.jiter.finish().map_err(|error| syntax(&error))
    }
}

/// A refusal at `offset`.
#[cold]
pub(crate) fn fault(reason: Reason, offset: usize) -> Fault {
    Box::new(Refusal::new(reason, offset))
}

/// The name's own text where the input has it unescaped, a copy where it was escaped.
///
/// Between `from` and the name's opening quote stand only `{`, `,` and white space.
fn name_from<'a>(text: &'a str, from: usize, decoded: &str) -> Cow<'a, str> {
    let rest = text.as_bytes().get(from..).unwrap_or_default();
    let quote = rest.iter().position(|byte| *byte == b'"').unwrap_or_default();
    borrowed_or_owned(text, from + quote, decoded)
}

/// Borrows the characters after the quote at `quote` where they are the decoded ones; that is so exactly when
/// nothing was escaped, and comparing makes a wrong borrow impossible.
fn borrowed_or_owned<'a>(text: &'a str, quote: usize, decoded: &str) -> Cow<'a, str> {
    match text.get(quote + 1..quote + 1 + decoded.len()) {
        Some(same) if same == decoded => Cow::Borrowed(same),
        Some(_) | None => Cow::Owned(decoded.to_owned()),
    }
}

/// The scanner's error in our words.
#[cold]
fn syntax(error: &JiterError) -> Fault {
    let reason = match &error.error_type {
        JiterErrorType::WrongType { .. } => Reason::NotJson("a value of another kind was expected"),
        JiterErrorType::JsonError(kind) => json_reason(kind),
    };
    fault(reason, error.index)
}

fn json_reason(kind: &JsonErrorType) -> Reason {
    Reason::NotJson(match kind {
        JsonErrorType::NumberOutOfRange => return Reason::NumberOutOfRange,
        JsonErrorType::InvalidUnicodeCodePoint => return Reason::NotUtf8,
        JsonErrorType::LoneLeadingSurrogateInHexEscape | JsonErrorType::UnexpectedEndOfHexEscape => {
            return Reason::LoneSurrogate;
        }
        JsonErrorType::RecursionLimitExceeded => return Reason::TooDeep,
        JsonErrorType::DuplicateKey(name) => return Reason::DuplicateName(quoted(name)),
        JsonErrorType::EofWhileParsingList
        | JsonErrorType::EofWhileParsingObject
        | JsonErrorType::EofWhileParsingString
        | JsonErrorType::EofWhileParsingValue => "it ends too early",
        JsonErrorType::ExpectedColon => "a colon was expected",
        JsonErrorType::ExpectedListCommaOrEnd => "a comma or the array's end was expected",
        JsonErrorType::ExpectedObjectCommaOrEnd => "a comma or the object's end was expected",
        JsonErrorType::ExpectedSomeIdent => "`true`, `false` or `null` was expected",
        JsonErrorType::ExpectedSomeValue => "a value was expected",
        JsonErrorType::InvalidEscape => "an escape that JSON does not have",
        JsonErrorType::InvalidNumber | JsonErrorType::FloatExpectingInt => "a number in another form",
        JsonErrorType::ControlCharacterWhileParsingString => "a string has an unescaped control character",
        JsonErrorType::KeyMustBeAString => "a name in quotes was expected",
        JsonErrorType::TrailingComma => "a comma stands before the end",
        JsonErrorType::TrailingCharacters => "something follows the value",
        JsonErrorType::InternalError(_) => "it cannot be read",
    })
}
