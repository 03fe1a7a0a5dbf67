//! What every key vault keeps (`VAULT-1` to `VAULT-3`).

use super::{Violation, ensure};
use crate::vault::{KeyVault, VAULT_CONTEXT_BYTES_MAX, VAULT_SECRET_BYTES_MAX, VaultError};

/// How the suite gets at a driver.
pub trait VaultHarness {
    /// The vault, opened anew.
    ///
    /// # Errors
    /// The driver's.
    fn open(&self) -> Result<Box<dyn KeyVault>, VaultError>;
    /// Another vault of the same kind with another key.
    ///
    /// # Errors
    /// The driver's.
    fn other(&self) -> Result<Box<dyn KeyVault>, VaultError>;
}

/// Runs the suite.
///
/// # Errors
/// [`Violation`]: the first thing that does not hold.
pub fn vault(harness: &dyn VaultHarness) -> Result<(), Violation> {
    let vault = harness.open()?;
    ensure(!vault.name().is_empty(), "a vault has a name")?;
    let secret = [7_u8; 32];
    let wrapped = vault.wrap(b"context", &secret)?;
    ensure(!wrapped.windows(8).any(|part| part == [7; 8]), "the secret stands in the wrapped secret")?;
    ensure(wrapped != vault.wrap(b"context", &secret)?, "wrapping twice gives the same (VAULT-3)")?;
    ensure(*vault.unwrap(b"context", &wrapped)? == secret, "unwrapping gives another secret (VAULT-1)")?;
    ensure(
        *harness.open()?.unwrap(b"context", &wrapped)? == secret,
        "a reopened vault does not unwrap (VAULT-1)",
    )?;
    for context in [&b""[..], b"contex", b"contexu", b"context "] {
        ensure(vault.unwrap(context, &wrapped).is_err(), "another context unwraps (VAULT-1)")?;
    }
    ensure(harness.other()?.unwrap(b"context", &wrapped).is_err(), "another vault unwraps (VAULT-1)")?;
    for at in 0..wrapped.len() {
        let mut changed = wrapped.clone();
        if let Some(byte) = changed.get_mut(at) {
            *byte ^= 0x40;
        }
        ensure(vault.unwrap(b"context", &changed).is_err(), "a changed byte unwraps (VAULT-2)")?;
        changed.truncate(at);
        ensure(vault.unwrap(b"context", &changed).is_err(), "a cut secret unwraps (VAULT-2)")?;
    }
    let mut longer = wrapped.clone();
    longer.push(0);
    ensure(vault.unwrap(b"context", &longer).is_err(), "a byte more unwraps (VAULT-2)")?;
    let (context, large) = (vec![1; VAULT_CONTEXT_BYTES_MAX], vec![2; VAULT_SECRET_BYTES_MAX]);
    ensure(*vault.unwrap(&context, &vault.wrap(&context, &large)?)? == large, "the limits are not reached")?;
    let (context_over, large_over) =
        (vec![1; VAULT_CONTEXT_BYTES_MAX + 1], vec![2; VAULT_SECRET_BYTES_MAX + 1]);
    ensure(
        vault.wrap(&context, &large_over) == Err(VaultError::Limit),
        "a secret over the limit is wrapped",
    )?;
    ensure(vault.wrap(&context_over, &large) == Err(VaultError::Limit), "a context over the limit is taken")?;
    Ok(())
}
