//! Sealing: events become entries, on as many threads as there are, before the writer gives them positions.
//!
//! Place in the way of an event: `decide` (facts need no state) and `seal`. A batch is sealed with one builder on one
//! thread: taken apart by its schema, each part under its key, hashed as a leaf. Blobs are durable before `finish`.
//!
//! Not here: positions (`engine`), the stored form itself (`evidence/entry`), which key (`evidence/keys`).
//!
//! - `SEAL-1`: every part has a salt of its own, drawn from the entropy passed in, in bulk.
//! - `SEAL-2`: a refused event leaves nothing behind in its batch.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use waag_domain::{Domain, Refusal};
use waag_entry::blob::{Blob, seal_blob};
use waag_entry::cbor::write;
use waag_entry::error::EntryError;
use waag_entry::form::{Cause, ENTRY_BYTES_MAX, Header, Role, write_header};
use waag_entry::part::{Scratch, Seal, seal_part};
use waag_entry::plain::{write_blob_reference, write_common, write_fields};
use waag_entry::split::{Split, SplitError, split};
use waag_entry::tag::TagKey;
use waag_keys::error::KeysError;
use waag_keys::keyring::{KeyHandle, Keyring, Whom};
use waag_keys::ledger::LedgerKeys;
use waag_ledger::hash::{Hash, leaf_hash};
use waag_log::objects::{ObjectError, Objects};
use waag_model::event::Accepted;
use waag_model::ids::{LedgerId, Tag};
use waag_model::limits::INLINE_DATA_BYTES_MAX;
use waag_model::schema::DEFAULT_RETENTION;
use waag_model::time::UtcDay;
use waag_stdx::entropy::{Entropy, NoEntropy};

use crate::batch::{BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, SealedBatch, SealedEntry};
use crate::registry::{Registered, Registry};

/// Salts drawn at once: one call to the operating system for 128 parts.
const SALTS_AT_ONCE: usize = 128;

/// Room that a batch begins with, in bytes.
const BODY_BYTES_RESERVED: usize = 16_384;
/// Room that a batch begins with, in entries.
const ENTRIES_RESERVED: usize = 32;

/// What sealing one ledger's events needs; shared by all sealing threads.
pub struct Sealer<D> {
    domain: D,
    ledger: LedgerId,
    identity: TagKey,
    ordering: TagKey,
    keyring: Arc<Keyring>,
    entropy: Arc<dyn Entropy>,
    objects: Arc<dyn Objects>,
    registry: RwLock<Arc<Registry>>,
    /// How many destructions of keys there have been (`ENGINE-4`).
    keys_epoch: AtomicU64,
}

impl<D> fmt::Debug for Sealer<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

/// Why an event was not sealed. Nothing of it is recorded.
#[derive(Debug)]
pub enum SealError {
    /// The domain refused it.
    Domain(Refusal),
    /// It cannot be taken apart by its schema.
    Split(SplitError),
    /// The stored form has no place for it.
    Entry(EntryError),
    /// A key could not be had.
    Keys(KeysError),
    /// A blob could not be kept.
    Object(ObjectError),
    /// No randomness.
    Entropy(NoEntropy),
    /// The batch is full: finish it and begin another with this event.
    BatchFull,
    /// A command that needs its stream's past; this engine has none to offer.
    NeedsState,
}

impl SealError {
    /// The stable code of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Domain(refusal) => refusal.code,
            Self::Split(error) => error.code(),
            Self::Entry(error) => error.code(),
            Self::Keys(error) => error.code(),
            Self::Object(error) => error.code(),
            Self::Entropy(error) => error.code(),
            Self::BatchFull => "E0611",
            Self::NeedsState => "E0612",
        }
    }

    /// Whether the event itself is at fault, and the next one may well be sealed.
    #[must_use]
    pub fn is_the_events_fault(&self) -> bool {
        match self {
            Self::Domain(_) | Self::Split(_) | Self::NeedsState => true,
            Self::Entry(error) => match error {
                EntryError::Header(_) | EntryError::TooLong(_) | EntryError::PlaintextTooLong(_) => true,
                // A library or a registered dictionary failed, and may fail for the next event too.
                EntryError::Compression(_)
                | EntryError::Crypto(_)
                | EntryError::Dictionary(_)
                | EntryError::DictionaryMissing(_) => false,
                // What only reading finds: where sealing does, it is at fault itself.
                EntryError::Form { .. }
                | EntryError::Version(_)
                | EntryError::BlobReference
                | EntryError::Commitment
                | EntryError::Ciphertext
                | EntryError::NoPart(_)
                | EntryError::Merge(_)
                | EntryError::BlobHash => false,
            },
            Self::Keys(error) => matches!(error, KeysError::Name(_)),
            Self::Object(_) | Self::Entropy(_) | Self::BatchFull => false,
        }
    }
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(refusal) => refusal.fmt(f),
            Self::Split(error) => error.fmt(f),
            Self::Entry(error) => error.fmt(f),
            Self::Keys(error) => error.fmt(f),
            Self::Object(error) => error.fmt(f),
            Self::Entropy(error) => error.fmt(f),
            Self::BatchFull => write!(f, "the batch is full"),
            Self::NeedsState => write!(f, "the command needs the past of its stream, which is not kept here"),
        }
    }
}

impl std::error::Error for SealError {}

impl<D: Domain> Sealer<D> {
    /// A sealer for one ledger.
    #[must_use]
    pub fn new(
        domain: D,
        ledger: &LedgerKeys,
        keyring: Arc<Keyring>,
        entropy: Arc<dyn Entropy>,
        objects: Arc<dyn Objects>,
        registry: Registry,
    ) -> Self {
        Self {
            domain,
            ledger: ledger.id,
            identity: TagKey::new(ledger.identity.bytes()),
            ordering: TagKey::new(ledger.ordering.bytes()),
            keyring,
            entropy,
            objects,
            registry: RwLock::new(Arc::new(registry)),
            keys_epoch: AtomicU64::new(0),
        }
    }

    /// Begins a batch.
    #[must_use]
    pub fn begin(&self) -> BatchBuilder<'_, D> {
        BatchBuilder {
            registry: self.registry(),
            // Read before any key is asked for: a destruction in between shows.
            keys_epoch: self.keys_epoch.load(Ordering::SeqCst),
            work: Work {
                sealer: self,
                keys_serial: 0,
                // Growing from nothing would copy the first entries of every batch again and again.
                body: Vec::with_capacity(BODY_BYTES_RESERVED),
                entries: Vec::with_capacity(ENTRIES_RESERVED),
                salts: Vec::new(),
                scratch: Scratch::default(),
                header: Vec::new(),
                plains: Vec::new(),
                common_key: None,
                keys: Vec::new(),
            },
        }
    }

    /// The schemas as they stand.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other schemas in place, for batches begun from now on.
    pub fn set_registry(&self, registry: Registry) {
        *self.registry.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(registry);
    }

    /// Counts a destruction of keys; to be called after it, before the engine goes on (`ENGINE-4`).
    pub fn keys_destroyed(&self) -> u64 {
        self.keys_epoch.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The ledger.
    #[must_use]
    pub fn ledger(&self) -> LedgerId {
        self.ledger
    }

    /// The identity tag of a source and id, to look an event up.
    #[must_use]
    pub fn identity_tag(&self, source: &str, id: &str) -> Tag {
        self.identity.identity(&self.ledger, source, id)
    }
}

/// A batch that is being sealed.
pub struct BatchBuilder<'s, D> {
    registry: Arc<Registry>,
    keys_epoch: u64,
    work: Work<'s, D>,
}

/// What a batch holds and works with. Nothing that threads share is counted up or down for each event: two of them
/// would take that counter's cache line away from each other all the time.
struct Work<'s, D> {
    sealer: &'s Sealer<D>,
    keys_serial: u64,
    body: Vec<u8>,
    entries: Vec<SealedEntry>,
    salts: Vec<[u8; 32]>,
    scratch: Scratch,
    header: Vec<u8>,
    plains: Vec<Vec<u8>>,
    /// What the common key in `keys` is for: nearly always what the next event needs it for.
    common_key: Option<(String, UtcDay)>,
    /// The keys of the event at hand, in the order of its parts.
    keys: Vec<KeyHandle>,
}

impl<D: Domain> BatchBuilder<'_, D> {
    /// Seals what follows from a command; says how many events that are.
    ///
    /// # Errors
    /// [`SealError`]; the batch is then as it was before.
    pub fn push(&mut self, command: Accepted<'_>, cause: Option<Cause>) -> Result<usize, SealError> {
        let Self { registry, work, .. } = self;
        if work.sealer.domain.stream(&command).is_some() {
            return Err(SealError::NeedsState);
        }
        let state = D::State::default();
        let events = work.sealer.domain.decide(&state, command).map_err(SealError::Domain)?;
        if work.entries.len() + events.len() > BATCH_ENTRIES_MAX {
            return Err(SealError::BatchFull);
        }
        let (body, entries) = (work.body.len(), work.entries.len());
        let sealed = events.len();
        let done = events.into_iter().try_for_each(|event| work.seal(registry, event, cause));
        if done.is_err() {
            // SEAL-2.
            work.body.truncate(body);
            work.entries.truncate(entries);
        }
        done.map(|()| sealed)
    }

    /// How many entries the batch has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.work.entries.len()
    }

    /// Whether the batch has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.work.entries.is_empty()
    }

    /// Takes everything behind the first `entries` entries out again, for a sender whose events all go into one batch
    /// or none. Keys that were made for them stay; they are harmless.
    pub fn truncate(&mut self, entries: usize) {
        self.work.entries.truncate(entries);
        let end = self.work.entries.last().map_or(0, |last| last.end);
        self.work.body.truncate(end);
    }

    /// The sealed batch.
    #[must_use]
    pub fn finish(self) -> SealedBatch {
        SealedBatch {
            body: self.work.body,
            entries: self.work.entries,
            keys_serial: self.work.keys_serial,
            keys_epoch: self.keys_epoch,
        }
    }
}

impl<D: Domain> Work<'_, D> {
    fn seal(
        &mut self,
        registry: &Registry,
        accepted: Accepted<'_>,
        cause: Option<Cause>,
    ) -> Result<(), SealError> {
        let Accepted { event, actor, accepted } = accepted;
        let registered = registry.newest(&event.kind);
        let identity = self.sealer.identity.identity(&self.sealer.ledger, &event.source, &event.id);
        let subject = event.subject.clone();
        let kind = event.kind.clone();
        let parts = split(event, &actor, registered.map(|known| &known.schema)).map_err(SealError::Split)?;
        let retention = registered.map_or(DEFAULT_RETENTION, |known| known.schema.retention.as_str());
        let ordering = match &subject {
            None => None,
            Some(subject) => Some(self.ordering_tag(subject, &parts)?),
        };
        let dictionary = registered.and_then(|known| known.dictionary.as_ref());
        self.take_keys(retention, accepted.day(), &parts)?;
        self.write_plains(&parts);
        let blobs = self.move_long_plains_to_blobs(registered)?;
        let header = Header {
            kind: &kind,
            schema: registered.map_or(0, |known| known.schema.version),
            accepted,
            retention,
            tag_epoch: 0,
            identity,
            ordering,
            cause,
            blobs,
        };
        self.header.clear();
        write_header(&mut self.header, &header).map_err(SealError::Entry)?;
        let start = self.body.len();
        self.body.extend_from_slice(&[0, 0]);
        self.write_entry(dictionary)?;
        let end = self.body.len();
        let leaf = self.close_entry(start, end)?;
        self.entries.push(SealedEntry { start, end, leaf, identity });
        Ok(())
    }

    fn ordering_tag(&mut self, subject: &str, parts: &Split<'_>) -> Result<Tag, SealError> {
        let ledger = &self.sealer.ledger;
        let Some(person) = parts.subject_person.and_then(|at| parts.persons.get(at)) else {
            return Ok(self.sealer.ordering.ordering(ledger, subject));
        };
        let key = self.sealer.keyring.person_tag_key(&person.id).map_err(SealError::Keys)?;
        self.keys_serial = self.keys_serial.max(key.serial());
        Ok(TagKey::new(key.key()).ordering(ledger, subject))
    }

    /// Fetches the keys of an event's parts, the common one first.
    fn take_keys(&mut self, class: &str, day: UtcDay, parts: &Split<'_>) -> Result<(), SealError> {
        self.keys.truncate(1);
        let known = self.common_key.as_ref().is_some_and(|(c, d)| c == class && *d == day);
        if !known || self.keys.is_empty() {
            (self.common_key, self.keys) = (None, Vec::new());
            self.keys
                .push(self.sealer.keyring.data_key(Whom::Common { class, day }).map_err(SealError::Keys)?);
            self.common_key = Some((class.to_owned(), day));
        }
        for person in &parts.persons {
            let whom = Whom::Person { id: &person.id, class, year: day.year() };
            self.keys.push(self.sealer.keyring.data_key(whom).map_err(SealError::Keys)?);
        }
        self.keys_serial = self.keys.iter().map(KeyHandle::serial).fold(self.keys_serial, u64::max);
        Ok(())
    }

    fn write_plains(&mut self, parts: &Split<'_>) {
        self.plains.resize_with(parts.persons.len() + 1, Vec::new);
        self.plains.iter_mut().for_each(Vec::clear);
        let mut plains = self.plains.iter_mut();
        if let Some(plain) = plains.next() {
            write_common(plain, &parts.common);
        }
        for (plain, person) in plains.zip(&parts.persons) {
            write_fields(plain, &person.fields);
        }
    }

    /// Seals the longest plaintexts as blobs until the rest fits inline; each leaves a reference behind.
    fn move_long_plains_to_blobs(
        &mut self,
        registered: Option<&Registered>,
    ) -> Result<Vec<[u8; 32]>, SealError> {
        let mut hashes = Vec::new();
        while self.plains.iter().map(Vec::len).sum::<usize>() > INLINE_DATA_BYTES_MAX {
            let salt = self.salt()?;
            let longest = self.plains.iter().enumerate().max_by_key(|(_, plain)| plain.len());
            let Some((index, key)) = longest.and_then(|(index, _)| Some((index, self.keys.get(index)?)))
            else {
                break;
            };
            let plain = self.plains.get_mut(index).map(std::mem::take).unwrap_or_default();
            let seal = Seal {
                role: role(index),
                key_id: key.id(),
                key: key.key(),
                salt,
                dictionary: registered.and_then(|known| known.dictionary.as_ref()),
            };
            let Blob { hash, bytes } =
                seal_blob(&mut self.scratch, &self.sealer.ledger, seal, &plain).map_err(SealError::Entry)?;
            self.sealer.objects.put(&Hash(hash), &bytes).map_err(SealError::Object)?;
            if let Some(plain) = self.plains.get_mut(index) {
                write_blob_reference(plain, hashes.len());
            }
            hashes.push(hash);
        }
        Ok(hashes)
    }

    /// Writes header and parts behind what is already in the body.
    fn write_entry(&mut self, dictionary: Option<&waag_entry::codec::Dictionary>) -> Result<(), SealError> {
        write::array(&mut self.body, 2);
        self.body.extend_from_slice(&self.header);
        write::array(&mut self.body, self.keys.len());
        for index in 0..self.keys.len() {
            let salt = self.salt()?;
            let Some(key) = self.keys.get(index) else { break };
            let seal = Seal { role: role(index), key_id: key.id(), key: key.key(), salt, dictionary };
            let plain = self.plains.get(index).map(Vec::as_slice).unwrap_or_default();
            seal_part(
                &mut self.scratch,
                &self.sealer.ledger,
                &self.header,
                index,
                seal,
                plain,
                &mut self.body,
            )
            .map_err(SealError::Entry)?;
        }
        Ok(())
    }

    /// Holds the entry to its limits, writes its length before it, and hashes it.
    fn close_entry(&mut self, start: usize, end: usize) -> Result<Hash, SealError> {
        let bytes = end.saturating_sub(start + 2);
        let Ok(length) = u16::try_from(bytes) else {
            return Err(SealError::Entry(EntryError::TooLong(bytes)));
        };
        debug_assert!(bytes <= ENTRY_BYTES_MAX);
        if end > BATCH_BYTES_MAX {
            return Err(SealError::BatchFull);
        }
        if let Some(prefix) = self.body.get_mut(start..start + 2) {
            prefix.copy_from_slice(&length.to_be_bytes());
        }
        Ok(leaf_hash(self.body.get(start + 2..end).unwrap_or_default()))
    }

    /// A fresh salt (`SEAL-1`).
    fn salt(&mut self) -> Result<[u8; 32], SealError> {
        if self.salts.is_empty() {
            self.salts.resize(SALTS_AT_ONCE, [0; 32]);
            let filled = self.sealer.entropy.fill(self.salts.as_flattened_mut());
            if let Err(error) = filled {
                self.salts.clear();
                return Err(SealError::Entropy(error));
            }
        }
        self.salts.pop().ok_or(SealError::Entropy(NoEntropy))
    }
}

fn role(index: usize) -> Role {
    if index == 0 { Role::Common } else { Role::Person }
}
