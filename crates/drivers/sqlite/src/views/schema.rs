//! Connections, the catalogue, and the tables of a view: `"NAME.VERSION.BUILD.TABLE"`, for people to look into.
//!
//! A view's tables are without row ids: one tree by the key instead of two. Strict, so that a cell of another kind is an error.
//! An index lies in tables of its own where it can (`orders`): `"NAME.VERSION.BUILD.TABLE.INDEX"` and, behind that name,
//! `.waiting`. Beside a table whose rows may wait (`ranges`) are `+ranges`, `+waiting` and `+marks`.
//! Not here: reading and writing rows (`rows`).

use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use waag_domain::project::{Column, Kind, Table};
use waag_views::contract::ViewKey;
use waag_views::error::ViewsError;

use super::ViewsConfig;
use super::orders::is_kept;
use super::{leaves, ranges};

/// `WAGV` in ASCII, in the file's header.
const APPLICATION_ID: i32 = 0x5741_4756;
/// The version of the catalogue, and of how rows are kept. A file of another version is set aside by the node, which
/// builds its views again.
const USER_VERSION: i32 = 4;
/// How long a connection waits for another process's transaction: longer than the largest batch takes.
const BUSY_MS: u64 = 60_000;
/// Prepared statements kept by connection.
const STATEMENTS_MAX: usize = 256;
/// Rows that dropping deletes at a time, so that projecting goes on beside it.
const DROP_ROWS: usize = 20_000;

const CATALOGUE: &str = "CREATE TABLE view(name TEXT NOT NULL, version INTEGER NOT NULL, build INTEGER NOT NULL, \
    ledger BLOB NOT NULL, position INTEGER NOT NULL, committed INTEGER NOT NULL, serves INTEGER NOT NULL, \
    layout TEXT NOT NULL, PRIMARY KEY(name, version, build)) STRICT, WITHOUT ROWID";

/// What went wrong in SQLite, in the contract's words.
pub(super) fn failed(attempt: &'static str) -> impl Fn(rusqlite::Error) -> ViewsError {
    move |error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => ViewsError::Foreign(error.to_string()),
        _ => ViewsError::Failed { attempt, reason: error.to_string() },
    }
}

/// Makes the file where there is none, and takes it from everybody but its owner. SQLite gives the files beside it the mode
/// that this one has. A file that is there is not opened here: closing it would let go of SQLite's own locks in this process.
fn close_to_others(path: &Path) -> std::io::Result<()> {
    let owners = std::fs::Permissions::from_mode(0o600);
    match std::fs::OpenOptions::new().create_new(true).append(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    for beside in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(beside);
        match std::fs::set_permissions(Path::new(&name), owners.clone()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Opens a connection and sets it: to write where a page's size for a new file is given, else to read.
pub(super) fn connect(
    path: &Path,
    page_bytes: Option<u32>,
    cache_kib: u32,
    config: &ViewsConfig,
) -> Result<Connection, ViewsError> {
    let mode = if page_bytes.is_some() {
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
    } else {
        OpenFlags::SQLITE_OPEN_READ_ONLY
    };
    if page_bytes.is_some() {
        close_to_others(path).map_err(|error| ViewsError::Failed {
            attempt: "make the views' file",
            reason: error.to_string(),
        })?;
    }
    let open = || {
        let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(Duration::from_millis(BUSY_MS))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        // A statement keeps its plan; otherwise each new parameter could have it parsed and planned again.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "mmap_size", i64::try_from(config.mmap_bytes).unwrap_or(i64::MAX))?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
        if let Some(page_bytes) = page_bytes {
            connection.pragma_update(None, "page_size", page_bytes)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            connection.pragma_update(None, "secure_delete", true)?;
            // Folding is `fold`'s.
            connection.pragma_update(None, "wal_autocheckpoint", 0)?;
            let kept = i64::from(config.log_pages).saturating_mul(i64::from(config.page_bytes));
            connection.pragma_update(None, "journal_size_limit", kept)?;
        }
        Ok(connection)
    };
    open().map_err(failed("open the file"))
}

/// Makes the catalogue in a file that has nothing yet.
pub(super) fn initialise(connection: &mut Connection) -> Result<(), ViewsError> {
    let mut make = || {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let made: i32 = transaction.pragma_query_value(None, "application_id", |row| row.get(0))?;
        // Another process may have been first.
        if made != APPLICATION_ID {
            transaction.execute_batch(CATALOGUE)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", USER_VERSION)?;
        }
        transaction.commit()
    };
    make().map_err(failed("make the catalogue"))
}

/// Whether the file has nothing in it.
pub(super) fn is_blank(connection: &Connection) -> Result<bool, ViewsError> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)";
    let nothing: bool =
        connection.query_row(sql, (), |row| row.get(0)).map_err(failed("read the catalogue"))?;
    Ok(nothing && pragma(connection, "application_id")? == 0)
}

/// Refuses a file that is no store of views of this version.
pub(super) fn recognise(connection: &Connection) -> Result<(), ViewsError> {
    if pragma(connection, "application_id")? != APPLICATION_ID {
        return Err(ViewsError::Foreign("the file is not marked as one".to_owned()));
    }
    let version = pragma(connection, "user_version")?;
    if version != USER_VERSION {
        let reason = format!("its version is {version}, this program knows {USER_VERSION}");
        return Err(ViewsError::Foreign(reason));
    }
    Ok(())
}

fn pragma(connection: &Connection, name: &str) -> Result<i32, ViewsError> {
    connection.pragma_query_value(None, name, |row| row.get(0)).map_err(failed("read the file's header"))
}

/// What the names of a view's tables begin with.
pub(super) fn table_prefix(view: &ViewKey) -> String {
    format!("{view}.")
}

/// A table's name in SQL.
pub(super) fn quoted(view: &ViewKey, table: &Table) -> String {
    format!("\"{view}.{}\"", table.name)
}

/// An index's name in SQL.
pub(super) fn quoted_index(view: &ViewKey, table: &str, index: &str) -> String {
    format!("\"{view}.{table}.{index}\"")
}

/// Columns by their places, as a list in SQL.
pub(super) fn names(table: &Table, columns: impl IntoIterator<Item = usize>) -> String {
    let name = |at: usize| table.columns.get(at).map(|column| format!("\"{}\"", column.name));
    columns.into_iter().filter_map(name).collect::<Vec<_>>().join(", ")
}

/// Makes a view's tables and indexes.
pub(super) fn create_tables(
    connection: &Connection,
    view: &ViewKey,
    tables: &'static [Table],
) -> rusqlite::Result<()> {
    for table in tables {
        let column = |column: &Column| {
            let kind = match column.kind {
                Kind::Integer => "INTEGER",
                Kind::Text => "TEXT",
                Kind::Bytes => "BLOB",
            };
            let null = if column.nullable { "" } else { " NOT NULL" };
            format!("\"{}\" {kind}{null}", column.name)
        };
        let columns: Vec<String> = table.columns.iter().map(column).collect();
        connection.execute_batch(&format!(
            "CREATE TABLE {}({}, PRIMARY KEY({})) STRICT, WITHOUT ROWID",
            quoted(view, table),
            columns.join(", "),
            names(table, 0..table.key)
        ))?;
        if ranges::may_wait(table) {
            connection.execute_batch(&ranges::tables(view, table))?;
        }
        for index in table.indexes {
            let name = quoted_index(view, table.name, index.name);
            if is_kept(table, index) {
                connection.execute_batch(&leaves::tables(&name))?;
                continue;
            }
            let rest = (0..table.key).filter(|at| !index.columns.contains(at));
            let order = index.columns.iter().copied().chain(rest);
            let present = index.present.map(|at| format!(" WHERE {} IS NOT NULL", names(table, [at])));
            connection.execute_batch(&format!(
                "CREATE INDEX {name} ON {}({}){}",
                quoted(view, table),
                names(table, order),
                present.unwrap_or_default()
            ))?;
        }
    }
    Ok(())
}

/// Drops every table whose name begins so, row by row in pieces of their own: overwriting gigabytes in one transaction
/// would keep projections waiting for minutes.
pub(super) fn drop_tables(
    connection: &mut Connection,
    prefix: &str,
    after: &dyn Fn(&Connection) -> Result<(), ViewsError>,
) -> Result<(), ViewsError> {
    let attempt = failed("drop a view's tables");
    for (table, key) in tables_of(connection, prefix).map_err(&attempt)? {
        for index in indexes_of(connection, &table).map_err(&attempt)? {
            connection.execute_batch(&format!("DROP INDEX IF EXISTS \"{index}\"")).map_err(&attempt)?;
        }
        let delete = format!(
            "DELETE FROM \"{table}\" WHERE ({key}) IN (SELECT {key} FROM \"{table}\" LIMIT {DROP_ROWS})"
        );
        while connection.execute(&delete, ()).map_err(&attempt)? > 0 {
            after(connection)?;
        }
        connection.execute_batch(&format!("DROP TABLE IF EXISTS \"{table}\"")).map_err(&attempt)?;
    }
    after(connection)
}

/// Drops tables of views that are not in the catalogue: what a crash left of a view that was dropped.
pub(super) fn sweep(connection: &mut Connection) -> Result<(), ViewsError> {
    let orphans = || {
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE '%.%.%.%' \
                   AND NOT EXISTS (SELECT 1 FROM view AS v WHERE \
                   substr(sqlite_schema.name, 1, length(v.name || '.' || v.version || '.' || v.build || '.')) \
                   = v.name || '.' || v.version || '.' || v.build || '.')";
        let mut statement = connection.prepare(sql)?;
        let names = statement.query_map((), |row| row.get::<_, String>(0))?;
        names.collect::<rusqlite::Result<Vec<_>>>()
    };
    let orphans = orphans().map_err(failed("look for tables of dropped views"))?;
    let fold = |connection: &Connection| {
        let folded = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()));
        folded.map_err(failed("fold the log"))
    };
    orphans.iter().try_for_each(|name| drop_tables(connection, name, &fold))
}

/// The tables whose names begin so, each with its key's columns as a list in SQL.
fn tables_of(connection: &Connection, prefix: &str) -> rusqlite::Result<Vec<(String, String)>> {
    let sql = "SELECT t.name, group_concat('\"' || c.name || '\"', ', ') FROM sqlite_schema AS t, \
               pragma_table_info(t.name) AS c WHERE t.type = 'table' AND substr(t.name, 1, length(?1)) = ?1 \
               AND c.pk > 0 GROUP BY t.name";
    let mut statement = connection.prepare(sql)?;
    let found = statement.query_map((prefix,), |row| Ok((row.get(0)?, row.get(1)?)))?;
    found.collect()
}

fn indexes_of(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?1 AND sql IS NOT NULL";
    let mut statement = connection.prepare(sql)?;
    let found = statement.query_map((table,), |row| row.get(0))?;
    found.collect()
}
