//! Waits for others who are about to send, before a batch begins: rounds of the door, not a time.
//!
//! Clients whose requests were answered together send the next ones together. A commit that begins with the first of
//! them makes all others wait for a second one, and costs its system calls, signatures and wake-ups for few events.
//! A time to wait would be too long for one and too short for many: the door goes round its connections instead, so that
//! what clients have sent meanwhile is there.
//!
//! Not here: what goes into a batch, and where there is a crowd (`queue`).

use std::sync::Arc;
use std::thread;

use super::queue::{Queue, Turn};

/// Rounds of the door before a batch begins: with 64 clients that brings two thirds of them (docs/benchmarks.md). A round
/// where nothing happens takes about a microsecond.
const ROUNDS: usize = 12;
/// How often the door looks again before it sleeps until it is rung, some hundred microseconds in all: among many clients
/// something comes sooner, and a processor that has been halted takes tens of microseconds to wake up.
const WAITS_AWAKE: usize = 100;

/// To be run as a task of its own beside the connections, for as long as there is a crowd: a connection's task looks at
/// its connection each time it is asked. Dropped, also with its runtime, it lets go what waits.
#[must_use = "whoever gathers is to be run; dropped, it lets all requests go"]
pub struct Gathering(Arc<Queue>);

impl Gathering {
    pub(super) fn of(queue: &Arc<Queue>) -> Self {
        Self(Arc::clone(queue))
    }

    /// Before each batch that may go, waits for those who are about to come; ends when the crowd is gone or the intake
    /// ends.
    pub async fn run(self) {
        loop {
            match self.0.turn() {
                Turn::Over => return,
                Turn::Wait => self.wait().await,
                Turn::Gather => {
                    for _ in 0..ROUNDS {
                        // Comes back when the runtime has looked at all connections and run what they woke.
                        tokio::task::yield_now().await;
                    }
                    self.0.release();
                }
            }
        }
    }

    /// Waits for something to gather; at first without sleeping.
    async fn wait(&self) {
        for _ in 0..WAITS_AWAKE {
            // Lets whoever seals, or a client on this machine, have the processor that this thread holds.
            thread::yield_now();
            tokio::task::yield_now().await;
            if self.0.turn() != Turn::Wait {
                return;
            }
        }
        self.0.bell.notified().await;
    }
}

impl Drop for Gathering {
    fn drop(&mut self) {
        self.0.end_gathering();
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;
    use std::sync::mpsc::{Receiver, sync_channel};
    use std::time::Duration;

    use tokio::task::{JoinHandle, yield_now};
    use waag_cloudevents::read_event;
    use waag_model::ids::Actor;
    use waag_model::time::UtcNanos;

    use super::*;
    use crate::fault::Fault;
    use crate::intake::queue::{CROWD, CROWDED_BATCHES, Queued};
    use crate::intake::{IntakeLimits, Job, Source, Take};

    const PATIENCE: Duration = Duration::from_secs(20);
    const SOON: Duration = Duration::from_millis(50);

    struct One;

    impl Source for One {
        fn each(&self, take: &mut Take<'_>) -> Result<(), Fault> {
            let event = read_event(br#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#);
            let (ControlFlow::Continue(()) | ControlFlow::Break(())) = take(event.map_err(Fault::from));
            Ok(())
        }

        fn bytes(&self) -> usize {
            64
        }

        fn events_hint(&self) -> usize {
            1
        }
    }

    fn job() -> Job {
        let actor = Actor::new("key:test").unwrap();
        Job { source: Box::new(One), actor, accepted: UtcNanos(0), answer: Box::new(|_| ()) }
    }

    /// A queue that so many requests have just left, answered together.
    fn queue_after(answered: usize) -> Arc<Queue> {
        let queue = Arc::new(Queue::new(IntakeLimits::default()));
        for _ in 0..answered {
            assert!(offer(&queue).is_none(), "no crowd was seen yet");
        }
        assert_eq!(queue.take().unwrap().len(), answered);
        queue.settled(answered, true);
        queue
    }

    fn queue() -> Arc<Queue> {
        queue_after(CROWD)
    }

    fn offer(queue: &Arc<Queue>) -> Option<Gathering> {
        queue.offer(job()).unwrap().then(|| Gathering::of(queue))
    }

    /// A sealing thread that takes one batch.
    fn taker(queue: &Arc<Queue>) -> Receiver<Vec<Queued>> {
        let (queue, (taken, is_taken)) = (Arc::clone(queue), sync_channel(1));
        thread::spawn(move || taken.send(queue.take().unwrap_or_default()));
        is_taken
    }

    fn taken(taker: &Receiver<Vec<Queued>>) -> usize {
        taker.recv_timeout(PATIENCE).unwrap().len()
    }

    fn waits(taker: &Receiver<Vec<Queued>>) -> bool {
        taker.recv_timeout(SOON).is_err()
    }

    async fn rounds(count: usize) {
        for _ in 0..count {
            yield_now().await;
        }
    }

    /// Offers the first request of a crowd, and runs who gathers.
    fn gather(queue: &Arc<Queue>) -> JoinHandle<()> {
        tokio::spawn(offer(queue).expect("who comes first after a crowd was seen gathers").run())
    }

    fn within<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
    }

    #[test]
    fn who_comes_within_the_rounds_goes_in_the_same_batch_and_who_comes_later_in_the_next() {
        let queue = queue();
        within(async {
            let taker = taker(&queue);
            let _gathering = gather(&queue);
            for _ in 0..3 {
                rounds(ROUNDS / 4).await;
                assert!(offer(&queue).is_none(), "one gathers");
            }
            assert!(waits(&taker), "others are waited for");
            rounds(ROUNDS).await;
            assert_eq!(taken(&taker), 4);
            for awake in [0, WAITS_AWAKE * 2] {
                assert!(offer(&queue).is_none(), "one gathers");
                let taker = self::taker(&queue);
                rounds(ROUNDS * 2 + awake).await;
                assert!(waits(&taker), "a batch is under way");
                assert!(offer(&queue).is_none(), "one gathers");
                queue.settled(4, false);
                assert!(waits(&taker), "others are waited for again");
                rounds(ROUNDS * 2).await;
                assert_eq!(taken(&taker), 2);
            }
        });
    }

    #[test]
    fn among_few_nobody_is_waited_for() {
        for (answered, is_crowd) in [(1, false), (CROWD - 1, false), (CROWD, true)] {
            let queue = queue_after(answered);
            let taker = taker(&queue);
            let gathering = offer(&queue);
            assert_eq!(gathering.is_some(), is_crowd, "{answered}");
            assert_eq!(waits(&taker), is_crowd, "{answered}");
            drop(gathering);
        }
    }

    #[test]
    fn a_crowd_is_also_who_waits_when_a_batch_is_settled() {
        let queue = queue_after(1);
        assert!(offer(&queue).is_none());
        assert_eq!(taken(&taker(&queue)), 1);
        (1..CROWD).for_each(|_| assert!(offer(&queue).is_none()));
        queue.settled(1, true);
        // They were told to go before anybody knew that they are many.
        assert_eq!(taken(&taker(&queue)), CROWD - 1);
        queue.settled(CROWD - 1, true);
        assert!(offer(&queue).is_some());
    }

    #[test]
    fn who_gathers_ends_with_the_crowd() {
        let queue = queue();
        within(async {
            let mut answered = 1;
            let gathering = gather(&queue);
            for batch in 1..=CROWDED_BATCHES {
                assert!(!gathering.is_finished(), "{batch}");
                let taker = taker(&queue);
                rounds(ROUNDS * 2).await;
                assert_eq!(taken(&taker), answered);
                queue.settled(answered, false);
                rounds(2).await;
                answered = 1;
                if batch < CROWDED_BATCHES {
                    assert!(offer(&queue).is_none());
                }
            }
            gathering.await.unwrap();
        });
        let taker = taker(&queue);
        assert!(offer(&queue).is_none());
        assert_eq!(taken(&taker), 1, "nobody is waited for");
    }

    #[test]
    fn what_waits_goes_also_where_nobody_gathers_to_the_end() {
        // Never run.
        let queue = queue();
        let taker = taker(&queue);
        let gathering = offer(&queue);
        assert!(waits(&taker));
        drop(gathering);
        assert_eq!(taken(&taker), 1);
        // Ended with its runtime, half-way.
        let queue = self::queue();
        let taker = self::taker(&queue);
        within(async {
            drop(gather(&queue));
            rounds(ROUNDS / 2).await;
            assert!(waits(&taker));
        });
        assert_eq!(taken(&taker), 1);
    }

    #[test]
    fn what_is_to_be_sealed_again_and_what_is_large_waits_for_nobody() {
        let queue = queue();
        let taker = taker(&queue);
        queue.put_back(vec![Queued { job: job(), tries: 1, alone: false }]);
        assert_eq!(taken(&taker), 1);
        let queue = self::queue();
        let taker = self::taker(&queue);
        let gathering = offer(&queue);
        (1..63).for_each(|_| assert!(offer(&queue).is_none()));
        assert!(waits(&taker));
        assert!(offer(&queue).is_none());
        assert_eq!(taken(&taker), 64);
        drop(gathering);
    }

    #[test]
    fn who_gathers_ends_with_the_intake() {
        let queue = queue();
        let taker = taker(&queue);
        within(async {
            let gathering = gather(&queue);
            rounds(2).await;
            queue.close();
            assert_eq!(taken(&taker), 1);
            gathering.await.unwrap();
            queue.settled(1, true);
        });
        assert!(queue.take().is_none());
        // One that waits to be rung, too.
        let queue = self::queue();
        within(async {
            let gathering = gather(&queue);
            rounds(ROUNDS * 2).await;
            assert_eq!(taken(&self::taker(&queue)), 1);
            rounds(ROUNDS).await;
            queue.close();
            gathering.await.unwrap();
        });
    }
}
