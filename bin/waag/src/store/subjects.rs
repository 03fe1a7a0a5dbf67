//! Persons across a tenant: what is held about one, erasing it, restricting it (GDPR art. 15, 17, 18), and retention.
//!
//! Place: beneath the command line, the node's desk and the pages, which all ask the same functions.
//! Not here: destroying keys (`evidence/keys`), when nothing is under way (`flow/engine`), reading entries (`report`).
//!
//! An erasure goes: intent durable and keys destroyed, both inside the writer's barrier → restriction of what a law keeps →
//! events → old bytes forgotten → the intent becomes the record of what was done. A crash after any step is gone on from
//! there by [`finish`], at the next opening by a node or the next call (`erasing`).
//!
//! - `SUBJECT-1`: no event, record, message or log line of this holds a person's id; a keyed tag stands for the person.
//! - `SUBJECT-2`: what a law keeps is restricted before anybody is told that it stays.

pub mod erasing;
pub mod intents;
pub mod packs;
pub mod reason;
pub mod report;
pub mod rules;
pub mod told;

use std::fmt;
use std::path::PathBuf;

use waag_keys::error::KeysError;
use waag_keys::keyring::{Keyring, PERSON_BYTES_MAX};
use waag_keys::list::{KeyInfo, Purpose};
use waag_keys::restriction::{Cause, REASON_BYTES_MAX, Restriction};
use waag_keys::retention::{Decision, Retention, RetentionError, date};
use waag_model::ids::{Actor, Tag};
use waag_model::time::UtcDay;
use waag_model::value::{Object, Value};

use super::error::StoreError;
use super::own::{Members, own_event};
use super::told_changes::{Change, Record, carry_out_at};
use super::writer::OpenedStore;
use reason::names;
use told::{Row, Standing};

pub use erasing::{erase, erase_despite, expire, expire_unasked, expiring, finish, planned, recent};

/// The type of the event that records a restriction.
pub const RESTRICTED: &str = "waag.subject.restricted";
/// The type of the event that records that a restriction was lifted.
pub const UNRESTRICTED: &str = "waag.subject.unrestricted";
/// Most days that the clock may be ahead of the newest record for keys to be destroyed without anybody asking.
pub(in crate::store) const CLOCK_DAYS_MAX: i32 = 31;
/// How often what a writer destroys at the same time is looked at again.
const DANGLING_TRIES_MAX: u32 = 5;

/// Why something about a person was not done.
#[derive(Debug)]
pub enum SubjectsError {
    /// The store's refusal or failure.
    Store(StoreError),
    /// The reason is none that can be recorded.
    Reason(&'static str),
    /// Somebody asked for the data to be kept and not used, so that it is not erased either.
    KeptOnRequest,
    /// There is no restriction to lift.
    NotRestricted,
    /// A last day that is none, or is over.
    Until,
    /// The clock is far ahead of the newest record, so that nothing is destroyed unasked.
    Clock,
    /// The retention file.
    Retention(RetentionError),
    /// The folder for the person's copy has something in it.
    Folder(PathBuf),
}

impl SubjectsError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::Reason(_) => "E0730",
            Self::NotRestricted => "E0731",
            Self::Until => "E0732",
            Self::Folder(_) => "E0733",
            Self::Clock => "E0734",
            Self::KeptOnRequest => "E0735",
            Self::Retention(error) => error.code(),
        }
    }

    /// Whether who asked can mend it.
    #[must_use]
    pub fn is_callers(&self) -> bool {
        match self {
            Self::Store(error) => {
                matches!(error, StoreError::Keys(KeysError::Name(_) | KeysError::Restricted))
            }
            Self::Reason(_)
            | Self::KeptOnRequest
            | Self::NotRestricted
            | Self::Until
            | Self::Retention(_)
            | Self::Folder(_) => true,
            Self::Clock => false,
        }
    }
}

impl fmt::Display for SubjectsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Reason(why) => write!(f, "the reason {why}"),
            Self::KeptOnRequest => write!(
                f,
                "this person's data is restricted on request, and may be needed for a legal claim (GDPR art. 17(3)(e), \
                 18(1)(c)): lift the restriction first, or say why it is erased all the same"
            ),
            Self::NotRestricted => write!(f, "this person's data is not restricted"),
            Self::Until => write!(f, "the last day is a date such as `2034-12-31`, and not over"),
            Self::Retention(error) => error.fmt(f),
            Self::Clock => write!(
                f,
                "the clock is more than {CLOCK_DAYS_MAX} days ahead of the newest record: nothing is destroyed unasked"
            ),
            Self::Folder(path) => write!(f, "the folder `{}` is not empty", path.display()),
        }
    }
}

impl std::error::Error for SubjectsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(error) => std::error::Error::source(error),
            Self::Reason(_)
            | Self::KeptOnRequest
            | Self::NotRestricted
            | Self::Until
            | Self::Clock
            | Self::Retention(_)
            | Self::Folder(_) => None,
        }
    }
}

impl<E: Into<StoreError>> From<E> for SubjectsError {
    fn from(error: E) -> Self {
        Self::Store(error.into())
    }
}

impl From<RetentionError> for SubjectsError {
    fn from(error: RetentionError) -> Self {
        Self::Retention(error)
    }
}

/// An order about a person.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The person's id, as `x-data-subject` finds it, with its kind before it where the schema has one.
    pub person: &'a str,
    /// Why; recorded for ever, so it names nobody.
    pub reason: &'a str,
    /// Who ordered it.
    pub by: &'a Actor,
}

impl Order<'_> {
    /// Refuses an order that could not be recorded, or whose record would name the person.
    ///
    /// # Errors
    /// [`SubjectsError::Reason`]; [`KeysError::Name`] of an id that nobody has.
    pub fn check(&self) -> Result<(), SubjectsError> {
        if self.person.is_empty() || self.person.len() > PERSON_BYTES_MAX {
            return Err(KeysError::Name("the person's id").into());
        }
        let reason = reason::checked(self.reason)?;
        if names(reason, self.person) {
            return Err(SubjectsError::Reason("names the person, and it is recorded for ever"));
        }
        Ok(())
    }
}

/// A tag as events and answers show it.
#[must_use]
pub fn tag_text(tag: Tag) -> String {
    hex::encode(tag.0)
}

pub(crate) fn text(text: impl Into<String>) -> Value<'static> {
    Value::Text(text.into().into())
}

pub(crate) fn number(number: usize) -> Value<'static> {
    Value::Integer(i128::try_from(number).unwrap_or(i128::MAX))
}

pub(crate) fn object(members: Vec<(&'static str, Value<'static>)>) -> Value<'static> {
    let members = members.into_iter().map(|(name, value)| (name.into(), value)).collect();
    Object::from_members(members).map_or(Value::Null, Value::Object)
}

/// Records one of Waag's own events; its position.
pub(crate) fn record(
    store: &OpenedStore,
    kind: &str,
    id: Option<String>,
    data: Members<'_>,
    by: &Actor,
) -> Result<u64, StoreError> {
    let event = own_event(kind, id, data).map_err(|_| StoreError::Keys(KeysError::Entropy))?;
    Ok(store.record(&event, by)?.0.position.0)
}

/// A person's keys. A writer that destroys them meanwhile leaves names of keys that are gone, for a moment.
pub(crate) fn keys_of(keyring: &Keyring, person: Tag) -> Result<Vec<KeyInfo>, KeysError> {
    let mut tries = 0;
    loop {
        match keyring.keys_of(person) {
            Err(KeysError::Dangling(_)) if tries < DANGLING_TRIES_MAX => tries += 1,
            other => return other,
        }
    }
}

/// What is held under a person's keys, by class and period: what may be destroyed, and until when what may not.
///
/// # Errors
/// The state's.
pub fn held(
    keyring: &Keyring,
    retention: &Retention,
    person: Tag,
    today: UtcDay,
) -> Result<Vec<Row>, SubjectsError> {
    Ok(rows(&keys_of(keyring, person)?, retention, today))
}

/// Keys by class and period.
pub(crate) fn rows(keys: &[KeyInfo], retention: &Retention, today: UtcDay) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for key in keys.iter().filter(|key| key.purpose == Purpose::Data) {
        let Some(decision) = retention.decide(key, today) else { continue };
        let rule = retention.rule(&key.class);
        let period = key.period.to_string();
        match rows.iter_mut().find(|row| row.class == key.class && row.period == period) {
            Some(row) => row.keys = row.keys.saturating_add(1),
            None => rows.push(Row {
                class: key.class.clone(),
                period,
                keys: 1,
                until: rule.until(key.period).unwrap_or_default().to_string(),
                erasable: !matches!(decision, Decision::Keep { .. }),
                law: rule.laws.iter().map(ToString::to_string).collect(),
                holds: rule.holds.clone(),
                known: retention.knows(&key.class),
            }),
        }
    }
    rows
}

/// A restriction as it is told.
pub(crate) fn standing(restriction: &Restriction) -> Standing {
    Standing {
        since: restriction.since.to_string(),
        until: restriction.until.map(|day| day.to_string()),
        reason: restriction.reason.clone(),
        by: restriction.actor.clone(),
        by_law: restriction.cause == Cause::Retention,
    }
}

/// A restriction that holds and one more that is asked for: both reasons, and the later end, so that none shortens the other.
fn joined(there: Restriction, more: Restriction) -> Restriction {
    let until = there.until.zip(more.until).map(|(there, more)| there.max(more));
    let is_known = there.reason.split("; ").any(|reason| reason == more.reason);
    let both = format!("{}; {}", there.reason, more.reason);
    // Where they do not fit side by side the first stays; each has its event.
    let reason = if is_known || both.len() > REASON_BYTES_MAX { there.reason } else { both };
    Restriction { since: there.since, until, reason, ..more }
}

/// Restricts a person's data: it is stored, and revealed to nobody, until its last day or until it is lifted. One that holds
/// already is never shortened: that is for whoever lifts it.
///
/// # Errors
/// [`SubjectsError`].
pub fn restrict(
    store: &OpenedStore,
    order: &Order<'_>,
    until: Option<&str>,
) -> Result<told::Restricted, SubjectsError> {
    order.check()?;
    let now = store.clock.now();
    let until = until.map(|text| date(text).filter(|day| *day >= now.day()).ok_or(SubjectsError::Until));
    let until = until.transpose()?;
    let person = store.keyring.person_tag(order.person);
    let asked = Restriction {
        since: now,
        until,
        reason: order.reason.trim().to_owned(),
        actor: order.by.as_str().to_owned(),
        cause: Cause::Request,
    };
    let restriction = match store.keyring.asked_restriction(person)? {
        Some(there) => joined(there, asked),
        None => asked,
    };
    let until = restriction.until;
    let data = vec![
        ("person", text(tag_text(person))),
        ("reason", text(order.reason.trim())),
        ("until", until.map_or(Value::Null, |day| text(day.to_string()))),
    ];
    // It holds before it is told: while the writer stands still, too.
    let record = Record::Restriction(person);
    let change = Change { by: order.by, kind: RESTRICTED, data, record };
    let ((), position) = carry_out_at(store, change, || -> Result<(), StoreError> {
        Ok(store.keyring.restrict(person, &restriction)?)
    })?;
    let is_known = !keys_of(&store.keyring, person)?.is_empty();
    Ok(told::Restricted {
        person: tag_text(person),
        until: until.map(|day| day.to_string()),
        position,
        is_known,
    })
}

/// Lifts a person's restriction.
///
/// # Errors
/// [`SubjectsError::NotRestricted`] where there is none that holds.
pub fn unrestrict(store: &OpenedStore, order: &Order<'_>) -> Result<told::Restricted, SubjectsError> {
    order.check()?;
    let person = store.keyring.person_tag(order.person);
    let there = store.keyring.restriction(person)?.ok_or(SubjectsError::NotRestricted)?;
    let data = vec![
        ("person", text(tag_text(person))),
        ("reason", text(order.reason.trim())),
        ("restricted_since", text(there.since.to_string())),
    ];
    // Recorded first: what is used again without a record would be worse than a restriction that stays too long.
    let position = record(store, UNRESTRICTED, None, data, order.by)?;
    store.keyring.lift_restriction(person)?;
    Ok(told::Restricted { person: tag_text(person), until: None, position, is_known: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_names_the_person_is_refused() {
        let by = Actor::new("anna").unwrap();
        let check = |person: &str, reason: &str| {
            Order { person, reason, by: &by }.check().map_err(|error| error.code())
        };
        for (person, reason) in [
            ("customer:4711", "about customer:4711"),
            ("customer:4711", "letter of 4711"),
            ("Bob@Example.org", "mail from bob@example.ORG"),
            ("x", "x asked"),
        ] {
            assert_eq!(check(person, reason), Err("E0730"), "{person}: {reason}");
        }
        assert_eq!(check("customer:7", "request 2027"), Ok(()), "one digit stands in many numbers");
        assert_eq!(check("customer:4711", " "), Err("E0730"));
        assert_eq!(check("customer:4711", "a\nb"), Err("E0730"));
        assert_eq!(check("", "r"), Err("E0546"));
        assert_eq!(check("customer:4711", "request 2026-118"), Ok(()));
    }
}
