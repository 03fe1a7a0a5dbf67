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
use waag_keys::state::{Expect, SCAN_RECORDS_MAX};
use waag_model::ids::{Actor, KeyId, Tag};
use waag_model::time::UtcNanos;
use waag_stdx::entropy::{Entropy, SystemEntropy};

const VERSION: u64 = 1;
const PENDING: &str = "erasing/";
const DONE: &str = "erasure/";

/// What is to be destroyed, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Intent {
    pub(super) at: UtcNanos,
    pub(super) id: [u8; 16],
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
        let mut id = [0; 16];
        SystemEntropy::new().fill(&mut id)?;
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

    fn pending_key(&self) -> String {
        format!("{PENDING}{}", hex::encode(self.id))
    }

    fn done_key(&self) -> String {
        // Times before 1970 do not come from a clock that runs; order among them is of no account.
        format!("{DONE}{:016x}/{}", self.at.0.max(0), hex::encode(self.id))
    }

    /// Makes it durable as one under way.
    pub(super) fn keep(&self, keyring: &Keyring) -> Result<(), KeysError> {
        let (key, value) = (self.pending_key(), self.encode());
        keyring.keep_side_record(Side::Upkeep, key.as_bytes(), Expect::Any, Some(&value))
    }

    /// From under way to done.
    pub(super) fn done(&self, keyring: &Keyring) -> Result<(), KeysError> {
        let keep = |key: String, value: Option<&[u8]>| {
            keyring.keep_side_record(Side::Upkeep, key.as_bytes(), Expect::Any, value)
        };
        keep(self.done_key(), Some(&self.encode()))?;
        keep(self.pending_key(), None)
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
    let (mut found, mut after) = (Vec::new(), BACKUP_PREFIX.to_vec());
    loop {
        let records = keyring.side_records(Side::Upkeep, Some(&after), SCAN_RECORDS_MAX)?;
        let ours = records.iter().take_while(|record| record.key.starts_with(BACKUP_PREFIX));
        let Some(read) = ours.map(|record| BackupRecord::decode(&record.value)).collect::<Option<Vec<_>>>()
        else {
            return Ok(None);
        };
        let is_end = read.len() < records.len();
        found.extend(read);
        match records.last() {
            Some(last) if !is_end => after.clone_from(&last.key),
            Some(_) | None => return Ok(Some(found)),
        }
    }
}

/// Those under way.
pub(super) fn pending(keyring: &Keyring) -> Result<Vec<Intent>, KeysError> {
    under(keyring, PENDING)
}

/// Those that were done, oldest first.
pub(super) fn done(keyring: &Keyring) -> Result<Vec<Intent>, KeysError> {
    under(keyring, DONE)
}

/// Records under a prefix.
fn under(keyring: &Keyring, prefix: &str) -> Result<Vec<Intent>, KeysError> {
    let (mut found, mut after) = (Vec::new(), prefix.as_bytes().to_vec());
    loop {
        let records = keyring.side_records(Side::Upkeep, Some(&after), SCAN_RECORDS_MAX)?;
        for record in &records {
            if !record.key.starts_with(prefix.as_bytes()) {
                return Ok(found);
            }
            found.push(Intent::decode(&record.value)?);
        }
        let Some(last) = records.last() else { return Ok(found) };
        after.clone_from(&last.key);
    }
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
        assert!(Intent { at: UtcNanos(5), ..intent.clone() }.done_key() < intent.done_key());
    }
}
