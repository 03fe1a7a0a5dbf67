//! A text of an amount becomes minor units of its currency, exactly or not at all.
//!
//! Not here: which currencies there are and how many decimals they have (`waag_model::money`).

use waag_model::money::Currency;

/// Most digits of an amount; what 64 bits hold has 19.
const DIGITS_MAX: usize = 30;

/// How a log writes numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NumberForm {
    pub(crate) decimal: char,
    pub(crate) thousands: Option<char>,
}

impl NumberForm {
    /// The form that JSON has for numbers (RFC 8259 §6), whatever a log's texts have.
    pub(crate) const JSON: Self = Self { decimal: '.', thousands: None };
}

/// The minor units of an amount, within 64 bits; `None` where it is none or has more decimals than its currency.
pub(crate) fn minor_units(text: &str, currency: Currency, form: NumberForm) -> Option<i64> {
    let (negative, unsigned) = match text.strip_prefix(['-', '\u{2212}']) {
        Some(rest) => (true, rest),
        // Accounting software writes the sign behind the amount too.
        None => text.strip_suffix('-').map_or((false, text), |rest| (true, rest)),
    };
    let unsigned = unsigned.strip_prefix('+').unwrap_or(unsigned).trim();
    let (mantissa, scientific) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once(form.decimal).unwrap_or((mantissa, ""));
    let mut digits = ungrouped(whole, form.thousands)?;
    if digits.is_empty() && fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.push_str(fraction);
    let scale = i32::try_from(fraction.len()).ok()?;
    let mut shift = i32::from(currency.exponent()).checked_add(scientific)?.checked_sub(scale)?;
    let mut digits = digits.trim_start_matches('0');
    while shift < 0 && !digits.is_empty() {
        // Only zeros may go.
        digits = digits.strip_suffix('0')?;
        shift += 1;
    }
    if digits.is_empty() {
        return Some(0);
    }
    let zeros = usize::try_from(shift).ok()?;
    if digits.len().checked_add(zeros)? > DIGITS_MAX {
        return None;
    }
    let units = digits.parse::<i128>().ok()?.checked_mul(10_i128.checked_pow(u32::try_from(zeros).ok()?)?)?;
    i64::try_from(if negative { -units } else { units }).ok()
}

/// The digits before the decimal sign, without what groups them.
///
/// Only whole groups of three count as groups: in `12.34` the dot is another system's decimal sign, and leaving it out would
/// make a hundredfold of the amount. For the same reason nothing grouped begins with `0`.
fn ungrouped(whole: &str, thousands: Option<char>) -> Option<String> {
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (first, rest) = match thousands.and_then(|sign| whole.split_once(sign).map(|parts| (sign, parts))) {
        None => return all_digits(whole).then(|| whole.to_owned()),
        Some((sign, (first, rest))) => (first, rest.split(sign)),
    };
    if !(1..=3).contains(&first.len()) || first.starts_with('0') || !all_digits(first) {
        return None;
    }
    let mut digits = first.to_owned();
    for group in rest {
        if group.len() != 3 || !all_digits(group) {
            return None;
        }
        digits.push_str(group);
    }
    Some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOT: NumberForm = NumberForm { decimal: '.', thousands: None };
    const COMMA: NumberForm = NumberForm { decimal: ',', thousands: Some('.') };
    const SPACE: NumberForm = NumberForm { decimal: '.', thousands: Some('\u{202f}') };

    #[test]
    fn amounts_are_exact_minor_units() {
        for (text, currency, form, units) in [
            ("12.5", "EUR", DOT, 1_250),
            ("298.0", "EUR", DOT, 29_800),
            ("0", "EUR", DOT, 0),
            ("-0.01", "USD", DOT, -1),
            ("1.5e3", "EUR", DOT, 150_000),
            ("12500e-3", "EUR", DOT, 1_250),
            ("1.234.567,89", "EUR", COMMA, 123_456_789),
            ("1.234,50-", "EUR", COMMA, -123_450),
            ("1.234", "EUR", COMMA, 123_400),
            ("12.345,6", "EUR", COMMA, 1_234_560),
            ("+123.456", "EUR", COMMA, 12_345_600),
            ("1234567,89", "EUR", COMMA, 123_456_789),
            (",5", "EUR", COMMA, 50),
            ("1\u{202f}234.5", "EUR", SPACE, 123_450),
            ("1500", "JPY", DOT, 1_500),
            ("1.500", "KWD", DOT, 1_500),
            ("1.00000", "EUR", DOT, 100),
            (".5", "EUR", DOT, 50),
            ("92233720368547758.07", "EUR", DOT, i64::MAX),
        ] {
            assert_eq!(
                minor_units(text, Currency::of(currency).unwrap(), form),
                Some(units),
                "{text} {currency}"
            );
        }
    }

    #[test]
    fn what_is_not_exact_is_refused() {
        for (text, currency, form) in [
            ("", "EUR", DOT),
            ("abc", "EUR", DOT),
            ("1,50", "EUR", DOT),
            ("1.505", "EUR", DOT),
            ("0.5", "JPY", DOT),
            ("1.2.3", "EUR", DOT),
            ("--1", "EUR", DOT),
            ("1e", "EUR", DOT),
            ("1e99", "EUR", DOT),
            ("1e99999999999", "EUR", DOT),
            ("1e-2147483648", "EUR", DOT),
            (".", "EUR", DOT),
            ("92233720368547758.08", "EUR", DOT),
            ("12.34", "EUR", COMMA),
            ("1.5", "EUR", COMMA),
            ("1.2.3.4,5", "EUR", COMMA),
            ("99.", "EUR", COMMA),
            (".500", "EUR", COMMA),
            ("1..234", "EUR", COMMA),
            ("1.234.", "EUR", COMMA),
            ("1.2345", "EUR", COMMA),
            ("1234.567", "EUR", COMMA),
            ("12.34.567", "EUR", COMMA),
            ("1.234.56", "EUR", COMMA),
            ("0.500", "EUR", COMMA),
            ("1,234.567", "EUR", COMMA),
            ("1,000.000", "EUR", COMMA),
            ("1.234.+56", "EUR", COMMA),
            ("1.5e3", "EUR", COMMA),
            ("1\u{202f}23", "EUR", SPACE),
        ] {
            assert_eq!(minor_units(text, Currency::of(currency).unwrap(), form), None, "{text} {currency}");
        }
    }
}
