//! The projector over a real ledger in memory: exactly once, in order, up to the guard, and never past what it cannot read.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::{Count, EVENTS, SUMS, World, assert_counted, everything, model, rows_of};
use waag_domain::project::{Fact, Gathered, Gathering, Projection, Rows, RowsError};
use waag_entry::form::Entry;
use waag_keys::state::Table as StateTable;
use waag_model::ids::Position;
use waag_model::time::UtcNanos;
use waag_views::check::check;
use waag_views::contract::{Cursor, Turn, ViewKey, Views, Which};
use waag_views::follow::follow;
use waag_views::memory::MemoryViews;
use waag_views::progress::{Activity, Progress};
use waag_views::projector::{ProjectError, Projector, Ready};
use waag_views::rebuild::{Rebuilt, rebuild};
use waag_views::source::{Batch, BatchLimits};

const END: Position = Position(u64::MAX);

fn memory() -> Arc<dyn Views> {
    Arc::new(MemoryViews::new())
}

fn small(events_max: usize) -> BatchLimits {
    BatchLimits { events_max, ..BatchLimits::default() }
}

#[test]
fn rows_are_the_same_however_the_events_are_cut_and_whatever_restarts_in_between() {
    let mut world = World::new();
    (1..=12).for_each(|events| world.record(events, 5));
    let model = model(&world);
    for cut in [1, 3, 7, 50, 1_000] {
        let views = memory();
        let mut steps = 0;
        // Every step is a process of its own.
        while world.projector(&views).step(&world.source(), END, &small(cut)).unwrap() > 0 {
            steps += 1;
        }
        assert_eq!(steps, 78_usize.div_ceil(cut));
        assert_counted(views.as_ref(), 78);
        let (sums, events) = rows_of(views.as_ref());
        assert!(sums.iter().eq(model.all(&SUMS)) && events.iter().eq(model.all(&EVENTS)), "{cut}");
    }
}

#[test]
fn a_fact_tells_what_the_common_part_says_blobs_included() {
    let mut world = World::new();
    world.record(1, 5);
    // A body beyond the inline limit becomes a blob.
    world.record(1, 200_000);
    let views = memory();
    let mut projector = world.projector(&views);
    assert_eq!(projector.step(&world.source(), END, &BatchLimits::default()).unwrap(), 2);
    let (_, events) = rows_of(views.as_ref());
    let told: Vec<_> = events.iter().map(|row| row[2].text().unwrap()).collect();
    assert_eq!(
        told,
        [
            "views.test.0 Some(\"e0\") Some(\"test\") Some(Integer(0)) 5",
            "views.test.1 Some(\"e1\") Some(\"test\") Some(Integer(1)) 200000"
        ]
    );
    assert!(events[0][1] < events[1][1], "commit times grow from frame to frame");
}

#[test]
fn a_batch_ends_at_its_bytes_as_well_as_at_its_events() {
    let mut world = World::new();
    world.record(10, 1_000);
    let views = memory();
    let mut projector = world.projector(&views);
    let limits = BatchLimits { bytes_max: 2_500, ..BatchLimits::default() };
    assert_eq!(projector.step(&world.source(), END, &limits).unwrap(), 3);
    assert_eq!(projector.step(&world.source(), Position(4), &limits).unwrap(), 1);
    assert_eq!(projector.cursor().position, Position(4));
}

#[test]
fn nothing_beyond_the_guard_is_projected_and_a_cursor_beyond_it_is_refused() {
    let mut world = World::new();
    world.record(5, 5);
    world.record(5, 5);
    world.guarded.store(5, Ordering::Release);
    let views = memory();
    let mut projector = world.projector(&views);
    assert_eq!(projector.step(&world.source(), END, &small(100)).unwrap(), 5);
    assert_eq!(projector.step(&world.source(), END, &small(100)).unwrap(), 0);
    world.guarded.store(10, Ordering::Release);
    assert_eq!(projector.step(&world.source(), END, &small(100)).unwrap(), 5);
    world.guarded.store(7, Ordering::Release);
    let refused = projector.step(&world.source(), END, &small(100)).unwrap_err();
    assert_eq!(refused.code(), "E0699");
    assert_counted(views.as_ref(), 10);
}

#[test]
fn a_destroyed_key_leaves_what_is_in_clear_and_an_unknown_one_stops_before_its_entry() {
    let mut world = World::new();
    world.record(3, 5);
    // Another day, so that the next events have another key.
    world.rig.ground.clock.pass(2 * 86_400 * 1_000_000_000);
    world.record(4, 5);
    let key_of = |frame: usize| {
        let frames = world.rig.ground.log.frames.lock().unwrap();
        let frame = waag_log::frame::DecodedFrame::decode(&frames[frame]).unwrap();
        let entry = waag_log::frame::Entries::new(frame.body).next().unwrap().to_vec();
        Entry::read(&entry).unwrap().parts[0].key_id
    };
    let (first, second) = (key_of(0), key_of(1));
    assert_ne!(first, second);
    world.rig.keyring.destroy_expired(&[first]).unwrap();
    {
        let mut state = world.rig.ground.state.model();
        let removed = state.records.remove(&(StateTable::DataKey.code(), second.0.to_vec()));
        assert!(removed.is_some());
    }
    // A process that has just started: nothing is held open.
    let ground = world.rig.close();
    let tenant = waag_model::ids::TenantName::new("bank").unwrap();
    let keyring =
        waag_keys::keyring::Keyring::open(ground.means.clone(), &tenant, Default::default()).unwrap();
    let source = waag_views::source::FactSource {
        ledger: ground.ledger.id,
        log: ground.log.clone(),
        guarded: Arc::new(|| Position(7)),
        keyring: Arc::new(keyring),
        objects: Arc::new(ground.objects.clone()),
        dictionaries: Arc::new(|_: &[u8; 8]| None),
    };
    let views = memory();
    let progress = Arc::new(Progress::new(None));
    let projections: Vec<Arc<dyn Projection>> = vec![Arc::new(Count)];
    let mut projector = Projector::open(ground.ledger.id, Arc::clone(&views), projections, progress).unwrap();
    let stopped = projector.step(&source, END, &small(100)).unwrap_err();
    assert_eq!(stopped.code(), "E0697");
    assert_eq!(projector.step(&source, Position(3), &small(100)).unwrap(), 3);
    assert_eq!(projector.step(&source, END, &small(100)).unwrap_err().code(), "E0697");
    assert_counted(views.as_ref(), 3);
    let (_, events) = rows_of(views.as_ref());
    assert_eq!(events[1][2].text().unwrap(), "views.test.1 None None None 0");
}

#[test]
fn a_missing_blob_stops_before_its_entry() {
    let mut world = World::new();
    world.record(2, 5);
    world.record(1, 200_000);
    let mut source = world.source();
    source.objects = Arc::new(waag_sim::senses::SimObjects::default());
    let views = memory();
    let mut following = world.following();
    following.source = source;
    let mut projector = world.projector(&views);
    let stop = AtomicBool::new(false);
    let halted = follow(&mut projector, &following, &stop).unwrap_err();
    assert_eq!(halted.code(), "E0698");
    assert_counted(views.as_ref(), 2);
    let reached = projector.progress().reached();
    assert!(matches!(reached.activity, Activity::Halted { code: "E0698", .. }), "{reached:?}");
    assert_eq!((reached.cursor.position, reached.lag()), (Position(2), 1));
    assert!(reached.age(UtcNanos(i64::MAX)) > Duration::ZERO);
}

#[test]
fn two_threads_follow_what_is_recorded_meanwhile() {
    let mut world = World::new();
    world.record(20, 5);
    let views = memory();
    let mut projector = world.projector(&views);
    let mut following = world.following();
    following.limits = small(7);
    let progress = Arc::clone(projector.progress());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| follow(&mut projector, &following, &stop));
        for round in 1..=10 {
            world.record(13, 5);
            following.wake.notify();
            let wanted = Position(20 + 13 * round);
            let reached = progress.wait_for(wanted, Duration::from_secs(20));
            assert_eq!(reached.cursor.position, wanted);
        }
        stop.store(true, Ordering::Release);
        running.join().unwrap().unwrap();
    });
    assert_counted(views.as_ref(), 150);
    let reached = progress.reached();
    assert_eq!((reached.events, reached.lag(), reached.activity), (150, 0, Activity::Stopped));
    assert!(reached.batches >= 150 / 7);
}

#[test]
fn two_projectors_of_one_view_never_apply_an_event_twice() {
    let mut world = World::new();
    (0..6).for_each(|_| world.record(10, 5));
    let views = memory();
    let (mut one, mut other) = (world.projector(&views), world.projector(&views));
    one.step(&world.source(), END, &small(8)).unwrap();
    let refused = other.step(&world.source(), END, &small(8)).unwrap_err();
    assert!(matches!(refused, ProjectError::Views(_)) && refused.code() == "E0692", "{refused}");
    let mut following = world.following();
    following.limits = small(3);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let runs: Vec<_> =
            [&mut one, &mut other].map(|each| scope.spawn(|| follow(each, &following, &stop))).into();
        while rows_of(views.as_ref()).1.len() < 60 {
            std::thread::yield_now();
        }
        stop.store(true, Ordering::Release);
        runs.into_iter().for_each(|run| run.join().unwrap().unwrap());
    });
    assert_counted(views.as_ref(), 60);
}

#[test]
fn a_rebuild_goes_on_where_it_was_broken_off_and_is_followed_from_then_on() {
    let mut world = World::new();
    (0..5).for_each(|_| world.record(10, 5));
    let views = memory();
    let mut live = world.projector(&views);
    live.step(&world.source(), END, &small(100)).unwrap();
    let projection: Arc<dyn Projection> = Arc::new(Count);
    let mut following = world.following();
    following.limits = small(4);
    let mut recorded = || Ok::<_, ProjectError>(following.clone());
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stop);
    let stopping = Progress::new(Some(Box::new(move |reached| {
        seen.store(reached.cursor.position >= Position(12), Ordering::Release);
    })));
    let ended = rebuild(&views, &mut recorded, &projection, Arc::new(stopping), &stop).unwrap();
    let key = ViewKey { name: "count".to_owned(), version: 3, build: 1 };
    assert_eq!(ended, Rebuilt::Stopped(key.clone()));
    let half = views.list().unwrap().into_iter().find(|one| one.key == key).unwrap();
    assert!(!half.serves && half.cursor.position >= Position(12) && half.cursor.position < Position(50));
    let progress = Arc::new(Progress::new(None));
    stop.store(false, Ordering::Release);
    let ended = rebuild(&views, &mut recorded, &projection, Arc::clone(&progress), &stop).unwrap();
    assert_eq!(ended, Rebuilt::Serves(key.clone()));
    assert_eq!(progress.reached().events, 50 - half.cursor.position.0, "it began again");
    let keys: Vec<ViewKey> = views.list().unwrap().into_iter().map(|one| one.key).collect();
    assert_eq!(keys, [key]);
    assert_counted(views.as_ref(), 50);
    // The projector of the node finds its build gone, and goes on with the one that serves.
    world.record(5, 5);
    stop.store(false, Ordering::Release);
    let told = Arc::clone(live.progress());
    std::thread::scope(|scope| {
        let running = scope.spawn(|| follow(&mut live, &following, &stop));
        assert_eq!(told.wait_for(Position(55), Duration::from_secs(20)).cursor.position, Position(55));
        stop.store(true, Ordering::Release);
        running.join().unwrap().unwrap();
    });
    assert_counted(views.as_ref(), 55);
}

#[test]
fn a_version_that_was_given_up_is_not_built_again_unasked() {
    let mut world = World::new();
    world.record(10, 5);
    let views = memory();
    let mut live = world.projector(&views);
    live.step(&world.source(), END, &small(4)).unwrap();
    let newer = ViewKey { name: "count".to_owned(), version: 4, build: 0 };
    let definition = waag_views::contract::Definition {
        key: newer.clone(),
        ledger: world.rig.ground.ledger.id,
        tables: Count.tables(),
    };
    views.open(&definition).unwrap();
    views.turn(&newer, Turn::Serve).unwrap();
    let dropped = waag_views::rebuild::drop_others(views.as_ref(), "count").unwrap();
    assert_eq!(dropped.len(), 1);
    let halted = follow(&mut live, &world.following(), &AtomicBool::new(false)).unwrap_err();
    assert_eq!(halted.code(), "E0693");
    assert_eq!(views.list().unwrap().len(), 1);
}

#[test]
fn a_check_finds_each_row_that_is_not_what_the_events_say() {
    let mut world = World::new();
    (0..4).for_each(|_| world.record(10, 5));
    let views = memory();
    let mut projector = world.projector(&views);
    projector.step(&world.source(), Position(35), &small(100)).unwrap();
    let projection: Arc<dyn Projection> = Arc::new(Count);
    let stop = AtomicBool::new(false);
    let checked = || {
        let progress = Arc::new(Progress::new(None));
        let mut recorded = || Ok::<_, ProjectError>(world.following());
        check(views.as_ref(), &memory(), &mut recorded, &projection, progress, &stop).unwrap().unwrap()
    };
    let clean = checked();
    assert!(clean.is_equal() && clean.position == Position(35), "{clean:?}");
    assert_eq!(clean.tables.iter().map(|table| table.rows).collect::<Vec<_>>(), [10, 35]);
    let standing = views.list().unwrap().remove(0);
    let change = &mut |rows: &mut dyn Rows| {
        let wrong = vec!["views.test.3".into(), 99.into(), 1.into()];
        rows.put(&SUMS, vec![wrong, vec!["nobody".into(), 1.into(), 1.into()]])?;
        rows.delete(&EVENTS, &[vec![0.into()], vec![34.into()]])
    };
    views.commit(&standing.key, standing.cursor, standing.cursor, change).unwrap();
    let found = checked();
    assert!(!found.is_equal());
    let [sums, events] = &found.tables[..] else { panic!("two tables") };
    assert_eq!((sums.rows, sums.different, events.rows, events.different), (11, 2, 35, 2));
    assert_eq!(sums.first[0].key, [waag_domain::project::Cell::from("nobody")]);
    assert!(sums.first[0].projected.is_none() && sums.first[1].projected.is_some());
    assert!(events.first.iter().all(|one| one.stored.is_none()));
}

#[test]
fn views_at_different_cursors_each_get_what_they_lack() {
    struct Other;
    impl Projection for Other {
        fn name(&self) -> &'static str {
            "other"
        }
        fn version(&self) -> u32 {
            1
        }
        fn tables(&self) -> &'static [waag_domain::project::Table] {
            Count.tables()
        }
        fn gather(&self) -> Box<dyn Gathering> {
            Count.gather()
        }
    }
    let mut world = World::new();
    world.record(30, 5);
    let views = memory();
    world.projector(&views).step(&world.source(), END, &small(13)).unwrap();
    let ledger = world.rig.ground.ledger.id;
    let both: Vec<Arc<dyn Projection>> = vec![Arc::new(Count), Arc::new(Other)];
    let progress = Arc::new(Progress::new(None));
    let mut projector = Projector::open(ledger, Arc::clone(&views), both, progress).unwrap();
    assert_eq!(projector.cursor(), Cursor::START);
    while projector.step(&world.source(), END, &small(7)).unwrap() > 0 {}
    assert_counted(views.as_ref(), 30);
    let other = views.snapshot("other", Which::Serving).unwrap();
    assert_eq!(other.scan(&EVENTS, &everything()).unwrap().len(), 30);
}

/// Counts, and refuses one event.
struct Refusing;

impl Projection for Refusing {
    fn name(&self) -> &'static str {
        Count.name()
    }

    fn version(&self) -> u32 {
        Count.version()
    }

    fn tables(&self) -> &'static [waag_domain::project::Table] {
        Count.tables()
    }

    fn gather(&self) -> Box<dyn Gathering> {
        Box::new(Refusal { inner: Count.gather(), refused: false })
    }
}

struct Refusal<I: ?Sized> {
    refused: bool,
    inner: Box<I>,
}

impl Gathering for Refusal<dyn Gathering> {
    fn take(&mut self, fact: &Fact<'_>) {
        self.refused |= fact.position == Position(16);
        self.inner.take(fact);
    }

    fn finish(self: Box<Self>) -> Box<dyn Gathered> {
        Box::new(Refusal { refused: self.refused, inner: self.inner.finish() })
    }
}

impl Gathered for Refusal<dyn Gathered> {
    fn write(&self, rows: &mut dyn Rows) -> Result<(), RowsError> {
        self.inner.write(rows)?;
        if self.refused {
            return Err(RowsError { code: "REFUSED", reason: "the 17th".to_owned() });
        }
        Ok(())
    }
}

#[test]
fn batches_written_together_are_as_if_alone_and_what_comes_before_a_fault_is_kept() {
    let mut world = World::new();
    world.record(30, 5);
    let source = world.source();
    let (mut batches, mut cursor) = (Vec::new(), Cursor::START);
    while cursor.position < Position(30) {
        let mut batch = Batch::after(cursor);
        source.fill(&mut batch, END, &small(7), &mut || true).unwrap();
        cursor = batch.end();
        batches.push(batch);
    }
    let gather = |projector: &Projector| -> Vec<Ready> {
        let gatherer = projector.gatherer();
        batches.iter().map(|batch| gatherer.gather(batch).unwrap()).collect()
    };
    let views = memory();
    let mut projector = world.projector(&views);
    // One view has some of it already.
    let ready = gather(&projector);
    projector.apply(&ready[0], Position(30)).unwrap();
    projector.apply_all(&ready, Position(30)).unwrap();
    assert_counted(views.as_ref(), 30);
    assert_eq!((projector.cursor(), projector.progress().reached().batches), (cursor, 6));
    let views = memory();
    let progress = Arc::new(Progress::new(None));
    let projections: Vec<Arc<dyn Projection>> = vec![Arc::new(Refusing)];
    let ledger = world.rig.ground.ledger.id;
    let mut projector = Projector::open(ledger, Arc::clone(&views), projections, progress).unwrap();
    let ready = gather(&projector);
    let refused = projector.apply_all(&ready, Position(30)).unwrap_err();
    assert_eq!((refused.code(), projector.cursor().position), ("REFUSED", Position(14)));
    assert_counted(views.as_ref(), 14);
}
