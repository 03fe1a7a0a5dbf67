//! One commit of the whole engine, over the drivers that ship, with each of its external writes failed in every way in
//! turn: it makes progress, or the writer stops with a stable code, and then everything acknowledged is there once.
//!
//! Log, guard, vault, objects and derived files stand on a simulated disk, the state is SQLite. What comes after the
//! fault is the real program's: its opening, its verification, its next append. Real system calls are `fault_calls`'s.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails loudly and prints its table"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use waag::store::options::Options;
use waag::store::place::{LEDGER, Place};
use waag::store::verify::{Depth, verify};
use waag::store::writer::{OpenedStore, open_writer};
use waag_domain::passthrough::Passthrough;
use waag_engine::batch::{BatchReceipt, Outcome as Item, Recorded, SealedBatch, Ticket};
use waag_engine::effect::Rejection;
use waag_engine::identity::IdentityLimits;
use waag_engine::recover::first_guard;
use waag_engine::registry::Registry;
use waag_engine::sealer::{SealError, Sealer};
use waag_files::config::LogConfig;
use waag_files::guard::{FileGuard, GUARD_FILE};
use waag_files::log::FilesLog;
use waag_files::objects::FileObjects;
use waag_files::vault::FileVault;
use waag_keys::create::create_tenant;
use waag_keys::keyring::{Keyring, Limits, Means};
use waag_log::guard::Guard;
use waag_model::event::{Accepted, Data, Event};
use waag_model::ids::{Actor, TenantName};
use waag_model::time::UtcNanos;
use waag_model::value::{Object, Value};
use waag_sim::disk::SimDisk;
use waag_sim::fault::Fault;
use waag_sim::node::{Ground, Happened, Node};
use waag_sim::prng::Prng;
use waag_sim::senses::{SeededEntropy, SimClock};
use waag_sim::state::StateFault;
use waag_sqlite::state::SqliteState;
use waag_stdx::clock::Clock;
use waag_stdx::files::Files;

mod fault_support;
use fault_support::{Call, Closed, STATE_FOLDER, Shared, StruckState, Tape, Watched, folder, lay_out};

const LOG: LogConfig = LogConfig { segment_bytes: 65_536, step_bytes: 4_096, ahead_bytes_max: 16_384 };
/// Events of one batch, at most, and entries of one table of the index.
const TABLE: usize = 16;

/// An event: its number, the length of its data in bytes, and whose it is.
#[derive(Clone, Copy, Debug)]
struct Sent(u32, usize, Option<u32>);

/// A commit to be struck: what the store holds before, and the batches that are handed over together.
struct Scene {
    name: &'static str,
    before: Vec<Vec<Sent>>,
    batches: Vec<Vec<Sent>>,
    /// Space is prepared ahead first, as the program's upkeep does.
    prepares: bool,
}

/// What strikes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strike {
    File(Fault),
    State(StateFault),
}

/// What becomes of a commit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Acknowledged, as if nothing had happened.
    Progress,
    /// Refused before anything was handed over, with this code; acknowledged when it was sent again.
    Again(String),
    /// The writer stopped with this code; nothing of the struck frame was acknowledged.
    Fatal(String),
    /// Acknowledged; the writer stopped with this code afterwards.
    Late(String),
}

fn event(Sent(number, bytes, person): Sent) -> Event<'static> {
    let data = vec![
        ("n".into(), Value::Integer(number.into())),
        ("pad".into(), Value::Text("x".repeat(bytes).into())),
    ];
    Event {
        id: format!("e{number}").into(),
        source: "/faults".into(),
        kind: "fault.table".into(),
        subject: person.map(|person| format!("p{person}").into()),
        attributes: Object::default(),
        data: Data::Json(Value::Object(Object::from_members(data).unwrap())),
    }
}

fn seal(sealer: &Sealer<Passthrough>, clock: &dyn Clock, sent: &[Sent]) -> Result<SealedBatch, SealError> {
    let mut batch = sealer.begin();
    for one in sent {
        let actor = Actor::new("faults").unwrap();
        batch.push(Accepted { event: event(*one), actor, accepted: clock.now() }, None)?;
    }
    Ok(batch.finish())
}

fn identity() -> IdentityLimits {
    IdentityLimits {
        table_entries_max: TABLE,
        batch_entries_max: TABLE,
        entries_max: 10_000,
        ..IdentityLimits::default()
    }
}

/// A process on a simulated disk, with its database below a root.
struct Process {
    disk: SimDisk,
    tape: Shared,
    clock: Arc<SimClock>,
    node: Node,
    answers: BTreeMap<u64, Result<BatchReceipt, Rejection>>,
}

impl Process {
    /// Opens a store, which is made first where `make` says so.
    fn open(disk: &SimDisk, root: &Path, seed: u64, make: bool) -> Self {
        let tape = Shared::new(Mutex::new(Tape::default()));
        let clock = Arc::new(SimClock::new(UtcNanos(1_790_000_000_000_000_000)));
        let folder = |name: &str| -> Arc<dyn Files> {
            Arc::new(Watched { files: disk.folder(name), tape: Arc::clone(&tape) })
        };
        let (data, state_files) = (folder("data"), folder("state"));
        let entropy = Arc::new(SeededEntropy::new(seed));
        let at = root.join(STATE_FOLDER);
        let state = if make { SqliteState::create(&at) } else { SqliteState::open(&at) }.unwrap();
        let vault = if make { FileVault::create } else { FileVault::open };
        let vault = vault(Arc::clone(&state_files), entropy.clone(), None).unwrap();
        let means = Means {
            state: Arc::new(StruckState { state, tape: Arc::clone(&tape) }),
            vault: Arc::new(vault),
            entropy,
            clock: clock.clone(),
        };
        if make {
            make_ledger(&means, &data, &*state_files);
        }
        let objects = Arc::new(FileObjects::new(Arc::clone(&data)));
        let ground = Ground {
            data,
            state_files,
            means,
            objects,
            registry: Registry::default(),
            config: LOG,
            identity: identity(),
            plant: None,
        };
        let node = Node::open(&ground).unwrap();
        Self { disk: disk.clone(), tape, clock, node, answers: BTreeMap::new() }
    }

    fn hear(&mut self, happened: Vec<Happened>) {
        for one in happened {
            if let Happened::Answer(ticket, outcome) = one {
                self.answers.insert(ticket.0, *outcome);
            }
        }
    }

    fn submit(&mut self, ticket: u64, batch: SealedBatch) {
        let happened = self.node.submit(&*self.clock, Ticket(ticket), batch);
        self.hear(happened);
    }

    /// Carries everything out: the frame before the guard, as when the guard is the slower of the two.
    fn settle(&mut self) {
        while let Some(lane) = self.node.busy_lanes().first().copied() {
            let happened = self.node.carry_out(&*self.clock, lane);
            self.hear(happened);
        }
    }

    /// The code with which a batch was refused before it was handed over, where that happened.
    fn commit(&mut self, scene: &Scene) -> Option<String> {
        if scene.prepares {
            self.tape.lock().unwrap().phase = "prepare";
            // A failure shows at the next append.
            drop(self.node.log.prepare());
        }
        self.tape.lock().unwrap().phase = "commit";
        let mut refused = None;
        for (ticket, sent) in (0..).zip(&scene.batches) {
            let sealed = match seal(&self.node.sealer, &*self.clock, sent) {
                Err(error) => {
                    refused = Some(error.code().to_owned());
                    seal(&self.node.sealer, &*self.clock, sent).unwrap()
                }
                Ok(sealed) => sealed,
            };
            self.submit(ticket, sealed);
        }
        self.settle();
        refused
    }
}

fn make_ledger(means: &Means, data: &Arc<dyn Files>, state_files: &dyn Files) {
    let tenant = TenantName::new("default").unwrap();
    create_tenant(means, &tenant).unwrap();
    let keyring = Keyring::open(means.clone(), &tenant, Limits::default()).unwrap();
    let (ledger, _) = keyring.create_ledger(LEDGER, "waag.example").unwrap();
    drop(FilesLog::create(Arc::clone(data), LOG, ledger.id).unwrap());
    let generation = keyring.commit_pending(0).unwrap().generation().0;
    let guard = FileGuard::create(state_files).unwrap();
    guard.swap(None, &first_guard(&ledger, generation).unwrap()).unwrap();
}

/// A store with a scene's past, closed.
fn past(scene: &Scene) -> Closed {
    let (disk, root) = (SimDisk::new(0), folder());
    std::fs::create_dir_all(root.path().join(STATE_FOLDER)).unwrap();
    let mut process = Process::open(&disk, root.path(), 1, true);
    for (ticket, sent) in (0..).zip(&scene.before) {
        let sealed = seal(&process.node.sealer, &*process.clock, sent).unwrap();
        process.submit(ticket, sealed);
        process.settle();
    }
    assert!(process.answers.values().all(Result::is_ok) && process.answers.len() == scene.before.len());
    drop(process);
    Closed::of(&disk, root.path())
}

/// Which file of the store a call is about.
fn class(call: &Call) -> &'static str {
    let file = call.file.as_str();
    if file == GUARD_FILE {
        return "guard";
    }
    let classes = [("log/", "log"), ("objects/", "object"), ("derived/hashes", "hashes")];
    let classes = classes.into_iter().chain([("derived/identity/", "index"), ("state.db", "state")]);
    let found = classes.filter(|(begins, _)| file.starts_with(begins)).map(|(_, class)| class).next();
    found.unwrap_or_else(|| panic!("a call of the commit that no row is for: {call:?}"))
}

/// The faults that can strike a call.
fn strikes(call: &Call) -> Vec<Strike> {
    let slow = Fault::Slow { ns: 3_000_000_000 };
    let faults: &[Fault] = match call.op {
        "write" | "write zeros" => {
            &[Fault::Io, Fault::IoShort, Fault::IoPersisted, Fault::NoSpace, Fault::NoSpaceShort, slow]
        }
        "sync" => &[Fault::Io, Fault::IoShort, Fault::IoPersisted, Fault::NoSpace, slow],
        "create" => &[Fault::Io, Fault::IoPersisted, Fault::NoSpace, slow],
        "commit" => return [StateFault::Failed, StateFault::FailedButStored].map(Strike::State).to_vec(),
        _ => &[Fault::Io, Fault::IoPersisted, slow],
    };
    faults.iter().copied().map(Strike::File).collect()
}

/// What must become of a commit one call of which is struck.
fn due(call: &Call, strike: Strike) -> Outcome {
    let fault = match strike {
        Strike::State(_) => return Outcome::Fatal("E0510".to_owned()),
        Strike::File(fault) => fault,
    };
    if matches!(fault, Fault::Slow { .. }) {
        return Outcome::Progress;
    }
    let no_space = matches!(fault, Fault::NoSpace | Fault::NoSpaceShort);
    let makes_room = matches!(call.op, "write zeros" | "create");
    match (class(call), call.phase) {
        // Appends go on in the space that is ready.
        ("log", "prepare") if no_space && makes_room => Outcome::Progress,
        ("log", "prepare") => Outcome::Fatal("E0431".to_owned()),
        ("log", _) if no_space && makes_room => Outcome::Fatal("E0433".to_owned()),
        ("log", _) => Outcome::Fatal("E0434".to_owned()),
        ("guard", _) => Outcome::Fatal("E0448".to_owned()),
        ("object", _) => Outcome::Again("E0491".to_owned()),
        // Made again from the log at the next opening.
        ("hashes", _) => Outcome::Progress,
        // It is gone, or never was there.
        ("index", _) if call.op == "remove" && fault == Fault::IoPersisted => Outcome::Progress,
        ("index", _) => Outcome::Late("E0640".to_owned()),
        other => panic!("{other:?}"),
    }
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Killed: what it wrote stays in the machine's cache.
    Kill,
    /// The power goes: any part of what was not synced is lost.
    Power,
}

/// Commits a scene on a copy of its past, with a call struck where one is named; then holds the store to its promises.
/// The calls that the commit made, and what became of it.
fn run(
    scene: &Scene,
    past: &Closed,
    strike: Option<(usize, &[Call], Strike)>,
    end: End,
) -> (Vec<Call>, Outcome) {
    let root = folder();
    let seed = strike.map_or(0, |(at, ..)| at as u64);
    let disk = past.copy(seed, root.path());
    let mut process = Process::open(&disk, root.path(), 2, false);
    let began = disk.operations();
    process.tape.lock().unwrap().calls.clear();
    if let Some((at, calls, strike)) = strike {
        let before = calls.iter().take(at);
        let commits = before.clone().filter(|call| call.op == "commit").count();
        match strike {
            Strike::File(fault) => disk.fault_at(began + (at - commits) as u64, fault),
            Strike::State(fault) => {
                let mut tape = process.tape.lock().unwrap();
                (tape.strike, tape.strike_after) = (Some(fault), commits);
            }
        }
    }
    let refused = process.commit(scene);
    let calls = std::mem::take(&mut process.tape.lock().unwrap().calls);
    let on_files = calls.iter().filter(|call| call.op != "commit").count() as u64;
    assert_eq!(disk.operations() - began, on_files, "a write that is not on the tape");
    if let Some((at, planned, strike)) = strike {
        assert_eq!(calls.get(at), planned.get(at), "the same call is struck");
        let struck = match strike {
            Strike::File(_) => disk.faults_struck() == 1,
            Strike::State(_) => process.tape.lock().unwrap().strike.is_none(),
        };
        assert!(struck, "the fault has struck");
    }
    let outcome = outcome(&mut process, scene, refused);
    let acknowledged: BTreeMap<u64, Vec<Item>> = process
        .answers
        .iter()
        .filter_map(|(ticket, answer)| Some((*ticket, answer.as_ref().ok()?.items.clone())))
        .collect();
    drop(process);
    disk.clear_faults();
    match end {
        End::Kill => disk.kill(),
        End::Power => disk.crash(&mut Prng::new(seed + 17)),
    }
    lay_out(&disk, root.path());
    audit(root.path(), scene, &acknowledged);
    (calls, outcome)
}

/// What became of the commit; a writer that stopped must refuse, and write, nothing more.
fn outcome(process: &mut Process, scene: &Scene, refused: Option<String>) -> Outcome {
    let batches = scene.batches.len();
    assert_eq!(process.answers.len(), batches, "every batch has its answer");
    let lost = process.answers.values().find_map(|answer| answer.as_ref().err().cloned());
    let Some(halt) = process.node.engine.halted().cloned() else {
        assert_eq!(lost, None, "a batch is lost and the writer goes on");
        return refused.map_or(Outcome::Progress, Outcome::Again);
    };
    let (operations, halted) = (process.disk.operations(), Some(Rejection::Halted(halt.clone())));
    let another = scene.before.first().unwrap();
    // Keys that could not be made durable cannot be sealed with either.
    if let Ok(batch) = seal(&process.node.sealer, &*process.clock, another) {
        process.submit(99, batch);
        process.settle();
        assert_eq!(process.answers.remove(&99).and_then(Result::err), halted);
    }
    assert_eq!(process.disk.operations(), operations, "a writer that has stopped writes nothing");
    match lost {
        Some(_) => {
            assert_eq!(lost, halted);
            Outcome::Fatal(halt.code.to_owned())
        }
        None => Outcome::Late(halt.code.to_owned()),
    }
}

fn send(store: &OpenedStore, sent: &[Sent]) -> Vec<Item> {
    let batch = seal(&store.sealer, &*store.clock, sent).unwrap();
    let receipt = store.writer.submit(batch).unwrap().wait().unwrap();
    if let Some(range) = &receipt.range {
        range.verify(&receipt.new_leaves(), &receipt.checkpoint.checkpoint().root).unwrap();
    }
    receipt.items
}

/// The program itself opens the store: everything acknowledged stands where it was, once; everything else is there
/// whole or not at all; the tree verifies, takes another event, and verifies again.
fn audit(root: &Path, scene: &Scene, acknowledged: &BTreeMap<u64, Vec<Item>>) {
    let here = Place::new(&root.join("data"), None, TenantName::new("default").unwrap()).unwrap();
    let clock = Arc::new(SimClock::new(UtcNanos(1_790_000_100_000_000_000)));
    let options =
        Options { log: LOG, identity: identity(), clock, scrub_bytes_per_s: 0, ..Options::default() };
    let whole = |entries: u64| {
        let report = verify(&here, &options, Depth { deep: true, rebuild: false }, &mut |_, _| {}).unwrap();
        assert!(report.verified(), "{:?}", report.faults);
        assert!(report.entries >= entries, "{} entries, {entries} are due", report.entries);
        report
    };
    let count = |batches: &[Vec<Sent>]| batches.iter().map(Vec::len).sum::<usize>() as u64;
    let told = acknowledged.values().map(Vec::len).sum::<usize>() as u64;
    whole(count(&scene.before) + told);
    let store = open_writer(&here, &options, &mut |_, _| {}).unwrap();
    let mut next = 0;
    let mut at = |item: &Item, is_new: &mut Vec<bool>| match item {
        Item::Recorded(Recorded { position, .. }) | Item::Before(Recorded { position, .. }) => {
            assert_eq!(position.0, next, "an event is missing, moved, or there twice");
            next += 1;
            is_new.push(matches!(item, Item::Recorded(_)));
        }
        Item::Conflict(_) | Item::Erased(_) => panic!("{item:?}"),
    };
    for sent in &scene.before {
        let mut is_new = Vec::new();
        send(&store, sent).iter().for_each(|item| at(item, &mut is_new));
        assert!(!is_new.contains(&true), "the past is gone");
    }
    for (ticket, sent) in (0_u64..).zip(&scene.batches) {
        let items = send(&store, sent);
        let mut is_new = Vec::new();
        items.iter().for_each(|item| at(item, &mut is_new));
        match acknowledged.get(&ticket) {
            Some(first) => {
                for (first, item) in first.iter().zip(&items) {
                    let (Item::Recorded(first), Item::Before(again)) = (first, item) else {
                        panic!("acknowledged as {first:?}, then {item:?}");
                    };
                    assert_eq!(first, again, "an acknowledged event has another place");
                }
            }
            None => assert!(is_new.iter().all(|new| is_new.first() == Some(new)), "a part of a frame"),
        }
    }
    send(&store, &[Sent(9_999, 40, Some(9))]);
    drop(store);
    let report = whole(0);
    assert_eq!(report.entries, count(&scene.before) + count(&scene.batches) + 1);
    assert!(report.residue.is_empty() && report.residue_entries == 0, "{:?}", report.residue);
}

/// The name of a strike as the table prints it.
fn name(strike: Strike) -> &'static str {
    match strike {
        Strike::State(StateFault::Failed) | Strike::File(Fault::Io) => "error",
        Strike::State(StateFault::FailedButStored) | Strike::File(Fault::IoPersisted) => "error, all done",
        Strike::File(Fault::IoShort) => "error, part done",
        Strike::File(Fault::NoSpace) => "no space",
        Strike::File(Fault::NoSpaceShort) => "no space, part done",
        Strike::File(Fault::Slow { .. }) => "slow",
        Strike::File(Fault::Lost | Fault::Misdirected { .. } | Fault::PowerOff) => "not in this table",
    }
}

/// Strikes every call of a scene in every way and prints the rows; each due call must be among them.
fn table(scene: &Scene, calls_due: &[(&str, &str)]) {
    let past = past(scene);
    let (calls, clean) = run(scene, &past, None, End::Power);
    assert_eq!(clean, Outcome::Progress);
    for (file, op) in calls_due {
        let there = calls.iter().any(|call| (class(call), call.op) == (*file, *op));
        assert!(there, "no {op} of the {file} in {calls:?}");
    }
    let mut wrong = Vec::new();
    let mut rows = 0;
    for (at, call) in calls.iter().enumerate() {
        for strike in strikes(call) {
            for end in [End::Kill, End::Power] {
                let (_, outcome) = run(scene, &past, Some((at, &calls, strike)), end);
                let row = format!(
                    "{:<8} {at:>2} {:<7} {:<11} {:<36} {:<19} {:<5} {outcome:?}",
                    scene.name,
                    call.phase,
                    call.op,
                    call.file.chars().take(36).collect::<String>(),
                    name(strike),
                    format!("{end:?}"),
                );
                println!("{row}");
                rows += 1;
                let due = due(call, strike);
                if outcome != due {
                    wrong.push(format!("{row}, due {due:?}"));
                }
            }
        }
    }
    println!("{}: {} calls, {rows} rows", scene.name, calls.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Events of nobody's in a row.
fn plain(numbers: std::ops::Range<u32>, bytes: usize) -> Vec<Sent> {
    numbers.map(|number| Sent(number, bytes, None)).collect()
}

#[test]
fn a_commit_with_keys_that_are_there() {
    let scene = Scene {
        name: "plain",
        before: vec![plain(0..3, 100)],
        batches: vec![plain(3..6, 100)],
        prepares: false,
    };
    table(&scene, &[("log", "write"), ("log", "sync"), ("guard", "write"), ("guard", "sync")]);
}

#[test]
fn a_commit_with_new_keys() {
    let scene = Scene {
        name: "keys",
        before: vec![plain(0..3, 100)],
        batches: vec![vec![Sent(3, 100, Some(1)), Sent(4, 100, Some(2)), Sent(5, 100, None)]],
        prepares: false,
    };
    table(&scene, &[("state", "commit"), ("log", "sync"), ("guard", "sync")]);
}

#[test]
fn a_commit_with_a_blob() {
    let scene = Scene {
        name: "blob",
        before: vec![plain(0..3, 100)],
        batches: vec![vec![Sent(3, 70_000, None), Sent(4, 100, None)]],
        prepares: false,
    };
    table(&scene, &[("object", "create"), ("object", "write"), ("object", "sync"), ("object", "rename")]);
}

#[test]
fn a_commit_that_goes_over_to_a_new_segment() {
    let before = vec![plain(0..7, 2_000), plain(7..14, 2_000), plain(14..21, 2_000), plain(21..22, 10)];
    let batches = vec![plain(22..29, 2_000)];
    let scene = Scene { name: "segment", before, batches, prepares: false };
    table(&scene, &[("log", "create"), ("log", "write zeros"), ("log", "write"), ("guard", "write")]);
}

#[test]
fn a_commit_that_takes_a_prepared_segment() {
    let before = vec![plain(0..7, 2_000), plain(7..14, 2_000), plain(14..21, 2_000), plain(21..22, 10)];
    let batches = vec![plain(22..29, 2_000)];
    let scene = Scene { name: "prepared", before, batches, prepares: true };
    table(&scene, &[("log", "create"), ("log", "rename"), ("log", "write"), ("guard", "write")]);
}

#[test]
fn two_commits_whose_guards_and_frames_overlap() {
    let batches = vec![plain(3..5, 100), vec![Sent(5, 100, Some(3)), Sent(6, 300, None)], plain(7..9, 200)];
    let scene = Scene { name: "overlap", before: vec![plain(0..3, 100)], batches, prepares: false };
    table(&scene, &[("state", "commit"), ("log", "write"), ("guard", "write")]);
}

#[test]
fn a_commit_after_which_the_identity_index_is_written() {
    let scene = Scene {
        name: "index",
        before: vec![plain(0..14, 10)],
        batches: vec![plain(14..18, 10)],
        prepares: false,
    };
    table(
        &scene,
        &[
            ("index", "create"),
            ("index", "write"),
            ("index", "sync"),
            ("index", "rename"),
            ("hashes", "sync"),
        ],
    );
}
