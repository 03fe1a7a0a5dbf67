//! RFC 8259, case by case, in the three classes of the well-known JSON test suites: must be taken (`y_`), must be
//! refused (`n_`), left open by the RFC (`i_`) with what is decided here.

#[path = "support/oracle.rs"]
mod oracle;

use std::borrow::Cow;

use waag_cloudevents::{Reason, read_value};
use waag_model::limits::{DEPTH_MAX, EVENT_BYTES_MAX, VALUES_MAX};
use waag_model::value::{Decimal, Object, Value};

fn text(content: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(content))
}

fn array<const N: usize>(items: [Value<'static>; N]) -> Value<'static> {
    Value::Array(items.to_vec())
}

fn decimal(significand: i128, exponent: i32) -> Value<'static> {
    Value::Decimal(Decimal { significand, exponent })
}

#[test]
fn y_cases_are_taken_with_their_value() {
    let member =
        |name: &'static str, value| Value::Object(Object::from_members(vec![(name.into(), value)]).unwrap());
    let cases: Vec<(&str, Value<'_>)> = vec![
        ("null", Value::Null),
        (" \t\r\n true \t\r\n ", Value::Bool(true)),
        ("false", Value::Bool(false)),
        ("[]", array([])),
        ("[ ]", array([])),
        ("{}", Value::Object(Object::default())),
        ("{\"\":0}", member("", Value::Integer(0))),
        ("{\"a\\u0000b\":[ ]}", member("a\0b", array([]))),
        ("[1,\n-2 , 3]", array([Value::Integer(1), Value::Integer(-2), Value::Integer(3)])),
        ("[[[]],{}]", array([array([array([])]), Value::Object(Object::default())])),
        ("-0", Value::Integer(0)),
        ("0e+1", decimal(0, 1)),
        ("0e1", decimal(0, 1)),
        ("20e1", decimal(20, 1)),
        ("1E22", decimal(1, 22)),
        ("1E-2", decimal(1, -2)),
        ("123.456e78", decimal(123_456, 75)),
        ("-0.000000000000000000000000000000000000000000000000000001", decimal(-1, -54)),
        ("123123123123123123123123123", Value::Integer(123_123_123_123_123_123_123_123_123)),
        (r#""""#, text("")),
        (r#""\"\\\/\b\f\n\r\t""#, text("\"\\/\u{8}\u{c}\n\r\t")),
        (r#""\u0041\u00e9\u20ac\uD834\uDd1e""#, text("Aé€𝄞")),
        (r#""\u0000""#, text("\0")),
        (r#""\\u0000""#, text("\\u0000")),
        (r#""\uFFFF\uFDD0\u2028\u007f""#, text("\u{ffff}\u{fdd0}\u{2028}\u{7f}")),
        ("\"\u{7f}\u{2028}\u{feff}é€😀\"", text("\u{7f}\u{2028}\u{feff}é€😀")),
        ("\"a/*b*/c//\"", text("a/*b*/c//")),
    ];
    for (input, want) in cases {
        assert_eq!(read_value(input.as_bytes()).unwrap_or_else(|r| panic!("{input}: {r}")), want, "{input}");
        assert!(oracle::agrees_on(input.as_bytes()), "{input}");
    }
}

const NO_STRUCTURE: &[&str] = &[
    "",
    " ",
    "\n",
    "[",
    "]",
    "{",
    "}",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[1,,2]",
    "[1 2]",
    "[1]]",
    "[1]x",
    "[]]",
    "[}",
    "{]",
    "[\"a",
    "[\"a\"",
    "[:1]",
    "[1:2]",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":1",
    "{\"a\":1,",
    "{\"a\":1,}",
    "{,\"a\":1}",
    "{\"a\":1,,\"b\":2}",
    "{\"a\" 1}",
    "{\"a\"::1}",
    "{\"a\",1}",
    "{\"a\":1 \"b\":2}",
    "{a:1}",
    "{'a':1}",
    "{1:1}",
    "{null:1}",
    "{\"a\":}",
    "{:1}",
    "{\"a\":1}}",
    "{\"a\":1}#",
    "{\"a\":1}//x",
    "{\"a\":/*x*/1}",
    "{\"a\":\"b\"}/**/",
    "nul",
    "nulll",
    "tru",
    "truE",
    "True",
    "fals",
    "falsee",
    "NULL",
    "[nul]",
    "[truth]",
    "1 2",
    "1,2",
    "\"a\" \"b\"",
    "[1]\0",
    "\0",
    "[\0]",
    "[\u{c}]",
    "[\u{b}1]",
    "[\u{a0}1]",
    "[\u{2060}]",
    "\u{feff}",
    "<a/>",
    "*",
    "@",
    "'a'",
    "`a`",
    "a",
    "\\u0031",
    "[\\u0020]",
    "[a]",
    "[“a”]",
    "{\"a\":1}\u{feff}",
];

#[test]
fn n_structure_cases_are_refused() {
    for input in NO_STRUCTURE {
        assert!(!oracle::agrees_on(input.as_bytes()));
        let reason = read_value(input.as_bytes()).map(|v| format!("{v:?}")).unwrap_err().reason;
        assert!(matches!(reason, Reason::NotJson(_)), "{input:?}: {reason:?}");
    }
}

const NO_NUMBER: &[&str] = &[
    "-",
    "+",
    "+1",
    "++1",
    "--1",
    "- 1",
    "-a",
    "-.",
    "-.5",
    ".5",
    ".",
    "1.",
    "-1.",
    "1.e1",
    "1.e",
    "0.e1",
    "0.",
    "1e",
    "1E",
    "1e+",
    "1e-",
    "1ee1",
    "1e1.5",
    "1e 1",
    "1 e1",
    "1.2.3",
    "1..2",
    "01",
    "-01",
    "00",
    "-00",
    "012",
    "01.5",
    "0x10",
    "0b1",
    "0o7",
    "1_000",
    "1,000",
    "1a",
    "1f",
    "1.5d",
    "Infinity",
    "-Infinity",
    "+Infinity",
    "inf",
    "-inf",
    "NaN",
    "-NaN",
    "nan",
    "Inf",
    "1/2",
    "١",
    "１",
    "0e",
    "0E+",
    "-e1",
    "e1",
    "0.1.",
    "1.-5",
    "1e0x2",
    "9.e+",
];

#[test]
fn n_number_cases_are_refused() {
    for input in NO_NUMBER {
        for wrapped in [(*input).to_owned(), format!("[{input}]"), format!("{{\"a\":{input}}}")] {
            let refused = read_value(wrapped.as_bytes());
            assert!(!oracle::agrees_on(wrapped.as_bytes()));
            let reason = refused.map(|v| format!("{v:?}")).unwrap_err().reason;
            assert!(matches!(reason, Reason::NotJson(_)), "{wrapped}: {reason:?}");
        }
    }
}

#[test]
fn n_string_cases_are_refused() {
    let cases = [
        r#"""#,
        r#""\"#,
        r#""\""#,
        r#""\x41""#,
        r#""\a""#,
        r#""\v""#,
        r#""\'""#,
        r#""\0""#,
        r#""\U0041""#,
        r#""\ ""#,
        r#""\é""#,
        r#""\u""#,
        r#""\u0""#,
        r#""\u00""#,
        r#""\u004""#,
        r#""\u004g""#,
        r#""\u 041""#,
        r#""\u+041""#,
        r#""\u-041""#,
        r#""\u00é""#,
        r#""\uD834\u""#,
        r#""\uD834\uD""#,
        r#""\uD834\uDd""#,
        r#""\uD834\uDd1""#,
        r#""\"x"#,
        r#"a""#,
        r#"'a'"#,
        r#""a"b""#,
    ];
    for input in cases {
        let reason = read_value(input.as_bytes()).map(|v| format!("{v:?}")).unwrap_err().reason;
        assert!(!oracle::agrees_on(input.as_bytes()));
        assert!(matches!(reason, Reason::NotJson(_)), "{input}: {reason:?}");
    }
    for control in 0_u8..0x20 {
        for (before, after) in
            [("\"", "\""), ("\"a long enough text for any block ", " and as long after it\"")]
        {
            let mut input = before.as_bytes().to_vec();
            input.push(control);
            input.extend_from_slice(after.as_bytes());
            let reason = read_value(&input).unwrap_err().reason;
            assert!(matches!(reason, Reason::NotJson(_)), "{control:#x}: {reason:?}");
            let mut name = b"{".to_vec();
            name.extend_from_slice(&input);
            name.extend_from_slice(b":1}");
            assert!(!oracle::agrees_on(&input) && !oracle::agrees_on(&name), "{control:#x}");
            assert!(
                matches!(read_value(&name).unwrap_err().reason, Reason::NotJson(_)),
                "{control:#x} in a name"
            );
        }
    }
}

#[test]
fn i_lone_surrogates_are_refused() {
    let cases = [
        r#""\uD800""#,
        r#""\uDBFF""#,
        r#""\uDC00""#,
        r#""\uDFFF""#,
        r#""\uD800\uD800""#,
        r#""\uDC00\uD800""#,
        r#""\uD800x""#,
        r#""\uD800\n""#,
        r#""\uD83Dxx""#,
        r#""\ud800\u0041""#,
        r#"{"\uD800":1}"#,
        r#"["ok","\uDEAD"]"#,
    ];
    for input in cases {
        assert_eq!(read_value(input.as_bytes()).unwrap_err().reason, Reason::LoneSurrogate, "{input}");
        assert!(!oracle::agrees_on(input.as_bytes()));
    }
}

#[test]
fn i_bytes_that_are_not_utf8_are_refused_wherever_they_stand() {
    let bad: [&[u8]; 13] = [
        b"\x80",
        b"\xff",
        b"\xfe\xff",
        b"\xc0\x80",
        b"\xc0\xaf",
        b"\xe0\x80\x80",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xc3",
        b"\xe2\x82",
        b"\xf0\x9f\x98",
    ];
    for bytes in bad {
        for (before, after) in
            [("\"", "\""), ("{\"", "\":1}"), ("[1", "]"), ("\"\\n", "\""), ("1 ", ""), ("", "")]
        {
            let input = [before.as_bytes(), bytes, after.as_bytes()].concat();
            let refusal = read_value(&input).unwrap_err();
            assert!(!oracle::agrees_on(&input));
            assert_eq!((refusal.reason, refusal.offset), (Reason::NotUtf8, before.len()), "{input:x?}");
        }
    }
    for utf16 in [&b"\xff\xfe[\0]\0"[..], b"\xfe\xff\0[\0]"] {
        assert_eq!(read_value(utf16).unwrap_err().reason, Reason::NotUtf8);
    }
    let marked = read_value(b"\xef\xbb\xbf[]").unwrap_err();
    assert!(matches!(marked.reason, Reason::NotJson(_)), "a byte order mark");
}

#[test]
fn i_numbers_beyond_the_limits_are_refused_and_never_rounded() {
    let long = "1".repeat(39);
    let very_long = "1".repeat(5_000);
    for input in [
        "1e401",
        "-1e9999",
        "1e-401",
        "0e999999999999999999999",
        "0.4e00669999999999999999999999999",
        &long,
        &very_long,
    ] {
        for wrapped in [input.to_owned(), format!("[{input}]"), format!("-{}", input.trim_start_matches('-'))]
        {
            assert_eq!(
                read_value(wrapped.as_bytes()).unwrap_err().reason,
                Reason::NumberOutOfRange,
                "{wrapped}"
            );
            assert!(!oracle::agrees_on(wrapped.as_bytes()));
        }
    }
}

#[test]
fn repeated_names_are_refused_also_behind_escapes() {
    for (input, path, offset) in [
        (r#"{"a":1,"a":1}"#, "/a", 11),
        (r#"{"a":1,"\u0061":2}"#, "/a", 16),
        (r#"{"\u0061":1,"a":2}"#, "/a", 16),
        (r#"{"é":1,"\u00e9":2}"#, "/é", 17),
        (r#"{"":1,"b":2,"":3}"#, "/", 15),
        (r#"[0,{"x":{"a":null,"c":1,"a":null}}]"#, "/1/x/a", 28),
        (r#"{"b":{"a":{"c":[]},"a":{"c":[]}},"b":1}"#, "/b/a", 23),
    ] {
        let refusal = read_value(input.as_bytes()).unwrap_err();
        assert!(matches!(refusal.reason, Reason::DuplicateName(_)), "{input}");
        assert_eq!((refusal.path.as_str(), refusal.offset), (path, offset), "{input}");
        assert!(!oracle::agrees_on(input.as_bytes()));
    }
    assert!(read_value(r#"{"a":{"a":1},"b":{"a":1},"A":0,"á":1}"#.as_bytes()).is_ok());
    // Longest run that a quadratic search would feel: one object of as many names as values are allowed.
    let names: Vec<String> = (0..VALUES_MAX - 1).map(|n| format!("\"n{n}\":0")).collect();
    assert!(read_value(format!("{{{}}}", names.join(",")).as_bytes()).is_ok());
}

#[test]
fn text_borrows_where_nothing_is_escaped() {
    let Value::Array(items) = read_value(r#"["plain é", "esc\u0041ped", "\"", ""]"#.as_bytes()).unwrap()
    else {
        panic!()
    };
    let borrowed: Vec<bool> =
        items.iter().map(|item| matches!(item, Value::Text(Cow::Borrowed(_)))).collect();
    assert_eq!(borrowed, [true, false, false, true]);
    let Value::Object(object) = read_value(br#"{"k":1 , "k\u0032":2}"#).unwrap() else { panic!() };
    let borrowed: Vec<bool> =
        object.members().iter().map(|(name, _)| matches!(name, Cow::Borrowed(_))).collect();
    assert_eq!(borrowed, [true, false]);
}

#[test]
fn depth_values_and_size_pass_at_their_limit_and_are_refused_above() {
    let nested =
        |open: &str, close: &str, depth: usize| format!("{}{}", open.repeat(depth), close.repeat(depth));
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let inner = |depth| nested(open, close, depth).replace(":}", ":0}");
        assert!(read_value(inner(DEPTH_MAX).as_bytes()).is_ok());
        assert!(oracle::agrees_on(inner(DEPTH_MAX).as_bytes()));
        assert!(!oracle::agrees_on(inner(DEPTH_MAX + 1).as_bytes()));
        let refusal = read_value(inner(DEPTH_MAX + 1).as_bytes()).unwrap_err();
        assert_eq!(refusal.reason, Reason::TooDeep);
        assert_eq!(refusal.path.matches('/').count(), DEPTH_MAX);
    }
    assert_eq!(read_value("[".repeat(EVENT_BYTES_MAX).as_bytes()).unwrap_err().reason, Reason::TooDeep);

    let zeros = |count: usize| format!("[{}]", vec!["0"; count].join(","));
    assert!(read_value(zeros(VALUES_MAX - 1).as_bytes()).is_ok());
    assert!(oracle::agrees_on(zeros(VALUES_MAX - 1).as_bytes()));
    assert!(!oracle::agrees_on(zeros(VALUES_MAX).as_bytes()));
    assert_eq!(read_value(zeros(VALUES_MAX).as_bytes()).unwrap_err().reason, Reason::TooManyValues);

    let padded = |len: usize| format!("{}[]", " ".repeat(len - 2));
    assert!(read_value(padded(EVENT_BYTES_MAX).as_bytes()).is_ok());
    let refusal = read_value(padded(EVENT_BYTES_MAX + 1).as_bytes()).unwrap_err();
    assert_eq!(refusal.reason, Reason::TooLarge(EVENT_BYTES_MAX));
}
