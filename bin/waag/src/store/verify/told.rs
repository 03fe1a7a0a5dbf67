//! What the ledger's own events tell of keys and persons, against the state: a key that an event tells of as destroyed is
//! not there any more, and who is restricted by an event is restricted.
//!
//! The state's own sums are not keyed: who writes its folder can make them anew. The events cannot be made anew.
//! Events are recorded behind the destruction or restriction that they tell of, and before a restriction is lifted, so that
//! no crash leaves less in the state than they tell. More in the state than they tell is no fault.

use std::collections::BTreeMap;
use std::sync::Arc;

use waag_engine::reader::Reader;
use waag_entry::form::Entry;
use waag_entry::plain::Body;
use waag_keys::keyring::{Found, Keyring};
use waag_keys::retention::date;
use waag_keys::state::{self, Table};
use waag_log::guard::GuardRecord;
use waag_model::ids::{KeyId, Position, Tag};
use waag_model::time::UtcDay;
use waag_model::value::Value;

use super::state::fault;
use super::{FAULTS_MAX, Fault, Report};
use crate::store::place::Place;
use crate::store::reader::read_guard;
use crate::store::restores::destroyed::{DESTROYING, key_ids};
use crate::store::subjects::erasing::REFUSED;
use crate::store::subjects::{RESTRICTED, UNRESTRICTED};

/// Most persons whose restrictions are remembered; beyond it that is told.
const RESTRICTED_MAX: usize = 1 << 18;

/// A day until which an event told that a person is restricted; none where until it is lifted.
type Until = Option<UtcDay>;

/// What was told so far.
#[derive(Default)]
pub(super) struct Told {
    /// Keys that are there and were told of as destroyed.
    returned: Vec<(Position, KeyId)>,
    /// How many more of them there are.
    returned_more: u64,
    /// Who is restricted: because it was asked for, and because a law keeps data.
    restricted: BTreeMap<Tag, [Option<(Position, Until)>; 2]>,
    is_full: bool,
}

impl Told {
    /// Notes what an event tells; one whose own key is gone tells nothing.
    pub(super) fn entry(&mut self, reader: &Reader, position: Position, entry: &Entry<'_>) {
        let kind = entry.header.kind;
        let is_destroying = DESTROYING.contains(&kind);
        if !is_destroying && ![RESTRICTED, UNRESTRICTED, REFUSED].contains(&kind) {
            return;
        }
        // An entry that cannot be opened is a deep verification's matter.
        let Ok(read) = reader.open(entry) else { return };
        let Ok(Some(common)) = read.opened.event() else { return };
        let Body::Json(data) = common.body else { return };
        if is_destroying {
            for id in key_ids(&data) {
                self.destroyed(&reader.keyring, position, id);
            }
            return;
        }
        let Some(person) = data.child("person").and_then(Value::as_text).and_then(tag) else { return };
        let day = |value: Option<&Value<'_>>| value.and_then(Value::as_text).and_then(date);
        match kind {
            RESTRICTED => self.restrict(person, 0, position, day(data.child("until"))),
            REFUSED => {
                let Some(Value::Array(kept)) = data.child("kept") else { return };
                let until = kept.iter().filter_map(|row| day(row.child("until"))).max();
                // Without a day nothing was restricted.
                if until.is_some() {
                    self.restrict(person, 1, position, until);
                }
            }
            _ => drop(self.restricted.remove(&person)),
        }
    }

    fn destroyed(&mut self, keyring: &Keyring, position: Position, id: KeyId) {
        // What cannot be read is told where all records are read.
        if !matches!(keyring.open_key(id), Ok(Found::Key(_))) {
            return;
        }
        if self.returned.len() < FAULTS_MAX {
            self.returned.push((position, id));
        } else {
            self.returned_more = self.returned_more.saturating_add(1);
        }
    }

    fn restrict(&mut self, person: Tag, cause: usize, position: Position, until: Until) {
        if self.restricted.len() >= RESTRICTED_MAX && !self.restricted.contains_key(&person) {
            self.is_full = true;
            return;
        }
        let causes = self.restricted.entry(person).or_default();
        if let Some(of) = causes.get_mut(cause) {
            *of = Some((position, until));
        }
    }

    /// Tells what the state has lost since.
    pub(super) fn finish(
        self,
        place: &Place,
        keyring: &Arc<Keyring>,
        guard: &GuardRecord,
        today: UtcDay,
        report: &mut Report,
    ) {
        for (position, id) in self.returned {
            let at = state::Place::Record { table: Table::DataKey.code(), key: id.0.to_vec() };
            let reason = "the ledger tells that this key was destroyed, and it is there".to_owned();
            report.fault(Fault { position: Some(position), ..fault(place, Some(&at), "E0826", reason) });
        }
        report.faults_total = report.faults_total.saturating_add(self.returned_more);
        let mut missing = Vec::new();
        for (person, causes) in &self.restricted {
            let holds = |(_, until): &&(Position, Until)| until.is_none_or(|until| today <= until);
            let Some((position, _)) = causes.iter().flatten().find(holds) else { continue };
            if matches!(keyring.restriction(*person), Ok(None)) {
                missing.push((*position, *person));
            }
        }
        if self.is_full {
            let what = format!("of more than {RESTRICTED_MAX} restricted persons not all were looked up");
            report.note(place.state.clone(), what, false);
        }
        if !missing.is_empty() && guard.is_read_only() {
            // Its state is a backup's, and a restriction may have been asked for since.
            let what = format!(
                "the state that was restored lacks restrictions that the ledger tells of ({}): restrict again",
                missing.len()
            );
            return report.note(place.state.clone(), what, false);
        }
        // A writer that runs beside lifts a restriction behind an event that this walk has not seen.
        let now = read_guard(&*place.guard_files()).ok().and_then(|inspection| inspection.record);
        if !missing.is_empty() && now.is_none_or(|now| now.sequence != guard.sequence) {
            let what = "the ledger grew meanwhile: whether all restrictions hold is told where nobody writes";
            return report.note(place.state.clone(), what, false);
        }
        for (position, person) in missing {
            let at = state::Place::Record { table: Table::Restriction.code(), key: person.0.to_vec() };
            let reason = "the ledger tells that this person's data is restricted, and it is not".to_owned();
            report.fault(Fault { position: Some(position), ..fault(place, Some(&at), "E0827", reason) });
        }
    }
}

fn tag(text: &str) -> Option<Tag> {
    let mut tag = [0; 16];
    hex::decode_to_slice(text, &mut tag).ok().map(|()| Tag(tag))
}
