//! Runs seeded worlds: `waag-sim run --seeds 2000`, or one with its trace: `waag-sim seed 17 --trace`.
//!
//! Exit 0 where every promise held, 1 where one was broken (with the command that repeats it), 2 on wrong usage.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program that reports"
)]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use waag_sim::world::run;

const USAGE: &str =
    "waag-sim run [--seeds N] [--start S] [--jobs J] [--seconds T]\nwaag-sim seed S [--trace]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["seed", seed, rest @ ..] => match seed.parse() {
            Ok(seed) => one(seed, rest.contains(&"--trace")),
            Err(_) => usage(),
        },
        ["run", rest @ ..] => match Options::parse(rest) {
            Some(options) => many(&options),
            None => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

struct Options {
    seeds: u64,
    start: u64,
    jobs: u64,
    seconds: u64,
}

impl Options {
    fn parse(words: &[&str]) -> Option<Self> {
        let jobs = std::thread::available_parallelism().map_or(1, |jobs| jobs.get() as u64);
        let mut options = Self { seeds: 2_000, start: 0, jobs, seconds: u64::MAX };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let number = words.next()?.parse().ok()?;
            match *word {
                "--seeds" => options.seeds = number,
                "--start" => options.start = number,
                "--jobs" => options.jobs = number,
                "--seconds" => options.seconds = number,
                _ => return None,
            }
        }
        Some(options)
    }
}

fn one(seed: u64, trace: bool) -> ExitCode {
    match run(seed, None, trace) {
        Ok(report) => {
            println!("{report:#?}");
            ExitCode::SUCCESS
        }
        Err(broken) => {
            println!("seed {seed}: {}", broken.0);
            ExitCode::FAILURE
        }
    }
}

#[derive(Default)]
struct Totals {
    worlds: u64,
    entries: u64,
    acknowledged: u64,
    faults: BTreeMap<&'static str, u64>,
    ends: BTreeMap<String, u64>,
    broken: Vec<(u64, String)>,
}

fn many(options: &Options) -> ExitCode {
    let start = Instant::now();
    let next = AtomicU64::new(0);
    let totals = Mutex::new(Totals::default());
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| work(options, start, &next, &totals));
        }
    });
    let totals = totals.into_inner().unwrap_or_default();
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{} worlds in {seconds:.1} s on {} threads: {:.0} worlds/s per thread; {} events acknowledged, {} entries",
        totals.worlds,
        options.jobs,
        totals.worlds as f64 / seconds / options.jobs.max(1) as f64,
        totals.acknowledged,
        totals.entries
    );
    for (kind, count) in &totals.faults {
        println!("  fault: {kind:<28} {count}");
    }
    for (end, count) in &totals.ends {
        println!("  ended: {end:<48} {count}");
    }
    for (seed, broken) in totals.broken.iter().take(20) {
        println!(
            "BROKEN seed {seed}: {broken}\n  cargo run --release -p waag-sim --bin waag-sim -- seed {seed} --trace"
        );
    }
    println!("{} passed, {} failed", totals.worlds - totals.broken.len() as u64, totals.broken.len());
    if totals.broken.is_empty() && totals.worlds > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn work(options: &Options, start: Instant, next: &AtomicU64, totals: &Mutex<Totals>) {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= options.seeds || start.elapsed() > Duration::from_secs(options.seconds) {
            return;
        }
        let seed = options.start + number;
        let outcome = run(seed, None, false);
        let Ok(mut totals) = totals.lock() else { return };
        totals.worlds += 1;
        match outcome {
            Ok(report) => {
                totals.acknowledged += report.acknowledged as u64;
                totals.entries += report.entries as u64;
                *totals.ends.entry(report.ended).or_insert(0) += 1;
                for (kind, count) in report.faults {
                    *totals.faults.entry(kind).or_insert(0) += u64::from(count);
                }
            }
            Err(broken) => totals.broken.push((seed, broken.0)),
        }
    }
}
