//! Facts of one day of commit time, read and made small, before any row is looked at.
//!
//! Place in the way of an event: the first half of `project`, done ahead of the second (`batch`, `write`) and on another
//! thread. An event takes 160 bytes here at most; what it says of names is a number of the chunk.
//! Not here: what an event says (`event`), what follows from it (`state`).

use std::collections::HashMap;
use std::sync::Arc;

use waag_domain::project::{Fact, Gathered, Gathering, Rows, RowsError};

use crate::batch::Batch;
use crate::config::{Config, fnv};
use crate::event::{Said, read};
use crate::learn;
use crate::names::{Name, Names};

/// One event about invoices, in its chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) said: Said,
    /// The place of its invoice among the chunk's; none for an unknown one.
    pub(crate) invoice: Option<usize>,
    /// The event's type, where the event is odd.
    pub(crate) kind: Name,
    pub(crate) vendor: Name,
    pub(crate) vendor_class: Name,
    pub(crate) region: Name,
    /// A hash of the vendor's own number of the invoice, where it tells one.
    pub(crate) reference: Option<u64>,
}

/// Facts of one day of commit time.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) day: i64,
    pub(crate) events: Vec<Told>,
    /// The invoices they are about, in order, each once.
    pub(crate) invoices: Vec<Box<str>>,
    pub(crate) names: Names,
}

/// A chunk that still grows: its invoices in the order in which they came.
struct Growing {
    chunk: Chunk,
    places: HashMap<Box<str>, usize>,
}

impl Growing {
    fn new(day: i64) -> Self {
        let (events, invoices) = (Vec::new(), Vec::new());
        Self { chunk: Chunk { day, events, invoices, names: Names::new() }, places: HashMap::new() }
    }

    fn take(&mut self, fact: &Fact<'_>, config: &Config) {
        let Some(event) = read(fact, config) else { return };
        let Chunk { events, names, .. } = &mut self.chunk;
        let count = self.places.len();
        let invoice = event.invoice.map(|id| match self.places.get(id.as_ref()) {
            Some(place) => *place,
            None => *self.places.entry(id.into()).or_insert(count),
        });
        let kind = if event.said.odd == 0 { "" } else { fact.kind };
        events.push(Told {
            said: event.said,
            invoice,
            kind: names.of(kind),
            vendor: names.of(event.vendor),
            vendor_class: names.of(event.vendor_class),
            region: names.of(event.region),
            reference: (!event.reference.is_empty()).then(|| fnv(event.reference.as_bytes())),
        });
    }

    /// Puts the invoices in order.
    fn finish(self) -> Chunk {
        let Self { mut chunk, places } = self;
        let mut ids: Vec<(Box<str>, usize)> = places.into_iter().collect();
        ids.sort_unstable();
        let mut sorted = vec![0; ids.len()];
        for (to, (_, from)) in ids.iter().enumerate() {
            if let Some(place) = sorted.get_mut(*from) {
                *place = to;
            }
        }
        for event in &mut chunk.events {
            event.invoice = event.invoice.and_then(|from| sorted.get(from)).copied();
        }
        chunk.invoices = ids.into_iter().map(|(id, _)| id).collect();
        chunk
    }
}

/// Gathers facts, a chunk for each day of commit time.
pub(crate) struct Gather {
    config: Arc<Config>,
    done: Vec<Chunk>,
    growing: Option<Growing>,
}

impl Gather {
    pub(crate) fn new(config: Arc<Config>) -> Self {
        Self { config, done: Vec::new(), growing: None }
    }
}

impl Gathering for Gather {
    fn take(&mut self, fact: &Fact<'_>) {
        let day = i64::from(fact.committed.day().0);
        let growing = match self.growing.take() {
            Some(growing) if growing.chunk.day == day => growing,
            other => {
                self.done.extend(other.map(Growing::finish));
                Growing::new(day)
            }
        };
        self.growing.insert(growing).take(fact, &self.config);
    }

    fn finish(mut self: Box<Self>) -> Box<dyn Gathered> {
        self.done.extend(self.growing.take().map(Growing::finish));
        Box::new(Chunks { config: self.config, chunks: self.done })
    }
}

/// Gathered facts.
struct Chunks {
    config: Arc<Config>,
    chunks: Vec<Chunk>,
}

impl Gathered for Chunks {
    fn write(&self, rows: &mut dyn Rows) -> Result<(), RowsError> {
        let mut at = learn::commit_day(rows)?;
        for chunk in &self.chunks {
            let mut day = chunk.day;
            match at {
                // Commit time never goes back; a ledger that says so is taken at its latest day.
                Some(reached) if reached >= day => day = reached,
                Some(_) | None => learn::begin_day(day, &self.config, rows)?,
            }
            at = Some(day);
            Batch::write(chunk, day, &self.config, rows)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_small_whatever_it_said() {
        assert!(size_of::<Told>() <= 160, "{}", size_of::<Told>());
    }
}
