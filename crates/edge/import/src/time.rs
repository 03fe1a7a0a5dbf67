//! Times and days as logs write them become RFC 3339, kept to the letter where they already are.
//!
//! Not here: whether a time is plausible (`shape.rs`). Years 0000 to 9999, so that 1948 and 9999-12-31 are both kept.
//! Sources: RFC 3339 §5.6, ISO 8601-1:2019 (extended form), strptime of POSIX.1-2017 for the letters of a pattern.

use std::borrow::Cow;

/// Most digits of a fraction of a second.
const FRACTION_DIGITS_MAX: usize = 18;
const DAY_S: i64 = 86_400;
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// How a log writes a time or a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TimeForm {
    /// RFC 3339, and what is commonly taken for it: a space for `T`, no seconds, no offset, no time at all.
    Iso,
    /// Seconds since 1970, with or without a fraction.
    UnixSeconds,
    /// Milliseconds since 1970.
    UnixMillis,
    /// Letters after `%`, and what stands between them.
    Pattern(Vec<Piece>),
}

/// One piece of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Year,
    YearOfCentury,
    Month,
    MonthName,
    Day,
    Hour,
    Minute,
    Second,
    Fraction,
    Offset,
    Literal(char),
}

/// A time that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moment<'t> {
    /// RFC 3339.
    pub(crate) text: Cow<'t, str>,
    /// Whole seconds since 1970-01-01T00:00:00Z.
    pub(crate) seconds: i64,
}

/// What a text says of a time.
#[derive(Clone, Debug, Default)]
struct Civil<'t> {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    fraction: &'t str,
    offset_minutes: Option<i64>,
    /// Whether the text is RFC 3339 already.
    exact: bool,
}

impl TimeForm {
    /// Reads the name of a form or a pattern; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "rfc3339" => return Ok(Self::Iso),
            "unix_seconds" => return Ok(Self::UnixSeconds),
            "unix_millis" => return Ok(Self::UnixMillis),
            _ => {}
        }
        if !text.contains('%') {
            return Err("is neither `rfc3339`, `unix_seconds`, `unix_millis` nor a pattern".to_owned());
        }
        let mut pieces = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            pieces.push(if c == '%' { piece(chars.next())? } else { Piece::Literal(c) });
        }
        let has = |piece| pieces.contains(&piece);
        let has_month = has(Piece::Month) || has(Piece::MonthName);
        if !(has(Piece::Year) || has(Piece::YearOfCentury)) || !has_month || !has(Piece::Day) {
            return Err("lacks a year, a month or a day".to_owned());
        }
        Ok(Self::Pattern(pieces))
    }

    /// Reads a time; one without an offset is of the zone `zone_minutes` east of UTC.
    pub(crate) fn moment<'t>(&self, text: &'t str, zone_minutes: i64) -> Option<Moment<'t>> {
        let civil = match self {
            Self::Iso => iso(text)?,
            Self::UnixSeconds | Self::UnixMillis => return self.unix(text),
            Self::Pattern(pieces) => matched(pieces, text)?,
        };
        let days = civil.days()?;
        if civil.hour > 23 || civil.minute > 59 || civil.second > 59 {
            return None;
        }
        let offset = civil.offset_minutes.unwrap_or(zone_minutes);
        let seconds = days * DAY_S + civil.hour * 3_600 + (civil.minute - offset) * 60 + civil.second;
        let text = if civil.exact { Cow::Borrowed(text) } else { Cow::Owned(civil.text(offset)) };
        Some(Moment { text, seconds })
    }

    /// Reads a day, as `YYYY-MM-DD`; a time of day behind it does not count.
    pub(crate) fn day(&self, text: &str) -> Option<String> {
        let civil = match self {
            Self::Iso => iso(text)?,
            Self::UnixSeconds | Self::UnixMillis => {
                return self.unix(text)?.text.get(..10).map(str::to_owned);
            }
            Self::Pattern(pieces) => matched(pieces, text)?,
        };
        civil.days()?;
        Some(format!("{:04}-{:02}-{:02}", civil.year, civil.month, civil.day))
    }

    fn unix<'t>(&self, text: &str) -> Option<Moment<'t>> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let number: i64 = whole.parse().ok()?;
        let millis = if *self == Self::UnixMillis { number } else { number.checked_mul(1_000)? };
        let part = |from: i64| from.rem_euclid(1_000);
        let seconds = millis.div_euclid(1_000);
        // The range of the four digits of a year.
        if !(-62_167_219_200..=253_402_300_799).contains(&seconds)
            || !fraction.bytes().all(|byte| byte.is_ascii_digit())
            || !fraction.is_empty() && whole.starts_with('-')
        {
            return None;
        }
        let millis_text = format!("{:03}", part(millis));
        let fraction = if *self == Self::UnixMillis { millis_text.as_str() } else { fraction };
        let fraction = fraction.get(..fraction.len().min(9)).unwrap_or_default();
        let (year, month, day) = civil_of(seconds.div_euclid(DAY_S));
        let of_day = seconds.rem_euclid(DAY_S);
        let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
        let civil = Civil { year, month, day, hour, minute, second, fraction, ..Civil::default() };
        Some(Moment { text: Cow::Owned(civil.text(0)), seconds })
    }
}

impl Civil<'_> {
    /// Days since 1970-01-01; `None` where there is no such day. Howard Hinnant's `days_from_civil`.
    fn days(&self) -> Option<i64> {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        let length = match self.month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => return None,
        };
        if !(1..=length).contains(&self.day) || !(0..=9_999).contains(&self.year) {
            return None;
        }
        let year = if self.month <= 2 { self.year - 1 } else { self.year };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let shifted = if self.month > 2 { self.month - 3 } else { self.month + 9 };
        let day_of_year = (153 * shifted + 2) / 5 + self.day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Some(era * 146_097 + day_of_era - 719_468)
    }

    fn text(&self, offset_minutes: i64) -> String {
        let point = if self.fraction.is_empty() { "" } else { "." };
        let zone = match offset_minutes {
            0 => "Z".to_owned(),
            minutes => {
                let sign = if minutes < 0 { '-' } else { '+' };
                format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
            }
        };
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{point}{}{zone}",
            self.year, self.month, self.day, self.hour, self.minute, self.second, self.fraction
        )
    }
}

/// Year, month and day; Howard Hinnant's `civil_from_days`.
fn civil_of(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * month_shifted + 2) / 5 + 1)
}

/// A fixed distance from UTC: `Z` or `+hh:mm`, in minutes east.
pub(crate) fn offset(text: &str) -> Option<i64> {
    let mut rest = Rest(text);
    let minutes = rest.offset()?;
    rest.0.is_empty().then_some(minutes)
}

/// What of a text has not been read.
struct Rest<'t>(&'t str);

impl<'t> Rest<'t> {
    fn is(&mut self, c: char) -> bool {
        self.0.strip_prefix(c).map(|rest| self.0 = rest).is_some()
    }

    /// `least` to `most` digits.
    fn digits(&mut self, least: usize, most: usize) -> Option<&'t str> {
        let count = self.0.bytes().take(most).take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.0.split_at_checked(count).filter(|_| count >= least)?;
        self.0 = rest;
        Some(digits)
    }

    fn number(&mut self, least: usize, most: usize) -> Option<i64> {
        self.digits(least, most)?.parse().ok()
    }

    fn offset(&mut self) -> Option<i64> {
        if self.is('Z') || self.is('z') {
            return Some(0);
        }
        let negative = self.is('-');
        if !negative && !self.is('+') {
            return None;
        }
        let hours = self.number(2, 2)?;
        let with_colon = self.is(':');
        let minutes = if with_colon { self.number(2, 2)? } else { self.number(2, 2).unwrap_or(0) };
        let total = hours * 60 + minutes;
        (hours <= 23 && minutes <= 59).then_some(if negative { -total } else { total })
    }

    fn month_name(&mut self) -> Option<i64> {
        let (name, rest) = self.0.split_at_checked(3)?;
        let at = MONTHS.iter().position(|month| name.eq_ignore_ascii_case(month))?;
        self.0 = rest;
        i64::try_from(at).ok().map(|at| at + 1)
    }
}

fn iso(text: &str) -> Option<Civil<'_>> {
    let mut rest = Rest(text);
    let mut civil = Civil { year: rest.number(4, 4)?, ..Civil::default() };
    civil.month = rest.is('-').then(|| rest.number(2, 2))??;
    civil.day = rest.is('-').then(|| rest.number(2, 2))??;
    if rest.0.is_empty() {
        return Some(civil);
    }
    let strict_mark = rest.is('T') || rest.is('t');
    if !strict_mark && !rest.is(' ') {
        return None;
    }
    civil.hour = rest.number(2, 2)?;
    civil.minute = rest.is(':').then(|| rest.number(2, 2))??;
    let has_seconds = rest.is(':');
    if has_seconds {
        civil.second = rest.number(2, 2)?;
        if rest.is('.') {
            civil.fraction = rest.digits(1, FRACTION_DIGITS_MAX)?;
        }
    }
    let zone = rest.0;
    if !zone.is_empty() {
        civil.offset_minutes = Some(rest.offset()?);
    }
    let strict_zone = matches!(zone.len(), 1 | 6);
    civil.exact = strict_mark && has_seconds && strict_zone;
    rest.0.is_empty().then_some(civil)
}

fn piece(letter: Option<char>) -> Result<Piece, String> {
    Ok(match letter {
        Some('Y') => Piece::Year,
        Some('y') => Piece::YearOfCentury,
        Some('m') => Piece::Month,
        Some('b') => Piece::MonthName,
        Some('d') => Piece::Day,
        Some('H') => Piece::Hour,
        Some('M') => Piece::Minute,
        Some('S') => Piece::Second,
        Some('f') => Piece::Fraction,
        Some('z') => Piece::Offset,
        Some('%') => Piece::Literal('%'),
        Some(c) => return Err(format!("has `%{c}`; known are Y y m b d H M S f z and %%")),
        None => return Err("ends in `%`".to_owned()),
    })
}

fn matched<'t>(pieces: &[Piece], text: &'t str) -> Option<Civil<'t>> {
    let mut rest = Rest(text);
    let mut civil = Civil::default();
    for piece in pieces {
        match piece {
            Piece::Year => civil.year = rest.number(4, 4)?,
            // POSIX: 69 to 99 are of the twentieth century.
            Piece::YearOfCentury => {
                let year = rest.number(2, 2)?;
                civil.year = if year >= 69 { 1_900 + year } else { 2_000 + year };
            }
            Piece::Month => civil.month = rest.number(1, 2)?,
            Piece::MonthName => civil.month = rest.month_name()?,
            Piece::Day => civil.day = rest.number(1, 2)?,
            Piece::Hour => civil.hour = rest.number(1, 2)?,
            Piece::Minute => civil.minute = rest.number(1, 2)?,
            Piece::Second => civil.second = rest.number(1, 2)?,
            Piece::Fraction => civil.fraction = rest.digits(1, FRACTION_DIGITS_MAX)?,
            Piece::Offset => civil.offset_minutes = Some(rest.offset()?),
            Piece::Literal(c) => {
                if !rest.is(*c) {
                    return None;
                }
            }
        }
    }
    rest.0.is_empty().then_some(civil)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: &str, text: &str, zone: i64) -> Option<(String, i64)> {
        let form = TimeForm::parse(form).unwrap();
        form.moment(text, zone).map(|moment| (moment.text.into_owned(), moment.seconds))
    }

    #[test]
    fn times_become_rfc_3339_and_exact_ones_stay_as_they_are() {
        for (form, text, zone, to, seconds) in [
            ("rfc3339", "1948-01-26T22:59:00+00:00", 0, "1948-01-26T22:59:00+00:00", -692_067_660),
            ("rfc3339", "2018-01-02T12:53:00.120Z", 60, "2018-01-02T12:53:00.120Z", 1_514_897_580),
            ("rfc3339", "2018-01-02T12:53:00", 60, "2018-01-02T12:53:00+01:00", 1_514_893_980),
            ("rfc3339", "2018-01-02 12:53", -330, "2018-01-02T12:53:00-05:30", 1_514_917_380),
            ("rfc3339", "2018-01-02T12:53:00+0100", 0, "2018-01-02T12:53:00+01:00", 1_514_893_980),
            ("rfc3339", "9999-12-31", 0, "9999-12-31T00:00:00Z", 253_402_214_400),
            ("%d.%m.%Y %H:%M", "2.1.2018 3:04", 0, "2018-01-02T03:04:00Z", 1_514_862_240),
            ("%d-%b-%y", "05-Mar-69", 0, "1969-03-05T00:00:00Z", -26_092_800),
            ("%Y%m%dT%H%M%S%z", "20200229T010203+02", 0, "2020-02-29T01:02:03+02:00", 1_582_930_923),
            ("unix_seconds", "1582930923.5", 0, "2020-02-28T23:02:03.5Z", 1_582_930_923),
            ("unix_millis", "-1", 0, "1969-12-31T23:59:59.999Z", -1),
        ] {
            assert_eq!(read(form, text, zone), Some((to.to_owned(), seconds)), "{form} {text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for (form, text) in [
            ("rfc3339", ""),
            ("rfc3339", "2018-02-29T00:00:00Z"),
            ("rfc3339", "2018-01-02T24:00:00Z"),
            ("rfc3339", "2018-01-02T12:53:60Z"),
            ("rfc3339", "2018-01-02T12:53:00+24:00"),
            ("rfc3339", "2018-01-02T12:53:00Zx"),
            ("rfc3339", "2018-1-2"),
            ("rfc3339", "02/01/2018"),
            ("%d.%m.%Y", "31.04.2018"),
            ("%d.%m.%Y", "01.13.2018"),
            ("%d.%m.%Y", "01.12.2018 10:00"),
            ("unix_seconds", "253402300800"),
            ("unix_seconds", "1e9"),
            ("unix_millis", "x"),
        ] {
            assert_eq!(read(form, text, 0), None, "{form} {text}");
        }
        for bad in ["%d.%m", "%Q", "%", "iso", "%d.%m.%Y %"] {
            assert!(TimeForm::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_day_of_the_calendar_is_its_own_number() {
        let mut expected = Civil { year: 0, month: 1, day: 1, ..Civil::default() }.days().unwrap();
        for year in 0..=9_999 {
            for month in 1..=12 {
                for day in (1..=31).step_by(if year % 97 == 0 { 1 } else { 30 }) {
                    let Some(days) = (Civil { year, month, day, ..Civil::default() }).days() else {
                        continue;
                    };
                    assert_eq!(civil_of(days), (year, month, day));
                    assert!(days >= expected);
                    expected = days;
                }
            }
        }
        assert_eq!(civil_of(expected), (9_999, 12, 31));
    }
}
