//! `waag import`: the history of other systems, from their logs.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::ProgressBar;
use serde::Serialize;
use waag_import::limits::MAPPING_BYTES_MAX;
use waag_import::{FileHash, HashedFile, Import, Imported, Mapping, MappingError, Report};
use waag_model::ids::Position;
use waag_model::text::in_line;

use super::deliveries::table;
use super::failure::{CliError, EventRefusal, Exit, Failure};
use super::output::{Output, progress, tell};
use super::serve::{tell_aside, wait_for_views};
use super::setting::{FreeSpace, Setting, not_started};
use crate::node::feed::{Fed, Feed, Given};
use crate::node::{NodeOptions, Running};
use crate::store::init::init;
use crate::store::own::OWN_SOURCE;
use crate::store::writer::OpenedStore;

/// How long the read models are waited for at the end, in milliseconds; they go on by themselves later.
const VIEWS_MS_MAX: u64 = 120_000;
/// What the record of an import in the state begins with; the file's hash and the mapping's follow. A record of the file's
/// hash alone is an earlier version's: nobody knows under which mapping, so it says nothing here.
const RECORD_PREFIX: &str = "import/";
/// Events after which the place is noted, so that a broken-off import goes on from there.
const NOTED_EVERY: u64 = 50_000;

const HELP: &str = "\
Reads XES (plain or gzip), CSV and JSON Lines; the mapping file says which activity is which stage, and where the fields
are. Nothing is dropped: what is odd (a date in 1948, a missing id) is recorded, marked, and counted in the report.
A file is known by its SHA-256: asking again, at any later time, records nothing twice, and an import that was broken off
goes on where it stopped. What is refused or cannot be read is told each time, with exit code 1.
The log is a regular file, no pipe. The store must not be open elsewhere.

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

    #[command(flatten)]
    free: FreeSpace,
}

/// A log that is not a regular file.
#[derive(Debug)]
struct NotRegular(PathBuf);

impl NotRegular {
    fn code(&self) -> &'static str {
        "E1040"
    }
}

impl fmt::Display for NotRegular {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.display();
        write!(
            f,
            "`{path}` is not a regular file, and an import reads its log twice: save it to a file first"
        )
    }
}

impl From<NotRegular> for Failure {
    fn from(error: NotRegular) -> Self {
        Self { code: error.code(), reason: error.to_string(), exit: Exit::Usage }
    }
}

#[derive(Serialize)]
struct Answer {
    file_sha256: String,
    mapping_sha256: String,
    recorded: u64,
    before: u64,
    refused: u64,
    resumed_behind: u64,
    /// Events up to there: an earlier run had recorded them all, and this one did not ask again.
    resumed_events: u64,
    seconds: f64,
    report: serde_json::Value,
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let (mapping, mapping_hash) = read_mapping(&args.mapping)?;
    let (log, log_bytes) = open(&args.file)?;
    let hash = log.hash();
    let place = setting.place()?;
    let options = NodeOptions { store: args.free.of(setting.options()?), ..NodeOptions::default() };
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
    let mut noted = Noted::read(store, format!("{RECORD_PREFIX}{}/{hash}/{mapping_hash}", store.ledger.id))?;
    let behind = noted.record;
    let mut import = Import::open(&mapping, hash, log).map_err(of_the_log)?;
    import.resume_behind(behind);
    let bar = progress(Some(log_bytes), "bytes");
    let (fed, broken) = record(&mut import, Feed::new(store, actor), &mut noted, &bar)?;
    bar.finish_and_clear();
    if let Some(broken) = broken {
        let (recorded, before, refused) = (fed.recorded, fed.before, fed.refused);
        tell(&format!(
            "note: as far as it was read: {recorded} recorded, {before} recorded before, {refused} refused"
        ));
        return Err(broken);
    }
    let all = Position(running.writer().checkpoint.checkpoint().size);
    wait_for_views(&running, all, Duration::from_millis(VIEWS_MS_MAX));
    let report = import.report();
    let answer = Answer {
        file_sha256: hash.to_string(),
        mapping_sha256: mapping_hash.to_string(),
        recorded: fed.recorded,
        before: fed.before,
        refused: fed.refused,
        resumed_behind: behind,
        resumed_events: import.withheld(),
        seconds: clock.monotonic().saturating_sub(begun).as_secs_f64(),
        report: serde_json::to_value(report).unwrap_or_default(),
    };
    output.answer(&answer, || text(&answer, report))?;
    Ok(if fed.refused == 0 && report.left_out == 0 { Exit::Done } else { Exit::Refused })
}

/// Records the events of a log. With what became of them comes why the log could not be read on, if so: the events before
/// that place stand.
fn record(
    import: &mut Import<'_>,
    mut feed: Feed<'_>,
    noted: &mut Noted<'_>,
    bar: &ProgressBar,
) -> Result<(Fed, Option<Failure>), Failure> {
    let (read, clock) = (import.progress(), &noted.store.clock);
    let mut broken = None;
    for next in import {
        let Imported { event, record: number, .. } = match next {
            Ok(imported) => imported,
            Err(error) => {
                broken = Some(of_the_log(error));
                break;
            }
        };
        feed.push(Given { event, accepted: clock.now(), number })?;
        bar.set_position(read.bytes());
        let recorded_to = feed.fed().recorded_to;
        if recorded_to >= noted.record.saturating_add(NOTED_EVERY) {
            noted.keep(recorded_to)?;
        }
        tell_refusals(&mut feed);
    }
    let fed = feed.finish()?;
    tell_refusals(&mut feed);
    if fed.recorded_to > noted.record {
        noted.keep(fed.recorded_to)?;
    }
    Ok((fed, broken))
}

/// The place up to which a file was taken under a mapping, as it stands in the state.
struct Noted<'s> {
    store: &'s OpenedStore,
    name: String,
    /// The number of a record; 0 before the first.
    record: u64,
}

impl<'s> Noted<'s> {
    fn read(store: &'s OpenedStore, name: String) -> Result<Self, Failure> {
        let kept = store.keyring.door_records(name.as_bytes())?;
        let of_name = kept.into_iter().find(|(found, _)| found == name.as_bytes());
        let number = of_name.and_then(|(_, value)| String::from_utf8(value).ok());
        let record = number.and_then(|number| number.parse().ok()).unwrap_or(0);
        Ok(Self { store, name, record })
    }

    fn keep(&mut self, record: u64) -> Result<(), Failure> {
        self.store.keyring.keep_door_record(self.name.as_bytes(), Some(record.to_string().as_bytes()))?;
        self.record = record;
        Ok(())
    }
}

fn text(answer: &Answer, report: &Report) -> String {
    let mut out = format!(
        "{} recorded, {} recorded before, {} refused, {} left out, in {:.1} s\n",
        answer.recorded, answer.before, answer.refused, report.left_out, answer.seconds
    );
    if answer.resumed_behind > 0 {
        let (events, behind) = (answer.resumed_events, answer.resumed_behind);
        out.push_str(&format!(
            "resumed behind record {behind}: an earlier run had recorded its {events} events\n"
        ));
    }
    if let Some(cases) = report.cases {
        out.push_str(&format!("{} records of {cases} cases\n", report.records));
    }
    if !report.odd.is_empty() {
        let rows: Vec<Vec<String>> = report
            .odd
            .iter()
            .map(|(odd, count)| {
                let first = count.first.first();
                let record = first.map(|first| first.record.to_string()).unwrap_or_default();
                let what = first.map(|first| in_line(&first.what)).unwrap_or_default();
                vec![odd.name().to_owned(), count.count.to_string(), record, what]
            })
            .collect();
        out.push_str(&table(&["odd", " records", " first", "what stands there"], &rows));
    }
    out
}

fn tell_refusals(feed: &mut Feed<'_>) {
    for (record, code, reason) in feed.refusals() {
        tell(&format!("record {record} refused: {code}: {}", in_line(&reason)));
    }
}

/// What is wrong with a log may quote it.
fn of_the_log(error: waag_import::ImportError) -> Failure {
    let failure = Failure::from(error);
    Failure { reason: in_line(&failure.reason), ..failure }
}

/// The log with its hash, and its length in bytes.
fn open(path: &Path) -> Result<(HashedFile<File>, u64), Failure> {
    // Before it is opened, since opening a pipe waits for who writes to it.
    let found = std::fs::metadata(path).map_err(CliError::file("open", path))?;
    if !found.is_file() {
        return Err(NotRegular(path.to_owned()).into());
    }
    let file = File::open(path).map_err(CliError::file("open", path))?;
    Ok((HashedFile::open(file).map_err(CliError::file("read", path))?, found.len()))
}

/// A mapping, and the hash by which it is known.
fn read_mapping(path: &Path) -> Result<(Mapping, FileHash), Failure> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(CliError::file("open", path))?;
    // One byte more than the limit, by which what is too long is known.
    let limit = MAPPING_BYTES_MAX as u64 + 1;
    file.take(limit).read_to_end(&mut bytes).map_err(CliError::file("read", path))?;
    let hash = FileHash::of(&mut &bytes[..]).map_err(CliError::file("read", path))?;
    if bytes.len() > MAPPING_BYTES_MAX {
        return Err(MappingError::TooLarge.into());
    }
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let sound = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = sound.iter().filter(|byte| **byte == b'\n').count() + 1;
        MappingError::Form { line, why: "is not UTF-8".to_owned() }
    })?;
    let mapping = Mapping::parse(text)?;
    if mapping.source() == OWN_SOURCE {
        let refusal = EventRefusal::OwnType;
        let reason = format!("the mapping's `source`: {refusal}");
        return Err(Failure { code: refusal.code(), reason, exit: Exit::Usage });
    }
    Ok((mapping, hash))
}
