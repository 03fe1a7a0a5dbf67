//! A second statement of what a pattern means, slow and without any cleverness: it tries every choice there is.
//!
//! It shares no code with the crate: patterns and events are `serde_json` values, `$or` is expanded by hand, and the array
//! rule is event-ruler's own wording: no two fields may lie within objects in different elements of one array.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a pattern that was accepted has this shape"
)]

use std::collections::BTreeMap;

use serde_json::{Number, Value};

/// A leaf: the names that lead to it, its value, and for each array around its object the element it is in.
struct Leaf<'e> {
    path: Vec<String>,
    value: &'e Value,
    elements: BTreeMap<usize, usize>,
}

type Field<'p> = (Vec<String>, &'p Vec<Value>);

/// Whether the pattern, which must be a valid one, matches.
pub(crate) fn matches(pattern: &Value, event: &Value) -> bool {
    let mut leaves = Vec::new();
    let mut arrays = 0;
    collect(event, &mut Vec::new(), &BTreeMap::new(), None, &mut arrays, &mut leaves);
    combinations(pattern, &[]).iter().any(|fields| choose(fields, &leaves, &BTreeMap::new(), &mut Vec::new()))
}

/// `inner` are the elements of arrays between the last name and here: they count for the fields of an object only.
fn collect<'e>(
    value: &'e Value,
    path: &mut Vec<String>,
    outer: &BTreeMap<usize, usize>,
    inner: Option<&BTreeMap<usize, usize>>,
    arrays: &mut usize,
    leaves: &mut Vec<Leaf<'e>>,
) {
    match value {
        Value::Object(members) => {
            let elements = inner.unwrap_or(outer).clone();
            for (name, member) in members {
                path.push(name.clone());
                collect(member, path, &elements, None, arrays, leaves);
                path.pop();
            }
        }
        Value::Array(items) => {
            let array = *arrays;
            *arrays += 1;
            for (at, item) in items.iter().enumerate() {
                let mut elements = inner.unwrap_or(outer).clone();
                elements.insert(array, at);
                collect(item, path, outer, Some(&elements), arrays, leaves);
            }
        }
        leaf => leaves.push(Leaf { path: path.clone(), value: leaf, elements: outer.clone() }),
    }
}

/// Every way to resolve the `$or`s: lists of fields with their alternatives.
fn combinations<'p>(pattern: &'p Value, path: &[String]) -> Vec<Vec<Field<'p>>> {
    let mut all: Vec<Vec<Field<'p>>> = vec![Vec::new()];
    for (name, value) in pattern.as_object().unwrap() {
        let below = [path, std::slice::from_ref(name)].concat();
        let ways: Vec<Vec<Field<'p>>> = match value {
            Value::Array(items) if name == "$or" && items.len() > 1 && items.iter().all(Value::is_object) => {
                items.iter().flat_map(|item| combinations(item, path)).collect()
            }
            Value::Array(items) => vec![vec![(below, items)]],
            object => combinations(object, &below),
        };
        let each = |one: &Vec<Field<'p>>| -> Vec<Vec<Field<'p>>> {
            ways.iter().map(|way| [one.as_slice(), way.as_slice()].concat()).collect()
        };
        all = all.iter().flat_map(each).collect();
    }
    all
}

/// Tries every leaf for the first field, then the other fields; fields taken as absent are judged at the end.
fn choose(
    fields: &[Field<'_>],
    leaves: &[Leaf<'_>],
    elements: &BTreeMap<usize, usize>,
    absent: &mut Vec<Vec<String>>,
) -> bool {
    let Some(((path, alternatives), rest)) = fields.split_first() else {
        return absent.iter().all(|path| {
            !leaves.iter().any(|leaf| leaf.path == *path && agree(elements, &leaf.elements).is_some())
        });
    };
    for leaf in leaves.iter().filter(|leaf| leaf.path == *path) {
        if let Some(both) = agree(elements, &leaf.elements)
            && alternatives.iter().any(|alternative| holds(alternative, leaf.value))
            && choose(rest, leaves, &both, absent)
        {
            return true;
        }
    }
    if alternatives.iter().any(|alternative| alternative["exists"] == Value::Bool(false)) {
        absent.push(path.clone());
        let found = choose(rest, leaves, elements, absent);
        absent.pop();
        return found;
    }
    false
}

fn agree(one: &BTreeMap<usize, usize>, other: &BTreeMap<usize, usize>) -> Option<BTreeMap<usize, usize>> {
    let mut both = one.clone();
    for (array, element) in other {
        if *both.entry(*array).or_insert(*element) != *element {
            return None;
        }
    }
    Some(both)
}

/// In millionths; the tests use no finer numbers.
fn millionths(number: &Number) -> i128 {
    let text = number.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    assert!(fraction.len() <= 6 && !text.contains('e'), "{text}");
    format!("{whole}{fraction:0<6}").parse().unwrap()
}

fn holds(alternative: &Value, leaf: &Value) -> bool {
    let Value::Object(operator) = alternative else { return same(alternative, leaf) };
    let (name, operand) = operator.iter().next().unwrap();
    match (name.as_str(), leaf) {
        ("exists", _) => operand == &Value::Bool(true),
        ("anything-but", _) => !any(operand, |one| match one {
            Value::Object(inner) => {
                let (name, operand) = inner.iter().next().unwrap();
                any(operand, |text| holds(&serde_json::json!({name: text}), leaf))
            }
            plain => same(plain, leaf),
        }),
        ("numeric", Value::Number(number)) => operand.as_array().unwrap().chunks(2).all(|pair| {
            let (number, bound) = (millionths(number), millionths(pair[1].as_number().unwrap()));
            match pair[0].as_str().unwrap() {
                "=" => number == bound,
                "<" => number < bound,
                "<=" => number <= bound,
                ">" => number > bound,
                ">=" => number >= bound,
                other => panic!("{other}"),
            }
        }),
        (name, Value::String(text)) => match (name, operand) {
            ("prefix", Value::String(start)) => text.starts_with(start),
            ("suffix", Value::String(end)) => text.ends_with(end),
            ("prefix", inner) => text.to_lowercase().starts_with(&without_case(inner)),
            ("suffix", inner) => text.to_lowercase().ends_with(&without_case(inner)),
            ("equals-ignore-case", Value::String(other)) => text.to_lowercase() == other.to_lowercase(),
            ("exactly", other) => leaf == other,
            ("wildcard", Value::String(glob)) => {
                wild(&glob.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>())
            }
            ("cidr", Value::String(network)) => in_network(network, text),
            ("numeric", _) => false,
            other => panic!("{other:?}"),
        },
        _ => false,
    }
}

fn any(operand: &Value, test: impl Fn(&Value) -> bool) -> bool {
    if let Value::Array(items) = operand { items.iter().any(test) } else { test(operand) }
}

fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => millionths(one) == millionths(other),
        _ => one == other,
    }
}

fn without_case(inner: &Value) -> String {
    inner["equals-ignore-case"].as_str().unwrap().to_lowercase()
}

/// Tries every length for every wildcard.
fn wild(glob: &[char], text: &[char]) -> bool {
    match glob {
        [] => text.is_empty(),
        ['*', rest @ ..] => (0..=text.len()).any(|skipped| wild(rest, &text[skipped..])),
        ['\\', letter, rest @ ..] | [letter, rest @ ..] => {
            text.first() == Some(letter) && wild(rest, &text[1..])
        }
    }
}

/// IPv4 only: bit by bit.
fn in_network(network: &str, text: &str) -> bool {
    let bits = |address: &str| -> Option<Vec<u8>> {
        let bytes = address.parse::<std::net::Ipv4Addr>().ok()?.octets();
        Some(bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect())
    };
    let (address, prefix) = network.split_once('/').unwrap();
    let prefix: usize = prefix.parse().unwrap();
    bits(text).is_some_and(|text| text[..prefix] == bits(address).unwrap()[..prefix])
}
