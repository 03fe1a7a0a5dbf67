//! From frames to facts: reading the log up to the guard, and opening the common part of each entry and no other.
//!
//! Place: before `project`. Opening checks the part's commitment and decrypts one part; persons' parts stay closed, so
//! that erasing a person changes no figure (`PROJECT-3`).
//! Not here: batching in time, cursors (`projector`).
//!
//! Invariants:
//! - `SOURCE-1`: nothing beyond the guard is shown: what is projected can not be taken back.
//! - `SOURCE-2`: positions follow without a gap. A common part whose key was destroyed gives a fact with what stands in
//!   clear; whatever else does not open stops the reading, and no entry is passed over.
//! - `SOURCE-3`: an opened key is held for one batch only, so that a destroyed one is not used on.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use waag_domain::project::Fact;
use waag_entry::blob::{blob_codec, blob_owner, blob_secret, open_blob};
use waag_entry::codec::Dictionary;
use waag_entry::error::EntryError;
use waag_entry::form::{Codec, Entry, Role};
use waag_entry::part::{open_part, part_secret};
use waag_entry::plain::{Body, Common, Inline, read_common};
use waag_keys::error::KeysError;
use waag_keys::keyring::{Found, KeyHandle, Keyring};
use waag_ledger::hash::Hash;
use waag_log::contract::{EventLog, ReadError};
use waag_log::objects::{ObjectError, Objects};
use waag_model::ids::{KeyId, LedgerId, Position};
use waag_model::time::UtcNanos;
use waag_model::value::{Object, Value};
use waag_stdx::passing::may_pass;
use zeroize::Zeroizing;

use crate::contract::Cursor;

/// Where dictionaries are found by the name in a part; registering a schema may add one at any time.
pub trait Dictionaries: Send + Sync {
    /// The dictionary of this name.
    fn dictionary(&self, name: &[u8; 8]) -> Option<Dictionary>;
}

impl<F: Fn(&[u8; 8]) -> Option<Dictionary> + Send + Sync> Dictionaries for F {
    fn dictionary(&self, name: &[u8; 8]) -> Option<Dictionary> {
        self(name)
    }
}

/// How far the ledger is guarded: the size of the checkpoint in the guard.
pub trait Guarded: Send + Sync {
    /// The position behind the last guarded entry.
    fn position(&self) -> Position;
}

impl<F: Fn() -> Position + Send + Sync> Guarded for F {
    fn position(&self) -> Position {
        self()
    }
}

/// What reading one ledger's facts needs.
#[derive(Clone)]
pub struct FactSource {
    /// The ledger.
    pub ledger: LedgerId,
    /// Its entries.
    pub log: Arc<dyn EventLog>,
    /// How far they may be read.
    pub guarded: Arc<dyn Guarded>,
    /// Who opens keys.
    pub keyring: Arc<Keyring>,
    /// Where blobs are.
    pub objects: Arc<dyn Objects>,
    /// Where dictionaries are.
    pub dictionaries: Arc<dyn Dictionaries>,
}

impl fmt::Debug for FactSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FactSource").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

/// Why facts could not be read.
#[derive(Debug)]
pub enum SourceFault {
    /// The log could not be read.
    Log(ReadError),
    /// An entry does not open.
    Entry(Position, EntryError),
    /// A key could not be opened.
    Keys(KeysError),
    /// E0697: an entry names a key that the state neither knows nor has destroyed: the state is not this log's.
    KeyUnknown(Position, KeyId),
    /// A blob could not be read.
    Object(ObjectError),
    /// E0698: a blob that an entry names is missing.
    BlobMissing(Position, Hash),
    /// E0699: a cursor stands beyond the guard: the views are not this ledger's, or the ledger was rolled back.
    BeyondGuard {
        /// Where the cursor stands.
        cursor: Position,
        /// The guard's position.
        guarded: Position,
    },
}

impl SourceFault {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Log(error) => error.code(),
            Self::Entry(_, error) => error.code(),
            Self::Keys(error) => error.code(),
            Self::KeyUnknown(..) => "E0697",
            Self::Object(error) => error.code(),
            Self::BlobMissing(..) => "E0698",
            Self::BeyondGuard { .. } => "E0699",
        }
    }
}

impl SourceFault {
    /// Whether the same may be read later, since the system alone failed ([`may_pass`]). Damage does not pass, and reading it
    /// again and again would hide how serious it is.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Log(ReadError::Failed { source, .. })
            | Self::Object(ObjectError::Failed { source, .. }) => may_pass(source),
            Self::Keys(error) => error.may_pass(),
            Self::Log(
                ReadError::BeyondTail { .. } | ReadError::Trimmed { .. } | ReadError::Damaged { .. },
            )
            | Self::Object(ObjectError::TooLarge { .. })
            | Self::Entry(..)
            | Self::KeyUnknown(..)
            | Self::BlobMissing(..)
            | Self::BeyondGuard { .. } => false,
        }
    }
}

impl fmt::Display for SourceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(error) => error.fmt(f),
            Self::Entry(position, error) => write!(f, "the entry at `{position}` does not open: {error}"),
            Self::Keys(error) => error.fmt(f),
            Self::KeyUnknown(position, key) => {
                write!(f, "the entry at `{position}` names the key `{key}`, which the state does not know")
            }
            Self::Object(error) => error.fmt(f),
            Self::BlobMissing(position, hash) => {
                write!(f, "the blob `{hash}` of the entry at `{position}` is missing")
            }
            Self::BeyondGuard { cursor, guarded } => {
                write!(f, "a view's cursor stands at `{cursor}`, beyond the guard at `{guarded}`")
            }
        }
    }
}

impl std::error::Error for SourceFault {}

/// How much is opened at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Most events.
    pub events_max: usize,
    /// Plaintext at which a batch is full; the last entry may reach beyond it.
    pub bytes_max: usize,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { events_max: 50_000, bytes_max: 48 * 1_024 * 1_024 }
    }
}

/// What stands in clear beside an entry's type, for whoever keeps events in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clear {
    /// Stands for the event's subject, where it has one; also where the subject is a person's.
    pub ordering: Option<[u8; 16]>,
    /// How many causes stand before it.
    pub depth: u8,
}

/// An entry's place in its batch's plaintext.
#[derive(Clone, Copy, Debug)]
struct Mark {
    committed: UtcNanos,
    accepted: UtcNanos,
    clear: Clear,
    kind_end: usize,
    /// Equal to `kind_end` where the common part is erased.
    plain_end: usize,
}

/// Opened entries that follow each other, in one buffer that is wiped.
pub struct Batch {
    first: Position,
    committed: UtcNanos,
    marks: Vec<Mark>,
    bytes: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("first", &self.first).field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Batch {
    /// A batch that goes on from a cursor.
    #[must_use]
    pub fn after(cursor: Cursor) -> Self {
        let (first, committed) = (cursor.position, cursor.committed);
        Self { first, committed, marks: Vec::new(), bytes: Zeroizing::new(Vec::new()) }
    }

    /// How many entries it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// The position of its first entry.
    #[must_use]
    pub fn first(&self) -> Position {
        self.first
    }

    /// Where a cursor stands after it.
    #[must_use]
    pub fn end(&self) -> Cursor {
        let committed = self.marks.last().map_or(self.committed, |mark| mark.committed);
        Cursor { position: Position(self.first.0.saturating_add(self.len() as u64)), committed }
    }

    pub(crate) fn is_full(&self, limits: &BatchLimits) -> bool {
        self.len() >= limits.events_max || self.bytes.len() >= limits.bytes_max
    }

    fn push(&mut self, committed: UtcNanos, entry: &Entry<'_>, plain: Option<&[u8]>) {
        self.bytes.extend_from_slice(entry.header.kind.as_bytes());
        let kind_end = self.bytes.len();
        self.bytes.extend_from_slice(plain.unwrap_or_default());
        let (accepted, plain_end) = (entry.header.accepted, self.bytes.len());
        let clear = Clear {
            ordering: entry.header.ordering.map(|tag| tag.0),
            depth: entry.header.cause.map_or(0, |cause| cause.depth),
        };
        self.marks.push(Mark { committed, accepted, clear, kind_end, plain_end });
    }

    /// Reads the opened parts one after the other, and shows each as a fact.
    ///
    /// # Errors
    /// [`SourceFault::Entry`] where a part is no event's; the facts before it were shown.
    pub fn each(&self, show: &mut dyn FnMut(&Fact<'_>)) -> Result<(), SourceFault> {
        self.each_whole(&mut |fact, _, _| show(fact))
    }

    /// The same with what stands in clear, and with bodies that are no JSON; a body is none where the common part is erased.
    ///
    /// # Errors
    /// As [`Self::each`].
    pub fn each_whole(
        &self,
        show: &mut dyn FnMut(&Fact<'_>, Clear, Option<&Body<'_>>),
    ) -> Result<(), SourceFault> {
        let nothing = Object::default();
        let mut start = 0;
        for (at, mark) in (self.first.0..).map(Position).zip(&self.marks) {
            let kind = self.bytes.get(start..mark.kind_end).unwrap_or_default();
            let plain = self.bytes.get(mark.kind_end..mark.plain_end).unwrap_or_default();
            start = mark.plain_end;
            let common = if plain.is_empty() {
                None
            } else {
                match read_common(plain).map_err(|error| SourceFault::Entry(at, error))? {
                    Inline::Here(common) => Some(common),
                    Inline::Blob(_) => return Err(SourceFault::Entry(at, EntryError::BlobReference)),
                }
            };
            // It was a text when it was taken from the header.
            let kind = std::str::from_utf8(kind).unwrap_or_default();
            let body = common.as_ref().map(|common| &common.body);
            show(&fact(at, *mark, kind, common.as_ref(), &nothing), mark.clear, body);
        }
        Ok(())
    }
}

fn fact<'c>(
    position: Position,
    mark: Mark,
    kind: &'c str,
    common: Option<&'c Common<'c>>,
    nothing: &'c Object<'c>,
) -> Fact<'c> {
    let attributes = common
        .and_then(|common| if let Value::Object(object) = &common.attributes { Some(object) } else { None });
    let data = common.and_then(|common| match &common.body {
        Body::Json(Value::Withheld(_)) | Body::None | Body::Binary(_) => None,
        Body::Json(value) => Some(value),
    });
    Fact {
        position,
        committed: mark.committed,
        accepted: mark.accepted,
        kind,
        id: common.and_then(|common| common.id.as_text()),
        source: common.and_then(|common| common.source.as_text()),
        subject: common.and_then(|common| common.subject.as_ref()?.as_text()),
        actor: common.and_then(|common| common.actor.as_text()),
        attributes: attributes.unwrap_or(nothing),
        data,
    }
}

/// The keys of one batch: events of one day share theirs.
struct Opening<'s> {
    source: &'s FactSource,
    /// The last key asked for; none where it was destroyed, so that many such entries cost one look.
    last: Option<(KeyId, Option<KeyHandle>)>,
    last_dictionary: Option<([u8; 8], Dictionary)>,
}

impl FactSource {
    /// Where facts may be read to (`SOURCE-1`).
    #[must_use]
    pub fn guarded(&self) -> Position {
        self.guarded.position().min(self.log.tail().position)
    }

    /// Opens what follows a batch's end, until it is full, `to` is reached, or `go_on` says no.
    ///
    /// # Errors
    /// [`SourceFault`]; the batch then holds what came before the fault and is as good as before.
    pub fn fill(
        &self,
        batch: &mut Batch,
        to: Position,
        limits: &BatchLimits,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<(), SourceFault> {
        let (from, guarded) = (batch.end().position, self.guarded());
        if from > guarded {
            return Err(SourceFault::BeyondGuard { cursor: from, guarded });
        }
        let to = to.min(guarded);
        if from >= to || batch.is_full(limits) {
            return Ok(());
        }
        let mut opening = Opening { source: self, last: None, last_dictionary: None };
        let mut fault = None;
        let read = self.log.read(from, &mut |frame| {
            let committed = frame.header().fields.commit_time;
            for (position, bytes) in frame.entries() {
                if position < from {
                    continue;
                }
                if position >= to || batch.is_full(limits) {
                    return ControlFlow::Break(());
                }
                if let Err(error) = opening.take(batch, committed, position, bytes) {
                    fault = Some(error);
                    return ControlFlow::Break(());
                }
            }
            if go_on() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        match (fault, read) {
            (Some(fault), _) => Err(fault),
            (None, Err(error)) => Err(SourceFault::Log(error)),
            (None, Ok(())) => Ok(()),
        }
    }
}

/// Is shown an entry's frame's commit time, its position and its bytes.
pub type Show<'s> = &'s mut dyn FnMut(UtcNanos, Position, &[u8]) -> Result<(), SourceFault>;

/// Positions that are so far from the last frame's end are looked up anew rather than read up to.
const NEAR_ENTRIES: u64 = 20_000;

impl FactSource {
    /// The entries at these positions, which rise, as they are stored, with their frames' commit times; each frame is read
    /// once.
    ///
    /// # Errors
    /// [`SourceFault::Log`], [`SourceFault::BeyondGuard`].
    pub fn visit(&self, positions: &[Position], show: Show<'_>) -> Result<(), SourceFault> {
        let guarded = self.guarded();
        if let Some(cursor) = positions.last().copied().filter(|last| *last >= guarded) {
            return Err(SourceFault::BeyondGuard { cursor, guarded });
        }
        let mut wanted = positions.iter().copied().peekable();
        while let Some(from) = wanted.peek().copied() {
            let mut fault = None;
            let read = self.log.read(from, &mut |frame| {
                let committed = frame.header().fields.commit_time;
                let mut end = from;
                for (position, bytes) in frame.entries() {
                    end = Position(position.0.saturating_add(1));
                    if wanted.peek() == Some(&position) {
                        wanted.next();
                        if let Err(error) = show(committed, position, bytes) {
                            fault = Some(error);
                            return ControlFlow::Break(());
                        }
                    }
                }
                match wanted.peek() {
                    Some(next) if next.0.saturating_sub(end.0) <= NEAR_ENTRIES => ControlFlow::Continue(()),
                    Some(_) | None => ControlFlow::Break(()),
                }
            });
            match (fault, read) {
                (Some(fault), _) => return Err(fault),
                (None, Err(error)) => return Err(SourceFault::Log(error)),
                (None, Ok(())) => {}
            }
            if wanted.peek() == Some(&from) {
                return Err(SourceFault::BeyondGuard { cursor: from, guarded });
            }
        }
        Ok(())
    }

    /// Opens the entries at these positions, which rise, each into a batch of its own.
    ///
    /// # Errors
    /// [`SourceFault`].
    pub fn pick(
        &self,
        positions: &[Position],
        show: &mut dyn FnMut(&Batch) -> Result<(), SourceFault>,
    ) -> Result<(), SourceFault> {
        let mut opening = Opening { source: self, last: None, last_dictionary: None };
        self.visit(positions, &mut |committed, position, bytes| {
            let mut batch = Batch::after(Cursor { position, committed });
            opening.take(&mut batch, committed, position, bytes)?;
            show(&batch)
        })
    }
}

impl Opening<'_> {
    fn take(
        &mut self,
        batch: &mut Batch,
        committed: UtcNanos,
        position: Position,
        bytes: &[u8],
    ) -> Result<(), SourceFault> {
        let wrong = |error| SourceFault::Entry(position, error);
        let entry = Entry::read(bytes).map_err(wrong)?;
        let part = entry.parts.first().ok_or(EntryError::NoPart(0)).map_err(wrong)?;
        let ledger = self.source.ledger;
        let Some(key) = self.key(position, part.key_id)? else {
            batch.push(committed, &entry, None);
            return Ok(());
        };
        let secret = part_secret(&ledger, key.key(), &part.salt);
        let dictionary = self.dictionary(part.codec);
        let plain = open_part(&ledger, &entry, 0, &secret, dictionary).map_err(wrong)?;
        // A plaintext that is an array is the place of a blob; an event is a map.
        if plain.first().is_some_and(|first| first & 0xe0 == 0x80) {
            let plain = self.blob(position, &entry, &plain)?;
            batch.push(committed, &entry, plain.as_ref().map(|plain| plain.as_slice()));
        } else {
            batch.push(committed, &entry, Some(&plain));
        }
        Ok(())
    }

    /// The key of that id; none where it was destroyed.
    fn key(&mut self, position: Position, id: KeyId) -> Result<Option<&KeyHandle>, SourceFault> {
        if self.last.as_ref().is_none_or(|(last, _)| *last != id) {
            let key = match self.source.keyring.open_key(id).map_err(SourceFault::Keys)? {
                Found::Key(key) => Some(key),
                Found::Destroyed(_) => None,
                Found::Unknown => return Err(SourceFault::KeyUnknown(position, id)),
            };
            self.last = Some((id, key));
        }
        Ok(self.last.as_ref().and_then(|(_, key)| key.as_ref()))
    }

    fn dictionary(&mut self, codec: Codec) -> Option<&Dictionary> {
        let Codec::Zstd(name) = codec else { return None };
        if self.last_dictionary.as_ref().is_none_or(|(last, _)| *last != name) {
            self.last_dictionary = Some((name, self.source.dictionaries.dictionary(&name)?));
        }
        self.last_dictionary.as_ref().map(|(_, dictionary)| dictionary)
    }

    /// The plaintext that a common part refers to, under the rules of `entry/open`.
    fn blob(
        &mut self,
        position: Position,
        entry: &Entry<'_>,
        plain: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, SourceFault> {
        let wrong = |error| SourceFault::Entry(position, error);
        let Inline::Blob(place) = read_common(plain).map_err(wrong)? else {
            return Err(wrong(EntryError::BlobReference));
        };
        let hash = entry.header.blobs.get(place).copied().ok_or(wrong(EntryError::BlobReference))?;
        let bytes = self.source.objects.get(&Hash(hash)).map_err(SourceFault::Object)?;
        let bytes = bytes.ok_or(SourceFault::BlobMissing(position, Hash(hash)))?;
        let owner = entry.parts.first().map(|part| (Role::Common, part.key_id));
        let (role, id) = blob_owner(&bytes).map_err(wrong)?;
        if Some((role, id)) != owner {
            return Err(wrong(EntryError::BlobReference));
        }
        let ledger = self.source.ledger;
        let Some(key) = self.key(position, id)? else { return Ok(None) };
        let secret = blob_secret(&ledger, key.key(), &bytes).map_err(wrong)?;
        let dictionary = self.dictionary(blob_codec(&bytes).map_err(wrong)?);
        open_blob(&ledger, &hash, &bytes, &secret, dictionary).map(Some).map_err(wrong)
    }
}
