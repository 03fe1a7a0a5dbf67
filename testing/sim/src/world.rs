//! One world: a seed becomes a workload, faults and an order of things; the auditor watches; at the end everything is
//! verified again.
//!
//! A world has at least 100 events and three faults. Faults of an honest disk (crashes, torn writes, errors, a full disk,
//! clock jumps, failing commits, a second writer) must leave every promise whole. Faults that lie (a lost or misdirected
//! write, a flipped bit, a rollback) may end in a refusal, and must never end in a wrong answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use waag_engine::batch::{Outcome as Answered, Ticket};
use waag_engine::effect::Input;
use waag_engine::identity::IdentityLimits;
use waag_engine::recover::first_guard;
use waag_files::config::LogConfig;
use waag_files::guard::FileGuard;
use waag_files::log::FilesLog;
use waag_keys::create::create_tenant;
use waag_keys::keyring::{Keyring, Limits, Means};
use waag_keys::memory::MemoryVault;
use waag_log::contract::EventLog;
use waag_log::guard::Guard;
use waag_model::event::Accepted;
use waag_model::ids::{Actor, TenantName};
use waag_model::time::UtcNanos;
use waag_stdx::clock::Clock;
use waag_stdx::files::Files;

use crate::auditor::{Auditor, Broken, Sent};
use crate::disk::SimDisk;
use crate::fault::{Fault, Op};
use crate::node::{Ground, Happened, Node, NotOpened, Plant};
use crate::prng::Prng;
use crate::senses::{SeededEntropy, SimClock, SimObjects};
use crate::state::{StateFault, StateStore};
use events::{event, registry};

mod events;
mod last_look;

/// Events of a world, at least.
pub const EVENTS_MIN: u32 = 100;
/// Faults of a world, at least.
pub const FAULTS_MIN: u32 = 3;
/// Codes with which a node may refuse to open after a disk that lied or was taken back.
const REFUSALS: [&str; 16] = [
    "E0461", "E0462", "E0463", "E0449", "E0440", "E0441", "E0442", "E0443", "E0630", "E0631", "E0632",
    "E0633", "E0634", "E0635", "E0544", "E0542",
];

/// What a world did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Events acknowledged.
    pub acknowledged: usize,
    /// Entries in the log at the end.
    pub entries: usize,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u32>,
    /// How it ended: `whole`, or the code of a refusal that was due.
    pub ended: String,
    /// A fingerprint of everything that happened: equal for equal seeds.
    pub fingerprint: u64,
}

/// A world in progress.
pub struct World {
    rng: Prng,
    disk: SimDisk,
    state: StateStore,
    ground: Ground,
    clock: Arc<SimClock>,
    auditor: Auditor,
    node: Option<Node>,
    under_way: BTreeMap<u64, Vec<Sent>>,
    unsettled: Vec<Vec<Sent>>,
    next_ticket: u64,
    next_id: u32,
    events: u32,
    faults: BTreeMap<&'static str, u32>,
    lied: bool,
    destroying: Option<u64>,
    sealing_failed: bool,
    fingerprint: u64,
    trace: bool,
}

/// What went wrong in a world that should not.
pub type Outcome = Result<Report, Broken>;

/// Runs one world.
///
/// # Errors
/// [`Broken`] where a promise was broken.
pub fn run(seed: u64, plant: Option<Plant>, trace: bool) -> Outcome {
    let mut world =
        World::new(seed, plant, trace).map_err(|error| Broken(format!("creation failed: {error:?}")))?;
    world.live()
}

fn means(seed: u64, state: &StateStore, clock: &Arc<SimClock>) -> Result<Means, NotOpened> {
    let entropy: Arc<SeededEntropy> = Arc::new(SeededEntropy::new(seed));
    let vault = MemoryVault::new(entropy.clone())
        .map_err(|error| NotOpened { code: error.code().to_owned(), reason: error.to_string() })?;
    Ok(Means { state: state.open(), vault: Arc::new(vault), entropy, clock: clock.clone() })
}

impl World {
    fn new(seed: u64, plant: Option<Plant>, trace: bool) -> Result<Self, NotOpened> {
        let mut rng = Prng::new(seed);
        let disk = SimDisk::new(rng.next_u64());
        let state = StateStore::default();
        let clock = Arc::new(SimClock::new(UtcNanos(1_790_000_000_000_000_000)));
        let data: Arc<dyn Files> = Arc::new(disk.folder("data"));
        let state_files: Arc<dyn Files> = Arc::new(disk.folder("state"));
        let config = LogConfig { segment_bytes: 65_536, step_bytes: 8_192, ahead_bytes_max: 16_384 };
        let identity = IdentityLimits {
            table_entries_max: 64,
            entries_max: 1_000_000,
            merge_step_entries: 100,
            batch_entries_max: 12,
            // Planted: identities are forgotten as soon as they leave the table in memory.
            window_ns: if plant == Some(Plant::ShortMemory) {
                1
            } else {
                IdentityLimits::default().window_ns
            },
            ..IdentityLimits::default()
        };
        let ground = Ground {
            data: no_sync(plant, data),
            state_files: no_sync(plant, state_files),
            means: means(rng.next_u64(), &state, &clock)?,
            objects: Arc::new(SimObjects::default()),
            registry: registry(),
            config,
            identity,
            plant,
        };
        let mut world = Self {
            rng,
            disk,
            state,
            ground,
            clock,
            auditor: Auditor::default(),
            node: None,
            under_way: BTreeMap::new(),
            unsettled: Vec::new(),
            next_ticket: 0,
            next_id: 0,
            events: 0,
            faults: BTreeMap::new(),
            lied: false,
            destroying: None,
            sealing_failed: false,
            fingerprint: seed,
            trace,
        };
        world.create()?;
        if plant == Some(Plant::ForgetfulState) {
            world.state.make_forgetful();
        }
        Ok(world)
    }

    fn create(&mut self) -> Result<(), NotOpened> {
        let no = |code: &str, error: &dyn std::error::Error| NotOpened {
            code: code.to_owned(),
            reason: error.to_string(),
        };
        let tenant = TenantName::new("default").map_err(|error| no(error.code(), &error))?;
        create_tenant(&self.ground.means, &tenant).map_err(|error| no(error.code(), &error))?;
        let keyring = Keyring::open(self.ground.means.clone(), &tenant, Limits::default());
        let keyring = keyring.map_err(|error| no(error.code(), &error))?;
        let (ledger, _) = keyring.create_ledger("main", "sim").map_err(|error| no(error.code(), &error))?;
        let guard =
            FileGuard::create(self.ground.state_files.as_ref()).map_err(|error| no(error.code(), &error))?;
        let generation = keyring.commit_pending(0).map_err(|error| no(error.code(), &error))?.generation().0;
        let record = first_guard(&ledger, generation).map_err(|error| no(error.code(), &error))?;
        guard.swap(None, &record).map_err(|error| no(error.code(), &error))?;
        FilesLog::create(Arc::clone(&self.ground.data), self.ground.config, ledger.id)
            .map_err(|error| no(error.code(), &error))?;
        Ok(())
    }

    fn stir(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.fingerprint = (self.fingerprint ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Counts what was answered towards the fingerprint, without writing all of it out as text.
    fn note_receipt(&mut self, ticket: Ticket, items: &[Answered]) {
        if self.trace {
            self.tell(&format!("ack {} {items:?}", ticket.0));
        }
        self.stir(&ticket.0.to_le_bytes());
        for item in items {
            let (what, position) = match item {
                Answered::Recorded(recorded) => (0, recorded.position),
                Answered::Before(recorded) => (1, recorded.position),
                Answered::Conflict(position) => (2, *position),
                Answered::Erased(position) => (3, *position),
            };
            self.stir(&[what]);
            self.stir(&position.0.to_le_bytes());
            if let Answered::Recorded(recorded) | Answered::Before(recorded) = item {
                self.stir(&recorded.leaf.0);
            }
        }
    }

    fn note(&mut self, what: &str) {
        self.stir(what.as_bytes());
        if self.trace {
            self.tell(what);
        }
    }

    #[expect(clippy::print_stdout, reason = "the trace of a seed that someone looks at")]
    fn tell(&self, what: &str) {
        println!("{:>6} {what}", self.disk.operations());
    }

    fn strike(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_insert(0) += 1;
        self.note(kind);
    }

    fn live(&mut self) -> Outcome {
        let rolled = self.rng.below(8) == 0;
        let mut early = None;
        if let Some(ended) = self.reopen()? {
            return self.report(ended);
        }
        let events = EVENTS_MIN + u32::try_from(self.rng.below(60)).unwrap_or(0);
        let faults = FAULTS_MIN + u32::try_from(self.rng.below(3)).unwrap_or(0);
        let due = self.faults.values().sum::<u32>() + faults;
        while self.events < events || self.faults.values().sum::<u32>() < due {
            if rolled && early.is_none() && self.events > EVENTS_MIN / 2 && self.quiet()? {
                early = Some((
                    self.disk.folder("data").snapshot(),
                    self.disk.folder("state").snapshot(),
                    self.state.snapshot(),
                ));
            }
            if let Some(ended) = self.turn()? {
                return self.report(ended);
            }
        }
        // Whatever is unsettled is sent once more: it must be answered now.
        self.disk.clear_faults();
        self.disk.set_capacity(None);
        if let Some(ended) = self.crash("kill")? {
            return self.report(ended);
        }
        for batch in std::mem::take(&mut self.unsettled) {
            self.send(batch)?;
        }
        self.settle()?;
        self.finish()?;
        self.aftermath(early)
    }

    /// One random step of the world.
    fn turn(&mut self) -> Result<Option<String>, Broken> {
        let ns = self.rng.below(3_000_000);
        self.clock.pass(ns);
        match self.rng.below(100) {
            0..30 => {
                let batch = self.make_batch();
                self.send(batch)?;
            }
            30..36 if !self.unsettled.is_empty() => {
                let at = self.rng.index(self.unsettled.len());
                let batch = self.unsettled.swap_remove(at);
                self.send(batch)?;
            }
            36..38 => self.erase()?,
            38..45 => return self.fault(),
            45..48 => {
                if let Some(node) = &self.node {
                    drop(node.log.prepare());
                }
            }
            _ => self.carry_out_one()?,
        }
        let stopped = std::mem::take(&mut self.sealing_failed)
            || self.disk.is_off()
            || self.node.as_ref().is_some_and(|node| node.engine.halted().is_some());
        if stopped { self.crash(if self.disk.is_off() { "power" } else { "kill" }) } else { Ok(None) }
    }

    fn make_batch(&mut self) -> Vec<Sent> {
        let len = 1 + self.rng.below(12);
        let mut batch = Vec::new();
        for _ in 0..len {
            let retry = self.next_id > 0 && self.rng.below(6) == 0;
            let id = if retry {
                u32::try_from(self.rng.below(u64::from(self.next_id))).unwrap_or(0)
            } else {
                self.next_id
            };
            self.next_id += u32::from(!retry);
            let content = u8::from(retry && self.rng.below(4) == 0);
            batch.push(Sent { id, content });
        }
        batch
    }

    fn send(&mut self, events: Vec<Sent>) -> Result<(), Broken> {
        let Some(node) = &mut self.node else {
            self.unsettled.push(events);
            return Ok(());
        };
        let Ok(actor) = Actor::new("sim") else { return Ok(()) };
        let accepted = self.clock.now();
        let mut batch = node.sealer.begin();
        for sent in &events {
            let command = Accepted { event: event(*sent), actor: actor.clone(), accepted };
            if batch.push(command, None).is_err() {
                // A poisoned keyring or a failing state: the node is about to stop.
                self.unsettled.push(events);
                return self.stop_node();
            }
        }
        let sealed = batch.finish();
        self.events += u32::try_from(events.len()).unwrap_or(0);
        self.auditor.sends(&events);
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.under_way.insert(ticket, events);
        let happened = node.submit(self.clock.as_ref(), Ticket(ticket), sealed);
        self.hear(happened)
    }

    /// The node cannot seal any more: its process ends, and is started again by the next turn.
    fn stop_node(&mut self) -> Result<(), Broken> {
        self.sealing_failed = true;
        Ok(())
    }

    fn carry_out_one(&mut self) -> Result<(), Broken> {
        let Some(node) = &mut self.node else { return Ok(()) };
        let lanes = node.busy_lanes();
        if lanes.is_empty() {
            return Ok(());
        }
        let lane = lanes.get(self.rng.index(lanes.len())).copied().unwrap_or(0);
        let happened = node.carry_out(self.clock.as_ref(), lane);
        self.hear(happened)
    }

    fn hear(&mut self, happened: Vec<Happened>) -> Result<(), Broken> {
        for one in happened {
            match one {
                Happened::Inside => {}
                Happened::Answer(ticket, outcome) => {
                    if self.destroying == Some(ticket.0) {
                        self.destroying = None;
                        continue;
                    }
                    let Some(events) = self.under_way.remove(&ticket.0) else { continue };
                    match *outcome {
                        Ok(receipt) => {
                            self.note_receipt(ticket, &receipt.items);
                            self.auditor.hears(&events, &receipt)?;
                        }
                        // Whatever was refused, for whatever reason, is sent again.
                        Err(_) => self.unsettled.push(events),
                    }
                }
                Happened::Destroy(_) => {
                    self.destroying = None;
                    let person = format!("p{}", self.rng.below(7));
                    let Some(node) = &mut self.node else { continue };
                    drop(node.keyring.destroy_person(&person, &|_| true));
                    let more = node.destroyed(self.clock.as_ref());
                    self.hear(more)?;
                }
            }
        }
        Ok(())
    }

    fn erase(&mut self) -> Result<(), Broken> {
        let ticket = self.next_ticket;
        if self.destroying.is_some() {
            return Ok(());
        }
        let Some(node) = &mut self.node else { return Ok(()) };
        self.next_ticket += 1;
        self.destroying = Some(ticket);
        self.auditor.erases();
        let happened = node.step(self.clock.as_ref(), Input::Destroy(Ticket(ticket)));
        self.hear(happened)
    }

    fn fault(&mut self) -> Result<Option<String>, Broken> {
        let soon = self.rng.below(4);
        let op = if self.rng.coin() { Op::Write } else { Op::Sync };
        match self.rng.below(16) {
            0..3 => {
                self.strike("power cut at an operation");
                self.disk.fault_at(self.disk.operations() + soon, Fault::PowerOff);
            }
            3..5 => return self.crash("power"),
            5 => return self.crash("kill"),
            6 => {
                self.strike("error, nothing done");
                self.disk.fault_nth(op, soon, Fault::Io);
            }
            7 => {
                self.strike("error, half done");
                self.disk.fault_nth(op, soon, Fault::IoShort);
            }
            8 => {
                self.strike("error, all done");
                self.disk.fault_nth(op, soon, Fault::IoPersisted);
            }
            9 => {
                self.strike("no space");
                self.disk.fault_nth(
                    Op::Write,
                    soon,
                    if self.rng.coin() { Fault::NoSpace } else { Fault::NoSpaceShort },
                );
            }
            10 => {
                let stored = self.rng.coin();
                self.strike("state commit fails");
                self.state.fault(if stored { StateFault::FailedButStored } else { StateFault::Failed });
            }
            11 => {
                let forward = self.rng.coin();
                self.strike("clock jump");
                let by = i64::try_from(self.rng.below(3_600_000_000_000)).unwrap_or(0);
                self.clock.jump(if forward { by } else { -by });
            }
            12 => return self.second_writer().map(|()| None),
            13 => {
                self.strike("slow operation");
                self.disk.fault_nth(op, soon, Fault::Slow { ns: 2_000_000_000 });
            }
            // One lie a world: two can take back log and guard together, which only a receipt's holder can see.
            14 if !self.lied => {
                self.strike("lost write");
                self.lied = true;
                self.disk.fault_nth(Op::Write, soon, Fault::Lost);
            }
            15 if !self.lied => {
                self.strike("misdirected write");
                self.lied = true;
                let offset = self.rng.below(8) * 4_096;
                self.disk.fault_nth(Op::Write, soon, Fault::Misdirected { offset });
            }
            _ => self.strike("clock stands still"),
        }
        Ok(None)
    }

    fn second_writer(&mut self) -> Result<(), Broken> {
        self.strike("second writer");
        if self.node.is_none() || self.disk.is_off() {
            return Ok(());
        }
        match Node::open(&self.ground) {
            Err(_) => Ok(()),
            Ok(_) => Err(Broken("WRITER-1: a second writer was let in".to_owned())),
        }
    }

    /// Everything stops; then the store is opened again. `Some` where it refuses, and may.
    fn crash(&mut self, how: &'static str) -> Result<Option<String>, Broken> {
        self.strike(how);
        self.node = None;
        self.destroying = None;
        let lost = std::mem::take(&mut self.under_way);
        self.unsettled.extend(lost.into_values());
        if how == "power" {
            self.disk.crash(&mut self.rng);
        } else {
            self.disk.kill();
        }
        self.disk.clear_faults();
        self.reopen()
    }

    fn reopen(&mut self) -> Result<Option<String>, Broken> {
        self.ground.means.state = self.state.open();
        match Node::open(&self.ground) {
            Ok(node) => {
                let told = node.engine.checkpoint().checkpoint().clone();
                self.auditor.sees(told.size, told.root)?;
                self.note(&format!("open {}", told.size));
                self.node = Some(node);
                Ok(None)
            }
            Err(refusal) if self.lied && REFUSALS.contains(&refusal.code.as_str()) => Ok(Some(refusal.code)),
            Err(refusal) => Err(Broken(format!("OPEN-1: the store does not open: {refusal:?}"))),
        }
    }

    /// Whether nothing is under way; a step towards it otherwise.
    fn quiet(&mut self) -> Result<bool, Broken> {
        self.settle()?;
        Ok(self.node.is_some() && self.under_way.is_empty() && !self.disk.is_off())
    }

    /// Carries everything out.
    fn settle(&mut self) -> Result<(), Broken> {
        for _ in 0..100_000 {
            let busy = self.node.as_ref().is_some_and(|node| !node.busy_lanes().is_empty());
            if !busy || self.disk.is_off() {
                return Ok(());
            }
            self.carry_out_one()?;
        }
        Err(Broken("LIVE-1: work that never ends".to_owned()))
    }

    fn report(&mut self, ended: String) -> Outcome {
        let entries =
            self.node.as_ref().map_or(0, |node| usize::try_from(node.log.tail().position.0).unwrap_or(0));
        self.note(&ended);
        Ok(Report {
            acknowledged: self.auditor.acknowledged(),
            entries,
            faults: self.faults.clone(),
            ended,
            fingerprint: self.fingerprint,
        })
    }
}

/// Planted: a disk whose syncs do nothing.
fn no_sync(plant: Option<Plant>, files: Arc<dyn Files>) -> Arc<dyn Files> {
    if plant == Some(Plant::NoSync) { Arc::new(crate::planted::NoSyncFiles(files)) } else { files }
}
