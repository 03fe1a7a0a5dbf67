//! From a request's events to its receipt: a bounded queue, sealing threads, several batches under way, one answer each.
//!
//! ```text
//! doors ─Job─► queue ─many small or one large─► sealing threads ─batch─► writer ─► settling thread ─Settled─► doors
//! ```
//!
//! Place in the way of an event: between `accept` and the engine; every door hands its requests over here.
//! Not here: any wire form of requests and answers (`events`, `receipt`), who may send (`keys`).
//!
//! - `INTAKE-1`: what is queued is bounded by jobs and by bytes; whoever is one too many learns it at once.
//! - `INTAKE-2`: all events of a request go into one batch, so that one checkpoint covers them, or none of them does.
//! - `INTAKE-3`: an event that is refused stops neither its request's other events nor another request's.
//! - `INTAKE-4`: every job that was taken is answered exactly once, also where the writer stops.
//! - `INTAKE-5`: a receipt is checked against its checkpoint's root before it is handed out.

mod gather;
mod queue;
mod seal;
mod settle;

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread::JoinHandle;

use waag_domain::passthrough::Passthrough;
use waag_engine::runtime::Writer;
use waag_engine::sealer::Sealer;
use waag_keys::keyring::Keyring;
use waag_model::event::Event;
use waag_model::ids::Actor;
use waag_model::time::UtcNanos;
use waag_stdx::clock::Clock;

use crate::fault::Fault;
pub use gather::Gathering;
use queue::Queue;
pub use settle::{ItemOutcome, Settled};

/// Most events of one request (design: `batch_entries_max` is twice as many).
pub const REQUEST_EVENTS_MAX: usize = 8_192;
/// Events of small requests that share a batch at most.
const SHARED_EVENTS_MAX: usize = 2_048;
/// Bytes of small requests that share a batch at most; half of what a batch may have sealed.
const SHARED_BYTES_MAX: usize = 1_024 * 1_024;

/// The events of one request, read anew each time they are sealed.
pub trait Source: Send + Sync {
    /// Hands every event over in order, or why it is none; stops where `take` says so.
    ///
    /// # Errors
    /// [`Fault`] where the request as a whole cannot be read: nothing of it is recorded then.
    fn each(&self, take: &mut Take<'_>) -> Result<(), Fault>;

    /// Bytes that it holds.
    fn bytes(&self) -> usize;

    /// How many events it has, where that is known to be few; large requests need not tell.
    fn events_hint(&self) -> usize;
}

/// Takes one event after the other.
pub type Take<'t> = dyn FnMut(Result<Event<'_>, Fault>) -> ControlFlow<()> + 't;

/// One request on its way.
pub struct Job {
    /// Its events.
    pub source: Box<dyn Source>,
    /// Who sent it.
    pub actor: Actor,
    /// When it came.
    pub accepted: UtcNanos,
    /// Hears what became of it; runs on the settling thread and must be short.
    pub answer: Box<dyn FnOnce(Settled) + Send>,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("accepted", &self.accepted).finish_non_exhaustive()
    }
}

/// The intake's bounds.
#[derive(Clone, Copy, Debug)]
pub struct IntakeLimits {
    /// Most requests that wait to be sealed.
    pub queue_jobs_max: usize,
    /// Most bytes that wait to be sealed.
    pub queue_bytes_max: usize,
    /// Sealing threads.
    pub sealing_threads: usize,
    /// Batches under way beyond which small requests are collected rather than sent on their own.
    pub small_under_way_max: usize,
    /// How long a sealed batch waits for a full writer before its requests are refused, in milliseconds.
    pub writer_wait_ms_max: u64,
}

impl Default for IntakeLimits {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(16);
        Self {
            queue_jobs_max: 4_096,
            queue_bytes_max: 64 * 1_024 * 1_024,
            sealing_threads: threads,
            small_under_way_max: 1,
            writer_wait_ms_max: 2_000,
        }
    }
}

/// What an intake works with: one ledger's sealer, writer and keys.
pub struct Means {
    /// Seals events.
    pub sealer: Arc<Sealer<Passthrough>>,
    /// Writes batches.
    pub writer: Arc<Writer>,
    /// Makes keys durable earlier where too many are new.
    pub keyring: Arc<Keyring>,
    /// Measures waits.
    pub clock: Arc<dyn Clock>,
    /// The tenant whose ledger it is.
    pub tenant: String,
}

impl fmt::Debug for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Means").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

/// The running intake of one ledger. Dropping it answers what is queued and waits for it.
pub struct Intake {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake").finish_non_exhaustive()
    }
}

/// Too much is waiting: the job comes back, unanswered.
#[derive(Debug)]
pub struct QueueFull(pub Job);

impl Intake {
    /// Starts the threads.
    ///
    /// # Errors
    /// The operating system's, where a thread cannot be had.
    pub fn start(means: Means, limits: IntakeLimits) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::new(limits));
        let means = Arc::new(means);
        let mut threads = Vec::new();
        let (ended, settling) = std::sync::mpsc::sync_channel(queue::UNDER_WAY_MAX);
        for _ in 0..limits.sealing_threads.max(1) {
            let (means, queue, ended) = (Arc::clone(&means), Arc::clone(&queue), ended.clone());
            let worker = seal::Worker { means, queue, ended, wait_ms_max: limits.writer_wait_ms_max };
            threads.push(spawn("waag-seal", move || worker.run())?);
        }
        drop(ended);
        let again = Arc::clone(&queue);
        threads.push(spawn("waag-settle", move || settle::run(&settling, &again))?);
        Ok(Self { queue, threads })
    }

    /// Hands a request over; its answer comes on another thread. The first request after a crowd was seen comes back with
    /// who is to gather from now on.
    ///
    /// # Errors
    /// [`QueueFull`] with the job (`INTAKE-1`).
    pub fn offer(&self, job: Job) -> Result<Option<Gathering>, QueueFull> {
        Ok(self.queue.offer(job)?.then(|| Gathering::of(&self.queue)))
    }

    /// Requests and bytes that wait to be sealed.
    #[must_use]
    pub fn queued(&self) -> (usize, usize) {
        self.queue.queued()
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.queue.close();
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}
