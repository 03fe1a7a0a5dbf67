//! Files that a command makes for somebody to take away: new ones only, so that a wrong name destroys nothing.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::failure::{CliError, Failure};

/// Whoever may read a file that is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Those that the process's mask lets.
    All,
    /// Its owner only.
    Owner,
}

/// Refuses a path where something is, a link that leads nowhere too.
pub(crate) fn must_be_new(path: &Path) -> Result<(), Failure> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Err(CliError::There(path.to_owned()).into()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(()),
        Err(error) => Err(CliError::file("look at", path)(error).into()),
    }
}

/// Makes a file that was not there.
pub(crate) fn write_new(path: &Path, bytes: &[u8], readers: Readers) -> Result<(), Failure> {
    let mode = match readers {
        Readers::All => 0o666,
        Readers::Owner => 0o600,
    };
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| {
        let is_there = error.kind() == ErrorKind::AlreadyExists;
        let failed = CliError::file("write", path);
        if is_there { CliError::There(path.to_owned()).into() } else { failed(error).into() }
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn nothing_that_is_there_is_written_into() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("one"), folder.path().join("link"));
        must_be_new(&path).unwrap();
        write_new(&path, b"one", Readers::Owner).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        symlink(folder.path().join("nowhere"), &link).unwrap();
        for there in [&path, &link] {
            assert_eq!(must_be_new(there).unwrap_err().code, "E0708");
            assert_eq!(write_new(there, b"two", Readers::All).unwrap_err().code, "E0708");
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert!(!folder.path().join("nowhere").exists());
    }
}
