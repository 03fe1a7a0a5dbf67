//! `waag keys`: what keys there are, new ones in the place of old ones, and the end of a person's.
//!
//! What changes a key is recorded as an event, with the actor. A person's id never stands in such an event.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use serde::Serialize;
use waag_keys::destroy::Destruction;
use waag_keys::error::KeysError;
use waag_keys::keyring::Whom;
use waag_keys::state::{SCAN_RECORDS_MAX, StateError};
use waag_keys::vault::VaultError;
use waag_model::schema::DEFAULT_RETENTION;
use waag_model::value::Value;

use super::checkpoint::{KeyJson, public_keys};
use super::failure::{Exit, Failure};
use super::mask::mask_person;
use super::output::{Output, tell};
use super::setting::{Setting, read_passphrase};
use crate::store::error::StoreError;
use crate::store::own::{Members, own_event};
use crate::store::place::LEDGER;
use crate::store::reader::open_reader;
use crate::store::writer::OpenedStore;

/// The type of the event that records a destruction.
const DESTROYED: &str = "waag.keys.destroyed";
/// The type of the event that records a rotation, a retirement, another passphrase.
const ROTATED: &str = "waag.keys.rotated";
/// How often the state is asked again to let go of old bytes that readers hold.
const FORGET_TRIES_MAX: u32 = 50;
const FORGET_DELAY_MS: u64 = 100;

const HELP: &str = "\
`list` and `tombstones` only read, and run beside a running writer. The others write: while another process writes the
store they are refused with E0806, which names the process, and nothing is changed.

Example:
  waag keys list --json
  waag keys rotate tenant
  waag keys destroy --person customer:4711 --reason \"request 2026-118\"";

const LIST_HELP: &str = "\
Example:
  waag keys list
  waag keys list --json";

const TOMBSTONES_HELP: &str = "\
Example:
  waag keys tombstones --json";

const ROTATE_HELP: &str = "\
What was sealed before stays readable. A rotation that was broken off is finished by asking for it again.
At most 10 signing keys sign side by side; retire the old one when everybody has the new one's public key.

Example:
  waag keys rotate vault
  waag keys rotate data
  waag keys rotate signing";

const RETIRE_HELP: &str = "\
What the key signed still verifies. The last active key cannot be retired: add one first.

Example:
  waag keys rotate signing
  waag keys retire 0";

const PASSPHRASE_HELP: &str = "\
The vault's keys stay the same; rotate them too where the old key file may have been copied.

Example:
  waag keys passphrase --new passphrase.txt
  waag keys passphrase --passphrase-file passphrase.txt";

const DESTROY_HELP: &str = "\
Every part sealed under the person's keys becomes unreadable for ever; entries, proofs and checkpoints stay as they are,
and the ledger keeps verifying. Backups of the state folder still hold the keys until they are gone too.
The person's id is what the schema's `x-data-subject` finds, with `<kind>:` before it where the schema has a
`x-data-subject-kind`; for types without a schema it is the event's `subject`.
Keys of the classes given with --keep stay. No retention file is asked: `waag subject erase` does that, and restricts what
a law keeps.

Example:
  waag keys destroy --person customer:4711 --reason \"request 2026-118\" --keep business";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List data keys and signing keys; none is shown
    #[command(after_help = LIST_HELP)]
    List,
    /// List what is left of destroyed keys
    #[command(after_help = TOMBSTONES_HELP)]
    Tombstones,
    /// Put a new key in the place of an old one
    #[command(after_help = ROTATE_HELP)]
    Rotate(Rotate),
    /// Retire a signing key: it verifies, it signs no more
    #[command(after_help = RETIRE_HELP)]
    Retire {
        /// The key's number, as `waag keys list` shows it
        number: u32,
    },
    /// Destroy all keys of a person
    #[command(after_help = DESTROY_HELP)]
    Destroy(Destroy),
    /// Set, change or remove the vault's passphrase
    #[command(after_help = PASSPHRASE_HELP)]
    Passphrase {
        /// A file whose first line is the new passphrase; without it the passphrase is removed
        #[arg(long, value_name = "FILE")]
        new: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Level {
    /// The vault's key, which wraps the tenant's key
    Vault,
    /// The tenant's key, which wraps all others
    Tenant,
    /// The data key of today (or of one person, this year)
    Data,
    /// A further key to sign checkpoints with; retire the old one later
    Signing,
}

#[derive(Debug, clap::Args)]
struct Rotate {
    /// Which key
    level: Level,

    /// For `data`: the person
    #[arg(long, value_name = "ID")]
    person: Option<String>,

    /// For `data`: the retention class
    #[arg(long, value_name = "CLASS", default_value = DEFAULT_RETENTION)]
    class: String,
}

#[derive(Debug, clap::Args)]
struct Destroy {
    /// The person's id
    #[arg(long, value_name = "ID")]
    person: String,

    /// Why; recorded, so it must not name the person
    #[arg(long, value_name = "TEXT")]
    reason: String,

    /// A retention class whose keys stay; may be given several times
    #[arg(long, value_name = "CLASS")]
    keep: Vec<String>,
}

#[derive(Serialize)]
struct DataKeyJson {
    id: String,
    purpose: String,
    class: String,
    period: String,
    created: String,
    person: bool,
    tenant_key_version: u32,
}

#[derive(Serialize)]
struct TombstoneJson {
    id: String,
    purpose: String,
    class: String,
    period: String,
    destroyed: String,
    reason: String,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Signing(KeyJson),
    Data(DataKeyJson),
    Tombstone(TombstoneJson),
}

/// What a change came to.
#[derive(Serialize)]
struct Changed {
    done: String,
    position: u64,
}

#[derive(Serialize)]
struct DestroyedJson {
    destroyed: usize,
    kept: usize,
    position: u64,
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    match &args.command {
        Command::List => list(setting, output),
        Command::Tombstones => tombstones(setting, output),
        Command::Rotate(rotate) => change(setting, output, |store| rotate_key(store, rotate)),
        Command::Retire { number } => change(setting, output, |store| {
            let info = store.keyring.retire_signer(LEDGER, *number)?;
            Ok((format!("signing key {} is retired", info.number), "retire-signing"))
        }),
        Command::Destroy(destroy) => destroy_person(setting, destroy, output),
        Command::Passphrase { new } => change(setting, output, |store| {
            let new = new.as_deref().map(read_passphrase).transpose()?;
            store.vault.set_passphrase(new.as_ref().map(|new| new.as_slice()))?;
            Ok((
                if new.is_some() { "the passphrase is set" } else { "the passphrase is removed" }.to_owned(),
                "passphrase",
            ))
        }),
    }
}

fn list(setting: &Setting, output: &mut Output) -> Result<Exit, Failure> {
    let store = open_reader(&setting.place()?, &setting.options()?)?;
    for key in public_keys(&store)? {
        let (number, vkey) = (key.number, key.vkey.clone());
        let state = key.until.as_ref().map_or_else(|| "signs".to_owned(), |until| format!("retired {until}"));
        output.answer(&Line::Signing(key), || format!("signing  {number}  {state}  {vkey}\n"))?;
    }
    let mut after = None;
    loop {
        let keys = store.keyring.list(after, SCAN_RECORDS_MAX)?;
        let Some(last) = keys.last() else { return Ok(Exit::Done) };
        after = Some(last.id);
        for key in keys {
            let json = DataKeyJson {
                id: key.id.to_string(),
                purpose: key.purpose.to_string(),
                class: key.class,
                period: key.period.to_string(),
                created: key.created.to_string(),
                person: key.is_persons,
                tenant_key_version: key.tenant_key_version,
            };
            let whose = if json.person { "person" } else { "common" };
            let text = format!("{}  {}  {whose}  {}  {}\n", json.purpose, json.id, json.class, json.period);
            output.answer(&Line::Data(json), || text)?;
        }
    }
}

fn tombstones(setting: &Setting, output: &mut Output) -> Result<Exit, Failure> {
    let store = open_reader(&setting.place()?, &setting.options()?)?;
    let mut after = None;
    loop {
        let stones = store.keyring.tombstones(after, SCAN_RECORDS_MAX)?;
        let Some(last) = stones.last() else { return Ok(Exit::Done) };
        after = Some(last.id);
        for stone in stones {
            let json = TombstoneJson {
                id: stone.id.to_string(),
                purpose: stone.purpose.to_string(),
                class: stone.class,
                period: stone.period.to_string(),
                destroyed: stone.destroyed.to_string(),
                reason: stone.reason.to_string(),
            };
            let text = format!(
                "{}  {}  {}  {}  {}\n",
                json.purpose, json.id, json.period, json.destroyed, json.reason
            );
            output.answer(&Line::Tombstone(json), || text)?;
        }
    }
}

/// Carries out a change of keys and records it.
fn change(
    setting: &Setting,
    output: &mut Output,
    carry_out: impl FnOnce(&OpenedStore) -> Result<(String, &'static str), Failure>,
) -> Result<Exit, Failure> {
    let actor = setting.actor()?;
    let store = setting.open_writer(&setting.options()?)?;
    let (done, what) = carry_out(&store)?;
    let position = record(&store, &actor, ROTATED, vec![("what", Value::Text(what.into()))])?;
    output.answer(&Changed { done: done.clone(), position }, || {
        format!("{done}; recorded at position {position}\n")
    })?;
    Ok(Exit::Done)
}

fn record(
    store: &OpenedStore,
    actor: &waag_model::ids::Actor,
    kind: &str,
    data: Members<'_>,
) -> Result<u64, Failure> {
    let event = own_event(kind, None, data).map_err(|_| StoreError::Keys(KeysError::Entropy))?;
    Ok(store.record(&event, actor)?.0.position.0)
}

fn rotate_key(store: &OpenedStore, rotate: &Rotate) -> Result<(String, &'static str), Failure> {
    if rotate.person.is_some() && rotate.level != Level::Data {
        return Err(Failure::usage("--person goes with `rotate data` only"));
    }
    Ok(match rotate.level {
        Level::Vault => {
            let made = match store.vault.rotate() {
                // Rotations that were broken off left as many as fit: no further one is made, and the last is finished.
                Err(VaultError::KeysFull) => "a rotation that was broken off is finished",
                other => other.map(|()| "the vault has a new key")?,
            };
            let rewrapped = store.keyring.rewrap_vault()?;
            store.vault.drop_old()?;
            (format!("{made}, {rewrapped} versions of the tenant's key are under it"), "vault")
        }
        Level::Tenant => {
            let done = store.keyring.rotate_tenant_key()?;
            (
                format!(
                    "the tenant's key is at version {}, {} records are under it",
                    done.version, done.rewrapped
                ),
                "tenant",
            )
        }
        Level::Data => {
            let (class, day) = (rotate.class.as_str(), store.clock.now().day());
            if let Some(person) = &rotate.person {
                let held = store.keyring.keys_of(store.keyring.person_tag(person))?;
                // A key of a class that nothing was sealed in would be asked for by that class's retention.
                if !held.iter().any(|key| key.class == class) {
                    return Err(Failure::usage(format!(
                        "the person has no key of the class `{class}` to rotate"
                    )));
                }
            }
            let whom = match &rotate.person {
                Some(id) => Whom::Person { id, class, year: day.year() },
                None => Whom::Common { class, day },
            };
            let id = store.keyring.rotate_data_key(whom)?;
            (format!("the new data key is `{id}`"), "data")
        }
        Level::Signing => {
            let info = store.keyring.add_signer(LEDGER)?;
            (
                format!("signing key {} signs from the next opening on, beside the others", info.number),
                "signing",
            )
        }
    })
}

fn destroy_person(setting: &Setting, args: &Destroy, output: &mut Output) -> Result<Exit, Failure> {
    if args.reason.trim().is_empty() {
        return Err(Failure::usage("--reason must not be empty"));
    }
    if args.reason.contains(&args.person) {
        return Err(Failure::usage("--reason names the person, and it is recorded for ever"));
    }
    let actor = setting.actor()?;
    let store = setting.open_writer(&setting.options()?)?;
    let keyring = Arc::clone(&store.keyring);
    // What a law or the person asks to be kept is not destroyed round the rules of `waag subject`.
    if keyring.restriction(keyring.person_tag(&args.person))?.is_some() {
        return Err(KeysError::Restricted.into());
    }
    let (person, keep) = (args.person.clone(), args.keep.iter().cloned().collect::<BTreeSet<String>>());
    let destroyed = store.writer.destroy_keys(move || {
        let may = |key: &waag_keys::list::KeyInfo| !keep.contains(&key.class);
        keyring.destroy_person(&person, &may)
    })?;
    let (done, held) = match destroyed {
        Ok(done) => (Some(done), false),
        // The keys are gone; only old bytes are still held by somebody who reads the state.
        Err(KeysError::State(StateError::Held)) => (None, !forget(&store)?),
        Err(error) => return Err(error.into()),
    };
    let ids = |done: &Destruction| {
        Value::Array(done.destroyed.iter().map(|stone| Value::Text(stone.id.to_string().into())).collect())
    };
    // Where old bytes were held, the tombstones alone tell which keys they were.
    let ids = done.as_ref().map_or(Value::Null, ids);
    let Destruction { destroyed, kept, .. } = done.unwrap_or_default();
    let classes: BTreeSet<&str> =
        kept.iter().map(|key| key.class.as_str()).filter(|class| !class.is_empty()).collect();
    let data = vec![
        ("reason", Value::Text(args.reason.as_str().into())),
        ("keys", ids),
        (
            "kept",
            Value::Array(classes.into_iter().map(|class| Value::Text(class.to_owned().into())).collect()),
        ),
    ];
    let position = record(&store, &actor, DESTROYED, data)?;
    if held {
        return Err(KeysError::State(StateError::Held).into());
    }
    let json = DestroyedJson { destroyed: destroyed.len(), kept: kept.len(), position };
    if json.destroyed == 0 {
        tell("note: there was no key to destroy; was the person's id right, with its kind before it?");
    }
    output.answer(&json, || {
        let person = mask_person(&args.person);
        format!(
            "{} keys of {person} destroyed, {} kept; recorded at position {position}\n",
            json.destroyed, json.kept
        )
    })?;
    Ok(Exit::Done)
}

/// Asks the state to let go of old bytes until it has; false where readers hold them too long.
fn forget(store: &OpenedStore) -> Result<bool, Failure> {
    for _ in 0..FORGET_TRIES_MAX {
        match store.state.forget() {
            Ok(()) => return Ok(true),
            Err(StateError::Held) => std::thread::sleep(Duration::from_millis(FORGET_DELAY_MS)),
            Err(error) => return Err(KeysError::State(error).into()),
        }
    }
    Ok(false)
}
