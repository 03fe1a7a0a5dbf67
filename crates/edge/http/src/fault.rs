//! Everything that this door refuses, with its stable code, its HTTP status and its words; every code of `E09xx` is here.
//!
//! Not here: the problem document (`problem`), refusals of an event's own form, which keep the codes of the reader, and
//! refusals of the router, which keep the router's (`deliveries`).
//! A fault quotes names, never values: answers are logged by others.

use std::fmt;

use hyper::StatusCode;
use waag_cloudevents::Refusal;

/// What stays the same of how far it is.
pub(crate) const MADE_ANEW: &str = "the read models are being made anew for other settings";

/// One fault: what, and where in the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub kind: Kind,
    /// JSON Pointer (RFC 6901) into the event or document; empty for the whole.
    pub path: String,
    /// What else is wrong with the same event.
    pub also: Vec<Fault>,
}

/// The kinds of fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing is served under this path, and what is not there.
    NotFound(Absent),
    /// The path does not know this method.
    MethodNotAllowed,
    /// The request has no API key.
    NoKey,
    /// The key is unknown, expired or withdrawn; which of them is not told.
    BadKey,
    /// The key's role may not do this.
    Forbidden,
    /// The key names subscriptions, and this one is not among them.
    OtherSubscription,
    /// The body has more bytes than the limit given here.
    BodyTooLarge(usize),
    /// The content type is none that this path reads; those that it reads.
    MediaType(&'static str),
    /// A body that is read as JSON is said to be in another encoding than UTF-8.
    Charset,
    /// The body has a content encoding; every path reads bodies as they are.
    ContentEncoding,
    /// The body did not come within its time.
    BodyTime,
    /// The body broke off or its framing is wrong.
    BodyBroken,
    /// A header has a form that it may not have.
    Header(&'static str),
    /// A header that has one value comes twice.
    HeaderTwice(&'static str),
    /// A header of binary mode that names no attribute, and where what it would say is.
    NoAttribute(&'static str, &'static str),
    /// More events than a request may have.
    TooManyEvents(usize),
    /// The request's events do not fit into one batch.
    BatchFull,
    /// The request has no event.
    NoEvent,
    /// Too much is waiting; the code says where.
    Busy(&'static str),
    /// The door's own queue is full.
    QueueFull,
    /// Too little is free on the disk that events go to.
    NoRoom,
    /// The writer has stopped; whether the request was recorded is known after the store is opened again.
    Stopped,
    /// The environment failed with the code given here; a retry may go well.
    NotSealed(&'static str),
    /// The tenant of this key has no ledger on this node.
    NoTenant,
    /// The node is not ready, or is ending.
    NotReady,
    /// The recorded event's keys were destroyed, so that it is no event any more.
    Gone,
    /// A person's data is restricted (GDPR art. 18) and revealed to nobody: the keyring's code and words.
    Restricted(&'static str, String),
    /// A query parameter has a value that it may not have.
    Query(&'static str),
    /// There is no such query parameter here.
    NoQuery(String),
    /// Types that begin with `waag.` are Waag's own.
    OwnType,
    /// The attribute `waagtenant` names another tenant.
    OtherTenant,
    /// Another event was recorded under the same `source` and `id`.
    Conflict,
    /// The event recorded under the same `source` and `id` was erased.
    Erased,
    /// An event's own form: the reader's or the sealer's code and words.
    Event(&'static str, String),
    /// Some or all events of a request were refused.
    Items,
    /// An event's data breaks its schema; how.
    Schema(String),
    /// A date or time that is none.
    Time(&'static str),
    /// An invoice is one JSON object.
    NotAnInvoice,
    /// A mapping has a form that it may not have.
    Mapping(String),
    /// The mapping does not make its sample valid; nothing was saved.
    Sample,
    /// The header `Idempotency-Key` is no quoted string.
    IdempotencyForm,
    /// The `Idempotency-Key` is empty, or has more bytes than the limit given here.
    IdempotencyLength(usize),
    /// The format has no id of its own, and the request no `Idempotency-Key`.
    IdempotencyMissing,
    /// A request with the same `Idempotency-Key` is under way.
    IdempotencyUnderWay,
    /// The `Idempotency-Key` was used for another request.
    IdempotencyReused,
    /// The key's rate is used up; seconds to wait.
    KeyRate(u64),
    /// The node's rate is used up; seconds to wait.
    NodeRate(u64),
    /// The key's events of the day are used up; seconds to wait.
    Quota(u64),
    /// A listener beyond loopback has no TLS.
    PlainListener,
    /// The certificate or its key cannot be used.
    Certificate(String),
    /// The listener cannot be had.
    Listen(String),
    /// A body about deliveries has a form that it may not have; how.
    Asked(String),
    /// As many pulls wait as may.
    TooManyPulls,
    /// The tenant's ledger has no router on this node.
    NoRouter,
    /// No published checkpoint covers it, or has been cosigned.
    NotPublished,
    /// Publication has stopped; the code says why.
    Unpublished(&'static str),
    /// The read models do not tell it.
    Unread(Unread),
    /// The router's refusal or failure: its code and words.
    Router(Outcome, &'static str, String),
}

/// What is not there under a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// The path is none that is served.
    Path,
    /// The ledger is not that long.
    Position,
    /// The key has no mapping for the stage.
    Mapping,
    /// The node witnesses no other logs.
    Witness,
}

/// Why the read models do not tell what is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// They are being made anew for other settings: entries taken in, of how many.
    MadeAnew(u64, u64),
    /// They cannot be read; the code says why.
    Unreadable(&'static str),
    /// As many answers are read from them as may be at a time.
    TooMany,
    /// Reading the answer took longer than it may.
    Time,
    /// No event names the invoice.
    NoInvoice,
}

impl Unread {
    fn code(self) -> &'static str {
        match self {
            Self::MadeAnew(..) => "E0857",
            Self::Unreadable(code) => code,
            Self::TooMany => "E0983",
            Self::Time => "E0984",
            Self::NoInvoice => "E0985",
        }
    }

    fn retry_after_s(self) -> Option<u64> {
        match self {
            Self::MadeAnew(..) | Self::Unreadable(_) | Self::Time => Some(10),
            Self::TooMany => Some(1),
            Self::NoInvoice => None,
        }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MadeAnew(done, all) => write!(f, "{MADE_ANEW}: {done} of {all} events"),
            Self::Unreadable(code) => write!(f, "the read models cannot be read ({code})"),
            Self::TooMany => write!(f, "too many answers are being read from the read models"),
            Self::Time => write!(f, "reading the answer took longer than it may"),
            Self::NoInvoice => write!(f, "no event names this invoice"),
        }
    }
}

/// What the router's refusal is to the one who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What is named is not there.
    Unknown,
    /// It does not fit to how things stand.
    Conflict,
    /// It is not as whoever asks said that it must be.
    Stale,
    /// It is not what can be taken.
    Refused,
    /// The fault is not the caller's.
    Failed,
}

impl Fault {
    /// A fault of the whole request or event.
    #[must_use]
    pub fn of(kind: Kind) -> Self {
        Self { kind, path: String::new(), also: Vec::new() }
    }

    /// The same fault at a place.
    #[must_use]
    pub fn at(self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self }
    }

    /// The fault itself and what else is wrong with the same event.
    pub(crate) fn each(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.also)
    }

    /// Several faults of one event as one; none where there is none.
    #[must_use]
    pub fn all(faults: Vec<Self>) -> Option<Self> {
        let mut faults = faults.into_iter();
        let first = faults.next()?;
        Some(Self { also: faults.collect(), ..first })
    }

    /// A fault that sealing found in an event.
    pub fn event(code: &'static str, error: &dyn std::error::Error) -> Self {
        Self::of(Kind::Event(code, error.to_string()))
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let words = format!("{} at byte {}", refusal.reason, refusal.offset);
        Self { kind: Kind::Event(refusal.code(), words), path: refusal.path, also: Vec::new() }
    }
}

impl Kind {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "E0900",
            Self::MethodNotAllowed => "E0901",
            Self::NoKey => "E0902",
            Self::BadKey => "E0903",
            Self::Forbidden => "E0904",
            Self::OtherSubscription => "E0986",
            Self::BodyTooLarge(_) => "E0905",
            Self::MediaType(_) | Self::Charset | Self::ContentEncoding => "E0906",
            Self::BodyTime => "E0907",
            Self::BodyBroken => "E0908",
            Self::Header(_) | Self::HeaderTwice(_) | Self::NoAttribute(..) => "E0909",
            Self::TooManyEvents(_) => "E0910",
            Self::BatchFull => "E0911",
            Self::NoEvent => "E0912",
            Self::QueueFull => "E0913",
            Self::Stopped => "E0914",
            Self::NoTenant => "E0915",
            Self::NotReady => "E0916",
            Self::Items => "E0917",
            Self::Gone => "E0918",
            Self::Query(_) | Self::NoQuery(_) => "E0919",
            Self::OwnType => "E0920",
            Self::OtherTenant => "E0921",
            Self::Conflict => "E0922",
            Self::Erased => "E0923",
            Self::NoRoom => "E0924",
            Self::Schema(_) => "E0930",
            Self::Time(_) => "E0931",
            Self::NotAnInvoice => "E0932",
            Self::Mapping(_) => "E0933",
            Self::Sample => "E0934",
            Self::IdempotencyForm | Self::IdempotencyLength(_) => "E0940",
            Self::IdempotencyMissing => "E0941",
            Self::IdempotencyUnderWay => "E0942",
            Self::IdempotencyReused => "E0943",
            Self::KeyRate(_) => "E0950",
            Self::NodeRate(_) => "E0951",
            Self::Quota(_) => "E0952",
            Self::PlainListener => "E0960",
            Self::Certificate(_) => "E0961",
            Self::Listen(_) => "E0962",
            Self::Asked(_) => "E0980",
            Self::TooManyPulls => "E0981",
            Self::NotPublished => "E0982",
            Self::Unread(unread) => unread.code(),
            Self::NoRouter => "E1150",
            Self::Router(_, code, _) => code,
            Self::Restricted(code, _) => code,
            Self::Busy(code) | Self::NotSealed(code) | Self::Unpublished(code) | Self::Event(code, _) => code,
        }
    }

    /// The HTTP status of a request that ends with it.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotFound(_)
            | Self::NotPublished
            | Self::Unread(Unread::NoInvoice)
            | Self::Router(Outcome::Unknown, ..) => StatusCode::NOT_FOUND,
            Self::Gone => StatusCode::GONE,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoKey | Self::BadKey => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::OtherSubscription | Self::Restricted(..) => StatusCode::FORBIDDEN,
            Self::BodyTooLarge(_) | Self::TooManyEvents(_) | Self::BatchFull => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType(_) | Self::Charset | Self::ContentEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTime => StatusCode::REQUEST_TIMEOUT,
            Self::BodyBroken
            | Self::Header(_)
            | Self::HeaderTwice(_)
            | Self::NoAttribute(..)
            | Self::Query(_)
            | Self::NoQuery(_)
            | Self::NoEvent
            | Self::Event(..)
            | Self::NotAnInvoice
            | Self::IdempotencyForm
            | Self::IdempotencyLength(_)
            | Self::IdempotencyMissing => StatusCode::BAD_REQUEST,
            Self::OwnType
            | Self::OtherTenant
            | Self::Items
            | Self::Schema(_)
            | Self::Time(_)
            | Self::Mapping(_)
            | Self::Sample
            | Self::Asked(_)
            | Self::Router(Outcome::Refused, ..)
            | Self::IdempotencyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Conflict
            | Self::Erased
            | Self::IdempotencyUnderWay
            | Self::Router(Outcome::Conflict, ..) => StatusCode::CONFLICT,
            Self::Router(Outcome::Stale, ..) => StatusCode::PRECONDITION_FAILED,
            Self::KeyRate(_) | Self::NodeRate(_) | Self::Quota(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy(_)
            | Self::QueueFull
            | Self::NoRoom
            | Self::Stopped
            | Self::NotSealed(_)
            | Self::Unpublished(_)
            | Self::NoTenant
            | Self::TooManyPulls
            | Self::NoRouter
            | Self::Unread(_)
            | Self::Router(Outcome::Failed, ..)
            | Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            Self::PlainListener | Self::Certificate(_) | Self::Listen(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Seconds after which a retry may go well, where waiting helps.
    #[must_use]
    pub fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::Busy(_) | Self::QueueFull | Self::NotReady | Self::TooManyPulls => Some(1),
            Self::Unread(unread) => unread.retry_after_s(),
            Self::NotSealed(_)
            | Self::Unpublished(_)
            | Self::Stopped
            | Self::NoRoom
            | Self::NoTenant
            | Self::NoRouter
            | Self::Router(Outcome::Failed, ..) => Some(10),
            Self::KeyRate(seconds) | Self::NodeRate(seconds) | Self::Quota(seconds) => Some(*seconds),
            Self::IdempotencyUnderWay => Some(1),
            Self::NotFound(_)
            | Self::MethodNotAllowed
            | Self::NoKey
            | Self::BadKey
            | Self::Forbidden
            | Self::OtherSubscription
            | Self::BodyTooLarge(_)
            | Self::MediaType(_)
            | Self::Charset
            | Self::ContentEncoding
            | Self::BodyTime
            | Self::BodyBroken
            | Self::Header(_)
            | Self::HeaderTwice(_)
            | Self::NoAttribute(..)
            | Self::TooManyEvents(_)
            | Self::BatchFull
            | Self::NoEvent
            | Self::OwnType
            | Self::OtherTenant
            | Self::Conflict
            | Self::Erased
            | Self::Event(..)
            | Self::Items
            | Self::Schema(_)
            | Self::Time(_)
            | Self::NotAnInvoice
            | Self::Mapping(_)
            | Self::Sample
            | Self::IdempotencyForm
            | Self::IdempotencyLength(_)
            | Self::IdempotencyMissing
            | Self::IdempotencyReused
            | Self::PlainListener
            | Self::Certificate(_)
            | Self::Listen(_)
            | Self::Gone
            | Self::Restricted(..)
            | Self::Asked(_)
            | Self::Router(..)
            | Self::NotPublished
            | Self::Query(_)
            | Self::NoQuery(_) => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(absent) => absent.fmt(f),
            Self::MethodNotAllowed => write!(f, "this path does not know the method"),
            Self::NoKey => write!(f, "the request has no API key"),
            Self::BadKey => write!(f, "the API key is not valid"),
            Self::Forbidden => write!(f, "the role of this API key does not allow it"),
            Self::OtherSubscription => write!(f, "this API key is for other subscriptions"),
            Self::BodyTooLarge(limit) => write!(f, "the body has more than {limit} bytes"),
            Self::MediaType(read) => write!(f, "this path reads {read}, and no other content type"),
            Self::Charset => f.write_str("a body of JSON is UTF-8, and `content-type` has another `charset`"),
            Self::ContentEncoding => write!(f, "the header `content-encoding` may be `identity` alone"),
            Self::BodyTime => write!(f, "the body did not come within its time"),
            Self::BodyBroken => write!(f, "the body broke off"),
            Self::Header(which) => write!(f, "the header `{which}` has a form that it may not have"),
            Self::HeaderTwice(which) => write!(f, "the header `{which}` comes twice"),
            Self::NoAttribute(which, what) => write!(f, "the header `{which}` is no attribute: {what}"),
            Self::TooManyEvents(limit) => write!(f, "the request has more than {limit} events"),
            Self::BatchFull => write!(f, "the request's events do not fit into one batch"),
            Self::NoEvent => write!(f, "the request has no event"),
            Self::Busy(_) => write!(f, "too much is waiting to be written"),
            Self::QueueFull => write!(f, "too many requests are waiting"),
            Self::NoRoom => write!(f, "too little is free on the node's disk to take more events"),
            Self::Stopped => write!(f, "the writer has stopped"),
            Self::NotSealed(code) => write!(f, "the events could not be sealed, proven or read ({code})"),
            Self::NoTenant => write!(f, "the tenant of this API key has no ledger here"),
            Self::NotReady => write!(f, "the node is not ready"),
            Self::Gone => write!(f, "what was recorded there has been erased"),
            Self::Restricted(_, words) => f.write_str(words),
            Self::NoQuery(name) => write!(f, "there is no query parameter `{name}` here"),
            Self::Query(which) => write!(f, "the query parameter `{which}` has a value that it may not have"),
            Self::OwnType => {
                write!(f, "types that begin with `waag.`, and the source `/waag`, are Waag's own")
            }
            Self::OtherTenant => write!(f, "the attribute `waagtenant` names another tenant"),
            Self::Conflict => write!(f, "another event was recorded under the same `source` and `id`"),
            Self::Erased => write!(
                f,
                "what was recorded under the same `source` and `id` has been erased and cannot be compared"
            ),
            Self::Event(_, words) | Self::Router(_, _, words) => f.write_str(words),
            Self::Items => write!(f, "events of the request were refused"),
            Self::Schema(how) => f.write_str(how),
            Self::Time(what) => write!(f, "is no {what}"),
            Self::NotAnInvoice => write!(f, "an invoice is one JSON object"),
            Self::Mapping(why) => write!(f, "the mapping cannot be used: {why}"),
            Self::Sample => write!(f, "the mapping does not make its sample valid, and was not saved"),
            Self::IdempotencyForm => write!(f, "the header `Idempotency-Key` is no quoted string"),
            Self::IdempotencyLength(limit) => {
                write!(f, "the `Idempotency-Key` has 1 to {limit} bytes between its quotes")
            }
            Self::IdempotencyMissing => {
                write!(f, "the invoice has no `id`, and the request no `Idempotency-Key`")
            }
            Self::IdempotencyUnderWay => write!(f, "a request with this `Idempotency-Key` is under way"),
            Self::IdempotencyReused => write!(f, "this `Idempotency-Key` was used for another request"),
            Self::KeyRate(_) => write!(f, "the rate of this API key is used up"),
            Self::NodeRate(_) => write!(f, "the rate of this node is used up"),
            Self::Quota(_) => write!(f, "this API key's events of the day are used up"),
            Self::PlainListener => write!(f, "a listener beyond loopback needs TLS"),
            Self::Certificate(why) => write!(f, "the certificate cannot be used: {why}"),
            Self::Listen(why) => write!(f, "the listener cannot be had: {why}"),
            Self::Asked(why) => write!(f, "the body cannot be understood: {why}"),
            Self::TooManyPulls => write!(f, "too many pulls are waiting"),
            Self::NoRouter => write!(f, "this node delivers nothing: it has no router"),
            Self::NotPublished => write!(f, "no published checkpoint covers it"),
            Self::Unpublished(code) => write!(f, "the log's publication has stopped ({code})"),
            Self::Unread(unread) => unread.fmt(f),
        }
    }
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Path => "nothing is served under this path",
            Self::Position => "the ledger has no such position",
            Self::Mapping => "no mapping is set for this API key and stage",
            Self::Witness => "this node witnesses no other logs",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl std::error::Error for Fault {}
