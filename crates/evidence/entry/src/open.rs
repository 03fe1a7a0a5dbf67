//! Reading an entry's parts as far as one holds their secrets, with the rules that make it one event only.
//!
//! Blobs: a part refers to at most one, of the same role and under the same key; each hash in the header is referred to
//! exactly once; a blob does not refer on (`ENTRY-7`).
//!
//! Not here: one part by itself (`part`), where secrets, dictionaries and blobs come from (the caller's closures).

use waag_model::ids::LedgerId;
use zeroize::Zeroizing;

use crate::blob::{blob_codec, blob_hash, blob_owner, open_blob};
use crate::codec::Dictionary;
use crate::error::EntryError;
use crate::form::{Codec, Entry, Role};
use crate::merge::merge;
use crate::part::{PartSecret, open_part};
use crate::plain::{Common, Fields, Inline, read_common, read_fields};

/// Where opening gets what it needs. A secret or blob may be "not to be had": that part stays closed. A dictionary that is
/// missing is an error, since it was never a person's to take away.
pub trait Opener {
    /// The secret of the part with this index.
    fn part_secret(&self, entry: &Entry<'_>, index: usize) -> Option<PartSecret>;
    /// A blob's sealed bytes and its secret.
    fn blob(&self, hash: &[u8; 32]) -> Option<(Vec<u8>, PartSecret)>;
    /// The dictionary of this name.
    fn dictionary(&self, name: &[u8; 8]) -> Option<Dictionary>;
}

/// The plaintexts of an entry's parts, as far as they open; to be read with [`Opened::event`].
pub struct Opened {
    /// One per part; `None` where its secret was not to be had.
    plains: Vec<Option<Zeroizing<Vec<u8>>>>,
}

/// Opens every part whose secret can be had.
///
/// # Errors
/// [`EntryError`] where a part does not open with its secret, or a reference to a blob breaks the rules.
pub fn open(ledger: &LedgerId, entry: &Entry<'_>, opener: &dyn Opener) -> Result<Opened, EntryError> {
    let mut plains = Vec::with_capacity(entry.parts.len());
    let mut referred = vec![false; entry.header.blobs.len()];
    for (index, part) in entry.parts.iter().enumerate() {
        let Some(secret) = opener.part_secret(entry, index) else {
            plains.push(None);
            continue;
        };
        let dictionary = dictionary_of(part.codec, opener);
        let plain = open_part(ledger, entry, index, &secret, dictionary.as_ref())?;
        let Some(place) = reference(part.role, &plain)? else {
            plains.push(Some(plain));
            continue;
        };
        let hash = entry.header.blobs.get(place).ok_or(EntryError::BlobReference)?;
        let seen = referred.get_mut(place).ok_or(EntryError::BlobReference)?;
        if std::mem::replace(seen, true) {
            return Err(EntryError::BlobReference);
        }
        let Some((bytes, secret)) = opener.blob(hash) else {
            plains.push(None);
            continue;
        };
        if blob_hash(&bytes) != *hash {
            return Err(EntryError::BlobHash);
        }
        if blob_owner(&bytes)? != (part.role, part.key_id) {
            return Err(EntryError::BlobReference);
        }
        let dictionary = dictionary_of(blob_codec(&bytes)?, opener);
        let plain = open_blob(ledger, hash, &bytes, &secret, dictionary.as_ref())?;
        if reference(part.role, &plain)?.is_some() {
            return Err(EntryError::BlobReference);
        }
        plains.push(Some(plain));
    }
    let all_open = plains.iter().all(Option::is_some);
    if all_open && referred.contains(&false) {
        return Err(EntryError::BlobReference);
    }
    Ok(Opened { plains })
}

fn dictionary_of(codec: Codec, opener: &dyn Opener) -> Option<Dictionary> {
    match codec {
        Codec::Raw => None,
        Codec::Zstd(name) => opener.dictionary(&name),
    }
}

/// The blob a plaintext refers to, where it is a reference.
fn reference(role: Role, plain: &[u8]) -> Result<Option<usize>, EntryError> {
    match role {
        Role::Common => match read_common(plain)? {
            Inline::Blob(index) => Ok(Some(index)),
            Inline::Here(_) => Ok(None),
        },
        Role::Person => match read_fields(plain)? {
            Inline::Blob(index) => Ok(Some(index)),
            Inline::Here(_) => Ok(None),
        },
    }
}

impl Opened {
    /// How many parts stayed closed.
    #[must_use]
    pub fn closed(&self) -> usize {
        self.plains.iter().filter(|plain| plain.is_none()).count()
    }

    /// One part's plaintext, where it is open.
    #[must_use]
    pub fn plain(&self, index: usize) -> Option<&[u8]> {
        self.plains.get(index)?.as_deref().map(Vec::as_slice)
    }

    /// The event as the open parts tell it; `None` where the common part is closed.
    ///
    /// # Errors
    /// [`EntryError::Merge`] where the parts are not one event's.
    pub fn event(&self) -> Result<Option<Common<'_>>, EntryError> {
        let mut plains = self.plains.iter().map(|plain| plain.as_deref().map(Vec::as_slice));
        let Some(common) = plains.next().flatten() else { return Ok(None) };
        let Inline::Here(common) = read_common(common)? else { return Err(EntryError::BlobReference) };
        let mut parts: Vec<(u8, Fields<'_>)> = Vec::new();
        for (part, plain) in (1u8..).zip(plains) {
            if let Some(plain) = plain {
                let Inline::Here(fields) = read_fields(plain)? else { return Err(EntryError::BlobReference) };
                parts.push((part, fields));
            }
        }
        merge(common, parts).map(Some)
    }
}
