//! Every limit holds: what is at it is taken, one more is refused; and hostile input costs bounded time (`TRANSFORM-3`).
#![expect(clippy::panic, reason = "a helper of tests")]

use serde_json::json;
use waag_pattern::limits::{EVENT_BYTES_MAX, EVENT_DEPTH_MAX};
use waag_router::transform::*;

use crate::transform;

fn refused(transform: &Transform) -> Option<usize> {
    match transform.check() {
        Ok(()) => None,
        Err(TransformError::TooMuch { max, .. }) => Some(max),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn limits_of_a_transformation() {
    let paths = |count: usize| {
        let paths: serde_json::Map<_, _> = (0..count).map(|n| (format!("n{n}"), json!("$.a"))).collect();
        transform(json!({"paths": paths, "template": "1"}))
    };
    assert_eq!(refused(&paths(PATHS_MAX)), None);
    assert_eq!(refused(&paths(PATHS_MAX + 1)), Some(PATHS_MAX));
    let name = |bytes: usize| transform(json!({"paths": {"n".repeat(bytes): "$.a"}, "template": "1"}));
    assert_eq!(refused(&name(NAME_BYTES_MAX)), None);
    assert_eq!(refused(&name(NAME_BYTES_MAX + 1)), Some(NAME_BYTES_MAX));
    let path =
        |bytes: usize| json!(format!("${}.a", "[0]".repeat((bytes - 3) / 3) + &"x".repeat((bytes - 3) % 3)));
    let path =
        |bytes: usize| json!(path(bytes).as_str().unwrap().replace("]x.", "].x").replace("]xx.", "].xx"));
    assert_eq!(path(PATH_BYTES_MAX).as_str().unwrap().len(), PATH_BYTES_MAX);
    for (fits, is_not) in [
        (json!({"path": path(PATH_BYTES_MAX)}), json!({"path": path(PATH_BYTES_MAX + 1)})),
        (
            json!({"paths": {"a": path(PATH_BYTES_MAX)}, "template": "1"}),
            json!({"paths": {"a": path(PATH_BYTES_MAX + 1)}, "template": "1"}),
        ),
    ] {
        assert_eq!(refused(&transform(fits)), None);
        assert_eq!(refused(&transform(is_not)), Some(PATH_BYTES_MAX));
    }
    let text = |bytes: usize| "x".repeat(bytes - 2);
    let template = |bytes: usize| transform(json!({"template": format!("\"{}\"", text(bytes))}));
    assert_eq!(refused(&template(TEMPLATE_BYTES_MAX)), None);
    assert_eq!(refused(&template(TEMPLATE_BYTES_MAX + 1)), Some(TEMPLATE_BYTES_MAX));
    let constant = |bytes: usize| transform(json!({"constant": text(bytes)}));
    assert_eq!(refused(&constant(CONSTANT_BYTES_MAX)), None);
    assert_eq!(refused(&constant(CONSTANT_BYTES_MAX + 1)), Some(CONSTANT_BYTES_MAX));
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let template = |depth: usize| transform(json!({"template": nested(depth)}));
    assert_eq!(refused(&template(TEMPLATE_DEPTH_MAX)), None);
    assert_eq!(refused(&template(TEMPLATE_DEPTH_MAX + 1)), Some(TEMPLATE_DEPTH_MAX));
    let mut constant = Transform::default();
    for (depth, refusal) in [(OUTPUT_DEPTH_MAX, None), (OUTPUT_DEPTH_MAX + 1, Some(OUTPUT_DEPTH_MAX))] {
        constant.constant = Some(serde_json::value::RawValue::from_string(nested(depth)).unwrap());
        assert_eq!(refused(&constant), refusal);
    }
    for error in [template(TEMPLATE_DEPTH_MAX + 1).check(), constant.check()] {
        assert_eq!(error.unwrap_err().code(), "E1181");
    }
}

#[test]
fn limits_of_a_result() {
    let event = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes));
    let apply = |spec: &serde_json::Value, event: &str| {
        transform(spec.clone()).compile().unwrap().apply(event.as_bytes()).map(|result| result.len())
    };
    for (spec, around) in [
        (json!({"path": "$"}), 8),
        (json!({"path": "$.a"}), 2),
        (json!({"path": "$.*"}), 4),
        (json!({"paths": {"a": "$.a"}, "template": "<a>"}), 2),
        (json!({"paths": {"a": "$.a"}, "template": "[\"<a>\"]"}), 4),
        (json!({"paths": {"a": "$.*"}, "template": "\"<a>\""}), 4),
        (json!({"template": "[<waag.event>]"}), 10),
    ] {
        let bytes = OUTPUT_BYTES_MAX - around;
        assert_eq!(apply(&spec, &event(bytes)), Ok(OUTPUT_BYTES_MAX), "{spec}");
        let error = apply(&spec, &event(bytes + 1)).unwrap_err();
        assert_eq!((&error, error.code()), (&TransformError::OutputTooLong, "E1187"), "{spec}");
    }
    // One element more than there is room for; then several lists that fit alone.
    let ones = |count: usize| format!("[{}1]", "1,".repeat(count - 1));
    let list = json!({"paths": {"a": "$.*", "b": "$[*]"}, "template": "<a>"});
    assert_eq!(apply(&list, &ones(OUTPUT_BYTES_MAX / 2 - 1)), Ok(OUTPUT_BYTES_MAX - 1));
    assert_eq!(apply(&list, &ones(OUTPUT_BYTES_MAX / 2)), Err(TransformError::OutputTooLong));
    let lists = json!({"paths": {"a": "$.*", "b": "$[*]"}, "template": "[<a>,<b>]"});
    assert_eq!(apply(&lists, &ones(OUTPUT_BYTES_MAX / 4 - 2)), Ok(OUTPUT_BYTES_MAX - 3));
    assert_eq!(apply(&lists, &ones(OUTPUT_BYTES_MAX / 4 + 1)), Err(TransformError::OutputTooLong));
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let within = json!({"paths": {"a": "$[0]"}, "template": "[[<a>]]"});
    assert_eq!(apply(&within, &nested(OUTPUT_DEPTH_MAX - 1)), Ok(2 * OUTPUT_DEPTH_MAX));
    let error = apply(&within, &nested(OUTPUT_DEPTH_MAX)).unwrap_err();
    assert_eq!((&error, error.code()), (&TransformError::OutputTooDeep, "E1187"));
}

#[test]
fn limits_of_an_event() {
    let compiled = transform(json!({"path": "$[0]"})).compile().unwrap();
    let spaces = |bytes: usize| format!("[1{}]", " ".repeat(bytes - 3)).into_bytes();
    assert_eq!(compiled.apply(&spaces(EVENT_BYTES_MAX)), Ok(b"1".to_vec()));
    assert_eq!(
        compiled.apply(&spaces(EVENT_BYTES_MAX + 1)),
        Err(TransformError::Event { at: EVENT_BYTES_MAX })
    );
    let nested = |depth: usize| ("[".repeat(depth) + &"]".repeat(depth)).into_bytes();
    assert!(compiled.apply(&nested(EVENT_DEPTH_MAX)).is_ok());
    assert_eq!(
        compiled.apply(&nested(EVENT_DEPTH_MAX + 1)),
        Err(TransformError::Event { at: EVENT_DEPTH_MAX })
    );
    assert_eq!(
        compiled.apply(&b"[".repeat(EVENT_BYTES_MAX)),
        Err(TransformError::Event { at: EVENT_DEPTH_MAX })
    );
}

/// Each variable looks at each value, and each placeholder repeats one; events are a quarter of the longest, since tests
/// are slow. What repeats work for each placeholder, or for each way down, would take hours.
#[test]
fn hostile_input_costs_bounded_time() {
    let names: Vec<String> = (0..PATHS_MAX).map(|n| format!("n{n}")).collect();
    let paths = |path: &dyn Fn(usize) -> String| -> serde_json::Map<_, _> {
        names.iter().enumerate().map(|(n, name)| (name.clone(), path(n).into())).collect()
    };
    let every: Vec<String> = names.iter().cycle().take(1_300).map(|name| format!("<{name}>")).collect();
    let template = format!("[{}]", every.join(","));
    let bytes = EVENT_BYTES_MAX / 4;
    let wide = format!("{{\"a\":[{}0]}}", "0,".repeat(bytes / 2));
    let member = "\"\\u0061\\u0062\":1,";
    let escaped = format!("{{{}\"z\":1}}", member.repeat(bytes / member.len()));
    let deep = "[".repeat(EVENT_DEPTH_MAX) + &"0,".repeat(bytes / 2) + "0" + &"]".repeat(EVENT_DEPTH_MAX);
    for (path, event) in [
        (&(|n| format!("$.a[{}]", bytes / 2 - n)) as &dyn Fn(usize) -> String, &wide),
        (&|n| format!("$.a[*].x{n}"), &wide),
        (&|n| format!("$.ab{n}"), &escaped),
        (&|_| "$.ac".to_owned(), &escaped),
        (&|_| format!("${}.x", ".*".repeat(126)), &deep),
    ] {
        let spec = transform(json!({"paths": paths(path), "template": template}));
        let result = spec.compile().unwrap().apply(event.as_bytes()).unwrap();
        assert!(result.len() <= 3 * 1_300 + 1, "{}", result.len());
    }
    let all = transform(json!({"paths": {"a": "$.a"}, "template": format!("[{}0]", "<a>,".repeat(2_000))}));
    assert_eq!(all.compile().unwrap().apply(wide.as_bytes()), Err(TransformError::OutputTooLong));
}
