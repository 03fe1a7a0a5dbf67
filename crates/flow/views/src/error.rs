//! What can go wrong with views and their stores.
//!
//! Not here: why a fact could not be read from the ledger (`source`).

use std::fmt;

use waag_domain::project::RowsError;
use waag_model::ids::LedgerId;

use crate::contract::{Cursor, ViewKey};

/// Why a store of views refused, or failed.
#[derive(Debug)]
pub enum ViewsError {
    /// E0690: the store failed; the transaction was rolled back, or its outcome is told by the cursor.
    Failed {
        /// What was attempted.
        attempt: &'static str,
        /// What the store said.
        reason: String,
    },
    /// E0691: what is there is no store of views, or one of another version of this program.
    Foreign(String),
    /// E0692: the cursor does not stand where the change begins, or the change goes backwards. Nothing was written.
    CursorMoved {
        /// The view.
        view: ViewKey,
        /// Where the change begins.
        expected: Cursor,
        /// Where the cursor stands.
        actual: Cursor,
    },
    /// E0693: there is no such view, or none of that name serves.
    Unknown(String),
    /// E0694: the view serves, so that it is not dropped.
    Serving(ViewKey),
    /// E0695: the view was made with other tables under the same version.
    Layout(ViewKey),
    /// E0696: the view was projected from another ledger.
    OtherLedger {
        /// The view.
        view: ViewKey,
        /// The ledger it was projected from.
        found: LedgerId,
    },
    /// The projection gave its store's error back; nothing was written.
    Rows(RowsError),
}

impl ViewsError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Failed { .. } => "E0690",
            Self::Foreign(_) => "E0691",
            Self::CursorMoved { .. } => "E0692",
            Self::Unknown(_) => "E0693",
            Self::Serving(_) => "E0694",
            Self::Layout(_) => "E0695",
            Self::OtherLedger { .. } => "E0696",
            Self::Rows(error) => error.code,
        }
    }
}

impl ViewsError {
    /// Whether the same may work later, since the store alone failed: a lock that somebody holds, a disk that is full.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Failed { .. } | Self::CursorMoved { .. } => true,
            Self::Rows(error) => error.code == "E0690",
            Self::Foreign(_)
            | Self::Unknown(_)
            | Self::Serving(_)
            | Self::Layout(_)
            | Self::OtherLedger { .. } => false,
        }
    }
}

impl fmt::Display for ViewsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { attempt, reason } => write!(f, "the store of views failed to {attempt}: {reason}"),
            Self::Foreign(reason) => write!(f, "this is no store of views: {reason}"),
            Self::CursorMoved { view, expected, actual } => write!(
                f,
                "the change of `{view}` begins at `{}`, but its cursor stands at `{}`",
                expected.position, actual.position
            ),
            Self::Unknown(name) => write!(f, "there is no view `{name}`"),
            Self::Serving(view) => write!(f, "`{view}` serves: let another one serve before it is dropped"),
            Self::Layout(view) => write!(f, "`{view}` was made with other tables under the same version"),
            Self::OtherLedger { view, found } => {
                write!(f, "`{view}` was projected from the ledger `{found}`")
            }
            Self::Rows(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ViewsError {}

impl From<RowsError> for ViewsError {
    fn from(error: RowsError) -> Self {
        Self::Rows(error)
    }
}

impl From<ViewsError> for RowsError {
    fn from(error: ViewsError) -> Self {
        Self { code: error.code(), reason: error.to_string() }
    }
}
