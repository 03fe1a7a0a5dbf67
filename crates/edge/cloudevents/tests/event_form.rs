//! The event's own rules: attributes, their types and limits, the two bodies; each limit from both sides.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::borrow::Cow;

use waag_cloudevents::{Reason, Refusal, read_event};
use waag_model::event::{Data, Event};
use waag_model::limits::{
    ATTRIBUTE_BYTES_MAX, DEPTH_MAX, EVENT_BYTES_MAX, EXTENSION_NAME_BYTES_MAX, EXTENSIONS_MAX,
    SOURCE_BYTES_MAX, TYPE_BYTES_MAX, VALUES_MAX,
};
use waag_model::value::{Decimal, Value};

const CORE: &str = r#""specversion":"1.0","id":"1","source":"/s","type":"t""#;

/// An event with the required attributes and `more` members.
fn with(more: &str) -> String {
    format!("{{{CORE}{}{more}}}", if more.is_empty() { "" } else { "," })
}

fn refused(input: &str) -> Refusal {
    read_event(input.as_bytes()).map(Event::into_owned).unwrap_err()
}

fn code(input: &str) -> &'static str {
    refused(input).code()
}

#[test]
fn a_whole_event_is_read_as_it_is_written() {
    let input = r#" {
        "data": {"amount": 12.50, "lines": [1, 1e3, null, true], "b": "x\ny"},
        "time": "1948-05-01T12:00:00.5+01:00", "specversion": "1.0", "zzext": true, "id": "A-1",
        "subject": "inv-7", "source": "https://a.example/invoices?x=1#y", "type": "com.example.invoice.sent",
        "datacontenttype": "application/json", "dataschema": "urn:schema:7", "ext1": -2147483648, "unset": null
    } "#;
    let event = read_event(input.as_bytes()).unwrap();
    assert_eq!(event.id, "A-1");
    assert_eq!(event.source, "https://a.example/invoices?x=1#y");
    assert_eq!(event.kind, "com.example.invoice.sent");
    assert_eq!(event.subject.as_deref(), Some("inv-7"));
    assert!(matches!(event.id, Cow::Borrowed(_)));
    let names: Vec<_> = event.attributes.members().iter().map(|(name, _)| name.as_ref()).collect();
    assert_eq!(names, ["ext1", "time", "zzext", "dataschema", "datacontenttype"]);
    assert_eq!(event.attributes.get("ext1"), Some(&Value::Integer(-2_147_483_648)));
    assert_eq!(event.attributes.get("zzext"), Some(&Value::Bool(true)));
    assert_eq!(event.attributes.get("time").unwrap().as_text(), Some("1948-05-01T12:00:00.5+01:00"));
    let Data::Json(data) = &event.data else { panic!("{:?}", event.data) };
    assert_eq!(data.child("amount"), Some(&Value::Decimal(Decimal { significand: 1_250, exponent: -2 })));
    assert_eq!(
        data.child("lines").unwrap().child("1"),
        Some(&Value::Decimal(Decimal { significand: 1, exponent: 3 }))
    );
    assert_eq!(data.child("b").unwrap().as_text(), Some("x\ny"));
}

#[test]
fn an_event_without_more_is_an_event() {
    let input = with("");
    let event = read_event(input.as_bytes()).unwrap();
    assert_eq!(event.data, Data::None);
    assert_eq!((event.subject, event.attributes.members().len()), (None, 0));
}

#[test]
fn each_required_attribute_is_required() {
    for name in ["specversion", "id", "source", "type"] {
        let without: Vec<&str> = CORE.split(',').filter(|m| !m.starts_with(&format!("\"{name}\""))).collect();
        let input = format!("{{{}}}", without.join(","));
        assert_eq!(refused(&input).reason, Reason::MissingAttribute(name), "{input}");
        let null = format!("{{{},\"{name}\":null}}", without.join(","));
        assert_eq!(refused(&null).reason, Reason::MissingAttribute(name), "{null}");
        for wrong in [
            "\"\"",
            "1",
            "true",
            "[]",
            "{}",
            "1.5",
            "\"a\\u0000b\"",
            "\"\\u0085\"",
            "\"\\uFFFF\"",
            "\"\u{7f}\"",
        ] {
            let input = format!("{{{},\"{name}\":{wrong}}}", without.join(","));
            let refusal = refused(&input);
            let want = if name == "specversion" && wrong.starts_with('"') { "E0111" } else { "E0112" };
            assert_eq!((refusal.code(), refusal.path), (want, format!("/{name}")), "{input}");
        }
    }
    assert_eq!(code(&with("").replace("\"1.0\"", "\"0.3\"")), "E0111");
    assert_eq!(code(&with("").replace("\"1.0\"", "\"1.0.2\"")), "E0111");
    assert_eq!(code("{}"), "E0110");
}

#[test]
fn what_is_no_object_is_told_from_what_is_no_json() {
    for input in ["[]", "1", "\"a\"", "null", " true "] {
        assert_eq!(refused(input).reason, Reason::NotAnObject, "{input}");
    }
    for input in ["", " ", "[", "x", "{", "{}{}", "{} x", "\u{feff}{}"] {
        let code = code(input);
        assert_eq!(code, "E0103", "{input}");
    }
    assert_eq!(code(&format!("[{}]", with(""))), "E0105");
}

#[test]
fn optional_attributes_have_their_types() {
    for (good, bad) in [
        (r#""time":"2026-01-01T00:00:00Z""#, r#""time":"2026-01-01""#),
        (r#""datacontenttype":"text/xml; charset=utf-8""#, r#""datacontenttype":"xml""#),
        (r#""dataschema":"https://a.example/s""#, r#""dataschema":"/s""#),
        (r#""subject":"s""#, r#""subject":"""#),
        (r#""source2":"x y""#, r#""subject":7"#),
        (r#""time":null"#, r#""time":7"#),
        (r#""ext":2147483647"#, r#""ext":2147483648"#),
        (r#""ext":-2147483648"#, r#""ext":-2147483649"#),
        (r#""ext":"""#, r#""ext":1.0"#),
        (r#""ext":false"#, r#""ext":1e2"#),
        (r#""ext":"grüß""#, r#""ext":"a\tb""#),
        (r#""ext":null"#, r#""ext":{}"#),
        (r#""ext":"{}""#, r#""ext":["a"]"#),
        (r#""dataschema":null"#, r#""dataschema":true"#),
    ] {
        assert!(read_event(with(good).as_bytes()).is_ok(), "{good}");
        assert_eq!(code(&with(bad)), "E0112", "{bad}");
    }
    assert_eq!(code(&with("").replace("/s", "/a b")), "E0112");
}

#[test]
fn names_of_extensions_are_lower_case_letters_and_digits() {
    for name in ["a", "0", "traceparent", &"x".repeat(EXTENSION_NAME_BYTES_MAX)] {
        assert!(read_event(with(&format!("\"{name}\":\"v\"")).as_bytes()).is_ok(), "{name}");
    }
    for name in
        ["", "A", "a_b", "a-b", "a.b", "é", "Data", "data_base65", &"x".repeat(EXTENSION_NAME_BYTES_MAX + 1)]
    {
        let refusal = refused(&with(&format!("\"{name}\":\"v\"")));
        assert_eq!((refusal.code(), refusal.path), ("E0114", format!("/{name}")));
    }
}

#[test]
fn no_attribute_comes_twice_not_even_as_null() {
    for name in ["id", "subject", "time", "ext", "data", "data_base64"] {
        for (first, second) in [("null", "null"), ("null", "\"eA==\""), ("\"eA==\"", "null")] {
            // A body given twice is a repeated name, whatever the values are.
            let core = CORE.replace(r#""id":"1","#, if name == "id" { "" } else { r#""id":"1","# });
            let first =
                if name == "time" { first.replace("eA==", "2026-01-01T00:00:00Z") } else { first.to_owned() };
            let second = if name == "time" {
                second.replace("eA==", "2026-01-01T00:00:00Z")
            } else {
                second.to_owned()
            };
            let input = format!("{{{core},\"{name}\":{first},\"{name}\":{second}}}");
            let refusal = refused(&input);
            assert_eq!(refusal.reason, Reason::DuplicateName(name.to_owned()), "{input}");
            assert_eq!(refusal.path, format!("/{name}"), "{input}");
        }
    }
    assert_eq!(refused(&with(r#""\u0069d":"2""#)).reason, Reason::DuplicateName("id".to_owned()));
    assert_eq!(refused(&with(r#""ext":1,"e\u0078t":1"#)).reason, Reason::DuplicateName("ext".to_owned()));
    let flood = vec![r#""time":null"#; 1_000].join(",");
    assert_eq!(refused(&with(&flood)).reason, Reason::DuplicateName("time".to_owned()));
}

#[test]
fn there_is_one_body_at_most() {
    for (members, want) in [
        (r#""data":null"#, Data::Json(Value::Null)),
        (r#""data":0"#, Data::Json(Value::Integer(0))),
        (r#""datacontenttype":"text/xml","data":"<a/>""#, Data::Json(Value::Text("<a/>".into()))),
        (r#""data_base64":"AQID/w==""#, Data::Binary(Cow::Owned(vec![1, 2, 3, 255]))),
        (r#""data_base64":"""#, Data::Binary(Cow::Owned(vec![]))),
        (r#""data_base64":null"#, Data::None),
        (r#""data":1,"data_base64":null"#, Data::Json(Value::Integer(1))),
        (r#""data_base64":null,"data":1"#, Data::Json(Value::Integer(1))),
    ] {
        assert_eq!(read_event(with(members).as_bytes()).unwrap().data, want, "{members}");
    }
    for both in [
        r#""data":1,"data_base64":"eA==""#,
        r#""data_base64":"eA==","data":null"#,
        r#""data":null,"data_base64":"""#,
    ] {
        assert_eq!(refused(&with(both)).reason, Reason::TwoBodies, "{both}");
    }
    for bad in ["eA", "eA=", "eA===", "e A=", "eA==\\n", "-_8=", "eB==", "=", "é", "\\u0000"] {
        let refusal = refused(&with(&format!("\"data_base64\":\"{bad}\"")));
        assert_eq!((refusal.reason, refusal.path.as_str()), (Reason::BadBase64, "/data_base64"), "{bad}");
    }
    for bad in ["1", "{}", "[]", "true"] {
        assert_eq!(refused(&with(&format!("\"data_base64\":{bad}"))).reason, Reason::BadBase64, "{bad}");
    }
}

#[test]
fn attributes_pass_at_their_longest_and_are_refused_one_byte_above() {
    for (name, limit) in [
        ("id", ATTRIBUTE_BYTES_MAX),
        ("subject", ATTRIBUTE_BYTES_MAX),
        ("source", SOURCE_BYTES_MAX),
        ("type", TYPE_BYTES_MAX),
        ("ext", SOURCE_BYTES_MAX),
        ("datacontenttype", ATTRIBUTE_BYTES_MAX),
        ("dataschema", SOURCE_BYTES_MAX),
        ("time", ATTRIBUTE_BYTES_MAX),
    ] {
        let value = |len: usize| match name {
            "datacontenttype" => format!("a/{}", "b".repeat(len - 2)),
            "dataschema" => format!("a:{}", "b".repeat(len - 2)),
            "time" => format!("2026-01-01T00:00:00.{}Z", "0".repeat(len - 21)),
            _ => "x".repeat(len),
        };
        let input = |len: usize| {
            let core: Vec<&str> =
                CORE.split(',').filter(|m| !m.starts_with(&format!("\"{name}\""))).collect();
            format!("{{{},\"{name}\":\"{}\"}}", core.join(","), value(len))
        };
        assert!(read_event(input(limit).as_bytes()).is_ok(), "{name}");
        let reason = Reason::AttributeTooLong { name: name.to_owned(), limit };
        assert_eq!(refused(&input(limit + 1)).reason, reason);
    }
    // The limit counts bytes of UTF-8, after escapes.
    let id = |text: &str| with("").replace("\"1\"", &format!("\"{text}\""));
    assert!(read_event(id(&"é".repeat(ATTRIBUTE_BYTES_MAX / 2)).as_bytes()).is_ok());
    assert!(read_event(id(&"\\u0041".repeat(ATTRIBUTE_BYTES_MAX)).as_bytes()).is_ok());
    assert_eq!(code(&id(&"é".repeat(ATTRIBUTE_BYTES_MAX / 2 + 1))), "E0113");
}

#[test]
fn thirty_two_extensions_pass_beside_the_optional_attributes() {
    let optional = r#""time":"2026-01-01T00:00:00Z","datacontenttype":"a/b","dataschema":"a:b""#;
    let extensions = |count: usize| {
        let members: Vec<String> = (0..count).map(|n| format!("\"e{n}\":{n}")).collect();
        with(&format!("{},{optional}", members.join(",")))
    };
    let input = extensions(EXTENSIONS_MAX);
    assert_eq!(read_event(input.as_bytes()).unwrap().attributes.members().len(), EXTENSIONS_MAX + 3);
    assert_eq!(refused(&extensions(EXTENSIONS_MAX + 1)).reason, Reason::TooManyExtensions);
}

#[test]
fn depth_values_and_size_are_those_of_the_data() {
    let deep = |depth: usize| with(&format!("\"data\":{}{}", "[".repeat(depth), "]".repeat(depth)));
    assert!(read_event(deep(DEPTH_MAX).as_bytes()).is_ok());
    assert_eq!(code(&deep(DEPTH_MAX + 1)), "E0107");
    let many = |count: usize| with(&format!("\"a\":1,\"b\":null,\"data\":[{}]", vec!["{}"; count].join(",")));
    assert!(read_event(many(VALUES_MAX - 1).as_bytes()).is_ok());
    assert_eq!(code(&many(VALUES_MAX)), "E0108");
    let large = |len: usize| {
        let empty = with("\"data\":\"\"");
        with(&format!("\"data\":\"{}\"", "x".repeat(len - empty.len())))
    };
    let longest = large(EVENT_BYTES_MAX);
    assert_eq!(longest.len(), EVENT_BYTES_MAX);
    assert!(read_event(longest.as_bytes()).is_ok());
    assert_eq!(code(&large(EVENT_BYTES_MAX + 1)), "E0101");
}

#[test]
fn a_refusal_says_where() {
    for (members, path) in [
        (r#""data":{"a":[1,{"b/c":1e999}]}"#, "/data/a/1/b~1c"),
        (r#""data":{"a":tru}"#, "/data/a"),
        (r#""data":["\ud800"]"#, "/data/0"),
        (r#""ext":1.5"#, "/ext"),
        (r#""time":"x""#, "/time"),
    ] {
        let input = with(members);
        let refusal = refused(&input);
        assert_eq!(refusal.path, path);
        assert!(refusal.offset > CORE.len() && refusal.offset < input.len(), "{refusal}");
    }
    let input = with(r#""data":{"a":1e999}"#);
    assert_eq!(refused(&input).offset, input.find("1e999").unwrap());
    let secret = refused(&with(r#""ext":"pass\u0007word""#)).to_string();
    assert!(!secret.contains("pass"), "a refusal quotes no value: {secret}");
}
