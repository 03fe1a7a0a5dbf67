//! The files of earlier ledgers, put where they were; and which ledgers these are. Not here: verifying them (`mark`).

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};

use waag_archive::error::ArchiveError;
use waag_archive::manifest::Kind;
use waag_archive::repository::Repository;
use waag_model::ids::LedgerId;

use super::{Asked, Plan, RestoreError};
use crate::store::backups::earlier::{Root, Stretch};
use crate::store::error::StoreError;
use crate::store::place::{BEFORE_FOLDER, Place};

/// The earlier ledgers of which anything stands at a place.
pub(super) fn ledgers(place: &Place) -> Result<Vec<LedgerId>, RestoreError> {
    let mut ledgers: Vec<LedgerId> = Vec::new();
    for root in [&place.data, &place.state] {
        let folder = root.join(BEFORE_FOLDER);
        let names = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            names => names.map_err(StoreError::io("look into", &folder))?,
        };
        for name in names {
            let name = name.map_err(StoreError::io("look into", &folder))?.file_name();
            let mut id = [0; 16];
            if hex::decode_to_slice(name.as_encoded_bytes(), &mut id).is_ok()
                && !ledgers.contains(&LedgerId(id))
            {
                ledgers.push(LedgerId(id));
            }
        }
    }
    Ok(ledgers)
}

/// Writes the files.
pub(super) fn restore(
    asked: &Asked,
    repository: &Repository,
    plan: &Plan<'_>,
    bytes: &mut u64,
) -> Result<(), RestoreError> {
    for piece in plan.runs.iter().flat_map(|run| run.manifest.of(Kind::Earlier)) {
        let plain = repository.get(piece)?;
        let form = || ArchiveError::Form { name: piece.name.clone(), what: "no file of an earlier ledger" };
        let stretch = Stretch::read(&plain).ok_or_else(form)?;
        let root = match stretch.root {
            Root::Data => &asked.place.data,
            Root::State => &asked.place.state,
        };
        let path = root.join(BEFORE_FOLDER).join(stretch.path);
        let failed = || StoreError::io("write", &path);
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed())?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let written = options.open(&path).and_then(|file| {
            file.write_all_at(stretch.bytes, stretch.offset)?;
            file.sync_all()
        });
        written.map_err(failed())?;
        *bytes += stretch.bytes.len() as u64;
    }
    Ok(())
}
