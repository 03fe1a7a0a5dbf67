//! From what an event holds to the rules that match: candidates by the index, then each candidate's other fields.
//!
//! # The array rule
//!
//! EventBridge refuses a match in which two fields lie in different elements of one array. Events are trees, and arrays
//! only multiply the objects at a path, so this is: one object is chosen at each path that a clause goes through, inside the
//! one chosen at the path above, and every field is tested in its object. Choosing is an *any* over objects and testing an
//! *all* over fields, and below one object the choices at different names do not touch each other. So [`Joint`] decides from
//! the leaves up, looking at each object and each leaf once, without ever trying combinations of elements: for a clause with
//! `f` fields the cost is O(leaves and objects at its paths), even where an array of a thousand elements is inside each
//! element of another.
//!
//! `exists: false` chooses nothing. It holds where no leaf of that path is consistent with the objects that the clause's
//! other fields chose; alone it means "nowhere in the event". (event-ruler looks only at fields whose names sort before, so
//! there the verdict can change when a field is renamed; where the absent field sorts last, both agree.)

use crate::capture::Capture;
use crate::index::Buffers;
use crate::paths::ROOT;
use crate::set::{Clause, RuleId, RuleSet};

/// What one event says of a condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Verdict {
    #[default]
    No,
    /// The field may be absent and is there somewhere: it depends on the objects that are chosen.
    InSomeObjects,
    Yes,
}

/// A list of leaves or of objects at one path, good for one event.
#[derive(Clone, Copy, Debug, Default)]
struct List {
    event: u64,
    /// The newest item, counted from 1; 0 ends the list.
    head: usize,
    length: usize,
}

/// Working memory of a decision.
#[derive(Clone, Debug, Default)]
pub(crate) struct Judge {
    event: u64,
    leaves: Lists,
    objects: Lists,
    verdicts: Vec<(u64, Verdict)>,
    /// The event that last made a clause a candidate.
    asked: Vec<u64>,
    candidates: Vec<usize>,
    buffers: Buffers,
    joint: Joint,
    found: Vec<RuleId>,
}

/// Items by path: chains of numbers, the same memory for every event.
#[derive(Clone, Debug, Default)]
struct Lists {
    lists: Vec<List>,
    next: Vec<usize>,
}

impl Lists {
    fn begin(&mut self, nodes: usize) {
        self.lists.resize(self.lists.len().max(nodes), List::default());
        self.next.clear();
    }

    /// Adds the item whose number is the count of items so far; a void one gets a number only.
    #[inline]
    fn push(&mut self, event: u64, node: usize, is_void: bool) {
        let mut next = 0;
        if let Some(list) = self.lists.get_mut(node)
            && !is_void
        {
            let before = if list.event == event { *list } else { List::default() };
            next = before.head;
            *list = List { event, head: self.next.len() + 1, length: before.length + 1 };
        }
        self.next.push(next);
    }

    #[inline]
    fn length(&self, event: u64, node: usize) -> usize {
        self.lists.get(node).filter(|list| list.event == event).map_or(0, |list| list.length)
    }

    /// The numbers of the items at a path.
    #[inline]
    fn each(&self, event: u64, node: usize) -> impl Iterator<Item = usize> {
        let head = self.lists.get(node).filter(|list| list.event == event).map_or(0, |list| list.head);
        std::iter::successors(head.checked_sub(1), |item| self.next.get(*item)?.checked_sub(1))
    }
}

impl Judge {
    /// The rules that match, ascending.
    pub(crate) fn decide(&mut self, set: &RuleSet, capture: &Capture, text: &str) -> &[RuleId] {
        self.event += 1;
        self.found.clear();
        self.candidates.clear();
        self.verdicts.resize(self.verdicts.len().max(set.conditions.end()), (0, Verdict::No));
        self.asked.resize(self.asked.len().max(set.clauses.end()), 0);
        self.leaves.begin(set.paths.end());
        self.objects.begin(set.paths.end());
        let mut has_elements = false;
        for object in &capture.objects {
            self.objects.push(self.event, object.node, object.is_void);
            has_elements |= self.objects.length(self.event, object.node) > 1;
        }
        for leaf in &capture.leaves {
            self.leaves.push(self.event, leaf.node, leaf.is_void);
            if let Some(index) = set.paths.get(leaf.node).and_then(|node| node.index.as_ref())
                && !leaf.is_void
            {
                let (event, asked, candidates) = (self.event, &mut self.asked, &mut self.candidates);
                index.find(&capture.leaf(leaf, text), &mut self.buffers, |clause| {
                    if let Some(last) = asked.get_mut(clause)
                        && *last != event
                    {
                        *last = event;
                        candidates.push(clause);
                    }
                });
            }
        }
        self.candidates.extend(&set.always);
        for at in 0..self.candidates.len() {
            let clause = self.candidates.get(at).and_then(|clause| set.clauses.get(*clause));
            if let Some(clause) = clause
                && self.holds(set, capture, text, clause, has_elements)
            {
                self.found.push(clause.rule);
            }
        }
        self.found.sort_unstable();
        self.found.dedup();
        &self.found
    }

    fn holds(
        &mut self,
        set: &RuleSet,
        capture: &Capture,
        text: &str,
        clause: &Clause,
        has_elements: bool,
    ) -> bool {
        let mut depends = false;
        for id in clause.conditions.iter().filter(|id| Some(**id) != clause.proven) {
            match self.verdict(set, capture, text, *id) {
                Verdict::No => return false,
                Verdict::InSomeObjects => depends = true,
                Verdict::Yes => {}
            }
        }
        if has_elements && self.goes_through_elements(set, clause) {
            let (event, leaves, objects) = (self.event, &self.leaves, &self.objects);
            return self.joint.holds(&Given { set, capture, text, event, leaves, objects }, clause);
        }
        !depends
    }

    fn verdict(&mut self, set: &RuleSet, capture: &Capture, text: &str, id: usize) -> Verdict {
        let (Some(kept), Some(known)) = (set.conditions.get(id), self.verdicts.get_mut(id)) else {
            return Verdict::No;
        };
        if known.0 != self.event {
            let mut leaves = self.leaves.each(self.event, kept.node).filter_map(|at| capture.leaves.get(at));
            let is_empty = self.leaves.length(self.event, kept.node) == 0;
            let verdict = match kept.condition.or_absent {
                true if is_empty => Verdict::Yes,
                _ if leaves.any(|leaf| kept.condition.accepts(&capture.leaf(leaf, text))) => Verdict::Yes,
                true => Verdict::InSomeObjects,
                false => Verdict::No,
            };
            *known = (self.event, verdict);
        }
        known.1
    }

    /// Whether there is more than one object to choose from at some path that the clause goes through.
    fn goes_through_elements(&self, set: &RuleSet, clause: &Clause) -> bool {
        let single = match &*clause.conditions {
            [only] => set.conditions.get(*only).is_some_and(|kept| !kept.condition.or_absent),
            _ => false,
        };
        let through = |id: &usize| {
            let mut at =
                set.conditions.get(*id).and_then(|kept| set.paths.get(kept.node)).map(|node| node.parent);
            while let Some(node) = at.filter(|node| *node != ROOT) {
                if self.objects.length(self.event, node) > 1 {
                    return true;
                }
                at = set.paths.get(node).map(|node| node.parent);
            }
            false
        };
        !single && clause.conditions.iter().any(through)
    }
}

/// What a joint decision reads.
struct Given<'a> {
    set: &'a RuleSet,
    capture: &'a Capture,
    text: &'a str,
    event: u64,
    leaves: &'a Lists,
    objects: &'a Lists,
}

/// A path that the clause goes through.
#[derive(Clone, Copy, Debug)]
struct Inner {
    node: usize,
    depth: usize,
    /// How many fields and inner paths stand directly below.
    parts: usize,
    /// Whether every field below may be absent.
    may_be_absent: bool,
}

/// What has been found below one object; good for one decision.
#[derive(Clone, Copy, Debug, Default)]
struct Below {
    decision: u64,
    /// How many of the parts hold.
    parts: usize,
    /// Whether one of them holds by a leaf, which is what chooses this object.
    is_chosen: bool,
    /// Whether any leaf of the clause's fields is below.
    has_leaf: bool,
    /// The part that was last found to have a leaf, and to hold, counted from 1.
    last_leaf: usize,
    last_held: usize,
}

/// The array rule for one clause at a time.
#[derive(Clone, Debug, Default)]
struct Joint {
    decision: u64,
    inner: Vec<Inner>,
    /// Where a node stands in `inner`.
    places: Vec<(u64, usize)>,
    below: Vec<Below>,
}

impl Joint {
    fn holds(&mut self, given: &Given<'_>, clause: &Clause) -> bool {
        self.decision += 1;
        self.inner.clear();
        self.places.resize(self.places.len().max(given.set.paths.end()), (0, 0));
        self.below.resize(self.below.len().max(given.capture.objects.len()), Below::default());
        for id in &clause.conditions {
            self.add_paths(given, *id);
        }
        // Deeper paths first: a path is complete when its turn comes.
        self.inner.sort_unstable_by_key(|inner| std::cmp::Reverse(inner.depth));
        for (place, inner) in self.inner.iter().enumerate() {
            self.places.get_mut(inner.node).into_iter().for_each(|known| *known = (self.decision, place));
        }
        for (part, id) in clause.conditions.iter().enumerate() {
            self.test_field(given, *id, part + 1);
        }
        for place in 0..self.inner.len() {
            self.choose(given, place, clause.conditions.len() + place + 1);
        }
        let parts = self.inner.last().filter(|inner| inner.node == ROOT).map(|root| root.parts);
        self.at(0).is_some_and(|below| Some(below.parts) == parts)
    }

    /// Enters the paths above a field.
    fn add_paths(&mut self, given: &Given<'_>, id: usize) {
        let parent = |node| given.set.paths.get(node).map(|node| node.parent);
        let mut at = given.set.conditions.get(id).and_then(|kept| parent(kept.node));
        while let Some(node) = at {
            let Some(known) = self.places.get_mut(node).filter(|known| known.0 != self.decision) else {
                return;
            };
            known.0 = self.decision;
            let depth = given.set.paths.get(node).map_or(0, |node| node.depth);
            self.inner.push(Inner { node, depth, parts: 0, may_be_absent: true });
            at = parent(node).filter(|_| node != ROOT);
        }
    }

    /// What has been found below an object.
    fn at(&mut self, object: usize) -> Option<&mut Below> {
        let below = self.below.get_mut(object)?;
        if below.decision != self.decision {
            *below = Below { decision: self.decision, ..Below::default() };
        }
        Some(below)
    }

    fn part_of(&mut self, node: usize, may_be_absent: bool) {
        let place = self.places.get(node).map(|known| known.1);
        if let Some(inner) = place.and_then(|place| self.inner.get_mut(place)) {
            inner.parts += 1;
            inner.may_be_absent &= may_be_absent;
        }
    }

    /// Tests a field in every object that can have it.
    fn test_field(&mut self, given: &Given<'_>, id: usize, part: usize) {
        let Some(kept) = given.set.conditions.get(id) else { return };
        let Some(parent) = given.set.paths.get(kept.node).map(|node| node.parent) else { return };
        self.part_of(parent, kept.condition.or_absent);
        for at in given.leaves.each(given.event, kept.node) {
            let Some(leaf) = given.capture.leaves.get(at) else { continue };
            let Some(below) = self.at(leaf.owner) else { continue };
            below.has_leaf = true;
            below.last_leaf = part;
            if below.last_held != part && kept.condition.accepts(&given.capture.leaf(leaf, given.text)) {
                below.last_held = part;
                below.parts += 1;
                below.is_chosen = true;
            }
        }
        if kept.condition.or_absent {
            self.grant_absent(given, parent, part);
        }
    }

    /// A part that may be absent holds in every object below which it has no leaf.
    fn grant_absent(&mut self, given: &Given<'_>, node: usize, part: usize) {
        for object in given.objects.each(given.event, node) {
            if let Some(below) = self.at(object)
                && below.last_leaf != part
            {
                below.parts += 1;
            }
        }
    }

    /// An inner path holds in an object if it holds in one of the objects below, chosen by a leaf.
    fn choose(&mut self, given: &Given<'_>, place: usize, part: usize) {
        let Some(inner) = self.inner.get(place).copied().filter(|inner| inner.node != ROOT) else { return };
        let Some(parent) = given.set.paths.get(inner.node).map(|node| node.parent) else { return };
        self.part_of(parent, inner.may_be_absent);
        for object in given.objects.each(given.event, inner.node) {
            let Some(found) = self.at(object).copied() else { continue };
            let Some(outer) = given.capture.objects.get(object).map(|object| object.parent) else { continue };
            let Some(above) = self.at(outer) else { continue };
            if found.has_leaf {
                above.has_leaf = true;
                above.last_leaf = part;
            }
            if found.is_chosen && found.parts == inner.parts && above.last_held != part {
                above.last_held = part;
                above.parts += 1;
                above.is_chosen = true;
            }
        }
        if inner.may_be_absent {
            self.grant_absent(given, parent, part);
        }
    }
}
