//! What is handed out of one entry: the secrets of the parts that were named, and what else opening them needs.
//!
//! A part's secret opens this part and no other; data keys are never handed out. The disclosure is recorded as an event
//! before anything leaves.

use std::path::{Path, PathBuf};

use serde::Serialize;
use waag_engine::reader::{ReadFault, Reader};
use waag_entry::form::Entry;
use waag_entry::part::{PartSecret, open_part};

use super::failure::Failure;
use super::new_file::{Readers, must_be_new, write_new};
use crate::evidence::{Opening, opening};

/// What the names of a part's files end with.
const KINDS: [&str; 4] = ["secret", "dictionary", "blob", "blob-secret"];

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

    /// Refuses a folder that has something of the names which [`Self::write`] uses: a secret of another entry, for one.
    pub(crate) fn must_be_new(&self, folder: &Path) -> Result<(), Failure> {
        KINDS.iter().try_for_each(|kind| must_be_new(&self.path(folder, kind)))
    }

    fn path(&self, folder: &Path, kind: &str) -> PathBuf {
        folder.join(format!("part-{}.{kind}", self.part))
    }

    /// Writes `part-<n>.secret` and what else there is into a folder, for its owner only.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Failure> {
        let [of_secret, of_dictionary, of_blob, of_blob_secret] = KINDS.map(|kind| self.path(folder, kind));
        let line = |secret: &PartSecret| format!("{}\n", hex::encode(secret.as_slice())).into_bytes();
        let Opening { secret, dictionaries, blob } = &self.opening;
        write_new(&of_secret, &line(secret), Readers::Owner)?;
        if let Some(dictionary) = dictionaries.first() {
            write_new(&of_dictionary, dictionary.bytes(), Readers::Owner)?;
        }
        if let Some((_, bytes, secret)) = blob {
            write_new(&of_blob, bytes, Readers::Owner)?;
            write_new(&of_blob_secret, &line(secret), Readers::Owner)?;
        }
        Ok(())
    }
}
