//! Finding the entries that are asked for: a pass over the log, the cheap conditions first.
//!
//! What stands in clear is asked first (position, type, time, whose keys sealed it); only what is left of that is opened, and
//! of it the common part alone. Entries are kept as their stored bytes, at most as many as one pack holds.
//! Not here: what is disclosed of them (`disclosure`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;

use waag_cloudevents::{DataRef, write_parts};
use waag_domain::project::Fact;
use waag_engine::reader::{ReadFault, Reader};
use waag_entry::form::{Entry, Header, read_clear};
use waag_entry::plain::{Body, Common};
use waag_entry::tag::TagKey;
use waag_invoices::event::{TYPES as INVOICES, invoice_of};
use waag_keys::keyring::Found;
use waag_keys::list::Purpose;
use waag_ledger::pack::{ENTRIES_MAX, PACK_BYTES_MAX};
use waag_model::ids::{KeyId, Position, Tag};
use waag_model::time::UtcNanos;
use waag_model::value::{Object, Value};
use waag_pattern::{Pattern, RuleId, RuleSet, Scratch};

use super::asked::Selection;
use super::error::EvidenceError;
use crate::store::subjects::keys_of;

/// Room that a pack's other members may take, in bytes.
const BESIDE_BYTES: usize = 64 * 1_024 * 1_024;

/// Where the newest of some are asked for, as many are looked through first, and each time so many times as many until they
/// are found: all that is read twice is then a seventh of the last pass.
const WINDOW_GROWTH: u64 = 8;

/// An entry that is asked for.
#[derive(Clone, Debug)]
pub(super) struct Picked {
    pub(super) position: Position,
    pub(super) bytes: Vec<u8>,
}

/// Hears how far the log is read: entries gone through, entries to go through.
pub(super) type Progress<'p> = &'p mut dyn FnMut(u64, u64);

/// Reads the log up to `end` and keeps what meets the conditions, in its order; empty where nothing does.
pub(super) fn gather(
    reader: &Reader,
    selection: &Selection,
    pattern: Option<&Pattern>,
    end: Position,
    progress: Progress<'_>,
) -> Result<Vec<Picked>, EvidenceError> {
    let (first, behind) = match selection.positions {
        Some((first, last)) => (first, Position(last.0.saturating_add(1)).min(end)),
        None => (Position(0), end),
    };
    if first >= behind {
        return Ok(Vec::new());
    }
    let mut matcher = Matcher::new(reader, selection, pattern)?;
    if matcher.person.as_ref().is_some_and(Person::is_unknown) {
        return Ok(Vec::new());
    }
    // Of the newest, the log's end is looked through first, and more of it only while that is too little.
    let mut window = selection.last.unwrap_or(u64::MAX);
    loop {
        let from = first.max(Position(behind.0.saturating_sub(window)));
        let kept = pass(reader, &mut matcher, (from, behind), selection.last, progress)?;
        if from == first || selection.last.is_some_and(|last| kept.len() as u64 >= last) {
            return Ok(kept);
        }
        window = window.saturating_mul(WINDOW_GROWTH);
    }
}

/// Reads the log from `first` to before `behind` once.
fn pass(
    reader: &Reader,
    matcher: &mut Matcher<'_>,
    (first, behind): (Position, Position),
    last: Option<u64>,
    progress: Progress<'_>,
) -> Result<Vec<Picked>, EvidenceError> {
    let mut kept = Kept::new(last);
    let (mut failed, total) = (None, behind.0.saturating_sub(first.0));
    let read = reader.log.read(first, &mut |frame| {
        for (position, bytes) in frame.entries().filter(|(position, _)| *position >= first) {
            if position >= behind {
                return ControlFlow::Break(());
            }
            let done = matcher.matches(position, bytes).and_then(|matches| match matches {
                true => kept.take(position, bytes),
                false => Ok(()),
            });
            if let Err(error) = done {
                failed = Some(error);
                return ControlFlow::Break(());
            }
        }
        progress(frame.header().tree_size.min(behind.0).saturating_sub(first.0), total);
        ControlFlow::Continue(())
    });
    read.map_err(ReadFault::Log)?;
    failed.map_or(Ok(kept.entries.into()), Err)
}

/// How many entries of each type there are.
pub(super) fn types(picked: &[Picked]) -> Result<BTreeMap<String, u64>, EvidenceError> {
    let mut types = BTreeMap::<String, u64>::new();
    for one in picked {
        let kind = read_clear(&one.bytes).map_err(ReadFault::Entry)?.kind;
        match types.get_mut(kind) {
            Some(count) => *count = count.saturating_add(1),
            None => drop(types.insert(kind.to_owned(), 1)),
        }
    }
    Ok(types)
}

/// What is kept so far, held to the limits of one pack.
struct Kept {
    entries: VecDeque<Picked>,
    bytes: usize,
    last: Option<usize>,
}

impl Kept {
    fn new(last: Option<u64>) -> Self {
        let last = last.map(|last| usize::try_from(last).unwrap_or(usize::MAX));
        Self { entries: VecDeque::new(), bytes: 0, last }
    }

    fn take(&mut self, position: Position, bytes: &[u8]) -> Result<(), EvidenceError> {
        if self.last.is_some_and(|last| self.entries.len() >= last)
            && let Some(oldest) = self.entries.pop_front()
        {
            self.bytes = self.bytes.saturating_sub(oldest.bytes.len());
        }
        self.bytes = self.bytes.saturating_add(bytes.len());
        let too_much = |what, most: usize| Err(EvidenceError::TooMuch { what, most: most as u64 });
        if self.entries.len() >= ENTRIES_MAX {
            return too_much("entries", ENTRIES_MAX);
        }
        let most = PACK_BYTES_MAX.saturating_sub(BESIDE_BYTES);
        if self.bytes > most {
            return too_much("bytes of entries", most);
        }
        self.entries.push_back(Picked { position, bytes: bytes.to_vec() });
        Ok(())
    }
}

/// By what a person's entries are found without opening one.
struct Person {
    keys: BTreeSet<KeyId>,
    /// What stands for them as a subject, while their tag key is there.
    tags: Vec<Tag>,
}

impl Person {
    fn of(reader: &Reader, id: &str) -> Result<Self, EvidenceError> {
        let keyring = &reader.keyring;
        let (mut keys, mut tags) = (BTreeSet::new(), Vec::new());
        for key in keys_of(keyring, keyring.person_tag(id))? {
            match key.purpose {
                Purpose::Data => drop(keys.insert(key.id)),
                Purpose::Tags => {
                    let Found::Key(key) = keyring.open_key(key.id)? else { continue };
                    let tag = TagKey::new(key.key());
                    // A subject is told without the kind that a schema puts before the id.
                    let behind = id.split_once(':').map(|(_, behind)| behind);
                    tags.extend(
                        [Some(id), behind].into_iter().flatten().map(|id| tag.ordering(&reader.ledger, id)),
                    );
                }
            }
        }
        Ok(Self { keys, tags })
    }

    fn is_unknown(&self) -> bool {
        self.keys.is_empty() && self.tags.is_empty()
    }

    fn is_in(&self, entry: &Entry<'_>) -> bool {
        entry.parts.iter().any(|part| self.keys.contains(&part.key_id))
            || entry.header.ordering.is_some_and(|tag| self.tags.contains(&tag))
    }
}

/// Holds entries against the conditions.
struct Matcher<'a> {
    reader: &'a Reader,
    selection: &'a Selection,
    person: Option<Person>,
    rules: Option<(RuleSet, Scratch, Vec<u8>)>,
}

impl<'a> Matcher<'a> {
    fn new(
        reader: &'a Reader,
        selection: &'a Selection,
        pattern: Option<&Pattern>,
    ) -> Result<Self, EvidenceError> {
        let person = selection.person.as_ref().map(|id| Person::of(reader, id)).transpose()?;
        let rules = pattern.map(|pattern| {
            let mut rules = RuleSet::new();
            rules.insert(RuleId(0), pattern);
            (rules, Scratch::new(), Vec::new())
        });
        Ok(Self { reader, selection, person, rules })
    }

    fn matches(&mut self, position: Position, bytes: &[u8]) -> Result<bool, EvidenceError> {
        if !self.is_in_clear(&read_clear(bytes).map_err(ReadFault::Entry)?) {
            return Ok(false);
        }
        let (must_open, about) = (self.selection.invoice.is_some() || self.rules.is_some(), &self.person);
        if about.is_none() && !must_open {
            return Ok(true);
        }
        let entry = Entry::read(bytes).map_err(ReadFault::Entry)?;
        if about.as_ref().is_some_and(|person| !person.is_in(&entry)) {
            return Ok(false);
        }
        if must_open { self.matches_opened(position, &entry) } else { Ok(true) }
    }

    fn is_in_clear(&self, header: &Header<'_>) -> bool {
        let Selection { invoice, from, to, types, .. } = self.selection;
        (types.is_empty() || types.iter().any(|kind| kind == header.kind))
            && from.is_none_or(|from| header.accepted >= from)
            && to.is_none_or(|to| header.accepted < to)
            && (invoice.is_none() || header.kind.starts_with(INVOICES))
    }

    /// The conditions on what only the common part tells; one that is erased meets none.
    fn matches_opened(&mut self, position: Position, entry: &Entry<'_>) -> Result<bool, EvidenceError> {
        let read = self.reader.open_some(entry, &|part| part == 0)?;
        let Some(common) = read.opened.event().map_err(ReadFault::Entry)? else { return Ok(false) };
        if let Some(invoice) = &self.selection.invoice {
            let is_about = with_fact(position, &entry.header, &common, |fact| {
                invoice_of(fact).is_some_and(|id| id == invoice.as_str())
            });
            if !is_about {
                return Ok(false);
            }
        }
        let Some((rules, scratch, json)) = &mut self.rules else { return Ok(true) };
        json.clear();
        event_json(self.reader, position, entry.header.kind, &common, json);
        let matched = rules.matches(json, scratch).map_err(EvidenceError::Event)?;
        Ok(!matched.is_empty())
    }
}

/// An entry's common part as projections see it.
fn with_fact<R>(
    position: Position,
    header: &Header<'_>,
    common: &Common<'_>,
    then: impl FnOnce(&Fact<'_>) -> R,
) -> R {
    let nothing = Object::default();
    let attributes = if let Value::Object(object) = &common.attributes { object } else { &nothing };
    let data = match &common.body {
        Body::Json(Value::Withheld(_)) | Body::None | Body::Binary(_) => None,
        Body::Json(value) => Some(value),
    };
    then(&Fact {
        position,
        committed: UtcNanos(0),
        accepted: header.accepted,
        kind: header.kind,
        id: common.id.as_text(),
        source: common.source.as_text(),
        subject: common.subject.as_ref().and_then(Value::as_text),
        actor: common.actor.as_text(),
        attributes,
        data,
    })
}

/// An entry's common part as subscribers see it: a pattern means the same here and there.
fn event_json(reader: &Reader, position: Position, kind: &str, common: &Common<'_>, json: &mut Vec<u8>) {
    let nothing = Object::default();
    let (position, ledger) = (position.0.to_string(), format!("urn:waag:{}", reader.ledger));
    let attributes = if let Value::Object(object) = &common.attributes { object } else { &nothing };
    let data = match &common.body {
        Body::None | Body::Json(Value::Withheld(_)) => DataRef::None,
        Body::Json(value) => DataRef::Json(value),
        Body::Binary(bytes) => DataRef::Binary(bytes),
    };
    let subject = common.subject.as_ref().and_then(Value::as_text);
    let id = common.id.as_text().unwrap_or(&position);
    let source = common.source.as_text().unwrap_or(&ledger);
    write_parts(id, source, kind, subject, attributes, data, json);
}
