//! `PAT-1` and `PAT-3`: the compiled set and the slow reference agree on any patterns and any event, in any spelling of it,
//! as text and parsed, whatever other rules were inserted and removed.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "support/loose.rs"]
mod loose;
#[path = "support/reference.rs"]
mod reference;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use waag_fixtures::prng::SplitMix;
use waag_pattern::{Pattern, Reason, RuleId, RuleSet, Scratch};

const NAMES: [&str; 4] = ["a", "b", "c", "dé"];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "", "x", "xy", "Xy", "xyz", "é", "É", "xÉ", "yx", "10.0.0.1", "10.9.0.1", "1", "*", "x\\"
        ])
        .prop_map(str::to_owned),
        "[xyXY*é\\\\]{0,4}",
    ]
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![(-4..=4_i64).prop_map(Value::from), (-8..=8_i32).prop_map(|n| json!(f64::from(n) / 4.0))]
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => text().prop_map(Value::from),
        2 => number(),
        1 => prop::sample::select(vec![json!(true), json!(false), json!(null)]),
    ]
}

fn object(member: impl Strategy<Value = Value>, least: usize) -> impl Strategy<Value = Value> {
    prop::collection::btree_map(prop::sample::select(NAMES.to_vec()), member, least..4).prop_map(|members| {
        Value::Object(members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Map<_, _>>())
    })
}

fn event() -> impl Strategy<Value = Value> {
    let value = leaf().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            2 => object(inner.clone(), 0),
            3 => prop::collection::vec(object(inner.clone(), 0), 0..4).prop_map(Value::Array),
            1 => prop::collection::vec(inner, 0..3).prop_map(Value::Array),
        ]
    });
    object(value, 0)
}

/// A text whose `*` and `\` are escaped here and there, so that it is a valid wildcard.
fn glob() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["x", "y", "é", "X", "\\*", "\\\\", "*", "*x"]), 0..5)
        .prop_map(|pieces| pieces.concat().replace("**", "*").replace("**", "*"))
}

fn network() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["10.0.0.0/16", "10.0.0.0/8", "10.0.0.1/32", "0.0.0.0/0", "11.0.0.0/8"])
        .prop_map(str::to_owned)
}

fn numeric() -> impl Strategy<Value = Value> {
    let low = prop::sample::select(vec![">", ">="]);
    let high = prop::sample::select(vec!["<", "<="]);
    prop_oneof![
        (prop::sample::select(vec!["=", ">", ">=", "<", "<="]), number())
            .prop_map(|(one, n)| json!([one, n])),
        (low, -4..=0_i64, high, 1..=4_i64).prop_map(|(low, from, high, to)| json!([low, from, high, to])),
    ]
}

fn some(text: impl Strategy<Value = String> + Clone + 'static) -> impl Strategy<Value = Value> {
    prop_oneof![
        text.clone().prop_map(Value::from),
        prop::collection::vec(text.prop_map(Value::from), 1..3).prop_map(Value::Array)
    ]
}

fn but() -> impl Strategy<Value = Value> {
    let filled = "[xyé]{1,2}";
    prop_oneof![
        number(),
        prop::collection::vec(number(), 1..3).prop_map(Value::Array),
        some(text().boxed()),
        some(filled.boxed()).prop_map(|texts| json!({"prefix": texts})),
        some(filled.boxed()).prop_map(|texts| json!({"suffix": texts})),
        some(text().boxed()).prop_map(|texts| json!({"equals-ignore-case": texts})),
        some(glob().boxed()).prop_map(|texts| json!({"wildcard": texts})),
    ]
}

fn alternative() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => leaf(),
        2 => any::<bool>().prop_map(|is| json!({"exists": is})),
        1 => text().prop_map(|text| json!({"exactly": text})),
        1 => text().prop_map(|text| json!({"prefix": text})),
        1 => text().prop_map(|text| json!({"suffix": text})),
        1 => text().prop_map(|text| json!({"equals-ignore-case": text})),
        1 => text().prop_map(|text| json!({"prefix": {"equals-ignore-case": text}})),
        1 => text().prop_map(|text| json!({"suffix": {"equals-ignore-case": text}})),
        1 => glob().prop_map(|glob| json!({"wildcard": glob})),
        1 => network().prop_map(|network| json!({"cidr": network})),
        2 => numeric().prop_map(|comparison| json!({"numeric": comparison})),
        2 => but().prop_map(|operand| json!({"anything-but": operand})),
    ]
}

fn pattern() -> impl Strategy<Value = Value> {
    let field = prop::collection::vec(alternative(), 1..3).prop_map(Value::Array);
    let fields = object(field, 1).prop_recursive(3, 16, 3, |inner| {
        let or = prop::collection::vec(inner.clone(), 2..4).prop_map(Value::Array);
        prop_oneof![
            3 => object(prop_oneof![inner.clone(), prop::collection::vec(alternative(), 1..3).prop_map(Value::Array)], 1),
            1 => (inner, or).prop_map(|(fields, or)| {
                let mut fields = fields;
                fields.as_object_mut().unwrap().insert("$or".to_owned(), or);
                fields
            }),
        ]
    });
    fields.boxed()
}

/// Whether two values say the same. Numbers are compared as such: what `serde_json` keeps of their spelling depends on the
/// features that others ask it for.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let same = |(name, value)| other.get(name).is_some_and(|found| is_same(value, found));
            one.len() == other.len() && one.iter().all(same)
        }
        _ => one == other,
    }
}

/// Patterns as text and as values; those that name a field on both sides of a `$or` are left out.
fn accepted(patterns: &[Value]) -> Result<Vec<(&Value, Pattern)>, TestCaseError> {
    let mut accepted = Vec::new();
    for pattern in patterns {
        match Pattern::parse(pattern.to_string().as_bytes()) {
            Ok(compiled) => accepted.push((pattern, compiled)),
            Err(error) => prop_assert!(matches!(error.reason, Reason::Twice(_)), "{pattern}: {error}"),
        }
    }
    Ok(accepted)
}

/// Few values, many objects in arrays: here what matches in parts must not match together.
fn crowded() -> (impl Strategy<Value = Value>, impl Strategy<Value = Value>) {
    let value = (0..2_i32).prop_map(Value::from).prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            1 => object(inner.clone(), 1),
            3 => prop::collection::vec(object(inner, 1), 1..4).prop_map(Value::Array),
        ]
    });
    let alternatives = prop::sample::select(vec![
        json!([0]),
        json!([1]),
        json!([1]),
        json!([{"exists": true}]),
        json!([{"exists": false}]),
        json!([0, {"exists": false}]),
    ]);
    let field = alternatives.prop_recursive(3, 12, 3, |inner| object(inner, 1));
    let fields = object(field, 1);
    (object(value, 1), fields)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 20_000, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn the_set_and_the_reference_agree(
        patterns in prop::collection::vec(pattern(), 1..8),
        events in prop::collection::vec(event(), 1..4),
        seed: u64,
        gone in prop::collection::vec(any::<bool>(), 8),
    ) {
        let accepted = accepted(&patterns)?;
        let mut rules = RuleSet::new();
        let mut scratch = Scratch::new();
        let mut random = SplitMix::new(seed);
        for (id, (_, pattern)) in accepted.iter().enumerate() {
            rules.insert(RuleId(id as u64), pattern);
        }
        for round in 0..2 {
            for event in &events {
                let expected: Vec<RuleId> = (0_u64..).zip(&accepted)
                    .filter(|(id, _)| round == 0 || !gone[usize::try_from(*id).unwrap()])
                    .filter(|(_, (pattern, _))| reference::matches(pattern, event))
                    .map(|(id, _)| RuleId(id)).collect();
                let mut loose = String::new();
                loose::write(event, &mut random, &mut loose);
                prop_assert!(is_same(&serde_json::from_str(&loose).unwrap(), event), "{loose} is not {event}");
                prop_assert_eq!(rules.matches(event.to_string().as_bytes(), &mut scratch).unwrap(), &expected, "{}", event);
                prop_assert_eq!(rules.matches(loose.as_bytes(), &mut scratch).unwrap(), &expected, "{}", loose);
                prop_assert_eq!(rules.matches_value(event, &mut scratch).unwrap(), &expected, "{}", event);
            }
            for id in (0_u64..).zip(&gone).filter(|(_, gone)| **gone).map(|(id, _)| id) {
                let was_there = usize::try_from(id).unwrap() < accepted.len();
                prop_assert_eq!(rules.remove(RuleId(id)), round == 0 && was_there);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(800) })]

    #[test]
    fn in_crowded_arrays_they_agree_too(
        patterns in prop::collection::vec(crowded().1, 12),
        events in prop::collection::vec(crowded().0, 6),
    ) {
        let accepted = accepted(&patterns)?;
        let mut rules = RuleSet::new();
        let mut scratch = Scratch::new();
        (0..).zip(&accepted).for_each(|(id, (_, pattern))| rules.insert(RuleId(id), pattern));
        for event in &events {
            let expected: Vec<RuleId> = (0..).zip(&accepted)
                .filter(|(_, (pattern, _))| reference::matches(pattern, event))
                .map(|(id, _)| RuleId(id)).collect();
            prop_assert_eq!(rules.matches(event.to_string().as_bytes(), &mut scratch).unwrap(), &expected, "{}", event);
        }
    }
}
