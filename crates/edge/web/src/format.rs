//! How numbers, money and times read on every page: one place, so that no page rounds or groups its own way.
//!
//! Money: minor units with the point set by the currency's exponent, grouped by three, the ISO 4217 code behind it.
//! Times: relative in sight, absolute in UTC in the title and in `datetime`. All results are safe HTML or plain text.

mod id;
mod text;

use std::fmt;

use askama::filters::HtmlSafe;
use waag_invoices::event::Stage;
use waag_invoices::moves::Place;
use waag_model::time::{UtcDay, UtcNanos};

pub(crate) use self::id::{is_short, shortened};
pub(crate) use self::text::{escaped, json_in_lines, query_value, sent, visible};
use crate::model::{Amount, FigureValue};

const SECOND_NS: i64 = 1_000_000_000;
const MINUTE_S: i64 = 60;
const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 86_400;
/// Currencies of a key figure that have a line each.
const FIGURE_LINES_MAX: usize = 3;
/// The least number that is told by a power's letter.
const SHORT_FROM: u128 = 10_000;
/// More digits behind the point than any currency of ISO 4217 has; a larger exponent is shown as minor units.
const EXPONENT_MAX: u8 = 8;

/// A small value, whether a template hands it over itself or by references, as its patterns bind it.
pub(crate) trait Given<T> {
    fn given(&self) -> T;
}

macro_rules! given {
    ($($kind:ty),*) => {$(
        impl Given<$kind> for $kind {
            fn given(&self) -> $kind {
                *self
            }
        }
    )*};
}
given!(u32, u64, i64, UtcNanos, UtcDay);

impl<T, G: Given<T>> Given<T> for &G {
    fn given(&self) -> T {
        (**self).given()
    }
}

/// Text that is HTML already: made in this crate alone, from escaped parts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Html(pub(crate) String);

impl fmt::Display for Html {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HtmlSafe for Html {}

fn grouped(digits: &str) -> String {
    waag_model::text::grouped(digits, ',')
}

/// A count: `1,234,567`.
pub(crate) fn count(number: impl Given<u64>) -> String {
    grouped(&number.given().to_string())
}

/// A count with what is counted: `1 invoice`, `1,234 invoices`.
pub(crate) fn counted(number: impl Given<u64>, one: &str, many: &str) -> String {
    let number = number.given();
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// An amount without its code: `-1,234.50`; the minus is the typographic one.
pub(crate) fn money_digits(amount: &Amount) -> String {
    let sign = if amount.minor < 0 { "\u{2212}" } else { "" };
    let digits = amount.minor.unsigned_abs().to_string();
    let exponent = usize::from(if amount.exponent > EXPONENT_MAX { 0 } else { amount.exponent });
    let padded = format!("{digits:0>width$}", width = exponent + 1);
    let (whole, part) = padded.split_at_checked(padded.len() - exponent).unwrap_or((&padded, ""));
    let point = if part.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{part}", grouped(whole))
}

/// An amount for machines: `-1234.50`, as many digits behind the point as the currency has.
pub(crate) fn decimal_text(amount: &Amount) -> String {
    money_digits(amount).replace(',', "").replace('\u{2212}', "-")
}

/// An amount with its code, as text.
pub(crate) fn money_text(amount: &Amount) -> String {
    format!("{}\u{a0}{}", money_digits(amount), amount.currency)
}

/// An amount with its code, right-aligned figures and a quiet code.
pub(crate) fn money(amount: &Amount) -> Html {
    Html(format!(
        "<span class=\"money\">{} <span class=\"iso\">{}</span></span>",
        money_digits(amount),
        escaped(&amount.currency)
    ))
}

/// A short form for tiles: `12.4 M`, with the exact amount in the title.
pub(crate) fn money_short(amount: &Amount) -> Html {
    let exponent = if amount.exponent > EXPONENT_MAX { 0 } else { amount.exponent };
    Html(format!(
        "<span class=\"money\" title=\"{}\">{} <span class=\"iso\">{}</span></span>",
        escaped(&money_text(amount)),
        short_number(amount.minor, exponent),
        escaped(&amount.currency)
    ))
}

/// Three significant digits with a power's letter, from units with so many digits behind the point: `999`, `1.23 K`,
/// `45.6 M`; rounded half away from nought.
fn short_number(minor: i128, exponent: u8) -> String {
    let sign = if minor < 0 { "\u{2212}" } else { "" };
    let size = minor.unsigned_abs();
    let one = 10_u128.saturating_pow(exponent.into());
    let whole = rounded(size, one);
    if whole < SHORT_FROM {
        let sign = if whole == 0 { "" } else { sign };
        return format!("{sign}{}", grouped(&whole.to_string()));
    }
    let letters = [(1_000, "K"), (1_000_000, "M"), (1_000_000_000, "B"), (1_000_000_000_000, "T")];
    for (power, letter) in letters {
        let unit = one.saturating_mul(power);
        for digits in [2_usize, 1, 0] {
            let parts = 10_u128.saturating_pow(u32::try_from(digits).unwrap_or(0));
            let text = rounded(size, unit / parts).to_string();
            if text.len() > 3 && (letter, digits) != ("T", 0) {
                continue;
            }
            let (whole, part) =
                text.split_at_checked(text.len().saturating_sub(digits)).unwrap_or((&text, ""));
            let point = if part.is_empty() { "" } else { "." };
            return format!("{sign}{}{point}{part}\u{202f}{letter}", grouped(whole));
        }
    }
    format!("{sign}{}", grouped(&whole.to_string()))
}

/// How many units there are, rounded half up.
fn rounded(size: u128, unit: u128) -> u128 {
    let unit = unit.max(1);
    (size / unit).saturating_add(u128::from(size % unit >= unit.div_ceil(2)))
}

/// Most digits that a number with a power of ten is written out in.
const DECIMAL_DIGITS_MAX: usize = 40;

/// The digits of a number told as `125e-1`: `12.5`, with as many behind the point as were told; none for other text.
///
/// Only a negative power is written out, and only as this house writes one: `12e3` may well be a part's number.
pub(crate) fn decimal(text: &str) -> Option<String> {
    let (significand, power) = text.split_once("e-")?;
    let (sign, digits) = significand.strip_prefix('-').map_or(("", significand), |digits| ("-", digits));
    let is_number = |text: &str| {
        let starts = text.bytes().next().is_some_and(|first| first != b'0' || text.len() == 1);
        starts && text.len() <= DECIMAL_DIGITS_MAX && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let behind = power.parse::<usize>().ok().filter(|behind| (1..DECIMAL_DIGITS_MAX).contains(behind))?;
    if !is_number(digits) || !is_number(power) {
        return None;
    }
    let padded = format!("{digits:0>width$}", width = behind.saturating_add(1));
    let (whole, part) = padded.split_at_checked(padded.len().checked_sub(behind)?)?;
    Some(format!("{sign}{whole}.{part}"))
}

/// A duration in its two largest units: `3 d 4 h`, `5 m 12 s`, `830 ms`.
pub(crate) fn duration(nanos: impl Given<i64>) -> String {
    let nanos = nanos.given();
    let seconds = nanos.unsigned_abs() / SECOND_NS.unsigned_abs();
    let (day, hour, minute) = (DAY_S.unsigned_abs(), HOUR_S.unsigned_abs(), MINUTE_S.unsigned_abs());
    let two = |large: u64, name: &str, small: u64, small_name: &str| {
        if small == 0 { format!("{large} {name}") } else { format!("{large} {name} {small} {small_name}") }
    };
    if seconds >= 100 * day {
        format!("{} d", count(seconds / day))
    } else if seconds >= day {
        two(seconds / day, "d", seconds % day / hour, "h")
    } else if seconds >= hour {
        two(seconds / hour, "h", seconds % hour / minute, "m")
    } else if seconds >= minute {
        two(seconds / minute, "m", seconds % minute, "s")
    } else if seconds >= 1 {
        format!("{seconds} s")
    } else {
        format!("{} ms", nanos.unsigned_abs() / 1_000_000)
    }
}

/// A duration in its largest unit with one digit behind the point: `2.5 d`, `14.0 h`; cut, not rounded up.
pub(crate) fn short_duration(nanos: impl Given<i64>) -> String {
    let nanos = nanos.given();
    let tenths = nanos.unsigned_abs() / (SECOND_NS.unsigned_abs() / 10);
    let units = [(DAY_S, "d"), (HOUR_S, "h"), (MINUTE_S, "m"), (1, "s")];
    let fits = units.into_iter().find(|(length, _)| tenths >= length.unsigned_abs().saturating_mul(10));
    let Some((length, name)) = fits else { return duration(nanos) };
    let tenths = tenths / length.unsigned_abs();
    if tenths >= 1_000 {
        format!("{} {name}", count(tenths / 10))
    } else {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    }
}

/// RFC 3339 to the second.
pub(crate) fn seconds(at: &UtcNanos) -> String {
    let text = at.to_string();
    text.split_once('.').map_or(text.clone(), |(whole, _)| format!("{whole}Z"))
}

/// Date and time for reading: `2026-11-20 14:03:22 UTC`.
pub(crate) fn absolute(at: &UtcNanos) -> String {
    seconds(at).replace('T', " ").replace('Z', " UTC")
}

/// From one time to another, held at the ends of the range: an event may tell a date of any century, and a deadline
/// that follows from it lies at such an end.
pub(crate) fn passed(at: impl Given<UtcNanos>, now: impl Given<UtcNanos>) -> i64 {
    now.given().0.saturating_sub(at.given().0)
}

/// How long ago or ahead a time is, in two units and without the words around it.
pub(crate) fn distance(at: impl Given<UtcNanos>, now: impl Given<UtcNanos>) -> String {
    duration(passed(at, now))
}

/// The same in one unit, for tiles.
pub(crate) fn short_distance(at: impl Given<UtcNanos>, now: impl Given<UtcNanos>) -> String {
    short_duration(passed(at, now))
}

/// Time as people say it, with the exact time in the title.
pub(crate) fn ago(at: impl Given<UtcNanos>, now: impl Given<UtcNanos>) -> Html {
    let (at, now) = (at.given(), now.given());
    let passed = passed(at, now);
    let said = if passed.unsigned_abs() >= (400 * DAY_S * SECOND_NS).unsigned_abs() {
        at.day().to_string()
    } else if passed >= 0 {
        format!("{} ago", duration(passed))
    } else {
        format!("in {}", duration(passed))
    };
    Html(format!("<time datetime=\"{}\" title=\"{}\">{said}</time>", seconds(&at), absolute(&at)))
}

/// A time in full, with nanoseconds in the title.
pub(crate) fn time(at: impl Given<UtcNanos>) -> Html {
    let at = at.given();
    Html(format!("<time datetime=\"{}\" title=\"{at}\">{}</time>", seconds(&at), absolute(&at)))
}

/// A day: `2026-11-20`, with how far it is from today in the title.
pub(crate) fn day(day: impl Given<UtcDay>, today: impl Given<UtcDay>) -> Html {
    let (day, today) = (day.given(), today.given());
    let said = match i64::from(day.0) - i64::from(today.0) {
        0 => "today".to_owned(),
        1 => "tomorrow".to_owned(),
        days if days > 0 => format!("in {days} days"),
        -1 => "yesterday".to_owned(),
        days => format!("{} days ago", days.unsigned_abs()),
    };
    Html(format!("<time datetime=\"{day}\" title=\"{said}\">{day}</time>"))
}

/// How long ago, without the word; the exact time in the title.
pub(crate) fn since(at: impl Given<UtcNanos>, now: impl Given<UtcNanos>) -> Html {
    let (at, now) = (at.given(), now.given());
    let passed = duration(passed(at, now).max(0));
    Html(format!("<time datetime=\"{}\" title=\"{}\">{passed}</time>", seconds(&at), absolute(&at)))
}

/// A stage's name on screens.
pub(crate) fn stage(stage: &Stage) -> &'static str {
    match stage {
        Stage::Ingestion => "Ingestion",
        Stage::Reconciliation => "Reconciliation",
        Stage::Authorization => "Authorization",
        Stage::Posting => "Posting",
    }
}

/// A place's name on screens.
pub(crate) fn place(place: &Place) -> &'static str {
    match place {
        Place::Outside => "New",
        Place::In(stage) => self::stage(stage),
        Place::Paid => "Paid",
        Place::Rejected => "Rejected",
    }
}

/// A region's name on screens.
pub(crate) fn region(name: &str) -> &str {
    if name.is_empty() { "not told" } else { name }
}

/// Bytes in binary units: `1.4 GiB`.
pub(crate) fn bytes(number: impl Given<u64>) -> String {
    let number = number.given();
    let units: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    for (shift, unit) in units {
        let whole = number >> shift;
        if whole > 0 {
            let tenths = (u128::from(number) * 10) >> shift;
            return format!("{}.{}\u{a0}{unit}", count(whole), tenths % 10);
        }
    }
    format!("{number}\u{a0}B")
}

/// Parts of a million as a percentage with one digit, rounded half up: `93.4 %`.
///
/// All is told only of all, and none only of none: a rate is not made whole by rounding, nor nought.
pub(crate) fn percent(millionths: u64) -> String {
    let tenths = millionths.saturating_add(500) / 1_000;
    match (millionths, tenths) {
        (1.., 0) => "under\u{a0}0.1\u{202f}%".to_owned(),
        (..1_000_000, 1_000) => "99.9\u{202f}%".to_owned(),
        _ => format!("{}.{}\u{202f}%", tenths / 10, tenths % 10),
    }
}

/// The same with all its digits: `93.4567 %`.
fn percent_exact(millionths: u64) -> String {
    let digits = format!("{}.{:04}", millionths / 10_000, millionths % 10_000);
    format!("{}\u{202f}%", digits.trim_end_matches('0').trim_end_matches('.'))
}

/// A key figure's value; where it is short, with all its digits in the title.
pub(crate) fn figure(value: &FigureValue) -> Html {
    match value {
        FigureValue::Ratio(millionths) => {
            let (exact, short) = (percent_exact(*millionths), percent(*millionths));
            Html(format!("<span title=\"{exact}\">{short}</span>"))
        }
        FigureValue::Duration(nanos) => Html(duration(*nanos)),
        FigureValue::Count(number) => Html(count(number)),
        FigureValue::Money(amounts) => amounts.first().map_or_else(|| Html("0".to_owned()), money_short),
        FigureValue::DurationIn(times) => times.first().map_or_else(|| Html("–".to_owned()), duration_in),
    }
}

/// The part of a key figure's value that does not fit on its first line: two currencies, and how many more there are.
pub(crate) fn figure_rest(value: &FigureValue) -> Vec<Html> {
    match value {
        FigureValue::Money(amounts) => rest(amounts, money_short, money_text),
        FigureValue::DurationIn(times) => {
            rest(times, duration_in, |(currency, nanos)| format!("{}\u{a0}{currency}", duration(nanos)))
        }
        FigureValue::Ratio(_) | FigureValue::Duration(_) | FigureValue::Count(_) => Vec::new(),
    }
}

fn rest<T>(all: &[T], line: impl Fn(&T) -> Html, text: impl Fn(&T) -> String) -> Vec<Html> {
    let (shown, hidden) = all.split_at_checked(FIGURE_LINES_MAX).unwrap_or((all, &[]));
    let mut lines: Vec<Html> = shown.iter().skip(1).map(line).collect();
    if !hidden.is_empty() {
        let texts: Vec<String> = hidden.iter().map(text).collect();
        lines.push(Html(format!(
            "<span class=\"more\" title=\"{}\">+{}<span class=\"hidden\"> further currencies</span></span>",
            escaped(&texts.join(", ")),
            hidden.len()
        )));
    }
    lines
}

/// A duration that holds for one currency.
fn duration_in((currency, nanos): &(String, i64)) -> Html {
    Html(format!(
        "<span class=\"money\">{} <span class=\"iso\">{}</span></span>",
        if *nanos == 0 { "0 d".to_owned() } else { duration(nanos) },
        escaped(currency)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(minor: i128, currency: &str, exponent: u8) -> Amount {
        Amount { minor, currency: currency.to_owned(), exponent }
    }

    #[test]
    fn money_reads_exactly_whatever_its_exponent() {
        for (value, text) in [
            (amount(123_456_789, "EUR", 2), "1,234,567.89\u{a0}EUR"),
            (amount(-5, "EUR", 2), "\u{2212}0.05\u{a0}EUR"),
            (amount(0, "EUR", 2), "0.00\u{a0}EUR"),
            (amount(1_234, "JPY", 0), "1,234\u{a0}JPY"),
            (amount(1_234_567, "KWD", 3), "1,234.567\u{a0}KWD"),
            (
                amount(i128::MIN, "EUR", 2),
                "\u{2212}1,701,411,834,604,692,317,316,873,037,158,841,057.28\u{a0}EUR",
            ),
            (amount(7, "ODD", 200), "7\u{a0}ODD"),
        ] {
            assert_eq!(money_text(&value), text);
            let plain = text.split('\u{a0}').next().unwrap().replace(',', "").replace('\u{2212}', "-");
            assert_eq!(decimal_text(&value), plain);
        }
    }

    #[test]
    fn short_numbers_are_rounded_half_up_and_their_title_is_exact() {
        for (minor, exponent, text) in [
            (0, 0, "0"),
            (-4, 1, "0"),
            (-5, 1, "\u{2212}1"),
            (9_999, 0, "9,999"),
            (999_949, 2, "9,999"),
            (999_950, 2, "10.0\u{202f}K"),
            (10_000, 0, "10.0\u{202f}K"),
            (88_797_997, 2, "888\u{202f}K"),
            (99_949, 0, "99.9\u{202f}K"),
            (99_950, 0, "100\u{202f}K"),
            (999_499, 0, "999\u{202f}K"),
            (999_500, 0, "1.00\u{202f}M"),
            (1_994_999, 0, "1.99\u{202f}M"),
            (1_995_000, 0, "2.00\u{202f}M"),
            (-12_350_000, 0, "\u{2212}12.4\u{202f}M"),
            (1_234_500_000_000_000, 0, "1,235\u{202f}T"),
            (i128::MIN, 8, "\u{2212}1,701,411,834,604,692,317\u{202f}T"),
        ] {
            assert_eq!(short_number(minor, exponent), text, "{minor} {exponent}");
        }
        let html = money_short(&amount(88_797_997, "EUR", 2)).0;
        assert!(html.contains("title=\"887,979.97\u{a0}EUR\">888\u{202f}K <"), "{html}");
    }

    #[test]
    fn a_rate_is_whole_or_nought_only_where_it_is() {
        for (millionths, text) in [
            (0, "0.0\u{202f}%"),
            (1, "under\u{a0}0.1\u{202f}%"),
            (499, "under\u{a0}0.1\u{202f}%"),
            (500, "0.1\u{202f}%"),
            (76_900, "7.7\u{202f}%"),
            (999_600, "99.9\u{202f}%"),
            (999_999, "99.9\u{202f}%"),
            (1_000_000, "100.0\u{202f}%"),
            (1_200_000, "120.0\u{202f}%"),
        ] {
            assert_eq!(percent(millionths), text);
        }
        let html = figure(&FigureValue::Ratio(76_900)).0;
        assert_eq!(html, "<span title=\"7.69\u{202f}%\">7.7\u{202f}%</span>");
        assert_eq!(percent_exact(1_000_000), "100\u{202f}%");
        assert_eq!(percent_exact(1), "0.0001\u{202f}%");
    }

    #[test]
    fn a_figure_says_how_many_currencies_it_leaves_out() {
        let of = |codes: &[&str]| {
            figure_rest(&FigureValue::Money(codes.iter().map(|code| amount(150, code, 2)).collect()))
        };
        assert_eq!(of(&["EUR"]).len(), 0);
        assert_eq!(of(&["EUR", "GBP", "USD"]).len(), 2);
        let lines = of(&["EUR", "GBP", "USD", "JPY", "KWD"]);
        assert_eq!(lines.len(), 3);
        assert!(lines[2].0.contains(">+2<") && lines[2].0.contains("title=\"1.50\u{a0}JPY, 1.50\u{a0}KWD\""));
    }

    #[test]
    fn durations_have_two_units_at_most() {
        for (nanos, text) in [
            (0, "0 ms"),
            (830_000_000, "830 ms"),
            (SECOND_NS, "1 s"),
            (312 * SECOND_NS, "5 m 12 s"),
            (HOUR_S * SECOND_NS, "1 h"),
            ((3 * DAY_S + 4 * HOUR_S) * SECOND_NS, "3 d 4 h"),
            (1_234 * DAY_S * SECOND_NS, "1,234 d"),
        ] {
            assert_eq!(duration(nanos), text);
        }
    }

    #[test]
    fn short_durations_have_one_unit() {
        let second = 1_000_000_000;
        for (nanos, said) in [
            (0, "0 ms"),
            (999_000_000, "999 ms"),
            (1_500_000_000, "1.5 s"),
            (90 * second, "1.5 m"),
            (14 * 3_600 * second + 1_799 * second, "14.4 h"),
            (47 * 3_600 * second, "1.9 d"),
            (100 * 86_400 * second, "100 d"),
        ] {
            assert_eq!(short_duration(nanos), said);
        }
    }

    #[test]
    fn times_are_relative_in_sight_and_absolute_in_the_title() {
        let at = UtcNanos(1_000_000_000_123_456_789);
        let html = ago(at, UtcNanos(at.0 + 90 * SECOND_NS)).0;
        assert_eq!(
            html,
            "<time datetime=\"2001-09-09T01:46:40Z\" title=\"2001-09-09 01:46:40 UTC\">1 m 30 s ago</time>"
        );
        assert!(
            ago(UtcNanos(i64::MIN), at).0.contains(">1677-09-21<"),
            "a date of long ago is told as a date"
        );
    }

    #[test]
    fn times_at_the_ends_of_the_range_are_told_from_each_other() {
        let ends = [UtcNanos(i64::MIN), UtcNanos(-1), UtcNanos(0), UtcNanos(i64::MAX)];
        for at in ends {
            for now in ends {
                assert!(!distance(at, now).is_empty() && !short_distance(at, now).is_empty());
                assert!(ago(at, now).0.contains("<time ") && since(at, now).0.contains("<time "));
            }
        }
        assert_eq!(distance(UtcNanos(i64::MIN), UtcNanos(i64::MAX)), "106,751 d");
        assert_eq!(short_distance(UtcNanos(i64::MAX), UtcNanos(i64::MIN)), "106,751 d");
        assert_eq!(distance(UtcNanos(0), UtcNanos(90 * SECOND_NS)), "1 m 30 s");
        let days = [UtcDay(i32::MIN), UtcDay(i32::MAX)];
        assert!(days.iter().all(|at| days.iter().all(|today| day(at, today).0.contains("<time "))));
    }

    #[test]
    fn a_number_with_a_power_of_ten_reads_in_digits_and_other_text_as_it_is() {
        for (text, digits) in [
            ("125e-1", "12.5"),
            ("1234e-3", "1.234"),
            ("1250e-2", "12.50"),
            ("5e-3", "0.005"),
            ("-5e-1", "-0.5"),
            ("0e-2", "0.00"),
        ] {
            assert_eq!(decimal(text).as_deref(), Some(digits));
        }
        let other =
            ["12.5", "12e3", "e-1", "-e-1", "012e-1", "1e-", "1e-01", "1e-0", "1e-40", "12e-1x", "ae-1", ""];
        for text in other.into_iter().chain([format!("1{}e-2", "0".repeat(40)).as_str()]) {
            assert_eq!(decimal(text), None, "{text}");
        }
    }

    #[test]
    fn one_thing_is_told_as_one() {
        let said = |number: u64| counted(number, "event", "events");
        assert_eq!(
            (said(0), said(1), said(2)),
            ("0 events".to_owned(), "1 event".to_owned(), "2 events".to_owned())
        );
        assert_eq!(said(1_000), "1,000 events");
    }

    #[test]
    fn bytes_and_percentages() {
        assert_eq!(bytes(1_023), "1023\u{a0}B");
        assert_eq!(bytes(1_536), "1.5\u{a0}KiB");
        assert_eq!(bytes(u64::MAX), "16,777,215.9\u{a0}TiB");
        assert_eq!(percent(934_567), "93.5\u{202f}%");
    }

    #[test]
    fn what_goes_into_a_page_is_escaped() {
        let odd = amount(1, "<i>\"'&", 0);
        assert_eq!(
            money(&odd).0,
            "<span class=\"money\">1 <span class=\"iso\">&lt;i&gt;&quot;&#39;&amp;</span></span>"
        );
    }
}
