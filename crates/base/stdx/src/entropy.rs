//! Randomness as a value that is passed in: salts, keys and ids are drawn from here and nowhere else.
//!
//! `STDX-2`: the only implementation outside `testing/` is the operating system's generator through the
//! cryptographic library; it takes no seed.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

/// A source of unpredictable bytes.
pub trait Entropy: Send + Sync {
    /// Fills `out` wholly with unpredictable bytes.
    ///
    /// # Errors
    /// [`NoEntropy`] where the source fails; `out` must then not be used.
    fn fill(&self, out: &mut [u8]) -> Result<(), NoEntropy>;
}

/// The source of randomness failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEntropy;

impl NoEntropy {
    /// The stable code, wherever randomness was needed.
    #[must_use]
    pub fn code(self) -> &'static str {
        "E0540"
    }
}

impl std::fmt::Display for NoEntropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the operating system's source of randomness failed")
    }
}

impl std::error::Error for NoEntropy {}

/// The operating system's generator.
#[derive(Debug, Default)]
pub struct SystemEntropy(SystemRandom);

impl SystemEntropy {
    /// The operating system's generator.
    #[must_use]
    pub fn new() -> Self {
        Self(SystemRandom::new())
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), NoEntropy> {
        self.0.fill(out).map_err(|_| NoEntropy)
    }
}
