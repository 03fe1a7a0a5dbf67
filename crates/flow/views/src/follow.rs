//! Two threads that follow the ledger: one reads, opens and gathers ahead, the caller's own writes.
//!
//! Place: `project`, as a node runs it. A batch is closed when it is full, when its first event has waited long enough,
//! or, where the batch before it is that long ago, as soon as the writing side has nothing to do: alone, an event is shown
//! at once; events that keep coming share the price of a batch, and batches that wait are written together.
//! Memory is bounded by [`AHEAD_BATCHES_MAX`] batches, [`TOGETHER_BATCHES_MAX`] that are written, and one being read.
//! Not here: what a batch does (`projector`), what it is made of (`source`).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use waag_model::ids::Position;
use waag_stdx::clock::Clock;
use waag_stdx::threads;

use crate::contract::Cursor;
use crate::error::ViewsError;
use crate::projector::{Gatherer, ProjectError, Projector, Ready};
use crate::source::{Batch, BatchLimits, FactSource, SourceFault};

/// Most batches that wait, gathered, for the writing side.
pub const AHEAD_BATCHES_MAX: usize = 2;
/// Most waiting batches that are written in one transaction; one where views rest between them.
pub const TOGETHER_BATCHES_MAX: usize = 3;

/// A batch of more events waits for yet more, up to [`Following::linger_busy`] or [`Following::linger_starved`].
pub const BUSY_EVENTS: usize = 1_000;

/// Transactions in a row whose thread waited for a core a good part of their time, until it is taken for starved.
const STARVED_TRANSACTIONS: u32 = 2;

/// Views that are further behind than this, in events, while the ledger outgrows them and others wait for their time,
/// rest after each transaction: fresh they will not be, and what they take is taken from acknowledgements.
pub const REST_LAG_EVENTS: u64 = 1_000_000;
/// Longest rest, in milliseconds, so that what is shown still moves.
pub const REST_MS_MAX: u64 = 30_000;
/// A rest is so many times as long as the transaction before it.
const REST_TIMES: u32 = 6;

/// What a transaction met.
#[derive(Clone, Copy, Debug)]
struct Met {
    /// How long it took.
    took: Duration,
    /// How long its thread waited for a core meanwhile.
    waited: Duration,
    /// How many events it wrote.
    events: u64,
    /// By how many the ledger grew meanwhile.
    grown: u64,
    /// How many are left.
    lag: u64,
}

impl Met {
    /// Whether others want the time that it takes: its thread waited for a core a fifth of it.
    fn is_starved(self) -> bool {
        !self.took.is_zero() && self.waited >= self.took / 5
    }

    /// How long to rest after it.
    fn rest(self) -> Duration {
        let is_busy = self.waited >= self.took / 2;
        if is_busy && self.grown > self.events && self.lag > REST_LAG_EVENTS {
            self.took.saturating_mul(REST_TIMES).min(Duration::from_millis(REST_MS_MAX))
        } else {
            Duration::ZERO
        }
    }
}

/// Told whenever the ledger's guard moved, so that nobody has to wait for the next look.
#[derive(Debug, Default)]
pub struct Wake {
    news: Mutex<bool>,
    changed: Condvar,
}

impl Wake {
    /// There is something to look at.
    pub fn notify(&self) {
        *self.news.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    fn wait(&self, most: Duration) {
        let news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(news, most, |news| !*news);
        let mut news = waited.map_or_else(|poisoned| poisoned.into_inner().0, |(news, _)| news);
        *news = false;
    }
}

/// What following needs beside the projector.
#[derive(Clone)]
pub struct Following {
    /// Where facts come from.
    pub source: FactSource,
    /// How large batches are.
    pub limits: BatchLimits,
    /// How long a batch's first event waits at most while the writing side is busy.
    pub linger: Duration,
    /// The same where many events come ([`BUSY_EVENTS`]): what a batch costs is mostly the pages it touches, so that a few
    /// larger ones leave more time for acknowledgements.
    pub linger_busy: Duration,
    /// The same where others want all the time there is: recording goes before showing.
    pub linger_starved: Duration,
    /// How long nothing is looked at without being woken.
    pub poll: Duration,
    /// Told when there is news.
    pub wake: Arc<Wake>,
    /// For batches' ages and the rate.
    pub clock: Arc<dyn Clock>,
}

impl Following {
    /// Following with the usual limits: batches of up to 50,000 events or 200 ms, half a second under load, two where the
    /// machine has no time left, a look every 50 ms.
    #[must_use]
    pub fn new(source: FactSource, clock: Arc<dyn Clock>) -> Self {
        Self {
            source,
            limits: BatchLimits::default(),
            linger: Duration::from_millis(200),
            linger_busy: Duration::from_millis(500),
            linger_starved: Duration::from_secs(2),
            poll: Duration::from_millis(50),
            wake: Arc::new(Wake::default()),
            clock,
        }
    }
}

/// The ledger as far as it is recorded at the moment of the call, for whoever reads it up to its end and then asks again.
pub type Recorded<'r, E> = dyn FnMut() -> Result<Following, E> + 'r;

/// Follows the ledger until told to stop; where another projector moved a cursor or exchanged a build, goes on from what
/// is there. Tells how it ended in the progress as well.
///
/// # Errors
/// [`ProjectError`]; nothing was passed over, and calling again goes on from the cursors.
pub fn follow(
    projector: &mut Projector,
    following: &Following,
    stop: &AtomicBool,
) -> Result<(), ProjectError> {
    let ended = loop {
        match run(projector, following, Position(u64::MAX), stop) {
            Err(ProjectError::Views(ViewsError::CursorMoved { .. } | ViewsError::Unknown(_))) => {
                if let Err(error) = projector.reopen() {
                    break Err(ProjectError::Views(error));
                }
            }
            ended => break ended,
        }
    };
    projector.ended(ended.as_ref().err());
    ended
}

/// Projects up to a position, or until told to stop.
///
/// # Errors
/// [`ProjectError`].
pub fn run(
    projector: &mut Projector,
    following: &Following,
    to: Position,
    stop: &AtomicBool,
) -> Result<(), ProjectError> {
    let (sender, receiver) = sync_channel(AHEAD_BATCHES_MAX);
    let waiting = AtomicUsize::new(0);
    let (given_up, starved) = (AtomicBool::new(false), AtomicBool::new(false));
    let opener = Opener {
        following,
        gatherer: projector.gatherer(),
        to,
        stop,
        given_up: &given_up,
        waiting: &waiting,
        starved: &starved,
    };
    let start = projector.cursor();
    thread::scope(|scope| {
        let opening = thread::Builder::new().name("waag-open".to_owned());
        let opening = opening.spawn_scoped(scope, move || opener.run(start, &sender));
        if let Err(error) = opening {
            let failed = ViewsError::Failed { attempt: "start a thread", reason: error.to_string() };
            return Err(ProjectError::Views(failed));
        }
        // Returning drops the receiver, which ends an opener that has a batch to send; the flag ends one that waits.
        let written = write(projector, following, &receiver, (&waiting, &starved), stop);
        drop(receiver);
        given_up.store(true, Ordering::Release);
        following.wake.notify();
        written
    })
}

fn write(
    projector: &mut Projector,
    following: &Following,
    batches: &Receiver<Result<Ready, SourceFault>>,
    (waiting, starved): (&AtomicUsize, &AtomicBool),
    stop: &AtomicBool,
) -> Result<(), ProjectError> {
    let mut starved_for = 0_u32;
    let mut before = following.clock.monotonic();
    let mut together_max = TOGETHER_BATCHES_MAX;
    while let Ok(first) = batches.recv() {
        let (begun, guarded, waited) =
            (following.clock.monotonic(), following.source.guarded(), threads::waited());
        let (mut together, mut fault) = (vec![first?], None);
        while together.len() < together_max && fault.is_none() {
            match batches.try_recv() {
                Ok(Ok(batch)) => together.push(batch),
                Ok(Err(error)) => fault = Some(error),
                Err(_) => break,
            }
        }
        projector.apply_all(&together, following.source.guarded())?;
        waiting.fetch_sub(together.len(), Ordering::AcqRel);
        let now = following.clock.monotonic();
        let events = together.iter().map(Ready::len).sum();
        projector.rated(events, now.saturating_sub(before));
        before = now;
        if let Some(fault) = fault {
            return Err(fault.into());
        }
        let reached = following.source.guarded();
        let since = |waited: Duration| Some(threads::waited()?.saturating_sub(waited));
        let met = Met {
            took: now.saturating_sub(begun),
            waited: waited.and_then(since).unwrap_or_default(),
            events: u64::try_from(events).unwrap_or(u64::MAX),
            grown: reached.0.saturating_sub(guarded.0),
            lag: reached.0.saturating_sub(projector.cursor().position.0),
        };
        starved_for = if met.is_starved() { starved_for.saturating_add(1) } else { 0 };
        starved.store(starved_for >= STARVED_TRANSACTIONS, Ordering::Release);
        let rest = met.rest();
        // A long transaction would need a longer rest than what is shown may stand still for.
        together_max = if rest.is_zero() { TOGETHER_BATCHES_MAX } else { 1 };
        let until = now.saturating_add(rest);
        while following.clock.monotonic() < until && !stop.load(Ordering::Acquire) {
            thread::sleep(following.poll);
        }
    }
    Ok(())
}

struct Opener<'r> {
    following: &'r Following,
    gatherer: Gatherer,
    to: Position,
    stop: &'r AtomicBool,
    /// The writing side has ended.
    given_up: &'r AtomicBool,
    /// Batches sent and not yet written.
    waiting: &'r AtomicUsize,
    /// The writing side gets little of the machine's time.
    starved: &'r AtomicBool,
}

impl Opener<'_> {
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Acquire) || self.given_up.load(Ordering::Acquire)
    }

    fn run(&self, start: Cursor, batches: &SyncSender<Result<Ready, SourceFault>>) {
        let mut cursor = start;
        let mut sent = None;
        while !self.is_over() && cursor.position < self.to {
            let (batch, fault) = self.next(cursor, sent);
            cursor = batch.end();
            if !batch.is_empty() {
                sent = Some(self.following.clock.monotonic());
                let ready = self.gatherer.gather(&batch);
                drop(batch);
                let is_fault = ready.is_err();
                self.waiting.fetch_add(1, Ordering::AcqRel);
                if batches.send(ready).is_err() || is_fault {
                    return;
                }
            }
            if let Some(fault) = fault {
                drop(batches.send(Err(fault)));
                return;
            }
        }
    }

    /// The next batch, as far as it came; empty only at the end, at a fault, or where nothing came for a while.
    fn next(&self, cursor: Cursor, sent: Option<Duration>) -> (Batch, Option<SourceFault>) {
        let Following { source, limits, poll, wake, clock, .. } = self.following;
        let mut batch = Batch::after(cursor);
        let mut begun = None;
        loop {
            let mut go_on = || !self.is_over();
            if let Err(fault) = source.fill(&mut batch, self.to, limits, &mut go_on) {
                return (batch, Some(fault));
            }
            if self.is_over() || batch.is_full(limits) || batch.end().position >= self.to {
                return (batch, None);
            }
            let now = clock.monotonic();
            let linger = self.linger(batch.len());
            if batch.is_empty() {
                wake.wait(*poll);
                continue;
            }
            let is_quiet = sent.is_none_or(|sent| now.saturating_sub(sent) >= linger);
            if is_quiet && self.waiting.load(Ordering::Acquire) == 0 {
                return (batch, None);
            }
            let waited = now.saturating_sub(*begun.get_or_insert(now));
            if waited >= linger {
                return (batch, None);
            }
            // More is read when it is due, and not at each commit: a look costs as much as some events. Where others want
            // all the time there is, all of it is read at once.
            let left = linger.saturating_sub(waited);
            let is_starved = self.starved.load(Ordering::Acquire);
            self.rest(if is_starved { left } else { left.min(*poll) });
        }
    }

    /// Rests for a while, or until it is over.
    fn rest(&self, time: Duration) {
        let Following { clock, poll, .. } = self.following;
        let until = clock.monotonic().saturating_add(time);
        while !self.is_over() {
            let left = until.saturating_sub(clock.monotonic());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(*poll));
        }
    }

    /// How long a batch of so many events waits for more.
    fn linger(&self, events: usize) -> Duration {
        let is_starved = self.starved.load(Ordering::Acquire);
        match (events > BUSY_EVENTS, is_starved) {
            (false, _) => self.following.linger,
            (true, false) => self.following.linger_busy,
            (true, true) => self.following.linger_starved,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_rest_only_far_behind_while_the_ledger_outgrows_them_and_others_want_the_time() {
        let took = Duration::from_secs(1);
        let far = Met { took, waited: took / 2, events: 10, grown: 11, lag: REST_LAG_EVENTS + 1 };
        assert_eq!(far.rest(), took * REST_TIMES);
        assert_eq!(
            Met { took: took * 9, waited: took * 9, ..far }.rest(),
            Duration::from_millis(REST_MS_MAX)
        );
        let busy = [
            Met { waited: Duration::from_millis(499), ..far },
            Met { grown: 10, ..far },
            Met { lag: REST_LAG_EVENTS, ..far },
        ];
        assert_eq!(busy.map(Met::rest), [Duration::ZERO; 3]);
    }

    #[test]
    fn who_waits_for_a_core_a_fifth_of_its_time_is_starved() {
        let took = Duration::from_millis(100);
        let met = Met { took, waited: took / 5, events: 1, grown: 1, lag: 0 };
        assert!(met.is_starved());
        for other in [Met { waited: took / 6, ..met }, Met { took: Duration::ZERO, ..met }] {
            assert!(!other.is_starved(), "{other:?}");
        }
    }
}
