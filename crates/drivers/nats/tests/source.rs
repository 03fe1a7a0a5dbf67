//! A stream of a real NATS server as events: in order, once each by identity, and everything that is missing told.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may stop, and waits by the machine's clock"
)]

mod support;

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{PATIENCE, Server, runtime};
use tokio::task::JoinHandle;
use waag_nats::source::{BYTES_MAX, NatsSource, SourceOptions};
use waag_nats::take::{Condition, Cursor, Gap, Incoming, Take, TakeError};
use waag_stdx::entropy::SystemEntropy;

#[derive(Default)]
struct Inner {
    /// Identities in the order in which they came first.
    events: Vec<(String, String)>,
    known: HashSet<(String, String)>,
    /// How many came again.
    again: usize,
    gaps: Vec<Gap>,
    cursor: Cursor,
    refusals: usize,
    refused: usize,
    /// From this many events on, everything is recorded, and the taker stops before it says so.
    crash_at: Option<usize>,
    has_crashed: bool,
}

/// A ledger that knows events by their identity.
#[derive(Default)]
struct Ledger {
    inner: Mutex<Inner>,
    bell: Condvar,
}

const REFUSED: TakeError = TakeError { code: "E0000", reason: String::new() };

impl Take for Ledger {
    fn take(&self, messages: Vec<Incoming>, cursor: &Cursor) -> Result<(), TakeError> {
        let mut inner = self.inner.lock().unwrap();
        if inner.refusals > 0 || inner.has_crashed {
            inner.refusals = inner.refusals.saturating_sub(1);
            inner.refused += 1;
            return Err(REFUSED);
        }
        assert!(messages.windows(2).all(|two| two[0].sequence < two[1].sequence));
        assert_eq!(messages.last().unwrap().sequence, cursor.sequence);
        for message in messages {
            let event: Value = serde_json::from_slice(&message.json).unwrap();
            let text = |name: &str| event[name].as_str().unwrap().to_owned();
            let identity = (text("source"), text("id"));
            if inner.known.insert(identity.clone()) {
                inner.events.push(identity);
            } else {
                inner.again += 1;
            }
        }
        if inner.crash_at.is_some_and(|at| inner.events.len() >= at) {
            inner.has_crashed = true;
        } else {
            inner.cursor = cursor.clone();
        }
        self.bell.notify_all();
        if inner.has_crashed { Err(REFUSED) } else { Ok(()) }
    }

    fn missing(&self, gap: Gap, cursor: &Cursor) -> Result<(), TakeError> {
        let mut inner = self.inner.lock().unwrap();
        inner.gaps.push(gap);
        inner.cursor = cursor.clone();
        self.bell.notify_all();
        Ok(())
    }
}

impl Ledger {
    fn until(&self, is_so: impl Fn(&Inner) -> bool) {
        let inner = self.inner.lock().unwrap();
        let (inner, waited) = self.bell.wait_timeout_while(inner, PATIENCE, |inner| !is_so(inner)).unwrap();
        let (events, gaps) = (inner.events.len(), &inner.gaps);
        assert!(!waited.timed_out(), "{events} events, {} again, {gaps:?}, {:?}", inner.again, inner.cursor);
    }

    fn until_events(&self, many: usize) {
        self.until(|inner| inner.events.len() >= many);
    }

    fn cursor(&self) -> Cursor {
        self.inner.lock().unwrap().cursor.clone()
    }

    fn ids(&self) -> Vec<String> {
        self.inner.lock().unwrap().events.iter().map(|(_, id)| id.clone()).collect()
    }
}

struct Following {
    source: Arc<NatsSource>,
    task: JoinHandle<Condition>,
}

impl Following {
    fn stop(self) {
        self.task.abort();
        let end = Instant::now() + PATIENCE;
        while !self.task.is_finished() {
            assert!(Instant::now() < end);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn follow(server: &Server, ledger: &Arc<Ledger>, runtime: &tokio::runtime::Runtime) -> Following {
    let text = |text: &str| text.to_owned();
    let options = SourceOptions {
        server: server.options(),
        stream: text("S"),
        consumer: text("waag"),
        origin: text("hub"),
        kind: text("nats.message"),
    };
    let source = Arc::new(NatsSource::new(&options, &SystemEntropy::new()).unwrap());
    let (follower, cursor, take) =
        (Arc::clone(&source), ledger.cursor(), Arc::clone(ledger) as Arc<dyn Take>);
    let task = runtime.spawn(async move { follower.follow(cursor, take).await });
    Following { source, task }
}

fn ends(following: Following, runtime: &tokio::runtime::Runtime) -> Condition {
    runtime.block_on(async { tokio::time::timeout(PATIENCE, following.task).await.unwrap().unwrap() })
}

fn expected(many: usize) -> Vec<String> {
    (1..=many).map(|number| format!("S-{number}")).collect()
}

#[test]
fn a_thousand_messages_with_crashes_come_once_each_in_order_needs_nats_server() {
    let (server, runtime, ledger) = (Server::start(""), runtime(), Arc::new(Ledger::default()));
    let mut client = server.client();
    client.create("S", &json!({}));
    for number in 0..1_000 {
        client.publish("S.a", &[], &format!("{{\"n\":{number}}}"));
    }
    let began = Instant::now();
    for crash_at in [300, 700] {
        ledger.inner.lock().unwrap().crash_at = Some(crash_at);
        let following = follow(&server, &ledger, &runtime);
        ledger.until(|inner| inner.has_crashed);
        following.stop();
        let mut inner = ledger.inner.lock().unwrap();
        (inner.crash_at, inner.has_crashed) = (None, false);
    }
    let following = follow(&server, &ledger, &runtime);
    ledger.until_events(1_000);
    assert_eq!(ledger.ids(), expected(1_000));
    let inner = ledger.inner.lock().unwrap();
    assert!(inner.again > 0, "what was recorded and not kept came again");
    assert!(inner.gaps.is_empty() && inner.events.iter().all(|(source, _)| source == "nats://hub/S"));
    drop(inner);
    assert!(began.elapsed() < Duration::from_secs(15), "nobody waits for the broker to deliver again");
    let status = following.source.status();
    assert!(
        status.is_following && status.failure.is_none() && status.cursor.created == ledger.cursor().created
    );

    client.publish("S.a", &[], "later");
    ledger.until_events(1_001);
    following.stop();
}

#[test]
fn what_was_taken_is_acknowledged_and_what_was_not_comes_again_needs_nats_server() {
    let (server, runtime, ledger) = (Server::start(""), runtime(), Arc::new(Ledger::default()));
    let mut client = server.client();
    client.create("S", &json!({"retention": "workqueue"}));
    client.publish("S.a", &[], "one");
    ledger.inner.lock().unwrap().refusals = 3;
    let following = follow(&server, &ledger, &runtime);
    ledger.until_events(1);
    assert_eq!(ledger.inner.lock().unwrap().refused, 3);
    // What the first attempt took out is acknowledged when the broker delivers it again, after 30 seconds; the next at once.
    client.publish("S.a", &[], "two");
    ledger.until_events(2);
    let end = Instant::now() + PATIENCE;
    loop {
        let info = client.api("CONSUMER.INFO.S.waag", &Value::Null);
        if client.get_raw("S", 2)["error"]["err_code"] == 10_037 {
            assert_eq!(info["config"]["ack_policy"], "explicit");
            break;
        }
        assert!(Instant::now() < end, "{info}");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(ledger.inner.lock().unwrap().gaps.is_empty());
    following.stop();
}

#[test]
fn what_the_broker_delivers_again_is_acknowledged_and_not_handed_over_needs_nats_server() {
    let (server, runtime, ledger) = (Server::start(""), runtime(), Arc::new(Ledger::default()));
    let mut client = server.client();
    client.create("S", &json!({}));
    for _ in 0..10 {
        client.publish("S.a", &[], "x");
    }
    // As the bridge makes it, but that the broker is less patient.
    let config =
        json!({"name": "waag", "durable_name": "waag", "ack_policy": "explicit", "ack_wait": 500_000_000});
    let made = client.api("CONSUMER.CREATE.S.waag", &json!({"stream_name": "S", "config": config}));
    assert_eq!(made["error"], Value::Null, "{made}");
    ledger.inner.lock().unwrap().refusals = 1;
    let following = follow(&server, &ledger, &runtime);
    ledger.until_events(10);
    let end = Instant::now() + PATIENCE;
    loop {
        let info = client.api("CONSUMER.INFO.S.waag", &Value::Null);
        if info["ack_floor"]["stream_seq"] == 10 {
            break;
        }
        assert!(Instant::now() < end, "{info}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let inner = ledger.inner.lock().unwrap();
    assert_eq!((inner.refused, inner.again, inner.events.len()), (1, 0, 10));
    drop(inner);
    following.stop();
}

#[test]
fn events_keep_their_identity_and_large_messages_come_too_needs_nats_server() {
    let (server, runtime, ledger) =
        (Server::start("max_payload: 16777216"), runtime(), Arc::new(Ledger::default()));
    let mut client = server.client();
    client.create("S", &json!({}));
    let event = r#"{"specversion":"1.0","id":"7","source":"/shop","type":"t"}"#;
    client.publish("S.a", &[], event);
    client.publish("S.b", &[("Nats-Msg-Id", "m")], &"x".repeat(BYTES_MAX + 1_000));
    client.publish("S.a", &[], event);
    let following = follow(&server, &ledger, &runtime);
    ledger.until(|inner| inner.cursor.sequence == 3);
    following.stop();
    let inner = ledger.inner.lock().unwrap();
    let identity = |source: &str, id: &str| (source.to_owned(), id.to_owned());
    assert_eq!(inner.events, [identity("/shop", "7"), identity("nats://hub/S", "S-2")]);
    assert_eq!(inner.again, 1);
}

#[test]
fn what_is_gone_before_it_was_taken_is_told_needs_nats_server() {
    let (server, runtime, ledger) = (Server::start(""), runtime(), Arc::new(Ledger::default()));
    let mut client = server.client();
    client.create("S", &json!({}));
    for _ in 0..5 {
        client.publish("S.a", &[], "x");
    }
    let following = follow(&server, &ledger, &runtime);
    ledger.until_events(5);
    following.stop();
    for _ in 0..5 {
        client.publish("S.a", &[], "x");
    }
    let purged = client.api("STREAM.PURGE.S", &json!({"seq": 8}));
    assert_eq!(purged["success"], true, "{purged}");
    let deleted = client.api("STREAM.MSG.DELETE.S", &json!({"seq": 9}));
    assert_eq!(deleted["success"], true, "{deleted}");
    // That the consumer is gone costs nothing: the cursor is ours.
    let deleted = client.api("CONSUMER.DELETE.S.waag", &Value::Null);
    assert_eq!(deleted["success"], true, "{deleted}");
    let following = follow(&server, &ledger, &runtime);
    ledger.until_events(7);
    assert_eq!(ledger.inner.lock().unwrap().gaps, [Gap { first: 6, last: 7 }, Gap { first: 9, last: 9 }]);
    assert_eq!(ledger.ids()[5..], ["S-8", "S-10"]);

    // While it follows: the consumer goes, and then everything that it has not seen.
    assert_eq!(client.api("CONSUMER.DELETE.S.waag", &Value::Null)["success"], true);
    client.publish("S.a", &[], "x");
    ledger.until_events(8);
    following.stop();
    client.publish("S.a", &[], "x");
    // Nothing is left that could come, and no consumer that knows of it: the stream's own numbers tell.
    assert_eq!(client.api("CONSUMER.DELETE.S.waag", &Value::Null)["success"], true);
    assert_eq!(client.api("STREAM.PURGE.S", &Value::Null)["success"], true);
    let following = follow(&server, &ledger, &runtime);
    ledger.until(|inner| inner.gaps.len() == 3);
    assert_eq!(ledger.inner.lock().unwrap().gaps[2], Gap { first: 12, last: 12 });
    following.stop();
}

#[test]
fn a_stream_that_is_made_anew_is_a_reset_and_one_that_is_gone_is_forgotten_needs_nats_server() {
    let (server, runtime, ledger) = (Server::start(""), runtime(), Arc::new(Ledger::default()));
    let mut client = server.client();
    client.create("S", &json!({}));
    client.publish("S.a", &[], "x");
    let following = follow(&server, &ledger, &runtime);
    ledger.until_events(1);
    client.delete("S");
    let told = ends(following, &runtime);
    assert_eq!((told.code(), &told), ("E1179", &Condition::Forgotten("S".to_owned())));

    client.create("S", &json!({}));
    client.publish("S.a", &[], "another");
    client.publish("S.a", &[], "and one more");
    for _ in 0..2 {
        let following = follow(&server, &ledger, &runtime);
        let source = Arc::clone(&following.source);
        let told = ends(following, &runtime);
        assert_eq!(told.code(), "E1178", "{told}");
        assert_eq!(source.status().failure.unwrap().0, "E1178");
    }
    assert_eq!(ledger.ids(), ["S-1"], "nothing of it was taken");

    // Somebody has decided to go on: the new stream's numbers are other identities.
    let next = ledger.cursor().after_reset();
    ledger.inner.lock().unwrap().cursor = next;
    let following = follow(&server, &ledger, &runtime);
    ledger.until_events(3);
    assert_eq!(ledger.ids(), ["S-1", "S-1-1", "S-1-2"]);
    following.stop();

    // Went back, or holds another message where ours was, as after a loss of power; or was made anew and has grown since.
    type Change = fn(&mut Cursor);
    let changes: [(Change, &str); 3] = [
        (|cursor| cursor.sequence = 9, "its last message is `2`"),
        (|cursor| cursor.time.push('0'), "another message `2`"),
        (
            |cursor| (cursor.sequence, cursor.time, cursor.created) = (1, String::new(), "then".to_owned()),
            "`then`",
        ),
    ];
    for (change, how) in changes {
        let ledger = Arc::new(Ledger {
            inner: Mutex::new(Inner { cursor: ledger.cursor(), ..Inner::default() }),
            ..Ledger::default()
        });
        change(&mut ledger.inner.lock().unwrap().cursor);
        let told = ends(follow(&server, &ledger, &runtime), &runtime);
        assert!(told.code() == "E1178" && told.to_string().contains(how), "{told}");
    }
}

#[test]
fn a_server_that_is_killed_and_comes_back_changes_nothing_needs_nats_server() {
    let (mut server, runtime, ledger) = (Server::start(""), runtime(), Arc::new(Ledger::default()));
    server.client().create("S", &json!({}));
    let following = follow(&server, &ledger, &runtime);
    for round in 1..=3 {
        let mut client = server.client();
        for _ in 0..100 {
            client.publish("S.a", &[], "x");
        }
        if round == 2 {
            ledger.until_events(150);
        }
        server.kill();
        std::thread::sleep(Duration::from_millis(50));
        server.start_again();
    }
    ledger.until_events(300);
    assert_eq!(ledger.ids(), expected(300));
    assert!(ledger.inner.lock().unwrap().gaps.is_empty());
    following.stop();
}

#[test]
fn another_bridges_consumer_is_not_taken_over_needs_nats_server() {
    let (server, runtime, ledger) = (Server::start(""), runtime(), Arc::new(Ledger::default()));
    let mut client = server.client();
    client.create("S", &json!({}));
    let config = json!({"name": "waag", "durable_name": "waag", "ack_policy": "none"});
    let made = client.api("CONSUMER.CREATE.S.waag", &json!({"stream_name": "S", "config": config}));
    assert_eq!(made["error"], Value::Null, "{made}");
    let told = ends(follow(&server, &ledger, &runtime), &runtime);
    assert_eq!(told.code(), "E1170", "{told}");
}

#[test]
fn names_that_cannot_stand_in_a_subject_or_an_identity_are_refused() {
    let make = |stream: &str, consumer: &str, origin: &str, kind: &str| {
        let server = waag_nats::Options {
            server: "nats://x".to_owned(),
            login: waag_nats::Login::None,
            certificates: None,
            name: String::new(),
        };
        let [stream, consumer, origin, kind] = [stream, consumer, origin, kind].map(str::to_owned);
        NatsSource::new(&SourceOptions { server, stream, consumer, origin, kind }, &SystemEntropy::new())
    };
    assert!(make("S", "c", "hub.example", "t").is_ok());
    for (stream, consumer, origin, kind) in [
        ("S.a", "c", "o", "t"),
        ("S", "*", "o", "t"),
        ("S", "c", "o/p", "t"),
        ("", "c", "o", "t"),
        ("S", "c", "o", ""),
    ] {
        assert_eq!(make(stream, consumer, origin, kind).unwrap_err().code(), "E1170");
    }
}
