//! The auditor: it knows what was sent and what was acknowledged, and says what must therefore be true.
//!
//! - `AUD-1`: what was acknowledged stays at its position with its leaf hash, through every crash.
//! - `AUD-2`: one identity is acknowledged at one position, however often it is sent.
//! - `AUD-3`: an answer is `Conflict` only where other content was sent under the identity, `Erased` only after an erasure.
//! - `AUD-4`: a receipt's range proof leads from its leaves to its checkpoint's root.
//! - `AUD-5`: no two checkpoints of one size have two roots, and every checkpoint is of a prefix of the log.
//! - `AUD-6`: every entry of the log is something that was sent, and no identity is there twice.

use std::collections::{BTreeMap, BTreeSet};

use waag_engine::batch::{BatchReceipt, Outcome, Recorded};
use waag_ledger::hash::Hash;
use waag_ledger::range::verify_range;

/// An event that was sent: its identity's number and which of the contents under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sent {
    /// The identity.
    pub id: u32,
    /// The content.
    pub content: u8,
}

/// A broken promise: the invariant's id and what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken(pub String);

/// What is known of the outside world's view.
#[derive(Clone, Debug, Default)]
pub struct Auditor {
    /// Contents that were sent, by identity.
    sent: BTreeMap<u32, BTreeSet<u8>>,
    /// What was acknowledged: content and place.
    acknowledged: BTreeMap<u32, (u8, Recorded)>,
    /// Roots by size, from every checkpoint that was handed out.
    roots: BTreeMap<u64, Hash>,
    erasures: usize,
}

fn broken<T>(id: &str, what: String) -> Result<T, Broken> {
    Err(Broken(format!("{id}: {what}")))
}

impl Auditor {
    /// A batch leaves its sender.
    pub fn sends(&mut self, events: &[Sent]) {
        for event in events {
            self.sent.entry(event.id).or_default().insert(event.content);
        }
    }

    /// Someone's keys are about to be destroyed.
    pub fn erases(&mut self) {
        self.erasures += 1;
    }

    /// How many events are acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// Identities that were sent, and of those acknowledged the content.
    #[must_use]
    pub fn content_of(&self, id: u32) -> Option<u8> {
        self.acknowledged.get(&id).map(|(content, _)| *content)
    }

    /// A batch's acknowledgement arrives.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn hears(&mut self, events: &[Sent], receipt: &BatchReceipt) -> Result<(), Broken> {
        let told = receipt.checkpoint.checkpoint();
        self.sees(told.size, told.root)?;
        if receipt.items.len() != events.len() {
            return broken("AUD-4", format!("{} answers for {} events", receipt.items.len(), events.len()));
        }
        if let Some(range) = &receipt.range {
            let proven = range.tree_size == told.size
                && verify_range(range, &receipt.new_leaves(), &told.root).is_ok();
            if !proven {
                return broken("AUD-4", format!("a range proof at {} does not hold", range.first));
            }
        }
        for (event, outcome) in events.iter().zip(&receipt.items) {
            self.hears_one(*event, outcome, told.size)?;
        }
        Ok(())
    }

    fn hears_one(&mut self, event: Sent, outcome: &Outcome, size: u64) -> Result<(), Broken> {
        let before = self.acknowledged.get(&event.id).copied();
        match outcome {
            Outcome::Recorded(recorded) | Outcome::Before(recorded) => {
                if recorded.position.0 >= size {
                    return broken(
                        "AUD-4",
                        format!("position {} is not under size {size}", recorded.position),
                    );
                }
                match before {
                    None => {
                        self.acknowledged.insert(event.id, (event.content, *recorded));
                        Ok(())
                    }
                    Some((content, first)) if content == event.content && first == *recorded => Ok(()),
                    Some((content, first)) => broken(
                        "AUD-2",
                        format!("{event:?} answered {outcome:?}, before as content {content} at {first:?}"),
                    ),
                }
            }
            Outcome::Conflict(position) => {
                let others =
                    self.sent.get(&event.id).is_some_and(|sent| sent.iter().any(|c| *c != event.content));
                let same_place = before
                    .is_none_or(|(content, first)| content != event.content && first.position == *position);
                if others && same_place {
                    Ok(())
                } else {
                    broken("AUD-3", format!("{event:?}: {outcome:?}, before {before:?}"))
                }
            }
            Outcome::Erased(position) => {
                let same_place = before.is_none_or(|(_, first)| first.position == *position);
                if self.erasures > 0 && same_place {
                    Ok(())
                } else {
                    broken("AUD-3", format!("{event:?}: {outcome:?}"))
                }
            }
        }
    }

    /// A checkpoint is seen by the outside.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn sees(&mut self, size: u64, root: Hash) -> Result<(), Broken> {
        match self.roots.insert(size, root) {
            Some(other) if other != root => broken("AUD-5", format!("two roots for size {size}")),
            Some(_) | None => Ok(()),
        }
    }

    /// Holds a whole log, read back, against everything known: leaf hash, identity and content of each entry, and the
    /// root after each size that a checkpoint was seen of.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn audits(
        &self,
        entries: &[(Hash, Sent)],
        root_at: &dyn Fn(u64) -> Option<Hash>,
    ) -> Result<(), Broken> {
        let mut places: BTreeMap<u32, (usize, u8)> = BTreeMap::new();
        for (position, (_, event)) in entries.iter().enumerate() {
            let was_sent = self
                .sent
                .get(&event.id)
                .is_some_and(|sent| event.content == ERASED || sent.contains(&event.content));
            if !was_sent {
                return broken("AUD-6", format!("{event:?} at {position} was never sent"));
            }
            if let Some((first, _)) = places.insert(event.id, (position, event.content)) {
                return broken("AUD-6", format!("identity {} stands at {first} and at {position}", event.id));
            }
        }
        for (id, (content, recorded)) in &self.acknowledged {
            let found = usize::try_from(recorded.position.0).ok().and_then(|at| entries.get(at));
            let there = found.is_some_and(|(leaf, event)| {
                *leaf == recorded.leaf
                    && event.id == *id
                    && (event.content == *content || event.content == ERASED)
            });
            if !there {
                return broken(
                    "AUD-1",
                    format!("identity {id} was acknowledged at {recorded:?}, found {found:?}"),
                );
            }
        }
        for (size, root) in &self.roots {
            if root_at(*size) != Some(*root) {
                return broken("AUD-5", format!("the checkpoint of size {size} is of no prefix of the log"));
            }
        }
        Ok(())
    }
}

/// Stands for the content of an event that can no longer be read.
pub const ERASED: u8 = u8::MAX;
