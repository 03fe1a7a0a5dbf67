//! How long a large store takes to open after SIGKILL, and how much memory its writer had needed.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context;
use waag_engine::identity::{IDENTITY_ENTRIES_MAX, IdentityLimits};
use waag_fixtures::workload::{Shape, Workload};

use crate::events::{Events, dictionary};
use crate::measure::{median, peak_memory};
use crate::rig::{Folders, Rig, create, registry};

/// Events made at a time, so that the generator's own memory stays out of the figure.
const CHUNK: usize = 20_000;

/// The child: records events until it is killed. Prints its progress for the parent.
pub(crate) fn fill(folder: &Path, count: u64) -> anyhow::Result<()> {
    let folders = Folders::below(folder);
    create(&folders)?;
    let shape = Shape::default();
    let rig = Rig::open(&folders, registry(&dictionary(&shape)?)?)?;
    let mut workload = Workload::new(4, shape);
    let mut recorded = 0;
    while recorded < count {
        let events = Events::take(&mut workload, CHUNK);
        recorded += rig.feed(&events.batches(500), 2, 8)?.recorded;
    }
    println!("filled {recorded} {}", peak_memory(None));
    // Stays under load until the parent kills it.
    loop {
        let events = Events::take(&mut workload, CHUNK);
        rig.feed(&events.batches(500), 2, 8)?;
    }
}

pub(crate) fn run(folder: &Path, count: u64) -> anyhow::Result<()> {
    let store = folder.join("opening");
    drop(std::fs::remove_dir_all(&store));
    std::fs::create_dir_all(&store)?;
    let mut child = Command::new(std::env::current_exe()?)
        .arg("fill")
        .arg(&store)
        .arg(count.to_string())
        .stdout(Stdio::piped())
        .spawn()?;
    let start = Instant::now();
    let mut line = String::new();
    let output = child.stdout.take().context("the child's output")?;
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line)?;
    let seconds = start.elapsed().as_secs_f64();
    let peak = peak_memory(Some(child.id()));
    std::thread::sleep(std::time::Duration::from_millis(500));
    child.kill()?;
    child.wait()?;
    anyhow::ensure!(line.starts_with("filled"), "the child ended early: {line}");
    let limits = IdentityLimits::default();
    println!(
        "peak resident memory while recording {count} events in {seconds:.0} s: {} MiB (generator and its {CHUNK} events included; \
         identity_entries_max {IDENTITY_ENTRIES_MAX}, window {} h, at most {} MiB at that bound)",
        peak >> 20,
        limits.window_ns / 3_600_000_000_000,
        limits.memory_bytes_max() >> 20
    );
    let folders = Folders::below(&store);
    let dictionary = dictionary(&Shape { note_bytes: 1, ..Shape::default() })?;
    let mut times = Vec::new();
    for _ in 0..5 {
        let registry = registry(&dictionary)?;
        let start = Instant::now();
        let rig = Rig::open(&folders, registry)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        let size = rig.writer.status().checkpoint.checkpoint().size;
        anyhow::ensure!(size >= count, "{size} of {count} entries");
    }
    let list = times.iter().map(|ms| format!("{ms:.0}")).collect::<Vec<_>>().join(", ");
    println!(
        "opening it after SIGKILL: median {:.0} ms (each: {list}; the first mends what the kill left)",
        median(&times)
    );
    std::fs::remove_dir_all(&store)?;
    Ok(())
}
