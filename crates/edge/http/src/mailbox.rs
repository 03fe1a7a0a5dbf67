//! Answers from the settling threads to the connections' tasks, with one wake-up for many.
//!
//! Waking a task from a thread outside the runtime costs a system call each; a commit answers dozens of requests, so
//! their answers are put down together and handed on inside the runtime.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::problem::Answer;

type Letter = (oneshot::Sender<Answer>, Answer);

/// Where answers are put down. Bounded by the requests under way, each of which has one letter at most.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    letters: Mutex<Vec<Letter>>,
    bell: Notify,
}

impl Mailbox {
    /// Puts an answer down; from any thread.
    pub(crate) fn post(&self, to: oneshot::Sender<Answer>, answer: Answer) {
        let is_first = {
            let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
            letters.push((to, answer));
            letters.len() == 1
        };
        if is_first {
            self.bell.notify_one();
        }
    }

    /// Hands answers on, for ever; dropped with its runtime.
    pub(crate) async fn deliver(self: Arc<Self>) {
        loop {
            self.bell.notified().await;
            let letters = std::mem::take(&mut *self.letters.lock().unwrap_or_else(PoisonError::into_inner));
            for (to, answer) in letters {
                // Whoever has gone away has no use for it.
                drop(to.send(answer));
            }
        }
    }
}
