//! Letters without their case, for `equals-ignore-case` and its kin.
//!
//! Each character is mapped by itself to one character, without a locale: `Ä` is `ä`, `Σ`, `σ` and `ς` are one letter,
//! but `ß` is not `SS` and the dotless `ı` is not `i`. event-ruler maps single characters too.

/// The character that stands for both cases of `letter`.
fn fold(letter: char) -> char {
    if letter.is_ascii() {
        return letter.to_ascii_lowercase();
    }
    if letter == 'ı' {
        return letter;
    }
    let upper = single(letter.to_uppercase()).unwrap_or(letter);
    single(upper.to_lowercase()).unwrap_or(letter)
}

/// The character, if the mapping gives just one.
fn single(mut mapped: impl Iterator<Item = char>) -> Option<char> {
    mapped.next().filter(|_| mapped.next().is_none())
}

/// The text, folded, put in place of what `out` held.
pub(crate) fn fold_into(text: &str, out: &mut String) {
    out.clear();
    out.push_str(text);
    if text.is_ascii() {
        out.make_ascii_lowercase();
    } else {
        out.clear();
        out.extend(text.chars().map(fold));
    }
}

/// The text, folded.
pub(crate) fn folded(text: &str) -> Box<str> {
    let mut out = String::new();
    fold_into(text, &mut out);
    out.into_boxed_str()
}

/// Whether `text` is `folded` once its case is taken away.
pub(crate) fn equals(text: &str, folded: &str) -> bool {
    text.chars().map(fold).eq(folded.chars())
}

/// Whether `text` begins with `folded` once its case is taken away.
pub(crate) fn starts_with(text: &str, folded: &str) -> bool {
    let mut letters = text.chars().map(fold);
    folded.chars().all(|letter| letters.next() == Some(letter))
}

/// Whether `text` ends with `folded` once its case is taken away.
pub(crate) fn ends_with(text: &str, folded: &str) -> bool {
    let mut letters = text.chars().rev().map(fold);
    folded.chars().rev().all(|letter| letters.next() == Some(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_both_cases_are_one_and_others_are_not() {
        for (one, other) in
            [("eC2", "Ec2"), ("ÄÖÜ", "äöü"), ("ΟΔΟΣ", "οδος"), ("ǅ", "ǆ"), ("K", "k"), ("ſ", "S")]
        {
            assert!(equals(one, &folded(other)) && equals(other, &folded(one)), "{one} {other}");
        }
        for (one, other) in [("ß", "SS"), ("ı", "I"), ("İ", "i"), ("ﬁ", "FI"), ("é", "e")] {
            assert!(!equals(one, &folded(other)) && !equals(other, &folded(one)), "{one} {other}");
        }
    }

    #[test]
    fn ends_are_compared_letter_by_letter() {
        let end = folded("ÄB");
        assert!(starts_with("äbc", &end) && !starts_with("ä", &end) && !starts_with("xÄB", &end));
        assert!(ends_with("cäB", &end) && !ends_with("b", &end) && !ends_with("ÄBx", &end));
        assert!(starts_with("any", "") && ends_with("", ""));
    }
}
