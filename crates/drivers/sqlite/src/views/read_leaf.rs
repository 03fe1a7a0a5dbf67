//! Leaves as they were read: their keys with what waits laid over, and those that a snapshot remembers.
//!
//! Not here: reading them from the tables, writing them (`leaves`).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::run::{Damaged, Run};

/// Most leaves that a snapshot remembers.
const SEEN_MAX: usize = 64;

/// A leaf as it was read, and what waits for it.
#[derive(Debug)]
pub(super) struct ReadLeaf {
    /// What it begins with.
    pub(super) first: Vec<u8>,
    /// What the next one begins with.
    pub(super) end: Option<Vec<u8>>,
    /// Its keys, a run.
    pub(super) entries: Vec<u8>,
    /// Changes that wait for it, runs of which the later count.
    pub(super) runs: Vec<Vec<u8>>,
}

impl ReadLeaf {
    /// Its keys with the changes laid over them, from `low` on and before `high`.
    pub(super) fn keys(&self, low: &[u8], high: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, Damaged> {
        let mut changes: BTreeMap<Vec<u8>, bool> = BTreeMap::new();
        for run in &self.runs {
            let mut keys = Run::new(run)?.from(Some(low))?;
            while keys.step()? && keys.key() < high {
                if keys.key() >= low {
                    changes.insert(keys.key().to_vec(), keys.is_put());
                }
            }
        }
        let mut keys = Run::new(&self.entries)?.from(Some(low))?;
        let mut changes = changes.into_iter().peekable();
        let mut found = Vec::new();
        while found.len() < limit && keys.step()? && keys.key() < high {
            if keys.key() < low {
                continue;
            }
            while let Some((key, is_put)) = changes.next_if(|(key, _)| key.as_slice() < keys.key()) {
                found.extend(is_put.then_some(key));
            }
            let said = changes.next_if(|(key, _)| key == keys.key());
            if said.is_none_or(|(_, is_put)| is_put) {
                found.push(keys.key().to_vec());
            }
        }
        found.extend(changes.filter_map(|(key, is_put)| is_put.then_some(key)));
        found.truncate(limit);
        Ok(found)
    }
}

/// Leaves that a snapshot has read: a page looks at one place after the other, and most are in leaves it has had.
#[derive(Debug, Default)]
pub(super) struct Seen(RefCell<ByPlace>);

/// By the set's name, and by what a leaf begins with.
type ByPlace = BTreeMap<(String, Vec<u8>), Arc<ReadLeaf>>;

impl Seen {
    /// The leaf whose range a key is in, where it was read.
    pub(super) fn at(&self, leaves: &str, key: &[u8]) -> Option<Arc<ReadLeaf>> {
        let seen = self.0.borrow();
        let ((name, _), leaf) = seen.range(..=(leaves.to_owned(), key.to_vec())).next_back()?;
        let is_here = name == leaves && leaf.end.as_deref().is_none_or(|end| key < end);
        is_here.then(|| Arc::clone(leaf))
    }

    /// Remembers a leaf.
    pub(super) fn keep(&self, leaves: &str, leaf: &Arc<ReadLeaf>) {
        let mut seen = self.0.borrow_mut();
        if seen.len() >= SEEN_MAX {
            seen.clear();
        }
        seen.insert((leaves.to_owned(), leaf.first.clone()), Arc::clone(leaf));
    }
}
