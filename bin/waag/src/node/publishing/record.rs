//! What is kept of publication in the state, version 1: the newest published checkpoint, the newest cosigned one, and each
//! witness's standing.
//!
//! Table `Publication`:
//!
//! | key | value |
//! |---|---|
//! | `latest` | version, origin, size, root (32), time, note |
//! | `cosigned` | the same |
//! | `witness/` and 32 bytes (SHA-256 of its vkey) | version, name, vkey, URL, size, 3 times, failures, answer, alarm |
//! | `signer/ml-dsa-44/` and 32 bytes (SHA-256 of the origin) | version, time, origin, wrapped seed ([`super::keys`]) |
//!
//! Numbers and times (nanoseconds since 1970) are 8 bytes, big-endian; texts and bytes stand behind their length in 4. A time
//! that there is none of is the earliest that there is. An answer is its kind (1 byte), a number and a text; an alarm is 0,
//! or 1 and its kind, time, our size and the told one.
//!
//! `latest` is durable before anybody is told of it, so that a ledger that was taken back is noticed at the next start. The
//! others may lack the last seconds.
//! Not here: who writes them when ([`super`]).

use waag_keys::error::KeysError;
use waag_keys::keyring::Keyring;
use waag_keys::side::Side;
use waag_keys::state::Expect;
use waag_ledger::hash::{HASH_BYTES, Hash};
use waag_model::time::UtcNanos;

use super::status::{Alarm, AlarmKind, Answer, WitnessStatus};

const VERSION: u8 = 1;
pub(crate) const LATEST: &[u8] = b"latest";
pub(super) const COSIGNED: &[u8] = b"cosigned";
const WITNESS: &[u8] = b"witness/";

/// Longest note that is kept and served, in bytes: a record of the state holds it.
pub const NOTE_BYTES_MAX: usize = 60_000;
/// Most witnesses whose standing is read.
const WITNESSES_MAX: usize = 1_024;

/// A published checkpoint as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Which ledger.
    pub origin: String,
    /// Its entries.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// When it was published.
    pub at: UtcNanos,
    /// The signed note with the cosignatures collected so far.
    pub note: String,
}

/// Writes fields one after the other.
pub(super) struct Fields(Vec<u8>);

impl Fields {
    pub(super) fn new() -> Self {
        Self(vec![VERSION])
    }

    pub(super) fn byte(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(super) fn number(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn time(mut self, value: Option<UtcNanos>) -> Self {
        self.0.extend_from_slice(&value.map_or(i64::MIN, |time| time.0).to_be_bytes());
        self
    }

    pub(super) fn bytes(mut self, value: &[u8]) -> Self {
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(value);
        self
    }

    pub(super) fn end(self) -> Vec<u8> {
        self.0
    }
}

/// Reads them again; none where a record is no such one.
pub(super) struct Read<'r>(&'r [u8]);

impl<'r> Read<'r> {
    pub(super) fn of(record: &'r [u8]) -> Option<Self> {
        let (version, rest) = record.split_first()?;
        (*version == VERSION).then_some(Self(rest))
    }

    fn take(&mut self, bytes: usize) -> Option<&'r [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_be_bytes)
    }

    pub(super) fn time(&mut self) -> Option<Option<UtcNanos>> {
        let nanos = self.take(8)?.try_into().ok().map(i64::from_be_bytes)?;
        Some((nanos != i64::MIN).then_some(UtcNanos(nanos)))
    }

    pub(super) fn bytes(&mut self) -> Option<&'r [u8]> {
        let length = self.take(4)?.try_into().ok().map(u32::from_be_bytes)?;
        self.take(usize::try_from(length).ok()?)
    }

    pub(super) fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    /// Nothing may be left over.
    pub(super) fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

impl Kept {
    fn encode(&self) -> Vec<u8> {
        let fields = Fields::new().bytes(self.origin.as_bytes()).number(self.size).bytes(&self.root.0);
        fields.time(Some(self.at)).bytes(self.note.as_bytes()).end()
    }

    fn decode(record: &[u8]) -> Option<Self> {
        let mut read = Read::of(record)?;
        let origin = read.text()?;
        let size = read.number()?;
        let root = Hash(<[u8; HASH_BYTES]>::try_from(read.bytes()?).ok()?);
        let (at, note) = (read.time()??, read.text()?);
        read.end()?;
        Some(Self { origin, size, root, at, note })
    }

    /// The record under a key; none where there is none.
    ///
    /// # Errors
    /// [`KeysError::State`]; [`KeysError::Unreadable`] where it is no such record.
    pub(super) fn load(keyring: &Keyring, key: &[u8]) -> Result<Option<Self>, KeysError> {
        let Some(record) = keyring.side_record(Side::Publication, key)? else { return Ok(None) };
        Self::decode(&record.value).map(Some).ok_or(KeysError::Unreadable("what was published"))
    }

    pub(super) fn keep(&self, keyring: &Keyring, key: &[u8]) -> Result<(), KeysError> {
        keyring.keep_side_record(Side::Publication, key, Expect::Any, Some(&self.encode()))
    }
}

/// The newest published checkpoint of this tenant; none before the first one.
///
/// # Errors
/// [`KeysError::State`], [`KeysError::Unreadable`].
pub fn latest(keyring: &Keyring) -> Result<Option<Kept>, KeysError> {
    Kept::load(keyring, LATEST)
}

/// The newest published checkpoint whose cosignatures are as many as the policy asks for; none before the first one.
///
/// # Errors
/// [`KeysError::State`], [`KeysError::Unreadable`].
pub fn cosigned(keyring: &Keyring) -> Result<Option<Kept>, KeysError> {
    Kept::load(keyring, COSIGNED)
}

fn witness_key(vkey: &str) -> Vec<u8> {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, vkey.as_bytes());
    [WITNESS, hash.as_ref()].concat()
}

/// How every witness stands that was ever asked, as far as that was kept.
///
/// # Errors
/// [`KeysError::State`], [`KeysError::Unreadable`].
pub fn witnesses(keyring: &Keyring) -> Result<Vec<WitnessStatus>, KeysError> {
    let mut found = Vec::new();
    for record in keyring.side_records(Side::Publication, Some(WITNESS), WITNESSES_MAX)? {
        if !record.key.starts_with(WITNESS) {
            break;
        }
        let told = decode_witness(&record.value).ok_or(KeysError::Unreadable("a witness's standing"))?;
        found.push(told);
    }
    Ok(found)
}

pub(super) fn forget_witness(keyring: &Keyring, witness: &WitnessStatus) -> Result<(), KeysError> {
    keyring.keep_side_record(Side::Publication, &witness_key(&witness.vkey), Expect::Any, None)
}

pub(super) fn keep_witness(keyring: &Keyring, witness: &WitnessStatus) -> Result<(), KeysError> {
    let key = witness_key(&witness.vkey);
    keyring.keep_side_record(Side::Publication, &key, Expect::Any, Some(&encode_witness(witness)))
}

fn encode_witness(witness: &WitnessStatus) -> Vec<u8> {
    let (kind, number, text) = match &witness.answer {
        Answer::None => (0, 0, ""),
        Answer::Cosigned => (1, 0, ""),
        Answer::Down(why) => (2, 0, why.as_str()),
        Answer::UnknownLog => (3, 0, ""),
        Answer::NotSigned => (4, 0, ""),
        Answer::Conflict(size) => (5, *size, ""),
        Answer::ProofRefused => (6, 0, ""),
        Answer::Malformed => (7, 0, ""),
        Answer::NotCosigned(why) => (8, 0, why.as_str()),
        Answer::Other(status) => (9, u64::from(*status), ""),
        Answer::NotAsked(why) => (10, 0, why.as_str()),
    };
    let url = witness.url.as_deref().unwrap_or_default();
    let fields = Fields::new().bytes(witness.name.as_bytes()).bytes(witness.vkey.as_bytes());
    let fields =
        fields.bytes(url.as_bytes()).number(witness.size).time(witness.cosigned_at).time(witness.asked_at);
    let fields = fields.time(witness.failing_since).number(u64::from(witness.failures));
    let fields = fields.byte(kind).number(number).bytes(text.as_bytes());
    match &witness.alarm {
        None => fields.byte(0).end(),
        Some(Alarm { kind, at, size }) => {
            let (kind, told) = match kind {
                AlarmKind::Larger(told) => (0, *told),
                AlarmKind::ProofRefused(from) => (1, *from),
            };
            fields.byte(1).byte(kind).time(Some(*at)).number(*size).number(told).end()
        }
    }
}

fn decode_witness(record: &[u8]) -> Option<WitnessStatus> {
    let mut read = Read::of(record)?;
    let (name, vkey, url) = (read.text()?, read.text()?, read.text()?);
    let size = read.number()?;
    let (cosigned_at, asked_at, failing_since) = (read.time()?, read.time()?, read.time()?);
    let failures = u32::try_from(read.number()?).ok()?;
    let (kind, number, text) = (read.byte()?, read.number()?, read.text()?);
    let answer = match kind {
        0 => Answer::None,
        1 => Answer::Cosigned,
        2 => Answer::Down(text),
        3 => Answer::UnknownLog,
        4 => Answer::NotSigned,
        5 => Answer::Conflict(number),
        6 => Answer::ProofRefused,
        7 => Answer::Malformed,
        8 => Answer::NotCosigned(text),
        9 => Answer::Other(u16::try_from(number).ok()?),
        10 => Answer::NotAsked(text),
        _ => return None,
    };
    let alarm = match read.byte()? {
        0 => None,
        1 => {
            let (kind, at, size, told) = (read.byte()?, read.time()??, read.number()?, read.number()?);
            let kind = match kind {
                0 => AlarmKind::Larger(told),
                1 => AlarmKind::ProofRefused(told),
                _ => return None,
            };
            Some(Alarm { kind, at, size })
        }
        _ => return None,
    };
    read.end()?;
    Some(WitnessStatus {
        name,
        vkey,
        url: Some(url).filter(|url| !url.is_empty()),
        size,
        cosigned_at,
        asked_at,
        failing_since,
        failures,
        answer,
        alarm,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Kept {
        let note = "log\n3\nAAAA\n\n\u{2014} log x\n".to_owned();
        Kept { origin: "log".to_owned(), size: 3, root: Hash([7; 32]), at: UtcNanos(-5), note }
    }

    #[test]
    fn what_is_kept_is_read_again_and_every_cut_is_noticed() {
        let record = kept().encode();
        assert_eq!(Kept::decode(&record), Some(kept()));
        for end in 0..record.len() {
            assert_eq!(Kept::decode(&record[..end]), None, "{end}");
        }
        assert_eq!(Kept::decode(&[record.as_slice(), &[0]].concat()), None);
        let mut other = record;
        other[0] = 2;
        assert_eq!(Kept::decode(&other), None, "another version");
    }

    #[test]
    fn a_witness_is_kept_with_whatever_it_answered_and_its_alarm() {
        let blank =
            WitnessStatus::new("w".to_owned(), "w+00000000+AA".to_owned(), Some("https://w".to_owned()));
        let alarm = |kind| Some(Alarm { kind, at: UtcNanos(9), size: 4 });
        let answers = [
            Answer::None,
            Answer::Cosigned,
            Answer::Down("refused".to_owned()),
            Answer::UnknownLog,
            Answer::NotSigned,
            Answer::Conflict(12),
            Answer::ProofRefused,
            Answer::Malformed,
            Answer::NotCosigned("E0370".to_owned()),
            Answer::Other(503),
            Answer::NotAsked("no URL".to_owned()),
        ];
        for answer in answers {
            for alarm in [None, alarm(AlarmKind::Larger(7)), alarm(AlarmKind::ProofRefused(3))] {
                let (size, failures, asked_at) = (6, 2, Some(UtcNanos(8)));
                let told = WitnessStatus {
                    size,
                    failures,
                    asked_at,
                    answer: answer.clone(),
                    alarm,
                    ..blank.clone()
                };
                let record = encode_witness(&told);
                assert_eq!(decode_witness(&record), Some(told));
                for end in 0..record.len() {
                    assert_eq!(decode_witness(&record[..end]), None, "{end}");
                }
            }
        }
    }
}
