//! Lanes get their events: from the shared stretch while they keep up, from reads of their own while they do not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use waag_keys::state::{SCAN_RECORDS_MAX, Table};

use crate::core::{Core, Stream};
use crate::error::RouterError;
use crate::key::key_of;
use crate::lane::{ITEMS_MAX, Now};
use crate::reading::{CHUNK, Request};
use crate::records::{Kind, LaneId, Queued, number_of, prefix};
use crate::rules::Sorted;

/// A lane that is so many events from the shared stretch at most waits for it rather than reading by itself.
const NEAR_EVENTS: u64 = 16_384;
/// The shared stretch is read at most so far ahead of who is furthest.
const AHEAD_EVENTS: u64 = 16_384;
/// Most chunks that wait for one lane.
const OWN_CHUNKS_MAX: usize = 2;
/// Most events that are read again for one lane at a time.
const PICKED_MAX: usize = 256;
/// Most keys whose records are read in one turn.
const REFILLS_MAX: usize = 256;

impl Core {
    /// Gives lanes what was read.
    pub(crate) fn feed(&mut self, now: Now) {
        let held = self.held();
        for at in 0..self.order.len() {
            let Some(id) = self.order.get(at).copied() else { break };
            if self.is_fed(id, &held) {
                self.feed_one(id, now);
            }
        }
    }

    /// Subscriptions whose dead letters have to go before anything newer.
    pub(crate) fn held(&self) -> BTreeSet<u32> {
        self.jobs.values().filter(|job| job.goes_first()).map(|job| job.kept.subscription).collect()
    }

    /// Whether a lane takes events: it delivers, and no dead letter has to go before them.
    fn is_fed(&self, id: LaneId, held: &BTreeSet<u32>) -> bool {
        let delivers = self.subscriptions.get(&id.subscription).is_some_and(|one| one.delivers());
        delivers && (id.job != 0 || !held.contains(&id.subscription))
    }

    fn feed_one(&mut self, id: LaneId, now: Now) {
        let since = self.subscriptions.get(&id.subscription).map_or(u64::MAX, |one| one.since);
        let Some(stream) = self.streams.get_mut(&id) else { return };
        loop {
            let read_to = stream.lane.read_to();
            let mut most = stream.lane.room().min(stream.bucket.ready(now.mono));
            if most == 0 || stream.until.is_some_and(|until| read_to >= until) {
                return;
            }
            while stream.own.front().is_some_and(|chunk| chunk.end <= read_to) {
                stream.own.pop_front();
            }
            let shared = || self.shared.chunk(read_to).filter(|chunk| id.job == 0 && chunk.version >= since);
            let Some(chunk) = stream.own.front().or_else(shared).cloned() else { return };
            if chunk.from > read_to {
                // Read for a place that the lane has left: it is not needed.
                stream.own.clear();
                return;
            }
            take(stream, &chunk, id.subscription, &mut most);
        }
    }

    /// Asks for what lanes need next.
    pub(crate) fn read_ahead(&mut self, now: Now) {
        let (end, held) = (self.means.source.end().0, self.held());
        let fed: Vec<LaneId> = self.order.iter().copied().filter(|id| self.is_fed(*id, &held)).collect();
        if now.mono >= self.shared_not_before {
            self.read_shared(&fed, end);
        }
        for id in fed {
            self.read_own(id, end, now);
        }
    }

    fn read_shared(&mut self, fed: &[LaneId], end: u64) {
        if self.shared_asked {
            return;
        }
        let live = || fed.iter().filter(|id| id.job == 0).filter_map(|id| self.streams.get(id));
        let near = |stream: &&Stream| self.shared.is_near(stream.lane.read_to(), NEAR_EVENTS);
        let mut furthest = live().filter(near).map(|stream| stream.lane.read_to()).max();
        if furthest.is_none() {
            // Nobody is near: begin anew where most are, or at the end where there is nobody.
            let mut places: BTreeMap<u64, (usize, u64)> = BTreeMap::new();
            for stream in live() {
                let read_to = stream.lane.read_to();
                let place = places.entry(read_to / NEAR_EVENTS).or_insert((0, read_to));
                *place = (place.0.saturating_add(1), place.1.min(read_to));
            }
            furthest = places.values().max_by_key(|(many, at)| (*many, *at)).map(|(_, at)| *at);
            self.shared.begin(furthest.unwrap_or(end));
        }
        let from = self.shared.end();
        if furthest.is_some_and(|furthest| from < end && from < furthest.saturating_add(AHEAD_EVENTS)) {
            let rules = self.newest_rules();
            self.shared_asked = self.newest.ask(Request::Chunk { lane: None, from, to: end, rules });
        }
    }

    fn read_own(&mut self, id: LaneId, end: u64, now: Now) {
        let since = self.subscriptions.get(&id.subscription).map_or(u64::MAX, |one| one.since);
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let read_to = stream.lane.read_to();
        let is_full = stream.own.len() >= OWN_CHUNKS_MAX || stream.lane.room() == 0;
        if stream.own_asked || is_full || now.mono < stream.not_before {
            return;
        }
        let from = stream.own.back().map_or(read_to, |chunk| chunk.end);
        let mut to = stream.until.map_or(end, |until| until.min(end));
        if id.job == 0 && self.shared.is_near(from, NEAR_EVENTS) {
            // The shared stretch has it or will have it, but for chunks that were sorted before its wish was known.
            match self.shared.chunk(from) {
                Some(chunk) if chunk.version < since => to = to.min(chunk.end),
                Some(_) | None => return,
            }
        }
        if from >= to {
            return;
        }
        let rules = Arc::clone(&stream.rules);
        stream.own_asked = self.past.ask(Request::Chunk { lane: Some(id), from, to, rules });
    }

    /// Asks for events that failed and go again.
    pub(crate) fn fetch(&mut self, now: Now) {
        for (id, stream) in &mut self.streams {
            if stream.fetch_asked || now.mono < stream.not_before {
                continue;
            }
            let positions = stream.lane.wanted(PICKED_MAX);
            if !positions.is_empty() {
                stream.fetch_asked = self.past.ask(Request::Pick { lane: *id, positions });
            }
        }
    }

    /// Reads records of keys whose events in memory are worked off; whether there were any.
    pub(crate) fn refill(&mut self, now: Now) -> bool {
        let is_wanted = |stream: &Stream| stream.lane.refill_wanted().is_some();
        if !self.streams.values().any(is_wanted) {
            return false;
        }
        // What is read is what is committed.
        self.commit(now);
        if self.stopped.is_some() {
            return false;
        }
        let wanting: Vec<LaneId> =
            self.streams.iter().filter(|(_, stream)| is_wanted(stream)).map(|(id, _)| *id).collect();
        let mut left = REFILLS_MAX;
        for id in wanting {
            while let Some(key) = self.streams.get(&id).and_then(|stream| stream.lane.refill_wanted()) {
                if left == 0 {
                    return true;
                }
                left -= 1;
                match self.records_of(id, &key) {
                    Ok((records, more)) => {
                        if let Some(stream) = self.streams.get_mut(&id) {
                            stream.lane.refill(key, records, more);
                        }
                    }
                    Err(error) => {
                        self.stopped = Some(format!("{}: {error}", error.code()));
                        return false;
                    }
                }
            }
        }
        true
    }

    fn records_of(&self, id: LaneId, key: &[u8; 16]) -> Result<(Vec<(u64, Queued)>, bool), RouterError> {
        let mut begin = prefix(id, Kind::Queued);
        begin.extend_from_slice(key);
        let most = ITEMS_MAX.saturating_add(1).min(SCAN_RECORDS_MAX);
        let records = self.means.state.scan(Table::Delivery, Some(&begin), most)?;
        let mut found = Vec::new();
        for record in records.iter().filter(|record| record.key.starts_with(&begin)) {
            let position = number_of(&record.key).ok_or(RouterError::Record("a waiting event"))?;
            found.push((position, Queued::read(&record.value)?));
        }
        let more = found.len() > ITEMS_MAX;
        found.truncate(ITEMS_MAX);
        Ok((found, more))
    }
}

/// Offers what a lane wants of a chunk, as many as may be.
fn take(stream: &mut Stream, chunk: &Sorted, subscription: u32, most: &mut usize) {
    let until = stream.until.unwrap_or(u64::MAX);
    for event in chunk.wanted_by(subscription, stream.lane.read_to()) {
        if event.position.0 >= until {
            break;
        }
        if *most == 0 {
            // What lies between is none of this lane's.
            stream.lane.passed(event.position.0);
            return;
        }
        *most -= 1;
        stream.bucket.take(1);
        let key = key_of(event, &stream.key);
        stream.lane.offer(Arc::clone(event), key);
    }
    stream.lane.passed(chunk.end.min(until));
}

const _: () =
    assert!(CHUNK.events_max as u64 <= NEAR_EVENTS, "a lane that is near finds its place in the next chunks");
