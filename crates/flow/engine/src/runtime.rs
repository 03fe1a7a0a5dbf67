//! The engine on threads: one that steps, one for each kind of effect, and whoever seals on threads of their own.
//!
//! Place: between the sealing threads and the drivers. It decides nothing; every rule is in `engine`.
//! Not here: opening a store (`recover`), drivers (`bin/`).
//!
//! Channels are bounded. The writer's own channel has room for every answer that can be under way, so that no effect's
//! thread ever waits for the writer while the writer waits for it.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use waag_keys::keyring::Keyring;
use waag_ledger::checkpoint::SignedCheckpoint;
use waag_log::contract::EventLog;
use waag_log::frame::Frame;
use waag_log::guard::{Guard, GuardRecord};
use waag_log::hashes::StoredHashes;
use waag_model::ids::FrameNumber;
use waag_stdx::clock::Clock;

use crate::batch::{BatchReceipt, SealedBatch, Ticket};
use crate::effect::{Committed, Comparison, Effect, Halt, Input, NotTaken, Rejection};
use crate::engine::{BATCHES_QUEUED_MAX, Engine, QUEUED_BYTES_MAX};
use crate::identity::{IdentityStats, Job};
use crate::reader::Reader;

/// Room for every answer that can be under way at once: each batch's comparison, and one of each other kind.
const ANSWERS_MAX: usize = BATCHES_QUEUED_MAX + 16;
/// Committed frames that wait for the follower; it only writes derived files, and the writer waits when it lags.
const FOLLOW_QUEUE_MAX: usize = 16;

/// What the engine's effects are carried out on.
pub struct World {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// The guard.
    pub guard: Arc<dyn Guard>,
    /// The keys.
    pub keyring: Arc<Keyring>,
    /// The stored hashes.
    pub hashes: Arc<dyn StoredHashes>,
    /// Reads entries back, to compare retries.
    pub reader: Reader,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Counts a destruction of keys in the sealer.
    pub keys_destroyed: Box<dyn Fn() -> u64 + Send>,
}

/// A destruction of keys, to be run when nothing is under way.
pub type Destruction = Box<dyn FnOnce() + Send>;

/// Where an answer goes.
type Answer = SyncSender<Result<BatchReceipt, Rejection>>;

enum Message {
    Submit(SealedBatch, Answer),
    Destroy(Destruction, Answer),
    Input(Box<Input>),
    Stop,
}

enum Follow {
    Frame(Committed),
    Job(Job),
}

/// What is between [`Writer::submit`] and its answer; held to the engine's own bounds, so that whoever is one too many
/// learns it while the batch is still in hand.
#[derive(Debug, Default)]
struct UnderWay {
    batches: AtomicUsize,
    bytes: AtomicUsize,
}

impl UnderWay {
    /// Takes room for a batch of so many bytes; false where there is none.
    fn take(&self, bytes: usize) -> bool {
        let batches = self.batches.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        let bytes_now = self.bytes.fetch_add(bytes, Ordering::AcqRel).saturating_add(bytes);
        let fits = batches <= BATCHES_QUEUED_MAX && bytes_now <= QUEUED_BYTES_MAX;
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    fn give_back(&self, bytes: usize) {
        self.batches.fetch_sub(1, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}

/// A running writer. Dropping it stops it, after everything under way is done.
pub struct Writer {
    messages: SyncSender<Message>,
    under_way: Arc<UnderWay>,
    status: Arc<Mutex<Status>>,
    threads: Vec<JoinHandle<()>>,
}

/// What a running writer tells of itself.
#[derive(Clone, Debug)]
pub struct Status {
    /// The newest guarded checkpoint.
    pub checkpoint: Arc<SignedCheckpoint>,
    /// The identity index.
    pub identity: IdentityStats,
    /// Why it has stopped, where it has.
    pub halted: Option<Halt>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// A batch on its way.
#[derive(Debug)]
pub struct Pending {
    answer: Receiver<Result<BatchReceipt, Rejection>>,
}

impl Pending {
    /// Waits for the outcome.
    ///
    /// # Errors
    /// [`Rejection`].
    pub fn wait(self) -> Result<BatchReceipt, Rejection> {
        self.answer.recv().unwrap_or_else(|_| Err(Rejection::Halted(gone())))
    }
}

fn gone() -> Halt {
    Halt { code: "E0604", reason: "the writer's thread has ended".to_owned() }
}

impl Writer {
    /// Starts the threads.
    ///
    /// # Errors
    /// The operating system's, where a thread cannot be had.
    pub fn start(engine: Engine, world: World) -> std::io::Result<Self> {
        let (messages, inbox) = sync_channel(2 * ANSWERS_MAX);
        let status = Arc::new(Mutex::new(Status {
            checkpoint: Arc::clone(engine.checkpoint()),
            identity: engine.identity().stats(),
            halted: None,
        }));
        let under_way = Arc::new(UnderWay::default());
        let mut threads = Vec::new();
        let doers = Doers::start(&world, &messages, &mut threads)?;
        let stepper = Stepper {
            engine,
            clock: world.clock,
            doers,
            keys_destroyed: world.keys_destroyed,
            status: Arc::clone(&status),
            under_way: Arc::clone(&under_way),
            answers: HashMap::new(),
            destructions: HashMap::new(),
            next_ticket: 0,
        };
        threads.push(spawn("waag-writer", move || stepper.run(&inbox))?);
        Ok(Self { messages, under_way, status, threads })
    }

    /// Hands a sealed batch to the writer.
    ///
    /// # Errors
    /// [`NotTaken::Busy`] with the batch, where as many batches or bytes as may are under way; [`NotTaken::Halted`].
    pub fn submit(&self, batch: SealedBatch) -> Result<Pending, NotTaken> {
        if !self.under_way.take(batch.body_bytes()) {
            return Err(NotTaken::Busy(batch));
        }
        let (answer, pending) = sync_channel(1);
        let sent = self.messages.send(Message::Submit(batch, answer));
        sent.map_err(|_| NotTaken::Halted(gone()))?;
        Ok(Pending { answer: pending })
    }

    /// Runs a destruction of keys when nothing is under way (`ENGINE-4`), and waits for it.
    ///
    /// # Errors
    /// [`Rejection::Busy`] where another one waits; [`Rejection::Halted`].
    pub fn destroy_keys<T: Send + 'static>(
        &self,
        destroy: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Rejection> {
        let (answer, refused) = sync_channel(1);
        let (done, outcome) = sync_channel(1);
        let run: Destruction = Box::new(move || drop(done.send(destroy())));
        let sent = self.messages.send(Message::Destroy(run, answer));
        sent.map_err(|_| Rejection::Halted(gone()))?;
        match outcome.recv() {
            Ok(outcome) => Ok(outcome),
            // The closure was dropped unrun: the engine has said why.
            Err(_) => Err(match refused.recv() {
                Ok(Err(rejection)) => rejection,
                Ok(Ok(_)) | Err(_) => Rejection::Halted(gone()),
            }),
        }
    }

    /// What the writer tells of itself.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.messages.send(Message::Stop).is_ok() {
            self.threads.drain(..).for_each(|thread| drop(thread.join()));
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

/// One thread for each kind of effect; an effect of a kind follows the one before it.
struct Doers {
    keys: SyncSender<u64>,
    log: SyncSender<(FrameNumber, Frame)>,
    guard: SyncSender<(u64, GuardRecord)>,
    compare: SyncSender<(Ticket, Vec<Comparison>)>,
    follow: SyncSender<Follow>,
}

impl Doers {
    fn start(
        world: &World,
        messages: &SyncSender<Message>,
        threads: &mut Vec<JoinHandle<()>>,
    ) -> std::io::Result<Self> {
        let answer_with = |name: &str| (name.to_owned(), messages.clone());
        let keyring = Arc::clone(&world.keyring);
        let keys = doer(answer_with("waag-keys"), 1, threads, move |up_to| {
            let durable = keyring.commit_pending(up_to);
            Some(Input::KeysDurable(durable.map_err(|error| Halt::ours(error.code(), &error))))
        })?;
        let log = Arc::clone(&world.log);
        let log = doer(answer_with("waag-log"), 1, threads, move |(expected, frame): (_, Frame)| {
            let appended = log.append(expected, &frame);
            Some(Input::Appended(appended.map(|()| frame).map_err(|error| Halt::ours(error.code(), &error))))
        })?;
        let guard = Arc::clone(&world.guard);
        let guard = doer(answer_with("waag-guard"), 1, threads, move |(expected, record)| {
            let swapped = guard.swap(Some(expected), &record);
            Some(Input::Guarded(swapped.map_err(|error| Halt::ours(error.code(), &error))))
        })?;
        let reader = world.reader.clone();
        let compare = doer(
            answer_with("waag-compare"),
            ANSWERS_MAX,
            threads,
            move |(ticket, retries): (_, Vec<_>)| {
                Some(match reader.compare(&retries) {
                    Ok(verdicts) => Input::Compared(ticket, verdicts),
                    Err(fault) => Input::CompareFailed(ticket, Halt::ours(fault.code(), &fault)),
                })
            },
        )?;
        let hashes = Arc::clone(&world.hashes);
        let follow =
            doer(answer_with("waag-follow"), FOLLOW_QUEUE_MAX, threads, move |follow| match follow {
                Follow::Frame(committed) => {
                    // Derived: a failure shows when a proof is asked for, and is mended at the next opening.
                    drop(hashes.write(committed.tree.stored_first(), committed.tree.stored_hashes()));
                    None
                }
                Follow::Job(job) => {
                    // What the index covers need not be replayed, so the stored hashes must be durable that far.
                    drop(hashes.sync());
                    Some(Input::Maintained(job.run()))
                }
            })?;
        Ok(Self { keys, log, guard, compare, follow })
    }
}

/// A thread that carries out one kind of effect and sends what comes of it back to the writer.
fn doer<T: Send + 'static>(
    (name, messages): (String, SyncSender<Message>),
    room: usize,
    threads: &mut Vec<JoinHandle<()>>,
    mut carry_out: impl FnMut(T) -> Option<Input> + Send + 'static,
) -> std::io::Result<SyncSender<T>> {
    let (sender, work) = sync_channel(room);
    threads.push(spawn(&name, move || {
        for one in work {
            if let Some(input) = carry_out(one)
                && messages.send(Message::Input(Box::new(input))).is_err()
            {
                break;
            }
        }
    })?);
    Ok(sender)
}

/// The writer's thread.
struct Stepper {
    engine: Engine,
    clock: Arc<dyn Clock>,
    doers: Doers,
    keys_destroyed: Box<dyn Fn() -> u64 + Send>,
    status: Arc<Mutex<Status>>,
    under_way: Arc<UnderWay>,
    /// Who waits, and how many bytes under way that is where it is for a batch.
    answers: HashMap<Ticket, (Answer, Option<usize>)>,
    destructions: HashMap<Ticket, Destruction>,
    next_ticket: u64,
}

impl Stepper {
    fn run(mut self, inbox: &Receiver<Message>) {
        let mut effects = Vec::new();
        let mut stopping = false;
        while let Ok(message) = inbox.recv() {
            let input = match message {
                Message::Submit(batch, answer) => {
                    Input::Submit(self.ticket(answer, Some(batch.body_bytes())), batch)
                }
                Message::Destroy(destroy, answer) => {
                    let ticket = self.ticket(answer, None);
                    self.destructions.insert(ticket, destroy);
                    Input::Destroy(ticket)
                }
                Message::Input(input) => *input,
                Message::Stop => {
                    stopping = true;
                    if self.is_done() {
                        break;
                    }
                    continue;
                }
            };
            self.engine.handle(self.clock.now(), input, &mut effects);
            // Before anybody is answered: who has a receipt finds its checkpoint here.
            self.publish();
            while !effects.is_empty() {
                for effect in std::mem::take(&mut effects) {
                    self.carry_out(effect, &mut effects);
                }
            }
            self.publish();
            if stopping && self.is_done() {
                break;
            }
        }
    }

    fn is_done(&self) -> bool {
        self.engine.is_idle() || self.engine.halted().is_some()
    }

    fn ticket(&mut self, answer: Answer, bytes: Option<usize>) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.answers.insert(ticket, (answer, bytes));
        ticket
    }

    fn carry_out(&mut self, effect: Effect, more: &mut Vec<Effect>) {
        // A doer that is gone has answered with its failure, or the process is ending: nothing is left to tell it.
        match effect {
            Effect::PersistKeys { up_to } => drop(self.doers.keys.send(up_to)),
            Effect::Append { expected, frame } => drop(self.doers.log.send((expected, frame))),
            Effect::SwapGuard { expected, record } => drop(self.doers.guard.send((expected, record))),
            Effect::Compare(ticket, retries) => drop(self.doers.compare.send((ticket, retries))),
            Effect::Follow(committed) => drop(self.doers.follow.send(Follow::Frame(committed))),
            Effect::Maintain(job) => drop(self.doers.follow.send(Follow::Job(job))),
            Effect::Reply(ticket, outcome) => {
                self.destructions.remove(&ticket);
                if let Some((answer, bytes)) = self.answers.remove(&ticket) {
                    if let Some(bytes) = bytes {
                        self.under_way.give_back(bytes);
                    }
                    drop(answer.send(outcome));
                }
            }
            Effect::Destroy(ticket) => {
                if let Some(destroy) = self.destructions.remove(&ticket) {
                    destroy();
                }
                self.answers.remove(&ticket);
                let keys_epoch = (self.keys_destroyed)();
                self.engine.handle(self.clock.now(), Input::Destroyed { keys_epoch }, more);
            }
        }
    }

    fn publish(&self) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&status.checkpoint, self.engine.checkpoint()) {
            status.checkpoint = Arc::clone(self.engine.checkpoint());
            status.identity = self.engine.identity().stats();
        }
        if status.halted.is_none() {
            status.halted = self.engine.halted().cloned();
        }
    }
}
