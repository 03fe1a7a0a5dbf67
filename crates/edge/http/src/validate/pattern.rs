//! The patterns of codes and dates, checked without a regular expression engine: `^[A-Z]{3}$`, `^[0-9]{4}-[0-9]{2}$`.
//!
//! A pattern of fixed length, anchored on both sides, made of sets of ASCII letters, digits and spaces, each with an optional
//! count, and of letters, digits, `-`, `_`, `/` and `:` that stand for themselves. At its end there may be `(?:[…][ -~]*)?`:
//! a character of the set and any text of ASCII behind it, as a time behind its day.
//! Not here: any other pattern; its schema goes to the library.

use std::ops::RangeInclusive;

/// Longest text that such a pattern can ask for.
const CHARS_MAX: usize = 64;
/// Characters that stand for themselves in a regular expression.
const PLAIN: &[u8] = b"-_/:";

/// What may stand at one place of a text.
type Set = Vec<RangeInclusive<u8>>;

/// One set of bytes for each place of a text.
pub(super) struct Pattern {
    places: Vec<Set>,
    /// With which more may begin behind them.
    more: Option<Set>,
    /// As it was written, to be told.
    pub(super) text: String,
}

impl Pattern {
    /// The pattern, where it is one of this form.
    pub(super) fn compile(text: &str) -> Option<Self> {
        let inner = text.strip_prefix('^')?.strip_suffix('$')?;
        let (inner, more) = match inner.strip_suffix("[ -~]*)?") {
            None => (inner, None),
            Some(before) => {
                let (before, group) = before.rsplit_once("(?:[")?;
                let (set, rest) = ranges(group.as_bytes())?;
                rest.is_empty().then_some((before, Some(set)))?
            }
        };
        let mut rest = inner.as_bytes();
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
        Some(Self { places, more, text: text.to_owned() })
    }

    /// Whether a text is of the pattern.
    pub(super) fn matches(&self, text: &str) -> bool {
        let is_in = |set: &Set, byte: u8| set.iter().any(|range| range.contains(&byte));
        let Some((fixed, behind)) = text.as_bytes().split_at_checked(self.places.len()) else { return false };
        let is_end = match (behind.split_first(), &self.more) {
            (None, _) => true,
            (Some((first, rest)), Some(more)) => {
                is_in(more, *first) && rest.iter().all(|byte| matches!(byte, b' '..=b'~'))
            }
            (Some(_), None) => false,
        };
        is_end && self.places.iter().zip(fixed).all(|(set, byte)| is_in(set, *byte))
    }
}

/// The ranges up to `]`, and what follows.
fn ranges(mut rest: &[u8]) -> Option<(Set, &[u8])> {
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
            [one, after @ ..] if one.is_ascii_alphanumeric() || *one == b' ' => {
                // A range of other ends is left to the library.
                if after.first() == Some(&b'-') {
                    return None;
                }
                set.push(*one..=*one);
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
        let day = "^[0-9]{4}-[0-9]{2}-[0-9]{2}";
        let time = format!("{day}(?:[Tt ][ -~]*)?$");
        let day = format!("{day}$");
        let patterns = ["^[A-Z]{3}$", &day, &time, "^INV[0-9A-F]{2}$", "^a/[a-c]:$", "^[ab c-d]$"];
        let texts = [
            "EUR",
            "eur",
            "EU",
            "EURO",
            "EÜ",
            "2026-11-21",
            "2026-1-21",
            "2026-11-21\n",
            "2026-11-21T08:00:00Z",
            "2026-11-21t",
            "2026-11-21 8 o'clock",
            "2026-11-21T\n",
            "2026-11-21T08:00\u{e9}",
            "2026-11-21x",
            "2026-11-2T",
            "2026-11-\u{e9}1",
            " ",
            "b",
            "-",
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
            "^a(?:[T][a-z]*)?$",
            "^a[ -~]*)?$",
            "^(?:[T]x[ -~]*)?$",
            "^a(?:[ -~][ -~]*)?$",
        ] {
            assert!(Pattern::compile(pattern).is_none(), "{pattern}");
        }
    }
}
