//! Views on PostgreSQL: one writing connection, reading ones as snapshots ask for them.
//!
//! The row of the catalogue that holds a view's cursor is locked for the whole of a change, so that of two projectors the
//! second one finds the cursor moved (`VIEWS-2`). A snapshot is one transaction at `REPEATABLE READ`.
//! Not here: rows (`rows`), tables (`schema`). TLS to the server: a setting that asks for it is refused by the client.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postgres::Config;
use waag_domain::project::{Reads, Row, RowsError, Scan, Table};
use waag_model::ids::{LedgerId, Position};
use waag_model::time::UtcNanos;
use waag_views::contract::{
    Change, Cursor, Definition, Snapshot, Standing, Turn, ViewKey, Views, Which, check_definition,
    check_move, layout,
};
use waag_views::error::ViewsError;

use crate::rows::ViewRows;
use crate::schema::{create_tables, drop_tables, initialise};
use crate::session::{Session, failed};

/// Reading connections kept for the next snapshot.
const IDLE_MAX: usize = 8;

/// A store of views in one schema of a database.
pub struct PostgresViews {
    config: Config,
    schema: String,
    writer: Mutex<Option<Session>>,
    idle: Arc<Mutex<Vec<Session>>>,
}

impl fmt::Debug for PostgresViews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresViews").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl PostgresViews {
    /// Connects (`host=… user=… dbname=…`, or a URL), and makes the schema where it is not there: lower case, digits,
    /// underscores.
    ///
    /// # Errors
    /// [`ViewsError::Foreign`] for a name or a schema that is not for this; the server's.
    pub fn open(connection: &str, schema: &str) -> Result<Self, ViewsError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if schema.is_empty() || !schema.chars().all(plain) {
            return Err(ViewsError::Foreign("a schema's name is lower case, digits, underscores".to_owned()));
        }
        let config: Config = connection.parse().map_err(failed("read the setting"))?;
        let mut writer = Session::connect(&config, schema)?;
        initialise(&mut writer, schema)?;
        let idle = Arc::new(Mutex::new(Vec::new()));
        Ok(Self { config, schema: schema.to_owned(), writer: Mutex::new(Some(writer)), idle })
    }

    /// Runs one transaction on the writing connection; a connection that was lost is made again.
    fn write<T>(
        &self,
        work: impl FnOnce(&RefCell<Session>) -> Result<T, ViewsError>,
    ) -> Result<T, ViewsError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let session = match writer.take().filter(|session| !session.client.is_closed()) {
            Some(session) => session,
            None => Session::connect(&self.config, &self.schema)?,
        };
        let session = RefCell::new(session);
        let run =
            |sql: &str, attempt| session.borrow_mut().client.batch_execute(sql).map_err(failed(attempt));
        run("BEGIN", "begin a change")?;
        let done = work(&session).and_then(|done| run("COMMIT", "commit").map(|()| done));
        if done.is_err() && run("ROLLBACK", "roll back").is_err() {
            // Closing the connection rolls back as well.
            return done;
        }
        *writer = Some(session.into_inner());
        done
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reader(&self) -> Result<Session, ViewsError> {
        let idle = self.idle().pop().filter(|session| !session.client.is_closed());
        idle.map_or_else(|| Session::connect(&self.config, &self.schema), Ok)
    }
}

/// Keeps a reading connection for the next reader, once its transaction has ended.
fn give_back(idle: &Mutex<Vec<Session>>, mut session: Session) {
    let ended = session.client.batch_execute("COMMIT").is_ok();
    let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
    if ended && idle.len() < IDLE_MAX {
        idle.push(session);
    }
}

/// What the catalogue says of a view.
struct Entry {
    standing: Standing,
    layout: String,
}

const COLUMNS: &str = "name, version, build, ledger, position, committed, serves, layout";
const OF_KEY: &str = "name = $1 AND version = $2 AND build = $3";

fn entry(row: &postgres::Row) -> Result<Entry, ViewsError> {
    let read = || {
        let (version, build, position): (i64, i64, i64) = (row.try_get(1)?, row.try_get(2)?, row.try_get(4)?);
        let ledger: &[u8] = row.try_get(3)?;
        let key = ViewKey {
            name: row.try_get(0)?,
            version: u32::try_from(version).unwrap_or(0),
            build: u32::try_from(build).unwrap_or(0),
        };
        let cursor = Cursor {
            position: Position(u64::try_from(position).unwrap_or(0)),
            committed: UtcNanos(row.try_get(5)?),
        };
        let ledger = LedgerId(ledger.try_into().unwrap_or_default());
        let standing = Standing { key, ledger, cursor, serves: row.try_get(6)? };
        Ok(Entry { standing, layout: row.try_get(7)? })
    };
    read().map_err(failed("read the catalogue"))
}

/// The catalogue's row of a view, locked until the transaction ends.
fn find(session: &RefCell<Session>, view: &ViewKey) -> Result<Option<Entry>, ViewsError> {
    let sql = format!("SELECT {COLUMNS} FROM view WHERE {OF_KEY} FOR UPDATE");
    let (version, build) = (i64::from(view.version), i64::from(view.build));
    let found = session.borrow_mut().query(&sql, &[&view.name, &version, &build]);
    found.map_err(failed("read a cursor"))?.first().map(entry).transpose()
}

fn position(cursor: Cursor) -> i64 {
    i64::try_from(cursor.position.0).unwrap_or(i64::MAX)
}

/// Changes of the catalogue's rows as such wait for each other.
const LOCK: &str = "LOCK TABLE view IN SHARE ROW EXCLUSIVE MODE";

impl Views for PostgresViews {
    fn open(&self, definition: &Definition) -> Result<Standing, ViewsError> {
        self.write(|session| {
            let attempt = failed("make a view");
            session.borrow_mut().client.batch_execute(LOCK).map_err(&attempt)?;
            let key = &definition.key;
            if let Some(found) = find(session, key)? {
                check_definition(definition, found.standing.ledger, &found.layout)?;
                return Ok(found.standing);
            }
            let tables = create_tables(key, definition.tables);
            session.borrow_mut().client.batch_execute(&tables).map_err(&attempt)?;
            let sql = format!(
                "INSERT INTO view({COLUMNS}) SELECT $1, $2, $3, $4, $5, $6, \
                 NOT EXISTS (SELECT 1 FROM view WHERE name = $1), $7"
            );
            let (version, build) = (i64::from(key.version), i64::from(key.build));
            let (ledger, start) = (definition.ledger.0.to_vec(), Cursor::START);
            let layout = layout(definition.tables);
            let made = session.borrow_mut().execute(
                &sql,
                &[&key.name, &version, &build, &ledger, &position(start), &start.committed.0, &layout],
            );
            made.map_err(&attempt)?;
            let made = find(session, key)?;
            made.map(|made| made.standing).ok_or_else(|| ViewsError::Unknown(key.to_string()))
        })
    }

    fn commit(
        &self,
        view: &ViewKey,
        expected: Cursor,
        next: Cursor,
        change: &mut Change<'_>,
    ) -> Result<(), ViewsError> {
        self.write(|session| {
            let found = find(session, view)?.ok_or_else(|| ViewsError::Unknown(view.to_string()))?;
            check_move(view, found.standing.cursor, expected, next)?;
            change(&mut ViewRows { session, view })?;
            let sql = format!("UPDATE view SET position = $4, committed = $5 WHERE {OF_KEY}");
            let (version, build) = (i64::from(view.version), i64::from(view.build));
            let moved = session
                .borrow_mut()
                .execute(&sql, &[&view.name, &version, &build, &position(next), &next.committed.0]);
            moved.map(drop).map_err(failed("move a cursor"))
        })
    }

    fn snapshot(&self, name: &str, which: Which) -> Result<Box<dyn Snapshot>, ViewsError> {
        let lease = Lease { idle: Arc::clone(&self.idle), session: Some(RefCell::new(self.reader()?)) };
        let session = lease.get()?;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        session.borrow_mut().client.batch_execute(begin).map_err(failed("begin a snapshot"))?;
        let found = match which {
            Which::Serving => {
                let sql = format!("SELECT {COLUMNS} FROM view WHERE name = $1 AND serves");
                session.borrow_mut().query(&sql, &[&name])
            }
            Which::Build { version, build } => {
                let sql = format!("SELECT {COLUMNS} FROM view WHERE {OF_KEY}");
                session.borrow_mut().query(&sql, &[&name, &i64::from(version), &i64::from(build)])
            }
        };
        let found = found.map_err(failed("read a cursor"))?;
        let found = found.first().ok_or_else(|| ViewsError::Unknown(name.to_owned()))?;
        let standing = entry(found)?.standing;
        Ok(Box::new(Moment { lease, standing }))
    }

    fn list(&self) -> Result<Vec<Standing>, ViewsError> {
        let mut session = self.reader()?;
        let sql = format!("SELECT {COLUMNS} FROM view ORDER BY name, version, build");
        let found = session.query(&sql, &[]).map_err(failed("list views"))?;
        give_back(&self.idle, session);
        found.iter().map(|row| entry(row).map(|entry| entry.standing)).collect()
    }

    fn turn(&self, view: &ViewKey, turn: Turn) -> Result<(), ViewsError> {
        self.write(|session| {
            let attempt = failed("change what serves");
            session.borrow_mut().client.batch_execute(LOCK).map_err(&attempt)?;
            let found = find(session, view)?;
            let (version, build) = (i64::from(view.version), i64::from(view.build));
            match (turn, found) {
                (Turn::Serve, None) => Err(ViewsError::Unknown(view.to_string())),
                (Turn::Serve, Some(_)) => {
                    // In two steps, since the index that lets one serve looks at each row by itself.
                    let mut session = session.borrow_mut();
                    let none = "UPDATE view SET serves = false WHERE name = $1";
                    session.execute(none, &[&view.name]).map_err(&attempt)?;
                    let one = format!("UPDATE view SET serves = true WHERE {OF_KEY}");
                    session.execute(&one, &[&view.name, &version, &build]).map(drop).map_err(&attempt)
                }
                (Turn::Drop, None) => Ok(()),
                (Turn::Drop, Some(found)) if found.standing.serves => Err(ViewsError::Serving(view.clone())),
                (Turn::Drop, Some(_)) => {
                    let sql = format!("DELETE FROM view WHERE {OF_KEY}");
                    let mut session = session.borrow_mut();
                    session.execute(&sql, &[&view.name, &version, &build]).map_err(&attempt)?;
                    drop_tables(&mut session, view)
                }
            }
        })
    }
}

/// A reading connection; its transaction ends and it goes back when this is dropped.
struct Lease {
    idle: Arc<Mutex<Vec<Session>>>,
    session: Option<RefCell<Session>>,
}

impl Lease {
    fn get(&self) -> Result<&RefCell<Session>, ViewsError> {
        let none = || ViewsError::Failed { attempt: "read", reason: "there is no connection".to_owned() };
        self.session.as_ref().ok_or_else(none)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            give_back(&self.idle, session.into_inner());
        }
    }
}

/// The rows of one moment.
struct Moment {
    lease: Lease,
    standing: Standing,
}

impl Snapshot for Moment {
    fn standing(&self) -> &Standing {
        &self.standing
    }
}

impl Reads for Moment {
    fn get(&self, table: &'static Table, keys: &[Row]) -> Result<Vec<Option<Row>>, RowsError> {
        ViewRows { session: self.lease.get()?, view: &self.standing.key }.get(table, keys)
    }

    fn scan(&self, table: &'static Table, scan: &Scan<'_>) -> Result<Vec<Row>, RowsError> {
        ViewRows { session: self.lease.get()?, view: &self.standing.key }.scan(table, scan)
    }
}
