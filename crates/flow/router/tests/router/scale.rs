//! Many subscriptions at a time, unoptimised: a guard against what grows with their square.

use std::time::Duration;

use waag_keys::state::{Change, Expect, State, Table};
use waag_stdx::clock::{Clock, SystemClock};

use crate::world::{World, lock};

const MANY: u32 = 2_000;
const EVERY: u32 = 50;
const EVENTS: u64 = 2_000;
/// Far more than it takes, so that a busy machine fails nobody.
const SECONDS_MAX: u64 = 40;

/// Puts copies of the first subscription into the state, as if they had been made: making them one by one takes a turn each.
fn copies(world: &World) {
    let of = |table: Table, key: &[u8]| world.records.get(table, key).unwrap().unwrap().value;
    let mut first = b"s".to_vec();
    first.extend_from_slice(&1_u32.to_be_bytes());
    let model: serde_json::Value = serde_json::from_slice(&of(Table::Subscription, &first)).unwrap();
    let lane = |number: u32| [number.to_be_bytes(), [0; 4]].concat();
    let cursor = of(Table::Cursor, &lane(1));
    let records: Vec<(Table, Vec<u8>, Vec<u8>)> = (2..=MANY + EVERY)
        .flat_map(|number| {
            let mut copy = model.clone();
            copy["number"] = number.into();
            copy["spec"]["name"] = format!("s{number}").into();
            copy["spec"]["target"]["handler"] = format!("s{number}").into();
            if number <= MANY {
                copy["spec"]["pattern"] = serde_json::json!({ "data": { "of": [number % 100] } });
            } else {
                copy["spec"].as_object_mut().unwrap().remove("pattern");
            }
            let key = [b"s".as_slice(), &number.to_be_bytes()].concat();
            let value = serde_json::to_vec(&copy).unwrap();
            [(Table::Subscription, key, value), (Table::Cursor, lane(number), cursor.clone())]
        })
        .collect();
    let changes: Vec<Change<'_>> = (records.iter())
        .map(|(table, key, value)| Change { table: *table, key, expect: Expect::Any, value: Some(value) })
        .collect();
    world.records.commit(&changes).unwrap();
}

#[test]
fn two_thousand_subscriptions_with_a_hundredth_each_and_fifty_with_all() {
    let clock = SystemClock::new();
    let mut world = World::new();
    world.create("s1", r#""pattern":{"data":{"of":[1]}}"#);
    world.crash();
    copies(&world);
    let load = clock.monotonic();
    world.crash();
    assert_eq!(world.router().figures().subscriptions, u64::from(MANY + EVERY));
    let begin = clock.monotonic();
    let load = begin.saturating_sub(load);
    for at in 0..EVENTS {
        world.record("a", at % 200);
    }
    let wanted = u64::from(MANY) * EVENTS / 100 + u64::from(EVERY) * EVENTS;
    let count = || lock(&world.post.got).len() as u64;
    while count() < wanted && clock.monotonic().saturating_sub(begin) < Duration::from_secs(SECONDS_MAX) {
        world.pass(1);
        std::thread::sleep(Duration::from_millis(2));
    }
    let took = clock.monotonic().saturating_sub(begin);
    world.turns();
    assert_eq!(count(), wanted);
    let idle = clock.monotonic();
    for _ in 0..20 {
        let _ = world.router().figures();
    }
    let turn = clock.monotonic().saturating_sub(idle) / 20;
    println!("started in {load:?}, {wanted} delivered in {took:?}, a turn that does nothing {turn:?}");
}
