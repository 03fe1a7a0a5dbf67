//! The rules of W3C Trace Context (level 1, and level 2 where it adds some) on a running node.
//!
//! The cases are those of the W3C's own harness (github.com/w3c/trace-context, test/test.py), told in our words, and a few
//! from the text. The harness watches the calls that a service makes; this door makes none, and tells in its answer what a
//! call would carry: the same trace under a span of its own, or nothing where the harness would see a new trace.

use std::collections::BTreeSet;

use crate::common::Folder;
use crate::support::{Answer, Node, ask};

const TRACE: &str = "12345678901234567890123456789012";
const PARENT: &str = "1234567890123456";

/// What an answer must tell.
#[derive(Clone, Debug)]
enum Goes {
    /// The trace goes on, with these flags and this state.
    On(&'static str, Option<String>),
    /// There is no trace.
    Nowhere,
}

struct Case {
    name: &'static str,
    headers: Vec<(&'static str, String)>,
    goes: Goes,
}

fn on(flags: &'static str) -> Goes {
    Goes::On(flags, None)
}

fn with_state(state: &str) -> Goes {
    Goes::On("00", Some(state.to_owned()))
}

/// A row of a table.
type Row<V> = (&'static str, V, Goes);

/// One header `traceparent`: its value, and what is to become of it.
fn parent_values() -> Vec<Row<String>> {
    let good = format!("00-{TRACE}-{PARENT}-01");
    let parent =
        |version: &str, trace: &str, parent: &str, flags: &str| format!("{version}-{trace}-{parent}-{flags}");
    let of = |version: &str| parent(version, TRACE, PARENT, "01");
    let traced = |trace: &str| parent("00", trace, PARENT, "01");
    let by = |id: &str| parent("00", TRACE, id, "01");
    let flagged = |flags: &str| parent("00", TRACE, PARENT, flags);
    let zeros = "0".repeat(32);
    vec![
        ("as it should be", good.clone(), on("01")),
        ("not sampled", flagged("00"), on("00")),
        ("random id, level 2", flagged("02"), on("02")),
        ("sampled and random", flagged("03"), on("03")),
        ("flags of the future are not passed on", flagged("ff"), on("03")),
        ("version 00 with a trailing character", format!("{good}."), Goes::Nowhere),
        ("version 00 with a further field", format!("{good}-what-the-future-will-be-like"), Goes::Nowhere),
        ("version 00 with a trailing dash", format!("{good}-"), Goes::Nowhere),
        ("version cc", of("cc"), on("01")),
        ("version cc with a further field", format!("{}-what-the-future-will-be-like", of("cc")), on("01")),
        ("version cc with an empty further field", format!("{}-", of("cc")), on("01")),
        ("version cc with another separator", format!("{}.what-the-future", of("cc")), Goes::Nowhere),
        ("version cc cut short", format!("cc-{TRACE}-{PARENT}"), Goes::Nowhere),
        ("version ff", of("ff"), Goes::Nowhere),
        ("version ff with a further field", format!("{}-x", of("ff")), Goes::Nowhere),
        ("version with a dot first", of(".0"), Goes::Nowhere),
        ("version with a dot last", of("0."), Goes::Nowhere),
        ("version in upper case", of("CC"), Goes::Nowhere),
        ("version of three digits", of("000"), Goes::Nowhere),
        ("version of four digits", of("0000"), Goes::Nowhere),
        ("version of one digit", of("0"), Goes::Nowhere),
        ("trace id of zeros", traced(&zeros), Goes::Nowhere),
        ("trace id with a dot first", traced(&format!(".{}", &TRACE[1..])), Goes::Nowhere),
        ("trace id with a dot last", traced(&format!("{}.", &TRACE[1..])), Goes::Nowhere),
        ("trace id in upper case", traced(&format!("ABCDEF{}", &TRACE[6..])), Goes::Nowhere),
        ("trace id too long", traced(&format!("{TRACE}3")), Goes::Nowhere),
        ("trace id too short", traced(&TRACE[1..]), Goes::Nowhere),
        ("parent id of zeros", by(&zeros[..16]), Goes::Nowhere),
        ("parent id with a dot first", by(&format!(".{}", &PARENT[1..])), Goes::Nowhere),
        ("parent id with a dot last", by(&format!("{}.", &PARENT[1..])), Goes::Nowhere),
        ("parent id in upper case", by(&format!("ABCDEF{}", &PARENT[6..])), Goes::Nowhere),
        ("parent id too long", by(&format!("{PARENT}7")), Goes::Nowhere),
        ("parent id too short", by(&PARENT[1..]), Goes::Nowhere),
        ("flags with a dot first", flagged(".0"), Goes::Nowhere),
        ("flags with a dot last", flagged("0."), Goes::Nowhere),
        ("flags in upper case", flagged("0A"), Goes::Nowhere),
        ("flags too long", flagged("001"), Goes::Nowhere),
        ("flags too short", flagged("1"), Goes::Nowhere),
        ("a space before", format!(" {good}"), on("01")),
        ("a tab before", format!("\t{good}"), on("01")),
        ("a space behind", format!("{good} "), on("01")),
        ("a tab behind", format!("{good}\t"), on("01")),
        ("white space on both sides", format!("\t {good} \t"), on("01")),
        ("nothing", String::new(), Goes::Nowhere),
    ]
}

/// Cases of the header `traceparent`.
fn parents() -> Vec<Case> {
    let good = format!("00-{TRACE}-{PARENT}-01");
    let one = |(name, value, goes)| Case { name, headers: vec![("traceparent", value)], goes };
    let mut cases: Vec<Case> = parent_values().into_iter().map(one).collect();
    for name in ["TraceParent", "TrAcEpArEnT", "TRACEPARENT"] {
        cases.push(Case {
            name: "any case of the name",
            headers: vec![(name, good.clone())],
            goes: on("01"),
        });
    }
    for name in ["trace-parent", "trace.parent"] {
        cases.push(Case { name: "another name", headers: vec![(name, good.clone())], goes: Goes::Nowhere });
    }
    let other = good.replace("9012-", "9011-");
    let twice = vec![("traceparent", other), ("traceparent", good.clone())];
    cases.push(Case { name: "two different ones", headers: twice, goes: Goes::Nowhere });
    let same = vec![("traceparent", good.clone()), ("traceparent", good)];
    cases.push(Case { name: "the same one twice", headers: same, goes: Goes::Nowhere });
    cases.push(Case { name: "no trace at all", headers: Vec::new(), goes: Goes::Nowhere });
    cases
}

fn members(from: u32, to: u32) -> String {
    (from..=to).map(|n| format!("bar{n:02}={n:02}")).collect::<Vec<_>>().join(",")
}

fn kept(value: &str) -> (Vec<String>, Goes) {
    (vec![value.to_owned()], with_state(value))
}

fn gone(value: &str) -> (Vec<String>, Goes) {
    (vec![value.to_owned()], on("00"))
}

/// Several headers that become one; none where that is empty.
fn several(values: &[&str], state: &str) -> (Vec<String>, Goes) {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    (values, if state.is_empty() { on("00") } else { with_state(state) })
}

type State = (&'static str, (Vec<String>, Goes));

/// `tracestate`: lists of members.
fn lists() -> Vec<State> {
    let all_key = "abcdefghijklmnopqrstuvwxyz0123456789_-*/";
    let all_value: String = (' '..='~').filter(|char| !matches!(char, ',' | '=')).collect();
    let three = "foo=1,bar=2,baz=3";
    vec![
        ("two members", kept("foo=1,bar=2")),
        ("no members", gone("")),
        ("empty members only", gone(" , ,")),
        ("a member and an empty header", several(&["foo=1", ""], "foo=1")),
        ("an empty header and a member", several(&["", "foo=1"], "foo=1")),
        ("empty members between", several(&["foo=1,,bar=2,"], "foo=1,bar=2")),
        (
            "several headers are one list, in order",
            several(&["foo=1,bar=2", "rojo=1,congo=2", "baz=3"], "foo=1,bar=2,rojo=1,congo=2,baz=3"),
        ),
        ("a key twice, the same value", several(&["foo=1,foo=1"], "foo=1")),
        ("a key twice, another value", several(&["foo=1,foo=2"], "foo=1")),
        ("a key twice in two headers", several(&["foo=1", "foo=2"], "foo=1")),
        ("every character of a key and a value", kept(&format!("{all_key}={all_value}"))),
        ("every character, with a system's name", kept(&format!("{all_key}@a-z0-9_-*/={all_value}"))),
        ("white space around members", several(&["foo=1 \t , \t bar=2, \t baz=3"], three)),
        ("tabs around members", several(&["foo=1\t \t,\t \tbar=2,\t \tbaz=3"], three)),
        ("a space before", several(&[" foo=1"], "foo=1")),
        ("a tab before", several(&["\tfoo=1"], "foo=1")),
        ("a space behind", several(&["foo=1 "], "foo=1")),
        ("a tab behind", several(&["foo=1\t"], "foo=1")),
        ("white space on both sides", several(&["\t foo=1 \t"], "foo=1")),
    ]
}

/// `tracestate`: the form of a member, and bounds.
fn forms() -> Vec<State> {
    let long = |count: usize, char: &str| char.repeat(count);
    let (ten, twenty, thirty) = (members(1, 10), members(11, 20), members(21, 30));
    vec![
        ("a space at a value's begin is its own", kept("foo= 1")),
        ("a space behind a key", gone("foo =1")),
        ("a key in upper case", gone("FOO=1")),
        ("a key with a dot", gone("foo.bar=1")),
        ("a key that begins with an at sign", gone("@foo=1,bar=2")),
        ("a key that begins with an underscore", gone("_foo=1")),
        ("a key that begins with a digit", kept("1foo=1")),
        ("a key that ends with an at sign", kept("foo@=1,bar=2")),
        ("a key with two at signs", kept("foo@@bar=1,bar=2")),
        ("a key with at signs apart", kept("foo@bar@baz=1,bar=2")),
        ("no key", gone("=1")),
        ("no value", gone("foo=,bar=3")),
        ("no equals sign", gone("foo,bar=3")),
        ("a value with an equals sign", gone("foo=bar=baz")),
        ("a value with a tab", gone("foo=a\tb")),
        ("one broken member drops all", several(&["foo=1", "BAD=2"], "")),
        ("32 members", several(&[&ten, &twenty, &thirty, "bar31=31,bar32=32"], &members(1, 32))),
        ("33 members", several(&[&ten, &twenty, &thirty, "bar31=31,bar32=32,bar33=33"], "")),
        (
            "a key of 256 characters",
            several(&["foo=1", &format!("{}=1", long(256, "z"))], &format!("foo=1,{}=1", long(256, "z"))),
        ),
        ("a key of 257 characters", several(&["foo=1", &format!("{}=1", long(257, "z"))], "")),
        ("a key with 241 and 14 characters", kept(&format!("{}@{}=1", long(241, "t"), long(14, "v")))),
        ("a key with 242 and 1", kept(&format!("{}@v=1", long(242, "t")))),
        ("a key with 1 and 15", kept(&format!("t@{}=1", long(15, "v")))),
        ("a value of 256 characters", kept(&format!("foo={}", long(256, "v")))),
        ("a value of 257 characters", gone(&format!("foo={}", long(257, "v")))),
        ("512 characters and more", kept(&members(1, 32).replace("=", &format!("={}", long(20, "x"))))),
    ]
}

/// Cases of the header `tracestate`, each beside a good `traceparent`.
fn states() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, (values, goes)) in lists().into_iter().chain(forms()) {
        let mut headers = vec![("traceparent", format!("00-{TRACE}-{PARENT}-00"))];
        headers.extend(values.into_iter().map(|value| ("tracestate", value)));
        cases.push(Case { name, headers, goes });
    }
    cases
}

/// Cases of both headers together.
fn both() -> Vec<Case> {
    let good = || ("traceparent", format!("00-{TRACE}-{PARENT}-00"));
    let state = |name: &'static str| (name, "foo=1".to_owned());
    let mut cases = vec![
        Case { name: "a state without a trace", headers: vec![state("tracestate")], goes: Goes::Nowhere },
        Case {
            name: "a state with a broken trace",
            headers: vec![("traceparent", format!("00-{TRACE}-{PARENT}-0")), state("tracestate")],
            goes: Goes::Nowhere,
        },
        Case {
            name: "a state with a trace of a later version",
            headers: vec![("traceparent", format!("cc-{TRACE}-{PARENT}-00-x")), state("tracestate")],
            goes: with_state("foo=1"),
        },
    ];
    for name in ["TraceState", "TrAcEsTaTe", "TRACESTATE"] {
        let headers = vec![good(), state(name)];
        cases.push(Case { name: "any case of the state's name", headers, goes: with_state("foo=1") });
    }
    for name in ["trace-state", "trace.state"] {
        cases.push(Case {
            name: "another name of the state",
            headers: vec![good(), state(name)],
            goes: on("00"),
        });
    }
    cases
}

/// A header of an answer, once at most.
fn told<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    let mut found = answer.head.lines().filter_map(|line| line.strip_prefix(&format!("{name}: ")));
    let first = found.next();
    assert_eq!(found.next(), None, "{name} twice: {answer:?}");
    first
}

/// What is wrong with an answer, where something is; the span that it names.
fn judged(case: &Case, answer: &Answer) -> Result<Option<String>, String> {
    let (parent, state) = (told(answer, "traceparent"), told(answer, "tracestate"));
    match (&case.goes, parent) {
        (Goes::Nowhere, None) if state.is_none() => Ok(None),
        (Goes::On(flags, want), Some(parent)) => {
            let parts: Vec<&str> = parent.split('-').collect();
            let [version, trace, span, told_flags] = parts[..] else { return Err(parent.to_owned()) };
            let span_is_new = span.len() == 16 && span != PARENT && span.bytes().any(|byte| byte != b'0');
            // The answer's head is in small letters.
            let want = want.as_ref().map(|state| state.to_ascii_lowercase());
            let is_right = (version, trace, told_flags) == ("00", TRACE, *flags) && state == want.as_deref();
            (is_right && span_is_new)
                .then(|| Some(span.to_owned()))
                .ok_or_else(|| format!("{parent}, {state:?}"))
        }
        (Goes::On(..) | Goes::Nowhere, _) => Err(format!("{parent:?}, {state:?}")),
    }
}

#[test]
fn trace_context_is_read_and_passed_on_as_w3c_says() {
    let folder = Folder::with_store();
    let node = Node::serve(&folder);
    let (mut wrong, mut spans, mut on) = (Vec::new(), BTreeSet::new(), 0);
    let (parents, states, both) = (parents(), states(), both());
    let counts = [parents.len(), states.len(), both.len()];
    for case in parents.iter().chain(&states).chain(&both) {
        let headers: Vec<(&str, &str)> =
            case.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = ask(node.listen, "GET", "/healthz", &headers, "").unwrap();
        // Whatever a trace looks like, the request itself is answered.
        assert_eq!(answer.status, 200, "{}: {answer:?}", case.name);
        match judged(case, &answer) {
            Ok(Some(span)) => {
                on += 1;
                spans.insert(span);
            }
            Ok(None) => {}
            Err(got) => {
                wrong.push(format!("{}: {:?} became {got}, not {:?}", case.name, case.headers, case.goes))
            }
        }
    }
    let [parents, states, both] = counts;
    println!(
        "trace context: {parents} cases of traceparent, {states} of tracestate, {both} of both; {} wrong",
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(spans.len(), on, "each request has a span of its own");
}

#[test]
fn an_answer_of_any_kind_carries_the_trace_on() {
    let folder = Folder::with_store();
    let node = Node::serve(&folder);
    let parent = format!("00-{TRACE}-{PARENT}-01");
    for (method, path, status) in [
        ("POST", "/v1/events", 401),
        ("GET", "/nothing", 404),
        ("PUT", "/v1/ledger", 405),
        ("GET", "/readyz", 200),
    ] {
        let headers = [("traceparent", parent.as_str()), ("tracestate", "foo=1")];
        let answer = ask(node.listen, method, path, &headers, "").unwrap();
        assert_eq!(answer.status, status, "{answer:?}");
        let case = Case { name: path, headers: Vec::new(), goes: Goes::On("01", Some("foo=1".to_owned())) };
        assert!(judged(&case, &answer).is_ok(), "{answer:?}");
    }
}
