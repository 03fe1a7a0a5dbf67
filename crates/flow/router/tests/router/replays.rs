//! Spans that are delivered again.

use std::collections::BTreeSet;

use waag_router::shown::{Filter, JobState, ReplayAsked};
use waag_router::target::Class;

use crate::world::{Act, Dice, World, assert_in_order, lock, me};

fn asked(from: u64, to: u64) -> ReplayAsked {
    ReplayAsked { from: Some(from), to: Some(to), rate: Some(0), ..ReplayAsked::default() }
}

fn ended(world: &World, number: u32) -> bool {
    world.router().job(number).unwrap().state != JobState::Running
}

/// Positions of a replay, as they came first.
fn replayed(world: &World, number: u32) -> Vec<u64> {
    let mut seen = BTreeSet::new();
    let got = world.got("s");
    let of = got.iter().filter(|got| got.replay == Some(number) && got.act == Act::Deliver);
    of.map(|got| got.position).filter(|at| seen.insert(*at)).collect()
}

#[test]
fn a_span_comes_again_marked_beside_what_is_new() {
    let world = World::new();
    world.create("s", "");
    for at in 0..300 {
        world.record(if at % 3 == 0 { "a" } else { "b" }, at % 7);
    }
    world.flow(10, "all are there", || world.is_idle("s"));
    let before = lock(&world.ledger.book).events.len();
    let pattern = Some(serde_json::from_str(r#"{"type":["a"]}"#).unwrap());
    let job = world.router().replay("s", ReplayAsked { pattern, ..asked(50, 250) }, &me()).unwrap();
    let new: Vec<u64> = (0..20).map(|at| world.record("b", at % 7)).collect();
    world.flow(10, "it ends", || ended(&world, job.number) && world.is_idle("s"));
    let wanted: Vec<u64> = {
        let book = lock(&world.ledger.book);
        book.events[50..250]
            .iter()
            .filter(|event| &*event.kind == "a")
            .map(|event| event.position.0)
            .collect()
    };
    let mut came = replayed(&world, job.number);
    let got: Vec<_> = world.got("s").into_iter().filter(|got| got.replay.is_some()).collect();
    assert_in_order(&got, "replayed");
    came.sort_unstable();
    assert_eq!(came, wanted);
    assert!(new.iter().all(|at| world.delivered("s").contains(at)));
    let shown = world.router().job(job.number).unwrap();
    assert_eq!((shown.state, shown.done, shown.total), (JobState::Done, 200, 200));
    world.flow(10, "its end is told", || world.notices("waag.delivery-job.ended").len() == 1);
    assert_eq!(
        lock(&world.ledger.book).events.len(),
        before + new.len() + 2,
        "begun and ended, nothing more"
    );
    let told = &world.notices("waag.delivery-job.ended")[0].data;
    assert_eq!((told["done"].as_u64(), told["total"].as_u64()), (Some(200), Some(200)));
    for (from, to) in [(5, 5), (9, 3), (0, 100_000)] {
        assert_eq!(world.router().replay("s", asked(from, to), &me()).unwrap_err().code(), "E1138");
    }
}

#[test]
fn what_it_gives_up_are_dead_letters_each_once() {
    for policy in ["park", "skip"] {
        let mut world = World::new();
        world.create("s", &format!(r#""on_failure":"{policy}""#));
        world.script("s", |delivery| {
            let is_bad = delivery.event.position.0 % 5 == 0 || delivery.replay.is_some();
            if is_bad { Act::Fail(Class::Terminal) } else { Act::Deliver }
        });
        for at in 0..50 {
            world.record("a", at);
        }
        world.flow(10, "bad ones are dead letters", || {
            world.overview("s").dead_letters == 10 && world.overview("s").lag_events == 0
        });
        for _ in 0..2 {
            let job = world.router().replay("s", asked(1, 51), &me()).unwrap();
            world.flow(10, "it ends", || ended(&world, job.number));
            let stored = world.letters("s");
            let positions: BTreeSet<u64> = stored.iter().map(|letter| letter.position).collect();
            assert_eq!((stored.len(), positions.len()), (50, 50), "{policy}: each position once");
            assert_eq!(world.overview("s").dead_letters, 50, "{policy}");
        }
        world.crash();
        assert_eq!(world.overview("s").dead_letters, 50);
        world.script("s", |_| Act::Deliver);
        let job = world.router().redrive("s", Filter::default(), 0, "", &me()).unwrap();
        world.flow(20, "all are redriven", || ended(&world, job.number));
        assert_eq!((job.total, world.router().job(job.number).unwrap().done), (50, 50), "{policy}");
        assert_eq!((world.overview("s").dead_letters, world.letters("s").len()), (0, 0), "{policy}");
    }
}

#[test]
fn the_live_lane_gives_up_what_a_replay_gave_up_before() {
    for policy in ["park", "skip"] {
        let world = World::new();
        for at in 0..10 {
            world.record("a", at);
        }
        world.script(
            "s",
            |delivery| if delivery.replay.is_some() { Act::Fail(Class::Terminal) } else { Act::Hang },
        );
        world.create("s", &format!(r#""start":"beginning","on_failure":"{policy}""#));
        world.until("live ones are under way", || world.overview("s").under_way == 10);
        let job = world.router().replay("s", asked(0, 10), &me()).unwrap();
        world.flow(10, "it ends", || ended(&world, job.number));
        assert_eq!(world.overview("s").dead_letters, 10);
        let hanging = std::mem::take(&mut *lock(&world.post.hanging));
        for (_, reply) in hanging {
            let failure = waag_router::target::Failure::new(Class::Terminal, "E1161", "no");
            reply.give(waag_router::target::Outcome::Failed(failure));
        }
        world.flow(10, "live ones are given up", || world.overview("s").under_way == 0);
        assert_eq!((world.overview("s").dead_letters, world.letters("s").len()), (10, 10), "{policy}");
    }
}

#[test]
fn a_crash_in_the_middle_goes_on_from_there() {
    let mut crashes = 0;
    for seed in 0..25 {
        let mut dice = Dice(seed);
        let mut world = World::new();
        world.create(
            "s",
            r#""on_failure":"park","retry":{"attempts_max":3,"delay_ms_min":10,"delay_ms_max":20}"#,
        );
        for _ in 0..150 {
            world.record("a", dice.below(9));
        }
        world.flow(20, "all are there", || world.is_idle("s"));
        let mut flaky = Dice(seed + 1_000);
        world.script("s", move |delivery| match (delivery.replay, flaky.below(12)) {
            (Some(_), 0) => Act::Fail(Class::Terminal),
            (Some(_), 1 | 2) => Act::Fail(Class::Transient),
            _ => Act::Deliver,
        });
        let rate = if seed % 2 == 0 { 0 } else { 400 };
        let job =
            world.router().replay("s", ReplayAsked { rate: Some(rate), ..asked(10, 140) }, &me()).unwrap();
        for _ in 0..3 {
            world.gate.die_after(dice.below(5), dice.below(2) == 0);
            world.record("a", dice.below(9));
            world.comes(1 + dice.below(40), || world.gate.is_dead() || ended(&world, job.number));
            world.crash();
        }
        world.flow(20, "it ends", || ended(&world, job.number) && world.is_idle("s"));
        let came: BTreeSet<u64> = replayed(&world, job.number).into_iter().collect();
        let left: BTreeSet<u64> = world.letters("s").iter().map(|letter| letter.position).collect();
        let lost: Vec<u64> = (10..140).filter(|at| !came.contains(at) && !left.contains(at)).collect();
        let plain = |at: &u64| {
            !lock(&world.ledger.book).events[usize::try_from(*at).unwrap()].kind.starts_with("waag.")
        };
        assert!(!lost.iter().any(plain), "seed {seed}: {lost:?}");
        assert_eq!(world.overview("s").dead_letters, left.len() as u64, "seed {seed}");
        crashes += world.crashes;
        world.flow(10, "its lane leaves nothing", || world.records_of(1) == left.len() + 1);
    }
    println!("25 replays, {crashes} crashes");
}

#[test]
fn ending_it_leaves_nothing_behind() {
    let mut world = World::new();
    world.create("s", "");
    for at in 0..500 {
        world.record("a", at % 90);
    }
    world.flow(20, "all are there", || world.is_idle("s"));
    world.script(
        "s",
        |delivery| if delivery.replay.is_some() { Act::Fail(Class::Transient) } else { Act::Deliver },
    );
    let job = world.router().replay("s", asked(0, 400), &me()).unwrap();
    world.flow(20, "some wait", || world.records_of(1) > 10);
    assert_eq!(world.router().cancel(job.number, &me()).unwrap().state, JobState::Cancelled);
    if world.records_of(1) > 1 {
        world.crash();
    }
    world.flow(20, "nothing is left but the cursor", || world.records_of(1) == 1);
    assert_eq!(world.router().job(job.number).unwrap().state, JobState::Cancelled);
}

#[test]
fn damage_in_a_replayed_span_holds_up_nobody_else() {
    let world = World::new();
    world.create("s", "");
    for at in 0..100 {
        world.record("a", at % 9);
    }
    world.flow(20, "all are there", || world.is_idle("s"));
    lock(&world.ledger.book).bad = Some(20..21);
    let job = world.router().replay("s", asked(0, 50), &me()).unwrap();
    world.turns();
    for round in 0..5 {
        let new = world.record("a", round);
        world.until("a new one comes while the old ones cannot be read", || {
            world.delivered("s").contains(&new)
        });
    }
    lock(&world.ledger.book).bad = None;
    world.flow(50, "it ends", || ended(&world, job.number));
    assert_eq!(replayed(&world, job.number).len(), 49);
}
