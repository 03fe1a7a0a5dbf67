//! What is printed: the report for a person, the one JSON object for a program, and the refusal in either form.
//!
//! Not here: the decision (`verify`), the JSON text (`json`).

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use waag_entry::form::Role;
use waag_entry::plain::{Body, Common, Field, Fields};
use waag_ledger::note::VerifierKey;
use waag_model::schema::pointer_step;
use waag_model::value::Value;

use crate::error::VerifyError;
use crate::json::{Json, shown};
use crate::pack_report;
use crate::verify::{Content, Verified, VerifiedPart};
use crate::{EXIT_ENVIRONMENT, EXIT_NOT_VERIFIED};

/// The report for a person.
///
/// # Errors
/// [`VerifyError::Part`], as [`VerifiedPart::content`].
pub fn verified_text(verified: &Verified) -> Result<String, VerifyError> {
    let signers: Vec<String> = verified.signers.iter().map(signer).collect();
    let mut out = String::from("verified\n");
    let mut fact = |name: &str, fact: &str| {
        let _ = writeln!(out, "  {name:<12} {}", shown(fact));
    };
    fact("position", &verified.position.to_string());
    fact("leaf hash", &verified.leaf.to_string());
    fact("tree size", &verified.tree_size.to_string());
    fact("root", &verified.root.to_string());
    fact("origin", &verified.origin);
    fact("signed by", &signers.join(", "));
    if verified.signatures_unchecked > 0 {
        let count = verified.signatures_unchecked;
        fact("not checked", &format!("{count} signature lines by keys that were not given"));
    }
    fact("type", &verified.kind);
    fact("schema", &verified.schema.to_string());
    fact("accepted", &verified.accepted.to_string());
    fact("retention", &verified.retention);
    fact("parts", &verified.parts.to_string());
    if let Some(part) = &verified.part {
        fact(
            "opened part",
            &format!("{} ({}), sealed under key {}", part.index, role(part.role), part.key_id),
        );
        if let Some(blob) = part.blob {
            fact("blob", &hex::encode(blob));
        }
        let mut json = Json::new(true);
        json.object(|json| part_content(json, part))?;
        out.push_str(&json.into_text());
        out.push('\n');
    }
    Ok(out)
}

/// The report for a program: one object on one line.
///
/// # Errors
/// As [`verified_text`].
pub fn verified_json(verified: &Verified) -> Result<String, VerifyError> {
    let mut json = Json::new(false);
    json.object(|json| {
        json.member("ok").plain(true);
        json.member("position").plain(verified.position);
        json.member("leaf_hash").string(&verified.leaf.to_string());
        json.member("tree_size").plain(verified.tree_size);
        json.member("root").string(&verified.root.to_string());
        json.member("origin").string(&verified.origin);
        json.member("signers").array(|json| {
            verified.signers.iter().for_each(|key| json.item().string(&signer(key)));
            Ok::<(), VerifyError>(())
        })?;
        json.member("signatures_unchecked").plain(verified.signatures_unchecked);
        json.member("type").string(&verified.kind);
        json.member("schema").plain(verified.schema);
        json.member("accepted").string(&verified.accepted.to_string());
        json.member("retention").string(&verified.retention);
        json.member("parts").plain(verified.parts);
        let Some(part) = &verified.part else { return Ok(()) };
        json.member("part").object(|json| {
            json.member("index").plain(part.index);
            json.member("role").string(role(part.role));
            json.member("key_id").string(&part.key_id.to_string());
            if let Some(blob) = part.blob {
                json.member("blob").string(&hex::encode(blob));
            }
            part_content(json, part)
        })
    })?;
    Ok(json.into_text() + "\n")
}

/// The refusal for a person.
#[must_use]
pub fn refusal_text(error: &VerifyError) -> String {
    let outcome = match error.exit() {
        EXIT_NOT_VERIFIED => "not verified",
        EXIT_ENVIRONMENT => "the environment failed",
        _ => "wrong usage",
    };
    // The command line's own reader speaks in paragraphs; all else is one line.
    let reason: Vec<String> = error.to_string().lines().map(shown).collect();
    format!("{outcome}: {}: {}\n", error.code(), reason.join("\n"))
}

/// The refusal for a program: one object on one line.
#[must_use]
pub fn refusal_json(error: &VerifyError) -> String {
    let mut json = Json::new(false);
    let Ok(()) = json.object(|json| {
        json.member("ok").plain(false);
        json.member("error").object(|json| {
            json.member("code").string(error.code());
            json.member("reason").string(&error.to_string());
            if let VerifyError::Pack(fault) = error {
                pack_report::place(json, &fault.place());
            }
            Ok::<(), std::convert::Infallible>(())
        })
    });
    json.into_text() + "\n"
}

/// A key by its name and id, which is how a signature line names it.
pub(crate) fn signer(key: &VerifierKey) -> String {
    format!("{}+{}", key.name(), key.id())
}

pub(crate) fn role(role: Role) -> &'static str {
    match role {
        Role::Common => "common",
        Role::Person => "person",
    }
}

/// The members `content`, null where it is in a blob that was not given, and `withheld`.
fn part_content(json: &mut Json, part: &VerifiedPart) -> Result<(), VerifyError> {
    let content = part.content().map_err(|error| VerifyError::Part { index: part.index, error })?;
    let places = match &content {
        Content::Common(event) => {
            common(json.member("content"), event)?;
            withheld(event)
        }
        Content::Person(fields) => {
            person(json.member("content"), fields)?;
            Vec::new()
        }
        Content::Elsewhere => {
            json.member("content").plain("null");
            Vec::new()
        }
    };
    write_places(json, &places)
}

/// The member `withheld`: places and the parts that fill them.
pub(crate) fn write_places(json: &mut Json, places: &[(String, u8)]) -> Result<(), VerifyError> {
    json.member("withheld").array(|json| {
        places.iter().try_for_each(|(path, part)| {
            json.item().object(|json| {
                json.member("path").string(path);
                json.member("part").plain(part);
                Ok(())
            })
        })
    })
}

pub(crate) fn common(json: &mut Json, event: &Common<'_>) -> Result<(), VerifyError> {
    json.object(|json| {
        json.member("id").value(&event.id);
        json.member("source").value(&event.source);
        if let Some(subject) = &event.subject {
            json.member("subject").value(subject);
        }
        json.member("attributes").value(&event.attributes);
        match &event.body {
            Body::None => {}
            Body::Json(data) => json.member("data").value(data),
            Body::Binary(bytes) => json.member("data_base64").string(&STANDARD.encode(bytes)),
        }
        json.member("actor").value(&event.actor);
        Ok(())
    })
}

fn person(json: &mut Json, fields: &Fields<'_>) -> Result<(), VerifyError> {
    json.object(|json| {
        fields.iter().try_for_each(|(path, field)| match field {
            Field::Value(value) => {
                json.member(path).value(value);
                Ok(())
            }
            Field::Event(event) => common(json.member(path), event),
        })
    })
}

/// The places of an event whose values stand in other parts.
pub(crate) fn withheld(event: &Common<'_>) -> Vec<(String, u8)> {
    let mut places = Vec::new();
    let data = if let Body::Json(data) = &event.body { Some(data) } else { None };
    let named = [
        ("/id", Some(&event.id)),
        ("/source", Some(&event.source)),
        ("/subject", event.subject.as_ref()),
        ("/attributes", Some(&event.attributes)),
        ("/data", data),
        ("/actor", Some(&event.actor)),
    ];
    for (path, value) in named {
        if let Some(value) = value {
            withheld_below(value, path.to_owned(), &mut places);
        }
    }
    places
}

fn withheld_below(value: &Value<'_>, path: String, places: &mut Vec<(String, u8)>) {
    match value {
        Value::Withheld(part) => places.push((path, *part)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, item)| withheld_below(item, format!("{path}/{index}"), places)),
        Value::Object(object) => object.members().iter().for_each(|(name, member)| {
            withheld_below(member, format!("{path}/{}", pointer_step(name)), places);
        }),
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Decimal(_) | Value::Text(_) => {}
    }
}
