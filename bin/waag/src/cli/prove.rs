//! `waag prove`: one entry's proof under the newest checkpoint, checked before it is handed out.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use waag_engine::reader::ReadFault;
use waag_entry::form::{Entry, Role};
use waag_ledger::hash::leaf_hash;
use waag_ledger::tlog_proof::TlogProof;
use waag_model::ids::Position;
use waag_model::value::Value;

use super::checkpoint::{KeyJson, public_keys};
use super::disclose::{Disclosed, DisclosedJson};
use super::failure::{CliError, Exit, Failure};
use super::new_file::{Readers, must_be_new, write_new};
use super::output::{Output, tell};
use super::setting::{Setting, resolved};
use crate::store::beside::DISCLOSED;
use crate::store::error::StoreError;
use crate::store::own::own_event;
use crate::store::reader::{OpenedReader, open_reader};
use crate::store::subjects::reason::{Against, checked};

const HELP: &str = "\
The proof is a C2SP tlog-proof. With the entry's bytes and a public key (`waag checkpoint --key`) anybody can check it:
  waag-verify --entry 42.entry --proof 42.tlog-proof --key @ledger.vkey
--disclose PART hands out the secret of one part (0 is the common part, 1 to 7 are persons'), and records that it did; where
another process writes the store, that process is asked to record it. It opens this part of this entry and nothing else.

Example:
  waag prove 42 --out 42.tlog-proof --entry-out 42.entry
  waag prove 42 --json --disclose 0 --reason \"audit 2026\"";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The event's position
    position: u64,

    /// Write the proof to this new file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Write the entry's bytes to this new file
    #[arg(long, value_name = "FILE")]
    entry_out: Option<PathBuf>,

    /// Hand out the secret of this part; may be given several times
    #[arg(long, value_name = "PART", value_parser = clap::value_parser!(u8).range(0..=7))]
    disclose: Vec<u8>,

    /// Write secrets, dictionaries and blobs of disclosed parts as files into this folder instead of printing secrets
    #[arg(long, value_name = "DIR", requires = "disclose")]
    disclose_to: Option<PathBuf>,

    /// Why a part is disclosed; recorded, so it must name nobody
    #[arg(long, value_name = "TEXT", requires = "disclose")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct Answer<'a> {
    position: u64,
    leaf_hash: String,
    tree_size: u64,
    root: String,
    checkpoint: &'a str,
    proof: &'a str,
    /// The entry's bytes in base 64.
    entry: String,
    keys: Vec<KeyJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    disclosed: Vec<DisclosedJson>,
    /// Parts that were asked for and cannot be opened any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    erased: Vec<u8>,
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let prints_both = !output.is_json() && args.out.is_none() && args.disclose_to.is_none();
    if !args.disclose.is_empty() && prints_both {
        return Err(Failure::usage(
            "--disclose needs --json, --out or --disclose-to, so that proof and secrets stay apart",
        ));
    }
    must_be_free(setting, args)?;
    let reason = args.reason.as_deref().map(checked).transpose()?;
    let (place, options) = (setting.place()?, setting.options()?);
    let mut store = open_reader(&place, &options)?;
    let position = Position(args.position);
    let bytes = store.reader.bytes(position)?;
    let entry = Entry::read(&bytes).map_err(ReadFault::Entry)?;
    refuse_restricted(&store, &entry, &args.disclose)?;
    if let Some(reason) = reason {
        let mut against = Against::new(&store.keyring, [reason])?;
        let mut persons = entry.parts.iter().filter(|part| part.role == Role::Person);
        persons.try_for_each(|part| against.key(part.key_id))?;
    }
    let (disclosed, erased) = open_parts(&store, &entry, &args.disclose)?;
    if let Some(folder) = &args.disclose_to {
        disclosed.iter().try_for_each(|one| one.must_be_new(folder))?;
    }
    if !disclosed.is_empty() {
        let parts: Vec<usize> = disclosed.iter().map(|one| one.part).collect();
        record_disclosure(setting, position, &parts, reason)?;
        store = open_reader(&place, &options)?;
    }
    let leaf = leaf_hash(&bytes);
    let proof = store.prove(position, &leaf)?;
    let proof = TlogProof::new(proof, &store.checkpoint).map_err(StoreError::ProofText)?;
    let text = proof.to_string();
    if let Some(path) = &args.out {
        write_new(path, text.as_bytes(), Readers::All)?;
    }
    if let Some(path) = &args.entry_out {
        write_new(path, &bytes, Readers::All)?;
    }
    if let Some(folder) = &args.disclose_to {
        std::fs::create_dir_all(folder).map_err(CliError::file("make", folder))?;
        disclosed.iter().try_for_each(|one| one.write(folder))?;
    }
    for part in &erased {
        tell(&format!("note: part {part} was erased and cannot be disclosed"));
    }
    let told = store.checkpoint.checkpoint();
    let printed =
        if args.disclose_to.is_some() { Vec::new() } else { disclosed.iter().map(Disclosed::json).collect() };
    let answer = Answer {
        position: position.0,
        leaf_hash: leaf.to_string(),
        tree_size: told.size,
        root: told.root.to_string(),
        checkpoint: store.checkpoint.note(),
        proof: &text,
        entry: STANDARD.encode(&bytes),
        keys: public_keys(&store)?,
        disclosed: printed,
        erased,
    };
    if output.is_json() {
        output.json(&answer)?;
    } else if args.out.is_none() {
        output.text(&text)?;
    } else if args.disclose_to.is_none() {
        answer.disclosed.iter().try_for_each(|one| output.json(one))?;
    }
    Ok(if answer.erased.is_empty() { Exit::Done } else { Exit::Refused })
}

/// Refuses, before anything is opened or recorded, a place where something is, or where nothing may be put.
fn must_be_free(setting: &Setting, args: &Args) -> Result<(), Failure> {
    let files = [&args.out, &args.entry_out];
    for path in files.into_iter().flatten() {
        setting.must_be_outside(path)?;
        must_be_new(path)?;
    }
    if let Some(folder) = &args.disclose_to {
        setting.must_be_outside(folder)?;
    }
    let ways: Vec<_> =
        files.into_iter().chain([&args.disclose_to]).flatten().map(|path| resolved(path)).collect();
    let is_twice = |(at, way): (usize, &PathBuf)| ways.iter().skip(at + 1).any(|other| other == way);
    if ways.iter().enumerate().any(is_twice) {
        return Err(Failure::usage("--out, --entry-out and --disclose-to each need a place of their own"));
    }
    Ok(())
}

/// A part of somebody whose data is restricted is disclosed to nobody.
fn refuse_restricted(store: &OpenedReader, entry: &Entry<'_>, asked: &[u8]) -> Result<(), Failure> {
    let parts = asked.iter().filter_map(|part| entry.parts.get(usize::from(*part)));
    store.keyring.refuse_restricted(parts.map(|part| part.key_id))?;
    Ok(())
}

/// The parts that can be disclosed, and those that were erased.
fn open_parts(
    store: &OpenedReader,
    entry: &Entry<'_>,
    asked: &[u8],
) -> Result<(Vec<Disclosed>, Vec<u8>), Failure> {
    let (mut disclosed, mut erased) = (Vec::new(), Vec::new());
    for part in asked {
        match Disclosed::of(&store.reader, entry, usize::from(*part))? {
            Some(one) => disclosed.push(one),
            None => erased.push(*part),
        }
    }
    Ok((disclosed, erased))
}

fn record_disclosure(
    setting: &Setting,
    position: Position,
    parts: &[usize],
    reason: Option<&str>,
) -> Result<(), Failure> {
    let number = |part: &usize| Value::Integer(i128::try_from(*part).unwrap_or(0));
    let data = vec![
        ("position", Value::Integer(position.0.into())),
        ("parts", Value::Array(parts.iter().map(number).collect())),
        ("reason", reason.map_or(Value::Null, |reason| Value::Text(reason.to_owned().into()))),
    ];
    let event = own_event(DISCLOSED, None, data)
        .map_err(|_| StoreError::Keys(waag_keys::error::KeysError::Entropy))?;
    let position = setting.record(&event)?;
    tell(&format!("note: this disclosure is recorded at position {position}"));
    Ok(())
}
