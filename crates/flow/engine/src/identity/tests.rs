//! The index against a model, over any order of inserting, working, installing, forgetting and reopening.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::tests_support::{MemFiles, random_tag};
use super::*;

pub(super) const LEDGER: LedgerId = LedgerId([7; 16]);
pub(super) const FOLDER: &str = "derived/identity";

pub(super) fn small(table: usize, entries_max: u64, window_ns: i64) -> IdentityLimits {
    IdentityLimits {
        window_ns,
        entries_max,
        table_entries_max: table,
        level_max: 2,
        merge_step_entries: 2 * table,
        batch_entries_max: table,
    }
}

/// The log, and an index over it.
pub(super) struct World {
    pub(super) files: MemFiles,
    pub(super) limits: IdentityLimits,
    pub(super) log: Vec<(Tag, UtcNanos)>,
    pub(super) index: IdentityIndex,
    outstanding: Option<Result<Done, IdentityError>>,
    now: i64,
    /// Whether the bound has shortened the window in any of the index's lives.
    shortened: bool,
}

pub(super) fn open(files: &MemFiles, log: &[(Tag, UtcNanos)], limits: &IdentityLimits) -> Opened {
    let end = Position(log.len() as u64);
    IdentityIndex::open(Arc::new(files.clone()), FOLDER, LEDGER, end, limits.clone()).unwrap()
}

/// Gives the index what it lacks of the log.
pub(super) fn replay(index: &mut IdentityIndex, log: &[(Tag, UtcNanos)]) -> Result<(), IdentityError> {
    let from = usize::try_from(index.covered().0).unwrap().saturating_sub(3);
    for (at, (tag, time)) in log.iter().enumerate().skip(from) {
        match index.insert(*tag, Position(at as u64), *time) {
            Err(IdentityError::Behind) => {
                index.maintain()?;
                index.insert(*tag, Position(at as u64), *time)?;
            }
            other => other?,
        }
    }
    Ok(())
}

impl World {
    pub(super) fn new(limits: IdentityLimits) -> Self {
        let files = MemFiles::default();
        let index = open(&files, &[], &limits).index;
        Self { files, limits, log: Vec::new(), index, outstanding: None, now: 0, shortened: false }
    }

    fn insert(&mut self, tag: Tag) {
        self.now += 1;
        if self.index.room() == 0 {
            self.work();
            self.install();
            self.index.maintain().unwrap();
            self.note_shortening();
            assert!(self.index.room() > 0);
        }
        self.index.insert(tag, Position(self.log.len() as u64), UtcNanos(self.now)).unwrap();
        self.log.push((tag, UtcNanos(self.now)));
    }

    fn work(&mut self) {
        if let Some(job) = self.index.next_job() {
            self.outstanding = Some(job.run());
        }
    }

    fn install(&mut self) {
        if let Some(outcome) = self.outstanding.take() {
            self.index.install(outcome).unwrap();
        }
        self.note_shortening();
    }

    fn note_shortening(&mut self) {
        self.shortened |= self.index.stats().dropped_in_window > 0;
    }

    fn reopen(&mut self) {
        // An outcome that was never installed may have dropped runs that nobody counted; so may the replay.
        let tables = 4 * self.limits.table_entries_max as u64;
        let bounded = self.limits.entries_max < self.log.len() as u64 + tables;
        self.shortened |= bounded && self.outstanding.take().is_some();
        self.outstanding = None;
        self.files = self.files.after_crash(false);
        let opened = open(&self.files, &self.log, &self.limits);
        assert!(matches!(opened.empty, None | Some(Empty::Missing)), "{:?}", opened.empty);
        self.index = opened.index;
        replay(&mut self.index, &self.log).unwrap();
        self.note_shortening();
    }

    fn check(&self) {
        check(&self.index, &self.log);
        let stats = self.index.stats();
        assert!(stats.entries <= self.limits.entries_max, "{stats:?}");
        if !self.shortened
            && let Some((oldest, _)) = self.index.oldest_covered()
        {
            let since = self.now - self.limits.window_ns;
            let in_window = self.log.iter().position(|(_, time)| time.0 >= since).unwrap_or(self.log.len());
            assert!(oldest.0 <= in_window as u64, "{oldest} is covered, {in_window} is in the window");
        }
    }
}

/// `IDENT-1` over the whole log.
pub(super) fn check(index: &IdentityIndex, log: &[(Tag, UtcNanos)]) {
    let newest: BTreeMap<Tag, u64> = log.iter().enumerate().map(|(at, (tag, _))| (*tag, at as u64)).collect();
    let oldest = index.oldest_covered().map_or(u64::MAX, |(position, _)| position.0);
    if let Some((position, time)) = index.oldest_covered() {
        assert!(time <= log[usize::try_from(position.0).unwrap()].1, "told later than it was");
    }
    for (tag, at) in &newest {
        match index.lookup(tag).unwrap() {
            Some(found) => assert_eq!(found.0, *at),
            None => assert!(*at < oldest, "{at} is gone, covered from {oldest}"),
        }
    }
    for n in 0..64 {
        assert_eq!(index.lookup(&random_tag(1 << 50 | n)).unwrap(), None);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(usize),
    Again(prop::sample::Index),
    Work,
    Install,
    Maintain,
    Reopen,
    Wait(i64),
    Check,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..24_usize).prop_map(Step::Insert),
        2 => any::<prop::sample::Index>().prop_map(Step::Again),
        6 => Just(Step::Work),
        6 => Just(Step::Install),
        1 => Just(Step::Maintain),
        1 => Just(Step::Reopen),
        1 => (1..200_i64).prop_map(Step::Wait),
        1 => Just(Step::Check),
    ]
}

fn run_steps(steps: &[Step], limits: IdentityLimits) -> World {
    let mut world = World::new(limits);
    for step in steps {
        match step {
            Step::Insert(count) => (0..*count).for_each(|_| world.insert(random_tag(world.log.len() as u64))),
            Step::Again(_) if world.log.is_empty() => {}
            Step::Again(index) => world.insert(world.log[index.index(world.log.len())].0),
            Step::Work => world.work(),
            Step::Install => world.install(),
            Step::Maintain => {
                world.install();
                world.index.maintain().unwrap();
                world.install();
            }
            Step::Reopen => world.reopen(),
            Step::Wait(nanos) => world.now += nanos,
            Step::Check => world.check(),
        }
    }
    world.check();
    world
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(192) })]

    #[test]
    fn answers_as_the_model_does_in_any_order(steps in prop::collection::vec(step(), 1..160)) {
        run_steps(&steps, small(8, 1 << 20, i64::MAX));
    }

    #[test]
    fn forgets_runs_out_of_the_window_and_no_others(steps in prop::collection::vec(step(), 1..160)) {
        run_steps(&steps, small(8, 1 << 20, 300));
    }

    #[test]
    fn never_holds_more_than_its_bound(steps in prop::collection::vec(step(), 1..160)) {
        run_steps(&steps, small(8, 120, i64::MAX));
    }
}

#[test]
fn runs_grow_level_by_level_and_stay_few() {
    let mut world = World::new(small(8, 1 << 20, i64::MAX));
    for n in 0..8 * 400 {
        world.insert(random_tag(n));
        if n % 8 == 7 {
            world.index.maintain().unwrap();
        }
    }
    let levels: Vec<u32> = world.index.layout.runs.iter().map(|run| run.header.level).collect();
    assert!(levels.windows(2).all(|pair| pair[0] >= pair[1]), "{levels:?}");
    assert_eq!(levels.iter().filter(|level| **level == 2).count(), 399 / 16, "{levels:?}");
    assert!(levels.len() <= 399 / 16 + 6);
    world.check();
    // What no manifest names is gone.
    world.index.maintain().unwrap();
    let runs = world.files.names().iter().filter(|name| name.contains("run-")).count();
    assert!(runs <= world.index.layout.runs.len() + MERGE_FAN_IN + 1, "{runs}");
}

#[test]
fn the_bound_shortens_the_window_visibly() {
    let limits = small(8, 120, i64::MAX);
    let mut world = World::new(limits);
    for n in 0..1_000 {
        world.insert(random_tag(n));
        world.index.maintain().unwrap();
        assert!(world.index.stats().entries <= 120);
    }
    let stats = world.index.stats();
    let (oldest, time) = world.index.oldest_covered().unwrap();
    assert!(oldest.0 >= 1_000 - 120 && oldest.0 < 1_000 - 24, "{oldest}");
    assert_eq!(stats.window_ns, 1_000 - time.0);
    assert!(stats.dropped_in_window > 0);
    assert_eq!(world.index.lookup(&random_tag(0)).unwrap(), None);
}

#[test]
fn merging_drops_entries_older_than_the_window() {
    let mut world = World::new(small(8, 1 << 20, 20));
    for n in 0..8 * 5 {
        world.insert(random_tag(n));
    }
    world.index.maintain().unwrap();
    let (oldest, _) = world.index.oldest_covered().unwrap();
    assert!(oldest.0 >= 8, "{oldest}");
    world.check();
}

#[test]
fn a_full_table_waits_for_its_predecessor_to_be_flushed() {
    let mut world = World::new(small(8, 1 << 20, i64::MAX));
    assert_eq!(world.index.room(), 16);
    for n in 0..16 {
        world.index.insert(random_tag(n), Position(n), UtcNanos(0)).unwrap();
    }
    assert_eq!(world.index.room(), 0);
    let full = world.index.insert(random_tag(16), Position(16), UtcNanos(0));
    assert!(matches!(full, Err(IdentityError::Behind)));
    assert_eq!(world.index.lookup(&random_tag(16)).unwrap(), None);
    let job = world.index.next_job().unwrap();
    assert!(world.index.next_job().is_none(), "one job at a time");
    world.index.install(job.run()).unwrap();
    assert_eq!(world.index.room(), 8);
    world.index.insert(random_tag(16), Position(16), UtcNanos(0)).unwrap();
    assert_eq!(world.index.lookup(&random_tag(0)).unwrap(), Some(Position(0)));
}

#[test]
fn a_backlog_of_runs_stops_the_writer_at_the_limit() {
    let mut world = World::new(small(1, 1 << 20, i64::MAX));
    let mut n = 0;
    // Only flushes are installed: merges are never taken, as by a worker that is too slow for them.
    while world.index.layout.runs.len() < RUNS_MAX {
        world.index.insert(random_tag(n), Position(n), UtcNanos(0)).unwrap();
        n += 1;
        if world.index.frozen.is_some() {
            let job = world.index.next_job().unwrap();
            world.index.install(job.run()).unwrap();
        }
    }
    assert_eq!(world.index.room(), 0);
    let behind = world.index.insert(random_tag(n), Position(n), UtcNanos(0));
    assert!(matches!(behind, Err(IdentityError::Behind)));
    world.index.maintain().unwrap();
    assert!(world.index.room() > 0);
    assert!((0..n).all(|n| world.index.lookup(&random_tag(n)).unwrap() == Some(Position(n))));
}

#[test]
fn an_index_of_another_ledger_or_ahead_of_its_log_is_not_used() {
    let mut world = World::new(small(8, 1 << 20, i64::MAX));
    (0..40).for_each(|n| world.insert(random_tag(n)));
    world.index.maintain().unwrap();
    let covered = world.index.covered();
    assert!(covered.0 >= 24);
    let reopen = |ledger, end| {
        let files = Arc::new(world.files.after_crash(false));
        IdentityIndex::open(files, FOLDER, ledger, end, world.limits.clone()).unwrap()
    };
    assert!(reopen(LEDGER, covered).empty.is_none());
    let ahead = reopen(LEDGER, Position(covered.0 - 1));
    assert!(matches!(ahead.empty, Some(Empty::AheadOfLog)));
    assert_eq!((ahead.index.covered(), ahead.index.oldest_covered()), (Position(0), None));
    let other = reopen(LedgerId([8; 16]), covered);
    assert!(matches!(other.empty, Some(Empty::Unusable(IdentityError::Damaged { .. }))));
    assert_eq!(other.index.lookup(&random_tag(1)).unwrap(), None);
}

#[test]
fn reset_forgets_all_and_starts_again() {
    let mut world = World::new(small(8, 1 << 20, i64::MAX));
    (0..100).for_each(|n| world.insert(random_tag(n)));
    world.index.maintain().unwrap();
    world.index.reset().unwrap();
    assert!(world.files.names().is_empty());
    assert_eq!(world.index.covered(), Position(0));
    assert_eq!(world.index.lookup(&random_tag(3)).unwrap(), None);
    replay(&mut world.index, &world.log).unwrap();
    world.check();
}

#[test]
fn tags_that_share_their_first_bytes_over_blocks_are_found() {
    // 600 tags with the same first eight bytes fill more than three blocks that begin alike.
    let mut world = World::new(small(1_000, 1 << 20, i64::MAX));
    for n in 0..1_001_u64 {
        let mut tag = random_tag(n);
        if (200..800).contains(&n) {
            tag.0[..8].copy_from_slice(&[0x55; 8]);
        }
        world.insert(tag);
    }
    world.index.maintain().unwrap();
    assert_eq!(world.index.layout.runs.len(), 1);
    world.check();
}
