//! API keys: made before a node runs and beside it, withdrawn at once, never shown again.

use waag::node::api_keys::{Asked, carry_out, load};
use waag::store::options::Options;
use waag::store::place::Place;
use waag::store::writer::open_writer;
use waag_http::keys::Role;
use waag_model::ids::TenantName;

use crate::common::Folder;
use crate::support::{Node, ONE, ask, invoice, key, report};

/// More than fit into one answer of the desk, which has 16 KiB, with names as long as these.
const MORE_KEYS: usize = 40;

/// What a request with a key is answered: to record, to read.
fn may(node: &Node, key: &str, id: &str) -> (u16, u16) {
    let record = node.post(key, ONE, &invoice(id, "ingestion", id)).status;
    let read = ask(node.listen, "GET", "/v1/ledger", &[("x-api-key", key)], "").unwrap().status;
    (record, read)
}

#[test]
fn a_key_made_before_the_node_and_keys_made_beside_it_open_the_door() {
    let folder = Folder::with_store();
    let before = key(&folder, &["--holder", "erp"]);
    let node = Node::serve(&folder);
    assert_eq!(may(&node, &before, "a"), (200, 200));
    let beside = folder.run(&["key", "create", "--json", "--role", "reader"]).exits(0).json();
    let reader = beside["key"].as_str().unwrap();
    assert_eq!(may(&node, reader, "b"), (403, 200));
    for wrong in ["", "x", before.split_at(1).1, &format!("{before}x"), beside["id"].as_str().unwrap()] {
        assert_eq!(may(&node, wrong, "c"), (401, 401), "{wrong}");
    }
    let mut longest =
        vec!["--holder".to_owned(), "h".repeat(250), "--role".to_owned(), "subscriber".to_owned()];
    for n in 0..8 {
        longest.extend(["--subscription".to_owned(), format!("s{n}{}", "-".repeat(62))]);
    }
    let longest: Vec<&str> = longest.iter().map(String::as_str).collect();
    let more: Vec<String> = (0..MORE_KEYS).map(|_| key(&folder, &longest)).collect();
    let listed = folder.run(&["key", "list", "--json"]).exits(0);
    assert_eq!(listed.lines().len(), MORE_KEYS + 2);
    let plain = folder.run(&["key", "list"]).exits(0).out;
    assert_eq!(plain.lines().count(), MORE_KEYS + 2);
    let read = folder.run(&["read"]).exits(0).out;
    let created = |line: &&str| line.contains(r#""type":"waag.apikey.created","schema""#);
    assert_eq!(read.lines().filter(created).count(), MORE_KEYS + 2, "each is an event");
    for secret in more.iter().chain([&before]) {
        for text in [&listed.out, &plain, &read] {
            assert!(!text.contains(secret.as_str()), "a secret is shown again");
        }
    }
    assert!(listed.lines().iter().all(|line| line.get("key").is_none()));
    let id = beside["id"].as_str().unwrap();
    folder.run(&["key", "withdraw", id]).exits(0);
    assert_eq!(may(&node, reader, "d"), (401, 401), "at once");
    let again = folder.run(&["key", "withdraw", id]);
    assert!(again.code == 2 && again.err.contains("E0853"), "{again:?}");
    // Everything else beside it.
    node.caught_up(&before, crate::support::PATIENCE);
    assert_eq!(report(&folder)["cases"], 1);
    folder.run(&["verify"]).exits(0);
    let status = folder.run(&["views", "status", "--json"]).exits(0).json();
    assert_eq!((status["behind"].as_u64(), status["serves"].as_bool()), (Some(0), Some(true)), "{status}");
    assert!(node.terminate().success());
    assert_eq!(folder.run(&["key", "list", "--json"]).exits(0).lines().len(), MORE_KEYS + 1);
    folder.run(&["verify", "--deep"]).exits(0);
}

#[test]
fn a_node_makes_its_store_also_in_a_folder_with_a_bare_name() {
    let folder = Folder::new();
    let node = Node::serve_with(&folder, &["--data", "b"]);
    assert!(std::fs::read_to_string(folder.path("serve.err")).unwrap().contains("a new store"));
    let key = key(&folder, &["--data", "b"]);
    assert_eq!(may(&node, &key, "a"), (200, 200));
    assert!(folder.path("b").is_dir() && !folder.path("waag-data").exists());
    let second = folder.run(&["serve", "--listen", "127.0.0.1:0", "--pages", "127.0.0.1:0", "--data", "b"]);
    assert_eq!(second.code, 3, "one node at a time: {second:?}");
    assert!(node.terminate().success());
    folder.write("events", invoice("a", "ingestion", "a"));
    folder.write("mapping", include_str!("../../../../examples/invoices-jsonl.toml"));
    folder.write("log", r#"{"uid":"1","invoice":{"number":"7"},"step":"scan"}"#);
    for (name, commands) in [
        ("c", &[&["init"][..], &["append", "events"]][..]),
        ("d", &[&["import", "--mapping", "mapping", "log"]]),
        ("e/f", &[&["init"], &["append", "events"]]),
    ] {
        for command in commands {
            folder.run(&[&["--data", name], *command].concat()).exits(0);
        }
        assert!(folder.path(name).is_dir());
        folder.run(&["--data", name, "verify"]).exits(0);
    }
}

#[test]
fn a_subscribers_key_is_for_the_subscriptions_that_it_names() {
    let folder = Folder::with_store();
    let create =
        ["key", "create", "--role", "subscriber", "--subscription", "billing", "--subscription", "audit"];
    let refused = |role: &str, name: &str| {
        let done = folder.run(&["key", "create", "--role", role, "--subscription", name]);
        assert!(done.code == 2 && done.err.contains("E0975"), "{role} {name}: {done:?}");
    };
    refused("admin", "billing");
    let node = Node::serve(&folder);
    refused("producer", "billing");
    refused("subscriber", "no name");
    let made = folder.run(&[&create[..], &["--json"]].concat()).exits(0).json();
    assert_eq!(made["subscriptions"], serde_json::json!(["billing", "audit"]));
    let secret = made["key"].as_str().unwrap();
    let pull = |node: &Node, name: &str| {
        let path = format!("/v1/subscriptions/{name}/pull");
        ask(node.listen, "POST", &path, &[("x-api-key", secret)], "").unwrap().status
    };
    // 404: they are not made yet.
    assert_eq!([pull(&node, "billing"), pull(&node, "audit"), pull(&node, "orders")], [404, 404, 403]);
    assert!(node.terminate().success());
    let node = Node::serve(&folder);
    assert_eq!([pull(&node, "billing"), pull(&node, "orders")], [404, 403], "after a restart");
    let listed = folder.run(&["key", "list"]).exits(0).out;
    assert!(listed.contains("  of billing, audit\n"), "{listed}");
    let read = folder.run(&["read"]).exits(0).out;
    assert!(read.contains(r#""subscriptions":["billing","audit"]"#), "the ledger tells it: {read}");
    assert!(node.terminate().success());
}

#[test]
fn an_expired_key_opens_nothing() {
    let folder = Folder::with_store();
    let place = Place::new(&folder.path("waag-data"), None, TenantName::new("default").unwrap()).unwrap();
    let made = {
        let store = open_writer(&place, &Options::default(), &mut |_, _| {}).unwrap();
        let keys = load(&store).unwrap();
        let asked = |expires: i64| Asked::Create {
            by: "test".to_owned(),
            holder: "erp".to_owned(),
            role: Role::Producer,
            plan: "standard".to_owned(),
            expires: Some(expires),
            subscriptions: Vec::new(),
        };
        let now = store.clock.now().0;
        [now - 1, now + 3_600_000_000_000].map(|expires| {
            let told = carry_out(&store, &keys, &asked(expires)).unwrap();
            told.into_iter().next().unwrap().key.unwrap()
        })
    };
    let node = Node::serve(&folder);
    assert_eq!(may(&node, &made[0], "a"), (401, 401));
    assert_eq!(may(&node, &made[1], "b"), (200, 200));
}
