//! What can go wrong with a page, each with a stable code and what to do, and the page that says so.

use std::fmt;

use axum::http::StatusCode;
use waag_router::error::RouterError;

use crate::ports::HouseError;

/// Why there is no page.
#[derive(Clone, Debug)]
pub enum WebError {
    /// E1060: the Host header is none of this listener's names.
    Host,
    /// E1061: this address does not take this method; most take GET and HEAD only.
    Method,
    /// E1062: no page or file has this address.
    NoPage,
    /// E1063: a parameter of the address has a value that is not known.
    Parameter {
        /// Its name.
        name: &'static str,
        /// What it may be.
        allowed: &'static str,
    },
    /// E1064: the invoice is not in the read model.
    NoInvoice(String),
    /// E1065: no entry at this position is under a checkpoint.
    NoEntry(u64),
    /// E1066: more pages are asked for at once than are drawn at once.
    Busy,
    /// E1067: the listener is not on a loopback address.
    NotLoopback(String),
    /// E1068: a page could not be put together; the template or a thread failed.
    Drawing(String),
    /// E1069: the listener failed.
    Listener(String),
    /// E1070: a form did not come from a page of this very run.
    Forgery,
    /// E1071: this node has no router.
    NoDeliveries,
    /// E1072: the body of a request is no form.
    Form(String),
    /// E1073: this node tells nothing of evidence.
    NoEvidence,
    /// E1074: what was sent is no pack that these pages can check.
    Upload(&'static str),
    /// E1075: what a look-up, a check or an order led to is no longer kept.
    Gone,
    /// E1076: the pack is not kept here.
    NoPack,
    /// The router refused or failed; bears its code.
    Deliveries(RouterError),
    /// The house could not answer; bears its code.
    House(HouseError),
    /// What evidence, persons or backups are asked for is not possible; bears its code.
    Evidence(HouseError),
}

impl WebError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Host => "E1060",
            Self::Method => "E1061",
            Self::NoPage => "E1062",
            Self::Parameter { .. } => "E1063",
            Self::NoInvoice(_) => "E1064",
            Self::NoEntry(_) => "E1065",
            Self::Busy => "E1066",
            Self::NotLoopback(_) => "E1067",
            Self::Drawing(_) => "E1068",
            Self::Listener(_) => "E1069",
            Self::Forgery => "E1070",
            Self::NoDeliveries => "E1071",
            Self::Form(_) => "E1072",
            Self::NoEvidence => "E1073",
            Self::Upload(_) => "E1074",
            Self::Gone => "E1075",
            Self::NoPack => "E1076",
            Self::Deliveries(inner) => inner.code(),
            Self::House(inner) | Self::Evidence(inner) => inner.code,
        }
    }

    /// The HTTP status it is answered with.
    #[must_use]
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoPage | Self::NoInvoice(_) | Self::NoEntry(_) | Self::Gone | Self::NoPack => {
                StatusCode::NOT_FOUND
            }
            Self::Parameter { .. } | Self::Form(_) | Self::Upload(_) => StatusCode::BAD_REQUEST,
            Self::Forgery => StatusCode::FORBIDDEN,
            Self::Deliveries(
                RouterError::Unknown(_) | RouterError::NoJob(_) | RouterError::NoDeadLetter(_),
            ) => StatusCode::NOT_FOUND,
            Self::Deliveries(inner) if inner.is_the_callers_fault() => StatusCode::CONFLICT,
            Self::Evidence(_) => StatusCode::CONFLICT,
            Self::Busy | Self::House(_) | Self::NoDeliveries | Self::NoEvidence | Self::Deliveries(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::NotLoopback(_) | Self::Drawing(_) | Self::Listener(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// A heading for the page.
    pub(crate) fn title(&self) -> &'static str {
        match self {
            Self::Host => "This address is not answered here",
            Self::Method => "This address can only be read",
            Self::NoPage => "There is no such page",
            Self::Parameter { .. } => "This cannot be read",
            Self::Forgery => "The form is not this page's",
            Self::NoDeliveries => "This node delivers nothing",
            Self::Form(_) => "The form cannot be read",
            Self::NoEvidence => "This node tells nothing of evidence",
            Self::Upload(_) => "The file cannot be checked here",
            Self::Gone => "This is no longer kept",
            Self::NoPack => "The pack is not kept here",
            Self::Deliveries(RouterError::Unknown(_)) => "No such subscription",
            Self::Deliveries(RouterError::NoJob(_)) => "No such job",
            Self::Deliveries(inner) if inner.is_the_callers_fault() => "This cannot be done",
            Self::Deliveries(_) => "Deliveries cannot be read",
            Self::NoInvoice(_) => "No such invoice",
            Self::NoEntry(_) => "No such entry",
            Self::Busy => "Too many pages at once",
            Self::House(_) => "The figures cannot be read",
            Self::Evidence(_) => "This cannot be done",
            Self::NotLoopback(_) | Self::Drawing(_) | Self::Listener(_) => {
                "The page could not be put together"
            }
        }
    }

    /// What the reader can do.
    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Self::Host => "Open the pages by the address that the program printed when it started.",
            Self::Method => {
                "Send events to the intake; pages record nothing. What may be ordered here has a button."
            }
            Self::NoPage => "Choose a page on the left, or look an invoice up by its id.",
            Self::Parameter { .. } => "Go back and choose again; nothing was done.",
            Self::Forgery => "Nothing was done. Load the page again, and send its form.",
            Self::NoDeliveries => {
                "Start it with `waag serve`, which delivers; a node that only reads does not."
            }
            Self::Form(_) => "Nothing was done. Load the page again, and send its form.",
            Self::NoEvidence => "Start the node with `waag serve`.",
            Self::Upload(_) => {
                "Nothing was done. Choose a pack file; a large one is checked by `waag evidence check FILE` \
                 or `waag-verify pack FILE`."
            }
            Self::Gone => {
                "These pages keep what a form led to for some minutes and in memory only, since it may be about a \
                 person. What was ordered is recorded all the same. Send the form again to look again."
            }
            Self::NoPack => {
                "A pack made on these pages can be fetched for some minutes and is not stored. Make it again, or \
                 ask whom it was handed to; `waag evidence list` tells which there were."
            }
            Self::Deliveries(inner) if inner.is_the_callers_fault() => {
                "Nothing was done. Go back, look at the page as it is now, and choose again."
            }
            Self::Deliveries(_) => {
                "Nothing recorded is lost: what was not delivered is delivered later. \
                 Run `waag explain` with the code below."
            }
            Self::NoInvoice(_) => {
                "Check the id letter by letter. An invoice is found as soon as its first event is projected; \
                 the line at the top says how fresh these pages are."
            }
            Self::NoEntry(_) => "Check the position. An entry can be proven once its checkpoint is signed.",
            Self::Busy => "Wait some seconds and load the page again.",
            Self::Evidence(_) => {
                "Nothing recorded is lost. Run `waag explain` with the code below; it says what was done and what not."
            }
            Self::House(_) => {
                "Nothing recorded is lost: the read model can be rebuilt from the ledger. \
                 Run `waag explain` with the code below."
            }
            Self::NotLoopback(_) | Self::Drawing(_) | Self::Listener(_) => {
                "Load the page again; if it comes back, report the code below."
            }
        }
    }
}

impl fmt::Display for WebError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("the Host header names another host than this listener"),
            Self::Method => f.write_str("this address does not take this method"),
            Self::NoPage => f.write_str("no page or file has this address"),
            Self::Parameter { name, allowed } => write!(f, "`{name}` may be {allowed}"),
            Self::NoInvoice(id) => write!(f, "no event about the invoice `{id}` is in the read model"),
            Self::NoEntry(position) => write!(f, "no entry at position `{position}` is under a checkpoint"),
            Self::Busy => f.write_str("as many pages as allowed are being drawn"),
            Self::NotLoopback(address) => {
                write!(f, "pages are not served on `{address}`: it is not loopback")
            }
            Self::Drawing(why) => write!(f, "the page could not be drawn: {why}"),
            Self::Listener(why) => write!(f, "the listener of the pages failed: {why}"),
            Self::Forgery => f.write_str("the form was not filled in on a page of this run of the program"),
            Self::NoDeliveries => f.write_str("this node has no router"),
            Self::Form(why) => write!(f, "the form cannot be read: {why}"),
            Self::NoEvidence => f.write_str("this node tells nothing of evidence"),
            Self::Upload(why) => write!(f, "the file cannot be checked here: {why}"),
            Self::Gone => f.write_str("what this address stood for is no longer kept"),
            Self::NoPack => f.write_str("no pack of this digest is kept here"),
            Self::Deliveries(inner) => inner.fmt(f),
            Self::House(inner) | Self::Evidence(inner) => inner.fmt(f),
        }
    }
}

impl std::error::Error for WebError {}

impl From<HouseError> for WebError {
    fn from(inner: HouseError) -> Self {
        Self::House(inner)
    }
}

impl From<waag_domain::project::RowsError> for WebError {
    fn from(inner: waag_domain::project::RowsError) -> Self {
        Self::House(HouseError { code: inner.code, reason: inner.reason })
    }
}

impl From<RouterError> for WebError {
    fn from(inner: RouterError) -> Self {
        Self::Deliveries(inner)
    }
}

impl From<askama::Error> for WebError {
    fn from(inner: askama::Error) -> Self {
        Self::Drawing(inner.to_string())
    }
}
