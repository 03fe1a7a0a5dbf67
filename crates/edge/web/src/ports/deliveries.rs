//! What the pages need of the router: how deliveries stand, and the few things that may be asked of it.
//!
//! Every call may wait for a disk or for the router's turn and is made from a blocking thread; none is retried here. What is ordered is recorded by the router with its actor, not here.

use waag_model::ids::Actor;
use waag_router::error::RouterError;
use waag_router::router::Router;
use waag_router::shown::{Detail, Figures, Filter, JobShown, LetterPage, Overview, ReplayAsked};

/// The router as the pages see it.
pub trait Deliveries: Send + Sync {
    /// All subscriptions, by name.
    ///
    /// # Errors
    /// [`RouterError`] where the state cannot be read, or deliveries have stopped.
    fn overviews(&self) -> Result<Vec<Overview>, RouterError>;

    /// One subscription.
    ///
    /// # Errors
    /// As [`Self::overviews`]; [`RouterError::Unknown`].
    fn detail(&self, name: &str) -> Result<Detail, RouterError>;

    /// Dead letters of a subscription in the order of the ledger, behind a position, at most so many.
    ///
    /// # Errors
    /// As [`Self::detail`].
    fn dead_letters(
        &self,
        name: &str,
        filter: &Filter,
        after: Option<u64>,
        most: usize,
    ) -> Result<LetterPage, RouterError>;

    /// How many dead letters a filter takes.
    ///
    /// # Errors
    /// As [`Self::detail`].
    fn count(&self, name: &str, filter: &Filter) -> Result<u64, RouterError>;

    /// Jobs of all subscriptions, the newest first.
    ///
    /// # Errors
    /// As [`Self::overviews`].
    fn jobs(&self) -> Result<Vec<JobShown>, RouterError>;

    /// Totals over all subscriptions: each open page asks every second whether they changed.
    fn figures(&self) -> Figures;

    /// Does what is ordered, and gives the number of the job where it became one.
    ///
    /// # Errors
    /// As [`Self::detail`], and whatever makes the order impossible; nothing is done then.
    fn order(&self, order: Order, by: &Actor) -> Result<Option<u32>, RouterError>;
}

/// What a person may order on a page.
#[derive(Clone, Debug)]
pub enum Order {
    /// Deliver nothing more for now.
    Pause {
        /// The subscription's name.
        subscription: String,
        /// Why.
        reason: String,
    },
    /// Go on, also after a stop.
    Resume {
        /// The subscription's name.
        subscription: String,
    },
    /// Try dead letters again.
    Redrive {
        /// The subscription's name.
        subscription: String,
        /// Which.
        filter: Filter,
        /// Most of them a second.
        rate: u32,
        /// Why.
        reason: String,
    },
    /// Discard dead letters.
    Discard {
        /// The subscription's name.
        subscription: String,
        /// Which.
        filter: Filter,
        /// Why.
        reason: String,
    },
    /// Deliver a span of the ledger again.
    Replay {
        /// The subscription's name.
        subscription: String,
        /// What.
        asked: ReplayAsked,
    },
    /// End a job.
    Cancel {
        /// Its number.
        job: u32,
    },
}

impl Deliveries for Router {
    fn overviews(&self) -> Result<Vec<Overview>, RouterError> {
        Self::overviews(self)
    }

    fn detail(&self, name: &str) -> Result<Detail, RouterError> {
        Self::detail(self, name)
    }

    fn dead_letters(
        &self,
        name: &str,
        filter: &Filter,
        after: Option<u64>,
        most: usize,
    ) -> Result<LetterPage, RouterError> {
        Self::dead_letters(self, name, filter, after, most)
    }

    fn count(&self, name: &str, filter: &Filter) -> Result<u64, RouterError> {
        self.count_dead_letters(name, filter)
    }

    fn jobs(&self) -> Result<Vec<JobShown>, RouterError> {
        Self::jobs(self)
    }

    fn figures(&self) -> Figures {
        Self::figures(self)
    }

    fn order(&self, order: Order, by: &Actor) -> Result<Option<u32>, RouterError> {
        match order {
            Order::Pause { subscription, reason } => self.pause(&subscription, &reason, by).map(|_| None),
            Order::Resume { subscription } => self.resume(&subscription, by).map(|_| None),
            Order::Redrive { subscription, filter, rate, reason } => {
                self.redrive(&subscription, filter, rate, &reason, by).map(|job| Some(job.number))
            }
            Order::Discard { subscription, filter, reason } => {
                self.discard(&subscription, filter, &reason, by).map(|job| Some(job.number))
            }
            Order::Replay { subscription, asked } => {
                self.replay(&subscription, asked, by).map(|job| Some(job.number))
            }
            Order::Cancel { job } => self.cancel(job, by).map(|job| Some(job.number)),
        }
    }
}
