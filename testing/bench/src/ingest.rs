//! `bench ingest`: what a whole node takes over HTTP on loopback, its read models included, the client beside it.
//!
//! The node is `waag serve` itself, as it ships: schemas, identities, sealing, receipts, projection. It is a process of
//! its own, so that its CPU time is its own; its threads are told apart by their names. The client speaks raw HTTP/1.1
//! on one thread: it writes prepared requests and reads each answer to its end, and so takes as little of the machine as
//! a client can (`drive`).
//! A mode is `BATCHxPRODUCERS`: events in a request, and connections that each have one request under way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use waag_fixtures::workload::{Shape, Workload};

use crate::drive::{Sent, drive};
use crate::measure::{cpu_by_thread, median, peak_memory, percentile, spent};
use crate::node::Served;
use crate::probe::sync_times;
use crate::scratch::Scratch;

/// Longest wait for the read models after the last event, but for a long run ([`DRAIN_TIMES`]).
const DRAIN_MAX: Duration = Duration::from_secs(1_800);
/// A long run's wait is so many times as long as acknowledging took.
const DRAIN_TIMES: u32 = 10;
/// Parts of a run that are told apart, so that a slowing one is seen.
const PARTS: usize = 5;
/// What the threads of a node do, by the beginning of their names.
const STAGES: [(&str, &[&str]); 4] = [
    ("HTTP", &["waag", "waag-door", "waag-settle", "waag-access"]),
    ("read and seal", &["waag-seal"]),
    (
        "write and guard",
        &["waag-log", "waag-guard", "waag-keys", "waag-compare", "waag-follow", "waag-prepare"],
    ),
    ("project", &["waag-project", "waag-open"]),
];

struct Options {
    modes: String,
    events: usize,
    runs: usize,
    open_invoices: u64,
    folder: PathBuf,
}

impl Options {
    fn read(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut options = Self {
            modes: "1x64,500x4".to_owned(),
            events: 400_000,
            runs: 3,
            open_invoices: Shape::default().open_invoices,
            folder: std::env::current_dir()?.join("target/bench-ingest"),
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let value = rest.next().with_context(|| format!("`{argument}` needs a value"))?;
            match *argument {
                "--modes" => options.modes = (*value).to_owned(),
                "--events" => options.events = value.parse()?,
                "--runs" => options.runs = value.parse()?,
                "--open-invoices" => options.open_invoices = value.parse()?,
                "--folder" => options.folder = value.into(),
                other => anyhow::bail!("unknown argument `{other}`"),
            }
        }
        Ok(options)
    }
}

pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let options = Options::read(arguments)?;
    let shape = Shape { open_invoices: options.open_invoices, ..Shape::default() };
    println!(
        "waag serve over HTTP on loopback, client on the same machine ({} cores); {} events a run, {} invoices visited \
         at random, {} incompressible bytes in each event; disk: {}",
        std::thread::available_parallelism()?,
        options.events,
        options.open_invoices,
        Workload::new(0, shape.clone()).incompressible_bytes(),
        syncs(&options.folder)?,
    );
    for mode in options.modes.split(',') {
        let (batch, producers) = mode.split_once('x').context("a mode is BATCHxPRODUCERS")?;
        let (batch, producers): (usize, usize) = (batch.parse()?, producers.parse()?);
        let mut rates = Vec::new();
        for number in 0..options.runs {
            let _scratch = Scratch::new(&options.folder)?;
            let workload = Workload::new(77 + number as u64, shape.clone());
            println!("{mode}, run {} of {}", number + 1, options.runs);
            rates.push(one_run(&options, (batch, producers), workload)?);
        }
        println!("{mode}: median {:.0} events/s acknowledged", median(&rates));
    }
    let scratch = Scratch::new(&options.folder)?;
    println!("disk after the runs: {}", syncs(scratch.path())?);
    Ok(())
}

fn syncs(folder: &Path) -> anyhow::Result<String> {
    let times = sync_times(folder, 65_536)?;
    Ok(format!("{} bytes and sync p50 {:.2} ms, p99 {:.2} ms", times.bytes, times.p50_ms, times.p99_ms))
}

fn one_run(options: &Options, (batch, producers): (usize, usize), workload: Workload) -> anyhow::Result<f64> {
    let served = Served::start(&options.folder)?;
    let before = served.ledger()?;
    let cpu = cpu_by_thread(Some(served.pid()));
    let sent = drive(&served, workload, options.events, (batch, producers))?;
    let spent_taking = spent(&cpu, &cpu_by_thread(Some(served.pid())));
    let lag = served.ledger()?.lag();
    let peak_taking = peak_memory(Some(served.pid()));
    // Told before the rest is waited for, which takes many times as long in a long run.
    let rate = tell_sent(&sent, options.events);
    let events = options.events as f64;
    println!(
        "  until then: server CPU {:.2} s a million events, peak memory {} MiB; us an event by stage: {}",
        total(&spent_taking) * 1e6 / events,
        peak_taking >> 20,
        by_stage(&spent_taking, events)
    );
    let drained = Instant::now();
    let mut after = served.ledger()?;
    let drain_max = DRAIN_MAX.max(sent.took.saturating_mul(DRAIN_TIMES));
    while after.lag() > 0 {
        anyhow::ensure!(drained.elapsed() < drain_max, "the read models do not come to the end");
        std::thread::sleep(Duration::from_millis(20));
        after = served.ledger()?;
    }
    let drained = drained.elapsed().as_secs_f64();
    let recorded = after.entries - before.entries;
    anyhow::ensure!(recorded == options.events as u64, "{recorded} of {} events are there", options.events);
    let spent_all = spent(&cpu, &cpu_by_thread(Some(served.pid())));
    println!(
        "  projected {:.0} events/s, {lag} behind at the last acknowledgement, drained {drained:.1} s later",
        events / (sent.took.as_secs_f64() + drained)
    );
    println!(
        "  server CPU {:.2} s a million events until all was projected; us an event by stage: {}",
        total(&spent_all) * 1e6 / events,
        by_stage(&spent_all, events)
    );
    println!("  peak memory {} MiB at the end", peak_memory(Some(served.pid())) >> 20);
    served.end()?;
    Ok(rate)
}

/// Tells rate and latency; gives the rate.
fn tell_sent(sent: &Sent, events: usize) -> f64 {
    let rate = events as f64 / sent.took.as_secs_f64();
    let mut times: Vec<f64> = sent.answers.iter().map(|answer| answer.took.as_secs_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    println!(
        "  acknowledged {rate:.0} events/s, p50 {:.2} ms, p99 {:.2} ms a request; client CPU {:.1} us an event",
        percentile(&times, 0.5),
        percentile(&times, 0.99),
        sent.client_cpu.as_secs_f64() * 1e6 / events as f64,
    );
    let mut ends: Vec<f64> = sent.answers.iter().map(|answer| answer.at.as_secs_f64()).collect();
    ends.sort_by(f64::total_cmp);
    let part = ends.len() / PARTS;
    if part >= 100 {
        let mut from = 0.0;
        let rates: Vec<String> = (1..=PARTS)
            .filter_map(|number| ends.get(number * part - 1))
            .map(|end| {
                let rate = events as f64 / PARTS as f64 / (end - from);
                from = *end;
                format!("{rate:.0}")
            })
            .collect();
        println!("  by fifths of the run: {} events/s", rates.join(", "));
    }
    rate
}

fn total(spent: &BTreeMap<String, Duration>) -> f64 {
    spent.values().sum::<Duration>().as_secs_f64()
}

fn by_stage(spent: &BTreeMap<String, Duration>, events: f64) -> String {
    let stage_of = |thread: &str| STAGES.iter().position(|(_, names)| names.contains(&thread));
    let mut sums = [Duration::ZERO; STAGES.len()];
    let mut other = Duration::ZERO;
    for (thread, time) in spent {
        match stage_of(thread).and_then(|at| sums.get_mut(at)) {
            Some(sum) => *sum += *time,
            None => other += *time,
        }
    }
    let named = STAGES.iter().map(|(name, _)| *name).chain(["other"]);
    let parts = named.zip(sums.into_iter().chain([other]));
    let told = parts.map(|(name, time)| format!("{name} {:.1}", time.as_secs_f64() * 1e6 / events));
    told.collect::<Vec<_>>().join(", ")
}
