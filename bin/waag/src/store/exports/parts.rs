//! What stands beside the entries: public keys, schemas, blobs, key records, tombstones, records of the state,
//! subscriptions, dead letters; and where it was asked for, the keys themselves.

use std::collections::{BTreeMap, BTreeSet};

use waag_keys::keyring::Keyring;
use waag_keys::side::Side;
use waag_keys::state::{SCAN_RECORDS_MAX, State};
use waag_ledger::hash::Hash;
use waag_log::objects::Objects;
use waag_router::taken::{letters, subscriptions};
use waag_sqlite::state::SqliteState;

use super::error::ExportError;
use super::folder::{Folder, to_json};
use super::forms::{KeyForm, OwnSecretsForm, RecordForm, SchemaForm, SignerForm, TombstoneForm, hex_of};
use crate::store::reader::OpenedReader;
use crate::store::schemas::object_name;

/// The public keys.
pub(super) const KEYS_FILE: &str = "keys.json";
/// The registered schemas.
pub(super) const SCHEMAS_FILE: &str = "schemas/index.jsonl";
/// What is told of every data key.
pub(super) const KEY_RECORDS_FILE: &str = "data-keys.jsonl";
/// What is left of destroyed keys.
pub(super) const TOMBSTONES_FILE: &str = "tombstones.jsonl";
/// The data keys themselves.
pub(super) const DATA_KEYS_FILE: &str = "secrets/data-keys.jsonl";
/// The tenant's and the ledger's own secrets.
pub(super) const OWN_SECRETS_FILE: &str = "secrets/own.json";

/// The records of the state that go along, with their files. What a node witnesses of others stays with that node.
pub(super) const SIDES: [(Side, &str); 4] = [
    (Side::Publication, "records/publication.jsonl"),
    (Side::Pack, "records/packs.jsonl"),
    (Side::Restriction, "records/restrictions.jsonl"),
    (Side::Upkeep, "records/upkeep.jsonl"),
];

type Counts = BTreeMap<String, u64>;

/// Writes all of it; how many there are of each.
pub(super) fn write(store: &OpenedReader, folder: &mut Folder, keys: bool) -> Result<Counts, ExportError> {
    let mut counts = Counts::new();
    let infos = store.ledger.signers.iter().map(|signer| &signer.info).chain(&store.ledger.retired);
    let mut signers: Vec<SignerForm> = infos.filter_map(SignerForm::of).collect();
    signers.sort_by_key(|signer| signer.number);
    folder.whole(KEYS_FILE, &to_json(&signers)?)?;
    counts.insert("signing_keys".to_owned(), signers.len() as u64);
    let registered = schemas(store, folder)?;
    counts.insert("schemas".to_owned(), store.schemas.len() as u64);
    counts.insert("blobs".to_owned(), blobs(store, folder, &registered)?);
    counts.insert("data_keys".to_owned(), key_records(&store.keyring, folder, keys)?);
    counts.insert("tombstones".to_owned(), tombstones(&store.keyring, folder)?);
    for (side, file) in SIDES {
        let name = file.trim_start_matches("records/").trim_end_matches(".jsonl");
        counts.insert(name.to_owned(), records(&store.keyring, folder, side, file)?);
    }
    let state = SqliteState::open_read_only(&store.place.state)?;
    deliveries(&state, folder, &mut counts)?;
    if keys {
        own_secrets(store, folder)?;
    }
    Ok(counts)
}

/// An object's bytes, which are what its name says.
fn object(objects: &dyn Objects, name: &Hash) -> Result<Vec<u8>, ExportError> {
    let bytes = objects.get(name)?.filter(|bytes| object_name(bytes) == *name);
    bytes.ok_or_else(|| ExportError::damaged(&format!("objects/{name}"), "it is missing or was changed"))
}

fn schemas(store: &OpenedReader, folder: &mut Folder) -> Result<BTreeSet<Hash>, ExportError> {
    let mut written = BTreeSet::new();
    let mut index = folder.stream(SCHEMAS_FILE)?;
    for record in &store.schemas {
        index.json_line(&SchemaForm {
            r#type: record.kind.clone(),
            version: record.version,
            schema_sha256: record.schema.to_string(),
            dictionary_sha256: record.dictionary.map(|hash| hash.to_string()),
            position: record.position.0,
        })?;
        let named = [(Some(record.schema), "json"), (record.dictionary, "dictionary")];
        for (name, ending) in named.into_iter().filter_map(|(name, ending)| Some((name?, ending))) {
            if written.insert(name) {
                let bytes = object(&*store.reader.objects, &name)?;
                folder.whole(&format!("schemas/{name}.{ending}"), &bytes)?;
            }
        }
    }
    folder.close(SCHEMAS_FILE, index)?;
    Ok(written)
}

/// Every other object: bodies too large for an entry, sealed as they lie there.
fn blobs(store: &OpenedReader, folder: &mut Folder, others: &BTreeSet<Hash>) -> Result<u64, ExportError> {
    let objects = &*store.reader.objects;
    let (mut count, mut failed) = (0_u64, None);
    objects.names(&mut |name| {
        if failed.is_some() || others.contains(&name) {
            return;
        }
        let hex = name.to_string();
        let shelf = hex.get(..2).unwrap_or_default();
        let written =
            object(objects, &name).and_then(|bytes| folder.whole(&format!("blobs/{shelf}/{hex}"), &bytes));
        match written {
            Ok(()) => count = count.saturating_add(1),
            Err(error) => failed = Some(error),
        }
    })?;
    failed.map_or(Ok(count), Err)
}

fn key_records(keyring: &Keyring, folder: &mut Folder, with_secrets: bool) -> Result<u64, ExportError> {
    let (mut count, mut after) = (0_u64, None);
    let mut told = folder.stream(KEY_RECORDS_FILE)?;
    loop {
        let keys = keyring.list(after, SCAN_RECORDS_MAX)?;
        let Some(last) = keys.last() else { break };
        after = Some(last.id);
        count = count.saturating_add(keys.len() as u64);
        keys.iter().try_for_each(|key| told.json_line(&KeyForm::told(key)))?;
    }
    folder.close(KEY_RECORDS_FILE, told)?;
    if !with_secrets {
        return Ok(count);
    }
    let (mut opened, mut after) = (folder.stream(DATA_KEYS_FILE)?, None);
    loop {
        let keys = keyring.carried_keys(after, SCAN_RECORDS_MAX)?;
        let Some(last) = keys.last() else { break };
        after = Some(last.id);
        keys.iter().try_for_each(|key| opened.json_line(&KeyForm::whole(key)))?;
    }
    folder.close(DATA_KEYS_FILE, opened)?;
    Ok(count)
}

fn tombstones(keyring: &Keyring, folder: &mut Folder) -> Result<u64, ExportError> {
    let (mut count, mut after) = (0_u64, None);
    let mut out = folder.stream(TOMBSTONES_FILE)?;
    loop {
        let stones = keyring.tombstones(after, SCAN_RECORDS_MAX)?;
        let Some(last) = stones.last() else { break };
        after = Some(last.id);
        count = count.saturating_add(stones.len() as u64);
        stones.iter().try_for_each(|stone| out.json_line(&TombstoneForm::of(stone)))?;
    }
    folder.close(TOMBSTONES_FILE, out)?;
    Ok(count)
}

fn records(keyring: &Keyring, folder: &mut Folder, side: Side, file: &str) -> Result<u64, ExportError> {
    let (mut count, mut after): (u64, Option<Vec<u8>>) = (0, None);
    let mut out = folder.stream(file)?;
    loop {
        let records = keyring.side_records(side, after.as_deref(), SCAN_RECORDS_MAX)?;
        for record in &records {
            out.json_line(&RecordForm { key: hex::encode(&record.key), value: hex::encode(&record.value) })?;
        }
        count = count.saturating_add(records.len() as u64);
        match records.into_iter().next_back() {
            Some(last) => after = Some(last.key),
            None => break,
        }
    }
    folder.close(file, out)?;
    Ok(count)
}

fn deliveries(state: &dyn State, folder: &mut Folder, counts: &mut Counts) -> Result<(), ExportError> {
    let mut out = folder.stream("subscriptions.jsonl")?;
    let taken = subscriptions(state)?;
    taken.iter().try_for_each(|one| out.json_line(one))?;
    folder.close("subscriptions.jsonl", out)?;
    counts.insert("subscriptions".to_owned(), taken.len() as u64);
    let (mut out, mut count) = (folder.stream("dead-letters.jsonl")?, 0_u64);
    letters::<ExportError>(state, &mut |letter| {
        count = count.saturating_add(1);
        out.json_line(&letter)
    })?;
    folder.close("dead-letters.jsonl", out)?;
    counts.insert("dead_letters".to_owned(), count);
    Ok(())
}

fn own_secrets(store: &OpenedReader, folder: &mut Folder) -> Result<(), ExportError> {
    let tenant = store.keyring.carried_tenant()?;
    let form = OwnSecretsForm {
        tenant_created_ns: tenant.created.0,
        lookup: hex_of(&tenant.lookup),
        identity_tags: hex_of(&store.ledger.identity),
        ordering_tags: hex_of(&store.ledger.ordering),
    };
    folder.whole(OWN_SECRETS_FILE, &to_json(&form)?)
}
