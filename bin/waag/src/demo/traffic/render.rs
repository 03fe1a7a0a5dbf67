//! A step of an invoice as a CloudEvents event, with the data that the invoice types have.
//!
//! Names of persons are made up from two short lists; their addresses end in `.example` (RFC 2606).

use std::borrow::Cow;

use waag_model::event::{Data, Event};
use waag_model::time::{UtcDay, UtcNanos};
use waag_model::value::{Object, Value};

use super::invoice::Invoice;
use super::life::{SECOND_SIGNATURE_MINOR, Step};
use super::noise::{self, Noise};

/// Receptions that name a person to ask, in a thousand.
const CONTACT_PERMILLE: u64 = 40;
const FIRST_NAMES: [&str; 12] =
    ["Anouk", "Bas", "Carla", "Daan", "Elif", "Femke", "Gijs", "Hanna", "Ivo", "Jana", "Koen", "Lotte"];
const LAST_NAMES: [&str; 12] = [
    "de Proef",
    "van Voorbeeld",
    "Muster",
    "Specimen",
    "Echantillon",
    "Prova",
    "Ejemplo",
    "Prøve",
    "Minta",
    "Vzor",
    "Esimerkki",
    "Naidis",
];
const EXCEPTIONS: [&str; 4] = ["price_variance", "quantity_variance", "missing_receipt", "unknown_order"];

type Members = Vec<(Cow<'static, str>, Value<'static>)>;

fn text(text: impl Into<Cow<'static, str>>) -> Value<'static> {
    Value::Text(text.into())
}

/// The type and the status of a step of this invoice.
fn words(invoice: &Invoice, step: Step) -> (&'static str, &'static str) {
    match step {
        Step::Receive => ("invoice.ingestion", "received"),
        Step::Match => ("invoice.reconciliation", "started"),
        Step::Agree => ("invoice.reconciliation", "matched"),
        Step::Fail => ("invoice.reconciliation", "mismatch"),
        Step::Rework => ("invoice.ingestion", "started"),
        // The workflow of large amounts has a word of its own, which nobody has mapped yet.
        Step::Wait if invoice.amount_minor >= SECOND_SIGNATURE_MINOR => {
            ("invoice.authorization", "awaiting_second_signature")
        }
        Step::Wait => ("invoice.authorization", "pending"),
        Step::Block => ("invoice.authorization", "blocked"),
        Step::Release => ("invoice.authorization", "released"),
        Step::Approve => ("invoice.authorization", "approved"),
        Step::Post => ("invoice.posting", "posted"),
        Step::Clear => ("invoice.posting", "cleared"),
        Step::Reject => ("invoice.reconciliation", "rejected"),
    }
}

/// The event of an invoice's step.
pub(super) fn event(
    noise: Noise,
    invoice: &Invoice,
    number: u8,
    step: Step,
    happened: UtcNanos,
) -> Event<'static> {
    let (kind, status) = words(invoice, step);
    let by_hand = match step {
        Step::Receive | Step::Match | Step::Agree => !invoice.is_touchless,
        Step::Post | Step::Clear | Step::Fail => false,
        Step::Approve => !invoice.is_touchless,
        Step::Rework | Step::Wait | Step::Block | Step::Release | Step::Reject => true,
    };
    let day = |day: i64| UtcDay(i32::try_from(day).unwrap_or(0)).to_string();
    let account = noise.between(invoice.number, noise::ACCOUNT, 4_000, 4_999);
    let mut data: Members = vec![
        ("invoice_id".into(), text(invoice.id())),
        ("status".into(), text(status)),
        ("vendor".into(), text(invoice.vendor.name())),
        ("vendor_class".into(), text(invoice.vendor.class.name)),
        ("amount_minor".into(), Value::Integer(invoice.amount_minor.into())),
        ("currency".into(), text(invoice.vendor.currency)),
        ("reference".into(), text(invoice.reference.clone())),
        ("invoice_date".into(), text(day(invoice.dated))),
        ("due_date".into(), text(day(invoice.due()))),
        ("payment_terms".into(), text(invoice.vendor.terms)),
        ("region".into(), text(invoice.region.name)),
        ("account".into(), text(account.to_string())),
        ("touch".into(), text(if by_hand { "manual" } else { "auto" })),
    ];
    if step == Step::Fail {
        let at = usize::try_from(noise.bits(invoice.number, noise::EXCEPTION + 4_096) % 4).unwrap_or(0);
        data.push(("exception".into(), text(EXCEPTIONS.get(at).copied().unwrap_or("unknown_order"))));
    }
    if step == Step::Receive && noise.permille(invoice.number, noise::CONTACT) < CONTACT_PERMILLE {
        data.push(("contact".into(), contact(noise, invoice.vendor.number)));
    }
    let attributes: Members = vec![
        ("time".into(), text(happened.to_string())),
        ("datacontenttype".into(), text("application/json")),
    ];
    Event {
        id: Cow::Owned(format!("{}-{number}", invoice.id())),
        source: Cow::Owned(format!("urn:waag:demo:{}", invoice.region.name)),
        kind: Cow::Borrowed(kind),
        subject: Some(Cow::Owned(invoice.id())),
        attributes: object(attributes),
        data: Data::Json(Value::Object(object(data))),
    }
}

/// The person at a vendor whom one asks: `id`, `name`, `email`.
fn contact(noise: Noise, vendor: u32) -> Value<'static> {
    let pick = |of: &[&'static str; 12], purpose| {
        let at = usize::try_from(noise.bits(vendor, noise::OF_VENDOR + purpose) % 12).unwrap_or(0);
        of.get(at).copied().unwrap_or("Anouk")
    };
    let (first, last) = (pick(&FIRST_NAMES, 10), pick(&LAST_NAMES, 11));
    Value::Object(object(vec![
        ("id".into(), text(format!("contact-{vendor:03}"))),
        ("name".into(), text(format!("{first} {last}"))),
        ("email".into(), text(format!("{}@vendor-{vendor:03}.example", first.to_lowercase()))),
    ]))
}

/// Its names differ, as everybody can see above; tests would see a body without members.
fn object(members: Members) -> Object<'static> {
    Object::from_members(members).unwrap_or_default()
}
