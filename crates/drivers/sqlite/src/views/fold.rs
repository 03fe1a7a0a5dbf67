//! Folding the write-ahead log into the file, on a thread of its own beside the commits.
//!
//! A commit that folds by itself holds up the next one for as long as the log is long. The log can only begin anew when
//! all of it is folded at the moment a transaction begins, so one commit in a while, once the log has reached its
//! limit, folds the little that the thread has not come to ([`Fold::after_commit`]).
//! Not here: what is in the log (SQLite's own).

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use waag_stdx::threads::give_way;
use waag_views::error::ViewsError;

use super::schema::failed;

/// The thread is woken when this part of the log's limit is not folded.
const WAKE_PART: i64 = 8;

/// What the thread is to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Task {
    Wait,
    Fold,
    End,
}

struct Shared {
    connection: Mutex<Connection>,
    task: Mutex<Task>,
    told: Condvar,
}

impl Shared {
    fn fold(&self) -> rusqlite::Result<()> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()))
    }

    fn tell(&self, task: Task) {
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = task;
        self.told.notify_one();
    }

    fn run(&self) {
        // As whoever projects does.
        give_way();
        loop {
            let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = self.told.wait_while(task, |task| *task == Task::Wait);
            let mut task = waited.unwrap_or_else(PoisonError::into_inner);
            match *task {
                Task::End => return,
                Task::Fold | Task::Wait => *task = Task::Wait,
            }
            drop(task);
            // What fails here is tried again by the commit that finds the log at its limit, and told there.
            drop(self.fold());
        }
    }
}

/// The thread; dropping it waits for its end.
pub(super) struct Fold {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    log_pages: i64,
}

impl Fold {
    /// Starts the thread on a connection of its own.
    pub(super) fn start(connection: Connection, log_pages: u32) -> Result<Self, ViewsError> {
        let (connection, task) = (Mutex::new(connection), Mutex::new(Task::Wait));
        let shared = Arc::new(Shared { connection, task, told: Condvar::new() });
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new().name("waag-fold".to_owned()).spawn(move || theirs.run());
        let refused = |error: std::io::Error| ViewsError::Failed {
            attempt: "start a thread",
            reason: error.to_string(),
        };
        Ok(Self { shared, thread: Some(thread.map_err(refused)?), log_pages: i64::from(log_pages) })
    }

    /// Keeps the log in its limit after a commit on `writer`.
    pub(super) fn after_commit(&self, writer: &Connection) -> Result<(), ViewsError> {
        let length = || {
            let mut statement = writer.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?;
            statement.query_row((), |row| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)))
        };
        let (pages, folded) = length().map_err(failed("measure the log"))?;
        if pages >= self.log_pages {
            return self.shared.fold().map_err(failed("fold the log"));
        }
        if pages.saturating_sub(folded) >= self.log_pages / WAKE_PART {
            self.shared.tell(Task::Fold);
        }
        Ok(())
    }
}

impl Drop for Fold {
    fn drop(&mut self) {
        self.shared.tell(Task::End);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to end.
            drop(thread.join());
        }
    }
}
