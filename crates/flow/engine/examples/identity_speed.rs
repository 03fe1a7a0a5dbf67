//! Identity index: 10 million new identities looked up and inserted, jobs on a thread of their own.
//! `cargo run --release -p waag-engine --example identity_speed -- FOLDER [MILLIONS]`
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::error::Error;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use waag_engine::identity::{Done, IdentityError, IdentityIndex, IdentityLimits, Job, Opened};
use waag_model::ids::{LedgerId, Position, Tag};
use waag_model::time::UtcNanos;
use waag_stdx::clock::{Clock, SystemClock};
use waag_stdx::files::DiskFiles;

/// Entries between two looks at the worker, as a frame would have.
const FRAME: u64 = 512;

fn tag(n: u64) -> Tag {
    let mix = |mut z: u64| {
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let first = mix(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let whole = u128::from(first) << 64 | u128::from(mix(first ^ n));
    Tag(whole.to_be_bytes())
}

struct Worker {
    jobs: SyncSender<Job>,
    outcomes: Receiver<Result<Done, IdentityError>>,
}

impl Worker {
    fn start() -> Self {
        let (jobs, taken) = sync_channel::<Job>(1);
        let (give, outcomes) = sync_channel(1);
        std::thread::spawn(move || {
            for job in taken {
                if give.send(job.run()).is_err() {
                    break;
                }
            }
        });
        Self { jobs, outcomes }
    }

    /// Installs what is done and hands on what is next; waits where there is no room.
    fn turn(&self, index: &mut IdentityIndex, waited: &mut Duration) -> Result<(), Box<dyn Error>> {
        if let Ok(outcome) = self.outcomes.try_recv() {
            index.install(outcome)?;
        }
        if let Some(job) = index.next_job() {
            self.jobs.send(job)?;
        }
        let clock = SystemClock::new();
        while (index.room() as u64) < FRAME {
            index.install(self.outcomes.recv()?)?;
            if let Some(job) = index.next_job() {
                self.jobs.send(job)?;
            }
        }
        *waited += clock.monotonic();
        Ok(())
    }
}

fn memory_kib() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = |name| status.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    format!("{} {}", line("VmHWM"), line("VmRSS"))
}

fn open(folder: &str, end: u64) -> Result<Opened, IdentityError> {
    let files = Arc::new(DiskFiles::new(std::path::Path::new(folder)));
    IdentityIndex::open(
        files,
        "derived/identity",
        LedgerId([1; 16]),
        Position(end),
        IdentityLimits::default(),
    )
}

fn per(duration: Duration, count: u64) -> f64 {
    duration.as_secs_f64() * 1e9 / f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Lets the worker finish, then times what is not there and what is.
fn read(index: &mut IdentityIndex, worker: &Worker, done: u64) -> Result<(), Box<dyn Error>> {
    let clock = SystemClock::new();
    while let Ok(outcome) = worker.outcomes.recv_timeout(Duration::from_secs(1)) {
        index.install(outcome)?;
        if let Some(job) = index.next_job() {
            worker.jobs.send(job)?;
        }
    }
    let settled = index.stats();
    println!("settled: {settled:?}");
    let start = clock.monotonic();
    let misses = 1_000_000;
    for n in 0..misses {
        index.lookup(&tag(1 << 60 | n))?;
    }
    let took = clock.monotonic() - start;
    let stats = index.stats();
    let wrong = stats.false_positives - settled.false_positives;
    let probes = stats.filter_probes - settled.filter_probes;
    println!("misses: {:.0} ns each, {wrong} false positives in {probes} probes", per(took, misses));
    let start = clock.monotonic();
    let hits = 200_000;
    let oldest = index.oldest_covered().map_or(0, |(position, _)| position.0);
    for n in 0..hits {
        let at = oldest + n * 7_919 % (done - oldest);
        if index.lookup(&tag(at))? != Some(Position(at)) {
            return Err(format!("{at} is lost").into());
        }
    }
    println!("hits: {:.0} ns each", per(clock.monotonic() - start, hits));
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().ok_or("which folder?")?;
    let millions: u64 = args.next().map_or(Ok(10), |text| text.parse())?;
    let count = millions * 1_000_000;
    let mut index = open(&folder, 0)?.index;
    let worker = Worker::start();
    let (clock, mut waited, mut slowest) = (SystemClock::new(), Duration::ZERO, Duration::ZERO);
    let mut inserting = Duration::ZERO;
    for frame in 0..count / FRAME {
        worker.turn(&mut index, &mut waited)?;
        let start = clock.monotonic();
        for n in frame * FRAME..(frame + 1) * FRAME {
            let tag = tag(n);
            if let Some(found) = index.lookup(&tag)? {
                return Err(format!("{found} was never inserted").into());
            }
            index.insert(tag, Position(n), UtcNanos(i64::try_from(n)?))?;
        }
        let took = clock.monotonic() - start;
        inserting += took;
        slowest = slowest.max(took);
    }
    let done = count / FRAME * FRAME;
    let whole = clock.monotonic();
    println!(
        "{done} entries: lookup and insert {:.0} ns each, waiting and turns {:.2} s, in all {:.2} s",
        per(inserting, done),
        waited.as_secs_f64(),
        whole.as_secs_f64()
    );
    println!("slowest frame of {FRAME}: {:.2} ms; {}", slowest.as_secs_f64() * 1e3, memory_kib());
    println!("{:?}", index.stats());
    read(&mut index, &worker, done)?;
    drop(index);
    let start = clock.monotonic();
    let opened = open(&folder, done)?;
    println!(
        "opened in {:.0} ms, covered {}, {}",
        (clock.monotonic() - start).as_secs_f64() * 1e3,
        opened.index.covered(),
        memory_kib()
    );
    Ok(())
}
