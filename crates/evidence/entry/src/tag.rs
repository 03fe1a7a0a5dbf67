//! Tags: keyed stand-ins for names, so that a ledger can be searched by whoever holds the tag key and by nobody else.
//!
//! `tag = HMAC-SHA-256(tag key, domain ‖ ledger id ‖ …)`, cut to 16 bytes (RFC 2104 §5 allows half the output).
//! The domain byte keeps identity and ordering apart; lengths in front keep `source` and `id` apart.
//!
//! Not here: the tag keys (`evidence/keys`).

use waag_model::ids::{LedgerId, Tag};

use crate::kdf::Hmac;

const IDENTITY: u8 = 1;
const ORDERING: u8 = 2;

/// A tag key, prepared.
#[derive(Clone)]
pub struct TagKey(Hmac);

impl std::fmt::Debug for TagKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TagKey(…)")
    }
}

impl TagKey {
    /// Prepares a tag key.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(Hmac::new(key))
    }

    /// The tag of an event's identity.
    #[must_use]
    pub fn identity(&self, ledger: &LedgerId, source: &str, id: &str) -> Tag {
        let length = (source.len() as u64).to_be_bytes();
        self.tag(&[&[IDENTITY], &ledger.0, &length, source.as_bytes(), id.as_bytes()])
    }

    /// The tag of an ordering key, by default the event's subject.
    #[must_use]
    pub fn ordering(&self, ledger: &LedgerId, subject: &str) -> Tag {
        self.tag(&[&[ORDERING], &ledger.0, subject.as_bytes()])
    }

    fn tag(&self, message: &[&[u8]]) -> Tag {
        let mut tag = [0; 16];
        tag.iter_mut().zip(self.0.sign(message)).for_each(|(to, from)| *to = from);
        Tag(tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_depend_on_key_ledger_domain_and_the_border_between_source_and_id() {
        let key = TagKey::new(&[1; 32]);
        let ledger = LedgerId([2; 16]);
        let tag = key.identity(&ledger, "ab", "c");
        assert_eq!(tag, TagKey::new(&[1; 32]).identity(&ledger, "ab", "c"));
        assert_ne!(tag, key.identity(&ledger, "a", "bc"));
        assert_ne!(tag, key.identity(&LedgerId([3; 16]), "ab", "c"));
        assert_ne!(tag, TagKey::new(&[9; 32]).identity(&ledger, "ab", "c"));
        assert_ne!(key.ordering(&ledger, "ab"), key.identity(&ledger, "", "ab"));
    }
}
