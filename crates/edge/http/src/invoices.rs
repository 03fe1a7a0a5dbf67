//! `POST /invoices/{stage}`: plain invoice JSON becomes an `invoice.*` event in the standard form.
//!
//! The event's `id` is the invoice's `id`, or is made from the `Idempotency-Key`, so that a retry after any crash finds
//! what was recorded; its `source` names the actor, so that it outlives the API key. Field names not in the standard form
//! are refused: a misspelt name would be a value that nobody sees.
//! Not here: the client's own names (`mapping`), checks of values (`validate`).

use std::borrow::Cow;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use serde_json::json;
use waag_cloudevents::{Items, is_attribute_text, is_timestamp, read_value};
use waag_invoices::event::{INVOICE_ID_BYTES_MAX, Stage};
use waag_model::event::{Data, Event};
use waag_model::money::Currency;
use waag_model::value::{Decimal, Object, Value};

use crate::fault::{Fault, Kind};
use crate::intake::{Source, Take};
use crate::mapping::Mapping;
use crate::validate::Validator;

/// The fields of the standard form.
pub const FIELDS: [&str; 16] = [
    "id",
    "invoice_id",
    "amount",
    "currency",
    "status",
    "time",
    "vendor",
    "payment_terms",
    "due_date",
    "region",
    "account",
    "vendor_class",
    "reference",
    "invoice_date",
    "touch",
    "exception",
];
/// Largest amount in major units, of either sign: in every currency 64 bits hold its minor units, as the figures do.
pub const AMOUNT_MAX: i64 = 922_337_203_685_477;

/// The schema of the standard form, JSON Schema 2020-12.
#[must_use]
pub fn schema() -> serde_json::Value {
    let text = |max: u32| json!({"type": "string", "minLength": 1, "maxLength": max});
    json!({
        "type": "object",
        "required": ["invoice_id", "amount", "currency", "status", "time"],
        "additionalProperties": false,
        "properties": {
            "id": text(200),
            "invoice_id": text(200),
            "amount": {
                "type": "number", "minimum": -AMOUNT_MAX, "maximum": AMOUNT_MAX,
                "description": "in units of the currency, with no more decimals than it has; digits are kept as written"
            },
            "currency": {"type": "string", "pattern": "^[A-Z]{3}$", "description": "ISO 4217"},
            "status": text(100),
            "time": {"type": "string", "maxLength": 64, "description": "RFC 3339 date-time"},
            "vendor": text(200),
            "payment_terms": text(200),
            "due_date": {"type": "string", "maxLength": 10, "description": "YYYY-MM-DD"},
            "region": text(100),
            "account": text(100),
            "vendor_class": text(100),
            "reference": text(200),
            "invoice_date": {"type": "string", "maxLength": 10, "description": "YYYY-MM-DD"},
            "touch": {"enum": ["manual", "auto"], "description": "who acted: a person, or nobody"},
            "exception": {
                "type": ["string", "boolean"], "minLength": 1, "maxLength": 200,
                "description": "what went wrong, or that something did"
            }
        }
    })
}

fn validator() -> Option<&'static Validator> {
    static VALIDATOR: OnceLock<Option<Validator>> = OnceLock::new();
    VALIDATOR.get_or_init(|| Validator::compile(&schema()).ok()).as_ref()
}

/// How invoices become events.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) stage: Stage,
    pub(crate) mapping: Option<Arc<Mapping>>,
    /// Whence an event without an `id` gets one.
    pub(crate) idempotency_key: Option<String>,
    /// The event's source.
    pub(crate) source: String,
}

/// Which invoices of a request got their `id` from its `Idempotency-Key` and no other key's, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct IdsMade(Arc<Mutex<Vec<bool>>>);

impl IdsMade {
    fn begin(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn next(&self, is_made: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(is_made);
    }

    pub(crate) fn of(&self, index: usize) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(index).is_some_and(|is_made| *is_made)
    }
}

/// Invoices of one request: one object, or an array of them.
pub(crate) struct Invoices {
    pub(crate) form: Form,
    pub(crate) body: Bytes,
    pub(crate) ids_made: IdsMade,
}

impl Invoices {
    fn event<'b>(&self, bytes: &'b [u8], index: Option<usize>) -> Result<Event<'b>, Fault> {
        let event = self.form.event(bytes, index);
        let made = self.form.id_made(index);
        let is_made = event.as_ref().is_ok_and(|event| made.as_deref() == Some(event.id.as_ref()));
        // What stands under such an id may as well be of a list under another key: this one need not be used before.
        let is_ambiguous = index.is_none() && made.as_deref().is_some_and(is_like_of_list);
        self.ids_made.next(is_made && !is_ambiguous);
        event
    }
}

/// Whether an id has the form of those that [`Form::id_made`] makes for a list: a key, a slash, a number.
fn is_like_of_list(id: &str) -> bool {
    let number = id.rsplit_once('/').map(|(_, number)| number);
    number.is_some_and(|number| number.parse().is_ok_and(|index: usize| index.to_string() == number))
}

/// Why a text cannot be the id of a notification or an invoice, beyond its length. Ids become the event's `id` and
/// `subject`, which have no control characters (CloudEvents §3.1), and names on pages, which are to be seen.
fn no_id(text: &str) -> Option<&'static str> {
    if !is_attribute_text(text) {
        Some("has a control character, or one that is none")
    } else if !text.is_empty() && text.chars().all(char::is_whitespace) {
        Some("has white space only")
    } else {
        None
    }
}

/// An invoice's id that the figures could not take, since they know ids by their bytes: its money would be left out.
fn id_fault(value: &Value<'_>) -> Option<Fault> {
    let id = value.child("invoice_id")?.as_text()?;
    let why = format!("is longer than {INVOICE_ID_BYTES_MAX} bytes of UTF-8");
    (id.len() > INVOICE_ID_BYTES_MAX).then(|| Fault::of(Kind::Schema(why)).at("/invoice_id"))
}

/// What of an amount the figures would drop: nobody would see that the money is missing.
fn money_fault(value: &Value<'_>) -> Option<Fault> {
    let code = value.child("currency")?.as_text()?;
    let Some(currency) = Currency::of(code) else {
        let is_code = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase());
        let fault = Fault::of(Kind::Schema("is no active code of ISO 4217".to_owned())).at("/currency");
        // Any other text breaks the pattern, and has been told.
        return is_code.then_some(fault);
    };
    let Value::Decimal(amount) = value.child("amount")? else { return None };
    let mut digits = *amount;
    while digits.exponent < 0 && digits.significand % 10 == 0 {
        digits = Decimal { significand: digits.significand / 10, exponent: digits.exponent + 1 };
    }
    let places = currency.exponent();
    (digits.exponent < -i32::from(places)).then(|| {
        let why = format!("has more decimals than its currency: at most {places}");
        Fault::of(Kind::Schema(why)).at("/amount")
    })
}

/// Whether a body is an array.
pub(crate) fn is_array(body: &[u8]) -> bool {
    body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
}

/// The source of an actor's invoices: a URI reference (RFC 3986 §3.3) whatever its name has.
pub(crate) fn source_of(actor: &str) -> String {
    let mut source = "/invoices/".to_owned();
    for byte in actor.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            source.push(char::from(byte));
        } else {
            source.push_str(&format!("%{byte:02X}"));
        }
    }
    source
}

impl Source for Invoices {
    fn each(&self, take: &mut Take<'_>) -> Result<(), Fault> {
        self.ids_made.begin();
        if !is_array(&self.body) {
            let _one = take(self.event(&self.body, None));
            return Ok(());
        }
        let mut items = Items::new(&self.body)?;
        let mut whole = items.clone();
        while whole.next_item()?.is_some() {}
        let mut index = 0_usize;
        while let Some(item) = items.next_item()? {
            if take(self.event(item.bytes, Some(index))).is_break() {
                break;
            }
            index += 1;
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.body.len()
    }

    fn events_hint(&self) -> usize {
        if is_array(&self.body) { self.body.len() / 256 + 1 } else { 1 }
    }
}

impl Form {
    /// The event of one invoice.
    ///
    /// # Errors
    /// [`Fault`] with every fault of it, at the client's own paths.
    pub(crate) fn event<'b>(&self, bytes: &'b [u8], index: Option<usize>) -> Result<Event<'b>, Fault> {
        let value = read_value(bytes)?;
        let Value::Object(_) = &value else { return Err(Fault::of(Kind::NotAnInvoice)) };
        let value = match &self.mapping {
            Some(mapping) => mapping.apply(&value),
            None => value,
        };
        let mut faults = self.faults(&value);
        if let Some(mapping) = &self.mapping {
            faults = faults.into_iter().map(|fault| mapping.path_of(fault)).collect();
        }
        if let Some(fault) = Fault::all(faults) {
            return Err(fault);
        }
        let text = |name: &str| value.child(name).and_then(Value::as_text).map(str::to_owned);
        let id = text("id").or_else(|| self.id_made(index));
        let id = id.ok_or_else(|| Fault::of(Kind::IdempotencyMissing))?;
        if !is_attribute_text(&id) {
            return Err(Fault::of(Kind::IdempotencyForm));
        }
        let (subject, time) = (text("invoice_id"), text("time").unwrap_or_default());
        let attributes = vec![
            (Cow::Borrowed("time"), Value::Text(Cow::Owned(time))),
            (Cow::Borrowed("datacontenttype"), Value::Text(Cow::Borrowed("application/json"))),
        ];
        let Value::Object(object) = value else { return Err(Fault::of(Kind::NotAnInvoice)) };
        let data = object.members().iter().filter(|(name, _)| name != "id").cloned().collect();
        let unique = |_| Fault::of(Kind::NotAnInvoice);
        Ok(Event {
            id: Cow::Owned(id),
            source: Cow::Owned(self.source.clone()),
            kind: Cow::Borrowed(self.stage.kind()),
            subject: subject.map(Cow::Owned),
            attributes: Object::from_members(attributes).map_err(unique)?,
            data: Data::Json(Value::Object(Object::from_members(data).map_err(unique)?)),
        })
    }

    /// The `id` of an invoice that has none of its own.
    fn id_made(&self, index: Option<usize>) -> Option<String> {
        let key = self.idempotency_key.as_ref()?;
        Some(index.map_or_else(|| key.clone(), |index| format!("{key}/{index}")))
    }

    fn faults(&self, value: &Value<'_>) -> Vec<Fault> {
        let mut faults = match validator() {
            Some(validator) => validator.faults(value, ""),
            None => vec![Fault::of(Kind::NotAnInvoice)],
        };
        if value.child("time").and_then(Value::as_text).is_some_and(|time| !is_timestamp(time)) {
            faults.push(Fault::of(Kind::Time("RFC 3339 date-time")).at("/time"));
        }
        for (name, path) in [("id", "/id"), ("invoice_id", "/invoice_id")] {
            let text = value.child(name).and_then(Value::as_text);
            if let Some(why) = text.and_then(no_id) {
                faults.push(Fault::of(Kind::Schema(why.to_owned())).at(path));
            }
        }
        let is_date = |date: &str| is_timestamp(&format!("{date}T00:00:00Z"));
        for (name, path) in [("due_date", "/due_date"), ("invoice_date", "/invoice_date")] {
            if value.child(name).and_then(Value::as_text).is_some_and(|date| !is_date(date)) {
                faults.push(Fault::of(Kind::Time("date of the form YYYY-MM-DD")).at(path));
            }
        }
        faults.extend(id_fault(value));
        faults.extend(money_fault(value));
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(mapping: Option<&str>) -> Form {
        Form {
            stage: Stage::Posting,
            mapping: mapping.map(|text| Arc::new(Mapping::read(text.as_bytes()).unwrap())),
            idempotency_key: Some("k1".to_owned()),
            source: source_of("erp 1"),
        }
    }

    fn paths(form: &Form, body: &str) -> Vec<String> {
        let fault = form.event(body.as_bytes(), None).unwrap_err();
        std::iter::once(fault.path.clone()).chain(fault.also.into_iter().map(|fault| fault.path)).collect()
    }

    const INVOICE: &str = r#"{"invoice_id":"I-1","amount":12.50,"currency":"EUR","status":"posted","time":"2026-11-21T08:00:00Z","due_date":"2026-12-01"}"#;

    #[test]
    fn an_invoice_becomes_an_event_and_keeps_its_digits() {
        let event = form(None).event(INVOICE.as_bytes(), Some(3)).unwrap();
        let mut out = Vec::new();
        waag_cloudevents::write_event(&event, &mut out);
        // What the strict reader gives back is the same event.
        assert_eq!(waag_cloudevents::read_event(&out).unwrap(), event);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(
            r#""id":"k1/3","source":"/invoices/erp%201","type":"invoice.posting","subject":"I-1""#
        ));
        assert!(text.contains(r#""amount":12.50"#), "{text}");
    }

    #[test]
    fn what_the_figures_read_can_be_told() {
        let more = r#","vendor_class":"C","reference":"R-1","invoice_date":"2026-11-20","touch":"manual","exception":true}"#;
        let body = INVOICE.replace('}', more);
        let event = form(None).event(body.as_bytes(), None).unwrap();
        let mut out = Vec::new();
        waag_cloudevents::write_event(&event, &mut out);
        let told: serde_json::Value = serde_json::from_slice(&out).unwrap();
        for (name, value) in serde_json::from_str::<serde_json::Value>(&body).unwrap().as_object().unwrap() {
            assert_eq!(&told["data"][name], value, "{name}");
        }
        for (from, to, path) in [
            ("\"manual\"", "\"both\"", "/touch"),
            ("true", "1", "/exception"),
            ("true", "\"\"", "/exception"),
            ("2026-11-20", "2026-11-31", "/invoice_date"),
            ("R-1", &"r".repeat(201), "/reference"),
            ("\"C\"", "7", "/vendor_class"),
        ] {
            assert_eq!(paths(&form(None), &body.replace(from, to)), [path], "{to}");
        }
        assert!(form(None).event(body.replace("true", "\"no order\"").as_bytes(), None).is_ok());
        let text =
            form(None).event(body.replace("touch", "touched").as_bytes(), None).unwrap_err().to_string();
        let [first, last] = ["`account`, `amount`", "`vendor_class`"];
        assert!(text.contains(first) && text.ends_with(last), "{text}");
        assert!(FIELDS.iter().all(|field| text.contains(&format!("`{field}`"))), "{text}");
    }

    #[test]
    fn money_that_the_figures_would_drop_is_refused() {
        let paths_of = |amount: &str, currency: &str| {
            let body = INVOICE.replace("12.50", amount).replace("EUR", currency);
            form(None).event(body.as_bytes(), None).map_or_else(|fault| fault.path, |_| "taken".to_owned())
        };
        let most = AMOUNT_MAX.to_string();
        for (amount, currency, told) in [
            ("12.50", "EUR", "taken"),
            ("12.500", "EUR", "taken"),
            ("12.505", "EUR", "/amount"),
            ("1e-3", "EUR", "/amount"),
            ("-0.001", "EUR", "/amount"),
            ("0.0000", "JPY", "taken"),
            ("1250.0", "JPY", "taken"),
            ("1250.5", "JPY", "/amount"),
            ("1.234", "BHD", "taken"),
            ("1.2345", "BHD", "/amount"),
            ("1.2345", "CLF", "taken"),
            ("125e1", "JPY", "taken"),
            (&most, "EUR", "taken"),
            (&most, "CLF", "taken"),
            (&format!("-{most}"), "CLF", "taken"),
            (&format!("{most}.01"), "EUR", "/amount"),
            ("1e15", "EUR", "/amount"),
            ("1e300", "JPY", "/amount"),
            ("1", "XXQ", "/currency"),
            ("1", "XAU", "/currency"),
            ("1", "eur", "/currency"),
        ] {
            assert_eq!(paths_of(amount, currency), told, "{amount} {currency}");
        }
        // What is taken is what the figures read.
        for currency in ["EUR", "JPY", "BHD", "CLF"].map(|code| Currency::of(code).unwrap()) {
            for significand in [AMOUNT_MAX, -AMOUNT_MAX] {
                let amount = Decimal { significand: significand.into(), exponent: 0 };
                let money = waag_model::money::Money::from_major(amount, currency).unwrap();
                assert!(!money.stored().1, "{currency}");
            }
        }
    }

    #[test]
    fn an_id_can_be_seen_and_one_that_is_made_is_held_to_what_told_ones_are() {
        for (id, path) in [("  ", "/invoice_id"), ("\u{a0}\u{3000}", "/invoice_id")] {
            assert_eq!(paths(&form(None), &INVOICE.replace("I-1", id)), [path], "{id:?}");
            let own = INVOICE.replacen('{', &format!("{{\"id\":\"{id}\","), 1);
            assert_eq!(paths(&form(None), &own), ["/id"], "{id:?}");
        }
        assert!(form(None).event(INVOICE.replace("I-1", " I 1").as_bytes(), None).is_ok());
        // The figures know an id by its bytes.
        let of = |letters| INVOICE.replace("I-1", &"é".repeat(letters));
        assert!(form(None).event(of(127).as_bytes(), None).is_ok());
        for letters in [128, 200] {
            assert_eq!(paths(&form(None), &of(letters)), ["/invoice_id"], "{letters}");
        }
        for key in ["a\tb", "a\u{7f}"] {
            let form = Form { idempotency_key: Some(key.to_owned()), ..form(None) };
            assert_eq!(form.event(INVOICE.as_bytes(), None).unwrap_err().kind, Kind::IdempotencyForm);
        }
    }

    #[test]
    fn an_id_of_a_list_is_known_by_its_form() {
        let of_list = form(None).id_made(Some(12)).unwrap();
        assert!(is_like_of_list(&of_list) && is_like_of_list("a/b/0"));
        for other in ["k1", "k1/", "k1/01", "k1/+1", "k1/-1", "k1/x", "7"] {
            assert!(!is_like_of_list(other), "{other}");
        }
    }

    #[test]
    fn every_fault_has_its_path() {
        let bad = r#"{"invoice_id":"","amount":"1","currency":"eur","time":"yesterday","due_date":"2026-02-30","x":1}"#;
        let want = ["", "/invoice_id", "/amount", "/currency", "/x", "/time", "/due_date"];
        let mut got = paths(&form(None), bad);
        got.sort();
        let mut want = want.map(str::to_owned).to_vec();
        want.sort();
        assert_eq!(got, want);
        assert_eq!(form(None).event(b"[]", None).unwrap_err().kind, Kind::NotAnInvoice);
        let without = Form { idempotency_key: None, ..form(None) };
        assert_eq!(without.event(INVOICE.as_bytes(), None).unwrap_err().kind, Kind::IdempotencyMissing);
    }

    #[test]
    fn a_mapping_finds_the_clients_own_names_and_faults_name_them() {
        let mapping = r#"{"fields":{"invoice_id":"/Doc/No","amount":"/Doc/Sum/0","status":"/State","time":"/At","currency":"/a~1b"}}"#;
        let body = r#"{"Doc":{"No":"I-2","Sum":[5]},"State":"ok","At":"2026-11-21T08:00:00Z","a/b":"USD","ignored":1}"#;
        let event = form(Some(mapping)).event(body.as_bytes(), None).unwrap();
        assert_eq!((event.id.as_ref(), event.subject.as_deref()), ("k1", Some("I-2")));
        assert_eq!(paths(&form(Some(mapping)), &body.replace("[5]", "[\"5\"]")), ["/Doc/Sum/0"]);
        // A field that is not there is told where it was looked for, and as it is called there.
        let lacking = r#"{"Doc":{"Sum":[]},"State":"ok","At":"2026-11-21T08:00:00Z"}"#;
        assert_eq!(paths(&form(Some(mapping)), lacking), ["/Doc/No", "/Doc/Sum/0", "/a~1b"]);
        let fault = form(Some(mapping)).event(lacking.as_bytes(), None).unwrap_err();
        assert_eq!(fault.to_string(), "is not there, where `invoice_id` is taken from");
        // One that the mapping has no place for is missing from the whole.
        let without = mapping.replace(r#","currency":"/a~1b""#, "");
        let fault = form(Some(&without)).event(body.as_bytes(), None).unwrap_err();
        assert_eq!((fault.path.as_str(), fault.to_string().as_str()), ("", "has no `currency`"));
        for bad in ["{}", r#"{"fields":{"nothing":"/a"}}"#, r#"{"fields":{"amount":"a"}}"#, r#"{"x":1}"#] {
            assert_eq!(Mapping::read(bad.as_bytes()).unwrap_err().kind.code(), "E0933", "{bad}");
        }
    }
}
