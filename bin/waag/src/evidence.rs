//! Evidence packs: choosing entries, opening what may be opened of them, and handing out one file that outsiders verify.
//!
//! Place: beneath the command line, the node's desk and the pages, which all ask the same functions; above the store it
//! reads and the ledger's own pack (`evidence/ledger`, `pack`), whose form this does not know.
//!
//! ```text
//! asked ─► gather (one pass over the log) ─► disclose (secrets of parts, never keys) ─► standing (checkpoint, keys)
//!       ─► cover ─► pack, verified ─► written aside ─► recorded (event, state) ─► in its place
//! ```
//!
//! Error codes: E0720 to E0727 in [`error`].
//!
//! - `EVIDENCE-1`: a pack is in its place only after its event and its record are durable (`record`).
//! - `EVIDENCE-2`: what is opened in a pack is the common parts, and persons' parts only with a reason; no data key leaves.
//! - `EVIDENCE-3`: neither the event nor the selection a pack tells holds a person's id; a keyed tag stands for it.
//! - `EVIDENCE-4`: a pack was verified, with the ledger's own keys, before anybody has it.
//!
//! A crash before the record leaves a file under another name, which nobody was told of; a crash behind it leaves a record of
//! a pack that was not handed out: never the other way round.

pub mod asked;
pub mod checking;
mod disclosure;
pub mod error;
mod facts;
mod gather;
pub mod make;
pub mod placed;
pub mod record;
pub mod standing;

pub(crate) use disclosure::{Opening, opening};

use std::sync::Arc;

use waag_engine::reader::Reader;
use waag_keys::ledger::LedgerKeys;
use waag_ledger::checkpoint::SignedCheckpoint;
use waag_ledger::stored::HashReader;
use waag_model::time::UtcNanos;

use crate::store::reader::OpenedReader;
use crate::store::writer::OpenedStore;

/// What making a pack reads of an opened store.
pub struct Source<'s> {
    /// Reads entries back.
    pub reader: Reader,
    /// The ledger's keys.
    pub keys: &'s LedgerKeys,
    /// The newest checkpoint under the guard: nothing beyond it is seen.
    pub checkpoint: Arc<SignedCheckpoint>,
    /// The stored hashes, which may lag or be wrong.
    pub hashes: Arc<dyn HashReader + 's>,
    /// The time.
    pub now: UtcNanos,
}

impl std::fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("reader", &self.reader).finish_non_exhaustive()
    }
}

impl<'s> Source<'s> {
    /// Of a store that is opened to read.
    #[must_use]
    pub fn of_reader(store: &'s OpenedReader, now: UtcNanos) -> Self {
        Self {
            reader: store.reader.clone(),
            keys: &store.ledger,
            checkpoint: Arc::new(store.checkpoint.clone()),
            hashes: store.stored_hashes(),
            now,
        }
    }

    /// Of a store that is opened to write.
    #[must_use]
    pub fn of_writer(store: &'s OpenedStore) -> Self {
        // The sealer knows the dictionaries that were registered since the store was opened.
        let reader = Reader { registry: store.sealer.registry(), ..store.reader.clone() };
        Self {
            reader,
            keys: &store.ledger,
            checkpoint: store.status().checkpoint,
            hashes: Arc::clone(&store.hashes) as Arc<dyn HashReader>,
            now: store.clock.now(),
        }
    }
}
