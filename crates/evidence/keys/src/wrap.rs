//! Wrapping a secret under a key: AES-256-GCM with a random 96-bit nonce, bound to its place (`KEYS-4`).
//!
//! A wrapped secret is nonce (12 bytes) ‖ ciphertext ‖ authentication tag (16 bytes). Under a tenant key its version
//! stands before it (4 bytes, big-endian) and is authenticated too.
//! Random nonces hold for 2^32 wrappings under one key (NIST SP 800-38D §8.3); a data key takes one, so a tenant key
//! lasts for four thousand million of them, and a rotation starts the count anew.
//! Not here: which place is which (`records`), the sealing of entries (`evidence/entry`).

use std::collections::BTreeMap;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use waag_stdx::entropy::{Entropy, NoEntropy};
use zeroize::Zeroizing;

use crate::secret::{SECRET_BYTES, Secret};
use crate::wire::{Reader, Writer};

/// Bytes that wrapping adds to a secret.
pub const WRAP_BYTES: usize = NONCE_LEN + 16;

/// Wraps `secret`, authenticating `context` with it.
///
/// # Errors
/// [`NoEntropy`] where no nonce could be drawn; also where the library refuses, which it never does at these lengths.
pub fn seal(
    key: &[u8; SECRET_BYTES],
    entropy: &dyn Entropy,
    context: &[u8],
    secret: &[u8],
) -> Result<Vec<u8>, NoEntropy> {
    let mut nonce = [0; NONCE_LEN];
    entropy.fill(&mut nonce)?;
    let key = UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).map_err(|_| NoEntropy)?;
    // Sealed in place in a buffer that never grows, so that no copy of the secret is left behind.
    let mut sealed = Zeroizing::new(Vec::with_capacity(secret.len() + WRAP_BYTES));
    sealed.extend_from_slice(secret);
    let tag = key
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(context),
            sealed.as_mut_slice(),
        )
        .map_err(|_| NoEntropy)?;
    let mut wrapped = Vec::with_capacity(secret.len() + WRAP_BYTES);
    wrapped.extend_from_slice(&nonce);
    wrapped.extend_from_slice(&sealed);
    wrapped.extend_from_slice(tag.as_ref());
    Ok(wrapped)
}

/// Unwraps; none where the key, the context or any byte is another.
#[must_use]
pub fn open(key: &[u8; SECRET_BYTES], context: &[u8], wrapped: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = wrapped.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let key = UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).ok()?;
    let mut buffer = Zeroizing::new(sealed.to_vec());
    let len = key.open_in_place(nonce, Aad::from(context), buffer.as_mut_slice()).ok()?.len();
    buffer.truncate(len);
    Some(buffer)
}

/// Where a secret that the tenant key wraps has its place.
pub(crate) struct Slot<'a> {
    /// What kind of secret.
    pub(crate) kind: &'static str,
    /// The ids and facts that only this one has.
    pub(crate) detail: &'a [u8],
}

/// The tenant key in its versions. More than one only while a rotation is under way.
#[derive(Clone)]
pub(crate) struct TenantKeys {
    pub(crate) tenant: String,
    pub(crate) current: u32,
    pub(crate) keys: BTreeMap<u32, Secret>,
}

impl TenantKeys {
    fn context(&self, version: u32, slot: &Slot<'_>) -> Vec<u8> {
        Writer::default()
            .bytes(b"waag wrap v1")
            .bytes(self.tenant.as_bytes())
            .u32(version)
            .bytes(slot.kind.as_bytes())
            .bytes(slot.detail)
            .finish()
    }

    /// Wraps under the current version.
    pub(crate) fn wrap(
        &self,
        entropy: &dyn Entropy,
        slot: &Slot<'_>,
        secret: &[u8],
    ) -> Result<Vec<u8>, NoEntropy> {
        let key = self.keys.get(&self.current).ok_or(NoEntropy)?;
        let sealed = seal(key.bytes(), entropy, &self.context(self.current, slot), secret)?;
        Ok(Writer::default().u32(self.current).fixed(&sealed).finish())
    }

    /// Unwraps under the version that the wrapped secret names.
    pub(crate) fn unwrap(&self, slot: &Slot<'_>, wrapped: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let version = version_of(wrapped)?;
        let (_, sealed) = wrapped.split_at_checked(4)?;
        open(self.keys.get(&version)?.bytes(), &self.context(version, slot), sealed)
    }

    /// Unwraps a secret of 32 bytes.
    pub(crate) fn unwrap_secret(&self, slot: &Slot<'_>, wrapped: &[u8]) -> Option<Secret> {
        Secret::of_slice(&self.unwrap(slot, wrapped)?)
    }
}

/// The tenant-key version that a wrapped secret names.
pub(crate) fn version_of(wrapped: &[u8]) -> Option<u32> {
    Reader::new(wrapped).u32()
}

#[cfg(test)]
mod tests {
    use waag_stdx::entropy::SystemEntropy;

    use super::*;

    #[test]
    fn a_wrapped_secret_opens_in_its_place_only_and_no_byte_may_change() {
        let entropy = SystemEntropy::new();
        let keys = |tenant: &str, key: &Secret| TenantKeys {
            tenant: tenant.to_owned(),
            current: 3,
            keys: BTreeMap::from([(3, key.clone())]),
        };
        let key = Secret::draw(&entropy).unwrap();
        let mine = keys("a", &key);
        let wrapped = mine.wrap(&entropy, &Slot { kind: "k", detail: b"d" }, &[7; 32]).unwrap();
        assert_eq!(wrapped.len(), 4 + 32 + WRAP_BYTES);
        let opened = mine.unwrap_secret(&Slot { kind: "k", detail: b"d" }, &wrapped).unwrap();
        assert_eq!(opened.bytes(), &[7; 32]);
        assert!(mine.unwrap(&Slot { kind: "l", detail: b"d" }, &wrapped).is_none());
        assert!(mine.unwrap(&Slot { kind: "k", detail: b"e" }, &wrapped).is_none());
        assert!(keys("b", &key).unwrap(&Slot { kind: "k", detail: b"d" }, &wrapped).is_none());
        for at in 0..wrapped.len() {
            let mut changed = wrapped.clone();
            changed[at] ^= 1;
            assert!(mine.unwrap(&Slot { kind: "k", detail: b"d" }, &changed).is_none(), "byte {at}");
            assert!(mine.unwrap(&Slot { kind: "k", detail: b"d" }, &wrapped[..at]).is_none(), "cut to {at}");
        }
    }
}
