//! Persons, asked of a running node by another process of this user; and the daily sweep of what has been kept long enough.
//!
//! Place: between the desk and `store::subjects`. Without a node the command calls [`carry_out`] on a store of its own.
//! Not here: what is done (`store::subjects`), the command (`cli::subject`).

use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use waag_model::ids::{Actor, NameError};

use super::deliveries::held::{Held, refusal};
use super::deliveries::{Given, Refused};
use crate::store::subjects::{self, Order, SubjectsError, rules};
use crate::store::writer::OpenedStore;

/// How long after one sweep the next one comes.
const SWEEP_EVERY: Duration = Duration::from_secs(86_400);

/// How often it is looked whether an erasure waits to be finished, since readers held old bytes of the state.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What may be asked about persons.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "subject", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Asked {
    /// Erase one: `Erased`.
    Erase {
        /// Who asks.
        by: String,
        /// The person's id.
        person: Given,
        /// Why.
        reason: String,
        /// Why also what somebody asked to be kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        despite_restriction: Option<String>,
    },
    /// Restrict one: `Restricted`.
    Restrict {
        /// Who asks.
        by: String,
        /// The person's id.
        person: Given,
        /// Why.
        reason: String,
        /// The last day.
        until: Option<String>,
    },
    /// Lift a restriction: `Restricted`.
    Unrestrict {
        /// Who asks.
        by: String,
        /// The person's id.
        person: Given,
        /// Why.
        reason: String,
    },
    /// Destroy what has been kept long enough: `Expired`.
    Expire {
        /// Who asks.
        by: String,
    },
    /// Put a retention file into use: its position, or `null` where it is in use.
    SetRetention {
        /// Who asks.
        by: String,
        /// The file's text.
        text: String,
    },
    /// A further piece of an answer that is held.
    More {
        /// The answer's number.
        answer: u64,
        /// The byte to go on with.
        from: usize,
    },
}

/// Why what was asked was not done.
#[derive(Debug)]
pub enum AskedError {
    /// The use case's refusal or failure.
    Subjects(SubjectsError),
    /// An actor that is none.
    Name(NameError),
    /// The answer is not held, or not any more.
    NotHeld,
}

impl AskedError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Subjects(error) => error.code(),
            Self::Name(error) => error.code(),
            Self::NotHeld => super::deliveries::DeliveriesError::NotHeld.code(),
        }
    }
}

impl fmt::Display for AskedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subjects(error) => error.fmt(f),
            Self::Name(error) => error.fmt(f),
            Self::NotHeld => super::deliveries::DeliveriesError::NotHeld.fmt(f),
        }
    }
}

impl std::error::Error for AskedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Subjects(error) => std::error::Error::source(error),
            Self::Name(_) | Self::NotHeld => None,
        }
    }
}

impl From<SubjectsError> for AskedError {
    fn from(error: SubjectsError) -> Self {
        Self::Subjects(error)
    }
}

impl From<&AskedError> for Refused {
    fn from(error: &AskedError) -> Self {
        let callers = match error {
            AskedError::Subjects(error) => error.is_callers(),
            AskedError::Name(_) => true,
            AskedError::NotHeld => false,
        };
        Self { code: error.code().to_owned(), reason: error.to_string(), callers }
    }
}

/// Does what was asked; its answer as JSON.
///
/// # Errors
/// [`AskedError`].
pub fn carry_out(store: &OpenedStore, asked: &Asked) -> Result<String, AskedError> {
    let actor = |by: &str| Actor::new(by).map_err(AskedError::Name);
    Ok(match asked {
        Asked::Erase { by, person, reason, despite_restriction } => {
            let order = Order { person: &person.0, reason, by: &actor(by)? };
            json(&subjects::erase_despite(store, &order, despite_restriction.as_deref())?)
        }
        Asked::Restrict { by, person, reason, until } => {
            let order = Order { person: &person.0, reason, by: &actor(by)? };
            json(&subjects::restrict(store, &order, until.as_deref())?)
        }
        Asked::Unrestrict { by, person, reason } => {
            json(&subjects::unrestrict(store, &Order { person: &person.0, reason, by: &actor(by)? })?)
        }
        Asked::Expire { by } => json(&subjects::expire(store, &actor(by)?)?),
        Asked::SetRetention { by, text } => json(&rules::set(store, &actor(by)?, text)?),
        Asked::More { .. } => return Err(AskedError::NotHeld),
    })
}

/// JSON in one line: values of texts and numbers, so that there is nothing that cannot be written.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Answers what is asked, long answers in pieces.
#[derive(Debug, Default)]
pub struct Subjects {
    held: Mutex<Held>,
}

impl Subjects {
    /// The answer to a question: a line with its head, and behind it a piece of JSON.
    #[must_use]
    pub fn answer(&self, store: &OpenedStore, asked: &Asked) -> String {
        let held = || self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let told = if let Asked::More { answer, from } = asked {
            held().more(*answer, *from).ok_or(AskedError::NotHeld)
        } else {
            carry_out(store, asked).map(|answer| held().first(answer))
        };
        told.unwrap_or_else(|error| refusal(Refused::from(&error)))
    }
}

/// Destroys, once a day, what has been kept long enough, and finishes what was broken off; ends when it is dropped.
pub struct Sweeper {
    ending: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Sweeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sweeper")
    }
}

impl Sweeper {
    /// Starts it; the first sweep comes at once. `tell` hears what went wrong; it is tried again.
    ///
    /// # Errors
    /// The operating system's.
    pub fn start(store: Arc<OpenedStore>, by: Actor, tell: fn(&SubjectsError)) -> std::io::Result<Self> {
        let (ending, ended) = sync_channel::<()>(1);
        let sweep = move || {
            let mut next = store.clock.monotonic();
            loop {
                let is_due = store.clock.monotonic() >= next;
                let done = if is_due {
                    subjects::expire_unasked(&store, &by).map(|done| done.more)
                } else {
                    subjects::finish(&store).map(|_| false)
                };
                let more = done.unwrap_or_else(|error| {
                    tell(&error);
                    false
                });
                if is_due && !more {
                    next = store.clock.monotonic().saturating_add(SWEEP_EVERY);
                }
                let wait = if more { Duration::ZERO } else { LOOK_EVERY };
                if ended.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("waag-retention".to_owned()).spawn(sweep)?;
        Ok(Self { ending: Some(ending), thread: Some(thread) })
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.ending = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
