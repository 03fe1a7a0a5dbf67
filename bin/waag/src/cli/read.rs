//! `waag read`: recorded events as far as their keys are there, personal fields masked unless a reason is given.
//!
//! A reveal is recorded before anything is shown: who asked, why, and for which positions.

use std::ops::ControlFlow;

use serde::Serialize;
use serde_json::value::RawValue;
use waag_cloudevents::write_event;
use waag_engine::reader::ReadFault;
use waag_entry::form::{Entry, Role};
use waag_entry::merge::merge;
use waag_entry::plain::{Body, Common, Inline, read_common, read_fields};
use waag_ledger::hash::leaf_hash;
use waag_log::contract::FrameView;
use waag_model::event::{Data, Event};
use waag_model::ids::Position;
use waag_model::value::{Object, Value};

use super::failure::{CliError, Exit, Failure};
use super::mask::{mask_fields, mask_text};
use super::output::{Output, tell};
use super::setting::Setting;
use crate::store::beside::REVEALED;
use crate::store::error::StoreError;
use crate::store::own::own_event;
use crate::store::reader::{OpenedReader, open_reader};
use crate::store::subjects::report::refuse_restricted;

const HELP: &str = "\
One JSON object a line: `position`, `leaf_hash`, `accepted`, `actor`, `type`, and `event` in the CloudEvents JSON format.
`masked` lists the places (JSON Pointers) of which at most the last four characters are shown; with --reveal REASON
everything is shown, and an event with the actor, the reason and the positions is recorded before; where another
process writes the store, that process is asked to record it.
A span with a person in it whose data is restricted (`waag subject restrict`) is not revealed.
`erased` lists the parts whose keys were destroyed, `missing` the places that stood in them.

Example:
  waag read --from 100 --count 20
  waag read --position 42 --reveal \"ticket 4711, customer asked\"";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The first position
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "position")]
    from: u64,

    /// How many events; up to the newest where not given
    #[arg(long, value_name = "N", conflicts_with = "position")]
    count: Option<u64>,

    /// This event only
    #[arg(long, value_name = "N")]
    position: Option<u64>,

    /// Show personal fields, for this reason, which is recorded
    #[arg(long, value_name = "REASON")]
    reveal: Option<String>,
}

/// One entry as it is shown.
#[derive(Serialize)]
struct Shown<'a> {
    position: u64,
    leaf_hash: String,
    accepted: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    r#type: &'a str,
    schema: u32,
    retention: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    masked: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    erased: Vec<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<String>,
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let (place, options) = (setting.place()?, setting.options()?);
    let mut store = open_reader(&place, &options)?;
    let (from, to) = range(args, store.end())?;
    if let Some(reason) = &args.reveal {
        let reason = reason.trim();
        if reason.is_empty() {
            return Err(Failure::usage("--reveal needs a reason"));
        }
        refuse_restricted(&store.reader, from, to)?;
        drop(store);
        record_reveal(setting, reason, from, to)?;
        store = open_reader(&place, &options)?;
    }
    for fault in &store.schema_faults {
        tell(&format!("warning: {}: {fault}", fault.code()));
    }
    show(&store, from, to, args.reveal.is_some(), output)?;
    Ok(Exit::Done)
}

/// The positions asked for: the first, and the one after the last.
fn range(args: &Args, end: Position) -> Result<(Position, Position), Failure> {
    let (from, count) = match args.position {
        Some(position) => (position, Some(1)),
        None => (args.from, args.count),
    };
    let is_beyond = from > end.0 || (args.position.is_some() && from >= end.0);
    if is_beyond {
        return Err(ReadFault::Beyond(Position(from)).into());
    }
    let to = count.map_or(end.0, |count| from.saturating_add(count).min(end.0));
    Ok((Position(from), Position(to)))
}

fn record_reveal(setting: &Setting, reason: &str, from: Position, to: Position) -> Result<(), Failure> {
    let data = vec![
        ("reason", Value::Text(reason.into())),
        ("from", Value::Integer(from.0.into())),
        ("to", Value::Integer(to.0.into())),
    ];
    let event = own_event(REVEALED, None, data)
        .map_err(|_| StoreError::Keys(waag_keys::error::KeysError::Entropy))?;
    let position = setting.record(&event)?;
    tell(&format!("note: this reveal is recorded at position {position}"));
    Ok(())
}

fn show(
    store: &OpenedReader,
    from: Position,
    to: Position,
    reveal: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    if from >= to {
        return Ok(());
    }
    let mut failed = None;
    let mut look = |frame: FrameView<'_>| {
        for (position, bytes) in frame.entries().filter(|(position, _)| *position >= from) {
            if position >= to {
                return ControlFlow::Break(());
            }
            if let Err(failure) = show_one(store, position, bytes, reveal, output) {
                failed = Some(failure);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    };
    store.reader.log.read(from, &mut look).map_err(ReadFault::Log)?;
    failed.map_or(Ok(()), Err)
}

fn show_one(
    store: &OpenedReader,
    position: Position,
    bytes: &[u8],
    reveal: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    let entry = Entry::read(bytes).map_err(ReadFault::Entry)?;
    let read = store.reader.open(&entry)?;
    let mut masked = Vec::new();
    let mut parts = Vec::new();
    let mut erased = Vec::new();
    let mut common: Option<Common<'_>> = None;
    for (index, part) in entry.parts.iter().enumerate() {
        let Some(plain) = read.opened.plain(index) else {
            erased.push(index);
            continue;
        };
        match part.role {
            Role::Common => common = here(read_common(plain).map_err(ReadFault::Entry)?),
            Role::Person => {
                let Some(fields) = here(read_fields(plain).map_err(ReadFault::Entry)?) else { continue };
                let number = u8::try_from(index).unwrap_or(u8::MAX);
                let is_actor = common.as_ref().is_some_and(|common| common.actor == Value::Withheld(number));
                parts
                    .push((number, if reveal { fields } else { mask_fields(fields, is_actor, &mut masked) }));
            }
        }
    }
    let merged = match common {
        Some(common) => Some(merge(common, parts).map_err(ReadFault::Entry)?),
        None => None,
    };
    let header = &entry.header;
    let mut shown = Shown {
        position: position.0,
        leaf_hash: leaf_hash(bytes).to_string(),
        accepted: header.accepted.to_string(),
        actor: None,
        r#type: header.kind,
        schema: header.schema,
        retention: header.retention,
        event: None,
        masked,
        erased,
        missing: Vec::new(),
    };
    if let Some(merged) = merged {
        shown.missing = missing(&merged);
        shown.actor = merged.actor.as_text().map(str::to_owned);
        shown.event = Some(event_json(merged, header.kind)?);
    }
    output.json(&shown)
}

fn here<T>(plain: Inline<T>) -> Option<T> {
    match plain {
        Inline::Here(plain) => Some(plain),
        // Opening has followed every reference, so that none is left.
        Inline::Blob(_) => None,
    }
}

/// The places that no part has filled.
pub(crate) fn missing(common: &Common<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let mut top = vec![("/id", &common.id), ("/source", &common.source), ("/attributes", &common.attributes)];
    top.extend(common.subject.as_ref().map(|subject| ("/subject", subject)));
    if let Body::Json(data) = &common.body {
        top.push(("/data", data));
    }
    top.push(("/actor", &common.actor));
    top.into_iter().for_each(|(path, value)| withheld(value, path.to_owned(), &mut found));
    found
}

fn withheld(value: &Value<'_>, path: String, found: &mut Vec<String>) {
    match value {
        Value::Withheld(_) => found.push(path),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| withheld(item, format!("{path}/{at}"), found));
        }
        Value::Object(object) => object.members().iter().for_each(|(name, member)| {
            let step = waag_model::schema::pointer_step(name);
            withheld(member, format!("{path}/{step}"), found);
        }),
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Decimal(_) | Value::Text(_) => {}
    }
}

/// The event's JSON without what is withheld, `id` and `source` included.
pub(crate) fn event_json(common: Common<'_>, kind: &str) -> Result<Box<RawValue>, Failure> {
    let text = |value: &Value<'_>| value.as_text().unwrap_or_default().to_owned();
    let (has_id, has_source) = (common.id.as_text().is_some(), common.source.as_text().is_some());
    let event = Event {
        id: text(&common.id).into(),
        source: text(&common.source).into(),
        kind: kind.into(),
        subject: common.subject.as_ref().and_then(Value::as_text).map(|subject| subject.to_owned().into()),
        attributes: if let Value::Object(attributes) = common.attributes {
            attributes
        } else {
            Object::default()
        },
        data: match common.body {
            Body::None => Data::None,
            Body::Json(data) => Data::Json(data),
            Body::Binary(bytes) => Data::Binary(bytes),
        },
    };
    let mut json = Vec::new();
    write_event(&event, &mut json);
    let mut json = String::from_utf8(json)
        .map_err(|_| Failure::from(CliError::Output(std::io::Error::other("not UTF-8"))))?;
    // An empty id or source stands first in what was written, and no event that was recorded has one.
    for (is_there, member) in [(has_id, r#""id":"","#), (has_source, r#""source":"","#)] {
        if !is_there {
            json = json.replacen(member, "", 1);
        }
    }
    RawValue::from_string(json).map_err(|error| CliError::Output(error.into()).into())
}

/// A person's id as it may stand in answers and notes.
pub(crate) fn masked_person(id: &str) -> String {
    mask_text(id)
}
