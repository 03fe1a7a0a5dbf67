//! Operating the door: the access log's files, and usage plans that count at once and outlive the process.

use serde_json::Value;

use crate::common::Folder;
use crate::support::{Answer, BATCH, Node, ONE, PATIENCE, ask, invoice, key, post, within};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// The lines of the access log, in order.
fn lines(folder: &Folder) -> Vec<Value> {
    let mut files: Vec<_> = match std::fs::read_dir(folder.path("waag-data/default/access")) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => Vec::new(),
    };
    files.retain(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
    files.sort();
    let text: String = files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn metric(node: &Node, name: &str) -> f64 {
    let page = ask(node.listen, "GET", "/metrics", &[], "").unwrap();
    let line = page.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}: {}", page.body)).parse().unwrap()
}

#[test]
fn each_request_leaves_a_line_without_its_secrets_and_a_restart_goes_on_with_them() {
    let folder = Folder::with_store();
    let secret = key(&folder, &["--holder", "erp"]);
    let node = Node::serve(&folder);
    let batch = format!("[{},{}]", invoice("a", "ingestion", "INV-SECRET"), r#"{"specversion":"1.0"}"#);
    let headers = [("x-api-key", secret.as_str()), ("content-type", BATCH), ("traceparent", TRACE)];
    let answer = ask(node.listen, "POST", "/v1/events?token=hidden", &headers, &batch).unwrap();
    assert_eq!(answer.status, 207, "{answer:?}");
    assert_eq!(ask(node.listen, "GET", "/secret/path", &[], "").unwrap().status, 404);
    assert_eq!(node.post("waag_0000000000000000_wrong", ONE, "{}").status, 401);
    assert!(metric(&node, "waag_access_log_dropped_total") == 0.0);
    let told = within("four lines", PATIENCE, || {
        let told = lines(&folder);
        (told.len() >= 4).then_some(told)
    });
    let [first, second, third, _] = told.as_slice() else { panic!("{told:?}") };
    let id = folder.run(&["key", "list", "--json"]).exits(0).json()["id"].clone();
    for (name, value) in [
        ("method", "POST".into()),
        ("route", "/v1/events".into()),
        ("status", 207.into()),
        ("key", id),
        ("tenant", "default".into()),
        ("client_address", "127.0.0.1".into()),
        ("trace_id", "0af7651916cd43dd8448eb211c80319c".into()),
        ("bytes_in", batch.len().into()),
        ("bytes_out", answer.body.len().into()),
        ("events", 2.into()),
        ("recorded", 1.into()),
        ("refused", 1.into()),
    ] {
        assert_eq!(first[name], value, "{name}: {first}");
    }
    assert!(first["duration_us"].as_u64().unwrap() > 0 && first["time"].as_str().unwrap().ends_with('Z'));
    assert_eq!((second["route"].as_str(), second["code"].as_str()), (Some("other"), Some("E0900")));
    assert_eq!((third["status"].as_u64(), third["code"].as_str()), (Some(401), Some("E0903")));
    let text = serde_json::to_string(&told).unwrap();
    for hidden in [secret.as_str(), "wrong", "hidden", "INV-SECRET", "secret/path"] {
        assert!(!text.contains(hidden), "{hidden} is in the log");
    }
    // An ordinary end writes what waits; the next start goes on in the same file.
    node.post(&secret, ONE, &invoice("b", "ingestion", "b"));
    assert!(node.terminate().success());
    let before = lines(&folder).len();
    assert_eq!(before, 5, "the last request too");
    let node = Node::serve(&folder);
    node.post(&secret, ONE, &invoice("c", "ingestion", "c"));
    assert!(node.terminate().success());
    assert_eq!(lines(&folder).len(), before + 1);
    folder.run(&["verify"]).exits(0);
}

#[test]
fn a_log_that_cannot_be_written_stops_nobody_and_one_that_is_off_leaves_nothing() {
    let folder = Folder::with_store();
    let secret = key(&folder, &[]);
    folder.write("waag-data/default/access", "a file where the folder should be");
    let node = Node::serve(&folder);
    let post = |node: &Node, id: &str| node.post(&secret, ONE, &invoice(id, "ingestion", id)).status;
    assert_eq!(post(&node, "a"), 200);
    within("dropped lines", PATIENCE, || {
        (metric(&node, "waag_access_log_dropped_total") >= 1.0).then_some(())
    });
    assert_eq!(post(&node, "b"), 200);
    assert!(node.terminate().success());
    let said = std::fs::read_to_string(folder.path("serve.err")).unwrap();
    assert!(said.contains("the access log cannot be written"), "{said}");
    std::fs::remove_file(folder.path("waag-data/default/access")).unwrap();
    let node = Node::serve_with(&folder, &["--no-access-log"]);
    assert_eq!(post(&node, "c"), 200);
    assert!(node.terminate().success());
    assert_eq!(lines(&folder), [] as [Value; 0]);
}

/// As many events at once, each with a name of its own, that none has the time to come back into its rate.
fn flood(node: &Node, secret: &str, name: &str) -> Vec<Answer> {
    let to = node.listen;
    let send = |number: usize| {
        let id = format!("{name}-{number}");
        post(to, secret, ONE, &invoice(&id, "ingestion", &id)).unwrap()
    };
    at_once(send)
}

pub(crate) fn at_once(send: impl Fn(usize) -> Answer + Sync) -> Vec<Answer> {
    let send = &send;
    std::thread::scope(|scope| {
        let sent: Vec<_> = (0..20).map(|number| scope.spawn(move || send(number))).collect();
        sent.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn told(answer: &Answer, name: &str) -> String {
    let line = answer.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("no {name}: {answer:?}")).to_owned()
}

#[test]
fn a_plan_counts_at_once_is_told_in_headers_and_its_day_outlives_a_kill() {
    let folder = Folder::with_store();
    // Before a node runs, and beside one.
    folder.run(&["plan", "set", "partner", "--write", "1/2", "--events-per-day", "50"]).exits(0);
    let secret = key(&folder, &["--plan", "partner"]);
    let id = secret.get(5..21).unwrap().to_owned();
    let none = folder.run(&["key", "create", "--plan", "nobody"]);
    assert!(none.code == 2 && none.err.contains("E0859"), "{none:?}");
    let mut node = Node::serve(&folder);
    let post = |node: &Node, name: &str| node.post(&secret, ONE, &invoice(name, "ingestion", name));
    let answer = post(&node, "1");
    assert_eq!(answer.status, 200);
    assert_eq!(
        told(&answer, "ratelimit-policy"),
        "\"write\";q=2;w=2, \"day\";q=50;w=86400;qu=\"waag-events\""
    );
    assert!(told(&answer, "ratelimit").starts_with("\"write\";r=1;t=1, \"day\";r=49;t="), "{answer:?}");
    let burst = flood(&node, &secret, "burst");
    let mut recorded = 1 + burst.iter().filter(|answer| answer.status == 200).count();
    let away = burst.iter().find(|answer| answer.status == 429).unwrap();
    assert_eq!(away.json()["code"].as_str(), Some("E0950"));
    assert_eq!(told(away, "retry-after"), "1");
    assert!(told(away, "ratelimit").starts_with("\"write\";r=0;"), "{away:?}");
    // Another plan of the same name counts from the next request on.
    let day = (recorded + 3).to_string();
    let set = ["plan", "set", "partner", "--events-per-day", &day, "--json"];
    let set = folder.run(&set).exits(0).json();
    assert_eq!((set["name"].as_str(), set["keys"].as_u64()), (Some("partner"), Some(1)), "{set}");
    for name in ["2", "3", "4"] {
        assert_eq!(post(&node, name).status, 200);
        recorded += 1;
    }
    let over = post(&node, "6");
    assert_eq!((over.status, over.json()["code"].as_str()), (429, Some("E0952")));
    assert!(told(&over, "retry-after").parse::<u64>().unwrap() <= 86_400);
    assert!(metric(&node, "waag_http_limited_total{limit=\"key_day\"}") >= 1.0);
    // Kept within a second, also where nobody says good-bye.
    let counts = folder.path("waag-data/default/access/day-counts.json");
    within("the day's counts", PATIENCE, || {
        std::fs::read_to_string(&counts)
            .is_ok_and(|text| text.contains(&format!("\"{id}\":{recorded}")))
            .then_some(())
    });
    node.process.kill();
    let node = Node::serve(&folder);
    assert_eq!(post(&node, "7").status, 429, "a restart gives no second day");
    assert!(node.terminate().success());
}

#[test]
fn keys_change_plans_the_node_has_a_rate_and_each_change_is_an_event() {
    let folder = Folder::with_store();
    folder.run(&["plan", "set", "partner", "--all", "1/1"]).exits(0);
    let secret = key(&folder, &["--plan", "partner"]);
    let id = secret.get(5..21).unwrap().to_owned();
    let node = Node::serve(&folder);
    let post = |node: &Node, name: &str| node.post(&secret, ONE, &invoice(name, "ingestion", name));
    let burst = flood(&node, &secret, "key");
    assert!(burst.iter().any(|answer| answer.status == 429), "{burst:?}");
    let in_use = folder.run(&["plan", "remove", "partner"]);
    assert!(in_use.code != 0 && in_use.err.contains("E0860"), "{in_use:?}");
    folder.run(&["plan", "assign", "standard", &id]).exits(0);
    assert_eq!(post(&node, "7").status, 200);
    folder.run(&["plan", "remove", "partner"]).exits(0);
    let refused = folder.run(&["plan", "set", "a b", "--all", "1/1"]);
    assert!(refused.code == 2 && refused.err.contains("E0973"), "as without a node: {refused:?}");
    folder.run(&["plan", "node", "--rate", "1/1"]).exits(0);
    let no_plan = folder.run(&["key", "create", "--holder", "erp", "--plan", "@node"]);
    assert!(no_plan.code == 2 && no_plan.err.contains("E0859"), "the node's rate is no plan: {no_plan:?}");
    let burst = flood(&node, &secret, "node");
    let away = burst.iter().find(|answer| answer.status == 429).unwrap();
    assert_eq!(away.json()["code"].as_str(), Some("E0951"));
    assert_eq!(ask(node.listen, "GET", "/healthz", &[], "").unwrap().status, 200, "looking is free");
    folder.run(&["plan", "node", "--unlimited"]).exits(0);
    assert_eq!(post(&node, "11").status, 200);
    let listed = folder.run(&["plan", "list", "--json"]).exits(0);
    assert_eq!(
        listed.lines().iter().map(|plan| plan["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["standard"]
    );
    assert!(node.terminate().success());
    let kinds: Vec<String> = folder
        .run(&["read"])
        .exits(0)
        .lines()
        .iter()
        .filter_map(|line| line["event"]["type"].as_str().filter(|kind| kind.starts_with("waag.plan.")))
        .map(str::to_owned)
        .collect();
    let expected = ["set", "assigned", "removed", "node", "node"].map(|end| format!("waag.plan.{end}"));
    assert_eq!(kinds, expected, "each change is an event");
    folder.run(&["verify"]).exits(0);
}

#[test]
fn a_node_that_nobody_could_ask_to_withdraw_a_key_does_not_start() {
    let folder = Folder::with_store();
    std::fs::create_dir(folder.path("waag-data.state/default/writer.sock")).unwrap();
    let ran = folder.run(&["serve", "--listen", "127.0.0.1:0", "--pages", "127.0.0.1:0"]);
    assert!(ran.code == 3 && ran.err.contains("E0861"), "{ran:?}");
    for wrong in ["localhost:4318", "https://localhost:4318"] {
        let serve = ["serve", "--listen", "127.0.0.1:0", "--pages", "127.0.0.1:0", "--otlp-endpoint", wrong];
        std::fs::remove_dir_all(folder.path("waag-data.state/default/writer.sock")).ok();
        let ran = folder.run(&serve);
        assert!(ran.code != 0 && ran.err.contains("E0870"), "{ran:?}");
    }
}
