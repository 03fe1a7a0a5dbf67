//! What the pages show of a running node: rows, opened events with personal fields masked, proofs, health.
//!
//! Place: between the pages and the store. Nothing here reveals: a person's values leave with their last four characters
//! at most, and what was erased is told as erased.
//! Not here: how pages look (`edge/web`), which figures there are (`domains/invoices`).

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use waag_domain::project::Reads;
use waag_engine::reader::ReadFault;
use waag_engine::recover::verifier_keys;
use waag_entry::plain::{Body, Common};
use waag_http::fault::Kind;
use waag_ledger::hash::leaf_hash;
use waag_ledger::tlog_proof::TlogProof;
use waag_model::ids::Position;
use waag_model::time::UtcNanos;
use waag_model::value::{Object, Value};
use waag_router::router::Router;
use waag_router::source::{ChunkLimits, Source, SourceError};
use waag_views::progress::{Activity, Reached};
use waag_web::ports::deliveries::Deliveries;
use waag_web::ports::evidence::Evidence;
use waag_web::ports::{
    Field, Health, House, HouseError, LastCheckpoint, Progress, Proof, Recent, Recorded, Shown, Writer,
};

use crate::store::error::StoreError;

use super::evidence_house::EvidenceHouse;
use super::recorded::{Opened, open};
use super::{Running, routing};

/// How long the size of the store is told before it is looked at again.
const STORED_FOR: Duration = Duration::from_secs(10);

/// How much of the newest events is read at a time.
const RECENT_BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// A running node as the pages see it.
pub struct RunningHouse {
    running: Arc<Running>,
    evidence: Arc<EvidenceHouse>,
    intake: String,
    started: Duration,
    stored: Mutex<Option<(Duration, u64)>>,
}

impl std::fmt::Debug for RunningHouse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunningHouse").finish_non_exhaustive()
    }
}

impl RunningHouse {
    /// Bytes of everything stored, as of some seconds ago at most: going through the folders takes longer than a page.
    fn stored_bytes(&self) -> u64 {
        let now = self.running.store().clock.monotonic();
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        match *stored {
            Some((at, bytes)) if now.saturating_sub(at) < STORED_FOR => bytes,
            Some(_) | None => {
                let bytes = bytes_below(&self.running.store().place.data, 3);
                *stored = Some((now, bytes));
                bytes
            }
        }
    }

    /// The house of a running node whose intake is at this URL.
    #[must_use]
    pub fn new(running: Arc<Running>, intake: String) -> Self {
        let started = running.store().clock.monotonic();
        let evidence = Arc::new(EvidenceHouse::new(Arc::clone(&running)));
        Self { running, evidence, intake, started, stored: Mutex::new(None) }
    }

    fn recorded(&self, position: Position) -> Result<Option<Recorded>, ReadFault> {
        open(&self.running.store().reader, position, false, |opened| shown(position, opened))
    }
}

/// An entry in the pages' words.
fn shown(position: Position, opened: Opened<'_>) -> Recorded {
    let Opened { committed, leaf, header, common, masked } = opened;
    let told = |value: Option<&Value<'_>>| value.and_then(Value::as_text).map(str::to_owned);
    let happened = common.as_ref().and_then(|common| told(common.attributes.child("time")));
    Recorded {
        position,
        leaf,
        kind: header.kind.to_owned(),
        id: told(common.as_ref().map(|common| &common.id)),
        source: told(common.as_ref().map(|common| &common.source)),
        happened: happened.and_then(|time| waag_invoices::when::instant(&time)),
        accepted: header.accepted,
        committed,
        actor: told(common.as_ref().map(|common| &common.actor)),
        fields: common.map_or_else(Vec::new, |common| fields(&common, &masked)),
    }
}

/// The values of an event's data, each at its path; whatever stands below a masked place is masked.
fn fields(common: &Common<'_>, masked: &[String]) -> Vec<Field> {
    let mut out = Vec::new();
    match &common.body {
        Body::Json(data) => flatten(data, String::new(), "/data".to_owned(), masked, &mut out),
        Body::Binary(bytes) => {
            let shown = Shown::Plain(format!("{} bytes that are no JSON", bytes.len()));
            out.push(Field { path: "data".to_owned(), shown });
        }
        Body::None => {}
    }
    out
}

fn flatten(value: &Value<'_>, path: String, pointer: String, masked: &[String], out: &mut Vec<Field>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let text = match value {
        Value::Object(object) => return flatten_object(object, &below, &pointer, masked, out),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                let name = at.to_string();
                flatten(item, below(&name), format!("{pointer}/{name}"), masked, out);
            }
            return;
        }
        Value::Withheld(_) => {
            out.push(Field { path: named(path), shown: Shown::Erased });
            return;
        }
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Decimal(number) => format!("{}e{}", number.significand, number.exponent),
        Value::Text(text) => text.as_ref().to_owned(),
    };
    let is_masked = masked.iter().any(|place| {
        pointer.strip_prefix(place.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    out.push(Field {
        path: named(path),
        shown: if is_masked { Shown::Masked(text) } else { Shown::Plain(text) },
    });
}

fn flatten_object(
    object: &Object<'_>,
    below: &dyn Fn(&str) -> String,
    pointer: &str,
    masked: &[String],
    out: &mut Vec<Field>,
) {
    for (name, member) in object.members() {
        let step = waag_model::schema::pointer_step(name);
        flatten(member, below(name), format!("{pointer}/{step}"), masked, out);
    }
}

fn named(path: String) -> String {
    if path.is_empty() { "data".to_owned() } else { path }
}

fn unreadable(error: &ReadFault) -> HouseError {
    HouseError { code: error.code(), reason: error.to_string() }
}

fn failed(error: &StoreError) -> HouseError {
    HouseError { code: error.code(), reason: error.to_string() }
}

impl House for RunningHouse {
    fn reads(&self) -> Result<Box<dyn Reads + Send>, HouseError> {
        match self.running.invoice_rows() {
            Ok(snapshot) => Ok(snapshot),
            Err(error) => Err(HouseError { code: error.code(), reason: error.to_string() }),
        }
    }

    fn history(&self, positions: &[Position]) -> Result<Vec<Recorded>, HouseError> {
        let guarded = self.running.writer().checkpoint.checkpoint().size;
        let mut events = Vec::with_capacity(positions.len());
        for position in positions.iter().filter(|position| position.0 < guarded) {
            events.extend(self.recorded(*position).map_err(|error| unreadable(&error))?);
        }
        Ok(events)
    }

    fn proof(&self, position: Position) -> Result<Option<Proof>, HouseError> {
        let store = self.running.store();
        let checkpoint = store.status().checkpoint;
        let told = checkpoint.checkpoint();
        if position.0 >= told.size {
            return Ok(None);
        }
        let entry = store.reader.bytes(position).map_err(|error| unreadable(&error))?;
        let proof = store.prove(told, position, &leaf_hash(&entry)).map_err(|error| failed(&error))?;
        let proof =
            TlogProof::new(proof, &checkpoint).map_err(|error| failed(&StoreError::ProofText(error)))?;
        let keys = verifier_keys(&store.ledger).map_err(|error| failed(&StoreError::Origin(error)))?;
        Ok(Some(Proof {
            entry,
            file: proof.to_string(),
            keys: keys.iter().map(ToString::to_string).collect(),
        }))
    }

    fn router(&self) -> Option<Arc<dyn Deliveries>> {
        let router: Arc<dyn Deliveries> = Arc::<Router>::clone(self.running.router());
        Some(router)
    }

    fn evidence(&self) -> Option<Arc<dyn Evidence>> {
        Some(Arc::clone(&self.evidence) as Arc<dyn Evidence>)
    }

    fn recent(&self, most: usize) -> Result<Vec<Recent>, HouseError> {
        let failed = |error: SourceError| HouseError { code: error.code, reason: error.reason };
        let source = routing::source(self.running.store());
        let end = source.end();
        let mut from = Position(end.0.saturating_sub(most as u64));
        let limits = ChunkLimits { events_max: most, bytes_max: RECENT_BYTES_MAX };
        let mut recent = Vec::new();
        while from < end {
            let events = source.read(from, end, limits).map_err(failed)?.events;
            let Some(last) = events.last() else { break };
            from = Position(last.position.0.saturating_add(1));
            recent.extend(events.iter().map(|event| Recent {
                position: event.position,
                json: String::from_utf8_lossy(&event.json).into_owned(),
            }));
        }
        recent.reverse();
        Ok(recent)
    }

    fn health(&self) -> Health {
        let store = self.running.store();
        let status = store.status();
        let told = status.checkpoint.checkpoint();
        let reached = self.running.reached();
        let left = store.room.left();
        let writer = match status.halted {
            Some(halt) => Writer::Halted(halt.code, halt.reason.clone()),
            None if left.is_low => Writer::NoRoom(Kind::NoRoom.code()),
            None => Writer::Writing,
        };
        Health {
            version: env!("CARGO_PKG_VERSION"),
            origin: told.origin.clone(),
            entries: told.size,
            progress: progress_of(&reached),
            writer,
            shown_halted: match reached.activity {
                Activity::Halted { code, .. } => Some(code),
                Activity::Following | Activity::Stopped => None,
            },
            disk_free_bytes: left.free.unwrap_or(0),
            store_bytes: self.stored_bytes(),
            uptime: store.clock.monotonic().saturating_sub(self.started),
            checkpoint: (told.size > 0).then(|| LastCheckpoint {
                size: told.size,
                root: told.root,
                at: store.reader.log.tail().commit_time,
            }),
            intake: self.intake.clone(),
        }
    }

    fn changes(&self) -> tokio::sync::watch::Receiver<Progress> {
        self.running.following().shown()
    }
}

/// How far the read model is, in the pages' words.
pub(super) fn progress_of(reached: &Reached) -> Progress {
    let position = reached.cursor.position.0;
    let newest = (position > 0).then_some(UtcNanos(reached.cursor.committed.0));
    Progress { projected: position, newest }
}

/// Bytes of all files below a folder, a few levels down; what cannot be read counts nothing.
fn bytes_below(folder: &Path, levels: u8) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let bytes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(known) if known.is_dir() && levels > 0 => bytes_below(&entry.path(), levels - 1),
        Ok(known) => known.len(),
        Err(_) => 0,
    });
    bytes.sum()
}
