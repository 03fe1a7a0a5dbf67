//! A recorded event read back over HTTP: by whom, in which form, what of a person is shown, and what is left after erasure.

use serde_json::{Value, json};

use crate::common::Folder;
use crate::support::{Answer, Node, ONE, ask, key};

const SCHEMA: &str = r#"{"type":"object","properties":{"amount":{},"customer":{
  "x-classification":"personal","x-data-subject":"id","x-data-subject-kind":"customer",
  "properties":{"id":{},"name":{},"iban":{"x-classification":"account"}}}}}"#;
const ORDER: &str = r#"{"specversion":"1.0","id":"o-1","source":"/shop","type":"shop.order","time":"2026-11-21T08:00:00Z","data":{"customer":{"id":"c-zutphen","name":"Annegret Musterfrau","iban":"NL91ABNA0417164300"},"amount":12.50}}"#;
/// Its type has no schema, so that all of it is its subject's.
const VISIT: &str = r#"{"specversion":"1.0","id":"v-1","source":"/shop","type":"shop.visit","subject":"bob@example.org","time":"2026-11-21T08:00:00Z","datacontenttype":"application/json","data":{"page":"/cart"}}"#;

/// A person's id as `waag keys destroy` takes it, beside the event that is about it.
const PERSONS: [&str; 2] = ["customer:c-zutphen", "bob@example.org"];

struct Keys {
    reader: String,
    own: String,
    other: String,
    admin: String,
}

/// A node, and the positions of [`ORDER`] and [`VISIT`].
fn served(folder: &Folder, keys: &Keys) -> (Node, [u64; 2]) {
    let node = Node::serve(folder);
    let positions = [ORDER, VISIT].map(|event| {
        let answer = node.post(&keys.own, ONE, event);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["position"].as_u64().unwrap()
    });
    (node, positions)
}

fn store() -> (Folder, Keys) {
    let folder = Folder::with_store();
    folder.write("schema.json", SCHEMA);
    folder.run(&["schema", "add", "--type", "shop.order", "--schema", "schema.json"]).exits(0);
    let made = |role: &str, holder: &str| key(&folder, &["--role", role, "--holder", holder]);
    let keys = Keys {
        reader: made("reader", "auditor"),
        own: made("producer", "shop"),
        other: made("producer", "erp"),
        admin: made("admin", "anna"),
    };
    (folder, keys)
}

fn get(node: &Node, key: &str, path: &str, more: &[(&str, &str)]) -> Answer {
    let headers = [&[("x-api-key", key)], more].concat();
    ask(node.listen, "GET", &format!("/v1/events/{path}"), &headers, "").unwrap()
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
}

const WHY: (&str, &str) = ("waag-reveal-reason", "ticket%205");

#[test]
fn an_event_is_read_back_by_whom_it_may_be_and_a_person_is_masked() {
    let (folder, keys) = store();
    let (node, [order, visit]) = served(&folder, &keys);
    let at = order.to_string();
    for (key, status) in [(&keys.reader, 200), (&keys.own, 200), (&keys.admin, 200), (&keys.other, 403)] {
        assert_eq!(get(&node, key, &at, &[]).status, status);
    }
    assert_eq!(get(&node, "", &at, &[]).status, 401);
    let answer = get(&node, &keys.reader, &at, &[]);
    assert_eq!(header(&answer, "content-type"), Some("application/cloudevents+json"));
    assert_eq!(header(&answer, "waag-position"), Some(at.as_str()));
    assert_eq!(header(&answer, "waag-masked"), Some("\"/data/customer\""));
    let proven = folder.run(&["prove", &at, "--json"]).exits(0).json();
    assert_eq!(header(&answer, "waag-leaf-hash"), proven["leaf_hash"].as_str());
    let shown = answer.json();
    assert_eq!(shown["data"]["customer"]["iban"], "****4300");
    assert_eq!((&shown["id"], &shown["time"]), (&json!("o-1"), &json!("2026-11-21T08:00:00Z")));
    // Nothing of the person in either form; what is nobody's is as it was, to the digit.
    for path in [at.clone(), format!("{at}?mode=structured"), format!("{at}?mode=binary")] {
        let answer = get(&node, &keys.own, &path, &[]);
        assert!(answer.body.contains(r#""amount":12.50"#), "{answer:?}");
        assert!(!answer.body.contains("Musterfrau") && !answer.body.contains("c-zutphen"), "{answer:?}");
    }
    // An event that is all a person's stays readable as an event: a masked time is none.
    let answer = get(&node, &keys.reader, &visit.to_string(), &[]);
    assert_eq!(header(&answer, "waag-masked"), Some("\"\""));
    let shown = answer.json();
    assert_eq!((&shown["type"], &shown["subject"]), (&json!("shop.visit"), &json!("****.org")));
    assert_eq!((&shown["time"], &shown["datacontenttype"]), (&Value::Null, &Value::Null));
    assert!(!answer.body.contains("cart") && !answer.body.contains("bob"), "{answer:?}");
    for (path, status, code) in [
        ("1000000", 404, "E0900"),
        ("18446744073709551615", 404, "E0900"),
        ("18446744073709551616", 404, "E0900"),
        ("-1", 404, "E0900"),
        ("01", 404, "E0900"),
        ("", 404, "E0900"),
        ("0?mode=other", 400, "E0919"),
    ] {
        let answer = get(&node, &keys.admin, path, &[]);
        assert_eq!((answer.status, answer.json()["code"].as_str()), (status, Some(code)), "{path}");
    }
    assert_eq!(
        ask(node.listen, "POST", "/v1/events/0", &[("x-api-key", &keys.admin)], "").unwrap().status,
        405
    );
}

#[test]
fn a_reveal_is_an_administrators_and_is_recorded_before_anything_is_shown() {
    let (folder, keys) = store();
    let (node, [order, visit]) = served(&folder, &keys);
    let entries = || node.ledger(&keys.reader)["entries"].as_u64().unwrap();
    let before = entries();
    for key in [&keys.reader, &keys.own, &keys.other] {
        let answer = get(&node, key, &order.to_string(), &[WHY]);
        assert_eq!(answer.status, 403, "{answer:?}");
    }
    for bad in ["", "%20", "%0A", "%zz"] {
        let answer = get(&node, &keys.admin, &order.to_string(), &[(WHY.0, bad)]);
        assert_eq!((answer.status, answer.json()["code"].as_str()), (400, Some("E0909")), "{bad}");
    }
    assert_eq!(get(&node, &keys.admin, "1000000", &[WHY]).status, 404);
    assert_eq!(entries(), before, "who is refused leaves no trace of a reveal");
    for (number, (position, sent)) in [(order, ORDER), (visit, VISIT)].into_iter().enumerate() {
        let answer = get(&node, &keys.admin, &position.to_string(), &[WHY]);
        assert_eq!(header(&answer, "waag-masked"), None);
        let sent: Value = serde_json::from_str(sent).unwrap();
        assert_eq!(answer.json(), sent);
        let record = get(&node, &keys.reader, &(before + number as u64).to_string(), &[]).json();
        let told = json!({"reason": "ticket 5", "from": position, "to": position + 1});
        assert_eq!((&record["type"], &record["data"]), (&json!("waag.reveal"), &told));
    }
    let actor = folder.run(&["read", "--position", &before.to_string()]).exits(0).json();
    assert_eq!(actor["actor"], "anna");
}

#[test]
fn what_is_erased_is_told_as_erased() {
    let (folder, keys) = store();
    let (node, [order, visit]) = served(&folder, &keys);
    assert!(node.terminate().success());
    for person in PERSONS {
        folder.run(&["keys", "destroy", "--person", person, "--reason", "request 1"]).exits(0);
    }
    let node = Node::serve(&folder);
    for reason in [&[][..], &[WHY]] {
        let answer = get(&node, &keys.admin, &order.to_string(), reason);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(header(&answer, "waag-withheld"), Some("\"/data/customer\""));
        // As a number: what is compared keeps its digits in some builds and not in others.
        assert_eq!(answer.json()["data"]["amount"].as_f64(), Some(12.5));
        let answer = get(&node, &keys.admin, &visit.to_string(), reason);
        assert_eq!((answer.status, answer.json()["code"].as_str()), (410, Some("E0918")), "{answer:?}");
    }
    folder.run(&["verify"]).exits(0);
}
