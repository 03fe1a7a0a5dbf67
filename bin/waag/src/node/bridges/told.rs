//! What is asked and answered about bridges, over the desk and on the command line.

use serde::{Deserialize, Serialize};
use waag_nats::take::Cursor;

use super::record::Counts;
use crate::node::deliveries::{Given, Refused};

/// What may be asked about bridges.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "bridge", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Asked {
    /// Make one: [`Shown`].
    Create {
        /// Who asks.
        by: String,
        /// Its name.
        name: String,
        /// The server, `nats://host:port` or `tls://host:port`.
        server: String,
        /// The stream.
        stream: String,
        /// The durable consumer, this bridge's alone.
        consumer: String,
        /// What the server or account is called in identities; the server's host where it is not said.
        origin: Option<String>,
        /// The type of events made of messages that are none.
        kind: String,
        /// `user:password`, or a token.
        secret: Option<Given>,
    },
    /// Those behind a name, or from the first: [`Part`] of [`Shown`], at most [`LISTED_MAX`].
    List {
        /// The name of the last one seen.
        after: Option<String>,
    },
    /// One: [`Shown`].
    Show {
        /// Its name.
        name: String,
    },
    /// Pause one: [`Shown`].
    Pause {
        /// Who asks.
        by: String,
        /// Which.
        name: String,
    },
    /// Let one that is paused or stopped go on from where it is: [`Shown`].
    Resume {
        /// Who asks.
        by: String,
        /// Which.
        name: String,
    },
    /// Let one whose stream was reset begin with the stream as it is: [`Shown`].
    AcceptReset {
        /// Who asks.
        by: String,
        /// Which.
        name: String,
        /// Why.
        reason: String,
    },
    /// Remove one: [`Shown`], as it was last.
    Remove {
        /// Who asks.
        by: String,
        /// Which.
        name: String,
    },
}

/// What is answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer<T> {
    /// It was done.
    Told(T),
    /// It was not.
    Refused(Refused),
}

/// A bridge as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// The server.
    pub server: String,
    /// The stream.
    pub stream: String,
    /// The durable consumer.
    pub consumer: String,
    /// What identities name the server by.
    pub origin: String,
    /// The type of events made of messages that are none.
    pub kind: String,
    /// `running`, `paused` or `stopped`.
    pub standing: String,
    /// Whether it is connected, and the stream is the one it knows.
    pub following: bool,
    /// The code of what stopped it, or of the last failure until a connection works again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How far it is.
    pub cursor: Cursor,
    /// What came of messages since it was made.
    pub counts: Counts,
}
