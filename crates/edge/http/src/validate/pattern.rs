//! The patterns of codes and dates, checked without a regular expression engine: `^[A-Z]{3}$`, `^[0-9]{4}-[0-9]{2}$`.
//!
//! A pattern of fixed length, anchored on both sides, made of ASCII ranges, each with an optional count, and of letters,
//! digits, `-`, `_`, `/` and `:` that stand for themselves.
//! Not here: any other pattern; its schema goes to the library.

use std::ops::RangeInclusive;

/// Longest text that such a pattern can ask for.
const CHARS_MAX: usize = 64;
/// Characters that stand for themselves in a regular expression.
const PLAIN: &[u8] = b"-_/:";

/// One set of bytes for each place of a text.
pub(super) struct Pattern(Vec<Vec<RangeInclusive<u8>>>);

impl Pattern {
    /// The pattern, where it is one of this form.
    pub(super) fn compile(text: &str) -> Option<Self> {
        let mut rest = text.strip_prefix('^')?.strip_suffix('$')?.as_bytes();
        let mut places = Vec::new();
        while let [first, after @ ..] = rest {
            let set;
            (set, rest) = match first {
                b'[' => ranges(after)?,
                plain if plain.is_ascii_alphanumeric() || PLAIN.contains(plain) => {
                    (vec![*plain..=*plain], after)
                }
                _ => return None,
            };
            let count;
            (count, rest) = counted(rest)?;
            if places.len() + count > CHARS_MAX {
                return None;
            }
            places.extend(std::iter::repeat_n(set, count));
        }
        Some(Self(places))
    }

    /// Whether a text is of the pattern.
    pub(super) fn matches(&self, text: &str) -> bool {
        let is_in = |set: &Vec<RangeInclusive<u8>>, byte: u8| set.iter().any(|range| range.contains(&byte));
        text.len() == self.0.len() && self.0.iter().zip(text.bytes()).all(|(set, byte)| is_in(set, byte))
    }
}

/// The ranges up to `]`, and what follows.
fn ranges(mut rest: &[u8]) -> Option<(Vec<RangeInclusive<u8>>, &[u8])> {
    let mut set = Vec::new();
    loop {
        match rest {
            [b']', after @ ..] if !set.is_empty() => return Some((set, after)),
            [from, b'-', to, after @ ..]
                if from.is_ascii_alphanumeric() && to.is_ascii_alphanumeric() && from <= to =>
            {
                set.push(*from..=*to);
                rest = after;
            }
            _ => return None,
        }
    }
}

/// How often the set before is meant: `{n}`, or once.
fn counted(rest: &[u8]) -> Option<(usize, &[u8])> {
    let Some(inside) = rest.strip_prefix(b"{") else { return Some((1, rest)) };
    let end = inside.iter().position(|byte| *byte == b'}')?;
    let digits = std::str::from_utf8(inside.get(..end)?).ok()?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let count = digits.parse().ok().filter(|_| is_number)?;
    Some((count, inside.get(end + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_dates_are_told_as_the_library_tells_them() {
        let patterns = ["^[A-Z]{3}$", "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "^INV[0-9A-F]{2}$", "^a/[a-c]:$"];
        let texts = [
            "EUR",
            "eur",
            "EU",
            "EURO",
            "EÜ",
            "2026-11-21",
            "2026-1-21",
            "2026-11-21\n",
            "INV0F",
            "INV0G",
            "a/b:",
            "a/d:",
            "",
        ];
        for pattern in patterns {
            let own = Pattern::compile(pattern).unwrap();
            let library = jsonschema::validator_for(&serde_json::json!({ "pattern": pattern })).unwrap();
            for text in texts {
                assert_eq!(
                    own.matches(text),
                    library.is_valid(&serde_json::json!(text)),
                    "{pattern} {text:?}"
                );
            }
        }
    }

    #[test]
    fn any_other_pattern_is_left_to_the_library() {
        for pattern in [
            "[A-Z]{3}",
            "^[A-Z]+$",
            "^[^a]$",
            "^a|b$",
            "^.$",
            "^[A-Z]{1,3}$",
            "^[]$",
            "^\\d$",
            "^[z-a]$",
            "^(a)$",
        ] {
            assert!(Pattern::compile(pattern).is_none(), "{pattern}");
        }
    }
}
