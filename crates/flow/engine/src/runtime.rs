//! The engine on threads: one for each kind of effect, and whoever seals on threads of their own; each steps in turn.
//!
//! A batch that finds the log idle is written and guarded by whoever brings it: handing it from thread to thread costs more
//! than its own work. Threads do what is large or comes meanwhile.
//!
//! Place: between the sealing threads and the drivers. It decides nothing; every rule is in `engine`.
//! Not here: where what comes is put down (`desk`), what carries effects out (`doers`), opening a store (`recover`), drivers (`bin/`).
//!
//! Channels are bounded. What comes to the engine is put down without waiting (`Desk`), so that no effect's thread ever
//! waits for who steps while that one waits for it.

mod desk;
mod doers;

/// The locks of the desk, which its model checker replaces by its own.
mod sync {
    pub(super) use std::sync::atomic::{AtomicBool, Ordering};
    pub(super) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
}

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use waag_keys::keyring::Keyring;
use waag_ledger::checkpoint::SignedCheckpoint;
use waag_log::contract::EventLog;
use waag_log::guard::Guard;
use waag_log::hashes::StoredHashes;
use waag_stdx::clock::Clock;

use crate::batch::{BatchReceipt, SealedBatch, Ticket};
use crate::effect::{Effect, Halt, Input, NotTaken, Rejection};
use crate::engine::{BATCHES_QUEUED_MAX, Engine, QUEUED_BYTES_MAX};
use crate::identity::IdentityStats;
use crate::reader::Reader;
use desk::Steps;
use doers::{AtHand, Doers, Follow};

/// Where everything that comes to the engine is put down. What it holds is bounded: batches by [`UnderWay`], answers by
/// the effects that can be under way, destructions by their callers, each of whom waits.
type Desk = desk::Desk<Stepper>;

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
    /// Hears once why the writer has stopped, on any thread that steps it: to be short.
    pub told_halt: Box<dyn Fn(&Halt) + Send>,
}

/// A destruction of keys, to be run when nothing is under way.
pub type Destruction = Box<dyn FnOnce() + Send>;

/// Who hears what became of a batch.
pub trait Hears: Send + 'static {
    /// Hears it, once, on any thread that steps the writer: it must be short and must not wait.
    fn hear(self, outcome: Result<BatchReceipt, Rejection>);
}

impl Hears for SyncSender<Result<BatchReceipt, Rejection>> {
    fn hear(self, outcome: Result<BatchReceipt, Rejection>) {
        // Whoever has let go of the receiver has no use for it.
        drop(self.try_send(outcome));
    }
}

type Tell = Box<dyn FnOnce(Result<BatchReceipt, Rejection>) + Send>;

/// Where an answer goes; one that is never given says so when it is dropped.
struct Answer(Option<Tell>);

impl Answer {
    fn give(mut self, outcome: Result<BatchReceipt, Rejection>) {
        if let Some(tell) = self.0.take() {
            tell(outcome);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            tell(Err(Rejection::Halted(gone())));
        }
    }
}

enum Message {
    Submit(SealedBatch, Answer),
    Destroy(Destruction, Answer),
    Input(Input),
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
    desk: Arc<Desk>,
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

fn broke_off() -> Halt {
    Halt { code: "E0604", reason: "a part of the writer broke off (a panic)".to_owned() }
}

/// Does something, and makes a failure of a panic in it, which has told of itself.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Halt> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| broke_off())
}

impl Writer {
    /// Starts the threads.
    ///
    /// # Errors
    /// The operating system's, where a thread cannot be had.
    pub fn start(engine: Engine, world: World) -> std::io::Result<Self> {
        let status = Arc::new(Mutex::new(Status {
            checkpoint: Arc::clone(engine.checkpoint()),
            identity: engine.identity().stats(),
            halted: None,
        }));
        let under_way = Arc::new(UnderWay::default());
        let desk = Arc::new(Desk::default());
        let mut threads = Vec::new();
        let doers = Doers::start(&world, &desk, &mut threads)?;
        let stepper = Stepper {
            engine,
            clock: world.clock,
            doers,
            keys_destroyed: world.keys_destroyed,
            told_halt: world.told_halt,
            status: Arc::clone(&status),
            under_way: Arc::clone(&under_way),
            answers: HashMap::new(),
            destructions: HashMap::new(),
            next_ticket: 0,
        };
        desk.seat(stepper);
        Ok(Self { desk, under_way, status, threads })
    }

    /// Hands a sealed batch to the writer.
    ///
    /// # Errors
    /// [`NotTaken::Busy`] with the batch, where as many batches or bytes as may are under way; [`NotTaken::Halted`].
    pub fn submit(&self, batch: SealedBatch) -> Result<Pending, NotTaken> {
        let (answer, pending) = sync_channel(1);
        self.submit_for(batch, answer).map_err(|(not_taken, _)| not_taken)?;
        Ok(Pending { answer: pending })
    }

    /// Hands a sealed batch to the writer for somebody who hears its outcome, and who comes back where it is not taken.
    ///
    /// # Errors
    /// As [`Writer::submit`], with who was to hear.
    pub fn submit_for<H: Hears>(&self, batch: SealedBatch, hearer: H) -> Result<(), (NotTaken, H)> {
        if self.desk.has_ended() {
            return Err((NotTaken::Halted(gone()), hearer));
        }
        if !self.under_way.take(batch.body_bytes()) {
            return Err((NotTaken::Busy(batch), hearer));
        }
        let tell: Tell = Box::new(move |outcome| hearer.hear(outcome));
        self.desk.put(Message::Submit(batch, Answer(Some(tell))), AtHand::of_guest());
        Ok(())
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
        let tell: Tell = Box::new(move |outcome| answer.hear(outcome));
        self.desk.put(Message::Destroy(run, Answer(Some(tell))), AtHand::of_guest());
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
        self.desk.end(AtHand::of_nobody);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

/// The engine and all that its effects go to.
struct Stepper {
    engine: Engine,
    clock: Arc<dyn Clock>,
    doers: Doers,
    keys_destroyed: Box<dyn Fn() -> u64 + Send>,
    told_halt: Box<dyn Fn(&Halt) + Send>,
    status: Arc<Mutex<Status>>,
    under_way: Arc<UnderWay>,
    /// Who waits, and how many bytes under way that is where it is for a batch.
    answers: HashMap<Ticket, (Answer, Option<usize>)>,
    destructions: HashMap<Ticket, Destruction>,
    next_ticket: u64,
}

impl Steps for Stepper {
    type Message = Message;
    type AtHand = AtHand;

    fn run(&mut self, mut next: impl FnMut() -> Option<Message>, at_hand: &mut AtHand) {
        let mut effects = Vec::new();
        while let Some(message) = next() {
            let input = match message {
                Message::Submit(batch, answer) => {
                    Input::Submit(self.ticket(answer, Some(batch.body_bytes())), batch)
                }
                Message::Destroy(destroy, answer) => {
                    let ticket = self.ticket(answer, None);
                    self.destructions.insert(ticket, destroy);
                    Input::Destroy(ticket)
                }
                Message::Input(input) => input,
            };
            self.engine.handle(self.clock.now(), input, &mut effects);
            // Before anybody is answered: who has a receipt finds its checkpoint here.
            self.publish();
            while !effects.is_empty() {
                for effect in std::mem::take(&mut effects) {
                    self.carry_out(effect, &mut effects, at_hand);
                }
            }
            self.publish();
        }
    }

    fn is_done(&self) -> bool {
        self.engine.is_idle() || self.engine.halted().is_some()
    }

    fn broke_off(&self) {
        self.halted_by(broke_off());
    }
}

impl Stepper {
    fn ticket(&mut self, answer: Answer, bytes: Option<usize>) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.answers.insert(ticket, (answer, bytes));
        ticket
    }

    fn carry_out(&mut self, effect: Effect, more: &mut Vec<Effect>, at_hand: &mut AtHand) {
        // A doer that is gone has answered with its failure, or the process is ending: nothing is left to tell it.
        match effect {
            Effect::PersistKeys { up_to } => drop(self.doers.keys.send(up_to)),
            Effect::Append { expected, frame } => self.doers.append((expected, frame), at_hand),
            Effect::SwapGuard { expected, record } => self.doers.swap((expected, record), at_hand),
            Effect::Compare(ticket, retries) => drop(self.doers.compare.send((ticket, retries))),
            Effect::Follow(committed) => self.doers.follow(Follow::Frame(committed)),
            Effect::Maintain(job) => self.doers.follow(Follow::Job(job)),
            Effect::Reply(ticket, outcome) => {
                self.destructions.remove(&ticket);
                if let Some((answer, bytes)) = self.answers.remove(&ticket) {
                    if let Some(bytes) = bytes {
                        self.under_way.give_back(bytes);
                    }
                    answer.give(outcome);
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
        drop(status);
        if let Some(halt) = self.engine.halted() {
            self.halted_by(halt.clone());
        }
    }

    /// Tells, once, why the writer has stopped.
    fn halted_by(&self, halt: Halt) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if status.halted.is_some() {
            return;
        }
        status.halted = Some(halt.clone());
        drop(status);
        (self.told_halt)(&halt);
    }
}
