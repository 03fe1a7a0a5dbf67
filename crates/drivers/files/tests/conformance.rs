//! The suites of `waag-log`, run on the real disk and on the simulated one, with segments large and small.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use waag_files::config::LogConfig;
use waag_files::guard::FileGuard;
use waag_files::log::FilesLog;
use waag_log::conformance::{Broken, GuardHarness, LogHarness, event_log, guard};
use waag_log::contract::EventLog;
use waag_log::guard::{Guard, GuardRecord};
use waag_model::ids::LedgerId;
use waag_sim::disk::SimDisk;
use waag_stdx::files::{DiskFiles, Files};

mod support;
use support::SMALL;

struct Harness {
    make: Box<dyn Fn(u64) -> Arc<dyn Files>>,
    config: LogConfig,
    made: AtomicU64,
    current: Mutex<Option<Arc<dyn Files>>>,
}

impl Harness {
    fn fresh(&self) -> Arc<dyn Files> {
        let files = (self.make)(self.made.fetch_add(1, Ordering::Relaxed));
        *self.current.lock().unwrap() = Some(Arc::clone(&files));
        files
    }

    fn current(&self) -> Arc<dyn Files> {
        Arc::clone(self.current.lock().unwrap().as_ref().unwrap())
    }
}

fn words(error: impl std::fmt::Display) -> Broken {
    Broken(error.to_string())
}

impl LogHarness for Harness {
    fn create(&self, ledger: LedgerId) -> Result<Arc<dyn EventLog>, Broken> {
        Ok(Arc::new(FilesLog::create(self.fresh(), self.config, ledger).map_err(words)?))
    }

    fn reopen(&self, guard: &GuardRecord) -> Result<Arc<dyn EventLog>, Broken> {
        let (log, _) = FilesLog::open(self.current(), self.config, guard.ledger, guard).map_err(words)?;
        Ok(Arc::new(log))
    }
}

impl GuardHarness for Harness {
    fn create(&self) -> Result<Box<dyn Guard>, Broken> {
        Ok(Box::new(FileGuard::create(&*self.fresh()).map_err(words)?))
    }

    fn reopen(&self) -> Result<Box<dyn Guard>, Broken> {
        Ok(Box::new(FileGuard::open(&*self.current()).map_err(words)?.0))
    }
}

fn run(make: impl Fn(u64) -> Arc<dyn Files> + 'static, config: LogConfig) {
    let harness =
        Harness { make: Box::new(make), config, made: AtomicU64::new(0), current: Mutex::new(None) };
    event_log(&harness).unwrap();
    guard(&harness).unwrap();
}

#[test]
fn the_simulated_disk_conforms() {
    run(|n| Arc::new(SimDisk::new(n)), LogConfig::default());
}

#[test]
fn small_segments_conform() {
    run(|n| Arc::new(SimDisk::new(n)), SMALL);
}

#[test]
fn the_real_disk_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    run(move |n| Arc::new(DiskFiles::new(&root.join(n.to_string()))), LogConfig::default());
}
