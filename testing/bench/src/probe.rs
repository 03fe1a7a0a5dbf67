//! What the disk itself can do, in the same run: a figure without it says nothing of another machine.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;

use crate::measure::percentile;

/// Times of one write and sync, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SyncTimes {
    pub(crate) bytes: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

fn fresh(path: &Path, zeros: usize) -> anyhow::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
    let block = vec![0; 1 << 20];
    let mut at = 0;
    while at < zeros {
        let piece = block.get(..(zeros - at).min(block.len())).unwrap_or_default();
        file.write_all_at(piece, at as u64)?;
        at += piece.len();
    }
    file.sync_all()?;
    Ok(file)
}

/// Writes and syncs pieces of `bytes` one after another into a file that was zero-filled and synced before.
pub(crate) fn sync_times(folder: &Path, bytes: usize) -> anyhow::Result<SyncTimes> {
    const WRITES: usize = 200;
    let path = folder.join("probe");
    let file = fresh(&path, bytes * WRITES)?;
    let piece: Vec<u8> = (0..bytes).map(|i| u8::try_from(i % 251).unwrap_or(0)).collect();
    let mut times = Vec::with_capacity(WRITES);
    for write in 0..WRITES {
        let start = Instant::now();
        file.write_all_at(&piece, (write * bytes) as u64)?;
        file.sync_data()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    drop(file);
    std::fs::remove_file(&path).context("the probe's file")?;
    times.sort_by(f64::total_cmp);
    Ok(SyncTimes { bytes, p50_ms: percentile(&times, 0.5), p99_ms: percentile(&times, 0.99) })
}

/// Seconds to write and sync the given frames one after another into prepared space: the floor under any log.
pub(crate) fn plain_append(folder: &Path, frames: &[Vec<u8>]) -> anyhow::Result<f64> {
    let path = folder.join("plain");
    let file = fresh(&path, frames.iter().map(Vec::len).sum())?;
    let start = Instant::now();
    let mut at = 0;
    for frame in frames {
        file.write_all_at(frame, at)?;
        file.sync_data()?;
        at += frame.len() as u64;
    }
    let seconds = start.elapsed().as_secs_f64();
    drop(file);
    std::fs::remove_file(&path).context("the plain file")?;
    Ok(seconds)
}
