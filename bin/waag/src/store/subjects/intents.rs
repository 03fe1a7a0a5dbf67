//! What the state remembers of erasures and sweeps, and what it says of backups.
//!
//! An intent is `[1, at (ns), id (16), tag (16) or null, actor, reason, [key ids], erased (ns) or null, position or null,
//! refusal's position or null]` under `erasing/<id>`; when all is done it stands under `erasure/<at>/<id>` instead, both in
//! [`Side::Upkeep`]. Without a tag it is a sweep of expired keys, of whomever.
//! Not here: what is done with it (`erasing`), making backups.

use waag_archive::upkeep::{BACKUP_PREFIX, BackupRecord};
use waag_entry::cbor::{Reader, write};
use waag_entry::error::EntryError;
use waag_keys::error::KeysError;
use waag_keys::keyring::Keyring;
use waag_keys::side::Side;
use waag_model::ids::{Actor, KeyId, Tag};
use waag_model::time::UtcNanos;

use crate::store::begun::{self, Id};

const VERSION: u64 = 1;
const PENDING: &str = "erasing/";
const DONE: &str = "erasure/";

/// What is to be destroyed, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Intent {
    pub(super) at: UtcNanos,
    pub(super) id: Id,
    pub(super) person: Option<Tag>,
    pub(super) by: String,
    pub(super) reason: String,
    pub(super) keys: Vec<KeyId>,
    pub(super) erased: Option<UtcNanos>,
    pub(super) position: Option<u64>,
    pub(super) refused: Option<u64>,
}

impl Intent {
    /// One that has destroyed nothing yet, under a random id.
    pub(super) fn new(
        at: UtcNanos,
        person: Option<Tag>,
        by: &Actor,
        reason: &str,
    ) -> Result<Self, KeysError> {
        let id = begun::new_id()?;
        let (by, reason) = (by.as_str().to_owned(), reason.trim().to_owned());
        Ok(Self { at, id, person, by, reason, keys: Vec::new(), erased: None, position: None, refused: None })
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write::array(&mut out, 10);
        write::uint(&mut out, VERSION);
        write::int(&mut out, self.at.0);
        write::bytes(&mut out, &self.id);
        match self.person {
            Some(tag) => write::bytes(&mut out, &tag.0),
            None => write::null(&mut out),
        }
        write::text(&mut out, &self.by);
        write::text(&mut out, &self.reason);
        write::array(&mut out, self.keys.len());
        self.keys.iter().for_each(|key| write::bytes(&mut out, &key.0));
        match self.erased {
            Some(time) => write::int(&mut out, time.0),
            None => write::null(&mut out),
        }
        for position in [self.position, self.refused] {
            match position {
                Some(position) => write::uint(&mut out, position),
                None => write::null(&mut out),
            }
        }
        out
    }

    fn decode(value: &[u8]) -> Result<Self, KeysError> {
        let read = || -> Result<Self, EntryError> {
            let mut reader = Reader::new(value);
            reader.array_of(10, "an erasure")?;
            if reader.uint("the version")? != VERSION {
                return Err(EntryError::Form { offset: reader.offset(), expected: "version 1" });
            }
            let at = UtcNanos(reader.int("a time")?);
            let id = reader.fixed("an id")?;
            let person = if reader.null() { None } else { Some(Tag(reader.fixed("a person's tag")?)) };
            let (by, reason) = (reader.text("an actor")?.to_owned(), reader.text("a reason")?.to_owned());
            let keys = reader.array("keys")?;
            let keys = (0..keys).map(|_| reader.fixed("a key's id").map(KeyId)).collect::<Result<_, _>>()?;
            let erased = if reader.null() { None } else { Some(UtcNanos(reader.int("a time")?)) };
            let mut position = || if reader.null() { Ok(None) } else { reader.uint("a position").map(Some) };
            let (position, refused) = (position()?, position()?);
            reader.end()?;
            Ok(Self { at, id, person, by, reason, keys, erased, position, refused })
        };
        read().map_err(|_| KeysError::Unreadable("an erasure"))
    }

    /// What the key of one that is done begins with, before its id.
    fn done_prefix(&self) -> String {
        // Times before 1970 do not come from a clock that runs; order among them is of no account.
        format!("{DONE}{:016x}/", self.at.0.max(0))
    }

    /// Makes it durable as one under way.
    pub(super) fn keep(&self, keyring: &Keyring) -> Result<(), KeysError> {
        begun::keep(keyring, PENDING, &self.id, &self.encode())
    }

    /// From under way to done.
    pub(super) fn done(&self, keyring: &Keyring) -> Result<(), KeysError> {
        begun::keep(keyring, &self.done_prefix(), &self.id, &self.encode())?;
        begun::let_go(keyring, PENDING, &self.id)
    }
}

/// When the last backup that may hold a key destroyed at a time has expired: that time where there is none. None where a
/// backup's record cannot be read, so that nothing is promised.
///
/// Which backups may hold it is told by the ledger's order and by no clock: those that were announced before the erasure's
/// event; all there are while it is not recorded yet.
pub(super) fn complete_at(
    keyring: &Keyring,
    erased: UtcNanos,
    recorded: Option<u64>,
) -> Result<Option<UtcNanos>, KeysError> {
    let Some(backups) = records(keyring)? else { return Ok(None) };
    let before =
        |backup: &BackupRecord| backup.position.is_none() || recorded.is_none() || backup.position < recorded;
    let holding = backups.into_iter().filter(before);
    Ok(Some(holding.map(|backup| backup.expire).fold(erased, UtcNanos::max)))
}

/// When backups took the keys, and when these copies expire; none where one's record cannot be read.
///
/// # Errors
/// The state's.
pub fn backups(keyring: &Keyring) -> Result<Option<Vec<(UtcNanos, UtcNanos)>>, KeysError> {
    let times = |backup: BackupRecord| (backup.taken, backup.expire);
    Ok(records(keyring)?.map(|backups| backups.into_iter().map(times).collect()))
}

fn records(keyring: &Keyring) -> Result<Option<Vec<BackupRecord>>, KeysError> {
    let mut found = Some(Vec::new());
    keyring.each_side_record(Side::Upkeep, BACKUP_PREFIX, |record| {
        let read = BackupRecord::decode(&record.value);
        found = found.take().zip(read).map(|(mut all, one)| {
            all.push(one);
            all
        });
        Ok(())
    })?;
    Ok(found)
}

/// Those under way.
pub(super) fn pending(keyring: &Keyring) -> Result<Vec<Intent>, KeysError> {
    begun::under(keyring, PENDING, Intent::decode)
}

/// Those that were done, oldest first.
pub(super) fn done(keyring: &Keyring) -> Result<Vec<Intent>, KeysError> {
    begun::under(keyring, DONE, Intent::decode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_is_read_back_and_nothing_else_is() {
        let intent = Intent {
            at: UtcNanos(1_790_000_000_000_000_000),
            id: [7; 16],
            person: Some(Tag([9; 16])),
            by: "anna".to_owned(),
            reason: "request 1".to_owned(),
            keys: vec![KeyId([1; 16]), KeyId([2; 16])],
            erased: None,
            position: Some(41),
            refused: None,
        };
        let bytes = intent.encode();
        assert_eq!(Intent::decode(&bytes), Ok(intent.clone()));
        for at in 0..bytes.len() {
            assert!(Intent::decode(&bytes[..at]).is_err(), "{at}");
        }
        let sweep = Intent { person: None, erased: Some(UtcNanos(5)), refused: Some(1), ..intent.clone() };
        assert_eq!(Intent::decode(&sweep.encode()), Ok(sweep));
        assert!(Intent { at: UtcNanos(5), ..intent.clone() }.done_prefix() < intent.done_prefix());
    }
}
