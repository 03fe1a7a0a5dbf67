//! Deliveries from the command line: subscriptions, pulls, dead letters, redrives and replays, asked of a real node; and what
//! is said where no node runs, or something is wrong.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails loudly, and measures real time"
)]

#[expect(dead_code, reason = "shared with other tests")]
mod common;
#[expect(dead_code, reason = "shared with other tests")]
#[path = "node/support.rs"]
mod support;

use std::process::Stdio;

use common::{Folder, Ran};
use serde_json::{Value, json};
use support::{BATCH, Node, PATIENCE, invoice, key, within};

/// A subscription in full, longer than one answer of the desk, which has 16 KiB.
fn long_spec(name: &str) -> Value {
    let types: Vec<String> = (0..2_500).map(|number| format!("order.type-{number}")).collect();
    json!({
        "name": name,
        "description": "for red things",
        "pattern": {"type": types, "$or": [{"subject": ["a"]}, {"subject": ["b"]}]},
        "target": {"kind": "pull"},
        "retry": {"attempts_max": 3, "age_s_max": 60, "delay_ms_min": 10, "delay_ms_max": 20},
    })
}

/// A node with a store, and a way to send events to it.
struct Sender {
    node: Node,
    key: String,
    sent: u32,
}

impl Sender {
    fn start(folder: &Folder) -> Self {
        let key = key(folder, &[]);
        Self { node: Node::serve(folder), key, sent: 0 }
    }

    /// Records an event for each subject, in this order.
    fn send(&mut self, subjects: &[&str]) {
        let event = |subject: &&str| {
            self.sent += 1;
            invoice(&self.sent.to_string(), "ingestion", subject)
        };
        let events: Vec<String> = subjects.iter().map(event).collect();
        let answer = self.node.post(&self.key, BATCH, &format!("[{}]", events.join(",")));
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

/// The ids of pulled events, which are numbers.
fn numbers(pulled: &[Value]) -> Vec<u64> {
    pulled.iter().map(|one| one["event"]["id"].as_str().unwrap().parse().unwrap()).collect()
}

/// Each key's events came in their order; how keys stand to each other is not promised.
fn in_order_of_keys(pulled: &[u64], keys: &[&[u64]]) {
    let of = |key: &[u64]| pulled.iter().copied().filter(|number| key.contains(number)).collect::<Vec<_>>();
    assert!(keys.iter().all(|key| of(key) == *key), "{pulled:?}");
}

/// Pulls until a number of events came.
fn pull(folder: &Folder, count: usize, more: &[&str]) -> Vec<Value> {
    let count_text = count.to_string();
    let ran =
        folder.run(&[&["pull", "shop", "--count", &count_text, "--wait", "20"], more].concat()).exits(0);
    let pulled = ran.lines();
    assert_eq!(pulled.len(), count, "{ran:?}");
    pulled
}

/// The one subscription of a list.
fn listed(folder: &Folder) -> Value {
    folder.run(&["subscription", "list", "--json"]).exits(0).json()
}

const EACH: [&[&str]; 18] = [
    &["subscription", "create", "--name", "a", "--pull"],
    &["subscription", "list"],
    &["subscription", "show", "a"],
    &["subscription", "change", "a", "--attempts", "3"],
    &["subscription", "pause", "a", "--reason", "r"],
    &["subscription", "resume", "a"],
    &["subscription", "rotate-secret", "a"],
    &["subscription", "remove", "a", "--reason", "r"],
    &["dead-letter", "list"],
    &["dead-letter", "show", "a", "1"],
    &["dead-letter", "redrive", "a", "--all"],
    &["dead-letter", "discard", "a", "--all", "--reason", "r"],
    &["dead-letter", "jobs"],
    &["dead-letter", "jobs", "1"],
    &["dead-letter", "cancel", "1"],
    &["replay", "a", "--all"],
    &["replay", "a", "--from", "1", "--yes"],
    &["pull", "a"],
];

#[test]
fn without_a_node_every_command_says_that_one_is_needed_and_changes_nothing() {
    let folder = Folder::with_store();
    let before = folder.files();
    for command in EACH {
        let ran = folder.run(&[command, &["--json"]].concat()).exits(3);
        assert_eq!(ran.json()["error"]["code"], "E1190", "{command:?}: {ran:?}");
        assert!(ran.err.contains("`waag serve`") && ran.err.contains("waag explain E1190"), "{ran:?}");
    }
    assert!(folder.files() == before, "nothing was written");
    // Another command has the store open: its own words are told.
    let mut command = folder.command(&["append"]);
    let mut writer = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let told = within("words of who writes", PATIENCE, || {
        let ran = folder.run(&["pull", "a"]).exits(3);
        ran.err.contains("the process that writes this store said").then_some(ran)
    });
    assert!(told.err.starts_with("error E1190: ") && told.err.contains("it has no doors"), "{told:?}");
    drop(writer.stdin.take());
    assert!(writer.wait().unwrap().success());
}

#[test]
fn what_is_wrong_is_refused_before_a_node_is_asked() {
    let folder = Folder::new();
    folder.write("rule", r#"{"a": [{"wildcard": "a**"}]}"#);
    folder.write("spec", r#"{"name": "a", "target": {"kind": "pull"}, "nonsense": 1}"#);
    folder.write("empty", "\n");
    let wrong: [(&[&str], &str); 25] = [
        (&["subscription", "create", "--name", "a"], "E0700"),
        (&["subscription", "create", "--pull"], "E0700"),
        (&["subscription", "create", "--name", "a", "--pull", "--webhook", "https://x.example"], "E0700"),
        (&["subscription", "create", "--file", "spec", "--pull"], "E0700"),
        (&["subscription", "create", "--file", "spec", "--name", "a"], "E0700"),
        (&["subscription", "create", "--file", "spec"], "E1130"),
        (&["subscription", "create", "--name", "A", "--pull"], "E1130"),
        (&["subscription", "create", "--name", "a", "--nats", "nats://h", "a.*"], "E1130"),
        (&["subscription", "create", "--name", "a", "--pull", "--pattern", "rule"], "E1104"),
        (&["subscription", "create", "--name", "a", "--pull", "--start", "later"], "E0700"),
        (&["subscription", "create", "--name", "a", "--pull", "--key", "data"], "E0700"),
        (&["subscription", "create", "--name", "a", "--pull", "--secret-file", "empty"], "E0700"),
        (&["subscription", "change", "b", "--file", "spec"], "E1130"),
        (&["subscription", "pause", "a"], "E0700"),
        (&["dead-letter", "redrive", "a", "--yes"], "E0700"),
        (&["dead-letter", "redrive", "a", "--all", "--code", "E1160"], "E0700"),
        (&["dead-letter", "redrive", "a", "--position", "1", "--from", "1"], "E0700"),
        (&["dead-letter", "discard", "a", "--all"], "E0700"),
        (&["dead-letter", "discard", "a", "--all", "--reason", " "], "E1141"),
        (&["dead-letter", "list", "a", "--since", "yesterday"], "E0700"),
        (&["replay", "a", "--from", "1", "--since", "2026-01-01"], "E0700"),
        (&["replay", "a"], "E0700"),
        (&["replay", "a", "--yes"], "E0700"),
        (&["replay", "a", "--all", "--to", "5"], "E0700"),
        (&["pull", "a", "--terminal"], "E0700"),
    ];
    for (arguments, code) in wrong {
        let ran: Ran = folder.run(&[arguments, &["--json"]].concat()).exits(2);
        assert_eq!(ran.json()["error"]["code"], code, "{arguments:?}: {ran:?}");
    }
    let named = r#"{"name": "a", "target": {"kind": "pull"}}"#;
    let other = folder.feed(&["subscription", "change", "b", "--file", "-"], named.as_bytes()).exits(2);
    assert!(other.err.contains("about `a`, not `b`"), "{other:?}");
}

fn refuses_what_it_would_not_keep(folder: &Folder) {
    let red = ["subscription", "change", "shop", "--description", "\u{1b}[31mred", "--json"];
    assert_eq!(folder.run(&red).exits(2).json()["error"]["code"], "E1130");
    // A file that says nothing of the start leaves it; one that says another is refused.
    let begins = |start: &str| {
        let mut spec = long_spec("shop");
        if !start.is_empty() {
            spec["start"] = json!(start);
        }
        folder.write("again.json", spec.to_string());
        folder.run(&["subscription", "change", "shop", "--file", "again.json", "--json"])
    };
    begins("").exits(0);
    begins("now").exits(0);
    assert_eq!(begins("beginning").exits(2).json()["error"]["code"], "E1138");
    let rotated = folder.run(&["subscription", "rotate-secret", "shop", "--json"]).exits(2).json();
    assert_eq!(rotated["error"]["code"], "E1151");
}

#[test]
fn a_subscription_is_made_shown_changed_paused_and_removed() {
    let folder = Folder::with_store();
    let sender = Sender::start(&folder);
    assert!(folder.run(&["subscription", "list"]).exits(0).err.contains("there is no subscription"));
    folder.write("spec", long_spec("shop").to_string());
    folder.run(&["subscription", "create", "--file", "spec", "--as", "alice", "--json"]).exits(0);
    folder.run(&["subscription", "create", "--file", "spec"]).exits(2);
    let one = listed(&folder);
    assert_eq!(one["spec"]["pattern"], long_spec("shop")["pattern"], "told in pieces, whole");
    assert_eq!((&one["created_by"], &one["standing"]["state"]), (&json!("alice"), &json!("active")));
    let table = folder.run(&["subscription", "list"]).exits(0).out;
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        lines[0],
        ["name", "target", "standing", "lag", "rate/s", "failed", "parked", "dead", "letters"]
    );
    assert_eq!(lines[1], ["shop", "pull", "active", "0", "0.0", "0", "0", "0"]);
    let shown = folder.run(&["subscription", "show", "shop"]).exits(0).out;
    assert!(shown.starts_with("shop  active\n") && shown.contains("for red things"), "{shown}");
    refuses_what_it_would_not_keep(&folder);

    let changed =
        folder.run(&["subscription", "change", "shop", "--attempts", "7", "--json"]).exits(0).json();
    assert_eq!(
        (&changed["spec"]["retry"]["attempts_max"], &changed["spec"]["retry"]["age_s_max"]),
        (&json!(7), &json!(60))
    );
    let same = folder.run(&["subscription", "change", "shop", "--attempts", "7"]).exits(2);
    assert!(same.err.contains("nothing is said that would change it"), "{same:?}");
    let paused =
        folder.run(&["subscription", "pause", "shop", "--reason", "maintenance", "--as", "bob"]).exits(0);
    assert!(
        paused.out.starts_with("shop  paused by bob at 2") && paused.out.contains(": maintenance"),
        "{paused:?}"
    );
    folder.run(&["subscription", "resume", "shop"]).exits(0);
    assert_eq!(listed(&folder)["standing"]["state"], "active");

    for command in ["show", "resume", "rotate-secret"] {
        let ran = folder.run(&["subscription", command, "none", "--json"]).exits(2);
        assert_eq!(ran.json()["error"]["code"], "E1131", "{command}: {ran:?}");
    }
    let asked = folder.run(&["subscription", "remove", "shop", "--reason", "done", "--json"]).exits(0).json();
    assert_eq!((&asked["dry_run"], &asked["dead_letters"]), (&json!(true), &json!(0)));
    assert_eq!(listed(&folder)["spec"]["name"], "shop");
    folder.run(&["subscription", "remove", "shop", "--reason", "done", "--yes"]).exits(0);
    assert!(folder.run(&["subscription", "list", "--json"]).exits(0).out.is_empty());
    assert!(sender.node.terminate().success());
    let read = folder.run(&["read"]).exits(0).lines();
    let by = |kind: &str| -> Vec<&str> {
        let of_kind = read.iter().filter(|line| line["type"] == kind);
        of_kind.map(|line| line["actor"].as_str().unwrap()).collect()
    };
    assert_eq!(by("waag.subscription.created"), ["alice"]);
    assert_eq!(by("waag.subscription.switched")[..1], ["bob"]);
    assert_eq!(by("waag.subscription.removed").len(), 1);
}

#[test]
fn a_webhooks_secret_is_shown_when_it_is_made_and_never_again() {
    let folder = Folder::with_store();
    let sender = Sender::start(&folder);
    let url = "https://erp.example/events";
    let create = ["subscription", "create", "--name", "erp", "--webhook", url, "--json"];
    let created = folder.run(&create).exits(0).json();
    let first = created["secret"].as_str().unwrap();
    assert!(first.starts_with("whsec_"));
    let rotated = folder.run(&["subscription", "rotate-secret", "erp"]).exits(0);
    let second = rotated.out.lines().find_map(|line| line.strip_prefix("  secret  ")).unwrap();
    assert!(second.starts_with("whsec_") && second != first && rotated.err.contains("not shown again"));
    folder.write("secret", format!("{first}\n"));
    let given =
        folder.run(&["subscription", "rotate-secret", "erp", "--secret-file", "secret", "--json"]).exits(0);
    assert!(given.json().get("secret").is_none(), "who gave it knows it");
    let told = [
        folder.run(&["subscription", "show", "erp", "--json"]).exits(0).out,
        folder.run(&["subscription", "list", "--json"]).exits(0).out,
        folder.run(&["read"]).exits(0).out,
        std::fs::read_to_string(folder.path("serve.err")).unwrap(),
    ];
    for secret in [first, second] {
        assert!(told.iter().all(|text| !text.contains(secret)), "a secret is shown again");
    }
    assert!(sender.node.terminate().success());
}

#[test]
fn events_are_pulled_rejected_redriven_discarded_and_replayed() {
    let folder = Folder::with_store();
    let mut sender = Sender::start(&folder);
    let create = [
        "subscription",
        "create",
        "--name",
        "shop",
        "--pull",
        "--timeout-ms",
        "60000",
        "--concurrency",
        "64",
    ];
    folder.run(&create).exits(0);
    sender.send(&["a", "b", "a", "c"]);
    in_order_of_keys(&numbers(&pull(&folder, 4, &["--ack"])), &[&[1, 3], &[2], &[4]]);

    sender.send(&["a", "a", "b"]);
    let rejected = pull(&folder, 1, &["--reject", "amount is missing", "--terminal"]);
    let (position, text) = (rejected[0]["position"].as_u64().unwrap(), rejected[0]["position"].to_string());
    assert_eq!(numbers(&rejected), [5]);
    assert_eq!(numbers(&pull(&folder, 1, &["--ack"])), [7], "the other key goes on, this one waits");
    let letter = folder.run(&["dead-letter", "show", "shop", &text, "--json"]).exits(0).json();
    assert_eq!((&letter["parks"], &letter["failure"]["class"]), (&json!(true), &json!("terminal")));
    assert_eq!(letter["failure"]["reason"], "amount is missing");
    let lines = folder.run(&["dead-letter", "list", "shop", "--class", "terminal"]).exits(0).out;
    assert!(lines.starts_with("shop  ") && lines.trim_end().ends_with("parks its key"), "{lines}");
    assert_eq!(folder.run(&["dead-letter", "list", "--json"]).exits(0).json(), letter);
    assert!(folder.run(&["dead-letter", "list", "--code", "E0000"]).exits(0).out.is_empty());
    assert_eq!(
        folder.run(&["dead-letter", "show", "shop", "0", "--json"]).exits(2).json()["error"]["code"],
        "E1140"
    );

    let redrive = ["dead-letter", "redrive", "shop", "--position", &text, "--json"];
    assert_eq!(folder.run(&redrive).exits(0).json()["dead_letters"], 1);
    assert_eq!(folder.run(&["dead-letter", "list", "--json"]).exits(0).json(), letter, "nothing was changed");
    let job = folder.run(&[&redrive[..], &["--yes", "--reason", "mended"]].concat()).exits(0).json();
    assert_eq!(
        (&job["kind"], &job["total"], &job["reason"]),
        (&json!("redrive"), &json!(1), &json!("mended"))
    );
    assert_eq!(numbers(&pull(&folder, 1, &["--ack"])), [5], "ahead of what waits");
    assert_eq!(numbers(&pull(&folder, 1, &["--ack"])), [6]);
    let number = job["number"].to_string();
    let ended = folder.run(&["dead-letter", "jobs", &number, "--follow", "--json"]).exits(0).json();
    assert_eq!(
        (&ended["state"], &ended["succeeded"], &ended["failed"]),
        (&json!("done"), &json!(1), &json!(0))
    );
    assert!(folder.run(&["dead-letter", "list"]).exits(0).out.is_empty());

    discards(&folder, &mut sender, position);
    replays(&folder, position);
    assert!(sender.node.terminate().success());
    let read = folder.run(&["read", "--everything", "--reveal", "a test"]).exits(0).lines();
    let discarded = read.iter().find(|line| line["type"] == "waag.dead-letter.discarded").unwrap();
    assert_eq!(
        (&discarded["actor"], &discarded["event"]["data"]["reason"]),
        (&json!("carol"), &json!("test data"))
    );
    folder.run(&["verify"]).exits(0);
}

/// Makes another dead letter, and discards it.
fn discards(folder: &Folder, sender: &mut Sender, position: u64) {
    sender.send(&["d"]);
    let second = pull(folder, 1, &["--reject", "no", "--terminal"])[0]["position"].to_string();
    assert_ne!(second, position.to_string());
    let discard = ["dead-letter", "discard", "shop", "--all", "--reason", "test data", "--as", "carol"];
    let asked = folder.run(&discard).exits(0);
    assert!(
        asked.out.starts_with("1 dead letter of `shop` would be discarded") && asked.err.contains("--yes")
    );
    let job = folder.run(&[&discard[..], &["--yes", "--follow", "--json"]].concat()).exits(0).json();
    assert_eq!((&job["state"], &job["by"], &job["succeeded"]), (&json!("done"), &json!("carol"), &json!(1)));
    let none = ["dead-letter", "redrive", "shop", "--position", &second, "--yes", "--json"];
    assert_eq!(folder.run(&none).exits(2).json()["error"]["code"], "E1140");
}

/// Replays the events from the fifth on, of which there are four; then one that is cancelled.
fn replays(folder: &Folder, from: u64) {
    let from = from.to_string();
    folder.write("rule", r#"{"subject": ["a", "b"]}"#);
    let replay =
        ["replay", "shop", "--from", &from, "--pattern", "rule", "--reason", "restored", "--yes", "--json"];
    let job = folder.run(&replay).exits(0).json();
    let number = job["number"].clone();
    let pulled = pull(folder, 3, &["--ack"]);
    in_order_of_keys(&numbers(&pulled), &[&[5, 6], &[7]]);
    assert!(pulled.iter().all(|one| one["replay"] == number), "{pulled:?}");
    let ended =
        folder.run(&["dead-letter", "jobs", &number.to_string(), "--follow", "--json"]).exits(0).json();
    assert_eq!((&ended["kind"], &ended["state"]), (&json!("replay"), &json!("done")));

    let job =
        folder.run(&["replay", "shop", "--since", "2020-01-01", "--yes", "--json"]).exits(0).json()["number"]
            .to_string();
    let cancelled = folder.run(&["dead-letter", "cancel", &job]).exits(0).out;
    assert!(cancelled.starts_with(&format!("job {job}  replay  shop  cancelled  ")), "{cancelled}");
    folder.run(&["dead-letter", "jobs", &job, "--follow"]).exits(1);
    assert!(folder.run(&["pull", "shop", "--ack"]).exits(0).out.is_empty(), "it delivers nothing more");
    let jobs = folder.run(&["dead-letter", "jobs", "--json"]).exits(0).lines();
    let numbers: Vec<u64> = jobs.iter().map(|job| job["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [4, 3, 2, 1], "the newest first");
    assert_eq!(
        folder.run(&["dead-letter", "cancel", "99", "--json"]).exits(2).json()["error"]["code"],
        "E1136"
    );
    let beyond = folder.run(&["replay", "shop", "--from", "99999", "--yes", "--json"]).exits(2).json();
    assert_eq!(beyond["error"]["code"], "E1138");
}

#[test]
fn what_is_not_acknowledged_comes_again_and_long_events_come_whole() {
    let folder = Folder::with_store();
    let mut sender = Sender::start(&folder);
    folder.run(&["subscription", "create", "--name", "shop", "--pull", "--timeout-ms", "1500"]).exits(0);
    sender.send(&["a"]);
    let first = folder.run(&["pull", "shop", "--count", "1", "--wait", "20"]).exits(0);
    assert!(first.err.contains("nothing was acknowledged"), "{first:?}");
    let again = pull(&folder, 1, &["--ack"]);
    assert_eq!((numbers(&again), again[0]["attempt"].as_u64()), (vec![1], Some(2)));
    assert_ne!(again[0]["lease"], first.json()["lease"]);

    // More than the desk's answer has, in one event and in many.
    let long = "ü".repeat(40_000);
    let event = |number: u32| {
        json!({"specversion": "1.0", "id": number.to_string(), "source": "/shop", "type": "order.placed",
            "data": {"text": long}})
    };
    let events: Vec<Value> = (0..20).map(event).collect();
    let answer = sender.node.post(&sender.key, BATCH, &Value::from(events).to_string());
    assert_eq!(answer.status, 200, "{answer:?}");
    folder.run(&["subscription", "change", "shop", "--timeout-ms", "60000"]).exits(0);
    let pulled = pull(&folder, 20, &["--ack"]);
    assert_eq!(numbers(&pulled), (0..20).collect::<Vec<u64>>());
    assert!(pulled.iter().all(|one| one["event"]["data"]["text"] == long.as_str()));
    assert!(sender.node.terminate().success());
}
