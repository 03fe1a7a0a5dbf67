//! Pieces on all cores: one thread produces them, some seal, put and read them back, one takes them in order again.
//!
//! Memory is bounded: a producer waits while every worker has a piece and one more is waiting.
//! Not here: what pieces hold (`stock`, `state`, the copying of frames), the manifest.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use waag_archive::error::{ArchiveError, SpanFault};
use waag_archive::frames::{CheckedFrame, check_frames};
use waag_archive::manifest::{Kind, Piece, object_hash};
use waag_archive::records::{PackedObjects, Records, names};
use waag_archive::repository::{Contents, Repository};
use waag_model::ids::Position;
use waag_model::time::UtcNanos;
use zeroize::Zeroize;

use super::BackupError;
use super::earlier::Stretch;

/// Most threads that seal.
const THREADS_MAX: usize = 4;
/// Most pieces that are done and not taken yet; of each only hashes are left.
const OUTCOMES_MAX: usize = 64;

/// What pieces are put with.
pub(super) struct Press<'a> {
    pub(super) repository: &'a Repository,
    pub(super) expire: UtcNanos,
}

/// A piece that is durable, was read back and checked.
pub(super) struct Pressed {
    pub(super) piece: Piece,
    /// Its frames, where it has any.
    pub(super) frames: Vec<CheckedFrame>,
}

struct Job {
    number: u64,
    kind: Kind,
    contents: Contents,
    plain: Vec<u8>,
}

/// Where a producer hands pieces on.
pub(super) struct Sink<'a> {
    jobs: &'a SyncSender<Job>,
    stopped: &'a AtomicBool,
    next: u64,
}

impl Sink<'_> {
    /// Hands a piece on; waits while there is no room.
    pub(super) fn push(&mut self, kind: Kind, contents: Contents, plain: Vec<u8>) -> Result<(), BackupError> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(BackupError::Stopped);
        }
        let job = Job { number: self.next, kind, contents, plain };
        self.next = self.next.saturating_add(1);
        self.jobs.send(job).map_err(|_| BackupError::Stopped)
    }
}

type Produce<'p> = &'p mut (dyn FnMut(&mut Sink<'_>) -> Result<(), BackupError> + 'p);
type Take<'t> = &'t mut (dyn FnMut(Pressed) -> Result<(), BackupError> + Send + 't);
type Outcome = (u64, Result<Pressed, BackupError>);

impl Press<'_> {
    /// Runs a producer to its end; `take` gets every piece in the order in which it was produced.
    pub(super) fn run(&self, produce: Produce<'_>, take: Take<'_>) -> Result<(), BackupError> {
        let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(1, THREADS_MAX);
        let (jobs, waiting) = sync_channel::<Job>(1);
        let (done, outcomes) = sync_channel::<Outcome>(OUTCOMES_MAX);
        let (waiting, stopped) = (Mutex::new(waiting), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let done = done.clone();
                let (waiting, stopped) = (&waiting, &stopped);
                scope.spawn(move || self.work(waiting, &done, stopped));
            }
            drop(done);
            // Both halves end with the other: its error is the one to tell, unless it only says that this one failed.
            let taker = scope.spawn(move || {
                let taken = take_in_order(&outcomes, take);
                drop(outcomes);
                taken
            });
            let produced = produce(&mut Sink { jobs: &jobs, stopped: &stopped, next: 0 });
            drop(jobs);
            let taken = taker.join().unwrap_or(Err(BackupError::Stopped));
            match (produced, taken) {
                (Ok(()) | Err(BackupError::Stopped), Err(error)) => Err(error),
                (Err(error), _) => Err(error),
                (Ok(()), Ok(())) => Ok(()),
            }
        })
    }

    fn work(&self, waiting: &Mutex<Receiver<Job>>, done: &SyncSender<Outcome>, stopped: &AtomicBool) {
        loop {
            let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(Job { number, kind, contents, mut plain }) = job else { return };
            let pressed = self.press(kind, contents, &plain);
            if kind == Kind::Vault {
                plain.zeroize();
            }
            let failed = pressed.is_err();
            if done.send((number, pressed)).is_err() || failed {
                // Nobody takes any more: the producer hears so at its next piece, and until then it is not kept waiting.
                stopped.store(true, Ordering::Release);
                while waiting.lock().unwrap_or_else(PoisonError::into_inner).recv().is_ok() {}
                return;
            }
        }
    }

    /// Puts a piece, reads it back and checks what was read.
    fn press(&self, kind: Kind, contents: Contents, plain: &[u8]) -> Result<Pressed, BackupError> {
        let piece = self.repository.put(kind, self.expire, contents, plain)?;
        let mut read = self.repository.get(&piece)?;
        let frames = check(&piece, &read);
        if kind == Kind::Vault {
            read.zeroize();
        }
        Ok(Pressed { piece, frames: frames? })
    }
}

fn take_in_order(outcomes: &Receiver<Outcome>, take: Take<'_>) -> Result<(), BackupError> {
    let (mut next, mut early) = (0_u64, BTreeMap::new());
    for (number, outcome) in outcomes {
        early.insert(number, outcome?);
        while let Some(pressed) = early.remove(&next) {
            take(pressed)?;
            next = next.saturating_add(1);
        }
    }
    if early.is_empty() { Ok(()) } else { Err(BackupError::Stopped) }
}

/// Checks what a piece holds, by itself; frames are given for the chain.
pub(super) fn check(piece: &Piece, plain: &[u8]) -> Result<Vec<CheckedFrame>, BackupError> {
    let form = |what| ArchiveError::Form { name: piece.name.clone(), what };
    let items = match piece.kind {
        Kind::Frames => {
            return check_frames(plain).map_err(|(position, fault): (Position, SpanFault)| {
                ArchiveError::Frames { name: piece.name.clone(), position, fault }.into()
            });
        }
        Kind::Objects => {
            let mut items = 0;
            for object in PackedObjects::new(plain) {
                let (name, bytes) = object.ok_or_else(|| form("an object in it is cut"))?;
                if object_hash(bytes) != name {
                    return Err(BackupError::Object(name));
                }
                items += 1;
            }
            items
        }
        Kind::Names => names(plain).ok_or_else(|| form("its names do not ascend"))?.len() as u64,
        Kind::State | Kind::Keys => {
            let mut items = 0;
            for record in Records::new(plain) {
                let record = record.ok_or_else(|| form("a record in it is cut"))?;
                if record.table.holds_secrets() != (piece.kind == Kind::Keys) {
                    return Err(form("a record in it is in the wrong place").into());
                }
                items += 1;
            }
            items
        }
        Kind::Vault => 1,
        Kind::Earlier => {
            Stretch::read(plain).ok_or_else(|| form("no file of an earlier ledger"))?;
            1
        }
    };
    if items == piece.items { Ok(Vec::new()) } else { Err(form("it has another number of items").into()) }
}
