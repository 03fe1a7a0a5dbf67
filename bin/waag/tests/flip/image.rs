//! A small store with everything a store can have, as its files stand after the writer was killed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use waag::store::init::init;
use waag::store::options::Options;
use waag::store::own::own_event;
use waag::store::place::Place;
use waag::store::writer::{OpenedStore, open_writer};
use waag_engine::identity::IdentityLimits;
use waag_files::config::LogConfig;
use waag_model::event::{Accepted, Data, Event};
use waag_model::ids::{Actor, TenantName};
use waag_model::value::{Object, Value};

/// The state's write-ahead log, below the folder of both.
pub(crate) const WAL: &str = "data.state/default/state.db-wal";
/// The state.
pub(crate) const STATE: &str = "data.state/default/state.db";
/// The guard.
pub(crate) const GUARD: &str = "data.state/default/guard";
/// A schema, so that the objects have one and the derived index has a line.
const SCHEMA: &[u8] =
    br#"{"properties":{"name":{"x-classification":"personal","x-data-subject":"/subject"}}}"#;
/// Above the 60 KiB that an entry holds inline.
const BLOB_BYTES: usize = 61_500;
/// A writer folds the write-ahead log now and then; an image taken across a restart of that log is of no use.
const TRIES_MAX: usize = 10;

/// All files by their path below the folder that holds data and state.
pub(crate) type Image = BTreeMap<PathBuf, Vec<u8>>;

pub(crate) fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

pub(crate) fn place(root: &Path) -> Place {
    Place::new(&root.join("data"), None, TenantName::new("default").unwrap()).unwrap()
}

pub(crate) fn options() -> Options {
    let log = LogConfig { segment_bytes: 64 * 1_024, step_bytes: 4_096, ahead_bytes_max: 4_096 };
    let identity = IdentityLimits { batch_entries_max: 8, table_entries_max: 8, ..IdentityLimits::default() };
    Options { log, identity, scrub_bytes_per_s: 0, ..Options::default() }
}

pub(crate) fn open(place: &Place) -> OpenedStore {
    open_writer(place, &options(), &mut |_, _| {}).unwrap()
}

fn actor() -> Actor {
    Actor::new("test").unwrap()
}

/// One event in a frame of its own, a person's where it has a subject.
fn append(store: &OpenedStore, id: &str, subject: Option<&str>, data: Data<'static>) {
    let event = Event {
        id: id.to_owned().into(),
        source: "/flip".into(),
        kind: "flip.event".into(),
        subject: subject.map(|subject| subject.to_owned().into()),
        attributes: Object::default(),
        data,
    };
    let mut batch = store.sealer.begin();
    batch.push(Accepted { event, actor: actor(), accepted: store.clock.now() }, None).unwrap();
    store.writer.submit(batch.finish()).unwrap().wait().unwrap();
}

fn number(n: i128) -> Data<'static> {
    Data::Json(Value::Object(Object::from_members(vec![("n".into(), Value::Integer(n))]).unwrap()))
}

fn note(store: &OpenedStore, what: &'static str) {
    let event = own_event("waag.test", None, vec![("what", Value::Text(what.into()))]).unwrap();
    store.record(&event, &actor()).unwrap();
}

/// The files of a store closed in good order: no write-ahead log, so that every page of the state is in use.
pub(crate) fn folded() -> Image {
    let root = folder();
    let place = place(root.path());
    closed(&place);
    read(root.path())
}

/// Makes a store and closes it in good order, with: a schema, a blob, persons, rotated keys of each level, a destroyed key, more
/// than one segment, runs of the identity index.
fn closed(place: &Place) {
    init(place, "waag.example", &options()).unwrap();
    let store = open(place);
    store.register_schema(&actor(), "flip.other", SCHEMA, None).unwrap();
    let blob = [*b"waag", *b"gaaw"].concat().repeat(BLOB_BYTES / 8);
    append(&store, "blob", None, Data::Binary(blob.into()));
    for n in 0..14_i128 {
        append(&store, &format!("e{n}"), Some(&format!("customer:c-{}", n % 2)), number(n));
    }
    store.keyring.rotate_tenant_key().unwrap();
    note(&store, "tenant");
    store.vault.rotate().unwrap();
    store.keyring.rewrap_vault().unwrap();
    store.vault.drop_old().unwrap();
    note(&store, "vault");
    let keyring = std::sync::Arc::clone(&store.keyring);
    let destroyed =
        store.writer.destroy_keys(move || keyring.destroy_person("customer:c-1", &|_| true)).unwrap();
    assert!(!destroyed.unwrap().destroyed.is_empty());
    note(&store, "destroyed");
}

/// Takes the files as a kill leaves them: commits of the state in its write-ahead log only, derived files behind, and
/// one frame whose guard was not swapped.
pub(crate) fn killed() -> Image {
    for _ in 0..TRIES_MAX {
        let root = folder();
        let place = place(root.path());
        closed(&place);
        let before = read(root.path());
        let store = open(&place);
        append(&store, "late", Some("customer:late"), number(1));
        let guard = std::fs::read(root.path().join(GUARD)).unwrap();
        let salts = std::fs::read(root.path().join(WAL)).unwrap()[16..24].to_vec();
        append(&store, "later", Some("customer:later"), number(2));
        let mut image = read(root.path());
        drop(store);
        let is_same_log = image[Path::new(WAL)][16..24] == salts;
        image.insert(STATE.into(), before[Path::new(STATE)].clone());
        image.insert(GUARD.into(), guard);
        if is_same_log {
            return image;
        }
    }
    panic!("the write-ahead log was begun anew every time");
}

/// All files below a folder.
pub(crate) fn read(root: &Path) -> Image {
    let mut image = Image::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                image.insert(path.strip_prefix(root).unwrap().to_owned(), bytes);
            }
        }
    }
    image
}

/// Makes the folder hold exactly this image; what is right stays untouched.
pub(crate) fn write(root: &Path, image: &Image) {
    use std::os::unix::fs::PermissionsExt;
    let there = read(root);
    for path in there.keys().filter(|path| !image.contains_key(*path)) {
        std::fs::remove_file(root.join(path)).unwrap();
    }
    for (path, bytes) in image.iter().filter(|(path, bytes)| there.get(*path) != Some(*bytes)) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    }
}
