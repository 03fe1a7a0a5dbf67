//! Numbers, compared as decimals: 300, 300.0 and 3.0e2 are one number, 0.1 + 0.2 is 0.3, and no digit is rounded away.
//!
//! Not here: the grammar of a JSON number (`json`), the bounds on a pattern's numbers (`syntax`).
//! EventBridge compares as IEEE 754 doubles and gives up on numbers that a double cannot hold; within what a double holds
//! exactly the verdicts are the same.

/// Significant digits that are kept; of more, only that there are more. 10^38 - 1 is below the largest `i128`.
const DIGITS: usize = 38;

/// Decimal exponents beyond this are all as far away; no pattern's number comes near.
const EXPONENT_CLAMP: i64 = 1_000_000_000_000;

/// A decimal number; the derived order is the numbers' order, and equal numbers are equal in every field.
///
/// `sign × 0.d₁d₂d₃… × 10^exponent`, the first digit not zero; exponent, digits and `more` carry the sign as well, so
/// that comparing field by field compares numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Number {
    sign: i8,
    exponent: i64,
    /// The first 38 digits, filled up with zeros behind.
    digits: i128,
    /// Not zero where digits behind the 38th are not all zero.
    more: i8,
}

impl Number {
    /// Below every number.
    pub(crate) const LOWEST: Self = Self { sign: -1, exponent: i64::MIN, digits: 0, more: 0 };

    /// Reads the text of a JSON number, whose grammar has been checked.
    pub(crate) fn parse(text: &str) -> Self {
        let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        // Up to 19 digits fit a `u64`; what comes behind is added to them at the end.
        let (mut front, mut back, mut kept, mut more) = (0_u64, 0_u64, 0_usize, 0_i8);
        let (mut exponent, mut in_fraction) = (0_i64, false);
        let mut bytes = text.as_bytes().iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b'0' if kept == 0 => exponent -= i64::from(in_fraction),
                b'0'..=b'9' => {
                    let digit = u64::from(byte - b'0');
                    if kept < DIGITS / 2 {
                        front = front * 10 + digit;
                    } else if kept < DIGITS {
                        back = back * 10 + digit;
                    } else if digit > 0 {
                        more = 1;
                    }
                    kept += usize::from(kept < DIGITS);
                    exponent += i64::from(!in_fraction);
                }
                b'.' => in_fraction = true,
                _ => {
                    exponent += power(bytes.as_slice());
                    break;
                }
            }
        }
        if kept == 0 {
            return Self { sign: 0, exponent: 0, digits: 0, more: 0 };
        }
        let side = i64::from(sign);
        let front = i128::from(front) * i128::from(power_of_ten((DIGITS / 2).saturating_sub(kept)));
        let back = i128::from(back) * i128::from(power_of_ten((DIGITS - kept).min(DIGITS / 2)));
        let digits = front * i128::from(power_of_ten(DIGITS / 2)) + back;
        Self { sign, exponent: exponent * side, digits: digits * i128::from(side), more: more * sign }
    }

    /// Whether all digits were kept.
    pub(crate) fn is_whole(&self) -> bool {
        self.more == 0
    }

    /// The exponent of `0.d × 10^exponent`.
    pub(crate) fn exponent(&self) -> i64 {
        self.exponent * i64::from(self.sign)
    }
}

/// The powers of ten that a `u64` holds.
const POWERS: [u64; 20] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
    100_000_000_000,
    1_000_000_000_000,
    10_000_000_000_000,
    100_000_000_000_000,
    1_000_000_000_000_000,
    10_000_000_000_000_000,
    100_000_000_000_000_000,
    1_000_000_000_000_000_000,
    10_000_000_000_000_000_000,
];

/// 10 to at most the 19th.
fn power_of_ten(exponent: usize) -> u64 {
    POWERS.get(exponent).copied().unwrap_or(0)
}

/// The number behind an `e`, clamped.
fn power(text: &[u8]) -> i64 {
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] | digits => (1, digits),
    };
    let add = |sum: i64, digit: &u8| (sum * 10 + i64::from(digit.saturating_sub(b'0'))).min(EXPONENT_CLAMP);
    sign * digits.iter().fold(0, add)
}

/// An interval of numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Range {
    /// The lower end, [`Number::LOWEST`] where there is none, and whether it belongs to the interval.
    pub(crate) low: (Number, bool),
    /// The upper end, if there is one, and whether it belongs to the interval.
    pub(crate) high: Option<(Number, bool)>,
}

impl Range {
    /// Whether the number lies in the interval.
    pub(crate) fn contains(&self, number: &Number) -> bool {
        let (low, with_low) = &self.low;
        let above = number > low || (*with_low && number == low);
        above && self.high.as_ref().is_none_or(|(high, with)| number < high || (*with && number == high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_has_many_spellings() {
        let spellings: [&[&str]; 6] = [
            &[
                "300",
                "300.0",
                "3.0e2",
                "3E+2",
                "0.3e3",
                "30000e-2",
                "300.000000000000000000000000000000000000000000",
            ],
            &["0", "-0", "0.0", "0e9", "-0.00E-5", "0e99999999999999999999"],
            &["0.001", "1e-3", "0.1e-2", "10e-4"],
            &["-1.5", "-15e-1", "-0.15E1"],
            &["0.3", "3e-1"],
            &["18446744073709551616", "1.8446744073709551616e19"],
        ];
        for same in spellings {
            for text in same {
                assert_eq!(Number::parse(text), Number::parse(same[0]), "{text}");
            }
        }
    }

    #[test]
    fn the_order_is_the_numbers_order() {
        let ascending = [
            "-1e999999999999999999",
            "-1e300",
            "-100000000000000000000000000000000000000000000000001",
            "-100000000000000000000000000000000000000000000000000",
            "-3",
            "-2.5",
            "-0.001",
            "-1e-400",
            "0",
            "1e-400",
            "0.1",
            "0.3",
            "0.30000000000000004",
            "1",
            "9007199254740992",
            "9007199254740993",
            "99999999999999999999999999999999999999",
            "99999999999999999999999999999999999999.1",
            "100000000000000000000000000000000000000",
            "1e999999999999999999",
        ];
        for (at, low) in ascending.iter().enumerate() {
            assert!(Number::LOWEST < Number::parse(low));
            for high in &ascending[at + 1..] {
                assert!(Number::parse(low) < Number::parse(high), "{low} < {high}");
            }
        }
    }

    #[test]
    fn an_interval_has_open_and_closed_ends() {
        let number = Number::parse;
        let range = Range { low: (number("0"), false), high: Some((number("5"), true)) };
        let inside: Vec<_> =
            ["-1", "0", "1e-9", "5.0", "5.000001"].map(|text| range.contains(&number(text))).into();
        assert_eq!(inside, [false, false, true, true, false]);
        let below = Range { low: (Number::LOWEST, true), high: Some((number("5"), false)) };
        assert!(below.contains(&number("-1e400")) && !below.contains(&number("5")));
    }
}
