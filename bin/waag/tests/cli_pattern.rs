//! `waag pattern test`: three answers, each with an exit code of its own, and none of them needs a store.

#[expect(dead_code, reason = "shared with other tests")]
mod common;

use common::{Folder, Ran};

const PATTERN: &str =
    r#"{"type": [{"prefix": "invoice."}], "data": {"lines": {"sku": ["A1"], "vat": [{"exists": false}]}}}"#;

fn test(pattern: &str, event: &str, more: &[&str]) -> Ran {
    let folder = Folder::new();
    folder.write("rule.json", pattern);
    folder.write("event.json", event);
    let ran =
        folder.run(&[&["pattern", "test", "--pattern", "rule.json", "--event", "event.json"], more].concat());
    assert_eq!(folder.files().len(), 2, "nothing is made");
    ran
}

#[test]
fn an_event_matches_or_does_not() {
    let matching =
        r#"{"type": "invoice.posted", "data": {"lines": [{"sku": "A1", "vat": 0}, {"sku": "A1"}]}}"#;
    let other = r#"{"type": "invoice.posted", "data": {"lines": [{"sku": "A1", "vat": 0}, {"sku": "A2"}]}}"#;
    assert_eq!(test(PATTERN, matching, &[]).exits(0).out, "match\n");
    assert_eq!(test(PATTERN, other, &[]).exits(1).out, "no match\n");
    assert_eq!(test(PATTERN, matching, &["--json"]).exits(0).json()["matches"], true);
    assert_eq!(test(PATTERN, other, &["--json"]).exits(1).json()["matches"], false);
}

#[test]
fn an_event_may_come_on_standard_input() {
    let folder = Folder::new();
    folder.write("rule.json", PATTERN);
    let arguments = ["pattern", "test", "--pattern", "rule.json", "--event", "-"];
    assert_eq!(folder.feed(&arguments, b"{}\n").exits(1).out, "no match\n");
}

#[test]
fn a_refused_pattern_says_where_and_why() {
    let ran = test(r#"{"a": ["x", {"wildcard": "a**"}]}"#, "{}", &[]).exits(2);
    assert!(ran.out.is_empty(), "{ran:?}");
    for words in ["E1104", "`a**` has two wildcards side by side", "`/a/1/wildcard`"] {
        assert!(ran.err.contains(words), "{words}: {ran:?}");
    }
    assert!(test("{", "not looked at", &[]).exits(2).err.contains("E1100"));
    let long = format!(r#"{{"a": ["{}"]}}"#, "x".repeat(70_000));
    assert!(test(&long, "{}", &[]).exits(2).err.contains("E1101"));
}

#[test]
fn an_event_that_is_none_and_a_file_that_is_none_are_told_apart() {
    assert!(test(PATTERN, "[]", &[]).exits(2).err.contains("E1106"));
    assert!(test(PATTERN, &"[".repeat(200), &[]).exits(2).err.contains("E1107"));
    let folder = Folder::new();
    folder.write("rule.json", PATTERN);
    let ran =
        folder.run(&["pattern", "test", "--pattern", "rule.json", "--event", "none.json", "--json"]).exits(3);
    assert!(format!("{ran:?}").contains("E0701") && format!("{ran:?}").contains("none.json"), "{ran:?}");
}
