//! `bench core`: what one event costs from JSON to a guarded acknowledgement, and what verification and opening take.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use waag_cloudevents::read_event;
use waag_fixtures::workload::{Shape, Workload};
use waag_log::contract::EventLog as _;
use waag_model::ids::Position;

use crate::events::{Events, dictionary};
use crate::measure::{cpu_by_thread, median, spent};
use crate::primitives::{self, REFERENCE_US};
use crate::probe::{plain_append, sync_times};
use crate::rig::{Folders, Rig, create, registry};
use crate::scratch::Scratch;
use crate::{latency, opening, verify};

const BATCH: usize = 500;
const OUTSTANDING: usize = 8;
/// What a frame of the throughput run usually has, in bytes.
const USUAL_FRAME_BYTES: usize = 288 * 1024;
const SEALERS: usize = 2;

struct Options {
    events: usize,
    open_events: u64,
    runs: usize,
    folder: PathBuf,
}

pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let mut options = Options {
        events: 600_000,
        open_events: 10_000_000,
        runs: 5,
        folder: std::env::current_dir()?.join("target/bench-store"),
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match *argument {
            "--quick" => (options.events, options.runs, options.open_events) = (100_000, 1, 300_000),
            "--folder" => options.folder = rest.next().context("--folder needs a folder")?.into(),
            other => anyhow::bail!("unknown argument `{other}`"),
        }
    }
    let _scratch = Scratch::new(&options.folder)?;
    throughput(&options)?;
    latency::run(&options.folder, options.runs)?;
    verify::run(&options.folder, options.events, options.runs)?;
    opening::run(&options.folder, options.open_events)
}

struct Run {
    events_per_s: f64,
    plain_events_per_s: f64,
    cpu_us: f64,
    by_thread: BTreeMap<String, Duration>,
    frames: usize,
    frame_bytes: usize,
}

fn throughput(options: &Options) -> anyhow::Result<()> {
    let shape = Shape::default();
    let dictionary = dictionary(&shape)?;
    let mut runs = Vec::new();
    let (mut parse_us, mut primitives_us) = (Vec::new(), Vec::new());
    for number in 0..options.runs {
        // Each run has a store of its own, so its persons are new to it as the workload says, and no others.
        let mut workload = Workload::new(1 + number as u64, shape.clone());
        let events = Events::take(&mut workload, options.events);
        if number == 0 {
            println!(
                "batches of {BATCH}, {OUTSTANDING} outstanding, {SEALERS} sealing threads, {} events a run, {} bytes \
                 each, {} of them incompressible, codec 1",
                events.len(),
                events.mean_bytes(),
                workload.incompressible_bytes()
            );
        }
        parse_us.push(parse_cost(&events)?);
        let bare = primitives::cost(&events, SEALERS)?;
        primitives_us.push(bare);
        let run = one_run(&options.folder, &events, &dictionary)?;
        println!(
            "  run {number}: {:.0} events/s, plain append and sync {:.0}, ratio {:.2}, {:.2} us CPU/event, {} frames of {} KiB",
            run.events_per_s,
            run.plain_events_per_s,
            run.events_per_s / run.plain_events_per_s,
            run.cpu_us,
            run.frames,
            run.frame_bytes / 1024
        );
        for (name, cpu) in &run.by_thread {
            if cpu.as_secs_f64() / events.len() as f64 > 1e-8 {
                println!("      {name:<14} {:.2} us", cpu.as_secs_f64() * 1e6 / events.len() as f64);
            }
        }
        runs.push(run);
    }
    let figure = |of: &dyn Fn(&Run) -> f64| median(&runs.iter().map(of).collect::<Vec<_>>());
    println!(
        "median: {:.0} events/s, {:.2} of plain, {:.2} us CPU/event (reading JSON {:.2})",
        figure(&|run| run.events_per_s),
        figure(&|run| run.events_per_s / run.plain_events_per_s),
        figure(&|run| run.cpu_us),
        median(&parse_us)
    );
    let bare = median(&primitives_us);
    println!(
        "bare primitives of one event, {SEALERS} threads at once, here and now: {bare:.2} us, {:.2} x the {REFERENCE_US:.2} us \
         of the machine the target was set on; by that measure {:.2} us CPU/event there",
        bare / REFERENCE_US,
        figure(&|run| run.cpu_us) * REFERENCE_US / bare
    );
    Ok(())
}

fn parse_cost(events: &Events) -> anyhow::Result<f64> {
    let start = Instant::now();
    for line in events.lines() {
        std::hint::black_box(read_event(line).map_err(|refusal| anyhow::anyhow!("{refusal}"))?);
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / events.len() as f64)
}

/// Prints what a write and sync of so many bytes takes on this disk by itself, just now.
fn tell_syncs(when: &str, folder: &Path, bytes: usize) -> anyhow::Result<()> {
    let probe = sync_times(folder, bytes)?;
    println!(
        "  disk {when}: write and sync of {} KiB p50 {:.2} ms p99 {:.2} ms",
        probe.bytes / 1024,
        probe.p50_ms,
        probe.p99_ms
    );
    Ok(())
}

fn one_run(
    folder: &Path,
    events: &Events,
    dictionary: &waag_entry::codec::Dictionary,
) -> anyhow::Result<Run> {
    // How large its frames will be is known behind the run; before it, the usual size stands for them.
    tell_syncs("before", folder, USUAL_FRAME_BYTES)?;
    let store = folder.join("run");
    drop(std::fs::remove_dir_all(&store));
    let folders = Folders::below(&store);
    create(&folders)?;
    let rig = Rig::open(&folders, registry(dictionary)?)?;
    let batches = events.batches(BATCH);
    let (warm, measured) = batches.split_at(batches.len() / 10);
    rig.feed(warm, SEALERS, OUTSTANDING)?;
    let before = cpu_by_thread(None);
    let start = Instant::now();
    let fed = rig.feed(measured, SEALERS, OUTSTANDING)?;
    let seconds = start.elapsed().as_secs_f64();
    let mut by_thread = spent(&before, &cpu_by_thread(None));
    by_thread.insert("read and seal".to_owned(), fed.cpu);
    let recorded = fed.recorded;
    anyhow::ensure!(
        recorded == measured.iter().map(Vec::len).sum::<usize>() as u64,
        "every event is recorded once"
    );
    let mut frames = Vec::new();
    rig.log.read(Position(0), &mut |view| {
        frames.push(vec![0xa5; view.header().frame_bytes()]);
        ControlFlow::Continue(())
    })?;
    let total_events = events.len() as f64;
    let plain = plain_append(folder, &frames)?;
    tell_syncs("after", folder, frames.iter().map(Vec::len).sum::<usize>() / frames.len().max(1))?;
    let cpu: Duration = by_thread.values().sum();
    Ok(Run {
        events_per_s: recorded as f64 / seconds,
        plain_events_per_s: total_events / plain,
        cpu_us: cpu.as_secs_f64() * 1e6 / recorded as f64,
        by_thread,
        frames: frames.len(),
        frame_bytes: frames.iter().map(Vec::len).sum::<usize>() / frames.len().max(1),
    })
}

/// Reads and seals on one thread, records nothing: where the time of a sealing thread goes.
pub(crate) fn seal_only(count: usize, rounds: usize) -> anyhow::Result<()> {
    let folder = std::env::current_dir()?.join("target/bench-store");
    drop(std::fs::remove_dir_all(&folder));
    let folders = Folders::below(&folder);
    create(&folders)?;
    let shape = Shape::default();
    let rig = Rig::open(&folders, registry(&dictionary(&shape)?)?)?;
    let events = Events::take(&mut Workload::new(1, shape), count);
    let (actor, clock) = (waag_model::ids::Actor::new("bench")?, waag_stdx::clock::SystemClock::new());
    let batches = events.batches(BATCH);
    let mut best = f64::INFINITY;
    for _ in 0..rounds {
        let start = Instant::now();
        for lines in &batches {
            std::hint::black_box(rig.seal(&actor, lines, &clock)?);
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e6 / events.len() as f64);
    }
    let parse = (0..rounds)
        .map(|_| parse_cost(&events))
        .try_fold(f64::INFINITY, |best, one| one.map(|one| best.min(one)))?;
    println!(
        "one thread, best of {rounds}: reading JSON {parse:.2} us, reading and sealing {best:.2} us an event"
    );
    Ok(())
}
