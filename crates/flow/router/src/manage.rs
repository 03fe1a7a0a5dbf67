//! Commands: making, changing, pausing and removing subscriptions, and beginning and ending jobs. Each is durable, and owed
//! to the ledger as an event with its actor, before it is answered.

use std::sync::Arc;

use serde_json::{Value, json};
use waag_keys::state::Table;
use waag_model::ids::{Actor, Position};

use crate::core::{Core, Subscription};
use crate::error::{NO_TARGET, RouterError};
use crate::jobs::Job;
use crate::lane::{Lane, Now};
use crate::letters::hex;
use crate::load::replay_wish;
use crate::notice::{CHANGED, CREATED, JOB_STARTED, REMOVED, SWITCHED};
use crate::ports::Secret;
use crate::records::{LaneId, lane_key};
use crate::registry::{
    Kept, KeptJob, NUMBERS_KEY, SUBSCRIPTIONS_MAX, job_key, numbers_value, subscription_key,
};
use crate::shown::{
    Changed, Created, Detail, Figures, JobKind, JobShown, JobState, Overview, PARKED_SHOWN_MAX, ParkedKey,
    Standing,
};
use crate::spec::{Change, Spec, Start};

/// Most records of a removed subscription that are removed in one turn.
const PURGED_MAX: usize = 512;
/// Longest secret of a target, in bytes.
const SECRET_BYTES_MAX: usize = 4_096;
/// Most jobs in one answer.
const JOBS_SHOWN_MAX: usize = 200;

impl Core {
    /// The number of a subscription.
    pub(crate) fn number(&self, name: &str) -> Result<u32, RouterError> {
        if let Some(why) = &self.stopped {
            return Err(RouterError::Stopped(why.clone()));
        }
        self.names.get(name).copied().ok_or_else(|| RouterError::Unknown(name.chars().take(64).collect()))
    }

    fn named(&mut self, name: &str) -> Result<&mut Subscription, RouterError> {
        let number = self.number(name)?;
        self.subscriptions.get_mut(&number).ok_or_else(|| RouterError::Unknown(name.to_owned()))
    }

    /// Commits what was decided, and says whether it is durable.
    fn settle_all(&mut self) -> Result<(), RouterError> {
        let now = self.now();
        self.commit(now);
        match &self.stopped {
            None => Ok(()),
            Some(why) => Err(RouterError::Stopped(why.clone())),
        }
    }

    pub(crate) fn create(
        &mut self,
        spec: Spec,
        start: u64,
        secret: Option<Secret>,
        by: &Actor,
    ) -> Result<Created, RouterError> {
        if let Some(why) = &self.stopped {
            return Err(RouterError::Stopped(why.clone()));
        }
        if self.names.contains_key(&spec.name) {
            return Err(RouterError::Exists(spec.name));
        }
        if self.subscriptions.len() >= SUBSCRIPTIONS_MAX {
            return Err(RouterError::TooMany(SUBSCRIPTIONS_MAX));
        }
        spec.check()?;
        let now = self.now();
        if let Start::Time(time) = spec.start
            && time > now.utc
        {
            // It would begin with the next event, whenever that comes.
            return Err(RouterError::Span("a subscription's start is not in the future".to_owned()));
        }
        let number = self.numbers.0.saturating_add(1);
        let mut kept = Kept {
            v: 1,
            number,
            spec,
            standing: Standing::Active,
            created_ns: now.utc.0,
            created_by: by.as_str().to_owned(),
            secrets: Vec::new(),
            removed: false,
        };
        let told = self.give_secret(&mut kept, secret)?;
        let subscription = self.opened(kept)?;
        if let Err(why) = &subscription.target {
            return Err(RouterError::Target(why.clone()));
        }
        self.numbers.0 = number;
        self.registry.insert(NUMBERS_KEY.to_vec(), Some(numbers_value(self.numbers)));
        let id = LaneId { subscription: number, job: 0 };
        let lane = Lane::new(id, self.policy(subscription.spec(), false), start);
        let stream = self.stream(lane, subscription.spec(), &subscription.wish, None, 0, now);
        let name = subscription.name.to_string();
        let data = described(subscription.spec());
        self.names.insert(name.clone(), number);
        self.subscriptions.insert(number, subscription);
        self.streams.insert(id, stream);
        self.changed_lanes();
        self.keep(number);
        self.owe(CREATED, format!("created-{number}"), None, Some(by.as_str().to_owned()), data);
        self.settle_all()?;
        Ok(Created { overview: self.overview_of(number)?, secret: told })
    }

    /// Puts the secret that was given, or a new one, into a record; the new one is to be told.
    fn give_secret(&self, kept: &mut Kept, given: Option<Secret>) -> Result<Option<String>, RouterError> {
        let new = |spec: &Spec| self.means.targets.new_secret(&spec.target).map_err(RouterError::Target);
        if given.is_some() && kept.spec.target.secret_place().is_none() {
            let kind = kept.spec.target.kind();
            return Err(RouterError::NoSecret(format!("a target of kind `{kind}` has no secret")));
        }
        let (secret, is_told) = match given {
            Some(secret) => (Some(secret), false),
            None => (new(&kept.spec)?, true),
        };
        let Some(secret) = secret else { return Ok(None) };
        if secret.0.len() > SECRET_BYTES_MAX {
            return Err(RouterError::Target(format!("a secret has at most {SECRET_BYTES_MAX} bytes")));
        }
        kept.add_secret(&secret, &*self.means.secrets)?;
        Ok(is_told.then(|| secret.0.to_string()))
    }

    /// Rules, windows and the order follow from which lanes there are.
    pub(crate) fn changed_lanes(&mut self) {
        self.exchange_rules();
        self.sort_lanes();
        let policies: Vec<(LaneId, _)> = (self.streams.keys())
            .filter_map(|id| {
                Some((*id, self.policy(self.subscriptions.get(&id.subscription)?.spec(), id.job != 0)))
            })
            .collect();
        for (id, policy) in policies {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.lane.set_policy(policy);
            }
        }
    }

    pub(crate) fn alter(&mut self, change: Change, by: &Actor) -> Result<Changed, RouterError> {
        let Change { mut spec, says_start } = change;
        let number = self.number(&spec.name)?;
        let now = self.now();
        let old = self.named(&spec.name.clone())?;
        let before = &old.kept.spec;
        if says_start && spec.start != before.start {
            let why = "where a subscription began stays; `waag replay` delivers what was before";
            return Err(RouterError::Span(why.to_owned()));
        }
        spec.start = before.start;
        spec.check()?;
        let is_moved = spec.target != before.target;
        let is_elsewhere = spec.target.secret_place() != before.target.secret_place();
        let mut kept = Kept { spec, ..old.kept.clone() };
        let had_secret = !kept.secrets.is_empty();
        if is_elsewhere {
            // The old place's secret would be told to the new one.
            kept.secrets.clear();
        }
        let told = if kept.secrets.is_empty() { self.give_secret(&mut kept, None)? } else { None };
        let mut subscription = self.opened(kept)?;
        if let Err(why) = &subscription.target {
            return Err(RouterError::Target(why.clone()));
        }
        let mut data = described(subscription.spec());
        if let Some(data) = data.as_object_mut() {
            let became =
                if told.is_some() { Some("made") } else { (is_elsewhere && had_secret).then_some("dropped") };
            data.extend(became.map(|became| ("secret".to_owned(), Value::from(became))));
        }
        if let Some(old) = self.subscriptions.remove(&number) {
            subscription.letters = old.letters;
            subscription.delivered = old.delivered;
            subscription.failed = old.failed;
            subscription.meter = old.meter;
            subscription.attempts = old.attempts;
            subscription.left_alone_until = old.left_alone_until.filter(|_| !is_moved);
        }
        let version = self.version.saturating_add(1);
        let own = Arc::new(crate::rules::Rules::new(version, std::slice::from_ref(&subscription.wish)));
        let live = LaneId { subscription: number, job: 0 };
        for (id, stream) in self.streams.range_mut(live..=LaneId { job: u32::MAX, ..live }) {
            // What was read belongs to the old pattern and keeps its key, after a crash as well.
            stream.lane.spill(u64::MAX);
            if is_moved {
                // How the target before it fared says nothing of this one.
                stream.lane.try_again();
            }
            stream.key = subscription.spec().key.clone();
            if id.job == 0 {
                stream.own.clear();
                stream.rules = Arc::clone(&own);
            }
        }
        self.subscriptions.insert(number, subscription);
        let lanes = self.streams.range(live..=LaneId { job: u32::MAX, ..live });
        for id in lanes.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.effects(id, now);
        }
        self.changed_lanes();
        self.keep(number);
        let id = format!("changed-{number}-{}", self.moment(now));
        self.owe(CHANGED, id, None, Some(by.as_str().to_owned()), data);
        self.settle_all()?;
        Ok(Changed { overview: self.overview_of(number)?, secret: told })
    }

    pub(crate) fn rotate_secret(
        &mut self,
        name: &str,
        secret: Option<Secret>,
        by: &Actor,
    ) -> Result<Created, RouterError> {
        let number = self.number(name)?;
        let now = self.now();
        let mut kept = self.named(name)?.kept.clone();
        let is_given = secret.is_some();
        let told = self.give_secret(&mut kept, secret)?;
        if !is_given && told.is_none() {
            // Nothing has changed, and no event may say so.
            let why = match kept.spec.target.secret_place() {
                Some(_) => "the secret of this target is its server's, and has to be given".to_owned(),
                None => format!("a target of kind `{}` has no secret", kept.spec.target.kind()),
            };
            return Err(RouterError::NoSecret(why));
        }
        let opened = self.opened(kept)?;
        if let Some(subscription) = self.subscriptions.get_mut(&number) {
            subscription.kept = opened.kept;
            subscription.target = opened.target;
        }
        self.keep(number);
        let data = json!({ "subscription": name, "secret": "rotated" });
        let id = format!("rotated-{number}-{}", self.moment(now));
        self.owe(CHANGED, id, None, Some(by.as_str().to_owned()), data);
        self.settle_all()?;
        Ok(Created { overview: self.overview_of(number)?, secret: told })
    }

    pub(crate) fn switch(
        &mut self,
        name: &str,
        paused: Option<&str>,
        by: &Actor,
    ) -> Result<Overview, RouterError> {
        let number = self.number(name)?;
        let now = self.now();
        let subscription = self.named(name)?;
        subscription.kept.standing = match paused {
            None => Standing::Active,
            Some(reason) => {
                Standing::Paused { by: by.as_str().to_owned(), reason: reason.to_owned(), at_ns: now.utc.0 }
            }
        };
        subscription.left_alone_until = None;
        if paused.is_none() && subscription.target.is_err() {
            let kept = subscription.kept.clone();
            let target = self.opened(kept)?.target;
            self.named(name)?.target = target;
        }
        for (id, stream) in &mut self.streams {
            if id.subscription == number && paused.is_none() {
                stream.lane.try_again();
            }
        }
        self.keep(number);
        let to = if paused.is_some() { "paused" } else { "active" };
        let data = json!({ "subscription": name, "to": to, "reason": paused.unwrap_or_default() });
        let id = format!("switched-{number}-{}", self.moment(now));
        self.owe(SWITCHED, id, None, Some(by.as_str().to_owned()), data);
        self.settle_all()?;
        self.overview_of(number)
    }

    pub(crate) fn remove(&mut self, name: &str, reason: &str, by: &Actor) -> Result<(), RouterError> {
        let number = self.number(name)?;
        let now = self.now();
        let jobs: Vec<u32> = (self.jobs.iter())
            .filter(|(_, job)| job.is_running() && job.kept.subscription == number)
            .map(|(at, _)| *at)
            .collect();
        for job in jobs {
            self.end_job(job, JobState::Cancelled, now);
        }
        // What its lanes have decided and not committed goes with them.
        self.commit(now);
        let Some(mut subscription) = self.subscriptions.remove(&number) else { return Ok(()) };
        self.names.remove(name);
        self.streams.retain(|id, _| id.subscription != number);
        subscription.kept.removed = true;
        subscription.kept.secrets.clear();
        self.registry.insert(subscription_key(number), Some(subscription.kept.write()));
        self.purges.push(LaneId { subscription: number, job: 0 });
        self.changed_lanes();
        let data = json!({ "subscription": name, "reason": reason, "dead_letters": subscription.letters });
        self.owe(REMOVED, format!("removed-{number}"), None, Some(by.as_str().to_owned()), data);
        self.settle_all()
    }

    /// Removes records of removed subscriptions and ended replays, some in each turn; the subscription's own record last.
    pub(crate) fn step_purges(&mut self) {
        let Some(id) = self.purges.last().copied() else { return };
        let begin = if id.job == 0 { id.subscription.to_be_bytes().to_vec() } else { lane_key(id) };
        let mut purged = None;
        for table in [Table::Delivery, Table::Cursor] {
            let records = match self.means.state.scan(table, Some(&begin), PURGED_MAX) {
                Ok(records) => records,
                Err(error) => return self.stopped = Some(format!("{}: {error}", error.code())),
            };
            let keys = records.into_iter().map(|record| record.key);
            let keys: Vec<Vec<u8>> = keys.take_while(|key| key.starts_with(&begin)).collect();
            if !keys.is_empty() {
                purged = Some((table, keys));
                break;
            }
        }
        let Some((table, keys)) = purged else {
            self.purges.pop();
            if id.job == 0 {
                self.registry.insert(subscription_key(id.subscription), None);
            } else {
                self.purge_cursors.push(begin);
            }
            return;
        };
        let change =
            |key| waag_keys::state::Change { table, key, expect: waag_keys::state::Expect::Any, value: None };
        let changes: Vec<_> = keys.iter().map(|key| change(key.as_slice())).collect();
        if let Err(error) = self.means.state.commit(&changes) {
            self.stopped = Some(format!("{}: {error}", error.code()));
        }
    }

    /// Begins a job on dead letters; `total` was counted before.
    pub(crate) fn begin_job(
        &mut self,
        name: &str,
        mut shown: JobShown,
        by: &Actor,
    ) -> Result<JobShown, RouterError> {
        let subscription = self.number(name)?;
        let is_same = |job: &&Job| {
            job.is_running() && job.kept.subscription == subscription && job.shown().kind != JobKind::Replay
        };
        if shown.kind != JobKind::Replay
            && let Some(other) = self.jobs.values().find(is_same)
        {
            return Err(RouterError::JobUnderWay(other.shown().number));
        }
        let now = self.now();
        let number = self.numbers.1.saturating_add(1);
        shown.number = number;
        shown.started_ns = now.utc.0;
        by.as_str().clone_into(&mut shown.by);
        let begin = if shown.kind == JobKind::Replay { shown.from } else { shown.filter.begin() };
        if shown.kind == JobKind::Replay && shown.pattern.is_none() {
            // As it is now, whatever it is changed to.
            shown.pattern = self.named(name)?.spec().pattern.clone();
        }
        let kept = KeptJob { v: 1, subscription, shown: shown.clone(), settled_to: begin, looked_to: begin };
        if kept.shown.kind == JobKind::Replay {
            self.begin_replay(&kept, now)?;
        }
        self.numbers.1 = number;
        self.registry.insert(NUMBERS_KEY.to_vec(), Some(numbers_value(self.numbers)));
        self.registry.insert(job_key(number), Some(kept.write()));
        self.jobs.insert(number, Job::new(kept, now.mono));
        let data = json!({
            "subscription": name, "job": number, "kind": shown.kind, "reason": shown.reason,
            "total": shown.total, "from": shown.from, "to": shown.to, "filter": shown.filter, "rate": shown.rate,
        });
        self.owe(JOB_STARTED, format!("job-started-{number}"), None, Some(shown.by.clone()), data);
        self.settle_all()?;
        Ok(shown)
    }

    fn begin_replay(&mut self, kept: &KeptJob, now: Now) -> Result<(), RouterError> {
        let Some(subscription) = self.subscriptions.get(&kept.subscription) else { return Ok(()) };
        let wish = replay_wish(&subscription.wish, kept)?;
        let id = LaneId { subscription: kept.subscription, job: kept.shown.number };
        let lane = Lane::new(id, self.policy(subscription.spec(), true), kept.shown.from);
        let (until, rate) = (Some(kept.shown.to), kept.shown.rate);
        let stream = self.stream(lane, subscription.spec(), &wish, until, rate, now);
        self.streams.insert(id, stream);
        self.changed_lanes();
        Ok(())
    }

    pub(crate) fn cancel(&mut self, number: u32, by: &Actor) -> Result<JobShown, RouterError> {
        let now = self.now();
        let job = self.jobs.get_mut(&number).ok_or(RouterError::NoJob(number))?;
        if job.is_running() {
            let reason = format!("{} (ended by {})", job.kept.shown.reason, by.as_str());
            reason.trim_start().clone_into(&mut job.kept.shown.reason);
            self.end_job(number, JobState::Cancelled, now);
            self.settle_all()?;
        }
        self.job(number)
    }

    pub(crate) fn job(&self, number: u32) -> Result<JobShown, RouterError> {
        self.jobs.get(&number).map(|job| self.shown_job(job)).ok_or(RouterError::NoJob(number))
    }

    pub(crate) fn shown_job(&self, job: &Job) -> JobShown {
        let mut shown = job.shown().clone();
        if shown.kind == JobKind::Replay {
            // Told in positions, since how many events match is not known before they are read.
            let low = self.streams.get(&LaneId { subscription: job.kept.subscription, job: shown.number });
            let low = low.map_or(job.kept.settled_to, |stream| stream.lane.low());
            let low = if shown.state == JobState::Done { shown.to } else { low };
            shown.done = low.clamp(shown.from, shown.to).saturating_sub(shown.from);
        }
        shown
    }

    pub(crate) fn jobs(&self) -> Vec<JobShown> {
        self.jobs.values().rev().take(JOBS_SHOWN_MAX).map(|job| self.shown_job(job)).collect()
    }

    pub(crate) fn overviews(&mut self) -> Result<Vec<Overview>, RouterError> {
        if let Some(why) = &self.stopped {
            return Err(RouterError::Stopped(why.clone()));
        }
        let numbers: Vec<u32> = self.names.values().copied().collect();
        numbers.into_iter().map(|number| self.overview_of(number)).collect()
    }

    pub(crate) fn overview_of(&mut self, number: u32) -> Result<Overview, RouterError> {
        let now = self.now();
        let end = self.means.source.end().0;
        let unknown = || RouterError::Unknown(number.to_string());
        let subscription = self.subscriptions.get_mut(&number).ok_or_else(unknown)?;
        let live = LaneId { subscription: number, job: 0 };
        let lane = &self.streams.get(&live).ok_or_else(unknown)?.lane;
        let (waiting, parked) = lane.waiting();
        let oldest = lane.oldest();
        let unread = end.saturating_sub(lane.read_to());
        let due = lane.next_due().map(|at| {
            let left = i64::try_from(at.saturating_sub(now.mono).as_nanos()).unwrap_or(i64::MAX);
            now.utc.0.saturating_add(left)
        });
        let standing = match (&subscription.kept.standing, &subscription.target) {
            (Standing::Active, Err(why)) => {
                Standing::Stopped { code: NO_TARGET.to_owned(), reason: why.clone(), at_ns: now.utc.0 }
            }
            (standing, _) => standing.clone(),
        };
        let alone = subscription.left_alone_until.map(|until| until.saturating_sub(now.mono));
        let jobs = self.jobs.iter().filter(|(_, job)| job.is_running() && job.kept.subscription == number);
        Ok(Overview {
            spec: subscription.kept.spec.clone(),
            standing,
            created_ns: subscription.kept.created_ns,
            created_by: subscription.kept.created_by.clone(),
            lag_events: lane.undelivered().saturating_add(unread),
            unread_events: unread,
            settled_to: lane.low(),
            rate: subscription.meter.rate(now.mono),
            delivered: subscription.delivered,
            failed: subscription.failed,
            under_way: lane.in_flight() as u64,
            waiting_keys: waiting as u64,
            parked_keys: parked as u64,
            dead_letters: subscription.letters,
            oldest_position: oldest.map(|(position, _)| position),
            oldest_ns: oldest.and_then(|(_, committed)| committed).map(|time| time.0),
            next_attempt_ns: due,
            left_alone_ms: alone.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
            jobs: jobs.map(|(at, _)| *at).collect(),
        })
    }

    pub(crate) fn detail(&mut self, name: &str) -> Result<Detail, RouterError> {
        let number = self.number(name)?;
        let overview = self.overview_of(number)?;
        let live = LaneId { subscription: number, job: 0 };
        let parked = self.streams.get(&live).map(|stream| stream.lane.parked_keys(PARKED_SHOWN_MAX));
        let parked = parked.unwrap_or_default().into_iter();
        let attempts = self.named(name)?.attempts.iter().cloned().collect();
        let jobs = self.jobs.values().rev().filter(|job| job.kept.subscription == number);
        Ok(Detail {
            overview,
            attempts,
            parked: parked.map(|(key, position)| ParkedKey { key: hex(&key), position }).collect(),
            jobs: jobs.take(JOBS_SHOWN_MAX).map(|job| self.shown_job(job)).collect(),
        })
    }

    pub(crate) fn figures(&mut self) -> Figures {
        let end = self.means.source.end().0;
        let mut figures = Figures {
            subscriptions: self.subscriptions.len() as u64,
            delivered: self.totals.delivered,
            failed: self.totals.failed,
            given_up: self.totals.given_up,
            too_deep: self.totals.too_deep,
            unreadable: self.totals.unreadable,
            ..Figures::default()
        };
        let mut oldest = None;
        for (number, subscription) in &self.subscriptions {
            figures.dead_letters = figures.dead_letters.saturating_add(subscription.letters);
            if matches!(subscription.kept.standing, Standing::Stopped { .. }) || subscription.target.is_err()
            {
                figures.stopped = figures.stopped.saturating_add(1);
            }
            let Some(stream) = self.streams.get(&LaneId { subscription: *number, job: 0 }) else { continue };
            let (waiting, parked) = stream.lane.waiting();
            figures.waiting_keys = figures.waiting_keys.saturating_add(waiting as u64);
            figures.parked_keys = figures.parked_keys.saturating_add(parked as u64);
            let read_to = stream.lane.read_to();
            let lag = stream.lane.undelivered().saturating_add(end.saturating_sub(read_to));
            figures.lag_events_max = figures.lag_events_max.max(lag);
            let unread = (read_to < end).then_some(read_to);
            oldest = [oldest, stream.lane.lowest(), unread].into_iter().flatten().min();
        }
        figures.oldest_undelivered_s = oldest.map(|position| self.age_s(position)).unwrap_or_default();
        figures
    }

    /// How long ago an event was committed. Read once for a position: while it is the oldest, it is asked for again and again.
    fn age_s(&mut self, position: u64) -> u64 {
        let is_known = self.oldest.is_some_and(|(known, _)| known == position);
        if !is_known && self.means.clock.monotonic() >= self.oldest_not_before {
            // Where the ledger cannot be read, what was known last stands: it hides less than none.
            match self.means.source.pick(&[Position(position)]) {
                Ok(read) => self.oldest = read.first().map(|event| (position, event.committed)),
                Err(_) => self.oldest_not_before = self.after_fault(),
            }
        }
        let committed = self.oldest.map_or(self.means.clock.now().0, |(_, committed)| committed.0);
        let age = self.means.clock.now().0.saturating_sub(committed);
        u64::try_from(age / 1_000_000_000).unwrap_or_default()
    }
}

/// A subscription as its events tell of it: its address may hold a secret in its path or query, which nobody could take out of
/// the ledger again, so that only its host is told.
fn described(spec: &Spec) -> Value {
    let mut told = serde_json::from_str(&spec.to_json()).unwrap_or(Value::Null);
    for member in ["url", "server"] {
        if let Some(place) = told.get_mut("target").and_then(|target| target.get_mut(member)) {
            *place = Value::String(host(place.as_str().unwrap_or_default()));
        }
    }
    json!({ "subscription": spec.name, "spec": told })
}

/// Scheme and host of an address, without who logs in there.
fn host(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}")
}
