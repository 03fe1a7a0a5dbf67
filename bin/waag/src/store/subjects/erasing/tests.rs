//! Erasures broken off after each step, sweeps in time, and appends while an erasure is under way.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use waag_archive::upkeep::BackupRecord;
use waag_engine::reader::ReadEntry;
use waag_entry::form::{Entry, Role};
use waag_keys::keyring::Found;
use waag_model::event::{Accepted, Data, Event};
use waag_model::ids::{Position, TenantName};
use waag_model::value::Object;
use waag_stdx::clock::{Clock, SystemClock};

use super::*;
use crate::store::init::init;
use crate::store::options::Options;
use crate::store::place::Place;
use crate::store::writer::open_writer;

const DAY_NS: i64 = 86_400_000_000_000;
const SCHEMA: &str = r#"{"type":"object","x-retention":"contact","properties":{"name":{"x-classification":"personal","x-data-subject":"/subject"}}}"#;

/// The machine's clock, some days ahead.
struct Ahead(SystemClock, AtomicI64);

impl Clock for Ahead {
    fn now(&self) -> UtcNanos {
        self.0.now().later_by(self.1.load(Ordering::SeqCst) * DAY_NS)
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }
}

struct World {
    _folder: tempfile::TempDir,
    place: Place,
    options: Options,
    clock: Arc<Ahead>,
    by: Actor,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place =
            Place::new(&folder.path().join("data"), None, TenantName::new("default").unwrap()).unwrap();
        let clock = Arc::new(Ahead(SystemClock::new(), AtomicI64::new(0)));
        let options = Options { clock: clock.clone(), scrub_bytes_per_s: 0, ..Options::default() };
        init(&place, "waag.example", &options).unwrap();
        Self { _folder: folder, place, options, clock, by: Actor::new("test").unwrap() }
    }

    fn open(&self) -> OpenedStore {
        open_writer(&self.place, &self.options, &mut |_, _| {}).unwrap()
    }

    /// A store whose type `told` may be erased on request, while others are kept by law.
    fn filled(&self) -> OpenedStore {
        let store = self.open();
        store.register_schema(&self.by, "told", SCHEMA.as_bytes(), None).unwrap();
        for number in 0..3 {
            store.record(&event(number, "told", "anna"), &self.by).unwrap();
            store.record(&event(number, "kept", "anna"), &self.by).unwrap();
            store.record(&event(number, "told", "bert"), &self.by).unwrap();
        }
        store
    }

    fn order<'a>(&'a self, person: &'a str) -> Order<'a> {
        Order { person, reason: "request 1", by: &self.by }
    }
}

fn event(number: u64, kind: &str, person: &str) -> Event<'static> {
    let name = vec![("name".into(), Value::Text(format!("name of {person}").into()))];
    Event {
        id: format!("{kind}{number}{person}").into(),
        source: "/test".into(),
        kind: kind.to_owned().into(),
        subject: Some(person.to_owned().into()),
        attributes: Object::default(),
        data: Data::Json(Value::Object(Object::from_members(name).unwrap())),
    }
}

fn kinds(store: &OpenedStore) -> Vec<String> {
    let mut found = Vec::new();
    store
        .reader
        .log
        .read(Position(0), &mut |frame| {
            found
                .extend(frame.entries().map(|(_, bytes)| Entry::read(bytes).unwrap().header.kind.to_owned()));
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    found
}

fn count(store: &OpenedStore, kind: &str) -> usize {
    kinds(store).iter().filter(|known| *known == kind).count()
}

/// How many of a person's parts are left.
fn left(store: &OpenedStore, person: &str) -> u64 {
    let tag = store.keyring.person_tag(person);
    let mut each = |_: super::super::report::About<'_>| Ok::<(), StoreError>(());
    super::super::report::entries(&store.reader, tag, &mut |_| {}, &mut each).unwrap()
}

#[test]
fn an_erasure_that_was_broken_off_is_finished_after_whichever_step() {
    for step in 0..5 {
        let world = World::new();
        let store = world.filled();
        let retention = Arc::new(rules::settled(&store, &world.by).unwrap());
        let person = store.keyring.person_tag("anna");
        let order = world.order("anna");
        if step == 0 {
            // The intent is durable, and nothing else.
            let keys = store.keyring.keys_of(person).unwrap();
            let (keys, _) = going(&keys, &retention, store.clock.now());
            let intent = Intent::new(store.clock.now(), Some(person), &world.by, order.reason).unwrap();
            Intent { keys, ..intent }.keep(&store.keyring).unwrap();
        } else {
            let Begun { intent, more, .. } = begin(&store, &order, person, &retention).unwrap().unwrap();
            assert!(!more && intent.keys.len() == 1);
            if step >= 2 {
                settle(&store, intent.clone(), &retention, false, &mut Erased::default()).unwrap();
            }
            match step {
                // The events are there, and that is not known.
                2 => intent.keep(&store.keyring).unwrap(),
                // All is known but that it is done.
                3 => intents::done(&store.keyring).unwrap().remove(0).keep(&store.keyring).unwrap(),
                _ => {}
            }
        }
        drop(store);
        let store = world.open();
        assert_eq!(left(&store, "anna"), if step == 0 { 6 } else { 3 }, "whole or gone: {step}");
        assert_eq!(finish(&store).unwrap(), usize::from(step < 4), "{step}");
        assert_eq!(finish(&store).unwrap(), 0, "{step}");
        assert_eq!((left(&store, "anna"), left(&store, "bert")), (3, 3), "{step}");
        assert_eq!((count(&store, ERASED), count(&store, REFUSED)), (1, 1), "{step}");
        let done = recent(&store.keyring, 10).unwrap();
        assert_eq!(done.len(), 1, "{step}");
        assert!(!done[0].pending && done[0].position.is_some() && done[0].erased_at.is_some(), "{step}");
        let restriction = store.keyring.restriction(person).unwrap().unwrap();
        assert_eq!(restriction.cause, Cause::Retention, "{step}");
        // The next call has nothing left to destroy.
        let again = erase(&store, &order).unwrap();
        assert_eq!((again.keys, count(&store, ERASED)), (0, 1), "{step}");
    }
}

#[test]
fn a_sweep_destroys_what_is_over_and_nothing_that_somebody_asked_to_restrict() {
    let world = World::new();
    let store = world.filled();
    assert_eq!(expire(&store, &world.by).unwrap(), Expired::default());
    assert_eq!(count(&store, rules::SET), 0, "no rule was needed");
    super::super::restrict(&store, &world.order("bert"), None).unwrap();
    // Three years and a day on, `contact` is over for anna and bert, `business` is not.
    world.clock.1.store(3 * 366, Ordering::SeqCst);
    assert_eq!(expiring(&store.keyring, store.clock.now()).unwrap().keys, 1);
    // Unasked, nothing is destroyed by a clock that nothing was recorded under.
    assert!(matches!(expire_unasked(&store, &world.by), Err(SubjectsError::Clock)));
    store.record(&event(7, "kept", "carl"), &world.by).unwrap();
    let done = expire_unasked(&store, &world.by).unwrap();
    assert_eq!((done.keys, done.restricted, done.more, done.positions.len()), (1, 1, false, 1));
    assert_eq!((left(&store, "anna"), left(&store, "bert")), (3, 3));
    assert_eq!((count(&store, rules::SET), count(&store, EXPIRED)), (1, 1));
    super::super::unrestrict(&store, &world.order("bert")).unwrap();
    assert_eq!(expire(&store, &world.by).unwrap().keys, 1);
    // Five years later the rest of anna goes, and with the last data key her tag key.
    world.clock.1.store(9 * 366, Ordering::SeqCst);
    assert_eq!(expire(&store, &world.by).unwrap().keys, 1);
    assert_eq!((left(&store, "anna"), left(&store, "bert"), left(&store, "carl")), (0, 0, 1));
    for person in ["anna", "bert"] {
        assert_eq!(store.keyring.keys_of(store.keyring.person_tag(person)).unwrap(), []);
    }
    // A sweep that a crash broke off is finished too.
    store.record(&event(9, "told", "carl"), &world.by).unwrap();
    let keys = store.keyring.keys_of(store.keyring.person_tag("carl")).unwrap();
    let data = keys.iter().find(|key| key.class == "contact").unwrap();
    let intent = Intent::new(store.clock.now(), None, &world.by, "the retention is over").unwrap();
    Intent { keys: vec![data.id], ..intent }.keep(&store.keyring).unwrap();
    assert_eq!(finish(&store).unwrap(), 1);
    assert_eq!((left(&store, "carl"), count(&store, EXPIRED)), (1, 4));
}

#[test]
fn backups_of_the_keys_are_waited_for_and_one_that_cannot_be_read_promises_nothing() {
    let world = World::new();
    let store = world.filled();
    let now = store.clock.now();
    let keep = |number: u8, value: &[u8]| {
        let key = format!("backup/{}/{:016x}", "ab".repeat(16), number);
        store
            .keyring
            .keep_side_record(
                waag_keys::side::Side::Upkeep,
                key.as_bytes(),
                waag_keys::state::Expect::Any,
                Some(value),
            )
            .unwrap();
    };
    // A clock that was ahead when the keys were taken says nothing: the order of the ledger does.
    let backup = |taken: i64, expire: i64, position: Option<u64>| {
        let at = |days: i64| now.later_by(days * DAY_NS);
        BackupRecord { at: now, size: 10, taken: at(taken), expire: at(expire), bytes: 0, ms: 0, position }
            .encode()
    };
    keep(1, &backup(-20, 10, Some(0)));
    keep(2, &backup(7, 29, None));
    let done = erase(&store, &world.order("anna")).unwrap();
    let complete = Some(now.later_by(29 * DAY_NS).to_string());
    assert_eq!(done.complete_at, complete);
    assert!(done.erased_at < done.complete_at);
    // A backup that began after the erasure was recorded holds none of its keys.
    keep(3, &backup(1, 99, Some(done.position.unwrap() + 1)));
    assert_eq!(recent(&store.keyring, 1).unwrap()[0].complete_at, complete);
    keep(4, b"\x00");
    let done = erase(&store, &world.order("bert")).unwrap();
    assert_eq!((done.keys, done.complete_at), (2, None));
}

#[test]
fn whoever_appends_during_an_erasure_is_before_it_and_gone_or_after_it_and_lives() {
    let world = World::new();
    let store = world.filled();
    let (stop, told) = (AtomicBool::new(false), AtomicU64::new(0));
    let positions = std::thread::scope(|scope| {
        for thread in 0..3_u64 {
            let (store, stop, by, told) = (&store, &stop, &world.by, &told);
            scope.spawn(move || {
                let mut number = 0;
                while !stop.load(Ordering::SeqCst) {
                    let mut batch = store.sealer.begin();
                    for _ in 0..3 {
                        number += 1;
                        let event = event(1_000 + thread * 1_000_000 + number, "told", "anna");
                        let accepted = Accepted { event, actor: by.clone(), accepted: store.clock.now() };
                        batch.push(accepted, None).unwrap();
                    }
                    match store
                        .writer
                        .submit(batch.finish())
                        .map_err(Rejection::from)
                        .and_then(waag_engine::runtime::Pending::wait)
                    {
                        Ok(_) => drop(told.fetch_add(3, Ordering::SeqCst)),
                        // A batch that was sealed before is sealed again by whoever sent it.
                        Err(Rejection::Reseal | Rejection::Busy) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
        let mut erased = Vec::new();
        for _ in 0..8 {
            // However slow the disk is, there is something of theirs between two erasures.
            let before = told.load(Ordering::SeqCst);
            while told.load(Ordering::SeqCst) < before + 9 {
                std::thread::sleep(Duration::from_millis(5));
            }
            let done = erase(&store, &world.order("anna")).unwrap();
            erased.extend(done.position.filter(|_| done.keys > 0));
        }
        stop.store(true, Ordering::SeqCst);
        erased
    });
    assert!(positions.len() >= 2, "{positions:?}");
    let (gone, living) = gone_and_living(&store, *positions.last().unwrap());
    assert!(gone > 20 && living >= 3, "{gone} gone, {living} living");
}

/// How many persons' parts are gone, all of them before a position, and how many can be read; there are no others.
fn gone_and_living(store: &OpenedStore, last: u64) -> (u64, u64) {
    let (mut gone, mut living) = (0_u64, 0_u64);
    store
        .reader
        .log
        .read(Position(0), &mut |frame| {
            for (position, bytes) in frame.entries() {
                let entry = Entry::read(bytes).unwrap();
                if entry.header.kind != "told" {
                    continue;
                }
                let ReadEntry { opened, .. } = store.reader.open(&entry).unwrap();
                for (index, part) in
                    entry.parts.iter().enumerate().filter(|(_, part)| part.role == Role::Person)
                {
                    match store.keyring.open_key(part.key_id).unwrap() {
                        Found::Destroyed(_) => {
                            assert!(opened.plain(index).is_none() && position.0 < last, "{position}");
                            gone += 1;
                        }
                        Found::Key(_) => {
                            assert!(opened.plain(index).is_some(), "{position}");
                            living += 1;
                        }
                        Found::Unknown => panic!("{position}: an entry under a key that never was durable"),
                    }
                }
            }
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    (gone, living)
}
