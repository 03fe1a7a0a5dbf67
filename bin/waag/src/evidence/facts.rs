//! What a pack's cover tells, gathered from what goes into the pack.
//!
//! Not here: how it is told and drawn (`edge/cover`).

use waag_cover::{Asked as AskedShown, Cover, EVENTS_SHOWN_MAX, EventLine, Held, Standing, TypeCount};
use waag_engine::reader::{ReadFault, Reader};
use waag_entry::form::{Entry, read_clear};
use waag_entry::plain::{Body, Common};
use waag_ledger::checkpoint::SignedCheckpoint;
use waag_ledger::hash::leaf_hash;
use waag_ledger::pack::Term;
use waag_model::time::UtcNanos;
use waag_model::value::Value;

use super::Source;
use super::asked::Asked;
use super::disclosure::Disclosed;
use super::error::EvidenceError;
use super::gather::{Picked, types};
use super::standing::{signers, witnesses};

/// Members of an event's data that tell its state, the first that is there.
const STATES: [&str; 3] = ["status", "state", "activity"];

/// What a cover is told beside the entries.
pub(super) struct Means<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) asked: &'a Asked,
    pub(super) terms: &'a [Term],
    pub(super) event_id: &'a str,
    pub(super) checkpoint: &'a SignedCheckpoint,
    pub(super) published: bool,
}

/// The facts of a cover.
pub(super) fn cover(
    means: &Means<'_>,
    picked: &[Picked],
    disclosed: &Disclosed,
) -> Result<Cover, EvidenceError> {
    let Means { source, asked, terms, event_id, checkpoint, published } = means;
    let told = checkpoint.checkpoint();
    let lines = picked.iter().take(EVENTS_SHOWN_MAX).map(|one| line(&source.reader, one));
    Ok(Cover {
        asked: AskedShown {
            by: asked.by.as_str().to_owned(),
            reason: asked.reason.trim().to_owned(),
            made: source.now,
            selection: conditions(asked, terms),
            reveal: asked.reveal.as_ref().map(|why| why.trim().to_owned()),
            despite_restriction: asked.despite_restriction.as_ref().map(|why| why.trim().to_owned()),
            event_id: (*event_id).to_owned(),
        },
        held: held(picked, disclosed)?,
        standing: Standing {
            origin: told.origin.clone(),
            ledger: source.reader.ledger.to_string(),
            size: told.size,
            root: told.root.to_string(),
            root_base64: told.root.to_base64(),
            signers: signers(checkpoint),
            witnesses: witnesses(checkpoint),
            published: *published,
        },
        events: lines.collect::<Result<_, EvidenceError>>()?,
    })
}

/// The conditions as a reader of the cover understands them.
fn conditions(asked: &Asked, terms: &[Term]) -> Vec<(String, String)> {
    let name = |term: &str| {
        match term {
            "invoice" => "Invoice",
            "person-tag" => "Person, by keyed tag",
            "from" => "Accepted from",
            "to" => "Accepted before",
            "positions" => "Positions",
            "type" => "Type",
            "pattern" => "Event pattern",
            "last" => "The newest of these",
            other => other,
        }
        .to_owned()
    };
    let mut shown = vec![("Selected".to_owned(), asked.selection.words())];
    shown.extend(terms.iter().map(|term| (name(&term.name), term.value.clone())));
    shown
}

fn held(picked: &[Picked], disclosed: &Disclosed) -> Result<Held, EvidenceError> {
    let (mut earliest, mut latest) = (UtcNanos(i64::MAX), UtcNanos(i64::MIN));
    for one in picked {
        let accepted = read_clear(&one.bytes).map_err(ReadFault::Entry)?.accepted;
        (earliest, latest) = (earliest.min(accepted), latest.max(accepted));
    }
    let (Some(first), Some(last)) = (picked.first(), picked.last()) else {
        return Err(EvidenceError::Nothing);
    };
    let (first, last, entries) = (first.position.0, last.position.0, picked.len() as u64);
    let types = types(picked)?.into_iter().map(|(kind, events)| TypeCount { kind, events });
    Ok(Held {
        entries,
        positions: (first, last),
        accepted: (earliest, latest),
        gapless: last.saturating_sub(first).saturating_add(1) == entries,
        types: types.collect(),
        parts: disclosed.counts,
    })
}

fn line(reader: &Reader, one: &Picked) -> Result<EventLine, EvidenceError> {
    let entry = Entry::read(&one.bytes).map_err(ReadFault::Entry)?;
    let read = reader.open_some(&entry, &|part| part == 0)?;
    let common = read.opened.event().map_err(ReadFault::Entry)?;
    Ok(EventLine {
        position: one.position.0,
        accepted: entry.header.accepted,
        kind: entry.header.kind.to_owned(),
        state: common.as_ref().map(state).unwrap_or_default(),
        leaf: leaf_hash(&one.bytes).to_string(),
    })
}

/// What an event says of the state of what it is about.
fn state(common: &Common<'_>) -> String {
    let Body::Json(data) = &common.body else { return String::new() };
    let said = STATES.iter().find_map(|name| data.child(name).and_then(Value::as_text));
    said.unwrap_or_default().to_owned()
}
