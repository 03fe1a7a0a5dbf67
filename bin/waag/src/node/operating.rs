//! What stands around the door while it is open: plans and their day, the access log, figures, telemetry.
//!
//! Not here: the doors themselves (`doors`), what each of these does (beside it).

use std::sync::Arc;

use waag_http::deliveries::RouterFigures;
use waag_http::door::{Door, DoorParts};
use waag_http::keys::{KeyError, Keys};
use waag_http::mapping::Mappings;
use waag_http::plans::Plans;
use waag_http::tls::Tls;
use waag_telemetry::{Spans, Telemetry};

use crate::store::place::ACCESS_FOLDER;

use super::access_log::AccessLog;
use super::desk::StateDesk;
use super::doors::{DoorsError, Where};
use super::figures::NodeFigures;
use super::plans::{self, DayKeeper};
use super::publishing::figures::PublicationFigures;
use super::traces::Traces;
use super::upkeeping::UpkeepFigures;
use super::witnessing::OwnWitness;
use super::{OneTenant, Running};

/// What runs beside a door; dropped after it.
#[derive(Debug)]
pub(super) struct Operating {
    pub(super) plans: Arc<Plans>,
    mappings: Arc<Mappings>,
    _day: DayKeeper,
    _telemetry: Option<Telemetry>,
}

impl Operating {
    /// Forgets what is held for a key that was withdrawn: what it used, and how its fields are named.
    ///
    /// # Errors
    /// [`KeyError`] where the mappings cannot be taken from the state; the key is withdrawn nevertheless.
    pub(super) fn forget(&self, key_id: &str) -> Result<(), KeyError> {
        self.plans.limiter().forget(key_id);
        self.mappings.forget(key_id)
    }
}

/// A door with everything around it.
pub(super) fn open(
    running: &Arc<Running>,
    keys: Arc<Keys>,
    at: &Where,
    tls: Option<&Arc<Tls>>,
) -> Result<(Arc<Door>, Operating), DoorsError> {
    let store = running.store();
    let (clock, tenant) = (Arc::clone(&store.clock), store.place.tenant.clone());
    let node = Arc::new(OneTenant { tenant, running: Arc::clone(running) });
    let desk = Arc::new(StateDesk(Arc::clone(&store.keyring)));
    let mappings = Arc::new(Mappings::load(desk).map_err(DoorsError::Mappings)?);
    // A node that ended just behind a withdrawal, or a command without one, left them.
    mappings.keep_of(&keys).map_err(DoorsError::Mappings)?;
    let plans = plans::load(store).map_err(DoorsError::Plans)?;
    let folder = store.place.data.join(ACCESS_FOLDER);
    let day = DayKeeper::start(&folder, Arc::clone(plans.limiter()), Arc::clone(&clock));
    let day = day.map_err(DoorsError::Runtime)?;
    let mut parts = DoorParts::plain(node, keys, Arc::clone(&mappings), Arc::clone(&clock));
    parts.limiter = Arc::clone(plans.limiter());
    parts.figures.push(Arc::new(NodeFigures::new(Arc::clone(running))));
    parts.figures.push(Arc::new(PublicationFigures(Arc::clone(running))));
    parts.figures.push(Arc::new(UpkeepFigures(Arc::clone(running))));
    if let Some(witness) = running.witness() {
        parts.figures.push(Arc::<OwnWitness>::clone(witness));
    }
    parts.figures.push(Arc::new(RouterFigures(Arc::clone(running.router()))));
    if let Some(tls) = tls {
        parts.figures.push(Arc::<Tls>::clone(tls));
    }
    if let Some(options) = &at.access_log {
        let log = AccessLog::start(options.clone(), Arc::clone(&clock)).map_err(DoorsError::Runtime)?;
        let log = Arc::new(log);
        parts.access.push(log.clone());
        parts.figures.push(log);
    }
    let spans = at.telemetry.as_ref().map(|options| with_traces(&mut parts, options.share));
    let door = Arc::new(Door::new(parts));
    let telemetry = at.telemetry.as_ref().zip(spans).map(|(options, spans)| {
        let figures: Arc<Door> = Arc::clone(&door);
        Telemetry::start(&options.to, &spans, figures, clock).map_err(DoorsError::Telemetry)
    });
    let telemetry = telemetry.transpose()?;
    Ok((door, Operating { plans, mappings, _day: day, _telemetry: telemetry }))
}

fn with_traces(parts: &mut DoorParts, share: u32) -> Spans {
    let spans = Telemetry::spans();
    parts.access.push(Arc::new(Traces::new(spans.clone(), share)));
    parts.figures.push(Arc::new(spans.clone()));
    spans
}
