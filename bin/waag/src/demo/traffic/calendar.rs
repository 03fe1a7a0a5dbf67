//! When a firm's invoices come: by day on weekdays, more at the end of a month, hardly at night.
//!
//! Counted in whole invoices, so that a number stands for the same moment however far one has come.

use waag_model::time::UtcDay;

use super::noise::{ARRIVAL, Noise};

pub(super) const HOUR_S: i64 = 3_600;
pub(super) const DAY_S: i64 = 24 * HOUR_S;
/// How much comes in each hour of a weekday, UTC.
const BY_HOUR: [u64; 24] =
    [2, 1, 1, 1, 2, 5, 12, 26, 44, 54, 56, 50, 40, 46, 53, 50, 42, 28, 15, 9, 6, 4, 3, 2];
/// Hours beyond the history whose arrivals are known; then they begin again from the first of them.
const CYCLE_HOURS: usize = 728 * 24;

/// Monday is 0.
pub(super) fn weekday(seconds: i64) -> i64 {
    (seconds.div_euclid(DAY_S) + 3).rem_euclid(7)
}

/// How much comes in the hour that begins at `seconds`.
pub(super) fn weight(seconds: i64) -> u64 {
    let hour = usize::try_from(seconds.rem_euclid(DAY_S) / HOUR_S).unwrap_or(0);
    let of_hour = BY_HOUR.get(hour).copied().unwrap_or(1) * 16;
    let of_week = if weekday(seconds) >= 5 { of_hour / 8 } else { of_hour };
    if is_month_end(seconds) { of_week * 9 / 4 } else { of_week }
}

/// The last three days of a month, and its first.
pub(super) fn is_month_end(seconds: i64) -> bool {
    let day_of = |days: i64| UtcDay(i32::try_from(days).unwrap_or(0)).civil();
    let today = seconds.div_euclid(DAY_S);
    let (_, month, day) = day_of(today);
    day == 1 || day_of(today + 3).1 != month
}

/// The next moment at which people work, for what people do: weekdays from seven to sixteen, UTC.
pub(super) fn working(seconds: i64, spread_s: i64) -> i64 {
    let of_day = seconds.rem_euclid(DAY_S);
    let begin = seconds - of_day + 7 * HOUR_S;
    let mut at = match of_day / HOUR_S {
        0..7 => begin + spread_s,
        7..16 => seconds,
        _ => begin + DAY_S + spread_s,
    };
    while weekday(at) >= 5 {
        at = at - at.rem_euclid(DAY_S) + DAY_S + 7 * HOUR_S + spread_s;
    }
    at
}

/// When each invoice enters.
pub(super) struct Arrivals {
    start_s: i64,
    /// Invoices that have entered before each hour, in the history and one cycle.
    before: Vec<u64>,
}

impl Arrivals {
    /// `invoices` enter from `start_s` to `end_s`, and as many to the weight afterwards.
    pub(super) fn new(start_s: i64, end_s: i64, invoices: u32) -> Self {
        let history = usize::try_from((end_s - start_s + HOUR_S - 1) / HOUR_S).unwrap_or(1).max(1);
        let hours = (start_s..).step_by(3_600).map(weight);
        let total: u64 = hours.clone().take(history).sum();
        let mut sum = 0_u64;
        let mut before = Vec::with_capacity(history + CYCLE_HOURS + 1);
        for weight in hours.take(history + CYCLE_HOURS + 1) {
            let entered = u128::from(sum) * u128::from(invoices.max(1)) / u128::from(total.max(1));
            before.push(u64::try_from(entered).unwrap_or(u64::MAX));
            sum += weight;
        }
        Self { start_s, before }
    }

    /// When an invoice enters; later numbers never before earlier ones.
    pub(super) fn time(&self, invoice: u32, noise: Noise) -> i64 {
        let number = u64::from(invoice);
        let whole = self.before.last().copied().unwrap_or(1).max(1);
        let (cycles, number) = (number / whole, number % whole);
        let hour = self.before.partition_point(|before| *before <= number).saturating_sub(1);
        let at = |hour: usize| self.before.get(hour).copied().unwrap_or(whole);
        let (first, behind) = (at(hour), at(hour + 1));
        let count = i64::try_from(behind.saturating_sub(first)).unwrap_or(1).max(1);
        let place = i64::try_from(number.saturating_sub(first)).unwrap_or(0);
        // Within its own share of the hour, so that order is kept.
        let (from, to) = (place * HOUR_S / count, (place + 1) * HOUR_S / count);
        let within = noise.between(invoice, ARRIVAL, from, (to - 1).max(from));
        let hours = cycles.saturating_mul(self.before.len() as u64).saturating_add(hour as u64);
        self.start_s.saturating_add(i64::try_from(hours).unwrap_or(0).saturating_mul(HOUR_S)) + within
    }
}
