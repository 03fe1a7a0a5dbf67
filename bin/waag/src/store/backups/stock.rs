//! The objects that no run has yet.
//!
//! Each run keeps the names of its own; together they are what the repository has. An object never changes and is never
//! named twice, so that a name is all that is compared.

use waag_archive::error::ArchiveError;
use waag_archive::manifest::{Kind, object_hash};
use waag_archive::records::{PIECE_BYTES, names, push_object};
use waag_archive::repository::{Contents, Repository, Run};
use waag_ledger::hash::Hash;

use super::BackupError;
use super::press::Sink;
use crate::store::error::StoreError;
use crate::store::reader::OpenedReader;

/// Names in a piece of names: what 16 MiB hold.
const NAMES_MAX: usize = PIECE_BYTES / 32;

/// The names of the store's objects that are in no run, ascending.
pub(super) fn new_objects(
    repository: &Repository,
    runs: &[Run],
    store: &OpenedReader,
) -> Result<Vec<Hash>, BackupError> {
    let mut known: Vec<Hash> = Vec::new();
    for piece in runs.iter().flat_map(|run| run.manifest.of(Kind::Names)) {
        let plain = repository.get(piece)?;
        let form = || ArchiveError::Form { name: piece.name.clone(), what: "its names do not ascend" };
        known.extend(names(&plain).ok_or_else(form)?);
    }
    known.sort_unstable_by_key(|name| name.0);
    let mut new = Vec::new();
    let is_known = |name: &Hash| known.binary_search_by_key(&name.0, |known| known.0).is_ok();
    store
        .reader
        .objects
        .names(&mut |name| new.extend((!is_known(&name)).then_some(name)))
        .map_err(StoreError::from)?;
    new.sort_unstable_by_key(|name| name.0);
    Ok(new)
}

/// Hands objects on, and then their names.
pub(super) fn copy_objects(
    store: &OpenedReader,
    objects: &[Hash],
    sink: &mut Sink<'_>,
) -> Result<(), BackupError> {
    let (mut chunk, mut items) = (Vec::new(), 0);
    for name in objects {
        let bytes = store.reader.objects.get(name).map_err(StoreError::from)?;
        let bytes = bytes.filter(|bytes| object_hash(bytes) == *name).ok_or(BackupError::Object(*name))?;
        if !chunk.is_empty() && chunk.len().saturating_add(bytes.len()) > PIECE_BYTES {
            let contents = Contents { items: std::mem::take(&mut items), ..Contents::default() };
            sink.push(Kind::Objects, contents, std::mem::take(&mut chunk))?;
        }
        if !push_object(&mut chunk, name, &bytes) {
            return Err(BackupError::Object(*name));
        }
        items += 1;
    }
    if !chunk.is_empty() {
        sink.push(Kind::Objects, Contents { items, ..Contents::default() }, chunk)?;
    }
    for part in objects.chunks(NAMES_MAX) {
        let plain = part.iter().flat_map(|name| name.0).collect();
        sink.push(Kind::Names, Contents { items: part.len() as u64, ..Contents::default() }, plain)?;
    }
    Ok(())
}
