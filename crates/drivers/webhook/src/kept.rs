//! Connections to one receiver that are kept for the next request; those kept too long are closed.
//!
//! Shared by all targets of one scheme, host and port, and gone with the last of them. A kept connection is used again
//! only by a target whose policy allows its address (`HOOK-1`).

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use tokio::task::AbortHandle;

use crate::address::Policy;
use crate::connect::LookedUp;
use crate::pool::Shared;
use crate::{CONNECTION_AGE_MS_MAX, KEPT_MAX, KEPT_MS_MAX};

/// A connection; closed when it is dropped, whatever the other side does.
pub(crate) struct Connection {
    pub(crate) sender: SendRequest<Full<Bytes>>,
    task: AbortHandle,
    address: IpAddr,
    opened: Duration,
}

impl Connection {
    pub(crate) fn new(
        sender: SendRequest<Full<Bytes>>,
        task: AbortHandle,
        address: IpAddr,
        opened: Duration,
    ) -> Self {
        Self { sender, task, address, opened }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A receiver by scheme, host and port.
#[derive(Default)]
pub(crate) struct Place {
    kept: Mutex<Kept>,
    pub(crate) looked_up: Arc<tokio::sync::Mutex<LookedUp>>,
}

#[derive(Default)]
struct Kept {
    /// The one unused for the longest first, each with the time since which it is.
    connections: Vec<(Duration, Connection)>,
    is_swept: bool,
}

impl Place {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was used last, where one is kept that may be used.
    pub(crate) fn take(&self, policy: &Policy, now: Duration) -> Option<Connection> {
        let mut kept = self.kept();
        while let Some((since, connection)) = kept.connections.pop() {
            let is_young =
                now.saturating_sub(connection.opened) < Duration::from_millis(CONNECTION_AGE_MS_MAX);
            let is_open = !connection.sender.is_closed() && policy.refuses(connection.address).is_none();
            if is_young && is_open && !is_stale(since, now) {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose last answer was read to its end.
    pub(crate) fn keep(self: &Arc<Self>, connection: Connection, shared: &Arc<Shared>) {
        let mut kept = self.kept();
        kept.connections.push((shared.clock.monotonic(), connection));
        if kept.connections.len() > KEPT_MAX {
            drop(kept.connections.remove(0));
        }
        if !kept.is_swept {
            kept.is_swept = true;
            shared.runtime.spawn(sweep(Arc::downgrade(self), Arc::clone(shared)));
        }
    }

    /// How many connections are kept.
    pub(crate) fn count(&self) -> usize {
        self.kept().connections.len()
    }
}

fn is_stale(since: Duration, now: Duration) -> bool {
    now.saturating_sub(since) >= Duration::from_millis(KEPT_MS_MAX)
}

/// Closes what is kept too long, until nothing is kept.
async fn sweep(place: Weak<Place>, shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(Duration::from_millis(KEPT_MS_MAX / 4)).await;
        let Some(place) = place.upgrade() else { return };
        let mut kept = place.kept();
        let now = shared.clock.monotonic();
        kept.connections
            .retain(|(since, connection)| !is_stale(*since, now) && !connection.sender.is_closed());
        if kept.connections.is_empty() {
            kept.is_swept = false;
            return;
        }
    }
}
