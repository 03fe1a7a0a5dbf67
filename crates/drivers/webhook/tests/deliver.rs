//! What is sent, that connections are used again, and what is never sent twice.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]
#![expect(unreachable_pub, reason = "shared with other tests")]

use std::io::Write;
use std::sync::Arc;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Builder;
use waag_model::time::UtcNanos;
use waag_router::target::{Class, Outcome};
use waag_stdx::clock::{Clock, SystemClock};
use waag_webhook::address::Policy;
use waag_webhook::secret::Secret;
use waag_webhook::{KEPT_MAX, KEPT_MS_MAX, Options, SECRETS_MAX, WebhookError, WebhookPool};

#[expect(dead_code, reason = "shared with other tests")]
mod support;
use support::{
    JSON, Log, NO_CONTENT, PATIENCE, Receiver, deliver, deliver_all, deliver_here, delivery, failed, here,
    options, pool, read_request, runtime, secret,
};

fn logging(log: &Log) -> Receiver {
    let log = log.clone();
    Receiver::start(move |mut stream, _| {
        while let Some(request) = read_request(&mut stream) {
            log.push(request);
            stream.write_all(NO_CONTENT.as_bytes()).unwrap();
        }
    })
}

#[test]
fn an_event_goes_as_itself_with_all_headers() {
    let (runtime, log) = (runtime(), Log::default());
    let receiver = logging(&log);
    let secrets = vec![secret(), secret()];
    let url = format!("{}?a=%20b", receiver.url());
    let webhook = pool(&runtime).webhook(&url, secrets.clone(), here()).unwrap();
    let mut second = delivery(PATIENCE);
    second.attempt = 2;
    second.replay = Some(7);
    second.transformed = Some(Arc::from(&br#"{"paid":true}"#[..]));
    for delivery in [delivery(PATIENCE), second] {
        assert_eq!(deliver(&webhook, delivery), Outcome::Delivered(Some(204)));
    }
    let [plain, transformed] = <[_; 2]>::try_from(log.all()).unwrap();
    assert!(plain.head.starts_with("POST /hook?a=%20b HTTP/1.1\r\n"), "{}", plain.head);
    assert_eq!(plain.body, JSON.as_bytes());
    assert_eq!(transformed.body, br#"{"paid":true}"#);
    let id = format!("{}-41", "ab".repeat(16));
    for (request, content, attempt, replay) in [
        (&plain, "application/cloudevents+json; charset=utf-8", "1", None),
        (&transformed, "application/json", "2", Some("7")),
    ] {
        let timestamp = request.header("webhook-timestamp").unwrap();
        let signed: Vec<String> = secrets
            .iter()
            .map(|secret| secret.sign(&id, timestamp.parse().unwrap(), &request.body))
            .collect();
        assert_eq!(request.header("webhook-signature").unwrap(), signed.join(" "));
        assert_eq!(request.header("webhook-id"), Some(id.as_str()));
        assert_eq!(request.header("host"), Some(receiver.address.to_string().as_str()));
        assert_eq!(request.header("content-type"), Some(content));
        assert_eq!(request.header("waag-subscription"), Some("erp"));
        assert_eq!(request.header("waag-position"), Some("41"));
        assert_eq!(request.header("waag-attempt"), Some(attempt));
        assert_eq!(request.header("waag-replay"), replay);
        assert_eq!(request.header("user-agent"), Some(concat!("waag/", env!("CARGO_PKG_VERSION"))));
        assert_eq!(request.header("accept-encoding"), None);
        let age = SystemClock::new().now().0 / 1_000_000_000 - timestamp.parse::<i64>().unwrap();
        assert!((0..30).contains(&age), "{age}");
    }
}

#[test]
fn a_connection_is_used_again_and_by_those_alone_who_may() {
    let (runtime, log) = (runtime(), Log::default());
    let receiver = logging(&log);
    let pool = pool(&runtime);
    let webhook = pool.webhook(&receiver.url(), vec![secret()], here()).unwrap();
    let other = pool.webhook(&receiver.url(), vec![secret()], here()).unwrap();
    for _ in 0..5 {
        assert_eq!(deliver(&webhook, delivery(PATIENCE)), Outcome::Delivered(Some(204)));
        assert_eq!(deliver(&other, delivery(PATIENCE)), Outcome::Delivered(Some(204)));
    }
    assert_eq!((receiver.count(), pool.kept(), log.all().len()), (1, 1, 10));
    let strict = Policy { allow_http: true, ..Policy::default() };
    assert!(
        pool.webhook(&receiver.url(), vec![secret()], strict.clone()).is_err(),
        "an address is known at once"
    );
    let by_name = receiver.url().replace("127.0.0.1", "localhost");
    let third = pool.webhook(&by_name, vec![secret()], strict).unwrap();
    assert_eq!(failed(deliver(&third, delivery(PATIENCE))).code, "E1163");
    assert_eq!((receiver.count(), log.all().len()), (1, 10));
    // With the last target of a receiver its connections go.
    drop((webhook, other, third));
    assert_eq!(pool.kept(), 0);
}

#[test]
fn a_receiver_that_closes_each_connection_gets_each_event_once() {
    for answer in [
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\n\r\nok",
    ] {
        let (runtime, log) = (runtime(), Log::default());
        let kept = log.clone();
        let (closed, closes) = std::sync::mpsc::sync_channel(5);
        let receiver = Receiver::start(move |mut stream, _| {
            kept.push(read_request(&mut stream).unwrap());
            stream.write_all(answer.as_bytes()).unwrap();
            drop(stream);
            closed.send(()).unwrap();
        });
        let webhook = pool(&runtime).webhook(&receiver.url(), vec![secret()], here()).unwrap();
        for _ in 0..5 {
            assert_eq!(deliver(&webhook, delivery(PATIENCE)), Outcome::Delivered(Some(200)), "{answer}");
            // Time for the end of the connection to arrive.
            closes.recv_timeout(PATIENCE).unwrap();
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!((receiver.count(), log.all().len()), (5, 5), "{answer}");
    }
}

#[test]
fn a_request_that_was_written_is_not_sent_again() {
    let (runtime, log) = (runtime(), Log::default());
    let kept = log.clone();
    let receiver = Receiver::start(move |mut stream, _| {
        kept.push(read_request(&mut stream).unwrap());
        stream.write_all(NO_CONTENT.as_bytes()).unwrap();
        // Takes the second request and hangs up.
        kept.push(read_request(&mut stream).unwrap());
    });
    let webhook = pool(&runtime).webhook(&receiver.url(), vec![secret()], here()).unwrap();
    assert_eq!(deliver(&webhook, delivery(PATIENCE)), Outcome::Delivered(Some(204)));
    let failure = failed(deliver(&webhook, delivery(PATIENCE)));
    assert_eq!((failure.class, failure.code), (Class::Transient, "E1167"), "{}", failure.reason);
    assert_eq!((receiver.count(), log.all().len()), (1, 2));
}

#[test]
fn a_request_that_was_not_written_goes_on_another_connection() {
    // One thread that looks for news between any two steps: the end of the kept connection is met after the request was
    // handed to it, and before it is written.
    let runtime = Builder::new_current_thread().enable_all().event_interval(1).build().unwrap();
    let (log, ending) = (Log::default(), Arc::new(Barrier::new(2)));
    let (kept, end) = (log.clone(), Arc::clone(&ending));
    let receiver = Receiver::start(move |mut stream, number| {
        kept.push(read_request(&mut stream).unwrap());
        stream.write_all(NO_CONTENT.as_bytes()).unwrap();
        if number == 0 {
            end.wait();
            drop(stream);
            end.wait();
        }
    });
    let webhook = pool(&runtime).webhook(&receiver.url(), vec![secret()], here()).unwrap();
    let told = runtime.block_on(async {
        assert_eq!(deliver_here(&webhook).await, Outcome::Delivered(Some(204)));
        ending.wait();
        ending.wait();
        // The end of the connection arrives, and this thread does not look.
        std::thread::sleep(Duration::from_millis(100));
        deliver_here(&webhook).await
    });
    assert_eq!(told, Outcome::Delivered(Some(204)));
    assert_eq!((receiver.count(), log.all().len()), (2, 2));
}

/// Monotonic time that the test moves.
struct Moved(SystemClock, AtomicU64);

impl Clock for Moved {
    fn now(&self) -> UtcNanos {
        self.0.now()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.1.load(Ordering::SeqCst))
    }
}

#[test]
fn few_connections_are_kept_and_not_for_long() {
    const TOGETHER: usize = KEPT_MAX + 4;
    let runtime = runtime();
    let all = Arc::new(Barrier::new(TOGETHER));
    let receiver = Receiver::start(move |mut stream, _| {
        while read_request(&mut stream).is_some() {
            all.wait();
            stream.write_all(NO_CONTENT.as_bytes()).unwrap();
        }
    });
    let clock = Arc::new(Moved(SystemClock::new(), AtomicU64::new(0)));
    let pool = WebhookPool::new(Options { clock: Arc::<Moved>::clone(&clock), ..options(&runtime) }).unwrap();
    let webhook = pool.webhook(&receiver.url(), vec![secret()], here()).unwrap();
    let outcomes = deliver_all(&webhook, (0..TOGETHER).map(|_| delivery(PATIENCE)).collect());
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Delivered(Some(204))), "{outcomes:?}");
    assert_eq!((receiver.count(), pool.kept()), (TOGETHER, KEPT_MAX));
    clock.1.store(KEPT_MS_MAX - 1, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(KEPT_MS_MAX / 4 + 300));
    assert_eq!(pool.kept(), KEPT_MAX);
    clock.1.store(KEPT_MS_MAX, Ordering::SeqCst);
    let begun = SystemClock::new();
    while pool.kept() > 0 {
        assert!(begun.monotonic() < PATIENCE, "what is kept too long is closed");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn targets_that_cannot_be_are_refused() {
    let runtime = runtime();
    let pool = pool(&runtime);
    let plain = Policy { allow_http: false, ..here() };
    let made = |url: &str, secrets: usize, policy: &Policy| {
        let secrets: Vec<Secret> = (0..secrets).map(|_| secret()).collect();
        pool.webhook(url, secrets, policy.clone()).map(drop)
    };
    assert_eq!(made("http://a.example/", 1, &plain), Err(WebhookError::Plain));
    assert_eq!(made("https://a.example/", 1, &plain), Ok(()));
    assert_eq!(made("https://u:p@a.example/", 1, &here()).unwrap_err().code(), "E1161");
    assert_eq!(made("https://a.example/", 0, &here()), Err(WebhookError::Secrets(0)));
    assert_eq!(made("https://a.example/", SECRETS_MAX, &here()), Ok(()));
    assert_eq!(made("https://a.example/", SECRETS_MAX + 1, &here()).unwrap_err().code(), "E1162");
}

#[test]
fn nothing_secret_is_shown() {
    let runtime = runtime();
    let pool = pool(&runtime);
    let secret = secret();
    let webhook = pool
        .webhook("https://a.example/token-in-path?key=token-in-query", vec![secret.clone()], here())
        .unwrap();
    let shown = format!("{pool:?} {webhook:?} {webhook:#?}");
    assert!(
        shown.contains("a.example") && !shown.contains("token") && !shown.contains(secret.reveal().as_str()),
        "{shown}"
    );
}

#[test]
fn a_runtime_that_ends_leaves_no_delivery_unanswered() {
    let runtime = runtime();
    let receiver = Receiver::start(|mut stream, _| {
        drop(read_request(&mut stream));
        std::thread::sleep(PATIENCE);
    });
    let webhook = pool(&runtime).webhook(&receiver.url(), vec![secret()], here()).unwrap();
    let ending = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        runtime.shutdown_background();
    });
    assert_eq!(failed(deliver(&webhook, delivery(PATIENCE))).code, "E1160");
    ending.join().unwrap();
    assert_eq!(failed(deliver(&webhook, delivery(PATIENCE))).code, "E1160");
}

#[test]
fn a_name_that_no_header_takes_is_told() {
    let runtime = runtime();
    let webhook = pool(&runtime).webhook("https://a.example/", vec![secret()], here()).unwrap();
    let mut wrong = delivery(PATIENCE);
    wrong.subscription = "a\r\nx: y".into();
    let failure = failed(deliver(&webhook, wrong));
    assert_eq!((failure.class, failure.code), (Class::Terminal, "E1161"));
}
