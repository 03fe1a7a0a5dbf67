//! The OpenAPI 3.1 document, made from the route table, the invoice schema and the fault list; and a page to read it.
//!
//! What its schemas allow is taken and what they do not allow is refused, as far as JSON Schema can say it: an outside
//! tester holds the running node to that (`testing/outside`).
//! Not here: what routes do (`door`), the schemas (`schemas`), the document as a page (`page`).

mod deliveries;
mod delivery_schemas;
mod groups;
pub(crate) mod page;
mod report_schemas;
mod reports;
mod schemas;
mod tlog;

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use waag_invoices::event::{STAGES, Stage};

const EVENT: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";
const LINES: &str = "application/jsonl";
const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";
/// What RFC 8941 calls a String, with 1 to 200 characters in it.
const QUOTED: &str = r#"^"(?:[ !#-\[\]-~]|\\["\\]){1,200}"$"#;

fn problem(description: &str) -> Value {
    json!({
        "description": description,
        "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    })
}

/// A problem whose answer always has a header.
fn problem_with(description: &str, header: &str) -> Value {
    let mut problem = problem(description);
    if let Some(problem) = problem.as_object_mut() {
        let told = json!({header: {"$ref": format!("#/components/headers/{header}")}});
        problem.insert("headers".to_owned(), told);
    }
    problem
}

fn wrong_method() -> Value {
    problem_with("The path does not know the method.", "Allow")
}

fn answered(description: &str, media: &str, schema: &str) -> Value {
    json!({
        "description": description,
        "content": {media: {"schema": {"$ref": format!("#/components/schemas/{schema}")}}}
    })
}

fn answers(ok: Value, more: &[(&str, Value)]) -> Value {
    answers_as("200", ok, more)
}

fn answers_as(status: &str, ok: Value, more: &[(&str, Value)]) -> Value {
    let mut all = Map::new();
    all.insert(status.to_owned(), ok);
    let too_much = "Too much is waiting, or the node cannot record; `Retry-After` says when to try again.";
    for (status, answer) in [
        ("400", problem("The request has a wrong form.")),
        ("401", problem_with("No API key, or none that is valid.", "WWW-Authenticate")),
        ("403", problem("The key's role does not allow it.")),
        ("405", wrong_method()),
        ("408", problem("The body did not come within its time.")),
        ("429", problem_with("A rate or quota is used up; `Retry-After` says for how long.", "Retry-After")),
        ("503", problem_with(too_much, "Retry-After")),
    ] {
        all.insert(status.to_owned(), answer);
    }
    for (status, answer) in more {
        all.insert((*status).to_owned(), answer.clone());
    }
    Value::Object(all)
}

fn no_stage() -> (&'static str, Value) {
    ("404", problem("There is no such stage."))
}

fn recording(more: &[(&str, Value)]) -> Value {
    let ok = json!({
        "description": "The receipt: everything told here is durable, in the tree, and under the checkpoint.",
        "content": {JSON: {"schema": {"anyOf": [
            {"$ref": "#/components/schemas/Receipt"}, {"$ref": "#/components/schemas/Receipts"}
        ]}}},
        "links": {"recorded": {"operationId": "readEvent", "parameters": {"position": "$response.body#/position"}}}
    });
    let some = "Some events were refused; each item says what became of it.";
    let conflict = "Another event stands under the same identity, or the same request is under way.";
    let mut all = vec![
        ("207", answered(some, JSON, "Receipts")),
        ("409", problem(conflict)),
        ("413", problem("The body or the number of events is above its limit.")),
        (
            "415",
            problem("The content type is none that this path reads, or the body has a content encoding."),
        ),
        ("422", problem("No event of the request could be recorded.")),
    ];
    all.extend_from_slice(more);
    answers(ok, &all)
}

fn idempotency() -> Value {
    json!({
        "name": "Idempotency-Key", "in": "header", "required": false,
        "schema": {"type": "string", "pattern": QUOTED},
        "description": "A quoted string; a repeated request gets the first answer. Another request under it is refused."
    })
}

fn stage() -> Value {
    json!({
        "name": "stage", "in": "path", "required": true,
        "schema": {"type": "string", "enum": STAGES.map(Stage::name)}
    })
}

fn events() -> Value {
    let one = json!({
        "specversion": "1.0", "id": "1", "source": "/erp", "type": "order.placed",
        "time": "2026-11-21T08:00:00Z", "data": {"amount": 12.50}
    });
    let other = json!({"specversion": "1.0", "id": "2", "source": "/erp", "type": "order.placed"});
    let list = |description: &str| {
        json!({
            "schema": {
                "type": "array", "minItems": 1, "description": format!("{description}; at most 8,192"),
                "items": {"$ref": "#/components/schemas/Event"}
            },
            "example": [one, other]
        })
    };
    json!({
        "post": {
            "operationId": "recordEvents",
            "summary": "Record events: CloudEvents in batch, structured or binary mode, or JSON Lines",
            "description": "Binary mode: any other content type, the event's attributes in `ce-` headers, its data as the body.",
            "parameters": [idempotency()],
            "requestBody": {"required": true, "content": {
                EVENT: {"schema": {"$ref": "#/components/schemas/Event"}, "example": one},
                BATCH: list("one event an item"),
                LINES: list("one event a line, here as the array of the lines")
            }},
            "responses": recording(&[])
        }
    })
}

fn event() -> Value {
    let mut ok = answered("The event as its sender made it, personal fields masked.", EVENT, "RecordedEvent");
    if let Some(ok) = ok.as_object_mut() {
        let header = |name: &str| json!({"$ref": format!("#/components/headers/{name}")});
        let told = json!({
            "Waag-Position": header("Waag-Position"), "Waag-Leaf-Hash": header("Waag-Leaf-Hash"),
            "Waag-Accepted": header("Waag-Accepted"), "Waag-Masked": header("Waag-Masked"),
            "Waag-Withheld": header("Waag-Withheld")
        });
        ok.insert("headers".to_owned(), told);
    }
    json!({"get": {
        "operationId": "readEvent", "summary": "Read a recorded event",
        "description": "In CloudEvents' structured mode, or with `mode=binary` in binary mode: attributes in `ce-` headers, the data as the body, in its own content type.",
        "parameters": [
            {"name": "position", "in": "path", "required": true, "example": 0,
                "schema": {"type": "integer", "format": "int64", "minimum": 0}},
            {"name": "mode", "in": "query", "required": false, "schema": {"enum": ["structured", "binary"]}},
            {"name": "Waag-Reveal-Reason", "in": "header", "required": false,
                "schema": {"type": "string", "pattern": "^[!#$&-~](?:[ !#$&-~]{0,198}[!#$&-~])?$"},
                "description": "Why an administrator's key wants personal fields as they are; percent-encoded beyond ASCII; recorded."}
        ],
        "responses": answers(ok, &[
            ("404", problem("The ledger is not that long.")),
            ("410", problem("The event was erased."))
        ])
    }})
}

fn invoices() -> Value {
    let invoice = json!({
        "id": "n-1", "invoice_id": "INV-1", "amount": 12.50, "currency": "EUR", "status": "received",
        "time": "2026-11-21T08:00:00Z", "vendor": "Vendor 1", "due_date": "2026-12-21"
    });
    json!({"post": {
        "operationId": "recordInvoices",
        "summary": "Record invoices in plain JSON: one object, or an array",
        "description": "An invoice without an `id` needs an `Idempotency-Key`. A key with a mapping for the stage sends its own form.",
        "parameters": [stage(), idempotency()],
        "requestBody": {"required": true, "content": {JSON: {
            "schema": {"oneOf": [
                {"$ref": "#/components/schemas/Invoice"},
                {"type": "array", "minItems": 1, "description": "at most 8,192", "items": {"$ref": "#/components/schemas/Invoice"}}
            ]},
            "example": invoice
        }}},
        "responses": recording(&[no_stage()])
    }})
}

fn mapping_body() -> Value {
    json!({"required": true, "content": {JSON: {
        "schema": {"$ref": "#/components/schemas/MappingWithSample"},
        "example": {
            "mapping": {
                "fields": {"id": "/uid", "invoice_id": "/no", "amount": "/sum/total", "time": "/at"},
                "constants": {"currency": "EUR", "status": "posted"}
            },
            "sample": {"uid": "u1", "no": "R-7", "sum": {"total": 9}, "at": "2026-11-21T08:00:00Z"}
        }
    }}})
}

fn mapping_answers() -> Value {
    let tried = answered("The event that the sample becomes.", JSON, "Tried");
    let bad = problem("The mapping cannot be used, or its sample is not valid under it; nothing was saved.");
    let encoded = problem("The body has a content encoding.");
    let large = problem("The body is above its limit.");
    answers(tried, &[no_stage(), ("413", large), ("415", encoded), ("422", bad)])
}

fn mapping_operations() -> Value {
    let missing = ("404", problem("There is no such stage, or this key has no mapping for it."));
    let mut saved = mapping_answers();
    if let Some(saved) = saved.pointer_mut("/200").and_then(Value::as_object_mut) {
        let to = |operation: &str| json!({"operationId": operation, "parameters": {"stage": "$request.path.stage"}});
        saved.insert("links".to_owned(), json!({"read": to("readMapping"), "remove": to("removeMapping")}));
    }
    json!({
        "parameters": [stage()],
        "get": {
            "operationId": "readMapping", "summary": "This key's mapping",
            "responses": answers(answered("The mapping.", JSON, "Mapping"), &[missing])
        },
        "put": {
            "operationId": "saveMapping", "summary": "Save a mapping, after its sample was tried",
            "requestBody": mapping_body(), "responses": saved
        },
        "delete": {
            "operationId": "removeMapping", "summary": "Remove this key's mapping",
            "responses": answers(answered("It is not there any more.", JSON, "Status"), &[no_stage()])
        }
    })
}

fn mapping_trial() -> Value {
    json!({"post": {
        "operationId": "tryMapping", "summary": "Try a mapping on a sample; nothing is saved",
        "parameters": [stage()], "requestBody": mapping_body(), "responses": mapping_answers()
    }})
}

/// A path that anybody may ask.
fn open(id: &str, summary: &str, ok: Value, more: &[(&str, Value)]) -> Value {
    let mut all = Map::new();
    all.insert("200".to_owned(), ok);
    all.insert("405".to_owned(), wrong_method());
    for (status, answer) in more {
        all.insert((*status).to_owned(), answer.clone());
    }
    json!({"get": {"operationId": id, "summary": summary, "security": [], "responses": all}})
}

/// The document as JSON text; made once.
pub(crate) fn text() -> &'static [u8] {
    static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());
    TEXT.as_bytes()
}

/// The document.
#[must_use]
pub fn document() -> Value {
    let text =
        |media: &str| json!({"description": "As asked.", "content": {media: {"schema": {"type": "string"}}}});
    let whole = json!({"description": "As asked.", "content": {JSON: {"schema": {"type": "object"}}}});
    let not_ready = ("503", problem_with("It does not.", "Retry-After"));
    let status = |description: &str| answered(description, JSON, "Status");
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Waag", "version": env!("CARGO_PKG_VERSION"),
            "description": "Events are recorded in a ledger that nobody can rewrite unnoticed; each answer is a receipt."
        },
        "security": [{"apiKey": []}, {"bearer": []}],
        "tags": groups::told(),
        "paths": {
            "/v1/events": events(),
            "/v1/events/{position}": event(),
            "/invoices/{stage}": invoices(),
            "/v1/mappings/{stage}": mapping_operations(),
            "/v1/mappings/{stage}/try": mapping_trial(),
            "/v1/ledger": {"get": {
                "operationId": "readLedger", "summary": "How far the ledger is",
                "responses": answers(answered("The ledger.", JSON, "Ledger"), &[])
            }},
            "/healthz": open("health", "Whether the process answers", status("It does."), &[]),
            "/readyz": open("ready", "Whether the node takes events", status("It does."), &[not_ready]),
            "/metrics": open("metrics", "Figures as OpenMetrics text", text("application/openmetrics-text"), &[]),
            "/openapi.json": open("openapi", "This document", whole, &[]),
            "/docs": open("docs", "This document as a page", text("text/html"), &[])
        },
        "components": {
            "securitySchemes": {
                "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "bearer": {"type": "http", "scheme": "bearer"}
            },
            "headers": schemas::headers(),
            "schemas": schemas::schemas()
        }
    });
    for (place, more) in [
        ("/paths", deliveries::paths()),
        ("/paths", tlog::paths()),
        ("/paths", reports::paths()),
        ("/components/schemas", delivery_schemas::schemas()),
        ("/components/schemas", report_schemas::schemas()),
    ] {
        if let Some(known) = document.pointer_mut(place).and_then(Value::as_object_mut) {
            known.extend(more);
        }
    }
    let operations = document.pointer_mut("/paths").and_then(Value::as_object_mut).into_iter();
    let items = operations.flat_map(Map::values_mut).filter_map(Value::as_object_mut);
    for operation in items.flat_map(Map::values_mut).filter_map(Value::as_object_mut) {
        let id = operation.get("operationId").and_then(Value::as_str).unwrap_or_default();
        let Some((group, roles)) = groups::of(id) else { continue };
        operation.insert("tags".to_owned(), json!([group]));
        operation.insert("x-waag-roles".to_owned(), json!(roles));
    }
    document
}
