//! Why the router refuses or fails, each with its code.

use std::fmt;

use waag_keys::error::KeysError;
use waag_keys::state::StateError;
use waag_pattern::PatternError;

use crate::source::SourceError;
use crate::transform::TransformError;

/// The code of a target that the node does not deliver to.
pub(crate) const NO_TARGET: &str = "E1139";

/// The code of a secret that the target has no use for.
pub const NO_SECRET: &str = "E1151";

/// A refusal or failure.
#[derive(Clone, Debug, PartialEq)]
pub enum RouterError {
    /// A subscription cannot be understood. Caller's fault, as all up to `Lease`.
    Spec(String),
    /// Its pattern is refused.
    Pattern(PatternError),
    /// Its transformation is refused.
    Transform(TransformError),
    /// No subscription has this name.
    Unknown(String),
    /// Another subscription has this name.
    Exists(String),
    /// There are as many subscriptions as there may be.
    TooMany(usize),
    /// The lease is not in force any more: it ran out, was answered, or is of an earlier run.
    Lease(String),
    /// The subscription is not one that is pulled.
    NotPulled(String),
    /// No job has this number.
    NoJob(u32),
    /// The subscription has a job of this kind under way.
    JobUnderWay(u32),
    /// A span or position is not in the ledger.
    Span(String),
    /// The node does not open such a target.
    Target(String),
    /// A secret is given or asked for that the target has no use for; why.
    NoSecret(String),
    /// There is no such dead letter, or none of this position.
    NoDeadLetter(Option<u64>),
    /// A reason is required.
    NoReason,
    /// The subscription is not as whoever asks expects it.
    Stale(String),
    /// A record in the state cannot be read. Ours, or damage.
    Record(&'static str),
    /// The router has stopped, and why.
    Stopped(String),
    /// The state.
    State(StateError),
    /// Wrapping a secret.
    Keys(&'static str, String),
    /// The ledger.
    Source(SourceError),
}

impl RouterError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Spec(_) => "E1130",
            Self::Pattern(error) => error.code(),
            Self::Transform(error) => error.code(),
            Self::Unknown(_) => "E1131",
            Self::Exists(_) => "E1132",
            Self::TooMany(_) => "E1133",
            Self::Lease(_) => "E1134",
            Self::NotPulled(_) => "E1135",
            Self::NoJob(_) => "E1136",
            Self::JobUnderWay(_) => "E1137",
            Self::Span(_) => "E1138",
            Self::Target(_) => NO_TARGET,
            Self::NoDeadLetter(_) => "E1140",
            Self::NoSecret(_) => NO_SECRET,
            Self::NoReason => "E1141",
            Self::Stale(_) => "E1152",
            Self::Record(_) => "E1142",
            Self::Stopped(_) => "E1143",
            Self::State(error) => error.code(),
            Self::Keys(code, _) => code,
            Self::Source(error) => error.code,
        }
    }

    /// Whether who asked can mend it.
    #[must_use]
    pub fn is_the_callers_fault(&self) -> bool {
        match self {
            Self::Spec(_)
            | Self::Pattern(_)
            | Self::Transform(_)
            | Self::Unknown(_)
            | Self::Exists(_)
            | Self::TooMany(_)
            | Self::Lease(_)
            | Self::NotPulled(_)
            | Self::NoJob(_)
            | Self::JobUnderWay(_)
            | Self::Span(_)
            | Self::Target(_)
            | Self::NoSecret(_)
            | Self::NoDeadLetter(_)
            | Self::NoReason
            | Self::Stale(_) => true,
            Self::Record(_) | Self::Stopped(_) | Self::State(_) | Self::Keys(..) | Self::Source(_) => false,
        }
    }
}

impl fmt::Display for RouterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spec(what) => write!(f, "the subscription cannot be understood: {what}"),
            Self::Pattern(error) => write!(f, "the pattern is refused: {error}"),
            Self::Transform(error) => write!(f, "the transformation is refused: {error}"),
            Self::Unknown(name) => write!(f, "there is no subscription `{name}`"),
            Self::Exists(name) => write!(f, "there is a subscription `{name}` already"),
            Self::TooMany(max) => write!(f, "there are {max} subscriptions, and there may be no more"),
            Self::Lease(lease) => write!(f, "the lease `{lease}` is not in force"),
            Self::NotPulled(name) => write!(f, "the subscription `{name}` delivers by itself"),
            Self::NoJob(number) => write!(f, "there is no job {number}"),
            Self::JobUnderWay(number) => write!(f, "job {number} of this subscription is under way"),
            Self::Span(what) | Self::NoSecret(what) => f.write_str(what),
            Self::Target(what) => write!(f, "this node does not deliver there: {what}"),
            Self::NoDeadLetter(Some(position)) => write!(f, "there is no dead letter of position {position}"),
            Self::NoDeadLetter(None) => write!(f, "there are no such dead letters"),
            Self::NoReason => write!(f, "a reason is required"),
            Self::Stale(name) => write!(f, "the subscription `{name}` is not as it was when it was read"),
            Self::Record(what) => write!(f, "{what} in the state cannot be read"),
            Self::Stopped(why) => write!(f, "deliveries have stopped: {why}"),
            Self::State(error) => error.fmt(f),
            Self::Keys(_, why) => f.write_str(why),
            Self::Source(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RouterError {}

impl From<StateError> for RouterError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

impl From<SourceError> for RouterError {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<KeysError> for RouterError {
    fn from(error: KeysError) -> Self {
        Self::Keys(error.code(), error.to_string())
    }
}
