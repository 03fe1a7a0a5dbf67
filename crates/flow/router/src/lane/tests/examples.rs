//! Given events, when something happens, then these go: an example of each policy and of each way to fail.
//!
//! Events are numbers, whose last digit is their key: 1, 11 and 21 are of one key, 2 and 12 of another.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use waag_model::time::UtcNanos;

use crate::lane::tests::world::{LANE, event, failed, first_records, lane_of};
use crate::lane::{Effect, ITEMS_MAX, Lane, Now, Policy, Redriven};
use crate::records::{DeadLetter, Kind, Why, numbered_key};
use crate::spec::{OnFailure, Retry};
use crate::target::{Class, Outcome};

const NONE: [u64; 0] = [];

/// A lane, what is committed of it, and which serials are under way.
struct Case {
    lane: Lane,
    policy: Policy,
    now: Now,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    low: u64,
    serial: u64,
    under_way: BTreeMap<u64, u64>,
}

fn given(on_failure: OnFailure, positions: &[u64]) -> Case {
    let retry = Retry { attempts_max: 2, age_s_max: 100_000, delay_ms_min: 100, delay_ms_max: 1_000 };
    let timeout = Duration::from_secs(30);
    let policy = Policy { concurrency: 9, timeout, retry, on_failure, breaks: false, window_max: 64 };
    let now = Now { mono: Duration::from_secs(50), utc: UtcNanos(1_700_000_000_000_000_000) };
    let (state, under_way) = (BTreeMap::new(), BTreeMap::new());
    let mut case =
        Case { lane: Lane::new(LANE, policy, 0), policy, now, state, low: 0, serial: 0, under_way };
    case.offered(positions);
    case
}

impl Case {
    fn offered(&mut self, positions: &[u64]) {
        positions.iter().for_each(|at| self.lane.offer(event(*at), [u8::try_from(at % 10).unwrap(); 16]));
    }

    /// Which events go under way; what has to be read for it is.
    fn goes(&mut self) -> Vec<u64> {
        let mut gone = Vec::new();
        loop {
            self.lane.wanted(9).into_iter().for_each(|at| self.lane.found(event(at)));
            self.serial += 1;
            let Some(attempt) = self.lane.dispatch(self.serial, self.now) else {
                if self.lane.wanted(1).is_empty() {
                    return gone;
                }
                continue;
            };
            self.under_way.insert(attempt.event.position.0, self.serial);
            gone.push(attempt.event.position.0);
        }
    }

    fn comes_back(&mut self, position: u64, outcome: Outcome) {
        let serial = self.under_way.remove(&position).unwrap();
        assert!(self.lane.settle(serial, outcome, self.now).is_some());
    }

    fn is_delivered(&mut self, position: u64) {
        self.comes_back(position, Outcome::Delivered(None));
    }

    fn fails(&mut self, position: u64, class: Class) {
        self.comes_back(position, failed(class, None));
    }

    fn after_ms(&mut self, ms: u64) {
        self.now.mono += Duration::from_millis(ms);
        self.now.utc.0 += i64::try_from(ms).unwrap() * 1_000_000;
        drop(self.lane.wake(self.now));
    }

    fn is_committed(&mut self) {
        for (record, value) in self.lane.take_changes() {
            match value {
                Some(value) => drop(self.state.insert(record, value)),
                None => drop(self.state.remove(&record)),
            }
        }
        self.low = self.lane.low();
        while let Some(key) = self.lane.refill_wanted() {
            let (records, more) = first_records(&self.state, key);
            self.lane.refill(key, records, more);
        }
    }

    fn crashes(&mut self) {
        self.lane = lane_of(&self.state, self.low, self.policy, self.now);
        self.under_way.clear();
    }

    fn letter(&self, position: u64, kind: Kind) -> DeadLetter {
        DeadLetter::read(&self.state[&numbered_key(LANE, kind, position)]).unwrap()
    }

    fn is_redriven(&mut self, position: u64, kind: Kind) -> bool {
        let letter = self.letter(position, kind);
        self.lane.redrive(position, &letter, kind == Kind::Parked, 7)
    }

    fn is_discarded(&mut self, position: u64, kind: Kind) -> bool {
        let key = self.letter(position, kind).key;
        self.lane.discard(position, key, kind == Kind::Parked)
    }
}

#[test]
fn park_keeps_the_key_until_its_dead_letter_is_redriven() {
    let mut case = given(OnFailure::Park, &[1, 2, 11, 12]);
    assert_eq!(case.goes(), [1, 2]);
    case.fails(1, Class::Terminal);
    case.is_delivered(2);
    assert_eq!(case.goes(), [12], "the other key goes on, this one waits");
    case.offered(&[21]);
    assert_eq!((case.goes(), case.lane.waiting()), (vec![], (0, 1)));
    case.is_committed();
    assert_eq!(case.low, 12, "nothing of the parked key keeps reading back");
    assert!(case.is_redriven(1, Kind::Parked));
    for position in [1, 11, 21] {
        assert_eq!(case.goes(), [position]);
        case.is_delivered(position);
    }
    case.is_committed();
    assert!(case.state.is_empty());
}

#[test]
fn park_lets_the_key_go_on_when_its_dead_letter_is_discarded() {
    let mut case = given(OnFailure::Park, &[1, 11]);
    assert_eq!(case.goes(), [1]);
    case.fails(1, Class::Terminal);
    case.is_committed();
    assert!(case.is_discarded(1, Kind::Parked));
    assert_eq!(case.goes(), [11]);
}

#[test]
fn skip_goes_on_and_a_redriven_event_goes_before_what_is_not_under_way() {
    let mut case = given(OnFailure::Skip, &[1, 11, 21]);
    assert_eq!(case.goes(), [1]);
    case.fails(1, Class::Terminal);
    assert_eq!(case.goes(), [11], "it is left behind");
    case.is_committed();
    assert!(case.is_redriven(1, Kind::Dead));
    assert_eq!(case.goes(), NONE, "one at a time");
    case.is_delivered(11);
    assert_eq!(case.goes(), [1]);
    case.is_delivered(1);
    assert_eq!(case.goes(), [21]);
    assert!(case.lane.take_effects().contains(&Effect::Redriven(1, Redriven::Delivered)));
}

#[test]
fn a_redriven_event_goes_before_one_that_could_have_gone_at_once() {
    let mut case = given(OnFailure::Skip, &[1, 2, 11]);
    case.policy.concurrency = 1;
    case.lane.set_policy(case.policy);
    assert_eq!(case.goes(), [1]);
    case.fails(1, Class::Terminal);
    assert_eq!(case.goes(), [2], "11 is ready, and there is one way");
    case.is_committed();
    assert!(case.is_redriven(1, Kind::Dead));
    case.is_delivered(2);
    assert_eq!(case.goes(), [1]);
    case.is_delivered(1);
    assert_eq!(case.goes(), [11]);
}

#[test]
fn halt_stops_and_its_key_waits() {
    let mut case = given(OnFailure::Halt, &[1, 2, 11]);
    assert_eq!(case.goes(), [1, 2]);
    case.fails(1, Class::Terminal);
    let effects = case.lane.take_effects();
    assert!(matches!(
        effects[..],
        [Effect::GaveUp { position: 1, parks: true, .. }, Effect::Halted("E1147", _)]
    ));
    assert_eq!(case.goes(), NONE, "11 waits; whether others go is decided by who was told");
}

#[test]
fn a_transient_failure_is_tried_again_until_attempts_are_used_up() {
    let mut case = given(OnFailure::Skip, &[1, 2, 11]);
    assert_eq!(case.goes(), [1, 2]);
    case.fails(1, Class::Transient);
    assert_eq!((case.goes(), case.lane.waiting()), (vec![], (1, 0)), "its key waits with it");
    case.after_ms(100);
    assert_eq!(case.goes(), [1]);
    case.fails(1, Class::Transient);
    assert_eq!(case.goes(), [11]);
    case.is_committed();
    assert_eq!(case.letter(1, Kind::Dead).attempts, 2);
    assert_eq!(case.letter(1, Kind::Dead).why.class, "transient");
}

#[test]
fn a_throttling_target_is_left_alone_for_an_hour_at_most_and_no_attempt_is_counted() {
    let mut case = given(OnFailure::Skip, &[1, 2]);
    case.policy.concurrency = 1;
    case.lane.set_policy(case.policy);
    for _ in 0..5 {
        let gone = case.goes();
        assert_eq!(gone.len(), 1);
        case.comes_back(gone[0], failed(Class::Throttled, Some(Duration::MAX)));
        case.after_ms(3_599_999);
        assert_eq!(case.goes(), NONE);
        case.after_ms(1);
    }
    assert_eq!(case.goes().len(), 1, "it is still tried");
}

#[test]
fn an_event_stays_when_its_target_is_gone() {
    let mut case = given(OnFailure::Skip, &[1]);
    for _ in 0..3 {
        assert_eq!(case.goes(), [1]);
        case.fails(1, Class::Gone);
        assert_eq!(case.lane.take_effects(), [Effect::Disabled("E1160", "made up".to_owned())]);
        case.after_ms(1_000);
    }
    assert_eq!(case.goes(), [1]);
}

#[test]
fn a_refusal_for_good_shows_that_the_target_is_there() {
    let mut case = given(OnFailure::Skip, &[1, 2, 3, 4, 5, 6]);
    case.policy.breaks = true;
    case.lane.set_policy(case.policy);
    assert_eq!(case.goes(), [1, 2, 3, 4, 5, 6]);
    let is_alone = |case: &mut Case| {
        let effects = case.lane.take_effects();
        effects.iter().filter(|effect| matches!(effect, Effect::LeftAlone(_))).count()
    };
    (1..=4).for_each(|at| case.fails(at, Class::Transient));
    case.fails(5, Class::Terminal);
    case.fails(6, Class::Transient);
    assert_eq!(is_alone(&mut case), 0, "four failed, then it answered");
    case.after_ms(5_000);
    assert_eq!(case.goes().into_iter().collect::<BTreeSet<u64>>(), BTreeSet::from([1, 2, 3, 4, 6]));
    [1, 2, 3, 4].into_iter().for_each(|at| case.fails(at, Class::Transient));
    assert_eq!(is_alone(&mut case), 1, "with the one before it is five keys in a row");
    case.fails(6, Class::Terminal);
    assert!(case.lane.take_effects().contains(&Effect::Recovered), "it is there again");
}

#[test]
fn an_outcome_behind_its_time_is_refused() {
    let mut case = given(OnFailure::Park, &[1]);
    assert_eq!(case.goes(), [1]);
    let serial = case.under_way[&1];
    case.after_ms(30_000);
    assert_eq!(case.lane.settle(serial, Outcome::Delivered(None), case.now), None);
    assert!(!case.lane.extend(serial, case.now));
    case.after_ms(100);
    assert_eq!(case.goes(), [1], "the second attempt counts");
}

#[test]
fn after_a_crash_what_was_delivered_does_not_come_behind_what_waits() {
    let mut case = given(OnFailure::Park, &[2, 11, 21, 31]);
    assert_eq!(case.goes(), [2, 11], "2 takes long, so reading begins with it after a crash");
    case.is_delivered(11);
    assert_eq!(case.goes(), [21]);
    case.is_delivered(21);
    assert_eq!(case.goes(), [31]);
    case.fails(31, Class::Transient);
    case.is_committed();
    case.crashes();
    case.offered(&[2, 11, 21, 31, 41]);
    case.after_ms(100);
    assert_eq!(case.goes(), [2, 31]);
    case.is_delivered(31);
    assert_eq!(case.goes(), [41]);
}

#[test]
fn what_was_discarded_does_not_come_back_with_a_crash() {
    let mut case = given(OnFailure::Park, &[2, 11]);
    assert_eq!(case.goes(), [2, 11]);
    case.fails(11, Class::Terminal);
    case.is_committed();
    assert_eq!(case.low, 2, "reading would begin with the slow one");
    assert!(case.is_discarded(11, Kind::Parked));
    case.is_committed();
    case.crashes();
    let read_again: Vec<u64> = [2, 11].into_iter().filter(|at| *at >= case.low).collect();
    case.offered(&read_again);
    assert_eq!(case.goes(), [2]);
}

#[test]
fn a_dead_letter_is_discarded_or_redriven_once_however_old_the_look_at_it_is() {
    let mut case = given(OnFailure::Skip, &[1, 2]);
    assert_eq!(case.goes(), [1, 2]);
    case.fails(1, Class::Terminal);
    case.fails(2, Class::Terminal);
    case.is_committed();
    assert!(case.is_redriven(1, Kind::Dead) && !case.is_redriven(1, Kind::Dead));
    assert!(!case.is_discarded(1, Kind::Dead), "it is tried again");
    assert_eq!(case.goes(), [1]);
    case.is_delivered(1);
    // The state has its record until the next commit.
    assert!(!case.is_redriven(1, Kind::Dead) && !case.is_discarded(1, Kind::Dead));
    assert!(case.is_discarded(2, Kind::Dead) && !case.is_discarded(2, Kind::Dead));
    assert_eq!(case.goes(), NONE);
}

#[test]
fn a_redriven_event_keeps_its_place_behind_records_that_are_not_in_memory() {
    let all: Vec<u64> = (1..=40).map(|at| at * 10 + 1).collect();
    let mut case = given(OnFailure::Skip, &all);
    for position in &all {
        assert_eq!(case.goes(), [*position]);
        case.fails(*position, Class::Terminal);
    }
    case.is_committed();
    let but_last = &all[..39];
    but_last.iter().for_each(|at| assert!(case.is_redriven(*at, Kind::Dead)));
    assert_eq!(case.goes(), [11]);
    case.fails(11, Class::Transient);
    case.is_committed();
    assert!(case.is_redriven(401, Kind::Dead));
    case.after_ms(100);
    for position in &all[..ITEMS_MAX] {
        assert_eq!(case.goes(), [*position]);
        case.is_delivered(*position);
    }
    assert_eq!(case.goes(), NONE, "171 comes next, from the state, and not 401");
    assert!(case.lane.refill_wanted().is_some());
}

#[test]
fn what_a_replay_gave_up_is_not_redriven_before_the_lane_itself_has_come_to_it() {
    let mut case = given(OnFailure::Park, &[1, 11]);
    let why = Why { replay: Some(4), ..Why::default() };
    let letter = DeadLetter { key: [1; 16], attempts: 2, first: UtcNanos(1), last: UtcNanos(2), job: 0, why };
    assert!(!case.lane.redrive(51, &letter, false, 7), "1 and 11, and all up to 51, come first");
    case.lane.passed(52);
    assert!(case.lane.redrive(51, &letter, false, 7));
}

/// `ROUTE-4`: others are delivered at once, however small the window is.
#[test]
fn one_key_that_only_fails_or_hangs_holds_up_no_other() {
    for (on_failure, class) in [
        (OnFailure::Park, Some(Class::Transient)),
        (OnFailure::Park, Some(Class::Terminal)),
        (OnFailure::Skip, Some(Class::Transient)),
        (OnFailure::Skip, None),
    ] {
        let mut case = given(on_failure, &[]);
        (case.policy.window_max, case.policy.concurrency) = (4, 2);
        case.lane.set_policy(case.policy);
        let (mut next, mut delivered, mut turns) = (0, 0, 0);
        while delivered < 300 {
            turns += 1;
            assert!(turns < 1_200, "{on_failure:?} {class:?}: {delivered} delivered");
            while case.lane.room() > 0 {
                case.lane.offer(event(next), [u8::try_from(next % 3).unwrap(); 16]);
                next += 1;
            }
            drop(case.goes());
            for position in case.under_way.keys().copied().collect::<Vec<_>>() {
                match class {
                    _ if position % 3 != 0 => {
                        case.is_delivered(position);
                        delivered += 1;
                    }
                    Some(class) => case.fails(position, class),
                    None => assert!(case.lane.extend(case.under_way[&position], case.now)),
                }
            }
            case.after_ms(10);
            case.is_committed();
        }
        assert!(next <= 600, "{on_failure:?} {class:?}: {next} read for {delivered}");
    }
}
