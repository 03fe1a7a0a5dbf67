//! Usage plans: rate and burst per key, for all its requests, for those that read and those that write, for the node, and
//! events per day; over time that is passed in.
//!
//! A bucket fills at its rate up to its burst; a request takes one token of each bucket that it meets, or of none. What is
//! one too many is told with 429 and the seconds until a token is there. A day is one of UTC; a request that goes over the
//! day's events is recorded whole, as are those under way with it, and the next is refused.
//! `RateLimit-Policy` and `RateLimit` have the form of draft-ietf-httpapi-ratelimit-headers-11.
//! Not here: who a key belongs to (`keys`), where plans lie (`plans`), where a day's counts outlive the process (the node).
//!
//! - `LIMIT-1`: counters are bounded by the number of keys: one that does not exist gets none, and that of one that was
//!   withdrawn is forgotten ([`Limiter::forget`]).
//! - `LIMIT-2`: a request that one limit turns away takes nothing from another: a key that is out of its rate does not use
//!   up the node's.
//! - `LIMIT-3`: a clock that was wrong and is put right gives a key one day's events more at most, and takes no day away.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use waag_model::time::{UtcDay, UtcNanos};

use crate::fault::{Fault, Kind};

const SECOND_NS: u128 = 1_000_000_000;
const DAY_S: u64 = 86_400;
const DAY_NS: i64 = 86_400 * 1_000_000_000;
/// From how far back a time shows that the clock was put right; what is still to be counted of requests under way is not
/// nearly as old.
const PUT_RIGHT_NS: i64 = 6 * 3_600 * 1_000_000_000;
/// Names of limits, as the headers have them.
const ALL: &str = "all";
const NODE: &str = "node";
const READ: &str = "read";
const WRITE: &str = "write";
const DAY: &str = "day";
/// The unit of a day's quota; the draft's registry has none for what a request contains.
const EVENTS: &str = "waag-events";

/// A rate with its burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Requests a second, in the long run; at least one.
    pub per_s: u32,
    /// Requests at once, after a rest; at least one.
    pub burst: u32,
}

/// What a key may use; absent means unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// Requests of any kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all: Option<Rate>,
    /// Requests that read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<Rate>,
    /// Requests that write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write: Option<Rate>,
    /// Events a day, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_per_day: Option<u64>,
}

/// What a request does, for its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// It reads.
    Read,
    /// It changes settings.
    Write,
    /// It writes events, which the day's quota is for.
    Record,
}

/// What the `RateLimit` headers say of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    policy: &'static str,
    /// What there is at most, and in how many seconds it is there again.
    quota: u64,
    window_s: u64,
    /// The draft's own unit, a request, where there is none.
    unit: Option<&'static str>,
    remaining: u64,
    /// Seconds until all of it is there again.
    reset_s: u64,
}

/// `RateLimit-Policy` and `RateLimit`, after a request that recorded so many events; none where no limit was met.
pub(crate) fn headers(left: &[Left], recorded: u64) -> Option<(String, String)> {
    let (mut policies, mut levels) = (String::new(), String::new());
    for Left { policy, quota, window_s, unit, remaining, reset_s } in left {
        let comma = if policies.is_empty() { "" } else { ", " };
        // Writing to memory cannot fail.
        let _ = write!(policies, "{comma}\"{policy}\";q={quota};w={window_s}");
        if let Some(unit) = unit {
            let _ = write!(policies, ";qu=\"{unit}\"");
        }
        let used = if unit.is_some() { recorded } else { 0 };
        let remaining = remaining.saturating_sub(used);
        let _ = write!(levels, "{comma}\"{policy}\";r={remaining};t={reset_s}");
    }
    (!policies.is_empty()).then_some((policies, levels))
}

/// What a request was given: where its limits stand, and whether it may go on.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) left: Vec<Left>,
    pub(crate) outcome: Result<(), Fault>,
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

    /// Fills it up to now; otherwise than full, the seconds until there is a token where there is none.
    fn fill(&mut self, rate: Rate, now: Duration) -> Result<(), u64> {
        let most = u128::from(rate.burst.max(1)) * SECOND_NS;
        let gained = now.saturating_sub(self.at).as_nanos().saturating_mul(u128::from(rate.per_s.max(1)));
        self.level = self.level.saturating_add(gained).min(most);
        self.at = self.at.max(now);
        if self.level >= SECOND_NS { Ok(()) } else { Err(self.seconds_to(SECOND_NS, rate)) }
    }

    fn take(&mut self) {
        self.level = self.level.saturating_sub(SECOND_NS);
    }

    fn seconds_to(&self, level: u128, rate: Rate) -> u64 {
        let missing = level.saturating_sub(self.level);
        let per_s = u128::from(rate.per_s.max(1)) * SECOND_NS;
        u64::try_from(missing.div_ceil(per_s)).unwrap_or(u64::MAX).max(1)
    }

    fn left(&self, policy: &'static str, rate: Rate) -> Left {
        let burst = rate.burst.max(1);
        Left {
            policy,
            quota: u64::from(burst),
            window_s: u64::from(burst.div_ceil(rate.per_s.max(1))),
            unit: None,
            remaining: u64::try_from(self.level / SECOND_NS).unwrap_or(u64::MAX),
            reset_s: self.seconds_to(u128::from(burst) * SECOND_NS, rate),
        }
    }
}

#[derive(Default)]
struct Used {
    all: Option<Bucket>,
    read: Option<Bucket>,
    write: Option<Bucket>,
    day: Option<UtcDay>,
    events: u64,
    /// The newest time of that day that was told.
    newest: Option<UtcNanos>,
    /// The day before it and its events, for a clock that was ahead and comes back to it.
    before: Option<(UtcDay, u64)>,
}

/// A limit of a plan that a request meets.
type Met = (&'static str, Rate);

impl Used {
    fn bucket(&mut self, (policy, rate): Met, now: Duration) -> &mut Bucket {
        let slot = match policy {
            READ => &mut self.read,
            WRITE => &mut self.write,
            _ => &mut self.all,
        };
        slot.get_or_insert_with(|| Bucket::full(rate, now))
    }

    /// Begins a day. One that is over does not come back, or what was counted since would be forgotten; but where the
    /// clock was put right, what was counted ahead counts for the day that it is (`LIMIT-3`).
    fn turn(&mut self, utc: UtcNanos) {
        let day = utc.day();
        let Some(known) = self.day.filter(|known| *known >= day) else {
            self.before = self.day.map(|known| (known, self.events));
            (self.day, self.events, self.newest) = (Some(day), 0, Some(utc));
            return;
        };
        let newest = self.newest.map_or(utc, |newest| newest.max(utc));
        if known > day && newest.0.saturating_sub(utc.0) >= PUT_RIGHT_NS {
            let of_day = self.before.filter(|(before, _)| *before == day).map_or(0, |(_, events)| events);
            (self.day, self.events, self.newest) = (Some(day), self.events.saturating_add(of_day), Some(utc));
            self.before = None;
        } else {
            self.newest = Some(newest);
        }
    }
}

/// Events of each key on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayCounts {
    /// Which day.
    pub day: UtcDay,
    /// Events by key id, in order; keys without any are left out.
    pub events: Vec<(String, u64)>,
}

/// The counters of a node.
#[derive(Default)]
pub struct Limiter {
    node: RwLock<Option<Rate>>,
    whole: Mutex<Option<Bucket>>,
    plans: RwLock<HashMap<String, Plan>>,
    keys: Mutex<HashMap<String, Arc<Mutex<Used>>>>,
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limiter").field("node", &self.node).finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Limiter {
    /// Counters with the node's own rate and plans by name; a key whose plan has no entry is unlimited.
    #[must_use]
    pub fn new(node: Option<Rate>, plans: HashMap<String, Plan>) -> Self {
        Self { node: RwLock::new(node), plans: RwLock::new(plans), ..Self::default() }
    }

    /// Puts a plan in place, or takes it away; what keys have used stays.
    pub fn set_plan(&self, name: &str, plan: Option<Plan>) {
        let mut plans = self.plans.write().unwrap_or_else(PoisonError::into_inner);
        match plan {
            Some(plan) => drop(plans.insert(name.to_owned(), plan)),
            None => drop(plans.remove(name)),
        }
    }

    /// Puts the node's own rate in place.
    pub fn set_node(&self, rate: Option<Rate>) {
        *self.node.write().unwrap_or_else(PoisonError::into_inner) = rate;
    }

    /// Takes a request of a key that was checked (`LIMIT-2`).
    pub(crate) fn request(
        &self,
        (key, plan): (&str, &str),
        method: Method,
        (now, utc): (Duration, UtcNanos),
    ) -> Taken {
        let plan = self.plan(plan);
        let (name, of_method) = match method {
            Method::Read => (READ, plan.read),
            Method::Write | Method::Record => (WRITE, plan.write),
        };
        let met: Vec<Met> = [(ALL, plan.all), (name, of_method)]
            .into_iter()
            .filter_map(|(at, rate)| Some((at, rate?)))
            .collect();
        let is_record = method == Method::Record;
        let quota = plan.events_per_day.filter(|_| is_record);
        if met.is_empty() && quota.is_none() {
            if is_record {
                // What it records is counted, for it may get a quota within the day.
                drop(self.used(key));
            }
            let mut left = Vec::new();
            let outcome = self.of_node(now, &mut left);
            return Taken { left, outcome: outcome.map_err(Fault::of) };
        }
        let used = self.used(key);
        let mut used = locked(&used);
        used.turn(utc);
        let waits = met.iter().filter_map(|met| used.bucket(*met, now).fill(met.1, now).err());
        let longest = waits.max();
        let mut left = Vec::with_capacity(met.len() + 2);
        let outcome = match (longest, quota) {
            (Some(seconds), _) => Err(Kind::KeyRate(seconds)),
            (None, Some(most)) if used.events >= most => Err(Kind::Quota(seconds_left(utc))),
            // The node's last, so that what a key may not does not count for others.
            (None, _) => self.of_node(now, &mut left),
        };
        for met in met {
            let bucket = used.bucket(met, now);
            if outcome.is_ok() {
                bucket.take();
            }
            left.push(bucket.left(met.0, met.1));
        }
        left.extend(quota.map(|most| Left {
            policy: DAY,
            quota: most,
            window_s: DAY_S,
            unit: Some(EVENTS),
            remaining: most.saturating_sub(used.events),
            reset_s: seconds_left(utc),
        }));
        Taken { left, outcome: outcome.map_err(Fault::of) }
    }

    /// The node's own rate, which is told of where it turns a request away: how much of it others leave is not for all.
    fn of_node(&self, now: Duration, left: &mut Vec<Left>) -> Result<(), Kind> {
        let Some(rate) = *self.node.read().unwrap_or_else(PoisonError::into_inner) else { return Ok(()) };
        let mut whole = locked(&self.whole);
        let bucket = whole.get_or_insert_with(|| Bucket::full(rate, now));
        bucket.fill(rate, now).map_err(|seconds| {
            left.push(bucket.left(NODE, rate));
            Kind::NodeRate(seconds)
        })?;
        bucket.take();
        Ok(())
    }

    /// Counts events that were recorded, also for keys without a quota: they may get one within the day. One that was
    /// forgotten meanwhile gets no counter again (`LIMIT-1`).
    pub(crate) fn recorded(&self, key: &str, events: u64, utc: UtcNanos) {
        let used = locked(&self.keys).get(key).map(Arc::clone);
        if let Some(used) = used.filter(|_| events > 0) {
            let mut used = locked(&used);
            used.turn(utc);
            used.events = used.events.saturating_add(events);
        }
    }

    /// Forgets what a key has used; to be called once it is withdrawn and passes no more.
    pub fn forget(&self, key_id: &str) {
        locked(&self.keys).remove(key_id);
    }

    /// What each key recorded on a day.
    #[must_use]
    pub fn counts(&self, day: UtcDay) -> DayCounts {
        let keys: Vec<_> =
            locked(&self.keys).iter().map(|(key, used)| (key.clone(), Arc::clone(used))).collect();
        let of_day = keys.into_iter().filter_map(|(key, used)| {
            let used = locked(&used);
            (used.day == Some(day) && used.events > 0).then_some((key, used.events))
        });
        let mut events: Vec<_> = of_day.collect();
        events.sort();
        DayCounts { day, events }
    }

    /// Goes on with what was counted before; to be called before the first request.
    pub fn resume(&self, counts: &DayCounts) {
        // At least so late was it when they were counted.
        let begin = UtcNanos(i64::from(counts.day.0).saturating_mul(DAY_NS));
        for (key, events) in &counts.events {
            let used = self.used(key);
            let mut used = locked(&used);
            (used.day, used.events, used.newest) = (Some(counts.day), *events, Some(begin));
        }
    }

    fn plan(&self, name: &str) -> Plan {
        self.plans.read().unwrap_or_else(PoisonError::into_inner).get(name).copied().unwrap_or_default()
    }

    fn used(&self, key: &str) -> Arc<Mutex<Used>> {
        let mut keys = locked(&self.keys);
        match keys.get(key) {
            Some(used) => Arc::clone(used),
            None => Arc::clone(keys.entry(key.to_owned()).or_default()),
        }
    }
}

/// Seconds until the day ends, at least one.
fn seconds_left(utc: UtcNanos) -> u64 {
    let of_day = u64::try_from(utc.0.div_euclid(1_000_000_000).rem_euclid(86_400)).unwrap_or(0);
    DAY_S.saturating_sub(of_day).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDNIGHT: UtcNanos = UtcNanos(0);

    fn limiter(node: Option<Rate>, plan: Plan) -> Limiter {
        Limiter::new(node, HashMap::from([("p".to_owned(), plan)]))
    }

    fn take(limiter: &Limiter, key: &str, method: Method, ms: u64) -> Result<Vec<Left>, Kind> {
        let taken = limiter.request((key, "p"), method, (Duration::from_millis(ms), MIDNIGHT));
        taken.outcome.map(|()| taken.left).map_err(|fault| fault.kind)
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let rate = Rate { per_s: 2, burst: 3 };
        let limiter = limiter(None, Plan { write: Some(rate), ..Plan::default() });
        let write = |ms| take(&limiter, "k", Method::Record, ms);
        let left = write(0).unwrap();
        assert_eq!(
            headers(&left, 0).unwrap(),
            ("\"write\";q=3;w=2".to_owned(), "\"write\";r=2;t=1".to_owned())
        );
        assert!(write(0).is_ok() && write(0).is_ok());
        assert_eq!(write(0).unwrap_err(), Kind::KeyRate(1));
        assert_eq!(write(499).unwrap_err(), Kind::KeyRate(1));
        assert!(write(500).is_ok());
        assert!(write(500).is_err());
        // A long rest fills no more than the burst.
        assert!((0..3).all(|_| write(60_000).is_ok()) && write(60_000).is_err());
        assert_eq!(take(&limiter, "k", Method::Read, 0).unwrap(), []);
        assert!(take(&limiter, "other", Method::Write, 0).is_ok());
    }

    #[test]
    fn all_limits_are_met_or_nothing_is_taken() {
        let rate = |per_s, burst| Some(Rate { per_s, burst });
        let plan = Plan { all: rate(1, 3), write: rate(1, 1), ..Plan::default() };
        let limiter = limiter(rate(1, 4), plan);
        assert!(take(&limiter, "a", Method::Write, 0).is_ok());
        for _ in 0..20 {
            assert_eq!(take(&limiter, "a", Method::Write, 0).unwrap_err(), Kind::KeyRate(1));
        }
        // What was refused took nothing of the key's other limit, and nothing of the node's.
        assert!(take(&limiter, "a", Method::Read, 0).is_ok() && take(&limiter, "a", Method::Read, 0).is_ok());
        assert_eq!(take(&limiter, "a", Method::Read, 0).unwrap_err(), Kind::KeyRate(1));
        assert!(take(&limiter, "b", Method::Read, 0).is_ok());
        assert_eq!(take(&limiter, "b", Method::Read, 0).unwrap_err(), Kind::NodeRate(1));
        // Which limit it was is told, beside those that had room.
        let turned_away = |key, plan| {
            let at = (Duration::ZERO, UtcNanos(0));
            headers(&limiter.request((key, plan), Method::Read, at).left, 0).unwrap().1
        };
        assert!(turned_away("nobody", "no-plan").contains("\"node\";r=0;t="));
        limiter.set_node(None);
        let left = take(&limiter, "b", Method::Read, 0).unwrap();
        assert_eq!(
            headers(&left, 0).unwrap().1,
            "\"all\";r=1;t=2",
            "the node's refusal took nothing of the key's"
        );
    }

    #[test]
    fn a_day_has_its_events_and_they_outlive_the_counters() {
        let plan = Plan { events_per_day: Some(5), ..Plan::default() };
        let at = |limiter: &Limiter, key: &str, utc| {
            limiter
                .request((key, "p"), Method::Record, (Duration::ZERO, utc))
                .outcome
                .map_err(|fault| fault.kind)
        };
        let before = limiter(None, plan);
        let noon = UtcNanos(43_200 * 1_000_000_000);
        assert_eq!(at(&before, "a", noon), Ok(()));
        before.recorded("a", 4, noon);
        assert_eq!(at(&before, "a", noon), Ok(()));
        before.recorded("a", 3, noon);
        let counts = before.counts(noon.day());
        assert_eq!(counts.events, [("a".to_owned(), 7)]);
        let after = limiter(None, plan);
        after.resume(&counts);
        for limiter in [before, after] {
            assert_eq!(at(&limiter, "a", noon), Err(Kind::Quota(43_200)));
            assert_eq!(at(&limiter, "b", noon), Ok(()));
            assert_eq!(at(&limiter, "a", UtcNanos(86_400 * 1_000_000_000)), Ok(()), "another day");
            assert!(take(&limiter, "a", Method::Write, 0).is_ok(), "settings are no events");
        }
    }

    const HOUR_NS: i64 = 3_600 * 1_000_000_000;

    #[test]
    fn a_clock_that_was_ahead_takes_no_day_away_and_gives_one_more_at_most() {
        let quota = 10;
        let noon = |day: i64| UtcNanos((24 * day + 12) * HOUR_NS);
        let limiter = limiter(None, Plan { events_per_day: Some(quota), ..Plan::default() });
        // As many as are let through, one at a time.
        let record = |most: u64, utc: UtcNanos| {
            (0..most)
                .take_while(|_| {
                    let taken = limiter.request(("k", "p"), Method::Record, (Duration::ZERO, utc));
                    taken.outcome.map(|()| limiter.recorded("k", 1, utc)).is_ok()
                })
                .count() as u64
        };
        assert_eq!(record(7, noon(0)), 7);
        // A year ahead for a moment: what was recorded there counts for the day that it is.
        assert_eq!(record(1, noon(365)), 1);
        assert_eq!(record(100, noon(0)), 2, "8 are used of 10");
        for day in 1..400 {
            assert_eq!(record(100, noon(day)), quota, "{day}");
        }
        // All of a day that is not there, and no more of the one that is.
        assert_eq!(record(7, noon(400)), 7);
        assert_eq!(record(100, noon(700)), quota);
        assert_eq!(record(100, noon(400)), 0, "17 are used, fewer than of two days");
        assert_eq!(record(100, noon(401)), quota);
        // Also where it was started anew meanwhile.
        let counts = DayCounts { day: noon(800).day(), events: vec![("k".to_owned(), 4)] };
        limiter.resume(&counts);
        assert_eq!(record(100, noon(401)), 6);
        // A day ahead is enough to be told from a late count.
        assert_eq!((record(4, noon(402)), record(1, noon(403)), record(100, noon(402))), (4, 1, 5));
    }

    #[test]
    fn what_is_counted_late_does_not_bring_a_day_back() {
        let limiter = limiter(None, Plan { events_per_day: Some(5), ..Plan::default() });
        let (evening, night) = (UtcNanos(24 * HOUR_NS - 1), UtcNanos(24 * HOUR_NS));
        let outcome = |utc| {
            let taken = limiter.request(("k", "p"), Method::Record, (Duration::ZERO, utc));
            taken.outcome.map_err(|fault| fault.kind)
        };
        assert_eq!(outcome(evening), Ok(()));
        limiter.recorded("k", 5, evening);
        assert_eq!(outcome(night), Ok(()));
        limiter.recorded("k", 3, night);
        // Requests of the day before that were under way, as far back as is no correction.
        limiter.recorded("k", 1, evening);
        limiter.recorded("k", 1, UtcNanos(night.0 - PUT_RIGHT_NS + 1));
        assert_eq!(outcome(night), Err(Kind::Quota(DAY_S)));
        assert_eq!(limiter.counts(night.day()).events, [("k".to_owned(), 5)]);
    }

    #[test]
    fn a_key_that_is_forgotten_has_no_counter_also_where_its_last_events_are_counted_late() {
        let plan = Plan { events_per_day: Some(5), ..Plan::default() };
        let limiter = limiter(None, plan);
        for (key, plan) in [("a", "p"), ("b", "unlimited"), ("c", "p")] {
            assert!(limiter.request((key, plan), Method::Record, (Duration::ZERO, MIDNIGHT)).outcome.is_ok());
            limiter.recorded(key, 1, MIDNIGHT);
        }
        assert_eq!(locked(&limiter.keys).len(), 3);
        limiter.forget("a");
        limiter.forget("b");
        limiter.forget("never");
        for key in ["a", "b", "never"] {
            limiter.recorded(key, 1, MIDNIGHT);
        }
        assert_eq!(limiter.counts(MIDNIGHT.day()).events, [("c".to_owned(), 1)]);
        assert_eq!(locked(&limiter.keys).len(), 1, "LIMIT-1");
    }
}
