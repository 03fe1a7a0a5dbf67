//! How long an acknowledgement takes at 10,000 events a second, offered in an open loop.
//!
//! Events arrive by the clock, ten every millisecond, whether or not the ones before are acknowledged; each is timed
//! from the instant it was due, so that a stall counts for everyone it delays (no coordinated omission).

use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use waag_engine::effect::NotTaken;
use waag_fixtures::workload::{Shape, Workload};
use waag_model::ids::Actor;
use waag_stdx::clock::SystemClock;

use crate::events::{Events, dictionary};
use crate::measure::{median, percentile};
use crate::probe::sync_times;
use crate::rig::{Folders, Rig, create, registry};

const EVENTS_PER_S: usize = 10_000;
const BATCH: usize = 10;
const SECONDS: usize = 8;

pub(crate) fn run(folder: &Path, runs: usize) -> anyhow::Result<()> {
    println!(
        "acknowledgement at {EVENTS_PER_S} events/s, open loop, {BATCH} every millisecond, {SECONDS} s a run, guard included"
    );
    let shape = Shape::default();
    let dictionary = dictionary(&shape)?;
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    for number in 0..runs {
        let store = folder.join("latency");
        drop(std::fs::remove_dir_all(&store));
        let folders = Folders::below(&store);
        create(&folders)?;
        let rig = Rig::open(&folders, registry(&dictionary)?)?;
        let events =
            Events::take(&mut Workload::new(2 + number as u64, shape.clone()), EVENTS_PER_S * SECONDS);
        let before = sync_times(folder, 16_384)?;
        let times = offer(&rig, &events)?;
        let after = sync_times(folder, 16_384)?;
        let (half, most) = (percentile(&times, 0.5), percentile(&times, 0.99));
        println!(
            "  run {number}: p50 {half:.2} ms, p99 {most:.2} ms, max {:.2} ms; disk's own 16 KiB sync p99 {:.2} ms before, {:.2} after",
            percentile(&times, 1.0),
            before.p99_ms,
            after.p99_ms
        );
        p50.push(half);
        p99.push(most);
    }
    println!("median: p50 {:.2} ms, p99 {:.2} ms", median(&p50), median(&p99));
    Ok(())
}

/// Sorted times from due to acknowledged, in milliseconds, one per batch.
fn offer(rig: &Rig, events: &Events) -> anyhow::Result<Vec<f64>> {
    let batches = events.batches(BATCH);
    let (actor, clock) = (Actor::new("bench")?, SystemClock::new());
    let (sender, waiting) = sync_channel::<(Instant, waag_engine::runtime::Pending)>(batches.len());
    std::thread::scope(|scope| {
        let collector = scope.spawn(move || {
            let mut times = Vec::new();
            for (due, pending) in waiting {
                pending.wait()?;
                times.push(due.elapsed().as_secs_f64() * 1e3);
            }
            times.sort_by(f64::total_cmp);
            anyhow::Ok(times)
        });
        let start = Instant::now();
        let apart = Duration::from_micros(1_000_000 * BATCH as u64 / EVENTS_PER_S as u64);
        for (number, lines) in (0u32..).zip(&batches) {
            let due = start + apart * number;
            if let Some(early) = due.checked_duration_since(Instant::now()) {
                std::thread::sleep(early);
            }
            // Too much is waiting: the sender tries again, and its events go on being late.
            let mut batch = rig.seal(&actor, lines, &clock)?;
            let pending = loop {
                match rig.writer.submit(batch) {
                    Err(NotTaken::Busy(again)) => batch = again,
                    other => break other?,
                }
                std::thread::sleep(Duration::from_micros(200));
            };
            sender.send((due, pending)).map_err(|_| anyhow!("the collector has ended"))?;
        }
        drop(sender);
        collector.join().map_err(|_| anyhow!("the collector has ended"))?
    })
}
