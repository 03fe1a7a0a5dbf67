//! Given an event and a schema, then these parts; and merged, the event again.

use std::borrow::Cow;

use waag_model::event::{Data, Event};
use waag_model::ids::Actor;
use waag_model::schema::Schema;
use waag_model::value::{Object, Value};

use super::{PERSONS_MAX, Split, SplitError, merge, split};
use crate::plain::{Body, Field};

fn object<'a>(members: &[(&'a str, Value<'a>)]) -> Value<'a> {
    Value::Object(
        Object::from_members(
            members
                .iter()
                .map(|(k, v)| (Cow::Borrowed(*k), v.clone()))
                .collect(),
        )
        .unwrap(),
    )
}

fn text(text: &str) -> Value<'_> {
    Value::Text(text.into())
}

fn marked(class: &str) -> Value<'_> {
    object(&[("x-classification", text(class))])
}

fn event<'a>(subject: Option<&'a str>, data: Value<'a>) -> Event<'a> {
    Event {
        id: "1".into(),
        source: "/erp".into(),
        kind: "expense".into(),
        subject: subject.map(Into::into),
        attributes: Object::default(),
        data: Data::Json(data),
    }
}

/// Takes an event apart, holds that merging gives it back, and returns the parts.
fn check<'a>(event: &Event<'a>, schema: Option<&Schema>, actor: &'a Actor) -> Result<Split<'a>, SplitError> {
    let parts = split(event.clone(), actor, schema)?;
    let fields = parts.persons.iter().map(|person| person.fields.clone()).collect();
    let merged = merge(parts.common.clone(), fields).unwrap();
    assert_eq!(merged.into_event("expense").unwrap(), *event);
    Ok(parts)
}

fn fields(split: &Split<'_>) -> Vec<(String, Vec<String>)> {
    let paths = |person: &super::Person<'_>| person.fields.iter().map(|(path, _)| path.to_string()).collect();
    split
        .persons
        .iter()
        .map(|person| (person.id.clone(), paths(person)))
        .collect()
}

fn lines_schema() -> Schema {
    let line = object(&[
        ("x-data-subject", text("id")),
        (
            "properties",
            object(&[("name", marked("personal")), ("iban", marked("account"))]),
        ),
    ]);
    let document = object(&[(
        "properties",
        object(&[
            ("lines", object(&[("items", line)])),
            ("memo", marked("internal")),
        ]),
    )]);
    Schema::compile(1, &document).unwrap()
}

#[test]
fn each_person_of_a_list_gets_a_part() {
    let actor = Actor::new("ops").unwrap();
    let line = |id, name| {
        object(&[
            ("id", text(id)),
            ("name", text(name)),
            ("amount", Value::Integer(5)),
        ])
    };
    let data = object(&[
        ("memo", text("March")),
        (
            "lines",
            Value::Array(vec![line("p1", "Ada"), line("p2", "Bob"), line("p1", "Ada")]),
        ),
    ]);
    let parts = check(&event(Some("invoice-1"), data), Some(&lines_schema()), &actor).unwrap();
    let paths = |of: &[&str]| of.iter().map(|p| format!("/data/lines/{p}")).collect::<Vec<_>>();
    assert_eq!(
        fields(&parts),
        [
            ("p1".to_owned(), paths(&["0/id", "2/id", "0/name", "2/name"])),
            ("p2".to_owned(), paths(&["1/id", "1/name"])),
        ]
    );
    let Body::Json(rest) = &parts.common.body else {
        panic!("a body")
    };
    assert_eq!(rest.child("memo"), Some(&text("March")));
    let first = rest.child("lines").and_then(|lines| lines.child("0")).unwrap();
    assert_eq!(
        first,
        &object(&[
            ("id", Value::Withheld),
            ("name", Value::Withheld),
            ("amount", Value::Integer(5))
        ])
    );
    assert_eq!(parts.subject_person, None);
}

#[test]
fn a_subject_that_is_a_person_goes_into_the_persons_part() {
    let actor = Actor::new("ops").unwrap();
    let document = object(&[
        ("x-data-subject", text("/subject")),
        ("properties", object(&[("mail", marked("personal"))])),
    ]);
    let schema = Schema::compile(1, &document).unwrap();
    let data = object(&[("mail", text("a@b")), ("plan", text("gold"))]);
    let parts = check(&event(Some("ada"), data), Some(&schema), &actor).unwrap();
    assert_eq!(
        fields(&parts),
        [(
            "ada".to_owned(),
            vec!["/subject".to_owned(), "/data/mail".to_owned()]
        )]
    );
    assert_eq!(parts.subject_person, Some(0));
    assert_eq!(parts.common.subject, Some(Value::Withheld));
}

#[test]
fn a_public_field_inside_a_personal_object_stays_common() {
    let actor = Actor::new("ops").unwrap();
    let person = object(&[
        ("x-data-subject", text("/data/person/id")),
        ("x-classification", text("personal")),
        ("properties", object(&[("country", marked("public"))])),
    ]);
    let schema = Schema::compile(1, &object(&[("properties", object(&[("person", person)]))])).unwrap();
    let inner = object(&[
        ("id", Value::Integer(7)),
        ("name", text("Ada")),
        ("country", text("NL")),
        ("a/b~c", text("x")),
    ]);
    let parts = check(&event(None, object(&[("person", inner)])), Some(&schema), &actor).unwrap();
    let paths = ["/data/person/id", "/data/person/name", "/data/person/a~1b~0c"]
        .map(str::to_owned)
        .to_vec();
    assert_eq!(fields(&parts), [("7".to_owned(), paths)]);
    let Body::Json(rest) = &parts.common.body else {
        panic!("a body")
    };
    assert_eq!(
        rest.child("person").and_then(|p| p.child("country")),
        Some(&text("NL"))
    );
}

#[test]
fn a_type_without_schema_belongs_whole_to_its_subject() {
    let actor = Actor::new("ops").unwrap();
    let known = event(Some("someone"), object(&[("x", Value::Integer(1))]));
    let parts = check(&known, None, &actor).unwrap();
    assert_eq!(fields(&parts), [("someone".to_owned(), vec![String::new()])]);
    assert!(matches!(parts.persons[0].fields[0].1, Field::Event(_)));
    assert_eq!(
        (parts.common.actor.as_ref(), parts.common.body),
        ("ops", Body::None)
    );
    let parts = check(&event(None, text("x")), None, &actor).unwrap();
    assert!(parts.persons.is_empty());
}

#[test]
fn personal_data_of_nobody_is_refused_and_so_is_a_crowd() {
    let actor = Actor::new("ops").unwrap();
    let line = object(&[("name", text("Ada"))]);
    let nobody = check(
        &event(None, object(&[("lines", Value::Array(vec![line]))])),
        Some(&lines_schema()),
        &actor,
    );
    assert_eq!(
        nobody.unwrap_err(),
        SplitError::Whose {
            path: "/data/lines/0/name".to_owned()
        }
    );
    let crowd = |count: usize| {
        let lines = (0..count)
            .map(|i| object(&[("id", Value::Integer(i as i128)), ("name", text("x"))]))
            .collect();
        split(
            event(None, object(&[("lines", Value::Array(lines))])).into_owned(),
            &actor,
            Some(&lines_schema()),
        )
        .map(|parts| parts.persons.len())
    };
    assert_eq!(crowd(PERSONS_MAX), Ok(PERSONS_MAX));
    assert_eq!(crowd(PERSONS_MAX + 1), Err(SplitError::TooManyPersons));
}

#[test]
fn fields_of_another_event_do_not_merge() {
    let actor = Actor::new("ops").unwrap();
    let parts = split(event(None, object(&[("a", Value::Integer(1))])), &actor, None).unwrap();
    for path in ["/data/a", "/data/b", "/subject", "/elsewhere", "x"] {
        let fields = vec![(Cow::Borrowed(path), Field::Value(Value::Null))];
        assert!(merge(parts.common.clone(), vec![fields]).is_err(), "{path}");
    }
}

#[test]
fn data_of_an_unexpected_shape_hides_nothing() {
    let actor = Actor::new("ops").unwrap();
    let document = object(&[
        ("x-data-subject", text("/subject")),
        (
            "properties",
            object(&[(
                "lines",
                object(&[(
                    "items",
                    object(&[("properties", object(&[("name", marked("personal"))]))]),
                )]),
            )]),
        ),
    ]);
    let schema = Schema::compile(1, &document).unwrap();
    for lines in [
        object(&[("name", text("Ada"))]),
        text("Ada"),
        Value::Array(vec![text("Ada")]),
    ] {
        let parts = check(
            &event(Some("ada"), object(&[("lines", lines)])),
            Some(&schema),
            &actor,
        )
        .unwrap();
        assert!(
            !format!("{:?}", parts.common).contains("Ada"),
            "{:?}",
            parts.common
        );
    }
    let binary = Event {
        data: Data::Binary(b"Ada"[..].into()),
        ..event(Some("ada"), Value::Null)
    };
    let parts = check(&binary, Some(&schema), &actor).unwrap();
    assert_eq!(fields(&parts), [("ada".to_owned(), vec![String::new()])]);
}
