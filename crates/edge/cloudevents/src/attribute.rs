//! What a CloudEvents attribute may hold (CloudEvents 1.0.2 §3.1, "Type System").
//!
//! Not here: which attributes an event has (`read.rs`).
//! A check answers with what is wrong, as the end of a sentence that begins with the attribute's name.

use crate::string::is_printable_ascii;

/// The type `String`: no control characters (U+0000–U+001F, U+007F–U+009F), no Unicode noncharacters.
pub(crate) fn string(text: &str) -> Result<(), &'static str> {
    if is_printable_ascii(text.as_bytes()) {
        return Ok(());
    }
    for character in text.chars() {
        if character.is_control() {
            return Err("has a control character");
        }
        let code = u32::from(character);
        if (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe {
            return Err("has a Unicode noncharacter");
        }
    }
    Ok(())
}

/// The type `URI-reference`: not empty, only the characters of RFC 3986 §2, every `%` with two hex digits.
///
/// The grammar within a component (a port's digits, an IP literal's brackets) is not checked.
pub(crate) fn uri_reference(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("is empty");
    }
    let other = "is not a URI reference (RFC 3986)";
    let met = text.bytes().fold(0, |met, byte| met | class(byte));
    if met & NO_URI != 0 {
        return Err(other);
    }
    if met & PERCENT != 0 {
        // The text before the first `%` has none to check.
        for after in text.as_bytes().split(|byte| *byte == b'%').skip(1) {
            if !matches!(after, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()) {
                return Err(other);
            }
        }
    }
    Ok(())
}

/// The type `URI`: a URI reference that begins with a scheme (RFC 3986 §3.1).
pub(crate) fn uri(text: &str) -> Result<(), &'static str> {
    uri_reference(text)?;
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    let mut bytes = scheme.bytes();
    let letter_first = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic());
    if letter_first && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')) {
        Ok(())
    } else {
        Err("is not an absolute URI (RFC 3986)")
    }
}

/// A media type: `type/subtype` of RFC 2045 §5.1 tokens, parameters after `;` taken as they are.
pub(crate) fn media_type(text: &str) -> Result<(), &'static str> {
    string(text)?;
    let rest = match after_token(text.as_bytes()) {
        Some([b'/', sub @ ..]) => after_token(sub),
        Some(_) | None => None,
    };
    match rest.map(|rest| rest.iter().find(|byte| **byte != b' ')) {
        Some(None | Some(b';')) => Ok(()),
        Some(Some(_)) | None => Err("is not a media type (RFC 2045)"),
    }
}

/// What follows the token that `bytes` begin with; `None` where they begin with none.
fn after_token(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|byte| class(*byte) & NO_TOKEN != 0).unwrap_or(bytes.len());
    if end == 0 { None } else { bytes.get(end..) }
}

/// A byte that no URI has (RFC 3986 §2).
const NO_URI: u8 = 1;
/// The byte that two hex digits must follow in a URI.
const PERCENT: u8 = 2;
/// A byte that no token of RFC 2045 §5.1 has: white space, a control character, none of ASCII, or a `tspecial`.
const NO_TOKEN: u8 = 4;

/// What each byte is, as bits.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let (mut at, mut byte) = (0, 0_u8);
    while at < classes.len() {
        #[expect(clippy::indexing_slicing, reason = "the compiler runs this, within the bound above")]
        {
            classes[at] = classified(byte);
        }
        at += 1;
        byte = byte.wrapping_add(1);
    }
    classes
};

const fn classified(byte: u8) -> u8 {
    let uri = match byte {
        b'%' => PERCENT,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => 0,
        b':' | b'/' | b'?' | b'#' | b'[' | b']' | b'@' => 0,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => 0,
        _ => NO_URI,
    };
    let token = match byte {
        b'(' | b')' | b'<' | b'>' | b'@' | b',' | b';' | b':' | b'\\' | b'"' => NO_TOKEN,
        b'/' | b'[' | b']' | b'?' | b'=' => NO_TOKEN,
        0x21..=0x7e => 0,
        _ => NO_TOKEN,
    };
    uri | token
}

fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(NO_URI | NO_TOKEN)
}

/// The type `Timestamp`: a date and time of RFC 3339 §5.6, of any year from 0000 to 9999.
///
/// A 60th second is taken where the minute is the last of a UTC day (RFC 3339 §5.7); whether that day had one is not
/// asked.
pub(crate) fn timestamp(text: &str) -> Result<(), &'static str> {
    if is_timestamp(text.as_bytes()).is_some_and(|valid| valid) {
        Ok(())
    } else {
        Err("is not a date and time of RFC 3339")
    }
}

/// `None` where the form is wrong, `Some(false)` where a field is out of its range.
fn is_timestamp(bytes: &[u8]) -> Option<bool> {
    let (date, rest) = bytes.split_at_checked(10)?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = date else {
        return None;
    };
    let (time, mut rest) = rest.split_at_checked(9)?;
    let [b'T' | b't', h1, h2, b':', i1, i2, b':', s1, s2] = time else {
        return None;
    };
    let year = two(*y1, *y2)? * 100 + two(*y3, *y4)?;
    let (month, day) = (two(*m1, *m2)?, two(*d1, *d2)?);
    let (hour, minute, second) = (two(*h1, *h2)?, two(*i1, *i2)?, two(*s1, *s2)?);
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        rest = fraction.get(digits..)?;
    }
    let (offset_minutes, offset_fine) = match rest {
        [b'Z' | b'z'] => (0, true),
        [sign @ (b'+' | b'-'), h1, h2, b':', i1, i2] => {
            let (hours, minutes) = (two(*h1, *h2)?, two(*i1, *i2)?);
            let size = hours * 60 + minutes;
            (if *sign == b'-' { -size } else { size }, hours <= 23 && minutes <= 59)
        }
        _ => return None,
    };
    let utc_minute = (hour * 60 + minute - offset_minutes).rem_euclid(1_440);
    let second_fine = second <= 59 || second == 60 && utc_minute == 1_439;
    let day_fine = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
    Some(day_fine && hour <= 23 && minute <= 59 && second_fine && offset_fine)
}

fn two(tens: u8, ones: u8) -> Option<i32> {
    (tens.is_ascii_digit() && ones.is_ascii_digit())
        .then(|| i32::from(tens - b'0') * 10 + i32::from(ones - b'0'))
}

/// Days of a month in the proleptic Gregorian calendar (RFC 3339 §5.7, appendix C).
fn days_of(year: i32, month: i32) -> i32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_have_no_control_or_noncharacters() {
        for good in ["", "abc ~", "grüß", "日本", "\u{a0}", "\u{fdcf}", "\u{fffd}", "\u{10fffd}"] {
            assert_eq!(string(good), Ok(()), "{good:?}");
        }
        for bad in ["\0", "a\tb", "\u{1f}", "\u{7f}", "\u{80}", "\u{9f}"] {
            assert_eq!(string(bad), Err("has a control character"), "{bad:?}");
        }
        for bad in ["\u{fdd0}", "\u{fdef}", "\u{fffe}", "\u{ffff}", "\u{1fffe}", "\u{10ffff}"] {
            assert_eq!(string(bad), Err("has a Unicode noncharacter"), "{bad:?}");
        }
    }

    #[test]
    fn uris_and_references_follow_rfc_3986() {
        for good in [
            "/",
            "a",
            "urn:x:y",
            "https://a.example/b?c=%20#d",
            "mailto:a@b.example",
            "//[::1]:8/",
            "%41%42",
            "a%4F",
        ] {
            assert_eq!(uri_reference(good), Ok(()), "{good}");
        }
        for bad in [
            "", "a b", "ü", "%", "%2", "%2g", "%%41", "%4%41", "a%20%", "<a>", "a\\b", "{x}", "a\"b", "^",
            "`", "|",
        ] {
            assert!(uri_reference(bad).is_err(), "{bad}");
        }
        for good in ["urn:x", "https://a.example/s", "x+y-z.9:q"] {
            assert_eq!(uri(good), Ok(()), "{good}");
        }
        for bad in ["", "/a", "a/b", "1a:b", ":b", "a_b:c", "+a:b"] {
            assert!(uri(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn media_types_are_two_tokens() {
        for good in [
            "application/json",
            "text/plain; charset=utf-8",
            "application/vnd.a+json",
            "a/b ;c=\"d\"",
            "a/b  ",
            "a/b;",
            "a/b  ;ü",
        ] {
            assert_eq!(media_type(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "json",
            "/json",
            "text/",
            "a b/c",
            "a/b/c",
            "a/b\n",
            "a/(b)",
            " a/b",
            "a /b",
            "a/ b",
            "a/b c;d",
            "/",
            "a/;b",
            "a",
            "a/b\u{e9}",
        ] {
            assert!(media_type(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn timestamps_follow_rfc_3339() {
        for good in [
            "2026-11-21T03:55:33Z",
            "0000-02-29T00:00:00Z",
            "9999-12-31T23:59:59.999999999999Z",
            "1948-05-01t12:00:00.5z",
            "2000-02-29T23:59:59+23:59",
            "1990-12-31T15:59:60-08:00",
            "2016-12-31T23:59:60Z",
            "2026-01-01T00:00:00-00:00",
        ] {
            assert_eq!(timestamp(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "2026-11-21",
            "2026-11-21 03:55:33Z",
            "2026-11-21T03:55Z",
            "2026-11-21T03:55:33",
            "2026-11-21T03:55:33.Z",
            "2026-11-21T03:55:33,5Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T03:60:00Z",
            "2026-11-21T03:55:60Z",
            "2026-12-31T23:59:61Z",
            "1990-12-31T23:59:60-08:00",
            "2026-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00+01:60",
            "2026-01-01T00:00:00+0100",
            "2026-01-01T00:00:00Zx",
            "02026-01-01T00:00:00Z",
            "-026-01-01T00:00:00Z",
            "٢026-01-01T00:00:00Z",
        ] {
            assert!(timestamp(bad).is_err(), "{bad}");
        }
    }
}
