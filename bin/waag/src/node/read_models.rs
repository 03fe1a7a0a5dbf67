//! Read models without a running node: brought up to date, built anew, compared.
//!
//! All of this works beside a running node too: the ledger is read without a lock, and a cursor moves only from where it
//! was seen (`VIEWS-2`), so that two projectors cannot apply an event twice.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use waag_domain::project::Projection;
use waag_invoices::project::Invoices;
use waag_model::ids::Position;
use waag_stdx::clock::Clock;
use waag_views::contract::{Snapshot, Views, Which};
use waag_views::error::ViewsError;
use waag_views::follow::Following;
use waag_views::progress::{OnChange, Progress};
use waag_views::projector::{ProjectError, Projector, current_key};
use waag_views::source::FactSource;

use crate::store::options::Options;
use crate::store::place::Place;
use crate::store::reader::open_reader;

use super::NodeError;
use super::exchange::catch_up;
use super::following::{FollowingError, open_views};
use super::rules;

/// How often a build that another process exchanges meanwhile is looked for again.
const EXCHANGED_TRIES_MAX: u32 = 16;

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
    place: Place,
    options: Options,
    guarded: Position,
}

impl std::fmt::Debug for ReadModels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadModels").field("guarded", &self.guarded).finish_non_exhaustive()
    }
}

impl ReadModels {
    /// Opens a store to read, and its read models to write, by the rules that were set for the store.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn open(place: &Place, options: &Options) -> Result<Self, NodeError> {
        let (following, guarded) = recorded(place, options)?;
        let invoices = rules::in_force(&following.source.keyring).map_err(NodeError::Rules)?;
        Ok(Self {
            views: open_views(place).map_err(NodeError::Following)?,
            following,
            invoices: Arc::new(Invoices::new(invoices)),
            clock: Arc::clone(&options.clock),
            place: place.clone(),
            options: options.clone(),
            guarded,
        })
    }

    /// How the ledger is followed up to the guard as it is by now: a running node may have recorded more.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn recorded(&self) -> Result<Following, NodeError> {
        Ok(recorded(&self.place, &self.options)?.0)
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
        catch_up(&mut projector, &self.following, self.guarded, &AtomicBool::new(false))
    }

    /// The invoices' rows as this program's settings make them, whichever version serves beside a running node.
    ///
    /// # Errors
    /// [`ViewsError`].
    pub fn rows(&self) -> Result<Box<dyn Snapshot>, ViewsError> {
        let mut tries = 0;
        loop {
            let key = current_key(&*self.views, self.invoices.as_ref())?;
            let which = Which::Build { version: key.version, build: key.build };
            match self.views.snapshot(&key.name, which) {
                // A build was exchanged for another between the two looks.
                Err(ViewsError::Unknown(_)) if tries < EXCHANGED_TRIES_MAX => tries += 1,
                done => return done,
            }
        }
    }
}

/// How the ledger of a store is followed up to its guard, and where that stands.
fn recorded(place: &Place, options: &Options) -> Result<(Following, Position), NodeError> {
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
    Ok((Following::new(source, Arc::clone(&options.clock)), guarded))
}

impl From<FollowingError> for NodeError {
    fn from(error: FollowingError) -> Self {
        Self::Following(error)
    }
}
