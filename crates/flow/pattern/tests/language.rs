//! The pattern language by example: what each operator matches, and what is refused, where, and in which words.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use serde_json::{Value, json};
use waag_pattern::{EventError, Pattern, RuleId, RuleSet, Scratch};

/// The answer for an event as text, which is the same for it parsed.
fn matches(pattern: &str, event: &str) -> bool {
    let compiled = Pattern::parse(pattern.as_bytes()).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    let answer = compiled.matches(event.as_bytes()).unwrap_or_else(|error| panic!("{event}: {error}"));
    let mut rules = RuleSet::new();
    rules.insert(RuleId(3), &compiled);
    let parsed: Value = serde_json::from_str(event).unwrap();
    let of_parsed = rules.matches_value(&parsed, &mut Scratch::new()).unwrap().to_vec();
    assert_eq!(of_parsed, if answer { vec![RuleId(3)] } else { Vec::new() }, "{pattern} {event}");
    answer
}

/// `alternative` against the value of `a`: values that match, and values that do not.
fn check(alternative: &str, yes: &[&str], no: &[&str]) {
    let pattern = format!(r#"{{"a": [{alternative}]}}"#);
    for (values, expected) in [(yes, true), (no, false)] {
        for value in values {
            assert_eq!(matches(&pattern, &format!(r#"{{"a": {value}}}"#)), expected, "{alternative} {value}");
            assert_eq!(
                matches(&pattern, &format!(r#"{{"a": [{value}]}}"#)),
                expected,
                "{alternative} [{value}]"
            );
            // In an object below, it is the value of another field.
            assert!(!matches(&pattern, &format!(r#"{{"b": {value}}}"#)) || alternative.contains("false}"));
        }
    }
}

#[test]
fn exact_values() {
    check(
        r#""x""#,
        &[r#""x""#, r#""\u0078""#, r#"["y", "x"]"#],
        &[r#""X""#, r#""""#, r#""xx""#, "1", "null", r#"{"x": 1}"#],
    );
    check(r#""""#, &[r#""""#], &["null", "0", r#"" ""#]);
    check(r#"{"exactly": "x"}"#, &[r#""x""#], &[r#""y""#]);
    check("null", &["null"], &[r#""null""#, r#""""#, "false", "[]", "{}"]);
    check("true", &["true"], &[r#""true""#, "false", "1"]);
    check("300", &["300", "300.0", "3.0e2", "30000e-2"], &[r#""300""#, "301", "-300", "300.1"]);
    check("9007199254740993", &["9007199254740993"], &["9007199254740992"]);
    check("0.1", &["0.1", "1e-1"], &["0.10000000000000002", "1"]);
}

#[test]
fn a_number_is_compared_digit_by_digit_where_the_event_is_text() {
    let holds = |pattern: &str, event: &str| {
        Pattern::parse(pattern.as_bytes()).unwrap().matches(event.as_bytes()).unwrap()
    };
    let account = r#"{"a": [12345678901234567890123456789012345678]}"#;
    assert!(holds(account, r#"{"a": 12345678901234567890123456789012345678.0}"#));
    assert!(!holds(account, r#"{"a": 12345678901234567890123456789012345679}"#));
    assert!(!holds(account, r#"{"a": 12345678901234567890123456789012345678.00000000000000000000001}"#));
    assert!(holds(r#"{"a": [{"numeric": [">", 1e308]}]}"#, r#"{"a": 1e999}"#));
    assert!(holds(r#"{"a": [{"numeric": ["<", 5000000000.000001]}]}"#, r#"{"a": 5000000000.0000009}"#));
}

#[test]
fn numeric() {
    check(r#"{"numeric": ["=", 3.018e2]}"#, &["301.8"], &["301.80001", r#""301.8""#]);
    check(r#"{"numeric": ["<", 10]}"#, &["9.999999", "-1e300"], &["10", "10.0", "null", r#""9""#, "true"]);
    check(r#"{"numeric": ["<=", 10]}"#, &["10.00"], &["10.000001"]);
    check(r#"{"numeric": [">", -0.5]}"#, &["-0.4", "0"], &["-0.5", "-0.50", "-3"]);
    check(r#"{"numeric": [">=", -0.5]}"#, &["-0.5"], &["-0.500001"]);
    check(r#"{"numeric": [">", 0, "<=", 5]}"#, &["0.000001", "5", "[9, 5]"], &["0", "5.1", "[0, 6]"]);
}

#[test]
fn text_operators() {
    check(r#"{"prefix": "ab"}"#, &[r#""ab""#, r#""abc""#], &[r#""a""#, r#""Abc""#, "12"]);
    check(r#"{"prefix": ""}"#, &[r#""""#, r#""x""#], &["1", "null"]);
    check(r#"{"suffix": "é."}"#, &[r#""é.""#, r#""x\u00e9.""#], &[r#"".""#, r#""é""#]);
    check(r#"{"equals-ignore-case": "Straße"}"#, &[r#""STRAßE""#], &[r#""STRASSE""#, r#""straße ""#]);
    check(r#"{"prefix": {"equals-ignore-case": "EC2"}}"#, &[r#""ec2x""#], &[r#""xec2""#]);
    check(r#"{"suffix": {"equals-ignore-case": ".PNG"}}"#, &[r#""a.Png""#, r#"".PNG""#], &[r#""png""#]);
    check(
        r#"{"wildcard": "Simple*Service"}"#,
        &[r#""SimpleService""#, r#""Simple-Queue-Service""#],
        &[r#""SimpleService2""#],
    );
    check(r#"{"wildcard": "\\*\\\\*"}"#, &[r#""*\\""#, r#""*\\x""#], &[r#""x\\""#, r#""*x""#]);
    check(
        r#"{"cidr": "10.0.0.0/24"}"#,
        &[r#""10.0.0.33""#],
        &[r#""10.0.1.0""#, r#""10.0.0.0/24""#, r#""x""#, "10"],
    );
    check(r#"{"cidr": "2001:db8::/32"}"#, &[r#""2001:0DB8::1""#], &[r#""2001:db9::""#, r#""10.0.0.1""#]);
}

#[test]
fn exists_is_about_leaves() {
    check(
        r#"{"exists": true}"#,
        &["1", "null", r#""""#, "false", "[[], [0]]"],
        &["[]", "{}", r#"{"b": 1}"#, r#"[{"b": 1}]"#],
    );
    check(
        r#"{"exists": false}"#,
        &["[]", "{}", r#"{"c1": 100}"#],
        &["null", "0", r#""""#, r#"[{"b": 1}, 2]"#],
    );
    let below = r#"{"a": {"b": [{"exists": false}]}}"#;
    for event in
        ["{}", r#"{"a": 1}"#, r#"{"a": {}}"#, r#"{"a": []}"#, r#"{"a": {"b": {"c": 1}}}"#, r#"{"b": 1}"#]
    {
        assert!(matches(below, event), "{event}");
    }
    assert!(!matches(below, r#"{"a": {"b": null}}"#));
    assert!(!matches(below, r#"{"a": [{"c": 1}, {"b": 1}]}"#), "alone it means nowhere");
}

#[test]
fn anything_but_is_any_leaf_of_whatever_type_but_these() {
    check(
        r#"{"anything-but": "x"}"#,
        &[r#""y""#, "1", "null", "true", r#"["x", "y"]"#],
        &[r#""x""#, "[]", "{}"],
    );
    check(r#"{"anything-but": ["x", "y"]}"#, &[r#""z""#, "1"], &[r#""x""#, r#"["y", "x"]"#]);
    check(r#"{"anything-but": 300}"#, &["301", r#""300""#], &["300", "3e2"]);
    check(r#"{"anything-but": [100, 200]}"#, &["150", "null"], &["100.0", "200"]);
    check(r#"{"anything-but": {"prefix": "x"}}"#, &[r#""y""#, "1"], &[r#""x""#, r#""xy""#]);
    check(r#"{"anything-but": {"prefix": ["x", "y"]}}"#, &[r#""z""#], &[r#""xa""#, r#""ya""#]);
    check(r#"{"anything-but": {"suffix": "x"}}"#, &[r#""y""#], &[r#""x""#, r#""yx""#]);
    check(r#"{"anything-but": {"suffix": ["x", "y"]}}"#, &[r#""z""#], &[r#""ax""#, r#""ay""#]);
    check(r#"{"anything-but": {"equals-ignore-case": "x"}}"#, &[r#""y""#, "0"], &[r#""X""#]);
    check(r#"{"anything-but": {"equals-ignore-case": ["x", "y"]}}"#, &[r#""z""#], &[r#""Y""#]);
    check(r#"{"anything-but": {"wildcard": "*/bin/*.jar"}}"#, &[r#""/bin/a.class""#], &[r#""/bin/a.jar""#]);
    check(r#"{"anything-but": {"wildcard": ["*.a", "*.b"]}}"#, &[r#""x.c""#], &[r#""x.a""#, r#""x.b""#]);
}

#[test]
fn fields_of_an_array_match_in_one_element() {
    let one = r#"{"employees": {"firstName": ["Anna"], "lastName": ["Jones"]}}"#;
    let two = r#"{"employees": {"firstName": ["Anna"], "lastName": ["Smith"]}}"#;
    let flat = r#"{"employees": [{"firstName": "Anna", "lastName": "Smith"}, {"firstName": "Peter", "lastName": "Jones"}]}"#;
    let nested = r#"{"employees": [[{"firstName": "Anna", "lastName": "Smith"}], [{"firstName": "Peter", "lastName": "Jones"}]]}"#;
    for event in [flat, nested] {
        assert!(!matches(one, event) && matches(two, event));
    }
    // Across a `$or` as well, and with what must be absent.
    let or = r#"{"d": {"x": [1]}, "$or": [{"d": {"y": [2]}}, {"e": [3]}]}"#;
    assert!(!matches(or, r#"{"d": [{"x": 1}, {"y": 2}]}"#) && matches(or, r#"{"d": [{"x": 1, "y": 2}]}"#));
    assert!(matches(or, r#"{"d": [{"x": 1}, {"y": 2}], "e": 3}"#));
    for (present, absent) in [("a", "b"), ("b", "a")] {
        let pattern = json!({"d": {present: [1], absent: [{"exists": false}]}}).to_string();
        let event = |other: i32| json!({"d": [{present: 1, absent: 0}, {present: other}]}).to_string();
        assert!(matches(&pattern, &event(1)) && !matches(&pattern, &event(2)), "no matter how names sort");
    }
}

#[test]
fn or_is_an_operator_or_a_name() {
    let or = r#"{"s": ["x"], "$or": [{"a": [1]}, {"b": [2], "$or": [{"c": [3]}, {"d": [4]}]}]}"#;
    for (event, expected) in [
        (json!({"s": "x", "a": 1}), true),
        (json!({"s": "x", "b": 2, "d": 4}), true),
        (json!({"s": "x", "b": 2}), false),
        (json!({"s": "x", "c": 3}), false),
        (json!({"s": "y", "a": 1}), false),
    ] {
        assert_eq!(matches(or, &event.to_string()), expected, "{event}");
    }
    assert!(matches(r#"{"$or": [{"prefix": "x"}, {"numeric": [">", 5]}]}"#, r#"{"$or": "xy"}"#));
    assert!(matches(r#"{"$or": {"a": [1]}}"#, r#"{"$or": {"a": 1}}"#));
    assert!(matches(r#"{"$or": ["x"]}"#, r#"{"$or": "x"}"#));
}

#[test]
fn names_are_compared_as_they_are() {
    assert!(matches(r#"{"a.b": [1]}"#, r#"{"a.b": 1}"#));
    assert!(!matches(r#"{"a.b": [1]}"#, r#"{"a": {"b": 1}}"#));
    assert!(matches(r#"{"\u0061é\n": [1]}"#, r#"{"a\u00e9\u000a": 1}"#));
    assert!(matches(r#"{"": {"": [1]}}"#, r#"{"": {"": 1}}"#));
    // One path may be both a field and a way to others.
    assert!(matches(r#"{"a": ["x"], "$or": [{"a": {"b": [1]}}, {"z": [1]}]}"#, r#"{"a": ["x", {"b": 1}]}"#));
}

#[test]
fn of_a_repeated_name_the_last_value_counts() {
    let pattern = r#"{"a": {"b": [1]}}"#;
    assert!(matches(pattern, r#"{"a": 5, "a": [{"b": 2}, {"b": 1, "b": 2, "b": 1}]}"#));
    assert!(!matches(pattern, r#"{"a": {"b": 1}, "\u0061": {"b": 2}}"#));
    assert!(!matches(pattern, r#"{"a": [{"b": 1}, {"b": 1}], "c": 0, "a": null}"#));
    assert!(matches(r#"{"a": {"b": [{"exists": false}]}}"#, r#"{"a": {"b": 1}, "a": {"c": 1}}"#));
}

/// Each pattern with the code, the place and some words of its refusal.
fn refuses(cases: &[(&str, &str, &str, &str)]) {
    for (pattern, code, place, words) in cases {
        let error = Pattern::parse(pattern.as_bytes()).expect_err(pattern);
        assert_eq!((error.code(), error.path.as_str()), (*code, *place), "{pattern}: {error}");
        assert!(error.to_string().contains(words), "{pattern}: {error}");
    }
}

#[test]
fn what_is_no_pattern_is_refused_with_place_and_reason() {
    let cases = [
        ("", "E1100", "", "the pattern is not JSON: a value is missing at byte 0"),
        (r#"{"a": [1]} x"#, "E1100", "", "something stands behind the value at byte 11"),
        ("{\"a\": [\"\u{1}\"]}", "E1100", "/a/0", "a control character"),
        (r#"["a"]"#, "E1102", "", "a pattern is one JSON object"),
        ("{}", "E1102", "", "an object without fields"),
        (r#"{"a": {"b/~": {}}}"#, "E1102", "/a/b~1~0", "an object without fields"),
        (r#"{"a": []}"#, "E1102", "/a", "an array without alternatives"),
        (r#"{"a": "x"}"#, "E1102", "/a", "a field takes an array"),
        (r#"{"a": [1, [2]]}"#, "E1102", "/a/1", "an alternative is"),
        (r#"{"a": [{}]}"#, "E1102", "/a/0", "an object without an operator"),
        (r#"{"a": [{"anything-but": []}]}"#, "E1102", "/a/0/anything-but", "a list without operands"),
        (
            r#"{"a": [{"anything-but": {"prefix": []}}]}"#,
            "E1102",
            "/a/0/anything-but/prefix",
            "a list without",
        ),
        (r#"{"a": [{"regex": "x"}]}"#, "E1103", "/a/0", "`regex` is not an operator"),
        (r#"{"$or": [{"a": ["x"]}]}"#, "E1103", "/$or/0", "`a` is not an operator"),
        (r#"{"$or": [{"a": ["x"]}, ["y"]]}"#, "E1103", "/$or/0", "`a` is not an operator"),
        (r#"{"$or": [{"a": ["x"]}, {}]}"#, "E1102", "/$or/1", "an object without fields"),
    ];
    refuses(&cases);
}

#[test]
fn what_no_operator_takes_is_refused_with_place_and_reason() {
    refuses(&[
        (r#"{"a": [{"prefix": "x", "suffix": "y"}]}"#, "E1104", "/a/0", "stands alone"),
        (r#"{"a": [{"prefix": 1}]}"#, "E1104", "/a/0/prefix", "must be a string"),
        (r#"{"a": [{"prefix": {"wildcard": "x"}}]}"#, "E1104", "/a/0/prefix", "`wildcard` cannot stand here"),
        (
            r#"{"a": [{"suffix": {"equals-ignore-case": 1}}]}"#,
            "E1104",
            "/a/0/suffix/equals-ignore-case",
            "string",
        ),
        (r#"{"a": [{"exists": "true"}]}"#, "E1104", "/a/0/exists", "true or false"),
        (
            r#"{"a": [{"wildcard": "a**b"}]}"#,
            "E1104",
            "/a/0/wildcard",
            "`a**b` has two wildcards side by side",
        ),
        (r#"{"a": [{"wildcard": "a\\b"}]}"#, "E1104", "/a/0/wildcard", "escapes something other"),
        (r#"{"a": [{"cidr": "10.0.0.0"}]}"#, "E1104", "/a/0/cidr", "the network `10.0.0.0` has no `/`"),
        (r#"{"a": [{"cidr": "10.0.0.0/33"}]}"#, "E1104", "/a/0/cidr", "more bits than the address has"),
        (r#"{"a": [{"numeric": []}]}"#, "E1104", "/a/0/numeric", "`numeric` takes"),
        (r#"{"a": [{"numeric": [">"]}]}"#, "E1104", "/a/0/numeric", "pairs"),
        (r#"{"a": [{"numeric": ["!", 1]}]}"#, "E1104", "/a/0/numeric", "`numeric` takes `=`"),
        (r#"{"a": [{"numeric": [">", "1"]}]}"#, "E1104", "/a/0/numeric", "pairs"),
        (r#"{"a": [{"numeric": ["<", 5, ">", 1]}]}"#, "E1104", "/a/0/numeric", "followed by"),
        (r#"{"a": [{"numeric": [">", 5, "<", 5.0]}]}"#, "E1104", "/a/0/numeric", "below the upper end"),
        (r#"{"a": [{"numeric": ["=", 1, "<", 5]}]}"#, "E1104", "/a/0/numeric", "`numeric` takes"),
        (r#"{"a": [{"anything-but": null}]}"#, "E1104", "/a/0/anything-but", "`anything-but` takes"),
        (r#"{"a": [{"anything-but": ["x", 1]}]}"#, "E1104", "/a/0/anything-but", "string"),
        (
            r#"{"a": [{"anything-but": [1, "x"]}]}"#,
            "E1104",
            "/a/0/anything-but",
            "strings only or numbers only",
        ),
        (r#"{"a": [{"anything-but": {"prefix": ""}}]}"#, "E1104", "/a/0/anything-but/prefix", "empty string"),
        (
            r#"{"a": [{"anything-but": {"numeric": ["=", 1]}}]}"#,
            "E1104",
            "/a/0/anything-but/numeric",
            "cannot take",
        ),
        (r#"{"a": [1], "b": [2], "a": [3]}"#, "E1105", "", "the field `a` is named twice"),
        (r#"{"a": [1], "$or": [{"a": [2]}, {"b": [3]}]}"#, "E1105", "/$or", "the field `a` is named twice"),
    ]);
    assert_eq!(Pattern::parse(b"{\"a\": [\"\xff\"]}").unwrap_err().code(), "E1100");
    let long = format!(r#"{{"{}": 1}}"#, "\u{7f}é".repeat(100));
    let error = Pattern::parse(long.as_bytes()).unwrap_err();
    assert!(error.to_string().len() < 800 && !error.to_string().contains(char::is_control), "{error}");
}

#[test]
fn what_is_no_event_is_an_error_whatever_the_rules_look_at() {
    let mut scratch = Scratch::new();
    let mut rules = RuleSet::new();
    for _ in 0..2 {
        for event in [
            "",
            "{",
            r#"{"a": 1,}"#,
            r#"{"z": [1, {"y": nul}]}"#,
            r#"{"z": 01}"#,
            r#"{"a": "\ud800"}"#,
            "{} {}",
            "[1",
        ] {
            let error = rules.matches(event.as_bytes(), &mut scratch).unwrap_err();
            assert!(
                matches!(error, EventError::NotJson { offset, .. } if offset <= event.len()),
                "{event}: {error}"
            );
            assert_eq!(error.code(), "E1106");
        }
        assert_eq!(
            rules.matches(b"{\"z\": \"\xff\"}", &mut scratch).unwrap_err().to_string(),
            "the event is not JSON: a byte that is not UTF-8 at byte 7"
        );
        for event in ["1", "[]", " null "] {
            assert_eq!(rules.matches(event.as_bytes(), &mut scratch), Err(EventError::NotAnObject));
            assert_eq!(
                rules.matches_value(&serde_json::from_str(event).unwrap(), &mut scratch),
                Err(EventError::NotAnObject)
            );
        }
        rules.insert(RuleId(1), &Pattern::parse(br#"{"a": [{"exists": true}]}"#).unwrap());
    }
}

#[test]
fn a_rule_is_replaced_and_removed() {
    let mut rules = RuleSet::new();
    let mut scratch = Scratch::new();
    let pattern = |text: &str| Pattern::parse(text.as_bytes()).unwrap();
    rules.insert(RuleId(9), &pattern(r#"{"a": [1]}"#));
    rules.insert(RuleId(2), &pattern(r#"{"a": [1, 2]}"#));
    rules.insert(RuleId(5), &pattern(r#"{"$or": [{"a": [1]}, {"b": [1]}]}"#));
    assert_eq!(
        rules.matches(br#"{"a": 1, "b": 1}"#, &mut scratch).unwrap(),
        [RuleId(2), RuleId(5), RuleId(9)]
    );
    rules.insert(RuleId(9), &pattern(r#"{"c": [1]}"#));
    assert_eq!(rules.len(), 3);
    assert_eq!(rules.matches(br#"{"a": 1, "b": 1}"#, &mut scratch).unwrap(), [RuleId(2), RuleId(5)]);
    assert_eq!(rules.matches(br#"{"c": 1}"#, &mut scratch).unwrap(), [RuleId(9)]);
    assert!(rules.remove(RuleId(5)) && !rules.remove(RuleId(5)));
    assert_eq!(rules.matches(br#"{"a": 1, "b": 1}"#, &mut scratch).unwrap(), [RuleId(2)]);
    assert!(rules.remove(RuleId(2)) && rules.remove(RuleId(9)) && rules.is_empty());
}
