//! Dead letters that are tried again: in order, at a rate, over crashes.

use std::collections::BTreeSet;
use std::time::Duration;

use waag_router::shown::{Filter, JobShown, JobState, ReplayAsked};
use waag_router::target::Class;
use waag_stdx::clock::Clock;

use crate::world::{Act, Dice, World, assert_in_order, me};

/// How many ends of a process the test of redrives goes through at least.
const CRASHES_MIN: u64 = 200;

fn terminal(world: &World, name: &str) {
    world.script(name, |_| Act::Fail(Class::Terminal));
}

fn done(world: &World, number: u32) -> JobShown {
    world.flow(20, "the job is done", || world.router().job(number).unwrap().state != JobState::Running);
    world.router().job(number).unwrap()
}

/// A world with so many dead letters of the subscription `s`, one of each key.
fn with_letters(many: u64, more: &str) -> World {
    let world = World::new();
    world.create("s", more);
    terminal(&world, "s");
    for key in 0..many {
        world.record(if key % 2 == 0 { "even" } else { "odd" }, key);
    }
    world.flow(20, "all are dead letters", || world.overview("s").dead_letters == many);
    world.script("s", |_| Act::Deliver);
    world
}

#[test]
fn one_some_and_all_are_as_many_as_were_counted() {
    let world = with_letters(60, r#""on_failure":"skip""#);
    let filters = [
        Filter::one(world.letters("s")[7].position),
        Filter { kind: Some("ev".to_owned()), ..Filter::default() },
        Filter { key: Some(world.letters("s")[5].key.clone()), ..Filter::default() },
        Filter { code: Some("E9999".to_owned()), ..Filter::default() },
        Filter::default(),
    ];
    let mut left = 60;
    for filter in filters {
        let counted = world.router().count_dead_letters("s", &filter).unwrap();
        let job = world.router().redrive("s", filter.clone(), 0, "why not", &me());
        if counted == 0 {
            assert_eq!(job.unwrap_err().code(), "E1140");
            continue;
        }
        let job = job.unwrap();
        let ended = done(&world, job.number);
        assert_eq!((job.total, ended.done, ended.succeeded), (counted, counted, counted), "{filter:?}");
        left -= counted;
        assert_eq!((world.overview("s").dead_letters, world.letters("s").len() as u64), (left, left));
    }
    assert_eq!((left, world.delivered("s").len()), (0, 60));
    world.flow(20, "each job is told", || {
        let told = |kind| world.notices(kind).len() == 4;
        told("waag.delivery-job.started") && told("waag.delivery-job.ended")
    });
}

#[test]
fn a_redriven_one_goes_before_what_waited_for_it() {
    let world = World::new();
    world.create("s", "");
    terminal(&world, "s");
    for at in 0..200 {
        world.record("a", at % 4);
    }
    world.flow(20, "each key is parked", || {
        world.overview("s").parked_keys == 4 && world.overview("s").under_way == 0
    });
    world.script("s", |_| Act::Deliver);
    let job = world.router().redrive("s", Filter::default(), 0, "", &me()).unwrap();
    let ended = done(&world, job.number);
    assert_eq!((ended.total, ended.done), (4, 4));
    world.flow(20, "all are delivered", || world.is_idle("s") && world.delivered("s").len() == 200);
    assert_in_order(&world.got("s"), "redriven");
}

#[test]
fn no_more_a_second_than_was_asked_for() {
    let world = with_letters(100, r#""on_failure":"skip""#);
    let before = world.clock.monotonic();
    let job = world.router().redrive("s", Filter::default(), 20, "", &me()).unwrap();
    world.flow(5, "they come", || world.delivered("s").len() == 100);
    let took = world.clock.monotonic().saturating_sub(before);
    assert!(took >= Duration::from_millis(4_800), "{took:?} for 100 at 20 a second");
    // The clock runs on while a thread waits for a core, so that one may come later than it was sent, and none earlier.
    let mut came: Vec<Duration> =
        world.got("s").iter().filter(|got| got.act == Act::Deliver).map(|got| got.at).collect();
    came.sort_unstable();
    for (number, at) in (1_u32..).zip(came) {
        let earliest = before.saturating_add(Duration::from_millis(50) * number);
        assert!(at >= earliest, "the {number}th at {at:?}, where 20 a second begin at {before:?}");
    }
    assert_eq!(done(&world, job.number).done, 100);
}

#[test]
fn looking_for_few_among_many_is_not_held_to_the_rate() {
    let world = with_letters(3_000, r#""on_failure":"skip""#);
    let before = world.clock.monotonic();
    let key: String = crate::world::tag(2_999).iter().map(|byte| format!("{byte:02x}")).collect();
    let few = Filter { key: Some(key), ..Filter::default() };
    let job = world.router().redrive("s", few, 2, "", &me()).unwrap();
    assert_eq!(job.total, 1);
    assert_eq!(done(&world, job.number).done, 1);
    let took = world.clock.monotonic().saturating_sub(before);
    assert!(took < Duration::from_secs(5), "{took:?} to find one of 3,000");
}

#[test]
fn ending_it_in_the_middle_loses_nothing() {
    let mut world = with_letters(100, "");
    let job = world.router().redrive("s", Filter::default(), 50, "", &me()).unwrap();
    // Each step of the clock lets four or five go, whatever thread waits for a core: at most 55 in all.
    for step in 1..=11 {
        world.pass(90);
        world.until("some come", || world.delivered("s").len() >= 2 * step);
    }
    assert_eq!(world.router().redrive("s", Filter::default(), 0, "", &me()).unwrap_err().code(), "E1137");
    let ended = world.router().cancel(job.number, &me()).unwrap();
    assert_eq!(ended.state, JobState::Cancelled);
    for _ in 0..3 {
        world.pass(500);
        world.turns();
    }
    world.flow(20, "each is delivered or still a dead letter", || {
        world.letters("s").len() + world.delivered("s").len() == 100
    });
    assert!(world.delivered("s").len() < 60);
    world.crash();
    assert_eq!(world.router().job(job.number).unwrap().state, JobState::Cancelled);
    assert_eq!(world.letters("s").len() as u64, world.overview("s").dead_letters);
    let again = world.router().redrive("s", Filter::default(), 0, "", &me()).unwrap();
    assert_eq!(done(&world, again.number).done, again.total);
    assert_eq!(world.delivered("s").len(), 100);
}

#[test]
fn a_replays_dead_letter_ends_its_redrive_wherever_the_live_lane_is() {
    let world = World::new();
    for _ in 0..3 {
        world.record("a", 1);
    }
    world.script(
        "s",
        |delivery| if delivery.replay.is_some() { Act::Fail(Class::Terminal) } else { Act::Hang },
    );
    world.create("s", r#""start":"beginning""#);
    world.until("live ones are under way", || world.overview("s").under_way == 1);
    let replay = world.router().replay("s", ReplayAsked::default(), &me()).unwrap();
    done(&world, replay.number);
    let letters = world.letters("s").len() as u64;
    assert!(letters >= 3);
    assert_eq!(world.overview("s").dead_letters, letters);
    world.script("s", |_| Act::Deliver);
    let job = world.router().redrive("s", Filter::default(), 0, "", &me()).unwrap();
    crate::world::lock(&world.post.hanging).clear();
    let ended = done(&world, job.number);
    assert_eq!(ended.done, ended.total);
    world.flow(20, "live ones go on", || world.is_idle("s"));
    assert_eq!(world.overview("s").dead_letters, world.letters("s").len() as u64);
}

/// A world with dead letters, and what its script is to be then: some fail for good, and some fail once.
fn before_the_redrive(dice: &mut Dice, policy: &str) -> World {
    let world = World::new();
    let retry = r#""retry":{"attempts_max":3,"delay_ms_min":10,"delay_ms_max":20}"#;
    world.create("s", &format!(r#""on_failure":"{policy}","concurrency":3,{retry}"#));
    let bad: BTreeSet<u64> = (0..40).filter(|_| dice.below(3) == 0).map(|at| at + 1).collect();
    let first = bad.clone();
    world.script("s", move |delivery| {
        if first.contains(&delivery.event.position.0) { Act::Fail(Class::Terminal) } else { Act::Deliver }
    });
    for _ in 0..40 {
        world.record("a", dice.below(6));
    }
    world.flow(20, "it settles", || world.is_idle("s"));
    let still: BTreeSet<u64> = bad.iter().copied().filter(|_| dice.below(5) == 0).collect();
    let mut once: BTreeSet<u64> = bad.iter().copied().filter(|_| dice.below(4) == 0).collect();
    world.script("s", move |delivery| {
        let at = delivery.event.position.0;
        if still.contains(&at) {
            Act::Fail(Class::Terminal)
        } else if once.remove(&at) {
            Act::Fail(Class::Transient)
        } else {
            Act::Deliver
        }
    });
    world
}

/// One life: dead letters, a redrive, and the end of the process at random commits.
fn life(seed: u64) -> (u64, u64) {
    let mut dice = Dice(seed);
    let policy = if seed.is_multiple_of(2) { "park" } else { "skip" };
    let mut world = before_the_redrive(&mut dice, policy);
    let letters: BTreeSet<u64> = world.letters("s").iter().map(|letter| letter.position).collect();
    let before = world.got("s").len();
    let rate = if dice.below(2) == 0 { 0 } else { 100 };
    let redrive = |world: &World| world.router().redrive("s", Filter::default(), rate, "", &me());
    world.gate.die_after(dice.below(7), dice.below(2) == 0);
    let mut asked = redrive(&world);
    let is_over = |world: &World| {
        world.gate.is_dead()
            || world.router().jobs().unwrap().iter().all(|job| job.state != JobState::Running)
    };
    for _ in 0..1 + dice.below(3) {
        world.flow(1 + dice.below(60), "an end", || is_over(&world));
        world.crash();
        world.gate.die_after(dice.below(9), dice.below(2) == 0);
    }
    world.crash();
    if asked.is_err() {
        // It was stored and not answered, or not stored.
        let stored = world.router().jobs().unwrap().into_iter().next();
        asked = stored.map_or_else(|| redrive(&world), Ok);
    }
    let ended = done(&world, asked.unwrap().number);
    assert_eq!(ended.state, JobState::Done, "seed {seed}");
    assert_eq!(ended.done, ended.total, "seed {seed}: {ended:?}");
    assert_eq!(ended.succeeded + ended.failed + ended.waits, ended.done, "seed {seed}");
    world.flow(20, "it settles", || world.is_idle("s"));
    let left: BTreeSet<u64> = world.letters("s").iter().map(|letter| letter.position).collect();
    let got: BTreeSet<u64> = world.delivered("s").into_iter().collect();
    for position in &letters {
        assert!(left.contains(position) || got.contains(position), "seed {seed}: {position} is lost");
    }
    assert_eq!(world.overview("s").dead_letters, left.len() as u64, "seed {seed}");
    assert_eq!(world.letters_stored().get(&1).map_or(0, Vec::len), left.len(), "seed {seed}");
    let mut sure = world.got("s");
    if policy == "skip" {
        // Newer ones have passed them by: they are in order among each other.
        sure = sure.split_off(before);
        sure.retain(|got| letters.contains(&got.position) && !left.contains(&got.position));
    }
    assert_in_order(&sure, &format!("seed {seed}"));
    (world.crashes, letters.len() as u64)
}

#[test]
fn a_crash_at_any_commit_of_a_redrive_is_made_good() {
    let (mut seeds, mut crashes, mut letters) = (0, 0, 0);
    while crashes < CRASHES_MIN {
        let (more, many) = life(seeds);
        (seeds, crashes, letters) = (seeds + 1, crashes + more, letters + many);
    }
    println!("{seeds} redrives, {crashes} crashes, {letters} dead letters");
    assert!(letters > seeds * 5);
}
