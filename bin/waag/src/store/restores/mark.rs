//! The mark of a restore under way, in the state folder: the first thing that is written and the last that goes.
//!
//! Where it stands and there is no guard, the restore was broken off, and whoever opens or makes a store there is told so
//! (`Place::must_not_be_half_restored`). Where the guard stands as well, the store can be read, and nobody knows yet whether
//! it is whole: `finish` finds out, and takes the mark away where it is.
//!
//! - `RESTORE-5`: no store without this mark was left by a restore that was not verified to its end.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::{RestoreError, earlier, verified};
use crate::store::error::StoreError;
use crate::store::options::Options;
use crate::store::place::{Place, RESTORING_FILE};

/// What the file says to whoever looks into it.
const WORDS: &str = "A restore into this folder is under way, was broken off, or was not verified.\n";

/// Sets the mark in a place where nothing is; durable before anything else of the store can be.
pub(super) fn set(place: &Place) -> Result<(), RestoreError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&place.state);
    made.map_err(StoreError::io("make", &place.state))?;
    put(&place.state, RESTORING_FILE, WORDS.as_bytes())
}

/// Takes the mark away.
pub(super) fn clear(place: &Place) -> Result<(), RestoreError> {
    take(&place.state, RESTORING_FILE)
}

/// Puts a small file into a state folder, whole and durable on return, in the place of one that is there.
pub(super) fn put(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), RestoreError> {
    let (path, beside) = (folder.join(name), folder.join(format!("{name}.new")));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let written = options.open(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, &path)?;
        File::open(folder)?.sync_all()
    });
    Ok(written.map_err(StoreError::io("write", &path))?)
}

/// Removes such a file, durable on return; one that is not there is no error.
pub(super) fn take(folder: &Path, name: &str) -> Result<(), RestoreError> {
    let path = folder.join(name);
    let removed = std::fs::remove_file(&path).and_then(|()| File::open(folder)?.sync_all());
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::io("remove", &path)(error).into())
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Verifies a restored store with all its earlier ledgers, and takes the mark away where all of it is whole
/// (`RESTORE-5`).
pub(super) fn finish(place: &Place, options: &Options) -> Result<(), RestoreError> {
    verified(place, options)?;
    for ledger in earlier::ledgers(place)? {
        verified(&place.earlier(ledger), options)?;
    }
    clear(place)
}
