//! The suites that every driver of a contract runs, in the driver's own tests.
//!
//! Each returns the first thing that does not hold, in words, so that it can run where panicking is not allowed.

use std::fmt;

mod state;
mod vault;

pub use state::{Damage, StateHarness, state};
pub use vault::{VaultHarness, vault};

/// What a driver does not keep.
#[derive(Debug)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Violation {}

impl From<crate::state::StateError> for Violation {
    fn from(error: crate::state::StateError) -> Self {
        Self(format!("unexpected {}: {error}", error.code()))
    }
}

impl From<crate::vault::VaultError> for Violation {
    fn from(error: crate::vault::VaultError) -> Self {
        Self(format!("unexpected {}: {error}", error.code()))
    }
}

/// Holds, or says what does not.
fn ensure(holds: bool, what: &str) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation(what.to_owned())) }
}
