//! The schemas of what is told of the invoices' read model.
//!
//! They are of the domain's own answers: a test holds them against those, member by member, so that neither has more.
//! Times are nanoseconds since 1970, days are dates, money is minor units of a currency.

use serde_json::{Map, Value, json};
use waag_invoices::event::{ODDITIES, STAGES, Stage};
use waag_invoices::named::{LISTS, List};

fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

fn whole() -> Value {
    json!({"type": "integer"})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn yes_or_no() -> Value {
    json!({"type": "boolean"})
}

fn told(schema: Value, description: &str) -> Value {
    let mut schema = schema;
    if let Some(members) = schema.as_object_mut() {
        members.insert("description".to_owned(), json!(description));
    }
    schema
}

fn or_null(kind: &str, description: &str) -> Value {
    told(json!({"type": [kind, "null"]}), description)
}

fn time_or_null(description: &str) -> Value {
    or_null("integer", &format!("{description}: nanoseconds since 1970"))
}

fn date() -> Value {
    json!({"type": "string", "format": "date"})
}

fn stage() -> Value {
    json!({"enum": STAGES.map(Stage::name)})
}

fn of(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn list(name: &str) -> Value {
    json!({"type": "array", "items": of(name)})
}

fn or_none(name: &str) -> Value {
    json!({"anyOf": [of(name), {"type": "null"}]})
}

/// An object with these members, all of which are there but those whose names end with `?`.
fn object(members: &[(&str, Value)]) -> Value {
    let required: Vec<&str> =
        members.iter().map(|(name, _)| *name).filter(|name| !name.ends_with('?')).collect();
    let properties: Map<String, Value> = members
        .iter()
        .map(|(name, schema)| (name.trim_end_matches('?').to_owned(), schema.clone()))
        .collect();
    json!({"type": "object", "required": required, "properties": properties})
}

/// An answer: how fresh it is, and what it tells.
fn answer(members: &[(&str, Value)]) -> Value {
    let fresh = [
        ("projected", told(count(), "entries of the ledger that the read model had taken in")),
        ("at", told(whole(), "the time it is computed for: nanoseconds since 1970")),
    ];
    object(&[&fresh, members].concat())
}

fn next() -> Value {
    told(text(), "where there is more: `after` of the next page")
}

fn invoice() -> Value {
    let conditions = ["in_progress", "waiting", "failed", "blocked", "paid", "rejected"];
    object(&[
        ("id", text()),
        ("stage", stage()),
        ("since", time_or_null("since when it is in the stage")),
        ("condition", json!({"enum": conditions})),
        ("deadline", time_or_null("the end of the hour after which it is stuck")),
        ("stuck", yes_or_no()),
        ("amount_minor", or_null("integer", "minor units of its currency")),
        ("currency", or_null("string", "ISO 4217")),
        ("exponent", or_null("integer", "decimals of the minor unit")),
        ("due_date", or_null("string", "a date")),
        ("vendor", told(text(), "empty where it was not told")),
        ("vendor_class", told(text(), "empty where it was not told")),
        ("region", told(text(), "empty where it was not told")),
        ("received", time_or_null("when the vendor's invoice came")),
        ("approved", time_or_null("when its payment was approved, or when it was posted")),
        ("approval_told", told(yes_or_no(), "whether an event told of the approval")),
        ("closed", time_or_null("when it was paid or rejected")),
        ("exception", told(yes_or_no(), "whether something went wrong at some time")),
        ("manual", or_null("boolean", "whether a person acted; null where no event says")),
        ("duplicate", told(yes_or_no(), "whether it may be a duplicate of an earlier one")),
        ("loops", told(count(), "returns to a stage")),
        ("events", count()),
        ("visits", list("InvoiceVisit")),
    ])
}

/// Lists, and one invoice.
fn invoices() -> Vec<(&'static str, Value)> {
    let actions =
        ["enter", "receive", "leave", "approve", "fail", "block", "release", "pay", "reject", "reopen"];
    let position = || told(count(), "its place in the ledger");
    let lines = json!({"type": "array", "items": {"anyOf": [
        of("InvoiceState"), of("InvoiceDuplicate"), of("InvoiceOddity")
    ]}});
    let lines = told(lines, "invoices; in the lists of duplicates and of odd events those");
    let reasons = json!({"type": "array", "items": {"enum": ODDITIES.map(|reason| reason.name())}});
    vec![
        (
            "InvoiceList",
            answer(&[("list", json!({"enum": LISTS.map(List::name)})), ("lines", lines), ("next?", next())]),
        ),
        ("InvoiceLife", answer(&[("invoice", of("InvoiceLifecycle")), ("next?", next())])),
        ("InvoiceLifecycle", object(&[("state", of("InvoiceState")), ("steps", list("InvoiceStep"))])),
        ("InvoiceState", invoice()),
        (
            "InvoiceVisit",
            object(&[
                ("stage", stage()),
                ("entered", time_or_null("when it came into the stage")),
                ("left", time_or_null("when it left it")),
                ("visits", count()),
            ]),
        ),
        (
            "InvoiceStep",
            object(&[
                ("position", position()),
                (
                    "stage",
                    json!({"enum": STAGES.map(|stage| json!(stage.name())).into_iter().chain([Value::Null]).collect::<Vec<_>>()}),
                ),
                ("action", json!({"enum": actions})),
                ("at", told(whole(), "its time: nanoseconds since 1970")),
                ("marks", json!({"type": "array", "items": text()})),
            ]),
        ),
        (
            "InvoiceDuplicate",
            object(&[
                ("position", position()),
                ("invoice", told(text(), "the later invoice")),
                ("earlier", told(text(), "the earlier one with the same vendor, amount and currency")),
                ("alike", json!({"enum": ["reference", "date"]})),
                ("state", or_none("InvoiceState")),
            ]),
        ),
        (
            "InvoiceOddity",
            object(&[
                ("position", position()),
                ("reasons", reasons),
                ("invoice", or_null("string", "the invoice it names")),
                ("type", text()),
                ("state", or_none("InvoiceState")),
            ]),
        ),
    ]
}

fn totals() -> Value {
    let by =
        |description: &str| told(json!({"type": "object", "additionalProperties": count()}), description);
    object(&[
        ("events", count()),
        ("cases", told(count(), "invoices")),
        ("cleared", count()),
        ("rejected", count()),
        ("received_not_cleared", count()),
        ("approved_not_paid", count()),
        ("stuck", count()),
        ("odd", told(count(), "odd events")),
        ("odd_by_reason", by("odd events by reason")),
        ("duplicates", count()),
        ("by_stage", by("open invoices by stage")),
    ])
}

/// Totals and key figures.
fn figures() -> Vec<(&'static str, Value)> {
    let units = "hundredths of a percent or of a day, or minor units";
    vec![
        ("InvoiceTotals", answer(&[("totals", totals())])),
        (
            "InvoicePeriod",
            object(&[("days", count()), ("first", date()), ("last", told(date(), "the last day, included"))]),
        ),
        ("InvoiceFigures", answer(&[("period", of("InvoicePeriod")), ("figures", list("InvoiceFigure"))])),
        (
            "InvoiceFigure",
            object(&[
                ("name", text()),
                ("definition", text()),
                ("value", or_null("integer", units)),
                (
                    "seconds",
                    or_null("integer", "a mean of times, which hundredths of a day are too coarse for"),
                ),
                ("unit", json!({"enum": ["percent", "days", "money"]})),
                ("by_currency", list("InvoiceFigureOf")),
                ("of", told(count(), "invoices it was made of")),
                ("note", or_null("string", "why it cannot be computed, or what to keep in mind")),
            ]),
        ),
        (
            "InvoiceFigureOf",
            object(&[("currency", text()), ("value", told(whole(), units)), ("of", count())]),
        ),
    ]
}

/// Figures by bucket, stage and vendor.
fn parts() -> Vec<(&'static str, Value)> {
    let milliseconds = || told(count(), "milliseconds, within 1 %");
    vec![
        (
            "InvoiceSeries",
            answer(&[
                ("stage", stage()),
                ("grain", json!({"enum": ["minute", "hour", "day"]})),
                ("vendor?", text()),
                ("from", json!({"type": "string", "format": "date-time"})),
                ("to", json!({"type": "string", "format": "date-time"})),
                ("points", list("InvoicePoint")),
            ]),
        ),
        (
            "InvoicePoint",
            object(&[
                ("at", told(whole(), "the bucket's begin: nanoseconds since 1970")),
                ("events", count()),
                ("entered", told(count(), "entries into the stage")),
                ("failed", told(count(), "failures and holds")),
            ]),
        ),
        ("InvoiceTimes", answer(&[("period", of("InvoicePeriod")), ("times", list("InvoiceTime"))])),
        (
            "InvoiceTime",
            object(&[
                ("stage", stage()),
                ("region", text()),
                ("vendor_class", text()),
                ("count", told(count(), "visits")),
                ("p50_ms", milliseconds()),
                ("p95_ms", milliseconds()),
                ("p99_ms", milliseconds()),
            ]),
        ),
        ("InvoiceVendors", answer(&[("vendors", list("InvoiceVendor"))])),
        (
            "InvoiceVendor",
            object(&[("vendor", text()), ("total", of("InvoiceSum")), ("open", of("InvoiceSum"))]),
        ),
        (
            "InvoiceSum",
            object(&[
                ("currency", told(text(), "ISO 4217; empty where none was told")),
                ("exponent", told(count(), "decimals of the minor unit")),
                ("invoices", whole()),
                ("minor", told(whole(), "minor units, exact, perhaps beyond 64 bits")),
            ]),
        ),
    ]
}

/// What is outstanding.
fn cash() -> Vec<(&'static str, Value)> {
    let sum = |description: &str| told(of("InvoiceSum"), description);
    vec![
        (
            "InvoiceCash",
            answer(&[
                ("by", json!({"enum": ["day", "week"]})),
                ("from", date()),
                ("to", told(date(), "the day behind the last one asked for")),
                ("currencies", list("InvoiceCashOf")),
                ("without_value", of("InvoicesWithoutValue")),
            ]),
        ),
        (
            "InvoiceCashOf",
            object(&[
                ("outstanding", sum("all of it")),
                ("overdue", sum("of it, due before today")),
                ("week", sum("of it, due from today for seven days")),
                ("undated", sum("of it, without a due date")),
                ("before", sum("due before the first day asked for")),
                ("steps", list("InvoiceCashDue")),
                ("behind", sum("due behind the last day asked for")),
            ]),
        ),
        (
            "InvoiceCashDue",
            object(&[("day", told(date(), "the day, or the Monday of the week")), ("sum", of("InvoiceSum"))]),
        ),
        (
            "InvoicesWithoutValue",
            told(
                object(&[("invoices", count()), ("without_currency", count())]),
                "open invoices that were received and are in no sum: without an amount or a currency",
            ),
        ),
    ]
}

/// All of them.
pub(super) fn schemas() -> Map<String, Value> {
    let all = invoices().into_iter().chain(figures()).chain(parts()).chain(cash());
    all.map(|(name, schema)| (name.to_owned(), schema)).collect()
}
