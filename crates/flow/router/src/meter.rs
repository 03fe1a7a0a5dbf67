//! How many a second, over the last ten; and how many may be, by a bucket of tokens.

use std::time::Duration;

/// Seconds that a rate is told over.
const SECONDS: usize = 10;

/// Counts by second.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    counts: [u32; SECONDS],
    second: u64,
}

impl Meter {
    fn turn(&mut self, now: Duration) {
        let second = now.as_secs();
        let passed = second.saturating_sub(self.second).min(SECONDS as u64);
        for step in 1..=passed {
            let at = self.second.saturating_add(step) % SECONDS as u64;
            if let Some(count) = usize::try_from(at).ok().and_then(|at| self.counts.get_mut(at)) {
                *count = 0;
            }
        }
        if passed == SECONDS as u64 {
            self.counts = [0; SECONDS];
        }
        self.second = self.second.max(second);
    }

    pub(crate) fn add(&mut self, now: Duration) {
        self.turn(now);
        let at = usize::try_from(self.second % SECONDS as u64).unwrap_or_default();
        if let Some(count) = self.counts.get_mut(at) {
            *count = count.saturating_add(1);
        }
    }

    /// A second, over the last ten.
    pub(crate) fn rate(&mut self, now: Duration) -> f64 {
        self.turn(now);
        self.counts.iter().map(|count| f64::from(*count)).sum::<f64>() / SECONDS as f64
    }
}

/// Lets so many a second through; at most a tenth of a second's worth at once. Counts in nanoseconds, so that nothing is
/// rounded away.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: u32,
    /// What has gathered, in billionths of one that may pass.
    gathered: u64,
    filled: Duration,
}

/// One that may pass, in billionths.
const ONE: u64 = 1_000_000_000;

impl Bucket {
    /// Nothing is held up where the rate is 0.
    pub(crate) fn new(rate: u32, now: Duration) -> Self {
        Self { rate, gathered: 0, filled: now }
    }

    /// How many may pass at once.
    pub(crate) fn ready(&mut self, now: Duration) -> usize {
        if self.rate == 0 {
            return usize::MAX;
        }
        let passed = u64::try_from(now.saturating_sub(self.filled).as_nanos()).unwrap_or(u64::MAX);
        self.filled = self.filled.max(now);
        let rate = u64::from(self.rate);
        let most = (rate / 10).max(1).saturating_mul(ONE);
        self.gathered = self.gathered.saturating_add(passed.saturating_mul(rate)).min(most);
        usize::try_from(self.gathered / ONE).unwrap_or(usize::MAX)
    }

    /// Whether it holds anything up.
    pub(crate) fn is_limited(&self) -> bool {
        self.rate != 0
    }

    pub(crate) fn take(&mut self, many: usize) {
        self.gathered = self.gathered.saturating_sub(ONE.saturating_mul(many as u64));
    }

    /// When one more may pass.
    pub(crate) fn next(&self) -> Duration {
        let missing = ONE.saturating_sub(self.gathered) / u64::from(self.rate.max(1));
        self.filled.saturating_add(Duration::from_nanos(missing.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_told_over_ten_seconds() {
        let mut meter = Meter::default();
        for second in 0..20 {
            for _ in 0..7 {
                meter.add(Duration::from_secs(second));
            }
        }
        assert!((meter.rate(Duration::from_secs(19)) - 7.0).abs() < 1e-9);
        assert!((meter.rate(Duration::from_secs(24)) - 3.5).abs() < 1e-9);
        assert!(meter.rate(Duration::from_secs(99)).abs() < 1e-9);
    }

    #[test]
    fn a_bucket_lets_its_rate_through_and_no_more() {
        let mut bucket = Bucket::new(20_000, Duration::ZERO);
        let mut passed = 0;
        for step in 1..=10_000_u64 {
            let now = Duration::from_micros(step * 100);
            let ready = bucket.ready(now);
            bucket.take(ready);
            passed += ready;
        }
        assert_eq!(passed, 20_000);
        assert_eq!(bucket.ready(Duration::from_secs(100)), 2_000, "a tenth of a second's worth");
        let mut slow = Bucket::new(1, Duration::ZERO);
        assert_eq!(slow.ready(Duration::from_millis(999)), 0);
        assert_eq!(slow.next(), Duration::from_secs(1));
        assert_eq!(slow.ready(slow.next()), 1);
        assert_eq!(Bucket::new(0, Duration::ZERO).ready(Duration::ZERO), usize::MAX);
    }
}
