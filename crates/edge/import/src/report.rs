//! What was odd about a file: kinds with counts, the first examples of each with their place.
//!
//! It always speaks of the whole file as far as it was read, also where an import was resumed in the middle.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::limits::{EXAMPLE_BYTES_MAX, EXAMPLES_MAX, UNMAPPED_NAMES_MAX};
use crate::mapping::Stage;

/// The kinds of oddity. None of them drops a record but `Unreadable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Odd {
    /// The record could not be taken apart, and is left out: the one oddity that gives no event.
    Unreadable,
    /// No id of an invoice or case; the event has no subject.
    MissingInvoiceId,
    /// An id of an invoice that cannot be a subject (control characters, over 1,024 bytes); it is kept in the data.
    BadInvoiceId,
    /// The log has ids of its own, and this record has none or one that cannot be used; it got one of the file.
    MissingId,
    /// No activity; the event's type is that of unmapped ones.
    MissingActivity,
    /// An activity that the mapping does not name.
    UnmappedActivity,
    /// A status word that the mapping does not name, where it names others; the word is kept.
    UnmappedStatus,
    /// No time.
    MissingTime,
    /// A time that is none; its text is kept in the data as `time_text`.
    BadTime,
    /// A time before the mapping's `earliest`; kept as it is.
    TimeTooEarly,
    /// A time after the mapping's `latest`; kept as it is.
    TimeTooLate,
    /// An amount that is none, has too many decimals, or lacks a currency; kept as `amount_text`.
    BadAmount,
    /// A currency that is no active code of ISO 4217; kept as `currency_text`.
    BadCurrency,
    /// An invoice date or a due date that is none; kept as `invoice_date_text` or `due_date_text`.
    BadDay,
    /// Bytes that are not of the encoding; they became U+FFFD.
    BadText,
    /// A text longer than is taken; it is cut.
    LongText,
    /// A value of the whole case that came after the case's first event; earlier events of the case lack it.
    LateCaseValue,
}

impl Odd {
    /// The name in reports and in an event's `import_odd`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::MissingInvoiceId => "missing_invoice_id",
            Self::BadInvoiceId => "bad_invoice_id",
            Self::MissingId => "missing_id",
            Self::MissingActivity => "missing_activity",
            Self::UnmappedActivity => "unmapped_activity",
            Self::UnmappedStatus => "unmapped_status",
            Self::MissingTime => "missing_time",
            Self::BadTime => "bad_time",
            Self::TimeTooEarly => "time_too_early",
            Self::TimeTooLate => "time_too_late",
            Self::BadAmount => "bad_amount",
            Self::BadCurrency => "bad_currency",
            Self::BadDay => "bad_day",
            Self::BadText => "bad_text",
            Self::LongText => "long_text",
            Self::LateCaseValue => "late_case_value",
        }
    }
}

/// One place where something was odd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Example {
    /// The record's number, counted from 1.
    pub record: u64,
    /// Its line in the unpacked text, counted from 1.
    pub line: u64,
    /// What was met there, cut to 128 bytes; it may be a person's, and is shown to who imports.
    pub what: String,
}

/// How often something was odd, and where first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OddCount {
    /// Records with this oddity.
    pub count: u64,
    /// The first of them, at most 200.
    pub first: Vec<Example>,
}

/// What is known of a file as far as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Records read.
    pub records: u64,
    /// Records that are events.
    pub events: u64,
    /// Records that could not be taken apart.
    pub left_out: u64,
    /// Traces of an XES log; `None` for other formats, which do not say where a case begins.
    pub cases: Option<u64>,
    /// Events by stage.
    pub stages: BTreeMap<Stage, u64>,
    /// What was odd.
    pub odd: BTreeMap<Odd, OddCount>,
    /// Unmapped activities by name, the first 256 names.
    pub unmapped: BTreeMap<String, u64>,
}

impl Report {
    pub(crate) fn odd(&mut self, kind: Odd, record: u64, line: u64, what: &str) {
        let counted = self.odd.entry(kind).or_default();
        counted.count += 1;
        if counted.first.len() < EXAMPLES_MAX {
            counted.first.push(Example { record, line, what: quoted(what) });
        }
    }

    pub(crate) fn unmapped(&mut self, activity: &str) {
        if let Some(count) = self.unmapped.get_mut(activity) {
            *count += 1;
        } else if self.unmapped.len() < UNMAPPED_NAMES_MAX {
            self.unmapped.insert(activity.to_owned(), 1);
        }
    }

    /// How many records have an oddity of this kind.
    #[must_use]
    pub fn count(&self, kind: Odd) -> u64 {
        self.odd.get(&kind).map_or(0, |odd| odd.count)
    }
}

/// A text cut at a character.
fn quoted(text: &str) -> String {
    let end = (0..=EXAMPLE_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_and_names_are_bounded_and_counts_are_not() {
        let mut report = Report::default();
        for record in 0..EXAMPLES_MAX as u64 + 1 {
            report.odd(Odd::BadTime, record, record, &"é".repeat(100));
        }
        let odd = &report.odd[&Odd::BadTime];
        assert_eq!((odd.count, odd.first.len()), (EXAMPLES_MAX as u64 + 1, EXAMPLES_MAX));
        assert_eq!(odd.first[0].what.len(), EXAMPLE_BYTES_MAX);
        for name in 0..UNMAPPED_NAMES_MAX + 1 {
            report.unmapped(&name.to_string());
        }
        report.unmapped("0");
        assert_eq!((report.unmapped.len(), report.unmapped["0"]), (UNMAPPED_NAMES_MAX, 2));
    }
}
