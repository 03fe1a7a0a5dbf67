//! The desk in all orders of its threads that two or three forced changes of thread can make, by a model checker that also
//! knows what one processor may not yet see of another's writes (loom).
//!
//! Whatever is put down is stepped or answered for, by whoever is there: nothing may be left lying until somebody happens
//! to come by. What steps here is a model of the engine: one work at a time, the others wait for it.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

#[path = "../src/runtime/desk.rs"]
mod desk;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use desk::{Desk, Steps};
use loom::sync::mpsc::{Sender, channel};
use loom::thread;

/// The checker's locks, as `runtime::sync` has the standard library's.
mod sync {
    use std::ops::{Deref, DerefMut};
    use std::sync::{LockResult, TryLockResult};
    use std::time::Duration;

    pub(super) use loom::sync::atomic::{AtomicBool, Ordering};
    pub(super) use std::sync::{PoisonError, TryLockError};

    /// A lock that its guard leads back to, for [`Condvar::wait_timeout`].
    pub(super) struct Mutex<T> {
        lock: loom::sync::Mutex<T>,
        /// Written before each release and each attempt: the checker takes a release for nothing that another thread could
        /// come before, which is right for who waits for a lock, and not for who goes away.
        order: loom::sync::atomic::AtomicUsize,
    }

    pub(super) struct MutexGuard<'a, T> {
        of: &'a Mutex<T>,
        held: loom::sync::MutexGuard<'a, T>,
    }

    impl<T> Mutex<T> {
        pub(super) fn new(data: T) -> Self {
            Self { lock: loom::sync::Mutex::new(data), order: loom::sync::atomic::AtomicUsize::new(0) }
        }

        pub(super) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
            Ok(MutexGuard { of: self, held: self.lock.lock().unwrap_or_else(PoisonError::into_inner) })
        }

        pub(super) fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
            self.order.fetch_add(1, Ordering::Relaxed);
            match self.lock.try_lock() {
                Ok(held) => Ok(MutexGuard { of: self, held }),
                Err(_) => Err(TryLockError::WouldBlock),
            }
        }
    }

    impl<T> Drop for MutexGuard<'_, T> {
        fn drop(&mut self) {
            self.of.order.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.held
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.held
        }
    }

    /// A wait that is over when others have had their turn, rung or not: the checker has no clock.
    pub(super) struct Condvar;

    impl Condvar {
        pub(super) fn new() -> Self {
            Self
        }

        pub(super) fn notify_all(&self) {}

        pub(super) fn wait_timeout<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
            _: Duration,
        ) -> LockResult<(MutexGuard<'a, T>, bool)> {
            let of = guard.of;
            drop(guard);
            loom::thread::yield_now();
            let again = of.lock().unwrap_or_else(PoisonError::into_inner);
            Ok((again, true))
        }
    }
}

/// What became of all that was put down. Not the checker's: it is looked at when all threads are done.
#[derive(Default)]
struct Seen {
    brought: AtomicUsize,
    done: AtomicUsize,
    dropped: AtomicUsize,
    broke_off: AtomicUsize,
}

impl Seen {
    fn of(&self, count: &AtomicUsize) -> usize {
        count.load(Ordering::SeqCst)
    }

    fn all(&self) -> [usize; 4] {
        [&self.brought, &self.done, &self.dropped, &self.broke_off].map(|count| self.of(count))
    }
}

fn more(count: &AtomicUsize) {
    count.fetch_add(1, Ordering::SeqCst);
}

/// Somebody waits for each: one that is let go of unstepped has answered so.
struct Waits(Arc<Seen>, bool);

impl Drop for Waits {
    fn drop(&mut self) {
        if !self.1 {
            more(&self.0.dropped);
        }
    }
}

enum Message {
    /// A batch.
    Bring(Waits),
    /// Its work is done.
    Done,
    /// Somebody who hears an answer panics.
    Panic,
}

type Work = Box<dyn FnOnce() -> Message + Send>;

/// At most so many works for whoever stepped.
struct AtHand {
    room: usize,
    work: Option<Work>,
}

impl AtHand {
    fn of(room: usize) -> Self {
        Self { room, work: None }
    }
}

impl Iterator for AtHand {
    type Item = Work;

    fn next(&mut self) -> Option<Work> {
        self.work.take()
    }
}

/// One work is under way at a time, by whoever stepped or, where nobody may, by a thread.
struct Engine {
    seen: Arc<Seen>,
    waiting: VecDeque<Waits>,
    under_way: Option<Waits>,
    thread: Sender<Order>,
}

/// What the thread hears.
enum Order {
    Work,
    /// Nobody else is there any more: what it has been sent by now, and sends itself, is all.
    Last,
}

impl Engine {
    fn begin(&mut self, at_hand: &mut AtHand) {
        let Some(next) = self.waiting.pop_front() else { return };
        self.under_way = Some(next);
        if at_hand.room == 0 || at_hand.work.is_some() {
            return drop(self.thread.send(Order::Work));
        }
        at_hand.room -= 1;
        at_hand.work = Some(Box::new(|| Message::Done));
    }
}

impl Steps for Engine {
    type Message = Message;
    type AtHand = AtHand;

    fn run(&mut self, mut next: impl FnMut() -> Option<Message>, at_hand: &mut AtHand) {
        while let Some(message) = next() {
            match message {
                Message::Bring(waits) => {
                    more(&self.seen.brought);
                    self.waiting.push_back(waits);
                }
                Message::Done => {
                    self.under_way.take().unwrap().1 = true;
                    more(&self.seen.done);
                }
                Message::Panic => std::panic::resume_unwind(Box::new("told by the model")),
            }
            if self.under_way.is_none() {
                self.begin(at_hand);
            }
        }
    }

    fn is_done(&self) -> bool {
        self.under_way.is_none() && self.waiting.is_empty()
    }

    fn broke_off(&self) {
        more(&self.seen.broke_off);
    }
}

/// A desk, its thread's orders, and what becomes of what is put down.
#[derive(Clone)]
struct Scene {
    desk: loom::sync::Arc<Desk<Engine>>,
    thread: Sender<Order>,
    seen: Arc<Seen>,
}

impl Scene {
    /// Brings something, and carries out at most so many works.
    fn bring(&self, room: usize) {
        let waits = Waits(Arc::clone(&self.seen), false);
        self.desk.put(Message::Bring(waits), AtHand::of(room));
    }

    /// The same on a thread of its own.
    fn beside(&self, act: impl FnOnce(&Self) + Send + 'static) -> thread::JoinHandle<()> {
        let beside = self.clone();
        thread::spawn(move || act(&beside))
    }
}

/// Goes through all orders, with so many forced changes of thread, of what `act` does with a desk and a thread for works
/// that nobody may have at hand.
fn check(
    changes: usize,
    act: impl Fn(&Scene) + Send + Sync + 'static,
    expected: impl Fn([usize; 4]) -> bool + Send + Sync + 'static,
) {
    let orders = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&orders);
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(changes);
    model.check(move || {
        more(&counted);
        let (thread, works) = channel();
        let scene = Scene { desk: loom::sync::Arc::default(), thread: thread.clone(), seen: Arc::default() };
        let seen = Arc::clone(&scene.seen);
        scene.desk.seat(Engine {
            seen: Arc::clone(&seen),
            waiting: VecDeque::new(),
            under_way: None,
            thread,
        });
        let desk = loom::sync::Arc::clone(&scene.desk);
        let at_work = thread::spawn(move || {
            while let Ok(Order::Work) = works.recv() {
                desk.put(Message::Done, AtHand::of(0));
            }
            while let Ok(Order::Work) = works.try_recv() {
                desk.put(Message::Done, AtHand::of(0));
            }
        });
        act(&scene);
        drop(scene.thread.send(Order::Last));
        at_work.join().unwrap();
        drop(scene);
        assert!(expected(seen.all()), "brought, done, dropped, broke off: {:?}", seen.all());
    });
    assert!(orders.load(Ordering::SeqCst) > 100, "the checker has gone through few orders");
}

#[test]
fn what_two_bring_at_once_is_done_without_anybody_else_coming_by() {
    check(
        3,
        |scene| {
            let other = scene.beside(|scene| scene.bring(2));
            scene.bring(2);
            other.join().unwrap();
        },
        |seen| seen == [2, 2, 0, 0],
    );
}

#[test]
fn a_thread_does_what_those_who_bring_may_not() {
    check(
        3,
        |scene| {
            let other = scene.beside(|scene| scene.bring(0));
            scene.bring(1);
            other.join().unwrap();
        },
        |seen| seen == [2, 2, 0, 0],
    );
}

#[test]
fn three_who_bring_leave_nothing_lying() {
    check(
        2,
        |scene| {
            let others = [scene.beside(|scene| scene.bring(1)), scene.beside(|scene| scene.bring(1))];
            scene.bring(1);
            others.into_iter().for_each(|other| other.join().unwrap());
        },
        |seen| seen == [3, 3, 0, 0],
    );
}

#[test]
fn the_end_waits_for_what_is_under_way() {
    check(
        3,
        |scene| {
            scene.bring(0);
            scene.desk.end(|| AtHand::of(0));
            assert_eq!(scene.seen.all(), [1, 1, 0, 0], "brought, done, dropped, broke off");
        },
        |seen| seen == [1, 1, 0, 0],
    );
}

#[test]
fn who_comes_while_it_ends_is_answered_for() {
    check(
        3,
        |scene| {
            let other = scene.beside(|scene| scene.bring(1));
            scene.desk.end(|| AtHand::of(0));
            other.join().unwrap();
        },
        // Stepped and done, or let go of with the desk: never neither.
        |[_, done, dropped, broke_off]| done + dropped == 1 && broke_off == 0,
    );
}

#[test]
fn a_step_that_breaks_off_ends_the_desk_and_answers_for_all() {
    check(
        3,
        |scene| {
            let other = scene.beside(|scene| scene.bring(1));
            scene.desk.put(Message::Panic, AtHand::of(1));
            other.join().unwrap();
            assert!(scene.desk.has_ended());
            scene.bring(1);
            scene.desk.end(|| AtHand::of(0));
        },
        |[_, done, dropped, broke_off]| done + dropped == 2 && broke_off == 1,
    );
}
