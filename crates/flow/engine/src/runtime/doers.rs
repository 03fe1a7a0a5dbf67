//! What carries effects out: a thread for each kind, or whoever stepped.
//!
//! Place: `runtime` hands effects over here; what comes of them is put down on its desk.
//! Not here: when an effect is due (`engine`), who steps (`runtime`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use waag_log::frame::Frame;
use waag_log::guard::GuardRecord;
use waag_log::hashes::StoredHashes;
use waag_model::ids::FrameNumber;

use super::{Desk, Message, World, spawn};
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
pub(super) type Work = Box<dyn FnOnce() -> Input>;

/// What whoever stepped carries out itself, and how much of it.
pub(super) struct AtHand {
    work: VecDeque<Work>,
    appends_left: usize,
    guards_left: usize,
}

impl AtHand {
    /// For who has brought something and wants to go on: what its own batch needs, and nothing of those behind it.
    pub(super) fn of_guest() -> Self {
        Self { work: VecDeque::new(), appends_left: 1, guards_left: 1 }
    }

    /// For the log's and the guard's own threads.
    fn of_committer() -> Self {
        Self { work: VecDeque::new(), appends_left: usize::MAX, guards_left: usize::MAX }
    }

    /// For who must not be kept.
    pub(super) fn of_nobody() -> Self {
        Self { work: VecDeque::new(), appends_left: 0, guards_left: 0 }
    }

    /// What to carry out next.
    pub(super) fn next(&mut self) -> Option<Work> {
        self.work.pop_front()
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
    ) -> std::io::Result<Self> {
        let carry_out: Arc<dyn Fn(T) -> Input + Send + Sync> = Arc::new(carry_out);
        let own = Arc::clone(&carry_out);
        let thread = doer(of, 1, threads, move |one| Some(own(one)))?;
        Ok(Self { carry_out, thread })
    }

    /// An effect to be carried out by whoever asks.
    fn at_hand(&self, one: T) -> Work {
        let carry_out = Arc::clone(&self.carry_out);
        Box::new(move || carry_out(one))
    }
}

impl Doers {
    pub(super) fn start(
        world: &World,
        desk: &Arc<Desk>,
        threads: &mut Vec<JoinHandle<()>>,
    ) -> std::io::Result<Self> {
        // None but those two goes on with commits: who waits for the others must not wait for whatever comes after.
        let commits = |name| (name, Arc::clone(desk), AtHand::of_committer as fn() -> AtHand);
        let only = |name| (name, Arc::clone(desk), AtHand::of_nobody as fn() -> AtHand);
        let keyring = Arc::clone(&world.keyring);
        let keys = doer(only("waag-keys"), 1, threads, move |up_to| {
            let durable = keyring.commit_pending(up_to);
            Some(Input::KeysDurable(durable.map_err(|error| Halt::ours(error.code(), &error))))
        })?;
        let (log, keyring) = (Arc::clone(&world.log), Arc::clone(&world.keyring));
        let log = Doer::start(commits("waag-log"), threads, move |(expected, frame): Append| {
            let appended = log.append(expected, &frame).map(|()| (frame, keyring.generation()));
            Input::Appended(appended.map_err(|error| Halt::ours(error.code(), &error)))
        })?;
        let guard = Arc::clone(&world.guard);
        let guard = Doer::start(commits("waag-guard"), threads, move |(expected, record)| {
            let swapped = guard.swap(Some(expected), &record);
            Input::Guarded(swapped.map_err(|error| Halt::ours(error.code(), &error)))
        })?;
        let reader = world.reader.clone();
        let compare = doer(
            only("waag-compare"),
            BATCHES_QUEUED_MAX,
            threads,
            move |(ticket, retries): (_, Vec<_>)| {
                Some(match reader.compare(&retries) {
                    Ok(verdicts) => Input::Compared(ticket, verdicts),
                    Err(fault) => Input::CompareFailed(ticket, Halt::ours(fault.code(), &fault)),
                })
            },
        )?;
        let index = doer(only("waag-index"), 1, threads, |job: Job| Some(Input::Maintained(job.run())))?;
        let following = Arc::new(AtomicUsize::new(0));
        let (hashes, done) = (Arc::clone(&world.hashes), Arc::clone(&following));
        let follow = doer(only("waag-follow"), FOLLOW_QUEUE_MAX, threads, move |follow| {
            match follow {
                Follow::Frame(committed) => write_hashes(&*hashes, &committed),
                Follow::Job(job) => {
                    // What the index covers need not be replayed, so the stored hashes must be durable that far.
                    drop(hashes.sync());
                    drop(index.send(job));
                }
            }
            done.fetch_sub(1, Ordering::AcqRel);
            None
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
        if is_large || at_hand.appends_left == 0 {
            return drop(self.log.thread.send(append));
        }
        at_hand.appends_left -= 1;
        at_hand.work.push_back(self.log.at_hand(append));
    }

    /// A swap of the guard, by whoever stepped or the guard's own thread.
    pub(super) fn swap(&self, swap: Swap, at_hand: &mut AtHand) {
        if at_hand.guards_left == 0 {
            return drop(self.guard.thread.send(swap));
        }
        at_hand.guards_left -= 1;
        // Before an append: whoever waits for it has waited for longer.
        at_hand.work.push_front(self.guard.at_hand(swap));
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
