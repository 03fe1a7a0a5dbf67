//! Reading connections, a bounded number of them; who finds none waits for one to come back.
//!
//! Not here: how a connection is set (`schema`).

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use waag_views::error::ViewsError;

use super::ViewsConfig;
use super::schema::connect;

/// How long is waited for a connection: longer than any request may take.
const WAIT_MAX: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Inner {
    idle: Vec<Connection>,
    taken: usize,
}

/// The pool.
pub(super) struct Pool {
    path: PathBuf,
    config: ViewsConfig,
    inner: Mutex<Inner>,
    returned: Condvar,
}

impl Pool {
    pub(super) fn new(path: PathBuf, config: ViewsConfig) -> Self {
        Self { path, config, inner: Mutex::new(Inner::default()), returned: Condvar::new() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection outside of any transaction; it goes back when it is dropped.
    pub(super) fn take(self: &Arc<Self>) -> Result<Pooled, ViewsError> {
        let most = self.config.readers_max.max(1);
        let is_full = |inner: &mut Inner| inner.taken >= most;
        let waited = self.returned.wait_timeout_while(self.inner(), WAIT_MAX, is_full);
        let (mut inner, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            return Err(none("all reading connections are taken"));
        }
        inner.taken += 1;
        let idle = inner.idle.pop();
        drop(inner);
        // Where opening fails, dropping it gives the place back.
        let mut pooled = Pooled { pool: Arc::clone(self), connection: idle };
        if pooled.connection.is_none() {
            pooled.connection = Some(connect(&self.path, None, self.config.reader_cache_kib, &self.config)?);
        }
        Ok(pooled)
    }
}

fn none(reason: &str) -> ViewsError {
    ViewsError::Failed { attempt: "take a reading connection", reason: reason.to_owned() }
}

/// A connection of the pool.
pub(super) struct Pooled {
    pool: Arc<Pool>,
    connection: Option<Connection>,
}

impl Pooled {
    /// The connection.
    pub(super) fn get(&self) -> Result<&Connection, ViewsError> {
        self.connection.as_ref().ok_or_else(|| none("there is none"))
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let connection = self.connection.take().filter(|connection| {
            // One that does not end its transaction would hold on to an old moment: it is closed instead.
            connection.is_autocommit() || connection.execute_batch("COMMIT").is_ok()
        });
        let mut inner = self.pool.inner();
        inner.taken = inner.taken.saturating_sub(1);
        inner.idle.extend(connection);
        drop(inner);
        self.pool.returned.notify_one();
    }
}
