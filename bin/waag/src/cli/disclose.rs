//! What is handed out of one entry: the secrets of the parts that were named, and what else opening them needs.
//!
//! A part's secret opens this part and no other; data keys are never handed out. The disclosure is recorded as an event
//! before anything leaves.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Serialize;
use waag_engine::reader::{ReadFault, Reader};
use waag_entry::form::Entry;
use waag_entry::part::{PartSecret, open_part};

use super::failure::{CliError, Failure};
use crate::evidence::{Opening, opening};

/// One part, disclosed.
pub(crate) struct Disclosed {
    /// Its index.
    pub(crate) part: usize,
    opening: Opening,
}

/// As programs read it.
#[derive(Serialize)]
pub(crate) struct DisclosedJson {
    part: usize,
    secret: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    dictionary_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob_secret: Option<String>,
}

impl Disclosed {
    /// Opens a part to find out what opening it needs; `None` where its key was destroyed.
    pub(crate) fn of(reader: &Reader, entry: &Entry<'_>, part: usize) -> Result<Option<Self>, Failure> {
        let Some(opening) = opening(reader, entry, part)? else { return Ok(None) };
        // Tried here, so that nobody is handed a secret that opens nothing.
        open_part(&reader.ledger, entry, part, &opening.secret, opening.dictionaries.first())
            .map_err(ReadFault::Entry)?;
        Ok(Some(Self { part, opening }))
    }

    pub(crate) fn json(&self) -> DisclosedJson {
        let Opening { secret, dictionaries, blob } = &self.opening;
        DisclosedJson {
            part: self.part,
            secret: hex::encode(secret.as_slice()),
            // A part and its blob are sealed under one schema, so with one dictionary.
            dictionary_sha256: dictionaries.first().map(|dictionary| hex::encode(dictionary.hash())),
            blob_sha256: blob.as_ref().map(|(name, ..)| name.to_string()),
            blob_secret: blob.as_ref().map(|(_, _, secret)| hex::encode(secret.as_slice())),
        }
    }

    /// Writes `part-<n>.secret` and what else there is into a folder, for its owner only.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Failure> {
        let part = self.part;
        let line = |secret: &PartSecret| format!("{}\n", hex::encode(secret.as_slice())).into_bytes();
        let Opening { secret, dictionaries, blob } = &self.opening;
        write_private(&folder.join(format!("part-{part}.secret")), &line(secret))?;
        if let Some(dictionary) = dictionaries.first() {
            write_private(&folder.join(format!("part-{part}.dictionary")), dictionary.bytes())?;
        }
        if let Some((_, bytes, secret)) = blob {
            write_private(&folder.join(format!("part-{part}.blob")), bytes)?;
            write_private(&folder.join(format!("part-{part}.blob-secret")), &line(secret))?;
        }
        Ok(())
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    // A file that is there may be open to others, or a link to one that is: it gives way, and is not written into.
    let gone = match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    };
    let file = gone.and_then(|()| OpenOptions::new().write(true).create_new(true).mode(0o600).open(path));
    let written = file.and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| CliError::file("write", path)(error).into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_secret_is_never_written_into_a_file_that_others_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part-0.secret");
        let others = folder.path().join("others");
        std::fs::write(&others, b"theirs").unwrap();
        symlink(&others, &path).unwrap();
        write_private(&path, b"one").unwrap();
        assert_eq!(std::fs::read(&others).unwrap(), b"theirs");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
