//! Points in time as events write them: RFC 3339 text into signed nanoseconds, and days.
//!
//! Not here: which times are plausible (`event`).

use waag_model::time::{UtcDay, UtcNanos};

/// Nanoseconds of one second.
pub(crate) const SECOND_NS: i64 = 1_000_000_000;
/// Nanoseconds of one minute.
pub(crate) const MINUTE_NS: i64 = 60 * SECOND_NS;
/// Nanoseconds of one hour.
pub(crate) const HOUR_NS: i64 = 60 * MINUTE_NS;

/// The last day that a date can be written of: 9999-12-31.
pub const DAY_MAX: UtcDay = UtcDay(2_932_896);

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar; none where there is no such date.
///
/// The era arithmetic is Howard Hinnant's `days_from_civil`.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// The number that all of these bytes are digits of.
fn number(text: &[u8], from: usize, to: usize) -> Option<i64> {
    text.get(from..to)?
        .iter()
        .try_fold(0i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

/// The day a text begins with: `2026-06-28`, or the day of `2026-06-28T…` as written there.
pub fn day(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    let parts = (number(bytes, 0, 4)?, number(bytes, 5, 7)?, number(bytes, 8, 10)?);
    let dashes = bytes.get(4) == Some(&b'-') && bytes.get(7) == Some(&b'-');
    let ends = matches!(bytes.get(10), None | Some(b'T' | b't' | b' '));
    (dashes && ends)
        .then(|| days(parts.0, parts.1, parts.2))
        .flatten()
        .and_then(|day| i32::try_from(day).ok())
}

/// The point in time an RFC 3339 text names; none where it is no such text, or before 1677 or after 2262.
pub fn instant(text: &str) -> Option<UtcNanos> {
    let (seconds, nanos) = second(text)?;
    seconds.checked_mul(SECOND_NS)?.checked_add(nanos).map(UtcNanos)
}

/// As [`instant`], of an end of a span: one beyond the times that there are is the last of them, and none where it is
/// no such text.
pub fn end_of_span(text: &str) -> Option<UtcNanos> {
    let (seconds, nanos) = second(text)?;
    Some(UtcNanos(seconds.saturating_mul(SECOND_NS).saturating_add(nanos)))
}

/// Seconds since 1970 and nanoseconds of an RFC 3339 text.
fn second(text: &str) -> Option<(i64, i64)> {
    let bytes = text.as_bytes();
    let day = i64::from(day(text)?);
    let (hour, minute, second) = (number(bytes, 11, 13)?, number(bytes, 14, 16)?, number(bytes, 17, 19)?);
    let colons = bytes.get(13) == Some(&b':') && bytes.get(16) == Some(&b':');
    // A leap second is written as 60 (RFC 3339 §5.7); it is the first instant after it.
    if !colons || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (nanos, rest) = fraction(bytes.get(19..)?)?;
    let seconds = day * 86_400 + hour * 3_600 + minute * 60 + second - offset(rest)?;
    Some((seconds, nanos))
}

/// Nanoseconds of `.123…`, and what follows; digits beyond the ninth are cut.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = text.strip_prefix(b".") else { return Some((0, text)) };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = digits.split_at_checked(count)?;
    let kept = digits.get(..count.min(9))?;
    let scale = 10i64.pow(9 - u32::try_from(kept.len()).ok()?);
    (count > 0).then_some(())?;
    Some((number(kept, 0, kept.len())? * scale, rest))
}

/// Seconds east of UTC: `Z`, `+02:00`, `-08:00`.
fn offset(text: &[u8]) -> Option<i64> {
    if matches!(text, b"Z" | b"z") {
        return Some(0);
    }
    let sign = match text.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = (number(text, 1, 3)?, number(text, 4, 6)?);
    (text.len() == 6 && text.get(3) == Some(&b':') && hours < 24 && minutes < 60)
        .then_some(sign * (hours * 3_600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_as_rfc_3339_writes_them() {
        for (text, shown) in [
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000000Z"),
            ("1948-01-26T23:59:00.000Z", "1948-01-26T23:59:00.000000000Z"),
            ("2026-02-28T23:30:00.5-01:00", "2026-03-01T00:30:00.500000000Z"),
            ("2024-02-29T12:00:00.1234567891+05:30", "2024-02-29T06:30:00.123456789Z"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000000Z"),
        ] {
            assert_eq!(instant(text).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_instant_is_none() {
        for bad in [
            "",
            "2026",
            "2026-02-30T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+2:00",
            "9999-01-01T00:00:00Z",
            "0001-01-01T00:00:00Z",
            "2026-01-01T00:00:00Zx",
            "2026/01/01T00:00:00Z",
            "202é-01-01T00:00:00Z",
        ] {
            assert_eq!(instant(bad), None, "{bad}");
            let is_a_time = bad.starts_with("9999") || bad.starts_with("0001");
            assert_eq!(end_of_span(bad).is_some(), is_a_time, "{bad}");
        }
        assert_eq!(end_of_span("9999-01-01T00:00:00Z"), Some(UtcNanos(i64::MAX)));
        assert_eq!(end_of_span("0001-01-01T00:00:00Z"), Some(UtcNanos(i64::MIN)));
        assert_eq!(end_of_span("2026-02-28T23:30:00Z"), instant("2026-02-28T23:30:00Z"));
        assert_eq!(day("2026-06-28"), Some(20_632));
        assert_eq!(day("2026-06-28T10:00:00Z"), Some(20_632));
        assert_eq!(day("2026-06-28x"), None);
    }
}
