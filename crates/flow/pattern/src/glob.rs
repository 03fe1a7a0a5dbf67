//! `wildcard`: a text in which `*` stands for any run of characters, also for none; `\*` and `\\` are the characters.
//!
//! Bounded: the pieces between wildcards are found from left to right, each once and never given back, because with `*`
//! alone the leftmost place of a piece leaves the most for those behind it. So a value costs time in its length plus the
//! pattern's, and there is no automaton that could explode.

use memchr::memmem;

use crate::limits::WILDCARDS_MAX;

/// A wildcard pattern: the texts between its wildcards, so one more than there are wildcards.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Glob {
    first: Box<str>,
    /// Behind each wildcard.
    rest: Box<[Box<str>]>,
}

/// Why a text is no wildcard pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GlobError {
    /// `**`, which means nothing that `*` does not, and is an error of the hand.
    Consecutive,
    /// A backslash before anything but `*` or `\`.
    Escape,
    /// More than [`WILDCARDS_MAX`].
    TooMany,
}

impl Glob {
    pub(crate) fn parse(text: &str) -> Result<Self, GlobError> {
        let (mut pieces, mut piece, mut letters) = (Vec::new(), String::new(), text.chars().peekable());
        while let Some(letter) = letters.next() {
            match letter {
                '*' if letters.peek() == Some(&'*') => return Err(GlobError::Consecutive),
                '*' => pieces.push(std::mem::take(&mut piece).into_boxed_str()),
                '\\' => {
                    piece.push(letters.next_if(|next| matches!(next, '*' | '\\')).ok_or(GlobError::Escape)?)
                }
                other => piece.push(other),
            }
        }
        if pieces.len() > WILDCARDS_MAX {
            return Err(GlobError::TooMany);
        }
        pieces.push(piece.into_boxed_str());
        let first = pieces.remove(0);
        Ok(Self { first, rest: pieces.into_boxed_slice() })
    }

    /// What every matching text begins with.
    pub(crate) fn start(&self) -> &str {
        &self.first
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        let Some((last, middle)) = self.rest.split_last() else {
            return *text == *self.first;
        };
        let Some(text) = text.as_bytes().strip_prefix(self.first.as_bytes()) else { return false };
        let Some(mut text) = text.strip_suffix(last.as_bytes()) else { return false };
        middle.iter().all(|piece| {
            let after = memmem::find(text, piece.as_bytes())
                .and_then(|at| at.checked_add(piece.len()))
                .and_then(|end| text.get(end..));
            text = after.unwrap_or_default();
            after.is_some()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(glob: &str, text: &str) -> bool {
        Glob::parse(glob).unwrap().matches(text)
    }

    #[test]
    fn a_wildcard_stands_for_any_run() {
        let cases: [(&str, &[&str], &[&str]); 8] = [
            ("", &[""], &["a"]),
            ("*", &["", "a", "a*b"], &[]),
            ("a*", &["a", "ab"], &["", "ba"]),
            ("*a", &["a", "ba"], &["", "ab"]),
            ("a*a", &["aa", "aba", "aaa"], &["a", "ab"]),
            (
                "*/bin/*.jar",
                &["/bin/.jar", "x/bin/y.jar", "/bin/bin/a.jar.jar"],
                &["/bin.jar", "x/bin/y.jars"],
            ),
            ("a\\*b\\\\*", &["a*b\\", "a*b\\c"], &["aab\\", "a*b"]),
            ("*ab*ab*", &["abab", "xabyabz"], &["ab", "aba"]),
        ];
        for (glob, yes, no) in cases {
            yes.iter().for_each(|text| assert!(matches(glob, text), "{glob} {text}"));
            no.iter().for_each(|text| assert!(!matches(glob, text), "{glob} {text}"));
        }
    }

    #[test]
    fn what_is_no_wildcard_pattern_is_refused() {
        let cases = [
            ("a**b", GlobError::Consecutive),
            ("**", GlobError::Consecutive),
            ("a\\b", GlobError::Escape),
            ("a\\", GlobError::Escape),
            (&"*a".repeat(17), GlobError::TooMany),
        ];
        for (text, error) in cases {
            assert_eq!(Glob::parse(text), Err(error), "{text}");
        }
        assert!(Glob::parse("a\\**").is_ok() && Glob::parse(&"*a".repeat(16)).is_ok());
    }
}
