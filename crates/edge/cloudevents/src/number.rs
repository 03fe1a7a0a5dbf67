//! A JSON number's text becomes an exact integer or decimal, with the digits it was written with (`CE-2`).
//!
//! Not here: where a number may stand (`json.rs`).
//! A zero's sign is not kept: `-0` is the integer 0.

use waag_model::limits::{NUMBER_DIGITS_MAX, NUMBER_EXPONENT_MAX};
use waag_model::value::{Decimal, Value};

/// Longest text whose digits a signed 64-bit integer always holds.
const SHORT_BYTES_MAX: usize = 18;

/// Why there is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NumberFault {
    /// A number, but with more digits or a larger exponent than is kept.
    OutOfRange,
    /// Another byte than the grammar has, at this place.
    Form(usize),
    /// The text ends where a digit is missing.
    End,
}

/// Reads the number that begins at `from` (RFC 8259 §6); answers with the byte after it too.
///
/// Short numbers without an exponent, which most are, are added up on the way; [`read_number`] takes the others.
pub(crate) fn scan_number(text: &str, from: usize) -> Result<(Value<'static>, usize), NumberFault> {
    let bytes = text.as_bytes();
    let negative = bytes.get(from) == Some(&b'-');
    let whole = if negative { from + 1 } else { from };
    // Wraps where the number is long, and is not used then.
    let mut magnitude = 0;
    let mut end = digits(bytes, whole, &mut magnitude)?;
    if bytes.get(whole) == Some(&b'0') && end > whole + 1 {
        return Err(NumberFault::Form(whole + 1));
    }
    let mut fraction = None;
    if bytes.get(end) == Some(&b'.') {
        let point = end;
        end = digits(bytes, point + 1, &mut magnitude)?;
        fraction = Some(end - point - 1);
    }
    let mut short = end - from <= SHORT_BYTES_MAX;
    if let Some(b'e' | b'E') = bytes.get(end) {
        let signed = matches!(bytes.get(end + 1), Some(b'+' | b'-'));
        end = digits(bytes, if signed { end + 2 } else { end + 1 }, &mut magnitude)?;
        short = false;
    }
    let number = if short {
        let significand = if negative { -i128::from(magnitude) } else { i128::from(magnitude) };
        match fraction {
            None => Some(Value::Integer(significand)),
            Some(scale) => i32::try_from(scale)
                .ok()
                .map(|scale| Value::Decimal(Decimal { significand, exponent: -scale })),
        }
    } else {
        text.get(from..end).and_then(read_number)
    };
    number.map(|number| (number, end)).ok_or(NumberFault::OutOfRange)
}

/// Adds the digits from `from` on, of which there must be one, to `magnitude`; answers with the byte after them.
#[inline]
fn digits(bytes: &[u8], from: usize, magnitude: &mut u64) -> Result<usize, NumberFault> {
    let mut at = from;
    while let Some(digit @ b'0'..=b'9') = bytes.get(at) {
        *magnitude = magnitude.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        at += 1;
    }
    match bytes.get(at) {
        _ if at > from => Ok(at),
        Some(_) => Err(NumberFault::Form(at)),
        None => Err(NumberFault::End),
    }
}

/// Reads a number that the JSON grammar has already accepted; `None` where it is out of range.
///
/// Zeros before the first other digit do not count as digits. The exponent that is limited is the one that is kept:
/// that of the significand taken as an integer.
fn read_number(text: &str) -> Option<Value<'static>> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (digits, exponent_text) = match unsigned.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    let magnitude = significand(whole, fraction.unwrap_or_default())?;
    let significand = if negative { magnitude.checked_neg()? } else { magnitude };
    if fraction.is_none() && exponent_text.is_none() {
        return Some(Value::Integer(significand));
    }
    // A fraction or exponent too long for its type is out of range all the same.
    let scale = i32::try_from(fraction.map_or(0, str::len)).ok()?;
    let written = exponent_text.map_or(Ok(0), str::parse::<i32>).ok()?;
    let exponent = written.checked_sub(scale)?;
    let in_range = (-NUMBER_EXPONENT_MAX..=NUMBER_EXPONENT_MAX).contains(&exponent);
    in_range.then_some(Value::Decimal(Decimal { significand, exponent }))
}

/// The digits of both runs as one integer, at most `NUMBER_DIGITS_MAX` of them without leading zeros.
fn significand(whole: &str, fraction: &str) -> Option<i128> {
    let digits = whole.bytes().chain(fraction.bytes()).skip_while(|digit| *digit == b'0');
    let mut magnitude: i128 = 0;
    let mut count = 0;
    for digit in digits {
        count += 1;
        if count > NUMBER_DIGITS_MAX {
            return None;
        }
        magnitude = magnitude.checked_mul(10)?.checked_add(i128::from(digit.checked_sub(b'0')?))?;
    }
    Some(magnitude)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(significand: i128, exponent: i32) -> Option<Value<'static>> {
        Some(Value::Decimal(Decimal { significand, exponent }))
    }

    /// Both ways to the same number, which must agree where both are taken.
    fn read_number(text: &str) -> Option<Value<'static>> {
        let long = super::read_number(text);
        let scanned = scan_number(text, 0);
        assert_eq!(scanned.clone().ok(), long.clone().map(|number| (number, text.len())), "{text}");
        let within = format!("[{text},1");
        assert_eq!(scan_number(&within, 1), scanned.map(|(number, end)| (number, end + 1)), "{within}");
        long
    }

    #[test]
    fn short_and_long_numbers_meet_without_a_gap() {
        for sign in ["", "-"] {
            for len in 1..=24 {
                for digit in ["1", "9"] {
                    let whole = digit.repeat(len);
                    let value = format!("{sign}{whole}").parse::<i128>().unwrap();
                    assert_eq!(read_number(&format!("{sign}{whole}")), Some(Value::Integer(value)));
                    let scale = i32::try_from(len).unwrap();
                    assert_eq!(read_number(&format!("{sign}0.{whole}")), decimal(value, -scale));
                    assert_eq!(read_number(&format!("{sign}{whole}e0")), decimal(value, 0));
                }
            }
        }
    }

    #[test]
    fn a_number_in_another_form_says_where() {
        for (text, fault) in [
            ("-", NumberFault::End),
            ("1.", NumberFault::End),
            ("1e", NumberFault::End),
            ("1e+", NumberFault::End),
            ("-a", NumberFault::Form(1)),
            ("012", NumberFault::Form(1)),
            ("-00", NumberFault::Form(2)),
            ("1.e1", NumberFault::Form(2)),
            ("1e+-1", NumberFault::Form(3)),
        ] {
            assert_eq!(scan_number(text, 0), Err(fault), "{text}");
        }
    }

    #[test]
    fn digits_are_kept_as_written() {
        assert_eq!(read_number("0"), Some(Value::Integer(0)));
        assert_eq!(read_number("-0"), Some(Value::Integer(0)));
        assert_eq!(read_number("-17"), Some(Value::Integer(-17)));
        assert_eq!(read_number("999999999999999999"), Some(Value::Integer(999_999_999_999_999_999)));
        assert_eq!(read_number("1234567890123456789"), Some(Value::Integer(1_234_567_890_123_456_789)));
        assert_eq!(read_number("1.50"), decimal(150, -2));
        assert_eq!(read_number("-1.5"), decimal(-15, -1));
        assert_eq!(read_number("1e3"), decimal(1, 3));
        assert_eq!(read_number("1E+03"), decimal(1, 3));
        assert_eq!(read_number("1e-0"), decimal(1, 0));
        assert_eq!(read_number("12.5e2"), decimal(125, 1));
        assert_eq!(read_number("0.00015"), decimal(15, -5));
        assert_eq!(read_number("0.0"), decimal(0, -1));
        assert_eq!(read_number("-0.0"), decimal(0, -1));
    }

    #[test]
    fn thirty_eight_digits_fit_and_thirty_nine_do_not() {
        let most = "9".repeat(NUMBER_DIGITS_MAX);
        let value = most.parse::<i128>().unwrap();
        assert_eq!(read_number(&most), Some(Value::Integer(value)));
        assert_eq!(read_number(&format!("-{most}")), Some(Value::Integer(-value)));
        assert_eq!(read_number(&format!("{most}9")), None);
        // The 39 digits of i128::MAX are over the limit although the type holds them.
        assert_eq!(read_number(&i128::MAX.to_string()), None);
        assert_eq!(read_number(&format!("0.{most}")), decimal(value, -38));
        assert_eq!(read_number(&format!("0.{most}9")), None);
        assert_eq!(read_number(&format!("0.{}1", "0".repeat(399))), decimal(1, -400));
        assert_eq!(read_number(&format!("0.{}1", "0".repeat(400))), None);
        let trailing = format!("1.{}", "0".repeat(38));
        assert_eq!(read_number(&trailing), None, "zeros after the first digit are digits");
    }

    #[test]
    fn exponents_reach_four_hundred_both_ways() {
        assert_eq!(read_number("1e400"), decimal(1, 400));
        assert_eq!(read_number("1e401"), None);
        assert_eq!(read_number("1e-400"), decimal(1, -400));
        assert_eq!(read_number("1e-401"), None);
        assert_eq!(read_number("1.5e401"), decimal(15, 400));
        assert_eq!(read_number("1.5e-400"), None);
        assert_eq!(read_number("0e401"), None);
        assert_eq!(read_number("1e99999999999999999999"), None);
        assert_eq!(read_number("1e-99999999999999999999"), None);
        assert_eq!(read_number("1e00000000000000000000000000000003"), decimal(1, 3));
    }
}
