//! One JSON text (RFC 8259) becomes one value, or a refusal that says where.
//!
//! The whole input is checked as UTF-8 first; numbers are read exactly or refused, repeated names are refused, depth and
//! count are limited.
//! Not here: the attributes of an event (`read.rs`), a string's characters (`string.rs`), a number's digits
//! (`number.rs`).
//!
//! It reads once, front to back, and copies only strings that have escapes: reading is the first cost of every event.

use std::borrow::Cow;

use waag_model::limits::{DEPTH_MAX, EVENT_BYTES_MAX, VALUES_MAX};
use waag_model::value::{DuplicateName, Object, Value};

use crate::number::{NumberFault, scan_number};
use crate::refusal::{Reason, Refusal, quoted};
use crate::string::{plain_end, unescaped};

/// A refusal on its way up; boxed so that the good way carries little.
pub(crate) type Fault = Box<Refusal>;

/// Members that the outermost object's list has room for before it grows: most events' data has fewer.
const MEMBERS_RESERVED: usize = 12;
/// The same for an object within another value.
const INNER_MEMBERS_RESERVED: usize = 4;
/// Elements that an array's list has room for before it grows.
const ELEMENTS_RESERVED: usize = 4;

/// A JSON text being read from front to back.
pub(crate) struct JsonReader<'a> {
    text: &'a str,
    at: usize,
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
        Ok(Self { text, at: 0, values: 0 })
    }

    /// The byte that reading has come to.
    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    /// Counts values anew: the limit is that of an event's data, its attributes do not count.
    pub(crate) fn start_counting(&mut self) {
        self.values = 0;
    }

    /// The first byte of the value that stands next; it alone says the value's kind.
    #[inline]
    pub(crate) fn peek(&mut self) -> Result<u8, Fault> {
        self.skip_white().ok_or_else(|| self.too_early())
    }

    /// The first name of the object whose `{` [`Self::peek`] saw; its value stands next.
    #[inline(always)]
    pub(crate) fn first_name(&mut self) -> Result<Option<Cow<'a, str>>, Fault> {
        self.at += 1;
        match self.skip_white() {
            Some(b'"') => self.name().map(Some),
            Some(b'}') => {
                self.at += 1;
                Ok(None)
            }
            Some(_) => Err(self.not_json("a name in quotes was expected")),
            None => Err(self.too_early()),
        }
    }

    /// The object's next name; its value stands next.
    #[inline(always)]
    pub(crate) fn next_name(&mut self) -> Result<Option<Cow<'a, str>>, Fault> {
        match self.skip_white() {
            Some(b',') => self.at += 1,
            Some(b'}') => {
                self.at += 1;
                return Ok(None);
            }
            Some(_) => return Err(self.not_json("a comma or the object's end was expected")),
            None => return Err(self.too_early()),
        }
        match self.skip_white() {
            Some(b'"') => self.name().map(Some),
            Some(b'}') => Err(self.not_json("a comma stands before the end")),
            Some(_) => Err(self.not_json("a name in quotes was expected")),
            None => Err(self.too_early()),
        }
    }

    /// A name and its colon.
    #[inline(always)]
    fn name(&mut self) -> Result<Cow<'a, str>, Fault> {
        let name = self.string()?;
        match self.skip_white() {
            Some(b':') => {
                self.at += 1;
                Ok(name)
            }
            Some(_) => Err(self.not_json("a colon was expected")),
            None => Err(self.too_early()),
        }
    }

    /// The string whose quote [`Self::peek`] saw: the input's own text where nothing is escaped.
    #[inline(always)]
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        match self.plain_string() {
            Some(text) => Ok(Cow::Borrowed(text)),
            None => self.other_string().map(Cow::Owned),
        }
    }

    /// The string that stands next where it has no escapes; nothing is read otherwise.
    ///
    /// Apart from [`Self::other_string`], so that its answer fits in two registers.
    #[inline(never)]
    fn plain_string(&mut self) -> Option<&'a str> {
        let text = self.text;
        let from = self.at + 1;
        let end = plain_end(text.as_bytes(), from);
        if text.as_bytes().get(end) != Some(&b'"') {
            return None;
        }
        self.at = end + 1;
        text.get(from..end)
    }

    /// The string that stands next where it has escapes, or what is wrong with it.
    #[cold]
    fn other_string(&mut self) -> Result<String, Fault> {
        let (text, after) = unescaped(self.text, self.at + 1)?;
        self.at = after;
        Ok(text)
    }

    /// The value whose first byte [`Self::peek`] saw, whole; counts towards `VALUES_MAX`.
    pub(crate) fn value(&mut self, first: u8, depth: usize) -> Result<Value<'a>, Fault> {
        let mut value = Value::Null;
        self.fill(&mut value, first, depth)?;
        Ok(value)
    }

    /// Reads into the place where the value stays: handing values up through returns costs more than scanning.
    fn fill(&mut self, out: &mut Value<'a>, first: u8, depth: usize) -> Result<(), Fault> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(fault(Reason::TooManyValues, self.at));
        }
        match first {
            b'"' => *out = Value::Text(self.string()?),
            b'{' => *out = Value::Object(self.object(depth + 1)?),
            b'[' => *out = Value::Array(self.array(depth + 1)?),
            b'-' | b'0'..=b'9' => *out = self.number()?,
            b't' => {
                self.literal("true")?;
                *out = Value::Bool(true);
            }
            b'f' => {
                self.literal("false")?;
                *out = Value::Bool(false);
            }
            b'n' => {
                self.literal("null")?;
                *out = Value::Null;
            }
            _ => return Err(self.not_json("a value was expected")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Value<'a>, Fault> {
        match scan_number(self.text, self.at) {
            Ok((number, after)) => {
                self.at = after;
                Ok(number)
            }
            Err(NumberFault::OutOfRange) => Err(fault(Reason::NumberOutOfRange, self.at)),
            Err(NumberFault::Form(at)) => Err(fault(Reason::NotJson("a number in another form"), at)),
            Err(NumberFault::End) => Err(fault(Reason::NotJson("it ends too early"), self.text.len())),
        }
    }

    fn literal(&mut self, literal: &str) -> Result<(), Fault> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if rest.starts_with(literal.as_bytes()) {
            self.at += literal.len();
            return Ok(());
        }
        self.at += rest.iter().zip(literal.bytes()).take_while(|(met, want)| **met == *want).count();
        Err(match self.byte(self.at) {
            Some(_) => self.not_json("`true`, `false` or `null` was expected"),
            None => self.too_early(),
        })
    }

    fn object(&mut self, depth: usize) -> Result<Object<'a>, Fault> {
        let from = self.at;
        if depth > DEPTH_MAX {
            return Err(fault(Reason::TooDeep, from));
        }
        let mut next = self.first_name()?;
        let mut members = Vec::with_capacity(match next {
            None => 0,
            Some(_) if depth == 1 => MEMBERS_RESERVED,
            Some(_) => INNER_MEMBERS_RESERVED,
        });
        while let Some(name) = next {
            members.push((name, Value::Null));
            if let Some((name, value)) = members.last_mut() {
                let read = self.peek().and_then(|first| self.fill(value, first, depth));
                read.map_err(|refused| Box::new(refused.below(name)))?;
            }
            next = self.next_name()?;
        }
        Object::from_members(members).map_err(|DuplicateName(name)| self.twice(from, depth, &name))
    }

    /// The refusal of a name that comes twice in the object that begins at `from`, at its second value, as an attribute's
    /// is; the object is read once more for that place, since good ones need none.
    #[cold]
    fn twice(&self, from: usize, depth: usize, name: &str) -> Fault {
        let mut again = Self { text: self.text, at: from, values: 0 };
        let at = again.second(depth, name).ok().flatten().unwrap_or(from);
        Box::new(Refusal::new(Reason::DuplicateName(quoted(name)), at).below(name))
    }

    /// The place of the second value that `name` has in the object that begins here.
    fn second(&mut self, depth: usize, name: &str) -> Result<Option<usize>, Fault> {
        let mut is_known = false;
        let mut next = self.first_name()?;
        while let Some(met) = next {
            let first = self.peek()?;
            if met == name && std::mem::replace(&mut is_known, true) {
                return Ok(Some(self.at));
            }
            self.value(first, depth)?;
            next = self.next_name()?;
        }
        Ok(None)
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Value<'a>>, Fault> {
        if depth > DEPTH_MAX {
            return Err(fault(Reason::TooDeep, self.at));
        }
        self.at += 1;
        let mut first = self.peek()?;
        if first == b']' {
            self.at += 1;
            return Ok(Vec::new());
        }
        let mut items = Vec::with_capacity(ELEMENTS_RESERVED);
        loop {
            let index = items.len();
            items.push(Value::Null);
            if let Some(value) = items.last_mut() {
                let read = self.fill(value, first, depth);
                read.map_err(|refused| Box::new(refused.below(&index.to_string())))?;
            }
            match self.skip_white() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(items);
                }
                Some(_) => return Err(self.not_json("a comma or the array's end was expected")),
                None => return Err(self.too_early()),
            }
            first = self.peek()?;
            if first == b']' {
                return Err(self.not_json("a comma stands before the end"));
            }
        }
    }

    /// Nothing but white space may follow.
    pub(crate) fn finish(mut self) -> Result<(), Fault> {
        match self.skip_white() {
            Some(_) => Err(self.not_json("something follows the value")),
            None => Ok(()),
        }
    }

    /// Passes over white space (RFC 8259 §2) to the next byte, which stays unread.
    #[inline]
    fn skip_white(&mut self) -> Option<u8> {
        loop {
            match self.byte(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                other => return other,
            }
        }
    }

    #[inline]
    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    #[cold]
    fn too_early(&self) -> Fault {
        self.not_json("it ends too early")
    }

    #[cold]
    fn not_json(&self, what: &'static str) -> Fault {
        fault(Reason::NotJson(what), self.at)
    }
}

/// A refusal at `offset`.
#[cold]
pub(crate) fn fault(reason: Reason, offset: usize) -> Fault {
    Box::new(Refusal::new(reason, offset))
}
