//! Every limit holds: at the limit it is accepted, one above it is refused; and hostile input costs bounded time.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use serde_json::json;
use waag_pattern::limits::*;
use waag_pattern::{EventError, Limit, Pattern, Reason, RuleId, RuleSet, Scratch};

fn refused(pattern: &str) -> Option<Limit> {
    match Pattern::parse(pattern.as_bytes()) {
        Ok(_) => None,
        Err(error) => {
            assert_eq!(error.code(), "E1101", "{error}");
            let Reason::TooMuch(limit) = error.reason else { panic!("{error}") };
            Some(limit)
        }
    }
}

#[test]
fn pattern_bytes_max() {
    let pattern = |bytes: usize| format!(r#"{{"a":["{}"]}}"#, "x".repeat(bytes - 10));
    assert_eq!(pattern(PATTERN_BYTES_MAX).len(), PATTERN_BYTES_MAX);
    assert_eq!(refused(&pattern(PATTERN_BYTES_MAX)), None);
    assert_eq!(refused(&pattern(PATTERN_BYTES_MAX + 1)), Some(Limit::Bytes));
}

#[test]
fn pattern_depth_max() {
    let pattern = |depth: usize| format!("{}[1]{}", r#"{"a":"#.repeat(depth - 1), "}".repeat(depth - 1));
    assert_eq!(refused(&pattern(PATTERN_DEPTH_MAX)), None);
    assert_eq!(refused(&pattern(PATTERN_DEPTH_MAX + 1)), Some(Limit::Depth));
    assert_eq!(refused(&r#"{"a":"#.repeat(10_000)), Some(Limit::Depth));
}

#[test]
fn combinations_max() {
    let or = |name: &str, count: usize| {
        let alternatives: Vec<_> = (0..count).map(|n| json!({format!("{name}{n}"): [n]})).collect();
        json!({ "$or": alternatives })
    };
    let pattern = |last: usize| json!({"x": or("a", 10), "y": or("b", 10), "z": or("c", last)}).to_string();
    assert_eq!(COMBINATIONS_MAX, 1_000);
    assert_eq!(refused(&pattern(10)), None);
    assert_eq!(refused(&pattern(11)), Some(Limit::Combinations));
    assert_eq!(refused(&or("a", COMBINATIONS_MAX).to_string()), None);
    assert_eq!(refused(&or("a", COMBINATIONS_MAX + 1).to_string()), Some(Limit::Combinations));
    // A pattern of a few hundred bytes that would multiply out to 2^40.
    let nested: serde_json::Map<_, _> = (0..40).map(|n| (n.to_string(), or("a", 2))).collect();
    assert_eq!(refused(&json!(nested).to_string()), Some(Limit::Combinations));
}

#[test]
fn fields_max() {
    let pattern = |count: usize| {
        let fields: serde_json::Map<_, _> = (0..count).map(|n| (format!("f{n}"), json!([n]))).collect();
        json!(fields).to_string()
    };
    assert_eq!(refused(&pattern(FIELDS_MAX)), None);
    assert_eq!(refused(&pattern(FIELDS_MAX + 1)), Some(Limit::Fields));
}

#[test]
fn alternatives_max() {
    let many = |count: usize| (0..count).map(|n| json!(n)).collect::<Vec<_>>();
    let texts = |count: usize| (0..count).map(|n| json!(n.to_string())).collect::<Vec<_>>();
    assert_eq!(refused(&json!({"a": many(ALTERNATIVES_MAX)}).to_string()), None);
    assert_eq!(refused(&json!({"a": many(ALTERNATIVES_MAX + 1)}).to_string()), Some(Limit::Alternatives));
    for operand in [many, texts] {
        let but = |count| json!({"a": [{"anything-but": operand(count)}]}).to_string();
        assert_eq!(refused(&but(ALTERNATIVES_MAX)), None);
        assert_eq!(refused(&but(ALTERNATIVES_MAX + 1)), Some(Limit::Alternatives));
    }
}

#[test]
fn wildcards_max() {
    let glob = |count: usize| "*x".repeat(count);
    let operands = [
        |glob: String| json!({"wildcard": glob}),
        |glob: String| json!({"anything-but": {"wildcard": glob}}),
    ];
    for operand in operands {
        let pattern = |count| json!({"a": [operand(glob(count))]}).to_string();
        assert_eq!(refused(&pattern(WILDCARDS_MAX)), None);
        assert_eq!(refused(&pattern(WILDCARDS_MAX + 1)), Some(Limit::Wildcards));
    }
}

#[test]
fn number_digits_max_and_number_exponent_max() {
    let digits = |count: usize| "7".repeat(count);
    for form in [r#"{"a":[N]}"#, r#"{"a":[{"numeric":["<",N]}]}"#, r#"{"a":[{"anything-but":[N]}]}"#] {
        let pattern = |number: &str| form.replace('N', number);
        assert_eq!(refused(&pattern(&digits(NUMBER_DIGITS_MAX))), None);
        assert_eq!(refused(&pattern(&format!("-{}.000", digits(NUMBER_DIGITS_MAX)))), None);
        assert_eq!(refused(&pattern(&digits(NUMBER_DIGITS_MAX + 1))), Some(Limit::Number));
        assert_eq!(refused(&pattern(&format!("0.1e{NUMBER_EXPONENT_MAX}"))), None);
        assert_eq!(refused(&pattern(&format!("0.1e-{NUMBER_EXPONENT_MAX}"))), None);
        assert_eq!(refused(&pattern(&format!("0.1e{}", NUMBER_EXPONENT_MAX + 1))), Some(Limit::Number));
        assert_eq!(refused(&pattern(&format!("0.1e-{}", NUMBER_EXPONENT_MAX + 1))), Some(Limit::Number));
    }
}

fn rule(pattern: &str) -> RuleSet {
    let mut rules = RuleSet::new();
    rules.insert(RuleId(1), &Pattern::parse(pattern.as_bytes()).unwrap());
    rules
}

#[test]
fn event_bytes_max() {
    let rules = rule(r#"{"a":["x"]}"#);
    let event = |bytes: usize| format!(r#"{{"a":"x","b":"{}"}}"#, "x".repeat(bytes - 16));
    assert_eq!(event(EVENT_BYTES_MAX).len(), EVENT_BYTES_MAX);
    let mut scratch = Scratch::new();
    assert_eq!(rules.matches(event(EVENT_BYTES_MAX).as_bytes(), &mut scratch), Ok(&[RuleId(1)][..]));
    let above = rules.matches(event(EVENT_BYTES_MAX + 1).as_bytes(), &mut scratch);
    assert_eq!(above.map_err(|error| (error, error.code())), Err((EventError::TooLarge, "E1107")));
}

#[test]
fn event_depth_max() {
    // On the path of a rule, beside it, in arrays and in objects: whatever is looked at, the bound is the same.
    let deep =
        format!("{}[1]{}", r#"{"a":"#.repeat(PATTERN_DEPTH_MAX - 1), "}".repeat(PATTERN_DEPTH_MAX - 1));
    let mut scratch = Scratch::new();
    for rules in [rule(&deep), rule(r#"{"b":[1]}"#), RuleSet::new()] {
        for (open, close) in [(r#"{"a":"#, "}"), ("[", "]"), (r#"{"b":"#, "}")] {
            let event = |depth: usize| {
                format!(r#"{{"a":{}{}{}}}"#, open.repeat(depth - 2), "[]", close.repeat(depth - 2))
            };
            assert!(rules.matches(event(EVENT_DEPTH_MAX).as_bytes(), &mut scratch).is_ok());
            let above = rules.matches(event(EVENT_DEPTH_MAX + 1).as_bytes(), &mut scratch);
            assert_eq!(above, Err(EventError::TooDeep));
        }
    }
    let mut parsed = json!(1);
    for _ in 0..200 {
        parsed = json!([parsed]);
    }
    let event = json!({"b": parsed});
    assert_eq!(rule(r#"{"b":[1]}"#).matches_value(&event, &mut scratch), Err(EventError::TooDeep));
}

/// Work that does not end in time fails the test by the runner's own limit; the sizes are such that anything worse than
/// linear in the event, or exponential in the pattern, would take hours.
#[test]
fn hostile_patterns_and_events_cost_bounded_time() {
    let mut scratch = Scratch::new();
    // A thousand combinations of fields in arrays within arrays, none of which any element has whole.
    let or = |at: usize| json!([{format!("x{at}"): [1]}, {format!("y{at}"): [1]}]);
    let inner: serde_json::Map<_, _> = (0..9).map(|at| (format!("n{at}"), json!({"$or": or(at)}))).collect();
    let rules = rule(&json!({"a": {"b": {"c": inner}}}).to_string());
    let element = |at: usize| format!(r#"{{"n{}":[{{"x{}":1}},{{"y{}":1}}]}}"#, at % 9, at % 9, at % 9);
    let row = |width: usize| (0..width).map(element).collect::<Vec<_>>().join(",");
    let event = format!(r#"{{"a":[{{"b":[{{"c":[{}]}},{{"c":[{}]}}]}}]}}"#, row(3_000), row(3_000));
    assert_eq!(rules.matches(event.as_bytes(), &mut scratch), Ok(&[][..]));
    // Wildcards that backtracking would try in every place.
    let glob = "*a".repeat(WILDCARDS_MAX - 1) + "*b";
    let rules =
        rule(&json!({"t": [{"wildcard": glob}, {"anything-but": {"wildcard": [glob, "*c"]}}]}).to_string());
    let event = json!({"t": "a".repeat(900_000) + "c"}).to_string();
    assert_eq!(rules.matches(event.as_bytes(), &mut scratch), Ok(&[][..]));
    // Beginnings of one another, and a value that begins with all of them but the last.
    let mut rules = RuleSet::new();
    for length in 1..500 {
        let pattern =
            json!({"t": [{"prefix": "a".repeat(length)}, {"suffix": "b".repeat(length)}]}).to_string();
        rules.insert(RuleId(length as u64), &Pattern::parse(pattern.as_bytes()).unwrap());
    }
    let event = json!({"t": vec!["a".repeat(498) + "c"; 200]}).to_string();
    assert_eq!(rules.matches(event.as_bytes(), &mut scratch).unwrap().len(), 498);
    // One name a hundred thousand times: each earlier value is struck out once.
    let rules = rule(r#"{"a":{"b":[2]}}"#);
    let event =
        format!(r#"{{{}"a":{{"b":2}}}}"#, r#""a":{},"#.repeat(100_000) + &r#""a":[{"b":2}],"#.repeat(10_000));
    assert_eq!(rules.matches(event.as_bytes(), &mut scratch).unwrap().len(), 1);
}
