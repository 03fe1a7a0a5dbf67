//! A node: one store opened to write, its read models following, its doors open.
//!
//! ```text
//! door ─► intake ─► writer ─► log ─► projector ─► views ─► pages
//!                             └──► router ─► subscribers
//! ```
//!
//! Not here: what the doors answer (`edge/http`, `edge/web`), the commands (`cli`).
//! Order of ending: doors drained → deliveries under way answered → bridges ended → intake answered → the last
//! checkpoint published → projector stopped → router stopped → store closed.

pub mod access_log;
pub mod api_keys;
pub mod bridges;
pub mod deliveries;
pub mod desk;
pub mod doors;
pub mod evidence_house;
pub mod exchange;
pub mod feed;
pub mod figures;
pub mod following;
pub mod house;
pub mod invoice_rows;
mod operating;
pub mod plans;
pub mod publishing;
pub mod read_models;
mod recorded;
pub mod routing;
pub mod rules;
pub mod shipped;
pub mod subjects;
pub mod traces;
pub mod upkeeping;
pub mod witnessing;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use waag_engine::runtime::Status;
use waag_http::fault::{Fault, Kind};
use waag_http::intake::{Intake, IntakeLimits, Means};
use waag_http::ports::{InvoiceView, Ledger, LedgerStatus, Node, Reveal, Stored};
use waag_http::tlog::{PublishedLog, Witnessing};
use waag_model::ids::{Actor, Position, TenantName};
use waag_router::error::RouterError;
use waag_router::router::Router;
use waag_views::progress::Reached;

use crate::store::error::StoreError;
use crate::store::options::Options;
use crate::store::own::RegisterError;
use crate::store::place::Place;
use crate::store::told_changes;
use crate::store::writer::{OpenedStore, open_writer};
use bridges::Bridges;
use bridges::error::BridgeError;
use following::{Following, FollowingError};
use publishing::{PublishError, PublishOptions, Publishing};
use rules::RulesError;
use subjects::Sweeper;
use upkeeping::Upkeeping;
use witnessing::{OwnWitness, WitnessOptions};

/// How long a node that ends waits for the answers to deliveries under way, in milliseconds: less than whoever ends it waits
/// before they kill it.
const DELIVERIES_END_MS_MAX: u64 = 5_000;

/// How a node is set.
#[derive(Clone, Debug, Default)]
pub struct NodeOptions {
    /// How its store is opened.
    pub store: Options,
    /// The bounds of its intake.
    pub intake: IntakeLimits,
    /// The invoices' service levels and bounds; those set for the store, or else the program's own, where there are none.
    pub invoices: Option<waag_invoices::config::Config>,
    /// Where deliveries may go.
    pub targets: routing::TargetOptions,
    /// How its log is published.
    pub publish: PublishOptions,
    /// Whose checkpoints it cosigns; nobody's where there is none.
    pub witness: Option<WitnessOptions>,
}

/// Why a node cannot start.
#[derive(Debug)]
pub enum NodeError {
    /// Its store.
    Store(StoreError),
    /// The shipped schemas cannot be registered.
    Schemas(RegisterError),
    /// Its read models.
    Following(FollowingError),
    /// Its deliveries.
    Routing(RouterError),
    /// Its bridges.
    Bridges(BridgeError),
    /// Its publication.
    Publishing(PublishError),
    /// The rules that were set for its store.
    Rules(RulesError),
    /// A thread cannot be had.
    Thread(std::io::Error),
}

impl NodeError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::Schemas(error) => error.code(),
            Self::Following(error) => error.code(),
            Self::Routing(error) => error.code(),
            Self::Bridges(error) => error.code(),
            Self::Publishing(error) => error.code(),
            Self::Rules(error) => error.code(),
            Self::Thread(_) => "E0850",
        }
    }
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Schemas(error) => error.fmt(f),
            Self::Following(error) => error.fmt(f),
            Self::Routing(error) => error.fmt(f),
            Self::Bridges(error) => error.fmt(f),
            Self::Publishing(error) => error.fmt(f),
            Self::Rules(error) => error.fmt(f),
            Self::Thread(_) => write!(f, "a thread of the node cannot be started"),
        }
    }
}

impl std::error::Error for NodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(error) => std::error::Error::source(error),
            Self::Schemas(error) => std::error::Error::source(error),
            Self::Following(error) => std::error::Error::source(error),
            Self::Routing(_) | Self::Rules(_) => None,
            Self::Bridges(error) => std::error::Error::source(error),
            Self::Publishing(error) => std::error::Error::source(error),
            Self::Thread(error) => Some(error),
        }
    }
}

impl From<StoreError> for NodeError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// One tenant's ledger, running. Fields drop in the order they stand.
pub struct Running {
    upkeeping: Upkeeping,
    bridges: Bridges,
    _sweeper: Sweeper,
    intake: Intake,
    publishing: Publishing,
    witness: Option<Arc<OwnWitness>>,
    following: Following,
    router: Arc<Router>,
    store: Arc<OpenedStore>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("place", &self.store.place).finish_non_exhaustive()
    }
}

impl Running {
    /// Opens a store and starts everything behind its doors; `progress` hears how far a long recovery is.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn start(
        place: &Place,
        options: &NodeOptions,
        actor: &Actor,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, NodeError> {
        let store = with_schemas(place, options, actor, progress)?;
        // Before anything is read that a crash may have left changed and untold.
        told_changes::finish(&store)?;
        let invoices = match &options.invoices {
            Some(given) => given.clone(),
            None => rules::in_force(&store.keyring).map_err(NodeError::Rules)?,
        };
        let following = Following::start(&store, &invoices).map_err(NodeError::Following)?;
        let router = routing::start(&store, &options.targets).map_err(NodeError::Routing)?;
        let means = Means {
            sealer: Arc::clone(&store.sealer),
            writer: Arc::clone(&store.writer),
            keyring: Arc::clone(&store.keyring),
            clock: Arc::clone(&store.clock),
            tenant: place.tenant.to_string(),
        };
        let intake = Intake::start(means, options.intake).map_err(NodeError::Thread)?;
        let publish = options.publish.clone();
        let publishing = Publishing::start(&store, publish).map_err(NodeError::Publishing)?;
        let witness = options.witness.as_ref().map(|options| OwnWitness::start(&store, options));
        let witness = witness.transpose().map_err(NodeError::Publishing)?.map(Arc::new);
        let bridges = Bridges::start(&store, &options.targets.nats_servers)?;
        let sweeper =
            Sweeper::start(Arc::clone(&store), actor.clone(), tell_not_swept).map_err(NodeError::Thread)?;
        Ok(Self {
            upkeeping: Upkeeping::default(),
            bridges,
            _sweeper: sweeper,
            intake,
            publishing,
            witness,
            following,
            router: Arc::new(router),
            store,
        })
    }

    /// The store behind it.
    #[must_use]
    pub fn store(&self) -> &Arc<OpenedStore> {
        &self.store
    }

    /// Its read models.
    #[must_use]
    pub fn following(&self) -> &Following {
        &self.following
    }

    /// Its deliveries.
    #[must_use]
    pub fn router(&self) -> &Arc<Router> {
        &self.router
    }

    /// Its bridges.
    #[must_use]
    pub fn bridges(&self) -> &Bridges {
        &self.bridges
    }

    /// Its schedule of backups and drills, which may have nothing in it.
    #[must_use]
    pub fn upkeeping(&self) -> &Upkeeping {
        &self.upkeeping
    }

    /// Its publication.
    #[must_use]
    pub fn publishing(&self) -> &Publishing {
        &self.publishing
    }

    /// What it is as a witness of other logs, where it is one.
    #[must_use]
    pub fn witness(&self) -> Option<&Arc<OwnWitness>> {
        self.witness.as_ref()
    }

    /// What the writer tells of itself.
    #[must_use]
    pub fn writer(&self) -> Status {
        self.store.status()
    }

    /// How far the read models are, seen from what is guarded now: they themselves look there only while they go on.
    #[must_use]
    pub fn reached(&self) -> Reached {
        let reached = self.following.reached();
        let guarded = Position(self.writer().checkpoint.checkpoint().size);
        Reached { guarded: reached.guarded.max(guarded), ..reached }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let left = self.router.wind_up(Duration::from_millis(DELIVERIES_END_MS_MAX));
        if left > 0 {
            crate::cli::tell(&format!(
                "note: deliveries under way that were not answered within {DELIVERIES_END_MS_MAX} ms: {left}; they go \
                 again at the next start"
            ));
        }
    }
}

/// Says that an erasure could not be finished, or that what is over could not be destroyed.
fn tell_not_swept(error: &crate::store::subjects::SubjectsError) {
    crate::cli::tell(&format!(
        "warning: {}: {error}; persons' keys that should be gone may not be",
        error.code()
    ));
}

/// Opens the store with the shipped schemas in it.
fn with_schemas(
    place: &Place,
    options: &NodeOptions,
    actor: &Actor,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Arc<OpenedStore>, NodeError> {
    let store = open_writer(place, &options.store, progress)?;
    if shipped::register(&store, actor).map_err(NodeError::Schemas)? {
        // What reads entries back has the dictionaries of its opening.
        drop(store);
        return Ok(Arc::new(open_writer(place, &options.store, progress)?));
    }
    Ok(Arc::new(store))
}

impl Ledger for Running {
    fn intake(&self) -> &Intake {
        &self.intake
    }

    fn status(&self) -> LedgerStatus {
        let status = self.store.status();
        LedgerStatus {
            checkpoint: status.checkpoint,
            projected: self.following.reached().cursor.position.0,
            halted: status.halted.map(|halt| halt.code),
        }
    }

    fn router(&self) -> Option<Arc<Router>> {
        Some(Arc::clone(&self.router))
    }

    fn published(&self) -> Option<Arc<dyn PublishedLog>> {
        Some(self.publishing.log())
    }

    fn event(&self, position: u64, reveal: Option<&Reveal>) -> Result<Option<Stored>, Fault> {
        recorded::stored(&self.store, position, reveal)
    }
}

/// The node as its doors see it: one tenant.
#[derive(Debug)]
pub struct OneTenant {
    /// Its name.
    pub tenant: TenantName,
    /// Its ledger.
    pub running: Arc<Running>,
}

impl Node for OneTenant {
    fn ledger(&self, tenant: &TenantName) -> Option<Arc<dyn Ledger>> {
        (*tenant == self.tenant).then(|| Arc::clone(&self.running) as Arc<dyn Ledger>)
    }

    fn ready(&self) -> Result<(), Kind> {
        if self.running.writer().halted.is_some() {
            return Err(Kind::Stopped);
        }
        if self.has_room() { Ok(()) } else { Err(Kind::NoRoom) }
    }

    fn has_room(&self) -> bool {
        !self.running.store.room.left().is_low
    }

    fn public_log(&self) -> Option<Arc<dyn PublishedLog>> {
        self.running.publishing.public_log()
    }

    fn witness(&self) -> Option<Arc<dyn Witnessing>> {
        self.running.witness.clone().map(|witness| witness as Arc<dyn Witnessing>)
    }
    fn invoices(&self, tenant: &TenantName) -> Option<Arc<dyn InvoiceView>> {
        (*tenant == self.tenant).then(|| Arc::clone(&self.running) as Arc<dyn InvoiceView>)
    }
}
