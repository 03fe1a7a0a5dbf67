//! The paths of the published log and of witnessing.
//!
//! A tile's number is one path element below a thousand and several above, which a template cannot say: the description does.
//! Sources: C2SP tlog-tiles, tlog-witness.

use serde_json::{Map, Value, json};

use super::{answers, problem, wrong_method};

const NOTE: &str = "text/plain";
const TILE: &str = "application/octet-stream";

fn text(description: &str, media: &str) -> Value {
    json!({"description": description, "content": {media: {"schema": {"type": "string"}}}})
}

fn bytes(description: &str) -> Value {
    json!({"description": description, "content": {TILE: {}}})
}

fn index() -> Value {
    json!({
        "name": "index", "in": "path", "required": true, "example": "000",
        "schema": {"type": "string", "pattern": "^[0-9]{3}$"},
        "description": "The tile's number in groups of three digits; number 1234067 is the three path elements x001/x234/067."
    })
}

fn width() -> Value {
    json!({
        "name": "width", "in": "path", "required": true, "example": 1,
        "schema": {"type": "integer", "minimum": 1, "maximum": 255},
        "description": "How many hashes or entries a tile at the right edge has."
    })
}

fn level() -> Value {
    json!({
        "name": "level", "in": "path", "required": true, "example": 0,
        "schema": {"type": "integer", "minimum": 0, "maximum": 63}
    })
}

fn get(id: &str, summary: &str, description: &str, parameters: Value, ok: Value) -> Value {
    json!({"get": {
        "operationId": id, "summary": summary,
        "description": format!("{description} Where the node says that its log is public, no key is needed."),
        "parameters": parameters,
        "responses": answers(ok, &[
            ("304", json!({"description": "The client has it: `If-None-Match` names its entity tag."})),
            ("404", problem("No published checkpoint covers it."))
        ])
    }})
}

fn add_checkpoint() -> Value {
    let refused = |description: &str| text(description, NOTE);
    let mut unknown =
        refused("The checkpoint's origin is not one that this node witnesses; or it witnesses none.");
    if let (Some(content), Some(of)) = (
        unknown.pointer_mut("/content").and_then(Value::as_object_mut),
        problem("").pointer("/content").and_then(Value::as_object),
    ) {
        content.extend(of.clone());
    }
    json!({"post": {
        "operationId": "addCheckpoint", "summary": "Have a checkpoint of another log witnessed",
        "description": "C2SP tlog-witness: the line `old` and a size, a consistency proof, an empty line, a signed checkpoint.",
        "security": [],
        "requestBody": {"required": true, "content": {NOTE: {
            "schema": {"type": "string"},
            "example": "old 0\n\nlog.example/1\n1\nbWFrZSB0aGlzIGEgcmVhbCByb290IG9mIGEgdHJlZSE=\n\n\u{2014} log.example/1 AAAAAA==\n"
        }}},
        "responses": {
            "200": text("The cosignatures: a line each.", NOTE),
            "400": refused("The request has a wrong form."),
            "403": refused("No signature by a key that is known for this origin."),
            "404": unknown,
            "405": wrong_method(),
            "408": problem("The body did not come within its time."),
            "409": text("Another size was cosigned last: this one.", "text/x.tlog.size"),
            "413": problem("The body is above its limit."),
            "415": problem("The body has a content encoding."),
            "422": refused("The checkpoint is not proven to follow the one cosigned last."),
            "503": super::problem_with("The witness cannot keep what it cosigns.", "Retry-After")
        }
    }})
}

/// The paths.
pub(super) fn paths() -> Map<String, Value> {
    let tile = "A tile of the tree: the published checkpoint's, of any width.";
    let bundle = "Up to 256 sealed entries, each behind its length in two bytes.";
    let cosigned = json!({"get": {
        "operationId": "readCosigned", "summary": "The newest checkpoint of another log that this node cosigned",
        "security": [],
        "parameters": [{
            "name": "log", "in": "path", "required": true, "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            "description": "The SHA-256 of the log's origin."
        }],
        "responses": {
            "200": text("The signed note with the cosignature.", NOTE),
            "304": {"description": "The client has it."},
            "404": problem("None was cosigned, or this node is no witness."),
            "405": wrong_method(),
            "503": super::problem_with("The witness cannot read what it keeps.", "Retry-After")
        }
    }});
    let all = [
        (
            "/log/checkpoint",
            get(
                "readCheckpoint",
                "The newest published checkpoint",
                "C2SP tlog-tiles: a signed note with the cosignatures collected so far.",
                json!([]),
                text("The signed note.", NOTE),
            ),
        ),
        (
            "/log/tile/{level}/{index}",
            get("readTile", "A full tile of hashes", tile, json!([level(), index()]), bytes("256 hashes.")),
        ),
        (
            "/log/tile/{level}/{index}.p/{width}",
            get(
                "readPartialTile",
                "A tile of hashes at the right edge",
                tile,
                json!([level(), index(), width()]),
                bytes("As many hashes."),
            ),
        ),
        (
            "/log/tile/entries/{index}",
            get("readEntries", "A full bundle of entries", bundle, json!([index()]), bytes("256 entries.")),
        ),
        (
            "/log/tile/entries/{index}.p/{width}",
            get(
                "readPartialEntries",
                "A bundle of entries at the right edge",
                bundle,
                json!([index(), width()]),
                bytes("As many entries."),
            ),
        ),
        ("/witness/add-checkpoint", add_checkpoint()),
        ("/witness/{log}/checkpoint", cosigned),
    ];
    all.into_iter().map(|(path, item)| (path.to_owned(), item)).collect()
}
