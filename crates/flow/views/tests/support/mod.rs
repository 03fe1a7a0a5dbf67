//! A ledger in memory to project from, and a projection whose rows show each event once.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]
#![allow(dead_code, reason = "each test file uses some of the helpers")]

#[path = "../../../engine/tests/support/mod.rs"]
pub(crate) mod engine;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::Rig;
use waag_domain::memory::MemoryRows;
use waag_domain::project::{
    Cell, Column, Fact, Gathered, Gathering, Index, Kind, Projection, Row, Rows, RowsError, Scan, Table,
};
use waag_model::event::{Accepted, Data, Event};
use waag_model::ids::{Actor, Position};
use waag_model::value::{Object, Value};
use waag_stdx::clock::{Clock, SystemClock};
use waag_views::contract::{Views, Which};
use waag_views::follow::Following;
use waag_views::progress::Progress;
use waag_views::projector::Projector;
use waag_views::source::FactSource;

/// How often each sum was seen, and what was seen last.
pub(crate) static SUMS: Table = Table {
    name: "sums",
    columns: &[
        Column { name: "sum", kind: Kind::Text, nullable: false },
        Column { name: "count", kind: Kind::Integer, nullable: false },
        Column { name: "last", kind: Kind::Integer, nullable: true },
    ],
    key: 1,
    indexes: &[Index { name: "by_last", columns: &[2], present: None }],
};
/// Every event by its position.
pub(crate) static EVENTS: Table = Table {
    name: "events",
    columns: &[
        Column { name: "position", kind: Kind::Integer, nullable: false },
        Column { name: "committed", kind: Kind::Integer, nullable: false },
        Column { name: "told", kind: Kind::Text, nullable: false },
    ],
    key: 1,
    indexes: &[],
};
static TABLES: [Table; 2] = [
    Table { name: SUMS.name, columns: SUMS.columns, key: SUMS.key, indexes: SUMS.indexes },
    Table { name: EVENTS.name, columns: EVENTS.columns, key: EVENTS.key, indexes: EVENTS.indexes },
];

/// The projection of the tests. An event that was projected already makes it fail.
pub(crate) struct Count;

fn number(position: Position) -> i64 {
    i64::try_from(position.0).unwrap()
}

impl Projection for Count {
    fn name(&self) -> &'static str {
        "count"
    }

    fn version(&self) -> u32 {
        3
    }

    fn tables(&self) -> &'static [Table] {
        &TABLES
    }

    fn gather(&self) -> Box<dyn Gathering> {
        Box::new(Counting::default())
    }
}

/// Each fact's sum, and its row.
#[derive(Default)]
struct Counting(Vec<(String, Row)>);

impl Gathering for Counting {
    fn take(&mut self, fact: &Fact<'_>) {
        let sum = fact.subject.unwrap_or(fact.kind).to_owned();
        let says = fact.data.and_then(|data| data.child("says"));
        let pad = fact.data.and_then(|data| data.child("pad")?.as_text()).map_or(0, str::len);
        let told = format!("{} {:?} {:?} {says:?} {pad}", fact.kind, fact.id, fact.actor);
        let row = vec![number(fact.position).into(), fact.committed.0.into(), told.as_str().into()];
        self.0.push((sum, row));
    }

    fn finish(self: Box<Self>) -> Box<dyn Gathered> {
        self
    }
}

impl Gathered for Counting {
    fn write(&self, rows: &mut dyn Rows) -> Result<(), RowsError> {
        for (sum, event) in &self.0 {
            let before = rows.get(&SUMS, &[vec![sum.as_str().into()]])?.pop().flatten();
            let count = before.and_then(|row| row[1].integer()).unwrap_or(0);
            rows.put(&SUMS, vec![vec![sum.as_str().into(), (count + 1).into(), event[0].clone()]])?;
        }
        let keys: Vec<Row> = self.0.iter().map(|(_, row)| row[..1].to_vec()).collect();
        if rows.get(&EVENTS, &keys)?.iter().any(Option::is_some) {
            return Err(RowsError { code: "TWICE", reason: "an event came twice".to_owned() });
        }
        rows.put(&EVENTS, self.0.iter().map(|(_, row)| row.clone()).collect())
    }
}

/// A ledger, its guard as projectors see it, and how to read it.
pub(crate) struct World {
    pub(crate) rig: Rig,
    pub(crate) guarded: Arc<AtomicU64>,
    recorded: u32,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { rig: Rig::new(), guarded: Arc::new(AtomicU64::new(0)), recorded: 0 }
    }

    /// Records so many events as one frame, one subject for each of ten; `pad` bytes in each body.
    pub(crate) fn record(&mut self, events: u32, pad: usize) {
        self.rig.ground.clock.pass(1_000_000_000);
        let mut batch = self.rig.sealer.begin();
        for _ in 0..events {
            let number = self.recorded;
            self.recorded += 1;
            let data = vec![
                ("says".into(), Value::Integer(number.into())),
                ("pad".into(), Value::Text("x".repeat(pad).into())),
            ];
            let event = Event {
                id: format!("e{number}").into(),
                source: "/views".into(),
                kind: format!("views.test.{}", number % 10).into(),
                subject: None,
                attributes: Object::default(),
                data: Data::Json(Value::Object(Object::from_members(data).unwrap())),
            };
            let accepted = self.rig.ground.clock.now();
            batch.push(Accepted { event, actor: Actor::new("test").unwrap(), accepted }, None).unwrap();
        }
        let ticket = self.rig.submit_sealed(batch.finish());
        self.rig.settle();
        let receipt = self.rig.take_reply(ticket).unwrap().unwrap();
        assert_eq!(receipt.items.len(), events as usize);
        self.guarded.store(self.recorded.into(), Ordering::Release);
    }

    pub(crate) fn source(&self) -> FactSource {
        let guarded = Arc::clone(&self.guarded);
        FactSource {
            ledger: self.rig.ground.ledger.id,
            log: self.rig.ground.log.clone(),
            guarded: Arc::new(move || Position(guarded.load(Ordering::Acquire))),
            keyring: Arc::clone(&self.rig.keyring),
            objects: Arc::new(self.rig.ground.objects.clone()),
            dictionaries: Arc::new(|_: &[u8; 8]| None),
        }
    }

    pub(crate) fn following(&self) -> Following {
        Following::new(self.source(), Arc::new(SystemClock::new()))
    }

    pub(crate) fn projector(&self, views: &Arc<dyn Views>) -> Projector {
        let ledger = self.rig.ground.ledger.id;
        let progress = Arc::new(Progress::new(None));
        Projector::open(ledger, Arc::clone(views), vec![Arc::new(Count)], progress).unwrap()
    }
}

pub(crate) fn everything() -> Scan<'static> {
    Scan { index: None, equal: &[], from: None, to: None, after: None, descending: false, limit: usize::MAX }
}

/// All rows of the serving view, table by table.
pub(crate) fn rows_of(views: &dyn Views) -> (Vec<Row>, Vec<Row>) {
    let snapshot = views.snapshot("count", Which::Serving).unwrap();
    (snapshot.scan(&SUMS, &everything()).unwrap(), snapshot.scan(&EVENTS, &everything()).unwrap())
}

/// That every event up to a position was projected once, in order.
pub(crate) fn assert_counted(views: &dyn Views, events: u64) {
    let (sums, all) = rows_of(views);
    let positions: Vec<Cell> = all.iter().map(|row| row[0].clone()).collect();
    let expected: Vec<Cell> = (0..events).map(|at| number(Position(at)).into()).collect();
    assert_eq!(positions, expected);
    let counted: i64 = sums.iter().filter_map(|row| row[1].integer()).sum();
    assert_eq!(counted, i64::try_from(events).unwrap());
}

/// Projected in one go, with nothing in between: what every other way must come to.
pub(crate) fn model(world: &World) -> MemoryRows {
    let source = world.source();
    let mut batch = waag_views::source::Batch::after(waag_views::contract::Cursor::START);
    let limits = waag_views::source::BatchLimits::default();
    source.fill(&mut batch, Position(u64::MAX), &limits, &mut || true).unwrap();
    let mut gathering = Count.gather();
    batch.each(&mut |fact| gathering.take(fact)).unwrap();
    let mut rows = MemoryRows::new();
    gathering.finish().write(&mut rows).unwrap();
    rows
}
