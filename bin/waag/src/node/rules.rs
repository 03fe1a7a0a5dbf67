//! The invoices' rules of a store: service levels, and what counts as late, odd or a loop.
//!
//! They are kept in the state and each change is an event of the ledger (`waag.invoice-rules.set`, with all of them). They count
//! from the next start on, and what a crash left untold is recorded before that (`TOLD-1`): a node's ledger never lacks what
//! its read models are made by.
//! Not here: what the rules mean and may be (`domains/invoices`), the command (`cli`).

use std::fmt;

use waag_invoices::config::Config;
use waag_invoices::settings::ConfigError;
use waag_keys::error::KeysError;
use waag_keys::keyring::Keyring;
use waag_keys::state::RECORD_VALUE_BYTES_MAX;
use waag_model::ids::Actor;
use waag_model::value::Value;

use crate::store::error::StoreError;
use crate::store::told_changes::{self, BESIDE_BYTES_MAX, Change, Record};
use crate::store::writer::OpenedStore;

/// The record's name.
const RULES: &[u8] = b"settings/invoices";
/// Longest text of rules that is kept, in bytes: what remembers the change until it is recorded has the whole text, and is one
/// record of the state.
pub const RULES_BYTES_MAX: usize = RECORD_VALUE_BYTES_MAX - BESIDE_BYTES_MAX;

/// Why rules cannot be read or set.
#[derive(Debug)]
pub enum RulesError {
    /// The state failed.
    Keys(KeysError),
    /// They are not what rules may be.
    Config(ConfigError),
    /// They are longer than [`RULES_BYTES_MAX`].
    TooLong(usize),
    /// The change could not be recorded: rules that were set nevertheless count, and are recorded at the next opening.
    Store(StoreError),
}

impl RulesError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Keys(error) => error.code(),
            Self::Config(error) => error.code(),
            Self::TooLong(_) => ConfigError::TooLong.code(),
            Self::Store(error) => error.code(),
        }
    }
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys(error) => error.fmt(f),
            Self::Config(error) => error.fmt(f),
            Self::TooLong(bytes) => {
                write!(f, "the rules have {bytes} bytes; at most {RULES_BYTES_MAX} are kept")
            }
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RulesError {}

impl From<StoreError> for RulesError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The rules that were set; none where the program's own hold.
///
/// # Errors
/// [`RulesError::Keys`], and [`RulesError::Config`] where what is kept is no rules of this version.
pub fn set_ones(keyring: &Keyring) -> Result<Option<Config>, RulesError> {
    let kept = keyring.door_records(RULES).map_err(RulesError::Keys)?;
    let text = kept.into_iter().find(|(name, _)| name == RULES).map(|(_, text)| text);
    text.map(|text| Config::from_json(&text)).transpose().map_err(RulesError::Config)
}

/// The rules in force.
///
/// # Errors
/// As [`set_ones`].
pub fn in_force(keyring: &Keyring) -> Result<Config, RulesError> {
    Ok(set_ones(keyring)?.unwrap_or_default())
}

/// Sets rules, or with none the program's own again; read models are made anew by them from the next start on.
///
/// # Errors
/// [`RulesError`].
pub fn set(store: &OpenedStore, by: &Actor, rules: Option<&Config>) -> Result<(), RulesError> {
    let told = serde_json::to_string(rules.unwrap_or(&Config::default())).unwrap_or_default();
    if told.len() > RULES_BYTES_MAX {
        return Err(RulesError::TooLong(told.len()));
    }
    let word = |text: String| Value::Text(text.into());
    let data = vec![
        ("rules", word(told.clone())),
        ("origin", word(if rules.is_some() { "set" } else { "the program's own" }.to_owned())),
    ];
    let change = Change { by, kind: "waag.invoice-rules.set", data, record: Record::Door(RULES.to_vec()) };
    let kept = rules.map(|_| told.as_bytes());
    told_changes::carry_out(store, change, || {
        store.keyring.keep_door_record(RULES, kept).map_err(RulesError::Keys)
    })
}
