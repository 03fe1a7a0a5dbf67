//! The contract of the key vault: who holds the key that wraps a tenant's key.
//!
//! Place: asked once at start and at rotations, never in the way of an event, so that a commit waits for no KMS.
//! Not here: the local key file (`drivers/files`), a cloud's KMS (`drivers/kms`).
//!
//! Invariants, tested by [`crate::conformance::vault`] on every driver:
//! - `VAULT-1`: what was wrapped is unwrapped under the same context only, by the same vault only.
//! - `VAULT-2`: any changed byte of a wrapped secret, or of the context, is refused.
//! - `VAULT-3`: wrapping twice gives two different results.

use std::fmt;

use waag_stdx::entropy::NoEntropy;
use zeroize::Zeroizing;

/// Longest secret a vault wraps, in bytes; what a cloud KMS takes in one call.
pub const VAULT_SECRET_BYTES_MAX: usize = 4_096;
/// Longest context, in bytes.
pub const VAULT_CONTEXT_BYTES_MAX: usize = 1_024;

/// Why a vault refused or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaultError {
    /// The wrapped secret is not this vault's, not of this context, or was changed.
    Refused,
    /// Wrapped under a key of this vault that it no longer has.
    KeyGone(String),
    /// The secret or the context is longer than a vault takes.
    Limit,
    /// The vault has as many keys as it may: finish the rotation that was broken off.
    KeysFull,
    /// There is no vault here.
    Missing,
    /// A vault is here already.
    Exists,
    /// The vault's file is not what was written.
    Damaged(&'static str),
    /// A version or parameter this program does not take.
    Foreign(&'static str),
    /// Something about the passphrase: what, as the rest of a sentence.
    Passphrase(&'static str),
    /// Others than its owner may read or write the key file.
    TooOpen(String),
    /// The source of randomness failed.
    Entropy,
    /// The environment failed: what was attempted, and the message.
    Environment(&'static str, String),
}

impl VaultError {
    /// The stable code of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused => "E0520",
            Self::KeyGone(_) => "E0521",
            Self::Limit => "E0522",
            Self::Missing => "E0523",
            Self::Exists => "E0524",
            Self::Damaged(_) => "E0525",
            Self::Foreign(_) => "E0526",
            Self::Passphrase(_) => "E0527",
            Self::TooOpen(_) => "E0528",
            Self::Entropy => NoEntropy.code(),
            Self::Environment(..) => "E0530",
            Self::KeysFull => "E0531",
        }
    }
}

impl fmt::Display for VaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => write!(f, "the vault does not recognise the wrapped key"),
            Self::KeyGone(id) => write!(f, "the vault no longer has its key `{id}`"),
            Self::Limit => write!(f, "the secret or its context is too long for a vault"),
            Self::KeysFull => write!(f, "the vault has as many keys of its own as it may"),
            Self::Missing => write!(f, "there is no key vault here"),
            Self::Exists => write!(f, "there is a key vault here already"),
            Self::Damaged(what) => write!(f, "the key vault is damaged: {what}"),
            Self::Foreign(what) => write!(f, "the key vault cannot be read: {what}"),
            Self::Passphrase(what) => write!(f, "the vault's passphrase {what}"),
            Self::TooOpen(mode) => write!(f, "others may read or write the vault's file, its mode is {mode}"),
            Self::Entropy => write!(f, "the source of randomness failed"),
            Self::Environment(attempt, message) => write!(f, "could not {attempt}: {message}"),
        }
    }
}

impl std::error::Error for VaultError {}

/// Wraps and unwraps small secrets under a key that never leaves it. Calls may take as long as a network does.
///
/// The context is authenticated, not stored: the caller must give the same bytes again. A caller must not assume that a
/// wrapped secret has a certain length or form, nor that unwrapping is cheap.
pub trait KeyVault: Send + Sync {
    /// What kind of vault it is and where, for people; holds no secret.
    fn name(&self) -> String;

    /// Wraps a secret of at most [`VAULT_SECRET_BYTES_MAX`] under the vault's current key.
    ///
    /// # Errors
    /// [`VaultError::Limit`]; the driver's.
    fn wrap(&self, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, VaultError>;

    /// Unwraps what [`KeyVault::wrap`] returned for the same context, also under an older key that the vault still has.
    ///
    /// # Errors
    /// [`VaultError::Refused`], [`VaultError::KeyGone`]; the driver's.
    fn unwrap(&self, context: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError>;
}

/// Checks the limits the same way in every driver.
///
/// # Errors
/// [`VaultError::Limit`].
pub fn check_limits(context: &[u8], secret: &[u8]) -> Result<(), VaultError> {
    if context.len() > VAULT_CONTEXT_BYTES_MAX || secret.len() > VAULT_SECRET_BYTES_MAX {
        return Err(VaultError::Limit);
    }
    Ok(())
}
