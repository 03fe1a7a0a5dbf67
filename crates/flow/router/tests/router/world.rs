//! The world around a router: everything it needs, in memory, failing where a test says so.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use waag_keys::memory::MemoryState;
use waag_keys::state::{Change, Check, Extent, Generation, Record, State, StateError, Table};
use waag_model::ids::{Actor, LedgerId, Position};
use waag_model::time::UtcNanos;
use waag_router::error::RouterError;
use waag_router::notice::{Notice, Recorded, Recorder};
use waag_router::ports::{Means, Secret, Secrets, Targets};
use waag_router::router::Router;
use waag_router::shown::{Created, Filter, LetterShown, Overview};
use waag_router::source::{Chunk, ChunkLimits, Event, Source, SourceError};
use waag_router::spec::{Spec, TargetSpec};
use waag_router::target::{Class, Delivery, Failure, Outcome, Reply, Target};
use waag_stdx::clock::Clock;
use zeroize::Zeroizing;

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Numbers from a seed (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}

/// A clock that stands still until it is told.
#[derive(Default)]
pub(crate) struct Hands(AtomicU64, pub(crate) AtomicU64);

const START_NS: i64 = 1_800_000_000_000_000_000;

impl Hands {
    pub(crate) fn pass(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_nanos()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for Hands {
    fn now(&self) -> UtcNanos {
        UtcNanos(START_NS + i64::try_from(self.0.load(Ordering::SeqCst)).unwrap())
    }

    fn monotonic(&self) -> Duration {
        self.1.fetch_add(1, Ordering::SeqCst);
        Duration::from_nanos(self.0.load(Ordering::SeqCst))
    }
}

#[derive(Default)]
pub(crate) struct Book {
    pub(crate) events: Vec<Arc<Event>>,
    ids: BTreeSet<String>,
    /// What was recorded, and where.
    pub(crate) notices: Vec<(u64, Notice)>,
    /// How often each id was told.
    pub(crate) told: HashMap<String, u32>,
    /// Positions that cannot be read.
    pub(crate) bad: Option<std::ops::Range<u64>>,
    pub(crate) reads: u64,
    /// Refuses to record, or records and says that it did not.
    pub(crate) refuses: bool,
    pub(crate) lies: bool,
    /// Shown only up to here.
    pub(crate) shown: Option<u64>,
}

/// The ledger, and its writer.
pub(crate) struct Ledger {
    pub(crate) book: Mutex<Book>,
    clock: Arc<Hands>,
}

impl Ledger {
    pub(crate) fn record_event(&self, kind: &str, key: Option<u64>) -> u64 {
        let mut book = lock(&self.book);
        let position = book.events.len() as u64;
        let tag = key.map(tag);
        let subject = key.unwrap_or(999);
        let json = format!(
            r#"{{"type":"{kind}","data":{{"k":{subject},"at":{position},"of":{}}}}}"#,
            position % 100
        );
        book.push(&self.clock, kind, tag, 0, json);
        position
    }

    fn end_now(&self) -> u64 {
        let book = lock(&self.book);
        book.shown.unwrap_or(u64::MAX).min(book.events.len() as u64)
    }
}

impl Book {
    fn push(&mut self, clock: &Hands, kind: &str, ordering: Option<[u8; 16]>, depth: u8, json: String) {
        let position = Position(self.events.len() as u64);
        let json = json.into_bytes().into();
        self.events.push(Arc::new(Event {
            position,
            committed: clock.now(),
            kind: kind.into(),
            ordering,
            depth,
            json,
        }));
    }

    fn fails(&self, from: u64, to: u64) -> Result<(), SourceError> {
        match &self.bad {
            Some(bad) if from < bad.end && bad.start < to => {
                Err(SourceError { code: "E0301", reason: "simulated damage".to_owned() })
            }
            Some(_) | None => Ok(()),
        }
    }
}

pub(crate) fn tag(key: u64) -> [u8; 16] {
    let mut tag = [7; 16];
    tag[..8].copy_from_slice(&key.to_be_bytes());
    tag
}

impl Source for Ledger {
    fn end(&self) -> Position {
        Position(self.end_now())
    }

    fn read(&self, from: Position, to: Position, limits: ChunkLimits) -> Result<Chunk, SourceError> {
        let end = to.0.min(self.end_now()).min(from.0 + limits.events_max as u64).min(from.0 + 600);
        let mut book = lock(&self.book);
        book.reads += 1;
        book.fails(from.0, end)?;
        Ok(Chunk {
            events: book.events[usize::try_from(from.0).unwrap()..usize::try_from(end).unwrap()].to_vec(),
        })
    }

    fn pick(&self, positions: &[Position]) -> Result<Vec<Arc<Event>>, SourceError> {
        assert!(positions.windows(2).all(|pair| pair[0] < pair[1]), "positions rise");
        let mut book = lock(&self.book);
        book.reads += 1;
        positions.iter().try_for_each(|at| book.fails(at.0, at.0 + 1))?;
        Ok(positions.iter().map(|at| Arc::clone(&book.events[usize::try_from(at.0).unwrap()])).collect())
    }

    fn position_at(&self, time: UtcNanos) -> Result<Position, SourceError> {
        let book = lock(&self.book);
        Ok(Position(book.events.partition_point(|event| event.committed.0 < time.0) as u64))
    }
}

impl Recorder for Ledger {
    fn record(&self, notices: Vec<Notice>, then: Recorded) {
        let mut book = lock(&self.book);
        if book.refuses {
            drop(book);
            return then(Err("simulated".to_owned()));
        }
        for notice in notices {
            *book.told.entry(notice.id.clone()).or_default() += 1;
            if !book.ids.insert(notice.id.clone()) {
                continue;
            }
            let depth = notice
                .cause
                .map_or(0, |at| book.events[usize::try_from(at).unwrap()].depth.saturating_add(1));
            let data = serde_json::Value::Object(notice.data.clone());
            let json = format!(r#"{{"type":"{}","data":{data}}}"#, notice.kind);
            let position = book.events.len() as u64;
            book.push(&self.clock, &notice.kind, None, depth, json);
            book.notices.push((position, notice));
        }
        let lies = book.lies;
        drop(book);
        then(if lies { Err("simulated, though recorded".to_owned()) } else { Ok(()) });
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Plan {
    /// Commits that are still taken; then the process is dead.
    left: Option<u64>,
    /// The one that it dies in is stored.
    is_stored: bool,
    is_dead: bool,
}

/// The state, with a process that may die at a commit.
pub(crate) struct Gate {
    records: MemoryState,
    plan: Mutex<Plan>,
}

impl Gate {
    /// After so many more commits, nothing more is stored.
    pub(crate) fn die_after(&self, commits: u64, is_stored: bool) {
        *lock(&self.plan) = Plan { left: Some(commits), is_stored, is_dead: false };
    }

    pub(crate) fn die(&self) {
        lock(&self.plan).is_dead = true;
    }

    pub(crate) fn is_dead(&self) -> bool {
        lock(&self.plan).is_dead
    }
}

impl State for Gate {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Record>, StateError> {
        self.records.get(table, key)
    }

    fn scan(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<Record>, StateError> {
        self.records.scan(table, after, limit)
    }

    fn commit(&self, changes: &[Change<'_>]) -> Result<Generation, StateError> {
        let mut plan = lock(&self.plan);
        let dead = || Err(StateError::Environment("commit", "simulated end".to_owned()));
        if plan.is_dead {
            return dead();
        }
        match plan.left {
            Some(0) => {
                plan.is_dead = true;
                if plan.is_stored {
                    self.records.commit(changes)?;
                }
                dead()
            }
            left => {
                plan.left = left.map(|left| left - 1);
                self.records.commit(changes)
            }
        }
    }

    fn check(&self, extent: Extent) -> Result<Check, StateError> {
        self.records.check(extent)
    }

    fn forget(&self) -> Result<(), StateError> {
        Ok(())
    }
}

/// What a target does with a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Deliver,
    Fail(Class),
    /// Asks to be left alone for so many milliseconds.
    Throttle(u64),
    /// Keeps the reply until the test gives it.
    Hang,
    /// Drops the reply.
    Drop,
    /// Panics.
    Panic,
    /// Fails for good with a reason of so many bytes.
    Rant(usize),
}

/// A delivery as a target got it.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) handler: String,
    pub(crate) position: u64,
    pub(crate) attempt: u32,
    pub(crate) replay: Option<u32>,
    pub(crate) tag: Option<[u8; 16]>,
    pub(crate) act: Act,
    pub(crate) at: Duration,
}

pub(crate) type Script = Box<dyn FnMut(&Delivery) -> Act + Send>;

#[derive(Default)]
pub(crate) struct Post {
    scripts: Mutex<HashMap<String, Script>>,
    pub(crate) got: Mutex<Vec<Got>>,
    pub(crate) hanging: Mutex<Vec<(Delivery, Reply)>>,
    pub(crate) secrets: Mutex<Vec<String>>,
    clock: Arc<Hands>,
}

struct Door(Arc<Post>, String);

impl Target for Door {
    fn deliver(&self, delivery: Delivery, reply: Reply) {
        let post = &self.0;
        let act = lock(&post.scripts).get_mut(&self.1).map_or(Act::Deliver, |script| script(&delivery));
        lock(&post.got).push(Got {
            handler: self.1.clone(),
            position: delivery.event.position.0,
            attempt: delivery.attempt,
            replay: delivery.replay,
            tag: delivery.event.ordering,
            act: act.clone(),
            at: post.clock.monotonic(),
        });
        match act {
            Act::Deliver => reply.give(Outcome::Delivered(Some(200))),
            Act::Fail(class) => reply.give(Outcome::Failed(Failure::new(class, "E1161", "as the test says"))),
            Act::Throttle(ms) => {
                let mut failure = Failure::new(Class::Throttled, "E1162", "slowly");
                failure.retry_after = Some(Duration::from_millis(ms));
                reply.give(Outcome::Failed(failure));
            }
            Act::Hang => lock(&post.hanging).push((delivery, reply)),
            Act::Drop => drop(reply),
            Act::Panic => std::panic::resume_unwind(Box::new("as the test says")),
            Act::Rant(bytes) => {
                let mut failure = Failure::new(Class::Terminal, "E1163", "r".repeat(bytes));
                failure.response = "a".repeat(bytes);
                reply.give(Outcome::Failed(failure));
            }
        }
    }
}

struct Opener(Arc<Post>);

impl Targets for Opener {
    fn open(&self, _: &str, spec: &TargetSpec, secrets: &[Secret]) -> Result<Arc<dyn Target>, String> {
        if !secrets.is_empty() {
            *lock(&self.0.secrets) = secrets.iter().map(|secret| secret.0.to_string()).collect();
        }
        if spec.place() == "nowhere" {
            return Err("there is no such handler".to_owned());
        }
        Ok(Arc::new(Door(Arc::clone(&self.0), spec.place())))
    }

    fn new_secret(&self, spec: &TargetSpec) -> Result<Option<Secret>, String> {
        let is_webhook = matches!(spec, TargetSpec::Webhook { .. });
        Ok(is_webhook.then(|| Secret(Zeroizing::new("whsec_made-here".to_owned()))))
    }
}

struct Xor;

impl Secrets for Xor {
    fn wrap(&self, plain: &[u8]) -> Result<Vec<u8>, RouterError> {
        Ok(plain.iter().map(|byte| byte ^ 0x5a).collect())
    }

    fn unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, RouterError> {
        Ok(Zeroizing::new(wrapped.iter().map(|byte| byte ^ 0x5a).collect()))
    }
}

/// All of it, with a router in the middle.
pub(crate) struct World {
    pub(crate) clock: Arc<Hands>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) post: Arc<Post>,
    pub(crate) records: MemoryState,
    pub(crate) gate: Arc<Gate>,
    router: Option<Router>,
    pub(crate) crashes: u64,
}

pub(crate) fn me() -> Actor {
    Actor::new("tester").unwrap()
}

/// A subscription of an in-process handler of its own name, with what a test wants else.
pub(crate) fn spec(name: &str, more: &str) -> Spec {
    let comma = if more.is_empty() { "" } else { "," };
    let target = if more.contains("\"target\"") {
        String::new()
    } else {
        format!(r#","target":{{"kind":"in-process","handler":"{name}"}}"#)
    };
    Spec::read(format!(r#"{{"name":"{name}"{target}{comma}{more}}}"#).as_bytes()).unwrap()
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(Hands::default());
        clock.pass(Duration::from_secs(1));
        let ledger = Arc::new(Ledger { book: Mutex::default(), clock: Arc::clone(&clock) });
        let post = Arc::new(Post { clock: Arc::clone(&clock), ..Post::default() });
        let records = MemoryState::new();
        let gate = Arc::new(Gate { records: records.clone(), plan: Mutex::default() });
        let mut world = Self { clock, ledger, post, records, gate, router: None, crashes: 0 };
        world.start();
        world
    }

    fn start(&mut self) {
        self.gate = Arc::new(Gate { records: self.records.clone(), plan: Mutex::default() });
        let means = Means {
            ledger: LedgerId([1; 16]),
            source: Arc::clone(&self.ledger) as Arc<dyn Source>,
            state: Arc::clone(&self.gate) as Arc<dyn State>,
            secrets: Arc::new(Xor),
            recorder: Arc::clone(&self.ledger) as Arc<dyn Recorder>,
            targets: Arc::new(Opener(Arc::clone(&self.post))),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
        };
        self.router = Some(Router::start(means).unwrap());
    }

    /// The process dies without a last word, and is started again.
    pub(crate) fn crash(&mut self) {
        self.gate.die();
        drop(self.router.take());
        lock(&self.post.hanging).clear();
        self.crashes += 1;
        self.start();
    }

    /// The process ends in order, and is started again.
    pub(crate) fn restart(&mut self) {
        drop(self.router.take());
        lock(&self.post.hanging).clear();
        self.start();
    }

    pub(crate) fn router(&self) -> &Router {
        self.router.as_ref().unwrap()
    }

    pub(crate) fn create(&self, name: &str, more: &str) -> Created {
        let created = self.router().create(spec(name, more), None, &me()).unwrap();
        // Told, so that later events have their positions behind it.
        let end = lock(&self.ledger.book).refuses || lock(&self.ledger.book).lies;
        let data = serde_json::Value::String(name.to_owned());
        self.until("its creation is told", || {
            let book = lock(&self.ledger.book);
            let mut newest = book.notices.iter().rev().take(50);
            end || newest.any(|(_, notice)| {
                notice.kind == "waag.subscription.created" && notice.data["subscription"] == data
            })
        });
        created
    }

    pub(crate) fn script(&self, handler: &str, script: impl FnMut(&Delivery) -> Act + Send + 'static) {
        lock(&self.post.scripts).insert(handler.to_owned(), Box::new(script));
    }

    pub(crate) fn record(&self, kind: &str, key: u64) -> u64 {
        self.ledger.record_event(kind, Some(key))
    }

    pub(crate) fn pass(&self, ms: u64) {
        self.clock.pass(Duration::from_millis(ms));
        self.router().wake();
    }

    /// Waits for something to come, without letting the clock go.
    pub(crate) fn until(&self, what: &str, is_so: impl FnMut() -> bool) {
        self.flow(0, what, is_so);
    }

    /// Waits for something to come; the clock goes so many milliseconds at each look.
    pub(crate) fn flow(&self, ms: u64, what: &str, is_so: impl FnMut() -> bool) {
        assert!(self.comes(ms, is_so), "in vain: {what}");
    }

    pub(crate) fn comes(&self, ms: u64, mut is_so: impl FnMut() -> bool) -> bool {
        for round in 0..4_000 {
            if is_so() {
                return true;
            }
            if round < 20 && ms == 0 {
                std::thread::sleep(Duration::from_micros(50));
                continue;
            }
            if ms > 0 {
                self.pass(ms);
            }
            self.router().wake();
            std::thread::sleep(Duration::from_micros(if ms > 0 { 300 } else { 1_000 }));
        }
        false
    }

    /// Lets the router take some turns.
    pub(crate) fn turns(&self) {
        for _ in 0..8 {
            self.router().wake();
            let _ = self.router().figures();
            std::thread::sleep(Duration::from_micros(300));
        }
    }

    pub(crate) fn overview(&self, name: &str) -> Overview {
        self.router().detail(name).unwrap().overview
    }

    /// Everything read, nothing under way and nothing waiting.
    pub(crate) fn is_idle(&self, name: &str) -> bool {
        let seen = self.overview(name);
        seen.unread_events == 0
            && seen.under_way == 0
            && seen.waiting_keys == 0
            && seen.oldest_position.is_none()
    }

    pub(crate) fn letters(&self, name: &str) -> Vec<LetterShown> {
        self.router().dead_letters(name, &Filter::default(), None, 500).unwrap().letters
    }

    pub(crate) fn got(&self, handler: &str) -> Vec<Got> {
        lock(&self.post.got).iter().filter(|got| got.handler == handler).cloned().collect()
    }

    /// Positions that were delivered, in the order in which they were first.
    pub(crate) fn delivered(&self, handler: &str) -> Vec<u64> {
        let mut seen = BTreeSet::new();
        let got = self.got(handler);
        let taken = got.iter().filter(|got| got.act == Act::Deliver && got.replay.is_none());
        taken.map(|got| got.position).filter(|at| seen.insert(*at)).collect()
    }

    pub(crate) fn notices(&self, kind: &str) -> Vec<Notice> {
        let book = lock(&self.ledger.book);
        book.notices
            .iter()
            .filter(|(_, notice)| notice.kind == kind)
            .map(|(_, notice)| notice.clone())
            .collect()
    }

    /// Records of a subscription's lanes, in the two tables that lanes use.
    pub(crate) fn records_of(&self, subscription: u32) -> usize {
        let model = self.records.model();
        let begin = subscription.to_be_bytes();
        let is_lane = |table: u8| table == Table::Delivery.code() || table == Table::Cursor.code();
        model.records.keys().filter(|(table, key)| is_lane(*table) && key.starts_with(&begin)).count()
    }

    /// How many dead letters each cursor tells of, at the instant of one commit, beside how many there are.
    pub(crate) fn letters_told(&self) -> BTreeMap<u32, (u64, u64)> {
        let mut told: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
        for ((table, key), (value, _)) in &self.records.model().records {
            let lane = key.first_chunk().map(|number| u32::from_be_bytes(*number));
            let Some(number) = lane.filter(|_| key.get(4..8) == Some(&[0; 4])) else { continue };
            if *table == Table::Cursor.code() {
                told.entry(number).or_default().0 = u64::from_be_bytes(*value.last_chunk().unwrap());
            } else if *table == Table::Delivery.code() && matches!(key.get(8), Some(b'd' | b'p')) {
                told.entry(number).or_default().1 += 1;
            }
        }
        told
    }

    /// Dead letters as the state has them, by subscription.
    pub(crate) fn letters_stored(&self) -> BTreeMap<u32, Vec<u64>> {
        let mut stored: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for (table, key) in self.records.model().records.keys() {
            if *table == Table::Delivery.code() && matches!(key.get(8), Some(b'd' | b'p')) {
                let number = u32::from_be_bytes(*key.first_chunk().unwrap());
                stored.entry(number).or_default().push(u64::from_be_bytes(*key.last_chunk().unwrap()));
            }
        }
        stored
    }
}

/// Of each key, positions rise in the order in which they were first delivered.
pub(crate) fn assert_in_order(got: &[Got], about: &str) {
    let mut seen = BTreeSet::new();
    let mut last: HashMap<[u8; 16], u64> = HashMap::new();
    for got in got.iter().filter(|got| got.act == Act::Deliver && seen.insert(got.position)) {
        let Some(tag) = got.tag else { continue };
        if let Some(before) = last.insert(tag, got.position) {
            assert!(
                before < got.position,
                "{about}: position {} came after {before} of its key",
                got.position
            );
        }
    }
}
