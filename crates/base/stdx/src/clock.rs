//! Time as a value that is passed in.
//!
//! Two readings: the calendar, which may jump, and a monotonic one for durations and leases.

use std::time::Duration;

use waag_model::time::UtcNanos;

/// A clock. The calendar reading may jump either way; the monotonic one never goes back.
pub trait Clock: Send + Sync {
    /// The calendar time, UTC.
    fn now(&self) -> UtcNanos;
    /// Time since an arbitrary start, never going back.
    fn monotonic(&self) -> Duration;
}

/// The machine's own clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic reading starts at zero.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the ambient clock")]
    pub fn new() -> Self {
        Self { start: std::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the ambient clock")]
    fn now(&self) -> UtcNanos {
        let now = std::time::SystemTime::now();
        match now.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => UtcNanos(i64::try_from(after.as_nanos()).unwrap_or(i64::MAX)),
            Err(before) => UtcNanos(i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |n| -n)),
        }
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}
