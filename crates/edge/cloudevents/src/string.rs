//! The characters of a JSON string: the run that stands for itself, found a word at a time, and the escapes.
//!
//! Not here: where a string may stand (`json.rs`).
//! The input is UTF-8 already; so only ASCII bytes need looking at, and none of them is part of another character.

use crate::json::{Fault, fault};
use crate::refusal::Reason;

/// The byte 1 in each of eight places.
const ONES: u64 = u64::MAX / 0xff;
/// The highest bit in each of eight places.
const HIGHS: u64 = ONES * 0x80;

/// Bytes that a text with escapes has room for beside its first plain run.
const UNESCAPED_RESERVED: usize = 16;

/// Where the run of characters that stand for themselves ends: at a `"`, a `\`, a control character, or the input's
/// end.
#[inline]
pub(crate) fn plain_end(bytes: &[u8], from: usize) -> usize {
    let mut rest = bytes.get(from..).unwrap_or_default();
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        let marks = marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return bytes.len() - rest.len() + marks.trailing_zeros() as usize / 8;
        }
        rest = after;
    }
    bytes.len() - rest.len() + short_plain_end(rest)
}

/// As [`plain_end`], for less than a word at the input's end.
#[cold]
fn short_plain_end(rest: &[u8]) -> usize {
    rest.iter().take_while(|byte| !matches!(**byte, 0..0x20 | b'"' | b'\\')).count()
}

/// The highest bit of each byte that is `"`, `\` or below U+0020.
///
/// Exact up to and with the first such byte, which is all that is asked: a subtraction borrows from the next byte
/// only where its own byte is one of them. The first subtraction finds two kinds at once, since `x ^ 2` is below 0x21
/// exactly where `x` is below 0x20 or is 0x22, the quote. Bytes of longer characters have their highest bit set and
/// are masked out.
#[inline]
fn marks(word: u64) -> u64 {
    let quote_or_control = (word ^ (ONES * 2)).wrapping_sub(ONES * 0x21);
    let backslash = (word ^ (ONES * 0x5c)).wrapping_sub(ONES);
    (quote_or_control | backslash) & !word & HIGHS
}

/// Whether every byte is printable ASCII (0x20 to 0x7e).
#[inline]
pub(crate) fn is_printable_ascii(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk::<8>() else {
        return bytes.iter().all(|byte| matches!(byte, 0x20..=0x7e));
    };
    // The last word may overlap the one before it.
    let mut other = unprintable(u64::from_le_bytes(*last));
    for word in bytes.as_chunks::<8>().0 {
        other |= unprintable(u64::from_le_bytes(*word));
    }
    other == 0
}

/// Zero exactly where all eight bytes are printable ASCII: no highest bit, none after adding one (0x7f), none after
/// taking 0x20 away (control characters).
#[inline]
fn unprintable(word: u64) -> u64 {
    (word | word.wrapping_add(ONES) | word.wrapping_sub(ONES * 0x20)) & HIGHS
}

/// Decodes a string that has escapes; `from` is the byte after its opening quote.
///
/// Answers with the text and the byte after the closing quote.
#[cold]
pub(crate) fn unescaped(text: &str, mut from: usize) -> Result<(String, usize), Fault> {
    let bytes = text.as_bytes();
    let mut at = plain_end(bytes, from);
    let mut out = String::with_capacity(at - from + UNESCAPED_RESERVED);
    loop {
        out.push_str(text.get(from..at).unwrap_or_default());
        match bytes.get(at) {
            Some(b'"') => return Ok((out, at + 1)),
            Some(b'\\') => {
                let (character, after) = escape(bytes, at + 1)?;
                out.push(character);
                from = after;
                at = plain_end(bytes, after);
            }
            end => return Err(unended(end.is_some(), at)),
        }
    }
}

/// What a string meets where it cannot go on at `at`: a control character, or the input's end.
#[cold]
fn unended(control: bool, at: usize) -> Fault {
    let why = if control { "a string has an unescaped control character" } else { "it ends too early" };
    fault(Reason::NotJson(why), at)
}

/// The character of the escape whose letter stands at `at`, and the byte after it (RFC 8259 §7).
fn escape(bytes: &[u8], at: usize) -> Result<(char, usize), Fault> {
    let character = match bytes.get(at) {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode_escape(bytes, at + 1),
        Some(_) => return Err(fault(Reason::NotJson("an escape that JSON does not have"), at)),
        None => return Err(unended(false, at)),
    };
    Ok((character, at + 1))
}

/// The character of four hex digits at `at`, or of two such escapes that make a surrogate pair.
///
/// A lone half is noticed at its last digit, or at what stands where its other half should.
fn unicode_escape(bytes: &[u8], at: usize) -> Result<(char, usize), Fault> {
    let unit = hex4(bytes, at)?;
    let next = at + 4;
    let lone = |at| fault(Reason::LoneSurrogate, at);
    match unit {
        0xd800..=0xdbff => match (bytes.get(next), bytes.get(next + 1)) {
            (Some(b'\\'), Some(b'u')) => {
                let low = hex4(bytes, next + 2)?;
                if !(0xdc00..=0xdfff).contains(&low) {
                    return Err(lone(next + 5));
                }
                let code = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                char::from_u32(code).map(|character| (character, next + 6)).ok_or_else(|| lone(at))
            }
            (None, _) | (Some(b'\\'), None) => Err(unended(false, bytes.len())),
            (Some(b'\\'), Some(_)) => Err(lone(next + 1)),
            (Some(_), _) => Err(lone(next)),
        },
        // A lower half alone is no character.
        _ => char::from_u32(unit).map(|character| (character, next)).ok_or_else(|| lone(at + 3)),
    }
}

fn hex4(bytes: &[u8], at: usize) -> Result<u32, Fault> {
    let Some(digits) = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>) else {
        return Err(unended(false, bytes.len()));
    };
    digits.iter().zip(at..).try_fold(0, |unit, (digit, at)| {
        let digit = char::from(*digit).to_digit(16);
        let wrong = || fault(Reason::NotJson("an escape that JSON does not have"), at);
        digit.map(|digit| unit << 4 | digit).ok_or_else(wrong)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_run_ends_at_the_first_byte_that_is_not_plain_wherever_it_stands() {
        for at in 0..40 {
            for byte in 0..=0x7f_u8 {
                // Neighbours that are one step from a mark, of longer characters, and marks after the first.
                for other in ["\u{20}!#[]", "\u{e9}\u{7f}", "\u{1f600}~a"] {
                    let mut input: Vec<u8> = other.bytes().cycle().take(at).collect();
                    input.push(byte);
                    input.extend("\"\\\0 x".bytes().chain(other.bytes()));
                    let marked = matches!(byte, 0..0x20 | b'"' | b'\\');
                    assert_eq!(plain_end(&input, 0), if marked { at } else { at + 1 }, "{input:x?}");
                    input.truncate(at + 1);
                    assert_eq!(plain_end(&input, 0), if marked { at } else { at + 1 }, "{input:x?} cut");
                }
            }
        }
        assert_eq!(plain_end(b"abc", 3), 3);
    }

    #[test]
    fn printable_ascii_is_told_at_every_length_and_place() {
        for len in 0..40 {
            for at in 0..len {
                for byte in 0..=0xff_u8 {
                    let mut input = vec![[0x20, 0x7e][at % 2]; len];
                    input[at] = byte;
                    assert_eq!(is_printable_ascii(&input), (0x20..=0x7e).contains(&byte), "{input:x?}");
                }
            }
        }
    }

    #[test]
    fn surrogates_pair_up_to_their_bounds_and_a_lone_one_says_where() {
        for (escaped, want) in [
            (r"\ud800\udc00", "\u{10000}"),
            (r"\udbff\udfff", "\u{10ffff}"),
            (r"\ud7ff\ue000", "\u{d7ff}\u{e000}"),
        ] {
            let input = format!("\"{escaped}\"x");
            assert_eq!(unescaped(&input, 1), Ok((want.to_owned(), input.len() - 1)), "{escaped}");
        }
        for (escaped, offset) in [
            (r"\udc00", 6),
            (r"\udfff", 6),
            (r"\ud800x", 7),
            (r"\ud800\n", 8),
            (r"\ud800\udbff", 12),
            (r"\ud800\ue000", 12),
            (r"\udbff\u0041", 12),
        ] {
            let fault = unescaped(&format!("\"{escaped}\""), 1).unwrap_err();
            assert_eq!((fault.reason, fault.offset), (Reason::LoneSurrogate, offset), "{escaped}");
        }
    }
}
