//! The invoices' rows of a running node, as pages and the door read them: of this program's settings, or none.
//!
//! Not here: what is read from them (`domains/invoices`), who makes them (`following`, `exchange`).

use std::fmt;

use waag_http::fault::{Fault, Kind, Unread};
use waag_http::ports::{InvoiceRows, InvoiceView};
use waag_views::contract::{Snapshot, Which};
use waag_views::error::ViewsError;

use super::Running;

/// The view.
const INVOICES: &str = "invoices";

/// Why there are no rows to read.
#[derive(Debug)]
pub enum NoRows {
    /// Those that serve are of other settings; how far the new ones are, in the door's words.
    MadeAnew(Kind),
    /// The store of views failed.
    Views(ViewsError),
}

impl NoRows {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::MadeAnew(kind) => kind.code(),
            Self::Views(error) => error.code(),
        }
    }
}

impl fmt::Display for NoRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MadeAnew(kind) => kind.fmt(f),
            Self::Views(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for NoRows {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::MadeAnew(_) => None,
            Self::Views(error) => Some(error),
        }
    }
}

impl From<NoRows> for Fault {
    fn from(error: NoRows) -> Self {
        Self::of(match error {
            NoRows::MadeAnew(kind) => kind,
            NoRows::Views(error) => Kind::Unread(Unread::Unreadable(error.code())),
        })
    }
}

impl Running {
    /// The invoices' rows of one moment. Rows of other settings mean something else, and would be read wrongly.
    ///
    /// # Errors
    /// [`NoRows`].
    pub fn invoice_rows(&self) -> Result<Box<dyn Snapshot>, NoRows> {
        let following = self.following();
        let snapshot = following.views().snapshot(INVOICES, Which::Serving).map_err(NoRows::Views)?;
        if snapshot.standing().key.version != following.invoices_version() {
            let done = following.reached().cursor.position.0;
            let all = self.writer().checkpoint.checkpoint().size;
            return Err(NoRows::MadeAnew(Kind::Unread(Unread::MadeAnew(done, all))));
        }
        Ok(snapshot)
    }
}

impl InvoiceView for Running {
    fn rows(&self) -> Result<InvoiceRows, Fault> {
        let snapshot = self.invoice_rows()?;
        let projected = snapshot.standing().cursor.position.0;
        Ok(InvoiceRows { rows: snapshot, projected })
    }
}
