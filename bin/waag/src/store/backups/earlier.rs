//! Ledgers that a promotion has taken the place of: their files, which never change, as they are.
//!
//! They are in the first run of a repository, and in no other: another promotion begins another repository.
//! A piece is one stretch of one file: its root (1: 0 below the data folder, 1 below the state folder), the length of its
//! path (2), the path below `before/` there, the offset (8), the bytes; little-endian.

use std::os::unix::fs::FileExt;

use waag_archive::manifest::Kind;
use waag_archive::records::PIECE_BYTES;
use waag_archive::repository::Contents;
use waag_files::guard::GUARD_FILE;
use waag_files::segment::FOLDER;

use super::BackupError;
use super::press::Sink;
use crate::store::place::{BEFORE_FOLDER, Place};

/// Below which folder a file stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Root {
    Data,
    State,
}

/// A stretch of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Stretch<'a> {
    pub(in crate::store) root: Root,
    /// `<ledger id>/log/<segment>` or `<ledger id>/guard`.
    pub(in crate::store) path: &'a str,
    pub(in crate::store) offset: u64,
    pub(in crate::store) bytes: &'a [u8],
}

impl<'a> Stretch<'a> {
    fn head(&self) -> Option<Vec<u8>> {
        let mut head = vec![match self.root {
            Root::Data => 0,
            Root::State => 1,
        }];
        head.extend_from_slice(&u16::try_from(self.path.len()).ok()?.to_le_bytes());
        head.extend_from_slice(self.path.as_bytes());
        head.extend_from_slice(&self.offset.to_le_bytes());
        Some(head)
    }

    /// Reads a piece; none where it is no stretch of a file that an earlier ledger has.
    pub(in crate::store) fn read(piece: &'a [u8]) -> Option<Self> {
        let (root, rest) = piece.split_first()?;
        let root = match root {
            0 => Root::Data,
            1 => Root::State,
            _ => return None,
        };
        let (len, rest) = rest.split_first_chunk::<2>()?;
        let (path, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
        let (offset, bytes) = rest.split_first_chunk::<8>()?;
        let path = std::str::from_utf8(path).ok()?;
        let parts: Vec<&str> = path.split('/').collect();
        let is_id = |id: &str| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_file = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit() || b".seg".contains(&byte));
        let is_known = match (root, parts.as_slice()) {
            (Root::Data, [id, folder, name]) => {
                is_id(id) && *folder == FOLDER && is_file(name) && !name.contains("..")
            }
            (Root::State, [id, name]) => is_id(id) && *name == GUARD_FILE,
            (Root::Data | Root::State, _) => false,
        };
        is_known.then_some(Self { root, path, offset: u64::from_le_bytes(*offset), bytes })
    }
}

/// Hands the files of all earlier ledgers on.
pub(super) fn copy(place: &Place, sink: &mut Sink<'_>) -> Result<(), BackupError> {
    let folder = place.data.join(BEFORE_FOLDER);
    for id in list(&folder)? {
        let log = folder.join(&id).join(FOLDER);
        for name in list(&log)? {
            file(&log.join(&name), Root::Data, &format!("{id}/{FOLDER}/{name}"), sink)?;
        }
        let guard = place.state.join(BEFORE_FOLDER).join(&id).join(GUARD_FILE);
        file(&guard, Root::State, &format!("{id}/{GUARD_FILE}"), sink)?;
    }
    Ok(())
}

fn list(folder: &std::path::Path) -> Result<Vec<String>, BackupError> {
    let failed = BackupError::io("list", folder);
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    Ok(names)
}

fn file(from: &std::path::Path, root: Root, path: &str, sink: &mut Sink<'_>) -> Result<(), BackupError> {
    let failed = || BackupError::io("read", from);
    let file = std::fs::File::open(from).map_err(failed())?;
    let len = file.metadata().map_err(failed())?.len();
    let mut offset = 0;
    loop {
        let room = usize::try_from(len.saturating_sub(offset)).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let mut bytes = vec![0; room];
        file.read_exact_at(&mut bytes, offset).map_err(failed())?;
        let stretch = Stretch { root, path, offset, bytes: &bytes };
        let mut piece = stretch.head().ok_or(BackupError::Restless)?;
        piece.extend_from_slice(&bytes);
        sink.push(Kind::Earlier, Contents { items: 1, ..Contents::default() }, piece)?;
        offset = offset.saturating_add(room as u64);
        if offset >= len {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_reads_back_and_stays_where_earlier_ledgers_are() {
        let id = "0".repeat(32);
        let made = |root, path: &str| {
            let stretch = Stretch { root, path, offset: 7, bytes: b"" };
            let mut piece = stretch.head().unwrap();
            piece.extend_from_slice(b"bytes");
            piece
        };
        let segment = format!("{id}/log/00000000000000000000.seg");
        let piece = made(Root::Data, &segment);
        let expected = Stretch { root: Root::Data, path: &segment, offset: 7, bytes: b"bytes" };
        assert_eq!(Stretch::read(&piece), Some(expected));
        assert!(Stretch::read(&made(Root::State, &format!("{id}/guard"))).is_some());
        for bad in [
            "../x".to_owned(),
            format!("{id}/log/../../x"),
            format!("{id}/log/.."),
            format!("{id}/vault.key"),
            format!("{id}/guard"),
            format!("/{id}/log/0.seg"),
            "log/log/0.seg".to_owned(),
        ] {
            assert_eq!(Stretch::read(&made(Root::Data, &bad)), None, "{bad}");
        }
        for at in 0..11 {
            assert_eq!(Stretch::read(&piece[..at]), None);
        }
    }
}
