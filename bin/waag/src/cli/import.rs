//! `waag import`: the history of other systems, from their logs.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use waag_import::{FileHash, Import, Mapping, Report};
use waag_model::ids::Position;

use super::failure::{CliError, Exit, Failure};
use super::output::{Output, progress, tell};
use super::serve::{tell_aside, wait_for_views};
use super::setting::{Setting, not_started};
use crate::node::feed::{Feed, Given};
use crate::node::{NodeOptions, Running};
use crate::store::init::init;

/// Largest mapping file, in bytes.
const MAPPING_BYTES_MAX: u64 = 1_024 * 1_024;
/// How long the read models are waited for at the end, in milliseconds; they go on by themselves later.
const VIEWS_MS_MAX: u64 = 120_000;
/// What the record of an import in the state begins with.
const RECORD_PREFIX: &str = "import/";
/// Events after which the place is noted, so that a broken-off import goes on from there.
const NOTED_EVERY: u64 = 50_000;

const HELP: &str = "\
Reads XES (plain or gzip), CSV and JSON Lines; the mapping file says which activity is which stage, and where the fields
are. Nothing is dropped: what is odd (a date in 1948, a missing id) is recorded, marked, and counted in the report.
A file is known by its SHA-256: asking again, at any later time, records nothing twice, and an import that was broken off
goes on where it stopped. The store must not be open elsewhere.

Example:
  waag import --mapping examples/bpic2019.toml bpic2019.xes.gz
  waag import --mapping mapping.toml --json invoices.csv";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The log
    file: PathBuf,

    /// The mapping, in TOML
    #[arg(long, value_name = "FILE")]
    mapping: PathBuf,
}

#[derive(Serialize)]
struct Answer {
    file_sha256: String,
    recorded: u64,
    before: u64,
    refused: u64,
    resumed_behind: u64,
    seconds: f64,
    report: serde_json::Value,
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let mapping = read_mapping(&args.mapping)?;
    let hash = FileHash::of(&mut open(&args.file)?).map_err(CliError::file("read", &args.file))?;
    let place = setting.place()?;
    let options = NodeOptions { store: setting.options()?, ..NodeOptions::default() };
    let actor = setting.actor()?;
    if !place.data.exists() && !place.state.exists() {
        let made = init(&place, "waag", &options.store)?;
        tell(&format!("note: a new store: {}", made.origin));
    }
    let running = Running::start(&place, &options, &actor, &mut |_, _| {})
        .map_err(|error| not_started(&place, error))?;
    tell_aside(&running);
    let store = running.store();
    let clock = &store.clock;
    let begun = clock.monotonic();
    let name = format!("{RECORD_PREFIX}{hash}");
    let behind = noted(store, &name)?;
    let mut import = Import::open(&mapping, hash, open(&args.file)?)?;
    import.resume_behind(behind);
    let bar = progress(std::fs::metadata(&args.file).ok().map(|known| known.len()), "bytes");
    let read = import.progress();
    let mut feed = Feed::new(store, actor);
    let mut last_noted = behind;
    for next in &mut import {
        let imported = next?;
        feed.push(Given { event: imported.event, accepted: clock.now(), number: imported.record })?;
        bar.set_position(read.bytes());
        let settled = feed.fed().recorded_to;
        if settled >= last_noted.saturating_add(NOTED_EVERY) {
            store.keyring.keep_door_record(name.as_bytes(), Some(settled.to_string().as_bytes()))?;
            last_noted = settled;
        }
        tell_refusals(&mut feed);
    }
    let fed = feed.finish()?;
    tell_refusals(&mut feed);
    let settled = fed.recorded_to.max(behind);
    store.keyring.keep_door_record(name.as_bytes(), Some(settled.to_string().as_bytes()))?;
    bar.finish_and_clear();
    let all = Position(running.writer().checkpoint.checkpoint().size);
    wait_for_views(&running, all, Duration::from_millis(VIEWS_MS_MAX));
    let report = import.report();
    let answer = Answer {
        file_sha256: hash.to_string(),
        recorded: fed.recorded,
        before: fed.before,
        refused: fed.refused,
        resumed_behind: behind,
        seconds: clock.monotonic().saturating_sub(begun).as_secs_f64(),
        report: serde_json::to_value(report).unwrap_or_default(),
    };
    output.answer(&answer, || text(&answer, report))?;
    Ok(if fed.refused == 0 { Exit::Done } else { Exit::Refused })
}

/// The record up to which a file was taken before.
fn noted(store: &crate::store::writer::OpenedStore, name: &str) -> Result<u64, Failure> {
    let records = store.keyring.door_records(name.as_bytes())?;
    let of_name = records.into_iter().find(|(found, _)| found == name.as_bytes());
    Ok(of_name
        .and_then(|(_, value)| String::from_utf8(value).ok())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0))
}

fn text(answer: &Answer, report: &Report) -> String {
    let mut out = format!(
        "{} recorded, {} recorded before, {} refused, in {:.1} s\n",
        answer.recorded, answer.before, answer.refused, answer.seconds
    );
    if answer.resumed_behind > 0 {
        out.push_str(&format!("the first {} records were taken before\n", answer.resumed_behind));
    }
    if let Some(cases) = report.cases {
        out.push_str(&format!("{} records of {cases} cases\n", report.records));
    }
    for (odd, count) in &report.odd {
        out.push_str(&format!("odd: {:<16} {:>8}", odd.name(), count.count));
        if let Some(first) = count.first.first() {
            out.push_str(&format!("   first in record {}: {}", first.record, first.what));
        }
        out.push('\n');
    }
    out
}

fn tell_refusals(feed: &mut Feed<'_>) {
    for (record, code, reason) in feed.refusals() {
        tell(&format!("record {record} refused: {code}: {reason}"));
    }
}

fn open(path: &Path) -> Result<BufReader<File>, Failure> {
    Ok(BufReader::with_capacity(1 << 16, File::open(path).map_err(CliError::file("open", path))?))
}

fn read_mapping(path: &Path) -> Result<Mapping, Failure> {
    let mut text = String::new();
    let file = File::open(path).map_err(CliError::file("open", path))?;
    file.take(MAPPING_BYTES_MAX).read_to_string(&mut text).map_err(CliError::file("read", path))?;
    Ok(Mapping::parse(&text)?)
}
