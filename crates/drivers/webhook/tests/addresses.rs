//! Names that lead inward, move, or lead nowhere: what was not allowed is never connected to.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]
#![expect(unreachable_pub, reason = "shared with other tests")]

use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use waag_router::target::{Class, Failure, Outcome};
use waag_webhook::address::Policy;
use waag_webhook::{Options, WebhookPool};

#[expect(dead_code, reason = "shared with other tests")]
mod support;
use support::{
    NO_CONTENT, PATIENCE, Receiver, Script, deliver, deliver_all, delivery, failed, here, options, pool,
    read_request, runtime, secret,
};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A failure that may pass, with its code.
fn code(outcome: Outcome) -> (&'static str, String) {
    let Failure { class, code, reason, .. } = failed(outcome);
    assert_eq!(class, Class::Transient);
    (code, reason)
}

#[test]
fn this_machine_is_not_connected_to_unless_it_is_allowed() {
    let runtime = runtime();
    let receiver = Receiver::answering(NO_CONTENT);
    let pool = pool(&runtime);
    let port = receiver.address.port();
    let public = Policy { allow_http: true, ..Policy::default() };
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "[::]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
    ] {
        let made = pool.webhook(&format!("http://{host}:{port}/"), vec![secret()], public.clone());
        let (code, reason) = match made {
            // A name is judged when it was looked up, an address when the target is made.
            Ok(webhook) if host == "localhost" => code(deliver(&webhook, delivery(PATIENCE))),
            Ok(_) => ("none", "it was made".to_owned()),
            Err(refused) => (refused.code(), refused.to_string()),
        };
        assert_eq!(code, "E1163", "{host}: {reason}");
    }
    let metadata = pool.webhook("https://169.254.169.254/", vec![secret()], public.clone());
    assert_eq!(metadata.unwrap_err().code(), "E1163");
    assert_eq!(receiver.count(), 0);
    let private = Policy { allow_private: true, ..public };
    let webhook = pool.webhook(&receiver.url(), vec![secret()], private).unwrap();
    assert_eq!(deliver(&webhook, delivery(PATIENCE)), Outcome::Delivered(Some(204)));
}

#[test]
fn one_refused_address_refuses_the_name_wherever_it_stands() {
    let runtime = runtime();
    let receiver = Receiver::answering(NO_CONTENT);
    let bad = ["10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1"].map(ip);
    for (at, bad) in (0..4).zip(bad) {
        let mut addresses = vec![ip("127.0.0.1"); 6];
        addresses[at + 2] = bad;
        let resolver = Arc::new(Script::new(move |_| Ok(addresses.clone())));
        let pool = WebhookPool::new(Options { resolver, ..options(&runtime) }).unwrap();
        let url = format!("http://hook.test:{}/", receiver.address.port());
        let webhook = pool.webhook(&url, vec![secret()], here()).unwrap();
        let (code, reason) = code(deliver(&webhook, delivery(PATIENCE)));
        assert_eq!(code, "E1163");
        assert!(reason.contains(&bad.to_string()), "{reason}");
    }
    assert_eq!(receiver.count(), 0);
}

#[test]
fn a_name_that_moves_after_it_was_checked_leads_nowhere_else() {
    let runtime = runtime();
    // Both listen on the same port; the second is what the name moves to.
    let allowed = Receiver::start(|mut stream, _| {
        drop(read_request(&mut stream));
        drop(stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"));
    });
    let port = allowed.address.port();
    let inner = Receiver::start_at(ip("127.0.0.2"), port, |stream, _| drop(stream));
    let script = Script::new(|question| Ok(vec![ip(if question == 0 { "127.0.0.1" } else { "127.0.0.2" })]));
    let asked = Arc::clone(&script.asked);
    let pool = WebhookPool::new(Options { resolver: Arc::new(script), ..options(&runtime) }).unwrap();
    let webhook = pool.webhook(&format!("http://hook.test:{port}/"), vec![secret()], here()).unwrap();
    assert_eq!(deliver(&webhook, delivery(PATIENCE)), Outcome::Delivered(Some(204)));
    // Between check and connection nothing was asked.
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // Longer than an answer is used again.
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(code(deliver(&webhook, delivery(PATIENCE))).0, "E1163");
    assert_eq!((asked.load(Ordering::SeqCst), allowed.count(), inner.count()), (2, 1, 0));
}

#[test]
fn a_redirect_inward_is_not_followed() {
    let runtime = runtime();
    let inner = Receiver::answering(NO_CONTENT);
    let location = inner.url();
    for status in [301, 302, 303, 307, 308] {
        let text =
            format!("HTTP/1.1 {status} Moved\r\nlocation: {location}?secret=1\r\ncontent-length: 0\r\n\r\n");
        let outer = Receiver::start(move |mut stream, _| {
            drop(read_request(&mut stream));
            drop(stream.write_all(text.as_bytes()));
        });
        let webhook = pool(&runtime).webhook(&outer.url(), vec![secret()], here()).unwrap();
        let failure = failed(deliver(&webhook, delivery(PATIENCE)));
        assert_eq!((failure.class, failure.code, failure.status), (Class::Transient, "E1168", Some(status)));
        let told = format!("`{}`", inner.address);
        assert!(failure.reason.contains(&told) && !failure.reason.contains("secret"), "{}", failure.reason);
    }
    assert_eq!(inner.count(), 0);
}

#[test]
fn another_address_is_tried_where_one_takes_no_connection() {
    let runtime = runtime();
    let receiver = Receiver::answering(NO_CONTENT);
    let addresses = vec![ip("127.0.0.3"), ip("127.0.0.4"), ip("127.0.0.1")];
    let resolver = Arc::new(Script::new(move |_| Ok(addresses.clone())));
    let pool = WebhookPool::new(Options { resolver, ..options(&runtime) }).unwrap();
    let policy = Policy { allow_http: true, allow_private: true, ..Policy::default() };
    let url = format!("http://hook.test:{}/", receiver.address.port());
    let webhook = pool.webhook(&url, vec![secret()], policy).unwrap();
    assert_eq!(deliver(&webhook, delivery(PATIENCE)), Outcome::Delivered(Some(204)));
}

#[test]
fn a_name_that_leads_nowhere_is_told() {
    let runtime = runtime();
    // A port that nobody listens on.
    let port = waag_fixtures::port::reserved();
    type Answer = fn(usize) -> io::Result<Vec<IpAddr>>;
    let cases: [(Answer, &str); 3] = [
        (|_| Err(io::Error::other("no such name")), "no such name"),
        (|_| Ok(Vec::new()), "looked up"),
        (|_| Ok(vec![ip("127.0.0.1")]), "connected to"),
    ];
    for (answer, part) in cases {
        let resolver = Arc::new(Script::new(answer));
        let pool = WebhookPool::new(Options { resolver, ..options(&runtime) }).unwrap();
        let webhook = pool.webhook(&format!("http://hook.test:{port}/"), vec![secret()], here()).unwrap();
        let (code, reason) = code(deliver(&webhook, delivery(PATIENCE)));
        assert_eq!(code, "E1164");
        assert!(reason.contains("`hook.test`") && reason.contains(part), "{reason}");
    }
}

#[test]
fn many_deliveries_share_one_lookup() {
    let runtime = runtime();
    let receiver = Receiver::answering(NO_CONTENT);
    let mut script = Script::new(|_| Ok(vec![ip("127.0.0.1")]));
    script.delay = Duration::from_millis(200);
    let asked = Arc::clone(&script.asked);
    let pool = WebhookPool::new(Options { resolver: Arc::new(script), ..options(&runtime) }).unwrap();
    let url = format!("http://hook.test:{}/", receiver.address.port());
    let webhook = pool.webhook(&url, vec![secret()], here()).unwrap();
    let outcomes = deliver_all(&webhook, (0..20).map(|_| delivery(PATIENCE)).collect());
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Delivered(Some(204))), "{outcomes:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn a_lookup_that_hangs_is_one_and_holds_no_other_name_up() {
    let runtime = runtime();
    let receiver = Receiver::answering(NO_CONTENT);
    let mut script = Script::new(|_| Ok(vec![ip("127.0.0.1")]));
    script.delay = PATIENCE;
    let asked = Arc::clone(&script.asked);
    let connect_timeout = Duration::from_secs(1);
    let pool = WebhookPool::new(Options { resolver: Arc::new(script), connect_timeout, ..options(&runtime) })
        .unwrap();
    let url = format!("http://hook.test:{}/", receiver.address.port());
    let hanging = pool.webhook(&url, vec![secret()], here()).unwrap();
    for _ in 0..3 {
        let (code, reason) = code(deliver(&hanging, delivery(PATIENCE)));
        assert_eq!(
            (code, reason.as_str()),
            ("E1164", "`hook.test` could not be connected to within 1000 ms")
        );
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1, "the lookup that is under way is waited for");
    let other = pool.webhook(&receiver.url(), vec![secret()], here()).unwrap();
    assert_eq!(deliver(&other, delivery(PATIENCE)), Outcome::Delivered(Some(204)));
}
