//! The ledger as the router reads it: common parts opened, rendered as CloudEvents JSON.

use std::ops::ControlFlow;
use std::sync::Arc;

use waag_cloudevents::{DataRef, write_parts};
use waag_domain::project::Fact;
use waag_entry::plain::Body;
use waag_model::ids::{LedgerId, Position};
use waag_model::time::UtcNanos;
use waag_router::source::{Chunk, ChunkLimits, Event, Source, SourceError};
use waag_views::contract::Cursor;
use waag_views::source::{Batch, BatchLimits, Clear, FactSource, SourceFault};

/// The ledger of a store.
pub(super) struct LedgerSource(pub(super) FactSource);

fn failed(fault: &SourceFault) -> SourceError {
    SourceError { code: fault.code(), reason: fault.to_string() }
}

/// One event as subscribers see it. Where its id or source is a person's, or the whole of it is erased, it is named by its
/// ledger and position, so that it is a CloudEvent still.
fn event(ledger: &LedgerId, fact: &Fact<'_>, clear: Clear, body: Option<&Body<'_>>) -> Arc<Event> {
    let (ledger_source, position_id);
    let source = match fact.source {
        Some(source) => source,
        None => {
            ledger_source = format!("urn:waag:{ledger}");
            &ledger_source
        }
    };
    let id = match fact.id {
        Some(id) => id,
        None => {
            position_id = fact.position.0.to_string();
            &position_id
        }
    };
    let data = match body {
        Some(Body::Json(value)) => DataRef::Json(value),
        Some(Body::Binary(bytes)) => DataRef::Binary(bytes),
        Some(Body::None) | None => DataRef::None,
    };
    let mut json = Vec::with_capacity(512);
    write_parts(id, source, fact.kind, fact.subject, fact.attributes, data, &mut json);
    Arc::new(Event {
        position: fact.position,
        committed: fact.committed,
        kind: fact.kind.into(),
        ordering: clear.ordering,
        depth: clear.depth,
        json: json.into_boxed_slice(),
    })
}

impl LedgerSource {
    fn events(&self, batch: &Batch, events: &mut Vec<Arc<Event>>) -> Result<(), SourceFault> {
        let ledger = self.0.ledger;
        batch.each_whole(&mut |fact, clear, body| events.push(event(&ledger, fact, clear, body)))
    }
}

impl Source for LedgerSource {
    fn end(&self) -> Position {
        self.0.guarded()
    }

    fn read(&self, from: Position, to: Position, limits: ChunkLimits) -> Result<Chunk, SourceError> {
        let mut batch = Batch::after(Cursor { position: from, committed: UtcNanos(0) });
        let limits = BatchLimits { events_max: limits.events_max, bytes_max: limits.bytes_max };
        self.0.fill(&mut batch, to, &limits, &mut || true).map_err(|fault| failed(&fault))?;
        let mut events = Vec::with_capacity(batch.len());
        self.events(&batch, &mut events).map_err(|fault| failed(&fault))?;
        Ok(Chunk { events })
    }

    fn pick(&self, positions: &[Position]) -> Result<Vec<Arc<Event>>, SourceError> {
        let mut events = Vec::with_capacity(positions.len());
        let picked = self.0.pick(positions, &mut |batch| self.events(batch, &mut events));
        picked.map_err(|fault| failed(&fault))?;
        Ok(events)
    }

    fn position_at(&self, time: UtcNanos) -> Result<Position, SourceError> {
        let (mut low, mut high) = (0, self.0.guarded().0);
        // Commit times rise from frame to frame: each look halves what is left, or leaves a frame.
        while low < high {
            let middle = low.midpoint(high);
            let mut frame = None;
            let read = self.0.log.read(Position(middle), &mut |view| {
                let fields = &view.header().fields;
                frame = Some((fields.commit_time, fields.first.0, view.header().tree_size));
                ControlFlow::Break(())
            });
            read.map_err(|error| failed(&SourceFault::Log(error)))?;
            let Some((committed, first, end)) = frame else { break };
            if committed.0 >= time.0 {
                high = first;
            } else {
                low = end;
            }
        }
        Ok(Position(low.min(self.0.guarded().0)))
    }
}
