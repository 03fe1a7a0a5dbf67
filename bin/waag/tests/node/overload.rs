//! Ten times what a node takes: who is one too many is told so and when to come again, memory stays bounded, and it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use waag::node::api_keys::{Asked, carry_out, load};
use waag::node::doors::{Doors, Where};
use waag::node::{NodeOptions, Running};
use waag::store::place::Place;
use waag_http::intake::IntakeLimits;
use waag_http::keys::Role;
use waag_model::ids::{Actor, TenantName};

use crate::common::Folder;
use crate::support::{BATCH, invoice, post, report};

/// Connections that send all the time: together their requests are four times what the queue holds.
const CONNECTIONS: u64 = 64;
/// Events of a request, about a quarter of a megabyte.
const EVENTS: u64 = 1_000;
const QUEUE_BYTES: usize = 4 * 1_024 * 1_024;
/// Connections while it is measured what the node takes: enough that it never waits for one.
const STEADY: u64 = 4;
const STEADY_TIME: Duration = Duration::from_secs(4);
const FLOOD_TIME: Duration = Duration::from_secs(6);
/// How many times what it takes it is sent.
const TIMES: f64 = 10.0;
/// How much of that must have been sent in time; the senders share the machine with the node.
const SENT_MIN: f64 = 0.9;
/// How much more memory this process may have had than before, in KiB: the senders' own bodies included, and far less than
/// what all requests would need if they were kept.
const GROWTH_KIB_MAX: u64 = 256 * 1_024;

/// The most memory that this process ever had, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// What the senders of one phase came to.
#[derive(Default, Debug)]
struct Sent {
    /// Requests that were acknowledged.
    taken: AtomicU64,
    /// Requests that were told to come again later.
    away: AtomicU64,
}

/// Sends requests on some connections until a time has passed: as fast as they are answered, or so many a second in all,
/// whatever the answers. Whoever is turned away sends the same again, as a client should, only sooner than it is told to.
fn send(to: SocketAddr, key: &str, name: &str, connections: u64, time: Duration, rate: Option<f64>) -> Sent {
    let (sent, turn, begun) = (Sent::default(), AtomicU64::new(0), Instant::now());
    std::thread::scope(|scope| {
        for connection in 0..connections {
            let (sent, turn) = (&sent, &turn);
            scope.spawn(move || {
                let body = |round: u64| {
                    let id = |n| format!("{name}-{connection}-{round}-{n}");
                    let events: Vec<String> =
                        (0..EVENTS).map(|n| invoice(&id(n), "ingestion", &id(n))).collect();
                    format!("[{}]", events.join(","))
                };
                let (mut round, mut request) = (0, body(0));
                loop {
                    let number = u32::try_from(turn.fetch_add(1, Ordering::Relaxed)).unwrap();
                    let due =
                        rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(f64::from(number) / rate));
                    if due.max(begun.elapsed()) >= time {
                        return;
                    }
                    std::thread::sleep(due.saturating_sub(begun.elapsed()));
                    let answer = post(to, key, BATCH, &request).unwrap();
                    match answer.status {
                        200 => {
                            sent.taken.fetch_add(1, Ordering::Relaxed);
                            round += 1;
                            request = body(round);
                        }
                        429 | 503 => {
                            assert!(answer.head.contains("\r\nretry-after: "), "{answer:?}");
                            sent.away.fetch_add(1, Ordering::Relaxed);
                        }
                        _ => panic!("{answer:?}"),
                    }
                }
            });
        }
    });
    sent
}

#[test]
fn ten_times_what_a_node_takes_is_turned_away_and_nothing_acknowledged_is_lost() {
    let folder = Folder::with_store();
    let place = Place::new(&folder.path("waag-data"), None, TenantName::new("default").unwrap()).unwrap();
    let intake = IntakeLimits { queue_bytes_max: QUEUE_BYTES, sealing_threads: 1, ..IntakeLimits::default() };
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
        subscriptions: Vec::new(),
    };
    let made = carry_out(running.store(), &keys, &asked).unwrap();
    let key = made[0].key.clone().unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let at = Where::plain(any, any);
    let doors = Doors::open(Arc::clone(&running), Arc::clone(&keys), &at).unwrap();
    let (to, before) = (doors.listen(), peak_kib());
    let phase = |name, connections, time, rate| {
        let begun = Instant::now();
        let sent = send(to, &key, name, connections, time, rate);
        let (taken, away) = (sent.taken.into_inner(), sent.away.into_inner());
        let seconds = begun.elapsed().as_secs_f64();
        println!(
            "{name}: {connections} connections, {seconds:.1} s, {taken} requests taken, {away} turned away"
        );
        (taken, away, seconds)
    };
    let (steady, none, seconds) = phase("steady", STEADY, STEADY_TIME, None);
    assert_eq!(none, 0, "a load that waits for its answers is never too much");
    let takes = steady as f64 / seconds;
    // What was sent in that time; the answers to the last of it come later.
    let (flooded, away, _) = phase("flood", CONNECTIONS, FLOOD_TIME, Some(TIMES * takes));
    let offered = (flooded + away) as f64 / FLOOD_TIME.as_secs_f64();
    let (recovered, none_after, seconds) = phase("after", STEADY, STEADY_TIME / 2, None);
    // Where others came to use the machine meanwhile, it takes less than before.
    let takes = takes.min(recovered as f64 / seconds);
    println!("takes {takes:.1} requests/s, was offered {offered:.1}");
    assert!(offered >= SENT_MIN * TIMES * takes, "it was sent {offered:.1}/s, and takes {takes:.1}");
    assert!(away > 0, "it was never too much");
    assert!(flooded > 0, "it still takes what it can");
    let grown = peak_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB");
    assert_eq!(none_after, 0, "it recovers");
    assert!(recovered > 0);
    drop(doors);
    drop(running);
    let taken = (steady + flooded + recovered) * EVENTS;
    assert_eq!(report(&folder)["cases"].as_u64(), Some(taken), "exactly what was acknowledged is there");
}
