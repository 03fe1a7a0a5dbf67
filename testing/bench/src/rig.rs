//! A store as `waag` wires it, and threads that feed it: what the figures are measured on.
//!
//! The embedded drivers on a real disk: segment files, SQLite, the guard's file, the key file. Nothing is left out for
//! speed: every acknowledgement is durable, in the tree, and guarded.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow};
use waag_cloudevents::read_event;
use waag_domain::passthrough::Passthrough;
use waag_engine::batch::SealedBatch;
use waag_engine::engine::Engine;
use waag_engine::identity::IdentityLimits;
use waag_engine::reader::Reader;
use waag_engine::recover::{self, Store, first_guard};
use waag_engine::registry::{Registered, Registry};
use waag_engine::runtime::{World, Writer};
use waag_engine::sealer::Sealer;
use waag_entry::codec::Dictionary;
use waag_files::config::LogConfig;
use waag_files::guard::FileGuard;
use waag_files::hashes::HashFile;
use waag_files::log::FilesLog;
use waag_files::vault::FileVault;
use waag_fixtures::workload::{KINDS, SCHEMA};
use waag_keys::create::create_tenant;
use waag_keys::keyring::{Keyring, Limits, Means};
use waag_ledger::hash::Hash;
use waag_log::guard::Guard;
use waag_log::objects::{ObjectError, Objects};
use waag_model::event::Accepted;
use waag_model::ids::{Actor, TenantName};
use waag_model::schema::Schema;
use waag_sqlite::state::SqliteState;
use waag_stdx::clock::{Clock, SystemClock};
use waag_stdx::entropy::{Entropy, SystemEntropy};
use waag_stdx::files::{DiskFiles, Files};

use crate::measure::cpu_of_this_thread;

/// The workload has no bodies that become blobs; one that did would be an error here and not a figure.
pub(crate) struct NoObjects;

impl Objects for NoObjects {
    fn put(&self, _name: &Hash, bytes: &[u8]) -> Result<(), ObjectError> {
        Err(ObjectError::TooLarge { bytes: bytes.len() as u64 })
    }

    fn get(&self, _name: &Hash) -> Result<Option<Vec<u8>>, ObjectError> {
        Ok(None)
    }

    fn names(&self, _visit: &mut dyn FnMut(Hash)) -> Result<(), ObjectError> {
        Ok(())
    }
}

/// An open store.
pub(crate) struct Rig {
    pub(crate) writer: Arc<Writer>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) sealer: Arc<Sealer<Passthrough>>,
    pub(crate) log: Arc<FilesLog>,
    preparing: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

/// What a feed did.
pub(crate) struct Fed {
    pub(crate) recorded: u64,
    /// CPU time of the sealing threads: reading JSON and sealing.
    pub(crate) cpu: Duration,
}

/// Where a rig's files are.
#[derive(Clone)]
pub(crate) struct Folders {
    pub(crate) data: PathBuf,
    pub(crate) state: PathBuf,
}

impl Folders {
    pub(crate) fn below(root: &Path) -> Self {
        Self { data: root.join("data"), state: root.join("data.state") }
    }
}

/// Makes a store and closes it again.
pub(crate) fn create(folders: &Folders) -> anyhow::Result<()> {
    let (means, state_files, _) = means(folders, true)?;
    let tenant = TenantName::new("default")?;
    create_tenant(&means, &tenant)?;
    let keyring = Keyring::open(means, &tenant, Limits::default())?;
    let (ledger, _) = keyring.create_ledger("main", "bench")?;
    let guard = FileGuard::create(state_files.as_ref())?;
    let generation = keyring.commit_pending(0)?.generation().0;
    guard.swap(None, &first_guard(&ledger, generation)?)?;
    let files: Arc<dyn Files> = Arc::new(DiskFiles::new(&folders.data));
    FilesLog::create(files, LogConfig::default(), ledger.id)?;
    Ok(())
}

fn means(folders: &Folders, new: bool) -> anyhow::Result<(Means, Arc<dyn Files>, Arc<SqliteState>)> {
    let state_files: Arc<dyn Files> = Arc::new(DiskFiles::new(&folders.state));
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::new());
    let vault = if new {
        FileVault::create(Arc::clone(&state_files), Arc::clone(&entropy), None)?
    } else {
        FileVault::open(Arc::clone(&state_files), Arc::clone(&entropy), None)?
    };
    let state = Arc::new(SqliteState::create(&folders.state)?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    Ok((Means { state: state.clone(), vault: Arc::new(vault), entropy, clock }, state_files, state))
}

/// The schema of the workload with a dictionary trained from synthetic samples of both kinds of parts.
pub(crate) fn registry(dictionary: &Dictionary) -> anyhow::Result<Registry> {
    let document = waag_cloudevents::read_value(SCHEMA.as_bytes()).map_err(|refusal| anyhow!("{refusal}"))?;
    let mut registry = Registry::default();
    for kind in KINDS {
        let schema = Schema::compile(1, &document)?;
        registry.add(kind, Registered { schema, dictionary: Some(dictionary.clone()) });
    }
    Ok(registry)
}

impl Rig {
    /// Opens a store to write, as a node does.
    pub(crate) fn open(folders: &Folders, registry: Registry) -> anyhow::Result<Self> {
        let (means, state_files, state) = means(folders, false)?;
        let (entropy, clock) = (Arc::clone(&means.entropy), Arc::clone(&means.clock));
        let keyring = Arc::new(Keyring::open(means, &TenantName::new("default")?, Limits::default())?);
        let ledger = keyring.ledger("main")?;
        let files: Arc<dyn Files> = Arc::new(DiskFiles::new(&folders.data));
        let (guard, _) = FileGuard::open(state_files.as_ref())?;
        let record = guard.read()?.context("a guard")?;
        let (log, _) = FilesLog::open(Arc::clone(&files), LogConfig::default(), ledger.id, &record)?;
        let (log, guard) = (Arc::new(log), Arc::new(guard));
        let hashes = Arc::new(HashFile::open(files.as_ref(), "derived/hashes")?);
        let store = Store {
            ledger: &ledger,
            keyring: &keyring,
            log: log.as_ref(),
            guard: guard.as_ref(),
            hashes: hashes.as_ref(),
            files,
            identity: IdentityLimits::default(),
        };
        let start = recover::open(&store, &mut |_, _| {})?;
        let objects: Arc<dyn Objects> = Arc::new(NoObjects);
        let reader = Reader {
            ledger: ledger.id,
            log: log.clone(),
            keyring: Arc::clone(&keyring),
            objects: Arc::clone(&objects),
            registry: Arc::new(registry.clone()),
        };
        let sealer =
            Arc::new(Sealer::new(Passthrough, &ledger, Arc::clone(&keyring), entropy, objects, registry));
        let counted = Arc::clone(&sealer);
        let world = World {
            log: log.clone(),
            guard,
            keyring: Arc::clone(&keyring),
            hashes,
            reader,
            clock,
            keys_destroyed: Box::new(move || counted.keys_destroyed()),
            told_halt: Box::new(|halt| eprintln!("the writer has stopped: {halt}")),
        };
        let writer = Arc::new(Writer::start(Engine::new(start), world)?);
        let stop = Arc::new(AtomicBool::new(false));
        let preparing = std::thread::Builder::new().name("waag-prepare".to_owned()).spawn({
            let (log, stop) = (Arc::clone(&log), Arc::clone(&stop));
            let mut turns = 0u32;
            move || {
                while !stop.load(Ordering::Acquire) && log.prepare().is_ok() {
                    turns += 1;
                    if turns.is_multiple_of(100) {
                        drop(state.fold_log());
                    }
                    std::thread::park_timeout(Duration::from_millis(2));
                }
            }
        })?;
        Ok(Self { writer, keyring, sealer, log, preparing: Some(preparing), stop })
    }

    /// Reads and seals one batch of JSON lines.
    pub(crate) fn seal(
        &self,
        actor: &Actor,
        lines: &[&[u8]],
        clock: &dyn Clock,
    ) -> anyhow::Result<SealedBatch> {
        seal(&self.sealer, actor, lines, clock)
    }

    /// As [`feed`].
    pub(crate) fn feed(
        &self,
        batches: &[Vec<&[u8]>],
        sealers: usize,
        outstanding: usize,
    ) -> anyhow::Result<Fed> {
        feed(&self.sealer, &self.writer, batches, sealers, outstanding)
    }
}

fn seal(
    sealer: &Sealer<Passthrough>,
    actor: &Actor,
    lines: &[&[u8]],
    clock: &dyn Clock,
) -> anyhow::Result<SealedBatch> {
    let mut batch = sealer.begin();
    let accepted = clock.now();
    for line in lines {
        let event = read_event(line).map_err(|refusal| anyhow!("{refusal}"))?;
        batch.push(Accepted { event, actor: actor.clone(), accepted }, None)?;
    }
    Ok(batch.finish())
}

/// Records everything, `outstanding` batches at a time, sealed on `sealers` threads; returns what was recorded.
pub(crate) fn feed(
    sealer: &Sealer<Passthrough>,
    writer: &Writer,
    batches: &[Vec<&[u8]>],
    sealers: usize,
    outstanding: usize,
) -> anyhow::Result<Fed> {
    let next = AtomicUsize::new(0);
    let (recorded, cpu_ns) = (AtomicUsize::new(0), AtomicU64::new(0));
    let each = outstanding.div_ceil(sealers);
    std::thread::scope(|scope| {
        let work = || -> anyhow::Result<()> {
            let (actor, clock) = (Actor::new("bench")?, SystemClock::new());
            let mut waiting = std::collections::VecDeque::new();
            loop {
                let batch = batches.get(next.fetch_add(1, Ordering::Relaxed));
                if let Some(lines) = batch {
                    let sealed = seal(sealer, &actor, lines, &clock)?;
                    waiting.push_back(writer.submit(sealed)?);
                }
                while waiting.len() >= each || batch.is_none() && !waiting.is_empty() {
                    let Some(first) = waiting.pop_front() else { break };
                    let receipt: waag_engine::batch::BatchReceipt = first.wait()?;
                    recorded.fetch_add(receipt.items.len(), Ordering::Relaxed);
                }
                if batch.is_none() {
                    let cpu = u64::try_from(cpu_of_this_thread().as_nanos()).unwrap_or(u64::MAX);
                    cpu_ns.fetch_add(cpu, Ordering::Relaxed);
                    return Ok(());
                }
            }
        };
        let threads: Vec<_> = (0..sealers)
            .map(|n| std::thread::Builder::new().name(format!("seal-{n}")).spawn_scoped(scope, work))
            .collect::<Result<_, _>>()?;
        for thread in threads {
            thread.join().map_err(|_| anyhow!("a sealing thread ended"))??;
        }
        let cpu = Duration::from_nanos(cpu_ns.load(Ordering::Relaxed));
        Ok(Fed { recorded: recorded.load(Ordering::Relaxed) as u64, cpu })
    })
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(preparing) = self.preparing.take() {
            preparing.thread().unpark();
            drop(preparing.join());
        }
    }
}

/// The guard's record of a closed store.
pub(crate) fn guard_of(folders: &Folders) -> anyhow::Result<Option<waag_log::guard::GuardRecord>> {
    Ok(waag_files::guard::inspect(&DiskFiles::new(&folders.state))?.record)
}
