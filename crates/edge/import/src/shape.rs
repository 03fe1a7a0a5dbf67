//! A record's texts become one event; what is odd is marked in it and counted (`IMPORT-2`).
//!
//! Nothing is guessed: a text that does not read as what it should be stays beside it as `…_text`.
//! Not here: what a status or a stage means (`domains/invoices`).

use std::borrow::Cow;

use waag_model::event::{Data, Event};
use waag_model::limits::ATTRIBUTE_BYTES_MAX;
use waag_model::money::Currency;
use waag_model::value::{Object, Value};

use crate::amount::{NumberForm, minor_units};
use crate::hash::FileHash;
use crate::mapping::{Field, Mapping, Stage};
use crate::record::Record;
use crate::report::{Odd, Report};

/// Makes events of one file.
pub(crate) struct Shaper<'m> {
    mapping: &'m Mapping,
    id_prefix: String,
}

type Members = Vec<(Cow<'static, str>, Value<'static>)>;

/// An event in the making.
struct Draft<'m, 'r> {
    mapping: &'m Mapping,
    record: &'r Record,
    number: u64,
    report: &'r mut Report,
    data: Members,
    odd: Vec<Odd>,
}

impl<'m> Shaper<'m> {
    pub(crate) fn new(mapping: &'m Mapping, hash: FileHash) -> Self {
        Self { mapping, id_prefix: hash.id_prefix() }
    }

    /// The event of record number `number`.
    pub(crate) fn shape(&self, record: &Record, number: u64, report: &mut Report) -> Event<'static> {
        let mapping = self.mapping;
        let data = Vec::with_capacity(8);
        let mut draft = Draft { mapping, record, number, report, data, odd: Vec::new() };
        let subject = draft.invoice_id();
        let (stage, status) = draft.activity();
        draft.status(status);
        let time = draft.time();
        draft.money();
        draft.days();
        draft.texts();
        let id = draft.own_id().unwrap_or_else(|| format!("{}-{number}", self.id_prefix));
        draft.marks();
        let data = draft.data;
        *report.stages.entry(stage).or_default() += 1;
        let mut attributes: Members =
            vec![("datacontenttype".into(), Value::Text(Cow::Borrowed("application/json")))];
        attributes.extend(time.map(|time| (Cow::Borrowed("time"), Value::Text(Cow::Owned(time)))));
        Event {
            id: Cow::Owned(id),
            source: Cow::Owned(mapping.source.clone()),
            kind: Cow::Borrowed(stage.kind()),
            subject: subject.map(Cow::Owned),
            attributes: object(attributes),
            data: Data::Json(Value::Object(object(data))),
        }
    }
}

/// The names are the mapping's and differ; a name that came twice would leave all of them out, which tests would see.
fn object(members: Members) -> Object<'static> {
    Object::from_members(members).unwrap_or_default()
}

impl<'r> Draft<'_, 'r> {
    fn field(&self, field: Field) -> Option<&'r str> {
        let slot = self.mapping.fields.iter().position(|own| *own == field)?;
        self.record.get(slot)
    }

    fn is_number(&self, field: Field) -> bool {
        let slot = self.mapping.fields.iter().position(|own| *own == field);
        slot.is_some_and(|slot| self.record.is_number(slot))
    }

    fn has(&self, field: Field) -> bool {
        self.mapping.fields.contains(&field)
    }

    fn odd(&mut self, kind: Odd, what: &str) {
        self.odd.push(kind);
        self.report.odd(kind, self.number, self.record.line, what);
    }

    fn text(&mut self, name: &'static str, text: &str) {
        self.data.push((Cow::Borrowed(name), Value::Text(Cow::Owned(text.to_owned()))));
    }

    fn invoice_id(&mut self) -> Option<String> {
        let Some(id) = self.field(Field::InvoiceId) else {
            self.odd(Odd::MissingInvoiceId, "");
            return None;
        };
        self.text("invoice_id", id);
        if is_attribute(id) {
            Some(id.to_owned())
        } else {
            self.odd(Odd::BadInvoiceId, id);
            None
        }
    }

    /// The stage, and the status that the activity brings.
    fn activity(&mut self) -> (Stage, Option<String>) {
        let Some(activity) = self.field(Field::Activity) else {
            if self.has(Field::Activity) {
                self.odd(Odd::MissingActivity, "");
            }
            return (self.mapping.unmapped, None);
        };
        self.text("activity", activity);
        if let Some(known) = self.mapping.activities.get(activity) {
            return (known.stage, known.status.clone());
        }
        self.odd(Odd::UnmappedActivity, activity);
        self.report.unmapped(activity);
        (self.mapping.unmapped, None)
    }

    /// The log's own status counts more than the one its activity brings.
    fn status(&mut self, of_activity: Option<String>) {
        let Some(word) = self.field(Field::Status) else {
            if let Some(status) = of_activity {
                self.text("status", &status);
            }
            return;
        };
        let statuses = &self.mapping.statuses;
        match statuses.get(word) {
            Some(status) => self.text("status", status),
            None => {
                if !statuses.is_empty() {
                    self.odd(Odd::UnmappedStatus, word);
                }
                self.text("status", word);
            }
        }
    }

    fn time(&mut self) -> Option<String> {
        let Some(text) = self.field(Field::Time) else {
            if self.has(Field::Time) {
                self.odd(Odd::MissingTime, "");
            }
            return None;
        };
        let Some(moment) = self.mapping.time.moment(text, self.mapping.zone_minutes) else {
            self.odd(Odd::BadTime, text);
            self.text("time_text", text);
            return None;
        };
        if self.mapping.earliest_seconds.is_some_and(|earliest| moment.seconds < earliest) {
            self.odd(Odd::TimeTooEarly, text);
        }
        if self.mapping.latest_seconds.is_some_and(|latest| moment.seconds >= latest) {
            self.odd(Odd::TimeTooLate, text);
        }
        Some(moment.text.into_owned())
    }

    fn money(&mut self) {
        let code = self.field(Field::Currency).map(str::to_ascii_uppercase);
        let code = code.or_else(|| self.mapping.currency.clone());
        let currency = code.as_deref().and_then(Currency::of);
        if let (Some(code), None) = (&code, currency) {
            self.odd(Odd::BadCurrency, code);
            self.text("currency_text", code);
        }
        if let Some(amount) = self.field(Field::Amount) {
            let form = if self.is_number(Field::Amount) { NumberForm::JSON } else { self.mapping.numbers };
            let units = currency.and_then(|currency| minor_units(amount, currency, form));
            match units {
                Some(units) => self.data.push(("amount_minor".into(), Value::Integer(units.into()))),
                None => {
                    self.odd(Odd::BadAmount, amount);
                    self.text("amount_text", amount);
                }
            }
        }
        if let Some(currency) = currency {
            self.text("currency", currency.code());
        }
    }

    fn days(&mut self) {
        for (field, name, text_name) in [
            (Field::InvoiceDate, "invoice_date", "invoice_date_text"),
            (Field::DueDate, "due_date", "due_date_text"),
        ] {
            let Some(text) = self.field(field) else { continue };
            match self.mapping.day.day(text) {
                Some(day) => self.text(name, &day),
                None => {
                    self.odd(Odd::BadDay, text);
                    self.text(text_name, text);
                }
            }
        }
    }

    fn texts(&mut self) {
        for (at, name) in self.mapping.names.iter().enumerate() {
            if let Some(text) = self.field(Field::Text(at)) {
                self.data.push((Cow::Owned(name.clone()), Value::Text(Cow::Owned(text.to_owned()))));
            }
        }
        for (name, value) in &self.mapping.constants {
            if !self.data.iter().any(|(own, _)| own == name) {
                self.text(name, value);
            }
        }
    }

    fn own_id(&mut self) -> Option<String> {
        if !self.has(Field::Id) {
            return None;
        }
        let id = self.field(Field::Id).unwrap_or_default();
        if is_attribute(id) {
            return Some(id.to_owned());
        }
        self.odd(Odd::MissingId, id);
        None
    }

    /// What is odd stands in the event itself, so that it is known wherever the event is read.
    fn marks(&mut self) {
        let record = self.record;
        for (is_so, kind) in [
            (record.replaced, Odd::BadText),
            (record.cut, Odd::LongText),
            (record.late_case, Odd::LateCaseValue),
        ] {
            if is_so {
                self.odd(kind, "");
            }
        }
        if !self.odd.is_empty() {
            let names = self.odd.iter().map(|odd| Value::Text(Cow::Borrowed(odd.name()))).collect();
            self.data.push((Cow::Borrowed("import_odd"), Value::Array(names)));
        }
    }
}

/// Whether a text can be an event's `id` or `subject` (CloudEvents 1.0.2 §3.1: no control or noncharacters).
fn is_attribute(text: &str) -> bool {
    let noncharacter = |c: char| matches!(u32::from(c), 0xfdd0..=0xfdef) || u32::from(c) & 0xfffe == 0xfffe;
    !text.is_empty()
        && text.len() <= ATTRIBUTE_BYTES_MAX
        && !text.chars().any(|c| c.is_control() || noncharacter(c))
}
