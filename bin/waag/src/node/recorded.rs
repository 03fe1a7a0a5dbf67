//! Recorded events read back for the doors: opened as far as their keys are there, personal fields masked.
//!
//! Place: between the log and whoever shows an event, the pages (`house`) and the HTTP door alike, so that both mask the
//! same. A reveal is recorded, and durable, before anything is opened for it.
//! Not here: the masks themselves (`cli::mask`), how an event is shown.

use std::ops::ControlFlow;

use waag_cloudevents::is_timestamp;
use waag_engine::reader::{ReadFault, Reader};
use waag_entry::form::{Entry, Header, Role};
use waag_entry::merge::merge;
use waag_entry::plain::{Body, Common, Inline, read_common, read_fields};
use waag_http::fault::{Fault, Kind};
use waag_http::ports::{Reveal, Stored};
use waag_keys::error::KeysError;
use waag_ledger::hash::{Hash, leaf_hash};
use waag_model::event::{Data, Event};
use waag_model::ids::Position;
use waag_model::time::UtcNanos;
use waag_model::value::{Object, Value};

use crate::cli::mask::mask_fields;
use crate::store::beside::REVEALED;
use crate::store::error::StoreError;
use crate::store::lines::missing;
use crate::store::own::own_event;
use crate::store::subjects::report::refuse_restricted;
use crate::store::writer::OpenedStore;

/// An entry as far as it can be opened.
pub(super) struct Opened<'a> {
    /// When its frame was committed.
    pub(super) committed: UtcNanos,
    /// Its leaf.
    pub(super) leaf: Hash,
    /// What stands in clear.
    pub(super) header: &'a Header<'a>,
    /// The event, parts put together; none where the common part is erased.
    pub(super) common: Option<Common<'a>>,
    /// The places that were masked.
    pub(super) masked: Vec<String>,
}

/// Opens the entry at a position; `None` where the log has none there.
///
/// # Errors
/// [`ReadFault`].
pub(super) fn open<R>(
    reader: &Reader,
    position: Position,
    reveal: bool,
    then: impl FnOnce(Opened<'_>) -> R,
) -> Result<Option<R>, ReadFault> {
    let mut found = None;
    reader
        .log
        .read(position, &mut |frame| {
            let committed = frame.header().fields.commit_time;
            let entry = frame.entries().find(|(at, _)| *at == position);
            found = entry.map(|(_, bytes)| (committed, bytes.to_vec()));
            ControlFlow::Break(())
        })
        .map_err(ReadFault::Log)?;
    let Some((committed, bytes)) = found else { return Ok(None) };
    let entry = Entry::read(&bytes).map_err(ReadFault::Entry)?;
    let read = reader.open(&entry)?;
    let (mut masked, mut parts, mut common) = (Vec::new(), Vec::new(), None);
    for (index, part) in entry.parts.iter().enumerate() {
        let Some(plain) = read.opened.plain(index) else { continue };
        match part.role {
            Role::Common => common = here(read_common(plain).map_err(ReadFault::Entry)?),
            Role::Person => {
                let Some(fields) = here(read_fields(plain).map_err(ReadFault::Entry)?) else { continue };
                let number = u8::try_from(index).unwrap_or(u8::MAX);
                let is_actor = common
                    .as_ref()
                    .is_some_and(|common: &Common<'_>| common.actor == Value::Withheld(number));
                parts
                    .push((number, if reveal { fields } else { mask_fields(fields, is_actor, &mut masked) }));
            }
        }
    }
    let common = common.map(|common| merge(common, parts)).transpose().map_err(ReadFault::Entry)?;
    let leaf = leaf_hash(&bytes);
    Ok(Some(then(Opened { committed, leaf, header: &entry.header, common, masked })))
}

fn here<T>(plain: Inline<T>) -> Option<T> {
    match plain {
        Inline::Here(plain) => Some(plain),
        // Opening has followed every reference, so that none is left.
        Inline::Blob(_) => None,
    }
}

/// The event at a position for the HTTP door; see `waag_http::ports::Ledger::event`.
pub(super) fn stored(
    store: &OpenedStore,
    position: u64,
    reveal: Option<&Reveal>,
) -> Result<Option<Stored>, Fault> {
    if position >= store.status().checkpoint.checkpoint().size {
        return Ok(None);
    }
    if let Some(reveal) = reveal {
        let at = Position(position);
        refuse_restricted(&store.reader, at, Position(position.saturating_add(1))).map_err(refused)?;
        record(store, position, reveal)?;
    }
    let opened = open(&store.reader, Position(position), reveal.is_some(), told);
    let opened = opened.map_err(|error| Fault::of(Kind::NotSealed(error.code())))?;
    opened.map_or(Ok(None), |told| told.map(Some).ok_or_else(|| Fault::of(Kind::Gone)))
}

/// A person's data is restricted, or something failed.
fn refused(error: StoreError) -> Fault {
    let is_restricted = matches!(error, StoreError::Keys(KeysError::Restricted));
    let code = error.code();
    Fault::of(if is_restricted { Kind::Restricted(code, error.to_string()) } else { Kind::NotSealed(code) })
}

/// The same event as `waag read --reveal` records.
fn record(store: &OpenedStore, position: u64, reveal: &Reveal) -> Result<(), Fault> {
    let data = vec![
        ("reason", Value::Text(reveal.reason.as_str().into())),
        ("from", Value::Integer(position.into())),
        ("to", Value::Integer(i128::from(position) + 1)),
    ];
    let event = own_event(REVEALED, None, data).map_err(|error| Fault::of(Kind::NotSealed(error.code())))?;
    let recorded = store.record(&event, &reveal.by);
    recorded.map(drop).map_err(|error| Fault::of(Kind::NotSealed(error.code())))
}

/// What the door tells of an entry; none where it has no identity any more, without which it is no event.
fn told(opened: Opened<'_>) -> Option<Stored> {
    let Opened { leaf, header, common, masked, .. } = opened;
    let common = common?;
    let withheld = missing(&common);
    let text = |value: &Value<'_>| value.as_text().map(str::to_owned);
    let (id, source, actor) = (text(&common.id)?, text(&common.source)?, text(&common.actor));
    let Value::Object(attributes) = common.attributes else { return None };
    let event = Event {
        id: id.into(),
        source: source.into(),
        kind: header.kind.to_owned().into(),
        subject: common.subject.as_ref().and_then(text).map(Into::into),
        attributes: if masked.is_empty() { attributes.into_owned() } else { still_typed(attributes) },
        data: match common.body {
            Body::None => Data::None,
            Body::Json(data) => Data::Json(data.into_owned()),
            Body::Binary(bytes) => Data::Binary(bytes.into_owned().into()),
        },
    };
    let (masked, withheld) = (places(masked), places(withheld));
    Some(Stored { event, leaf, accepted: header.accepted, actor, masked, withheld })
}

/// Places of the stored form as those of the event's JSON; the actor has none in it.
fn places(stored: Vec<String>) -> Vec<String> {
    let in_event = |place: String| place.strip_prefix("/attributes").map_or(place.clone(), str::to_owned);
    stored.into_iter().filter(|place| place != "/actor").map(in_event).collect()
}

/// Attributes without those of the specification that a mask has made untrue to their type: they would make the whole
/// event unreadable.
fn still_typed(attributes: Object<'_>) -> Object<'static> {
    let is_fine = |name: &str, value: &Value<'_>| match name {
        "time" => value.as_text().is_some_and(is_timestamp),
        "datacontenttype" | "dataschema" => value.as_text().is_some_and(|text| !text.starts_with("****")),
        _ => true,
    };
    let members = attributes.into_owned();
    let kept = members.members().iter().filter(|(name, value)| is_fine(name, value)).cloned().collect();
    // Names were unique before.
    Object::from_members(kept).unwrap_or_default()
}
