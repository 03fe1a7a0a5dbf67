//! Leaving a target alone that only fails.
//!
//! It is the target that fails, and not an event, when attempts of [`KEYS_MIN`] different keys failed in a row with no
//! success, and no refusal for good, between them. It is then left alone for half a minute, one attempt is made, and while
//! that fails it is left alone for twice as long, up to a quarter of an hour. A target that failed for
//! [`DISABLED_AFTER_S`] is given up until somebody resumes the subscription.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::records::Key;

/// How many different keys must have failed.
const KEYS_MIN: usize = 5;
/// How long a target is left alone at first, in milliseconds.
const ALONE_MS_MIN: u64 = 30_000;
/// How long at most, in milliseconds.
const ALONE_MS_MAX: u64 = 900_000;
/// A target that has failed for so long is disabled, in seconds: five days.
pub const DISABLED_AFTER_S: u64 = 5 * 86_400;

/// Whether an attempt may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Go,
    Wait,
}

/// A target is to be left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Alone {
    pub(super) wait: Duration,
    pub(super) is_for_good: bool,
}

#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// Keys that failed since the last success.
    keys: BTreeSet<Key>,
    /// Left alone until then; afterwards one attempt at a time, until one succeeds.
    until: Option<Duration>,
    /// How often in a row.
    times: u32,
    /// Since when.
    since: Duration,
}

impl Breaker {
    pub(super) fn turn(&self, now: Duration, under_way: usize) -> Turn {
        match self.until {
            None => Turn::Go,
            Some(until) if now >= until && under_way == 0 => Turn::Go,
            Some(_) => Turn::Wait,
        }
    }

    /// When a target that is left alone, by its own wish or by ours, is tried again.
    pub(super) fn next(&self, throttled_until: Duration) -> Option<Duration> {
        let throttled = (throttled_until > Duration::ZERO).then_some(throttled_until);
        self.until.max(throttled)
    }

    /// Whether the target had been left alone.
    pub(super) fn succeeded(&mut self) -> bool {
        self.keys.clear();
        self.times = 0;
        self.until.take().is_some()
    }

    pub(super) fn failed(&mut self, key: Key, now: Duration) -> Option<Alone> {
        match self.until {
            Some(until) if now < until => return None,
            Some(_) => {}
            None => {
                self.keys.insert(key);
                if self.keys.len() < KEYS_MIN {
                    return None;
                }
                self.since = now;
            }
        }
        let doubled = 1_u64.checked_shl(self.times.min(20)).unwrap_or(u64::MAX);
        let wait = Duration::from_millis(ALONE_MS_MIN.saturating_mul(doubled).min(ALONE_MS_MAX));
        self.times = self.times.saturating_add(1);
        self.until = Some(now.saturating_add(wait));
        let is_for_good = now.saturating_sub(self.since) >= Duration::from_secs(DISABLED_AFTER_S);
        Some(Alone { wait, is_for_good })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn one_key_that_fails_for_ever_closes_nothing() {
        let mut breaker = Breaker::default();
        assert!((0..1_000).all(|at| breaker.failed([1; 16], s(at)).is_none()));
        assert_eq!(breaker.turn(s(1_000), 9), Turn::Go);
    }

    #[test]
    fn a_target_that_only_fails_is_left_alone_for_longer_and_longer_and_tried_one_at_a_time() {
        let mut breaker = Breaker::default();
        for key in 0..4 {
            assert_eq!(breaker.failed([key; 16], s(1)), None);
        }
        let alone = breaker.failed([4; 16], s(1)).unwrap();
        assert_eq!(alone, Alone { wait: s(30), is_for_good: false });
        // What was under way when it was closed fails too, and changes nothing.
        assert_eq!(breaker.failed([5; 16], s(2)), None);
        assert_eq!((breaker.turn(s(30), 0), breaker.turn(s(31), 1)), (Turn::Wait, Turn::Wait));
        assert_eq!(breaker.turn(s(31), 0), Turn::Go);
        let mut now = 31;
        for wait in [60, 120, 240, 480, 900, 900] {
            assert_eq!(breaker.failed([6; 16], s(now)).unwrap().wait, s(wait));
            now += wait;
        }
        assert!(breaker.failed([6; 16], s(DISABLED_AFTER_S + 1)).unwrap().is_for_good);
        assert!(breaker.succeeded());
        assert!(!breaker.succeeded());
        assert_eq!(breaker.turn(s(0), 9), Turn::Go);
    }
}
