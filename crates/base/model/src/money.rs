//! Money: a whole number of minor units of an ISO 4217 currency; never a float.
//!
//! Sums are made in 128 bits ([`Money::minor`]); views hold 64 ([`Money::stored`] says where that does not do).
//! Not here: rates between currencies, rounding of taxes (the domains that need them).
//!
//! Invariants:
//! - `MONEY-1`: amounts of two currencies are never added.
//! - `MONEY-2`: an amount written with more decimals than its currency has is refused, not rounded.
//!
//! Source: ISO 4217:2015, list one (active codes) as amended up to number 180 (2025). Codes of precious metals, funds
//! without minor units and test codes (`XAU`, `XDR`, `XTS`, …) have no exponent and are not money here.

use std::cmp::Ordering;
use std::fmt;

use crate::value::Decimal;

/// An active ISO 4217 code with a known exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// An amount: minor units of a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Money {
    /// Minor units: cents for EUR, yen for JPY, fils for BHD.
    pub minor: i128,
    /// Their currency.
    pub currency: Currency,
}

/// Codes without decimals.
const EXPONENT_0: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
/// Codes with three decimals.
const EXPONENT_3: &str = "BHD IQD JOD KWD LYD OMR TND";
/// Codes with four decimals.
const EXPONENT_4: &str = "CLF UYW";
/// Codes with two decimals: all others.
const EXPONENT_2: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD \
    CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD \
    HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU \
    MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK \
    SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD \
    XCG YER ZAR ZMW ZWG";

impl Currency {
    /// The currency with this code: three capital letters of the active list.
    #[must_use]
    pub fn of(code: &str) -> Option<Self> {
        let bytes: [u8; 3] = code.as_bytes().try_into().ok()?;
        let currency = Self(bytes);
        bytes.iter().all(u8::is_ascii_uppercase).then_some(currency).filter(|c| c.find().is_some())
    }

    /// The code: three capital letters.
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("")
    }

    /// How many decimals its minor unit stands for: 0, 2, 3 or 4.
    #[must_use]
    pub fn exponent(self) -> u8 {
        self.find().unwrap_or(2)
    }

    fn find(self) -> Option<u8> {
        let lists = [(2, EXPONENT_2), (0, EXPONENT_0), (3, EXPONENT_3), (4, EXPONENT_4)];
        lists.into_iter().find_map(|(exponent, codes)| {
            // Codes are sorted and stand every four bytes.
            let (mut low, mut high) = (0, codes.len().div_ceil(4));
            while low < high {
                let middle = usize::midpoint(low, high);
                match codes.as_bytes().get(4 * middle..4 * middle + 3)?.cmp(&self.0) {
                    Ordering::Equal => return Some(exponent),
                    Ordering::Less => low = middle + 1,
                    Ordering::Greater => high = middle,
                }
            }
            None
        })
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Money {
    /// The amount a decimal number of major units is, exactly; none where it has more decimals than the currency
    /// (`MONEY-2`) or does not fit.
    #[must_use]
    pub fn from_major(major: Decimal, currency: Currency) -> Option<Self> {
        let shift = i32::from(currency.exponent()).checked_add(major.exponent)?;
        let scale = |by: u32| 10i128.checked_pow(by);
        let minor = if shift >= 0 {
            major.significand.checked_mul(scale(shift.unsigned_abs())?)?
        } else if major.significand == 0 {
            0
        } else {
            let by = scale(shift.unsigned_abs())?;
            (major.significand % by == 0).then_some(major.significand / by)?
        };
        Some(Self { minor, currency })
    }

    /// The sum; none where the currencies differ (`MONEY-1`) or 128 bits do not hold it.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        let minor = (self.currency == other.currency).then(|| self.minor.checked_add(other.minor))??;
        Some(Self { minor, currency: self.currency })
    }

    /// The amount in the 64 bits of a view, and whether it was cut to its end.
    #[must_use]
    pub fn stored(self) -> (i64, bool) {
        match i64::try_from(self.minor) {
            Ok(minor) => (minor, false),
            Err(_) => (if self.minor < 0 { i64::MIN } else { i64::MAX }, true),
        }
    }
}

impl fmt::Display for Money {
    /// The code and the amount in major units: `EUR -1.05`, `JPY 200`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = 10u128.pow(u32::from(self.currency.exponent()));
        let minor = self.minor.unsigned_abs();
        let sign = if self.minor < 0 { "-" } else { "" };
        write!(f, "{} {sign}{}", self.currency, minor / scale)?;
        match usize::from(self.currency.exponent()) {
            0 => Ok(()),
            width => write!(f, ".{:0width$}", minor % scale),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn major(significand: i128, exponent: i32, code: &str) -> Option<i128> {
        Money::from_major(Decimal { significand, exponent }, Currency::of(code).unwrap()).map(|m| m.minor)
    }

    #[test]
    fn codes_are_those_of_iso_4217_with_their_exponents() {
        for (code, exponent) in [("EUR", 2), ("JPY", 0), ("BHD", 3), ("CLF", 4), ("USD", 2), ("ZWG", 2)] {
            assert_eq!(Currency::of(code).unwrap().exponent(), exponent, "{code}");
            assert_eq!(Currency::of(code).unwrap().code(), code);
        }
        for bad in ["eur", "EU", "EURO", "XAU", "XTS", "UR ", "R G", "HRK", "", "€"] {
            assert_eq!(Currency::of(bad), None, "{bad}");
        }
    }

    #[test]
    fn no_code_is_listed_twice() {
        let all = [EXPONENT_0, EXPONENT_2, EXPONENT_3, EXPONENT_4].join(" ");
        let codes: std::collections::BTreeSet<_> = all.split_whitespace().collect();
        assert_eq!(codes.len(), all.split_whitespace().count());
        assert!(codes.iter().all(|code| code.len() == 3 && all.is_ascii()));
        assert!(
            codes.iter().all(|code| Currency::of(code).is_some()),
            "each list is sorted, in steps of four"
        );
    }

    #[test]
    fn major_units_become_minor_ones_exactly_or_not_at_all() {
        assert_eq!(major(150, -2, "EUR"), Some(150));
        assert_eq!(major(15, -1, "EUR"), Some(150));
        assert_eq!(major(2, 3, "JPY"), Some(2_000));
        assert_eq!(major(1_500, -3, "EUR"), Some(150));
        assert_eq!(major(1_505, -3, "EUR"), None);
        assert_eq!(major(1, -1, "JPY"), None);
        assert_eq!(major(0, -400, "EUR"), None.or(Some(0)));
        assert_eq!(major(i128::MAX, 0, "EUR"), None);
    }

    #[test]
    fn money_adds_in_one_currency_and_says_when_a_view_cannot_hold_it() {
        let of = |minor, code| Money { minor, currency: Currency::of(code).unwrap() };
        assert_eq!(of(1, "EUR").plus(of(2, "EUR")), Some(of(3, "EUR")));
        assert_eq!(of(1, "EUR").plus(of(2, "USD")), None);
        assert_eq!(of(i128::MAX, "EUR").plus(of(1, "EUR")), None);
        assert_eq!(of(i128::from(i64::MAX), "EUR").stored(), (i64::MAX, false));
        assert_eq!(of(i128::from(i64::MIN) - 1, "EUR").stored(), (i64::MIN, true));
        assert_eq!(of(-105, "EUR").to_string(), "EUR -1.05");
        assert_eq!(of(200, "JPY").to_string(), "JPY 200");
        assert_eq!(of(5, "BHD").to_string(), "BHD 0.005");
    }
}
