//! `waag export`: everything in open formats, and whether such a folder is whole.
//!
//! Reveals and keys are recorded before the first byte of them is written, the export itself before its signed note is.

use std::path::{Path, PathBuf};

use serde::Serialize;
use waag_ledger::note::VerifierKey;
use waag_model::value::Value;

use super::failure::{CliError, Exit, Failure, chain};
use super::output::{Output, progress, tell};
use super::setting::Setting;
use crate::store::beside::{DISCLOSED, REVEALED};
use crate::store::error::StoreError;
use crate::store::exports::check::{Opened, open};
use crate::store::exports::error::ExportError;
use crate::store::exports::forms::Manifest;
use crate::store::exports::{EXPORTED, Wanted, Written, events_of, write};
use crate::store::keeping::{Kept, keep};
use crate::store::own::{Members, own_event};
use crate::store::reader::{OpenedReader, open_reader};

const HELP: &str = "\
The way out: every event as JSON Lines and CSV, one file of each for every type; the sealed entries and their hashes as
C2SP tlog-tiles, with the signed checkpoint; blobs, schemas, key records, tombstones, subscriptions, dead letters; and a
signed manifest with the SHA-256 of every file. Persons' fields are masked unless --reveal gives a reason. It runs beside
a node. docs/reference/export.md has the form of every file.

With --keys the export opens everything, and is as secret as the store itself. `waag rebuild` makes a store from an export.

An export that was broken off is not gone on with: it has no signed note, so nothing takes it for an export. Remove its
folder, and begin anew; what --reveal and --keys had recorded stays recorded.

Example:
  waag export --all exit-2026-11-21
  waag export --all exit-2026-11-21 --reveal \"contract ends\" --keys \"contract ends\"
  waag export --check exit-2026-11-21 --public-key ledger.vkey";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Write everything into this folder, which must be new or empty
    #[arg(long, value_name = "DIR", required_unless_present = "check", conflicts_with = "check")]
    all: Option<PathBuf>,

    /// Check an export: every file, every entry, every hash
    #[arg(long, value_name = "DIR")]
    check: Option<PathBuf>,

    /// Write persons' fields in clear, for this reason, which is recorded
    #[arg(long, value_name = "REASON", requires = "all")]
    reveal: Option<String>,

    /// Write every data key too, for this reason, which is recorded
    #[arg(long, value_name = "REASON", requires = "all")]
    keys: Option<String>,

    /// For --check: the ledger's public key, or a file with such keys, one a line; from elsewhere than the export
    #[arg(long, value_name = "VKEY|FILE", requires = "check")]
    public_key: Vec<String>,
}

/// What was written, or checked.
#[derive(Serialize)]
struct Answer<'a> {
    folder: String,
    origin: &'a str,
    entries: u64,
    root: &'a str,
    types: usize,
    files: u64,
    bytes: u64,
    revealed: bool,
    keys: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trusted: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signed_by: Vec<String>,
}

impl<'a> Answer<'a> {
    /// What the manifest says.
    fn of(folder: &Path, manifest: &'a Manifest) -> Self {
        Self {
            folder: folder.display().to_string(),
            origin: &manifest.ledger.origin,
            entries: manifest.ledger.tree_size,
            root: &manifest.ledger.root,
            types: manifest.types.len(),
            files: manifest.files.count,
            bytes: manifest.files.bytes,
            revealed: manifest.revealed,
            keys: manifest.keys,
            manifest_sha256: None,
            position: None,
            trusted: None,
            signed_by: Vec::new(),
        }
    }
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        let exit = match &error {
            ExportError::Store(StoreError::Empty)
            | ExportError::Folder(_)
            | ExportError::NoSigner
            | ExportError::Unprotected => Exit::Usage,
            ExportError::Damaged { .. } | ExportError::Files(_) | ExportError::Unsigned(_) => Exit::Refused,
            ExportError::Store(_) | ExportError::Router(_) | ExportError::Unrecorded(..) => Exit::Environment,
        };
        Self { code: error.code(), reason: chain(&error), exit }
    }
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    match (&args.all, &args.check) {
        (Some(folder), _) => all(setting, args, folder, output),
        (None, Some(folder)) => check(args, folder, output),
        (None, None) => Err(Failure::usage("say what: --all DIR or --check DIR")),
    }
}

fn all(setting: &Setting, args: &Args, folder: &Path, output: &mut Output) -> Result<Exit, Failure> {
    setting.must_be_outside(folder)?;
    let (place, options) = (setting.place()?, setting.options()?);
    let reveal = reason("--reveal", args.reveal.as_deref())?;
    let keys = reason("--keys", args.keys.as_deref())?;
    // What would be refused is refused before anything is recorded.
    let size = open_reader(&place, &options)?.guard.size;
    if size == 0 {
        return Err(ExportError::from(StoreError::Empty).into());
    }
    if std::fs::read_dir(folder).is_ok_and(|mut names| names.next().is_some()) {
        return Err(ExportError::Folder(folder.to_owned()).into());
    }
    if let Some(reason) = reveal {
        let all = vec![("from", Value::Integer(0)), ("to", Value::Integer(size.into()))];
        record_first(setting, REVEALED, "reveal", reason, all)?;
    }
    if let Some(reason) = keys {
        let what = Value::Text("every data key, for an export".into());
        record_first(setting, DISCLOSED, "disclosure", reason, vec![("what", what)])?;
    }
    let store = open_reader(&place, &options)?;
    let wanted = Wanted {
        revealed: reveal.is_some(),
        keys: keys.is_some(),
        // A vault that has none refuses one, so the store was opened with what it has.
        passphrase: options.passphrase.is_some(),
        by: setting.actor()?,
        at: options.clock.now(),
    };
    let (written, position) = write_all(setting, &store, folder, &wanted, reveal.or(keys))?;
    let manifest = &written.manifest;
    let manifest_sha256 = Some(hex::encode(written.digest));
    let answer = Answer { manifest_sha256, position, ..Answer::of(folder, manifest) };
    output.answer(&answer, || {
        format!(
            "exported: {} entries of {} types, {} files, {} bytes, to `{}`\nmanifest: sha256 {}\n",
            answer.entries,
            answer.types,
            answer.files,
            answer.bytes,
            answer.folder,
            answer.manifest_sha256.as_deref().unwrap_or_default()
        )
    })?;
    if manifest.keys {
        tell(
            "warning: this export holds every data key: whoever reads it reads every event and every person in it.\n\
             warning: an erasure does not reach it. Keep it like the store itself, and destroy it in time.",
        );
    } else if manifest.revealed {
        tell("warning: this export holds persons' fields in clear; an erasure does not reach it");
    }
    Ok(Exit::Done)
}

/// Writes it, and records it before its note is written; where that is recorded.
fn write_all(
    setting: &Setting,
    store: &OpenedReader,
    folder: &Path,
    wanted: &Wanted,
    reason: Option<&str>,
) -> Result<(Written, Option<u64>), Failure> {
    let bar = progress(Some(store.guard.size), "entries");
    let mut position = None;
    let mut heard = |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    };
    let mut record = |written: &Written| {
        let recorded = record_done(setting, written, reason);
        position = recorded.map_err(|failure| ExportError::Unrecorded(failure.code, failure.reason))?;
        Ok(())
    };
    let written = write(store, folder, wanted, &mut heard, &mut record)?;
    bar.finish_and_clear();
    Ok((written, position))
}

fn reason<'a>(option: &str, given: Option<&'a str>) -> Result<Option<&'a str>, Failure> {
    match given.map(str::trim) {
        Some("") => Err(Failure::usage(format!("{option} needs a reason"))),
        other => Ok(other),
    }
}

fn record(setting: &Setting, kind: &str, members: Members<'_>) -> Result<u64, Failure> {
    let event =
        own_event(kind, None, members).map_err(|_| StoreError::Keys(waag_keys::error::KeysError::Entropy))?;
    setting.record(&event)
}

fn record_first<'a>(
    setting: &Setting,
    kind: &'a str,
    word: &str,
    reason: &'a str,
    mut members: Members<'a>,
) -> Result<(), Failure> {
    members.push(("reason", Value::Text(reason.into())));
    let position = record(setting, kind, members)?;
    tell(&format!("note: this {word} is recorded at position {position}"));
    Ok(())
}

fn record_done(setting: &Setting, written: &Written, reason: Option<&str>) -> Result<Option<u64>, Failure> {
    let manifest = &written.manifest;
    let number = |n: u64| Value::Integer(n.into());
    let members = vec![
        ("manifest_sha256", Value::Text(hex::encode(written.digest).into())),
        ("tree_size", number(manifest.ledger.tree_size)),
        ("events", number(events_of(&manifest.types))),
        ("types", number(manifest.types.len() as u64)),
        ("files", number(manifest.files.count)),
        ("bytes", number(manifest.files.bytes)),
        ("revealed", Value::Bool(manifest.revealed)),
        ("keys", Value::Bool(manifest.keys)),
        ("reason", reason.map_or(Value::Null, |reason| Value::Text(reason.into()))),
    ];
    let event = own_event(EXPORTED, None, members)
        .map_err(|_| StoreError::Keys(waag_keys::error::KeysError::Entropy))?;
    let kept = Kept { event: Some(event), record: Some(written.record()), ends_with_position: true };
    let (place, options, actor) = (setting.written_place()?, setting.options()?, setting.actor()?);
    keep(&place, &options, &actor, &kept).map_err(|error| Failure {
        code: error.code(),
        reason: chain(&error),
        exit: Exit::Environment,
    })
}

/// Public keys from the command line: a vkey, or a file with one a line.
pub(super) fn public_keys(given: &[String]) -> Result<Vec<VerifierKey>, Failure> {
    let mut keys = Vec::new();
    for text in given {
        if let Ok(key) = text.parse() {
            keys.push(key);
            continue;
        }
        let lines = std::fs::read_to_string(text).map_err(CliError::file("read", text.as_ref()))?;
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let key = line.parse();
            keys.push(key.map_err(|_| Failure::usage(format!("`{text}` has a line that is no public key")))?);
        }
    }
    if keys.is_empty() && !given.is_empty() {
        return Err(Failure::usage("the files of --public-key hold no key"));
    }
    Ok(keys)
}

/// Opens and checks an export: every file, and unless a rebuild will do it, every entry.
pub(super) fn checked(folder: &Path, keys: &[String], with_entries: bool) -> Result<Opened, Failure> {
    let export = open(folder, &public_keys(keys)?)?;
    if !export.trusted {
        tell(
            "warning: only the keys that the export itself names have signed it; with --public-key it is held against \
             a key from elsewhere",
        );
    }
    let bar = progress(Some(export.manifest.files.bytes), "bytes");
    export.check_files(&mut |done, _| bar.set_position(done))?;
    bar.finish_and_clear();
    if with_entries {
        let bar = progress(Some(export.manifest.ledger.tree_size), "entries");
        export.check_entries(&mut |done, _| bar.set_position(done))?;
        bar.finish_and_clear();
    }
    Ok(export)
}

fn check(args: &Args, folder: &Path, output: &mut Output) -> Result<Exit, Failure> {
    let export = checked(folder, &args.public_key, true)?;
    let manifest = &export.manifest;
    let answer = Answer {
        trusted: Some(export.trusted),
        signed_by: export.signed_by.iter().map(ToString::to_string).collect(),
        ..Answer::of(folder, manifest)
    };
    output.answer(&answer, || {
        format!(
            "whole: {} entries of {} types, {} files, {} bytes, root {}\nsigned by {}\n\
             each event is of its entry, by position, hash, type and times; what else it says {}\n",
            answer.entries,
            answer.types,
            answer.files,
            answer.bytes,
            answer.root,
            answer.signed_by.join(", "),
            if manifest.keys {
                "is compared by `waag rebuild`, with the keys in this export"
            } else {
                "is signed by the ledger and not compared: its parts are sealed, and their keys are not in this export"
            }
        )
    })?;
    Ok(Exit::Done)
}
