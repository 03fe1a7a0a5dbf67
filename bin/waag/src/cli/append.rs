//! `waag append`: reads events, records them, answers each with a receipt or a reason, in the order of the input.
//!
//! ```text
//! reading thread ─chunks─► sealing threads ─sealed, any order─► here: in order ─► writer, several under way ─► answers
//! ```
//!
//! A receipt is printed, and handed on, before the next batch's is waited for: what was printed is durable and guarded.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use indicatif::ProgressBar;
use serde::Serialize;
use waag_engine::batch::Outcome;
use waag_engine::effect::{NotTaken, Rejection};
use waag_engine::runtime::Pending;

use super::failure::{Exit, Failure};
use super::input::{Input, RawLine, read_inputs};
use super::output::{ErrorJson, Output, progress, tell};
use super::pipeline::{Means, Portion, Problem, SealedChunk, check_all};
use super::receipt::{Checked, RefusalJson, problem_of};
use super::setting::{FreeSpace, Setting};
use crate::store::beside::Desk;
use crate::store::error::StoreError;
use crate::store::options::Options;
use crate::store::writer::OpenedStore;

/// How often a batch is handed over again when the writer is full or keys were destroyed meanwhile.
const TRIES_MAX: u32 = 4_000;
/// The wait between two of these, in milliseconds.
const TRY_DELAY_MS: u64 = 5;
/// Most sealing threads.
const SEALING_THREADS_MAX: usize = 16;

const HELP: &str = "\
Input is JSON Lines: one event in the CloudEvents 1.0 JSON format a line, at most 1 MiB each.
Events are recorded in the order of the input.
A bad line is refused with its number, a code and the place; the good events around it are recorded, and the program
ends with 1. With --strict everything is checked first and nothing is recorded where any line is bad: files are read
twice, standard input is held in memory up to 64 MiB.
The same event again (same `source` and `id`, same content) gets its first receipt, `\"status\":\"before\"`.
An event with the attribute `waagtenant` is taken only by the tenant of that name.

With --json there is one line per event: `line`, `status`, `position`, `leaf_hash`, `tree_size`, `root`, with --proof
also `checkpoint` and `proof`; or `line`, `status` and `error` with `code`, `reason`, `path`.
What was printed is durable.

Example:
  waag append events.jsonl
  waag append --json --proof - < events.jsonl > receipts.jsonl";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Files of events; `-`, or none, is standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Check everything first, and record nothing where any line is bad
    #[arg(long)]
    strict: bool,

    /// With --json: each receipt with its checkpoint and its proof
    #[arg(long)]
    proof: bool,

    /// Most events of one batch
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=8_192))]
    batch: u16,

    /// Most batches under way
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=32))]
    in_flight: u8,

    /// Size of a new segment file of the log, in bytes; a multiple of 4,096
    #[arg(long, value_name = "BYTES", default_value_t = waag_files::config::SEGMENT_BYTES)]
    segment_bytes: u64,

    #[command(flatten)]
    free: FreeSpace,
}

/// What became of all events.
#[derive(Debug, Default, Serialize)]
struct Counts {
    recorded: u64,
    before: u64,
    refused: u64,
}

/// A portion that waits for its receipt; one of which nothing was sealed waits for nothing.
struct Waiting {
    portion: Portion,
    pending: Option<Pending>,
    /// The last portion of a chunk gives the permit back, and moves the progress by so many bytes.
    ends_chunk: Option<u64>,
}

struct Append<'a> {
    store: &'a OpenedStore,
    means: &'a Means,
    inputs: &'a [Input],
    args: &'a Args,
    output: &'a mut Output,
    permits: SyncSender<()>,
    waiting: VecDeque<Waiting>,
    counts: Counts,
    bar: ProgressBar,
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    if args.proof && !output.is_json() {
        return Err(Failure::usage("--proof needs --json"));
    }
    let mut options: Options = args.free.of(setting.options()?);
    options.log.segment_bytes = args.segment_bytes;
    let actor = setting.actor()?;
    let mut inputs = Input::of_arguments(&args.files);
    for input in &inputs {
        // What cannot be read at all is said before anything is recorded.
        if let Input::File(_) = input {
            drop(input.open()?);
        }
    }
    let store = setting.open_writer(&options)?;
    let means = Means::new(&store, actor);
    if args.strict {
        inputs = inputs.into_iter().map(Input::twice).collect::<Result<_, _>>()?;
        if refuse_strictly(&means, &inputs, output)? {
            return Ok(Exit::Refused);
        }
    }
    let counts = beside(&store, || record(&store, &means, &inputs, args, output))?;
    let scrubbed = store.scrubbed();
    for fault in &scrubbed.faults {
        tell(&format!(
            "warning: {}: `{}` at offset {}: {}",
            fault.code, fault.file, fault.offset, fault.reason
        ));
    }
    if !output.is_json() {
        let checkpoint = store.status().checkpoint;
        let told = checkpoint.checkpoint();
        output.text(&format!(
            "{} recorded, {} recorded before, {} refused; the ledger has {} entries under root {}\n",
            counts.recorded, counts.before, counts.refused, told.size, told.root
        ))?;
    }
    Ok(if counts.refused == 0 { Exit::Done } else { Exit::Refused })
}

/// Does something long with a store while others may ask it to record what they are shown (`STORE-4`).
fn beside<T>(store: &OpenedStore, work: impl FnOnce() -> T) -> T {
    match Desk::open(store) {
        Ok((desk, closing)) => std::thread::scope(|scope| {
            // Dropped also where `work` does not return, so that the scope can end.
            let closing = closing;
            scope.spawn(|| desk.serve(store, None));
            let done = work();
            drop(closing);
            done
        }),
        Err(error) => {
            tell(&format!("warning: reveals and disclosures have to wait until this ends: {error}"));
            work()
        }
    }
}

/// Checks every line; true where one is bad, each of them being told.
fn refuse_strictly(means: &Means, inputs: &[Input], output: &mut Output) -> Result<bool, Failure> {
    let mut refused = 0_u64;
    for input in inputs {
        let name = input.name();
        let file = (inputs.len() > 1).then_some(name.as_str());
        check_all(means, input, &mut |line, problem| {
            refused += 1;
            tell_refusal(output, (&name, file), line, &problem, None)
        })?;
    }
    if refused > 0 {
        tell(&format!("{refused} lines are bad, and with --strict nothing was recorded"));
    }
    Ok(refused > 0)
}

fn record(
    store: &OpenedStore,
    means: &Means,
    inputs: &[Input],
    args: &Args,
    output: &mut Output,
) -> Result<Counts, Failure> {
    let total: Option<u64> = inputs.iter().map(Input::len).sum();
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(SEALING_THREADS_MAX);
    let chunks_max = usize::from(args.in_flight) + workers + 2;
    let (permits, permitted) = sync_channel(chunks_max);
    for _ in 0..chunks_max {
        // The channel has room for all of them.
        let _sent = permits.send(());
    }
    let (chunks, work) = sync_channel(chunks_max);
    let (sealed, results) = sync_channel(chunks_max);
    let lines_max = usize::from(args.batch);
    let own: Vec<Input> = inputs.to_vec();
    // Not joined: a thread that waits for standard input may wait for ever, and the process ends without it.
    spawn("waag-read", move || read_inputs(&own, lines_max, &permitted, &chunks))?;
    let work = Arc::new(Mutex::new(work));
    for _ in 0..workers {
        let (means, work, sealed) = (means.clone(), Arc::clone(&work), sealed.clone());
        spawn("waag-seal", move || means.work(&work, &sealed))?;
    }
    drop((work, sealed));
    let mut append = Append {
        store,
        means,
        inputs,
        args,
        output,
        permits,
        waiting: VecDeque::new(),
        counts: Counts::default(),
        bar: progress(total, "bytes"),
    };
    append.run(&results)?;
    append.bar.finish_and_clear();
    Ok(append.counts)
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    spawned.map(drop).map_err(|error| StoreError::Thread(error).into())
}

impl Append<'_> {
    fn run(&mut self, results: &Receiver<SealedChunk>) -> Result<(), Failure> {
        let mut early: BTreeMap<u64, SealedChunk> = BTreeMap::new();
        let mut next = 0;
        loop {
            // While batches are under way their answers come first, unless sealed chunks are waiting.
            let received = if self.waiting.is_empty() {
                match results.recv() {
                    Ok(chunk) => Some(chunk),
                    Err(_) => return Ok(()),
                }
            } else {
                results.try_recv().ok()
            };
            match received {
                Some(chunk) => drop(early.insert(chunk.number, chunk)),
                None => self.answer_oldest()?,
            }
            while let Some(chunk) = early.remove(&next) {
                next += 1;
                self.hand_over(chunk)?;
            }
        }
    }

    fn hand_over(&mut self, chunk: SealedChunk) -> Result<(), Failure> {
        let room = self.store.room.check().map_err(Failure::from);
        let portions = match room.and(chunk.outcome) {
            Ok(portions) => portions,
            Err(failure) => {
                // What was handed over before is still answered.
                while !self.waiting.is_empty() {
                    self.answer_oldest()?;
                }
                return Err(failure);
            }
        };
        if portions.is_empty() {
            // Nobody takes it where everything is read already.
            let _given_back = self.permits.try_send(());
        }
        let count = portions.len();
        for (at, mut portion) in portions.into_iter().enumerate() {
            while self.waiting.len() >= usize::from(self.args.in_flight) {
                self.answer_oldest()?;
            }
            let ends_chunk = (at + 1 == count).then_some(chunk.bytes);
            let pending = if portion.batch.is_empty() { None } else { Some(self.submit(&mut portion)?) };
            self.waiting.push_back(Waiting { portion, pending, ends_chunk });
        }
        Ok(())
    }

    fn submit(&self, portion: &mut Portion) -> Result<Pending, Failure> {
        let empty = self.means.sealer.begin().finish();
        let mut batch = std::mem::replace(&mut portion.batch, empty);
        for _ in 0..TRIES_MAX {
            match self.store.writer.submit(batch) {
                Err(NotTaken::Busy(again)) => {
                    std::thread::sleep(Duration::from_millis(TRY_DELAY_MS));
                    batch = again;
                }
                other => return Ok(other.map_err(Rejection::from)?),
            }
        }
        Err(Rejection::Busy.into())
    }

    /// Keys were destroyed since the portion was sealed: its lines are sealed anew.
    fn seal_again(&self, portion: &mut Portion) -> Result<waag_engine::batch::SealedBatch, Failure> {
        let lines = std::mem::take(&mut portion.lines);
        let mut again = self.means.seal(portion.input, lines)?.into_iter();
        let Some(first) = again.next().filter(|_| again.len() == 0) else {
            return Err(StoreError::Seal(waag_engine::sealer::SealError::BatchFull).into());
        };
        (portion.lines, portion.problems) = (first.lines, first.problems);
        Ok(first.batch)
    }

    fn answer_oldest(&mut self) -> Result<(), Failure> {
        let Some(Waiting { mut portion, mut pending, ends_chunk }) = self.waiting.pop_front() else {
            return Ok(());
        };
        let mut tries = 0;
        let checked = loop {
            let Some(waiting) = pending.take() else { break None };
            match waiting.wait() {
                Ok(receipt) => break Some(Checked::new(self.store, receipt)?),
                Err(Rejection::Busy | Rejection::Reseal) if tries < TRIES_MAX => {
                    tries += 1;
                    std::thread::sleep(Duration::from_millis(TRY_DELAY_MS));
                    portion.batch = self.seal_again(&mut portion)?;
                    if !portion.batch.is_empty() {
                        pending = Some(self.submit(&mut portion)?);
                    }
                }
                Err(rejection) => return Err(rejection.into()),
            }
        };
        self.print(&portion, checked.as_ref())?;
        self.output.flush()?;
        if let Some(bytes) = ends_chunk {
            self.bar.inc(bytes);
            // Nobody takes it where everything is read already.
            let _given_back = self.permits.try_send(());
        }
        Ok(())
    }

    fn print(&mut self, portion: &Portion, checked: Option<&Checked<'_>>) -> Result<(), Failure> {
        let name = self.inputs.get(portion.input).map(Input::name).unwrap_or_default();
        let file = (self.inputs.len() > 1).then_some(name.as_str());
        let mut outcomes = checked.map(Checked::outcomes).unwrap_or_default().iter();
        for (RawLine { number, .. }, problem) in portion.lines.iter().zip(&portion.problems) {
            if let Some(problem) = problem {
                self.counts.refused += 1;
                tell_refusal(self.output, (&name, file), *number, problem, None)?;
                continue;
            }
            let (Some(outcome), Some(checked)) = (outcomes.next(), checked) else { continue };
            let (status, recorded) = match outcome {
                Outcome::Recorded(recorded) => ("recorded", recorded),
                Outcome::Before(recorded) => ("before", recorded),
                Outcome::Conflict(_) | Outcome::Erased(_) => {
                    self.counts.refused += 1;
                    if let Some((problem, first)) = problem_of(outcome) {
                        tell_refusal(self.output, (&name, file), *number, &problem, Some(first))?;
                    }
                    continue;
                }
            };
            let count =
                if status == "recorded" { &mut self.counts.recorded } else { &mut self.counts.before };
            *count += 1;
            if self.output.is_json() {
                let receipt = checked.receipt((file, *number), status, recorded, self.args.proof)?;
                self.output.json(&receipt)?;
            }
        }
        Ok(())
    }
}

/// Says why a line was refused: to people on standard error, to programs also as a line of the answer.
fn tell_refusal(
    output: &mut Output,
    (name, file): (&str, Option<&str>),
    line: u64,
    problem: &Problem,
    first: Option<u64>,
) -> Result<(), Failure> {
    let Problem { code, reason, path } = problem;
    let place = if path.is_empty() { String::new() } else { format!(", in `{}`", path.escape_debug()) };
    let before = first.map(|first| format!(" (at position {first})")).unwrap_or_default();
    tell(&format!("{name}:{line}: {code}: {reason}{before}{place}"));
    if output.is_json() {
        let error = ErrorJson { code, reason, path: Some(path) };
        output.json(&RefusalJson { file, line, status: "refused", position: first, error })?;
    }
    Ok(())
}
