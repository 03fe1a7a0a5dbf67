//! A small store on a simulated disk (log and guard in folders of their own), and what tests do with it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "helpers of tests")]
#![allow(dead_code, reason = "each test file uses some of the helpers")]

use std::sync::Arc;

use waag_files::config::LogConfig;
use waag_files::error::OpenError;
use waag_files::guard::{FileGuard, Inspection};
use waag_files::log::FilesLog;
use waag_files::recover::Recovery;
use waag_files::walk::RawFiles;
use waag_log::conformance::{Chain, sample_entries};
use waag_log::contract::{AppendError, EventLog};
use waag_log::frame::Frame;
use waag_log::guard::{Guard, GuardError, GuardRecord};
use waag_log::verify::{Report, verify};
use waag_model::ids::LedgerId;
use waag_sim::disk::SimDisk;

pub(crate) const LEDGER: LedgerId = LedgerId(*b"a simulated disk");

pub(crate) const SMALL: LogConfig =
    LogConfig { segment_bytes: 65_536, step_bytes: 16_384, ahead_bytes_max: 32_768 };

/// The file of the segment that begins with this frame.
pub(crate) fn name(segment: u64) -> String {
    format!("data/log/{segment:020}.seg")
}

/// A ledger's log and guard, with what was acknowledged.
pub(crate) struct Store {
    pub(crate) disk: SimDisk,
    pub(crate) log: FilesLog,
    pub(crate) guard: FileGuard,
    pub(crate) chain: Chain,
    pub(crate) sequence: u64,
    /// Frames whose guard was swapped: acknowledged.
    pub(crate) acknowledged: Vec<Frame>,
}

#[derive(Debug)]
pub(crate) enum CommitError {
    Log(AppendError),
    Guard(GuardError),
}

pub(crate) fn log_files(disk: &SimDisk) -> Arc<SimDisk> {
    Arc::new(disk.folder("data"))
}

pub(crate) fn guard_files(disk: &SimDisk) -> SimDisk {
    disk.folder("state")
}

impl Store {
    pub(crate) fn create(disk: &SimDisk) -> Store {
        let chain = Chain::new(LEDGER);
        let log = FilesLog::create(log_files(disk), SMALL, LEDGER).unwrap();
        let guard = FileGuard::create(&guard_files(disk)).unwrap();
        guard.swap(None, &chain.guard(0)).unwrap();
        Store { disk: disk.clone(), log, guard, chain, sequence: 0, acknowledged: Vec::new() }
    }

    /// Entries whose number and lengths depend on the frame's number.
    pub(crate) fn entries(&self) -> Vec<Vec<u8>> {
        let n = self.chain.tail().next.0;
        let count = [1, 3, 29, 2, 9][usize::try_from(n % 5).unwrap()];
        sample_entries(n, count, [700, 3_000, 900, 9_000, 60][usize::try_from(n % 5).unwrap()])
    }

    pub(crate) fn next_frame(&mut self) -> Frame {
        let entries = self.entries();
        let slices: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        self.chain.next(&slices).unwrap()
    }

    pub(crate) fn append(&mut self, frame: &Frame) -> Result<(), CommitError> {
        self.log.append(frame.header().fields.number, frame).map_err(CommitError::Log)
    }

    pub(crate) fn swap(&mut self) -> Result<(), CommitError> {
        let new = self.chain.guard(self.sequence + 1);
        self.guard.swap(Some(self.sequence), &new).map_err(CommitError::Guard)?;
        self.sequence += 1;
        Ok(())
    }

    /// Frame durable, then guard, then acknowledged.
    pub(crate) fn commit(&mut self) -> Result<(), CommitError> {
        let before = self.chain.clone();
        let frame = self.next_frame();
        if let Err(error) = self.append(&frame) {
            self.chain = before;
            return Err(error);
        }
        self.swap()?;
        self.acknowledged.push(frame);
        Ok(())
    }

    pub(crate) fn commits(&mut self, n: usize) {
        for _ in 0..n {
            self.commit().unwrap();
        }
    }
}

/// Opens guard and log again.
pub(crate) fn reopen(
    disk: &SimDisk,
) -> Result<(FilesLog, FileGuard, GuardRecord, Recovery, Inspection), OpenError> {
    let (guard, inspection) = FileGuard::open(&guard_files(disk)).unwrap();
    let record = guard.read().unwrap().unwrap();
    let (log, recovery) = FilesLog::open(log_files(disk), SMALL, LEDGER, &record)?;
    Ok((log, guard, record, recovery, inspection))
}

/// Opens again after a crash, adopts what was whole beyond the guard, and goes on as a writer would.
///
/// `offered` are all frames that were ever offered, by number.
pub(crate) fn recover(disk: &SimDisk, acknowledged: Vec<Frame>, offered: &[Frame]) -> Store {
    let (log, guard, record, recovery, _) = reopen(disk).unwrap();
    let due = acknowledged.last().map_or(0, |frame| frame.header().tree_size);
    assert!(record.size >= due, "the guard is behind what was acknowledged");
    let mut chain = Chain::new(LEDGER);
    let mut acknowledged_now = Vec::new();
    let tail = log.tail();
    for number in 0..tail.next.0 {
        let frame = offered.iter().rev().find(|f| {
            f.header().fields.number.0 == number && f.header().fields.previous == chain.tail().header_hash
        });
        let found = read_frame(&log, chain.tail().position.0);
        let frame = frame
            .filter(|f| f.bytes() == found)
            .cloned()
            .unwrap_or_else(|| panic!("frame {number} was never offered"));
        let entries: Vec<&[u8]> = waag_log::frame::Entries::new(frame.body()).collect();
        assert_eq!(chain.next(&entries).unwrap().bytes(), frame.bytes());
        acknowledged_now.push(frame);
    }
    assert!(acknowledged_now.len() >= acknowledged.len(), "acknowledged frames are missing");
    for (one, other) in acknowledged.iter().zip(&acknowledged_now) {
        assert!(one == other, "an acknowledged frame was changed");
    }
    assert_eq!(chain.tail(), tail);
    let mut store = Store {
        disk: disk.clone(),
        log,
        guard,
        chain,
        sequence: record.sequence,
        acknowledged: acknowledged_now,
    };
    if !recovery.residue.is_empty() {
        store.swap().unwrap();
    }
    store
}

fn read_frame(log: &FilesLog, position: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    log.read(waag_model::ids::Position(position), &mut |view| {
        bytes = view.frame.bytes.to_vec();
        std::ops::ControlFlow::Break(())
    })
    .unwrap();
    bytes
}

pub(crate) fn verified(disk: &SimDisk) -> Report {
    let inspection = waag_files::guard::inspect(&guard_files(disk)).unwrap();
    let raw = RawFiles::new(log_files(disk), LEDGER);
    verify(&raw, LEDGER, inspection.record.as_ref(), &mut |_, _| Ok(()))
}
