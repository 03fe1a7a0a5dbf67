//! Objects as files, each named by the hash of its bytes: `objects/ab/abcd…`.
//!
//! Place: blobs and registered schemas, durable before the entry that names them. Not here: what is in an object, when
//! one may go, comparing bytes with the name (whoever reads).
//!
//! A crash leaves whole objects, and unfinished ones beside them (`….new`) that nothing refers to; the next writer
//! removes them. An object is always written anew, also where one of its name stands there: that one may be damaged, or
//! not yet durable, and sealed bytes hardly ever come twice.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use waag_ledger::hash::Hash;
use waag_log::objects::{OBJECT_BYTES_MAX, ObjectError, Objects};
use waag_stdx::files::{File, Files, Open};

/// The folder of the objects, below the store's root.
pub const OBJECTS_FOLDER: &str = "objects";
/// How the name of an unfinished object ends.
const UNFINISHED: &str = ".new";

/// Objects below a root.
#[derive(Debug)]
pub struct FileObjects {
    files: Arc<dyn Files>,
    next: AtomicU64,
}

/// What a file below the folder is.
enum Kind {
    Object(Hash),
    Unfinished,
    Foreign,
}

fn failed(operation: &'static str) -> impl FnOnce(io::Error) -> ObjectError {
    move |source| ObjectError::Failed { operation, source }
}

/// The file of an object, below the store's root.
#[must_use]
pub fn object_path(name: &Hash) -> String {
    let hex = name.to_string();
    let shelf = hex.get(..2).unwrap_or_default();
    format!("{OBJECTS_FOLDER}/{shelf}/{hex}")
}

impl FileObjects {
    /// The objects below `files`; nothing is touched yet.
    #[must_use]
    pub fn new(files: Arc<dyn Files>) -> Self {
        Self { files, next: AtomicU64::new(0) }
    }

    /// Removes what a crash has left unfinished; for the one writer, before it puts anything.
    ///
    /// # Errors
    /// [`ObjectError::Failed`].
    pub fn remove_unfinished(&self) -> Result<(), ObjectError> {
        let mut left = Vec::new();
        self.walk(&mut |path, kind| {
            if matches!(kind, Kind::Unfinished) {
                left.push(path);
            }
        })?;
        left.iter()
            .try_for_each(|path| self.files.remove(path).map_err(failed("removal of an unfinished object")))
    }

    /// Everything below the folder that is neither an object nor an unfinished one, as paths below the store's root.
    ///
    /// # Errors
    /// [`ObjectError::Failed`].
    pub fn foreign(&self) -> Result<Vec<String>, ObjectError> {
        let mut foreign = Vec::new();
        self.walk(&mut |path, kind| {
            if matches!(kind, Kind::Foreign) {
                foreign.push(path);
            }
        })?;
        Ok(foreign)
    }

    fn walk(&self, visit: &mut dyn FnMut(String, Kind)) -> Result<(), ObjectError> {
        for shelf in self.files.list(OBJECTS_FOLDER).map_err(failed("listing"))? {
            let folder = format!("{OBJECTS_FOLDER}/{shelf}");
            let is_shelf =
                shelf.len() == 2 && shelf.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            if !is_shelf {
                visit(folder, Kind::Foreign);
                continue;
            }
            for name in self.files.list(&folder).map_err(failed("listing"))? {
                let kind = match name.parse::<Hash>() {
                    Ok(hash) if name.starts_with(&shelf) => Kind::Object(hash),
                    Err(_) if name.ends_with(UNFINISHED) => Kind::Unfinished,
                    Ok(_) | Err(_) => Kind::Foreign,
                };
                visit(format!("{folder}/{name}"), kind);
            }
        }
        Ok(())
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn File>> {
        match self.files.open(path, Open::Create) {
            // A process that died has left it: the one writer is this one.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.files.remove(path)?;
                self.files.open(path, Open::Create)
            }
            other => other,
        }
    }
}

impl Objects for FileObjects {
    fn put(&self, name: &Hash, bytes: &[u8]) -> Result<(), ObjectError> {
        if bytes.len() > OBJECT_BYTES_MAX {
            return Err(ObjectError::TooLarge { bytes: bytes.len() as u64 });
        }
        let path = object_path(name);
        // Two threads may put the same object at once: each has an unfinished file of its own.
        let unfinished = format!("{path}.{}{UNFINISHED}", self.next.fetch_add(1, Ordering::Relaxed));
        let file = self.create(&unfinished).map_err(failed("creation"))?;
        file.write_at(bytes, 0).map_err(failed("write"))?;
        file.sync().map_err(failed("sync"))?;
        self.files.rename(&unfinished, &path).map_err(failed("rename"))
    }

    fn get(&self, name: &Hash) -> Result<Option<Vec<u8>>, ObjectError> {
        let file = match self.files.open(&object_path(name), Open::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed("opening"))?,
        };
        let len = file.len().map_err(failed("reading"))?;
        let room = usize::try_from(len).ok().filter(|len| *len <= OBJECT_BYTES_MAX);
        let mut bytes = vec![0; room.ok_or(ObjectError::TooLarge { bytes: len })?];
        let read = file.read_at(&mut bytes, 0).map_err(failed("reading"))?;
        bytes.truncate(read);
        Ok(Some(bytes))
    }

    fn names(&self, visit: &mut dyn FnMut(Hash)) -> Result<(), ObjectError> {
        self.walk(&mut |_, kind| {
            if let Kind::Object(hash) = kind {
                visit(hash);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use waag_stdx::files::DiskFiles;

    use super::*;

    fn objects(root: &Path) -> FileObjects {
        FileObjects::new(Arc::new(DiskFiles::new(root)))
    }

    fn all(objects: &FileObjects) -> Vec<Hash> {
        let mut names = Vec::new();
        objects.names(&mut |name| names.push(name)).unwrap();
        names
    }

    #[test]
    fn what_was_put_is_there_after_reopening_and_putting_again_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (Hash([0xab; 32]), Hash([0x01; 32]));
        assert!(all(&objects(folder.path())).is_empty());
        objects(folder.path()).put(&a, b"first").unwrap();
        objects(folder.path()).put(&b, b"").unwrap();
        objects(folder.path()).put(&a, b"first").unwrap();
        let again = objects(folder.path());
        assert_eq!(again.get(&a).unwrap().as_deref(), Some(&b"first"[..]));
        assert_eq!(again.get(&b).unwrap().as_deref(), Some(&b""[..]));
        assert_eq!(again.get(&Hash([0xac; 32])).unwrap(), None);
        assert_eq!(all(&again), [b, a]);
        let hex = "ab".repeat(32);
        assert_eq!(std::fs::read(folder.path().join("objects/ab").join(hex)).unwrap(), b"first");
    }

    #[test]
    fn a_damaged_object_is_replaced_by_putting_it_again() {
        let folder = tempfile::tempdir().unwrap();
        let name = Hash([7; 32]);
        objects(folder.path()).put(&name, b"right").unwrap();
        std::fs::write(folder.path().join(object_path(&name)), b"wrong").unwrap();
        objects(folder.path()).put(&name, b"right").unwrap();
        assert_eq!(objects(folder.path()).get(&name).unwrap().as_deref(), Some(&b"right"[..]));
    }

    #[test]
    fn unfinished_objects_are_no_objects_and_go_and_foreign_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let name = Hash([7; 32]);
        let here = objects(folder.path());
        here.put(&name, b"x").unwrap();
        let unfinished = folder.path().join(format!("{}.0.new", object_path(&name)));
        std::fs::write(&unfinished, b"half").unwrap();
        for foreign in ["objects/zz", "objects/07/note"] {
            std::fs::write(folder.path().join(foreign), b"?").unwrap();
        }
        std::fs::write(folder.path().join("objects/07").join("08".repeat(32)), b"?").unwrap();
        let misplaced = format!("objects/07/{}", "08".repeat(32));
        assert_eq!(
            here.foreign().unwrap(),
            [misplaced, "objects/07/note".to_owned(), "objects/zz".to_owned()]
        );
        assert_eq!(all(&here), [name]);
        // The name is taken by what a dead process left; a new writer takes it over.
        objects(folder.path()).put(&name, b"x").unwrap();
        std::fs::write(&unfinished, b"half").unwrap();
        here.remove_unfinished().unwrap();
        assert!(!unfinished.exists());
        assert_eq!(here.get(&name).unwrap().as_deref(), Some(&b"x"[..]));
    }

    #[test]
    fn the_largest_object_is_taken_and_one_byte_more_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let here = objects(folder.path());
        let name = Hash([9; 32]);
        let mut bytes = vec![0; OBJECT_BYTES_MAX];
        here.put(&name, &bytes).unwrap();
        assert_eq!(here.get(&name).unwrap().map(|read| read.len()), Some(OBJECT_BYTES_MAX));
        bytes.push(0);
        let refused = here.put(&Hash([8; 32]), &bytes).unwrap_err();
        assert!(matches!(refused, ObjectError::TooLarge { bytes } if bytes == OBJECT_BYTES_MAX as u64 + 1));
        std::fs::write(folder.path().join(object_path(&name)), &bytes).unwrap();
        assert!(matches!(here.get(&name).unwrap_err(), ObjectError::TooLarge { .. }));
    }
}
