//! A text that anybody may ask for, made once for all who ask at the same time.
//!
//! Not here: what it says (`metrics`), to whom it is told (`door`).
//!
//! - `SHARED-1`: one is made at a time, whoever asks and goes away meanwhile, so that `/metrics`, which needs no key, has
//!   one thread of the blocking pool and no more.
//! - `SHARED-2`: nobody gets a text whose making began before they asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::Mutex;

use crate::fault::{Fault, Kind};

/// The text of last time, and how many had asked when its making began.
type Last = Option<(u64, Bytes)>;

/// A text, and who asks for it.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    asked: Arc<AtomicU64>,
    last: Arc<Mutex<Last>>,
}

impl Shared {
    /// The text, made by `make` on a thread where that may block, unless another asker's was begun since.
    ///
    /// # Errors
    /// [`Kind::Stopped`].
    pub(crate) async fn get(&self, make: impl FnOnce() -> String + Send + 'static) -> Result<Bytes, Fault> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut last = Arc::clone(&self.last).lock_owned().await;
        if let Some((_, text)) = last.as_ref().filter(|(of, _)| *of >= number) {
            return Ok(text.clone());
        }
        let asked = Arc::clone(&self.asked);
        // The turn goes with the work: where its client goes away the work goes on, and nobody else's begins.
        let made = tokio::task::spawn_blocking(move || {
            let of = asked.load(Ordering::SeqCst);
            let text = Bytes::from(make());
            *last = Some((of, text.clone()));
            text
        });
        made.await.map_err(|_| Fault::of(Kind::Stopped))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// How often a text was made, and how many at once at most.
    #[derive(Default)]
    struct Made {
        begun: AtomicU64,
        now: AtomicU64,
        most: AtomicU64,
    }

    impl Made {
        fn make(&self) -> String {
            let number = self.begun.fetch_add(1, Ordering::SeqCst);
            self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(50));
            self.now.fetch_sub(1, Ordering::SeqCst);
            number.to_string()
        }
    }

    #[test]
    fn who_asks_at_the_same_time_shares_one_text_and_who_asks_later_gets_another() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (shared, made) = (Arc::new(Shared::default()), Arc::new(Made::default()));
        let ask = || {
            let (shared, made) = (Arc::clone(&shared), Arc::clone(&made));
            async move { shared.get(move || made.make()).await.unwrap() }
        };
        runtime.block_on(async {
            let tasks: Vec<_> = (0..200).map(|_| tokio::spawn(ask())).collect();
            tokio::time::sleep(Duration::from_millis(10)).await;
            // Those who go away neither end what is made nor begin another beside it.
            tasks.iter().step_by(2).for_each(|task| task.abort());
            for task in tasks.into_iter().skip(1).step_by(2) {
                assert!(["0", "1"].contains(&std::str::from_utf8(&task.await.unwrap()).unwrap()));
            }
            let before = made.begun.load(Ordering::SeqCst);
            assert!(before <= 2, "{before}");
            assert_eq!(ask().await.as_ref(), before.to_string().as_bytes());
        });
        assert_eq!(made.most.load(Ordering::SeqCst), 1);
    }
}
