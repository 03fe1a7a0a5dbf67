//! Secret bytes that are wiped when dropped and never printed (`KEYS-5`).

use std::fmt;

use waag_stdx::entropy::{Entropy, NoEntropy};
use zeroize::Zeroizing;

/// Bytes of every symmetric key and signing seed here.
pub const SECRET_BYTES: usize = 32;

/// 32 secret bytes, wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<[u8; SECRET_BYTES]>);

impl Secret {
    /// Takes the bytes.
    #[must_use]
    pub fn new(bytes: Zeroizing<[u8; SECRET_BYTES]>) -> Self {
        Self(bytes)
    }

    /// Draws a fresh one.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn draw(entropy: &dyn Entropy) -> Result<Self, NoEntropy> {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        entropy.fill(bytes.as_mut_slice())?;
        Ok(Self(bytes))
    }

    /// Takes a slice of exactly 32 bytes.
    #[must_use]
    pub fn of_slice(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != SECRET_BYTES {
            return None;
        }
        let mut out = Zeroizing::new([0; SECRET_BYTES]);
        out.copy_from_slice(bytes);
        Some(Self(out))
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
