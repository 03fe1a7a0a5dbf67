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
use waag_entry::blob::blob_secret;
use waag_entry::codec::Dictionary;
use waag_entry::form::{Codec, Entry, Role};
use waag_entry::part::{PartSecret, open_part};
use waag_entry::plain::{Inline, read_common, read_fields};
use waag_keys::keyring::Found;
use waag_ledger::hash::Hash;

use super::failure::{CliError, Failure};

/// One part, disclosed.
pub(crate) struct Disclosed {
    /// Its index.
    pub(crate) part: usize,
    secret: PartSecret,
    dictionary: Option<Dictionary>,
    blob: Option<(Hash, Vec<u8>, PartSecret)>,
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
        let Some(secret) = reader.part_secret(entry, part)? else { return Ok(None) };
        let Some(sealed) = entry.parts.get(part) else { return Ok(None) };
        let dictionary = match sealed.codec {
            Codec::Raw => None,
            Codec::Zstd(name) => reader.registry.dictionary(&name).cloned(),
        };
        let plain =
            open_part(&reader.ledger, entry, part, &secret, dictionary.as_ref()).map_err(ReadFault::Entry)?;
        let reference = match sealed.role {
            Role::Common => place(read_common(&plain).map_err(ReadFault::Entry)?),
            Role::Person => place(read_fields(&plain).map_err(ReadFault::Entry)?),
        };
        let blob = match reference.and_then(|place| entry.header.blobs.get(place)) {
            None => None,
            Some(hash) => {
                let name = Hash(*hash);
                let bytes = reader.objects.get(&name)?.ok_or(ReadFault::BlobMissing(name))?;
                let Found::Key(key) = reader.keyring.open_key(sealed.key_id)? else { return Ok(None) };
                let secret = blob_secret(&reader.ledger, key.key(), &bytes).map_err(ReadFault::Entry)?;
                Some((name, bytes, secret))
            }
        };
        Ok(Some(Self { part, secret, dictionary, blob }))
    }

    pub(crate) fn json(&self) -> DisclosedJson {
        DisclosedJson {
            part: self.part,
            secret: hex::encode(self.secret.as_slice()),
            dictionary_sha256: self.dictionary.as_ref().map(|dictionary| hex::encode(dictionary.hash())),
            blob_sha256: self.blob.as_ref().map(|(name, ..)| name.to_string()),
            blob_secret: self.blob.as_ref().map(|(_, _, secret)| hex::encode(secret.as_slice())),
        }
    }

    /// Writes `part-<n>.secret` and what else there is into a folder, for its owner only.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Failure> {
        let part = self.part;
        let line = |secret: &PartSecret| format!("{}\n", hex::encode(secret.as_slice())).into_bytes();
        write_private(&folder.join(format!("part-{part}.secret")), &line(&self.secret))?;
        if let Some(dictionary) = &self.dictionary {
            write_private(&folder.join(format!("part-{part}.dictionary")), dictionary.bytes())?;
        }
        if let Some((_, bytes, secret)) = &self.blob {
            write_private(&folder.join(format!("part-{part}.blob")), bytes)?;
            write_private(&folder.join(format!("part-{part}.blob-secret")), &line(secret))?;
        }
        Ok(())
    }
}

fn place<T>(plain: Inline<T>) -> Option<usize> {
    match plain {
        Inline::Blob(place) => Some(place),
        Inline::Here(_) => None,
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| CliError::file("write", path)(error).into())
}
