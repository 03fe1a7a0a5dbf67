//! What the router tells becomes events of the ledger, each with the entry that caused it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use serde_json::json;
use waag_cloudevents::read_event;
use waag_engine::batch::Outcome;
use waag_engine::effect::Rejection;
use waag_entry::form::{Cause, Entry};
use waag_ledger::hash::leaf_hash;
use waag_model::event::Accepted;
use waag_model::ids::{Actor, Position};
use waag_router::notice::{Notice, Recorded, Recorder};
use waag_stdx::entropy::{Entropy, SystemEntropy};
use waag_views::source::{FactSource, SourceFault};

use super::log;
use crate::cli::tell;
use crate::store::error::StoreError;
use crate::store::own::OWN_SOURCE;
use crate::store::writer::OpenedStore;

/// Who does what nobody asked for.
const ROUTER: &str = "waag/router";
/// Most lots of notices that wait; the router has one under way at a time.
const WAITING_MAX: usize = 4;
/// How many ids are tried for what is told.
const IDS_TRIED_MAX: u32 = 3;
/// How often a full writer, or one that had keys destroyed meanwhile, is asked again, and the wait between.
const TRIES_MAX: u32 = 1_000;
const TRY_DELAY_MS: u64 = 5;

/// Records notices on a thread of its own. Dropping it ends the thread.
pub(super) struct LedgerRecorder {
    notices: Option<SyncSender<(Vec<Notice>, Recorded)>>,
    thread: Option<JoinHandle<()>>,
}

impl LedgerRecorder {
    pub(super) fn start(store: Arc<OpenedStore>, source: FactSource) -> std::io::Result<Self> {
        let (notices, told) = sync_channel(WAITING_MAX);
        let run = move || run(&store, &source, &told);
        let thread = std::thread::Builder::new().name("waag-route-tell".to_owned()).spawn(run)?;
        Ok(Self { notices: Some(notices), thread: Some(thread) })
    }
}

impl Recorder for LedgerRecorder {
    fn record(&self, notices: Vec<Notice>, then: Recorded) {
        let sent = self.notices.as_ref().map(|to| to.try_send((notices, then)));
        if let Some(Err(refused)) = sent {
            let (_, then) = match refused {
                std::sync::mpsc::TrySendError::Full(lot)
                | std::sync::mpsc::TrySendError::Disconnected(lot) => lot,
            };
            then(Err("the ledger's writer is busy".to_owned()));
        }
    }
}

impl Drop for LedgerRecorder {
    fn drop(&mut self) {
        self.notices = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn run(store: &OpenedStore, source: &FactSource, told: &Receiver<(Vec<Notice>, Recorded)>) {
    while let Ok((notices, then)) = told.recv() {
        let lines: Vec<String> = notices.iter().filter_map(log::line).collect();
        let recorded = record_all(store, source, notices);
        if recorded.is_ok() {
            lines.iter().for_each(|line| tell(line));
        }
        then(recorded);
    }
}

/// The causes' leaf hashes and depths, each frame read once.
fn causes(source: &FactSource, notices: &[Notice]) -> Result<BTreeMap<Position, Cause>, SourceFault> {
    let mut positions: Vec<Position> = notices.iter().filter_map(Notice::cause).collect();
    positions.sort_unstable();
    positions.dedup();
    let mut found = BTreeMap::new();
    source.visit(&positions, &mut |_, position, bytes| {
        let entry = Entry::read(bytes).map_err(|error| SourceFault::Entry(position, error))?;
        let depth = entry.header.cause.map_or(0, |cause| cause.depth).saturating_add(1);
        found.insert(position, Cause { leaf: leaf_hash(bytes).0, depth });
        Ok(())
    })?;
    Ok(found)
}

/// Code and sentence of what went wrong.
fn told(code: &str, why: impl std::fmt::Display) -> String {
    format!("{code}: {why}")
}

/// Records all of them, under another id where somebody else's event has theirs: what the router tells is not to be kept out
/// of the ledger by an event that came before it.
fn record_all(store: &OpenedStore, source: &FactSource, mut notices: Vec<Notice>) -> Result<(), String> {
    for _ in 0..IDS_TRIED_MAX {
        let taken = record(store, source, &notices)?;
        if taken.is_empty() {
            return Ok(());
        }
        let mut random = [0; 8];
        SystemEntropy::new().fill(&mut random).map_err(|error| told(error.code(), error))?;
        notices = taken.into_iter().filter_map(|at| notices.get(at).cloned()).collect();
        for notice in &mut notices {
            notice.id = format!("{}-{}", notice.id, hex::encode(random));
        }
    }
    Err("the ids of what the router tells are taken".to_owned())
}

/// Records them; which ones were not, since another event has their id.
fn record(store: &OpenedStore, source: &FactSource, notices: &[Notice]) -> Result<Vec<usize>, String> {
    let causes = causes(source, notices).map_err(|fault| told(fault.code(), &fault))?;
    let texts: Vec<Vec<u8>> = notices.iter().map(text).collect();
    let (mut from, mut tries, mut conflicts) = (0, 0, Vec::new());
    while from < notices.len() {
        let mut batch = store.sealer.begin();
        let mut to = from;
        for (notice, text) in notices.iter().zip(&texts).skip(from) {
            let event = read_event(text).map_err(|why| told(why.code(), why))?;
            let actor = notice.by.as_deref().unwrap_or(ROUTER);
            let actor = Actor::new(actor).map_err(|why| told(why.code(), why))?;
            let accepted = Accepted { event, actor, accepted: store.clock.now() };
            let cause = notice.cause().and_then(|position| causes.get(&position).copied());
            match batch.push(accepted, cause) {
                Ok(_) => to += 1,
                // What fits is recorded first.
                Err(_) if to > from => break,
                Err(error) => return Err(told(error.code(), error)),
            }
        }
        let taken = store.writer.submit(batch.finish()).map_err(Rejection::from);
        match taken.and_then(waag_engine::runtime::Pending::wait) {
            Ok(receipt) => {
                let is_taken = |outcome: &Outcome| match outcome {
                    Outcome::Recorded(_) | Outcome::Before(_) => false,
                    Outcome::Conflict(_) | Outcome::Erased(_) => true,
                };
                let taken = receipt.items.iter().enumerate().filter(|(_, outcome)| is_taken(outcome));
                conflicts.extend(taken.map(|(at, _)| from + at));
                from = to;
            }
            Err(Rejection::Busy | Rejection::Reseal) if tries < TRIES_MAX => {
                tries += 1;
                std::thread::sleep(std::time::Duration::from_millis(TRY_DELAY_MS));
            }
            Err(rejection) => {
                let rejection = StoreError::from(rejection);
                return Err(told(rejection.code(), rejection));
            }
        }
    }
    Ok(conflicts)
}

/// A notice as a CloudEvent.
fn text(notice: &Notice) -> Vec<u8> {
    // Without a subject, as all of Waag's own: an event of a type without a schema is its subject's as a whole, and who
    // follows dead letters is to see which.
    let event = json!({
        "specversion": "1.0", "id": notice.id, "source": OWN_SOURCE, "type": notice.kind,
        "datacontenttype": "application/json", "data": notice.data,
    });
    event.to_string().into_bytes()
}
