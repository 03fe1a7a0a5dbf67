//! The router as everybody else sees it: a handle, and the thread behind it.
//!
//! Place: `bin/` starts one for each ledger and tells it when the guard has moved; pages, the API and the command line call
//! it. Calls are answered by the one thread that moves everything, within a turn; reading dead letters goes beside it.
//! Not here: what a call does (`manage`, `jobs`, `pulls`).

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use waag_keys::state::State;
use waag_model::ids::{Actor, Position};
use waag_pattern::Pattern;
use waag_stdx::clock::Clock;

use crate::core::Core;
use crate::error::RouterError;
use crate::letters::{count, page};
use crate::ports::{Means, Secret};
pub use crate::pulls::{PULL_BYTES_MAX, Pulled, Pulls};
use crate::reading::Answer;
use crate::records::LaneId;
use crate::shown::{
    Changed, Created, Detail, Figures, Filter, JobKind, JobShown, JobState, LeaseAnswer, LetterPage,
    Overview, RATE_DEFAULT, RATE_MAX, ReplayAsked,
};
use crate::source::Source;
use crate::spec::{Change, SPEC_BYTES_MAX, Spec, Start};
use crate::target::Outcome;

/// The thread looks by itself after so long, in milliseconds: for events, where nobody tells of them.
const POLL_MS: u64 = 5;
/// How often it is looked, at the end, whether attempts are still under way, in milliseconds.
const WIND_UP_LOOK_MS: u64 = 10;
/// How long a call waits for its answer, in seconds.
const ANSWER_S: u64 = 30;
/// Longest reason, in characters; the rest is cut.
const REASON_CHARS_MAX: usize = 500;
/// Longest text in a filter, in bytes.
const FILTER_BYTES_MAX: usize = 1_024;

/// What the thread is told.
pub(crate) enum Message {
    Do(Box<dyn FnOnce(&mut Core) + Send>),
    Outcome(LaneId, u64, Outcome),
    Read(Answer),
    Told(Vec<u64>, Result<(), String>),
}

/// What waits for the thread.
#[derive(Default)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    messages: Vec<Message>,
    is_news: bool,
    is_over: bool,
}

impl Inbox {
    pub(crate) fn push(&self, message: Message) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = waiting.messages.is_empty();
        waiting.messages.push(message);
        drop(waiting);
        if was_empty {
            self.changed.notify_one();
        }
    }

    fn news(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_news = true;
        self.changed.notify_one();
    }

    fn close(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_over = true;
        self.changed.notify_one();
    }

    /// The messages there are, after some time at most; none where it is over.
    fn wait(&self, most: Duration) -> Option<Vec<Message>> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let idle =
            |waiting: &mut Waiting| waiting.messages.is_empty() && !waiting.is_news && !waiting.is_over;
        let waited = self.changed.wait_timeout_while(waiting, most, idle);
        let mut waiting = waited.map_or_else(|poisoned| poisoned.into_inner().0, |(waiting, _)| waiting);
        waiting.is_news = false;
        if waiting.is_over { None } else { Some(std::mem::take(&mut waiting.messages)) }
    }
}

/// Delivers one ledger's events. Dropping it commits what is settled, and ends its threads.
pub struct Router {
    inbox: Arc<Inbox>,
    source: Arc<dyn Source>,
    state: Arc<dyn State>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Router")
    }
}

impl Router {
    /// Reads what the state has, and goes on from there.
    ///
    /// # Errors
    /// [`RouterError::State`], [`RouterError::Record`], [`RouterError::Stopped`] where no thread can be had.
    pub fn start(means: Means) -> Result<Self, RouterError> {
        let inbox = Arc::new(Inbox::default());
        let (source, state, clock) =
            (Arc::clone(&means.source), Arc::clone(&means.state), Arc::clone(&means.clock));
        let core = Core::load(means, &inbox)?;
        let of_thread = Arc::clone(&inbox);
        let thread = std::thread::Builder::new()
            .name("waag-route".to_owned())
            .spawn(move || run(core, &of_thread, &*clock))
            .map_err(|error| RouterError::Stopped(format!("a thread cannot be had: {error}")))?;
        Ok(Self { inbox, source, state, thread: Some(thread) })
    }

    /// The guard has moved.
    pub fn wake(&self) {
        self.inbox.news();
    }

    /// Has the thread do something, and waits for what comes of it.
    fn ask<R: Send + 'static>(
        &self,
        what: impl FnOnce(&mut Core) -> Result<R, RouterError> + Send + 'static,
    ) -> Result<R, RouterError> {
        let (sender, answer) = sync_channel(1);
        self.inbox.push(Message::Do(Box::new(move |core| drop(sender.send(what(core))))));
        let none = || RouterError::Stopped("no answer".to_owned());
        answer.recv_timeout(Duration::from_secs(ANSWER_S)).map_err(|_| none())?
    }

    /// All subscriptions, by name.
    ///
    /// # Errors
    /// [`RouterError::Stopped`].
    pub fn overviews(&self) -> Result<Vec<Overview>, RouterError> {
        self.ask(Core::overviews)
    }

    /// One subscription in detail.
    ///
    /// # Errors
    /// [`RouterError::Unknown`], [`RouterError::Stopped`].
    pub fn detail(&self, name: &str) -> Result<Detail, RouterError> {
        let name = name.to_owned();
        self.ask(move |core| core.detail(&name))
    }

    /// Makes a subscription; durable on return. Where its target needs a secret and none is given, one is made, and told
    /// once.
    ///
    /// # Errors
    /// [`RouterError::Exists`], [`RouterError::TooMany`], [`RouterError::Target`], [`RouterError::NoSecret`],
    /// [`RouterError::Span`] where its start is beyond the ledger or in the future; [`RouterError::Stopped`],
    /// [`RouterError::Source`].
    pub fn create(&self, spec: Spec, secret: Option<Secret>, by: &Actor) -> Result<Created, RouterError> {
        let end = self.source.end();
        let start = match spec.start {
            Start::Now => end,
            Start::Beginning => Position(0),
            Start::Position(position) if position <= end.0 => Position(position),
            Start::Position(position) => {
                let why = format!("position {position} is beyond the ledger's end at {}", end.0);
                return Err(RouterError::Span(why));
            }
            Start::Time(time) => self.source.position_at(time)?,
        };
        let by = by.clone();
        self.ask(move |core| core.create(spec, start.0, secret, &by))
    }

    /// Changes the subscription of this name; its place in the ledger and its start stay. Events that were read and not
    /// delivered keep the key they had. A secret stays at its place: a target of another kind, or on another server, begins
    /// without it, and gets a new one where it needs one, which is told once.
    ///
    /// # Errors
    /// [`RouterError::Unknown`], [`RouterError::Target`], [`RouterError::Span`] where another start is said;
    /// [`RouterError::Stopped`].
    pub fn alter(&self, change: impl Into<Change>, by: &Actor) -> Result<Changed, RouterError> {
        let (change, by) = (change.into(), by.clone());
        self.ask(move |core| core.alter(change, &by))
    }

    /// As [`Self::alter`], where the subscription is as expected at that very moment.
    ///
    /// # Errors
    /// [`RouterError::Stale`] where it is not, and nothing is changed; as [`Self::alter`].
    pub fn alter_if(
        &self,
        change: impl Into<Change>,
        by: &Actor,
        expected: impl FnOnce(&Overview) -> bool + Send + 'static,
    ) -> Result<Changed, RouterError> {
        let (change, by) = (change.into(), by.clone());
        self.ask(move |core| {
            as_expected(core, &change.spec.name, expected)?;
            core.alter(change, &by)
        })
    }

    /// As [`Self::remove`], where the subscription is as expected at that very moment.
    ///
    /// # Errors
    /// [`RouterError::Stale`] where it is not, and nothing is removed; as [`Self::remove`].
    pub fn remove_if(
        &self,
        name: &str,
        reason: &str,
        by: &Actor,
        expected: impl FnOnce(&Overview) -> bool + Send + 'static,
    ) -> Result<(), RouterError> {
        let (name, reason, by) = (name.to_owned(), required(reason)?, by.clone());
        self.ask(move |core| {
            as_expected(core, &name, expected)?;
            core.remove(&name, &reason, &by)
        })
    }

    /// Removes a subscription with all that waits for it; its dead letters stay events of the ledger.
    ///
    /// # Errors
    /// [`RouterError::NoReason`], [`RouterError::Unknown`], [`RouterError::Stopped`].
    pub fn remove(&self, name: &str, reason: &str, by: &Actor) -> Result<(), RouterError> {
        let (name, reason, by) = (name.to_owned(), required(reason)?, by.clone());
        self.ask(move |core| core.remove(&name, &reason, &by))
    }

    /// Stops delivering; what is under way comes out.
    ///
    /// # Errors
    /// [`RouterError::NoReason`], [`RouterError::Unknown`], [`RouterError::Stopped`].
    pub fn pause(&self, name: &str, reason: &str, by: &Actor) -> Result<Overview, RouterError> {
        let (name, reason, by) = (name.to_owned(), required(reason)?, by.clone());
        self.ask(move |core| core.switch(&name, Some(&reason), &by))
    }

    /// Delivers again, also where it had stopped by itself.
    ///
    /// # Errors
    /// [`RouterError::Unknown`], [`RouterError::Stopped`].
    pub fn resume(&self, name: &str, by: &Actor) -> Result<Overview, RouterError> {
        let (name, by) = (name.to_owned(), by.clone());
        self.ask(move |core| core.switch(&name, None, &by))
    }

    /// Gives the target a new secret; the one before stays in force until the next rotation.
    ///
    /// # Errors
    /// [`RouterError::Unknown`], [`RouterError::NoSecret`] where the target has none, or none was given that Waag could not
    /// make; [`RouterError::Target`], [`RouterError::Keys`], [`RouterError::Stopped`].
    pub fn rotate_secret(
        &self,
        name: &str,
        secret: Option<Secret>,
        by: &Actor,
    ) -> Result<Created, RouterError> {
        let (name, by) = (name.to_owned(), by.clone());
        self.ask(move |core| core.rotate_secret(&name, secret, &by))
    }

    /// Leases up to `most` events, as soon as there are any, or none after `wait`. Does not block: `then` is called once,
    /// from the router's thread.
    pub fn pull(&self, name: &str, most: usize, wait: Duration, then: Pulled) {
        let name = name.to_owned();
        self.inbox.push(Message::Do(Box::new(move |core| core.pull(&name, most, wait, then))));
    }

    /// Takes answers to leases; what became of each.
    ///
    /// # Errors
    /// [`RouterError::Unknown`], [`RouterError::NotPulled`], [`RouterError::Stopped`]; of each answer,
    /// [`RouterError::Lease`] where its lease is not in force.
    pub fn answer(
        &self,
        name: &str,
        answers: Vec<LeaseAnswer>,
    ) -> Result<Vec<Result<(), RouterError>>, RouterError> {
        let name = name.to_owned();
        self.ask(move |core| core.answer(&name, answers))
    }

    fn number(&self, name: &str) -> Result<u32, RouterError> {
        let name = name.to_owned();
        self.ask(move |core| {
            let number = core.number(&name)?;
            // So that what was given up a moment ago is found.
            let now = core.now();
            core.commit(now);
            Ok(number)
        })
    }

    /// A page of dead letters, in the order of the ledger, behind the position `after`.
    ///
    /// # Errors
    /// [`RouterError::Unknown`], [`RouterError::Stopped`], [`RouterError::State`].
    pub fn dead_letters(
        &self,
        name: &str,
        filter: &Filter,
        after: Option<u64>,
        most: usize,
    ) -> Result<LetterPage, RouterError> {
        page(&*self.state, self.number(name)?, filter, after, most)
    }

    /// How many dead letters there are: what a redrive or discard would come to. Reads all of them; takes seconds for a
    /// million.
    ///
    /// # Errors
    /// As [`Self::dead_letters`].
    pub fn count_dead_letters(&self, name: &str, filter: &Filter) -> Result<u64, RouterError> {
        count(&*self.state, self.number(name)?, filter)
    }

    /// Tries dead letters again, those there are at this moment, at most `rate` a second (0: [`RATE_DEFAULT`]).
    ///
    /// # Errors
    /// [`RouterError::NoDeadLetter`] where there are none, [`RouterError::JobUnderWay`], and as [`Self::dead_letters`].
    pub fn redrive(
        &self,
        name: &str,
        filter: Filter,
        rate: u32,
        reason: &str,
        by: &Actor,
    ) -> Result<JobShown, RouterError> {
        self.begin(name, JobKind::Redrive, filter, rate, cut(reason), by)
    }

    /// Discards dead letters, those there are at this moment; each is an event with the reason.
    ///
    /// # Errors
    /// [`RouterError::NoReason`], [`RouterError::NoDeadLetter`], [`RouterError::JobUnderWay`], and as [`Self::dead_letters`].
    pub fn discard(
        &self,
        name: &str,
        filter: Filter,
        reason: &str,
        by: &Actor,
    ) -> Result<JobShown, RouterError> {
        let reason = required(reason)?;
        self.begin(name, JobKind::Discard, filter, 0, reason, by)
    }

    fn begin(
        &self,
        name: &str,
        kind: JobKind,
        filter: Filter,
        rate: u32,
        reason: String,
        by: &Actor,
    ) -> Result<JobShown, RouterError> {
        let texts = [&filter.kind, &filter.code, &filter.class, &filter.key];
        if texts.into_iter().flatten().any(|text| text.len() > FILTER_BYTES_MAX) {
            return Err(RouterError::Span(format!(
                "a text of a filter has at most {FILTER_BYTES_MAX} bytes"
            )));
        }
        let total = self.count_dead_letters(name, &filter)?;
        if total == 0 {
            let one = filter.from.filter(|from| filter.to == from.checked_add(1));
            return Err(RouterError::NoDeadLetter(one));
        }
        let rate = if rate == 0 { RATE_DEFAULT } else { rate.min(RATE_MAX) };
        let shown = JobShown { filter, rate, reason, total, ..blank(kind, name) };
        let (name, by) = (name.to_owned(), by.clone());
        self.ask(move |core| core.begin_job(&name, shown, &by))
    }

    /// Delivers a span of the ledger to a subscription again, in order, marked as a replay, beside its live events.
    ///
    /// # Errors
    /// [`RouterError::Span`], [`RouterError::Pattern`], [`RouterError::Unknown`], [`RouterError::Source`],
    /// [`RouterError::Stopped`].
    pub fn replay(&self, name: &str, asked: ReplayAsked, by: &Actor) -> Result<JobShown, RouterError> {
        let end = self.source.end().0;
        let place = |position: Option<u64>, time: Option<i64>, none: u64| match (position, time) {
            (Some(_), Some(_)) => {
                Err(RouterError::Span("a span begins or ends at a position or a time".to_owned()))
            }
            (Some(position), None) => Ok(position),
            (None, Some(time)) => Ok(self.source.position_at(waag_model::time::UtcNanos(time))?.0),
            (None, None) => Ok(none),
        };
        let from = place(asked.from, asked.since_ns, 0)?;
        let to = place(asked.to, asked.until_ns, end)?;
        if from >= to || to > end {
            let why = format!("the span from {from} up to {to} is none of the ledger, which ends at {end}");
            return Err(RouterError::Span(why));
        }
        if let Some(pattern) = &asked.pattern {
            if pattern.get().len() > SPEC_BYTES_MAX {
                return Err(RouterError::Span(format!("a pattern has at most {SPEC_BYTES_MAX} bytes")));
            }
            Pattern::parse(pattern.get().as_bytes()).map_err(RouterError::Pattern)?;
        }
        let shown = JobShown {
            from,
            to,
            pattern: asked.pattern,
            rate: asked.rate.unwrap_or(RATE_DEFAULT).min(RATE_MAX),
            reason: cut(&asked.reason),
            total: to.saturating_sub(from),
            ..blank(JobKind::Replay, name)
        };
        let (name, by) = (name.to_owned(), by.clone());
        self.ask(move |core| core.begin_job(&name, shown, &by))
    }

    /// Jobs, the newest first, at most 200.
    ///
    /// # Errors
    /// [`RouterError::Stopped`].
    pub fn jobs(&self) -> Result<Vec<JobShown>, RouterError> {
        self.ask(|core| Ok(core.jobs()))
    }

    /// One job.
    ///
    /// # Errors
    /// [`RouterError::NoJob`], [`RouterError::Stopped`].
    pub fn job(&self, number: u32) -> Result<JobShown, RouterError> {
        self.ask(move |core| core.job(number))
    }

    /// Ends a job; nothing is lost, and what it had not come to is as it was. One that has ended stays as it is.
    ///
    /// # Errors
    /// [`RouterError::NoJob`], [`RouterError::Stopped`].
    pub fn cancel(&self, number: u32, by: &Actor) -> Result<JobShown, RouterError> {
        let by = by.clone();
        self.ask(move |core| core.cancel(number, &by))
    }

    /// Begins no attempt any more, and waits for the outcomes of those under way, so long at most; how many did not come. What
    /// was not delivered goes again at the next start.
    #[must_use]
    pub fn wind_up(&self, most: Duration) -> usize {
        let (step, mut waited) = (Duration::from_millis(WIND_UP_LOOK_MS), Duration::ZERO);
        loop {
            // One that does not answer has nothing under way that could still come out.
            let under_way = self.ask(|core| Ok(core.wind_up())).unwrap_or_default();
            if under_way == 0 || waited >= most {
                return under_way;
            }
            std::thread::sleep(step);
            waited = waited.saturating_add(step);
        }
    }

    /// What it has done since its start; zeros where it does not answer.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.ask(|core| Ok(core.figures())).unwrap_or_default()
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.inbox.close();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The thread: turn by turn, until it is over.
fn run(mut core: Core, inbox: &Inbox, clock: &dyn Clock) {
    while let Some(messages) = {
        // Before the turn, so that what is recorded while it runs is not taken for seen.
        let seen = core.end();
        let next = core.turn();
        rest(&core, inbox, clock, next, seen)
    } {
        messages.into_iter().for_each(|message| core.take(message));
    }
    let now = core.now();
    core.commit(now);
}

/// Waits until there is something to do, looking only at the ledger's end now and then: a turn goes over all lanes, and with
/// thousands of them nobody wants to pay for turns that move nothing. The messages there are; none where it is over.
fn rest(
    core: &Core,
    inbox: &Inbox,
    clock: &dyn Clock,
    next: Option<Duration>,
    seen: u64,
) -> Option<Vec<Message>> {
    let (begun, most) = (clock.monotonic(), core.commit_wait());
    loop {
        let now = clock.monotonic();
        let poll = Duration::from_millis(POLL_MS);
        let messages = inbox.wait(next.map_or(poll, |at| at.saturating_sub(now).min(poll)))?;
        let now = clock.monotonic();
        let is_due = next.is_some_and(|at| at <= now) || now.saturating_sub(begun) >= most;
        if is_due || !messages.is_empty() || core.end() != seen {
            return Some(messages);
        }
    }
}

/// A reason as it is kept.
pub(crate) fn cut(reason: &str) -> String {
    reason.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect()
}

/// Whether a subscription is as whoever asks expects it; within the turn of what follows, so that nothing comes between.
fn as_expected(
    core: &mut Core,
    name: &str,
    expected: impl FnOnce(&Overview) -> bool,
) -> Result<(), RouterError> {
    let number = core.number(name)?;
    let stale = || RouterError::Stale(name.to_owned());
    if expected(&core.overview_of(number)?) { Ok(()) } else { Err(stale()) }
}

fn required(reason: &str) -> Result<String, RouterError> {
    let reason = cut(reason);
    if reason.trim().is_empty() { Err(RouterError::NoReason) } else { Ok(reason) }
}

fn blank(kind: JobKind, name: &str) -> JobShown {
    JobShown {
        number: 0,
        kind,
        subscription: name.to_owned(),
        state: JobState::Running,
        by: String::new(),
        reason: String::new(),
        filter: Filter::default(),
        from: 0,
        to: 0,
        pattern: None,
        rate: 0,
        total: 0,
        done: 0,
        succeeded: 0,
        failed: 0,
        waits: 0,
        started_ns: 0,
        ended_ns: None,
    }
}
