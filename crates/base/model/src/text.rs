//! Texts as people are shown them: what a character of others' may do beside being seen, and numbers in groups.
//!
//! Place: wherever a terminal, a page, a log line or a cover shows what somebody else wrote; each says itself what stands in
//! the place of such a character. Source: Unicode, categories Cc and, of Cf and Lo, what reorders, hides or has no width; UAX 9.

/// Whether a character does something to what stands beside it rather than show something itself.
#[must_use]
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            // A hyphen that shows at the end of a line only, and a separator of vowels.
            '\u{ad}' | '\u{180e}'
                // Letters of Hangul that fill a place.
                | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}'
                // Marks of direction, joiners, and what has no width.
                | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                // Tags: all of ASCII once more, which can hold a whole text.
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// A text as one line of a terminal or a log may show it: a blank in the place of each character that [steers](steers()).
#[must_use]
pub fn in_line(text: &str) -> String {
    text.chars().map(|c| if steers(c) { ' ' } else { c }).collect()
}

/// Digits in groups of three from the right, with this between them.
#[must_use]
pub fn grouped(digits: &str, between: char) -> String {
    let lead = digits.len() % 3;
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 * between.len_utf8());
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && at % 3 == lead {
            text.push(between);
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_leaves_a_blank_and_what_shows_stays() {
        assert_eq!(in_line("a\u{1b}[2Jb\r\nc\u{9b}d"), "a [2Jb  c d");
        assert_eq!(in_line("invoice\u{202e}gpj.exe\u{200b}"), "invoice gpj.exe ");
        assert_eq!(in_line("Zürich €5 – ok 数"), "Zürich €5 – ok 数");
        let tag = in_line("a\u{e0041}\u{ad}\u{3164}b");
        assert_eq!(tag, "a   b");
    }

    #[test]
    fn digits_stand_in_groups_from_the_right() {
        for (digits, told) in [
            ("", ""),
            ("0", "0"),
            ("999", "999"),
            ("1000", "1,000"),
            ("12345", "12,345"),
            ("1234567", "1,234,567"),
        ] {
            assert_eq!(grouped(digits, ','), told);
        }
        assert_eq!(grouped("1234567", '\u{a0}'), "1\u{a0}234\u{a0}567");
    }
}
