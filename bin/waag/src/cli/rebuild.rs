//! `waag rebuild`: a store made again from an export, verified, and read-only.

use std::path::PathBuf;

use serde::Serialize;
use waag_files::vault::VAULT_FILE;

use super::export::checked;
use super::failure::{Exit, Failure};
use super::output::{Output, progress, tell};
use super::setting::Setting;
use crate::store::exports::check::Opened;
use crate::store::exports::compare::{self, Compared};
use crate::store::exports::error::ExportError;
use crate::store::exports::rebuild::{Rebuilt, place_for, rebuild};
use crate::store::place::Place;
use crate::store::reader::open_reader;
use crate::store::verify::{Depth, verify};

const HELP: &str = "\
The store has the ledger's id, every entry, every frame and the signed checkpoint as they were, and with an export that was
made with --keys every key. It is a copy: it has no signing key, and nobody may write it. Everything is verified before
it says done. Without keys every part stays closed, and all proofs still verify.

The passphrase, where one is given, is the new vault's. A vault without one is opened by whoever reads its file. Where the
exported store had a passphrase, nothing is rebuilt without one unless --no-passphrase says so.

Example:
  waag rebuild exit-2026-11-21 --to ./copy
  waag verify --data ./copy";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The export
    export: PathBuf,

    /// The data folder of the new store; its state folder is named as always, or by --state
    #[arg(long, value_name = "DIR")]
    to: PathBuf,

    /// The ledger's public key, or a file with such keys, one a line; from elsewhere than the export
    #[arg(long, value_name = "VKEY|FILE")]
    public_key: Vec<String>,

    /// Make the new vault without a passphrase, though the exported store had one
    #[arg(long)]
    no_passphrase: bool,
}

#[derive(Serialize)]
struct Answer<'a> {
    data: String,
    state: String,
    origin: &'a str,
    entries: u64,
    frames: u64,
    root: &'a str,
    objects: u64,
    keys: u64,
    tombstones: u64,
    records: u64,
    /// Events of the export that say letter for letter what their entries say.
    events_compared: u64,
    /// Events of which only what is in clear could be compared.
    events_closed: u64,
    trusted: bool,
    /// Whether the new vault has a passphrase.
    passphrase: bool,
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    setting.must_name_no_store("--to")?;
    let options = setting.options()?;
    let has_passphrase = options.passphrase.is_some();
    if has_passphrase && args.no_passphrase {
        return Err(Failure::usage("a passphrase and --no-passphrase: only one of them can be meant"));
    }
    // The entries are checked as they are put in.
    let export = checked(&args.export, &args.public_key, false)?;
    if export.manifest.passphrase && !has_passphrase && !args.no_passphrase {
        return Err(ExportError::Unprotected.into());
    }
    let place = place_for(&export, &args.to, setting.state.as_deref())?;
    let bar = progress(Some(export.manifest.ledger.tree_size), "entries");
    let made = rebuild(&export, &place, &options, &mut |done, _| bar.set_position(done));
    bar.finish_and_clear();
    let made = made.map_err(|error| {
        tell(&format!(
            "note: `{}` and `{}` hold what was made so far; it is no store, and can be removed",
            place.data.display(),
            place.state.display()
        ));
        Failure::from(error)
    })?;
    let bar = progress(Some(made.entries), "entries");
    let depth = Depth { deep: true, rebuild: true };
    let report = verify(&place, &options, depth, &mut |done, _| bar.set_position(done))?;
    bar.finish_and_clear();
    let told = &export.manifest.ledger;
    if !report.verified() || report.root.map(|root| root.to_string()).as_ref() != Some(&told.root) {
        return Err(unproven(&place, report.faults.first().map(|fault| fault.reason.as_str())));
    }
    let compared = compare::events(&export, &open_reader(&place, &options)?)?;
    answer(&place, &export, (made, compared), has_passphrase, output)?;
    if !has_passphrase && (export.manifest.passphrase || export.manifest.keys) {
        let file = place.state.join(VAULT_FILE);
        tell(&format!(
            "warning: the new vault has no passphrase: whoever reads `{}` opens every key of this store",
            file.display()
        ));
    }
    Ok(Exit::Done)
}

fn unproven(place: &Place, fault: Option<&str>) -> Failure {
    let what = fault.unwrap_or("its root is not the export's");
    let file = place.data.display().to_string();
    ExportError::Damaged { file, why: format!("the rebuilt store does not verify: {what}") }.into()
}

fn answer(
    place: &Place,
    export: &Opened,
    (made, compared): (Rebuilt, Compared),
    passphrase: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    let Rebuilt { entries, frames, objects, keys, tombstones, records } = made;
    let root = export.manifest.ledger.root.as_str();
    let answer = Answer {
        data: place.data.display().to_string(),
        state: place.state.display().to_string(),
        origin: &export.manifest.ledger.origin,
        entries,
        frames,
        root,
        objects,
        keys,
        tombstones,
        records,
        events_compared: compared.whole,
        events_closed: compared.in_clear,
        trusted: export.trusted,
        passphrase,
    };
    output.answer(&answer, || {
        let parts = if keys > 0 { format!("{keys} keys open its parts") } else { "its parts are closed".to_owned() };
        format!(
            "rebuilt and verified: {entries} entries in {frames} frames, {objects} objects, root {root}\n{parts}; it is \
             read-only, in `{}` and `{}`\n{} events of the export say what their entries say; of {} more only what is in \
             clear could be compared, since parts of them are closed\n",
            answer.data, answer.state, answer.events_compared, answer.events_closed
        )
    })
}
