//! The router's API over a real listener: who may what (`roles`), subscriptions, pulling and answering, dead letters, jobs, patterns.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "helpers of tests, whose waits end"
)]

#[path = "deliveries/roles.rs"]
mod roles;
mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::router::{Events, Notices, router};
use support::{Client, More, Response, Settings, TestDoor, new_key};
use waag_http::deliveries::PULLS_MAX;
use waag_http::keys::Role;

const PULL: &str = r#"{"subscription":{"name":"billing","target":{"kind":"pull"},"timeout_ms":30000}}"#;

struct Tried {
    door: TestDoor,
    events: Arc<Events>,
    notices: Arc<Notices>,
}

impl Tried {
    fn open() -> Self {
        let (router, events, notices) = router();
        let more = More { router: Some(router), ..More::default() };
        Self { door: TestDoor::open_with(Settings::default(), more), events, notices }
    }

    fn client(&self, role: Role) -> Client {
        let mut client = self.door.connect();
        client.key = new_key(&self.door.keys, "default", role);
        client
    }
}

fn post(client: &mut Client, path: &str, body: &str) -> Response {
    client.post(path, "application/json", body)
}

fn code(got: &Response) -> (u16, &str) {
    (got.status, got.body["code"].as_str().unwrap_or_default())
}

/// Pulls once, at most so many events, waiting for the first.
fn pull(client: &mut Client, most: usize) -> Vec<Value> {
    let got = post(client, &format!("/v1/subscriptions/billing/pull?max={most}&wait_ms=5000"), "");
    assert_eq!(got.status, 200, "{got:?}");
    got.body["events"].as_array().unwrap().clone()
}

fn answer(client: &mut Client, answers: Value) -> Response {
    post(client, "/v1/subscriptions/billing/answer", &json!({ "answers": answers }).to_string())
}

#[test]
fn a_subscription_is_made_read_changed_paused_and_removed() {
    let tried = Tried::open();
    let mut admin = tried.client(Role::Admin);
    let got = post(&mut admin, "/v1/subscriptions", PULL);
    assert_eq!((got.status, got.header("location")), (201, Some("/v1/subscriptions/billing")), "{got:?}");
    assert_eq!(got.body["overview"]["created_by"], "erp");
    assert_eq!(code(&post(&mut admin, "/v1/subscriptions", PULL)), (409, "E1132"));
    let read = admin.get("/v1/subscriptions/billing");
    assert_eq!(read.body["overview"]["spec"]["target"]["kind"], "pull", "{read:?}");
    let key = admin.key.clone();
    let headers = [("content-type", "application/json"), ("x-api-key", key.as_str())];
    let changed = PULL.replace("30000", "40000");
    let got = admin.call("PUT", "/v1/subscriptions/billing", &headers, changed.as_bytes());
    assert_eq!((got.status, got.body["spec"]["timeout_ms"].as_u64()), (200, Some(40_000)), "{got:?}");
    let got = admin.call("PUT", "/v1/subscriptions/other", &headers, changed.as_bytes());
    assert_eq!(
        (code(&got), got.body["errors"][0]["path"].as_str()),
        ((422, "E0980"), Some("/subscription/name"))
    );
    let got = post(&mut admin, "/v1/subscriptions/billing/pause", r#"{"reason":"moving"}"#);
    assert_eq!((got.status, &got.body["standing"]["reason"]), (200, &json!("moving")), "{got:?}");
    let got = post(&mut admin, "/v1/subscriptions/billing/resume", "");
    assert_eq!((got.status, &got.body["standing"]["state"]), (200, &json!("active")));
    let gone = admin.call("DELETE", "/v1/subscriptions/billing", &headers, b"");
    assert_eq!(code(&gone), (400, "E0919"), "a reason is required");
    let gone = admin.call("DELETE", "/v1/subscriptions/billing?reason=no%20longer", &headers, b"");
    assert_eq!((gone.status, &gone.body["status"]), (200, &json!("removed")));
    assert_eq!(code(&admin.get("/v1/subscriptions/billing")), (404, "E1131"));
    let by = tried.notices.0.lock().unwrap().iter().map(|notice| notice.by.clone()).collect::<Vec<_>>();
    assert!(by.len() >= 5 && by.iter().all(|by| by.as_deref() == Some("erp")), "{by:?}");
}

#[test]
fn a_subscription_is_changed_and_removed_as_it_was_read_or_not_at_all() {
    let tried = Tried::open();
    let mut admin = tried.client(Role::Admin);
    assert_eq!(post(&mut admin, "/v1/subscriptions", PULL).status, 201);
    let (at, key) = ("/v1/subscriptions/billing", admin.key.clone());
    let tag = |client: &mut Client| client.get(at).header("etag").unwrap().to_owned();
    let first = tag(&mut admin);
    assert!(first.starts_with('"') && first.ends_with('"'), "strong: {first}");
    // What moves by itself makes no other version.
    tried.events.add("t", 0, "{}");
    assert_eq!(tag(&mut admin), first);
    let put = |client: &mut Client, name: &str, more: &[(&str, &str)], timeout: u32| {
        let headers = [&[("content-type", "application/json"), ("x-api-key", key.as_str())], more].concat();
        let body = PULL.replace("30000", &timeout.to_string());
        client.call("PUT", &format!("/v1/subscriptions/{name}"), &headers, body.as_bytes())
    };
    let timeout = |client: &mut Client| client.get(at).body["overview"]["spec"]["timeout_ms"].clone();
    assert_eq!(put(&mut admin, "billing", &[("if-match", &first)], 40_000).status, 200);
    let second = tag(&mut admin);
    assert_ne!(second, first);
    for stale in [first.as_str(), "\"\"", &format!("W/{second}")] {
        let got = put(&mut admin, "billing", &[("if-match", stale)], 50_000);
        assert_eq!(code(&got), (412, "E1152"), "{stale}");
    }
    assert_eq!(code(&put(&mut admin, "billing", &[("if-match", "first")], 50_000)), (400, "E0909"));
    assert_eq!(timeout(&mut admin), 40_000);
    assert_eq!(
        put(&mut admin, "billing", &[("if-match", &first), ("if-match", &second)], 45_000).status,
        200
    );
    assert_eq!(put(&mut admin, "billing", &[("if-match", "*")], 46_000).status, 200);
    assert_eq!(put(&mut admin, "billing", &[], 47_000).status, 200, "without one as ever");
    assert_eq!(timeout(&mut admin), 47_000);
    let third = tag(&mut admin);
    assert_eq!(post(&mut admin, &format!("{at}/pause"), r#"{"reason":"moving"}"#).status, 200);
    let paused = tag(&mut admin);
    assert!(paused != third && paused == tag(&mut admin));
    let remove = |client: &mut Client, tag: &str| {
        client.call(
            "DELETE",
            &format!("{at}?reason=x"),
            &[("x-api-key", key.as_str()), ("if-match", tag)],
            b"",
        )
    };
    assert_eq!(code(&remove(&mut admin, &third)), (412, "E1152"));
    assert_eq!(remove(&mut admin, &paused).status, 200);
    assert_eq!(code(&remove(&mut admin, &paused)), (404, "E1131"));
    // One of the same name that is made later is another one.
    assert_eq!(post(&mut admin, "/v1/subscriptions", PULL).status, 201);
    assert_ne!(tag(&mut admin), first);
}

#[test]
fn a_refused_subscription_is_told_with_its_place_and_no_secret() {
    let tried = Tried::open();
    let mut admin = tried.client(Role::Admin);
    let refused = |admin: &mut Client, body: &str| {
        let got = post(admin, "/v1/subscriptions", body);
        let path = got.body["errors"][0]["path"].as_str().unwrap_or_default().to_owned();
        (got.status, got.body["code"].as_str().unwrap_or_default().to_owned(), path)
    };
    let with = |more: &str| PULL.replace("\"timeout_ms\":30000", more);
    let at = |status, code: &str, path: &str| (status, code.to_owned(), path.to_owned());
    let pattern = with(r#""pattern":{"data":{"amount":[{"bigger":5}]}}"#);
    assert_eq!(refused(&mut admin, &pattern), at(422, "E1103", "/subscription/pattern/data/amount/0"));
    assert_eq!(refused(&mut admin, &with(r#""priority":10"#)), at(422, "E1130", "/subscription"));
    assert_eq!(refused(&mut admin, "{}"), at(422, "E0980", ""));
    assert_eq!(admin.post("/v1/subscriptions", "text/plain", PULL).status, 415);
    let nats =
        r#"{"subscription":{"name":"a","target":{"kind":"nats","server":"nats://a:1","subject":"s"}}}"#;
    assert_eq!(refused(&mut admin, nats), at(422, "E1139", "/subscription"));
    let webhook =
        r#"{"subscription":{"name":"hook","target":{"kind":"webhook","url":"https://a.example/"}}}"#;
    let made = post(&mut admin, "/v1/subscriptions", webhook);
    assert_eq!((made.status, &made.body["secret"]), (201, &json!("whsec_made")));
    let given = webhook.replace("\"hook\"", "\"hook2\"").replacen('{', r#"{"secret":"whsec_given","#, 1);
    let made = post(&mut admin, "/v1/subscriptions", &given);
    assert_eq!((made.status, made.body.get("secret")), (201, None), "{made:?}");
    let rotated = post(&mut admin, "/v1/subscriptions/hook/rotate-secret", "{}");
    assert_eq!((rotated.status, &rotated.body["secret"]), (200, &json!("whsec_made")));
    assert!(!admin.get("/v1/subscriptions").body.to_string().contains("whsec"));
    let pull = given
        .replace("hook2", "none")
        .replace(r#"{"kind":"webhook","url":"https://a.example/"}"#, r#"{"kind":"pull"}"#);
    assert_eq!(refused(&mut admin, &pull), at(422, "E1151", "/secret"));
    let key = admin.key.clone();
    let headers = [("content-type", "application/json"), ("x-api-key", key.as_str())];
    let moved = webhook.replace("a.example", "b.example");
    let changed = admin.call("PUT", "/v1/subscriptions/hook", &headers, moved.as_bytes());
    let told = (&changed.body["spec"]["name"], &changed.body["secret"]);
    assert_eq!((changed.status, told), (200, (&json!("hook"), &json!("whsec_made"))), "{changed:?}");
    let changed = admin.call("PUT", "/v1/subscriptions/hook", &headers, moved.as_bytes());
    assert_eq!((changed.status, changed.body.get("secret")), (200, None), "{changed:?}");
    let begins = moved.replacen(r#""name""#, r#""start":"beginning","name""#, 1);
    let changed = admin.call("PUT", "/v1/subscriptions/hook", &headers, begins.as_bytes());
    assert_eq!(code(&changed), (422, "E1138"));
    for (method, path) in [
        ("GET", "/v1/subscriptions?maximum=5"),
        ("GET", "/v1/subscriptions/hook?max=1"),
        ("POST", "/v1/subscriptions/hook/resume?now=1"),
        ("DELETE", "/v1/subscriptions/hook?reason=x&force=1"),
    ] {
        assert_eq!(code(&admin.call(method, path, &headers, b"")), (400, "E0919"), "{method} {path}");
    }
    let large = format!(r#"{{"subscription":{}}}"#, " ".repeat(3_000_000));
    assert_eq!(post(&mut admin, "/v1/subscriptions", &large).status, 413);
}

#[test]
fn the_list_is_told_in_pieces() {
    let tried = Tried::open();
    let mut admin = tried.client(Role::Admin);
    for name in ["c", "a", "b"] {
        assert_eq!(post(&mut admin, "/v1/subscriptions", &PULL.replace("billing", name)).status, 201);
    }
    let names = |got: &Response| {
        let all = got.body["subscriptions"].as_array().unwrap().clone();
        all.iter().map(|one| one["spec"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = admin.get("/v1/subscriptions?max=2");
    assert_eq!(
        (names(&first), first.body["next"].as_str()),
        (vec!["a".to_owned(), "b".to_owned()], Some("b"))
    );
    let rest = admin.get("/v1/subscriptions?max=2&after=b");
    assert_eq!((names(&rest), rest.body.get("next")), (vec!["c".to_owned()], None));
}

#[test]
fn events_are_pulled_as_they_are_and_answered_for() {
    let tried = Tried::open();
    let (mut admin, mut subscriber) = (tried.client(Role::Admin), tried.client(Role::Subscriber));
    assert_eq!(post(&mut admin, "/v1/subscriptions", PULL).status, 201);
    let raw = r#"{"type":"invoice.posted", "data":{"amount":1.50}}"#;
    for subject in 0..3 {
        tried.events.add("invoice.posted", subject, raw);
    }
    let mut leased = Vec::new();
    while leased.len() < 3 {
        leased.extend(pull(&mut subscriber, 10));
    }
    let told: Vec<_> = leased.iter().map(|one| (one["position"].as_u64(), one["attempt"].as_u64())).collect();
    assert_eq!(told, [(Some(0), Some(1)), (Some(1), Some(1)), (Some(2), Some(1))]);
    assert_eq!(leased[0]["event"], serde_json::from_str::<Value>(raw).unwrap());
    let lease = |at: usize| leased[at]["lease"].clone();
    let got = answer(
        &mut subscriber,
        json!([
            {"answer": "acknowledge", "lease": lease(0)}, {"answer": "extend", "lease": lease(1)},
            {"answer": "acknowledge", "lease": lease(0)}, {"answer": "acknowledge", "lease": "nonsense"}
        ]),
    );
    assert_eq!(got.status, 200, "{got:?}");
    let results = &got.body["results"];
    assert_eq!((&results[0]["done"], &results[1]["done"]), (&json!(true), &json!(true)), "{got:?}");
    assert_eq!((&results[2]["code"], &results[3]["code"]), (&json!("E1134"), &json!("E1134")));
    let late = answer(&mut subscriber, json!([{"answer": "acknowledge", "lease": lease(0)}]));
    assert_eq!(code(&late), (409, "E1134"));
    // A rejection for good makes a dead letter; a soft one brings the event again.
    let reject = json!([
        {"answer": "reject", "lease": lease(1), "terminal": true, "reason": "no such account"},
        {"answer": "reject", "lease": lease(2), "retry_after_ms": 0}
    ]);
    assert_eq!(answer(&mut subscriber, reject).body["results"][1]["done"], true);
    let again = pull(&mut subscriber, 10);
    assert_eq!((again[0]["position"].as_u64(), again[0]["attempt"].as_u64()), (Some(2), Some(2)));
    let text = admin.get("/metrics").body;
    assert!(text.as_str().unwrap().contains("\nwaag_router_dead_letters 1\n"), "{text}");
    assert!(text.as_str().unwrap().contains("\nwaag_router_delivered_total 1\n"));
}

#[test]
fn a_pull_waits_for_the_first_event_and_ends_with_the_door() {
    let mut tried = Tried::open();
    let mut admin = tried.client(Role::Admin);
    assert_eq!(post(&mut admin, "/v1/subscriptions", PULL).status, 201);
    let begun = Instant::now();
    let got = post(&mut admin, "/v1/subscriptions/billing/pull", "");
    assert_eq!(got.body, json!({"events": []}));
    assert!(begun.elapsed() < Duration::from_secs(2));
    let mut waiting = tried.client(Role::Subscriber);
    let events = Arc::clone(&tried.events);
    let late = std::thread::spawn(move || {
        let leased = pull(&mut waiting, 1);
        (leased.len(), waiting)
    });
    std::thread::sleep(Duration::from_millis(200));
    events.add("t", 1, "{}");
    let (many, mut waiting) = late.join().unwrap();
    assert_eq!(many, 1);
    let (sent, is_sent) = std::sync::mpsc::sync_channel(1);
    let ended = std::thread::spawn(move || {
        let (key, path) = (waiting.key.clone(), "/v1/subscriptions/billing/pull?wait_ms=60000");
        waiting.send("POST", path, &[("content-type", "application/json"), ("x-api-key", &key)], b"");
        sent.send(()).unwrap();
        waiting.read()
    });
    is_sent.recv().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    tried.door.end();
    assert_eq!(ended.join().unwrap().body, json!({"events": []}));
    assert!(begun.elapsed() < Duration::from_secs(30), "the door waited for a pull");
}

#[test]
fn dead_letters_are_listed_counted_redriven_and_discarded() {
    let tried = Tried::open();
    let (mut admin, mut subscriber) = (tried.client(Role::Admin), tried.client(Role::Subscriber));
    assert_eq!(post(&mut admin, "/v1/subscriptions", PULL).status, 201);
    for subject in 0..3 {
        tried.events.add(if subject == 2 { "order.placed" } else { "invoice.posted" }, subject, "{\"n\":1}");
    }
    let mut rejected = 0;
    while rejected < 3 {
        for one in pull(&mut subscriber, 10) {
            let answered =
                json!([{"answer": "reject", "lease": one["lease"], "terminal": true, "reason": "bad"}]);
            assert_eq!(answer(&mut subscriber, answered).status, 200);
            rejected += 1;
        }
    }
    let letters = |client: &mut Client, query: &str| {
        let got = client.get(&format!("/v1/subscriptions/billing/dead-letters{query}"));
        assert_eq!(got.status, 200, "{got:?}");
        got.body
    };
    let first = letters(&mut admin, "?max=2");
    assert_eq!((first["letters"].as_array().unwrap().len(), first["next"].as_u64()), (2, Some(1)));
    assert_eq!(first["letters"][0]["failure"]["reason"], "bad");
    assert_eq!(letters(&mut admin, "?max=2&after=1")["letters"][0]["position"], 2);
    assert_eq!(letters(&mut admin, "/count?kind=invoice.&class=terminal"), json!({"count": 2}));
    assert_eq!(code(&admin.get("/v1/subscriptions/billing/dead-letters?class=x")), (400, "E0919"));
    let at = |what: &str| format!("/v1/subscriptions/billing/{what}");
    let dry = post(&mut admin, &at("redrive"), r#"{"filter":{"kind":"invoice."},"dry_run":true}"#);
    assert_eq!((dry.status, &dry.body), (200, &json!({"count": 2})));
    let job = post(&mut admin, &at("redrive"), r#"{"filter":{"from":0,"to":1},"rate":10}"#);
    assert_eq!(
        (job.status, job.body["total"].as_u64(), job.body["by"].as_str()),
        (202, Some(1), Some("erp"))
    );
    let place = job.header("location").unwrap().to_owned();
    let again = pull(&mut subscriber, 10);
    assert_eq!(again[0]["position"], 0);
    answer(&mut subscriber, json!([{"answer": "acknowledge", "lease": again[0]["lease"]}]));
    let done = Instant::now() + Duration::from_secs(40);
    while admin.get(&place).body["state"] != "done" {
        assert!(Instant::now() < done, "the redrive did not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(code(&post(&mut admin, &at("discard"), r#"{"filter":{}}"#)), (422, "E0980"));
    let job = post(&mut admin, &at("discard"), r#"{"filter":{},"reason":"sent by mistake"}"#);
    assert_eq!((job.status, job.body["total"].as_u64()), (202, Some(2)), "{job:?}");
    let until = Instant::now() + Duration::from_secs(40);
    while letters(&mut admin, "/count") != json!({"count": 0}) {
        assert!(Instant::now() < until, "nothing was discarded");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(admin.get("/v1/delivery-jobs").body["jobs"].as_array().unwrap().len(), 2);
    assert_eq!(code(&admin.get("/v1/delivery-jobs/99")), (404, "E1136"));
}

#[test]
fn a_span_is_replayed_marked_and_can_be_ended() {
    let tried = Tried::open();
    let (mut admin, mut subscriber) = (tried.client(Role::Admin), tried.client(Role::Subscriber));
    for subject in 0..3 {
        tried.events.add("t", subject, "{}");
    }
    assert_eq!(post(&mut admin, "/v1/subscriptions", PULL).status, 201);
    let at = "/v1/subscriptions/billing/replay";
    assert_eq!(code(&post(&mut admin, at, r#"{"from":2,"to":1}"#)), (422, "E1138"));
    let bad = post(&mut admin, at, r#"{"pattern":{"type":"x"}}"#);
    assert_eq!(
        (code(&bad).0, bad.body["errors"][0]["path"].as_str()),
        (422, Some("/pattern/type")),
        "{bad:?}"
    );
    let job = post(&mut admin, at, r#"{"from":1,"reason":"lost"}"#);
    assert_eq!(
        (job.status, job.body["kind"].as_str(), job.body["total"].as_u64()),
        (202, Some("replay"), Some(2))
    );
    let leased = pull(&mut subscriber, 1);
    assert_eq!((&leased[0]["position"], &leased[0]["replay"]), (&json!(1), &job.body["number"]));
    let place = format!("{}/cancel", job.header("location").unwrap());
    assert_eq!(post(&mut admin, &place, "").body["state"], "cancelled");
}

#[test]
fn a_repeated_job_under_one_key_is_begun_once_and_told_again() {
    let tried = Tried::open();
    let mut admin = tried.client(Role::Admin);
    for subject in 0..3 {
        tried.events.add("t", subject, "{}");
    }
    assert_eq!(post(&mut admin, "/v1/subscriptions", PULL).status, 201);
    let at = |what: &str| format!("/v1/subscriptions/billing/{what}");
    let key = admin.key.clone();
    let under = |name: &'static str| {
        [("content-type", "application/json"), ("x-api-key", key.as_str()), ("idempotency-key", name)]
    };
    let body = r#"{"from":1,"reason":"lost"}"#;
    let first = admin.call("POST", &at("replay"), &under("\"k\""), body.as_bytes());
    assert_eq!(first.status, 202, "{first:?}");
    let place = first.header("location").unwrap().to_owned();
    // Ended, so that nothing but the key keeps the same request from beginning another one.
    assert_eq!(post(&mut admin, &format!("{place}/cancel"), "").status, 200);
    let again = admin.call("POST", &at("replay"), &under("\"k\""), body.as_bytes());
    assert_eq!((again.status, again.header("location")), (202, Some(place.as_str())));
    assert_eq!(again.body, first.body);
    assert_eq!(admin.get("/v1/delivery-jobs").body["jobs"].as_array().unwrap().len(), 1);
    let other = admin.call("POST", &at("replay"), &under("\"k\""), br#"{"from":2}"#);
    assert_eq!(code(&other), (422, "E0943"));
    let elsewhere = admin.call("POST", &at("redrive"), &under("\"k\""), br#"{"filter":{}}"#);
    assert_eq!(code(&elsewhere), (422, "E0943"));
    let bad = admin.call("POST", &at("redrive"), &under("k"), br#"{"filter":{}}"#);
    assert_eq!(code(&bad), (400, "E0940"));
    // What was refused is not kept: once it can be done it is done.
    let none = br#"{"filter":{}}"#;
    let refused = admin.call("POST", &at("redrive"), &under("\"r\""), none);
    assert_eq!(code(&refused).0, 404, "{refused:?}");
    let mut subscriber = tried.client(Role::Subscriber);
    tried.events.add("t", 3, "{}");
    for one in pull(&mut subscriber, 10) {
        let given_up =
            json!([{"answer": "reject", "lease": one["lease"], "terminal": true, "reason": "bad"}]);
        assert_eq!(answer(&mut subscriber, given_up).status, 200);
    }
    let redriven = admin.call("POST", &at("redrive"), &under("\"r\""), none);
    assert_eq!(redriven.status, 202, "{redriven:?}");
    let again = admin.call("POST", &at("redrive"), &under("\"r\""), none);
    assert_eq!((again.status, again.body), (202, redriven.body));
    // Without a key the same request is another one.
    assert_eq!(post(&mut admin, &at("replay"), body).status, 202);
}

#[test]
fn a_pattern_is_tried_on_an_event() {
    let tried = Tried::open();
    let mut reader = tried.client(Role::Reader);
    let mut test = |body: &str| post(&mut reader, "/v1/patterns/test", body);
    let matches = |got: &Response| (got.status, got.body["matches"].as_bool());
    let body = r#"{"pattern":{"data":{"n":[{"numeric":[">",0.30000000000000001]}]}},"event":{"data":{"n":0.30000000000000002}}}"#;
    assert_eq!(matches(&test(body)), (200, Some(true)), "digits are kept as they are");
    assert_eq!(matches(&test(r#"{"pattern":{"a":[1]},"event":{"a":2}}"#)), (200, Some(false)));
    let got = test(r#"{"pattern":{"a":[1],"a":[2]},"event":{}}"#);
    assert_eq!((got.status, got.body["errors"][0]["path"].as_str()), (422, Some("/pattern")), "{got:?}");
    let got = test(r#"{"pattern":{"a":{"b":[{"prefiks":"x"}]}},"event":{}}"#);
    assert_eq!(
        (code(&got), got.body["errors"][0]["path"].as_str()),
        ((422, "E1103"), Some("/pattern/a/b/0"))
    );
    let got = test(r#"{"pattern":{"a":[1]},"event":{"a":1,"a":2}}"#);
    assert_eq!((got.status, got.body["code"].as_str()), (400, Some("E0106")), "{got:?}");
    let got = test(r#"{"pattern":{"a":[1]},"event":[]}"#);
    assert_eq!((code(&got), got.body["errors"][0]["path"].as_str()), ((422, "E1106"), Some("/event")));
}

#[test]
fn a_node_without_a_router_says_so() {
    let door = TestDoor::open(Settings::default());
    let mut client = door.connect();
    client.key = new_key(&door.keys, "default", Role::Admin);
    let asked = [
        client.get("/v1/subscriptions"),
        post(&mut client, "/v1/subscriptions", PULL),
        post(&mut client, "/v1/subscriptions/billing/pull", ""),
        answer(&mut client, json!([{"answer": "extend", "lease": "a"}])),
        post(&mut client, "/v1/subscriptions/billing/replay", "{}"),
    ];
    for got in &asked {
        assert_eq!((code(got), got.header("retry-after")), ((503, "E1150"), Some("10")));
    }
    // What cannot be understood is the caller's fault all the same.
    assert_eq!(code(&answer(&mut client, json!([]))), (422, "E0980"));
    assert_eq!(post(&mut client, "/v1/subscriptions/Billing/pull", "").status, 404);
}

#[test]
fn pulls_that_wait_are_bounded_and_leave_room_for_others() {
    let tried = Tried::open();
    let mut admin = tried.client(Role::Admin);
    assert_eq!(post(&mut admin, "/v1/subscriptions", PULL).status, 201);
    let key = admin.key.clone();
    let request = format!(
        "POST /v1/subscriptions/billing/pull?wait_ms=60000 HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-length: 0\r\n\r\n"
    );
    let wait = || {
        let mut client = tried.door.connect();
        client.stream.write_all(request.as_bytes()).unwrap();
        client
    };
    let mut waiting: Vec<_> = (0..PULLS_MAX).map(|_| wait()).collect();
    let until = Instant::now() + Duration::from_secs(40);
    loop {
        let got = post(&mut admin, "/v1/subscriptions/billing/pull", "");
        if got.status == 503 {
            assert_eq!((code(&got), got.header("retry-after")), ((503, "E0981"), Some("1")));
            break;
        }
        assert!(Instant::now() < until, "all of them wait, and one more does too: {got:?}");
        // Such a look takes a place for a moment, and who comes just then is sent away: another comes instead.
        waiting.push(wait());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(admin.get("/v1/subscriptions").status, 200);
    drop(waiting);
    // Who goes away gives the place back.
    while post(&mut admin, "/v1/subscriptions/billing/pull", "").status != 200 {
        assert!(Instant::now() < until, "places were not given back");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs the documented subscriber with work of the test's own, in lines of Python.
fn subscriber(tried: &Tried, work: &str) -> Child {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../testing/outside");
    let program = format!(
        "import os, signal, sys, time\nimport pull_subscriber as p\np.PAUSE_S = 0\ndef work(leased):\n{work}\n    p.work(leased)\n\
         s = p.Subscriber(sys.argv[1], 'billing', os.environ['WAAG_KEY'], work)\nsignal.signal(signal.SIGTERM, s.stop)\ns.run()"
    );
    Command::new("python3")
        .args(["-c", &program, &format!("http://{}", tried.door.address)])
        .env("PYTHONPATH", folder)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("WAAG_KEY", new_key(&tried.door.keys, "default", Role::Subscriber))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn the_documented_subscriber_works_extends_rejects_and_stops_needs_python3() {
    let tried = Tried::open();
    let mut admin = tried.client(Role::Admin);
    let short = PULL.replace("\"timeout_ms\":30000", r#""timeout_ms":3000,"retry":{"delay_ms_min":50}"#);
    assert_eq!(post(&mut admin, "/v1/subscriptions", &short).status, 201);
    for subject in 0..3 {
        tried.events.add("t", subject, r#"{"type":"t","subject":"s","n":0.10}"#);
    }
    let work = "    if leased['position'] == 1 and leased['attempt'] == 1: raise ValueError('not today')\n    if leased['position'] == 2: time.sleep(5)";
    let mut child = subscriber(&tried, work);
    let mut lines: Vec<String> =
        BufReader::new(child.stdout.take().unwrap()).lines().take(3).map(Result::unwrap).collect();
    lines.sort();
    // The second is rejected once and comes again; the third takes longer than its lease and comes once.
    assert_eq!(lines, ["0 1 t s", "1 2 t s", "2 1 t s"]);
    let until = Instant::now() + Duration::from_secs(40);
    while admin.get("/v1/subscriptions/billing").body["overview"]["delivered"] != 3 {
        assert!(Instant::now() < until, "not all was acknowledged");
        std::thread::sleep(Duration::from_millis(20));
    }
    let detail = admin.get("/v1/subscriptions/billing").body;
    assert_eq!(detail["overview"]["failed"], 1, "{detail}");
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert!(child.wait().unwrap().success(), "it ends by itself");
}
