//! The stored forms of what the router keeps in the state, version 1.
//!
//! Place: `state`, beside keys and leases. Three tables:
//!
//! | table | key | value |
//! |---|---|---|
//! | cursor | lane | version, the lane's low position, its subscription's dead letters |
//! | delivery | lane, `q`, key, position | an event that waits for its turn: attempts, when it is due |
//! | delivery | lane, `d` or `p`, position | a dead letter; `p` where its key waits for it |
//! | delivery | zeros, `o`, number | a notice that the ledger does not have yet (JSON) |
//! | subscription | `s`, number | a subscription (JSON) with its wrapped secrets |
//! | subscription | `j`, number | a job (JSON) |
//!
//! A lane is a subscription's number and a replay's (0: none), 4 bytes each; all numbers are big-endian, so that the order
//! of records is theirs. Waiting events are found by key, since a key is worked off in order; dead letters by position, since
//! the order of the ledger is the order of every key, and frames are then read once.
//! Not here: what the records mean (`lane`, `registry`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use waag_model::time::UtcNanos;

use crate::error::RouterError;

/// The version that every value begins with.
const VERSION: u8 = 1;

/// Changes of records: none removes.
pub type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// What keeps events in order, by its hash or tag; 16 bytes.
pub type Key = [u8; 16];

/// One stream of deliveries: a subscription's own, or one of its replays'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId {
    /// The subscription's number.
    pub subscription: u32,
    /// The replay's job number; 0 for the subscription's own.
    pub job: u32,
}

/// Which records of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Waiting for its turn.
    Queued,
    /// A dead letter that its key has left behind.
    Dead,
    /// A dead letter that its key waits for.
    Parked,
    /// A notice that is owed.
    Owed,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Queued => b'q',
            Self::Dead => b'd',
            Self::Parked => b'p',
            Self::Owed => b'o',
        }
    }
}

/// The key of a lane's cursor, and what the keys of all its records begin with.
pub(crate) fn lane_key(lane: LaneId) -> Vec<u8> {
    let mut key = Vec::with_capacity(33);
    key.extend_from_slice(&lane.subscription.to_be_bytes());
    key.extend_from_slice(&lane.job.to_be_bytes());
    key
}

/// What the keys of these records begin with.
pub(crate) fn prefix(lane: LaneId, kind: Kind) -> Vec<u8> {
    let mut key = lane_key(lane);
    key.push(kind.code());
    key
}

pub(crate) fn queued_key(lane: LaneId, key: &Key, position: u64) -> Vec<u8> {
    let mut record = prefix(lane, Kind::Queued);
    record.extend_from_slice(key);
    record.extend_from_slice(&position.to_be_bytes());
    record
}

pub(crate) fn numbered_key(lane: LaneId, kind: Kind, number: u64) -> Vec<u8> {
    let mut record = prefix(lane, kind);
    record.extend_from_slice(&number.to_be_bytes());
    record
}

/// The number that a record's key ends with.
pub(crate) fn number_of(record: &[u8]) -> Option<u64> {
    record.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}

/// The key of a waiting event's record.
pub(crate) fn key_of(record: &[u8]) -> Option<Key> {
    record.get(9..25)?.try_into().ok()
}

/// A lane's low position, and how many dead letters its subscription has.
pub fn cursor_value(low: u64, letters: u64) -> Vec<u8> {
    let mut value = vec![VERSION];
    value.extend_from_slice(&low.to_be_bytes());
    value.extend_from_slice(&letters.to_be_bytes());
    value
}

pub(crate) fn read_cursor(value: &[u8]) -> Result<(u64, u64), RouterError> {
    let mut bytes = Bytes::of(value, "a cursor")?;
    Ok((bytes.u64()?, bytes.u64()?))
}

/// An event that waits for its turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Queued {
    /// Attempts so far.
    pub(crate) attempts: u32,
    /// When it may be tried again; zero where it only waits for those before it.
    pub(crate) due: UtcNanos,
    /// When it was tried first; zero where it was not.
    pub(crate) first: UtcNanos,
}

impl Queued {
    pub(crate) fn write(self) -> Vec<u8> {
        let mut value = vec![VERSION];
        value.extend_from_slice(&self.attempts.to_be_bytes());
        value.extend_from_slice(&self.due.0.to_be_bytes());
        value.extend_from_slice(&self.first.0.to_be_bytes());
        value
    }

    pub(crate) fn read(value: &[u8]) -> Result<Self, RouterError> {
        let mut bytes = Bytes::of(value, "a waiting event")?;
        Ok(Self { attempts: bytes.u32()?, due: UtcNanos(bytes.i64()?), first: UtcNanos(bytes.i64()?) })
    }
}

/// An event that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// What kept it in order.
    pub key: Key,
    /// Attempts, redrives included.
    pub attempts: u32,
    /// When it was tried first.
    pub first: UtcNanos,
    /// When it was given up.
    pub last: UtcNanos,
    /// The last job that tried it in vain; 0 where none did.
    pub job: u32,
    /// Why, in words and codes.
    pub why: Why,
}

/// Why an event was given up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// The event's type.
    #[serde(rename = "t")]
    pub kind: String,
    /// The class of the last failure.
    #[serde(rename = "c")]
    pub class: String,
    /// Its code.
    #[serde(rename = "e")]
    pub code: String,
    /// Its reason.
    #[serde(rename = "r")]
    pub reason: String,
    /// The last HTTP status.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The beginning of the last answer.
    #[serde(rename = "a", default, skip_serializing_if = "String::is_empty")]
    pub response: String,
    /// The replay that gave it up; none where it was the subscription's own lane.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<u32>,
}

impl DeadLetter {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut value = vec![VERSION];
        value.extend_from_slice(&self.key);
        value.extend_from_slice(&self.attempts.to_be_bytes());
        value.extend_from_slice(&self.first.0.to_be_bytes());
        value.extend_from_slice(&self.last.0.to_be_bytes());
        value.extend_from_slice(&self.job.to_be_bytes());
        // Texts and a number: there is nothing that cannot be written.
        value.extend_from_slice(&serde_json::to_vec(&self.why).unwrap_or_default());
        value
    }

    pub(crate) fn read(value: &[u8]) -> Result<Self, RouterError> {
        let mut bytes = Bytes::of(value, "a dead letter")?;
        Ok(Self {
            key: bytes.take()?,
            attempts: bytes.u32()?,
            first: UtcNanos(bytes.i64()?),
            last: UtcNanos(bytes.i64()?),
            job: bytes.u32()?,
            why: serde_json::from_slice(bytes.rest).map_err(|_| RouterError::Record(bytes.what))?,
        })
    }
}

/// A value's bytes behind its version.
struct Bytes<'v> {
    what: &'static str,
    rest: &'v [u8],
}

impl<'v> Bytes<'v> {
    fn of(value: &'v [u8], what: &'static str) -> Result<Self, RouterError> {
        match value.split_first() {
            Some((&VERSION, rest)) => Ok(Self { what, rest }),
            Some(_) | None => Err(RouterError::Record(what)),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], RouterError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(RouterError::Record(self.what))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32, RouterError> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, RouterError> {
        self.take().map(u64::from_be_bytes)
    }

    fn i64(&mut self) -> Result<i64, RouterError> {
        self.take().map(i64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_forms_of_version_1_are_as_written_down() {
        let lane = LaneId { subscription: 7, job: 2 };
        assert_eq!(lane_key(lane), [0, 0, 0, 7, 0, 0, 0, 2]);
        let queued = queued_key(lane, &[9; 16], 258);
        assert_eq!(queued.len(), 33);
        assert_eq!((key_of(&queued), number_of(&queued)), (Some([9; 16]), Some(258)));
        let cursor = cursor_value(258, 3);
        assert_eq!(cursor, [1, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 3]);
        assert_eq!(read_cursor(&cursor), Ok((258, 3)));
        let waits = Queued { attempts: 3, due: UtcNanos(5), first: UtcNanos(-1) };
        assert_eq!(waits.write().len(), 21);
        assert_eq!(Queued::read(&waits.write()), Ok(waits));
        let why = Why { kind: "a".into(), code: "E1161".into(), status: Some(500), ..Why::default() };
        let dead =
            DeadLetter { key: [8; 16], attempts: 20, first: UtcNanos(1), last: UtcNanos(2), job: 0, why };
        assert_eq!(DeadLetter::read(&dead.write()), Ok(dead.clone()));
        let golden = "0108080808080808080808080808080808000000140000000000000001000000000000000200000000\
                      7b2274223a2261222c2263223a22222c2265223a224531313631222c2272223a22222c2273223a3530307d";
        let written: String = dead.write().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(written, golden);
    }

    #[test]
    fn another_version_or_a_cut_record_is_refused() {
        let waits = Queued::default().write();
        for cut in 0..waits.len() {
            assert!(Queued::read(&waits[..cut]).is_err());
        }
        assert_eq!(read_cursor(&[2; 17]), Err(RouterError::Record("a cursor")));
    }
}
