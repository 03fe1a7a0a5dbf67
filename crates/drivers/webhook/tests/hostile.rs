//! Receivers that do everything wrong: each attempt has one outcome, in time, and what they send is not held.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]
#![expect(unreachable_pub, reason = "shared with other tests")]

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use waag_router::target::{Class, Outcome};
use waag_stdx::clock::{Clock, SystemClock};
use waag_webhook::{BODY_BYTES_MAX, BODY_MS_MAX, HEAD_BYTES_MAX, HEADERS_MAX, INFORMATIONAL_MAX};

#[expect(dead_code, reason = "shared with other tests")]
mod support;
use support::{PATIENCE, Receiver, deliver, delivery, failed, here, pool, read_request, runtime, secret};

/// What a receiver can put into the buffers of both sockets though nobody reads.
const SOCKETS_BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// The outcome of one delivery to a receiver of these manners, and how long it took.
fn tried(timeout: Duration, manners: impl Fn(TcpStream) + Send + Sync + 'static) -> (Outcome, Duration) {
    let runtime = runtime();
    let receiver = Receiver::start(move |stream, _| manners(stream));
    let pool = pool(&runtime);
    let webhook = pool.webhook(&receiver.url(), vec![secret()], here()).unwrap();
    let clock = SystemClock::new();
    let outcome = deliver(&webhook, delivery(timeout));
    let took = clock.monotonic();
    if !matches!(outcome, Outcome::Delivered(_)) {
        assert_eq!(pool.kept(), 0, "what failed is not used again");
    }
    (outcome, took)
}

/// The outcome where the receiver reads the request, says this and hangs up.
fn answered(text: impl AsRef<[u8]> + Send + Sync + 'static) -> Outcome {
    let manners = move |mut stream: TcpStream| {
        drop(read_request(&mut stream));
        drop(stream.write_all(text.as_ref()));
    };
    tried(PATIENCE, manners).0
}

fn code(outcome: Outcome) -> (Class, &'static str) {
    let failure = failed(outcome);
    (failure.class, failure.code)
}

#[test]
fn what_is_no_http_is_told() {
    let cases: [&[u8]; 13] = [
        b"",
        b"\r\n\r\n",
        b"hello\r\n",
        b"<html>an answer of HTTP/0.9</html>",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nna me: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: y\0z\r\n\r\n",
    ];
    for text in cases {
        let outcome = answered(text);
        assert_eq!(code(outcome), (Class::Transient, "E1167"), "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn a_receiver_that_hangs_up_is_told() {
    assert_eq!(code(tried(PATIENCE, drop).0), (Class::Transient, "E1167"));
    assert_eq!(code(answered("HTTP/1.1 200 OK\r\ncontent-le")), (Class::Transient, "E1167"));
}

#[test]
fn a_receiver_that_does_not_answer_costs_the_attempts_time_and_no_more() {
    let limit = Duration::from_millis(400);
    type Manners = Box<dyn Fn(TcpStream) + Send + Sync>;
    let cases: [(&str, Manners); 3] = [
        (
            "says nothing",
            Box::new(|mut stream| {
                drop(read_request(&mut stream));
                std::thread::sleep(PATIENCE)
            }),
        ),
        (
            "reads nothing",
            Box::new(|stream| {
                std::thread::sleep(PATIENCE);
                drop(stream)
            }),
        ),
        (
            "drips",
            Box::new(|mut stream| {
                drop(read_request(&mut stream));
                let line = "HTTP/1.1 200 OK\r\nx-never: ending".bytes().chain(std::iter::repeat(b'g'));
                for byte in line {
                    if stream.write_all(&[byte]).is_err() {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
            }),
        ),
    ];
    for (name, manners) in cases {
        let (outcome, took) = tried(limit, manners);
        assert_eq!(code(outcome), (Class::Transient, "E1166"), "{name}");
        assert!(took >= limit && took < PATIENCE, "{name}: {took:?}");
    }
}

#[test]
fn heads_are_bounded_in_bytes_and_in_headers() {
    let with = |headers: usize, filler: usize| {
        let mut text = "HTTP/1.1 204 No Content\r\n".to_owned();
        for number in 1..headers {
            write!(text, "x-{number}: y\r\n").unwrap();
        }
        text + "x-filler: " + &"z".repeat(filler) + "\r\n\r\n"
    };
    let rest = with(1, 0).len();
    assert_eq!(answered(with(HEADERS_MAX, 1)), Outcome::Delivered(Some(204)));
    assert_eq!(answered(with(1, HEAD_BYTES_MAX - rest - 1)), Outcome::Delivered(Some(204)));
    for head in [with(HEADERS_MAX + 1, 1), with(1, HEAD_BYTES_MAX - rest + 1)] {
        let failure = failed(answered(head));
        assert_eq!((failure.class, failure.code), (Class::Transient, "E1167"));
        assert!(failure.reason.contains("head is longer"), "{}", failure.reason);
    }
}

#[test]
fn informational_answers_are_counted() {
    let then = |count: usize| {
        let text = "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n".repeat(count);
        answered(text + "HTTP/1.1 204 No Content\r\n\r\n")
    };
    assert_eq!(then(INFORMATIONAL_MAX), Outcome::Delivered(Some(204)));
    assert_eq!(code(then(INFORMATIONAL_MAX + 1)), (Class::Transient, "E1167"));
    let (outcome, took, _) = flooding("", b"HTTP/1.1 100 Continue\r\n\r\n");
    let failure = failed(outcome);
    assert_eq!((failure.class, failure.code), (Class::Transient, "E1167"));
    assert!(failure.reason.contains("informational") && took < PATIENCE / 2, "{} {took:?}", failure.reason);
}

/// Writes until nobody takes it; how much that was is told.
fn flooding(start: &'static str, filler: &'static [u8]) -> (Outcome, Duration, usize) {
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let (outcome, took) = tried(PATIENCE, move |mut stream| {
        drop(read_request(&mut stream));
        drop(stream.write_all(start.as_bytes()));
        let chunk = filler.repeat(1 + 65_536 / filler.len());
        while let Ok(length) = stream.write(&chunk) {
            count.fetch_add(length, Ordering::SeqCst);
        }
        count.fetch_add(SOCKETS_BYTES_MAX * 2, Ordering::SeqCst);
    });
    let clock = SystemClock::new();
    // The end is counted too: the connection was really closed.
    while written.load(Ordering::SeqCst) < SOCKETS_BYTES_MAX * 2 {
        assert!(clock.monotonic() < PATIENCE, "the connection is closed");
        std::thread::sleep(Duration::from_millis(10));
    }
    (outcome, took, written.load(Ordering::SeqCst) - SOCKETS_BYTES_MAX * 2)
}

#[test]
fn what_has_no_end_is_not_read_on() {
    let limit = Duration::from_millis(BODY_MS_MAX) + Duration::from_secs(4);
    let (outcome, took, written) = flooding("HTTP/1.1 200 OK\r\n", b"x-more: and more\r\n");
    assert_eq!(code(outcome), (Class::Transient, "E1167"));
    assert!(took < limit && written < SOCKETS_BYTES_MAX, "{took:?} {written}");
    let (outcome, took, written) = flooding("HTTP/1.1 500 Oh\r\n\r\n", b"no end ");
    let failure = failed(outcome);
    assert_eq!((failure.class, failure.code, failure.status), (Class::Transient, "E1169", Some(500)));
    assert!(
        failure.response.starts_with("no end no end") && failure.response.len() <= 200,
        "{}",
        failure.response
    );
    assert!(took < limit && written < SOCKETS_BYTES_MAX, "{took:?} {written}");
    let (outcome, took, written) =
        flooding("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"5\r\nhello\r\n");
    assert_eq!(outcome, Outcome::Delivered(Some(200)));
    assert!(took < limit && written < SOCKETS_BYTES_MAX, "{took:?} {written}");
}

#[test]
fn the_head_decides_whatever_becomes_of_the_body() {
    assert_eq!(
        answered("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort"),
        Outcome::Delivered(Some(200))
    );
    assert_eq!(
        answered("HTTP/1.1 202 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
        Outcome::Delivered(Some(202))
    );
    let (outcome, took) = tried(PATIENCE, |mut stream| {
        drop(read_request(&mut stream));
        drop(stream.write_all(b"HTTP/1.1 404 No\r\ncontent-length: 1000\r\n\r\n"));
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let failure = failed(outcome);
    assert_eq!((failure.class, failure.code, failure.status), (Class::Transient, "E1169", Some(404)));
    assert!(failure.response.starts_with('x'), "{}", failure.response);
    assert!(took >= Duration::from_millis(BODY_MS_MAX) && took < PATIENCE / 2, "{took:?}");
}

#[test]
fn a_head_that_came_in_time_counts_though_its_body_does_not() {
    let limit = Duration::from_secs(2);
    for (status, expected) in [(200, None), (500, Some("E1169"))] {
        let (outcome, took) = tried(limit, move |mut stream| {
            drop(read_request(&mut stream));
            drop(write!(stream, "HTTP/1.1 {status} So\r\ncontent-length: 9\r\n\r\n"));
            std::thread::sleep(PATIENCE);
        });
        match expected {
            None => assert_eq!(outcome, Outcome::Delivered(Some(status))),
            Some(code) => assert_eq!((failed(outcome).code, status), (code, 500)),
        }
        assert!(took < PATIENCE / 2, "{took:?}");
    }
}

#[test]
fn a_connection_is_used_again_up_to_the_longest_body_and_not_beyond() {
    for (length, connections) in [(BODY_BYTES_MAX, 1), (BODY_BYTES_MAX + 1, 2)] {
        let runtime = runtime();
        let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{}", "x".repeat(length));
        let receiver = Receiver::start(move |mut stream, _| {
            while read_request(&mut stream).is_some() {
                drop(stream.write_all(text.as_bytes()));
            }
        });
        let webhook = pool(&runtime).webhook(&receiver.url(), vec![secret()], here()).unwrap();
        for _ in 0..2 {
            assert_eq!(deliver(&webhook, delivery(PATIENCE)), Outcome::Delivered(Some(200)));
        }
        assert_eq!(receiver.count(), connections, "{length}");
    }
}

#[test]
fn a_refusal_before_the_whole_body_is_read_is_heard() {
    let runtime = runtime();
    let receiver = Receiver::start(|mut stream, _| {
        let mut some = [0; 16];
        drop(stream.read_exact(&mut some));
        drop(stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 8\r\n\r\ntoo much"));
        std::thread::sleep(PATIENCE);
    });
    let webhook = pool(&runtime).webhook(&receiver.url(), vec![secret()], here()).unwrap();
    let mut large = delivery(PATIENCE);
    large.transformed = Some(vec![b'1'; 8 * 1_024 * 1_024].into());
    let failure = failed(deliver(&webhook, large));
    assert_eq!(
        (failure.class, failure.status, failure.response.as_str()),
        (Class::Terminal, Some(413), "too much")
    );
}

#[test]
fn throttling_and_going_are_told_with_their_times() {
    let failure = failed(answered("HTTP/1.1 429 Slow\r\nretry-after: 17\r\ncontent-length: 0\r\n\r\n"));
    assert_eq!(
        (failure.class, failure.code, failure.retry_after),
        (Class::Throttled, "E1169", Some(Duration::from_secs(17)))
    );
    let failure = failed(answered("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n"));
    assert_eq!((failure.class, failure.status), (Class::Gone, Some(410)));
    let failure =
        failed(answered("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"));
    assert_eq!((failure.class, failure.code), (Class::Transient, "E1169"));
}

fn any_answer() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"HTTP/1.1 200 OK\r\n".to_vec()),
        Just(b"HTTP/1.1 503 No\r\n".to_vec()),
        Just(b"HTTP/1.1 100 C\r\n\r\n".to_vec()),
        Just(b"HTTP/1.0 ".to_vec()),
        Just(b"transfer-encoding: chunked\r\n".to_vec()),
        Just(b"content-length: 5\r\n".to_vec()),
        Just(b"retry-after: ".to_vec()),
        Just(b"location: //".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"ffffffffffffffff\r\n".to_vec()),
        Just(b"0\r\n\r\n".to_vec()),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn whatever_is_answered_has_one_outcome(text in any_answer()) {
        // Empty lines before an answer are passed over (RFC 9112 §2.2).
        let start = text.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or(0);
        let starts_well = text[start..].starts_with(b"HTTP/1.");
        let outcome = answered(text);
        prop_assert!(starts_well || !matches!(outcome, Outcome::Delivered(_)));
    }
}
