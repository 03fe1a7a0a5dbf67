//! The one spelling of a pack's JSON: read by expecting it piece by piece, so that no second spelling can be read.
//!
//! No tree of values is built and no member is looked up: what is not expected next is refused where it stands.
//!
//! Not here: which members there are (`manifest`, `keys`).
//!
//! Source: RFC 8785 (order, no white space), narrowed: no control characters in strings, no fractions, small integers.

use waag_model::time::UtcNanos;

use super::fault::PackFault;
use crate::text;

/// The largest integer that is written as a number; larger ones are strings of digits.
pub(super) const INTEGER_MAX: u64 = 2_147_483_647;

/// A place in a JSON text.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    member: &'static str,
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Begins at the front of a member.
    pub(super) fn new(member: &'static str, bytes: &'a [u8]) -> Result<Self, PackFault> {
        let text = std::str::from_utf8(bytes).map_err(|error| PackFault::Json {
            member,
            offset: error.valid_up_to(),
            expected: "UTF-8",
        })?;
        Ok(Self { member, text, at: 0 })
    }

    pub(super) fn fault(&self, expected: &'static str) -> PackFault {
        PackFault::Json { member: self.member, offset: self.at, expected }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Steps over `piece`, where it stands next.
    pub(super) fn next_is(&mut self, piece: &str) -> bool {
        let there = self.rest().starts_with(piece);
        if there {
            self.at += piece.len();
        }
        there
    }

    /// Steps over `piece`.
    pub(super) fn expect(&mut self, piece: &'static str) -> Result<(), PackFault> {
        if self.next_is(piece) { Ok(()) } else { Err(self.fault(piece)) }
    }

    /// Nothing stands behind.
    pub(super) fn end(&self) -> Result<(), PackFault> {
        if self.rest().is_empty() { Ok(()) } else { Err(self.fault("the end of the member")) }
    }

    /// A string of at most `bytes_max` bytes.
    pub(super) fn string(&mut self, bytes_max: usize, expected: &'static str) -> Result<String, PackFault> {
        let wrong = self.fault(expected);
        let mut chars = self.rest().strip_prefix('"').ok_or_else(|| wrong.clone())?.char_indices();
        let mut string = String::new();
        loop {
            let (offset, c) = chars.next().ok_or_else(|| wrong.clone())?;
            match c {
                '"' => {
                    self.at += offset + 2;
                    return Ok(string);
                }
                '\\' => match chars.next() {
                    Some((_, escaped @ ('"' | '\\'))) => string.push(escaped),
                    Some(_) | None => return Err(wrong),
                },
                c if c.is_control() => return Err(wrong),
                c => string.push(c),
            }
            if string.len() > bytes_max {
                return Err(wrong);
            }
        }
    }

    /// An integer up to [`INTEGER_MAX`].
    pub(super) fn integer(&mut self, expected: &'static str) -> Result<u64, PackFault> {
        let rest = self.rest();
        let len = rest.bytes().take_while(u8::is_ascii_digit).count();
        let digits = rest.get(..len).filter(|digits| !digits.is_empty());
        let number = digits.and_then(|digits| text::decimal(digits, INTEGER_MAX));
        let number = number.ok_or_else(|| self.fault(expected))?;
        self.at += len;
        Ok(number)
    }

    /// A string of decimal digits.
    pub(super) fn decimal(&mut self, expected: &'static str) -> Result<u64, PackFault> {
        let wrong = self.fault(expected);
        let digits = self.string(20, expected)?;
        text::decimal(&digits, u64::MAX).filter(|_| !digits.is_empty()).ok_or(wrong)
    }

    /// A string of hexadecimal digits that are `N` bytes.
    pub(super) fn hex<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], PackFault> {
        let wrong = self.fault(expected);
        let digits = self.string(2 * N, expected)?;
        let mut bytes = [0; N];
        text::hex_decode(&digits, &mut bytes).ok_or(wrong)?;
        Ok(bytes)
    }

    /// A time.
    pub(super) fn time(&mut self, expected: &'static str) -> Result<UtcNanos, PackFault> {
        let wrong = self.fault(expected);
        read_time(&self.string(30, expected)?).ok_or(wrong)
    }
}

/// Appends a string. What holds a control character is written as it is, and the reader refuses it.
pub(super) fn write_string(out: &mut String, string: &str) {
    out.push('"');
    for c in string.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

/// Reads the 30 characters that [`UtcNanos`] prints, and nothing else.
fn read_time(text: &str) -> Option<UtcNanos> {
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        if digits.bytes().all(|digit| digit.is_ascii_digit()) { digits.parse::<i64>().ok() } else { None }
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hours, minutes, seconds) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let nanos = number(20, 29)?;
    // Every day of a month has its own number; whether the calendar has it is seen when it is printed again.
    let days = days_of(year, month, day);
    let of_day = hours * 3_600 + minutes * 60 + seconds;
    let total = (i128::from(days) * 86_400 + i128::from(of_day)) * 1_000_000_000 + i128::from(nanos);
    let time = UtcNanos(i64::try_from(total).ok()?);
    (time.to_string() == text).then_some(time)
}

/// Days from 1970-01-01 to a day of the proleptic Gregorian calendar (Howard Hinnant's `days_from_civil`).
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use waag_model::time::UtcDay;

    use super::*;

    #[test]
    fn a_time_is_read_as_it_is_printed_and_in_no_other_spelling() {
        for nanos in [0, -1, 1, i64::MIN, i64::MAX, 951_782_400_000_000_000, -694_310_400_000_000_001] {
            let text = UtcNanos(nanos).to_string();
            assert_eq!(read_time(&text), Some(UtcNanos(nanos)), "{text}");
        }
        for day in (-100_000..100_000).step_by(13) {
            let (year, month, of_month) = UtcDay(day).civil();
            assert_eq!(days_of(i64::from(year), i64::from(month), i64::from(of_month)), i64::from(day));
        }
        for text in [
            "2026-02-29T00:00:00.000000000Z",
            "2026-13-01T00:00:00.000000000Z",
            "2026-00-01T00:00:00.000000000Z",
            "2026-01-01T24:00:00.000000000Z",
            "2026-01-01T00:00:60.000000000Z",
            "2026-01-01T00:00:00Z",
            "2026-01-01t00:00:00.000000000Z",
            "2026-01-01T00:00:00.000000000+",
            "9999-01-01T00:00:00.000000000Z",
            "+026-01-01T00:00:00.000000000Z",
            "",
        ] {
            assert_eq!(read_time(text), None, "{text}");
        }
    }

    #[test]
    fn a_string_has_one_spelling() {
        let read = |text: &str| Cursor::new("manifest.json", text.as_bytes()).unwrap().string(8, "a string");
        for good in ["", "a", "\"\\", "é/ \u{1f600}"] {
            let mut text = String::new();
            write_string(&mut text, good);
            assert_eq!(read(&text).unwrap(), good);
        }
        for bad in [
            "",
            "a",
            "\"",
            "\"\\\"",
            "\"\\n\"",
            "\"\\u0041\"",
            "\"\n\"",
            "\"\u{80}\"",
            "\"123456789\"",
            "\"\\/\"",
        ] {
            assert_eq!(read(bad).unwrap_err().code(), "E0382", "{bad}");
        }
    }

    #[test]
    fn an_integer_has_one_spelling() {
        let read = |text: &str| Cursor::new("keys.json", text.as_bytes()).unwrap().integer("an integer");
        assert_eq!(read("0").unwrap(), 0);
        assert_eq!(read("2147483647,").unwrap(), INTEGER_MAX);
        for bad in ["", "-1", "01", "2147483648", "+1", "\"1\"", "99999999999999999999999"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(Cursor::new("keys.json", b"\xff").is_err());
    }
}
