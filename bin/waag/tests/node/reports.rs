//! What programs ask of the read models over HTTP is what the commands print, and nothing of a person is in it.

use serde_json::{Value, json};
use waag_domain::project::Projection;
use waag_invoices::config::Config;
use waag_invoices::project::Invoices;
use waag_views::contract::Which;

use crate::common::Folder;
use crate::support::{Answer, BATCH, Node, PATIENCE, ask, invoice, key, within};

/// An id with characters that an address has to encode, and the address' form of it.
const ODD: (&str, &str) = ("INV é/1?#%+", "INV%20%C3%A9%2F1%3F%23%25%2B");
/// What is a person's, wherever it is looked for.
const PERSON: [&str; 3] = ["c-zutphen", "Ada Marker", "ada@marker.example"];

/// Events of four invoices: one paid, one with a person's data, two alike; and one that is odd.
fn events() -> String {
    let [id, name, mail] = PERSON;
    let contact = format!(
        r#""contact":{{"id":"{id}","name":"{name}","mail":"{mail}"}},"due_date":"2026-06-28","vendor""#
    );
    let of = |id: &str, stage: &str, of: &str| invoice(id, stage, of);
    let alike = |id: &str| {
        of(id, "ingestion", id)
            .replace(&format!("V {id}"), "Same")
            .replace("\"currency\"", "\"reference\":\"R\",\"currency\"")
    };
    let all = [
        of("1", "ingestion", "INV-PAID"),
        of("2", "posting", "INV-PAID"),
        of("3", "ingestion", ODD.0).replace("\"vendor\"", &contact),
        of("4", "authorization", ODD.0).replace("received", "whatever").replace("\"vendor\"", &contact),
        alike("INV-A"),
        alike("INV-B"),
    ];
    format!("[{}]", all.join(","))
}

fn get(node: &Node, key: &str, path: &str) -> Answer {
    ask(node.listen, "GET", path, &[("x-api-key", key)], "").unwrap()
}

/// A good answer without what says how fresh it is, which is looked at here.
fn told(node: &Node, key: &str, path: &str) -> Value {
    let answer = get(node, key, path);
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    let mut body = answer.json();
    let members = body.as_object_mut().unwrap();
    let entries = node.ledger(key)["entries"].as_u64();
    assert_eq!(members.remove("projected").unwrap().as_u64(), entries, "{path}");
    assert!(members.remove("at").unwrap().as_i64() > Some(0), "{path}");
    body
}

fn command(folder: &Folder, arguments: &[&str]) -> Vec<Value> {
    folder.run(&[&["report"], arguments, &["--json"]].concat()).exits(0).lines()
}

#[test]
fn the_door_tells_what_the_commands_print() {
    let folder = Folder::with_store();
    let (writer, reader) = (key(&folder, &[]), key(&folder, &["--role", "reader"]));
    let node = Node::serve(&folder);
    assert_eq!(node.post(&writer, BATCH, &events()).status, 200);
    node.caught_up(&reader, PATIENCE);
    let ask = |path: &str| told(&node, &reader, path);
    // What is stuck, and the buckets of now, are of the hour in which they are asked for: both are, again where it passed.
    within("both in one hour", PATIENCE, || {
        let same = [
            (ask("/v1/figures/totals")["totals"].clone(), command(&folder, &["invoices"])[0].clone()),
            (
                ask("/v1/figures?days=90")["figures"].clone(),
                command(&folder, &["figures", "--days", "90"]).into(),
            ),
            (ask("/v1/figures/times")["times"].clone(), command(&folder, &["times"]).into()),
            (ask("/v1/figures/vendors")["vendors"].clone(), command(&folder, &["vendors"]).into()),
            (
                ask("/v1/figures/cash?from=2026-06-01"),
                command(&folder, &["cash", "--from", "2026-06-01"])[0].clone(),
            ),
            (
                ask("/v1/invoices?list=odd&stage=authorization")["lines"].clone(),
                command(&folder, &["list", "odd", "--stage", "authorization"]).into(),
            ),
            (
                ask("/v1/invoices?list=duplicates")["lines"].clone(),
                command(&folder, &["list", "duplicates"]).into(),
            ),
            (
                ask("/v1/invoices?list=open&limit=2")["lines"].clone(),
                command(&folder, &["list", "open", "--most", "2"]).into(),
            ),
            (
                ask("/v1/figures/series?stage=ingestion&grain=hour")["points"].clone(),
                command(&folder, &["series", "--stage", "ingestion", "--by", "hour"]).into(),
            ),
            (
                ask(&format!("/v1/invoices/{}", ODD.1))["invoice"].clone(),
                command(&folder, &["invoice", ODD.0])[0].clone(),
            ),
        ];
        let differs = same.iter().find(|(door, command)| door != command);
        differs.is_none().then_some(()).or_else(|| {
            println!("{differs:#?}");
            None
        })
    });
    let series = ask("/v1/figures/series?stage=ingestion&grain=minute");
    assert_eq!(
        series["points"].as_array().unwrap().iter().filter_map(|at| at["events"].as_i64()).sum::<i64>(),
        4
    );
    let count = |list: &str| ask(&format!("/v1/invoices?list={list}"))["lines"].as_array().unwrap().len();
    assert_eq!((count("open"), count("odd"), count("duplicates"), count("loops")), (3, 1, 1, 0));
    assert_eq!(ask("/v1/figures/cash?from=2026-06-01")["currencies"][0]["outstanding"]["invoices"], 3);
    // Its events are read at the positions that it tells.
    let life = ask("/v1/invoices/INV-PAID?limit=1");
    let position = life["invoice"]["steps"][0]["position"].as_u64().unwrap();
    let event = get(&node, &reader, &format!("/v1/events/{position}")).json();
    assert_eq!((&event["subject"], &event["id"]), (&json!("INV-PAID"), &json!("1")));
    let rest = ask(&format!("/v1/invoices/INV-PAID?limit=1&after={}", life["next"].as_str().unwrap()));
    assert!(rest["invoice"]["steps"][0]["position"].as_u64() > Some(position) && rest.get("next").is_none());
    assert_eq!(get(&node, &reader, "/v1/invoices/INV-NONE").json()["code"], "E0985");
    assert_eq!(get(&node, &writer, "/v1/invoices").status, 403, "who may only send reads nothing of others");
    assert!(node.terminate().success());
}

#[test]
fn nothing_of_a_person_is_in_any_answer_of_the_read_models() {
    let folder = Folder::with_store();
    let admin = key(&folder, &["--role", "admin"]);
    let node = Node::serve(&folder);
    assert_eq!(node.post(&admin, BATCH, &events()).status, 200);
    node.caught_up(&admin, PATIENCE);
    let invoice = format!("/v1/invoices/{}", ODD.1);
    let lists = ["open", "stuck", "received_not_cleared", "approved_not_paid", "loops", "duplicates", "odd"];
    let lists = lists.map(|list| format!("/v1/invoices?list={list}"));
    let figures = ["", "/totals", "/series?stage=ingestion", "/times", "/vendors", "/cash"];
    let figures = figures.map(|path| format!("/v1/figures{path}"));
    for path in [invoice].iter().chain(&lists).chain(&figures) {
        let answer = get(&node, &admin, path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        for secret in PERSON {
            assert!(!answer.body.contains(secret), "{path}: {answer:?}");
        }
    }
    assert!(node.terminate().success());
}

#[test]
fn while_read_models_are_made_anew_the_door_says_when_to_ask_again() {
    use std::sync::Arc;

    use waag::node::{NodeOptions, OneTenant, Running};
    use waag::store::place::Place;
    use waag_http::ports::Node as _;
    use waag_model::ids::{Actor, TenantName};
    use waag_views::contract::{Definition, Turn, ViewKey};

    let folder = Folder::with_store();
    let tenant = TenantName::new("default").unwrap();
    let place = Place::new(&folder.path("waag-data"), None, tenant.clone()).unwrap();
    let actor = Actor::new("test").unwrap();
    let running = Arc::new(Running::start(&place, &NodeOptions::default(), &actor, &mut |_, _| {}).unwrap());
    let node = OneTenant { tenant: tenant.clone(), running: Arc::clone(&running) };
    let view = node.invoices(&tenant).unwrap();
    within("rows", PATIENCE, || view.rows().ok());
    assert!(node.invoices(&TenantName::new("other").unwrap()).is_none());
    // Rows of settings that are not this program's serve.
    let other = Invoices::new(Config { late_hours: Config::default().late_hours + 1, ..Config::default() });
    let foreign = ViewKey { name: "invoices".to_owned(), version: other.version(), build: 0 };
    let views = running.following().views();
    let ledger = running.store().ledger.id;
    views.open(&Definition { key: foreign.clone(), ledger, tables: other.tables() }).unwrap();
    views.turn(&foreign, Turn::Serve).unwrap();
    assert_eq!(views.snapshot("invoices", Which::Serving).unwrap().standing().key, foreign);
    let fault = view.rows().unwrap_err();
    assert_eq!((fault.kind.code(), fault.kind.status().as_u16()), ("E0857", 503));
    assert!(fault.kind.retry_after_s().is_some());
}
