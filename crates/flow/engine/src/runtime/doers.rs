//! What carries effects out: a thread for each kind, or whoever stepped.
//!
//! A panic in one is a failure of the writer like any other: it halts, and everybody who waits is told.
//!
//! Place: `runtime` hands effects over here; what comes of them is put down on its desk.
//! Not here: when an effect is due (`engine`), who steps (`runtime`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use waag_log::frame::Frame;
use waag_log::guard::GuardRecord;
use waag_log::hashes::StoredHashes;
use waag_model::ids::FrameNumber;

use super::{Desk, Message, World, caught, spawn};
use crate::batch::Ticket;
use crate::effect::{Committed, Comparison, Halt, Input};
use crate::engine::BATCHES_QUEUED_MAX;
use crate::identity::Job;

/// Committed frames that wait for the follower; it only writes derived files, and the writer waits when it lags.
const FOLLOW_QUEUE_MAX: usize = 16;
/// A larger frame is written by the log's own thread, so that the next one is made and the last one guarded meanwhile.
const FRAME_AT_HAND_BYTES_MAX: usize = 64 * 1_024;
/// Hashes of a commit that who steps writes itself, where the follower has nothing to do: microseconds.
const HASHES_AT_HAND_MAX: usize = 512;

/// What follows a commit.
pub(super) enum Follow {
    Frame(Committed),
    Job(Job),
}

/// An effect that whoever stepped carries out itself, after having let go of the stepper.
pub(super) type Work = Box<dyn FnOnce() -> Message>;

/// What whoever stepped carries out itself: one thing at a time, since a frame is appended while the one before it is
/// guarded, and of each kind as many as it may.
pub(super) struct AtHand {
    work: Option<Work>,
    appends_left: usize,
    guards_left: usize,
}

impl AtHand {
    /// For who has brought something and wants to go on: what its own batch needs, and nothing of those behind it.
    pub(super) fn of_guest() -> Self {
        Self { work: None, appends_left: 1, guards_left: 1 }
    }

    /// For the log's own thread, which guards where nothing is to be appended.
    fn of_log() -> Self {
        Self { work: None, appends_left: usize::MAX, guards_left: usize::MAX }
    }

    /// For the guard's own thread: were it to append, nobody would guard meanwhile.
    fn of_guard() -> Self {
        Self { work: None, appends_left: 0, guards_left: usize::MAX }
    }

    /// For who must not be kept.
    pub(super) fn of_nobody() -> Self {
        Self { work: None, appends_left: 0, guards_left: 0 }
    }
}

/// What to carry out next.
impl Iterator for AtHand {
    type Item = Work;

    fn next(&mut self) -> Option<Work> {
        self.work.take()
    }
}

type Append = (FrameNumber, Frame);
type Swap = (u64, GuardRecord);

/// One thread for each kind of effect; an effect of a kind follows the one before it.
pub(super) struct Doers {
    pub(super) keys: SyncSender<u64>,
    log: Doer<Append>,
    guard: Doer<Swap>,
    pub(super) compare: SyncSender<(Ticket, Vec<Comparison>)>,
    follow: SyncSender<Follow>,
    /// What was sent to the follower and is not done; only whoever steps adds to it.
    following: Arc<AtomicUsize>,
    hashes: Arc<dyn StoredHashes>,
}

/// A kind of effect that its thread carries out, or whoever stepped.
struct Doer<T> {
    carry_out: Arc<dyn Fn(T) -> Input + Send + Sync>,
    thread: SyncSender<T>,
}

impl<T: Send + 'static> Doer<T> {
    fn start(
        of: Own,
        threads: &mut Vec<JoinHandle<()>>,
        carry_out: impl Fn(T) -> Input + Send + Sync + 'static,
        failed: fn(Halt) -> Input,
    ) -> std::io::Result<Self> {
        let carry_out = move |one| caught(|| carry_out(one)).unwrap_or_else(failed);
        let carry_out: Arc<dyn Fn(T) -> Input + Send + Sync> = Arc::new(carry_out);
        let own = Arc::clone(&carry_out);
        let thread = doer(of, 1, threads, move |one| Some(own(one)))?;
        Ok(Self { carry_out, thread })
    }

    /// An effect to be carried out by whoever asks.
    fn at_hand(&self, one: T) -> Work {
        let carry_out = Arc::clone(&self.carry_out);
        Box::new(move || Message::Input(carry_out(one)))
    }
}

impl Doers {
    pub(super) fn start(
        world: &World,
        desk: &Arc<Desk>,
        threads: &mut Vec<JoinHandle<()>>,
    ) -> std::io::Result<Self> {
        // None but the log's and the guard's goes on with commits: who waits for the others must not wait for whatever
        // comes after.
        let own = |name, at_hand: fn() -> AtHand| (name, Arc::clone(desk), at_hand);
        let only = |name| own(name, AtHand::of_nobody);
        let keyring = Arc::clone(&world.keyring);
        let keys = doer(only("waag-keys"), 1, threads, move |up_to| {
            let durable = caught(|| keyring.commit_pending(up_to));
            let durable =
                durable.and_then(|durable| durable.map_err(|error| Halt::ours(error.code(), &error)));
            Some(Input::KeysDurable(durable))
        })?;
        let (log, keyring) = (Arc::clone(&world.log), Arc::clone(&world.keyring));
        let append = move |(expected, frame): Append| {
            let appended = log.append(expected, &frame).map(|()| (frame, keyring.generation()));
            Input::Appended(appended.map_err(|error| Halt::ours(error.code(), &error)))
        };
        let log =
            Doer::start(own("waag-log", AtHand::of_log), threads, append, |halt| Input::Appended(Err(halt)))?;
        let guard = Arc::clone(&world.guard);
        let swap = move |(expected, record)| {
            let swapped = guard.swap(Some(expected), &record);
            Input::Guarded(swapped.map_err(|error| Halt::ours(error.code(), &error)))
        };
        let guard = Doer::start(own("waag-guard", AtHand::of_guard), threads, swap, |halt| {
            Input::Guarded(Err(halt))
        })?;
        let reader = world.reader.clone();
        let compare = doer(
            only("waag-compare"),
            BATCHES_QUEUED_MAX,
            threads,
            move |(ticket, retries): (_, Vec<_>)| {
                Some(match caught(|| reader.compare(&retries)) {
                    Ok(Ok(verdicts)) => Input::Compared(ticket, verdicts),
                    Ok(Err(fault)) => Input::CompareFailed(ticket, Halt::ours(fault.code(), &fault)),
                    Err(halt) => Input::CompareFailed(ticket, halt),
                })
            },
        )?;
        let index = doer(only("waag-index"), 1, threads, |job: Job| {
            Some(caught(|| job.run()).map_or_else(Input::BrokeOff, Input::Maintained))
        })?;
        let following = Arc::new(AtomicUsize::new(0));
        let (hashes, done) = (Arc::clone(&world.hashes), Arc::clone(&following));
        let follow = follower(desk, threads, move |follow| {
            let followed = caught(|| match follow {
                Follow::Frame(committed) => write_hashes(&*hashes, &committed),
                Follow::Job(job) => {
                    // What the index covers need not be replayed, so the stored hashes must be durable that far.
                    drop(hashes.sync());
                    drop(index.send(job));
                }
            });
            done.fetch_sub(1, Ordering::AcqRel);
            followed.err()
        })?;
        Ok(Self { keys, log, guard, compare, follow, following, hashes: Arc::clone(&world.hashes) })
    }

    /// An append, by whoever stepped or the log's own thread.
    pub(super) fn append(&self, append: Append, at_hand: &mut AtHand) {
        let is_large = append.1.bytes().len() > FRAME_AT_HAND_BYTES_MAX;
        if is_large {
            // Who asks may be the log's own thread: it begins at once, and another guards the frame before.
            at_hand.guards_left = 0;
        }
        if is_large || at_hand.appends_left == 0 || at_hand.work.is_some() {
            return drop(self.log.thread.send(append));
        }
        at_hand.appends_left -= 1;
        at_hand.work = Some(self.log.at_hand(append));
    }

    /// A swap of the guard, by whoever stepped or the guard's own thread.
    pub(super) fn swap(&self, swap: Swap, at_hand: &mut AtHand) {
        if at_hand.guards_left == 0 || at_hand.work.is_some() {
            return drop(self.guard.thread.send(swap));
        }
        at_hand.guards_left -= 1;
        at_hand.work = Some(self.guard.at_hand(swap));
    }

    /// What follows a commit, in order.
    pub(super) fn follow(&self, follow: Follow) {
        if let Follow::Frame(committed) = &follow
            && committed.tree.stored_hashes().len() <= HASHES_AT_HAND_MAX
            && self.following.load(Ordering::Acquire) == 0
        {
            return write_hashes(&*self.hashes, committed);
        }
        self.following.fetch_add(1, Ordering::AcqRel);
        drop(self.follow.send(follow));
    }
}

/// Derived: a failure shows when a proof is asked for, and is mended at the next opening.
fn write_hashes(hashes: &dyn StoredHashes, committed: &Committed) {
    drop(hashes.write(committed.tree.stored_first(), committed.tree.stored_hashes()));
}

/// The thread that does what follows commits; a failure of it is a panic.
fn follower(
    desk: &Arc<Desk>,
    threads: &mut Vec<JoinHandle<()>>,
    follow_one: impl FnMut(Follow) -> Option<Halt> + Send + 'static,
) -> std::io::Result<SyncSender<Follow>> {
    let (sender, work) = sync_channel(FOLLOW_QUEUE_MAX);
    let desk = Arc::clone(desk);
    threads.push(spawn("waag-follow", move || {
        // Lets go of its queue before it tells: telling may step the writer, which must not wait for this very thread.
        let broke_off = work.into_iter().find_map(follow_one);
        // Untold, the writer would wait for a job that is done by nobody when its tables are full.
        if let Some(halt) = broke_off {
            desk.put(Message::Input(Input::BrokeOff(halt)), AtHand::of_nobody());
        }
    })?);
    Ok(sender)
}

/// A thread's name, the desk it puts things down on, and what it does beside its own kind of effect.
type Own = (&'static str, Arc<Desk>, fn() -> AtHand);

/// A thread that carries out one kind of effect and puts down what comes of it.
fn doer<T: Send + 'static>(
    (name, desk, at_hand): Own,
    room: usize,
    threads: &mut Vec<JoinHandle<()>>,
    mut carry_out: impl FnMut(T) -> Option<Input> + Send + 'static,
) -> std::io::Result<SyncSender<T>> {
    let (sender, work) = sync_channel(room);
    threads.push(spawn(name, move || {
        for one in work {
            if let Some(input) = carry_out(one) {
                desk.put(Message::Input(input), at_hand());
            }
        }
    })?);
    Ok(sender)
}
