//! Read models without a running node: brought up to date, built anew, compared.
//!
//! All of this works beside a running node too: the ledger is read without a lock, and a cursor moves only from where it
//! was seen (`VIEWS-2`), so that two projectors cannot apply an event twice.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use waag_domain::project::Projection;
use waag_invoices::config::Config;
use waag_invoices::project::Invoices;
use waag_model::ids::Position;
use waag_stdx::clock::Clock;
use waag_views::contract::Views;
use waag_views::follow::{Following, run};
use waag_views::progress::{OnChange, Progress};
use waag_views::projector::{ProjectError, Projector};
use waag_views::source::FactSource;

use crate::store::options::Options;
use crate::store::place::Place;
use crate::store::reader::open_reader;

use super::NodeError;
use super::following::{FollowingError, open_views};

/// How often a view that another process is moving on is looked at again.
const MOVED_TRIES_MAX: u32 = 10_000;

/// The read models of a store that is read and not written.
pub struct ReadModels {
    /// The store of views.
    pub views: Arc<dyn Views>,
    /// How the ledger is followed, up to the guard as it was at the opening.
    pub following: Following,
    /// The invoices' projection.
    pub invoices: Arc<dyn Projection>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    guarded: Position,
}

impl std::fmt::Debug for ReadModels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadModels").field("guarded", &self.guarded).finish_non_exhaustive()
    }
}

impl ReadModels {
    /// Opens a store to read, and its read models to write.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn open(place: &Place, options: &Options, invoices: &Config) -> Result<Self, NodeError> {
        let store = open_reader(place, options)?;
        let guarded = Position(store.checkpoint.checkpoint().size);
        let registry = Arc::clone(&store.reader.registry);
        let source = FactSource {
            ledger: store.ledger.id,
            log: Arc::clone(&store.reader.log),
            guarded: Arc::new(move || guarded),
            keyring: Arc::clone(&store.keyring),
            objects: Arc::clone(&store.reader.objects),
            dictionaries: Arc::new(move |name: &[u8; 8]| registry.dictionary(name).cloned()),
        };
        let clock = Arc::clone(&options.clock);
        Ok(Self {
            views: open_views(place).map_err(NodeError::Following)?,
            following: Following::new(source, Arc::clone(&clock)),
            invoices: Arc::new(Invoices::new(invoices.clone())),
            clock,
            guarded,
        })
    }

    /// The end of the ledger as it was at the opening.
    #[must_use]
    pub fn end(&self) -> Position {
        self.guarded
    }

    /// Projects what is not projected yet, up to the guard.
    ///
    /// # Errors
    /// [`ProjectError`].
    pub fn catch_up(&self, on_change: Option<OnChange>) -> Result<(), ProjectError> {
        let progress = Arc::new(Progress::new(on_change));
        let ledger = self.following.source.ledger;
        let mut projector =
            Projector::open(ledger, Arc::clone(&self.views), vec![Arc::clone(&self.invoices)], progress)?;
        let stop = AtomicBool::new(false);
        let mut tries = 0;
        while projector.cursor().position < self.guarded {
            match run(&mut projector, &self.following, self.guarded, &stop) {
                Err(ProjectError::Views(waag_views::error::ViewsError::CursorMoved { .. }))
                    if tries < MOVED_TRIES_MAX =>
                {
                    tries += 1;
                    projector.reopen()?;
                }
                done => done?,
            }
        }
        Ok(())
    }
}

impl From<FollowingError> for NodeError {
    fn from(error: FollowingError) -> Self {
        Self::Following(error)
    }
}
