//! The schemas and headers of the OpenAPI document: what is taken, what is answered.
//!
//! Not here: the schema of invoices, by which they are checked (`invoices`); here it is told more closely, where the checks
//! are made in code.

use serde_json::{Map, Value, json};
use waag_model::limits::{
    ATTRIBUTE_BYTES_MAX, EXTENSION_NAME_BYTES_MAX, EXTENSIONS_MAX, SOURCE_BYTES_MAX, TYPE_BYTES_MAX,
};
use waag_model::money::Currency;

use crate::invoices::{self, FIELDS};
use crate::mapping::TEXT_CHARS_MAX;

/// `id`, `source`, `type`, `specversion`, `subject`, `time`, `datacontenttype`, `dataschema`, and one of two bodies.
const NAMED_MAX: usize = 9;
const URI_CHARS: &str = r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})";

/// White space that is no control character, as a set of a pattern has it (Unicode `White_Space`).
const WHITE_SPACE: &str = r" \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000";

/// The characters of an attribute's text (CloudEvents §3.1, String): no control characters, no noncharacters.
fn no_controls() -> String {
    let mut none = String::from(r"\u0000-\u001f\u007f-\u009f\ufdd0-\ufdef\ufffe\uffff");
    // Beyond the first plane the dialects of patterns have no escape in common, so the characters stand as they are.
    none.extend(
        (1..=16_u32)
            .flat_map(|plane| [0xfffe, 0xffff].map(|end| plane << 16 | end))
            .filter_map(char::from_u32),
    );
    none
}

fn text(chars_max: usize) -> Value {
    let pattern = format!("^[^{}]+$", no_controls());
    json!({"type": "string", "minLength": 1, "maxLength": chars_max, "pattern": pattern})
}

/// One that may be null, which is the same as not being there (CloudEvents JSON format §2.2).
fn optional(mut schema: Value) -> Value {
    if let Some(members) = schema.as_object_mut() {
        members.insert("type".to_owned(), json!(["string", "null"]));
    }
    schema
}

fn pattern(pattern: &str, chars_max: usize) -> Value {
    json!({"type": "string", "maxLength": chars_max, "pattern": pattern})
}

/// An event as it is taken, or as any was recorded, Waag's own included.
fn event(taken: bool) -> Value {
    let token = r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+";
    let media = format!("^{token}/{token} *(?:;[^{}]*)?$", no_controls());
    let base64 = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$";
    let mut kind = text(TYPE_BYTES_MAX);
    if let Some(kind) = kind.as_object_mut().filter(|_| taken) {
        kind.insert("not".to_owned(), json!({"pattern": r"^waag\."}));
        kind.insert("description".to_owned(), json!("types that begin with `waag.` are Waag's own"));
    }
    let named = format!("^(?:data_base64|[a-z0-9]{{1,{EXTENSION_NAME_BYTES_MAX}}})$");
    json!({
        "type": "object", "required": ["specversion", "id", "source", "type"],
        "description": "CloudEvents 1.0, JSON format. Lengths are in bytes of UTF-8; numbers have at most 38 digits.",
        "properties": {
            "specversion": {"const": "1.0"},
            "id": text(ATTRIBUTE_BYTES_MAX),
            "source": pattern(&format!("^{URI_CHARS}+$"), SOURCE_BYTES_MAX),
            "type": kind,
            "subject": optional(text(ATTRIBUTE_BYTES_MAX)),
            "time": {"type": ["string", "null"], "format": "date-time", "maxLength": ATTRIBUTE_BYTES_MAX},
            "datacontenttype": optional(pattern(&media, ATTRIBUTE_BYTES_MAX)),
            "dataschema": optional(pattern(&format!("^[A-Za-z][A-Za-z0-9+.\\-]*:{URI_CHARS}*$"), SOURCE_BYTES_MAX)),
            "data": {"description": "any JSON; a type with a registered schema is held to it"},
            "data_base64": {"type": ["string", "null"], "pattern": base64, "contentEncoding": "base64"}
        },
        "propertyNames": {"pattern": named},
        "additionalProperties": {
            "description": "an extension",
            "type": ["string", "boolean", "integer", "null"],
            "minimum": i32::MIN, "maximum": i32::MAX,
            "maxLength": SOURCE_BYTES_MAX, "pattern": format!("^[^{}]*$", no_controls())
        },
        "maxProperties": EXTENSIONS_MAX + NAMED_MAX,
        "not": {"required": ["data", "data_base64"], "properties": {"data_base64": {"type": "string"}}}
    })
}

/// The standard form of an invoice, with what is checked in code beside its schema.
fn invoice() -> Value {
    let mut schema = invoices::schema();
    let (none, blank) = (no_controls(), WHITE_SPACE);
    // Something that can be seen, and characters of an attribute before and behind it.
    let id = format!("^[^{none}]*[^{none}{blank}][^{none}]*$");
    for (field, keyword, value) in [
        ("time", "format", json!("date-time")),
        ("due_date", "format", json!("date")),
        ("invoice_date", "format", json!("date")),
        ("id", "pattern", json!(id)),
        ("invoice_id", "pattern", json!(id)),
    ] {
        let at = schema.pointer_mut(&format!("/properties/{field}")).and_then(Value::as_object_mut);
        if let Some(at) = at {
            at.insert(keyword.to_owned(), value);
        }
    }
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("anyOf".to_owned(), moneys());
    }
    schema
}

/// Each number of decimals with the currencies that have as many.
fn moneys() -> Value {
    let letters = || 'A'..='Z';
    let codes = letters().flat_map(|a| letters().flat_map(move |b| letters().map(move |c| [a, b, c])));
    let known: Vec<Currency> =
        codes.filter_map(|code| Currency::of(&code.iter().collect::<String>())).collect();
    let of = |(decimals, step): (u8, f64)| {
        let codes = known.iter().filter(|currency| currency.exponent() == decimals).map(Currency::code);
        let codes: Vec<&str> = codes.collect();
        // A step of 1 as a whole number, as it is written.
        let step = if decimals == 0 { json!(1) } else { json!(step) };
        json!({"properties": {"currency": {"enum": codes}, "amount": {"multipleOf": step}}})
    };
    [(2, 0.01), (0, 1.0), (3, 0.001), (4, 0.0001)].into_iter().map(of).collect()
}

fn mapping() -> Value {
    let of = |schema: Value| {
        FIELDS.iter().map(|field| ((*field).to_owned(), schema.clone())).collect::<Map<String, Value>>()
    };
    json!({
        "type": "object", "required": ["fields"], "additionalProperties": false,
        "description": "A field has a place or a constant, not both.",
        "properties": {
            "fields": {
                "type": "object", "additionalProperties": false, "minProperties": 1,
                "description": "standard field to JSON Pointer",
                "properties": of(pattern("^/", TEXT_CHARS_MAX))
            },
            "constants": {
                "type": "object", "additionalProperties": false, "description": "standard field to its text",
                "properties": of(json!({"type": "string", "maxLength": TEXT_CHARS_MAX}))
            }
        }
    })
}

/// Schemas of what is taken.
fn taken() -> [(&'static str, Value); 5] {
    [
        ("Event", event(true)),
        ("RecordedEvent", event(false)),
        ("Invoice", invoice()),
        ("Mapping", mapping()),
        (
            "MappingWithSample",
            json!({
                "type": "object", "required": ["mapping", "sample"], "additionalProperties": false,
                "properties": {"mapping": {"$ref": "#/components/schemas/Mapping"}, "sample": {"type": "object"}}
            }),
        ),
    ]
}

/// All schemas by name.
pub(super) fn schemas() -> Value {
    let position = json!({"type": "integer", "minimum": 0});
    let hash = json!({"type": "string", "pattern": "^[0-9a-f]{64}$"});
    let hashes = json!({"type": "array", "items": {"type": "string", "contentEncoding": "base64"}});
    let faults = json!({"type": "array", "items": {"$ref": "#/components/schemas/Fault"}});
    let code = json!({"type": "string", "pattern": "^E[0-9]{4}$"});
    let mut all = json!({
        "Receipt": {
            "type": "object", "required": ["status", "position", "leaf_hash"],
            "properties": {
                "status": {"enum": ["recorded", "before"]}, "position": position, "leaf_hash": hash,
                "tree_size": position, "root": hash,
                "proof": {"type": "string", "description": "a C2SP tlog-proof"}, "checkpoint": {"type": "string"}
            }
        },
        "Receipts": {
            "type": "object", "required": ["recorded", "before", "refused", "items"],
            "properties": {
                "recorded": position, "before": position, "refused": position, "tree_size": position, "root": hash,
                "checkpoint": {"type": "string"}, "proof": {"type": "string"},
                "range_proof": {"$ref": "#/components/schemas/RangeProof"},
                "items": {"type": "array", "items": {"$ref": "#/components/schemas/Outcome"}}
            }
        },
        "Outcome": {
            "type": "object", "required": ["status"],
            "properties": {
                "status": {"enum": ["recorded", "before", "refused"]}, "position": position, "leaf_hash": hash,
                "error": {"$ref": "#/components/schemas/Fault"}, "errors": faults, "errors_more": position
            }
        },
        "RangeProof": {
            "type": "object", "required": ["first", "tree_size", "left", "right"],
            "description": "proves that all new events of the answer are in the tree",
            "properties": {"first": position, "tree_size": position, "left": hashes, "right": hashes}
        },
        "Ledger": {
            "type": "object", "required": ["entries", "projected", "origin", "root", "checkpoint", "halted"],
            "properties": {"entries": position, "projected": position, "origin": {"type": "string"}, "root": hash,
                "checkpoint": {"type": "string"}, "halted": {"type": ["string", "null"]}}
        },
        "Tried": {
            "type": "object", "required": ["event"], "properties": {"event": {"$ref": "#/components/schemas/Event"}}
        },
        "Status": {
            "type": "object", "required": ["status"],
            "properties": {"status": {"enum": ["alive", "ready", "removed"]}}
        },
        "Fault": {
            "type": "object", "required": ["path", "reason", "code"],
            "properties": {"path": {"type": "string"}, "reason": {"type": "string"}, "code": code}
        },
        "Problem": {
            "type": "object", "required": ["type", "title", "status", "detail", "code", "errors"],
            "description": "RFC 9457",
            "properties": {
                "type": {"type": "string", "pattern": "^urn:waag:error:E[0-9]{4}$"}, "title": {"type": "string"},
                "status": {"type": "integer", "minimum": 400, "maximum": 599},
                "detail": {"type": "string"}, "code": code, "errors": faults, "errors_more": position
            }
        }
    });
    if let Some(all) = all.as_object_mut() {
        all.extend(taken().map(|(name, schema)| (name.to_owned(), schema)));
    }
    all
}

/// Headers of answers by name.
pub(super) fn headers() -> Value {
    let header = |description: &str, required: bool, schema: Value| json!({"description": description, "required": required, "schema": schema});
    let text = json!({"type": "string"});
    let count = json!({"type": "integer", "minimum": 0});
    let places = "quoted and percent-encoded JSON Pointers into the event, or `*`";
    json!({
        "Allow": header("the methods that the path knows", true, text.clone()),
        "WWW-Authenticate": header("how to say who asks", true, text.clone()),
        "Retry-After": header("seconds", true, count.clone()),
        "ETag": header("the version of its settings and of whether it delivers, for `If-Match`", true, json!({"type": "string", "pattern": "^\"[0-9a-f]{32}\"$"})),
        "Location": header("where it can be read", true, text.clone()),
        "Waag-Position": header("where it stands in the ledger", true, count),
        "Waag-Leaf-Hash": header("its leaf in the tree", true, json!({"type": "string", "pattern": "^[0-9a-f]{64}$"})),
        "Waag-Accepted": header("when it was accepted", true, json!({"type": "string", "format": "date-time"})),
        "Waag-Masked": header(&format!("what is shown in part: {places}"), false, text.clone()),
        "Waag-Withheld": header(&format!("what was erased: {places}"), false, text)
    })
}

#[cfg(test)]
mod tests {
    use waag_invoices::event::Stage;

    use super::*;
    use crate::invoices::Form;

    #[test]
    fn what_the_document_says_of_invoices_is_what_the_door_takes() {
        let form =
            Form { stage: Stage::Posting, mapping: None, idempotency_key: None, source: "/s".to_owned() };
        let options =
            jsonschema::options().with_draft(jsonschema::Draft::Draft202012).should_validate_formats(true);
        let document = options.build(&invoice()).unwrap();
        let whole = json!({
            "id": "n", "invoice_id": "I", "amount": 12.5, "currency": "EUR", "status": "s", "time": "2026-11-21T08:00:00Z"
        });
        let most = crate::invoices::AMOUNT_MAX;
        for (members, is_taken) in [
            (json!({}), true),
            (json!({"amount": 0.35}), true),
            (json!({"amount": 1.15}), true),
            (json!({"amount": 4_611_686.07}), true),
            (json!({"amount": 12.505}), false),
            (json!({"amount": 1e-9}), false),
            (json!({"amount": 12.505, "currency": "KWD"}), true),
            (json!({"amount": 12.505, "currency": "CLF"}), true),
            (json!({"amount": 12.5, "currency": "JPY"}), false),
            (json!({"amount": 12.0, "currency": "JPY"}), true),
            (json!({"amount": most}), true),
            (json!({"amount": most + 1}), false),
            (json!({"amount": -most - 1}), false),
            (json!({"amount": 1e300}), false),
            (json!({"currency": "XXQ"}), false),
            (json!({"currency": "eur"}), false),
            (json!({"id": " "}), false),
            (json!({"id": "\u{3000}"}), false),
            (json!({"invoice_id": " \u{a0}"}), false),
            (json!({"invoice_id": " a "}), true),
            (json!({"invoice_id": "a\u{85}"}), false),
            (json!({"touch": "auto", "exception": false, "vendor_class": "c", "reference": "r"}), true),
            (json!({"touch": "automatic"}), false),
            (json!({"exception": "no order"}), true),
            (json!({"exception": ""}), false),
            (json!({"exception": 1}), false),
            (json!({"invoice_date": "2026-02-28"}), true),
            (json!({"invoice_date": "2026-02-29"}), false),
            (json!({"invoice_dated": "2026-02-28"}), false),
        ] {
            let mut body = whole.clone();
            body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            let text = body.to_string();
            let taken = form.event(text.as_bytes(), None);
            assert_eq!(
                (taken.is_ok(), document.is_valid(&body)),
                (is_taken, is_taken),
                "{members}: {taken:?}"
            );
        }
    }

    #[test]
    fn every_currency_stands_under_its_decimals() {
        let moneys = moneys();
        let codes = |at: usize| moneys[at]["properties"]["currency"]["enum"].as_array().unwrap();
        assert!(codes(0).contains(&json!("EUR")) && codes(1).contains(&json!("JPY")));
        assert!(codes(2).contains(&json!("BHD")) && codes(3).contains(&json!("CLF")));
        assert!((0..4).map(|at| codes(at).len()).sum::<usize>() > 150);
        assert_eq!(moneys[1]["properties"]["amount"].to_string(), r#"{"multipleOf":1}"#);
    }
}
