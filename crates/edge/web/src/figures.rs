//! What the pages ask of the read model: five questions, each answered within one snapshot (`WEB-5`).

use waag_invoices::lists::After;
use waag_model::time::UtcNanos;

use crate::address::Asked;
use crate::error::WebError;
use crate::model::{Cash, Found, Lines, Operations, Overview};

/// Events of an invoice that its page lists, the newest; an invoice has some ten, a loop may have any number.
pub const HISTORY_EVENTS_MAX: usize = 200;

/// Most invoices that an id leads to which is only the beginning of theirs.
pub const FOUND_MAX: usize = 20;

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

    /// A piece of a list, at most so many lines of it, behind a line where one is given; an unknown filter is refused.
    ///
    /// # Errors
    /// [`WebError`] where the rows cannot be read or the filter is unknown.
    fn lines(
        &self,
        asked: &Asked,
        now: UtcNanos,
        after: Option<&After>,
        most: usize,
    ) -> Result<Lines, WebError>;

    /// The invoice of the id asked for with the newest of its events, or of those before a position, at most
    /// [`HISTORY_EVENTS_MAX`]; where no event spoke of it, at most [`FOUND_MAX`] whose ids begin with it.
    ///
    /// # Errors
    /// [`WebError`] where the rows cannot be read.
    fn invoice(&self, id: &str, before: Option<u64>, now: UtcNanos) -> Result<Found, WebError>;

    /// Outstanding cash.
    ///
    /// # Errors
    /// [`WebError`] where the rows cannot be read.
    fn cash(&self, asked: &Asked, now: UtcNanos) -> Result<Cash, WebError>;
}
