//! A pack's file: written aside for its owner only, and put in its place whole, replacing nothing.
//!
//! A file that was written aside and not put in its place is removed, also where the command fails; a crash leaves it under a
//! name that begins with `.waag-pack-`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::error::EvidenceError;

/// A file written aside; durable, and nobody's yet.
#[derive(Debug)]
pub struct Aside {
    path: PathBuf,
    out: PathBuf,
    placed: bool,
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EvidenceError {
    let path = path.to_owned();
    move |source| EvidenceError::File { operation, path, source }
}

/// Refuses a place where something is.
///
/// # Errors
/// [`EvidenceError::There`]; [`EvidenceError::File`] where the folder cannot be looked into.
pub fn must_be_free(out: &Path) -> Result<(), EvidenceError> {
    match std::fs::symlink_metadata(out) {
        Ok(_) => Err(EvidenceError::There(out.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("look at", out)(error)),
    }
}

/// Writes a file beside the place it is meant for, readable by its owner alone; durable when this returns. `unique` makes
/// its name one that nobody else uses.
///
/// # Errors
/// [`EvidenceError::File`].
pub fn write_aside(out: &Path, unique: &str, bytes: &[u8]) -> Result<Aside, EvidenceError> {
    let path = folder(out).join(format!(".waag-pack-{unique}"));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let mut file = file.map_err(failed("write", &path))?;
    let aside = Aside { path, out: out.to_owned(), placed: false };
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.map_err(failed("write", &aside.path))?;
    Ok(aside)
}

fn folder(out: &Path) -> PathBuf {
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new(".")).to_owned()
}

impl Aside {
    /// Puts the file in its place, where nothing may be; durable when this returns.
    ///
    /// # Errors
    /// [`EvidenceError::There`], [`EvidenceError::File`]; the file is then gone.
    pub fn place(mut self) -> Result<(), EvidenceError> {
        match renameat_with(CWD, &self.path, CWD, &self.out, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(rustix::io::Errno::EXIST) => return Err(EvidenceError::There(self.out.clone())),
            // A file system without this kind of renaming: looked at before instead.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                must_be_free(&self.out)?;
                std::fs::rename(&self.path, &self.out).map_err(failed("write", &self.out))?;
            }
            Err(error) => return Err(failed("write", &self.out)(error.into())),
        }
        self.placed = true;
        let folder = folder(&self.out);
        File::open(&folder).and_then(|folder| folder.sync_all()).map_err(failed("sync", &folder))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if !self.placed {
            // What cannot be removed is readable by its owner only, and was told to nobody.
            drop(std::fs::remove_file(&self.path));
        }
    }
}
