//! Which subscriptions an event concerns: all patterns at once, and what no pattern decides.
//!
//! Invariants:
//! - `RULES-1`: an event of Waag's own (`waag.…`) concerns only subscriptions that name such a type.
//! - `RULES-2`: a dead letter of an event about dead letters (`waag.dead-letter.…`) is kept and not recorded as an event, so
//!   that k subscriptions that get these and fail make k events of one, and not k for each of these again. An event with
//!   more than [`DEPTH_MAX`] causes before it concerns nobody, whatever made it; it is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use waag_pattern::{Pattern, RuleId, RuleSet, Scratch};

use crate::source::Event;

/// Most causes before an event that is still delivered.
pub const DEPTH_MAX: u8 = 8;
/// What the types of Waag's own events begin with.
const OWN: &str = "waag.";

/// What one subscription wants.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    /// The subscription.
    pub(crate) subscription: u32,
    /// Every event where there is none.
    pub(crate) pattern: Option<Arc<Pattern>>,
    /// Whether it names Waag's own events.
    pub(crate) names_own: bool,
}

/// What subscriptions want, compiled; never changed, but exchanged as a whole.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// Higher for later ones.
    pub(crate) version: u64,
    set: RuleSet,
    every: Vec<u32>,
    own: BTreeSet<u32>,
}

impl Rules {
    pub(crate) fn new(version: u64, wishes: &[Wish]) -> Self {
        let mut rules = Self { version, ..Self::default() };
        for wish in wishes {
            match &wish.pattern {
                Some(pattern) => rules.set.insert(RuleId(u64::from(wish.subscription)), pattern),
                None => rules.every.push(wish.subscription),
            }
            if wish.names_own {
                rules.own.insert(wish.subscription);
            }
        }
        rules
    }

    /// Sorts events, which go from `from` up to `end`, by subscription.
    pub(crate) fn sort(&self, from: u64, events: Vec<Arc<Event>>, scratch: &mut Scratch) -> Sorted {
        let end = events.last().map_or(from, |event| event.position.0.saturating_add(1));
        let mut sorted = Sorted { from, end, version: self.version, ..Sorted::default() };
        for event in events {
            if event.depth > DEPTH_MAX {
                sorted.too_deep = sorted.too_deep.saturating_add(1);
                continue;
            }
            sorted.bytes = sorted.bytes.saturating_add(event.json.len());
            let is_own = event.kind.starts_with(OWN);
            if !is_own {
                for subscription in &self.every {
                    sorted.by.entry(*subscription).or_default().push(Arc::clone(&event));
                }
            }
            // What the ledger renders is one JSON object within the matcher's limits, which are the ledger's own.
            let Ok(matched) = self.set.matches(&event.json, scratch) else {
                sorted.unreadable = sorted.unreadable.saturating_add(1);
                continue;
            };
            for RuleId(rule) in matched {
                let Ok(subscription) = u32::try_from(*rule) else { continue };
                if !is_own || self.own.contains(&subscription) {
                    sorted.by.entry(subscription).or_default().push(Arc::clone(&event));
                }
            }
        }
        sorted
    }
}

/// A stretch of the ledger, sorted by subscription.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    /// The first position.
    pub(crate) from: u64,
    /// The position behind the last.
    pub(crate) end: u64,
    /// Of the rules it was sorted by.
    pub(crate) version: u64,
    /// In order of position.
    pub(crate) by: BTreeMap<u32, Vec<Arc<Event>>>,
    /// Bytes of all its events.
    pub(crate) bytes: usize,
    /// Events that nobody gets since too many causes stand before them.
    pub(crate) too_deep: u64,
    /// Events that no pattern could be held against.
    pub(crate) unreadable: u64,
}

impl Sorted {
    /// What a subscription wants of it, from a position on.
    pub(crate) fn wanted_by(&self, subscription: u32, from: u64) -> &[Arc<Event>] {
        let events = self.by.get(&subscription).map(Vec::as_slice).unwrap_or_default();
        let before = events.partition_point(|event| event.position.0 < from);
        events.get(before..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use waag_model::ids::Position;
    use waag_model::time::UtcNanos;

    use super::*;

    fn event(position: u64, kind: &str, depth: u8) -> Arc<Event> {
        Arc::new(Event {
            position: Position(position),
            committed: UtcNanos(0),
            kind: kind.into(),
            ordering: None,
            depth,
            json: format!(r#"{{"type":"{kind}"}}"#).into_bytes().into(),
        })
    }

    #[test]
    fn own_events_reach_those_who_name_them_and_deep_ones_reach_nobody() {
        let wish = |subscription, pattern: Option<&str>, names_own| Wish {
            subscription,
            pattern: pattern.map(|text| Arc::new(Pattern::parse(text.as_bytes()).unwrap())),
            names_own,
        };
        let wishes = [
            wish(1, None, false),
            wish(2, Some(r#"{"type":[{"exists":true}]}"#), false),
            wish(3, Some(r#"{"type":[{"prefix":"waag."}]}"#), true),
            wish(4, Some(r#"{"type":["a"]}"#), false),
        ];
        let rules = Rules::new(1, &wishes);
        let events = vec![
            event(5, "a", 0),
            event(6, "waag.dead-letter.recorded", 1),
            event(7, "waag.dead-letter.recorded", DEPTH_MAX + 1),
            event(8, "b", DEPTH_MAX),
        ];
        let sorted = rules.sort(5, events, &mut Scratch::new());
        let of = |subscription| -> Vec<u64> {
            sorted.wanted_by(subscription, 0).iter().map(|event| event.position.0).collect()
        };
        assert_eq!((of(1), of(2), of(3), of(4)), (vec![5, 8], vec![5, 8], vec![6], vec![5]));
        assert_eq!((sorted.from, sorted.end, sorted.too_deep), (5, 9, 1));
        assert_eq!(sorted.wanted_by(1, 6).len(), 1);
    }
}
