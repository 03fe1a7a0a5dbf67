//! What the door needs from the node: ledgers by tenant, readiness, and a desk where its own records lie.
//!
//! Not here: any implementation but the one for tests; `bin/` wires the rest.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use waag_domain::project::Reads;
use waag_ledger::checkpoint::SignedCheckpoint;
use waag_ledger::hash::Hash;
use waag_model::event::Event;
use waag_model::ids::{Actor, TenantName};
use waag_model::time::UtcNanos;
use waag_router::router::Router;

use crate::fault::{Fault, Kind};
use crate::intake::Intake;
use crate::tlog::{PublishedLog, Witnessing};

/// The node behind the door.
pub trait Node: Send + Sync {
    /// The ledger of a tenant; `None` where this node has none of that name.
    fn ledger(&self, tenant: &TenantName) -> Option<Arc<dyn Ledger>>;

    /// Whether the node can take events.
    ///
    /// # Errors
    /// Why not, as a request that brings some is told it.
    fn ready(&self) -> Result<(), Kind>;

    /// Whether there is room on disk for more events; asked for every request that brings some.
    fn has_room(&self) -> bool {
        true
    }

    /// The log that everybody may read without a key; none where there is none.
    fn public_log(&self) -> Option<Arc<dyn PublishedLog>> {
        None
    }

    /// Cosigns checkpoints of other logs; none where this node does not.
    fn witness(&self) -> Option<Arc<dyn Witnessing>> {
        None
    }

    /// The invoices' read model of a tenant; `None` where this node has none of it.
    fn invoices(&self, tenant: &TenantName) -> Option<Arc<dyn InvoiceView>>;
}

/// The invoices' read model of one tenant's ledger.
pub trait InvoiceView: Send + Sync {
    /// Its rows at one moment, those that pages show. Reads the disk; held for one answer and no longer. Never retried
    /// here: who asks is told when to ask again.
    ///
    /// # Errors
    /// [`Unread::MadeAnew`] while the rows there are mean something else, [`Unread::Unreadable`] with the store's code.
    ///
    /// [`Unread::MadeAnew`]: crate::fault::Unread::MadeAnew
    /// [`Unread::Unreadable`]: crate::fault::Unread::Unreadable
    fn rows(&self) -> Result<InvoiceRows, Fault>;
}

/// Rows of one moment.
pub struct InvoiceRows {
    /// The rows.
    pub rows: Box<dyn Reads + Send>,
    /// Entries of the ledger that they have taken in.
    pub projected: u64,
}

impl fmt::Debug for InvoiceRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvoiceRows").field("projected", &self.projected).finish_non_exhaustive()
    }
}

/// One tenant's ledger.
pub trait Ledger: Send + Sync {
    /// Takes its events.
    fn intake(&self) -> &Intake;

    /// How far it is; cheap, asked often.
    fn status(&self) -> LedgerStatus;

    /// The event at a position, personal fields masked unless they are to be revealed; `None` beyond the guarded
    /// checkpoint. Reads the disk. A reveal is recorded, and durable, before anything is returned.
    ///
    /// # Errors
    /// [`Kind::Gone`] where so much of it is erased that it is no event, [`Kind::Restricted`] where a reveal concerns
    /// somebody whose data is restricted, [`Kind::NotSealed`] with the store's code.
    ///
    /// [`Kind::Gone`]: crate::fault::Kind::Gone
    /// [`Kind::NotSealed`]: crate::fault::Kind::NotSealed
    /// [`Kind::Restricted`]: crate::fault::Kind::Restricted
    fn event(&self, position: u64, reveal: Option<&Reveal>) -> Result<Option<Stored>, Fault>;

    /// Delivers its events; none where this node does not.
    fn router(&self) -> Option<Arc<Router>> {
        None
    }

    /// It as far as it is published; none where this node publishes nothing.
    fn published(&self) -> Option<Arc<dyn PublishedLog>> {
        None
    }
}

/// Who wants to see personal fields, and why.
#[derive(Clone, Debug)]
pub struct Reveal {
    /// Who.
    pub by: Actor,
    /// Why, in that person's words.
    pub reason: String,
}

/// A recorded event, read back.
#[derive(Clone, Debug)]
pub struct Stored {
    /// As far as its keys are there.
    pub event: Event<'static>,
    /// Its leaf in the tree.
    pub leaf: Hash,
    /// When it was accepted.
    pub accepted: UtcNanos,
    /// Who gave it to Waag; none where that is erased.
    pub actor: Option<String>,
    /// Places (JSON Pointers into the event) of which at most the last four characters are told; `""` is the whole event.
    pub masked: Vec<String>,
    /// Places that are left out because their keys were destroyed.
    pub withheld: Vec<String>,
}

/// How far a ledger is.
#[derive(Clone, Debug)]
pub struct LedgerStatus {
    /// The newest guarded checkpoint; its size is the number of entries.
    pub checkpoint: Arc<SignedCheckpoint>,
    /// Entries that the views have taken in.
    pub projected: u64,
    /// The code of why the writer stopped, where it has.
    pub halted: Option<&'static str>,
}

/// Kinds of records on the desk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shelf {
    /// API keys, by key id.
    Keys,
    /// Usage plans, by name.
    Plans,
    /// Mappings of clients' field names, by key id and path.
    Mappings,
}

/// Where the door's small records lie: durable before `save` returns, each replaced as a whole.
///
/// Names are at most 200 bytes, records at most 65,536. Called rarely and never while a request of events waits.
pub trait Desk: Send + Sync {
    /// All records of a shelf, by name.
    ///
    /// # Errors
    /// [`DeskError`].
    fn load(&self, shelf: Shelf) -> Result<Vec<(String, Vec<u8>)>, DeskError>;

    /// Puts a record down in place of what was there, or takes it away.
    ///
    /// # Errors
    /// [`DeskError`]; what was there may then be there still.
    fn save(&self, shelf: Shelf, name: &str, record: Option<&[u8]>) -> Result<(), DeskError>;
}

/// The desk failed; the code is the store's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeskError {
    /// The stable code.
    pub code: &'static str,
    /// What failed.
    pub reason: String,
}

impl fmt::Display for DeskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for DeskError {}

/// A desk in memory, for tests and trials; nothing on it outlives the process.
#[derive(Debug, Default)]
pub struct MemoryDesk(Mutex<BTreeMap<(Shelf, String), Vec<u8>>>);

impl Desk for MemoryDesk {
    fn load(&self, shelf: Shelf) -> Result<Vec<(String, Vec<u8>)>, DeskError> {
        let records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_shelf = records.iter().filter(|((of, _), _)| *of == shelf);
        Ok(of_shelf.map(|((_, name), record)| (name.clone(), record.clone())).collect())
    }

    fn save(&self, shelf: Shelf, name: &str, record: Option<&[u8]>) -> Result<(), DeskError> {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match record {
            Some(record) => drop(records.insert((shelf, name.to_owned()), record.to_vec())),
            None => drop(records.remove(&(shelf, name.to_owned()))),
        }
        Ok(())
    }
}
