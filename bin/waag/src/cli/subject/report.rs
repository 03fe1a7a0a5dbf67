//! `waag subject report`: what is held about a person, as text, as JSON lines, or as the person's copy in a folder.
//!
//! All ledgers of the tenant are read: a promotion leaves the one before it, with keys that are common to both.
//! The report is recorded before anything of it is shown. It may be made and revealed while the person's data is restricted:
//! the right of access (GDPR art. 15) is the person's own.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::value::RawValue;
use waag_cloudevents::write_value;
use waag_entry::plain::Field;
use waag_keys::error::KeysError;
use waag_keys::keyring::Keyring;
use waag_model::ids::Tag;
use waag_model::time::UtcNanos;

use crate::cli::failure::{CliError, Exit, Failure};
use crate::cli::mask::mask_fields;
use crate::cli::output::{Output, progress, tell};
use crate::cli::setting::Setting;
use crate::store::error::StoreError;
use crate::store::ledgers::Earlier;
use crate::store::lines::event_json;
use crate::store::own::own_event;
use crate::store::reader::{OpenedReader, open_reader};
use crate::store::subjects::packs::{exports, packs_of};
use crate::store::subjects::report::{About, REPORTED, entries, reported};
use crate::store::subjects::told::{ExportOut, PackOut, Row, Standing};
use crate::store::subjects::{self, Order, SubjectsError, intents, rules, standing, tag_text};

/// The file that tells what is held, in the person's copy.
const REPORT_FILE: &str = "report.json";
/// The file with each entry's fields, in the person's copy.
const ENTRIES_FILE: &str = "entries.jsonl";
/// Stands for a reason that nobody gave, where an order is checked.
const NO_REASON: &str = "-";
/// What subscribers have been sent.
const DELIVERED: &str = "subscribers get the common part of events, never a person's fields";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The person's id; `-` reads it from standard input
    #[arg(long, value_name = "ID")]
    person: String,

    /// Show the values
    #[arg(long, requires = "reason")]
    reveal: bool,

    /// Why; recorded, so it must not name the person
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    /// Write the person's copy into this folder, which is made or is empty
    #[arg(long, value_name = "DIR", requires = "reveal")]
    out: Option<PathBuf>,
}

/// Copies of keys in backups.
#[derive(Serialize)]
struct Backups {
    /// How many backups hold copies of keys that have not expired.
    holding_keys: usize,
    /// When the last of these copies expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_expires: Option<String>,
}

/// What is held, without the entries.
#[derive(Serialize)]
struct Report {
    /// The person's tag.
    person: String,
    /// The present ledger, or the one that was asked for.
    origin: String,
    /// How many entries that ledger had.
    entries_in_ledger: u64,
    /// Every ledger that was read, the oldest first.
    ledgers: Vec<LedgerRead>,
    /// Whether values are shown.
    revealed: bool,
    /// Where the report is recorded.
    position: u64,
    held: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restriction: Option<Standing>,
    packs: Vec<PackOut>,
    exports: Vec<ExportOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backups: Option<Backups>,
    deliveries: &'static str,
    /// Other ledgers of the tenant, which this report has no entries of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ledgers_not_read: Vec<String>,
}

/// A ledger that was read.
#[derive(Serialize)]
struct LedgerRead {
    ledger: String,
    origin: String,
    /// How many entries it had.
    entries: u64,
}

#[derive(Serialize)]
struct FieldJson {
    path: String,
    value: Box<RawValue>,
}

#[derive(Serialize)]
struct EntryJson<'a> {
    /// The ledger's id.
    ledger: &'a str,
    position: u64,
    accepted: String,
    r#type: &'a str,
    class: &'a str,
    fields: Vec<FieldJson>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Line<'a> {
    Subject(&'a Report),
    Entry(&'a EntryJson<'a>),
    End { entries: u64 },
}

pub(super) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let (place, options, by) = (setting.place()?, setting.options()?, setting.actor()?);
    let given = super::person(&args.person)?;
    let reason = args.reason.as_deref().map(str::trim);
    Order { person: &given.0, reason: reason.unwrap_or(NO_REASON), by: &by }.check()?;
    args.out.as_deref().map_or(Ok(()), |folder| setting.must_be_outside(folder))?;
    let folder = args.out.as_deref().map(empty_folder).transpose()?;
    let store = open_reader(&place, &options)?;
    super::tell_unknown(&store)?;
    let person = store.keyring.person_tag(&given.0);
    drop(store);
    let position = record(setting, person, args.reveal, reason)?;
    let store = open_reader(&place, &options)?;
    // Where one ledger is asked for by its id, it alone is read.
    let earlier = match place.before {
        None => Earlier::open(&place, &store.keyring)?,
        Some(_) => Earlier::default(),
    };
    let stores: Vec<&OpenedReader> = earlier.opened.iter().chain([&store]).collect();
    let report = overview(&store, &stores, person, args.reveal, position, options.clock.now())?;
    let mut to = match folder {
        None => To::Output(output),
        Some(folder) => To::Folder(BufWriter::new(private(&folder.join(ENTRIES_FILE))?), folder, output),
    };
    to.begin(&report)?;
    let count = read_all(&stores, person, args.reveal, &mut to)?;
    to.end(&report, count)?;
    tell_not_read(&report, &earlier);
    if report.held.is_empty() {
        super::tell_none_held(setting, &tag_text(person))?;
    }
    Ok(if earlier.closed.is_empty() { Exit::Done } else { Exit::Refused })
}

/// Hands on every entry of every ledger; how many there are.
fn read_all(stores: &[&OpenedReader], person: Tag, reveal: bool, to: &mut To<'_>) -> Result<u64, Failure> {
    let bar = progress(Some(stores.iter().map(|store| store.end().0).sum()), "entries");
    let (mut count, mut before) = (0_u64, 0_u64);
    for store in stores {
        let ledger = store.ledger.id.to_string();
        let is_one_of_several = stores.len() > 1;
        let ahead = &mut |at: u64| bar.set_position(before.saturating_add(at));
        let found = entries(&store.reader, person, ahead, &mut |about| {
            let told = told(about, reveal).and_then(|(about, fields)| {
                let json = EntryJson {
                    ledger: &ledger,
                    position: about.position.0,
                    accepted: about.accepted.to_string(),
                    r#type: about.kind,
                    class: about.class,
                    fields,
                };
                to.entry(&json, is_one_of_several)
            });
            told.map_err(Wrong::Shown)
        });
        count = match found {
            Ok(found) => count.saturating_add(found),
            Err(Wrong::Store(error)) => return Err(error.into()),
            Err(Wrong::Shown(failure)) => return Err(failure),
        };
        before = before.saturating_add(store.end().0);
    }
    bar.finish_and_clear();
    Ok(count)
}

/// Says which ledgers this report has nothing of.
fn tell_not_read(report: &Report, earlier: &Earlier) {
    for (ledger, error) in &earlier.closed {
        let code = error.code();
        tell(&format!("warning: {code}: the earlier ledger {ledger} of this store was not read: {error}"));
    }
    let is_closed = |id: &&String| earlier.closed.iter().any(|(ledger, _)| ledger.to_string() == **id);
    for ledger in report.ledgers_not_read.iter().filter(|id| !is_closed(id)) {
        tell(&format!("warning: the ledger {ledger} of this store was not read; without --earlier all are"));
    }
}

/// What ends the reading.
enum Wrong {
    Store(StoreError),
    Shown(Failure),
}

impl From<StoreError> for Wrong {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn record(setting: &Setting, person: Tag, reveal: bool, reason: Option<&str>) -> Result<u64, Failure> {
    let event = own_event(REPORTED, None, reported(person, reason, reveal))
        .map_err(|_| StoreError::Keys(KeysError::Entropy))?;
    let position = setting.record(&event)?;
    tell(&format!("note: this report is recorded at position {position}"));
    Ok(position)
}

fn overview(
    store: &OpenedReader,
    read: &[&OpenedReader],
    person: Tag,
    revealed: bool,
    position: u64,
    now: UtcNanos,
) -> Result<Report, Failure> {
    let keyring = &store.keyring;
    let retention = rules::in_use(keyring)?;
    let backups = intents::backups(keyring)?.map(|backups| {
        let living: Vec<UtcNanos> =
            backups.into_iter().map(|(_, expire)| expire).filter(|expire| *expire > now).collect();
        let last_expires = living.iter().max().map(ToString::to_string);
        Backups { holding_keys: living.len(), last_expires }
    });
    Ok(Report {
        person: tag_text(person),
        origin: store.ledger.origin.clone(),
        entries_in_ledger: store.end().0,
        ledgers: read.iter().map(|store| ledger_read(store)).collect(),
        revealed,
        position,
        held: subjects::held(keyring, &retention, person, now.day())?,
        restriction: keyring.restriction(person)?.as_ref().map(standing),
        packs: packs_of(keyring, person)?,
        exports: exports(keyring)?,
        backups,
        deliveries: DELIVERED,
        ledgers_not_read: not_read(keyring, read)?,
    })
}

fn ledger_read(store: &OpenedReader) -> LedgerRead {
    let (ledger, origin) = (store.ledger.id.to_string(), store.ledger.origin.clone());
    LedgerRead { ledger, origin, entries: store.end().0 }
}

/// The ids of the tenant's ledgers that are not read.
fn not_read(keyring: &Keyring, read: &[&OpenedReader]) -> Result<Vec<String>, Failure> {
    let is_read = |id| read.iter().any(|store| store.ledger.id == id);
    let others = keyring.ledger_facts()?.into_iter().filter(|ledger| !is_read(ledger.id));
    Ok(others.map(|ledger| ledger.id.to_string()).collect())
}

/// A part's fields, masked unless they are revealed.
fn told(mut about: About<'_>, reveal: bool) -> Result<(About<'_>, Vec<FieldJson>), Failure> {
    let fields = std::mem::take(&mut about.fields);
    let fields = if reveal { fields } else { mask_fields(fields, true, &mut Vec::new()) };
    let kind = about.kind;
    let json = |(path, field): (std::borrow::Cow<'_, str>, Field<'_>)| {
        let value = match field {
            Field::Value(value) => {
                let mut bytes = Vec::new();
                write_value(&value, &mut bytes);
                let read = String::from_utf8(bytes).map_err(|_| std::io::Error::other("not UTF-8"));
                let raw = read.and_then(|text| RawValue::from_string(text).map_err(Into::into));
                raw.map_err(CliError::Output)?
            }
            Field::Event(event) => event_json(*event, kind).map_err(CliError::Output)?,
        };
        Ok(FieldJson { path: path.into_owned(), value })
    };
    let fields = fields.into_iter().map(json).collect::<Result<_, Failure>>()?;
    Ok((about, fields))
}

/// Where a report goes.
enum To<'o> {
    Output(&'o mut Output),
    Folder(BufWriter<File>, PathBuf, &'o mut Output),
}

impl To<'_> {
    fn begin(&mut self, report: &Report) -> Result<(), Failure> {
        match self {
            Self::Output(output) => output.answer(&Line::Subject(report), || overview_text(report)),
            Self::Folder(..) => Ok(()),
        }
    }

    fn entry(&mut self, entry: &EntryJson<'_>, is_one_of_several: bool) -> Result<(), Failure> {
        match self {
            Self::Output(output) => {
                output.answer(&Line::Entry(entry), || entry_text(entry, is_one_of_several))
            }
            Self::Folder(file, folder, _) => {
                let written = serde_json::to_writer(&mut *file, entry).map_err(std::io::Error::from);
                let written = written.and_then(|()| file.write_all(b"\n"));
                Ok(written.map_err(CliError::file("write", &folder.join(ENTRIES_FILE)))?)
            }
        }
    }

    fn end(self, report: &Report, entries: u64) -> Result<(), Failure> {
        match self {
            Self::Output(output) => output.answer(&Line::End { entries }, || format!("{entries} entries\n")),
            Self::Folder(file, folder, output) => {
                let path = folder.join(ENTRIES_FILE);
                let file =
                    file.into_inner().map_err(|error| CliError::file("write", &path)(error.into_error()))?;
                file.sync_all().map_err(CliError::file("write", &path))?;
                let path = folder.join(REPORT_FILE);
                let file = private(&path)?;
                serde_json::to_writer_pretty(&file, report)
                    .map_err(std::io::Error::from)
                    .and_then(|()| file.sync_all())
                    .map_err(CliError::file("write", &path))?;
                output.answer(&Line::End { entries }, || {
                    format!("{entries} entries in `{}`\n", folder.display())
                })
            }
        }
    }
}

fn overview_text(report: &Report) -> String {
    let mut text = format!("person {} in {}\n", report.person, report.origin);
    if report.ledgers.len() > 1 {
        for LedgerRead { ledger, entries, .. } in &report.ledgers {
            text.push_str(&format!("  read: the ledger {ledger}, {entries} entries\n"));
        }
    }
    for row in &report.held {
        let may = if row.erasable { "erased on request" } else { "kept by law" };
        text.push_str(&format!(
            "  {}  {}  {}, {may}, until {}\n",
            row.class,
            row.period,
            super::keys(row.keys),
            row.until
        ));
        for law in &row.law {
            text.push_str(&format!("      {law}\n"));
        }
    }
    if let Some(restriction) = &report.restriction {
        let until = restriction.until.as_deref().unwrap_or("it is lifted");
        let (since, reason) = (&restriction.since, &restriction.reason);
        text.push_str(&format!("restricted since {since} until {until}: {reason}\n"));
    }
    for pack in &report.packs {
        let (digest, made, by) = (&pack.digest, &pack.made, &pack.by);
        text.push_str(&format!("handed out: pack {digest}, made {made} by {by}\n"));
    }
    for export in &report.exports {
        text.push_str(&format!("handed out: {}\n", export.line()));
    }
    match &report.backups {
        None => text.push_str("backups: the record of one cannot be read\n"),
        Some(Backups { holding_keys, last_expires: Some(last) }) => {
            text.push_str(&format!("backups: {holding_keys} hold copies of keys, the last until {last}\n"));
        }
        Some(Backups { last_expires: None, .. }) => text.push_str("backups: none holds a copy of keys\n"),
    }
    text.push_str(&format!("deliveries: {}\n", report.deliveries));
    text
}

fn entry_text(entry: &EntryJson<'_>, is_one_of_several: bool) -> String {
    let ledger = if is_one_of_several { format!("  in {}", entry.ledger) } else { String::new() };
    let EntryJson { position, accepted, r#type: type_, class, .. } = entry;
    let mut text = format!("{position}  {accepted}  {type_}  {class}{ledger}\n");
    for field in &entry.fields {
        let path = if field.path.is_empty() { "the whole event" } else { &field.path };
        text.push_str(&format!("    {path}  {}\n", field.value));
    }
    text
}

/// A folder for a person's copy, for its owner only.
fn empty_folder(folder: &Path) -> Result<PathBuf, Failure> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(CliError::file("make", folder))?;
    let mut inside = std::fs::read_dir(folder).map_err(CliError::file("read", folder))?;
    if inside.next().is_some() {
        return Err(SubjectsError::Folder(folder.to_owned()).into());
    }
    Ok(folder.to_owned())
}

fn private(path: &Path) -> Result<File, Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    Ok(file.map_err(CliError::file("write", path))?)
}
