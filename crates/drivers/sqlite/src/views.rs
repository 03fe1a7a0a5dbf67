//! Views on SQLite: one file, one writing connection, a small pool of reading ones.
//!
//! Place: the embedded driver of `waag_views::contract::Views`; named by the binary and by tests alone.
//! Write-ahead log with `synchronous = NORMAL`: a power failure may take the newest transactions, never a part of one
//! (`VIEWS-4`); the ledger gives them back. `secure_delete` is on.
//! Not here: rows (`rows`), tables and connections (`schema`), the pool (`pool`), folding the log (`fold`).

mod comparable;
mod fold;
mod leaves;
mod orders;
mod pool;
mod ranges;
mod read_leaf;
mod rows;
mod run;
mod schema;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use waag_domain::project::{Reads, Row, RowsError, Scan, Table};
use waag_model::ids::{LedgerId, Position};
use waag_model::time::UtcNanos;
use waag_views::contract::{
    Change, Cursor, Definition, Snapshot, Standing, Turn, ViewKey, Views, Which, check_definition,
    check_move, layout,
};
use waag_views::error::ViewsError;

use self::fold::Fold;
use self::pool::{Pool, Pooled};
use self::read_leaf::Seen;
use self::rows::{Reading, Writing};
use self::schema::{
    create_tables, drop_tables, failed, initialise, is_blank, recognise, sweep, table_prefix,
};

/// How the file is used; every limit is for the whole store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewsConfig {
    /// SQLite's page cache of the writing connection, in KiB; it fills only as it is needed.
    pub writer_cache_kib: u32,
    /// The same of each reading connection.
    pub reader_cache_kib: u32,
    /// How much of the file is mapped into memory for reading, in bytes; 0 reads by calls.
    pub mmap_bytes: u64,
    /// A commit that leaves the write-ahead log this long, in pages, waits until all of it is folded into the file. The
    /// log's file keeps that length.
    pub log_pages: u32,
    /// A page, in bytes; of a new file only.
    pub page_bytes: u32,
    /// About how many rows of a large table that is visited at random wait together for their places.
    pub range_rows: usize,
    /// Most reading connections, which is most snapshots at a time; more wait.
    pub readers_max: usize,
}

impl Default for ViewsConfig {
    fn default() -> Self {
        Self {
            writer_cache_kib: 262_144,
            reader_cache_kib: 16_384,
            mmap_bytes: 0,
            log_pages: 131_072,
            page_bytes: 4_096,
            range_rows: 32_768,
            readers_max: 8,
        }
    }
}

/// A store of views in one file.
pub struct SqliteViews {
    // Fields drop in the order they stand: the writer closes last and folds the log into the file.
    pool: Arc<Pool>,
    fold: Fold,
    writer: Mutex<Connection>,
    path: PathBuf,
    range_rows: usize,
}

impl fmt::Debug for SqliteViews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteViews").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SqliteViews {
    /// Opens the store in this file, and makes it where there is none; its folder must be there.
    ///
    /// # Errors
    /// [`ViewsError::Foreign`] for a file that is something else; SQLite's.
    pub fn open(path: &Path, config: ViewsConfig) -> Result<Self, ViewsError> {
        let mut writer = schema::connect(path, Some(config.page_bytes), config.writer_cache_kib, &config)?;
        if is_blank(&writer)? {
            initialise(&mut writer)?;
        }
        recognise(&writer)?;
        sweep(&mut writer)?;
        let pool = Arc::new(Pool::new(path.to_owned(), config));
        let folding = schema::connect(path, Some(config.page_bytes), config.reader_cache_kib, &config)?;
        let fold = Fold::start(folding, config.log_pages)?;
        Ok(Self {
            pool,
            fold,
            writer: Mutex::new(writer),
            path: path.to_owned(),
            range_rows: config.range_rows,
        })
    }

    /// The database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the catalogue says of a view.
struct Entry {
    standing: Standing,
    layout: String,
}

const COLUMNS: &str = "name, version, build, ledger, position, committed, serves, layout";

fn entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<Entry> {
    let key = ViewKey { name: row.get(0)?, version: row.get(1)?, build: row.get(2)? };
    let position: i64 = row.get(4)?;
    let cursor =
        Cursor { position: Position(u64::try_from(position).unwrap_or(0)), committed: UtcNanos(row.get(5)?) };
    let standing = Standing { key, ledger: LedgerId(row.get(3)?), cursor, serves: row.get(6)? };
    Ok(Entry { standing, layout: row.get(7)? })
}

fn find(connection: &Connection, key: &ViewKey) -> Result<Option<Entry>, ViewsError> {
    let sql = format!("SELECT {COLUMNS} FROM view WHERE name = ?1 AND version = ?2 AND build = ?3");
    let read = || {
        let mut statement = connection.prepare_cached(&sql)?;
        statement.query_row((&key.name, key.version, key.build), entry).optional()
    };
    read().map_err(failed("read a cursor"))
}

fn stored(position: Position) -> i64 {
    i64::try_from(position.0).unwrap_or(i64::MAX)
}

fn move_cursor(connection: &Connection, view: &ViewKey, next: Cursor) -> Result<(), ViewsError> {
    let moved = || {
        let sql =
            "UPDATE view SET position = ?4, committed = ?5 WHERE name = ?1 AND version = ?2 AND build = ?3";
        connection.prepare_cached(sql)?.execute((
            &view.name,
            view.version,
            view.build,
            stored(next.position),
            next.committed.0,
        ))
    };
    moved().map(drop).map_err(failed("move a cursor"))
}

impl Views for SqliteViews {
    fn open(&self, definition: &Definition) -> Result<Standing, ViewsError> {
        let mut writer = self.writer();
        let behaviour = TransactionBehavior::Immediate;
        let transaction = writer.transaction_with_behavior(behaviour).map_err(failed("begin a change"))?;
        if let Some(found) = find(&transaction, &definition.key)? {
            check_definition(definition, found.standing.ledger, &found.layout)?;
            return Ok(found.standing);
        }
        let key = &definition.key;
        let make = || {
            create_tables(&transaction, key, definition.tables)?;
            transaction.execute(
                &format!(
                    "INSERT INTO view({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, \
                     NOT EXISTS (SELECT 1 FROM view WHERE name = ?1), ?7)"
                ),
                (
                    &key.name,
                    key.version,
                    key.build,
                    definition.ledger.0,
                    stored(Cursor::START.position),
                    Cursor::START.committed.0,
                    layout(definition.tables),
                ),
            )
        };
        make().map_err(failed("make a view"))?;
        let made = find(&transaction, key)?.ok_or_else(|| ViewsError::Unknown(key.to_string()))?;
        transaction.commit().map_err(failed("commit"))?;
        Ok(made.standing)
    }

    fn commit(
        &self,
        view: &ViewKey,
        expected: Cursor,
        next: Cursor,
        change: &mut Change<'_>,
    ) -> Result<(), ViewsError> {
        let mut writer = self.writer();
        let behaviour = TransactionBehavior::Immediate;
        let transaction = writer.transaction_with_behavior(behaviour).map_err(failed("begin a change"))?;
        let found = find(&transaction, view)?.ok_or_else(|| ViewsError::Unknown(view.to_string()))?;
        check_move(view, found.standing.cursor, expected, next)?;
        let mut writing = Writing::new(&transaction, view, self.range_rows);
        change(&mut writing)?;
        writing.finish()?;
        move_cursor(&transaction, view, next)?;
        transaction.commit().map_err(failed("commit"))?;
        self.fold.after_commit(&writer)
    }

    fn snapshot(&self, name: &str, which: Which) -> Result<Box<dyn Snapshot>, ViewsError> {
        let pooled = self.pool.take()?;
        let connection = pooled.get()?;
        // The first read within the transaction fixes the moment.
        connection.execute_batch("BEGIN").map_err(failed("begin a snapshot"))?;
        let (condition, version, build) = match which {
            Which::Serving => ("serves = 1 AND ?2 = ?3", 0, 0),
            Which::Build { version, build } => ("version = ?2 AND build = ?3", version, build),
        };
        let sql = format!("SELECT {COLUMNS} FROM view WHERE name = ?1 AND {condition}");
        let read = || {
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_row((name, version, build), entry).optional()
        };
        let found = read().map_err(failed("read a cursor"))?;
        let standing = found.ok_or_else(|| ViewsError::Unknown(name.to_owned()))?.standing;
        Ok(Box::new(Moment {
            connection: pooled,
            standing,
            range_rows: self.range_rows,
            seen: Seen::default(),
        }))
    }

    fn list(&self) -> Result<Vec<Standing>, ViewsError> {
        let pooled = self.pool.take()?;
        let connection = pooled.get()?;
        let sql = format!("SELECT {COLUMNS} FROM view ORDER BY name, version, build");
        let read = || {
            let mut statement = connection.prepare_cached(&sql)?;
            let found = statement.query_map((), entry)?;
            found.map(|one| one.map(|one| one.standing)).collect::<rusqlite::Result<Vec<_>>>()
        };
        let listed = read();
        listed.map_err(failed("list views"))
    }

    fn turn(&self, view: &ViewKey, turn: Turn) -> Result<(), ViewsError> {
        let mut writer = self.writer();
        let behaviour = TransactionBehavior::Immediate;
        let transaction = writer.transaction_with_behavior(behaviour).map_err(failed("begin a change"))?;
        let found = find(&transaction, view)?;
        match (turn, found) {
            (Turn::Serve, None) => return Err(ViewsError::Unknown(view.to_string())),
            (Turn::Serve, Some(_)) => {
                let serve = || {
                    let sql = "UPDATE view SET serves = (version = ?2 AND build = ?3) WHERE name = ?1";
                    transaction.execute(sql, (&view.name, view.version, view.build))
                };
                serve().map_err(failed("let a view serve"))?;
            }
            (Turn::Drop, None) => return Ok(()),
            (Turn::Drop, Some(found)) if found.standing.serves => {
                return Err(ViewsError::Serving(view.clone()));
            }
            (Turn::Drop, Some(_)) => {
                let sql = "DELETE FROM view WHERE name = ?1 AND version = ?2 AND build = ?3";
                transaction
                    .execute(sql, (&view.name, view.version, view.build))
                    .map_err(failed("drop a view"))?;
                transaction.commit().map_err(failed("commit"))?;
                // From here on it is gone for everyone; its tables follow in pieces, and at the next opening if need be.
                return drop_tables(&mut writer, &table_prefix(view), &|writer| {
                    self.fold.after_commit(writer)
                });
            }
        }
        transaction.commit().map_err(failed("commit"))
    }
}

/// The rows of one moment, on a connection of the pool.
struct Moment {
    connection: Pooled,
    standing: Standing,
    range_rows: usize,
    seen: Seen,
}

impl Moment {
    fn reading(&self) -> Result<Reading<'_>, ViewsError> {
        let reading = Reading::new(self.connection.get()?, &self.standing.key, self.range_rows);
        Ok(reading.remembering(&self.seen))
    }
}

impl Snapshot for Moment {
    fn standing(&self) -> &Standing {
        &self.standing
    }
}

impl Reads for Moment {
    fn get(&self, table: &'static Table, keys: &[Row]) -> Result<Vec<Option<Row>>, RowsError> {
        self.reading()?.get(table, keys)
    }

    fn scan(&self, table: &'static Table, scan: &Scan<'_>) -> Result<Vec<Row>, RowsError> {
        self.reading()?.scan(table, scan)
    }
}
