//! A store made again from an export: the proof that everything was in it.
//!
//! Equal to the store it came from: ledger id and origin, every entry with its position, every frame byte for byte, the
//! root, the signed checkpoint, objects, schemas, tombstones, the records that went along; with the export's keys also
//! every data key with its id, person, class and period. Not equal: what wraps the keys, the guard's count, derived files.
//! Without keys a tombstone stands for each of them, and every part stays closed.
//!
//! A copy must not go on as the ledger it was made of, so it has no signing seed (`CARRY-1`) and its guard says that
//! nobody may write it.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use waag_files::guard::FileGuard;
use waag_files::hashes::HashFile;
use waag_files::log::FilesLog;
use waag_files::objects::FileObjects;
use waag_files::vault::FileVault;
use waag_keys::carry::{CARRY_KEYS_MAX, CarriedKey, CarriedLedger, put_tenant, withheld};
use waag_keys::keyring::{Keyring, Means};
use waag_keys::list::Tombstone;
use waag_keys::secret::Secret;
use waag_keys::state::{Expect, State};
use waag_ledger::hash::Hash;
use waag_log::contract::{AppendError, EventLog, Tail};
use waag_log::frame::{Frame, FrameFields, push_entry};
use waag_log::guard::{Guard, GuardRecord, READ_ONLY_GENERATION};
use waag_log::objects::Objects;
use waag_model::ids::{Epoch, FrameNumber, KeyId, LedgerId, Position, TenantName};
use waag_model::time::UtcNanos;
use waag_sqlite::state::SqliteState;
use waag_stdx::entropy::{Entropy, SystemEntropy};
use waag_stdx::files::{File, Files, Lock, Open};

use super::check::Opened;
use super::error::ExportError;
use super::folder::sync;
use super::forms::{
    FileForm, FrameForm, KeyForm, OwnSecretsForm, RecordForm, SchemaForm, SignerForm, TombstoneForm,
    secret_of,
};
use super::parts::{
    DATA_KEYS_FILE, KEY_RECORDS_FILE, KEYS_FILE, OWN_SECRETS_FILE, SCHEMAS_FILE, SIDES, TOMBSTONES_FILE,
};
use super::{FRAMES_FILE, LIST_FILE, MANIFEST_FILE};
use crate::store::error::StoreError;
use crate::store::options::Options;
use crate::store::place::{HASHES_FILE, LEDGER, Place};
use crate::store::schemas::{SchemaRecord, Schemas, object_name};

/// What was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Entries.
    pub entries: u64,
    /// Frames.
    pub frames: u64,
    /// Objects: blobs, schemas, dictionaries.
    pub objects: u64,
    /// Keys that open parts; none without the export's keys.
    pub keys: u64,
    /// Tombstones, those included that stand for keys that were not in the export.
    pub tombstones: u64,
    /// Records of the state that went along.
    pub records: u64,
}

/// Where an export's store goes.
///
/// # Errors
/// [`StoreError::StateInside`]; [`ExportError::Damaged`] where the tenant's name is none; [`ExportError::Folder`] where
/// something is there.
pub fn place_for(export: &Opened, data: &Path, state: Option<&Path>) -> Result<Place, ExportError> {
    let name = TenantName::new(&export.manifest.ledger.tenant);
    let name = name.map_err(|_| ExportError::damaged(MANIFEST_FILE, "the tenant's name is none"))?;
    let place = Place::new(data, state, name)?;
    for folder in [&place.data, &place.state] {
        let is_free = match std::fs::read_dir(folder) {
            Ok(mut names) => names.next().is_none(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if !is_free {
            return Err(ExportError::Folder(folder.clone()));
        }
    }
    Ok(place)
}

/// Makes the store of an export whose files were checked ([`Opened::check_files`]). The guard comes last: until it
/// stands, nothing opens what was made. Whoever asks verifies it then.
///
/// # Errors
/// [`ExportError`]; what was made so far stays, and is no store.
pub fn rebuild(
    export: &Opened,
    place: &Place,
    options: &Options,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Rebuilt, ExportError> {
    let mut made = Rebuilt::default();
    let state: Arc<dyn State> = Arc::new(SqliteState::create(&place.state)?);
    let (ledger, keyring) = keys(export, place, options, state, &mut made)?;
    records(export, &keyring, &mut made)?;
    let files: Arc<dyn Files> = Arc::new(Unsynced(place.data_files()));
    objects(export, Arc::clone(&files), &mut made)?;
    let tail = log(export, options, ledger, &files, progress, &mut made)?;
    schemas(export, ledger, place)?;
    // Nothing below the data folder was synced one by one.
    sync(&place.data)?;
    let guard = FileGuard::create(&*place.state_files())?;
    guard.swap(
        None,
        &GuardRecord {
            sequence: 0,
            ledger,
            epoch: tail.epoch,
            frame: FrameNumber(tail.next.0.saturating_sub(1)),
            size: tail.position.0,
            root: tail.root,
            header_hash: tail.header_hash,
            keys_generation: READ_ONLY_GENERATION,
            checkpoint: export.checkpoint.note().as_bytes().to_vec(),
        },
    )?;
    Ok(made)
}

fn keys(
    export: &Opened,
    place: &Place,
    options: &Options,
    state: Arc<dyn State>,
    made: &mut Rebuilt,
) -> Result<(LedgerId, Keyring), ExportError> {
    let told = &export.manifest.ledger;
    let wrong = |file: &'static str| move || ExportError::damaged(file, "an id or key is none");
    let mut id = LedgerId([0; 16]);
    hex::decode_to_slice(&told.id, &mut id.0).map_err(|_| wrong(MANIFEST_FILE)())?;
    let own: Option<OwnSecretsForm> =
        if export.manifest.keys { Some(export.whole(OWN_SECRETS_FILE)?) } else { None };
    let secret = |of: fn(&OwnSecretsForm) -> Option<Secret>| -> Result<Option<Secret>, ExportError> {
        own.as_ref().map(|own| of(own).ok_or_else(wrong(OWN_SECRETS_FILE))).transpose()
    };
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::new());
    let passphrase = options.passphrase.as_ref().map(|passphrase| passphrase.as_slice());
    let vault = Arc::new(FileVault::create(place.state_files(), Arc::clone(&entropy), passphrase)?);
    let means = Means { state, vault, entropy, clock: Arc::clone(&options.clock) };
    let lookup = secret(|own| secret_of(&own.lookup))?;
    let created = own.as_ref().map_or(told.created_ns, |own| own.tenant_created_ns);
    put_tenant(&means, &place.tenant, UtcNanos(created), lookup.as_ref())?;
    let keyring = Keyring::open(means, &place.tenant, options.keys)?;
    let signers: Option<Vec<_>> = export.signers.iter().map(SignerForm::info).collect();
    keyring.put_ledger(&CarriedLedger {
        name: LEDGER.to_owned(),
        id,
        origin: told.origin.clone(),
        created: UtcNanos(told.created_ns),
        identity: secret(|own| secret_of(&own.identity_tags))?,
        ordering: secret(|own| secret_of(&own.ordering_tags))?,
        signers: signers.ok_or_else(wrong(KEYS_FILE))?,
    })?;
    let destroyed = tombstones(export, &keyring, made)?;
    if export.manifest.keys {
        data_keys(export, &keyring, &destroyed, made)?;
    } else {
        closed(export, &keyring, &destroyed, options.clock.now(), made)?;
    }
    Ok((id, keyring))
}

/// Puts the keys; those that were destroyed while the export was made stay so.
fn data_keys(
    export: &Opened,
    keyring: &Keyring,
    destroyed: &HashSet<KeyId>,
    made: &mut Rebuilt,
) -> Result<(), ExportError> {
    let wrong = || ExportError::damaged(DATA_KEYS_FILE, "a key is none");
    let (mut waiting, mut rotated): (Vec<CarriedKey>, Vec<CarriedKey>) = (Vec::new(), Vec::new());
    export.lines::<KeyForm>(DATA_KEYS_FILE, &mut |form| {
        let key = form.carried().ok_or_else(wrong)?;
        if destroyed.contains(&key.id) {
            return Ok(());
        }
        made.keys = made.keys.saturating_add(1);
        // Behind the ones that took their places, in the order in which they were rotated away.
        if key.place > 0 {
            rotated.push(key);
            return Ok(());
        }
        waiting.push(key);
        if waiting.len() >= CARRY_KEYS_MAX {
            keyring.put_keys(&std::mem::take(&mut waiting))?;
        }
        Ok(())
    })?;
    rotated.sort_by_key(|key| key.place);
    waiting.extend(rotated);
    for some in waiting.chunks(CARRY_KEYS_MAX) {
        keyring.put_keys(some)?;
    }
    Ok(())
}

/// Puts the tombstones; which keys they are of.
fn tombstones(export: &Opened, keyring: &Keyring, made: &mut Rebuilt) -> Result<HashSet<KeyId>, ExportError> {
    let mut destroyed = HashSet::new();
    let mut stones = Stones { keyring, waiting: Vec::new() };
    export.lines::<TombstoneForm>(TOMBSTONES_FILE, &mut |form| {
        let stone = form.tombstone();
        let stone = stone.ok_or_else(|| ExportError::damaged(TOMBSTONES_FILE, "a tombstone is none"))?;
        if destroyed.insert(stone.id) { stones.put(stone, made) } else { Ok(()) }
    })?;
    stones.finish()?;
    Ok(destroyed)
}

/// Puts what stands for keys that are not in the export.
fn closed(
    export: &Opened,
    keyring: &Keyring,
    destroyed: &HashSet<KeyId>,
    now: UtcNanos,
    made: &mut Rebuilt,
) -> Result<(), ExportError> {
    let mut stones = Stones { keyring, waiting: Vec::new() };
    export.lines::<KeyForm>(KEY_RECORDS_FILE, &mut |form| {
        let id = form.key_id().ok_or_else(|| ExportError::damaged(KEY_RECORDS_FILE, "an id is none"))?;
        if destroyed.contains(&id) {
            return Ok(());
        }
        stones.put(withheld(id, form.purpose.into(), &form.class, form.period.into(), now), made)
    })?;
    stones.finish()
}

/// Tombstones on their way into the state.
struct Stones<'k> {
    keyring: &'k Keyring,
    waiting: Vec<Tombstone>,
}

impl Stones<'_> {
    fn put(&mut self, stone: Tombstone, made: &mut Rebuilt) -> Result<(), ExportError> {
        made.tombstones = made.tombstones.saturating_add(1);
        self.waiting.push(stone);
        if self.waiting.len() >= CARRY_KEYS_MAX {
            self.keyring.put_tombstones(&std::mem::take(&mut self.waiting))?;
        }
        Ok(())
    }

    fn finish(self) -> Result<(), ExportError> {
        Ok(self.keyring.put_tombstones(&self.waiting)?)
    }
}

fn records(export: &Opened, keyring: &Keyring, made: &mut Rebuilt) -> Result<(), ExportError> {
    for (side, file) in SIDES {
        export.lines::<RecordForm>(file, &mut |form| {
            let wrong = || ExportError::damaged(file, "a record is none");
            let key = hex::decode(&form.key).map_err(|_| wrong())?;
            let value = hex::decode(&form.value).map_err(|_| wrong())?;
            keyring.keep_side_record(side, &key, Expect::Absent, Some(&value))?;
            made.records = made.records.saturating_add(1);
            Ok(())
        })?;
    }
    Ok(())
}

fn objects(export: &Opened, files: Arc<dyn Files>, made: &mut Rebuilt) -> Result<(), ExportError> {
    let objects = FileObjects::new(files);
    export.lines::<FileForm>(LIST_FILE, &mut |file| {
        let is_object = file.path.starts_with("blobs/")
            || (file.path.starts_with("schemas/") && file.path != SCHEMAS_FILE);
        if is_object {
            let bytes = export.bytes(&file.path)?;
            objects.put(&object_name(&bytes), &bytes)?;
            made.objects = made.objects.saturating_add(1);
        }
        Ok(())
    })
}

fn schemas(export: &Opened, ledger: LedgerId, place: &Place) -> Result<(), ExportError> {
    let wrong = || ExportError::damaged(SCHEMAS_FILE, "a hash is none");
    let mut schemas = Schemas::default();
    export.lines::<SchemaForm>(SCHEMAS_FILE, &mut |form| {
        let dictionary = form.dictionary_sha256.as_deref().map(str::parse::<Hash>).transpose();
        schemas.records.push(SchemaRecord {
            kind: form.r#type,
            version: form.version,
            schema: form.schema_sha256.parse().map_err(|_| wrong())?,
            dictionary: dictionary.map_err(|_| wrong())?,
            position: Position(form.position),
        });
        Ok(())
    })?;
    let written = schemas.write_index(&*place.data_files(), ledger);
    written.map_err(|error| StoreError::io("write in", &place.data.join("derived"))(error).into())
}

/// The frames as they were: their own facts come from the export, everything else follows from the entries.
fn log(
    export: &Opened,
    options: &Options,
    ledger: LedgerId,
    files: &Arc<dyn Files>,
    progress: &mut dyn FnMut(u64, u64),
    made: &mut Rebuilt,
) -> Result<Tail, ExportError> {
    let size = export.checkpoint.checkpoint().size;
    let log = FilesLog::create(Arc::clone(files), options.log, ledger)?;
    let failed = StoreError::io("write", Path::new(HASHES_FILE));
    let hashes = HashFile::open(&**files, HASHES_FILE).map_err(failed)?;
    let mut frames = Frames::of(export)?;
    let mut due = frames.take()?;
    let (mut body, mut sink, mut count) = (Vec::new(), Vec::new(), 0_u32);
    export.entries(&mut |position, entry, leaf, frontier| {
        let wrong = |why: &str| ExportError::damaged(FRAMES_FILE, why);
        let frame = due.as_ref().ok_or_else(|| wrong("it ends before the entries"))?;
        if count == 0 && frame.first != position {
            return Err(wrong("a frame does not begin where the last one ends"));
        }
        push_entry(&mut body, entry).map_err(|error| wrong(&error.to_string()))?;
        sink.clear();
        frontier.append(*leaf, &mut sink);
        hashes.append(&sink).map_err(StoreError::io("write", Path::new(HASHES_FILE)))?;
        count = count.saturating_add(1);
        if count < frame.count {
            return Ok(());
        }
        let tail = log.tail();
        let fields = FrameFields {
            ledger,
            epoch: Epoch(frame.epoch),
            number: FrameNumber(frame.frame),
            commit_time: UtcNanos(frame.committed_ns),
            first: Position(frame.first),
            previous: tail.header_hash,
            root: frontier.root(),
        };
        let built = Frame::build(&fields, &[&body], Vec::new()).map_err(|error| wrong(&error.to_string()))?;
        log.append(tail.next, &built).map_err(|error| {
            if let AppendError::Frame(fault) = error {
                return wrong(&fault.to_string());
            }
            StoreError::io("write", Path::new("log"))(io::Error::other(error)).into()
        })?;
        made.frames = made.frames.saturating_add(1);
        made.entries = position.saturating_add(1);
        progress(made.entries, size);
        body.clear();
        count = 0;
        due = frames.take()?;
        Ok(())
    })?;
    hashes.flush().map_err(StoreError::io("write", Path::new(HASHES_FILE)))?;
    let tail = log.tail();
    let told = &export.manifest.ledger;
    if due.is_some()
        || count > 0
        || tail.header_hash.to_string() != told.last_header
        || tail.next.0 != told.last_frame.saturating_add(1)
    {
        return Err(ExportError::damaged(FRAMES_FILE, "its frames are not those that were exported"));
    }
    Ok(tail)
}

/// The frames' facts, one at a time.
struct Frames {
    lines: io::Lines<io::BufReader<std::fs::File>>,
}

impl Frames {
    fn of(export: &Opened) -> Result<Self, ExportError> {
        let path = export.root.join(FRAMES_FILE);
        let file = std::fs::File::open(&path).map_err(StoreError::io("read", &path))?;
        Ok(Self { lines: io::BufRead::lines(io::BufReader::new(file)) })
    }

    fn take(&mut self) -> Result<Option<FrameForm>, ExportError> {
        let Some(line) = self.lines.next() else { return Ok(None) };
        let line = line.map_err(StoreError::io("read", Path::new(FRAMES_FILE)))?;
        let form = serde_json::from_str(&line);
        form.map(Some).map_err(|error| ExportError::damaged(FRAMES_FILE, error.to_string()))
    }
}

/// Files whose bytes are synced all together when everything is written: nothing opens them before.
#[derive(Debug)]
struct Unsynced(Arc<dyn Files>);

#[derive(Debug)]
struct UnsyncedFile(Arc<dyn File>);

impl Files for Unsynced {
    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn File>> {
        self.0.open(path, how).map(|file| Arc::new(UnsyncedFile(file)) as Arc<dyn File>)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.0.list(folder)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.0.remove(path)
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn Lock>> {
        self.0.lock(path)
    }
}

impl File for UnsyncedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
}
