//! Usage plans: rate and burst per key and method, for the node, and events per day; over time that is passed in.
//!
//! A bucket fills at its rate up to its burst; a request takes one token. What is one too many is told with 429 and the
//! seconds until a token is there. `RateLimit-Policy` and `RateLimit` as draft-ietf-httpapi-ratelimit-headers-11 has them.
//! Not here: who a key belongs to (`keys`), where plans lie (`ports::Desk`).
//!
//! - `LIMIT-1`: counters are bounded by the number of keys, and a key that does not exist gets none.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use waag_model::time::{UtcDay, UtcNanos};

use crate::fault::{Fault, Kind};

const SECOND_NS: u128 = 1_000_000_000;

/// A rate with its burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Requests a second, in the long run.
    pub per_s: u32,
    /// Requests at once, after a rest.
    pub burst: u32,
}

/// What a key may use; absent means unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// Requests that read.
    pub read: Option<Rate>,
    /// Requests that write.
    pub write: Option<Rate>,
    /// Events a day, UTC.
    pub events_per_day: Option<u64>,
}

/// What a request does, for its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// It reads.
    Read,
    /// It writes.
    Write,
}

/// What the `RateLimit` headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    pub(crate) policy: &'static str,
    pub(crate) rate: Rate,
    /// Requests left at once.
    pub(crate) remaining: u64,
    /// Seconds until the bucket is full.
    pub(crate) full_in_s: u64,
}

/// A token bucket; its level counts billionths of a token.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: u128,
    at: Duration,
}

impl Bucket {
    fn full(rate: Rate, now: Duration) -> Self {
        Self { level: u128::from(rate.burst.max(1)) * SECOND_NS, at: now }
    }

    /// Takes one token; otherwise the seconds until there is one.
    fn take(&mut self, rate: Rate, now: Duration) -> Result<(), u64> {
        let most = u128::from(rate.burst.max(1)) * SECOND_NS;
        let gained = now.saturating_sub(self.at).as_nanos().saturating_mul(u128::from(rate.per_s));
        self.level = self.level.saturating_add(gained).min(most);
        self.at = self.at.max(now);
        match self.level.checked_sub(SECOND_NS) {
            Some(rest) => {
                self.level = rest;
                Ok(())
            }
            None => Err(self.seconds_to(SECOND_NS, rate)),
        }
    }

    fn seconds_to(&self, level: u128, rate: Rate) -> u64 {
        let missing = level.saturating_sub(self.level);
        let per_s = u128::from(rate.per_s.max(1)) * SECOND_NS;
        u64::try_from(missing.div_ceil(per_s)).unwrap_or(u64::MAX).max(1)
    }

    fn left(&self, policy: &'static str, rate: Rate) -> Left {
        let remaining = u64::try_from(self.level / SECOND_NS).unwrap_or(u64::MAX);
        let full_in_s = self.seconds_to(u128::from(rate.burst.max(1)) * SECOND_NS, rate);
        Left { policy, rate, remaining, full_in_s }
    }
}

#[derive(Default)]
struct Used {
    read: Option<Bucket>,
    write: Option<Bucket>,
    day: Option<UtcDay>,
    events: u64,
}

/// The counters of a node.
pub struct Limiter {
    node: Option<Rate>,
    whole: Mutex<Option<Bucket>>,
    plans: Mutex<HashMap<String, Plan>>,
    keys: Mutex<HashMap<String, Arc<Mutex<Used>>>>,
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limiter").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Limiter {
    /// Counters with the node's own rate and plans by name; a key whose plan has no entry is unlimited.
    #[must_use]
    pub fn new(node: Option<Rate>, plans: HashMap<String, Plan>) -> Self {
        Self { node, whole: Mutex::default(), plans: Mutex::new(plans), keys: Mutex::default() }
    }

    /// Puts a plan in place.
    pub fn set_plan(&self, name: &str, plan: Plan) {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), plan);
    }

    /// Takes a request of a key that was checked.
    ///
    /// # Errors
    /// [`Kind::NodeRate`], [`Kind::KeyRate`] with the seconds to wait.
    pub(crate) fn request(
        &self,
        (key, plan): (&str, &str),
        method: Method,
        now: Duration,
    ) -> Result<Option<Left>, Fault> {
        if let Some(rate) = self.node {
            let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
            let bucket = whole.get_or_insert_with(|| Bucket::full(rate, now));
            bucket.take(rate, now).map_err(|seconds| Fault::of(Kind::NodeRate(seconds)))?;
        }
        let plan = self.plan(plan);
        let (policy, rate) = match method {
            Method::Read => ("read", plan.read),
            Method::Write => ("write", plan.write),
        };
        let Some(rate) = rate else { return Ok(None) };
        let used = self.used(key);
        let mut used = used.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = match method {
            Method::Read => &mut used.read,
            Method::Write => &mut used.write,
        };
        let bucket = slot.get_or_insert_with(|| Bucket::full(rate, now));
        bucket.take(rate, now).map_err(|seconds| Fault::of(Kind::KeyRate(seconds)))?;
        Ok(Some(bucket.left(policy, rate)))
    }

    /// Whether a key has events left today; counted by [`Limiter::recorded`].
    ///
    /// # Errors
    /// [`Kind::Quota`] with the seconds until the day ends.
    pub(crate) fn quota(&self, (key, plan): (&str, &str), now: UtcNanos) -> Result<(), Fault> {
        let Some(most) = self.plan(plan).events_per_day else { return Ok(()) };
        let used = self.used(key);
        let mut used = used.lock().unwrap_or_else(PoisonError::into_inner);
        used.turn(now.day());
        if used.events < most {
            return Ok(());
        }
        let of_day = now.0.rem_euclid(86_400_000_000_000) / 1_000_000_000;
        Err(Fault::of(Kind::Quota(u64::try_from(86_400 - of_day).unwrap_or(1).max(1))))
    }

    /// Counts events that were recorded; a request that goes over the quota is recorded whole, the next is refused.
    pub(crate) fn recorded(&self, (key, plan): (&str, &str), events: u64, now: UtcNanos) {
        if self.plan(plan).events_per_day.is_some() {
            let used = self.used(key);
            let mut used = used.lock().unwrap_or_else(PoisonError::into_inner);
            used.turn(now.day());
            used.events = used.events.saturating_add(events);
        }
    }

    fn plan(&self, name: &str) -> Plan {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied().unwrap_or_default()
    }

    fn used(&self, key: &str) -> Arc<Mutex<Used>> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        match keys.get(key) {
            Some(used) => Arc::clone(used),
            None => Arc::clone(keys.entry(key.to_owned()).or_default()),
        }
    }
}

impl Used {
    fn turn(&mut self, day: UtcDay) {
        if self.day != Some(day) {
            (self.day, self.events) = (Some(day), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(node: Option<Rate>, plan: Plan) -> Limiter {
        Limiter::new(node, HashMap::from([("p".to_owned(), plan)]))
    }

    fn code(taken: Result<Option<Left>, Fault>) -> &'static str {
        taken.map_or_else(|fault| fault.kind.code(), |_| "")
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let rate = Rate { per_s: 2, burst: 3 };
        let limiter = limiter(None, Plan { write: Some(rate), ..Plan::default() });
        let take = |ms: u64| limiter.request(("k", "p"), Method::Write, Duration::from_millis(ms));
        let left = take(0).unwrap().unwrap();
        assert_eq!((left.remaining, left.policy), (2, "write"));
        assert!(take(0).is_ok() && take(0).is_ok());
        assert_eq!(take(0).unwrap_err().kind, Kind::KeyRate(1));
        assert_eq!(code(take(499)), Kind::KeyRate(1).code());
        assert!(take(500).is_ok());
        assert!(take(500).is_err());
        // A long rest fills no more than the burst.
        assert!((0..3).all(|_| take(60_000).is_ok()) && take(60_000).is_err());
        assert_eq!(limiter.request(("k", "p"), Method::Read, Duration::ZERO).unwrap(), None);
        assert!(limiter.request(("other", "p"), Method::Write, Duration::ZERO).is_ok());
    }

    #[test]
    fn the_node_has_a_rate_of_its_own_and_a_day_its_events() {
        let limiter =
            limiter(Some(Rate { per_s: 1, burst: 2 }), Plan { events_per_day: Some(5), ..Plan::default() });
        let take = |key| limiter.request((key, "p"), Method::Read, Duration::ZERO);
        assert!(take("a").is_ok() && take("b").is_ok());
        assert_eq!(take("c").unwrap_err().kind, Kind::NodeRate(1));
        let noon = UtcNanos(43_200 * 1_000_000_000);
        limiter.recorded(("a", "p"), 4, noon);
        assert!(limiter.quota(("a", "p"), noon).is_ok());
        limiter.recorded(("a", "p"), 1, noon);
        assert_eq!(limiter.quota(("a", "p"), noon).unwrap_err().kind, Kind::Quota(43_200));
        assert!(limiter.quota(("b", "p"), noon).is_ok());
        assert!(limiter.quota(("a", "p"), UtcNanos(86_400 * 1_000_000_000)).is_ok());
    }
}
