//! Given an event and a schema, then these parts; and merged, the event again.

use std::borrow::Cow;

use waag_model::event::{Data, Event};
use waag_model::ids::Actor;
use waag_model::schema::Schema;
use waag_model::value::{Object, Value};

use super::{PERSONS_MAX, Split, SplitError, split};
use crate::merge::merge;
use crate::plain::{Body, Common, Field};

fn object<'a>(members: &[(&'a str, Value<'a>)]) -> Value<'a> {
    Value::Object(
        Object::from_members(members.iter().map(|(k, v)| (Cow::Borrowed(*k), v.clone())).collect()).unwrap(),
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
    let fields = (1u8..).zip(parts.persons.iter().map(|person| person.fields.clone())).collect();
    let merged = merge(parts.common.clone(), fields).unwrap();
    assert_eq!(merged.into_event("expense").unwrap(), *event);
    Ok(parts)
}

fn fields(split: &Split<'_>) -> Vec<(String, Vec<String>)> {
    let paths = |person: &super::Person<'_>| person.fields.iter().map(|(path, _)| path.to_string()).collect();
    split.persons.iter().map(|person| (person.id.clone(), paths(person))).collect()
}

fn lines_schema() -> Schema {
    let line = object(&[
        ("x-data-subject", text("id")),
        ("properties", object(&[("name", marked("personal")), ("iban", marked("account"))])),
    ]);
    let document = object(&[(
        "properties",
        object(&[("lines", object(&[("items", line)])), ("memo", marked("internal"))]),
    )]);
    Schema::compile(1, &document).unwrap()
}

#[test]
fn each_person_of_a_list_gets_a_part() {
    let actor = Actor::new("ops").unwrap();
    let line = |id, name| object(&[("id", text(id)), ("name", text(name)), ("amount", Value::Integer(5))]);
    let data = object(&[
        ("memo", text("March")),
        ("lines", Value::Array(vec![line("p1", "Ada"), line("p2", "Bob"), line("p1", "Ada")])),
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
    let Body::Json(rest) = &parts.common.body else { panic!("a body") };
    assert_eq!(rest.child("memo"), Some(&text("March")));
    let first = rest.child("lines").and_then(|lines| lines.child("0")).unwrap();
    assert_eq!(
        first,
        &object(&[("id", Value::Withheld(1)), ("name", Value::Withheld(1)), ("amount", Value::Integer(5))])
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
    assert_eq!(fields(&parts), [("ada".to_owned(), vec!["/subject".to_owned(), "/data/mail".to_owned()])]);
    assert_eq!(parts.subject_person, Some(0));
    assert_eq!(parts.common.subject, Some(Value::Withheld(1)));
}

#[test]
fn a_public_field_inside_a_personal_object_stays_common_unless_names_are_unplanned() {
    let actor = Actor::new("ops").unwrap();
    let person = object(&[
        ("x-data-subject", text("/data/person/id")),
        ("x-data-subject-kind", text("employee")),
        ("x-classification", text("personal")),
        (
            "properties",
            object(&[
                ("country", marked("public")),
                ("id", marked("personal")),
                ("a/b~c", marked("personal")),
            ]),
        ),
    ]);
    let schema = Schema::compile(1, &object(&[("properties", object(&[("person", person)]))])).unwrap();
    let planned = [("id", Value::Integer(7)), ("country", text("NL")), ("a/b~c", text("x"))];
    let inner = object(&planned);
    let parts = check(&event(None, object(&[("person", inner)])), Some(&schema), &actor).unwrap();
    let paths = ["/data/person/id", "/data/person/a~1b~0c"].map(str::to_owned).to_vec();
    assert_eq!(fields(&parts), [("employee:7".to_owned(), paths)]);
    let Body::Json(rest) = &parts.common.body else { panic!("a body") };
    assert_eq!(rest.child("person").and_then(|p| p.child("country")), Some(&text("NL")));
    let unplanned: Vec<_> = planned.into_iter().chain([("ada@example.org", Value::Bool(true))]).collect();
    let parts =
        check(&event(None, object(&[("person", object(&unplanned))])), Some(&schema), &actor).unwrap();
    assert_eq!(fields(&parts), [("employee:7".to_owned(), vec!["/data/person".to_owned()])]);
}

#[test]
fn a_person_is_withheld_wherever_the_event_names_them() {
    let ada = Actor::new("E-7").unwrap();
    let document = object(&[
        (
            "x-attributes",
            object(&[(
                "source",
                object(&[("x-classification", text("personal")), ("x-data-subject", text("/data/who/id"))]),
            )]),
        ),
        ("properties", object(&[("who", object(&[("x-data-subject", text("id"))]))])),
    ]);
    let schema = Schema::compile(1, &document).unwrap();
    let data = object(&[("who", object(&[("id", text("E-7"))]))]);
    let parts = check(&event(Some("E-7"), data), Some(&schema), &ada).unwrap();
    let paths = ["/actor", "/source", "/subject", "/data/who/id"].map(str::to_owned).to_vec();
    assert_eq!(fields(&parts), [("E-7".to_owned(), paths)]);
    assert_eq!(parts.subject_person, Some(0));
    // The annotated object is missing, and the subject is a person's all the same.
    let subject_schema = object(&[(
        "properties",
        object(&[(
            "note",
            object(&[("x-data-subject", text("/subject")), ("x-classification", text("personal"))]),
        )]),
    )]);
    let subject_schema = Schema::compile(1, &subject_schema).unwrap();
    let ops = Actor::new("ops").unwrap();
    let parts =
        check(&event(Some("ada"), object(&[("x", Value::Null)])), Some(&subject_schema), &ops).unwrap();
    assert_eq!(fields(&parts), [("ada".to_owned(), vec!["/subject".to_owned()])]);
}

#[test]
fn an_id_that_is_none_is_refused() {
    let actor = Actor::new("ops").unwrap();
    let decimal = Value::Decimal(waag_model::value::Decimal { significand: 70, exponent: -1 });
    for id in [Value::Null, text(""), decimal, object(&[("v", text("E-7"))]), Value::Array(vec![text("E-7")])]
    {
        let line = object(&[("id", id.clone()), ("name", text("Bob"))]);
        let refused = check(
            &event(None, object(&[("lines", Value::Array(vec![line]))])),
            Some(&lines_schema()),
            &actor,
        );
        assert!(matches!(refused, Err(SplitError::Whose { .. })), "{id:?}");
    }
    let refused = check(
        &event(None, object(&[("lines", Value::Array(vec![text("E-7")]))])),
        Some(&lines_schema()),
        &actor,
    );
    assert!(matches!(refused, Err(SplitError::Whose { .. })));
}

#[test]
fn no_part_fills_what_names_another() {
    let actor: &'static Actor = Box::leak(Box::new(Actor::new("ops").unwrap()));
    let data = object(&[("a", Value::Integer(1)), ("b", Value::Withheld(1)), ("c", Value::Withheld(2))]);
    let common = split(event(None, data), actor, None).unwrap().common;
    let field = |path: &'static str, value: i128| (Cow::Borrowed(path), Field::Value(Value::Integer(value)));
    let merged = |part: u8, fields: Vec<(Cow<'static, str>, Field<'static>)>| {
        merge(common.clone(), vec![(part, fields)])
    };
    assert!(merged(1, vec![field("/data/b", 5)]).is_ok());
    assert!(merged(2, vec![field("/data/b", 500)]).is_err(), "it names part 1");
    assert!(merged(1, vec![field("/data/a", 5)]).is_err(), "it is not withheld");
    assert!(merged(1, vec![]).is_err(), "it leaves a place open");
    let both = merge(common.clone(), vec![(1, vec![field("/data/b", 5)]), (1, vec![field("/data/b", 500)])]);
    assert!(both.is_err(), "a place is filled once");
    let whole = Common::from_event(event(None, Value::Null), actor);
    let whole = vec![(Cow::Borrowed(""), Field::Event(Box::new(whole)))];
    assert!(merged(1, whole).is_err(), "a whole event goes over nothing that is visible");
}

#[test]
fn a_type_without_schema_belongs_whole_to_its_subject() {
    let actor = Actor::new("ops").unwrap();
    let known = event(Some("someone"), object(&[("x", Value::Integer(1))]));
    let parts = check(&known, None, &actor).unwrap();
    assert_eq!(fields(&parts), [("someone".to_owned(), vec![String::new()])]);
    assert!(matches!(parts.persons[0].fields[0].1, Field::Event(_)));
    assert_eq!(
        (parts.common.actor.as_text(), parts.common.body),
        (Some("ops"), Body::Json(Value::Withheld(1)))
    );
    let parts = check(&event(None, text("x")), None, &actor).unwrap();
    assert!(parts.persons.is_empty());
}

#[test]
fn personal_data_of_nobody_is_refused_and_so_is_a_crowd() {
    let actor = Actor::new("ops").unwrap();
    let line = object(&[("name", text("Ada"))]);
    let nobody =
        check(&event(None, object(&[("lines", Value::Array(vec![line]))])), Some(&lines_schema()), &actor);
    assert_eq!(nobody.unwrap_err(), SplitError::Whose { path: "/data/lines/0".to_owned() });
    let crowd = |count: usize| {
        let lines =
            (0..count).map(|i| object(&[("id", Value::Integer(i as i128)), ("name", text("x"))])).collect();
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
    for path in ["/data/a", "/data/b", "/subject", "/elsewhere", "x", "junk/data/a", "/data/~2"] {
        let fields = vec![(Cow::Borrowed(path), Field::Value(Value::Null))];
        assert!(merge(parts.common.clone(), vec![(1, fields)]).is_err(), "{path}");
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
                object(&[("items", object(&[("properties", object(&[("name", marked("personal"))]))]))]),
            )]),
        ),
    ]);
    let schema = Schema::compile(1, &document).unwrap();
    for lines in [object(&[("name", text("Ada"))]), text("Ada"), Value::Array(vec![text("Ada")])] {
        let parts = check(&event(Some("ada"), object(&[("lines", lines)])), Some(&schema), &actor).unwrap();
        assert!(!format!("{:?}", parts.common).contains("Ada"), "{:?}", parts.common);
    }
    let binary = Event { data: Data::Binary(b"Ada"[..].into()), ..event(Some("ada"), Value::Null) };
    let parts = check(&binary, Some(&schema), &actor).unwrap();
    assert_eq!(fields(&parts), [("ada".to_owned(), vec![String::new()])]);
}
