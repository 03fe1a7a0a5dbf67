//! `SqliteState`: a commit is one SQLite transaction, synced before it returns.
//!
//! Place: below the keyring and the cursors. One process writes (an advisory lock on the file `lock` beside the
//! database); any process may read beside it.
//! Not here: the tables (`schema`), checking all of them (`check`).
//!
//! Crash: SQLite's write-ahead log holds a commit wholly or not at all; at opening to write, the log is folded into the
//! file and cut to nothing, which also finishes a destruction that a crash broke off before its `forget`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior};
use waag_keys::state::{
    Change, Check, Extent, Generation, Head, Place, Record, SCAN_BYTES_MAX, SCAN_RECORDS_MAX, SetDigest,
    State, StateError, Sum, Table, check_expectation, check_key, check_limits,
};
use waag_stdx::files::{DiskFiles, Files, Lock, Open};

use crate::check;
use crate::schema::{connect, damaged, failed, initialise, is_blank, recognise};

/// The database's name in its folder; SQLite adds `-wal` and `-shm`.
pub const STATE_FILE: &str = "state.db";
/// The lock file's name in the same folder.
pub const LOCK_FILE: &str = "lock";

/// A state in a folder of its own.
#[derive(Debug)]
pub struct SqliteState {
    // Fields drop in the order they stand: the writer is the last to close, so that SQLite folds the log into the file,
    // and it does so before the lock is let go.
    reader: Mutex<Connection>,
    folding: Option<Mutex<Connection>>,
    writer: Option<Mutex<Connection>>,
    _lock: Option<Box<dyn Lock>>,
    path: PathBuf,
    poisoned: AtomicBool,
}

impl SqliteState {
    /// Makes a state in `folder` (0700, its files 0600), or opens the one that is there, to write.
    ///
    /// # Errors
    /// As [`SqliteState::open`], but for [`StateError::Missing`].
    pub fn create(folder: &Path) -> Result<Self, StateError> {
        let files = DiskFiles::new(folder);
        match files.open(STATE_FILE, Open::Create) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(StateError::Environment("make the state's file", error.to_string()))
            }
            Ok(_) | Err(_) => Self::open_writer(folder, true),
        }
    }

    /// Opens a state to write.
    ///
    /// # Errors
    /// [`StateError::Missing`], [`StateError::InUse`], [`StateError::Foreign`], [`StateError::Damaged`].
    pub fn open(folder: &Path) -> Result<Self, StateError> {
        Self::open_writer(folder, false)
    }

    /// Opens a state to read, also beside a process that writes it. SQLite needs to write its index file `-shm` in the
    /// folder even so; the database and its log are not changed.
    ///
    /// # Errors
    /// [`StateError::Missing`], [`StateError::Foreign`], [`StateError::Damaged`].
    pub fn open_read_only(folder: &Path) -> Result<Self, StateError> {
        let path = existing(folder)?;
        let reader = connect(&path, false)?;
        recognise(&reader)?;
        Ok(Self {
            writer: None,
            folding: None,
            reader: Mutex::new(reader),
            _lock: None,
            path,
            poisoned: AtomicBool::new(false),
        })
    }

    fn open_writer(folder: &Path, may_initialise: bool) -> Result<Self, StateError> {
        let path = existing(folder)?;
        let lock = DiskFiles::new(folder).lock(LOCK_FILE).map_err(|error| {
            if error.kind() == io::ErrorKind::WouldBlock {
                StateError::InUse
            } else {
                StateError::Environment("lock the state", error.to_string())
            }
        })?;
        let mut writer = connect(&path, true)?;
        if may_initialise && is_blank(&writer)? {
            initialise(&mut writer)?;
        }
        recognise(&writer)?;
        head(&writer)?;
        // A reader in another process may hold the log; that must not keep the writer from starting.
        match truncate_log(&writer) {
            Ok(()) | Err(StateError::Held) => {}
            Err(error) => return Err(error),
        }
        // SQLite made its log's file by now, and goes on where syncing the folder fails: a power cut could then take the
        // file's name, and acknowledged keys with it.
        DiskFiles::new(folder)
            .sync_root()
            .map_err(|error| StateError::Environment("sync the state's folder", error.to_string()))?;
        let reader = connect(&path, false)?;
        let folding = connect(&path, true)?;
        Ok(Self {
            writer: Some(Mutex::new(writer)),
            folding: Some(Mutex::new(folding)),
            reader: Mutex::new(reader),
            _lock: Some(lock),
            path,
            poisoned: AtomicBool::new(false),
        })
    }

    /// The database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Folds what it can of the write-ahead log into the file, beside commits and without holding them up.
    ///
    /// For a background thread to call a few times a second: a commit that has to do it itself, once the log has
    /// reached 32 MiB, takes tens of milliseconds. Skipping it costs time, never safety.
    ///
    /// # Errors
    /// [`StateError::ReadOnly`], [`StateError::Poisoned`]; SQLite's.
    pub fn fold_log(&self) -> Result<(), StateError> {
        self.refuse_poisoned()?;
        let folding = self.folding.as_ref().ok_or(StateError::ReadOnly)?;
        let folding = folding.lock().unwrap_or_else(PoisonError::into_inner);
        folding
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()))
            .map_err(failed("fold the state's log"))
    }

    /// Has everything that is read through this handle be of one commit, from here until it is dropped; for a handle that
    /// was opened to read. Meanwhile [`State::forget`] of the writer is refused, so it must not be held for long.
    ///
    /// # Errors
    /// SQLite's.
    pub fn hold_snapshot(&self) -> Result<(), StateError> {
        let reader = self.reader()?;
        let hold = || {
            reader.execute_batch("BEGIN")?;
            reader.query_row("SELECT generation FROM head WHERE one = 1", (), |_| Ok(()))
        };
        hold().map_err(failed("hold a snapshot of the state"))
    }

    fn reader(&self) -> Result<MutexGuard<'_, Connection>, StateError> {
        self.refuse_poisoned()?;
        Ok(self.reader.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn writer(&self) -> Result<MutexGuard<'_, Connection>, StateError> {
        let writer = self.writer.as_ref().ok_or(StateError::ReadOnly)?;
        let guard = writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.refuse_poisoned()?;
        Ok(guard)
    }

    fn refuse_poisoned(&self) -> Result<(), StateError> {
        if self.poisoned.load(Ordering::Acquire) { Err(StateError::Poisoned) } else { Ok(()) }
    }
}

impl State for SqliteState {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Record>, StateError> {
        check_key(key)?;
        let reader = self.reader()?;
        let read = || {
            let mut statement = reader.prepare_cached(
                "SELECT r.key, coalesce(r.value, s.value), r.slot, r.sum FROM record r \
                 LEFT JOIN slot s ON s.id = r.slot WHERE r.tbl = ?1 AND r.key = ?2",
            )?;
            statement.query_row((table.code(), key), |row| Ok(stored(table.code(), row))).optional()
        };
        read().map_err(failed("read a record"))?.transpose()
    }

    fn scan(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<Record>, StateError> {
        let reader = self.reader()?;
        let limit = limit.min(SCAN_RECORDS_MAX);
        let read = || {
            // No key is empty, so that every key comes after the empty one.
            let mut statement = reader.prepare_cached(
                "SELECT r.key, coalesce(r.value, s.value), r.slot, r.sum FROM record r \
                 LEFT JOIN slot s ON s.id = r.slot WHERE r.tbl = ?1 AND r.key > ?2 ORDER BY r.key",
            )?;
            let mut rows = statement.query((table.code(), after.unwrap_or_default()))?;
            let (mut found, mut bytes) = (Vec::new(), 0);
            while found.len() < limit && bytes < SCAN_BYTES_MAX {
                let Some(row) = rows.next()? else { break };
                let record = stored(table.code(), row);
                bytes += record.as_ref().map_or(0, |record| record.key.len() + record.value.len());
                let is_sound = record.is_ok();
                found.push(record);
                if !is_sound {
                    break;
                }
            }
            Ok(found)
        };
        read().map_err(failed("scan records"))?.into_iter().collect()
    }

    fn commit(&self, changes: &[Change<'_>]) -> Result<Generation, StateError> {
        let mut writer = self.writer()?;
        check_limits(changes)?;
        let done = commit(&mut writer, changes);
        match done {
            Ok(_) | Err(StateError::Conflict(_)) => {}
            Err(_) => self.poisoned.store(true, Ordering::Release),
        }
        done
    }

    fn check(&self, extent: Extent) -> Result<Check, StateError> {
        let reader = self.reader()?;
        match extent {
            Extent::Head => check::head_only(&reader),
            Extent::All => check::all(&reader),
        }
    }

    fn forget(&self) -> Result<(), StateError> {
        truncate_log(&*self.writer()?)
    }
}

fn existing(folder: &Path) -> Result<PathBuf, StateError> {
    let path = folder.join(STATE_FILE);
    match path.try_exists() {
        Ok(true) => Ok(path),
        Ok(false) => Err(StateError::Missing),
        Err(error) => Err(StateError::Environment("find the state", error.to_string())),
    }
}

/// Folds the log into the file, syncs it, and cuts the log to nothing.
fn truncate_log(writer: &Connection) -> Result<(), StateError> {
    let is_busy: i64 = writer
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0))
        .map_err(failed("truncate the state's log"))?;
    if is_busy == 0 { Ok(()) } else { Err(StateError::Held) }
}

/// The head as stored, whatever its checksum says, and whether that matches.
pub(crate) fn stored_head(connection: &Connection) -> Result<(Head, bool), StateError> {
    let read = |row: &Row<'_>| {
        let head = Head {
            generation: Generation(unsigned(row.get(0)?)),
            count: unsigned(row.get(1)?),
            digest: SetDigest(row.get(2)?),
        };
        Ok((head, Sum(row.get(3)?)))
    };
    let (head, sum) = connection
        .prepare_cached("SELECT generation, count, digest, sum FROM head WHERE one = 1")
        .and_then(|mut statement| statement.query_row((), read))
        .map_err(|error| match error.sqlite_error_code() {
            Some(_) => failed("read the head")(error),
            None => damaged(Place::Head, error.to_string()),
        })?;
    Ok((head, head.sum() == sum))
}

fn head(connection: &Connection) -> Result<Head, StateError> {
    match stored_head(connection)? {
        (head, true) => Ok(head),
        (_, false) => Err(damaged(Place::Head, "the checksum does not match".to_owned())),
    }
}

/// SQLite's integers are signed; the bits are kept.
fn unsigned(stored: i64) -> u64 {
    u64::from_ne_bytes(stored.to_ne_bytes())
}

fn signed(number: u64) -> i64 {
    i64::from_ne_bytes(number.to_ne_bytes())
}

/// A record from a row of (key, value, slot, sum), verified.
fn stored(table: u8, row: &Row<'_>) -> Result<Record, StateError> {
    let key: Vec<u8> = row.get(0).map_err(failed("read a record's key"))?;
    let read = || {
        let value: Option<Vec<u8>> = row.get(1)?;
        let slot: Option<i64> = row.get(2)?;
        let sum: [u8; 32] = row.get(3)?;
        Ok::<_, rusqlite::Error>((value, slot, Sum(sum)))
    };
    let place = || Place::Record { table, key: key.clone() };
    let (value, slot, sum) = read().map_err(|error| damaged(place(), error.to_string()))?;
    let value = match (value, slot) {
        (Some(value), None) => Some(value),
        (Some(value), Some(_)) => value.strip_prefix(&[LIVE]).map(<[u8]>::to_vec),
        (None, _) => None,
    };
    match value {
        Some(value) if Sum::of(table, &key, &value) == sum => Ok(Record { key, value, sum }),
        Some(_) => Err(damaged(place(), "the checksum does not match".to_owned())),
        None => Err(damaged(place(), "its value is not in its slot".to_owned())),
    }
}

/// What a slot in use begins with; one that was destroyed is all zeros.
pub(crate) const LIVE: u8 = 1;

fn commit(writer: &mut Connection, changes: &[Change<'_>]) -> Result<Generation, StateError> {
    let transaction =
        writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed("begin a commit"))?;
    let mut head = head(&transaction)?;
    for change in changes {
        head = apply(&transaction, head, change)?;
    }
    head.generation.0 = head.generation.0.saturating_add(1);
    let write = || {
        transaction
            .prepare_cached(
                "UPDATE head SET generation = ?1, count = ?2, digest = ?3, sum = ?4 WHERE one = 1",
            )?
            .execute((signed(head.generation.0), signed(head.count), head.digest.0, head.sum().0))
    };
    write().map_err(failed("write the head"))?;
    // The point of no return: durable once this returns, unknown where it fails.
    transaction.commit().map_err(failed("commit"))?;
    Ok(head.generation)
}

/// One change within the transaction; any error leaves it to be rolled back.
fn apply(connection: &Connection, head: Head, change: &Change<'_>) -> Result<Head, StateError> {
    let table = change.table.code();
    let find = || {
        connection
            .prepare_cached("SELECT sum, slot FROM record WHERE tbl = ?1 AND key = ?2")?
            .query_row((table, change.key), |row| Ok((Sum(row.get(0)?), row.get::<_, Option<i64>>(1)?)))
            .optional()
    };
    let found = find().map_err(failed("read a record"))?;
    let old = found.map(|(sum, _)| sum);
    check_expectation(change, old)?;
    let old_slot = found.and_then(|(_, slot)| slot);
    let new = change.value.map(|value| Sum::of(table, change.key, value));
    let write = || match change.value.zip(new) {
        Some((value, sum)) => put(connection, change, value, sum, old_slot),
        None => {
            destroy_slot(connection, old_slot)?;
            connection
                .prepare_cached("DELETE FROM record WHERE tbl = ?1 AND key = ?2")?
                .execute((table, change.key))
                .map(drop)
        }
    };
    write().map_err(failed("write a record"))?;
    Ok(head.after(old, new))
}

fn put(
    connection: &Connection,
    change: &Change<'_>,
    value: &[u8],
    sum: Sum,
    old_slot: Option<i64>,
) -> rusqlite::Result<()> {
    let table = change.table.code();
    let mut upsert = connection.prepare_cached(
        "INSERT INTO record(tbl, key, slot, value, sum) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT DO UPDATE SET slot = ?3, value = ?4, sum = ?5",
    )?;
    if !change.table.holds_secrets() {
        return upsert.execute((table, change.key, None::<i64>, value, sum.0)).map(drop);
    }
    let mut live = Vec::with_capacity(value.len() + 1);
    live.push(LIVE);
    live.extend_from_slice(value);
    // In place where the length is the same: then no cell moves. Otherwise appended, and the old one overwritten.
    let in_place = connection
        .prepare_cached("UPDATE slot SET value = ?2 WHERE id = ?1 AND length(value) = length(?2)")?
        .execute((old_slot, &live))?;
    let slot = if in_place == 1 {
        old_slot
    } else {
        destroy_slot(connection, old_slot)?;
        connection.prepare_cached("INSERT INTO slot(value) VALUES (?1)")?.execute((&live,))?;
        Some(connection.last_insert_rowid())
    };
    upsert.execute((table, change.key, slot, None::<&[u8]>, sum.0)).map(drop)
}

/// Overwrites a slot with zeros, in place.
fn destroy_slot(connection: &Connection, slot: Option<i64>) -> rusqlite::Result<()> {
    let Some(slot) = slot else { return Ok(()) };
    connection
        .prepare_cached("UPDATE slot SET value = zeroblob(length(value)) WHERE id = ?1")?
        .execute((slot,))
        .map(drop)
}

#[cfg(test)]
mod tests {
    use waag_keys::state::Expect;

    use super::*;

    #[test]
    fn a_full_disk_fails_the_commit_poisons_the_handle_and_loses_nothing_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let state = SqliteState::create(folder.path()).unwrap();
        // SQLite refuses with SQLITE_FULL once the file has this many pages.
        state.writer().unwrap().pragma_update(None, "max_page_count", 40).unwrap();
        let mut acknowledged = 0_u32;
        let error = loop {
            let key = acknowledged.to_be_bytes();
            let changes = [Table::DataKey, Table::Cursor].map(|table| Change {
                table,
                key: &key,
                expect: Expect::Absent,
                value: Some(&[7; 500]),
            });
            match state.commit(&changes) {
                Ok(_) => acknowledged += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(&error, StateError::Environment(_, text) if text.contains("full")), "{error}");
        assert!(acknowledged > 20);
        assert_eq!(state.commit(&[]), Err(StateError::Poisoned));
        assert_eq!(state.get(Table::Cursor, b"x"), Err(StateError::Poisoned));
        assert_eq!(state.check(Extent::All), Err(StateError::Poisoned));
        drop(state);
        let state = SqliteState::open(folder.path()).unwrap();
        let check = state.check(Extent::All).unwrap();
        assert!(check.is_clean(), "{:?}", check.faults);
        assert_eq!(check.head.generation, Generation(u64::from(acknowledged)));
        assert_eq!(check.head.count, u64::from(acknowledged) * 2);
        state.commit(&[]).unwrap();
    }

    #[test]
    fn a_file_of_another_version_or_kind_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(SqliteState::open(folder.path()).unwrap_err(), StateError::Missing);
        for (pragma, value) in [("user_version", 2), ("user_version", 0), ("application_id", 0)] {
            let at = folder.path().join(format!("{pragma}{value}"));
            let state = SqliteState::create(&at).unwrap();
            state.writer().unwrap().pragma_update(None, pragma, value).unwrap();
            drop(state);
            for opened in [SqliteState::open(&at), SqliteState::create(&at), SqliteState::open_read_only(&at)]
            {
                assert!(matches!(opened, Err(StateError::Foreign(_))), "{pragma} {value}");
            }
        }
        let at = folder.path().join("extra");
        let state = SqliteState::create(&at).unwrap();
        state.writer().unwrap().execute_batch("CREATE INDEX more ON record(sum)").unwrap();
        drop(state);
        assert!(matches!(SqliteState::open(&at), Err(StateError::Foreign(_))));
        let at = folder.path().join("text");
        std::fs::create_dir(&at).unwrap();
        std::fs::write(at.join(STATE_FILE), "no database at all, but long enough to have a header".repeat(9))
            .unwrap();
        assert!(matches!(SqliteState::open_read_only(&at), Err(StateError::Foreign(_))));
    }
}
