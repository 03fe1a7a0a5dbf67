//! `bench evidence scrub`: what the background's reading costs those who record.
//!
//! Two stores, one after another on the same events: one whose scrubber runs at its default rate, as `waag` opens a store,
//! and one without. Which goes first changes from pair to pair, so that a disk or a machine that slows down takes from both.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use waag::store::init::init;
use waag::store::options::{Options as StoreOptions, SCRUB_BYTES_PER_S};
use waag::store::place::Place;
use waag::store::writer::open_writer;
use waag_entry::codec::Dictionary;
use waag_fixtures::workload::{KINDS, SCHEMA, Shape, Workload};
use waag_model::ids::{Actor, TenantName};

use crate::events::{Events, dictionary};
use crate::measure::{cpu_by_thread, median, spent};
use crate::rig::feed;
use crate::scratch::Scratch;

const BATCH: usize = 500;
const OUTSTANDING: usize = 8;
const SEALERS: usize = 2;
/// What the scrubber may take of the throughput, as a share.
const COST_BAR: f64 = 0.05;

struct Options {
    events: usize,
    pairs: usize,
    folder: PathBuf,
}

/// One store filled.
struct Filled {
    events_per_s: f64,
    seconds: f64,
    scrubbed_bytes: u64,
    scrub_cpu: Duration,
}

pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let folder = std::env::current_dir()?.join("target/bench-scrub");
    let mut options = Options { events: 1_000_000, pairs: 5, folder };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let value = rest.next().with_context(|| format!("`{argument}` needs a value"))?;
        match *argument {
            "--events" => options.events = value.parse()?,
            "--pairs" => options.pairs = value.parse()?,
            "--folder" => options.folder = value.into(),
            other => anyhow::bail!("unknown argument `{other}`"),
        }
    }
    ensure!(options.pairs > 0 && options.events >= BATCH * 10, "there are pairs, and events to record");
    let shape = Shape::default();
    let dictionary = dictionary(&shape)?;
    println!(
        "{} pairs of stores, {} events each, batches of {BATCH}, {OUTSTANDING} outstanding, {SEALERS} sealing threads; \
         the scrubber at its default rate of {} MiB/s, or off",
        options.pairs,
        options.events,
        SCRUB_BYTES_PER_S >> 20,
    );
    let (mut ratios, mut shares) = (Vec::new(), Vec::new());
    for pair in 0..options.pairs {
        let events = Events::take(&mut Workload::new(501 + pair as u64, shape.clone()), options.events);
        let fill = |rate| filled(&options, &events, &dictionary, rate);
        let (with, without) = if pair.is_multiple_of(2) {
            let with = fill(SCRUB_BYTES_PER_S)?;
            (with, fill(0)?)
        } else {
            let without = fill(0)?;
            (fill(SCRUB_BYTES_PER_S)?, without)
        };
        ensure!(with.scrubbed_bytes > 0 && without.scrubbed_bytes == 0, "the scrubber ran where it should");
        let ratio = with.events_per_s / without.events_per_s;
        let share = with.scrub_cpu.as_secs_f64() / with.seconds;
        println!(
            "  pair {}: with {:.0} events/s, without {:.0}, ratio {ratio:.3}; {:.1} MiB/s read again, {:.2} % of a core",
            pair + 1,
            with.events_per_s,
            without.events_per_s,
            with.scrubbed_bytes as f64 / with.seconds / f64::from(1 << 20),
            share * 100.0,
        );
        ratios.push(ratio);
        shares.push(share);
    }
    let cost = 1.0 - median(&ratios);
    let held = if cost <= COST_BAR { "holds" } else { "is missed" };
    println!(
        "  bar: at most {:.0} % of the throughput: {:.1} % (median of the pairs; {:.2} % of a core), {held}",
        COST_BAR * 100.0,
        cost * 100.0,
        median(&shares) * 100.0,
    );
    Ok(())
}

fn filled(
    options: &Options,
    events: &Events,
    dictionary: &Dictionary,
    scrub_bytes_per_s: u64,
) -> anyhow::Result<Filled> {
    let scratch = Scratch::new(&options.folder)?;
    let place = Place::new(&scratch.path().join("data"), None, TenantName::new("bench")?)?;
    let opening = StoreOptions { scrub_bytes_per_s, ..StoreOptions::default() };
    init(&place, "bench", &opening)?;
    let store = open_writer(&place, &opening, &mut |_, _| {})?;
    let actor = Actor::new("bench")?;
    for kind in KINDS {
        store.register_schema(&actor, kind, SCHEMA.as_bytes(), Some(dictionary.bytes()))?;
    }
    let batches = events.batches(BATCH);
    let (warm, measured) = batches.split_at(batches.len() / 10);
    feed(&store.sealer, &store.writer, warm, SEALERS, OUTSTANDING)?;
    let (cpu, scrubbed) = (cpu_by_thread(None), store.scrubbed());
    let began = Instant::now();
    let fed = feed(&store.sealer, &store.writer, measured, SEALERS, OUTSTANDING)?;
    let seconds = began.elapsed().as_secs_f64();
    let scrub_cpu = spent(&cpu, &cpu_by_thread(None)).get("waag-scrub").copied().unwrap_or_default();
    let after = store.scrubbed();
    ensure!(after.faults.is_empty() && after.failures == 0, "the scrubber found nothing wrong");
    ensure!(
        fed.recorded == measured.iter().map(Vec::len).sum::<usize>() as u64,
        "every event is recorded once"
    );
    Ok(Filled {
        events_per_s: fed.recorded as f64 / seconds,
        seconds,
        scrubbed_bytes: after.bytes.saturating_sub(scrubbed.bytes),
        scrub_cpu,
    })
}
