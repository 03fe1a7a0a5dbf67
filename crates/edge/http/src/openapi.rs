//! The OpenAPI 3.1 document, made from the route table, the invoice schema and the fault list; and a page to read it.
//!
//! Not here: what routes do (`door`). The page has no script and loads nothing.

use serde_json::{Map, Value, json};

use crate::invoices::{self, Stage};

const EVENT: &str = "application/cloudevents+json";

fn problem(description: &str) -> Value {
    json!({
        "description": description,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    })
}

fn answers(ok: Value, more: &[(&str, Value)]) -> Value {
    let mut all = Map::new();
    all.insert("200".to_owned(), ok);
    for (status, description) in [
        ("400", "The request has a wrong form."),
        ("401", "No API key, or none that is valid."),
        ("403", "The key's role does not allow it."),
        ("405", "The path does not know the method."),
        ("408", "The body did not come within its time."),
        ("429", "A rate or quota is used up; `Retry-After` says for how long."),
        ("503", "Too much is waiting, or the node cannot record; `Retry-After` says when to try again."),
    ] {
        all.insert(status.to_owned(), problem(description));
    }
    for (status, answer) in more {
        all.insert((*status).to_owned(), answer.clone());
    }
    Value::Object(all)
}

fn receipts() -> Value {
    json!({
        "description": "The receipt: everything told here is durable, in the tree, and under the checkpoint.",
        "content": {"application/json": {"schema": {"anyOf": [
            {"$ref": "#/components/schemas/Receipt"}, {"$ref": "#/components/schemas/Receipts"}
        ]}}}
    })
}

fn recording() -> Value {
    answers(
        receipts(),
        &[
            (
                "207",
                json!({
                    "description": "Some events were refused; each item says what became of it.",
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Receipts"}}}
                }),
            ),
            (
                "409",
                problem("Another event stands under the same identity, or the same request is under way."),
            ),
            ("413", problem("The body or the number of events is above its limit.")),
            ("415", problem("The content type is none that this path reads.")),
            ("422", problem("No event of the request could be recorded.")),
        ],
    )
}

fn mapping_body() -> Value {
    json!({
        "required": true,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/MappingWithSample"}}}
    })
}

fn mapping_answers() -> Value {
    let tried = json!({
        "description": "The event that the sample becomes.",
        "content": {"application/json": {"schema": {
            "type": "object", "properties": {"event": {"$ref": "#/components/schemas/Event"}}
        }}}
    });
    let bad = problem("The mapping or its sample is not valid; nothing was saved.");
    answers(tried, &[("413", problem("The body is above its limit.")), ("422", bad)])
}

fn mapping_operations(stage: &Value) -> Value {
    let known = json!({
        "description": "The mapping.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Mapping"}}}
    });
    json!({
        "parameters": [stage],
        "get": {
            "operationId": "readMapping", "summary": "This key's mapping",
            "responses": answers(known, &[("404", problem("This key has no mapping for this stage."))])
        },
        "put": {
            "operationId": "saveMapping", "summary": "Save a mapping, after its sample was tried",
            "requestBody": mapping_body(), "responses": mapping_answers()
        },
        "delete": {
            "operationId": "removeMapping", "summary": "Remove this key's mapping",
            "responses": answers(json!({"description": "Removed."}), &[])
        }
    })
}

fn mapping_trial(stage: &Value) -> Value {
    json!({"post": {
        "operationId": "tryMapping", "summary": "Try a mapping on a sample; nothing is saved",
        "parameters": [stage], "requestBody": mapping_body(), "responses": mapping_answers()
    }})
}

/// The document.
#[must_use]
pub fn document() -> Value {
    let idempotency = json!({
        "name": "Idempotency-Key", "in": "header", "required": false, "schema": {"type": "string"},
        "description": "A quoted string; a repeated request gets the first answer."
    });
    let stage = json!({
        "name": "stage", "in": "path", "required": true,
        "schema": {"type": "string", "enum": Stage::ALL.map(Stage::name)}
    });
    let event = json!({"schema": {"$ref": "#/components/schemas/Event"}});
    let events = json!({"schema": {"type": "array", "items": {"$ref": "#/components/schemas/Event"}}});
    let plain = |id: &str, summary: &str, media: &str| {
        json!({"get": {"operationId": id, "summary": summary, "security": [], "responses": {
            "200": {"description": "As asked.", "content": {media: {"schema": {}}}},
            "405": problem("The path does not know the method.")
        }}})
    };
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Waag", "version": env!("CARGO_PKG_VERSION"),
            "description": "Events are recorded in a ledger that nobody can rewrite unnoticed; each answer is a receipt."
        },
        "security": [{"apiKey": []}, {"bearer": []}],
        "paths": {
            "/v1/events": {"post": {
                "operationId": "recordEvents",
                "summary": "Record events: CloudEvents in batch, structured or binary mode, or JSON Lines",
                "parameters": [idempotency],
                "requestBody": {"required": true, "content": {
                    EVENT: event, "application/cloudevents-batch+json": events,
                    "application/jsonl": {"schema": {"type": "string"}}
                }},
                "responses": recording()
            }},
            "/invoices/{stage}": {"post": {
                "operationId": "recordInvoices",
                "summary": "Record invoices in plain JSON: one object, or an array",
                "parameters": [stage, idempotency],
                "requestBody": {"required": true, "content": {"application/json": {"schema": {"oneOf": [
                    {"$ref": "#/components/schemas/Invoice"},
                    {"type": "array", "items": {"$ref": "#/components/schemas/Invoice"}}
                ]}}}},
                "responses": recording()
            }},
            "/v1/mappings/{stage}": mapping_operations(&stage),
            "/v1/mappings/{stage}/try": mapping_trial(&stage),
            "/v1/ledger": {"get": {
                "operationId": "readLedger", "summary": "How far the ledger is",
                "responses": answers(json!({"description": "The ledger.", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Ledger"}}}}), &[])
            }},
            "/healthz": plain("health", "Whether the process answers", "application/json"),
            "/readyz": {"get": {"operationId": "ready", "summary": "Whether the node takes events", "security": [], "responses": {
                "200": {"description": "It does.", "content": {"application/json": {"schema": {}}}},
                "405": problem("The path does not know the method."), "503": problem("It does not.")
            }}},
            "/metrics": plain("metrics", "Figures as OpenMetrics text", "application/openmetrics-text"),
            "/openapi.json": plain("openapi", "This document", "application/json"),
            "/docs": plain("docs", "This document as a page", "text/html")
        },
        "components": {
            "securitySchemes": {
                "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "bearer": {"type": "http", "scheme": "bearer"}
            },
            "schemas": schemas()
        }
    })
}

fn schemas() -> Value {
    let position = json!({"type": "integer", "minimum": 0});
    let hash = json!({"type": "string", "pattern": "^[0-9a-f]{64}$"});
    json!({
        "Event": {
            "type": "object", "required": ["specversion", "id", "source", "type"],
            "properties": {
                "specversion": {"const": "1.0"}, "id": {"type": "string", "minLength": 1},
                "source": {"type": "string", "minLength": 1}, "type": {"type": "string", "minLength": 1},
                "subject": {"type": "string", "minLength": 1}, "time": {"type": "string", "format": "date-time"}, "data": {}
            }
        },
        "Invoice": invoices::schema(),
        "Mapping": {
            "type": "object", "required": ["fields"], "additionalProperties": false,
            "properties": {
                "fields": {"type": "object", "additionalProperties": {"type": "string"}, "description": "standard field to JSON Pointer"},
                "constants": {"type": "object", "additionalProperties": {"type": "string"}}
            }
        },
        "MappingWithSample": {
            "type": "object", "required": ["mapping", "sample"], "additionalProperties": false,
            "properties": {"mapping": {"$ref": "#/components/schemas/Mapping"}, "sample": {"type": "object"}}
        },
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
                "checkpoint": {"type": "string"}, "proof": {"type": "string"}, "range_proof": {"type": "object"},
                "items": {"type": "array", "items": {"type": "object", "properties": {
                    "status": {"enum": ["recorded", "before", "refused"]}, "position": position, "leaf_hash": hash,
                    "error": {"$ref": "#/components/schemas/Fault"}
                }}}
            }
        },
        "Ledger": {
            "type": "object", "required": ["entries", "projected", "checkpoint"],
            "properties": {"entries": position, "projected": position, "origin": {"type": "string"}, "root": hash,
                "checkpoint": {"type": "string"}, "halted": {"type": ["string", "null"]}}
        },
        "Fault": {
            "type": "object", "required": ["path", "reason", "code"],
            "properties": {"path": {"type": "string"}, "reason": {"type": "string"}, "code": {"type": "string", "pattern": "^E[0-9]{4}$"}}
        },
        "Problem": {
            "type": "object", "required": ["type", "title", "status", "detail", "code", "errors"],
            "properties": {
                "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
                "detail": {"type": "string"}, "code": {"type": "string"},
                "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Fault"}},
                "errors_more": {"type": "integer"}
            }
        }
    })
}

/// The document as a page.
pub(crate) fn page() -> String {
    let document = document();
    let mut out = String::from(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Waag: HTTP API</title></head><body><main><h1>Waag: HTTP API</h1>",
    );
    for (path, item) in document.pointer("/paths").and_then(Value::as_object).into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let Some(summary) = operation.pointer("/summary").and_then(Value::as_str) else { continue };
            out.push_str(&format!(
                "<section><h2><code>{} {}</code></h2><p>{}</p><table><thead><tr><th scope=\"col\">status</th><th scope=\"col\">meaning</th></tr></thead><tbody>",
                method.to_uppercase(),
                escaped(path),
                escaped(summary)
            ));
            let answers = operation.pointer("/responses").and_then(Value::as_object).into_iter().flatten();
            for (status, answer) in answers {
                let told = answer.pointer("/description").and_then(Value::as_str).unwrap_or_default();
                out.push_str(&format!("<tr><td>{}</td><td>{}</td></tr>", escaped(status), escaped(told)));
            }
            out.push_str("</tbody></table></section>");
        }
    }
    out.push_str("<section><h2>Schemas</h2>");
    for (name, schema) in
        document.pointer("/components/schemas").and_then(Value::as_object).into_iter().flatten()
    {
        let text = serde_json::to_string_pretty(schema).unwrap_or_default();
        out.push_str(&format!("<h3>{}</h3><pre>{}</pre>", escaped(name), escaped(&text)));
    }
    out.push_str("</section></main></body></html>");
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
