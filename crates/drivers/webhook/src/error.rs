//! Why a target cannot be made, and the failures that are not an answer's; the only place of this driver's codes.
//!
//! Not here: what an answer's status means (`judge`). E1160, no answer at all, is the router's own.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use waag_model::text::steers;
use waag_router::target::{Class, Failure, SNIPPET_CHARS_MAX};

/// Why a pool or a target cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookError {
    /// The URL cannot be delivered to; why.
    Url(&'static str),
    /// The URL is `http://`, which this policy does not allow.
    Plain,
    /// The URL's host is an address that this policy refuses; what it is.
    Refused(IpAddr, &'static str),
    /// A text that is no network, such as `10.0.0.0/8`.
    Network(String),
    /// The secret cannot be used; why, without anything of it.
    Secret(&'static str),
    /// There is no secret, or more than [`crate::SECRETS_MAX`]; how many.
    Secrets(usize),
    /// There are no certificates to check receivers against; why.
    Roots(String),
}

impl WebhookError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Url(_) | Self::Plain | Self::Network(_) => SETTINGS,
            Self::Refused(..) => ADDRESS,
            Self::Secret(_) | Self::Secrets(_) => "E1162",
            Self::Roots(_) => TLS,
        }
    }
}

impl fmt::Display for WebhookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(why) => write!(f, "the webhook's URL cannot be used: {why}"),
            Self::Plain => {
                f.write_str("the webhook's URL is `http://`, and the node allows `https://` alone")
            }
            Self::Refused(address, kind) => {
                write!(f, "the webhook's host is `{address}`, {kind}, which is not allowed")
            }
            Self::Network(text) => {
                write!(
                    f,
                    "`{text}` is no network: one is written `10.0.0.0/8` or `fd00::/8`, with nothing behind its prefix"
                )
            }
            Self::Secret(why) => write!(f, "the webhook's secret cannot be used: {why}"),
            Self::Secrets(count) => {
                write!(f, "a webhook has 1 to {} secrets, and {count} are given", crate::SECRETS_MAX)
            }
            Self::Roots(why) => write!(f, "there are no certificates to check receivers against: {why}"),
        }
    }
}

impl std::error::Error for WebhookError {}

const SETTINGS: &str = "E1161";
const TLS: &str = "E1165";
const ADDRESS: &str = "E1163";

/// The beginning of a text from outside as a person may be shown it: without control characters and without those that
/// turn or hide text.
pub(crate) fn plain(text: &str) -> String {
    let spaced = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c });
    let shown: String = spaced.filter(|c| !steers(*c)).take(SNIPPET_CHARS_MAX).collect();
    shown.trim_end().to_owned()
}

fn transient(code: &'static str, reason: impl Into<String>) -> Failure {
    Failure::new(Class::Transient, code, reason)
}

/// An address that the policy does not allow; transient, since names move.
pub(crate) fn refused(host: &str, address: IpAddr, kind: &str) -> Failure {
    transient(
        ADDRESS,
        format!("`{host}` is at {address}, which is not allowed ({kind}); nothing was connected"),
    )
}

const UNREACHED: &str = "E1164";

/// The name has no address, or could not be looked up.
pub(crate) fn unknown(host: &str, why: &str) -> Failure {
    transient(UNREACHED, format!("`{host}` could not be looked up: {}", plain(why)))
}

/// No address took a connection.
pub(crate) fn unreached(host: &str, error: &io::Error) -> Failure {
    transient(UNREACHED, format!("`{host}` could not be connected to: {error}"))
}

/// The connection was not ready in time.
pub(crate) fn unreached_in(host: &str, limit: Duration) -> Failure {
    transient(UNREACHED, format!("`{host}` could not be connected to within {} ms", limit.as_millis()))
}

/// No TLS session came about. The reason may quote the certificate, which the receiver chose.
pub(crate) fn untrusted(host: &str, error: &io::Error) -> Failure {
    transient(TLS, format!("no TLS session with `{host}`: {}", plain(&error.to_string())))
}

/// The attempt took longer than it may.
pub(crate) fn late(limit: Duration) -> Failure {
    transient("E1166", format!("no answer within {} ms", limit.as_millis()))
}

/// The connection ended without an answer, or what came is none.
pub(crate) fn broken(error: &hyper::Error) -> Failure {
    let what = if error.is_parse_too_large() {
        format!(
            "the answer's head is longer than {} bytes or {} headers",
            crate::HEAD_BYTES_MAX,
            crate::HEADERS_MAX
        )
    } else if error.is_parse() {
        format!("what was answered is not HTTP/1.1: {error}")
    } else if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        "the connection was closed before an answer".to_owned()
    } else {
        let source = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
        format!("the connection broke: {source}")
    };
    transient(BROKEN, what)
}

/// Instead of an answer there were more announcements of one than any receiver has.
pub(crate) fn put_off() -> Failure {
    transient(
        BROKEN,
        format!("more than {} informational answers (1xx) came, and no other", crate::INFORMATIONAL_MAX),
    )
}

const BROKEN: &str = "E1167";

/// The request could not be put together: the subscription has a name that no header takes.
pub(crate) fn unsendable() -> Failure {
    Failure::new(Class::Terminal, SETTINGS, "the subscription's name cannot be sent as a header")
}

/// The answer is a redirect.
pub(crate) const REDIRECTED: &str = "E1168";

/// The answer says that the event was not taken.
pub(crate) const NOT_TAKEN: &str = "E1169";
