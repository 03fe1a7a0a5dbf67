//! What the pages need from the house, as small traits; the program wires them.
//!
//! Whom it trusts: the house for what it reads; the browser's check trusts nobody but a key that the reader knows.
//! Not here: keys, logs, databases; personal fields come in masked, so that what is not shown never reaches a browser.

pub mod deliveries;
pub mod evidence;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use waag_domain::project::Reads;
use waag_ledger::hash::Hash;
use waag_model::ids::Position;
use waag_model::time::UtcNanos;

use self::deliveries::Deliveries;
use self::evidence::Evidence;

/// What the pages are drawn from.
///
/// Every call may block on a disk for some milliseconds and is made from a blocking thread; none is retried here.
pub trait House: Send + Sync {
    /// The invoices' read model as one snapshot: all reads of one page see the same rows.
    ///
    /// # Errors
    /// [`HouseError`] where the store cannot be read.
    fn reads(&self) -> Result<Box<dyn Reads + Send>, HouseError>;

    /// The recorded events at these positions, in the order asked; one that is not there is left out.
    ///
    /// # Errors
    /// [`HouseError`] where the log cannot be read.
    fn history(&self, positions: &[Position]) -> Result<Vec<Recorded>, HouseError>;

    /// What proves one entry; `None` where there is no entry at that position under a checkpoint.
    ///
    /// # Errors
    /// [`HouseError`] where the log or the tree cannot be read.
    fn proof(&self, position: Position) -> Result<Option<Proof>, HouseError>;

    /// How the node is; some of it may have to be looked up on a disk.
    fn health(&self) -> Health;

    /// What has stopped, for open pages to hear of: each of them asks once a second.
    ///
    /// A house whose [`Self::health`] takes long has a shorter way to tell it.
    fn halts(&self) -> Halts {
        self.health().halts()
    }

    /// The latest progress of the read model; changes whenever rows became visible to [`House::reads`].
    fn changes(&self) -> watch::Receiver<Progress>;

    /// The router; none where this node delivers nothing.
    fn router(&self) -> Option<Arc<dyn Deliveries>> {
        None
    }

    /// What outsiders can check, persons, backups; none where this node tells nothing of them.
    fn evidence(&self) -> Option<Arc<dyn Evidence>> {
        None
    }

    /// The newest events, the newest first, to try patterns on: at most so many, personal fields left out.
    ///
    /// # Errors
    /// [`HouseError`] where the log cannot be read.
    fn recent(&self, _most: usize) -> Result<Vec<Recent>, HouseError> {
        Ok(Vec::new())
    }

    /// The principal id under which commands of these pages are recorded, until people sign in.
    fn actor(&self) -> String {
        "page".to_owned()
    }
}

/// A recent event.
#[derive(Clone, Debug)]
pub struct Recent {
    /// Its place in the ledger.
    pub position: Position,
    /// Its CloudEvents JSON, without personal fields.
    pub json: String,
}

/// The house cannot answer.
#[derive(Clone, Debug)]
pub struct HouseError {
    /// The stable code of what went wrong.
    pub code: &'static str,
    /// What went wrong, for the reader of the page; without secrets and paths.
    pub reason: String,
}

impl fmt::Display for HouseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for HouseError {}

/// How far the read model is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Events in the read model: the position behind the newest.
    pub projected: u64,
    /// When the newest of them was accepted; `None` where there is none.
    pub newest: Option<UtcNanos>,
}

/// An event as it was recorded, opened for display.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its place in the ledger.
    pub position: Position,
    /// The hash of its sealed entry in the tree.
    pub leaf: Hash,
    /// Its type.
    pub kind: String,
    /// Its producer's id for it; `None` where that is a person's and not shown.
    pub id: Option<String>,
    /// Who told it.
    pub source: Option<String>,
    /// When it happened, as its producer says.
    pub happened: Option<UtcNanos>,
    /// When it was accepted here.
    pub accepted: UtcNanos,
    /// When its frame was durable.
    pub committed: UtcNanos,
    /// Who gave it to Waag.
    pub actor: Option<String>,
    /// Its data by path, in order.
    pub fields: Vec<Field>,
}

/// One value of an event's data.
#[derive(Clone, Debug)]
pub struct Field {
    /// Where it stands, such as `amount_minor` or `contact.name`.
    pub path: String,
    /// What may be shown of it.
    pub shown: Shown,
}

/// What may be shown of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// All of it.
    Plain(String),
    /// A person's value: its last four characters and no more.
    Masked(String),
    /// Its key was destroyed; nobody can read it again.
    Erased,
}

/// Everything a reader needs to check one entry without believing the node.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The entry, byte for byte as it stands in the log.
    pub entry: Vec<u8>,
    /// The `.tlog-proof` file.
    pub file: String,
    /// The ledger's public keys, as vkeys.
    pub keys: Vec<String>,
}

/// What the writer is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Writer {
    /// It takes events.
    Writing,
    /// This node only reads.
    ReadingOnly,
    /// It takes no more events until there is room on the disk; the code that says so.
    NoRoom(&'static str),
    /// It stopped, with a code and a reason.
    Halted(&'static str, String),
}

/// The codes of what has stopped; none where all goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Halts {
    /// The writer's.
    pub writer: Option<&'static str>,
    /// The read model's.
    pub shown: Option<&'static str>,
}

/// The last checkpoint.
#[derive(Clone, Debug)]
pub struct LastCheckpoint {
    /// Entries under it.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// When its frame was committed.
    pub at: UtcNanos,
}

/// How the node is.
#[derive(Clone, Debug)]
pub struct Health {
    /// The program's version.
    pub version: &'static str,
    /// The ledger's origin, as checkpoints name it.
    pub origin: String,
    /// Entries in the log.
    pub entries: u64,
    /// How far the read model is.
    pub progress: Progress,
    /// What the writer does.
    pub writer: Writer,
    /// The code of what stopped the read model, where it has stopped: pages then show what was before.
    pub shown_halted: Option<&'static str>,
    /// Free bytes where the log grows.
    pub disk_free_bytes: u64,
    /// Bytes of everything stored.
    pub store_bytes: u64,
    /// Since the program started.
    pub uptime: Duration,
    /// The last checkpoint; `None` in an empty ledger.
    pub checkpoint: Option<LastCheckpoint>,
    /// The address of the intake, for the line that sends the first event.
    pub intake: String,
}

impl Health {
    /// What has stopped.
    #[must_use]
    pub fn halts(&self) -> Halts {
        let writer = match &self.writer {
            Writer::Halted(code, _) | Writer::NoRoom(code) => Some(*code),
            Writer::Writing | Writer::ReadingOnly => None,
        };
        Halts { writer, shown: self.shown_halted }
    }
}
