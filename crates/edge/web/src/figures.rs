//! What the pages ask of the read model: four questions, each answered within one snapshot (`WEB-5`).

use waag_model::time::UtcNanos;

use crate::address::Asked;
use crate::error::WebError;
use crate::model::{Cash, Invoice, Operations, Overview};

/// Events of an invoice that its page lists, the newest; an invoice has some ten, a loop may have any number.
pub const HISTORY_EVENTS_MAX: usize = 200;

/// Answers for pages at one point in time. All answers of one value come from one snapshot.
pub trait Figures: Send {
    /// The overview.
    ///
    /// # Errors
    /// [`WebError`] where the rows cannot be read.
    fn overview(&self, asked: &Asked, now: UtcNanos) -> Result<Overview, WebError>;

    /// The operations page; an unknown filter is refused.
    ///
    /// # Errors
    /// [`WebError`] where the rows cannot be read or the filter is unknown.
    fn operations(&self, asked: &Asked, now: UtcNanos) -> Result<Operations, WebError>;

    /// One invoice with the newest of its events, at most [`HISTORY_EVENTS_MAX`]; `None` where no event spoke of it.
    ///
    /// # Errors
    /// [`WebError`] where the rows cannot be read.
    fn invoice(&self, id: &str, now: UtcNanos) -> Result<Option<Invoice>, WebError>;

    /// Outstanding cash.
    ///
    /// # Errors
    /// [`WebError`] where the rows cannot be read.
    fn cash(&self, asked: &Asked, now: UtcNanos) -> Result<Cash, WebError>;
}
