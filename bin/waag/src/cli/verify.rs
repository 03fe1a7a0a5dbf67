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

A ledger without entries is not verified: there is nothing that could be wrong.
Bytes beyond the guard were never acknowledged; they are told as residue.

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

fn text(report: &Report, answer: &Answer<'_>) -> String {
    let mut text = String::new();
    for fault in &answer.faults {
        let offset = fault.offset.map(|offset| format!(" at offset {offset}")).unwrap_or_default();
        let record = match (fault.table, fault.record) {
            (Some(table), Some(record)) => format!(", table {table}, record {record}"),
            _ => String::new(),
        };
        let position = fault.position.map(|position| format!(", position {position}")).unwrap_or_default();
        text.push_str(&format!(
            "{}: {}{offset}{record}{position}: {}\n",
            fault.code, fault.file, fault.reason
        ));
    }
    if report.faults_total > answer.faults.len() as u64 {
        text.push_str(&format!("… {} faults in all\n", report.faults_total));
    }
    for fault in &answer.residue.bytes {
        text.push_str(&format!(
            "residue, never acknowledged: {} at offset {}: {}\n",
            fault.file,
            fault.offset.unwrap_or(0),
            fault.reason
        ));
    }
    if answer.residue.frames > 0 {
        text.push_str(&format!("residue, never acknowledged: {} whole frames\n", answer.residue.frames));
    }
    for note in &answer.derived {
        let done = if note.rebuilt { "; made again" } else { "" };
        text.push_str(&format!("derived: {}: {}{done}\n", note.file, note.what));
    }
    let verdict = if answer.ok { "verified" } else { "NOT verified" };
    let root = answer.root.as_deref().unwrap_or("unknown");
    text.push_str(&format!(
        "{verdict}: {} entries in {} frames, root {root}\n",
        answer.entries, answer.frames
    ));
    text
}
