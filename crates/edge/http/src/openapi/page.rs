//! The OpenAPI document as a page for people: what there is, who may ask it, with what, and what comes back.
//!
//! Made of the document alone, so that it tells of no operation that the document does not tell of. It has no script
//! and loads nothing; its style stands in it, and the policy names that style's hash.
//! Not here: the document (`openapi`), how the page looks (`templates/docs.html`, `templates/docs.css`).

use std::sync::LazyLock;

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// The page's style.
const STYLE: &str = include_str!("../../templates/docs.css");
/// Where schemas are in the document.
const SCHEMAS: &str = "#/components/schemas/";

/// The page.
static PAGE: LazyLock<String> =
    LazyLock::new(|| Page::of(&super::document()).render().unwrap_or_else(|error| error.to_string()));

/// What the page's reader may load: nothing but the style that stands in it (CSP Level 3, §2.3.1, hash-source).
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

/// The page as HTML.
pub(crate) fn page() -> &'static str {
    &PAGE
}

/// Its content security policy.
pub(crate) fn policy() -> &'static str {
    &POLICY
}

/// A piece of a text.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Code(String),
    /// A schema on the page.
    Schema(String),
}

#[derive(Template)]
#[template(path = "docs.html")]
struct Page {
    version: String,
    about: String,
    style: &'static str,
    groups: Vec<Group>,
    schemas: Vec<Schema>,
}

/// Operations about one thing.
struct Group {
    id: String,
    about: Vec<Piece>,
    operations: Vec<Operation>,
}

struct Operation {
    id: String,
    method: String,
    path: String,
    summary: String,
    about: Vec<Piece>,
    /// Roles whose keys may ask it; none where no key is needed.
    roles: Vec<String>,
    fields: Vec<Field>,
    bodies: Vec<Body>,
    curl: String,
    answers: Vec<Answer>,
    refusals: Vec<Answer>,
}

/// A parameter, or a member of an object.
struct Field {
    name: String,
    /// `path`, `query`, `header`; empty for an object's member.
    place: String,
    required: bool,
    kind: Vec<Piece>,
    about: Vec<Piece>,
}

struct Body {
    media: String,
    kind: Vec<Piece>,
    example: String,
}

struct Answer {
    status: String,
    about: Vec<Piece>,
    kind: Vec<Piece>,
    headers: Vec<String>,
}

struct Schema {
    name: String,
    about: Vec<Piece>,
    kind: Vec<Piece>,
    members: Vec<Field>,
    json: String,
}

impl Page {
    fn of(document: &Value) -> Self {
        let groups = list(document, "/tags").map(|tag| Group {
            id: told(tag, "/name"),
            about: pieces(&told(tag, "/description")),
            operations: operations(document, &told(tag, "/name")),
        });
        Self {
            version: told(document, "/info/version"),
            about: told(document, "/info/description"),
            style: STYLE,
            groups: groups.collect(),
            schemas: members(document, "/components/schemas")
                .map(|(name, schema)| schema_of(name, schema))
                .collect(),
        }
    }
}

/// The operations of a group, by path.
fn operations(document: &Value, group: &str) -> Vec<Operation> {
    let mut found = Vec::new();
    for (path, item) in members(document, "/paths") {
        for (method, operation) in item.as_object().into_iter().flatten() {
            if told(operation, "/tags/0") == group {
                found.push(operation_of(document, (path, item), (method, operation)));
            }
        }
    }
    found
}

fn operation_of(
    document: &Value,
    (path, item): (&str, &Value),
    (method, operation): (&str, &Value),
) -> Operation {
    let parameters: Vec<&Value> = list(item, "/parameters").chain(list(operation, "/parameters")).collect();
    let bodies: Vec<Body> = members(operation, "/requestBody/content").map(body).collect();
    let (answers, refusals) = members(operation, "/responses")
        .map(|(status, answer)| answer_of(document, status, answer))
        .partition(|answer| answer.status.as_str() < "400");
    let roles: Vec<String> =
        list(operation, "/x-waag-roles").filter_map(Value::as_str).map(str::to_owned).collect();
    Operation {
        curl: curl((method, path), &parameters, !roles.is_empty(), operation),
        id: told(operation, "/operationId"),
        method: method.to_uppercase(),
        path: path.to_owned(),
        summary: told(operation, "/summary"),
        about: pieces(&told(operation, "/description")),
        roles,
        fields: parameters.into_iter().map(parameter).collect(),
        bodies,
        answers,
        refusals,
    }
}

fn parameter(parameter: &Value) -> Field {
    Field {
        name: told(parameter, "/name"),
        place: told(parameter, "/in"),
        required: is_required(parameter),
        kind: parameter.pointer("/schema").map(kind).unwrap_or_default(),
        about: pieces(&told(parameter, "/description")),
    }
}

fn is_required(parameter: &Value) -> bool {
    parameter.pointer("/required") == Some(&Value::Bool(true))
}

fn body((media, content): (&str, &Value)) -> Body {
    Body {
        media: media.to_owned(),
        kind: content.pointer("/schema").map(kind).unwrap_or_default(),
        example: example(media, content),
    }
}

/// An example as it would be sent, JSON with line breaks.
fn example(media: &str, content: &Value) -> String {
    match content.pointer("/example") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(lines)) if media == super::LINES => {
            lines.iter().map(|line| format!("{line}\n")).collect()
        }
        Some(other) => serde_json::to_string_pretty(other).unwrap_or_default(),
        None => String::new(),
    }
}

fn answer_of(document: &Value, status: &str, answer: &Value) -> Answer {
    let mut kinds = Vec::new();
    for (media, content) in members(answer, "/content").filter(|(media, _)| *media != super::PROBLEM) {
        if !kinds.is_empty() {
            kinds.push(Piece::Text(", or ".to_owned()));
        }
        kinds.push(Piece::Code(media.to_owned()));
        if let Some(schema) = content.pointer("/schema") {
            kinds.push(Piece::Text(": ".to_owned()));
            kinds.extend(kind(schema));
        }
    }
    let known = |name: &str| document.pointer(&format!("/components/headers/{name}")).is_some();
    let headers = members(answer, "/headers").map(|(name, _)| name).filter(|name| known(name));
    Answer {
        status: status.to_owned(),
        about: pieces(&told(answer, "/description")),
        kind: kinds,
        headers: headers.map(str::to_owned).collect(),
    }
}

/// A command that asks the operation, for a shell in which `WAAG` and `KEY` are set.
fn curl((method, path): (&str, &str), parameters: &[&Value], needs_key: bool, operation: &Value) -> String {
    let mut asked = path.to_owned();
    for parameter in parameters {
        let name = told(parameter, "/name");
        let example = parameter.pointer("/example").or_else(|| parameter.pointer("/schema/enum/0"));
        let Some(example) = example.map(plain) else { continue };
        if told(parameter, "/in") == "path" {
            asked = asked.replace(&format!("{{{name}}}"), &example);
        } else if is_required(parameter) {
            let before = if asked.contains('?') { '&' } else { '?' };
            asked.push_str(&format!("{before}{name}={}", example.replace(' ', "%20")));
        }
    }
    let body = members(operation, "/requestBody/content").next();
    let mut command = String::from("curl");
    // Without being told, curl asks with GET, or with POST where it is given a body.
    if method != if body.is_some() { "post" } else { "get" } {
        command.push_str(&format!(" -X {}", method.to_uppercase()));
    }
    command.push_str(&format!(" \"$WAAG{asked}\""));
    if needs_key {
        command.push_str(" \\\n  -H \"x-api-key: $KEY\"");
    }
    if let Some((media, content)) = body {
        let sent = match content.pointer("/example") {
            Some(Value::String(_)) | None => "@body".to_owned(),
            // A single quote would end the shell's text.
            Some(json) => format!("'{}'", json.to_string().replace('\'', r"'\''")),
        };
        command.push_str(&format!(" \\\n  -H 'content-type: {media}' \\\n  --data-binary {sent}"));
    }
    command
}

fn schema_of(name: &str, schema: &Value) -> Schema {
    let required: Vec<&str> = list(schema, "/required").filter_map(Value::as_str).collect();
    let member = |(name, schema): (&str, &Value)| Field {
        name: name.to_owned(),
        place: String::new(),
        required: required.contains(&name),
        kind: kind(schema),
        about: pieces(&told(schema, "/description")),
    };
    let members: Vec<Field> = members(schema, "/properties").map(member).collect();
    Schema {
        name: name.to_owned(),
        about: pieces(&told(schema, "/description")),
        kind: if members.is_empty() { kind(schema) } else { Vec::new() },
        members,
        json: serde_json::to_string_pretty(schema).unwrap_or_default(),
    }
}

/// What a schema allows, in a few words.
fn kind(schema: &Value) -> Vec<Piece> {
    if let Some(name) = schema.pointer("/$ref").and_then(Value::as_str) {
        return vec![Piece::Schema(name.strip_prefix(SCHEMAS).unwrap_or(name).to_owned())];
    }
    for choice in ["/anyOf", "/oneOf"] {
        if schema.pointer(choice).is_some() {
            return joined(list(schema, choice).map(kind), " or ");
        }
    }
    if let Some(fixed) = schema.pointer("/const") {
        return vec![Piece::Code(plain(fixed))];
    }
    if schema.pointer("/enum").is_some() {
        return joined(list(schema, "/enum").map(|one| vec![Piece::Code(plain(one))]), ", ");
    }
    if let Some(items) = schema.pointer("/items") {
        return std::iter::once(Piece::Text("list of ".to_owned())).chain(kind(items)).collect();
    }
    let named = match schema.pointer("/type") {
        Some(Value::String(one)) => one.clone(),
        Some(Value::Array(several)) => several.iter().map(plain).collect::<Vec<_>>().join(" or "),
        _ => "any JSON".to_owned(),
    };
    let within = |least: &str, most: &str| {
        let of = |at: &str| schema.pointer(at).map(plain);
        match (of(least), of(most)) {
            (Some(least), Some(most)) => Some(format!("{least} to {most}")),
            (Some(least), None) if least != "0" => Some(format!("at least {least}")),
            (None, Some(most)) => Some(format!("at most {most}")),
            _ => None,
        }
    };
    let chars = within("/minLength", "/maxLength").map(|within| format!("{within} characters"));
    let form = schema.pointer("/format").or_else(|| schema.pointer("/contentEncoding")).map(plain);
    let more = [form, within("/minimum", "/maximum"), chars];
    let all = std::iter::once(named).chain(more.into_iter().flatten()).collect::<Vec<_>>();
    vec![Piece::Text(all.join(", "))]
}

fn joined(parts: impl Iterator<Item = Vec<Piece>>, between: &str) -> Vec<Piece> {
    let mut all = Vec::new();
    for part in parts {
        if !all.is_empty() {
            all.push(Piece::Text(between.to_owned()));
        }
        all.extend(part);
    }
    all
}

/// A text whose `code` stands between grave accents.
fn pieces(text: &str) -> Vec<Piece> {
    let parts = text.split('`').enumerate().filter(|(_, part)| !part.is_empty());
    parts
        .map(
            |(at, part)| {
                if at % 2 == 0 { Piece::Text(part.to_owned()) } else { Piece::Code(part.to_owned()) }
            },
        )
        .collect()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn told(value: &Value, at: &str) -> String {
    value.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn list<'v>(value: &'v Value, at: &str) -> impl Iterator<Item = &'v Value> {
    value.pointer(at).and_then(Value::as_array).into_iter().flatten()
}

fn members<'v>(value: &'v Value, at: &str) -> impl Iterator<Item = (&'v str, &'v Value)> {
    let members: Option<&Map<String, Value>> = value.pointer(at).and_then(Value::as_object);
    members.into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_told_in_a_few_words() {
        let of = |schema: &str| {
            let words = kind(&serde_json::from_str(schema).unwrap());
            let word = |piece: &Piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Code(text) => format!("`{text}`"),
                Piece::Schema(name) => format!("[{name}]"),
            };
            words.iter().map(word).collect::<String>()
        };
        assert_eq!(of(r##"{"$ref":"#/components/schemas/Event"}"##), "[Event]");
        assert_eq!(
            of(r##"{"type":"array","items":{"$ref":"#/components/schemas/Event"}}"##),
            "list of [Event]"
        );
        assert_eq!(of(r#"{"oneOf":[{"const":"a"},{"type":"null"}]}"#), "`a` or null");
        assert_eq!(of(r#"{"enum":["a","b"]}"#), "`a`, `b`");
        assert_eq!(of(r#"{"type":"integer","minimum":0}"#), "integer");
        assert_eq!(of(r#"{"type":"integer","minimum":1,"maximum":9}"#), "integer, 1 to 9");
        assert_eq!(of(r#"{"type":["string","null"],"maxLength":5}"#), "string or null, at most 5 characters");
        assert_eq!(of("{}"), "any JSON");
    }

    #[test]
    fn the_page_tells_of_every_operation_and_links_to_what_is_on_it() {
        let document = super::super::document();
        let operations = members(&document, "/paths")
            .flat_map(|(_, item)| item.as_object().into_iter().flatten())
            .filter_map(|(_, operation)| operation.pointer("/operationId").and_then(Value::as_str));
        let mut told = 0;
        for id in operations {
            assert!(page().contains(&format!("<article id=\"{id}\"")), "{id}");
            told += 1;
        }
        assert!(told > 30);
        let links = page().split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next());
        for link in links {
            assert!(page().contains(&format!("id=\"{link}\"")), "#{link}");
        }
        assert!(page().contains(STYLE) && !page().contains("<script") && !page().contains(" style="));
    }
}
