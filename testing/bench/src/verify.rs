//! How fast a whole store is verified: every byte, every link, every root; nothing is decrypted.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use waag_files::walk::RawFiles;
use waag_fixtures::workload::{Shape, Workload};
use waag_stdx::files::{DiskFiles, Files};

use crate::events::{Events, dictionary};
use crate::measure::{cpu_of_this_thread, median};
use crate::rig::{Folders, Rig, create, guard_of, registry};

pub(crate) fn run(folder: &Path, count: usize, runs: usize) -> anyhow::Result<()> {
    let store = folder.join("verify");
    drop(std::fs::remove_dir_all(&store));
    let folders = Folders::below(&store);
    create(&folders)?;
    // Longer notes, so that an entry has the 640 bytes the figure is stated for.
    let shape = Shape { note_bytes: 390, ..Shape::default() };
    let rig = Rig::open(&folders, registry(&dictionary(&shape)?)?)?;
    let events = Events::take(&mut Workload::new(3, shape), count);
    rig.feed(&events.batches(500), 2, 8)?;
    let ledger = rig.sealer.ledger();
    drop(rig);
    let guard = guard_of(&folders)?.context("a guard")?;
    let files: Arc<dyn Files> = Arc::new(DiskFiles::new(&folders.data));
    let walk = RawFiles::new(files, ledger);
    let check = |_: waag_model::ids::Position, bytes: &[u8]| {
        waag_entry::form::check(bytes).map_err(|e| e.to_string())
    };
    let mut rates = Vec::new();
    for number in 0..=runs {
        let (start, cpu) = (Instant::now(), cpu_of_this_thread());
        let report = waag_log::verify::verify(&walk, ledger, Some(&guard), &mut check.clone());
        anyhow::ensure!(report.verified() && report.entries == count as u64, "{report:?}");
        let seconds = start.elapsed().as_secs_f64();
        let rate = report.entries as f64 / seconds;
        if number == 0 {
            println!(
                "verification of {} entries, {} bytes each with everything around them, one thread, no decryption",
                report.entries,
                report.bytes / report.entries.max(1)
            );
        } else {
            let cpu = (cpu_of_this_thread() - cpu).as_secs_f64();
            println!(
                "  run {number}: {rate:.0} entries/s warm; {:.0} per second of CPU",
                report.entries as f64 / cpu
            );
            rates.push(rate);
        }
    }
    println!("median: {:.0} entries/s per core, warm cache", median(&rates));
    cold(&folders, &walk, ledger, &guard)?;
    std::fs::remove_dir_all(&store)?;
    Ok(())
}

/// Once more after the kernel was asked to forget the files (`dd … iflag=nocache`); without that right, it says so.
fn cold(
    folders: &Folders,
    walk: &RawFiles,
    ledger: waag_model::ids::LedgerId,
    guard: &waag_log::guard::GuardRecord,
) -> anyhow::Result<()> {
    for file in std::fs::read_dir(folders.data.join("log"))? {
        let input = format!("if={}", file?.path().display());
        std::process::Command::new("dd")
            .args([&input, "iflag=nocache", "count=0", "status=none"])
            .status()?;
    }
    let start = Instant::now();
    let report = waag_log::verify::verify(walk, ledger, Some(guard), &mut |_, bytes| {
        waag_entry::form::check(bytes).map_err(|error| error.to_string())
    });
    println!(
        "cold (page cache dropped for the segments): {:.0} entries/s",
        report.entries as f64 / start.elapsed().as_secs_f64()
    );
    Ok(())
}
