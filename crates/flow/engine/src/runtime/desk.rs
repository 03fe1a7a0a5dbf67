//! Where everything that comes to the engine is put down, and where it steps.
//!
//! There is no thread that only steps: whoever puts something down steps, for others too, unless somebody else is at it,
//! who then finds what was put down. A wake-up of a thread costs more than most steps do, and each commit has many.
//! Whoever steps may have to wait for the follower, so the follower itself never puts anything down.
//!
//! Place: below `runtime`, which says what a step is. It knows nothing of the engine, so that a model checker can go
//! through all orders of its threads (`tests/desk.rs`, which compiles this very file with the checker's locks).

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::sync::{AtomicBool, Condvar, Mutex, MutexGuard, Ordering, PoisonError, TryLockError};

/// How often who ends the writer looks whether all is done.
const END_LOOK: Duration = Duration::from_millis(5);

/// What steps.
pub(super) trait Steps {
    /// What is put down for it.
    type Message;
    /// What one step leaves to whoever stepped, to be carried out outside of all locks; what comes of it is put down.
    type AtHand: Iterator<Item: FnOnce() -> Self::Message>;

    /// Takes one message after the other until there is none.
    fn run(&mut self, next: impl FnMut() -> Option<Self::Message>, at_hand: &mut Self::AtHand);

    /// Whether nothing is under way, or nothing will be done any more.
    fn is_done(&self) -> bool;

    /// Tells that a step broke off (a panic), so that nobody knows what it was in the middle of. What is under way is
    /// answered for when `self` is dropped, which follows outside of all locks.
    fn broke_off(&self);
}

/// The desk, and who sits at it until it ends.
pub(super) struct Desk<S: Steps> {
    /// Bounded by those who put something down.
    inbox: Mutex<VecDeque<S::Message>>,
    /// Gone when the desk has ended.
    stepper: Mutex<Option<S>>,
    /// Rung at each step, for who waits for the end.
    stepped: Condvar,
    has_ended: AtomicBool,
}

impl<S: Steps> Default for Desk<S> {
    fn default() -> Self {
        Self {
            inbox: Mutex::new(VecDeque::new()),
            stepper: Mutex::new(None),
            stepped: Condvar::new(),
            has_ended: AtomicBool::new(false),
        }
    }
}

impl<S: Steps> Desk<S> {
    /// Who steps from now on.
    pub(super) fn seat(&self, stepper: S) {
        *self.stepper() = Some(stepper);
    }

    /// Whether it has ended: whoever brings something now is answered by its being dropped.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    fn inbox(&self) -> MutexGuard<'_, VecDeque<S::Message>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stepper(&self) -> MutexGuard<'_, Option<S>> {
        // Nothing unwinds while it is locked.
        self.stepper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something down, steps unless somebody is stepping, and carries out what was left to whoever stepped.
    /// Nobody waits here for anybody else.
    pub(super) fn put(&self, message: S::Message, mut at_hand: S::AtHand) {
        self.inbox().push_back(message);
        self.step(&mut at_hand);
        while let Some(carry_out) = at_hand.next() {
            if self.has_ended() {
                return;
            }
            // Outside of all locks: others step meanwhile.
            let message = carry_out();
            self.inbox().push_back(message);
            self.step(&mut at_hand);
        }
    }

    fn step(&self, at_hand: &mut S::AtHand) {
        // Who steps looks again after having let go: what was put down meanwhile is found by one of the two.
        while !self.inbox().is_empty() {
            let mut stepper = match self.stepper.try_lock() {
                Ok(stepper) => stepper,
                Err(TryLockError::WouldBlock) => return,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            };
            match stepper.as_mut() {
                Some(running) => {
                    let fallen =
                        self.run(running, at_hand).is_err().then(|| self.fall(&mut stepper)).flatten();
                    drop(stepper);
                    drop_caught(fallen);
                }
                None => {
                    drop(stepper);
                    // Messages that are dropped answer for themselves; outside of all locks.
                    let unanswered = std::mem::take(&mut *self.inbox());
                    return drop(unanswered);
                }
            }
            self.stepped.notify_all();
        }
    }

    /// One step; an error is a panic in it, which has told of itself.
    fn run(&self, running: &mut S, at_hand: &mut S::AtHand) -> Result<(), BrokeOff> {
        let step = || running.run(|| self.inbox().pop_front(), at_hand);
        catch_unwind(AssertUnwindSafe(step)).map_err(|_| BrokeOff)
    }

    /// Ends the desk after a step that panicked, as whoever hears an answer may make one.
    fn fall(&self, stepper: &mut Option<S>) -> Option<S> {
        self.has_ended.store(true, Ordering::Release);
        let fallen = stepper.take();
        fallen.iter().for_each(S::broke_off);
        fallen
    }

    /// Waits until nothing is under way, or nothing will be done any more, and lets go of who steps. Steps here leave
    /// nothing to this thread, which waits: `of_nobody` makes what has no room.
    pub(super) fn end(&self, of_nobody: impl Fn() -> S::AtHand) {
        let mut stepper = self.stepper();
        while let Some(running) = stepper.as_mut() {
            let stepped = self.run(running, &mut of_nobody());
            let is_done = running.is_done();
            if stepped.is_err() {
                let fallen = self.fall(&mut stepper);
                drop(stepper);
                return drop_caught(fallen);
            }
            if is_done {
                break;
            }
            // A message that came while this thread held the lock rang before it waits: hence the bound.
            let waited = self.stepped.wait_timeout(stepper, END_LOOK);
            stepper = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        self.has_ended.store(true, Ordering::Release);
        *stepper = None;
    }
}

/// A panic in a step.
struct BrokeOff;

/// Lets go of what a panic has left in an unknown state, so that a second one ends here.
fn drop_caught<T>(fallen: T) {
    drop(catch_unwind(AssertUnwindSafe(|| drop(fallen))));
}
