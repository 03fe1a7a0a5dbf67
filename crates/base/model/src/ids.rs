//! Identifiers: ledger, tenant, position, frame, epoch, actor, key.
//!
//! Names that people choose are checked when made (`TenantName`, `Actor`), so that code below never checks again.

use std::fmt;

use crate::limits::{ACTOR_BYTES_MAX, TENANT_BYTES_MAX};

/// A ledger's identity: 16 random bytes drawn at its creation, never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LedgerId(pub [u8; 16]);

/// A data key's identity: 16 random bytes; it tells nothing of whom or what the key protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 16]);

/// A keyed 16-byte tag (truncated HMAC-SHA-256) that stands for a name without showing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub [u8; 16]);

/// Where an entry stands in its ledger, counted from 0 without gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// A frame's number in its ledger, counted from 0 without gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameNumber(pub u64);

/// A writer's term of office; a frame of a lower epoch than its predecessor is void.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// A tenant's name: 1 to 63 bytes of `a`–`z`, `0`–`9` and inner `-`; safe as a folder's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantName(String);

/// A principal's id, never a person's plain name: 1 to 255 bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Actor(String);

/// Why a chosen name is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// No character at all.
    Empty,
    /// More bytes than the limit given here.
    TooLong(usize),
    /// A character that this kind of name does not allow.
    Character(char),
}

impl NameError {
    /// The stable code of this error.
    #[must_use]
    pub fn code(self) -> &'static str {
        "E0120"
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the name is empty"),
            Self::TooLong(limit) => write!(f, "the name is longer than {limit} bytes"),
            Self::Character(c) => write!(f, "the name has the character `{}`", c.escape_default()),
        }
    }
}

impl std::error::Error for NameError {}

impl TenantName {
    /// Checks and takes a tenant's name.
    ///
    /// # Errors
    /// [`NameError`] where it is empty, too long, or has a character other than `a`–`z`, `0`–`9`, inner `-`.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > TENANT_BYTES_MAX {
            return Err(NameError::TooLong(TENANT_BYTES_MAX));
        }
        let bad = name.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-'));
        if let Some(c) = bad {
            return Err(NameError::Character(c));
        }
        if name.starts_with('-') || name.ends_with('-') {
            return Err(NameError::Character('-'));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Actor {
    /// Checks and takes an actor's principal id.
    ///
    /// # Errors
    /// [`NameError`] where it is empty, too long, or has a control character.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > ACTOR_BYTES_MAX {
            return Err(NameError::TooLong(ACTOR_BYTES_MAX));
        }
        match name.chars().find(|c| c.is_control()) {
            Some(c) => Err(NameError::Character(c)),
            None => Ok(Self(name.to_owned())),
        }
    }

    /// The principal id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for FrameNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! hex_display {
    ($($name:ty),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    )*};
}
hex_display!(LedgerId, KeyId, Tag);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenant_names_are_safe_as_folders() {
        for good in ["default", "a", "bank-7", &"x".repeat(TENANT_BYTES_MAX)] {
            assert_eq!(TenantName::new(good).unwrap().as_str(), good);
        }
        for (bad, error) in [
            ("", NameError::Empty),
            ("..", NameError::Character('.')),
            ("a/b", NameError::Character('/')),
            ("Bank", NameError::Character('B')),
            ("-a", NameError::Character('-')),
            ("a-", NameError::Character('-')),
            (&"x".repeat(TENANT_BYTES_MAX + 1), NameError::TooLong(TENANT_BYTES_MAX)),
        ] {
            assert_eq!(TenantName::new(bad).unwrap_err(), error);
        }
    }

    #[test]
    fn actors_have_no_control_characters() {
        assert_eq!(Actor::new("ops@bank").unwrap().to_string(), "ops@bank");
        assert_eq!(Actor::new("a\nb").unwrap_err(), NameError::Character('\n'));
        assert_eq!(Actor::new(&"x".repeat(256)).unwrap_err(), NameError::TooLong(255));
    }
}
