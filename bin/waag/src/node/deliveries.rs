//! Managing deliveries for another process of this user: subscriptions, dead letters, redrives, replays, pulls.
//!
//! Place: the desk asks here, and here the router is asked. The desk answers one question at a time and at most 16 KiB, so
//! nothing here waits for events, long lists are told in parts, and an answer that is longer still is held and told piece by
//! piece (`held`).
//! A refusal is an answer too, with its own code, so that a command fails with the code of what was wrong.
//! Not here: what is asked (`flow/router`), the commands (`cli`), the socket (`store::beside`).

pub mod held;

use std::fmt;
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use waag_model::ids::{Actor, NameError};
use waag_router::error::RouterError;
use waag_router::ports::Secret;
use waag_router::router::Router;
use waag_router::shown::{Filter, LETTERS_MAX, LeaseAnswer, Leased, ReplayAsked};
use waag_router::spec::{Change, Spec};
use zeroize::Zeroizing;

use held::{Held, refusal};

/// Most bytes of a refusal's reason.
const REASON_BYTES_MAX: usize = 4_096;
/// From this length on a list is told in parts, in bytes.
const PART_BYTES: usize = 256 * 1_024;
/// Most events of one pull: with the longest events they are fewer bytes than are held.
pub const PULLED_MAX: usize = 16;
/// How long the router may take to say that there is nothing to be pulled, in milliseconds.
const PULL_MS: u64 = 5_000;

/// A secret on its way to the router. Wiped, and never shown.
#[derive(Clone)]
pub struct Given(pub Zeroizing<String>);

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Given(…)")
    }
}

impl Serialize for Given {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

impl Given {
    fn secret(&self) -> Secret {
        Secret(self.0.clone())
    }
}

/// What may be asked about deliveries. Subscriptions and replays are texts of JSON in it, to be read by their own readers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "deliveries", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Asked {
    /// The subscriptions behind a name, or from the first: [`Part`] of `Overview`.
    Subscriptions {
        /// The name of the last one seen.
        after: Option<String>,
    },
    /// One subscription: `Detail`.
    Subscription {
        /// Its name.
        name: String,
    },
    /// Make one: `Created`.
    Create {
        /// Who asks.
        by: String,
        /// What it is, as [`Spec::read`] reads it.
        spec: String,
        /// Its target's secret; a new one is made where the target needs one and none is given.
        secret: Option<Given>,
    },
    /// Change the one of this name: `Overview`.
    Change {
        /// Who asks.
        by: String,
        /// What it is to be, as [`Spec::read`] reads it.
        spec: String,
    },
    /// Pause one: `Overview`.
    Pause {
        /// Who asks.
        by: String,
        /// Which.
        name: String,
        /// Why.
        reason: String,
    },
    /// Let one that is paused or stopped go on: `Overview`.
    Resume {
        /// Who asks.
        by: String,
        /// Which.
        name: String,
    },
    /// Give its target another secret: `Created`.
    RotateSecret {
        /// Who asks.
        by: String,
        /// Which.
        name: String,
        /// The secret; a new one is made where none is given.
        secret: Option<Given>,
    },
    /// Remove one, with its dead letters: `null`.
    Remove {
        /// Who asks.
        by: String,
        /// Which.
        name: String,
        /// Why.
        reason: String,
    },
    /// Lease events that are there, without waiting: [`LeasedShown`], at most [`PULLED_MAX`].
    Pull {
        /// Of which subscription.
        name: String,
        /// At most so many.
        most: usize,
    },
    /// Answer leases: for each, why not, or `null`.
    Answer {
        /// Of which subscription.
        name: String,
        /// The answers.
        answers: Vec<LeaseAnswer>,
    },
    /// Dead letters: `LetterPage`.
    DeadLetters {
        /// Of which subscription.
        name: String,
        /// Which.
        filter: Filter,
        /// Behind this position.
        after: Option<u64>,
        /// At most so many.
        most: usize,
    },
    /// How many dead letters: a number.
    CountDeadLetters {
        /// Of which subscription.
        name: String,
        /// Which.
        filter: Filter,
    },
    /// Try dead letters again: `JobShown`.
    Redrive {
        /// Who asks.
        by: String,
        /// Of which subscription.
        name: String,
        /// Which.
        filter: Filter,
        /// Most a second.
        rate: u32,
        /// Why.
        reason: String,
    },
    /// Discard dead letters: `JobShown`.
    Discard {
        /// Who asks.
        by: String,
        /// Of which subscription.
        name: String,
        /// Which.
        filter: Filter,
        /// Why.
        reason: String,
    },
    /// Deliver a span again: `JobShown`.
    Replay {
        /// Who asks.
        by: String,
        /// To which subscription.
        name: String,
        /// The JSON of a [`ReplayAsked`].
        asked: String,
    },
    /// The jobs before a number, or from the newest: [`Part`] of `JobShown`.
    Jobs {
        /// The number of the last one seen.
        before: Option<u32>,
    },
    /// One job: `JobShown`.
    Job {
        /// Its number.
        number: u32,
    },
    /// End a job: `JobShown`.
    Cancel {
        /// Who asks.
        by: String,
        /// Which.
        number: u32,
    },
    /// A further piece of an answer that is held.
    More {
        /// The answer's number.
        answer: u64,
        /// The byte to go on with.
        from: usize,
    },
}

/// Some of a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Part<T> {
    /// In the list's order.
    pub items: Vec<T>,
    /// Whether there are more.
    pub more: bool,
}

/// A leased event as it is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeasedShown {
    /// Names the lease.
    pub lease: String,
    /// The event's position.
    pub position: u64,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// The replay it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<u32>,
    /// How long it is leased, in milliseconds.
    pub lease_ms: u64,
    /// What is delivered.
    pub event: Box<RawValue>,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The stable code.
    pub code: String,
    /// What happened.
    pub reason: String,
    /// Whether who asked can mend it.
    pub callers: bool,
}

/// Why what was asked was not done.
#[derive(Debug)]
pub enum DeliveriesError {
    /// The router's refusal or failure.
    Router(RouterError),
    /// An actor that is none.
    Name(NameError),
    /// The answer is not held, or not any more.
    NotHeld,
    /// The router did not say in time what there is to be pulled.
    NotPulled,
}

impl DeliveriesError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Router(error) => error.code(),
            Self::Name(error) => error.code(),
            Self::NotHeld => "E1192",
            Self::NotPulled => "E1193",
        }
    }

    /// Whether who asked can mend it.
    #[must_use]
    pub fn is_callers(&self) -> bool {
        match self {
            Self::Router(error) => error.is_the_callers_fault(),
            Self::Name(_) => true,
            Self::NotHeld | Self::NotPulled => false,
        }
    }
}

impl fmt::Display for DeliveriesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Router(error) => error.fmt(f),
            Self::Name(error) => error.fmt(f),
            Self::NotHeld => write!(f, "the rest of the answer is not held any more"),
            Self::NotPulled => write!(f, "the router did not say in time whether there are events"),
        }
    }
}

impl std::error::Error for DeliveriesError {}

impl From<RouterError> for DeliveriesError {
    fn from(error: RouterError) -> Self {
        Self::Router(error)
    }
}

impl From<&DeliveriesError> for Refused {
    fn from(error: &DeliveriesError) -> Self {
        let mut reason = error.to_string();
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        Self { code: error.code().to_owned(), reason, callers: error.is_callers() }
    }
}

/// Answers what is asked about deliveries.
#[derive(Debug, Default)]
pub struct Deliveries {
    held: Mutex<Held>,
}

impl Deliveries {
    /// The answer to a question: a line with its [`Head`](held::Head), and behind it a piece of JSON.
    #[must_use]
    pub fn answer(&self, router: &Router, asked: &Asked) -> String {
        let held = || self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let told = if let Asked::More { answer, from } = asked {
            held().more(*answer, *from).ok_or(DeliveriesError::NotHeld)
        } else {
            carry_out(router, asked).map(|answer| held().first(answer))
        };
        told.unwrap_or_else(|error| refusal(Refused::from(&error)))
    }
}

/// JSON in one line. A line's end stands between the parts of a JSON text only, where a space means the same.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default().replace(['\n', '\r'], " ")
}

/// As many of a list as make up a part; one at least.
fn part<T: Serialize>(items: impl Iterator<Item = T>) -> String {
    let mut items = items.peekable();
    let mut told = String::new();
    while let Some(item) = items.next_if(|_| told.len() < PART_BYTES) {
        if !told.is_empty() {
            told.push(',');
        }
        told.push_str(&json(&item));
    }
    format!(r#"{{"items":[{told}],"more":{}}}"#, items.peek().is_some())
}

fn actor(by: &str) -> Result<Actor, DeliveriesError> {
    Actor::new(by).map_err(DeliveriesError::Name)
}

/// Does what was asked; its answer as JSON.
fn carry_out(router: &Router, asked: &Asked) -> Result<String, DeliveriesError> {
    Ok(match asked {
        Asked::Subscriptions { after } => {
            let all = router.overviews()?.into_iter();
            part(all.filter(|one| after.as_ref().is_none_or(|after| one.spec.name > *after)))
        }
        Asked::Subscription { name } => json(&router.detail(name)?),
        Asked::Create { by, spec, secret } => {
            let secret = secret.as_ref().map(Given::secret);
            json(&router.create(Spec::read(spec.as_bytes())?, secret, &actor(by)?)?)
        }
        Asked::Change { by, spec } => json(&router.alter(Change::read(spec.as_bytes())?, &actor(by)?)?),
        Asked::Pause { by, name, reason } => json(&router.pause(name, reason, &actor(by)?)?),
        Asked::Resume { by, name } => json(&router.resume(name, &actor(by)?)?),
        Asked::RotateSecret { by, name, secret } => {
            let secret = secret.as_ref().map(Given::secret);
            json(&router.rotate_secret(name, secret, &actor(by)?)?)
        }
        Asked::Remove { by, name, reason } => json(&router.remove(name, reason, &actor(by)?)?),
        Asked::Pull { name, most } => json(&pull(router, name, *most)?),
        Asked::Answer { name, answers } => json(&answer(router, name, answers)?),
        Asked::DeadLetters { name, filter, after, most } => {
            json(&router.dead_letters(name, filter, *after, (*most).clamp(1, LETTERS_MAX))?)
        }
        Asked::CountDeadLetters { name, filter } => json(&router.count_dead_letters(name, filter)?),
        Asked::Redrive { by, name, filter, rate, reason } => {
            json(&router.redrive(name, filter.clone(), *rate, reason, &actor(by)?)?)
        }
        Asked::Discard { by, name, filter, reason } => {
            json(&router.discard(name, filter.clone(), reason, &actor(by)?)?)
        }
        Asked::Replay { by, name, asked } => {
            let asked: ReplayAsked =
                serde_json::from_str(asked).map_err(|error| RouterError::Span(error.to_string()))?;
            json(&router.replay(name, asked, &actor(by)?)?)
        }
        Asked::Jobs { before } => {
            let all = router.jobs()?.into_iter();
            part(all.filter(|job| before.is_none_or(|before| job.number < before)))
        }
        Asked::Job { number } => json(&router.job(*number)?),
        Asked::Cancel { by, number } => json(&router.cancel(*number, &actor(by)?)?),
        Asked::More { .. } => return Err(DeliveriesError::NotHeld),
    })
}

/// Leases what is there. What comes too late is not answered by anybody, so that its lease runs out.
fn pull(router: &Router, name: &str, most: usize) -> Result<Vec<LeasedShown>, DeliveriesError> {
    let (told, heard) = sync_channel(1);
    let then = move |pulled| drop(told.try_send(pulled));
    router.pull(name, most.clamp(1, PULLED_MAX), Duration::ZERO, Box::new(then));
    let pulled = heard.recv_timeout(Duration::from_millis(PULL_MS));
    Ok(pulled.map_err(|_| DeliveriesError::NotPulled)??.into_iter().map(shown).collect())
}

fn shown(leased: Leased) -> LeasedShown {
    let Leased { lease, position, attempt, replay, lease_ms, body, .. } = leased;
    // Deliveries are JSON; a body that were none would be shown as a text.
    let event = serde_json::from_slice(&body).unwrap_or_else(|_| {
        let text = serde_json::value::to_raw_value(&String::from_utf8_lossy(&body));
        text.unwrap_or_else(|_| RawValue::NULL.to_owned())
    });
    LeasedShown { lease, position, attempt, replay, lease_ms, event }
}

fn answer(
    router: &Router,
    name: &str,
    answers: &[LeaseAnswer],
) -> Result<Vec<Option<Refused>>, DeliveriesError> {
    let done = router.answer(name, answers.to_vec())?.into_iter();
    Ok(done.map(|done| done.err().map(|error| Refused::from(&DeliveriesError::Router(error)))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_told_in_parts_of_one_item_at_least() {
        let read = |text: &str| -> Part<String> { serde_json::from_str(text).unwrap() };
        let none = read(&part(std::iter::empty::<String>()));
        assert!(none.items.is_empty() && !none.more);
        let few = read(&part(["a", "b"].into_iter()));
        assert!(few.items == ["a", "b"] && !few.more);
        let long = "x".repeat(PART_BYTES);
        let first = read(&part([&long, &long].into_iter()));
        assert!(first.items == [long] && first.more);
    }

    #[test]
    fn json_is_one_line_though_it_has_texts_of_others_in_it() {
        let raw: Box<RawValue> = serde_json::from_str("{\r\n \"a\":\n\"x\\ny\"}").unwrap();
        let line = json(&raw);
        assert!(!line.contains(['\n', '\r']), "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["a"], "x\ny");
    }

    #[test]
    fn every_question_comes_through_its_json_and_shows_no_secret() {
        let name = || "s".to_owned();
        let secret = || Some(Given(Zeroizing::new("whsec_hidden".to_owned())));
        let filter = Filter { from: Some(u64::MAX), key: Some("ab".to_owned()), ..Filter::default() };
        let asked = [
            Asked::Subscriptions { after: None },
            Asked::Create { by: name(), spec: "{\n}".to_owned(), secret: secret() },
            Asked::RotateSecret { by: name(), name: name(), secret: secret() },
            Asked::Answer { name: name(), answers: vec![LeaseAnswer::Acknowledge { lease: "l".to_owned() }] },
            Asked::DeadLetters { name: name(), filter, after: Some(7), most: 3 },
            Asked::Replay { by: name(), name: name(), asked: r#"{"pattern":{}}"#.to_owned() },
            Asked::More { answer: u64::MAX, from: 3 },
        ];
        for one in asked {
            let text = serde_json::to_string(&one).unwrap();
            let back: Asked = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&back).unwrap(), text);
            assert!(!format!("{one:?}").contains("hidden"));
        }
        assert!(serde_json::from_str::<Asked>(r#"{"deliveries":"job","number":1,"more":2}"#).is_err());
    }

    #[test]
    fn a_refusal_has_the_code_of_what_was_wrong_and_a_bounded_reason() {
        let error = DeliveriesError::Router(RouterError::Unknown("ü".repeat(REASON_BYTES_MAX)));
        let refused = Refused::from(&error);
        assert_eq!((refused.code.as_str(), refused.callers), ("E1131", true));
        assert!(refused.reason.len() <= REASON_BYTES_MAX && refused.reason.len() > REASON_BYTES_MAX - 2);
        assert!(!Refused::from(&DeliveriesError::NotPulled).callers);
    }

    #[test]
    fn a_leased_body_is_told_as_the_json_that_it_is() {
        let of = |body: &[u8]| {
            let leased = Leased {
                lease: "l".to_owned(),
                position: 7,
                kind: "t".to_owned(),
                attempt: 1,
                replay: None,
                lease_ms: 30_000,
                body: body.to_vec(),
            };
            json(&shown(leased))
        };
        let told = of(br#"{"n":1.50}"#);
        assert_eq!(told, r#"{"lease":"l","position":7,"attempt":1,"lease_ms":30000,"event":{"n":1.50}}"#);
        assert!(of(b"no json").contains(r#""event":"no json""#));
    }
}
