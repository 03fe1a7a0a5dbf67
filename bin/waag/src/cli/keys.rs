//! `waag keys`: what keys there are, new ones in the place of old ones, and the end of a person's.
//!
//! What changes a key is recorded as an event, with the actor. A person's id never stands in such an event.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use serde::Serialize;
use waag_keys::error::KeysError;
use waag_keys::keyring::Whom;
use waag_keys::state::{SCAN_RECORDS_MAX, StateError};
use waag_keys::vault::VaultError;
use waag_model::ids::Actor;
use waag_model::schema::DEFAULT_RETENTION;
use waag_model::value::Value;

use super::checkpoint::{KeyJson, public_keys};
use super::failure::{Exit, Failure};
use super::mask::mask_person;
use super::output::Output;
use super::setting::{Setting, read_passphrase};
use super::subject::tell_none_held;
use crate::store::key_changes::{self, What};
use crate::store::own::Members;
use crate::store::reader::open_reader;
use crate::store::subjects::reason::checked;
use crate::store::subjects::{Order, tag_text, text};
use crate::store::writer::OpenedStore;

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
What was sealed before stays readable. A rotation that was broken off is finished by asking for it again. A further signing
key is recorded with its public key, that of the one before it, and the reason: see docs/guides/auditor.md.
At most 10 signing keys sign side by side; retire the old one when everybody has the new one's public key.

Example:
  waag keys rotate vault
  waag keys rotate data
  waag keys rotate signing --reason \"yearly\"";

const RETIRE_HELP: &str = "\
What the key signed still verifies. The last active key cannot be retired: add one first. It is recorded first, with the keys
that go on; the checkpoint over that record is the last that the key signs.

Example:
  waag keys rotate signing --reason \"yearly\"
  waag keys retire 0 --reason \"everybody has the key of 2027\"";

const PASSPHRASE_HELP: &str = "\
The vault's keys stay the same; rotate them too where the old key file may have been copied.

Example:
  waag keys passphrase --new passphrase.txt
  waag keys passphrase --passphrase-file passphrase.txt --remove";

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

        /// Why; recorded
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Destroy all keys of a person
    #[command(after_help = DESTROY_HELP)]
    Destroy(Destroy),
    /// Set, change or remove the vault's passphrase
    #[command(after_help = PASSPHRASE_HELP)]
    Passphrase {
        /// A file whose first line is the new passphrase
        #[arg(long, value_name = "FILE", required_unless_present = "remove")]
        new: Option<PathBuf>,

        /// Seal the vault's file under no passphrase any more
        #[arg(long, conflicts_with = "new")]
        remove: bool,

        /// Why; recorded
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
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

    /// Why; recorded, and asked for where it is a signing key
    #[arg(long, value_name = "TEXT", required_if_eq("level", "signing"))]
    reason: Option<String>,
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
    /// The public key of a signing key that was added or retired.
    #[serde(skip_serializing_if = "Option::is_none")]
    vkey: Option<String>,
}

#[derive(Serialize)]
struct DestroyedJson {
    destroyed: usize,
    kept: usize,
    /// None where there was nothing to destroy.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    match &args.command {
        Command::List => list(setting, output),
        Command::Tombstones => tombstones(setting, output),
        Command::Rotate(rotate) => rotate_key(setting, rotate, output),
        Command::Retire { number, reason } => {
            let (reason, actor) = (checked(reason)?, setting.actor()?);
            let store = setting.open_writer(&setting.options()?)?;
            let (info, position) = key_changes::retire_signer(&store, *number, &actor, reason)?;
            drop(store);
            let vkey = vkey_of(setting, info.number)?;
            told(output, &format!("signing key {} is retired", info.number), position, vkey)
        }
        Command::Destroy(destroy) => destroy_person(setting, destroy, output),
        Command::Passphrase { new, reason, .. } => {
            let reason = reason.as_deref().map(checked).transpose()?;
            let new = new.as_deref().map(read_passphrase).transpose()?;
            let actor = setting.actor()?;
            let store = setting.open_writer(&setting.options()?)?;
            let (what, done) = match (store.vault.has_passphrase(), &new) {
                (false, Some(_)) => (What::PassphraseSet, "the passphrase is set"),
                (true, Some(_)) => (What::PassphraseChanged, "the passphrase is changed"),
                (true, None) => (What::PassphraseRemoved, "the passphrase is removed"),
                (false, None) => return Err(Failure::usage("the vault has no passphrase to remove")),
            };
            let ((), position) = change(&store, what, &actor, reason, || {
                Ok((store.vault.set_passphrase(new.as_ref().map(|new| new.as_slice()))?, Vec::new()))
            })?;
            told(output, done, position, None)
        }
    }
}

/// Says what a change came to.
fn told(output: &mut Output, done: &str, position: u64, vkey: Option<String>) -> Result<Exit, Failure> {
    let changed = Changed { done: done.to_owned(), position, vkey };
    output.answer(&changed, || {
        let key = changed.vkey.as_ref().map(|vkey| format!("  {vkey}\n")).unwrap_or_default();
        format!("{done}; recorded at position {position}\n{key}")
    })?;
    Ok(Exit::Done)
}

/// A signing key's public key by its number.
fn vkey_of(setting: &Setting, number: u32) -> Result<Option<String>, Failure> {
    let keys = public_keys(&open_reader(&setting.place()?, &setting.options()?)?)?;
    Ok(keys.into_iter().find(|key| key.number == number).map(|key| key.vkey))
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
fn change<T>(
    store: &OpenedStore,
    what: What,
    actor: &Actor,
    reason: Option<&str>,
    carry_out: impl FnOnce() -> Result<(T, Members<'static>), Failure>,
) -> Result<(T, u64), Failure> {
    let is_callers = |failure: &Failure| failure.exit == Exit::Usage;
    key_changes::carry_out(store, what, actor, reason, carry_out, is_callers)
}

fn rotate_key(setting: &Setting, rotate: &Rotate, output: &mut Output) -> Result<Exit, Failure> {
    if rotate.person.is_some() && rotate.level != Level::Data {
        return Err(Failure::usage("--person goes with `rotate data` only"));
    }
    let actor = setting.actor()?;
    let reason = rotate.reason.as_deref().map(checked).transpose()?;
    if let (Some(person), Some(reason)) = (&rotate.person, reason) {
        Order { person, reason, by: &actor }.check()?;
    }
    let store = setting.open_writer(&setting.options()?)?;
    let change = |what, carry_out: &dyn Fn() -> Result<(String, Members<'static>), Failure>| {
        change(&store, what, &actor, reason, carry_out)
    };
    let (done, position) = match rotate.level {
        Level::Vault => change(What::Vault, &|| rotate_vault(&store)),
        Level::Tenant => change(What::Tenant, &|| {
            let done = store.keyring.rotate_tenant_key()?;
            let (version, rewrapped) = (done.version, done.rewrapped);
            let told = format!("the tenant's key is at version {version}, {rewrapped} records are under it");
            Ok((told, vec![("version", Value::Integer(version.into()))]))
        }),
        Level::Data => change(What::Data, &|| rotate_data(&store, rotate)),
        Level::Signing => {
            // Clap asks for a reason here.
            let (info, position) = key_changes::add_signer(&store, &actor, reason.unwrap_or_default())?;
            drop(store);
            let done =
                format!("signing key {} signs from the next opening on, beside the others", info.number);
            return told(output, &done, position, vkey_of(setting, info.number)?);
        }
    }?;
    told(output, &done, position, None)
}

fn rotate_vault(store: &OpenedStore) -> Result<(String, Members<'static>), Failure> {
    let made = match store.vault.rotate() {
        // Rotations that were broken off left as many as fit: no further one is made, and the last is finished.
        Err(VaultError::KeysFull) => "a rotation that was broken off is finished",
        other => other.map(|()| "the vault has a new key")?,
    };
    let rewrapped = store.keyring.rewrap_vault()?;
    store.vault.drop_old()?;
    Ok((format!("{made}, {rewrapped} versions of the tenant's key are under it"), Vec::new()))
}

fn rotate_data(store: &OpenedStore, rotate: &Rotate) -> Result<(String, Members<'static>), Failure> {
    let (class, day) = (rotate.class.as_str(), store.clock.now().day());
    if let Some(person) = &rotate.person {
        let held = store.keyring.keys_of(store.keyring.person_tag(person))?;
        // A key of a class that nothing was sealed in would be asked for by that class's retention.
        if !held.iter().any(|key| key.class == class) {
            return Err(Failure::usage(format!("the person has no key of the class `{class}` to rotate")));
        }
    }
    let whom = match &rotate.person {
        Some(id) => Whom::Person { id, class, year: day.year() },
        None => Whom::Common { class, day },
    };
    let id = store.keyring.rotate_data_key(whom)?;
    Ok((format!("the new data key is `{id}`"), vec![("key", text(id.to_string()))]))
}

fn destroy_person(setting: &Setting, args: &Destroy, output: &mut Output) -> Result<Exit, Failure> {
    let actor = setting.actor()?;
    Order { person: &args.person, reason: &args.reason, by: &actor }.check()?;
    let store = setting.open_writer(&setting.options()?)?;
    let keep: BTreeSet<String> = args.keep.iter().cloned().collect();
    let done = key_changes::destroy_person(&store, &args.person, &keep, &args.reason, &actor)?;
    if done.held {
        return Err(KeysError::State(StateError::Held).into());
    }
    let tag = tag_text(store.keyring.person_tag(&args.person));
    drop(store);
    let json = DestroyedJson { destroyed: done.destroyed, kept: done.kept, position: done.position };
    if json.destroyed == 0 {
        tell_none_held(setting, &tag)?;
    }
    output.answer(&json, || {
        let person = mask_person(&args.person);
        let recorded = done.position.map_or_else(
            || "nothing was recorded".to_owned(),
            |position| format!("recorded at position {position}"),
        );
        format!("{} keys of {person} destroyed, {} kept; {recorded}\n", json.destroyed, json.kept)
    })?;
    Ok(Exit::Done)
}
