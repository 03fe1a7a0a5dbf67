//! What must hold of the matcher for any bytes at all; shared by the corpus test and the fuzz target.
//!
//! The input is a pattern and an event with a line feed between them; without one it is tried as both.

use serde_json::Value;
use waag_pattern::{EventError, Pattern, RuleId, RuleSet, Scratch};

/// Panics where text and parsed event are answered differently, where an answer depends on a neighbour or on what was there
/// before, where what is read as JSON differs from `serde_json`, or where an error is not fit to be shown.
///
/// Answers whether the input is a pattern and an event that it matches.
pub(crate) fn holds_for(input: &[u8]) -> bool {
    let split = input.iter().position(|byte| *byte == b'\n');
    let (pattern, event) = split.map_or((input, input), |at| input.split_at(at));
    let neighbour = Pattern::parse(br#"{"a": {"b": [{"exists": true}], "c": [{"exists": false}]}}"#);
    let mut rules = RuleSet::new();
    let mut scratch = Scratch::new();
    let parsed_pattern = Pattern::parse(pattern);
    let Ok(compiled) = &parsed_pattern else {
        let Err(error) = parsed_pattern else { return false };
        assert!(error.path.is_empty() || error.path.starts_with('/'), "{error}");
        assert!(!error.to_string().contains(char::is_control), "{error}");
        assert!(!error.code().is_empty());
        read_alike(event, rules.matches(event, &mut scratch).map(<[RuleId]>::len).err());
        return false;
    };
    assert!(
        serde_json::from_slice::<Value>(pattern).is_ok() || is_beyond_serde_json(pattern),
        "accepted, yet no JSON"
    );
    rules.insert(RuleId(1), compiled);
    let alone = rules.matches(event, &mut scratch).map(|found| !found.is_empty());
    neighbour.iter().for_each(|neighbour| rules.insert(RuleId(0), neighbour));
    let beside = rules.matches(event, &mut scratch).map(|found| found.contains(&RuleId(1)));
    rules.insert(RuleId(1), compiled);
    rules.remove(RuleId(0));
    let again = rules.matches(event, &mut scratch).map(|found| !found.is_empty());
    assert_eq!((alone, alone), (beside, again));
    read_alike(event, alone.err());
    // Parsing rounds numbers, so only events without fractions and exponents must be answered alike.
    if let (Ok(found), Ok(value)) = (alone, serde_json::from_slice::<Value>(event))
        && has_small_integers(&value)
    {
        assert_eq!(rules.matches_value(&value, &mut scratch).map(|of_value| !of_value.is_empty()), Ok(found));
    }
    alone == Ok(true)
}

/// The same bytes are JSON to us and to `serde_json`, but for depth, size and numbers beyond an `f64`.
fn read_alike(event: &[u8], error: Option<EventError>) {
    let theirs = serde_json::from_slice::<Value>(event);
    match error {
        None => assert!(theirs.is_ok_and(|value| value.is_object()) || is_beyond_serde_json(event)),
        Some(EventError::NotJson { offset, .. }) => assert!(offset <= event.len() && theirs.is_err()),
        Some(EventError::NotAnObject) => assert!(!theirs.is_ok_and(|value| value.is_object())),
        Some(EventError::TooLarge | EventError::TooDeep) => {}
    }
}

/// Whether `serde_json` refuses because a number is beyond an `f64` or because of depth, and not for the grammar.
fn is_beyond_serde_json(text: &[u8]) -> bool {
    let beyond = |error: serde_json::Error| {
        let why = error.to_string();
        why.contains("number out of range") || why.contains("recursion limit")
    };
    serde_json::from_slice::<Value>(text).is_err_and(beyond)
}

fn has_small_integers(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_i64() || number.is_u64(),
        Value::Array(items) => items.iter().all(has_small_integers),
        Value::Object(members) => members.values().all(has_small_integers),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}
