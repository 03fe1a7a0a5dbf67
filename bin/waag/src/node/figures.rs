//! A running node's own figures: its ledger, its writer, its read models, its process.
//!
//! Not here: the door's (`waag_http::metrics`), the access log's and the telemetry's (beside what they count).

use std::path::Path;
use std::sync::Arc;

use waag_model::time::UtcNanos;
use waag_stdx::figures::{Family, Figures, counter, gauge, seconds};
use waag_views::progress::Activity;

use super::Running;

/// Bytes of a page of memory, on the systems that `/proc/self/statm` is read on.
const PAGE_BYTES: u64 = 4_096;

/// The figures of a running node.
#[derive(Debug)]
pub struct NodeFigures {
    running: Arc<Running>,
    started: UtcNanos,
}

impl NodeFigures {
    /// Those of this one.
    #[must_use]
    pub fn new(running: Arc<Running>) -> Self {
        let started = running.store().clock.now();
        Self { running, started }
    }

    fn ledger(&self) -> Vec<Family> {
        let store = self.running.store();
        // The tail before the checkpoint, which only grows: what is told as unguarded is that at most.
        let tail = store.reader.log.tail();
        let status = self.running.writer();
        let entries = status.checkpoint.checkpoint().size;
        let age = store.clock.now().0.saturating_sub(tail.commit_time.0).max(0) as f64 / 1e9;
        let log = bytes_in(&store.place.data.join("log"));
        vec![
            gauge("waag_ledger_entries", "Entries under the newest guarded checkpoint.", entries),
            counter("waag_ledger_commits", "Frames that the ledger has.", tail.next.0),
            gauge(
                "waag_ledger_unguarded",
                "Entries that are durable and not yet under the guard.",
                tail.position.0.saturating_sub(entries),
            ),
            seconds(
                "waag_ledger_checkpoint_age_seconds",
                "Time since the last commit.",
                if tail.next.0 == 0 { 0.0 } else { age },
            ),
            gauge("waag_log_bytes", "Bytes of the log's files, those kept ready included.", log),
            gauge("waag_writer_halted", "1 where the writer has stopped.", status.halted.is_some().into()),
            gauge("waag_identity_entries", "Events that a retry is recognised of.", status.identity.entries),
            gauge(
                "waag_identity_memory_bytes",
                "Memory that they are recognised by.",
                status.identity.memory_bytes as u64,
            ),
        ]
    }

    fn intake(&self) -> Vec<Family> {
        let (requests, bytes) = self.running.intake.queued();
        vec![
            gauge("waag_intake_waiting", "Requests that wait to be sealed.", requests as u64),
            gauge("waag_intake_waiting_bytes", "Bytes that wait to be sealed.", bytes as u64),
        ]
    }

    fn views(&self) -> Vec<Family> {
        let reached = self.running.reached();
        let age = reached.age(self.running.store().clock.now()).as_secs_f64();
        let is_halted = matches!(reached.activity, Activity::Halted { .. });
        vec![
            gauge("waag_views_entries", "Entries that the read models have.", reached.cursor.position.0),
            gauge("waag_views_lag", "Entries that the read models do not have yet.", reached.lag()),
            seconds(
                "waag_views_lag_seconds",
                "Age of the newest entry that the read models have, where there are newer ones.",
                age,
            ),
            counter("waag_views_batches", "Batches that the read models took in.", reached.batches),
            counter("waag_views_events", "Events that the read models took in.", reached.events),
            gauge("waag_views_halted", "1 where the read models cannot go on.", is_halted.into()),
        ]
    }

    fn process(&self) -> Vec<Family> {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let resident = pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0);
        let left = self.running.store().room.left();
        vec![
            gauge(
                "process_resident_memory_bytes",
                "Memory of the process.",
                resident.saturating_mul(PAGE_BYTES),
            ),
            seconds(
                "process_start_time_seconds",
                "When the process opened its doors, since 1970.",
                self.started.0 as f64 / 1e9,
            ),
            gauge(
                "waag_disk_free_bytes",
                "Free bytes where the store is, of the fuller disk where data and state have two.",
                left.free.unwrap_or(0),
            ),
            gauge("waag_disk_low", "1 where too little is free to take more events.", left.is_low.into()),
        ]
    }
}

impl Figures for NodeFigures {
    fn families(&self) -> Vec<Family> {
        [self.ledger(), self.intake(), self.views(), self.process()].concat()
    }
}

/// Bytes of a folder's files; what cannot be read counts nothing.
fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|known| known.len()).sum()
}
