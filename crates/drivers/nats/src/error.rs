//! What can go wrong between us and a NATS server, each with its code; none of it ever holds a secret.

use std::fmt;
use std::time::Duration;

use waag_router::target::{Class, Failure};

/// Why something asked of a NATS server did not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NatsError {
    /// The address, a subject, a name or the certificates cannot be used as they were given.
    Options(String),
    /// No connection: the name, the network, TLS, or what answers is no NATS server with headers.
    Unreachable(String),
    /// The connection broke, or no answer came in time: whether the server has done it is not known.
    Unanswered(String),
    /// The server lets us not in, or not do this.
    Refused(String),
    /// Nobody takes this subject: no stream has it, or JetStream is off.
    NoStream(String),
    /// JetStream answered with an error.
    JetStream(ApiError),
    /// The message is larger than the server or the stream takes.
    TooLarge(String),
}

/// An error as JetStream tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiError {
    /// The kind, by the numbers of HTTP.
    pub code: u16,
    /// JetStream's own number, from 10000.
    pub err_code: u32,
    /// Its words.
    pub description: String,
}

/// The message is larger than the stream's `max_msg_size`, and headers larger than a store takes.
const TOO_LARGE: [u32; 2] = [10_054, 10_097];
/// Too little memory, storage or capacity of the account, and too many requests.
const TOO_MUCH: [u32; 5] = [10_002, 10_023, 10_028, 10_047, 10_167];
/// The stream cannot store: because it is full, if its words begin so.
const NOT_STORED: u32 = 10_077;
const FULL: &str = "maximum ";

impl NatsError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Options(_) => "E1170",
            Self::Unreachable(_) => "E1171",
            Self::Unanswered(_) => "E1172",
            Self::Refused(_) => "E1173",
            Self::NoStream(_) => "E1174",
            Self::JetStream(_) => "E1175",
            Self::TooLarge(_) => "E1176",
        }
    }

    /// What follows for a delivery. Only what is due to the event itself is terminal: a stream that is missing, sealed or
    /// closed to us today may take the same event tomorrow.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::TooLarge(_) => Class::Terminal,
            Self::JetStream(error) if error.is_fullness() => Class::Throttled,
            Self::Options(_)
            | Self::Unreachable(_)
            | Self::Unanswered(_)
            | Self::Refused(_)
            | Self::NoStream(_)
            | Self::JetStream(_) => Class::Transient,
        }
    }

    /// As the outcome of a delivery.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let mut failure = Failure::new(self.class(), self.code(), self.to_string());
        if failure.class == Class::Throttled {
            failure.retry_after = Some(Duration::from_secs(1));
        }
        failure
    }
}

impl ApiError {
    /// As an error: one that is due to the message's size is told as that.
    #[must_use]
    pub fn into_error(self) -> NatsError {
        if TOO_LARGE.contains(&self.err_code) {
            return NatsError::TooLarge(self.to_string());
        }
        NatsError::JetStream(self)
    }

    /// Whether there is no room now, and may be later.
    #[must_use]
    pub fn is_fullness(&self) -> bool {
        let is_full = self.err_code == NOT_STORED && self.description.starts_with(FULL);
        is_full || self.code == 429 || TOO_MUCH.contains(&self.err_code)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JetStream says `{}` ({}, {})", self.description, self.code, self.err_code)
    }
}

impl fmt::Display for NatsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(why) => write!(f, "the NATS server cannot be used as it is named: {why}"),
            Self::Unreachable(why) => write!(f, "no connection to the NATS server: {why}"),
            Self::Unanswered(why) => write!(f, "the NATS server gave no answer: {why}"),
            Self::Refused(why) => write!(f, "the NATS server does not allow it: {why}"),
            Self::NoStream(subject) => write!(f, "no JetStream stream takes `{subject}`"),
            Self::JetStream(error) => write!(f, "{error}"),
            Self::TooLarge(why) => write!(f, "the message is too large for the NATS server: {why}"),
        }
    }
}

impl std::error::Error for NatsError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_due_to_the_event_is_terminal_and_fullness_is_throttled() {
        let told = |code, err_code, description: &str| {
            let error = ApiError { code, err_code, description: description.to_owned() }.into_error();
            (error.class(), error.code())
        };
        assert_eq!(told(400, 10_054, "message size exceeds maximum allowed"), (Class::Terminal, "E1176"));
        assert_eq!(told(503, 10_077, "maximum messages exceeded"), (Class::Throttled, "E1175"));
        assert_eq!(told(503, 10_077, "write failed"), (Class::Transient, "E1175"));
        assert_eq!(told(429, 10_167, "too many requests"), (Class::Throttled, "E1175"));
        assert_eq!(told(400, 10_109, "invalid operation on sealed stream"), (Class::Transient, "E1175"));
        assert_eq!(told(503, 10_008, "temporarily unavailable"), (Class::Transient, "E1175"));
    }
}
