//! How keys stand in the state: the form of each record, version 1, and what is authenticated with each wrapped key.
//!
//! A record's own checksum is the state's business; here a record that is whole but cannot be read is an error.

use waag_model::ids::{KeyId, LedgerId, Tag};
use waag_model::time::{UtcDay, UtcNanos};
use zeroize::Zeroizing;

use crate::error::KeysError;
use crate::list::{KeyInfo, Period, Purpose, Reason, Tombstone};
use crate::secret::{SECRET_BYTES, Secret};
use crate::state::Table;
use crate::wire::{Reader, Writer};
use crate::wrap::Slot;

/// The version byte that every record here begins with.
const VERSION: u8 = 1;
/// Most keys of one person (or none), class and period: the current one and those it was rotated from.
pub(crate) const INDEX_KEYS_MAX: usize = 1_000;

/// The place of the tenant's own record.
pub(crate) const TENANT_KEY: &[u8] = b"tenant";
/// The place of the lookup key's record.
pub(crate) const LOOKUP_KEY: &[u8] = b"lookup";
/// What the places of the tenant key's versions begin with.
pub(crate) const VERSION_PREFIX: &[u8] = b"key/";
/// The slot of the lookup key.
pub(crate) const LOOKUP_SLOT: Slot<'static> = Slot { kind: "lookup", detail: b"" };

/// The place of a version of the tenant key.
pub(crate) fn version_key(version: u32) -> Vec<u8> {
    Writer::default().fixed(VERSION_PREFIX).u32(version).finish()
}

/// The version that a place names, where it is one of the tenant key's.
pub(crate) fn version_of_key(key: &[u8]) -> Option<u32> {
    let mut reader = Reader::new(key.strip_prefix(VERSION_PREFIX)?);
    let version = reader.u32()?;
    reader.end(version)
}

/// What the vault authenticates with a version of the tenant key.
pub(crate) fn vault_context(tenant: &str, version: u32) -> Vec<u8> {
    Writer::default().bytes(b"waag tenant key v1").bytes(tenant.as_bytes()).u32(version).finish()
}

/// The tenant's own record.
pub(crate) struct TenantRecord {
    pub(crate) name: String,
    pub(crate) created: UtcNanos,
    pub(crate) current: u32,
}

impl TenantRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        Writer::default()
            .u8(VERSION)
            .bytes(self.name.as_bytes())
            .i64(self.created.0)
            .u32(self.current)
            .finish()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, KeysError> {
        let read = || {
            let mut reader = Reader::new(value);
            reader.version(VERSION)?;
            let record =
                Self { name: reader.text()?, created: UtcNanos(reader.i64()?), current: reader.u32()? };
            reader.end(record)
        };
        read().ok_or(KeysError::Unreadable("the tenant"))
    }
}

/// A record of one wrapped key and when it was made: a version of the tenant key, the lookup key.
pub(crate) struct WrappedRecord {
    pub(crate) created: UtcNanos,
    pub(crate) wrapped: Vec<u8>,
}

impl WrappedRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        Writer::default().u8(VERSION).i64(self.created.0).bytes(&self.wrapped).finish()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, KeysError> {
        let read = || {
            let mut reader = Reader::new(value);
            reader.version(VERSION)?;
            let record = Self { created: UtcNanos(reader.i64()?), wrapped: reader.bytes()?.to_vec() };
            reader.end(record)
        };
        read().ok_or(KeysError::Unreadable("a wrapped key"))
    }
}

/// A ledger's record; its place is the ledger's name.
pub(crate) struct LedgerRecord {
    pub(crate) id: LedgerId,
    pub(crate) origin: String,
    pub(crate) created: UtcNanos,
    pub(crate) identity: Vec<u8>,
    pub(crate) ordering: Vec<u8>,
}

impl LedgerRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        Writer::default()
            .u8(VERSION)
            .fixed(&self.id.0)
            .bytes(self.origin.as_bytes())
            .i64(self.created.0)
            .bytes(&self.identity)
            .bytes(&self.ordering)
            .finish()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, KeysError> {
        let read = || {
            let mut reader = Reader::new(value);
            reader.version(VERSION)?;
            let record = Self {
                id: reader.ledger_id()?,
                origin: reader.text()?,
                created: UtcNanos(reader.i64()?),
                identity: reader.bytes()?.to_vec(),
                ordering: reader.bytes()?.to_vec(),
            };
            reader.end(record)
        };
        read().ok_or(KeysError::Unreadable("a ledger"))
    }
}

/// The slot of a ledger's identity tag key.
pub(crate) fn identity_slot(id: &LedgerId) -> Slot<'_> {
    Slot { kind: "ledger identity tags", detail: &id.0 }
}

/// The slot of a ledger's ordering tag key.
pub(crate) fn ordering_slot(id: &LedgerId) -> Slot<'_> {
    Slot { kind: "ledger ordering tags", detail: &id.0 }
}

/// A signing key's record; its place is the ledger's id and its number.
pub(crate) struct SignerRecord {
    pub(crate) name: String,
    pub(crate) public: [u8; 32],
    pub(crate) created: UtcNanos,
    pub(crate) retired: Option<UtcNanos>,
    /// Empty once retired: a retired key cannot sign again.
    pub(crate) seed: Vec<u8>,
}

/// RFC 8032 Ed25519; the number C2SP signed-note gives it.
const ALGORITHM_ED25519: u8 = 1;

impl SignerRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        Writer::default()
            .u8(VERSION)
            .u8(ALGORITHM_ED25519)
            .bytes(self.name.as_bytes())
            .fixed(&self.public)
            .i64(self.created.0)
            .u8(u8::from(self.retired.is_some()))
            .i64(self.retired.unwrap_or_default().0)
            .bytes(&self.seed)
            .finish()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, KeysError> {
        let read = || {
            let mut reader = Reader::new(value);
            reader.version(VERSION)?;
            reader.version(ALGORITHM_ED25519)?;
            let (name, public, created) = (reader.text()?, reader.array()?, UtcNanos(reader.i64()?));
            let is_retired = reader.u8()?;
            let at = UtcNanos(reader.i64()?);
            let retired = match is_retired {
                0 => None,
                1 => Some(at),
                _ => return None,
            };
            let record = Self { name, public, created, retired, seed: reader.bytes()?.to_vec() };
            reader.end(record)
        };
        read().ok_or(KeysError::Unreadable("a signing key"))
    }
}

/// The place of a signing key.
pub(crate) fn signer_key(ledger: LedgerId, number: u32) -> Vec<u8> {
    Writer::default().fixed(&ledger.0).u32(number).finish()
}

/// The ledger and number that a signing key's place names.
pub(crate) fn signer_of_key(key: &[u8]) -> Result<(LedgerId, u32), KeysError> {
    let read = || {
        let mut reader = Reader::new(key);
        let place = (reader.ledger_id()?, reader.u32()?);
        reader.end(place)
    };
    read().ok_or(KeysError::Unreadable("a signing key"))
}

/// What is authenticated with a signing seed: its place and its public key.
pub(crate) fn signer_detail(ledger: LedgerId, number: u32, public: &[u8; 32]) -> Vec<u8> {
    Writer::default().fixed(&ledger.0).u32(number).fixed(public).finish()
}

/// The slot of a signing seed.
pub(crate) fn signer_slot(detail: &[u8]) -> Slot<'_> {
    Slot { kind: "signing seed", detail }
}

impl Purpose {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Tags => 2,
        }
    }

    fn of_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Data),
            2 => Some(Self::Tags),
            _ => None,
        }
    }
}

impl Period {
    pub(crate) fn code(self) -> (u8, i32) {
        match self {
            Self::Day(day) => (1, day.0),
            Self::Year(year) => (2, year),
            Self::Life => (3, 0),
        }
    }

    fn of_code(code: u8, number: i32) -> Option<Self> {
        match code {
            1 => Some(Self::Day(UtcDay(number))),
            2 => Some(Self::Year(number)),
            3 if number == 0 => Some(Self::Life),
            _ => None,
        }
    }
}

impl Reason {
    fn code(self) -> u8 {
        match self {
            Self::Erased => 1,
            Self::Expired => 2,
            Self::Withheld => 3,
        }
    }

    fn of_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Erased),
            2 => Some(Self::Expired),
            3 => Some(Self::Withheld),
            _ => None,
        }
    }
}

fn kind(writer: Writer, purpose: Purpose, class: &str, period: Period) -> Writer {
    let (code, number) = period.code();
    writer.u8(purpose.code()).bytes(class.as_bytes()).u8(code).i32(number)
}

fn read_kind(reader: &mut Reader<'_>) -> Option<(Purpose, String, Period)> {
    let purpose = Purpose::of_code(reader.u8()?)?;
    let class = reader.text()?;
    Some((purpose, class, Period::of_code(reader.u8()?, reader.i32()?)?))
}

/// What is known of a data key without opening it; all of it is authenticated with the wrapped key.
#[derive(Clone)]
pub(crate) struct KeyFacts {
    pub(crate) id: KeyId,
    pub(crate) purpose: Purpose,
    pub(crate) class: String,
    pub(crate) period: Period,
    pub(crate) created: UtcNanos,
    /// The lookup tag of the person whose key it is.
    pub(crate) person: Option<Tag>,
}

impl KeyFacts {
    fn write(&self, writer: Writer) -> Writer {
        let writer = kind(writer, self.purpose, &self.class, self.period).i64(self.created.0);
        match self.person {
            Some(tag) => writer.u8(1).fixed(&tag.0),
            None => writer.u8(0),
        }
    }

    /// What is authenticated with the wrapped key.
    pub(crate) fn detail(&self) -> Vec<u8> {
        self.write(Writer::default().fixed(&self.id.0)).finish()
    }

    /// The place of the index record that names this key.
    pub(crate) fn index(&self) -> (Table, Vec<u8>) {
        index_key(self.person, self.purpose, &self.class, self.period)
    }

    /// The public part.
    pub(crate) fn info(&self, wrapped: &[u8]) -> KeyInfo {
        KeyInfo {
            id: self.id,
            purpose: self.purpose,
            class: self.class.clone(),
            period: self.period,
            created: self.created,
            is_persons: self.person.is_some(),
            tenant_key_version: crate::wrap::version_of(wrapped).unwrap_or(0),
        }
    }
}

/// The slot of a data key.
pub(crate) fn data_slot(detail: &[u8]) -> Slot<'_> {
    Slot { kind: "data key", detail }
}

/// A data key's record; its place is the key's id. The wrapped secret is the key, then the person's id.
pub(crate) struct DataKeyRecord {
    pub(crate) facts: KeyFacts,
    pub(crate) wrapped: Vec<u8>,
}

impl DataKeyRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        self.facts.write(Writer::default().u8(VERSION)).bytes(&self.wrapped).finish()
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, KeysError> {
        let read = || {
            let id = Reader::new(key).key_id()?;
            let mut reader = Reader::new(value);
            reader.version(VERSION)?;
            let (purpose, class, period) = read_kind(&mut reader)?;
            let created = UtcNanos(reader.i64()?);
            let person = match reader.u8()? {
                0 => None,
                1 => Some(reader.tag()?),
                _ => return None,
            };
            let facts = KeyFacts { id, purpose, class, period, created, person };
            let record = Self { facts, wrapped: reader.bytes()?.to_vec() };
            reader.end(record)
        };
        read().ok_or(KeysError::Unreadable("a data key"))
    }
}

/// A data key with its person's id, as wrapped together.
pub(crate) fn join_secret(secret: &Secret, person: Option<&str>) -> Zeroizing<Vec<u8>> {
    let person = person.unwrap_or_default().as_bytes();
    let mut joined = Zeroizing::new(Vec::with_capacity(SECRET_BYTES + person.len()));
    joined.extend_from_slice(secret.bytes());
    joined.extend_from_slice(person);
    joined
}

/// A data key and its person's id, apart again.
pub(crate) fn split_secret(joined: &[u8]) -> Option<(Secret, &str)> {
    let (secret, person) = joined.split_at_checked(SECRET_BYTES)?;
    Some((Secret::of_slice(secret)?, std::str::from_utf8(person).ok()?))
}

/// The place of the index record for a person (by lookup tag) or none.
pub(crate) fn index_key(
    person: Option<Tag>,
    purpose: Purpose,
    class: &str,
    period: Period,
) -> (Table, Vec<u8>) {
    match person {
        Some(tag) => (Table::Person, kind(Writer::default().fixed(&tag.0), purpose, class, period).finish()),
        None => (Table::Common, kind(Writer::default(), purpose, class, period).finish()),
    }
}

/// The value of an index record: key ids, the current one first.
pub(crate) fn encode_index(ids: &[KeyId]) -> Vec<u8> {
    ids.iter().fold(Writer::default().u8(VERSION), |writer, id| writer.fixed(&id.0)).finish()
}

/// The ids of an index record, at least one.
pub(crate) fn decode_index(value: &[u8]) -> Result<Vec<KeyId>, KeysError> {
    let read = || {
        let mut reader = Reader::new(value);
        reader.version(VERSION)?;
        let mut ids = Vec::new();
        while !reader.is_empty() {
            ids.push(reader.key_id()?);
        }
        (!ids.is_empty()).then_some(ids)
    };
    read().ok_or(KeysError::Unreadable("the index of keys"))
}

/// The value of a tombstone; its place is the key's id.
pub(crate) fn encode_tombstone(tombstone: &Tombstone) -> Vec<u8> {
    kind(Writer::default().u8(VERSION), tombstone.purpose, &tombstone.class, tombstone.period)
        .i64(tombstone.destroyed.0)
        .u8(tombstone.reason.code())
        .finish()
}

pub(crate) fn decode_tombstone(key: &[u8], value: &[u8]) -> Result<Tombstone, KeysError> {
    let read = || {
        let id = Reader::new(key).key_id()?;
        let mut reader = Reader::new(value);
        reader.version(VERSION)?;
        let (purpose, class, period) = read_kind(&mut reader)?;
        let destroyed = UtcNanos(reader.i64()?);
        let reason = Reason::of_code(reader.u8()?)?;
        reader.end(Tombstone { id, purpose, class, period, destroyed, reason })
    };
    read().ok_or(KeysError::Unreadable("a tombstone"))
}
