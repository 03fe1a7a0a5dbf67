//! One running node: the engine that ships, over the drivers that ship, on a simulated disk; its effects wait in lanes
//! until the world carries them out.
//!
//! Effects of one lane keep their order, as the threads of the runtime do; between lanes any order can happen.

use std::collections::VecDeque;
use std::sync::Arc;

use waag_domain::passthrough::Passthrough;
use waag_engine::batch::{BatchReceipt, SealedBatch, Ticket};
use waag_engine::effect::{Effect, Halt, Input, Rejection};
use waag_engine::engine::Engine;
use waag_engine::identity::IdentityLimits;
use waag_engine::reader::Reader;
use waag_engine::recover::{self, Store};
use waag_engine::registry::Registry;
use waag_engine::sealer::Sealer;
use waag_files::config::LogConfig;
use waag_files::guard::FileGuard;
use waag_files::hashes::HashFile;
use waag_files::log::FilesLog;
use waag_keys::keyring::{Keyring, Limits, Means};
use waag_log::contract::EventLog;
use waag_log::guard::Guard;
use waag_log::hashes::StoredHashes;
use waag_log::objects::Objects;
use waag_model::ids::TenantName;
use waag_stdx::clock::Clock;
use waag_stdx::files::Files;

/// A defect planted on purpose, which the auditor must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The guard is never swapped, and said to be.
    NoGuard,
    /// Frames are never appended, and said to be, for one frame in eight.
    LostFrame,
    /// Syncs do nothing.
    NoSync,
    /// Commits of the state are lost at the next opening.
    ForgetfulState,
    /// Identities are forgotten at once, so that a retry is recorded again.
    ShortMemory,
}

/// The lanes in which effects wait.
const LANES: usize = 5;

/// A node that runs.
pub struct Node {
    /// The writer.
    pub engine: Engine,
    /// Who seals.
    pub sealer: Sealer<Passthrough>,
    /// The log.
    pub log: Arc<FilesLog>,
    /// Reads entries back.
    pub reader: Reader,
    /// The keys.
    pub keyring: Arc<Keyring>,
    guard: FileGuard,
    hashes: HashFile,
    lanes: [VecDeque<Effect>; LANES],
    plant: Option<Plant>,
    frames: u64,
}

/// What a node is opened on.
pub struct Ground {
    /// Folder of the data.
    pub data: Arc<dyn Files>,
    /// Folder of the guard.
    pub state_files: Arc<dyn Files>,
    /// State, vault, randomness, clock.
    pub means: Means,
    /// Blobs.
    pub objects: Arc<dyn Objects>,
    /// Schemas.
    pub registry: Registry,
    /// Sizes of the log.
    pub config: LogConfig,
    /// Sizes of the identity index.
    pub identity: IdentityLimits,
    /// A defect.
    pub plant: Option<Plant>,
}

/// Why a node did not open: the stable code and the words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotOpened {
    /// The stable code.
    pub code: String,
    /// The words.
    pub reason: String,
}

fn no(code: &str, error: &dyn std::error::Error) -> NotOpened {
    NotOpened { code: code.to_owned(), reason: error.to_string() }
}

/// What came of carrying out an effect.
pub enum Happened {
    /// Nothing for the outside.
    Inside,
    /// A batch has its answer.
    Answer(Ticket, Box<Result<BatchReceipt, Rejection>>),
    /// Nothing is under way: keys are to be destroyed for this ticket, then [`Node::destroyed`] called.
    Destroy(Ticket),
}

impl Node {
    /// Opens a store, as a process that has just started does.
    ///
    /// # Errors
    /// [`NotOpened`].
    pub fn open(ground: &Ground) -> Result<Self, NotOpened> {
        let tenant = TenantName::new("default").map_err(|error| no(error.code(), &error))?;
        let keyring = Keyring::open(ground.means.clone(), &tenant, Limits::default());
        let keyring = Arc::new(keyring.map_err(|error| no(error.code(), &error))?);
        let ledger = keyring.ledger("main").map_err(|error| no(error.code(), &error))?;
        let (guard, _) =
            FileGuard::open(ground.state_files.as_ref()).map_err(|error| no(error.code(), &error))?;
        let record = guard.read().map_err(|error| no(error.code(), &error))?;
        let record =
            record.ok_or_else(|| NotOpened { code: "no guard".to_owned(), reason: String::new() })?;
        let log = FilesLog::open(Arc::clone(&ground.data), ground.config, ledger.id, &record);
        let (log, _) = log.map_err(|error| no(error.code(), &error))?;
        let hashes =
            HashFile::open(ground.data.as_ref(), "derived/hashes").map_err(|error| no("io", &error))?;
        let log = Arc::new(log);
        let store = Store {
            ledger: &ledger,
            keyring: &keyring,
            log: log.as_ref(),
            guard: &guard,
            hashes: &hashes,
            files: Arc::clone(&ground.data),
            identity: ground.identity.clone(),
        };
        let start = recover::open(&store, &mut |_, _| {}).map_err(|error| no(error.code(), &error))?;
        let sealer = Sealer::new(
            Passthrough,
            &ledger,
            Arc::clone(&keyring),
            Arc::clone(&ground.means.entropy),
            Arc::clone(&ground.objects),
            ground.registry.clone(),
        );
        let reader = Reader {
            ledger: ledger.id,
            log: log.clone(),
            keyring: Arc::clone(&keyring),
            objects: Arc::clone(&ground.objects),
            registry: Arc::new(ground.registry.clone()),
        };
        let lanes = Default::default();
        let engine = Engine::new(start);
        Ok(Self {
            engine,
            sealer,
            log,
            reader,
            keyring,
            guard,
            hashes,
            lanes,
            plant: ground.plant,
            frames: 0,
        })
    }

    /// Hands an input to the engine; answers come back at once, everything else waits in its lane.
    pub fn step(&mut self, clock: &dyn Clock, input: Input) -> Vec<Happened> {
        let mut effects = Vec::new();
        self.engine.handle(clock.now(), input, &mut effects);
        effects.into_iter().filter_map(|effect| self.queue(effect)).collect()
    }

    /// Hands a batch to the engine.
    pub fn submit(&mut self, clock: &dyn Clock, ticket: Ticket, batch: SealedBatch) -> Vec<Happened> {
        self.step(clock, Input::Submit(ticket, batch))
    }

    fn queue(&mut self, effect: Effect) -> Option<Happened> {
        let lane = match &effect {
            Effect::Reply(..) | Effect::Destroy(_) => None,
            Effect::PersistKeys { .. } => self.lanes.get_mut(0),
            Effect::Append { .. } => self.lanes.get_mut(1),
            Effect::SwapGuard { .. } => self.lanes.get_mut(2),
            Effect::Compare(..) => self.lanes.get_mut(3),
            Effect::Follow(_) | Effect::Maintain(_) => self.lanes.get_mut(4),
        };
        match (effect, lane) {
            (Effect::Reply(ticket, outcome), _) => Some(Happened::Answer(ticket, Box::new(outcome))),
            (Effect::Destroy(ticket), _) => Some(Happened::Destroy(ticket)),
            (effect, lane) => {
                lane?.push_back(effect);
                None
            }
        }
    }

    /// Keys were destroyed, as asked for by [`Happened::Destroy`].
    pub fn destroyed(&mut self, clock: &dyn Clock) -> Vec<Happened> {
        let keys_epoch = self.sealer.keys_destroyed();
        self.step(clock, Input::Destroyed { keys_epoch })
    }

    /// The lanes that have something to do.
    #[must_use]
    pub fn busy_lanes(&self) -> Vec<usize> {
        (0..LANES).filter(|lane| self.lanes.get(*lane).is_some_and(|lane| !lane.is_empty())).collect()
    }

    /// Carries out the first effect of a lane.
    pub fn carry_out(&mut self, clock: &dyn Clock, lane: usize) -> Vec<Happened> {
        let Some(effect) = self.lanes.get_mut(lane).and_then(VecDeque::pop_front) else { return Vec::new() };
        let input = match effect {
            Effect::PersistKeys { up_to } => {
                let durable = self.keyring.commit_pending(up_to);
                Some(Input::KeysDurable(durable.map_err(|error| Halt::ours(error.code(), &error))))
            }
            Effect::Append { expected, frame } => {
                self.frames += 1;
                let planted = self.plant == Some(Plant::LostFrame) && self.frames.is_multiple_of(8);
                let appended = if planted { Ok(()) } else { self.log.append(expected, &frame) };
                let appended = appended.map(|()| (frame, self.keyring.generation()));
                Some(Input::Appended(appended.map_err(|error| Halt::ours(error.code(), &error))))
            }
            Effect::SwapGuard { expected, record } => {
                let planted = self.plant == Some(Plant::NoGuard);
                let swapped = if planted { Ok(()) } else { self.guard.swap(Some(expected), &record) };
                Some(Input::Guarded(swapped.map_err(|error| Halt::ours(error.code(), &error))))
            }
            Effect::Compare(ticket, retries) => Some(match self.reader.compare(&retries) {
                Ok(verdicts) => Input::Compared(ticket, verdicts),
                Err(fault) => Input::CompareFailed(ticket, Halt::ours(fault.code(), &fault)),
            }),
            Effect::Follow(committed) => {
                drop(self.hashes.write(committed.tree.stored_first(), committed.tree.stored_hashes()));
                None
            }
            Effect::Maintain(job) => {
                drop(self.hashes.sync());
                Some(Input::Maintained(job.run()))
            }
            Effect::Reply(..) | Effect::Destroy(_) => None,
        };
        input.map_or_else(Vec::new, |input| self.step(clock, input))
    }
}
