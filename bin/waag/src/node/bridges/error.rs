//! Why a bridge could not be made or changed, each with its code; none of it ever holds a login.

use std::fmt;

use waag_keys::error::KeysError;
use waag_model::ids::NameError;
use waag_nats::error::NatsError;
use waag_stdx::entropy::NoEntropy;

use crate::store::error::StoreError;

/// Why what was asked was not done.
#[derive(Debug)]
pub enum BridgeError {
    /// The node was not started for this server.
    NotAllowed(String),
    /// It cannot be beside the bridges that there are; why.
    Taken(String),
    /// No bridge has this name.
    Unknown(String),
    /// A record of the state cannot be read.
    Record(String),
    /// What is asked is not for a bridge that stands so; why.
    Standing(String),
    /// A name, address or login that cannot be used.
    Nats(NatsError),
    /// An actor that is none.
    Name(NameError),
    /// The state.
    Keys(KeysError),
    /// It could not be recorded.
    Store(StoreError),
    /// No randomness.
    Entropy(NoEntropy),
}

impl BridgeError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAllowed(_) => "E1195",
            Self::Taken(_) => "E1196",
            Self::Unknown(_) => "E1197",
            Self::Record(_) => "E1198",
            Self::Standing(_) => "E1199",
            Self::Nats(error) => error.code(),
            Self::Name(error) => error.code(),
            Self::Keys(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Entropy(error) => error.code(),
        }
    }

    /// Whether who asked can mend it.
    #[must_use]
    pub fn is_callers(&self) -> bool {
        match self {
            Self::NotAllowed(_)
            | Self::Taken(_)
            | Self::Unknown(_)
            | Self::Standing(_)
            | Self::Nats(_)
            | Self::Name(_) => true,
            Self::Record(_) | Self::Keys(_) | Self::Store(_) | Self::Entropy(_) => false,
        }
    }
}

impl fmt::Display for BridgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllowed(server) => {
                write!(f, "this node was not started for the server `{server}` (`waag serve --nats-server`)")
            }
            Self::Taken(why) | Self::Standing(why) => f.write_str(why),
            Self::Unknown(name) => write!(f, "no bridge has the name `{name}`"),
            Self::Record(name) => write!(f, "the record `{name}` of the bridges cannot be read"),
            Self::Nats(error) => error.fmt(f),
            Self::Name(error) => error.fmt(f),
            Self::Keys(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Entropy(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BridgeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(error) => std::error::Error::source(error),
            Self::NotAllowed(_)
            | Self::Taken(_)
            | Self::Unknown(_)
            | Self::Record(_)
            | Self::Standing(_)
            | Self::Nats(_)
            | Self::Name(_)
            | Self::Keys(_)
            | Self::Entropy(_) => None,
        }
    }
}

impl From<KeysError> for BridgeError {
    fn from(error: KeysError) -> Self {
        Self::Keys(error)
    }
}

impl From<NatsError> for BridgeError {
    fn from(error: NatsError) -> Self {
        Self::Nats(error)
    }
}
