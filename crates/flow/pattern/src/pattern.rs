//! A pattern as it is kept: the combinations of fields of which one must hold whole.
//!
//! `$or` is multiplied out, as EventBridge does, so that fields on both sides of a `$or` are held to the same element of
//! an array. Conditions are shared between combinations, so the product costs references, not copies.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::condition::Condition;
use crate::limits::{COMBINATIONS_MAX, FIELDS_MAX};
use crate::operator::{self, RESERVED};
use crate::refusal::{EventError, Limit, PatternError, Reason, quoted};
use crate::set::{RuleId, RuleSet, Scratch};
use crate::syntax::{self, Node};

/// The names that lead to a field, from the outermost object.
pub(crate) type Path = Arc<[Box<str>]>;

/// Fields that must all hold, in the same elements of arrays.
pub(crate) type Combination = BTreeMap<Path, Arc<Condition>>;

/// An event pattern that was read and found valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    pub(crate) combinations: Vec<Combination>,
}

impl Pattern {
    /// Reads a pattern from its JSON text.
    ///
    /// # Errors
    /// The first thing that makes it no pattern, with its place; nothing is ever ignored.
    pub fn parse(text: &[u8]) -> Result<Self, PatternError> {
        let Node::Object(members) = syntax::read(text)? else {
            return Err(PatternError::new(Reason::Shape("a pattern is one JSON object")));
        };
        Ok(Self { combinations: fields(&members, &mut Vec::new())? })
    }

    /// Whether one event, in its JSON text, matches. For many events or patterns, make a [`RuleSet`] once.
    ///
    /// # Errors
    /// The event is no JSON object, or beyond the limits of one.
    pub fn matches(&self, event: &[u8]) -> Result<bool, EventError> {
        let mut rules = RuleSet::new();
        rules.insert(RuleId(0), self);
        Ok(!rules.matches(event, &mut Scratch::new())?.is_empty())
    }
}

/// The combinations of an object of fields at `path`.
fn fields(
    members: &[(String, Node<'_>)],
    path: &mut Vec<Box<str>>,
) -> Result<Vec<Combination>, PatternError> {
    if members.is_empty() {
        return Err(PatternError::new(Reason::Empty("an object without fields would match everything")));
    }
    let mut whole = vec![Combination::new()];
    for (name, node) in members {
        let found = match alternatives_of_or(name, node) {
            Some(alternatives) => any_of(&alternatives, path),
            None => {
                path.push(name.as_str().into());
                let found = field(node, path);
                path.pop();
                found
            }
        };
        whole =
            product(whole, &found.map_err(|error| error.below(name))?).map_err(|error| error.below(name))?;
    }
    Ok(whole)
}

/// The combinations of what stands behind one name.
fn field(node: &Node<'_>, path: &mut Vec<Box<str>>) -> Result<Vec<Combination>, PatternError> {
    match node {
        Node::Object(members) => fields(members, path),
        Node::Array(items) => {
            let condition = operator::condition(items)?;
            Ok(vec![Combination::from([(path.as_slice().into(), Arc::new(condition))])])
        }
        Node::Text(_) | Node::Number(_) | Node::Literal(_) => Err(PatternError::new(Reason::Shape(
            "a field takes an array of alternatives, or an object of further fields",
        ))),
    }
}

/// The objects of a `$or`, if it is one: an array of two objects or more, none of which names an operator.
///
/// Anything else under this name is a field called `$or`, as in event-ruler.
fn alternatives_of_or<'n, 'a>(name: &str, node: &'n Node<'a>) -> Option<Vec<&'n [(String, Node<'a>)]>> {
    let Node::Array(items) = node else { return None };
    if name != "$or" || items.len() < 2 {
        return None;
    }
    let combination = |item: &'n Node<'a>| {
        let Node::Object(members) = item else { return None };
        let reserved = members.iter().any(|(name, _)| RESERVED.contains(&name.as_str()));
        (!reserved).then_some(members.as_slice())
    };
    items.iter().map(combination).collect()
}

fn any_of(
    alternatives: &[&[(String, Node<'_>)]],
    path: &mut Vec<Box<str>>,
) -> Result<Vec<Combination>, PatternError> {
    let mut all = Vec::new();
    for (at, members) in alternatives.iter().enumerate() {
        all.append(&mut fields(members, path).map_err(|error| error.below(&at.to_string()))?);
        if all.len() > COMBINATIONS_MAX {
            return Err(PatternError::new(Reason::TooMuch(Limit::Combinations)));
        }
    }
    Ok(all)
}

/// Each of `left` with each of `right`.
fn product(left: Vec<Combination>, right: &[Combination]) -> Result<Vec<Combination>, PatternError> {
    if left.len().saturating_mul(right.len()) > COMBINATIONS_MAX {
        return Err(PatternError::new(Reason::TooMuch(Limit::Combinations)));
    }
    let mut all = Vec::with_capacity(left.len() * right.len());
    for combination in left {
        let Some((last, others)) = right.split_last() else { continue };
        for other in others {
            all.push(joined(combination.clone(), other)?);
        }
        all.push(joined(combination, last)?);
    }
    Ok(all)
}

fn joined(mut one: Combination, other: &Combination) -> Result<Combination, PatternError> {
    for (path, condition) in other {
        if one.insert(Arc::clone(path), Arc::clone(condition)).is_some() {
            let name = path.last().map_or("", |name| name);
            return Err(PatternError::new(Reason::Twice(quoted(name))));
        }
    }
    if one.len() > FIELDS_MAX {
        return Err(PatternError::new(Reason::TooMuch(Limit::Fields)));
    }
    Ok(one)
}
