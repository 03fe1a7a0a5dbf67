//! Many rules, compiled once: rules come and go one by one, and an event is answered with all that match.
//!
//! Every combination of a rule (a *clause*) is entered in the index with one field, its *key*: the one whose condition
//! the fewest other clauses have at that moment. So a field that all rules share (`"source": ["payments"]`) leads nowhere,
//! and an event reaches about the rules that it matches, however many there are. Equal conditions at one path are kept
//! once and judged once per event.

use std::sync::Arc;

use serde_json::Value;

use crate::capture::Capture;
use crate::condition::{Condition, Test};
use crate::decide::Judge;
use crate::limits::EVENT_BYTES_MAX;
use crate::names::Map;
use crate::paths::Paths;
use crate::pattern::{Combination, Pattern};
use crate::refusal::EventError;
use crate::slab::Slab;

/// A rule's number, given by whoever inserts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub u64);

/// Patterns under their rules' numbers.
#[derive(Clone, Debug)]
pub struct RuleSet {
    pub(crate) paths: Paths,
    pub(crate) conditions: Slab<Kept>,
    pub(crate) clauses: Slab<Clause>,
    /// Clauses that no leaf leads to, because all their fields may be absent.
    pub(crate) always: Vec<usize>,
    known: Map<(usize, Arc<Condition>), usize>,
    rules: Map<RuleId, Vec<usize>>,
}

/// A condition at a path, kept once for all clauses that have it.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) node: usize,
    pub(crate) condition: Arc<Condition>,
    uses: usize,
}

/// Conditions that must all hold.
#[derive(Clone, Debug)]
pub(crate) struct Clause {
    pub(crate) rule: RuleId,
    pub(crate) conditions: Box<[usize]>,
    /// The condition that leads here.
    key: Option<usize>,
    /// The key, if having been led here proves it; not so for `anything-but`, to which every leaf leads.
    pub(crate) proven: Option<usize>,
}

/// The working memory of matching, to be used again and again; it grows with the rules and with the largest event.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    pub(crate) capture: Capture,
    pub(crate) judge: Judge,
}

impl Scratch {
    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Default for RuleSet {
    fn default() -> Self {
        Self::new()
    }
}

impl RuleSet {
    /// Without rules.
    #[must_use]
    pub fn new() -> Self {
        Self {
            paths: Paths::new(),
            conditions: Slab::new(),
            clauses: Slab::new(),
            always: Vec::new(),
            known: Map::default(),
            rules: Map::default(),
        }
    }

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Enters a rule; one that had this number is replaced.
    pub fn insert(&mut self, rule: RuleId, pattern: &Pattern) {
        self.remove(rule);
        let clauses =
            pattern.combinations.iter().map(|combination| self.insert_clause(rule, combination)).collect();
        self.rules.insert(rule, clauses);
    }

    /// Takes a rule out; answers whether it was there.
    pub fn remove(&mut self, rule: RuleId) -> bool {
        let Some(clauses) = self.rules.remove(&rule) else { return false };
        for clause in clauses {
            self.remove_clause(clause);
        }
        true
    }

    /// The rules that an event in its JSON text matches, ascending.
    ///
    /// Numbers are compared as they are written. Of a repeated name the last value counts.
    ///
    /// # Errors
    /// The event is no JSON object, or beyond `EVENT_BYTES_MAX` or `EVENT_DEPTH_MAX`; whatever the rules look at, the whole
    /// text is read.
    pub fn matches<'s>(&self, event: &[u8], scratch: &'s mut Scratch) -> Result<&'s [RuleId], EventError> {
        if event.len() > EVENT_BYTES_MAX {
            return Err(EventError::TooLarge);
        }
        let event = std::str::from_utf8(event).map_err(|error| EventError::NotJson {
            offset: error.valid_up_to(),
            what: "a byte that is not UTF-8",
        })?;
        scratch.capture.read(&self.paths, event)?;
        Ok(scratch.judge.decide(self, &scratch.capture, event))
    }

    /// The same for a parsed event, whose numbers are what `serde_json` kept of them: 64-bit integers are exact; all others
    /// are the shortest decimal of an `f64`, or as they were written where its feature `arbitrary_precision` is on.
    ///
    /// # Errors
    /// The event is no object, or what rules look at is nested beyond `EVENT_DEPTH_MAX`.
    pub fn matches_value<'s>(
        &self,
        event: &Value,
        scratch: &'s mut Scratch,
    ) -> Result<&'s [RuleId], EventError> {
        scratch.capture.look(&self.paths, event)?;
        Ok(scratch.judge.decide(self, &scratch.capture, ""))
    }

    fn insert_clause(&mut self, rule: RuleId, combination: &Combination) -> usize {
        let conditions: Box<[usize]> =
            combination.iter().map(|(path, condition)| self.keep(path, condition)).collect();
        let key =
            conditions.iter().copied().filter_map(|id| Some((self.cost(id)?, id))).min().map(|(_, id)| id);
        let excepts =
            |kept: &Kept| kept.condition.others.iter().any(|test| matches!(test, Test::AnythingBut(_)));
        let proven = key.filter(|key| !self.conditions.get(*key).is_some_and(excepts));
        let clause = self.clauses.insert(Clause { rule, conditions, key, proven });
        self.enter(key, clause, true);
        clause
    }

    fn remove_clause(&mut self, clause: usize) {
        let Some(Clause { conditions, key, .. }) = self.clauses.remove(clause) else { return };
        self.enter(key, clause, false);
        for id in conditions {
            self.drop_use(id);
        }
    }

    /// Enters a clause under its key, or takes it out.
    fn enter(&mut self, key: Option<usize>, clause: usize, add: bool) {
        let Some(kept) = key.and_then(|key| self.conditions.get(key)) else {
            if add {
                self.always.push(clause);
            } else {
                self.always.retain(|other| *other != clause);
            }
            return;
        };
        self.paths.change_index(kept.node, &kept.condition, clause, add);
    }

    fn keep(&mut self, path: &[Box<str>], condition: &Arc<Condition>) -> usize {
        let node = self.paths.reach(path);
        let known = self.known.get(&(node, Arc::clone(condition))).copied();
        let id = known.unwrap_or_else(|| {
            self.paths.retain(node);
            let id = self.conditions.insert(Kept { node, condition: Arc::clone(condition), uses: 0 });
            self.known.insert((node, Arc::clone(condition)), id);
            id
        });
        if let Some(kept) = self.conditions.get_mut(id) {
            kept.uses += 1;
        }
        id
    }

    fn drop_use(&mut self, id: usize) {
        let Some(kept) = self.conditions.get_mut(id) else { return };
        kept.uses -= 1;
        if kept.uses == 0
            && let Some(gone) = self.conditions.remove(id)
        {
            self.known.remove(&(gone.node, gone.condition));
            self.paths.release(gone.node);
        }
    }

    /// How bad a key a condition would be; none at all where the field may be absent.
    fn cost(&self, id: usize) -> Option<(bool, usize)> {
        let kept = self.conditions.get(id)?;
        if kept.condition.or_absent {
            return None;
        }
        let matches_anything = |test: &Test| matches!(test, Test::Exists | Test::AnythingBut(_));
        let index = self.paths.get(kept.node)?.index.as_ref();
        let crowd = kept.condition.others.iter().filter_map(|test| Some(index?.crowd(test))).sum::<usize>();
        // An interval or a wildcard is compared with many leaves for nothing, so an exact value is preferred.
        let scanned =
            kept.condition.others.iter().any(|test| matches!(test, Test::Range(_) | Test::Wildcard(_)));
        Some((
            kept.condition.others.iter().any(matches_anything),
            kept.uses + crowd + if scanned { 8 } else { 0 },
        ))
    }
}
