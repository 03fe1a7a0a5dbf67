//! A store in a folder of its own, for tests of what is done in several steps.

use waag_entry::form::Entry;
use waag_entry::plain::Body;
use waag_model::ids::{Actor, Position, TenantName};

use super::init::init;
use super::options::Options;
use super::place::Place;
use super::subjects::finish;
use super::writer::{OpenedStore, open_writer};

/// A store that is closed.
pub(super) struct Sample {
    _folder: tempfile::TempDir,
    place: Place,
    options: Options,
    /// Who asks.
    pub(super) by: Actor,
}

impl Sample {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(&folder.path().join("data"), None, TenantName::new("default").unwrap());
        let (place, options) = (place.unwrap(), Options { scrub_bytes_per_s: 0, ..Options::default() });
        init(&place, "waag.example", &options).unwrap();
        Self { _folder: folder, place, options, by: Actor::new("test").unwrap() }
    }

    /// Opens it and finishes what was broken off, as every command that writes does.
    pub(super) fn open(&self) -> OpenedStore {
        let store = open_writer(&self.place, &self.options, &mut |_, _| {}).unwrap();
        finish(&store).unwrap();
        store
    }
}

/// What the events of a type say, oldest first.
pub(super) fn said(store: &OpenedStore, kind: &str) -> Vec<String> {
    let mut found = Vec::new();
    let end = store.reader.log.tail().position.0;
    for position in 0..end {
        let bytes = store.reader.bytes(Position(position)).unwrap();
        let entry = Entry::read(&bytes).unwrap();
        if entry.header.kind != kind {
            continue;
        }
        let read = store.reader.open(&entry).unwrap();
        let event = read.opened.event().unwrap().unwrap();
        let Body::Json(value) = &event.body else { panic!("{kind}: no JSON") };
        found.push(format!("{value:?}"));
    }
    found
}
