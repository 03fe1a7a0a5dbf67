//! A disk in memory that keeps exactly the promises of [`waag_stdx::files`] and breaks everything else on request.
//!
//! Place: under the log, the guard and the vault in tests and in the simulator. Not here: when to break what (tests,
//! the simulator's schedule), the state store (it has a driver of its own).
//!
//! Each file has two images: `cache`, what every process of the machine reads, and `media`, what a power cut leaves.
//! Writes change the cache and are listed as dirty; a sync carries the list to the media; a crash carries any part of
//! it there, sector by sector, and then the cache is what the media holds. After a failed sync the list is gone and
//! the cache still shows what the media never got, as Linux does.
//!
//! Invariants:
//! - `DISK-1`: what was synced without error survives every crash, unless a fault was asked for that breaks it.
//! - `DISK-2`: everything is a function of the calls and the seeds; no clock, no ambient randomness.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use waag_stdx::files::{File, Files, Lock, Open};

use crate::fault::{Fault, Op, Plan, Rates};
use crate::image::{Content, Image};
use crate::prng::Prng;

/// A disk, or a folder of one: clones and [`SimDisk::folder`]s share it.
#[derive(Clone, Debug)]
pub struct SimDisk {
    inner: Arc<Mutex<Inner>>,
    prefix: String,
}

#[derive(Debug)]
struct Inner {
    names: BTreeMap<String, u64>,
    images: BTreeMap<u64, Image>,
    next_id: u64,
    /// Counts machines: handles and locks of an earlier one are dead.
    generation: u64,
    locks: BTreeMap<String, u64>,
    powered: bool,
    capacity_bytes: Option<u64>,
    plan: Plan,
    slow_ns: u64,
}

/// The durable content of a disk's folder at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    files: BTreeMap<String, Vec<u8>>,
}

/// What a faulted operation still does before it reports.
enum Outcome {
    /// All of it, without error.
    Done,
    /// All of it, then the error.
    DoneBut(io::Error),
    /// The first half, then the error.
    HalfBut(io::Error),
    /// Nothing but the error.
    Nothing(io::Error),
    /// Seen by readers, never stored.
    Lost,
    /// Stored at another offset.
    Elsewhere(u64),
}

fn eio() -> io::Error {
    // 5 is EIO on Linux; the kind alone has no name for it in the standard library.
    io::Error::from_raw_os_error(5)
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Inner {
    fn image(&self, id: u64) -> io::Result<&Image> {
        self.images.get(&id).ok_or_else(not_found)
    }

    fn image_mut(&mut self, id: u64) -> io::Result<&mut Image> {
        self.images.get_mut(&id).ok_or_else(not_found)
    }

    fn check_power(&self, generation: u64) -> io::Result<()> {
        if self.powered && generation == self.generation { Ok(()) } else { Err(eio()) }
    }

    /// Counts an operation and says what becomes of it.
    fn outcome(&mut self, op: Op, len: u64) -> Outcome {
        let Some(fault) = self.plan.next(op, len) else { return Outcome::Done };
        match fault {
            Fault::NoSpace => Outcome::Nothing(io::ErrorKind::StorageFull.into()),
            Fault::NoSpaceShort => Outcome::HalfBut(io::ErrorKind::StorageFull.into()),
            Fault::Io => Outcome::Nothing(eio()),
            Fault::IoShort => Outcome::HalfBut(eio()),
            Fault::IoPersisted => Outcome::DoneBut(eio()),
            Fault::Lost => Outcome::Lost,
            Fault::Misdirected { offset } => Outcome::Elsewhere(offset),
            Fault::Slow { ns } => {
                self.slow_ns = self.slow_ns.saturating_add(ns);
                Outcome::Done
            }
            Fault::PowerOff => {
                self.powered = false;
                match op {
                    Op::Write => Outcome::DoneBut(eio()),
                    Op::Create | Op::Rename | Op::Remove | Op::SetLen | Op::Sync | Op::Read => {
                        Outcome::Nothing(eio())
                    }
                }
            }
        }
    }

    /// An operation on names: done, not done, or done and yet an error.
    fn on_names(&mut self, op: Op, act: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        match self.outcome(op, 0) {
            Outcome::Done | Outcome::Lost | Outcome::Elsewhere(_) => act(self),
            Outcome::DoneBut(error) => act(self).and(Err(error)),
            Outcome::HalfBut(error) | Outcome::Nothing(error) => Err(error),
        }
    }

    fn add(&mut self, full: &str, bytes: Vec<u8>) -> u64 {
        self.next_id += 1;
        self.names.insert(full.to_owned(), self.next_id);
        self.images.insert(self.next_id, Image::durable(bytes));
        self.next_id
    }

    fn used_bytes(&self) -> u64 {
        self.images.values().map(Image::len).sum()
    }

    fn write(&mut self, id: u64, content: Content, offset: u64) -> io::Result<()> {
        let outcome = self.outcome(Op::Write, content.len());
        let end = offset.checked_add(content.len()).ok_or(io::ErrorKind::InvalidInput)?;
        let growth = end.saturating_sub(self.image(id)?.len());
        let full = self.capacity_bytes.is_some_and(|most| self.used_bytes().saturating_add(growth) > most);
        let outcome = if full { Outcome::HalfBut(io::ErrorKind::StorageFull.into()) } else { outcome };
        let image = self.image_mut(id)?;
        match outcome {
            Outcome::Done => image.write(content, offset),
            Outcome::DoneBut(error) => {
                image.write(content, offset);
                return Err(error);
            }
            Outcome::HalfBut(error) => {
                image.write(content.first_half(), offset);
                return Err(error);
            }
            Outcome::Nothing(error) => return Err(error),
            Outcome::Lost => image.write_lost(&content, offset),
            Outcome::Elsewhere(other) => image.write_elsewhere(content, offset, other),
        }
        Ok(())
    }

    fn sync(&mut self, id: u64, seen: &AtomicU64) -> io::Result<()> {
        let outcome = self.outcome(Op::Sync, 0);
        let partly = self.plan.fork();
        let image = self.image_mut(id)?;
        let mut failed = None;
        match outcome {
            Outcome::Done | Outcome::Lost | Outcome::Elsewhere(_) => image.sync(),
            Outcome::DoneBut(error) => {
                image.sync();
                image.errors += 1;
                failed = Some(error);
            }
            Outcome::HalfBut(error) => {
                image.fail_sync(Some(partly));
                failed = Some(error);
            }
            Outcome::Nothing(error) => {
                image.fail_sync(None);
                failed = Some(error);
            }
        }
        // Every open file learns of a failed writeback once, also of one that another handle's sync ran into.
        let missed = seen.swap(image.errors, Ordering::Relaxed) != image.errors;
        match failed {
            Some(error) => Err(error),
            None if missed => Err(eio()),
            None => Ok(()),
        }
    }
}

impl SimDisk {
    /// An empty disk; `seed` feeds only the faults that are drawn by chance.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let inner = Inner {
            names: BTreeMap::new(),
            images: BTreeMap::new(),
            next_id: 0,
            generation: 0,
            locks: BTreeMap::new(),
            powered: true,
            capacity_bytes: None,
            plan: Plan::new(Prng::new(seed)),
            slow_ns: 0,
        };
        Self { inner: Arc::new(Mutex::new(inner)), prefix: String::new() }
    }

    /// The same disk seen from the folder `name`.
    #[must_use]
    pub fn folder(&self, name: &str) -> Self {
        Self { inner: Arc::clone(&self.inner), prefix: format!("{}{name}/", self.prefix) }
    }

    fn hold(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn full(&self, path: &str) -> io::Result<String> {
        let good = path.split('/').all(|name| !matches!(name, "" | "." | ".."));
        if good { Ok(format!("{}{path}", self.prefix)) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    /// Cuts the power: of what was not synced any part survives, whole sectors of 512 bytes or pages of 4 KiB at a
    /// time, in an order of the disk's own. Handles and locks are dead; the machine comes up again.
    pub fn crash(&self, rng: &mut Prng) {
        let mut inner = self.hold();
        for image in inner.images.values_mut() {
            image.crash(rng);
        }
        inner.reboot();
    }

    /// Kills the process: handles and locks are dead, but the machine's cache keeps what was written.
    pub fn kill(&self) {
        self.hold().reboot();
    }

    /// Whether a planned power cut has struck; every operation fails until [`SimDisk::crash`].
    #[must_use]
    pub fn is_off(&self) -> bool {
        !self.hold().powered
    }

    /// Mutating operations so far: create, rename, remove, write, sync, set length.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.hold().plan.operations()
    }

    /// Strikes the mutating operation number `at` (from 0, counted from the disk's creation).
    pub fn fault_at(&self, at: u64, fault: Fault) {
        self.hold().plan.at(at, fault);
    }

    /// Strikes the `nth` (from 0) operation of this kind from here on.
    pub fn fault_nth(&self, op: Op, nth: u64, fault: Fault) {
        self.hold().plan.nth(op, nth, fault);
    }

    /// Strikes by chance from here on.
    pub fn set_rates(&self, rates: Rates) {
        self.hold().plan.rates = rates;
    }

    /// Forgets every planned fault and rate.
    pub fn clear_faults(&self) {
        self.hold().plan.clear();
    }

    /// Faults that struck so far.
    #[must_use]
    pub fn faults_struck(&self) -> u64 {
        self.hold().plan.struck()
    }

    /// The time that slow operations took, in nanoseconds.
    #[must_use]
    pub fn slow_ns(&self) -> u64 {
        self.hold().slow_ns
    }

    /// Lets all files together have at most this many bytes; writes beyond fail with `StorageFull` half done.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.hold().capacity_bytes = bytes;
    }

    /// All paths below this folder, sorted.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        let inner = self.hold();
        inner.names.keys().filter_map(|name| name.strip_prefix(&self.prefix)).map(str::to_owned).collect()
    }

    /// What a process reads of a file; `None` where it does not exist.
    #[must_use]
    pub fn contents(&self, path: &str) -> Option<Vec<u8>> {
        self.with_image(path, |image| image.cache().to_vec())
    }

    /// Changes a file's bytes behind everyone's back, in cache and media; false where it has no such byte.
    pub fn corrupt(&self, path: &str, offset: u64, change: impl FnOnce(u8) -> u8) -> bool {
        self.with_image(path, |image| image.corrupt(offset, change)).unwrap_or(false)
    }

    /// Replaces a file's bytes behind everyone's back, durable; the file is made where it does not exist.
    pub fn replace(&self, path: &str, bytes: &[u8]) {
        if self.with_image(path, |image| *image = Image::durable(bytes.to_vec())).is_none()
            && let Ok(full) = self.full(path)
        {
            self.hold().add(&full, bytes.to_vec());
        }
    }

    /// Takes a file away behind everyone's back; false where there is none.
    pub fn vanish(&self, path: &str) -> bool {
        let Ok(full) = self.full(path) else { return false };
        let mut inner = self.hold();
        let id = inner.names.remove(&full);
        id.is_some_and(|id| inner.images.remove(&id).is_some())
    }

    fn with_image<T>(&self, path: &str, act: impl FnOnce(&mut Image) -> T) -> Option<T> {
        let full = self.full(path).ok()?;
        let mut inner = self.hold();
        let id = inner.names.get(&full).copied()?;
        inner.images.get_mut(&id).map(act)
    }

    /// The durable content of this folder.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let inner = self.hold();
        let mut files = BTreeMap::new();
        for (name, id) in &inner.names {
            if let (Some(name), Some(image)) = (name.strip_prefix(&self.prefix), inner.images.get(id)) {
                files.insert(name.to_owned(), image.media().to_vec());
            }
        }
        Snapshot { files }
    }

    /// Takes this folder back to a snapshot; other folders stay. Handles and locks are dead.
    pub fn restore(&self, snapshot: &Snapshot) {
        for path in self.paths() {
            self.vanish(&path);
        }
        let mut inner = self.hold();
        for (name, bytes) in &snapshot.files {
            let full = format!("{}{name}", self.prefix);
            inner.add(&full, bytes.clone());
        }
        inner.reboot();
    }
}

impl Inner {
    fn reboot(&mut self) {
        self.generation += 1;
        self.locks.clear();
        self.powered = true;
    }
}

impl Files for SimDisk {
    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn File>> {
        let full = self.full(path)?;
        let mut inner = self.hold();
        inner.check_power(inner.generation)?;
        if how == Open::Create {
            if inner.names.contains_key(&full) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            inner.on_names(Op::Create, |inner| {
                inner.add(&full, Vec::new());
                Ok(())
            })?;
        }
        let id = inner.names.get(&full).copied().ok_or_else(not_found)?;
        let seen = AtomicU64::new(inner.image(id)?.errors);
        let generation = inner.generation;
        let disk = Arc::clone(&self.inner);
        Ok(Arc::new(SimFile { disk, id, generation, seen, writable: how != Open::Read }))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let inside = if folder.is_empty() { self.prefix.clone() } else { format!("{}/", self.full(folder)?) };
        let inner = self.hold();
        inner.check_power(inner.generation)?;
        let below = inner.names.range(inside.clone()..).map_while(|(name, _)| name.strip_prefix(&inside));
        let mut names: Vec<String> =
            below.filter_map(|rest| rest.split('/').next()).map(str::to_owned).collect();
        names.dedup();
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.full(from)?, self.full(to)?);
        let mut inner = self.hold();
        inner.check_power(inner.generation)?;
        inner.on_names(Op::Rename, |inner| {
            let id = inner.names.remove(&from).ok_or_else(not_found)?;
            inner.names.insert(to, id);
            Ok(())
        })
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let full = self.full(path)?;
        let mut inner = self.hold();
        inner.check_power(inner.generation)?;
        inner.on_names(Op::Remove, |inner| {
            let id = inner.names.remove(&full).ok_or_else(not_found)?;
            inner.images.remove(&id);
            Ok(())
        })
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn Lock>> {
        let full = self.full(path)?;
        let mut inner = self.hold();
        inner.check_power(inner.generation)?;
        if inner.locks.contains_key(&full) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if !inner.names.contains_key(&full) {
            inner.add(&full, Vec::new());
        }
        inner.next_id += 1;
        let holder = inner.next_id;
        inner.locks.insert(full.clone(), holder);
        Ok(Box::new(SimLock { disk: Arc::clone(&self.inner), path: full, holder }))
    }
}

#[derive(Debug)]
struct SimLock {
    disk: Arc<Mutex<Inner>>,
    path: String,
    holder: u64,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut inner = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.locks.get(&self.path) == Some(&self.holder) {
            inner.locks.remove(&self.path);
        }
    }
}

#[derive(Debug)]
struct SimFile {
    disk: Arc<Mutex<Inner>>,
    id: u64,
    generation: u64,
    /// How many failed writebacks this open file has told of.
    seen: AtomicU64,
    writable: bool,
}

impl SimFile {
    fn hold(&self) -> io::Result<MutexGuard<'_, Inner>> {
        let inner = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        inner.check_power(self.generation)?;
        Ok(inner)
    }

    fn hold_to_write(&self) -> io::Result<MutexGuard<'_, Inner>> {
        if self.writable { self.hold() } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut inner = self.hold()?;
        match inner.outcome(Op::Read, buf.len() as u64) {
            Outcome::Done | Outcome::Lost | Outcome::Elsewhere(_) => {
                Ok(inner.image(self.id)?.read(buf, offset))
            }
            Outcome::DoneBut(error) | Outcome::HalfBut(error) | Outcome::Nothing(error) => Err(error),
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.hold_to_write()?.write(self.id, Content::of(bytes), offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.hold()?.sync(self.id, &self.seen)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.hold()?.image(self.id)?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut inner = self.hold_to_write()?;
        let id = self.id;
        inner.on_names(Op::SetLen, |inner| {
            inner.image_mut(id)?.set_len(len);
            Ok(())
        })
    }
}
