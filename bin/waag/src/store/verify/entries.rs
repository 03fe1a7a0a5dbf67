//! Each entry: its form, its keys, its blobs; with depth also its parts and its identity.
//!
//! Asked for every entry under the guard, in order, by the walk over the log. Not here: frames, chain and tree
//! (`waag_log::verify`).

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use waag_engine::identity::{Empty, IdentityIndex};
use waag_engine::reader::{ReadFault, Reader};
use waag_engine::recover::IDENTITY_FOLDER;
use waag_engine::registry::Registry;
use waag_entry::form::Entry;
use waag_files::objects::FileObjects;
use waag_keys::keyring::{Found, Keyring};
use waag_keys::state::SCAN_RECORDS_MAX;
use waag_ledger::hash::Hash;
use waag_log::contract::{AppendError, EventLog, FrameView, ReadError, Tail, TrimError};
use waag_log::frame::Frame;
use waag_model::ids::{FrameNumber, KeyId, LedgerId, Position};
use waag_stdx::files::{File, Files, Lock, Open};

use super::Depth;
use super::told::Told;
use crate::store::options::Options;
use crate::store::place::Place;
use crate::store::schemas::{REGISTERED, SchemaRecord, Schemas};

/// Most key ids that are remembered as known; beyond it they are looked up again.
const KNOWN_KEYS_MAX: usize = 1 << 20;

/// Checks entries one by one.
pub(super) struct EntryCheck {
    /// Where keys can be opened.
    reader: Option<Reader>,
    deep: bool,
    known: HashSet<KeyId>,
    last: Option<KeyId>,
    objects: Vec<Hash>,
    schemas: Schemas,
    /// A registration's key is not there any more, so that not all of them can be told.
    schemas_closed: bool,
    told: Told,
    identity: Option<IdentityIndex>,
    identity_fault: Option<String>,
}

impl EntryCheck {
    pub(super) fn new(
        place: &Place,
        options: &Options,
        depth: Depth,
        ledger: LedgerId,
        keyring: Option<Arc<Keyring>>,
        objects: Vec<Hash>,
    ) -> Self {
        let known = keyring.as_ref().map(|keyring| known_keys(keyring)).unwrap_or_default();
        let reader = keyring.map(|keyring| Reader {
            ledger,
            log: Arc::new(NoLog(ledger)),
            keyring,
            objects: Arc::new(FileObjects::new(place.object_files())),
            registry: Arc::new(Registry::default()),
        });
        let identity =
            if depth.deep { open_identity(place, options, ledger).unwrap_or_default() } else { None };
        Self {
            reader,
            deep: depth.deep,
            known,
            last: None,
            objects,
            schemas: Schemas::default(),
            schemas_closed: false,
            told: Told::default(),
            identity,
            identity_fault: None,
        }
    }

    /// Why an entry is not as it should be, with the code in front.
    pub(super) fn entry(&mut self, position: Position, bytes: &[u8]) -> Result<(), String> {
        let entry = Entry::read(bytes).map_err(|error| coded(error.code(), &error))?;
        let header = &entry.header;
        for hash in &header.blobs {
            let name = Hash(*hash);
            if self.objects.binary_search(&name).is_err() && !self.came_later(&name) {
                let fault = ReadFault::BlobMissing(name);
                return Err(coded(fault.code(), &fault));
            }
        }
        for part in &entry.parts {
            self.key(part.key_id)?;
        }
        if header.kind == REGISTERED {
            self.registration(position, bytes)?;
        }
        if let Some(reader) = &self.reader {
            self.told.entry(reader, position, &entry);
        }
        if self.deep {
            self.open(&entry)?;
            self.identity(position, &entry);
        }
        Ok(())
    }

    /// A running writer may have put it since the objects were listed.
    fn came_later(&self, name: &Hash) -> bool {
        let found = self.reader.as_ref().and_then(|reader| reader.objects.get(name).ok().flatten());
        found.is_some_and(|bytes| crate::store::schemas::object_name(&bytes) == *name)
    }

    fn key(&mut self, id: KeyId) -> Result<(), String> {
        // Most entries of a day are under one key.
        if self.last == Some(id) || self.known.contains(&id) {
            self.last = Some(id);
            return Ok(());
        }
        let Some(reader) = &self.reader else { return Ok(()) };
        match reader.keyring.open_key(id) {
            Ok(Found::Key(_) | Found::Destroyed(_)) => {
                if self.known.len() < KNOWN_KEYS_MAX {
                    self.known.insert(id);
                }
                Ok(())
            }
            Ok(Found::Unknown) => {
                let fault = ReadFault::KeyUnknown(id);
                Err(coded(fault.code(), &fault))
            }
            Err(error) => Err(coded(error.code(), &error)),
        }
    }

    fn registration(&mut self, position: Position, bytes: &[u8]) -> Result<(), String> {
        let Some(reader) = &mut self.reader else { return Ok(()) };
        let record =
            SchemaRecord::of_entry(reader, position, bytes).map_err(|error| coded(error.code(), &error))?;
        let Some(record) = record else {
            self.schemas_closed = true;
            return Ok(());
        };
        self.schemas.records.push(record.clone());
        let one = Schemas { records: vec![record], indexed: true };
        let (_, faults) = one.load(&*reader.objects);
        if let Some(fault) = faults.first() {
            return Err(coded(fault.code(), fault));
        }
        // Entries behind it are opened with its dictionary.
        let (registry, _) = self.schemas.load(&*reader.objects);
        reader.registry = Arc::new(registry);
        Ok(())
    }

    fn open(&self, entry: &Entry<'_>) -> Result<(), String> {
        let Some(reader) = &self.reader else { return Ok(()) };
        let read = reader.open(entry).map_err(|fault| coded(fault.code(), &fault))?;
        read.opened.event().map(drop).map_err(|error| coded(error.code(), &error))
    }

    fn identity(&mut self, position: Position, entry: &Entry<'_>) {
        let Some(index) = &self.identity else { return };
        if position >= index.covered() {
            return;
        }
        let is_held = index.oldest_covered().is_some_and(|(oldest, _)| position >= oldest);
        let wrong = match index.lookup(&entry.header.identity) {
            Ok(None) if is_held => Some(format!("the identity at position {position} is not in it")),
            Ok(Some(_) | None) => None,
            Err(error) => Some(error.to_string()),
        };
        if wrong.is_some() {
            self.identity_fault = wrong;
            self.identity = None;
        }
    }

    /// The registrations found, whether some could not be read, what is wrong with the identity index, and what the
    /// ledger's own events tell.
    pub(super) fn finish(self) -> (Schemas, bool, Option<String>, Told) {
        (self.schemas, self.schemas_closed, self.identity_fault, self.told)
    }
}

fn coded(code: &str, error: &dyn std::error::Error) -> String {
    format!("{code}: {}", super::with_cause(error))
}

/// The ids of all keys and tombstones, as far as they may be remembered.
fn known_keys(keyring: &Keyring) -> HashSet<KeyId> {
    let mut known = HashSet::new();
    let mut after = None;
    while let Ok(keys) = keyring.list(after, SCAN_RECORDS_MAX) {
        let Some(last) = keys.last().filter(|_| known.len() < KNOWN_KEYS_MAX) else { break };
        after = Some(last.id);
        known.extend(keys.iter().map(|key| key.id));
    }
    after = None;
    while let Ok(stones) = keyring.tombstones(after, SCAN_RECORDS_MAX) {
        let Some(last) = stones.last().filter(|_| known.len() < KNOWN_KEYS_MAX) else { break };
        after = Some(last.id);
        known.extend(stones.iter().map(|stone| stone.id));
    }
    known
}

/// Opens the identity index without changing anything; none where there is none.
///
/// # Errors
/// What is wrong with it, in words, where it cannot be used.
pub(super) fn open_identity(
    place: &Place,
    options: &Options,
    ledger: LedgerId,
) -> Result<Option<IdentityIndex>, String> {
    let files: Arc<dyn Files> = Arc::new(Unchanged(place.data_files()));
    // A running writer may cover more than the guard that was read, so no end is too far.
    let end = Position(u64::MAX);
    let opened = IdentityIndex::open(files, IDENTITY_FOLDER, ledger, end, options.identity.clone());
    let opened = opened.map_err(|error| error.to_string())?;
    match opened.empty {
        Some(Empty::Unusable(error)) => Err(error.to_string()),
        Some(Empty::AheadOfLog) => Err("it knows entries that the log does not have".to_owned()),
        // Where nothing was ever written there is no folder either.
        Some(Empty::Missing)
            if place.data_files().list(IDENTITY_FOLDER).is_ok_and(|names| !names.is_empty()) =>
        {
            Err("its manifest is missing".to_owned())
        }
        Some(Empty::Missing) => Ok(None),
        None => Ok(Some(opened.index)),
    }
}

/// Files that nothing changes: what would be removed stays, and nothing can be written.
#[derive(Debug)]
struct Unchanged(Arc<dyn Files>);

impl Files for Unchanged {
    fn open(&self, path: &str, how: Open) -> std::io::Result<Arc<dyn File>> {
        match how {
            Open::Read => self.0.open(path, how),
            Open::Write | Open::Create => Err(std::io::ErrorKind::PermissionDenied.into()),
        }
    }

    fn list(&self, folder: &str) -> std::io::Result<Vec<String>> {
        self.0.list(folder)
    }

    fn rename(&self, _from: &str, _to: &str) -> std::io::Result<()> {
        Err(std::io::ErrorKind::PermissionDenied.into())
    }

    fn remove(&self, _path: &str) -> std::io::Result<()> {
        Ok(())
    }

    fn lock(&self, _path: &str) -> std::io::Result<Box<dyn Lock>> {
        Err(std::io::ErrorKind::PermissionDenied.into())
    }
}

/// Stands where a reader has its log; entries come from the walk instead.
struct NoLog(LedgerId);

impl EventLog for NoLog {
    fn append(&self, _expected: FrameNumber, _frame: &Frame) -> Result<(), AppendError> {
        Err(AppendError::ReadOnly)
    }

    fn read(
        &self,
        _from: Position,
        _visit: &mut dyn FnMut(FrameView<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        Ok(())
    }

    fn tail(&self) -> Tail {
        Tail::start(self.0)
    }

    fn trim(&self, _before: Position) -> Result<(), TrimError> {
        Err(TrimError::NoArchive)
    }
}
