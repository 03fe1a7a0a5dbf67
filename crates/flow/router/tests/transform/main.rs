//! Transformations of input: the language, what EventBridge was seen to deliver, and every refusal with its code; the limits
//! (`limits`), and any values whatever (`model`).
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod limits;
mod model;

use serde_json::json;
use waag_router::transform::{Transform, TransformError};

const EVENT: &str = r#"{
    "specversion": "1.0", "id": "7", "type": "invoice.due", "source": "/erp",
    "data": {
        "invoice": "A-7", "total": 12.500, "large": 12345678901234567890.10, "paid": false, "note": null,
        "quoted": "say \"hi\"\\\n<invoice> \ud83d\ude00 <tag> \u003cinvoice\u003e",
        "buyer": { "name": "Jan \"J\"", "tags": [ "a b", 1 ] },
        "lines": [{"sku": "S1", "n": 1}, {"sku": "S2"}, {"n": 3}]
    }
}"#;

fn transform(spec: serde_json::Value) -> Transform {
    serde_json::from_value(spec).unwrap()
}

fn template(template: &str) -> Transform {
    let mut paths = serde_json::Map::new();
    for name in ["invoice", "total", "large", "paid", "note", "quoted", "buyer", "lines", "missing"] {
        paths.insert(name.to_owned(), format!("$.data.{name}").into());
    }
    paths.insert("skus".to_owned(), "$.data.lines[*].sku".into());
    paths.insert("none".to_owned(), "$.data.lines[*].gone".into());
    transform(json!({ "paths": paths, "template": template }))
}

fn apply(transform: &Transform) -> Result<String, TransformError> {
    transform.compile()?.apply(EVENT.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
}

fn code(transform: &Transform) -> &'static str {
    let error = apply(transform).unwrap_err();
    assert_eq!(transform.check().is_err(), !matches!(error.code(), "E1186" | "E1187" | "E1188"), "{error}");
    assert!(!error.to_string().is_empty());
    error.code()
}

#[test]
fn placeholders_become_values() {
    for (text, result) in [
        // Strings: quotation marks may be left out or given.
        (r#"{"a": <invoice>}"#, r#"{"a":"A-7"}"#),
        (r#"{"a": "<invoice>"}"#, r#"{"a":"A-7"}"#),
        (r#"{"a": "no. <invoice>, <invoice>!"}"#, r#"{"a":"no. A-7, A-7!"}"#),
        (r#""invoice <invoice> of <total> is \"due\"""#, r#""invoice A-7 of 12.500 is \"due\"""#),
        ("<invoice>", r#""A-7""#),
        ("[<invoice>,<total>, <paid>,<note>]", r#"["A-7",12.500,false,null]"#),
        (r#""<total> <paid> <note>""#, r#""12.500 false null""#),
        (
            r#"{"n": <large>, "s": "<large>"}"#,
            r#"{"n":12345678901234567890.10,"s":"12345678901234567890.10"}"#,
        ),
        // Objects and arrays: as they are, and without quotation marks within them.
        (r#"{"b": <buyer>}"#, r#"{"b":{ "name": "Jan \"J\"", "tags": [ "a b", 1 ] }}"#),
        (r#""<buyer>""#, r#""{name:Jan \"J\",tags:[a b,1]}""#),
        (r#"{"s": <skus>, "t": "<skus>"}"#, r#"{"s":["S1","S2"],"t":"[S1,S2]"}"#),
        (r#"{"s": <none>, "t": "<none>"}"#, r#"{"s":[],"t":"[]"}"#),
        // What is not there.
        (r#"{"a": <missing>, "b": "<missing>", "c": "x<missing>y"}"#, r#"{"a":"","b":"","c":"xy"}"#),
        // Values are data, and not looked at again.
        (r#"{"q": <quoted>}"#, r#"{"q":"say \"hi\"\\\n<invoice> \ud83d\ude00 <tag> \u003cinvoice\u003e"}"#),
        (
            r#""<quoted>|<invoice>""#,
            r#""say \"hi\"\\\n<invoice> \ud83d\ude00 <tag> \u003cinvoice\u003e|A-7""#,
        ),
        // Brackets of the template's own.
        (r#""1 < 2, \u003cinvoice\u003e, <<invoice>> <""#, r#""1 < 2, \u003cinvoice\u003e, <A-7> <""#),
    ] {
        assert_eq!(apply(&template(text)).as_deref(), Ok(result), "{text}");
    }
}

#[test]
fn the_event_itself_is_a_variable() {
    let transform = template(r#"{"all": <waag.event.json>, "about": <waag.event>}"#);
    let result = apply(&transform).unwrap();
    assert!(result.contains(EVENT));
    let value: serde_json::Value = serde_json::from_str(&result).unwrap();
    assert_eq!(value["all"]["data"]["invoice"], "A-7");
    let about = json!({"specversion": "1.0", "id": "7", "type": "invoice.due", "source": "/erp"});
    assert_eq!(value["about"], about);
    let apply = |event: &str| transform.compile().unwrap().apply(event.as_bytes()).unwrap();
    let escaped = r#"{"id":"1","d\u0061ta":{"a":1},"data_base64":"AA=="}"#;
    assert_eq!(apply(escaped), format!(r#"{{"all":{escaped},"about":{{"id":"1"}}}}"#).into_bytes());
    assert_eq!(apply("[]"), br#"{"all":[],"about":{}}"#);
}

/// The recorded answers of AWS in LocalStack's `test_events_inputs.snapshot.json`, with this event's names.
#[test]
fn what_eventbridge_delivered_is_delivered() {
    let event = br#"{"detail-type":"core.update-account-command","time":"2024-05-13T12:27:20Z",
        "detail":{"command":"update-account","payload":{"acc_id":"0a787ecb-4015","sf_id":"baz"}}}"#;
    let apply = |spec| String::from_utf8(transform(spec).compile().unwrap().apply(event).unwrap()).unwrap();
    let with = |command: &str, template: &str| {
        let paths = json!({"detail-type": "$.detail-type", "timestamp": "$.time", "command": command});
        apply(json!({"paths": paths, "template": template}))
    };
    let text = "\"Event of <detail-type> type, at time <timestamp>, info extracted from detail <command>\"";
    let begin = "\"Event of core.update-account-command type, at time 2024-05-13T12:27:20Z, info extracted from detail";
    assert_eq!(with("$.detail.command", text), format!("{begin} update-account\""));
    assert_eq!(with("$.detail.notinmessage", text), format!("{begin} \""));
    let text = "\"{[/Check with special starting characters for event of <detail-type> type\"";
    let result =
        "\"{[/Check with special starting characters for event of core.update-account-command type\"";
    assert_eq!(with("$.detail.command", text), result);
    let object = "{\"detailType\": <detail-type>,  \"time\": <timestamp>, \"command\": <command>}";
    let begin =
        "{\"detailType\":\"core.update-account-command\",\"time\":\"2024-05-13T12:27:20Z\",\"command\":";
    assert_eq!(with("$.detail.command", object), format!("{begin}\"update-account\"}}"));
    assert_eq!(with("$.detail.notinmessage", object), format!("{begin}\"\"}}"));
    assert_eq!(apply(json!({"path": "$.detail.payload"})), r#"{"acc_id":"0a787ecb-4015","sf_id":"baz"}"#);
    assert_eq!(apply(json!({"path": "$.detail.payload.sf_id"})), "\"baz\"");
    let undefined =
        json!({"paths": {"detail-type": "$.detail-type"}, "template": "\"<detail-type> <notdefinedkey>\""});
    assert_eq!(code(&transform(undefined)), "E1184");
}

#[test]
fn a_part_or_something_fixed() {
    for (spec, result) in [
        (json!({"path": "$.data.total"}), "12.500"),
        (json!({"path": "/data/lines/1/sku"}), "\"S2\""),
        (json!({"path": "$['data'].lines[2]"}), "{\"n\": 3}"),
        (json!({"path": "$.data.note"}), "null"),
        (json!({"path": "$.data.lines[*].n"}), "[1,3]"),
        (json!({"path": "$.data.lines[*].gone"}), "[]"),
        (json!({"path": "$"}), EVENT),
        (json!({"constant": null}), "null"),
        (json!({"constant": {"a": [1, "<b>"]}}), "{\"a\":[1,\"<b>\"]}"),
    ] {
        assert_eq!(apply(&transform(spec.clone())).as_deref(), Ok(result), "{spec}");
    }
    let digits: Transform = serde_json::from_str(r#"{"constant": {"n": 1.10} }"#).unwrap();
    assert_eq!(apply(&digits).as_deref(), Ok(r#"{"n": 1.10}"#));
    assert_eq!(digits.compile().unwrap().apply(b"no event"), Ok(br#"{"n": 1.10}"#.to_vec()));
}

#[test]
fn what_cannot_be_understood_is_refused() {
    for (spec, refusal) in [
        (json!({}), "E1180"),
        (json!({"paths": {}}), "E1180"),
        (json!({"paths": {"a": "$.a"}}), "E1180"),
        (json!({"paths": {"a": "$.a"}, "path": "$.a"}), "E1180"),
        (json!({"template": "1", "path": "$.a"}), "E1180"),
        (json!({"path": "$.a", "constant": 1}), "E1180"),
        (json!({"template": "1", "constant": null}), "E1180"),
        (json!({"path": "$..a"}), "E1182"),
        (json!({"path": ""}), "E1182"),
        (json!({"paths": {"a": "$[?(@.b)]"}, "template": "1"}), "E1182"),
        (json!({"paths": {"": "$.a"}, "template": "1"}), "E1185"),
        (json!({"paths": {"a.b": "$.a"}, "template": "1"}), "E1185"),
        (json!({"paths": {"waag.event": "$.a"}, "template": "1"}), "E1185"),
        (json!({"path": "$.data.gone"}), "E1186"),
        (json!({"path": "$.data.lines[7]"}), "E1186"),
    ] {
        assert_eq!(code(&transform(spec.clone())), refusal, "{spec}");
    }
}

#[test]
fn templates_that_are_none_are_refused() {
    for text in [
        "",
        " ",
        "plain text",
        "invoice <invoice>",
        "{\"a\": <invoice>",
        "{\"a\": <invoice>}}",
        "<invoice> <invoice>",
        "<invoice><total>",
        "1<total>",
        "-<total>",
        "<total>1",
        "{\"a\": <invoice> 1}",
        "{\"a\": <}",
        "[<invoice]",
        "[<<invoice>]",
        "\"<invoice>",
        "\"\\<invoice>\"",
        "\"\\u00<total>41\"",
        "\"\\ud83d<missing>\\ude00\"",
        "\"\\ud83d\"",
        "\"a\"\n\"b\"",
        "{\"a\": 'b'}",
        "{\"a\": <invoice>,}",
        "\"\n\"",
        "{<invoice>}",
        "{\"a\" <invoice>}",
    ] {
        assert_eq!(code(&template(text)), "E1183", "{text}");
    }
    for text in [
        "\"<unknown>\"",
        "[<unknown>]",
        "[< >",
        "[<>]",
        "\"<>\"",
        "\"< invoice>\"",
        "\"<b>bold</b>\"",
        "\"1 < 2 > <invoice>\"",
        "[<inv\\u006fice>]",
        "\"<inv\\u006fice>\"",
        "{<invoice>: 1}",
        "{<invoice> : 1}",
        "{\"<invoice>\": 1}",
        "{\"a <invoice> b\"\n :1}",
        "\"<waag.event>\"",
        "\"x<waag.event.json>\"",
        "<aws.events.event>",
        "<waag.position>",
    ] {
        assert_eq!(code(&template(text)), "E1184", "{text}");
    }
    let place = template("{\"a\": <invoice>, \"b\": \"<total>\", x}").check();
    assert_eq!(place, Err(TransformError::NotJson { what: "template", at: 33 }));
}

#[test]
fn the_form_is_read_strictly_and_written_back_equal() {
    for text in [
        r#"{"paths":{"a":"$.a","b":"/b"},"template":"[<a>,<b>]"}"#,
        r#"{"template":"<waag.event>"}"#,
        r#"{"path":"$.data"}"#,
        r#"{"constant":null}"#,
        r#"{"constant":{"a": 1.50}}"#,
    ] {
        let transform: Transform = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&transform).unwrap(), text);
        assert_eq!(transform, transform.clone());
    }
    for text in [
        r#"{"path":"$.a","x":1}"#,
        r#"{"path":"$.a","path":"$.b"}"#,
        r#"{"paths":{"a":"$.a","a":"$.b"},"template":"<a>"}"#,
        r#"{"paths":{"a":1},"template":"<a>"}"#,
        r#"{"template":{"a":"b"}}"#,
    ] {
        assert!(serde_json::from_str::<Transform>(text).is_err(), "{text}");
    }
    let constant =
        |text: &str| serde_json::from_str::<Transform>(&format!("{{\"constant\":{text}}}")).unwrap();
    assert_ne!(constant("1"), constant("2"));
    assert_ne!(constant("null"), Transform::default());
    assert_eq!(code(&constant("\"\\ud800\"")), "E1183");
}

#[test]
fn an_event_that_is_not_json_is_an_error() {
    for form in [json!({"path": "$"}), json!({"template": "1"}), json!({"template": "<waag.event>"})] {
        let compiled = transform(form).compile().unwrap();
        for event in ["", "{", "{}{}", "{\"a\":\"\\ud800\"}", "{\"a\":01}", "\u{feff}{}"] {
            assert_eq!(compiled.apply(event.as_bytes()).unwrap_err().code(), "E1188", "{event}");
        }
        assert_eq!(compiled.apply(b"{\"a\":\"\xff\"}"), Err(TransformError::Event { at: 6 }));
    }
}

#[test]
fn messages_quote_little() {
    let long = "n".repeat(5_000);
    let error = template(&format!("<{long}>")).check().unwrap_err();
    assert_eq!(error.code(), "E1184");
    assert!(error.to_string().len() < 250, "{error}");
    let error = transform(json!({"paths": {"ä".repeat(100): "$"}, "template": "1"})).check().unwrap_err();
    assert_eq!(error.code(), "E1185");
    assert!(error.to_string().len() < 250, "{error}");
}
