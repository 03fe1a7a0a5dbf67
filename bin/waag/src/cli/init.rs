//! `waag init`: makes a tenant's store, or says that it is there.

use serde::Serialize;
use waag_engine::recover::verifier_keys;
use waag_keys::create::Made;

use super::failure::{Exit, Failure};
use super::output::Output;
use super::setting::Setting;
use crate::store::error::StoreError;
use crate::store::init::init;

const HELP: &str = "\
Asking again changes nothing, says that the store is there, and exits with 0.
With a passphrase (--passphrase-file, or the variable WAAG_PASSPHRASE) the vault's key file is sealed under it.

Example:
  waag init --origin ledger.bank.example
  waag --tenant bank-7 init --json";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// What the ledger's checkpoints begin with: `NAME/<tenant>/<ledger id>`; it can never be changed
    #[arg(long, value_name = "NAME", default_value = "waag")]
    origin: String,
}

#[derive(Serialize)]
struct Answer {
    created: bool,
    tenant: String,
    ledger: String,
    origin: String,
    data: String,
    state: String,
    /// The public keys that sign; none of a store that was there, since opening it would change its files.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<String>>,
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let place = setting.place()?;
    let made = init(&place, &args.origin, &setting.options()?)?;
    let keys = made.ledger.as_ref().map(verifier_keys).transpose().map_err(StoreError::Origin)?;
    let answer = Answer {
        created: made.made == Made::Now,
        tenant: place.tenant.to_string(),
        ledger: made.guard.ledger.to_string(),
        origin: made.origin,
        data: place.data.display().to_string(),
        state: place.state.display().to_string(),
        keys: keys.map(|keys| keys.iter().map(ToString::to_string).collect()),
    };
    output.answer(&answer, || {
        if !answer.created {
            return format!("The store is there already: {}\nNothing was changed.\n", answer.origin);
        }
        format!(
            "Made the ledger {}\n  data   {}\n  state  {} (keys and guard: keep it apart from the data)\n  key    {}\n",
            answer.origin,
            answer.data,
            answer.state,
            answer.keys.as_deref().unwrap_or_default().join("\n         ")
        )
    })?;
    Ok(Exit::Done)
}
