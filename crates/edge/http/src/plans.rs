//! Usage plans as they are kept, by name, and the node's own rate; each change counts from the next request on.
//!
//! Not here: counting (`limit`), which key is under which plan (`keys`), where records lie (`ports::Desk`).
//!
//! - `PLAN-1`: a plan counts for requests only after it is durable.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::limit::{Limiter, Plan, Rate};
use crate::ports::{Desk, DeskError, Shelf};

/// Most plans of a node.
pub const PLANS_MAX: usize = 1_000;
/// Longest name of a plan, in bytes.
pub const PLAN_NAME_BYTES_MAX: usize = 64;
/// The plan that a key has where none is named; unlimited until it is set.
pub const STANDARD: &str = "standard";
/// The record of the node's own rate; no plan can have this name.
pub const NODE: &str = "@node";

/// The stored form of a plan, version 1.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPlan {
    version: u8,
    plan: Plan,
}

/// The stored form of the node's rate, version 1.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredNode {
    version: u8,
    rate: Rate,
}

/// Why plans cannot be kept or read.
#[derive(Debug)]
pub enum PlanError {
    /// The desk failed.
    Desk(DeskError),
    /// A record cannot be read; its name.
    Record(String),
    /// A name that is none, or as many plans as a node may have.
    Name(String),
    /// A rate, burst or quota of zero.
    Zero,
}

impl PlanError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Desk(error) => error.code,
            Self::Record(_) => "E0972",
            Self::Name(_) => "E0973",
            Self::Zero => "E0974",
        }
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Desk(error) => error.fmt(f),
            Self::Record(name) => write!(f, "the record of usage plan `{name}` cannot be read"),
            Self::Name(name) => write!(
                f,
                "no usage plan can be named `{name}`: 1 to {PLAN_NAME_BYTES_MAX} letters, digits, `-`, `_`, `.`, and {PLANS_MAX} plans at most"
            ),
            Self::Zero => write!(f, "a rate, a burst and a quota are 1 at least"),
        }
    }
}

impl std::error::Error for PlanError {}

#[derive(Default)]
struct Known {
    plans: BTreeMap<String, Plan>,
    node: Option<Rate>,
}

impl Known {
    fn takes(&self, name: &str, plan: Plan) -> Result<(), PlanError> {
        if !is_name(name) || (self.plans.len() >= PLANS_MAX && !self.plans.contains_key(name)) {
            return Err(PlanError::Name(name.to_owned()));
        }
        if !is_plan(plan) {
            return Err(PlanError::Zero);
        }
        Ok(())
    }
}

/// The plans of a node and the counters under them.
pub struct Plans {
    desk: Arc<dyn Desk>,
    limiter: Arc<Limiter>,
    known: Mutex<Known>,
}

impl fmt::Debug for Plans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plans").finish_non_exhaustive()
    }
}

fn is_name(name: &str) -> bool {
    let fits = !name.is_empty() && name.len() <= PLAN_NAME_BYTES_MAX;
    fits && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn is_rate(rate: Option<Rate>) -> bool {
    rate.is_none_or(|rate| rate.per_s > 0 && rate.burst > 0)
}

fn is_plan(plan: Plan) -> bool {
    [plan.all, plan.read, plan.write].into_iter().all(is_rate) && plan.events_per_day != Some(0)
}

fn read<T: for<'a> Deserialize<'a>>(name: &str, record: &[u8]) -> Result<T, PlanError> {
    serde_json::from_slice(record).map_err(|_| PlanError::Record(name.to_owned()))
}

fn bytes(record: &impl Serialize) -> Vec<u8> {
    // Numbers and fixed names always have a JSON form.
    serde_json::to_vec(record).unwrap_or_default()
}

impl Plans {
    /// Reads all plans from the desk; their counters begin empty.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn load(desk: Arc<dyn Desk>) -> Result<Self, PlanError> {
        let mut known = Known::default();
        let limiter = Arc::new(Limiter::default());
        for (name, record) in desk.load(Shelf::Plans).map_err(PlanError::Desk)? {
            let unread = || PlanError::Record(name.clone());
            if name == NODE {
                let StoredNode { version, rate } = read(&name, &record)?;
                known.node = Some(rate).filter(|rate| version == 1 && is_rate(Some(*rate)));
                limiter.set_node(Some(known.node.ok_or_else(unread)?));
                continue;
            }
            let StoredPlan { version, plan } = read(&name, &record)?;
            if version != 1 || !is_plan(plan) {
                return Err(unread());
            }
            limiter.set_plan(&name, Some(plan));
            known.plans.insert(name, plan);
        }
        Ok(Self { desk, limiter, known: Mutex::new(known) })
    }

    /// The counters under these plans.
    #[must_use]
    pub fn limiter(&self) -> &Arc<Limiter> {
        &self.limiter
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether [`Self::set`] would take a plan.
    ///
    /// # Errors
    /// [`PlanError::Name`], [`PlanError::Zero`].
    pub fn takes(&self, name: &str, plan: Plan) -> Result<(), PlanError> {
        self.known().takes(name, plan)
    }

    /// Makes a plan, or puts another in the place of the one of that name (`PLAN-1`).
    ///
    /// # Errors
    /// [`PlanError`]; what counted before still counts.
    pub fn set(&self, name: &str, plan: Plan) -> Result<(), PlanError> {
        let mut known = self.known();
        known.takes(name, plan)?;
        let record = bytes(&StoredPlan { version: 1, plan });
        self.desk.save(Shelf::Plans, name, Some(&record)).map_err(PlanError::Desk)?;
        known.plans.insert(name.to_owned(), plan);
        self.limiter.set_plan(name, Some(plan));
        Ok(())
    }

    /// Takes a plan away; false where there is none of that name. A key that is under it still is unlimited.
    ///
    /// # Errors
    /// [`PlanError::Desk`].
    pub fn remove(&self, name: &str) -> Result<bool, PlanError> {
        let mut known = self.known();
        if !known.plans.contains_key(name) {
            return Ok(false);
        }
        self.desk.save(Shelf::Plans, name, None).map_err(PlanError::Desk)?;
        known.plans.remove(name);
        self.limiter.set_plan(name, None);
        Ok(true)
    }

    /// Sets the node's own rate; none for no limit.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn set_node(&self, rate: Option<Rate>) -> Result<(), PlanError> {
        if !is_rate(rate) {
            return Err(PlanError::Zero);
        }
        let mut known = self.known();
        let record = rate.map(|rate| bytes(&StoredNode { version: 1, rate }));
        self.desk.save(Shelf::Plans, NODE, record.as_deref()).map_err(PlanError::Desk)?;
        known.node = rate;
        self.limiter.set_node(rate);
        Ok(())
    }

    /// All plans, by name; [`STANDARD`] is among them, also where it was never set.
    #[must_use]
    pub fn list(&self) -> Vec<(String, Plan)> {
        let mut plans = self.known().plans.clone();
        plans.entry(STANDARD.to_owned()).or_default();
        plans.into_iter().collect()
    }

    /// The node's own rate.
    #[must_use]
    pub fn node(&self) -> Option<Rate> {
        self.known().node
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::MemoryDesk;

    const RATE: Rate = Rate { per_s: 2, burst: 3 };

    #[test]
    fn plans_are_kept_and_a_record_or_a_name_that_is_none_is_told() {
        let desk = Arc::new(MemoryDesk::default());
        let plans = Plans::load(desk.clone()).unwrap();
        let gold = Plan { write: Some(RATE), events_per_day: Some(7), ..Plan::default() };
        plans.set("gold", gold).unwrap();
        plans.set_node(Some(RATE)).unwrap();
        let again = Plans::load(desk.clone()).unwrap();
        assert_eq!(again.list(), [("gold".to_owned(), gold), (STANDARD.to_owned(), Plan::default())]);
        assert_eq!(again.node(), Some(RATE));
        again.set_node(None).unwrap();
        assert!(again.remove("gold").unwrap() && !again.remove("gold").unwrap());
        assert_eq!(Plans::load(desk.clone()).unwrap().list().len(), 1);
        assert_eq!(Plans::load(desk.clone()).unwrap().node(), None);
        for name in ["", "@node", "a b", "a/b", &"x".repeat(PLAN_NAME_BYTES_MAX + 1)] {
            assert!(matches!(again.set(name, gold), Err(PlanError::Name(_))), "{name}");
        }
        again.set(&"x".repeat(PLAN_NAME_BYTES_MAX), gold).unwrap();
        for zero in [Rate { per_s: 0, burst: 1 }, Rate { per_s: 1, burst: 0 }] {
            let plan = Plan { read: Some(zero), ..Plan::default() };
            assert!(matches!(again.set("zero", plan), Err(PlanError::Zero)));
        }
        for wrong in [&b"{}"[..], br#"{"version":2,"plan":{}}"#, br#"{"version":1,"plan":{"other":1}}"#] {
            desk.save(Shelf::Plans, "wrong", Some(wrong)).unwrap();
            assert!(matches!(Plans::load(desk.clone()), Err(PlanError::Record(name)) if name == "wrong"));
        }
    }

    #[test]
    fn there_are_so_many_plans_and_not_one_more() {
        let plans = Plans::load(Arc::new(MemoryDesk::default())).unwrap();
        (0..PLANS_MAX).for_each(|number| plans.set(&format!("p{number}"), Plan::default()).unwrap());
        assert!(matches!(plans.set("more", Plan::default()), Err(PlanError::Name(_))));
        plans.set("p0", Plan { all: Some(RATE), ..Plan::default() }).unwrap();
    }
}
