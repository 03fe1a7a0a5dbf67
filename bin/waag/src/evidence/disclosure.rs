//! What opens parts: their secrets, and the blobs and dictionaries that opening them needs. Never a data key (`EVIDENCE-2`).
//!
//! Place: for packs, where many parts of many entries are opened, and for `waag prove`, which opens one.
//! Not here: whether somebody may have it (the caller), recording that they got it (`record`, `cli/prove`).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use waag_engine::reader::{ReadFault, Reader};
use waag_entry::blob::{blob_codec, blob_secret};
use waag_entry::codec::Dictionary;
use waag_entry::error::EntryError;
use waag_entry::form::{Codec, Entry, Role};
use waag_entry::part::{PartSecret, open_part};
use waag_entry::plain::{Inline, read_common, read_fields};
use waag_keys::keyring::{Found, Keyring};
use waag_keys::list::Reason;
use waag_ledger::hash::Hash;
use waag_ledger::pack::{DisclosedPart, PACK_BYTES_MAX};
use waag_model::ids::{KeyId, Position, Tag};

use super::asked::Asked;
use super::error::EvidenceError;
use super::gather::Picked;
use waag_cover::Parts;

/// Most persons of whom one pack discloses parts: a record of the state names each by 17 bytes.
pub(super) const PERSONS_MAX: usize = 3_000;
/// Most keys of persons under which one pack discloses parts: whoever records it is told each in 35 bytes.
const KEYS_MAX: usize = 16_000;

/// What opens one part.
pub(crate) struct Opening {
    /// The part's secret.
    pub(crate) secret: PartSecret,
    /// The dictionaries it, or its blob, was packed with.
    pub(crate) dictionaries: Vec<Dictionary>,
    /// The blob it refers to: name, sealed bytes, secret.
    pub(crate) blob: Option<(Hash, Vec<u8>, PartSecret)>,
}

/// What opens a part; `None` where its key was destroyed.
///
/// # Errors
/// [`ReadFault`].
pub(crate) fn opening(reader: &Reader, entry: &Entry<'_>, part: usize) -> Result<Option<Opening>, ReadFault> {
    let Some(secret) = reader.part_secret(entry, part)? else { return Ok(None) };
    let sealed = entry.parts.get(part).ok_or(ReadFault::Entry(EntryError::NoPart(part)))?;
    let mut dictionaries: Vec<Dictionary> = dictionary(reader, sealed.codec).into_iter().collect();
    let Some(place) = reference(reader, entry, part, &secret, dictionaries.first())? else {
        return Ok(Some(Opening { secret, dictionaries, blob: None }));
    };
    let name = Hash(*entry.header.blobs.get(place).ok_or(ReadFault::Entry(EntryError::BlobReference))?);
    let bytes = reader.objects.get(&name).map_err(ReadFault::Object)?.ok_or(ReadFault::BlobMissing(name))?;
    let Found::Key(key) = reader.keyring.open_key(sealed.key_id).map_err(ReadFault::Keys)? else {
        return Ok(None);
    };
    let of_blob = blob_secret(&reader.ledger, key.key(), &bytes).map_err(ReadFault::Entry)?;
    let packed_with = dictionary(reader, blob_codec(&bytes).map_err(ReadFault::Entry)?);
    let is_new = |one: &Dictionary| dictionaries.iter().all(|known| known.hash() != one.hash());
    let more = packed_with.filter(is_new);
    dictionaries.extend(more);
    Ok(Some(Opening { secret, dictionaries, blob: Some((name, bytes, of_blob)) }))
}

fn dictionary(reader: &Reader, codec: Codec) -> Option<Dictionary> {
    match codec {
        Codec::Raw => None,
        Codec::Zstd(name) => reader.registry.dictionary(&name).cloned(),
    }
}

/// The place of the blob that a part refers to; the part is decrypted only where its entry has blobs at all.
fn reference(
    reader: &Reader,
    entry: &Entry<'_>,
    part: usize,
    secret: &PartSecret,
    dictionary: Option<&Dictionary>,
) -> Result<Option<usize>, ReadFault> {
    if entry.header.blobs.is_empty() {
        return Ok(None);
    }
    let plain = open_part(&reader.ledger, entry, part, secret, dictionary).map_err(ReadFault::Entry)?;
    let role = entry.parts.get(part).map(|sealed| sealed.role);
    Ok(match role {
        Some(Role::Common) => place(read_common(&plain).map_err(ReadFault::Entry)?),
        Some(Role::Person) => place(read_fields(&plain).map_err(ReadFault::Entry)?),
        None => None,
    })
}

fn place<T>(plain: Inline<T>) -> Option<usize> {
    match plain {
        Inline::Blob(place) => Some(place),
        Inline::Here(_) => None,
    }
}

/// Whose a key is, and whether it is gone.
#[derive(Clone, Copy)]
struct Owner {
    person: Option<Tag>,
    erased: bool,
}

/// Everything that a pack discloses.
#[derive(Default)]
pub(super) struct Disclosed {
    pub(super) parts: Vec<DisclosedPart>,
    /// Position and part of closed parts whose keys were destroyed.
    pub(super) erased: Vec<(u64, u8)>,
    pub(super) blobs: Vec<(Vec<u8>, PartSecret)>,
    pub(super) dictionaries: BTreeMap<[u8; 32], Dictionary>,
    /// The persons of whom a part is disclosed.
    pub(super) persons: BTreeSet<Tag>,
    /// The keys under which those parts are sealed.
    pub(super) keys: BTreeSet<KeyId>,
    pub(super) counts: Parts,
    blob_bytes: usize,
}

/// Opens what was asked for: common parts, and persons' parts where there is a reason.
pub(super) fn disclose(
    reader: &Reader,
    picked: &[Picked],
    asked: &Asked,
) -> Result<Disclosed, EvidenceError> {
    let mut work = Work { reader, asked, only: None, owners: HashMap::new(), found: Disclosed::default() };
    work.only = asked.selection.person.as_ref().map(|person| reader.keyring.person_tag(person));
    for one in picked {
        let entry = Entry::read(&one.bytes).map_err(ReadFault::Entry)?;
        for (index, part) in entry.parts.iter().enumerate() {
            work.part(one.position, &entry, index, part.role, part.key_id)?;
        }
    }
    Ok(work.found)
}

struct Work<'a> {
    reader: &'a Reader,
    asked: &'a Asked,
    /// The person whose parts are opened, where one was selected.
    only: Option<Tag>,
    owners: HashMap<KeyId, Owner>,
    found: Disclosed,
}

impl Work<'_> {
    fn part(
        &mut self,
        position: Position,
        entry: &Entry<'_>,
        index: usize,
        role: Role,
        key: KeyId,
    ) -> Result<(), EvidenceError> {
        let is_wanted = match role {
            Role::Common => true,
            Role::Person => self.wants_person(key)?,
        };
        let opened = if is_wanted { opening(self.reader, entry, index)? } else { None };
        let number = u8::try_from(index).map_err(|_| ReadFault::Entry(EntryError::NoPart(index)))?;
        let Some(opened) = opened else {
            let erased = self.owner(key)?.erased;
            let counts = &mut self.found.counts;
            let counted = if erased { &mut counts.erased } else { &mut counts.closed };
            *counted = counted.saturating_add(1);
            if erased {
                self.found.erased.push((position.0, number));
            }
            return Ok(());
        };
        let counts = &mut self.found.counts;
        let counted = match role {
            Role::Common => &mut counts.common,
            Role::Person => &mut counts.persons,
        };
        *counted = counted.saturating_add(1);
        self.keep(position, number, role, key, opened)
    }

    /// Whether a person's part is opened; refuses where it would be, and the person's data is restricted.
    fn wants_person(&mut self, key: KeyId) -> Result<bool, EvidenceError> {
        if self.asked.reveal.is_none() {
            return Ok(false);
        }
        let Some(person) = self.owner(key)?.person else { return Ok(false) };
        if self.only.is_some_and(|only| only != person) {
            return Ok(false);
        }
        if !self.found.persons.contains(&person) {
            refuse_restricted(&self.reader.keyring, person, self.asked)?;
            if self.found.persons.len() >= PERSONS_MAX {
                return Err(EvidenceError::TooMuch { what: "persons to disclose", most: PERSONS_MAX as u64 });
            }
        }
        Ok(true)
    }

    fn owner(&mut self, key: KeyId) -> Result<Owner, EvidenceError> {
        if let Some(known) = self.owners.get(&key) {
            return Ok(*known);
        }
        let keyring = &self.reader.keyring;
        let tombstone = keyring.tombstone(key)?;
        // A key that a copy of a store was made without is elsewhere, and not destroyed.
        let erased = tombstone.is_some_and(|stone| match stone.reason {
            Reason::Erased | Reason::Expired => true,
            Reason::Withheld => false,
        });
        let owner = Owner { person: keyring.tag_of_key(key)?, erased };
        self.owners.insert(key, owner);
        Ok(owner)
    }

    fn keep(
        &mut self,
        position: Position,
        part: u8,
        role: Role,
        key: KeyId,
        opened: Opening,
    ) -> Result<(), EvidenceError> {
        if role == Role::Person
            && let Some(person) = self.owner(key)?.person
        {
            self.found.persons.insert(person);
            self.found.keys.insert(key);
            if self.found.keys.len() > KEYS_MAX {
                return Err(EvidenceError::TooMuch { what: "keys of persons", most: KEYS_MAX as u64 });
            }
        }
        let found = &mut self.found;
        let Opening { secret, dictionaries, blob } = opened;
        found.parts.push(DisclosedPart { position: position.0, part, secret });
        found.dictionaries.extend(dictionaries.into_iter().map(|one| (*one.hash(), one)));
        if let Some((_, bytes, secret)) = blob {
            found.blob_bytes = found.blob_bytes.saturating_add(bytes.len());
            if found.blob_bytes > PACK_BYTES_MAX {
                return Err(EvidenceError::TooMuch { what: "bytes of blobs", most: PACK_BYTES_MAX as u64 });
            }
            found.blobs.push((bytes, secret));
        }
        Ok(())
    }
}

/// Refuses where a person's data is restricted and nobody said why it is used all the same.
pub(super) fn refuse_restricted(keyring: &Keyring, person: Tag, asked: &Asked) -> Result<(), EvidenceError> {
    let is_restricted = asked.despite_restriction.is_none() && keyring.restriction(person)?.is_some();
    if is_restricted { Err(EvidenceError::Restricted) } else { Ok(()) }
}
