//! A folder tree whose operations say when they are durable; the real disk here, a faulty one in the simulator.
//!
//! Not here: formats of files (their owners), faults (`testing/sim`).
//!
//! Invariants:
//! - `FILES-1`: creating, renaming and removing are durable when they return (the folder is synced).
//! - `FILES-2`: bytes written are durable only after [`File::sync`] returned without error; after a failed write or
//!   sync nothing is known of the bytes, and the handle must not be used to try again (fsyncgate).
//! - `FILES-3`: paths are relative to the root, have `/` between names and never climb above the root.

use std::fmt::Debug;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// Existing, read-only.
    Read,
    /// Existing, to read and write.
    Write,
    /// Must not exist yet; made with mode 0600, its folders too (0700); to read and write.
    Create,
}

/// A tree of folders and files.
pub trait Files: Send + Sync + Debug {
    /// Opens or creates a file.
    ///
    /// # Errors
    /// The operating system's, with `NotFound` and `AlreadyExists` kept apart.
    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn File>>;
    /// The names (not paths) in a folder, sorted; empty where the folder does not exist.
    ///
    /// # Errors
    /// The operating system's.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;
    /// Renames a file, replacing what stands at `to`; durable on return.
    ///
    /// # Errors
    /// The operating system's; which of the two names holds is then unknown.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file; durable on return.
    ///
    /// # Errors
    /// The operating system's.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Takes the exclusive lock on `path` (made if missing), held until the returned value is dropped or its process
    /// dies.
    ///
    /// # Errors
    /// `WouldBlock` where another holder has it; else the operating system's.
    fn lock(&self, path: &str) -> io::Result<Box<dyn Lock>>;
}

/// An open file. Offsets and lengths are in bytes.
#[expect(clippy::len_without_is_empty, reason = "a file is no collection; nobody asks whether it is empty")]
pub trait File: Send + Sync + Debug {
    /// Reads into `buf` from `offset` until it is full or the file ends; returns how many bytes were read.
    ///
    /// # Errors
    /// The operating system's.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`, growing the file where needed.
    ///
    /// # Errors
    /// The operating system's; any part may then have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes everything written before durable (data and what is needed to read it back).
    ///
    /// # Errors
    /// The operating system's; see `FILES-2`.
    fn sync(&self) -> io::Result<()>;
    /// The length in bytes.
    ///
    /// # Errors
    /// The operating system's.
    fn len(&self) -> io::Result<u64>;
    /// Cuts the file, or grows it with zeros.
    ///
    /// # Errors
    /// The operating system's.
    fn set_len(&self, len: u64) -> io::Result<()>;
}

/// An exclusive lock; dropping it lets go.
pub trait Lock: Send + Sync + Debug {}

/// The real disk below a root folder.
#[derive(Clone, Debug)]
pub struct DiskFiles {
    root: PathBuf,
}

impl DiskFiles {
    /// A tree below `root`; nothing is touched yet.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The root folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the names in the root folder durable: for files that a library makes there by itself.
    ///
    /// # Errors
    /// The file system's.
    pub fn sync_root(&self) -> io::Result<()> {
        std::fs::File::open(&self.root)?.sync_all()
    }

    fn full(&self, path: &str) -> io::Result<PathBuf> {
        let relative = Path::new(path);
        let inside =
            !path.is_empty() && relative.components().all(|part| matches!(part, Component::Normal(_)));
        if inside { Ok(self.root.join(relative)) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    fn sync_folder_of(full: &Path) -> io::Result<()> {
        match full.parent() {
            // The parent of a bare name is the working folder.
            Some(folder) if folder.as_os_str().is_empty() => std::fs::File::open(".")?.sync_all(),
            Some(folder) => std::fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }

    /// Makes the folders down to the file's own and syncs each one that was made, from the top.
    fn make_folders_of(full: &Path) -> io::Result<()> {
        let Some(folder) = full.parent() else {
            return Ok(());
        };
        // Above a bare name stands the empty path, which is the working folder and is there.
        let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let missing: Vec<&Path> = folder.ancestors().take_while(is_missing).collect();
        for made in missing.into_iter().rev() {
            match std::fs::DirBuilder::new().mode(0o700).create(made) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Ok(()) | Err(_) => Self::sync_folder_of(made)?,
            }
        }
        Ok(())
    }
}

impl Files for DiskFiles {
    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn File>> {
        let full = self.full(path)?;
        let mut options = std::fs::OpenOptions::new();
        options.read(true);
        match how {
            Open::Read => {}
            Open::Write => {
                options.write(true);
            }
            Open::Create => {
                Self::make_folders_of(&full)?;
                options.write(true).create_new(true).mode(0o600);
            }
        }
        let file = options.open(&full)?;
        if how == Open::Create {
            Self::sync_folder_of(&full)?;
        }
        Ok(Arc::new(DiskFile(file)))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let full = if folder.is_empty() { self.root.clone() } else { self.full(folder)? };
        let entries = match std::fs::read_dir(full) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.full(from)?, self.full(to)?);
        std::fs::rename(&from, &to)?;
        Self::sync_folder_of(&to)?;
        if from.parent() == to.parent() { Ok(()) } else { Self::sync_folder_of(&from) }
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let full = self.full(path)?;
        std::fs::remove_file(&full)?;
        Self::sync_folder_of(&full)
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn Lock>> {
        let full = self.full(path)?;
        Self::make_folders_of(&full)?;
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&full)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(DiskLock { _file: file })),
            Err(std::fs::TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

#[derive(Debug)]
struct DiskFile(std::fs::File);

impl File for DiskFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.checked_add(done as u64).ok_or(io::ErrorKind::InvalidInput)?;
            match self.0.read_at(rest, at) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
}

/// The lock is the open file's; closing the file lets go.
#[derive(Debug)]
struct DiskLock {
    _file: std::fs::File,
}

impl Lock for DiskLock {}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> (tempfile::TempDir, DiskFiles) {
        let folder = tempfile::tempdir().unwrap();
        let files = DiskFiles::new(&folder.path().join("made"));
        (folder, files)
    }

    #[test]
    fn creates_folders_and_refuses_a_second_creation() {
        let (_folder, files) = tree();
        let file = files.open("a/b/c", Open::Create).unwrap();
        file.write_at(b"hello", 3).unwrap();
        file.sync().unwrap();
        assert_eq!(file.len().unwrap(), 8);
        let mut buf = [9; 16];
        assert_eq!(file.read_at(&mut buf, 2).unwrap(), 6);
        assert_eq!(&buf[..6], b"\0hello");
        assert_eq!(files.open("a/b/c", Open::Create).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(files.list("a/b").unwrap(), ["c"]);
        files.rename("a/b/c", "a/b/d").unwrap();
        assert_eq!(files.open("a/b/c", Open::Read).unwrap_err().kind(), io::ErrorKind::NotFound);
        files.remove("a/b/d").unwrap();
        assert!(files.list("a/b").unwrap().is_empty());
    }

    #[test]
    fn never_leaves_the_root() {
        let (_folder, files) = tree();
        for path in ["../x", "/etc/passwd", "a/../../x", "", "./x"] {
            assert_eq!(
                files.open(path, Open::Read).unwrap_err().kind(),
                io::ErrorKind::InvalidInput,
                "{path}"
            );
        }
    }

    #[test]
    fn one_holder_at_a_time() {
        let (_folder, files) = tree();
        let held = files.lock("lock").unwrap();
        assert_eq!(files.lock("lock").unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(held);
        files.lock("lock").unwrap();
    }
}
