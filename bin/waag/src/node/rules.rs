//! The invoices' rules of a store: service levels, and what counts as late, odd or a loop.
//!
//! They are kept in the state and each change is an event of the ledger (`waag.invoice-rules.set`, with all of them), which is
//! recorded before they count: a ledger never lacks what its read models were made by.
//! Not here: what the rules mean and may be (`domains/invoices`), the command (`cli`).

use std::fmt;

use waag_invoices::config::Config;
use waag_invoices::settings::ConfigError;
use waag_keys::error::KeysError;
use waag_keys::keyring::Keyring;
use waag_model::ids::Actor;
use waag_model::value::Value;
use waag_stdx::entropy::NoEntropy;

use crate::store::error::StoreError;
use crate::store::own::own_event;
use crate::store::writer::OpenedStore;

/// The record's name.
const RULES: &[u8] = b"settings/invoices";
/// Longest text of rules that is kept, in bytes: it is a part of one event.
pub const RULES_BYTES_MAX: usize = 256 * 1_024;

/// Why rules cannot be read or set.
#[derive(Debug)]
pub enum RulesError {
    /// The state failed.
    Keys(KeysError),
    /// They are not what rules may be.
    Config(ConfigError),
    /// They are longer than [`RULES_BYTES_MAX`].
    TooLong(usize),
    /// The change could not be recorded; the rules are as they were.
    Store(StoreError),
    /// The system gives no random bytes.
    Entropy(NoEntropy),
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
            Self::Entropy(error) => error.code(),
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
            Self::Entropy(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RulesError {}

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
    let event = own_event("waag.invoice-rules.set", None, data).map_err(RulesError::Entropy)?;
    store.record(&event, by).map_err(RulesError::Store)?;
    let kept = rules.map(|_| told.as_bytes());
    store.keyring.keep_door_record(RULES, kept).map_err(RulesError::Keys)
}
