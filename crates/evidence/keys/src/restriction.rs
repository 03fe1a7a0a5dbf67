//! Persons whose data may be kept and not used (GDPR art. 18): told, asked for, and lifted.
//!
//! Place: every way that opens a person's fields for somebody asks here first, by the keys that sealed them, so that
//! nobody needs the person's id. Storing goes on meanwhile (art. 18(2)).
//! Not here: the requests and their events (the program).
//!
//! Stored in [`Table::Restriction`](crate::state::Table::Restriction) as deterministic CBOR: `[1, since (ns), last day or
//! null, reason, actor, cause]`. What was asked for (cause 0) stands under the person's tag, 16 bytes; what follows from a
//! law that forbade an erasure (cause 1) under the tag and a byte 1, so that neither shortens the other.
//!
//! - `RESTRICT-1`: a restriction is durable before anybody is told of it.
//! - `RESTRICT-2`: a person is restricted for as long as one of the two holds.

use waag_entry::cbor::{Reader, write};
use waag_entry::error::EntryError;
use waag_model::ids::{KeyId, Tag};
use waag_model::time::{UtcDay, UtcNanos};

use crate::error::KeysError;
use crate::keyring::Keyring;
use crate::records::DataKeyRecord;
use crate::side::Side;
use crate::state::{Expect, SCAN_RECORDS_MAX, Table};

const VERSION: u64 = 1;
/// What stands behind the tag of a person whose restriction follows from a law.
const BY_LAW: u8 = 1;
/// Longest reason of a restriction, in bytes.
pub const REASON_BYTES_MAX: usize = 1_000;

/// Why data is restricted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The person, or somebody for them, asked for it.
    Request,
    /// An erasure was asked for and a law keeps the data: it goes when its retention is over.
    Retention,
}

/// A restriction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restriction {
    /// Since when.
    pub since: UtcNanos,
    /// Its last day; none where it holds until it is lifted.
    pub until: Option<UtcDay>,
    /// Why, in words that name nobody.
    pub reason: String,
    /// Who ordered it.
    pub actor: String,
    /// What it follows from.
    pub cause: Cause,
}

impl Restriction {
    /// Whether it holds on a day.
    #[must_use]
    pub fn holds_on(&self, day: UtcDay) -> bool {
        self.until.is_none_or(|until| day <= until)
    }

    /// Its stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write::array(&mut out, 6);
        write::uint(&mut out, VERSION);
        write::int(&mut out, self.since.0);
        match self.until {
            Some(day) => write::int(&mut out, i64::from(day.0)),
            None => write::null(&mut out),
        }
        write::text(&mut out, &self.reason);
        write::text(&mut out, &self.actor);
        write::uint(&mut out, u64::from(self.cause == Cause::Retention));
        out
    }

    fn decode(value: &[u8]) -> Result<Self, KeysError> {
        let read = || -> Result<Self, EntryError> {
            let mut reader = Reader::new(value);
            reader.array_of(6, "a restriction")?;
            let wrong = |reader: &Reader<'_>| EntryError::Form {
                offset: reader.offset(),
                expected: "a restriction of version 1",
            };
            if reader.uint("the version")? != VERSION {
                return Err(wrong(&reader));
            }
            let since = UtcNanos(reader.int("a time")?);
            let until = if reader.null() {
                None
            } else {
                let day = i32::try_from(reader.int("a day")?).map_err(|_| wrong(&reader))?;
                Some(UtcDay(day))
            };
            let reason = reader.text("a reason")?.to_owned();
            let actor = reader.text("an actor")?.to_owned();
            let cause = match reader.uint("a cause")? {
                0 => Cause::Request,
                1 => Cause::Retention,
                _ => return Err(wrong(&reader)),
            };
            reader.end()?;
            Ok(Self { since, until, reason, actor, cause })
        };
        read().map_err(|_| KeysError::Unreadable("a restriction"))
    }
}

/// Where a restriction of this cause stands.
fn place(person: Tag, cause: Cause) -> Vec<u8> {
    let mut place = person.0.to_vec();
    place.extend((cause == Cause::Retention).then_some(BY_LAW));
    place
}

/// The person that a place names.
fn person_of(place: &[u8]) -> Option<Tag> {
    let tag = place.strip_suffix(&[BY_LAW]).filter(|tag| tag.len() == 16).unwrap_or(place);
    tag.try_into().ok().map(Tag)
}

impl Keyring {
    /// The restriction of a person that holds now, by the person's tag. Where one was asked for and another follows from a
    /// law, it is the one that was asked for, through the later of the two last days.
    ///
    /// # Errors
    /// [`KeysError::State`]; [`KeysError::Unreadable`].
    pub fn restriction(&self, person: Tag) -> Result<Option<Restriction>, KeysError> {
        let today = self.means.clock.now().day();
        let of = |cause| -> Result<Option<Restriction>, KeysError> {
            let record = self.side_record(Side::Restriction, &place(person, cause))?;
            let told = record.map(|record| Restriction::decode(&record.value)).transpose()?;
            Ok(told.filter(|told| told.holds_on(today)))
        };
        Ok(match (of(Cause::Request)?, of(Cause::Retention)?) {
            (Some(asked), Some(by_law)) => {
                // A day that is none is later than all.
                let until = asked.until.zip(by_law.until).map(|(asked, by_law)| asked.max(by_law));
                Some(Restriction { until, ..asked })
            }
            (asked, by_law) => asked.or(by_law),
        })
    }

    /// The restriction of a person that was asked for, if it holds now; what a law asks for is left out.
    ///
    /// # Errors
    /// As [`Keyring::restriction`].
    pub fn asked_restriction(&self, person: Tag) -> Result<Option<Restriction>, KeysError> {
        let today = self.means.clock.now().day();
        let record = self.side_record(Side::Restriction, &place(person, Cause::Request))?;
        let told = record.map(|record| Restriction::decode(&record.value)).transpose()?;
        Ok(told.filter(|told| told.holds_on(today)))
    }

    /// Lifts the restriction of a person that was asked for; what a law asks for stays. Durable when this returns.
    ///
    /// # Errors
    /// The state's.
    pub fn lift_asked_restriction(&self, person: Tag) -> Result<(), KeysError> {
        self.keep_side_record(Side::Restriction, &place(person, Cause::Request), Expect::Any, None)
    }

    /// Restrictions in the order of their tags behind one, also those whose last day is over, both of a person that has two;
    /// an empty answer is the end.
    ///
    /// # Errors
    /// As [`Keyring::restriction`].
    pub fn restrictions(
        &self,
        after: Option<Tag>,
        limit: usize,
    ) -> Result<Vec<(Tag, Restriction)>, KeysError> {
        let told = |record: &crate::state::Record| {
            let person = person_of(&record.key).ok_or(KeysError::Unreadable("a restriction"))?;
            Ok((person, Restriction::decode(&record.value)?))
        };
        // Behind everything of the person who was the last.
        let after = after.map(|tag| place(tag, Cause::Retention));
        let limit = limit.clamp(1, SCAN_RECORDS_MAX);
        let records = self.side_records(Side::Restriction, after.as_deref(), limit)?;
        let mut found: Vec<(Tag, Restriction)> =
            records.iter().map(told).collect::<Result<_, KeysError>>()?;
        // The other one of the last person, where the limit stands between the two.
        if let Some(last) = records.last().filter(|last| records.len() == limit && last.key.len() == 16) {
            let next = self.side_records(Side::Restriction, Some(&last.key), 1)?;
            let same = next.iter().filter(|next| person_of(&next.key) == person_of(&last.key));
            found.extend(same.map(told).collect::<Result<Vec<_>, KeysError>>()?);
        }
        Ok(found)
    }

    /// Restricts a person's data, in the place of a restriction of the same cause; durable when this returns.
    ///
    /// # Errors
    /// [`KeysError::Name`] where the reason is too long; the state's.
    pub fn restrict(&self, person: Tag, restriction: &Restriction) -> Result<(), KeysError> {
        if restriction.reason.len() > REASON_BYTES_MAX {
            return Err(KeysError::Name("the reason"));
        }
        let place = place(person, restriction.cause);
        self.keep_side_record(Side::Restriction, &place, Expect::Any, Some(&restriction.encode()))
    }

    /// Lifts a person's restrictions; durable when this returns.
    ///
    /// # Errors
    /// The state's.
    pub fn lift_restriction(&self, person: Tag) -> Result<(), KeysError> {
        for cause in [Cause::Request, Cause::Retention] {
            self.keep_side_record(Side::Restriction, &place(person, cause), Expect::Any, None)?;
        }
        Ok(())
    }

    /// Whose key this is, as a tag; none where it is nobody's, was destroyed, or never was.
    ///
    /// # Errors
    /// The state's; [`KeysError::Unreadable`].
    pub fn tag_of_key(&self, id: KeyId) -> Result<Option<Tag>, KeysError> {
        if let Some(pending) = self.pending_facts(id) {
            return Ok(pending);
        }
        let Some(record) = self.means.state.get(Table::DataKey, &id.0)? else { return Ok(None) };
        Ok(DataKeyRecord::decode(&record.key, &record.value)?.facts.person)
    }

    /// Refuses where one of these keys is that of a person whose data is restricted: to be asked before what they sealed
    /// is revealed or disclosed to anybody.
    ///
    /// # Errors
    /// [`KeysError::Restricted`]; as [`Keyring::restriction`].
    pub fn refuse_restricted(&self, keys: impl IntoIterator<Item = KeyId>) -> Result<(), KeysError> {
        for id in keys {
            let Some(person) = self.tag_of_key(id)? else { continue };
            if self.restriction(person)?.is_some() {
                return Err(KeysError::Restricted);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restriction() -> Restriction {
        Restriction {
            since: UtcNanos(-5),
            until: Some(UtcDay(23_376)),
            reason: "request 2026-118".to_owned(),
            actor: "anna".to_owned(),
            cause: Cause::Retention,
        }
    }

    #[test]
    fn the_stored_form_is_what_it_was_and_nothing_else_is_read() {
        let told = restriction();
        let bytes = told.encode();
        let golden =
            [&[0x86, 0x01, 0x24, 0x19, 0x5b, 0x50, 0x70][..], b"request 2026-118", &[0x64], b"anna", &[0x01]]
                .concat();
        assert_eq!(bytes, golden);
        assert_eq!(Restriction::decode(&bytes), Ok(told.clone()));
        let open = Restriction { until: None, cause: Cause::Request, ..told };
        assert_eq!(Restriction::decode(&open.encode()), Ok(open));
        for at in 0..bytes.len() {
            assert!(Restriction::decode(&bytes[..at]).is_err(), "{at}");
        }
        assert!(Restriction::decode(&[&bytes[..], b"\0"].concat()).is_err());
        let mut other = bytes;
        other[1] = 2;
        assert!(Restriction::decode(&other).is_err());
    }

    #[test]
    fn a_law_and_a_request_do_not_shorten_each_other_and_both_are_listed_and_lifted() {
        let keyring = crate::side::tests::keyring();
        let person = Tag([1; 16]);
        let (asked, by_law) = (Cause::Request, Cause::Retention);
        let far = |days| Some(UtcDay(keyring.means.clock.now().day().0 + days));
        let restrict = |person, cause, until| {
            keyring.restrict(person, &Restriction { until, cause, ..restriction() }).unwrap();
        };
        let now = |person| keyring.restriction(person).unwrap().map(|told| (told.cause, told.until));
        restrict(person, by_law, far(9));
        assert_eq!(now(person), Some((by_law, far(9))));
        restrict(person, asked, far(3));
        assert_eq!(now(person), Some((asked, far(9))));
        restrict(person, asked, None);
        assert_eq!(now(person), Some((asked, None)));
        restrict(person, asked, far(-1));
        assert_eq!(now(person), Some((by_law, far(9))), "what was asked for is over");
        // A tag that ends as the places of the other kind do is still its own person's.
        let others = [Tag([0; 16]), Tag([2; 16])];
        for other in others {
            restrict(other, asked, None);
        }
        assert_eq!(now(Tag([3; 16])), None);
        for limit in 1..5 {
            let (mut all, mut after) = (Vec::new(), None);
            loop {
                let some = keyring.restrictions(after, limit).unwrap();
                let Some((last, _)) = some.last() else { break };
                after = Some(*last);
                all.extend(some.into_iter().map(|(tag, told)| (tag, told.cause)));
            }
            assert_eq!(all, [(others[0], asked), (person, asked), (person, by_law), (others[1], asked)]);
        }
        keyring.lift_restriction(person).unwrap();
        assert_eq!((now(person), now(others[1])), (None, Some((asked, None))));
    }

    #[test]
    fn the_last_day_belongs_to_it() {
        let told = restriction();
        assert!(told.holds_on(UtcDay(23_376)) && !told.holds_on(UtcDay(23_377)));
        assert!(Restriction { until: None, ..told }.holds_on(UtcDay(i32::MAX)));
    }
}
