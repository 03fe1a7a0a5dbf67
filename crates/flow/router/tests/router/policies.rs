//! What follows from failures, and from commands of people.

use std::time::Duration;

use waag_router::ports::Secret;
use waag_router::shown::{Filter, ReplayAsked, Standing};
use waag_router::spec::{Spec, TargetSpec};
use waag_router::target::{Class, Outcome};
use zeroize::Zeroizing;

use crate::world::{Act, World, lock, me, spec};

/// Three keys, the second event of key 1 is bad.
fn feed(world: &World) -> u64 {
    world.record("a", 1);
    let bad = world.record("bad", 1);
    for key in [1, 2, 3, 1] {
        world.record("a", key);
    }
    bad
}

fn bad_fails(world: &World, name: &str) {
    world.script(name, |delivery| {
        if &*delivery.event.kind == "bad" { Act::Fail(Class::Terminal) } else { Act::Deliver }
    });
}

#[test]
fn park_skip_and_halt_do_what_they_say() {
    let mut world = World::new();
    for policy in ["park", "skip", "halt"] {
        world.create(policy, &format!(r#""on_failure":"{policy}""#));
        bad_fails(&world, policy);
    }
    let bad = feed(&world);
    world.flow(20, "park and skip are through", || world.is_idle("skip") && world.letters("park").len() == 1);
    world
        .flow(20, "halt has stopped", || matches!(world.overview("halt").standing, Standing::Stopped { .. }));
    world.flow(20, "the others of park are through", || world.delivered("park").len() == 3);
    assert_eq!(world.delivered("skip").len(), 5);
    let mut park = world.delivered("park");
    park.sort_unstable();
    assert_eq!(park, vec![bad - 1, bad + 2, bad + 3]);
    assert_eq!((world.overview("park").parked_keys, world.overview("park").dead_letters), (1, 1));
    let Standing::Stopped { code, .. } = world.overview("halt").standing else { panic!() };
    assert_eq!(code, "E1147");
    let before = world.got("halt").len();
    world.record("a", 9);
    world.crash();
    world.flow(20, "park goes on", || world.delivered("park").len() == 4);
    assert_eq!(world.got("halt").len(), before, "halted also after a crash");
    // Somebody looks, resumes, and discards it.
    world.router().resume("halt", &me()).unwrap();
    world.router().discard("halt", Filter::one(bad), "looked at", &me()).unwrap();
    world.flow(20, "halt goes on", || world.is_idle("halt") && world.delivered("halt").len() == 6);
    world.script("park", |_| Act::Deliver);
    world.router().redrive("park", Filter::default(), 0, "", &me()).unwrap();
    world.flow(20, "park is through", || world.is_idle("park") && world.delivered("park").len() == 7);
    crate::world::assert_in_order(&world.got("park"), "park");
    assert_eq!(world.notices("waag.subscription.stopped").len(), 1);
}

#[test]
fn pausing_keeps_and_resuming_goes_on_each_told() {
    let mut world = World::new();
    world.create("s", "");
    let rounds = 3;
    for _ in 0..rounds {
        // At the same instant: each is an event all the same.
        world.router().pause("s", "a rest", &me()).unwrap();
        world.router().resume("s", &me()).unwrap();
    }
    world.router().pause("s", "for longer", &me()).unwrap();
    for key in 0..5 {
        world.record("a", key);
    }
    world.turns();
    world.crash();
    world.turns();
    assert!(world.got("s").is_empty());
    assert!(matches!(world.overview("s").standing, Standing::Paused { .. }));
    world.router().resume("s", &me()).unwrap();
    world.flow(20, "all come", || world.is_idle("s") && world.delivered("s").len() == 5);
    world.flow(20, "each switch is told", || {
        world.notices("waag.subscription.switched").len() == usize::try_from(2 * rounds + 2).unwrap()
    });
}

#[test]
fn removal_leaves_no_record_and_frees_the_name() {
    let mut world = World::new();
    world.create("s", r#""on_failure":"park","retry":{"attempts_max":3}"#);
    world.create("other", "");
    world.script("s", |delivery| {
        if delivery.event.position.0 % 2 == 0 {
            Act::Fail(Class::Terminal)
        } else {
            Act::Fail(Class::Throttled)
        }
    });
    for at in 0..5_000 {
        world.record("a", at % 1_900);
    }
    world.flow(200, "many wait or are parked", || world.records_of(1) > 3_500);
    assert_eq!(world.router().remove("s", " ", &me()).unwrap_err().code(), "E1141");
    // It dies while it cleans up, perhaps before the name is taken again.
    world.gate.die_after(4, true);
    world.router().remove("s", "not needed", &me()).unwrap();
    let again = world.router().create(spec("s", ""), None, &me());
    world.flow(10, "it dies", || world.gate.is_dead());
    assert!(world.records_of(1) > 0, "there is something left to clean up");
    world.crash();
    if again.is_err() && world.router().overviews().unwrap().len() == 1 {
        world.create("s", "");
    }
    world.flow(10, "nothing is left", || world.records_of(1) == 0);
    assert!(world.records_of(2) > 0 && world.records_of(3) > 0);
    assert_eq!(world.router().overviews().unwrap().len(), 2);
    world.script("s", |_| Act::Deliver);
    world.record("a", 5);
    world.flow(10, "the new one of the name delivers", || world.is_idle("s") && world.is_idle("other"));
    world.flow(10, "it is told", || world.notices("waag.subscription.removed").len() == 1);
    world.restart();
    assert_eq!(world.router().overviews().unwrap().len(), 2);
}

#[test]
fn no_secret_is_ever_shown() {
    let mut world = World::new();
    let url = r#""target":{"kind":"webhook","url":"https://joe:pass-in-url@example.org/hook/path-secret?q=query-secret"}"#;
    let created = world.create("hook", url);
    assert_eq!(created.secret.as_deref(), Some("whsec_made-here"));
    let given = || Some(Secret(Zeroizing::new("given-secret".to_owned())));
    assert_eq!(world.router().rotate_secret("hook", given(), &me()).unwrap().secret, None);
    assert_eq!(*lock(&world.post.secrets), vec!["given-secret".to_owned(), "whsec_made-here".to_owned()]);
    let nats =
        r#""target":{"kind":"nats","server":"nats://joe:pass-in-url@example.org:4222","subject":"a.b"}"#;
    world.create("broker", nats);
    world.script("https://joe:pass-in-url@example.org/hook/path-secret?q=query-secret", |_| {
        Act::Fail(Class::Terminal)
    });
    world.record("a", 1);
    world.flow(20, "it is a dead letter", || world.letters("hook").len() == 1);
    world.flow(20, "all is told", || world.notices("waag.dead-letter.recorded").len() == 1);
    let mut told = format!("{:?}", world.router());
    told += &serde_json::to_string(&world.router().detail("hook").unwrap()).unwrap();
    let events: String = lock(&world.ledger.book)
        .events
        .iter()
        .map(|event| String::from_utf8_lossy(&event.json).into_owned())
        .collect();
    let stored: String = (world.records.model().records.values())
        .map(|(value, _)| String::from_utf8_lossy(value).into_owned())
        .collect();
    for secret in ["whsec_made-here", "given-secret"] {
        assert!(!told.contains(secret) && !events.contains(secret) && !stored.contains(secret), "{secret}");
    }
    for secret in ["pass-in-url", "path-secret", "query-secret"] {
        assert!(!events.contains(secret), "{secret} is in an event for ever");
    }
    lock(&world.post.secrets).clear();
    world.restart();
    assert!(!lock(&world.post.secrets).is_empty(), "opened again at the start");
}

#[test]
fn a_late_or_dropped_reply_changes_nothing_for_others() {
    let world = World::new();
    world
        .create("s", r#""timeout_ms":1000,"retry":{"attempts_max":5,"delay_ms_min":100,"delay_ms_max":100}"#);
    let mut times = 0;
    world.script("s", move |delivery| {
        if delivery.event.ordering != Some(crate::world::tag(1)) {
            return Act::Deliver;
        }
        times += 1;
        match times {
            1 => Act::Hang,
            2 => Act::Drop,
            3 => Act::Panic,
            4 => Act::Throttle(5_000),
            _ => Act::Deliver,
        }
    });
    let slow = world.record("a", 1);
    let second = world.record("a", 1);
    for at in 0..200 {
        world.record("a", 2 + at % 10);
    }
    world.until("one key that hangs holds up nobody", || world.delivered("s").len() == 200);
    world.pass(1_001);
    world.flow(10, "it is tried again", || {
        world.got("s").iter().filter(|got| got.position == slow).count() >= 2
    });
    let late = lock(&world.post.hanging).pop();
    let (_, reply) = late.unwrap();
    reply.give(Outcome::Delivered(None));
    world.flow(50, "it comes in the end", || world.is_idle("s"));
    let attempts: Vec<u32> =
        world.got("s").iter().filter(|got| got.position == slow).map(|got| got.attempt).collect();
    assert_eq!(attempts, vec![1, 2, 3, 4, 4], "throttled ones are not counted");
    let delivered = world.delivered("s");
    assert_eq!(&delivered[200..], &[slow, second]);
}

#[test]
fn a_target_that_is_gone_stops_its_subscription_and_keeps_the_event() {
    let world = World::new();
    world.create("s", "");
    world.script("s", |_| Act::Fail(Class::Gone));
    world.record("a", 1);
    world.flow(10, "it stops", || matches!(world.overview("s").standing, Standing::Stopped { .. }));
    assert_eq!(world.overview("s").dead_letters, 0);
    world.script("s", |_| Act::Deliver);
    world.router().resume("s", &me()).unwrap();
    world.flow(1_000, "it comes", || world.is_idle("s") && world.delivered("s").len() == 1);
}

#[test]
fn long_texts_from_anywhere_stop_nothing() {
    let world = World::new();
    world.create("s", r#""on_failure":"skip""#);
    world.script("s", |_| Act::Rant(100_000));
    world.record("a", 1);
    world.flow(20, "it is a dead letter", || world.overview("s").dead_letters == 1);
    assert!(world.letters("s")[0].failure.reason.len() <= 2_000);
    let long = Filter { kind: Some("k".repeat(100_000)), ..Filter::default() };
    assert!(world.router().redrive("s", long.clone(), 0, "", &me()).is_err());
    assert!(world.router().discard("s", long, "why", &me()).is_err());
    let pattern = format!(r#"{{"type":["{}"]}}"#, "p".repeat(65_000));
    let asked =
        ReplayAsked { pattern: Some(serde_json::from_str(&pattern).unwrap()), ..ReplayAsked::default() };
    assert!(world.router().replay("s", asked, &me()).is_err());
    let secret = Some(Secret(Zeroizing::new("s".repeat(60_000))));
    let webhook = spec("t", r#""target":{"kind":"webhook","url":"https://a.example"}"#);
    assert_eq!(world.router().create(webhook, secret, &me()).unwrap_err().code(), "E1139");
    let long: Spec = Spec { target: TargetSpec::InProcess { handler: "h".repeat(2_000) }, ..spec("u", "") };
    world.router().create(long, None, &me()).unwrap();
    let pattern = format!(r#""pattern":{{"type":["{}"]}}"#, "p\\u0001".repeat(6_500));
    world.create("v", &pattern);
    world.clock.pass(Duration::from_secs(1));
    world.turns();
    assert_eq!(world.router().overviews().unwrap().len(), 3, "it goes on");
}
