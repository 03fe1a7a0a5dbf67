//! What appending costs beside a plain write and sync of the same bytes, and how fast a log is verified and opened.
//!
//! `cargo run --release -p waag-files --example log_bench -- FOLDER [ENTRIES]`

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a bench, run by hand"
)]

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use waag_files::config::LogConfig;
use waag_files::guard::FileGuard;
use waag_files::log::FilesLog;
use waag_files::walk::RawFiles;
use waag_ledger::hash::leaf_hash;
use waag_ledger::tree::Frontier;
use waag_log::conformance::Chain;
use waag_log::contract::EventLog;
use waag_log::frame::{Frame, push_entry};
use waag_log::guard::{Guard, GuardRecord};
use waag_log::verify::verify;
use waag_model::ids::{LedgerId, Position};
use waag_model::time::UtcNanos;
use waag_stdx::clock::{Clock, SystemClock};
use waag_stdx::files::{DiskFiles, Files};

const LEDGER: LedgerId = LedgerId(*b"benchmark ledger");
const BATCH: usize = 500;
const ENTRY_BYTES: usize = 640;

fn percentiles(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |p: usize| times[(times.len() - 1) * p / 1_000].as_secs_f64() * 1e3;
    let total: f64 = times.iter().map(Duration::as_secs_f64).sum();
    println!(
        "{what:<34} n {:>6}  p50 {:>7.3} ms  p99 {:>7.3}  p99.9 {:>7.3}  max {:>7.3}  sum {total:.2} s",
        times.len(),
        at(500),
        at(990),
        at(999),
        at(1_000),
    );
}

fn body(n: usize) -> Vec<u8> {
    let mut body = Vec::new();
    let mut entry = vec![0u8; ENTRY_BYTES];
    let mut x = n as u64 + 1;
    for _ in 0..BATCH {
        for chunk in entry.chunks_mut(8) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            chunk.copy_from_slice(&x.to_le_bytes()[..chunk.len()]);
        }
        push_entry(&mut body, &entry).unwrap();
    }
    body
}

/// The same bytes, in a file that is zero-filled before, without anything of ours.
fn plain(root: &Path, clock: &SystemClock, bytes: &[u8], frames: usize) -> Vec<Duration> {
    let path = root.join("plain");
    let file = OpenOptions::new().create(true).truncate(true).write(true).read(true).open(&path).unwrap();
    let zeros = vec![0u8; 1024 * 1024];
    let segment = 256 * 1024 * 1024u64;
    for at in (0..segment).step_by(zeros.len()) {
        file.write_all_at(&zeros, at).unwrap();
    }
    file.sync_data().unwrap();
    let mut times = Vec::new();
    let mut at = 0;
    for _ in 0..frames {
        if at + bytes.len() as u64 > segment {
            at = 0;
        }
        let start = clock.monotonic();
        file.write_all_at(bytes, at).unwrap();
        file.sync_data().unwrap();
        times.push(clock.monotonic() - start);
        at += bytes.len() as u64;
    }
    std::fs::remove_file(path).unwrap();
    times
}

fn fields(log: &FilesLog, tree: &Frontier) -> waag_log::frame::FrameFields {
    let tail = log.tail();
    waag_log::frame::FrameFields {
        ledger: LEDGER,
        epoch: waag_model::ids::Epoch(1),
        number: tail.next,
        commit_time: UtcNanos(tail.commit_time.0.max(0)).later_by(1),
        first: tail.position,
        previous: tail.header_hash,
        root: tree.root(),
    }
}

/// Opening when the guard's segment is full of the smallest frames: the most headers there are to follow.
fn open_worst(root: &Path, clock: &SystemClock) {
    let mut chain = Chain::new(LEDGER);
    let mut bytes = Vec::new();
    while bytes.len() < 256 * 1024 * 1024 - 4_096 {
        bytes.extend_from_slice(chain.next(&[&[7; ENTRY_BYTES]]).unwrap().bytes());
    }
    let folder = root.join("worst");
    std::fs::create_dir_all(folder.join("log")).unwrap();
    std::fs::write(folder.join("log/00000000000000000000.seg"), &bytes).unwrap();
    std::fs::File::open(folder.join("log/00000000000000000000.seg")).unwrap().sync_all().unwrap();
    let files: Arc<dyn Files> = Arc::new(DiskFiles::new(&folder));
    let start = clock.monotonic();
    let (log, _) = FilesLog::open(files, LogConfig::default(), LEDGER, &chain.guard(1)).unwrap();
    let took = (clock.monotonic() - start).as_secs_f64() * 1e3;
    println!("open, {} frames of one entry in the guard's segment: {took:.1} ms", log.tail().next.0);
}

fn main() {
    let mut args = std::env::args().skip(1);
    let root = std::path::PathBuf::from(args.next().unwrap_or_else(|| "log-bench".to_owned()));
    let entries: usize = args.next().map_or(1_000_000, |n| n.parse().unwrap());
    let frames = entries / BATCH;
    let clock = SystemClock::new();
    std::fs::create_dir_all(&root).unwrap();
    let bodies: Vec<Vec<u8>> = (0..16).map(body).collect();
    let files: Arc<dyn Files> = Arc::new(DiskFiles::new(&root.join("data")));
    let state = DiskFiles::new(&root.join("state"));
    let log = Arc::new(FilesLog::create(Arc::clone(&files), LogConfig::default(), LEDGER).unwrap());
    let guard = FileGuard::create(&state).unwrap();
    let mut record: GuardRecord = Chain::new(LEDGER).guard(0);
    guard.swap(None, &record).unwrap();
    let sample = Frame::build(&fields(&log, &Frontier::new()), &[&bodies[0]], Vec::new()).unwrap();
    println!(
        "{frames} frames of {BATCH} entries of {ENTRY_BYTES} bytes: {} bytes a frame",
        sample.bytes().len()
    );
    percentiles(
        "plain write + fdatasync, before",
        &mut plain(&root, &clock, sample.bytes(), frames.min(1_000)),
    );

    let (wake, woken) = std::sync::mpsc::sync_channel::<()>(1);
    let preparer = Arc::clone(&log);
    let thread = std::thread::spawn(move || {
        while woken.recv().is_ok() {
            preparer.prepare().unwrap();
        }
    });
    let (mut build, mut append, mut swap) = (Vec::new(), Vec::new(), Vec::new());
    let (mut tree, mut sink, mut buffer) = (Frontier::new(), Vec::new(), Vec::new());
    let mut bytes = 0;
    for n in 0..frames {
        let body = &bodies[n % bodies.len()];
        for entry in waag_log::frame::Entries::new(body) {
            tree.append(leaf_hash(entry), &mut sink);
        }
        sink.clear();
        let fields = fields(&log, &tree);
        let start = clock.monotonic();
        let frame = Frame::build(&fields, &[body], std::mem::take(&mut buffer)).unwrap();
        let built = clock.monotonic();
        log.append(fields.number, &frame).unwrap();
        let appended = clock.monotonic();
        record.sequence += 1;
        record.frame = fields.number;
        record.size = tree.size();
        record.root = fields.root;
        record.header_hash = frame.header_hash();
        guard.swap(Some(record.sequence - 1), &record).unwrap();
        swap.push(clock.monotonic() - appended);
        build.push(built - start);
        append.push(appended - built);
        bytes += frame.bytes().len();
        buffer = frame.into_buffer();
        if log.wants_preparing() {
            let _ = wake.try_send(());
        }
    }
    let append_s: f64 = append.iter().map(Duration::as_secs_f64).sum();
    percentiles("build a frame", &mut build);
    percentiles("append", &mut append);
    percentiles("swap the guard", &mut swap);
    println!("append {:.1} MB/s, stalls {}", bytes as f64 / 1e6 / append_s, log.stalls());
    drop(wake);
    thread.join().unwrap();
    drop((log, guard));
    percentiles(
        "plain write + fdatasync, after",
        &mut plain(&root, &clock, sample.bytes(), frames.min(1_000)),
    );

    for run in 0..3 {
        let start = clock.monotonic();
        let raw = RawFiles::new(Arc::clone(&files), LEDGER);
        let report = verify(&raw, LEDGER, Some(&record), &mut |_, _| Ok(()));
        let took = (clock.monotonic() - start).as_secs_f64();
        assert!(report.verified(), "{report:?}");
        println!(
            "verify run {run}: {} entries, {:.0} entries/s",
            report.entries,
            report.entries as f64 / took
        );
    }
    let start = clock.monotonic();
    let (log, _) = FilesLog::open(Arc::clone(&files), LogConfig::default(), LEDGER, &record).unwrap();
    println!("open: {:.1} ms", (clock.monotonic() - start).as_secs_f64() * 1e3);
    for (what, from) in
        [("first", 0), ("middle, cold index", record.size / 2), ("middle, warm index", record.size / 2)]
    {
        let start = clock.monotonic();
        log.read(Position(from), &mut |_| std::ops::ControlFlow::Break(())).unwrap();
        println!("read {what}: {:.3} ms", (clock.monotonic() - start).as_secs_f64() * 1e3);
    }
    drop(log);
    open_worst(&root, &clock);
    std::fs::remove_dir_all(&root).unwrap();
}
