//! Everything the router knows, moved on by one thread: turn by turn, no locks inside.
//!
//! Place: between the runtime, which brings messages and time, and lanes, which decide what goes. One turn: feed lanes with
//! what was read, begin deliveries, move jobs on, commit, tell, ask for more.
//!
//! Order of a turn's effects, and what a crash leaves at each:
//! - deliveries begin before anything of them is stored: a crash repeats them (at least once);
//! - the commit takes all lanes' changes and cursors, jobs and owed notices at one instant (`ROUTE-2`);
//! - notices go to the ledger after the commit that owes them, and are owed until it has them (`ROUTE-6`).
//!
//! Not here: what lanes get (`feed`), the commit (`commit`), notices (`owed`), jobs (`jobs`), commands (`manage`), leases (`pulls`), the start (`load`).

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use waag_keys::state::Table;
use waag_model::time::UtcNanos;

use crate::jobs::Job;
use crate::lane::{Effect, Lane, Now, Policy, Redriven, Settled};
use crate::letters::hex;
use crate::meter::{Bucket, Meter};
use crate::notice::{DEAD_LETTER, DEAD_LETTERS, RECOVERED, STOPPED};
use crate::owed::Owed;
use crate::ports::Means;
use crate::pulls::Pull;
use crate::reading::{Answer, Reader, Shared};
use crate::records::{Changes, DeadLetter, Kind, LaneId, numbered_key};
use crate::registry::{Kept, subscription_key};
use crate::router::{Inbox, Message, cut};
use crate::rules::{Rules, Sorted, Wish};
use crate::shown::{ATTEMPTS_SHOWN_MAX, AttemptShown, FailureShown, JobKind, Standing};
use crate::spec::{KeySpec, OnFailure, Spec, TargetSpec};
use crate::target::{Class, Delivery, Failure, Outcome, Reply, SNIPPET_CHARS_MAX, Settle, Target};
use crate::transform::Compiled;

/// Most attempts that one lane begins in a turn.
const BEGUN_MAX: usize = 256;
/// Events read and not settled, over all lanes.
const WINDOWS_EVENTS: usize = 262_144;
/// Of one lane, at least and at most.
const WINDOW_EVENTS: (usize, usize) = (64, 4_096);
/// How long nothing is tried again after a failure of the ledger or its writer, in milliseconds.
const FAULT_MS: u64 = 1_000;

/// A subscription at work.
pub(crate) struct Subscription {
    pub(crate) kept: Kept,
    pub(crate) name: Arc<str>,
    pub(crate) wish: Wish,
    /// The first version of the rules that has its wish as it is.
    pub(crate) since: u64,
    /// None for one that is pulled; why not, where the node does not deliver there.
    pub(crate) target: Result<Option<Arc<dyn Target>>, String>,
    pub(crate) transform: Option<Arc<Compiled>>,
    pub(crate) letters: u64,
    pub(crate) delivered: u64,
    pub(crate) failed: u64,
    pub(crate) meter: Meter,
    pub(crate) attempts: VecDeque<AttemptShown>,
    pub(crate) left_alone_until: Option<Duration>,
}

impl Subscription {
    pub(crate) fn spec(&self) -> &Spec {
        &self.kept.spec
    }

    pub(crate) fn delivers(&self) -> bool {
        self.kept.standing == Standing::Active && self.target.is_ok()
    }
}

/// A lane and where its events come from.
pub(crate) struct Stream {
    pub(crate) lane: Lane,
    pub(crate) key: KeySpec,
    /// What was read for it alone.
    pub(crate) own: VecDeque<Arc<Sorted>>,
    pub(crate) own_asked: bool,
    pub(crate) fetch_asked: bool,
    /// Nothing is read for it again before, since reading failed: damage far back holds up nobody else.
    pub(crate) not_before: Duration,
    /// Its own wish alone.
    pub(crate) rules: Arc<Rules>,
    /// Where a replay ends.
    pub(crate) until: Option<u64>,
    pub(crate) bucket: Bucket,
    pub(crate) settle: Arc<dyn Settle>,
    /// The cursor as it was committed: low position, dead letters.
    pub(crate) committed: Option<(u64, u64)>,
}

/// What the router has done since its start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) delivered: u64,
    pub(crate) failed: u64,
    pub(crate) given_up: u64,
    pub(crate) too_deep: u64,
    pub(crate) unreadable: u64,
}

/// All of it.
pub(crate) struct Core {
    pub(crate) means: Means,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) newest: Reader,
    pub(crate) past: Reader,
    /// The number of this run, in leases.
    pub(crate) run: u64,
    pub(crate) serial: u64,
    pub(crate) numbers: (u32, u32),
    pub(crate) subscriptions: BTreeMap<u32, Subscription>,
    pub(crate) names: BTreeMap<String, u32>,
    pub(crate) streams: BTreeMap<LaneId, Stream>,
    /// The lanes in the order in which they go.
    pub(crate) order: Vec<LaneId>,
    pub(crate) shared: Shared,
    pub(crate) shared_asked: bool,
    /// Those that were compiled last; perhaps not the newest.
    pub(crate) rules: Arc<Rules>,
    /// The version of the newest.
    pub(crate) version: u64,
    pub(crate) jobs: BTreeMap<u32, Job>,
    pub(crate) pulls: Vec<Pull>,
    /// Lanes whose records are being removed: of ended replays, or, with job 0, all of a removed subscription.
    pub(crate) purges: Vec<LaneId>,
    /// Cursors of ended replays of which nothing else is left.
    pub(crate) purge_cursors: Vec<Vec<u8>>,
    pub(crate) owed: Owed,
    /// Whether there is a dead letter of this subscription and position, where that is not committed yet.
    pub(crate) letters: BTreeMap<(u32, u64), bool>,
    pub(crate) changes: Changes,
    pub(crate) registry: Changes,
    pub(crate) committed_at: Duration,
    /// The shared stretch is not read again before, since reading failed.
    pub(crate) shared_not_before: Duration,
    /// No attempt is begun any more.
    pub(crate) is_winding_up: bool,
    /// Why there is no going on.
    pub(crate) stopped: Option<String>,
    pub(crate) totals: Totals,
    /// The position whose time was looked up last, and that time.
    pub(crate) oldest: Option<(u64, UtcNanos)>,
    /// It is not looked up again before, since reading failed.
    pub(crate) oldest_not_before: Duration,
}

/// Gives outcomes of one lane back.
pub(crate) struct LaneSettle {
    pub(crate) lane: LaneId,
    pub(crate) inbox: Arc<Inbox>,
}

impl Settle for LaneSettle {
    fn settle(&self, serial: u64, outcome: Outcome) {
        self.inbox.push(Message::Outcome(self.lane, serial, outcome));
    }
}

impl Core {
    pub(crate) fn now(&self) -> Now {
        Now { mono: self.means.clock.monotonic(), utc: self.means.clock.now() }
    }

    /// How a lane of this subscription delivers.
    pub(crate) fn policy(&self, spec: &Spec, is_replay: bool) -> Policy {
        let (least, most) = WINDOW_EVENTS;
        let concurrency = usize::try_from(spec.concurrency).unwrap_or(usize::MAX);
        let share = WINDOWS_EVENTS / self.streams.len().max(1);
        Policy {
            concurrency,
            timeout: Duration::from_millis(spec.timeout_ms),
            retry: spec.retry,
            // What a replay gives up is left behind: its key's live events wait for nobody's replay.
            on_failure: if is_replay { OnFailure::Skip } else { spec.on_failure },
            breaks: !matches!(spec.target, TargetSpec::Pull {}),
            window_max: share.clamp(least, most).max(concurrency.saturating_mul(2)),
        }
    }

    /// Takes a message.
    pub(crate) fn take(&mut self, message: Message) {
        match message {
            Message::Do(what) => what(self),
            Message::Outcome(lane, serial, outcome) => {
                let _ = self.settle(lane, serial, outcome);
            }
            Message::Read(answer) => self.read(answer),
            Message::Told(numbers, result) => self.told(&numbers, result),
        }
    }

    /// Moves everything on; when there is something to do again at the latest.
    pub(crate) fn turn(&mut self) -> Option<Duration> {
        let now = self.now();
        if self.stopped.is_none() {
            self.step_jobs(now);
            self.feed(now);
            let mut more = self.deliver(now);
            self.serve_pulls(now);
            more |= self.refill(now);
            self.fetch(now);
            self.commit_if_due(now);
            self.tell(now);
            self.read_ahead(now);
            if more || !self.purges.is_empty() {
                return Some(now.mono);
            }
        } else {
            self.refuse_pulls();
            // What was due stays due for ever.
            return None;
        }
        self.next_wake(now)
    }

    fn next_wake(&self, now: Now) -> Option<Duration> {
        let lanes = self.streams.values().filter_map(|stream| stream.lane.next_wake(now));
        let pulls = self.pulls.iter().map(|pull| pull.until);
        let jobs = self.jobs.values().filter_map(|job| job.next_wake(now.mono));
        // A replay with a rate goes on when one more event may pass; without one it goes on when something was read.
        let held_up = |stream: &&Stream| stream.bucket.is_limited() && stream.lane.room() > 0;
        let rates = self.streams.values().filter(held_up).map(|stream| stream.bucket.next());
        lanes.chain(pulls).chain(jobs).chain(rates).min()
    }

    /// Where the ledger ends that may be shown.
    pub(crate) fn end(&self) -> u64 {
        self.means.source.end().0
    }

    /// Begins what may begin; whether there is more at once.
    fn deliver(&mut self, now: Now) -> bool {
        let (mut more, is_full, held) = (false, self.is_owing_too_much(), self.held());
        for at in 0..self.order.len() {
            let Some(id) = self.order.get(at).copied() else { break };
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            let over = stream.lane.wake(now);
            for (settled, failure) in over {
                self.note(id, &settled, &Outcome::Failed(failure), now);
            }
            let waits = id.job == 0 && held.contains(&id.subscription);
            if !is_full && !waits && !self.is_winding_up {
                more |= self.begin(id, now);
            }
            self.effects(id, now);
        }
        more
    }

    /// Begins no attempt any more; how many are under way. What a subscriber has pulled is theirs, and no attempt.
    pub(crate) fn wind_up(&mut self) -> usize {
        self.is_winding_up = true;
        let has_target = |number: u32| {
            self.subscriptions.get(&number).is_some_and(|one| matches!(one.target, Ok(Some(_))))
        };
        let lanes = self.streams.iter().filter(|(id, _)| has_target(id.subscription));
        lanes.map(|(_, stream)| stream.lane.in_flight()).sum()
    }

    /// Begins attempts of one lane; whether there is more.
    fn begin(&mut self, id: LaneId, now: Now) -> bool {
        let Some(subscription) = self.subscriptions.get(&id.subscription) else { return false };
        let (Ok(Some(target)), true) = (&subscription.target, subscription.delivers()) else { return false };
        let (target, transform) = (Arc::clone(target), subscription.transform.clone());
        let (name, timeout) = (Arc::clone(&subscription.name), subscription.spec().timeout_ms);
        let mut failed = Vec::new();
        let Some(stream) = self.streams.get_mut(&id) else { return false };
        for _ in 0..BEGUN_MAX {
            let serial = self.serial;
            let Some(attempt) = stream.lane.dispatch(serial, now) else { break };
            self.serial = self.serial.saturating_add(1);
            let transformed = match transform.as_ref().map(|how| how.apply(&attempt.event.json)) {
                Some(Err(error)) => {
                    failed.push((serial, Failure::new(Class::Terminal, error.code(), error.to_string())));
                    continue;
                }
                Some(Ok(bytes)) => Some(Arc::from(bytes)),
                None => None,
            };
            let delivery = Delivery {
                subscription: Arc::clone(&name),
                ledger: self.means.ledger,
                event: attempt.event,
                transformed,
                attempt: attempt.number,
                replay: (id.job != 0).then_some(id.job),
                timeout: Duration::from_millis(timeout),
            };
            let reply = Reply::new(Arc::clone(&stream.settle), serial);
            // A target that panics drops its reply, which fails this attempt and nothing else (`TARGET-2`).
            drop(catch_unwind(AssertUnwindSafe(|| target.deliver(delivery, reply))));
        }
        let more = stream.lane.may_dispatch(now);
        for (serial, failure) in failed {
            let _ = self.settle(id, serial, Outcome::Failed(failure));
        }
        more
    }

    /// An attempt has come out; whether it was under way.
    pub(crate) fn settle(&mut self, id: LaneId, serial: u64, mut outcome: Outcome) -> bool {
        let now = self.now();
        if let Outcome::Failed(failure) = &mut outcome {
            // What a target says becomes part of records, which have a size.
            failure.reason = cut(&failure.reason);
        }
        let Some(stream) = self.streams.get_mut(&id) else { return false };
        let Some(settled) = stream.lane.settle(serial, outcome.clone(), now) else { return false };
        self.note(id, &settled, &outcome, now);
        self.effects(id, now);
        true
    }

    /// Remembers an attempt.
    fn note(&mut self, id: LaneId, settled: &Settled, outcome: &Outcome, now: Now) {
        let Some(subscription) = self.subscriptions.get_mut(&id.subscription) else { return };
        let took = now.mono.saturating_sub(settled.begun);
        let (status, failure) = match outcome {
            Outcome::Delivered(status) => {
                self.totals.delivered = self.totals.delivered.saturating_add(1);
                subscription.delivered = subscription.delivered.saturating_add(1);
                subscription.meter.add(now.mono);
                (*status, None)
            }
            Outcome::Failed(failure) => {
                self.totals.failed = self.totals.failed.saturating_add(1);
                subscription.failed = subscription.failed.saturating_add(1);
                (failure.status, Some(shown(failure)))
            }
        };
        if id.job != 0
            && failure.is_none()
            && let Some(job) = self.jobs.get_mut(&id.job)
        {
            job.count(Redriven::Delivered);
        }
        subscription.attempts.truncate(ATTEMPTS_SHOWN_MAX - 1);
        subscription.attempts.push_front(AttemptShown {
            at_ns: now.utc.0,
            position: settled.position,
            number: settled.number,
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            status,
            failure,
            replay: (id.job != 0).then_some(id.job),
        });
    }

    /// Does and tells what a lane has asked for.
    pub(crate) fn effects(&mut self, id: LaneId, now: Now) {
        let effects = self.streams.get_mut(&id).map(|stream| stream.lane.take_effects()).unwrap_or_default();
        for effect in effects {
            match effect {
                Effect::GaveUp { position, letter, parks } => self.gave_up(id, position, &letter, parks),
                Effect::Redriven(position, how) => self.redriven(id, position, how),
                Effect::Halted(code, reason) | Effect::Disabled(code, reason) => {
                    self.stop(id.subscription, code, &reason, now);
                }
                Effect::LeftAlone(wait) => self.left_alone(id.subscription, wait, now),
                Effect::Recovered => self.recovered(id.subscription),
            }
        }
    }

    fn gave_up(&mut self, id: LaneId, position: u64, letter: &DeadLetter, parks: bool) {
        let is_known = self.is_one_letter(id, position, parks);
        let Some(subscription) = self.subscriptions.get_mut(&id.subscription) else { return };
        if !is_known {
            subscription.letters = subscription.letters.saturating_add(1);
        }
        self.totals.given_up = self.totals.given_up.saturating_add(1);
        let name = subscription.name.to_string();
        if id.job != 0
            && let Some(job) = self.jobs.get_mut(&id.job)
        {
            job.count(Redriven::GivenUp);
        }
        if letter.why.kind.starts_with(DEAD_LETTERS) {
            // `RULES-2`: a subscription that gets these would be told of by the next one, and so on by all of them.
            return;
        }
        let job = if id.job != 0 { id.job } else { letter.job };
        let data = json!({
            "subscription": name, "position": position, "key": hex(&letter.key), "parks": parks,
            "attempts": letter.attempts, "first_ns": letter.first.0, "last_ns": letter.last.0,
            "class": letter.why.class, "code": letter.why.code, "status": letter.why.status, "job": job,
        });
        let id = format!("dead-letter-{}-{position}-{job}-{}", id.subscription, letter.last.0);
        self.owe(DEAD_LETTER, id, Some(position), None, data);
    }

    /// A lane has given an event up that another lane of the subscription may have given up before: they are one dead letter,
    /// the live lane's where there are both. Whether there was one.
    fn is_one_letter(&mut self, id: LaneId, position: u64, parks: bool) -> bool {
        let number = id.subscription;
        let live = LaneId { subscription: number, job: 0 };
        let record = |kind| numbered_key(live, kind, position);
        let marked = self.letters.insert((number, position), true);
        let is_stored = |kind| matches!(self.means.state.get(Table::Delivery, &record(kind)), Ok(Some(_)));
        let was = marked.unwrap_or_else(|| is_stored(Kind::Parked) || is_stored(Kind::Dead));
        if was && id.job != 0 {
            // It stays as it is.
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.lane.forget_change(&record(Kind::Dead));
            }
        } else if was {
            let lanes = self.streams.range_mut(live..=LaneId { job: u32::MAX, ..live });
            for (_, stream) in lanes.filter(|(other, _)| other.job != 0) {
                stream.lane.forget_change(&record(Kind::Dead));
            }
            if let Some(stream) = self.streams.get_mut(&live).filter(|_| parks) {
                stream.lane.replace(record(Kind::Dead));
            }
        }
        was
    }

    fn redriven(&mut self, id: LaneId, position: u64, how: Redriven) {
        self.no_letter(id.subscription, position);
        let mut jobs = self.jobs.values_mut();
        if let Some(job) =
            jobs.find(|job| job.is_of(id.subscription, JobKind::Redrive) && job.has_out(position))
        {
            job.came_back(position, how);
        }
    }

    /// There is no dead letter of this position any more.
    pub(crate) fn no_letter(&mut self, number: u32, position: u64) {
        self.letters.insert((number, position), false);
        if let Some(subscription) = self.subscriptions.get_mut(&number) {
            subscription.letters = subscription.letters.saturating_sub(1);
        }
    }

    /// A subscription stops by itself.
    pub(crate) fn stop(&mut self, number: u32, code: &str, reason: &str, now: Now) {
        let Some(subscription) = self.subscriptions.get_mut(&number) else { return };
        if subscription.kept.standing != Standing::Active {
            return;
        }
        let at_ns = now.utc.0;
        subscription.kept.standing =
            Standing::Stopped { code: code.to_owned(), reason: reason.to_owned(), at_ns };
        let name = subscription.name.to_string();
        self.keep(number);
        let data = json!({ "subscription": name, "code": code, "reason": reason });
        self.owe(STOPPED, format!("stopped-{number}-{}", self.moment(now)), None, None, data);
    }

    fn left_alone(&mut self, number: u32, wait: Duration, now: Now) {
        let Some(subscription) = self.subscriptions.get_mut(&number) else { return };
        let is_first = subscription.left_alone_until.is_none();
        subscription.left_alone_until = Some(now.mono.saturating_add(wait));
        let name = subscription.name.to_string();
        if is_first {
            let data = json!({ "subscription": name, "code": "E1148", "reason": "its target only fails, and is left alone for a while" });
            self.owe(STOPPED, format!("left-alone-{number}-{}", self.moment(now)), None, None, data);
        }
    }

    fn recovered(&mut self, number: u32) {
        let Some(subscription) = self.subscriptions.get_mut(&number) else { return };
        subscription.left_alone_until = None;
        let name = subscription.name.to_string();
        let id = format!("recovered-{number}-{}", self.moment(self.now()));
        self.owe(RECOVERED, id, None, None, json!({ "subscription": name }));
    }

    /// Keeps a subscription's record as it stands.
    pub(crate) fn keep(&mut self, number: u32) {
        if let Some(subscription) = self.subscriptions.get(&number) {
            self.registry.insert(subscription_key(number), Some(subscription.kept.write()));
        }
    }

    /// When something that failed is tried again.
    pub(crate) fn after_fault(&self) -> Duration {
        self.means.clock.monotonic().saturating_add(Duration::from_millis(FAULT_MS))
    }

    fn read(&mut self, answer: Answer) {
        match answer {
            Answer::Chunk { lane: None, result, .. } => {
                self.shared_asked = false;
                match result {
                    Ok(chunk) => {
                        self.totals.too_deep = self.totals.too_deep.saturating_add(chunk.too_deep);
                        self.totals.unreadable = self.totals.unreadable.saturating_add(chunk.unreadable);
                        self.shared.push(chunk);
                    }
                    Err(_) => self.shared_not_before = self.after_fault(),
                }
            }
            Answer::Chunk { lane: Some(id), from, result } => {
                let not_before = self.after_fault();
                let Some(stream) = self.streams.get_mut(&id) else { return };
                stream.own_asked = false;
                let expected = stream.own.back().map_or(stream.lane.read_to(), |chunk| chunk.end);
                match result {
                    // What was read by rules that were exchanged meanwhile is read again.
                    Ok(chunk) if from == expected && chunk.version == stream.rules.version => {
                        stream.own.push_back(Arc::new(chunk));
                    }
                    Ok(_) => {}
                    Err(_) => stream.not_before = not_before,
                }
            }
            Answer::Picked { lane, result } => {
                let not_before = self.after_fault();
                let Some(stream) = self.streams.get_mut(&lane) else { return };
                stream.fetch_asked = false;
                match result {
                    Ok(events) => events.into_iter().for_each(|event| stream.lane.found(event)),
                    Err(_) => stream.not_before = not_before,
                }
            }
        }
    }
}

fn shown(failure: &Failure) -> FailureShown {
    FailureShown {
        class: failure.class.name().to_owned(),
        code: failure.code.to_owned(),
        reason: failure.reason.clone(),
        response: failure.response.chars().take(SNIPPET_CHARS_MAX).collect(),
    }
}
