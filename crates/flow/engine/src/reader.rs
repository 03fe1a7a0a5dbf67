//! Reading entries back: from a position to the event, as far as its keys are still there.
//!
//! Place: behind `read`, `prove`, and the comparison of retries. It needs the log, the keyring, the objects and the
//! dictionaries, and changes nothing.
//! Not here: who may see what (the edge).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use waag_entry::blob::{blob_owner, blob_secret};
use waag_entry::codec::Dictionary;
use waag_entry::error::EntryError;
use waag_entry::form::Entry;
use waag_entry::open::{Opened, Opener, open};
use waag_entry::part::{PartSecret, part_secret};
use waag_keys::error::KeysError;
use waag_keys::keyring::{Found, Keyring};
use waag_ledger::hash::{Hash, leaf_hash};
use waag_log::contract::{EventLog, ReadError};
use waag_log::objects::{ObjectError, Objects};
use waag_model::ids::{KeyId, LedgerId, Position};

use crate::effect::{Comparison, Verdict};
use crate::registry::Registry;

/// How many entries further on reading goes on rather than looking up anew.
const NEAR_ENTRIES: u64 = 8_192;

/// What reading one ledger's entries needs.
#[derive(Clone)]
pub struct Reader {
    /// The ledger.
    pub ledger: LedgerId,
    /// Its entries.
    pub log: Arc<dyn EventLog>,
    /// Who opens keys.
    pub keyring: Arc<Keyring>,
    /// Where blobs are.
    pub objects: Arc<dyn Objects>,
    /// Where dictionaries are.
    pub registry: Arc<Registry>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

/// Why an entry could not be read.
#[derive(Debug)]
pub enum ReadFault {
    /// There is no entry at that position.
    Beyond(Position),
    /// The log could not be read.
    Log(ReadError),
    /// The entry's bytes are not what they should be.
    Entry(EntryError),
    /// A key could not be opened.
    Keys(KeysError),
    /// The entry names a key that the state does not know and has not destroyed: the state is not this log's.
    KeyUnknown(KeyId),
    /// A blob could not be read.
    Object(ObjectError),
    /// A blob that the entry names is missing.
    BlobMissing(Hash),
}

impl ReadFault {
    /// The stable code of this fault.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Beyond(_) => "E0620",
            Self::Log(error) => error.code(),
            Self::Entry(error) => error.code(),
            Self::Keys(error) => error.code(),
            Self::KeyUnknown(_) => "E0621",
            Self::Object(error) => error.code(),
            Self::BlobMissing(_) => "E0622",
        }
    }
}

impl fmt::Display for ReadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beyond(position) => write!(f, "there is no entry at position {position}"),
            Self::Log(error) => error.fmt(f),
            Self::Entry(error) => error.fmt(f),
            Self::Keys(error) => error.fmt(f),
            Self::KeyUnknown(id) => {
                write!(f, "the key `{id}` is unknown: the state does not belong to this log")
            }
            Self::Object(error) => error.fmt(f),
            Self::BlobMissing(hash) => write!(f, "the blob `{hash}` is missing"),
        }
    }
}

impl std::error::Error for ReadFault {}

/// An entry read back.
pub struct ReadEntry {
    /// The opened parts.
    pub opened: Opened,
    /// How many parts are closed because their keys were destroyed.
    pub erased: usize,
}

impl Reader {
    /// One entry's bytes.
    ///
    /// # Errors
    /// [`ReadFault::Beyond`], [`ReadFault::Log`].
    pub fn bytes(&self, position: Position) -> Result<Vec<u8>, ReadFault> {
        if position >= self.log.tail().position {
            return Err(ReadFault::Beyond(position));
        }
        let mut found = None;
        self.log
            .read(position, &mut |frame| {
                found = frame.entries().find(|(at, _)| *at == position).map(|(_, bytes)| bytes.to_vec());
                ControlFlow::Break(())
            })
            .map_err(ReadFault::Log)?;
        found.ok_or(ReadFault::Beyond(position))
    }

    /// Opens every part of an entry whose key is still there.
    ///
    /// # Errors
    /// [`ReadFault`]; a destroyed key is none.
    pub fn open(&self, entry: &Entry<'_>) -> Result<ReadEntry, ReadFault> {
        self.open_some(entry, &|_| true)
    }

    /// Opens the parts that are wanted, by their index, and whose key is still there; the others stay closed.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_some(
        &self,
        entry: &Entry<'_>,
        wanted: &dyn Fn(usize) -> bool,
    ) -> Result<ReadEntry, ReadFault> {
        let opener =
            KeyringOpener { reader: self, wanted, fault: RefCell::new(None), erased: RefCell::new(0) };
        let opened = open(&self.ledger, entry, &opener);
        if let Some(fault) = opener.fault.into_inner() {
            return Err(fault);
        }
        Ok(ReadEntry { opened: opened.map_err(ReadFault::Entry)?, erased: opener.erased.into_inner() })
    }

    /// The secret of one part, to be disclosed; `None` where its key was destroyed.
    ///
    /// # Errors
    /// [`ReadFault`].
    pub fn part_secret(&self, entry: &Entry<'_>, index: usize) -> Result<Option<PartSecret>, ReadFault> {
        let part = entry.parts.get(index).ok_or(ReadFault::Entry(EntryError::NoPart(index)))?;
        match self.keyring.open_key(part.key_id).map_err(ReadFault::Keys)? {
            Found::Key(key) => Ok(Some(part_secret(&self.ledger, key.key(), &part.salt))),
            Found::Destroyed(_) => Ok(None),
            Found::Unknown => Err(ReadFault::KeyUnknown(part.key_id)),
        }
    }

    /// Compares retries with what was recorded first under their identity (`Event::is_same`); who sent them and when does
    /// not count.
    ///
    /// # Errors
    /// [`ReadFault`] where one of the two cannot be read.
    pub fn compare(&self, comparisons: &[Comparison]) -> Result<Vec<(usize, Verdict)>, ReadFault> {
        let firsts = self.bytes_of(comparisons.iter().map(|one| one.first).collect())?;
        let verdict = |one: &Comparison| {
            let first = firsts.get(&one.first).ok_or(ReadFault::Beyond(one.first))?;
            Ok((one.index, self.verdict(one, first)?))
        };
        comparisons.iter().map(verdict).collect()
    }

    /// Several entries' bytes; each frame that holds some of them is read once.
    fn bytes_of(&self, wanted: BTreeSet<Position>) -> Result<BTreeMap<Position, Vec<u8>>, ReadFault> {
        let mut found = BTreeMap::new();
        let mut rest = wanted;
        while let Some(next) = rest.first().copied() {
            let before = rest.len();
            self.log
                .read(next, &mut |frame| {
                    for (position, bytes) in frame.entries() {
                        if rest.remove(&position) {
                            found.insert(position, bytes.to_vec());
                        }
                    }
                    // Neighbours are often wanted together; a far one is looked up anew.
                    let end = frame.header().tree_size;
                    let near = rest.first().is_some_and(|next| next.0 < end.saturating_add(NEAR_ENTRIES));
                    if near { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                })
                .map_err(ReadFault::Log)?;
            if rest.len() == before {
                return Err(ReadFault::Beyond(next));
            }
        }
        Ok(found)
    }

    fn verdict(&self, comparison: &Comparison, first: &[u8]) -> Result<Verdict, ReadFault> {
        let (before, after) = (
            Entry::read(first).map_err(ReadFault::Entry)?,
            Entry::read(&comparison.entry).map_err(ReadFault::Entry)?,
        );
        if before.header.kind != after.header.kind {
            return Ok(Verdict::Other);
        }
        let opened = self.open(&before)?;
        if opened.erased > 0 {
            return Ok(Verdict::Erased);
        }
        let retried = self.open(&after)?;
        let event = |opened: &ReadEntry| -> Result<Option<_>, ReadFault> {
            let event = opened.opened.event().map_err(ReadFault::Entry)?;
            Ok(event.and_then(|event| event.into_event("").map(waag_model::event::Event::into_owned)))
        };
        let (was, is) = (event(&opened)?, event(&retried)?);
        let same = was.zip(is).is_some_and(|(was, is)| was.is_same(&is));
        Ok(if same { Verdict::Same(leaf_hash(first)) } else { Verdict::Other })
    }
}

struct KeyringOpener<'r> {
    reader: &'r Reader,
    wanted: &'r dyn Fn(usize) -> bool,
    fault: RefCell<Option<ReadFault>>,
    erased: RefCell<usize>,
}

impl KeyringOpener<'_> {
    fn keep<T>(&self, result: Result<Option<T>, ReadFault>) -> Option<T> {
        result.unwrap_or_else(|fault| {
            self.fault.borrow_mut().get_or_insert(fault);
            None
        })
    }
}

impl Opener for KeyringOpener<'_> {
    fn part_secret(&self, entry: &Entry<'_>, index: usize) -> Option<PartSecret> {
        if !(self.wanted)(index) {
            return None;
        }
        let secret = self.reader.part_secret(entry, index);
        if matches!(secret, Ok(None)) {
            *self.erased.borrow_mut() += 1;
        }
        self.keep(secret)
    }

    fn blob(&self, hash: &[u8; 32]) -> Option<(Vec<u8>, PartSecret)> {
        let name = Hash(*hash);
        let read = || {
            let bytes = self.reader.objects.get(&name).map_err(ReadFault::Object)?;
            let bytes = bytes.ok_or(ReadFault::BlobMissing(name))?;
            let (_, id) = blob_owner(&bytes).map_err(ReadFault::Entry)?;
            match self.reader.keyring.open_key(id).map_err(ReadFault::Keys)? {
                Found::Key(key) => {
                    let secret =
                        blob_secret(&self.reader.ledger, key.key(), &bytes).map_err(ReadFault::Entry)?;
                    Ok(Some((bytes, secret)))
                }
                Found::Destroyed(_) => Ok(None),
                Found::Unknown => Err(ReadFault::KeyUnknown(id)),
            }
        };
        self.keep(read())
    }

    fn dictionary(&self, name: &[u8; 8]) -> Option<Dictionary> {
        self.reader.registry.dictionary(name).cloned()
    }
}
