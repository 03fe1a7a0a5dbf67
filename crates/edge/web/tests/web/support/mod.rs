//! A house for tests: a small ledger of real entries with real proofs, and pages full of plausible figures.

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
use waag_web::ports::{Health, House, HouseError, LastCheckpoint, Progress, Proof, Recorded, Writer};

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
    pub(crate) progress: watch::Sender<Progress>,
    /// Whether proofs come out with one byte changed.
    pub(crate) tampered: AtomicBool,
    /// Whether nothing was recorded so far.
    pub(crate) empty: bool,
}

impl Sample {
    pub(crate) fn new(empty: bool) -> Arc<Self> {
        let ledger = Ledger::new();
        let newest = (!empty).then_some(UtcNanos(NOW.0 - 400_000_000));
        let projected = if empty { 0 } else { 1_284_311 };
        let progress = watch::Sender::new(Progress { projected, newest });
        Arc::new(Self { ledger, progress, tampered: AtomicBool::new(false), empty })
    }
}

impl House for Sample {
    fn reads(&self) -> Result<Box<dyn Reads + Send>, HouseError> {
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
            writer: Writer::Writing,
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
}
