//! Which events reach whom, and from where on.

use std::collections::HashMap;

use waag_router::error::RouterError;
use waag_router::spec::{Spec, TargetSpec};
use waag_router::target::Class;

use crate::world::{Act, World, assert_in_order, lock, me, spec};

#[test]
fn each_start_and_pattern_gets_its_events_in_order() {
    let world = World::new();
    for at in 0..100 {
        world.record(if at % 2 == 0 { "even" } else { "odd" }, at % 5);
        world.pass(1);
    }
    let time = lock(&world.ledger.book).events[60].committed.0;
    world.create("now", "");
    world.create("all", r#""start":"beginning""#);
    world.create("from", r#""start":{"position":90}"#);
    world.create("time", &format!(r#""start":{{"time_ns":{time}}}"#));
    world.create("odd", r#""start":"beginning","pattern":{"type":["odd"]}"#);
    world.create("own", r#""start":"beginning","pattern":{"type":[{"prefix":"waag.subscription."}]}"#);
    let error =
        world.router().create(spec("beyond", r#""start":{"position":1000}"#), None, &me()).unwrap_err();
    assert_eq!(error.code(), "E1138");
    for at in 0..20 {
        world.record("odd", at % 5);
    }
    let plain: Vec<u64> = {
        let book = lock(&world.ledger.book);
        let own = |event: &&std::sync::Arc<waag_router::source::Event>| !event.kind.starts_with("waag.");
        book.events.iter().filter(own).map(|event| event.position.0).collect()
    };
    world.flow(10, "all are read", || {
        ["now", "all", "from", "time", "odd", "own"].iter().all(|name| world.is_idle(name))
    });
    let sorted = |name: &str| {
        let mut got = world.delivered(name);
        got.sort_unstable();
        got
    };
    let from = |at: u64| -> Vec<u64> { plain.iter().copied().filter(|position| *position >= at).collect() };
    assert_eq!(sorted("all"), plain);
    assert_eq!(sorted("now"), from(100));
    assert_eq!(sorted("from"), from(90));
    assert_eq!(sorted("time"), from(60));
    let odd: Vec<u64> = plain.iter().copied().filter(|at| *at >= 100 || at % 2 == 1).collect();
    assert_eq!(sorted("odd"), odd);
    assert_eq!(sorted("own").len(), 6, "each creation is told");
    for name in ["all", "odd", "time"] {
        assert_in_order(&world.got(name), name);
    }
}

#[test]
fn one_that_lags_catches_up_and_a_later_one_starts_anywhere() {
    let world = World::new();
    for at in 0..2_000 {
        world.record("a", at % 50);
    }
    world.create("first", r#""start":"beginning""#);
    world.flow(10, "the first is done", || world.is_idle("first"));
    world.router().pause("first", "test", &me()).unwrap();
    for at in 0..30_000 {
        world.record("a", at % 50);
    }
    world.create("second", r#""start":{"position":500}"#);
    world.create("third", "");
    world.record("a", 1);
    world.flow(10, "the others go on", || world.is_idle("second") && world.is_idle("third"));
    assert_eq!(world.delivered("first").len(), 2_000, "paused");
    assert!(world.overview("first").lag_events > 30_000);
    world.router().resume("first", &me()).unwrap();
    world.flow(10, "the first catches up", || world.is_idle("first"));
    assert_eq!(world.delivered("first").len(), 32_001);
    assert_eq!(world.delivered("second").len(), 31_501);
    assert_eq!(world.delivered("third").len(), 1);
    for name in ["first", "second"] {
        assert_in_order(&world.got(name), name);
    }
}

#[test]
fn three_hundred_patterns_get_each_their_own() {
    let mut world = World::new();
    for at in 0..300 {
        let pattern =
            format!(r#""start":"beginning","pattern":{{"data":{{"of":[{}],"k":[{}]}}}}"#, at % 100, at / 100);
        world.create(&format!("s{at}"), &pattern);
    }
    for at in 0..600 {
        world.record("a", (at / 100) % 3);
    }
    world.flow(10, "half is read", || world.delivered("s0").len() > 1);
    world.crash();
    let names: Vec<String> = (0..300).map(|at| format!("s{at}")).collect();
    world.flow(20, "all are read", || {
        world.router().overviews().unwrap().iter().all(|seen| seen.lag_events == 0)
    });
    let mut got: HashMap<String, std::collections::BTreeSet<u64>> = HashMap::new();
    for one in lock(&world.post.got).iter() {
        got.entry(one.handler.clone()).or_default().insert(one.position);
    }
    let book = lock(&world.ledger.book);
    for (at, name) in names.iter().enumerate() {
        let is_its =
            |event: &serde_json::Value| event["data"]["of"] == at % 100 && event["data"]["k"] == at / 100;
        let wanted = book.events.iter().filter(|event| is_its(&serde_json::from_slice(&event.json).unwrap()));
        let wanted: std::collections::BTreeSet<u64> = wanted.map(|event| event.position.0).collect();
        assert_eq!(got.get(name).cloned().unwrap_or_default(), wanted, "{name}");
        assert!(!wanted.is_empty());
    }
}

#[test]
fn dead_letters_about_dead_letters_are_kept_and_told_no_further() {
    let world = World::new();
    let loops = r#""pattern":{"type":["a","waag.dead-letter.recorded"]},"on_failure":"skip""#;
    let names = ["one", "two", "three"];
    for name in names {
        world.create(name, loops);
        world.script(name, |_| Act::Fail(Class::Terminal));
    }
    world.record("a", 1);
    // Each tells of the one event, and gives up what all three told.
    world.flow(50, "all is given up", || names.iter().all(|name| world.overview(name).dead_letters == 4));
    for _ in 0..20 {
        world.pass(100);
        world.turns();
    }
    assert_eq!(world.notices("waag.dead-letter.recorded").len(), 3);
    assert!(names.iter().all(|name| world.letters(name).len() == 4 && world.is_idle(name)));
    assert_eq!(world.router().figures().too_deep, 0);
}

#[test]
fn a_changed_pattern_counts_from_then_on_also_after_a_crash() {
    let mut world = World::new();
    world.create("s", r#""pattern":{"type":["a"]}"#);
    world.script("s", |_| Act::Hang);
    // One of each is under way, behind each waits another.
    for kind in ["a", "b", "a", "b"] {
        world.record(kind, 1);
    }
    world.until("one is under way", || world.got("s").len() == 1);
    world.until("all is read", || world.overview("s").unread_events == 0);
    let altered = spec("s", r#""pattern":{"type":["b"]}"#);
    world.router().alter(altered, &me()).unwrap();
    world.record("a", 1);
    let last = world.record("b", 1);
    world.until("the new are read", || world.overview("s").unread_events == 0);
    world.crash();
    world.script("s", |_| Act::Deliver);
    world.flow(10, "all is delivered", || world.is_idle("s"));
    let firsts: Vec<u64> = {
        let book = lock(&world.ledger.book);
        book.events.iter().filter(|event| &*event.kind == "a").map(|event| event.position.0).take(2).collect()
    };
    assert_eq!(
        world.delivered("s"),
        vec![firsts[0], firsts[1], last],
        "what was read before is owed by the old pattern"
    );
}

#[test]
fn a_changed_key_keeps_the_order_of_what_was_read() {
    let mut world = World::new();
    world.create("s", "");
    world.script("s", |_| Act::Hang);
    for _ in 0..3 {
        world.record("a", 1);
    }
    world.until("it is under way", || {
        world.overview("s").unread_events == 0 && world.overview("s").under_way == 1
    });
    world.router().alter(spec("s", r#""key":"none""#), &me()).unwrap();
    world.crash();
    world.script("s", |_| Act::Hang);
    world.turns();
    world.turns();
    let under_way = world.overview("s").under_way;
    assert_eq!(under_way, 1, "events that were read keep the key they had");
}

#[test]
fn what_no_form_allows_is_refused_at_the_door() {
    let world = World::new();
    let mut idle = spec("idle", "");
    idle.concurrency = 0;
    let refused = world.router().create(idle, None, &me());
    assert!(matches!(refused, Err(RouterError::Spec(_))), "{refused:?}");
    let mut loud = spec("loud", "");
    loud.name = "Not a name".to_owned();
    assert!(world.router().create(loud, None, &me()).is_err());
    let gone: Spec =
        Spec { target: TargetSpec::InProcess { handler: "nowhere".to_owned() }, ..spec("gone", "") };
    assert_eq!(world.router().create(gone, None, &me()).unwrap_err().code(), "E1139");
    world.create("fine", "");
    assert_eq!(world.router().create(spec("fine", ""), None, &me()).unwrap_err().code(), "E1132");
    assert_eq!(world.router().detail("other").unwrap_err().code(), "E1131");
}
