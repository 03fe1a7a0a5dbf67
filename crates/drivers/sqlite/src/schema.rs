//! The tables of the file, its identity and how connections are set; a file that is not exactly this is refused.
//!
//! Values of tables that hold secrets are not in `record` but in `slot`, and this is why. SQLite's `secure_delete`
//! overwrites what is deleted, but when a page splits or joins, cells move, and the copies they leave in the unused
//! middle of a page stay (`rebuildPage` in `btree.c`). Rows of `slot` never move: they are only appended at the end of
//! the table (SQLite's `balance_quick` leaves full pages alone), and to destroy one is to overwrite it in place with as
//! many zeros; no row of it is ever deleted. `record` keeps the key and the checksum, neither of which is secret.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, ffi};
use waag_keys::state::{Fault, Head, Place, StateError};

/// `WAAG` in ASCII, in the file's header.
pub(crate) const APPLICATION_ID: i32 = 0x5741_4147;
/// The version of the tables below.
pub(crate) const USER_VERSION: i32 = 1;
/// How long a connection waits for another's lock, in milliseconds.
const BUSY_MS: u64 = 2_000;
/// SQLite's page cache of each of the two busy connections, in KiB; it fills only as the state grows.
const PAGE_CACHE_KIB: i32 = 16_384;
/// A commit that finds the log this long folds it into the file itself, in pages of 4 KiB.
const LOG_PAGES_MAX: i32 = 8_192;

/// The tables by name, sorted, as SQLite stores their text.
const TABLES: [(&str, &str); 3] = [
    (
        "head",
        "CREATE TABLE head(one INTEGER PRIMARY KEY, generation INTEGER NOT NULL, count INTEGER NOT NULL, \
         digest BLOB NOT NULL, sum BLOB NOT NULL) STRICT",
    ),
    (
        "record",
        "CREATE TABLE record(tbl INTEGER NOT NULL, key BLOB NOT NULL, slot INTEGER, value BLOB, \
         sum BLOB NOT NULL, PRIMARY KEY(tbl, key)) STRICT, WITHOUT ROWID",
    ),
    ("slot", "CREATE TABLE slot(id INTEGER PRIMARY KEY, value BLOB NOT NULL) STRICT"),
];

/// What went wrong in SQLite, in the contract's words.
pub(crate) fn failed(attempt: &'static str) -> impl Fn(rusqlite::Error) -> StateError {
    move |error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseCorrupt) => damaged(Place::Store, error.to_string()),
        Some(rusqlite::ErrorCode::NotADatabase) => StateError::Foreign(error.to_string()),
        _ => StateError::Environment(attempt, told(&error)),
    }
}

/// What SQLite says, and what is behind it where its words do not say so: reading makes a small file beside the state, which
/// fails as an "I/O error" where the disk is full.
fn told(error: &rusqlite::Error) -> String {
    let lacks_room = error.sqlite_error().is_some_and(|known| {
        matches!(
            known.extended_code,
            ffi::SQLITE_FULL
                | ffi::SQLITE_IOERR_WRITE
                | ffi::SQLITE_IOERR_SHMOPEN
                | ffi::SQLITE_IOERR_SHMSIZE
                | ffi::SQLITE_IOERR_SHMMAP
        )
    });
    match (lacks_room, error.sqlite_error_code()) {
        (true, _) => {
            format!("{error}; the disk that holds the state may be full, and reading needs room there, too")
        }
        (false, Some(rusqlite::ErrorCode::CannotOpen)) => {
            format!("{error}; the state's folder may not be writable, or its disk may be full")
        }
        (false, _) => error.to_string(),
    }
}

/// A fault as an error.
pub(crate) fn damaged(place: Place, reason: String) -> StateError {
    StateError::Damaged(Fault { place, reason })
}

/// Opens a connection and sets it; the file must exist.
pub(crate) fn connect(path: &Path, is_writer: bool) -> Result<Connection, StateError> {
    let mode = if is_writer { OpenFlags::SQLITE_OPEN_READ_WRITE } else { OpenFlags::SQLITE_OPEN_READ_ONLY };
    let open = || {
        let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(Duration::from_millis(BUSY_MS))?;
        connection.set_prepared_statement_cache_capacity(32);
        // A statement keeps its plan; otherwise each new parameter could have it parsed and planned again.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update(None, "mmap_size", 0)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "cache_size", -PAGE_CACHE_KIB)?;
        if is_writer {
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "secure_delete", true)?;
            connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES_MAX)?;
        }
        Ok(connection)
    };
    let connection = open().map_err(failed("open the state"))?;
    // Where the file cannot be opened to write, SQLite opens it to read and says nothing.
    if is_writer && connection.is_readonly("main").map_err(failed("open the state"))? {
        return Err(StateError::Environment("open the state to write", "it can only be read".to_owned()));
    }
    Ok(connection)
}

/// Makes the tables in a file that has nothing at all yet, in one transaction.
pub(crate) fn initialise(connection: &mut Connection) -> Result<(), StateError> {
    let mut initialise = || {
        let transaction = connection.transaction()?;
        for (_, sql) in TABLES {
            transaction.execute_batch(sql)?;
        }
        let head = Head::default();
        transaction.execute(
            "INSERT INTO head(one, generation, count, digest, sum) VALUES (1, 0, 0, ?1, ?2)",
            (head.digest.0, head.sum().0),
        )?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", USER_VERSION)?;
        transaction.commit()
    };
    initialise().map_err(failed("make the state's tables"))
}

/// Whether the file is empty but for SQLite's own header.
pub(crate) fn is_blank(connection: &Connection) -> Result<bool, StateError> {
    let ids = pragma(connection, "application_id")? == 0 && pragma(connection, "user_version")? == 0;
    Ok(ids && tables(connection)?.is_empty())
}

/// Refuses a file that is not exactly this version of a state.
pub(crate) fn recognise(connection: &Connection) -> Result<(), StateError> {
    if pragma(connection, "application_id")? != APPLICATION_ID {
        return Err(StateError::Foreign("the file is not marked as a state".to_owned()));
    }
    let version = pragma(connection, "user_version")?;
    if version != USER_VERSION {
        return Err(StateError::Foreign(format!(
            "its version is {version}, this program knows {USER_VERSION}"
        )));
    }
    let found = tables(connection)?;
    let is_exact = found.len() == TABLES.len()
        && found.iter().zip(TABLES).all(|((name, sql), table)| (name.as_str(), sql.as_str()) == table);
    if is_exact { Ok(()) } else { Err(StateError::Foreign("its tables are not those of a state".to_owned())) }
}

fn pragma(connection: &Connection, name: &str) -> Result<i32, StateError> {
    connection.pragma_query_value(None, name, |row| row.get(0)).map_err(failed("read the state's header"))
}

fn tables(connection: &Connection) -> Result<Vec<(String, String)>, StateError> {
    let read = || {
        let mut statement =
            connection.prepare("SELECT name, coalesce(sql, '') FROM sqlite_schema ORDER BY name")?;
        let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    read().map_err(failed("read the state's tables"))
}
