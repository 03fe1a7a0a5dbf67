//! The forms of an export's files that programs write and read: JSON, version 1.
//!
//! Times are nanoseconds since 1970, UTC, in members that end in `_ns`; hashes, ids and keys are in hexadecimal.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use waag_keys::carry::CarriedKey;
use waag_keys::ledger::SignerInfo;
use waag_keys::list::{KeyInfo, Period, Purpose, Reason, Tombstone};
use waag_keys::secret::Secret;
use waag_ledger::note::VerifierKey;
use waag_log::frame::FrameHeader;
use waag_model::ids::KeyId;
use waag_model::time::{UtcDay, UtcNanos};
use zeroize::Zeroizing;

use super::error::ExportError;
use crate::store::reader::OpenedReader;

/// The version of all these forms; the first line of what the note signs.
pub const FORMAT: &str = "waag export v1";

/// What an export is, how much it has, and the hash of the list of its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// The ledger, as it was signed.
    pub ledger: LedgerForm,
    /// When it was begun.
    pub made_ns: i64,
    /// Who asked.
    pub by: String,
    /// The program and its version.
    pub program: String,
    /// Whether persons' fields stand in clear in the events' files.
    pub revealed: bool,
    /// Whether every data key is in it.
    pub keys: bool,
    /// Whether the store's vault has a passphrase, so that a copy without one protects less; left out where not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub passphrase: bool,
    /// The types of events and their files, in the order of the files' names.
    pub types: Vec<TypeForm>,
    /// How many there are of everything else.
    pub counts: BTreeMap<String, u64>,
    /// The list of the other files.
    pub files: ListForm,
}

impl Manifest {
    /// As it is written: JSON with two spaces, and a line feed.
    ///
    /// # Errors
    /// [`ExportError::Damaged`], which cannot be with these members.
    pub fn to_json(&self) -> Result<String, ExportError> {
        let text = serde_json::to_string_pretty(self);
        text.map(|text| text + "\n").map_err(|error| ExportError::damaged("manifest", error.to_string()))
    }
}

/// A ledger at a size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerForm {
    /// Whose it is.
    pub tenant: String,
    /// Its name within the tenant.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its checkpoint origin.
    pub origin: String,
    /// When it was made.
    pub created_ns: i64,
    /// How many entries are in the export: all up to this size.
    pub tree_size: u64,
    /// The root over them.
    pub root: String,
    /// The number of the last frame.
    pub last_frame: u64,
    /// The SHA-256 of the last frame's header.
    pub last_header: String,
}

impl LedgerForm {
    pub(super) fn of(store: &OpenedReader) -> Self {
        let told = store.checkpoint.checkpoint();
        Self {
            tenant: store.place.tenant.to_string(),
            name: store.ledger.name.clone(),
            id: store.ledger.id.to_string(),
            origin: told.origin.clone(),
            created_ns: store.ledger.created.0,
            tree_size: told.size,
            root: told.root.to_string(),
            last_frame: store.guard.frame.0,
            last_header: store.guard.header_hash.to_string(),
        }
    }
}

/// A type of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypeForm {
    /// The type; none for the file that further types share.
    pub r#type: Option<String>,
    /// How many events.
    pub events: u64,
    /// Their JSON Lines.
    pub jsonl: String,
    /// The same as a table.
    pub csv: String,
}

/// A list of files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListForm {
    /// How many it names.
    pub count: u64,
    /// How many bytes they have together.
    pub bytes: u64,
    /// The SHA-256 of the list.
    pub sha256: String,
}

/// A file in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileForm {
    /// Its path below the export's folder.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
}

/// A frame's own facts; everything else in it follows from the entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameForm {
    /// Its number.
    pub frame: u64,
    /// The writer's term.
    pub epoch: u64,
    /// When it was committed.
    pub committed_ns: i64,
    /// The position of its first entry.
    pub first: u64,
    /// How many entries.
    pub count: u32,
}

impl FrameForm {
    pub(super) fn of(header: &FrameHeader) -> Self {
        let fields = &header.fields;
        Self {
            frame: fields.number.0,
            epoch: fields.epoch.0,
            committed_ns: fields.commit_time.0,
            first: fields.first.0,
            count: header.count,
        }
    }
}

/// A public key of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignerForm {
    /// Its number.
    pub number: u32,
    /// The key in the vkey form of C2SP signed-note.
    pub vkey: String,
    /// When it was made.
    pub created_ns: i64,
    /// When it was retired; none while it signs.
    pub retired_ns: Option<i64>,
}

impl SignerForm {
    pub(super) fn of(info: &SignerInfo) -> Option<Self> {
        let vkey = VerifierKey::new(&info.name, info.public).ok()?.to_string();
        let (created_ns, retired_ns) = (info.created.0, info.retired.map(|at| at.0));
        Some(Self { number: info.number, vkey, created_ns, retired_ns })
    }

    pub(super) fn key(&self) -> Option<VerifierKey> {
        self.vkey.parse().ok()
    }

    pub(super) fn info(&self) -> Option<SignerInfo> {
        let key = self.key()?;
        Some(SignerInfo {
            number: self.number,
            name: key.name().to_owned(),
            public: *key.public_key().first_chunk()?,
            note_key_id: key.id().0,
            created: UtcNanos(self.created_ns),
            retired: self.retired_ns.map(UtcNanos),
        })
    }
}

/// A registered schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaForm {
    /// The event type.
    pub r#type: String,
    /// The version.
    pub version: u32,
    /// The SHA-256 of the document: `schemas/<it>.json`.
    pub schema_sha256: String,
    /// The SHA-256 of the dictionary: `schemas/<it>.dictionary`.
    pub dictionary_sha256: Option<String>,
    /// Where its registration is recorded.
    pub position: u64,
}

/// The time a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeriodForm {
    /// A day, counted from 1970.
    Day(i32),
    /// A year.
    Year(i32),
    /// As long as the person has keys.
    Life,
}

impl From<Period> for PeriodForm {
    fn from(period: Period) -> Self {
        match period {
            Period::Day(day) => Self::Day(day.0),
            Period::Year(year) => Self::Year(year),
            Period::Life => Self::Life,
        }
    }
}

impl From<PeriodForm> for Period {
    fn from(period: PeriodForm) -> Self {
        match period {
            PeriodForm::Day(day) => Self::Day(UtcDay(day)),
            PeriodForm::Year(year) => Self::Year(year),
            PeriodForm::Life => Self::Life,
        }
    }
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PurposeForm {
    /// Sealing.
    Data,
    /// Ordering tags.
    Tags,
}

impl From<Purpose> for PurposeForm {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Data => Self::Data,
            Purpose::Tags => Self::Tags,
        }
    }
}

impl From<PurposeForm> for Purpose {
    fn from(purpose: PurposeForm) -> Self {
        match purpose {
            PurposeForm::Data => Self::Data,
            PurposeForm::Tags => Self::Tags,
        }
    }
}

/// A key as it may be told of, or with `secret` and `person` what it is.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyForm {
    /// Its id.
    pub id: String,
    /// What it is for.
    pub purpose: PurposeForm,
    /// The retention class; empty for tag keys.
    pub class: String,
    /// The time it is for.
    pub period: PeriodForm,
    /// When it was made.
    pub created_ns: i64,
    /// Its place among those of the same person, class and period.
    #[serde(default)]
    pub place: u32,
    /// Whether it is a person's.
    pub is_persons: bool,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<SecretText>,
    /// The key itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretText>,
}

impl KeyForm {
    pub(super) fn told(info: &KeyInfo) -> Self {
        Self {
            id: hex::encode(info.id.0),
            purpose: info.purpose.into(),
            class: info.class.clone(),
            period: info.period.into(),
            created_ns: info.created.0,
            place: 0,
            is_persons: info.is_persons,
            person: None,
            secret: None,
        }
    }

    pub(super) fn whole(key: &CarriedKey) -> Self {
        Self {
            id: hex::encode(key.id.0),
            purpose: key.purpose.into(),
            class: key.class.clone(),
            period: key.period.into(),
            created_ns: key.created.0,
            place: key.place,
            is_persons: key.person.is_some(),
            person: key.person.clone().map(SecretText),
            secret: Some(hex_of(&key.secret)),
        }
    }

    pub(super) fn key_id(&self) -> Option<KeyId> {
        id_of(&self.id)
    }

    pub(super) fn carried(self) -> Option<CarriedKey> {
        Some(CarriedKey {
            id: self.key_id()?,
            purpose: self.purpose.into(),
            class: self.class,
            period: self.period.into(),
            created: UtcNanos(self.created_ns),
            person: self.person.map(|person| person.0),
            place: self.place,
            secret: secret_of(self.secret.as_ref()?)?,
        })
    }
}

/// A text that is wiped when dropped and never shown.
#[derive(Clone)]
pub struct SecretText(pub Zeroizing<String>);

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText")
    }
}

impl Serialize for SecretText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

/// A secret in hexadecimal.
pub(super) fn hex_of(secret: &Secret) -> SecretText {
    SecretText(Zeroizing::new(hex::encode(secret.bytes())))
}

/// A secret from hexadecimal.
pub(super) fn secret_of(text: &SecretText) -> Option<Secret> {
    Secret::of_slice(&Zeroizing::new(hex::decode(text.0.as_str()).ok()?))
}

fn id_of(text: &str) -> Option<KeyId> {
    let mut id = [0; 16];
    hex::decode_to_slice(text, &mut id).ok()?;
    Some(KeyId(id))
}

/// What is left of a destroyed key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TombstoneForm {
    /// The key's id.
    pub id: String,
    /// What it was for.
    pub purpose: PurposeForm,
    /// Its retention class.
    pub class: String,
    /// The time it was for.
    pub period: PeriodForm,
    /// When it was destroyed.
    pub destroyed_ns: i64,
    /// `erased`, `expired`, or `withheld` in a copy that was made without it.
    pub reason: String,
}

impl TombstoneForm {
    pub(super) fn of(stone: &Tombstone) -> Self {
        Self {
            id: hex::encode(stone.id.0),
            purpose: stone.purpose.into(),
            class: stone.class.clone(),
            period: stone.period.into(),
            destroyed_ns: stone.destroyed.0,
            reason: stone.reason.to_string(),
        }
    }

    pub(super) fn tombstone(&self) -> Option<Tombstone> {
        let reasons = [Reason::Erased, Reason::Expired, Reason::Withheld];
        Some(Tombstone {
            id: id_of(&self.id)?,
            purpose: self.purpose.into(),
            class: self.class.clone(),
            period: self.period.into(),
            destroyed: UtcNanos(self.destroyed_ns),
            reason: reasons.into_iter().find(|reason| reason.to_string() == self.reason)?,
        })
    }
}

/// A record of the state as it lies there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordForm {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// The tenant's and the ledger's own secrets, but for signing seeds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnSecretsForm {
    /// When the tenant was made.
    pub tenant_created_ns: i64,
    /// The key that persons are looked up by.
    pub lookup: SecretText,
    /// The ledger's key of identity tags.
    pub identity_tags: SecretText,
    /// The ledger's key of ordering tags.
    pub ordering_tags: SecretText,
}
