//! A house for tests: a small ledger of real entries with real proofs, and pages full of plausible figures.

pub(crate) mod deliveries;
pub(crate) mod evidence;
pub(crate) mod ledger;
pub(crate) mod sample;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use waag_domain::memory::MemoryRows;
use waag_domain::project::Reads;
use waag_model::ids::Position;
use waag_model::time::UtcNanos;
use waag_stdx::clock::Clock;
use waag_web::ports::deliveries::Deliveries;
use waag_web::ports::evidence::Evidence;
use waag_web::ports::{Health, House, HouseError, LastCheckpoint, Progress, Proof, Recent, Recorded, Writer};

use deliveries::SampleDeliveries;
use evidence::SampleEvidence;
use ledger::Ledger;

/// The point in time all samples are about: 2026-11-20 14:30:00 UTC.
pub(crate) const NOW: UtcNanos = UtcNanos(1_795_185_000_000_000_000);

/// A clock that stands still.
pub(crate) struct Still;

impl Clock for Still {
    fn now(&self) -> UtcNanos {
        NOW
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// A house of samples.
pub(crate) struct Sample {
    pub(crate) ledger: Ledger,
    pub(crate) deliveries: Arc<SampleDeliveries>,
    pub(crate) evidence: Arc<SampleEvidence>,
    pub(crate) progress: watch::Sender<Progress>,
    /// Whether proofs come out with one byte changed.
    pub(crate) tampered: AtomicBool,
    /// Whether nothing can be read at the moment.
    pub(crate) failing: AtomicBool,
    /// Whether the read model has stopped.
    pub(crate) halted: AtomicBool,
    /// Whether the writer has stopped.
    pub(crate) stopped: AtomicBool,
    pub(crate) full: AtomicBool,
    /// Whether nothing was recorded so far.
    pub(crate) empty: bool,
}

impl Sample {
    pub(crate) fn new(empty: bool) -> Arc<Self> {
        let ledger = Ledger::new();
        let newest = (!empty).then_some(UtcNanos(NOW.0 - 400_000_000));
        let projected = if empty { 0 } else { 1_284_311 };
        let progress = watch::Sender::new(Progress { projected, newest });
        let deliveries = Arc::new(SampleDeliveries::new(empty));
        let evidence = Arc::new(SampleEvidence::new(empty));
        let [tampered, failing, halted, stopped, full] = [(); 5].map(|()| AtomicBool::new(false));
        Arc::new(Self {
            ledger,
            deliveries,
            evidence,
            progress,
            tampered,
            failing,
            halted,
            stopped,
            full,
            empty,
        })
    }
}

impl House for Sample {
    fn reads(&self) -> Result<Box<dyn Reads + Send>, HouseError> {
        if self.failing.load(Ordering::Relaxed) {
            return Err(HouseError { code: "E0000", reason: "nothing can be read at the moment".to_owned() });
        }
        Ok(Box::new(MemoryRows::default()))
    }

    fn history(&self, positions: &[Position]) -> Result<Vec<Recorded>, HouseError> {
        Ok(positions.iter().filter_map(|at| self.ledger.recorded(*at)).collect())
    }

    fn proof(&self, position: Position) -> Result<Option<Proof>, HouseError> {
        let mut proof = self.ledger.proof(position);
        if let Some(proof) = proof.as_mut().filter(|_| self.tampered.load(Ordering::Relaxed)) {
            proof.entry[7] ^= 1;
        }
        Ok(proof)
    }

    fn health(&self) -> Health {
        let checkpoint = self.ledger.checkpoint();
        Health {
            version: env!("CARGO_PKG_VERSION"),
            origin: checkpoint.checkpoint().origin.clone(),
            entries: self.progress.borrow().projected,
            progress: *self.progress.borrow(),
            writer: if self.stopped.load(Ordering::Relaxed) {
                Writer::Halted("E0602", "the disk is full".to_owned())
            } else if self.full.load(Ordering::Relaxed) {
                Writer::NoRoom("E0924")
            } else {
                Writer::Writing
            },
            shown_halted: self.halted.load(Ordering::Relaxed).then_some("E0690"),
            disk_free_bytes: 412_000_000_000,
            store_bytes: 1_734_000_000,
            uptime: Duration::from_secs(11 * 86_400 + 3 * 3_600),
            checkpoint: (!self.empty).then(|| LastCheckpoint {
                size: 1_284_311,
                root: checkpoint.checkpoint().root,
                at: UtcNanos(NOW.0 - 350_000_000),
            }),
            intake: "http://127.0.0.1:8080".to_owned(),
        }
    }

    fn changes(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    fn router(&self) -> Option<Arc<dyn Deliveries>> {
        Some(Arc::clone(&self.deliveries) as Arc<dyn Deliveries>)
    }

    fn evidence(&self) -> Option<Arc<dyn Evidence>> {
        Some(Arc::clone(&self.evidence) as Arc<dyn Evidence>)
    }

    fn recent(&self, most: usize) -> Result<Vec<Recent>, HouseError> {
        let text = self.deliveries.foreign.unwrap_or("Van Dijk Logistiek BV");
        let event = |at: u64| {
            let kind = ["invoice.authorization", "payment.requested", "invoice.posting"][at as usize % 3];
            let (vendor, currency) = (serde_json::json!(text), ["EUR", "USD"][at as usize % 2]);
            let (invoice, amount) = (104_233 + at * 977, 250_000 * (at + 1));
            let json = format!(
                r#"{{"specversion":"1.0","id":"evt-{at}","source":"/erp/eu-west-1","type":"{kind}","subject":"INV-2026-{invoice}","data":{{"vendor":{vendor},"amount_minor":{amount},"currency":"{currency}"}}}}"#
            );
            Recent { position: Position(1_284_310 - at), json }
        };
        Ok(if self.empty { Vec::new() } else { (0..most.min(12) as u64).map(event).collect() })
    }
}
