//! The store's wiring on a real disk: making, opening, recording, reopening, reading, proving.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::path::Path;

use waag::store::error::StoreError;
use waag::store::init::init;
use waag::store::options::Options;
use waag::store::own::{RegisterError, own_event};
use waag::store::place::{HASHES_FILE, Place};
use waag::store::reader::open_reader;
use waag::store::schemas::{INDEX_FILE, Schemas};
use waag::store::verify::{Depth, verify};
use waag::store::writer::{OpenedStore, open_writer};
use waag_engine::batch::Outcome;
use waag_engine::effect::Rejection;
use waag_engine::identity::IdentityLimits;
use waag_files::config::LogConfig;
use waag_keys::create::Made;
use waag_ledger::hash::leaf_hash;
use waag_ledger::tlog_proof::TlogProof;
use waag_model::event::{Accepted, Data, Event};
use waag_model::ids::{Actor, Position, TenantName};
use waag_model::value::{Object, Value};

fn place(root: &Path) -> Place {
    Place::new(&root.join("data"), None, TenantName::new("default").unwrap()).unwrap()
}

fn small() -> Options {
    let log = LogConfig { segment_bytes: 64 * 1_024, step_bytes: 4_096, ahead_bytes_max: 16_384 };
    Options { log, scrub_bytes_per_s: 0, ..Options::default() }
}

fn open(place: &Place) -> OpenedStore {
    open_writer(place, &small(), &mut |_, _| {}).unwrap()
}

fn actor() -> Actor {
    Actor::new("test").unwrap()
}

fn event(number: u64) -> Event<'static> {
    let data = vec![
        ("n".into(), Value::Integer(number.into())),
        ("pad".into(), Value::Text("x".repeat(700).into())),
    ];
    Event {
        id: format!("e{number}").into(),
        source: "/test".into(),
        kind: "test.event".into(),
        subject: None,
        attributes: Object::default(),
        data: Data::Json(Value::Object(Object::from_members(data).unwrap())),
    }
}

fn append(store: &OpenedStore, numbers: std::ops::Range<u64>) -> Vec<Outcome> {
    let mut batch = store.sealer.begin();
    for number in numbers {
        let accepted = store.clock.now();
        batch.push(Accepted { event: event(number), actor: actor(), accepted }, None).unwrap();
    }
    let receipt = store.writer.submit(batch.finish()).unwrap().wait().unwrap();
    if let Some(range) = &receipt.range {
        range.verify(&receipt.new_leaves(), &receipt.checkpoint.checkpoint().root).unwrap();
    }
    receipt.items
}

#[test]
fn a_store_is_made_once_and_asking_again_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let here = place(folder.path());
    assert!(matches!(open_writer(&here, &small(), &mut |_, _| {}), Err(StoreError::Missing(_))));
    assert!(!here.data.exists() && !here.state.exists(), "opening makes nothing");
    let first = init(&here, "waag.example", &small()).unwrap();
    assert_eq!(first.made, Made::Now);
    let again = init(&here, "other.example", &small()).unwrap();
    assert_eq!((again.made, again.origin.as_str()), (Made::Before, first.origin.as_str()));
    assert_eq!(again.guard, first.guard);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(here.state.join("vault.key")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn recorded_events_are_there_after_reopening_and_a_retry_gets_its_first_place() {
    let folder = tempfile::tempdir().unwrap();
    let here = place(folder.path());
    init(&here, "waag.example", &small()).unwrap();
    let store = open(&here);
    let first = append(&store, 0..100);
    assert!(matches!(open_writer(&here, &small(), &mut |_, _| {}), Err(StoreError::InUse)));
    drop(store);
    let store = open(&here);
    let second = append(&store, 90..200);
    for (at, outcome) in second.iter().enumerate() {
        match outcome {
            Outcome::Before(recorded) => {
                assert!(at < 10);
                assert_eq!(Outcome::Recorded(*recorded), first[90 + at]);
            }
            Outcome::Recorded(recorded) => assert_eq!(recorded.position, Position(90 + at as u64)),
            Outcome::Conflict(_) | Outcome::Erased(_) => panic!("{outcome:?}"),
        }
    }
    // Beside the writer, and after it: every entry has its proof under the guarded checkpoint.
    for stored in [true, false] {
        if !stored {
            std::fs::remove_file(here.data.join(HASHES_FILE)).unwrap();
        }
        let reader = open_reader(&here, &small()).unwrap();
        assert_eq!(reader.end(), Position(200));
        for position in [0, 57, 199].map(Position) {
            let bytes = reader.reader.bytes(position).unwrap();
            let proof = reader.prove(position, &leaf_hash(&bytes)).unwrap();
            let proof = TlogProof::new(proof, &reader.checkpoint).unwrap();
            let keys = waag_engine::recover::verifier_keys(&reader.ledger).unwrap();
            assert_eq!(proof.verify(&bytes, &keys).unwrap().index(), position.0);
        }
        let other = reader.reader.bytes(Position(3)).unwrap();
        let refused = reader.prove(Position(4), &leaf_hash(&other)).unwrap_err();
        assert!(matches!(refused, StoreError::Proof(_)), "{refused}");
    }
    drop(store);
    // The stored hashes were removed: opening makes them again.
    drop(open(&here));
    assert_eq!(std::fs::metadata(here.data.join(HASHES_FILE)).unwrap().len(), (2 * 200 - 3) * 32);
}

#[test]
fn segments_roll_over_and_the_log_is_read_across_them() {
    let folder = tempfile::tempdir().unwrap();
    let here = place(folder.path());
    init(&here, "waag.example", &small()).unwrap();
    let store = open(&here);
    for start in (0..400).step_by(20) {
        append(&store, start..start + 20);
    }
    drop(store);
    assert!(std::fs::read_dir(here.data.join("log")).unwrap().count() > 3);
    let reader = open_reader(&here, &small()).unwrap();
    assert_eq!(reader.end(), Position(400));
    reader.reader.bytes(Position(399)).unwrap();
}

#[test]
fn schemas_are_registered_once_per_change_and_found_with_and_without_their_index() {
    let folder = tempfile::tempdir().unwrap();
    let here = place(folder.path());
    init(&here, "waag.example", &small()).unwrap();
    let store = open(&here);
    append(&store, 0..5);
    let one = br#"{"properties":{"name":{"x-classification":"personal","x-data-subject":"/subject"}}}"#;
    let (first, new) = store.register_schema(&actor(), "test.event", one, None).unwrap();
    assert!(new && first.version == 1 && first.position == Position(5));
    let (same, new) = store.register_schema(&actor(), "test.event", one, None).unwrap();
    assert!(!new && same == first);
    let (second, new) = store.register_schema(&actor(), "test.event", b"{}", None).unwrap();
    assert!(new && second.version == 2);
    let back = store.register_schema(&actor(), "test.event", one, None).unwrap().0;
    assert_eq!(back.version, 3, "going back to an older schema is a new version");
    for (bad, code) in [(&b"{"[..], "E0103"), (br#"{"x-classification":"personal"}"#, "E0133")] {
        assert_eq!(store.register_schema(&actor(), "test.event", bad, None).unwrap_err().code(), code);
    }
    for kind in ["", "waag.x", "a\nb"] {
        let refused = store.register_schema(&actor(), kind, one, None).unwrap_err();
        assert!(matches!(refused, RegisterError::Store(StoreError::SchemaType(_))), "{kind}");
    }
    drop(store);
    let records = vec![first, second, back];
    for change in [None, Some("remove"), Some("spoil"), Some("mark")] {
        let index = here.data.join(INDEX_FILE);
        match change {
            None => {}
            Some("remove") => std::fs::remove_file(&index).unwrap(),
            Some("spoil") => std::fs::write(&index, "waag schemas v1 \nsha256 0\n").unwrap(),
            Some(_) => std::fs::write(here.data.join("derived/schemas.pending"), "").unwrap(),
        }
        assert_eq!(open_reader(&here, &small()).unwrap().schemas, records, "{change:?}");
        let store = open(&here);
        assert_eq!(store.schemas(), Schemas { records: records.clone(), indexed: true }, "{change:?}");
        assert_eq!(store.sealer.registry().newest("test.event").unwrap().schema.version, 3);
        assert!(!here.data.join("derived/schemas.pending").exists());
    }
    // A schema that is no longer what was registered keeps the store from sealing.
    let object = waag_files::objects::object_path(&records[1].schema);
    std::fs::write(here.data.join(object), "{ }").unwrap();
    let refused = open_writer(&here, &small(), &mut |_, _| {}).unwrap_err();
    assert!(matches!(refused, StoreError::SchemaObject { version: 2, .. }), "{refused}");
    assert_eq!(open_reader(&here, &small()).unwrap().schema_faults.len(), 1);
}

#[test]
fn own_events_are_recorded_under_a_random_id() {
    let folder = tempfile::tempdir().unwrap();
    let here = place(folder.path());
    init(&here, "waag.example", &small()).unwrap();
    let store = open(&here);
    for position in 0..3 {
        let event = own_event("waag.test", None, vec![("a", Value::Bool(true))]).unwrap();
        assert_eq!(store.record(&event, &actor()).unwrap().0.position, Position(position));
    }
}

#[test]
fn a_lost_key_file_or_guard_is_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let here = place(folder.path());
    init(&here, "waag.example", &small()).unwrap();
    let store = open(&here);
    append(&store, 0..3);
    drop(store);
    let guard = here.state.join("guard");
    let record = std::fs::read(&guard).unwrap();
    std::fs::remove_file(&guard).unwrap();
    assert!(matches!(init(&here, "waag.example", &small()), Err(StoreError::NoGuard)));
    assert!(open_writer(&here, &small(), &mut |_, _| {}).is_err());
    let key = std::fs::read(here.state.join("vault.key")).unwrap();
    std::fs::remove_file(here.state.join("vault.key")).unwrap();
    assert_eq!(init(&here, "waag.example", &small()).unwrap_err().code(), "E0523");
    std::fs::write(&guard, record).unwrap();
    assert_eq!(open_writer(&here, &small(), &mut |_, _| {}).unwrap_err().code(), "E0523");
    assert!(!here.state.join("vault.key").exists());
    std::fs::write(here.state.join("vault.key"), key).unwrap();
    let refused = open_writer(&here, &small(), &mut |_, _| {}).unwrap_err();
    assert_eq!(refused.code(), "E0528", "the file was written with a mode that lets others read it");
}

/// Sends the first `count` events again, in batches for which the small index has room.
fn all_before(store: &OpenedStore, count: u64) {
    for start in (0..count).step_by(20) {
        let again = append(store, start..start + 20);
        assert!(again.iter().all(|outcome| matches!(outcome, Outcome::Before(_))), "{again:?}");
    }
}

/// Options under which the identity index writes a run for every few events.
fn small_index() -> Options {
    let identity = IdentityLimits {
        table_entries_max: 64,
        entries_max: 100_000,
        batch_entries_max: 20,
        ..IdentityLimits::default()
    };
    Options { identity, ..small() }
}

#[test]
fn a_damaged_identity_index_is_noted_by_a_deep_verification_and_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let here = place(folder.path());
    init(&here, "waag.example", &small()).unwrap();
    let open = || open_writer(&here, &small_index(), &mut |_, _| {}).unwrap();
    let store = open();
    for start in (0..400).step_by(20) {
        append(&store, start..start + 20);
    }
    drop(store);
    let deep = Depth { deep: true, rebuild: false };
    let check = |depth| verify(&here, &small_index(), depth, &mut |_, _| {}).unwrap();
    let clean = check(deep);
    assert!(clean.verified() && clean.notes.is_empty(), "{:?}", clean.notes);
    let identity = here.data.join("derived/identity");
    let mut runs: Vec<_> = std::fs::read_dir(&identity).unwrap().map(|entry| entry.unwrap().path()).collect();
    runs.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with("run-"));
    assert!(!runs.is_empty());
    let run = runs.pop().unwrap();
    let whole = std::fs::read(&run).unwrap();
    // Header, first block, filter behind the blocks, footer: each is noticed, and none of it is a fault.
    for at in [100, 4_096 + 30, whole.len() / 2, whole.len() - 5] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        std::fs::write(&run, &changed).unwrap();
        let noted = check(deep);
        assert!(noted.verified(), "{:?}", noted.faults);
        assert_eq!(noted.notes.len(), 1, "byte {at}: {:?}", noted.notes);
        assert!(!noted.notes[0].rebuilt);
    }
    let mended = check(Depth { rebuild: true, ..deep });
    assert!(mended.verified() && mended.notes[0].rebuilt);
    // Retries of everything are still told from new events.
    let store = open();
    all_before(&store, 400);
    drop(store);
    assert!(check(deep).notes.is_empty());
}

#[test]
fn an_index_found_damaged_while_writing_stops_the_writer_and_is_gone_at_the_next_opening() {
    let folder = tempfile::tempdir().unwrap();
    let here = place(folder.path());
    init(&here, "waag.example", &small()).unwrap();
    let open = || open_writer(&here, &small_index(), &mut |_, _| {}).unwrap();
    let store = open();
    for start in (0..200).step_by(20) {
        append(&store, start..start + 20);
    }
    drop(store);
    for entry in std::fs::read_dir(here.data.join("derived/identity")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("run-") {
            let mut bytes = std::fs::read(&path).unwrap();
            // Blocks are checked when they are read, not at opening.
            bytes[4_096 + 30] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
    }
    let store = open();
    let submit = |number: u64| {
        let mut batch = store.sealer.begin();
        for number in number..number + 20 {
            let accepted = store.clock.now();
            batch.push(Accepted { event: event(number), actor: actor(), accepted }, None).unwrap();
        }
        store.writer.submit(batch.finish())
    };
    // The first batch meets the damage; whatever comes behind it is told that the writer has stopped.
    let first = submit(0).unwrap();
    let rejected = submit(1_000).unwrap().wait().unwrap_err();
    drop(first);
    assert!(matches!(rejected, Rejection::Halted(_)), "{rejected}");
    drop(store);
    let store = open();
    all_before(&store, 200);
}
