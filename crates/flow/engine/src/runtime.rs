//! The engine on threads: one for each kind of effect, and whoever seals on threads of their own; each steps in turn.
//!
//! A batch that is alone under way is written and guarded by whoever brings it, whom nothing else could use meanwhile:
//! handing it from thread to thread costs more than its own work.
//!
//! Place: between the sealing threads and the drivers. It decides nothing; every rule is in `engine`.
//! Not here: opening a store (`recover`), drivers (`bin/`).
//!
//! Channels are bounded. What comes to the engine is put down without waiting (`Desk`), so that no effect's thread ever
//! waits for who steps while that one waits for it.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::Duration;

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

/// Committed frames that wait for the follower; it only writes derived files, and the writer waits when it lags.
const FOLLOW_QUEUE_MAX: usize = 16;
/// A larger frame is written by the log's own thread, so that the next one is made and the last one guarded meanwhile.
const FRAME_AT_HAND_BYTES_MAX: usize = 64 * 1_024;
/// Hashes of a commit that who steps writes itself, where the follower has nothing to do: microseconds.
const HASHES_AT_HAND_MAX: usize = 512;
/// How often who ends the writer looks whether all is done.
const END_LOOK: Duration = Duration::from_millis(5);

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

enum Follow {
    Frame(Committed),
    Job(Job),
}

/// An effect that whoever stepped carries out itself, after having let go of the stepper.
type Work = Box<dyn FnOnce() -> Input>;

/// What whoever stepped carries out itself, and how much of it.
struct AtHand {
    work: VecDeque<Work>,
    appends_left: usize,
    guards_left: usize,
}

impl AtHand {
    /// For who has brought something and wants to go on: what its own batch needs, and nothing of those behind it.
    fn of_guest() -> Self {
        Self { work: VecDeque::new(), appends_left: 1, guards_left: 1 }
    }

    /// For a thread that is there for effects.
    fn of_doer() -> Self {
        Self { work: VecDeque::new(), appends_left: usize::MAX, guards_left: usize::MAX }
    }

    /// For who must not be kept.
    fn of_nobody() -> Self {
        Self { work: VecDeque::new(), appends_left: 0, guards_left: 0 }
    }

    /// Takes an append, or hands it back.
    fn append(&mut self, append: Append, log: &Doer<Append>) -> Result<(), Append> {
        if self.appends_left == 0 || append.1.bytes().len() > FRAME_AT_HAND_BYTES_MAX {
            return Err(append);
        }
        self.appends_left -= 1;
        self.work.push_back(log.at_hand(append));
        Ok(())
    }

    /// Takes a guard, or hands it back.
    fn swap(&mut self, swap: Swap, guard: &Doer<Swap>) -> Result<(), Swap> {
        if self.guards_left == 0 {
            return Err(swap);
        }
        self.guards_left -= 1;
        // Before an append: whoever waits for it has waited for longer.
        self.work.push_front(guard.at_hand(swap));
        Ok(())
    }
}

type Append = (FrameNumber, Frame);
type Swap = (u64, GuardRecord);

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
        *desk.stepper.lock().unwrap_or_else(PoisonError::into_inner) = Some(stepper);
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
        if self.desk.has_ended.load(Ordering::Acquire) {
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
        self.desk.end();
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

/// Where everything that comes to the engine is put down, and where it steps.
///
/// There is no thread that only steps: whoever puts something down steps the engine itself, for others too, unless
/// somebody else is at it, who then finds what was put down. A wake-up of a thread costs more than most steps do, and each
/// commit has many. Whoever steps may have to wait for the follower, so the follower itself never puts anything down.
#[derive(Default)]
struct Desk {
    /// Bounded: batches by [`UnderWay`], answers by the effects that can be under way, destructions by their callers,
    /// each of whom waits.
    inbox: Mutex<VecDeque<Message>>,
    /// Gone when the writer has ended.
    stepper: Mutex<Option<Stepper>>,
    /// Rung at each step, for who waits for the end.
    stepped: Condvar,
    has_ended: AtomicBool,
}

impl Desk {
    fn inbox(&self) -> MutexGuard<'_, VecDeque<Message>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something down, steps unless somebody is stepping, and carries out what was left to whoever stepped.
    /// Nobody waits here for anybody else.
    fn put(&self, message: Message, mut at_hand: AtHand) {
        self.inbox().push_back(message);
        self.step(&mut at_hand);
        while let Some(carry_out) = at_hand.work.pop_front() {
            // Outside of all locks: others step meanwhile.
            let input = carry_out();
            self.inbox().push_back(Message::Input(input));
            self.step(&mut at_hand);
        }
    }

    fn step(&self, at_hand: &mut AtHand) {
        // Who steps looks again after having let go: what was put down meanwhile is found by one of the two.
        while !self.inbox().is_empty() {
            let mut stepper = match self.stepper.try_lock() {
                Ok(stepper) => stepper,
                Err(TryLockError::WouldBlock) => return,
                // A step panicked: what the engine is in the middle of, nobody knows. Whoever waits is told.
                Err(TryLockError::Poisoned(poisoned)) => {
                    let mut stepper = poisoned.into_inner();
                    self.has_ended.store(true, Ordering::Release);
                    *stepper = None;
                    stepper
                }
            };
            match stepper.as_mut() {
                Some(stepper) => stepper.run(|| self.inbox().pop_front(), at_hand),
                None => {
                    drop(stepper);
                    // Messages that are dropped answer for themselves; outside of all locks.
                    let unanswered = std::mem::take(&mut *self.inbox());
                    return drop(unanswered);
                }
            }
            drop(stepper);
            self.stepped.notify_all();
        }
    }

    /// Waits until nothing is under way, or the writer has halted, and lets the threads of effects end.
    fn end(&self) {
        let mut stepper = self.stepper.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(running) = stepper.as_mut() {
            running.run(|| self.inbox().pop_front(), &mut AtHand::of_nobody());
            if running.is_done() {
                break;
            }
            // A message that came while this thread held the lock rang before it waits: hence the bound.
            let waited = self.stepped.wait_timeout(stepper, END_LOOK);
            stepper = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        self.has_ended.store(true, Ordering::Release);
        *stepper = None;
    }
}

/// One thread for each kind of effect; an effect of a kind follows the one before it.
struct Doers {
    keys: SyncSender<u64>,
    log: Doer<Append>,
    guard: Doer<Swap>,
    compare: SyncSender<(Ticket, Vec<Comparison>)>,
    follow: SyncSender<Follow>,
    /// What was sent to the follower and is not done; only whoever steps adds to it.
    following: Arc<AtomicUsize>,
    hashes: Arc<dyn StoredHashes>,
}

/// A kind of effect that its thread carries out, or whoever stepped.
struct Doer<T> {
    carry_out: Arc<dyn Fn(T) -> Input + Send + Sync>,
    thread: SyncSender<T>,
}

impl<T: Send + 'static> Doer<T> {
    fn start(
        of: (String, Arc<Desk>),
        threads: &mut Vec<JoinHandle<()>>,
        carry_out: impl Fn(T) -> Input + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let carry_out: Arc<dyn Fn(T) -> Input + Send + Sync> = Arc::new(carry_out);
        let own = Arc::clone(&carry_out);
        let thread = doer(of, 1, threads, move |one| Some(own(one)))?;
        Ok(Self { carry_out, thread })
    }

    /// An effect to be carried out by whoever asks.
    fn at_hand(&self, one: T) -> Work {
        let carry_out = Arc::clone(&self.carry_out);
        Box::new(move || carry_out(one))
    }
}

impl Doers {
    fn start(world: &World, desk: &Arc<Desk>, threads: &mut Vec<JoinHandle<()>>) -> std::io::Result<Self> {
        let answer_with = |name: &str| (name.to_owned(), Arc::clone(desk));
        let keyring = Arc::clone(&world.keyring);
        let keys = doer(answer_with("waag-keys"), 1, threads, move |up_to| {
            let durable = keyring.commit_pending(up_to);
            Some(Input::KeysDurable(durable.map_err(|error| Halt::ours(error.code(), &error))))
        })?;
        let (log, keyring) = (Arc::clone(&world.log), Arc::clone(&world.keyring));
        let log = Doer::start(answer_with("waag-log"), threads, move |(expected, frame): Append| {
            let appended = log.append(expected, &frame).map(|()| (frame, keyring.generation()));
            Input::Appended(appended.map_err(|error| Halt::ours(error.code(), &error)))
        })?;
        let guard = Arc::clone(&world.guard);
        let guard = Doer::start(answer_with("waag-guard"), threads, move |(expected, record)| {
            let swapped = guard.swap(Some(expected), &record);
            Input::Guarded(swapped.map_err(|error| Halt::ours(error.code(), &error)))
        })?;
        let reader = world.reader.clone();
        let compare = doer(
            answer_with("waag-compare"),
            BATCHES_QUEUED_MAX,
            threads,
            move |(ticket, retries): (_, Vec<_>)| {
                Some(match reader.compare(&retries) {
                    Ok(verdicts) => Input::Compared(ticket, verdicts),
                    Err(fault) => Input::CompareFailed(ticket, Halt::ours(fault.code(), &fault)),
                })
            },
        )?;
        let index =
            doer(answer_with("waag-index"), 1, threads, |job: Job| Some(Input::Maintained(job.run())))?;
        let following = Arc::new(AtomicUsize::new(0));
        let (hashes, done) = (Arc::clone(&world.hashes), Arc::clone(&following));
        let follow = doer(answer_with("waag-follow"), FOLLOW_QUEUE_MAX, threads, move |follow| {
            match follow {
                Follow::Frame(committed) => write_hashes(&*hashes, &committed),
                Follow::Job(job) => {
                    // What the index covers need not be replayed, so the stored hashes must be durable that far.
                    drop(hashes.sync());
                    drop(index.send(job));
                }
            }
            done.fetch_sub(1, Ordering::AcqRel);
            None
        })?;
        Ok(Self { keys, log, guard, compare, follow, following, hashes: Arc::clone(&world.hashes) })
    }

    /// What follows a commit, in order.
    fn follow(&self, follow: Follow) {
        if let Follow::Frame(committed) = &follow
            && committed.tree.stored_hashes().len() <= HASHES_AT_HAND_MAX
            && self.following.load(Ordering::Acquire) == 0
        {
            return write_hashes(&*self.hashes, committed);
        }
        self.following.fetch_add(1, Ordering::AcqRel);
        drop(self.follow.send(follow));
    }
}

/// Derived: a failure shows when a proof is asked for, and is mended at the next opening.
fn write_hashes(hashes: &dyn StoredHashes, committed: &Committed) {
    drop(hashes.write(committed.tree.stored_first(), committed.tree.stored_hashes()));
}

/// A thread that carries out one kind of effect and puts down what comes of it.
fn doer<T: Send + 'static>(
    (name, desk): (String, Arc<Desk>),
    room: usize,
    threads: &mut Vec<JoinHandle<()>>,
    mut carry_out: impl FnMut(T) -> Option<Input> + Send + 'static,
) -> std::io::Result<SyncSender<T>> {
    let (sender, work) = sync_channel(room);
    threads.push(spawn(&name, move || {
        for one in work {
            if let Some(input) = carry_out(one) {
                desk.put(Message::Input(input), AtHand::of_doer());
            }
        }
    })?);
    Ok(sender)
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

impl Stepper {
    /// Takes one message after the other until there is none; leaves one effect at most to its caller.
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
            Effect::Append { expected, frame } => {
                let left = at_hand.append((expected, frame), &self.doers.log);
                drop(left.map_err(|append| self.doers.log.thread.send(append)));
            }
            Effect::SwapGuard { expected, record } => {
                let left = at_hand.swap((expected, record), &self.doers.guard);
                drop(left.map_err(|swap| self.doers.guard.thread.send(swap)));
            }
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
        if status.halted.is_none()
            && let Some(halt) = self.engine.halted()
        {
            status.halted = Some(halt.clone());
            drop(status);
            (self.told_halt)(halt);
        }
    }
}
