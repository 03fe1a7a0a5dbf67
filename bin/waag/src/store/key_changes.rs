//! Changes of keys that are recorded in the ledger: a person's keys destroyed, a key put in another's place or retired, the
//! vault's passphrase.
//!
//! A change goes: intent durable → change → event → intent gone. Only a retirement is recorded before it is done, so that no
//! checkpoint bears the signature of a key after its end. A crash after any step leaves the intent, and the next opening goes
//! on: what was begun and may be done already is recorded all the same, as `interrupted` where nobody can tell.
//!
//! An intent is `[1, at (ns), id (16), actor, reason or null, what, signing key's number or null, tag (16) or null, [key ids],
//! [classes that stay]]` under `key-change/<id>` (`begun`). A person's id is in none, nor in an event.
//!
//! - `KEYCHANGE-1`: no key is destroyed, added or retired without an event or an intent that leads to one.

use std::collections::BTreeSet;
use std::sync::Arc;

use waag_engine::recover::verifier_keys;
use waag_entry::cbor::{Reader, write};
use waag_entry::error::EntryError;
use waag_keys::error::KeysError;
use waag_keys::keyring::Keyring;
use waag_keys::ledger::SignerInfo;
use waag_keys::list::{KeyInfo, Purpose};
use waag_keys::state::StateError;
use waag_model::ids::{Actor, KeyId, Tag};
use waag_model::time::UtcNanos;
use waag_model::value::Value;

use super::begun;
use super::error::StoreError;
use super::own::Members;
use super::place::LEDGER;
use super::subjects::erasing::{destroy, forget, inside};
use super::subjects::{SubjectsError, object, record, text};
use super::writer::OpenedStore;

/// The type of the event that records a destruction.
pub const DESTROYED: &str = "waag.keys.destroyed";
/// The type of the event that records a rotation, a retirement, another passphrase.
pub const ROTATED: &str = "waag.keys.rotated";

const VERSION: u64 = 1;
const PREFIX: &str = "key-change/";

/// What is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A person's keys go.
    Destroy,
    /// The vault's key.
    Vault,
    /// The tenant's key.
    Tenant,
    /// A data key.
    Data,
    /// A further signing key.
    Signing,
    /// A signing key that signs no more.
    Retire,
    /// A passphrase where there was none.
    PassphraseSet,
    /// Another passphrase.
    PassphraseChanged,
    /// No passphrase any more.
    PassphraseRemoved,
}

const ALL: [What; 9] = [
    What::Destroy,
    What::Vault,
    What::Tenant,
    What::Data,
    What::Signing,
    What::Retire,
    What::PassphraseSet,
    What::PassphraseChanged,
    What::PassphraseRemoved,
];

impl What {
    /// Its name in events and intents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Destroy => "destroy",
            Self::Vault => "vault",
            Self::Tenant => "tenant",
            Self::Data => "data",
            Self::Signing => "signing",
            Self::Retire => "retire-signing",
            Self::PassphraseSet => "passphrase-set",
            Self::PassphraseChanged => "passphrase-changed",
            Self::PassphraseRemoved => "passphrase-removed",
        }
    }
}

/// A change that is begun and not recorded yet.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Intent {
    at: UtcNanos,
    id: begun::Id,
    by: String,
    reason: Option<String>,
    what: What,
    /// Of a signing key: the one that is retired, or the first that was not there before.
    signer: Option<u32>,
    person: Option<Tag>,
    keys: Vec<KeyId>,
    /// Classes whose keys stay.
    kept: Vec<String>,
}

impl Intent {
    fn new(store: &OpenedStore, what: What, by: &Actor, reason: Option<&str>) -> Result<Self, KeysError> {
        Ok(Self {
            at: store.clock.now(),
            id: begun::new_id()?,
            by: by.as_str().to_owned(),
            reason: reason.map(|reason| reason.trim().to_owned()),
            what,
            signer: None,
            person: None,
            keys: Vec::new(),
            kept: Vec::new(),
        })
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write::array(&mut out, 10);
        write::uint(&mut out, VERSION);
        write::int(&mut out, self.at.0);
        write::bytes(&mut out, &self.id);
        write::text(&mut out, &self.by);
        match &self.reason {
            Some(reason) => write::text(&mut out, reason),
            None => write::null(&mut out),
        }
        write::text(&mut out, self.what.name());
        match self.signer {
            Some(number) => write::uint(&mut out, number.into()),
            None => write::null(&mut out),
        }
        match self.person {
            Some(tag) => write::bytes(&mut out, &tag.0),
            None => write::null(&mut out),
        }
        write::array(&mut out, self.keys.len());
        self.keys.iter().for_each(|key| write::bytes(&mut out, &key.0));
        write::array(&mut out, self.kept.len());
        self.kept.iter().for_each(|class| write::text(&mut out, class));
        out
    }

    fn decode(value: &[u8]) -> Result<Self, KeysError> {
        let read = || -> Result<Self, EntryError> {
            let mut reader = Reader::new(value);
            reader.array_of(10, "a change of keys")?;
            let wrong =
                |reader: &Reader<'_>, expected| EntryError::Form { offset: reader.offset(), expected };
            if reader.uint("the version")? != VERSION {
                return Err(wrong(&reader, "version 1"));
            }
            let at = UtcNanos(reader.int("a time")?);
            let id = reader.fixed("an id")?;
            let by = reader.text("an actor")?.to_owned();
            let reason = if reader.null() { None } else { Some(reader.text("a reason")?.to_owned()) };
            let name = reader.text("what is changed")?;
            let what = ALL.into_iter().find(|what| what.name() == name);
            let what = what.ok_or_else(|| wrong(&reader, "a change that is known"))?;
            let signer = if reader.null() {
                None
            } else {
                let number = reader.uint("a signing key's number")?;
                Some(u32::try_from(number).map_err(|_| wrong(&reader, "a signing key's number"))?)
            };
            let person = if reader.null() { None } else { Some(Tag(reader.fixed("a person's tag")?)) };
            let keys = reader.array("keys")?;
            let keys = (0..keys).map(|_| reader.fixed("a key's id").map(KeyId)).collect::<Result<_, _>>()?;
            let kept = reader.array("classes")?;
            let kept = (0..kept).map(|_| reader.text("a class").map(str::to_owned));
            let kept = kept.collect::<Result<_, _>>()?;
            reader.end()?;
            Ok(Self { at, id, by, reason, what, signer, person, keys, kept })
        };
        read().map_err(|_| KeysError::Unreadable("a change of keys"))
    }

    fn keep(&self, keyring: &Keyring) -> Result<(), KeysError> {
        begun::keep(keyring, PREFIX, &self.id, &self.encode())
    }

    fn clear(&self, keyring: &Keyring) -> Result<(), KeysError> {
        begun::let_go(keyring, PREFIX, &self.id)
    }

    /// Records it, once however often it is asked: the event has the intent's id.
    fn record(&self, store: &OpenedStore, kind: &str, data: Members<'_>) -> Result<u64, SubjectsError> {
        let by = Actor::new(&self.by).map_err(|_| KeysError::Unreadable("a change of keys"))?;
        Ok(record(store, kind, Some(hex::encode(self.id)), data, &by)?)
    }

    /// What every event of a change but a destruction begins with.
    fn data(&self) -> Members<'static> {
        vec![("what", text(self.what.name())), ("reason", self.reason.clone().map_or(Value::Null, text))]
    }
}

fn pending(keyring: &Keyring) -> Result<Vec<Intent>, KeysError> {
    begun::under(keyring, PREFIX, Intent::decode)
}

/// What a destruction came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Destroyed {
    /// How many keys were destroyed.
    pub destroyed: usize,
    /// How many stay.
    pub kept: usize,
    /// Where it is recorded; none where nothing was destroyed.
    pub position: Option<u64>,
    /// Whether readers still hold old bytes of the state; the next opening removes them.
    pub held: bool,
}

/// Destroys a person's keys but those of some classes. Where there is none to destroy, nothing is recorded.
///
/// # Errors
/// [`KeysError::Restricted`]; the store's. What was begun is finished by the next opening.
pub fn destroy_person(
    store: &OpenedStore,
    person: &str,
    keep: &BTreeSet<String>,
    reason: &str,
    by: &Actor,
) -> Result<Destroyed, SubjectsError> {
    let person = store.keyring.person_tag(person);
    let (keyring, keep) = (Arc::clone(&store.keyring), keep.clone());
    let intent = Intent { person: Some(person), ..Intent::new(store, What::Destroy, by, Some(reason))? };
    let begun = inside(store, move || {
        // What a law or the person asks to be kept is not destroyed round the rules of `waag subject`.
        if keyring.restriction(person)?.is_some() {
            return Err(KeysError::Restricted);
        }
        keyring.commit_pending(u64::MAX)?;
        let keys = keyring.keys_of(person)?;
        let is_data = |key: &&KeyInfo| key.purpose == Purpose::Data;
        let stays = |key: &&KeyInfo| keep.contains(&key.class);
        let kept: BTreeSet<String> =
            keys.iter().filter(is_data).filter(stays).map(|key| key.class.clone()).collect();
        // The last data key takes the tag key with it.
        let goes = |key: &&KeyInfo| match key.purpose {
            Purpose::Data => !stays(key),
            Purpose::Tags => kept.is_empty(),
        };
        let ids: Vec<KeyId> = keys.iter().filter(goes).map(|key| key.id).collect();
        let left = keys.len().saturating_sub(ids.len());
        if ids.is_empty() {
            return Ok((None, left));
        }
        let intent = Intent { keys: ids, kept: kept.into_iter().collect(), ..intent.clone() };
        intent.keep(&keyring)?;
        destroy(&keyring, person, &intent.keys)?;
        Ok((Some(intent), left))
    })?;
    let (Some(intent), kept) = begun else { return Ok(Destroyed { kept: begun.1, ..Destroyed::default() }) };
    settle_destroyed(store, &intent).map(|done| Destroyed { kept, ..done })
}

/// Records a destruction, has the old bytes forgotten, and lets the intent go.
fn settle_destroyed(store: &OpenedStore, intent: &Intent) -> Result<Destroyed, SubjectsError> {
    let stones =
        intent.keys.iter().map(|key| store.keyring.tombstone(*key)).collect::<Result<Vec<_>, _>>()?;
    let ids: Vec<Value<'_>> = stones.iter().flatten().map(|stone| text(stone.id.to_string())).collect();
    let destroyed = ids.len();
    let data = vec![
        ("reason", intent.reason.clone().map_or(Value::Null, text)),
        ("keys", Value::Array(ids)),
        ("kept", Value::Array(intent.kept.iter().map(text).collect())),
    ];
    let position = Some(intent.record(store, DESTROYED, data)?);
    let held = !forget(store)?;
    if !held {
        intent.clear(&store.keyring)?;
    }
    Ok(Destroyed { destroyed, kept: 0, position, held })
}

/// Carries out a change that is none of signing keys or persons, and records it with what it tells of itself. One that the
/// caller's words made impossible changed nothing, and is not recorded; `is_callers` says which.
///
/// # Errors
/// The change's; the store's.
pub fn carry_out<T, E: From<SubjectsError>>(
    store: &OpenedStore,
    what: What,
    by: &Actor,
    reason: Option<&str>,
    change: impl FnOnce() -> Result<(T, Members<'static>), E>,
    is_callers: impl FnOnce(&E) -> bool,
) -> Result<(T, u64), E> {
    let of_keys = |error: KeysError| E::from(error.into());
    let intent = Intent::new(store, what, by, reason).map_err(of_keys)?;
    intent.keep(&store.keyring).map_err(of_keys)?;
    let (told, facts) = match change() {
        Ok(done) => done,
        Err(error) => {
            if is_callers(&error) {
                intent.clear(&store.keyring).map_err(of_keys)?;
            } else {
                settle_unknown(store, &intent)?;
            }
            return Err(error);
        }
    };
    let data = intent.data().into_iter().chain(facts).collect();
    let position = intent.record(store, ROTATED, data)?;
    intent.clear(&store.keyring).map_err(of_keys)?;
    Ok((told, position))
}

/// Records a change of which nobody can tell any more whether it was done.
fn settle_unknown(store: &OpenedStore, intent: &Intent) -> Result<(), SubjectsError> {
    let mut data = intent.data();
    data.push(("interrupted", Value::Bool(true)));
    intent.record(store, ROTATED, data)?;
    Ok(intent.clear(&store.keyring)?)
}

/// A signing key as an event has it: its number and its whole public key.
fn signer_value(number: u32, vkey: &str) -> Value<'static> {
    object(vec![("number", Value::Integer(number.into())), ("vkey", text(vkey))])
}

/// The ledger's signing keys as they are now, by number: what may be told of each, and its public key.
fn signers(keyring: &Keyring) -> Result<Vec<(SignerInfo, String)>, SubjectsError> {
    let ledger = keyring.ledger(LEDGER)?;
    let keys = verifier_keys(&ledger).map_err(StoreError::Origin)?;
    let infos = ledger.signers.iter().map(|signer| &signer.info).chain(&ledger.retired).cloned();
    let mut all: Vec<(SignerInfo, String)> = infos.zip(keys.iter().map(ToString::to_string)).collect();
    all.sort_by_key(|(info, _)| info.number);
    Ok(all)
}

/// Adds a signing key and records it with its public key and that of the one before, under checkpoints that the keys before
/// it sign: who trusts these can come to trust it.
///
/// # Errors
/// As [`Keyring::add_signer`]; the store's.
pub fn add_signer(store: &OpenedStore, by: &Actor, reason: &str) -> Result<(SignerInfo, u64), SubjectsError> {
    let next = signers(&store.keyring)?.last().map_or(0, |(info, _)| info.number.saturating_add(1));
    let intent = Intent { signer: Some(next), ..Intent::new(store, What::Signing, by, Some(reason))? };
    intent.keep(&store.keyring)?;
    match store.keyring.add_signer(LEDGER) {
        Ok(_) | Err(KeysError::State(_)) => {}
        Err(refused) => {
            intent.clear(&store.keyring)?;
            return Err(refused.into());
        }
    }
    settle_added(store, &intent)?
        .ok_or_else(|| KeysError::Unreadable("the signing key that was added").into())
}

/// Records a signing key that was added; none where it was not.
fn settle_added(store: &OpenedStore, intent: &Intent) -> Result<Option<(SignerInfo, u64)>, SubjectsError> {
    let all = signers(&store.keyring)?;
    let is_added = |(info, _): &&(SignerInfo, String)| Some(info.number) == intent.signer;
    let Some((info, vkey)) = all.iter().find(is_added) else {
        intent.clear(&store.keyring)?;
        return Ok(None);
    };
    let before = all.iter().rev().find(|(other, _)| other.number < info.number && other.retired.is_none());
    let mut data = intent.data();
    data.extend([
        ("number", Value::Integer(info.number.into())),
        ("vkey", text(vkey)),
        ("predecessor", before.map_or(Value::Null, |(info, vkey)| signer_value(info.number, vkey))),
    ]);
    let position = intent.record(store, ROTATED, data)?;
    intent.clear(&store.keyring)?;
    Ok(Some((info.clone(), position)))
}

/// Records that a signing key is retired, with the keys that go on, and then retires it: the last checkpoint that it signs is
/// the one over that record.
///
/// # Errors
/// As [`Keyring::retire_signer`]; the store's.
pub fn retire_signer(
    store: &OpenedStore,
    number: u32,
    by: &Actor,
    reason: &str,
) -> Result<(SignerInfo, u64), SubjectsError> {
    let all = signers(&store.keyring)?;
    let is_active = |(info, _): &(SignerInfo, String)| info.retired.is_none();
    if !all.iter().any(|one| is_active(one) && one.0.number == number) {
        return Err(KeysError::NoSigner(number).into());
    }
    if !all.iter().any(|one| is_active(one) && one.0.number != number) {
        return Err(KeysError::LastSigner.into());
    }
    let intent = Intent { signer: Some(number), ..Intent::new(store, What::Retire, by, Some(reason))? };
    intent.keep(&store.keyring)?;
    let position = settle_retired(store, &intent)?;
    let info = signers(&store.keyring)?.into_iter().map(|(info, _)| info).find(|info| info.number == number);
    Ok((info.ok_or(KeysError::NoSigner(number))?, position))
}

fn settle_retired(store: &OpenedStore, intent: &Intent) -> Result<u64, SubjectsError> {
    let all = signers(&store.keyring)?;
    let its = all.iter().find(|(info, _)| Some(info.number) == intent.signer);
    let go_on = all.iter().filter(|(info, _)| info.retired.is_none() && Some(info.number) != intent.signer);
    let go_on = go_on.map(|(info, vkey)| signer_value(info.number, vkey)).collect();
    let mut data = intent.data();
    data.extend([
        ("number", intent.signer.map_or(Value::Null, |number| Value::Integer(number.into()))),
        ("vkey", its.map_or(Value::Null, |(_, vkey)| text(vkey))),
        ("signing", Value::Array(go_on)),
    ]);
    let position = intent.record(store, ROTATED, data)?;
    retire(&store.keyring, intent)?;
    if forget(store)? {
        intent.clear(&store.keyring)?;
    }
    Ok(position)
}

/// Retires the key that an intent names, unless it is retired already.
fn retire(keyring: &Keyring, intent: &Intent) -> Result<(), KeysError> {
    let Some(number) = intent.signer else { return Ok(()) };
    match keyring.retire_signer(LEDGER, number) {
        // Old bytes that readers hold are waited for later.
        Ok(_) | Err(KeysError::NoSigner(_) | KeysError::LastSigner | KeysError::State(StateError::Held)) => {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Retires the signing keys whose retirement was broken off, and says whether there were any: an opening that has read its
/// keys before reads them again, since it goes on signing with what it has.
///
/// # Errors
/// The state's.
pub(in crate::store) fn retire_pending(keyring: &Keyring) -> Result<bool, KeysError> {
    let mut pending = pending(keyring)?;
    pending.retain(|intent| intent.what == What::Retire);
    pending.iter().try_for_each(|intent| retire(keyring, intent))?;
    Ok(!pending.is_empty())
}

/// Goes on with what a crash broke off; how many there were.
///
/// # Errors
/// [`SubjectsError`]; what could not be finished is left for the next call.
pub fn finish(store: &OpenedStore) -> Result<usize, SubjectsError> {
    let pending = pending(&store.keyring)?;
    for intent in &pending {
        match intent.what {
            What::Destroy => {
                if let Some(person) = intent.person {
                    let (keyring, keys) = (Arc::clone(&store.keyring), intent.keys.clone());
                    inside(store, move || destroy(&keyring, person, &keys))?;
                }
                settle_destroyed(store, intent)?;
            }
            What::Signing => drop(settle_added(store, intent)?),
            What::Retire => drop(settle_retired(store, intent)?),
            What::Vault
            | What::Tenant
            | What::Data
            | What::PassphraseSet
            | What::PassphraseChanged
            | What::PassphraseRemoved => settle_unknown(store, intent)?,
        }
    }
    Ok(pending.len())
}

#[cfg(test)]
mod tests;
