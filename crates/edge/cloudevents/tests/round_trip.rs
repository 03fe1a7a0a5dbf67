//! `CE-3`: what is written is read back equal, for any event and for every file of the fuzz corpus.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "support/oracle.rs"]
mod oracle;
#[path = "support/property.rs"]
mod property;

use std::borrow::Cow;
use std::cell::Cell;
use std::path::Path;

use proptest::prelude::*;
use waag_cloudevents::{read_event, write_event};
use waag_fixtures::mutate::mutations;
use waag_model::event::{Data, Event};
use waag_model::value::{Decimal, Object, Value};

fn number() -> impl Strategy<Value = Value<'static>> {
    let most = 10_i128.pow(38) - 1;
    prop_oneof![
        any::<i64>().prop_map(|n| Value::Integer(n.into())),
        (-most..=most).prop_map(Value::Integer),
        (any::<i32>(), -12..4_i32)
            .prop_map(|(s, exponent)| { Value::Decimal(Decimal { significand: s.into(), exponent }) }),
        (-most..=most, -400..=400_i32)
            .prop_map(|(significand, exponent)| Value::Decimal(Decimal { significand, exponent })),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9 ]{0,12}",
        ".{0,12}",
        prop::collection::vec(any::<char>(), 0..8).prop_map(String::from_iter),
        "[\\x00-\\x1f\"\\\\/\u{7f}\u{2028}😀]{0,8}",
    ]
}

fn object(members: Vec<(String, Value<'static>)>) -> Object<'static> {
    let unique: std::collections::BTreeMap<_, _> = members.into_iter().collect();
    Object::from_members(unique.into_iter().map(|(k, v)| (Cow::Owned(k), v)).collect()).unwrap()
}

fn value() -> impl Strategy<Value = Value<'static>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        number(),
        text().prop_map(|t| Value::Text(t.into())),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((text(), inner), 0..6).prop_map(|members| Value::Object(object(members))),
        ]
    })
}

fn attribute() -> impl Strategy<Value = Value<'static>> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i32>().prop_map(|n| Value::Integer(n.into())),
        "[ -~é€]{0,20}".prop_map(|t| Value::Text(t.into())),
    ]
}

fn event() -> impl Strategy<Value = Event<'static>> {
    let data = prop_oneof![
        Just(Data::None),
        value().prop_map(Data::Json),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Data::Binary(bytes.into())),
    ];
    let extensions = prop::collection::vec(("x[a-z0-9]{0,5}", attribute()), 0..5).prop_map(object);
    let core =
        ("[ -~é€]{1,20}", "[a-z:/?#%]{0,4}[a-z/]{1,12}".prop_map(|s| s.replace('%', "%2F")), "[ -~]{1,20}");
    (core, prop::option::of("[ -~é]{1,9}"), extensions, data).prop_map(
        |((id, source, kind), subject, attributes, data)| Event {
            id: id.into(),
            source: source.into(),
            kind: kind.into(),
            subject: subject.map(Cow::Owned),
            attributes,
            data,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn any_event_is_read_back_as_it_was_written(event in event()) {
        let mut out = Vec::new();
        write_event(&event, &mut out);
        let again = read_event(&out);
        prop_assert_eq!(again.as_ref(), Ok(&event), "{}", String::from_utf8_lossy(&out));
        prop_assert!(property::holds_for(&out));
        prop_assert!(oracle::agrees_on(&out));
    }

    #[test]
    fn any_bytes_end_in_an_event_or_a_refusal(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        property::holds_for(&bytes);
        oracle::agrees_on(&bytes);
    }

    #[test]
    fn a_changed_byte_ends_in_an_event_or_a_refusal(event in event(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut out = Vec::new();
        write_event(&event, &mut out);
        let at = at.index(out.len());
        out[at] = byte;
        property::holds_for(&out);
        oracle::agrees_on(&out);
        out.truncate(at);
        prop_assert!(!property::holds_for(&out), "a cut event was accepted");
    }
}

#[test]
fn fuzz_corpus_cloudevents() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/corpus/cloudevents");
    let (mut accepted, mut refused) = (0, 0);
    for file in std::fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        let taken = property::holds_for(&std::fs::read(&path).unwrap());
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        // Seeds say in their name what must become of them; a fuzzer's own finds are named by hash.
        assert!(!name.starts_with("good_") || taken, "{name} was refused");
        assert!(!name.starts_with("bad_") || !taken, "{name} was accepted");
        if taken { accepted += 1 } else { refused += 1 }
    }
    assert!(accepted >= 10 && refused >= 20, "the corpus is there: {accepted} accepted, {refused} refused");
}

#[test]
fn mutations_of_the_fuzz_corpus_cloudevents() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/corpus/cloudevents");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    // The order of a folder is the file system's; the inputs are the same everywhere.
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let (accepted, refused) = (Cell::new(0), Cell::new(0));
    mutations(&seeds, 20_000, 1, &mut |input| {
        let counted = if property::holds_for(input) { &accepted } else { &refused };
        counted.set(counted.get() + 1);
    });
    assert!(
        accepted.get() > 100 && refused.get() > 5_000,
        "{} accepted, {} refused",
        accepted.get(),
        refused.get()
    );
}
