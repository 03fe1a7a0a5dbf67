//! API keys: shown once, kept as a hash, expiring, each with a tenant, an actor, a role and a plan.
//!
//! A key is `waag_<id>_<secret>`: 8 bytes of id in hexadecimal digits, 32 random bytes in base64url. The secret has 256
//! bits of randomness, so one SHA-256 is enough: there is nothing to guess that a slow hash would protect.
//! Not here: where records lie (`ports::Desk`), what a plan allows (`limit`).
//!
//! - `KEY-1`: the secret is in no record, answer, log line or metric; only the answer to its creation has it.
//! - `KEY-2`: unknown, expired, withdrawn and wrong keys are told the same, and hashes are compared in constant time.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use waag_model::ids::{Actor, TenantName};
use waag_model::time::UtcNanos;
use waag_router::spec::is_name;
use waag_stdx::entropy::{Entropy, NoEntropy};

use crate::fault::{Fault, Kind};
use crate::ports::{Desk, DeskError, Shelf};

const PREFIX: &str = "waag_";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;
/// Length of a key's text.
const KEY_CHARS: usize = PREFIX.len() + 2 * ID_BYTES + 1 + 43;
/// Most subscriptions that a subscriber's key names.
pub const SUBSCRIPTIONS_MAX: usize = 8;
/// Most keys of a node.
pub const KEYS_MAX: usize = 100_000;

/// What a key's holder may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Read how far the ledger is, events, invoices and figures, and how deliveries stand.
    Reader,
    /// Record events, and read how far the ledger is.
    Producer,
    /// Pull events of the tenant's subscriptions, or of those that the key names, and answer for them; nothing else.
    Subscriber,
    /// All of it, and manage subscriptions.
    Admin,
}

impl Role {
    /// Whether it may what another role may.
    #[must_use]
    pub fn may(self, other: Self) -> bool {
        self == other || self == Self::Admin || (self, other) == (Self::Producer, Self::Reader)
    }
}

/// A key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Names the key in lists, logs and records; 16 hexadecimal digits.
    pub id: String,
    /// SHA-256 of the key's whole text.
    pub hash: [u8; 32],
    /// Whose ledger it writes.
    pub tenant: TenantName,
    /// Who its holder is: the actor of each event.
    pub actor: Actor,
    /// What its holder may do.
    pub role: Role,
    /// The usage plan, by name.
    pub plan: String,
    /// When it was made.
    pub created: UtcNanos,
    /// When it stops being valid; none where it does not.
    pub expires: Option<UtcNanos>,
    /// Of a subscriber, the subscriptions that it pulls from; all of the tenant's where none is named.
    pub subscriptions: Vec<String>,
}

/// The stored form: version 1, and version 2 with subscriptions, so that a program that knows nothing of them does not take
/// the key for one of all.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u8,
    hash: String,
    tenant: String,
    actor: String,
    role: Role,
    plan: String,
    created: i64,
    expires: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    subscriptions: Vec<String>,
}

/// Who a key is made for.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Whose ledger it writes.
    pub tenant: TenantName,
    /// Who its holder is.
    pub actor: Actor,
    /// What its holder may do.
    pub role: Role,
    /// The usage plan, by name.
    pub plan: String,
    /// When it stops being valid.
    pub expires: Option<UtcNanos>,
    /// Of a subscriber, the subscriptions that it pulls from; all of the tenant's where none is named.
    pub subscriptions: Vec<String>,
}

/// Why keys cannot be kept or read.
#[derive(Debug)]
pub enum KeyError {
    /// The desk failed.
    Desk(DeskError),
    /// No randomness.
    Entropy(NoEntropy),
    /// A record cannot be read; its id.
    Record(String),
    /// As many keys as a node may have.
    TooMany,
    /// Subscriptions of another role's key, too many of them, or one whose name is none.
    Subscriptions,
}

impl KeyError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Desk(error) => error.code,
            Self::Entropy(error) => error.code(),
            Self::Record(_) => "E0970",
            Self::TooMany => "E0971",
            Self::Subscriptions => "E0975",
        }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Desk(error) => error.fmt(f),
            Self::Entropy(error) => error.fmt(f),
            Self::Record(id) => write!(f, "the record of API key `{id}` cannot be read"),
            Self::TooMany => write!(f, "there are {KEYS_MAX} API keys already"),
            Self::Subscriptions => {
                write!(f, "a subscriber's key, and no other, names up to {SUBSCRIPTIONS_MAX} subscriptions")
            }
        }
    }
}

impl std::error::Error for KeyError {}

/// The keys of a node, all of them in memory.
pub struct Keys {
    desk: Arc<dyn Desk>,
    known: RwLock<HashMap<String, Arc<KeyRecord>>>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Keys {
    /// Reads all keys from the desk.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn load(desk: Arc<dyn Desk>) -> Result<Self, KeyError> {
        let mut known = HashMap::new();
        for (id, record) in desk.load(Shelf::Keys).map_err(KeyError::Desk)? {
            let record = KeyRecord::decode(&id, &record).ok_or_else(|| KeyError::Record(id.clone()))?;
            known.insert(id, Arc::new(record));
        }
        Ok(Self { desk, known: RwLock::new(known) })
    }

    /// Makes a key that is valid once it is [added](Self::add); its text is returned here and never again.
    ///
    /// # Errors
    /// [`KeyError::Subscriptions`], [`KeyError::Entropy`].
    pub fn draw(new: NewKey, now: UtcNanos, entropy: &dyn Entropy) -> Result<(String, KeyRecord), KeyError> {
        if !may_name(new.role, &new.subscriptions) {
            return Err(KeyError::Subscriptions);
        }
        let mut random = [0; ID_BYTES + SECRET_BYTES];
        entropy.fill(&mut random).map_err(KeyError::Entropy)?;
        let (id, secret) = random.split_at_checked(ID_BYTES).unwrap_or((&random, &[]));
        let mut hex = Vec::with_capacity(2 * ID_BYTES);
        crate::json::hex(&mut hex, id);
        let id = String::from_utf8(hex).unwrap_or_default();
        let text = format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(secret));
        let NewKey { tenant, actor, role, plan, expires, subscriptions } = new;
        let hash = hash(&text);
        let record = KeyRecord { id, hash, tenant, actor, role, plan, created: now, expires, subscriptions };
        Ok((text, record))
    }

    /// Adds a key, which is valid from here on.
    ///
    /// # Errors
    /// [`KeyError`]; the key is then not valid.
    pub fn add(&self, record: KeyRecord) -> Result<Arc<KeyRecord>, KeyError> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEYS_MAX {
            return Err(KeyError::TooMany);
        }
        self.desk.save(Shelf::Keys, &record.id, Some(&record.encode())).map_err(KeyError::Desk)?;
        let record = Arc::new(record);
        known.insert(record.id.clone(), Arc::clone(&record));
        Ok(record)
    }

    /// Withdraws a key, at once; false where there is none of that id.
    ///
    /// # Errors
    /// [`KeyError`]; the key may then be valid still.
    pub fn withdraw(&self, id: &str) -> Result<bool, KeyError> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        self.desk.save(Shelf::Keys, id, None).map_err(KeyError::Desk)?;
        Ok(known.remove(id).is_some())
    }

    /// Puts a key under another plan, at once; its record as it is then, none where there is none of that id.
    ///
    /// # Errors
    /// [`KeyError`]; the plan is then the one before.
    pub fn assign(&self, id: &str, plan: &str) -> Result<Option<Arc<KeyRecord>>, KeyError> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let Some(record) = known.get(id) else { return Ok(None) };
        let record = KeyRecord { plan: plan.to_owned(), ..KeyRecord::clone(record) };
        self.desk.save(Shelf::Keys, id, Some(&record.encode())).map_err(KeyError::Desk)?;
        let record = Arc::new(record);
        known.insert(id.to_owned(), Arc::clone(&record));
        Ok(Some(record))
    }

    /// All keys, by id.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<KeyRecord>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = known.values().cloned().collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// The record of a key that is valid now (`KEY-2`).
    ///
    /// # Errors
    /// [`Kind::BadKey`].
    pub fn check(&self, text: &str, now: UtcNanos) -> Result<Arc<KeyRecord>, Fault> {
        self.find(text)
            .filter(|record| record.expires.is_none_or(|expires| now < expires))
            .ok_or_else(|| Fault::of(Kind::BadKey))
    }

    fn find(&self, text: &str) -> Option<Arc<KeyRecord>> {
        if text.len() != KEY_CHARS {
            return None;
        }
        let (id, _) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let record = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.get(id)?)
        };
        verify_slices_are_equal(&record.hash, &hash(text)).ok()?;
        Some(record)
    }
}

fn hash(text: &str) -> [u8; 32] {
    digest(&SHA256, text.as_bytes()).as_ref().try_into().unwrap_or_default()
}

/// Whether a role's key may name these subscriptions.
fn may_name(role: Role, subscriptions: &[String]) -> bool {
    let are_names =
        subscriptions.len() <= SUBSCRIPTIONS_MAX && subscriptions.iter().all(|name| is_name(name));
    subscriptions.is_empty() || (role == Role::Subscriber && are_names)
}

impl KeyRecord {
    /// Whether it is for this subscription, as far as it names any.
    #[must_use]
    pub fn is_for(&self, subscription: &str) -> bool {
        self.subscriptions.is_empty() || self.subscriptions.iter().any(|name| name == subscription)
    }

    fn encode(&self) -> Vec<u8> {
        let mut hash = Vec::with_capacity(64);
        crate::json::hex(&mut hash, &self.hash);
        let stored = Stored {
            version: if self.subscriptions.is_empty() { 1 } else { 2 },
            hash: String::from_utf8(hash).unwrap_or_default(),
            tenant: self.tenant.as_str().to_owned(),
            actor: self.actor.as_str().to_owned(),
            role: self.role,
            plan: self.plan.clone(),
            created: self.created.0,
            expires: self.expires.map(|time| time.0),
            subscriptions: self.subscriptions.clone(),
        };
        // Text and numbers always have a JSON form.
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    fn decode(id: &str, bytes: &[u8]) -> Option<Self> {
        let stored: Stored = serde_json::from_slice(bytes).ok()?;
        let version = if stored.subscriptions.is_empty() { 1 } else { 2 };
        let is_whole = stored.version == version && may_name(stored.role, &stored.subscriptions);
        if !is_whole || stored.hash.len() != 64 {
            return None;
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(stored.hash.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self {
            id: id.to_owned(),
            hash,
            tenant: TenantName::new(&stored.tenant).ok()?,
            actor: Actor::new(&stored.actor).ok()?,
            role: stored.role,
            plan: stored.plan,
            created: UtcNanos(stored.created),
            expires: stored.expires.map(UtcNanos),
            subscriptions: stored.subscriptions,
        })
    }
}

#[cfg(test)]
mod tests {
    use waag_stdx::entropy::SystemEntropy;

    use super::*;
    use crate::ports::MemoryDesk;

    fn new_key(expires: Option<i64>) -> NewKey {
        NewKey {
            tenant: TenantName::new("default").unwrap(),
            actor: Actor::new("erp").unwrap(),
            role: Role::Producer,
            plan: "standard".to_owned(),
            expires: expires.map(UtcNanos),
            subscriptions: Vec::new(),
        }
    }

    #[test]
    fn a_subscribers_key_names_subscriptions_and_no_other_does() {
        let named = |role, names: &[&str]| {
            let subscriptions = names.iter().map(|&name| name.to_owned()).collect();
            let new = NewKey { role, subscriptions, ..new_key(None) };
            Keys::draw(new, UtcNanos(0), &SystemEntropy::new()).map(|(_, record)| record)
        };
        for role in [Role::Reader, Role::Producer, Role::Admin] {
            assert_eq!(named(role, &["billing"]).unwrap_err().code(), "E0975", "{role:?}");
        }
        let many: Vec<String> = (0..=SUBSCRIPTIONS_MAX).map(|n| format!("s{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for wrong in [&["Billing"][..], &[""], &["billing", "a/b"], &many] {
            assert_eq!(named(Role::Subscriber, wrong).unwrap_err().code(), "E0975", "{wrong:?}");
        }
        let all = named(Role::Subscriber, &[]).unwrap();
        assert!(all.is_for("billing") && all.is_for("audit"));
        let most = named(Role::Subscriber, &many[1..]).unwrap();
        assert!(most.is_for("s8") && !most.is_for("s0") && !most.is_for("s"));
        for record in [all, most] {
            let kept = record.encode();
            assert_eq!(KeyRecord::decode(&record.id, &kept).unwrap(), record);
            let text = String::from_utf8(kept).unwrap();
            let version = if record.subscriptions.is_empty() { "1" } else { "2" };
            assert!(text.starts_with(&format!(r#"{{"version":{version},"#)), "{text}");
            // Another version, and another role under the same names, are no records.
            for (from, to) in [(version, "3"), ("subscriber", "nobody")] {
                assert!(KeyRecord::decode(&record.id, text.replacen(from, to, 1).as_bytes()).is_none());
            }
        }
        let stolen = named(Role::Subscriber, &["billing"]).unwrap().encode();
        let stolen = String::from_utf8(stolen).unwrap();
        for (from, to) in [("\"subscriber\"", "\"admin\""), ("[\"billing\"]", "[]"), ("billing", "Billing")] {
            assert!(stolen.contains(from), "{stolen}");
            assert!(KeyRecord::decode("a", stolen.replacen(from, to, 1).as_bytes()).is_none(), "{to}");
        }
    }

    #[test]
    fn a_key_is_valid_until_it_expires_or_is_withdrawn_and_no_other_text_is() {
        let desk = Arc::new(MemoryDesk::default());
        let keys = Keys::load(desk.clone()).unwrap();
        let (text, drawn) = Keys::draw(new_key(Some(100)), UtcNanos(0), &SystemEntropy::new()).unwrap();
        assert!(keys.check(&text, UtcNanos(0)).is_err(), "it is not added yet");
        let record = keys.add(drawn).unwrap();
        assert_eq!(text.len(), KEY_CHARS);
        assert_eq!(keys.check(&text, UtcNanos(99)).unwrap(), record);
        assert_eq!(keys.check(&text, UtcNanos(100)).unwrap_err().kind, Kind::BadKey);
        for at in 0..text.len() {
            let mut other = text.clone().into_bytes();
            other[at] ^= 1;
            let other = String::from_utf8(other).unwrap();
            assert!(keys.check(&other, UtcNanos(0)).is_err(), "{at}");
        }
        assert!(keys.check("", UtcNanos(0)).is_err());
        let again = Keys::load(desk.clone()).unwrap();
        assert_eq!(again.check(&text, UtcNanos(0)).unwrap(), record);
        let kept = desk.load(Shelf::Keys).unwrap();
        // By length: the secret's own alphabet has the sign that stands before it.
        let secret = &text.as_bytes()[KEY_CHARS - 43..];
        assert!(!kept[0].1.windows(secret.len()).any(|piece| piece == secret), "KEY-1");
        assert_eq!(again.assign(&record.id, "gold").unwrap().unwrap().plan, "gold");
        assert_eq!(again.check(&text, UtcNanos(0)).unwrap().plan, "gold");
        assert_eq!(Keys::load(desk.clone()).unwrap().check(&text, UtcNanos(0)).unwrap().plan, "gold");
        assert!(again.assign("0123456789abcdef", "gold").unwrap().is_none());
        assert!(again.withdraw(&record.id).unwrap());
        assert!(again.check(&text, UtcNanos(0)).is_err());
        assert!(Keys::load(desk).unwrap().check(&text, UtcNanos(0)).is_err());
    }
}
