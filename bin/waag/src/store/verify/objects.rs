//! The objects: each one's bytes have the hash that is its name.
//!
//! Not here: whether the ones that entries name are there (`entries`).

use waag_entry::error::EntryError;
use waag_files::objects::{FileObjects, OBJECTS_FOLDER, object_path};
use waag_ledger::hash::Hash;
use waag_log::objects::Objects;

use super::Report;
use crate::store::error::StoreError;
use crate::store::place::Place;
use crate::store::schemas::object_name;

/// Reads every object; gives the names of all that are there, in order.
pub(super) fn check(place: &Place, report: &mut Report) -> Vec<Hash> {
    let objects = FileObjects::new(place.object_files());
    let mut names = Vec::new();
    let listed = objects.names(&mut |name| names.push(name));
    let foreign = listed.and_then(|()| objects.foreign());
    match foreign {
        Ok(foreign) => {
            for path in foreign {
                let error = StoreError::Foreign;
                report.file_fault(place.object_folder().join(path), error.code(), error.to_string());
            }
        }
        Err(error) => report.file_fault(
            place.object_folder().join(OBJECTS_FOLDER),
            error.code(),
            super::with_cause(&error),
        ),
    }
    for name in &names {
        let file = || place.object_folder().join(object_path(name));
        match objects.get(name) {
            Ok(Some(bytes)) if object_name(&bytes) == *name => report.objects += 1,
            Ok(Some(_)) => {
                let error = EntryError::BlobHash;
                report.file_fault(file(), error.code(), error.to_string());
            }
            // Removed since it was listed.
            Ok(None) => {}
            Err(error) => report.file_fault(file(), error.code(), super::with_cause(&error)),
        }
    }
    names.sort_unstable();
    names
}
