//! Making, listing and withdrawing API keys, in this process or by asking the one that has the doors open.
//!
//! Each change is an event of the ledger (`waag.apikey.created`, `waag.apikey.withdrawn`) with the key's id, its holder,
//! its role and the subscriptions it names; the secret is in no event (`KEY-1`). A key is durable before it is recorded and
//! recorded before it is shown; what a crash leaves between the two is recorded at the next opening (`TOLD-1`).
//! Not here: the form of a key (`edge/http`), the command (`cli`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use waag_http::keys::{KeyError, KeyRecord, Keys, NewKey, Role};
use waag_http::plans::{PlanError, Plans, STANDARD};
use waag_http::ports::Shelf;
use waag_model::ids::Actor;
use waag_model::time::UtcNanos;
use waag_model::value::Value;
use waag_stdx::entropy::SystemEntropy;

use crate::store::error::StoreError;
use crate::store::told_changes::{self, Change, Record};
use crate::store::writer::OpenedStore;

use super::desk::{StateDesk, record_name};
use super::plans::PlansError;

/// Most keys in one answer; with the longest names these are fewer bytes than the desk's answers may have.
pub const LISTED_MAX: usize = 8;

/// What may be asked about API keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "lowercase", deny_unknown_fields)]
pub enum Asked {
    /// Make one.
    Create {
        /// Who asks.
        by: String,
        /// Who its holder is: the actor of each event.
        holder: String,
        /// What its holder may do.
        role: Role,
        /// The usage plan, by name.
        plan: String,
        /// When it stops being valid, in nanoseconds since 1970.
        expires: Option<i64>,
        /// Of a subscriber, the subscriptions that it pulls from; all of the tenant's where none is named.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        subscriptions: Vec<String>,
    },
    /// List those behind an id, or from the first; as many as [`LISTED_MAX`], which is short of all where there are more.
    List {
        /// The id of the last one seen.
        after: Option<String>,
    },
    /// Withdraw one.
    Withdraw {
        /// Who asks.
        by: String,
        /// Which.
        id: String,
    },
}

/// A key as it is told; `key` is its text, once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Told {
    /// Names the key.
    pub id: String,
    /// The key itself, in the answer to its creation alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The actor of its events.
    pub holder: String,
    /// What its holder may do.
    pub role: Role,
    /// The tenant.
    pub tenant: String,
    /// The usage plan.
    pub plan: String,
    /// When it was made.
    pub created: String,
    /// When it stops being valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// The subscriptions that it is for, where it names any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subscriptions: Vec<String>,
}

impl Told {
    fn of(record: &KeyRecord, key: Option<String>) -> Self {
        Self {
            id: record.id.clone(),
            key,
            holder: record.actor.as_str().to_owned(),
            role: record.role,
            tenant: record.tenant.as_str().to_owned(),
            plan: record.plan.clone(),
            created: record.created.to_string(),
            expires: record.expires.map(|time| time.to_string()),
            subscriptions: record.subscriptions.clone(),
        }
    }
}

/// Why what was asked was not done.
#[derive(Debug)]
pub enum ApiKeyError {
    /// The keys' own store.
    Keys(KeyError),
    /// A name that is none.
    Name(waag_model::ids::NameError),
    /// It could not be recorded: what was done nevertheless counts, and is recorded at the next opening. A key that was made is
    /// not shown, and can be withdrawn by its id.
    Store(StoreError),
    /// No key has this id.
    Unknown(String),
    /// No plan has this name.
    NoPlan(String),
    /// The plans cannot be read.
    Plans(PlanError),
}

impl ApiKeyError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Keys(error) => error.code(),
            Self::Name(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Unknown(_) => "E0853",
            Self::NoPlan(name) => PlansError::Unknown(name.clone()).code(),
            Self::Plans(error) => error.code(),
        }
    }
}

impl std::fmt::Display for ApiKeyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Keys(error) => error.fmt(f),
            Self::Name(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Unknown(id) => write!(f, "no API key has the id `{id}`"),
            Self::NoPlan(name) => PlansError::Unknown(name.clone()).fmt(f),
            Self::Plans(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ApiKeyError {}

impl From<StoreError> for ApiKeyError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The keys of a store.
///
/// # Errors
/// [`ApiKeyError::Keys`].
pub fn load(store: &OpenedStore) -> Result<Arc<Keys>, ApiKeyError> {
    let desk = Arc::new(StateDesk(Arc::clone(&store.keyring)));
    Keys::load(desk).map(Arc::new).map_err(ApiKeyError::Keys)
}

/// Does what was asked, and records it.
///
/// # Errors
/// [`ApiKeyError`].
pub fn carry_out(store: &OpenedStore, keys: &Keys, asked: &Asked) -> Result<Vec<Told>, ApiKeyError> {
    match asked {
        Asked::List { after } => {
            let all = keys.list();
            let behind = all.iter().filter(|record| after.as_ref().is_none_or(|after| record.id > *after));
            Ok(behind.take(LISTED_MAX).map(|record| Told::of(record, None)).collect())
        }
        Asked::Create { by, holder, role, plan, expires, subscriptions } => {
            let by = Actor::new(by).map_err(ApiKeyError::Name)?;
            // A key under a plan that is not there would be unlimited.
            if plan != STANDARD && !has_plan(store, plan)? {
                return Err(ApiKeyError::NoPlan(plan.clone()));
            }
            let new = NewKey {
                tenant: store.place.tenant.clone(),
                actor: Actor::new(holder).map_err(ApiKeyError::Name)?,
                role: *role,
                plan: plan.clone(),
                expires: expires.map(UtcNanos),
                subscriptions: subscriptions.clone(),
            };
            let drawn = Keys::draw(new, store.clock.now(), &SystemEntropy::new());
            let (text, record) = drawn.map_err(ApiKeyError::Keys)?;
            let change = told(&by, "waag.apikey.created", &record);
            let add = || keys.add(record).map_err(ApiKeyError::Keys);
            let record = told_changes::carry_out(store, change, add)?;
            Ok(vec![Told::of(&record, Some(text))])
        }
        Asked::Withdraw { by, id } => {
            let by = Actor::new(by).map_err(ApiKeyError::Name)?;
            let record = keys.list().into_iter().find(|record| record.id == *id);
            let record = record.ok_or_else(|| ApiKeyError::Unknown(id.clone()))?;
            let change = told(&by, "waag.apikey.withdrawn", &record);
            let withdraw = || keys.withdraw(id).map_err(ApiKeyError::Keys);
            told_changes::carry_out(store, change, withdraw)?;
            Ok(vec![Told::of(&record, None)])
        }
    }
}

fn has_plan(store: &OpenedStore, name: &str) -> Result<bool, ApiKeyError> {
    // Among the plans alone: the node's own rate is kept on the same shelf.
    let plans = Plans::load(Arc::new(StateDesk(Arc::clone(&store.keyring))));
    let plans = plans.map_err(ApiKeyError::Plans)?;
    Ok(plans.list().iter().any(|(known, _)| known == name))
}

/// A change of a key, as the ledger tells it.
fn told<'a>(by: &'a Actor, kind: &'static str, record: &KeyRecord) -> Change<'a> {
    let text = |text: &str| Value::Text(text.to_owned().into());
    let role = match record.role {
        Role::Reader => "reader",
        Role::Producer => "producer",
        Role::Subscriber => "subscriber",
        Role::Admin => "admin",
    };
    let mut data = vec![
        ("key_id", text(&record.id)),
        ("holder", text(record.actor.as_str())),
        ("role", text(role)),
        ("plan", text(&record.plan)),
    ];
    if !record.subscriptions.is_empty() {
        let names = record.subscriptions.iter().map(|name| text(name)).collect();
        data.push(("subscriptions", Value::Array(names)));
    }
    Change { by, kind, data, record: Record::Door(record_name(Shelf::Keys, &record.id)) }
}
