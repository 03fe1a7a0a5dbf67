//! What a form led to, for some minutes and in memory: whom a look-up was about, what an order did, what a check found.
//!
//! The name under which it is kept is random, so that an address tells nothing and can be given by nobody else (`WEB-7`).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::ports::evidence::packs::Verdict;
use crate::ports::evidence::persons::Outcome;
use waag_model::time::UtcNanos;

/// Most things kept; the oldest goes first.
const KEPT_MAX: usize = 64;
/// How long something is kept.
const KEPT_FOR: Duration = Duration::from_secs(15 * 60);

/// What a form led to.
#[derive(Clone)]
pub(super) enum What {
    /// Whom a look-up was about.
    Person(Arc<Zeroizing<String>>),
    /// What an order did.
    Done(Arc<Outcome>),
    /// What a check found.
    Checked(Arc<Checked>),
}

/// A pack that was checked.
pub(super) struct Checked {
    /// The file's name, as the browser told it.
    pub(super) file: String,
    pub(super) bytes: u64,
    pub(super) at: UtcNanos,
    pub(super) verdict: Verdict,
}

struct Item {
    handle: String,
    since: Duration,
    what: What,
}

/// All that is kept.
#[derive(Default)]
pub(crate) struct Kept(Mutex<VecDeque<Item>>);

impl Kept {
    /// Keeps something under a name.
    pub(super) fn keep(&self, handle: String, now: Duration, what: What) {
        let mut items = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        items.retain(|item| now.saturating_sub(item.since) < KEPT_FOR);
        if items.len() >= KEPT_MAX {
            items.pop_front();
        }
        items.push_back(Item { handle, since: now, what });
    }

    /// What is kept under a name.
    pub(super) fn find(&self, handle: &str, now: Duration) -> Option<What> {
        let mut items = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        items.retain(|item| now.saturating_sub(item.since) < KEPT_FOR);
        items.iter().find(|item| item.handle == handle).map(|item| item.what.clone())
    }

    /// Forgets all persons that are this one.
    pub(super) fn forget(&self, person: &str) {
        let mut items = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        items.retain(|item| !matches!(&item.what, What::Person(known) if known.as_str() == person));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(id: &str) -> What {
        What::Person(Arc::new(Zeroizing::new(id.to_owned())))
    }

    #[test]
    fn what_is_kept_is_bounded_in_number_and_time_and_can_be_forgotten() {
        let kept = Kept::default();
        for number in 0..=KEPT_MAX {
            kept.keep(number.to_string(), Duration::ZERO, person("p"));
        }
        assert!(kept.find("0", Duration::ZERO).is_none(), "the oldest went");
        assert!(kept.find("1", KEPT_FOR - Duration::from_secs(1)).is_some());
        assert!(kept.find("1", KEPT_FOR).is_none(), "its time is over");
        kept.keep("a".to_owned(), KEPT_FOR, person("p"));
        kept.keep("b".to_owned(), KEPT_FOR, person("p"));
        kept.keep("c".to_owned(), KEPT_FOR, person("q"));
        kept.forget("p");
        assert!(kept.find("a", KEPT_FOR).is_none() && kept.find("b", KEPT_FOR).is_none());
        assert!(kept.find("c", KEPT_FOR).is_some());
    }
}
