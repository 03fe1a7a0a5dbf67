//! Why the keyring refused or failed.

use std::fmt;

use waag_model::ids::KeyId;
use waag_stdx::entropy::NoEntropy;

use crate::ledger::{LEDGERS_MAX, SIGNERS_ACTIVE_MAX, SIGNERS_MAX};
use crate::state::StateError;
use crate::vault::VaultError;

/// Why the keyring refused or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysError {
    /// The state refused or failed.
    State(StateError),
    /// The vault refused or failed.
    Vault(VaultError),
    /// The source of randomness failed.
    Entropy,
    /// An earlier commit of keys failed: reopen. Nothing may be acknowledged that used a key since.
    Poisoned,
    /// There is no tenant in this state.
    NoTenant,
    /// The state belongs to another tenant, of this name.
    OtherTenant(String),
    /// The tenant has no ledger of this name.
    NoLedger(String),
    /// A ledger of this name has another origin, given here.
    OtherOrigin(String),
    /// A name is empty or too long: which one.
    Name(&'static str),
    /// More keys wait to be made durable than the limit: commit the pending ones first.
    PendingFull,
    /// More keys for one person, class and period than the limit.
    RotatedTooOften,
    /// The ledger has as many signing keys as the limit, retired ones included.
    SignersFull,
    /// As many signing keys sign side by side as a checkpoint can carry.
    ActiveSignersFull,
    /// The tenant has as many ledgers as the limit.
    LedgersFull,
    /// No such signing key, or it is retired already.
    NoSigner(u32),
    /// It is the last active signing key.
    LastSigner,
    /// A record that is whole cannot be read: what it is.
    Unreadable(&'static str),
    /// A wrapped key is not this tenant's, or stands in another's place: what it is.
    Refused(&'static str),
    /// An index names a key that is not there.
    Dangling(KeyId),
    /// The data of a person in it is restricted: it is kept, and shown to nobody.
    Restricted,
}

impl KeysError {
    /// The stable code of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::State(error) => error.code(),
            Self::Vault(error) => error.code(),
            Self::Entropy => NoEntropy.code(),
            Self::Poisoned => "E0541",
            Self::NoTenant => "E0542",
            Self::OtherTenant(_) => "E0543",
            Self::NoLedger(_) => "E0544",
            Self::OtherOrigin(_) => "E0545",
            Self::Name(_) => "E0546",
            Self::PendingFull => "E0547",
            Self::RotatedTooOften => "E0548",
            Self::SignersFull => "E0549",
            Self::NoSigner(_) => "E0550",
            Self::LastSigner => "E0551",
            Self::Unreadable(_) => "E0552",
            Self::Refused(_) => "E0553",
            Self::Dangling(_) => "E0554",
            Self::ActiveSignersFull => "E0555",
            Self::LedgersFull => "E0556",
            Self::Restricted => "E0557",
        }
    }
}

impl KeysError {
    /// Whether the same may work later, since what keys lie in failed and is not damaged: a lock that somebody holds, too many
    /// open files.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::State(StateError::Environment(..))
                | Self::Vault(VaultError::Environment(..))
                | Self::Entropy
        )
    }
}

impl fmt::Display for KeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(_) => write!(f, "the state of the keys failed"),
            Self::Vault(_) => write!(f, "the key vault failed"),
            Self::Entropy => write!(f, "the source of randomness failed"),
            Self::Poisoned => write!(f, "an earlier commit of keys failed, the tenant must be reopened"),
            Self::NoTenant => write!(f, "there is no tenant in this state"),
            Self::OtherTenant(name) => write!(f, "the state belongs to the tenant `{name}`"),
            Self::NoLedger(name) => write!(f, "the tenant has no ledger `{name}`"),
            Self::OtherOrigin(origin) => write!(f, "the ledger is there with the origin `{origin}`"),
            Self::Name(which) => write!(f, "{which} is empty or too long"),
            Self::PendingFull => write!(f, "too many keys wait to be made durable"),
            Self::RotatedTooOften => write!(f, "too many keys for one person, class and period"),
            Self::SignersFull => {
                write!(
                    f,
                    "the ledger has `{SIGNERS_MAX}` signing keys, retired ones included, and may have no more"
                )
            }
            Self::ActiveSignersFull => {
                write!(
                    f,
                    "`{SIGNERS_ACTIVE_MAX}` signing keys sign already, and a checkpoint can carry no more"
                )
            }
            Self::LedgersFull => write!(f, "the tenant has `{LEDGERS_MAX}` ledgers and may have no more"),
            Self::NoSigner(number) => write!(f, "there is no active signing key `{number}`"),
            Self::LastSigner => write!(f, "the last active signing key cannot be retired"),
            Self::Unreadable(what) => write!(f, "the record of {what} cannot be read"),
            Self::Refused(what) => write!(f, "{what} does not open in its place"),
            Self::Dangling(id) => write!(f, "the index names the key `{id}`, which is not there"),
            Self::Restricted => write!(f, "the data of a person in it is restricted (GDPR art. 18)"),
        }
    }
}

impl std::error::Error for KeysError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::State(error) => Some(error),
            Self::Vault(error) => Some(error),
            Self::Entropy
            | Self::Poisoned
            | Self::NoTenant
            | Self::OtherTenant(_)
            | Self::NoLedger(_)
            | Self::OtherOrigin(_)
            | Self::Name(_)
            | Self::PendingFull
            | Self::RotatedTooOften
            | Self::SignersFull
            | Self::ActiveSignersFull
            | Self::LedgersFull
            | Self::NoSigner(_)
            | Self::LastSigner
            | Self::Unreadable(_)
            | Self::Refused(_)
            | Self::Restricted
            | Self::Dangling(_) => None,
        }
    }
}

impl From<StateError> for KeysError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

impl From<VaultError> for KeysError {
    fn from(error: VaultError) -> Self {
        Self::Vault(error)
    }
}

impl From<NoEntropy> for KeysError {
    fn from(_: NoEntropy) -> Self {
        Self::Entropy
    }
}
