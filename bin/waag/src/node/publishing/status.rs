//! How publication stands, for pages, figures and commands: what outsiders see, how far that is behind, who witnessed it.
//!
//! Not here: any work.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use waag_model::time::UtcNanos;

/// How publication stands.
#[derive(Clone, Debug, Default)]
pub struct PublicationStatus {
    /// Entries under the published checkpoint; 0 before the first one.
    pub size: u64,
    /// When it was published.
    pub published_at: Option<UtcNanos>,
    /// The signed note as it is served, with the cosignatures collected so far.
    pub note: Option<Arc<str>>,
    /// Entries that are guarded and not published.
    pub lag_entries: u64,
    /// The age of the oldest of these, at most.
    pub lag: Duration,
    /// Why nothing is published any more.
    pub stopped: Option<Stopped>,
    /// Whether anybody may read the log without a key.
    pub is_public: bool,
    /// What the witness policy says of the published checkpoint; none where there is no policy.
    pub quorum: Option<QuorumStatus>,
    /// The newest checkpoint for which the policy's quorum was met.
    pub cosigned: Option<Cosigned>,
    /// The witnesses of the policy, in its order; behind them, former ones with an alarm.
    pub witnesses: Vec<WitnessStatus>,
}

/// Why nothing is published: what was published before and what the ledger has do not fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// The stable code.
    pub code: &'static str,
    /// What is wrong.
    pub reason: String,
}

/// What a policy says of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumStatus {
    /// The name of the witness or group that must have cosigned; none for `quorum none`.
    pub name: Option<String>,
    /// Whether it has.
    pub met: bool,
    /// Witnesses without a valid cosignature on it.
    pub silent: Vec<String>,
}

/// A checkpoint with all cosignatures that the policy asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// Its entries.
    pub size: u64,
    /// When the quorum was met.
    pub at: UtcNanos,
    /// The signed note.
    pub note: Arc<str>,
}

/// How a witness stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessStatus {
    /// Its name in the policy.
    pub name: String,
    /// Its public key.
    pub vkey: String,
    /// Its submission prefix; none where the policy names none.
    pub url: Option<String>,
    /// The size that it last cosigned, as far as known.
    pub size: u64,
    /// When it did.
    pub cosigned_at: Option<UtcNanos>,
    /// When it was last asked.
    pub asked_at: Option<UtcNanos>,
    /// What it answered then.
    pub answer: Answer,
    /// How many questions in a row did not end in a cosignature.
    pub failures: u32,
    /// When the first of them was.
    pub failing_since: Option<UtcNanos>,
    /// It has seen another history of this log. Stays, also where the witness is taken out of the policy.
    pub alarm: Option<Alarm>,
}

impl WitnessStatus {
    /// One that was never asked.
    #[must_use]
    pub fn new(name: String, vkey: String, url: Option<String>) -> Self {
        Self {
            name,
            vkey,
            url,
            size: 0,
            cosigned_at: None,
            asked_at: None,
            answer: Answer::None,
            failures: 0,
            failing_since: None,
            alarm: None,
        }
    }
}

/// What a witness answered last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was not asked yet.
    None,
    /// A cosignature.
    Cosigned,
    /// Nothing; why.
    Down(String),
    /// 404: it does not know this log; it has to be set up there.
    UnknownLog,
    /// 403: it knows other keys of this log.
    NotSigned,
    /// 409: it has cosigned this size.
    Conflict(u64),
    /// 422: the proof does not lead to what it has cosigned.
    ProofRefused,
    /// 400: it does not understand the request.
    Malformed,
    /// 200, and no valid cosignature by its key; why.
    NotCosigned(String),
    /// Any other status.
    Other(u16),
    /// It cannot be asked, or there is nothing to ask with; why.
    NotAsked(String),
}

impl Stopped {
    /// The ledger is smaller than what was published.
    #[must_use]
    pub fn taken_back(published: u64, ledger: u64) -> Self {
        let reason =
            format!("{published} entries were published, and the ledger has {ledger}: it was taken back");
        Self { code: "E0862", reason }
    }

    /// The ledger's first entries are not those that were published.
    #[must_use]
    pub fn other_history(published: u64) -> Self {
        let reason = format!("the first {published} entries are not those that were published");
        Self { code: "E0863", reason }
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Stopped {}

impl Answer {
    /// Whether somebody has to set something right here or there, so that asking often helps nobody.
    #[must_use]
    pub fn is_misconfiguration(&self) -> bool {
        match self {
            Self::UnknownLog | Self::NotSigned | Self::Malformed | Self::ProofRefused => true,
            Self::None
            | Self::Cosigned
            | Self::Down(_)
            | Self::Conflict(_)
            | Self::NotCosigned(_)
            | Self::Other(_)
            | Self::NotAsked(_) => false,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => write!(f, "not asked yet"),
            Self::Cosigned => write!(f, "cosigned"),
            Self::Down(why) | Self::NotAsked(why) => f.write_str(why),
            Self::UnknownLog => write!(f, "404: it does not know this log"),
            Self::NotSigned => write!(f, "403: it knows other keys of this log"),
            Self::Conflict(size) => write!(f, "409: it has cosigned {size} entries"),
            Self::ProofRefused => write!(f, "422: it has cosigned another history"),
            Self::Malformed => write!(f, "400: it does not understand the request"),
            Self::NotCosigned(why) => write!(f, "200 without a valid cosignature: {why}"),
            Self::Other(status) => write!(f, "status {status}"),
        }
    }
}

/// A witness has seen another history of this log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// What shows it.
    pub kind: AlarmKind,
    /// When it was first seen.
    pub at: UtcNanos,
    /// How many entries this ledger had then.
    pub size: u64,
}

/// What shows that a witness has seen another history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmKind {
    /// It has cosigned this size, and the ledger is smaller: it was taken back.
    Larger(u64),
    /// It has cosigned another root at this size.
    ProofRefused(u64),
}

impl Alarm {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "E0865"
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the witness saw another history: ")?;
        match self.kind {
            AlarmKind::Larger(told) => {
                write!(f, "it has cosigned {told} entries, and the ledger had {}", self.size)
            }
            AlarmKind::ProofRefused(from) => {
                write!(f, "it has cosigned another root at {from} entries than this ledger has")
            }
        }
    }
}
