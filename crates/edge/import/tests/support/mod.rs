//! What the tests of the import share: a whole import in one call, and looks into an event.

use std::path::Path;

use waag_import::{FileHash, Import, ImportError, Imported, Mapping, Report};
use waag_model::event::{Data, Event};
use waag_model::value::Value;

/// Everything that came of a file.
pub(crate) struct Whole {
    /// Its events.
    pub(crate) events: Vec<Imported>,
    /// What ended it early.
    pub(crate) error: Option<ImportError>,
    /// What was odd.
    pub(crate) report: Report,
}

/// Reads a whole file.
pub(crate) fn import(mapping: &Mapping, bytes: &[u8], behind: u64) -> Whole {
    let hash = FileHash::of(&mut &*bytes).unwrap();
    let mut import = match Import::open(mapping, hash, bytes) {
        Ok(import) => import,
        Err(error) => return Whole { events: Vec::new(), error: Some(error), report: Report::default() },
    };
    import.resume_behind(behind);
    let (mut events, mut error) = (Vec::new(), None);
    for next in &mut import {
        match next {
            Ok(event) => events.push(event),
            Err(fault) => error = Some(fault),
        }
    }
    assert!(import.next().is_none(), "the end is the end");
    if error.is_none() {
        assert_eq!(import.progress().bytes(), bytes.len() as u64);
    }
    Whole { events, error, report: import.report().clone() }
}

/// A mapping of `examples/`.
pub(crate) fn example(name: &str) -> Mapping {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../examples").join(name);
    Mapping::parse(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A member of an event's data.
pub(crate) fn member<'e>(event: &'e Event<'_>, name: &str) -> Option<&'e Value<'e>> {
    match &event.data {
        Data::Json(value) => value.child(name),
        Data::None | Data::Binary(_) => None,
    }
}

/// A member of an event's data, as text.
pub(crate) fn text<'e>(event: &'e Event<'_>, name: &str) -> Option<&'e str> {
    member(event, name).and_then(Value::as_text)
}

/// The event's time.
pub(crate) fn time<'e>(event: &'e Event<'_>) -> Option<&'e str> {
    event.attributes.get("time").and_then(Value::as_text)
}
