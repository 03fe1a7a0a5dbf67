//! Erasing a person, and destroying what has been kept long enough: begun inside the writer's barrier, finished whatever
//! happens in between.
//!
//! Inside the barrier, while nothing is under way: the keys that may go are looked up, the intent is made durable with their
//! ids, and they are destroyed. So every entry before the erasure's event is unreadable or was kept, and whatever is sealed
//! later is under new keys that live (`ENGINE-4`).
//!
//! A crash leaves the intent (`intents`) where it was, and [`finish`] goes on: destroying what is destroyed does nothing, and
//! the event's id is the intent's, so that it is recorded once (for as long as the identity window reaches).
//!
//! - `ERASE-1`: an intent is durable before the first of its keys is destroyed.
//! - `ERASE-2`: an intent goes only when its events are recorded and the state has let go of the old bytes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use waag_engine::effect::Rejection;
use waag_keys::error::KeysError;
use waag_keys::keyring::Keyring;
use waag_keys::list::{KeyInfo, Period, Purpose};
use waag_keys::restriction::{Cause, Restriction};
use waag_keys::retention::{Decision, Retention, date};
use waag_keys::state::{SCAN_RECORDS_MAX, StateError};
use waag_model::ids::{Actor, KeyId, Tag};
use waag_model::time::UtcNanos;
use waag_model::value::Value;

use super::intents::{self, Intent, done, pending};
use super::packs::{exports, packs_of};
use super::reason::checked;
use super::told::{Done, Erased, Expired, Row};
use super::{
    CLOCK_DAYS_MAX, Order, SubjectsError, keys_of, number, object, record, rows, rules, standing, tag_text,
    text,
};
use crate::store::error::StoreError;
use crate::store::writer::OpenedStore;
use crate::store::{key_changes, told_changes};

/// The type of the event that records an erasure.
pub const ERASED: &str = "waag.subject.erased";
/// The type of the event that records that a law forbade an erasure, or a part of it.
pub const REFUSED: &str = "waag.subject.erasure_refused";
/// The type of the event that records that keys were destroyed since their retention is over.
pub const EXPIRED: &str = "waag.subject.expired";

/// Most keys of one intent; whoever has more is erased in several rounds.
const KEYS_MAX: usize = 2_000;
/// Most keys that a sweep destroys while the writer waits.
const SWEPT_AT_ONCE: usize = 64;
/// How often a destruction is asked for while another one waits.
const BUSY_TRIES_MAX: u32 = 400;
const BUSY_DELAY_MS: u64 = 10;
/// How often the state is asked again to let go of old bytes that readers hold.
const FORGET_TRIES_MAX: u32 = 50;
const FORGET_DELAY_MS: u64 = 100;
/// Most packs that an event lists.
const PACKS_LISTED_MAX: usize = 100;

/// Runs something inside the writer's barrier; another destruction that waits is waited for.
pub(in crate::store) fn inside<T: Send + 'static>(
    store: &OpenedStore,
    run: impl Fn() -> Result<T, KeysError> + Send + Sync + 'static,
) -> Result<T, SubjectsError> {
    let run = Arc::new(run);
    let mut tries = 0;
    loop {
        let one = Arc::clone(&run);
        match store.writer.destroy_keys(move || one()) {
            Ok(done) => return Ok(done?),
            Err(Rejection::Busy) if tries < BUSY_TRIES_MAX => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(BUSY_DELAY_MS));
            }
            Err(rejection) => return Err(rejection.into()),
        }
    }
}

/// Destroys whatever of a person's keys has the class and period of one of these; readers that hold old bytes do not matter
/// here, they are waited for later.
pub(in crate::store) fn destroy(keyring: &Keyring, person: Tag, keys: &[KeyId]) -> Result<(), KeysError> {
    let keys: BTreeSet<KeyId> = keys.iter().copied().collect();
    let there = keyring.keys_of(person)?;
    let places: BTreeSet<(String, Period)> =
        there.into_iter().filter(|key| keys.contains(&key.id)).map(|key| (key.class, key.period)).collect();
    let may = |key: &KeyInfo| places.contains(&(key.class.clone(), key.period));
    match keyring.destroy_tagged(person, &may) {
        Ok(_) | Err(KeysError::State(StateError::Held)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Which of a person's keys go now, at most [`KEYS_MAX`]; whether there are more of them.
fn going(keys: &[KeyInfo], retention: &Retention, now: UtcNanos) -> (Vec<KeyId>, bool) {
    let mut places: Vec<(&str, Period, Vec<KeyId>)> = Vec::new();
    let goes = |key: &&KeyInfo| {
        matches!(retention.decide(key, now.day()), Some(Decision::Over | Decision::Erase { .. }))
    };
    for key in keys.iter().filter(goes) {
        let place =
            places.iter_mut().find(|(class, period, _)| (*class, *period) == (&key.class, key.period));
        match place {
            Some((.., ids)) => ids.push(key.id),
            None => places.push((&key.class, key.period, vec![key.id])),
        }
    }
    let (mut going, mut more) = (Vec::new(), false);
    for (.., ids) in places {
        if going.is_empty() || going.len() + ids.len() <= KEYS_MAX {
            going.extend(ids);
        } else {
            more = true;
        }
    }
    let data = keys.iter().filter(|key| key.purpose == Purpose::Data).count();
    if going.len() == data {
        // The last data key takes the tag key with it.
        going.extend(keys.iter().filter(|key| key.purpose == Purpose::Tags).map(|key| key.id));
    }
    (going, more)
}

/// Erases a person: destroys what may go, restricts what a law keeps, records both. Idempotent; where nothing is held,
/// nothing is recorded.
///
/// # Errors
/// [`SubjectsError`]; what was begun is finished by the next call or opening.
pub fn erase(store: &OpenedStore, order: &Order<'_>) -> Result<Erased, SubjectsError> {
    erase_despite(store, order, None)
}

/// [`erase`], where `despite` also says why data goes that somebody asked to be kept; that restriction ends with it. It is
/// recorded with the reason of the erasure.
///
/// # Errors
/// [`SubjectsError::KeptOnRequest`]; as [`erase`].
pub fn erase_despite(
    store: &OpenedStore,
    order: &Order<'_>,
    despite: Option<&str>,
) -> Result<Erased, SubjectsError> {
    order.check()?;
    let person = store.keyring.person_tag(order.person);
    let asked = store.keyring.asked_restriction(person)?;
    let reason = match (&asked, despite) {
        (None, _) => order.reason.trim().to_owned(),
        (Some(_), None) => return Err(SubjectsError::KeptOnRequest),
        (Some(_), Some(despite)) => {
            format!("{}; despite the restriction: {}", order.reason.trim(), checked(despite)?)
        }
    };
    let order = &Order { reason: &reason, ..*order };
    order.check()?;
    finish(store)?;
    let retention = Arc::new(rules::settled(store, order.by)?);
    let mut told =
        Erased { person: tag_text(person), exports: exports(&store.keyring)?, ..Erased::default() };
    while let Some(Begun { intent, gone, more }) = begin(store, order, person, &retention)? {
        told.erased.extend(rows(&gone, &retention, intent.at.day()));
        settle(store, intent, &retention, more, &mut told)?;
        if !more {
            break;
        }
    }
    if asked.is_some() {
        store.keyring.lift_asked_restriction(person)?;
    }
    Ok(told)
}

/// An erasure whose keys are destroyed.
struct Begun {
    intent: Intent,
    /// What was destroyed.
    gone: Vec<KeyInfo>,
    /// Whether another round is needed.
    more: bool,
}

/// The first step, inside the barrier: what goes, durable as an intent, then destroyed. None where nothing is held.
fn begin(
    store: &OpenedStore,
    order: &Order<'_>,
    person: Tag,
    retention: &Arc<Retention>,
) -> Result<Option<Begun>, SubjectsError> {
    let (keyring, rules) = (Arc::clone(&store.keyring), Arc::clone(retention));
    let now = store.clock.now();
    let intent = Intent::new(now, Some(person), order.by, order.reason)?;
    inside(store, move || {
        keyring.commit_pending(u64::MAX)?;
        let keys = keyring.keys_of(person)?;
        if !keys.iter().any(|key| key.purpose == Purpose::Data) {
            return Ok(None);
        }
        let (going, more) = going(&keys, &rules, now);
        let intent = Intent { keys: going, ..intent.clone() };
        let gone: Vec<KeyInfo> = keys.into_iter().filter(|key| intent.keys.contains(&key.id)).collect();
        intent.keep(&keyring)?;
        destroy(&keyring, person, &intent.keys)?;
        Ok(Some(Begun { intent, gone, more }))
    })
}

/// What an erasure would do.
///
/// # Errors
/// The state's.
pub fn planned(keyring: &Keyring, person: &str, now: UtcNanos) -> Result<Erased, SubjectsError> {
    let (person, retention) = (keyring.person_tag(person), rules::in_use(keyring)?);
    let rows = rows(&keys_of(keyring, person)?, &retention, now.day());
    let keys = rows.iter().filter(|row| row.erasable).fold(0_u64, |sum, row| sum.saturating_add(row.keys));
    let (erased, kept): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| row.erasable);
    Ok(Erased {
        person: tag_text(person),
        dry_run: true,
        restriction: keyring.asked_restriction(person)?.as_ref().map(standing),
        restricted_until: kept.iter().map(|row| row.until.clone()).max(),
        complete_at: intents::complete_at(keyring, now, None)?.map(|time| time.to_string()),
        packs: packs_of(keyring, person)?,
        exports: exports(keyring)?,
        erased,
        kept,
        keys,
        ..Erased::default()
    })
}

/// Restricts what stays, records what was done, has the old bytes forgotten, and marks the intent done.
fn settle(
    store: &OpenedStore,
    mut intent: Intent,
    retention: &Retention,
    more: bool,
    told: &mut Erased,
) -> Result<(), SubjectsError> {
    let keyring = &store.keyring;
    let by = Actor::new(&intent.by).map_err(|_| KeysError::Unreadable("an erasure"))?;
    let stones = intent.keys.iter().map(|key| keyring.tombstone(*key)).collect::<Result<Vec<_>, _>>()?;
    let stones: Vec<_> = stones.into_iter().flatten().collect();
    intent.erased = stones.iter().map(|stone| stone.destroyed).max();
    let complete =
        intent.erased.map(|at| intents::complete_at(keyring, at, intent.position)).transpose()?.flatten();
    let packs = intent.person.map(|person| packs_of(keyring, person)).transpose()?.unwrap_or_default();
    let kept = match intent.person.filter(|_| !more) {
        Some(person) => kept(store, person, &intent, retention)?,
        None => Vec::new(),
    };
    let id = hex::encode(intent.id);
    if intent.position.is_none() && !stones.is_empty() {
        let kind = if intent.person.is_some() { ERASED } else { EXPIRED };
        let keys = stones.iter().map(|stone| text(stone.id.to_string())).collect();
        let classes: BTreeSet<&str> = stones.iter().map(|stone| stone.class.as_str()).collect();
        let classes = classes.into_iter().filter(|class| !class.is_empty()).map(text).collect();
        let time = |time: Option<UtcNanos>| time.map_or(Value::Null, |time| text(time.to_string()));
        let mut data = vec![("reason", text(intent.reason.clone())), ("keys", Value::Array(keys))];
        data.extend([("classes", Value::Array(classes)), ("erased_at", time(intent.erased))]);
        data.push(("complete_at", time(complete)));
        if let Some(person) = intent.person {
            let listed = packs.iter().take(PACKS_LISTED_MAX).map(|pack| text(pack.digest.clone())).collect();
            data.extend([("person", text(tag_text(person))), ("packs", number(packs.len()))]);
            data.push(("exports", number(exports(keyring)?.len())));
            data.push(("pack_digests", Value::Array(listed)));
        }
        intent.position = Some(record(store, kind, Some(id.clone()), data, &by)?);
        intent.keep(keyring)?;
    }
    if let Some(person) = intent.person.filter(|_| intent.refused.is_none() && !kept.is_empty()) {
        let stays = kept.iter().map(|row| {
            let law = row.law.iter().map(|law| text(law.clone())).collect();
            object(vec![
                ("class", text(row.class.clone())),
                ("period", text(row.period.clone())),
                ("until", text(row.until.clone())),
                ("law", Value::Array(law)),
            ])
        });
        let data = vec![
            ("person", text(tag_text(person))),
            ("reason", text(intent.reason.clone())),
            ("kept", Value::Array(stays.collect())),
            ("restricted", Value::Bool(true)),
        ];
        intent.refused = Some(record(store, REFUSED, Some(format!("{id}-kept")), data, &by)?);
        intent.keep(keyring)?;
    }
    told.held = !forget(store)?;
    if !told.held {
        intent.done(keyring)?;
    }
    told.keys = told.keys.saturating_add(stones.len() as u64);
    told.erased_at = intent.erased.map(|time| time.to_string()).or(told.erased_at.take());
    told.complete_at = complete.map(|time| time.to_string()).or(told.complete_at.take());
    told.position = intent.position.or(told.position);
    told.refused_position = intent.refused.or(told.refused_position);
    told.restricted_until = kept.iter().map(|row| row.until.clone()).max();
    (told.kept, told.packs) = (kept, packs);
    Ok(())
}

/// What a law keeps of a person, restricted from here on (`SUBJECT-2`).
fn kept(
    store: &OpenedStore,
    person: Tag,
    intent: &Intent,
    retention: &Retention,
) -> Result<Vec<Row>, SubjectsError> {
    let keyring = &store.keyring;
    let mut rows = rows(&keys_of(keyring, person)?, retention, store.clock.now().day());
    rows.retain(|row| !row.erasable);
    let until = rows.iter().filter_map(|row| date(&row.until)).max();
    if until.is_some() {
        let restriction = Restriction {
            since: intent.at,
            until,
            reason: intent.reason.clone(),
            actor: intent.by.clone(),
            cause: Cause::Retention,
        };
        keyring.restrict(person, &restriction)?;
    }
    Ok(rows)
}

/// Asks the state to let go of old bytes until it has; false where readers hold them too long.
pub(in crate::store) fn forget(store: &OpenedStore) -> Result<bool, SubjectsError> {
    for _ in 0..FORGET_TRIES_MAX {
        match store.state.forget() {
            Ok(()) => return Ok(true),
            Err(StateError::Held) => std::thread::sleep(Duration::from_millis(FORGET_DELAY_MS)),
            Err(error) => return Err(KeysError::State(error).into()),
        }
    }
    Ok(false)
}

/// Goes on with what a crash broke off; how many there were. Costs one look where there is nothing.
///
/// # Errors
/// [`SubjectsError`]; what could not be finished is left for the next call.
pub fn finish(store: &OpenedStore) -> Result<usize, SubjectsError> {
    let others = told_changes::finish(store)?.saturating_add(key_changes::finish(store)?);
    let pending = pending(&store.keyring)?;
    let count = pending.len();
    if count == 0 {
        return Ok(others);
    }
    let retention = rules::in_use(&store.keyring)?;
    for intent in pending {
        let (keyring, keys) = (Arc::clone(&store.keyring), intent.keys.clone());
        match intent.person {
            Some(person) => inside(store, move || destroy(&keyring, person, &keys))?,
            None => sweep(store, &keys)?,
        }
        settle(store, intent, &retention, false, &mut Erased::default())?;
    }
    Ok(count.saturating_add(others))
}

/// Destroys keys whose retention is over, a few at a time, so that the writer waits for few.
fn sweep(store: &OpenedStore, keys: &[KeyId]) -> Result<(), SubjectsError> {
    for some in keys.chunks(SWEPT_AT_ONCE) {
        let (keyring, some) = (Arc::clone(&store.keyring), some.to_vec());
        inside(store, move || match keyring.destroy_expired(&some) {
            Ok(_) | Err(KeysError::State(StateError::Held)) => Ok(()),
            Err(error) => Err(error),
        })?;
    }
    Ok(())
}

/// The persons' keys whose retention is over, at most some thousand of them, and what is told of them. What is restricted
/// because somebody asked for it stays: they may need it (GDPR art. 18(1)(b), (c)).
fn due(keyring: &Keyring, retention: &Retention, now: UtcNanos) -> Result<(Vec<KeyId>, Expired), KeysError> {
    let (mut due, mut told, mut after) = (Vec::new(), Expired::default(), None);
    while due.len() <= KEYS_MAX {
        let keys = keyring.list(after, SCAN_RECORDS_MAX)?;
        let Some(last) = keys.last() else { break };
        after = Some(last.id);
        let is_over = |key: &&KeyInfo| retention.decide(key, now.day()) == Some(Decision::Over);
        for key in keys.iter().filter(|key| key.is_persons).filter(is_over) {
            let person = keyring.tag_of_key(key.id)?;
            let restriction = person.map(|person| keyring.restriction(person)).transpose()?.flatten();
            if restriction.is_some_and(|restriction| restriction.cause == Cause::Request) {
                told.restricted = told.restricted.saturating_add(1);
            } else {
                due.push(key.id);
            }
        }
    }
    told.more = due.len() > KEYS_MAX;
    due.truncate(KEYS_MAX);
    told.keys = due.len() as u64;
    Ok((due, told))
}

/// What [`expire`] would do.
///
/// # Errors
/// The state's.
pub fn expiring(keyring: &Keyring, now: UtcNanos) -> Result<Expired, SubjectsError> {
    Ok(due(keyring, &rules::in_use(keyring)?, now)?.1)
}

/// Destroys persons' keys whose retention is over, at most some thousand of them: `more` says that there are others. Where
/// there is nothing to do, nothing is recorded.
///
/// # Errors
/// [`SubjectsError`]; what was begun is finished by the next call or opening.
pub fn expire(store: &OpenedStore, by: &Actor) -> Result<Expired, SubjectsError> {
    finish(store)?;
    let now = store.clock.now();
    let (keys, mut told) = due(&store.keyring, &rules::in_use(&store.keyring)?, now)?;
    if keys.is_empty() {
        return Ok(told);
    }
    let retention = rules::settled(store, by)?;
    let intent = Intent { keys, ..Intent::new(now, None, by, "the retention is over")? };
    intent.keep(&store.keyring)?;
    sweep(store, &intent.keys)?;
    let mut erased = Erased::default();
    settle(store, intent, &retention, false, &mut erased)?;
    told.positions.extend(erased.position);
    Ok(told)
}

/// [`expire`], as a node does it by itself: not where the clock is far ahead of the newest record. A clock that is years
/// wrong would destroy what nobody can bring back; whoever knows that it is right asks.
///
/// # Errors
/// [`SubjectsError::Clock`]; as [`expire`].
pub fn expire_unasked(store: &OpenedStore, by: &Actor) -> Result<Expired, SubjectsError> {
    finish(store)?;
    let tail = store.reader.log.tail();
    let last = tail.commit_time.day().0.saturating_add(CLOCK_DAYS_MAX);
    if tail.position.0 > 0 && store.clock.now().day().0 > last {
        return Err(SubjectsError::Clock);
    }
    expire(store, by)
}

/// The erasures and sweeps that were done, newest first, those that are still to be finished before them.
///
/// # Errors
/// The state's.
pub fn recent(keyring: &Keyring, most: usize) -> Result<Vec<Done>, SubjectsError> {
    let mut all: Vec<(Intent, bool)> = done(keyring)?.into_iter().map(|done| (done, false)).collect();
    all.extend(pending(keyring)?.into_iter().map(|pending| (pending, true)));
    all.reverse();
    let told = |(intent, pending): (Intent, bool)| {
        let complete =
            intent.erased.map(|at| intents::complete_at(keyring, at, intent.position)).transpose()?.flatten();
        Ok(Done {
            person: intent.person.map(tag_text),
            reason: intent.reason,
            by: intent.by,
            at: intent.at.to_string(),
            keys: if intent.erased.is_some() { intent.keys.len() as u64 } else { 0 },
            erased_at: intent.erased.map(|time| time.to_string()),
            complete_at: complete.map(|time| time.to_string()),
            position: intent.position,
            refused_position: intent.refused,
            pending,
        })
    };
    all.into_iter().take(most).map(told).collect::<Result<_, StoreError>>().map_err(SubjectsError::Store)
}

#[cfg(test)]
mod tests;
