//! More than a node takes: who is one too many is told so and when to come again, memory stays bounded, and it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use waag::node::api_keys::{Asked, carry_out, load};
use waag::node::doors::{Doors, Where};
use waag::node::{NodeOptions, Running};
use waag::store::place::Place;
use waag_http::intake::IntakeLimits;
use waag_http::keys::Role;
use waag_model::ids::{Actor, TenantName};

use crate::common::Folder;
use crate::support::{BATCH, invoice, post, report};

const CONNECTIONS: u64 = 64;
const REQUESTS: u64 = 4;
const EVENTS: u64 = 200;
/// How much more memory this process may have had than before, in KiB: the senders' own bodies included, and far less than
/// what all requests would need if they were kept.
const GROWTH_KIB_MAX: u64 = 256 * 1_024;

/// The most memory that this process ever had, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_flood_of_large_batches_is_turned_away_and_nothing_acknowledged_is_lost() {
    let folder = Folder::with_store();
    let place = Place::new(&folder.path("waag-data"), None, TenantName::new("default").unwrap()).unwrap();
    let intake = IntakeLimits {
        queue_jobs_max: 4,
        queue_bytes_max: 512 * 1_024,
        sealing_threads: 1,
        ..IntakeLimits::default()
    };
    let options = NodeOptions { intake, ..NodeOptions::default() };
    let actor = Actor::new("test").unwrap();
    let running = Arc::new(Running::start(&place, &options, &actor, &mut |_, _| {}).unwrap());
    let keys = load(running.store()).unwrap();
    let asked = Asked::Create {
        by: "test".to_owned(),
        holder: "erp".to_owned(),
        role: Role::Producer,
        plan: "standard".to_owned(),
        expires: None,
    };
    let made = carry_out(running.store(), &keys, &asked).unwrap();
    let key = made[0].key.clone().unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let at = Where::plain(any, any);
    let doors = Doors::open(Arc::clone(&running), Arc::clone(&keys), &at).unwrap();
    let (to, before) = (doors.listen(), peak_kib());
    let (recorded, away) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let (key, recorded, away) = (&key, &recorded, &away);
            scope.spawn(move || {
                for request in 0..REQUESTS {
                    let id = |n| format!("{connection}-{request}-{n}");
                    let events: Vec<String> =
                        (0..EVENTS).map(|n| invoice(&id(n), "ingestion", &id(n))).collect();
                    let answer = post(to, key, BATCH, &format!("[{}]", events.join(","))).unwrap();
                    match answer.status {
                        200 => recorded.fetch_add(EVENTS, Ordering::Relaxed),
                        429 | 503 => {
                            assert!(answer.head.contains("\r\nretry-after: "), "{answer:?}");
                            away.fetch_add(1, Ordering::Relaxed)
                        }
                        _ => panic!("{answer:?}"),
                    };
                }
            });
        }
    });
    let grown = peak_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB");
    assert!(away.into_inner() > 0, "it was never too much");
    let last = invoice("last", "ingestion", "last");
    assert_eq!(post(to, &key, BATCH, &format!("[{last}]")).unwrap().status, 200, "it recovers");
    drop(doors);
    drop(running);
    assert_eq!(report(&folder)["cases"].as_u64(), Some(recorded.into_inner() + 1));
}
