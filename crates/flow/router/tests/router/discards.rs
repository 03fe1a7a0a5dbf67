//! Dead letters that are given up by somebody, with a reason.

use std::collections::BTreeSet;

use waag_router::shown::{Filter, JobState};
use waag_router::target::Class;

use crate::world::{Act, World, me};

fn world(keys: u64, each: u64) -> World {
    let world = World::new();
    world.create("s", "");
    world.script("s", |_| Act::Fail(Class::Terminal));
    for at in 0..keys * each {
        world.record("a", at % keys);
    }
    world.flow(20, "each key is parked", || world.overview("s").parked_keys == keys);
    world
}

#[test]
fn a_reason_is_required_and_each_is_an_event() {
    let world = world(20, 2);
    for reason in ["", "  ", "\u{7}"] {
        assert_eq!(
            world.router().discard("s", Filter::default(), reason, &me()).unwrap_err().code(),
            "E1141"
        );
    }
    world.script("s", |_| Act::Deliver);
    let one = world.letters("s")[3].position;
    let job = world.router().discard("s", Filter::one(one), "wrong address", &me()).unwrap();
    world.flow(20, "it is done", || world.router().job(job.number).unwrap().state == JobState::Done);
    world.flow(20, "its key goes on", || {
        world.delivered("s").len() == 1 && world.overview("s").dead_letters == 19
    });
    let job = world.router().discard("s", Filter::default(), "all wrong", &me()).unwrap();
    world.flow(20, "all are done", || world.router().job(job.number).unwrap().state == JobState::Done);
    world.flow(20, "all go on", || {
        world.is_idle("s") && world.notices("waag.dead-letter.discarded").len() == 20
    });
    let told = world.notices("waag.dead-letter.discarded");
    let causes: BTreeSet<Option<u64>> = told.iter().map(|notice| notice.cause).collect();
    assert_eq!(causes.len(), 20);
    assert!(told.iter().all(|notice| notice.by.as_deref() == Some("tester") && notice.data["reason"] != ""));
    assert_eq!(world.delivered("s").len(), 20, "what was discarded is never delivered");
    assert_eq!((world.overview("s").dead_letters, world.overview("s").parked_keys), (0, 0));
}

#[test]
fn a_crash_in_the_middle_discards_the_rest_once() {
    let mut crashes = 0;
    for point in 0..8 {
        let mut world = world(1_200, 1);
        // Committed, so that the crash takes none of them.
        assert_eq!(world.letters("s").len(), 500);
        let discarded: BTreeSet<u64> = world.letters_stored()[&1].iter().copied().collect();
        world.script("s", |_| Act::Deliver);
        world.gate.die_after(point / 2, point % 2 == 0);
        let asked = world.router().discard("s", Filter::default(), "why", &me());
        world.comes(10, || world.gate.is_dead());
        world.crash();
        if asked.is_err() && world.router().jobs().unwrap().is_empty() {
            world.router().discard("s", Filter::default(), "why", &me()).unwrap();
        }
        world.flow(20, "all are gone", || world.letters_stored().is_empty());
        world.flow(20, "all are told", || world.notices("waag.dead-letter.discarded").len() == 1_200);
        world.flow(20, "it ends", || {
            world.router().jobs().unwrap().iter().all(|job| job.state == JobState::Done)
        });
        let job = &world.router().jobs().unwrap()[0];
        assert_eq!((job.done, job.total, world.overview("s").dead_letters), (1_200, 1_200, 0));
        world.crash();
        world.flow(20, "nothing is left", || world.is_idle("s"));
        assert!(
            world.delivered("s").iter().all(|at| !discarded.contains(at)),
            "a discarded one came after all"
        );
        crashes += world.crashes;
    }
    println!("{crashes} crashes");
}
