//! How far projecting is, for whoever shows it or waits for it.
//!
//! Cheap to read from any thread: the numbers stand behind one short lock, taken by the projector once a batch.
//! Not here: moving the cursor (`projector`).

use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use waag_model::ids::Position;
use waag_model::time::UtcNanos;

use crate::contract::Cursor;

/// What a projector is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It follows the ledger.
    Following,
    /// It was told to stop.
    Stopped,
    /// It cannot go on; nothing was passed over.
    Halted {
        /// The stable code.
        code: &'static str,
        /// What happened.
        reason: String,
    },
}

/// How far a projector is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The cursor of the view that is furthest behind.
    pub cursor: Cursor,
    /// How far the ledger was guarded when last looked at.
    pub guarded: Position,
    /// Events projected since the start.
    pub events: u64,
    /// Batches since the start.
    pub batches: u64,
    /// Events per second, averaged over about ten batches.
    pub per_second: u64,
    /// What it is doing.
    pub activity: Activity,
}

impl Reached {
    /// Events recorded and not yet projected.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.guarded.0.saturating_sub(self.cursor.position.0)
    }

    /// How old the newest projected event is, where there are newer ones; zero where there are none.
    #[must_use]
    pub fn age(&self, now: UtcNanos) -> Duration {
        if self.lag() == 0 || self.cursor.position.0 == 0 {
            return Duration::ZERO;
        }
        let nanos = now.0.saturating_sub(self.cursor.committed.0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
    }
}

/// Called after each change, from the projector's thread: to be short.
pub type OnChange = Box<dyn Fn(&Reached) + Send + Sync>;

/// The shared place where a projector tells how far it is.
pub struct Progress {
    reached: Mutex<Reached>,
    changed: Condvar,
    on_change: Option<OnChange>,
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").field("reached", &*self.lock()).finish_non_exhaustive()
    }
}

impl Progress {
    /// A place without news yet.
    #[must_use]
    pub fn new(on_change: Option<OnChange>) -> Self {
        let reached = Reached {
            cursor: Cursor::START,
            guarded: Position(0),
            events: 0,
            batches: 0,
            per_second: 0,
            activity: Activity::Following,
        };
        Self { reached: Mutex::new(reached), changed: Condvar::new(), on_change }
    }

    fn lock(&self) -> MutexGuard<'_, Reached> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far it is.
    #[must_use]
    pub fn reached(&self) -> Reached {
        self.lock().clone()
    }

    /// Waits until the cursor is at least at a position, or projecting ended, or the time is over.
    #[must_use]
    pub fn wait_for(&self, position: Position, timeout: Duration) -> Reached {
        let is_waiting = |reached: &mut Reached| {
            reached.cursor.position < position && reached.activity == Activity::Following
        };
        let waited = self.changed.wait_timeout_while(self.lock(), timeout, is_waiting);
        waited.map_or_else(|poisoned| poisoned.into_inner().0.clone(), |(reached, _)| reached.clone())
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut Reached)) {
        let now = {
            let mut reached = self.lock();
            change(&mut reached);
            reached.clone()
        };
        self.changed.notify_all();
        if let Some(on_change) = &self.on_change {
            on_change(&now);
        }
    }
}
