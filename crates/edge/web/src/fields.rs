//! How the values of an invoice's event read: members that have a meaning by their words, amounts as money, dates as
//! dates. The member's own name and what was told stay in the title.
//!
//! Not here: what the members mean (`domains/invoices`), the fields of other events, which stay as they were told.

use waag_invoices::event::{Stage, TYPES};
use waag_invoices::when;
use waag_model::money::{Currency, Money};
use waag_model::time::UtcDay;
use waag_model::value::Decimal;

use crate::format::{self, Html, escaped};
use crate::model::Amount;
use crate::ports::{Field, Recorded, Shown};
use crate::why;

/// Members of an invoice's event that have a meaning, and their words, in the order that people read them in.
const WORDS: [(&str, &str); 24] = [
    ("status", "Status"),
    ("activity", "Activity"),
    ("exception", "Exception"),
    ("reason", "Reason"),
    ("amount_minor", "Amount"),
    ("amount", "Amount"),
    ("currency", "Currency"),
    ("due_date", "Due date"),
    ("invoice_date", "Invoice date"),
    ("vendor", "Vendor"),
    ("vendor_class", "Vendor class"),
    ("reference", "Vendor's reference"),
    ("payment_terms", "Payment terms"),
    ("region", "Region"),
    ("account", "Account"),
    ("touch", "Touch"),
    ("import_odd", "Odd at import"),
    ("status_text", "Status as it stood"),
    ("time_text", "Time as it stood"),
    ("amount_text", "Amount as it stood"),
    ("currency_text", "Currency as it stood"),
    ("due_date_text", "Due date as it stood"),
    ("invoice_date_text", "Invoice date as it stood"),
    ("invoice_id", "Invoice"),
];

/// What an event says of itself that its fields are read by.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    /// Whether it is an invoice's.
    is_known: bool,
    currency: Option<&'a str>,
    has_amount: bool,
}

/// A member's text, where all of it may be shown.
fn plain<'a>(event: &'a Recorded, name: &str) -> Option<&'a str> {
    event.fields.iter().find(|field| field.path == name).and_then(|field| match &field.shown {
        Shown::Plain(text) => Some(text.as_str()),
        Shown::Masked(_) | Shown::Erased => None,
    })
}

/// What an event did, as its heading: `Reconciliation: mismatch`; the last part of another event's type.
pub(crate) fn heading(event: &Recorded) -> String {
    let stage = event.kind.strip_prefix(TYPES).and_then(Stage::of_name);
    let Some(stage) = stage else {
        let last = event.kind.rsplit_once('.').map_or(event.kind.as_str(), |(_, last)| last);
        return why::sentence(&why::words(last));
    };
    match plain(event, "status").filter(|status| !status.is_empty()) {
        Some(status) => format!("{}: {}", format::stage(&stage), why::words(status)),
        None => format::stage(&stage).to_owned(),
    }
}

impl<'a> Reading<'a> {
    pub(crate) fn of(event: &'a Recorded) -> Self {
        let currency = plain(event, "currency").filter(|code| Currency::of(code).is_some());
        let mut reading = Self { is_known: event.kind.starts_with(TYPES), currency, has_amount: false };
        reading.has_amount = event.fields.iter().any(|field| reading.amount(field).is_some());
        reading
    }

    /// A field's words, and its own name where they are others.
    pub(crate) fn name(self, field: &Field) -> Option<&'static str> {
        let begin = field.path.split_once('.').map_or(field.path.as_str(), |(begin, _)| begin);
        // Of a list each value is one; what stands in an object keeps its path, which says where.
        let is_listed = begin == field.path || begin == "import_odd";
        let word = WORDS.iter().find(|(name, _)| *name == begin).map(|(_, word)| *word);
        let is_bare = field.path == "amount_minor" && self.currency.is_none();
        word.filter(|_| self.is_known && is_listed)
            .map(|word| if is_bare { "Amount in minor units" } else { word })
    }

    /// A field's place among those of its event: known members first, in the order of their words.
    pub(crate) fn place(self, field: &Field) -> usize {
        let begin = field.path.split_once('.').map_or(field.path.as_str(), |(begin, _)| begin);
        let place = WORDS.iter().position(|(name, _)| *name == begin).filter(|_| self.is_known);
        place.unwrap_or(WORDS.len())
    }

    /// Whether a field is told with another one: the currency, beside its amount.
    pub(crate) fn is_told_elsewhere(self, field: &Field) -> bool {
        self.is_known && self.has_amount && self.currency.is_some() && field.path == "currency"
    }

    /// A value as it reads; none where it reads as it was told.
    pub(crate) fn value(self, field: &Field) -> Option<Html> {
        let Shown::Plain(text) = &field.shown else { return None };
        if !self.is_known {
            return None;
        }
        if let Some(amount) = self.amount(field) {
            return Some(titled(&field.path, text, &format::money(&amount).0));
        }
        match field.path.as_str() {
            "due_date" | "invoice_date" => {
                let day = UtcDay(when::day(text)?);
                Some(titled(&field.path, text, &format!("<time datetime=\"{day}\">{day}</time>")))
            }
            "exception" | "reason" | "status" => {
                let words = why::words(text);
                (words != *text).then(|| titled(&field.path, text, &escaped(&words)))
            }
            path if path.starts_with("import_odd.") => Some(titled(path, text, &escaped(&why::words(text)))),
            _ => None,
        }
    }

    /// An amount of a currency that is known.
    fn amount(self, field: &Field) -> Option<Amount> {
        let (Shown::Plain(text), Some(code)) = (&field.shown, self.currency) else { return None };
        let currency = Currency::of(code)?;
        let minor = match field.path.as_str() {
            "amount_minor" => text.parse().ok()?,
            "amount" => Money::from_major(decimal(text)?, currency)?.minor,
            _ => return None,
        };
        Some(Amount { minor, currency: code.to_owned(), exponent: currency.exponent() })
    }
}

/// A number as the house tells one: `12`, or `125e-1`.
fn decimal(text: &str) -> Option<Decimal> {
    let (significand, exponent) = text.split_once('e').unwrap_or((text, "0"));
    Some(Decimal { significand: significand.parse().ok()?, exponent: exponent.parse().ok()? })
}

fn titled(name: &str, told: &str, html: &str) -> Html {
    Html(format!("<span title=\"{}: {}\">{html}</span>", escaped(name), escaped(told)))
}

#[cfg(test)]
mod tests {
    use waag_ledger::hash::leaf_hash;
    use waag_model::ids::Position;
    use waag_model::time::UtcNanos;

    use super::*;

    fn event(kind: &str, fields: &[(&str, &str)]) -> Recorded {
        let field = |(path, text): &(&str, &str)| Field {
            path: (*path).to_owned(),
            shown: if *text == "masked" {
                Shown::Masked("4300".to_owned())
            } else {
                Shown::Plain((*text).to_owned())
            },
        };
        Recorded {
            position: Position(1),
            leaf: leaf_hash(b""),
            kind: kind.to_owned(),
            id: None,
            source: None,
            happened: None,
            accepted: UtcNanos(0),
            committed: UtcNanos(0),
            actor: None,
            fields: fields.iter().map(field).collect(),
        }
    }

    #[test]
    fn a_heading_says_what_the_event_did() {
        for (kind, fields, said) in [
            ("invoice.posting", &[("status", "cleared")][..], "Posting: cleared"),
            ("invoice.reconciliation", &[("status", "price_mismatch")], "Reconciliation: price mismatch"),
            ("invoice.ingestion", &[], "Ingestion"),
            ("invoice.ingestion", &[("status", "masked")], "Ingestion"),
            ("invoice.lunch", &[("status", "cleared")], "Lunch"),
            ("waag.dead-letter.discarded", &[], "Discarded"),
            ("", &[], ""),
        ] {
            assert_eq!(heading(&event(kind, fields)), said);
        }
    }

    #[test]
    fn an_amount_reads_as_money_where_its_currency_is_known() {
        let read = |fields: &[(&str, &str)], at: usize| {
            let event = event("invoice.ingestion", fields);
            let (reading, field) = (Reading::of(&event), &event.fields[at]);
            let value = reading.value(field).map(|html| html.0);
            (reading.name(field), value, reading.is_told_elsewhere(field))
        };
        let told = [("amount_minor", "125000"), ("currency", "KWD")];
        let (name, value, _) = read(&told, 0);
        assert_eq!(name, Some("Amount"));
        assert!(
            value.unwrap().starts_with("<span title=\"amount_minor: 125000\"><span class=\"money\">125.000 ")
        );
        assert!(read(&told, 1).2, "the currency stands beside the amount");
        let major = read(&[("amount", "125e-1"), ("currency", "EUR")], 0).1.unwrap();
        assert!(major.contains("12.50 "), "{major}");
        // What cannot be read is shown as it was told.
        for fields in [
            [("amount_minor", "125000"), ("currency", "XXY")],
            [("amount_minor", "many"), ("currency", "EUR")],
            [("amount", "1e-9"), ("currency", "EUR")],
            [("amount_minor", "masked"), ("currency", "EUR")],
        ] {
            assert_eq!(read(&fields, 0).1, None, "{fields:?}");
            assert!(!read(&fields, 1).2, "{fields:?}");
        }
        assert_eq!(read(&[("amount_minor", "1")], 0).0, Some("Amount in minor units"));
    }

    #[test]
    fn members_without_a_meaning_and_other_events_stay_as_they_were_told() {
        let told =
            event("invoice.ingestion", &[("contact.status", "x"), ("p0", "y"), ("due_date", "31.02.")]);
        let reading = Reading::of(&told);
        assert_eq!(
            told.fields.iter().map(|field| reading.name(field)).collect::<Vec<_>>(),
            [None, None, Some("Due date")]
        );
        assert!(told.fields.iter().all(|field| reading.value(field).is_none()));
        let other = event("payment.requested", &[("amount_minor", "1"), ("currency", "EUR")]);
        let reading = Reading::of(&other);
        assert_eq!((reading.name(&other.fields[0]), reading.value(&other.fields[0]).is_none()), (None, true));
        assert!(!reading.is_told_elsewhere(&other.fields[1]));
    }
}
