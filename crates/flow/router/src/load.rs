//! The start: subscriptions, lanes, jobs and owed notices as the state has them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use waag_keys::state::{Record, SCAN_RECORDS_MAX, State, Table};
use waag_pattern::Pattern;

use crate::core::{Core, LaneSettle, Stream, Subscription, Totals};
use crate::error::RouterError;
use crate::jobs::Job;
use crate::lane::{Lane, Now};
use crate::letters;
use crate::meter::{Bucket, Meter};
use crate::notice::Notice;
use crate::owed::Owed;
use crate::ports::Means;
use crate::reading::{Reader, Shared};
use crate::records::{Changes, Kind, LaneId, Queued, key_of, lane_key, number_of, prefix, read_cursor};
use crate::registry::{Kept, Loaded, load, next_run};
use crate::router::{Inbox, Message};
use crate::rules::{Rules, Wish};
use crate::shown::{JobKind, JobState};
use crate::spec::{Spec, TargetSpec};

impl Core {
    /// Everything as the state has it, nothing under way.
    pub(crate) fn load(means: Means, inbox: &Arc<Inbox>) -> Result<Self, RouterError> {
        let Loaded { subscriptions, jobs, numbers } = load(&*means.state)?;
        let run = next_run(&*means.state)?;
        let reader = |name| {
            let (source, inbox) = (Arc::clone(&means.source), Arc::clone(inbox));
            let reader = Reader::start(name, source, move |answer| inbox.push(Message::Read(answer)));
            reader.map_err(|error| RouterError::Stopped(format!("a thread cannot be had: {error}")))
        };
        let (newest, past) = (reader("waag-route-new")?, reader("waag-route-past")?);
        let mut core = Self {
            inbox: Arc::clone(inbox),
            newest,
            past,
            run,
            serial: 1,
            numbers,
            subscriptions: BTreeMap::new(),
            names: BTreeMap::new(),
            streams: BTreeMap::new(),
            order: Vec::new(),
            shared: Shared::default(),
            shared_asked: false,
            rules: Arc::new(Rules::default()),
            version: 0,
            jobs: BTreeMap::new(),
            pulls: Vec::new(),
            purges: Vec::new(),
            purge_cursors: Vec::new(),
            owed: Owed::default(),
            letters: BTreeMap::new(),
            changes: Changes::new(),
            registry: Changes::new(),
            committed_at: means.clock.monotonic(),
            shared_not_before: std::time::Duration::ZERO,
            is_winding_up: false,
            stopped: None,
            totals: Totals::default(),
            oldest: None,
            oldest_not_before: std::time::Duration::ZERO,
            means,
        };
        let now = core.now();
        for kept in subscriptions {
            if kept.removed {
                core.purges.push(LaneId { subscription: kept.number, job: 0 });
            } else {
                core.load_subscription(kept, now)?;
            }
        }
        for kept in jobs {
            let id = LaneId { subscription: kept.subscription, job: kept.shown.number };
            if kept.shown.kind == JobKind::Replay && kept.shown.state == JobState::Running {
                core.load_replay(&kept, now)?;
            } else if core.means.state.get(Table::Cursor, &lane_key(id))?.is_some() {
                core.purges.push(id);
            }
            core.jobs.insert(kept.shown.number, Job::new(kept, now.mono));
        }
        core.load_owed()?;
        core.exchange_rules();
        core.sort_lanes();
        Ok(core)
    }

    fn load_subscription(&mut self, kept: Kept, now: Now) -> Result<(), RouterError> {
        let number = kept.number;
        let id = LaneId { subscription: number, job: 0 };
        let cursor = self.means.state.get(Table::Cursor, &lane_key(id))?;
        let cursor = cursor.ok_or(RouterError::Record("a cursor"))?;
        let (low, letters) = read_cursor(&cursor.value)?;
        let mut subscription = self.opened(kept)?;
        subscription.letters = letters;
        let policy = self.policy(subscription.spec(), false);
        let mut lane = Lane::new(id, policy, low);
        fill(&*self.means.state, &mut lane, now)?;
        // Dead letters above the low position were read before, too; not so those that a replay made further on.
        known(&*self.means.state, &mut lane)?;
        for (position, key) in parked(&*self.means.state, number)? {
            lane.load_parked(key, position);
        }
        let stream = self.stream(lane, subscription.spec(), &subscription.wish, None, 0, now);
        self.names.insert(subscription.name.to_string(), number);
        self.subscriptions.insert(number, subscription);
        self.streams.insert(id, stream);
        Ok(())
    }

    fn load_replay(&mut self, kept: &crate::registry::KeptJob, now: Now) -> Result<(), RouterError> {
        let Some(subscription) = self.subscriptions.get(&kept.subscription) else { return Ok(()) };
        let id = LaneId { subscription: kept.subscription, job: kept.shown.number };
        let cursor = self.means.state.get(Table::Cursor, &lane_key(id))?;
        let low = cursor.map_or(Ok((kept.shown.from, 0)), |record| read_cursor(&record.value))?.0;
        let mut lane = Lane::new(id, self.policy(subscription.spec(), true), low);
        fill(&*self.means.state, &mut lane, now)?;
        known(&*self.means.state, &mut lane)?;
        let wish = replay_wish(&subscription.wish, kept)?;
        let (until, rate) = (Some(kept.shown.to), kept.shown.rate);
        let stream = self.stream(lane, subscription.spec(), &wish, until, rate, now);
        self.streams.insert(id, stream);
        Ok(())
    }

    fn load_owed(&mut self) -> Result<(), RouterError> {
        let begin = prefix(LaneId::default(), Kind::Owed);
        let each = &mut |record: &Record| {
            let number = number_of(&record.key).ok_or(RouterError::Record("a notice"))?;
            let notice: Notice =
                serde_json::from_slice(&record.value).map_err(|_| RouterError::Record("a notice"))?;
            self.owed.next = self.owed.next.max(number.saturating_add(1));
            self.owed.notices.insert(number, notice);
            Ok(())
        };
        scan(&*self.means.state, &begin, each)
    }

    /// A subscription from its record.
    pub(crate) fn opened(&self, kept: Kept) -> Result<Subscription, RouterError> {
        let spec = &kept.spec;
        let target = match &spec.target {
            TargetSpec::Pull {} => Ok(None),
            other @ (TargetSpec::Webhook { .. } | TargetSpec::Nats { .. } | TargetSpec::InProcess { .. }) => {
                let secrets = kept.open_secrets(&*self.means.secrets)?;
                self.means.targets.open(&spec.name, other, &secrets).map(Some)
            }
        };
        let transform = spec.transform.as_ref().map(|transform| transform.compile().map(Arc::new));
        Ok(Subscription {
            name: spec.name.as_str().into(),
            wish: wish(kept.number, spec)?,
            since: u64::MAX,
            target,
            transform: transform.transpose().map_err(RouterError::Transform)?,
            letters: 0,
            delivered: 0,
            failed: 0,
            meter: Meter::default(),
            attempts: VecDeque::new(),
            left_alone_until: None,
            kept,
        })
    }

    /// A lane with what it needs around it.
    pub(crate) fn stream(
        &self,
        lane: Lane,
        spec: &Spec,
        wish: &Wish,
        until: Option<u64>,
        rate: u32,
        now: Now,
    ) -> Stream {
        let settle = Arc::new(LaneSettle { lane: lane.id(), inbox: Arc::clone(&self.inbox) });
        Stream {
            lane,
            key: spec.key.clone(),
            own: VecDeque::new(),
            own_asked: false,
            fetch_asked: false,
            not_before: now.mono,
            rules: Arc::new(Rules::new(self.version, std::slice::from_ref(wish))),
            until,
            bucket: Bucket::new(rate, now.mono),
            settle,
            committed: None,
        }
    }

    /// Wishes have changed: chunks that are sorted later know them. They are compiled when the next chunk is read, so that
    /// making many subscriptions compiles them once.
    pub(crate) fn exchange_rules(&mut self) {
        self.version = self.version.saturating_add(1);
        for subscription in self.subscriptions.values_mut() {
            subscription.since = subscription.since.min(self.version);
        }
    }

    /// The rules as they are now.
    pub(crate) fn newest_rules(&mut self) -> Arc<Rules> {
        if self.rules.version != self.version {
            let wishes: Vec<Wish> = self.subscriptions.values().map(|one| one.wish.clone()).collect();
            self.rules = Arc::new(Rules::new(self.version, &wishes));
        }
        Arc::clone(&self.rules)
    }

    /// The order of lanes: by priority, live before replays.
    pub(crate) fn sort_lanes(&mut self) {
        let priority = |id: &LaneId| {
            let of = self.subscriptions.get(&id.subscription).map_or(0, |one| one.spec().priority);
            (std::cmp::Reverse(of), id.job != 0, *id)
        };
        let mut order: Vec<LaneId> = self.streams.keys().copied().collect();
        order.sort_by_key(priority);
        self.order = order;
    }
}

/// What a subscription wants.
pub(crate) fn wish(number: u32, spec: &Spec) -> Result<Wish, RouterError> {
    let pattern = spec.compiled()?.map(Arc::new);
    Ok(Wish { subscription: number, pattern, names_own: spec.names_own() })
}

/// What a replay wants: its own pattern, or the subscription's.
pub(crate) fn replay_wish(of: &Wish, kept: &crate::registry::KeptJob) -> Result<Wish, RouterError> {
    let Some(text) = &kept.shown.pattern else { return Ok(of.clone()) };
    let pattern = Pattern::parse(text.get().as_bytes()).map_err(RouterError::Pattern)?;
    let names_own = crate::spec::names_own_text(text.get());
    Ok(Wish { subscription: of.subscription, pattern: Some(Arc::new(pattern)), names_own })
}

/// Gives a lane its waiting events.
fn fill(state: &dyn State, lane: &mut Lane, now: Now) -> Result<(), RouterError> {
    let begin = prefix(lane.id(), Kind::Queued);
    scan(state, &begin, &mut |record| {
        let key = key_of(&record.key).ok_or(RouterError::Record("a waiting event"))?;
        let position = number_of(&record.key).ok_or(RouterError::Record("a waiting event"))?;
        lane.load(key, position, Queued::read(&record.value)?, now);
        Ok(())
    })
}

/// Tells a lane which events at or above its low position it gave up itself.
fn known(state: &dyn State, lane: &mut Lane) -> Result<(), RouterError> {
    let LaneId { subscription, job } = lane.id();
    let replay = (job != 0).then_some(job);
    let mut next = Some(lane.low());
    while let Some(at) = next {
        let (found, end) = letters::from(state, subscription, at, SCAN_RECORDS_MAX)?;
        let own = found.iter().filter(|found| found.letter.why.replay == replay);
        own.for_each(|found| lane.load_known(found.position));
        next = end;
    }
    Ok(())
}

fn parked(state: &dyn State, subscription: u32) -> Result<Vec<(u64, [u8; 16])>, RouterError> {
    let begin = prefix(LaneId { subscription, job: 0 }, Kind::Parked);
    let mut parked = Vec::new();
    scan(state, &begin, &mut |record| {
        let position = number_of(&record.key).ok_or(RouterError::Record("a dead letter"))?;
        parked.push((position, crate::records::DeadLetter::read(&record.value)?.key));
        Ok(())
    })?;
    Ok(parked)
}

/// Shows every delivery record whose key begins so.
fn scan(
    state: &dyn State,
    begin: &[u8],
    each: &mut dyn FnMut(&Record) -> Result<(), RouterError>,
) -> Result<(), RouterError> {
    let mut after = begin.to_vec();
    loop {
        let records = state.scan(Table::Delivery, Some(&after), SCAN_RECORDS_MAX)?;
        for record in &records {
            if !record.key.starts_with(begin) {
                return Ok(());
            }
            each(record)?;
        }
        match records.last() {
            Some(last) => after.clone_from(&last.key),
            None => return Ok(()),
        }
    }
}
