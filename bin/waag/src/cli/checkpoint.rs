//! `waag checkpoint`: the newest checkpoint that the guard holds, and the keys that verify it.

use serde::Serialize;
use waag_engine::recover::verifier_keys;
use waag_keys::ledger::SignerInfo;

use super::failure::{Exit, Failure};
use super::output::Output;
use super::setting::Setting;
use crate::store::error::StoreError;
use crate::store::place::LEDGER;
use crate::store::reader::{OpenedReader, open_reader};

const HELP: &str = "\
The checkpoint is a C2SP signed note; a key is printed in the vkey form, `name+id+base64`.
Keep both where the operator of this store cannot change them.

Example:
  waag checkpoint > 2026-11-21.checkpoint
  waag checkpoint --key > ledger.vkey";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Print the public keys that sign instead, one a line; of a ledger that signs no more, all of them
    #[arg(long)]
    key: bool,

    /// With --key: the retired keys too, behind those that sign
    #[arg(long, requires = "key")]
    all: bool,
}

/// A public key as programs read it.
#[derive(Debug, Serialize)]
pub(crate) struct KeyJson {
    pub(crate) number: u32,
    pub(crate) vkey: String,
    pub(crate) active: bool,
    /// When it was retired, or its ledger superseded by a promotion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<String>,
}

#[derive(Serialize)]
struct Answer<'a> {
    origin: &'a str,
    tree_size: u64,
    root: String,
    checkpoint: &'a str,
    keys: Vec<KeyJson>,
}

/// Public keys alone.
#[derive(Serialize)]
struct KeysJson<'a> {
    keys: &'a [KeyJson],
}

/// The ledger's public keys: those that sign first.
pub(crate) fn public_keys(store: &OpenedReader) -> Result<Vec<KeyJson>, Failure> {
    let ledger = &store.ledger;
    let infos: Vec<&SignerInfo> =
        ledger.signers.iter().map(|signer| &signer.info).chain(&ledger.retired).collect();
    let keys = verifier_keys(ledger).map_err(StoreError::Origin)?;
    let superseded = store.keyring.superseded_at(ledger, LEDGER)?;
    let json = |(info, key): (&&SignerInfo, waag_ledger::note::VerifierKey)| {
        let until = info.retired.or(superseded);
        KeyJson {
            number: info.number,
            vkey: key.to_string(),
            active: until.is_none(),
            until: until.map(|until| until.to_string()),
        }
    };
    Ok(infos.iter().zip(keys).map(json).collect())
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let store = open_reader(&setting.place()?, &setting.options()?)?;
    let told = store.checkpoint.checkpoint();
    let answer = Answer {
        origin: &told.origin,
        tree_size: told.size,
        root: told.root.to_string(),
        checkpoint: store.checkpoint.note(),
        keys: public_keys(&store)?,
    };
    if args.key {
        let mut keys = answer.keys;
        // What is handed to whoever checks the newest checkpoint is what signed it.
        if !args.all && keys.iter().any(|key| key.active) {
            keys.retain(|key| key.active);
        }
        let lines = || keys.iter().map(|key| format!("{}\n", key.vkey)).collect();
        output.answer(&KeysJson { keys: &keys }, lines)?;
        return Ok(Exit::Done);
    }
    output.answer(&answer, || answer.checkpoint.to_owned())?;
    Ok(Exit::Done)
}
