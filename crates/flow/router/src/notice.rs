//! What the router itself has recorded: terminal outcomes and changes of subscriptions, each an event of the ledger.
//!
//! Place: back to *accept*. A notice is owed in the state, in the transaction that it tells of, until the ledger has it
//! (`ROUTE-6`); its id is fixed then, so that recording it again after a crash records nothing new.
//! Not here: sealing and recording, which `bin/` does through [`Recorder`].

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use waag_model::ids::Position;

/// An event of a delivery that was given up.
pub const DEAD_LETTER: &str = "waag.dead-letter.recorded";
/// What the types of events about dead letters begin with; one that is given up is a dead letter, and no further event.
pub const DEAD_LETTERS: &str = "waag.dead-letter.";
/// A dead letter was discarded.
pub const DISCARDED: &str = "waag.dead-letter.discarded";
/// A redrive or a discarding of many has begun.
pub const JOB_STARTED: &str = "waag.delivery-job.started";
/// A redrive, discarding or replay has ended.
pub const JOB_ENDED: &str = "waag.delivery-job.ended";
/// A subscription was made.
pub const CREATED: &str = "waag.subscription.created";
/// A subscription was changed.
pub const CHANGED: &str = "waag.subscription.changed";
/// A subscription was removed.
pub const REMOVED: &str = "waag.subscription.removed";
/// A subscription was paused or resumed by somebody.
pub const SWITCHED: &str = "waag.subscription.switched";
/// A target that had been left alone takes events again.
pub const RECOVERED: &str = "waag.subscription.recovered";
/// A subscription stopped by itself: it was halted or disabled, or its target is left alone for a while.
pub const STOPPED: &str = "waag.subscription.stopped";

/// An event to be recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// Its type.
    pub kind: String,
    /// Its id under Waag's own source.
    pub id: String,
    /// The event that it follows from.
    pub cause: Option<u64>,
    /// Who did it; the router itself where nobody did.
    pub by: Option<String>,
    /// Its data.
    pub data: Map<String, Value>,
}

impl Notice {
    /// The position of the event that it follows from.
    #[must_use]
    pub fn cause(&self) -> Option<Position> {
        self.cause.map(Position)
    }
}

/// What is called when notices were recorded; says whether they were.
pub type Recorded = Box<dyn FnOnce(Result<(), String>) + Send>;

/// Records notices in the ledger that is followed.
pub trait Recorder: Send + Sync {
    /// Records all of them, durable before `then` is called with success; must not block. A notice whose id is recorded
    /// already is recorded. On failure the router asks again later, with all of them.
    fn record(&self, notices: Vec<Notice>, then: Recorded);
}
