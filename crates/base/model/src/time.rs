//! Points in time: UTC, signed nanoseconds since 1970, so that real logs with dates before 1970 fit.
//!
//! Not here: reading a clock (`stdx::clock`). Order in a ledger is by position only, never by these times.

use std::fmt;

/// Nanoseconds of one second.
const SECOND_NS: i64 = 1_000_000_000;
/// Seconds of one day.
const DAY_S: i64 = 86_400;

/// A point in time: UTC, nanoseconds since 1970-01-01T00:00:00Z, negative before. Reaches from 1677 to 2262.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcNanos(pub i64);

/// A calendar day in UTC: days since 1970-01-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcDay(pub i32);

impl UtcNanos {
    /// The day this point in time falls on.
    #[must_use]
    pub fn day(self) -> UtcDay {
        let days = self.0.div_euclid(SECOND_NS).div_euclid(DAY_S);
        UtcDay(i32::try_from(days).unwrap_or(0))
    }

    /// The point in time `nanos` later, held at the end of the range.
    #[must_use]
    pub fn later_by(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }
}

impl UtcDay {
    /// Year, month (1 to 12) and day of the month (1 to 31) in the proleptic Gregorian calendar.
    ///
    /// The era arithmetic is Howard Hinnant's `civil_from_days`.
    #[must_use]
    pub fn civil(self) -> (i32, u8, u8) {
        let shifted = i64::from(self.0) + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
        let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        (i32::try_from(year).unwrap_or(0), u8::try_from(month).unwrap_or(1), u8::try_from(day).unwrap_or(1))
    }

    /// The point in time at which it is over, held at the end of the range.
    #[must_use]
    pub fn end(self) -> UtcNanos {
        let day_ns = DAY_S.saturating_mul(SECOND_NS);
        UtcNanos(i64::from(self.0).saturating_add(1).saturating_mul(day_ns))
    }

    /// The calendar year of this day.
    #[must_use]
    pub fn year(self) -> i32 {
        self.civil().0
    }
}

impl fmt::Display for UtcNanos {
    /// RFC 3339 with nine fraction digits and `Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.day().civil();
        let of_day = self.0.div_euclid(SECOND_NS).rem_euclid(DAY_S);
        // Written digit by digit: each request has such a text in its log line, and the formatter takes a microsecond.
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        let fields = [
            (0..4, i64::from(year)),
            (5..7, i64::from(month)),
            (8..10, i64::from(day)),
            (11..13, of_day / 3_600),
            (14..16, of_day / 60 % 60),
            (17..19, of_day % 60),
            (20..29, self.0.rem_euclid(SECOND_NS)),
        ];
        for (place, mut value) in fields {
            for digit in text.get_mut(place).unwrap_or_default().iter_mut().rev() {
                *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
                value /= 10;
            }
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Display for UtcDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_where_the_next_one_begins() {
        assert_eq!(UtcDay(17_927).end().to_string(), "2019-02-01T00:00:00.000000000Z");
        assert_eq!(UtcDay(17_927).end().later_by(-1).day(), UtcDay(17_927));
        assert_eq!((UtcDay(i32::MAX).end(), UtcDay(-1).end()), (UtcNanos(i64::MAX), UtcNanos(0)));
    }

    #[test]
    fn prints_known_points_in_time() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (1_000_000_000_123_456_789, "2001-09-09T01:46:40.123456789Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000000000Z"),
            (-694_310_400_000_000_001, "1947-12-31T23:59:59.999999999Z"),
            (i64::MIN, "1677-09-21T00:12:43.145224192Z"),
            (i64::MAX, "2262-04-11T23:47:16.854775807Z"),
        ] {
            assert_eq!(UtcNanos(nanos).to_string(), text);
        }
    }

    #[test]
    fn a_day_begins_at_midnight_utc_also_before_1970() {
        assert_eq!(UtcNanos(-1).day(), UtcDay(-1));
        assert_eq!(UtcNanos(0).day(), UtcDay(0));
        assert_eq!(UtcNanos(DAY_S * SECOND_NS - 1).day(), UtcDay(0));
        assert_eq!(UtcNanos(DAY_S * SECOND_NS).day(), UtcDay(1));
        assert_eq!(UtcDay(-1).to_string(), "1969-12-31");
        assert_eq!(UtcDay(20_778).year(), 2026);
    }
}
