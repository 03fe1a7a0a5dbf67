//! `ENTRY-4`, `ENTRY-5`, `ENTRY-6` for arbitrary events under a fixed set of schemas: parts merge to the event again,
//! value for value and through their bytes, and nothing that a schema marks stays in the common part.
//!
//! Each property counts how many events were really taken apart, so that refusals cannot make it hold for nothing.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail loudly")]

#[path = "support/values.rs"]
mod values;

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use values::{object, scalar, shaped, value};
use waag_entry::merge::merge;
use waag_entry::plain::{Common, Inline, read_common, read_fields, write_common, write_fields};
use waag_entry::split::{Split, split};
use waag_model::event::{Data, Event};
use waag_model::ids::Actor;
use waag_model::schema::Schema;
use waag_model::value::{Object, Value};

const SCHEMAS: usize = 7;
const MARK: &str = "MARK";

fn members<const N: usize>(members: [(&str, Value<'static>); N]) -> Value<'static> {
    object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn text(text: &str) -> Value<'static> {
    Value::Text(text.to_owned().into())
}

fn class(class: &str) -> Value<'static> {
    members([("x-classification", text(class))])
}

fn items(items: Value<'static>) -> Value<'static> {
    members([("items", items)])
}

fn personal_of(subject: &str) -> Value<'static> {
    members([("x-data-subject", text(subject)), ("x-classification", text("personal"))])
}

/// The schemas; the last "schema" is none.
fn schema(at: usize) -> Option<Schema> {
    let document = match at {
        0 => members([("properties", members([("memo", members([]))]))]),
        // One object is one person's, as a whole.
        1 => members([("properties", members([("employee", personal_of("id"))]))]),
        // Each line of a list has a person, some of its members are personal.
        2 => {
            let marked = members([("name", class("personal")), ("iban", class("account"))]);
            let line = members([("x-data-subject", text("id")), ("properties", marked)]);
            members([("properties", members([("lines", items(line)), ("memo", class("internal"))]))])
        }
        // All is the subject's: members, members of elements of members, and attributes.
        3 => {
            let lines = items(members([("properties", members([("name", class("personal"))]))]));
            let employee = members([("properties", members([("lines", lines)]))]);
            let attributes = members([("id", personal_of("/subject")), ("holder", personal_of("/subject"))]);
            members([
                ("x-data-subject", text("/subject")),
                ("properties", members([("name", class("secret")), ("employee", employee)])),
                ("x-attributes", attributes),
            ])
        }
        // The whole data is a customer's, but for one member.
        4 => members([
            ("x-data-subject", text("/data/id")),
            ("x-data-subject-kind", text("customer")),
            ("x-classification", text("personal")),
            (
                "properties",
                members([
                    ("id", members([])),
                    ("name", class("personal")),
                    ("memo", class("internal")),
                    ("lines", items(members([]))),
                ]),
            ),
        ]),
        // Names that must be escaped in a path.
        5 => members([("properties", members([("a/b", personal_of("~01")), ("", personal_of("0"))]))]),
        _ => return None,
    };
    Some(Schema::compile(1, &document).unwrap())
}

fn event(
    identity: (String, String, Option<String>),
    attributes: Vec<(String, Value<'static>)>,
    data: Data<'static>,
) -> Event<'static> {
    let (id, source, subject) = identity;
    let Value::Object(attributes) = object(attributes) else {
        return event((id, source, subject), vec![], data);
    };
    Event {
        id: id.into(),
        source: source.into(),
        kind: "t".into(),
        subject: subject.map(Into::into),
        attributes,
        data,
    }
}

/// Data that has, more or less, the shape a schema plans for, with `own` where the schema marks and `other` elsewhere.
fn planned(
    at: usize,
    id: BoxedStrategy<String>,
    own: BoxedStrategy<Value<'static>>,
    other: BoxedStrategy<Value<'static>>,
    own_name: BoxedStrategy<String>,
) -> BoxedStrategy<Value<'static>> {
    let id = id.prop_map(|id| Value::Text(id.into())).boxed();
    // What a personal object may hold beside what is planned.
    let more = prop::collection::vec((own_name, own.clone()), 0..3);
    let with = |mut more: Vec<(String, Value<'static>)>, fixed: Vec<(&str, Value<'static>)>| {
        more.extend(fixed.into_iter().map(|(name, value)| (name.to_owned(), value)));
        object(more)
    };
    match at {
        1 => (id, own, other, more)
            .prop_map(move |(id, name, memo, more)| {
                members([("employee", with(more, vec![("id", id), ("name", name)])), ("memo", memo)])
            })
            .boxed(),
        2 => {
            let line = (id, own.clone(), own, other.clone()).prop_map(|(id, name, iban, amount)| {
                members([("id", id), ("name", name), ("iban", iban), ("amount", amount)])
            });
            (prop::collection::vec(line, 1..9), other)
                .prop_map(|(lines, memo)| members([("lines", Value::Array(lines)), ("memo", memo)]))
                .boxed()
        }
        3 => {
            let odd = |value: &Value<'_>| !matches!(value, Value::Object(_));
            let employee = prop_oneof![
                prop::collection::vec(own.clone().prop_filter("odd", odd), 0..4)
                    .prop_map(|lines| members([("lines", Value::Array(lines))])),
                prop::collection::vec(own.clone(), 0..4).prop_map(|names| {
                    let lines = names.into_iter().map(|name| members([("name", name)])).collect();
                    members([("lines", Value::Array(lines))])
                }),
                own.clone()
                    .prop_filter("odd", move |value| !matches!(value, Value::Array(_)))
                    .prop_map(|lines| members([("lines", lines)])),
                own.clone().prop_filter("odd", odd),
            ];
            (own, employee, other)
                .prop_map(|(name, employee, memo)| {
                    members([("name", name), ("employee", employee), ("memo", memo)])
                })
                .boxed()
        }
        4 => (id, own.clone(), other, own, prop_oneof![Just(vec![]), more])
            .prop_map(move |(id, name, memo, lines, more)| {
                // A member nobody planned takes the whole object with it.
                let fixed = vec![("id", id), ("name", name), ("memo", memo), ("lines", lines)];
                with(more, fixed)
            })
            .boxed(),
        5 => (id.clone(), id, own.clone(), own, other)
            .prop_map(|(one, two, a, b, memo)| {
                members([
                    ("a/b", members([("~1", one), ("x", a)])),
                    ("", members([("0", two), ("~", b)])),
                    ("memo", memo),
                ])
            })
            .boxed(),
        _ => own,
    }
}

/// The parts as they are stored, read again.
struct Stored {
    common: Vec<u8>,
    persons: Vec<Vec<u8>>,
}

fn store(split: &Split<'_>) -> Stored {
    let mut common = Vec::new();
    write_common(&mut common, &split.common);
    let fields = |person: &waag_entry::split::Person<'_>| {
        let mut out = Vec::new();
        write_fields(&mut out, &person.fields);
        out
    };
    Stored { common, persons: split.persons.iter().map(fields).collect() }
}

/// The event as the common part and the parts in `open` tell it.
fn load(stored: &Stored, open: impl Fn(u8) -> bool) -> Common<'_> {
    let Inline::Here(common) = read_common(&stored.common).unwrap() else { return load(stored, open) };
    let mut parts = Vec::new();
    for (part, bytes) in (1_u8..).zip(&stored.persons).filter(|(part, _)| open(*part)) {
        if let Inline::Here(fields) = read_fields(bytes).unwrap() {
            parts.push((part, fields));
        }
    }
    merge(common, parts).unwrap()
}

fn holds(bytes: &[u8], what: &str) -> bool {
    bytes.windows(what.len()).any(|window| window == what.as_bytes())
}

type Case = (usize, Event<'static>, String, u8);

fn any_event() -> impl Strategy<Value = Case> {
    let identity = (".{1,8}", ".{1,8}", prop::option::of("[a-c]{1,2}"));
    let attributes = prop::collection::vec(("[a-z]{1,6}", scalar(".{0,8}".boxed())), 0..4);
    (0..SCHEMAS, identity, attributes, "[a-c]{1,2}", any::<u8>()).prop_flat_map(
        |(at, identity, attributes, actor, open)| {
            let ids = "[a-c]{1,2}".boxed();
            let likely = planned(at, ids, value(), value(), ".{0,4}".boxed());
            let data = prop_oneof![
                6 => likely.prop_map(Data::Json),
                3 => value().prop_map(Data::Json),
                1 => Just(Data::None),
                1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Data::Binary(bytes.into())),
            ];
            data.prop_map(move |data| {
                (at, event(identity.clone(), attributes.clone(), data), actor.clone(), open)
            })
        },
    )
}

#[test]
fn the_parts_of_any_event_merge_to_the_event_again() {
    let taken = [const { Cell::new(0_u32) }; SCHEMAS];
    let with_persons = Cell::new(0_u32);
    let config = Config { cases: 3_000, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&any_event(), |(at, event, actor, open)| {
        let actor = Actor::new(&actor).unwrap();
        let Ok(parts) = split(event.clone(), &actor, schema(at).as_ref()) else { return Ok(()) };
        let stored = store(&parts);
        let whole = load(&stored, |_| true);
        prop_assert_eq!(whole.actor.as_text(), Some(actor.as_str()));
        let merged = whole.into_event("t");
        prop_assert_eq!(merged.as_ref(), Some(&event));
        // Any choice of open parts: the closed ones stay placeholders, and each closed part has one.
        let is_open = |part: u8| open >> part & 1 == 1;
        let some = load(&stored, is_open);
        for part in 1..=7_u8 {
            let exists = usize::from(part) <= parts.persons.len();
            prop_assert_eq!(some.withholds(part), exists && !is_open(part));
        }
        taken[at].set(taken[at].get() + 1);
        with_persons.set(with_persons.get() + u32::from(!parts.persons.is_empty()));
        Ok(())
    });
    assert_eq!(result.map_err(|error| error.to_string()), Ok(()));
    let taken = taken.map(|cell| cell.get());
    assert!(taken.iter().all(|count| *count >= 100), "{taken:?}");
    assert!(with_persons.get() >= 1_000, "{}", with_persons.get());
}

/// Events whose every text and name is marked where the schema marks, and nowhere else.
fn marked_event() -> impl Strategy<Value = Case> {
    let mark = || "[a-z]{0,5}".prop_map(|text| format!("{text}{MARK}{text}")).boxed();
    let plain = || "[a-z]{1,5}".boxed();
    (1..SCHEMAS, any::<[bool; 2]>(), mark(), plain(), plain(), any::<u8>()).prop_flat_map(
        move |(at, [own_subject, own_actor], id, source, name, open)| {
            let leaf = mark().prop_map(|text| Value::Text(text.into())).boxed();
            let own = shaped(leaf, mark());
            let other = shaped(scalar(plain()).boxed(), plain());
            // With one person id in the event, subject and actor may be that person too.
            let whose = Just(id.clone()).boxed();
            let data = planned(at, whose, own.clone(), other, mark());
            let whole = at == 6;
            let subject = match at {
                3 | 6 => Some(id.clone()),
                _ if own_subject => Some(id.clone()),
                _ => Some(name.clone()),
            };
            let own_id = if at == 3 || whole { id.clone() } else { name.clone() };
            let own_source = if whole { id.clone() } else { source.clone() };
            let actor = if own_actor { id.clone() } else { source.clone() };
            let attributes = move |own: Value<'static>| match at {
                3 => vec![("holder".to_owned(), own), ("time".to_owned(), text("t"))],
                6 => vec![(MARK.to_owned(), own)],
                _ => vec![("time".to_owned(), text("t"))],
            };
            (data, own).prop_map(move |(data, own)| {
                let identity = (own_id.clone(), own_source.clone(), subject.clone());
                (at, event(identity, attributes(own), Data::Json(data)), actor.clone(), open)
            })
        },
    )
}

#[test]
fn nothing_marked_stays_in_the_common_part() {
    let taken = [const { Cell::new(0_u32) }; SCHEMAS];
    let config = Config { cases: 3_000, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&marked_event(), |(at, event, actor, _)| {
        let actor = Actor::new(&actor).unwrap();
        let Ok(parts) = split(event, &actor, schema(at).as_ref()) else { return Ok(()) };
        let stored = store(&parts);
        // Subject and actor too: where they carry a mark, they are the event's person.
        prop_assert!(!holds(&stored.common, MARK), "{:?}", parts.common);
        prop_assert!(stored.persons.iter().any(|person| holds(person, MARK)));
        taken[at].set(taken[at].get() + 1);
        Ok(())
    });
    assert_eq!(result.map_err(|error| error.to_string()), Ok(()));
    let taken = taken.map(|cell| cell.get());
    assert!(taken.iter().skip(1).all(|count| *count >= 150), "{taken:?}");
}

#[test]
fn the_marker_is_seen_where_nothing_is_marked() {
    // What the property above looks for is found when the schema does not mark it.
    let actor = Actor::new("a").unwrap();
    let data = members([("employee", members([("id", text("1")), ("name", text(MARK))]))]);
    let plain = event(("i".into(), "s".into(), None), vec![], Data::Json(data));
    let seen = |at| holds(&store(&split(plain.clone(), &actor, schema(at).as_ref()).unwrap()).common, MARK);
    assert!(seen(0) && !seen(1));
    assert_eq!(plain.attributes, Object::default());
}
