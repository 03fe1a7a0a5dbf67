//! Persons as the pages show them; their ids go to the use cases and nowhere else.

use waag_keys::error::KeysError;
use waag_keys::restriction::{Cause, Restriction as Kept};
use waag_model::ids::Tag;
use waag_model::time::UtcNanos;
use waag_web::ports::HouseError;
use waag_web::ports::evidence::persons::{
    Deed, DeedKind, HeldClass, Outcome, Person, PersonOrder, Persons, Restriction,
};

use super::{EvidenceHouse, actor, day, failed, time};
use crate::cli::mask::visible_of_person;
use crate::store::subjects::report::{REPORTED, reported};
use crate::store::subjects::told::{Done, Erased, PackOut, Restricted, Row};
use crate::store::subjects::{self, Order, SubjectsError, tag_text};
use crate::store::writer::OpenedStore;

/// Stands for the reason of a look-up, which is asked for none, where its order is checked.
const LOOKED_UP: &str = "-";
/// Restrictions that are gone through for the list.
const RESTRICTIONS_MAX: usize = 1_000;

fn refused(error: &SubjectsError) -> HouseError {
    failed(error.code(), error)
}

fn keys_error(error: &KeysError) -> HouseError {
    failed(error.code(), error)
}

fn class(row: &Row) -> HeldClass {
    HeldClass {
        class: row.class.clone(),
        period: row.period.clone(),
        keys: row.keys,
        until: day(&row.until),
        erasable: row.erasable,
        source: row.law.join("; "),
    }
}

fn packs(packs: &[PackOut]) -> Vec<(String, UtcNanos)> {
    packs.iter().filter_map(|pack| Some((pack.digest.clone(), time(&pack.made)?))).collect()
}

fn restriction(kept: Kept) -> Restriction {
    Restriction { since: kept.since, until: kept.until, reason: kept.reason, by: kept.actor }
}

/// What came of an erasure.
fn erased(told: &Erased, person: &str) -> Outcome {
    let nothing_went = told.erased.is_empty() && !told.kept.is_empty();
    Outcome {
        deed: if nothing_went { DeedKind::ErasureRefused } else { DeedKind::Erased },
        masked: visible_of_person(person),
        destroyed: told.keys,
        erased: told.erased.iter().map(|row| format!("{} {}", row.class, row.period)).collect(),
        stays: told.kept.iter().map(class).collect(),
        erased_at: told.erased_at.as_deref().and_then(time),
        complete_at: told.complete_at.as_deref().and_then(time),
        packs: packs(&told.packs),
        position: told.position.or(told.refused_position),
    }
}

fn restricted(deed: DeedKind, told: &Restricted, person: &str) -> Outcome {
    Outcome {
        deed,
        masked: visible_of_person(person),
        destroyed: 0,
        erased: Vec::new(),
        stays: Vec::new(),
        erased_at: None,
        complete_at: None,
        packs: Vec::new(),
        position: Some(told.position),
    }
}

/// An erasure or a sweep that was done; its event can be shown where it was made since the present ledger was.
fn done(told: Done, ledger_made: UtcNanos) -> Option<Deed> {
    let at = time(&told.at)?;
    let kind = match (&told.erased_at, told.refused_position) {
        (None, Some(_)) => DeedKind::ErasureRefused,
        _ => DeedKind::Erased,
    };
    let keys = format!("{} {}", told.keys, if told.keys == 1 { "key" } else { "keys" });
    let whose = if told.person.is_none() { "retention over: " } else { "" };
    let end = match (told.pending, told.refused_position) {
        (true, _) => "; not finished, goes on with the next call",
        (false, Some(_)) => "; a law keeps a part, restricted",
        (false, None) => "",
    };
    Some(Deed {
        kind,
        at,
        by: told.by,
        tag: told.person.unwrap_or_default(),
        detail: format!("{whose}{keys} destroyed{end}: {}", told.reason),
        complete_at: told.complete_at.as_deref().and_then(time),
        position: told.position.or(told.refused_position).filter(|_| at >= ledger_made),
    })
}

/// A restriction that holds, or held.
fn kept((tag, kept): (Tag, Kept)) -> Deed {
    let until = kept.until.map_or_else(|| "until it is lifted".to_owned(), |day| format!("until {day}"));
    let why = if kept.cause == Cause::Retention { ", by law" } else { "" };
    Deed {
        kind: DeedKind::Restricted,
        at: kept.since,
        by: kept.actor,
        tag: tag_text(tag),
        detail: format!("{until}{why}: {}", kept.reason),
        complete_at: None,
        position: None,
    }
}

/// Whether anything about a person was ever erased here.
fn was_erased(store: &OpenedStore, tag: &str) -> Result<bool, HouseError> {
    let recent = subjects::recent(&store.keyring, usize::MAX).map_err(|error| refused(&error))?;
    Ok(recent.iter().any(|done| done.person.as_deref() == Some(tag)))
}

impl Persons for EvidenceHouse {
    fn record_look_up(&self, person: &str, by: &str) -> Result<(), HouseError> {
        let (store, by) = (self.running.store(), actor(by)?);
        // Refuses an id that nobody has, as the command does.
        Order { person, reason: LOOKED_UP, by: &by }.check().map_err(|error| refused(&error))?;
        let data = reported(store.keyring.person_tag(person), None, false);
        let recorded = subjects::record(store, REPORTED, None, data, &by);
        recorded.map(drop).map_err(|error| failed(error.code(), error))
    }

    fn look_up(&self, person: &str) -> Result<Option<Person>, HouseError> {
        let store = self.running.store();
        let (keyring, now) = (&store.keyring, store.clock.now());
        let planned = subjects::planned(keyring, person, now).map_err(|error| refused(&error))?;
        let held = keyring.restriction(keyring.person_tag(person)).map_err(|error| keys_error(&error))?;
        let is_nobody = planned.erased.is_empty() && planned.kept.is_empty() && held.is_none();
        if is_nobody && planned.packs.is_empty() && !was_erased(store, &planned.person)? {
            return Ok(None);
        }
        let backups_until = planned.complete_at.as_deref().and_then(time).filter(|at| at.0 > now.0);
        Ok(Some(Person {
            masked: visible_of_person(person),
            classes: planned.kept.iter().chain(&planned.erased).map(class).collect(),
            restriction: held.map(restriction),
            packs: packs(&planned.packs),
            tag: planned.person,
            backups_until,
        }))
    }

    fn order(&self, person: &str, order: &PersonOrder, by: &str) -> Result<Outcome, HouseError> {
        let (store, by) = (self.running.store(), actor(by)?);
        let with = |reason| Order { person, reason, by: &by };
        let outcome = match order {
            PersonOrder::Erase { reason } => {
                let told = subjects::erase(store, &with(reason));
                self.packing.forget();
                told.map(|told| erased(&told, person))
            }
            PersonOrder::Restrict { until, reason } => {
                let until = until.map(|day| day.to_string());
                let told = subjects::restrict(store, &with(reason), until.as_deref());
                self.packing.forget();
                told.map(|told| restricted(DeedKind::Restricted, &told, person))
            }
            PersonOrder::Unrestrict { reason } => subjects::unrestrict(store, &with(reason))
                .map(|told| restricted(DeedKind::Unrestricted, &told, person)),
        };
        outcome.map_err(|error| refused(&error))
    }

    fn deeds(&self, most: usize) -> Result<Vec<Deed>, HouseError> {
        let store = self.running.store();
        let (keyring, made) = (&store.keyring, store.ledger.created);
        let recent = subjects::recent(keyring, most).map_err(|error| refused(&error))?;
        let mut deeds: Vec<Deed> = recent.into_iter().filter_map(|told| done(told, made)).collect();
        let mut after = None;
        let mut seen = 0;
        while seen < RESTRICTIONS_MAX {
            let some = keyring.restrictions(after, RESTRICTIONS_MAX).map_err(|error| keys_error(&error))?;
            let Some((tag, _)) = some.last() else { break };
            after = Some(*tag);
            seen = seen.saturating_add(some.len());
            deeds.extend(some.into_iter().map(kept));
        }
        deeds.sort_by_key(|deed| std::cmp::Reverse(deed.at));
        deeds.truncate(most);
        Ok(deeds)
    }
}
