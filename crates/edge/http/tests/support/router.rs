//! A router over a ledger in memory, for doors that are tried with deliveries.

use std::sync::{Arc, Mutex};

use waag_keys::memory::MemoryState;
use waag_model::ids::{LedgerId, Position};
use waag_model::time::UtcNanos;
use waag_router::error::RouterError;
use waag_router::notice::{Notice, Recorded, Recorder};
use waag_router::ports::{Means, Secret, Secrets, Targets};
use waag_router::router::Router;
use waag_router::source::{Chunk, ChunkLimits, Event, Source, SourceError};
use waag_router::spec::TargetSpec;
use waag_router::target::Target;
use waag_stdx::clock::SystemClock;
use zeroize::Zeroizing;

/// Events as a ledger would have them.
#[derive(Default)]
pub(crate) struct Events(Mutex<Vec<Arc<Event>>>);

impl Events {
    /// Adds an event of a type about a subject.
    pub(crate) fn add(&self, kind: &str, subject: u8, json: &str) {
        let mut events = self.0.lock().unwrap();
        let position = Position(events.len() as u64);
        events.push(Arc::new(Event {
            position,
            committed: UtcNanos(1_000 + i64::try_from(position.0).unwrap()),
            kind: kind.into(),
            ordering: Some([subject; 16]),
            depth: 0,
            json: json.as_bytes().into(),
        }));
    }
}

impl Source for Events {
    fn end(&self) -> Position {
        Position(self.0.lock().unwrap().len() as u64)
    }

    fn read(&self, from: Position, to: Position, limits: ChunkLimits) -> Result<Chunk, SourceError> {
        let events = self.0.lock().unwrap();
        let span = events.iter().filter(|event| (from..to).contains(&event.position));
        Ok(Chunk { events: span.take(limits.events_max).cloned().collect() })
    }

    fn pick(&self, positions: &[Position]) -> Result<Vec<Arc<Event>>, SourceError> {
        let events = self.0.lock().unwrap();
        Ok(events.iter().filter(|event| positions.contains(&event.position)).cloned().collect())
    }

    fn position_at(&self, time: UtcNanos) -> Result<Position, SourceError> {
        let events = self.0.lock().unwrap();
        let at = events.iter().position(|event| event.committed >= time).unwrap_or(events.len());
        Ok(Position(at as u64))
    }
}

/// What the router had recorded.
#[derive(Default)]
pub(crate) struct Notices(pub(crate) Mutex<Vec<Notice>>);

impl Recorder for Notices {
    fn record(&self, notices: Vec<Notice>, then: Recorded) {
        self.0.lock().unwrap().extend(notices);
        then(Ok(()));
    }
}

/// Keeps secrets as they are: what is tried here is the door.
struct Plain;

impl Secrets for Plain {
    fn wrap(&self, plain: &[u8]) -> Result<Vec<u8>, RouterError> {
        Ok(plain.to_vec())
    }

    fn unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, RouterError> {
        Ok(Zeroizing::new(wrapped.to_vec()))
    }
}

/// Delivers nowhere, but takes subscriptions that are pulled, and webhooks.
struct Nowhere;

impl Target for Nowhere {
    fn deliver(&self, _delivery: waag_router::target::Delivery, _reply: waag_router::target::Reply) {}
}

impl Targets for Nowhere {
    fn open(&self, _name: &str, spec: &TargetSpec, _secrets: &[Secret]) -> Result<Arc<dyn Target>, String> {
        match spec {
            TargetSpec::Webhook { .. } | TargetSpec::Pull {} => Ok(Arc::new(Self)),
            TargetSpec::Nats { .. } | TargetSpec::InProcess { .. } => Err("not in this trial".to_owned()),
        }
    }

    fn new_secret(&self, spec: &TargetSpec) -> Result<Option<Secret>, String> {
        let is_webhook = matches!(spec, TargetSpec::Webhook { .. });
        Ok(is_webhook.then(|| Secret(Zeroizing::new("whsec_made".to_owned()))))
    }
}

/// A router, its events, and what it had recorded.
pub(crate) fn router() -> (Arc<Router>, Arc<Events>, Arc<Notices>) {
    let (events, notices) = (Arc::new(Events::default()), Arc::new(Notices::default()));
    let means = Means {
        ledger: LedgerId([7; 16]),
        source: events.clone(),
        state: Arc::new(MemoryState::default()),
        secrets: Arc::new(Plain),
        recorder: notices.clone(),
        targets: Arc::new(Nowhere),
        clock: Arc::new(SystemClock::new()),
    };
    (Arc::new(Router::start(means).unwrap()), events, notices)
}
