//! What a change of a subscription takes along, what it leaves behind, and how far behind one is.

use std::time::Duration;

use waag_router::ports::Secret;
use waag_router::shown::ReplayAsked;
use waag_router::spec::Change;
use waag_router::target::Class;
use waag_stdx::clock::Clock as _;
use zeroize::Zeroizing;

use crate::world::{Act, World, lock, me, spec};

const PULL: &str = r#""target":{"kind":"pull"}"#;

fn webhook(url: &str) -> String {
    format!(r#""target":{{"kind":"webhook","url":"{url}"}}"#)
}

fn given() -> Option<Secret> {
    Some(Secret(Zeroizing::new("given-secret".to_owned())))
}

#[test]
fn a_secret_goes_to_no_other_place() {
    let world = World::new();
    let alter = |more: &str| {
        lock(&world.post.secrets).clear();
        let told = world.router().alter(spec("s", more), &me()).unwrap().secret;
        (told, lock(&world.post.secrets).clone())
    };
    let made = || (Some("whsec_made-here".to_owned()), vec!["whsec_made-here".to_owned()]);
    world.router().create(spec("s", &webhook("https://a.example/x")), given(), &me()).unwrap();
    assert_eq!(alter(&webhook("https://a.example:443/y")), (None, vec!["given-secret".to_owned()]));
    assert_eq!(alter(&webhook("https://b.example/y")), made(), "another host");
    world.router().rotate_secret("s", given(), &me()).unwrap();
    let nats = r#""target":{"kind":"nats","server":"nats://b.example:443","subject":"a"}"#;
    assert_eq!(alter(nats), (None, Vec::new()), "another kind");
    world.router().rotate_secret("s", given(), &me()).unwrap();
    let tls = r#""target":{"kind":"nats","server":"tls://b.example:443","subject":"a"}"#;
    assert_eq!(alter(tls), (None, Vec::new()), "another scheme");
    assert_eq!(alter(PULL), (None, Vec::new()));
    assert_eq!(alter(&webhook("https://b.example/y")), made(), "one that needs a secret gets one");
    world.flow(10, "all are told", || world.notices("waag.subscription.changed").len() == 8);
    let became: Vec<String> = world
        .notices("waag.subscription.changed")
        .iter()
        .map(|notice| notice.data.get("secret").and_then(|told| told.as_str()).unwrap_or("-").to_owned())
        .collect();
    assert_eq!(became, ["-", "made", "rotated", "dropped", "rotated", "dropped", "-", "made"]);
}

#[test]
fn a_target_without_a_secret_takes_none_and_rotates_none() {
    let world = World::new();
    assert_eq!(world.router().create(spec("s", PULL), given(), &me()).unwrap_err().code(), "E1151");
    world.create("s", PULL);
    world.create("n", r#""target":{"kind":"nats","server":"nats://h","subject":"a"}"#);
    for (name, secret) in [("s", None), ("s", given()), ("n", None)] {
        assert_eq!(world.router().rotate_secret(name, secret, &me()).unwrap_err().code(), "E1151", "{name}");
    }
    assert_eq!(world.router().rotate_secret("n", given(), &me()).unwrap().secret, None);
    world.flow(10, "the one that was done is told", || world.notices("waag.subscription.changed").len() == 1);
}

#[test]
fn a_start_is_in_the_past_and_stays() {
    let world = World::new();
    world.record("a", 1);
    let later = world.clock.now().0 + 1;
    let start = |at: i64| spec("t", &format!(r#""start":{{"time_ns":{at}}}"#));
    assert_eq!(world.router().create(start(later), None, &me()).unwrap_err().code(), "E1138");
    world.router().create(start(later - 1), None, &me()).unwrap();
    world.create("s", r#""start":"beginning""#);
    let change = |start: &str| {
        let json =
            format!(r#"{{"name":"s","target":{{"kind":"in-process","handler":"s"}},"priority":7{start}}}"#);
        let altered = world.router().alter(Change::read(json.as_bytes()).unwrap(), &me());
        altered.map(|changed| changed.overview.spec.priority).map_err(|error| error.code())
    };
    for other in [r#","start":"now""#, r#","start":{"position":0}"#] {
        assert_eq!(change(other), Err("E1138"), "{other}");
    }
    assert_eq!(world.overview("s").spec.priority, 5);
    assert_eq!((change(r#","start":"beginning""#), change("")), (Ok(7), Ok(7)));
}

#[test]
fn what_is_read_and_not_delivered_is_behind_also_while_nobody_delivers() {
    let mut world = World::new();
    world.create("s", PULL);
    for key in 0..30 {
        world.record("a", key % 3);
    }
    world.until("all is read", || world.overview("s").unread_events == 0);
    world.pass(7_000);
    let behind = |world: &World| {
        let figures = world.router().figures();
        (world.overview("s").lag_events, figures.lag_events_max, figures.oldest_undelivered_s)
    };
    assert_eq!(behind(&world), (30, 30, 7));
    world.router().pause("s", "a rest", &me()).unwrap();
    world.turns();
    // The event of the pause is one it has not looked at.
    assert_eq!(behind(&world), (31, 31, 7));
    world.restart();
    world.turns();
    assert_eq!(behind(&world), (31, 31, 7));

    let world = World::new();
    world.create("s", r#""retry":{"delay_ms_min":60000,"delay_ms_max":60000}"#);
    world.script("s", |delivery| match delivery.event.position.0 {
        1 => Act::Fail(Class::Terminal),
        2 => Act::Fail(Class::Transient),
        _ => Act::Deliver,
    });
    for at in 0..300 {
        world.record("a", at % 3);
    }
    // One key is parked, one waits: the events behind them have records, more than are in memory.
    world.until("the third is delivered", || world.delivered("s").len() == 100);
    world.flow(10, "its letter is told", || world.notices("waag.dead-letter.recorded").len() == 1);
    world.until("that is read, too", || world.overview("s").unread_events == 0);
    assert_eq!((world.overview("s").dead_letters, world.overview("s").lag_events), (1, 99 + 100));
    world.script("s", |_| Act::Deliver);
    world.flow(1_000, "the one that waits is delivered", || world.delivered("s").len() == 200);
    assert_eq!(world.overview("s").lag_events, 99);
    let filter = waag_router::shown::Filter::default();
    world.router().redrive("s", filter, 0, "", &me()).unwrap();
    // The job's own events are read, too.
    world.flow(10, "the parked one, too", || {
        let told = world.notices("waag.delivery-job.ended").len() == 1;
        told && world.overview("s").lag_events == 0
    });
    let figures = world.router().figures();
    assert_eq!((figures.lag_events_max, figures.oldest_undelivered_s), (0, 0));
}

#[test]
fn a_target_that_was_left_alone_is_tried_at_once_where_it_is_another() {
    let world = World::new();
    world.create("s", "");
    world.script("s", |_| Act::Fail(Class::Transient));
    for key in 0..5 {
        world.record("a", key);
    }
    world.until("it is left alone", || world.overview("s").left_alone_ms.is_some());
    world.router().alter(spec("s", r#""priority":6"#), &me()).unwrap();
    assert!(world.overview("s").left_alone_ms.is_some(), "the target is the same");
    let moved = r#""target":{"kind":"in-process","handler":"other"}"#;
    let changed = world.router().alter(spec("s", moved), &me()).unwrap();
    assert_eq!(changed.overview.left_alone_ms, None);
    // The clock stands still.
    world.until("it delivers", || world.delivered("other").len() == 5);
}

#[test]
fn keys_that_wait_are_tried_when_somebody_says_so() {
    let world = World::new();
    world.create("s", r#""retry":{"delay_ms_min":3600000,"delay_ms_max":3600000}"#);
    world.script("s", |_| Act::Fail(Class::Transient));
    for key in [1, 1, 2] {
        world.record("a", key);
    }
    world.until("two keys wait", || world.overview("s").waiting_keys == 2);
    let due = Duration::from_nanos(
        u64::try_from(world.overview("s").next_attempt_ns.unwrap() - world.clock.now().0).unwrap(),
    );
    assert!((Duration::from_secs(1_800)..=Duration::from_secs(3_600)).contains(&due), "{due:?}");
    world.script("s", |_| Act::Deliver);
    world.turns();
    assert!(world.delivered("s").is_empty());
    world.router().resume("s", &me()).unwrap();
    // The clock stands still.
    world.until("all are delivered", || world.delivered("s").len() == 3);
    assert_eq!(world.overview("s").next_attempt_ns, None);
}

#[test]
fn a_replay_has_a_rate_and_its_end_has_words_of_its_own() {
    let world = World::new();
    world.create("s", "");
    world.record("a", 1);
    world.until("it is delivered", || world.is_idle("s"));
    world.router().pause("s", "a rest", &me()).unwrap();
    let job = world.router().replay("s", ReplayAsked::default(), &me()).unwrap();
    assert_eq!(job.rate, waag_router::shown::RATE_DEFAULT);
    assert_eq!(world.router().cancel(job.number, &me()).unwrap().reason, "(ended by tester)");
    let asked = ReplayAsked { rate: Some(0), reason: "why".to_owned(), ..ReplayAsked::default() };
    let job = world.router().replay("s", asked, &me()).unwrap();
    assert_eq!(job.rate, 0);
    assert_eq!(world.router().cancel(job.number, &me()).unwrap().reason, "why (ended by tester)");
}
