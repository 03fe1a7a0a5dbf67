//! `waag verify`: the whole store, and what is wrong with it by file and place.

use serde::Serialize;

use super::failure::{Exit, Failure};
use super::output::{Output, progress};
use super::setting::Setting;
use crate::store::verify::{Depth, Fault, Note, Report, verify};

const HELP: &str = "\
Checked: the guard and its signature, every record of the state and SQLite's write-ahead log, the vault, every frame,
entry, link and root of the log up to the guard, every key and blob an entry names, every object, every registered
schema, every byte of the derived files; and that no unknown file stands among them. --deep also opens every part that
can be opened, and looks every identity up. It runs beside a writer, takes no lock, and changes nothing but derived
files that are wrong: these are made again where no writer runs (--read-only leaves them).

Bytes beyond the guard are told as residue: perhaps they were never acknowledged, or the guard was taken back. What would
keep the store from being written is a fault. What the ledger's own events tell of destroyed keys and restricted persons,
and what was published of the ledger, is held against the state.

With --json: `ok`, `entries`, `frames`, `root`, and `faults`, each with `file`, `offset`, `position`, `reason`, `code`,
for the state also `table` and `record`.

Example:
  waag verify
  waag verify --json --deep";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Also open every part whose key is there, and look every identity up
    #[arg(long)]
    deep: bool,

    /// Change nothing, not even derived files
    #[arg(long)]
    read_only: bool,
}

#[derive(Serialize)]
struct FaultJson<'a> {
    file: String,
    offset: Option<u64>,
    position: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<&'a str>,
    code: &'a str,
    reason: &'a str,
}

#[derive(Serialize)]
struct NoteJson<'a> {
    file: String,
    what: &'a str,
    rebuilt: bool,
}

#[derive(Serialize)]
struct ResidueJson<'a> {
    frames: u64,
    entries: u64,
    bytes: Vec<FaultJson<'a>>,
}

#[derive(Serialize)]
struct Answer<'a> {
    ok: bool,
    entries: u64,
    frames: u64,
    root: Option<String>,
    origin: Option<&'a str>,
    objects: u64,
    faults: Vec<FaultJson<'a>>,
    faults_total: u64,
    residue: ResidueJson<'a>,
    derived: Vec<NoteJson<'a>>,
}

fn fault_json(fault: &Fault) -> FaultJson<'_> {
    FaultJson {
        file: fault.file.display().to_string(),
        offset: fault.offset,
        position: fault.position.map(|position| position.0),
        table: fault.record.as_ref().map(|(table, _)| table.as_str()),
        record: fault.record.as_ref().map(|(_, record)| record.as_str()),
        code: fault.code,
        reason: &fault.reason,
    }
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let bar = progress(Some(u64::MAX), "entries");
    let depth = Depth { deep: args.deep, rebuild: !args.read_only };
    let report = verify(&setting.place()?, &setting.options()?, depth, &mut |done, all| {
        if done % 4_096 == 0 {
            bar.set_length(all);
            bar.set_position(done);
        }
    })?;
    bar.finish_and_clear();
    let note = |note: &Note| (note.file.display().to_string(), note.what.clone(), note.rebuilt);
    let notes: Vec<(String, String, bool)> = report.notes.iter().map(note).collect();
    let answer = Answer {
        ok: report.verified(),
        entries: report.entries,
        frames: report.frames,
        root: report.root.map(|root| root.to_string()),
        origin: report.origin.as_deref(),
        objects: report.objects,
        faults: report.faults.iter().map(fault_json).collect(),
        faults_total: report.faults_total,
        residue: ResidueJson {
            frames: report.residue_frames,
            entries: report.residue_entries,
            bytes: report.residue.iter().map(fault_json).collect(),
        },
        derived: notes
            .iter()
            .map(|(file, what, rebuilt)| NoteJson { file: file.clone(), what, rebuilt: *rebuilt })
            .collect(),
    };
    output.answer(&answer, || text(&report, &answer))?;
    Ok(if answer.ok { Exit::Done } else { Exit::Refused })
}

/// So many of something, in words that fit the number.
fn counted(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// Where a fault is, without what is not known. An offset of 0 without a position stands for a whole file.
fn place_text(fault: &FaultJson<'_>) -> String {
    let mut text = fault.file.clone();
    if let Some(offset) = fault.offset.filter(|offset| *offset > 0 || fault.position.is_some()) {
        text.push_str(&format!(" at offset {offset}"));
    }
    if let Some(table) = fault.table.filter(|_| fault.record.is_some_and(|record| !record.is_empty())) {
        text.push_str(&format!(", table {table}, record {}", fault.record.unwrap_or_default()));
    }
    if let Some(position) = fault.position {
        text.push_str(&format!(", position {position}"));
    }
    text
}

/// One line for each file and reason: a copied segment says the same of every frame.
fn summed(faults: &[FaultJson<'_>], line: impl Fn(&FaultJson<'_>) -> String) -> String {
    let mut lines: Vec<(&FaultJson<'_>, u64)> = Vec::new();
    for fault in faults {
        let same =
            |(told, _): &&mut (&FaultJson<'_>, u64)| (&told.file, told.code) == (&fault.file, fault.code);
        // Records of the state are told one by one: each is another person's or key's.
        match lines.iter_mut().find(same).filter(|_| fault.table.is_none()) {
            Some((_, more)) => *more += 1,
            None => lines.push((fault, 0)),
        }
    }
    let mut text = String::new();
    for (fault, more) in lines {
        text.push_str(&line(fault));
        if more > 0 {
            text.push_str(&format!(", and {more} more of this kind in this file"));
        }
        text.push('\n');
    }
    text
}

fn text(report: &Report, answer: &Answer<'_>) -> String {
    let mut text =
        summed(&answer.faults, |fault| format!("{}: {}: {}", fault.code, place_text(fault), fault.reason));
    if report.faults_total > answer.faults.len() as u64 {
        text.push_str(&format!("… {} in all\n", counted(report.faults_total, "fault", "faults")));
    }
    let beyond = "beyond the guard";
    text.push_str(&summed(&answer.residue.bytes, |fault| {
        format!("{beyond}: {}: {}", place_text(fault), fault.reason)
    }));
    if answer.residue.frames > 0 {
        let frames = counted(answer.residue.frames, "whole frame", "whole frames");
        text.push_str(&format!(
            "{beyond}: {frames}: perhaps never acknowledged, or the guard was taken back; compare with the newest \
             receipt (beside a running writer: what it is writing now)\n"
        ));
    }
    for note in &answer.derived {
        let done = if note.rebuilt { "; made again" } else { "" };
        text.push_str(&format!("note: {}: {}{done}\n", note.file, note.what));
    }
    let verdict = if answer.ok { "verified" } else { "NOT verified" };
    let entries = counted(answer.entries, "entry", "entries");
    let frames = counted(answer.frames, "frame", "frames");
    match answer.root.as_deref() {
        _ if answer.ok && answer.entries == 0 => {
            text.push_str("verified: the ledger has no entry yet, and its guard says so\n");
        }
        Some(root) => text.push_str(&format!("{verdict}: {entries} in {frames}, root {root}\n")),
        None => text.push_str(&format!("{verdict}: {entries} in {frames}; the root could not be computed\n")),
    }
    text
}
