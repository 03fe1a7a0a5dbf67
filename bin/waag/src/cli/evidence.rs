//! `waag evidence`: packs that prove events to outsiders: making one, listing those handed out, checking one.
//!
//! Not here: what a pack is (`evidence/ledger`), how one is made and recorded (`crate::evidence`).

mod export;

use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;
use waag_ledger::pack::{PACK_BYTES_MAX, PackFault};

use super::deliveries::{second, table};
use super::failure::{Exit, Failure, chain};
use super::input::Input;
use super::output::{Output, tell};
use super::setting::Setting;
use crate::evidence::checking::{OUTSIDERS, check};
use crate::evidence::error::EvidenceError;
use crate::evidence::record::{packs, told};
use crate::store::ledgers::Earlier;
use crate::store::reader::open_reader;
use waag_model::text::in_line;

const HELP: &str = "\
A pack is one file with entries, the secrets of what may be read of them, a proof and the signed checkpoint. Anybody can
check it offline with `waag-verify pack` and the ledger's public key; it opens as a ZIP file and has a cover to read.

Example:
  waag evidence export invoice-7.zip --invoice INV-7 --reason \"audit 2026-4\"
  waag evidence list
  waag evidence check invoice-7.zip";

const LIST_HELP: &str = "\
The newest first: when, who, how many entries, the pack's digest and what it was asked for; never a person's id. Packs that
were recorded in a ledger before a promotion are listed too.

Example:
  waag evidence list --json";

const CHECK_HELP: &str = "\
With the ledger's own keys, so that it convinces nobody but you; an outsider uses `waag-verify pack`.

Example:
  waag evidence check invoice-7.zip";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a pack, and record that it was made
    Export(Box<export::Args>),
    /// List the packs that were handed out
    #[command(after_help = LIST_HELP)]
    List,
    /// Check a pack with this ledger's own keys
    #[command(after_help = CHECK_HELP)]
    Check {
        /// The pack; `-` is standard input
        pack: PathBuf,
    },
}

/// A pack as programs read it.
#[derive(Serialize)]
struct PackJson {
    digest: String,
    made: String,
    by: String,
    entries: u64,
    /// Persons of whom parts are disclosed.
    persons: usize,
    position: u64,
    /// The ledger that it is recorded in; none where that one is not here.
    ledger: Option<String>,
    selection: String,
    reason: String,
}

/// What is told of a pack whose event is in no ledger that can be read here.
const NOT_HERE: &str = "(recorded in no ledger that is here)";
/// What is told of a pack whose event is not in the one ledger that was asked for by its id.
const NOT_IN_THIS_ONE: &str = "(recorded in another ledger)";

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    match &args.command {
        Command::Export(args) => export::run(setting, args, output),
        Command::List => list(setting, output),
        Command::Check { pack } => checked(setting, pack, output),
    }
}

fn list(setting: &Setting, output: &mut Output) -> Result<Exit, Failure> {
    let store = open_reader(&setting.place()?, &setting.options()?)?;
    let (mut earlier, mut rows) = (None, Vec::new());
    for pack in packs(&store.keyring)? {
        let mut said = told(&store.reader, &pack)?;
        if said.is_none() && store.place.before.is_none() {
            // Packs are listed for all ledgers of the tenant; those before this one are opened where one is missing.
            let earlier = match &mut earlier {
                Some(earlier) => earlier,
                none => none.insert(Earlier::open(&store.place, &store.keyring)?),
            };
            for before in earlier.opened.iter().rev() {
                said = told(&before.reader, &pack)?;
                if said.is_some() {
                    break;
                }
            }
        }
        let ledger = said.as_ref().map(|said| said.ledger.to_string());
        let (selection, reason) = said.map(|said| (said.selection, said.reason)).unwrap_or_default();
        let json = PackJson {
            digest: pack.digest.to_string(),
            made: pack.made.to_string(),
            by: pack.by,
            entries: pack.entries,
            persons: pack.persons.len(),
            position: pack.position.0,
            ledger,
            selection,
            reason,
        };
        if output.is_json() {
            output.json(&json)?;
            continue;
        }
        let PackJson { digest, by, entries, persons, ledger, selection, reason, .. } = json;
        let selection = match (ledger, store.place.before) {
            (Some(_), _) => selection,
            (None, None) => NOT_HERE.to_owned(),
            (None, Some(_)) => NOT_IN_THIS_ONE.to_owned(),
        };
        let short = digest.get(..16).unwrap_or(&digest).to_owned();
        let (made, entries, persons) = (second(pack.made.0), entries.to_string(), persons.to_string());
        rows.push(vec![made, in_line(&by), entries, persons, short, in_line(&selection), in_line(&reason)]);
    }
    if !output.is_json() && rows.is_empty() {
        tell("note: no pack was handed out");
    } else if !output.is_json() {
        let heads = ["made", "by", " entries", " persons", "digest", "what", "why"];
        output.text(&table(&heads, &rows))?;
    }
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct CheckedJson<'a> {
    verified: bool,
    #[serde(flatten)]
    checked: &'a crate::evidence::checking::Checked,
}

fn checked(setting: &Setting, path: &std::path::Path, output: &mut Output) -> Result<Exit, Failure> {
    let store = open_reader(&setting.place()?, &setting.options()?)?;
    let pack = Input::of(path).up_to(PACK_BYTES_MAX)?;
    let checked = check(&store.ledger, &pack)?;
    output.answer(&CheckedJson { verified: true, checked: &checked }, || {
        let lines =
            checked.lines().into_iter().map(|(name, value)| format!("  {name:<18}{}\n", in_line(&value)));
        std::iter::once("verified\n".to_owned()).chain(lines).collect()
    })?;
    tell(&format!("note: {OUTSIDERS}"));
    Ok(Exit::Done)
}

impl From<PackFault> for Failure {
    fn from(fault: PackFault) -> Self {
        Self { code: fault.code(), reason: format!("not verified: {fault}"), exit: Exit::Refused }
    }
}

impl From<EvidenceError> for Failure {
    fn from(error: EvidenceError) -> Self {
        let exit = match (error.is_callers(), error.is_refusal()) {
            (true, _) => Exit::Usage,
            (false, true) => Exit::Refused,
            (false, false) => Exit::Environment,
        };
        if let EvidenceError::Store(error) = error {
            return error.into();
        }
        Self { code: error.code(), reason: chain(&error), exit }
    }
}
