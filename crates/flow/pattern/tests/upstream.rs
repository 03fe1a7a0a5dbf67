//! The public test data of aws/event-ruler: its correctness cases, its performance scenarios, and its pattern files.
//!
//! They are not part of this repository: the folder that holds them is named by `WAAG_TEST_DATA`, and without it each test
//! says what it skipped. The correctness cases come without verdicts (upstream's test compares two of its engines); those that
//! do not match are in `NO_MATCH`, read from their names and from upstream's rule about arrays.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a file that cannot be read fails the test; what was skipped is said"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use waag_pattern::Pattern;

fn data(what: &str) -> Option<PathBuf> {
    let Some(data) = std::env::var_os("WAAG_TEST_DATA") else {
        println!("skipped: {what} of event-ruler, WAAG_TEST_DATA is not set");
        return None;
    };
    Some(Path::new(&data).join("patterns"))
}

fn json(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
}

fn matches(pattern: &Value, event: &str) -> bool {
    Pattern::parse(pattern.to_string().as_bytes()).unwrap().matches(event.as_bytes()).unwrap()
}

/// The correctness cases that do not match; all others do.
const NO_MATCH: [&str; 18] = [
    "flat: 2-field exists, one missing",
    "flat: exact mismatch",
    "objarray: split",
    "objarray: 3-field, split 3 ways",
    "objarray: exact split",
    "objarray: prefix split",
    "primarray: no match",
    "nested: inner split",
    "nested: outer split",
    "nested2: split leaf",
    "mixed: array+scalar fail",
    "exists-false: present",
    "empty object",
    "empty array",
    "primarray: large + scalar, no match",
    "primarray: empty prim array",
    "mixed: obj-array split + prim-array",
    "suffix match split",
];

#[test]
fn correctness_cases() {
    let Some(folder) = data("correctness cases") else { return };
    let cases = json(&folder, "correctness-cases.json");
    let cases = cases.as_array().unwrap();
    let mut no = 0;
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let expected = !NO_MATCH.contains(&name);
        no += usize::from(!expected);
        assert_eq!(matches(&case["rule"], &case["event"].to_string()), expected, "{name}");
    }
    assert_eq!((cases.len(), no), (51, NO_MATCH.len()));
    println!(
        "correctness cases: {} of {} as expected, {no} of them without a match",
        cases.len(),
        cases.len()
    );
}

/// `count` pieces with commas between them.
fn list(count: usize, piece: impl Fn(usize) -> String) -> String {
    (0..count).map(piece).collect::<Vec<_>>().join(",")
}

/// The event of a scenario, made as the scenario's notes describe it.
fn scenario(generator: &str, n: usize) -> String {
    let tags = |prefix: &str| list(n, |i| format!("\"{prefix}{i}\""));
    match generator {
        "primArrayPlusScalar" => format!(r#"{{"d":{{"tags":[{}],"type":"G"}}}}"#, tags("t")),
        "primArrayOnly" => format!(r#"{{"d":{{"tags":[{}]}}}}"#, tags("t")),
        "objArrayBothFields" => {
            format!(r#"{{"d":[{}]}}"#, list(n, |i| format!(r#"{{"a":"{i}","b":"{i}"}}"#)))
        }
        "objArrayLastValid" => {
            let partial = list(n - 1, |i| format!(r#"{{"a":"{i}"}}"#));
            format!(r#"{{"d":[{partial},{{"a":"x","b":"y"}}]}}"#)
        }
        "objArrayAllPartial" => {
            let side = |i: usize| if i.is_multiple_of(2) { "a" } else { "b" };
            format!(r#"{{"d":[{}]}}"#, list(n, |i| format!(r#"{{"{}":"{i}"}}"#, side(i))))
        }
        "customerLike" => format!(
            r#"{{"detail":{{"data":{{"name":[{}],"type":"G","domains":{{"email":"t@x"}}}},"context":{{"companyId":"c","userId":"u","email":"a@b"}}}}}}"#,
            tags("u")
        ),
        "primInsideObjArray" => {
            let element = format!(r#"{{"name":[{}],"type":"G"}}"#, tags("u"));
            format!(r#"{{"detail":{{"data":[{element},{element},{element}]}}}}"#)
        }
        "noObjArrayLargePrim" => format!(r#"{{"detail":{{"data":{{"name":[{}],"type":"G"}}}}}}"#, tags("u")),
        "nested2Level" => {
            let inner = |i: usize| list(10, |j| format!(r#"{{"x":"{i}_{j}","y":"{i}_{j}"}}"#));
            format!(r#"{{"a":[{}]}}"#, list(n, |i| format!(r#"{{"b":[{}]}}"#, inner(i))))
        }
        "deepNestedPrim" => {
            let element = format!(r#"{{"b":{{"tags":[{}],"type":"G"}}}}"#, tags("t"));
            format!(r#"{{"a":[{element},{element},{element}]}}"#)
        }
        "wideRulePrimArray" => format!(r#"{{"d":{{"a":[{}],"b":"x","c":"y"}}}}"#, tags("t")),
        "twoPrimArrays" => format!(r#"{{"tags":[{}],"cats":[{}],"v":"1"}}"#, tags("t"), tags("c")),
        "controlScalar" => r#"{"a":"1","b":"2"}"#.to_owned(),
        other => unreachable_generator(other),
    }
}

#[expect(clippy::panic, reason = "a scenario that nobody can make fails the test")]
fn unreachable_generator(name: &str) -> String {
    panic!("`{name}` is not known")
}

#[test]
fn performance_scenarios() {
    let Some(folder) = data("performance scenarios") else { return };
    let scenarios = json(&folder, "perf-scenarios.json");
    let (mut count, mut bytes) = (0, 0);
    for scenario_of in scenarios.as_array().unwrap() {
        for size in scenario_of["sizes"].as_array().unwrap() {
            let event = scenario(
                scenario_of["generator"].as_str().unwrap(),
                usize::try_from(size.as_u64().unwrap()).unwrap(),
            );
            let expected = scenario_of["expectedMatches"] == 1;
            assert_eq!(
                matches(&scenario_of["rule"], &event),
                expected,
                "{} of size {size}",
                scenario_of["name"]
            );
            count += 1;
            bytes += event.len();
        }
    }
    assert_eq!(scenarios.as_array().unwrap().len(), 16);
    println!("performance scenarios: 16 of 16, {count} events of {bytes} bytes together, as expected");
}

#[test]
fn pattern_files() {
    let Some(folder) = data("pattern files") else { return };
    let events: Vec<String> = (1..=4)
        .map(|n| std::fs::read_to_string(folder.join(format!("arrayEvent{n}.json"))).unwrap())
        .collect();
    let mut table = String::new();
    for rule in 1..=4 {
        let pattern = json(&folder, &format!("arrayRule{rule}.json"));
        for event in &events {
            write!(table, "{}", u8::from(matches(&pattern, event))).unwrap();
        }
        table.push(' ');
    }
    assert_eq!(table, ARRAY_RULES);
    let big = std::fs::read_to_string(folder.join("bigEvent.json")).unwrap();
    assert!(matches(&json(&folder, "bigEventRule.json"), &big));
    let parsed = |name: &str| -> Vec<bool> {
        let patterns = json(&folder, name);
        let parse = |pattern: &Value| Pattern::parse(pattern.to_string().as_bytes()).is_ok();
        patterns.as_array().unwrap().iter().map(parse).collect()
    };
    assert_eq!(parsed("orRelationshipRules.json"), [true; 5]);
    assert_eq!(parsed("wrongOrRelationshipRules.json"), [false; 2]);
    assert_eq!(parsed("normalRulesWithOrWording.json"), [true; 4]);
    println!(
        "array rules: 16 of 16; big event: 1 of 1; `$or` rules: 5 of 5 taken, 2 of 2 refused, 4 of 4 read as fields"
    );
}

/// Rows are `arrayRule1` to 4, columns `arrayEvent1` to 4.
const ARRAY_RULES: &str = "1000 1000 0001 0011 ";
