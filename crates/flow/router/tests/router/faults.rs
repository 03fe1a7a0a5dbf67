//! The ledger, its writer and the state fail for a while, or for good.

use waag_router::router::Router;
use waag_router::shown::{Filter, ReplayAsked};
use waag_router::target::Class;

use crate::world::{Act, World, lock, me, spec};

#[test]
fn a_ledger_that_cannot_be_read_is_tried_again() {
    let world = World::new();
    world.create("s", "");
    lock(&world.ledger.book).bad = Some(0..u64::MAX);
    for at in 0..50 {
        world.record("a", at % 5);
    }
    for _ in 0..5 {
        world.pass(300);
        world.turns();
    }
    let reads = lock(&world.ledger.book).reads;
    assert!(reads < 20, "{reads} reads: it is left alone between");
    assert!(world.got("s").is_empty());
    lock(&world.ledger.book).bad = None;
    world.flow(100, "all come", || world.is_idle("s") && world.delivered("s").len() == 50);
}

#[test]
fn a_writer_that_fails_is_told_again_and_each_is_recorded_once() {
    let mut world = World::new();
    world.create("s", r#""on_failure":"skip""#);
    world.script("s", |_| Act::Fail(Class::Terminal));
    lock(&world.ledger.book).refuses = true;
    for at in 0..30 {
        world.record("a", at);
    }
    world.flow(20, "all are given up", || world.overview("s").dead_letters == 30);
    // Reading and delivering go on meanwhile, without the clock having to go on.
    let new = world.record("a", 99);
    world.until("a new one comes", || world.got("s").iter().any(|got| got.position == new));
    assert!(world.notices("waag.dead-letter.recorded").is_empty());
    world.pass(200);
    world.turns();
    world.crash();
    {
        let mut book = lock(&world.ledger.book);
        (book.refuses, book.lies) = (false, true);
    }
    world.flow(200, "all are recorded, though not known", || {
        world.notices("waag.dead-letter.recorded").len() == 31
    });
    world.crash();
    lock(&world.ledger.book).lies = false;
    let is_owed = |world: &World| {
        world.records.model().records.keys().any(|(_, key)| key.len() == 17 && key[8] == b'o')
    };
    world.flow(200, "nothing is owed any more", || !is_owed(&world));
    assert_eq!(world.notices("waag.dead-letter.recorded").len(), 31, "each once");
    assert!(lock(&world.ledger.book).told.values().any(|times| *times > 1), "told again by its id");
}

#[test]
fn recording_before_the_crash_and_forgetting_after_it_records_once() {
    for commits in 0..4 {
        let mut world = World::new();
        world.create("s", r#""on_failure":"skip""#);
        world.script("s", |_| Act::Fail(Class::Terminal));
        world.flow(20, "its creation is told", || !world.notices("waag.subscription.created").is_empty());
        world.record("a", 1);
        world.gate.die_after(commits, commits % 2 == 0);
        world.comes(60, || world.gate.is_dead());
        world.crash();
        world.flow(60, "it is told", || {
            world.notices("waag.dead-letter.recorded").len() == 1 && world.is_idle("s")
        });
        for _ in 0..3 {
            world.pass(1_500);
            world.turns();
        }
        // Given up before the commit that the crash took: given up again, at another time, which is another event.
        assert!(world.notices("waag.dead-letter.recorded").len() <= 2);
        assert_eq!(world.overview("s").dead_letters, 1);
    }
}

type Call = Box<dyn Fn(&Router) -> Option<&'static str>>;

#[test]
fn a_state_that_fails_stops_everything_and_says_so() {
    let mut world = World::new();
    world.create("s", "");
    world.create("p", r#""target":{"kind":"pull"}"#);
    world.record("a", 1);
    world.flow(20, "one comes", || world.delivered("s").len() == 1);
    world.create("fails", "");
    world.script("fails", |_| Act::Fail(Class::Transient));
    world.record("a", 2);
    world.until("it is to be tried again", || world.overview("fails").waiting_keys == 1);
    world.gate.die();
    world.record("a", 1);
    world.flow(50, "it notices", || world.router().overviews().is_err());
    let before = world.got("s").len();
    for _ in 0..5 {
        world.record("a", 1);
        world.pass(2_000);
        world.turns();
    }
    assert_eq!(world.got("s").len(), before, "nothing more is delivered");
    world.pass(3_600_000);
    let looks = || world.clock.1.load(std::sync::atomic::Ordering::SeqCst);
    let looked = looks();
    std::thread::sleep(std::time::Duration::from_millis(60));
    assert!(looks() - looked < 200, "it does not spin although something is due");
    let code = |error: waag_router::error::RouterError| Some(error.code());
    let calls: Vec<Call> = vec![
        Box::new(move |router| router.overviews().err().and_then(code)),
        Box::new(move |router| router.detail("s").err().and_then(code)),
        Box::new(move |router| router.create(spec("t", ""), None, &me()).err().and_then(code)),
        Box::new(move |router| router.alter(spec("s", ""), &me()).err().and_then(code)),
        Box::new(move |router| router.remove("s", "why", &me()).err().and_then(code)),
        Box::new(move |router| router.pause("s", "why", &me()).err().and_then(code)),
        Box::new(move |router| router.resume("s", &me()).err().and_then(code)),
        Box::new(move |router| router.rotate_secret("s", None, &me()).err().and_then(code)),
        Box::new(move |router| router.dead_letters("s", &Filter::default(), None, 5).err().and_then(code)),
        Box::new(move |router| router.redrive("s", Filter::default(), 0, "", &me()).err().and_then(code)),
        Box::new(move |router| router.discard("s", Filter::default(), "why", &me()).err().and_then(code)),
        Box::new(move |router| router.replay("s", ReplayAsked::default(), &me()).err().and_then(code)),
        Box::new(move |router| router.answer("p", Vec::new()).err().and_then(code)),
    ];
    for (at, call) in calls.iter().enumerate() {
        assert_eq!(call(world.router()), Some("E1143"), "call {at}");
    }
    let (sender, answer) = std::sync::mpsc::sync_channel(1);
    let wait = std::time::Duration::from_secs(9);
    let then = move |leased: Result<Vec<_>, _>| {
        let _ = sender.send(leased.err().map(|error: waag_router::error::RouterError| error.code()));
    };
    world.router().pull("p", 1, wait, Box::new(then));
    assert_eq!(answer.recv_timeout(wait).unwrap(), Some("E1143"));
    world.crash();
    world.flow(20, "it goes on", || world.is_idle("s") && world.delivered("s").len() == 8);
}
