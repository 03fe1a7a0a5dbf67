//! The backup key's file: made once, readable by its owner only, never replaced.

use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use waag_archive::error::ArchiveError;
use waag_archive::key::{BackupKey, KEY_FILE_BYTES_MAX};
use zeroize::Zeroizing;

use super::BackupError;

/// Writes the file of a new key, durable on return.
///
/// # Errors
/// The file system's; also where a file is there.
pub fn write(path: &Path, key: &BackupKey) -> Result<(), BackupError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path).map_err(BackupError::io("make the key's file", path))?;
    let written = file.write_all(key.line().as_bytes()).and_then(|()| file.sync_all());
    written.map_err(BackupError::io("write the key's file", path))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(BackupError::io("sync the folder of", path))
}

/// Reads a key from its file.
///
/// # Errors
/// [`ArchiveError::KeyFile`] where it is none, or others than its owner may read it; the file system's.
pub fn read(path: &Path) -> Result<BackupKey, BackupError> {
    let failed = || BackupError::io("read the key's file", path);
    let file = std::fs::File::open(path).map_err(failed())?;
    let mode = file.metadata().map_err(failed())?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(
            ArchiveError::KeyFile("can be read or written by others than its owner (chmod 600)").into()
        );
    }
    let room = usize::try_from(KEY_FILE_BYTES_MAX).unwrap_or(0);
    let mut text = Zeroizing::new(String::with_capacity(room));
    let read = file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text);
    match read {
        Ok(_) => Ok(BackupKey::read(&text)?),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Err(ArchiveError::KeyFile("is no text").into())
        }
        Err(error) => Err(failed()(error)),
    }
}
