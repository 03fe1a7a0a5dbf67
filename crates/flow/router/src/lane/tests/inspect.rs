//! What holds of a lane's maps behind every step: each key stands in exactly one place from which it goes on.
//! Not here: what the outside sees (`world`).

use std::collections::BTreeSet;

use crate::lane::queue::{Block, Origin};
use crate::lane::tests::world::{LANE, World, of_key};
use crate::lane::{ITEMS_MAX, Lane};
use crate::records::{Changes, Key, Kind, number_of, numbered_key, prefix, queued_key};

impl Lane {
    /// Whatever an outcome can change.
    pub(super) fn facts(&self) -> (Changes, String) {
        let text = format!(
            "window {:?} read_to {} ready {:?} bodies {:?} refills {:?} due {:?} deadlines {:?} waiting {} parked {} \
             throttled {:?} {:?} effects {:?} known {:?} queues {:?}",
            self.window,
            self.read_to,
            self.ready,
            self.bodies,
            self.refills,
            self.due,
            self.deadlines,
            self.waiting,
            self.parked,
            self.throttled_until,
            self.breaker,
            self.effects,
            self.known,
            self.queues.iter().collect::<std::collections::BTreeMap<_, _>>(),
        );
        (self.changes.clone(), text)
    }
}

impl World {
    /// With all records of each key, where asked.
    pub(super) fn check_lane(&self, with_records: bool) {
        let lane = &self.lane;
        // `ROUTE-5`.
        assert!(lane.window.len() <= self.setting.policy.window_max, "the window is too long");
        assert_eq!(lane.deadlines.len(), lane.flights.len());
        assert_eq!(lane.unsettled, lane.window.iter().filter(|(_, is_settled)| !is_settled).count());
        assert!(lane.window.iter().is_sorted_by(|a, b| a.0 < b.0));
        assert!(lane.window.front().is_none_or(|(_, is_settled)| !is_settled));
        let ready: BTreeSet<&Key> = lane.ready.iter().collect();
        assert_eq!(ready.len(), lane.ready.len(), "a key is ready twice");
        let until = lane.queues.values().filter(|queue| matches!(queue.block, Block::Until(_))).count();
        let parked = lane.queues.values().filter(|queue| queue.is_parked()).count();
        assert_eq!((until, until, parked), (lane.waiting, lane.due.len(), lane.parked));
        let in_window: usize = lane.queues.keys().map(|key| self.check_key(*key)).sum();
        if with_records {
            lane.queues.keys().for_each(|key| self.check_records(*key));
            let begin = prefix(LANE, Kind::Queued);
            let records: BTreeSet<&Vec<u8>> = lane.changes.keys().chain(self.state.keys()).collect();
            let queued =
                records.iter().filter(|record| record.starts_with(&begin) && self.has(record)).count();
            assert_eq!(lane.queued, queued as u64, "what waits is counted");
        }
        assert_eq!(in_window, lane.unsettled, "what is not settled stands in a queue");
        for key in lane.refills.iter().chain(&lane.ready) {
            assert!(lane.queues.contains_key(key), "a key without a queue is listed");
        }
    }

    /// How many of its events are in the window.
    fn check_key(&self, key: Key) -> usize {
        let (lane, queue) = (&self.lane, &self.lane.queues[&key]);
        let of = |origin| queue.items.iter().filter(move |item| item.origin == origin).count();
        let (in_window, queued) = (of(Origin::Window), of(Origin::Queued));
        assert!(in_window == 0 || queued == 0, "a queue has records and what has none");
        assert!(queued <= ITEMS_MAX, "{queued} waiting events of key {} in memory", key[0]);
        let sorted =
            queue.items.iter().skip(usize::from(queue.is_out)).is_sorted_by(|a, b| a.position < b.position);
        assert!(sorted, "key {} is not in order", key[0]);

        let flight = lane.flights.values().filter(|flight| flight.key == key).count();
        assert_eq!(flight, usize::from(queue.is_out));
        assert_eq!(queue.is_ready, lane.ready.contains(&key));
        let head = queue.items.front();
        let goes_on = queue.is_out
            || queue.is_ready
            || queue.block != Block::None
            || head.is_some_and(|head| lane.bodies.contains_key(&head.position))
            || lane.refills.contains(&key);
        assert!(goes_on, "key {} is stuck: {queue:?}", key[0]);
        assert!(!(queue.is_out && queue.is_ready));

        for item in &queue.items {
            let record = match item.origin {
                Origin::Window => {
                    assert!(lane.window.contains(&(item.position, false)));
                    continue;
                }
                Origin::Queued => queued_key(LANE, &key, item.position),
                Origin::Dead { parks } => {
                    numbered_key(LANE, if parks { Kind::Parked } else { Kind::Dead }, item.position)
                }
            };
            assert!(self.has(&record), "{} has no record", item.position);
        }
        in_window
    }

    /// What is in memory of a key is the beginning of what is in the state.
    fn check_records(&self, key: Key) {
        let queue = &self.lane.queues[&key];
        let in_memory: BTreeSet<u64> = queue
            .items
            .iter()
            .filter(|item| item.origin == Origin::Queued)
            .map(|item| item.position)
            .collect();
        let changed = of_key(&self.lane.changes, key).map(|(record, _)| record);
        let in_state: BTreeSet<u64> = of_key(&self.state, key)
            .map(|(record, _)| record)
            .chain(changed)
            .filter(|record| self.has(record))
            .filter_map(|record| number_of(record))
            .collect();
        if queue.more {
            let beyond = in_state.difference(&in_memory).next();
            let last = in_memory.last();
            assert!(last.is_none() || beyond.is_none() || last < beyond, "what is in memory comes first");
        } else {
            assert_eq!(in_memory, in_state, "key {}", key[0]);
        }
    }

    pub(super) fn check_empty(&self) {
        let lane = &self.lane;
        assert!(lane.is_idle());
        assert_eq!(lane.oldest(), None);
        assert_eq!((lane.waiting(), lane.in_flight(), lane.pending()), ((0, 0), 0, 0));
        assert!(lane.window.is_empty() && lane.queues.is_empty() && lane.ready.is_empty());
        assert!(lane.bodies.is_empty() && lane.refills.is_empty() && lane.due.is_empty());
        assert!(
            lane.deadlines.is_empty()
                && lane.known.is_empty()
                && lane.settled.is_empty()
                && lane.effects.is_empty()
        );
        assert_eq!(lane.low(), lane.read_to());
    }
}
