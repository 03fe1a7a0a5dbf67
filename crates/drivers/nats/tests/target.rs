//! Deliveries to a real NATS server: acknowledged by a stream, once each, and every failure told for what it is.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may stop, and waits by the machine's clock"
)]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use support::{Outcomes, Server, deliver, delivery, runtime};
use waag_nats::target::{NatsTarget, WAITING_MAX};
use waag_nats::{Login, Options};
use waag_router::target::{Class, Failure, Outcome, Reply, Settle, Target};
use waag_stdx::entropy::SystemEntropy;

const EVENT: &str = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","data":{"a":1}}"#;

fn target(options: &Options, subject: &str, runtime: &tokio::runtime::Runtime) -> NatsTarget {
    NatsTarget::new(options, subject, &SystemEntropy::new(), runtime.handle()).unwrap()
}

fn failure(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Failed(failure) => failure,
        Outcome::Delivered(_) => panic!("it was delivered"),
    }
}

#[test]
fn a_delivery_is_in_the_stream_once_with_its_identity_needs_nats_server() {
    let (server, runtime) = (Server::start(""), runtime());
    let mut client = server.client();
    client.create("S", &json!({"allow_direct": true}));
    let target = target(&server.options(), "S.a", &runtime);
    for attempt in 1..=3 {
        let mut delivery = delivery(5, EVENT);
        delivery.attempt = attempt;
        assert_eq!(deliver(&target, delivery), Outcome::Delivered(None));
    }
    assert_eq!(client.count("S"), 1);
    let message = client.get("S", 1);
    assert_eq!(&*message.payload, EVENT.as_bytes());
    let header = |name: &str| message.headers.get(name);
    let id = format!("{}-5/orders", "07".repeat(16));
    assert_eq!(header("Nats-Msg-Id"), Some(id.as_str()));
    assert_eq!(header("content-type"), Some("application/cloudevents+json; charset=utf-8"));
    assert_eq!((header("waag-subscription"), header("waag-position")), (Some("orders"), Some("5")));
    assert_eq!(header("waag-ledger"), Some("07".repeat(16).as_str()));
    assert_eq!((header("waag-replay"), header("Nats-Subject")), (None, Some("S.a")));

    // Another subscription's delivery of the same event is no double of it.
    let mut other = delivery(5, EVENT);
    (other.subscription, other.transformed) = ("refunds".into(), Some(b"7".as_slice().into()));
    assert_eq!(deliver(&target, other), Outcome::Delivered(None));
    let message = client.get("S", 2);
    assert_eq!(
        (&*message.payload, message.headers.get("content-type")),
        (b"7".as_slice(), Some("application/json"))
    );

    // The stream remembers the ids of what was purged; a replay is there again all the same, once.
    assert_eq!(client.api("STREAM.PURGE.S", &serde_json::Value::Null)["success"], true);
    for _ in 0..2 {
        let mut again = delivery(5, EVENT);
        again.replay = Some(3);
        assert_eq!(deliver(&target, again), Outcome::Delivered(None));
    }
    assert_eq!((client.count("S"), client.get("S", 3).headers.get("waag-replay")), (1, Some("3")));
}

#[test]
fn many_are_under_way_at_a_time_and_each_is_acknowledged_needs_nats_server() {
    let (server, runtime) = (Server::start(""), runtime());
    let mut client = server.client();
    client.create("S", &json!({}));
    let target = target(&server.options(), "S.a", &runtime);
    let outcomes = Arc::new(Outcomes::default());
    for position in 0..WAITING_MAX as u64 {
        let reply = Reply::new(Arc::clone(&outcomes) as Arc<dyn Settle>, position);
        target.deliver(delivery(position, EVENT), reply);
    }
    drop(target);
    for position in 0..WAITING_MAX as u64 {
        assert_eq!(
            outcomes.of(position),
            Outcome::Delivered(None),
            "{position}: also after the target is gone"
        );
    }
    assert_eq!(client.count("S"), WAITING_MAX as u64);
}

#[test]
fn a_server_that_is_killed_loses_and_doubles_nothing_needs_nats_server() {
    let (mut server, runtime) = (Server::start(""), runtime());
    server.client().create("S", &json!({}));
    let target = Arc::new(target(&server.options(), "S.a", &runtime));
    const EVENTS: u64 = 2_000;
    let over = Arc::new(AtomicBool::new(false));
    let sender = {
        let (target, over) = (Arc::clone(&target), Arc::clone(&over));
        std::thread::spawn(move || {
            let (mut failures, mut first) = (0, 0);
            while first < EVENTS || !over.load(Ordering::SeqCst) {
                let mut left: Vec<u64> = (first..first + 50).collect();
                while !left.is_empty() {
                    let outcomes = Arc::new(Outcomes::default());
                    for position in &left {
                        let reply = Reply::new(Arc::clone(&outcomes) as Arc<dyn Settle>, *position);
                        target.deliver(delivery(*position, EVENT), reply);
                    }
                    left.retain(|position| match outcomes.of(*position) {
                        Outcome::Delivered(_) => false,
                        Outcome::Failed(failure) => {
                            assert_eq!(failure.class, Class::Transient, "{failure:?}");
                            failures += 1;
                            true
                        }
                    });
                    std::thread::sleep(Duration::from_millis(5));
                }
                first += 50;
            }
            (failures, first)
        })
    };
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(50));
        server.kill();
        std::thread::sleep(Duration::from_millis(50));
        server.start_again();
    }
    over.store(true, Ordering::SeqCst);
    let (failures, sent) = sender.join().unwrap();
    assert!(failures > 0, "the server was never away while something was delivered");
    assert_eq!(server.client().count("S"), sent);
}

/// A way to a server on which the first acknowledgement is lost, and the connection with it.
fn lossy_way(port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut is_first = true;
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || drop(std::io::copy(&mut from, &mut to)));
            let mut piece = [0; 65_536];
            loop {
                let read = server.read(&mut piece).unwrap_or(0);
                let is_acknowledgement = String::from_utf8_lossy(&piece[..read]).contains("\"seq\":");
                if read == 0 || (is_first && is_acknowledgement) {
                    break;
                }
                client.write_all(&piece[..read]).unwrap();
            }
            is_first = false;
            drop((client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both)));
        }
    });
    own
}

#[test]
fn an_acknowledgement_that_is_lost_doubles_nothing_needs_nats_server() {
    let (server, runtime) = (Server::start(""), runtime());
    let mut client = server.client();
    client.create("S", &json!({}));
    let options =
        Options { server: format!("nats://127.0.0.1:{}", lossy_way(server.port)), ..server.options() };
    let target = target(&options, "S.a", &runtime);
    let told = failure(deliver(&target, delivery(1, EVENT)));
    assert_eq!((told.class, told.code), (Class::Transient, "E1172"), "{told:?}");
    assert_eq!(client.count("S"), 1, "it was stored, and nobody here knows");
    for position in [1, 2] {
        let outcome = (0..50).map(|_| {
            // The pause after a connection that has served nothing.
            std::thread::sleep(Duration::from_millis(20));
            deliver(&target, delivery(position, EVENT))
        });
        assert!(outcome.into_iter().any(|outcome| outcome == Outcome::Delivered(None)), "{position}");
    }
    assert_eq!(client.count("S"), 2);
}

#[test]
fn without_a_stream_the_failure_says_so_and_passes_with_one_needs_nats_server() {
    let (server, runtime) = (Server::start(""), runtime());
    let target = target(&server.options(), "S.a", &runtime);
    let told = failure(deliver(&target, delivery(1, EVENT)));
    assert_eq!((told.class, told.code), (Class::Transient, "E1174"), "{told:?}");
    server.client().create("S", &json!({}));
    assert_eq!(deliver(&target, delivery(1, EVENT)), Outcome::Delivered(None));
}

#[test]
fn a_full_stream_throttles_and_a_refusing_one_is_told_needs_nats_server() {
    let (server, runtime) = (Server::start(""), runtime());
    let mut client = server.client();
    client.create("S", &json!({"max_msgs": 1, "discard": "new"}));
    let target = target(&server.options(), "S.a", &runtime);
    assert_eq!(deliver(&target, delivery(1, EVENT)), Outcome::Delivered(None));
    let told = failure(deliver(&target, delivery(2, EVENT)));
    assert_eq!((told.class, told.code), (Class::Throttled, "E1175"), "{told:?}");
    assert!(told.reason.contains("maximum messages exceeded"), "{told:?}");
    let sealed = client.api("STREAM.UPDATE.S", &json!({"name": "S", "subjects": ["S.>"], "sealed": true}));
    assert_eq!(sealed["error"], serde_json::Value::Null, "{sealed}");
    let told = failure(deliver(&target, delivery(3, EVENT)));
    assert_eq!((told.class, told.code), (Class::Transient, "E1175"), "{told:?}");
}

#[test]
fn what_is_too_large_is_terminal_for_server_and_stream_needs_nats_server() {
    let (server, runtime) = (Server::start("max_payload: 2000"), runtime());
    let mut client = server.client();
    client.create("S", &json!({"max_msg_size": 1_000}));
    let target = target(&server.options(), "S.a", &runtime);
    let of = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    for bytes in [1_000, 1_900, 3_000] {
        let told = failure(deliver(&target, delivery(bytes as u64, &of(bytes))));
        assert_eq!((told.class, told.code), (Class::Terminal, "E1176"), "{told:?}");
    }
    assert_eq!(deliver(&target, delivery(7, &of(700))), Outcome::Delivered(None));
    assert_eq!(client.count("S"), 1);
}

#[test]
fn logins_and_permissions_needs_nats_server() {
    let users = "authorization { users: [\n {user: all, password: good},\n\
        {user: few, password: good, permissions: {publish: [\"$JS.>\"], subscribe: [\"_INBOX.>\"]}},\n\
        {user: deaf, password: good, permissions: {publish: [\">\"], subscribe: [\"S.>\"]}} ] }";
    let (server, runtime) = (Server::start(users), runtime());
    let mut client = support::Client::connect(server.port, &json!({"user": "all", "pass": "good"}));
    client.create("S", &json!({}));
    let told = |user: &str, password: &str| {
        let (user, password) = (user.to_owned(), password.to_owned().into());
        let options = Options { login: Login::Password { user, password }, ..server.options() };
        deliver(&target(&options, "S.a", &runtime), delivery(1, EVENT))
    };
    assert_eq!(told("all", "good"), Outcome::Delivered(None));
    for (user, password) in [("all", "bad"), ("few", "good"), ("deaf", "good")] {
        let told = failure(told(user, password));
        assert_eq!((told.class, told.code), (Class::Transient, "E1173"), "{told:?}");
        assert!(!format!("{told:?}").contains(password), "{told:?}");
    }
    assert_eq!(client.count("S"), 1, "what cannot be answered is not published");
    let server = Server::start("authorization { token: secret }");
    let told = |token: &str| {
        let options = Options { login: Login::Token(token.to_owned().into()), ..server.options() };
        deliver(&target(&options, "S.a", &runtime), delivery(1, EVENT))
    };
    assert_eq!(failure(told("secret")).code, "E1174", "it is let in, and there is no stream");
    assert_eq!(failure(told("other")).code, "E1173");
}

#[test]
fn tls_is_asked_for_checked_and_never_left_out_needs_nats_server() {
    let certificates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../edge/http/tests/certificates");
    let file = |name: &str| certificates.join(name);
    let further = format!("tls {{ cert_file: {:?}, key_file: {:?} }}", file("one.pem"), file("one.key"));
    let (secret, clear, runtime) = (Server::start(&further), Server::start(""), runtime());
    let told = |scheme: &str, port: u16, trusted: Option<&str>| {
        let server = format!("{scheme}://localhost:{port}");
        let options = Options { server, certificates: trusted.map(file), ..clear.options() };
        failure(deliver(&target(&options, "S.a", &runtime), delivery(1, EVENT)))
    };
    for scheme in ["tls", "nats"] {
        assert_eq!(told(scheme, secret.port, Some("one.pem")).code, "E1174", "{scheme}: let in");
        let untrusted = told(scheme, secret.port, Some("two.pem"));
        assert_eq!((untrusted.class, untrusted.code), (Class::Transient, "E1171"), "{untrusted:?}");
    }
    let plain = told("tls", clear.port, Some("one.pem"));
    assert!(plain.code == "E1171" && plain.reason.contains("no TLS"), "{plain:?}");
}

#[test]
fn what_comes_in_clear_behind_the_greeting_is_not_believed() {
    let (runtime, listener) = (runtime(), TcpListener::bind("127.0.0.1:0").unwrap());
    let server = format!("tls://localhost:{}", listener.local_addr().unwrap().port());
    let sent = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream
            .write_all(b"INFO {\"headers\":true,\"max_payload\":9,\"tls_required\":true}\r\nPONG\r\n")
            .unwrap();
        let mut said = Vec::new();
        stream.read_to_end(&mut said).unwrap();
        said
    });
    let certificates =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../edge/http/tests/certificates/one.pem");
    let login = Login::Token("secret".to_owned().into());
    let options = Options { server, login, certificates: Some(certificates), name: String::new() };
    let told = failure(deliver(&target(&options, "S.a", &runtime), delivery(1, EVENT)));
    assert!(told.code == "E1171" && told.reason.contains("in clear"), "{told:?}");
    assert_eq!(sent.join().unwrap(), b"", "nothing was said, a token least of all");
}

#[test]
fn a_place_without_a_nats_server_is_told_at_once() {
    let runtime = runtime();
    let options =
        |server: String| Options { server, login: Login::None, certificates: None, name: String::new() };
    let closed = format!("127.0.0.1:{}", waag_fixtures::port::reserved());
    let target_closed = target(&options(format!("nats://{closed}")), "S.a", &runtime);
    let began = Instant::now();
    for position in 0..5 {
        let told = failure(deliver(&target_closed, delivery(position, EVENT)));
        assert_eq!((told.class, told.code), (Class::Transient, "E1171"), "{told:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(20));

    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = other.local_addr().unwrap();
    let answers = std::thread::spawn(move || {
        for greeting in
            ["HTTP/1.1 400 Bad Request\r\n\r\n", "+OK\r\n", "INFO {}\r\n", "INFO {\"max_payload\":1}\r\n"]
        {
            let (mut stream, _) = other.accept().unwrap();
            stream.write_all(greeting.as_bytes()).unwrap();
        }
    });
    for _ in 0..4 {
        let target = target(&options(format!("nats://{at}")), "S.a", &runtime);
        assert_eq!(failure(deliver(&target, delivery(1, EVENT))).code, "E1171");
    }
    answers.join().unwrap();
}

#[test]
fn a_server_that_never_answers_costs_the_time_of_the_delivery_alone() {
    let (runtime, silent) = (runtime(), TcpListener::bind("127.0.0.1:0").unwrap());
    let server = format!("nats://{}", silent.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let (mut stream, _) = silent.accept().unwrap();
        stream.write_all(b"INFO {\"headers\":true,\"max_payload\":1000}\r\nPONG\r\nPONG\r\n").unwrap();
        stream
    });
    let options = Options { server, login: Login::None, certificates: None, name: String::new() };
    let target = target(&options, "S.a", &runtime);
    let outcomes = Arc::new(Outcomes::default());
    let began = Instant::now();
    for serial in 0..20 {
        let mut delivery = delivery(serial, EVENT);
        delivery.timeout = Duration::from_secs(2);
        target.deliver(delivery, Reply::new(Arc::clone(&outcomes) as Arc<dyn Settle>, serial));
    }
    for serial in 0..20 {
        let told = failure(outcomes.of(serial));
        assert_eq!((told.class, told.code), (Class::Transient, "E1172"), "{told:?}");
    }
    assert!((Duration::from_secs(2)..Duration::from_secs(20)).contains(&began.elapsed()));
    drop(served.join().unwrap());
}

#[test]
fn what_cannot_be_a_target_is_refused_at_the_beginning() {
    let runtime = runtime();
    let told = |server: &str, subject: &str| {
        let (server, name) = (server.to_owned(), String::new());
        let options = Options { server, login: Login::None, certificates: None, name };
        NatsTarget::new(&options, subject, &SystemEntropy::new(), runtime.handle())
            .map_err(|error| error.code())
    };
    for server in
        ["", "x:1", "http://x", "nats://", "nats://a:b@c", "nats://x:99999", "nats://x/y", "nats://a,b"]
    {
        assert_eq!(told(server, "a").unwrap_err(), "E1170", "{server}");
    }
    let brokers = ["$JS.API.STREAM.PURGE.ORDERS", "$SYS.REQ.SERVER.PING", "$", "_INBOX.x", "_INBOX"];
    for subject in ["", "a.*", ">", "a b", "a..b", "a\r\n"].into_iter().chain(brokers) {
        assert_eq!(told("nats://x", subject).unwrap_err(), "E1170", "{subject:?}");
    }
    for server in ["nats://x", "nats://x:1/", "nats://[::1]", "nats://[::1]:4222"] {
        assert!(told(server, "a.b").is_ok(), "{server}");
    }
}
