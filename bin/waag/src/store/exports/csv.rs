//! A type's events as a table (RFC 4180), made from its JSON Lines in two readings: which columns, then the rows.
//!
//! Columns are the entry's facts, then the places of the event by their JSON Pointers in the order in which they come up,
//! at most [`COLUMNS_MAX`]; what stands at other places goes into the last column as one JSON object. The exact values are
//! those of the JSON Lines: here an empty cell is nothing, `null` is null.
//!
//! A text that a spreadsheet could take for a formula has an apostrophe before it (OWASP, CSV injection); numbers stay
//! as they are.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};

use serde::Deserialize;
use serde_json::value::RawValue;
use waag_cloudevents::{read_value, write_value};
use waag_model::schema::pointer_step;
use waag_model::value::Value;

use super::error::ExportError;
use super::folder::{Folder, Stream};
use super::forms::TypeForm;
use crate::store::error::StoreError;

/// Most columns of places.
const COLUMNS_MAX: usize = 256;
/// The columns before them.
const FACTS: [&str; 8] =
    ["position", "leaf_hash", "committed", "accepted", "type", "schema", "retention", "actor"];
/// Members of an event that the facts tell.
const TOLD: [&str; 2] = ["/specversion", "/type"];
/// What a formula begins with in some spreadsheet.
const FORMULA: [char; 11] =
    ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// A line as it was written.
#[derive(Deserialize)]
struct Line<'l> {
    position: u64,
    leaf_hash: &'l str,
    committed: &'l str,
    accepted: &'l str,
    #[serde(default)]
    actor: Option<String>,
    r#type: String,
    schema: u32,
    retention: String,
    #[serde(borrow, default)]
    event: Option<&'l RawValue>,
}

/// Writes a type's table.
pub(super) fn write(folder: &mut Folder, kind: &TypeForm) -> Result<(), ExportError> {
    let mut columns: Vec<String> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut has_others = false;
    each(folder, kind, &mut |line| {
        places(line, &mut |place, _| {
            if known.contains_key(&place) {
            } else if columns.len() < COLUMNS_MAX {
                known.insert(place.clone(), columns.len());
                columns.push(place);
            } else {
                has_others = true;
            }
        });
        Ok(())
    })?;
    let mut out = folder.stream(&kind.csv)?;
    let head = FACTS.into_iter().chain(columns.iter().map(String::as_str));
    let head = head.chain(has_others.then_some("other"));
    row(&mut out, head.map(cell_of_text))?;
    let mut cells: Vec<String> = Vec::new();
    each(folder, kind, &mut |line| {
        cells.clear();
        cells.resize(columns.len(), String::new());
        let mut others: Vec<(String, String)> = Vec::new();
        places(line, &mut |place, value| match known.get(&place).and_then(|at| cells.get_mut(*at)) {
            Some(cell) => *cell = cell_of(value),
            None => others.push((place, json_of(value))),
        });
        let (position, schema) = (line.position.to_string(), line.schema.to_string());
        let facts = [
            position,
            line.leaf_hash.to_owned(),
            line.committed.to_owned(),
            line.accepted.to_owned(),
            cell_of_text(&line.r#type),
            schema,
            cell_of_text(&line.retention),
            cell_of_text(line.actor.as_deref().unwrap_or_default()),
        ];
        let other = has_others.then(|| others_json(&others));
        row(&mut out, facts.into_iter().chain(cells.drain(..)).chain(other))
    })?;
    folder.close(&kind.csv, out)
}

/// Every line of a type's file.
fn each(
    folder: &Folder,
    kind: &TypeForm,
    visit: &mut dyn FnMut(&Line<'_>) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let path = folder.root().join(&kind.jsonl);
    let mut reader = BufReader::new(File::open(&path).map_err(StoreError::io("read", &path))?);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let read = reader.read_until(b'\n', &mut bytes).map_err(StoreError::io("read", &path))?;
        if read == 0 {
            return Ok(());
        }
        let line = serde_json::from_slice(&bytes);
        visit(&line.map_err(|error| ExportError::damaged(&kind.jsonl, error.to_string()))?)?;
    }
}

/// Every place of a line's event that has a value without parts, or an empty one.
fn places(line: &Line<'_>, visit: &mut dyn FnMut(String, &Value<'_>)) {
    let Some(event) = line.event else { return };
    // An event beyond a reader's limits (it was within them when it came in, with other escapes) has no table places.
    let Ok(event) = read_value(event.get().as_bytes()) else { return };
    walk(&event, String::new(), &mut |place, value| {
        if !TOLD.contains(&place.as_str()) {
            visit(place, value);
        }
    });
}

fn walk(value: &Value<'_>, place: String, visit: &mut dyn FnMut(String, &Value<'_>)) {
    match value {
        Value::Object(object) if !object.members().is_empty() => {
            for (name, member) in object.members() {
                walk(member, format!("{place}/{}", pointer_step(name)), visit);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (at, item) in items.iter().enumerate() {
                walk(item, format!("{place}/{at}"), visit);
            }
        }
        Value::Null
        | Value::Bool(_)
        | Value::Integer(_)
        | Value::Decimal(_)
        | Value::Text(_)
        | Value::Array(_)
        | Value::Object(_)
        | Value::Withheld(_) => visit(place, value),
    }
}

fn json_of(value: &Value<'_>) -> String {
    let mut json = Vec::new();
    write_value(value, &mut json);
    String::from_utf8(json).unwrap_or_default()
}

fn cell_of(value: &Value<'_>) -> String {
    match value {
        Value::Text(text) => cell_of_text(text),
        Value::Withheld(_) => String::new(),
        Value::Null
        | Value::Bool(_)
        | Value::Integer(_)
        | Value::Decimal(_)
        | Value::Array(_)
        | Value::Object(_) => json_of(value),
    }
}

/// A text that no spreadsheet takes for a formula.
fn cell_of_text(text: &str) -> String {
    if text.starts_with(FORMULA) { format!("'{text}") } else { text.to_owned() }
}

fn others_json(others: &[(String, String)]) -> String {
    let members = others
        .iter()
        .map(|(place, json)| format!("{}:{json}", serde_json::to_string(place).unwrap_or_default()));
    if others.is_empty() { String::new() } else { format!("{{{}}}", members.collect::<Vec<_>>().join(",")) }
}

fn row(out: &mut Stream, cells: impl Iterator<Item = String>) -> Result<(), ExportError> {
    let mut line = String::new();
    for (at, cell) in cells.enumerate() {
        if at > 0 {
            line.push(',');
        }
        if cell.contains(['"', ',', '\r', '\n']) || cell.starts_with(' ') || cell.ends_with(' ') {
            line.push('"');
            line.push_str(&cell.replace('"', "\"\""));
            line.push('"');
        } else {
            line.push_str(&cell);
        }
    }
    line.push_str("\r\n");
    out.write(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_every_place_quotes_as_the_rfc_says_and_disarms_formulas() {
        let folder = tempfile::tempdir().unwrap();
        let mut out = Folder::create(&folder.path().join("out")).unwrap();
        let line = |position: u64, data: &str| {
            format!(
                r#"{{"position":{position},"leaf_hash":"ab","committed":"c","accepted":"a","actor":"=x","type":"t","schema":0,"retention":"business","event":{{"specversion":"1.0","id":"1","type":"t","data":{data}}}}}"#
            ) + "\n"
        };
        let text = line(0, r#"{"a":"=HYPERLINK(1)","b":-1.50,"c":"x,\"y\"\r\n","d":[1,{"e":null}]}"#)
            + &line(1, r#"{"f":[],"b":"-2"}"#);
        out.whole("events/t.jsonl", text.as_bytes()).unwrap();
        let kind = TypeForm {
            r#type: Some("t".into()),
            events: 2,
            jsonl: "events/t.jsonl".into(),
            csv: "events/t.csv".into(),
        };
        write(&mut out, &kind).unwrap();
        let csv = std::fs::read_to_string(out.root().join("events/t.csv")).unwrap();
        let expected = "position,leaf_hash,committed,accepted,type,schema,retention,actor,\
            /id,/data/a,/data/b,/data/c,/data/d/0,/data/d/1/e,/data/f\r\n\
            0,ab,c,a,t,0,business,'=x,1,'=HYPERLINK(1),-1.50,\"x,\"\"y\"\"\r\n\",1,null,\r\n\
            1,ab,c,a,t,0,business,'=x,1,,'-2,,,,[]\r\n";
        assert_eq!(csv, expected);
    }

    #[test]
    fn places_beyond_the_limit_go_into_one_column_as_json() {
        let folder = tempfile::tempdir().unwrap();
        let mut out = Folder::create(&folder.path().join("out")).unwrap();
        let members: Vec<String> = (0..COLUMNS_MAX + 2).map(|n| format!("\"m{n:03}\":{n}")).collect();
        let text = format!(
            r#"{{"position":0,"leaf_hash":"ab","committed":"c","accepted":"a","type":"t","schema":0,"retention":"b","event":{{"data":{{{}}}}}}}"#,
            members.join(",")
        );
        out.whole("events/t.jsonl", (text + "\n").as_bytes()).unwrap();
        let kind =
            TypeForm { r#type: None, events: 1, jsonl: "events/t.jsonl".into(), csv: "events/t.csv".into() };
        write(&mut out, &kind).unwrap();
        let csv = std::fs::read_to_string(out.root().join("events/t.csv")).unwrap();
        let other = r#""{""/data/m256"":256,""/data/m257"":257}""#;
        assert!(csv.trim_end().ends_with(other), "{csv}");
    }
}
