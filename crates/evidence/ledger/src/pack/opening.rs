//! Opening what a pack discloses (`PACK-5`), entry by entry.
//!
//! Not here: the form of an entry and the rules of its parts and blobs (`waag_entry::open`).

use std::cell::Cell;

use waag_entry::codec::Dictionary;
use waag_entry::error::EntryError;
use waag_entry::form::Entry;
use waag_entry::open::{Opened, Opener, open};
use waag_entry::part::PartSecret;
use waag_entry::plain::Common;
use waag_model::ids::LedgerId;

use super::binary::{DisclosedPart, Parts};
use super::fault::PackFault;
use crate::hash::Hash;

/// What a pack says of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartState {
    /// Its content is in the pack.
    Disclosed,
    /// It is closed, and nothing is said why.
    Withheld,
    /// It is closed, and the operator says that its keys are destroyed.
    ToldErased,
}

/// An entry of a verified pack, opened as far as it is disclosed.
pub struct PackEvent<'a> {
    /// Where it stands in the ledger.
    pub position: u64,
    /// Its leaf hash.
    pub leaf: Hash,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// The entry.
    pub entry: Entry<'a>,
    /// What the pack says of each part.
    pub parts: Vec<PartState>,
    pub(super) opened: Opened,
}

impl PackEvent<'_> {
    /// The event as the disclosed parts tell it; `None` where all of it is closed, since no
    /// person's part is disclosed without the common part.
    ///
    /// # Errors
    /// [`PackFault::Part`] never for what [`super::verify`] returned, which has read it once.
    pub fn event(&self) -> Result<Option<Common<'_>>, PackFault> {
        let wrong = |error| PackFault::Part { position: self.position, part: None, error };
        self.opened.event().map_err(wrong)
    }

    /// One part's plaintext, where it is disclosed: that of its blob where it refers to one.
    #[must_use]
    pub fn plain(&self, part: usize) -> Option<&[u8]> {
        self.opened.plain(part)
    }
}

/// Everything that opens parts.
pub(super) struct Material<'a> {
    ledger: LedgerId,
    parts: Parts,
    /// In the order of `parts.blobs`.
    blobs: Vec<&'a [u8]>,
    /// By the first 8 bytes of its hash, which is what parts name.
    dictionaries: Vec<([u8; 8], Dictionary)>,
}

/// Which blobs and dictionaries were asked for.
pub(super) struct Used {
    blobs: Vec<Cell<bool>>,
    dictionaries: Vec<Cell<bool>>,
}

impl Used {
    /// Whether nothing is in the pack that nobody asked for.
    pub(super) fn all(&self) -> bool {
        self.blobs.iter().chain(&self.dictionaries).all(Cell::get)
    }
}

impl<'a> Material<'a> {
    /// Puts together what opens parts; `blobs` are those of `parts`, in their order.
    pub(super) fn new(
        ledger: LedgerId,
        parts: Parts,
        blobs: Vec<&'a [u8]>,
        dictionaries: &[&[u8]],
    ) -> Result<Self, PackFault> {
        let named = dictionaries.iter().map(|bytes| {
            let expected = "dictionaries that zstd takes";
            let wrong = |_| PackFault::Disclosure { position: None, part: None, expected };
            Dictionary::new(bytes).map(|dictionary| (dictionary.name(), dictionary)).map_err(wrong)
        });
        // By whole hash in the pack, and so by the hash's beginning too.
        let dictionaries = named.collect::<Result<Vec<_>, _>>()?;
        if dictionaries.iter().zip(dictionaries.iter().skip(1)).any(|((a, _), (b, _))| a >= b) {
            let expected = "dictionaries whose hashes differ in their first 8 bytes";
            return Err(PackFault::Disclosure { position: None, part: None, expected });
        }
        Ok(Self { ledger, parts, blobs, dictionaries })
    }

    pub(super) fn unused(&self) -> Used {
        let cells = |count| std::iter::repeat_with(|| Cell::new(false)).take(count).collect();
        Used { blobs: cells(self.blobs.len()), dictionaries: cells(self.dictionaries.len()) }
    }

    pub(super) fn disclosed(&self) -> &[DisclosedPart] {
        &self.parts.disclosed
    }

    pub(super) fn erased(&self) -> &[(u64, u8)] {
        &self.parts.erased
    }

    /// The disclosed parts of one entry.
    fn of(&self, position: u64) -> &[DisclosedPart] {
        let from = self.parts.disclosed.partition_point(|part| part.position < position);
        let rest = self.parts.disclosed.get(from..).unwrap_or_default();
        let count = rest.iter().take_while(|part| part.position == position).count();
        rest.get(..count).unwrap_or_default()
    }

    /// What is said of each part of an entry.
    pub(super) fn states(&self, position: u64, parts: usize) -> Vec<PartState> {
        let disclosed = self.of(position);
        let state = |index: usize| {
            let erased = |part: &u8| self.parts.erased.binary_search(&(position, *part)).is_ok();
            if disclosed.iter().any(|part| usize::from(part.part) == index) {
                PartState::Disclosed
            } else if u8::try_from(index).is_ok_and(|part| erased(&part)) {
                PartState::ToldErased
            } else {
                PartState::Withheld
            }
        };
        (0..parts).map(state).collect()
    }

    /// Opens what is disclosed of an entry, and holds it together.
    pub(super) fn open(&self, position: u64, entry: &Entry<'_>, used: &Used) -> Result<Opened, PackFault> {
        let secrets = self.of(position);
        let opened = self.open_with(entry, secrets, used).map_err(|error| {
            // Which of several it is, is looked for only where one is wrong.
            let fails =
                |part: &&DisclosedPart| self.open_with(entry, std::slice::from_ref(*part), used).is_err();
            let part = secrets.iter().find(fails).map(|part| part.part);
            PackFault::Part { position, part, error }
        })?;
        for part in secrets {
            // A secret opens its part or fails, so what stays closed is a part whose blob is not to be had.
            if opened.plain(usize::from(part.part)).is_none() {
                let expected = "the blob that the part refers to";
                return Err(PackFault::Disclosure {
                    position: Some(position),
                    part: Some(part.part),
                    expected,
                });
            }
        }
        opened.event().map_err(|error| PackFault::Part { position, part: None, error })?;
        Ok(opened)
    }

    fn open_with(
        &self,
        entry: &Entry<'_>,
        secrets: &[DisclosedPart],
        used: &Used,
    ) -> Result<Opened, EntryError> {
        open(&self.ledger, entry, &OfEntry { material: self, secrets, used })
    }
}

/// What opens one entry.
struct OfEntry<'m, 'a> {
    material: &'m Material<'a>,
    secrets: &'m [DisclosedPart],
    used: &'m Used,
}

fn mark(used: &[Cell<bool>], at: usize) {
    if let Some(cell) = used.get(at) {
        cell.set(true);
    }
}

impl Opener for OfEntry<'_, '_> {
    fn part_secret(&self, _: &Entry<'_>, index: usize) -> Option<PartSecret> {
        let part = self.secrets.iter().find(|part| usize::from(part.part) == index)?;
        Some(part.secret.clone())
    }

    fn blob(&self, hash: &[u8; 32]) -> Option<(Vec<u8>, PartSecret)> {
        let blobs = &self.material.parts.blobs;
        let at = blobs.binary_search_by(|(of, _)| of.cmp(hash)).ok()?;
        mark(&self.used.blobs, at);
        let (_, secret) = blobs.get(at)?;
        Some((self.material.blobs.get(at)?.to_vec(), secret.clone()))
    }

    fn dictionary(&self, name: &[u8; 8]) -> Option<Dictionary> {
        let dictionaries = &self.material.dictionaries;
        let at = dictionaries.binary_search_by(|(of, _)| of.cmp(name)).ok()?;
        mark(&self.used.dictionaries, at);
        dictionaries.get(at).map(|(_, dictionary)| dictionary.clone())
    }
}
