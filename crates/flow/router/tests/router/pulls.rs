//! Leases: given once, answered once, in time and in the run that gave them.

use std::sync::mpsc::sync_channel;
use std::time::Duration;

use waag_router::shown::{LeaseAnswer, Leased};

use crate::world::{World, me};

const PULL: &str = r#""target":{"kind":"pull"},"timeout_ms":1000,"retry":{"attempts_max":3,"delay_ms_min":10,"delay_ms_max":10}"#;

fn pull(world: &World, most: usize) -> Vec<Leased> {
    let (sender, answer) = sync_channel(1);
    world.router().pull("s", most, Duration::ZERO, Box::new(move |leased| drop(sender.send(leased))));
    answer.recv_timeout(Duration::from_secs(5)).unwrap().unwrap()
}

/// Pulls until there is something; the clock goes 5 ms each time.
fn some(world: &World, most: usize) -> Vec<Leased> {
    let mut leased = Vec::new();
    world.flow(5, "there is something to lease", || {
        leased = pull(world, most);
        !leased.is_empty()
    });
    leased
}

fn answer(world: &World, answer: LeaseAnswer) -> Result<(), &'static str> {
    world.router().answer("s", vec![answer]).unwrap().remove(0).map_err(|error| error.code())
}

fn ack(leased: &Leased) -> LeaseAnswer {
    LeaseAnswer::Acknowledge { lease: leased.lease.clone() }
}

fn reject(leased: &Leased, terminal: bool, retry_after_ms: Option<u64>) -> LeaseAnswer {
    LeaseAnswer::Reject { lease: leased.lease.clone(), terminal, retry_after_ms, reason: "no".to_owned() }
}

#[test]
fn a_lease_is_answered_once_in_time_and_in_this_run() {
    let mut world = World::new();
    world.create("s", PULL);
    for key in [1, 1, 2] {
        world.record("a", key);
    }
    world.until("all is read", || world.overview("s").unread_events == 0);
    let first = some(&world, 10);
    assert_eq!(first.iter().map(|leased| leased.position).collect::<Vec<_>>(), vec![1, 3], "one of a key");
    assert_eq!(answer(&world, ack(&first[0])), Ok(()));
    assert_eq!(answer(&world, ack(&first[0])), Err("E1134"), "twice");
    // Extended once, then too late.
    world.pass(800);
    assert_eq!(answer(&world, LeaseAnswer::Extend { lease: first[1].lease.clone() }), Ok(()));
    world.pass(800);
    world.turns();
    let second = pull(&world, 10);
    assert_eq!(second.iter().map(|leased| leased.position).collect::<Vec<_>>(), vec![2], "still leased");
    world.pass(201);
    world.turns();
    assert_eq!(answer(&world, ack(&first[1])), Err("E1134"), "late");
    assert_eq!(answer(&world, LeaseAnswer::Extend { lease: first[1].lease.clone() }), Err("E1134"));
    let again = some(&world, 10);
    assert_eq!((again[0].position, again[0].attempt), (3, 2));
    for wrong in ["", "1", "1-0-zz", "ffffffffffffffffff-0-1", "1-0-1-1"] {
        assert_eq!(answer(&world, LeaseAnswer::Extend { lease: wrong.to_owned() }), Err("E1134"), "{wrong}");
    }
    world.crash();
    assert_eq!(answer(&world, ack(&second[0])), Err("E1134"), "of an earlier run");
    let anew = some(&world, 1);
    assert_eq!(anew.len(), 1);
    assert_eq!(answer(&world, ack(&anew[0])), Ok(()));
    assert_eq!(world.router().answer("t", Vec::new()).unwrap_err().code(), "E1131");
    world.create("t", "");
    assert_eq!(world.router().answer("t", Vec::new()).unwrap_err().code(), "E1135");
}

#[test]
fn rejected_ones_wait_as_asked_or_are_dead_letters() {
    let world = World::new();
    world.create("s", PULL);
    world.record("a", 1);
    let leased = some(&world, 1);
    assert_eq!(answer(&world, reject(&leased[0], false, Some(5_000))), Ok(()));
    world.pass(4_990);
    world.turns();
    assert!(pull(&world, 1).is_empty(), "not before it asked for");
    world.pass(11);
    let leased = some(&world, 1);
    assert_eq!(leased[0].attempt, 2);
    assert_eq!(answer(&world, reject(&leased[0], true, None)), Ok(()));
    assert_eq!(world.letters("s").len(), 1);
    assert_eq!(world.letters("s")[0].failure.code, "E1149");
}

#[test]
fn a_long_pull_is_answered_when_something_comes_or_at_its_end() {
    let world = World::new();
    world.create("s", PULL);
    let (sender, answers) = sync_channel(4);
    let ask = |ms: u64| {
        let sender = sender.clone();
        let then = Box::new(move |leased: Result<Vec<Leased>, _>| {
            let _ = sender.send(leased.unwrap().len());
        });
        world.router().pull("s", 1, Duration::from_millis(ms), then);
    };
    ask(10_000);
    world.turns();
    assert!(answers.try_recv().is_err());
    world.record("a", 1);
    world.router().wake();
    assert_eq!(answers.recv_timeout(Duration::from_secs(5)).unwrap(), 1);
    ask(10_000);
    world.turns();
    world.pass(9_000);
    world.turns();
    // The lease of the first has run out meanwhile, and its event goes again.
    world.pass(50);
    world.turns();
    assert_eq!(answers.recv_timeout(Duration::from_secs(5)).unwrap(), 1);
    ask(500);
    world.turns();
    world.pass(501);
    assert_eq!(answers.recv_timeout(Duration::from_secs(5)).unwrap(), 0);
    // A pull whose subscriber is gone: its lease runs out like any other.
    world.pass(1_001);
    world.router().pull("s", 1, Duration::from_secs(60), Box::new(drop));
    world.turns();
    world.pass(2_000);
    world.turns();
    assert_eq!(world.router().pause("s", " ", &me()).unwrap_err().code(), "E1141");
    world.router().pause("s", "why", &me()).unwrap();
    assert!(pull(&world, 1).is_empty(), "paused");
    world.router().resume("s", &me()).unwrap();
    world.flow(50, "it is given up in the end", || {
        world.letters("s").len() == 1 || !pull(&world, 1).is_empty()
    });
}

#[test]
fn a_pull_of_what_is_removed_is_answered() {
    let world = World::new();
    world.create("s", PULL);
    let (sender, answers) = sync_channel(1);
    let then =
        Box::new(move |leased: Result<Vec<Leased>, _>| drop(sender.send(leased.map(|leased| leased.len()))));
    world.router().pull("s", 1, Duration::from_secs(50), then);
    world.turns();
    world.router().remove("s", "gone", &me()).unwrap();
    let answered = answers.recv_timeout(Duration::from_millis(500));
    assert_eq!(answered.unwrap().unwrap_err().code(), "E1131", "nobody waits for what is no more");
}
