//! A model of what is around a lane: a ledger, the committed state, a target that remembers, and steps drawn at random.
//!
//! The model knows what the lane may not know: every delivery that ever arrived, also those whose outcome was lost with a
//! crash. It judges each attempt when it begins, each commit when it is made, and what is left at the end.
//! Not here: the lane's inner maps (`inspect`), which worlds are run (`tests`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use waag_model::ids::Position;
use waag_model::time::UtcNanos;

use crate::lane::{Effect, ITEMS_MAX, Lane, Now, Policy, Redriven};
use crate::records::{
    DeadLetter, Key, Kind, LaneId, Queued, key_of, number_of, numbered_key, prefix, queued_key,
};
use crate::source::Event;
use crate::spec::{OnFailure, Retry};
use crate::target::{Class, Failure, Outcome};

pub(super) const LANE: LaneId = LaneId { subscription: 3, job: 0 };

/// Numbers that repeat with their seed (SplitMix64).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let once = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let twice = (once ^ (once >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        twice ^ (twice >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn at(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).unwrap()
    }
}

/// What differs between worlds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) seed: u64,
    pub(super) keys: u64,
    /// One in so many positions is none of this lane's; 0: none.
    pub(super) gaps: u64,
    pub(super) policy: Policy,
    /// Whether the policy changes on the way.
    pub(super) changes: bool,
    /// Of a hundred outcomes, so many are deliveries.
    pub(super) health: u64,
}

impl Setting {
    pub(super) fn drawn(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let on_failure = [OnFailure::Park, OnFailure::Skip, OnFailure::Halt][dice.at(3)];
        let policy = Policy {
            concurrency: 1 + dice.at(4),
            timeout: Duration::from_secs(1 + dice.below(5)),
            retry: Retry {
                attempts_max: [1, 2, 3][dice.at(3)],
                age_s_max: [2, 20, 100_000][dice.at(3)],
                delay_ms_min: 100,
                delay_ms_max: 1_000,
            },
            on_failure,
            breaks: dice.below(4) == 0,
            window_max: 1 + [dice.at(14), dice.at(60)][dice.at(2)],
        };
        let gaps = [0, 2, 5][dice.at(3)];
        Self {
            seed,
            keys: 1 + dice.below(5),
            gaps,
            policy,
            changes: dice.below(3) == 0,
            health: [20, 50, 85][dice.at(3)],
        }
    }

    /// The key of the event at a position; none where there is none for this lane.
    pub(super) fn key(&self, position: u64) -> Option<Key> {
        let mut dice = Dice(self.seed ^ position.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let is_gap = self.gaps > 0 && dice.below(self.gaps) == 0;
        (!is_gap).then(|| [u8::try_from(dice.below(self.keys)).unwrap() + 1; 16])
    }
}

pub(super) fn event(position: u64) -> Arc<Event> {
    Arc::new(Event {
        position: Position(position),
        committed: UtcNanos(0),
        kind: "made.up".into(),
        ordering: None,
        depth: 0,
        json: Box::default(),
    })
}

pub(super) fn failed(class: Class, retry_after: Option<Duration>) -> Outcome {
    Outcome::Failed(Failure { retry_after, ..Failure::new(class, "E1160", "made up") })
}

/// A lane from what was committed, in the order in which the runtime reads it.
pub(super) fn lane_of(state: &BTreeMap<Vec<u8>, Vec<u8>>, low: u64, policy: Policy, now: Now) -> Lane {
    let mut lane = Lane::new(LANE, policy, low);
    for (record, value) in of_kind(state, Kind::Queued) {
        lane.load(key_of(record).unwrap(), number_of(record).unwrap(), Queued::read(value).unwrap(), now);
    }
    for (record, value) in of_kind(state, Kind::Parked) {
        lane.load_parked(DeadLetter::read(value).unwrap().key, number_of(record).unwrap());
    }
    for (record, _) in of_kind(state, Kind::Dead) {
        let position = number_of(record).unwrap();
        if position >= low {
            lane.load_known(position);
        }
    }
    lane
}

pub(super) fn of_kind(
    state: &BTreeMap<Vec<u8>, Vec<u8>>,
    kind: Kind,
) -> impl Iterator<Item = (&Vec<u8>, &Vec<u8>)> {
    let prefix = prefix(LANE, kind);
    state.range(prefix.clone()..).take_while(move |(record, _)| record.starts_with(&prefix))
}

pub(super) fn of_key<V>(state: &BTreeMap<Vec<u8>, V>, key: Key) -> impl Iterator<Item = (&Vec<u8>, &V)> {
    let mut prefix = prefix(LANE, Kind::Queued);
    prefix.extend_from_slice(&key);
    state.range(prefix.clone()..).take_while(move |(record, _)| record.starts_with(&prefix))
}

/// The first records of a key, and whether there are more.
pub(super) fn first_records(state: &BTreeMap<Vec<u8>, Vec<u8>>, key: Key) -> (Vec<(u64, Queued)>, bool) {
    let mut records: Vec<_> = of_key(state, key)
        .take(ITEMS_MAX + 1)
        .map(|(record, value)| (number_of(record).unwrap(), Queued::read(value).unwrap()))
        .collect();
    let more = records.len() > ITEMS_MAX;
    records.truncate(ITEMS_MAX);
    (records, more)
}

struct Flight {
    position: u64,
    key: Key,
}

pub(super) struct World {
    pub(super) setting: Setting,
    pub(super) lane: Lane,
    pub(super) now: Now,
    pub(super) low: u64,
    /// What is committed.
    pub(super) state: BTreeMap<Vec<u8>, Vec<u8>>,
    serial: u64,
    flights: BTreeMap<u64, Flight>,
    over: Vec<u64>,
    /// Where reading ever was.
    read_to: u64,
    /// Positions that were offered, neither arrived nor discarded, with their keys.
    open: BTreeMap<u64, Key>,
    /// What arrived at the target, in order of arrival, each once.
    arrived: Vec<u64>,
    arrived_set: BTreeSet<u64>,
    discarded: BTreeSet<u64>,
    /// Tried again by somebody in this life, and not yet out again.
    redriven: BTreeSet<u64>,
    redriven_ever: BTreeSet<u64>,
    /// The highest position of each key that went under way in this life.
    highest: BTreeMap<Key, u64>,
    pub(super) steps: u64,
    pub(super) crashes: u64,
    pub(super) letters: u64,
    pub(super) longest: usize,
}

impl World {
    pub(super) fn new(setting: Setting) -> Self {
        let now = Now { mono: Duration::from_secs(1_000), utc: UtcNanos(1_700_000_000_000_000_000) };
        Self {
            setting,
            lane: Lane::new(LANE, setting.policy, 0),
            now,
            low: 0,
            state: BTreeMap::new(),
            serial: 0,
            flights: BTreeMap::new(),
            over: Vec::new(),
            read_to: 0,
            open: BTreeMap::new(),
            arrived: Vec::new(),
            arrived_set: BTreeSet::new(),
            discarded: BTreeSet::new(),
            redriven: BTreeSet::new(),
            redriven_ever: BTreeSet::new(),
            highest: BTreeMap::new(),
            steps: 0,
            crashes: 0,
            letters: 0,
            longest: 0,
        }
    }

    /// One step, decided by a number; everything is checked behind it.
    pub(super) fn step(&mut self, number: u32) {
        let mut dice = Dice(u64::from(number));
        match dice.below(100) {
            0..23 => self.offer(1 + dice.below(6)),
            23..48 => (0..=dice.below(3)).for_each(|_| _ = self.dispatch()),
            48..68 => self.settle(&mut dice),
            68..70 => self.settle_late(&mut dice),
            70..76 => self.pass(&mut dice),
            76..84 => self.give_bodies(&mut dice),
            84..87 => self.commit(),
            87..90 => self.redrive(&mut dice),
            90..93 => self.discard(&mut dice),
            93..95 => self.crash(),
            95..96 => self.change_policy(&mut dice),
            96..97 => self.extend(&mut dice),
            _ => self.lose_outcome(&mut dice),
        }
        self.after();
    }

    fn after(&mut self) {
        for effect in self.lane.take_effects() {
            match effect {
                Effect::GaveUp { position, letter, parks } => {
                    self.redriven.remove(&position);
                    self.letters += 1;
                    let kind = if parks { Kind::Parked } else { Kind::Dead };
                    assert!(
                        self.has(&numbered_key(LANE, kind, position)),
                        "a letter told of is among the records"
                    );
                    assert_eq!(Some(letter.key), self.setting.key(position));
                }
                Effect::Redriven(position, Redriven::Waits) => drop(self.redriven.remove(&position)),
                Effect::Redriven(..)
                | Effect::Halted(..)
                | Effect::Disabled(..)
                | Effect::LeftAlone(_)
                | Effect::Recovered => {}
            }
        }
        self.steps += 1;
        self.check_lane(self.steps.is_multiple_of(8));
    }

    pub(super) fn offer(&mut self, most: u64) {
        for _ in 0..most {
            if self.lane.room() == 0 {
                return;
            }
            let position = self.lane.read_to();
            match self.setting.key(position) {
                None => self.lane.passed(position + 1),
                Some(key) => {
                    if !self.arrived_set.contains(&position) && !self.discarded.contains(&position) {
                        self.open.insert(position, key);
                    }
                    self.lane.offer(event(position), key);
                }
            }
            self.read_to = self.read_to.max(position + 1);
            assert_eq!(self.lane.read_to(), position + 1);
        }
    }

    pub(super) fn dispatch(&mut self) -> Option<u64> {
        self.serial += 1;
        let attempt = self.lane.dispatch(self.serial, self.now)?;
        let (position, key) = (attempt.event.position.0, attempt.key);
        assert_eq!(self.setting.key(position), Some(key));
        self.may_begin(position, key);
        self.flights.insert(self.serial, Flight { position, key });
        let highest = self.highest.entry(key).or_default();
        *highest = (*highest).max(position);
        Some(self.serial)
    }

    /// `ROUTE-1`, when an attempt begins.
    fn may_begin(&self, position: u64, key: Key) {
        assert!(self.flights.values().all(|flight| flight.key != key), "two of key {} under way", key[0]);
        assert!(!self.discarded.contains(&position), "{position} was discarded and goes again");
        for (before, _) in self.open.range(..position).filter(|(_, other)| **other == key) {
            let is_left = self.has(&numbered_key(LANE, Kind::Dead, *before));
            let may = is_left && !self.redriven.contains(before);
            assert!(may, "{position} goes before {before} of the same key");
        }
        // Within a life, only what somebody asked for goes back.
        let highest = self.highest.get(&key).copied().unwrap_or_default();
        let is_asked = self.redriven_ever.contains(&position);
        assert!(position >= highest || is_asked, "{position} goes again behind {highest} of its key");
    }

    fn a_flight(&self, dice: &mut Dice) -> Option<u64> {
        let at = dice.at(self.flights.len().max(1));
        self.flights.keys().nth(at).copied()
    }

    fn settle(&mut self, dice: &mut Dice) {
        let Some(serial) = self.a_flight(dice) else { return };
        let outcome = if dice.below(100) < self.setting.health {
            Outcome::Delivered(None)
        } else {
            let ask = (dice.below(2) == 0).then(|| Duration::from_millis(dice.below(3_000)));
            let class = [Class::Transient, Class::Transient, Class::Throttled, Class::Terminal, Class::Gone];
            failed(class[dice.at(5)], ask)
        };
        self.settle_as(serial, outcome);
    }

    pub(super) fn settle_as(&mut self, serial: u64, outcome: Outcome) {
        let flight = self.flights.remove(&serial).unwrap();
        self.over.push(serial);
        if outcome == Outcome::Delivered(None) {
            self.arrives(flight.position);
            self.redriven.remove(&flight.position);
        }
        let settled = self.lane.settle(serial, outcome, self.now).expect("it was under way");
        assert_eq!(settled.position, flight.position);
    }

    fn arrives(&mut self, position: u64) {
        self.open.remove(&position);
        if self.arrived_set.insert(position) {
            self.arrived.push(position);
        }
    }

    /// `ROUTE-3`.
    fn settle_late(&mut self, dice: &mut Dice) {
        let at = dice.at(self.over.len().max(1));
        let Some(serial) = self.over.get(at).copied() else { return };
        let before = self.lane.facts();
        let class = [Class::Transient, Class::Throttled, Class::Terminal, Class::Gone][dice.at(4)];
        for outcome in [Outcome::Delivered(None), failed(class, Some(Duration::from_secs(9)))] {
            assert_eq!(self.lane.settle(serial, outcome, self.now), None);
        }
        assert!(!self.lane.extend(serial, self.now));
        assert_eq!(self.lane.facts(), before, "a late outcome changes nothing");
    }

    /// The target has it, and the router will not learn so.
    fn lose_outcome(&mut self, dice: &mut Dice) {
        let Some(serial) = self.a_flight(dice) else { return };
        self.arrives(self.flights[&serial].position);
    }

    fn extend(&mut self, dice: &mut Dice) {
        if let Some(serial) = self.a_flight(dice) {
            assert!(self.lane.extend(serial, self.now));
        }
    }

    fn pass(&mut self, dice: &mut Dice) {
        let to_next = self
            .lane
            .next_wake(self.now)
            .map_or(0, |at| u64::try_from(at.saturating_sub(self.now.mono).as_millis()).unwrap() + 1);
        self.pass_ms([dice.below(300), dice.below(8_000), to_next][dice.at(3)]);
    }

    pub(super) fn pass_ms(&mut self, ms: u64) {
        self.now.mono += Duration::from_millis(ms);
        self.now.utc.0 += i64::try_from(ms).unwrap() * 1_000_000;
        for (settled, _) in self.lane.wake(self.now) {
            let over: Vec<u64> = self
                .flights
                .iter()
                .filter(|(_, f)| f.position == settled.position)
                .map(|(s, _)| *s)
                .collect();
            assert_eq!(over.len(), 1, "what timed out was under way");
            self.flights.remove(&over[0]);
            self.over.push(over[0]);
        }
        assert!(self.lane.next_wake(self.now).is_none_or(|at| at > self.now.mono));
    }

    fn give_bodies(&mut self, dice: &mut Dice) {
        let mut wanted = self.lane.wanted(1 + dice.at(8));
        assert!(wanted.is_sorted_by(|a, b| a < b));
        while !wanted.is_empty() {
            let position = wanted.remove(dice.at(wanted.len()));
            if dice.below(4) > 0 {
                self.lane.found(event(position));
            }
        }
    }

    /// Takes the changes and the low position at one instant; afterwards a key that wants them gets its further records.
    pub(super) fn commit(&mut self) {
        for (record, value) in self.lane.take_changes() {
            match value {
                Some(value) => drop(self.state.insert(record, value)),
                None => drop(self.state.remove(&record)),
            }
        }
        let low = self.lane.low();
        assert!(low >= self.low, "the low position goes back");
        self.low = low;
        self.longest = self.longest.max(self.state.len());
        self.nothing_is_forgotten();
        while let Some(key) = self.lane.refill_wanted() {
            let (records, more) = first_records(&self.state, key);
            self.lane.refill(key, records, more);
        }
    }

    /// Whether there is a record, with what the lane has changed since the last commit.
    pub(super) fn has(&self, record: &[u8]) -> bool {
        self.lane.changes.get(record).map_or_else(|| self.state.contains_key(record), Option::is_some)
    }

    /// `ROUTE-2`, at a commit: what would be left should the process end here.
    fn nothing_is_forgotten(&self) {
        for (position, key) in self.open.range(..self.low) {
            let letter = |kind| self.state.contains_key(&numbered_key(LANE, kind, *position));
            let waits = self.state.contains_key(&queued_key(LANE, key, *position));
            let is_kept = waits || letter(Kind::Dead) || letter(Kind::Parked);
            assert!(is_kept, "{position} is forgotten; low is {}", self.low);
        }
    }

    /// Dead letters as the state has them, in order of position.
    pub(super) fn dead_letters(&self) -> BTreeMap<u64, (DeadLetter, bool)> {
        let of = |kind, parks| {
            of_kind(&self.state, kind).map(move |(record, value)| {
                (number_of(record).unwrap(), (DeadLetter::read(value).unwrap(), parks))
            })
        };
        of(Kind::Dead, false).chain(of(Kind::Parked, true)).collect()
    }

    /// One, or all in order of position; letters are read behind a commit.
    fn redrive(&mut self, dice: &mut Dice) {
        self.commit();
        let letters = self.dead_letters();
        let one = dice.at(letters.len().max(1));
        let one = letters.keys().nth(one).copied().filter(|_| dice.below(2) == 0);
        for (position, (letter, parks)) in letters {
            if one.is_none_or(|one| one == position) {
                self.redrive_one(position, &letter, parks);
            }
        }
    }

    pub(super) fn redrive_one(&mut self, position: u64, letter: &DeadLetter, parks: bool) {
        let is_under_way = self.redriven.contains(&position);
        if self.lane.redrive(position, letter, parks, 7) {
            assert!(!is_under_way, "{position} is redriven twice");
            self.redriven.insert(position);
            self.redriven_ever.insert(position);
        } else {
            assert!(is_under_way, "{position} is not redriven");
        }
    }

    fn discard(&mut self, dice: &mut Dice) {
        self.commit();
        let letters = self.dead_letters();
        let one = dice.at(letters.len().max(1));
        let Some((position, (letter, parks))) = letters.into_iter().nth(one) else { return };
        let may_be = !self.redriven.contains(&position) && position < self.lane.read_to();
        assert_eq!(
            self.lane.discard(position, letter.key, parks),
            may_be,
            "whether {position} may be discarded"
        );
        if may_be {
            self.discarded.insert(position);
            self.open.remove(&position);
            self.commit();
        }
    }

    pub(super) fn crash(&mut self) {
        self.crashes += 1;
        self.lane = lane_of(&self.state, self.low, self.setting.policy, self.now);
        assert_eq!(self.lane.low(), self.low);
        self.over.extend(self.flights.keys());
        self.flights.clear();
        self.redriven.clear();
        self.highest.clear();
    }

    fn change_policy(&mut self, dice: &mut Dice) {
        if self.setting.changes {
            let policy = &mut self.setting.policy;
            policy.on_failure = [OnFailure::Park, OnFailure::Skip, OnFailure::Halt][dice.at(3)];
            policy.retry.attempts_max = [1, 2, 3][dice.at(3)];
            policy.concurrency = 1 + dice.at(4);
            self.lane.set_policy(*policy);
        }
    }

    /// The target takes everything, letters are redriven, and what was read is worked off to the end.
    pub(super) fn drain(&mut self) {
        let end = self.read_to;
        for _ in 0..20_000 {
            let left = end.saturating_sub(self.lane.read_to());
            self.offer(left);
            self.commit();
            for position in self.lane.wanted(usize::MAX) {
                self.lane.found(event(position));
            }
            while self.dispatch().is_some() {}
            let under_way: Vec<u64> = self.flights.keys().copied().collect();
            under_way.into_iter().for_each(|serial| self.settle_as(serial, Outcome::Delivered(None)));
            self.after();
            if self.lane.is_idle() && self.lane.read_to() >= end {
                self.commit();
                let letters = self.dead_letters();
                if letters.is_empty() {
                    return self.at_end();
                }
                letters.iter().for_each(|(at, (letter, parks))| self.redrive_one(*at, letter, *parks));
            } else if let Some(at) = self.lane.next_wake(self.now) {
                let ms = at.saturating_sub(self.now.mono).as_millis();
                self.pass_ms(u64::try_from(ms).unwrap() + 1);
            }
        }
        panic!("it does not come to an end: {:?}", self.lane.facts());
    }

    fn at_end(&self) {
        assert_eq!(self.state, BTreeMap::new(), "no record is left");
        assert_eq!(self.low, self.lane.read_to());
        assert_eq!(self.open, BTreeMap::new(), "all are delivered or discarded");
        self.check_empty();
        // Whoever drops positions that it has seen gets each once, and where keys wait for what failed, in order.
        if self.setting.policy.on_failure != OnFailure::Skip && !self.setting.changes {
            let mut last: BTreeMap<Key, u64> = BTreeMap::new();
            for position in &self.arrived {
                let last = last.insert(self.setting.key(*position).unwrap(), *position);
                assert!(last.is_none_or(|last| last < *position), "{position} arrived behind {last:?}");
            }
        }
    }
}
