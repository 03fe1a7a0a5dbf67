//! What the router owes the ledger as events: owed with the commit that it tells of, told until the ledger has it.
//!
//! Invariant `ROUTE-6`: a notice is committed before it is told, and its record is removed after it is recorded; its id is fixed,
//! so that telling it twice records it once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::core::Core;
use crate::lane::Now;
use crate::notice::Notice;
use crate::records::{Kind, LaneId, numbered_key};
use crate::router::Message;

/// Most notices that the ledger does not have yet; with more, nothing is delivered until it takes some.
const OWED_MAX: usize = 10_000;
/// Most notices that are recorded at once.
const TOLD_MAX: usize = 512;

/// Notices on their way to the ledger.
#[derive(Default)]
pub(crate) struct Owed {
    pub(crate) notices: BTreeMap<u64, Notice>,
    pub(crate) next: u64,
    /// Not committed yet.
    pub(crate) fresh: BTreeSet<u64>,
    pub(crate) is_telling: bool,
    pub(crate) not_before: Duration,
}

impl Core {
    /// Tells apart what is owed at the same instant.
    pub(crate) fn moment(&self, now: Now) -> String {
        format!("{}-{}", now.utc.0, self.owed.next)
    }

    /// Owes the ledger an event.
    pub(crate) fn owe(
        &mut self,
        kind: &str,
        id: String,
        cause: Option<u64>,
        by: Option<String>,
        data: Value,
    ) {
        let data = if let Value::Object(members) = data { members } else { Map::new() };
        let notice = Notice { kind: kind.to_owned(), id, cause, by, data };
        let number = self.owed.next;
        self.owed.next = number.saturating_add(1);
        // Texts and numbers: there is nothing that cannot be written.
        let value = serde_json::to_vec(&notice).unwrap_or_default();
        self.changes.insert(owed_key(number), Some(value));
        self.owed.fresh.insert(number);
        self.owed.notices.insert(number, notice);
    }

    pub(crate) fn is_owing_too_much(&self) -> bool {
        self.owed.notices.len() >= OWED_MAX
    }

    pub(crate) fn tell(&mut self, now: Now) {
        if self.owed.is_telling || now.mono < self.owed.not_before {
            return;
        }
        let ready = self.owed.notices.iter().filter(|(number, _)| !self.owed.fresh.contains(number));
        let (numbers, notices): (Vec<u64>, Vec<Notice>) =
            ready.take(TOLD_MAX).map(|(number, notice)| (*number, notice.clone())).unzip();
        if numbers.is_empty() {
            return;
        }
        self.owed.is_telling = true;
        let inbox = Arc::clone(&self.inbox);
        let then = Box::new(move |result| inbox.push(Message::Told(numbers, result)));
        self.means.recorder.record(notices, then);
    }

    pub(crate) fn told(&mut self, numbers: &[u64], result: Result<(), String>) {
        self.owed.is_telling = false;
        match result {
            Ok(()) => {
                for number in numbers {
                    self.owed.notices.remove(number);
                    self.changes.insert(owed_key(*number), None);
                }
            }
            // Reading goes on until too much is owed.
            Err(_) => self.owed.not_before = self.after_fault(),
        }
    }
}

fn owed_key(number: u64) -> Vec<u8> {
    numbered_key(LaneId::default(), Kind::Owed, number)
}
