//! How long an event waits for its next attempt: twice as long each time, and not all at once.

use std::time::Duration;

use waag_model::time::UtcNanos;

use crate::spec::Retry;

/// The delay before the attempt after this many: between half of the doubled delay and all of it, by the event's position,
/// so that events which failed together do not come back together. Pure, so that a run can be repeated.
pub(super) fn again_after(retry: &Retry, attempts: u32, position: u64) -> Duration {
    let doubled = 1_u64.checked_shl(attempts.saturating_sub(1)).unwrap_or(u64::MAX);
    let most = retry.delay_ms_min.saturating_mul(doubled).min(retry.delay_ms_max).max(1);
    let half = most / 2;
    let spread = mixed(position.wrapping_add(u64::from(attempts) << 48));
    Duration::from_millis(half.saturating_add(spread % half.saturating_add(1)).max(1))
}

/// Whether there is no further attempt.
pub(super) fn is_over(retry: &Retry, attempts: u32, first: UtcNanos, now: UtcNanos) -> bool {
    let age_s = now.0.saturating_sub(first.0) / 1_000_000_000;
    attempts >= retry.attempts_max || u64::try_from(age_s).unwrap_or_default() >= retry.age_s_max.max(1)
}

/// Neighbouring numbers far apart: a multiplication and a fold, twice.
fn mixed(number: u64) -> u64 {
    let once = (number ^ (number >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let twice = (once ^ (once >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    twice ^ (twice >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_their_most_and_differ_between_events() {
        let retry = Retry { attempts_max: 9, age_s_max: 60, delay_ms_min: 100, delay_ms_max: 3_000 };
        for (attempts, most) in [(1, 100), (2, 200), (3, 400), (6, 3_000), (200, 3_000)] {
            let delays: Vec<u64> = (0..1_000)
                .map(|at| again_after(&retry, attempts, at).as_millis().try_into().unwrap())
                .collect();
            assert!(delays.iter().all(|delay| (most / 2..=most).contains(delay)), "{attempts}");
            let different: std::collections::BTreeSet<_> = delays.iter().collect();
            assert!(different.len() > 45, "{attempts}: {}", different.len());
        }
    }

    #[test]
    fn attempts_and_age_end_it() {
        let retry = Retry { attempts_max: 3, age_s_max: 60, ..Retry::default() };
        let s = 1_000_000_000;
        assert!(!is_over(&retry, 2, UtcNanos(0), UtcNanos(59 * s)));
        assert!(is_over(&retry, 3, UtcNanos(0), UtcNanos(0)));
        assert!(is_over(&retry, 1, UtcNanos(0), UtcNanos(60 * s)));
        // A clock that was set back makes nothing older.
        assert!(!is_over(&retry, 1, UtcNanos(60 * s), UtcNanos(0)));
    }
}
