//! Bridges of a node: messages of a real NATS server become events once each, through kills; nothing is passed over in
//! silence; what stopped stays stopped until somebody says so.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::common::Folder;
use crate::nats::{Client, Server};
use crate::support::{Node, PATIENCE, within};

/// Messages of the test with kills.
const MESSAGES: u64 = 500;

fn serve(folder: &Folder, server: &Server) -> Node {
    Node::serve_with(folder, &["--nats-server", &server.url()])
}

fn bridge(folder: &Folder, arguments: &[&str]) -> Value {
    folder.run(&[&["bridge", "--json"], arguments].concat()).exits(0).json()
}

fn refused(folder: &Folder, arguments: &[&str]) -> String {
    let ran = folder.run(&[&["bridge", "--json"], arguments].concat()).exits(2);
    ran.json()["error"]["code"].as_str().unwrap().to_owned()
}

/// Makes a bridge of the stream `S`.
fn create(
    folder: &Folder,
    server: &Server,
    name: &str,
    consumer: &str,
    origin: &str,
    more: &[&str],
) -> Value {
    let url = server.url();
    let own = ["create", "--name", name, "--nats", &url, "--stream", "S"];
    bridge(folder, &[&own[..], &["--consumer", consumer, "--origin", origin], more].concat())
}

/// Waits until a bridge has had a message of the stream.
fn until(folder: &Folder, name: &str, sequence: u64) -> Value {
    within("the stream's messages", PATIENCE, || {
        let told = bridge(folder, &["show", name]);
        (told["cursor"]["sequence"].as_u64().unwrap() >= sequence).then_some(told)
    })
}

fn until_stopped(folder: &Folder, name: &str) -> Value {
    within("its stop", PATIENCE, || {
        let told = bridge(folder, &["show", name]);
        (told["standing"] == "stopped").then_some(told)
    })
}

/// The ledger's events, each with its actor; a NATS subject counts as a person's, so that ids would be masked.
fn events(folder: &Folder) -> Vec<Value> {
    folder.run(&["read", "--everything", "--reveal", "an audit"]).exits(0).lines()
}

fn of_kind<'e>(events: &'e [Value], kind: &str) -> Vec<&'e Value> {
    events.iter().filter(|line| line["event"]["type"] == kind).collect()
}

/// How often each identity was recorded.
fn identities(events: &[Value]) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    for line in events {
        let text = |name: &str| line["event"][name].as_str().unwrap();
        *found.entry(format!("{} {}", text("source"), text("id"))).or_insert(0) += 1;
    }
    found
}

/// A message of the stream: mostly plain, each tenth a CloudEvent.
fn message(number: u64) -> (String, Vec<u8>) {
    if number.is_multiple_of(10) {
        let event = json!({"specversion": "1.0", "id": number.to_string(), "source": "/shop", "type": "order.placed"});
        return (format!("/shop {number}"), event.to_string().into_bytes());
    }
    (format!("nats://hub/S S-{number}"), json!({ "n": number }).to_string().into_bytes())
}

#[test]
fn every_message_is_recorded_once_though_the_node_is_killed_needs_nats_server() {
    let server = Server::start(None);
    let folder = Folder::with_store();
    let mut client = Client::connect(server.port, None);
    client.create("S");
    let mut node = serve(&folder, &server);
    let made = create(&folder, &server, "orders", "waag", "hub", &[]);
    assert_eq!((&made["standing"], &made["counts"]["recorded"]), (&json!("running"), &json!(0)));
    let publisher = std::thread::spawn(move || {
        for number in 1..=MESSAGES {
            assert_eq!(client.publish("S.a", &message(number).1), number);
        }
    });
    let mut kills = Vec::new();
    for least in [50, 250] {
        until(&folder, "orders", least);
        node.process.kill();
        node = serve(&folder, &server);
        kills.push(bridge(&folder, &["show", "orders"])["cursor"]["sequence"].clone());
    }
    publisher.join().unwrap();
    let told = until(&folder, "orders", MESSAGES);
    assert_eq!((&told["standing"], told.get("code")), (&json!("running"), None));
    let counts = &told["counts"];
    println!("killed twice; at {kills:?} soon after; {} came again and were known", counts["before"]);
    let all = counts["recorded"].as_u64().unwrap() + counts["before"].as_u64().unwrap();
    assert_eq!((all, &counts["conflicts"], &counts["refused"]), (MESSAGES, &json!(0), &json!(0)));
    assert!(node.terminate().success());
    let found = identities(&events(&folder));
    for number in 1..=MESSAGES {
        let (identity, _) = message(number);
        assert_eq!(found.get(&identity), Some(&1), "{identity}");
    }
    folder.run(&["verify"]).exits(0);
}

#[test]
fn what_this_ledger_published_does_not_come_in_again_needs_nats_server() {
    let server = Server::start(None);
    let folder = Folder::with_store();
    let mut client = Client::connect(server.port, None);
    client.create("S");
    let node = serve(&folder, &server);
    let url = server.url();
    folder.run(&["subscription", "create", "--name", "bus", "--nats", &url, "S.out"]).exits(0);
    create(&folder, &server, "orders", "waag", "hub", &[]);
    for round in 1..=2 {
        client.publish("S.a", br#"{"n":1}"#);
        let told = until(&folder, "orders", 2 * round);
        assert_eq!((&told["counts"]["recorded"], &told["counts"]["own"]), (&json!(round), &json!(round)));
    }
    // Messages of nobody else came.
    assert_eq!(bridge(&folder, &["show", "orders"])["cursor"]["sequence"], 4);
    assert!(node.terminate().success());
    assert_eq!(of_kind(&events(&folder), "nats.message").len(), 2);
}

#[test]
fn a_stream_that_is_made_anew_stops_its_bridge_until_somebody_accepts_it_needs_nats_server() {
    let server = Server::start(None);
    let folder = Folder::with_store();
    let mut client = Client::connect(server.port, None);
    client.create("S");
    client.publish("S.a", b"1");
    client.publish("S.a", b"2");
    let node = serve(&folder, &server);
    create(&folder, &server, "orders", "waag", "hub", &[]);
    until(&folder, "orders", 2);
    assert_eq!(refused(&folder, &["accept-reset", "orders", "--reason", "why not"]), "E1199");
    client.delete("S");
    client.create("S");
    client.publish("S.a", b"3");
    let told = until_stopped(&folder, "orders");
    assert_eq!((&told["code"], &told["cursor"]["sequence"]), (&json!("E1178"), &json!(2)));
    assert_eq!(refused(&folder, &["pause", "orders"]), "E1199");
    assert!(node.terminate().success());
    let node = serve(&folder, &server);
    assert_eq!(bridge(&folder, &["show", "orders"])["standing"], "stopped");
    assert_eq!(refused(&folder, &["accept-reset", "orders", "--reason", " "]), "E1199");
    bridge(&folder, &["accept-reset", "orders", "--reason", "made anew on purpose", "--as", "anna"]);
    let told = within("the new stream's message", PATIENCE, || {
        let told = bridge(&folder, &["show", "orders"]);
        (told["cursor"]["sequence"] == 1).then_some(told)
    });
    assert_eq!((&told["cursor"]["generation"], &told["standing"]), (&json!(1), &json!("running")));
    // One that takes its place names the same messages as before.
    let asked = bridge(&folder, &["remove", "orders"]);
    assert_eq!((&asked["dry_run"], asked.get("removed")), (&json!(true), None));
    assert_eq!(bridge(&folder, &["show", "orders"])["name"], "orders", "nothing was changed");
    assert_eq!(bridge(&folder, &["remove", "orders", "--yes"]), json!({"bridge": "orders", "removed": true}));
    assert_eq!(refused(&folder, &["show", "orders"]), "E1197");
    create(&folder, &server, "again", "other", "hub", &[]);
    assert_eq!(until(&folder, "again", 1)["counts"]["before"], 1);
    assert!(node.terminate().success());
    let events = events(&folder);
    let found = identities(&events);
    for id in ["S-1", "S-2", "S-1-1"] {
        assert_eq!(found.get(&format!("nats://hub/S {id}")), Some(&1), "{id}");
    }
    assert_eq!(of_kind(&events, "nats.message").len(), 3);
    let accepted = of_kind(&events, "waag.bridge.reset-accepted");
    assert_eq!(accepted.len(), 1);
    assert_eq!(accepted[0]["actor"], "anna");
    assert_eq!(accepted[0]["event"]["data"]["reason"], "made anew on purpose");
    assert_eq!(of_kind(&events, "waag.bridge.stopped")[0]["event"]["data"]["code"], "E1178");
}

#[test]
fn what_is_no_event_is_kept_as_bytes_and_what_is_passed_over_is_told_needs_nats_server() {
    let server = Server::start(Some("secret word"));
    let folder = Folder::with_store();
    let mut client = Client::connect(server.port, Some("secret word"));
    client.create("S");
    let event = |id: &str, kind: &str, more: Value| {
        let mut event = json!({"specversion": "1.0", "id": id, "source": "/s", "type": kind});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event.to_string().into_bytes()
    };
    client.publish("S.a", b"gone before it was taken");
    client.purge("S", 2);
    for payload in [
        b"\xff\x00 no text".to_vec(),
        event("1", "a", json!({"data": 1})),
        event("1", "a", json!({"data": 1})),
        event("1", "a", json!({"data": 2})),
        event("2", "waag.key.withdrawn", json!({})),
        event("3", "a", json!({"waagtenant": "somebody-else"})),
        vec![b'x'; 900_000],
        event("4", "a", json!({})),
        event("5", "a", json!({"source": "/waag"})),
    ] {
        client.publish("S.a", &payload);
    }
    folder.write("login", "me:secret word\n");
    let node = serve(&folder, &server);
    create(&folder, &server, "orders", "waag", "hub", &["--secret-file", "login", "--type", "bus.message"]);
    let told = until(&folder, "orders", 10);
    let counts = json!({"recorded": 5, "before": 1, "opaque": 2, "conflicts": 1, "refused": 2, "missing": 0, "own": 0});
    assert_eq!(told["counts"], counts, "{told}");
    // A gap behind the cursor is one that is told; before the first message nothing was ever had.
    bridge(&folder, &["pause", "orders"]);
    client.publish("S.a", b"11");
    client.publish("S.a", b"12");
    client.purge("S", 12);
    assert_eq!(refused(&folder, &["resume", "nobody"]), "E1197");
    bridge(&folder, &["resume", "orders"]);
    assert_eq!(until(&folder, "orders", 12)["counts"]["missing"], 1);
    let plain = folder.run(&["bridge", "show", "orders"]).exits(0).out;
    assert!(plain.contains("following") && plain.contains("1 conflicts, 2 refused"), "{plain}");
    assert!(node.terminate().success());
    let events = events(&folder);
    let sequences = |kind: &str| {
        let of = |line: &&Value| line["event"]["data"]["sequence"].as_u64().unwrap();
        of_kind(&events, kind).iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!((sequences("waag.bridge.conflict"), sequences("waag.bridge.refused")), (vec![5], vec![7, 8]));
    let gap = of_kind(&events, "waag.bridge.gap");
    assert_eq!(
        (&gap[0]["event"]["data"]["first"], &gap[0]["event"]["data"]["last"]),
        (&json!(11), &json!(11))
    );
    let found = identities(&events);
    for identity in
        ["nats://hub/S S-2", "/s 1", "nats://hub/S S-6", "/s 4", "nats://hub/S S-10", "nats://hub/S S-12"]
    {
        assert_eq!(found.get(identity), Some(&1), "{identity}");
    }
    for (path, bytes) in folder.files() {
        let is_there = bytes.windows(11).any(|piece| piece == b"secret word");
        assert!(!is_there || path.ends_with("login"), "{}", path.display());
    }
}

#[test]
fn a_bridge_goes_where_the_node_was_started_for_and_two_do_not_take_one_stream_needs_nats_server() {
    let server = Server::start(None);
    let folder = Folder::with_store();
    let mut client = Client::connect(server.port, None);
    client.create("S");
    let node = serve(&folder, &server);
    let url = server.url();
    let with = |name: &str, nats: &str, origin: &str, consumer: &str| {
        let own = ["create", "--name", name, "--nats", nats, "--stream", "S", "--consumer", consumer];
        refused(&folder, &[&own[..], &["--origin", origin]].concat())
    };
    assert_eq!(with("a", "nats://127.0.0.1:1", "hub", "c"), "E1195");
    assert_eq!(with("A", &url, "hub", "c"), "E1170");
    assert_eq!(with("a", &url, "h/b", "c"), "E1170");
    create(&folder, &server, "a", "waag", "hub", &[]);
    assert_eq!(with("a", &url, "other", "c"), "E1196");
    assert_eq!(with("b", &url, "hub", "c"), "E1196");
    assert_eq!(with("b", &format!("{url}/"), "other", "waag"), "E1196");
    for number in 0..9 {
        let (name, origin) = (format!("b{number}"), format!("o{number}"));
        create(&folder, &server, &name, &name, &origin, &[]);
    }
    let listed = folder.run(&["bridge", "list", "--json"]).exits(0).lines();
    assert_eq!(listed.len(), 10);
    assert_eq!(folder.run(&["bridge", "list"]).exits(0).out.lines().count(), 11);
    assert!(node.terminate().success());
    // Started for nothing, the node has its bridges and runs none.
    let node = Node::serve(&folder);
    let told = bridge(&folder, &["show", "a"]);
    assert_eq!(
        (&told["standing"], &told["following"], &told["code"]),
        (&json!("running"), &json!(false), &json!("E1195"))
    );
    assert_eq!(refused(&folder, &["resume", "a"]), "E1195");
    assert!(node.terminate().success());
    let ran = folder.run(&["bridge", "list", "--json"]).exits(3);
    assert_eq!(ran.json()["error"]["code"], "E1190");
}
