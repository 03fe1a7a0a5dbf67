//! A backup repository in a folder: an object is a file, written beside its place, synced, and renamed.
//!
//! Place: behind `waag_archive::contract`; the folder may well be another machine's. Not here: what is in an object.
//!
//! An object `runs/x` is the file `runs/x.sealed`, and `runs/x.sealed.new` until it is whole: what has the second name is
//! no object, and the next process that writes removes it. Names of objects have no dot, so that no object is a folder.
//! One process writes at a time, held by the lock `writer.lock`; anybody reads beside it.

use std::io;
use std::sync::Arc;

use waag_archive::contract::{BackupStore, OBJECT_BYTES_MAX, StoreFault, is_name};
use waag_stdx::files::{Files, Lock, Open};

/// How the file of an object ends.
const SUFFIX: &str = ".sealed";
/// How the file of an object ends while it is written.
const UNFINISHED: &str = ".new";
const LOCK: &str = "writer.lock";
/// Deepest folder of names.
const DEPTH_MAX: usize = 8;

/// A repository in a folder.
#[derive(Debug)]
pub struct FolderStore {
    files: Arc<dyn Files>,
    lock: Option<Box<dyn Lock>>,
}

fn failed<'n>(operation: &'static str, name: &'n str) -> impl FnOnce(io::Error) -> StoreFault + use<'n> {
    move |source| StoreFault::Failed { operation, name: name.to_owned(), source }
}

impl FolderStore {
    /// The repository below `files`, to read.
    #[must_use]
    pub fn reading(files: Arc<dyn Files>) -> Self {
        Self { files, lock: None }
    }

    /// The repository below `files`, to write; the folder is made where it is missing.
    ///
    /// # Errors
    /// [`StoreFault::Locked`] where another process writes it.
    pub fn writing(files: Arc<dyn Files>) -> Result<Self, StoreFault> {
        let lock = files.lock(LOCK).map_err(|source| {
            let is_held = source.kind() == io::ErrorKind::WouldBlock;
            if is_held { StoreFault::Locked } else { failed("locking", LOCK)(source) }
        })?;
        let this = Self { files, lock: Some(lock) };
        // What a process that died has left is nobody's, and may be key material that must not outlive its time.
        let mut left = Vec::new();
        this.walk("", 0, &mut |path| {
            left.extend(path.ends_with(&format!("{SUFFIX}{UNFINISHED}")).then(|| path.to_owned()));
        })?;
        left.iter().try_for_each(|path| this.files.remove(path).map_err(failed("removal", path)))?;
        Ok(this)
    }

    fn may_write(&self, name: &str) -> Result<(), StoreFault> {
        let refused = if self.lock.is_none() {
            io::ErrorKind::PermissionDenied
        } else if !is_name(name) {
            io::ErrorKind::InvalidInput
        } else {
            return Ok(());
        };
        Err(failed("opening to write", name)(refused.into()))
    }

    fn is_there(&self, path: &str) -> io::Result<bool> {
        match self.files.open(path, Open::Read) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn write_beside(&self, unfinished: &str, bytes: &[u8]) -> io::Result<()> {
        // A write of this very process that failed has left it.
        if self.is_there(unfinished)? {
            self.files.remove(unfinished)?;
        }
        let file = self.files.open(unfinished, Open::Create)?;
        file.write_at(bytes, 0)?;
        file.sync()
    }

    /// Shows the path of every file, folder by folder.
    fn walk(&self, folder: &str, depth: usize, visit: &mut dyn FnMut(&str)) -> Result<(), StoreFault> {
        let entries = match self.files.list(folder) {
            // A file of a name that no object's file has: nobody's.
            Err(error) if depth > 0 && error.kind() == io::ErrorKind::NotADirectory => return Ok(()),
            entries => entries.map_err(failed("listing", folder))?,
        };
        for entry in entries {
            let path = if folder.is_empty() { entry.clone() } else { format!("{folder}/{entry}") };
            if entry.contains('.') {
                visit(&path);
            } else if depth < DEPTH_MAX && is_name(&path) {
                self.walk(&path, depth + 1, visit)?;
            }
        }
        Ok(())
    }
}

impl BackupStore for FolderStore {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<(), StoreFault> {
        self.may_write(name)?;
        if bytes.len() > OBJECT_BYTES_MAX {
            return Err(failed("opening to write", name)(io::ErrorKind::FileTooLarge.into()));
        }
        let path = format!("{name}{SUFFIX}");
        // The lock is held: nobody takes the name between this look and the renaming.
        if self.is_there(&path).map_err(failed("opening", name))? {
            return Err(StoreFault::Taken { name: name.to_owned() });
        }
        let unfinished = format!("{path}{UNFINISHED}");
        self.write_beside(&unfinished, bytes).map_err(failed("writing", name))?;
        self.files.rename(&unfinished, &path).map_err(failed("renaming", name))
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreFault> {
        let file = match self.files.open(&format!("{name}{SUFFIX}"), Open::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed("opening", name))?,
        };
        let len = file.len().map_err(failed("reading", name))?;
        let room = usize::try_from(len).ok().filter(|len| *len <= OBJECT_BYTES_MAX);
        let room = room.ok_or_else(|| failed("reading", name)(io::ErrorKind::FileTooLarge.into()))?;
        let mut bytes = vec![0; room];
        let read = file.read_at(&mut bytes, 0).map_err(failed("reading", name))?;
        bytes.truncate(read);
        Ok(Some(bytes))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreFault> {
        // Whole folders of the prefix are gone straight to; the rest of it is compared.
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut found = Vec::new();
        self.walk(folder, 0, &mut |path| {
            let name = path.strip_suffix(SUFFIX).filter(|name| is_name(name) && name.starts_with(prefix));
            found.extend(name.map(str::to_owned));
        })?;
        found.sort_unstable();
        Ok(found)
    }

    fn remove(&self, name: &str) -> Result<(), StoreFault> {
        self.may_write(name)?;
        match self.files.remove(&format!("{name}{SUFFIX}")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("removal", name)(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use waag_stdx::files::DiskFiles;

    use super::*;

    #[test]
    fn a_folder_is_a_backup_store() {
        let folder = tempfile::tempdir().unwrap();
        let files: Arc<dyn Files> = Arc::new(DiskFiles::new(&folder.path().join("made")));
        let mut open =
            || -> Box<dyn BackupStore> { Box::new(FolderStore::writing(Arc::clone(&files)).unwrap()) };
        waag_archive::conformance::store(&mut open).unwrap();
    }

    #[test]
    fn one_writes_others_read_and_what_is_unfinished_is_no_object() {
        let folder = tempfile::tempdir().unwrap();
        let files: Arc<dyn Files> = Arc::new(DiskFiles::new(folder.path()));
        let writer = FolderStore::writing(Arc::clone(&files)).unwrap();
        assert!(matches!(FolderStore::writing(Arc::clone(&files)), Err(StoreFault::Locked)));
        let reader = FolderStore::reading(Arc::clone(&files));
        writer.put_new("runs/1", b"one").unwrap();
        assert_eq!(reader.get("runs/1").unwrap().as_deref(), Some(&b"one"[..]));
        assert!(reader.put_new("runs/2", b"").is_err() && reader.remove("runs/1").is_err());
        std::fs::write(folder.path().join("runs/2.sealed.new"), b"half").unwrap();
        std::fs::write(folder.path().join("runs/note.txt"), b"somebody's").unwrap();
        std::fs::write(folder.path().join("runs/junk"), b"somebody's").unwrap();
        std::fs::write(folder.path().join("JUNK"), b"somebody's").unwrap();
        assert_eq!(reader.list("").unwrap(), ["runs/1"]);
        assert_eq!(reader.get("runs/2").unwrap(), None);
        writer.put_new("runs/2", b"two").unwrap();
        assert_eq!(reader.list("runs/").unwrap(), ["runs/1", "runs/2"]);
        std::fs::write(folder.path().join("runs/3.sealed.new"), b"half").unwrap();
        drop(writer);
        let writer = FolderStore::writing(files).unwrap();
        assert!(!folder.path().join("runs/3.sealed.new").exists(), "the next writer removes it");
        assert!(folder.path().join("runs/note.txt").exists(), "and nothing that is not its own");
        assert_eq!(writer.list("").unwrap(), ["runs/1", "runs/2"]);
    }
}
