//! Why a pattern is refused, or an event cannot be matched: a stable code, the place, and a sentence in plain words.

use std::fmt;

use crate::limits::{
    ALTERNATIVES_MAX, COMBINATIONS_MAX, EVENT_BYTES_MAX, EVENT_DEPTH_MAX, FIELDS_MAX, NUMBER_DIGITS_MAX,
    NUMBER_EXPONENT_MAX, PATTERN_BYTES_MAX, PATTERN_DEPTH_MAX, WILDCARDS_MAX,
};

/// Longest piece of a pattern's text that a refusal quotes, in characters.
const QUOTED_CHARACTERS_MAX: usize = 64;

/// A pattern that is refused; the fault is its author's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    /// JSON pointer (RFC 6901) to the place in the pattern; empty for the whole. Long names in it are cut.
    pub path: String,
    /// What is wrong there.
    pub reason: Reason,
}

/// The kinds of refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Not JSON at this byte of the pattern.
    NotJson {
        /// Counted from 0.
        offset: usize,
        /// What was met.
        what: &'static str,
    },
    /// More than a limit allows.
    TooMuch(Limit),
    /// The pattern is not an object, or a field is neither an array of alternatives nor an object of fields.
    Shape(&'static str),
    /// An object without fields, or an array without alternatives: it could match everything or nothing.
    Empty(&'static str),
    /// An alternative that is no operator of the pattern language; holds the name that was met.
    Operator(String),
    /// An operator whose operand is of the wrong kind or form; holds a sentence about it.
    Operand(String),
    /// The same field twice in one object or in one combination of `$or`; holds its name.
    Twice(String),
}

/// The limits of a pattern, by what they count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `PATTERN_BYTES_MAX`.
    Bytes,
    /// `PATTERN_DEPTH_MAX`.
    Depth,
    /// `COMBINATIONS_MAX`.
    Combinations,
    /// `FIELDS_MAX`.
    Fields,
    /// `ALTERNATIVES_MAX`.
    Alternatives,
    /// `WILDCARDS_MAX`.
    Wildcards,
    /// `NUMBER_DIGITS_MAX` or `NUMBER_EXPONENT_MAX`.
    Number,
}

/// An event that cannot be matched against any pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventError {
    /// Not JSON, or not UTF-8, at this byte of the event.
    NotJson {
        /// Counted from 0.
        offset: usize,
        /// What was met.
        what: &'static str,
    },
    /// JSON, but not an object.
    NotAnObject,
    /// More bytes than `EVENT_BYTES_MAX`.
    TooLarge,
    /// Nested deeper than `EVENT_DEPTH_MAX`.
    TooDeep,
}

impl PatternError {
    /// A refusal of the whole pattern.
    pub(crate) fn new(reason: Reason) -> Self {
        Self { path: String::new(), reason }
    }

    /// The same refusal, found one step further down than it knew.
    pub(crate) fn below(mut self, step: &str) -> Self {
        let step = quoted(step).replace('~', "~0").replace('/', "~1");
        self.path.insert_str(0, &step);
        self.path.insert(0, '/');
        self
    }

    /// The stable code; `docs/errors` has a page for each.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.reason {
            Reason::NotJson { .. } => "E1100",
            Reason::TooMuch(_) => "E1101",
            Reason::Shape(_) | Reason::Empty(_) => "E1102",
            Reason::Operator(_) => "E1103",
            Reason::Operand(_) => "E1104",
            Reason::Twice(_) => "E1105",
        }
    }
}

impl EventError {
    /// The stable code; `docs/errors` has a page for each.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotJson { .. } | Self::NotAnObject => "E1106",
            Self::TooLarge | Self::TooDeep => "E1107",
        }
    }
}

/// A piece of the pattern as a refusal shows it: cut where it is long, control characters escaped.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(QUOTED_CHARACTERS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(QUOTED_CHARACTERS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes => write!(f, "the pattern has more than {PATTERN_BYTES_MAX} bytes"),
            Self::Depth => write!(f, "objects and arrays are nested deeper than {PATTERN_DEPTH_MAX}"),
            Self::Combinations => {
                write!(
                    f,
                    "the alternatives of `$or` multiply out to more than {COMBINATIONS_MAX} combinations"
                )
            }
            Self::Fields => write!(f, "one combination names more than {FIELDS_MAX} fields"),
            Self::Alternatives => write!(f, "there are more than {ALTERNATIVES_MAX} alternatives"),
            Self::Wildcards => write!(f, "there are more than {WILDCARDS_MAX} wildcards in one value"),
            Self::Number => write!(
                f,
                "the number has more than {NUMBER_DIGITS_MAX} digits, or a decimal exponent beyond {NUMBER_EXPONENT_MAX}"
            ),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson { offset, what } => write!(f, "the pattern is not JSON: {what} at byte {offset}"),
            Self::TooMuch(limit) => limit.fmt(f),
            Self::Shape(what) | Self::Empty(what) => write!(f, "{what}"),
            Self::Operator(name) => write!(f, "`{name}` is not an operator"),
            Self::Operand(what) => write!(f, "{what}"),
            Self::Twice(name) => write!(f, "the field `{name}` is named twice"),
        }
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.path.is_empty() { "the pattern" } else { &self.path };
        write!(f, "{}, in `{place}`", self.reason)
    }
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson { offset, what } => write!(f, "the event is not JSON: {what} at byte {offset}"),
            Self::NotAnObject => write!(f, "the event is not a JSON object"),
            Self::TooLarge => write!(f, "the event has more than {EVENT_BYTES_MAX} bytes"),
            Self::TooDeep => write!(f, "the event is nested deeper than {EVENT_DEPTH_MAX}"),
        }
    }
}

impl std::error::Error for PatternError {}
impl std::error::Error for EventError {}
