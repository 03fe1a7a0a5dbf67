//! Why an input is refused: a stable code, the place, and a sentence that quotes names but never values.
//!
//! Not here: the problem document that carries it (`edge/http`), the line number (the caller of
//! [`crate::Lines`] has it).

use std::fmt;

use waag_model::limits::{DEPTH_MAX, EXTENSIONS_MAX, VALUES_MAX};

/// Longest piece of a name that a refusal quotes, in bytes.
const QUOTED_BYTES_MAX: usize = 128;

/// An input that is not accepted; the fault is the sender's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub reason: Reason,
    /// JSON pointer (RFC 6901) to the value where it was noticed; empty for the whole document.
    ///
    /// A step longer than 128 bytes is cut and ends in `…`.
    pub path: String,
    /// Byte of the input where it was noticed, counted from 0.
    pub offset: usize,
}

/// The kinds of refusal; each has a code of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// More bytes than the limit given here.
    TooLarge(usize),
    /// Bytes that are not UTF-8.
    NotUtf8,
    /// Not JSON as RFC 8259 has it; the text says what was met.
    NotJson(&'static str),
    /// A `\u` escape of one half of a surrogate pair: no Unicode character.
    LoneSurrogate,
    /// JSON, but not an object.
    NotAnObject,
    /// A name that comes twice in one object, also when written with other escapes.
    DuplicateName(String),
    /// Arrays and objects nested deeper than `DEPTH_MAX`.
    TooDeep,
    /// More values than `VALUES_MAX`.
    TooManyValues,
    /// A number with more digits or a larger exponent than is kept exactly.
    NumberOutOfRange,
    /// A required attribute that is absent or null.
    MissingAttribute(&'static str),
    /// A `specversion` other than `1.0`.
    SpecVersion,
    /// An attribute whose value its type does not allow.
    BadAttribute {
        /// The attribute's name.
        name: String,
        /// What is wrong with its value.
        why: &'static str,
    },
    /// An attribute longer than its limit.
    AttributeTooLong {
        /// The attribute's name.
        name: String,
        /// The limit in bytes of UTF-8.
        limit: usize,
    },
    /// A name that no attribute may have.
    BadName(String),
    /// More extension attributes than `EXTENSIONS_MAX`.
    TooManyExtensions,
    /// Both `data` and `data_base64`.
    TwoBodies,
    /// A `data_base64` that is not base64 with padding (RFC 4648 §4).
    BadBase64,
}

impl Reason {
    /// The stable code of this kind of refusal.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "E0101",
            Self::NotUtf8 => "E0102",
            Self::NotJson(_) => "E0103",
            Self::LoneSurrogate => "E0104",
            Self::NotAnObject => "E0105",
            Self::DuplicateName(_) => "E0106",
            Self::TooDeep => "E0107",
            Self::TooManyValues => "E0108",
            Self::NumberOutOfRange => "E0109",
            Self::MissingAttribute(_) => "E0110",
            Self::SpecVersion => "E0111",
            Self::BadAttribute { .. } => "E0112",
            Self::AttributeTooLong { .. } => "E0113",
            Self::BadName(_) => "E0114",
            Self::TooManyExtensions => "E0115",
            Self::TwoBodies => "E0116",
            Self::BadBase64 => "E0117",
        }
    }
}

impl Refusal {
    pub(crate) fn new(reason: Reason, offset: usize) -> Self {
        Self { reason, path: String::new(), offset }
    }

    /// The same refusal, noticed one step further down than it knew.
    pub(crate) fn below(mut self, step: &str) -> Self {
        let escaped = quoted(step).replace('~', "~0").replace('/', "~1");
        self.path.insert_str(0, &escaped);
        self.path.insert(0, '/');
        self
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.reason.code()
    }
}

/// A name as a refusal shows it: cut where it is long.
pub(crate) fn quoted(name: &str) -> String {
    if name.len() <= QUOTED_BYTES_MAX {
        return name.to_owned();
    }
    let mut end = QUOTED_BYTES_MAX;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    let mut cut = name.get(..end).unwrap_or_default().to_owned();
    cut.push('…');
    cut
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(limit) => write!(f, "the event has more than {limit} bytes"),
            Self::NotUtf8 => write!(f, "the bytes are not UTF-8"),
            Self::NotJson(what) => write!(f, "not JSON: {what}"),
            Self::LoneSurrogate => write!(f, "a string escapes one half of a surrogate pair"),
            Self::NotAnObject => write!(f, "an event is one JSON object"),
            Self::DuplicateName(name) => write!(f, "the name `{}` comes twice", name.escape_debug()),
            Self::TooDeep => write!(f, "arrays and objects are nested deeper than {DEPTH_MAX}"),
            Self::TooManyValues => write!(f, "there are more than {VALUES_MAX} values"),
            Self::NumberOutOfRange => write!(f, "the number is beyond what is kept exactly"),
            Self::MissingAttribute(name) => write!(f, "the attribute `{name}` is missing"),
            Self::SpecVersion => write!(f, "the attribute `specversion` is not `1.0`"),
            Self::BadAttribute { name, why } => write!(f, "the attribute `{}` {why}", name.escape_debug()),
            Self::AttributeTooLong { name, limit } => {
                write!(f, "the attribute `{}` has more than {limit} bytes", name.escape_debug())
            }
            Self::BadName(name) => write!(
                f,
                "`{}` is no attribute's name: 1 to 64 lower-case letters and digits",
                name.escape_debug()
            ),
            Self::TooManyExtensions => write!(f, "there are more than {EXTENSIONS_MAX} extension attributes"),
            Self::TwoBodies => write!(f, "the event has both `data` and `data_base64`"),
            Self::BadBase64 => write!(f, "`data_base64` is not base64 with padding"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.reason, self.offset)?;
        if self.path.is_empty() { Ok(()) } else { write!(f, ", in `{}`", self.path.escape_debug()) }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_json_pointer_with_long_steps_cut() {
        let refusal = Refusal::new(Reason::TooDeep, 7).below("a/b~c").below("0").below("data");
        assert_eq!(refusal.path, "/data/0/a~1b~0c");
        assert_eq!(
            refusal.to_string(),
            "arrays and objects are nested deeper than 64 at byte 7, in `/data/0/a~1b~0c`"
        );
        assert_eq!(quoted(&"x".repeat(128)), "x".repeat(128));
        assert_eq!(quoted(&"é".repeat(65)), format!("{}…", "é".repeat(64)));
        assert_eq!(quoted(&format!("x{}", "é".repeat(65))), format!("x{}…", "é".repeat(63)));
    }

    #[test]
    fn no_two_kinds_share_a_code() {
        let name = String::new();
        let all = [
            Reason::TooLarge(1),
            Reason::NotUtf8,
            Reason::NotJson(""),
            Reason::LoneSurrogate,
            Reason::NotAnObject,
            Reason::DuplicateName(name.clone()),
            Reason::TooDeep,
            Reason::TooManyValues,
            Reason::NumberOutOfRange,
            Reason::MissingAttribute(""),
            Reason::SpecVersion,
            Reason::BadAttribute { name: name.clone(), why: "" },
            Reason::AttributeTooLong { name: name.clone(), limit: 1 },
            Reason::BadName(name),
            Reason::TooManyExtensions,
            Reason::TwoBodies,
            Reason::BadBase64,
        ];
        let codes: std::collections::BTreeSet<_> = all.iter().map(Reason::code).collect();
        assert_eq!(codes.len(), all.len());
    }
}
