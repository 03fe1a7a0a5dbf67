//! A ledger in memory and the engine over it, stepped by hand: every effect waits until a test carries it out.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![allow(dead_code, reason = "each test file uses some of the helpers")]

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use waag_domain::passthrough::Passthrough;
use waag_engine::batch::{BatchReceipt, Outcome, SealedBatch, Ticket};
use waag_engine::effect::{Comparison, Effect, Halt, Input, Rejection};
use waag_engine::engine::Engine;
use waag_engine::identity::{IdentityLimits, Job};
use waag_engine::reader::Reader;
use waag_engine::recover::{OpenError, Store, first_guard, open};
use waag_engine::registry::Registry;
use waag_engine::sealer::{SealError, Sealer};
use waag_keys::create::create_tenant;
use waag_keys::keyring::{Keyring, Limits, Means};
use waag_keys::ledger::LedgerKeys;
use waag_keys::memory::{MemoryState, MemoryVault};
use waag_ledger::hash::Hash;
use waag_ledger::stored::{HashReadError, HashReader};
use waag_log::contract::{AppendError, EventLog, FrameView, Place, ReadError, Tail, TrimError};
use waag_log::frame::{DecodedFrame, Frame, HEADER_BYTES, header_hash};
use waag_log::guard::{Guard, GuardError, GuardRecord};
use waag_log::hashes::StoredHashes;
use waag_model::event::{Accepted, Data, Event};
use waag_model::ids::{Actor, FrameNumber, LedgerId, Position, TenantName};
use waag_model::time::UtcNanos;
use waag_model::value::{Object, Value};
use waag_sim::disk::SimDisk;
use waag_sim::senses::{SeededEntropy, SimClock, SimObjects};
use waag_stdx::clock::Clock;

/// Frames in memory.
pub(crate) struct MemoryLog {
    ledger: LedgerId,
    pub(crate) frames: Mutex<Vec<Vec<u8>>>,
}

impl EventLog for MemoryLog {
    fn append(&self, expected: FrameNumber, frame: &Frame) -> Result<(), AppendError> {
        let tail = self.tail();
        if tail.next != expected {
            return Err(AppendError::Conflict { expected, actual: tail.next });
        }
        tail.check_next(frame.header()).map_err(AppendError::Frame)?;
        self.frames.lock().unwrap().push(frame.bytes().to_vec());
        Ok(())
    }

    fn read(
        &self,
        from: Position,
        visit: &mut dyn FnMut(FrameView<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        for bytes in self.frames.lock().unwrap().iter() {
            let frame = DecodedFrame::decode(bytes).unwrap();
            let place = Place { file: "memory", offset: 0 };
            if frame.header.tree_size > from.0 && visit(FrameView { frame, place }).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn tail(&self) -> Tail {
        let frames = self.frames.lock().unwrap();
        frames.last().map_or(Tail::start(self.ledger), |bytes| {
            let header = DecodedFrame::decode(bytes).unwrap().header;
            Tail::after(&header, header_hash(bytes.first_chunk::<HEADER_BYTES>().unwrap()))
        })
    }

    fn trim(&self, _before: Position) -> Result<(), TrimError> {
        Err(TrimError::NoArchive)
    }
}

/// A guard in memory.
#[derive(Default)]
pub(crate) struct MemoryGuard(pub(crate) Mutex<Option<GuardRecord>>);

impl Guard for MemoryGuard {
    fn read(&self) -> Result<Option<GuardRecord>, GuardError> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn swap(&self, expected: Option<u64>, new: &GuardRecord) -> Result<(), GuardError> {
        let mut held = self.0.lock().unwrap();
        let actual = held.as_ref().map(|record| record.sequence);
        if actual != expected {
            return Err(GuardError::Conflict { expected, actual });
        }
        *held = Some(new.clone());
        Ok(())
    }
}

/// Stored hashes in memory.
#[derive(Default)]
pub(crate) struct MemoryHashes(pub(crate) Mutex<Vec<Hash>>);

impl HashReader for MemoryHashes {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, HashReadError> {
        let hashes = self.0.lock().unwrap();
        let read = |index: &u64| {
            let found = usize::try_from(*index).ok().and_then(|at| hashes.get(at)).copied();
            found.ok_or(HashReadError::Missing { index: *index })
        };
        indexes.iter().map(read).collect()
    }
}

impl StoredHashes for MemoryHashes {
    fn count(&self) -> u64 {
        self.0.lock().unwrap().len() as u64
    }

    fn write(&self, first: u64, new: &[Hash]) -> Result<(), HashReadError> {
        let mut hashes = self.0.lock().unwrap();
        hashes.truncate(usize::try_from(first).unwrap());
        hashes.extend_from_slice(new);
        Ok(())
    }

    fn sync(&self) -> Result<(), HashReadError> {
        Ok(())
    }
}

/// Everything a ledger is kept in.
pub(crate) struct Ground {
    pub(crate) means: Means,
    pub(crate) state: MemoryState,
    pub(crate) ledger: LedgerKeys,
    pub(crate) log: Arc<MemoryLog>,
    pub(crate) guard: Arc<MemoryGuard>,
    pub(crate) hashes: Arc<MemoryHashes>,
    pub(crate) disk: SimDisk,
    pub(crate) objects: SimObjects,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) limits: IdentityLimits,
}

impl Ground {
    /// An empty ledger.
    pub(crate) fn new() -> Self {
        let clock = Arc::new(SimClock::new(UtcNanos(1_790_000_000_000_000_000)));
        let entropy = Arc::new(SeededEntropy::new(7));
        let state = MemoryState::new();
        let vault = Arc::new(MemoryVault::new(entropy.clone()).unwrap());
        let means = Means { state: Arc::new(state.clone()), vault, entropy, clock: clock.clone() };
        create_tenant(&means, &TenantName::new("bank").unwrap()).unwrap();
        let keyring = keyring(&means);
        let (ledger, _) = keyring.create_ledger("main", "waag.example").unwrap();
        let generation = keyring.commit_pending(0).unwrap().generation().0;
        let guard = MemoryGuard(Mutex::new(Some(first_guard(&ledger, generation).unwrap())));
        let limits = IdentityLimits { table_entries_max: 16_384, ..IdentityLimits::default() };
        Self {
            means,
            state,
            log: Arc::new(MemoryLog { ledger: ledger.id, frames: Mutex::default() }),
            ledger,
            guard: Arc::new(guard),
            hashes: Arc::default(),
            disk: SimDisk::new(0),
            objects: SimObjects::default(),
            clock,
            limits,
        }
    }

    /// Opens it, as a process that has just started does.
    pub(crate) fn open(self) -> Result<Rig, Box<(OpenError, Self)>> {
        let keyring = keyring(&self.means);
        let store = Store {
            ledger: &self.ledger,
            keyring: &keyring,
            log: &*self.log,
            guard: &*self.guard,
            hashes: &*self.hashes,
            files: Arc::new(self.disk.clone()),
            identity: self.limits.clone(),
        };
        let start = match open(&store, &mut |_, _| {}) {
            Ok(start) => start,
            Err(error) => return Err(Box::new((error, self))),
        };
        let sealer = Sealer::new(
            Passthrough,
            &self.ledger,
            Arc::clone(&keyring),
            Arc::clone(&self.means.entropy),
            Arc::new(self.objects.clone()),
            Registry::default(),
        );
        let reader = Reader {
            ledger: self.ledger.id,
            log: self.log.clone(),
            keyring: Arc::clone(&keyring),
            objects: Arc::new(self.objects.clone()),
            registry: Arc::new(Registry::default()),
        };
        let engine = Engine::new(start);
        Ok(Rig { ground: self, engine, sealer, reader, keyring, effects: VecDeque::new(), next_ticket: 0 })
    }
}

fn keyring(means: &Means) -> Arc<Keyring> {
    let tenant = TenantName::new("bank").unwrap();
    Arc::new(Keyring::open(means.clone(), &tenant, Limits::default()).unwrap())
}

/// An event: its number, what it says, and whose it is; of the same number it is the same identity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent(pub(crate) u32, pub(crate) u32, pub(crate) u32);

/// An event of person 0 for each number.
pub(crate) fn sent(numbers: std::ops::Range<u32>) -> Vec<Sent> {
    numbers.map(|number| Sent(number, 0, 0)).collect()
}

pub(crate) fn event(Sent(number, says, person): Sent, pad: usize) -> Event<'static> {
    let data = vec![
        ("says".into(), Value::Integer(says.into())),
        ("pad".into(), Value::Text("x".repeat(pad).into())),
    ];
    Event {
        id: format!("e{number}").into(),
        source: "/engine".into(),
        kind: "engine.test".into(),
        subject: Some(format!("p{person}").into()),
        attributes: Object::default(),
        data: Data::Json(Value::Object(Object::from_members(data).unwrap())),
    }
}

pub(crate) fn halt() -> Halt {
    Halt { code: "E9999", reason: "struck".to_owned() }
}

/// Events as a batch, each with so many bytes to fill it up.
pub(crate) fn seal(
    sealer: &Sealer<Passthrough>,
    clock: &dyn Clock,
    sent: &[Sent],
    pad: usize,
) -> Result<SealedBatch, SealError> {
    let mut batch = sealer.begin();
    for one in sent {
        let (actor, accepted) = (Actor::new("test").unwrap(), clock.now());
        batch.push(Accepted { event: event(*one, pad), actor, accepted }, None)?;
    }
    Ok(batch.finish())
}

/// An engine, and what it wants done.
pub(crate) struct Rig {
    pub(crate) ground: Ground,
    pub(crate) engine: Engine,
    pub(crate) sealer: Sealer<Passthrough>,
    pub(crate) reader: Reader,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) effects: VecDeque<Effect>,
    next_ticket: u64,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Ground::new().open().map_err(|refused| refused.0).unwrap()
    }

    /// The process ends; everything in memory is kept, as on a disk.
    pub(crate) fn close(self) -> Ground {
        self.ground
    }

    pub(crate) fn step(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.engine.handle(self.ground.clock.now(), input, &mut effects);
        self.effects.extend(effects);
    }

    pub(crate) fn try_seal(&self, sent: &[Sent], pad: usize) -> Result<SealedBatch, SealError> {
        seal(&self.sealer, &*self.ground.clock, sent, pad)
    }

    pub(crate) fn seal(&self, sent: &[Sent]) -> SealedBatch {
        self.try_seal(sent, 10).unwrap()
    }

    pub(crate) fn submit_sealed(&mut self, batch: SealedBatch) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.step(Input::Submit(ticket, batch));
        ticket
    }

    pub(crate) fn submit(&mut self, sent: &[Sent]) -> Ticket {
        let batch = self.seal(sent);
        self.submit_sealed(batch)
    }

    pub(crate) fn destroy(&mut self) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.step(Input::Destroy(ticket));
        ticket
    }

    /// Takes the first effect that is wanted; the others stay in their order.
    fn take(&mut self, wanted: impl Fn(&Effect) -> bool) -> Option<Effect> {
        let at = self.effects.iter().position(wanted)?;
        self.effects.remove(at)
    }

    pub(crate) fn take_keys(&mut self) -> Option<u64> {
        let taken = self.take(|effect| matches!(effect, Effect::PersistKeys { .. }));
        if let Some(Effect::PersistKeys { up_to }) = taken { Some(up_to) } else { None }
    }

    pub(crate) fn take_append(&mut self) -> Option<Frame> {
        let taken = self.take(|effect| matches!(effect, Effect::Append { .. }));
        if let Some(Effect::Append { frame, .. }) = taken { Some(frame) } else { None }
    }

    pub(crate) fn take_guard(&mut self) -> Option<(u64, GuardRecord)> {
        let taken = self.take(|effect| matches!(effect, Effect::SwapGuard { .. }));
        if let Some(Effect::SwapGuard { expected, record }) = taken { Some((expected, record)) } else { None }
    }

    pub(crate) fn take_compare(&mut self) -> Option<(Ticket, Vec<Comparison>)> {
        let taken = self.take(|effect| matches!(effect, Effect::Compare(..)));
        if let Some(Effect::Compare(ticket, retries)) = taken { Some((ticket, retries)) } else { None }
    }

    pub(crate) fn take_destroy(&mut self) -> Option<Ticket> {
        let taken = self.take(|effect| matches!(effect, Effect::Destroy(_)));
        if let Some(Effect::Destroy(ticket)) = taken { Some(ticket) } else { None }
    }

    pub(crate) fn take_reply(&mut self, due: Ticket) -> Option<Result<BatchReceipt, Rejection>> {
        let taken = self.take(|effect| matches!(effect, Effect::Reply(ticket, _) if *ticket == due));
        if let Some(Effect::Reply(_, outcome)) = taken { Some(outcome) } else { None }
    }

    fn take_job(&mut self) -> Option<Job> {
        let taken = self.take(|effect| matches!(effect, Effect::Maintain(_)));
        if let Some(Effect::Maintain(job)) = taken { Some(job) } else { None }
    }

    /// A batch's answer, which must be there and good.
    pub(crate) fn items(&mut self, ticket: Ticket) -> Vec<Outcome> {
        self.take_reply(ticket).unwrap().unwrap().items
    }

    /// Makes keys durable, as asked for, and says so.
    pub(crate) fn do_keys(&mut self) {
        let up_to = self.take_keys().unwrap();
        let durable = self.keyring.commit_pending(up_to).unwrap();
        self.step(Input::KeysDurable(Ok(durable)));
    }

    /// Appends the frame that is asked for, and says so.
    pub(crate) fn do_append(&mut self) {
        let frame = self.take_append().unwrap();
        self.ground.log.append(frame.header().fields.number, &frame).unwrap();
        let generation = self.keyring.generation();
        self.step(Input::Appended(Ok((frame, generation))));
    }

    /// Swaps the guard, as asked for, and says so.
    pub(crate) fn do_guard(&mut self) {
        let (expected, record) = self.take_guard().unwrap();
        self.ground.guard.swap(Some(expected), &record).unwrap();
        self.step(Input::Guarded(Ok(())));
    }

    /// Compares retries by the log and the keys, as asked for, and says so.
    pub(crate) fn do_compare(&mut self) {
        let (ticket, retries) = self.take_compare().unwrap();
        let verdicts = self.reader.compare(&retries).unwrap();
        self.step(Input::Compared(ticket, verdicts));
    }

    /// Carries everything out until nothing is asked for.
    pub(crate) fn settle(&mut self) {
        loop {
            let of = |want: fn(&Effect) -> bool| self.effects.iter().any(want);
            if of(|effect| matches!(effect, Effect::PersistKeys { .. })) {
                self.do_keys();
            } else if of(|effect| matches!(effect, Effect::Append { .. })) {
                self.do_append();
            } else if of(|effect| matches!(effect, Effect::SwapGuard { .. })) {
                self.do_guard();
            } else if of(|effect| matches!(effect, Effect::Compare(..))) {
                self.do_compare();
            } else {
                let Some(job) = self.take_job() else { return };
                self.step(Input::Maintained(job.run()));
            }
        }
    }

    /// Records a batch to its end.
    pub(crate) fn record(&mut self, sent: &[Sent]) -> BatchReceipt {
        let ticket = self.submit(sent);
        self.settle();
        self.take_reply(ticket).unwrap().unwrap()
    }
}
