//! Reasons that are recorded for ever: one line, not long, and none of the persons' ids that it is about (`SUBJECT-1`).
//!
//! Place: every way that records a reason asks here first. It cannot know names; that is the caller's to watch.

use std::collections::BTreeSet;

use waag_keys::keyring::Keyring;
use waag_keys::restriction::REASON_BYTES_MAX;
use waag_model::ids::KeyId;

use super::SubjectsError;

/// Parts of an id shorter than this may stand in a reason by chance, in characters.
const NAMING_CHARACTERS_MIN: usize = 3;
/// Keys of one look whose persons were held against the reason already, so that each is opened once.
const REMEMBERED_MAX: usize = 100_000;

/// A reason without the space around it, if it can be recorded.
///
/// # Errors
/// [`SubjectsError::Reason`].
pub fn checked(reason: &str) -> Result<&str, SubjectsError> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(SubjectsError::Reason("is empty"));
    }
    if reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
        return Err(SubjectsError::Reason("is one line of at most 1000 bytes, without control characters"));
    }
    Ok(reason)
}

/// Whether a text holds a person's id, or what stands behind its kind.
#[must_use]
pub fn names(text: &str, person: &str) -> bool {
    let (text, whole) = (text.to_lowercase(), person.to_lowercase());
    let behind = whole.split_once(':').map(|(_, id)| id);
    let is_in = |id: &str| id.chars().count() >= NAMING_CHARACTERS_MIN && text.contains(id);
    text.contains(&whole) || behind.is_some_and(is_in)
}

/// Whether a text holds a person's id, or what stands behind its kind, as a word of its own: of persons whom nobody named,
/// one may well have an id that is part of another word or number.
fn has_word(text: &str, id: &str) -> bool {
    let is_apart = |at: usize| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + id.len()..).and_then(|after| after.chars().next());
        ![before, after].into_iter().flatten().any(char::is_alphanumeric)
    };
    id.chars().count() >= NAMING_CHARACTERS_MIN && text.match_indices(id).any(|(at, _)| is_apart(at))
}

/// Reasons held against the persons of entries, by the keys that sealed these.
#[derive(Debug)]
pub struct Against<'k> {
    keyring: &'k Keyring,
    reasons: Vec<String>,
    seen: BTreeSet<KeyId>,
}

impl<'k> Against<'k> {
    /// The reasons, each of which can be recorded as far as anybody knows.
    ///
    /// # Errors
    /// [`SubjectsError::Reason`].
    pub fn new<'r>(
        keyring: &'k Keyring,
        reasons: impl IntoIterator<Item = &'r str>,
    ) -> Result<Self, SubjectsError> {
        let reasons = reasons.into_iter().map(|reason| checked(reason).map(str::to_lowercase));
        Ok(Self { keyring, reasons: reasons.collect::<Result<_, _>>()?, seen: BTreeSet::new() })
    }

    /// Refuses where one of the reasons has the id of the person whose key this is. Of whom keys are gone nothing is known.
    ///
    /// # Errors
    /// [`SubjectsError::Reason`]; the state's.
    pub fn key(&mut self, id: KeyId) -> Result<(), SubjectsError> {
        if self.reasons.is_empty() || self.seen.contains(&id) {
            return Ok(());
        }
        if let Some(person) = self.keyring.person_of(id)? {
            let whole = person.to_lowercase();
            let behind = whole.split_once(':').map(|(_, id)| id);
            let is_named =
                |text: &String| has_word(text, &whole) || behind.is_some_and(|id| has_word(text, id));
            if self.reasons.iter().any(is_named) {
                return Err(SubjectsError::Reason(
                    "names a person of the entries, and it is recorded for ever",
                ));
            }
        }
        if self.seen.len() < REMEMBERED_MAX {
            self.seen.insert(id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_where_it_stands_alone() {
        for (text, id) in [("about report-3", "report-3"), ("c-4 (mr c)", "c-4"), ("x,4711.", "4711")] {
            assert!(has_word(text, id), "{text}: {id}");
        }
        for (text, id) in
            [("about report-33", "report-3"), ("case 14711", "4711"), ("in 20", "20"), ("", "abc")]
        {
            assert!(!has_word(text, id), "{text}: {id}");
        }
        assert!(has_word("abcabc abc", "abc"), "the last of several");
    }

    #[test]
    fn a_reason_is_one_line_that_is_not_long() {
        let code = |reason| checked(reason).map_err(|error| error.code());
        assert_eq!(code("  case 7 "), Ok("case 7"));
        let long = "x".repeat(REASON_BYTES_MAX);
        assert_eq!(code(&long), Ok(long.as_str()));
        for bad in ["", " ", "a\nb", "a\u{1b}[31mb", "a\u{85}b", &(long.clone() + "x")] {
            assert_eq!(code(bad), Err("E0730"), "{bad:?}");
        }
    }
}
