//! What is asked for: which entries, what may be opened of them, and why; held against its limits before anything is read.
//!
//! Not here: finding the entries (`gather`).

use std::fmt;

use waag_keys::keyring::{Keyring, PERSON_BYTES_MAX};
use waag_ledger::pack::{TERM_VALUE_BYTES_MAX, Term};
use waag_model::ids::{Actor, Position};
use waag_model::limits::TYPE_BYTES_MAX;
use waag_model::time::UtcNanos;
use waag_pattern::Pattern;

use super::error::EvidenceError;
use crate::store::subjects::reason::{checked, names};
use crate::store::subjects::{SubjectsError, tag_text};

/// Most types that a selection names.
pub const TYPES_MAX: usize = 50;

/// Which entries: those that meet every condition. Without any, all of them.
#[derive(Clone, Default)]
pub struct Selection {
    /// About this invoice, by the rule of the read model.
    pub invoice: Option<String>,
    /// About this person: entries with a part of theirs, or with them as subject.
    pub person: Option<String>,
    /// Accepted at this time or later.
    pub from: Option<UtcNanos>,
    /// Accepted before this time.
    pub to: Option<UtcNanos>,
    /// At these positions, the first and the last.
    pub positions: Option<(Position, Position)>,
    /// Of one of these types; of any where there is none.
    pub types: Vec<String>,
    /// Whose common part matches this event pattern, by its JSON text.
    pub pattern: Option<String>,
    /// Of those, the newest so many.
    pub last: Option<u64>,
}

impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never a person's id, also in a panic.
        f.debug_struct("Selection").field("types", &self.types).finish_non_exhaustive()
    }
}

/// A pack that is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Which entries.
    pub selection: Selection,
    /// Why; it stands in the pack, and in the ledger for ever, so it names nobody.
    pub reason: String,
    /// Why persons' parts are opened: those of the selected person, or where none is selected those of everybody in the
    /// selected entries. They stay closed where this is none.
    pub reveal: Option<String>,
    /// Why what is restricted is used all the same (GDPR art. 18(2)).
    pub despite_restriction: Option<String>,
    /// Who asks.
    pub by: Actor,
}

impl Selection {
    /// Whether there is no condition at all, so that every entry is meant.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        let Self { invoice, person, from, to, positions, types, pattern, last } = self;
        let has_text = [invoice, person, pattern].into_iter().any(Option::is_some);
        let has_time = from.is_some() || to.is_some();
        !has_text && !has_time && positions.is_none() && last.is_none() && types.is_empty()
    }

    /// Refuses conditions that nothing can meet, or that cannot be told; the pattern, where there is one.
    ///
    /// # Errors
    /// [`EvidenceError::Selection`], [`EvidenceError::Pattern`].
    pub fn check(&self) -> Result<Option<Pattern>, EvidenceError> {
        let wrong = |why: &'static str| Err(EvidenceError::Selection(why));
        let bad_text = |text: &String, most: usize| {
            text.is_empty() || text.len() > most || text.chars().any(char::is_control)
        };
        if self.invoice.as_ref().is_some_and(|id| bad_text(id, waag_invoices::event::INVOICE_ID_BYTES_MAX)) {
            return wrong("an invoice's id has 1 to 255 bytes without control characters");
        }
        if self.person.as_ref().is_some_and(|id| id.is_empty() || id.len() > PERSON_BYTES_MAX) {
            return wrong("a person's id has 1 to 1024 bytes");
        }
        if self.types.len() > TYPES_MAX || self.types.iter().any(|kind| bad_text(kind, TYPE_BYTES_MAX)) {
            return wrong("there are at most 50 types, each of 1 to 255 bytes without control characters");
        }
        if self.from.zip(self.to).is_some_and(|(from, to)| from >= to) {
            return wrong("the first time is not before the last");
        }
        if self.positions.is_some_and(|(first, last)| first > last) {
            return wrong("the first position is behind the last");
        }
        if self.last == Some(0) {
            return wrong("the newest none of them are none");
        }
        let Some(text) = &self.pattern else { return Ok(None) };
        let pattern = Pattern::parse(text.as_bytes()).map_err(EvidenceError::Pattern)?;
        if one_line(text).is_none_or(|line| line.len() > TERM_VALUE_BYTES_MAX) {
            return wrong(
                "a pattern that stands in a pack has at most 65536 bytes, and control characters only as escapes",
            );
        }
        Ok(Some(pattern))
    }

    /// The conditions by name, as a pack's manifest has them; a person by their tag.
    #[must_use]
    pub fn terms(&self, keyring: &Keyring) -> Vec<Term> {
        let mut terms = Vec::new();
        let mut term = |name: &str, value: String| terms.push(Term { name: name.to_owned(), value });
        if let Some(invoice) = &self.invoice {
            term("invoice", invoice.clone());
        }
        if let Some(person) = &self.person {
            term("person-tag", tag_text(keyring.person_tag(person)));
        }
        if let Some(from) = self.from {
            term("from", from.to_string());
        }
        if let Some(to) = self.to {
            term("to", to.to_string());
        }
        if let Some((first, last)) = self.positions {
            term("positions", format!("{}-{}", first.0, last.0));
        }
        for kind in &self.types {
            term("type", kind.clone());
        }
        if let Some(pattern) = self.pattern.as_deref().and_then(one_line) {
            term("pattern", pattern);
        }
        if let Some(last) = self.last {
            term("last", last.to_string());
        }
        terms
    }

    /// The conditions in words, without any person's id.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words = match self.last {
            None => "all events".to_owned(),
            Some(1) => "the newest event".to_owned(),
            Some(last) => format!("the newest {last} events"),
        };
        let mut and = |text: String| {
            words.push(' ');
            words.push_str(&text);
        };
        if let Some(invoice) = &self.invoice {
            and(format!("of invoice {invoice}"));
        }
        if self.person.is_some() {
            and("about one person".to_owned());
        }
        match self.types.as_slice() {
            [] => {}
            [one] => and(format!("of type {one}")),
            [first, rest @ ..] => and(format!("of type {first} or {} more", rest.len())),
        }
        if self.pattern.is_some() {
            and("that match an event pattern".to_owned());
        }
        if let Some((first, last)) = self.positions {
            and(format!("from position {} to {}", first.0, last.0));
        }
        if let Some(from) = self.from {
            and(format!("accepted from {from}"));
        }
        if let Some(to) = self.to {
            and(format!("accepted before {to}"));
        }
        words
    }
}

/// A pattern's JSON on one line: its line breaks and tabs stand between tokens, where a space says the same. None where
/// another control character stands in it.
fn one_line(text: &str) -> Option<String> {
    let line: String = text.chars().map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c }).collect();
    (!line.chars().any(char::is_control)).then(|| line.trim().to_owned())
}

impl Asked {
    /// Refuses what could not be recorded, or whose record would name the person; the selection's pattern, where it has one.
    ///
    /// # Errors
    /// [`EvidenceError::Reason`]; as [`Selection::check`].
    pub fn check(&self) -> Result<Option<Pattern>, EvidenceError> {
        let reasons = [Some(&self.reason), self.reveal.as_ref(), self.despite_restriction.as_ref()];
        for reason in reasons.into_iter().flatten() {
            if let Err(SubjectsError::Reason(why)) = checked(reason) {
                return Err(EvidenceError::Reason(why));
            }
            if self.selection.person.as_ref().is_some_and(|person| names(reason, person)) {
                return Err(EvidenceError::Reason("names the person, and it is recorded for ever"));
            }
        }
        self.selection.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(selection: Selection) -> Option<&'static str> {
        selection.check().err().map(|error| error.code())
    }

    #[test]
    fn conditions_that_nothing_meets_are_refused() {
        let good = Selection { types: vec!["a.b".to_owned()], last: Some(1), ..Selection::default() };
        assert_eq!(code(good), None);
        for bad in [
            Selection { invoice: Some(String::new()), ..Selection::default() },
            Selection { invoice: Some("a\nb".to_owned()), ..Selection::default() },
            Selection { person: Some("x".repeat(PERSON_BYTES_MAX + 1)), ..Selection::default() },
            Selection { from: Some(UtcNanos(1)), to: Some(UtcNanos(1)), ..Selection::default() },
            Selection { positions: Some((Position(2), Position(1))), ..Selection::default() },
            Selection { types: vec!["t".to_owned(); TYPES_MAX + 1], ..Selection::default() },
            Selection { last: Some(0), ..Selection::default() },
        ] {
            assert_eq!(code(bad), Some("E0723"));
        }
        let pattern = Selection { pattern: Some("{".to_owned()), ..Selection::default() };
        assert!(code(pattern).is_some_and(|code| code.starts_with("E11")));
    }

    #[test]
    fn the_words_name_every_condition_and_no_person() {
        let selection = Selection {
            invoice: Some("INV-7".to_owned()),
            person: Some("customer:c-4711".to_owned()),
            from: Some(UtcNanos(0)),
            types: vec!["a".to_owned(), "b".to_owned(), "c".to_owned()],
            last: Some(5),
            ..Selection::default()
        };
        let words = "the newest 5 events of invoice INV-7 about one person of type a or 2 more accepted from \
                     1970-01-01T00:00:00.000000000Z";
        assert_eq!(selection.words(), words);
    }

    #[test]
    fn a_reason_that_names_the_person_is_refused() {
        let selection = Selection { person: Some("customer:c-4711".to_owned()), ..Selection::default() };
        let by = Actor::new("anna").unwrap();
        let asked = |reason: &str, reveal: Option<&str>| Asked {
            selection: selection.clone(),
            reason: reason.to_owned(),
            reveal: reveal.map(str::to_owned),
            despite_restriction: None,
            by: by.clone(),
        };
        let code = |asked: Asked| asked.check().err().map(|error| error.code());
        assert_eq!(code(asked("court order 5", Some("named in it"))), None);
        for (reason, reveal) in [
            ("", None),
            ("about C-4711", None),
            ("ok", Some("of customer:c-4711")),
            ("two\nlines", None),
            ("ok", Some(" ")),
        ] {
            assert_eq!(code(asked(reason, reveal)), Some("E0724"), "{reason:?} {reveal:?}");
        }
    }
}
