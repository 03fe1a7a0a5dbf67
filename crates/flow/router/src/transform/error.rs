//! Why a transformation is refused, or cannot be made of an event: a stable code and a sentence in plain words.
//!
//! The first six are found when a subscription is made, the others when an event is delivered. Trying such an event again
//! gives the same: whoever delivers takes every one of them for terminal.

use std::fmt;

use super::{OUTPUT_BYTES_MAX, OUTPUT_DEPTH_MAX};

/// Longest piece of a transformation's text that is quoted, in characters.
const QUOTED_CHARACTERS_MAX: usize = 64;

/// A refusal; the fault is the transformation's author's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransformError {
    /// It is none of the three forms.
    Form(&'static str),
    /// More than a limit allows.
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// A path that cannot be understood.
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The template or the constant is not JSON.
    NotJson {
        /// Which of them.
        what: &'static str,
        /// The byte at which it was noticed, counted from 0.
        at: usize,
    },
    /// A placeholder that means nothing, or stands where none may.
    Placeholder {
        /// What stands between its brackets; long ones are cut.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A name that no variable may have; long ones are cut.
    Name(String),
    /// The event has nothing at the path that is to be delivered.
    Nothing(String),
    /// The result is longer than [`OUTPUT_BYTES_MAX`].
    OutputTooLong,
    /// The result is nested deeper than [`OUTPUT_DEPTH_MAX`].
    OutputTooDeep,
    /// The result is not JSON; ours, because `TRANSFORM-1` says that this cannot be.
    OutputNotJson,
    /// The event is not one JSON text within the limits of events.
    Event {
        /// The byte at which it was noticed, counted from 0.
        at: usize,
    },
}

impl TransformError {
    /// The stable code; `docs/errors` has a page for each.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Form(_) => "E1180",
            Self::TooMuch { .. } => "E1181",
            Self::Path { .. } => "E1182",
            Self::NotJson { .. } => "E1183",
            Self::Placeholder { .. } => "E1184",
            Self::Name(_) => "E1185",
            Self::Nothing(_) => "E1186",
            Self::OutputTooLong | Self::OutputTooDeep | Self::OutputNotJson => "E1187",
            Self::Event { .. } => "E1188",
        }
    }

    pub(super) fn placeholder(name: &str, why: &'static str) -> Self {
        Self::Placeholder { name: quoted(name), why }
    }

    pub(super) fn name(name: &str) -> Self {
        Self::Name(quoted(name))
    }
}

fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

impl fmt::Display for TransformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(why) => f.write_str(why),
            Self::TooMuch { what, max } => write!(f, "{what}: at most {max}"),
            Self::Path { path, why } => write!(f, "the path `{path}` is none: {why}"),
            Self::NotJson { what, at } => write!(f, "the {what} is not JSON at byte {at}"),
            Self::Placeholder { name, why } => write!(f, "the placeholder `<{name}>` {why}"),
            Self::Name(name) => {
                write!(f, "no variable may be called `{name}`: names have letters, digits, `_` and `-`")
            }
            Self::Nothing(path) => write!(f, "the event has nothing at `{path}`"),
            Self::OutputTooLong => write!(f, "the result is longer than {OUTPUT_BYTES_MAX} bytes"),
            Self::OutputTooDeep => write!(f, "the result has more than {OUTPUT_DEPTH_MAX} levels"),
            Self::OutputNotJson => write!(f, "the result is not JSON"),
            Self::Event { at } => write!(f, "the event is not JSON, too long or too deep, at byte {at}"),
        }
    }
}

impl std::error::Error for TransformError {}
